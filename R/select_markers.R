# Markers: the genes most specific to each type.

#' Marker genes of cell types
#'
#' `select_markers()` takes, for each type, the genes that it expresses most and
#' that are most specific to it. `check_markers()` checks a list of your own.
#'
#' @details
#' Specificity is measured on signatures that are normalised over *all* their
#' genes, and the profiles are not scaled again after the selection: scaled to the
#' same sum over markers alone, types with strong markers would look like types
#' with much mRNA. Give all genes here, and genes to leave out as `exclude`; in
#' [deconvolve_bulk()], give markers as weights and not as fewer rows.
#'
#' @param signatures [signatures] or a matrix, as for [gene_specificity()].
#' @param n Markers per type, at most. 20 to 50 serve absolute proportions best.
#' @param min_expression Smallest expression in the type, per million.
#' @param exclude Genes to leave out: names, `NULL` for none, or `"protocol"` for
#'   those of [protocol_genes()], recognised by symbol or human Ensembl
#'   identifier.
#' @param types Types to select for; all by default. Genes are compared with all
#'   types of the signatures, whether selected for or not.
#' @param by `"log_ratio"` puts genes in order of their ratio to the next type,
#'   `"specificity"` of their entropy (see [gene_specificity()]).
#' @param candidates Names of genes to choose from; all by default.
#' @param min_log2_ratio Smallest log2 ratio to the next type.
#' @param pseudocount Added to both sides of the ratio, per million.
#' @param markers What `select_markers()` returned, a data frame with the columns
#'   `gene` and `type`, a list with the genes of each type, or names of genes.
#' @param genes Names of all genes there are.
#' @param x,object An object of class `markers`.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused, but those of [plot_markers()] by `plot()` and `autoplot()`.
#' @return `select_markers()` gives an object of class `markers`: a data frame with a
#'   row per marker and the columns `type`, `gene`, `rank` (within the type),
#'   `specificity` (entropy), `log2_ratio` (to the next type), `log2_ratio_mean` (to
#'   the mean of the others) and `expression` (in the type, per million). A gene is
#'   a marker of one type only. `as.list()` gives the genes of each type,
#'   `check_markers()` its markers, invisibly.
#' @section Errors and warnings: `unalloy_error_markers` for genes that do not
#'   exist, `unalloy_error_types` for types that do not; `unalloy_warning_few_markers`
#'   names types with fewer than `n` markers. Ensembl identifiers of mouse genes
#'   give `unalloy_error_no_gene_table` with `exclude = "protocol"`.
#' @seealso [plot_markers()], [protocol_genes()]
#' @order 1
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 2, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' markers <- select_markers(signatures, n = 5)
#' markers
#' as.list(markers)
#' plot(markers)
select_markers <- function(signatures, n = 50, min_expression = 10, exclude = "protocol",
                           types = NULL, by = c("log_ratio", "specificity"), candidates = NULL,
                           min_log2_ratio = 0.5, pseudocount = 10) {
  check_call()
  n <- check_count(n, "n")
  min_expression <- check_number(min_expression, "min_expression", min = 0)
  by <- check_choice(by, c("log_ratio", "specificity"), "by")
  min_log2_ratio <- check_number(min_log2_ratio, "min_log2_ratio", min = 0)
  pseudocount <- check_number(pseudocount, "pseudocount", min = 0, above = TRUE)
  expression <- per_million(signatures)
  types <- check_marker_types(types, colnames(expression))
  allowed <- marker_candidates(rownames(expression), candidates, exclude)
  table <- specificity_of(expression, "entropy", pseudocount)
  eligible <- allowed & !is.na(table$type) & table$expression >= min_expression &
    table$log2_ratio >= min_log2_ratio & table$log2_ratio > 0
  markers <- best_per_type(table[eligible, ], types, n, by)
  warn_few_markers(markers, types, n)
  new_markers(markers, types, expression)
}

best_per_type <- function(table, types, n, by) {
  value <- if (by == "log_ratio") table$log2_ratio else table$specificity
  # equal values in order of expression, so that the order of rows does not matter
  table <- table[order(-value, -table$expression, rownames(table), method = "radix"), ]
  parts <- lapply(types, function(type) {
    best <- utils::head(table[table$type == type, ], n)
    data.frame(type = best$type, gene = rownames(best), rank = seq_len(nrow(best)),
               best[c("specificity", "log2_ratio", "log2_ratio_mean", "expression")])
  })
  do.call(rbind, parts)
}

# Which genes may become markers.
marker_candidates <- function(genes, candidates, exclude, .call = caller_env()) {
  allowed <- rep(TRUE, length(genes))
  if (!is.null(candidates)) {
    allowed <- genes %in% checked_markers(candidates, genes, "candidates", .call = .call)
  }
  if (is.null(exclude)) return(allowed)
  if (!is.character(exclude)) {
    stop_user("argument", "`exclude` must be names of genes, \"protocol\" or NULL.",
              x = paste0("It is ", describe(exclude), "."), .call = .call)
  }
  if (identical(exclude, "protocol")) exclude <- find_protocol_genes(genes, .call = .call)
  allowed & !genes %in% strip_ensembl_version(exclude)
}

warn_few_markers <- function(markers, types, n, .call = caller_env()) {
  found <- table(factor(markers$type, types))
  few <- found[found < n]
  if (!length(few)) return(invisible())
  # the emptiest first
  few <- few[order(few)]
  shown <- utils::head(paste0("\"", names(few), "\": ", few), 6L)
  if (length(few) > 6L) shown <- c(shown, paste(length(few) - 6L, "more types"))
  warn_user("few_markers", paste0("Some types have fewer than ", plural(n, "marker"), "."),
            x = paste0(paste(shown, collapse = ", "), "."),
            i = paste("Merge them with the type they resemble, or lower `min_log2_ratio` or",
                      "`min_expression`."), .call = .call)
}

#' @rdname select_markers
#' @order 2
#' @export
check_markers <- function(markers, genes) {
  check_call()
  checked_markers(markers, genes, "markers")
  invisible(markers)
}
