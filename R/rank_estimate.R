# What estimate_rank() returns.
# nolint start: object_name_linter. Methods, and names that others chose.

#' The result of comparing ranks
#'
#' What [estimate_rank()] returns: the fit of each rank, its measures, and a
#' suggestion.
#'
#' @details
#' A `rank_estimate` is a list:
#' \describe{
#'   \item{`measures`}{Data frame, a row per rank; see [estimate_rank()] and
#'     [summary.nmf_fit()]. `reason` tells why a rank failed.}
#'   \item{`fit`}{List of [nmf_fit], named by rank; also `estimate[["3"]]`.}
#'   \item{`errors`}{`cv` and `bicv`: data frames with `fold`, `rank`, `error` and
#'     `entries`, the number that was held out.}
#'   \item{`suggestion`}{Data frame: `rule`, `rank`, and whether it is the
#'     `primary` one.}
#'   \item{`failures`}{Reasons why a whole measure is missing.}
#' }
#'
#' @param x,object A `rank_estimate`.
#' @param i A rank.
#' @param digits Digits to print.
#' @param what For `plot()`: the panels to show; all that were computed by
#'   default.
#' @param main Title.
#' @param row.names,optional,... Not used; for agreement with the generics. For
#'   `consensusmap()`, passed on.
#' @return `plot()`: a ggplot; `as.data.frame()`: the measures; `[[`: an [nmf_fit];
#'   `consensusmap()`: a list of ggplots by rank.
#' @section Errors: `unalloy_error_argument` for a rank that is not there.
#' @name rank_estimate
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 20, seed = 1)
#' estimate <- estimate_rank(sim$bulk_counts, ranks = 2:4, nrun = 4, method = "kl", seed = 1,
#'                           verbose = FALSE)
#' estimate$suggestion
#' plot(estimate, what = c("held-out error", "cophenetic"))
#' as.data.frame(estimate)[c("rank", "cv.error", "cophenetic")]
NULL

new_rank_estimate <- function(measures, fits, errors, failures, settings, call) {
  rownames(measures) <- NULL
  structure(list(measures = measures, fit = fits, errors = errors,
                 suggestion = suggest_rank(measures, errors), failures = failures,
                 settings = settings, call = call), class = "rank_estimate")
}

suggest_rank <- function(measures, errors) {
  found <- c("held-out error" = one_error_rule(errors$cv),
             "bi-cross-validation" = one_error_rule(errors$bicv),
             "cophenetic" = before_fall(measures$rank, measures$cophenetic),
             "null residual" = beyond_null(measures))
  out <- data.frame(rule = names(found), rank = unname(found))
  out$primary <- seq_len(nrow(out)) == which(!is.na(out$rank))[1L]
  out$primary[is.na(out$primary)] <- FALSE
  out
}

# The smallest rank whose mean error is not more than one standard error (of the
# lowest, over folds) above the lowest (Breiman et al. 1984).
one_error_rule <- function(errors) {
  if (is.null(errors)) return(NA_real_)
  table <- tapply(errors$error, list(errors$fold, errors$rank), mean)
  table <- table[, colSums(is.na(table)) == 0, drop = FALSE]
  if (!ncol(table)) return(NA_real_)
  means <- colMeans(table)
  best <- which.min(means)
  min(as.numeric(colnames(table))[means <= means[best] + standard_error(table[, best])])
}

# The rank before the largest fall.
before_fall <- function(ranks, values) {
  known <- which(!is.na(values))
  falls <- -diff(values[known])
  if (!length(falls) || max(falls) <= 0) return(NA_real_)
  ranks[known][which.max(falls)]
}

# The last rank at which the residual falls by more than that of permuted data,
# each as a part of its value at the lowest rank.
beyond_null <- function(measures) {
  known <- which(!is.na(measures$residuals) & !is.na(measures$residuals.null))
  if (length(known) < 2L) return(NA_real_)
  gain <- -diff(relative_to_first(measures$residuals[known]))
  chance <- -diff(relative_to_first(measures$residuals.null[known]))
  ahead <- which(gain > chance)
  measures$rank[known][if (length(ahead)) max(ahead) + 1L else 1L]
}

