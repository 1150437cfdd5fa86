# What autoencode() returns, and how it is read.

#' The result of `autoencode()`
#'
#' @details A list:
#' \describe{
#'   \item{`coef`, `latent_sd`}{Codes × cells: posterior means m and standard deviations s;
#'     the latter are 0 without the variational part.}
#'   \item{`basis`, `batch_effects`}{Of a linear decoder: loadings, genes × codes, and
#'     effects of the batches on the logits, genes × batches.}
#'   \item{`rank`, `likelihood`, `model`, `architecture`}{Size of the code (`rank`), the
#'     likelihood (also as `model`), and what the network is built of.}
#'   \item{`weights`}{Named list of matrices, layers numbered from the input: all that the
#'     network is.}
#'   \item{`genes`, `level`, `scaling`}{Names; the mean share of each gene in the counts;
#'     for values `centre` and `scale`.}
#'   \item{`dispersion`, `variance`}{\eqn{\theta} per gene (× batch); for values the
#'     variance.}
#'   \item{`batch`, `log_size`}{Levels, and the number of the batch of each cell;
#'     \eqn{\log \ell}.}
#'   \item{`convergence`}{Data frame with a row per pass: `epoch`, `train` and `validation`
#'     (mean loss per cell, in nats: minus the bound with w = 1), `kl` (the divergence in
#'     it, held-out cells), `seconds`. For standardised values.}
#'   \item{`best_epoch`, `reason`}{The pass whose weights are kept, `NA` where none was
#'     validated; why passes ended: `"patience"`, `"max_epochs"`, `"interrupted"`.}
#'   \item{`skipped`}{Steps without a finite gradient, which were left out.}
#'   \item{`validation_cells`}{Numbers of the cells that were held out.}
#'   \item{`training`}{Of an interrupted training: what [continue_training()] needs.}
#'   \item{`x`, `settings`, `call`}{The data, unless `keep_x = FALSE`, and how they were
#'     fitted.}
#' }
#'
#' @param object,x An `autoencoder`.
#' @param newdata New cells, in any form that [autoencode()] takes. Genes are matched by
#'   name; up to one in twenty may be missing: they get their mean share, and a message
#'   says so.
#' @param what `"latent"` (posterior means), `"rate"` (expected counts, structural zeros
#'   counted in; for values their means), or `"proportion"` (shares of a cell's rates).
#' @param batch Of the new cells, as in the fit. Codes need it where the encoder was told
#'   the batch, rates unless `at` is given.
#' @param at A batch: rates as if all cells were of it, which is expression corrected for
#'   batches.
#' @param size_factor Of the new cells, where the fit was given it; by default their totals.
#' @param assay As in [autoencode()].
#' @param cells Cells to return, by name or number; all by default. What is returned is
#'   dense.
#' @param type `"rate"` or `"proportion"`.
#' @param nsim Number of data sets to draw.
#' @param from `"posterior"`: codes drawn from each cell's distribution; `"prior"`: new
#'   cells, with the sizes and batches of the old ones.
#' @param seed A whole number; `NULL` takes one from R's stream.
#' @param importance_samples Draws per cell. More of them bring the bound nearer to the
#'   log-likelihood, and take longer.
#' @param data The data, when the fit was told not to keep them.
#' @param n Genes to name per number of a linear decoder's code and sign.
#' @param digits Significant digits.
#' @param threads Threads to use.
#' @param ... Not used; for agreement with the generics.
#' @return `coef()`, `basis()`, `fitted()`, `predict()`: matrices. `elbo()`: the evidence
#'   lower bound of each cell in nats, by one draw, that of the training; its mean over cells
#'   estimates the bound. `logLik()`: the sum over cells of the bound by importance weights
#'   (Burda et al., 2016), at least the former on average, with the number of trained weights
#'   as degrees of freedom. Without the variational part both are the log-likelihood given
#'   the codes. `simulate()`: a list of matrices. `summary()`: a data frame with a row per
#'   number of the code: `latent`, `kl` (mean divergence from the prior, in nats), `used`
#'   (`kl` of 0.01 or more), and `top` and `bottom` genes of a linear decoder.
#' @section Errors: `unalloy_error_features` when new data lack genes,
#'   `unalloy_error_covariates` for unknown or missing batches,
#'   `unalloy_error_missing_data`, `unalloy_error_argument`.
#' @references Burda, Grosse, Salakhutdinov (2016) ICLR, arXiv:1509.00519.
#' @name autoencoder_methods
#' @aliases autoencoder
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 2, cells_per_type = 30, seed = 1)
#' counts <- sim$reference[Matrix::rowSums(sim$reference) > 0, ]
#' fit <- autoencode(counts, size = 3, hidden = 16, epochs = 30, seed = 1)
#' summary(fit)
#' predict(fit, counts[, 1:3])
#' mean(elbo(fit))
#' simulate(fit, seed = 1)[[1]][1:3, 1:3]
NULL

