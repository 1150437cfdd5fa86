# Pictures of learn_decoder().

#' @rdname decoder
#' @export
plot.decoder <- function(x, type = c("training", "genes"), ...) {
  refuse_dots(...)
  if (identical(type, c("training", "genes")) && is.null(x$members)) type <- "genes"
  type <- check_choice(type, c("training", "genes"), "type")
  if (type == "genes") return(plot_decoder_genes(x))
  if (is.null(x$members)) {
    stop_user("argument", "Only networks are trained.",
              x = paste0("This decoder is by method \"", x$settings$method, "\"."))
  }
  if (!NROW(x$convergence)) stop_user("argument", "No epoch came to its end.")
  curves <- c(train = "Training samples", validation = "Held-out samples")
  rows <- do.call(rbind, lapply(names(curves), function(name) {
    data.frame(epoch = x$convergence$epoch, value = x$convergence[[name]],
               curve = curves[[name]], member = x$convergence$member)
  }))
  rows$curve <- factor(rows$curve, curves)
  best <- x$members[x$members$best_epoch > 0, ]
  ggplot(rows, aes(.data$epoch, .data$value, colour = .data$curve,
                   group = interaction(.data$curve, .data$member))) +
    geom_line(linewidth = 0.6) +
    geom_point(aes(.data$best_epoch, .data$loss), best, inherit.aes = FALSE, size = 1.8) +
    scale_types("colour", levels(rows$curve)) +
    labs(title = paste0("Training of ", plural(nrow(x$members), "network")), x = "Epoch",
         y = if (x$settings$loss == "mse") "Squared error of a sample" else "1 - correlation",
         colour = NULL, caption = "Points: epochs whose weights are kept.") +
    theme_unalloy()
}

plot_decoder_genes <- function(x) {
  known <- x$genes[!is.na(x$genes$explained), ]
  ggplot(known, aes(.data$sd, pmax(.data$explained, 0))) +
    geom_point(colour = TYPE_COLOURS[1L], alpha = 0.5, size = 1.2) +
    labs(title = paste0("Decoder: ", decoder_name(x)), x = "Standard deviation of a gene",
         y = "Share explained, samples not seen",
         caption = paste0("Of all genes together: ", percent_text(explained_share(x)), ".")) +
    theme_unalloy()
}

#' @rdname decoder
#' @export
autoplot.decoder <- function(object, ...) {
  refuse_dots(..., .to = plot.decoder)
  plot(object, ...)
}
