#' Do subtypes repeat in a second cohort?
#'
#' Sorts a second cohort by the centroids of the first, and asks whether the subtypes are
#' groups there, too: more than a single cloud with the covariance of the second
#' cohort would show.
#'
#' Three statistics, each with a p value from `null` clouds without groups (see
#' [find_subtypes()]), sorted by the same centroids: the *in-group proportion*, the
#' share of samples of a subtype whose nearest neighbour is of the same subtype (Kapp and
#' Tibshirani, 2007), per subtype and over all; `explained`, the share of the variance
#' that lies between the subtypes; and `adjusted_rand`, the agreement with a clustering of
#' the second cohort on its own, at the same number. Labels permuted at random would be no
#' null: any division of a cloud by centroids puts neighbours together. All three are taken in
#' as many principal components of the second cohort as the first had. `p_value` of the whole
#' is that of `explained`.
#'
#' @param subtypes [subtypes] of the first cohort.
#' @param newdata The second cohort, in the form that the first had.
#' @param survival A [survival_comparison] of `subtypes` in the first cohort. With `time`
#'   and `event` of the second, one hypothesis is then tested there: that the
#'   log hazard grows with that of the sample's subtype in the first cohort
#'   (one-sided).
#' @param time,event,samples As in [compare_survival()], of the second cohort.
#' @param null Clouds without groups.
#' @param seed,threads As in [find_subtypes()].
#' @return An object of class `subtype_replication`, a list:
#'   \item{`subtypes`}{Data frame: `subtype`, `n`, `in_group`, `null_mean`, `p_value`, and
#'     `concordance`, the correlation of the subtype's centroids in the two cohorts.}
#'   \item{`overall`}{Data frame: `statistic` (`"explained"`, `"in_group"`, `"adjusted_rand"`),
#'     `value`, `null_mean`, `null_sd`, `p_value`.}
#'   \item{`p_value`}{That of `explained`.}
#'   \item{`assignment`}{The subtype of each new sample.}
#'   \item{`table`}{Assignment against the clusters of the second cohort on its own, these in
#'     the order that matches best.}
#'   \item{`survival`}{With times: the [survival_comparison] of the second cohort, and
#'     `trend`: `coefficient` (1 where hazards are as in the first cohort), `std_error`,
#'     `p_value`, `same_direction`.}
#' @section Errors: `unalloy_error_no_subtypes` where the first cohort has none;
#'   `_features` and `_too_few_samples` for the second; those of [compare_survival()].
#' @references
#' Kapp AV, Tibshirani R (2007). Are clusters found in one dataset present in another
#' dataset? *Biostatistics* 8:9.
#' @export
#' @examples
#' set.seed(1)
#' group <- rep(1:2, 50)
#' x <- matrix(rnorm(40 * 100), 40) + outer(rnorm(40), group)
#' dimnames(x) <- list(paste0("Gene", 1:40), paste0("Patient", 1:100))
#' found <- find_subtypes(x[, 1:50], k = 2:4, null = 40, seed = 1)
#' replicate_subtypes(found, x[, 51:100], seed = 1)
replicate_subtypes <- function(subtypes, newdata, survival = NULL, time = NULL, event = NULL,
                               samples = NULL, null = 200, seed = NULL,
                               threads = getOption("unalloy.threads", 2L)) {
  check_call()
  here <- environment()
  check_subtypes(subtypes)
  null <- check_count(null, "null", 19, MOST_REPEATS)
  seed <- check_seed(seed)
  subtypes$how$threads <- check_threads(threads)
  if (subtypes$k == 1L) {
    stop_user("no_subtypes", "The first cohort has no subtypes.",
              x = paste0("p is ", format(subtypes$p_value, digits = 2), " that it is one cloud."))
  }
  if (is.null(time) != is.null(event) || (!is.null(survival) && is.null(time))) {
    stop_user("argument", "Survival needs `time` and `event` of the second cohort.")
  }
  if (!is.null(survival) && !inherits(survival, "survival_comparison")) {
    stop_user("argument", "`survival` must be a result of `compare_survival()`.",
              x = paste0("It is ", describe(survival), "."))
  }
  found <- aligned_to(subtypes, newdata, here)
  centroids <- subtypes$centroids[found$features, , drop = FALSE]
  most <- min(ncol(subtypes$scores), ncol(found$values) - 1L)
  reduced <- principal_scores(found$values, most)
  toward <- crossprod(reduced$loadings, centroids)
  k <- subtypes$k
  method <- subtypes$settings$method
  measure <- function(scores) {
    class <- cosine_class(scores, toward)
    alone <- partition_of(scores, k, method)
    groups <- in_group(scores, class, k)
    list(class = class, alone = alone, groups = groups[seq_len(k)],
         overall = c(explained = between_share(scores, class), in_group = groups[k + 1L],
                     adjusted_rand = adjusted_rand(class, alone)))
  }
  with_seed(seed, {
    seen <- measure(reduced$scores)
    nulls <- lapply(null_clouds(reduced$scores, subtypes$settings$null_model, null), measure)
  })
  assignment <- sorted_samples(found$values, centroids, "class", 0)
  table <- if (is.null(samples)) found$sample_data
           else match_samples(samples, names(assignment), .call = here)
  followed <- if (!is.null(time)) {
    replicate_survival(assignment, survival, time, event, table, here)
  }
  new_replication(seen, nulls, assignment, centroids, found$values, followed,
                  list(k = k, null = null, seed = seed, first = length(subtypes$assignment),
                       call = match.call()))
}

