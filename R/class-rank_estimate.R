# What estimate_rank() returns.
# nolint start: object_name_linter. Methods, and names that others chose.

#' The result of comparing ranks
#'
#' What [estimate_rank()] returns: the fit of each rank, its measures, and a
#' suggestion.
#'
#' @details
#' A `rank_estimate` is a list:
#' \describe{
#'   \item{`measures`}{Data frame, a row per rank; see [estimate_rank()] and
#'     [summary.nmf_fit()]. `reason` tells why a rank failed.}
#'   \item{`fit`}{List of [nmf_fit], named by rank; also `estimate[["3"]]`.}
#'   \item{`errors`}{`cv` and `bicv`: data frames with `fold`, `rank`, `error` and
#'     `entries`, the number that was held out.}
#'   \item{`suggestion`}{Data frame: `rule`, `rank`, and whether it is the
#'     `primary` one.}
#'   \item{`failures`}{Reasons why a whole measure is missing.}
#' }
#'
#' @param x,object A `rank_estimate`.
#' @param i A rank.
#' @param digits Digits to print.
#' @param what For `plot()`: the panels to show; all that were computed by
#'   default.
#' @param main Title.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused. For `consensusmap()`, arguments of
#'   [consensusmap.nmf_fit()].
#' @return `plot()`: a ggplot; `as.data.frame()`: the measures; `[[`: an [nmf_fit];
#'   `consensusmap()`: a list of ggplots by rank.
#' @section Errors: `unalloy_error_argument` for a rank that is not there.
#' @name rank_estimate
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 20, seed = 1)
#' estimate <- estimate_rank(sim$bulk_counts, ranks = 2:4, nrun = 4, method = "kl", seed = 1,
#'                           verbose = FALSE)
#' estimate$suggestion
#' plot(estimate, what = c("held-out error", "cophenetic"))
#' as.data.frame(estimate)[c("rank", "cv.error", "cophenetic")]
NULL

new_rank_estimate <- function(measures, fits, errors, failures, settings, call) {
  rownames(measures) <- NULL
  structure(list(measures = measures, fit = fits, errors = errors,
                 suggestion = suggest_rank(measures, errors), failures = failures,
                 settings = settings, call = call), class = "rank_estimate")
}

suggest_rank <- function(measures, errors) {
  found <- c("held-out error" = one_error_rule(errors$cv),
             "bi-cross-validation" = one_error_rule(errors$bicv),
             "cophenetic" = before_fall(measures$rank, measures$cophenetic),
             "null residual" = beyond_null(measures))
  out <- data.frame(rule = names(found), rank = unname(found))
  out$primary <- seq_len(nrow(out)) == which(!is.na(out$rank))[1L]
  out$primary[is.na(out$primary)] <- FALSE
  out
}

# The smallest rank whose mean error is not more than one standard error (of the
# lowest, over folds) above the lowest (Breiman et al. 1984).
one_error_rule <- function(errors) {
  if (is.null(errors)) return(NA_real_)
  table <- tapply(errors$error, list(errors$fold, errors$rank), mean)
  table <- table[, colSums(is.na(table)) == 0, drop = FALSE]
  if (!ncol(table)) return(NA_real_)
  means <- colMeans(table)
  best <- which.min(means)
  min(as.numeric(colnames(table))[means <= means[best] + standard_error(table[, best])])
}

# The rank before the largest fall.
before_fall <- function(ranks, values) {
  known <- which(!is.na(values))
  falls <- -diff(values[known])
  if (!length(falls) || max(falls) <= 0) return(NA_real_)
  ranks[known][which.max(falls)]
}

# The last rank at which the residual falls by more than that of permuted data,
# each as a part of its value at the lowest rank.
beyond_null <- function(measures) {
  known <- which(!is.na(measures$residuals) & !is.na(measures$residuals.null))
  if (length(known) < 2L) return(NA_real_)
  gain <- -diff(relative_to_first(measures$residuals[known]))
  chance <- -diff(relative_to_first(measures$residuals.null[known]))
  ahead <- which(gain > chance)
  measures$rank[known][if (length(ahead)) max(ahead) + 1L else 1L]
}

relative_to_first <- function(values) {
  first <- values[!is.na(values)][1L]
  if (is.na(first) || first == 0) values else values / first
}

#' @rdname rank_estimate
#' @export
print.rank_estimate <- function(x, digits = 4, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  measures <- x$measures
  fitted <- measures$rank[!is.na(measures$residuals)]
  cat("Ranks ", toString(measures$rank), ": ", plural(x$settings$nrun, "run"), " each, method \"",
      x$settings$method, "\"\n", sep = "")
  shown <- c("rank", "cv.error", "cv.se", "bicv.error", "cophenetic", "dispersion", "stability",
             "silhouette.consensus", "evar")
  table <- measures[shown]
  table <- table[!vapply(table, function(column) all(is.na(column)), NA)]
  print(format(table, digits = digits), row.names = FALSE)
  main <- x$suggestion[x$suggestion$primary, ]
  if (nrow(main)) {
    cat("Suggested: rank ", main$rank, ", ", rule_text(main$rule), "\n", sep = "")
    if (main$rank %in% range(measures$rank) && length(fitted) > 1L) {
      cat("  This is an end of the range: try ranks beyond it.\n")
    }
  }
  others <- x$suggestion[!x$suggestion$primary & !is.na(x$suggestion$rank), ]
  if (nrow(others)) {
    cat("Others: ", paste0(others$rule, " ", others$rank, collapse = ", "), "\n", sep = "")
  }
  for (at in which(is.na(measures$residuals))) {
    cat("Rank ", measures$rank[at], " failed: ", measures$reason[at], "\n", sep = "")
  }
  for (name in names(x$failures)) cat("No ", name, ": ", x$failures[[name]], "\n", sep = "")
  invisible(x)
}

rule_text <- function(rule) {
  switch(rule,
    "held-out error" = "the smallest within one standard error of the lowest held-out error",
    "bi-cross-validation" =
      "the smallest within one standard error of the lowest bi-cross-validation error",
    "cophenetic" = "before the largest fall of the cophenetic correlation",
    "the last at which the residual falls by more than that of permuted data")
}

#' @rdname rank_estimate
#' @export
summary.rank_estimate <- function(object, ...) {
  refuse_dots(...)
  object$measures
}

#' @rdname rank_estimate
#' @export
as.data.frame.rank_estimate <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$measures
}

#' @rdname rank_estimate
#' @export
`[[.rank_estimate` <- function(x, i) {
  parts <- unclass(x)
  if (is.character(i) && length(i) == 1L && i %in% names(parts)) return(parts[[i]])
  fit <- parts$fit[[as.character(i)]]
  if (is.null(fit)) {
    stop_user("argument", "There is no fit of that rank.",
              x = paste0("Asked: ", describe(i), "; fitted: ", toString(names(parts$fit)), "."))
  }
  fit
}


RANK_MEASURES <- c("residuals", "residuals.sd", "residuals.null", "rss", "evar", "cv.error",
                   "cv.se", "bicv.error", "bicv.se", "cophenetic", "cophenetic.se", "dispersion",
                   "dispersion.se", "silhouette.consensus", "silhouette.coef", "silhouette.basis",
                   "stability", "stability.se", "sparseness.basis", "sparseness.coef",
                   "converged", "cpu")

standard_error <- function(values) stats::sd(values) / sqrt(length(values))
# nolint end
