# From arguments of autoencode() to what the core is given, and back.

LIKELIHOODS <- c("nb", "zinb", "poisson", "gaussian")

hidden_sizes <- function(hidden, .call = caller_env()) {
  ok <- is.null(hidden) || is.numeric(hidden) && !anyNA(hidden) && all(hidden >= 1) &&
    all(hidden <= 1e5) && all(hidden == round(hidden))
  if (!ok) {
    stop_user("argument", "`hidden` must be whole numbers from 1 to 100,000.",
              x = paste0("It is ", describe(hidden), "."), .call = .call)
  }
  as.integer(hidden)
}

check_dropout <- function(dropout, .call = caller_env()) {
  dropout <- check_number(dropout, "dropout", 0, 1, .call = .call)
  if (dropout == 1) {
    stop_user("argument", "`dropout` must be below 1.", x = "Nothing would be left.",
              .call = .call)
  }
  dropout
}

check_batch_use <- function(without, encode_batch, dispersion, .call = caller_env()) {
  asked <- c(if (encode_batch) "`encode_batch = TRUE`",
             if (dispersion == "gene-batch") "`dispersion = \"gene-batch\"`")
  if (without && length(asked)) {
    stop_user("argument", paste0(asked[1L], " needs `batch`."), .call = .call)
  }
}

# Passes at most, where they are not said: 400 up to 20,000 cells.
default_epochs <- function(n) max(50, min(400, ceiling(2e4 / n * 400)))

training_settings <- function(n, epochs, batch_size, learning_rate, patience, validation, seed,
                              variational, .call = caller_env()) {
  epochs <- check_count(epochs %||% default_epochs(n), "epochs", max = 1e6, .call = .call)
  validation <- check_number(validation, "validation", 0, 0.9, .call = .call)
  if (n - round(validation * n) < 2) {
    stop_user("argument", "There must be two cells or more to learn from.",
              x = paste0("Of ", plural(n, "cell"), " `validation` holds out ",
                         round(validation * n), "."), .call = .call)
  }
  list(
    epochs = epochs, batch_size = check_count(batch_size, "batch_size", min = 2, .call = .call),
    learning_rate = check_number(learning_rate, "learning_rate", 0, above = TRUE, .call = .call),
    patience = check_count(patience, "patience", .call = .call), validation = validation,
    warm_up = if (variational) max(1, min(20, epochs %/% 3)) else 1,
    seed = check_seed(seed, .call = .call)
  )
}

# ln of the cells' sizes; 0 for values, which have none.
log_sizes <- function(size_factor, x, counted, .call = caller_env()) {
  if (!counted) {
    if (!is.null(size_factor)) {
      stop_user("argument", "Likelihood \"gaussian\" has no `size_factor`.", .call = .call)
    }
    return(rep(0, ncol(x)))
  }
  if (is.null(size_factor)) return(unname(log(Matrix::colSums(x))))
  ok <- is.numeric(size_factor) && length(size_factor) == ncol(x) &&
    all(is.finite(size_factor)) && all(size_factor > 0)
  if (!ok) {
    stop_user("argument", "`size_factor` must be a positive number per cell.",
              x = paste0("It is ", describe(size_factor), "; there are ", plural(ncol(x), "cell"),
                         "."), .call = .call)
  }
  log(as.double(size_factor))
}

# What every binding is given of the network and of cells.
network_given <- function(architecture, scaling, threads) {
  c(list(architecture = architecture, threads = threads), scaling)
}

train_autoencoder <- function(cells, architecture, scaling, settings, training, verbose, threads,
                              .call = caller_env()) {
  call_rs(rs_train_autoencoder, training = training,
          .given = c(cells, settings, network_given(architecture, scaling, threads)),
          progress = progress_bar("Training", settings$epochs, verbose), .call = .call)
}

# Calls a binding of a trained autoencoder.
ask_autoencoder <- function(fit, binding, ..., threads = nmf_threads(), .call = caller_env()) {
  call_rs(binding, weights = unname(fit$weights), ...,
          .given = network_given(fit$architecture, fit$scaling, threads), .call = .call)
}

# The cells of the fit, as the core takes them.
fitted_cells <- function(fit, data = NULL, .call = caller_env()) {
  x <- data %||% fit$x
  if (is.null(x)) {
    stop_user("missing_data", "The fit has not kept its data.",
              i = "Give them as `data`, or fit with `keep_x = TRUE`.", .call = .call)
  }
  if (!is.null(data)) x <- factor_input(data, NULL, fit$likelihood != "gaussian", .call = .call)
  if (!identical(as.integer(dim(x)), as.integer(dim(fit)[1:2]))) {
    stop_user("argument", "`data` must be the matrix that was fitted.",
              x = paste0("It is ", paste(dim(x), collapse = " x "), "; the fit is ",
                         paste(dim(fit)[1:2], collapse = " x "), "."), .call = .call)
  }
  list(x = x, log_size = fit$log_size, batch = fit$batch$of_cells)
}

