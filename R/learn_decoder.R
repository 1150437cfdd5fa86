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
#'   \item{`"network"`}{Ridge, and networks on what it leaves: x_hat = ridge + s f(u), where u
#'     are the measurements in coordinates of unit variance and f is a chain of dense
#'     layers with ReLU, dropout and `hidden` signals between. Its last layer starts at
#'     zero, so that the answer starts at ridge's; it learns what ridge leaves of samples
#'     that it has not seen (residual over 1 - leverage). See *Networks*.}
#' }
#' Ridge and kernel are learned for the expected error over the noise, in closed form: no
#' noise is drawn. For networks it is drawn anew at each step.
#'
#' On public microRNA profiles kernel ridge was the best decoder at every size that was tried. A
#' network came near to it with thousands of training samples, had most of its gain
#' with 1,000 samples and 20 measurements, and stayed at ridge with a few hundred, where
#' kernel ridge still gains (`vignette("networks")` has the figures): begin with `"kernel"`.
#'
#' @section Networks:
#' AdamW on random batches, the rate falling along half a cosine to 0 over `epochs`. After
#' each pass the loss on held-out samples is taken; the weights of the best pass are
#' kept, the start being among the candidates. With `ensemble` above 1 networks hold out other
#' samples in turn, and their mean is the answer.
#'
#' `start = "zero"` leaves ridge out: the plain network on standardised measurements.
#' `input = "recovered"` gives the network, instead of the measurements, the profile that
#' [recover_profiles()] makes of them with a `dictionary`. It is trained on recoveries of samples
#' that the modules have not seen: the dictionary is learned anew without each fifth
#' of the samples, with its own settings, and they are measured once, with noise.
#'
#' The same seed gives the same bits for any number of threads, on machines of one kind: sums
#' in single precision depend on the width of the processor's vectors. Ctrl-C ends the
#' training: what was learned so far is returned, and [continue_training()] goes on from there.
#'
#' @section Standard errors:
#' The variance of a gene around its recovered value is s² (1 + omega v). v grows with the
#' distance of a sample's measurements from those of the training samples (the
#' leverage of ridge and, for bells, the variance of a Gaussian process). omega is 1 for ridge;
#' with bells it says how far held-out errors grow with v, from 0 to 1. s² is the
#' gene's held-out squared error, noise of the measurements included, over the mean of
#' 1 + omega v. Networks have the v of ridge, and omega and s² from the samples that they
#' held out. Intervals are as wide as errors on samples that were not seen. They hold for
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
#' @param start For `"network"`, as what follows down to `tune`: what it is added to,
#'   `"ridge"` or nothing but the mean profile (`"zero"`).
#' @param loss Mean squared error, or 1 - r, the correlation of a sample's genes, for
#'   which levels and units of a sample do not count. Standard errors are of the profiles
#'   either way.
#' @param hidden Sizes of the hidden layers. `NULL`: 256 on ridge, three of 500 without. Larger
#'   ones bend more finely and need more samples.
#' @param dropout Share of hidden signals left out at each step, below 1. Raising it holds
#'   against overfitting of few samples.
#' @param input What the network reads: the `"measurements"`, or profiles `"recovered"` with
#'   `dictionary`.
#' @param dictionary A result of [learn_dictionary()], for `input = "recovered"`. Modules per
#'   sample are its `sparsity`, or the number of measurements if that is less.
#' @param ensemble Networks. `NULL`: five below 2,000 samples, one from there on. More of them
#'   err less, and take as many times longer.
#' @param epochs Passes at most. `NULL`: 400 up to 20,000 samples, in proportion fewer beyond,
#'   50 at least, and as many as make 5,000 steps.
#' @param batch_size Samples per step. `NULL`: 128, fewer where a pass would have fewer than
#'   ten steps.
#' @param learning_rate Length of the first steps. A training that diverges needs a smaller
#'   one.
#' @param decay Weights shrink by this times the rate at each step. Raising it makes the
#'   network flatter.
#' @param patience Passes without improvement on held-out samples before the end.
#' @param validation Share of the samples that a network holds out, above 0. `NULL`: a fifth
#'   for an ensemble, a tenth for one.
#' @param tune A list with numbers to try for `learning_rate`, `decay` or both: a network
#'   is trained for each pair, the one with the least loss on a fifth of the samples is
#'   taken, and the table of all is in the result (`tuning`). The time is that of so many
#'   networks more.
#' @param seed A whole number, for the folds and landmarks of `"kernel"` and the starts,
#'   batches, noise and held-out samples of `"network"`; the same seed gives the same
#'   decoder with any number of threads. `NULL` takes one from R's random stream. Ridge
#'   needs none.
#' @inheritParams measure
#' @return An object of class [decoder].
#' @section Errors and warnings: `unalloy_error_too_few_samples` for fewer than three samples, ten
#'   for networks;
#'   `unalloy_error_constant_genes` if no gene varies; `unalloy_error_absent_genes` and
#'   `unalloy_error_no_common_genes` when genes of `A` are not in `x`, by name;
#'   `unalloy_error_missing_values` and `unalloy_error_infinite_values`, with gene and
#'   sample; `unalloy_error_gene_names`, `unalloy_error_argument`; `unalloy_error_diverged`
#'   for a training whose gradients are no numbers, with the rate to try. Warning:
#'   `unalloy_warning_interrupted`.
#' @references Hastie, Tibshirani and Friedman (2009), *The Elements of Statistical
#'   Learning*, sections 3.4 and 7.10. Rasmussen and Williams (2006), *Gaussian
#'   Processes for Machine Learning*, sections 2.2 and 8.3. Bishop (1995), *Neural
#'   Computation* 7:108. Loshchilov and Hutter (2019), ICLR, arXiv:1711.05101 (AdamW).
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
learn_decoder <- function(x, A, method = c("kernel", "ridge", "network"), snr = Inf,
                          landmarks = 1000, start = c("ridge", "zero"),
                          loss = c("mse", "correlation"), hidden = NULL, dropout = 0.1,
                          input = c("measurements", "recovered"), dictionary = NULL,
                          ensemble = NULL, epochs = NULL, batch_size = NULL,
                          learning_rate = 1e-3, decay = 1e-4, patience = 20, validation = NULL,
                          tune = NULL, seed = NULL, assay = NULL,
                          threads = getOption("unalloy.threads", 2L), verbose = TRUE) {
  check_call()
  method <- check_choice(method, DECODER_METHODS, "method")
  refuse_other_decoders(method, names(match.call()))
  x <- profile_matrix(x, "x", assay)
  A <- weights_of(A)
  if (!identical(snr, Inf)) snr <- check_number(snr, "snr", 0, above = TRUE)
  landmarks <- if (method == "kernel") check_count(landmarks, "landmarks", max = MOST_LANDMARKS)
  threads <- check_threads(threads)
  verbose <- check_flag(verbose, "verbose")
  given <- decoder_given(x, A)
  refuse_few_profiles(x)
  if (method == "network") {
    settings <- network_settings(ncol(x$values), start, loss, hidden, dropout, ensemble, epochs,
                                 batch_size, learning_rate, decay, patience, validation)
    settings$input <- check_choice(input, c("measurements", "recovered"), "input")
    if (settings$input == "recovered" || !is.null(dictionary)) {
      check_decoder_dictionary(dictionary, gene_labels(x), settings$input)
    }
    grid <- if (!is.null(tune)) tuning_grid(tune, settings)
    settings <- c(list(method = method, snr = snr), settings, seed = check_seed(seed))
    return(learn_network(given, x, A, dictionary, settings, grid, NULL, threads, verbose))
  }
  seed <- if (method == "kernel") check_seed(seed)
  found <- call_rs(
    rs_learn_decoder, snr = snr, landmarks = landmarks, seed = seed, threads = threads,
    .given = given,
    progress = progress_bar("Learning a decoder", if (method == "kernel") 6 else 1, verbose)
  )
  settings <- list(method = method, snr = snr, landmarks = landmarks, seed = seed)
  new_decoder(found, x, A, settings)
}

