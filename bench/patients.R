# From expression to patients, on simulated cohorts with known truth and on real data
# beside the clone: prints tables, fails nothing.
# Usage: Rscript bench/patients.R MODE [N]
#   groups    size and power of compare_groups() on shares, N cohorts per design (1000)
#   subtypes  cohorts with and without groups, N of each kind (20)
#   contrast  kinds of patients that differ in what one type expresses, found by the
#             expression of the type and by shares, N pairs of cohorts (20)
#   survival  p values of subtypes under permuted times, N permutations (200)
#   pathways  the rank test of sets of correlated genes under the null, N data sets (200)
#   kang      control against stimulated blood, genes of each type, labels swapped N times (10)
#   tcga      subtypes, survival and replication in the N largest miRNA cohorts (all)
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

# Two cohorts of 80 patients with the same three kinds: in two of them blasts express a
# program of 60 genes four times as much.  Shares vary from patient to patient, skewed, and have
# no kinds.
draw_kinds <- function(seed, n = 160) {
  set.seed(seed)
  types <- c("Blast", "Mono", "NK", "T")
  logs <- log(c(0.5, 0.2, 0.1, 0.2)) + 0.5 * matrix(rexp(4 * n) - 1, 4)
  shares <- exp(logs) / rep(colSums(exp(logs)), each = 4)
  kind <- sample(rep_len(1:3, n))
  dimnames(shares) <- list(types, paste0("P", seq_len(n)))
  sim <- simulate_bulk(n_genes = 800, proportions = shares, n_donors = 6, seed = seed)
  genes <- order(-sim$profiles[, "Blast"])[1:400]
  program <- list(integer(), sample(genes, 60), sample(genes, 60))
  profiles <- sim$profiles / rep(colSums(sim$profiles), each = nrow(sim$profiles))
  expected <- vapply(seq_len(n), function(s) {
    own <- profiles * exp(0.2 * rnorm(length(profiles)))
    own[program[[kind[s]]], "Blast"] <- 4 * own[program[[kind[s]]], "Blast"]
    drop(own %*% sim$truth_mrna[, s]) * exp(sim$platform)
  }, numeric(nrow(profiles)))
  counts <- matrix(rnbinom(length(expected), mu = 1e6 * expected / rep(colSums(expected),
                                                                     each = nrow(expected)),
                           size = 20), nrow(expected), dimnames = dimnames(sim$bulk_counts))
  signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  list(fit = suppressWarnings(deconvolve_bulk(signatures, counts, length_exponent = 0,
                                              verbose = FALSE)), kind = kind)
}

bench_contrast <- function(pairs) {
  cat("three kinds of patients by what blasts express; shares vary without kinds\n")
  by <- list(`expression of blasts` = function(fit) cell_type_expression(fit, verbose = FALSE),
             shares = identity)
  rows <- do.call(rbind, lapply(seq_len(pairs), function(seed) {
    drawn <- draw_kinds(seed)
    n <- length(drawn$kind) / 2
    do.call(rbind, lapply(names(by), function(name) {
      first <- by[[name]](drawn$fit[seq_len(n)])
      second <- by[[name]](drawn$fit[n + seq_len(n)])
      find <- function(level, k) {
        find_subtypes(first, types = if (name != "shares") "Blast", k = k, level = level,
                      seed = seed)
      }
      claimed <- find(0.05, 2:6)
      # with the number of kinds given, as if somebody knew
      s <- find(1, 3)
      r <- replicate_subtypes(s, second, seed = seed)
      data.frame(by = name, claimed = claimed$k > 1, k = claimed$k,
                 ari = rand_of(s$assignment, drawn$kind[seq_len(n)]),
                 ari_again = rand_of(predict(s, second), drawn$kind[n + seq_len(n)]),
                 p = r$p_value)
    }))
  }))
  for (name in names(by)) {
    own <- rows[rows$by == name, ]
    show(data.frame(by = name, pairs, claimed = sum(own$claimed), k_is_3 = sum(own$k == 3),
                    ari = mean(own$ari), ari_again = mean(own$ari_again),
                    replicated = sum(own$p < 0.05)))
  }
}

