platform_sim <- simulate_bulk(n_genes = 600, n_types = 4, n_samples = 6, n_donors = 3,
                              cells_per_type = 30, platform_sd = 0.7, seed = 21)
platform_signatures <- build_signatures(platform_sim$reference, platform_sim$cells$cell_type,
                                        platform_sim$cells$donor)
fit_platform <- function(..., bulk = platform_sim$bulk_counts) {
  deconvolve_bulk(platform_signatures, bulk, platform_sim$gene_lengths,
                  protocol = "full_length", verbose = FALSE, ...)
}
result <- fit_platform()

# The model as deconvolve_bulk() hands it to the core.
platform_parts_of <- function(sim = platform_sim, signatures = platform_signatures) {
  bulk <- with_values(as_bulk(sim$bulk_counts))
  weights <- default_weights("auto", NULL, TRUE, FALSE)
  model <- build_model(signatures, bulk, sim$gene_lengths, weights, NULL, FALSE, 500, NULL)
  model <- add_platform_error(with_exponent(model, 1), signatures)
  settings <- solver_settings("newton", 0, 0, NULL, 1e-8, 1e-4, 1, 0.5, NULL, 1, NULL, NULL)
  list(bulk = bulk, model = model, settings = settings)
}

test_that("the platform error is the default, and yields to what only Poisson has", {
  expect_identical(result$error_model, "platform")
  weights <- setNames(rep(1, 600), rownames(platform_sim$bulk_counts))
  expect_identical(fit_platform(gene_weights = weights)$error_model, "platform")
  expect_identical(fit_platform(method = "em")$error_model, "poisson")
  expect_identical(fit_platform(intercept = TRUE)$error_model, "poisson")
  expect_identical(fit_platform(intercept = FALSE)$error_model, "poisson")
  expect_identical(fit_platform(l2_lambda = 1)$error_model, "poisson")
  expect_identical(fit_platform(error_model = "platform",
                                gene_weights = weights)$error_model, "platform")
  expect_snapshot(error = TRUE, fit_platform(error_model = "platform", method = "gd"))
  expect_refusal(fit_platform(error_model = "platform", intercept = TRUE), "argument")
})

test_that("the optimum equals that of an independent optimiser", {
  model <- result$model
  used <- model$weights > 0
  # Sample 4 has every type.
  expect_true(all(result$proportions[, 4] > 0.01))
  a <- (model$sources * model$length_factor)[used, ]
  variance <- (model$variance * model$length_factor^2)[used, ]
  discount <- model$discount[used]
  floors <- platform_floors(check_bulk_values(as_bulk(platform_sim$bulk_counts)))
  k <- platform_sim$bulk_counts[rownames(a), 4]
  y <- k / floors[4]
  # Error variances belong to the exposures before the last round; at the
  # stationary point of that round they are fixed.  A third round changes them
  # by little, so that they are taken at the answer.
  e <- result$exposures[, 4]
  mu <- drop(a %*% e)
  known <- drop(variance %*% pmax(e, 1e-4 * sum(e))^2) / mu^2
  s2 <- model$tau2 * discount + known
  objective <- function(log_e) {
    m <- drop(a %*% exp(log_e)) / floors[4]
    b <- rep(0, length(m))
    for (step in 1:200) {
      move <- (m * exp(b) - y + b / s2) / (m * exp(b) + 1 / s2)
      b <- b - pmax(pmin(move, 1), -1)
    }
    sum(m * exp(b) - y * (log(m) + b) + b^2 / (2 * s2))
  }
  best <- stats::optim(log(e), objective, method = "BFGS",
                       control = list(maxit = 500, reltol = 1e-14))
  expect_lte(objective(log(e)) - best$value, 0.01)
  expect_equal(unname(exp(best$par)), unname(e), tolerance = 0.005)
})

test_that("without error variance the fit is the Poisson fit", {
  parts <- platform_parts_of()
  model <- parts$model
  model$variance[] <- 0
  model$discount[] <- 1
  model$tau2 <- 1e-12
  limit <- run_platform_fit(model, parts$bulk, parts$settings, FALSE, NULL)
  poisson <- run_fit(model, parts$bulk, parts$settings, FALSE, NULL)
  expect_equal(limit$exposures, poisson$exposures, tolerance = 1e-6)
})

test_that("with large errors the fit is least squares of logs", {
  parts <- platform_parts_of()
  model <- parts$model
  model$variance[] <- 0
  model$discount[] <- 1
  model$tau2 <- 1e6
  # so many reads that counts are far above the floor everywhere
  used <- which(model$weights > 0 & rowSums(platform_sim$bulk_counts > 200) == 6)
  model$weights[-used] <- 0
  # so large an error variance makes the objective small
  parts$settings$ll_tolerance <- 1e-18
  fit <- run_platform_fit(model, parts$bulk, parts$settings, FALSE, NULL)
  a <- (model$sources * model$length_factor)[used, ]
  k <- parts$bulk$source[used, 4]
  squares <- function(log_e) sum((log(k) - log(drop(a %*% exp(log_e))))^2)
  best <- stats::optim(log(fit$exposures[, 4]), squares, method = "BFGS",
                       control = list(maxit = 2000, reltol = 1e-15))
  expect_equal(fit$exposures[, 4], exp(best$par), tolerance = 1e-3)
})

