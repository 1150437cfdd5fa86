#' @rdname deconvolver_methods
#' @export
plot.deconvolver <- function(x, ...) {
  refuse_dots(...)
  table <- x$convergence
  if (!nrow(table)) {
    stop_user("argument", "No part of the training came to its end.")
  }
  labels <- c(l1 = "Shares: mean absolute error", mse = "Shares: mean squared error",
              cross_entropy = "Shares: cross-entropy, nats")
  label <- labels[[x$architecture$loss]]
  curve <- function(name, held_out, panel) {
    data.frame(steps = table$steps, member = table$member, value = table[[name]],
               curve = held_out, panel = panel)
  }
  rows <- rbind(curve("train", "Trained on", label), curve("validation", "Held out", label))
  if (x$architecture$expression != "none") {
    panel <- "Expression: squared error, log2"
    rows <- rbind(rows, curve("train_expression", "Trained on", panel),
                  curve("expression", "Held out", panel))
  }
  rows$curve <- factor(rows$curve, c("Trained on", "Held out"))
  rows$panel <- factor(rows$panel, unique(rows$panel))
  ggplot(rows, aes(.data$steps, .data$value, colour = .data$curve,
                   group = interaction(.data$curve, .data$member))) +
    geom_line(linewidth = 0.6) +
    scale_types("colour", levels(rows$curve)) +
    facet_wrap(vars(.data$panel), scales = "free_y") +
    labs(title = "Training", x = "Step", y = "Loss", colour = "Mixtures",
         caption = "A line per network. In training, signals are left out at random.") +
    theme_unalloy()
}

#' @rdname deconvolver_methods
#' @export
autoplot.deconvolver <- function(object, ...) {
  refuse_dots(..., .to = plot.deconvolver)
  plot(object, ...)
}
