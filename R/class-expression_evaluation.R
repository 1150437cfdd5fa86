# The class of evaluate_expression().

#' @rdname evaluate_expression
#' @export
print.expression_evaluation <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Expression of ", plural(length(unique(x$scores$type)), "cell type"),
      ", log1p of copies per million\n", sep = "")
  for (over in c("samples", "genes")) {
    table <- x$scores[x$scores$over == over, ]
    shown <- data.frame(
      lapply(table[c("pearson", "spearman", "ccc", "rmse")], formatC, digits, format = "f"),
      n = table$n, missing = ifelse(is.na(table$missing), "none", paste0(
        format(100 * table$missing, digits = 2, trim = TRUE), " %"
      ))
    )
    names(shown)[5L] <- if (over == "samples") "genes" else "samples"
    rownames(shown) <- make.unique(as.character(table$type))
    cat("\nOver ", over, ", mean of ", names(shown)[5L], "\n", sep = "")
    print(shown)
  }
  gone <- x$left_out[x$left_out > 0]
  if (length(gone)) {
    cat("\nIn one of the two only: ", paste(count_text(gone), names(gone), collapse = ", "), "\n",
        sep = "")
  }
  invisible(x)
}

#' @rdname evaluate_expression
#' @export
as.data.frame.expression_evaluation <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(...)
  x$scores
}
