#' Which genes, shares or factors go with survival
#'
#' A Cox model per feature: of the genes of a cell type, of shares, metagenes or
#' factors, with adjustment and false discovery rates.
#'
#' Values of a gene in a type are best linear unbiased predictions, which
#' are shrunk by their reliability: samples in which the bulk says nothing of the gene
#' stand at its mean and weigh nothing. A Cox model of predictions is regression
#' calibration, whose hazard ratio is that of the true value where errors are moderate
#' (Prentice, 1982). Genes of reliability below `min_reliability` are left out.
#'
#' p values are those of the likelihood ratio of the model with and without the feature,
#' which hold also where a coefficient is infinite.
#'
#' @inheritParams compare_groups
#' @inheritParams compare_survival
#' @param adjust How p values are adjusted over features: a method of
#'   [stats::p.adjust()].
#' @return An object of class `prognosis`: a list of `table` (a row per feature, with
#'   `hazard_ratio` per standard deviation of the feature, `lower`, `upper`,
#'   `statistic` (z, signed root of the likelihood ratio), `p_value`, `p_adjusted`), `n`,
#'   `events`, `values` and `settings`.
#' @section Errors: Those of [compare_survival()] and [compare_groups()].
#' @references
#' Prentice RL (1982). Covariate measurement errors and parameter estimation in a failure
#' time regression model. *Biometrika* 69:331.
#' @seealso [test_pathways()]
#' @export
#' @examples
#' if (requireNamespace("survival", quietly = TRUE)) {
#'   set.seed(1)
#'   factors <- matrix(rnorm(3 * 60), 3, dimnames = list(c("a", "b", "c"), NULL))
#'   time <- rexp(60, exp(factors["a", ]))
#'   test_prognosis(factors, time, rep(1, 60))
#' }
test_prognosis <- function(x, time, event, covariates = NULL, samples = NULL, what = NULL,
                           scale = NULL, types = NULL, level = 0.95, adjust = "BH",
                           min_reliability = 0.2, offset = 10) {
  check_call()
  here <- environment()
  level <- check_number(level, "level", 0, 0.999999, above = TRUE)
  adjust <- check_choice(adjust, stats::p.adjust.methods, "adjust")
  how <- list(what = what, scale = scale, types = types, errors = FALSE,
              min_reliability = check_number(min_reliability, "min_reliability", 0, 1),
              offset = check_number(offset, "offset", 0, above = TRUE))
  measured <- measured_values(x, how, .call = here)
  table <- if (is.null(samples)) measured$sample_data
           else match_samples(samples, measured$samples, .call = here)
  data <- survival_data(time, event, covariates, table, measured$samples, here)
  data <- data[stats::complete.cases(data), , drop = FALSE]
  if (!any(data$event == 1L)) {
    stop_user("no_events", "There are no events in the samples with complete data.")
  }
  parts <- lapply(measured$blocks, function(block) prognosis_of_block(block, data, level))
  found <- do.call(rbind, parts)
  found$p_adjusted <- stats::p.adjust(found$p_value, adjust)
  names(found)[names(found) == "feature"] <- measured$noun
  if (measured$noun != "gene") {
    found <- found[c(measured$noun, setdiff(names(found), c("type", measured$noun)))]
  }
  structure(list(table = found, n = nrow(data), events = sum(data$event), values = measured,
                 data = data,
                 settings = list(adjust = adjust, level = level, call = match.call())),
            class = "prognosis")
}

prognosis_of_block <- function(block, data, level) {
  known <- rownames(data)[colSums(is.na(block$values[, rownames(data), drop = FALSE])) == 0]
  data <- data[known, , drop = FALSE]
  values <- block$values[, known, drop = FALSE]
  if (!nrow(values) || sum(data$event) < 2L) return(NULL)
  rest <- quiet_cox(cox_formula(NULL, data), data)
  null <- rest$loglik[length(rest$loglik)]
  z <- stats::qnorm((1 + level) / 2)
  formula <- cox_formula("value", data)
  of <- vapply(seq_len(nrow(values)), function(i) {
    spread <- stats::sd(values[i, ])
    if (spread <= 1e-12 * max(1, abs(mean(values[i, ])))) return(rep(NA_real_, 3L))
    data$value <- (values[i, ] - mean(values[i, ])) / spread
    fit <- quiet_cox(formula, data)
    c(stats::coef(fit)[["value"]], sqrt(stats::vcov(fit)["value", "value"]),
      max(0, 2 * (fit$loglik[2L] - null)))
  }, numeric(3L))
  data.frame(type = block$type, feature = rownames(values), hazard_ratio = exp(of[1L, ]),
             lower = exp(of[1L, ] - z * of[2L, ]), upper = exp(of[1L, ] + z * of[2L, ]),
             statistic = sign(of[1L, ]) * sqrt(of[3L, ]),
             p_value = stats::pchisq(of[3L, ], 1, lower.tail = FALSE))
}

#' @rdname test_prognosis
#' @param n Rows to print, or features to draw.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @export
print.prognosis <- function(x, n = 10, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  n <- check_count(n, "n")
  cat("Survival by ", plural(nrow(x$table), x$values$noun), ": ", plural(x$n, "sample"), ", ",
      plural(x$events, "event"), "\n", sum(x$table$p_adjusted < 0.05, na.rm = TRUE),
      " with adjusted p below 0.05 (", x$settings$adjust, ")\n\n", sep = "")
  print(format_columns(utils::head(x$table[order(x$table$p_value), ], n)), row.names = FALSE)
  invisible(x)
}

#' @rdname test_prognosis
#' @export
as.data.frame.prognosis <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$table
}

#' @rdname test_prognosis
#' @export
tidy.prognosis <- function(x, ...) {
  refuse_dots(...)
  x$table
}

#' @rdname test_prognosis
#' @export
plot.prognosis <- function(x, n = 20, ...) {
  refuse_dots(...)
  n <- check_count(n, "n")
  table <- x$table[!is.na(x$table$p_value) & is.finite(x$table$upper), ]
  table <- utils::head(table[order(table$p_value), ], n)
  name <- if (x$values$noun == "gene") paste0(table$type, ": ", table$gene)
          else as.character(table[[x$values$noun]])
  table$name <- factor(name, rev(name))
  table$found <- table$p_adjusted < 0.05
  ggplot(table, aes(.data$hazard_ratio, .data$name, colour = .data$found)) +
    geom_vline(xintercept = 1, colour = "grey60", linewidth = 0.4) +
    geom_linerange(aes(xmin = .data$lower, xmax = .data$upper)) + geom_point(size = 1.8) +
    ggplot2::scale_x_log10() + scale_y_discrete(labels = shorten) +
    scale_discrete_manual("colour", values = c(`TRUE` = TYPE_COLOURS[4L], `FALSE` = "grey45"),
                          labels = c(`TRUE` = "adjusted p < 0.05", `FALSE` = "not"), name = NULL) +
    theme_unalloy() + theme(legend.position = "top") +
    labs(title = "Hazard by standard deviation", x = "Hazard ratio", y = NULL,
         caption = paste0(plural(x$n, "sample"), ", ", plural(x$events, "event"),
                          ". Intervals of ", format(100 * x$settings$level), " %."))
}

#' @rdname test_prognosis
#' @method autoplot prognosis
#' @param object The same as `x`.
#' @export
autoplot.prognosis <- function(object, ...) {
  refuse_dots(..., .to = plot.prognosis)
  plot(object, ...)
}
