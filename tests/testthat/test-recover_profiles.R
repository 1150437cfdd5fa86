planted <- planted_profiles(genes = 200, size = 200, samples = 12, sparsity = 4, seed = 1)

# Orthogonal matching pursuit by scikit-learn; NULL where it is not.
sklearn_omp <- function(modules, y, k) {
  python <- "/usr/bin/python3"
  if (!file.exists(python)) return(NULL)
  folder <- withr::local_tempdir()
  utils::write.table(modules, file.path(folder, "d.txt"), row.names = FALSE, col.names = FALSE)
  utils::write.table(y, file.path(folder, "y.txt"), row.names = FALSE, col.names = FALSE)
  code <- paste0("import numpy as np; from sklearn.linear_model import orthogonal_mp as o; ",
                 "import os; os.chdir('", folder, "'); d = np.loadtxt('d.txt'); ",
                 "y = np.loadtxt('y.txt'); np.savetxt('w.txt', o(d, y, n_nonzero_coefs=", k,
                 "), fmt='%.17g')")
  status <- suppressWarnings(system2(python, c("-c", shQuote(code)), stdout = FALSE,
                                     stderr = FALSE))
  if (status != 0) return(NULL)
  as.matrix(utils::read.table(file.path(folder, "w.txt")))
}

test_that("sparse profiles come back exactly from 3 k log(n / k) measurements", {
  # which is 47 for 4 of 200
  for (type in c("gaussian", "sparse")) {
    A <- measurement_matrix(60, planted$x, type, 0.4, seed = 2)
    y <- measure(planted$x, A, verbose = FALSE)
    found <- recover_profiles(y, A, planted$modules, verbose = FALSE)
    expect_lt(max(abs(found$profiles - planted$x)), 1e-8)
    expect_equal(as.matrix(found$activities), planted$activities, tolerance = 1e-8,
                 ignore_attr = TRUE)
  }
})

test_that("whole profiles and whole modules give the profile itself", {
  x <- abs(planted$x[1:40, ])
  identity <- diag(40)
  dimnames(identity) <- list(NULL, rownames(x))
  for (method in c("omp", "nn_omp", "nnls")) {
    arguments <- list(measure(x, identity, verbose = FALSE), identity,
                      `rownames<-`(diag(40), rownames(x)), method, verbose = FALSE)
    if (method != "nnls") arguments$sparsity <- 40
    # least squares carries a relative ridge of 1e-12
    expect_equal(do.call(recover_profiles, arguments)$profiles, x, tolerance = 1e-10)
  }
})

test_that("genes are matched by name and their order does not matter", {
  A <- measurement_matrix(60, planted$x, max_correlation = 0.4, seed = 2)
  y <- measure(planted$x, A, verbose = FALSE)
  found <- recover_profiles(y, A, planted$modules, verbose = FALSE)
  turned <- recover_profiles(y, as.matrix(A)[, 200:1], planted$modules[c(101:200, 1:100), ],
                    verbose = FALSE)
  expect_equal(turned$profiles[rownames(planted$x), ], found$profiles, tolerance = 1e-9)
  # rows of y by name, too
  expect_equal(recover_profiles(y[60:1, ], A, planted$modules, verbose = FALSE)$profiles,
               found$profiles)
  # genes that are not measured are recovered from the others
  part <- as.matrix(A)[, 1:150]
  y <- part %*% planted$x[1:150, ]
  unseen <- recover_profiles(y, part, planted$modules, verbose = FALSE)$profiles[151:200, ]
  expect_equal(unseen, planted$x[151:200, ], tolerance = 1e-7)
})

test_that("matching pursuit is scikit-learn's", {
  withr::local_seed(5)
  modules <- matrix(rnorm(30 * 60), 30)
  modules <- sweep(modules, 2, sqrt(colSums(modules^2)), "/")
  y <- matrix(rnorm(30 * 20), 30)
  theirs <- sklearn_omp(modules, y, 6)
  if (is.null(theirs)) skip("scikit-learn is not at hand")
  ours <- recover_profiles(y, diag(30), modules, sparsity = 6, verbose = FALSE)$activities
  expect_equal(as.matrix(ours), theirs, tolerance = 1e-6, ignore_attr = TRUE)
})

