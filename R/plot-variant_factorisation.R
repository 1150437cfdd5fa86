#' Pictures of clones
#'
#' @param x A `variant_factorisation` from [factorise_variants()].
#' @param type `"composition"`: a bar per cell with the shares of the clones, cells
#'   ordered by clone and share. `"genotypes"`: V as a heatmap, variants ordered by
#'   the clone that has most of them. `"certainty"`: histograms of the certainty
#'   per clone.
#' @param group For `"composition"`: a label per cell (cell types, say), a panel for
#'   each; `NULL` for one panel.
#' @param ... None: other arguments are refused.
#' @return A ggplot.
#' @section Errors: `unalloy_error_argument` for an unknown type, labels that do not
#'   fit the cells, and certainties that were not computed.
#' @seealso [factorise_variants()]
#' @importFrom ggplot2 geom_histogram scale_fill_viridis_c
#' @export
#' @examples
#' set.seed(1)
#' clone <- rep(1:2, each = 30)
#' genotype <- cbind(rep(c(0.5, 0, 0.5), c(6, 6, 8)), rep(c(0, 0.5, 0.5), c(6, 6, 8)))
#' coverage <- matrix(rpois(20 * 60, 4), 20)
#' alt <- matrix(rbinom(20 * 60, coverage, genotype[, clone]), 20)
#' fit <- factorise_variants(coverage - alt, alt, rank = 2, seed = 1)
#' plot(fit, "composition", group = paste("truth:", clone))
#' plot(fit, "genotypes")
plot.variant_factorisation <- function(x, type = c("composition", "genotypes", "certainty"),
                                       group = NULL, ...) {
  refuse_dots(...)
  type <- check_choice(type, c("composition", "genotypes", "certainty"), "type")
  if (!is.null(group) && (type != "composition" || length(group) != ncol(x$coef))) {
    stop_user("argument", "`group` must have a label per cell, for the composition.",
              x = paste0("It has ", length(group), "; there are ", plural(ncol(x$coef), "cell"),
                         "."))
  }
  if (type == "certainty" && is.null(x$intervals)) {
    stop_user("argument", "There are no certainties: the fit has no resamples.",
              i = "Fit with `bootstrap = 50`.")
  }
  switch(type, composition = plot_clone_composition(x, group), genotypes = plot_genotypes(x),
         certainty = plot_certainty(x))
}

#' @rdname plot.variant_factorisation
#' @param object A `variant_factorisation`.
#' @export
autoplot.variant_factorisation <- function(object, ...) {
  refuse_dots(..., .to = plot.variant_factorisation)
  plot(object, ...)
}

plot_clone_composition <- function(x, group) {
  order <- order(x$cells$clone, -x$cells$share)
  clones <- rownames(x$shares)
  group <- if (is.null(group)) rep("", nrow(x$cells)) else as.character(group)
  group[is.na(group)] <- "not labelled"
  counts <- table(group)
  place <- stats::ave(seq_along(order), group[order], FUN = seq_along)
  table <- data.frame(
    place = rep(place, length(clones)),
    share = as.vector(t(x$shares[, order, drop = FALSE])),
    clone = factor(rep(clones, each = length(order)), rev(clones)),
    group = paste0(group[order], " (", count_text(counts[group[order]]), ")")
  )
  if (all(group == "")) table$group <- plural(length(order), "cell")
  ggplot(table, aes(.data$place, .data$share, fill = .data$clone)) +
    # outlines close the seams that thin bars have on screen
    geom_col(aes(colour = .data$clone), width = 1, linewidth = 0.15) +
    facet_wrap(vars(.data$group), scales = "free_x") +
    scale_discrete_manual(c("fill", "colour"), values = type_palette(clones), breaks = clones,
                          name = NULL) +
    scale_x_continuous(breaks = NULL, expand = expansion(0)) +
    scale_y_continuous(expand = expansion(0)) +
    labs(title = "What cells are made of", x = "Cells, by clone and share",
         y = "Share of the fitted alleles") +
    theme_unalloy()
}

plot_genotypes <- function(x) {
  clones <- colnames(x$basis)
  top <- max.col(x$basis, ties.method = "first")
  apart <- x$basis[cbind(seq_along(top), top)] -
    (rowSums(x$basis) - x$basis[cbind(seq_along(top), top)]) / max(length(clones) - 1, 1)
  order <- order(top, -apart)
  variants <- rownames(x$basis)[order]
  table <- data.frame(
    variant = factor(rep(variants, length(clones)), rev(variants)),
    clone = factor(rep(clones, each = length(variants)), clones),
    value = as.vector(x$basis[order, ])
  )
  many <- length(variants) > 60
  plot <- ggplot(table, aes(.data$clone, .data$variant, fill = .data$value)) +
    geom_tile() +
    scale_fill_viridis_c(name = "Mean call", limits = c(0, 1), option = "D") +
    labs(title = "Genotypes of the clones", x = NULL,
         y = if (many) paste0(length(variants), " variants") else "Variant",
         caption = "0: reference only, 0.5: both alleles, 1: alternative only.") +
    theme_unalloy() + theme(panel.grid.major = element_blank())
  if (many) plot + scale_y_discrete(breaks = NULL) else plot
}

plot_certainty <- function(x) {
  table <- x$cells[!is.na(x$cells$clone), ]
  ggplot(table, aes(.data$certainty, fill = .data$clone)) +
    geom_histogram(breaks = seq(0, 1, 0.05)) +
    facet_wrap(vars(.data$clone), scales = "free_y") +
    scale_discrete_manual("fill", values = type_palette(rownames(x$shares)), guide = "none") +
    labs(title = "How sure the clones are", y = "Cells",
         x = "Part of the resamples of variants that agree") +
    theme_unalloy()
}
