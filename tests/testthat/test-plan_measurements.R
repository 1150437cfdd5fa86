x <- modular_profiles(samples = 100)

plan <- function(target, ...) {
  plan_measurements(x, target, method = "svd_k", measurements = c(6, 12, 24, 48), splits = 3,
                    size = 25, sparsity = 5, max_correlation = 0.6, seed = 1, verbose = FALSE, ...)
}

test_that("the number is where the curve meets the target", {
  curve <- plan(0.5)$curve
  target <- mean(curve$mean[2:3])
  found <- plan(target)
  expect_gt(found$measurements, 12)
  expect_lt(found$measurements, 24)
  # linear in the logarithm
  share <- (target - curve$mean[2]) / (curve$mean[3] - curve$mean[2])
  expect_equal(found$measurements, 12 * 2^share)
  expect_true(is.na(found$upper) || found$upper >= found$measurements)
  expect_lte(found$lower, found$measurements)
  expect_true(all(diff(curve$mean) >= 0) && all(curve$lower <= curve$mean))
})

test_that("a higher target needs more, and one out of reach is said to be", {
  easy <- plan(0.2)
  expect_identical(easy$measurements, 6)
  expect_output(print(easy), "at most 6")
  hard <- plan(0.9999)
  expect_true(is.na(hard$measurements))
  expect_output(print(hard), "more than 48")
  expect_output(print(hard), "was not reached")
  drawn <- plot(hard)
  expect_identical(nrow(drawn$data), 4L)
})

test_that("the curve is the benchmark's mean, on Fisher's scale", {
  found <- plan(0.5, snr = 3)
  own <- subset(found$benchmark$scores, score == "sample_pearson")
  means <- tapply(own$value, own$measurements, function(r) tanh(mean(atanh(r))))
  expect_equal(found$curve$mean, as.vector(tanh(isoreg(atanh(means))$yf)))
})

test_that("arguments that can't be are told", {
  expect_snapshot(error = TRUE, plan(1))
  expect_refusal(plan(-0.5), "argument")
  expect_refusal(plan_measurements(x, splits = 2), "argument")
  expect_refusal(plan_measurements(x, score = "coverage"), "argument")
  expect_snapshot(error = TRUE, plan_measurements(x, method = "smaf", measurements = 20,
                                                  splits = 3, sparsity = 5, seed = 1,
                                                  max_correlation = 0.6,
                                                  settings = list(smaf = list(error_bound = 2)),
                                                  verbose = FALSE))
})
