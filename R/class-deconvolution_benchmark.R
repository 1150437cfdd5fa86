# The class of benchmark_deconvolution().

#' Results of a benchmark
#'
#' What [benchmark_deconvolution()] returns, and what can be done with it.
#'
#' @details
#' A `deconvolution_benchmark` is a list:
#' \describe{
#'   \item{`estimates`}{Data frame with a row per `dataset`, `method`, `sample` and
#'     `type`: `truth` and `estimate`, shares that sum to 1 per sample. The estimate
#'     of a method that failed is `NA`.}
#'   \item{`scores`}{A row per `dataset`, `method` and `metric`: `value`.}
#'   \item{`runs`}{A row per `dataset` and `method`: `seconds`, `failure` (the
#'     reason, or `NA`), `warnings` (what the method warned of, or `NA`).}
#'   \item{`clean`}{Were protocol genes left out for all methods?}
#' }
#'
#' @param x,object An object of class `deconvolution_benchmark`.
#' @param metric The metric to show, one of those that were computed; the first by
#'   default.
#' @param digits Digits after the point.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @param what Which table.
#' @return `print()`: the object, invisibly. `as.data.frame()`: one of its tables.
#'   `summary()`: a list with the data frames `methods` (a row per method: the mean
#'   of each metric over datasets, `rank` (mean rank over datasets by `metric`, a
#'   failure being last), `best_in` (datasets), `failed`, `seconds` in all) and
#'   `types` (a row per dataset, method and type: `bias` and `rmse`).
#' @name deconvolution_benchmark
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 6, seed = 1)
#' benchmark <- benchmark_deconvolution(c("unalloy", "nnls", "mean"), sim, verbose = FALSE)
#' benchmark
#' summary(benchmark)
#' head(as.data.frame(benchmark))
#' plot(benchmark)
NULL

# Lower is better, except for those in HIGH_IS_GOOD.
BENCHMARK_METRICS <- list(
  rmse = function(truth, estimate) sqrt(mean((estimate - truth)^2)),
  mae = function(truth, estimate) mean(abs(estimate - truth)),
  correlation = function(truth, estimate) safe_correlation(as.vector(truth), as.vector(estimate)),
  type_correlation = function(truth, estimate) {
    by_type <- vapply(seq_len(nrow(truth)), function(type) {
      safe_correlation(truth[type, ], estimate[type, ])
    }, 0)
    if (all(is.na(by_type))) NA_real_ else mean(by_type, na.rm = TRUE)
  },
  bias = function(truth, estimate) max(abs(rowMeans(estimate - truth))),
  ccc = function(truth, estimate) {
    found <- concordance(matrix(truth, 1L), matrix(estimate, 1L))
    if (is.nan(found)) NA_real_ else found
  },
  l1 = function(truth, estimate) mean(colSums(abs(estimate - truth)))
)

METRIC_LABELS <- c(rmse = "RMSE", mae = "mean absolute error", correlation = "correlation",
                   type_correlation = "correlation across samples, mean of types",
                   bias = "largest bias of a type", ccc = "concordance",
                   l1 = "summed absolute error of a sample")

HIGH_IS_GOOD <- c("correlation", "type_correlation", "ccc")

# Not defined where the truth is constant; an estimate that is constant though the
# truth is not knows nothing of it.
safe_correlation <- function(truth, estimate) {
  constant <- function(x) length(x) < 2L || stats::sd(x) <= 1e-12
  if (constant(truth)) return(NA_real_)
  if (constant(estimate)) 0 else stats::cor(truth, estimate)
}

new_benchmark <- function(runs, datasets, methods, metrics, clean) {
  labels <- function(run) {
    data.frame(dataset = factor(run$dataset, names(datasets)), method = factor(run$method, methods))
  }
  text <- function(x) if (length(x)) paste(x, collapse = " | ") else NA_character_
  estimates <- lapply(runs, function(run) {
    truth <- datasets[[run$dataset]]$truth_mrna
    table <- long_shares(truth, "truth")
    table$sample <- as.character(table$sample)
    table$type <- as.character(table$type)
    table$estimate <- if (is.null(run$estimate)) NA_real_ else as.vector(run$estimate)
    cbind(labels(run), table, row.names = NULL)
  })
  scores <- lapply(runs, function(run) {
    truth <- datasets[[run$dataset]]$truth_mrna
    value <- vapply(BENCHMARK_METRICS[metrics], function(metric) {
      if (is.null(run$estimate)) NA_real_ else metric(truth, run$estimate)
    }, 0)
    cbind(labels(run), metric = factor(metrics, metrics), value = unname(value), row.names = NULL)
  })
  stated <- lapply(runs, function(run) {
    cbind(labels(run), seconds = run$seconds, failure = text(run$failure),
          warnings = text(run$warnings))
  })
  bind <- function(tables) do.call(rbind, tables)
  structure(list(estimates = bind(estimates), scores = bind(scores), runs = bind(stated),
                 clean = clean), class = "deconvolution_benchmark")
}

# Methods x datasets.
score_table <- function(x, metric) {
  scores <- x$scores[x$scores$metric == metric, ]
  tapply(scores$value, list(scores$method, scores$dataset), identity)
}

