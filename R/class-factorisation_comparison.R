#' @rdname compare_factorisations
#' @param x A `factorisation_comparison`.
#' @param digits Digits to print.
#' @export
print.factorisation_comparison <- function(x, digits = 2, ...) {
  refuse_dots(...)
  cat("Comparison of ", paste(x$names, collapse = ", "), "\n", sep = "")
  show <- function(rows, title) {
    cat("\n", title, "\n", sep = "")
    numbers <- vapply(rows, is.numeric, NA)
    rows[numbers] <- lapply(rows[numbers], round, digits = digits)
    print(rows, row.names = FALSE)
  }
  if (!is.null(x$matches)) show(x$matches, paste0("Components of ", x$names[1L], " and partners"))
  if (!is.null(x$signatures)) {
    show(x$signatures[x$signatures$matched, names(x$signatures) != "matched"],
         "Matched signatures")
  }
  if (!is.null(x$gene_sets)) {
    show(leading_sets(x$gene_sets), "Gene set at the end of each component")
  }
  if (!is.null(x$classes)) show(x$classes, "Variance of coefficients between classes")
  invisible(x)
}

# The set farthest from 1/2 in ranks, per component.
leading_sets <- function(table) {
  of <- paste(table$factorisation, table$component)
  best <- tapply(seq_len(nrow(table)), factor(of, unique(of)), function(rows) {
    rows[which.min(table$p[rows])]
  })
  table[as.vector(best), ]
}
