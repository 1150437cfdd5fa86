#' Results of a deconvolution
#'
#' What [deconvolve_bulk()] returns, and what can be done with it. All shares
#' named `proportions` are shares of mRNA, not of cells; where the mRNA per cell is known
#' (see `cell_size`), `cell_fractions` are shares of cells and come first in prints, plots
#' and tables.
#'
#' @details
#' A `deconvolution` is a list:
#' \describe{
#'   \item{`exposures`}{Sources (types, backgrounds, `"Intercept"`) × samples, in
#'     molecules.}
#'   \item{`proportions`}{Types × samples: \eqn{e_j / \sum_{types} e}, shares of
#'     mRNA.}
#'   \item{`proportions_with_intercept`}{The same over all sources.}
#'   \item{`intercept_fraction`}{The intercept's share of all sources, per sample.}
#'   \item{`cell_fractions`}{With `cell_size` \eqn{s_j}: shares of cells
#'     \eqn{q_j \propto e_j / s_j}; else absent.}
#'   \item{`column_shares`}{For signatures given as a matrix, whose columns sum to
#'     \eqn{t_j}: shares in units of these columns, \eqn{\propto e_j / t_j}; else absent.}
#'   \item{`pred_counts`}{Fitted counts \eqn{\mu}, genes × samples, computed when
#'     asked for.}
#'   \item{`metrics`}{Fit over the genes that carry weight. Per sample:
#'     `gene_correlation` (Pearson, observed and fitted across genes), `rmse`,
#'     `nrmse` (per mean count), `count_ratio` (fitted per observed total). Over
#'     all: `global_correlation`, `r_squared`, `pseudo_r2` (1 - deviance / null
#'     deviance, the null being the uniform background), `mape` (mean of
#'     \eqn{|k - \mu| / (k + 1)}, in percent), `mean_sample_correlation` (across
#'     samples, mean over genes), and means and medians of the others.}
#'   \item{`convergence`}{Per sample: `iterations`, `gap` (certified bound on the
#'     distance of the objective to its optimum, in log-likelihood units),
#'     `converged` (the gap meets `ll_tolerance`), `reason`, `loglik`
#'     (\eqn{\sum w (k \log\mu - \mu)}), `null_deviance`, `deviance`.}
#'   \item{`trace`}{Per sample and polled iteration: `objective` (minus F,
#'     penalties included) and `gap`.}
#'   \item{`error_model`}{`"poisson"` or `"platform"`; with the latter `gap` is the
#'     decrease of the objective that its quadratic model still promises, and
#'     `converged` means a stationary point.}
#'   \item{`length_profile`}{With `protocol = "auto"`: deviance per exponent.}
#'   \item{`genes`}{How genes were matched.}
#'   \item{`sample_data`}{What is known of the samples, see [sample_data()].}
#'   \item{`model`, `settings`, `counts`, `signatures`, `call`}{What fitted values
#'     and intervals are computed from.}
#' }
#'
#' @param object,x A `deconvolution`.
#' @param i,j Samples to keep: names, numbers or logicals; `x[, j]` is the same as `x[j]`.
#' @param samples Samples to return; all by default.
#' @param type For `residuals()`: `"response"` (\eqn{k - \mu}), `"pearson"`
#'   (\eqn{(k - \mu) / \sqrt\mu}) or `"deviance"`. For `predict()`: what to
#'   return.
#' @param sink `NULL` returns a matrix. The path of an HDF5 file: values are found and
#'   written a block of samples at a time, as the dataset `"fitted"` or `"residuals"`, and
#'   returned as a `DelayedMatrix` on it, so that memory does not grow with the cohort.
#'   Names of rows and columns are in `"fitted_names/1"` and `/2`.
#' @param newdata New bulk counts, to be deconvolved with the same model and
#'   settings; `NULL` stands for the samples of the fit. Genes are found by name and
#'   must have every gene that carries weight; counts without names must have the
#'   rows of the counts of the fit.
#' @param what For `coef()`, `as.data.frame()`: which shares.
#' @param name Component.
#' @param digits Digits that are printed.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return
#'   `fitted()` and `residuals()`: genes × samples, with `sink` on disk. `coef()`:
#'   sources × samples.
#'   `predict()`: `proportions` or `exposures` of new samples, or their fitted
#'   `counts`. `logLik()`: Poisson log-likelihood (weighted), with the number of
#'   non-zero exposures as degrees of freedom. `nobs()`: counts that the fit
#'   used. `as.data.frame()`: a row per type and sample. `[`: the same result for
#'   fewer samples.
#' @section Errors: `unalloy_error_no_counts` when the counts are needed but
#'   were not kept (`keep_counts = FALSE`), `unalloy_error_gene_names` when `newdata`
#'   lacks genes; `unalloy_error_unwritable` for a `sink` that can't be written to or has
#'   such a dataset already. `unalloy_error_argument` for arguments that do not exist.
#' @name deconvolution
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' summary(result)
#' head(as.data.frame(result))
#' dim(result$pred_counts)
#' quantile(residuals(result, "pearson"))
#' predict(result, sim$bulk_counts[, 1, drop = FALSE])
NULL

