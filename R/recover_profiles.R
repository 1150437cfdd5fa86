#' Recover expression profiles from composite measurements
#'
#' With a decoder ([learn_decoder()]), applies it. With a dictionary, finds few activities
#' w with y ~ A U w, for measurements A and modules U, and gives back x = U w. Either
#' way for all genes that were learned, with a standard error for each.
#'
#' @section Methods:
#' \describe{
#'   \item{`"omp"`}{Orthogonal matching pursuit with `sparsity` modules: the module
#'     that correlates most with what is left joins, then least squares over those
#'     chosen.}
#'   \item{`"nn_omp"`}{The same with activities that are not negative.}
#'   \item{`"lasso"`, `"nn_lasso"`}{min ½|y - AUw|² + penalty · sum |w|, the second with
#'     w >= 0: at the given `penalty` or, without one, at the smallest that leaves
#'     `sparsity` modules active. By homotopy, so exact.}
#'   \item{`"nnls"`}{Non-negative least squares over all modules; it has no
#'     `sparsity`.}
#' }
#'
#' @section Standard errors:
#' For the modules S that were chosen, activities are estimated with covariance
#' sigma² (B'B)^-1 where B = A U_S. The error of a gene is sqrt(sigma² u'(B'B)^-1u + s²)
#' with its row
#' u of U_S and its own standard deviation s around the modules, in samples that these
#' had not seen (`residual_sd` of [learn_dictionary()]).
#'
#' sigma² is the variance of a measurement: what the lack of fit makes of it, the mean
#' of A diag(s²) A', and the noise, nu². The noise is `noise` or, without it, the one that
#' y tells: up to 300 examples are made from the activities of training samples
#' and normal deviations s, measured with A and noise, and recovered; nu is such that
#' they leave as much of their measurements as the samples do, |y - A U w|² on average.
#' (A residual over its degrees of freedom would be too small: modules are chosen so
#' that they fit noise.) So what samples deviate more from modules than held-out ones
#' counts as noise. A sample that leaves more than the mean has its own, larger sigma².
#'
#' This is a posterior given that S is right. With noise, and near the fewest
#' measurements that work, S is often wrong. So the standard errors of a gene are
#' multiplied by the root mean square of its error over standard error in the
#' examples, if that is above 1 (`inflation`). Without `learn_dictionary()` there are no
#' such activities: the factor is 1, and sigma² is the residual over its degrees of freedom,
#' |y - B w|² / (m - |S|), or `noise`², whichever is larger. What remains unknown is how
#' far new samples differ from training samples: see the coverage in
#' [evaluate_recovery()].
#'
#' Those of a decoder are in [learn_decoder()].
#'
#' @param y Measurements × samples, as [measure()] gives, or a vector for one
#'   sample. Rows are those of `A`, matched by name if both have names.
#' @param A A result of [measurement_matrix()], or a matrix measurements × genes.
#' @param dictionary A result of [learn_dictionary()], or a matrix genes × modules
#'   (whose lack of fit is not known and not counted). Every gene of `A` must be in
#'   it; its other genes are recovered though they are not measured. Or a result of
#'   [learn_decoder()], which must have been learned for these measurements.
#' @param method See *Methods*. A decoder has its own, and no `sparsity` and `penalty`.
#' @param sparsity Modules per sample at most; no more than measurements. If the
#'   dictionary has fewer modules, all may be used.
#' @param penalty For the lasso, instead of `sparsity`: a number above 0.
#' @param standard_errors Compute them? They take as much memory as the profiles.
#' @param noise Standard deviation of the noise of a measurement, in units of `y`,
#'   where it is known, from replicates for example; 0 says that there is none. `NULL`
#'   estimates it, see *Standard errors*. Raising it widens intervals.
#' @inheritParams measure
#' @return An object of class [recovery].
#' @section Errors and warnings: `unalloy_error_too_few_measurements` for fewer measurements
#'   than modules per sample; `unalloy_error_absent_genes` and
#'   `unalloy_error_no_common_genes` when genes of `A` are not in the dictionary, by
#'   name; `unalloy_error_measurements` when `y` and `A` differ in theirs, or `A` and the
#'   decoder;
#'   `unalloy_error_missing_values` and `unalloy_error_infinite_values`, with
#'   measurement and sample; `unalloy_error_argument`. `unalloy_warning_unlike_training`
#'   when most readings are far from those that a decoder was learned from.
#' @references Pati, Rezaiifar and Krishnaprasad (1993), *Asilomar Conference on
#'   Signals*. Efron, Hastie, Johnstone and Tibshirani (2004), *Annals of
#'   Statistics* 32:407. Cleary et al. (2017), *Cell* 171:1424.
#' @seealso [measure()], [learn_decoder()], [learn_dictionary()], [evaluate_recovery()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 150, n_samples = 70, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' x <- x[apply(x, 1, sd) > 0, ]
#' modules <- learn_dictionary(x[, 1:60], size = 30, sparsity = 5, seed = 1)
#' A <- measurement_matrix(25, x, max_correlation = 0.4, seed = 1)
#' y <- measure(x[, 61:70], A)
#' found <- recover_profiles(y, A, modules, sparsity = 5)
#' found
#' evaluate_recovery(x[, 61:70], found)
recover_profiles <- function(y, A, dictionary,
                             method = c("omp", "nn_omp", "lasso", "nn_lasso", "nnls"),
                             sparsity = 15, penalty = NULL, standard_errors = TRUE, noise = NULL,
                             threads = getOption("unalloy.threads", 2L), verbose = TRUE) {
  check_call()
  if (inherits(dictionary, "decoder")) {
    refuse_for_decoder(c(method = !missing(method), sparsity = !missing(sparsity),
                         penalty = !is.null(penalty), noise = !is.null(noise)))
    return(decode_readings(y, A, dictionary, standard_errors, threads, verbose))
  }
  method <- check_choice(method, c("omp", "nn_omp", "lasso", "nn_lasso", "nnls"), "method")
  refuse_unused(method, !missing(sparsity), penalty)
  standard_errors <- check_flag(standard_errors, "standard_errors")
  if (!is.null(penalty)) penalty <- check_number(penalty, "penalty", 0, above = TRUE)
  if (!is.null(noise)) {
    noise <- check_number(noise, "noise", 0)
    if (!standard_errors) {
      stop_user("argument", "`noise` is for standard errors.", x = "`standard_errors` is FALSE.")
    }
  }
  threads <- check_threads(threads)
  verbose <- check_flag(verbose, "verbose")
  modules <- modules_of(dictionary)
  A <- weights_of(A)
  y <- readings_of(y, A)
  place <- place_of_genes(A$genes, modules$genes, ncol(A$weights), nrow(modules$values), "A",
                          "dictionary")
  counted <- method != "nnls" && is.null(penalty)
  sparsity <- min(check_count(sparsity, "sparsity"), ncol(modules$values))
  if (counted && sparsity > nrow(A$weights)) stop_few_measurements(nrow(A$weights), sparsity)
  weights <- matrix(0, nrow(modules$values), nrow(A$weights))
  weights[place, ] <- t(A$weights)
  # decoded first, then expanded to all genes
  found <- call_rs(
    rs_recover, readings = y$values, weights = weights, modules = modules$values,
    residual_variance = modules$variance, examples = modules$examples, method = method,
    sparsity = sparsity, penalty = penalty, noise = noise, standard_errors = standard_errors,
    threads = threads, progress = progress_bar("Recovering", 2 * ncol(y$values), verbose)
  )
  new_recovery(found, modules, y$samples, nrow(A$weights), method,
               if (counted) sparsity, penalty)
}

