#' Genes of programs
#'
#' @param x A `consensus_programs` from [consensus_programs()].
#' @param n Genes per program.
#' @return Data frame: `program`, `place`, `gene`, `score` (standard deviations by which
#'   the gene is higher in a cell that uses the program alone), `tpm` (its level there).
#' @section Errors: `unalloy_error_class` for other objects, `unalloy_error_argument`.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 1, cells_per_type = 10, seed = 1)
#' programs <- consensus_programs(sim$reference, rank = 3, nrun = 10, n_features = 100, seed = 1)
#' top_genes(programs, n = 5)
top_genes <- function(x, n = 20) {
  if (!inherits(x, "consensus_programs")) {
    stop_user("class", "`top_genes()` takes what `consensus_programs()` returns for one rank.",
              x = paste0("It is ", describe(x), "."))
  }
  n <- min(check_count(n, "n"), nrow(x$scores))
  tables <- lapply(colnames(x$scores), function(program) {
    top <- utils::head(order(-x$scores[, program]), n)
    data.frame(program = program, place = seq_along(top), gene = rownames(x$scores)[top],
               score = unname(x$scores[top, program]), tpm = unname(x$tpm[top, program]))
  })
  out <- do.call(rbind, tables)
  out$program <- factor(out$program, colnames(x$scores))
  out
}

#' Usage of programs in new cells
#'
#' The non-negative least squares optimum for the spectra of the fit, on the same scale
#' as the usages of the fit: TPM of the chosen genes, divided by their standard
#' deviations in the data of the fit.
#'
#' @param object A `consensus_programs` from [consensus_programs()].
#' @param newdata Counts of new cells in any form that [consensus_programs()] takes, with
#'   all genes of the fit (they are needed for the total of a cell), matched by name.
#' @param assay Name of the assay, for objects with several.
#' @param threads Threads.
#' @param ... Not used.
#' @return Programs × cells; columns sum to 1, or are 0 for cells without counts in the
#'   chosen genes.
#' @section Errors: `unalloy_error_features` for missing genes.
#' @export
predict.consensus_programs <- function(object, newdata, assay = NULL,
                                       threads = getOption("unalloy.threads", 2L), ...) {
  input <- nmf_input(newdata, assay, prefer = c("counts", "logcounts", "data"))
  check_factorisable(input)
  x <- input$matrix
  genes <- object$features$gene
  place <- if (is.null(rownames(x)) && nrow(x) == length(genes)) {
    seq_along(genes)
  } else {
    match(genes, rownames(x))
  }
  if (anyNA(place)) {
    stop_user("features", "`newdata` must have every gene of the fit.",
              x = paste0("Not in it: ", some_of(genes[is.na(place)]), "."))
  }
  x <- x[place, , drop = FALSE]
  totals <- Matrix::colSums(x)
  chosen <- object$features$chosen
  sd <- object$features$sd[chosen]
  scaled <- scale_columns(x[chosen, , drop = FALSE], ifelse(totals > 0, 1e6 / totals, 0))
  usage <- usage_of(unname(object$tpm[chosen, , drop = FALSE]) / sd, scale_rows(scaled, 1 / sd),
                    "frobenius", list(threads = check_threads(threads)), environment())
  dimnames(usage) <- list(rownames(object$usage), colnames(x))
  to_shares(usage)
}

#' @export
print.consensus_programs <- function(x, ...) {
  kept <- sum(x$replicates$kept)
  cat(plural(x$rank, "consensus program"), " of ", plural(ncol(x$usage), "cell"), " in ",
      plural(sum(x$features$chosen), "gene"), " (of ", count_text(nrow(x$features)), ")\n",
      "Spectra: ", kept, " of ", nrow(x$replicates), " kept, from ",
      plural(x$settings$nrun, "run"), "; stability ", format(x$stability, digits = 3),
      ", relative error ", format(x$error, digits = 3), "\n", sep = "")
  if (!all(x$runs$converged)) {
    cat("NOT converged in ", sum(!x$runs$converged), " of ", plural(nrow(x$runs), "run"), "\n",
        sep = "")
  }
  mean <- rowMeans(x$usage)
  top <- split(top_genes(x, 6)$gene, top_genes(x, 6)$program)
  for (program in names(top)) {
    cat("  ", program, " (", format(100 * mean[[program]], digits = 2), " %): ",
        paste(top[[program]], collapse = ", "), "\n", sep = "")
  }
  cat("Parts: ", paste0("$", names(x), collapse = " "), "\n", sep = "")
  invisible(x)
}

#' @export
print.consensus_programs_ranks <- function(x, ...) {
  cat("Consensus programs at ", plural(nrow(x$table), "rank"), "\n", sep = "")
  print(x$table, row.names = FALSE, digits = 3)
  for (rank in names(x$problems)) cat("Rank ", rank, ": ", x$problems[[rank]], "\n", sep = "")
  cat("Fits: $fits[[\"", x$table$rank[1L], "\"]], ...\n", sep = "")
  invisible(x)
}

#' Pictures of consensus programs
#'
#' @param x A `consensus_programs` from [consensus_programs()].
#' @param type `"density"`: histogram of the mean distance of each spectrum to its
#'   nearest others, with the threshold. `"similarity"`: cosines between the spectra that
#'   were kept, by program. `"usage"`: usages of the cells, ordered by their main program.
#'   `"genes"`: scores of the `n` top genes of every program.
#' @param n Genes per program, for `"genes"`.
#' @param group For `"usage"`: a label per cell, drawn as a track.
#' @param ... Not used.
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
autoplot.consensus_programs <- function(object, ...) plot(object, ...)

#' @rdname plot.consensus_programs
#' @export
plot.consensus_programs_ranks <- function(x, ...) {
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
