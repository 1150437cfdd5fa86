# Profiles with a planted modular structure, for the tests of compressed sensing.

# Samples are exactly `sparsity`-sparse in a random dictionary of unit modules.
planted_profiles <- function(genes, size, samples, sparsity, seed) {
  withr::local_seed(seed)
  modules <- matrix(rnorm(genes * size), genes)
  modules <- sweep(modules, 2, sqrt(colSums(modules^2)), "/")
  dimnames(modules) <- list(paste0("g", seq_len(genes)), paste0("m", seq_len(size)))
  w <- sapply(seq_len(samples), function(i) {
    w <- numeric(size)
    w[sample.int(size, sparsity)] <- rnorm(sparsity)
    w
  })
  x <- modules %*% w
  colnames(x) <- paste0("s", seq_len(samples))
  list(modules = modules, activities = w, x = x)
}

# Non-negative profiles that mix few modules of genes, with noise.
modular_profiles <- function(genes = 80, modules = 10, samples = 90, seed = 1) {
  withr::local_seed(seed)
  u <- matrix(rbinom(genes * modules, 1, 0.2) * runif(genes * modules, 0.2, 1.2), genes)
  w <- matrix(rbinom(modules * samples, 1, 0.4) * runif(modules * samples, 0.5, 1.5), modules)
  x <- pmax(u %*% w + 0.3 + matrix(rnorm(genes * samples, sd = 0.05), genes), 0)
  dimnames(x) <- list(paste0("g", seq_len(genes)), paste0("s", seq_len(samples)))
  x
}
