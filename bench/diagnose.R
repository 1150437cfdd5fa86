# How often diagnose() suspects a missing type when one is missing and when none
# is, over simulated cohorts; and what a diagnosis costs beside the fit.  Prints
# tables, fails nothing.
# Usage: Rscript bench/diagnose.R [cohorts per row] [threads]
#
# "errors sd" is the standard deviation of the log factor of each gene between
# platforms; a further one of 0.4 times that differs between types.  A missing type
# has the share that the simplex gives it: 1/types on average, from 0 to several
# times that.
library(unalloy)

arguments <- as.integer(commandArgs(TRUE))
cohorts <- c(arguments[1], 100)[1 + is.na(arguments[1])]
threads <- c(arguments[2], 2)[1 + is.na(arguments[2])]
options(unalloy.threads = threads)

# Errors of genes that differ between types.
distort <- function(sim, sd, seed) {
  set.seed(seed)
  factor <- exp(stats::rnorm(length(sim$profiles), 0, sd))
  expected <- sim$profiles %*% sim$truth_mrna
  round(sim$bulk_counts * ((sim$profiles * factor) %*% sim$truth_mrna) / pmax(expected, 1e-300))
}

diagnosed <- function(seed, missing, sd, types, samples, model) {
  sim <- simulate_bulk(n_genes = 2000, n_types = types, n_samples = samples, cells_per_type = 30,
                       missing_type = if (missing) 1 + seed %% types, platform_sd = sd,
                       seed = seed)
  signatures <- suppressWarnings(
    build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  )
  result <- suppressWarnings(
    deconvolve_bulk(signatures, distort(sim, 0.4 * sd, seed), sim$gene_lengths,
                    error_model = model, protocol = "full_length", verbose = FALSE)
  )
  found <- diagnose(result, seed = seed, verbose = FALSE)
  programs <- found$programs
  beyond <- programs$beyond_chance
  c(flagged = found$missing_type$suspected, beyond = any(beyond),
    one_sided = if (any(beyond)) max(programs$one_sided[beyond]) else 0)
}

settings <- rbind(
  expand.grid(sd = c(0.1, 0.5, 1), types = 6, samples = 12, model = c("platform", "poisson"),
              stringsAsFactors = FALSE),
  expand.grid(sd = 0.5, types = 12, samples = c(12, 36), model = "platform",
              stringsAsFactors = FALSE)
)
rates <- function(missing) {
  mapply(function(sd, types, samples, model) {
    found <- vapply(seq_len(cohorts), diagnosed, numeric(3), missing = missing, sd = sd,
                    types = types, samples = samples, model = model)
    c(rowMeans(found[1:2, ]), stats::quantile(found[3, ], c(0.05, 0.5, 0.95)))
  }, settings$sd, settings$types, settings$samples, settings$model)
}
none <- rates(FALSE)
one <- rates(TRUE)
names(settings)[1] <- "errors sd"
cat("\nPart of", cohorts, "cohorts in which a type is suspected to be missing\n\n")
print(cbind(settings, `none missing` = none[1, ], `one missing` = one[1, ]), row.names = FALSE)
cat("\nPart with a residual program beyond chance\n\n")
print(cbind(settings, `none missing` = none[2, ], `one missing` = one[2, ]), row.names = FALSE)
cat("\nOne-sidedness of these programs, quantiles: none missing, one missing\n\n")
print(cbind(settings, round(t(none[3:5, ]), 2), round(t(one[3:5, ]), 2)), row.names = FALSE)

cat("\nCPU seconds: fit and diagnosis of 81 samples, 21 types, 18,879 genes\n\n")
sim <- simulate_bulk(n_genes = 18879, n_types = 21, n_samples = 81, n_donors = 1,
                     cells_per_type = 10, depth = 2e7, seed = 1)
signatures <- suppressWarnings(build_signatures(sim$reference, sim$cells$cell_type))
cpu <- function(expr) {
  time <- system.time(expr)
  round(time[["user.self"]] + time[["sys.self"]], 2)
}
for (model in c("platform", "poisson")) {
  fit <- cpu(result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths,
                                       error_model = model, protocol = "full_length",
                                       verbose = FALSE))
  cheap <- cpu(diagnose(result, programs = 0))
  all <- cpu(diagnose(result, seed = 1))
  merged <- cpu(merge_types(result))
  cat(format(model, width = 9), " fit ", fit, ", diagnosis without programs ", cheap,
      ", with programs ", all, ", merge_types ", merged, "\n", sep = "")
}
