#' @rdname dictionary
#' @export
plot.dictionary <- function(x, ...) {
  refuse_dots(...)
  share <- x$modules^2
  genes <- exp(-colSums(ifelse(share > 0, share * log(share), 0)))
  table <- data.frame(genes = genes, samples = Matrix::rowSums(x$activities != 0))
  ggplot(table, aes(.data$genes, .data$samples)) +
    geom_point(colour = TYPE_COLOURS[1L], alpha = 0.7, size = 1.6) +
    scale_x_continuous(trans = "log10") +
    scale_y_continuous(limits = c(0, NA)) +
    labs(title = paste("Modules by", METHOD_NAMES[[x$settings$method]]),
         subtitle = paste0(plural(ncol(x$modules), "module"), ", ",
                           x$settings$sparsity, " per sample"),
         x = "Genes in effect",
         y = paste("Active in samples, of", count_text(ncol(x$activities)))) +
    theme_unalloy()
}

#' @rdname dictionary
#' @export
autoplot.dictionary <- function(object, ...) {
  refuse_dots(..., .to = plot.dictionary)
  plot(object, ...)
}
