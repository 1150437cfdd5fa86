# Consensus programs of sorted blood cells: time, memory of R's own objects, and how well
# programs agree with the sorted populations.  Prints a table, fails nothing.
# Usage: Rscript bench/consensus_programs.R [runs]
#
# Needs zheng_pbmc_facs in UNALLOY_DATA or ../shared/data; see the README there.
library(unalloy)

runs <- as.integer(c(commandArgs(TRUE), 20)[1])
root <- file.path(Sys.getenv("UNALLOY_DATA", "../shared/data"), "zheng_pbmc_facs")
if (!dir.exists(root)) stop("The data set is not at hand: set UNALLOY_DATA.")
counts <- methods::as(Matrix::readMM(gzfile(file.path(root, "counts.mtx.gz"))), "CsparseMatrix")
cells <- utils::read.delim(gzfile(file.path(root, "cells.tsv")))
rownames(counts) <- make.unique(utils::read.delim(gzfile(file.path(root, "genes.tsv")))$symbol)
colnames(counts) <- cells$cell

rows <- lapply(c(frobenius = "frobenius", kl = "kl"), function(loss) {
  gc(reset = TRUE)
  time <- system.time(fit <- consensus_programs(counts, rank = 6, nrun = runs, loss = loss,
                                                seed = 1, verbose = FALSE))
  main <- max.col(t(fit$usage), ties.method = "first")
  table <- table(main, cells$subpop)
  cat("\n", loss, ": cells by main program and sorted population\n", sep = "")
  print(table)
  print(fit)
  data.frame(loss = loss, cells = ncol(counts), genes = nrow(counts), runs = runs,
             cpu = time[[1]], elapsed = time[[3]], megabytes = sum(gc()[, 6]),
             kept = mean(fit$replicates$kept), stability = fit$stability,
             error = fit$error, purity = sum(apply(table, 1, max)) / sum(table))
})
print(do.call(rbind, rows), digits = 3, row.names = FALSE)
