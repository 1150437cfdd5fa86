#' Deconvolve bulk expression into cell types
#'
#' Finds how much of each sample's mRNA comes from each cell type: by default
#' with a model of the errors between the platforms of reference and bulk, or by
#' the maximum likelihood of a weighted Poisson model, with a proven bound on the
#' distance to the optimum.
#'
#' # Model
#'
#' Counts \eqn{k_g} of one sample are Poisson with mean
#' \deqn{\mu_g = \sum_j a_{gj} e_j, \quad a_{gj} = \ell_g S_{gj}, \quad
#'   \ell_g = (L_g / \mathrm{insert\_size})^\beta, \quad e_j \ge 0,}
#' where S are the signatures (columns scaled to sum 1 over all their genes), L
#' gene lengths and e exposures, in molecules. Weights \eqn{w_g} enter as a
#' power likelihood; the objective
#' \eqn{F(e) = \sum_g w_g (\mu_g - k_g \log \mu_g)} is convex. The intercept is
#' one more source, uniform over genes, for what no signature explains.
#'
#' All methods minimise the same F and find the same optimum, to the digits that
#' `ll_tolerance` asks for (types with nearly the same signature need a smaller
#' one under `"em"` and `"gd"`):
#' `"newton"` (default) is sequential quadratic programming with the exact
#' Hessian and bounds, and takes about ten passes over the data; `"em"` is
#' expectation-maximisation with squared extrapolation (Varadhan and Roland,
#' 2008); `"gd"` is gradient descent on log exposures with Adam's steps (Kingma
#' and Ba, 2015).
#'
#' # Certificate
#'
#' With \eqn{c_j = \sum_g w_g a_{gj}}, \eqn{W = \sum_g w_g k_g} and
#' \eqn{u_j = c_j^{-1} \sum_g a_{gj} w_g k_g / \mu_g}, every point with
#' \eqn{\sum_j c_j e_j = W} satisfies
#' \eqn{F(e) - F^* \le W \log \max_j u_j}. This bound is what every method stops
#' on, and what `convergence$gap` states, in log-likelihood units. A fit that
#' stops before is reported by a warning and in `convergence`.
#'
#' # Platform error
#'
#' Reference and bulk usually come from different platforms, which disagree gene
#' by gene by factors of two and more, and by ten for some classes of genes. The
#' platform error model says so,
#' \deqn{k_g \sim \mathrm{Poisson}(\mu_g e^{b_g}), \quad b_g \sim N(0, s_g^2), \quad
#'   s_g^2 = \tau^2 D_g + v_g.}
#' \eqn{\tau^2} is estimated from the cohort. \eqn{D_g = 1 + (r_g / 75)^4}
#' discounts all but the most specific genes, \eqn{r_g} being the rank of a gene
#' among those of its type: errors of genes that mark one type go together, so
#' that thousands of them know no more than some dozens. \eqn{v_g} is what the
#' counts of the reference leave unknown. Signatures are first shrunk towards
#' their mean over types as far as noise explains their differences. In units of
#' a floor \eqn{\phi} (10 reads per million, at least one count), the errors are
#' profiled out,
#' \deqn{F(e) = \sum_g w_g \min_b \{ m_g e^b - y_g (\log m_g + b) + b^2 / (2 s_g^2) \},
#'   \quad y = k / \phi, \; m = \mu / \phi.}
#' As \eqn{s^2 \to 0} this is the Poisson fit, for large \eqn{s^2} least squares
#' of log counts. F is not convex in e: `converged` means a stationary point, and
#' `convergence$gap` the decrease that the quadratic model still promises there.
#'
#' # Penalties
#'
#' `l1_lambda` adds \eqn{\lambda_1 \sum e_j} over types, in units of
#' \eqn{W / \sum e} of the unpenalised optimum; `l2_lambda` adds
#' \eqn{\lambda_2 \sum e_j^2}, in units of \eqn{W / (\sum e)^2}. A value so means
#' the same at any depth. As \eqn{\sum_j c_j e_j = W} at the optimum, an L1
#' penalty mostly moves mRNA from the types to the intercept, rather than from
#' false types to true ones, and values of 10 and more can leave none: proportions
#' are then `NA`, with a warning. Poisson deconvolution is sparse without it;
#' `sparsity = "lrt"` leaves out types by what the data say.
#'
#' # Large cohorts
#'
#' What the samples of a cohort share is estimated once: \eqn{\tau^2}, the exponent of
#' `protocol = "auto"` and the unit of the values from up to 16 samples spread evenly over
#' all (the unit is checked against every value later), a background of arrays from all.
#' Then samples are solved in
#' blocks. Samples go in groups of 16 wherever blocks end, so the answer does not
#' depend on the size of the blocks, on the number of workers or on where counts are, to the
#' bit. Counts on disk (a `DelayedMatrix`) are read once, in blocks of
#' `getOption("unalloy.block_size")` bytes (1e8 by default; memory is about five times
#' that per worker); twice where they are not whole numbers, and once more for each of
#' `array_background` and `sparsity = "lrt"`.
#'
#' On a cluster, jobs that were killed are submitted again, twice at most, with a warning;
#' blocks that they had finished are kept, in `resume` or else in a folder of their own
#' below the working directory, which the workers must see. The article "Ten thousand
#' samples, a million cells" of the package's site shows it.
#'
#' @param signatures A [signatures] object, or a matrix of mean linear
#'   expression, genes × types. Columns are scaled to sum 1, each being a whole
#'   transcriptome; their sums are kept, and `coef(result, "column_shares")` are shares
#'   in units of the columns as given.
#' @param bulk_counts Genes × samples: a matrix (double or integer), data frame
#'   (a first column of text is taken for gene names), sparse matrix,
#'   `SummarizedExperiment` or `DelayedMatrix` (read in blocks of
#'   `getOption("unalloy.block_size")` bytes, 1e8 by default).
#'   Counts are what the model is meant for; linear values in other units (TPM,
#'   CPM, arrays) are accepted, and only their spread is then not Poisson.
#' @param gene_lengths Transcript lengths in base pairs: a named vector, an
#'   unnamed one in the order of the signatures' rows, or a data frame with
#'   columns `symbol` (or other gene names) and `length`, and perhaps `weight` (see
#'   `gene_weights`).
#'   `NULL` models counts as independent of length.
#' @param gene_weights Weights in \[0, 1\], in the same forms (column
#'   `weight`), or markers (from [select_markers()], or a list of genes per type),
#'   which weigh 1 and all others 0. Genes with weight 0 do not take part in the
#'   fit. `"auto"` leaves out genes that depend on the protocol (see
#'   [protocol_genes()]), `"none"` weighs all genes 1. `NULL` is `"auto"`; a column
#'   `weight` of `gene_lengths` is combined with it for the platform error model, and
#'   stands in its place for the Poisson model, with a message. Weights do not
#'   choose the error model.
#' @param method How the optimum of the Poisson model is sought; see *Model*.
#' @param error_model `"poisson"` trusts the signatures gene by gene;
#'   `"platform"` gives every gene an error of its own, see *Platform error*.
#'   `"auto"` is `"platform"`, unless something is asked for that only the
#'   Poisson model has: `"em"` or `"gd"`, an `intercept` (`TRUE` or
#'   `FALSE`), a `background`, or a penalty; a message then says so. The first line
#'   of `print()` has the model and the reason.
#' @param protocol What reads are proportional to: `"full_length"` to transcript
#'   length (\eqn{\beta = 1}), `"umi"` to molecules (\eqn{\beta = 0}, for UMI and
#'   3' or 5' libraries); `"auto"` takes the best of \eqn{\beta} = 0, 1/4, 1/2, 3/4, 1
#'   on up to 16 samples spread over the cohort, and reports the deviance of
#'   each in `length_profile`.
#' @param length_exponent \eqn{\beta}, in place of what `protocol` says.
#' @param insert_size Length in base pairs at which a molecule gives one read.
#'   It scales exposures and leaves proportions as they are.
#' @param intercept Add the uniform background? `NULL` adds it to the Poisson
#'   model, and leaves it out, with a warning, in samples of which it would explain
#'   all reads; the platform error model has none.
#' @param background Further background profiles, genes × backgrounds with names
#'   (ambient RNA, genomic DNA, a contaminant): sources that are fitted but no
#'   cell types.
#' @param array_background What unspecific binding adds to every gene of an array, to
#'   be taken away: one number, or one per sample. `"quantile"` takes the 2 % quantile of
#'   each sample, less the background that the signatures have, too, which cancels.
#'   `"auto"` does so, with a message, where no value is near zero (the quantile is above
#'   1 % of the median) and the signatures explain less than half of it; counts are
#'   left as they are. `"none"` leaves everything.
#' @param cell_size mRNA content per cell of each type, for `cell_fractions`:
#'   a vector named by type (any unit), `"literature"` for measured values by
#'   type name (see [match_cell_size()]), `"reference"` for the mean UMI per cell
#'   of the signatures, or `"none"`. `"auto"` is `"literature"` where at least half
#'   of the types are blood cells that it knows by name; the others count as
#'   average, and a message names them. Mean UMI depends on the protocol and on
#'   how cells were sorted; look at the values before you trust them.
#' @param type_error Standard deviation of the log error that the genes of a type
#'   share, for intervals and tests: `"auto"` (see [type_error()]), one number, or a
#'   vector named by type. 0 leaves it out.
#' @param l1_lambda,l2_lambda Penalties; see *Penalties*. Higher values move
#'   more to the intercept (L1) or pull types towards each other (L2).
#' @param sparsity `"lrt"` leaves out, sample by sample, the types that the data
#'   do not ask for: while the least likelihood ratio is not significant at
#'   `sparsity_level` (see [test_presence()], with the robust scale and without the error
#'   that the genes of a type share), its type goes
#'   and the others are fitted anew. `"none"` keeps every type; its zeros are
#'   those of the optimum.
#' @param sparsity_level Significance below which a type stays. Lowering it
#'   drops more types.
#' @param max_iter Passes over the data per sample (and round of the platform
#'   error model) at most. Default 200 for
#'   `"newton"`, 10,000 for the others.
#' @param ll_tolerance Certified distance to the optimum at which a fit stops,
#'   per unit of W. `"newton"` goes on to 1e-6 log-likelihood units where
#'   rounding allows. For the platform error model: the promised decrease of the
#'   objective, in its own units. Collinear types need less for stable digits under `"em"`
#'   and `"gd"`.
#' @param sparsity_tolerance For `"em"` and `"gd"`, which never reach zero: a
#'   type whose share of the reads is below this and which the certificate does
#'   not want is set to zero. Raising it drops types earlier.
#' @param poll_interval For `"em"` and `"gd"`: passes between two looks at the
#'   certificate, and between two rows of `trace`.
#' @param learning_rate For `"gd"`: size of the first steps of a log exposure.
#'   Default 0.5, at which steps near the optimum equal those of EM; less is
#'   slower.
#' @param init_log_exp For `"gd"`: log exposure that all types start from, beside
#'   a background that explains all reads (the published start, at -10, from the
#'   null model); `NULL` starts all sources from the data alike.
#' @param assay For a `SummarizedExperiment`: the assay to read; `"counts"` by
#'   default, else the first.
#' @param bulk_scale `"log1p"` undoes log(x + 1), `"log2"` log2(x + 1), before
#'   anything else is done. Values that look like logarithms are refused under
#'   `"linear"`.
#' @param samples What is known of the samples: a data frame whose row names, or a
#'   column of which, are their names. It travels with the result, see [sample_data()]. By
#'   default the `colData` of a `SummarizedExperiment`.
#' @param keep_counts Keep the counts in the result (no copy is made), so that
#'   residuals, intervals and plots need nothing else?
#' @param threads Threads to use. The answer does not depend on it, to the bit.
#' @param seed `NULL` starts every sample from equal exposures; a whole number
#'   scatters the start log-normally. The optimum is the same.
#' @param verbose Report what matched, and show progress after two seconds?
#' @param BPPARAM Who works on blocks of samples: `NULL` for this session, or a parameter of
#'   package BiocParallel, as `MulticoreParam(2)` or `BatchtoolsParam(cluster = "slurm")`;
#'   see *Large cohorts*. Every worker uses `threads` threads.
#' @param resume `NULL`, or a folder in which finished blocks are kept: the same call
#'   after an interruption finds them there, and works on the others alone. Workers must
#'   see it under the same path. It is for one call at a time, and yours to delete.
#' @param ... Names that other packages use: `max_iterations` is taken for `max_iter` and
#'   `tolerance` for `ll_tolerance`, with a message; `backend` has no effect, and a
#'   message says so. Everything else is refused.
#' @return An object of class [deconvolution].
#' @section Errors and warnings:
#'   Errors have the class `unalloy_error` and one of its own:
#'   `unalloy_error_missing_counts`, `_infinite_counts`, `_negative_counts`,
#'   `_log_scale`, `_empty_sample`, `_empty_type`, `_no_samples`, `_not_numeric`,
#'   `_gene_names`, `_sample_names`, `_type_names`, `_no_common_genes`,
#'   `_lengths`, `_weights`, `_samples`, `_cell_size`, `_type_error`, `_background`,
#'   `_too_few_genes`,
#'   `_signature_values`, `_argument`; with `BPPARAM` and `resume` `_workers` where
#'   workers were lost, `_unwritable` and `_unreadable` for files.
#'   Warnings: `unalloy_warning_identifiability`, `_no_types`, `_not_converged`,
#'   `_gene_lengths`, `_few_genes`, `_unused_argument`, `_lost_parts`.
#' @references
#' Shepp LA, Vardi Y (1982). Maximum likelihood reconstruction for emission
#' tomography. *IEEE Transactions on Medical Imaging* 1:113.
#'
#' Varadhan R, Roland C (2008). Simple and globally convergent methods for
#' accelerating the convergence of any EM algorithm. *Scandinavian Journal of
#' Statistics* 35:335.
#' @seealso [build_signatures()], [plot_deconvolution()], [confint.deconvolution()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' result
#' result$proportions
#' result$convergence
deconvolve_bulk <- function(signatures, bulk_counts, gene_lengths = NULL, gene_weights = NULL,
                            method = c("newton", "em", "gd"),
                            error_model = c("auto", "poisson", "platform"),
                            protocol = c("auto", "full_length", "umi"), length_exponent = NULL,
                            insert_size = 500, intercept = NULL, background = NULL,
                            array_background = "auto", cell_size = "auto", type_error = "auto",
                            l1_lambda = 0, l2_lambda = 0,
                            sparsity = c("none", "lrt"), sparsity_level = 0.05, max_iter = NULL,
                            ll_tolerance = 1e-8, sparsity_tolerance = 1e-4, poll_interval = 10,
                            learning_rate = 0.5, init_log_exp = NULL, assay = NULL,
                            bulk_scale = c("linear", "log1p", "log2"), samples = NULL,
                            keep_counts = TRUE, threads = getOption("unalloy.threads", 2L),
                            seed = NULL, verbose = TRUE, BPPARAM = NULL, resume = NULL, ...) {
  check_call()
  here <- environment()
  method <- check_choice(method, METHODS, "method")
  given <- setdiff(names(match.call())[-1L], "")
  refuse_dots(..., .known = names(OTHER_NAMES), .call = here)
  other <- other_names(list(...))
  max_iter <- max_iter %||% other$max_iter
  ll_tolerance <- other$ll_tolerance %||% ll_tolerance
  warn_unused(given, method, .call = here)
  if (all(c("protocol", "length_exponent") %in% given) && !is.null(length_exponent)) {
    warn_user("unused_argument", "`protocol` has no effect beside `length_exponent`.")
  }
  if (is.null(gene_lengths) && "insert_size" %in% given) {
    warn_user("unused_argument", "`insert_size` has no effect without `gene_lengths`.")
  }
  settings <- solver_settings(
    method, l1_lambda, l2_lambda, max_iter, ll_tolerance, sparsity_tolerance, poll_interval,
    learning_rate, init_log_exp, threads, seed, .call = here
  )
  settings <- c(settings, sparsity_settings(sparsity, sparsity_level, given, settings, here))
  verbose <- check_flag(verbose, "verbose")
  keep_counts <- check_flag(keep_counts, "keep_counts")
  signatures <- as_signatures(signatures)
  settings$type_error <- check_type_error(type_error, colnames(signatures$profiles))
  if (is_marker_list(gene_weights)) {
    gene_weights <- as_gene_weights(gene_weights, rownames(signatures$profiles), .call = here)
  }
  bulk <- as_bulk(bulk_counts, assay,
                  check_choice(bulk_scale, c("linear", "log1p", "log2"), "bulk_scale"))
  bulk$plan <- work_plan(BPPARAM, resume)
  samples <- given_sample_data(samples, bulk_counts, bulk$samples)
  array_background <- check_array_background(array_background)
  insert_size <- check_number(insert_size, "insert_size", 0, above = TRUE)
  choice <- chosen_model(
    error_model, poisson_only = c(
      `method` = method != "newton", `intercept` = !is.null(intercept),
      `background` = !is.null(background), `l1_lambda` = settings$l1_lambda > 0,
      `l2_lambda` = settings$l2_lambda > 0
    ), verbose, .call = here
  )
  platform <- choice$platform
  settings$model_reason <- choice$reason
  settings$free_intercept <- is.null(intercept)
  with_intercept <- if (is.null(intercept)) !platform else check_flag(intercept, "intercept")
  # anew where the values on disk are not what some of them promised
  fit <- list(misjudged = bulk)
  while (!is.null(fit$misjudged)) {
    cleaned <- without_background(fit$misjudged, signatures$profiles, array_background, verbose)
    bulk <- cleaned$bulk
    settings$array_background <- cleaned$setting
    weights <- default_weights(gene_weights, gene_lengths, platform, verbose)
    model <- build_model(signatures, bulk, gene_lengths, weights, background, with_intercept,
                         insert_size, .call = here)
    model <- choose_lengths(model, bulk, settings, protocol, length_exponent, verbose,
                            .call = here)
    check_identifiable(model, .call = here)
    sizes <- cell_sizes(cell_size, signatures, verbose, .call = here)
    if (platform) model <- add_platform_error(model, signatures)
    report_matching(model, bulk$unit, verbose)
    report_totals(signatures, verbose)
    fit <- run_whole_fit(model, bulk, settings, verbose, here)
  }
  result <- new_deconvolution(fit, model, bulk, settings, sizes, keep_counts,
                              unit = bulk$unit, call = match.call(), signatures)
  result$sample_data <- samples
  warn_not_converged(result, .call = here)
  warn_no_types(result, .call = here)
  report_gene_error(result, verbose)
  result
}

