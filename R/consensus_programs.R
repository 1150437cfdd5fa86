#' Consensus gene expression programs of single cells
#'
#' Runs many non-negative matrix factorisations from random starts and keeps what
#' they agree on: the method of cNMF (Kotliar et al. 2019), natively. Cells ×
#' genes is never made dense.
#'
#' @details
#' 1. *Genes.* Counts are scaled to a million per cell (TPM below). With mean mu and
#'    variance sigma² of a gene, its Fano factor sigma²/mu is divided by the expected
#'    A²mu + B², where A is the smallest coefficient of variation of the 20 genes with
#'    the highest mean and B² the median Fano factor of the genes between the 10th and
#'    90th percentile of both. The `n_features` genes with the largest ratio are
#'    factorised, of those whose TPM and counts vary.
#' 2. *Runs.* Their counts are divided by their standard deviations (not centred) and
#'    factorised `nrun` times by [nmf()].
#' 3. *Consensus.* All spectra (columns of W) are scaled to length 1. A spectrum whose
#'    mean Euclidean distance to its nearest others (as many as `neighbours` × `nrun`)
#'    is above `density_threshold` is dropped; k-means (k-means++ starts, best of 10)
#'    sorts the rest into programs, whose spectra are the medians, scaled to sum 1.
#' 4. *Refit.* Usages are the non-negative least squares (for `loss = "kl"` the
#'    Kullback-Leibler) optimum for these spectra; scaled to sum 1 per cell, they give
#'    spectra in TPM for all genes, again by non-negative least squares, and scores:
#'    the coefficients of an ordinary regression of each gene's standardised TPM on the
#'    usages. The final usages are refitted to the TPM of the chosen genes, divided by
#'    their standard deviations.
#'
#' Programs stand in the order of their total usage.
#'
#' @section Choosing the rank:
#'   With several ranks the result has a table with stability (mean silhouette width
#'   of all spectra, before any is dropped) and error (|X - WH|² over |X|²), and a
#'   plot of both. Take the largest rank at which stability is still high. The density
#'   threshold is read off the histogram in `plot(x)`: it belongs in the gap between the
#'   bulk of the spectra and the stragglers.
#'
#' @param x Counts with genes in rows and cells in columns: a matrix, `dgCMatrix`,
#'   `SingleCellExperiment` (assay `"counts"`) or Seurat object.
#' @param rank Number of programs; several give a comparison.
#' @param nrun Factorisations.
#' @param n_features How many overdispersed genes to factorise.
#' @param features Names of genes to factorise instead.
#' @param loss `"frobenius"` or `"kl"`.
#' @param density_threshold See above; 2 or more keeps every spectrum.
#' @param neighbours Part of the runs whose nearest spectra make the local density.
#' @param max_iter,tolerance Passed to [nmf()], for each run. A consensus of medians
#'   needs no late digits.
#' @param assay Name of the assay, for objects with several.
#' @param threads Threads; the result does not depend on them.
#' @param seed A whole number; `NULL` takes one from R's random stream.
#' @param verbose Show progress?
#' @return For one rank an object of class `consensus_programs`, a list:
#'   \item{usage}{Programs × cells, columns sum to 1 (0 for cells without counts in the
#'     genes).}
#'   \item{spectra}{Chosen genes × programs: the medians.}
#'   \item{tpm}{All genes × programs: expression of a cell that uses the program alone.}
#'   \item{scores}{All genes × programs: how many standard deviations a gene is higher in
#'     such a cell. What [top_genes()] sorts by.}
#'   \item{stability}{Mean silhouette width of all spectra.}
#'   \item{error}{Sum of squared errors of the consensus on the scaled counts, over their
#'     sum of squares.}
#'   \item{replicates}{Data frame, a row per spectrum: `run`, `component`, `density`,
#'     `kept`, `program`, `silhouette`.}
#'   \item{similarity}{Cosines between all spectra.}
#'   \item{features}{Data frame of all genes: `gene`, `mean`, `sd` (of TPM), `ratio` (see
#'     above), `chosen`.}
#'   \item{runs}{How each run ended, as in [nmf()].}
#'   \item{settings, call}{What was asked for.}
#'   For several ranks an object of class `consensus_programs_ranks`: a list of `table`
#'   (`rank`, `stability`, `error`, `kept`), `fits` (one of the above per rank, `NULL`
#'   where it failed) and `problems` (why).
#' @section Errors: `unalloy_error_negative_values`, `unalloy_error_missing_values` and
#'   `unalloy_error_empty_matrix` for matrices that have no factorisation,
#'   `unalloy_error_features` for genes that are not there or too few,
#'   `unalloy_error_no_consensus` when the threshold leaves too few spectra,
#'   `unalloy_error_argument` for settings out of range.
#' @section Warnings: `unalloy_warning_not_counts` for values that are not whole,
#'   `unalloy_warning_empty_cells` for cells without counts in the chosen genes,
#'   `unalloy_warning_not_converged` once, with the number of runs that used up `max_iter`.
#' @references Kotliar D, Veres A, Nagy MA, Tabrizi S, Hodis E, Melton DA, Sabeti PC
#'   (2019). Identifying gene expression programs of cell-type identity and cellular
#'   activity with single-cell RNA-Seq. eLife 8:e43803.
#' @seealso [top_genes()], [plot.consensus_programs()],
#'   [predict.consensus_programs()], [nmf()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 1, cells_per_type = 10, seed = 1)
#' programs <- consensus_programs(sim$reference, rank = 3, nrun = 10, n_features = 100, seed = 1)
#' programs
#' top_genes(programs, n = 3)
#' round(programs$usage[, 1:4], 2)
consensus_programs <- function(x, rank, nrun = 100, n_features = 2000, features = NULL,
                               loss = c("frobenius", "kl"), density_threshold = 0.5,
                               neighbours = 0.3, max_iter = 1000, tolerance = 1e-5, assay = NULL,
                               threads = getOption("unalloy.threads", 2L), seed = NULL,
                               verbose = interactive()) {
  check_call()
  call <- match.call()
  settings <- list(
    nrun = check_count(nrun, "nrun", 2, MOST_REPEATS),
    n_features = check_count(n_features, "n_features"),
    loss = check_choice(loss, c("frobenius", "kl"), "loss"),
    density_threshold = check_number(density_threshold, "density_threshold", 0, above = TRUE),
    neighbours = check_number(neighbours, "neighbours", 0, 1),
    max_iter = check_count(max_iter, "max_iter"),
    tolerance = check_number(tolerance, "tolerance", 0), threads = check_threads(threads),
    seed = check_seed(seed)
  )
  verbose <- check_flag(verbose, "verbose")
  ranks <- check_program_ranks(rank)
  x <- nmf_input(x, assay, prefer = c("counts", "logcounts", "data"))
  whole <- check_factorisable(x)
  if (!whole) {
    warn_user("not_counts", "`x` has values that are not whole numbers.",
              i = "Programs are found in counts; logarithms hide how strongly genes are used.")
  }
  data <- program_data(x, features, settings)
  if (max(ranks) > min(dim(data$scaled))) {
    stop_user("argument", "`rank` must not be above the number of chosen genes or cells.",
              x = paste0("It is ", max(ranks), "; there are ",
                         paste(dim(data$scaled), collapse = " x "), "."))
  }
  progress <- progress_bar("Factorising", settings$nrun * length(ranks), verbose)
  here <- environment()
  fit_rank <- function(rank, place) {
    done <- (place - 1) * settings$nrun
    replicates <- replicate_spectra(data$scaled, rank, settings,
                                    function(runs) progress(done + runs))
    new_consensus_programs(data, replicates, rank, settings, call, here)
  }
  if (length(ranks) == 1L) {
    fit <- fit_rank(ranks, 1)
    warn_unfinished_runs(list(fit), settings$max_iter)
    return(fit)
  }
  fits <- Map(function(rank, place) {
    tryCatch(fit_rank(rank, place), unalloy_error = function(problem) problem)
  }, ranks, seq_along(ranks))
  out <- new_rank_comparison(fits, ranks, call)
  warn_unfinished_runs(out$fits, settings$max_iter)
  out
}

