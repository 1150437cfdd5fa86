# Recovery of profiles from composite measurements on real data, by method and
# number of measurements: prints the tables of the vignette, fails nothing.
# Usage: Rscript bench/recovery.R [splits] [size] [tcga|zheng] [train share] [snr]
# With 0 splits it measures the coverage of intervals alone.
#
# Needs the public data sets in UNALLOY_DATA or ../shared/data; see the README
# there for their sources.
library(unalloy)

given <- commandArgs(TRUE)
splits <- as.integer(c(given[1], 5)[1 + !(length(given) >= 1)])
size <- as.integer(c(given[2], 200)[1 + !(length(given) >= 2)])
which <- if (length(given) >= 3) given[3] else c("tcga", "zheng")
train <- if (length(given) >= 4) as.numeric(given[4]) else 0.8
snr <- if (length(given) >= 5) as.numeric(given[5]) else Inf
root <- Sys.getenv("UNALLOY_DATA", "../shared/data")
if (!dir.exists(root)) stop("The data sets are not at hand: set UNALLOY_DATA.")

# log1p of counts per `total`, the 500 genes detected in most samples.
most_detected <- function(counts, total) {
  detected <- Matrix::rowSums(counts > 0)
  sums <- Matrix::colSums(counts)
  kept <- utils::head(order(-detected), 500)
  x <- log1p(t(t(as.matrix(counts[kept, ])) / sums) * total)
  x[apply(x, 1, stats::sd) > 0, ]
}

load_data <- list(
  tcga = function() {
    table <- utils::read.delim(gzfile(file.path(root, "tcga_mirna", "read_counts.tsv.gz")),
                               check.names = FALSE)
    counts <- as.matrix(table[-1])
    rownames(counts) <- table[[1]]
    most_detected(counts, 1e6)
  },
  zheng = function() {
    counts <- Matrix::readMM(gzfile(file.path(root, "zheng_pbmc_facs", "counts.mtx.gz")))
    counts <- methods::as(counts, "CsparseMatrix")
    genes <- utils::read.delim(file.path(root, "zheng_pbmc_facs", "genes.tsv"))
    cells <- utils::read.delim(file.path(root, "zheng_pbmc_facs", "cells.tsv"))
    dimnames(counts) <- list(make.unique(genes$symbol), cells$cell)
    most_detected(counts, 1e4)
  }
)

# What needs no modules: regression of genes on measurements, with the ridge of a
# hundredth of a measurement's mean variance.
ridge <- function(train, A, y) {
  read <- A %*% train
  centre <- rowMeans(read)
  spread <- tcrossprod(read - centre)
  level <- rowMeans(train)
  slope <- tcrossprod(train - level, read - centre) %*%
    solve(spread + 0.01 * mean(diag(spread)) * diag(nrow(spread)))
  level + slope %*% (y - centre)
}

# The profile of least norm that has these measurements: what a square orthogonal
# dictionary gives without sparsity.
least_norm <- function(train, A, y) crossprod(A, solve(tcrossprod(A), y))

# A row per method, mean ± standard error per number of measurements.
markdown <- function(benchmark, score) {
  table <- summary(benchmark)
  table <- table[table$score == score, ]
  cells <- sprintf("%.3f ± %.3f", table$mean, table$se)
  wide <- tapply(cells, table[c("method", "measurements")], identity)
  cat("\n", score, "\n\n| method |", paste(colnames(wide), collapse = " | "), "|\n|",
      strrep("---|", ncol(wide) + 1), "\n", sep = "")
  for (method in rownames(wide)) {
    cat("| ", method, " | ", paste(wide[method, ], collapse = " | "), " |\n", sep = "")
  }
}

# Standard errors on held-out samples: share of true values in the 95 % intervals, by
# dictionary and by method of recovery, without noise and with as much of it as half of the
# signal (`snr = 2`).
coverage <- function(x, size) {
  n <- ncol(x)
  test <- seq(1, n, by = 5)
  low <- apply(x[, -test], 1, min)
  span <- apply(x[, -test], 1, max) - low
  x <- (x - low) / span
  A <- measurement_matrix(300, x, seed = 1)
  sizes <- c(20, 50, 100, 300)
  row <- function(label, y, recovered) {
    shares <- vapply(sizes, function(m) {
      found <- recovered(y[seq_len(m), ], A$weights[seq_len(m), ])
      mean(abs(found$profiles - x[, test]) <= stats::qnorm(0.975) * found$standard_errors)
    }, 0)
    cat(sprintf("%-18s", label), sprintf("%.3f", shares), "\n")
  }
  for (snr in c(Inf, 2)) {
    y <- measure(x[, test], A, snr, seed = 1, verbose = FALSE)
    cat("\nsnr", snr, "\n")
    for (method in c("svd", "svd_k", "ksvd", "smaf", "snmf")) {
      modules <- suppressWarnings(
        learn_dictionary(x[, -test], size, method, verbose = FALSE,
                         seed = if (!startsWith(method, "svd")) 1)
      )
      how <- if (method == "smaf") c("omp", "lasso", "nn_omp", "nn_lasso", "nnls") else "omp"
      for (decoder in how) {
        row(paste(method, decoder), y, function(y, A) {
          recover_profiles(y, A, modules, decoder, verbose = FALSE)
        })
      }
    }
    for (method in c("ridge", "kernel")) {
      row(method, y, function(y, A) {
        decoder <- learn_decoder(x[, -test], A, method, snr = snr, verbose = FALSE,
                                 seed = if (method == "kernel") 1)
        recover_profiles(y, A, decoder, verbose = FALSE)
      })
    }
  }
}

for (name in which) {
  x <- load_data[[name]]()
  if (splits == 0) {
    coverage(x, size)
    next
  }
  methods <- list("smaf", "snmf", "svd", "svd_k", "ksvd", ridge = ridge,
                  least_norm = least_norm)
  benchmark <- benchmark_recovery(
    x, methods = methods, splits = splits, size = size, train = train, snr = snr,
    settings = list(snmf = list(max_iter = 50)), seed = 1
  )
  cat("\n##", name, ":", dim(x), "train", train, "snr", snr, "size", size, "\n")
  for (score in c("sample_pearson", "sample_distance", "gene_pearson", "overall_pearson")) {
    markdown(benchmark, score)
  }
  cat("\nSeconds per split\n")
  print(round(tapply(benchmark$runs$seconds, benchmark$runs$method, mean), 1))
  if (any(!is.na(benchmark$runs$failure))) print(benchmark$runs)
  if (train == 0.8 && is.infinite(snr)) {
    cat("\nCoverage of 95 % intervals at 20, 50, 100 and 300 measurements\n")
    coverage(x, size)
  }
}
