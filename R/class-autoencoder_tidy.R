#' Tidy summaries of autoencoders
#'
#' Methods for the generics of the package generics (and so of broom).
#'
#' @param x An [autoencoder][autoencoder_methods].
#' @param matrix `"coef"`, or `"basis"` of a linear decoder.
#' @param data For `augment()`: a data frame with a row per cell, to which codes are added;
#'   by default one with the names of the cells.
#' @param ... Not used; for agreement with the generics.
#' @return Data frames. `tidy()`: `latent`, `cell` (or `gene`), `estimate`, and for codes
#'   `std.error` (posterior standard deviation). `glance()`: one row: `likelihood`, `size`,
#'   `n.genes`, `n.cells`, `epochs`, `best.epoch`, `reason`, `validation.loss` (per held-out
#'   cell, in nats), `seconds`. `augment()`: a column per number of the code.
#' @name tidy.autoencoder
#' @examples
#' sim <- simulate_bulk(n_genes = 100, n_types = 3, n_samples = 2, cells_per_type = 20, seed = 1)
#' counts <- sim$reference[Matrix::rowSums(sim$reference) > 0, ]
#' fit <- autoencode(counts, size = 2, hidden = 8, epochs = 5, seed = 1)
#' head(tidy(fit))
#' glance(fit)
NULL

#' @rdname tidy.autoencoder
#' @export
tidy.autoencoder <- function(x, matrix = c("coef", "basis"), ...) {
  refuse_dots(...)
  matrix <- check_choice(matrix, c("coef", "basis"), "matrix")
  values <- if (matrix == "coef") t(x$coef) else basis(x)
  items <- rownames(values) %||% seq_len(nrow(values))
  codes <- rownames(x$coef)
  out <- data.frame(latent = factor(rep(codes, each = nrow(values)), codes),
                    item = rep(items, ncol(values)), estimate = as.vector(values))
  names(out)[2L] <- if (matrix == "coef") "cell" else "gene"
  if (matrix == "coef") out$std.error <- as.vector(t(x$latent_sd))
  out
}

#' @rdname tidy.autoencoder
#' @export
glance.autoencoder <- function(x, ...) {
  refuse_dots(...)
  loss <- if (is.na(x$best_epoch)) NA_real_ else x$convergence$validation[x$best_epoch]
  data.frame(likelihood = x$likelihood, size = x$rank, n.genes = x$architecture$genes,
             n.cells = ncol(x$coef), epochs = nrow(x$convergence), best.epoch = x$best_epoch,
             reason = x$reason, validation.loss = loss, seconds = sum(x$convergence$seconds))
}

#' @rdname tidy.autoencoder
#' @export
augment.autoencoder <- function(x, data = NULL, ...) {
  refuse_dots(...)
  n <- ncol(x$coef)
  data <- data %||% data.frame(cell = colnames(x$coef) %||% seq_len(n))
  if (!is.data.frame(data) || nrow(data) != n) {
    stop_user("argument", "`data` must have a row per cell.",
              x = paste0("It is ", describe(data), "; there are ", plural(n, "cell"), "."))
  }
  cbind(data, as.data.frame(t(x$coef), row.names = seq_len(n)))
}
