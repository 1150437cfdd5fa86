# From expression to patients, on simulated cohorts with known truth and on real data
# beside the clone: prints tables, fails nothing.
# Usage: Rscript bench/patients.R MODE [N]
#   groups    size and power of compare_groups() on shares, N cohorts per design (1000)
#   subtypes  cohorts with and without groups, N of each kind (20)
#   kinds     subtypes by shares and by expression of a type, N pairs of cohorts (10)
#   survival  p values of subtypes under permuted times, N permutations (200)
#   pathways  the rank test of sets of correlated genes under the null, N data sets (200)
#   kang      control against stimulated pseudo-bulks, real cells, N swaps of labels (10)
#   tcga      subtypes, survival and replication in miRNA cohorts; N of them (all)
library(unalloy)
arguments <- commandArgs(TRUE)
mode <- if (length(arguments)) arguments[1] else "groups"
size <- function(default) if (length(arguments) > 1) as.integer(arguments[2]) else default
options(cli.progress_show_after = Inf, unalloy.threads = 1L)
data_folder <- function(name) file.path(Sys.getenv("UNALLOY_DATA", "../shared/data"), name)
show <- function(x) print(x, row.names = FALSE, digits = 3)

# ---- groups ---------------------------------------------------------------------------

# A pool of patients with three samples each: two alike, and one in which type A has
# `shift` more log odds.  The signatures' markers are off by a factor per type (sd 0.3).
draw_pool <- function(seed, patients = 300, shift = 0.35) {
  set.seed(seed)
  types <- c("A", "B", "C", "D")
  level <- log(c(0.2, 0.35, 0.3, 0.15)) + 0.35 * matrix(rnorm(4 * patients), 4)
  samples <- lapply(1:3, function(which) {
    logs <- level + 0.35 * matrix(rnorm(4 * patients), 4)
    logs[1, ] <- logs[1, ] + if (which == 3) shift else 0
    exp(logs) / rep(colSums(exp(logs)), each = 4)
  })
  truth <- do.call(cbind, samples)
  dimnames(truth) <- list(types, paste0("S", seq_len(ncol(truth))))
  sim <- simulate_bulk(n_genes = 400, proportions = truth, n_donors = 3, cells_per_type = 20,
                       depth = 3e5, platform_sd = 0.1, seed = seed)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  off <- exp(0.3 * rnorm(4))
  top <- max.col(signatures$profiles)
  signatures$profiles <- signatures$profiles * off[top]
  signatures$profiles <- signatures$profiles / rep(colSums(signatures$profiles),
                                                   each = nrow(signatures$profiles))
  fit <- suppressWarnings(deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths,
                                          verbose = FALSE))
  how <- list(what = "proportions", scale = "share", errors = TRUE, variance = "robust",
              threads = 1L)
  list(measured = unalloy:::measured_values(fit, how), truth = sim$truth_mrna, n = patients)
}

part_of <- function(measured, at) {
  block <- measured$blocks[[1]]
  block$values <- block$values[, at, drop = FALSE]
  block$error <- block$error[, at, drop = FALSE]
  block$shared$moves <- block$shared$moves[, , at, drop = FALSE]
  measured$blocks <- list(block)
  measured$samples <- colnames(block$values)
  measured
}

p_of_cohort <- function(pool, design, effect) {
  n <- pool$n
  second <- if (effect) 2 * n else n
  if (design == "paired") {
    own <- sample(n, 10)
    at <- c(own, own + second)
    group <- rep(c("a", "b"), each = 10)
  } else {
    sizes <- if (design == "unequal") c(6, 18) else c(10, 10)
    own <- sample(n, sum(sizes))
    group <- rep(c("a", "b"), sizes)
    at <- own + ifelse(group == "b", second, 0)
  }
  part <- part_of(pool$measured, at)
  samples <- data.frame(group, patient = paste0("P", own), row.names = part$samples)
  formula <- if (design == "paired") ~ group + (1 | patient) else ~ group
  p <- compare_groups(part, formula, samples)$table$p_value[1]
  test <- function(values, f, ...) {
    suppressWarnings(f(values[group == "b"], values[group == "a"], paired = design == "paired",
                       ...)$p.value)
  }
  estimate <- part$blocks[[1]]$values[1, ]
  truth <- pool$truth[1, at]
  c(compare_groups = p, t_test = test(estimate, t.test), wilcoxon = test(estimate, wilcox.test),
    t_test_of_truth = test(truth, t.test))
}