# New cells as the core takes them. Genes that are not there have their mean share.
new_cells <- function(fit, newdata, batch, size_factor, assay, need_batch, .call = caller_env()) {
  counted <- fit$likelihood != "gaussian"
  data <- cell_data(newdata)
  x <- factor_input(newdata, assay, counted, .call = .call)
  if (counted) check_factor_counts(x, .call = .call) else
    check_factor_values(x, "refuse", FALSE, .call = .call)
  at <- matched_genes(fit$genes, length(fit$level), x, .call)
  there <- !is.na(at)
  names <- list(fit$genes, colnames(x))
  known <- x[at[there], , drop = FALSE]
  totals <- Matrix::colSums(known)
  if (counted && any(totals == 0)) {
    empty <- which(totals == 0)
    stop_user("empty_cells", "Every new cell needs counts in the genes of the fit.",
              x = paste0("None in ", some_of(colnames(x)[empty] %||% empty), "."), .call = .call)
  }
  sizes <- totals / sum(fit$level[there])
  if (all(there)) {
    x <- known
  } else {
    inform_user(TRUE, paste0(plural(sum(!there), "gene"), " of the fit not in `newdata`: ",
                             some_of(fit$genes[!there]), "."),
                i = paste("They have their mean", if (counted) "share." else "value."))
    added <- if (counted) outer(fit$level[!there], sizes) else
      matrix(fit$scaling$centre[!there], sum(!there), ncol(x))
    x <- rbind(as.matrix(known), added)[order(c(which(there), which(!there))), , drop = FALSE]
  }
  dimnames(x) <- names
  log_size <- if (is.null(size_factor) && counted) unname(log(sizes)) else
    log_sizes(size_factor, x, counted, .call = .call)
  batch <- if (is.null(batch) && !need_batch) rep(1L, ncol(x)) else
    new_batches(fit, batch, data, ncol(x), .call)
  list(x = x, log_size = log_size, batch = if (length(fit$batch$levels)) batch else integer())
}

# Numbers of the batches of new cells.
new_batches <- function(fit, batch, data, n, .call) {
  levels <- fit$batch$levels
  if (is.null(levels)) {
    if (is.null(batch)) return(integer())
    stop_user("covariates", "The fit has no `batch`.", .call = .call)
  }
  if (is.null(batch)) stop_user("covariates", "New cells need `batch`.", .call = .call)
  batch <- as.character(cell_column(batch, data, n, "batch", .call = .call))
  check_known_batches(batch, levels, "batch", .call)
  match(batch, levels)
}

check_known_batches <- function(batch, levels, what, .call) {
  unknown <- setdiff(batch, levels)
  if (length(unknown)) {
    stop_user("covariates", paste0("`", what, "` has batches that the fit does not know."),
              x = paste0("Unknown: ", some_of(unknown), "; known are ", some_of(levels), "."),
              .call = .call)
  }
}

# Codes to what they stand for: rates (for values: values), or shares of a cell's rates.
decoded_rates <- function(fit, codes, batch, log_size, what, threads = nmf_threads(),
                          .call = caller_env()) {
  found <- ask_autoencoder(fit, rs_autoencoder_rates, codes = unname(codes), batch = batch,
                           log_size = log_size, threads = threads, .call = .call)
  out <- found$mean
  if (!is.null(found$structural)) out <- out * (1 - found$structural)
  if (fit$likelihood == "gaussian") out <- out * fit$scaling$scale + fit$scaling$centre
  if (what == "proportion") out <- sweep(out, 2L, colSums(out), "/")
  dimnames(out) <- list(fit$genes, colnames(codes))
  out
}

# Bounds of the log-likelihood of cells, per cell.
cell_bounds <- function(fit, cells, samples, seed, .call = caller_env()) {
  found <- ask_autoencoder(fit, rs_autoencoder_bounds, .call = .call, x = cells$x,
                           log_size = cells$log_size, batch = cells$batch, samples = samples,
                           seed = seed)
  # of standardised values to that of the values
  shift <- if (is.null(fit$scaling)) 0 else sum(log(fit$scaling$scale))
  lapply(found, function(bound) stats::setNames(bound - shift, colnames(cells$x)))
}

# Mean divergence of each number of the code from the prior, in nats.
code_divergence <- function(fit) {
  if (!fit$architecture$variational) return(NULL)
  rowMeans(0.5 * (fit$coef^2 + fit$latent_sd^2 - 1) - log(fit$latent_sd))
}

# Numbers whose divergence is below this hold nothing of the cells.
UNUSED <- 0.01

# Draws about the rates of cells, each group of cells with its dispersions.
drawn_cells <- function(fit, codes, batch, log_size, seed, .call = caller_env()) {
  found <- ask_autoencoder(fit, rs_autoencoder_rates, codes = unname(codes), batch = batch,
                           log_size = log_size, .call = .call)
  noise <- switch(fit$likelihood, gaussian = "normal", poisson = "poisson", "negative_binomial")
  spread <- if (fit$likelihood == "gaussian") sqrt(fit$variance) / fit$scaling$scale else
    fit$dispersion
  spread <- if (is.null(spread)) matrix(0, nrow(found$mean), 1L) else as.matrix(spread)
  group <- if (ncol(spread) > 1L) batch else rep(1L, ncol(codes))
  out <- found$mean
  for (k in unique(group)) {
    at <- which(group == k)
    out[, at] <- call_rs(
      rs_draw_factors, means = found$mean[, at, drop = FALSE], noise = noise,
      spread = as.double(spread[, k]), structural = found$structural[, at, drop = FALSE],
      seed = seed, first = 1e6 * (k - 1), .call = .call
    )
  }
  if (fit$likelihood == "gaussian") out <- out * fit$scaling$scale + fit$scaling$centre
  dimnames(out) <- list(fit$genes, colnames(codes))
  out
}
