#' Learn a dictionary of gene modules
#'
#' Finds modules U such that each training profile is close to a combination of
#' few of them, x ~ U w with at most `sparsity` activities in w. From few
#' composite measurements of a new sample, [recover_profiles()] then finds its activities.
#'
#' @section Methods:
#' \describe{
#'   \item{`"smaf"`}{Sparse module activity factorisation (Cleary et al. 2017).
#'     Modules: for each gene, the non-negative u with the least sum that leaves a
#'     squared error within a bound, |x_g - W'u|² <= `error_bound` · V / genes (by
#'     homotopy: the bound is met exactly), V being the sum of squares of X around
#'     gene means; columns are then scaled to unit norm. Activities: orthogonal
#'     matching pursuit with `sparsity` modules, and with fewer, down to
#'     `min_sparsity`, while these leave less than `error_bound` · V. The bound is
#'     halved while the mean effective number (exp of the entropy) of genes per
#'     module is below `module_lower`, or that of modules per sample below
#'     `activity_lower`. The published code bounds the error of a gene by `lda2` ·
#'     |X|² / samples and what activities leave by `lda2` · |X|². Here both speak of
#'     the same error, and of the share of what differs between samples, so that
#'     the default means the same whatever the numbers of genes and samples and the
#'     height of gene means.}
#'   \item{`"snmf"`}{Sparse non-negative matrix factorisation (Kim and Park 2007):
#'     min ½|X - UW|² + ½ eta |U|² + ½ `penalty` sum |w|_1² over non-negative U and W, with X
#'     scaled to mean squared norm 1 of a sample and eta = `penalty` · samples / `size`.}
#'   \item{`"svd"`}{Left singular vectors of X (not centred), as many as `size`.}
#'   \item{`"svd_k"`}{The first `sparsity` left singular vectors: what some reports
#'     on compressed sensing of expression call k-SVD.}
#'   \item{`"ksvd"`}{K-SVD (Aharon, Elad and Bruckstein 2006): orthogonal matching
#'     pursuit of all samples, then each module with its activities becomes the
#'     leading singular pair of what the others leave of the samples that use it. A
#'     sample keeps its activities where new ones are worse, so the objective does
#'     not rise. Of modules with a cosine above 0.99 one is replaced.}
#' }
#' Modules of `"smaf"`, `"snmf"` and `"ksvd"` that no sample uses start again from
#' what is left of the samples represented worst; those that find no use in the
#' end are dropped.
#'
#' @param x Training profiles, genes × samples: a matrix, sparse matrix, data frame
#'   of numbers or SummarizedExperiment. Genes on a common scale weigh the same:
#'   the literature uses log expression, scaled to \[0, 1\] per gene or not.
#' @param size Number of modules, at most the number of samples. More modules than
#'   a sample uses (`sparsity`) let samples differ in which; far more need more
#'   measurements to be told apart.
#' @param method See *Methods*.
#' @param sparsity Modules that a sample may use. The default is what Cleary et al.
#'   found for human expression. Raising it fits training samples closer and needs
#'   more measurements.
#' @param error_bound,module_lower,activity_lower,min_sparsity For `"smaf"`, see
#'   *Methods*; `module_lower = NULL` takes a twentieth of the genes, at most 20.
#' @param penalty For `"snmf"`, see *Methods*; the default is that of Kim and Park.
#'   Raising it makes the activities of a sample sparser.
#' @param starts For `"ksvd"`: fits from different random samples, of which the
#'   best is kept. K-SVD has many local minima; time grows with `starts`.
#' @param max_iter Iterations at most; `NULL` takes 10 for `"smaf"` (as published),
#'   50 for `"ksvd"` and 100 for `"snmf"`.
#' @param tolerance Relative change of the objective below which the fit ends.
#'   For `"smaf"` the entropy rules must be content as well.
#' @param held_out Part of the samples, up to a half, that further modules are learned
#'   without, to measure what modules leave of samples that they have not seen
#'   (`residual_sd`), on which the intervals of [recover_profiles()] rest. This goes on
#'   with other parts until 50 samples have been held out, and takes that many times
#'   longer: twice as long from 250 samples on, with the default. 0 takes the
#'   training samples: modules fit these better than others, so intervals become too
#'   narrow.
#' @param seed A whole number; the same seed gives the same dictionary on every
#'   machine and any number of threads. `NULL` takes one from R's random stream.
#'   Singular vectors need none.
#' @inheritParams measure
#' @return An object of class [dictionary].
#' @section Errors and warnings: `unalloy_error_size` for more modules than samples;
#'   `unalloy_error_constant_genes` for genes that do not vary, by name: nothing can
#'   be learned about them; `unalloy_error_negative_values` (`"smaf"`, `"snmf"`),
#'   `unalloy_error_missing_values` and `unalloy_error_infinite_values`, with gene
#'   and sample; `unalloy_error_gene_names`, `unalloy_error_argument`.
#'   `unalloy_warning_not_converged` when `"ksvd"` or `"snmf"` end at `max_iter`.
#' @references Cleary et al. (2017), *Cell* 171:1424. Kim and Park (2007),
#'   *Bioinformatics* 23:1495. Aharon, Elad and Bruckstein
#'   (2006), *IEEE Transactions on Signal Processing* 54:4311. Rubinstein, Zibulevsky
#'   and Elad (2008), Technion report CS-2008-08.
#' @seealso [recover_profiles()], [benchmark_recovery()], [plan_measurements()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 150, n_samples = 60, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' x <- x[apply(x, 1, sd) > 0, ]
#' modules <- learn_dictionary(x, size = 20, sparsity = 5, seed = 1)
#' modules
learn_dictionary <- function(x, size, method = c("smaf", "snmf", "svd", "svd_k", "ksvd"),
                             sparsity = 15, error_bound = 0.1, module_lower = NULL,
                             activity_lower = 0, min_sparsity = 5, penalty = 0.01, starts = 1,
                             max_iter = NULL, tolerance = 1e-3, held_out = 0.2, seed = NULL,
                             assay = NULL,
                             threads = getOption("unalloy.threads", 2L), verbose = TRUE) {
  check_call()
  method <- check_choice(method, DICTIONARY_METHODS, "method")
  refuse_foreign(method, names(match.call()))
  nonnegative <- if (method %in% c("smaf", "snmf")) method
  x <- profile_matrix(x, "x", assay, nonnegative = nonnegative)
  size <- check_size(size, ncol(x$values))
  refuse_constant(x)
  settings <- list(method = method, size = size, sparsity = check_count(sparsity, "sparsity"),
                   tolerance = check_number(tolerance, "tolerance", 0),
                   threads = check_threads(threads))
  defaults <- c(smaf = 10, snmf = 100, svd = 1, svd_k = 1, ksvd = 50)
  held <- held_out_samples(check_number(held_out, "held_out", 0, 0.5), ncol(x$values))
  settings$max_iter <- check_count(max_iter %||% defaults[[method]], "max_iter")
  settings <- c(settings, switch(
    method,
    smaf = smaf_settings(error_bound, module_lower, activity_lower, min_sparsity, nrow(x$values)),
    snmf = list(penalty = check_number(penalty, "penalty", 0)),
    ksvd = list(starts = check_count(starts, "starts", max = MOST_REPEATS))
  ))
  verbose <- check_flag(verbose, "verbose")
  settings$seed <- if (method %in% c("svd", "svd_k")) 0 else check_seed(seed)
  total <- settings$max_iter * (settings$starts %||% 1) * (1 + held$held_out_folds)
  found <- call_rs(rs_learn_dictionary, profiles = x$values, settings = c(settings, held),
                   progress = progress_bar("Learning modules", total, verbose))
  if (found$stop == "max_iter" && method %in% c("ksvd", "snmf")) warn_not_settled(found, settings)
  settings$held_out <- held_out
  new_dictionary(found, x, settings)
}

