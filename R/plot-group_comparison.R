#' Picture of a comparison of groups
#'
#' Boxes and points of each feature by group, with the adjusted p values of the pairs as
#' brackets; for a covariate points and the fitted slope. Values of one patient
#' are joined by lines where the groups are within patients.
#'
#' @param x,object A [group_comparison].
#' @param features Features to draw: names, for genes of a type `"gene"` or `"type: gene"`. By
#'   default those of the smallest p values.
#' @param n How many features to draw.
#' @param level Pairs with an adjusted p value below get a bracket; of two groups every
#'   feature does.
#' @param ... None: other arguments are refused.
#' @return A ggplot.
#' @section Errors: `unalloy_error_argument` for features that are not there.
#' @seealso [compare_groups()]
#' @importFrom ggplot2 geom_boxplot geom_text
#' @export
#' @examples
#' shares <- matrix(c(0.2, 0.3, 0.5), 3, 10) + rnorm(30, 0, 0.01)
#' dimnames(shares) <- list(c("B", "NK", "T"), paste0("S", 1:10))
#' samples <- data.frame(group = rep(c("a", "b"), 5), row.names = colnames(shares))
#' plot(compare_groups(shares, ~ group, samples))
plot.group_comparison <- function(x, features = NULL, n = 9, level = 0.05, ...) {
  refuse_dots(...)
  n <- check_count(n, "n")
  level <- check_number(level, "level", 0, 1)
  chosen <- features_to_draw(x, features, n)
  points <- do.call(rbind, lapply(seq_len(nrow(chosen)), function(i) drawn_points(x, chosen[i, ])))
  points$panel <- factor(points$panel, chosen$panel)
  if (is.factor(x$design$compared)) return(plot_boxes(x, points, chosen, level))
  plot_slopes(x, points, chosen)
}

#' @rdname plot.group_comparison
#' @export
autoplot.group_comparison <- function(object, ...) {
  refuse_dots(..., .to = plot.group_comparison)
  plot(object, ...)
}

# Rows of features to draw: type, feature, panel.
features_to_draw <- function(x, features, n, .call = caller_env()) {
  table <- x$table
  genes <- x$values$noun == "gene"
  found <- data.frame(type = if (genes) table$type else NA_character_,
                      feature = as.character(table[[x$values$noun]]), p_value = table$p_value)
  found$panel <- if (genes) paste0(found$type, ": ", found$feature) else found$feature
  found <- found[order(found$p_value), ]
  found <- found[!duplicated(found$panel), ]
  if (is.null(features)) return(utils::head(found, n))
  known <- found$panel %in% features | found$feature %in% features
  absent <- setdiff(features, c(found$panel, found$feature))
  if (length(absent) || !any(known)) {
    stop_user("argument", "`features` must name features that were compared.",
              x = paste0("Unknown: ", some_of(absent), "."), .call = .call)
  }
  found <- found[known, ]
  place <- pmin(match(found$panel, features, length(features) + 1L),
                match(found$feature, features, length(features) + 1L))
  found[order(place), ]
}

drawn_points <- function(x, row) {
  types <- vapply(x$values$blocks, `[[`, "", "type")
  block <- x$values$blocks[[if (is.na(row$type)) 1L else match(row$type, types)]]
  samples <- x$design$samples
  value <- block$values[row$feature, samples]
  out <- data.frame(panel = row$panel, sample = samples, value = unname(value),
                    compared = x$design$compared)
  out$patient <- if (is.null(x$design$patients)) samples else as.character(x$design$patients)
  out[!is.na(out$value), ]
}

plot_boxes <- function(x, points, chosen, level) {
  groups <- levels(points$compared)
  n <- length(x$design$samples)
  points$place <- as.integer(points$compared) + spread_points(points)
  joined <- within_patients(x)
  panels <- length(unique(points$panel))
  slanted <- length(groups) > 3L
  brackets <- bracket_table(x, points, chosen, level)
  bars <- if (!is.null(brackets)) {
    list(
      geom_segment(aes(x = .data$from, xend = .data$to, y = .data$height, yend = .data$height),
                   brackets, inherit.aes = FALSE, linewidth = 0.3),
      geom_segment(aes(x = .data$from, xend = .data$from, y = .data$height, yend = .data$foot),
                   brackets, inherit.aes = FALSE, linewidth = 0.3),
      geom_segment(aes(x = .data$to, xend = .data$to, y = .data$height, yend = .data$foot),
                   brackets, inherit.aes = FALSE, linewidth = 0.3),
      geom_text(aes(x = (.data$from + .data$to) / 2, y = .data$height, label = .data$label),
                brackets, inherit.aes = FALSE, vjust = -0.35, size = 2.7)
    )
  }
  ggplot(points, aes(.data$place, .data$value, colour = .data$compared)) +
    (if (joined) geom_line(aes(group = .data$patient), colour = "grey75", linewidth = 0.3)) +
    geom_boxplot(aes(as.integer(.data$compared), fill = .data$compared, group = .data$compared),
                 outlier.shape = NA, width = 0.62, alpha = if (joined) 0.12 else 0.25,
                 linewidth = 0.35) +
    geom_point(size = max(0.5, min(1.8, 20 / sqrt(n))), alpha = if (n > 100) 0.5 else 0.9,
               shape = 16) +
    bars +
    scale_discrete_manual(c("colour", "fill"), guide = "none",
                          values = stats::setNames(unname(type_palette(length(groups))), groups)) +
    scale_x_continuous(breaks = seq_along(groups), minor_breaks = NULL,
                       labels = if (slanted) shorten(groups, 14L)
                                else wrap_names(groups, name_width(panels, length(groups)))) +
    scale_y_continuous(expand = expansion(c(0.05, 0.14))) +
    facet_wrap(vars(.data$panel), scales = "free_y", labeller = strip_labels(panels)) +
    theme_unalloy() +
    theme(panel.grid.major.x = element_blank(),
          axis.text.x = element_text(angle = if (slanted) 35 else 0,
                                     hjust = if (slanted) 1 else 0.5)) +
    labs(title = paste0("By ", x$design$term), x = NULL, y = x$values$unit,
         caption = paste0(
           p_name(x), " over all comparisons",
           if (length(groups) > 2L) paste0(", drawn below ", format(level)),
           if (length(x$design$adjust)) paste0("; adjusted for ",
                                               paste(x$design$adjust, collapse = ", ")),
           if (joined) paste0(". Lines join the samples of one ", x$design$block), "."
         ))
}

