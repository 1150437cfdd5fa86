sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 8, seed = 1)

test_that("a part that is nearly named is said, others are NULL", {
  fit <- nmf(sim$bulk_counts, 2, seed = 1, verbose = FALSE)
  expect_snapshot({
    is.null(fit$basi)
    is.null(sim$bulk_count)
  })
  expect_silent(expect_null(fit$elsewhere))
  expect_silent(expect_null(fit$ba))
  expect_identical(fit$basis, fit[["basis"]])
  fit$method <- "other"
  expect_identical(fit$method, "other")
})

test_that("every class of results has a summary that says something, and its methods refuse", {
  for (class in unalloy:::PARTED) {
    method <- getS3method("summary", class)
    expect_error(method(structure(list(), class = class), nonsense = 1),
                 class = "unalloy_error_argument")
    expect_false(is.null(getS3method("$", class, optional = TRUE)), info = class)
  }
})

test_that("what is about a table gives it", {
  set.seed(1)
  x <- cbind(matrix(rnorm(600), 20), matrix(rnorm(600, 2), 20))
  dimnames(x) <- list(paste0("Gene", 1:20), paste0("P", 1:60))
  found <- find_subtypes(x, k = 2:3, resamples = 10, null = 19, level = 1, seed = 1)
  expect_identical(as.data.frame(found),
                   data.frame(sample = colnames(x), subtype = unname(found$assignment)))
  expect_identical(tidy(found), as.data.frame(found))
  again <- replicate_subtypes(found, x, null = 19, seed = 1)
  expect_identical(as.data.frame(again), again$overall)
  expect_error(as.data.frame(again, nonsense = 1), class = "unalloy_error_argument")
  expect_identical(capture.output(summary(found)), capture.output(found))
})
