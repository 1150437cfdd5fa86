# What is computed of the factors W and H of a factorisation.

# W as it multiplies H: of nsNMF, after smoothing by (1 - theta) I + theta / k 11'.
smoothed_basis <- function(fit) {
  if (is.null(fit$theta) || fit$theta == 0) return(fit$basis)
  (1 - fit$theta) * fit$basis + fit$theta * rowMeans(fit$basis)
}

# What each component adds to the total of each sample: components x samples.
contributions <- function(fit) fit$coef * colSums(fit$basis)

# Number of the largest row in each column; the first of equals.
largest_component <- function(values) {
  labels <- max.col(t(values), ties.method = "first")
  stats::setNames(factor(labels, seq_len(nrow(values))), colnames(values))
}

best_run <- function(fit) which.min(fit$runs$objective)

# The data that were factorised.
data_of <- function(fit, data = NULL, .call = caller_env()) {
  data <- data %||% fit$x
  if (is.null(data)) {
    stop_user("missing_data", "The fit has not kept its data.",
              i = "Give them as `data`, or fit with `keep_x = TRUE`.", .call = .call)
  }
  size <- c(nrow(fit$basis), ncol(fit$coef))
  if (!identical(as.integer(dim(data)), as.integer(size))) {
    stop_user("argument", "`data` must be the matrix that was factorised.",
              x = paste0("It is ", paste(dim(data), collapse = " x "), "; the fit is ",
                         paste(size, collapse = " x "), "."), .call = .call)
  }
  data
}

# The exact optimum over the coefficients for a basis that is held fixed.
fixed_coefficients <- function(basis, offset, data, loss, threads = nmf_threads(),
                               .call = caller_env()) {
  call_rs(rs_nmf_coefficients, basis = basis, offset = as.double(offset), data = rust_values(data),
          loss = loss, threads = threads, .call = .call)
}

# The best usages for given spectra.
usage_of <- function(spectra, x, loss, settings, .call) {
  fixed_coefficients(spectra, NULL, x, loss, settings$threads, .call)
}

to_shares <- function(usage) {
  total <- colSums(usage)
  usage / rep(ifelse(total > 0, total, 1), each = nrow(usage))
}

# ||X - W H||^2 = ||X||^2 - 2 <W, X H'> + <W'W, H H'>, without a dense X.
residual_of <- function(x, basis, coef, squares) {
  product <- as.matrix(x %*% t(coef))
  max(squares - 2 * sum(basis * product) + sum(crossprod(basis) * tcrossprod(coef)), 0)
}

sum_of_squares <- function(x) if (is.matrix(x)) sum(x^2) else sum(x@x^2)

scale_columns <- function(x, by) {
  if (is.matrix(x)) return(x * rep(by, each = nrow(x)))
  x@x <- x@x * rep(by, diff(x@p))
  x
}

scale_rows <- function(x, by) {
  if (is.matrix(x)) return(x * by)
  x@x <- x@x * by[x@i + 1L]
  x
}

# Mean and standard deviation (divisor n) of each row.
row_moments <- function(x) {
  n <- ncol(x)
  mean <- Matrix::rowMeans(x)
  variance <- if (is.matrix(x)) {
    rowMeans((x - mean)^2)
  } else {
    # stored entries about the mean, the others are the mean away from it
    centred <- x
    centred@x <- (x@x - mean[x@i + 1L])^2
    (Matrix::rowSums(centred) + (n - tabulate(x@i + 1L, nrow(x))) * mean^2) / n
  }
  list(mean = unname(mean), sd = unname(sqrt(variance)))
}
