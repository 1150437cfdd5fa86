result <- fit_small()

test_that("the covariance of shares is singular along their sum", {
  covariance <- vcov(result, samples = 1)
  expect_equal(unname(rowSums(covariance)), rep(0, 4), tolerance = 1e-10)
  expect_equal(covariance, t(covariance))
  expect_identical(dim(vcov(result)), c(4L, 4L, 5L))
})

test_that("quasi-Poisson variances are Poisson ones times the dispersion", {
  of_fit <- function(variance) {
    vcov(result, samples = 2, what = "exposures", of = "differences", variance = variance)
  }
  poisson <- of_fit("poisson")
  quasi <- of_fit("quasi")
  pearson <- residuals(result, "pearson", samples = 2)
  dispersion <- sum(pearson^2) / (400 - sum(result$exposures[, 2] > 0))
  expect_equal(quasi, poisson * dispersion, tolerance = 1e-9)
})

test_that("intervals cover the estimate and stay in [0, 1]", {
  table <- confint(result)
  expect_true(all(table$lower <= table$estimate & table$estimate <= table$upper))
  expect_true(all(table$lower >= 0 & table$upper <= 1))
  wider <- confint(result, level = 0.99)
  expect_true(all(wider$upper >= table$upper & wider$lower <= table$lower))
  expect_identical(as.character(unique(confint(result, "Type B")$type)), "Type B")
  expect_refusal(confint(result, "nobody"), "argument")
})

test_that("Poisson intervals cover planted shares", {
  shares <- matrix(c(0.6, 0.3, 0.1), 3, 60)
  sim <- simulate_bulk(n_genes = 500, n_samples = 60, proportions = shares, cell_size_sd = 0,
                       cells_per_sample = 3000, donor_sd = 0, platform_sd = 0,
                       overdispersion = 0, depth = 2e4, cells_per_type = 1, seed = 5)
  fit <- deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths,
                         protocol = "full_length", verbose = FALSE, error_model = "poisson")
  truth <- as.vector(sim$truth_mrna)
  for (variance in c("poisson", "robust")) {
    table <- confint(fit, variance = variance)
    covered <- mean(table$lower <= truth & truth <= table$upper)
    # 180 intervals, not independent: 0.95 with a standard error of about 0.025
    expect_gt(covered, 0.87)
  }
})

test_that("the limit of an absent type falls with depth", {
  absent <- matrix(c(0.5, 0.5, 0), 3, 4)
  limit <- function(depth) {
    sim <- simulate_bulk(n_genes = 500, n_samples = 4, proportions = absent, donor_sd = 0,
                         platform_sd = 0, overdispersion = 0, depth = depth,
                         cells_per_type = 1, seed = 9)
    fit <- deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths,
                           protocol = "full_length", verbose = FALSE, error_model = "poisson")
    mean(confint(fit, "Type C", variance = "poisson")$upper)
  }
  expect_lt(limit(1e6), limit(1e4) / 3)
})

test_that("a profile limit is where the likelihood has fallen", {
  absent <- matrix(c(0.7, 0.3, 0), 3, 16)
  sim <- simulate_bulk(n_genes = 500, n_samples = 16, proportions = absent, donor_sd = 0,
                       platform_sd = 0, overdispersion = 0, depth = 1e5, cells_per_type = 1,
                       seed = 10)
  fit <- deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths,
                         protocol = "full_length", verbose = FALSE, error_model = "poisson")
  zero <- which(fit$proportions["Type C", ] == 0)[1]
  limit <- confint(fit, "Type C", samples = zero, what = "exposures", variance = "poisson")$upper
  a <- fit$model$sources * fit$model$length_factor
  k <- sim$bulk_counts[, zero]
  others <- setdiff(colnames(a), "Type C")
  profile <- function(exposure) {
    objective <- function(log_e) {
      mu <- drop(a[, others] %*% exp(log_e)) + a[, "Type C"] * exposure
      sum(mu - k * log(mu))
    }
    start <- log(pmax(fit$exposures[others, zero], 1e-3))
    stats::optim(start, objective, method = "BFGS",
                 control = list(maxit = 2000, reltol = 1e-14))$value
  }
  fall <- 2 * (profile(limit) - profile(0))
  # second order at the optimum: right to a few per cent
  expect_equal(fall, stats::qchisq(0.9, 1), tolerance = 0.1)
})

test_that("penalised fits have no intervals", {
  expect_refusal(confint(fit_small(l1_lambda = 0.1)), "penalised")
})

test_that("one type, and no doubt, give the interval [1, 1]", {
  table <- confint(fit_small(signatures = small_signatures[, 1]))
  expect_identical(unique(table$lower), 1)
  expect_identical(unique(table$upper), 1)
})