new_autoencoder <- function(trained, cells, architecture, scaling, levels, settings) {
  x <- cells$x
  genes <- rownames(x)
  codes <- paste0("latent", seq_len(architecture$latent))
  counted <- architecture$likelihood != "gaussian"
  trace <- trained$trace
  spread <- exp(trained$spread)
  dimnames(spread) <- list(genes, if (architecture$dispersion == "gene-batch") levels)
  if (ncol(spread) == 1L) spread <- stats::setNames(spread[, 1L], genes)
  fit <- structure(list(
    rank = architecture$latent, likelihood = architecture$likelihood,
    model = architecture$likelihood, architecture = architecture,
    weights = stats::setNames(trained$weights, trained$names), genes = genes,
    level = if (counted) unname(Matrix::rowSums(x)) / sum(x) else rep(1 / nrow(x), nrow(x)),
    scaling = scaling,
    dispersion = if (architecture$likelihood %in% c("nb", "zinb")) spread,
    variance = if (!counted) spread * scaling$scale^2,
    batch = list(levels = levels, of_cells = cells$batch), log_size = cells$log_size,
    convergence = data.frame(
      epoch = seq_along(trace$misfit), train = trace$train_misfit + trace$train_prior,
      validation = trace$misfit + trace$prior, kl = trace$prior, seconds = trace$seconds
    ),
    best_epoch = trained$best %||% NA_real_, reason = trained$reason, skipped = trained$skipped,
    validation_cells = trained$validation, training = trained$training, settings = settings
  ), class = "autoencoder")
  if (architecture$linear_decoder) {
    loadings <- trained$loadings
    at <- seq_along(codes)
    fit$basis <- loadings[, at, drop = FALSE]
    dimnames(fit$basis) <- list(genes, codes)
    if (!is.null(levels)) {
      fit$batch_effects <- loadings[, -at, drop = FALSE]
      dimnames(fit$batch_effects) <- list(genes, levels)
    }
  }
  found <- ask_autoencoder(fit, rs_autoencoder_codes, x = x, log_size = cells$log_size,
                           batch = cells$batch)
  fit$coef <- found$mean
  fit$latent_sd <- found$sd
  dimnames(fit$coef) <- dimnames(fit$latent_sd) <- list(codes, colnames(x))
  fit
}

#' @rdname autoencoder_methods
#' @export
coef.autoencoder <- function(object, ...) {
  refuse_dots(...)
  object$coef
}

#' @rdname autoencoder_methods
#' @export
basis.autoencoder <- function(object, ...) {  # nolint: object_name_linter.
  refuse_dots(...)
  if (is.null(object$basis)) {
    stop_user("argument", "Only a linear decoder has loadings.",
              i = "Fit with `decoder = \"linear\"`.")
  }
  object$basis
}

#' @rdname autoencoder_methods
#' @export
nbasis.autoencoder <- function(x, ...) {  # nolint: object_name_linter.
  refuse_dots(...)
  x$rank
}

#' @rdname autoencoder_methods
#' @export
dim.autoencoder <- function(x) c(x$architecture$genes, ncol(x$coef), x$architecture$latent)

#' @rdname autoencoder_methods
#' @export
fitted.autoencoder <- function(object, cells = NULL, type = c("rate", "proportion"), at = NULL,
                               ...) {
  refuse_dots(...)
  type <- rate_type(object, type)
  kept <- factor_cells(cells, object)
  batch <- object$batch$of_cells
  if (length(batch)) batch <- batch[kept]
  if (!is.null(at)) batch <- rep(one_batch(object, at), length(kept))
  decoded_rates(object, object$coef[, kept, drop = FALSE], batch, object$log_size[kept], type)
}

