#' Clones from allele counts of single cells
#'
#' Calls genotypes from reads of the reference and the alternative allele,
#' weights them by how certain they are, and factorises them into clones: which
#' variants a clone carries, and what each cell is made of. **Variants are rows,
#' cells are columns**, as in the other verbs of the package (CCLONE itself has
#' cells in rows, so its C and V are our `coef` and `basis`, transposed).
#'
#' A call M is ½ where both alleles are seen, 1 where only the alternative is, 0
#' where only the reference is, and missing with fewer than `min_coverage` reads.
#' Its weight Omega says how sure it is: a heterozygous call needs no further proof,
#' a homozygous one may have missed the other allele. Factors V (variants ×
#' clones) and C (clones × cells), both in \[0, 1\], minimise
#' \deqn{\tfrac12 \sum_{ij} \left[\Omega_{ij} (M_{ij} - (VC)_{ij})^2 / \sigma_i^2 +
#'   \log \sigma_i^2\right] + \tfrac{\lambda}{2} \sum_{rj} C_{rj}^2,}
#' over all calls. With `noise = "common"` (sigma = 1, lambda = 0) this is the objective of
#' CCLONE. With `noise = "variant"`, the default, every variant has a noise
#' variance of its own, as in factor analysis. Calls of a heterozygous site with
#' few reads jump between 0 and 1: under a common variance the clones are spent on
#' such sites, since explaining them lowers the sum of squares most. A variant's
#' variance is kept above a quarter of what its calls vary by.
#'
#' Each half of the alternation is a convex quadratic program per variant or
#' cell, solved by coordinate descent; the objective never rises. Several random
#' starts are made, and the lowest objective is kept. A clone and its
#' coefficients can be scaled against one another; here the largest coefficient
#' of each clone is 1. What does not depend on the scale is a clone's *share* in
#' a cell: its part of the fitted alleles, \eqn{C_{rj} \sum_i V_{ir}} over the sum
#' of these. Intervals and certainties are for shares.
#'
#' @section Intervals:
#'   Variants are drawn with replacement `bootstrap` times and the fit is repeated
#'   from the best one with the noise as estimated; clones are matched by the
#'   assignment with the largest total cosine. The intervals are quantiles of the
#'   shares: how much a cell's composition depends on which variants happened to
#'   be seen. `certainty` is the part of the resamples in which the cell's clone is
#'   the same. They do not know of other local optima: compare `runs`.
#'
#' @param ref,alt Reads of the reference and of the alternative allele: variants ×
#'   cells, matrices or sparse matrices, with the same dimensions. Where both have
#'   names they are matched by name.
#' @param rank Number of clones, the healthy cells among them.
#' @param weights How sure a call is. `"constant"`: 1 for heterozygous calls, ½ for
#'   others. `"coverage"`: 1 for heterozygous calls, 1 - 2^-n for others from n
#'   reads (CCLONE's `"10X"` mode). `"binary"`: 1. Or a matrix of weights,
#'   variants × cells.
#' @param min_coverage Reads that a call needs.
#' @param min_allele_reads Reads from which an allele counts as seen. 2 takes single
#'   deviating reads for errors.
#' @param min_allele_frequency Variants are left out whose mean call over the
#'   covered cells is below this or above 1 minus this. 0 keeps all; CCLONE uses
#'   0.05.
#' @param min_variant_coverage,min_cell_coverage Variants covered in less than this
#'   part of the cells are left out, then cells covered in less than this part of
#'   the variants. 0 keeps all; CCLONE asks for 0.1 per cell.
#' @param exclude Variants to leave out (names, numbers, or a logical vector): known
#'   RNA editing sites, common polymorphisms.
#' @param noise `"variant"` or `"common"`, see above.
#' @param ridge lambda. By default 3 with noise per variant, where it stands for a uniform
#'   prior on \[0, 1\] (mean square 1/3), and 0 with common noise. Larger values shrink
#'   cells with few calls more.
#' @param nrun Random starts.
#' @param bootstrap Resamples of the variants for intervals and certainties; 0 for
#'   none.
#' @param level Coverage of the intervals.
#' @param max_iter Iterations of one factorisation at most.
#' @param tolerance A factorisation ends when its objective falls by less than this part
#'   of itself per iteration, on average over ten.
#' @param threads Threads; the result does not depend on them.
#' @param seed A whole number; `NULL` takes one from R's random stream.
#' @param verbose Show progress?
#' @return An object of class `variant_factorisation`, a list:
#'   \item{basis}{V, variants × clones: mean call of a cell that is all of the clone.}
#'   \item{coef}{C, clones × cells.}
#'   \item{shares}{Shares of the clones, clones × cells; columns sum to 1, or are 0 for
#'     cells without calls.}
#'   \item{cells}{Data frame, a row per cell: `cell`, `clone` (the largest share, `NA`
#'     without calls), its `share`, `lower`, `upper`, `certainty`, and `calls`.}
#'   \item{intervals}{`mean`, `sd`, `lower`, `upper` of the shares over resamples, and
#'     `chosen`, the part of resamples in which a clone is the largest; all clones ×
#'     cells. `NULL` without resamples.}
#'   \item{noise}{sigma² per variant.}
#'   \item{residual}{sum Omega (M - VC)² / sum Omega M² (`weighted`), and with Omega² for
#'     Omega (`squared`);
#'     `NA` when every call is reference.}
#'   \item{orthogonality}{Mean cosine between the coefficients of two clones: 0 when no
#'     cell has two, near 1 when the clones are not told apart.}
#'   \item{runs, trace}{How each start ended (`reason` `"rounds"`: 50 alternations between
#'     factors and noise did not settle them); the objective of the best one.}
#'   \item{calls, weights}{M and Omega, sparse; entries that are not stored have no call.}
#'   \item{left_out}{Names of variants and cells that the filters removed.}
#'   \item{settings, call}{What was asked for.}
#' @section Errors: `unalloy_error_not_counts` for reads that are negative, missing or
#'   not whole; `unalloy_error_alleles` when `ref` and `alt` do not belong together;
#'   `unalloy_error_no_calls` when the filters leave nothing;
#'   `unalloy_error_argument` for settings out of range.
#' @section Warnings: `unalloy_warning_no_calls` for cells without any call,
#'   `unalloy_warning_not_converged` when the best run was cut short,
#'   `unalloy_warning_exhausted` when a clone ended empty.
#' @references Marot-Lassauzaie V, Beneyto-Calabuig S, Obermayer B, Velten L, Beule D,
#'   Haghverdi L (2024). Identifying cancer cells from calling single-nucleotide
#'   variants in scRNA-seq data. bioRxiv 2024.02.21.581377.
#' @seealso [plot.variant_factorisation()]
#' @export
#' @examples
#' # 30 cells of each of two clones; 12 variants are private to one, 8 are shared
#' set.seed(1)
#' clone <- rep(1:2, each = 30)
#' genotype <- cbind(rep(c(0.5, 0, 0.5), c(6, 6, 8)), rep(c(0, 0.5, 0.5), c(6, 6, 8)))
#' coverage <- matrix(rpois(20 * 60, 4), 20)
#' alt <- matrix(rbinom(20 * 60, coverage, genotype[, clone]), 20)
#' fit <- factorise_variants(coverage - alt, alt, rank = 2, seed = 1)
#' fit
#' table(fit$cells$clone, clone)
#' plot(fit)
factorise_variants <- function(ref, alt, rank, weights = c("constant", "coverage", "binary"),
                               min_coverage = 2, min_allele_reads = 1, min_allele_frequency = 0,
                               min_variant_coverage = 0, min_cell_coverage = 0, exclude = NULL,
                               noise = c("variant", "common"), ridge = NULL, nrun = 10,
                               bootstrap = 50, level = 0.95, max_iter = 1000, tolerance = 1e-6,
                               threads = getOption("unalloy.threads", 2L), seed = NULL,
                               verbose = interactive()) {
  check_call()
  call <- match.call()
  noise <- check_choice(noise, c("variant", "common"), "noise")
  filters <- list(
    min_coverage = check_number(min_coverage, "min_coverage", 0, above = TRUE),
    min_allele_reads = check_number(min_allele_reads, "min_allele_reads", 0, above = TRUE),
    min_allele_frequency = check_number(min_allele_frequency, "min_allele_frequency", 0, 0.5),
    min_variant_coverage = check_number(min_variant_coverage, "min_variant_coverage", 0, 1),
    min_cell_coverage = check_number(min_cell_coverage, "min_cell_coverage", 0, 1)
  )
  settings <- list(
    rank = check_count(rank, "rank"), nrun = check_count(nrun, "nrun", max = MOST_REPEATS),
    bootstrap = check_count(bootstrap, "bootstrap", 0, MOST_REPEATS),
    level = check_number(level, "level", 0.5, 0.999),
    noise = noise,
    ridge = check_number(ridge %||% if (noise == "variant") 3 else 0, "ridge", 0),
    max_iter = check_count(max_iter, "max_iter"),
    tolerance = check_number(tolerance, "tolerance", 0, 1),
    threads = check_threads(threads), seed = check_seed(seed)
  )
  alleles <- check_alleles(ref, alt)
  made <- variant_calls(alleles, weights, exclude, filters)
  if (settings$rank > min(dim(made$calls))) {
    stop_user("argument", "`rank` must not be above the number of variants or cells.",
              x = paste0("It is ", settings$rank, "; there are ",
                         plural(nrow(made$calls), "variant"), " and ",
                         plural(ncol(made$calls), "cell"), "."))
  }
  total <- settings$nrun + settings$bootstrap
  fitted <- call_rs(rs_factorise_variants, calls = made$calls, weights = made$weights@x,
                    settings = settings,
                    progress = progress_bar("Factorising", total, check_flag(verbose, "verbose")))
  out <- new_variant_factorisation(fitted, made, c(settings, filters), call)
  warn_variant_fit(out, fitted$exhausted)
  out
}

