# Methods of cell_type_expression: values are computed when they are asked for.

EXPRESSION_FIELDS <- c("expression", "variance", "std_error", "reliability")
PROGRAM_FIELDS <- c("activities", "activity_error", "loadings")

#' @rdname cell_type_expression
#' @export
`$.cell_type_expression` <- function(x, name) {
  parts <- unclass(x)
  if (name == "prior") return(prior_places(parts))
  if (name == "programs") return(type_program_table(parts))
  if (name %in% PROGRAM_FIELDS) return(program_field(parts, name))
  if (!name %in% EXPRESSION_FIELDS) return(parts[[name]])
  if (name == "expression" && !is.null(parts$written)) return(written_expression(parts))
  values <- expression_block(parts, name)[[1L]]
  if (length(parts$types) > 1L) return(values)
  matrix(values, nrow(values), dimnames = dimnames(values)[c(1L, 3L)])
}

#' @rdname cell_type_expression
#' @export
`[[.cell_type_expression` <- function(x, i) `$.cell_type_expression`(x, i)

#' @rdname cell_type_expression
#' @export
`[.cell_type_expression` <- function(x, i, j, k) {
  parts <- unclass(x)
  keep <- function(index, names, noun) {
    kept <- if (is.character(index)) match(index, names) else seq_along(names)[index]
    if (anyNA(kept) || !length(kept)) {
      stop_user("argument", paste0("There is no such ", noun, "."),
                x = paste0("Asked for ", some_of(index), "; there are ", some_of(names), "."),
                .call = caller_env())
    }
    kept
  }
  if (!missing(j)) parts$types <- parts$types[keep(j, parts$types, "type")]
  if (!missing(k)) {
    parts$samples <- parts$samples[keep(k, parts$samples, "sample")]
    parts$sample_data <- parts$sample_data[parts$samples, , drop = FALSE]
  }
  if (!missing(i)) {
    kept <- keep(i, parts$genes, "gene")
    parts$genes <- parts$genes[kept]
    if (parts$method == "network") {
      parts$data$values <- parts$data$values[kept, , , drop = FALSE]
      return(structure(parts, class = "cell_type_expression"))
    }
    parts$sources <- parts$sources[kept, , drop = FALSE]
    parts$lengths <- parts$lengths[kept]
    parts$cohort$place <- match(parts$cohort$place, kept, nomatch = 0L)
    parts$cohort$n_genes <- length(kept)
    if (!is.null(parts$model)) {
      for (field in c("between", "counting", "mean", "covariance")) {
        parts$model[[field]] <- parts$model[[field]][kept, , drop = FALSE]
      }
      for (field in c("log_factor", "level")) {
        parts$model[[field]] <- parts$model[[field]][kept]
      }
    }
    if (!is.null(parts$programs)) {
      parts$programs$loadings <- parts$programs$loadings[kept, , drop = FALSE]
    }
  }
  structure(parts, class = "cell_type_expression")
}

#' @rdname cell_type_expression
#' @export
dim.cell_type_expression <- function(x) {
  parts <- unclass(x)
  c(length(parts$genes), length(parts$types), length(parts$samples))
}

#' @rdname cell_type_expression
#' @export
dimnames.cell_type_expression <- function(x) unclass(x)[c("genes", "types", "samples")]

#' @rdname cell_type_expression
#' @export
as.array.cell_type_expression <- function(x, what = c("expression", "variance", "std_error",
                                                      "reliability"), sink = NULL,
                                            BPPARAM = NULL, ...) {
  refuse_dots(...)
  what <- check_choice(what, EXPRESSION_FIELDS, "what")
  plan <- work_plan(BPPARAM)
  if (!is.null(sink)) return(write_expression(unclass(x), what, check_sink(sink), plan))
  if (!is.null(plan)) {
    warn_user("unused_argument", "`BPPARAM` has no effect without `sink`.")
  }
  expression_block(unclass(x), what)[[1L]]
}

#' @rdname cell_type_expression
#' @export
as.data.frame.cell_type_expression <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  parts <- unclass(x)
  fields <- c("expression", if (parts$method != "network") "std_error",
              if (parts$method == "blup") "reliability")
  values <- expression_block(parts, fields)
  size <- dim(x)
  factor_of <- function(names, ...) factor(rep(names, ...), names)
  out <- data.frame(
    gene = rep(parts$genes, size[2L] * size[3L]),
    type = factor_of(parts$types, each = size[1L], times = size[3L]),
    sample = factor_of(parts$samples, each = size[1L] * size[2L]),
    lapply(values, as.vector)
  )
  if (parts$units == "cpm") out$prior <- rep(as.vector(prior_places(parts)), each = size[1L])
  out
}