new_deconvolution <- function(fit, model, bulk, settings, sizes, keep_counts, unit, call,
                              signatures = NULL) {
  bulk$plan <- NULL
  bulk$totals <- fit$totals %||% bulk$totals
  exposures <- fit$exposures
  dimnames(exposures) <- list(colnames(model$sources), bulk$samples)
  parts <- shares_of(exposures, model$n_types, sizes$sizes, signatures$totals)
  genes <- c(model$matching["genes"], model$matching$report, list(unit = unit))
  result <- c(list(exposures = exposures), parts, list(
    metrics = fit_metrics(fit, model, bulk$samples),
    convergence = data.frame(
      sample = bulk$samples, iterations = fit$iterations, gap = fit$gap,
      converged = fit$reason %in% c("certified", "stationary"), reason = fit$reason,
      loglik = fit$loglik,
      null_deviance = fit$null_deviance, deviance = fit$deviance
    ),
    trace = data.frame(
      sample = bulk$samples[fit$trace$sample], iteration = fit$trace$iteration,
      objective = fit$trace$objective, gap = fit$trace$gap
    ),
    length_profile = model$length_profile, genes = genes,
    error_model = if (is.null(fit$tau2)) "poisson" else "platform",
    model = c(model[intersect(names(model), MODEL_FIELDS)], list(tau2 = fit$tau2)),
    settings = settings, cell_size = sizes$sizes, cell_size_error = sizes$error,
    cell_size_source = sizes[c("source", "doubt")],
    counts = if (keep_counts) bulk, signatures = signatures, call = call
  ))
  result <- structure(result[!vapply(result, is.null, NA)], class = "deconvolution")
  result$gene_error <- gene_error(result$model, exposures, bulk)
  result
}

# What fitted values, predictions and intervals need of the model.
MODEL_FIELDS <- c("sources", "n_types", "lengths", "length_factor", "length_exponent", "weights",
                  "insert_size", "matching", "variance", "discount", "reference")

# mRNA per cell and the covariance of its log error, as cell_sizes() gives them.
sizes_of <- function(object) {
  if (is.null(object$cell_size)) return(NULL)
  list(sizes = object$cell_size, error = object$cell_size_error)
}

# Every kind of share of the exposures (sources x samples).
shares_of <- function(exposures, n_types, sizes, totals = NULL) {
  types <- exposures[seq_len(n_types), , drop = FALSE]
  with_intercept <- normalise_columns(exposures)
  has_intercept <- "Intercept" %in% rownames(exposures)
  intercept <- stats::setNames(
    if (has_intercept) with_intercept["Intercept", ] else rep(0, ncol(exposures)),
    colnames(exposures)
  )
  list(
    proportions = normalise_columns(types), proportions_with_intercept = with_intercept,
    intercept_fraction = intercept,
    cell_fractions = if (!is.null(sizes)) normalise_columns(types / sizes),
    column_shares = if (!is.null(totals)) normalise_columns(types / totals)
  )
}

#' @rdname deconvolution
#' @export
`$.deconvolution` <- function(x, name) {
  if (identical(name, "pred_counts")) return(fitted(x))
  part_of(x, name)
}

#' @rdname deconvolution
#' @export
`[[.deconvolution` <- function(x, i) {
  if (identical(i, "pred_counts")) return(fitted(x))
  unclass(x)[[i]]
}

#' @rdname deconvolution
#' @export
`[.deconvolution` <- function(x, i, j) {
  samples <- x$convergence$sample
  if (nargs() > 2L) i <- only_samples(if (!missing(i)) i, if (missing(j)) samples else j)
  kept <- sample_index(i, samples)
  out <- unclass(x)
  for (field in intersect(TABLE_SHARES, names(out))) {
    out[[field]] <- out[[field]][, kept, drop = FALSE]
  }
  out$intercept_fraction <- out$intercept_fraction[kept]
  out$convergence <- out$convergence[kept, , drop = FALSE]
  rownames(out$convergence) <- NULL
  out$trace <- out$trace[out$trace$sample %in% samples[kept], , drop = FALSE]
  # Metrics over all samples are those of the whole fit, which is no longer here.
  out$metrics <- c(out$metrics[GENE_METRICS],
                   lapply(out$metrics[SAMPLE_METRICS], function(values) values[kept]))
  if (!is.null(out$counts)) out$counts <- bulk_subset(out$counts, kept)
  if (!is.null(out$sample_data)) out$sample_data <- out$sample_data[kept, , drop = FALSE]
  structure(out, class = "deconvolution")
}

#' @rdname deconvolution
#' @export
coef.deconvolution <- function(object, what = c("exposures", "proportions",
                                                "proportions_with_intercept",
                                                "cell_fractions", "column_shares"), ...) {
  refuse_dots(...)
  what <- check_choice(what, eval(formals()$what), "what")
  need_share(object, what)
  object[[what]]
}

