# The class of evaluate_recovery().

SCORE_NAMES <- c(
  overall_pearson = "Overall Pearson", overall_spearman = "Overall Spearman",
  gene_pearson = "Gene Pearson, mean", gene_spearman = "Gene Spearman, mean",
  sample_pearson = "Sample Pearson, mean", sample_spearman = "Sample Spearman, mean",
  sample_distance = "Sample distances, Pearson",
  sample_distance_spearman = "Sample distances, Spearman",
  gene_distance = "Gene distances, Pearson", gene_distance_spearman = "Gene distances, Spearman",
  coverage = "Coverage of 95 % intervals"
)

#' @rdname evaluate_recovery
#' @param x An object of class `recovery_evaluation`.
#' @param digits Digits after the point.
#' @param ... None: other arguments are refused.
#' @export
print.recovery_evaluation <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Recovery of ", plural(nrow(x$genes), "gene"), " in ", plural(nrow(x$samples), "sample"),
      "; intervals over samples\n", sep = "")
  table <- x$scores
  table$score <- format(unname(SCORE_NAMES[table$score]))
  table[-1L] <- lapply(table[-1L], formatC, digits, format = "f")
  print(table, row.names = FALSE)
  flat <- sum(is.nan(x$genes$pearson))
  if (flat) cat("Left out, for they do not vary: ", plural(flat, "gene"), "\n", sep = "")
  invisible(x)
}

#' @rdname evaluate_recovery
#' @param row.names,optional For agreement with the generic; row names are refused.
#' @export
as.data.frame.recovery_evaluation <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$scores
}
