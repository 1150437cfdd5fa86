#' The result of a comparison of groups
#'
#' What [compare_groups()] returns.
#'
#' @details
#' A `group_comparison` is a list:
#' \describe{
#'   \item{`table`}{A row per feature and pair of groups (or feature, for a slope): `type`,
#'     `gene`, `component`, `factor` or `feature`; `comparison`, such as `"treated -
#'     control"`; `estimate`, in the unit of the values; `std_error`, `lower`, `upper`;
#'     `statistic` (t), `df`, `p_value`, `p_adjusted` (over all rows). Of genes also
#'     `type` and `reliability`.}
#'   \item{`overall`}{For three groups and more, an F test per feature: `statistic`, `df1`,
#'     `df2`, `p_value`, `p_adjusted`.}
#'   \item{`means`}{Per feature and group: `n`, `mean` and `sd` of the values, not
#'     adjusted. Absent for a slope.}
#'   \item{`left_out`}{Samples without complete data.}
#'   \item{`values`, `design`, `settings`}{What pictures and pathways are made from.}
#' }
#'
#' @param x,object A `group_comparison`.
#' @param n Rows to print, those of the smallest p values first.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return `as.data.frame()` and `tidy()`: `table`. `summary()`: a data frame with a row per
#'   comparison (and type, of genes): `tested`, `significant` (`p_adjusted` below 0.05),
#'   `higher` and `lower` of these.
#' @seealso [compare_groups()], [plot.group_comparison()]
#' @name group_comparison
#' @examples
#' shares <- matrix(c(0.2, 0.3, 0.5), 3, 10) + rnorm(30, 0, 0.01)
#' dimnames(shares) <- list(c("B", "NK", "T"), paste0("S", 1:10))
#' samples <- data.frame(group = rep(c("a", "b"), 5), row.names = colnames(shares))
#' compared <- compare_groups(shares, ~ group, samples)
#' compared
#' as.data.frame(compared)
NULL

new_group_comparison <- function(parts, measured, design, parsed, table, settings) {
  bind <- function(name) do.call(rbind, lapply(parts, `[[`, name))
  genes <- measured$noun == "gene"
  named <- function(found) {
    names(found)[names(found) == "feature"] <- measured$noun
    if (!genes) found <- found[c(measured$noun, setdiff(names(found), c(measured$noun, "type")))]
    rownames(found) <- NULL
    found
  }
  effects <- bind("table")
  effects$p_adjusted <- stats::p.adjust(effects$p_value, settings$adjust)
  if (measured$noun == "type") effects$type <- NULL
  if (genes) {
    effects$reliability <- unlist(Map(function(block, part) {
      if (is.null(part)) return(NULL)
      of <- block$gene_reliability %||% NA_real_
      rep_len(rep(of, each = length(design$contrasts$names)), nrow(part$table))
    }, measured$blocks, parts), use.names = FALSE)
  }
  grouped <- is.factor(design$compared)
  overall <- if (grouped && nlevels(design$compared) > 2L) {
    found <- bind("overall")
    found$p_adjusted <- stats::p.adjust(found$p_value, settings$adjust)
    if (measured$noun == "type") found$type <- NULL
    named(found)
  }
  structure(list(
    table = named(effects), overall = overall,
    means = if (grouped) named(means_of_groups(measured, parts, parsed$term, table)),
    left_out = setdiff(measured$samples, design$samples), values = measured,
    design = list(term = parsed$term, adjust = parsed$adjust, block = parsed$block,
                  samples = design$samples, compared = design$compared, patients = design$block,
                  contrasts = design$contrasts, X = design$X),
    settings = settings
  ), class = "group_comparison")
}

