# Coverage of nominal 95 % intervals of proportions, on simulated cohorts with
# known truth: prints a table, fails nothing.
# Usage: Rscript bench/coverage.R [cohorts]
library(unalloy)

cohorts <- as.integer(c(commandArgs(TRUE), 25)[1])

# With exact signatures only Poisson noise is left; with an estimated reference
# donors, cells and platforms differ as well.
cohort <- function(seed, exact) {
  sim <- simulate_bulk(
    n_genes = 2000, n_types = 5, n_samples = 8, n_donors = 3, cells_per_type = 40, seed = seed,
    platform_sd = if (exact) 0 else 0.5, donor_sd = if (exact) 0 else 0.1,
    overdispersion = if (exact) 0 else 0.3
  )
  signatures <- if (exact) {
    sim$profiles
  } else {
    build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  }
  list(sim = sim, signatures = signatures)
}

covered <- function(cohort, model, variance) {
  sim <- cohort$sim
  fit <- deconvolve_bulk(cohort$signatures, sim$bulk_counts, sim$gene_lengths,
                         protocol = "full_length", error_model = model, verbose = FALSE)
  table <- confint(fit, variance = variance)
  truth <- as.vector(sim$truth_mrna)
  mean(table$lower <= truth & truth <= table$upper)
}

kinds <- expand.grid(variance = c("robust", "quasi", "poisson"), model = c("platform", "poisson"),
                     stringsAsFactors = FALSE)
settings <- c("exact signatures" = TRUE, "estimated, platform sd 0.5" = FALSE)
table <- sapply(settings, function(exact) {
  drawn <- lapply(seq_len(cohorts), cohort, exact = exact)
  mapply(function(model, variance) {
    mean(vapply(drawn, covered, 0, model = model, variance = variance))
  }, kinds$model, kinds$variance)
})
rownames(table) <- paste0(kinds$model, " model, ", kinds$variance)
cat("\nCoverage of", cohorts * 40, "nominal 95 % intervals (8 samples x 5 types per cohort)\n\n")
print(round(table, 3))
