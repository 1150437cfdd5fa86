#' Dictionaries of gene modules
#'
#' What [learn_dictionary()] returns, and what can be done with it.
#'
#' @details
#' A `dictionary` is a list:
#' \describe{
#'   \item{`modules`}{Genes × modules, columns of unit norm.}
#'   \item{`activities`}{Modules × training samples (`dgCMatrix`): by orthogonal
#'     matching pursuit with `sparsity` modules per sample.}
#'   \item{`residual_sd`}{Per gene: standard deviation around modules times
#'     activities, of samples that were held out (of the training samples with
#'     `held_out = 0`). The lack of fit that [recover_profiles()] counts in its
#'     standard errors.}
#'   \item{`residual`}{What the modules with these activities leave of the sum of
#'     squares of the training profiles, as a share.}
#'   \item{`objective`}{The same after each iteration, with the activities that the
#'     method itself has (all modules for the SVD, the published sparsity rule for
#'     SMAF).}
#'   \item{`stop`}{Why it ended: `"direct"`, `"converged"` or `"max_iter"`.}
#'   \item{`replaced`, `dropped`}{Modules without use that started again, and that
#'     were left out.}
#'   \item{`smaf`}{For SMAF: `error_bound`, `sparsity`, effective `module_size` and
#'     `activity_size` at the end, and `genes_beyond_bound`, the genes whose error no
#'     non-negative modules bring within the bound.}
#'   \item{`settings`}{Method and arguments.}
#' }
#'
#' `plot()` draws a point per module: how many genes it has in effect (exp of the
#' entropy of its squared entries) and in how many training samples it is active.
#'
#' @param x,object An object of class `dictionary`.
#' @param ... None: other arguments are refused.
#' @return `print()`: the object, invisibly. `plot()`: a ggplot.
#' @name dictionary
#' @examples
#' sim <- simulate_bulk(n_genes = 150, n_samples = 60, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' x <- x[apply(x, 1, sd) > 0, ]
#' modules <- learn_dictionary(x, size = 20, sparsity = 5, seed = 1)
#' plot(modules)
NULL

new_dictionary <- function(found, x, settings) {
  genes <- x$genes %||% paste0("gene", seq_len(nrow(found$modules)))
  modules <- found$modules
  dimnames(modules) <- list(genes, numbered("Module", ncol(modules)))
  activities <- sparse_activities(found$activities, colnames(modules), x$samples)
  structure(
    list(
      modules = modules, activities = activities,
      residual_sd = stats::setNames(sqrt(found$residual_variance), genes),
      residual = found$residual, objective = found$objective, stop = found$stop,
      replaced = found$replaced, dropped = found$dropped, smaf = found$smaf, settings = settings
    ),
    class = "dictionary"
  )
}

# Slots of columns whose rows are in the order of choice.
sparse_activities <- function(slots, modules, samples) {
  Matrix::sparseMatrix(i = slots$i + 1L, j = rep(seq_along(samples), diff(slots$p)), x = slots$x,
                       dims = c(length(modules), length(samples)),
                       dimnames = list(modules, samples))
}

METHOD_NAMES <- c(ridge = "ridge", kernel = "kernel ridge", network = "network on ridge",
                  "smaf+network" = "network on SMAF", smaf = "SMAF", snmf = "sparse NMF",
                  svd = "SVD", svd_k = "truncated SVD", ksvd = "K-SVD")

#' @rdname dictionary
#' @export
print.dictionary <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  steps <- length(x$objective)
  cat("Dictionary by ", METHOD_NAMES[[x$settings$method]], ": ",
      plural(ncol(x$modules), "module"), " of ", plural(nrow(x$modules), "gene"), "\n",
      "Learned from ", plural(ncol(x$activities), "sample"), ", ",
      x$settings$sparsity, " modules per sample leave ", format(100 * x$residual, digits = 2),
      " % of the sum of squares\n", sep = "")
  if (x$stop != "direct") {
    cat(if (x$stop == "converged") "Converged after " else "Ended after ",
        plural(steps, "iteration"), "; ", plural(x$replaced, "module"), " started again, ",
        x$dropped, " dropped\n", sep = "")
  }
  if (!is.null(x$smaf)) {
    cat("Effective sizes: ", format(x$smaf$module_size, digits = 2), " genes per module, ",
        format(x$smaf$activity_size, digits = 2), " modules per sample; error bound ",
        format(x$smaf$error_bound, digits = 2), "\n", sep = "")
  }
  invisible(x)
}
