# Data with a planted factorisation: samples in as many groups as there are
# components, counts Poisson.
planted_counts <- function(n_features = 120, n_samples = 30, rank = 3, size = 40, seed = 1) {
  withr::with_seed(seed, {
    basis <- matrix(stats::runif(n_features * rank)^4, n_features)
    group <- rep_len(seq_len(rank), n_samples)
    coef <- matrix(stats::runif(rank * n_samples, 0, 0.3), rank)
    coef[cbind(group, seq_len(n_samples))] <- stats::runif(n_samples, 1, 2)
    x <- matrix(stats::rpois(n_features * n_samples, size * basis %*% coef + 0.1), n_features)
  })
  dimnames(x) <- list(paste0("gene", seq_len(n_features)), paste0("sample", seq_len(n_samples)))
  list(x = x, basis = basis, coef = coef, group = group)
}

planted <- planted_counts()
planted_fit <- nmf(planted$x, 3, method = "kl", nrun = 6, seed = 1, verbose = FALSE)
