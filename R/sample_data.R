#' What is known of the samples of a result
#'
#' A data frame with a row per sample (group, age, patient, survival) that travels
#' with a result, so that [compare_groups()], [compare_survival()] and the like find
#' groups and times by the names of their columns. It is taken from the `colData` of
#' a `SummarizedExperiment` or the cell data of a Seurat object that the result was
#' made from, from the argument `samples` of [deconvolve_bulk()], or set here.
#'
#' @param x A [deconvolution], a [cell_type_expression()], an [nmf_fit], a
#'   [latent_factors()] fit or [subtypes].
#' @param value A data frame whose row names, or a column of which, are the names of the
#'   samples, in any order; further rows are left out. `NULL` takes the data away.
#' @return A data frame with the samples of the result as row names, or `NULL`.
#' @section Errors: `unalloy_error_samples` where a sample has no row or two;
#'   `unalloy_error_argument` for other objects.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 6, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' sample_data(result) <- data.frame(sample = colnames(sim$bulk_counts),
#'                                   group = rep(c("control", "treated"), 3))
#' sample_data(result)
sample_data <- function(x) {
  check_call()
  samples_of(x)
  unclass(x)$sample_data
}

#' @rdname sample_data
#' @export
`sample_data<-` <- function(x, value) {
  check_call()
  names <- samples_of(x)
  class <- class(x)
  x <- unclass(x)
  x$sample_data <- if (!is.null(value)) match_samples(value, names, "value")
  structure(x, class = class)
}