relative_to_first <- function(values) {
  first <- values[!is.na(values)][1L]
  if (is.na(first) || first == 0) values else values / first
}

#' @rdname rank_estimate
#' @export
print.rank_estimate <- function(x, digits = 4, ...) {
  measures <- x$measures
  fitted <- measures$rank[!is.na(measures$residuals)]
  cat("Ranks ", toString(measures$rank), ": ", plural(x$settings$nrun, "run"), " each, method \"",
      x$settings$method, "\"\n", sep = "")
  shown <- c("rank", "cv.error", "cv.se", "bicv.error", "cophenetic", "dispersion", "stability",
             "silhouette.consensus", "evar")
  table <- measures[shown]
  table <- table[!vapply(table, function(column) all(is.na(column)), NA)]
  print(format(table, digits = digits), row.names = FALSE)
  main <- x$suggestion[x$suggestion$primary, ]
  if (nrow(main)) {
    cat("Suggested: rank ", main$rank, ", ", rule_text(main$rule), "\n", sep = "")
    if (main$rank %in% range(measures$rank) && length(fitted) > 1L) {
      cat("  This is an end of the range: try ranks beyond it.\n")
    }
  }
  others <- x$suggestion[!x$suggestion$primary & !is.na(x$suggestion$rank), ]
  if (nrow(others)) {
    cat("Others: ", paste0(others$rule, " ", others$rank, collapse = ", "), "\n", sep = "")
  }
  for (at in which(is.na(measures$residuals))) {
    cat("Rank ", measures$rank[at], " failed: ", measures$reason[at], "\n", sep = "")
  }
  for (name in names(x$failures)) cat("No ", name, ": ", x$failures[[name]], "\n", sep = "")
  invisible(x)
}

rule_text <- function(rule) {
  switch(rule,
    "held-out error" = "the smallest within one standard error of the lowest held-out error",
    "bi-cross-validation" =
      "the smallest within one standard error of the lowest bi-cross-validation error",
    "cophenetic" = "before the largest fall of the cophenetic correlation",
    "the last at which the residual falls by more than that of permuted data")
}

#' @rdname rank_estimate
#' @export
summary.rank_estimate <- function(object, ...) object$measures

#' @rdname rank_estimate
#' @export
as.data.frame.rank_estimate <- function(x, row.names = NULL, optional = FALSE, ...) x$measures

#' @rdname rank_estimate
#' @export
`[[.rank_estimate` <- function(x, i) {
  parts <- unclass(x)
  if (is.character(i) && length(i) == 1L && i %in% names(parts)) return(parts[[i]])
  fit <- parts$fit[[as.character(i)]]
  if (is.null(fit)) {
    stop_user("argument", "There is no fit of that rank.",
              x = paste0("Asked: ", describe(i), "; fitted: ", toString(names(parts$fit)), "."))
  }
  fit
}

#' @rdname rank_estimate
#' @export
consensusmap.rank_estimate <- function(object, ...) {
  structure(lapply(object$fit, consensusmap, ...), names = names(object$fit))
}

# Panels of the plot: the measures in each, and how to call them.
RANK_PANELS <- list(
  "held-out error" = c(cv.error = "held out"),
  "bi-cross-validation" = c(bicv.error = "held out"),
  "cophenetic" = c(cophenetic = "consensus"),
  "dispersion" = c(dispersion = "consensus"),
  "stability" = c(stability = "basis"),
  "silhouette" = c(silhouette.consensus = "consensus", silhouette.coef = "coefficients",
                   silhouette.basis = "basis"),
  "relative residual" = c(residuals = "data", residuals.null = "permuted data"),
  "explained variation" = c(evar = "data"),
  "sparseness" = c(sparseness.basis = "basis", sparseness.coef = "coefficients")
)
# Panels where lower is better.
LOW_PANELS <- c("held-out error", "bi-cross-validation")