# Ranks within each dataset, 1 being the best; failures share the last.
score_ranks <- function(scores, metric) {
  if (metric %in% HIGH_IS_GOOD) scores <- -scores
  ranks <- apply(scores, 2L, function(column) {
    column[is.na(column)] <- Inf
    rank(signif(column, 10), ties.method = "min")
  })
  matrix(ranks, nrow(scores), dimnames = dimnames(scores))
}

check_metric <- function(metric, x, .call = caller_env()) {
  computed <- levels(x$scores$metric)
  if (is.null(metric)) return(computed[1L])
  if (!rlang::is_string(metric) || !metric %in% computed) {
    stop_user("argument", paste0("`metric` must be one of ", some_of(computed, 9L), "."),
              x = paste0("It is ", describe(metric), "."),
              i = "Others are computed when named in `metrics`.", .call = .call)
  }
  metric
}

#' @rdname deconvolution_benchmark
#' @export
print.deconvolution_benchmark <- function(x, metric = NULL, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  metric <- check_metric(metric, x)
  scores <- score_table(x, metric)
  ranks <- score_ranks(scores, metric)
  cat("Benchmark of ", plural(nrow(scores), "method"), " on ", plural(ncol(scores), "dataset"),
      if (x$clean) ", protocol genes left out", "\n",
      METRIC_LABELS[[metric]], " (* best of a dataset)\n", sep = "")
  shown <- ifelse(is.na(scores), "failed",
                  paste0(formatC(scores, digits, format = "f"), ifelse(ranks == 1, "*", " ")))
  seconds <- tapply(x$runs$seconds, x$runs$method, sum)
  table <- data.frame(shown, `mean rank` = formatC(rowMeans(ranks), 1, format = "f"),
                      seconds = formatC(seconds[rownames(scores)], 1, format = "f"),
                      check.names = FALSE)
  dimnames(table) <- list(rownames(scores),
                          c(shorten(colnames(scores), 20L), "mean rank", "seconds"))
  print(table[order(rowMeans(ranks)), , drop = FALSE])
  print_failures(x$runs)
  invisible(x)
}

print_failures <- function(runs) {
  failed <- runs[!is.na(runs$failure), ]
  if (!nrow(failed)) return(invisible())
  cat("\nFailed:\n")
  shown <- utils::head(failed, 6L)
  text <- paste0(shown$method, " on ", shown$dataset, ": ", shown$failure)
  cat(strwrap(text, 78, indent = 2, exdent = 4), sep = "\n")
  if (nrow(failed) > 6L) cat("  ... and", nrow(failed) - 6L, "more, in $runs\n")
}

#' @rdname deconvolution_benchmark
#' @export
as.data.frame.deconvolution_benchmark <- function(x, row.names = NULL, optional = FALSE,
                                                  what = c("estimates", "scores", "runs"), ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  what <- check_choice(what, c("estimates", "scores", "runs"), "what")
  x[[what]]
}

#' @rdname deconvolution_benchmark
#' @export
summary.deconvolution_benchmark <- function(object, metric = NULL, ...) {
  refuse_dots(...)
  metric <- check_metric(metric, object)
  scores <- score_table(object, metric)
  ranks <- score_ranks(scores, metric)
  means <- tapply(object$scores$value, object$scores[c("method", "metric")], function(values) {
    if (all(is.na(values))) NA_real_ else mean(values, na.rm = TRUE)
  })
  methods <- data.frame(
    method = rownames(scores), matrix(means, nrow(means), dimnames = list(NULL, colnames(means))),
    rank = rowMeans(ranks), best_in = rowSums(ranks == 1 & !is.na(scores)),
    failed = rowSums(is.na(scores)),
    seconds = as.vector(tapply(object$runs$seconds, object$runs$method, sum)), row.names = NULL
  )
  structure(list(metric = metric, methods = methods[order(methods$rank), ],
                 types = type_errors(object$estimates)), class = "summary.deconvolution_benchmark")
}

type_errors <- function(estimates) {
  estimates <- estimates[!is.na(estimates$estimate), ]
  if (!nrow(estimates)) return(data.frame())
  error <- estimates$estimate - estimates$truth
  by <- estimates[c("type", "method", "dataset")]
  table <- stats::aggregate(list(bias = error, rmse = error^2), by, mean)
  table$rmse <- sqrt(table$rmse)
  table[c("dataset", "method", "type", "bias", "rmse")]
}

#' @export
print.summary.deconvolution_benchmark <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Means over datasets; rank by ", METRIC_LABELS[[x$metric]], "\n", sep = "")
  print(rounded(x$methods, digits), row.names = FALSE)
  best <- as.character(x$methods$method[1L])
  cat("\nLargest errors of \"", best, "\":\n", sep = "")
  own <- x$types[x$types$method == best, ]
  print(rounded(utils::head(own[order(-own$rmse), ], 10L), digits), row.names = FALSE)
  invisible(x)
}

rounded <- function(table, digits) {
  numeric <- vapply(table, is.numeric, NA)
  table[numeric] <- lapply(table[numeric], round, digits)
  table
}
