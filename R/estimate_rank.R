# How many components a factorisation needs.

#' Estimate the rank of a factorisation
#'
#' Fits every rank several times and measures it: how well it predicts entries
#' that it has not seen, how stable its clusters and components are, how well it
#' fits, and how well it would fit data without structure. One object holds all
#' fits and measures; a rank that fails is `NA` there, with the reason.
#'
#' @details
#' **Held-out error** (`cv.error`). Entries anywhere in the matrix are held out, in
#' `folds` disjoint folds of a fraction `held_out` each, chosen by a hash of the position and the
#' seed. Every rank is fitted to the rest (twice, from random starts; the better
#' is taken), and judged by the loss of the method over the
#' held-out entries, divided by that of their mean. Zeros are entries like others. Under
#' the Kullback-Leibler divergence predictions are mixed with a thousandth of the
#' mean of the row, since a prediction of zero would be infinitely bad.
#' Penalties, smoothing and offsets of special methods do not take part.
#' Matrices of more than 20 million entries are judged on as many samples, spread
#' evenly, as 20 million allow.
#'
#' **Bi-cross-validation** (`bicv.error`; Owen and Perry 2009). Rows and columns are
#' split at random into `blocks` parts each. Of the matrix (A B; C D), D is factorised, W of A's
#' rows and H of its columns are found from B and C by exact non-negative regression, and A
#' is predicted. The offset of method `"offset"` is found for A's rows from B, together with W.
#' Unlike held-out entries, held-out blocks leave nothing of
#' a sample and a gene together, so the test is harder.
#'
#' **Stability.** `cophenetic` and `dispersion` of the consensus, mean silhouettes, and
#' `stability`: the mean cosine of the metagenes of two runs, matched one to one, over all pairs
#' of runs.
#'
#' **Null.** `residuals.null` is the objective for the matrix with the entries of each
#' column permuted. Where the residual falls no faster than that, further components fit noise
#' (Frigyesi and Höglund 2008).
#'
#' **Standard errors.** Of held-out errors over folds (or blocks); of cophenetic and
#' dispersion by leaving out one run at a time; of stability over runs.
#'
#' **The rule.** The suggestion is the smallest rank whose held-out error is not
#' more than one standard error, that of the lowest error over its folds, above the
#' lowest (Breiman et al. 1984). Without folds, it is taken from bi-cross-validation
#' in the same way, and without that from the cophenetic correlation. The answers of the others are
#' reported beside it: by cophenetic correlation (Brunet et al. 2004), the rank before
#' its largest fall; by the null, the last rank at which the residual falls by
#' more than the null's, each as a part of its value at the lowest rank.
#' No rule knows what a component means; look at the plot.
#'
#' @param x As for [nmf()].
#' @param ranks Ranks to try.
#' @param nrun Runs per rank. More make cophenetic correlation and stability
#'   steadier; they do not change held-out errors.
#' @param method,assay,verbose,threads As for [nmf()].
#' @param seed A whole number; the same seed gives the same result. `NULL` takes one
#'   from R's random stream. The name of an `init` of [nmf()], too: all runs of a rank
#'   would then be one, and measures of stability are `NA`.
#' @param ... Further arguments for [nmf()].
#' @param folds Folds of held-out entries, at least 3; 0 for none. More make the
#'   standard errors better.
#' @param held_out Fraction of the entries in each fold.
#' @param blocks Parts of rows and of columns for bi-cross-validation (so `blocks`² fits
#'   per rank); 0 for none.
#' @param null_runs Runs on the permuted matrix; 0 for none.
#' @return A [rank_estimate].
#' @section Errors: Those of [nmf()] for `x`; `unalloy_error_argument`;
#'   `unalloy_error_no_rank` when every rank failed.
#' @section Warnings: `unalloy_warning_same_start` for several runs from a start that is not
#'   random; `unalloy_warning_rank_failed` names ranks that failed,
#'   `unalloy_warning_not_converged` ranks whose best run did not converge.
#' @references Breiman L et al. (1984) Classification and Regression Trees, section 3.4.3.
#'   Brunet J-P et al. (2004) PNAS 101:4164. Frigyesi A, Höglund M (2008)
#'   Cancer Informatics 6:275. Owen AB, Perry PO (2009) Annals of Applied Statistics
#'   3:564. Wold S (1978) Technometrics 20:397.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 20, seed = 1)
#' estimate <- estimate_rank(sim$bulk_counts, ranks = 2:4, nrun = 4, method = "kl", seed = 1,
#'                           verbose = FALSE)
#' estimate
#' plot(estimate)
#' estimate[["3"]]
estimate_rank <- function(x, ranks = 2:6, nrun = 10, method = formals(nmf)$method, seed = NULL,
                          ..., folds = 3, held_out = 0.1, blocks = 2, null_runs = 2,
                          assay = NULL, verbose = TRUE,
                          threads = getOption("unalloy.threads", 2L)) {
  check_call()
  call <- match.call()
  algorithm <- nmf_method(method)
  more <- check_rank_dots(list(...))
  refuse_dots(..., .known = c(arguments_of(nmf), "maxIter", "weight"))
  if (is.character(seed)) {
    more$init <- check_choice(seed, NMF_STARTS, "seed")
    seed <- NULL
  }
  nrun <- check_count(nrun, "nrun", max = MOST_REPEATS)
  if (nrun > 1 && (more$init %||% "random") != "random") {
    warn_same_start()
    nrun <- 1
  }
  settings <- list(ranks = check_ranks(ranks), nrun = nrun, method = method,
                   seed = check_seed(seed), folds = check_folds(folds),
                   held_out = check_number(held_out, "held_out", 0, 0.5, above = TRUE),
                   blocks = check_blocks(blocks),
                   null_runs = check_count(null_runs, "null_runs", 0, MOST_REPEATS),
                   threads = check_threads(threads), loss = algorithm$loss,
                   verbose = check_flag(verbose, "verbose"),
                   weighted = !is.null(more$weights %||% more$weight))
  if (settings$folds * settings$held_out > 1) {
    stop_user("argument", "`folds` of a fraction `held_out` each must fit into the matrix.",
              x = paste0(folds, " x ", held_out, " is above 1."))
  }
  x <- nmf_input(x, assay, algorithm$prefer)
  if (settings$blocks > min(dim(x))) {
    stop_user("argument", "`blocks` must not be above the number of features or samples.",
              x = paste0("It is ", count_text(blocks), "; `x` is ", nrow(x), " x ", ncol(x), "."))
  }
  check_nmf_values(x, more$na %||% "refuse", algorithm)
  fitting <- function(data, rank, nrun, ...) {
    do.call(nmf, c(list(x = data, rank = rank, method = method, nrun = nrun, seed = settings$seed,
                        verbose = FALSE, threads = settings$threads, ...), more))
  }
  ranked <- measure_ranks(x, fitting, settings)
  measures <- ranked$measures
  failed <- is.na(measures$residuals)
  if (all(failed)) {
    stop_user("no_rank", "No rank could be fitted.",
              x = paste0("Rank ", measures$rank[1L], ": ", measures$reason[1L]))
  }
  warn_of_ranks(measures, ranked$fits)
  usable <- measures$rank[!failed]
  cv <- safely(speckled_errors(x, usable, settings))
  bicv <- safely(block_errors(x, usable, fitting, settings))
  null <- safely(null_residuals(x, usable, fitting, settings))
  measures <- join_errors(measures, cv$value, "cv")
  measures <- join_errors(measures, bicv$value, "bicv")
  if (!is.null(null$value)) measures$residuals.null <- null$value[match(measures$rank, usable)]
  new_rank_estimate(measures, ranked$fits, list(cv = cv$value, bicv = bicv$value),
                    c("held-out error" = cv$reason, "bi-cross-validation" = bicv$reason,
                      "null" = null$reason), settings, call)
}

