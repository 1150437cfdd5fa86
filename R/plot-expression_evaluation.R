#' True beside predicted expression of cell types
#'
#' A heatmap of the genes that tell most: those whose true level differs most between
#' groups of samples within a type, or else between types (with one type: between
#' samples). Values are log1p(CPM) less the gene's true mean over all columns, in both
#' panels: a level that is off shows as well as a difference that is missed.
#'
#' Rows are ordered by a hierarchical clustering of the truth, columns by type, group and
#' sample. Samples in which a type's truth or prediction is unknown are left out. Colours
#' end at the 99th percentile of the truth's size.
#'
#' @param x What [evaluate_expression()] returns.
#' @param n_genes Genes to draw, at most.
#' @param group A group per sample (a condition, say), in the order of `colnames()` of
#'   the truth or named by sample.
#' @param ... None: other arguments are refused.
#' @return A ggplot.
#' @section Errors: `unalloy_error_argument` for a group that does not fit, and where no
#'   sample is known in both.
#' @seealso [evaluate_expression()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 2, cells_per_type = 60, seed = 1)
#' mixed <- pseudo_bulk(sim$reference, sim$cells$cell_type, sim$cells$donor, n_samples = 8,
#'                      cells_per_sample = 200, expression = TRUE, seed = 1)
#' signatures <- build_signatures(mixed$reference, mixed$cell_types, mixed$donors)
#' fit <- deconvolve_bulk(signatures, mixed$bulk_counts, verbose = FALSE)
#' expression <- cell_type_expression(fit, verbose = FALSE)
#' plot(evaluate_expression(mixed$truth_expression, expression), n_genes = 100)
plot.expression_evaluation <- function(x, n_genes = 300, group = NULL, ...) {
  refuse_dots(...)
  n_genes <- check_count(n_genes, "n_genes", min = 2)
  samples <- dimnames(x$truth)[[3L]]
  groups <- check_group(group, samples)
  # a column per type and sample that are known in both
  columns <- expand.grid(type = dimnames(x$truth)[[2L]], sample = samples,
                         stringsAsFactors = FALSE)
  flat <- function(values) {
    matrix(values, dim(values)[1L], dimnames = list(dimnames(values)[[1L]], NULL))
  }
  truth <- flat(x$truth)
  estimate <- flat(x$estimate)
  columns$group <- groups[match(columns$sample, samples)]
  known <- which(colSums(is.na(truth)) == 0 & colSums(is.na(estimate)) == 0)
  if (!length(known)) {
    stop_user("argument", "No sample's truth and prediction are both known for any type.")
  }
  known <- known[order(match(columns$type[known], unique(columns$type)), columns$group[known])]
  columns <- columns[known, ]
  shown <- telling_genes(truth[, known, drop = FALSE], columns, n_genes)
  truth <- truth[shown, known, drop = FALSE]
  estimate <- estimate[shown, known, drop = FALSE] - rowMeans(truth)
  truth <- truth - rowMeans(truth)
  rows <- if (length(shown) > 2L) stats::hclust(stats::dist(truth), "average")$order else
    seq_along(shown)
  limit <- max(stats::quantile(abs(truth), 0.99), .Machine$double.eps)
  panel <- function(values, name) {
    data.frame(panel = name, gene = as.vector(row(values)), column = as.vector(col(values)),
               type = columns$type[col(values)],
               value = pmin(pmax(as.vector(values), -limit), limit))
  }
  table <- rbind(panel(truth[rows, , drop = FALSE], "Truth"),
                 panel(estimate[rows, , drop = FALSE], "Prediction"))
  table$panel <- factor(table$panel, c("Truth", "Prediction"))
  table$type <- factor(table$type, unique(columns$type))
  sizes <- table(columns$group)
  ggplot(table, aes(.data$column, .data$gene, fill = .data$value)) +
    geom_raster() +
    facet_grid(vars(.data$panel), vars(.data$type), scales = "free_x",
               space = "free_x", labeller = ggplot2::labeller(type = shorten)) +
    scale_fill_gradient2(low = TYPE_COLOURS[1L], mid = "white", high = TYPE_COLOURS[4L],
                         limits = c(-limit, limit), name = "log1p(CPM)\nless mean") +
    scale_x_continuous(breaks = NULL, expand = expansion(0)) +
    scale_y_continuous(breaks = NULL, expand = expansion(0)) +
    labs(title = "Expression of cell types, true and predicted",
         x = if (is.null(group)) "Samples" else
           paste("Samples, by group:", paste(shorten(names(sizes)), collapse = ", ")),
         y = plural(length(shown), "gene")) +
    theme_unalloy()
}

#' @rdname plot.expression_evaluation
#' @param object The same as `x`.
#' @export
autoplot.expression_evaluation <- function(object, ...) {
  refuse_dots(..., .to = plot.expression_evaluation)
  plot(object, ...)
}

# Rows by the variance of what tells: means of groups within types; without groups means of
# types; with one type its samples.
telling_genes <- function(truth, columns, n_genes) {
  of <- if (length(unique(columns$group)) > 1L) {
    interaction(columns$type, columns$group, drop = TRUE)
  } else if (length(unique(columns$type)) > 1L) {
    factor(columns$type)
  } else {
    factor(seq_len(ncol(truth)))
  }
  means <- vapply(levels(of), function(level) {
    rowMeans(truth[, of == level, drop = FALSE])
  }, numeric(nrow(truth)))
  means <- matrix(means, nrow(truth))
  if (length(unique(columns$group)) > 1L) {
    type <- columns$type[match(levels(of), as.character(of))]
    for (one in unique(type)) {
      own <- type == one
      means[, own] <- means[, own] - rowMeans(means[, own, drop = FALSE])
    }
  }
  spread <- rowSums((means - rowMeans(means))^2)
  utils::head(order(spread, decreasing = TRUE), n_genes)
}
