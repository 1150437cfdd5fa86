# Which error model is taken, and why: never in silence.

sim <- simulate_bulk(n_genes = 600, n_types = 4, n_samples = 4, n_donors = 2, cells_per_type = 30,
                     platform_sd = 0.7, seed = 21)
signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
genes <- rownames(sim$bulk_counts)
weights <- stats::setNames(rep_len(c(0, 1, 0.5), 600), genes)
info <- data.frame(symbol = genes, length = unname(sim$gene_lengths), weight = unname(weights))
fit <- function(lengths = sim$gene_lengths, ..., verbose = FALSE) {
  deconvolve_bulk(signatures, sim$bulk_counts, lengths, protocol = "full_length",
                  verbose = verbose, ...)
}

test_that("weights leave the error model as it is, and combine with it", {
  from_table <- fit(info)
  expect_identical(from_table$error_model, "platform")
  expect_identical(fit(gene_weights = weights)$exposures, from_table$exposures)
  # weight 0 leaves a gene out, whatever its counts
  counts <- sim$bulk_counts
  counts[weights == 0, ] <- 0
  # totals, of which the floor is a part, are those of all counts
  expect_equal(deconvolve_bulk(signatures, counts, info, protocol = "full_length",
                               verbose = FALSE)$proportions,
               from_table$proportions, tolerance = 0.02)
  expect_true(all(from_table$model$weights[weights == 0] == 0))
  expect_true(any(from_table$model$weights == 0.5))
  expect_identical(fit(info, gene_weights = "none")$exposures,
                   fit(gene_weights = "none")$exposures)
  expect_identical(fit(info, gene_weights = "auto")$exposures, fit()$exposures)
})

test_that("protocol genes are left out beside the weights of a table", {
  rows <- c(5, 9)
  named <- genes
  named[rows] <- c("MT-CO1", "RPL13")
  reference <- signatures$profiles
  counts <- sim$bulk_counts
  rownames(reference) <- rownames(counts) <- info$symbol <- named
  model_weights <- function(...) {
    deconvolve_bulk(reference, counts, info, protocol = "full_length", verbose = FALSE,
                    ...)$model$weights
  }
  expect_identical(model_weights()[rows], c(0, 0))
  expect_true(all(weights[rows] > 0))
  # the Poisson model takes the table as it stands, and leaves protocol genes out without one
  expect_identical(model_weights(error_model = "poisson"), unname(weights))
  expect_identical(model_weights(error_model = "poisson", gene_weights = "auto")[rows], c(0, 0))
  expect_identical(model_weights(error_model = "poisson", gene_weights = "none"), rep(1, 600))
})

test_that("what is chosen is said", {
  expect_snapshot(invisible(fit(info, verbose = TRUE)))
  expect_snapshot(invisible(fit(l2_lambda = 1, verbose = TRUE)))
  expect_message(fit(method = "em", verbose = TRUE), "for `method`, which only it has")
  first <- function(result) utils::capture.output(print(result))[1]
  expect_identical(first(fit()), "Platform error model (the default)")
  expect_identical(first(fit(error_model = "platform")), "Platform error model (as asked for)")
  expect_identical(first(fit(error_model = "poisson")), "Poisson model (as asked for)")
  expect_identical(first(fit(intercept = TRUE)),
                   "Poisson model (for `intercept`, which only it has)")
  expect_identical(utils::capture.output(print(summary(fit())))[1],
                   "Platform error model (the default)")
})

test_that("the Poisson model says what it trusts in vain", {
  expect_message(fit(error_model = "poisson", verbose = TRUE), "trusts the reference gene by gene")
})

test_that("a default intercept does not take what types could explain", {
  # nothing of what the types mark is in the second sample: uniform reads fit best
  profiles <- matrix(1e-6, 300, 3, dimnames = list(paste0("g", 1:300), c("A", "B", "C")))
  for (j in 1:3) profiles[(j - 1) * 20 + 1:20, j] <- 1
  bulk <- cbind(mixed = 100 * drop(profiles %*% c(3, 2, 1)) + 1, flat = rep(50, 300))
  bulk <- round(bulk)
  expect_warning(
    result <- deconvolve_bulk(profiles, bulk, error_model = "poisson", verbose = FALSE),
    class = "unalloy_warning_no_types"
  )
  expect_false(anyNA(result$proportions))
  expect_identical(unname(result$intercept_fraction["flat"]), 0)
  alone <- deconvolve_bulk(profiles, bulk[, "flat", drop = FALSE], error_model = "poisson",
                           intercept = FALSE, verbose = FALSE)
  expect_equal(result$proportions[, "flat"], alone$proportions[, 1], tolerance = 1e-6)
  again <- suppressWarnings(predict(result, bulk))
  expect_equal(again, result$proportions, tolerance = 1e-6)
})

test_that("an estimate of 1 has the lower end that the limits of the others leave", {
  set.seed(3)
  one <- matrix(stats::rpois(600, 2e4 * sim$profiles[, 1]), 600, 1, dimnames = list(genes, "one"))
  result <- deconvolve_bulk(sim$profiles[, 1:2], one, error_model = "poisson", intercept = FALSE,
                            type_error = 0, verbose = FALSE)
  table <- confint(result)
  if (result$proportions[1, 1] < 1) skip("no type is at zero")
  expect_lt(table$lower[1], 1)
  expect_equal(table$upper[1], 1)
  expect_equal(table$lower[1], 1 - table$upper[2], tolerance = 0.05)
})