# ---- survival and pathways ------------------------------------------------------------

bench_survival <- function(permutations) {
  set.seed(1)
  cohort <- draw_features(100, 6)
  s <- find_subtypes(cohort$x, seed = 1)
  time <- rexp(100, c(0.3, 0.6, 1.5)[cohort$z])
  end <- runif(100, 1, 5)
  event <- time <= end
  time <- pmin(time, end)
  p_of <- function(order) {
    compare_survival(unname(s$assignment), time[order], event[order])$logrank[["p_value"]]
  }
  p <- suppressWarnings(replicate(permutations, p_of(sample(100))))
  show(data.frame(k = s$k, planted_p = p_of(1:100), permutations,
                  below_05 = mean(p < 0.05), ks_p = ks.test(p, "punif")$p.value))
}

# Genes in sets of 20 that are correlated by `rho`, and no difference.
bench_pathways <- function(sets) {
  for (rho in c(0, 0.1, 0.3)) {
    set.seed(1)
    p <- replicate(sets, {
      shared <- matrix(rnorm(10 * 30), 10)[rep(1:10, each = 20), ]
      x <- sqrt(rho) * shared + sqrt(1 - rho) * matrix(rnorm(200 * 30), 200)
      dimnames(x) <- list(paste0("g", 1:200), paste0("s", 1:30))
      group <- data.frame(group = rep(c("a", "b"), 15), row.names = colnames(x))
      compared <- compare_groups(x, ~ group, group)
      sets <- list(one = rownames(x)[1:20])
      plain <- wilcox.test(compared$table$statistic[1:20], compared$table$statistic[-(1:20)])
      c(test_pathways(compared, sets)$p_rank, plain$p.value)
    })
    show(data.frame(rho, data_sets = sets, rank_test = mean(p[1, ] < 0.05),
                    ks_p = suppressWarnings(ks.test(p[1, ], "punif")$p.value),
                    wilcoxon = mean(p[2, ] < 0.05)))
  }
}

# ---- stimulated blood ------------------------------------------------------------------

# Genes that type I interferon induces in every cell, as a gene set file has them.
INTERFERON <- paste(c("INTERFERON", "type I", "ISG15", "IFI6", "IFI44", "IFI44L", "IFIT1", "IFIT2",
                      "IFIT3", "IFITM1", "IFITM3", "IFI35", "ISG20", "MX1", "MX2", "OAS1", "OAS2",
                      "OAS3", "OASL", "STAT1", "IRF7", "XAF1", "BST2", "RSAD2", "LY6E", "HERC5",
                      "DDX58", "EIF2AK2", "TNFSF10", "CXCL10"), collapse = "\t")
BROAD <- c("B Activated" = "B", "B" = "B", "CD14 Mono" = "Mono", "CD16 Mono" = "Mono",
           "CD4 Memory T" = "T", "CD4 Naive T" = "T", "CD8 T" = "T", "T activated" = "T",
           "NK" = "NK", "DC" = "DC")

