#' Diagnose a deconvolution
#'
#' Says what a result hangs on and where it is weak: types that the data cannot
#' tell apart, samples that the model describes badly, genes that drive or
#' contradict an estimate, what no type explains, and whether a type seems to be
#' missing from the reference. Printing it says so in plain words.
#'
#' # Identifiability
#' With \eqn{X = \mathrm{diag}(\sqrt h) A}, h the expected information of a gene
#' (\eqn{w/\mu} for the Poisson model), the columns of X are scaled to length 1.
#' The ratio of the largest to the smallest singular value is the **condition
#' number**: up to 10 is harmless, 30 and more means that some combination of
#' types is hardly seen (Belsley, Kuh and Welsch, 1980). The **variance inflation**
#' of a type, \eqn{(Z^T Z)^{-1}_{jj}}, is the variance of its exposure beside that
#' with all other types known. Both count all types, those at zero too.
#' For every pair, `design_correlation` is what this design implies for the
#' correlation of the two exposures, and `correlation` is that of the robust
#' covariance ([vcov()][vcov.deconvolution]) in the samples that have both; near -1
#' only the sum of the two is known. `split_error` is the standard error of the first
#' one's part of the two, and `told_apart` the rule of [merge_types()], which reports
#' sums.
#'
#' # Dispersion
#' `dispersion` is the mean squared residual in units of what the model expects of
#' it, the one by which `variance = "quasi"` of [vcov()][vcov.deconvolution] multiplies.
#' 1 means that the model tells the whole error; with the platform model, which makes
#' much of the noise of weak genes, it is never taken to be less. At 50 under the
#' Poisson model the errors are \eqn{\sqrt{50}} times what counting explains, because signatures are
#' never exact. `typical_factor` is what most well measured genes (20 fitted
#' reads and more) differ by: \eqn{\exp(1.48 \, \mathrm{median} |\log(k/\mu)|)}.
#'
#' # Influence
#' Deleting a gene moves the exposures by about
#' \eqn{-J^{-1} a_g \, \mathrm{score}_g / (1 - h_g)} (one step of Newton's method;
#' Pregibon, 1981), with \eqn{\mathrm{score}_g = w_g (k_g - \mu_g)/\mu_g} for the
#' Poisson model. `influence` is the share with the gene less the share without it,
#' averaged over the samples that have the type: genes with positive values drive
#' the estimate up, those with negative values contradict it. `weight` is the
#' part of the type's sensitivity \eqn{\partial p / \partial \log k_g} that is the
#' gene's.
#'
#' # Residual programs
#' Residuals are log ratios of counts and fitted means, with 10 reads per million
#' added to both, of all matched genes but [protocol_genes()]: also those that the
#' fit leaves out, for the genes of a missing type are among them. The mean of a
#' gene over samples is its constant error between platforms; what follows the
#' estimated proportions (up to half as many directions as samples) is an error
#' that differs between types. Both are taken away, and the leading singular
#' vectors of the rest are the programs. A program is beyond chance when it holds
#' more of the rest than in any of `draws` copies with random signs (Hong, Sheng
#' and Dobriban, 2020), which keep the size of every residual.
#'
#' # A missing type
#' A type that the reference lacks raises its genes together in the samples that
#' have it, while errors of platforms move genes both ways. `one_sided` is
#' \eqn{\sum s^3 / \sum |s|^3} over a program's scores, those beyond the 20th
#' largest cut to its size: 0 when as many genes fall as rise, 1 when all strong
#' genes rise together. A missing type is suspected where a program beyond chance
#' has 0.5 or more: three quarters of the weight of its strong genes then rise.
#'
#' This needs samples that differ: a type with the same share in all samples looks
#' like an error of the platform, and so does every type in less than four samples.
#' Its genes are then among those that are far above the fit throughout
#' (`as.data.frame(diagnosis, "genes")`), beside those that the platforms measure
#' differently. A missing type also goes unnoticed when as many genes fall with it as
#' rise (progenitors beside mature cells). A state that the reference lacks
#' (activation, interferon response, stress) looks like a missing type; the genes tell
#' which it is.
#'
#' # The reference
#' Samples of a type that the reference lacks altogether are named where the fit is worse
#' than a uniform one, and nine tenths of the reads are above it (or these, and the
#' typical error of a gene, are three median deviations beyond those of the other samples).
#' Types with fewer than 25 cells are named: they alone move a log share by 0.1. Genes
#' of the response to stress and dissociation, to culture (inflammation) and to
#' interferon say whether reference and samples are in one state: their constant errors are
#' compared with those of all other genes, and told where the median is a factor of two and
#' the rank test has p of 0.01 or less. That needs symbols as gene names.
#'
#' # What it cannot see
#' Genes that mark a type err together. Such an error looks exactly like more or less of
#' the type, so that no residual shows it: [type_error()] has its size, and intervals
#' hold it. `std_error` of a type leaves it out, as standard errors of differences between
#' samples do; `full_error` has it.
#'
#' @param result A [deconvolution].
#' @param observed_counts The counts that were deconvolved, for a result without
#'   them (`keep_counts = FALSE`).
#' @param programs Residual programs to look for at most; 0 skips them, and the
#'   look for a missing type.
#' @param draws Random copies that programs are compared with; 19 stand for a level
#'   of 5 %. More make the level finer and take longer.
#' @param threads Threads to use.
#' @param seed A whole number; the same seed gives the same draws. `NULL` takes one
#'   from R's random stream.
#' @param verbose Show progress after two seconds?
#' @return An object of class [diagnosis].
#' @section Errors: `unalloy_error_no_counts` when the counts were not kept;
#'   `unalloy_error_argument`.
#' @references
#' Belsley DA, Kuh E, Welsch RE (1980). *Regression Diagnostics*. Wiley.
#'
#' Pregibon D (1981). Logistic regression diagnostics. *Annals of Statistics*
#' 9:705.
#'
#' Hong D, Sheng Y, Dobriban E (2020). Selecting the number of components in PCA
#' via random signflips. arXiv:2012.02985.
#' @seealso [merge_types()], [plot_deconvolution()], [confint.deconvolution()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 5, n_samples = 12, missing_type = 2, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' diagnosis <- diagnose(result, seed = 1)
#' diagnosis
#' as.data.frame(diagnosis, "influence")
#' plot_influence(diagnosis)
diagnose <- function(result, observed_counts = NULL, programs = 3, draws = 19,
                     threads = getOption("unalloy.threads", 2L), seed = NULL, verbose = TRUE) {
  check_call()
  if (inherits(result, "hierarchical_deconvolution")) {
    stop_user("argument", "`result` has a fit for every group; diagnose them one by one.",
              i = "Try `diagnose(result$coarse)`, or `diagnose(result$within[[1]])`.")
  }
  check_result(result)
  result <- with_counts(result, observed_counts)
  programs <- check_count(programs, "programs", min = 0)
  draws <- check_count(draws, "draws", max = MOST_REPEATS)
  threads <- check_threads(threads)
  verbose <- check_flag(verbose, "verbose")
  bulk <- kept_counts(result)
  seed <- if (programs > 0) check_seed(seed)
  values <- check_bulk_values(bulk)
  numbers <- diagnosis_numbers(result, threads, verbose, .call = environment())
  shared <- if (programs > 0) {
    shared_residuals(result, bulk, values, programs, draws, seed, threads, verbose,
                     .call = environment())
  }
  new_diagnosis(result, numbers, shared)
}
