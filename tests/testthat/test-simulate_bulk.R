test_that("the same seed gives the same draw, and NULL takes one from R's stream", {
  a <- simulate_bulk(n_genes = 50, n_types = 3, n_samples = 2, seed = 1)
  expect_identical(a, simulate_bulk(n_genes = 50, n_types = 3, n_samples = 2, seed = 1))
  set.seed(4)
  b <- simulate_bulk(n_genes = 50, n_types = 3, n_samples = 2)
  set.seed(4)
  expect_identical(b, simulate_bulk(n_genes = 50, n_types = 3, n_samples = 2))
  expect_false(identical(a$bulk_counts, b$bulk_counts))
})

test_that("truth is given as shares of cells and of mRNA", {
  expect_equal(unname(colSums(small$truth_cells)), rep(1, 5))
  content <- small$truth_cells * small$cell_sizes
  # single cells differ by 30 % in size: 1,000 of them average it out
  expect_equal(small$truth_mrna, content / rep(colSums(content), each = 4), tolerance = 0.03)
  shares <- cbind(c(a = 0.2, b = 0.8), c(0.5, 0.5))
  sim <- simulate_bulk(n_genes = 50, proportions = shares, cells_per_sample = 1e5, seed = 1)
  expect_equal(unname(sim$truth_cells), unname(shares), tolerance = 0.02)
  expect_identical(rownames(sim$truth_cells), c("a", "b"))
})

test_that("a missing type is in the bulk and not in the reference", {
  sim <- simulate_bulk(n_genes = 60, n_types = 3, n_samples = 2, missing_type = "Type B", seed = 1)
  expect_identical(levels(sim$cells$cell_type), c("Type A", "Type C"))
  expect_true(all(sim$truth_cells["Type B", ] > 0))
  expect_refusal(simulate_bulk(n_types = 3, missing_type = 1:3), "argument")
  expect_refusal(simulate_bulk(n_types = 3, missing_type = "Z"), "argument")
})

test_that("platform factors and lengths are in the reads", {
  quiet <- list(n_genes = 300, n_types = 1, n_samples = 1, donor_sd = 0, overdispersion = 0,
                depth = 1e8, seed = 1)
  sim <- do.call(simulate_bulk, c(quiet, platform_sd = 0.7))
  rate <- log(sim$bulk_counts[, 1] / (sim$profiles[, 1] * sim$gene_lengths))
  expect_equal(unname(rate - mean(rate)), unname(sim$platform - mean(sim$platform)),
               tolerance = 0.02)
})

test_that("settings out of range are named", {
  expect_snapshot(error = TRUE, simulate_bulk(n_genes = 0))
  expect_snapshot(error = TRUE, simulate_bulk(depth = -1))
  expect_refusal(simulate_bulk(proportions = matrix(1, 2, 2)), "argument")
  expect_snapshot(print(simulate_bulk(n_genes = 50, n_types = 3, n_samples = 2, seed = 1)))
})