# The centroid of the smallest angle.
cosine_class <- function(scores, toward) {
  toward <- toward / rep(sqrt(colSums(toward^2)), each = nrow(toward))
  max.col(scores %*% toward, ties.method = "first")
}

new_replication <- function(seen, nulls, assignment, centroids, values, followed, settings) {
  p_of <- function(value, null) {
    if (is.na(value)) return(NA_real_)
    (1 + sum(null >= value, na.rm = TRUE)) / (1 + length(null))
  }
  names <- levels(assignment)
  groups <- do.call(cbind, lapply(nulls, `[[`, "groups"))
  overall <- do.call(cbind, lapply(nulls, `[[`, "overall"))
  concordance <- vapply(seq_along(names), function(i) {
    own <- which(assignment == names[i])
    if (length(own) < 2L) return(NA_real_)
    stats::cor(rowMeans(values[, own, drop = FALSE]), centroids[, i])
  }, 0)
  n_groups <- seq_along(names)
  structure(list(
    subtypes = data.frame(
      subtype = factor(names, names), n = as.vector(table(assignment)), in_group = seen$groups,
      null_mean = rowMeans(groups, na.rm = TRUE),
      p_value = vapply(n_groups, function(i) p_of(seen$groups[i], groups[i, ]), 0),
      concordance = concordance
    ),
    overall = data.frame(
      statistic = names(seen$overall), value = unname(seen$overall),
      null_mean = rowMeans(overall), null_sd = apply(overall, 1L, stats::sd),
      p_value = vapply(1:3, function(i) p_of(seen$overall[i], overall[i, ]), 0), row.names = NULL
    ),
    p_value = p_of(seen$overall[1L], overall[1L, ]), assignment = assignment,
    table = matched_table(assignment, seen$alone), survival = followed, settings = settings
  ), class = "subtype_replication")
}

# Clusters in the order that puts most samples on the diagonal: the largest cell first.
matched_table <- function(assignment, alone) {
  both <- table(subtype = assignment, cluster = alone)
  left <- unclass(both)
  order <- integer(ncol(both))
  for (step in seq_len(min(dim(both)))) {
    at <- which(left == max(left), arr.ind = TRUE)[1L, ]
    order[at[1L]] <- at[2L]
    left[at[1L], ] <- -1
    left[, at[2L]] <- -1
  }
  both[, c(order[order > 0L], setdiff(seq_len(ncol(both)), order)), drop = FALSE]
}

# Hazards of the second cohort, and whether they go with those of the first.
replicate_survival <- function(assignment, survival, time, event, table, .call) {
  data <- survival_data(time, event, NULL, table, names(assignment), .call)
  compared <- withCallingHandlers(
    compare_survival(assignment, stats::setNames(data$time, names(assignment)),
                     stats::setNames(data$event, names(assignment))),
    unalloy_warning_few_events = function(w) rlang::cnd_muffle(w)
  )
  if (is.null(survival)) return(list(comparison = compared, trend = NULL))
  groups <- levels(survival$data$group)
  known <- stats::coef(survival$fit)[paste0("group", groups[-1L])]
  hazard <- stats::setNames(c(0, pmin(pmax(known, -10), 10)), groups)
  data$value <- unname(hazard[as.character(assignment)])
  data <- data[stats::complete.cases(data), ]
  fit <- quiet_cox(cox_formula("value", data), data)
  coefficient <- stats::coef(fit)[["value"]]
  error <- sqrt(stats::vcov(fit)[1L, 1L])
  list(comparison = compared,
       trend = data.frame(coefficient = coefficient, std_error = error,
                          p_value = stats::pnorm(-coefficient / error),
                          same_direction = coefficient > 0))
}

#' @rdname replicate_subtypes
#' @param x A `subtype_replication`.
#' @param ... None: other arguments are refused.
#' @export
print.subtype_replication <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat(x$settings$k, " subtypes of ", plural(x$settings$first, "sample"), " in a second cohort of ",
      length(x$assignment), "\n", if (x$p_value < 0.05) "They are groups there, too"
      else "They are NO groups there: a single cloud would look like that", " (p ",
      format(x$p_value, digits = 2), ")\n\n", sep = "")
  print(format_columns(x$overall), row.names = FALSE)
  cat("\n")
  print(format_columns(x$subtypes), row.names = FALSE)
  if (!is.null(x$survival)) {
    cat("\nSurvival: log-rank p ",
        format(x$survival$comparison$logrank[["p_value"]], digits = 2), sep = "")
    if (!is.null(x$survival$trend)) {
      cat("; hazards ", if (x$survival$trend$same_direction) "in the same order" else
        "NOT in the same order", " as in the first cohort, p ",
        format(x$survival$trend$p_value, digits = 2), " (one-sided)", sep = "")
    }
    cat("\n")
  }
  invisible(x)
}
