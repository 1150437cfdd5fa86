#' Coefficients on a known basis
#'
#' The non-negative H for which WH is nearest to X, with W as it is: cells or samples in
#' terms of metagenes, programs or profiles that are known. The problem is convex and the
#' answer its optimum, by exact methods.
#'
#' @details What `nnlm()` of package NNLM and `project()` of package RcppML do. Signatures of
#'   cell types are better projected on by [deconvolve_bulk()], which knows of library sizes,
#'   platforms and errors. New samples for a fit: `predict(fit, newdata)` does the same with
#'   the fit's own loss.
#'
#' @param x The data, features × samples, in any form that [nmf()] takes; a vector is one
#'   sample.
#' @param basis W, features × components, non-negative. Matched to `x` by row names where
#'   both have them; `x` may have further features.
#' @param loss `"frobenius"` (non-negative least squares; Kim and Park 2011) or `"kl"` (the
#'   generalised Kullback-Leibler divergence: maximum likelihood for Poisson counts).
#' @param assay As in [nmf()].
#' @param threads Threads to use. The answer does not depend on it.
#' @return H, components × samples.
#' @section Errors: `unalloy_error_features` when `x` lacks features of the basis,
#'   `unalloy_error_argument` for values that are negative or missing.
#' @seealso [nmf()], [predict.nmf_fit()], [deconvolve_bulk()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 20, seed = 1)
#' known <- nmf(sim$bulk_counts[, 1:10], rank = 3, method = "kl", seed = 1)
#' dim(project(sim$bulk_counts[, 11:20], basis(known), "kl"))
project <- function(x, basis, loss = c("frobenius", "kl"), assay = NULL,
                    threads = getOption("unalloy.threads", 2L)) {
  check_call()
  loss <- check_choice(loss, c("frobenius", "kl"), "loss")
  ok <- is.matrix(basis) && is.numeric(basis) && length(basis) > 0L && all(is.finite(basis)) &&
    all(basis >= 0)
  if (!ok) {
    stop_user("argument", "`basis` must be a matrix of non-negative, finite numbers.",
              x = paste0("It is ", describe(basis), "."),
              i = "Of a fit it is `basis(fit)`.")
  }
  storage.mode(basis) <- "double"
  prefer <- nmf_method(if (loss == "kl") "kl" else "hals")$prefer
  x <- non_negative_values(x, basis, prefer, "`x`", assay)
  values <- fixed_coefficients(basis, NULL, x, loss, check_threads(threads))
  dimnames(values) <- list(colnames(basis), colnames(x))
  values
}
