poisson_fit <- function(samples) {
  fit_small(bulk = small$bulk_counts[, samples, drop = FALSE], error_model = "poisson",
            protocol = "full_length")
}

test_that("a deconvolution is a table of types and samples", {
  result <- fit_small()
  expect_identical(as.matrix(result), result$proportions)
  expect_identical(t(result), t(result$proportions))
  expect_identical(dim(result), dim(result$proportions))
  expect_identical(dimnames(result), dimnames(result$proportions))
  sized <- fit_small(cell_size = "reference")
  expect_identical(as.matrix(sized), sized$cell_fractions)
  expect_identical(result[, 2:3], result[2:3])
  expect_identical(result[, ]$proportions, result$proportions)
  expect_snapshot(error = TRUE, result["Type A", ])
})

test_that("joined results are those of one call", {
  whole <- poisson_fit(1:5)
  joined <- cbind(poisson_fit(1:2), poisson_fit(3:5))
  expect_identical(dim(joined), dim(whole))
  # another block of samples, the same certified optimum
  expect_equal(joined$proportions, whole$proportions, tolerance = 1e-6)
  expect_equal(confint(joined)$upper, confint(whole)$upper, tolerance = 1e-5)
  expect_equal(fitted(joined), fitted(whole), tolerance = 1e-6)
  expect_identical(joined$convergence$sample, whole$convergence$sample)
  expect_identical(c(whole), whole)
  expect_snapshot(error = TRUE, {
    c(whole, whole)
    cbind(poisson_fit(1), fit_small(error_model = "platform")[2])
    c(whole, 1)
  })
})

test_that("a component that is nearly named is told", {
  result <- fit_small()
  expect_snapshot(result$proportion)
  expect_silent(expect_null(result$cell_fractions))
})
