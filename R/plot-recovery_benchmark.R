#' @rdname recovery_benchmark
#' @export
plot.recovery_benchmark <- function(x, scores = c("sample_pearson", "sample_distance"), ...) {
  refuse_dots(...)
  scores <- check_scores(scores, x)
  table <- summary(x)
  table <- table[table$score %in% scores & !is.na(table$mean), ]
  if (!nrow(table)) {
    stop_user("argument", "There is nothing to draw: every method failed.",
              i = "`x$runs$failure` tells why.")
  }
  table$se[is.na(table$se)] <- 0
  table$panel <- factor(SCORE_NAMES[table$score], SCORE_NAMES[scores])
  methods <- levels(table$method)
  # bars side by side, by a little on the logarithmic axis
  shift <- 1.02^(seq_along(methods) - (length(methods) + 1) / 2)
  table$at <- table$measurements * shift[as.integer(table$method)]
  at <- sort(unique(table$measurements))
  ggplot(table, aes(.data$at, .data$mean, colour = .data$method)) +
    geom_line(linewidth = 0.5) +
    geom_linerange(aes(ymin = .data$mean - 2 * .data$se, ymax = .data$mean + 2 * .data$se),
                   linewidth = 0.6) +
    geom_point(size = 1.8) +
    facet_wrap(vars(.data$panel), scales = "free_y") +
    scale_discrete_manual("colour", values = type_palette(methods), name = "Method",
                          labels = method_labels) +
    scale_x_continuous(trans = "log10", breaks = at, labels = count_text) +
    labs(title = "Recovery from composite measurements",
         subtitle = paste0(plural(x$plan$genes, "gene"), ", ",
                           plural(x$plan$n_train, "training sample"), ", ",
                           plural(x$plan$size, "module")),
         x = "Measurements", y = "Correlation",
         caption = paste0("Points: mean over ", plural(x$plan$splits, "split"),
                          ". Bars: two standard errors either side.")) +
    theme_unalloy()
}

method_labels <- function(methods) {
  ifelse(methods %in% names(METHOD_NAMES), METHOD_NAMES[methods], shorten(methods))
}

#' @rdname recovery_benchmark
#' @export
autoplot.recovery_benchmark <- function(object, ...) {
  refuse_dots(..., .to = plot.recovery_benchmark)
  plot(object, ...)
}
