#' Compare predicted expression of cell types with the truth
#'
#' Scores what [cell_type_expression()], or any other method, says each type
#' expresses in each sample, where that is known: in simulations, in [pseudo_bulk()]
#' with `expression = TRUE`, in sorted cells.
#'
#' @section Scores:
#' All are of log1p(CPM), per type. *Over samples*: for each gene, over the samples that
#' have the type; the mean over genes whose truth varies. This is what tells whether
#' differences between samples are right: a prediction of the type's mean in every
#' sample scores 0. *Over genes*: for each sample, over genes; the mean over samples.
#' High for any method that knows the reference, for genes differ more than samples do.
#' \describe{
#'   \item{`pearson`, `spearman`}{Correlations. A prediction that does not vary where
#'     the truth does counts as 0.}
#'   \item{`ccc`}{Concordance correlation, 2 s_xy / (s_x² + s_y² + (m_x - m_y)²): below
#'     the correlation by what scale and level are off (Lin 1989).}
#'   \item{`rmse`}{Root mean squared error.}
#' }
#' Values that are `NA` in the truth (the type was not in the sample) are left out. So
#' are those that are `NA` in the prediction alone; `missing` is their share.
#'
#' @param truth CPM, genes × types × samples with names, such as `truth_expression` of
#'   [pseudo_bulk()]; or a matrix genes × samples of one type.
#' @param estimate A result of [cell_type_expression()], which is taken in CPM whatever its
#'   units, or an array or matrix as `truth`. Genes, types and samples are matched by
#'   name; those in one of the two only are left out, which `print()` says.
#' @param genes Names of the genes to score; all in common by default. Genes that are
#'   known to change are the hardest and most telling.
#' @param threads Threads; the result does not depend on them.
#' @param x An object of class `expression_evaluation`.
#' @param digits Digits after the point.
#' @param row.names,optional Not used; for agreement with the generic.
#' @param ... None: other arguments are refused.
#' @return An object of class `expression_evaluation`, a list:
#'   \item{scores}{Data frame: `type`, `over` (`"samples"` or `"genes"`), `pearson`,
#'     `spearman`, `ccc`, `rmse`, `n` (genes or samples in the means) and `missing`.}
#'   \item{genes}{A row per type and gene: `type`, `gene`, `pearson`, `spearman`, `ccc`,
#'     `rmse`, over samples.}
#'   \item{samples}{A row per type and sample, the same over genes.}
#'   \item{left_out}{Numbers of genes, types and samples in one of the two only.}
#'   \item{truth, estimate}{log1p(CPM) of what is in both, genes × types × samples.}
#' @section Errors: `unalloy_error_argument` for values without names, negative or
#'   infinite ones, and when nothing is in common.
#' @references Lin (1989), *Biometrics* 45:255.
#' @seealso [plot()][plot.expression_evaluation] for a heatmap of truth and prediction,
#'   [cell_type_expression()], [pseudo_bulk()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 2, cells_per_type = 60, seed = 1)
#' mixed <- pseudo_bulk(sim$reference, sim$cells$cell_type, sim$cells$donor, n_samples = 8,
#'                      cells_per_sample = 200, expression = TRUE, seed = 1)
#' signatures <- build_signatures(mixed$reference, mixed$cell_types, mixed$donors)
#' fit <- deconvolve_bulk(signatures, mixed$bulk_counts, verbose = FALSE)
#' evaluate_expression(mixed$truth_expression, cell_type_expression(fit, verbose = FALSE))
evaluate_expression <- function(truth, estimate, genes = NULL,
                                threads = getOption("unalloy.threads", 2L)) {
  check_call()
  truth <- expression_values(truth, "truth")
  estimate <- expression_values(estimate, "estimate")
  threads <- check_threads(threads)
  common <- Map(intersect, dimnames(truth), dimnames(estimate))
  if (!is.null(genes)) common[[1L]] <- named_genes(genes, common[[1L]])
  nouns <- c("gene", "type", "sample")
  none <- lengths(common) == 0L
  if (any(none)) {
    at <- which(none)[1L]
    stop_user("argument", paste0("No ", nouns[at], " is in both `truth` and `estimate`."),
              x = paste0("`truth`: ", some_of(dimnames(truth)[[at]]), "; `estimate`: ",
                         some_of(dimnames(estimate)[[at]]), "."))
  }
  left_out <- stats::setNames(lengths(Map(union, dimnames(truth), dimnames(estimate))) -
                                lengths(Map(intersect, dimnames(truth), dimnames(estimate))),
                              paste0(nouns, "s"))
  take <- function(x) log1p(x[common[[1L]], common[[2L]], common[[3L]], drop = FALSE])
  truth <- take(truth)
  estimate <- take(estimate)
  parts <- lapply(common[[2L]], function(type) {
    one <- function(x) matrix(x[, type, ], dim(x)[1L], dimnames = dimnames(x)[c(1L, 3L)])
    evaluate_type(type, one(truth), one(estimate), threads)
  })
  bind <- function(part) do.call(rbind, lapply(parts, `[[`, part))
  structure(list(scores = bind("scores"), genes = bind("genes"), samples = bind("samples"),
                 left_out = left_out, truth = truth, estimate = estimate),
            class = "expression_evaluation")
}

