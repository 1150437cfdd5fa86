#' @rdname plot_deconvolution
#' @export
plot_uncertainty <- function(result, level = 0.95, samples = NULL, types = NULL,
                             what = NULL,
                             view = c("interval", "forest", "ridge"), group = NULL,
                             by = c("auto", "type", "sample")) {
  check_result(result)
  view <- check_choice(view, c("interval", "forest", "ridge"), "view")
  if (view != "interval") {
    draw <- if (view == "forest") plot_forest else plot_ridge
    return(draw(result, samples, types, group, by, level, what))
  }
  if (!is.null(group) || !identical(by, c("auto", "type", "sample"))) {
    stop_user("argument", "`group` and `by` are for the views \"forest\" and \"ridge\".",
              i = "Say `view = \"forest\"`.")
  }
  what <- share_asked_for(what, result, choices = SHARES[1:2])
  check_types(types, rownames(result$proportions))
  table <- confint(result, parm = types, level = level, samples = samples, what = what)
  # without the samples in which no type was found
  table <- droplevels(table[!is.na(table$estimate), ])
  table$kind <- factor(ifelse(table$estimate == 0, "limit", "estimate"), c("estimate", "limit"))
  table$drawn <- ifelse(table$estimate == 0, table$upper, table$estimate)
  n_samples <- nlevels(table$sample)
  rows <- interval_rows(table)
  percent <- format(100 * level)
  ggplot(rows$table, aes(.data$drawn, .data$row, colour = .data$type)) +
    geom_linerange(aes(xmin = .data$lower, xmax = .data$upper), linewidth = 0.5) +
    geom_point(aes(shape = .data$kind), size = if (n_samples > 40) 0.7 else 1.8, fill = "white") +
    scale_shape_manual(values = c(estimate = 16, limit = 25), guide = "none") +
    scale_discrete_manual("colour", values = type_palette(rownames(result$exposures)),
                          guide = "none") +
    labs(title = "Estimates and intervals", x = SHARE_LABELS[[what]], y = NULL,
         caption = paste0("Dots: estimate with ", percent, " % interval.\nOpen triangles: ",
                          "estimate 0, drawn at the one-sided ", percent, " % upper limit.",
                          rows$note)) +
    theme_unalloy() + rows$layers
}

# What stands on the y axis of the intervals: types (a facet per sample) for few
# samples, samples (a facet per type) for more, their ranks where names would
# not be readable.
interval_rows <- function(table) {
  n <- nlevels(table$sample)
  n_rows <- n * ggplot2::wrap_dims(nlevels(table$type))[1L]
  small <- theme(axis.text = element_text(size = rel(0.7)), panel.spacing.x = unit(1, "lines"))
  by_type <- list(
    small, scale_x_continuous(limits = c(0, NA), n.breaks = 3),
    facet_wrap(vars(.data$type), scales = "free_x", labeller = function(labels) {
      lapply(labels, function(label) shorten(as.character(label), 24L))
    })
  )
  note <- NULL
  if (n <= 6L) {
    table$row <- table$type
    layers <- list(if (nlevels(table$type) > 20) small, scale_x_continuous(limits = c(0, NA)),
                   facet_wrap(vars(.data$sample)),
                   scale_y_discrete(limits = rev, labels = shorten))
  } else if (n_rows <= 60L) {
    table$row <- table$sample
    layers <- list(by_type, scale_y_discrete(limits = rev, labels = shorten))
  } else {
    sorted <- order(table$type, table$estimate, table$upper)
    table$row[sorted] <- unlist(lapply(table(table$type), seq_len))
    layers <- list(by_type, scale_y_continuous(breaks = NULL))
    note <- paste0("\n", plural(n, "sample"), ", sorted in each panel; name some in `samples` to ",
                   "see which is which.")
  }
  list(table = table, layers = layers, note = note)
}
