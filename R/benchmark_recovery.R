#' How well profiles are recovered, by method and number of measurements
#'
#' Splits the samples into training and test samples, learns a dictionary or a decoder
#' from the former by each method, measures the latter, recovers and compares them;
#' again for each number of measurements and each split. The experiment of Cleary et al.
#' (2017), who train on 5 % of the samples, and of reports after it (80 %).
#'
#' In each split one measurement matrix is drawn; fewer measurements are its first
#' rows. Methods see the same splits, measurements and noise.
#'
#' A method of your own is a function of the training profiles (genes × samples),
#' the measurement matrix (measurements × genes) and the measurements of the test
#' samples, that returns the recovered profiles (genes × test samples). The test
#' profiles are not shown to it.
#'
#' @param x Expression, genes × samples: a matrix, sparse matrix, data frame of
#'   numbers or SummarizedExperiment, on the scale on which it is to be recovered
#'   (usually logarithms).
#' @param measurements Numbers of measurements.
#' @param methods Names of methods of [learn_decoder()] and [learn_dictionary()], `"smaf+network"`
#'   (a network on profiles that modules of `"smaf"` recover), or a list of names and of
#'   functions with names. `"ridge"` is what any other method has to beat. Decoders are
#'   learned for the noise of `snr`.
#' @param splits Number of splits. Their spread gives the standard errors.
#' @param train Share of the samples to learn from: 0.8, or 0.05 as in Cleary et al.
#' @param snr,type,max_correlation,genes_per_pool See [measure()] and
#'   [measurement_matrix()].
#' @param size Modules; `NULL` takes half of the training samples, at most 500.
#' @param sparsity Modules per sample. `size`, `sparsity` and `decoder` are for methods
#'   with a dictionary.
#' @param decoder `method` of [recover_profiles()]; `"nnls"` has no `sparsity`.
#' @param scale Scale each gene to \[0, 1\] by the range of the training samples?
#'   Test samples may lie outside. Scores are computed on this scale.
#' @param settings Further arguments of [learn_dictionary()] or [learn_decoder()] by
#'   method, such as `list(ksvd = list(max_iter = 20))`.
#' @param seed A whole number; the same seed gives the same result on every machine.
#'   `NULL` takes one from R's random stream.
#' @inheritParams measure
#' @return An object of class [recovery_benchmark].
#' @section Errors and warnings: `unalloy_error_too_few_measurements` for numbers
#'   below `sparsity`, if a method has a dictionary; `unalloy_error_argument`; those of
#'   [learn_dictionary()]. A method that fails does not stop the others: its reason is
#'   in the object. Genes that do not vary among the training samples of a split are
#'   left out of that split.
#' @references Cleary et al. (2017), *Cell* 171:1424.
#' @seealso [plan_measurements()], `vignette("how-many-measurements", "unalloy")`
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 120, n_samples = 80, seed = 1)
#' benchmark <- benchmark_recovery(
#'   log1p(sim$bulk_counts), measurements = c(10, 20, 40), methods = c("svd_k", "ksvd"),
#'   splits = 2, size = 20, sparsity = 5, max_correlation = 0.5, seed = 1, verbose = FALSE
#' )
#' benchmark
#' plot(benchmark)
benchmark_recovery <- function(x, measurements = c(20, 50, 100, 200, 300),
                               methods = c("ridge", "kernel", "smaf", "snmf", "svd", "svd_k",
                                           "ksvd"), splits = 5,
                               train = 0.8, snr = Inf, type = c("gaussian", "sparse"), size = NULL,
                               sparsity = 15, decoder = "omp", scale = TRUE,
                               max_correlation = 0.2, genes_per_pool = NULL, settings = list(),
                               seed = NULL, assay = NULL,
                               threads = getOption("unalloy.threads", 2L), verbose = TRUE) {
  check_call()
  x <- profile_matrix(x, "x", assay)
  methods <- recovery_methods(methods, settings)
  with_modules <- any(vapply(methods, function(m) m$kind %in% c("dictionary", "both"), NA))
  plan <- list(
    measurements = check_measurements(measurements, decoder, sparsity, with_modules),
    decoder = decoder,
    splits = check_count(splits, "splits", max = MOST_REPEATS),
    train = check_number(train, "train", 0, 1),
    snr = if (identical(snr, Inf)) Inf else check_number(snr, "snr", 0, above = TRUE),
    type = check_choice(type, c("gaussian", "sparse"), "type"),
    sparsity = check_count(sparsity, "sparsity"), scale = check_flag(scale, "scale"),
    max_correlation = max_correlation, genes_per_pool = genes_per_pool,
    seed = check_seed(seed), threads = check_threads(threads)
  )
  plan$seeds <- derived_seeds(plan$seed, plan$splits)
  plan$n_train <- training_samples(plan$train, ncol(x$values))
  plan$size <- if (is.null(size)) min(500, max(plan$n_train %/% 2, 1)) else
    check_size(size, plan$n_train)
  verbose <- check_flag(verbose, "verbose")
  genes <- x$genes %||% paste0("gene", seq_len(nrow(x$values)))
  dimnames(x$values) <- list(genes, x$samples)
  show <- progress_bar("Benchmarking", plan$splits * length(methods), verbose)
  runs <- list()
  for (split in seq_len(plan$splits)) {
    parts <- split_profiles(x$values, plan, split)
    for (name in names(methods)) {
      runs <- c(runs, list(run_recovery(name, methods[[name]], parts, plan, split)))
      show(length(runs))
    }
  }
  new_recovery_benchmark(runs, names(methods), dim(x$values), plan)
}