test_that("pursuit and non-negative lasso give what scikit-learn 1.2.1 gave", {
  # orthogonal_mp(b, y, n_nonzero_coefs = 4), and Lasso(alpha = 0.2 / 12, positive =
  # True, fit_intercept = False, tol = 1e-15): formulas in place of random numbers.
  b <- outer(1:12, 1:20, function(i, j) sin(0.37 * i * j + j))
  b <- sweep(b, 2, sqrt(colSums(b^2)), "/")
  y <- cos(0.9 * 1:12) + 0.5
  stored <- numeric(20)
  stored[c(3, 4, 14, 18)] <- c(-2.423762444363892, -0.7763328016547358, 0.7892597793259999,
                               1.6431021124036038)
  ours <- recover_profiles(y, diag(12), b, sparsity = 4, verbose = FALSE)$activities
  expect_equal(as.vector(ours), stored, tolerance = 1e-9)
  stored <- numeric(20)
  stored[c(2, 4:7, 15, 16, 18, 20)] <- c(
    1.3530120088110658, 0.43296689009402717, 0.7493106336339813, 0.5310408953542328,
    0.02403818742309332, 0.006055455924402792, 1.0687510808597227, 0.20362172249653487,
    0.8926066016977537
  )
  ours <- recover_profiles(y, diag(12), b, "nn_lasso", penalty = 0.2, verbose = FALSE)$activities
  expect_equal(as.vector(ours), stored, tolerance = 1e-6)
})

test_that("the lasso satisfies its optimality conditions, with and without signs", {
  withr::local_seed(6)
  b <- matrix(rnorm(40 * 70) + 0.3, 40)
  y <- matrix(rnorm(40 * 10) + 0.3, 40)
  for (method in c("lasso", "nn_lasso")) {
    for (penalty in c(0.5, 3, 12)) {
      fit <- recover_profiles(y, diag(40), b, method, penalty = penalty, verbose = FALSE)
      w <- as.matrix(fit$activities)
      pull <- crossprod(b, y - b %*% w)
      expect_lte(max(if (method == "lasso") abs(pull) else pull), penalty * (1 + 1e-9))
      expect_equal(pull[w != 0], penalty * sign(w[w != 0]), tolerance = 1e-9)
      if (method == "nn_lasso") expect_true(all(w >= 0))
    }
  }
  few <- recover_profiles(y, diag(40), b, "lasso", sparsity = 7, verbose = FALSE)
  expect_lte(max(diff(few$activities@p)), 7)
})

test_that("the non-negative lasso is glmnet's", {
  skip_if_not_installed("glmnet")
  withr::local_seed(7)
  for (draw in 1:10) {
    b <- matrix(rnorm(40 * 25), 40)
    y <- rnorm(40)
    penalty <- runif(1, 0.1, 0.6) * max(crossprod(b, y))
    theirs <- glmnet::glmnet(b, y, lambda = penalty / 40, lower.limits = 0, standardize = FALSE,
                             intercept = FALSE, thresh = 1e-22, maxit = 1e7)
    ours <- recover_profiles(y, diag(40), b, "nn_lasso", penalty = penalty,
                             verbose = FALSE)$activities
    expect_equal(as.vector(ours), as.vector(theirs$beta), tolerance = 1e-6)
  }
})

test_that("non-negative least squares satisfies its optimality conditions", {
  withr::local_seed(8)
  b <- matrix(rnorm(40 * 20) + 0.5, 40)
  y <- matrix(rnorm(40 * 6) + 0.5, 40)
  w <- as.matrix(recover_profiles(y, diag(40), b, "nnls", verbose = FALSE)$activities)
  pull <- crossprod(b, y - b %*% w)
  expect_true(all(w >= 0))
  expect_lt(max(pull), 1e-8)
  expect_lt(max(abs(pull[w > 0])), 1e-8)
})

test_that("standard errors are those of least squares, and cover the truth", {
  x <- modular_profiles(genes = 120, samples = 260)
  modules <- learn_dictionary(x[, 1:200], 25, "ksvd", 5, seed = 1, verbose = FALSE)
  A <- measurement_matrix(40, x, max_correlation = 0.45, seed = 1)
  of_gene <- function(chosen, variance, sd) {
    u <- modules$modules[, chosen]
    sqrt(variance * rowSums((u %*% solve(crossprod(as.matrix(A) %*% u))) * u) + sd^2)
  }
  for (snr in c(Inf, 2)) {
    y <- measure(x[, 201:260], A, snr, seed = 1, verbose = FALSE)
    found <- recover_profiles(y, A, modules, sparsity = 5, verbose = FALSE)
    chosen <- which(found$activities[, 1] != 0)
    plain <- of_gene(chosen, found$samples$measurement_sd[1]^2, modules$residual_sd)
    expect_equal(found$standard_errors[, 1], plain * found$inflation)
    expect_true(all(found$inflation >= 1))
    # no sample is surer than lack of fit and noise are
    misfit <- mean(as.matrix(A)^2 %*% modules$residual_sd^2)
    expect_equal(min(found$samples$measurement_sd), sqrt(misfit + found$noise^2))
    covered <- evaluate_recovery(x[, 201:260], found, verbose = FALSE)$scores
    covered <- covered$estimate[covered$score == "coverage"]
    # nominal 0.95; normal deviations in a check of a check
    expect_gt(covered, 0.92)
    expect_lt(covered, 0.98)
  }
  # unit rows of A read the noise of expression as it is
  noise <- sqrt(mean(x[, 201:260]^2)) / 2
  expect_equal(found$noise, noise, tolerance = 0.1)
  given <- recover_profiles(y, A, modules, sparsity = 5, noise = noise, verbose = FALSE)
  expect_identical(given$noise, noise)
  expect_equal(given$standard_errors, found$standard_errors, tolerance = 0.1)
  more <- recover_profiles(y, A, modules, sparsity = 5, noise = 2 * noise, verbose = FALSE)
  expect_gt(median(more$standard_errors / given$standard_errors), 1.3)
  # of modules whose lack of fit is not known, the residual or the noise
  bare <- function(...) {
    recover_profiles(y, A, modules$modules, sparsity = 5, verbose = FALSE, ...)
  }
  left <- sqrt(sum((y[, 1] - as.matrix(A) %*% bare()$profiles[, 1])^2) / 35)
  expect_equal(bare()$standard_errors[, 1], of_gene(chosen, left^2, 0))
  expect_null(bare()$noise)
  expect_equal(bare(noise = 3)$standard_errors[, 1], of_gene(chosen, 9, 0))
  interval <- confint(found, parm = "g3", level = 0.9)
  expect_equal(interval$upper - interval$lower,
               2 * qnorm(0.95) * unname(found$standard_errors["g3", ]))
})

