# Cells of three clones: variants of the first, the second and the third alone,
# germline variants of all; a fifth of the homozygous-looking calls are dropouts
# by few reads.
planted_alleles <- function(seed = 1, cells = 40, depth = 5) {
  withr::local_seed(seed)
  clone <- rep(1:3, each = cells)
  own <- kronecker(diag(3), matrix(0.5, 8, 1))
  genotype <- rbind(own, matrix(0.5, 10, 3))
  n <- nrow(genotype) * length(clone)
  coverage <- matrix(rpois(n, depth), nrow(genotype))
  alt <- matrix(rbinom(n, coverage, genotype[, clone]), nrow(genotype))
  names <- list(paste0("variant", seq_len(nrow(alt))), paste0("cell", seq_along(clone)))
  dimnames(alt) <- dimnames(coverage) <- names
  list(ref = coverage - alt, alt = alt, clone = clone, genotype = genotype)
}
alleles <- planted_alleles()
fit_alleles <- function(..., ref = alleles$ref, alt = alleles$alt, rank = 3, seed = 1) {
  factorise_variants(ref, alt, rank, seed = seed, verbose = FALSE, ...)
}
fit <- fit_alleles()

test_that("planted clones are found, and most of their cells with certainty", {
  table <- table(fit$cells$clone, alleles$clone)
  expect_equal(sum(apply(table, 2, max)), 120)
  expect_gt(mean(fit$cells$certainty), 0.95)
  # V is the mean call, up to scale: the clone's own variants stand out
  own <- fit$basis[, apply(table, 2, which.max)]
  expect_gt(min(diag(cor(own, alleles$genotype))), 0.9)
})

test_that("calls, weights and residuals are what the help says", {
  cover <- alleles$ref + alleles$alt
  ref <- alleles$ref
  alt <- alleles$alt
  m <- ifelse(ref >= 1 & alt >= 1, 0.5, ifelse(alt >= 1, 1, 0)) * (cover >= 2)
  expect_equal(as.matrix(fit$calls), m)
  expect_equal(as.matrix(fit$weights), ifelse(cover < 2, 0, ifelse(m == 0.5, 1, 0.5)),
               ignore_attr = TRUE)
  expect_identical(fit$cells$calls, as.integer(colSums(cover >= 2)))
  coverage <- fit_alleles(weights = "coverage", nrun = 1, bootstrap = 0)
  expect_equal(as.matrix(coverage$weights),
               ifelse(cover < 2, 0, ifelse(m == 0.5, 1, 1 - 0.5^cover)), ignore_attr = TRUE)
  twice <- fit_alleles(min_allele_reads = 2, nrun = 1, bootstrap = 0)
  expect_equal(as.matrix(twice$calls),
               ifelse(ref >= 2 & alt >= 2, 0.5, ifelse(alt >= 2, 1, 0)) * (cover >= 2))
  w <- as.matrix(fit$weights)
  error <- (m - fitted(fit))^2
  expect_equal(fit$residual, c(weighted = sum(w * error) / sum(w * m^2),
                               squared = sum(w^2 * error) / sum(w^2 * m^2)))
})

test_that("the objective is the stated one, never rises, and the noise minimises it", {
  w <- as.matrix(fit$weights)
  m <- as.matrix(fit$calls)
  calls <- rowSums(w > 0)
  # but by rounding
  expect_true(all(diff(fit$trace) <= 1e-12 * abs(fit$trace[1])))
  # C is scaled for reading, so the ridge is left to the difference
  error <- rowSums(w * (m - fitted(fit))^2)
  ridge <- fit$trace[length(fit$trace)] -
    0.5 * sum(error / fit$noise + calls * log(fit$noise))
  expect_gt(ridge, 0)
  centre <- rowSums(w * m) / rowSums(w)
  floor <- 0.25 * rowSums(w * (m - centre)^2) / calls
  # the last factors moved a little after the noise was set
  expect_equal(unname(fit$noise), unname(pmax(error / calls, floor)), tolerance = 1e-2)
  common <- fit_alleles(noise = "common", bootstrap = 0)
  expect_equal(min(common$runs$objective), 0.5 * sum(w * (m - fitted(common))^2))
  expect_equal(common$noise, stats::setNames(rep(1, 34), rownames(m)))
})