refuse_unused <- function(method, sparsity_given, penalty, .call = caller_env()) {
  if (!is.null(penalty) && !method %in% c("lasso", "nn_lasso")) {
    stop_user("argument", paste0("Method \"", method, "\" has no `penalty`."),
              i = "It is for \"lasso\" and \"nn_lasso\".", .call = .call)
  }
  if (sparsity_given && method == "nnls") {
    stop_user("argument", "Method \"nnls\" has no `sparsity`.",
              i = "\"nn_omp\" is non-negative with a number of modules.", .call = .call)
  }
  if (sparsity_given && !is.null(penalty)) {
    stop_user("argument", "Give `sparsity` or `penalty`, not both.",
              x = "Each sets where the lasso stops.", .call = .call)
  }
}

stop_few_measurements <- function(m, sparsity, .call = caller_env()) {
  stop_user(
    "too_few_measurements", "There must be at least as many measurements as modules per sample.",
    x = paste0("There are ", plural(m, "measurement"), "; `sparsity` is ", sparsity, "."),
    i = paste("With fewer, several sets of modules fit exactly. Measure more, or lower",
              "`sparsity`."), .call = .call
  )
}

# Modules (a plain matrix), their names and genes, and the genes' variance around
# them.
modules_of <- function(dictionary, .call = caller_env()) {
  if (inherits(dictionary, "dictionary")) {
    values <- dictionary$modules
    variance <- unname(dictionary$residual_sd)^2
    examples <- dictionary$activities
  } else if (is.matrix(dictionary) && is.numeric(dictionary) && length(dictionary)) {
    values <- dictionary
    variance <- rep(0, nrow(values))
    examples <- NULL
    if (any(!is.finite(values))) {
      stop_user("argument", "Modules of `dictionary` must be finite numbers.",
                x = paste0(plural(sum(!is.finite(values)), "entry"), " missing or infinite."),
                .call = .call)
    }
  } else {
    stop_user("argument",
              "`dictionary` must be a result of `learn_dictionary()` or `learn_decoder()`.",
              x = paste0("It is ", describe(dictionary), "."),
              i = "A matrix genes x modules will do as well.", .call = .call)
  }
  genes <- single_genes(rownames(values), "dictionary", .call = .call)
  names <- colnames(values) %||% numbered("Module", ncol(values))
  storage.mode(values) <- "double"
  dimnames(values) <- NULL
  list(values = values, variance = variance, examples = examples, genes = genes, names = names)
}

