#' How specific genes are to cell types
#'
#' For each gene, the type that expresses it most and how much more than the
#' others.
#'
#' @details
#' A gene has the share \eqn{s_t} of the mRNA of type t, over all genes of the
#' signatures. `specificity` is 0 where all types express the gene alike and 1
#' where one type alone does:
#' \describe{
#'   \item{`"entropy"`}{\eqn{1 - H / \log_2 T}, with Shannon's entropy
#'     \eqn{H = -\sum_t p_t \log_2 p_t} of \eqn{p_t = s_t / \sum_u s_u} over T types
#'     (Schug et al., 2005).}
#'   \item{`"log_ratio"`}{\eqn{1 - s_{(2)} / s_{(1)}}, of the two types with the
#'     highest expression. A gene that two types share has a high value by entropy
#'     and 0 here.}
#' }
#' The logarithms of ratios have a pseudo-count \eqn{c}:
#' \eqn{\log_2 (s_{(1)} + c) / (s_{(2)} + c)}. Specificities have none, so that
#' genes with next to no counts can have a specificity of 1: see `expression`.
#'
#' @references
#' Schug J, Schuller WP, Kappen C, Salbaum JM, Bucan M, Stoeckert CJ (2005).
#' Promoter features related to tissue specificity as measured by Shannon entropy.
#' *Genome Biology* 6, R33. \doi{10.1186/gb-2005-6-4-r33}
#'
#' @param signatures [signatures], or a matrix of mean expression (linear scale)
#'   with genes in rows and types in columns. Columns of a matrix are scaled to the
#'   same sum, so give all genes and select later.
#' @param method How `specificity` is measured.
#' @param pseudocount Added to both sides of the ratios, per million.
#' @return A data frame with genes as row names and the columns
#'   \describe{
#'     \item{`type`}{the type with the highest expression, the first among equals;
#'       `NA` for genes without expression}
#'     \item{`specificity`}{between 0 and 1; 0 for genes without expression}
#'     \item{`log2_ratio`}{log2 of the ratio to the next type}
#'     \item{`log2_ratio_mean`}{log2 of the ratio to the mean of the other types}
#'     \item{`expression`}{in `type`, per million}
#'   }
#' @section Errors: `unalloy_error_argument` for fewer than two types,
#'   `unalloy_error_gene_names` for signatures without names of genes, and those of
#'   signatures that are no mean profiles.
#' @seealso [select_markers()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 2, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' specificity <- gene_specificity(signatures)
#' head(specificity[order(-specificity$log2_ratio), ])
gene_specificity <- function(signatures, method = c("entropy", "log_ratio"), pseudocount = 10) {
  check_call()
  method <- check_choice(method, c("entropy", "log_ratio"), "method")
  pseudocount <- check_number(pseudocount, "pseudocount", min = 0, above = TRUE)
  specificity_of(per_million(signatures), method, pseudocount)
}

specificity_of <- function(expression, method, pseudocount) {
  n_types <- ncol(expression)
  genes <- seq_len(nrow(expression))
  top <- max.col(expression, "first")
  highest <- expression[cbind(genes, top)]
  others <- expression
  others[cbind(genes, top)] <- -Inf
  second <- others[cbind(genes, max.col(others, "first"))]
  mean_other <- pmax(0, rowSums(expression) - highest) / (n_types - 1)
  log2_ratio <- function(to) log2((highest + pseudocount) / (to + pseudocount))
  expressed <- highest > 0
  specificity <- if (method == "entropy") 1 - row_entropy(expression) / log2(n_types)
                 else 1 - second / highest
  data.frame(
    type = ifelse(expressed, colnames(expression)[top], NA_character_),
    # rounding may leave 1e-16 below 0
    specificity = ifelse(expressed, pmin(1, pmax(0, specificity)), 0),
    log2_ratio = log2_ratio(second), log2_ratio_mean = log2_ratio(mean_other),
    expression = highest, row.names = rownames(expression)
  )
}

# Shannon's entropy of each row, in bits.
row_entropy <- function(expression) {
  p <- expression / rowSums(expression)
  -rowSums(ifelse(p > 0, p * log2(p), 0))
}
