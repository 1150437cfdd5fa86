# What intervals, tests of presence and the bootstrap cost beside the fit:
# 18,879 genes x 21 types x 81 samples, a reference of 8 donors.  Prints a table of
# CPU seconds, fails nothing.  Usage: Rscript bench/inference.R [replicates]
library(unalloy)

replicates <- as.integer(c(commandArgs(TRUE), 200)[1])
options(cli.progress_show_after = Inf)

cpu <- function(expr) {
  before <- proc.time()
  force(expr)
  used <- proc.time() - before
  sum(used[c("user.self", "sys.self")])
}

# All types in all samples, or each type in half of them.
simulate <- function(present) {
  set.seed(1)
  shares <- matrix(rexp(21 * 81) * (runif(21 * 81) < present), 21)
  shares <- shares / rep(colSums(shares), each = 21)
  simulate_bulk(n_genes = 18879, n_samples = 81, proportions = shares, n_donors = 8,
                cells_per_type = 10, depth = 2e7, type_sd = 0.5, donor_sd = 0.2, seed = 1)
}

rows <- list()
for (present in c(1, 0.5)) {
  sim <- simulate(present)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  for (model in c("platform", "poisson")) {
    fit <- NULL
    rows[[length(rows) + 1]] <- data.frame(
      types_present = present, model = model,
      fit = cpu(fit <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths,
                                       protocol = "full_length", error_model = model,
                                       cell_size = "none", verbose = FALSE)),
      intervals = cpu(confint(fit)), tests = cpu(test_presence(fit)),
      elimination = cpu(deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths,
                                        protocol = "full_length", error_model = model,
                                        cell_size = "none", verbose = FALSE, sparsity = "lrt")),
      donors = cpu(confint(fit, method = "bootstrap", over = "donors", replicates = replicates,
                           seed = 1))
    )
  }
}
table <- do.call(rbind, rows)
cat("\nCPU seconds; `elimination` is the whole of a fit with sparsity = \"lrt\", `donors` the ",
    "bootstrap with ", replicates, " replicates\n\n", sep = "")
print(table, row.names = FALSE, digits = 2)
