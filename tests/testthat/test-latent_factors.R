test_that("planted factors are recovered", {
  scores <- scale(cells$scores, scale = FALSE)
  expect_gt(same_space(t(coef(cells_fit)), scores), 0.97)
  expect_gt(same_space(basis(cells_fit), cells$loadings), 0.95)
  # the objective never rises
  expect_lte(max(diff(cells_fit$trace$objective)), 0)
  expect_true(cells_fit$converged)
})

test_that("without factors the Poisson fit is that of glm()", {
  group <- rep(c(0, 1, 1), 30)
  fit <- factors_of(cells$x, 0, "poisson", covariates = cbind(group = group),
                    covariate_penalty = 0, tolerance = 1e-14)
  offset <- log(colSums(cells$x))
  for (gene in c(1, 5, 30)) {
    peer <- glm(cells$x[gene, ] ~ group + offset(offset), family = poisson(),
                control = list(epsilon = 1e-14))
    expect_equal(unname(fit$gene_coefficients[gene, ]), unname(coef(peer)), tolerance = 1e-8)
  }
  expect_equal(as.numeric(logLik(fit)), sum(dpois(cells$x, fitted(fit), log = TRUE)),
               tolerance = 1e-10)
})

test_that("dispersions by maximum likelihood are those of MASS::glm.nb()", {
  skip_if_not_installed("MASS")
  # offsets that the counts do not make: with a few genes' totals one gene would make them, be
  # less variable than Poisson given them, and glm.nb() would not find its maximum
  offset <- withr::with_seed(1, rnorm(200, sd = 0.4))
  means <- exp(outer(c(-0.5, 0, 0.5, 1, 1.5, 2), offset, `+`))
  counts <- withr::with_seed(2, matrix(rnbinom(length(means), size = 1.5, mu = means), 6))
  filled <- colSums(counts) > 0
  counts <- counts[, filled]
  offset <- offset[filled]
  fit <- factors_of(counts, 0, "negative_binomial", dispersion = "gene", offset = offset,
                    tolerance = 1e-14, max_iter = 500)
  found <- rowSums(dnbinom(counts, size = fit$dispersion, mu = fitted(fit), log = TRUE))
  expect_equal(as.numeric(logLik(fit)), sum(found), tolerance = 1e-10)
  for (gene in seq_len(nrow(counts))) {
    peer <- MASS::glm.nb(counts[gene, ] ~ 1 + offset(offset),
                         control = glm.control(epsilon = 1e-12, maxit = 100))
    # glm.nb() ends the search for theta at a step of 1.2e-4
    expect_equal(unname(fit$dispersion[gene]), peer$theta, tolerance = 1e-3)
    expect_equal(unname(fit$gene_coefficients[gene, 1]), unname(coef(peer)), tolerance = 1e-5)
    expect_gte(found[gene], as.numeric(logLik(peer)) - 1e-8)
  }
})

test_that("the likelihood of zero-inflated counts is that of the mixture", {
  counts <- planted_cells(theta = 3, zeros = 0.3)$x
  fit <- factors_of(counts, 2, "zinb", dispersion = "common", max_iter = 300)
  at <- list(coef = fit$coef, of_cells = fit$design$of_cells,
             cell_coefficients = fit$cell_coefficients, offset = fit$offset,
             odds_coefficients = fit$odds$cell_coefficients)
  pi <- unalloy:::structural_zeros(fit, at)
  counted <- (1 - pi) * dnbinom(counts, size = fit$dispersion, mu = fitted(fit, type = "response") /
                                  (1 - pi))
  expect_equal(as.numeric(logLik(fit)), sum(log(counted + pi * (counts == 0))), tolerance = 1e-8)
  # three tenths were set to zero
  expect_gt(mean(pi), 0.2)
  expect_lt(mean(pi), 0.4)
  weight <- weights(fit)
  expect_true(all(weight[counts > 0] == 1))
  expect_equal(weight[counts == 0], (1 - pi / (counted + pi))[counts == 0], tolerance = 1e-8)
})

