# A deconvolution as R's own verbs for matrices take it: types x samples.

# Tables of types x samples in a result, with every source or with the types alone.
TABLE_SHARES <- c("proportions", "cell_fractions", "column_shares", "proportions_with_intercept",
                  "exposures")

# Metrics that do not depend on which samples there are, and those per sample.
GENE_METRICS <- c("n_genes_used", "n_genes_excluded")
SAMPLE_METRICS <- c("gene_correlation", "rmse", "nrmse", "count_ratio")

#' Deconvolutions as tables
#'
#' Types are rows and samples are columns, as in `proportions`.
#'
#' `cbind()` and `c()` join results over the same genes, signatures and settings, so that
#' samples that were fitted apart are printed, tested and drawn together. With the platform
#' error model the variance of its factors must be the same too: fit further samples with
#' [predict()][predict.deconvolution], or all together.
#'
#' @param x A [deconvolution].
#' @param ... For `c()` and `cbind()`: [deconvolution]s; else none.
#' @param deparse.level For agreement with the generic.
#' @return `as.matrix()`: types × samples, the shares that are printed (of cells where their
#'   sizes are known, else of mRNA); `t()`: samples × types; `dim()`, `dimnames()` those of
#'   the former. `c()`, `cbind()`: a [deconvolution].
#' @section Errors: `unalloy_error_models` for results that do not fit together,
#'   `unalloy_error_samples` for samples of the same name.
#' @name deconvolution_tables
#' @seealso [coef()][coef.deconvolution] for other kinds of shares,
#'   `as.data.frame()` and [tidy()] for a row per type and sample.
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 4, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' fit <- function(samples) {
#'   deconvolve_bulk(signatures, sim$bulk_counts[, samples], error_model = "poisson",
#'                   length_exponent = 0, verbose = FALSE)
#' }
#' dim(fit(1:4))
#' t(fit(1:4))
#' cbind(fit(1:2), fit(3:4))
NULL

#' @rdname deconvolution_tables
#' @export
as.matrix.deconvolution <- function(x, ...) {
  refuse_dots(...)
  x[[main_share(x)]]
}

#' @rdname deconvolution_tables
#' @export
t.deconvolution <- function(x) t(as.matrix(x))

#' @rdname deconvolution_tables
#' @export
dim.deconvolution <- function(x) dim(unclass(x)$proportions)

#' @rdname deconvolution_tables
#' @export
dimnames.deconvolution <- function(x) dimnames(unclass(x)$proportions)

#' @rdname deconvolution_tables
#' @export
c.deconvolution <- function(...) join_deconvolutions(list(...))

#' @rdname deconvolution_tables
#' @export
cbind.deconvolution <- function(..., deparse.level = 1) join_deconvolutions(list(...))

# The samples of x[i, j]: rows are types, and shares of some types are no result.
only_samples <- function(rows, columns, .call = caller_env()) {
  if (!is.null(rows)) {
    stop_user("argument", "A deconvolution has all its types.",
              x = paste0("Asked for ", some_of(rows), "."),
              i = "`as.matrix(x)[types, samples]` gives their shares.", .call = .call)
  }
  columns
}

join_deconvolutions <- function(results, .call = caller_env()) {
  for (result in results) check_result(result, "...", .call = .call)
  parts <- lapply(results, unclass)
  out <- parts[[1L]]
  if (length(parts) == 1L) return(results[[1L]])
  joinable(parts, .call)
  join <- function(field, by) do.call(by, lapply(parts, `[[`, field))
  for (field in intersect(TABLE_SHARES, names(out))) out[[field]] <- join(field, cbind)
  out$intercept_fraction <- join("intercept_fraction", c)
  for (field in c("convergence", "trace")) out[[field]] <- join(field, rbind)
  metrics <- lapply(parts, `[[`, "metrics")
  per_sample <- lapply(SAMPLE_METRICS, function(name) unlist(lapply(metrics, `[[`, name)))
  out$metrics <- c(metrics[[1L]][GENE_METRICS], stats::setNames(per_sample, SAMPLE_METRICS))
  kept <- lapply(parts, `[[`, "counts")
  out$counts <- if (!any(vapply(kept, is.null, NA))) {
    as_bulk(do.call(cbind, lapply(kept, `[[`, "source")), .call = .call)
  }
  data <- lapply(parts, `[[`, "sample_data")
  alike <- vapply(data, function(one) identical(names(one), names(data[[1L]])), NA)
  out$sample_data <- if (all(alike)) do.call(rbind, data)
  structure(out[!vapply(out, is.null, NA)], class = "deconvolution")
}

# Results fit together when they are what one run over all their samples would give.
joinable <- function(parts, .call) {
  checks <- list(
    "error model" = function(part) part$error_model,
    "signatures, genes or variances" = function(part) {
      part$model[c("sources", "weights", "length_factor", "tau2")]
    },
    "mRNA contents of cells" = function(part) part$cell_size
  )
  for (name in names(checks)) {
    of <- lapply(parts, checks[[name]])
    other <- which(!vapply(of, function(one) isTRUE(all.equal(one, of[[1L]])), NA))
    if (length(other)) {
      stop_user("models", "The results do not fit together.",
                x = paste0("Result ", other[1L], " has another ", name, " than the first."),
                i = "Fit all samples in one call, or new ones with `predict()`.", .call = .call)
    }
  }
  samples <- unlist(lapply(parts, function(part) part$convergence$sample))
  if (anyDuplicated(samples)) {
    stop_user("samples", "Samples must have names of their own.",
              x = paste0("Twice: ", some_of(unique(samples[duplicated(samples)])), "."),
              .call = .call)
  }
}
