#' Compare recovered profiles with the truth
#'
#' @section Scores:
#' \describe{
#'   \item{`overall_pearson`, `overall_spearman`}{Over all genes and samples at
#'     once. **High for any method that knows the mean of each gene**: genes differ
#'     far more from one another than samples do, so a recovery that gives every
#'     sample the mean profile can reach 0.9. Reports that show only this, or the
#'     sample correlation, show little.}
#'   \item{`gene_pearson`, `gene_spearman`}{Across samples, for each gene; mean over
#'     genes. 0 for a recovery that knows gene means only: what tells whether
#'     differences between samples are right.}
#'   \item{`sample_pearson`, `sample_spearman`}{Across genes, for each sample; mean
#'     over samples. Contains the differences between gene means, as the overall
#'     correlation does.}
#'   \item{`sample_distance`, `gene_distance`}{Pearson correlation of the Euclidean
#'     distances between samples (genes) in truth and recovery: is who resembles whom
#'     preserved? With `_spearman`: rank correlation.}
#'   \item{`coverage`}{If `recovered` has standard errors: the share of true values
#'     within the 95 % intervals.}
#' }
#' A gene (sample) whose true values do not vary has no correlation and is left
#' out; one whose recovered values do not vary counts as 0, for nothing of the truth
#' is in it.
#'
#' Intervals are from a jackknife over groups of samples: every score is computed
#' without each group in turn, on the scale of Fisher's z (the logit for the
#' coverage), with Student's t. They say how far the score would move with other
#' *samples* of the same kind; genes, measurements and dictionary are as they are.
#' The dictionary's and the measurements' share is in the repeats of
#' [benchmark_recovery()].
#'
#' @param truth Genes × samples, as `x` of [measure()].
#' @param recovered A result of [recover_profiles()], or a matrix. Genes and samples are
#'   matched by name; all of `truth` must be there.
#' @param level Of the intervals.
#' @param groups Groups of the jackknife; no more than samples.
#' @param max_distances Distances are taken between at most this many samples and
#'   genes, evenly spread over all.
#' @inheritParams measure
#' @return An object of class `recovery_evaluation`, a list:
#'   \item{scores}{Data frame: `score`, `estimate`, `lower`, `upper`. A score that
#'     these data do not have is `NA`.}
#'   \item{genes}{A row per gene: `gene`, `pearson`, `spearman`, `rmse`.}
#'   \item{samples}{A row per sample: `sample`, `pearson`, `spearman`, `rmse`.}
#' @section Errors: `unalloy_error_absent_genes`, `unalloy_error_no_common_genes`,
#'   `unalloy_error_sample_names` for genes and samples of `truth` that are not in
#'   `recovered`; `unalloy_error_missing_values`, `unalloy_error_infinite_values`.
#' @references Efron and Tibshirani (1993), *An Introduction to the Bootstrap*,
#'   chapter 11.
#' @seealso [recover_profiles()], [benchmark_recovery()]
#' @order 1
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 100, n_samples = 40, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' x <- x[apply(x, 1, sd) > 0, ]
#' # every sample gets the mean profile
#' mean_profile <- x
#' mean_profile[] <- rowMeans(x)
#' evaluate_recovery(x, mean_profile)
evaluate_recovery <- function(truth, recovered, level = 0.95, groups = 20, max_distances = 200,
                              assay = NULL, threads = getOption("unalloy.threads", 2L),
                              verbose = TRUE) {
  check_call()
  truth <- profile_matrix(truth, "truth", assay)
  errors <- if (inherits(recovered, "recovery")) recovered$standard_errors
  if (inherits(recovered, "recovery")) recovered <- recovered$profiles
  recovered <- profile_matrix(recovered, "recovered")
  level <- check_number(level, "level", 0, 1)
  groups <- check_count(groups, "groups", min = 2)
  max_distances <- check_count(max_distances, "max_distances", min = 2)
  threads <- check_threads(threads)
  verbose <- check_flag(verbose, "verbose")
  rows <- place_of_genes(truth$genes, recovered$genes, nrow(truth$values),
                         nrow(recovered$values), "truth", "recovered")
  columns <- place_of_samples(truth$samples, recovered$samples)
  estimate <- recovered$values[rows, columns, drop = FALSE]
  found <- evaluate_matrices(truth$values, estimate, groups, max_distances, threads, verbose)
  scores <- jackknife_intervals(found, level)
  if (!is.null(errors)) {
    covered <- abs(truth$values - estimate) <= stats::qnorm(0.975) * errors[rows, columns]
    scores <- rbind(scores, coverage_interval(covered, level))
  }
  error <- (truth$values - estimate)^2
  genes <- truth$genes %||% paste0("gene", seq_along(found$gene_pearson))
  structure(
    list(
      scores = scores,
      genes = data.frame(gene = genes, pearson = found$gene_pearson,
                         spearman = found$gene_spearman, rmse = sqrt(rowMeans(error))),
      samples = data.frame(sample = truth$samples, pearson = found$sample_pearson,
                           spearman = found$sample_spearman, rmse = sqrt(colMeans(error)))
    ),
    class = "recovery_evaluation"
  )
}

evaluate_matrices <- function(truth, recovered, groups, max_distances, threads, verbose,
                              .call = caller_env()) {
  call_rs(rs_evaluate_recovery, truth = truth, recovered = recovered, groups = groups,
          most_distances = max_distances, threads = threads,
          progress = progress_bar("Evaluating", groups, verbose), .call = .call)
}

place_of_samples <- function(wanted, samples, .call = caller_env()) {
  place <- match(wanted, samples)
  if (anyNA(place)) {
    stop_user("sample_names", "Every sample of `truth` must be in `recovered`.",
              x = paste0("Not there: ", some_of(wanted[is.na(place)]), "."),
              i = paste("Samples are matched by column names; without names they are \"Sample 1\",",
                        "\"Sample 2\", ..."), .call = .call)
  }
  place
}

# Intervals on the scale of Fisher's z from scores without each group.
jackknife_intervals <- function(found, level) {
  without <- found$without_group
  g <- ncol(without)
  # a score of 1 has no z: stay off by rounding
  z <- function(r) atanh(pmin(pmax(r, -1 + 1e-12), 1 - 1e-12))
  deviation <- z(without) - rowMeans(z(without))
  error <- sqrt((g - 1) / g * rowSums(deviation^2))
  half <- if (g > 1L) stats::qt((1 + level) / 2, g - 1) * error else NA_real_
  score <- ifelse(is.nan(found$scores), NA_real_, found$scores)
  data.frame(score = found$metrics, estimate = score, lower = tanh(z(score) - half),
             upper = tanh(z(score) + half))
}

# Samples are the units: genes of one sample are not independent.
coverage_interval <- function(covered, level) {
  shares <- colMeans(covered)
  n <- length(shares)
  estimate <- mean(shares)
  error <- if (n > 1L) stats::sd(shares) / sqrt(n) else NA_real_
  inner <- min(max(estimate, 1e-6), 1 - 1e-6)
  # NA for one sample, as its error
  half <- suppressWarnings(stats::qt((1 + level) / 2, n - 1)) * error / (inner * (1 - inner))
  data.frame(score = "coverage", estimate = estimate,
             lower = stats::plogis(stats::qlogis(inner) - half),
             upper = stats::plogis(stats::qlogis(inner) + half))
}