test_that("sparse, dense, integer, delayed and wrapped counts have the same factors", {
  sparse <- Matrix::Matrix(cells$x, sparse = TRUE)
  whole <- cells$x
  storage.mode(whole) <- "integer"
  expect_identical(coef(factors_of(sparse, 2, "poisson", penalty = 1)), coef(cells_fit))
  expect_identical(coef(factors_of(whole, 2, "poisson", penalty = 1)), coef(cells_fit))
  skip_if_not_installed("SummarizedExperiment")
  skip_if_not_installed("DelayedArray")
  delayed <- DelayedArray::DelayedArray(sparse)
  expect_identical(coef(factors_of(delayed, 2, "poisson", penalty = 1)), coef(cells_fit))
  se <- SummarizedExperiment::SummarizedExperiment(
    list(counts = delayed), colData = S4Vectors::DataFrame(group = paste0("g", cells$group))
  )
  expect_identical(coef(factors_of(se, 2, "poisson", penalty = 1)), coef(cells_fit))
  by_name <- factors_of(se, 1, "poisson", penalty = 1, batch = "group")
  by_value <- factors_of(sparse, 1, "poisson", penalty = 1, batch = cells$group)
  expect_equal(coef(by_name), coef(by_value))
  filled <- add_to(se, cells_fit, prefix = "f_")
  expect_equal(filled$f_factor1, unname(coef(cells_fit)[1, ]))
})

test_that("the number of threads does not change a bit", {
  for (model in c("poisson", "zinb")) {
    one <- factors_of(cells$x, 2, model, penalty = 1, max_iter = 5) |> suppressWarnings()
    two <- latent_factors(cells$x, 2, model, penalty = 1, max_iter = 5, verbose = FALSE,
                          threads = 3) |> suppressWarnings()
    expect_identical(one$coef, two$coef)
    expect_identical(one$trace, two$trace)
  }
})

test_that("covariates of genes get a coefficient per cell", {
  content <- withr::with_seed(6, rnorm(nrow(cells$x)))
  slope <- withr::with_seed(7, rnorm(ncol(cells$x), sd = 0.3))
  counts <- withr::with_seed(8, matrix(rpois(length(cells$x), 20 * exp(outer(content, slope))),
                                       nrow(cells$x)))
  fit <- factors_of(counts, 0, "poisson", gene_covariates = cbind(gc = content),
                    covariate_penalty = 0)
  expect_gt(cor(fit$cell_coefficients[, "gc"], slope), 0.95)
})

test_that("a batch is taken out, and all its levels are treated alike", {
  batch <- rep(c("a", "b", "c"), each = 30)
  shift <- withr::with_seed(4, matrix(rnorm(3 * nrow(cells$x)), ncol = 3))
  counts <- withr::with_seed(5, matrix(rpois(
    length(cells$x), (cells$x + 0.5) * exp(shift[, rep(1:3, each = 30)])
  ), nrow(cells$x), dimnames = dimnames(cells$x)))
  counts <- counts[rowSums(counts) > 0, ]
  between <- function(fit) {
    means <- rowsum(t(coef(fit)), batch) / 30
    sum(30 * sweep(means, 2, rowMeans(coef(fit)))^2) / sum((coef(fit) - rowMeans(coef(fit)))^2)
  }
  centred <- function(x) scale(x, scale = FALSE)
  levels <- centred(diag(3)[rep(1:3, each = 30), 1:2])
  # three batches differ along two directions: of four factors two hold them, two what was planted
  without <- t(coef(factors_of(counts, 4, "poisson", penalty = 1)))
  expect_gt(same_space(levels, centred(without)), 0.95)
  with_it <- factors_of(counts, 2, "poisson", penalty = 1, batch = batch)
  expect_lt(between(with_it), 0.05)
  expect_gt(same_space(centred(cells$scores), centred(t(coef(with_it)))), 0.95)
  named <- c(a = "c", b = "a", c = "b")[batch]
  turned <- factors_of(counts, 2, "poisson", penalty = 1, batch = unname(named))
  expect_equal(fitted(turned), fitted(with_it), tolerance = 1e-2)
})

test_that("new cells are found where the same cells were", {
  again <- predict(cells_fit, cells$x[, 1:6])
  # the fit ends by its tolerance, the projection at the optimum
  expect_equal(again, coef(cells_fit)[, 1:6], tolerance = 5e-3)
  # genes in another order, among others
  mixed <- rbind(other = 1, cells$x[rev(seq_len(nrow(cells$x))), 1:6])
  expect_equal(predict(cells_fit, mixed), again)
  few <- predict(cells_fit, cells$x[-(1:2), 1:6])
  expect_gt(cor(as.vector(few), as.vector(again)), 0.99)
  means <- predict(cells_fit, cells$x[, 1:6], type = "response")
  expect_equal(means, fitted(cells_fit, 1:6), tolerance = 1e-2)
  expect_equal(unname(colSums(predict(cells_fit, cells$x[, 1:6], type = "proportion"))), rep(1, 6))
})

