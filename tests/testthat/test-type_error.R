# The error that the genes of a type share.

shares <- rbind(A = c(0.4, 0.2, 0.4), B = c(0.3, 0.5, 0.3), C = c(0.3, 0.3, 0.3))
sim <- simulate_bulk(n_genes = 500, proportions = shares, n_donors = 4, cells_per_type = 40,
                     seed = 7)
signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
fit_shared <- function(type_error = 0.3, ...) {
  deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, protocol = "full_length",
                  type_error = type_error, verbose = FALSE, ...)
}
given <- fit_shared()

test_that("the full covariance is that of differences and J S J'", {
  added <- vcov(given, samples = 1) - vcov(given, samples = 1, of = "differences")
  p <- given$proportions[, 1]
  jacobian <- diag(p) - outer(p, p)
  # no type is rarer than what others express of its markers, so that its own share moves
  moves <- pmax(given$exposures[, 1], marker_background(given$model, given$exposures)[, 1])
  expect_equal(unname(moves), unname(given$exposures[1:3, 1]))
  s <- 0.3^2 * type_correlation(given$model)
  expect_equal(unname(added), unname(jacobian %*% s %*% jacobian), tolerance = 1e-10)
  # shares sum to 1 in both
  expect_equal(rowSums(vcov(given, samples = 1)), c(A = 0, B = 0, C = 0), tolerance = 1e-10)
})

test_that("a size of 0 leaves it out, and counting alone has none", {
  none <- fit_shared(0)
  expect_identical(vcov(none), vcov(none, of = "differences"))
  expect_identical(vcov(given, of = "differences"), vcov(none))
  expect_identical(vcov(given, variance = "poisson"), vcov(none, variance = "poisson"))
  expect_identical(type_error(none)$sd, c(0, 0, 0))
})

test_that("sizes may differ between types, by name or in order", {
  named <- type_error(fit_shared(c(C = 0.1, A = 0.2, B = 0.3)))
  expect_identical(named$sd, c(0.2, 0.3, 0.1))
  expect_identical(named$from, rep("given", 3))
  expect_identical(type_error(fit_shared(c(0.2, 0.3, 0.1)))$sd, named$sd)
})

test_that("the prior shrinks with the gene error, and grows with few cells", {
  table <- type_error(fit_shared("auto"))
  object <- fit_shared("auto")
  object$signatures["donor_counts"] <- list(NULL)
  prior <- function(tau, cells) {
    object$gene_error <- tau
    object$signatures$cells <- stats::setNames(rep(cells, 3), rownames(shares))
    type_error(object)$sd[1]
  }
  expect_equal(prior(0.6, Inf), sqrt(0.12^2 + (0.35 * 0.6)^2))
  expect_equal(prior(0, 25), sqrt(0.12^2 + 0.1^2))
  expect_match(table$from, "4 donors")
})

test_that("types with one profile share their error, those with markers do not", {
  model <- given$model
  model$sources <- cbind(model$sources[, 1:3], D = model$sources[, 3])
  model$n_types <- 4L
  correlation <- type_correlation(model)
  expect_equal(correlation[3, 4], 1, tolerance = 1e-8)
  expect_true(all(correlation[1, 2:4] < 0.2))
  expect_gte(min(eigen(correlation, symmetric = TRUE)$values), -1e-8)
})

test_that("the bootstrap over donors does not count what donors make twice", {
  draw <- function(of, over) {
    suppressMessages(vcov(fit, samples = 1, of = of, method = "bootstrap", over = over,
                          replicates = 5, seed = 1))
  }
  fit <- fit_shared("auto")
  # over donors alone only the reference's part is asked for
  expect_identical(draw("shares", "donors"), draw("differences", "donors"))
  added <- draw("shares", c("donors", "genes")) - draw("differences", c("donors", "genes"))
  p <- fit$proportions[, 1]
  jacobian <- diag(p) - outer(p, p)
  s <- outer(type_error(fit)$platform, type_error(fit)$platform) * type_correlation(fit$model)
  expect_equal(unname(added), unname(jacobian %*% s %*% jacobian), tolerance = 1e-8)
})

test_that("shares of cells have the error of the mRNA per cell beside, unless sizes are given", {
  blood <- signatures
  colnames(blood$profiles) <- c("B cell", "T cell", "Monocyte")
  blood["donor_counts"] <- list(NULL)
  fit <- function(size) {
    suppressWarnings(deconvolve_bulk(blood$profiles, sim$bulk_counts, sim$gene_lengths,
                                     protocol = "full_length", cell_size = size, type_error = 0,
                                     verbose = FALSE))
  }
  literature <- fit("literature")
  expect_true(all(type_error(literature)$cell_size > 0))
  known <- fit(literature$cell_size)
  expect_identical(type_error(known)$cell_size, c(0, 0, 0))
  expect_identical(known$cell_fractions, literature$cell_fractions)
  error <- function(fit, what, of) sqrt(diag(vcov(fit, samples = 1, what = what, of = of)))
  expect_true(all(error(literature, "cell_fractions", "shares") >
                    error(known, "cell_fractions", "shares")))
  expect_identical(error(literature, "cell_fractions", "differences"),
                   error(known, "cell_fractions", "differences"))
  expect_identical(error(literature, "proportions", "shares"),
                   error(known, "proportions", "shares"))
})