test_that("a gene far from its fit does not blow up the intervals", {
  # one marker with far fewer reads than its fitted mean
  profiles <- cbind(a = c(rep(1, 99), 0), b = c(rep(0.01, 99), 50))
  rownames(profiles) <- paste0("g", 1:100)
  bulk <- cbind(s = c(rep(1000, 99), 13))
  rownames(bulk) <- rownames(profiles)
  fit <- deconvolve_bulk(profiles, bulk, intercept = FALSE, verbose = FALSE)
  table <- confint(fit)
  expect_lt(max(table$upper - table$lower), 0.2)
})

test_that("one type and one sample give a named matrix", {
  covariance <- vcov(fit_small(signatures = small_signatures[, 1]), samples = 1)
  expect_identical(dimnames(covariance), list("Type A", "Type A"))
})

test_that("levels and types may be given in any form", {
  expect_equal(confint(result, 2), confint(result, "Type B"))
  expect_true(all(is.finite(confint(result, level = 0.3)$upper)))
  expect_refusal(confint(result, level = 1), "argument")
  expect_refusal(confint(result, samples = "nobody"), "argument")
})

# Types, share of the third, and exact profiles with Poisson noise alone.
exact_cohort <- function(share, n_samples = 16, depth = 1e5, seed = 10) {
  shares <- matrix(c(0.7 * (1 - share), 0.3 * (1 - share), share), 3, n_samples)
  simulate_bulk(n_genes = 500, proportions = shares, cell_size_sd = 0, cells_per_sample = 1e5,
                donor_sd = 0, platform_sd = 0, overdispersion = 0, depth = depth,
                cells_per_type = 1, seed = seed)
}
fit_exact <- function(sim, ...) {
  deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths, protocol = "full_length",
                  verbose = FALSE, cell_size = "none", ...)
}

test_that("the Poisson covariance is the inverse of a numerical Hessian", {
  sim <- exact_cohort(0.1, n_samples = 1)
  fit <- fit_exact(sim, error_model = "poisson", intercept = FALSE)
  a <- fit$model$sources * fit$model$length_factor
  k <- drop(sim$bulk_counts)
  objective <- function(e) {
    mu <- drop(a %*% e)
    sum(mu - k * log(mu))
  }
  hessian <- stats::optimHess(fit$exposures[, 1], objective,
                              control = list(ndeps = rep(1e-4, 3), parscale = fit$exposures[, 1]))
  # J V^-1 J with V by expected counts: equal to J up to the noise of k / mu,
  # summed over 500 genes.
  expect_equal(vcov(fit, what = "exposures", variance = "poisson"), solve(hessian),
               tolerance = 0.02, ignore_attr = TRUE)
})

test_that("the covariance of shares is that of a parametric bootstrap", {
  sim <- exact_cohort(0.1, n_samples = 1)
  fit <- fit_exact(sim, error_model = "poisson")
  withr::with_seed(1, drawn <- matrix(rpois(500 * 1000, fitted(fit)), 500))
  rownames(drawn) <- rownames(sim$bulk_counts)
  again <- fit_exact(list(profiles = sim$profiles, bulk_counts = drawn,
                          gene_lengths = sim$gene_lengths), error_model = "poisson")
  # variances of 1,000 draws have a relative standard error of 4.5 %
  expect_equal(diag(stats::cov(t(again$proportions))),
               diag(vcov(fit, variance = "poisson")), tolerance = 0.1)
})

test_that("coverage, limits at zero and the size of the test are as stated", {
  covered <- missed <- found <- NULL
  for (seed in 1:2) {
    sim <- exact_cohort(0.01, n_samples = 150, depth = 3e4, seed = seed)
    absent <- exact_cohort(0, n_samples = 150, depth = 3e4, seed = seed + 10)
    truth <- as.vector(sim$truth_mrna)
    table <- confint(fit_exact(sim, error_model = "poisson"), variance = "poisson")
    common <- table$type != "Type C"
    covered <- c(covered, (table$lower <= truth & truth <= table$upper)[common])
    missed <- c(missed, (table$estimate == 0 & table$upper < truth)[!common])
    p <- test_presence(fit_exact(absent, error_model = "poisson"), "Type C",
                       variance = "poisson")$p_value
    found <- c(found, p <= 0.05)
  }
  # 600 intervals in pairs, 300 limits, 300 tests: standard errors 0.013, 0.013
  # and 0.013; three of them
  expect_gt(mean(covered), 0.95 - 0.04)
  expect_lt(mean(covered), 0.95 + 0.04)
  expect_lt(mean(missed), 0.05 + 0.04)
  expect_gt(mean(found), 0.05 - 0.04)
  expect_lt(mean(found), 0.05 + 0.04)
})

