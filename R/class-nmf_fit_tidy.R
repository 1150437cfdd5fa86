#' Tidy summaries of a factorisation
#'
#' Methods for the generics of the package generics (and so of broom).
#'
#' @param x An [nmf_fit], for `tidy()` and `glance()` also a [rank_estimate].
#' @param matrix `"coef"` or `"basis"`.
#' @param data For `augment()`: a data frame with a row per sample, to which columns
#'   are added; by default one with the names of the samples.
#' @param ... None: other arguments are refused.
#' @return Data frames. `tidy()`: `component`, `sample` (or `feature`), `estimate`; of
#'   a rank estimate, a row per rank and measure. `glance()`: one row with the measures of
#'   [summary.nmf_fit()], or the suggested rank and its measures. `augment()`:
#'   `.component`, the one that contributes most, `.share`, its share of the fitted
#'   total, and a column per component.
#' @name tidy.nmf_fit
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 12, seed = 1)
#' fit <- nmf(sim$bulk_counts, rank = 3, method = "kl", seed = 1)
#' head(tidy(fit))
#' glance(fit)
#' head(augment(fit), 3)
NULL

#' @rdname tidy.nmf_fit
#' @export
tidy.nmf_fit <- function(x, matrix = c("coef", "basis"), ...) {
  refuse_dots(...)
  check_factors(x, "x")
  matrix <- check_choice(matrix, c("coef", "basis"), "matrix")
  values <- if (matrix == "coef") t(x$coef) else x$basis
  items <- rownames(values) %||% seq_len(nrow(values))
  components <- colnames(x$basis)
  out <- data.frame(component = factor(rep(components, each = nrow(values)), components),
                    item = rep(items, ncol(values)), estimate = as.vector(values))
  names(out)[2L] <- if (matrix == "coef") "sample" else "feature"
  out
}

#' @rdname tidy.nmf_fit
#' @export
glance.nmf_fit <- function(x, ...) {
  refuse_dots(...)
  as.data.frame(c(as.list(unclass(summary(x))), list(method = x$method, loss = x$loss)))
}

#' @rdname tidy.nmf_fit
#' @export
augment.nmf_fit <- function(x, data = NULL, ...) {
  refuse_dots(...)
  check_factors(x, "x")
  n <- ncol(x$coef)
  data <- data %||% data.frame(sample = colnames(x$coef) %||% seq_len(n))
  if (!is.data.frame(data) || nrow(data) != n) {
    stop_user("argument", "`data` must have a row per sample.",
              x = paste0("It is ", describe(data), "; there are ", plural(n, "sample"), "."))
  }
  labels <- predict(x, "samples", prob = TRUE)
  cbind(data, .component = named_components(labels$predict, x), .share = unname(labels$prob),
        as.data.frame(t(x$coef), row.names = seq_len(n)))
}

#' @rdname tidy.nmf_fit
#' @export
tidy.rank_estimate <- function(x, ...) {
  refuse_dots(...)
  measures <- setdiff(RANK_MEASURES, "cpu")
  values <- x$measures[measures]
  data.frame(rank = rep(x$measures$rank, length(measures)),
             measure = rep(measures, each = nrow(values)),
             value = unlist(values, use.names = FALSE))
}

#' @rdname tidy.nmf_fit
#' @export
glance.rank_estimate <- function(x, ...) {
  refuse_dots(...)
  main <- x$suggestion[x$suggestion$primary, ]
  cbind(rule = main$rule, x$measures[x$measures$rank %in% main$rank, ], row.names = NULL)
}
