#' Expression programs that the signatures do not hold
#'
#' Finds what a cohort expresses beside its cell types: a tumour, an activation,
#' a response to treatment. The program is a profile that the samples share, to
#' different extents: a low-rank factor fitted beside the fixed signatures.
#'
#' # Model
#'
#' \deqn{k_{gs} \sim \mathrm{Poisson}(\mu_{gs}), \quad \mu_{gs} = \ell_g \Big(b_g \sum_j
#'   S_{gj} e_{js} + \sum_r P_{gr} l_{rs}\Big), \quad P, l, e \ge 0, \; \sum_g P_{gr} = 1.}
#' The exposures e are fitted again beside the program. Genes weigh the reciprocal
#' of their dispersion (quasi-likelihood), so that the most abundant do not decide
#' alone. The objective is convex per sample and per gene; both blocks are solved
#' by Newton's method under bounds in turn, so it never rises (`trace`). It is not
#' convex in all together: the best of `n_starts` is taken.
#'
#' # What is a program, and what is not
#'
#' A gene that is off by the same factor in all samples (the error between the
#' platforms of reference and bulk) goes into \eqn{b_g}, which has a gamma prior
#' with mean 1 and the variance of these errors (that of the profiles' own error
#' included); only what *varies* over samples otherwise than the types do becomes a
#' program. So a program that is in all samples alike can't be told from the error
#' of the platforms: a cohort should hold samples with more and with less of it
#' (normal tissue beside tumours). A program whose loadings follow the exposures of one type over
#' the samples can't be told from a wrong signature of that type. Several programs
#' are determined up to mixtures of them that keep all entries non-negative.
#'
#' # Tests
#'
#' The gene table compares the program with the mixture of types nearest to it: a
#' gene has log2 fold 0 if the types can give what the program expresses of it. As
#' loadings that were fitted to a gene can't test it,
#' the genes are split into two halves of equal abundance, and each half is tested
#' with the loadings and exposures found from the other. The test is generalised
#' least squares under the mixed model of [cell_type_expression()], which knows
#' that profiles of types are not exact (so that a wrong signature is no
#' finding) and how types vary between samples; variances are moderated over
#' genes as in limma (Smyth, 2004), with t tests on as many degrees of freedom
#' as samples and prior give. FDR is that of Benjamini and Hochberg. Genes are
#' tested as if independent given the types.
#'
#' @param result A [deconvolution] with its counts kept, of at least six samples.
#' @param n_programs Number of programs.
#' @param genes Names of genes to use; all with `min_count` by default.
#' @param min_count Genes with fewer counts per sample on average are left out (in
#'   the unit of one count where values are not counts).
#' @param n_starts Starting points. The first two come from the residuals, the
#'   others are random. More cost time and may find a better optimum.
#' @param max_iter Iterations at most.
#' @param tolerance Decrease of the objective per unit of weighted counts at which
#'   the fit stops.
#' @param test Test genes? This takes two more fits.
#' @param seed A whole number for random starts; `NULL` takes one from R's stream.
#' @param threads Threads to use; the answer does not depend on it.
#' @param verbose Say what was assumed, and show progress?
#' @return An object of class `expression_program`, a list:
#'   \item{programs}{Genes × programs; columns sum to 1.}
#'   \item{loadings}{Programs × samples, in molecules.}
#'   \item{shares}{Programs × samples: share of the sample's mRNA, programs and
#'     types together.}
#'   \item{proportions}{Types × samples: shares of mRNA beside the programs.}
#'   \item{genes}{Data frame sorted by `statistic`: `gene`, `program`, `profile`
#'     (copies per million of the program), `types` (the same of the
#'     nearest mixture of types), `log2_fold` (their ratio, the standard error added
#'     to both so that levels near zero give no large folds), `std_error`, `statistic`,
#'     `df`, `p_value`, `fdr`.}
#'   \item{consistency}{Data frame per sample and program: `share`, and `agreement`,
#'     the cosine between what is left of the sample once types are taken away and
#'     the program, over genes in units of their standard deviation. 1: the sample
#'     shows this program and nothing else beside its types.}
#'   \item{mixture}{Types × programs: the mixture of types nearest to the program.}
#'   \item{novelty}{Share of a program's mRNA that would have to change genes to
#'     make it that mixture. In simulations without any program it is about 0.2, from
#'     errors of the signatures alone: look at the tests before the program.}
#'   \item{factors}{\eqn{b_g}.}
#'   \item{convergence}{`objective`, `null_objective` (without programs),
#'     `iterations`, `reason`, `starts` (objective of each start after its trial).}
#'   \item{trace}{Objective per iteration.}
#' @section Errors and warnings:
#'   `unalloy_error_few_samples` with fewer than six samples;
#'   `unalloy_error_no_counts`; `unalloy_error_too_few_genes`;
#'   `unalloy_warning_no_program` when nothing is left beside the types;
#'   `unalloy_warning_not_converged`.
#' @references
#' Lee DD, Seung HS (2001). Algorithms for non-negative matrix factorization.
#' *NIPS* 13. (The factor model.)
#'
#' Smyth GK (2004). Linear models and empirical Bayes methods for assessing
#' differential expression. *Stat. Appl. Genet. Mol. Biol.* 3:3.
#' @seealso [plot_program()], [cell_type_expression()]
#' @export
#' @examples
#' # A type that the reference lacks is a program of the cohort.
#' sim <- simulate_bulk(n_genes = 400, n_types = 4, n_samples = 10, missing_type = 4, seed = 2)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
#' program <- extract_program(result, seed = 1)
#' program
#' cor(program$shares[1, ], sim$truth_mrna["Type D", ])
#' head(program$genes)
extract_program <- function(result, n_programs = 1, genes = NULL, min_count = 5, n_starts = 4,
                            max_iter = 200, tolerance = 1e-6, test = TRUE, seed = NULL,
                            threads = getOption("unalloy.threads", 2L), verbose = TRUE) {
  check_call()
  here <- environment()
  check_result(result)
  n_programs <- check_count(n_programs, "n_programs")
  min_count <- check_number(min_count, "min_count", 0)
  settings <- list(
    n_programs = n_programs, n_starts = check_count(n_starts, "n_starts"),
    max_iter = check_count(max_iter, "max_iter"),
    tolerance = check_number(tolerance, "tolerance", 0, above = TRUE),
    seed = check_seed(seed), threads = check_threads(threads)
  )
  test <- check_flag(test, "test")
  verbose <- check_flag(verbose, "verbose")
  check_samples(result, n_programs, .call = here)
  data <- cohort_data(result)
  noise <- count_noise(result, data$counts)
  kept <- program_genes(data, genes, min_count * noise[1L], ncol(data$sources) + n_programs, here)
  reference <- cohort_reference(result, verbose)
  # one count is 1 in every unit
  data$counts <- data$counts / noise[1L]
  data$exposures <- data$exposures / noise[1L]
  cohort <- list(data = data_rows(data, kept), reference = reference_rows(reference, kept),
                 noise = noise / noise[1L], n_types = result$model$n_types)
  shared <- learn_shared(cohort, threads)
  tau2 <- factor_variance(cohort, shared)
  weights <- gene_precision(cohort, shared)
  bar <- progress_bar("Extracting programs", (1 + 2 * test) * n_starts, verbose)
  fit <- call_rs(rs_fit_program, data = cohort$data, weights = weights, tau2 = tau2,
                 settings = settings, progress = bar)
  out <- new_program(fit, cohort, weights)
  if (test) {
    fits <- lapply(halves(cohort$data$counts), function(rows) {
      part <- list(data = data_rows(cohort$data, rows),
                   reference = reference_rows(cohort$reference, rows), noise = cohort$noise)
      found <- call_rs(rs_fit_program, data = part$data, weights = weights[rows],
                       tau2 = tau2[rows], settings = settings,
                       progress = function(done) bar(n_starts + done))
      match_programs(list(rows = rows, part = part, fit = found, weights = weights[rows]),
                     out$loadings)
    })
    out$genes <- program_table(out, cohort, fits, threads)
  }
  out$call <- match.call()
  warn_program(out, here)
  out
}

