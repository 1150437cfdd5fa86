result <- fit_small()

# F of the Poisson model, minimised without type j by another optimiser.
without <- function(fit, counts, j) {
  a <- (fit$model$sources * fit$model$length_factor)[, -j]
  objective <- function(log_e) {
    mu <- drop(a %*% exp(log_e))
    sum(mu - counts * log(mu))
  }
  slope <- function(log_e) {
    mu <- drop(a %*% exp(log_e))
    drop(crossprod(a, 1 - counts / mu)) * exp(log_e)
  }
  start <- log(pmax(fit$exposures[-j, 1], 1))
  stats::optim(start, objective, slope, method = "BFGS",
               control = list(maxit = 5000, reltol = 1e-15))$value
}

test_that("the statistic is the likelihood ratio, by another optimiser", {
  shares <- matrix(c(0.70, 0.29, 0.01), 3, 1)
  sim <- simulate_bulk(n_genes = 500, proportions = shares, donor_sd = 0, platform_sd = 0,
                       overdispersion = 0, depth = 3e4, cells_per_type = 1, seed = 4)
  fit <- deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths,
                         protocol = "full_length", verbose = FALSE, error_model = "poisson")
  counts <- drop(sim$bulk_counts)
  mu <- drop(fitted(fit))
  ratio <- 2 * (without(fit, counts, 3) - sum(mu - counts * log(mu)))
  tested <- test_presence(fit, "Type C", variance = "poisson")
  expect_lt(tested$statistic, 50)
  # the fits stop at 1e-3 of a unit of log-likelihood
  expect_equal(tested$statistic, ratio, tolerance = 2e-3)
  expect_equal(tested$p_value, 0.5 * stats::pchisq(ratio, 1, lower.tail = FALSE),
               tolerance = 0.01)
})

test_that("types at zero have p = 1, present ones are found", {
  absent <- matrix(c(0.5, 0.5, 0), 3, 6)
  sim <- simulate_bulk(n_genes = 500, proportions = absent, donor_sd = 0, platform_sd = 0,
                       overdispersion = 0, depth = 1e5, cells_per_type = 1, seed = 9)
  for (model in c("poisson", "platform")) {
    fit <- deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths,
                           protocol = "full_length", verbose = FALSE, error_model = model)
    tested <- test_presence(fit)
    expect_true(all(tested$p_value[tested$type != "Type C"] < 1e-12))
    expect_identical(tested$p_value[tested$estimate == 0],
                     rep(1, sum(tested$estimate == 0)))
    expect_identical(tested$statistic == 0, tested$p_value == 1)
  }
})

test_that("a test of some types and samples is part of the test of all", {
  all <- test_presence(result, adjust = "none")
  expect_identical(all$p_value, all$p_adjusted)
  some <- test_presence(result, types = "Type B", samples = 2:3)
  # sums over other blocks of samples round differently
  expect_equal(some$p_value, all$p_value[all$type == "Type B"][2:3], tolerance = 1e-9)
  expect_identical(some$p_adjusted, stats::p.adjust(some$p_value, "BH"))
  expect_identical(test_presence(result, threads = 1)$statistic, all$statistic)
})

test_that("the dispersion divides quasi-Poisson statistics", {
  result <- fit_small(type_error = 0)
  poisson <- test_presence(result, variance = "poisson")
  quasi <- test_presence(result, variance = "quasi")
  near <- poisson$statistic > 0 & poisson$statistic < 50
  far <- quasi$statistic > 50
  dispersion <- vapply(1:5, function(s) {
    sum(residuals(result, "pearson", samples = s)^2) / (400 - sum(result$exposures[, s] > 0))
  }, 0)
  expect_equal(quasi$statistic[far], (poisson$statistic / dispersion[quasi$sample])[far],
               tolerance = 1e-6)
  expect_true(any(far))
  expect_true(all(quasi$p_value[near] >= poisson$p_value[near]))
})

