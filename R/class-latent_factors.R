# What latent_factors() returns, and how it is read.

#' The result of `latent_factors()`
#'
#' @details A list:
#' \describe{
#'   \item{`coef`}{Factors × cells: \eqn{w}. Factors stand in the order of their size.
#'     Of `"ppca"` the posterior means.}
#'   \item{`basis`}{Genes × factors: the loadings \eqn{\alpha}. The largest entry of
#'     each is positive.}
#'   \item{`rank`, `model`, `penalty`, `covariate_penalty`}{What was fitted.}
#'   \item{`gene_coefficients`, `cell_coefficients`}{\eqn{\beta}, genes × covariates of
#'     cells, and \eqn{\gamma}, cells × covariates of genes.}
#'   \item{`odds`}{Of `"zinb"`: a list of `basis`, `gene_coefficients` and
#'     `cell_coefficients` of the log odds of a structural zero.}
#'   \item{`dispersion`}{\eqn{\theta} per gene.}
#'   \item{`variance`, `total_variance`, `scale`}{Of `"ppca"`: \eqn{\sigma^2}; the mean
#'     squared length of a cell's deviation from what covariates say; what genes were
#'     divided by. Loadings are in scaled units.}
#'   \item{`design`}{Covariates as they entered: `of_cells`, `of_genes`, and their names
#'     and levels.}
#'   \item{`offset`}{Per cell.}
#'   \item{`log_likelihood`}{At the end: for counts given the factors and without
#'     penalties; for `"ppca"` with the factors integrated out.}
#'   \item{`trace`}{Data frame: `iteration`, `objective`, which for counts (negative
#'     log-likelihood and penalties) does not rise, and for EM (the log-likelihood) does
#'     not fall.}
#'   \item{`converged`}{Did the fit end by its tolerance?}
#'   \item{`choice`}{Data frame of what was tried: `rank`, `penalty`, `score` (mean
#'     log-probability of a held-out molecule, in nats; for `"ppca"` minus the mean
#'     squared error of held-out entries), `error` (standard error of the difference to
#'     the best; for `"ppca"` of the score), `chosen`.}
#'   \item{`x`, `settings`, `call`}{The data, unless `keep_x = FALSE`, and how they were
#'     fitted.}
#' }
#'
#' @param object,x A `latent_factors` fit.
#' @param newdata New cells, in any form that [latent_factors()] takes. Genes are
#'   matched by name; up to one in twenty may be missing, and is left out.
#' @param type For `predict()`: `"factors"`, or as for `fitted()`: `"response"` (means;
#'   for `"zinb"` with structural zeros), `"link"` (\eqn{\log \mu}), `"proportion"`
#'   (shares of genes in the expected counts of a cell). For `"ppca"` only `"response"`.
#' @param batch,covariates Of the new cells, as in the fit.
#' @param offset Of the new cells, where the fit was given numbers.
#' @param assay As in [latent_factors()].
#' @param threads Threads to use.
#' @param cells Cells to return, by name or number; all by default. What is returned is
#'   dense.
#' @param nsim Number of data sets to draw.
#' @param seed A whole number; `NULL` takes one from R's stream.
#' @param data The data, when the fit was told not to keep them.
#' @param n Genes to name per factor and sign.
#' @param digits Significant digits.
#' @param ... Not used; for agreement with the generics.
#' @return `coef()`, `basis()`, `fitted()`, `predict()`: matrices. `logLik()`: with
#'   degrees of freedom, which for counts include the factors of the cells and take no
#'   notice of penalties. `simulate()`: a list of matrices, drawn about the fitted means
#'   given the factors. `weights()`: genes × cells, for `"zinb"`: the posterior
#'   probability that an entry is no structural zero, 1 for counts above 0 (what
#'   differential expression with zero inflation takes as weights, Van den Berge et al.,
#'   2018). `summary()`: a data frame with a row per factor: `factor`, `size` (standard
#'   deviation over all entries of what it adds), `share` (of the squares of all
#'   factors), `top` and `bottom` genes.
#' @section Errors: `unalloy_error_features` when new data lack genes,
#'   `unalloy_error_covariates` when they lack covariates, or have unknown batches or
#'   groups, `unalloy_error_missing_data`, `unalloy_error_argument`.
#' @references Van den Berge et al. (2018) Genome Biology 19:24.
#' @name latent_factors_methods
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 2, cells_per_type = 30, seed = 1)
#' counts <- sim$reference[Matrix::rowSums(sim$reference) > 0, ]
#' fit <- latent_factors(counts, rank = 2, model = "poisson", penalty = 5, seed = 1)
#' summary(fit)
#' predict(fit, counts[, 1:3])
#' simulate(fit, seed = 1)[[1]][1:3, 1:3]
NULL

