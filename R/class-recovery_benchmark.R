#' Results of a benchmark of recovery
#'
#' What [benchmark_recovery()] returns, and what can be done with it.
#'
#' @details
#' A `recovery_benchmark` is a list:
#' \describe{
#'   \item{`scores`}{Data frame with a row per `split`, `method`, `measurements` and
#'     `score` (see [evaluate_recovery()]): `value`.}
#'   \item{`runs`}{A row per `split` and `method`: `genes` that vary among the training
#'     samples, `failure` (the reason, or `NA`), `seconds`.}
#'   \item{`plan`}{The settings.}
#' }
#' Standard errors are the standard deviation over splits divided by the root of
#' their number. Splits share samples, so that with a large `train` they understate
#' how far other data would differ.
#'
#' `plot()` draws scores against the number of measurements, a line per method:
#' points are means over splits, bars twice the standard error either side.
#'
#' @param x,object An object of class `recovery_benchmark`.
#' @param scores Names of scores: see [evaluate_recovery()].
#' @param digits Digits after the point.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return `print()`: the object, invisibly. `summary()`: a data frame with `method`,
#'   `measurements`, `score`, `mean`, `se` and `splits`. `as.data.frame()`: the
#'   scores. `plot()`: a ggplot.
#' @section Errors: `unalloy_error_argument` for scores that are not there.
#' @name recovery_benchmark
#' @examples
#' sim <- simulate_bulk(n_genes = 120, n_samples = 80, seed = 1)
#' benchmark <- benchmark_recovery(
#'   log1p(sim$bulk_counts), measurements = c(10, 20, 40), methods = c("svd", "svd_k"),
#'   splits = 3, size = 20, sparsity = 5, max_correlation = 0.5, seed = 1, verbose = FALSE
#' )
#' print(benchmark, "gene_pearson")
#' plot(benchmark, c("sample_pearson", "gene_pearson"))
NULL

new_recovery_benchmark <- function(runs, methods, size, plan) {
  bind <- function(part) {
    table <- do.call(rbind, lapply(runs, `[[`, part))
    table$method <- factor(table$method, methods)
    table
  }
  structure(list(scores = bind("scores"), runs = bind("run"),
                 plan = c(list(genes = size[1L], samples = size[2L]), plan)),
            class = "recovery_benchmark")
}

check_scores <- function(scores, x, .call = caller_env()) {
  unknown <- setdiff(scores, x$scores$score)
  if (!is.character(scores) || !length(scores) || length(unknown)) {
    stop_user("argument", "`scores` must name scores of the benchmark.",
              x = paste0("Not there: ", some_of(as.character(unknown)), "."),
              i = paste0("There are ", some_of(unique(x$scores$score), 20L), "."), .call = .call)
  }
  scores
}

#' @rdname recovery_benchmark
#' @export
summary.recovery_benchmark <- function(object, ...) {
  refuse_dots(...)
  by <- object$scores[c("method", "measurements", "score")]
  groups <- split(object$scores, by, drop = TRUE)
  rows <- lapply(groups, function(group) {
    value <- group$value[!is.na(group$value)]
    n <- length(value)
    cbind(group[1L, names(by)], mean = if (n) mean(value) else NA_real_,
          se = if (n > 1L) stats::sd(value) / sqrt(n) else NA_real_, splits = n)
  })
  table <- do.call(rbind, rows)
  table <- table[order(match(table$score, names(SCORE_NAMES)), table$method, table$measurements), ]
  rownames(table) <- NULL
  table
}

#' @rdname recovery_benchmark
#' @export
print.recovery_benchmark <- function(x, scores = c("sample_pearson", "sample_distance",
                                                   "gene_pearson"), digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  scores <- check_scores(scores, x)
  plan <- x$plan
  cat("Recovery of ", plural(plan$genes, "gene"), " in ", plural(plan$samples - plan$n_train,
                                                               "test sample"),
      ", ", plural(plan$n_train, "training sample"), ", ", plural(plan$splits, "split"), "\n",
      plural(plan$size, "module"), ", ", plan$sparsity, " per sample; ",
      if (is.finite(plan$snr)) paste("signal to noise", plan$snr) else "no noise",
      "; mean (standard error)\n", sep = "")
  table <- summary(x)
  for (score in scores) {
    own <- table[table$score == score, ]
    text <- ifelse(is.na(own$mean), "failed",
                   paste0(formatC(own$mean, digits, format = "f"),
                          ifelse(is.na(own$se), "",
                                 paste0(" (", formatC(own$se, digits, format = "f"), ")"))))
    cat("\n", SCORE_NAMES[[score]], ", by number of measurements\n", sep = "")
    print(tapply(text, own[c("method", "measurements")], identity), quote = FALSE)
  }
  failed <- x$runs[!is.na(x$runs$failure), ]
  for (i in seq_len(min(nrow(failed), 3L))) {
    cat("\nFailed: \"", as.character(failed$method[i]), "\" in split ", failed$split[i], ": ",
        failed$failure[i], "\n", sep = "")
  }
  invisible(x)
}

#' @rdname recovery_benchmark
#' @export
as.data.frame.recovery_benchmark <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$scores
}