check_measurements <- function(measurements, decoder, sparsity, with_modules,
                               .call = caller_env()) {
  check_choice(decoder, c("omp", "nn_omp", "lasso", "nn_lasso", "nnls"), "decoder", .call = .call)
  ok <- is.numeric(measurements) && length(measurements) && !anyNA(measurements) &&
    all(measurements >= 1 & measurements == round(measurements))
  if (!ok) {
    stop_user("argument", "`measurements` must be whole numbers above 0.",
              x = paste0("It is ", describe(measurements), "."), .call = .call)
  }
  measurements <- sort(unique(as.double(measurements)))
  sparsity <- check_count(sparsity, "sparsity", .call = .call)
  if (with_modules && measurements[1L] < sparsity && decoder != "nnls") {
    stop_few_measurements(measurements[1L], sparsity, .call = .call)
  }
  measurements
}

# Functions of (training profiles, matrix, readings of test samples, plan, seed),
# by name.
recovery_methods <- function(methods, settings, .call = caller_env()) {
  if (is.function(methods)) methods <- list(own = methods)
  methods <- as.list(methods)
  names <- names(methods) %||% rep("", length(methods))
  named <- vapply(methods, rlang::is_string, NA)
  names[named & names == ""] <- unlist(methods[named & names == ""])
  known <- vapply(methods, function(m) is.function(m) || isTRUE(m %in% RECOVERY_METHODS), NA)
  if (!length(methods) || !all(known) || any(names == "") || anyDuplicated(names)) {
    stop_user("argument", "`methods` must be names of methods, or functions with names.",
              x = if (all(known)) "Each needs a name of its own."
                  else paste0("Not known: ", paste(vapply(methods[!known], describe, ""),
                                                   collapse = ", "), "."),
              i = paste0("There are ", some_of(RECOVERY_METHODS, 9L), "."), .call = .call)
  }
  foreign <- setdiff(names(settings), names)
  if (!is.list(settings) || length(foreign)) {
    stop_user("argument", "`settings` must be a list of lists, named by method.",
              x = if (length(foreign)) paste0("No method here: ", some_of(foreign), "."),
              .call = .call)
  }
  made <- Map(function(method, name) {
    if (is.function(method)) return(list(run = method, kind = "own"))
    list(method = method, arguments = settings[[name]],
         kind = method_kind(method))
  }, methods, names)
  stats::setNames(made, names)
}

RECOVERY_METHODS <- c("ridge", "kernel", "network", "smaf+network", "smaf", "snmf", "svd", "svd_k",
                      "ksvd")

method_kind <- function(method) {
  if (method == "smaf+network") "both" else if (method %in% DECODER_METHODS) "decoder" else
    "dictionary"
}

training_samples <- function(train, n_samples, .call = caller_env()) {
  n <- round(train * n_samples)
  if (n < 2 || n_samples - n < 2) {
    stop_user("argument", "Both sides of a split need two samples or more.",
              x = paste0("With `train = ", train, "`, ", n, " of ", plural(n_samples, "sample"),
                         " are for training."), .call = .call)
  }
  n
}

# Training and test profiles, on one scale, and the measurements of the latter.
split_profiles <- function(x, plan, split) {
  chosen <- with_seed(plan$seeds[split], sample.int(ncol(x), plan$n_train))
  train <- x[, chosen, drop = FALSE]
  test <- x[, -chosen, drop = FALSE]
  constant <- constant_rows(train)
  if (length(constant)) {
    train <- train[-constant, , drop = FALSE]
    test <- test[-constant, , drop = FALSE]
  }
  if (plan$scale) {
    low <- apply(train, 1L, min)
    span <- apply(train, 1L, max) - low
    train <- (train - low) / span
    test <- (test - low) / span
  }
  A <- measurement_matrix(max(plan$measurements), rownames(train), plan$type,
                          plan$max_correlation, plan$genes_per_pool, seed = plan$seeds[split],
                          threads = plan$threads)
  y <- measure(test, A, plan$snr, seed = plan$seeds[split], threads = plan$threads,
               verbose = FALSE)
  list(train = train, test = test, A = as.matrix(A), y = y)
}

