# Matrices in the containers that users have them in, and on their way to Rust.

# An assay of a SummarizedExperiment, with its names: the one asked for, else the
# first of `prefer` that is there, else the first of all.
assay_of <- function(x, assay, prefer, what, .call) {
  need_package("SummarizedExperiment", "to read a SummarizedExperiment", .call)
  available <- SummarizedExperiment::assayNames(x)
  if (is.character(assay) && !assay %in% available) {
    stop_user("argument", paste0("`", what, "` has no assay \"", assay, "\"."),
              x = paste0("It has ", some_of(available, 6L), "."), .call = .call)
  }
  n <- length(SummarizedExperiment::assays(x, withDimnames = FALSE))
  if (n == 0L) {
    stop_user("argument", paste0("`", what, "` has no assay."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  if (!is.null(assay) && !is.character(assay)) {
    assay <- check_count(assay, "assay", max = n, .call = .call)
  }
  preferred <- intersect(prefer, available)
  chosen <- assay %||% if (length(preferred)) preferred[1L] else 1L
  from_disk(what, .call, {
    values <- SummarizedExperiment::assay(x, chosen)
    if (is.null(rownames(values))) rownames(values) <- rownames(x)
    if (is.null(colnames(values))) colnames(values) <- colnames(x)
    values
  })
}

# A matrix on disk may be gone, cut short or another one by the time that it is read.
from_disk <- function(what, .call, code) {
  withCallingHandlers(code, error = function(condition) {
    if (inherits(condition, "unalloy_error")) return()
    stop_user("unreadable", paste0("`", what, "` could not be read from disk."),
              x = conditionMessage(condition),
              i = "Is the file still there, and whole?", .call = .call)
  })
}

# The matrix, when its names can be read.
opened <- function(x, what, .call) from_disk(what, .call, if (is.list(dimnames(x))) x else x)

# Largest values between which squares of squares, and sums of them over as many entries
# as a matrix may have, are numbers: (1e60)^4 * 2^31 < 1e250.
SCALES <- c(1e-60, 1e60)

# Refuses values that are too large or too small to be computed with.
check_scale <- function(largest, what, .call = caller_env(), limits = SCALES) {
  if (largest == 0 || (largest >= limits[1L] && largest <= limits[2L])) return(invisible())
  stop_user("scale", paste0("`", what, "` has values that cannot be computed with."),
            x = paste0("The largest is ", format(largest, digits = 3), "."),
            i = paste0("Multiply all by a constant, so that the largest lies between ",
                       limits[1L], " and ", limits[2L], "."), .call = .call)
}

# A data frame of numbers as a matrix; a first column that is no number, or that
# `identifier` says is none, has the names of the rows.
frame_values <- function(x, what, nouns, .call, identifier = FALSE) {
  numeric <- vapply(x, is.numeric, NA)
  if (identifier) numeric[1L] <- FALSE
  names <- if (.row_names_info(x) > 0L) rownames(x)
  if (length(numeric) > 1L && !numeric[1L] && all(numeric[-1L])) {
    names <- as.character(x[[1L]])
    x <- x[-1L]
  } else if (!all(numeric)) {
    stop_user("not_numeric", paste0("Every column of `", what, "` must be numeric."),
              x = paste0("Not numeric: ", some_of(names(x)[!numeric]), "."),
              i = paste0("Only the first column may hold ", nouns, "."), .call = .call)
  }
  values <- as.matrix(x)
  rownames(values) <- names
  values
}

# SVT and COO matrices of package SparseArray come this way, too.
as_csc <- function(x) {
  if (methods::is(x, "SparseArray")) return(methods::as(x, "dgCMatrix"))
  methods::as(methods::as(methods::as(x, "dMatrix"), "generalMatrix"), "CsparseMatrix")
}

# Of package Matrix, or SparseArray's.
is_sparse_matrix <- function(x) {
  methods::is(x, "Matrix") || (methods::is(x, "SparseArray") && length(dim(x)) == 2L)
}

# What Rust borrows: NULL for what is not in memory.
rust_values <- function(x) {
  if (!is.matrix(x) && !methods::is(x, "dgCMatrix")) return(NULL)
  if (is.logical(x)) storage.mode(x) <- "double"
  x
}

# A matrix on disk, read: sparse if it is.
realised <- function(x) {
  if (DelayedArray::is_sparse(x)) sparse_values(x) else as.matrix(x)
}

# Of a sparse matrix on disk, a dgCMatrix, without a dense block on the way.
sparse_values <- function(x) {
  # in Bioconductor 3.18 the function moved
  home <- if ("extract_sparse_array" %in% getNamespaceExports("DelayedArray")) "DelayedArray"
          else "SparseArray"
  extract <- getExportedValue(home, "extract_sparse_array")
  out <- methods::as(extract(x, list(NULL, NULL)), "dgCMatrix")
  if (!is.null(dimnames(x))) dimnames(out) <- dimnames(x)
  out
}

# Bytes that are read from disk at a time.
disk_block <- function(.call = caller_env()) {
  check_number(getOption("unalloy.block_size", 1e8), "options(unalloy.block_size)", 1,
               .call = .call)
}

# Part of the entries that are not zero in a sparse matrix, at most: so many more of
# its columns are read at a time.
SPARSE_FILL <- 0.125

# Columns of a matrix on disk that are read together.
column_blocks <- function(x, .call) {
  per_column <- 8 * nrow(x) * if (DelayedArray::is_sparse(x)) SPARSE_FILL else 1
  size <- max(1, floor(disk_block(.call) / per_column))
  lapply(seq(1, ncol(x), by = size), function(start) start:min(start + size - 1, ncol(x)))
}

# A matrix on disk as a whole: a dgCMatrix, block by block, if it is sparse.
read_whole <- function(x, what, .call = caller_env()) {
  refuse <- function(entries, kind) {
    stop_user("too_large", paste0("`", what, "` has too many entries for one matrix."),
              x = paste0(kind, ": ", count_text(entries), "; R counts to ",
                         count_text(MOST_COUNT), "."),
              i = "Take fewer features, or a part of the samples.", .call = .call)
  }
  if (!DelayedArray::is_sparse(x)) {
    if (prod(dim(x)) > MOST_COUNT) refuse(prod(dim(x)), "They are")
    return(from_disk(what, .call, as.matrix(x)))
  }
  entries <- 0
  parts <- lapply(column_blocks(x, .call), function(columns) {
    part <- from_disk(what, .call, sparse_values(x[, columns, drop = FALSE]))
    entries <<- entries + length(part@x)
    if (entries > MOST_COUNT) refuse(entries, "Other than zero are at least")
    part
  })
  if (length(parts) == 1L) parts[[1L]] else do.call(cbind, parts)
}

# Columns scaled to sum 1; NA where a column is all zero.
normalise_columns <- function(x) {
  totals <- colSums(x)
  totals[totals == 0] <- NA
  x / rep(totals, each = nrow(x))
}
