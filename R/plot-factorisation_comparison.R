#' Pictures of a comparison of factorisations
#'
#' @param x What [compare_factorisations()] returns.
#' @param view `"cells"`: correlations of coefficients with those of the first
#'   factorisation; `"signatures"`: correlations of loadings with signatures;
#'   `"gene_sets"`: where genes of a set lie among the loadings. By default the first
#'   that there is.
#' @param ... Not used; for agreement with the generic.
#' @return A ggplot; matched pairs have a point.
#' @section Errors: `unalloy_error_argument`.
#' @importFrom ggplot2 geom_tile
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 20, seed = 1)
#' metagenes <- nmf(sim$bulk_counts, rank = 2, seed = 1)
#' components <- latent_factors(log1p(sim$bulk_counts), rank = 2)
#' plot(compare_factorisations(NMF = metagenes, PCA = components))
plot.factorisation_comparison <- function(x, view = NULL, ...) {
  refuse_dots(...)
  views <- c(if (!is.null(x$correlations)) "cells", if (!is.null(x$signatures)) "signatures",
             if (!is.null(x$gene_sets)) "gene_sets")
  if (!length(views)) stop_user("argument", "The comparison has nothing to draw but its table.")
  view <- check_choice(view %||% views[1L], views, "view")
  rows <- switch(
    view,
    cells = data.frame(panel = paste(x$names[1L], "and", x$correlations$factorisation),
                       across = x$correlations$component, down = x$correlations$partner,
                       value = x$correlations$correlation,
                       matched = paste(x$correlations$factorisation, x$correlations$component,
                                       x$correlations$partner) %in%
                         paste(x$matches$factorisation, x$matches$component, x$matches$partner)),
    signatures = data.frame(panel = x$signatures$factorisation, across = x$signatures$component,
                            down = x$signatures$type, value = x$signatures$correlation,
                            matched = x$signatures$matched),
    gene_sets = data.frame(panel = x$gene_sets$factorisation, across = x$gene_sets$component,
                           down = x$gene_sets$set, value = x$gene_sets$auc - 0.5, matched = FALSE)
  )
  for (column in c("across", "down")) {
    rows[[column]] <- factor(rows[[column]], unique(rows[[column]]))
  }
  ggplot(rows, aes(.data$across, .data$down, fill = .data$value)) +
    geom_tile() +
    geom_point(data = rows[rows$matched, ], size = 1) +
    facet_wrap(vars(.data$panel), scales = "free") +
    scale_fill_gradient2(
      low = TYPE_COLOURS[2L], mid = "white", high = TYPE_COLOURS[1L],
      name = if (view == "gene_sets") "AUC - 0.5" else "Correlation"
    ) +
    labs(x = NULL, y = NULL) + theme_unalloy() +
    theme(axis.text.x = element_text(angle = 45, hjust = 1))
}

#' @rdname plot.factorisation_comparison
#' @param object The same as `x`.
#' @export
autoplot.factorisation_comparison <- function(object, ...) {
  refuse_dots(..., .to = plot.factorisation_comparison)
  plot(object, ...)
}
