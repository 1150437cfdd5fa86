# What unspecific binding adds to every gene of an array.

arrays <- simulate_bulk(n_genes = 800, n_types = 4, n_samples = 5, platform_sd = 0.3, seed = 4)
profiles <- as.matrix(build_signatures(arrays$reference, arrays$cells$cell_type))
values <- arrays$bulk_counts * 0.371
fit_array <- function(bulk, ..., signatures = profiles) {
  deconvolve_bulk(signatures, bulk, verbose = FALSE, ...)
}
error <- function(fit) sqrt(mean((fit$proportions - arrays$truth_mrna)^2))

test_that("a background is found and taken away", {
  clean <- fit_array(values)
  expect_identical(clean$settings$array_background, "none")
  found <- fit_array(values + 100)
  expect_lt(error(found), 1.1 * error(clean))
  expect_gt(error(fit_array(values + 100, array_background = "none")), 1.1 * error(clean))
  # with the level known the values are those without it, to the last digits of +100
  expect_equal(fit_array(values + 100, array_background = 100)$proportions, clean$proportions,
               tolerance = 1e-6)
  level <- c(10, 50, 100, 20, 5)
  each <- fit_array(values + rep(level, each = 800), array_background = level)
  expect_equal(each$proportions, clean$proportions, tolerance = 1e-6)
})

test_that("it is said", {
  expect_snapshot(invisible(deconvolve_bulk(profiles, values + 100, verbose = TRUE)))
})

test_that("counts, and a background that the reference has, are left as they are", {
  counts <- fit_array(arrays$bulk_counts + 100)
  expect_identical(counts$settings$array_background, "none")
  expect_identical(counts$counts$source, arrays$bulk_counts + 100)
  # the same platform: signatures in the units of the bulk, with its background
  scale <- mean(colSums(values))
  both <- fit_array(values + 100, signatures = profiles * scale + 100)
  expect_identical(both$settings$array_background, "none")
  # a table per million without its weak genes is no array
  per_million <- normalise_columns(arrays$bulk_counts) * 1e6
  expressed <- per_million[apply(per_million, 1, min) > 1, ]
  expect_true(all(colSums(expressed) > 0.75e6))
  expect_identical(fit_array(expressed)$settings$array_background, "none")
})

test_that("new samples and counts given later lose theirs, too", {
  fit <- fit_array(values + 100)
  expect_equal(predict(fit, values + 100), fit$proportions, tolerance = 1e-8)
  bare <- fit_array(values + 100, keep_counts = FALSE)
  again <- diagnose(bare, values + 100, programs = 0, verbose = FALSE)
  expect_equal(again$samples, diagnose(fit, programs = 0, verbose = FALSE)$samples)
  own <- fit_array(values + 100, array_background = rep(100, 5))
  expect_refusal(predict(own, values[, 1:2] + 100), "background")
})

test_that("a background that can't be is refused", {
  expect_snapshot(error = TRUE, fit_array(values, array_background = 1e6))
  expect_snapshot(error = TRUE, fit_array(values, array_background = -1))
  expect_snapshot(error = TRUE, fit_array(values, array_background = c(1, 2)))
  expect_refusal(fit_array(values, array_background = "some"), "background")
  expect_refusal(fit_array(values, array_background = NA_real_), "background")
})
