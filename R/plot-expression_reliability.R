#' For how many genes of each type the bulk tells anything
#'
#' Genes that a type expresses, by the reliability of its values (see
#' [cell_type_expression()]): the share of a type's genes whose differences
#' between samples can be looked at, and of those that only repeat the mean of
#' the type.
#'
#' @param x A result of [cell_type_expression()] by `"blup"`.
#' @param min_cpm Genes below this level in the reference profile of the type, in
#'   copies per million, are left out.
#' @return A ggplot.
#' @section Errors: `unalloy_error_no_reliability` for an allocation.
#' @seealso [expression_reliability()] for the numbers.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 8, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
#' plot_expression_reliability(cell_type_expression(result))
plot_expression_reliability <- function(x, min_cpm = 1) {
  check_call()
  check_expression(x)
  min_cpm <- check_number(min_cpm, "min_cpm", 0)
  found <- expression_reliability(x)
  types <- colnames(found)
  expressed <- x$sources[, types, drop = FALSE] * 1e6 >= min_cpm
  if (!any(expressed)) {
    stop_user("argument", "No gene reaches `min_cpm`.", x = paste0("It is ", min_cpm, "."))
  }
  level <- cut(found, RELIABILITY_BOUNDS, RELIABILITY_LABELS, include.lowest = TRUE, right = FALSE)
  counts <- table(factor(types[col(found)], types)[expressed], level[expressed])
  genes <- rowSums(counts)
  shares <- counts / pmax(genes, 1)
  # the type with most genes of at least 0.5 on top
  sorted <- types[order(rowSums(shares[, 3:4, drop = FALSE]), shares[, 2L])]
  table <- data.frame(
    type = factor(rep(types, ncol(shares)), sorted),
    level = factor(rep(colnames(shares), each = nrow(shares)), RELIABILITY_LABELS),
    share = as.vector(shares)
  )
  ggplot(table, aes(.data$share, .data$type, fill = .data$level)) +
    geom_col(width = if (length(types) > 25) 0.9 else 0.75,
             position = ggplot2::position_stack(reverse = TRUE)) +
    scale_discrete_manual("fill", values = RELIABILITY_COLOURS, name = "Reliability",
                          drop = FALSE) +
    scale_x_continuous(expand = expansion(c(0, 0.02)), labels = function(x) paste0(100 * x, " %")) +
    scale_y_discrete(labels = shorten) +
    labs(title = "What the bulk tells of each type's genes",
         x = paste0("Genes with at least ", format(min_cpm), " copies per million in the type"),
         y = NULL,
         caption = paste0("Reliability: squared correlation of predicted with true differences\n",
                          "between samples, under the model. Below 0.2 a value is little more\n",
                          "than the mean of its type.")) +
    theme_unalloy() +
    theme(panel.grid.major.y = element_blank(),
          axis.text.y = element_text(size = rel(if (length(types) > 25) 0.7 else 0.9)))
}

RELIABILITY_BOUNDS <- c(0, 0.2, 0.5, 0.8, 1)
RELIABILITY_LABELS <- c("0 to 0.2", "0.2 to 0.5", "0.5 to 0.8", "0.8 to 1")
# Light to dark, so that the order stays without colours.
RELIABILITY_COLOURS <- c("#D9D9D9", "#9ECAE1", "#4292C6", "#08306B")
