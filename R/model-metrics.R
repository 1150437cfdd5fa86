# Goodness of fit from the sums that the core gathers.
# Moment matrices have the columns n, mean and mean (observed x, fitted y), and
# the centred sums xx, yy and xy.

correlation_of <- function(moments) {
  moments[, 6L] / sqrt(moments[, 4L] * moments[, 5L])
}

# Moments of all rows together.
pool_moments <- function(moments) {
  n <- moments[, 1L]
  total <- sum(n)
  mean_x <- sum(n * moments[, 2L]) / total
  mean_y <- sum(n * moments[, 3L]) / total
  dx <- moments[, 2L] - mean_x
  dy <- moments[, 3L] - mean_y
  cbind(total, mean_x, mean_y, sum(moments[, 4L] + n * dx^2), sum(moments[, 5L] + n * dy^2),
        sum(moments[, 6L] + n * dx * dy))
}

# See ?deconvolution for the definitions.
fit_metrics <- function(fit, model, samples) {
  moments <- fit$sample_moments
  all <- pool_moments(moments)
  n <- moments[1L, 1L]
  rmse <- sqrt(fit$squared_error / n)
  named <- function(x) stats::setNames(x, samples)
  gene_correlation <- named(correlation_of(moments))
  across_samples <- correlation_of(fit$gene_moments)
  list(
    n_genes_used = n,
    n_genes_excluded = nrow(model$sources) - n,
    gene_correlation = gene_correlation,
    rmse = named(rmse),
    nrmse = named(rmse / moments[, 2L]),
    count_ratio = named(moments[, 3L] / moments[, 2L]),
    global_correlation = unname(correlation_of(all)),
    r_squared = unname(1 - sum(fit$squared_error) / all[, 4L]),
    pseudo_r2 = 1 - sum(fit$deviance) / sum(fit$null_deviance),
    mape = 100 * sum(fit$relative_error) / sum(moments[, 1L]),
    mean_gene_correlation = mean(gene_correlation),
    median_gene_correlation = stats::median(gene_correlation),
    mean_sample_correlation = mean(across_samples[is.finite(across_samples)]),
    mean_rmse = mean(rmse),
    mean_nrmse = mean(rmse / moments[, 2L])
  )
}

# Lin's concordance correlation, of rows; NaN where the truth does not vary.
concordance <- function(truth, estimate) {
  dx <- truth - rowMeans(truth)
  dy <- estimate - rowMeans(estimate)
  gap <- (rowMeans(truth) - rowMeans(estimate))^2
  found <- 2 * rowMeans(dx * dy) / (rowMeans(dx^2) + rowMeans(dy^2) + gap)
  found[rowMeans(dx^2) <= (1e-12 * rowMeans(abs(truth)))^2] <- NaN
  unname(found)
}