new_variant_factorisation <- function(fitted, made, settings, call) {
  clones <- paste0("clone", seq_len(settings$rank))
  variants <- rownames(made$calls)
  cells <- colnames(made$calls)
  by_cell <- function(x) {
    dimnames(x) <- list(clones, cells)
    x
  }
  basis <- fitted$basis
  dimnames(basis) <- list(variants, clones)
  intervals <- if (!is.null(fitted$intervals)) lapply(fitted$intervals, by_cell)
  coef <- by_cell(fitted$coef)
  shares <- by_cell(fitted$shares)
  size <- sqrt(rowSums(coef^2))
  cosines <- tcrossprod(coef) / pmax(outer(size, size), .Machine$double.xmin)
  structure(list(
    basis = basis, coef = coef, shares = shares,
    cells = assigned_cells(shares, intervals, diff(made$calls@p)), intervals = intervals,
    noise = stats::setNames(fitted$noise, variants),
    residual = stats::setNames(ifelse(is.nan(fitted$residuals), NA_real_, fitted$residuals),
                               c("weighted", "squared")),
    orthogonality = if (settings$rank > 1) mean(cosines[upper.tri(cosines)]) else NA_real_,
    runs = data.frame(run = seq_along(fitted$objective), objective = fitted$objective,
                      kkt = fitted$kkt, iterations = as.integer(fitted$iterations),
                      converged = !fitted$reason %in% c("iterations", "rounds"),
                      reason = fitted$reason,
                      best = seq_along(fitted$objective) == fitted$best_run),
    trace = fitted$trace, calls = made$calls, weights = made$weights, left_out = made$left_out,
    settings = settings, call = call
  ), class = "variant_factorisation")
}

