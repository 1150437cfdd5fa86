#' Plots of a deconvolution
#'
#' `plot_deconvolution()` draws one panel, or all of them; each panel is also a
#' function of its own. `plot()` and `ggplot2::autoplot()` do the same.
#'
#' @details
#' \describe{
#'   \item{`plot_proportions()`}{Stacked bars, a bar per sample.}
#'   \item{`plot_fit()`}{Observed against fitted counts of all genes that carry
#'     weight, on the log1p scale, with the squared Pearson correlation of what is
#'     drawn.}
#'   \item{`plot_correlation()`}{Per sample, the correlation across genes of
#'     observed and fitted counts (`metrics$gene_correlation`, count scale).}
#'   \item{`plot_residuals()`}{Pearson residuals against fitted counts, all
#'     points, with their running median. The residual axis is linear near 0 and
#'     logarithmic beyond.}
#'   \item{`plot_intercept()`}{Per sample, what no signature explains.}
#'   \item{`plot_heatmap()`}{Types × samples with their trees, `group` as a track above them
#'     and the intercept, where the model has one, as points. With
#'     `what = "proportions_with_intercept"` the intercept is a row on top.}
#'   \item{`plot_uncertainty()`}{Estimates and intervals of
#'     [confint()][confint.deconvolution]; a panel per sample up to six samples,
#'     else a panel per type. Types at zero are drawn at their upper limit, as an
#'     open triangle. `view = "forest"` and `"ridge"` draw the next two.}
#'   \item{`plot_forest()`}{Estimates and intervals, a row per sample in a panel per
#'     type (`by = "type"`) or a row per type in a panel per sample; samples of a
#'     group stand together in its colour, with their mean as a line. Rows that would
#'     be too many to name are sorted by estimate.}
#'   \item{`plot_ridge()`}{How likely each share is, as a ridge: normal on the logit
#'     scale, or on the scale of shares and cut off at 0 and 1 where
#'     [confint()][confint.deconvolution] is; for types at zero the half of a normal
#'     curve whose quantile is their upper limit. All ridges have the same height. Cohorts with too
#'     many rows are drawn as the mean of the curves of all samples (of a group), a row
#'     per type.}
#' }
#' Hex plots are binned in blocks of samples: they hold the counts per hexagon and
#' no points, whatever the size of the cohort.
#'
#' @param result,x,object A [deconvolution].
#' @param type The panel, or `"all"`.
#' @param observed_counts The counts that were deconvolved, for a result without
#'   them (`keep_counts = FALSE`).
#' @param ... Arguments of the panel's own function. For `plot()` and
#'   `autoplot()`: arguments of `plot_deconvolution()`.
#' @param group Groups to put samples in: a vector in the order of the samples, or
#'   named by sample, or the name of a column of [sample_data()]. A factor keeps the order of
#'   its levels. For the heatmap also several columns, or a data frame or list.
#' @param order `"cluster"` puts samples (and for the heatmap types) that resemble
#'   each other side by side; `"none"` keeps the order of the result.
#' @param what Which shares.
#' @param top Types that have a bar of their own, those with the largest mean; the others
#'   are drawn as one.
#' @param colours For the proportions, colours named by type, in place of those of
#'   [type_palette()]. For the heatmap, a list of colours per level, named by track.
#' @param bins Hexagons along the x axis.
#' @param level Coverage of the intervals.
#' @param samples,types What to draw; all by default.
#' @param view Which picture of the uncertainty.
#' @param by What has panels of its own. `"auto"` is `"sample"` for up to six samples,
#'   else `"type"`.
#' @return A ggplot. For `type = "all"` a list of ggplots of class
#'   `unalloy_plots`, which prints on one page and can be given to
#'   [ggplot2::ggsave()].
#' @section Errors and warnings: `unalloy_error_argument` for arguments that do
#'   not fit, `unalloy_error_no_counts` when counts are needed,
#'   `unalloy_error_no_intercept` when the model has none. With `type = "all"`
#'   panels that can't be drawn are left out with a warning each, of class
#'   `unalloy_warning_panel`.
#' @importFrom ggplot2 aes annotate coord_fixed element_blank element_line element_rect
#' @importFrom ggplot2 element_text expansion facet_grid facet_wrap geom_abline geom_col layer
#' @importFrom ggplot2 geom_hline geom_line geom_linerange geom_point geom_segment geom_tile
#' @importFrom ggplot2 ggplot guide_legend labs rel scale_discrete_manual scale_fill_viridis_c
#' @importFrom ggplot2 scale_colour_viridis_c scale_shape_manual scale_size_area
#' @importFrom ggplot2 scale_x_continuous scale_x_discrete
#' @importFrom ggplot2 scale_y_continuous scale_y_discrete theme theme_minimal unit vars
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 8, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' plot_deconvolution(result)
#' plot_heatmap(result, group = rep(c("case", "control"), 4))
#' plot_uncertainty(result, samples = 1:3)
#' plot_forest(result, types = "Type A", group = rep(c("case", "control"), 4))
#' plot_ridge(result, samples = 1:2)
plot_deconvolution <- function(result,
                               type = c("proportions", "fit", "correlation", "residuals",
                                        "intercept", "heatmap", "uncertainty", "all"),
                               observed_counts = NULL, ...) {
  check_call()
  if (inherits(result, "hierarchical_deconvolution")) {
    return(autoplot.hierarchical_deconvolution(result, ...))
  }
  check_result(result, likelihood = FALSE)
  type <- check_choice(type, c(PANELS, "all"), "type")
  refuse_dots(..., .known = panel_arguments(if (type == "all") PANELS else type))
  result <- with_counts(result, observed_counts)
  given <- list(...)
  if (type == "all") return(all_panels(result, given))
  do.call(paste0("plot_", type), c(list(result), given), envir = environment())
}