p_name <- function(x) {
  switch(x$settings$adjust, BH = , fdr = , BY = "q: false discovery rate", none = "p: not adjusted",
         paste0("p: adjusted (", x$settings$adjust, ")"))
}

# Points beside each other: by their rank among neighbours, the same at every drawing.
spread_points <- function(points) {
  parts <- interaction(points$panel, points$compared, drop = TRUE)
  out <- stats::ave(points$value, parts, FUN = function(value) {
    rank <- rank(value, ties.method = "first")
    # 0.618: successive ranks are far from each other
    0.36 * ((rank * 0.6180339887) %% 1 - 0.5)
  })
  out
}

# Whether some patient is in two groups.
within_patients <- function(x) {
  if (is.null(x$design$patients)) return(FALSE)
  any(tapply(x$design$compared, x$design$patients, function(g) length(unique(g)) > 1L))
}

# Brackets over the pairs of each panel, the narrow ones lowest.
bracket_table <- function(x, points, chosen, level) {
  table <- x$table
  contrasts <- x$design$contrasts
  letter <- if (startsWith(p_name(x), "q")) "q" else "p"
  genes <- x$values$noun == "gene"
  name <- if (genes) paste0(table$type, ": ", table$gene) else as.character(table[[x$values$noun]])
  groups <- levels(points$compared)
  parts <- lapply(seq_len(nrow(chosen)), function(i) {
    own <- table[name == chosen$panel[i] & !is.na(table$p_adjusted), ]
    if (length(contrasts$names) > 1L) own <- own[own$p_adjusted < level, ]
    if (!nrow(own)) return(NULL)
    pair <- match(own$comparison, contrasts$names)
    from <- match(contrasts$second[pair], groups)
    to <- match(contrasts$first[pair], groups)
    value <- points$value[points$panel == chosen$panel[i]]
    order <- order(abs(to - from), pmin(from, to))
    step <- max(diff(range(value)), 1e-12) * 0.13
    height <- max(value) + step * (seq_along(order) - 0.4)
    data.frame(panel = chosen$panel[i], from = pmin(from, to)[order], to = pmax(from, to)[order],
               height = height, foot = height - step * 0.15,
               label = paste0(letter, p_text(own$p_adjusted[order])))
  })
  out <- do.call(rbind, parts)
  if (!is.null(out)) out$panel <- factor(out$panel, chosen$panel)
  out
}

p_text <- function(p) {
  ifelse(p < 1e-4, paste0(" = ", formatC(p, digits = 0, format = "e")),
         paste0(" = ", formatC(p, digits = 2, format = "g")))
}

plot_slopes <- function(x, points, chosen) {
  table <- x$table
  genes <- x$values$noun == "gene"
  name <- if (genes) paste0(table$type, ": ", table$gene) else as.character(table[[x$values$noun]])
  own <- table[match(chosen$panel, name), ]
  lines <- do.call(rbind, lapply(seq_len(nrow(chosen)), function(i) {
    part <- points[points$panel == chosen$panel[i], ]
    ends <- range(part$compared)
    data.frame(panel = chosen$panel[i], compared = ends,
               value = mean(part$value) + own$estimate[i] * (ends - mean(part$compared)))
  }))
  letter <- if (startsWith(p_name(x), "q")) "q" else "p"
  labels <- stats::setNames(paste0(shorten(chosen$panel), ", ", letter, p_text(own$p_adjusted)),
                            chosen$panel)
  lines$panel <- factor(lines$panel, chosen$panel)
  n <- length(x$design$samples)
  ggplot(points, aes(.data$compared, .data$value)) +
    geom_point(colour = TYPE_COLOURS[1L], shape = 16, alpha = if (n > 100) 0.5 else 0.9,
               size = max(0.5, min(1.8, 20 / sqrt(n)))) +
    geom_line(data = lines, linewidth = 0.6, colour = TYPE_COLOURS[4L]) +
    facet_wrap(vars(.data$panel), scales = "free_y", labeller = ggplot2::as_labeller(labels)) +
    theme_unalloy() +
    labs(title = paste0("By ", x$design$term), x = x$design$term, y = x$values$unit,
         caption = paste0(p_name(x), ". Line: slope of the model",
                          if (length(x$design$adjust)) paste0(", adjusted for ",
                                                 paste(x$design$adjust, collapse = ", ")), "."))
}
