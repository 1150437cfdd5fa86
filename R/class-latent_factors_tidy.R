#' Tidy summaries of latent factors
#'
#' Methods for the generics of the package generics (and so of broom).
#'
#' @param x A [latent_factors][latent_factors_methods] fit.
#' @param matrix `"coef"` or `"basis"`.
#' @param data For `augment()`: a data frame with a row per cell, to which factors are
#'   added; by default one with the names of the cells.
#' @param ... Not used; for agreement with the generics.
#' @return Data frames. `tidy()`: `factor`, `cell` (or `gene`), `estimate`. `glance()`:
#'   one row: `model`, `rank`, `penalty`, `n.genes`, `n.cells`, `logLik`, `df`,
#'   `iterations`, `converged`. `augment()`: a column per factor.
#' @name tidy.latent_factors
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 12, seed = 1)
#' fit <- latent_factors(log1p(sim$bulk_counts), rank = 2)
#' head(tidy(fit))
#' glance(fit)
#' head(augment(fit), 3)
NULL

#' @rdname tidy.latent_factors
#' @export
tidy.latent_factors <- function(x, matrix = c("coef", "basis"), ...) {
  refuse_dots(...)
  matrix <- check_choice(matrix, c("coef", "basis"), "matrix")
  values <- if (matrix == "coef") t(x$coef) else x$basis
  items <- rownames(values) %||% seq_len(nrow(values))
  factors <- colnames(x$basis)
  out <- data.frame(factor = factor(rep(factors, each = nrow(values)), factors),
                    item = rep(items, ncol(values)), estimate = as.vector(values))
  names(out)[2L] <- if (matrix == "coef") "cell" else "gene"
  out
}

#' @rdname tidy.latent_factors
#' @export
glance.latent_factors <- function(x, ...) {
  refuse_dots(...)
  value <- stats::logLik(x)
  data.frame(model = x$model, rank = x$rank, penalty = x$penalty %||% NA_real_,
             n.genes = nrow(x$basis), n.cells = ncol(x$coef), logLik = as.numeric(value),
             df = attr(value, "df"), iterations = nrow(x$trace) - 1L, converged = x$converged)
}

#' @rdname tidy.latent_factors
#' @export
augment.latent_factors <- function(x, data = NULL, ...) {
  refuse_dots(...)
  n <- ncol(x$coef)
  data <- data %||% data.frame(cell = colnames(x$coef) %||% seq_len(n))
  if (!is.data.frame(data) || nrow(data) != n) {
    stop_user("argument", "`data` must have a row per cell.",
              x = paste0("It is ", describe(data), "; there are ", plural(n, "cell"), "."))
  }
  cbind(data, as.data.frame(t(x$coef), row.names = seq_len(n)))
}
