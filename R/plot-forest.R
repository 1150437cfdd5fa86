#' @rdname plot_deconvolution
#' @export
plot_forest <- function(result, samples = NULL, types = NULL, group = NULL,
                        by = c("auto", "type", "sample"), level = 0.95,
                        what = NULL) {
  check_call()
  check_result(result, likelihood = FALSE)
  what <- share_asked_for(what, result, choices = SHARES[1:2])
  table <- grouped_intervals(result, samples, types, group, level, what)
  by <- panels_by(by, table)
  rows <- if (by == "sample") type_rows(table) else sample_rows(table, NAMED_ROWS)
  table <- rows$table
  table$kind <- factor(ifelse(table$estimate == 0, "limit", "estimate"), c("estimate", "limit"))
  table$drawn <- ifelse(table$estimate == 0, table$upper, table$estimate)
  colours <- forest_colours(table, result, by, !is.null(group))
  percent <- format(100 * level)
  # so many intervals touch: their estimates must stand out
  crowded <- !is.null(rows$note) && nlevels(table$type) > 1L
  ggplot(table, aes(.data$drawn, .data$row, colour = .data[[colours$column]])) +
    (if (by == "type" && !is.null(group)) group_means(table)) +
    geom_linerange(aes(xmin = .data$lower, xmax = .data$upper),
                   linewidth = if (crowded) 0.3 else 0.5, alpha = if (crowded) 0.4 else 1) +
    geom_point(aes(shape = .data$kind), fill = "white",
               size = if (crowded) 0.6 else max(0.8, min(2.2, 90 / length(unique(table$row))))) +
    scale_shape_manual(values = c(estimate = 16, limit = 25), guide = "none") +
    theme_unalloy() + colours$scale + panel_facets(by, table) + rows$layers +
    scale_x_continuous(limits = c(0, NA), n.breaks = 4) +
    labs(title = "Estimates and intervals", x = SHARE_LABELS[[what]], y = NULL,
         caption = paste0(
           "Dots: estimate with ", percent, " % interval. Open triangles: estimate 0, drawn at ",
           "the one-sided ", percent, " % upper limit.",
           if (by == "type" && !is.null(group)) "\nVertical lines: means of the groups.",
           rows$note
         ))
}

# Rows of one panel, or of all below each other, that can have names.
NAMED_ROWS <- 60L

# Intervals with the group of each sample; without samples in which no type was
# found.
grouped_intervals <- function(result, samples, types, group, level, what,
                              .call = caller_env()) {
  check_types(types, rownames(result$proportions), .call = .call)
  groups <- check_group(group_of_samples(group, result, .call = .call), result$convergence$sample,
                        .call = .call)
  table <- on_behalf(.call, {
    confint(result, parm = types, level = level, samples = samples, what = what)
  })
  table$group <- groups[match(table$sample, result$convergence$sample)]
  table <- droplevels(table[!is.na(table$estimate), ])
  if (!nrow(table)) {
    stop_user("argument", "No cell type was found in these samples: there is nothing to draw.",
              .call = .call)
  }
  table
}

panels_by <- function(by, table, .call = caller_env()) {
  by <- check_choice(by, c("auto", "type", "sample"), "by", .call = .call)
  if (by != "auto") return(by)
  if (nlevels(table$sample) <= 6L) "sample" else "type"
}

small_rows <- function(n) {
  list(theme(axis.text.y = element_text(size = rel(max(0.5, min(0.9, 25 / n))))))
}

type_rows <- function(table) {
  table$row <- table$type
  list(table = table, layers = list(scale_y_discrete(limits = rev, labels = shorten),
                                    small_rows(nlevels(table$type))))
}

# Samples as rows, those of a group together; named if they can be, else by rank
# within each panel.
sample_rows <- function(table, most) {
  n <- nlevels(table$sample)
  n_rows <- n * ggplot2::wrap_dims(nlevels(table$type))[1L]
  if (n_rows <= most) {
    first <- table[!duplicated(table$sample), ]
    order <- as.character(first$sample[order(first$group, first$sample)])
    table$row <- factor(table$sample, order)
    layers <- list(scale_y_discrete(limits = rev, labels = shorten), small_rows(n_rows))
    return(list(table = table, layers = layers))
  }
  sorted <- order(table$type, -as.integer(table$group), table$estimate, table$upper)
  table$row[sorted] <- unlist(lapply(table(table$type), seq_len))
  list(table = table, layers = list(scale_y_continuous(breaks = NULL)),
       note = paste0("\n", plural(n, "sample"), ", sorted in each panel",
                     if (nlevels(table$group) > 1L) " and group",
                     "; name some in `samples` or `types` to see which is which."))
}

panel_facets <- function(by, table) {
  n <- nlevels(table[[by]])
  list(
    facet_wrap(vars(.data[[by]]), scales = if (by == "type") "free_x" else "fixed",
               labeller = strip_labels(n)),
    theme(panel.spacing.x = unit(1, "lines"), strip.text = element_text(size = rel(strip_size(n))),
          axis.text.x = element_text(size = rel(if (n > 9L) 0.7 else 0.9)))
  )
}

# Colours of groups where there are some, else of types.
forest_colours <- function(table, result, by, grouped, aesthetic = "colour") {
  if (by == "type" && grouped) {
    values <- stats::setNames(unname(type_palette(nlevels(table$group))), levels(table$group))
    scale <- scale_discrete_manual(aesthetic, values = values, name = NULL)
    return(list(column = "group", scale = list(scale, theme(legend.position = "top"))))
  }
  list(column = "type", scale = scale_discrete_manual(
    aesthetic, values = type_palette(rownames(result$exposures %||% result$proportions)),
    guide = "none"
  ))
}

# The mean of each group as a line along its rows.
group_means <- function(table) {
  place <- if (is.factor(table$row)) nlevels(table$row) + 1 - as.integer(table$row) else table$row
  parts <- split(data.frame(table, place), list(table$type, table$group), drop = TRUE)
  means <- do.call(rbind, lapply(parts, function(part) {
    data.frame(type = part$type[1L], group = part$group[1L], mean = mean(part$estimate),
               low = min(part$place) - 0.5, high = max(part$place) + 0.5)
  }))
  geom_segment(aes(x = .data$mean, xend = .data$mean, y = .data$low, yend = .data$high,
                   colour = .data$group), means, inherit.aes = FALSE, linewidth = 0.4,
               linetype = "longdash")
}
