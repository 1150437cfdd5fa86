#' Put results into the object that the data came from
#'
#' Shares of types, factors, metagenes, programs and clones go back to the samples or
#' cells they belong to, which are matched by name.
#'
#' @details
#' In a `SingleCellExperiment` and a Seurat object metagenes, factors and programs become
#' a reduced dimension, from which neighbours, UMAP and clusters can be computed; shares
#' and clones become columns of the cells. In a `SummarizedExperiment` and a data frame
#' everything becomes columns.
#'
#' @param object A `SummarizedExperiment` (or a class that extends it), a Seurat object, or
#'   a data frame with samples in rows, named by its row names or a column `sample` or
#'   `cell`.
#' @param result What [deconvolve_bulk()], [nmf()], [latent_factors()], [autoencode()],
#'   [consensus_programs()], [factorise_variants()] or [find_subtypes()] returns.
#' @param what Of a deconvolution: `"proportions"` (shares of mRNA) or `"cell_fractions"`;
#'   by default cells where their sizes are known.
#' @param prefix Put before the names of columns.
#' @param name Name of the reduced dimension; `NULL` for `"nmf"`, `"factors"`, `"latent"`
#'   or `"programs"`. Seurat writes such names in lower case.
#' @return `object` with what was added; columns are `NA` for samples that are not in the
#'   result. Of clones: `clone`, `certainty`, and a share per clone. Of subtypes: `subtype`.
#' @section Errors: `unalloy_error_argument` when either is something else, or no
#'   sample is found; `unalloy_error_samples` when a reduced dimension would lack cells.
#' @seealso [as_reduction()] for the reduced dimension alone.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' samples <- data.frame(sample = colnames(sim$bulk_counts), batch = c("a", "a", "b"))
#' add_to(samples, result)
#' if (requireNamespace("SummarizedExperiment", quietly = TRUE)) {
#'   se <- SummarizedExperiment::SummarizedExperiment(list(counts = sim$bulk_counts))
#'   SummarizedExperiment::colData(add_to(se, result))
#' }
add_to <- function(object, result, what = NULL, prefix = "", name = NULL) {
  check_call()
  here <- environment()
  added <- to_be_added(result, what, .call = here)
  single_cells <- inherits(object, c("SingleCellExperiment", "Seurat"))
  if (single_cells && !is.null(added$factors)) {
    return(reduction_of(added$factors, object, name %||% added$name, "reducedDim", NULL,
                        .call = here))
  }
  if (!is.null(name)) {
    stop_user("argument", "`name` is for reduced dimensions.",
              i = "`prefix` is for columns.")
  }
  names(added$columns) <- paste0(prefix, names(added$columns))
  if (inherits(object, "SummarizedExperiment")) {
    need_package("SummarizedExperiment", "to write column data")
    columns <- SummarizedExperiment::colData(object)
    at <- rows_of_result(colnames(object) %||% paste("Sample", seq_len(ncol(object))), added, here)
    SummarizedExperiment::colData(object) <- fill_columns(columns, added$columns, at)
  } else if (inherits(object, "Seurat")) {
    # versions 4 and 5 alike; Seurat's own verbs change names that hold spaces
    cells <- methods::slot(object, "meta.data")
    at <- rows_of_result(rownames(cells), added, here)
    methods::slot(object, "meta.data") <- fill_columns(cells, added$columns, at)
  } else if (is.data.frame(object)) {
    by <- intersect(c("sample", "cell"), names(object))
    known <- if (length(by)) as.character(object[[by[1L]]]) else rownames(object)
    object <- fill_columns(object, added$columns, rows_of_result(known, added, here))
  } else {
    stop_user("argument", paste("`object` must be a SummarizedExperiment, a Seurat object or a",
                                "data frame."),
              x = paste0("It is ", describe(object), "."))
  }
  object
}

# What a result says of each sample: `columns`, a data frame with a row per sample, and
# `factors`, what a reduced dimension is made of.
to_be_added <- function(result, what, .call) {
  if (!is.null(what) && !inherits(result, "deconvolution")) {
    stop_user("argument", "`what` is for a deconvolution.",
              x = paste0("`result` is ", describe(result), "."), .call = .call)
  }
  rows <- function(values) as.data.frame(t(values), optional = TRUE)
  if (inherits(result, "deconvolution")) {
    shares <- coef(result, share_asked_for(what, result, .call))
    return(list(samples = colnames(shares), columns = rows(shares)))
  }
  if (inherits(result, "variant_factorisation")) {
    return(list(samples = result$cells$cell,
                columns = cbind(result$cells[c("clone", "certainty")], rows(result$shares))))
  }
  if (inherits(result, "subtypes")) {
    return(list(samples = names(result$assignment),
                columns = data.frame(subtype = unname(result$assignment))))
  }
  factors <- if (inherits(result, c("nmf_fit", "latent_factors", "autoencoder"))) {
    result
  } else if (inherits(result, "consensus_programs")) {
    list(coef = result$usage, basis = result$spectra, rank = nrow(result$usage))
  } else {
    stop_user("argument", "`result` must have a value for every sample.",
              x = paste0("It is ", describe(result), "."),
              i = paste("That has what `deconvolve_bulk()`, `nmf()`, `latent_factors()`,",
                        "`autoencode()`, `consensus_programs()`, `factorise_variants()` and",
                        "`find_subtypes()` return."), .call = .call)
  }
  names <- c(nmf_fit = "nmf", latent_factors = "factors", autoencoder = "latent",
             consensus_programs = "programs")
  name <- names[[which(inherits(result, names(names), which = TRUE) > 0L)]]
  list(samples = colnames(factors$coef) %||% paste("Sample", seq_len(ncol(factors$coef))),
       columns = rows(factors$coef), factors = factors, name = name)
}

rows_of_result <- function(known, added, .call) {
  at <- match(known, added$samples)
  if (all(is.na(at))) {
    stop_user("argument", "No sample of `object` is in the result.",
              x = paste0("`object`: ", some_of(known), "; result: ", some_of(added$samples), "."),
              .call = .call)
  }
  at
}

fill_columns <- function(columns, values, at) {
  there <- intersect(names(values), names(columns))
  if (length(there)) {
    inform_user(TRUE, paste0("Columns that were there are replaced: ", some_of(there), "."),
                i = "`prefix =` gives the new ones names of their own.")
  }
  for (name in names(values)) columns[[name]] <- values[[name]][at]
  columns
}
