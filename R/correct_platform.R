# Gene-wise factors between the platforms of bulk and reference, learned where
# the same individuals were measured by both.

# Added to both sides of log ratios, per million: see FLOOR_CPM.
CORRECTION_FLOOR <- 10
# Matched individuals below which the spread between them is hardly known.
FEW_MATCHED <- 3

#' Correct bulk counts for the platform
#'
#' Learns a factor per gene between bulk and single-cell counts, from
#' individuals measured by both, and takes it out of all bulk samples.
#'
#' # Model
#' The cells of individual i are summed into a pseudo-bulk. With both sides per
#' million, \eqn{b_{gi}} of the bulk and \eqn{s_{gi}} of the pseudo-bulk,
#' \deqn{d_{gi} = \log \frac{b_{gi} + c}{s_{gi} + c} = a_i + \beta_g + \epsilon_{gi}, \quad
#'   \beta_g \sim N(0, \sigma_\beta^2), \quad
#'   \epsilon_{gi} \sim N(0, \sigma_\epsilon^2 + v_{gi})}
#' with c = 10, so that genes with few counts say little. \eqn{a_i}, the median over
#' expressed genes, is a matter of units; \eqn{v_{gi}} is the error of counting, from
#' the counts themselves; \eqn{\sigma_\epsilon^2}, what individuals vary beyond it,
#' comes from the spread between individuals (pooled over genes, and for each gene
#' shrunk towards that), and \eqn{\sigma_\beta^2} from the spread between genes beyond
#' all this (moments). The factor is the posterior mean
#' \deqn{\hat\beta_g = \frac{\sigma_\beta^2}{\sigma_\beta^2 + V_g} \bar d_g, \quad
#'   V_g = 1 / \sum_i (\sigma_{\epsilon g}^2 + v_{gi})^{-1},}
#' which tends to 0 for genes that are little known and for few individuals, and
#' to the observed ratio for many. Counts are divided by \eqn{e^{\hat\beta_g}}, and
#' every sample is scaled back to its total. What the reference does not have stays
#' as it is.
#'
#' One matched individual says nothing of the spread between individuals: it is
#' then taken to be as large as that of the factors, which halves them.
#'
#' # What is assumed
#' `"matched"`: the cells of an individual have the composition of their bulk
#' sample. Where dissociation loses a type, its genes get the factor of that loss,
#' and the corrected bulk lacks the type as much as the cells do. Bisque (Jew et al.,
#' 2020) assumes the same; its transformation is linear with a slope and an
#' intercept per gene, which needs many individuals.
#'
#' `"cohort"` needs no individuals in common, but assumes that both cohorts have
#' the same composition on average: it makes the average estimate that of the
#' reference, and only differences between samples are then news. It compares the
#' mean logs of the two cohorts, with the variance within each. Bisque's variant,
#' which matches variances too, assumes in addition that compositions vary alike.
#' In simulations with compositions of their own it did harm where platforms differ
#' by a standard deviation of 0.4, and helped little at 0.8; one matched individual
#' did better.
#'
#' @param bulk_counts Genes × samples, in any form [deconvolve_bulk()] takes, with
#'   gene names.
#' @param reference Raw single-cell counts in any form [build_signatures()] takes;
#'   or a pseudo-bulk, a matrix genes × individuals, when `donors` is `NULL`.
#' @param donors The individual of each cell: a vector, or the name of a column of
#'   the cell metadata. Cells with `NA` are left out.
#' @param matches Which sample is which individual: a vector of individuals named
#'   by sample. `NULL` takes samples and individuals of the same name.
#' @param cell_types With types, cells with `NA` are left out, as
#'   [build_signatures()] does. Factors do not depend on them otherwise.
#' @param method `"matched"` or `"cohort"`; see above.
#' @param assay Assay of `bulk_counts`, if it is a `SummarizedExperiment`.
#' @param x A `corrected_counts`.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return A matrix genes × samples of class `corrected_counts`, which
#'   [deconvolve_bulk()] takes. `as.data.frame()` gives the factors: `gene`,
#'   `log_factor` (natural log, bulk over reference), `std_error` (of the
#'   posterior), `observed` (the mean log ratio before shrinkage), `individuals`;
#'   genes that the reference lacks have `log_factor` 0 and `individuals` 0.
#'   The attribute `correction` holds them with the variances of the model.
#' @section Errors and warnings: `unalloy_error_not_matched` when no sample is an
#'   individual, or when `matches` names unknown ones; `unalloy_error_donors` for
#'   cohorts that are too small, and those of [deconvolve_bulk()] for counts.
#'   `unalloy_warning_few_matched` below three individuals;
#'   `unalloy_warning_same_composition` with `"cohort"` when individuals do match.
#' @references
#' Jew B, Alvarez M, Rahmani E, Miao Z, Ko A, Garske KM, Sul JH, Pietiläinen KH,
#' Pajukanta P, Halperin E (2020). Accurate estimation of cell composition in bulk
#' expression through robust integration of single-cell information. *Nature
#' Communications* 11, 1971. \doi{10.1038/s41467-020-15816-6}
#' @seealso [deconvolve_bulk()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 6, platform_sd = 0.5,
#'                      seed = 1)
#' # four pseudo-bulks, and bulk samples of the same individuals on another platform
#' individuals <- rowsum(t(as.matrix(sim$reference)), as.character(sim$cells$donor))
#' same <- round(t(individuals) * exp(sim$platform))
#' corrected <- correct_platform(cbind(same, sim$bulk_counts), sim$reference,
#'                               donors = sim$cells$donor)
#' corrected
#' cor(as.data.frame(corrected)$log_factor, sim$platform)
correct_platform <- function(bulk_counts, reference, donors = NULL, matches = NULL,
                             cell_types = NULL, method = c("matched", "cohort"), assay = NULL) {
  check_call()
  here <- environment()
  method <- check_choice(method, c("matched", "cohort"), "method")
  bulk <- as_bulk(bulk_counts, assay)
  check_bulk_values(bulk)
  counts <- as.matrix(bulk$source)
  if (is.null(bulk$genes)) {
    stop_user("gene_names", "`bulk_counts` needs gene names as row names.")
  }
  dimnames(counts) <- list(bulk$genes, bulk$samples)
  pseudo <- bulk_of_donors(reference, donors, cell_types, .call = here)
  sides <- common_genes(counts, pseudo, .call = here)
  pairs <- match_individuals(bulk$samples, colnames(pseudo), matches, method, .call = here)
  ratio <- if (method == "matched") {
    matched_ratios(sides$bulk[, pairs$sample, drop = FALSE],
                   sides$pseudo[, pairs$individual, drop = FALSE])
  } else {
    cohort_ratio(sides$bulk, sides$pseudo)
  }
  factors <- shrink_factors(ratio)
  place <- match(bulk$genes, rownames(sides$bulk))
  corrected <- divide_out(counts, factors$log_factor[place])
  table <- data.frame(
    gene = bulk$genes, log_factor = factors$log_factor[place],
    std_error = factors$std_error[place], observed = factors$observed[place],
    individuals = ifelse(is.na(place), 0L, ratio$individuals)
  )
  table$log_factor[is.na(place)] <- 0
  structure(corrected, class = c("corrected_counts", "matrix", "array"), correction = list(
    method = method, factors = table, pairs = pairs, sd_factors = factors$sd_factors,
    sd_individuals = factors$sd_individuals
  ))
}

