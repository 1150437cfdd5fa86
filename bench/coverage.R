# Coverage of nominal 95 % intervals, limits at zero, size of the presence test, and
# coverage of differences between samples, on simulated cohorts with known truth:
# prints a table, fails nothing.
# Usage: Rscript bench/coverage.R [cohorts per setting] [bootstrap replicates]
#
# Each cohort has 8 samples of 6 types: four common ones, a rare one (its share is
# near the edge of what the data can show), and one that is absent.  "shared" is the
# sd of the log error that a type has in all samples alike: it seems to have so much more
# mRNA than it has.  "assumed" is the `type_error` that the fit takes.
library(unalloy)

`%||%` <- function(x, y) if (is.null(x)) y else x

arguments <- as.integer(c(commandArgs(TRUE), 500, 50)[1:2])
if (length(commandArgs(TRUE)) == 1) arguments[2] <- 50L
cohorts <- arguments[1]
replicates <- arguments[2]
options(cli.progress_show_after = Inf)

TYPES <- c(paste("common", 1:4), "rare", "absent")

# methods: error model, variance, and the size of the shared error that is assumed.
settings <- list(
  "Poisson" = list(
    simulation = list(depth = 2e5), rare = 1e-3, exact = TRUE,
    methods = list(c("poisson", "poisson", "0"), c("poisson", "robust", "0"),
                   c("platform", "robust", "0"))
  ),
  "variance 20 times the mean" = list(
    simulation = list(depth = 1e5), times = 20, rare = 2e-3, exact = TRUE,
    methods = list(c("poisson", "quasi", "0"), c("poisson", "robust", "0"))
  ),
  "gene variances of the samples (sd 0.3)" = list(
    simulation = list(depth = 1e6, donor_sd = 0.3), rare = 1e-2, exact = TRUE,
    methods = list(c("poisson", "robust", "0"), c("platform", "robust", "0"))
  ),
  "the same, and a common error of each type" = list(
    simulation = list(depth = 1e6, donor_sd = 0.3), rare = 1e-2, exact = TRUE, shared = 0.3,
    methods = list(c("platform", "robust", "0"), c("platform", "robust", "0.3"),
                   c("platform", "robust", "auto"), c("poisson", "robust", "0.3"))
  ),
  "platforms (sd 0.7), and a common error of each type" = list(
    simulation = list(depth = 1e6, platform_sd = 0.7), rare = 1e-2, exact = TRUE, shared = 0.3,
    methods = list(c("platform", "robust", "0"), c("platform", "robust", "0.3"),
                   c("platform", "robust", "auto"))
  ),
  "6 donors of the reference, others in the bulk (sd 0.3)" = list(
    simulation = list(depth = 1e6, donor_sd = 0.3, n_donors = 6, cells_per_type = 50,
                      overdispersion = 0.3),
    rare = 1e-2, exact = FALSE,
    methods = list(c("platform", "robust", "0"), c("platform", "robust", "auto"),
                   c("platform", "quasi", "auto"), c("poisson", "robust", "auto"),
                   c("platform", "bootstrap", "auto"))
  ),
  "the same, and a common error of each type" = list(
    simulation = list(depth = 1e6, donor_sd = 0.3, n_donors = 6, cells_per_type = 50,
                      overdispersion = 0.3),
    rare = 1e-2, exact = FALSE, shared = 0.3,
    methods = list(c("platform", "robust", "0"), c("platform", "robust", "0.3"),
                   c("platform", "robust", "auto"))
  ),
  "6 donors, and markers of the absent type err in all cells (sd 0.2)" = list(
    simulation = list(depth = 1e6, donor_sd = 0.3, n_donors = 6, cells_per_type = 50,
                      overdispersion = 0.3),
    rare = 1e-2, exact = FALSE, marks = 0.2,
    methods = list(c("platform", "robust", "0"), c("platform", "robust", "0.2"),
                   c("platform", "robust", "auto"))
  )
)
chosen <- Sys.getenv("SETTINGS")
if (nzchar(chosen)) settings <- settings[as.integer(strsplit(chosen, ",")[[1]])]

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
  base <- modifyList(base, setting$simulation)
  error <- exp(rnorm(length(TYPES), 0, setting$shared %||% 0))
  base$proportions <- given * error / rep(colSums(given * error), each = length(TYPES))
  sim <- do.call(simulate_bulk, base)
  # what the types would have without their common error
  truth <- sim$truth_mrna / error
  sim$truth_mrna <- truth / rep(colSums(truth), each = length(TYPES))
  if (!is.null(setting$times)) sim$bulk_counts <- sim$bulk_counts * setting$times
  signatures <- if (setting$exact) sim$profiles
                else build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  # genes that mark the absent type are too high, or too low, in all cells
  if (!is.null(setting$marks)) {
    own <- max.col(sim$profiles) == which(TYPES == "absent")
    counts <- sim$bulk_counts[own, ] * exp(rnorm(1, 0, setting$marks))
    sim$bulk_counts[own, ] <- rpois(length(counts), counts)
  }
  list(sim = sim, signatures = signatures)
}

