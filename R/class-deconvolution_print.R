# What print() and summary() say of a result.

#' @rdname deconvolution
#' @export
print.deconvolution <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  n <- size_of(x)
  cat(model_line(x), "\n", sep = "")
  cat("Deconvolution of ", plural(n[2L], "sample"), " into ", plural(n[1L], "cell type"), " (",
      plural(x$metrics$n_genes_used, "gene"), ", ", fit_text(x), ")\n", sep = "")
  cat(convergence_line(x), "\n", sep = "")
  shown_samples <- seq_len(min(6L, n[2L]))
  shown_types <- seq_len(min(12L, n[1L]))
  show_shares <- function(shares) {
    print(round(shares[shown_types, shown_samples, drop = FALSE], digits))
  }
  if (!is.null(x$cell_fractions)) {
    cat("\nShares of cells ($cell_fractions):\n")
    show_shares(x$cell_fractions)
  }
  cat("\nShares of mRNA ($proportions):\n")
  show_shares(x$proportions)
  hidden <- c(
    if (n[1L] > length(shown_types)) plural(n[1L] - length(shown_types), "more type"),
    if (n[2L] > length(shown_samples)) plural(n[2L] - length(shown_samples), "more sample")
  )
  if (length(hidden)) cat("... and", paste(hidden, collapse = ", "), "\n")
  if ("Intercept" %in% rownames(x$exposures)) {
    cat("\nIntercept (unexplained): ", range_text(x$intercept_fraction, digits), "\n", sep = "")
  }
  invisible(x)
}

MODEL_NAMES <- c(platform = "Platform error model", poisson = "Poisson model")

# Which error model was taken, and why.
model_line <- function(x) {
  name <- MODEL_NAMES[[x$error_model]]
  reason <- x$settings$model_reason
  paste0(name, if (!is.null(reason)) paste0(" (", reason, ")"))
}

# How the optimum was found, or what the model found beside the shares.
fit_text <- function(x) {
  if (x$error_model == "poisson") return(paste0("method \"", x$settings$method, "\""))
  paste0("log factor per gene of sd ", format(sqrt(x$model$tau2), digits = 2))
}

convergence_line <- function(x) {
  table <- x$convergence
  gap <- if (x$error_model == "poisson") {
    paste0("within ", format(max(table$gap), digits = 2), " log-likelihood units of the optimum")
  } else {
    paste0("stationary, ", format(max(table$gap), digits = 2), " objective units left to gain")
  }
  if (all(table$converged)) {
    paste0("Converged: ", if (x$error_model == "poisson") "certified ", gap)
  } else {
    paste0("NOT converged in ", sum(!table$converged), " of ", plural(nrow(table), "sample"),
           ": ", gap)
  }
}

range_text <- function(x, digits) {
  x <- x[is.finite(x)] # a fit that is constant has no correlation
  if (!length(x)) return("NA")
  if (length(x) == 1L) return(format(round(x, digits)))
  paste0("median ", format(round(stats::median(x), digits)), ", range ",
         format(round(min(x), digits)), " to ", format(round(max(x), digits)))
}

#' @rdname deconvolution
#' @export
summary.deconvolution <- function(object, ...) {
  refuse_dots(...)
  shares <- coef(object, main_share(object))
  structure(list(
    what = main_share(object), type_error = type_error_table(object), model = model_line(object),
    call = object$call, dim = size_of(object), convergence = convergence_line(object),
    iterations = range(object$convergence$iterations),
    method = fit_text(object), genes = object$genes,
    length_exponent = object$model$length_exponent, metrics = object$metrics,
    intercept = if ("Intercept" %in% rownames(object$exposures)) object$intercept_fraction,
    types = data.frame(
      type = rownames(shares), mean = rowMeans(shares, na.rm = TRUE),
      min = apply(shares, 1L, min, na.rm = TRUE), max = apply(shares, 1L, max, na.rm = TRUE),
      zero_in = rowSums(shares == 0, na.rm = TRUE), row.names = NULL
    )
  ), class = "summary.deconvolution")
}

#' @export
print.summary.deconvolution <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat(x$model, "\n", sep = "")
  cat("Deconvolution of ", plural(x$dim[2L], "sample"), " into ", plural(x$dim[1L], "cell type"),
      "\n\n", sep = "")
  genes <- x$genes
  cat("Genes      ", count_text(genes$matched), " matched by ", genes$by, " (bulk ",
      count_text(genes$bulk), ", signatures ", count_text(genes$signatures), "), ",
      count_text(x$metrics$n_genes_used), " carry weight\n", sep = "")
  cat("Values     ", genes$unit, "\n", sep = "")
  cat("Lengths    exponent ", x$length_exponent, "\n", sep = "")
  cat("Fitted by  ", x$method, ", ", paste(unique(x$iterations), collapse = " to "),
      " iterations\n           ", x$convergence, "\n", sep = "")
  cat("Fit        correlation ", range_text(x$metrics$gene_correlation, digits), "\n", sep = "")
  if (!is.null(x$metrics$pseudo_r2)) {
    cat("           pseudo R2 ", format(round(x$metrics$pseudo_r2, digits)), ", R2 ",
        format(round(x$metrics$r_squared, digits)), "\n", sep = "")
  }
  if (!is.null(x$intercept)) cat("Intercept  ", range_text(x$intercept, digits), "\n", sep = "")
  cat("Type error ", type_error_text(x$type_error), "\n", sep = "")
  cat("\n", sub("Share", "Shares", SHARE_LABELS[[x$what]]), " over samples:\n", sep = "")
  table <- x$types
  table[c("mean", "min", "max")] <- lapply(table[c("mean", "min", "max")], round, digits)
  print(table, row.names = FALSE)
  invisible(x)
}

# The error that the genes of a type share: how large, and where that comes from.
type_error_text <- function(table) {
  range <- unique(format(round(range(table$sd), 2)))
  cells <- range(table$cell_size)
  paste0("log sd ", paste(range, collapse = " to "), " shared by the genes of a type (",
         table$from[1L], ")",
         if (cells[2L] > 0) {
           paste0("\n           and ", paste(unique(format(round(cells, 2))), collapse = " to "),
                  " of the mRNA per cell")
         })
}
