result <- fit_small()

test_that("the covariance of shares is singular along their sum", {
  covariance <- vcov(result, samples = 1)
  expect_equal(unname(rowSums(covariance)), rep(0, 4), tolerance = 1e-10)
  expect_equal(covariance, t(covariance))
  expect_identical(dim(vcov(result)), c(4L, 4L, 5L))
})

test_that("quasi-Poisson variances are Poisson ones times the dispersion", {
  poisson <- vcov(result, samples = 2, what = "exposures", variance = "poisson")
  quasi <- vcov(result, samples = 2, what = "exposures", variance = "quasi")
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
