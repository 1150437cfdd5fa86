# Accuracy on mixtures whose truth is known, with one default call and beside
# other settings: prints tables, fails nothing.
# Usage: Rscript bench/accuracy.R [bootstraps]
#
# Needs the public data sets in UNALLOY_DATA or ../shared/data; see the README
# there for their sources.
library(unalloy)

bootstraps <- as.integer(c(commandArgs(TRUE), 20)[1])
root <- Sys.getenv("UNALLOY_DATA", "../shared/data")
if (!dir.exists(root)) stop("The data sets are not at hand: set UNALLOY_DATA.")
path <- function(...) file.path(root, ...)
table_of <- function(file) utils::read.delim(gzfile(file), check.names = FALSE)
matrix_of <- function(file) {
  table <- table_of(file)
  out <- as.matrix(table[-1])
  rownames(out) <- table[[1]]
  out
}

# References: counts, types, donors.
zheng <- local({
  counts <- methods::as(Matrix::readMM(gzfile(path("zheng_pbmc_facs", "counts.mtx.gz"))),
                        "CsparseMatrix")
  cells <- table_of(path("zheng_pbmc_facs", "cells.tsv"))
  dimnames(counts) <- list(table_of(path("zheng_pbmc_facs", "genes.tsv"))$symbol, cells$cell)
  list(counts = counts, types = cells$subpop, donors = NULL)
})
kang <- local({
  counts <- methods::as(Matrix::readMM(gzfile(path("kang2018_pbmc", "counts.mtx.gz"))),
                        "CsparseMatrix")
  cells <- table_of(path("kang2018_pbmc", "cells.tsv"))
  genes <- table_of(path("kang2018_pbmc", "genes.tsv"))
  dimnames(counts) <- list(if (is.null(genes$symbol)) genes[[1]] else genes$symbol, cells$cell)
  few <- names(which(table(cells$celltype[cells$stim == "ctrl"]) < 5))
  keep <- cells$stim == "ctrl" & !cells$celltype %in% c(NA, "") & !cells$celltype %in% few
  list(counts = counts[, keep], types = cells$celltype[keep], donors = cells$donor[keep])
})
broad <- c("B cell" = "B", "T cell" = "T", "NK cell" = "NK", "CD14+" = "Mono", "CD34+" = "CD34",
           "B Activated" = "B", "B" = "B", "CD14 Mono" = "Mono", "CD16 Mono" = "Mono",
           "CD4 Memory T" = "T", "CD4 Naive T" = "T", "CD8 T" = "T", "T activated" = "T",
           "NK" = "NK", "DC" = "DC", "pDC" = "DC", "Mk" = "Mk", "Eryth" = "Ery")
signatures_of <- function(reference, cells = seq_along(reference$types)) {
  donors <- reference$donors[cells]
  suppressWarnings(build_signatures(
    reference$counts[, cells], reference$types[cells],
    donors = if (is.null(donors) || anyNA(donors)) NULL else donors
  ))
}

# Truth sets: a score per estimate (types x samples).
hoek <- list(bulk = matrix_of(path("hoek_gse64655", "bulk.tsv.gz")),
             truth = matrix_of(path("hoek_gse64655", "truth.tsv")))
pbmc <- c("T", "B", "NK", "Mono")
score_hoek <- function(p) {
  p <- rowsum(p, broad[rownames(p)])[pbmc, ]
  p <- t(p) / colSums(p)
  truth <- hoek$truth[rownames(p), pbmc]
  truth <- truth / rowSums(truth)
  c(r = cor(c(p), c(truth)), type_r = mean(diag(cor(p, truth))), rmse = sqrt(mean((p - truth)^2)))
}
corces <- list(bulk = matrix_of(path("corces_gse74246", "counts.tsv.gz")),
               samples = table_of(path("corces_gse74246", "samples.tsv")))
own <- c(Mono = "Mono", Bcell = "B", NKcell = "NK", CD4Tcell = "T", CD8Tcell = "T", HSC = "CD34",
         MPP = "CD34", CMP = "CD34", LMPP = "CD34", MEP = "CD34", GMP = "CD34")
pure <- corces$samples$group == "normal" & corces$samples$label %in% names(own)
score_corces <- function(p) {
  p <- rowsum(p, broad[rownames(p)])
  c(purity = mean(p[cbind(own[corces$samples$label[pure]], corces$samples$sample[pure])]))
}
rat <- local({
  expression <- matrix_of(path("gse19830_liver_brain_lung", "expr_linear.tsv.gz"))
  truth <- matrix_of(path("gse19830_liver_brain_lung", "truth.tsv"))
  pure <- apply(truth, 1, max) == 1
  list(bulk = expression[, rownames(truth)[!pure]], truth = t(truth[!pure, ]),
       signatures = sapply(colnames(truth), function(k) {
         rowMeans(expression[, rownames(truth)[truth[, k] == 1]])
       }))
})
score_rat <- function(p) {
  c(r = cor(c(p), c(rat$truth)), rmse = sqrt(mean((p - rat$truth)^2)))
}