readings_of <- function(y, A, .call = caller_env()) {
  if (is.data.frame(y)) y <- as.matrix(y)
  if (is.numeric(y) && is.null(dim(y))) y <- matrix(y, ncol = 1L, dimnames = list(names(y), NULL))
  if (!is.matrix(y) && methods::is(y, "Matrix")) y <- as.matrix(y)
  if (!is.matrix(y) || !is.numeric(y) || !ncol(y)) {
    stop_user("argument", "`y` must be a numeric measurements x samples matrix.",
              x = paste0("It is ", describe(y), "."), .call = .call)
  }
  names <- rownames(y)
  if (is.null(names) && nrow(y) != nrow(A$weights)) {
    stop_user("measurements", "`y` and `A` must have the same measurements.",
              x = paste0("`y` has ", count_text(nrow(y)), ", `A` ",
                         count_text(nrow(A$weights)), "."),
              i = if (ncol(y) == nrow(A$weights)) "Measurements go in rows: try `t(y)`.",
              .call = .call)
  }
  if (!is.null(names)) {
    absent <- c(setdiff(A$measurements, names), setdiff(names, A$measurements))
    if (length(absent) || anyDuplicated(names)) {
      stop_user("measurements", "`y` and `A` must have the same measurements.",
                x = if (length(absent)) paste0("In one of them only: ", some_of(absent), ".")
                    else paste0("Twice in `y`: ", some_of(names[duplicated(names)]), "."),
                i = "Without row names of `y` they are matched by position.", .call = .call)
    }
    y <- y[match(A$measurements, names), , drop = FALSE]
  }
  samples <- profile_samples(colnames(y), ncol(y), "y", .call = .call)
  storage.mode(y) <- "double"
  bad <- which(!is.finite(y))
  if (length(bad)) {
    at <- arrayInd(bad[1L], dim(y))
    stop_user(if (anyNA(y)) "missing_values" else "infinite_values",
              "Measurements in `y` must be finite numbers.",
              x = paste0("It is ", y[bad[1L]], " for measurement \"", A$measurements[at[1L]],
                         "\", sample \"", samples[at[2L]], "\"."), .call = .call)
  }
  dimnames(y) <- NULL
  list(values = y, samples = samples)
}

# What a decoder settles.
refuse_for_decoder <- function(given, .call = caller_env()) {
  if (!any(given)) return()
  stop_user("argument", paste0("A decoder has no `", names(which(given))[1L], "`."),
            i = "How profiles are recovered was settled by `learn_decoder()`.", .call = .call)
}

# Readings that are this much farther from those of the training samples than a
# training sample that is left out, as a multiple of its squared distance: no
# sample of a few measurements is so by chance as a rule, so half of them are not.
FAR_AWAY <- 4