#' @rdname rank_estimate
#' @export
plot.rank_estimate <- function(x, what = NULL, main = "How many components?", ...) {
  what <- what %||% names(RANK_PANELS)
  unknown <- setdiff(what, names(RANK_PANELS))
  if (length(unknown)) {
    stop_user("argument", "`what` must name panels.",
              x = paste0("Unknown: ", some_of(unknown), "; there are ",
                         some_of(names(RANK_PANELS), 9L), "."))
  }
  tables <- lapply(what, function(panel) rank_panel(x$measures, panel))
  table <- do.call(rbind, tables)
  table <- table[!is.na(table$value), ]
  panels <- vapply(what, panel_title, "")
  table$panel <- factor(table$panel, panels[panels %in% table$panel])
  table$series <- factor(table$series, unique(unlist(lapply(RANK_PANELS, unname))))
  table$series <- droplevels(table$series)
  suggested <- x$suggestion[!is.na(x$suggestion$rank), ]
  suggested$panel <- c("null residual" = "relative residual")[suggested$rule]
  suggested$panel <- ifelse(is.na(suggested$panel), suggested$rule, suggested$panel)
  suggested$panel <- vapply(suggested$panel, panel_title, "")
  suggested <- suggested[suggested$panel %in% table$panel, ]
  suggested$panel <- factor(suggested$panel, levels(table$panel))
  ranks <- x$measures$rank
  ticks <- ranks[round(seq(1, length(ranks), length.out = min(8L, length(ranks))))]
  caption <- if (nrow(suggested)) "Dashed: the rank that the panel's rule suggests. "
  primary <- x$suggestion[x$suggestion$primary, ]
  if (nrow(primary)) {
    caption <- paste0("Suggested: rank ", primary$rank, ", ", rule_text(primary$rule), ".\n",
                      caption)
  }
  ggplot(table, aes(.data$rank, .data$value, colour = .data$series)) +
    ggplot2::geom_vline(aes(xintercept = .data$rank), suggested, linetype = "dashed",
                        colour = "grey45", linewidth = 0.4) +
    geom_linerange(aes(ymin = .data$value - .data$se, ymax = .data$value + .data$se),
                   table[!is.na(table$se), ], linewidth = 0.8, alpha = 0.6) +
    geom_line(linewidth = 0.6) +
    geom_point(size = 1.8) +
    facet_wrap(vars(.data$panel), scales = "free_y") +
    scale_discrete_manual("colour", values = series_colours(levels(table$series)), name = NULL) +
    scale_x_continuous(breaks = ticks, minor_breaks = NULL) +
    labs(title = main, x = "Rank", y = NULL,
         caption = paste0(caption, "Bars: one standard error.")) +
    theme_unalloy() + theme(legend.position = "bottom")
}

panel_title <- function(panel) {
  title <- paste0(toupper(substr(panel, 1L, 1L)), substring(panel, 2L))
  if (panel %in% LOW_PANELS) paste(title, "(low is good)") else title
}

series_colours <- function(series) {
  all <- unique(unlist(lapply(RANK_PANELS, unname)))
  stats::setNames(TYPE_COLOURS[match(series, all)], series)
}

rank_panel <- function(measures, panel) {
  series <- RANK_PANELS[[panel]]
  tables <- lapply(names(series), function(name) {
    error <- measures[[sub("(\\.error)?$", ".se", name)]]
    value <- measures[[name]]
    if (panel == "relative residual") value <- relative_to_first(value)
    data.frame(rank = measures$rank, value = value, se = error %||% NA_real_,
               series = series[[name]], panel = panel_title(panel))
  })
  do.call(rbind, tables)
}
# nolint end
