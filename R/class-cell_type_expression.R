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
  fields <- c("expression", "std_error", if (parts$method == "blup") "reliability")
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

# A block of the tensor: one or more of the fields as arrays genes x types x
# samples.
expression_block <- function(x, fields, types = x$types, samples = x$samples,
                             .call = caller_env()) {
  names <- list(x$genes, types, samples)
  out <- lapply(stats::setNames(nm = fields), function(field) {
    array(0, lengths(names), names)
  })
  over_expression(x, fields, types, samples, function(found, at) {
    for (field in fields) out[[field]][, , at] <<- found[[field]]
  }, .call = .call)
  out
}

# Calls `take(found, at)` for groups of the samples asked for: their fields, and their
# places among these.
over_expression <- function(x, fields, types, samples, take, .call = caller_env()) {
  if (x$method == "allocation" && "reliability" %in% fields) {
    stop_user("no_reliability", "An allocation has no reliability.",
              x = "It predicts no deviation of a sample from the mean of its type.",
              i = "Use `method = \"blup\"`.", .call = .call)
  }
  # the groups of the whole cohort, so that a sample has the same bits in any company
  all <- colnames(x$cohort$exposures)
  asked <- match(samples, all)
  group <- (asked - 1L) %/% CORE_BLOCK
  # as many groups at a time as are read at a time
  size <- max(1, floor(disk_block(.call) / (8 * x$cohort$bulk$n_rows * CORE_BLOCK)))
  for (read in split(seq_along(asked), group %/% size)) {
    columns <- seq(min(group[read]) * CORE_BLOCK + 1L,
                   min(max(group[read] + 1L) * CORE_BLOCK, length(all)))
    values <- block_values(x$cohort$bulk, columns, .call)
    for (at in split(read, group[read])) {
      own <- seq(group[at[1L]] * CORE_BLOCK + 1L,
                 min((group[at[1L]] + 1L) * CORE_BLOCK, length(all)))
      counts <- in_genes(values[, own - columns[1L] + 1L, drop = FALSE], x$cohort$place,
                         x$cohort$n_genes)
      take(expression_of(x, fields, types, counts, own, asked[at], .call), at)
    }
  }
}

# Fields of the samples `asked` (positions in the cohort) among `columns`, whose counts are
# given.
expression_of <- function(x, fields, types, counts, columns, asked, .call) {
  sources <- match(types, colnames(x$sources))
  samples <- colnames(x$cohort$exposures)[asked]
  data <- list(counts = counts, sources = x$sources, lengths = x$lengths,
               exposures = x$cohort$exposures[, columns, drop = FALSE])
  places <- match(asked, columns)
  found <- if (x$method == "allocation") {
    call_rs(rs_allocate, data = data, sources = sources, samples = places, .call = .call)
  } else {
    fit <- x$model
    fit$sizes <- fit$sizes[columns]
    # a bar of its own for every block would flicker
    covariance <- if (!is.null(x$covariance)) x$covariance[, , asked, drop = FALSE]
    call_rs(rs_predict_expression, data = data, fit = fit, sources = sources,
            samples = places, covariance = covariance,
            programs = asked_programs(x$programs, asked), threads = x$threads,
            value = "expression" %in% fields, reliability = "reliability" %in% fields,
            variance = any(c("variance", "std_error") %in% fields), .call = .call)
  }
  scale <- if (x$units == "cpm") copies_per_million(x, sources, asked)
  out <- list()
  for (field in fields) {
    values <- switch(field, expression = found$value, reliability = found$reliability,
                     found$variance)
    if (field == "std_error") values <- sqrt(values)
    if (!is.null(scale) && field != "reliability") {
      values <- values * if (field == "variance") scale^2 else scale
    }
    if (x$units == "cpm" && field != "reliability") {
      values <- with_prior(values, prior_places(x, types, samples),
                           type_level(x, found, sources, field))
    }
    out[[field]] <- values
  }
  out
}

# From reads to copies per million of the type's own mRNA; NA without any.
copies_per_million <- function(x, sources, columns) {
  molecules <- x$cohort$exposures[sources, columns, drop = FALSE]
  if (!is.null(x$model)) {
    molecules <- molecules * rep(x$model$sizes[columns], each = length(sources))
  }
  molecules[molecules == 0] <- NA
  as.vector(outer(1 / x$lengths, as.vector(1e6 / molecules)))
}

# Where copies per million are not of the sample: it has none of the type.
prior_places <- function(x, types = x$types, samples = x$samples) {
  sources <- match(types, colnames(x$sources))
  columns <- match(samples, colnames(x$cohort$exposures))
  matrix(x$units == "cpm" & x$cohort$exposures[sources, columns] == 0, length(types),
         dimnames = list(types, samples))
}

# Copies per million of a type in a sample that does not tell, genes x types: the mean
# of the cohort and the deviation of one sample from it, or the signature, whose
# deviation an allocation does not know.
type_level <- function(x, found, sources, field) {
  per_million <- 1e6 / x$lengths
  if (is.null(found$level)) {
    signature <- x$sources[, sources, drop = FALSE] * 1e6
    return(if (field == "expression") signature else NA * signature)
  }
  switch(field, expression = found$level * per_million,
         variance = found$level_variance * per_million^2,
         std_error = sqrt(found$level_variance) * per_million)
}

with_prior <- function(values, prior, level) {
  for (at in which(prior)) {
    place <- arrayInd(at, dim(prior))
    values[, place[1L], place[2L]] <- level[, place[1L]]
  }
  values
}