new_latent_factors <- function(fitted, x, model, design) {
  counted <- model != "ppca"
  first <- if (counted) fitted$parts[[1L]] else fitted
  factors <- paste0("factor", seq_len(fitted$rank), recycle0 = TRUE)
  genes <- rownames(x)
  cells <- colnames(x)
  named <- function(values, rows, columns) {
    dimnames(values) <- list(rows, columns)
    values
  }
  part <- function(of) {
    list(basis = named(of$loadings, genes, factors),
         gene_coefficients = named(of$of_cells, genes, colnames(design$of_cells)),
         cell_coefficients = named(of$of_genes, cells, colnames(design$of_genes)))
  }
  out <- part(first)
  trace <- data.frame(iteration = seq_along(fitted$trace) - 1L, objective = fitted$trace)
  structure(list(
    coef = named(t(first$scores), factors, cells), basis = out$basis, rank = fitted$rank,
    model = model, penalty = fitted$penalty, gene_coefficients = out$gene_coefficients,
    cell_coefficients = out$cell_coefficients,
    odds = if (model == "zinb") part(fitted$parts[[2L]]),
    dispersion = if (model %in% c("negative_binomial", "zinb")) {
      stats::setNames(fitted$theta, genes)
    },
    variance = fitted$variance, total_variance = if (!counted) fitted$total, design = design,
    log_likelihood = fitted$log_likelihood, trace = trace, converged = fitted$converged,
    choice = fitted$choice
  ), class = "latent_factors")
}

#' @rdname latent_factors_methods
#' @export
coef.latent_factors <- function(object, ...) {
  refuse_dots(...)
  object$coef
}

#' @rdname latent_factors_methods
#' @export
basis.latent_factors <- function(object, ...) {  # nolint: object_name_linter.
  refuse_dots(...)
  object$basis
}

#' @rdname latent_factors_methods
#' @export
nbasis.latent_factors <- function(x, ...) {  # nolint: object_name_linter.
  refuse_dots(...)
  x$rank
}

#' @rdname latent_factors_methods
#' @export
dim.latent_factors <- function(x) c(nrow(x$basis), ncol(x$coef), x$rank)

#' @rdname latent_factors_methods
#' @export
fitted.latent_factors <- function(object, cells = NULL,
                                  type = c("response", "link", "proportion"), ...) {
  refuse_dots(...)
  type <- fitted_type(object, type)
  at <- factor_cells(cells, object)
  fitted_values(object, list(
    coef = object$coef[, at, drop = FALSE], of_cells = object$design$of_cells[at, , drop = FALSE],
    cell_coefficients = object$cell_coefficients[at, , drop = FALSE], offset = object$offset[at],
    odds_coefficients = object$odds$cell_coefficients[at, , drop = FALSE]
  ), type)
}

fitted_type <- function(fit, type, .call = caller_env()) {
  type <- check_choice(type, c("response", "link", "proportion"), "type", .call = .call)
  if (fit$model == "ppca" && type != "response") {
    stop_user("argument", "Model \"ppca\" has fitted values of type \"response\" only.",
              x = paste0("Asked for \"", type, "\"."), .call = .call)
  }
  type
}

# Genes x cells, from what cells have: factors, covariates, coefficients, offsets.
fitted_values <- function(fit, of, type) {
  eta <- predictor_of(fit, of)
  if (fit$model == "ppca") return(eta * fit$scale)
  if (type == "link") return(eta)
  mean <- exp(eta)
  if (fit$model == "zinb") mean <- mean * (1 - structural_zeros(fit, of))
  if (type == "proportion") sweep(mean, 2L, colSums(mean), "/") else mean
}

