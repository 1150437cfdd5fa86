# Fits of compare_groups(): a block of features against a design.

# Samples of the design in which the block has values; NULL when too few are left.
block_design <- function(block, parsed, table, .call) {
  known <- colnames(block$values)[colSums(is.na(block$values)) == 0]
  design <- tryCatch(
    withCallingHandlers(
      comparison_design(parsed, table[known, , drop = FALSE], .call),
      # said once, for all samples
      unalloy_warning_unused_argument = function(w) rlang::cnd_muffle(w)
    ),
    unalloy_error_one_group = identity, unalloy_error_confounded = identity,
    unalloy_error_too_few_samples = identity
  )
  if (inherits(design, "condition")) NULL else design
}

# Feature by feature, each with weights of its own.
compare_block <- function(block, design, level) {
  of <- lapply(seq_len(nrow(block$values)), function(i) {
    y <- block$values[i, design$samples]
    error <- if (!is.null(block$error)) block$error[i, design$samples]
    constant <- stats::var(y) <= 1e-24 * max(1, mean(y)^2)
    if (constant) return(untestable(design))
    d <- if (is.null(error)) rep(1, length(y))
         else relative_variances(y, design$X, error, design$block_codes)
    fit <- mixed_fit(y, design$X, d, design$block_codes)
    found <- mixed_contrasts(fit, design$contrasts$L)
    shared <- shared_variance(fit, design, block, i)
    c(found, list(shared = shared, overall = mixed_test(fit, design$contrasts$overall)))
  })
  comparison_rows(of, block, design, level)
}

# No value differs from the others: no difference, and nothing to judge it by.
untestable <- function(design) {
  n <- nrow(design$contrasts$L)
  list(estimate = rep(0, n), variance = rep(0, n), df = rep(NA_real_, n), shared = rep(0, n),
       overall = c(statistic = NA, df1 = nrow(design$contrasts$overall), df2 = NA, p_value = NA))
}

# What the errors that all samples share leave in each contrast: M S M', M = sum c_s M_s,
# where the estimate is sum c_s y_s.
shared_variance <- function(fit, design, block, i) {
  if (is.null(block$shared)) return(rep(0, nrow(design$contrasts$L)))
  at <- match(design$samples, colnames(block$values))
  moves <- block$shared$moves[, i, at]
  dim(moves) <- c(dim(block$shared$moves)[1L], length(at))
  weights <- design$contrasts$L %*% fit$inverse %*% t(fit$weighted)
  moved <- moves %*% t(weights)
  pmax(colSums(moved * (block$shared$log_covariance %*% moved)), 0)
}

# Genes: one correlation within patients for all (Smyth, Michaud and Scott, 2005), and
# variances moderated towards their trend over mean expression.  The predicted deviation
# of a sample with reliability r has r times the true variance and r times the true effect:
# divided by r it has the weight r.  Effects are given back as they stand in the predictions,
# at the gene's mean reliability.
compare_moderated <- function(block, design, level, .call) {
  values <- block$values[, design$samples, drop = FALSE]
  centre <- rowMeans(values)
  spread <- rowSums((values - centre)^2) > 1e-24 * pmax(1, centre^2)
  reliability <- block$reliability
  if (!is.null(reliability)) {
    reliability <- pmax(reliability[, design$samples, drop = FALSE], LEAST_RELIABILITY)
    values <- (values - centre) / reliability
  }
  d_of <- function(i) if (is.null(reliability)) rep(1, ncol(values)) else 1 / reliability[i, ]
  repeats <- !is.null(design$block_codes)
  lambda <- if (repeats) shared_lambda(values, d_of, design, which(spread)) else 0
  scale <- block$gene_reliability %||% rep(1, nrow(values))
  fits <- lapply(seq_len(nrow(values)), function(i) {
    d <- d_of(i)
    if (spread[i]) mixed_fit(values[i, ], design$X, d, design$block_codes, lambda * mean(d))
  })
  phi <- vapply(fits, function(fit) if (is.null(fit)) NA_real_ else fit$phi, 0)
  free <- nrow(design$X) - ncol(design$X)
  moderated <- moderate(phi, free, centre, .call)
  of <- lapply(seq_len(nrow(values)), function(i) {
    if (!spread[i]) return(untestable(design))
    df <- moderated$df[i]
    found <- mixed_contrasts(fits[[i]], design$contrasts$L, moderated$phi[i], df)
    list(estimate = scale[i] * found$estimate, variance = scale[i]^2 * found$variance,
         df = found$df, shared = 0 * found$estimate,
         overall = mixed_test(fits[[i]], design$contrasts$overall, moderated$phi[i], df))
  })
  comparison_rows(of, block, design, level)
}

# Below it a sample has nothing to say, and dividing by it would only cost digits.
LEAST_RELIABILITY <- 0.01

moderate <- function(phi, free, centre, .call) {
  known <- which(!is.na(phi))
  out <- list(phi = phi, df = rep(free, length(phi)))
  if (length(known) < 3L) return(out)
  # a trend needs genes to be seen in
  covariate <- if (length(known) >= 50L) centre[known]
  found <- limma::squeezeVar(phi[known], free, covariate = covariate)
  out$phi[known] <- found$var.post
  out$df[known] <- pmin(free + found$df.prior, free * length(known))
  out
}

# omega / phi that all genes share, where errors have the mean 1: from the mean of their
# correlations on the scale of Fisher's z, 15 % trimmed off at either end; of up to 200 genes
# spread over the list.
shared_lambda <- function(values, d_of, design, genes) {
  if (length(genes) > 200L) genes <- genes[round(seq(1, length(genes), length.out = 200))]
  if (!length(genes)) return(0)
  correlation <- vapply(genes, function(i) {
    d <- d_of(i)
    lambda <- best_lambda(values[i, ], design$X, d / mean(d), design$block_codes, tolerance = 0.01)
    lambda / (1 + lambda)
  }, 0)
  shared <- tanh(mean(atanh(pmin(correlation, 0.999)), trim = 0.15))
  shared / (1 - shared)
}

# One row per feature and contrast, and one per feature.
comparison_rows <- function(of, block, design, level) {
  n <- nrow(design$contrasts$L)
  pick <- function(name) unlist(lapply(of, `[[`, name), use.names = FALSE)
  features <- rownames(block$values)
  label <- function(times) {
    data.frame(type = rep(block$type, length(features) * times),
               feature = rep(features, each = times))
  }
  estimate <- pick("estimate")
  variance <- pick("variance")
  df <- pick("df")
  statistic <- ifelse(variance > 0, estimate / sqrt(variance), NA)
  half <- stats::qt((1 + level) / 2, df) * sqrt(variance + pick("shared"))
  table <- cbind(label(n), data.frame(
    comparison = factor(rep(design$contrasts$names, length(features)), design$contrasts$names),
    estimate = estimate, std_error = sqrt(variance), lower = estimate - half,
    upper = estimate + half, statistic = statistic, df = df,
    p_value = 2 * stats::pt(-abs(statistic), df)
  ))
  overall <- as.data.frame(do.call(rbind, lapply(of, `[[`, "overall")))
  list(table = table, overall = cbind(label(1L), overall))
}
