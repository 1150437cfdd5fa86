# Fits of one matrix by several methods.
# nolint start: object_name_linter. Methods, and names that others chose.

# `failures`: what the methods that have no fit said, named by method.
new_nmf_fits <- function(fits, failures = character()) {
  structure(fits, failures = failures, class = "nmf_fits")
}

#' Factorisations of one matrix by several methods
#'
#' What [nmf()] returns for several methods: a named list of [nmf_fit]s. `compare()` sets
#' their measures side by side.
#'
#' @details Objectives of different losses are not comparable; `rss` and `evar` are the
#'   same measure for all, which the methods of the Frobenius loss minimise. Stability
#'   (`cophenetic`, `dispersion`) and `purity` compare across losses.
#'
#' @param object,x An `nmf_fits`.
#' @param class Known classes of the samples, for `purity` and `entropy`.
#' @param data The data, when the fits were told not to keep them.
#' @param ... None: other arguments are refused. For the maps, arguments of
#'   [consensusmap()][basismap.nmf_fit].
#' @param row.names,optional For agreement with the generic; row names are refused.
#' @return `compare()`, `summary()`, `tidy()` and `as.data.frame()`: a data frame with a row
#'   per method, `method`, `loss`, and the measures of [summary.nmf_fit()].
#'   `consensusmap()` and `plot()`: a picture per method.
#' @section Errors: `unalloy_error_missing_data`, `unalloy_error_argument`.
#' @seealso [nmf()], [compare_factorisations()] for which component of one is which of
#'   another.
#' @name nmf_fits
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 20, seed = 1)
#' fits <- nmf(sim$bulk_counts, rank = 3, method = c("brunet", "lee", "hals"), nrun = 3, seed = 1)
#' fits
#' majority <- rownames(sim$truth_mrna)[max.col(t(sim$truth_mrna))]
#' compare(fits, class = majority)[c("method", "evar", "purity")]
#' predict(fits$lee)
NULL

#' @rdname nmf_fits
#' @export
compare.nmf_fits <- function(object, class = NULL, data = NULL, ...) {
  refuse_dots(...)
  rows <- lapply(object, function(fit) unclass(summary(fit, class = class, data = data)))
  columns <- unique(unlist(lapply(rows, names)))
  values <- lapply(stats::setNames(nm = columns), function(name) {
    unname(vapply(rows, function(row) row[name], 0))
  })
  data.frame(method = names(object), loss = unname(vapply(object, `[[`, "", "loss")), values)
}

#' @rdname nmf_fits
#' @export
summary.nmf_fits <- function(object, class = NULL, data = NULL, ...) {
  refuse_dots(...)
  compare.nmf_fits(object, class, data)
}

#' @rdname nmf_fits
#' @export
as.data.frame.nmf_fits <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  compare.nmf_fits(x)
}

#' @rdname nmf_fits
#' @export
tidy.nmf_fits <- function(x, ...) {
  refuse_dots(...)
  compare.nmf_fits(x)
}

#' @rdname nmf_fits
#' @export
print.nmf_fits <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  first <- x[[1L]]
  cat("NMF of ", plural(nrow(first$basis), "feature"), " x ", plural(ncol(first$coef), "sample"),
      ", rank ", first$rank, ", by ", plural(length(x), "method"), "\n", sep = "")
  table <- data.frame(method = names(x), loss = vapply(x, `[[`, "", "loss"),
                      objective = vapply(x, `[[`, 0, "objective"),
                      runs = vapply(x, function(fit) nrow(fit$runs), 0L),
                      converged = vapply(x, function(fit) sum(fit$runs$converged), 0L))
  if (!is.null(first$x)) table$explained <- round(vapply(x, evar, 0), 3)
  print(table, row.names = FALSE)
  failures <- attr(x, "failures")
  for (name in names(failures)) cat("No fit by \"", name, "\": ", failures[[name]], "\n", sep = "")
  cat("compare() has all measures; `$", names(x)[1L], "` is a fit.\n", sep = "")
  invisible(x)
}

# Of the maps of single fits.
CONSENSUS_ARGUMENTS <- c("annotation", "colours", "track", "annCol", "annColors")

#' @rdname nmf_fits
#' @export
consensusmap.nmf_fits <- function(object, ...) {
  refuse_dots(..., .known = CONSENSUS_ARGUMENTS)
  maps <- Map(function(fit, name) consensusmap(fit, main = paste0("Method \"", name, "\""), ...),
              unclass(object), names(object))
  structure(maps[names(object)], class = "unalloy_plots")
}

#' @rdname nmf_fits
#' @export
plot.nmf_fits <- function(x, ...) {
  refuse_dots(..., .known = CONSENSUS_ARGUMENTS)
  invisible(print(consensusmap.nmf_fits(x, ...)))
}

#' @rdname nmf_fits
#' @export
autoplot.nmf_fits <- function(object, ...) {
  refuse_dots(..., .known = CONSENSUS_ARGUMENTS)
  consensusmap.nmf_fits(object, ...)
}
# nolint end
