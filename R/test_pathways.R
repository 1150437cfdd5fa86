#' Which gene sets differ
#'
#' Over-representation of sets among the genes that differ, and a rank test of the genes of a
#' set against all others that allows for their correlation.
#'
#' `p_over` is the upper tail of the hypergeometric distribution: the probability of as
#' many of the set among the significant genes, all tested genes being the universe. It takes
#' genes for independent, which those of a set are not, so that it is too small for
#' co-expressed sets.
#'
#' `p_rank` is the two-sided Wilcoxon test of the statistics in the set against those
#' outside, whose variance is inflated by the mean correlation \eqn{\bar\rho} of the set's
#' genes between samples (Wu and Smyth, 2012; by package limma): by about \eqn{1 + (m - 1)
#' \bar\rho} for m genes. \eqn{\bar\rho} is that of what the design leaves of the values,
#' 0 at least; where `x` has no values it is `correlation`. `q` adjusts `p_rank`.
#'
#' @param x A [group_comparison] of genes, a result of [test_prognosis()], or a vector of
#'   statistics named by gene (positive is higher).
#' @param gene_sets A list of genes named by set; see [read_gmt()].
#' @param comparison Of a comparison of groups: the pair, such as `"treated - control"`; all
#'   by default.
#' @param significant Genes with an adjusted p below are significant; for a vector, give the
#'   names of the significant genes.
#' @param sizes Sets with fewer or more tested genes are left out.
#' @param correlation Mean correlation in a set, where it can't be estimated.
#' @param adjust How `p_rank` is adjusted over sets (types and comparisons).
#' @return A data frame of class `pathway_table`, a row per set (type and comparison), the
#'   smallest `p_rank` first: `set`, `size` (tested genes), `overlap` (significant ones),
#'   `expected`, `ratio` (of these), `p_over`, `correlation`, `direction` (`"up"`, `"down"`),
#'   `p_rank`, `q`, `leading` (the five genes of the largest statistics in that direction).
#' @section Errors: `unalloy_error_gene_sets` for sets without names, or none of whose genes
#'   were tested; `_package` where limma is missing; `_argument`.
#' @references
#' Wu D, Smyth GK (2012). Camera: a competitive gene set test accounting for inter-gene
#' correlation. *Nucleic Acids Research* 40:e133.
#' @export
#' @examples
#' if (requireNamespace("limma", quietly = TRUE)) {
#'   set.seed(1)
#'   statistics <- setNames(rnorm(200), paste0("Gene", 1:200))
#'   statistics[1:15] <- statistics[1:15] + 1
#'   sets <- list(first = names(statistics)[1:20], last = names(statistics)[181:200])
#'   test_pathways(statistics, sets, significant = names(which(statistics > 2)))
#' }
test_pathways <- function(x, gene_sets, comparison = NULL, significant = 0.05,
                          sizes = c(10, 500), correlation = 0.01, adjust = "BH") {
  check_call()
  here <- environment()
  need_package("limma", "for the rank test of gene sets")
  check_gene_sets(gene_sets)
  adjust <- check_choice(adjust, stats::p.adjust.methods, "adjust")
  correlation <- check_number(correlation, "correlation", 0, 1)
  ok <- is.numeric(sizes) && length(sizes) == 2L && !anyNA(sizes) && sizes[1L] >= 1 &&
    sizes[2L] >= sizes[1L]
  if (!ok) {
    stop_user("argument", "`sizes` must be the least and the largest size of a set.",
              x = paste0("It is ", describe(sizes), "."))
  }
  lists <- ranked_lists(x, comparison, significant, here)
  tested <- unique(unlist(lapply(lists, function(list) names(list$statistic))))
  if (!any(unlist(gene_sets) %in% tested)) {
    stop_user("gene_sets", "None of the genes in the sets was tested.",
              x = paste0("Sets have ", some_of(unique(unlist(gene_sets))), "; tested were ",
                         some_of(tested), "."),
              i = "Do both use the same kind of gene name?")
  }
  parts <- lapply(lists, function(list) sets_of_list(list, gene_sets, sizes, correlation))
  out <- do.call(rbind, parts)
  if (is.null(out)) {
    stop_user("gene_sets", "No set has the size that is asked for.",
              x = paste0("Tested genes in the largest: ",
                         max(vapply(gene_sets, function(set) sum(set %in% tested), 0L)),
                         "; `sizes` is ", sizes[1L], " to ", sizes[2L], "."))
  }
  out$q <- stats::p.adjust(out$p_rank, adjust)
  out <- out[order(out$p_rank, out$p_over), ]
  for (label in c("type", "comparison")) if (all(is.na(out[[label]]))) out[[label]] <- NULL
  columns <- c("set", intersect(c("type", "comparison"), names(out)), "size", "overlap",
               "expected", "ratio", "p_over", "correlation", "direction", "p_rank", "q", "leading")
  rownames(out) <- NULL
  structure(out[columns], class = c("pathway_table", "data.frame"))
}