# Profiles and weights as the core takes them.
decoder_given <- function(x, A, .call = caller_env()) {
  place <- place_of_genes(A$genes, x$genes, ncol(A$weights), nrow(x$values), "A", "x",
                          .call = .call)
  weights <- matrix(0, nrow(x$values), nrow(A$weights))
  weights[place, ] <- t(A$weights)
  if (!any(weights != 0)) {
    stop_user("argument", "`A` must measure something.", x = "All its weights are 0.",
              .call = .call)
  }
  list(profiles = x$values, weights = weights)
}

# `training` is what an interrupted one left.
learn_network <- function(given, x, A, dictionary, settings, grid, training, threads, verbose,
                          .call = caller_env()) {
  given$snr <- settings$snr
  recovered <- if (settings$input == "recovered") {
    on_behalf(.call, unseen_recoveries(x, A, dictionary, settings, threads, verbose))
  }
  given <- c(given, recovered[c("inputs", "readings")])
  tuning <- if (!is.null(grid)) {
    tune_decoder(given, settings, grid, threads, verbose, .call = .call)
  }
  if (!is.null(tuning)) {
    settings[c("learning_rate", "decay")] <- tuning[tuning$chosen, c("learning_rate", "decay")]
  }
  found <- train_decoder(given, settings, training, threads, verbose, .call = .call)
  decoder <- new_decoder(found, x, A, settings)
  decoder$tuning <- tuning
  if (!is.null(recovered)) decoder$recovery <- recovered[c("modules", "sparsity", "scaling")]
  warn_interrupted_decoder(decoder, .call = .call)
  decoder
}