run_recovery <- function(name, method, parts, plan, split) {
  started <- proc.time()[["elapsed"]]
  failure <- NA_character_
  recover_with <- tryCatch(prepare_recovery(method, parts, plan, split), error = identity)
  rows <- lapply(plan$measurements, function(m) {
    scores <- stats::setNames(rep(NA_real_, length(SCORE_NAMES) - 1L),
                              utils::head(names(SCORE_NAMES), -1L))
    if (is.function(recover_with)) {
      found <- tryCatch({
        profiles <- recover_with(parts$A[seq_len(m), , drop = FALSE],
                                 parts$y[seq_len(m), , drop = FALSE])
        check_recovered(profiles, parts$test)
        evaluate_matrices(unname(parts$test), unname(profiles), 0L, 200L, plan$threads, FALSE)
      }, error = identity)
      if (inherits(found, "error")) failure <<- conditionMessage(found)
      else scores[found$metrics] <- found$scores
    }
    data.frame(split = split, method = name, measurements = m, score = names(scores),
               value = unname(ifelse(is.nan(scores), NA, scores)))
  })
  if (inherits(recover_with, "error")) failure <- conditionMessage(recover_with)
  list(scores = do.call(rbind, rows),
       run = data.frame(split = split, method = name, genes = nrow(parts$train), failure = failure,
                        seconds = proc.time()[["elapsed"]] - started))
}

# A function of A and y.
prepare_recovery <- function(method, parts, plan, split) {
  if (method$kind == "own") {
    return(function(A, y) with_seed(plan$seeds[split], method$run(parts$train, A, y)))
  }
  if (method$kind == "decoder") return(decode_with(method, parts, plan, split))
  if (method$kind == "both") return(decode_recovered(method, parts, plan, split))
  sparsity <- if (method$method == "svd_k") min(plan$sparsity, plan$size) else plan$sparsity
  # without standard errors nobody asks what modules leave of other samples
  arguments <- list(parts$train, plan$size, method$method, sparsity = sparsity, held_out = 0,
                    threads = plan$threads, verbose = FALSE)
  if (!method$method %in% c("svd", "svd_k")) arguments$seed <- plan$seeds[split]
  arguments <- utils::modifyList(arguments, as.list(method$arguments))
  # That the last iteration still gained a little is no news in a benchmark.
  modules <- withCallingHandlers(
    do.call(learn_dictionary, arguments),
    unalloy_warning_not_converged = function(w) rlang::cnd_muffle(w)
  )
  function(A, y) {
    arguments <- list(y, A, modules, plan$decoder, standard_errors = FALSE,
                      threads = plan$threads, verbose = FALSE)
    if (plan$decoder != "nnls") arguments$sparsity <- sparsity
    do.call(recover_profiles, arguments)$profiles
  }
}

# A decoder is learned for each number of measurements.
decode_with <- function(method, parts, plan, split) {
  function(A, y) {
    arguments <- list(x = parts$train, A = A, method = method$method, snr = plan$snr,
                      seed = plan$seeds[split], threads = plan$threads, verbose = FALSE)
    # no deep merge: a dictionary is one value
    own <- as.list(method$arguments)
    decoder <- do.call(learn_decoder, c(arguments[setdiff(names(arguments), names(own))], own))
    recover_profiles(y, A, decoder, standard_errors = FALSE, threads = plan$threads,
                     verbose = FALSE)$profiles
  }
}

# A network on what modules recover.
decode_recovered <- function(method, parts, plan, split) {
  modules <- learn_dictionary(parts$train, plan$size, "smaf", sparsity = plan$sparsity,
                              held_out = 0, seed = plan$seeds[split], threads = plan$threads,
                              verbose = FALSE)
  own <- list(input = "recovered", dictionary = modules)
  decode_with(list(method = "network", arguments = c(own, method$arguments)), parts, plan, split)
}

check_recovered <- function(profiles, test) {
  if (!is.matrix(profiles) || !is.numeric(profiles) || !identical(dim(profiles), dim(test))) {
    stop(paste0("A method must return a matrix of ", nrow(test), " genes x ", ncol(test),
                " test samples, not ", describe(profiles), "."), call. = FALSE)
  }
  if (any(!is.finite(profiles))) stop("Recovered profiles must be finite.", call. = FALSE)
}