test_that("a penalty and a rank are chosen by held-out molecules", {
  chosen <- factors_of(cells$x, c(1, 2, 4), "poisson")
  table <- chosen$choice
  expect_identical(sum(table$chosen), 1L)
  expect_identical(chosen$rank, table$rank[table$chosen])
  expect_gte(chosen$rank, 2)
  expect_equal(chosen$penalty, table$penalty[table$chosen])
  best <- max(table$score)
  expect_gt(best, table$score[table$rank == 1])
})

test_that("probabilistic components are those of the covariance", {
  x <- log1p(cells$x)
  fit <- factors_of(x, 3)
  n <- ncol(x)
  spectrum <- eigen(tcrossprod(x - rowMeans(x)) / n)
  variance <- mean(spectrum$values[-(1:3)])
  expect_equal(fit$variance, variance, tolerance = 1e-10)
  expect_equal(unname(colSums(basis(fit)^2)), spectrum$values[1:3] - variance, tolerance = 1e-10)
  expect_equal(same_space(basis(fit), spectrum$vectors[, 1:3]), 1, tolerance = 1e-10)
  # the density, by its definition
  covariance <- tcrossprod(basis(fit)) + diag(variance, nrow(x))
  left <- x - rowMeans(x)
  value <- -0.5 * (n * nrow(x) * log(2 * pi) + n * as.numeric(determinant(covariance)$modulus) +
                     sum(left * solve(covariance, left)))
  expect_equal(as.numeric(logLik(fit)), value, tolerance = 1e-10)
  em <- factors_of(x, 3, algorithm = "em", tolerance = 1e-14, max_iter = 5000)
  expect_equal(em$log_likelihood, fit$log_likelihood, tolerance = 1e-8)
  expect_equal(fitted(em), fitted(fit), tolerance = 1e-4)
})

test_that("missing values are left out, and the likelihood rises", {
  x <- log1p(cells$x)
  holes <- withr::with_seed(2, sample(length(x), 0.1 * length(x)))
  y <- x
  y[holes] <- NA
  fit <- factors_of(y, 2, na = "missing")
  expect_gte(min(diff(fit$trace$objective)), -1e-6)
  error <- mean((fitted(fit)[holes] - x[holes])^2)
  means <- rowMeans(y, na.rm = TRUE)[row(x)[holes]]
  expect_lt(error, 0.5 * mean((means - x[holes])^2))
  # a cell with missing values among new cells
  expect_equal(predict(fit, y[, 1:3]), coef(fit)[, 1:3], tolerance = 1e-6)
})

test_that("scaling, covariates and ranks of components", {
  x <- log1p(cells$x)
  scaled <- factors_of(x, 2, scale = TRUE)
  plain <- factors_of(t(scale(t(x))) * sqrt(ncol(x) / (ncol(x) - 1)), 2)
  expect_equal(abs(coef(scaled)), abs(coef(plain)), tolerance = 1e-8, ignore_attr = TRUE)
  size <- log(colSums(cells$x))
  freed <- factors_of(x, 2, covariates = cbind(size = size))
  expect_lt(max(abs(cor(t(coef(freed)), size))), 1e-8)
})

test_that("the planted number of components is chosen by held-out values", {
  # normal values: in logarithms of counts two factors of ln(mean) are more than two components
  x <- withr::with_seed(9, tcrossprod(cells$loadings, cells$scores) + rnorm(length(cells$x)))
  chosen <- factors_of(x, 1:4)
  expect_identical(chosen$rank, 2L)
  expect_identical(chosen$choice$rank[which.max(chosen$choice$score)], 2L)
})

test_that("draws follow the model", {
  draws <- simulate(cells_fit, nsim = 20, seed = 1)
  expect_identical(draws[[3]], simulate(cells_fit, nsim = 3, seed = 1)[[3]])
  mean <- Reduce(`+`, draws) / 20
  z <- (mean - fitted(cells_fit)) / sqrt(fitted(cells_fit) / 20)
  # standard normal but for the skew of small means
  expect_lt(abs(mean(z)), 0.05)
  expect_lt(abs(sd(z) - 1), 0.05)
  nb <- factors_of(cells$x, 1, "negative_binomial", dispersion = 2, penalty = 1)
  draws <- simulate(nb, nsim = 30, seed = 2)
  ratio <- Reduce(`+`, lapply(draws, function(d) (d - fitted(nb))^2)) / 30 /
    (fitted(nb) + fitted(nb)^2 / 2)
  expect_lt(abs(mean(ratio) - 1), 0.1)
})

