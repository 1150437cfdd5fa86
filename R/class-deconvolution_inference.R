#' Uncertainty of a deconvolution
#'
#' Variances from the estimating equations of the fit or from the bootstrap, and
#' intervals.
#'
#' # Sandwich
#'
#' On the sources with positive exposure the covariance is the sandwich
#' \eqn{J^{-1} V J^{-1}}, \eqn{J = A^T \mathrm{diag}(w k / \mu^2) A},
#' \eqn{V = A^T \mathrm{diag}(w^2 v / \mu^2) A}, with \eqn{v = (k-\mu)^2/(1-h)^2}
#' (`"robust"`, h the leverage), \eqn{\phi\mu} (`"quasi"`) or \eqn{\mu}
#' (`"poisson"`). Poisson errors are far too small on real data, where signatures
#' are never exact; quasi-Poisson errors are right only where the variance of
#' counts is proportional to their mean. Shares follow by the delta method. Their
#' intervals are symmetric on the logit scale when the estimate is about seven
#' standard errors or more away from 0 and 1. Closer to an end most of the error is
#' that of the other types and does not shrink with the estimate: there they are
#' symmetric around it and cut off at the end.
#' They start at 0 where [test_presence()] does not see the type at half of
#' 1 - `level`.
#'
#' A source at zero has no standard error but an upper limit: where the log-likelihood,
#' the other sources following to second order, has fallen by half the one-sided
#' \eqn{\chi^2_1} quantile, in units of the scale \eqn{d^T V d / d^T J d} of the
#' direction d in which it goes (1 for `"poisson"`, \eqn{\phi} for `"quasi"`).
#'
#' With the platform error model J and V are those of its objective: `"poisson"`
#' then trusts its error variances, `"quasi"` multiplies them by the dispersion
#' \eqn{\phi}, here the squared residuals in units of what the model expects of
#' them, gene by gene without its discount, and 1 at least.
#'
#' The sandwich of the Poisson model holds for the signatures as they are; that of
#' the platform model includes the error of the signatures as far as the cells of
#' the reference tell it.
#'
#' # Errors of whole types
#' Genes that mark a type err together, which no residual shows. `of = "shares"` adds
#' the covariance of that error, \eqn{J S J^T} with \eqn{J = \mathrm{diag}(p) - p p^T} (see
#' [type_error()]), and for shares of cells that of the mRNA per cell. All samples of a
#' cohort have it in common: `of = "differences"` leaves it out, for comparing samples;
#' [contrast()] does so. `variance = "poisson"` has counting errors only, in either case.
#'
#' # Coverage
#' On 17 pairs of a real truth set and a reference (blood beside cytometry, sorted
#' populations, tissues and RNA of cell lines mixed by mass, held-out donors) default
#' 95 % intervals of shares cover .95 of the truth on average, .85 at least, at a mean
#' width of .18; without the shared error they cover .50. Intervals of types that the
#' reference lacks, or of samples that it does not describe, hold nothing: look at
#' [diagnose()] first. In simulations of independent errors intervals without the shared
#' error cover .94 to .96, and with a shared error of the assumed size intervals with
#' it cover .95. `vignette("how-sure")` has the tables.
#'
#' # Bootstrap
#'
#' `method = "bootstrap"` fits all samples again, from where they are, under random
#' weights (Rubin, 1981). Over `"donors"`, weights of the reference's donors: the
#' signatures are rebuilt, and the intervals say how much the answer depends on
#' whose cells made them. With D donors the weights are Dirichlet with parameter
#' (D - 2) / D, which makes the variance of a mean unbiased also for few donors; it
#' is a rough guide below five. Over `"genes"`, weights of the genes: the
#' counterpart of the robust sandwich. Over both, either source of error; what the
#' donors do to single genes then counts twice, so these intervals err on the
#' safe side. Standard errors are those of the replicates, intervals are made from
#' them as above (percentiles would carry the bias of noisier signatures twice);
#' the limit of a type at zero is the one-sided percentile.
#'
#' @param object A [deconvolution] with its counts kept.
#' @param samples Samples to return; all by default.
#' @param what `"proportions"` (shares of mRNA), `"cell_fractions"`, `"column_shares"`
#'   (shares in units of the columns that were given as signatures) or `"exposures"`; by
#'   default cells where their sizes are known.
#' @param of `"shares"`: errors of a share in itself, with the error of each type's
#'   signature that all samples have in common, see [type_error()]. `"differences"`:
#'   without it, for comparing samples of one cohort, where it cancels.
#' @param variance For the sandwich: what is assumed of the counts; see above.
#' @param method `"sandwich"` or `"bootstrap"`; see above.
#' @param over For the bootstrap: `"donors"` (needs `donors` in
#'   [build_signatures()]), `"genes"`, or both. Intervals over the donors alone
#'   are for the part that the reference has in the error, and too short for the
#'   truth.
#' @param replicates Bootstrap replicates. More make the ends of the intervals
#'   less random: with 200 they move by about a tenth of their length.
#' @param seed A whole number makes the bootstrap repeatable; `NULL` takes one from
#'   R's random stream.
#' @param parm Types to return; all by default.
#' @param level Coverage of the intervals; for a type at zero, of the one-sided
#'   limit.
#' @param threads Threads to use. The answer does not depend on it.
#' @param BPPARAM For the sandwich: who works on blocks of samples, `NULL` for this session
#'   or a parameter of package BiocParallel; see [deconvolve_bulk()]. The answer does not
#'   depend on it. Counts on disk are read twice, for the errors and for the tests of
#'   presence that intervals start from (`vcov()` once).
#' @param ... None: other arguments are refused.
#' @return `vcov()`: an array types × types × samples (a matrix for one sample),
#'   under the sandwich 0 for types at zero. `confint()`: a data frame with
#'   `sample`, `type`, `estimate`, `std_error` (`NA` at zero), `lower` and `upper`.
#' @section Errors: `unalloy_error_no_counts` when the counts were not kept;
#'   `unalloy_error_penalised` for penalised fits, whose bias an interval would
#'   hide; `unalloy_error_donors` when the donors are not known.
#' @references
#' Rubin DB (1981). The Bayesian bootstrap. *The Annals of Statistics* 9:130.
#' @seealso [test_presence()], [diagnose()]
#' @name inference
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' confint(result)
#' sqrt(diag(vcov(result, samples = 1)))
#' confint(result, method = "bootstrap", replicates = 50, seed = 1)
NULL

