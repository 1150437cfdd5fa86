# The calls of the published vignette, on data of the same shape.
test_that("the published script runs as written", {
  sim <- simulate_bulk(n_genes = 800, n_types = 6, n_samples = 9, seed = 12)
  signatures <- sim$profiles * 1e4
  bulk_counts <- sim$bulk_counts
  gene_info <- data.frame(symbol = rownames(bulk_counts), length = sim$gene_lengths,
                          weight = rep_len(c(0, 1, 0.5), 800))
  rownames(gene_info) <- gene_info$symbol
  common_genes <- intersect(intersect(rownames(signatures), rownames(bulk_counts)),
                            gene_info$symbol)
  gene_lengths <- gene_info[common_genes, "length"]
  gene_weights <- gene_info[common_genes, "weight"]
  result_gd <- suppressMessages(deconvolve_bulk(
    signatures = signatures, bulk_counts = bulk_counts, gene_lengths = gene_lengths,
    gene_weights = gene_weights, max_iter = 3000, method = "gd"
  ))
  result_em <- suppressMessages(deconvolve_bulk(
    signatures = signatures, bulk_counts = bulk_counts, gene_lengths = gene_lengths,
    gene_weights = gene_weights, max_iter = 3000, method = "em"
  ))
  data <- as.matrix(result_gd$proportions_with_intercept)
  expect_identical(rownames(data[!rownames(data) %in% "Intercept", ]), colnames(signatures))
  expect_identical(dim(result_em$pred_counts[gene_weights > 0, ]),
                   dim(bulk_counts[gene_weights > 0, ]))
  observed <- as.vector(bulk_counts[gene_weights > 0, ])
  predicted <- as.vector(result_em$pred_counts[gene_weights > 0, ])
  expect_equal(cor(observed, predicted), result_em$metrics$global_correlation)
  # published: 0.854 between the two methods
  expect_gt(cor(as.vector(as.matrix(result_gd$proportions_with_intercept)),
                as.vector(result_em$proportions_with_intercept)), 0.999999)
})
