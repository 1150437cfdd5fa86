# Expression per cell type on simulated donors of whom half have a tenth of one
# type's genes shifted 4-fold: prints tables, fails nothing.
# Usage: Rscript bench/expression.R [cohorts per design]
library(unalloy)

cohorts <- as.integer(c(commandArgs(TRUE), 2)[1])

# A reference from simulate_bulk(), and a cohort whose every type is known in
# every sample.
draw_cohort <- function(seed, n_types = 6, n_samples = 24, n_donors = 4, donor_sd = 0.2,
                        platform_sd = 0.4, depth = 5e6, n_genes = 1500, shifted = 0.1,
                        fold = 4) {
  sim <- simulate_bulk(n_genes = n_genes, n_types = n_types, n_samples = 1, n_donors = n_donors,
                       donor_sd = donor_sd, platform_sd = platform_sd, seed = seed)
  set.seed(seed)
  shares <- matrix(rgamma(n_types * n_samples, 1.5), n_types)
  shares <- shares / rep(colSums(shares), each = n_types)
  target <- sample(n_genes, round(shifted * n_genes))
  cases <- sample(n_samples, n_samples %/% 2)
  # genes x types x samples, molecules per molecule of the type's usual mRNA
  level <- array(sim$profiles, c(n_genes, n_types, n_samples)) *
    exp(donor_sd * rnorm(n_genes * n_types * n_samples))
  level[target, 1, cases] <- level[target, 1, cases] * fold
  reads <- level * rep(shares, each = n_genes) * sim$gene_lengths * exp(sim$platform)
  reads <- reads / rep(apply(reads, 3, sum), each = n_genes * n_types)
  counts <- array(rpois(length(reads), depth * reads), dim(reads))
  bulk <- apply(counts, c(1, 3), sum)
  dimnames(bulk) <- list(rownames(sim$bulk_counts), paste0("Sample", seq_len(n_samples)))
  list(sim = sim, bulk = bulk, level = level, counts = counts, target = target, cases = cases)
}

row_cor <- function(x, y) {
  x <- x - rowMeans(x)
  y <- y - rowMeans(y)
  r <- rowSums(x * y) / sqrt(rowSums(x^2) * rowSums(y^2))
  # a prediction that does not vary knows nothing
  ifelse(is.finite(r), r, 0)
}

measure <- function(cohort, model) {
  sim <- cohort$sim
  signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  fit <- suppressWarnings(deconvolve_bulk(
    signatures, cohort$bulk, sim$gene_lengths, protocol = "full_length", error_model = model,
    verbose = FALSE
  ))
  get <- function(...) cell_type_expression(fit, verbose = FALSE, units = "cpm", ...)
  of <- list("allocation" = get(method = "allocation"),
             "blup, reference" = get(variance = "reference"), "blup" = get())
  # samples in which the fit finds the type
  own <- fit$exposures[1, ] > 0
  truth <- cohort$level[cohort$target, 1, own]
  found <- lapply(of, function(x) as.array(x)[cohort$target, 1, own])
  per_type <- vapply(found, function(x) mean(row_cor(x, truth)), 0)
  exposure <- rep(fit$exposures[1, own], each = length(cohort$target))
  counts <- cohort$counts[cohort$target, 1, own]
  reference <- signatures$profiles[cohort$target, 1] %o% fit$exposures[1, own]
  as_counts <- vapply(found, function(x) mean(row_cor(x * exposure, counts)), 0)
  cases <- which(own) %in% cohort$cases
  fold <- function(values) {
    rowMeans(values[, cases, drop = FALSE]) / rowMeans(values[, !cases, drop = FALSE])
  }
  # cases against controls in the types that did not change
  leak <- vapply(of, function(x) {
    values <- as.array(x)[cohort$target, -1, own]
    mean(vapply(seq_len(dim(values)[2]), function(j) {
      present <- !is.na(values[1, j, ])
      if (!all(present)) return(NA)
      change <- abs(log2(fold(values[, j, ])))
      mean(change[is.finite(change)])
    }, 0), na.rm = TRUE)
  }, 0)
  list(
    per_type = c("reference mean" = 0, per_type),
    as_counts = c("reference mean" = mean(row_cor(reference, counts)), as_counts),
    fold = vapply(found, function(x) median(log2(fold(x)), na.rm = TRUE), 0), leak = leak,
    calibration = Map(function(x, method) deviations(x, cohort, method), of[-1], names(of)[-1])
  )
}

