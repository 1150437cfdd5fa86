# Methods on simulated mixtures whose platform differs from that of the reference:
# prints a table of RMSE, fails nothing.
# Usage: Rscript bench/simulation.R [replicates] [genes]
#
# Every gene has a log-normal factor between platforms (sd), and a further one per
# type (0.4 sd).  With "ribosomal shift", 90 genes are ribosomal proteins: a third
# of the reference's mRNA, at a level that differs between types, and seen by the
# bulk at a fifth of it.
library(unalloy)

arguments <- as.integer(commandArgs(TRUE))
replicates <- c(arguments[1], 5)[1 + is.na(arguments[1])]
n_genes <- c(arguments[2], 4000)[1 + is.na(arguments[2])]
grid <- expand.grid(sd = c(0, 0.25, 0.5, 1), ribosomal = c(FALSE, TRUE))
ribosomal_names <- paste0(rep(c("RPL", "RPS"), c(41, 29))[1:70], c(1:41, 1:29))
ribosomal_names <- c(ribosomal_names, paste0("RPL", 4:13, "A"), paste0("RPS", 4:13, "A"))

# Multiplies what each type contributes to each gene of the bulk: by the ratio of
# the contributions with and without `factor` (genes x types).
distort_bulk <- function(sim, factor, truth = sim$truth_mrna) {
  expected <- sim$profiles %*% truth
  round(sim$bulk_counts * ((sim$profiles * factor) %*% truth) / pmax(expected, 1e-300))
}

simulated <- function(sd, ribosomal, seed) {
  sim <- simulate_bulk(n_genes = n_genes, platform_sd = sd, seed = seed)
  set.seed(seed)
  types <- colnames(sim$profiles)
  noise <- matrix(stats::rnorm(n_genes * length(types), 0, 0.4 * sd), n_genes)
  seen <- exp(noise)
  reference <- sim$reference
  truth <- sim$truth_mrna
  if (ribosomal) {
    genes <- sample(n_genes, length(ribosomal_names))
    share <- colSums(sim$profiles[genes, ])
    # so that they are 20 to 50 % of each type
    target <- stats::runif(length(types), 0.2, 0.5)
    level <- target / (1 - target) * (1 - share) / share
    cells <- match(sim$cells$cell_type, types)
    reference[genes, ] <- round(reference[genes, ] * rep(level[cells], each = length(genes)))
    seen[genes, ] <- seen[genes, ] * rep(level, each = length(genes)) / 5
    truth <- truth * (1 - share + share * level)
    truth <- truth / rep(colSums(truth), each = nrow(truth))
    names <- rownames(sim$bulk_counts)
    names[genes] <- ribosomal_names
    rownames(reference) <- rownames(sim$bulk_counts) <- rownames(sim$profiles) <- names
    names(sim$gene_lengths) <- names
  }
  list(reference = reference, cell_types = sim$cells$cell_type, donors = sim$cells$donor,
       bulk_counts = distort_bulk(sim, seen), truth_mrna = truth, gene_lengths = sim$gene_lengths)
}

# Least squares of log values on the 30 most specific genes of each type: the other
# limit of the platform error model, and the best fixed method on real truth sets.
log_markers <- function(dataset) {
  genes <- suppressWarnings(select_markers(dataset$signatures, n = 30,
                                           candidates = rownames(dataset$bulk_counts)))$gene
  profiles <- as.matrix(dataset$signatures)[genes, ] * 1e6
  bulk <- t(t(dataset$bulk_counts) / colSums(dataset$bulk_counts))[genes, ] * 1e6
  shares <- apply(bulk, 2, function(values) {
    error <- function(x) sum((log(values + 10) - log(profiles %*% exp(x) + 10))^2)
    slope <- function(x) {
      fitted <- drop(profiles %*% exp(x)) + 10
      -2 * drop(crossprod(profiles, (log(values + 10) - log(fitted)) / fitted)) * exp(x)
    }
    start <- rep(-log(ncol(profiles)), ncol(profiles))
    exp(stats::optim(start, error, slope, method = "BFGS", control = list(maxit = 500))$par)
  })
  rownames(shares) <- colnames(profiles)
  shares
}

# RMSE of each method, averaged over replicates.
point <- function(sd, ribosomal) {
  datasets <- lapply(seq_len(replicates), function(seed) simulated(sd, ribosomal, seed))
  names(datasets) <- paste("replicate", seq_len(replicates))
  rmse <- function(...) {
    scores <- as.data.frame(benchmark_deconvolution(..., datasets = datasets, metrics = "rmse",
                                                    seed = 1, verbose = FALSE), what = "scores")
    tapply(scores$value, scores$method, mean)
  }
  cleaned <- rmse(list("unalloy", "poisson", "markers", "log markers" = log_markers, "nnls",
                       "nu-svr", "mean"))
  all <- rmse(c("poisson", "markers", "nnls"), clean = FALSE)
  names(all) <- paste(names(all), "(all genes)")
  c(cleaned, all)
}
table <- mapply(point, grid$sd, grid$ribosomal)
colnames(table) <- paste0(grid$sd, ifelse(grid$ribosomal, " R", ""))
cat("\nRMSE, mean of ", replicates, " replicates, ", n_genes, " genes; columns: sd of the ",
    "platform, R with ribosomal shift\n\n", sep = "")
print(round(table, 3))

fixed <- table[rownames(table) != "unalloy", ]
cat("\nThe default beside the best fixed method of each column\n\n")
print(data.frame(
  point = colnames(table), best = rownames(fixed)[apply(fixed, 2, which.min)],
  best_rmse = round(apply(fixed, 2, min), 3), default_rmse = round(table["unalloy", ], 3),
  ratio = round(table["unalloy", ] / apply(fixed, 2, min), 2)
), row.names = FALSE)
cat("\nMean over the grid\n\n")
print(round(sort(rowMeans(table)), 3))
