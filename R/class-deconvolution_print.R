# What print() and summary() say of a result.

#' @rdname deconvolution
#' @export
print.deconvolution <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  n <- size_of(x)
  lines <- c(
    model_line(x),
    paste0(plural(n[2L], "sample"), ", ", plural(n[1L], "cell type"), ", ",
           plural(x$metrics$n_genes_used, "gene"), "; ", fit_text(x)),
    convergence_line(x)
  )
  cat(strwrap(lines, getOption("width"), exdent = 2), sep = "\n")
  what <- main_share(x)
  shares <- coef(x, what)
  few <- n[2L] <= MOST_LINES
  cat("\n", sub("Share", "Shares", SHARE_LABELS[[what]]), " ($", what, ")",
      if (few) ", largest first:" else " over samples:", "\n", sep = "")
  if (few) {
    cat(sample_lines(shares, digits), sep = "\n")
  } else {
    show_over_samples(utils::head(over_samples_table(shares), 12L), digits)
    if (n[1L] > 12L) cat("... and", plural(n[1L] - 12L, "more type"), "\n")
  }
  if ("Intercept" %in% rownames(x$exposures)) {
    cat("\nIntercept (unexplained): ", range_text(x$intercept_fraction, digits), "\n", sep = "")
  }
  if (what != "proportions") cat("\nShares of mRNA are in $proportions.\n")
  invisible(x)
}

# Samples that have a line of their own.
MOST_LINES <- 10L

# "Sample1  Type D .63, Type B .18, ...", as far as the line goes.
sample_lines <- function(shares, digits) {
  names <- format(shorten(colnames(shares)))
  vapply(seq_len(ncol(shares)), function(s) {
    own <- shares[, s]
    order <- order(-own)
    order <- order[!is.na(own[order]) & round(own[order], digits) > 0]
    if (!length(order)) return(paste0(names[s], "  none"))
    parts <- paste(shorten(rownames(shares)[order]), format(round(own[order], digits), trim = TRUE))
    room <- getOption("width") - nchar(names[s]) - 8L
    kept <- max(1L, sum(cumsum(nchar(parts) + 2L) <= room))
    paste0(names[s], "  ", paste(parts[seq_len(kept)], collapse = ", "),
           if (kept < length(parts)) ", ...")
  }, "")
}

# A row per type, the largest mean first.
over_samples_table <- function(shares) {
  table <- data.frame(
    type = rownames(shares), mean = rowMeans(shares, na.rm = TRUE),
    min = apply(shares, 1L, min, na.rm = TRUE), max = apply(shares, 1L, max, na.rm = TRUE),
    zero_in = rowSums(shares == 0, na.rm = TRUE), row.names = NULL
  )
  table[order(-table$mean), ]
}

show_over_samples <- function(table, digits) {
  numbers <- c("mean", "min", "max")
  table[numbers] <- lapply(table[numbers], round, digits)
  print(table, row.names = FALSE)
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
  paste0("bulk and reference differ by a factor of ", format(exp(sqrt(x$model$tau2)), digits = 3),
         " in a typical gene")
}

convergence_line <- function(x) {
  table <- x$convergence
  gap <- if (x$error_model == "poisson") {
    paste0("within ", format(max(table$gap), digits = 2), " log-likelihood units of the optimum")
  } else {
    paste0("no step gains more than ", format(max(table$gap), digits = 2),
           " log-likelihood units")
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
    types = over_samples_table(shares)
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
  show_over_samples(x$types, digits)
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
