#' Results of program extraction
#'
#' Methods for what [extract_program()] returns.
#'
#' @param x,object An `expression_program`.
#' @param program Name or number of a program; all by default.
#' @param fdr Genes up to this false discovery rate.
#' @param row.names,optional,... Not used; for agreement with the generics.
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
  table <- tested_genes(x)
  data.frame(term = table$gene, component = table$program, estimate = table$log2_fold,
             std.error = table$std_error, statistic = table$statistic, p.value = table$p_value,
             adj.p.value = table$fdr)
}

#' Plots of expression programs
#'
#' `"genes"`: the genes of a program with the largest test statistics, with their
#' log2 fold over the nearest mixture of types (bars: two standard errors).
#' `"volcano"`: all genes. `"loadings"`: its share of each sample's mRNA.
#' `"consistency"`: for each sample how much what the types leave of it looks like
#' the program, against the program's share; samples that have the share without
#' the likeness have something else.
#'
#' @param x An `expression_program` of [extract_program()].
#' @param type What to draw; see above.
#' @param program Name or number of the program.
#' @param n For `"genes"`: how many. For `"volcano"`: how many are named.
#' @param group For `"loadings"`, `"consistency"`: a value per sample (in the order
#'   of the samples, or named by them).
#' @param fdr For `"volcano"`: genes up to this false discovery rate are coloured.
#' @param object The same as `x`.
#' @param ... Passed on to `plot_program()`.
#' @return A ggplot.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 400, n_types = 4, n_samples = 10, missing_type = 4, seed = 2)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
#' program <- extract_program(result, seed = 1)
#' plot_program(program)
#' plot_program(program, "loadings", group = rep(c("case", "control"), 5))
plot_program <- function(x, type = c("genes", "volcano", "loadings", "consistency"), program = 1,
                         n = 20, group = NULL, fdr = 0.05) {
  if (!inherits(x, "expression_program")) {
    stop_user("argument", "`x` must be a result of `extract_program()`.",
              x = paste0("It is ", describe(x), "."))
  }
  type <- check_choice(type, c("genes", "volcano", "loadings", "consistency"), "type")
  program <- program_names(x, program)[1L]
  n <- check_count(n, "n", min = 0)
  fdr <- check_number(fdr, "fdr", 0, 1)
  switch(type, genes = program_bars(x, program, n), volcano = program_volcano(x, program, n, fdr),
         loadings = program_shares(x, program, group),
         consistency = program_agreement(x, program, group))
}

#' @rdname plot_program
#' @export
plot.expression_program <- function(x, ...) print(plot_program(x, ...))

#' @rdname plot_program
#' @export
autoplot.expression_program <- function(object, ...) plot_program(object, ...)

program_bars <- function(x, program, n) {
  table <- utils::head(as.data.frame(x, program = program), max(n, 1))
  table$gene <- factor(table$gene, rev(table$gene))
  ggplot(table, aes(.data$log2_fold, .data$gene)) +
    geom_col(fill = TYPE_COLOURS[1L], width = 0.7) +
    geom_linerange(aes(xmin = .data$log2_fold - 2 * .data$std_error,
                       xmax = .data$log2_fold + 2 * .data$std_error), linewidth = 0.5) +
    scale_x_continuous(expand = expansion(c(0, 0.05))) +
    labs(title = paste("Genes of", program), x = "Log2 fold over the nearest mixture of types",
         y = NULL, caption = "Largest test statistics first. Lines: two standard errors.") +
    theme_unalloy() +
    theme(panel.grid.major.y = element_blank(),
          axis.text.y = element_text(size = rel(if (nrow(table) > 35) 0.6 else 0.9)))
}

program_volcano <- function(x, program, n, fdr) {
  table <- as.data.frame(x, program = program)
  table$minus <- -log10(pmax(table$p_value, 1e-300))
  table$kind <- factor(ifelse(table$fdr > fdr, "not told apart",
                              ifelse(table$log2_fold > 0, "above the types", "below the types")),
                       names(VOLCANO_COLOURS))
  named <- utils::head(table[order(table$p_value), ], n)
  ggplot(table, aes(.data$log2_fold, .data$minus, colour = .data$kind)) +
    geom_point(size = 0.9, alpha = 0.7) +
    ggplot2::geom_text(aes(label = .data$gene), named, size = 2.8, hjust = 0, nudge_x = 0.08,
                       show.legend = FALSE, check_overlap = TRUE, colour = "grey20") +
    scale_discrete_manual("colour", values = VOLCANO_COLOURS, drop = FALSE,
                          name = paste0("FDR ", format(100 * fdr), " %")) +
    scale_x_continuous(expand = expansion(c(0.05, 0.15))) +
    labs(title = paste("Genes of", program), x = "Log2 fold over the nearest mixture of types",
         y = "-log10 p") +
    theme_unalloy()
}

VOLCANO_COLOURS <- c("above the types" = "#D55E00", "below the types" = "#0072B2",
                     "not told apart" = "#B3B3B3")

program_shares <- function(x, program, group) {
  share <- x$shares[program, ]
  share[is.na(share)] <- 0
  table <- data.frame(sample = colnames(x$shares), share = unname(share))
  table <- place_samples(table, -table$share, group)
  ggplot(table, aes(.data$sample, .data$share)) +
    geom_col(fill = TYPE_COLOURS[1L], width = if (nrow(table) > 150) 1 else 0.85) +
    scale_y_continuous(expand = expansion(c(0, 0.05))) +
    labs(title = paste(program, "per sample"), y = "Share of mRNA") +
    sample_axis(nrow(table), group) + theme(panel.grid.major.x = element_blank())
}

program_agreement <- function(x, program, group) {
  table <- x$consistency[x$consistency$program == program, ]
  table$group <- check_group(group, table$sample)
  table <- table[is.finite(table$agreement), ]
  several <- nlevels(droplevels(table$group)) > 1L
  base <- ggplot(table, aes(.data$share, .data$agreement)) +
    geom_hline(yintercept = 0, colour = "grey60", linewidth = 0.3)
  points <- if (several) {
    list(geom_point(aes(colour = .data$group), size = 2),
         scale_discrete_manual("colour", values = type_palette(levels(table$group)), name = NULL))
  } else {
    list(geom_point(colour = TYPE_COLOURS[1L], size = 2))
  }
  few <- nrow(table) <= 40
  base + points +
    (if (few) ggplot2::geom_text(aes(label = .data$sample), size = 2.6, vjust = -0.9,
                                 check_overlap = TRUE, colour = "grey30")) +
    scale_y_continuous(limits = c(min(0, table$agreement), 1.03)) +
    scale_x_continuous(limits = c(0, NA), expand = expansion(c(0.03, 0.06))) +
    labs(title = paste("Do samples share", paste0(program, "?")), x = "Share of mRNA",
         y = "Agreement of what the types leave\nwith the program (cosine)") +
    theme_unalloy()
}
