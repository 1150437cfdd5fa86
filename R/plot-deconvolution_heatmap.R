# The heatmap of a deconvolution.

#' @rdname plot_deconvolution
#' @export
plot_heatmap <- function(result, group = NULL, order = c("cluster", "none"),
                         what = NULL, colours = list()) {
  check_call()
  check_result(result, likelihood = FALSE)
  what <- share_asked_for(what, result, choices = names(SHARE_LABELS))
  order <- check_choice(order, c("cluster", "none"), "order")
  shares <- coef(result, what)
  tracks <- sample_tracks(group, result)
  is_type <- seq_len(nrow(shares)) <= size_of(result)[1L]
  # samples without a type are placed as if all shares were zero
  types <- shares[is_type, , drop = FALSE]
  types[is.na(types)] <- 0
  samples <- place_items(types, order)
  rows <- place_items(t(types), order)
  placed <- c(which(!is_type), rows$order)
  intercept <- if (all(is_type) && "Intercept" %in% rownames(result$exposures)) {
    list(Intercept = unname(result$intercept_fraction)[samples$order])
  }
  draw_heatmap(shares[placed, samples$order, drop = FALSE],
               sub(", ", ",\n", SHARE_LABELS[[what]]),
               row_tree = if (all(is_type)) rows$tree, column_tree = samples$tree,
               column_tracks = lapply(tracks, function(values) values[samples$order]),
               column_points = intercept, colours = colours, title = "Cell types per sample",
               noun = c("type", "sample"))
}

# What is drawn above the samples: groups as in the other panels, or several of them.
sample_tracks <- function(group, result, .call = caller_env()) {
  samples <- result$convergence$sample
  if (is.null(group)) return(list())
  known <- names(result$sample_data)
  several <- is.character(group) && length(group) > 1L && length(group) != length(samples)
  if (several && all(group %in% known)) return(as.list(result$sample_data[group]))
  if (is.atomic(group)) {
    values <- group_of_samples(group, result, .call = .call)
    # a column is a track of its own name and kind
    if (!identical(values, group)) return(stats::setNames(list(unname(values)), group))
    return(list(group = check_group(group, samples, .call = .call)))
  }
  check_annotation(group, length(samples), "sample", .call = .call)
}