test_that("errors between platforms are found and cost less accuracy than they do Poisson", {
  errors <- vapply(1:5, function(seed) {
    sim <- simulate_bulk(n_genes = 600, n_types = 4, n_samples = 6, platform_sd = 0.7, seed = seed)
    signatures <- build_signatures(sim$reference, sim$cells$cell_type)
    error <- function(...) {
      fit <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths,
                             protocol = "full_length", verbose = FALSE, ...)
      mean((fit$proportions - sim$truth_mrna)^2)
    }
    c(platform = error(), poisson = error(error_model = "poisson"))
  }, numeric(2))
  # over many seeds the ratio of root mean squares is one half
  expect_lt(sum(errors["platform", ]), 0.5 * sum(errors["poisson", ]))
  tau <- function(sd) {
    sim <- simulate_bulk(n_genes = 600, n_types = 4, n_samples = 4, platform_sd = sd, seed = 5)
    signatures <- build_signatures(sim$reference, sim$cells$cell_type)
    sqrt(deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE,
                         protocol = "full_length")$model$tau2)
  }
  found <- vapply(c(0.1, 0.5, 1), tau, 0)
  expect_false(is.unsorted(found))
  expect_equal(found[3], 1, tolerance = 0.35)
})

test_that("the answer does not depend on threads, gene order, depth, or the disk", {
  expect_identical(fit_platform(threads = 1L)$exposures, fit_platform(threads = 2L)$exposures)
  order <- sample(600)
  expect_equal(fit_platform(bulk = platform_sim$bulk_counts[order, ])$proportions,
               result$proportions, tolerance = 1e-6)
  skip_if_not_installed("HDF5Array")
  on_disk <- methods::as(platform_sim$bulk_counts, "HDF5Array")
  expect_equal(fit_platform(bulk = on_disk)$proportions, result$proportions, tolerance = 1e-6)
})

test_that("prediction, subsets and intervals go with the model", {
  expect_equal(predict(result, platform_sim$bulk_counts[, 2:3]), result$proportions[, 2:3],
               tolerance = 1e-5)
  expect_equal(confint(result[3:2]), confint(result, samples = c(3, 2)))
  table <- confint(result)
  expect_true(all(table$lower <= table$estimate & table$estimate <= table$upper))
  wider <- mean(table$upper - table$lower)
  trusting <- confint(fit_platform(intercept = FALSE), variance = "poisson")
  expect_gt(wider, mean(trusting$upper - trusting$lower))
})

test_that("a plain matrix, one type and one sample work", {
  plain <- deconvolve_bulk(platform_sim$profiles, platform_sim$bulk_counts, verbose = FALSE)
  expect_identical(plain$error_model, "platform")
  expect_true(all(plain$model$variance == 0))
  one <- deconvolve_bulk(platform_signatures[, 1], platform_sim$bulk_counts[, 1],
                         verbose = FALSE)
  expect_equal(unname(one$proportions), matrix(1, 1, 1))
})

test_that("noise between types is shrunk and signal kept", {
  parts <- platform_parts_of()
  profiles <- platform_signatures$profiles
  reference <- list(counts = profiles * rep(platform_signatures$umi * 90, each = 600),
                    totals = platform_signatures$umi * 90,
                    dispersion = platform_signatures$dispersion)
  calibrated <- calibrate(profiles, reference, rep(TRUE, 600))
  spread <- function(x) apply(log(x + 1e-6), 1, sd)
  expect_true(mean(spread(calibrated)) < mean(spread(profiles)))
  truth <- platform_sim$profiles
  error <- function(x) sqrt(mean((log(x + 1e-6) - log(truth + 1e-6))^2))
  expect_lt(error(calibrated), error(profiles))
  many <- reference
  many$counts <- reference$counts * 1e6
  many$totals <- reference$totals * 1e6
  many$dispersion[] <- 0
  expect_equal(calibrate(profiles, many, rep(TRUE, 600)), pmax(profiles, 1e-10),
               tolerance = 1e-3)
})

test_that("genes rank by how specific they are to their type", {
  profiles <- rbind(c(8, 1), c(4, 1), c(1, 9), c(2, 2)) * 1e-3
  expect_identical(specific_rank(profiles, c(TRUE, TRUE, TRUE, TRUE)), c(0, 1, 0, 2))
  # a gene that is left out ranks last
  expect_identical(specific_rank(profiles, c(FALSE, TRUE, TRUE, TRUE)), c(2, 0, 0, 1))
})