# Coverage and mean width of differences of the first sample to three others.
differences <- function(fit, truth) {
  found <- do.call(rbind, lapply(2:4, function(s) {
    table <- contrast(fit, 1, s, what = "proportions")[1:4, ]
    true <- truth[1:4, 1] - truth[1:4, s]
    c(mean(table$lower <= true & true <= table$upper), mean(table$upper - table$lower))
  }))
  colMeans(found)
}

# For one cohort: per type, whether the interval covers; for the rare type
# whether a limit at zero is below the truth; whether the absent type is "found".
assess <- function(drawn, method) {
  assumed <- if (method[3] == "auto") "auto" else as.numeric(method[3])
  fit <- deconvolve_bulk(drawn$signatures, drawn$sim$bulk_counts, drawn$sim$gene_lengths,
                         protocol = "full_length", error_model = method[1], cell_size = "none",
                         type_error = assumed, verbose = FALSE)
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
  common <- startsWith(as.character(table$type), "common")
  size <- NA
  if (!bootstrap) size <- mean(test_presence(fit, "absent", variance = method[2])$p_value <= 0.05)
  difference <- if (method[2] == "robust") differences(fit, drawn$sim$truth_mrna) else c(NA, NA)
  c(common = mean(inside[common]), width = mean((table$upper - table$lower)[common]),
    rare = mean(inside[rare]), rare_at_zero = mean(table$estimate[rare] == 0),
    limit_missed = mean((table$estimate == 0 & table$upper < truth)[rare]), size = size,
    difference = difference[1], difference_width = difference[2])
}

rows <- list()
for (at in seq_along(settings)) {
  setting <- settings[[at]]
  drawn <- lapply(seq_len(cohorts), simulate, setting = setting)
  for (method in setting$methods) {
    found <- vapply(drawn, assess, numeric(8), method = method)
    rows[[length(rows) + 1]] <- data.frame(
      simulation = names(settings)[at], model = method[1], variance = method[2],
      shared = setting$shared %||% 0, assumed = method[3], t(round(rowMeans(found), 3))
    )
  }
}
table <- do.call(rbind, rows)
table$simulation[duplicated(paste(table$simulation, table$shared))] <- ""
cat("\n", cohorts, " cohorts of 8 samples per simulation.\n",
    "common, rare: share of 95 % intervals that cover; width: their mean width\n",
    "rare_at_zero: estimates of the rare type that are 0; limit_missed: such with the limit\n",
    "  below the truth (at most .05 by the theory)\n",
    "size: tests of the absent type with p <= .05\n",
    "difference: coverage of differences of common types between samples, and their width\n\n",
    sep = "")
options(width = 200)
print(table, row.names = FALSE, right = FALSE)
