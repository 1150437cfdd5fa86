# The script of Dozmorov's lecture on factorisation, with `library(NMF)` replaced;
# its heatmap by package pheatmap is left out where that is not installed.
# nolint start: object_name_linter. Methods, and names that others chose.
test_that("the lecture's script runs as written", {
  withr::local_pdf(withr::local_tempfile(fileext = ".pdf"))
  withr::local_seed(123)
  n_genes <- 300
  n_samples <- 30
  true_k <- 3
  W_true <- matrix(runif(n_genes * true_k, 0, 2), nrow = n_genes, ncol = true_k)
  cluster_labels <- rep(1:true_k, each = n_samples / true_k)
  H_true <- matrix(0, nrow = true_k, ncol = n_samples)
  for (i in 1:n_samples) {
    H_true[cluster_labels[i], i] <- runif(1, 1, 2)
  }
  X <- W_true %*% H_true + matrix(rnorm(n_genes * n_samples, sd = 0.2), n_genes, n_samples)
  X[X < 0] <- 0
  rownames(X) <- paste0("Gene_", seq_len(n_genes))
  colnames(X) <- paste0("Sample_", seq_len(n_samples))

  nmf_result <- nmf(X, rank = 3, method = "brunet", nrun = 30, seed = 123)
  W <- basis(nmf_result)
  H <- coef(nmf_result)
  print(basismap(nmf_result, main = "Metagenes (W matrix)"))
  print(coefmap(nmf_result, main = "Sample Weights (H matrix)"))
  print(consensusmap(nmf_result, main = "Consensus Clustering (stability across runs)"))
  sample_clusters <- predict(nmf_result)
  counts <- table(sample_clusters)
  expect_identical(as.vector(counts), c(10L, 10L, 10L))
  agreement <- table(True = cluster_labels, Predicted = sample_clusters)
  expect_identical(sum(agreement == 10L), 3L)
  top_genes <- apply(W, 2, function(w) head(order(w, decreasing = TRUE), 10))
  expect_identical(dim(top_genes), c(10L, 3L))
  if (requireNamespace("pheatmap", quietly = TRUE)) {
    annotation_col <- data.frame(Cluster = factor(sample_clusters))
    rownames(annotation_col) <- colnames(X)
    ann_colors <- list(Cluster = c("1" = "#E41A1C", "2" = "#377EB8", "3" = "#4DAF4A"))
    pheatmap::pheatmap(X[top_genes[, 1], ], cluster_rows = FALSE, cluster_cols = TRUE,
                       annotation_col = annotation_col, annotation_colors = ann_colors,
                       main = "Top Genes of Component 1 Across Samples")
  }
  H_t <- t(H)
  plot(H_t[, 1], H_t[, 2], col = sample_clusters, pch = 19, xlab = "Component 1",
       ylab = "Component 2", main = "Samples in NMF Component Space")
  legend("topright", legend = paste("Cluster", 1:3), col = 1:3, pch = 19)
  # every run found the same clusters: the lecture's figure shows three blocks
  expect_equal(cophcor(nmf_result), 1)
})
# nolint end