predictor_of <- function(fit, of) {
  eta <- fit$basis %*% of$coef + tcrossprod(fit$gene_coefficients, of$of_cells) +
    tcrossprod(fit$design$of_genes, of$cell_coefficients)
  if (is.null(of$offset)) eta else eta + rep(of$offset, each = nrow(eta))
}

# P(structural zero), genes x cells, whatever the count.
structural_zeros <- function(fit, of) {
  stats::plogis(fit$odds$basis %*% of$coef + tcrossprod(fit$odds$gene_coefficients, of$of_cells) +
                  tcrossprod(fit$design$of_genes, of$odds_coefficients))
}

factor_cells <- function(cells, fit, .call = caller_env()) {
  n <- ncol(fit$coef)
  if (is.null(cells)) return(seq_len(n))
  at <- if (is.character(cells)) match(cells, colnames(fit$coef)) else cells
  if (is.logical(at) && length(at) == n) at <- which(at)
  if (!is.numeric(at) || anyNA(at) || !all(at %in% seq_len(n))) {
    unknown <- if (is.character(cells)) some_of(cells[is.na(at)]) else describe(cells)
    stop_user("argument", "`cells` must be names or numbers of cells in the fit.",
              x = paste0("Given: ", unknown, "."), .call = .call)
  }
  at
}

#' @rdname latent_factors_methods
#' @export
predict.latent_factors <- function(object, newdata = NULL,
                                   type = c("factors", "response", "link", "proportion"),
                                   batch = NULL, covariates = NULL, offset = NULL, assay = NULL,
                                   threads = getOption("unalloy.threads", 2L), ...) {
  refuse_dots(...)
  type <- check_choice(type, c("factors", "response", "link", "proportion"), "type")
  if (type != "factors") type <- fitted_type(object, type)
  if (is.null(newdata)) {
    if (type == "factors") return(object$coef)
    return(fitted(object, type = type))
  }
  found <- projected_cells(object, newdata, batch, covariates, offset, assay,
                           check_threads(threads))
  if (type == "factors") found$coef else fitted_values(object, found, type)
}

# Factors of new cells, and all else that their fitted values need.
projected_cells <- function(fit, newdata, batch, covariates, offset, assay, threads,
                            .call = caller_env()) {
  counted <- fit$model != "ppca"
  data <- cell_data(newdata)
  x <- factor_input(newdata, assay, counted, .call = .call)
  if (counted) check_factor_counts(x, .call = .call)
  at <- matched_genes(rownames(fit$basis), nrow(fit$basis), x, .call)
  kept <- !is.na(at)
  x <- x[at[kept], , drop = FALSE]
  design <- new_design(fit, batch, covariates, data, ncol(x), .call = .call)
  of_genes <- fit$design$of_genes[kept, , drop = FALSE]
  given <- list(of_cells = design, of_genes = of_genes, threads = threads)
  factors <- list(rownames(fit$coef), colnames(x))
  out <- list(of_cells = design)
  if (counted) {
    empty <- which(Matrix::colSums(x) == 0)
    if (length(empty)) {
      stop_user("empty_cells", "Every new cell needs counts in the genes of the fit.",
                x = paste0("None in ", some_of(colnames(x)[empty] %||% empty), "."), .call = .call)
    }
    out$offset <- new_offset(fit, x, kept, offset, .call)
    part <- function(of) {
      list(loadings = of$basis[kept, , drop = FALSE],
           of_cells = of$gene_coefficients[kept, , drop = FALSE])
    }
    parts <- call_rs(
      rs_project_factors, x = x, offset = out$offset, model = fit$model, rank = fit$rank,
      parts = lapply(c(list(fit), if (!is.null(fit$odds)) list(fit$odds)), part),
      penalty = fit$penalty, covariate_penalty = fit$covariate_penalty, dispersion = "fixed",
      theta = as.double(fit$dispersion[kept]) %||% numeric(), max_iter = 200, tolerance = 1e-10,
      seed = 0, .given = given, .call = .call
    )
    out$coef <- t(parts[[1L]]$scores)
    out$cell_coefficients <- parts[[1L]]$of_genes
    out$odds_coefficients <- if (fit$model == "zinb") parts[[2L]]$of_genes
  } else {
    check_factor_values(x, "missing", fitting = FALSE, .call = .call)
    found <- call_rs(
      rs_ppca_scores, x = as.matrix(x) / fit$scale[kept],
      loadings = fit$basis[kept, , drop = FALSE],
      coefficients = fit$gene_coefficients[kept, , drop = FALSE], variance = fit$variance,
      .given = given, .call = .call
    )
    out$coef <- t(found$scores)
    turn <- if (ncol(of_genes)) solve(crossprod(of_genes), crossprod(of_genes, found$basis)) else
      matrix(0, 0L, 0L)
    out$cell_coefficients <- found$of_genes %*% t(turn)
  }
  dimnames(out$coef) <- factors
  out
}

