#' @rdname subtypes
#' @export
plot.subtypes <- function(x, type = c("samples", "stability", "consensus"), ...) {
  refuse_dots(...)
  type <- check_choice(type, c("samples", "stability", "consensus"), "type")
  switch(type, samples = plot_subtype_samples(x), stability = plot_stability(x),
         consensus = plot_subtype_consensus(x))
}

#' @rdname subtypes
#' @export
autoplot.subtypes <- function(object, ...) {
  refuse_dots(..., .to = plot.subtypes)
  plot(object, ...)
}

plot_subtype_samples <- function(x) {
  scores <- x$scores
  share <- colSums(scores^2) / sum(scores^2)
  table <- data.frame(first = scores[, 1L], second = if (ncol(scores) > 1L) scores[, 2L] else 0,
                      subtype = x$assignment)
  groups <- levels(x$assignment)
  axis <- function(i) {
    paste0("Component ", i, if (ncol(scores) >= i) {
      paste0(" (", percent_text(share[i]), " of the components)")
    })
  }
  ggplot(table, aes(.data$first, .data$second, colour = .data$subtype)) +
    geom_point(shape = 16, size = max(0.7, min(2.4, 26 / sqrt(nrow(table)))),
               alpha = if (nrow(table) > 200) 0.6 else 0.9) +
    scale_discrete_manual("colour", name = NULL,
                          values = stats::setNames(unname(type_palette(length(groups))), groups)) +
    theme_unalloy() + theme(legend.position = "top") +
    labs(title = if (x$k > 1L) paste(x$k, "subtypes") else "No subtypes", x = axis(1L),
         y = axis(2L),
         caption = paste0(plural(nrow(table), "sample"), "; p ", format(x$p_value, digits = 2),
                          " that they are one cloud."))
}

plot_stability <- function(x) {
  table <- x$stability
  ggplot(table, aes(.data$k, .data$stability)) +
    geom_ribbon(aes(ymin = .data$null_mean - 2 * .data$null_sd,
                    ymax = .data$null_mean + 2 * .data$null_sd), fill = "grey85") +
    geom_line(aes(y = .data$null_mean), colour = "grey55", linetype = 2) +
    geom_line(colour = TYPE_COLOURS[1L]) +
    geom_linerange(aes(ymin = .data$stability - .data$std_error,
                       ymax = .data$stability + .data$std_error), colour = TYPE_COLOURS[1L]) +
    geom_point(aes(shape = .data$k == x$k), size = 2.6, colour = TYPE_COLOURS[1L], fill = "white") +
    scale_shape_manual(values = c(`TRUE` = 16, `FALSE` = 21), guide = "none") +
    scale_x_continuous(breaks = table$k, minor_breaks = NULL) +
    theme_unalloy() +
    labs(title = "Stability by number of subtypes", x = "Subtypes",
         y = "Adjusted Rand index of halves",
         caption = paste0("Band: clouds without groups, mean and two standard deviations. ",
                          "Filled: the number taken", if (x$k == 1L) " (none)", "."))
}

plot_subtype_consensus <- function(x) {
  values <- consensus(x)
  order <- order(x$assignment, -x$silhouette)
  # the picture has no room for more lines than this
  if (length(order) > 600) order <- order[round(seq(1, length(order), length.out = 600))]
  draw_heatmap(values[order, order, drop = FALSE], "Together",
               column_tracks = list(subtype = x$assignment[order]), limits = c(0, 1),
               title = "How often samples are sorted together", noun = c("sample", "sample"))
}
