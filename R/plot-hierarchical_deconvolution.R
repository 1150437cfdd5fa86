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
  share_bars(shares, group, order, what)
}