bench_groups <- function(cohorts) {
  pools <- lapply(1:4, draw_pool)
  rows <- expand.grid(design = c("independent", "unequal", "paired"), effect = c(FALSE, TRUE),
                      stringsAsFactors = FALSE)
  cat("share of p < 0.05; shared type error of sd 0.3\n")
  for (i in seq_len(nrow(rows))) {
    set.seed(100 + i)
    n <- if (rows$effect[i]) ceiling(cohorts / 4) else cohorts
    found <- replicate(n, p_of_cohort(pools[[sample(4, 1)]], rows$design[i], rows$effect[i]))
    show(cbind(rows[i, ], cohorts = n, t(rowMeans(found < 0.05))))
  }
}

# ---- subtypes -------------------------------------------------------------------------

# 300 features of four continuous factors, and groups.
draw_features <- function(n, effect, skew = FALSE, loads = NULL, p = 300, groups = 3) {
  loads <- loads %||% list(factors = matrix(rnorm(p * 4, 0, 0.5), p),
                           groups = matrix(rnorm(p * groups, 0, 0.5), p))
  factors <- matrix(if (skew) rexp(4 * n) - 1 else rnorm(4 * n), 4)
  z <- sample(groups, n, TRUE)
  x <- loads$factors %*% factors + effect / 2 * loads$groups[, z] + matrix(rnorm(p * n), p)
  dimnames(x) <- list(paste0("gene", seq_len(p)), paste0("s", seq_len(n)))
  list(x = x, z = z, loads = loads)
}
`%||%` <- function(a, b) if (is.null(a)) b else a
rand_of <- function(a, b) unalloy:::adjusted_rand(a, b)

bench_subtypes <- function(cohorts) {
  kinds <- list(Gaussian = c(0, 0), skewed = c(0, 1), `groups, effect 2` = c(2, 0),
                `groups, effect 4` = c(4, 0))
  cat("find_subtypes() on 100 samples; replication on 100 new ones\n")
  for (kind in names(kinds)) {
    of <- kinds[[kind]]
    found <- do.call(rbind, lapply(seq_len(cohorts), function(seed) {
      set.seed(seed)
      first <- draw_features(100, of[1], of[2] == 1)
      s <- find_subtypes(first$x, seed = seed)
      if (s$k == 1) return(data.frame(k = 1, ari = NA, near = NA, again = NA, null = NA))
      again <- draw_features(100, of[1], of[2] == 1, first$loads)
      null <- draw_features(100, 0, of[2] == 1, first$loads)
      data.frame(k = s$k, ari = rand_of(s$assignment, first$z), near = 3 %in% c(s$k, s$competing),
                 again = replicate_subtypes(s, again$x, seed = seed)$p_value,
                 null = replicate_subtypes(s, null$x, seed = seed)$p_value)
    }))
    some <- found$k > 1
    show(data.frame(cohorts = kind, n = cohorts, claimed = sum(some), k_is_3 = sum(found$k == 3),
                    names_3 = sum(found$near[some]), ari = mean(found$ari[some]),
                    replicated = sum(found$again[some] < 0.05),
                    replicated_in_null = sum(found$null[some] < 0.05)))
  }
}

switch(mode, groups = bench_groups(size(1000L)), subtypes = bench_subtypes(size(20L)),
       stop("no such mode"))