warn_unfinished_runs <- function(fits, max_iter, .call = caller_env()) {
  converged <- unlist(lapply(fits, function(fit) fit$runs$converged))
  if (all(converged)) return(invisible())
  warn_user("not_converged", paste0(count_text(sum(!converged)), " of ",
                                    plural(length(converged), "run"),
                                    " ended before they met their stopping rule."),
            x = paste0("They made ", count_text(max_iter), " iterations each."),
            i = "Raise `max_iter` or `tolerance`; `runs$kkt` says how far they came.",
            .call = .call)
}

check_program_ranks <- function(rank, .call = caller_env()) {
  if (!is.numeric(rank) || !length(rank)) check_count(rank, "rank", .call = .call)
  ranks <- vapply(rank, check_count, 0, what = "rank", .call = .call)
  sort(unique(ranks))
}

new_consensus_programs <- function(data, replicates, rank, settings, call, .call) {
  clustered <- function(threshold) {
    call_rs(rs_cluster_spectra, spectra = replicates$spectra, rank = rank,
            neighbours = max(1, floor(settings$neighbours * settings$nrun)),
            threshold = threshold, seed = settings$seed, threads = settings$threads,
            .call = .call)
  }
  all <- clustered(.Machine$double.xmax)
  kept <- sum(all$density <= settings$density_threshold)
  if (kept < rank) {
    stop_user("no_consensus", "The density threshold leaves too few spectra.",
              x = paste0(kept, " of ", count_text(length(all$density)), " spectra",
                         " below ", settings$density_threshold, "; the median is ",
                         format(stats::median(all$density), digits = 3), "."),
              i = "Raise `density_threshold`, make more runs, or lower `rank`.", .call = .call)
  }
  found <- if (kept == sum(is.finite(all$density))) all else clustered(settings$density_threshold)
  refit <- refit_programs(data, found$medians, settings, .call)
  order <- order(-rowSums(refit$usage))
  programs <- paste0("program", seq_len(rank))
  by_gene <- function(x, genes) {
    x <- x[, order, drop = FALSE]
    dimnames(x) <- list(genes, programs)
    x
  }
  genes <- data$features$gene
  usage <- refit$usage[order, , drop = FALSE]
  dimnames(usage) <- list(programs, colnames(data$scaled))
  empty <- data$empty
  if (length(empty)) {
    warn_user("empty_cells", paste0(plural(length(empty), "cell"),
                                    " without counts in the chosen genes: no usage."),
              x = paste0("They are ", some_of(empty), "."), .call = .call)
  }
  structure(list(
    usage = usage, spectra = by_gene(found$medians, rownames(data$scaled)),
    tpm = by_gene(refit$tpm, genes), scores = by_gene(refit$scores, genes),
    stability = mean(all$silhouette, na.rm = TRUE), error = refit$error,
    replicates = data.frame(
      run = rep(seq_len(settings$nrun), each = rank), component = rep(seq_len(rank), settings$nrun),
      density = found$density, kept = found$program > 0,
      program = factor(programs[match(found$program, order)], programs),
      silhouette = found$silhouette
    ),
    similarity = found$cosines, features = data$features, runs = replicates$runs,
    rank = rank, settings = settings, call = call
  ), class = "consensus_programs")
}