# Deviations from the mean of the type over samples, predicted and true, in
# units of that mean; genes with at least 5 copies per million.
deviations <- function(x, cohort, method) {
  predicted <- as.array(x)
  relative <- function(values) {
    mean <- as.vector(apply(values, 1:2, mean, na.rm = TRUE))
    (values - mean) / mean
  }
  level <- as.vector(apply(predicted, 1:2, mean, na.rm = TRUE))
  kept <- which(is.finite(predicted) & level >= 5)
  # every tenth value is enough for a table
  kept <- kept[seq(1, length(kept), by = 10)]
  data.frame(reliability = as.array(x, "reliability")[kept], predicted = relative(predicted)[kept],
             true = relative(cohort$level)[kept], method = method)
}

designs <- list(
  "base: 6 types, 24 samples, 4 donors" = list(),
  "no platform error" = list(platform_sd = 0),
  "platform sd 0.8" = list(platform_sd = 0.8),
  "donor sd 0.1" = list(donor_sd = 0.1),
  "donor sd 0.4" = list(donor_sd = 0.4),
  "2 donors" = list(n_donors = 2),
  "12 types" = list(n_types = 12),
  "8 samples" = list(n_samples = 8),
  "60 samples" = list(n_samples = 60),
  "depth 5e5" = list(depth = 5e5),
  "no shift" = list(fold = 1)
)

bins <- c(0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)
calibration <- list()
for (model in c("platform", "poisson")) {
  rows <- lapply(names(designs), function(name) {
    runs <- lapply(seq_len(cohorts), function(seed) {
      measure(do.call(draw_cohort, c(list(seed = seed), designs[[name]])), model)
    })
    found <- do.call(rbind, lapply(runs, function(run) do.call(rbind, run$calibration)))
    calibration[[paste(model, name)]] <<- cbind(found, design = name)
    average <- function(field) {
      rowMeans(vapply(runs, `[[`, runs[[1]][[field]], field), na.rm = TRUE)
    }
    sapply(c("per_type", "as_counts", "fold", "leak"), average, simplify = FALSE)
  })
  show <- function(title, field) {
    cat("\n", title, "\n", sep = "")
    out <- t(vapply(rows, `[[`, rows[[1]][[field]], field))
    rownames(out) <- names(designs)
    print(round(out, 3))
  }
  cat("\n== fits with the", model, "error model ==\n")
  show("Shifted genes: correlation across samples with the type's true expression per mRNA",
       "per_type")
  show("The same as counts (exposures vary, so the reference mean correlates too)", "as_counts")
  show("Median log2 fold of cases over controls (true: 2; 0 without a shift)", "fold")
  show("Mean |log2 fold| of the same genes in the other types (true: 0)", "leak")
}

# Where predictions know nothing, r is that of chance: 0.
calibrate <- function(part) {
  bin <- cut(part$reliability, bins, include.lowest = TRUE)
  do.call(rbind, lapply(split(part, bin), function(own) {
    if (nrow(own) < 100) return(NULL)
    r <- cor(own$predicted, own$true)
    data.frame(values = nrow(own), stated = round(mean(own$reliability), 3),
               found = round(r^2, 3), r = round(r, 3),
               slope = round(cov(own$predicted, own$true) / var(own$predicted), 3))
  }))
}
cat("\nReliability stated, and squared correlation found, of predicted with true deviations of a",
    "\nsample from the mean of its type; slope of true on predicted deviations (best: 1)\n")
everything <- do.call(rbind, calibration)
for (method in unique(everything$method)) {
  cat("\n", method, ", all designs\n", sep = "")
  print(calibrate(everything[everything$method == method, ]))
}
for (design in c(names(designs)[1], "no shift")) {
  cat("\nblup, ", design, "\n", sep = "")
  print(calibrate(everything[everything$method == "blup" & everything$design == design, ]))
}