# Cosine of two weighted signatures above which they are called the same.  Beside the
# other one known, the variance of an exposure is 1 / (1 - cosine^2) times as large: 500
# times here, so errors of 1 % become 22 %.
SAME_COSINE <- 0.999

# Signatures that the data cannot tell apart.
check_identifiable <- function(model, .call) {
  types <- model$sources[, seq_len(model$n_types), drop = FALSE]
  if (ncol(types) < 2L) return(invisible())
  centre <- rowSums(types)
  scale <- ifelse(centre > 0, sqrt(model$weights * model$length_factor / centre), 0)
  products <- crossprod(types * scale)
  cosine <- stats::cov2cor(products)
  cosine[upper.tri(cosine, diag = TRUE)] <- 0
  worst <- which(cosine > SAME_COSINE, arr.ind = TRUE)
  if (nrow(worst)) {
    pairs <- paste0("\"", colnames(types)[worst[, 2L]], "\" and \"",
                    colnames(types)[worst[, 1L]], "\"")
    shown <- utils::head(pairs, 3L)
    warn_user("identifiability", "Some types have the same signature up to noise.",
              x = paste0(paste(shown, collapse = "; "),
                         if (length(pairs) > 3L) paste0("; and ", length(pairs) - 3L, " more"),
                         "."),
              i = "Only the sum of their proportions is meaningful: merge them.", .call = .call)
  }
}