# CPM as an array genes x types x samples with names.
expression_values <- function(x, what, .call = caller_env()) {
  if (inherits(x, "cell_type_expression")) {
    parts <- unclass(x)
    parts$units <- "cpm"
    return(expression_block(parts, "expression", .call = .call)[[1L]])
  }
  if (is.matrix(x)) x <- array(x, c(nrow(x), 1L, ncol(x)), list(rownames(x), "type", colnames(x)))
  named <- is.array(x) && is.numeric(x) && length(dim(x)) == 3L &&
    !any(vapply(dimnames(x) %||% list(NULL), is.null, NA))
  if (!named) {
    stop_user("argument", paste0("`", what, "` must be genes x types x samples, with names."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  bad <- !is.na(x) & (x < 0 | is.infinite(x))
  if (any(bad)) {
    stop_user("argument", paste0("`", what, "` must be copies per million."),
              x = paste0(plural(sum(bad), "value"), " negative or infinite."), .call = .call)
  }
  x
}

named_genes <- function(genes, common, .call = caller_env()) {
  if (!is.character(genes) || anyNA(genes)) {
    stop_user("argument", "`genes` must be names of genes.",
              x = paste0("It is ", describe(genes), "."), .call = .call)
  }
  intersect(unique(genes), common)
}

evaluate_type <- function(type, truth, estimate, threads) {
  known <- colSums(is.na(truth)) == 0
  given <- colSums(is.na(estimate)) == 0
  used <- known & given
  missing <- if (any(known)) mean(!given[known]) else NA_real_
  truth <- truth[, used, drop = FALSE]
  estimate <- estimate[, used, drop = FALSE]
  if (!any(used)) {
    nothing <- data.frame(type = type, over = c("samples", "genes"), pearson = NA_real_,
                          spearman = NA_real_, ccc = NA_real_, rmse = NA_real_, n = 0,
                          missing = missing)
    return(list(scores = nothing))
  }
  found <- evaluate_matrices(unname(truth), unname(estimate), 0L, 2L, threads, FALSE)
  genes <- data.frame(type = type, gene = rownames(truth), pearson = found$gene_pearson,
                      spearman = found$gene_spearman, ccc = concordance(truth, estimate),
                      rmse = sqrt(rowMeans((truth - estimate)^2)))
  samples <- data.frame(type = type, sample = colnames(truth), pearson = found$sample_pearson,
                        spearman = found$sample_spearman,
                        ccc = concordance(t(truth), t(estimate)),
                        rmse = sqrt(colMeans((truth - estimate)^2)))
  average <- function(table, over) {
    varying <- !is.nan(table$pearson)
    of <- function(column) if (any(varying)) mean(table[[column]][varying]) else NA_real_
    data.frame(type = type, over = over, pearson = of("pearson"), spearman = of("spearman"),
               ccc = of("ccc"), rmse = sqrt(mean(table$rmse^2)), n = sum(varying),
               missing = missing)
  }
  list(scores = rbind(average(genes, "samples"), average(samples, "genes")), genes = genes,
       samples = samples)
}