test_that("elimination leaves types that are significant, with a certificate", {
  shares <- matrix(c(0.6, 0.3, 0.1, 0, 0, 0), 6, 12)
  sim <- simulate_bulk(n_genes = 1000, proportions = shares, donor_sd = 0.2, platform_sd = 0,
                       seed = 5)
  for (model in c("poisson", "platform")) {
    fit <- function(...) {
      # the choice is the fit's own, without the error that the genes of a type share
      deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths, error_model = model,
                      protocol = "full_length", verbose = FALSE, cell_size = "none",
                      type_error = 0, ...)
    }
    full <- fit()
    sparse <- fit(sparsity = "lrt")
    expect_true(all(sparse$convergence$converged))
    expect_identical(sparse$convergence$sample, full$convergence$sample)
    expect_true(all(sparse$exposures[1:3, ] > 0))
    # three absent types in 12 samples: 36 x 0.05 are expected to stay
    expect_lt(sum(sparse$exposures[4:6, ] > 0), 8)
    expect_lt(sum(sparse$exposures[4:6, ] > 0), sum(full$exposures[4:6, ] > 0))
    kept <- test_presence(sparse, adjust = "none")
    # the scale is that of the sparser fit, so not exactly the one of the choice
    expect_true(all(kept$p_value[kept$estimate > 0] < 0.1))
    expect_true(all(confint(sparse)$upper >= confint(sparse)$estimate))
    stricter <- fit(sparsity = "lrt", sparsity_level = 1e-6)
    expect_lte(sum(stricter$exposures > 0), sum(sparse$exposures > 0))
    # new samples go the same way
    expect_equal(predict(sparse, sim$bulk_counts[, 1:2]), sparse$proportions[, 1:2],
                 tolerance = if (model == "poisson") 1e-6 else 1e-3)
    # a sample alone has the fit of its own types
    alone <- names(which(sparse$exposures[1:6, 1] > 0))
    if (model == "poisson") {
      own <- deconvolve_bulk(sim$profiles[, alone], sim$bulk_counts[, 1, drop = FALSE],
                             sim$gene_lengths, error_model = model, cell_size = "none",
                             protocol = "full_length", verbose = FALSE)
      expect_equal(own$exposures[alone, 1], sparse$exposures[alone, 1], tolerance = 1e-6)
    }
  }
})

test_that("one type and one sample can be tested", {
  tested <- test_presence(fit_small(signatures = small_signatures[, 1:2])[1])
  expect_identical(nrow(tested), 2L)
  expect_true(all(tested$p_value >= 0 & tested$p_value <= 1))
})

test_that("bad input is refused in the user's words", {
  expect_refusal(test_presence(result, "nobody"), "argument")
  expect_refusal(test_presence(result, samples = "nobody"), "argument")
  expect_refusal(test_presence(fit_small(l1_lambda = 0.1)), "penalised")
  expect_refusal(test_presence(fit_small(keep_counts = FALSE)), "no_counts")
  expect_refusal(fit_small(sparsity = "lrt", l1_lambda = 0.1), "penalised")
  expect_refusal(fit_small(sparsity = "lrt", sparsity_level = 0.9), "argument")
  expect_warning(fit_small(sparsity_level = 0.01), class = "unalloy_warning_unused_argument")
  expect_snapshot(error = TRUE, {
    test_presence(small$bulk_counts)
    test_presence(result, "nobody")
    test_presence(result, adjust = "everything")
    fit_small(sparsity = "always")
  })
})

test_that("markers that all cells express too much do not make an absent type", {
  absent <- matrix(c(0.5, 0.5, 0), 3, 8, dimnames = list(c("A", "B", "C"), NULL))
  sim <- simulate_bulk(n_genes = 1000, proportions = absent, donor_sd = 0.2, platform_sd = 0,
                       depth = 1e6, seed = 11)
  marks <- max.col(sim$profiles) == 3
  counts <- sim$bulk_counts
  counts[marks, ] <- round(1.25 * counts[marks, ])
  fit <- function(type_error) {
    deconvolve_bulk(sim$profiles, counts, sim$gene_lengths, protocol = "full_length",
                    cell_size = "none", type_error = type_error, verbose = FALSE)
  }
  found <- function(type_error, variance = "robust") {
    test_presence(fit(type_error), "C", variance = variance)$p_value
  }
  expect_true(all(found(0) < 0.01))
  expect_true(all(found(0.3) > 0.05))
  # it is nothing that counting knows
  expect_identical(found(0.3, "poisson"), found(0, "poisson"))
  # an interval starts at 0 where the test sees nothing
  expect_true(all(confint(fit(0.3), "C")$lower == 0))
  expect_true(all(confint(fit(0.3), "C", of = "differences")$lower > 0))
})
