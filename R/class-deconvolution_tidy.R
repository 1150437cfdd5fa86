#' Tidy summaries of a deconvolution
#'
#' Methods for the generics of the package generics (and so of broom):
#' `tidy()` gives a row per type and sample, `glance()` one row, `augment()` a
#' row per gene and sample.
#'
#' @param x A [deconvolution].
#' @param what `"proportions"`, `"cell_fractions"`, `"column_shares"` or `"exposures"`; by
#'   default cells where their sizes are known.
#' @param conf.int Add intervals (see [confint.deconvolution()])?
#' @param conf.level Their coverage.
#' @param samples For `augment()`: samples to return; all by default.
#' @param ... Passed on to [confint.deconvolution()].
#' @return Data frames. `tidy()`: `sample`, `type`, `estimate`, and with
#'   `conf.int` also `std.error`, `conf.low`, `conf.high`. `glance()`: counts of
#'   samples, types and genes, `converged`, `max.gap`, `logLik` without its term
#'   in the counts alone, deviances and correlations. `augment()`: `gene`,
#'   `sample`, `observed`, `.fitted`, `.resid` (Pearson).
#' @name tidy.deconvolution
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' head(tidy(result, conf.int = TRUE))
#' glance(result)
#' head(augment(result, samples = 1))
NULL

#' @rdname tidy.deconvolution
#' @export
tidy.deconvolution <- function(x, what = NULL,
                               conf.int = FALSE, conf.level = 0.95, ...) {
  with_intervals <- check_flag(conf.int, "conf.int")
  refuse_dots(..., .known = if (with_intervals) arguments_of(confint.deconvolution))
  what <- share_asked_for(what, x)
  if (with_intervals) {
    conf.level <- check_number(conf.level, "conf.level", 0, 0.999999, above = TRUE)
    out <- on_behalf(environment(), confint(x, level = conf.level, what = what, ...))
    names(out)[4:6] <- c("std.error", "conf.low", "conf.high")
    return(out)
  }
  out <- as.data.frame(x, what = what)
  names(out)[3L] <- "estimate"
  out
}

#' @rdname tidy.deconvolution
#' @export
glance.deconvolution <- function(x, ...) {
  refuse_dots(...)
  size <- size_of(x)
  table <- x$convergence
  data.frame(
    n.samples = size[2L], n.types = size[1L], n.genes = x$metrics$n_genes_used,
    converged = all(table$converged), max.gap = max(table$gap), logLik = sum(table$loglik),
    null.deviance = sum(table$null_deviance), deviance = sum(table$deviance),
    mean.correlation = mean(x$metrics$gene_correlation),
    intercept = mean(x$intercept_fraction)
  )
}

#' @rdname tidy.deconvolution
#' @export
augment.deconvolution <- function(x, samples = NULL, ...) {
  refuse_dots(...)
  check_intact(x, "x")
  observed <- observed_counts(x, samples)
  mean <- fitted(x, samples)
  data.frame(
    gene = rep(rownames(observed), ncol(observed)),
    sample = factor(rep(colnames(observed), each = nrow(observed)), colnames(observed)),
    observed = as.vector(observed), .fitted = as.vector(mean),
    .resid = as.vector(ifelse(mean > 0, (observed - mean) / sqrt(mean), 0))
  )
}
