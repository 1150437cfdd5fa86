# Panels of the plot: the measures in each, and how to call them.
RANK_PANELS <- list(
  "held-out error" = c(cv.error = "held out"),
  "bi-cross-validation" = c(bicv.error = "held out"),
  "cophenetic" = c(cophenetic = "consensus"),
  "dispersion" = c(dispersion = "consensus"),
  "stability" = c(stability = "basis"),
  "silhouette" = c(silhouette.consensus = "consensus", silhouette.coef = "coefficients",
                   silhouette.basis = "basis"),
  "relative residual" = c(residuals = "data", residuals.null = "permuted data"),
  "explained variation" = c(evar = "data"),
  "sparseness" = c(sparseness.basis = "basis", sparseness.coef = "coefficients")
)

# Panels where lower is better.
LOW_PANELS <- c("held-out error", "bi-cross-validation")

#' @rdname rank_estimate
#' @export
plot.rank_estimate <- function(x, what = NULL, main = "How many components?", ...) {
  refuse_dots(...)
  what <- what %||% names(RANK_PANELS)
  unknown <- setdiff(what, names(RANK_PANELS))
  if (length(unknown)) {
    stop_user("argument", "`what` must name panels.",
              x = paste0("Unknown: ", some_of(unknown), "; there are ",
                         some_of(names(RANK_PANELS), 9L), "."))
  }
  tables <- lapply(what, function(panel) rank_panel(x$measures, panel))
  table <- do.call(rbind, tables)
  table <- table[!is.na(table$value), ]
  panels <- vapply(what, panel_title, "")
  table$panel <- factor(table$panel, panels[panels %in% table$panel])
  table$series <- factor(table$series, unique(unlist(lapply(RANK_PANELS, unname))))
  table$series <- droplevels(table$series)
  suggested <- x$suggestion[!is.na(x$suggestion$rank), ]
  suggested$panel <- c("null residual" = "relative residual")[suggested$rule]
  suggested$panel <- ifelse(is.na(suggested$panel), suggested$rule, suggested$panel)
  suggested$panel <- vapply(suggested$panel, panel_title, "")
  suggested <- suggested[suggested$panel %in% table$panel, ]
  suggested$panel <- factor(suggested$panel, levels(table$panel))
  ranks <- x$measures$rank
  ticks <- ranks[round(seq(1, length(ranks), length.out = min(8L, length(ranks))))]
  caption <- if (nrow(suggested)) "Dashed: the rank that the panel's rule suggests. "
  primary <- x$suggestion[x$suggestion$primary, ]
  if (nrow(primary)) {
    caption <- paste0("Suggested: rank ", primary$rank, ", ", rule_text(primary$rule), ".\n",
                      caption)
  }
  ggplot(table, aes(.data$rank, .data$value, colour = .data$series)) +
    ggplot2::geom_vline(aes(xintercept = .data$rank), suggested, linetype = "dashed",
                        colour = "grey45", linewidth = 0.4) +
    geom_linerange(aes(ymin = .data$value - .data$se, ymax = .data$value + .data$se),
                   table[!is.na(table$se), ], linewidth = 0.8, alpha = 0.6) +
    geom_line(linewidth = 0.6) +
    geom_point(size = 1.8) +
    facet_wrap(vars(.data$panel), scales = "free_y") +
    scale_discrete_manual("colour", values = series_colours(levels(table$series)), name = NULL) +
    scale_x_continuous(breaks = ticks, minor_breaks = NULL) +
    labs(title = main, x = "Rank", y = NULL,
         caption = paste0(caption, "Bars: one standard error.")) +
    theme_unalloy() + theme(legend.position = "bottom")
}

#' @rdname rank_estimate
#' @export
autoplot.rank_estimate <- function(object, ...) {
  refuse_dots(..., .to = plot.rank_estimate)
  plot(object, ...)
}

panel_title <- function(panel) {
  title <- paste0(toupper(substr(panel, 1L, 1L)), substring(panel, 2L))
  if (panel %in% LOW_PANELS) paste(title, "(low is good)") else title
}

series_colours <- function(series) {
  all <- unique(unlist(lapply(RANK_PANELS, unname)))
  stats::setNames(TYPE_COLOURS[match(series, all)], series)
}

rank_panel <- function(measures, panel) {
  series <- RANK_PANELS[[panel]]
  tables <- lapply(names(series), function(name) {
    error <- measures[[sub("(\\.error)?$", ".se", name)]]
    value <- measures[[name]]
    if (panel == "relative residual") value <- relative_to_first(value)
    data.frame(rank = measures$rank, value = value, se = error %||% NA_real_,
               series = series[[name]], panel = panel_title(panel))
  })
  do.call(rbind, tables)
}

#' @rdname rank_estimate
#' @export
consensusmap.rank_estimate <- function(object, ...) { # nolint: object_name_linter.
  refuse_dots(..., .known = c(arguments_of(consensusmap.nmf_fit), "annCol", "annColors"))
  structure(lapply(object$fit, consensusmap, ...), names = names(object$fit))
}