new_offset <- function(fit, x, kept, offset, .call) {
  how <- fit$settings$offset
  if (how == "given") {
    if (is.null(offset)) {
      stop_user("argument", "New cells need `offset`, as the fit was given one.", .call = .call)
    }
    return(factor_offset(offset, x, "none", .call = .call))
  }
  if (!is.null(offset)) {
    stop_user("argument", paste0("The fit has offsets of its own: \"", how, "\"."), .call = .call)
  }
  if (how == "none") return(rep(0, ncol(x)))
  # genes that are not there would have had their share of the total
  level <- exp(fit$gene_coefficients[, 1L])
  log(Matrix::colSums(x)) + log(sum(level) / sum(level[kept]))
}

#' @rdname latent_factors_methods
#' @export
simulate.latent_factors <- function(object, nsim = 1,  # nolint: object_name_linter.
                                    seed = NULL, ...) {
  refuse_dots(...)
  nsim <- check_count(nsim, "nsim")
  seed <- check_seed(seed)
  n <- ncol(object$coef)
  noise <- switch(object$model, ppca = "normal", poisson = "poisson", "negative_binomial")
  spread <- switch(object$model, ppca = sqrt(object$variance) * object$scale, poisson = numeric(),
                   as.double(object$dispersion))
  of <- list(coef = object$coef, of_cells = object$design$of_cells, offset = object$offset,
             cell_coefficients = object$cell_coefficients,
             odds_coefficients = object$odds$cell_coefficients)
  means <- if (object$model == "ppca") fitted(object) else exp(predictor_of(object, of))
  structural <- if (object$model == "zinb") structural_zeros(object, of)
  draws <- lapply(seq_len(nsim), function(draw) {
    out <- call_rs(rs_draw_factors, means = unname(means), noise = noise, spread = spread,
                   structural = structural, seed = seed, first = (draw - 1) * n)
    dimnames(out) <- list(rownames(object$basis), colnames(object$coef))
    out
  })
  stats::setNames(draws, paste0("sim_", seq_len(nsim)))
}

#' @rdname latent_factors_methods
#' @export
weights.latent_factors <- function(object, cells = NULL,  # nolint: object_name_linter.
                                   data = NULL, ...) {
  refuse_dots(...)
  if (object$model != "zinb") {
    stop_user("argument", "Only model \"zinb\" weights its observations.",
              x = paste0("The model is \"", object$model, "\"."))
  }
  at <- factor_cells(cells, object)
  counts <- as.matrix(data_of(object, data)[, at, drop = FALSE])
  of <- list(coef = object$coef[, at, drop = FALSE],
             of_cells = object$design$of_cells[at, , drop = FALSE], offset = object$offset[at],
             cell_coefficients = object$cell_coefficients[at, , drop = FALSE],
             odds_coefficients = object$odds$cell_coefficients[at, , drop = FALSE])
  structural <- structural_zeros(object, of)
  sampled <- (1 - structural) * (1 + exp(predictor_of(object, of)) / object$dispersion)^
    -object$dispersion
  out <- ifelse(counts > 0, 1, sampled / (structural + sampled))
  dimnames(out) <- list(rownames(object$basis), colnames(object$coef)[at])
  out
}

