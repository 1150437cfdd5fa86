# Genes that bend with three factors of a sample.
bent_profiles <- function(genes = 60, samples = 200, seed = 1) {
  loadings <- withr::with_seed(99, matrix(rnorm(genes * 3), genes))
  withr::local_seed(seed)
  line <- loadings %*% matrix(rnorm(3 * samples), 3)
  x <- 2 + sin(line) + matrix(rnorm(genes * samples, sd = 0.05), genes)
  dimnames(x) <- list(paste0("g", seq_len(genes)), paste0("s", seq_len(samples)))
  x
}
x <- bent_profiles()
new <- `colnames<-`(bent_profiles(samples = 60, seed = 2), paste0("n", 1:60))
A <- measurement_matrix(10, x, max_correlation = 0.6, seed = 1)
y <- measure(new, A, verbose = FALSE)
learn <- function(..., seed = 1, verbose = FALSE) learn_decoder(..., seed = seed, verbose = verbose)
decode <- function(..., verbose = FALSE) recover_profiles(..., verbose = verbose)
left <- function(found) mean((found$profiles - new)^2)

test_that("ridge is the regression of genes on measurements at its penalty", {
  for (snr in c(Inf, 3)) {
    decoder <- learn(x, A, "ridge", snr = snr)
    noise <- mean(x^2) / snr^2
    w <- as.matrix(A)
    centred <- x - rowMeans(x)
    read <- w %*% centred
    slope <- tcrossprod(centred, read) %*%
      solve(tcrossprod(read) + (200 * noise + decoder$trials$penalty) * tcrossprod(w))
    expect_equal(decoder$weights$slope, slope, tolerance = 1e-8, ignore_attr = TRUE)
    by_hand <- rowMeans(x) + slope %*% (y - rowMeans(w %*% x))
    expect_equal(decode(y, A, decoder)$profiles, by_hand, tolerance = 1e-8, ignore_attr = TRUE)
    # no other penalty is better, by refits without each sample
    error <- function(penalty) {
      lines <- vapply(1:200, function(i) {
        own <- x[, -i]
        read <- w %*% (own - rowMeans(own))
        slope <- tcrossprod(own - rowMeans(own), read) %*%
          solve(tcrossprod(read) + (200 * noise + penalty) * tcrossprod(w))
        sum((x[, i] - rowMeans(own) - slope %*% (w %*% (x[, i] - rowMeans(own))))^2)
      }, 0)
      mean(lines)
    }
    if (snr == Inf) {
      best <- error(decoder$trials$penalty)
      expect_equal(decoder$trials$error, best, tolerance = 1e-8)
      expect_lte(best, error(decoder$trials$penalty * 3))
      expect_lte(best, error(decoder$trials$penalty / 3))
    }
  }
})

test_that("bells find what lines can't, and are not used where they are of no use", {
  kernel <- learn(x, A)
  ridge <- learn(x, A, "ridge")
  expect_lt(left(decode(y, A, kernel)), 0.6 * left(decode(y, A, ridge)))
  expect_identical(decode(y, A, kernel)$method, "kernel")
  # the best of the trials is used, and ridge is among them
  expect_identical(which(kernel$trials$chosen), which.min(kernel$trials$error))
  straight <- modular_profiles(samples = 150)
  A <- measurement_matrix(20, straight, max_correlation = 0.6, seed = 1)
  y <- measure(straight[, 101:150], A, verbose = FALSE)
  error <- function(method) {
    mean((decode(y, A, learn(straight[, 1:100], A, method))$profiles - straight[, 101:150])^2)
  }
  expect_lt(error("kernel"), 1.03 * error("ridge"))
})

test_that("intervals cover with and without noise", {
  # genes of a sample err together: coverage of 60 samples has a standard error of 0.015, of 600
  # of 0.005
  many <- `colnames<-`(bent_profiles(samples = 600, seed = 4), paste0("n", 1:600))
  for (snr in c(Inf, 5)) {
    read <- measure(many, A, snr = snr, seed = 3, verbose = FALSE)
    for (method in c("kernel", "ridge")) {
      found <- decode(read, A, learn(x, A, method, snr = snr))
      covered <- evaluate_recovery(many, found, verbose = FALSE)$scores
      covered <- covered$estimate[covered$score == "coverage"]
      expect_gt(covered, 0.93)
      expect_lt(covered, 0.98)
    }
  }
})