# Variance of the factors between platforms that is always allowed for: 3 %.
LEAST_TAU2 <- 1e-3
MOST_TAU2 <- 10
# Samples from which on a program can be told.
LEAST_PROGRAM_SAMPLES <- 6L

check_samples <- function(result, n_programs, .call) {
  n <- nrow(result$convergence)
  needed <- LEAST_PROGRAM_SAMPLES + n_programs - 1L
  if (n < needed) {
    stop_user("few_samples", "A program is what varies over samples.",
              x = paste0("The result has ", plural(n, "sample"), "; at least ", needed,
                         " are needed for ", plural(n_programs, "program"), "."), .call = .call)
  }
}

program_genes <- function(data, genes, least, n_least, .call) {
  known <- rownames(data$counts)
  if (!is.null(genes)) {
    if (!is.character(genes) || !any(genes %in% known)) {
      stop_user("argument", "`genes` must name genes of the result.",
                x = paste0("It is ", describe(genes), "; there are ", some_of(known), "."),
                .call = .call)
    }
  }
  kept <- which(rowMeans(data$counts) >= least & rowSums(data$sources) > 0 &
                  (is.null(genes) | known %in% genes))
  if (length(kept) < max(50L, 4L * n_least)) {
    stop_user("too_few_genes", "There are too few genes for a program.",
              x = paste0(plural(length(kept), "gene"), " with at least ", format(least, digits = 3),
                         " counts per sample."), .call = .call)
  }
  kept
}

