# Shares of exposures, with their errors and intervals.

VARIANCES <- c("robust", "quasi", "poisson")

# Largest standard error of a share on the logit scale at which its interval is
# taken there: the estimate is then seven standard errors away from 0 and 1. Nearer,
# its error is mostly that of the other types and does not shrink with it.
LOGIT_LIMIT <- 0.15

# Standard errors and intervals, types x samples.
intervals_from <- function(inferred, level, what) {
  estimate <- inferred$estimate
  std_error <- apply(inferred$covariance, 3L, function(v) sqrt(pmax(0, diag(v))))
  dim(std_error) <- dim(estimate)
  z <- stats::qnorm(1 - (1 - level) / 2)
  if (what == "exposures") {
    # Positive without an upper end: symmetric on the log scale.
    width <- exp(z * std_error / estimate)
    lower <- estimate / width
    upper <- estimate * width
  } else {
    ends <- share_interval(estimate, std_error, level)
    lower <- below_limits(estimate, ends$lower, inferred$limits)
    upper <- ends$upper
  }
  zero <- which(estimate == 0)
  lower[zero] <- 0
  lower[which(!inferred$seen & estimate != 1)] <- 0
  upper[zero] <- inferred$limits[zero]
  std_error[zero] <- NA
  list(std_error = std_error, lower = lower, upper = upper)
}

# Intervals of shares: on the logit scale away from 0 and 1.
share_interval <- function(estimate, std_error, level) {
  z <- stats::qnorm((1 + level) / 2)
  inside <- is_logit(estimate, std_error)
  end <- function(side) {
    on_logit <- stats::plogis(stats::qlogis(estimate) + side * z * logit_error(estimate, std_error))
    ifelse(inside, on_logit, pmin(1, pmax(0, estimate + side * z * std_error)))
  }
  list(lower = end(-1), upper = end(1))
}

# Types at zero may have up to their limits, which the others then lack: their
# limits, taken as independent, lower the lower ends.
below_limits <- function(estimate, lower, limits) {
  odds <- limits / (1 - limits)
  odds[which(estimate > 0)] <- 0
  others <- sqrt(colSums(odds^2, na.rm = TRUE))
  fall <- estimate * rep(others / (1 + others), each = nrow(estimate))
  pmax(estimate - sqrt((estimate - lower)^2 + fall^2), 0)
}

logit_error <- function(estimate, std_error) std_error / (estimate * (1 - estimate))

# Whether errors of a share are taken on the logit scale.
is_logit <- function(estimate, std_error) {
  error <- logit_error(estimate, std_error)
  is.finite(error) & error <= LOGIT_LIMIT
}

# What an exposure of each type is divided by to count in a kind of share: mRNA per
# cell, or the sum of the column of the signatures; NULL for exposures.
units_of <- function(object, what) {
  switch(what, exposures = NULL, cell_fractions = object$cell_size,
         column_shares = object$signatures$totals, rep(1, object$model$n_types))
}

# Exposures (types and perhaps more sources x samples) as shares of the types.
shares_as <- function(exposures, object, what) {
  types <- exposures[seq_len(object$model$n_types), , drop = FALSE]
  per <- units_of(object, what)
  if (is.null(per)) types else normalise_columns(types / per)
}

# From exposures of all sources to shares of the types, by the delta method:
# with q = f / sum(f), dq/df = (I - q 1') / sum(f), f the exposures in units of `per`
# (NULL leaves them as they are).
as_shares <- function(exposures, covariance, limits, n_types, per) {
  types <- seq_len(n_types)
  estimate <- exposures[types, , drop = FALSE]
  limits <- limits[types, , drop = FALSE]
  covariance <- covariance[types, types, , drop = FALSE]
  if (!is.null(per)) {
    estimate <- estimate / per
    limits <- limits / per
    total <- colSums(estimate)
    limits <- limits / (rep(total, each = n_types) + limits)
    estimate <- estimate / rep(total, each = n_types)
    for (s in seq_len(ncol(estimate))) {
      slope <- (diag(n_types) - estimate[, s]) / total[s]
      slope <- slope / rep(per, each = n_types)
      covariance[, , s] <- slope %*% covariance[, , s] %*% t(slope)
    }
    # a type at zero has no covariance with the others
    for (s in seq_len(ncol(estimate))) {
      zero <- which(estimate[, s] == 0)
      covariance[zero, , s] <- 0
      covariance[, zero, s] <- 0
    }
  }
  dimnames(covariance) <- list(rownames(estimate), rownames(estimate), colnames(estimate))
  list(estimate = estimate, covariance = covariance, limits = limits)
}

# Shares of the types `among` alone, which then sum to 1.
among_types <- function(inferred, among) {
  kept <- which(rownames(inferred$estimate) %in% among)
  estimate <- inferred$estimate[kept, , drop = FALSE]
  total <- colSums(estimate)
  estimate <- estimate / rep(total, each = length(kept))
  covariance <- inferred$covariance[kept, kept, , drop = FALSE]
  for (s in seq_len(ncol(estimate))) {
    slope <- (diag(length(kept)) - estimate[, s]) / total[s]
    covariance[, , s] <- slope %*% covariance[, , s] %*% t(slope)
    zero <- which(estimate[, s] == 0)
    covariance[zero, , s] <- 0
    covariance[, zero, s] <- 0
  }
  limits <- inferred$limits[kept, , drop = FALSE]
  odds <- limits / (1 - limits) / rep(total, each = length(kept))
  list(estimate = estimate, covariance = covariance, limits = odds / (1 + odds),
       seen = inferred$seen[kept, , drop = FALSE])
}