# Counts summed over the cells of each individual, genes x individuals.
bulk_of_donors <- function(reference, donors, cell_types, .call) {
  if (is.null(donors)) return(given_pseudo_bulk(reference, .call))
  cells <- as_cells(reference, NULL, .call = .call)
  donors <- cell_labels(donors, cells, "donors", .call = .call)
  if (!is.null(cell_types)) {
    donors[is.na(cell_labels(cell_types, cells, "cell_types", .call = .call))] <- NA
  }
  sums <- sum_cells(cells$counts, donors, .call = .call)$count
  check_individuals(sums, .call)
}

given_pseudo_bulk <- function(reference, .call) {
  if (is.data.frame(reference)) reference <- as.matrix(reference)
  if (methods::is(reference, "Matrix")) reference <- as.matrix(reference)
  if (!is.matrix(reference) || !is.numeric(reference) || is.null(rownames(reference)) ||
        is.null(colnames(reference))) {
    stop_user("donors", "Without `donors`, `reference` must be a pseudo-bulk.",
              x = paste0("It is ", describe(reference), "."),
              i = "Give the individual of each cell as `donors`.",
              i = "Or give a matrix with gene names as rows and individuals as columns.",
              .call = .call)
  }
  if (anyDuplicated(colnames(reference))) {
    twice <- unique(colnames(reference)[duplicated(colnames(reference))])
    stop_user("donors", "Individuals of `reference` must have names of their own.",
              x = paste0("Used more than once: ", some_of(twice), "."),
              i = "If the columns are cells, give their individuals as `donors`.", .call = .call)
  }
  check_profiles(reference, "reference", "individual", .call)
  rownames(reference) <- gene_names(rownames(reference), "reference", .call = .call)
  reference
}

