#' Differences between groups of samples
#'
#' Which cell types, genes of a type, metagenes or factors differ between groups of
#' samples, or go with a covariate: with adjustment, paired and repeated designs, and
#' the errors of the estimates.
#'
#' # Model
#'
#' Of each feature \eqn{y_s = x_s^T b + u_{i(s)} + e_s}, with a random intercept
#' \eqn{u_i \sim N(0, \omega)} per patient where the formula has one, and
#' \eqn{\mathrm{Var}(e_s) = \phi d_s}, \eqn{d_s = \tau^2 + v_s}: \eqn{v_s} is the error
#' of the estimate, with the covariance of *differences* (see
#' [vcov()][vcov.deconvolution]), for what samples have in common cancels;
#' \eqn{\tau^2} is how much samples of a group differ beyond it. \eqn{\tau^2} and
#' \eqn{\omega} are restricted maximum likelihood estimates.
#' Known errors only say how samples are weighed against each other: the scale
#' \eqn{\phi} always comes from what the model leaves (Hartung and Knapp, 2001), so
#' that errors stated too small or too large do not make a test wrong. Tests are t
#' and F tests, with \eqn{n - p} degrees of freedom, or Satterthwaite's with a random
#' intercept. Without errors these are the tests of [stats::lm()], and of a
#' mixed model; with two groups and pairs the t test and the paired one.
#'
#' Intervals of shares also have what the error that the genes of a type share
#' leaves in a difference, as in [contrast()]; p values, which ask whether there is
#' a difference at all, do not.
#'
#' # Genes of a type
#'
#' Values are \eqn{\log_2(\mathrm{CPM} + \mathtt{offset})} of the type's own mRNA.
#' Genes of reliability below `min_reliability` (see [cell_type_expression()]) are left
#' out. The others are tested with samples weighted by the reliability of the gene in
#' them and with variances that are moderated towards their trend over mean
#' expression (Smyth, 2004; by package limma). With a random intercept all genes of a type
#' share one correlation within patients, and degrees of freedom are \eqn{n - p}.
#' Differences are those of the predictions, which are shrunk: a true difference is
#' about `estimate / reliability` where only this type changes.
#'
#' @param x A [deconvolution], [cell_type_expression()], [nmf_fit], [latent_factors()]
#'   fit, or values, features × samples, in a matrix, data frame or
#'   `SummarizedExperiment`.
#' @param formula One-sided: what to compare, then what to adjust for, and perhaps one
#'   random intercept: `~ group`, `~ hba1c + age`, `~ time + (1 | patient)`. Text,
#'   factors and logicals are groups (of which all pairs are compared), numbers are
#'   covariates (whose slope is tested).
#' @param samples Data frame of the samples, see [sample_data()]; by default that which
#'   travels with `x`. Samples with missing values are left out.
#' @param what Of a deconvolution: `"proportions"` (shares of mRNA) or
#'   `"cell_fractions"`; by default cells where their sizes are known. Of a
#'   factorisation: `"share"` of the fitted total (default) or `"coef"`.
#' @param scale Of shares: `"share"` (default) compares differences, `"logit"` log
#'   odds, for types whose shares differ by factors. A share of 0 then stands at half
#'   its upper limit.
#' @param types Of expression: types to compare; all by default.
#' @param errors Carry the errors of shares through? `FALSE` weighs all samples alike,
#'   and needs no counts.
#' @param std_error For a matrix: standard errors of its values, of the same size.
#' @param moderate Moderate variances over features, for many features that are alike?
#'   By default for genes only. Needs limma.
#' @param level Coverage of the intervals.
#' @param adjust How p values are adjusted over all rows of the table: a method of
#'   [stats::p.adjust()].
#' @param variance What is assumed of the counts in errors of shares; see
#'   [confint()][confint.deconvolution].
#' @param min_reliability,offset See *Genes of a type*. Raising `min_reliability` tests fewer
#'   genes; raising `offset` (in CPM) shrinks differences of weakly expressed ones.
#' @param threads Threads to use.
#' @return A [group_comparison].
#' @section Errors and warnings: `unalloy_error_one_group`, `_confounded` (with patients or
#'   what is adjusted for), `_too_few_samples`, `_samples`, `_no_counts`, `_penalised`,
#'   `_no_reliability`, `_argument`. `unalloy_warning_unused_argument` for a random
#'   intercept without repeats; `unalloy_warning_not_tested` for types that too few
#'   samples have.
#' @references
#' Hartung J, Knapp G (2001). A refined method for the meta-analysis of controlled clinical
#' trials with binary outcome. *Statistics in Medicine* 20:3875.
#'
#' Smyth GK (2004). Linear models and empirical Bayes methods for assessing differential
#' expression. *Stat. Appl. Genet. Mol. Biol.* 3:3.
#'
#' Smyth GK, Michaud J, Scott HS (2005). Use of within-array replicate spots for assessing
#' differential expression in microarray experiments. *Bioinformatics* 21:2067.
#'
#' Fai AHT, Cornelius PL (1996). Approximate F-tests of multiple degree of freedom
#' hypotheses in generalized least squares analyses. *J. Stat. Comput. Simul.* 54:363.
#' @seealso [contrast()] for single samples, [plot()][plot.group_comparison],
#'   [test_pathways()] for what the genes have in common
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 12, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' samples <- data.frame(sample = colnames(sim$bulk_counts),
#'                       time = rep(c("before", "after"), 6),
#'                       patient = rep(paste0("P", 1:6), each = 2))
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths,
#'                           samples = samples, verbose = FALSE)
#' compare_groups(result, ~ time)
#' compare_groups(result, ~ time + (1 | patient), scale = "logit")
compare_groups <- function(x, formula, samples = NULL, what = NULL, scale = NULL, types = NULL,
                           errors = TRUE, std_error = NULL, moderate = NULL, level = 0.95,
                           adjust = "BH", variance = c("robust", "quasi", "poisson"),
                           min_reliability = 0.2, offset = 10,
                           threads = getOption("unalloy.threads", 2L)) {
  check_call()
  here <- environment()
  level <- check_number(level, "level", 0, 0.999999, above = TRUE)
  adjust <- check_choice(adjust, stats::p.adjust.methods, "adjust")
  how <- list(what = what, scale = scale, types = types, errors = check_flag(errors, "errors"),
              variance = check_choice(variance, VARIANCES, "variance"),
              min_reliability = check_number(min_reliability, "min_reliability", 0, 1),
              offset = check_number(offset, "offset", 0, above = TRUE),
              threads = check_threads(threads))
  if (!is.null(types) && !inherits(x, "cell_type_expression")) {
    stop_user("argument", "`types` is for expression of types.",
              i = "Choose rows of the table instead.")
  }
  moderate <- check_flag(moderate %||% inherits(x, "cell_type_expression"), "moderate")
  if (moderate) need_package("limma", "to moderate the variances of genes")
  measured <- measured_values(x, how, .call = here)
  measured <- with_std_error(measured, std_error, x, here)
  table <- if (is.null(samples)) measured$sample_data
           else match_samples(samples, measured$samples, .call = here)
  parsed <- parse_comparison(formula, names(table), here)
  design <- comparison_design(parsed, table, here)
  parts <- lapply(measured$blocks, function(block) {
    if (!nrow(block$values)) return(NULL)
    own <- block_design(block, parsed, table, here)
    if (is.null(own)) return(NULL)
    if (moderate) compare_moderated(block, own, level, here) else compare_block(block, own, level)
  })
  warn_not_tested(measured$blocks, parts, here)
  new_group_comparison(parts, measured, design, parsed, table,
                       list(level = level, adjust = adjust, moderate = moderate,
                            formula = formula, call = match.call()))
}