markers_only <- function(signatures, n) {
  markers <- select_markers(signatures, n = n)
  stats::setNames(as.numeric(rownames(signatures) %in% markers$gene), rownames(signatures))
}
methods <- list(
  "default" = function(s, b) deconvolve_bulk(s, b, verbose = FALSE),
  "Poisson, protocol genes left out" = function(s, b) {
    deconvolve_bulk(s, b, gene_weights = "auto", error_model = "poisson", verbose = FALSE)
  },
  "Poisson, the same, no intercept" = function(s, b) {
    deconvolve_bulk(s, b, gene_weights = "auto", intercept = FALSE, verbose = FALSE)
  },
  "Poisson, all genes, no intercept" =
    function(s, b) deconvolve_bulk(s, b, gene_weights = "none", intercept = FALSE, verbose = FALSE),
  "Poisson, 50 markers per type" = function(s, b) {
    deconvolve_bulk(s, b, gene_weights = markers_only(s, 50), intercept = FALSE, verbose = FALSE)
  }
)
Z <- signatures_of(zheng)
K <- signatures_of(kang)
row <- function(f) {
  shares <- function(s, b) suppressWarnings(f(s, b))$proportions
  c(hoek_Z = score_hoek(shares(Z, hoek$bulk)), hoek_K = score_hoek(shares(K, hoek$bulk)),
    corces_Z = score_corces(shares(Z, corces$bulk[, pure])),
    rat = score_rat(shares(rat$signatures, rat$bulk)))
}
cat("\nShares of mRNA beside shares of cells (hoek), labels (corces), and mixed RNA (rat)\n\n")
table <- t(vapply(methods, row, numeric(9)))
print(round(table, 3))

cat("\nThe default's shares of cells (hoek)\n\n")
cells <- function(s) deconvolve_bulk(s, hoek$bulk, verbose = FALSE)$cell_fractions
print(round(rbind(zheng = score_hoek(cells(Z)), kang = score_hoek(cells(K))), 3))

cat("\nAn absent type in the reference (CD34+): RMSE on hoek with and without\n\n")
without <- signatures_of(zheng, which(zheng$types != "CD34+"))
f <- methods$default
print(round(rbind(
  mRNA = c(with = score_hoek(f(Z, hoek$bulk)$proportions)[["rmse"]],
           without = score_hoek(f(without, hoek$bulk)$proportions)[["rmse"]]),
  cells = c(score_hoek(cells(Z))[["rmse"]], score_hoek(cells(without))[["rmse"]])
), 3))

cat("\nBootstraps of the reference cells within types: RMSE on hoek\n\n")
set.seed(1)
resampled <- function(reference) {
  by_type <- split(seq_along(reference$types), reference$types)
  rmse <- replicate(bootstraps, {
    drawn <- unlist(lapply(by_type, function(own) own[sample.int(length(own), replace = TRUE)]))
    s <- signatures_of(reference, drawn)
    fit <- suppressWarnings(deconvolve_bulk(s, hoek$bulk, verbose = FALSE))
    c(mRNA = score_hoek(fit$proportions)[["rmse"]],
      cells = score_hoek(fit$cell_fractions)[["rmse"]])
  })
  c(mean = rowMeans(rmse), max = apply(rmse, 1, max))
}
print(round(rbind(zheng = resampled(zheng), kang = resampled(kang)), 3))

cat("\nSubtypes under a tree (kang): hoek RMSE, and purity on the types of corces that it has\n\n")
groups <- stats::setNames(broad[colnames(K)], colnames(K))
covered <- own[corces$samples$label] %in% groups & pure
purity <- function(p) {
  p <- rowsum(p, broad[rownames(p)])
  mean(p[cbind(own[corces$samples$label[covered]], corces$samples$sample[covered])])
}
forms <- list(
  flat = function(b) deconvolve_bulk(K, b, verbose = FALSE),
  hierarchical = function(b) {
    deconvolve_hierarchical(K, b, tree = type_tree(K, groups), verbose = FALSE)
  }
)
print(round(t(vapply(forms, function(form) {
  c(hoek = score_hoek(form(hoek$bulk)$proportions)[["rmse"]],
    corces = purity(form(corces$bulk[, covered])$proportions))
}, numeric(2))), 3))