check_individuals <- function(sums, .call) {
  empty <- colnames(sums)[colSums(sums) <= 0]
  if (length(empty)) {
    stop_user("donors", "Every individual needs counts.",
              x = paste0("Only zeros: ", some_of(empty), "."), .call = .call)
  }
  sums
}

# Both sides over the genes that they share, rows of one gene summed.
common_genes <- function(counts, pseudo, .call) {
  genes <- intersect(rownames(counts), rownames(pseudo))
  if (!length(genes)) {
    stop_user("no_common_genes", "`reference` and `bulk_counts` have no gene in common.",
              x = paste0("Bulk: ", some_of(rownames(counts)), "; reference: ",
                         some_of(rownames(pseudo)), "."), .call = .call)
  }
  only <- function(x) {
    x <- x[rownames(x) %in% genes, , drop = FALSE]
    if (anyDuplicated(rownames(x))) x <- rowsum(x, rownames(x))
    x[genes, , drop = FALSE]
  }
  list(bulk = only(counts), pseudo = only(pseudo))
}

# Pairs of sample and individual; for cohorts without, NULL.
match_individuals <- function(samples, individuals, matches, method, .call) {
  if (method == "cohort") {
    check_cohorts(samples, individuals, .call)
    return(NULL)
  }
  if (is.null(matches)) {
    matches <- stats::setNames(nm = intersect(samples, individuals))
    if (!length(matches)) {
      stop_user("not_matched", "No bulk sample has the name of an individual of the reference.",
                x = paste0("Samples: ", some_of(samples), "; individuals: ",
                           some_of(individuals), "."),
                i = "Say who is who: `matches = c(<sample> = \"<individual>\", ...)`.",
                i = "Without individuals in common: `method = \"cohort\"`.", .call = .call)
    }
  }
  if (is.null(names(matches)) || !is.atomic(matches)) {
    stop_user("not_matched", "`matches` must be a vector of individuals named by sample.",
              x = paste0("It is ", describe(matches), "."), .call = .call)
  }
  matches <- matches[!is.na(matches)]
  pairs <- data.frame(sample = names(matches), individual = as.character(matches))
  check_pairs(pairs, samples, individuals, .call)
  pairs
}

check_pairs <- function(pairs, samples, individuals, .call) {
  unknown <- list(samples = setdiff(pairs$sample, samples),
                  individuals = setdiff(pairs$individual, individuals))
  for (what in names(unknown)[lengths(unknown) > 0L]) {
    there <- if (what == "samples") samples else individuals
    stop_user("not_matched", paste0("`matches` names unknown ", what, "."),
              x = paste0("Unknown: ", some_of(unknown[[what]]), "."),
              i = paste0("There are ", some_of(there), "."), .call = .call)
  }
  twice <- unique(pairs$sample[duplicated(pairs$sample)])
  if (length(twice) || !nrow(pairs)) {
    stop_user("not_matched", "Every matched sample needs one individual.",
              x = if (length(twice)) paste0("Named twice: ", some_of(twice), ".")
                  else "`matches` has none.", .call = .call)
  }
  n <- length(unique(pairs$individual))
  if (n < FEW_MATCHED) {
    warn_user("few_matched", "Few individuals are measured by both platforms.",
              x = paste0("Matched: ", some_of(unique(pairs$individual)), "."),
              i = "Factors are shrunk towards 1 accordingly.", .call = .call)
  }
}

check_cohorts <- function(samples, individuals, .call) {
  small <- c("bulk samples" = length(samples), individuals = length(individuals))
  small <- small[small < 3L]
  if (length(small)) {
    stop_user("donors", "`method = \"cohort\"` needs three bulk samples and three individuals.",
              x = paste0("There are ", paste(small, names(small), collapse = " and "), "."),
              .call = .call)
  }
  both <- intersect(samples, individuals)
  if (length(both)) {
    warn_user("same_composition", "Matched individuals are treated as if they were not.",
              x = paste0("Measured by both: ", some_of(both), "."),
              i = "`method = \"matched\"` assumes less.", .call = .call)
  }
}

# Logs per million, and the variance that counting gives them.
log_levels <- function(counts) {
  unit <- rep(1e6 / colSums(counts), each = nrow(counts))
  level <- counts * unit
  list(level = level, logs = log(level + CORRECTION_FLOOR),
       variance = level * unit / (level + CORRECTION_FLOOR)^2)
}

# Genes with a mean at the floor or above on either side; all where none has.
expressed_in <- function(b, s) {
  expressed <- pmax(rowMeans(b$level), rowMeans(s$level)) >= CORRECTION_FLOOR
  if (any(expressed)) expressed else !expressed
}