#' @rdname deconvolution
#' @export
fitted.deconvolution <- function(object, samples = NULL, ..., sink = NULL) {
  refuse_dots(...)
  check_intact(object, "object")
  here <- environment()
  kept <- asked_samples(object, samples)
  if (is.null(sink)) return(fitted_counts(object, kept, here))
  write_by_samples(object, kept, check_sink(sink), "fitted", function(columns) {
    fitted_counts(object, columns, here)
  }, here)
}

#' @rdname deconvolution
#' @export
residuals.deconvolution <- function(object, type = c("response", "pearson", "deviance"),
                                    samples = NULL, ..., sink = NULL) {
  refuse_dots(...)
  type <- check_choice(type, c("response", "pearson", "deviance"), "type")
  check_intact(object, "object")
  here <- environment()
  kept <- asked_samples(object, samples)
  of <- function(columns) {
    residuals_between(observed_counts(object, columns, .call = here),
                      fitted_counts(object, columns, here), type)
  }
  if (is.null(sink)) return(of(kept))
  kept_counts(object)
  write_by_samples(object, kept, check_sink(sink), "residuals", of, here)
}

# Positions of the samples asked for.
asked_samples <- function(object, samples, .call = caller_env()) {
  all <- object$convergence$sample
  if (is.null(samples)) seq_along(all) else sample_index(samples, all, .call = .call)
}

fitted_counts <- function(object, columns, .call) {
  exposures <- object$exposures[, columns, drop = FALSE]
  means <- call_rs(rs_fitted, signatures = object$model$sources,
                   lengths = object$model$length_factor, exposures = exposures, .call = .call)
  dimnames(means) <- list(rownames(object$model$sources), colnames(exposures))
  means
}

residuals_between <- function(observed, mean, type) {
  raw <- observed - mean
  switch(type,
    response = raw,
    pearson = ifelse(mean > 0, raw / sqrt(mean), 0),
    deviance = {
      logs <- ifelse(observed > 0, observed * log(observed / mean), 0)
      sign(raw) * sqrt(pmax(0, 2 * (logs - raw)))
    }
  )
}

# Samples whose fitted counts the core finds together; the last group has the rest, too.
FITTED_BLOCK <- 64L

# Writes `of(columns)`, genes x samples, for all columns to an HDF5 file, in blocks of which
# a few fit at a time; the dataset as a DelayedMatrix.
write_by_samples <- function(object, columns, path, name, of, .call) {
  genes <- rownames(object$model$sources)
  names <- list(genes, object$convergence$sample[columns])
  at_a_time <- max(1, floor(disk_block(.call) / (4 * 8 * length(genes) * FITTED_BLOCK)))
  size <- at_a_time * FITTED_BLOCK
  n <- max(1, length(columns) %/% size)
  block <- pmin((seq_along(columns) - 1L) %/% size, n - 1L)
  write_array(path, name, names, c(SINK_GENES, SINK_SAMPLES), function(write) {
    for (at in split(seq_along(columns), block)) write(of(columns[at]), c(1L, at[1L]))
  }, .call = .call)
}

#' @rdname deconvolution
#' @export
predict.deconvolution <- function(object, newdata = NULL,
                                  type = c("proportions", "exposures", "counts"), ...) {
  refuse_dots(...)
  type <- check_choice(type, c("proportions", "exposures", "counts"), "type")
  check_intact(object, "object")
  if (!is.null(newdata)) object <- refit(object, newdata)
  if (type == "counts") fitted(object) else object[[type]]
}

# The same model and settings for other samples.
refit <- function(object, newdata, plan = NULL, .call = caller_env()) {
  bulk <- as_bulk(newdata, .call = .call)
  bulk$plan <- plan
  fit <- list(misjudged = bulk)
  while (!is.null(fit$misjudged)) {
    bulk <- cleaned_alike(object, fit$misjudged, "newdata", .call)$bulk
    model <- match_to_model(object$model, bulk, object$model$weights > 0, "newdata",
                            .call = .call)
    fit <- run_whole_fit(model, bulk, object$settings, FALSE, .call)
  }
  new_deconvolution(fit, model, bulk, object$settings, sizes_of(object), TRUE, bulk$unit,
                    object$call, object$signatures)
}

#' @rdname deconvolution
#' @export
logLik.deconvolution <- function(object, ...) {
  refuse_dots(...)
  check_intact(object, "object")
  observed <- observed_counts(object)
  constant <- sum(object$model$weights * lgamma(observed + 1))
  structure(sum(object$convergence$loglik) - constant, df = sum(object$exposures > 0),
            nobs = nobs(object), class = "logLik")
}

#' @rdname deconvolution
#' @export
nobs.deconvolution <- function(object, ...) {
  refuse_dots(...)
  check_intact(object, "object")
  object$metrics$n_genes_used * nrow(object$convergence)
}

#' @rdname deconvolution
#' @export
as.data.frame.deconvolution <- function(x, row.names = NULL, optional = FALSE,
                                        what = NULL, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  what <- share_asked_for(what, x, choices = TABLE_SHARES)
  shares <- coef(x, what)
  column <- c(proportions = "proportion", cell_fractions = "fraction", column_shares = "proportion",
              proportions_with_intercept = "proportion", exposures = "exposure")[[what]]
  long_shares(shares, column)
}