# Relative variance of a gene's factor: between platforms, and by the error of the
# profiles in the mean of the cohort.
factor_variance <- function(cohort, shared) {
  exposures <- rowSums(cohort$data$exposures)
  mean <- drop(cohort$data$sources %*% exposures)
  own <- shared$counting + shared$between / rep(shared$donors, each = length(mean))
  error <- drop(own %*% exposures^2) / pmax(mean, .Machine$double.xmin)^2
  pmin(pmax(shared$tau2 + error, LEAST_TAU2), MOST_TAU2)
}

# 1 / dispersion: mean over variance of a gene under the mixed model.
gene_precision <- function(cohort, shared) {
  data <- cohort$data
  exposures <- data$exposures * rep(shared$sizes, each = nrow(data$exposures))
  scale <- data$lengths * exp(shared$log_factor)
  mean <- scale * rowMeans(data$sources %*% exposures)
  between <- scale^2 * rowMeans(shared$between %*% exposures^2)
  pmin(1, mean / (shared$noise * mean + between))
}

# Genes in two halves of equal abundance.
halves <- function(counts) {
  place <- rank(rowSums(counts), ties.method = "first")
  list(which(place %% 2 == 1), which(place %% 2 == 0))
}

new_program <- function(fit, cohort, weights) {
  data <- cohort$data
  samples <- colnames(data$counts)
  programs <- paste("Program", seq_len(ncol(fit$programs)))
  # largest first
  sorted <- order(-rowSums(fit$loadings))
  loadings <- fit$loadings[sorted, , drop = FALSE]
  profiles <- fit$programs[, sorted, drop = FALSE]
  dimnames(loadings) <- list(programs, samples)
  dimnames(profiles) <- list(rownames(data$counts), programs)
  exposures <- fit$exposures
  dimnames(exposures) <- dimnames(data$exposures)
  types <- exposures[seq_len(cohort$n_types), , drop = FALSE]
  out <- structure(list(
    programs = profiles, loadings = loadings,
    shares = normalise_columns(rbind(loadings, types))[programs, , drop = FALSE],
    proportions = normalise_columns(types), exposures = exposures,
    factors = stats::setNames(fit$factors, rownames(data$counts)),
    convergence = data.frame(
      objective = utils::tail(fit$trace, 1L), null_objective = fit$null_objective,
      iterations = length(fit$trace), reason = fit$reason, starts = I(list(fit$starts))
    ),
    trace = fit$trace
  ), class = "expression_program")
  mixture <- apply(profiles / out$factors, 2L, closest_mixture, data$sources, cohort$n_types,
                   weights)
  dim(mixture) <- c(ncol(data$sources), ncol(profiles)) # one source: apply() drops it
  colnames(mixture) <- colnames(profiles)
  sources <- normalise_columns(data$sources %*% mixture)
  out$mixture <- mixture[seq_len(cohort$n_types), , drop = FALSE]
  rownames(out$mixture) <- rownames(types)
  out$novelty <- colSums(abs(normalise_columns(profiles / out$factors) - sources)) / 2
  out$consistency <- program_consistency(out, data, weights)
  out
}

# How much what the types leave of a sample looks like the program.
program_consistency <- function(out, data, weights) {
  types <- data$lengths * out$factors * (data$sources %*% out$exposures)
  of_program <- lapply(rownames(out$loadings), function(program) {
    data$lengths * outer(out$programs[, program], out$loadings[program, ])
  })
  all <- Reduce(`+`, of_program)
  scale <- sqrt(weights / pmax(types + all, .Machine$double.xmin))
  cosine <- function(x, y) colSums(x * y) / sqrt(colSums(x^2) * colSums(y^2))
  do.call(rbind, lapply(seq_along(of_program), function(r) {
    own <- of_program[[r]]
    left <- data$counts - types - (all - own)
    agreement <- cosine(scale * left, scale * own)
    program <- rownames(out$loadings)[r]
    data.frame(sample = colnames(data$counts), program = program,
               share = unname(out$shares[program, ]), agreement = unname(agreement))
  }))
}

warn_program <- function(out, .call) {
  if (all(out$shares < 1e-3)) {
    warn_user("no_program", "Nothing is left beside the types that samples share.",
              x = paste0("The largest share of a program is ", format(max(out$shares), digits = 2),
                         "."), .call = .call)
  } else if (out$convergence$reason != "converged") {
    warn_user("not_converged", "The fit of the programs did not converge.",
              x = paste0("It was stopped after ", out$convergence$iterations, " iterations."),
              i = "Raise `max_iter`.", .call = .call)
  }
}
