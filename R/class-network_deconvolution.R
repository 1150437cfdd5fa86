# A deconvolution that a network predicted: shares and their errors, without a likelihood.

new_network_deconvolution <- function(network, members, input, sizes) {
  types <- network$types
  names <- list(types, input$samples)
  shares <- rowMeans(members, dims = 2L)
  # single precision leaves 1e-7
  shares <- shares / rep(colSums(shares), each = nrow(shares))
  dimnames(shares) <- names
  dimnames(members) <- c(names, list(NULL))
  mrna <- network$settings$truth == "mrna"
  turned <- if (!is.null(sizes)) {
    normalise_columns(if (mrna) shares / sizes$sizes else shares * sizes$sizes)
  }
  result <- list(
    proportions = if (mrna) shares else turned, cell_fractions = if (mrna) turned else shares,
    covariance = network_covariance(network$error, shares, members), members = members,
    predicts = if (mrna) "proportions" else "cell_fractions",
    convergence = data.frame(sample = input$samples), genes = input$genes,
    error_model = "network", model = list(n_types = length(types)), cell_size = sizes$sizes,
    cell_size_error = sizes$error, cell_size_source = sizes[c("source", "doubt")],
    network = list(rmse = network$error$rmse, n_genes = length(network$genes),
                   n_cells = network$n_cells, members = dim(members)[3L], unit = input$unit)
  )
  structure(result[!vapply(result, is.null, NA)],
            class = c("network_deconvolution", "deconvolution"))
}

# Between networks, and of the errors in mixtures that were not trained on.
network_covariance <- function(error, shares, members) {
  n <- nrow(shares)
  correlation <- error$correlation
  correlation[!is.finite(correlation)] <- 0
  diag(correlation) <- 1
  sd <- t(vapply(seq_len(n), function(k) {
    knots <- error$knots[[k]]
    knots <- knots[!duplicated(knots$share), ]
    if (nrow(knots) < 2L) return(rep(sqrt(mean(knots$variance)), ncol(shares)))
    sqrt(stats::approx(knots$share, knots$variance, shares[k, ], rule = 2)$y)
  }, numeric(ncol(shares))))
  sd <- matrix(sd, n)
  out <- vapply(seq_len(ncol(shares)), function(s) {
    own <- members[, s, ]
    between <- if (is.matrix(own) && ncol(own) > 1L) stats::cov(t(own)) else matrix(0, n, n)
    correlation * outer(sd[, s], sd[, s]) + between
  }, matrix(0, n, n))
  array(out, c(n, n, ncol(shares)), dimnames = dimnames(shares)[c(1L, 1L, 2L)])
}

# Estimates and covariance of a kind of share, by the delta method.
network_errors <- function(object, what) {
  estimate <- object[[object$predicts]]
  n <- nrow(estimate)
  if (what == object$predicts) return(list(estimate = estimate, covariance = object$covariance))
  per <- if (what == "cell_fractions") object$cell_size else 1 / object$cell_size
  found <- as_shares(estimate, object$covariance, 0 * estimate, n, per)
  for (s in seq_len(ncol(estimate))) {
    share <- found$estimate[, s]
    move <- diag(share, n) - tcrossprod(share)
    found$covariance[, , s] <- found$covariance[, , s] + move %*% object$cell_size_error %*% move
  }
  found[c("estimate", "covariance")]
}

#' Uncertainty of shares that a network predicted
#'
#' Covariances and intervals of a result of [predict()][predict.deconvolver], whose help says
#' what they hold.
#'
#' @param object A result of [predict()][predict.deconvolver].
#' @param parm Types to return; all by default.
#' @param level Coverage of the intervals.
#' @param samples Samples to return; all by default.
#' @param what `"proportions"` or `"cell_fractions"`; by default cells where their sizes are
#'   known. Shares of cells from those of mRNA also have the error of the mRNA per cell.
#' @param ... Not used; for agreement with the generics.
#' @return `vcov()`: an array types × types × samples (a matrix for one sample). `confint()`: a
#'   data frame with `sample`, `type`, `estimate`, `std_error`, `lower` and `upper`.
#' @section Errors: `unalloy_error_argument`, `unalloy_error_cell_size`.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 4, seed = 1)
#' network <- train_deconvolver(sim$reference, sim$cells$cell_type, steps = 100, ensemble = 2)
#' result <- predict(network, sim$bulk_counts)
#' confint(result, level = 0.9)
#' sqrt(diag(vcov(result, samples = 1)))
confint.network_deconvolution <- function(object, parm = NULL, level = 0.95, samples = NULL,
                                          what = NULL, ...) {
  refuse_dots(...)
  here <- environment()
  level <- check_number(level, "level", 0, 0.999999, above = TRUE)
  what <- share_asked_for(what, object, here, SHARES[1:2])
  if (!is.null(samples)) object <- object[samples]
  types <- chosen_types(object, parm, here)
  found <- network_errors(object, what)
  std_error <- apply(found$covariance, 3L, function(v) sqrt(pmax(0, diag(v))))
  dim(std_error) <- dim(found$estimate)
  ends <- share_interval(found$estimate, std_error, level)
  out <- long_shares(found$estimate, "estimate")
  out$std_error <- as.vector(std_error)
  out$lower <- as.vector(ends$lower)
  out$upper <- as.vector(ends$upper)
  if (!is.null(types)) out <- out[out$type %in% types, ]
  rownames(out) <- NULL
  out
}