# Held-out samples whose deviations are enough: standard deviations are then known
# to a tenth.
ENOUGH_HELD_OUT <- 50

# Samples of a fold, and how many folds.
held_out_samples <- function(part, n) {
  count <- if (part > 0) max(1, round(part * n)) else 0
  folds <- if (count > 0) min(ceiling(ENOUGH_HELD_OUT / count), n %/% count) else 0
  list(held_out_samples = count, held_out_folds = folds)
}

DICTIONARY_METHODS <- c("smaf", "snmf", "svd", "svd_k", "ksvd")

# Arguments that a method does not have must not be given to it.
refuse_foreign <- function(method, given, .call = caller_env()) {
  own <- list(
    smaf = c("error_bound", "module_lower", "activity_lower", "min_sparsity"),
    snmf = "penalty", ksvd = "starts"
  )
  iterative <- if (!method %in% c("svd", "svd_k")) c("max_iter", "tolerance", "seed")
  all <- c(unlist(own), "max_iter", "tolerance")
  foreign <- intersect(given, setdiff(all, c(own[[method]], iterative)))
  if (length(foreign)) {
    stop_user("argument", paste0("Method \"", method, "\" has no argument `", foreign[1L], "`."),
              i = "`?learn_dictionary` says which method has which.", .call = .call)
  }
}

