#' Marker genes as dots
#'
#' A row per gene, a dot per type: its colour is expression relative to the type that
#' expresses the gene most, its size is expression. A clear marker is one large bright dot
#' in a row of small dark ones.
#'
#' @param markers What [select_markers()] returned, a data frame with the columns
#'   `gene` and `type`, or a list with the genes of each type.
#' @param signatures The signatures; needed unless `markers` is an object of
#'   [select_markers()].
#' @param n Markers shown per type, the best; by default as many as have names of a readable
#'   size, ten at most.
#' @param pseudocount Added to expression before the logarithm, per million.
#' @param range Ratios below `-range` (log2) have the darkest colour.
#' @return A ggplot: genes (rows, grouped by the type they mark) by types.
#' @section Errors: as [select_markers()].
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 2, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' plot_markers(select_markers(signatures, n = 8))
#' plot_markers(list("Type A" = c("Gene001", "Gene002")), signatures)
plot_markers <- function(markers, signatures = NULL, n = NULL, pseudocount = 10, range = 6) {
  check_call()
  if (!is.null(n)) n <- check_count(n, "n")
  pseudocount <- check_number(pseudocount, "pseudocount", min = 0, above = TRUE)
  range <- check_number(range, "range", min = 0, above = TRUE)
  expression <- marker_profiles(markers, signatures)
  listed <- marker_list(markers, "markers")
  if (!sum(lengths(listed))) stop_user("markers", "There are no markers to draw.")
  n <- n %||% max(1, min(10, MOST_MARKERS %/% sum(lengths(listed) > 0)))
  table <- marker_tiles(lapply(listed, utils::head, n), expression, pseudocount, range)
  rows <- levels(table$row)
  ggplot(table, aes(.data$type, .data$row, colour = .data$relative, size = .data$expression)) +
    geom_point() +
    facet_grid(rows = vars(.data$group), scales = "free_y", space = "free_y", switch = "y",
               labeller = function(labels) lapply(labels, function(x) shorten(as.character(x)))) +
    scale_colour_viridis_c(name = "log2 ratio to the\ngene's highest type", limits = c(-range, 0),
                           n.breaks = 4) +
    scale_size_area(name = "Expression\nper million", max_size = min(7, 250 / length(rows)),
                    trans = "sqrt", n.breaks = 4) +
    scale_x_discrete(labels = shorten) +
    scale_y_discrete(labels = stats::setNames(sub("^.*\r", "", rows), rows), position = "right") +
    labs(title = "Markers of cell types", x = NULL, y = NULL) + theme_unalloy() +
    theme(panel.grid.major.x = element_blank(), legend.position = "right",
          axis.text.x = element_text(angle = 90, hjust = 1, vjust = 0.5),
          axis.text.y.right = element_text(size = rel(max(0.5, min(0.8, 35 / length(rows)))),
                                           hjust = 0),
          panel.spacing.y = unit(0.15, "lines"), strip.placement = "outside",
          strip.text.y.left = element_text(angle = 0, hjust = 1), strip.clip = "off")
}

# Rows of genes that can be read on one page.
MOST_MARKERS <- 40L

marker_profiles <- function(markers, signatures, .call = caller_env()) {
  kept <- attr(markers, "profiles")
  if (is.null(signatures) && inherits(markers, "markers") &&
        all(markers$gene %in% rownames(kept))) {
    return(kept)
  }
  if (is.null(signatures)) {
    stop_user("argument", "`signatures` are needed to draw these markers.",
              i = "Give the signatures that the markers were selected from.", .call = .call)
  }
  types <- names(marker_list(markers, "markers", .call = .call))
  if (is.null(types)) {
    stop_user("argument", "`markers` must be a list with the genes of each type.",
              x = paste0("It is ", describe(markers), "."), .call = .call)
  }
  expression <- per_million(signatures, .call = .call)
  checked_markers(markers, rownames(expression), "markers", .call = .call)
  check_marker_types(types, colnames(expression), "The names of `markers`", .call = .call)
  expression
}

# A row per tile.  The same gene may stand in several groups of a user's list, so
# that rows are named by group and gene.
marker_tiles <- function(genes, expression, pseudocount, range) {
  group <- rep(names(genes), lengths(genes))
  gene <- unlist(genes, use.names = FALSE)
  row <- paste0(group, "\r", gene)
  types <- c(intersect(names(genes), colnames(expression)),
             setdiff(colnames(expression), names(genes)))
  values <- log2(expression[strip_ensembl_version(gene), types, drop = FALSE] + pseudocount)
  relative <- pmax(values - apply(values, 1L, max), -range)
  data.frame(
    type = factor(rep(types, each = length(row)), types),
    row = factor(rep(row, length(types)), rev(unique(row))),
    group = factor(rep(group, length(types)), names(genes)),
    relative = as.vector(relative),
    expression = as.vector(expression[strip_ensembl_version(gene), types, drop = FALSE])
  )
}

#' @rdname select_markers
#' @export
plot.markers <- function(x, ...) {
  refuse_dots(..., .to = plot_markers)
  invisible(print(plot_markers(x, ...)))
}

#' @rdname select_markers
#' @method autoplot markers
#' @export
autoplot.markers <- function(object, ...) {
  refuse_dots(..., .to = plot_markers)
  plot_markers(object, ...)
}
