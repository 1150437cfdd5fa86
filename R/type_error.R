#' How far a cell type's genes err together
#'
#' Genes that mark a type err together: the state of the cells, their culture or
#' dissociation, capture and mRNA content raise or lower all of them. In a bulk
#' sample such an error looks exactly like more or less of the type, so that no
#' residual tells of it. It is the larger part of the error of a share on real data.
#' `type_error()` says how large it is taken to be; `learn_type_error()` learns
#' its size from samples of known composition.
#'
#' # Model
#' In a cohort type j has one log error \eqn{\xi_j \sim N(0, s_j^2)} that all of
#' its genes share. It multiplies the exposure of the type by \eqn{e^{\xi_j}}, and so
#' adds \eqn{J S J^T}, \eqn{J = \mathrm{diag}(p) - p p^T}, to the covariance of the
#' shares p: a share of 0.3 has the error \eqn{0.3 \cdot 0.7 \, s}. A type that is
#' rare or absent is not known better than the other types' expression of its marker
#' genes allows: there \eqn{s_j} multiplies the exposure at which the type's own
#' reads would equal those of the others. Errors of two types correlate as far as
#' they share their genes (the squared cosine of their shares of them), so that the
#' error of a sum of types does not depend on how finely it is divided.
#'
#' The error is the same in all samples of a cohort. It belongs to a share, and
#' cancels in differences between samples: see `of` of
#' [confint()][confint.deconvolution], and [contrast()].
#'
#' # Size
#' The prior size is
#' \deqn{s_j^2 = 0.12^2 + (0.35 \, \tau)^2 + 0.5^2 / n_j,}
#' \eqn{\tau} being the standard deviation of the log error of single genes in the
#' fit, and \eqn{n_j} the cells of the type in the reference. 0.35 stands for a
#' correlation of 0.12 between errors of genes of one type. 0.12 is what is left
#' where platforms agree. The constants were chosen on real mixtures of known
#' composition, leaving out each set in turn; `vignette("how-sure")` has the
#' coverage. \eqn{0.5^2/n} is what references of few cells miss.
#'
#' Where the data tell more, they are heard: with several donors the variance between
#' them of what the genes of a type say together replaces the first term,
#' with several platforms (`platforms` of [build_signatures()]) the first two,
#' and samples of known composition the whole, always as the mean of
#' estimate and prior by degrees of freedom, of which the prior has 4.
#'
#' Shares of cells have the error of the mRNA content of a cell beside. A figure
#' of the literature has a log error of 0.28 (the standard deviation between
#' sources over \eqn{\sqrt 2}), a mean of n sources \eqn{0.28/\sqrt n}. Figures that
#' you give are taken as they are.
#'
#' @param result A [deconvolution].
#' @param truth Known shares of some of the samples: types × samples with names, or
#'   groups × samples. They are compared among the types they name.
#' @param groups The group in `truth` of each type: a vector named by type. `NULL`
#'   where `truth` has types of the result.
#' @param what What `truth` are shares of: `"proportions"` (mRNA) or
#'   `"cell_fractions"`; by default cells where the result has them.
#' @param threads Threads to use.
#' @return `type_error()`: a data frame with a row per type: `type`; `sd`, the
#'   standard deviation of the log error; `platform`, the part of it that donors of
#'   the reference do not show; `cell_size`, that of the mRNA per cell; `from`, where
#'   `sd` comes from.
#'   `learn_type_error()`: the result with what was learned, which intervals, tests
#'   and plots then use.
#' @section Errors: `unalloy_error_truth` where truth and result do not fit;
#'   `unalloy_error_argument`.
#' @seealso `type_error` of [deconvolve_bulk()] to give the size yourself;
#'   [confint()][confint.deconvolution], [contrast()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 6, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' type_error(result)
#' known <- sim$truth_mrna[, 1:3]
#' type_error(learn_type_error(result, known))
type_error <- function(result) {
  check_call()
  check_result(result)
  type_error_table(result)
}

