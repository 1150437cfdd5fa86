# How much the runs of a factorisation agree.
# nolint start: object_name_linter. Methods, and names that others chose.

#' Stability of a factorisation over its runs
#'
#' Each run puts a sample into the component that contributes most to it. The
#' consensus matrix holds the fraction of runs in which two samples are together
#' (Monti et al. 2003, Brunet et al. 2004). It is computed from the labels of
#' samples in runs: a fit holds nothing of size samples × samples.
#'
#' @details
#' `cophcor()` is the correlation of the distances 1 - C with the cophenetic
#' distances of their average-linkage tree. Above 1,000 samples those
#' with the same labels in all runs become one leaf with a weight, which gives the same tree
#' up to ties. Above 5,000 different leaves, it is computed on 5,000 samples
#' spread evenly over the data, and `consensus` clusters are extended to the
#' other samples by mean agreement. `dispersion()` is exact for any number of samples.
#'
#' @param object An [nmf_fit], or a consensus matrix; for `connectivity()` also
#'   labels.
#' @param samples Names or numbers of samples; all by default.
#' @param ... None: other arguments are refused.
#' @return `consensus()`, `connectivity()`: samples × samples matrices, over runs
#'   and of the best run. `cophcor()`: between 0 and 1, 1 for runs that agree.
#'   `dispersion()`: sum 4(C - ½)² / n², 1 for runs that agree, 0 for chance
#'   (Kim and Park 2007).
#' @section Errors: `unalloy_error_too_large` for the consensus matrix of more
#'   than 20,000 samples; `unalloy_error_argument` for a matrix that is no consensus.
#' @references Monti S et al. (2003) Machine Learning 52:91. Brunet J-P et al.
#'   (2004) PNAS 101:4164. Kim H, Park H (2007) Bioinformatics 23:1495.
#' @seealso [consensusmap.nmf_fit()], [estimate_rank()]
#' @name consensus.nmf_fit
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 12, seed = 1)
#' fit <- nmf(sim$bulk_counts, rank = 3, nrun = 10, seed = 1)
#' consensus(fit)[1:4, 1:4]
#' c(cophcor(fit), dispersion(fit))
NULL

#' @rdname consensus.nmf_fit
#' @export
consensus.nmf_fit <- function(object, samples = NULL, ...) {
  refuse_dots(...)
  at <- sample_places(samples, object)
  agreement_matrix(object$membership[at, , drop = FALSE], colnames(object$coef)[at])
}

#' @rdname consensus.nmf_fit
#' @export
connectivity.nmf_fit <- function(object, samples = NULL, ...) {
  refuse_dots(...)
  at <- sample_places(samples, object)
  best <- as.integer(predict(object))[at]
  agreement_matrix(matrix(best), colnames(object$coef)[at])
}

#' @rdname consensus.nmf_fit
#' @export
connectivity.factor <- function(object, ...) {
  refuse_dots(...)
  agreement_matrix(matrix(as.integer(object)), names(object))
}

#' @rdname consensus.nmf_fit
#' @export
connectivity.numeric <- function(object, ...) {
  refuse_dots(...)
  agreement_matrix(matrix(match(object, unique(object))), names(object))
}

#' @rdname consensus.nmf_fit
#' @export
cophcor.nmf_fit <- function(object, ...) {
  refuse_dots(...)
  cophenetic_of(object$membership)
}

#' @rdname consensus.nmf_fit
#' @export
cophcor.matrix <- function(object, ...) {
  refuse_dots(...)
  check_consensus(object)
  if (nrow(object) == 1L) return(1)
  distances <- stats::as.dist(1 - object)
  tree <- stats::hclust(distances, "average")
  tree_correlation(distances, tree, rep(1, nrow(object)))
}

#' @rdname consensus.nmf_fit
#' @export
dispersion.nmf_fit <- function(object, ...) {
  refuse_dots(...)
  dispersion_of(object$membership)
}

#' @rdname consensus.nmf_fit
#' @export
dispersion.matrix <- function(object, ...) {
  refuse_dots(...)
  mean(4 * (check_consensus(object) - 0.5)^2)
}

check_consensus <- function(object, .call = caller_env()) {
  ok <- is.numeric(object) && nrow(object) == ncol(object) && nrow(object) > 0L &&
    !anyNA(object) && all(object >= 0 & object <= 1) && isSymmetric(unname(object))
  if (!ok) {
    stop_user("argument", "A consensus matrix must be symmetric, with entries between 0 and 1.",
              x = paste0("It is ", describe(object), "."), .call = .call)
  }
  object
}
# nolint end