decode_readings <- function(y, A, decoder, standard_errors, threads, verbose,
                            .call = caller_env()) {
  standard_errors <- check_flag(standard_errors, "standard_errors", .call = .call)
  threads <- check_threads(threads, .call = .call)
  verbose <- check_flag(verbose, "verbose", .call = .call)
  A <- weights_of(A, .call = .call)
  y <- readings_of(y, A, .call = .call)
  place <- place_of_measurements(A, decoder, .call = .call)
  weights <- lapply(decoder$weights, unname)
  readings <- y$values[place, , drop = FALSE]
  given <- list(
    readings = readings, mean = unname(decoder$mean), centre = unname(decoder$centre),
    slope = weights$slope, spread = weights$spread, usual_distance = decoder$usual_distance,
    samples = decoder$samples, error_variance = decoder$genes$error_sd^2,
    spread_weight = decoder$spread_weight, standard_errors = standard_errors, threads = threads,
    progress = progress_bar("Recovering", ncol(y$values), verbose)
  )
  found <- if (is.null(decoder$network)) {
    bells <- if (!is.null(weights$coefficients)) {
      c(weights[c("coordinates", "landmarks", "coefficients", "certainty")], decoder["prior"])
    }
    call_rs(rs_decode, bells = bells, .given = given, .call = .call)
  } else {
    call_rs(
      rs_decode_network, architecture = decoder$network$architecture,
      members = lapply(decoder$network$members, function(member) list(weights = unname(member))),
      coordinates = weights$coordinates, scale = decoder$network$scale,
      inputs = recovered_inputs(decoder, readings, threads, .call = .call), .given = given,
      .call = .call
    )
  }
  if (stats::median(found$distance) > FAR_AWAY) {
    warn_user("unlike_training", "Readings are unlike those that the decoder was learned from.",
              x = paste0("Half of the samples are more than ",
                         format(sqrt(stats::median(found$distance)), digits = 2),
                         " times as far from the mean as a training sample."),
              i = paste0("More noise than signal to noise ", decoder$settings$snr,
                         ", another scale, or other samples? Standard errors do not hold."),
              .call = .call)
  }
  new_decoded(found, decoder, y$samples)
}

# What networks read that were trained on recovered profiles.
recovered_inputs <- function(decoder, readings, threads, .call = caller_env()) {
  own <- decoder$recovery
  if (is.null(own)) return(NULL)
  rownames(readings) <- rownames(decoder$A)
  found <- on_behalf(.call, recover_profiles(readings, decoder$A, own$modules,
                                             sparsity = own$sparsity, standard_errors = FALSE,
                                             threads = threads, verbose = FALSE))
  standardise(unname(found$profiles), own$scaling)
}

# Where the decoder's measurements are among those of `A`, which must be the same.
place_of_measurements <- function(A, decoder, .call = caller_env()) {
  own <- decoder$A
  differ <- function(x) {
    stop_user("measurements", "The decoder was learned for other measurements than `A`.", x = x,
              i = "Learn one for these: `learn_decoder(x, A)`.", .call = .call)
  }
  if (nrow(own) != nrow(A$weights)) {
    differ(paste0("It was for ", count_text(nrow(own)), "; `A` has ",
                  count_text(nrow(A$weights)), "."))
  }
  genes <- colnames(own)
  absent <- setdiff(A$genes, genes)
  if (length(absent)) {
    place_of_genes(A$genes, genes, ncol(A$weights), ncol(own), "A", "dictionary", .call = .call)
  }
  if (length(setdiff(genes, A$genes)) || ncol(own) != ncol(A$weights)) {
    differ(paste0("It measured ", plural(ncol(own), "gene"), ", `A` measures ",
                  count_text(ncol(A$weights)), "."))
  }
  place <- match(rownames(own), A$measurements)
  if (anyNA(place)) {
    differ(paste0("Not in `A`: ", some_of(rownames(own)[is.na(place)]), "."))
  }
  columns <- if (is.null(genes)) seq_len(ncol(own)) else match(genes, A$genes)
  apart <- abs(A$weights[place, columns, drop = FALSE] - own)
  bad <- which(rowSums(apart > 1e-8 * max(abs(own))) > 0)
  if (length(bad)) differ(paste0("Weights differ in ", some_of(rownames(own)[bad]), "."))
  place
}