with_std_error <- function(measured, std_error, x, .call) {
  if (is.null(std_error)) return(measured)
  values <- measured$blocks[[1L]]$values
  if (measured$noun != "feature") {
    stop_user("argument", "`std_error` is for a matrix of values.",
              x = paste0("`x` is ", describe(x), ", which knows its own errors."), .call = .call)
  }
  std_error <- as.matrix(std_error)
  if (!is.numeric(std_error) || !identical(dim(std_error), dim(values)) ||
        anyNA(std_error) || any(std_error < 0) || any(is.infinite(std_error))) {
    stop_user("argument", "`std_error` must have a standard error, 0 or more, of every value.",
              x = paste0("It is ", describe(std_error), "; values are ",
                         paste(dim(values), collapse = " x "), "."), .call = .call)
  }
  measured$blocks[[1L]]$error <- std_error^2
  dimnames(measured$blocks[[1L]]$error) <- dimnames(values)
  measured
}

warn_not_tested <- function(blocks, parts, .call) {
  left <- vapply(parts, is.null, NA)
  types <- vapply(blocks, `[[`, "", "type")[left]
  if (!any(left)) return(invisible())
  if (all(left)) {
    stop_user("too_few_samples", "No type is in enough samples to be compared.", .call = .call)
  }
  warn_user("not_tested", paste0(plural(sum(left), "type"), " could not be compared: too few ",
                                 "samples have it, or no gene is reliable enough."),
            x = paste0("Left out: ", some_of(types), "."), .call = .call)
}
