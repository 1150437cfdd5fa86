#' Is a cell type there?
#'
#' Likelihood ratio tests of every type in every sample against its absence.
#'
#' For type j, \eqn{T_j = 2 (\min F_{e_j = 0} - \min F)} compares the fit with
#' the best fit without the type, in which all other types are fitted anew. As
#' absence lies on the boundary of what is possible, \eqn{T_j / c_j} is under it 0
#' with probability ½ and else \eqn{\chi^2_1} (Self and Liang, 1987): a type whose
#' estimate is 0 has the p value 1, others half of what \eqn{\chi^2_1} gives. The
#' scale \eqn{c_j} makes up for a model that is wrong about the variance of the
#' counts: with `"robust"` it is the ratio of sandwich and model variance of
#' \eqn{e_j} (Kent, 1982) by the residuals of the fit without the type, with
#' `"quasi"` the dispersion, with `"poisson"` 1; see [confint.deconvolution()].
#' But for `"poisson"` it is then multiplied by what the error that the genes of a type
#' share adds to the variance of an absent type: markers that all cells express a
#' little too much look like the type (see [type_error()]).
#'
#' A type that the signatures lack speaks for whatever resembles it: see [diagnose()].
#'
#' @param result A [deconvolution] with its counts kept.
#' @param types,samples Types and samples to test; all by default.
#' @param variance What is assumed of the counts; see [confint.deconvolution()].
#' @param adjust How p values are adjusted for the number of tests, over all that
#'   are asked for: a method of [stats::p.adjust()].
#' @param threads Threads to use.
#' @param BPPARAM Who works on blocks of samples, `NULL` for this session or a parameter of
#'   package BiocParallel; see [deconvolve_bulk()]. The answer does not depend on it.
#' @return A data frame with `sample`, `type`, `estimate` (share of mRNA),
#'   `statistic` (\eqn{T_j / c_j}), `p_value` and `p_adjusted`. The statistic is
#'   infinite where no other source can explain some counts; beyond 50, where p is
#'   below 1e-12, it is the value that the quadratic expansion at the fit gives.
#' @section Errors: `unalloy_error_no_counts`, `_penalised` and `_argument`.
#' @references
#' Self SG, Liang KY (1987). Asymptotic properties of maximum likelihood
#' estimators and likelihood ratio tests under nonstandard conditions. *Journal of
#' the American Statistical Association* 82:605.
#'
#' Kent JT (1982). Robust properties of likelihood ratio tests. *Biometrika*
#' 69:19.
#' @seealso [confint.deconvolution()] for upper limits of absent types;
#'   `sparsity = "lrt"` of [deconvolve_bulk()].
#' @export
#' @examples
#' absent <- matrix(c(0.7, 0.3, 0), 3, 4)
#' sim <- simulate_bulk(n_genes = 500, proportions = absent, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' test_presence(result)
test_presence <- function(result, types = NULL, samples = NULL,
                          variance = c("robust", "quasi", "poisson"), adjust = "BH",
                          threads = getOption("unalloy.threads", 2L), BPPARAM = NULL) {
  check_call()
  here <- environment()
  check_result(result)
  check_types(types, rownames(result$proportions))
  variance <- check_choice(variance, VARIANCES, "variance")
  adjust <- check_choice(adjust, stats::p.adjust.methods, "adjust")
  threads <- check_threads(threads)
  need_unpenalised(result, here)
  result <- with_plan(result, work_plan(BPPARAM))
  if (!is.null(samples)) result <- result[sample_index(samples, result$convergence$sample)]
  inferred <- infer_samples(result, "exposures", variance, 0.95, threads, here, "shares")
  statistic <- presence_statistics(result, inferred$scales, inferred$inflation, variance, CLEAR,
                                   threads, here)
  out <- as.data.frame(result, what = "proportions")
  names(out)[3L] <- "estimate"
  out$statistic <- as.vector(statistic)
  out$p_value <- ifelse(out$statistic > 0, presence_tail(out$statistic), 1)
  if (!is.null(types)) out <- out[out$type %in% types, ]
  rownames(out) <- NULL
  out$p_adjusted <- stats::p.adjust(out$p_value, adjust)
  out
}

# A statistic from which its second-order value is enough: p is below 1e-12.
CLEAR <- 50

# P(T > t) for t > 0 under the mixture of 0 and chi-squared.
presence_tail <- function(statistic) 0.5 * stats::pchisq(statistic, 1, lower.tail = FALSE)
