#' Results of program extraction
#'
#' Methods for what [extract_program()] returns.
#'
#' @param x,object An `expression_program`.
#' @param program Name or number of a program; all by default.
#' @param fdr Genes up to this false discovery rate.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return `as.data.frame()` gives the gene table (to be written with
#'   [utils::write.csv()]); `tidy()` the same with the names of package broom
#'   (`term`, `component`, `estimate`, `std.error`, `statistic`, `p.value`,
#'   `adj.p.value`); `summary()` a data frame with a row per program: its share
#'   of mRNA (median and range over samples), `novelty`, the type that is nearest
#'   to it, genes above and below the types at 5 % FDR, and the median agreement
#'   of samples.
#' @section Errors: `unalloy_error_no_tests` when the genes were not tested.
#' @name expression_program
#' @examples
#' sim <- simulate_bulk(n_genes = 400, n_types = 4, n_samples = 10, missing_type = 4, seed = 2)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
#' program <- extract_program(result, seed = 1)
#' summary(program)
#' head(as.data.frame(program, fdr = 0.05))
NULL

#' @rdname expression_program
#' @export
print.expression_program <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  programs <- rownames(x$loadings)
  cat(plural(length(programs), "expression program"), " beside ",
      plural(nrow(x$proportions), "cell type"), ": ", plural(ncol(x$loadings), "sample"), ", ",
      plural(nrow(x$programs), "gene"), "\n", sep = "")
  percent <- function(v) format(round(100 * v, 1), nsmall = 1, trim = TRUE)
  for (program in programs) {
    share <- percent(stats::quantile(x$shares[program, ], c(0.5, 0, 1), na.rm = TRUE))
    cat(program, ": ", share[1L], " % of the mRNA (", share[2L], " to ", share[3L], "); ",
        percent(x$novelty[[program]]), " % of it unlike any mixture of types, nearest ",
        rownames(x$mixture)[which.max(x$mixture[, program])], "\n", sep = "")
    own <- x$genes[x$genes$program == program, ]
    if (length(own$fdr)) {
      up <- own$gene[own$fdr <= 0.05 & own$statistic > 0]
      named <- if (length(up)) paste(c(utils::head(up, 6L), if (length(up) > 6L) "..."),
                                     collapse = ", ")
      cat("  ", plural(length(up), "gene"), " above the types (FDR 5 %): ",
          named %||% "no evidence of a program", "\n", sep = "")
    }
  }
  if (x$convergence$reason != "converged") {
    cat("Not converged after", x$convergence$iterations, "iterations\n")
  }
  invisible(x)
}

#' @rdname expression_program
#' @export
summary.expression_program <- function(object, ...) {
  refuse_dots(...)
  programs <- rownames(object$loadings)
  each <- function(f) vapply(programs, f, 0, USE.NAMES = FALSE)
  found <- function(sign) {
    each(function(program) {
      if (is.null(object$genes)) return(NA_real_)
      own <- object$genes[object$genes$program == program, ]
      sum(own$fdr <= 0.05 & sign * own$statistic > 0)
    })
  }
  share <- function(f) each(function(program) f(object$shares[program, ], na.rm = TRUE))
  data.frame(
    program = programs, share = share(stats::median), lowest = share(min), highest = share(max),
    novelty = unname(object$novelty),
    nearest = rownames(object$mixture)[apply(object$mixture, 2L, which.max)],
    genes_up = found(1), genes_down = found(-1),
    agreement = each(function(program) {
      stats::median(object$consistency$agreement[object$consistency$program == program],
                    na.rm = TRUE)
    })
  )
}

#' @rdname expression_program
#' @export
as.data.frame.expression_program <- function(x, row.names = NULL, optional = FALSE,
                                             program = NULL, fdr = 1, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  fdr <- check_number(fdr, "fdr", 0, 1)
  table <- tested_genes(x)
  if (!is.null(program)) table <- table[table$program %in% program_names(x, program), ]
  table <- table[table$fdr <= fdr, ]
  rownames(table) <- NULL
  table
}

tested_genes <- function(x, .call = caller_env()) {
  if (is.null(x$genes)) {
    stop_user("no_tests", "The genes of the program were not tested.",
              i = "Run `extract_program()` with `test = TRUE`.", .call = .call)
  }
  x$genes
}

program_names <- function(x, program, .call = caller_env()) {
  known <- rownames(x$loadings)
  names <- if (is.numeric(program)) known[program] else program
  if (!length(names) || anyNA(names) || !all(names %in% known)) {
    stop_user("argument", "There is no such program.",
              x = paste0("Asked for ", some_of(program), "; there are ", some_of(known), "."),
              .call = .call)
  }
  names
}

#' @rdname expression_program
#' @export
tidy.expression_program <- function(x, ...) {
  refuse_dots(...)
  table <- tested_genes(x)
  data.frame(term = table$gene, component = table$program, estimate = table$log2_fold,
             std.error = table$std_error, statistic = table$statistic, p.value = table$p_value,
             adj.p.value = table$fdr)
}
