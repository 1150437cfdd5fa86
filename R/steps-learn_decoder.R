# From arguments of learn_decoder() to what the core is given, for networks.

DECODER_METHODS <- c("kernel", "ridge", "network")

# Arguments that only some methods have.
DECODER_ARGUMENTS <- list(
  kernel = "landmarks",
  network = c("start", "loss", "hidden", "dropout", "input", "dictionary", "ensemble", "epochs",
              "batch_size", "learning_rate", "decay", "patience", "validation", "tune")
)

refuse_other_decoders <- function(method, given, .call = caller_env()) {
  foreign <- intersect(given, setdiff(unlist(DECODER_ARGUMENTS), DECODER_ARGUMENTS[[method]]))
  if (!length(foreign)) return(invisible())
  owners <- names(DECODER_ARGUMENTS)[vapply(DECODER_ARGUMENTS, function(own) foreign[1L] %in% own,
                                            NA)]
  stop_user("argument", paste0("Method \"", method, "\" has no `", foreign[1L], "`."),
            i = paste0("It is for ", paste0("\"", owners, "\"", collapse = " and "), "."),
            .call = .call)
}

# Below so many samples a tenth of them says little of errors per gene: networks then
# hold out a fifth each, in turn.
FEW_SAMPLES <- 2000
FOLDS <- 5
# Passes of fewer steps would be judged, and given up, too often.
STEPS_PER_PASS <- 10
LEAST_STEPS <- 5000

network_settings <- function(n, start, loss, hidden, dropout, ensemble, epochs, batch_size,
                             learning_rate, decay, patience, validation, .call = caller_env()) {
  if (n < 10L) {
    stop_user("too_few_samples", "A network is learned from ten samples or more.",
              x = paste0("`x` has ", plural(n, "sample"), "."), .call = .call)
  }
  start <- check_choice(start, c("ridge", "zero"), "start", .call = .call)
  ensemble <- if (is.null(ensemble)) if (n < FEW_SAMPLES) FOLDS else 1 else
    check_count(ensemble, "ensemble", max = 1000, .call = .call)
  validation <- if (is.null(validation)) if (ensemble > 1) 1 / FOLDS else 0.1 else
    check_number(validation, "validation", 0, 0.9, above = TRUE, .call = .call)
  left <- n - min(max(round(validation * n), 1), n - 2)
  batch_size <- if (is.null(batch_size)) max(min(128, left %/% STEPS_PER_PASS), 2) else
    check_count(batch_size, "batch_size", min = 2, .call = .call)
  enough <- max(default_epochs(n), ceiling(LEAST_STEPS / ceiling(left / batch_size)))
  epochs <- check_count(epochs %||% enough, "epochs", max = 1e6, .call = .call)
  list(
    start = start, loss = check_choice(loss, c("mse", "correlation"), "loss", .call = .call),
    hidden = hidden_sizes(hidden %||% if (start == "ridge") 256 else rep(500, 3), .call = .call),
    dropout = check_dropout(dropout, .call = .call), ensemble = ensemble, validation = validation,
    epochs = epochs, batch_size = batch_size,
    learning_rate = check_number(learning_rate, "learning_rate", 0, above = TRUE, .call = .call),
    decay = check_number(decay, "decay", 0, .call = .call),
    patience = check_count(patience, "patience", .call = .call)
  )
}

# Rates and decays to be tried, a row per pair.
tuning_grid <- function(tune, settings, .call = caller_env()) {
  names <- c("learning_rate", "decay")
  ok <- is.list(tune) && length(tune) && !is.null(names(tune)) && all(names(tune) %in% names) &&
    !anyDuplicated(names(tune)) &&
    all(vapply(tune, function(v) is.numeric(v) && length(v) && all(is.finite(v) & v >= 0), NA)) &&
    all(tune$learning_rate > 0)
  if (!ok) {
    stop_user("argument", "`tune` must be a list of numbers to try.",
              x = paste0("It is ", describe(tune), "."),
              i = paste("Such as `list(learning_rate = c(1e-3, 3e-4), decay = c(0, 1e-4))`:",
                        "rates above 0, decays of at least 0."), .call = .call)
  }
  expand.grid(learning_rate = tune$learning_rate %||% settings$learning_rate,
              decay = tune$decay %||% settings$decay, KEEP.OUT.ATTRS = FALSE)
}

# Learns networks with settings, from where an interrupted training stopped if there is
# one.  `given` are the profiles and what is read of them.
train_decoder <- function(given, settings, training, threads, verbose, title = "Training",
                          .call = caller_env()) {
  call_rs(
    rs_train_decoder, unfinished = training$unfinished, finished = training$finished,
    threads = threads, .given = c(given, settings), .call = .call,
    progress = progress_bar(title, settings$epochs * settings$ensemble, verbose)
  )
}

# The loss of each pair of a grid on a fifth of the samples.
tune_decoder <- function(given, settings, grid, threads, verbose, .call = caller_env()) {
  settings$ensemble <- 1
  settings$validation <- 1 / FOLDS
  rows <- lapply(seq_len(nrow(grid)), function(row) {
    settings[names(grid)] <- grid[row, ]
    title <- paste0("Trying ", row, " of ", nrow(grid))
    found <- tryCatch(
      train_decoder(given, settings, NULL, threads, verbose, title, .call = .call),
      unalloy_error_diverged = function(condition) NULL
    )
    if (is.null(found)) return(data.frame(loss = NA, start = NA, best_epoch = NA, epochs = NA))
    member <- found$members[[1L]]
    if (member$reason == "interrupted") {
      rlang::interrupt()
      stop_user("interrupted", "The computation was interrupted.", .call = .call)
    }
    losses <- c(member$start, member$trace$misfit)
    data.frame(loss = losses[member$best + 1], start = member$start, best_epoch = member$best,
               epochs = length(member$trace$misfit))
  })
  out <- cbind(grid, do.call(rbind, rows))
  if (all(is.na(out$loss))) {
    stop_user("diverged", "Every training of `tune` has diverged.",
              i = "Try smaller rates.", .call = .call)
  }
  out$chosen <- seq_len(nrow(out)) == which.min(out$loss)
  out
}

# Values of features as a network takes them: of mean 0 and size 1.
standardise <- function(values, scaling) (values - scaling$centre) / scaling$scale

feature_scaling <- function(values) {
  centre <- rowMeans(values)
  scale <- sqrt(rowMeans((values - centre)^2))
  list(centre = centre, scale = ifelse(scale > 0, scale, 1))
}