test_that("a decoder for noise is better on noisy measurements, and noise is noticed without", {
  read <- measure(new, A, snr = 3, seed = 3, verbose = FALSE)
  for (method in c("kernel", "ridge")) {
    exact <- learn(x, A, method)
    noisy <- learn(x, A, method, snr = 3)
    expect_lt(left(decode(read, A, noisy)), left(suppressWarnings(decode(read, A, exact))))
    expect_silent(decode(y, A, exact))
  }
  expect_warning(decode(50 * y, A, learn(x, A, "ridge")), class = "unalloy_warning_unlike_training")
  expect_snapshot(found <- decode(50 * y, A, learn(x, A, "ridge")))
})

test_that("genes and measurements are matched by name, and units do not matter", {
  decoder <- learn(x, A)
  found <- decode(y, A, decoder)
  turned <- learn(x[60:1, ], A, seed = 1)
  expect_equal(decode(y[10:1, ], as.matrix(A)[10:1, 60:1], decoder)$profiles, found$profiles,
               tolerance = 1e-10)
  expect_equal(decode(y, A, turned)$profiles[rownames(x), ], found$profiles, tolerance = 1e-6)
  units <- 10^seq(-2, 2, length.out = 10)
  scaled <- decode(units * y, units * as.matrix(A), learn(x, units * as.matrix(A)))
  expect_equal(scaled$profiles, found$profiles, tolerance = 1e-6)
  expect_equal(scaled$standard_errors, found$standard_errors, tolerance = 1e-6)
  # genes that are not measured are recovered from the others
  part <- as.matrix(A)[, 1:40]
  unseen <- decode(part %*% new[1:40, ], part, learn(x, part))
  expect_gt(mean(diag(cor(t(unseen$profiles[41:60, ]), t(new[41:60, ])))), 0.5)
})

test_that("a decoder is a plain list that files keep", {
  decoder <- learn(x, A)
  file <- withr::local_tempfile()
  saveRDS(decoder, file)
  expect_identical(decode(y, A, readRDS(file)), decode(y, A, decoder))
  expect_true(all(vapply(decoder$weights, is.matrix, NA)))
})

test_that("the same seed gives the same bits with any number of threads", {
  for (method in c("kernel", "ridge")) {
    landmarks <- if (method == "kernel") list(landmarks = 150)
    on <- function(threads) {
      do.call(learn, c(list(x, A, method, snr = 4, threads = threads), landmarks))[]
    }
    one <- on(1)
    three <- on(3)
    one$call <- three$call <- NULL
    expect_identical(three, one)
  }
  expect_false(identical(learn(x, A, seed = 2)$weights, learn(x, A, seed = 1)$weights))
})

test_that("input that does not fit is told", {
  decoder <- learn(x, A, "ridge")
  expect_snapshot(error = TRUE, {
    learn(x, A, "forest")
    learn(x, A, "ridge", landmarks = 10)
    learn(x[, 1:2], A)
    learn(0 * x, A)
    learn(x[1:30, ], A)
    learn(x, 0 * as.matrix(A))
    learn(x, A, snr = 0)
    learn(replace(x, 5, NA), A)
    decode(y, A, decoder, "omp")
    decode(y, A, decoder, sparsity = 3)
    decode(y[1:5, ], as.matrix(A)[1:5, ], decoder)
    decode(y, 2 * as.matrix(A), decoder)
    decode(y, `colnames<-`(as.matrix(A), paste0("h", 1:60)), decoder)
    decode(y, as.matrix(A)[, 1:50], decoder)
    decode(replace(y, 3, NA), A, decoder)
  })
  expect_refusal(learn(replace(x, 7, Inf), A), "infinite_values")
  expect_refusal(learn(`rownames<-`(x, paste0("h", 1:60)), A), "no_common_genes")
  expect_refusal(learn(x, A, landmarks = 0), "argument")
})

test_that("results print themselves", {
  expect_snapshot({
    print(learn(x, A, snr = 8))
    print(learn(x, A, "ridge"))
    print(decode(y, A, learn(x, A, "ridge")))
  })
})
