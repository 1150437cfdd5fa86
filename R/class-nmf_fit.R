# What nmf() returns: its parts, and how it is read.
# nolint start: object_name_linter. Methods, and names that others chose.

#' The result of a non-negative matrix factorisation
#'
#' What [nmf()] returns, X ~ WH, and how to get at its parts. The functions have
#' the names and defaults of package NMF, so scripts written for it run.
#'
#' @details
#' An `nmf_fit` is a list:
#' \describe{
#'   \item{`basis`}{W, features × rank: the metagenes.}
#'   \item{`coef`}{H, rank × samples. Components stand in the order of their share
#'     of the fitted total, the largest first.}
#'   \item{`rank`, `method`, `loss`, `objective`}{The loss is `"frobenius"`, with
#'     objective ½|X - WH|², or `"kl"`, with the generalised Kullback-Leibler
#'     divergence.}
#'   \item{`theta`, `offset`}{Smoothing of `"nsNMF"`; constant per feature of
#'     `"offset"`.}
#'   \item{`runs`}{Data frame, a row per run: `run`, `objective`, `kkt` (residual of
#'     the optimality conditions, free of scale), `iterations`, `converged`,
#'     `reason`, `cpu` (seconds). The parts above are those of the best run.}
#'   \item{`trace`}{Data frame: objective by iteration in the best run.}
#'   \item{`membership`}{Samples × runs: the component that contributes most to the
#'     sample. All that [consensus()] needs.}
#'   \item{`x`}{The data, unless `keep_x = FALSE`.}
#' }
#'
#' @param object,x An `nmf_fit`.
#' @param samples Samples to return, by name or number; all by default. The
#'   fitted matrix is dense, so large data are better read in parts.
#' @param track Return the objective of each iteration?
#' @param type `"objective"`, as NMF does it, or `"response"`, the matrix X - WH.
#' @param data The data, when the fit was told not to keep them.
#' @param what For `predict()`: `"samples"` gives the component that contributes
#'   most to the fitted total of a sample, \eqn{H_{kj} \sum_i W_{ik}}, which does not depend
#'   on how components are scaled (where columns of W have the same sum, it is the largest
#'   coefficient); `"features"` the largest basis value, `"consensus"` cuts the
#'   average-linkage tree of the consensus matrix into as many clusters as
#'   there are components, `"coef"` gives coefficients. NMF's `"columns"`, `"rows"`
#'   and `"chc"` mean samples, features and consensus.
#' @param newdata New samples, in any form that [nmf()] takes, or a vector for one
#'   sample, with the features of the fit (matched by name where both have names). Their
#'   coefficients are the exact optimum for the loss of the fit with W held fixed;
#'   `what` is then `"coef"` (the default) or `"samples"`.
#' @param prob For samples and features: return a list of `predict` and `prob`, the
#'   share of that component?
#' @param digits Digits of the explained variation.
#' @param ... None: other arguments are refused.
#' @return `basis()`, `coef()`, `fitted()`: matrices; `nbasis()`: the rank; `dim()`:
#'   features, samples, rank. `residuals()`: a number, with `track` a vector.
#'   `predict()`: a factor with levels `"1"` to the rank, or the matrix of
#'   coefficients.
#' @section Errors: `unalloy_error_argument`, `unalloy_error_missing_data` when a
#'   function needs the data and the fit has not kept them,
#'   `unalloy_error_features` when `newdata` lacks features of the fit.
#' @seealso [nmf()]; [summary.nmf_fit()] for measures, [consensus.nmf_fit()] for
#'   stability, [featureScore.nmf_fit()] and [top_features()] for the genes of a
#'   component, [basismap.nmf_fit()] for pictures, [as_reduction()] for Seurat and
#'   SingleCellExperiment.
#' @name nmf_fit
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 12, seed = 1)
#' fit <- nmf(sim$bulk_counts, rank = 3, nrun = 3, seed = 1)
#' fit
#' dim(basis(fit))
#' round(coef(fit)[, 1:4])
#' table(predict(fit))
#' predict(fit, newdata = sim$bulk_counts[, 1:2])
NULL

#' @rdname nmf_fit
#' @export
basis.nmf_fit <- function(object, ...) {
  refuse_dots(...)
  object$basis
}

#' @rdname nmf_fit
#' @export
coef.nmf_fit <- function(object, ...) {
  refuse_dots(...)
  object$coef
}

#' @rdname nmf_fit
#' @export
nbasis.nmf_fit <- function(x, ...) {
  refuse_dots(...)
  x$rank
}

#' @rdname nmf_fit
#' @export
dim.nmf_fit <- function(x) c(nrow(x$basis), ncol(x$coef), x$rank)

#' @rdname nmf_fit
#' @export
dimnames.nmf_fit <- function(x) list(rownames(x$basis), colnames(x$coef), colnames(x$basis))

#' @rdname nmf_fit
#' @export
fitted.nmf_fit <- function(object, samples = NULL, ...) {
  refuse_dots(...)
  check_factors(object, "object")
  at <- sample_places(samples, object)
  means <- smoothed_basis(object) %*% object$coef[, at, drop = FALSE]
  if (!is.null(object$offset)) means <- means + object$offset
  dimnames(means) <- list(rownames(object$basis), colnames(object$coef)[at])
  means
}

