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

#' @rdname read_counts
#' @param i,j Genes and columns: numbers, names or logical values.
#' @param drop For agreement with the generic: a `count_table` stays one.
#' @export
`[.count_table` <- function(x, i, j, ..., drop = FALSE) {
  refuse_dots(...)
  if (nargs() - (!missing(drop)) < 3L) {
    stop_user("argument", "A count_table has two dimensions.",
              i = "Say `x[genes, ]` or `x[, samples]`.")
  }
  # of rows and columns as of a matrix: names, numbers, logical values
  chosen <- function(at, n, names) {
    stats::setNames(seq_len(n), names)[at]
  }
  rows <- if (missing(i)) seq_len(nrow(x)) else chosen(i, nrow(x), rownames(x))
  columns <- if (missing(j)) seq_len(ncol(x)) else chosen(j, ncol(x), colnames(x))
  if (anyNA(c(rows, columns))) {
    unknown <- if (anyNA(rows)) i else j
    known <- if (anyNA(rows)) rownames(x) else colnames(x)
    stop_user("argument", paste0("There is no such ", if (anyNA(rows)) "gene" else "column", "."),
              x = paste0("Unknown: ", some_of(if (is.character(unknown)) setdiff(unknown, known)
                                              else which(is.na(unknown))), "."))
  }
  x$counts <- x$counts[rows, columns, drop = FALSE]
  if (!is.null(x$genes)) x$genes <- x$genes[rows, , drop = FALSE]
  if (!is.null(x$metadata)) x$metadata <- x$metadata[columns, , drop = FALSE]
  if (!is.null(x$gene_lengths)) {
    x$gene_lengths <- x$gene_lengths[names(x$gene_lengths) %in% rownames(x$counts)]
  }
  x
}