#' @rdname confint.network_deconvolution
#' @export
vcov.network_deconvolution <- function(object, samples = NULL, what = NULL, ...) {
  refuse_dots(...)
  what <- share_asked_for(what, object, environment(), SHARES[1:2])
  if (!is.null(samples)) object <- object[samples]
  covariance <- network_errors(object, what)$covariance
  if (dim(covariance)[3L] > 1L) return(covariance)
  matrix(covariance, nrow(covariance), dimnames = dimnames(covariance)[1:2])
}

#' @rdname predict.deconvolver
#' @param x,i,j,digits As for a [deconvolution].
#' @export
`[.network_deconvolution` <- function(x, i, j) {
  samples <- x$convergence$sample
  if (nargs() > 2L) i <- only_samples(if (!missing(i)) i, if (missing(j)) samples else j)
  kept <- sample_index(i, samples)
  out <- unclass(x)
  for (field in intersect(c("proportions", "cell_fractions"), names(out))) {
    out[[field]] <- out[[field]][, kept, drop = FALSE]
  }
  out$covariance <- out$covariance[, , kept, drop = FALSE]
  out$members <- out$members[, kept, , drop = FALSE]
  if (!is.null(out$expression)) out$expression <- out$expression[, , kept, drop = FALSE]
  out$convergence <- out$convergence[kept, , drop = FALSE]
  rownames(out$convergence) <- NULL
  if (!is.null(out$sample_data)) out$sample_data <- out$sample_data[kept, , drop = FALSE]
  structure(out, class = class(x))
}

#' @rdname predict.deconvolver
#' @export
print.network_deconvolution <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat(strwrap(network_lines(x), getOption("width"), exdent = 2), sep = "\n")
  what <- main_share(x)
  shares <- x[[what]]
  few <- ncol(shares) <= MOST_LINES
  cat("\n", sub("Share", "Shares", SHARE_LABELS[[what]]), " ($", what, ")",
      if (few) ", largest first:" else " over samples:", "\n", sep = "")
  if (few) cat(sample_lines(shares, digits), sep = "\n") else
    show_over_samples(over_samples_table(shares), digits)
  if (what != "proportions") cat("\nShares of mRNA are in $proportions.\n")
  invisible(x)
}

network_lines <- function(x) {
  network <- x$network
  c(paste0("Shares predicted by ", plural(network$members, "network"),
           ", trained on mixtures of ", plural(network$n_cells, "cell")),
    paste0(plural(ncol(x$proportions), "sample"), ", ", plural(nrow(x$proportions), "cell type"),
           ", ", plural(network$n_genes, "gene"),
           if (length(x$genes$missing)) paste0(" (", length(x$genes$missing), " missing)"),
           "; error of a share in training's mixtures ", format(network$rmse, digits = 2)))
}

#' @rdname predict.deconvolver
#' @export
summary.network_deconvolution <- function(object, ...) {
  refuse_dots(...)
  what <- main_share(object)
  structure(list(lines = network_lines(object), what = what,
                 types = over_samples_table(object[[what]])),
            class = "summary.network_deconvolution")
}

#' @export
print.summary.network_deconvolution <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat(strwrap(x$lines, getOption("width"), exdent = 2), sep = "\n")
  cat("\n", sub("Share", "Shares", SHARE_LABELS[[x$what]]), " over samples:\n", sep = "")
  show_over_samples(x$types, digits)
  invisible(x)
}

#' @rdname predict.deconvolver
#' @export
glance.network_deconvolution <- function(x, ...) {
  refuse_dots(...)
  data.frame(n.samples = ncol(x$proportions), n.types = nrow(x$proportions),
             n.genes = x$network$n_genes, members = x$network$members, rmse = x$network$rmse)
}

#' @rdname predict.deconvolver
#' @export
predict.network_deconvolution <- function(object, ...) {
  refuse_dots(...)
  stop_no_likelihood("object", "Give new samples to the network: `predict(network, newdata)`.",
                     environment())
}
