# Plots of a benchmark.

#' Plots of a benchmark
#'
#' @param x An object of class [deconvolution_benchmark].
#' @param type `"scatter"` draws estimates against the truth, a panel per method and
#'   dataset; `"error"` the errors of each type: their median (point) and where
#'   80 % of the samples lie (line), so that bias and spread are apart; `"rank"` the
#'   rank of each method in each dataset, with the score.
#' @param metric For `"rank"`: the metric; the first by default.
#' @param methods,datasets Names of those to draw; all by default.
#' @param ... None: other arguments are refused.
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
  refuse_dots(...)
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
autoplot.deconvolution_benchmark <- function(object, ...) {
  refuse_dots(..., .to = plot.deconvolution_benchmark)
  plot(object, ...)
}

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