test_that("results are read, drawn and put into objects", {
  expect_snapshot(print(cells_fit))
  table <- summary(cells_fit, n = 2)
  expect_identical(table$factor, c("factor1", "factor2"))
  expect_equal(sum(table$share), 1)
  expect_identical(dim(tidy(cells_fit, "basis")), c(2L * nrow(cells$x), 3L))
  expect_identical(glance(cells_fit)$rank, 2L)
  expect_identical(ncol(augment(cells_fit)), 3L)
  for (type in c("factors", "loadings", "size", "trace")) {
    expect_s3_class(ggplot2::ggplot_build(plot(cells_fit, type)), "ggplot_built")
  }
  expect_s3_class(ggplot2::ggplot_build(plot(cells_fit, colour = cells$group)), "ggplot_built")
  reduction <- as_reduction(cells_fit)
  expect_identical(dim(reduction), c(ncol(cells$x), 2L))
  skip_if_not_installed("SingleCellExperiment")
  sce <- SingleCellExperiment::SingleCellExperiment(list(counts = cells$x))
  sce <- as_reduction(cells_fit, sce)
  expect_equal(unclass(SingleCellExperiment::reducedDim(sce, "factors")), t(coef(cells_fit)),
               ignore_attr = TRUE)
})

test_that("Seurat objects are read and written", {
  skip_if_not_installed("SeuratObject")
  object <- suppressWarnings(
    SeuratObject::CreateSeuratObject(Matrix::Matrix(cells$x, sparse = TRUE))
  )
  object$lab <- paste0("lab", cells$group)
  fit <- factors_of(object, 2, "poisson", penalty = 1)
  expect_equal(coef(fit), coef(cells_fit), ignore_attr = TRUE)
  batches <- factors_of(object, 1, "poisson", penalty = 1, batch = "lab")
  expect_identical(ncol(batches$design$of_cells),
                   3L)
  object <- suppressWarnings(as_reduction(fit, object))
  expect_identical(dim(object[["factors"]]), c(ncol(cells$x), 2L))
})

test_that("bad input is refused by class, with the culprit's name", {
  x <- cells$x
  bad <- function(at, value) replace(x, at, value)
  expect_snapshot(error = TRUE, {
    factors_of(bad(5, -1), 2, "poisson")
    factors_of(bad(5, 0.5), 2, "poisson")
    factors_of(bad(5, NA), 2, "poisson")
    factors_of(bad(5, Inf), 2, "zinb")
    factors_of(bad(seq_len(nrow(x)), 0), 2, "poisson")
    factors_of(rbind(x, none = 0), 2, "poisson")
    factors_of(x, 1000, "poisson")
    factors_of(log1p(x), nrow(x))
    factors_of(x, 1.5, "poisson")
    factors_of(bad(5, NA), 2)
    factors_of(rbind(x, same = 1), 2, scale = TRUE)
    factors_of(x, 2, "poisson", batch = rep("a", ncol(x)))
    factors_of(x, 2, "poisson", batch = "lab")
    factors_of(x, 2, "poisson", batch = 1:3)
    factors_of(x, 2, "poisson", covariates = cbind(one = rep(1, ncol(x))))
    factors_of(x, 2, "poisson", covariates = matrix(1, 2, 2))
    factors_of(x, 2, "poisson", scale = TRUE)
    factors_of(x, 2, penalty = 1)
    factors_of(x, 2, "poisson", offset = "none of these")
    factors_of(x, 2, "negative_binomial", dispersion = -1)
    predict(cells_fit, x[1:20, ])
    predict(cells_fit, x[, 1:3], batch = c("a", "b", "a"))
    predict(cells_fit, replace(x, seq_len(nrow(x)), 0))
    weights(cells_fit)
    plot(cells_fit, "choice")
    plot(cells_fit, factors = 1:3)
    fitted(factors_of(log1p(x), 2), type = "link")
    fitted(cells_fit, "nobody")
  })
  expect_refusal(factors_of(bad(5, -1), 2, "poisson"), "negative_values")
  expect_refusal(factors_of(bad(5, 0.5), 2, "poisson"), "not_counts")
  expect_refusal(factors_of(bad(seq_len(nrow(x)), 0), 2, "poisson"), "empty_cells")
  expect_refusal(factors_of(rbind(x, none = 0), 2, "poisson"), "constant_genes")
  expect_refusal(factors_of(x, 2, "poisson", batch = rep("a", ncol(x))), "one_batch")
  expect_refusal(predict(cells_fit, x[1:20, ]), "features")
  expect_error(factors_of(x, 2, "poisson", penality = 1), "unused argument")
})
