#' Simulate a single-cell reference and a bulk cohort with known truth
#'
#' Genes have a log-normal base level; types differ a little in all genes and
#' much in their markers. Donors shift every gene of every type, and each bulk
#' sample comes from a donor of its own: its cells are drawn apart from those of
#' the reference. Reads of the bulk see gene lengths and a factor per gene that
#' the two platforms do not share.
#'
#' @param n_genes,n_types,n_samples Size of the problem.
#' @param n_donors Donors of the reference.
#' @param cells_per_type Reference cells per type and donor.
#' @param cells_per_sample Cells in a bulk sample.
#' @param depth Expected reads per bulk sample.
#' @param umi_per_cell Mean UMI per reference cell of a type of average size.
#' @param proportions Cell shares, types × samples with columns that sum to 1
#'   (row names become the names of the types), or `NULL` to draw them uniformly
#'   from the simplex.
#' @param missing_type Number or name of types that are in the bulk but not in
#'   the reference, or `NULL`.
#' @param marker_fraction Fraction of genes that mark some type.
#' @param marker_log_fold Natural log fold change of a marker.
#' @param type_sd Standard deviation between types of the log level of any gene.
#' @param cell_size_sd Standard deviation between types of the log mRNA content
#'   of a cell. At 0 shares of mRNA equal shares of cells, up to sampling.
#' @param donor_sd Standard deviation between donors of the log level of a gene.
#' @param platform_sd Standard deviation of the log factor per gene between the
#'   reference's and the bulk's platform.
#' @param overdispersion Squared coefficient of variation of a gene between
#'   cells of a type. 0 gives Poisson counts.
#' @param length_exponent Reads grow with gene length to this power: 1 for
#'   full-length libraries, 0 for UMI counts.
#' @param seed A whole number; the same seed gives the same draw on every
#'   machine. `NULL` takes one from R's random stream.
#' @return An object of class `simulated_bulk`, a list:
#'   \item{reference}{Counts, genes × cells (`dgCMatrix`).}
#'   \item{cells}{Data frame of the cells: `cell`, `cell_type`, `donor`.}
#'   \item{bulk_counts}{Genes × samples.}
#'   \item{gene_lengths}{Base pairs, named by gene.}
#'   \item{truth_mrna, truth_cells}{Types × samples: shares of mRNA and of
#'     cells; missing types included.}
#'   \item{profiles}{The true mean profile of each type, before donor effects.}
#'   \item{cell_sizes}{Relative mRNA content of a cell per type.}
#'   \item{platform}{Log factor between platforms per gene.}
#'   \item{settings}{The arguments.}
#' @section Errors: `unalloy_error_argument` for settings out of range.
#' @seealso [build_signatures()], [deconvolve_bulk()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' sim
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' round(result$proportions - sim$truth_mrna, 3)
simulate_bulk <- function(n_genes = 2000, n_types = 6, n_samples = 12, n_donors = 4,
                          cells_per_type = 50, cells_per_sample = 1000, depth = 1e6,
                          umi_per_cell = 2000, proportions = NULL, missing_type = NULL,
                          marker_fraction = 0.2, marker_log_fold = 2, type_sd = 0.3,
                          cell_size_sd = 0.4, donor_sd = 0.1, platform_sd = 0.1,
                          overdispersion = 0.3, length_exponent = 1, seed = NULL) {
  check_call()
  shares <- simulated_shares(proportions)
  if (!is.null(shares)) {
    n_types <- nrow(shares)
    n_samples <- ncol(shares)
  }
  counts <- list(n_genes = n_genes, n_types = n_types, n_samples = n_samples,
                 n_donors = n_donors, cells_per_type = cells_per_type,
                 cells_per_sample = cells_per_sample)
  counts <- Map(check_count, counts, names(counts), MoreArgs = list(.call = environment()))
  check_matrix_size(counts[c("n_genes", "n_types")])
  check_matrix_size(counts[c("n_genes", "n_samples")])
  check_matrix_size(counts[c("n_types", "n_samples")])
  check_matrix_size(counts[c("n_types", "n_donors", "cells_per_type")])
  sizes <- list(depth = depth, umi_per_cell = umi_per_cell)
  sizes <- Map(check_number, sizes, names(sizes),
               MoreArgs = list(min = 0, above = TRUE, .call = environment()))
  effects <- list(marker_log_fold = marker_log_fold, type_sd = type_sd,
                  cell_size_sd = cell_size_sd, donor_sd = donor_sd, platform_sd = platform_sd,
                  overdispersion = overdispersion, length_exponent = length_exponent)
  effects <- Map(check_number, effects, names(effects),
                 MoreArgs = list(min = 0, .call = environment()))
  marker_fraction <- check_number(marker_fraction, "marker_fraction", 0, 1)
  settings <- c(counts, sizes, effects,
                list(marker_fraction = marker_fraction, seed = check_seed(seed)))
  types <- rownames(shares) %||% type_labels(n_types)
  missing_type <- simulated_missing(missing_type, types)
  made <- call_rs(rs_simulate_bulk, .given = settings, in_reference = !types %in% missing_type,
                  proportions = as.double(shares),
                  progress = progress_bar("Simulating", n_samples, TRUE))
  name_simulation(made, types, settings, missing_type)
}

