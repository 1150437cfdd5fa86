# Coverage of nominal 95 % intervals, limits at zero and size of the presence
# test, on simulated cohorts with known truth: prints a table, fails nothing.
# Usage: Rscript bench/coverage.R [cohorts per setting] [bootstrap replicates]
#
# Each cohort has 8 samples of 6 types: four common ones, a rare one (its share is
# near the edge of what the data can show), and one that is absent.
library(unalloy)

arguments <- as.integer(c(commandArgs(TRUE), 500, 50)[1:2])
if (length(commandArgs(TRUE)) == 1) arguments[2] <- 50L
cohorts <- arguments[1]
replicates <- arguments[2]
options(cli.progress_show_after = Inf)

TYPES <- c(paste("common", 1:4), "rare", "absent")

# noise_of: what makes counts vary; the variance that is meant for it comes first.
settings <- list(
  "Poisson" = list(
    simulation = list(depth = 2e5), rare = 1e-3, exact = TRUE,
    methods = list(c("poisson", "poisson"), c("poisson", "robust"), c("platform", "robust"))
  ),
  "variance 20 times the mean" = list(
    simulation = list(depth = 1e5), times = 20, rare = 2e-3, exact = TRUE,
    methods = list(c("poisson", "quasi"), c("poisson", "robust"))
  ),
  "gene variances of the samples (sd 0.3)" = list(
    simulation = list(depth = 1e6, donor_sd = 0.3), rare = 1e-2, exact = TRUE,
    methods = list(c("poisson", "robust"), c("platform", "robust"))
  ),
  "6 donors of the reference, others in the bulk (sd 0.3)" = list(
    simulation = list(depth = 1e6, donor_sd = 0.3, n_donors = 6, cells_per_type = 50,
                      overdispersion = 0.3),
    rare = 1e-2, exact = FALSE,
    methods = list(c("platform", "robust"), c("platform", "quasi"), c("poisson", "robust"),
                   c("platform", "bootstrap"))
  )
)

# Uniform shares of the common types beside the given rare share.
shares <- function(seed, rare) {
  set.seed(seed)
  common <- matrix(rgamma(8 * 4, 2), 4)
  common <- 0.05 + 0.8 * common / rep(colSums(common), each = 4)
  common <- (1 - rare) * common / rep(colSums(common), each = 4)
  rbind(common, rare, 0, deparse.level = 0)
}

simulate <- function(seed, setting) {
  given <- shares(seed, setting$rare)
  rownames(given) <- TYPES
  base <- list(n_genes = 2000, n_samples = 8, proportions = given, seed = seed, n_donors = 1,
               cells_per_type = 5, cells_per_sample = 20000, cell_size_sd = 0.3,
               donor_sd = 0, platform_sd = 0, overdispersion = 0)
  sim <- do.call(simulate_bulk, modifyList(base, setting$simulation))
  if (!is.null(setting$times)) sim$bulk_counts <- sim$bulk_counts * setting$times
  signatures <- if (setting$exact) sim$profiles
                else build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  list(sim = sim, signatures = signatures)
}

# For one cohort: per type, whether the interval covers; for the rare type
# whether a limit at zero is below the truth; whether the absent type is "found".
assess <- function(drawn, method) {
  fit <- deconvolve_bulk(drawn$signatures, drawn$sim$bulk_counts, drawn$sim$gene_lengths,
                         protocol = "full_length", error_model = method[1], cell_size = "none",
                         verbose = FALSE)
  bootstrap <- method[2] == "bootstrap"
  table <- if (bootstrap) {
    confint(fit, method = "bootstrap", over = c("donors", "genes"), replicates = replicates,
            seed = 1)
  } else {
    confint(fit, variance = method[2])
  }
  truth <- as.vector(drawn$sim$truth_mrna)
  inside <- table$lower <= truth & truth <= table$upper
  rare <- table$type == "rare"
  size <- NA
  if (!bootstrap) size <- mean(test_presence(fit, "absent", variance = method[2])$p_value <= 0.05)
  c(common = mean(inside[startsWith(as.character(table$type), "common")]),
    rare = mean(inside[rare]), rare_at_zero = mean(table$estimate[rare] == 0),
    limit_missed = mean((table$estimate == 0 & table$upper < truth)[rare]), size = size)
}

rows <- list()
for (name in names(settings)) {
  setting <- settings[[name]]
  drawn <- lapply(seq_len(cohorts), simulate, setting = setting)
  for (method in setting$methods) {
    found <- vapply(drawn, assess, numeric(5), method = method)
    rows[[length(rows) + 1]] <- data.frame(
      simulation = name, model = method[1], variance = method[2], t(round(rowMeans(found), 3))
    )
  }
}
table <- do.call(rbind, rows)
table$simulation[duplicated(table$simulation)] <- ""
cat("\n", cohorts, " cohorts of 8 samples per simulation. common, rare: share of 95 % intervals ",
    "that cover.\nrare_at_zero: estimates of the rare type that are 0; limit_missed: such with ",
    "the limit below\nthe truth (at most .05 by the theory). size: tests of the absent type with ",
    "p <= .05.\n\n", sep = "")
print(table, row.names = FALSE, right = FALSE)