#' @rdname type_error
#' @export
learn_type_error <- function(result, truth, groups = NULL, what = NULL,
                             threads = getOption("unalloy.threads", 2L)) {
  check_call()
  check_result(result)
  need_unpenalised(result, rlang::current_env())
  what <- share_asked_for(what, result, choices = SHARES[1:2])
  truth <- known_shares(truth, result, groups)
  part <- result[match(colnames(truth), result$convergence$sample)]
  found <- within_cohort(part, what, "robust", threads, rlang::current_env())
  membership <- outer(rownames(truth), group_of_types(result, groups), "==") * 1
  errors <- shared_log_errors(found, truth, membership)
  if (is.null(errors)) {
    stop_user("truth", "`truth` tells nothing of the type-shared error.",
              i = "Two types with shares above 0.005 in truth and estimate are needed.")
  }
  table <- type_error_table(result)
  cells <- what == "cell_fractions"
  prior <- mean(table$sd^2 + if (cells) table$cell_size^2 else 0)
  learned <- (TYPE_ERROR$df * prior + errors$df * errors$variance) / (TYPE_ERROR$df + errors$df)
  scale <- sqrt(learned / max(prior, 1e-12))
  table[c("sd", "platform")] <- table[c("sd", "platform")] * scale
  if (cells) {
    table$cell_size <- table$cell_size * scale
    result$cell_size_error <- result$cell_size_error * scale^2
  }
  table$from <- paste0("prior and ", plural(ncol(truth), "sample"), " of known composition")
  result$type_error <- table
  result
}

group_of_types <- function(result, groups, .call = caller_env()) {
  types <- rownames(result$proportions)
  named <- is.null(groups) || (is.atomic(groups) && all(types %in% names(groups)))
  if (!named) {
    stop_user("argument", "`groups` must be a vector that is named by type.",
              x = paste0("It is ", describe(groups), "; the types are ", some_of(types), "."),
              .call = .call)
  }
  if (is.null(groups)) types else unname(groups[types])
}

# Known shares, checked: types or groups x samples of the result.
known_shares <- function(truth, result, groups, .call = caller_env()) {
  if (is.data.frame(truth)) truth <- as.matrix(truth)
  ok <- is.matrix(truth) && is.numeric(truth) && !is.null(dimnames(truth)[[1L]]) &&
    !is.null(dimnames(truth)[[2L]])
  if (!ok) {
    stop_user("truth", "`truth` must be a matrix of shares with names of types and samples.",
              x = paste0("It is ", describe(truth), "."), .call = .call)
  }
  if (anyNA(truth) || any(truth < 0) || any(colSums(truth) <= 0)) {
    stop_user("truth", "`truth` must hold shares of 0 and more, not all 0 in a sample.",
              i = "Leave out samples whose composition is not known.", .call = .call)
  }
  unknown <- setdiff(rownames(truth), group_of_types(result, groups, .call))
  if (length(unknown)) {
    stop_user("truth", "`truth` must have types of the result as row names.",
              x = paste0("Not in the result: ", some_of(unknown), "."),
              i = paste0("There are ", some_of(group_of_types(result, groups), 6L),
                         "; `groups` says which of them make a row."), .call = .call)
  }
  samples <- intersect(colnames(truth), result$convergence$sample)
  if (!length(samples) || nrow(truth) < 2L) {
    stop_user("truth", "`truth` must have samples of the result as column names, and two types.",
              x = paste0("The result has ", some_of(result$convergence$sample), "."), .call = .call)
  }
  truth <- truth[, samples, drop = FALSE]
  truth / rep(colSums(truth), each = nrow(truth))
}

# The variance of the log errors of types that all samples share: that of their means over
# samples, less what the errors of the samples explain.
shared_log_errors <- function(found, truth, membership) {
  n <- ncol(truth)
  each <- lapply(seq_len(n), function(s) {
    sums <- drop(membership %*% found$estimate[, s])
    v <- membership %*% found$covariance[, , s] %*% t(membership)
    list(log = log(sums / sum(sums) / truth[, s]), noise = diag(v) / sums^2,
         used = truth[, s] > 0.005 & sums / sum(sums) > 0.005)
  })
  pick <- function(name) vapply(each, `[[`, each[[1L]][[name]], name)
  used <- matrix(pick("used"), nrow(truth))
  error <- matrix(pick("log"), nrow(truth))
  error[!used] <- NA
  noise <- matrix(pick("noise"), nrow(truth))
  known <- rowSums(used) > 0
  if (sum(known) < 2L) return(NULL)
  mean <- rowMeans(error[known, , drop = FALSE], na.rm = TRUE)
  # between samples errors vary by more than the sandwich knows: the larger counts
  count <- rowSums(used[known, , drop = FALSE])
  spread <- apply(error[known, , drop = FALSE], 1L, stats::var, na.rm = TRUE)
  own <- rowSums((noise * used)[known, , drop = FALSE]) / count
  own <- pmax(own, spread, na.rm = TRUE) / count
  variance <- max(0, stats::var(mean) - mean(own))
  prior <- TYPE_ERROR$floor^2
  list(variance = variance, df = (sum(known) - 1) * mean(prior / (prior + own)))
}