test_that("factors stay in the unit box, shares add up and do not depend on scale", {
  expect_true(all(fit$basis >= 0 & fit$basis <= 1 & is.finite(fit$basis)))
  expect_equal(unname(apply(fit$coef, 1, max)), rep(1, 3))
  expect_equal(unname(colSums(fit$shares)), rep(1, 120))
  part <- fit$coef * colSums(fit$basis)
  expect_equal(fit$shares, t(t(part) / colSums(part)))
  expect_true(all(fit$intervals$lower <= fit$intervals$upper))
  expect_identical(coef(fit), fit$coef)
  expect_identical(as.data.frame(fit), fit$cells)
})

test_that("sparse counts give the same, and threads do not change a bit", {
  sparse <- fit_alleles(ref = as(as(alleles$ref, "dMatrix"), "CsparseMatrix"),
                        alt = as(as(alleles$alt, "dMatrix"), "CsparseMatrix"), bootstrap = 5)
  dense <- fit_alleles(bootstrap = 5, threads = 1)
  same <- c("basis", "coef", "intervals", "cells", "trace")
  expect_identical(sparse[same], dense[same])
  # alt is matched by name
  shuffled <- fit_alleles(alt = alleles$alt[34:1, 120:1], bootstrap = 5)
  expect_identical(shuffled[same], dense[same])
})

test_that("seeds are kept and R's stream is left alone", {
  withr::local_seed(5)
  before <- .Random.seed
  fit_alleles(nrun = 1, bootstrap = 0)
  expect_identical(.Random.seed, before)
  fit_alleles(nrun = 1, bootstrap = 0, seed = NULL)
  expect_false(identical(.Random.seed, before))
})

test_that("weights of one's own count, and equal rows can be left out by weight 0", {
  own <- 1 * (alleles$ref + alleles$alt >= 2)
  binary <- fit_alleles(weights = "binary", nrun = 2, bootstrap = 0)
  expect_identical(fit_alleles(weights = own, nrun = 2, bootstrap = 0)$trace, binary$trace)
  own[1:3, ] <- 0
  zero <- fit_alleles(weights = own, nrun = 2, bootstrap = 0, noise = "common")
  without <- fit_alleles(weights = "binary", nrun = 2, bootstrap = 0, noise = "common",
                         exclude = c("variant1", "variant2", "variant3"))
  # other starts, the same optimum
  expect_equal(zero$basis[-(1:3), ], without$basis, tolerance = 0.05)
  expect_true(all(zero$basis[1:3, ] == 0))
})

test_that("filters leave out what they say", {
  filtered <- fit_alleles(min_variant_coverage = 0.95, min_cell_coverage = 0.9, exclude = 1:2,
                          min_allele_frequency = 0.05, nrun = 1, bootstrap = 0)
  covered <- alleles$ref + alleles$alt >= 2
  keep <- rowMeans(covered) >= 0.95
  keep[1:2] <- FALSE
  expect_identical(rownames(filtered$basis), names(which(keep)))
  expect_identical(filtered$cells$cell, names(which(colMeans(covered[keep, ]) >= 0.9)))
  expect_setequal(filtered$left_out$variants, names(which(!keep)))
})

test_that("bad input is refused in the user's words", {
  expect_snapshot(error = TRUE, fit_alleles(alt = alleles$alt[-1, ]))
  expect_snapshot(error = TRUE, fit_alleles(ref = alleles$ref / 2))
  expect_snapshot(error = TRUE, fit_alleles(ref = replace(alleles$ref, 3, NA)))
  expect_snapshot(error = TRUE, fit_alleles(rank = 60))
  expect_snapshot(error = TRUE, fit_alleles(exclude = "rs1"))
  expect_snapshot(error = TRUE, fit_alleles(min_coverage = 100))
  expect_snapshot(error = TRUE, fit_alleles(weights = "best"))
  expect_refusal(fit_alleles(weights = matrix(-1, 34, 120)), "argument")
  expect_refusal(fit_alleles(ref = letters), "argument")
  renamed <- alleles$alt
  rownames(renamed)[1] <- "other"
  expect_refusal(fit_alleles(alt = renamed), "alleles")
})