# Shares depend on whether the columns of a reference are taken as given.
report_totals <- function(signatures, verbose) {
  totals <- signatures$totals
  if (is.null(totals) || max(totals) < 1.05 * min(totals)) return(invisible())
  inform_user(verbose, paste0(
    "Columns of `signatures` sum to ",
    paste(format(signif(range(totals), 3), trim = TRUE), collapse = " to "),
    ". `proportions` are shares of molecules, each column being scaled to a whole transcriptome."
  ), i = "`coef(result, \"column_shares\")` has shares in units of the columns as given.")
}

# Log error of single genes, a factor of two, from which the Poisson model's trust in the
# reference is misplaced.
LARGE_GENE_ERROR <- log(2)

report_gene_error <- function(result, verbose) {
  if (result$error_model != "poisson" || result$gene_error < LARGE_GENE_ERROR) return(invisible())
  table <- result$convergence
  explained <- stats::median(1 - table$deviance / table$null_deviance)
  inform_user(verbose, paste0(
    "Counts differ from the Poisson fit by a factor of ", number_text(exp(result$gene_error)),
    " in a typical gene, which counting does not explain (deviance explained ",
    percent_text(explained), "). The model trusts the reference gene by gene."
  ), i = "`error_model = \"platform\"` allows for such errors, and is the default.")
}