#' @rdname inference
#' @export
vcov.deconvolution <- function(object, samples = NULL, what = NULL,
                               of = c("shares", "differences"),
                               variance = c("robust", "quasi", "poisson"),
                               method = c("sandwich", "bootstrap"),
                               over = c("donors", "genes"), replicates = 200, seed = NULL,
                               threads = getOption("unalloy.threads", 2L), BPPARAM = NULL,
                               ...) {
  here <- environment()
  refuse_dots(..., .call = here)
  how <- check_inference(method, over, replicates, variance, names(match.call()), here)
  how$of <- check_choice(of, OF_WHAT, "of")
  what <- share_asked_for(what, object, here)
  object <- ready_for_inference(object, samples, here, BPPARAM)
  covariance <- if (how$method == "sandwich") {
    infer_samples(object, what, how$variance, 0.95, threads, here, how$of)$covariance
  } else {
    infer_bootstrap(object, what, how, 0.95, seed, threads, here)$covariance
  }
  if (dim(covariance)[3L] > 1L) return(covariance)
  matrix(covariance, nrow(covariance), dimnames = dimnames(covariance)[1:2])
}

#' @rdname inference
#' @export
confint.deconvolution <- function(object, parm = NULL, level = 0.95, samples = NULL,
                                  what = NULL, of = c("shares", "differences"),
                                  variance = c("robust", "quasi", "poisson"),
                                  method = c("sandwich", "bootstrap"),
                                  over = c("donors", "genes"), replicates = 200, seed = NULL,
                                  threads = getOption("unalloy.threads", 2L), BPPARAM = NULL,
                                  ...) {
  here <- environment()
  refuse_dots(..., .call = here)
  level <- check_number(level, "level", 0, 0.999999, above = TRUE)
  how <- check_inference(method, over, replicates, variance, names(match.call()), here)
  how$of <- check_choice(of, OF_WHAT, "of")
  what <- share_asked_for(what, object, here)
  object <- ready_for_inference(object, samples, here, BPPARAM)
  types <- chosen_types(object, parm, here)
  inferred <- if (how$method == "sandwich") {
    found <- infer_samples(object, what, how$variance, level, threads, here, how$of)
    found$seen <- seen_at(object, found, how$variance, level, threads, here)
    found
  } else {
    infer_bootstrap(object, what, how, level, seed, threads, here)
  }
  intervals <- intervals_from(inferred, level, what)
  out <- long_shares(inferred$estimate, "estimate")
  out[c("std_error", "lower", "upper")] <- lapply(intervals, as.vector)
  if (!is.null(types)) out <- out[out$type %in% types, ]
  rownames(out) <- NULL
  out
}

