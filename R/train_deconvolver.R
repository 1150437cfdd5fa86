#' Deconvolution by a trained network
#'
#' Trains networks that read the shares of cell types from a bulk sample, on mixtures of
#' the cells of a reference. `predict()` then deconvolves bulk samples, in no time.
#'
#' # When not
#'
#' Begin with [deconvolve_bulk()]: it takes seconds, and has a likelihood, tests, residuals and
#' a diagnosis. On public blood networks erred more in mixtures (root mean square 0.031,
#' 0.076 and 0.047 where the default had 0.022, 0.057 and 0.022), and were purer in sorted
#' cells (0.995 and 0.978): see `vignette("networks")`. A network is here to be compared with,
#' for which `benchmark_deconvolution("network")` is one call, and where very many samples are
#' to be read again and again.
#'
#' # Mixtures
#'
#' They are drawn while the network learns, each once. Shares of types come from a
#' Dirichlet distribution; of half of the mixtures half of the types are left out. `cells`
#' cells are drawn with replacement: in half of the mixtures of one donor (types of which
#' it has fewer than ten cells of all), where donors are known; where `states` are, each type
#' has shares of states of its own. Every gene gets a factor \eqn{e^{\tau n}} with
#' \eqn{\tau} = `platform_sd`, fresh for every mixture, and one of \eqn{0.4\,\tau} per type: what
#' lies between the platforms of reference and bulk is not known, so the network learns
#' not to trust single genes.
#'
#' # Expression
#'
#' With `expression` networks also read what each type expresses, sample by sample, from all
#' genes that some type has at `min_expression` copies per million or more
#' ([cell_type_expression()] of a prediction gives it). Predicted is the deviation of
#' \eqn{\log_2(\mathrm{CPM} + 20)} of a type from its mean over mixtures, by mean squared
#' error; types of which a mixture has fewer than ten cells are left out of the loss.
#' `"programs"`: dense layers lead to coefficients of fixed programs, the leading principal
#' components of a type's profiles over mixtures. `"unet"` is the branch of BLUE: a dense layer
#' to `width` positions, a U-Net of convolutions with `channels`, a channel per type and a
#' dense layer back to genes, the same for all types. Loss of shares counts 100 times. The
#' published sizes, `width = 4096, channels = c(16, 32, 64, 128, 256)`, have 16 bytes for
#' each of `2 * width` weights per gene.
#'
#' # Network
#'
#' Inputs are copies per million over all genes but those of the protocol, of the
#' `markers` genes most specific to each type: \eqn{\log(\mathrm{CPM} + 10)},
#' standardised over mixtures. Dense layers with ReLU and dropout lead to a softmax
#' (Scaden: Menden et al., 2020). AdamW, the rate falling along half a cosine; of 50
#' evenly spaced moments the weights that do best on held-out mixtures are kept. Protocol
#' genes left out, specific genes and platform factors are what [deconvolve_bulk()] has, too:
#' without them networks erred up to three times as much.
#'
#' Ctrl-C ends the training: what was learned so far is returned, with `reason`
#' `"interrupted"`. The same seed gives the same bits for any number of threads, on machines
#' of one kind.
#'
#' @param x,cell_types,donors,assay,min_cells As for [build_signatures()], but for a list of
#'   references. A `DelayedMatrix` is read into memory.
#' @param states A condition per cell (stimulated or not, of which patient group), in the same
#'   form as `donors`, or `NULL`: cells of a type are mixed from its states in shares that
#'   differ from mixture to mixture and type to type.
#' @param truth What shares are of: `"mrna"`, for which all cells are scaled to one total, or
#'   `"cells"`, which keep theirs. Totals depend on protocol and sorting; `"mrna"` does not
#'   rest on them.
#' @param markers Genes per type, at most, as [select_markers()] chooses them.
#' @param candidates Names of genes to choose from, such as those of the bulk; all by default.
#' @param exclude Genes that are left out of everything: `"protocol"` for those of
#'   [protocol_genes()], names, or `NULL` for none.
#' @param expression Learn expression per type, too? See *Expression*.
#' @param programs Programs per type. More of them hold finer differences, and more noise.
#' @param min_expression Copies per million that some type must have of a gene, for
#'   expression.
#' @param width,channels Of the U-Net: positions, a multiple of 2 for every level below the
#'   first, and channels of its levels.
#' @param cells Cells per mixture. Fewer make mixtures noisier.
#' @param concentration Of the Dirichlet distribution: 1 is uniform, more is closer to
#'   equal shares.
#' @param platform_sd \eqn{\tau}. 0 trusts every gene as it is in the reference: good for
#'   bulk of the same cells and protocol only. More trusts single genes less.
#' @param depth Reads per sample, for noise of counting in the mixtures; `NULL` for none.
#' @param hidden Sizes of the hidden layers.
#' @param dropout Share of hidden signals that are left out at each step, below 1.
#' @param loss `"l1"` (mean absolute error of shares), `"mse"` or `"cross_entropy"`.
#' @param steps,batch_size Steps, and mixtures per step. `NULL` steps are 5,000, and 1,000
#'   with expression, where they take longer.
#' @param learning_rate Length of the first steps. A training that diverges needs a smaller
#'   one.
#' @param ensemble Networks to train, from other starts and on other mixtures: shares are
#'   their mean, and intervals hold how far they differ.
#' @param seed A whole number: starts, mixtures and dropout depend on it. `NULL` takes one from
#'   R's stream.
#' @param verbose Show progress?
#' @param threads Threads to use. The answer does not depend on it, to the bit.
#' @return An object of class [deconvolver][deconvolver_methods], a plain list:
#'   `saveRDS()` keeps it.
#' @section Errors and warnings: Those of [build_signatures()] and [select_markers()];
#'   `unalloy_error_markers` when no gene is specific to any type,
#'   `unalloy_error_no_common_genes` when no candidate is in the reference,
#'   `unalloy_error_diverged`, `unalloy_error_argument`. `unalloy_warning_few_markers`
#'   names types without a gene of their own; `unalloy_warning_interrupted`.
#' @references Menden et al. (2020) Science Advances 6:eaba2619. Loshchilov, Hutter (2019)
#'   ICLR, arXiv:1711.05101 (AdamW).
#' @seealso [deconvolve_bulk()], [predict()][predict.deconvolver]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 4, seed = 1)
#' network <- train_deconvolver(sim$reference, sim$cells$cell_type, steps = 100,
#'                              platform_sd = 0.2, ensemble = 2)
#' network
#' result <- predict(network, sim$bulk_counts)
#' result
#' compare_deconvolutions(result, sim$truth_mrna, c("network", "truth"))
train_deconvolver <- function(x, cell_types = NULL, donors = NULL, states = NULL,
                              truth = c("mrna", "cells"), markers = 30, candidates = NULL,
                              exclude = "protocol", expression = c("none", "programs", "unet"),
                              programs = 10, min_expression = 10, width = 512,
                              channels = c(16, 32, 64, 128), cells = 300, concentration = 1,
                              platform_sd = 0.7, depth = NULL, hidden = c(256, 128),
                              dropout = 0.1, loss = c("l1", "mse", "cross_entropy"),
                              steps = NULL, batch_size = 128, learning_rate = 1e-3,
                              ensemble = 3, min_cells = 5, assay = NULL, seed = 1,
                              verbose = TRUE, threads = getOption("unalloy.threads", 2L)) {
  check_call()
  call <- match.call()
  branch <- expression_branch(expression, programs, width, channels)
  steps <- steps %||% if (branch$expression == "none") 5000 else 1000
  settings <- deconvolver_settings(truth, cells, concentration, platform_sd, depth, steps,
                                   batch_size, learning_rate, ensemble, seed)
  architecture <- c(list(hidden = hidden_sizes(hidden), dropout = check_dropout(dropout),
                         loss = check_choice(loss, SHARE_LOSSES, "loss")), branch)
  min_expression <- check_number(min_expression, "min_expression", 0)
  markers <- check_count(markers, "markers")
  threads <- check_threads(threads)
  read <- labelled_cells(x, cell_types, donors, states, assay)
  signatures <- build_signatures(read$counts, read$types, min_cells = min_cells)
  read <- cells_of_types(read, colnames(signatures$profiles))
  universe <- mixture_genes(rownames(read$counts), candidates, exclude)
  chosen <- network_markers(signatures, markers, universe)
  marks <- length(chosen)
  if (branch$expression != "none") {
    level <- 1e6 * apply(signatures$profiles[universe, , drop = FALSE], 1L, max)
    chosen <- c(chosen, setdiff(universe[level >= min_expression], chosen))
  }
  pool <- mixture_cells(read, universe, chosen, settings)
  architecture <- c(architecture, list(genes = length(chosen), marks = marks,
                                       types = ncol(signatures$profiles)))
  trained <- train_members(pool$given, architecture, settings, verbose, threads)
  network <- new_deconvolver(trained, pool, architecture, settings, signatures, chosen)
  network$call <- call
  warn_untrained(network)
  network
}

