#' @rdname deconvolve_hierarchical
#' @export
plot.hierarchical_deconvolution <- function(x, ...) {
  refuse_dots(..., .to = autoplot.hierarchical_deconvolution)
  invisible(print(autoplot.hierarchical_deconvolution(x, ...)))
}

#' @rdname deconvolve_hierarchical
#' @method autoplot hierarchical_deconvolution
#' @export
autoplot.hierarchical_deconvolution <- function(object, level = c("types", "groups"),
                                                group = NULL, order = c("cluster", "none"),
                                                what = NULL, ...) {
  refuse_dots(...)
  what <- share_asked_for(what, object, choices = SHARES[1:2])
  order <- check_choice(order, c("cluster", "none"), "order")
  shares <- coef(object, level, what)
  types <- object$tree$levels$type
  # types of one group side by side in the bar
  if (identical(rownames(shares), types)) {
    shares <- shares[base::order(as.integer(coarsest(object$tree))), , drop = FALSE]
  }
  table <- place_samples(long_shares(shares), shares, group, order)
  ggplot(table, aes(.data$sample, .data$share, fill = .data$type)) +
    geom_col(width = if (ncol(shares) > 150) 1 else 0.92) +
    scale_types("fill", rownames(shares)) +
    scale_y_continuous(expand = expansion()) +
    labs(title = "Cell types per sample", y = SHARE_LABELS[[what]]) +
    sample_axis(ncol(shares), group) + theme(panel.grid.major.x = element_blank())
}
