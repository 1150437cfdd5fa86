#' Write proportions or factors into a SummarizedExperiment
#'
#' @param se A `SummarizedExperiment` (or a class that extends it) with the
#'   samples of the result as columns; samples are matched by name.
#' @param result A [deconvolution], or the result of [latent_factors()].
#' @param what Of a deconvolution: `"proportions"` (shares of mRNA) or `"cell_fractions"`.
#' @param prefix Put before the names of types or factors in the column data.
#' @return `se` with a column of `colData` per type or factor, and `NA` for samples that
#'   are not in the result.
#' @section Errors: `unalloy_error_argument` when `se` is something else, or no
#'   sample is found.
#' @export
#' @examples
#' if (requireNamespace("SummarizedExperiment", quietly = TRUE)) {
#'   sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#'   se <- SummarizedExperiment::SummarizedExperiment(list(counts = sim$bulk_counts))
#'   signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#'   result <- deconvolve_bulk(signatures, se, sim$gene_lengths)
#'   SummarizedExperiment::colData(add_to(se, result))
#' }
add_to <- function(se, result, what = c("proportions", "cell_fractions"), prefix = "") {
  if (!inherits(se, "SummarizedExperiment")) {
    stop_user("argument", "`se` must be a SummarizedExperiment.",
              x = paste0("It is ", describe(se), "."))
  }
  rlang::check_installed("SummarizedExperiment", "to write column data.")
  if (inherits(result, "latent_factors")) {
    shares <- coef(result)
  } else {
    check_result(result)
    shares <- coef(result, check_choice(what, c("proportions", "cell_fractions"), "what"))
  }
  place <- match(colnames(se) %||% paste("Sample", seq_len(ncol(se))), colnames(shares))
  if (all(is.na(place))) {
    stop_user("argument", "No sample of `se` is in the result.",
              x = paste0("`se`: ", some_of(colnames(se)), "; result: ",
                         some_of(colnames(shares)), "."))
  }
  columns <- SummarizedExperiment::colData(se)
  for (type in rownames(shares)) columns[[paste0(prefix, type)]] <- unname(shares[type, place])
  SummarizedExperiment::colData(se) <- columns
  se
}
