#' Subtypes of patients
#'
#' Whether samples fall into groups, by their shares of cell types, by what types
#' express in them, by metagenes or by the bulk itself, and how many groups.
#'
#' # Method
#'
#' The features of the largest variance are centred and reduced to principal
#' components. For each number of clusters k, samples are split at random into two halves;
#' each half is clustered alone, its centres sort all samples, and the *stability* is the
#' mean adjusted Rand index of the two partitions over the splits.
#'
#' *A stable partition is no proof of groups*: a single cloud that is longer one way is
#' split the same way again and again. So the same is done for `null` clouds without groups
#' that have the same covariance. A cloud that is longer to one side is split at its tail
#' again and again, so the null clouds are as skewed as the data, with one mode on every
#' axis (`"skewed"`); `"gaussian"` draws Gaussian ones given the sample covariance, which is
#' exact for Gaussian data, and takes skewed data for groups. With \eqn{z_k} the stability
#' above the mean of the null clouds in units of their spread (plus 0.02), `p_value` is the
#' share of clouds whose largest z is that of the data or more. Above `level` there are no
#' subtypes, k = 1. Else, of the numbers with z above 2.5, the one of the highest stability is
#' taken; others within one standard error of it are named in `competing`, and should be
#' looked at.
#'
#' Neither features nor k may be chosen by survival: the subtypes would then differ in
#' it by construction.
#'
#' # Values
#'
#' Shares are taken as log odds (`scale`). Expression of a type is \eqn{\log_2(\mathrm{CPM} +
#' \mathtt{offset})} as predicted, which is shrunk by its reliability: what the bulk does not
#' tell does not vary, and so does not count. Of several types the blocks are scaled to the
#' same total variance. A bulk matrix is taken as it is: give logarithms.
#'
#' @inheritParams compare_groups
#' @param k Numbers of subtypes to try.
#' @param n_features Features of the largest variance to use.
#' @param dimensions Principal components to use, fewer where there are fewer than four
#'   samples for each. More keep more of the differences, and more noise.
#' @param method `"kmeans"`, or `"hierarchical"`: Ward's tree.
#' @param resamples Random splits. More make the stability less random.
#' @param null Clouds without groups; the smallest p value is 1 / (`null` + 1).
#' @param null_model See *Method*.
#' @param level Significance at which there are subtypes.
#' @param verbose Show progress?
#' @param seed A whole number makes the answer repeatable; `NULL` takes one from R's
#'   random stream.
#' @return An object of class [subtypes].
#' @section Errors: `unalloy_error_too_few_samples` for fewer than four samples per
#'   subtype; `_argument`; those of [compare_groups()] for `x`.
#' @references
#' Tibshirani R, Walther G (2005). Cluster validation by prediction strength. *J. Comput.
#' Graph. Stat.* 14:511.
#'
#' Senbabaoglu Y, Michailidis G, Li JZ (2014). Critical limitations of consensus
#' clustering in class discovery. *Scientific Reports* 4:6207.
#' @seealso [predict()][predict.subtypes] for new samples, [replicate_subtypes()],
#'   [compare_survival()], [test_enrichment()]
#' @export
#' @examples
#' set.seed(1)
#' group <- rep(1:2, each = 30)
#' x <- matrix(rnorm(40 * 60), 40) + outer(rnorm(40), group)
#' dimnames(x) <- list(paste0("Gene", 1:40), paste0("Patient", 1:60))
#' found <- find_subtypes(x, k = 2:4, null = 40, seed = 1)
#' found
#' table(found$assignment, group)
find_subtypes <- function(x, types = NULL, k = 2:6, n_features = 1000, dimensions = 10,
                          method = c("kmeans", "hierarchical"), resamples = 50, null = 100,
                          null_model = c("skewed", "gaussian"), level = 0.05, samples = NULL,
                          what = NULL, scale = NULL, min_reliability = 0.2, offset = 10,
                          seed = NULL, threads = getOption("unalloy.threads", 2L),
                          verbose = interactive()) {
  check_call()
  here <- environment()
  call <- match.call()
  method <- check_choice(method, c("kmeans", "hierarchical"), "method")
  null_model <- check_choice(null_model, NULL_MODELS, "null_model")
  n_features <- check_count(n_features, "n_features")
  dimensions <- check_count(dimensions, "dimensions")
  resamples <- check_count(resamples, "resamples", 2, MOST_REPEATS)
  null <- check_count(null, "null", 19, MOST_REPEATS)
  level <- check_number(level, "level", 0, 1)
  verbose <- check_flag(verbose, "verbose")
  threads <- check_threads(threads)
  seed <- check_seed(seed)
  k <- subtype_numbers(k, here)
  how <- list(what = what, scale = scale, types = types, errors = FALSE,
              min_reliability = check_number(min_reliability, "min_reliability", 0, 1),
              offset = check_number(offset, "offset", 0, above = TRUE))
  if (is.null(scale) && inherits(x, "deconvolution")) how$scale <- "logit"
  if (!is.null(types) && !inherits(x, "cell_type_expression")) {
    stop_user("argument", "`types` is for expression of types.")
  }
  measured <- measured_values(x, how, .call = here)
  table <- if (is.null(samples)) measured$sample_data
           else match_samples(samples, measured$samples, .call = here)
  used <- complete_samples(measured)
  if (length(used) < 4L * max(k)) {
    stop_user("too_few_samples", "There are too few samples for so many subtypes.",
              x = paste0(plural(length(used), "sample"), " with every value; ", max(k),
                         " subtypes need ", 4L * max(k), "."), i = "Lower `k`.")
  }
  chosen <- subtype_features(measured, used, n_features, here)
  most <- min(dimensions, length(used) %/% 4L, nrow(chosen$values))
  reduced <- principal_scores(chosen$values, most)
  with_seed(seed, {
    sets <- c(list(reduced$scores), null_clouds(reduced$scores, null_model, null))
    agreement <- halves_agree(sets, k, method, resamples, seed, threads, here)
    number <- choose_number(agreement, k, level)
    cluster <- partition_of(reduced$scores, number$k, method)
    consensus <- if (length(used) <= MOST_CONSENSUS) {
      consensus_of(reduced$scores, number$k, method, resamples)
    }
  })
  new_subtypes(cluster, number, chosen, reduced, consensus, table,
               list(how = how, noun = measured$noun, method = method, null_model = null_model,
                    null = null, resamples = resamples, level = level, seed = seed,
                    left_out = setdiff(measured$samples, used), call = call))
}

# The consensus of more samples is a matrix that nobody can look at.
MOST_CONSENSUS <- 3000L

subtype_numbers <- function(k, .call) {
  if (!is.numeric(k) || !length(k)) check_count(k, "k", .call = .call)
  k <- sort(unique(vapply(k, check_count, 0, what = "k", min = 2, max = 1000, .call = .call)))
  as.integer(k)
}
