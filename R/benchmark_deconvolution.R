#' Compare deconvolution methods on data with known truth
#'
#' `benchmark_deconvolution()` runs methods on datasets whose truth is known, in
#' the same way for all of them, and scores what they say. `pseudo_bulk()` makes
#' such a dataset from single cells of your own: cells of some donors are mixed
#' into bulk samples, the other donors are the reference. `benchmark_methods()`
#' lists the methods that are built in.
#'
#' @section Datasets:
#' A dataset is a result of [simulate_bulk()], a result of `pseudo_bulk()`, or a
#' list (a truth set) with
#' \describe{
#'   \item{`reference`}{Single-cell counts in any form that [build_signatures()]
#'     takes.}
#'   \item{`cell_types`, `donors`}{Labels per cell, or names of metadata columns;
#'     `donors` may be left out.}
#'   \item{`bulk_counts`}{Linear expression, genes × samples, in any form that
#'     [deconvolve_bulk()] takes, on disk excepted.}
#'   \item{`truth_mrna`}{Types × samples, with names. Columns need not sum to 1.}
#'   \item{`gene_lengths`}{Only where reads grow with gene length: methods that
#'     do not model lengths get the bulk divided by them.}
#'   \item{`groups`}{Where the truth is coarser than the reference: the type of
#'     the truth, named by the type of the reference. Shares are summed.}
#' }
#' Truth and estimates are compared over the types that the reference and the
#' truth have in common, both scaled to sum 1 over them; a type that a method
#' does not name, and negative values, count as 0.
#'
#' @section Methods:
#' `"unalloy"` is [deconvolve_bulk()] as it comes, `"poisson"` its Poisson model,
#' `"markers"` the Poisson model on 50 markers per type, `"nnls"` non-negative
#' least squares (Lawson and Hanson), `"nu-svr"` the algorithm of CIBERSORT on 50
#' markers per type (needs the package e1071), `"network"` a network trained anew for the
#' dataset ([train_deconvolver()], a minute or two each), and `"mean"` the trivial baseline:
#' the composition of the reference, the same for every sample. A method that
#' does not beat `"mean"` has learnt nothing from the bulk.
#'
#' The others are packages of their authors, called as they document, with
#' settings by default: `"music"`, `"instaprism"`, `"bayesprism"`, `"bisque"`,
#' `"epic"`, `"dwls"`, `"scdc"`, `"dtangle"`, `"hspe"` and `"deconrnaseq"`. They
#' are skipped where the package is not installed. Their adapters were written
#' from the documentation of these packages and could not be run by us: trust an
#' error more than a bad result, and report either.
#'
#' All methods are asked for shares of mRNA over all genes. Where a package gives
#' shares of cells (MuSiC, DWLS, SCDC), they are multiplied by the mean UMI
#' of a type; where it scales profiles to the genes at hand (InstaPrism,
#' BayesPrism, EPIC), shares are divided by what these genes are of the type's
#' mRNA.
#'
#' A method of your own is a function that takes a dataset and returns a matrix
#' types × samples. The dataset is a list with `reference` (genes × cells),
#' `cell_types`, `donors` (or `NULL`), `bulk_counts` (with the genes of `reference`) and
#' `signatures` (over all genes). The truth is not in it.
#'
#' @param methods Names of built-in methods, or a list of names and of functions
#'   with names.
#' @param datasets A dataset, or a named list of them; see *Datasets*.
#' @param metrics Which scores to compute: `"rmse"` (root mean squared error over
#'   types and samples), `"mae"` (mean absolute error), `"correlation"` (Pearson,
#'   over types and samples), `"type_correlation"` (Pearson across samples, mean
#'   over types whose truth varies; a constant estimate counts as 0), `"bias"` (largest
#'   absolute mean error of a type), `"ccc"` (concordance correlation of Lin 1989, over
#'   types and samples) and `"l1"` (summed absolute error of a sample, mean over
#'   samples).
#' @param clean Leave genes that depend on the protocol ([protocol_genes()]) out
#'   of what all methods see? `"unalloy"` leaves them out either way.
#' @param seed A whole number from which each run, or `pseudo_bulk()`, starts its
#'   random numbers, so that a run does not depend on those before it. R's own
#'   stream is left as it was.
#' @param verbose Show progress, and tell which methods are skipped?
#' @return `benchmark_deconvolution()`: an object of class
#'   [deconvolution_benchmark]. `pseudo_bulk()`: an object of class
#'   `benchmark_dataset`, a list as under *Datasets* with, in addition,
#'   `truth_cells` (shares of cells), `truth_expression` (if asked for: copies per million
#'   of the cells of each type, genes × types × samples, `NA` where the type was not
#'   drawn; before the platform), `cells` (a data frame of which cell went
#'   where: `cell`, `cell_type`, `donor`, `part`), `drawn` (how often each cell is in
#'   each sample) and `platform` (log factor per gene). `benchmark_methods()`: a data frame.
#' @section Errors and warnings: `unalloy_error_argument` for unknown methods and metrics;
#'   `unalloy_error_dataset` for a dataset that lacks a part or whose parts do not
#'   fit, by name; those of [build_signatures()]. `unalloy_warning_few_cells` names
#'   types that are in no pseudo-bulk. A method that fails does not
#'   stop the others: its reason is in the object.
#' @seealso [plot.deconvolution_benchmark()], [compare_deconvolutions()],
#'   `vignette("does-it-work", package = "unalloy")`
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 6, seed = 1)
#' own <- pseudo_bulk(sim$reference, sim$cells$cell_type, sim$cells$donor,
#'                    n_samples = 6, cells_per_sample = 100, seed = 1)
#' equal_shares <- function(dataset) {
#'   types <- levels(dataset$cell_types)
#'   matrix(1 / length(types), length(types), ncol(dataset$bulk_counts),
#'          dimnames = list(types, colnames(dataset$bulk_counts)))
#' }
#' benchmark <- benchmark_deconvolution(
#'   list("unalloy", "nnls", "mean", equal = equal_shares),
#'   list(simulated = sim, own = own), verbose = FALSE
#' )
#' benchmark
benchmark_deconvolution <- function(methods = c("unalloy", "poisson", "markers", "nnls", "nu-svr",
                                                "mean"),
                                    datasets,
                                    metrics = c("rmse", "mae", "correlation", "type_correlation",
                                                "bias", "ccc", "l1"),
                                    clean = TRUE, seed = NULL, verbose = TRUE) {
  check_call()
  metrics <- check_names(metrics, names(BENCHMARK_METRICS), "metrics")
  clean <- check_flag(clean, "clean")
  verbose <- check_flag(verbose, "verbose")
  if (!is.null(seed)) seed <- check_seed(seed)
  methods <- as_methods(methods)
  datasets <- lapply(as_datasets(datasets), with_signatures)
  methods <- installed_methods(methods, verbose)
  show <- progress_bar("Benchmarking", length(datasets) * length(methods), verbose)
  runs <- list()
  for (name in names(datasets)) {
    inputs <- list(ours = method_input(datasets[[name]], clean),
                   theirs = peer_input(datasets[[name]], clean))
    for (method in names(methods)) {
      run <- run_method(methods[[method]], inputs, datasets[[name]], seed)
      runs <- c(runs, list(c(list(dataset = name, method = method), run)))
      show(length(runs))
    }
  }
  new_benchmark(runs, datasets, names(methods), metrics, clean)
}

