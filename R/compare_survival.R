#' Survival of groups of patients
#'
#' Kaplan-Meier curves with numbers at risk, log-rank test, Cox model with covariates
#' and a check of proportional hazards, restricted means and concordance: the
#' figures of package survival, together.
#'
#' @param groups A group per sample: a vector (found by its names where it has them), the
#'   name of a column of `samples`, or [subtypes].
#' @param time Time to the event or to the end of observation, positive: a number per
#'   sample, or the name of a column.
#' @param event 1 or `TRUE` where the event was seen, else 0: values, or a column's name.
#' @param covariates What the Cox model is adjusted for: names of columns, a formula
#'   `~ age + stage`, or a data frame.
#' @param samples Data frame of the samples, see [sample_data()].
#' @param restrict Time up to which means are taken; by default the least over groups of
#'   the longest observation.
#' @param level Coverage of the intervals.
#' @return An object of class [survival_comparison].
#' @section Errors and warnings: `unalloy_error_package` where survival is not
#'   installed, `_survival_times` for times of 0 and less, `_no_events`, `_one_group`,
#'   `_argument`. `unalloy_warning_few_events` for groups with fewer than ten events.
#' @references
#' Therneau TM, Grambsch PM (2000). *Modeling Survival Data: Extending the Cox Model*.
#' Springer.
#' @seealso [test_prognosis()] for the survival that goes with expression or shares
#' @export
#' @examples
#' if (requireNamespace("survival", quietly = TRUE)) {
#'   set.seed(1)
#'   group <- rep(c("A", "B"), each = 40)
#'   time <- rexp(80, ifelse(group == "A", 0.5, 1))
#'   compared <- compare_survival(group, pmin(time, 3), time < 3)
#'   print(compared)
#'   plot(compared)
#' }
compare_survival <- function(groups, time, event, covariates = NULL, samples = NULL,
                             restrict = NULL, level = 0.95) {
  check_call()
  here <- environment()
  level <- check_number(level, "level", 0, 0.999999, above = TRUE)
  if (!is.null(restrict)) restrict <- check_number(restrict, "restrict", 0, above = TRUE)
  known <- grouped_samples(groups, samples, time, here)
  data <- survival_data(time, event, covariates, known$table, known$names, here)
  data$group <- known$group
  complete <- stats::complete.cases(data[c("time", "event", "group")])
  left_out <- rownames(data)[!complete]
  data <- data[complete, , drop = FALSE]
  data$group <- droplevels(data$group)
  if (nlevels(data$group) < 2L) {
    stop_user("one_group", "There must be two groups to compare.",
              x = paste0("All ", plural(nrow(data), "sample"), " with a time are in one",
                         if (nlevels(data$group)) paste0(": \"", levels(data$group), "\""), "."))
  }
  if (!any(data$event == 1L)) {
    stop_user("no_events", "There are no events in the samples that have a group.")
  }
  warn_few_events(data, here)
  new_survival_comparison(data, restrict, level, left_out, match.call())
}

FEW_EVENTS <- 10L

warn_few_events <- function(data, .call) {
  events <- tapply(data$event, data$group, sum)
  few <- events[events < FEW_EVENTS]
  if (!length(few)) return(invisible())
  warn_user("few_events", paste0("Some groups have fewer than ", FEW_EVENTS, " events."),
            x = paste0("Events: ", paste0(names(few), " ", few, collapse = ", "), "."),
            i = "Their hazard ratios and tests are rough.", .call = .call)
}

# Groups with the names and the table of the samples.
grouped_samples <- function(groups, samples, time, .call) {
  if (inherits(groups, "subtypes")) {
    names <- names(groups$assignment)
    table <- if (is.null(samples)) groups$sample_data
             else match_samples(samples, names, .call = .call)
    return(list(group = groups$assignment, names = names, table = table))
  }
  if (is.character(groups) && length(groups) == 1L && is.data.frame(samples)) {
    names <- rownames(samples)
    group <- sample_column(groups, samples, names, "groups", .call = .call)
    return(list(group = factor(group), names = names, table = samples))
  }
  if (!is.atomic(groups) || length(groups) < 2L) {
    stop_user("argument", "`groups` must have a group per sample, or name a column of `samples`.",
              x = paste0("It is ", describe(groups), "."), .call = .call)
  }
  names <- names(groups) %||% (if (is.data.frame(samples) && nrow(samples) == length(groups))
    rownames(samples)) %||% names(time) %||% as.character(seq_along(groups))
  table <- if (!is.null(samples)) match_samples(samples, names, .call = .call)
  list(group = factor(unname(groups)), names = names, table = table)
}