check_decoder_dictionary <- function(dictionary, genes, input, .call = caller_env()) {
  if (input != "recovered") {
    stop_user("argument", "`dictionary` is for `input = \"recovered\"`.", .call = .call)
  }
  if (!inherits(dictionary, "dictionary")) {
    stop_user("argument", "`input = \"recovered\"` needs a `dictionary`, of `learn_dictionary()`.",
              x = paste0("It is ", describe(dictionary), "."), .call = .call)
  }
  if (!identical(rownames(dictionary$modules), genes)) {
    stop_user("argument", "`dictionary` must have been learned from `x`.",
              x = "Its genes are others, or in another order.", .call = .call)
  }
}

# Profiles of the training samples that modules recover which have not seen them, as the
# network reads them, and their measurements.
unseen_recoveries <- function(x, A, dictionary, settings, threads, verbose) {
  values <- `dimnames<-`(x$values, list(x$genes, NULL))
  weights <- `dimnames<-`(A$weights, list(A$measurements, A$genes))
  readings <- measure(values, weights, settings$snr, seed = settings$seed, threads = threads,
                      verbose = FALSE)
  n <- ncol(values)
  own <- dictionary$settings
  sparsity <- min(own$sparsity, nrow(weights))
  kept <- c("method", "sparsity", "error_bound", "module_lower", "activity_lower",
            "min_sparsity", "penalty", "starts")
  if (!own$method %in% c("svd", "svd_k")) kept <- c(kept, "max_iter", "tolerance", "seed")
  fold <- with_seed(settings$seed, sample(rep_len(seq_len(FOLDS), n)))
  inputs <- matrix(0, nrow(values), n)
  progress <- progress_bar("Recovering what modules have not seen", FOLDS, verbose)
  for (part in seq_len(FOLDS)) {
    held <- fold == part
    arguments <- c(list(values[, !held, drop = FALSE], size = min(own$size, sum(!held)),
                        held_out = 0, threads = threads, verbose = FALSE),
                   own[intersect(kept, names(own))])
    modules <- withCallingHandlers(
      do.call(learn_dictionary, arguments),
      unalloy_warning_not_converged = function(w) rlang::cnd_muffle(w)
    )
    found <- recover_profiles(readings[, held, drop = FALSE], weights, modules$modules,
                              sparsity = sparsity, standard_errors = FALSE, threads = threads,
                              verbose = FALSE)
    inputs[, held] <- found$profiles
    progress(part)
  }
  scaling <- feature_scaling(inputs)
  list(inputs = standardise(inputs, scaling), readings = unname(readings), scaling = scaling,
       modules = dictionary$modules, sparsity = sparsity)
}

warn_interrupted_decoder <- function(decoder, .call = caller_env()) {
  if (is.null(decoder$training)) return(invisible())
  done <- decoder$members
  warn_user("interrupted", paste0("The training was interrupted in network ", nrow(done), " of ",
                                  decoder$settings$ensemble, "."),
            x = paste0("The weights of its epoch ", utils::tail(done$best_epoch, 1L),
                       " are returned."),
            i = "`continue_training(decoder, x)` goes on.", .call = .call)
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