test_that("cells without calls have no clone, and too many clones are told", {
  silent <- alleles
  silent$ref[, 7] <- silent$alt[, 7] <- 0
  expect_warning(out <- fit_alleles(ref = silent$ref, alt = silent$alt, bootstrap = 3),
                 class = "unalloy_warning_no_calls")
  expect_true(is.na(out$cells$clone[7]) && is.na(out$cells$certainty[7]))
  expect_true(all(out$coef[, 7] == 0))
  expect_warning(fit_alleles(max_iter = 2, nrun = 1, bootstrap = 0, noise = "common"),
                 class = "unalloy_warning_not_converged")
})

test_that("prints and plots", {
  expect_snapshot(print(fit_alleles(nrun = 3, bootstrap = 10)))
  for (type in c("composition", "genotypes", "certainty")) {
    expect_s3_class(plot(fit, type), "ggplot")
    expect_no_error(ggplot2::ggplot_build(plot(fit, type)))
  }
  bars <- plot(fit, group = alleles$clone)$data
  expect_equal(nrow(bars), 360)
  expect_refusal(plot(fit, group = 1:3), "argument")
  expect_refusal(plot(fit_alleles(nrun = 1, bootstrap = 0), "certainty"), "argument")
})

test_that("reference clones of a patient are found, with no larger residual than published", {
  path <- real_data("cclone_vaf")
  for (patient in c("A1", "A4")) {
    reads <- function(file) {
      as(Matrix::readMM(gzfile(file.path(path, patient, file))), "CsparseMatrix")
    }
    published <- c(A1 = 0.151, A4 = 0.439)[[patient]]
    fit <- factorise_variants(reads("ref.mtx.gz"), reads("alt.mtx.gz"),
                              rank = if (patient == "A1") 2 else 3, nrun = 2, bootstrap = 0,
                              min_allele_reads = if (patient == "A1") 1 else 2, seed = 1)
    expect_lte(fit$residual[["squared"]], published)
    if (patient == "A1") {
      cells <- utils::read.delim(file.path(path, patient, "cells.tsv"))
      known <- !is.na(cells$refclone_Healthy)
      healthy <- cells$refclone_Healthy[known] > 0.5
      auc <- apply(fit$shares[, known], 1, function(share) {
        (mean(rank(share)[healthy]) - (sum(healthy) + 1) / 2) / sum(!healthy)
      })
      expect_gte(max(auc), 0.95)
    }
  }
})

test_that("alternations that do not settle are told of", {
  # one iteration per round moves too little for 50 rounds to be enough
  expect_warning(hasty <- fit_alleles(nrun = 1, bootstrap = 0, max_iter = 1, tolerance = 0),
                 class = "unalloy_warning_not_converged")
  expect_identical(hasty$runs$reason, "rounds")
  # it was still falling by more than the rule asks for
  expect_length(hasty$trace, 51L)
  expect_lt(diff(hasty$trace)[50], -1e-6 * sum(hasty$weights@x > 0))
  expect_false(hasty$runs$converged)
  expect_true(all(fit$runs$reason == "tolerance" & fit$runs$converged))
})

test_that("calls that are all reference leave nothing to explain", {
  none <- suppressWarnings(fit_alleles(ref = alleles$ref + alleles$alt, alt = 0 * alleles$alt,
                                       rank = 2, nrun = 1, bootstrap = 0,
                                       min_allele_frequency = 0))
  expect_identical(none$residual, c(weighted = NA_real_, squared = NA_real_))
  expect_output(print(none), "Weighted residual NA")
})
