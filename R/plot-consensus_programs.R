#' Pictures of consensus programs
#'
#' @param x A `consensus_programs` from [consensus_programs()].
#' @param type `"density"`: histogram of the mean distance of each spectrum to its
#'   nearest others, with the threshold. `"similarity"`: cosines between the spectra that
#'   were kept, by program. `"usage"`: usages of the cells, ordered by their main program.
#'   `"genes"`: scores of the `n` top genes of every program.
#' @param n Genes per program, for `"genes"`.
#' @param group For `"usage"`: a label per cell, drawn as a track.
#' @param ... None: other arguments are refused.
#' @return A ggplot. For several ranks a ggplot of stability and error by rank.
#' @section Errors: `unalloy_error_argument`.
#' @seealso [consensus_programs()]
#' @importFrom ggplot2 geom_vline scale_fill_gradient2
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 1, cells_per_type = 10, seed = 1)
#' programs <- consensus_programs(sim$reference, rank = 3, nrun = 10, n_features = 100, seed = 1)
#' plot(programs)
#' plot(programs, "usage", group = sim$cells$cell_type)
plot.consensus_programs <- function(x, type = c("density", "similarity", "usage", "genes"), n = 8,
                                    group = NULL, ...) {
  refuse_dots(...)
  type <- check_choice(type, c("density", "similarity", "usage", "genes"), "type")
  if (!is.null(group) && (type != "usage" || length(group) != ncol(x$usage))) {
    stop_user("argument", "`group` must have a label per cell, for the usage.",
              x = paste0("It has ", length(group), "; there are ", plural(ncol(x$usage), "cell"),
                         "."))
  }
  switch(type, density = plot_density(x), similarity = plot_similarity(x),
         usage = plot_usage(x, group), genes = plot_program_genes(x, check_count(n, "n")))
}

#' @rdname plot.consensus_programs
#' @param object The same.
#' @export
autoplot.consensus_programs <- function(object, ...) {
  refuse_dots(..., .to = plot.consensus_programs)
  plot(object, ...)
}

#' @rdname plot.consensus_programs
#' @export
plot.consensus_programs_ranks <- function(x, ...) {
  refuse_dots(...)
  measures <- c(stability = "Stability (mean silhouette)", error = "Relative squared error")
  table <- data.frame(rank = rep(x$table$rank, 2), measure = rep(measures, each = nrow(x$table)),
                      value = c(x$table$stability, x$table$error))
  table$measure <- factor(table$measure, measures)
  table <- table[!is.na(table$value), ]
  ggplot(table, aes(.data$rank, .data$value)) +
    geom_line(colour = "grey60") +
    geom_point(size = 2, colour = TYPE_COLOURS[1L]) +
    facet_wrap(vars(.data$measure), scales = "free_y") +
    scale_x_continuous(breaks = x$table$rank) +
    labs(title = "Stability and error by rank", x = "Programs", y = NULL) +
    theme_unalloy()
}

#' @rdname plot.consensus_programs
#' @export
autoplot.consensus_programs_ranks <- function(object, ...) {
  refuse_dots(..., .to = plot.consensus_programs_ranks)
  plot(object, ...)
}

plot_density <- function(x) {
  table <- x$replicates[is.finite(x$replicates$density), ]
  threshold <- x$settings$density_threshold
  kept <- sum(x$replicates$kept)
  ggplot(table, aes(.data$density)) +
    geom_histogram(bins = 50, boundary = 0, fill = TYPE_COLOURS[1L]) +
    (if (threshold < 2) {
      geom_vline(xintercept = threshold, linetype = 2, colour = TYPE_COLOURS[4L])
    }) +
    labs(title = "How near spectra are to one another", y = "Spectra",
         x = "Mean distance to the nearest spectra",
         caption = paste0(kept, " of ", nrow(x$replicates), " spectra kept, threshold ",
                          format(threshold), ".")) +
    theme_unalloy()
}

plot_similarity <- function(x) {
  rows <- which(x$replicates$kept)
  rows <- rows[order(x$replicates$program[rows], -x$replicates$silhouette[rows])]
  # the picture has no room for more lines than this
  if (length(rows) > 600) rows <- rows[round(seq(1, length(rows), length.out = 600))]
  track <- list(program = x$replicates$program[rows])
  draw_heatmap(x$similarity[rows, rows, drop = FALSE], "Cosine", column_tracks = track,
               title = "Spectra of all runs, by program", noun = c("spectrum", "spectrum"))
}

plot_usage <- function(x, group) {
  main <- max.col(t(x$usage), ties.method = "first")
  cells <- order(main, -x$usage[cbind(main, seq_along(main))])
  if (length(cells) > 2000) cells <- cells[round(seq(1, length(cells), length.out = 2000))]
  tracks <- if (is.null(group)) list() else list(group = group[cells])
  draw_heatmap(unname_columns(x$usage[, cells, drop = FALSE]), "Usage", column_tracks = tracks,
               limits = c(0, 1), title = "Usage of programs in cells", noun = c("program", "cell"))
}

unname_columns <- function(x) {
  colnames(x) <- NULL
  x
}

plot_program_genes <- function(x, n) {
  top <- top_genes(x, n)
  genes <- unique(top$gene)
  table <- data.frame(gene = factor(rep(genes, x$rank), rev(genes)),
                      program = factor(rep(colnames(x$scores), each = length(genes)),
                                       colnames(x$scores)),
                      score = as.vector(x$scores[genes, ]))
  ggplot(table, aes(.data$program, .data$gene, fill = .data$score)) +
    geom_tile() +
    scale_fill_gradient2(low = TYPE_COLOURS[1L], mid = "white", high = TYPE_COLOURS[4L],
                         name = "Score") +
    labs(title = paste0("Top ", n, " genes of each program"), x = NULL, y = NULL) +
    theme_unalloy() + theme(panel.grid.major = element_blank(),
                            axis.text.x = element_text(angle = 45, hjust = 1))
}
