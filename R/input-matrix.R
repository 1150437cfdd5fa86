# Matrices in the containers that users have them in, and on their way to Rust.

# An assay of a SummarizedExperiment, with its names: the one asked for, else the
# first of `prefer` that is there, else the first of all.
assay_of <- function(x, assay, prefer, what, .call) {
  rlang::check_installed("SummarizedExperiment", "to read a SummarizedExperiment.")
  available <- SummarizedExperiment::assayNames(x)
  if (is.character(assay) && !assay %in% available) {
    stop_user("argument", paste0("`", what, "` has no assay \"", assay, "\"."),
              x = paste0("It has ", some_of(available, 6L), "."), .call = .call)
  }
  chosen <- assay %||% c(intersect(prefer, available), 1L)[[1L]]
  values <- SummarizedExperiment::assay(x, chosen)
  if (is.null(rownames(values))) rownames(values) <- rownames(x)
  if (is.null(colnames(values))) colnames(values) <- colnames(x)
  values
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

as_csc <- function(x) {
  methods::as(methods::as(methods::as(x, "dMatrix"), "generalMatrix"), "CsparseMatrix")
}

# What Rust borrows: NULL for what is not in memory.
rust_values <- function(x) {
  if (!is.matrix(x) && !methods::is(x, "dgCMatrix")) return(NULL)
  if (is.logical(x)) storage.mode(x) <- "double"
  x
}

# Columns scaled to sum 1; NA where a column is all zero.
normalise_columns <- function(x) {
  totals <- colSums(x)
  totals[totals == 0] <- NA
  x / rep(totals, each = nrow(x))
}