# The arguments that say how, checked; `given` are the names in the call.
check_inference <- function(method, over, replicates, variance, given, .call) {
  method <- check_choice(method, c("sandwich", "bootstrap"), "method", .call = .call)
  variance <- check_choice(variance, VARIANCES, "variance", .call = .call)
  idle <- intersect(if (method == "sandwich") c("over", "replicates", "seed") else
    c("variance", "BPPARAM"), given)
  if (length(idle)) {
    warn_user("unused_argument",
              paste0("`", idle[1L], "` has no effect with `method = \"", method, "\"`."),
              .call = .call)
  }
  if (!is.character(over) || !length(over) || !all(over %in% c("donors", "genes"))) {
    stop_user("argument", "`over` must be \"donors\", \"genes\" or both.",
              x = paste0("It is ", describe(over), "."), .call = .call)
  }
  replicates <- check_count(replicates, "replicates", 2, MOST_REPEATS, .call = .call)
  list(method = method, over = over, replicates = replicates, variance = variance)
}

# Of what an error is asked for; see the documentation.
OF_WHAT <- c("shares", "differences")

# The result, checked and reduced to the samples that were asked for.
ready_for_inference <- function(object, samples, .call, BPPARAM = NULL) {
  check_intact(object, "object", .call)
  need_unpenalised(object, .call)
  object <- with_plan(object, work_plan(BPPARAM, .call = .call))
  if (is.null(samples)) return(object)
  object[sample_index(samples, object$convergence$sample, .call = .call)]
}

# The result with its counts given to workers.
with_plan <- function(object, plan) {
  if (!is.null(plan) && !is.null(object$counts)) object$counts$plan <- plan
  object
}

# Names of the types that `parm` stands for.
chosen_types <- function(object, parm, .call) {
  check_named(parm, "parm", "types of the result", .call)
  types <- rownames(object$proportions)
  absent <- setdiff(parm, if (is.numeric(parm)) seq_along(types) else types)
  if (length(absent)) {
    stop_user("argument", "`parm` must name types of the result.",
              x = paste0("Unknown: ", some_of(absent), "."), .call = .call)
  }
  if (is.numeric(parm)) types[parm] else parm
}

# Estimates, covariance and limits from bootstrap replicates.
#
# Donors of the reference carry the part of the shared error that donors make: beside
# them only that between platforms is added.  Over donors alone the reference's part
# is all that is asked for.
infer_bootstrap <- function(object, what, how, level, seed, threads, .call) {
  threads <- check_threads(threads, .call = .call)
  drawn <- bootstrap_exposures(object, how$over, how$replicates, seed, threads, .call)
  at <- function(values, p) {
    apply(values, 1:2, stats::quantile, p, na.rm = TRUE, names = FALSE)
  }
  shares <- apply(drawn, 3L, function(exposures) shares_as(exposures, object, what))
  shares <- array(shares, dim(drawn), c(dimnames(object$proportions), list(NULL)))
  inferred <- list(estimate = shares_as(object$exposures, object, what),
                   covariance = covariance_over(shares), limits = at(shares, level),
                   seen = at(shares, (1 - level) / 2) > 0)
  if (how$of == "differences" || identical(how$over, "donors")) return(inferred)
  add_to_shares(inferred, object, what, stats::qnorm(level),
                if ("donors" %in% how$over) "platform" else "sd")
}

