#' Expression of each cell type in each sample
#'
#' Which type made the counts of a gene, sample by sample, how sure that is, and
#' for which genes the bulk says anything about it at all: the *reliability*.
#'
#' # Methods
#'
#' `"allocation"` splits every count in the ratio of the fitted means,
#' \eqn{Z_{gj} = k_g a_{gj} e_j / \mu_g}. Summed over all sources it gives the
#' counts back exactly. The ratio between types is the reference's, so a change
#' in one type leaks into all types that express the gene.
#'
#' `"blup"` is the best linear unbiased prediction under a mixed model of the
#' cohort, gene by gene,
#' \deqn{k_{gs} = \ell_g \sum_j e_{js} (x_{gj} + d_{gjs}) + \epsilon_{gs}, \quad
#'   d_{gjs} \sim (0, \sigma^2_{gj}), \quad \mathrm{Var}(\epsilon_{gs}) = \phi \mu_{gs}.}
#' With \eqn{v_{gjs} = \ell_g^2 e_{js}^2 \sigma^2_{gj}} and \eqn{m_{gjs} = \ell_g e_{js} \hat
#' x_{gj}}, the prediction is
#' \deqn{Z_{gjs} = m_{gjs} + \frac{v_{gjs}}{\sum_l v_{gls} + \phi \mu_{gs}}
#'   \left(k_{gs} - \sum_l m_{gls}\right),}
#' cut off at 0: a residual goes to the types that vary, in proportion to how much.
#'
#' # Programs
#'
#' With `covariance = "genes"` the genes of a type deviate each on its own. With
#' `"programs"` they also do together: in type j
#' \deqn{d_{gjs} = L_{gj} z_{js} + \delta_{gjs}, \quad z_{js} \sim (0, s_j^2), \quad
#'   \delta_{gjs} \sim (0, \sigma^2_{gj}),}
#' with one *program* \eqn{L_j} per type and an *activity* \eqn{z_{js}} in every sample. All
#' genes of a sample together tell the activities of its types; what they leave of a
#' residual is split gene by gene, as without programs:
#' \deqn{Z_{gjs} = m_{gjs} + \ell_g e_{js} L_{gj} \hat z_{js} + \frac{v_{gjs}}{T_{gs}}
#'   \left(k_{gs} - \sum_l (m_{gls} + \ell_g e_{ls} L_{gl} \hat z_{ls})\right).}
#' Where cells of a type respond together (to a drug, an infection), many genes so decide
#' which type did, which a gene alone can't.
#'
#' A program comes from the donors of the reference: the first principal component of the
#' profiles of a type, where it has four or more that are worth ten cells each. Give
#' `build_signatures()` donor *and* condition (`interaction(donor, condition)`) where the
#' reference has cells of several. A type with fewer profiles *borrows*: the mean relative
#' program of the other types, times its own profile, for a type whose covariance is not
#' known most probably responds as its neighbours do. The sizes \eqn{s_j^2}, 1 in the
#' reference, are learnt from the cohort by EM, so that a program that the samples do not
#' show shrinks.
#'
#' In 60 mixtures of resting and stimulated blood cells, of donors that the reference did not
#' have and with a share of stimulated cells that every type had of its own, the correlation
#' over samples of predicted with true expression, mean over responding genes, was 0.44 with
#' programs and 0.42 without (in monocytes 0.53 and 0.45, in B, NK and T cells the same;
#' means of three draws). With a reference of resting cells alone the change on stimulation
#' was predicted no better than without (0.62 and 0.63 over genes). Where a single type
#' responds and the cohort is
#' large, gene-wise variances find it by themselves, and the borrowed programs of the others
#' take a little of what is its own: then give the program of that type in `programs`.
#'
#' # What is estimated, and from what
#'
#' *Mean of a type in the cohort*, \eqn{x_{gj}}: normal around the signature, with
#' a factor per gene that is common to all types (the error between the
#' platforms of reference and bulk; its variance \eqn{\tau^2} comes from the
#' cohort) and the error of each profile (donors and counts of the reference).
#' A gene that is off by the same factor in all samples so does not appear as a
#' deviation of any type. Exposures are scaled per sample so that the median
#' ratio of counts to means is 1.
#'
#' *Variance between people*, \eqn{\sigma^2_{gj}}: starts from the donors of the
#' reference, shrunk towards a trend in the level of the gene (squared
#' coefficient of variation; Smyth, 2004). Types with fewer than two donors, and
#' signatures that do not know them, get a coefficient of variation of 0.4, which
#' is typical of human subjects (Robinson, McCarthy and Smyth, 2010). With
#' `variance = "cohort"` and at least four samples these are updated by what the
#' samples show: \eqn{\phi} and a factor per type over all genes, then each gene's
#' own \eqn{\sigma^2_{gj}} as the mode of its likelihood times an inverse-\eqn{\chi^2}
#' prior, whose degrees of freedom come from the spread over genes. So a variance
#' that no donor of the reference shows (patients against healthy donors) is found.
#' Deviations of different types in a sample are taken to be independent.
#'
#' # Reliability
#'
#' \deqn{\mathrm{rel}_{gjs} = \frac{v_{gjs}}{T_{gs}} \left(1 - \frac{\mathrm{Var}(\sum_l
#'   m_{gls})}{T_{gs}}\right), \quad T_{gs} = \sum_l v_{gls} + \phi \mu_{gs},}
#' is the squared correlation, under the model, of the predicted with the true
#' deviation of a sample from the mean of its type: 0 says that the value is the
#' mean of the type and nothing else. Below 0.2 values should not be looked at
#' one by one. Exposures are taken as known in it: where they are off in some samples
#' (a type many of whose genes have changed), values of low reliability are worth
#' less than it says. With one sample a deviation can't be told from the error
#' between platforms, and reliability is low where that is large. With programs it is the
#' same share of the whole deviation that the counts explain, the program's part included.
#'
#' Variances hold the variance of the deviation that the counts leave, the error
#' of \eqn{\hat x_{gj}}, and (`exposure_error`) by the delta method the robust
#' covariance of the exposures (see [vcov.deconvolution()]). That the variances
#' \eqn{\sigma^2_{gj}} are themselves estimates is not included. For an
#' allocation they are the binomial variance at exact signatures and exposures.
#'
#' @param result A [deconvolution] with its counts kept.
#' @param type Names of types (or backgrounds); all types by default.
#' @param sample Names or numbers of samples; all by default. The cohort that the
#'   variances are learnt from is that of `result`.
#' @param method See *Methods*.
#' @param units `"counts"`: reads of the sample that come from the type. `"cpm"`:
#'   copies per million of the type's own mRNA (length is divided out). Where the type
#'   is not in the sample they can't be known: there they are the mean of the type in the
#'   cohort, with the variance of a sample around it and reliability 0; for an
#'   allocation the signature, with variance `NA`. `$prior` says where.
#' @param variance Learn variances from the `"cohort"`, or keep those of the
#'   `"reference"`?
#' @param covariance `"genes"`, or `"programs"` too, see *Programs*. For `"blup"` only.
#' @param programs `NULL` takes programs from the donors of the reference. Or your own: a
#'   matrix of loadings, genes × types, or a list named by type with a vector of loadings
#'   per gene each, or a matrix with a column per program. They are in molecules per
#'   molecule of the type, as profiles are, at an activity of 1; genes and types that are
#'   left out have none. `"none"` is the same as `covariance = "genes"`.
#' @param exposure_error Include the error of the exposures in the variances?
#'   Not possible for penalised fits.
#' @param threads Threads to use; the answer does not depend on it.
#' @param verbose Say what was assumed, and show progress?
#' @param sink `NULL`, or the path of an HDF5 file: the expression of all types and samples
#'   is found and written a group of samples at a time, and `$expression` is then a
#'   `DelayedArray` on that file. For `as.array()` the same for any field, which it returns.
#'   The dataset is named like the field, with the names of its dimensions in
#'   `"expression_names/1"` to `/3`; values are those in memory, to the bit.
#' @param BPPARAM Who works on blocks of samples for the error of exposures and for `sink`:
#'   `NULL` for this session, or a parameter of package BiocParallel; see
#'   [deconvolve_bulk()].
#' @param x A `cell_type_expression`.
#' @param i,j,k Genes, types and samples to keep (names, numbers or logicals).
#' @param name Component.
#' @param what `"expression"`, `"variance"`, `"std_error"` or `"reliability"`.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return An object of class `cell_type_expression`. It holds the fitted model
#'   of the cohort and computes values when they are asked for, so all types of a
#'   large cohort cost no memory until then:
#'   \item{`$expression`, `$variance`, `$std_error`, `$reliability`}{genes ×
#'     samples for one type, genes × types × samples for more.}
#'   \item{`$prior`}{Types × samples: `TRUE` where copies per million are those of the
#'     mean of the type. Also a column of `as.data.frame(x)`, and in the metadata of the
#'     `SummarizedExperiment`.}
#'   \item{`x[i, j, k]`}{The same for fewer genes, types, samples.}
#'   \item{`as.array(x, what, sink)`}{Always three-dimensional; with `sink` on disk.}
#'   \item{`as.data.frame(x)`}{A row per gene, type and sample.}
#'   \item{`as_summarized_experiment(x)`}{A `SummarizedExperiment` with an assay
#'     per type, shares of mRNA in `colData` and the reliability of each gene and
#'     type in `rowData`.}
#'   \item{`expression_reliability(x)`}{Genes × types: \eqn{\sum_s \mathrm{rel}\,v /
#'     \sum_s v} over the samples of `x` in which the type is present.}
#'   \item{`x$programs`, `x$activities`, `x$activity_error`}{With programs: a data frame
#'     with the `type` of each, where it comes `from` (`"own"`, `"borrowed"` or
#'     `"given"`), from how many donor `profiles`, and its `size`, the variance of the
#'     activities in the cohort over that in the reference; the activities with their
#'     standard errors, programs × samples. Signs are such that the gene that the programs
#'     move most rises. Otherwise `NULL`.}
#'   \item{`x$loadings`}{\eqn{L}, genes × programs.}
#'   \item{`x$model`}{`noise` (\eqn{\phi}), `tau2`, `sizes`, `factors` (variance of
#'     each type in the cohort over that of the reference), `prior_freedom`,
#'     `log_factor` per gene, `between` (\eqn{\sigma^2}, genes × types).}
#' @section Large cohorts:
#'   Variances, means and programs are learnt from up to 500 samples spread evenly over the
#'   cohort, which knows the variance of a gene to 6 %; from all of smaller ones. Values of
#'   other samples are then found group by group, so nothing grows with the cohort but
#'   exposures and their covariance (3.5 kB per sample with 21 types). Counts on disk are
#'   read once for these samples, once for the covariance, once for the sizes of the samples
#'   beyond 500 (once for the activities of programs), and once for every field asked for.
#' @section Errors:
#'   `unalloy_error_unwritable` for a `sink` that can't be written to or has such a dataset;
#'   `unalloy_error_no_counts` when the counts were not kept;
#'   `unalloy_error_no_expression` for shares that a network predicted which was not trained for
#'   expression;
#'   `unalloy_error_argument` for types and samples that are not in the result;
#'   `unalloy_error_no_programs` when the reference shows none: no donors, or too few;
#'   `unalloy_error_no_reliability` when reliability is asked of an allocation.
#' @references
#' Chu T, Wang Z, Pe'er D, Danko CG (2022). Cell type and gene expression
#' deconvolution with BayesPrism. *Nature Cancer* 3:505. (The allocation.)
#'
#' Robinson GK (1991). That BLUP is a good thing: the estimation of random
#' effects. *Statistical Science* 6:15.
#'
#' Smyth GK (2004). Linear models and empirical Bayes methods for assessing
#' differential expression. *Stat. Appl. Genet. Mol. Biol.* 3:3.
#'
#' Robinson MD, McCarthy DJ, Smyth GK (2010). edgeR. *Bioinformatics* 26:139.
#' @seealso [plot_expression_reliability()], [extract_program()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 8, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
#' found <- cell_type_expression(result)
#' found
#' head(found[, "Type A", ]$expression)
#' colMeans(expression_reliability(found))
#'
#' # four donors or more: the genes of a type together
#' together <- cell_type_expression(result, covariance = "programs", verbose = FALSE)
#' together$programs
#' together$activities[, 1:4]
cell_type_expression <- function(result, type = NULL, sample = NULL,
                                 method = c("blup", "allocation"), units = c("counts", "cpm"),
                                 variance = c("cohort", "reference"),
                                 covariance = c("genes", "programs"), programs = NULL,
                                 exposure_error = TRUE,
                                 threads = getOption("unalloy.threads", 2L), verbose = TRUE,
                                 sink = NULL, BPPARAM = NULL) {
  check_result(result, likelihood = FALSE)
  if (is_predicted(result)) {
    given <- setdiff(names(match.call())[-1L], "")
    return(predicted_expression(result, type, sample, units, given, match.call()))
  }
  plan <- work_plan(BPPARAM)
  if (!is.null(sink)) sink <- check_sink(sink)
  method <- check_choice(method, c("blup", "allocation"), "method")
  units <- check_choice(units, c("counts", "cpm"), "units")
  variance <- check_choice(variance, c("cohort", "reference"), "variance")
  covariance <- check_choice(covariance, c("genes", "programs"), "covariance")
  check_programs_used(method, covariance, programs)
  exposure_error <- check_flag(exposure_error, "exposure_error")
  threads <- check_threads(threads)
  verbose <- check_flag(verbose, "verbose")
  sources <- rownames(result$exposures)
  types <- check_sources(type, sources, result$model$n_types)
  samples <- result$convergence$sample
  if (!is.null(sample)) samples <- samples[sample_index(sample, samples)]
  cohort <- cohort_of(result)
  model <- result$model
  genes <- rownames(model$sources)
  out <- list(genes = genes, types = types, samples = samples, method = method, units = units,
              cohort = cohort, sources = model$sources, lengths = as.double(model$length_factor),
              threads = threads, proportions = result$proportions,
              sample_data = result$sample_data[samples, , drop = FALSE], call = match.call())
  if (method == "blup") {
    # before what takes long
    programs <- if (covariance == "programs") cohort_programs(result, programs)
    reference <- cohort_reference(result, verbose)
    n_samples <- nrow(result$convergence)
    out$learnt <- variance == "cohort" && n_samples >= LEAST_SAMPLES
    if (variance == "cohort" && !out$learnt) {
      inform_user(verbose, paste0("Variances are those of the reference: ",
                                  plural(n_samples, "sample"), " of at least ",
                                  LEAST_SAMPLES, " that learning them needs."))
    }
    data <- cohort_data(result, learning_samples(n_samples))
    noise <- count_noise(result, data$counts)
    out$model <- call_rs(
      rs_fit_expression, data = data, reference = reference,
      learn = if (out$learnt) "genes" else "nothing", noise = noise[1L], least_noise = noise[2L],
      means = TRUE, threads = threads,
      progress = progress_bar("Learning variances", length(genes), verbose)
    )
    if (ncol(data$counts) < n_samples) {
      out$model$sizes <- all_sizes(cohort, data, noise[1L], out$model$size_level, reference)
    }
    out$model <- name_model(out$model, result)
    if (!is.null(programs)) {
      out$programs <- fit_programs(programs, data, out$model, cohort, out$learnt, threads)
    }
    result <- with_plan(result, plan)
    out$covariance <- if (exposure_error) exposure_covariance(result, threads, verbose)
  }
  prior <- prior_places(out)
  if (any(prior)) {
    inform_user(verbose, paste0("Types without mRNA in a sample have the mean of the type there: ",
                                plural(sum(prior), "pair"), " of type and sample."),
                i = "`$prior` says which.")
  }
  if (!is.null(sink)) out$written <- list(array = write_expression(out, "expression", sink, plan))
  structure(out, class = "cell_type_expression")
}

