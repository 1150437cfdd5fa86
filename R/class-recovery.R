# The class of recover_profiles().

#' Recovered profiles
#'
#' What [recover_profiles()] returns, and what can be done with it.
#'
#' @details
#' A `recovery` is a list:
#' \describe{
#'   \item{`profiles`}{Genes × samples, on the scale of the training profiles. Values may
#'     be negative.}
#'   \item{`standard_errors`}{Of the same shape, or `NULL`; see [recover_profiles()].}
#'   \item{`inflation`, `activities`}{With a dictionary: per gene the factor that is in its
#'     standard errors, and modules × samples (`dgCMatrix`).}
#'   \item{`samples`}{Data frame, a row per sample: `sample`, and with a
#'     dictionary `modules` (active ones), `residual` (what is left of the sum of squares
#'     of its measurements) and `measurement_sd` (the standard deviation of a measurement
#'     that standard errors rest on); with a decoder `distance` (squared distance of its
#'     measurements from the mean of the training samples, in units of that of a training
#'     sample that is left out) and `spread` (1 + omega v of *Standard errors* in
#'     [learn_decoder()]).}
#'   \item{`noise`}{The standard deviation of a measurement's noise, given or
#'     estimated; `NULL` with a decoder, without standard errors, and where nothing tells
#'     it.}
#'   \item{`method`, `sparsity`, `penalty`, `measurements`}{How it was made.}
#' }
#'
#' @param x,object An object of class `recovery`.
#' @param parm Names or numbers of the genes; all by default.
#' @param level Of the interval.
#' @param ... None: other arguments are refused.
#' @return `as.matrix()`: the profiles. `confint()`: a data frame with a row per gene
#'   and sample, `estimate`, `lower` and `upper` (normal quantiles). `print()`: the
#'   object, invisibly.
#' @section Errors: `unalloy_error_argument` when there are no standard errors.
#' @name recovery
#' @examples
#' sim <- simulate_bulk(n_genes = 150, n_samples = 70, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' x <- x[apply(x, 1, sd) > 0, ]
#' modules <- learn_dictionary(x[, 1:60], size = 30, sparsity = 5, seed = 1)
#' A <- measurement_matrix(25, x, max_correlation = 0.4, seed = 1)
#' found <- recover_profiles(measure(x[, 61:70], A), A, modules, sparsity = 5)
#' head(confint(found, parm = 1:2))
NULL

new_recovery <- function(found, modules, samples, measurements, method, sparsity, penalty) {
  genes <- modules$genes %||% paste0("gene", seq_len(nrow(found$profiles)))
  dimnames(found$profiles) <- list(genes, samples)
  if (!is.null(found$standard_errors)) dimnames(found$standard_errors) <- list(genes, samples)
  activities <- sparse_activities(found$activities, modules$names, samples)
  structure(
    list(
      profiles = found$profiles, standard_errors = found$standard_errors,
      inflation = stats::setNames(found$inflation, genes), activities = activities,
      samples = data.frame(sample = samples, modules = diff(activities@p),
                           residual = found$residual, measurement_sd = sqrt(found$variance)),
      noise = found$noise,
      method = method, sparsity = sparsity, penalty = penalty, measurements = measurements
    ),
    class = "recovery"
  )
}

new_decoded <- function(found, decoder, samples) {
  named <- function(x) if (!is.null(x)) `dimnames<-`(x, list(names(decoder$mean), samples))
  structure(
    list(
      profiles = named(found$profiles), standard_errors = named(found$standard_errors),
      inflation = NULL, activities = NULL,
      samples = data.frame(sample = samples, distance = found$distance, spread = found$spread),
      method = decoder_used(decoder), sparsity = NULL, penalty = NULL,
      measurements = length(decoder$centre)
    ),
    class = "recovery"
  )
}

# Kernel without bells is ridge.
decoder_used <- function(decoder) {
  if (!is.null(decoder$network)) "network" else if (is.null(decoder$prior)) "ridge" else "kernel"
}

#' @rdname recovery
#' @export
print.recovery <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat(plural(ncol(x$profiles), "profile"), " of ", plural(nrow(x$profiles), "gene"),
      " recovered from ", plural(x$measurements, "measurement"), "\nMethod \"", x$method, "\"",
      if (!is.null(x$penalty)) paste0(", penalty ", format(x$penalty, digits = 3)),
      if (!is.null(x$activities)) {
        paste0("; ", format(mean(x$samples$modules), digits = 3), " of ",
               plural(nrow(x$activities), "module"), " per sample")
      }, "\n", sep = "")
  if (!is.null(x$standard_errors)) {
    cat("Standard error of a gene: median ",
        format(stats::median(x$standard_errors), digits = 2), "\n", sep = "")
  }
  invisible(x)
}

#' @rdname recovery
#' @export
as.matrix.recovery <- function(x, ...) {
  refuse_dots(...)
  x$profiles
}

#' @rdname recovery
#' @export
confint.recovery <- function(object, parm = NULL, level = 0.95, ...) {
  refuse_dots(...)
  if (is.null(object$standard_errors)) {
    stop_user("argument", "The profiles have no standard errors.",
              i = "Ask `recover_profiles()` for them: `standard_errors = TRUE`.")
  }
  level <- check_number(level, "level", 0, 1)
  genes <- rownames(object$profiles)
  check_named(parm, "parm", "genes of the recovery")
  if (is.numeric(parm)) parm <- genes[parm]
  parm <- parm %||% genes
  absent <- setdiff(parm, genes)
  if (length(absent)) {
    stop_user("argument", "`parm` must name genes of the recovery.",
              x = paste0("Unknown: ", some_of(absent), "."))
  }
  profiles <- object$profiles[parm, , drop = FALSE]
  half <- stats::qnorm((1 + level) / 2) * object$standard_errors[parm, , drop = FALSE]
  data.frame(
    gene = rep(rownames(profiles), ncol(profiles)),
    sample = rep(colnames(profiles), each = nrow(profiles)),
    estimate = as.vector(profiles), lower = as.vector(profiles - half),
    upper = as.vector(profiles + half)
  )
}