# Arguments for nmf() that this verb does not set itself.
check_rank_dots <- function(more, .call = caller_env()) {
  own <- intersect(names(more), c("x", "rank", "keep_all", "keep_x"))
  if (length(own) || (length(more) && !all(nzchar(names(more) %||% "")))) {
    stop_user("argument", "Further arguments must be named ones of `nmf()`.",
              x = if (length(own)) paste0("Set for every rank: ", some_of(own), "."), .call = .call)
  }
  more
}

measure_ranks <- function(x, fitting, settings) {
  ranks <- settings$ranks
  progress <- progress_bar("Runs x ranks", length(ranks) * settings$nrun, settings$verbose)
  fits <- tables <- list()
  for (at in seq_along(ranks)) {
    found <- measure_rank(x, ranks[at], fitting, settings)
    fits[[as.character(ranks[at])]] <- found$fit
    tables[[at]] <- found$measures
    progress(at * settings$nrun)
  }
  list(measures = do.call(rbind, tables), fits = fits)
}

check_ranks <- function(ranks, .call = caller_env()) {
  ok <- is.numeric(ranks) && length(ranks) && !anyNA(ranks) && all(ranks >= 1) &&
    all(ranks == round(ranks))
  if (!ok) {
    stop_user("argument", "`ranks` must be whole numbers of at least 1.",
              x = paste0("They are ", describe(ranks), "."), .call = .call)
  }
  sort(unique(ranks))
}

check_folds <- function(folds, .call = caller_env()) {
  folds <- check_count(folds, "folds", min = 0, .call = .call)
  if (folds %in% 1:2) {
    stop_user("argument", "`folds` must be 0 or at least 3.", x = paste0("It is ", folds, "."),
              i = "Fewer than three folds give no usable standard error.", .call = .call)
  }
  folds
}