# What a network read of expression, where it was trained to.
predicted_expression <- function(result, type, sample, units, given, call,
                                 .call = caller_env()) {
  if (is.null(result$expression)) {
    stop_user("no_expression", "The network was trained for shares alone.",
              i = paste("Train with `expression = \"programs\"` or `\"unet\"`, or fit the bulk",
                        "with `deconvolve_bulk()`."), .call = .call)
  }
  idle <- setdiff(given, c("result", "type", "sample", "units", "threads", "verbose"))
  if (length(idle)) {
    stop_user("argument", paste0("`", idle[1L], "` is for results of `deconvolve_bulk()`."),
              x = "This one was predicted by a network.", .call = .call)
  }
  if ("units" %in% given && !identical(units, "cpm")) {
    stop_user("argument", "A network predicts copies per million.",
              x = paste0("`units` is ", describe(units), "."), .call = .call)
  }
  samples <- result$convergence$sample
  if (!is.null(sample)) samples <- samples[sample_index(sample, samples, .call = .call)]
  structure(list(
    genes = dimnames(result$expression)[[1L]],
    types = check_sources(type, dimnames(result$expression)[[2L]], result$model$n_types, .call),
    samples = samples, method = "network", units = "cpm",
    data = list(values = result$expression), proportions = result$proportions,
    sample_data = result$sample_data[samples, , drop = FALSE], call = call
  ), class = "cell_type_expression")
}