check_gene_sets <- function(gene_sets, .call = caller_env()) {
  ok <- is.list(gene_sets) && length(gene_sets) && !is.null(names(gene_sets)) &&
    all(nzchar(names(gene_sets))) && !anyDuplicated(names(gene_sets)) &&
    all(vapply(gene_sets, is.character, NA))
  if (!ok) {
    stop_user("gene_sets", "`gene_sets` must be a list of gene names, named by set.",
              x = paste0("It is ", describe(gene_sets), "."), i = "See `read_gmt()`.",
              .call = .call)
  }
}

# Lists of genes with statistics, one per type and comparison: type, comparison,
# statistic (named), significant (names), values and design for correlations.
ranked_lists <- function(x, comparison, significant, .call) {
  if (is.numeric(x) && is.null(dim(x))) {
    if (is.null(names(x)) || anyDuplicated(names(x))) {
      stop_user("argument", "Statistics must be named by gene, each once.", .call = .call)
    }
    x <- x[!is.na(x)]
    chosen <- if (is.character(significant)) intersect(significant, names(x)) else character()
    return(list(list(type = NA, comparison = NA, statistic = x, significant = chosen)))
  }
  if (!inherits(x, c("group_comparison", "prognosis"))) {
    stop_user("argument", paste("`x` must be a comparison of groups, a test of prognosis, or",
                                "statistics named by gene."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  level <- check_number(significant, "significant", 0, 1, .call = .call)
  table <- x$table
  noun <- x$values$noun
  type <- if (noun == "gene") table$type else rep(NA_character_, nrow(table))
  pair <- if (is.null(table$comparison)) rep(NA, nrow(table)) else as.character(table$comparison)
  if (!is.null(comparison)) {
    check_names(comparison, unique(pair), "comparison", .call = .call)
    kept <- pair %in% comparison
    table <- table[kept, ]
    type <- type[kept]
    pair <- pair[kept]
  }
  design <- if (inherits(x, "group_comparison")) x$design$X
            else stats::model.matrix(~ 1, x$data)
  samples <- if (inherits(x, "group_comparison")) x$design$samples else rownames(x$data)
  blocks <- stats::setNames(x$values$blocks, vapply(x$values$blocks, `[[`, "", "type"))
  parts <- split(seq_len(nrow(table)), list(addNA(factor(type)), addNA(factor(pair))), drop = TRUE)
  unname(lapply(parts, function(rows) {
    own <- table[rows, ]
    block <- if (noun == "gene") blocks[[own$type[1L]]] else blocks[[1L]]
    known <- which(!is.na(own$statistic))
    genes <- as.character(own[[noun]])[known]
    # of a type that is not in all samples, those that have it
    at <- which(colSums(is.na(block$values[, samples, drop = FALSE])) == 0)
    list(type = type[rows[1L]], comparison = pair[rows[1L]],
         statistic = stats::setNames(z_score(own, known), genes),
         significant = genes[which(own$p_adjusted[known] < level)],
         values = block$values[, samples[at], drop = FALSE], design = design[at, , drop = FALSE])
  }))
}

# t statistics on the normal scale.
z_score <- function(table, rows) {
  if (is.null(table$df)) return(table$statistic[rows])
  sign(table$statistic[rows]) * -stats::qnorm(table$p_value[rows] / 2)
}

sets_of_list <- function(list, gene_sets, sizes, correlation) {
  genes <- names(list$statistic)
  found <- lapply(names(gene_sets), function(set) {
    own <- which(genes %in% gene_sets[[set]])
    m <- length(own)
    if (m < sizes[1L] || m > sizes[2L] || m == length(genes)) return(NULL)
    rho <- set_correlation(list, genes[own], correlation)
    tails <- limma::rankSumTestWithCorrelation(own, list$statistic, correlation = rho)
    up <- tails[["greater"]] < tails[["less"]]
    overlap <- sum(genes[own] %in% list$significant)
    n <- length(list$significant)
    order <- order(list$statistic[own], decreasing = up)
    data.frame(
      set = set, type = list$type, comparison = list$comparison, size = m, overlap = overlap,
      expected = m * n / length(genes), ratio = overlap / (m * n / length(genes)),
      p_over = stats::phyper(overlap - 1, m, length(genes) - m, n, lower.tail = FALSE),
      correlation = rho, direction = if (up) "up" else "down",
      p_rank = min(1, 2 * min(tails)),
      leading = paste(utils::head(genes[own][order], 5L), collapse = ", ")
    )
  })
  do.call(rbind, found)
}

# Mean correlation of the genes of a set, of what the design leaves.
set_correlation <- function(list, genes, correlation) {
  if (is.null(list$values) || length(genes) < 2L) return(correlation)
  free <- nrow(list$design) - qr(list$design)$rank
  if (free < 2L) return(correlation)
  values <- list$values[genes, , drop = FALSE]
  max(0, limma::interGeneCorrelation(values, list$design)$correlation)
}

#' @rdname test_pathways
#' @param n Rows to print.
#' @param ... None: other arguments are refused.
#' @export
print.pathway_table <- function(x, n = 10, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  n <- check_count(n, "n")
  cat(plural(nrow(x), "gene set"), " tested, ", sum(x$q < 0.05), " with q below 0.05\n\n", sep = "")
  shown <- utils::head(as.data.frame(unclass(x)), n)
  print(format_columns(shown), row.names = FALSE)
  if (nrow(x) > n) cat("... ", plural(nrow(x) - n, "row"), " more\n", sep = "")
  invisible(x)
}