simulated_shares <- function(proportions, .call = caller_env()) {
  if (is.null(proportions)) return(NULL)
  shares <- as.matrix(proportions)
  ok <- is.numeric(shares) && !anyNA(shares) && all(shares >= 0) &&
    all(abs(colSums(shares) - 1) < 1e-6)
  if (!ok) {
    stop_user("argument", "`proportions` must be types x samples shares.",
              x = "Columns must be non-negative and sum to 1.", .call = .call)
  }
  shares
}

# Type A, Type B, ..., Type Z, Type 27, ...
type_labels <- function(n) {
  paste("Type", ifelse(seq_len(n) <= 26L, LETTERS[seq_len(min(n, 26L))], seq_len(n)))
}

simulated_missing <- function(missing_type, types, .call = caller_env()) {
  if (is.null(missing_type)) return(character())
  names <- if (is.numeric(missing_type)) types[missing_type] else missing_type
  if (anyNA(names) || !all(names %in% types) || length(unique(names)) >= length(types)) {
    stop_user("argument", "`missing_type` must name some, not all, of the types.",
              x = paste0("It is ", some_of(missing_type), "; types are ",
                         some_of(types, 6L), "."), .call = .call)
  }
  unique(names)
}

name_simulation <- function(made, types, settings, missing_type) {
  n_genes <- length(made$lengths)
  genes <- paste0("Gene", formatC(seq_len(n_genes), width = nchar(n_genes), flag = "0"))
  n_samples <- ncol(made$bulk)
  samples <- paste0("Sample", formatC(seq_len(n_samples), width = nchar(n_samples), flag = "0"))
  cells <- data.frame(
    cell = paste0("Cell", seq_along(made$cell_type)),
    cell_type = factor(types[made$cell_type], setdiff(types, missing_type)),
    donor = factor(paste("Donor", made$donor))
  )
  named <- function(x, columns, rows = types) {
    dimnames(x) <- list(rows, columns)
    x
  }
  structure(
    list(
      reference = Matrix::sparseMatrix(
        i = made$reference$i + 1L, p = made$reference$p, x = made$reference$x,
        dims = c(n_genes, nrow(cells)),
        dimnames = list(genes, cells$cell)
      ),
      cells = cells,
      bulk_counts = named(made$bulk, samples, genes),
      gene_lengths = stats::setNames(made$lengths, genes),
      truth_mrna = named(made$mrna_shares, samples),
      truth_cells = named(made$cell_shares, samples),
      profiles = named(made$profiles, types, genes),
      cell_sizes = stats::setNames(made$cell_sizes, types),
      platform = stats::setNames(made$platform, genes),
      settings = c(settings, list(missing_type = missing_type))
    ),
    class = "simulated_bulk"
  )
}

#' @export
print.simulated_bulk <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Simulated mixtures: ", plural(ncol(x$bulk_counts), "bulk sample"), ", ",
      plural(nrow(x$bulk_counts), "gene"), ", ", plural(nrow(x$truth_cells), "cell type"), "\n",
      "Reference: ", plural(nrow(x$cells), "cell"), " of ",
      plural(nlevels(x$cells$donor), "donor"), "\n", sep = "")
  if (length(x$settings$missing_type)) {
    cat("Not in the reference:", some_of(x$settings$missing_type), "\n")
  }
  cat("Parts: ", paste0("$", names(x), collapse = " "), "\n", sep = "")
  invisible(x)
}