#' @rdname cell_type_expression
#' @export
print.cell_type_expression <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  parts <- unclass(x)
  cat("Expression of ", plural(length(parts$types), "cell type"), " in ",
      plural(length(parts$samples), "sample"), ", ", plural(length(parts$genes), "gene"), "\n",
      sep = "")
  cat("Types: ", some_of(parts$types, 6L), "\n", sep = "")
  unit <- c(counts = "counts", cpm = "copies per million of the type's own mRNA")[[parts$units]]
  prior <- sum(prior_places(parts))
  told <- if (prior) {
    paste0("Absent types, with the mean of the type: ", count_text(prior), " of ",
           count_text(length(parts$types) * length(parts$samples)), " ($prior)\n")
  }
  if (parts$method == "network") {
    cat("Predicted by a network, as ", unit, "\nValues: $expression\n", sep = "")
    return(invisible(x))
  }
  if (parts$method == "allocation") {
    cat("Counts allocated in the ratio of the signatures, as ", unit, "\n", told, sep = "")
    return(invisible(x))
  }
  model <- parts$model
  cat("Best linear unbiased prediction, as ", unit, "\n", sep = "")
  cat("Variances between people: ", if (parts$learnt) "reference and cohort" else "reference",
      "; noise ", format(model$noise, digits = 3), " times Poisson; platform error sd ",
      format(sqrt(model$tau2), digits = 2), "\n", sep = "")
  if (parts$learnt) {
    factors <- model$factors[intersect(parts$types, names(model$factors))]
    shown <- utils::head(factors, 6L)
    cat("Variance over that of the reference: ",
        paste0(names(shown), " ", format(shown, digits = 2, trim = TRUE), collapse = ", "),
        if (length(factors) > 6L) ", ...", "\n", sep = "")
  }
  cat(type_program_text(type_program_table(parts)), told, sep = "")
  cat("Values: $expression, $std_error, $reliability",
      if (!is.null(parts$programs)) ", $activities", "\n", sep = "")
  invisible(x)
}

#' @rdname cell_type_expression
#' @export
expression_reliability <- function(x) {
  check_call()
  check_expression(x)
  here <- environment()
  parts <- unclass(x)
  # v is the square of the exposure times what is the same for all samples
  exposures <- parts$cohort$exposures[parts$types, parts$samples, drop = FALSE]
  weight <- (exposures * rep(parts$model$sizes[parts$samples], each = length(parts$types)))^2
  out <- matrix(0, length(parts$genes), length(parts$types),
                dimnames = list(parts$genes, parts$types))
  over_expression(parts, "reliability", parts$types, parts$samples, function(found, at) {
    for (j in seq_along(parts$types)) {
      own <- matrix(found$reliability[, j, ], nrow(out))
      out[, j] <<- out[, j] + drop(own %*% weight[j, at])
    }
  }, .call = here)
  total <- rowSums(weight)
  out / rep(ifelse(total > 0, total, 1), each = nrow(out))
}

#' @rdname cell_type_expression
#' @export
as_summarized_experiment <- function(x, what = c("expression", "variance", "std_error",
                                                 "reliability")) {
  check_call()
  check_expression(x)
  what <- check_choice(what, EXPRESSION_FIELDS, "what")
  need_package("SummarizedExperiment", "to make a SummarizedExperiment")
  parts <- unclass(x)
  assays <- lapply(stats::setNames(nm = parts$types), function(type) {
    values <- expression_block(parts, what, type)[[1L]]
    matrix(values, nrow(values), dimnames = dimnames(values)[c(1L, 3L)])
  })
  shares <- t(parts$proportions[, parts$samples, drop = FALSE])
  columns <- as.data.frame(shares, optional = TRUE)
  known <- setdiff(names(parts$sample_data), names(columns))
  columns <- c(columns, parts$sample_data[known])
  out <- SummarizedExperiment::SummarizedExperiment(
    assays, colData = S4Vectors::DataFrame(columns, row.names = parts$samples, check.names = FALSE)
  )
  if (parts$method == "blup") {
    reliability <- expression_reliability(x)
    colnames(reliability) <- paste("reliability", colnames(reliability))
    SummarizedExperiment::rowData(out) <- S4Vectors::DataFrame(reliability, check.names = FALSE)
  }
  if (parts$units == "cpm") S4Vectors::metadata(out)$prior <- prior_places(parts)
  out
}

check_expression <- function(x, .call = caller_env()) {
  if (!inherits(x, "cell_type_expression")) {
    stop_user("argument", "`x` must be a result of `cell_type_expression()`.",
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
}
