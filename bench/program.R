# Programs of cohorts: planted ones (a type that the reference lacks), and
# cohorts without any, whose p-values must not be too small. Prints tables,
# fails nothing.
# Usage: Rscript bench/program.R [cohorts per design]
library(unalloy)

cohorts <- as.integer(c(commandArgs(TRUE), 6)[1])

find <- function(seed, missing_type = NULL, n_samples = 12, n_donors = 4, donor_sd = 0.15,
                 platform_sd = 0.4, n_types = 5, n_genes = 800, error_model = "auto") {
  sim <- simulate_bulk(n_genes = n_genes, n_types = n_types, n_samples = n_samples,
                       n_donors = n_donors, donor_sd = donor_sd, platform_sd = platform_sd,
                       missing_type = missing_type, seed = seed)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type,
                                 if (n_donors > 1) sim$cells$donor)
  fit <- suppressWarnings(deconvolve_bulk(
    signatures, sim$bulk_counts, sim$gene_lengths, protocol = "full_length",
    error_model = error_model, verbose = FALSE
  ))
  program <- suppressWarnings(extract_program(fit, seed = seed, verbose = FALSE))
  list(sim = sim, program = program)
}

designs <- list(
  "base: 12 samples, 4 donors, 5 types" = list(),
  "6 samples" = list(n_samples = 6),
  "40 samples" = list(n_samples = 40),
  "donor sd 0.4" = list(donor_sd = 0.4),
  "1 donor" = list(n_donors = 1),
  "12 types" = list(n_types = 12),
  "no platform error" = list(platform_sd = 0),
  "Poisson model" = list(error_model = "poisson")
)

nothing <- t(vapply(designs, function(design) {
  rowMeans(vapply(seq_len(cohorts), function(seed) {
    found <- do.call(find, c(list(seed = seed), design))$program
    p <- found$genes$p_value
    c("p < 0.05" = mean(p < 0.05), "p < 0.01" = mean(p < 0.01), "p < 0.001" = mean(p < 0.001),
      "genes at FDR 5 %" = sum(found$genes$fdr <= 0.05), novelty = found$novelty[[1]])
  }, numeric(5)))
}, numeric(5)))
cat("\nNo program: share of p-values below, of 800 genes x", cohorts, "cohorts\n")
print(round(nothing, 4))

planted <- t(vapply(designs, function(design) {
  rowMeans(vapply(seq_len(cohorts), function(seed) {
    found <- do.call(find, c(list(seed = seed, missing_type = 1), design))
    program <- found$program
    truth <- found$sim$truth_mrna[1, ]
    profiles <- found$sim$profiles
    # how the program's genes differ from the mixture that it is compared with
    fold <- log2(profiles[, 1] / drop(profiles[, -1] %*% program$mixture[, 1]))
    table <- program$genes
    fold <- fold[table$gene]
    up <- table$fdr <= 0.05 & table$statistic > 0
    c("r, loadings" = cor(program$shares[1, ], truth),
      "share / truth" = mean(program$shares[1, ]) / mean(truth),
      "r, log2 fold" = cor(table$log2_fold, fold),
      "genes up" = sum(up), "wrong (%)" = 100 * mean(fold[up] < 0),
      "found of 4-fold (%)" = 100 * mean(up[fold > 2]),
      agreement = median(program$consistency$agreement, na.rm = TRUE))
  }, numeric(7)))
}, numeric(7)))
cat("\nA type that the reference lacks\n")
print(round(planted, 3))