#' @rdname latent_factors_methods
#' @export
logLik.latent_factors <- function(object, ...) {
  refuse_dots(...)
  genes <- nrow(object$basis)
  cells <- ncol(object$coef)
  k <- object$rank
  p <- ncol(object$design$of_cells)
  q <- ncol(object$design$of_genes)
  df <- if (object$model == "ppca") {
    # W up to a rotation; the projection takes q dimensions
    genes * p + (genes - q) * k - k * (k - 1) / 2 + 1
  } else {
    of_mean <- genes * (p + k) + cells * (q + k) - k^2
    of_odds <- if (object$model == "zinb") genes * (p + k) + cells * q else 0
    of_mean + of_odds + length(unique(object$dispersion))
  }
  observed <- genes * cells - if (is.null(object$x)) 0 else n_missing(object$x)
  structure(object$log_likelihood, df = df, nobs = observed, class = "logLik")
}

#' @rdname latent_factors_methods
#' @export
summary.latent_factors <- function(object, n = 5, ...) {
  refuse_dots(...)
  n <- check_count(n, "n")
  genes <- rownames(object$basis) %||% as.character(seq_len(nrow(object$basis)))
  squares <- factor_squares(object)
  extreme <- function(sign) {
    vapply(seq_len(object$rank), function(k) {
      values <- sign * object$basis[, k]
      kept <- utils::head(order(values, decreasing = TRUE), n)
      paste(genes[kept[values[kept] > 0]], collapse = ", ")
    }, "")
  }
  data.frame(factor = colnames(object$basis), size = sqrt(squares),
             share = squares / max(sum(squares), .Machine$double.xmin),
             top = extreme(1), bottom = extreme(-1))
}

# Mean square over entries of what each factor adds. Those of "ppca" have prior variance 1.
factor_squares <- function(fit) {
  of_cells <- if (fit$model == "ppca") 1 else rowMeans(fit$coef^2)
  unname(colMeans(fit$basis^2) * of_cells)
}

#' @rdname latent_factors_methods
#' @export
print.latent_factors <- function(x, digits = 3, ...) {
  refuse_dots(...)
  cat("Latent factors of ", plural(nrow(x$basis), "gene"), " x ", plural(ncol(x$coef), "cell"),
      ", rank ", x$rank, " (model \"", x$model, "\")\n", sep = "")
  covariates <- setdiff(c(colnames(x$design$of_cells), colnames(x$design$of_genes)), "(Intercept)")
  if (length(covariates)) cat("Covariates: ", paste(covariates, collapse = ", "), "\n", sep = "")
  cat("Log-likelihood ", format(x$log_likelihood, digits = 8, big.mark = ","), sep = "")
  if (x$model == "ppca") {
    cat(", noise variance ", format(x$variance, digits = digits), "; factors have ",
        percent_text(1 - x$variance * (nrow(x$basis) - ncol(x$design$of_genes)) / x$total_variance),
        " of the variance", sep = "")
  } else {
    cat(", penalty ", format(x$penalty, digits = digits), sep = "")
  }
  cat("\n", if (x$converged) "Converged" else "NOT converged", " after ",
      plural(nrow(x$trace) - 1L, if (x$model == "ppca") "iteration" else "round"), "\n", sep = "")
  if (!is.null(x$choice)) {
    cat("Chosen from ", plural(nrow(x$choice), "candidate"), " by held-out ",
        if (x$model == "ppca") "entries" else "molecules", "\n", sep = "")
  }
  if (x$rank) {
    size <- sqrt(factor_squares(x))
    cat("Sizes: ", paste(format(size, digits = digits), collapse = ", "), "\n", sep = "")
    dead <- sum(size < 1e-6 * size[1L])
    if (dead) cat(plural(dead, "factor"), " emptied by the penalty\n")
  }
  cat("Parts: coef(), basis(), fitted(), predict(), summary(), plot(), as_reduction()\n")
  invisible(x)
}