# Raw means, per block, feature and group.
means_of_groups <- function(measured, parts, term, table) {
  tested <- measured$blocks[!vapply(parts, is.null, NA)]
  of_block <- function(block) {
    known <- colSums(is.na(block$values)) == 0
    group <- factor(table[colnames(block$values)[known], term])
    values <- block$values[, known, drop = FALSE]
    of <- lapply(levels(group), function(level) {
      own <- values[, which(group == level), drop = FALSE]
      mean <- rowMeans(own)
      data.frame(type = block$type, feature = rownames(values), group = level, n = ncol(own),
                 mean = mean, sd = sqrt(rowSums((own - mean)^2) / (ncol(own) - 1)))
    })
    do.call(rbind, of)
  }
  out <- do.call(rbind, lapply(tested, of_block))
  out$group <- factor(out$group, unique(out$group))
  if (measured$noun == "type") out$type <- NULL
  out
}

# Columns that name a row: of genes, type and gene.
feature_columns <- function(x) c(if (x$values$noun == "gene") "type", x$values$noun)

#' @rdname group_comparison
#' @export
print.group_comparison <- function(x, n = 10, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  n <- check_count(n, "n")
  table <- x$table
  compared <- x$design$compared
  rows <- nrow(table) / length(x$design$contrasts$names)
  cat("Comparison of ", plural(rows, x$values$noun), " by ", x$design$term, ", ",
      plural(length(x$design$samples), "sample"), "\n", sep = "")
  if (is.factor(compared)) {
    cat("Groups: ", paste0(levels(compared), " ", table(compared), collapse = ", "), "\n", sep = "")
  }
  if (length(x$design$adjust)) {
    cat("Adjusted for ", paste(x$design$adjust, collapse = ", "), "\n", sep = "")
  }
  if (!is.null(x$design$patients)) {
    cat("Random intercept of ", plural(nlevels(x$design$patients), x$design$block), "\n", sep = "")
  }
  if (length(x$left_out)) {
    cat(plural(length(x$left_out), "sample"), " left out: data not complete\n", sep = "")
  }
  unreliable <- sum(vapply(x$values$blocks, `[[`, 0L, "left_out"))
  if (unreliable) {
    cat(plural(unreliable, "gene"), " of types left out: not reliable enough\n", sep = "")
  }
  cat("Values: ", x$values$unit, "; p values adjusted by ", x$settings$adjust, "\n\n", sep = "")
  shown <- utils::head(table[order(table$p_value), ], n)
  columns <- c(feature_columns(x), if (length(x$design$contrasts$names) > 1L) "comparison",
               "estimate", "lower", "upper", "p_value", "p_adjusted")
  if (length(x$design$contrasts$names) == 1L && is.factor(compared)) {
    cat("Estimates: ", x$design$contrasts$names, "\n", sep = "")
  }
  print(format_columns(shown[columns]), row.names = FALSE)
  if (any(table$p_value < 0.05 & table$lower * table$upper < 0, na.rm = TRUE)) {
    cat("Intervals also hold the error that all samples share, of which p values are free.\n")
  }
  if (nrow(table) > n) cat("... ", plural(nrow(table) - n, "row"), " more in $table\n", sep = "")
  invisible(x)
}

# Numbers in two or three digits, for prints.
format_columns <- function(table) {
  numeric <- vapply(table, is.double, NA)
  table[numeric] <- lapply(table[numeric], function(x) formatC(x, digits = 3, format = "g"))
  table
}

#' @rdname group_comparison
#' @export
summary.group_comparison <- function(object, ...) {
  refuse_dots(...)
  table <- object$table
  by <- table["comparison"]
  if (object$values$noun == "gene") by <- c(by, table["type"])
  parts <- split(table, lapply(by, function(x) factor(x, unique(x))), drop = TRUE, lex.order = TRUE)
  out <- do.call(rbind, lapply(parts, function(part) {
    found <- which(part$p_adjusted < 0.05)
    data.frame(part[1L, names(by), drop = FALSE], tested = nrow(part),
               significant = length(found), higher = sum(part$estimate[found] > 0),
               lower = sum(part$estimate[found] < 0))
  }))
  rownames(out) <- NULL
  out
}

#' @rdname group_comparison
#' @export
as.data.frame.group_comparison <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$table
}

#' @rdname group_comparison
#' @export
tidy.group_comparison <- function(x, ...) {
  refuse_dots(...)
  x$table
}