new_rank_comparison <- function(fits, ranks, call) {
  failed <- vapply(fits, inherits, NA, what = "condition")
  of <- function(f) vapply(fits, function(fit) if (inherits(fit, "condition")) NA else f(fit), 0)
  table <- data.frame(rank = ranks, stability = of(function(fit) fit$stability),
                      error = of(function(fit) fit$error),
                      kept = of(function(fit) mean(fit$replicates$kept)))
  problems <- vapply(fits, function(fit) {
    if (inherits(fit, "condition")) conditionMessage(fit) else NA_character_
  }, "")
  fits[failed] <- list(NULL)
  names(fits) <- names(problems) <- ranks
  structure(list(table = table, fits = fits, problems = problems[failed], call = call),
            class = "consensus_programs_ranks")
}

# Coefficients of so many bytes are held at a time, and those of so many runs at least.
# Which runs make a batch, and with that their random numbers, must not depend on threads.
BATCH_BYTES <- 2e8
BATCH_RUNS <- 8

# Spectra of all runs side by side, and how the runs ended.  Only the spectra are
# kept, and few runs are made at a time, so that their coefficients fit in memory.
replicate_spectra <- function(x, rank, settings, progress, batch_bytes = BATCH_BYTES) {
  size <- 8 * rank * ncol(x)
  batch <- max(BATCH_RUNS, floor(batch_bytes / size))
  first <- seq(1, settings$nrun, by = batch)
  seeds <- derived_seeds(settings$seed, length(first))
  parts <- Map(function(run, seed) {
    n <- min(batch, settings$nrun - run + 1)
    fit <- withCallingHandlers(
      nmf(x, rank, method = if (settings$loss == "kl") "KL" else "Frobenius", nrun = n,
          seed = seed, max_iter = settings$max_iter, tolerance = settings$tolerance,
          keep_all = TRUE, keep_x = FALSE, verbose = FALSE, threads = settings$threads),
      # told of once, for all runs
      unalloy_warning_not_converged = function(w) rlang::cnd_muffle(w)
    )
    progress(run + n - 1)
    runs <- fit$runs
    runs$run <- runs$run + as.integer(run - 1)
    list(spectra = do.call(cbind, lapply(fit$fits, `[[`, "basis")), runs = runs)
  }, first, seeds)
  list(spectra = unname(do.call(cbind, lapply(parts, `[[`, "spectra"))),
       runs = do.call(rbind, lapply(parts, `[[`, "runs")))
}
