# Linear models of samples with errors of their own and a random intercept:
#
#   y = X b + u[block] + e,   Var(u) = omega,   Var(e_s) = phi d_s.
#
# With known error variances v_s the relative ones are d_s = tau2 + v_s, tau2 the
# variance between samples beyond them.  phi is always estimated from what the model
# leaves: errors that are stated too small or too large change how samples are weighed, not
# the size of a test (Hartung and Knapp, 2001; here the same with a random intercept).
# Without errors and blocks this is ordinary least squares.

# Variance between samples of which the error variances are known, by restricted
# maximum likelihood, and with it what the variances are relative to.
relative_variances <- function(y, X, error, block) {  # nolint: object_name_linter.
  error <- pmax(error, 0)
  n <- length(y)
  rest <- stats::lm.fit(X, y)$residuals
  spread <- sum(rest^2) / max(n - ncol(X), 1L)
  top <- max(spread, .Machine$double.xmin)
  # errors that are all alike, or lost in the spread, weigh nothing
  if (all(error == error[1L]) || max(error) < 1e-8 * top) return(rep(1, n))
  least <- max(1e-4 * top, 1e-6 * max(error))
  objective <- function(tau2, omega) {
    d <- tau2 + error
    if (any(d <= 0)) return(Inf)
    reml_deviance(y, X, d, block, 1, omega)
  }
  at <- c(tau2 = top / 2, omega = if (is.null(block)) 0 else top / 2)
  best <- objective(at[1L], at[2L])
  for (round in seq_len(20L)) {
    before <- best
    for (part in if (is.null(block)) 1L else 1:2) {
      value <- function(x) {
        at[part] <- x
        objective(at[1L], at[2L])
      }
      found <- least_of(value, 10 * top, least)
      if (found$value < best) {
        at[part] <- found$at
        best <- found$value
      }
    }
    if (is.null(block) || before - best < 1e-6) break
  }
  # no sample may have nearly all the weight
  d <- pmax(at[1L] + error, 1e-3 * stats::median(at[1L] + error), least)
  d / mean(d)
}

# Minimum of a function of a variance from 0 up: on the log scale, and at 0.
least_of <- function(f, most, least, tolerance = 1e-9) {
  grid <- c(-Inf, seq(log(least), log(most), length.out = 9L))
  values <- vapply(exp(grid), f, 0)
  place <- which.min(values)
  if (place == 1L) {
    # 0, unless a value between it and the first of the grid is better
    return(list(at = 0, value = values[1L]))
  }
  ends <- grid[pmin(pmax(place + c(-1L, 1L), 2L), length(grid))]
  found <- stats::optimise(function(x) f(exp(x)), ends, tol = tolerance)
  if (found$objective < values[place]) {
    return(list(at = exp(found$minimum), value = found$objective))
  }
  list(at = exp(grid[place]), value = values[place])
}

# The sums that generalised least squares needs, for V = diag(d) + lambda Z Z'.
gls_sums <- function(y, X, d, block, lambda) {  # nolint: object_name_linter.
  weighted <- X / d
  own <- y / d
  if (!is.null(block) && lambda > 0) {
    at <- block
    total <- rowsum(1 / d, at, reorder = FALSE)[, 1L]
    place <- match(at, unique(at))
    shrink <- lambda / (1 + lambda * total)
    of_x <- rowsum(weighted, at, reorder = FALSE)
    of_y <- rowsum(own, at, reorder = FALSE)[, 1L]
    weighted <- weighted - (of_x * shrink)[place, , drop = FALSE] / d
    own <- own - (of_y * shrink)[place] / d
    log_det <- sum(log(d)) + sum(log1p(lambda * total))
  } else {
    log_det <- sum(log(d))
  }
  cross <- crossprod(X, weighted)
  root <- chol(cross)
  inverse <- chol2inv(root)
  coefficients <- drop(inverse %*% crossprod(X, own))
  rest <- y - drop(X %*% coefficients)
  list(coefficients = coefficients, inverse = inverse, weighted = weighted,
       rss = sum(rest * (own - drop(weighted %*% coefficients))), log_det = log_det,
       log_det_x = 2 * sum(log(diag(root))), residuals = rest)
}

# -2 log restricted likelihood, up to a constant.
reml_deviance <- function(y, X, d, block, phi, omega) {  # nolint: object_name_linter.
  sums <- gls_sums(y, X, d, block, omega / phi)
  (length(y) - ncol(X)) * log(phi) + sums$log_det + sums$log_det_x + sums$rss / phi
}

