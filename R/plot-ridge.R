#' @rdname plot_deconvolution
#' @export
plot_ridge <- function(result, samples = NULL, types = NULL, group = NULL,
                       by = c("auto", "type", "sample"), level = 0.95,
                       what = NULL) {
  check_call()
  check_result(result, likelihood = FALSE)
  what <- share_asked_for(what, result, choices = SHARES[1:2])
  table <- grouped_intervals(result, samples, types, group, level, what)
  by <- panels_by(by, table)
  n_rows <- nlevels(table$sample) * ggplot2::wrap_dims(nlevels(table$type))[1L]
  if (by == "type" && n_rows > RIDGE_ROWS) {
    return(plot_mixed_ridges(table, result, !is.null(group), what, level))
  }
  rows <- if (by == "sample") type_rows(table) else sample_rows(table, RIDGE_ROWS)
  curves <- ridge_curves(rows$table, by, level)
  colours <- forest_colours(table, result, by, !is.null(group), "fill")
  ggplot(curves, aes(.data$x, ymin = .data$base, ymax = .data$base + RIDGE_HEIGHT * .data$height,
                     group = .data$ridge, fill = .data[[colours$column]])) +
    geom_ribbon(colour = "grey20", linewidth = 0.25, alpha = 0.8) +
    theme_unalloy() + colours$scale + panel_facets(by, table) +
    scale_x_continuous(limits = c(0, NA), n.breaks = 4) +
    ridge_axis(levels(rows$table$row)) +
    labs(title = "How sure the shares are", x = SHARE_LABELS[[what]], y = NULL,
         caption = "Ridges have the same height: narrow is sure, wide is not.")
}

RIDGE_ROWS <- 60L
# A ridge may reach into the row above.
RIDGE_HEIGHT <- 1.4
RIDGE_POINTS <- 256L

# The mean of the curves of all samples (of a group), a row per type.
plot_mixed_ridges <- function(table, result, grouped, what, level) {
  x <- seq(0, min(1, 1.05 * max(table$upper)), length.out = 2L * RIDGE_POINTS)
  parts <- split(table, list(table$type, table$group), drop = TRUE)
  curves <- do.call(rbind, lapply(parts, function(part) {
    below <- rowMeans(vapply(seq_len(nrow(part)), function(i) {
      share_below(x, part$estimate[i], part$std_error[i], part$upper[i], level)
    }, x))
    # masses between the points: no narrow curve is lost between them
    data.frame(type = part$type[1L], group = part$group[1L], x = x[-1L] - x[2L] / 2,
               height = scaled_height(diff(below)))
  }))
  colours <- forest_colours(table, result, "type", grouped, "fill")
  types <- rev(levels(table$type))
  curves$base <- match(curves$type, types)
  curves$ridge <- ridge_order(curves$base, curves$group)
  ggplot(curves, aes(.data$x, ymin = .data$base, ymax = .data$base + RIDGE_HEIGHT * .data$height,
                     group = .data$ridge, fill = .data[[colours$column]])) +
    geom_ribbon(aes(colour = .data[[colours$column]]), linewidth = 0.4,
                alpha = if (grouped) 0.3 else 0.7) +
    theme_unalloy() + colours$scale + forest_colours(table, result, "type", grouped)$scale +
    ridge_axis(rev(types)) +
    labs(title = "Shares over the cohort, with their uncertainty", x = SHARE_LABELS[[what]],
         y = NULL,
         caption = paste0("Mean of the curves of ", plural(nlevels(table$sample), "sample"),
                          if (grouped) ", by group",
                          ". Square roots of densities, scaled to the same height."))
}

# Square roots keep the tails of many narrow curves visible.
scaled_height <- function(density) sqrt(density / max(density))

# Ridges are drawn in the order of this factor: from the top row down.
ridge_order <- function(base, group = factor(rep("", length(base)))) {
  factor(paste(base, group), unique(paste(base, group)[order(-base, group)]))
}

ridge_axis <- function(rows) {
  n <- length(rows)
  list(scale_y_continuous(breaks = seq_len(n), labels = shorten(rev(rows)), minor_breaks = NULL,
                          limits = c(0.9, n + RIDGE_HEIGHT + 0.1), expand = expansion(c(0.01, 0))),
       theme(axis.text.y = element_text(vjust = 0, size = rel(max(0.5, min(0.9, 30 / n))))))
}

# A curve per row of the table, on a grid of its panel.
ridge_curves <- function(table, by, level) {
  ends <- tapply(table$upper, table[[by]], max)
  if (by == "sample") ends[] <- max(ends) # panels share their axis
  n_rows <- nlevels(table$row)
  curves <- do.call(rbind, lapply(seq_len(nrow(table)), function(i) {
    own <- table[i, ]
    x <- seq(0, min(1, 1.1 * ends[[as.character(own[[by]])]]), length.out = RIDGE_POINTS)
    # the peak of a narrow curve may lie between two points of the grid
    x <- sort(unique(c(x, own$estimate)))
    density <- share_density(x, own$estimate, own$std_error, own$upper, level)
    data.frame(sample = own$sample, type = own$type, group = own$group, x = x,
               height = density / max(density), base = n_rows + 1 - as.integer(own$row))
  }))
  curves$ridge <- ridge_order(curves$base)
  curves
}

# Probability that a share is below x; see share_density().
share_below <- function(x, estimate, std_error, upper, level) {
  if (estimate == 0) {
    return(2 * stats::pnorm(x, 0, max(upper, 1e-6) / stats::qnorm((1 + level) / 2)) - 1)
  }
  std_error <- max(std_error, 1e-6)
  if (is_logit(estimate, std_error)) {
    return(stats::pnorm(stats::qlogis(pmin(x, 1)), stats::qlogis(estimate),
                        logit_error(estimate, std_error)))
  }
  ends <- stats::pnorm(0:1, estimate, std_error)
  (stats::pnorm(x, estimate, std_error) - ends[1L]) / (ends[2L] - ends[1L])
}

# Density of a share: as the intervals of confint() see it.
share_density <- function(x, estimate, std_error, upper, level) {
  if (estimate == 0) {
    return(stats::dnorm(x, 0, max(upper, 1e-6) / stats::qnorm((1 + level) / 2)))
  }
  std_error <- max(std_error, 1e-6)
  if (is_logit(estimate, std_error)) {
    inner <- pmin(pmax(x, 1e-12), 1 - 1e-12)
    error <- logit_error(estimate, std_error)
    return(stats::dnorm(stats::qlogis(inner), stats::qlogis(estimate), error) /
             (inner * (1 - inner)))
  }
  stats::dnorm(x, estimate, std_error) /
    (stats::pnorm(1, estimate, std_error) - stats::pnorm(0, estimate, std_error))
}