# Mean log ratio per gene with its variance.
#   single   only the counting error is known, for want of a second individual
matched_ratios <- function(bulk, pseudo) {
  b <- log_levels(bulk)
  s <- log_levels(pseudo)
  expressed <- expressed_in(b, s)
  ratio <- b$logs - s$logs
  ratio <- ratio - rep(apply(ratio[expressed, , drop = FALSE], 2L, stats::median),
                       each = nrow(ratio))
  counting <- b$variance + s$variance
  n <- ncol(ratio)
  if (n == 1L) {
    return(list(observed = ratio[, 1L], variance = counting[, 1L], individuals = 1L,
                expressed = expressed, single = TRUE, sd_individuals = NA_real_))
  }
  spread <- beyond_counting(ratio, counting, expressed)
  weight <- 1 / pmax(spread$variance + counting, 1e-8)
  list(observed = rowSums(weight * ratio) / rowSums(weight), variance = 1 / rowSums(weight),
       individuals = n, expressed = expressed, single = FALSE,
       sd_individuals = sqrt(spread$pooled))
}

# Variance between columns beyond `counting`, pooled over genes, and per gene
# shrunk towards that as by PRIOR_DF more columns.
beyond_counting <- function(values, counting, expressed) {
  df <- ncol(values) - 1
  excess <- rowSums((values - rowMeans(values))^2) / df - rowMeans(counting)
  pooled <- max(0, mean(excess[expressed]))
  list(pooled = pooled,
       variance = (PRIOR_DF * pooled + df * pmax(excess, 0)) / (PRIOR_DF + df))
}
PRIOR_DF <- 4

# The difference of the mean logs of two cohorts.
cohort_ratio <- function(bulk, pseudo) {
  b <- log_levels(bulk)
  s <- log_levels(pseudo)
  expressed <- expressed_in(b, s)
  observed <- rowMeans(b$logs) - rowMeans(s$logs)
  spread <- lapply(list(b, s), function(side) {
    beyond_counting(side$logs, side$variance, expressed)
  })
  variance <- (spread[[1L]]$variance + rowMeans(b$variance)) / ncol(bulk) +
    (spread[[2L]]$variance + rowMeans(s$variance)) / ncol(pseudo)
  list(observed = observed - stats::median(observed[expressed]), variance = variance,
       individuals = ncol(pseudo), expressed = expressed, single = FALSE,
       sd_individuals = sqrt(mean(c(spread[[1L]]$pooled, spread[[2L]]$pooled))))
}

# Posterior of the factors (empirical Bayes).
shrink_factors <- function(ratio) {
  excess <- mean((ratio$observed^2 - ratio$variance)[ratio$expressed])
  excess <- max(0, excess)
  # One individual: half of what is beyond counting is taken for its own.
  between <- if (ratio$single) excess / 2 else excess
  variance <- ratio$variance + if (ratio$single) excess / 2 else 0
  share <- if (between > 0) between / (between + variance) else 0 * variance
  list(log_factor = unname(share * ratio$observed), std_error = unname(sqrt(share * variance)),
       observed = unname(ratio$observed), sd_factors = sqrt(between),
       sd_individuals = if (ratio$single) sqrt(excess / 2) else ratio$sd_individuals)
}

divide_out <- function(counts, log_factor) {
  log_factor[is.na(log_factor)] <- 0
  corrected <- counts / exp(log_factor)
  corrected * rep(colSums(counts) / colSums(corrected), each = nrow(counts))
}

#' @rdname correct_platform
#' @export
print.corrected_counts <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  made <- attr(x, "correction")
  by <- if (made$method == "matched") {
    paste0(plural(length(unique(made$pairs$individual)), "matched individual"))
  } else {
    "the means of both cohorts"
  }
  factors <- made$factors[made$factors$individuals > 0L, ]
  cat("Bulk counts corrected for the platform: ", plural(nrow(x), "gene"), ", ",
      plural(ncol(x), "sample"), "\n", "Factors of ", plural(nrow(factors), "gene"), " from ", by,
      "; standard deviation between genes ", format(made$sd_factors, digits = 2),
      ", between individuals ", format(made$sd_individuals, digits = 2), " (natural log)\n",
      sep = "")
  largest <- utils::head(factors[order(-abs(factors$log_factor)), ], 6L)
  cat("\nLargest, bulk over reference:\n")
  print(data.frame(gene = largest$gene, factor = signif(exp(largest$log_factor), 3),
                   std_error_log = signif(largest$std_error, 2)), row.names = FALSE)
  invisible(x)
}

#' @rdname correct_platform
#' @export
as.data.frame.corrected_counts <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  attr(x, "correction")$factors
}
