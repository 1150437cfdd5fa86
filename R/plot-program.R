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
  check_call()
  here <- environment()
  if (!inherits(x, "expression_program")) {
    stop_user("argument", "`x` must be a result of `extract_program()`.",
              x = paste0("It is ", describe(x), "."))
  }
  type <- check_choice(type, c("genes", "volcano", "loadings", "consistency"), "type")
  program <- program_names(x, program)[1L]
  n <- check_count(n, "n", min = 0)
  fdr <- check_number(fdr, "fdr", 0, 1)
  switch(type, genes = program_bars(x, program, n), volcano = program_volcano(x, program, n, fdr),
         loadings = program_shares(x, program, group, here),
         consistency = program_agreement(x, program, group, here))
}

#' @rdname plot_program
#' @export
plot.expression_program <- function(x, ...) {
  refuse_dots(..., .to = plot_program)
  print(plot_program(x, ...))
}

#' @rdname plot_program
#' @export
autoplot.expression_program <- function(object, ...) {
  refuse_dots(..., .to = plot_program)
  plot_program(object, ...)
}

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

program_shares <- function(x, program, group, .call) {
  share <- x$shares[program, ]
  share[is.na(share)] <- 0
  table <- data.frame(sample = colnames(x$shares), share = unname(share))
  table <- place_samples(table, -table$share, group, .call = .call)
  ggplot(table, aes(.data$sample, .data$share)) +
    geom_col(fill = TYPE_COLOURS[1L], width = if (nrow(table) > 150) 1 else 0.85) +
    scale_y_continuous(expand = expansion(c(0, 0.05))) +
    labs(title = paste(program, "per sample"), y = "Share of mRNA") +
    sample_axis(nrow(table), group) + theme(panel.grid.major.x = element_blank())
}

program_agreement <- function(x, program, group, .call) {
  table <- x$consistency[x$consistency$program == program, ]
  table$group <- check_group(group, table$sample, .call = .call)
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
