# Times, events and covariates of samples, checked, and models of package survival.

# Data frame `time`, `event`, then covariates under their own names, a row per sample; what
# is not complete is NA there.
survival_data <- function(time, event, covariates, table, names, .call) {
  need_package("survival", "to compare survival", .call = .call)
  time <- sample_column(time, table, names, "time", .call = .call)
  event <- sample_column(event, table, names, "event", .call = .call)
  if (anyDuplicated(names)) {
    stop_user("sample_names", "Every sample must have a name of its own.",
              x = paste0("Twice: ", some_of(unique(names[duplicated(names)])), "."),
              .call = .call)
  }
  if (!is.numeric(time)) {
    stop_user("argument", "`time` must be numeric.", x = paste0("It is ", describe(time), "."),
              .call = .call)
  }
  bad <- which(time <= 0 | is.infinite(time))
  if (length(bad)) {
    stop_user("survival_times", "Every `time` must be positive and finite.",
              x = paste0("It is not in ", plural(length(bad), "sample"), ": ",
                         some_of(names[bad]), " (", format(time[bad[1L]]), ")."),
              i = "Leave these samples out: set their times to NA.", .call = .call)
  }
  if (!is.logical(event) && !(is.numeric(event) && all(event %in% c(0, 1, NA)))) {
    stop_user("argument", "`event` must be TRUE or FALSE, or 1 or 0.",
              x = paste0("It has ", some_of(utils::head(unique(event), 6L)), "."),
              i = "1 is an event (death), 0 the end of observation.", .call = .call)
  }
  out <- data.frame(time = time, event = as.integer(event), row.names = names)
  out$event[is.na(out$time)] <- NA
  out$time[is.na(out$event)] <- NA
  if (!any(out$event == 1L, na.rm = TRUE)) {
    stop_user("no_events", "There are no events.",
              x = paste0("Of ", plural(sum(!is.na(out$event)), "sample"),
                         " with a time, none has `event` 1."), .call = .call)
  }
  cbind(out, covariate_columns(covariates, table, names, .call))
}

# Columns by name, by a one-sided formula of names, or a data frame of values.
covariate_columns <- function(covariates, table, names, .call) {
  if (is.null(covariates)) return(data.frame(row.names = names))
  if (is.data.frame(covariates)) {
    table <- match_samples(covariates, names, "covariates", .call = .call)
    chosen <- names(table)[!vapply(table, function(x) identical(as.character(x), names), NA)]
  } else {
    chosen <- if (inherits(covariates, "formula")) all.vars(covariates) else covariates
    absent <- setdiff(chosen, names(table))
    if (!is.character(chosen) || length(absent)) {
      stop_user("argument", "`covariates` must name columns of the sample data.",
                x = if (length(absent)) paste0("Unknown: ", some_of(absent), ".")
                    else paste0("It is ", describe(covariates), "."),
                i = if (length(table)) paste0("There are ", some_of(names(table), 6L), "."),
                .call = .call)
    }
  }
  clash <- intersect(chosen, c("time", "event", "group"))
  out <- table[setdiff(chosen, clash)]
  for (name in clash) out[[paste0(name, ".")]] <- table[[name]]
  out
}

# The formula of a Cox model; covariates that do not vary are left out.
cox_formula <- function(term, data) {
  covariates <- setdiff(names(data), c("time", "event", "group", "value"))
  varies <- vapply(data[covariates], function(x) length(unique(x[!is.na(x)])) > 1L, NA)
  right <- c(term, paste0("`", covariates[varies], "`", recycle0 = TRUE))
  if (!length(right)) right <- "1"
  stats::as.formula(paste("survival::Surv(time, event) ~", paste(right, collapse = " + ")))
}

# An infinite coefficient is told of in the table, by its interval.
quiet_cox <- function(formula, data) {
  withCallingHandlers(
    survival::coxph(formula, data),
    warning = function(w) {
      if (grepl("infinite|converge", conditionMessage(w))) rlang::cnd_muffle(w)
    }
  )
}
