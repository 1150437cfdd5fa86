estimate <- estimate_rank(planted$x, 2:5, nrun = 5, method = "kl", seed = 1, verbose = FALSE)

test_that("a planted rank is found by every rule, under both losses", {
  expect_identical(estimate$suggestion$rank[1:2], c(3, 3))
  expect_identical(estimate$suggestion$rank[4], 3)
  expect_identical(estimate$suggestion$primary, c(TRUE, FALSE, FALSE, FALSE))
  squares <- estimate_rank(planted$x, 1:5, nrun = 3, seed = 2, null_runs = 0, verbose = FALSE)
  expect_identical(squares$suggestion$rank[1:2], c(3, 3))
  expect_true(all(is.na(squares$measures$residuals.null)))
})

test_that("measures are those of the fits", {
  measures <- as.data.frame(estimate)
  expect_identical(measures$rank, 2:5)
  for (rank in 2:5) {
    fit <- estimate[[as.character(rank)]]
    row <- measures[measures$rank == rank, ]
    expect_equal(row$residuals, residuals(fit))
    expect_equal(row$cophenetic, cophcor(fit))
    expect_equal(row$dispersion, dispersion(fit))
    expect_equal(row$silhouette.coef, mean(silhouette(fit)[, 3]))
    expect_equal(row$evar, evar(fit))
  }
  expect_identical(estimate[[3]], estimate$fit[["3"]])
  cv <- tapply(estimate$errors$cv$error, estimate$errors$cv$rank, mean)
  expect_equal(unname(measures$cv.error), as.vector(cv))
  expect_equal(measures$cv.se, as.vector(tapply(estimate$errors$cv$error,
                                                estimate$errors$cv$rank, sd)) / sqrt(3))
  expect_lte(max(diff(measures$residuals)), 0)
  expect_equal(measures$stability[2], 1, tolerance = 0.01)
  expect_refusal(estimate[["9"]], "argument")
})

test_that("folds hold the fraction that was asked for", {
  held <- estimate$errors$cv$entries / length(planted$x)
  # five standard deviations of a binomial
  expect_lt(max(abs(held - 0.1)), 5 * sqrt(0.09 / length(planted$x)))
  blocks <- estimate$errors$bicv
  expect_equal(sum(blocks$entries[blocks$rank == 2]), length(planted$x))
})

test_that("what held-out blocks are predicted from is not the block", {
  x <- planted$x
  # a block that is wrong changes its own error only
  fitting <- function(data, rank, nrun, ...) {
    nmf(data, rank, method = "kl", nrun = nrun, seed = 1, verbose = FALSE)
  }
  settings <- list(blocks = 2, loss = "kl", weighted = FALSE, seed = 1)
  wrong <- x
  rows <- unalloy:::random_parts(120, 2, 1) == 0
  columns <- unalloy:::random_parts(30, 2, 2) == 0
  expect_identical(c(sum(rows), sum(columns)), c(60L, 15L))
  wrong[rows, columns] <- wrong[rev(which(rows)), columns]
  right <- unalloy:::block_errors(x, 3, fitting, settings)
  broken <- unalloy:::block_errors(wrong, 3, fitting, settings)
  at <- which(right$fold == 1)
  expect_gt(broken$error[at], 2 * right$error[at])
})

test_that("the same seed gives the same numbers, and R's stream is left alone", {
  small_run <- function(...) {
    estimate_rank(planted$x, 2:3, nrun = 2, seed = 4, folds = 3, blocks = 0, verbose = FALSE, ...)
  }
  set.seed(1)
  before <- .Random.seed
  first <- small_run(threads = 1)
  expect_identical(.Random.seed, before)
  second <- small_run(threads = 2)
  timeless <- setdiff(names(first$measures), "cpu")
  expect_identical(first$measures[timeless], second$measures[timeless])
})

test_that("a rank that fails is a row without measures and with a reason", {
  expect_warning(
    partial <- estimate_rank(planted$x, c(2, 3, 99), nrun = 2, seed = 1, folds = 0, blocks = 0,
                             null_runs = 0, verbose = FALSE),
    class = "unalloy_warning_rank_failed"
  )
  expect_identical(is.na(partial$measures$reason), c(TRUE, TRUE, FALSE))
  expect_identical(names(partial$fit), c("2", "3"))
  expect_snapshot(print(partial), transform = function(lines) gsub("[0-9]\\.[0-9]+", "<n>", lines))
  expect_identical(partial$suggestion$rule[partial$suggestion$primary], character())
  expect_refusal(estimate_rank(planted$x, 98:99, nrun = 1, seed = 1, verbose = FALSE), "no_rank")
})

