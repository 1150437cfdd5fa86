test_that("sorted blood populations are given to their own type", {
  corces <- real_data("corces_gse74246")
  zheng <- real_data("zheng_pbmc_facs")
  bulk <- read_matrix(file.path(corces, "counts.tsv.gz"))
  genes <- utils::read.delim(gzfile(file.path(corces, "gene_lengths.tsv.gz")))
  samples <- utils::read.delim(file.path(corces, "samples.tsv"))
  counts <- Matrix::readMM(gzfile(file.path(zheng, "counts.mtx.gz")))
  cells <- utils::read.delim(file.path(zheng, "cells.tsv"))
  dimnames(counts) <- list(utils::read.delim(file.path(zheng, "genes.tsv"))$symbol, cells$cell)
  signatures <- build_signatures(counts, cells$subpop)
  # the circulating lengths are genomic spans, which is warned about
  expect_warning(
    result <- deconvolve_bulk(signatures, bulk, genes, cell_size = "none", verbose = FALSE),
    class = "unalloy_warning_gene_lengths"
  )
  expect_true(all(result$convergence$converged))
  # the column `weight` of the table does not choose another model
  expect_identical(result$error_model, "platform")
  own <- c(Mono = "CD14+", Bcell = "B cell", NKcell = "NK cell", CD4Tcell = "T cell",
           CD8Tcell = "T cell", HSC = "CD34+", MPP = "CD34+", CMP = "CD34+", LMPP = "CD34+",
           MEP = "CD34+", GMP = "CD34+")
  pure <- samples[samples$group == "normal" & samples$label %in% names(own), ]
  share <- result$proportions[cbind(own[pure$label], pure$sample)]
  expect_gte(mean(share), 0.91)
  helper <- samples$sample[samples$group == "normal" & samples$label == "CD4Tcell"]
  expect_gte(min(result$proportions["T cell", helper]), 0.95)
  # erythroid cells are not in the reference
  normal <- samples[samples$group == "normal", ]
  diagnosis <- diagnose(result[normal$sample], programs = 0, verbose = FALSE)
  text <- diagnosis$findings$text[diagnosis$findings$topic == "Samples beyond the reference"]
  for (sample in normal$sample[normal$label == "Ery"]) expect_match(text, sample, fixed = TRUE)
})

test_that("mixtures of three tissues are measured", {
  folder <- real_data("gse19830_liver_brain_lung")
  expression <- read_matrix(file.path(folder, "expr_linear.tsv.gz"))
  truth <- read_matrix(file.path(folder, "truth.tsv"))
  pure <- apply(truth, 1, max) == 1
  signatures <- sapply(colnames(truth), function(tissue) {
    rowMeans(expression[, rownames(truth)[truth[, tissue] == 1]])
  })
  result <- deconvolve_bulk(signatures, expression[, rownames(truth)[!pure]], intercept = FALSE,
                            gene_weights = "none", verbose = FALSE)
  estimate <- t(result$proportions)
  expect_gte(cor(c(estimate), c(truth[!pure, ])), 0.993)
  expect_lte(sqrt(mean((estimate - truth[!pure, ])^2)), 0.028)
})