test_that("intervals hold the noise, whatever found the modules", {
  x <- modular_profiles(genes = 100, modules = 15, samples = 400)
  A <- measurement_matrix(40, x, max_correlation = 0.45, seed = 1)
  for (method in c("smaf", "snmf", "svd", "ksvd")) {
    seed <- if (method != "svd") 1
    modules <- suppressWarnings(learn_dictionary(x[, 1:250], 60, method, 5, seed = seed,
                                                 verbose = FALSE))
    for (snr in c(Inf, 2)) {
      y <- measure(x[, 251:400], A, snr, seed = 1, verbose = FALSE)
      found <- recover_profiles(y, A, modules, sparsity = 5, verbose = FALSE)
      inside <- mean(abs(x[, 251:400] - found$profiles) <= qnorm(0.975) * found$standard_errors)
      # without noise on the wide side: no gene's factor is below 1
      expect_gt(inside, 0.90)
      expect_lt(inside, 0.98)
    }
  }
})

test_that("the number of threads changes nothing", {
  x <- modular_profiles()
  modules <- learn_dictionary(x, 20, "svd", 5, verbose = FALSE)
  A <- measurement_matrix(30, x, max_correlation = 0.5, seed = 1)
  y <- measure(x, A, snr = 5, seed = 1, verbose = FALSE)
  for (method in c("omp", "nn_omp", "lasso", "nn_lasso")) {
    expect_identical(recover_profiles(y, A, modules, method, 5, threads = 1, verbose = FALSE),
                     recover_profiles(y, A, modules, method, 5, threads = 3, verbose = FALSE))
  }
})

test_that("input that does not fit is told", {
  x <- planted$x
  A <- measurement_matrix(20, x, max_correlation = 0.5, seed = 1)
  y <- measure(x, A, verbose = FALSE)
  expect_snapshot(error = TRUE, recover_profiles(y[1:10, ], as.matrix(A)[1:10, ], planted$modules))
  expect_snapshot(error = TRUE, recover_profiles(y, A, planted$modules[-(1:3), ]))
  foreign <- `rownames<-`(planted$modules, paste0("ENSG", 1:200))
  expect_snapshot(error = TRUE, recover_profiles(y, A, foreign))
  expect_refusal(recover_profiles(y, A, `rownames<-`(foreign, rep("g1", 200))), "gene_names")
  expect_snapshot(error = TRUE, recover_profiles(unname(t(y)), A, planted$modules))
  expect_snapshot(error = TRUE, recover_profiles(y[-1, ], A, planted$modules))
  bad <- y
  bad[2, 3] <- NA
  expect_snapshot(error = TRUE, recover_profiles(bad, A, planted$modules))
  expect_snapshot(error = TRUE, recover_profiles(y, A, planted$modules, "nnls", sparsity = 3))
  expect_snapshot(error = TRUE, recover_profiles(y, A, planted$modules, penalty = 3))
  expect_refusal(recover_profiles(y, A, "a"), "argument")
  expect_refusal(recover_profiles(y, A, planted$modules, noise = -1), "argument")
  expect_refusal(recover_profiles(y, A, planted$modules, noise = 1, standard_errors = FALSE),
                 "argument")
  expect_refusal(recover_profiles(y, A, planted$modules, "lasso", 5, penalty = 3), "argument")
  expect_refusal(confint(recover_profiles(y, A, planted$modules, standard_errors = FALSE,
                                 verbose = FALSE)), "argument")
  expect_snapshot(print(recover_profiles(y, A, planted$modules, verbose = FALSE)))
})

test_that("attaching the package masks nothing of R itself", {
  base <- unlist(lapply(c("base", "stats", "utils", "graphics", "grDevices", "methods"),
                        getNamespaceExports))
  exports <- getNamespaceExports("unalloy")
  expect_identical(intersect(exports, base), character())
})