# Eight types whose genes are too high by a factor of their own in the bulk.
shifted <- function(sd, seed) {
  many <- simulate_bulk(n_genes = 1600, n_types = 8, n_samples = 6, platform_sd = 0,
                        donor_sd = 0, cells_per_type = 40, seed = seed)
  set.seed(seed)
  xi <- exp(stats::rnorm(8, 0, sd))
  profiles <- many$profiles
  truth <- many$truth_mrna
  seen <- truth * xi
  bulk <- matrix(stats::rpois(length(many$bulk_counts), 1e6 * profiles %*%
                                normalise_columns(seen)), nrow(profiles),
                 dimnames = dimnames(many$bulk_counts))
  list(fit = deconvolve_bulk(profiles, bulk, verbose = FALSE), truth = truth)
}

test_that("samples of known composition tell its size", {
  large <- shifted(0.6, 2)
  prior <- mean(type_error(large$fit)$sd)
  learned <- learn_type_error(large$fit, large$truth)
  # the mean of prior (4 degrees of freedom) and estimate (7): 0.6 is known to a fifth
  expect_gt(mean(type_error(learned)$sd), 0.35)
  expect_gt(mean(type_error(learned)$sd), 2 * prior)
  expect_match(type_error(learned)$from, "6 samples of known composition")
  expect_gt(mean(confint(learned)$upper - confint(learned)$lower),
            mean(confint(large$fit)$upper - confint(large$fit)$lower))
  none <- shifted(0, 2)
  expect_lt(mean(type_error(learn_type_error(none$fit, none$truth))$sd), 0.8 * prior)
})

test_that("platforms of the reference tell its size", {
  cells <- sim$cells
  platform <- rep(c("one", "two"), length.out = nrow(cells))
  parts <- split(seq_len(nrow(cells)), platform)
  of <- function(values) lapply(parts, function(own) values[own])
  joined <- build_signatures(lapply(parts, function(own) sim$reference[, own]),
                             cell_types = of(cells$cell_type), donors = of(cells$donor))
  whole <- build_signatures(sim$reference, cells$cell_type, cells$donor, platforms = platform)
  expect_equal(joined$profiles, whole$profiles)
  expect_equal(as.matrix(joined$platform_counts$counts), as.matrix(whole$platform_counts$counts))
  expect_equal(joined$profiles, signatures$profiles)
  kept <- joined[, c("A", "C")]
  expect_identical(unique(as.character(kept$platform_counts$type)), c("A", "C"))
  size <- function(signatures) {
    fit <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths,
                           protocol = "full_length", verbose = FALSE)
    expect_match(type_error(fit)$from, "2 platforms")
    mean(type_error(fit)$sd)
  }
  # on the second platform the markers of two types are far off, together
  changed <- sim$reference
  marker <- max.col(sim$profiles)
  for (type in 1:2) {
    own <- which(platform == "two" & cells$cell_type == rownames(shares)[type])
    changed[marker == type, own] <- changed[marker == type, own] * 3
  }
  other <- build_signatures(changed, cells$cell_type, cells$donor, platforms = platform)
  expect_gt(size(other), 1.5 * size(whole))
})

test_that("references that contradict each other are refused", {
  cells <- sim$cells
  platform <- ifelse(cells$cell_type == "A", "one", "two")
  expect_snapshot(error = TRUE, {
    build_signatures(sim$reference, cells$cell_type, platforms = platform)
  })
  expect_snapshot(error = TRUE, {
    build_signatures(list(sim$reference, sim$reference), cells$cell_type)
  })
  expect_refusal(build_signatures(list(a = sim$reference, b = sim$reference), cells$cell_type,
                                  platforms = platform), "argument")
})

test_that("sizes that can't be are refused", {
  expect_snapshot(error = TRUE, fit_shared(-0.1))
  expect_snapshot(error = TRUE, fit_shared(c(0.1, 0.2)))
  expect_refusal(fit_shared(c(A = 0.1, B = 0.2, X = 0.3)), "type_error")
  expect_refusal(fit_shared(NA_real_), "type_error")
  expect_refusal(fit_shared("large"), "type_error")
  expect_snapshot(error = TRUE, learn_type_error(given, sim$truth_mrna * 0))
  bad <- sim$truth_mrna
  rownames(bad)[1] <- "X"
  expect_snapshot(error = TRUE, learn_type_error(given, bad))
})

test_that("contrasts leave out what samples share", {
  none <- contrast(fit_shared(0), 1, 3)
  full <- contrast(given, 1, 3)
  # one composition: the shared error moves both alike, up to the noise of the estimates
  expect_equal(full$std_error, none$std_error, tolerance = 0.02)
  expect_identical(full$p_value, none$p_value)
  # where compositions differ it scales the difference
  wide <- contrast(given, 1, 2)
  expect_true(all(wide$std_error >= contrast(fit_shared(0), 1, 2)$std_error))
  alone <- sqrt(diag(vcov(given, samples = 1)) + diag(vcov(given, samples = 2)))
  expect_true(all(wide$std_error < alone))
  expect_equal(wide$difference, unname(given$proportions[, 1] - given$proportions[, 2]))
  two <- contrast(given, c(1, 3), 2)
  expect_equal(two$first, unname(rowMeans(given$proportions[, c(1, 3)])))
  swapped <- contrast(given, 2, c(1, 3))
  expect_equal(swapped$difference, -two$difference)
  expect_equal(swapped$std_error, two$std_error)
  expect_refusal(contrast(given, 1, 1), "argument")
  expect_refusal(contrast(given, 1), "argument")
  expect_error(contrast(given, 1, c("nobody", "none")), "no such sample")
})