# Which clone has the largest share of each cell, and how sure that is.
assigned_cells <- function(shares, intervals, calls) {
  n <- ncol(shares)
  clone <- max.col(t(shares), ties.method = "first")
  clone[colSums(shares) == 0] <- NA
  at <- cbind(clone, seq_len(n))
  of <- function(x) if (is.null(x)) rep(NA_real_, n) else unname(x[at])
  data.frame(
    cell = colnames(shares) %||% as.character(seq_len(n)),
    clone = factor(rownames(shares)[clone], rownames(shares)),
    share = of(shares), lower = of(intervals$lower), upper = of(intervals$upper),
    certainty = of(intervals$chosen), calls = calls
  )
}

warn_variant_fit <- function(fit, exhausted, .call = caller_env()) {
  silent <- fit$cells$cell[fit$cells$calls == 0]
  if (length(silent)) {
    warn_user("no_calls", paste0(plural(length(silent), "cell"), " without any call: no clone."),
              x = paste0("They are ", some_of(silent), "."),
              i = "Leave them out, or lower `min_coverage`.", .call = .call)
  }
  if (length(exhausted)) {
    warn_user("exhausted", "Some clones ended empty.",
              x = paste0("Empty: ", some_of(colnames(fit$basis)[exhausted]), "."),
              i = "The data do not hold so many clones: lower `rank`.", .call = .call)
  }
  best <- fit$runs[fit$runs$best, ]
  if (!best$converged) {
    warn_user("not_converged", paste0("The best run used up its ", best$reason, "."),
              x = paste0("Its projected gradient is ", signif(best$kkt, 2),
                         " of its right-hand side."),
              i = if (best$reason == "iterations") "Raise `max_iter`." else
                "Raise `max_iter`, or take `noise = \"common\"`.", .call = .call)
  }
}

#' @export
basis.variant_factorisation <- function(object, ...) { # nolint: object_name_linter.
  refuse_dots(...)
  object$basis
}

#' @export
coef.variant_factorisation <- function(object, ...) {
  refuse_dots(...)
  object$coef
}

#' @export
fitted.variant_factorisation <- function(object, ...) {
  refuse_dots(...)
  object$basis %*% object$coef
}

#' @export
as.data.frame.variant_factorisation <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$cells
}

#' @export
print.variant_factorisation <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  size <- table(x$cells$clone)
  cat("Clones of ", plural(ncol(x$coef), "cell"), " from ", plural(nrow(x$basis), "variant"),
      " (", format(100 * mean(diff(x$calls@p)) / nrow(x$basis), digits = 2), " % called)\n",
      sep = "")
  for (clone in names(size)) {
    own <- x$cells[which(x$cells$clone == clone), ]
    cat("  ", clone, ": ", plural(nrow(own), "cell"), sep = "")
    if (nrow(own) && !is.null(x$intervals)) {
      cat(", ", sum(own$certainty >= 0.95), " of them with a certainty of at least 0.95", sep = "")
    }
    cat("\n")
  }
  cat("Weighted residual ", format(x$residual[[1L]], digits = 3), ", mean cosine of clones ",
      format(x$orthogonality, digits = 2), "\n", sep = "")
  near <- x$runs$objective - min(x$runs$objective) < 1e-4 * abs(min(x$runs$objective))
  cat(sum(near), " of ", plural(nrow(x$runs), "start"), " reached the lowest objective\n", sep = "")
  cat("Parts: ", paste0("$", names(x), collapse = " "), "\n", sep = "")
  invisible(x)
}