# Samples below which the core learns no variances.
LEAST_SAMPLES <- 4L

check_sources <- function(type, sources, n_types, .call = caller_env()) {
  if (is.null(type)) return(sources[seq_len(n_types)])
  if (is.numeric(type)) type <- sources[type]
  unknown <- setdiff(type, sources)
  if (!length(type) || length(unknown)) {
    stop_user("argument", "`type` must name types of the result.",
              x = if (length(unknown)) paste0("Unknown: ", some_of(unknown), "."),
              i = paste0("There are ", some_of(sources, length(sources)), "."), .call = .call)
  }
  unique(as.character(type))
}

name_model <- function(model, result) {
  dimnames(model$between) <- dimnames(model$counting) <- dimnames(result$model$sources)
  names(model$log_factor) <- rownames(result$model$sources)
  names(model$sizes) <- colnames(result$exposures)
  names(model$factors) <- names(model$trend) <- colnames(result$model$sources)
  model
}

# Types x types x samples; NULL where the fit has none.
exposure_covariance <- function(result, threads, verbose) {
  if (is_penalised(result)) {
    inform_user(verbose, "The fit is penalised: the error of its exposures is left out.")
    return(NULL)
  }
  covariance <- infer_samples(result, "exposures", "robust", 0.95, threads, caller_env())$covariance
  covariance[!is.finite(covariance)] <- 0
  covariance
}