# lambda = omega / phi by restricted maximum likelihood, phi profiled out.
best_lambda <- function(y, X, d, block, tolerance = 1e-9) {  # nolint: object_name_linter.
  profile <- function(lambda) {
    sums <- gls_sums(y, X, d, block, lambda)
    (length(y) - ncol(X)) * log(max(sums$rss, .Machine$double.xmin)) + sums$log_det +
      sums$log_det_x
  }
  least_of(profile, 1e6, 1e-6, tolerance)$at
}

# The fit for given relative variances `d`; `lambda` NULL to estimate it.
mixed_fit <- function(y, X, d, block = NULL, lambda = NULL) {  # nolint: object_name_linter.
  free <- length(y) - ncol(X)
  estimated <- is.null(lambda) && !is.null(block)
  if (is.null(block)) lambda <- 0
  if (estimated) lambda <- best_lambda(y, X, d, block)
  sums <- gls_sums(y, X, d, block, lambda)
  list(coefficients = sums$coefficients, inverse = sums$inverse, phi = max(sums$rss, 0) / free,
       lambda = lambda, free = free, weighted = sums$weighted, residuals = sums$residuals,
       information = if (estimated && lambda > 0 && sums$rss > 0) {
         variance_information(y, X, d, block, sums$rss / free, lambda)
       },
       data = list(y = y, X = X, d = d, block = block))
}

# Covariance of the estimates of log(phi) and log(omega): the inverse of half the second
# derivatives of the deviance.  NULL where these are not positive: at a boundary.
variance_information <- function(y, X, d, block, phi, lambda) {  # nolint: object_name_linter.
  at <- log(c(phi, phi * lambda))
  f <- function(shift) {
    variances <- exp(at + shift)
    reml_deviance(y, X, d, block, variances[1L], variances[2L])
  }
  h <- 1e-3
  second <- matrix(0, 2L, 2L)
  centre <- f(c(0, 0))
  for (i in 1:2) {
    step <- h * (seq_len(2L) == i)
    second[i, i] <- (f(step) - 2 * centre + f(-step)) / h^2
  }
  second[1L, 2L] <- second[2L, 1L] <-
    (f(c(h, h)) - f(c(h, -h)) - f(c(-h, h)) + f(c(-h, -h))) / (4 * h^2)
  if (any(!is.finite(second)) || second[1L, 1L] <= 0 || det(second) <= 1e-8) return(NULL)
  solve(second / 2)
}

# Estimates, variances and degrees of freedom (Satterthwaite) of rows of `L`.
# `phi` in place of the fit's own is a moderated one, with `free` degrees of freedom.
mixed_contrasts <- function(fit, L, phi = fit$phi, free = fit$free) {  # nolint: object_name_linter.
  estimate <- drop(L %*% fit$coefficients)
  variance <- phi * rowSums((L %*% fit$inverse) * L)
  df <- rep(free, nrow(L))
  if (!is.null(fit$information)) {
    df <- vapply(seq_len(nrow(L)), function(i) {
      satterthwaite(fit, L[i, , drop = FALSE], variance[i])
    }, 0)
  }
  list(estimate = estimate, variance = variance, df = df)
}

# 2 Var^2 over the variance that the estimates of log(phi) and log(omega) give Var.
satterthwaite <- function(fit, row, variance) {
  of <- fit$data
  at <- log(c(fit$phi, fit$phi * fit$lambda))
  value <- function(shift) {
    variances <- exp(at + shift)
    sums <- gls_sums(of$y, of$X, of$d, of$block, variances[2L] / variances[1L])
    variances[1L] * drop(row %*% sums$inverse %*% t(row))
  }
  h <- 1e-4
  slope <- c(value(c(h, 0)) - value(c(-h, 0)), value(c(0, h)) - value(c(0, -h))) / (2 * h)
  spread <- drop(slope %*% fit$information %*% slope)
  if (!is.finite(spread) || spread <= 0) return(fit$free)
  max(1, 2 * variance^2 / spread)
}

# Wald F test of all rows of `L` together; degrees of freedom as Fai and Cornelius (1996).
mixed_test <- function(fit, L, phi = fit$phi, free = fit$free) {  # nolint: object_name_linter.
  covariance <- phi * L %*% fit$inverse %*% t(L)
  turned <- eigen(covariance, symmetric = TRUE)
  rows <- crossprod(turned$vectors, L)
  q <- nrow(L)
  found <- mixed_contrasts(fit, rows, phi, free)
  statistic <- sum(found$estimate^2 / found$variance) / q
  df <- free
  if (!is.null(fit$information)) {
    if (q == 1L) {
      df <- found$df
    } else {
      above <- found$df[found$df > 2]
      expected <- sum(above / (above - 2))
      df <- if (expected > q) 2 * expected / (expected - q) else 2
    }
  }
  c(statistic = statistic, df1 = q, df2 = df,
    p_value = stats::pf(statistic, q, df, lower.tail = FALSE))
}
