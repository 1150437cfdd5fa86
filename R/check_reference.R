#' Check a reference before the fit
#'
#' Looks at signatures and bulk together, as [diagnose()] does at a result, and says what
#' will go wrong, how badly, and the line that mends it: names of genes, species, matrices
#' that lie on their side, units, labels that are no types, cells in another state, types
#' with few cells, types that are hard to tell apart, samples that resemble no type. Nothing
#' is fitted.
#'
#' *State of the cells* compares genes of the interferon response, of the stress of
#' dissociation and of cell division: the median of their log ratios between reference
#' (mean of types) and bulk (median of samples), beside that of all genes. A factor of 3
#' that is also beyond three standard errors is told. It needs symbols.
#'
#' *Telling types apart* takes the design of a sample with equal shares in which every
#' gene errs by a factor; correlations below -0.6 are told, as in [merge_types()].
#'
#' @param signatures [signatures], or a genes × types matrix.
#' @param bulk Counts of bulk samples in any form that [deconvolve_bulk()] takes.
#' @return An object of class `reference_check`, a list with `findings`: a data frame of
#'   `topic`, `level` (`"fine"`, `"note"` or `"worry"`), `text`, `advice` and `code`. Printing
#'   it says them in words, worries first; `as.data.frame()` gives the findings.
#' @section Errors: Only for what is no signatures or no matrix: `unalloy_error_argument`,
#'   `unalloy_error_gene_names`.
#' @seealso [diagnose()] after the fit; [convert_genes()], [merge_signatures()] and
#'   [build_signatures()] for the mends
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 5, n_samples = 6, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' check_reference(signatures, sim$bulk_counts)
check_reference <- function(signatures, bulk) {
  check_call()
  here <- environment()
  signatures <- as_signatures(signatures)
  reference_genes <- gene_names(rownames(signatures$profiles), "signatures")
  values <- bulk_matrix(bulk, NULL, .call = here)
  if (is.null(rownames(values)) || is.null(reference_genes)) {
    stop_user("gene_names", "`signatures` and `bulk` need gene names as row names.",
              i = "Names cannot be checked without them.")
  }
  facts <- list(n_types = ncol(signatures$profiles), n_samples = ncol(values))
  own <- list(label_check(signatures), cell_check(signatures))
  bulk_genes <- strip_ensembl_version(rownames(values))
  matched <- intersect(unique(bulk_genes), reference_genes)
  turned <- sum(colnames(values) %in% reference_genes) > length(matched)
  if (turned) {
    found <- checked("Orientation", "worry", "The columns of the bulk are named like genes.",
                     "Genes go in rows, samples in columns.", "bulk <- t(bulk)")
    return(new_reference_check(do.call(rbind, c(list(found), own)), facts))
  }
  error <- NULL
  scanned <- tryCatch(check_bulk_values(as_bulk(values, .call = here), .call = here),
                      unalloy_error = function(e) {
                        error <<- e
                        NULL
                      })
  names <- name_check(reference_genes, bulk_genes, length(matched), gene_naming(reference_genes),
                      gene_naming(bulk_genes))
  found <- c(list(names, unit_check(scanned, error)), own)
  if (is.null(error) && length(matched) >= 2L) {
    sides <- matched_sides(signatures, reference_genes, values, bulk_genes, matched)
    found <- c(found, list(state_check(sides$reference, sides$bulk),
                           collinearity_check(sides$reference),
                           sample_check(sides$reference, sides$bulk)))
  }
  new_reference_check(do.call(rbind, found), facts)
}

# Both sides over the matched genes that do not depend on the protocol, rows of one gene
# summed; of many samples some are looked at for states.
matched_sides <- function(signatures, reference_genes, values, bulk_genes, matched) {
  weights <- protocol_weights(matched)
  kept <- matched[weights[matched] > 0]
  side <- function(x, genes) {
    x <- as.matrix(x[genes %in% kept, , drop = FALSE])
    rowsum(x, factor(genes[genes %in% kept], kept), reorder = FALSE)[kept, , drop = FALSE]
  }
  list(reference = side(signatures$profiles, reference_genes), bulk = side(values, bulk_genes))
}