# The signatures of the reference that methods get; few cells are the dataset's matter.
with_signatures <- function(dataset) {
  dataset$signatures <- suppressWarnings(
    build_signatures(dataset$reference, dataset$cell_types, dataset$donors),
    classes = "unalloy_warning_few_cells"
  )
  dataset
}

# One run: estimate (truth types x samples, or NULL), seconds, and what went wrong.
# Whatever a method prints or warns of is kept from the user's console.
run_method <- function(method, inputs, dataset, seed) {
  warned <- character()
  estimate <- failure <- NULL
  start <- proc.time()[["elapsed"]]
  utils::capture.output(tryCatch(
    withCallingHandlers(
      estimate <- with_seed(seed, to_truth(method$run(inputs[[method$input]]), dataset)),
      warning = function(w) {
        warned <<- c(warned, first_line(w))
        rlang::cnd_muffle(w)
      },
      message = function(m) rlang::cnd_muffle(m)
    ),
    error = function(e) failure <<- first_line(e)
  ))
  list(estimate = estimate, seconds = proc.time()[["elapsed"]] - start, failure = failure,
       warnings = unique(warned))
}

# The message of a condition: the problem and the first detail.
first_line <- function(condition) {
  lines <- strsplit(cli::ansi_strip(conditionMessage(condition)), "\n")[[1L]]
  lines <- trimws(sub("^\\s*[^[:alnum:][:space:]`\"'(]\\s+", "", lines))
  paste(utils::head(lines[nzchar(lines)], 2L), collapse = " ")
}

# An estimate as shares of the types it is compared over, samples in order.
to_truth <- function(estimate, dataset) {
  check_estimate(estimate, dataset)
  estimate <- pmax(as.matrix(estimate)[, colnames(dataset$truth_mrna), drop = FALSE], 0)
  types <- rownames(dataset$truth_mrna)
  own <- match(truth_type(rownames(estimate), dataset$groups), types)
  out <- matrix(0, length(types), ncol(estimate), dimnames = dimnames(dataset$truth_mrna))
  summed <- rowsum(estimate[!is.na(own), , drop = FALSE], own[!is.na(own)])
  out[as.integer(rownames(summed)), ] <- summed
  shares_of_columns(out)
}

# What a method returns must be types x samples; its failures are reports.
check_estimate <- function(estimate, dataset) {
  if (is.data.frame(estimate)) estimate <- as.matrix(estimate)
  if (!is.matrix(estimate) || !is.numeric(estimate)) {
    stop("The method did not return a numeric matrix.", call. = FALSE)
  }
  samples <- colnames(dataset$truth_mrna)
  absent <- setdiff(samples, colnames(estimate))
  if (length(absent)) {
    turned <- all(samples %in% rownames(estimate))
    stop("The method must return types in rows and samples in columns",
         if (turned) ": it returned them transposed." else
           paste0("; there is no column ", some_of(absent), "."), call. = FALSE)
  }
  if (!any(truth_type(rownames(estimate), dataset$groups) %in% rownames(dataset$truth_mrna))) {
    stop("The method returned no type of the truth, but ", some_of(rownames(estimate)), ".",
         call. = FALSE)
  }
  bad <- colnames(estimate)[colSums(!is.finite(estimate)) > 0]
  if (length(bad)) {
    stop("The method returned missing values for ", some_of(bad), ".", call. = FALSE)
  }
}

# ---- datasets ----
