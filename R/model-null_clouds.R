# Clouds without groups, against which the stability of a partition is held.

NULL_MODELS <- c("skewed", "gaussian")

# `times` clouds with exactly the covariance of the scores (samples x components).
#
# "gaussian": of a Gaussian cloud the sample covariance is sufficient, and its directions are
# uniform given it, so this is the conditional distribution of what has been seen, if there
# are no groups.  "skewed": a skewed cloud is split where its tail begins, again and again, so
# its clouds must be as skewed.  The whitened scores are turned to where they are most skewed,
# and each axis is drawn from a gamma distribution of its skewness, which has one mode.
null_clouds <- function(scores, model, times) {
  n <- nrow(scores)
  sd <- sqrt(colSums(scores^2) / n)
  spread <- function(cloud) cloud * rep(sd, each = n)
  if (model == "gaussian") {
    return(replicate(times, spread(white_cloud(n, ncol(scores))), simplify = FALSE))
  }
  axes <- skewed_axes(scores / rep(sd, each = n))
  skewness <- beyond_chance(axes$skewness, n)
  replicate(times, simplify = FALSE, {
    drawn <- vapply(skewness, function(one) draw_skewed(n, one), numeric(n))
    spread(whiten(drawn) %*% t(axes$turn))
  })
}

# Standard normal, with the sample covariance of just that; directions are uniform.
white_cloud <- function(n, d) {
  drawn <- matrix(stats::rnorm(n * d), n)
  found <- qr(drawn - rep(colMeans(drawn), each = n))
  # signs make the directions uniform
  sqrt(n) * qr.Q(found) * rep(sign(diag(qr.R(found))), each = n)
}

whiten <- function(cloud) {
  cloud <- cloud - rep(colMeans(cloud), each = nrow(cloud))
  cloud %*% backsolve(chol(crossprod(cloud) / nrow(cloud)), diag(ncol(cloud)))
}

# Mean 0, variance 1, one mode.
draw_skewed <- function(n, skewness) {
  if (abs(skewness) < 0.05) return(stats::rnorm(n))
  shape <- 4 / skewness^2
  sign(skewness) * (stats::rgamma(n, shape) - shape) / sqrt(shape)
}

# The rotation of whitened scores of which the squares of the axes' skewness have the largest
# sum, plane by plane (independent components by third moments; Comon, 1994, section 4).
# A list: turn (components x axes), skewness, by size.
skewed_axes <- function(white) {
  d <- ncol(white)
  turn <- diag(d)
  planes <- if (d > 1L) utils::combn(d, 2L) else matrix(0L, 2L, 0L)
  for (sweep in seq_len(30L)) {
    gained <- 0
    for (plane in seq_len(ncol(planes))) {
      at <- planes[, plane]
      best <- best_angle(white[, at[1L]], white[, at[2L]])
      if (best$gain < 1e-6) next
      given <- matrix(c(cos(best$angle), sin(best$angle), -sin(best$angle), cos(best$angle)), 2L)
      white[, at] <- white[, at] %*% given
      turn[, at] <- turn[, at] %*% given
      gained <- gained + best$gain
    }
    if (gained < 1e-4) break
  }
  skewness <- unname(colMeans(white^3))
  by_size <- order(-abs(skewness))
  list(turn = turn[, by_size, drop = FALSE], skewness = skewness[by_size])
}

# Third moments after a turn are polynomials of its sine and cosine.
best_angle <- function(a, b) {
  angle <- seq(0, pi, length.out = 61L)[-61L]
  cosine <- cos(angle)
  sine <- sin(angle)
  m30 <- mean(a^3)
  m21 <- mean(a^2 * b)
  m12 <- mean(a * b^2)
  m03 <- mean(b^3)
  first <- cosine^3 * m30 + 3 * cosine^2 * sine * m21 + 3 * cosine * sine^2 * m12 + sine^3 * m03
  second <- -sine^3 * m30 + 3 * sine^2 * cosine * m21 - 3 * sine * cosine^2 * m12 + cosine^3 * m03
  value <- first^2 + second^2
  list(angle = angle[which.max(value)], gain = max(value) - value[1L])
}

# The search finds skewness in a Gaussian cloud, too: what is more than that.
beyond_chance <- function(skewness, n, clouds = 20L) {
  d <- length(skewness)
  chance <- matrix(replicate(clouds, skewed_axes(white_cloud(n, d))$skewness^2), d)
  sign(skewness) * sqrt(pmax(skewness^2 - rowMeans(chance), 0))
}