# Genes by which the network tells types apart.
network_markers <- function(signatures, n, universe, .call = caller_env()) {
  found <- withCallingHandlers(
    select_markers(signatures, n = n, exclude = NULL, candidates = universe),
    unalloy_warning_few_markers = function(w) rlang::cnd_muffle(w)
  )
  if (!nrow(found)) {
    stop_user("markers", "No gene is specific to any type.",
              x = paste0("Candidates: ", plural(length(universe), "gene"), "."),
              i = "Are the types the same cells under other names?", .call = .call)
  }
  without <- setdiff(colnames(signatures$profiles), found$type)
  if (length(without)) {
    warn_user("few_markers", "Some types have no gene of their own: their shares are guessed.",
              x = paste0("Types: ", some_of(without), "."),
              i = "Merge them with the type they resemble.", .call = .call)
  }
  found$gene
}

warn_untrained <- function(network, .call = caller_env()) {
  if (network$reason != "interrupted") return(invisible())
  warn_user("interrupted", "The training was interrupted.",
            x = paste0("What was learned so far is returned: ",
                       plural(length(network$members), "network"), " of ",
                       network$settings$ensemble, ", the last after ",
                       plural(max(0, utils::tail(network$convergence$steps, 1L)), "step"), "."),
            .call = .call)
}