report_matching <- function(model, unit, verbose) {
  report <- model$matching$report
  text <- paste0(plural(report$matched, "gene"), " matched by ", report$by, " (bulk ",
                 count_text(report$bulk), ", signatures ", count_text(report$signatures), ")")
  if (length(report$dropped)) {
    text <- paste0(text, "; ", count_text(length(report$dropped)),
                   " more without length or weight")
  }
  summed <- report$bulk_summed + report$signatures_summed
  if (summed) text <- paste0(text, "; ", plural(summed, "duplicate row"), " summed")
  used <- sum(takes_part(model))
  if (used < report$matched) {
    text <- paste0(text, "; ", count_text(used), " take part in the fit",
                   if (!is.null(model$discount)) " (specific to a type, not of the protocol)")
  }
  unit_text <- c("per million" = paste("Values are per million (CPM or TPM): proportions hold,",
                                       "intervals need counts."),
                 linear = "Values are not whole numbers: taken as linear (RPKM, array).")
  inform_user(verbose, paste0(text, "."), i = if (unit != "counts") unit_text[[unit]])
}

# Samples in which the background explains everything.
warn_no_types <- function(result, .call) {
  without <- colnames(result$proportions)[is.na(result$proportions[1L, ])]
  if (!length(without)) return(invisible())
  penalty <- result$settings$l1_lambda
  warn_user("no_types", "No cell type was found in some samples: their proportions are NA.",
            x = paste0("The background explains all reads of ", some_of(without), "."),
            i = if (penalty > 0) {
              paste0("With `l1_lambda = ", format(penalty), "` mRNA costs more than it explains: ",
                     "lower it, or leave out types by `sparsity = \"lrt\"`.")
            } else {
              "Do the genes of reference and bulk mean the same?"
            }, .call = .call)
}

warn_not_converged <- function(result, .call) {
  open <- result$convergence[!result$convergence$converged, ]
  if (!nrow(open)) return(invisible())
  warn_user(
    "not_converged", paste0(plural(nrow(open), "sample"), " did not converge."),
    x = paste0("Samples: ", some_of(open$sample), "; largest gap ",
               format(max(open$gap), digits = 2),
               if (result$error_model == "poisson") " log-likelihood units."
               else " units of the objective."),
    i = if (!any(open$reason == "max_iter")) {
      "Rounding stopped the fit: a larger `ll_tolerance` can be met."
    } else if (result$settings$method == "newton") {
      "Raise `max_iter`."
    } else {
      "Raise `max_iter`, or use `method = \"newton\"`."
    },
    i = "The result holds the best point so far; see `$convergence`.", .call = .call
  )
}
