#' Are clinical classes enriched in groups of samples?
#'
#' Fisher's exact tests of groups (subtypes) against classes (a risk group, a stage, a
#' mutation): of the whole table, and of every group against the rest in every class.
#'
#' The table as a whole is tested exactly where the network algorithm of
#' [stats::fisher.test()] has room, else by `draws` random tables with the same margins.
#'
#' @param groups A group per sample, the name of a column of `samples`, or [subtypes].
#' @param classes A class per sample, or the name of a column.
#' @param samples Data frame of the samples, see [sample_data()].
#' @param adjust How p values are adjusted over all cells: a method of [stats::p.adjust()].
#' @param level Coverage of the intervals of odds ratios.
#' @param draws Random tables, where they are needed.
#' @param seed Of these.
#' @return An object of class `enrichment`, a list: `table` (a row per group and class:
#'   `group`, `class`, `n`, `expected`, `odds_ratio` (conditional maximum likelihood) with
#'   `lower` and `upper`, `p_value`, `p_adjusted`), `counts` (groups × classes), `p_value` of
#'   the whole table, `exact` and `left_out` (samples without group or class).
#' @section Errors: `unalloy_error_one_group` for one group or class; `_argument`.
#' @export
#' @examples
#' groups <- rep(c("A", "B"), each = 20)
#' test_enrichment(groups, c(rep(c("poor", "good"), c(15, 5)), rep(c("poor", "good"), 10)))
test_enrichment <- function(groups, classes, samples = NULL, adjust = "BH", level = 0.95,
                            draws = 20000, seed = NULL) {
  check_call()
  here <- environment()
  adjust <- check_choice(adjust, stats::p.adjust.methods, "adjust")
  level <- check_number(level, "level", 0, 0.999999, above = TRUE)
  draws <- check_count(draws, "draws", max = 1e7)
  known <- grouped_samples(groups, samples, classes, here)
  class <- sample_column(classes, known$table, known$names, "classes")
  complete <- !is.na(known$group) & !is.na(class)
  group <- droplevels(factor(known$group[complete]))
  class <- droplevels(factor(class[complete]))
  for (side in list(list("groups", group), list("classes", class))) {
    if (nlevels(side[[2L]]) < 2L) {
      stop_user("one_group", paste0("`", side[[1L]], "` must have two levels at least."),
                x = paste0("All ", plural(length(group), "sample"), " with both are ",
                           if (nlevels(side[[2L]])) paste0("\"", levels(side[[2L]]), "\"")
                           else "missing", "."))
    }
  }
  counts <- table(group, class)
  whole <- tryCatch(stats::fisher.test(counts, workspace = 2e7),
                    error = function(e) NULL)
  exact <- !is.null(whole)
  if (!exact) {
    seed <- check_seed(seed)
    whole <- with_seed(seed, stats::fisher.test(counts, simulate.p.value = TRUE, B = draws))
  }
  cells <- expand.grid(group = levels(group), class = levels(class), KEEP.OUT.ATTRS = FALSE)
  of <- vapply(seq_len(nrow(cells)), function(i) {
    inside <- factor(group == cells$group[i], c(TRUE, FALSE))
    own <- factor(class == cells$class[i], c(TRUE, FALSE))
    found <- stats::fisher.test(table(inside, own), conf.level = level)
    c(sum(inside == TRUE & own == TRUE), mean(inside == TRUE) * sum(own == TRUE), found$estimate,
      found$conf.int, found$p.value)
  }, numeric(6L))
  cells[c("n", "expected", "odds_ratio", "lower", "upper", "p_value")] <- as.data.frame(t(of))
  cells$n <- as.integer(cells$n)
  cells$p_adjusted <- stats::p.adjust(cells$p_value, adjust)
  structure(list(table = cells, counts = counts, p_value = whole$p.value, exact = exact,
                 left_out = known$names[!complete],
                 settings = list(adjust = adjust, level = level, call = match.call())),
            class = "enrichment")
}

#' @rdname test_enrichment
#' @param x An `enrichment`.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @export
print.enrichment <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Groups against classes, ", plural(sum(x$counts), "sample"), ": p ",
      format(x$p_value, digits = 3), if (x$exact) " (Fisher's exact test)" else " (random tables)",
      "\n\n", sep = "")
  print(unclass(x$counts))
  cat("\n")
  print(format_columns(x$table[order(x$table$p_value), ]), row.names = FALSE)
  invisible(x)
}

#' @rdname test_enrichment
#' @export
as.data.frame.enrichment <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$table
}

#' @rdname test_enrichment
#' @export
tidy.enrichment <- function(x, ...) {
  refuse_dots(...)
  x$table
}
