#' Joint factorisation of several data sets on the same samples
#'
#' Factorises blocks of features that were measured on the same samples (expression,
#' methylation, proteins, ...) with coefficients that all blocks share:
#' \deqn{\min \tfrac12 \sum_v \alpha_v \lVert X_v - W_v H \rVert^2, \quad W_v, H \ge 0.}
#' This is [nmf()] of the blocks on top of one another, each scaled by
#' \eqn{\sqrt{\alpha_v}}: everything that is known of a single factorisation holds.
#'
#' @param blocks A named list of matrices with features in rows and samples in columns
#'   (matrix, `dgCMatrix`, or an object that [nmf()] takes). Blocks with column names are
#'   matched by them; samples that are not in all blocks are left out, with a message.
#' @param rank Number of components.
#' @param block_weights alpha, a positive number per block, by name or in the order of the
#'   blocks. By default \eqn{1 / \lVert X_v \rVert^2}: every block counts the same,
#'   whatever its size and unit. Given weights multiply this default, so `c(2, 1)` makes
#'   the first block count twice.
#' @param nrun,seed,max_iter,tolerance,threads,verbose As in [nmf()].
#' @param method A method of [nmf()] for the Frobenius loss, but not `"offset"`.
#' @return An object of class `joint_factorisation`, a list:
#'   \item{basis}{A list of W per block (features × components), in the block's units.}
#'   \item{coef}{H, components × samples.}
#'   \item{explained}{Data frame: per block the part of sum X² that the fit explains,
#'     1 - |X - WH|² / |X|².}
#'   \item{contribution}{Blocks × components: the part of a block's fitted total that
#'     each component makes.}
#'   \item{block_weights}{alpha.}
#'   \item{fit}{The [nmf_fit] of the scaled blocks: runs, trace, measures of stability.}
#'   \item{call}{The call.}
#' @section Errors: `unalloy_error_blocks` when the blocks have no samples in common, or
#'   numbers of samples that differ without names; those of [nmf()] for their values;
#'   `unalloy_error_argument`.
#' @references Zhang S, Liu CC, Li W, Shen H, Laird PW, Zhou XJ (2012). Discovery of
#'   multi-dimensional modules by integrative analysis of cancer genomic data. Nucleic
#'   Acids Research 40:9379.
#' @seealso [factorise_integrative()] for data sets that share features instead;
#'   [predict.joint_factorisation()]
#' @export
#' @examples
#' set.seed(1)
#' h <- matrix(rexp(3 * 20), 3)
#' blocks <- list(rna = matrix(rexp(50 * 3), 50) %*% h, protein = matrix(rexp(8 * 3), 8) %*% h)
#' fit <- factorise_joint(blocks, rank = 3, seed = 1)
#' fit
#' # samples of which only one block was measured
#' round(predict(fit, list(protein = blocks$protein[, 1:3])) - fit$coef[, 1:3], 3)
factorise_joint <- function(blocks, rank, block_weights = NULL, method = "hals", nrun = 10,
                            seed = NULL, max_iter = 2000, tolerance = 1e-8,
                            threads = getOption("unalloy.threads", 2L), verbose = interactive()) {
  check_call()
  call <- match.call()
  blocks <- check_joint_blocks(blocks)
  size <- vapply(blocks, sum_of_squares, 0)
  if (any(size == 0)) {
    stop_user("blocks", "Every block needs values above zero.",
              x = paste0("Only zeros: ", some_of(names(blocks)[size == 0]), "."))
  }
  given <- check_block_weights(block_weights, names(blocks))
  weights <- given / size
  scale <- sqrt(weights)
  stacked <- stack_rows(Map(function(block, by) block * by, blocks, scale))
  algorithm <- nmf_method(method)
  if (algorithm$name == "offset") {
    stop_user("argument", "`method` must be one without an offset.",
              x = "Blocks are explained by their components alone.",
              i = "\"hals\" minimises the same loss.")
  }
  if (algorithm$loss != "frobenius") {
    stop_user("argument", "`method` must be one for the Frobenius loss.",
              x = paste0("It is ", describe(method), "."),
              i = "The scales of the blocks are weights of squared errors.")
  }
  fit <- on_behalf(environment(), {
    nmf(stacked, rank, method = method, nrun = nrun, seed = seed, max_iter = max_iter,
        tolerance = tolerance, threads = threads, verbose = verbose, keep_x = FALSE)
  })
  block_of <- rep(names(blocks), vapply(blocks, nrow, 0L))
  basis <- Map(function(name, block, by) {
    part <- fit$basis[block_of == name, , drop = FALSE] / by
    rownames(part) <- rownames(block)
    part
  }, names(blocks), blocks, scale)
  totals <- rowSums(fit$coef)
  contribution <- t(vapply(basis, function(w) colSums(w) * totals, totals))
  dim(contribution) <- c(length(blocks), nrow(fit$coef))
  dimnames(contribution) <- list(names(blocks), rownames(fit$coef))
  structure(list(
    basis = basis, coef = fit$coef,
    explained = data.frame(
      block = names(blocks), features = vapply(blocks, nrow, 0L),
      explained = mapply(function(x, w, squares) {
        1 - residual_of(x, w, fit$coef, squares) / squares
      }, blocks, basis, size), row.names = NULL
    ),
    contribution = contribution / rowSums(contribution), block_weights = weights, fit = fit,
    call = call
  ), class = "joint_factorisation")
}

