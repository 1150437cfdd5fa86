# A cohort in blocks: the same bits whatever the blocks, the workers and the disk.

skip_if_not_installed("DelayedArray")
skip_if_not_installed("HDF5Array")
skip_if_not_installed("withr")

# nine groups of 16 samples, the last one not full
n_genes <- 150L
cohort <- simulate_bulk(n_genes = n_genes, n_types = 3, n_samples = 131, cells_per_type = 20,
                        platform_sd = 0.3, seed = 8)
cohort_signatures <- build_signatures(cohort$reference, cohort$cells$cell_type,
                                      cohort$cells$donor)
on_disk <- function(x = cohort$bulk_counts) methods::as(x, "HDF5Array")
fit_cohort <- function(bulk = cohort$bulk_counts, ...) {
  deconvolve_bulk(cohort_signatures, bulk, cohort$gene_lengths, verbose = FALSE, ...)
}
# what a result says, without how it was called and where its counts are
told <- function(result) {
  result <- unclass(result)
  result[c("call", "counts")] <- NULL
  result
}
# so that `groups` groups of 16 samples are read at a time
in_groups_of <- function(groups, code) {
  withr::with_options(list(unalloy.block_size = 8 * n_genes * 16 * groups), code)
}
whole <- fit_cohort()

test_that("blocks of one group, of seven, and of all have the bits of memory", {
  counts <- on_disk()
  for (groups in c(1, 7, 100)) {
    expect_identical(told(in_groups_of(groups, fit_cohort(counts))), told(whole))
  }
})

test_that("so has every model and what is done to it", {
  counts <- on_disk()
  same <- function(...) {
    expect_identical(told(in_groups_of(3, fit_cohort(counts, ...))), told(fit_cohort(...)))
  }
  same(error_model = "poisson", seed = 4)
  same(method = "em", seed = 4)
  same(sparsity = "lrt")
  same(l1_lambda = 0.5)
  same(array_background = "quantile")
})

test_that("intervals, tests and predictions do not depend on blocks", {
  kept <- in_groups_of(2, fit_cohort(on_disk()))
  expect_identical(in_groups_of(2, confint(kept)), confint(whole))
  expect_identical(in_groups_of(3, test_presence(kept)), test_presence(whole))
  expect_identical(in_groups_of(1, predict(kept, on_disk(), "exposures")),
                   predict(whole, cohort$bulk_counts, "exposures"))
  some <- c(120, 3, 77)
  expect_identical(in_groups_of(1, confint(kept[some])), confint(whole[some]))
})

test_that("the unit of the values is that of all of them", {
  odd <- cohort$bulk_counts
  storage.mode(odd) <- "double"
  # of a sample that is not among the first that are looked at
  odd[5, 2] <- odd[5, 2] + 0.5
  result <- in_groups_of(2, fit_cohort(on_disk(odd)))
  expect_identical(result$genes$unit, fit_cohort(odd)$genes$unit)
  expect_false(result$genes$unit == "counts")
  expect_identical(told(result), told(fit_cohort(odd)))
})

test_that("bad values on disk are told as those in memory", {
  bad <- cohort$bulk_counts
  bad[3, 50] <- NA
  expect_error(fit_cohort(on_disk(bad)), class = "unalloy_error_missing_counts")
  bad[3, 50] <- -1L
  expect_error(in_groups_of(1, fit_cohort(on_disk(bad))), "gene \"Gene003\", sample \"Sample050\"",
               class = "unalloy_error_negative_counts")
  bad <- cohort$bulk_counts
  bad[, 2] <- 0L
  expect_error(fit_cohort(on_disk(bad)), class = "unalloy_error_empty_sample")
})

test_that("workers give the same bits", {
  skip_if_not_installed("BiocParallel")
  set.seed(1)
  before <- .Random.seed
  for (workers in list(BiocParallel::SerialParam(), BiocParallel::MulticoreParam(2))) {
    expect_identical(told(fit_cohort(BPPARAM = workers)), told(whole))
    expect_identical(told(in_groups_of(2, fit_cohort(on_disk(), BPPARAM = workers))), told(whole))
    expect_identical(confint(whole, BPPARAM = workers), confint(whole))
    expect_identical(test_presence(whole, BPPARAM = workers), test_presence(whole))
  }
  expect_identical(.Random.seed, before)
  bad <- cohort$bulk_counts
  bad[3, 50] <- NA
  caught <- expect_error(fit_cohort(on_disk(bad), BPPARAM = BiocParallel::MulticoreParam(2)),
                         class = "unalloy_error_missing_counts")
  expect_identical(as.character(caught$call[[1L]]), "deconvolve_bulk")
})

test_that("what cannot work is refused", {
  expect_error(fit_cohort(BPPARAM = 2), class = "unalloy_error_argument")
  expect_error(confint(whole, BPPARAM = "slurm"), class = "unalloy_error_argument")
  expect_error(fit_cohort(resume = 3), class = "unalloy_error_argument")
  file <- withr::local_tempfile()
  writeLines("", file)
  expect_error(fit_cohort(resume = file.path(file, "below")), class = "unalloy_error_unwritable")
})

test_that("finished blocks are not worked on again", {
  folder <- withr::local_tempdir()
  counts <- on_disk()
  first <- in_groups_of(2, fit_cohort(counts, resume = folder))
  expect_identical(told(first), told(whole))
  files <- list.files(folder, full.names = TRUE)
  expect_length(files, 5L)
  # a block with an answer of its own is taken as it is
  answer <- readRDS(files[1])
  answer$answer$fit$iterations[] <- 99L
  saveRDS(answer, files[1])
  again <- in_groups_of(2, fit_cohort(counts, resume = folder))
  expect_identical(sum(again$convergence$iterations == 99L), length(answer$answer$fit$iterations))
  # and lost ones are made anew
  unlink(files[1])
  expect_identical(told(in_groups_of(2, fit_cohort(counts, resume = folder))), told(whole))
  # another fit finds nothing
  in_groups_of(2, fit_cohort(counts, resume = folder, ll_tolerance = 1e-7))
  expect_length(list.files(folder), 10L)
  writeLines("cut short", files[2])
  expect_error(in_groups_of(2, fit_cohort(counts, resume = folder)),
               class = "unalloy_error_unreadable")
})

