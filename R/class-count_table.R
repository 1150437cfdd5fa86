# Counts that were read from files, with what stands beside them.

new_count_table <- function(found, names, column, format, paths) {
  counts <- found$counts
  rownames(counts) <- names
  # of genes with several rows the longest counts, as deconvolution sums them
  lengths <- if (!is.null(found$lengths)) {
    kept <- order(-found$lengths)
    kept <- sort(kept[!duplicated(names[kept]) & !is.na(names[kept])])
    stats::setNames(found$lengths[kept], names[kept])
  }
  structure(
    list(counts = counts, genes = found$genes, metadata = found$metadata, gene_lengths = lengths,
         format = format, paths = paths, notes = found$notes, named_by = column),
    class = "count_table"
  )
}

#' @rdname read_counts
#' @param x A `count_table`.
#' @param ... Not used; other arguments are refused.
#' @export
print.count_table <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  noun <- if (methods::is(x$counts, "sparseMatrix")) "cell" else "sample"
  cat("Counts of ", plural(nrow(x$counts), "gene"), " in ", plural(ncol(x$counts), noun), ", from ",
      x$format, "\n", sep = "")
  cat("Genes:   ", some_of(rownames(x$counts)), "\n", sep = "")
  cat("Columns: ", some_of(colnames(x$counts)), "\n", sep = "")
  if (!is.null(x$metadata)) {
    cat("$metadata: ", some_of(names(x$metadata), 8L), "\n", sep = "")
  }
  if (!is.null(x$gene_lengths)) {
    cat("$gene_lengths: median ", count_text(round(stats::median(x$gene_lengths, na.rm = TRUE))),
        " base pairs\n", sep = "")
  }
  if (length(x$notes)) cat(paste0(x$notes, "\n"), sep = "")
  invisible(x)
}

#' @rdname read_counts
#' @export
as.matrix.count_table <- function(x, ...) {
  refuse_dots(...)
  as.matrix(x$counts)
}

#' @rdname read_counts
#' @export
dim.count_table <- function(x) dim(x$counts)

#' @rdname read_counts
#' @export
dimnames.count_table <- function(x) dimnames(x$counts)
