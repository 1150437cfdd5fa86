#' Autoencoder of single cells
#'
#' Trains a network that takes a cell's counts to a code of few numbers, and another that
#' takes the code back to the cell's expression: latent factors without the restriction
#' that logarithms of means are linear in them. By default it is variational: the code is
#' a distribution, and the loss a bound of the likelihood.
#'
#' # Model
#'
#' With \eqn{\ell_i} the size of cell i and \eqn{b_i} its batch,
#' \deqn{z_i \sim N(0, I), \quad \rho_i = \mathrm{softmax}(f(z_i, b_i)), \quad
#'   x_{gi} \sim p(\cdot \mid \ell_i \rho_{gi}, \theta_g),}
#' p Poisson, negative binomial (variance \eqn{\mu + \mu^2/\theta}) or the latter with
#' zeros on top; for `"gaussian"` values are standardised per gene and have means
#' \eqn{f(z_i, b_i)}. The encoder gives \eqn{q(z_i) = N(m_i, \mathrm{diag}(s_i^2))} from
#' \eqn{\log(1 + x_i)}. Maximised is the evidence lower bound (Kingma and Welling, 2014; of
#' counts Lopez et al., 2018),
#' \deqn{\sum_i E_q \log p(x_i \mid z_i) - w\, KL(q(z_i) \,\|\, N(0, I)),}
#' where w rises to 1 over the first 20 passes (a third of them, if fewer than 60).
#' f is `hidden` layers with batch norm and ReLU, or linear for `decoder = "linear"`, where
#' `basis()` has the loadings.
#'
#' # Training
#'
#' AdamW on random batches, the rate falling along half a cosine; gradients longer than 10
#' are shortened. Output biases start at the logarithms of the mean profile. Passes end when
#' the held-out cells' bound (at w = 1) has not improved for `patience` of them, and the
#' weights of the best pass are kept. Ctrl-C ends the training: what was learned so far is
#' returned, with `reason` `"interrupted"`, and [continue_training()] goes on from there.
#'
#' The same seed gives the same bits for any number of threads, on machines of one kind:
#' sums in single precision depend on the width of the processor's vectors. Across machines
#' compare losses.
#'
#' # When not
#'
#' [latent_factors()] fits the linear model to its optimum, without a stopping rule. On
#' public blood cells it predicts held-out molecules better, and its clusters are as good:
#' `vignette("networks")` has the figures. A network is for structure that is not linear, for
#' new cells drawn from the prior, and for very many cells.
#'
#' @param x Genes × cells, as in [latent_factors()]: raw counts, or values for
#'   `"gaussian"`. A `DelayedMatrix` is read into memory, sparse if it is.
#' @param size Numbers of the code. More than are needed stay unused: `print()` counts them.
#' @param likelihood Negative binomial, zero-inflated, Poisson, or Gaussian. Zeros on top
#'   fit the training cells better and held-out ones no better, as a rule.
#' @param batch A group per cell, or the name of a column of the cell data: the decoder is
#'   told, so that codes need not hold it. Two groups or more.
#' @param hidden Sizes of the encoder's hidden layers; the decoder has them in reverse.
#'   `integer()` for none: linear on both sides. Larger ones fit finer structure, take
#'   longer and stop earlier.
#' @param decoder A `"network"`, or `"linear"` with loadings.
#' @param variational `FALSE` leaves out the distribution of the code and its divergence:
#'   a plain autoencoder.
#' @param dispersion \eqn{\theta} (for `"gaussian"` the variance) per `"gene"`, one that is
#'   `"common"`, or per gene and batch, `"gene-batch"`.
#' @param encode_batch Tell the encoder the batch too? New cells then need it for their
#'   codes.
#' @param size_factor \eqn{\ell_i}, a positive number per cell; by default its total. Not
#'   for `"gaussian"`.
#' @param dropout Share of hidden signals of the encoder that are left out at each step,
#'   below 1. Higher values hold against overfitting of few cells.
#' @param n_features,assay As in [latent_factors()].
#' @param epochs Passes at most. `NULL`: 400 up to 20,000 cells, in proportion fewer
#'   beyond, 50 at least.
#' @param batch_size Cells per step. Larger batches make fewer, steadier steps.
#' @param learning_rate Length of the first steps. A training that diverges needs a smaller
#'   one.
#' @param patience Passes without improvement on held-out cells before the end.
#' @param validation Share of the cells that is held out for that, 0 for none: all `epochs`
#'   are then made.
#' @param seed A whole number: start, order, noise and held-out cells depend on it. `NULL`
#'   takes one from R's stream.
#' @param keep_x Keep `x` (no copy is made), which `logLik()` and [continue_training()]
#'   need?
#' @param verbose Show progress?
#' @param threads Threads to use. The answer does not depend on it, to the bit.
#' @return An object of class [autoencoder][autoencoder_methods], a plain list: `saveRDS()`
#'   keeps it.
#' @section Errors: Those of [latent_factors()] for data without a fit and for batches;
#'   `unalloy_error_diverged` when five gradients in a row are no numbers;
#'   `unalloy_error_argument`. Warning: `unalloy_warning_interrupted`.
#' @references Kingma, Welling (2014) ICLR, arXiv:1312.6114. Lopez et al. (2018) Nature
#'   Methods 15:1053. Svensson et al. (2020) Bioinformatics 36:3418 (linear decoders).
#'   Loshchilov, Hutter (2019) ICLR, arXiv:1711.05101 (AdamW).
#' @seealso [latent_factors()], [as_reduction()], [add_to()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 2, cells_per_type = 30, seed = 1)
#' counts <- sim$reference[Matrix::rowSums(sim$reference) > 0, ]
#' fit <- autoencode(counts, size = 3, hidden = 16, epochs = 30, seed = 1)
#' fit
#' plot(fit)
#' plot(fit, "latent", colour = sim$cells$cell_type)
autoencode <- function(x, size = 10, likelihood = c("nb", "zinb", "poisson", "gaussian"),
                       batch = NULL, hidden = 128, decoder = c("network", "linear"),
                       variational = TRUE, dispersion = c("gene", "common", "gene-batch"),
                       encode_batch = FALSE, size_factor = NULL, dropout = 0.1,
                       n_features = NULL, assay = NULL, epochs = NULL, batch_size = 128,
                       learning_rate = 1e-3, patience = 20, validation = 0.1, seed = 1,
                       keep_x = TRUE, verbose = TRUE,
                       threads = getOption("unalloy.threads", 2L)) {
  check_call()
  call <- match.call()
  likelihood <- check_choice(likelihood, LIKELIHOODS, "likelihood")
  counted <- likelihood != "gaussian"
  decoder <- check_choice(decoder, c("network", "linear"), "decoder")
  dispersion <- check_choice(dispersion, c("gene", "common", "gene-batch"), "dispersion")
  data <- cell_data(x)
  x <- factor_input(x, assay, counted)
  scaling <- NULL
  if (counted) {
    check_factor_counts(x)
    x <- variable_features(x, n_features, counted)
    check_no_empty(x)
  } else {
    check_factor_values(x, "refuse")
    x <- variable_features(x, n_features, counted)
    scaling <- list(centre = unname(Matrix::rowMeans(x)), scale = unname(gene_scale(x, TRUE)))
  }
  batches <- NULL
  if (!is.null(batch)) {
    batches <- check_batch(cell_column(batch, data, ncol(x), "batch"))
  }
  encode_batch <- check_flag(encode_batch, "encode_batch")
  check_batch_use(is.null(batch), encode_batch, dispersion)
  architecture <- list(
    likelihood = likelihood, genes = nrow(x), batches = length(batches$levels),
    latent = check_count(size, "size", max = 1e4), hidden = hidden_sizes(hidden),
    linear_decoder = decoder == "linear", variational = check_flag(variational, "variational"),
    encode_batch = encode_batch, dropout = check_dropout(dropout), dispersion = dispersion
  )
  settings <- training_settings(ncol(x), epochs, batch_size, learning_rate, patience, validation,
                                seed, architecture$variational)
  cells <- list(x = x, log_size = log_sizes(size_factor, x, counted),
                batch = match(batches$values, batches$levels))
  verbose <- check_flag(verbose, "verbose")
  trained <- train_autoencoder(cells, architecture, scaling, settings, NULL, verbose,
                               check_threads(threads))
  fit <- new_autoencoder(trained, cells, architecture, scaling, batches$levels, settings)
  fit$x <- if (check_flag(keep_x, "keep_x")) x
  fit$sample_data <- data
  fit$call <- call
  warn_interrupted(fit)
  fit
}

warn_interrupted <- function(fit, .call = caller_env()) {
  if (fit$reason != "interrupted") return(invisible())
  warn_user("interrupted", paste0("The training was interrupted after ",
                                  plural(nrow(fit$convergence), "epoch"), "."),
            x = if (is.na(fit$best_epoch)) "None was validated: the last weights are returned."
                else paste0("The weights of epoch ", fit$best_epoch, " are returned."),
            i = "`continue_training(fit)` goes on.", .call = .call)
}
