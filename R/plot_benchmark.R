# Results of a benchmark: tables, print and plots.

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
#' @param row.names,optional,... Not used; for agreement with the generics.
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

new_benchmark <- function(runs, datasets, methods, metrics, clean) {
  labels <- function(run) {
    data.frame(dataset = factor(run$dataset, names(datasets)), method = factor(run$method, methods))
  }
  text <- function(x) if (length(x)) paste(x, collapse = " | ") else NA_character_
  estimates <- lapply(runs, function(run) {
    truth <- datasets[[run$dataset]]$truth
    table <- long_shares(truth)
    names(table)[3L] <- "truth"
    table$sample <- as.character(table$sample)
    table$type <- as.character(table$type)
    table$estimate <- if (is.null(run$estimate)) NA_real_ else as.vector(run$estimate)
    cbind(labels(run), table, row.names = NULL)
  })
  scores <- lapply(runs, function(run) {
    truth <- datasets[[run$dataset]]$truth
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
  what <- check_choice(what, c("estimates", "scores", "runs"), "what")
  x[[what]]
}

#' @rdname deconvolution_benchmark
#' @export
summary.deconvolution_benchmark <- function(object, metric = NULL, ...) {
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

#' Plots of a benchmark
#'
#' @param x An object of class [deconvolution_benchmark].
#' @param type `"scatter"` draws estimates against the truth, a panel per method and
#'   dataset; `"error"` the errors of each type: their median (point) and where
#'   80 % of the samples lie (line), so that bias and spread are apart; `"rank"` the
#'   rank of each method in each dataset, with the score.
#' @param metric For `"rank"`: the metric; the first by default.
#' @param methods,datasets Names of those to draw; all by default.
#' @param ... Not used.
#' @return A ggplot.
#' @section Errors: `unalloy_error_argument` for methods, datasets and metrics that
#'   are not in the benchmark.
#' @seealso [benchmark_deconvolution()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 6, seed = 1)
#' benchmark <- benchmark_deconvolution(c("unalloy", "nnls", "mean"), sim, verbose = FALSE)
#' plot(benchmark)
#' plot(benchmark, "error")
#' plot(benchmark, "rank", metric = "correlation")
plot.deconvolution_benchmark <- function(x, type = c("scatter", "error", "rank"), metric = NULL,
                                         methods = NULL, datasets = NULL, ...) {
  type <- check_choice(type, c("scatter", "error", "rank"), "type")
  metric <- check_metric(metric, x)
  x <- benchmark_part(x, methods, datasets)
  if (type == "rank") return(plot_ranks(x, metric))
  x$estimates <- x$estimates[!is.na(x$estimates$estimate), ]
  if (!nrow(x$estimates)) {
    stop_user("argument", "There is nothing to draw: every method failed.",
              i = "`as.data.frame(x, what = \"runs\")` tells why.")
  }
  if (type == "scatter") plot_truth(x$estimates) else plot_errors(x$estimates)
}

#' @rdname plot.deconvolution_benchmark
#' @param object An object of class [deconvolution_benchmark].
#' @export
autoplot.deconvolution_benchmark <- function(object, ...) plot(object, ...)

benchmark_part <- function(x, methods, datasets, .call = caller_env()) {
  methods <- if (is.null(methods)) levels(x$scores$method) else
    check_names(methods, levels(x$scores$method), "methods", .call = .call)
  datasets <- if (is.null(datasets)) levels(x$scores$dataset) else
    check_names(datasets, levels(x$scores$dataset), "datasets", .call = .call)
  for (part in c("estimates", "scores", "runs")) {
    kept <- x[[part]][x[[part]]$method %in% methods & x[[part]]$dataset %in% datasets, ]
    kept$method <- factor(kept$method, methods)
    kept$dataset <- factor(kept$dataset, datasets)
    x[[part]] <- kept
  }
  x
}

plot_truth <- function(estimates) {
  types <- unique(estimates$type)
  estimates$type <- factor(estimates$type, types)
  limits <- range(0, estimates$truth, estimates$estimate)
  ggplot(estimates, aes(.data$truth, .data$estimate, colour = .data$type)) +
    geom_abline(linetype = "dashed", colour = "grey50") +
    geom_point(size = if (nrow(estimates) > 2000) 0.7 else 1.3, alpha = 0.8) +
    facet_grid(rows = vars(.data$dataset), cols = vars(.data$method),
               labeller = function(labels) lapply(labels, function(x) shorten(as.character(x)))) +
    scale_types("colour", types) +
    scale_x_continuous(breaks = share_breaks(limits), labels = share_labels) +
    scale_y_continuous(breaks = share_breaks(limits), labels = share_labels) +
    coord_fixed(xlim = limits, ylim = limits) +
    labs(title = "Estimated and true shares", x = "Truth", y = "Estimate") +
    theme_unalloy() + theme(panel.spacing = unit(0.6, "lines"))
}

# Few enough for small panels.
share_breaks <- function(limits) pretty(limits, 3L)
share_labels <- function(x) format(x, drop0trailing = TRUE, trim = TRUE)

plot_errors <- function(estimates) {
  methods <- levels(droplevels(estimates$method))
  table <- error_ranges(estimates, methods)
  types <- unique(estimates$type)
  ggplot(table, aes(.data$median, .data$row, colour = .data$method)) +
    annotate("segment", x = 0, xend = 0, y = -Inf, yend = Inf, colour = "grey50",
             linetype = "dashed") +
    geom_linerange(aes(xmin = .data$lower, xmax = .data$upper), linewidth = 0.6) +
    geom_point(size = 1.6) +
    facet_grid(cols = vars(.data$dataset),
               labeller = function(labels) lapply(labels, function(x) shorten(as.character(x)))) +
    scale_discrete_manual("colour", values = type_palette(methods), name = "Method",
                          breaks = methods) +
    scale_y_continuous(breaks = -seq_along(types), labels = shorten(types),
                       expand = expansion(add = 0.2)) +
    labs(title = "Error by type", x = "Estimate - truth", y = NULL,
         caption = "Points: median over samples. Lines: from the 10th to the 90th percentile.") +
    theme_unalloy()
}

# Median, 10 % and 90 % of the errors; `row` puts the methods of a type below one
# another, in the order of the legend.
error_ranges <- function(estimates, methods) {
  error <- estimates$estimate - estimates$truth
  by <- estimates[c("dataset", "method", "type")]
  table <- stats::aggregate(list(error = error), by, stats::quantile, c(0.1, 0.5, 0.9))
  offset <- (match(table$method, methods) - (length(methods) + 1) / 2) * 0.75 / length(methods)
  data.frame(table[1:3], lower = table$error[, 1L], median = table$error[, 2L],
             upper = table$error[, 3L],
             row = -match(table$type, unique(estimates$type)) - offset)
}

plot_ranks <- function(x, metric) {
  scores <- score_table(x, metric)
  ranks <- score_ranks(scores, metric)
  order <- order(rowMeans(ranks), decreasing = TRUE)
  worst <- max(nrow(ranks), 2)
  table <- data.frame(
    dataset = factor(rep(colnames(ranks), each = nrow(ranks)), colnames(ranks)),
    method = factor(rep(rownames(ranks), ncol(ranks)), rownames(ranks)[order]),
    rank = as.vector(ranks), score = as.vector(scores)
  )
  table$label <- ifelse(is.na(table$score), "failed", formatC(table$score, 3, format = "f"))
  # light text on the dark end of the scale
  table$ink <- ifelse(table$rank > (worst + 1) / 2, "white", "black")
  ggplot(table, aes(.data$dataset, .data$method, fill = .data$rank)) +
    geom_tile(colour = "white", linewidth = 0.6) +
    layer("text", "identity", position = "identity", mapping = aes(label = .data$label),
          params = list(colour = table$ink, size = 3.4)) +
    scale_fill_viridis_c(name = "Rank", limits = c(1, worst), direction = -1,
                         breaks = unique(round(seq(1, worst, length.out = min(worst, 5))))) +
    scale_x_discrete(expand = expansion(), labels = shorten) +
    scale_y_discrete(expand = expansion(), labels = shorten) +
    labs(title = "Rank of methods", subtitle = paste("By", METRIC_LABELS[[metric]]), x = NULL,
         y = NULL) +
    theme_unalloy() +
    theme(panel.grid.major = element_blank(),
          axis.text.x = if (ncol(ranks) > 4) element_text(angle = 45, hjust = 1))
}