#' @rdname plot_deconvolution
#' @method autoplot deconvolution
#' @export
autoplot.deconvolution <- function(object, ...) {
  refuse_dots(..., .to = plot_deconvolution, .known = panel_arguments(PANELS))
  plot_deconvolution(object, ...)
}

#' @importFrom ggplot2 autoplot
#' @export
ggplot2::autoplot

#' @rdname plot_deconvolution
#' @export
plot.deconvolution <- function(x, ...) {
  refuse_dots(..., .to = plot_deconvolution, .known = panel_arguments(PANELS))
  invisible(print(plot_deconvolution(x, ...)))
}

# Each is drawn by the function plot_<panel>().
PANELS <- c("proportions", "fit", "correlation", "residuals", "intercept", "heatmap",
            "uncertainty")

panel_arguments <- function(panels) {
  setdiff(unlist(lapply(paste0("plot_", panels), arguments_of)), "observed_counts")
}

all_panels <- function(result, given, .call = caller_env()) {
  draw <- function(panel) {
    taken <- given[names(given) %in% panel_arguments(panel)]
    tryCatch(
      do.call(paste0("plot_", panel), c(list(result), taken), envir = environment()),
      rlang_error = function(e) {
        warn_user("panel", paste0("The panel \"", panel, "\" is left out."),
                  x = rlang::cnd_header(e), e$body, .call = .call)
        NULL
      }
    )
  }
  # The platform error model has no intercept to draw, and a network nothing that was fitted.
  panels <- switch(result$error_model, platform = setdiff(PANELS, "intercept"),
                   network = c("proportions", "heatmap", "uncertainty"), PANELS)
  drawn <- sapply(panels, draw, simplify = FALSE)
  structure(Filter(Negate(is.null), drawn), class = "unalloy_plots")
}

#' @export
print.unalloy_plots <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  grid::grid.newpage()
  grid::grid.draw(x)
  invisible(x)
}

# So that ggsave() takes it as well.
#' @exportS3Method grid::grid.draw
grid.draw.unalloy_plots <- function(x, recording = TRUE) { # nolint: object_name_linter.
  n_rows <- round(sqrt(length(x)))
  row_of <- ceiling(seq_along(x) * n_rows / length(x))
  for (i in seq_along(x)) {
    row <- which(row_of == row_of[i])
    place <- grid::viewport(x = (i - row[1L] + 0.5) / length(row),
                            y = 1 - (row_of[i] - 0.5) / n_rows,
                            width = 0.98 / length(row), height = 0.96 / n_rows)
    inches <- grid::convertWidth(grid::unit(1, "npc"), "inches", valueOnly = TRUE) / length(row)
    print(wrap_texts(x[[i]], inches) + theme(text = element_text(size = 8)), vp = place)
  }
  invisible(x)
}

# Inches per letter at a size of text of 8 points.
LETTER_WIDTHS <- c(title = 0.075, x = 0.065, caption = 0.05)

# A plot whose texts from side to side are no wider than `inches`.
wrap_texts <- function(plot, inches) {
  for (part in names(LETTER_WIDTHS)) {
    text <- plot$labels[[part]]
    if (is.null(text)) next
    letters <- max(20, floor(0.95 * inches / LETTER_WIDTHS[[part]]))
    lines <- unlist(strsplit(text, "\n", fixed = TRUE))
    plot$labels[[part]] <- paste(strwrap(lines, letters), collapse = "\n")
  }
  plot
}
