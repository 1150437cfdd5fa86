# What the benches of expression per type share: stimulated blood cells (kang2018_pbmc), mixed,
# and scores.  `types` and `cells` are made; sourced by expression_programs.R and deconvolver.R.
types <- c("B", "Mono", "NK", "T")

cells <- local({
  folder <- file.path(Sys.getenv("UNALLOY_DATA", "../shared/data"), "kang2018_pbmc")
  if (!dir.exists(folder)) stop("the data set kang2018_pbmc is not at hand")
  table <- read.delim(file.path(folder, "cells.tsv"))
  counts <- methods::as(Matrix::readMM(gzfile(file.path(folder, "counts.mtx.gz"))),
                        "CsparseMatrix")
  rownames(counts) <- read.delim(file.path(folder, "genes.tsv"))$symbol
  broad <- c("B Activated" = "B", "B" = "B", "CD14 Mono" = "Mono", "CD16 Mono" = "Mono",
             "CD4 Memory T" = "T", "CD4 Naive T" = "T", "CD8 T" = "T", "T activated" = "T",
             "NK" = "NK")
  type <- unname(broad[table$celltype])
  kept <- !is.na(type) & !is.na(table$donor)
  list(counts = counts[, kept], type = type[kept], donor = table$donor[kept],
       stimulated = table$stim[kept] != "ctrl")
})
genes <- rownames(cells$counts)
per_million <- function(x) 1e6 * x / rep(colSums(x), each = nrow(x))

# Counts of types in pseudo-bulks, genes x types x samples. `stimulated` is the share of a
# type's cells, types x samples; cells of a sample come from one of the donors, or from all
# of them where it has fewer than three.
mix <- function(donors, stimulated, n_cells = 400) {
  n <- ncol(stimulated)
  shares <- matrix(rgamma(4 * n, 1), 4)
  shares <- shares / rep(colSums(shares), each = 4)
  out <- array(0, c(length(genes), 4, n), list(genes, types, paste0("S", seq_len(n))))
  for (s in seq_len(n)) {
    number <- rmultinom(1, n_cells, shares[, s])
    donor <- donors[(s - 1) %% length(donors) + 1]
    for (j in seq_along(types)) {
      drawn <- rbinom(1, number[j], stimulated[j, s])
      draw <- function(condition, size) {
        of <- function(from) {
          which(cells$type == types[j] & cells$donor %in% from & cells$stimulated == condition)
        }
        pool <- if (length(of(donor)) < 3) of(donors) else of(donor)
        pool[sample.int(length(pool), size, TRUE)]
      }
      own <- c(draw(FALSE, number[j] - drawn), draw(TRUE, drawn))
      out[, j, s] <- Matrix::rowSums(cells$counts[, own, drop = FALSE])
    }
  }
  out
}

reference <- function(at) {
  suppressWarnings(build_signatures(
    cells$counts[, at], cells$type[at],
    paste(cells$donor, cells$stimulated)[at], min_cells = 1
  ))
}

# True change per type between the conditions, log2.
change_of <- function(counts, condition) {
  sapply(types, function(type) {
    own <- counts[, type, ]
    sums <- cbind(rowSums(own[, !condition]), rowSums(own[, condition]))
    as.vector(log2(per_million(sums) + 20) %*% c(-1, 1))
  })
}

logs <- function(x) log2(pmax(x, 0) + 20)
truth_of <- function(counts) {
  out <- apply(counts, 2:3, function(x) if (sum(x) > 0) 1e6 * x / sum(x) else x * NA)
  dimnames(out) <- dimnames(counts)
  out
}

row_correlation <- function(x, y) {
  x <- x - rowMeans(x)
  y <- y - rowMeans(y)
  r <- rowSums(x * y) / sqrt(rowSums(x^2) * rowSums(y^2))
  r[!is.finite(r)] <- 0
  mean(r[rowSums(x^2) > 0])
}

# log2 change of every gene and type on stimulation in the cells `at`.
fold_of <- function(at) {
  sapply(types, function(type) {
    sums <- sapply(c(FALSE, TRUE), function(condition) {
      Matrix::rowSums(cells$counts[, at & cells$type == type & cells$stimulated == condition])
    })
    as.vector(log2(per_million(sums) + 20) %*% c(-1, 1))
  })
}

# Correlation over samples of predicted with true log2(CPM + 20), mean over the genes that
# stimulation moves by more than a factor of two; `values` genes x types x samples in CPM,
# `absent` types x samples where nothing was predicted.
score_moved <- function(truth, values, absent, fold) {
  r <- sapply(types, function(type) {
    use <- intersect(genes[abs(fold[, type]) > 1], rownames(values))
    known <- !is.na(truth[1, type, ]) & !absent[type, ]
    row_correlation(logs(truth[use, type, known]), logs(values[use, type, known]))
  })
  c(r, mean = mean(r))
}
