planted_blocks <- function(seed = 1) {
  withr::local_seed(seed)
  sparse <- function(n, m) matrix(rexp(n * m) * (runif(n * m) < 0.6), n)
  h <- sparse(3, 40)
  blocks <- list(rna = sparse(60, 3) %*% h, protein = 1000 * sparse(12, 3) %*% h)
  blocks <- lapply(blocks, function(x) {
    dimnames(x) <- list(paste0("f", seq_len(nrow(x))), paste0("s", seq_len(ncol(x))))
    x
  })
  list(blocks = blocks, h = h)
}
planted <- planted_blocks()
joint <- function(..., blocks = planted$blocks, rank = 3, seed = 1) {
  factorise_joint(blocks, rank, seed = seed, verbose = FALSE, ...)
}
fit <- joint()

test_that("planted coefficients are found, and both blocks are explained", {
  agreement <- cor(t(fit$coef), t(planted$h))
  expect_gt(min(apply(agreement, 2, max)), 0.98)
  expect_true(all(fit$explained$explained > 0.999))
  x <- planted$blocks
  for (block in names(x)) {
    expect_equal(fit$explained$explained[fit$explained$block == block],
                 1 - sum((x[[block]] - fitted(fit)[[block]])^2) / sum(x[[block]]^2))
  }
  expect_equal(unname(rowSums(fit$contribution)), c(1, 1))
})

test_that("blocks count the same whatever their units, and as their weights say", {
  scaled <- planted$blocks
  scaled$protein <- scaled$protein / 777
  again <- joint(blocks = scaled)
  expect_equal(again$coef, fit$coef, tolerance = 1e-6)
  expect_equal(again$basis$protein * 777, fit$basis$protein, tolerance = 1e-6)
  noisy <- planted$blocks
  withr::local_seed(2)
  noisy[] <- lapply(noisy, function(x) x * matrix(rexp(length(x)), nrow(x)))
  even <- joint(blocks = noisy)
  heavy <- joint(blocks = noisy, block_weights = c(protein = 50, rna = 1))
  expect_gt(heavy$explained$explained[2], even$explained$explained[2])
  expect_lt(heavy$explained$explained[1], even$explained$explained[1])
  # the objective is the weighted sum of squares
  loss <- 0.5 * sum((1 - even$explained$explained))
  expect_equal(even$fit$objective, loss, tolerance = 1e-8)
})

test_that("one block is nmf(), and sparse blocks give what dense ones do", {
  alone <- joint(blocks = planted$blocks["rna"], nrun = 2)
  x <- planted$blocks$rna
  plain <- nmf(x / sqrt(sum(x^2)), 3, nrun = 2, seed = 1, tolerance = 1e-8, verbose = FALSE)
  expect_equal(alone$coef, plain$coef, ignore_attr = TRUE, tolerance = 1e-10)
  thin <- lapply(planted$blocks, function(x) x * (x > quantile(x, 0.8)))
  sparse <- lapply(thin, function(x) as(as(x, "dMatrix"), "CsparseMatrix"))
  expect_equal(joint(blocks = sparse)$coef, joint(blocks = thin)$coef, tolerance = 1e-6)
})

test_that("samples are matched by name, and new ones need not have all blocks", {
  shuffled <- planted$blocks
  shuffled$protein <- shuffled$protein[, c(40:1)]
  expect_equal(joint(blocks = shuffled)$coef, fit$coef)
  short <- planted$blocks
  short$protein <- short$protein[, -(1:2)]
  expect_message(part <- joint(blocks = short), "2 samples")
  expect_identical(colnames(part$coef), paste0("s", 3:40))
  # planted without noise: one block says as much as both
  expect_equal(predict(fit, planted$blocks["protein"]), fit$coef, tolerance = 1e-2)
  expect_identical(predict(fit), fit$coef)
  expect_equal(predict(fit, lapply(planted$blocks, function(x) x[, 1:5])), fit$coef[, 1:5],
               tolerance = 1e-4)
  reordered <- planted$blocks$rna[60:1, 1:5]
  expect_equal(predict(fit, list(rna = reordered)), predict(fit, list(rna = reordered[60:1, ])))
})

test_that("bad input is refused in the user's words", {
  other <- planted$blocks
  colnames(other$protein) <- paste0("t", 1:40)
  expect_snapshot(error = TRUE, joint(blocks = other))
  expect_snapshot(error = TRUE, joint(block_weights = c(1, -1)))
  expect_snapshot(error = TRUE, joint(blocks = list(matrix(1, 3, 4), matrix(1, 3, 5))))
  expect_snapshot(error = TRUE, joint(method = "brunet"))
  expect_snapshot(error = TRUE, predict(fit, list(lipids = matrix(1, 3, 4))))
  expect_refusal(joint(blocks = 1:3), "argument")
  expect_refusal(joint(blocks = list(a = -planted$blocks$rna)), "negative_values")
  expect_refusal(predict(fit, list(rna = planted$blocks$rna[-1, ])), "features")
  expect_snapshot(print(joint(nrun = 2)), transform = function(lines) {
    sub("residual [0-9.e-]+", "residual <small>", lines)
  })
  expect_snapshot(error = TRUE, joint(method = "offset"))
})