#' @rdname nmf_fit
#' @export
residuals.nmf_fit <- function(object, track = FALSE, type = c("objective", "response"),
                              data = NULL, ...) {
  refuse_dots(...)
  check_factors(object, "object")
  type <- check_choice(type, c("objective", "response"), "type")
  if (type == "response") return(as.matrix(data_of(object, data)) - fitted(object))
  if (check_flag(track, "track")) {
    return(stats::setNames(object$trace$objective, object$trace$iteration))
  }
  object$objective
}

#' @rdname nmf_fit
#' @export
predict.nmf_fit <- function(object, what = c("samples", "features", "consensus", "coef", "columns",
                                             "rows", "chc"),
                            newdata = NULL, prob = FALSE, ...) {
  refuse_dots(...)
  if (is.matrix(what) || methods::is(what, "Matrix")) {
    newdata <- what
    what <- "coef"
  } else if (missing(what) && !is.null(newdata)) {
    what <- "coef"
  }
  what <- check_choice(what, eval(formals()$what), "what")
  what <- switch(what, columns = "samples", rows = "features", chc = "consensus", what)
  if (!is.null(newdata) && !what %in% c("samples", "coef")) {
    stop_user("argument", "`newdata` can have coefficients and labels only.",
              x = paste0("`what` is \"", what, "\"."))
  }
  # the runs alone tell
  if (what == "consensus") return(consensus_clusters(object))
  check_factors(object, "object")
  values <- if (what == "features") {
    t(object$basis)
  } else if (is.null(newdata)) {
    object$coef
  } else {
    coefficients_of(object, newdata)
  }
  if (what == "coef") return(values)
  if (what == "samples") values <- values * colSums(object$basis)
  labels <- largest_component(values)
  if (!check_flag(prob, "prob")) return(labels)
  total <- colSums(values)
  list(predict = labels,
       prob = stats::setNames(values[cbind(as.integer(labels), seq_along(labels))] / total,
                              colnames(values)))
}

#' @rdname nmf_fit
#' @export
print.nmf_fit <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  runs <- x$runs
  best <- best_run(x)
  cat("NMF of ", plural(nrow(x$basis), "feature"), " x ", plural(ncol(x$coef), "sample"),
      ", rank ", x$rank, " (method \"", x$method, "\")\n", sep = "")
  cat(if (nrow(runs) > 1L) paste0("Best of ", nrow(runs), " runs: "), loss_text(x$loss), " ",
      format(x$objective, digits = 7), ", KKT residual ", format(runs$kkt[best], digits = 2), " (",
      runs$reason[best], " after ", plural(runs$iterations[best], "iteration"), ")\n", sep = "")
  if (!all(runs$converged)) {
    cat("NOT converged in ", sum(!runs$converged), " of ", plural(nrow(runs), "run"), "\n",
        sep = "")
  }
  if (!is.null(x$x)) {
    cat("Explained variation: ", format(round(evar(x), digits)), "\n", sep = "")
  }
  sizes <- table(predict(x))
  cat("Samples by component: ",
      paste0(colnames(x$basis), " ", as.vector(sizes), collapse = ", "), "\n", sep = "")
  cat("Parts: basis(), coef(), predict(), summary(), consensus(), top_features()\n")
  invisible(x)
}

loss_text <- function(loss) {
  switch(loss, kl = "Kullback-Leibler divergence", frobenius = "half squared error", loss)
}

# Column numbers of the samples asked for.
sample_places <- function(samples, fit, .call = caller_env()) {
  n <- ncol(fit$coef)
  if (is.null(samples)) return(seq_len(n))
  at <- if (is.character(samples)) match(samples, colnames(fit$coef)) else samples
  if (is.logical(at) && length(at) == n) at <- which(at)
  ok <- is.numeric(at) && !anyNA(at) && all(at %in% seq_len(n))
  if (!ok) {
    unknown <- if (is.character(samples)) some_of(samples[is.na(at)]) else describe(samples)
    stop_user("argument", "`samples` must be names or numbers of samples in the fit.",
              x = paste0("Given: ", unknown, "."), .call = .call)
  }
  at
}

# Exact coefficients of new samples on the basis of the fit.
coefficients_of <- function(fit, newdata, .call = caller_env()) {
  newdata <- aligned_features(fit, newdata, .call = .call)
  values <- fixed_coefficients(smoothed_basis(fit), fit$offset, newdata, fit$loss, .call = .call)
  dimnames(values) <- list(rownames(fit$coef), colnames(newdata))
  values
}

# The rows of new data in the order of the basis.
aligned_features <- function(fit, newdata, .call = caller_env()) {
  non_negative_values(newdata, fit$basis, nmf_method(fit$method)$prefer, "`newdata`",
                      .call = .call)
}

named_components <- function(labels, fit) {
  factor(colnames(fit$basis)[as.integer(labels)], colnames(fit$basis))
}
# nolint end
