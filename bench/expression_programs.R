# Programs of types in cell_type_expression(), on blood cells with and without interferon
# (kang2018_pbmc): prints tables, fails nothing.
# Usage: Rscript bench/expression_programs.R [seeds]
#
#   mixed    60 pseudo-bulks of three donors that the reference does not have, 400 cells each;
#            every type has a share of stimulated cells of its own. The correlation over
#            samples of predicted with true log2(CPM + 20), mean over genes that stimulation
#            moves by more than a factor of two in the reference's cells.
#   change   a reference of control cells alone; 15 pseudo-bulks of control and 15 of
#            stimulated cells. The correlation over genes of predicted with true mean change.
library(unalloy)
options(cli.progress_show_after = Inf, unalloy.threads = 1L)
seeds <- seq_len(as.integer(c(commandArgs(TRUE), 3)[1]))
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

predictions <- function(fit) {
  get <- function(...) {
    cell_type_expression(fit, units = "cpm", exposure_error = FALSE, verbose = FALSE, ...)
  }
  list(allocation = get(method = "allocation"), blup = get(),
       programs = get(covariance = "programs"))
}

mixed <- function(seed) {
  set.seed(seed)
  held <- sample(sort(unique(cells$donor)), 3)
  counts <- mix(held, matrix(runif(4 * 60), 4))
  at <- !cells$donor %in% held
  fit <- suppressWarnings(deconvolve_bulk(reference(at), apply(counts, c(1, 3), sum),
                                          verbose = FALSE))
  fold <- sapply(types, function(type) {
    sums <- sapply(c(FALSE, TRUE), function(condition) {
      Matrix::rowSums(cells$counts[, at & cells$type == type & cells$stimulated == condition])
    })
    as.vector(log2(per_million(sums) + 20) %*% c(-1, 1))
  })
  truth <- truth_of(counts)
  found <- predictions(fit)
  # where the sample has the type by truth and by the fit
  score <- function(x) {
    values <- as.array(x)
    absent <- x$prior
    r <- sapply(types, function(type) {
      use <- genes[abs(fold[, type]) > 1]
      known <- !is.na(truth[1, type, ]) & !absent[type, ]
      row_correlation(logs(truth[use, type, known]), logs(values[use, type, known]))
    })
    c(r, mean = mean(r))
  }
  print(found$programs$programs, row.names = FALSE, digits = 2)
  t(sapply(found, score))
}

change <- function(seed) {
  set.seed(seed)
  condition <- rep(c(FALSE, TRUE), each = 15)
  donors <- sort(unique(cells$donor))
  counts <- mix(donors, matrix(rep(as.numeric(condition), each = 4), 4))
  fit <- suppressWarnings(deconvolve_bulk(reference(!cells$stimulated),
                                          apply(counts, c(1, 3), sum), verbose = FALSE))
  true <- change_of(counts, condition)
  found <- predictions(fit)
  score <- function(x) {
    values <- logs(as.array(x))
    r <- sapply(types, function(type) {
      own <- values[, type, ]
      level <- rowMeans(own) > log2(50 + 20)
      moved <- rowMeans(own[level, condition]) - rowMeans(own[level, !condition])
      cor(moved, true[match(rownames(own)[level], genes), type])
    })
    c(r, mean = mean(r))
  }
  print(found$programs$programs, row.names = FALSE, digits = 2)
  t(sapply(found, score))
}

for (name in c("mixed", "change")) {
  runs <- lapply(seeds, function(seed) {
    cat("\n", name, ", seed ", seed, "\n", sep = "")
    run <- get(name)(seed)
    print(round(run, 3))
    run
  })
  cat("\n", name, ", mean of ", length(seeds), " seeds\n", sep = "")
  print(round(Reduce(`+`, runs) / length(runs), 3))
}
