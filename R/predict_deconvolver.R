#' Deconvolve by a trained network
#'
#' Reads the shares of cell types of bulk samples. The result is a [deconvolution] without
#' what needs a likelihood.
#'
#' # What can be done with it
#'
#' Pictures of shares, `as.matrix()`, `tidy()`, [compare_deconvolutions()], [compare_groups()],
#' [find_subtypes()], [add_to()] and [sample_data()] take it, and [cell_type_expression()] where
#' the network was trained for it. What needs counts that were fitted
#' refuses with `unalloy_error_no_likelihood`: residuals, tests, [diagnose()], [contrast()].
#'
#' # Intervals
#'
#' The covariance of shares is that between the networks, plus that of the errors in
#' mixtures that were not trained on, at the share that was predicted. They hold what differs
#' from mixture to mixture: the cells that were drawn, the platform as the training drew it. They
#' do not hold that the bulk's cells are not the reference's. Samples of one cohort share most
#' of the error, which comes from the platform: [compare_groups()] weighs all alike.
#'
#' @param object A [deconvolver][deconvolver_methods].
#' @param newdata Bulk expression, genes × samples, in any form that [deconvolve_bulk()] takes.
#'   Genes are matched by name; up to one in twenty of those that the network reads may be
#'   missing: they get their mean over the training's mixtures, which is said.
#' @param bulk_scale,assay,samples,cell_size As in [deconvolve_bulk()].
#' @param verbose Say what was missing?
#' @param threads Threads to use.
#' @param ... Not used; for agreement with the generic.
#' @return An object of class `network_deconvolution`, which is a [deconvolution]: a list
#'   with `proportions` (types × samples, shares of mRNA), `cell_fractions` where
#'   the mRNA of a cell is known, `covariance` (types × types × samples, of what the network
#'   was trained to predict), `members` (its shares by each network), `expression` (copies per
#'   million, genes × types × samples, where it was trained for), `genes`, and what
#'   travels with results. A network that was trained for shares of cells gives
#'   `cell_fractions`, and `proportions` by the mean UMI per cell of the reference.
#' @section Errors: `unalloy_error_features` when genes are missing, those of
#'   [deconvolve_bulk()] for bulk that cannot be read.
#' @seealso [train_deconvolver()], [confint()][confint.network_deconvolution]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 4, seed = 1)
#' network <- train_deconvolver(sim$reference, sim$cells$cell_type, steps = 100, ensemble = 2)
#' result <- predict(network, sim$bulk_counts)
#' result$proportions
#' confint(result, samples = 1)
#' plot(result, "uncertainty")
predict.deconvolver <- function(object, newdata, bulk_scale = c("linear", "log1p", "log2"),
                                cell_size = "auto", samples = NULL, assay = NULL,
                                verbose = TRUE, threads = getOption("unalloy.threads", 2L), ...) {
  refuse_dots(...)
  check_call("newdata")
  here <- environment()
  threads <- check_threads(threads)
  bulk_scale <- check_choice(bulk_scale, c("linear", "log1p", "log2"), "bulk_scale")
  input <- network_input(object, newdata, assay, bulk_scale, verbose, here)
  known <- list(profiles = matrix(0, 0L, length(object$types), dimnames = list(NULL, object$types)),
                umi = object$umi)
  sizes <- if (object$settings$truth == "mrna") cell_sizes(cell_size, known, verbose, here) else
    trained_sizes(object, cell_size)
  found <- ask_members(object, input$bulk, threads, here)
  result <- new_network_deconvolution(object, found$shares, input, sizes)
  if (!is.null(found$levels)) {
    result$expression <- pmax(2^found$levels - 20, 0)
    dimnames(result$expression) <- list(object$genes, object$types, input$samples)
  }
  result$sample_data <- given_sample_data(samples, newdata, input$samples)
  result$call <- match.call()
  result
}

# Shares of cells were trained on cells as they are.
trained_sizes <- function(network, cell_size, .call = caller_env()) {
  if (!identical(cell_size, "auto") && !identical(cell_size, "reference")) {
    stop_user("cell_size", "The network was trained for shares of cells.",
              x = "mRNA per cell is that of the reference's cells.",
              i = "Train with `truth = \"mrna\"` to give another.", .call = .call)
  }
  n <- length(network$types)
  list(sizes = network$umi, error = matrix(0, n, n), source = "reference")
}