# All cells of a donor and condition as one bulk; reference of the control cells.
bench_kang <- function(swaps) {
  folder <- data_folder("kang2018_pbmc")
  if (!dir.exists(folder)) stop("the data set kang2018_pbmc is not at hand")
  read <- function(name) file.path(folder, name)
  cells <- read.delim(read("cells.tsv"))
  counts <- methods::as(Matrix::readMM(gzfile(read("counts.mtx.gz"))), "CsparseMatrix")
  rownames(counts) <- read.delim(read("genes.tsv"))$symbol
  type <- unname(BROAD[cells$celltype])
  kept <- !is.na(type) & !is.na(cells$donor)
  counts <- counts[, kept]
  cells <- cells[kept, ]
  type <- type[kept]
  control <- cells$stim == "ctrl"
  signatures <- suppressWarnings(build_signatures(counts[, control], type[control],
                                                  cells$donor[control]))
  sample <- paste(cells$donor, cells$stim)
  sums <- function(at) {
    sapply(split(at, sample[at]), function(own) Matrix::rowSums(counts[, own, drop = FALSE]))
  }
  bulk <- sums(seq_along(type))
  samples <- data.frame(donor = sub(" .*", "", colnames(bulk)),
                        stim = sub(".* ", "", colnames(bulk)), row.names = colnames(bulk))
  fit <- deconvolve_bulk(signatures, bulk, samples = samples, verbose = FALSE)
  expression <- cell_type_expression(fit, verbose = FALSE)
  file <- tempfile(fileext = ".gmt")
  writeLines(INTERFERON, file)
  sets <- read_gmt(file)
  compare <- function(samples) {
    compare_groups(expression, ~ stim + (1 | donor), samples, types = c("B", "Mono", "NK", "T"))
  }
  compared <- compare(samples)
  table <- compared$table
  pathways <- test_pathways(compared, sets)
  print(pathways)
  for (one in c("B", "Mono", "NK", "T")) {
    own <- table[table$type == one, ]
    if (!nrow(own)) {
      cat("\n", one, ": no gene is reliable enough\n", sep = "")
      next
    }
    own <- own[order(own$p_value), ]
    # the same of the type's own cells, without any deconvolution
    at <- sums(which(type == one))
    truth <- log2(1e6 * at / rep(colSums(at), each = nrow(at)) + 1)
    truth <- truth[rowMeans(truth) > 4, ]
    direct <- compare_groups(truth, ~ stim + (1 | donor), samples, moderate = TRUE)$table
    both <- merge(own, direct, by.x = "gene", by.y = "feature")
    first <- head(own$gene, 20)
    cat("\n", one, ": ", nrow(own), " genes, ", sum(own$p_adjusted < 0.05, na.rm = TRUE),
        " at q < 0.05, of the first 20 in the interferon set ", sum(first %in% sets[[1]]),
        "; r of effects with those of the type's own cells ",
        round(cor(both$estimate.x, both$estimate.y), 2), "\n  ",
        paste(first, collapse = " "), "\n", sep = "")
  }
  set.seed(1)
  found <- replicate(swaps, {
    flip <- sample(unique(samples$donor), length(unique(samples$donor)) %/% 2)
    swapped <- samples
    own <- swapped$donor %in% flip
    swapped$stim[own] <- ifelse(swapped$stim[own] == "ctrl", "stim", "ctrl")
    table <- compare(swapped)$table
    c(sum(table$p_adjusted < 0.05, na.rm = TRUE), mean(table$p_value < 0.05, na.rm = TRUE))
  })
  show(data.frame(genes_at_q_05 = sum(table$p_adjusted < 0.05, na.rm = TRUE), swaps,
                  swapped_genes_at_q_05 = mean(found[1, ]), swapped_p_below_05 = mean(found[2, ])))
}

# ---- real cohorts ---------------------------------------------------------------------

read_tcga <- function() {
  folder <- data_folder("tcga_mirna")
  if (!dir.exists(folder)) stop("the data set tcga_mirna is not at hand")
  table <- read.delim(gzfile(file.path(folder, "read_counts.tsv.gz")), check.names = FALSE)
  counts <- as.matrix(table[-1])
  rownames(counts) <- table[[1]]
  samples <- read.delim(file.path(folder, "samples.tsv"))
  rownames(samples) <- samples$sample
  samples$os_days[which(samples$os_days <= 0)] <- NA
  list(counts = counts, samples = samples)
}

# log2 CPM of the miRNAs that are seen, of the tumours of one cohort, one per patient.
cohort_values <- function(data, cohort) {
  own <- data$samples[data$samples$cohort == cohort & data$samples$sample_type %in%
                        c(1, 3, "01", "03"), ]
  own <- own[!duplicated(own$patient) & !is.na(own$os_days) & !is.na(own$os_event), ]
  counts <- data$counts[, own$sample]
  values <- log2(1e6 * counts / rep(colSums(counts), each = nrow(counts)) + 1)
  list(x = values[rowMeans(values) > 3, ], samples = own)
}

# As users do it: k of the highest stability, no null.
stable_anyway <- function(s, x) {
  best <- s$stability$k[which.max(s$stability$stability)]
  found <- find_subtypes(x, k = best, level = 1, null = 19, seed = 1)
  found
}

