#' Go on with an interrupted training
#'
#' Takes up a training of [autoencode()] or [learn_decoder()] where it was interrupted: the
#' result is, to the bit, what it would have been without the interruption.
#'
#' @param fit An [autoencoder][autoencoder_methods] with `reason` `"interrupted"`, or a
#'   [decoder] with a part `training`.
#' @param data The data that were fitted, as they were given: for a decoder its training
#'   profiles; for an autoencoder the cells, when it was told not to keep them.
#' @param dictionary Of a decoder with `input = "recovered"`: the one that it was given.
#' @param verbose Show progress?
#' @param threads Threads to use.
#' @return An [autoencoder][autoencoder_methods] or a [decoder].
#' @section Errors: `unalloy_error_argument` for a training that was not interrupted, and
#'   for other data; `unalloy_error_missing_data`.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 100, n_types = 3, n_samples = 2, cells_per_type = 20, seed = 1)
#' counts <- sim$reference[Matrix::rowSums(sim$reference) > 0, ]
#' fit <- autoencode(counts, size = 2, hidden = 8, epochs = 5, seed = 1)
#' # this one came to its end
#' fit$reason
#' try(continue_training(fit))
continue_training <- function(fit, data = NULL, dictionary = NULL, verbose = TRUE,
                              threads = getOption("unalloy.threads", 2L)) {
  check_call()
  if (inherits(fit, "decoder")) {
    return(continue_decoder(fit, data, dictionary, verbose, check_threads(threads)))
  }
  if (!inherits(fit, "autoencoder")) {
    stop_user("argument", "`fit` must be a result of `autoencode()` or `learn_decoder()`.",
              x = paste0("It is ", describe(fit), "."))
  }
  if (!is.null(dictionary)) {
    stop_user("argument", "`dictionary` is for a decoder.")
  }
  if (is.null(fit$training)) {
    stop_user("argument", "Only an interrupted training can go on.",
              x = paste0("This one ended by \"", fit$reason, "\"."))
  }
  cells <- fitted_cells(fit, data)
  verbose <- check_flag(verbose, "verbose")
  trained <- train_autoencoder(cells, fit$architecture, fit$scaling, fit$settings, fit$training,
                               verbose, check_threads(threads))
  out <- new_autoencoder(trained, cells, fit$architecture, fit$scaling, fit$batch$levels,
                         fit$settings)
  out$x <- fit$x
  out$sample_data <- fit$sample_data
  out$call <- fit$call
  warn_interrupted(out)
  out
}

continue_decoder <- function(decoder, data, dictionary, verbose, threads, .call = caller_env()) {
  if (is.null(decoder$training)) {
    stop_user("argument", "Only an interrupted training can go on.",
              x = paste0("This decoder is by method \"", decoder$settings$method,
                         "\", and was learned to the end."), .call = .call)
  }
  if (is.null(data)) {
    stop_user("missing_data", "A decoder does not keep its training profiles.",
              i = "Give them as `data`.", .call = .call)
  }
  x <- profile_matrix(data, "data", NULL, .call = .call)
  own <- decoder$genes$gene
  if (!identical(gene_labels(x), own) || ncol(x$values) != decoder$samples) {
    stop_user("argument", "`data` must be the profiles that were given.",
              x = paste0("They are ", paste(dim(x$values), collapse = " x "), "; the decoder has ",
                         length(own), " genes and learned from ",
                         plural(decoder$samples, "sample"), ". Order counts, too."),
              .call = .call)
  }
  settings <- decoder$settings
  if (settings$input == "recovered" || !is.null(dictionary)) {
    check_decoder_dictionary(dictionary, own, settings$input, .call = .call)
  }
  A <- weights_of(decoder$A, .call = .call)
  out <- learn_network(decoder_given(x, A, .call = .call), x, A, dictionary, settings, NULL,
                       decoder$training, threads, verbose, .call = .call)
  out$tuning <- decoder$tuning
  out
}