# Blocks as matrices with the samples that all of them have, in the order of the first.
check_joint_blocks <- function(blocks, .call = caller_env()) {
  if (!is.list(blocks) || is.data.frame(blocks) || !length(blocks)) {
    stop_user("argument", "`blocks` must be a list of matrices.",
              x = paste0("It is ", describe(blocks), "."), .call = .call)
  }
  names <- names(blocks) %||% paste0("block", seq_along(blocks))
  if (anyDuplicated(names) || any(is.na(names) | names == "")) {
    stop_user("argument", "Every block needs a name of its own.",
              x = paste0("The names are ", some_of(names, 6L), "."), .call = .call)
  }
  names(blocks) <- names
  blocks <- lapply(blocks, function(block) {
    block <- nmf_input(block, .call = .call)
    check_factorisable(block, .call = .call)
    block
  })
  samples <- lapply(blocks, colnames)
  Map(function(own, name) {
    check_own_names(own, paste0("block \"", name, "\""), "sample", .call)
  }, samples, names)
  if (all(lengths(samples) > 0L)) {
    common <- Reduce(intersect, samples)
    dropped <- setdiff(unlist(samples), common)
    if (!length(common)) {
      stop_user("blocks", "The blocks have no samples in common.",
                x = paste0(names, ": ", vapply(samples, some_of, ""), collapse = "; "),
                .call = .call)
    }
    if (length(dropped)) {
      inform_user(TRUE, paste0(plural(length(dropped), "sample"), " not in every block left out: ",
                               some_of(dropped), "."))
    }
    return(lapply(blocks, function(block) block[, common, drop = FALSE]))
  }
  counts <- vapply(blocks, ncol, 0L)
  if (length(unique(counts)) > 1L) {
    stop_user("blocks", "Blocks without sample names must have the same number of samples.",
              x = paste0(names, ": ", counts, collapse = "; "), .call = .call)
  }
  blocks
}

check_block_weights <- function(weights, names, .call = caller_env()) {
  if (is.null(weights)) return(stats::setNames(rep(1, length(names)), names))
  ok <- is.numeric(weights) && length(weights) == length(names) && all(is.finite(weights)) &&
    all(weights > 0) && (is.null(names(weights)) || setequal(names(weights), names))
  if (!ok) {
    stop_user("argument", "`block_weights` must be a positive number per block.",
              x = paste0("It is ", describe(weights), "; the blocks are ",
                         some_of(names, 6L), "."), .call = .call)
  }
  if (is.null(names(weights))) stats::setNames(weights, names) else weights[names]
}

