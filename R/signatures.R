# The `signatures` class: mean profiles of cell types and what is known of how
# they were measured.

# profiles    genes x types, columns sum to 1 over all genes
# variance    genes x types, between-donor variance of the profile, or NULL
# cells, umi  cells and mean UMI per type (NA when not built from cells)
# donors      donors per type (NA when not given)
# dispersion  relative variance of a type's summed counts beyond Poisson, of the
#             typical gene
# donor_counts  with two donors or more: list(counts, totals, type, donor), the
#             summed counts of the cells of each type and donor (dgCMatrix with a
#             column for each) and their sums over all genes; else NULL
new_signatures <- function(profiles, variance = NULL, cells = NA_real_, umi = NA_real_,
                           donors = NA_integer_, dispersion = NA_real_, donor_counts = NULL) {
  types <- colnames(profiles)
  per_type <- function(x) stats::setNames(rep_len(x, length(types)), types)
  structure(
    list(profiles = profiles, variance = variance, cells = per_type(cells),
         umi = per_type(umi), donors = per_type(donors), dispersion = per_type(dispersion),
         donor_counts = donor_counts),
    class = "signatures"
  )
}

# A plain genes x types matrix becomes signatures; `signatures` pass.
as_signatures <- function(x, .call = caller_env()) {
  if (inherits(x, "signatures")) return(x)
  if (is.data.frame(x)) x <- as.matrix(x)
  if (methods::is(x, "Matrix")) x <- as.matrix(x)
  if (!is.matrix(x) || !is.numeric(x)) {
    stop_user("argument", "`signatures` must be a genes x types matrix or a `signatures` object.",
              x = paste0("It is ", describe(x), "."),
              i = "`build_signatures()` makes one from single-cell counts.", .call = .call)
  }
  if (ncol(x) == 0L || nrow(x) == 0L) {
    stop_user("argument", "`signatures` must have genes and types.",
              x = paste0("It is ", nrow(x), " x ", ncol(x), "."), .call = .call)
  }
  if (is.null(colnames(x))) colnames(x) <- paste("Type", seq_len(ncol(x)))
  check_type_names(colnames(x), .call = .call)
  check_profiles(x, "signatures", "type", .call = .call)
  storage.mode(x) <- "double"
  new_signatures(normalise_columns(x))
}

check_type_names <- function(types, .call) {
  twice <- unique(types[duplicated(types)])
  if (length(twice) || anyNA(types) || any(types == "")) {
    stop_user("type_names", "Types must have names of their own.",
              x = if (length(twice)) paste0("Used more than once: ", some_of(twice), ".")
                  else "Some types have no name.", .call = .call)
  }
  if ("Intercept" %in% types) {
    stop_user("type_names", "A type can't be called \"Intercept\".",
              i = "That name stands for the uniform background in the result.", .call = .call)
  }
}

# Profiles must be finite and non-negative, and none all zero.
check_profiles <- function(x, what, noun, .call) {
  bad <- which(!is.finite(x) | x < 0, arr.ind = TRUE)
  if (nrow(bad)) {
    value <- x[bad[1L, 1L], bad[1L, 2L]]
    gene <- rownames(x)[bad[1L, 1L]] %||% bad[1L, 1L]
    stop_user("signature_values", paste0("`", what, "` must be finite and not negative."),
              x = paste0("Gene \"", gene, "\" is ", value, " in ", noun, " \"",
                         colnames(x)[bad[1L, 2L]], "\"."),
              i = "Give mean linear expression, not logarithms or scaled values.",
              .call = .call)
  }
  empty <- colnames(x)[colSums(x) <= 0]
  if (length(empty)) {
    stop_user("empty_type", paste0("Every ", noun, " of `", what, "` must express some gene."),
              x = paste0("All zero: ", some_of(empty), "."),
              i = paste0("Leave the ", noun, " out."), .call = .call)
  }
}

# Columns scaled to sum 1; NA where a column is all zero.
normalise_columns <- function(x) {
  totals <- colSums(x)
  totals[totals == 0] <- NA
  x / rep(totals, each = nrow(x))
}

#' Signatures of cell types
#'
#' An object of class `signatures`, as [build_signatures()] returns it, is a
#' list that [deconvolve_bulk()] takes.
#'
#' @param x An object of class `signatures`.
#' @param i,j Genes and types to keep (names, numbers or logicals).
#' @param row.names,optional,... Not used; for agreement with the generics.
#' @return `as.matrix()` gives the genes × types matrix of profiles, whose
#'   columns sum to 1 over all genes that the signatures were built from;
#'   `as.data.frame()` a row per type with its cells, mean UMI per cell, donors
#'   and number of expressed genes; `[` signatures of fewer genes or types,
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
  data.frame(
    type = colnames(x$profiles), cells = unname(x$cells), mean_umi = unname(x$umi),
    donors = unname(x$donors), genes_expressed = unname(colSums(x$profiles > 0))
  )
}

#' @rdname signatures
#' @export
as.matrix.signatures <- function(x, ...) x$profiles

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
  x["donor_counts"] <- list(subset_donor_counts(x$donor_counts, genes, colnames(x$profiles)))
  x
}

subset_donor_counts <- function(donor_counts, genes, types) {
  if (is.null(donor_counts)) return(NULL)
  kept <- donor_counts$type %in% types
  totals <- donor_counts$totals[kept]
  list(counts = donor_counts$counts[genes, kept, drop = FALSE], totals = totals,
       type = factor(donor_counts$type[kept], types), donor = donor_counts$donor[kept])
}
