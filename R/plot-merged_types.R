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
  table <- place_samples(long_shares(shares), shares, group, order)
  ggplot(table, aes(.data$sample, .data$share, fill = .data$type)) +
    geom_col(width = if (ncol(shares) > 150) 1 else 0.92) +
    scale_types("fill", rownames(shares)) +
    scale_y_continuous(expand = expansion()) +
    labs(title = "What can be told apart", y = SHARE_LABELS[[object$what]]) +
    sample_axis(ncol(shares), group) + theme(panel.grid.major.x = element_blank())
}
