# What train_deconvolver() returns, and how it is read.

#' The result of `train_deconvolver()`
#'
#' @details A list:
#' \describe{
#'   \item{`members`}{A named list of matrices per network: its weights, layers numbered
#'     from the input.}
#'   \item{`types`, `genes`}{What it tells apart, and what it reads.}
#'   \item{`universe`}{The `genes` that totals are taken over, and their `share` of the
#'     reference's mRNA.}
#'   \item{`scaling`}{Per gene `centre` and `scale` of log(CPM + 10); with expression the
#'     `level` of each type (mean log2(CPM + 20)) and the `basis` of its programs.}
#'   \item{`error`}{How far shares were off in mixtures that were not trained on: per type
#'     `knots` (a data frame with `share` and the error's `variance` there), the
#'     `correlation` of errors between types, and the `rmse` of all.}
#'   \item{`convergence`}{Data frame with a row per network and moment of validation:
#'     `member`, `steps`, `train` and `validation` (the loss of shares, means over mixtures),
#'     `seconds`, and with expression `train_expression` and `expression` (held out), the
#'     squared error of log2(CPM + 20), mean over genes, summed over types.}
#'   \item{`reason`}{`"max_epochs"`, or `"interrupted"`.}
#'   \item{`architecture`, `settings`, `umi`, `n_cells`, `call`}{How it was trained; mean
#'     UMI per cell of each type; cells of the reference.}
#' }
#'
#' @param object,x A `deconvolver`.
#' @param digits Significant digits.
#' @param ... Not used; for agreement with the generics.
#' @return `tidy()`: the data frame `convergence`. `glance()`: one row: `truth`, `n.types`,
#'   `n.genes`, `n.cells`, `members`, `steps`, `reason`, `rmse` (of shares, in mixtures that
#'   were not trained on), `seconds`. `plot()`: a ggplot of the losses by step.
#' @name deconvolver_methods
#' @aliases deconvolver
#' @seealso [predict()][predict.deconvolver]
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 4, seed = 1)
#' network <- train_deconvolver(sim$reference, sim$cells$cell_type, steps = 100, ensemble = 2)
#' network
#' glance(network)
#' plot(network)
NULL

new_deconvolver <- function(trained, pool, architecture, settings, signatures, genes) {
  types <- colnames(signatures$profiles)
  members <- lapply(trained$members, function(member) {
    stats::setNames(member$weights, member$names)
  })
  parts <- lapply(seq_along(trained$members), function(k) {
    trace <- trained$members[[k]]$trace
    out <- data.frame(member = rep(k, length(trace$shares)),
                      steps = seq_along(trace$shares) * settings$steps_per_epoch,
                      train = trace$train_shares, validation = trace$shares,
                      seconds = trace$seconds)
    if (architecture$expression != "none") {
      out$train_expression <- trace$train_expression
      out$expression <- trace$expression
    }
    out
  })
  error <- trained$error
  names(error$knots) <- types
  dimnames(error$correlation) <- list(types, types)
  structure(list(
    members = members, types = types, genes = genes, universe = pool$universe,
    scaling = trained$moments, error = error,
    convergence = do.call(rbind, parts), reason = trained$reason,
    skipped = sum(vapply(trained$members, `[[`, 0, "skipped")), architecture = architecture,
    settings = settings, umi = signatures$umi, n_cells = pool$n_cells
  ), class = "deconvolver")
}

#' @rdname deconvolver_methods
#' @export
print.deconvolver <- function(x, digits = 2, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  of <- if (x$settings$truth == "mrna") "mRNA" else "cells"
  cat(plural(length(x$members), "network"), " for shares of ", of, " of ",
      plural(length(x$types), "type"), ", from ", plural(x$architecture$marks, "gene"), "\n",
      sep = "")
  cat("Types: ", some_of(x$types, 6L), "\n", sep = "")
  branch <- c(programs = "programs of each type", unet = "a U-Net")
  if (x$architecture$expression != "none") {
    cat("Expression of ", plural(x$architecture$genes, "gene"), " per type, by ",
        branch[[x$architecture$expression]], "\n", sep = "")
  }
  hidden <- x$architecture$hidden
  cat("Hidden layers: ", if (length(hidden)) paste(hidden, collapse = ", ") else "none", "; ",
      count_text(sum(lengths(x$members[[1L]]))), " weights each\n", sep = "")
  last <- tapply(x$convergence$steps, x$convergence$member, max)
  cat("Trained on mixtures of ", plural(x$n_cells, "cell"), ", ",
      plural(max(0, last), "step"), " of ", x$settings$batch_size,
      if (x$reason == "interrupted") " (interrupted)", "\n", sep = "")
  cat("Error of a share in mixtures that were not trained on: ",
      format(x$error$rmse, digits = digits), " (root mean square)\n", sep = "")
  cat("Deconvolve by predict(network, bulk); compare with deconvolve_bulk()\n")
  invisible(x)
}

#' @rdname deconvolver_methods
#' @export
tidy.deconvolver <- function(x, ...) {
  refuse_dots(...)
  x$convergence
}

#' @rdname deconvolver_methods
#' @export
glance.deconvolver <- function(x, ...) {
  refuse_dots(...)
  data.frame(truth = x$settings$truth, n.types = length(x$types), n.genes = length(x$genes),
             n.cells = x$n_cells, members = length(x$members),
             steps = max(0, x$convergence$steps), reason = x$reason, rmse = x$error$rmse,
             seconds = sum(x$convergence$seconds))
}
