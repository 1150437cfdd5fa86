#' Latent factors of counts or values
#'
#' Finds the few directions along which genes vary together over cells or samples:
#' principal components with a likelihood. Values of one error size, such as logarithms,
#' have probabilistic principal components; counts have factors of the logarithm of
#' their Poisson, negative binomial or zero-inflated mean, with known covariates of
#' cells and of genes beside them.
#'
#' # Models
#'
#' `"ppca"` (Tipping and Bishop, 1999): with covariates \eqn{c_i} of cell i (an
#' intercept, and what is given) and \eqn{v_g} of gene g,
#' \deqn{x_{gi} = \beta_g c_i + v_g \gamma_i + \alpha_g w_i + e_{gi}, \quad
#'   w_i \sim N(0, I), \quad e_{gi} \sim N(0, \sigma^2).}
#' Its maximum of the likelihood has a closed form in the leading eigenvectors of the
#' covariance; with missing values it is reached by expectation-maximisation.
#'
#' The others model counts with mean \eqn{\mu}, and offsets \eqn{o_i}:
#' \deqn{\log \mu_{gi} = o_i + \beta_g c_i + v_g \gamma_i + \alpha_g w_i.}
#' `"poisson"` has variance \eqn{\mu} (GLM-PCA, Townes et al., 2019),
#' `"negative_binomial"` \eqn{\mu + \mu^2 / \theta_g}, and `"zinb"` (ZINB-WaVE, Risso et
#' al., 2018) adds zeros with probability \eqn{\pi}, whose log odds have coefficients
#' and loadings of their own on the same \eqn{c_i}, \eqn{v_g} and \eqn{w_i}. Maximised
#' is the log-likelihood less
#' \deqn{\tfrac{\lambda}{2} (\|W\|^2 + \|\alpha\|^2) + \tfrac{\kappa}{2} (\|\beta\|^2 +
#' \|\gamma\|^2),}
#' where \eqn{\lambda} is `penalty`, \eqn{\kappa} `covariate_penalty`, and intercepts
#' bear none (0.001 in the log odds). In ZINB-WaVE's terms
#' \eqn{\lambda = \epsilon / \sqrt{GN}}.
#'
#' # Algorithm
#'
#' For counts, Newton steps of all genes and of all cells alternate, each row a problem
#' of its own with few unknowns, and after each round the factors are turned to the
#' equivalent ones with the smallest penalty (a singular value decomposition of
#' \eqn{W\alpha'}). Steps are stretched as in over-relaxation, and made again with every
#' row's own decrease made sure of where the objective has risen: it never rises
#' (`trace`). Zero inflation is met by the curvature of the expected complete data (EM).
#' Time is linear in genes × cells, memory in the counts above 0. A run ends when two
#' rounds running gain less than `tolerance` of the objective. The problem has local
#' optima; starts are the leading directions of Pearson residuals.
#'
#' # Choice of penalty and rank
#'
#' Where `penalty` is `NULL` (but for `"zinb"`, whose default is ZINB-WaVE's
#' \eqn{\epsilon = G}) or `rank` has several numbers or is `NULL`, molecules are held
#' out: a fifth of them by binomial thinning, predicted from the rest. Penalties are
#' tried from 0.0125 to 0.4 times the largest singular value that noise alone would
#' have, about \eqn{\sqrt{\bar n_{cell}} + \sqrt{\bar n_{gene}}} of the mean totals;
#' then ranks at the best penalty, of which the smallest is taken that is within a
#' standard error of the best. This is done on 3,000 cells at most. For `"ppca"` a tenth
#' of the entries is held out, twice. `choice` has the scores. The number of factors
#' that a penalty keeps alive is often below `rank`: `summary()` shows their sizes.
#'
#' @param x Genes × cells (or samples): a matrix, data frame, sparse matrix,
#'   `DelayedMatrix` (read into memory, sparse if it is), `SummarizedExperiment`,
#'   `SingleCellExperiment`, `ExpressionSet` or Seurat object. Raw counts, but for
#'   `"ppca"`.
#' @param rank Number of factors; several, or `NULL`, to choose from.
#' @param model One of the models above.
#' @param batch A group per cell, or the name of a column of the cell data. Every batch
#'   gets an effect on every gene; they are treated alike and sum to 0.
#' @param covariates Of cells: a numeric matrix or data frame with a row per cell
#'   (groups by treatment contrasts), or names of columns of the cell data, or a formula
#'   in them.
#' @param gene_covariates Of genes: a numeric matrix or data frame with a row per gene,
#'   such as lengths or GC content; each gets a coefficient per cell.
#' @param offset For counts: `"total"`, the logarithm of the cells' totals (the default
#'   but for `"zinb"`), `"none"`, or a number per cell on the log scale.
#' @param cell_intercept For counts: estimate a level per cell? By default for `"zinb"`.
#' @param penalty \eqn{\lambda}, from 0 up; higher values shrink factors and leave fewer
#'   of them. `NULL` chooses.
#' @param covariate_penalty \eqn{\kappa}; 1 is a standard deviation of 1 of log fold
#'   changes. With 0, a gene without counts in a group has no finite effect of it.
#' @param dispersion \eqn{\theta} of `"negative_binomial"` and `"zinb"`: `"trend"`, per
#'   gene, shrunk to a line over mean expression by a log-normal prior; `"gene"`,
#'   maximum likelihood; `"common"`; or numbers.
#' @param algorithm For `"ppca"`: `"closed"` form, or `"em"`, which missing values need.
#'   Both reach the same maximum.
#' @param scale For `"ppca"`: divide genes by their standard deviations?
#' @param na For `"ppca"`: `"missing"` fits the values that are there, `"refuse"` stops.
#' @param n_features Fit only so many genes, those with the largest variance (for
#'   counts, of log1p at equal totals).
#' @param assay For objects with several: the assay to read. By default `"counts"`, for
#'   `"ppca"` `"logcounts"` (Seurat: layer `data`) if there is one.
#' @param max_iter Rounds, or iterations of EM, at most.
#' @param tolerance Relative gain per round below which a fit ends; for EM of the
#'   log-likelihood. Lower values take longer and come closer to the optimum.
#' @param seed A whole number: start, choice and thinning depend on it. `NULL` takes one
#'   from R's stream.
#' @param keep_x Keep `x` (no copy is made), which `weights()` needs?
#' @param verbose Show progress?
#' @param threads Threads to use. The answer does not depend on it, to the bit.
#' @return An object of class [latent_factors][latent_factors_methods].
#' @section Errors: `unalloy_error_negative_values`, `unalloy_error_not_counts`,
#'   `unalloy_error_missing_values`, `unalloy_error_infinite_values`,
#'   `unalloy_error_empty_cells` and `unalloy_error_constant_genes` for data without a
#'   fit; `unalloy_error_rank`, `unalloy_error_one_batch`, `unalloy_error_confounded`
#'   and `unalloy_error_argument` for arguments. Warning:
#'   `unalloy_warning_not_converged`.
#' @references Risso et al. (2018) Nature Communications 9:284. Tipping, Bishop (1999)
#'   J. R. Stat. Soc. B 61:611. Townes et al. (2019) Genome Biology 20:295.
#' @seealso [nmf()] for non-negative factors, [compare_factorisations()],
#'   [as_reduction()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 2, cells_per_type = 30, seed = 1)
#' counts <- sim$reference[Matrix::rowSums(sim$reference) > 0, ]
#' fit <- latent_factors(counts, rank = 2, model = "poisson", penalty = 5, seed = 1)
#' fit
#' plot(fit, colour = sim$cells$cell_type)
latent_factors <- function(x, rank = NULL,
                           model = c("ppca", "poisson", "negative_binomial", "zinb"),
                           batch = NULL, covariates = NULL, gene_covariates = NULL, offset = NULL,
                           cell_intercept = NULL, penalty = NULL, covariate_penalty = 1,
                           dispersion = "trend", algorithm = c("closed", "em"), scale = FALSE,
                           na = c("refuse", "missing"), n_features = NULL, assay = NULL,
                           max_iter = NULL, tolerance = NULL, seed = 1, keep_x = TRUE,
                           verbose = TRUE, threads = getOption("unalloy.threads", 2L)) {
  check_call()
  call <- match.call()
  model <- check_choice(model, FACTOR_MODELS, "model")
  counted <- model != "ppca"
  algorithm <- check_choice(algorithm, c("closed", "em"), "algorithm")
  na <- check_choice(na, c("refuse", "missing"), "na")
  refuse_unfit(model, counted, call)
  data <- cell_data(x)
  x <- factor_input(x, assay, counted)
  if (counted) check_factor_counts(x)
  x <- variable_features(x, n_features, counted)
  if (counted) check_no_empty(x)
  rank <- factor_ranks(rank, x, counted)
  cell_intercept <- check_flag(cell_intercept %||% (model == "zinb"), "cell_intercept")
  design <- factor_design(batch, covariates, gene_covariates, cell_intercept, data, dim(x))
  max_iter <- check_count(max_iter %||% if (counted) 100 else 1000, "max_iter")
  tolerance <- check_number(tolerance %||% if (counted) 1e-6 else 1e-9, "tolerance", min = 0)
  given <- list(max_iter = max_iter, tolerance = tolerance, seed = check_seed(seed),
                threads = check_threads(threads))
  verbose <- check_flag(verbose, "verbose")
  if (counted) {
    offsets <- factor_offset(offset, x, if (model == "zinb") "none" else "total")
    if (!is.null(penalty)) penalty <- check_number(penalty, "penalty", min = 0)
    covariate_penalty <- check_number(covariate_penalty, "covariate_penalty", min = 0)
    given <- c(given, factor_dispersion(dispersion, nrow(x), model),
               list(offset = offsets, of_cells = design$of_cells, of_genes = design$of_genes,
                    model = model, covariate_penalty = covariate_penalty))
    fitted <- fit_counts(x, list(rank = rank, penalty = penalty), given, verbose)
  } else {
    missing <- check_factor_values(x, na)
    scales <- gene_scale(x, scale)
    settings <- list(rank = rank, algorithm = algorithm, missing = missing, scale = scales)
    fitted <- fit_ppca(x, settings, design, given, verbose)
  }
  fit <- new_latent_factors(fitted, x, model, design)
  fit$offset <- if (counted) given$offset
  fit$scale <- if (!counted) scales
  fit$covariate_penalty <- if (counted) covariate_penalty
  fit$settings <- given[c("max_iter", "tolerance", "seed")]
  fit$settings$offset <- if (counted) {
    if (is.numeric(offset)) "given" else offset %||% (if (model == "zinb") "none" else "total")
  }
  fit$x <- if (check_flag(keep_x, "keep_x")) x
  fit$sample_data <- data
  fit$call <- call
  if (!fit$converged) {
    warn_user("not_converged", paste0("The fit is not converged after ",
                                      plural(max_iter, if (counted) "round" else "iteration"), "."),
              i = "Raise `max_iter`, or look at `plot(fit, \"trace\")`: the rest may be small.")
  }
  fit
}