rate_type <- function(fit, type, choices = c("rate", "proportion"), .call = caller_env()) {
  type <- check_choice(type, choices, if ("latent" %in% choices) "what" else "type",
                       .call = .call)
  if (fit$likelihood == "gaussian" && type == "proportion") {
    stop_user("argument", "Values have no proportions.",
              x = "The likelihood is \"gaussian\".", .call = .call)
  }
  type
}

# The number of the batch that cells are to be shown at.
one_batch <- function(fit, at, .call = caller_env()) {
  levels <- fit$batch$levels
  if (is.null(levels)) stop_user("covariates", "The fit has no `batch`.", .call = .call)
  if (length(at) != 1L || is.na(at)) {
    stop_user("argument", "`at` must be one batch.", x = paste0("It is ", describe(at), "."),
              .call = .call)
  }
  check_known_batches(as.character(at), levels, "at", .call)
  match(as.character(at), levels)
}

#' @rdname autoencoder_methods
#' @export
predict.autoencoder <- function(object, newdata = NULL,
                                what = c("latent", "rate", "proportion"), batch = NULL, at = NULL,
                                size_factor = NULL, assay = NULL,
                                threads = getOption("unalloy.threads", 2L), ...) {
  refuse_dots(...)
  what <- rate_type(object, what, c("latent", "rate", "proportion"))
  if (is.null(newdata)) {
    if (!is.null(batch) || !is.null(size_factor) || !is.null(assay)) {
      stop_user("argument", "`batch`, `size_factor` and `assay` are of new cells.",
                i = "Give `newdata`, or `at` for the batch of rates.")
    }
    if (what == "latent") return(object$coef)
    return(fitted(object, type = what, at = at))
  }
  threads <- check_threads(threads)
  has_batch <- !is.null(object$batch$levels)
  need <- has_batch && (object$architecture$encode_batch || what != "latent" && is.null(at))
  to <- if (!is.null(at)) one_batch(object, at)
  cells <- new_cells(object, newdata, batch, size_factor, assay, need)
  found <- ask_autoencoder(object, rs_autoencoder_codes, x = cells$x,
                           log_size = cells$log_size, batch = cells$batch, threads = threads)
  codes <- found$mean
  dimnames(codes) <- list(rownames(object$coef), colnames(cells$x))
  if (what == "latent") return(codes)
  shown <- if (is.null(to)) cells$batch else rep(to, ncol(codes))
  decoded_rates(object, codes, shown, cells$log_size, what, threads)
}

#' @rdname autoencoder_methods
#' @export
simulate.autoencoder <- function(object, nsim = 1, seed = NULL,  # nolint: object_name_linter.
                                 from = c("posterior", "prior"), ...) {
  refuse_dots(...)
  nsim <- check_count(nsim, "nsim", max = MOST_REPEATS)
  from <- check_choice(from, c("posterior", "prior"), "from")
  seeds <- derived_seeds(check_seed(seed), 2 * nsim)
  codes <- object$coef
  draws <- lapply(seq_len(nsim), function(draw) {
    noise <- call_rs(rs_draw_factors, means = matrix(0, nrow(codes), ncol(codes)),
                     noise = "normal", spread = rep(1, nrow(codes)), seed = seeds[2 * draw - 1],
                     first = 0)
    z <- if (from == "prior") noise else codes + object$latent_sd * noise
    dimnames(z) <- dimnames(codes)
    drawn_cells(object, z, object$batch$of_cells, object$log_size, seeds[2 * draw])
  })
  stats::setNames(draws, paste0("sim_", seq_len(nsim)))
}

#' Evidence lower bound
#'
#' A generic: see [autoencoder_methods].
#'
#' @param object A variational fit.
#' @param ... For methods.
#' @return Bounds of the log-likelihood of cells, in nats.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 100, n_types = 3, n_samples = 2, cells_per_type = 20, seed = 1)
#' counts <- sim$reference[Matrix::rowSums(sim$reference) > 0, ]
#' fit <- autoencode(counts, size = 2, hidden = 8, epochs = 5, seed = 1)
#' mean(elbo(fit))
elbo <- function(object, ...) {
  check_call("object")
  UseMethod("elbo")
}