# The shared error added to the covariance and the limits of shares.
add_to_shares <- function(inferred, object, what, z, size) {
  types <- seq_len(object$model$n_types)
  none <- list(covariance = array(0, c(rep(length(types), 2L), ncol(object$exposures))),
               limits = 0 * object$exposures[types, , drop = FALSE])
  alone <- add_shared_error(none, object, what, z, size)
  alone <- as_shares(object$exposures, alone$covariance, alone$limits, length(types),
                     units_of(object, what))
  inferred$covariance <- inferred$covariance + alone$covariance
  inferred$limits <- sqrt(inferred$limits^2 + alone$limits^2)
  inferred
}

# Covariance over replicates, types x types x samples.
covariance_over <- function(drawn) {
  covariance <- apply(drawn, 2L, function(x) stats::cov(t(x), use = "na.or.complete"))
  array(covariance, dim(drawn)[c(1L, 1L, 2L)], dimnames(drawn)[c(1L, 1L, 2L)])
}

# Estimates (types x samples), covariance (types x types x samples) and upper
# limits at zero (types x samples) of one kind of share; `scales` and `inflation` are
# those of the test of presence.  `of` says whether the error that the samples of a
# cohort share is in them.
infer_samples <- function(object, what, variance, level, threads, .call, of = "differences") {
  threads <- check_threads(threads, .call = .call)
  inferred <- infer_exposures(object, variance, stats::qchisq(max(2 * level - 1, 0), 1), threads,
                              .call)
  inferred$inflation <- 1 + 0 * object$exposures
  if (of == "shares" && !is_counting_only(variance)) {
    types <- seq_len(object$model$n_types)
    inferred$inflation[types, ] <- presence_inflation(inferred, object)
    inferred <- add_shared_error(inferred, object, what, stats::qnorm(max(level, 0.5)))
  }
  shares <- as_shares(object$exposures, inferred$covariance, inferred$limits,
                      object$model$n_types, units_of(object, what))
  c(shares, inferred[c("scales", "inflation")])
}

# Whether the test of presence at half of 1 - level sees each type, types x
# samples.
seen_at <- function(object, inferred, variance, level, threads, .call) {
  threshold <- stats::qnorm(1 - (1 - level) / 2)^2
  presence_statistics(object, inferred$scales, inferred$inflation, variance, 2 * threshold,
                      threads, .call) > threshold
}

# The joint distribution of the errors of all shares of a cohort, for whatever
# compares samples:
#   estimate        types x samples
#   covariance      types x types x samples, V_s: errors of each sample's own
#   moves           types x errors x samples, M_s: what the shared log errors move
#   log_covariance  errors x errors, S
# Cov(p_s, p_t) = [s = t] V_s + M_s S M_t'.  Sums with weights c of sum 0 are
# differences, in which M = sum c_s M_s vanishes where compositions agree.
#
# A type at zero has the error of its limit here, for it may differ from others.
within_cohort <- function(object, what, variance, threads, .call) {
  level <- 0.95
  inferred <- infer_samples(object, what, variance, level, threads, .call)
  estimate <- inferred$estimate
  n_types <- nrow(estimate)
  for (s in seq_len(ncol(estimate))) {
    zero <- which(estimate[, s] == 0)
    inferred$covariance[cbind(zero, zero, rep(s, length(zero)))] <-
      (inferred$limits[zero, s] / stats::qnorm(level))^2
  }
  shared <- shared_error(object)
  size <- if (what == "cell_fractions") object$cell_size_error
  own <- object$exposures[seq_len(n_types), , drop = FALSE]
  per <- units_of(object, what)
  moves <- vapply(seq_len(ncol(estimate)), function(s) {
    slope <- (diag(n_types) - estimate[, s]) / sum(own[, s] / per) / rep(per, each = n_types)
    cbind(slope * rep(shared$moves[, s], each = n_types),
          if (!is.null(size)) slope * rep(own[, s], each = n_types))
  }, matrix(0, n_types, n_types * (1L + !is.null(size))))
  none <- matrix(0, n_types, if (is.null(size)) 0L else n_types)
  log_covariance <- rbind(cbind(shared$log_covariance, none),
                          if (!is.null(size)) cbind(none, size))
  if (is_counting_only(variance)) log_covariance <- 0 * log_covariance
  list(estimate = estimate, covariance = inferred$covariance, moves = moves,
       log_covariance = log_covariance)
}
