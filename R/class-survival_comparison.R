#' The result of a comparison of survival
#'
#' What [compare_survival()] returns.
#'
#' @details
#' A `survival_comparison` is a list:
#' \describe{
#'   \item{`groups`}{Data frame: `group`, `n`, `events`, `median` time with `median_lower`,
#'     `median_upper`, and `restricted_mean` with its `std_error`, up to `restrict`.}
#'   \item{`logrank`}{`statistic`, `df`, `p_value` of the log-rank test.}
#'   \item{`hazards`}{Data frame of the Cox model, a row per group but the first and per
#'     covariate: `term`, `hazard_ratio`, `lower`, `upper`, `std_error` (of the log),
#'     `p_value` (Wald).}
#'   \item{`likelihood_ratio`}{`statistic`, `df`, `p_value`: groups beside the covariates.}
#'   \item{`proportional`}{Data frame of the check of proportional hazards
#'     ([survival::cox.zph()]): `term`, `statistic`, `df`, `p_value`.}
#'   \item{`concordance`}{Of the Cox model, with its `std_error`.}
#'   \item{`curves`}{Data frame: `group`, `time`, `at_risk`, `events`, `survival`, `lower`,
#'     `upper`.}
#'   \item{`fit`, `data`, `restrict`, `left_out`, `call`}{The `coxph` fit, what it was
#'     fitted to, and samples without a time or group.}
#' }
#'
#' @param x,object A `survival_comparison`.
#' @param times For `plot()`: times at which numbers at risk stand.
#' @param interval Draw the intervals of the curves?
#' @param digits Digits that are printed.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return `as.data.frame()` and `tidy()`: `hazards`. `glance()`: one row with the tests.
#'   `plot()`: a ggplot.
#' @seealso [compare_survival()]
#' @name survival_comparison
#' @examples
#' if (requireNamespace("survival", quietly = TRUE)) {
#'   set.seed(1)
#'   group <- rep(c("A", "B"), each = 40)
#'   time <- rexp(80, ifelse(group == "A", 0.5, 1))
#'   tidy(compare_survival(group, pmin(time, 3), time < 3))
#' }
NULL

new_survival_comparison <- function(data, restrict, level, left_out, call) {
  reference <- levels(data$group)
  rank <- survival::survdiff(survival::Surv(time, event) ~ group, data)
  whole <- data[stats::complete.cases(data), , drop = FALSE]
  fit <- quiet_cox(cox_formula("group", whole), whole)
  rest <- quiet_cox(cox_formula(NULL, whole), whole)
  longest <- min(tapply(data$time, data$group, max))
  restrict <- min(restrict %||% longest, longest)
  z <- stats::qnorm((1 + level) / 2)
  coefficients <- stats::coef(fit)
  error <- sqrt(diag(stats::vcov(fit)))
  term <- names(coefficients)
  of_group <- startsWith(term, "group")
  term[of_group] <- paste(sub("^group", "", term[of_group]), "against", reference[1L])
  ratio <- 2 * (fit$loglik[2L] - rest$loglik[length(rest$loglik)])
  df <- nlevels(droplevels(whole$group)) - 1L
  concordance <- survival::concordance(fit)
  structure(list(
    groups = survival_of_groups(data, restrict, level),
    logrank = c(statistic = rank$chisq, df = length(rank$n) - 1,
                p_value = stats::pchisq(rank$chisq, length(rank$n) - 1, lower.tail = FALSE)),
    hazards = data.frame(term = gsub("`", "", term), hazard_ratio = exp(unname(coefficients)),
                         lower = exp(unname(coefficients - z * error)),
                         upper = exp(unname(coefficients + z * error)), std_error = unname(error),
                         p_value = unname(2 * stats::pnorm(-abs(coefficients / error)))),
    likelihood_ratio = c(statistic = ratio, df = df,
                         p_value = stats::pchisq(ratio, df, lower.tail = FALSE)),
    proportional = proportional_hazards(fit),
    concordance = c(estimate = unname(concordance$concordance),
                    std_error = sqrt(unname(concordance$var))),
    curves = survival_curves(data, level), fit = fit, data = data, restrict = restrict,
    level = level, left_out = left_out, call = call
  ), class = "survival_comparison")
}

