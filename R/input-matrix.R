# Matrices on their way to Rust.

as_csc <- function(x) {
  methods::as(methods::as(methods::as(x, "dMatrix"), "generalMatrix"), "CsparseMatrix")
}

rust_values <- function(x) {
  if (methods::is(x, "dgCMatrix")) return(list(x@p, x@i, x@x))
  if (is.matrix(x)) {
    if (is.logical(x)) storage.mode(x) <- "double"
    return(x)
  }
  NULL
}

# Columns scaled to sum 1; NA where a column is all zero.
normalise_columns <- function(x) {
  totals <- colSums(x)
  totals[totals == 0] <- NA
  x / rep(totals, each = nrow(x))
}