test_that("fitted counts and residuals on disk are those in memory", {
  file <- withr::local_tempfile(fileext = ".h5")
  small_blocks <- function(code) {
    withr::with_options(list(unalloy.block_size = 4 * 8 * n_genes * 64), code)
  }
  means <- small_blocks(fitted(whole, sink = file))
  expect_s4_class(means, "DelayedMatrix")
  expect_identical(as.matrix(means), fitted(whole))
  kept <- fit_cohort(on_disk())
  left <- small_blocks(residuals(kept, "pearson", sink = file))
  expect_identical(as.matrix(left), residuals(whole, "pearson"))
  some <- c("Sample090", "Sample002")
  other <- withr::local_tempfile(fileext = ".h5")
  left <- residuals(whole, "deviance", some, sink = other)
  expect_identical(as.matrix(left), residuals(whole, "deviance", some))
  expect_error(fitted(whole, sink = file), class = "unalloy_error_unwritable")
  expect_error(fitted(whole, sink = file.path(file, "x.h5")), class = "unalloy_error_unwritable")
  expect_error(fitted(whole, sink = 5), class = "unalloy_error_argument")
  text <- withr::local_tempfile(lines = "no HDF5")
  expect_error(fitted(whole, sink = text), class = "unalloy_error_unwritable")
})

test_that("expression per type on disk is that in memory", {
  quiet <- function(result, ...) cell_type_expression(result, verbose = FALSE, ...)
  kept <- in_groups_of(2, fit_cohort(on_disk()))
  for (units in c("counts", "cpm")) {
    expected <- quiet(whole, units = units)
    file <- withr::local_tempfile(fileext = ".h5")
    found <- in_groups_of(2, quiet(kept, units = units, sink = file))
    expect_s4_class(found$expression, "DelayedArray")
    expect_identical(as.array(found$expression), expected$expression)
    expect_identical(as.array(found$std_error), expected$std_error)
    genes <- c("Gene004", "Gene002")
    samples <- c("Sample040", "Sample002", "Sample003")
    one <- found[genes, "Type B", samples]
    expect_identical(as.matrix(one$expression),
                     expected$expression[genes, "Type B", samples])
    expect_identical(expression_reliability(found), expression_reliability(expected))
    spread <- expected[, , c("Sample131", "Sample001", "Sample017")]
    error <- as.array(spread, "std_error", sink = withr::local_tempfile(fileext = ".h5"))
    expect_identical(as.array(error), spread$std_error)
  }
  split <- quiet(whole, method = "allocation")
  file <- withr::local_tempfile(fileext = ".h5")
  expect_identical(as.array(as.array(split, sink = file)), split$expression)
})

test_that("workers find the same expression", {
  skip_if_not_installed("BiocParallel")
  found <- cell_type_expression(whole, verbose = FALSE)
  file <- withr::local_tempfile(fileext = ".h5")
  by_two <- as.array(found, sink = file, BPPARAM = BiocParallel::MulticoreParam(2))
  expect_identical(as.array(by_two), found$expression)
  expect_warning(as.array(found, BPPARAM = BiocParallel::SerialParam()),
                 class = "unalloy_warning_unused_argument")
})

test_that("a large cohort is learnt from some of its samples, in memory and on disk", {
  large <- simulate_bulk(n_genes = 60, n_types = 2, n_samples = 530, cells_per_type = 20,
                         n_donors = 5, seed = 3)
  signatures <- build_signatures(large$reference, large$cells$cell_type, large$cells$donor)
  fit <- function(bulk) deconvolve_bulk(signatures, bulk, verbose = FALSE)
  expression <- function(result, ...) cell_type_expression(result, verbose = FALSE, ...)
  result <- fit(large$bulk_counts)
  found <- expression(result)
  learning <- unique(round(seq(1, 530, length.out = 500)))
  # sizes of samples that nothing was learnt from are as those of the others
  direct <- expression(result[learning])
  expect_equal(found$model$sizes[learning], direct$model$sizes, tolerance = 1e-12)
  expect_identical(found$model$between, direct$model$between)
  expect_equal(found[, , learning[1:20]]$expression, direct[, , 1:20]$expression,
               tolerance = 1e-10)
  left <- setdiff(1:530, learning)
  expect_lt(max(abs(log(found$model$sizes[left]))), 1)
  expect_identical(expression(fit(on_disk(large$bulk_counts)))$expression, found$expression)
})

test_that("sparse cells are read sparse, in blocks, to the same signatures", {
  cells <- DelayedArray::DelayedArray(cohort$reference)
  expect_true(DelayedArray::is_sparse(cells))
  types <- cohort$cells$cell_type
  withr::local_options(unalloy.block_size = 8 * n_genes * 5)
  expect_identical(build_signatures(cells, types, cohort$cells$donor), cohort_signatures)
  factors <- nmf(cells, 2, seed = 1, verbose = FALSE)
  expect_identical(basis(factors), basis(nmf(cohort$reference, 2, seed = 1, verbose = FALSE)))
})

test_that("a matrix on disk that R cannot hold is refused", {
  huge <- DelayedArray::ConstantArray(c(50000L, 50000L), value = 1)
  expect_error(nmf(huge, 2), "2,500,000,000", class = "unalloy_error_too_large")
})