#' @rdname autoencoder_methods
#' @export
elbo.autoencoder <- function(object, newdata = NULL, batch = NULL, size_factor = NULL,
                             assay = NULL, ...) {
  refuse_dots(...)
  has_batch <- !is.null(object$batch$levels)
  cells <- if (is.null(newdata)) fitted_cells(object) else
    new_cells(object, newdata, batch, size_factor, assay, has_batch)
  cell_bounds(object, cells, 1, object$settings$seed)$elbo
}

#' @rdname autoencoder_methods
#' @export
logLik.autoencoder <- function(object, importance_samples = 100, data = NULL, ...) {
  refuse_dots(...)
  samples <- check_count(importance_samples, "importance_samples", max = MOST_REPEATS)
  if (!object$architecture$variational) samples <- 1
  cells <- fitted_cells(object, data)
  bounds <- cell_bounds(object, cells, samples, object$settings$seed)$weighted
  trained <- !grepl("running$", names(object$weights))
  structure(sum(bounds), df = sum(lengths(object$weights[trained])),
            nobs = prod(dim(object)[1:2]), class = "logLik")
}

#' @rdname autoencoder_methods
#' @export
summary.autoencoder <- function(object, n = 5, ...) {
  refuse_dots(...)
  n <- check_count(n, "n")
  kl <- code_divergence(object)
  out <- data.frame(latent = rownames(object$coef), kl = unname(kl) %||% NA_real_,
                    used = if (is.null(kl)) TRUE else unname(kl) >= UNUSED)
  if (!is.null(object$basis)) {
    genes <- object$genes %||% as.character(seq_len(nrow(object$basis)))
    extreme <- function(sign) {
      apply(sign * object$basis, 2L, function(values) {
        kept <- utils::head(order(values, decreasing = TRUE), n)
        paste(genes[kept[values[kept] > 0]], collapse = ", ")
      })
    }
    out$top <- unname(extreme(1))
    out$bottom <- unname(extreme(-1))
  }
  out
}

#' @rdname autoencoder_methods
#' @export
print.autoencoder <- function(x, digits = 4, ...) {
  refuse_dots(...)
  a <- x$architecture
  cat(if (a$variational) "Variational autoencoder" else "Autoencoder", " of ",
      plural(a$genes, "gene"), " x ", plural(ncol(x$coef), "cell"), ", code of ", x$rank,
      " (likelihood \"", x$likelihood, "\")\n", sep = "")
  hidden <- if (length(a$hidden)) paste(a$hidden, collapse = ", ") else "none"
  cat("Hidden layers: ", hidden, if (a$linear_decoder) "; decoder linear", "; ",
      count_text(sum(lengths(x$weights))), " weights\n", sep = "")
  if (!is.null(x$batch$levels)) cat("Batches: ", some_of(x$batch$levels, 6L), "\n", sep = "")
  epochs <- nrow(x$convergence)
  ended <- c(patience = "ended by patience", max_epochs = "all that were allowed",
             interrupted = "interrupted")[[x$reason]]
  cat(plural(epochs, "epoch"), " (", ended, ")", sep = "")
  if (!is.na(x$best_epoch)) {
    loss <- x$convergence$validation[x$best_epoch]
    cat(", best ", x$best_epoch, ": ", if (a$variational) "ELBO " else "log-likelihood ",
        format(-loss, digits = digits), " per held-out cell (",
        count_text(length(x$validation_cells)), ")", sep = "")
  }
  cat("\n")
  if (x$skipped) cat(plural(x$skipped, "step"), " without a finite gradient left out\n")
  kl <- code_divergence(x)
  if (any(kl < UNUSED)) {
    cat("Unused: ", sum(kl < UNUSED), " of ", x$rank, " (divergence below ", UNUSED, ")\n",
        sep = "")
  }
  cat("Parts: coef(), fitted(), predict(), summary(), plot(), elbo(), simulate(), as_reduction()",
      "\n", sep = "")
  invisible(x)
}
