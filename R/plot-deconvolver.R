#' @rdname deconvolver_methods
#' @export
plot.deconvolver <- function(x, ...) {
  refuse_dots(...)
  table <- x$convergence
  if (!nrow(table)) {
    stop_user("argument", "No part of the training came to its end.")
  }
  curves <- c(train = "Trained on", validation = "Held out")
  rows <- do.call(rbind, lapply(names(curves), function(name) {
    data.frame(steps = table$steps, member = table$member, value = table[[name]],
               curve = curves[[name]])
  }))
  rows$curve <- factor(rows$curve, curves)
  labels <- c(l1 = "Mean absolute error of a share", mse = "Mean squared error of a share",
              cross_entropy = "Cross-entropy of a mixture, nats")
  ggplot(rows, aes(.data$steps, .data$value, colour = .data$curve,
                   group = interaction(.data$curve, .data$member))) +
    geom_line(linewidth = 0.6) +
    scale_types("colour", levels(rows$curve)) +
    labs(title = "Training", x = "Step", y = labels[[x$architecture$loss]], colour = "Mixtures",
         caption = "A line per network. In training, signals are left out at random.") +
    theme_unalloy()
}

#' @rdname deconvolver_methods
#' @export
autoplot.deconvolver <- function(object, ...) {
  refuse_dots(..., .to = plot.deconvolver)
  plot(object, ...)
}