# Arguments that the model does not have.
refuse_unfit <- function(model, counted, call, .call = caller_env()) {
  others <- if (counted) c("algorithm", "scale", "na") else
    c("offset", "cell_intercept", "penalty", "covariate_penalty", "dispersion")
  if (model == "poisson") others <- c(others, "dispersion")
  given <- intersect(names(call), others)
  if (length(given)) {
    stop_user("argument", paste0("Model \"", model, "\" has no ", some_of(given, 6L), "."),
              .call = .call)
  }
}

factor_ranks <- function(rank, x, counted, .call = caller_env()) {
  if (is.null(rank)) return(NULL)
  ok <- is.numeric(rank) && length(rank) && !anyNA(rank) && all(rank == round(rank)) &&
    all(rank >= if (counted) 0 else 1)
  if (!ok) {
    stop_user("rank", "`rank` must be whole numbers.",
              x = paste0("It is ", describe(rank), "."), .call = .call)
  }
  if (max(rank) > min(dim(x))) {
    stop_user("rank", "`rank` must not exceed the number of genes or cells.",
              x = paste0("It is ", max(rank), "; there are ", plural(nrow(x), "gene"), " and ",
                         plural(ncol(x), "cell"), "."), .call = .call)
  }
  sort(unique(as.integer(rank)))
}
