#' Differences between samples
#'
#' Compares the shares of cell types in one or more samples with those in others,
#' with errors for the difference. What the samples of a cohort have in common, the
#' error that the genes of a type share (see [type_error()]) and that of the mRNA per
#' cell, moves all of them alike and cancels: a difference is known much better than
#' either share.
#'
#' The difference of means is \eqn{\sum_s c_s p_s} with \eqn{c_s = 1/n_1} or
#' \eqn{-1/n_2}. With \eqn{V_s} the covariance within the cohort and
#' \eqn{M_s = \partial p_s / \partial \xi} what the shared log errors
#' \eqn{\xi \sim N(0, S)} move, its covariance is
#' \deqn{\sum_s c_s^2 V_s + M S M^T, \quad M = \sum_s c_s M_s.}
#' M is 0 where the two have the same composition. It is small, and
#' counted, where they differ: an error of the factor 1.2 makes a difference of shares
#' wrong by that factor, too. So `p_value`, which asks whether there is a difference
#' at all, leaves it out.
#'
#' The errors are those of the estimates. They do not include how much samples of one
#' group differ from each other.
#'
#' @param result A [deconvolution] with its counts kept.
#' @param first,second Samples (names or numbers) to compare: the mean of `first`
#'   less the mean of `second`.
#' @param types Types to return; all by default.
#' @param what `"proportions"` (shares of mRNA) or `"cell_fractions"`; by default
#'   cells where their sizes are known.
#' @param scale `"share"`: differences of shares. `"logit"`: differences of log odds
#'   \eqn{\log(p/(1-p))}, for types whose shares differ by factors; types that are 0
#'   or 1 in a mean have none.
#' @param level Coverage of the intervals.
#' @param variance What is assumed of the counts; see
#'   [confint()][confint.deconvolution].
#' @param adjust How p values are adjusted over types: a method of
#'   [stats::p.adjust()].
#' @param threads Threads to use.
#' @return A data frame with a row per type: `type`, the means `first` and
#'   `second`, `difference` (on the scale), `std_error`, `lower`, `upper`, `p_value`
#'   and `p_adjusted`.
#' @section Errors: `unalloy_error_argument`, `_no_counts`, `_penalised`.
#' @seealso [confint()][confint.deconvolution] with `of = "differences"`
#' @export
#' @examples
#' shares <- rbind(A = c(0.5, 0.3), B = c(0.3, 0.5), C = c(0.2, 0.2))
#' sim <- simulate_bulk(n_genes = 500, proportions = shares, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' contrast(result, 1, 2)
contrast <- function(result, first, second, types = NULL, what = NULL,
                     scale = c("share", "logit"), level = 0.95,
                     variance = c("robust", "quasi", "poisson"), adjust = "BH",
                     threads = getOption("unalloy.threads", 2L)) {
  check_call()
  here <- environment()
  check_result(result)
  check_types(types, rownames(result$proportions))
  what <- share_asked_for(what, result, choices = SHARES[1:2])
  scale <- check_choice(scale, c("share", "logit"), "scale")
  level <- check_number(level, "level", 0, 0.999999, above = TRUE)
  variance <- check_choice(variance, VARIANCES, "variance")
  adjust <- check_choice(adjust, stats::p.adjust.methods, "adjust")
  need_unpenalised(result, here)
  samples <- result$convergence$sample
  sides <- list(first = sample_index(first, samples), second = sample_index(second, samples))
  both <- intersect(sides$first, sides$second)
  if (length(both)) {
    stop_user("argument", "A sample can stand on one side only.",
              x = paste0("On both: ", some_of(samples[both]), "."))
  }
  chosen <- unlist(sides, use.names = FALSE)
  found <- within_cohort(result[chosen], what, variance, threads, here)
  weights <- rep(c(1, -1) / lengths(sides), lengths(sides))
  out <- contrast_table(found, weights, scale, level)
  if (!is.null(types)) out <- out[out$type %in% types, ]
  rownames(out) <- NULL
  out$p_adjusted <- stats::p.adjust(out$p_value, adjust)
  out
}

# The difference that positive and negative weights (which sum to 1 and -1) make.
contrast_table <- function(found, weights, scale, level) {
  mean_of <- function(side) drop(found$estimate %*% pmax(side * weights, 0))
  first <- mean_of(1)
  second <- mean_of(-1)
  slope <- function(mean) if (scale == "logit") 1 / (mean * (1 - mean)) else rep(1, length(mean))
  slopes <- lapply(list(slope(first), slope(second)), function(x) ifelse(is.finite(x), x, NA))
  by_sample <- vapply(weights, function(w) w * slopes[[if (w > 0) 1L else 2L]],
                      numeric(length(first)))
  by_sample <- matrix(by_sample, length(first))
  own <- rowSums(vapply(seq_along(weights), function(s) {
    by_sample[, s]^2 * diag(as.matrix(found$covariance[, , s]))
  }, numeric(length(first))))
  moved <- Reduce(`+`, lapply(seq_along(weights), function(s) {
    by_sample[, s] * found$moves[, , s]
  }))
  shared <- rowSums((moved %*% found$log_covariance) * moved)
  difference <- if (scale == "logit") stats::qlogis(first) - stats::qlogis(second)
                else first - second
  difference[!is.finite(difference)] <- NA
  std_error <- sqrt(own + pmax(shared, 0))
  z <- stats::qnorm((1 + level) / 2)
  data.frame(type = rownames(found$estimate), first = first, second = second,
             difference = difference, std_error = std_error, lower = difference - z * std_error,
             upper = difference + z * std_error,
             p_value = 2 * stats::pnorm(-abs(difference) / sqrt(own)), row.names = NULL)
}