# Blocks on top of one another: sparse when that is the smaller form.
stack_rows <- function(blocks) {
  stored <- sum(vapply(blocks, function(x) if (is.matrix(x)) length(x) else length(x@x), 0))
  full <- sum(vapply(blocks, function(x) prod(dim(x)), 0))
  if (stored > 0.3 * full) return(do.call(rbind, lapply(blocks, as.matrix)))
  sparse <- lapply(blocks, function(x) if (is.matrix(x)) as_csc(Matrix::Matrix(x)) else x)
  as_csc(do.call(rbind, unname(sparse)))
}

#' Coefficients of new samples in a joint factorisation
#'
#' The non-negative least squares optimum over the blocks that are given, with their
#' weights: samples need not have been measured in all of them.
#'
#' @param object A `joint_factorisation` from [factorise_joint()].
#' @param newdata A named list of some or all blocks with new samples in columns; features
#'   are matched by name where there are names. Without them, the coefficients of the fit.
#' @param ... None: other arguments are refused.
#' @return Components × samples.
#' @section Errors: `unalloy_error_blocks` for blocks that the fit has not,
#'   `unalloy_error_features` for missing features.
#' @export
predict.joint_factorisation <- function(object, newdata = NULL, ...) {
  refuse_dots(...)
  if (is.null(newdata)) return(object$coef)
  if (!is.list(newdata) || is.null(names(newdata)) ||
        length(setdiff(names(newdata), names(object$basis)))) {
    stop_user("blocks", "`newdata` must be a list of blocks of the fit.",
              x = paste0("It has ", some_of(names(newdata), 6L), "; the fit has ",
                         some_of(names(object$basis), 6L), "."))
  }
  here <- environment()
  blocks <- Map(function(block, name) {
    align_rows(block, rownames(object$basis[[name]]), nrow(object$basis[[name]]),
               paste0("\"", name, "\""), here)
  }, check_joint_blocks(newdata), names(newdata))
  scale <- sqrt(object$block_weights[names(blocks)])
  basis <- do.call(rbind, Map(`*`, object$basis[names(blocks)], scale))
  x <- stack_rows(Map(`*`, blocks, scale))
  out <- usage_of(unname(basis), x, "frobenius", list(threads = getOption("unalloy.threads", 2L)),
                  here)
  dimnames(out) <- list(rownames(object$coef), colnames(x))
  out
}

#' @export
basis.joint_factorisation <- function(object, ...) { # nolint: object_name_linter.
  refuse_dots(...)
  object$basis
}

#' @export
coef.joint_factorisation <- function(object, ...) {
  refuse_dots(...)
  object$coef
}

#' @export
fitted.joint_factorisation <- function(object, ...) {
  refuse_dots(...)
  lapply(object$basis, function(w) w %*% object$coef)
}

#' @export
print.joint_factorisation <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Joint factorisation of ", plural(length(x$basis), "block"), ", ",
      plural(ncol(x$coef), "sample"), ", rank ", nrow(x$coef), "\n", sep = "")
  width <- max(nchar(x$explained$block))
  for (at in seq_along(x$basis)) {
    cat("  ", formatC(x$explained$block[at], width = -width), "  ",
        plural(x$explained$features[at], "feature"), ", explained ",
        format(x$explained$explained[at], digits = 3), "\n", sep = "")
  }
  best <- x$fit$runs[which.min(x$fit$runs$objective), ]
  cat("Best of ", plural(nrow(x$fit$runs), "run"), ", KKT residual ", format(best$kkt, digits = 2),
      "\n", "Parts: ", paste0("$", names(x), collapse = " "), "\n", sep = "")
  invisible(x)
}
