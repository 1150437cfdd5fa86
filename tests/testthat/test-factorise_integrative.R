# Two data sets: components that both have, each with a few genes that only one uses.
planted_sets <- function(seed = 1, own = 6) {
  withr::local_seed(seed)
  sparse <- function(n, m) matrix(rexp(n * m) * (runif(n * m) < 0.5), n)
  w <- sparse(50, 3)
  sets <- lapply(c(a = 30, b = 45), function(n) {
    v <- matrix(0, 50, 3)
    v[sample(50, 6), ] <- rexp(18) / 3
    h <- sparse(3, n)
    u <- sparse(own, 3)
    list(x = rbind((w + v) %*% h, u %*% h), h = h, u = u)
  })
  x <- Map(function(set, name) {
    rownames(set$x) <- c(paste0("g", 1:50), paste0(name, seq_len(own)))
    colnames(set$x) <- paste0(name, "_s", seq_len(ncol(set$x)))
    set$x
  }, sets, names(sets))
  list(x = x, w = w, sets = sets)
}
planted <- planted_sets()
integrate_sets <- function(..., x = planted$x, rank = 3, seed = 1, tolerance = 1e-8,
                           max_iter = 5000) {
  factorise_integrative(x, rank, seed = seed, tolerance = tolerance, max_iter = max_iter,
                        verbose = FALSE, ...)
}

# The objective by its definition; columns of W and rows of H are scaled together.
objective <- function(fit, x, lambda) {
  shared <- rownames(fit$shared)
  parts <- vapply(names(x), function(name) {
    h <- fit$coef[[name]]
    v <- fit$specific[[name]]
    u <- fit$unshared[[name]]
    scales <- fit$scales[[name]]
    e <- x[[name]][shared, ] / scales$shared
    value <- sum((e - (fit$shared + v) %*% h)^2) + lambda * sum((v %*% h)^2)
    if (!is.null(u)) {
      p <- x[[name]][rownames(u), ] / scales$own
      value <- value + sum((p - u %*% h)^2) + lambda * sum((u %*% h)^2)
    }
    value
  }, 0)
  sum(parts)
}

test_that("the objective is the stated one, never rises, and ends at a stationary point", {
  for (unshared in list(NULL, TRUE)) {
    fit <- integrate_sets(lambda = 2, unshared = unshared)
    # but by rounding
    expect_true(all(diff(fit$trace) <= 1e-12 * fit$trace[1]))
    expect_equal(min(fit$runs$objective), objective(fit, planted$x, 2), tolerance = 1e-8)
    expect_lt(fit$runs$kkt, 1e-3)
    expect_true(fit$runs$converged)
    expect_identical(is.null(fit$unshared$a), is.null(unshared))
    expect_true(all(unlist(fit[c("shared", "specific", "unshared", "coef")]) >= 0))
  }
})

test_that("shared parts and coefficients are found again", {
  fit <- integrate_sets(scale = FALSE, lambda = 1, nrun = 3)
  agreement <- cor(fit$shared, planted$w)
  expect_gt(min(apply(agreement, 2, max)), 0.95)
  match <- apply(agreement, 2, which.max)
  for (name in c("a", "b")) {
    expect_gt(min(diag(cor(t(fit$coef[[name]][match, ]), t(planted$sets[[name]]$h)))), 0.95)
  }
})

test_that("without room for own parts it is nmf() of the samples side by side", {
  fit <- integrate_sets(lambda = 1e6, scale = FALSE, nrun = 5)
  beside <- do.call(cbind, lapply(planted$x, function(x) x[1:50, ]))
  plain <- nmf(unname(beside), 3, nrun = 5, seed = 1, tolerance = 1e-10, verbose = FALSE)
  # V costs 1e6 times what it explains
  expect_lt(max(unlist(fit$specific)), 1e-4)
  expect_lt(max(fit$specific_share), 1e-6)
  expect_equal(min(fit$runs$objective), 2 * plain$objective, tolerance = 1e-3)
  expect_equal(fit$shared %*% coef(fit), plain$basis %*% plain$coef, ignore_attr = TRUE,
               tolerance = 1e-2)
  shares <- vapply(c(0.1, 1, 10, 100), function(lambda) {
    mean(integrate_sets(lambda = lambda, scale = FALSE)$specific_share)
  }, 0)
  expect_true(all(diff(shares) < 0))
})

test_that("features of one data set alone help its samples", {
  fit <- integrate_sets(unshared = list(a = c("a1", "a3")))
  expect_identical(rownames(fit$unshared$a), c("a1", "a3"))
  expect_null(fit$unshared$b)
  all <- integrate_sets(unshared = TRUE)
  expect_identical(rownames(all$unshared$b), paste0("b", 1:6))
})

test_that("sparse = dense, one thread = three, seeds are kept", {
  thin <- lapply(planted$x, function(x) x * (x > quantile(x, 0.6)))
  sparse <- lapply(thin, function(x) as(as(x, "dMatrix"), "CsparseMatrix"))
  a <- integrate_sets(x = thin, unshared = TRUE, max_iter = 25, tolerance = 0) |>
    suppressWarnings()
  b <- integrate_sets(x = sparse, unshared = TRUE, max_iter = 25, tolerance = 0) |>
    suppressWarnings()
  expect_equal(a$shared, b$shared, tolerance = 1e-8)
  expect_equal(a$trace, b$trace, tolerance = 1e-10)
  same <- c("shared", "specific", "coef", "trace")
  expect_identical(integrate_sets(threads = 1)[same], integrate_sets(threads = 3)[same])
  expect_false(identical(integrate_sets(seed = 1)$trace[1], integrate_sets(seed = 2)$trace[1]))
})

test_that("samples of a data set get the coefficients of the fit, new ones their own", {
  fit <- integrate_sets(unshared = TRUE, tolerance = 1e-12)
  # H is solved before V, U and W in the last iteration
  expect_equal(predict(fit, planted$x$a, dataset = "a"), fit$coef$a, tolerance = 1e-3)
  expect_identical(predict(fit), coef(fit))
  expect_identical(predict(fit, dataset = "b"), fit$coef$b)
  expect_refusal(predict(fit, dataset = "z"), "argument")
  plain <- integrate_sets(scale = FALSE, lambda = 100)
  expect_equal(predict(plain, planted$x$b), plain$coef$b, tolerance = 0.1)
})

test_that("bad input is refused in the user's words", {
  narrow <- list(a = planted$x$a, b = planted$x$a[1, , drop = FALSE])
  expect_snapshot(error = TRUE, integrate_sets(x = narrow))
  expect_snapshot(error = TRUE, integrate_sets(unshared = list(a = "g1")))
  expect_snapshot(error = TRUE, integrate_sets(unshared = list(z = "g1")))
  expect_snapshot(error = TRUE, integrate_sets(lambda = -1))
  expect_snapshot(error = TRUE, integrate_sets(rank = 60))
  expect_refusal(integrate_sets(x = list(a = -planted$x$a)), "negative_values")
  expect_refusal(integrate_sets(x = 1), "argument")
  expect_warning(integrate_sets(max_iter = 3), class = "unalloy_warning_not_converged")
  expect_snapshot(print(integrate_sets(unshared = TRUE)), transform = function(lines) {
    lines <- sub("residual [0-9.e-]+", "residual <small>", lines)
    sub("after [0-9,]+", "after some", lines)
  })
})
