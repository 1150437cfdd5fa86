#' @rdname merge_types
#' @export
plot.merged_types <- function(x, ...) {
  refuse_dots(..., .to = autoplot.merged_types)
  invisible(print(autoplot.merged_types(x, ...)))
}

#' @rdname merge_types
#' @method autoplot merged_types
#' @export
autoplot.merged_types <- function(object, group = NULL, order = c("cluster", "none"), ...) {
  refuse_dots(...)
  shares <- object$proportions
  shares[is.na(shares)] <- 0 # not reported in this sample
  share_bars(shares, group, order, object$what, title = "What can be told apart")
}