logrank_p <- function(class, samples) {
  samples <- samples[names(class), ]
  tryCatch(suppressWarnings(compare_survival(unname(class), samples$os_days,
                                             samples$os_event)$logrank[["p_value"]]),
           error = function(e) NA)
}

bench_tcga <- function(most) {
  data <- read_tcga()
  laml <- cohort_values(data, "LAML")
  s <- find_subtypes(laml$x, samples = laml$samples, seed = 1)
  print(s)
  class <- s
  if (s$k == 1) class <- stable_anyway(s, laml$x)
  own <- laml$samples[names(class$assignment), ]
  cat(if (s$k == 1) "None claimed; what follows is of the most stable partition\n")
  try(print(suppressWarnings(compare_survival(unname(class$assignment), own$os_days,
                                              own$os_event))))
  try(print(test_enrichment(unname(class$assignment), own$laml_risk, seed = 1)))
  sizes <- sort(table(data$samples$cohort), decreasing = TRUE)
  cohorts <- head(names(sizes), most)
  rows <- do.call(rbind, lapply(cohorts, function(cohort) {
    found <- cohort_values(data, cohort)
    if (ncol(found$x) < 150) return(NULL)
    set.seed(1)
    half <- sample(ncol(found$x), ncol(found$x) %/% 2)
    one <- found$x[, half]
    two <- found$x[, -half]
    s <- find_subtypes(one, null = 50, resamples = 25, seed = 1)
    of <- function(s, way) {
      if (s$k == 1) return(data.frame(cohort, way, n = ncol(found$x), k = 1, p = s$p_value,
                                      igp_p = NA, explained_p = NA, surv_1 = NA, surv_2 = NA,
                                      trend_p = NA, permuted_p = NA))
      again <- function(samples) {
        known <- suppressWarnings(compare_survival(unname(s$assignment),
                                                   found$samples[names(s$assignment), "os_days"],
                                                   found$samples[names(s$assignment), "os_event"]))
        replicate_subtypes(s, two, known, "os_days", "os_event", samples, null = 99, seed = 1)
      }
      shuffled <- found$samples
      columns <- c("os_days", "os_event")
      shuffled[columns] <- shuffled[sample(nrow(shuffled)), columns]
      tryCatch({
        r <- again(found$samples)
        data.frame(cohort, way, n = ncol(found$x), k = s$k, p = s$p_value,
                   igp_p = r$overall$p_value[2], explained_p = r$p_value,
                   surv_1 = logrank_p(s$assignment, found$samples),
                   surv_2 = r$survival$comparison$logrank[["p_value"]],
                   trend_p = r$survival$trend$p_value,
                   permuted_p = again(shuffled)$survival$trend$p_value)
      }, error = function(e) {
        message(cohort, ": ", conditionMessage(e))
        NULL
      })
    }
    out <- rbind(of(s, "null decides"), of(stable_anyway(s, one), "most stable k"))
    show(out)
    out
  }))
  for (way in unique(rows$way)) {
    own <- rows[rows$way == way, ]
    some <- own[own$k > 1, ]
    show(data.frame(way, cohorts = nrow(own), with_subtypes = nrow(some),
                    igp_replicates = sum(some$igp_p < 0.05),
                    explained_replicates = sum(some$explained_p < 0.05),
                    survival_in_first = sum(some$surv_1 < 0.05, na.rm = TRUE),
                    direction = sum(some$trend_p < 0.5, na.rm = TRUE),
                    replicated = sum(some$trend_p < 0.05, na.rm = TRUE),
                    permuted = sum(some$permuted_p < 0.05, na.rm = TRUE)))
  }
}

switch(mode, groups = bench_groups(size(1000L)), subtypes = bench_subtypes(size(20L)),
       contrast = bench_contrast(size(20L)),
       survival = bench_survival(size(200L)), pathways = bench_pathways(size(200L)),
       kang = bench_kang(size(10L)),
       tcga = bench_tcga(size(40L)), stop("no such mode"))