test_that("the bootstrap over genes agrees with the robust sandwich", {
  sim <- simulate_bulk(n_genes = 2000, n_types = 4, n_samples = 4, donor_sd = 0.3, seed = 2)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  for (model in c("poisson", "platform")) {
    fit <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, error_model = model,
                           protocol = "full_length", verbose = FALSE)
    drawn <- confint(fit, method = "bootstrap", over = "genes", replicates = 200, seed = 1)
    stated <- confint(fit)
    # standard errors of 200 draws are known to 5 %, and the weights are only
    # asymptotically the same
    expect_equal(stats::median(drawn$std_error / stated$std_error), 1, tolerance = 0.15)
  }
})

test_that("means over donors vary as they should, whichever donors have the type", {
  # types with 8, 4, 3 and 2 of 8 donors, and one of a single donor
  donor <- c(1:8, 2:5, 1:3, c(3, 7), 8)
  type <- rep(1:5, c(8, 4, 3, 2, 1))
  value <- withr::with_seed(1, stats::rnorm(8, 10, 2))[donor]
  n_draws <- 8000
  uniform <- rs_donor_uniforms(list(seed = 1, n = 8, replicates = n_draws))
  weights <- apply(uniform, 2L, donor_weights, type = type, donor = donor)
  expect_equal(drop(rowsum(weights, type)), matrix(1, 5, n_draws), ignore_attr = TRUE)
  means <- rowsum(weights * value, type)
  for (t in 1:4) {
    from <- value[type == t]
    # a variance of 8,000 draws is known to 2 %
    expect_equal(stats::var(means[t, ]) / (stats::var(from) / length(from)), 1, tolerance = 0.08)
    expect_equal(mean(means[t, ]), mean(from), tolerance = 0.01)
  }
  expect_equal(unname(means[5, ]), rep(value[18], n_draws))
  # types of the same donors have the same weights; what differs varies together
  expect_identical(donor_weights(uniform[, 1], c(1, 1, 2, 2), c(1, 4, 1, 4))[1:2],
                   donor_weights(uniform[, 1], c(1, 1, 2, 2), c(1, 4, 1, 4))[3:4])
  # were all four donors of the second type also the only ones of the first, 1
  expect_gt(stats::cor(means[1, ], means[2, ]), 0.5 * sqrt(4 / 8))
})

test_that("the bootstrap repeats under a seed, whatever the threads", {
  draw <- function(...) confint(result, method = "bootstrap", replicates = 10, ...)
  expect_identical(draw(seed = 3), draw(seed = 3, threads = 1))
  expect_false(identical(draw(seed = 3), draw(seed = 4)))
  withr::with_seed(1, before <- .Random.seed)
  withr::with_seed(1, {
    draw(seed = 3)
    expect_identical(.Random.seed, before)
  })
  expect_identical(dim(vcov(result, method = "bootstrap", replicates = 10, seed = 1)),
                   c(4L, 4L, 5L))
})

test_that("donors that agree leave no doubt about the reference", {
  # every donor has the same cells
  one <- small$cells$donor == levels(small$cells$donor)[1]
  cells <- small$reference[, rep(which(one), 3)]
  types <- rep(small$cells$cell_type[one], 3)
  signatures <- suppressWarnings(build_signatures(cells, types, rep(c("x", "y", "z"),
                                                                    each = sum(one))))
  table <- confint(fit_small(signatures = signatures), method = "bootstrap", over = "donors",
                   replicates = 10, seed = 1)
  expect_lt(max(table$upper - table$lower), 1e-3)
})

test_that("what the bootstrap can't draw from is named", {
  plain <- fit_small(signatures = as.matrix(small_signatures))
  expect_refusal(confint(plain, method = "bootstrap"), "donors")
  expect_refusal(confint(result, method = "bootstrap", over = "cells"), "argument")
  expect_refusal(confint(result, method = "jackknife"), "argument")
  expect_warning(confint(result, method = "bootstrap", replicates = 5, variance = "quasi",
                         seed = 1), class = "unalloy_warning_unused_argument")
  expect_snapshot(error = TRUE, {
    confint(plain, method = "bootstrap")
    confint(result, over = "everything")
    confint(result, method = "bootstrap", replicates = 1)
  })
})

test_that("misspelt arguments and samples that are not there are refused", {
  expect_refusal(confint(result, metod = "bootstrap"), "argument")
  expect_refusal(vcov(result, 1, "proportions", "robust", "sandwich", "donors", 20, 1, 1, 2),
                 "argument")
  expect_refusal(confint(result, samples = 1.5), "argument")
  expect_refusal(confint(result, samples = c(1, 1)), "argument")
  expect_refusal(confint(result, 9), "argument")
})

test_that("fewer genes or types of signatures keep the donors", {
  part <- small_signatures[1:300, 2:4]
  table <- confint(fit_small(signatures = part), method = "bootstrap", replicates = 5, seed = 1)
  expect_identical(nrow(table), 15L)
  expect_true(all(is.finite(table$upper)))
})