test_that("missing entries and sparse data go through", {
  holes <- planted$x
  holes[withr::with_seed(1, sample(length(holes), 200))] <- NA
  with_holes <- estimate_rank(holes, 2:4, nrun = 2, method = "kl", seed = 1, na = "missing",
                              verbose = FALSE)
  expect_identical(with_holes$suggestion$rank[1], 3)
  expect_match(with_holes$failures[["bi-cross-validation"]], "missing")
  sparse <- estimate_rank(as(planted$x, "dgCMatrix"), 2:5, nrun = 5, method = "kl", seed = 1,
                          verbose = FALSE)
  # sums run in another order, and the stopping rule sees them
  expect_equal(sparse$measures$cv.error, estimate$measures$cv.error, tolerance = 0.02)
  expect_equal(sparse$measures$residuals, estimate$measures$residuals, tolerance = 1e-4)
  weighted <- estimate_rank(planted$x, 2:3, nrun = 2, seed = 1, weights = 1 + 0 * planted$x,
                            verbose = FALSE)
  expect_match(weighted$failures[["held-out error"]], "weighted")
})

test_that("nmf() with several ranks is an estimate of the rank", {
  several <- nmf(planted$x, 2:3, nrun = 2, seed = 1, method = "kl", verbose = FALSE)
  expect_s3_class(several, "rank_estimate")
  alone <- nmf(planted$x, 3, nrun = 2, seed = 1, method = "kl", verbose = FALSE)
  expect_identical(basis(several[["3"]]), basis(alone))
})

test_that("a start that is not random has no stability, and is told of once", {
  told <- testthat::capture_warnings(
    one <- estimate_rank(planted$x, 2:3, init = "nndsvd", seed = 1, verbose = FALSE)
  )
  expect_length(told, 1L)
  expect_match(told, "only one is made")
  expect_true(all(is.na(one$measures[c("cophenetic", "dispersion", "stability")])))
  expect_false(anyNA(one$measures[c("cv.error", "bicv.error", "residuals")]))
  by_name <- nmf(planted$x, 2:3, seed = "nndsvd", nrun = 1, verbose = FALSE)
  expect_equal(by_name$measures$residuals, one$measures$residuals)
  expect_refusal(estimate_rank(planted$x, 2:3, seed = "pca", verbose = FALSE), "argument")
})

test_that("held-out blocks are predicted with the offset", {
  # zeros in the coefficients and in the offset: neither can take from the other
  x <- withr::with_seed(1, {
    rexp(40) %o% (rexp(30) * rbinom(30, 1, 0.5)) + 10 * rexp(40) * rbinom(40, 1, 0.5)
  })
  found <- estimate_rank(x, 1:2, nrun = 1, method = "offset", seed = 1, folds = 0, null_runs = 0,
                         tolerance = 1e-10, max_iter = 5000, verbose = FALSE)
  # the model is exact at rank 1
  expect_lt(found$measures$bicv.error[1], 1e-4)
  plain <- estimate_rank(x, 1, nrun = 1, seed = 1, folds = 0, null_runs = 0, verbose = FALSE)
  expect_gt(plain$measures$bicv.error, 0.01)
})

test_that("rules do what they say", {
  errors <- data.frame(fold = rep(1:3, 4), rank = rep(2:5, each = 3),
                       error = c(9, 9.1, 8.9, 5.05, 5.1, 4.92, 5, 5.1, 4.9, 7, 7, 7))
  # standard error of the lowest: 0.058
  expect_identical(unalloy:::one_error_rule(errors), 3)
  errors$error[4:6] <- c(5.1, 5.2, 5)
  expect_identical(unalloy:::one_error_rule(errors), 4)
  errors$error[1:3] <- c(4.9, 4.9, 50) # a fold that fails does not make a rank good
  expect_identical(unalloy:::one_error_rule(errors), 4)
  expect_identical(unalloy:::before_fall(2:5, c(0.99, 0.98, 0.90, 0.95)), 3L)
  expect_identical(unalloy:::before_fall(2:3, c(0.9, 0.99)), NA_real_)
})

test_that("matching finds components in any order", {
  bases <- withr::with_seed(1, matrix(runif(60), 20))
  fake <- list(fits = list(list(basis = bases), list(basis = bases[, c(3, 1, 2)] * 7)))
  expect_equal(unalloy:::matched_cosines(fake), c(1, 1))
})

test_that("arguments out of range are refused", {
  refused <- function(...) {
    expect_refusal(estimate_rank(planted$x, ..., verbose = FALSE), "argument")
  }
  refused(ranks = 0)
  refused(ranks = 1.5)
  refused(folds = 2)
  refused(blocks = 1)
  refused(held_out = 0)
  refused(folds = 6, held_out = 0.2)
  refused(keep_all = TRUE)
  expect_refusal(estimate_rank(-planted$x, 2:3, verbose = FALSE), "negative_values")
  expect_snapshot(estimate_rank(planted$x, folds = 2), error = TRUE)
})
