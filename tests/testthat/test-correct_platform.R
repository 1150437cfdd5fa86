# Individuals measured by both platforms: their cells, and a bulk sample whose
# genes have the factors of the simulation.  Other samples are only in the bulk.
matched_cohort <- function(n_donors = 4, platform_sd = 0.8, donor_sd = 0.1, seed = 1) {
  sim <- simulate_bulk(n_genes = 600, n_types = 4, n_samples = 10, n_donors = n_donors,
                       cells_per_type = 40, platform_sd = platform_sd, length_exponent = 0,
                       donor_sd = donor_sd, seed = seed)
  set.seed(seed)
  pseudo <- t(rowsum(t(as.matrix(sim$reference)), as.character(sim$cells$donor)))
  noise <- exp(stats::rnorm(length(pseudo), 0, 0.2))
  mean <- pseudo * noise * exp(sim$platform)
  mean <- mean / rep(colSums(mean), each = nrow(mean)) * 1e6
  both <- matrix(stats::rpois(length(mean), mean), nrow(mean), dimnames = dimnames(pseudo))
  sim$bulk <- cbind(both, sim$bulk_counts)
  sim$pseudo <- pseudo
  sim
}
cohort <- matched_cohort()
corrected <- correct_platform(cohort$bulk, cohort$reference, cohort$cells$donor)

expressed <- function(sim) {
  factors <- rowSums(sim$pseudo) / sum(sim$pseudo) * 1e6 > 100
  names(which(factors))
}

test_that("planted factors are recovered, within their standard errors", {
  factors <- as.data.frame(corrected)
  well <- factors$gene %in% expressed(cohort)
  planted <- cohort$platform - stats::median(cohort$platform[well])
  expect_gt(stats::cor(factors$log_factor[well], planted[well]), 0.95)
  z <- (factors$log_factor - planted)[well] / factors$std_error[well]
  expect_lt(abs(stats::median(z)), 0.6)
  expect_gt(mean(abs(z - stats::median(z)) < 2), 0.85)
  expect_equal(attr(corrected, "correction")$sd_factors, 0.8, tolerance = 0.15)
})

test_that("matched samples make the deconvolution of the others better", {
  rmse <- vapply(1:3, function(seed) {
    sim <- matched_cohort(seed = seed)
    signatures <- build_signatures(sim$reference, sim$cells$cell_type)
    others <- colnames(sim$truth_mrna)
    error <- function(bulk) {
      fit <- deconvolve_bulk(signatures, bulk, verbose = FALSE)
      sqrt(mean((fit$proportions[, others] - sim$truth_mrna)^2))
    }
    c(as_is = error(sim$bulk),
      corrected = error(correct_platform(sim$bulk, sim$reference, sim$cells$donor)))
  }, c(as_is = 0, corrected = 0))
  expect_lt(mean(rmse["corrected", ]), 0.5 * mean(rmse["as_is", ]))
})

test_that("where platforms agree, counts stay as they are", {
  same <- matched_cohort(platform_sd = 0)
  flat <- correct_platform(same$bulk, same$reference, same$cells$donor)
  well <- as.data.frame(flat)$gene %in% expressed(same)
  expect_lt(stats::sd(as.data.frame(flat)$log_factor[well]), 0.06)
  # the same counts on both sides: no factor at all
  twice <- correct_platform(same$pseudo, same$pseudo)
  expect_identical(as.data.frame(twice)$log_factor, numeric(600))
  expect_equal(as.vector(twice), as.vector(same$pseudo))
})

test_that("totals are kept, and the depth of a sample does not matter", {
  expect_equal(colSums(corrected), colSums(cohort$bulk))
  deeper <- cohort$bulk
  deeper[, 2] <- 20 * deeper[, 2]
  again <- as.data.frame(correct_platform(deeper, cohort$reference, cohort$cells$donor))
  factors <- as.data.frame(corrected)
  expect_gt(stats::cor(again$log_factor, factors$log_factor), 0.999)
  expect_lt(max(abs(again$log_factor - factors$log_factor)[factors$gene %in% expressed(cohort)]),
            0.05)
})

test_that("cells, pseudo-bulks and names of pairs give the same factors", {
  pseudo <- correct_platform(cohort$bulk, cohort$pseudo)
  expect_identical(as.data.frame(pseudo), as.data.frame(corrected))
  renamed <- cohort$bulk
  colnames(renamed)[1:4] <- paste0("p", 1:4)
  pairs <- stats::setNames(colnames(cohort$bulk)[1:4], paste0("p", 1:4))
  by_pairs <- correct_platform(renamed, cohort$pseudo, matches = pairs)
  expect_identical(as.data.frame(by_pairs), as.data.frame(corrected))
})

test_that("fewer individuals are shrunk more, and said", {
  size <- function(n) {
    out <- suppressWarnings(correct_platform(cohort$bulk[, c(seq_len(n), 5:14)], cohort$pseudo))
    stats::sd(as.data.frame(out)$log_factor)
  }
  expect_lt(size(1), size(2))
  expect_lt(size(2), size(4) + 0.02)
  expect_warning(correct_platform(cohort$bulk[, c(1, 5:14)], cohort$pseudo),
                 class = "unalloy_warning_few_matched")
})

test_that("genes without a reference keep their counts, up to the sample's scale", {
  part <- correct_platform(cohort$bulk, cohort$pseudo[1:300, ])
  factors <- as.data.frame(part)
  expect_identical(factors$log_factor[301:600], numeric(300))
  expect_identical(factors$individuals, rep(c(4L, 0L), each = 300))
  scale <- part[301:600, 1] / cohort$bulk[301:600, 1]
  expect_lt(diff(range(scale, na.rm = TRUE)), 1e-12)
})

test_that("cohorts without individuals in common are compared by their means", {
  bulk <- cohort$bulk[, 5:14]
  by_means <- correct_platform(bulk, cohort$reference, cohort$cells$donor, method = "cohort")
  factors <- as.data.frame(by_means)
  well <- factors$gene %in% expressed(cohort)
  expect_gt(stats::cor(factors$log_factor[well], cohort$platform[well]), 0.85)
  expect_warning(correct_platform(cohort$bulk, cohort$pseudo, method = "cohort"),
                 class = "unalloy_warning_same_composition")
  expect_refusal(correct_platform(bulk[, 1:2], cohort$pseudo, method = "cohort"), "donors")
})

test_that("it prints", {
  expect_snapshot(corrected, transform = function(lines) lines[1:2])
})

test_that("bad input is refused by name", {
  bulk <- cohort$bulk
  expect_snapshot(error = TRUE, {
    correct_platform(bulk[, 5:14], cohort$pseudo)
    correct_platform(bulk, cohort$pseudo, matches = c(Nobody = "Donor 1"))
    correct_platform(bulk, cohort$pseudo, matches = c(Sample01 = "Donor 9"))
    correct_platform(bulk, cohort$pseudo, matches = c("Donor 1", "Donor 2"))
    correct_platform(bulk, as.matrix(cohort$reference)[, c(1, 1, 2)])
    correct_platform(bulk, cohort$reference, donors = 1:3)
    correct_platform(unname(bulk), cohort$pseudo)
  })
  other <- cohort$pseudo
  rownames(other) <- paste0("X", seq_len(nrow(other)))
  expect_refusal(correct_platform(bulk, other), "no_common_genes")
})
