# The steps of estimate_rank(): errors at entries that were held out.

# Two starts per fold and rank; a held-out error needs no more digits.
CV_STARTS <- 2
CV_ITERATIONS <- 500
CV_TOLERANCE <- 1e-5
CV_ENTRIES <- 2e7

speckled_errors <- function(x, ranks, settings) {
  if (settings$folds == 0) return(NULL)
  if (settings$weighted) stop("not offered for weighted fits")
  if (!is.matrix(x) && anyNA(x@x)) stop("not offered for sparse matrices with missing entries")
  if (nrow(x) * ncol(x) > CV_ENTRIES) {
    n <- max(2, floor(CV_ENTRIES / nrow(x)))
    x <- x[, unique(round(seq(1, ncol(x), length.out = n))), drop = FALSE]
  }
  total <- settings$folds * length(ranks) * CV_STARTS
  found <- call_rs(
    rs_cross_validate, x = x, ranks = as.integer(ranks), loss = settings$loss,
    fraction = settings$held_out, folds = settings$folds, starts = CV_STARTS,
    seed = settings$seed, max_iter = CV_ITERATIONS, tolerance = CV_TOLERANCE,
    threads = settings$threads,
    progress = progress_bar("Cross-validation", total, settings$verbose)
  )
  as.data.frame(found)
}

# Parts of rows or columns, drawn at random and as equal as can be.
random_parts <- function(n, parts, seed) {
  place <- call_rs(rs_permute_columns, x = matrix(as.double(seq_len(n))), seed = seed)
  as.integer(place) %% parts
}

# As for held-out entries: share of the row's mean in predictions under the
# divergence, which is infinite where a prediction is zero and the entry is not.
MIXED <- 1e-3

# Bi-cross-validation.
block_errors <- function(x, ranks, fitting, settings) {
  parts <- settings$blocks
  if (parts == 0) return(NULL)
  if (settings$weighted) stop("not offered for weighted fits")
  if (anyNA(if (is.matrix(x)) x else x@x)) stop("needs a matrix without missing entries")
  seeds <- derived_seeds(settings$seed, 2)
  rows <- random_parts(nrow(x), parts, seeds[1L])
  columns <- random_parts(ncol(x), parts, seeds[2L])
  folds <- expand.grid(row = seq_len(parts) - 1L, column = seq_len(parts) - 1L)
  tables <- lapply(seq_len(nrow(folds)), function(at) {
    in_row <- rows == folds$row[at]
    in_column <- columns == folds$column[at]
    kept <- x[!in_row, !in_column, drop = FALSE]
    level <- sum(kept) / prod(dim(kept))
    block <- as.matrix(x[in_row, in_column, drop = FALSE])
    row_means <- Matrix::rowMeans(x[in_row, !in_column, drop = FALSE])
    errors <- vapply(ranks, function(rank) {
      if (rank > min(dim(kept))) return(NA_real_)
      fit <- suppressWarnings(fitting(kept, rank, 1))
      predicted <- predict_block(fit, x[in_row, !in_column, drop = FALSE],
                                 x[!in_row, in_column, drop = FALSE])
      if (settings$loss == "kl") predicted <- predicted + MIXED * (row_means - predicted)
      loss_between(block, predicted, settings$loss, level) /
        loss_between(block, level, settings$loss, level)
    }, 0)
    data.frame(fold = at, rank = ranks, error = errors, entries = length(block))
  })
  do.call(rbind, tables)
}

# A from B (its rows in other columns) and C (its columns in other rows).
predict_block <- function(fit, right, below) {
  basis <- smoothed_basis(fit)
  usage <- t(fit$coef)
  # an offset is one more component, which all columns use alike
  if (!is.null(fit$offset)) usage <- cbind(usage, 1)
  of_rows <- fixed_coefficients(usage, NULL, t(as.matrix(right)), fit$loss)
  of_columns <- fixed_coefficients(basis, fit$offset, below, fit$loss)
  if (!is.null(fit$offset)) of_columns <- rbind(of_columns, 1)
  crossprod(of_rows, of_columns)
}

loss_between <- function(x, mu, loss, level) {
  switch(loss,
    frobenius = sum((x - mu)^2) / 2,
    kl = {
      mu <- pmax(mu, 1e-6 * level)
      sum(ifelse(x > 0, x * log(x / mu), 0) - x + mu)
    },
    stop("not offered for this loss")
  )
}

null_residuals <- function(x, ranks, fitting, settings) {
  if (settings$null_runs == 0) return(NULL)
  if (settings$weighted) stop("not offered for weighted fits")
  permuted <- x
  made <- call_rs(rs_permute_columns, x = x, seed = settings$seed)
  if (is.matrix(x)) {
    permuted[] <- made
  } else {
    permuted@i <- made$i
    permuted@x <- made$x
  }
  vapply(ranks, function(rank) {
    suppressWarnings(fitting(permuted, rank, settings$null_runs, keep_x = FALSE))$objective
  }, 0)
}