# NULL where the check has no answer: a group without events.
proportional_hazards <- function(fit) {
  found <- tryCatch(survival::cox.zph(fit)$table, error = function(e) NULL)
  if (is.null(found)) return(NULL)
  data.frame(term = gsub("`", "", rownames(found)), statistic = unname(found[, "chisq"]),
             df = unname(found[, "df"]), p_value = unname(found[, "p"]))
}

survival_of_groups <- function(data, restrict, level) {
  fit <- survival::survfit(survival::Surv(time, event) ~ group, data, conf.int = level)
  table <- summary(fit, rmean = restrict)$table
  ends <- grep("LCL|UCL", colnames(table))
  data.frame(group = factor(levels(data$group), levels(data$group)), n = unname(table[, "records"]),
             events = unname(table[, "events"]), median = unname(table[, "median"]),
             median_lower = unname(table[, ends[1L]]), median_upper = unname(table[, ends[2L]]),
             restricted_mean = unname(table[, grep("^rmean|^\\*rmean", colnames(table))]),
             std_error = unname(table[, grep("se\\(rmean\\)", colnames(table))]))
}

survival_curves <- function(data, level) {
  fit <- survival::survfit(survival::Surv(time, event) ~ group, data, conf.int = level)
  group <- factor(rep(levels(data$group), fit$strata), levels(data$group))
  out <- data.frame(group = group, time = fit$time, at_risk = fit$n.risk, events = fit$n.event,
                    survival = fit$surv, lower = fit$lower, upper = fit$upper)
  first <- data.frame(group = factor(levels(data$group), levels(data$group)), time = 0,
                      at_risk = as.vector(table(data$group)), events = 0, survival = 1, lower = 1,
                      upper = 1)
  out <- rbind(first, out)
  out <- out[order(out$group, out$time), ]
  rownames(out) <- NULL
  out
}

#' @rdname survival_comparison
#' @export
print.survival_comparison <- function(x, digits = 3, ...) {
  refuse_dots(...)
  cat("Survival of ", plural(nrow(x$groups), "group"), ": ", plural(nrow(x$data), "sample"), ", ",
      plural(sum(x$data$event), "event"), "\n", sep = "")
  if (length(x$left_out)) {
    cat(plural(length(x$left_out), "sample"), " left out: no time, event or group\n", sep = "")
  }
  cat("Log-rank test: chi-squared ", format(x$logrank[["statistic"]], digits = digits), ", df ",
      x$logrank[["df"]], ", p ", format(x$logrank[["p_value"]], digits = digits), "\n\n", sep = "")
  print(format_columns(x$groups), row.names = FALSE)
  cat("\nRestricted means up to ", format(x$restrict, digits = digits),
      "\n\nCox model, concordance ", format(x$concordance[["estimate"]], digits = digits), " (se ",
      format(x$concordance[["std_error"]], digits = 2), "), groups p ",
      format(x$likelihood_ratio[["p_value"]], digits = digits), " (likelihood ratio):\n", sep = "")
  print(format_columns(x$hazards), row.names = FALSE)
  check <- x$proportional
  if (!is.null(check)) {
    bent <- check$term[check$p_value < 0.05 & check$term != "GLOBAL"]
    cat("\nProportional hazards: ", if (!length(bent)) "no sign against" else
      paste0("NOT for ", some_of(bent)), " (p ",
      format(check$p_value[nrow(check)], digits = 2), " over all)\n", sep = "")
  }
  invisible(x)
}

#' @rdname survival_comparison
#' @export
as.data.frame.survival_comparison <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$hazards
}

#' @rdname survival_comparison
#' @export
tidy.survival_comparison <- function(x, ...) {
  refuse_dots(...)
  x$hazards
}

#' @rdname survival_comparison
#' @export
glance.survival_comparison <- function(x, ...) {
  refuse_dots(...)
  data.frame(n = nrow(x$data), events = sum(x$data$event), groups = nrow(x$groups),
             logrank = x$logrank[["statistic"]], p_value = x$logrank[["p_value"]],
             p_adjusted_for_covariates = x$likelihood_ratio[["p_value"]],
             concordance = x$concordance[["estimate"]])
}
