# The `signatures` class: mean profiles of cell types and what is known of how
# they were measured.

#' Signatures of cell types
#'
#' An object of class `signatures`, as [build_signatures()] returns it, is a
#' list that [deconvolve_bulk()] takes.
#'
#' @param x,object An object of class `signatures`.
#' @param i,j Genes and types to keep (names, numbers or logicals).
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return `as.matrix()` gives the genes × types matrix of profiles, whose
#'   columns sum to 1 over all genes that the signatures were built from;
#'   `as.data.frame()`, `summary()` and `tidy()` a row per type with its cells, mean UMI
#'   per cell, donors and number of expressed genes; `[` signatures of fewer genes or types,
#'   whose profiles are *not* scaled again; `dim()` genes and types.
#' @name signatures
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 2, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type,
#'                                donors = sim$cells$donor)
#' signatures
#' as.data.frame(signatures)
#' head(as.matrix(signatures))
NULL

#' @rdname signatures
#' @export
print.signatures <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Signatures of ", plural(ncol(x$profiles), "cell type"), " over ",
      plural(nrow(x$profiles), "gene"), "\n", sep = "")
  table <- as.data.frame(x)
  table <- table[, vapply(table, function(column) !all(is.na(column)), NA), drop = FALSE]
  if (!is.null(table$mean_umi)) table$mean_umi <- round(table$mean_umi)
  shown <- utils::head(table, 20L)
  print(shown, row.names = FALSE, right = TRUE)
  if (nrow(table) > nrow(shown)) cat("... and", nrow(table) - nrow(shown), "more types\n")
  if (!is.null(x$variance)) cat("With the variance of each profile between donors\n")
  invisible(x)
}

#' @rdname signatures
#' @export
as.data.frame.signatures <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  data.frame(
    type = colnames(x$profiles), cells = unname(x$cells), mean_umi = unname(x$umi),
    donors = unname(x$donors), genes_expressed = unname(colSums(x$profiles > 0))
  )
}

#' @rdname signatures
#' @export
summary.signatures <- function(object, ...) {
  refuse_dots(...)
  as.data.frame(object)
}

#' @rdname signatures
#' @method tidy signatures
#' @export
tidy.signatures <- function(x, ...) {
  refuse_dots(...)
  as.data.frame(x)
}

#' @rdname signatures
#' @export
as.matrix.signatures <- function(x, ...) {
  refuse_dots(...)
  x$profiles
}

#' @rdname signatures
#' @export
dim.signatures <- function(x) dim(x$profiles)

#' @rdname signatures
#' @export
dimnames.signatures <- function(x) dimnames(x$profiles)

#' @rdname signatures
#' @export
`[.signatures` <- function(x, i, j) {
  genes <- if (missing(i)) seq_len(nrow(x$profiles)) else i
  types <- if (missing(j)) seq_len(ncol(x$profiles)) else j
  x$profiles <- x$profiles[genes, types, drop = FALSE]
  if (!is.null(x$variance)) x$variance <- x$variance[genes, types, drop = FALSE]
  for (field in c("cells", "umi", "donors", "dispersion")) x[[field]] <- x[[field]][types]
  for (held in c("donor_counts", "platform_counts")) {
    x[held] <- list(subset_held_counts(x[[held]], genes, colnames(x$profiles)))
  }
  x["totals"] <- list(x$totals[types])
  x
}

subset_held_counts <- function(held, genes, types) {
  if (is.null(held)) return(NULL)
  kept <- held$type %in% types
  held$counts <- held$counts[genes, kept, drop = FALSE]
  for (field in setdiff(names(held), "counts")) held[[field]] <- held[[field]][kept]
  held$type <- factor(held$type, types)
  held
}
