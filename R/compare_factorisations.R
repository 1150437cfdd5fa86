#' Compare factorisations
#'
#' Sets principal components, latent factors and metagenes of the same cells side by
#' side: which component of one is which of the other, and what they match among
#' signatures of cell types, gene sets, or known classes of cells.
#'
#' @details Components are matched one to one with the first factorisation's, by the
#'   largest sum of absolute correlations of their coefficients over cells. Loadings
#'   compare on a log scale: those of `latent_factors()` and `prcomp()` as they are,
#'   metagenes (and signatures) as log(1 + parts in 10,000) less its mean over
#'   components (types). A gene set is tested by ranks: `auc` is the probability that a
#'   gene of the set has a larger loading than another; below 0.5 it lies at the
#'   negative end. Its p values take genes as independent, which they are not: they
#'   order sets and are no error rates.
#'
#' @param ... Two factorisations or more, or one with something to match: results of
#'   [nmf()], [latent_factors()] or `prcomp()`. Names of arguments become their names.
#' @param signatures What [build_signatures()] returns, or a genes × types matrix.
#' @param gene_sets A named list of vectors of genes.
#' @param class Known classes, one per cell; `NA` for unknown.
#' @return An object of class `factorisation_comparison`: a list of data frames, each
#'   `NULL` where nothing was asked.
#'   \item{matches}{`factorisation`, `component` of the first one, its `partner`, and
#'     their correlation over `cells` and over `genes`.}
#'   \item{correlations}{Over cells, of all pairs: `factorisation`, `component`,
#'     `partner`, `correlation`.}
#'   \item{signatures}{`factorisation`, `component`, `type`, `correlation` over genes,
#'     `matched`: is it the pair of a one to one assignment?}
#'   \item{gene_sets}{`factorisation`, `component`, `set`, `size` (genes that are in the
#'     factorisation), `auc`, `p`, `q` (Benjamini-Hochberg).}
#'   \item{classes}{`factorisation`, `component`, `explained`: the share of the
#'     coefficients' variance that lies between classes, `class`: the one whose mean is
#'     farthest out.}
#' @section Errors: `unalloy_error_samples` for other cells, `unalloy_error_features`
#'   without common genes, `unalloy_error_argument`.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 2, cells_per_type = 20, seed = 1)
#' counts <- as.matrix(sim$reference[Matrix::rowSums(sim$reference) > 0, ])
#' metagenes <- nmf(counts, rank = 3, method = "kl", seed = 1)
#' components <- latent_factors(log1p(counts), rank = 3)
#' compared <- compare_factorisations(NMF = metagenes, PCA = components,
#'                                    signatures = build_signatures(counts, sim$cells$cell_type))
#' compared
#' plot(compared, "signatures")
compare_factorisations <- function(..., signatures = NULL, gene_sets = NULL, class = NULL) {
  check_call()
  fits <- list(...)
  given <- as.character(as.list(substitute(list(...)))[-1L])
  names <- names(fits) %||% rep("", length(fits))
  names(fits) <- make.unique(ifelse(nzchar(names), names, shorten(given)))
  if (!length(fits)) stop_user("argument", "There is nothing to compare.")
  asked <- !is.null(signatures) || !is.null(gene_sets) || !is.null(class)
  if (length(fits) == 1L && !asked) {
    stop_user("argument", "One factorisation alone has nothing to be compared with.",
              i = "Give another, or `signatures`, `gene_sets` or `class`.")
  }
  call <- environment()
  parts <- Map(function(fit, name) {
    part <- factorisation_parts(fit, name, .call = call)
    named <- colnames(part$basis) %||% paste0("component", seq_len(ncol(part$basis)))
    colnames(part$basis) <- rownames(part$coef) <- named
    part
  }, fits, names(fits))
  cells <- if (length(parts) > 1L) compare_cells(parts)
  structure(list(
    matches = cells$matches, correlations = cells$correlations,
    signatures = if (!is.null(signatures)) compare_signatures(parts, signatures),
    gene_sets = if (!is.null(gene_sets)) compare_gene_sets(parts, gene_sets),
    classes = if (!is.null(class)) compare_classes(parts, class), names = names(parts)
  ), class = "factorisation_comparison")
}