check_blocks <- function(blocks, .call = caller_env()) {
  blocks <- check_count(blocks, "blocks", min = 0, .call = .call)
  if (blocks == 1) {
    stop_user("argument", "`blocks` must be 0 or at least 2.", x = "It is 1.", .call = .call)
  }
  blocks
}

# The value, or the reason why there is none.
safely <- function(expr) {
  tryCatch(list(value = expr), error = function(e) list(value = NULL, reason = conditionMessage(e)))
}

# One rank: the best fit, without its other runs, and a row of measures.
measure_rank <- function(x, rank, fitting, settings) {
  fit <- tryCatch(
    withCallingHandlers(
      fitting(x, rank, settings$nrun, keep_all = TRUE),
      # told of once, for all ranks
      unalloy_warning_not_converged = function(w) rlang::cnd_muffle(w)
    ),
    error = function(e) e
  )
  if (inherits(fit, "error")) {
    reason <- sub("\n.*", "", conditionMessage(fit))
    detail <- rlang::cnd_body(fit)
    return(list(measures = rank_row(rank, reason = paste(c(reason, detail), collapse = " "))))
  }
  matched <- matched_cosines(fit)
  fit$fits <- NULL
  labels <- fit$membership
  values <- unclass(summary(fit, data = x))
  several <- ncol(labels) > 1L
  list(fit = fit, measures = rank_row(
    rank, residuals = fit$objective, residuals.sd = stats::sd(fit$runs$objective),
    rss = values[["rss"]], evar = values[["evar"]],
    cophenetic = if (several) values[["cophenetic"]],
    cophenetic.se = if (several && nrow(labels) <= COLLAPSE_FROM) jackknife(labels, cophenetic_of),
    dispersion = if (several) values[["dispersion"]],
    dispersion.se = if (several) jackknife(labels, dispersion_of),
    silhouette.consensus = if (several) values[["silhouette.consensus"]],
    silhouette.coef = values[["silhouette.coef"]], silhouette.basis = values[["silhouette.basis"]],
    sparseness.basis = values[["sparseness.basis"]], sparseness.coef = values[["sparseness.coef"]],
    stability = if (several) mean(matched), stability.se = if (several) standard_error(matched),
    converged = mean(fit$runs$converged), cpu = sum(fit$runs$cpu)
  ))
}

rank_row <- function(rank, ..., reason = NA_character_) {
  given <- list(...)
  values <- lapply(stats::setNames(RANK_MEASURES, RANK_MEASURES), function(name) {
    given[[name]] %||% NA_real_
  })
  cbind(data.frame(rank = rank), as.data.frame(values), data.frame(reason = reason))
}

# Standard error of a function of the runs.
jackknife <- function(labels, f) {
  n <- ncol(labels)
  if (n < 3L) return(NA_real_)
  values <- vapply(seq_len(n), function(run) f(labels[, -run, drop = FALSE]), 0)
  sqrt((n - 1) / n * sum((values - mean(values))^2))
}

# For each run, the mean cosine of its metagenes with those of the other runs,
# matched one to one.
matched_cosines <- function(fit) {
  bases <- lapply(fit$fits, function(factors) {
    norm <- sqrt(colSums(factors$basis^2))
    sweep(factors$basis, 2L, ifelse(norm > 0, norm, 1), "/")
  })
  n <- length(bases)
  cosines <- matrix(NA_real_, n, n)
  for (i in seq_len(n - 1L)) {
    for (j in seq(i + 1L, n)) {
      cosine <- crossprod(bases[[i]], bases[[j]])
      pairs <- call_rs(rs_best_assignment, similarity = cosine)
      cosines[i, j] <- cosines[j, i] <- mean(cosine[cbind(seq_along(pairs), pairs)])
    }
  }
  rowMeans(cosines, na.rm = TRUE)
}

# Means and standard errors over folds, per rank.
join_errors <- function(measures, errors, name) {
  if (is.null(errors)) return(measures)
  by_rank <- split(errors$error, errors$rank)
  at <- match(measures$rank, names(by_rank))
  measures[[paste0(name, ".error")]] <- vapply(by_rank, mean, 0)[at]
  measures[[paste0(name, ".se")]] <- vapply(by_rank, standard_error, 0)[at]
  measures
}

warn_of_ranks <- function(measures, fits, .call = caller_env()) {
  failed <- is.na(measures$residuals)
  if (any(failed)) {
    warn_user("rank_failed", paste0("Not fitted: rank ", toString(measures$rank[failed]), "."),
              x = measures$reason[failed][1L], .call = .call)
  }
  unsettled <- vapply(fits, function(fit) !fit$runs$converged[best_run(fit)], NA)
  if (any(unsettled)) {
    warn_user("not_converged", "The best run ended before it met its stopping rule.",
              x = paste0("Rank ", toString(names(fits)[unsettled]), "."),
              i = "Raise `max_iter`, or compare ranks by their held-out error.", .call = .call)
  }
}
