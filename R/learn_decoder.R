#' Learn a decoder from measurements to profiles
#'
#' Learns, from whole profiles x of other samples, the function of the composite
#' measurements y = A (x + noise) that comes nearest to x: for all genes at once,
#' without modules. [recover_profiles()] applies it to new measurements. A decoder
#' belongs to its measurements `A` and to their noise; learn another for others.
#'
#' @section Methods:
#' \describe{
#'   \item{`"ridge"`}{Ridge regression: x_hat = x_mean + B (y - y_mean), B = X Y' (Y Y' + (n
#'     sigma² +
#'     lambda) A A')^-1 with n training samples and variance sigma² of the noise of a gene's
#'     expression. lambda minimises the leave-one-out error, which is in closed form. The
#'     penalty is in units of A A', so that the answer does not depend on the units of
#'     the measurements or on how they are combined.}
#'   \item{`"kernel"`}{Ridge, and Gaussian bells on what it leaves: x_hat = ridge + W phi(y)
#'     with phi_l = exp(-gamma |p - p_l|²) around `landmarks` training samples p_l, distances
#'     being those between the profiles that ridge recovers. Their width 1/sqrt(gamma) and the
#'     penalty of W are chosen by five-fold cross-validation, with ridge fitted anew
#'     in each; if nothing is better than ridge alone, the decoder is ridge.}
#' }
#' Both are learned for the expected error over the noise, in closed form: no noise is
#' drawn.
#'
#' @section Standard errors:
#' The variance of a gene around its recovered value is s² (1 + omega v). v grows with the
#' distance of a sample's measurements from those of the training samples (the
#' leverage of ridge and, for bells, the variance of a Gaussian process). omega is 1 for ridge;
#' with bells it says how far held-out errors grow with v, from 0 to 1. s² is the
#' gene's held-out squared error, noise of the measurements included, over the mean of
#' 1 + omega v: intervals are as wide as errors on samples that were not seen. They hold for
#' new samples that resemble the training samples, measured with the same noise.
#'
#' @param x Training profiles, genes × samples: a matrix, sparse matrix, data frame
#'   of numbers or SummarizedExperiment, on the scale on which profiles are to be
#'   recovered (usually logarithms). Three samples or more.
#' @param A A result of [measurement_matrix()], or a matrix measurements × genes.
#'   Genes are matched by name and must all be in `x`; genes of `x` that are not in
#'   `A` are recovered though they are not measured.
#' @param method See *Methods*.
#' @param snr Signal-to-noise ratio of the measurements to come, as in [measure()]:
#'   |x| / |noise|. A decoder for less noise than there is follows it; one for more
#'   shrinks more than it should.
#' @param landmarks For `"kernel"`: bells, at most; no more than samples are used.
#'   Raising it follows the data more closely; time grows with its cube, memory with
#'   its square.
#' @param seed A whole number, for the folds and landmarks of `"kernel"`; the same seed
#'   gives the same decoder on every machine and any number of threads. `NULL` takes
#'   one from R's random stream. Ridge needs none.
#' @inheritParams measure
#' @return An object of class [decoder].
#' @section Errors: `unalloy_error_too_few_samples` for fewer than three samples;
#'   `unalloy_error_constant_genes` if no gene varies; `unalloy_error_absent_genes` and
#'   `unalloy_error_no_common_genes` when genes of `A` are not in `x`, by name;
#'   `unalloy_error_missing_values` and `unalloy_error_infinite_values`, with gene and
#'   sample; `unalloy_error_gene_names`, `unalloy_error_argument`.
#' @references Hastie, Tibshirani and Friedman (2009), *The Elements of Statistical
#'   Learning*, sections 3.4 and 7.10. Rasmussen and Williams (2006), *Gaussian
#'   Processes for Machine Learning*, sections 2.2 and 8.3. Bishop (1995), *Neural
#'   Computation* 7:108.
#' @seealso [recover_profiles()], [benchmark_recovery()], [plan_measurements()];
#'   [learn_dictionary()] for modules
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 150, n_samples = 110, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' A <- measurement_matrix(25, x, max_correlation = 0.4, seed = 1)
#' decoder <- learn_decoder(x[, 1:100], A, seed = 1)
#' decoder
#' found <- recover_profiles(measure(x[, 101:110], A), A, decoder)
#' evaluate_recovery(x[, 101:110], found)
learn_decoder <- function(x, A, method = c("kernel", "ridge"), snr = Inf, landmarks = 1000,
                          seed = NULL, assay = NULL, threads = getOption("unalloy.threads", 2L),
                          verbose = TRUE) {
  check_call()
  method <- check_choice(method, DECODER_METHODS, "method")
  if (method == "ridge" && !missing(landmarks)) {
    stop_user("argument", "Method \"ridge\" has no `landmarks`.", i = "They are for \"kernel\".")
  }
  x <- profile_matrix(x, "x", assay)
  A <- weights_of(A)
  if (!identical(snr, Inf)) snr <- check_number(snr, "snr", 0, above = TRUE)
  landmarks <- if (method == "kernel") check_count(landmarks, "landmarks", max = MOST_LANDMARKS)
  threads <- check_threads(threads)
  verbose <- check_flag(verbose, "verbose")
  place <- place_of_genes(A$genes, x$genes, ncol(A$weights), nrow(x$values), "A", "x")
  refuse_few_profiles(x)
  seed <- if (method == "kernel") check_seed(seed)
  weights <- matrix(0, nrow(x$values), nrow(A$weights))
  weights[place, ] <- t(A$weights)
  if (!any(weights != 0)) {
    stop_user("argument", "`A` must measure something.", x = "All its weights are 0.")
  }
  found <- call_rs(
    rs_learn_decoder, profiles = x$values, weights = weights, snr = snr, landmarks = landmarks,
    seed = seed, threads = threads,
    progress = progress_bar("Learning a decoder", if (method == "kernel") 6 else 1, verbose)
  )
  settings <- list(method = method, snr = snr, landmarks = landmarks, seed = seed)
  new_decoder(found, x, A, settings)
}

# Their kernel has as many entries as the square.
MOST_LANDMARKS <- 2e4

refuse_few_profiles <- function(x, .call = caller_env()) {
  if (ncol(x$values) < 3L) {
    stop_user("too_few_samples", "A decoder is learned from three samples or more.",
              x = paste0("`x` has ", plural(ncol(x$values), "sample"), "."), .call = .call)
  }
  if (length(constant_rows(x$values)) == nrow(x$values)) {
    stop_user("constant_genes", "No gene of `x` varies between the samples.",
              i = "There is nothing to learn.", .call = .call)
  }
}
