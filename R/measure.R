#' What composite measurements read
#'
#' y = A (x + noise): noise is added to the expression, before genes are added
#' up, as in Cleary et al. (2017).
#'
#' @param x Expression, genes × samples: a matrix, sparse matrix, data frame of
#'   numbers or SummarizedExperiment, on any scale. A pool adds up molecules, so
#'   measurements of real pools are sums on the linear scale; the published
#'   simulations use logarithms, as if each gene were read by itself first.
#' @param A A result of [measurement_matrix()], or a matrix measurements × genes.
#'   Genes are matched by name; genes of `x` that `A` does not have are not
#'   measured.
#' @param snr Signal-to-noise ratio |x| / |noise| over all samples (Frobenius
#'   norms). `Inf` adds no noise; Cleary et al. use 2.
#' @param seed A whole number for the noise; the same seed gives the same noise on
#'   every machine. `NULL` takes one from R's random stream, if there is noise.
#' @param assay For a SummarizedExperiment: name or number of the assay; the first
#'   by default.
#' @param threads Threads; the result does not depend on them.
#' @param verbose Show progress?
#' @return Measurements × samples, a matrix with names.
#' @section Errors: `unalloy_error_absent_genes` or `unalloy_error_no_common_genes`
#'   when genes of `A` are not in `x`; `unalloy_error_gene_names`;
#'   `unalloy_error_missing_values` and `unalloy_error_infinite_values` with gene
#'   and sample; `unalloy_error_argument`.
#' @seealso [measurement_matrix()], [recover_profiles()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_samples = 6, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' A <- measurement_matrix(20, x, seed = 1)
#' dim(measure(x, A))
#' noisy <- measure(x, A, snr = 2, seed = 1)
measure <- function(x, A, snr = Inf, seed = NULL, assay = NULL,
                    threads = getOption("unalloy.threads", 2L), verbose = TRUE) {
  check_call()
  x <- profile_matrix(x, "x", assay, sparse = TRUE)
  A <- weights_of(A)
  if (!identical(snr, Inf)) snr <- check_number(snr, "snr", 0, above = TRUE)
  seed <- if (is.finite(snr)) check_seed(seed) else 0
  threads <- check_threads(threads)
  verbose <- check_flag(verbose, "verbose")
  place <- place_of_genes(A$genes, x$genes, ncol(A$weights), nrow(x$values), "A", "x")
  gene_of_row <- rep(-1L, nrow(x$values))
  gene_of_row[place] <- seq_along(place) - 1L
  readings <- call_rs(
    rs_measure, weights = t(A$weights), profiles = rust_values(x$values),
    gene_of_row = gene_of_row, snr = snr, seed = seed, threads = threads,
    progress = progress_bar("Measuring", ncol(x$values), verbose)
  )
  dimnames(readings) <- list(A$measurements, x$samples)
  readings
}

# Weights (measurements x genes, a plain matrix) and their names.
weights_of <- function(A, .call = caller_env()) {
  if (inherits(A, "measurement_matrix")) A <- A$weights
  if (!(is.matrix(A) && is.numeric(A)) && !methods::is(A, "Matrix")) {
    stop_user("argument", "`A` must be a measurement matrix.",
              x = paste0("It is ", describe(A), "."),
              i = "Give a result of `measurement_matrix()`, or a matrix measurements x genes.",
              .call = .call)
  }
  names <- dimnames(A)
  A <- as.matrix(A)
  storage.mode(A) <- "double"
  if (!length(A) || any(!is.finite(A))) {
    stop_user("argument", "Weights of `A` must be finite numbers.",
              x = if (length(A)) paste0(plural(sum(!is.finite(A)), "weight"),
                                        " missing or infinite.") else "It is empty.",
              .call = .call)
  }
  dimnames(A) <- NULL
  genes <- names[[2L]]
  if (!is.null(genes)) genes <- measured_genes(genes, .call = .call)
  list(weights = A, genes = genes, measurements = names[[1L]] %||% numbered("M", nrow(A)))
}
