# What the benches of latent factors and of networks share: cells, genes, scores.
suppressMessages({
  library(unalloy)
  library(Matrix)
})
wanted <- commandArgs(TRUE)
root <- Sys.getenv("UNALLOY_DATA", "../shared/data")
options(unalloy.threads = 1L, width = 200)

timed <- function(expr) {
  gc(FALSE)
  time <- system.time(value <- expr)
  list(value = value, cpu = sum(time[c("user.self", "sys.self")]), elapsed = time[["elapsed"]])
}

log_variance <- function(x) {
  x@x <- log1p(1000 * x@x / rep(colSums(x), diff(x@p)))
  rowMeans(x^2) - rowMeans(x)^2
}

# Values are standardised by the deviation that a gene of the same mean has, and clipped.
standardised_variance <- function(x) {
  mean <- rowMeans(x)
  variance <- rowMeans(x^2) - mean^2
  varies <- variance > 0
  trend <- stats::loess(log10(variance[varies]) ~ log10(mean[varies]), span = 0.3)
  out <- numeric(nrow(x))
  values <- (as.matrix(x[varies, ]) - mean[varies]) / sqrt(10^stats::fitted(trend))
  out[varies] <- rowMeans(pmin(values, sqrt(ncol(x)))^2)
  out
}

cells_of <- function(folder) {
  path <- file.path(root, folder)
  x <- as(as(readMM(gzfile(file.path(path, "counts.mtx.gz"))), "CsparseMatrix"), "dMatrix")
  genes <- utils::read.delim(file.path(path, "genes.tsv"))
  rownames(x) <- make.unique(as.character(genes[[1L]]))
  spread <- if ("logs" %in% wanted) log_variance(x) else standardised_variance(x)
  x <- x[order(spread, decreasing = TRUE)[1:2000], ]
  cells <- utils::read.delim(file.path(path, "cells.tsv"), na.strings = c("NA", ""))
  colnames(x) <- paste0("c", seq_len(ncol(x)))
  counted <- colSums(x) > 0
  list(x = x[, counted], cells = cells[counted, ])
}

adjusted_rand <- function(a, b) {
  table <- table(a, b)
  pairs <- function(n) sum(choose(n, 2))
  expected <- pairs(rowSums(table)) * pairs(colSums(table)) / choose(sum(table), 2)
  (pairs(table) - expected) / ((pairs(rowSums(table)) + pairs(colSums(table))) / 2 - expected)
}

neighbours <- function(scores, k) {
  apart <- as.matrix(stats::dist(scores))
  diag(apart) <- Inf
  t(apply(apart, 1L, function(row) order(row)[seq_len(k)]))
}

clusters <- function(scores, label, condition = NULL) {
  known <- !is.na(label)
  set.seed(1)
  groups <- stats::kmeans(scores[known, ], length(unique(label[known])), nstart = 20,
                          iter.max = 100)$cluster
  near <- neighbours(scores[known, ], 15)
  out <- c(ARI = adjusted_rand(groups, label[known]),
           kNN = mean(matrix(label[known][near], nrow(near)) == label[known]))
  if (!is.null(condition)) {
    near <- neighbours(scores, 30)
    other <- mean(matrix(condition[near], nrow(near)) != condition)
    shares <- table(condition) / length(condition)
    out <- c(out, mixing = other / (1 - sum(shares^2)))
  }
  out
}

# Counts in two parts; 80 % of the molecules are in the first.
thinned <- function(x, seed = 5) {
  set.seed(seed)
  kept <- x
  kept@x <- as.double(stats::rbinom(length(x@x), x@x, 0.8))
  list(train = drop0(kept), test = drop0(x - kept))
}

score <- function(shares, test) {
  entries <- summary(test)
  sum(entries$x * log(pmax(shares[cbind(entries$i, entries$j)], 1e-300))) / sum(entries$x)
}

# Training cells, held-out ones, and the latter's molecules in two parts.
data_parts <- function(folder, labels, condition = NULL) {
  all <- cells_of(folder)
  set.seed(1)
  test <- sort(sample(ncol(all$x), round(ncol(all$x) / 10)))
  train <- all$x[, -test]
  train <- train[rowSums(train) > 0, ]
  parts <- thinned(all$x[rownames(train), test])
  group <- if (!is.null(condition)) all$cells[[condition]]
  label <- all$cells[[labels]][-test]
  # thinning may leave a cell with nothing to find its factors from
  filled <- colSums(parts$train) > 0
  parts <- lapply(parts, function(part) part[, filled])
  known <- group[-test]
  test <- test[filled]
  cat("\n==", folder, nrow(train), "genes,", ncol(train), "+", length(test), "cells\n")
  list(train = train, test = all$x[rownames(train), test], thinned = parts, label = label,
       group = known, test_group = group[test])
}

peak <- function() {
  line <- grep("VmHWM", readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024^2
}
# Counts of so many cells, each of two of twenty programs.
many_cells <- function(n) {
  set.seed(1)
  genes <- 2000
  programs <- matrix(exp(stats::rnorm(genes * 20, sd = 1.3)), genes)
  programs <- sweep(programs, 2, colSums(programs), "/")
  steps <- apply(programs, 2, cumsum)
  blocks <- lapply(split(seq_len(n), (seq_len(n) - 1) %/% 5000), function(cells) {
    drawn <- lapply(cells, function(cell) {
      own <- sample.int(20, 2)
      unlist(lapply(own, function(program) {
        findInterval(stats::runif(stats::rpois(1, 105)), steps[, program]) + 1L
      }))
    })
    sparseMatrix(i = pmin(unlist(drawn), genes), j = rep(seq_along(cells), lengths(drawn)), x = 1,
                 dims = c(genes, length(cells)))
  })
  x <- do.call(cbind, blocks)
  x[rowSums(x) > 0, ]
}
