# Cells of three groups along two planted factors; counts Poisson, or overdispersed, or with
# zeros on top.
planted_cells <- function(n_genes = 60, n_cells = 90, theta = Inf, zeros = 0, seed = 1) {
  withr::with_seed(seed, {
    group <- rep_len(1:3, n_cells)
    centres <- cbind(c(-1.5, 0, 1.5), c(1, -2, 1))
    scores <- centres[group, ] + matrix(stats::rnorm(2 * n_cells, sd = 0.3), n_cells)
    loadings <- matrix(stats::rnorm(2 * n_genes, sd = 0.7), n_genes)
    size <- stats::rnorm(n_cells, sd = 0.3)
    mean <- exp(stats::rnorm(n_genes, 1) + tcrossprod(loadings, scores) +
                  rep(size, each = n_genes))
    noise <- if (is.finite(theta)) stats::rgamma(length(mean), theta, theta) else 1
    x <- matrix(stats::rpois(length(mean), mean * noise), n_genes)
    x[stats::runif(length(x)) < zeros] <- 0
  })
  dimnames(x) <- list(paste0("gene", seq_len(n_genes)), paste0("cell", seq_len(n_cells)))
  list(x = x[rowSums(x) > 0, ], scores = scores, loadings = loadings[rowSums(x) > 0, ],
       group = group)
}

factors_of <- function(x, ...) latent_factors(x, ..., verbose = FALSE, threads = 1)

cells <- planted_cells()
cells_fit <- factors_of(cells$x, 2, "poisson", penalty = 1)

# Cosines of the angles between two column spaces.
same_space <- function(a, b) min(svd(crossprod(qr.Q(qr(a)), qr.Q(qr(b))))$d)