check_size <- function(size, n_samples, .call = caller_env()) {
  size <- check_count(size, "size", .call = .call)
  if (size > n_samples) {
    stop_user("size", "A dictionary can't have more modules than there are samples.",
              x = paste0("`size` is ", size, "; `x` has ", plural(n_samples, "sample"), "."),
              i = paste("Take fewer modules: half of the samples is usual."), .call = .call)
  }
  size
}

smaf_settings <- function(error_bound, module_lower, activity_lower, min_sparsity, n_genes,
                          .call = caller_env()) {
  error_bound <- check_number(error_bound, "error_bound", 0, 1, above = TRUE, .call = .call)
  if (error_bound == 1) {
    stop_user("argument", "`error_bound` must be below 1.",
              x = "At 1 modules may explain nothing.", .call = .call)
  }
  list(
    error_bound = error_bound,
    module_lower = check_number(module_lower %||% min(20, n_genes / 20), "module_lower", 0,
                                .call = .call),
    activity_lower = check_number(activity_lower, "activity_lower", 0, .call = .call),
    min_sparsity = check_count(min_sparsity, "min_sparsity", .call = .call)
  )
}

# Genes whose values are all the same, up to rounding.
constant_rows <- function(values) {
  centre <- rowMeans(values)
  spread <- sqrt(rowMeans((values - centre)^2))
  which(spread <= 1e-12 * abs(centre))
}

refuse_constant <- function(x, .call = caller_env()) {
  constant <- constant_rows(x$values)
  if (!length(constant)) return()
  names <- if (is.null(x$genes)) paste("row", constant) else x$genes[constant]
  stop_user("constant_genes", "Every gene of `x` must vary between the samples.",
            x = paste0(plural(length(constant), "gene"), " with one value only: ", some_of(names),
                       "."),
            i = "Leave them out: nothing can be learned about them.", .call = .call)
}

warn_not_settled <- function(found, settings, .call = caller_env()) {
  n <- length(found$objective)
  if (n < 2L) return()
  change <- 1 - found$objective[n] / found$objective[n - 1L]
  warn_user("not_converged", "The dictionary had not settled when the iterations ended.",
            x = paste0("Iteration ", n, " changed the objective by ",
                       format(100 * change, digits = 2), " %; `tolerance` is ",
                       100 * settings$tolerance, " %."),
            i = "Raise `max_iter`, or `tolerance` if this is close enough.", .call = .call)
}
