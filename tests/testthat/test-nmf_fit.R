fit <- planted_fit
x <- planted$x

test_that("the parts of a fit are where users look for them", {
  expect_identical(dim(fit), c(120L, 30L, 3))
  expect_identical(dimnames(fit)[1:2], dimnames(x))
  expect_identical(nbasis(fit), 3)
  expect_identical(basis(fit), fit$basis)
  expect_equal(fitted(fit), basis(fit) %*% coef(fit))
  expect_equal(fitted(fit, "sample4"), fitted(fit)[, 4, drop = FALSE])
  mean <- fitted(fit)
  divergence <- sum(ifelse(x > 0, x * log(x / mean), 0) - x + mean)
  # the engine sums in another order
  expect_equal(residuals(fit), divergence, tolerance = 1e-10)
  expect_equal(unname(tail(residuals(fit, track = TRUE), 1)), residuals(fit))
  expect_equal(residuals(fit, type = "response"), x - mean)
  expect_snapshot(print(fit), transform = function(lines) {
    gsub("residual [-0-9.e]+ \\(.*\\)", "residual <r>", lines)
  })
})

test_that("smoothing and offsets are part of the fitted values", {
  smooth <- nmf(x, 3, method = "nsNMF", seed = 1, verbose = FALSE)
  mixing <- (1 - smooth$theta) * diag(3) + smooth$theta / 3
  expect_equal(fitted(smooth), basis(smooth) %*% mixing %*% coef(smooth), ignore_attr = TRUE)
  mean <- fitted(smooth)
  expect_equal(residuals(smooth), sum(ifelse(x > 0, x * log(x / mean), 0) - x + mean))
  shifted <- nmf(x + 5, 3, method = "offset", seed = 1, verbose = FALSE)
  expect_equal(residuals(shifted), 0.5 * rss(shifted))
})

test_that("residual sums agree for dense, sparse and hand-made", {
  total <- sum((x - fitted(fit))^2)
  expect_equal(rss(fit), total)
  expect_equal(evar(fit), 1 - total / sum(x^2))
  sparse <- fit
  sparse$x <- as(x, "dgCMatrix")
  expect_equal(rss(sparse), total, tolerance = 1e-12)
  # an exact fit: the opened square would be rounding
  exact <- fit
  exact$x <- as(basis(fit) %*% coef(fit), "dgCMatrix")
  expect_lt(rss(exact), 1e-20 * sum(exact$x^2))
  holes <- x
  holes[3, 4] <- NA
  without <- nmf(holes, 3, method = "kl", na = "missing", seed = 1, verbose = FALSE)
  expect_equal(rss(without), sum((holes - fitted(without))^2, na.rm = TRUE))
})

test_that("samples belong to the component that contributes most, whatever the scale", {
  expect_gt(min(table(predict(fit), planted$group)[cbind(
    max.col(t(table(predict(fit), planted$group))), 1:3)]), 9)
  scaled <- fit
  scaled$basis <- sweep(fit$basis, 2, c(1, 100, 0.01), "*")
  scaled$coef <- fit$coef / c(1, 100, 0.01)
  expect_identical(predict(scaled), predict(fit))
  best <- which.min(fit$runs$objective)
  expect_identical(as.integer(predict(fit)), unname(fit$membership[, best]))
  probability <- predict(fit, prob = TRUE)
  share <- coef(fit) * colSums(basis(fit))
  expect_equal(probability$prob, apply(share, 2, max) / colSums(share))
  expect_identical(predict(fit, "columns"), predict(fit))
  expect_identical(as.integer(predict(fit, "features")), unname(apply(basis(fit), 1, which.max)))
})

test_that("coefficients of new samples are exact for both losses", {
  # at convergence the coefficients of the fit are those of its own samples
  expect_equal(predict(fit, newdata = x), coef(fit), tolerance = 1e-3)
  expect_identical(predict(fit, x[, 1:3]), predict(fit, newdata = x[, 1:3]))
  new <- basis(fit) %*% rbind(c(1, 0, 5), c(2, 3, 0), c(0, 1, 0))
  rownames(new) <- rownames(x)
  found <- predict(fit, newdata = new)
  # the certificate bounds the loss, so half of the digits
  expect_equal(unname(found), rbind(c(1, 0, 5), c(2, 3, 0), c(0, 1, 0)), tolerance = 1e-5)
  squares <- nmf(x, 3, seed = 1, verbose = FALSE)
  skip_if_not_installed("nnls")
  by_peer <- apply(x[, 1:5], 2, function(column) nnls::nnls(basis(squares), column)$x)
  expect_equal(unname(predict(squares, newdata = x[, 1:5])), unname(by_peer), tolerance = 1e-8)
  expect_equal(predict(squares, newdata = as(x[, 1:5], "dgCMatrix")),
               predict(squares, newdata = x[, 1:5]), tolerance = 1e-10)
})

test_that("new samples are matched by feature", {
  shuffled <- rbind(x[120:1, 1:2], other = 9)
  expect_identical(predict(fit, newdata = shuffled), predict(fit, newdata = x[, 1:2]))
  expect_identical(predict(fit, newdata = x[, 1]), {
    alone <- predict(fit, newdata = x[, 1, drop = FALSE])
    dimnames(alone)[2] <- list(NULL)
    alone
  })
  expect_identical(levels(predict(fit, "samples", newdata = x[, 1:2])), c("1", "2", "3"))
  expect_refusal(predict(fit, newdata = x[-1, ]), "features")
  expect_refusal(predict(fit, newdata = unname(x)[-1, ]), "features")
  expect_refusal(predict(fit, newdata = -x), "argument")
  expect_refusal(predict(fit, "consensus", newdata = x), "argument")
  expect_snapshot(predict(fit, newdata = x[-(1:5), ]), error = TRUE)
})

test_that("measures have their closed forms", {
  expect_equal(sparseness(c(0, 3, 0, 0)), 1)
  expect_equal(sparseness(rep(2, 5)), 0)
  expect_equal(sparseness(c(1, 1, 0, 0)), (2 - sqrt(2)))
  expect_identical(sparseness(numeric(3)), NA_real_)
  clusters <- factor(c(1, 1, 1, 2, 2, 2))
  expect_equal(purity(clusters, c("a", "a", "b", "b", "b", "b")), 5 / 6)
  expect_equal(entropy(clusters, c("a", "a", "b", "b", "b", "b")),
               -(2 * log2(2 / 3) + log2(1 / 3)) / 6)
  expect_equal(purity(clusters, clusters), 1)
  expect_equal(entropy(clusters, clusters), 0)
  expect_equal(entropy(factor(rep(1, 4)), c("a", "b", "a", "b")), 1)
  expect_equal(featureScore(rbind(c(1, 0, 0), c(2, 2, 2), 0, c(1, 1, 0))),
               c(1, 0, 0, 1 - 1 / log2(3)))
  expect_equal(dispersion(matrix(0.5, 3, 3)), 0)
  expect_equal(dispersion(diag(4)), 1)
  expect_equal(cophcor(diag(4)), 1)
  expect_equal(cophcor(matrix(1)), 1)
  lopsided <- diag(3)
  lopsided[1, 2] <- 0.5
  expect_refusal(cophcor(lopsided), "argument")
  expect_refusal(dispersion(lopsided), "argument")
  expect_identical(connectivity(c(1, 2, 1)), diag(3) + rbind(c(0, 0, 1), 0, c(1, 0, 0)))
  expect_refusal(purity(clusters, "a"), "argument")
})

test_that("consensus and its measures are those of the matrix of labels", {
  labels <- withr::with_seed(1, matrix(sample.int(3, 40 * 7, TRUE), 40))
  noisy <- fit
  noisy$membership <- labels
  noisy$coef <- matrix(1, 3, 40)
  agreement <- Reduce(`+`, lapply(1:7, function(r) outer(labels[, r], labels[, r], `==`))) / 7
  expect_equal(consensus(noisy), agreement)
  expect_equal(consensus(noisy, 3:5), agreement[3:5, 3:5])
  distance <- as.dist(1 - agreement)
  expect_equal(cophcor(noisy), cor(distance, cophenetic(hclust(distance, "average"))))
  expect_equal(cophcor(noisy), cophcor(agreement))
  expect_equal(dispersion(noisy), mean(4 * (agreement - 0.5)^2))
  expect_equal(dispersion(noisy), dispersion(agreement))
  found <- unalloy:::silhouette_widths(noisy, "consensus")
  skip_if_not_installed("cluster")
  peer <- cluster::silhouette(as.integer(predict(noisy, "consensus")), dmatrix = 1 - agreement)
  expect_equal(found$width, unname(peer[, "sil_width"]))
  expect_equal(unname(found$neighbour), unname(peer[, "neighbor"]))
})

test_that("many samples need no matrix of their own size", {
  # 30,000 samples with 3 clusters and a few that change: pattern by pattern
  labels <- withr::with_seed(2, {
    truth <- sample.int(3, 30000, TRUE)
    sapply(1:8, function(r) ifelse(runif(30000) < 0.02, sample.int(3, 30000, TRUE), truth))
  })
  many <- fit
  many$membership <- labels
  many$coef <- matrix(1, 3, 30000)
  some <- many
  some$membership <- labels[1:900, ]
  some$coef <- matrix(1, 3, 900)
  # a sample of 900 tells the same up to its own noise
  expect_equal(cophcor(many), cophcor(some), tolerance = 0.01)
  expect_equal(dispersion(many), dispersion(some), tolerance = 0.02)
  clusters <- predict(many, "consensus")
  expect_gt(purity(clusters, apply(labels, 1, function(l) which.max(tabulate(l, 3)))), 0.99)
  expect_refusal(consensus(many), "too_large")
  # leaves with weights give what all leaves give
  weighted <- unalloy:::consensus_tree(labels[1:1500, ])
  expect_lt(length(weighted$first), 1500)
  all_of_them <- cophcor(consensus(many, 1:1500))
  expect_equal(unalloy:::tree_correlation(weighted$distances, weighted$tree, weighted$weight),
               all_of_them, tolerance = 1e-3) # ties of the tree fall otherwise
  scattered <- withr::with_seed(3, matrix(sample.int(9, 6000 * 6, TRUE), 6000))
  expect_gt(nrow(unique(scattered)), unalloy:::MAX_TREE)
  many$membership <- scattered
  many$rank <- 9
  many$coef <- matrix(1, 9, 6000)
  expect_false(anyNA(predict(many, "consensus")))
})

test_that("silhouettes are those of the distances", {
  skip_if_not_installed("cluster")
  share <- coef(fit) * colSums(basis(fit))
  peer <- cluster::silhouette(as.integer(predict(fit)), dmatrix = 1 - cor(share))
  expect_equal(silhouette(fit)[, 1:3], peer[, 1:3], ignore_attr = TRUE)
  features <- silhouette(fit, "features")
  # genes that are in one component only, and the only ones there, and so on
  peer <- cluster::silhouette(as.integer(predict(fit, "features")),
                              dmatrix = 1 - cor(t(basis(fit))))
  expect_equal(features[, 3], peer[, 3], ignore_attr = TRUE)
  expect_equal(mean(features[, 3]), summary(fit)[["silhouette.basis"]])
  # cluster's generic finds the method, too
  expect_identical(class(cluster::silhouette(fit)), "silhouette")
  expect_identical(silhouette(nmf(x, 1, seed = 1, verbose = FALSE)), NA)
})

test_that("definitions agree with package NMF on the same factors", {
  skip_if_not_installed("NMF")
  suppressPackageStartupMessages(loadNamespace("NMF"))
  # where columns of W have the same sum, its clusters are ours
  size <- colSums(fit$basis)
  same <- fit
  same$basis <- sweep(fit$basis, 2, size, "/")
  same$coef <- fit$coef * size
  peer <- NMF::nmfModel(W = same$basis, H = same$coef)
  expect_equal(sparseness(same), NMF::sparseness(peer))
  expect_equal(rss(same), NMF::rss(peer, x))
  expect_equal(evar(same), NMF::evar(peer, x))
  positive <- pmax(same$basis, 1e-12) # it has no score for features with a zero
  expect_equal(featureScore(positive), NMF::featureScore(positive))
  for (method in list("kim", "max", 15L, 0.6)) {
    for (format in c("list", "combine")) {
      expect_equal(extractFeatures(positive, method, format),
                   NMF::extractFeatures(positive, method, format), ignore_attr = TRUE)
    }
  }
  agreement <- consensus(fit)
  expect_equal(cophcor(fit), NMF::cophcor(agreement))
  expect_equal(dispersion(fit), NMF::dispersion(agreement))
  class <- gl(3, 1, 30)
  expect_equal(purity(same, class), NMF::purity(peer, class))
  expect_equal(entropy(same, class), NMF::entropy(peer, class))
  expect_identical(as.integer(predict(same)), as.integer(NMF::predict(peer)))
  expect_identical(as.integer(predict(same, "features")),
                   as.integer(NMF::predict(peer, "features")))
})

test_that("one verb lists the features of factors and signatures", {
  signatures <- build_signatures(small$reference, small$cells$cell_type)
  top <- top_features(signatures, 3)
  expect_identical(levels(top$component), colnames(signatures))
  expect_gt(mean(top$share), mean(top_features(signatures, 3, by = "weight")$share))
  at <- cbind(top$feature, as.character(top$component))
  expect_equal(top$weight, 1e6 * as.matrix(signatures)[at],
               ignore_attr = TRUE)
  factors <- latent_factors(log1p(x), 2)
  top <- top_features(factors, 2, by = "weight")
  expect_identical(top$feature[1], names(which.max(abs(basis(factors)[, 1]))))
})

test_that("features are listed by weight and by specificity", {
  top <- top_features(fit, 4, by = "weight")
  expect_identical(nrow(top), 12L)
  lecture <- apply(basis(fit), 2, function(w) head(order(w, decreasing = TRUE), 4))
  expect_identical(top$feature, rownames(x)[lecture])
  specific <- top_features(fit, 4)
  expect_gte(mean(specific$score), mean(top$score))
  expect_equal(top$share, top$weight / rowSums(basis(fit))[top$feature], ignore_attr = TRUE)
  picked <- extractFeatures(fit)
  expect_named(picked, colnames(basis(fit)))
  expect_identical(extractFeatures(fit, format = "subset"),
                   basis(fit)[extractFeatures(fit, format = "combine"), ])
  # the planted component of the genes that are picked
  best <- max.col(planted$basis)
  for (rows in Filter(Negate(anyNA), picked)) expect_length(unique(best[rows]), 1L)
  expect_refusal(top_features(3), "class")
  expect_refusal(extractFeatures(fit, "other"), "argument")
})

test_that("summaries and tidy tables hold the same numbers", {
  class <- planted$group
  measures <- summary(fit, class = class)
  expect_equal(measures[["purity"]], purity(fit, class))
  expect_equal(measures[["residuals"]], residuals(fit))
  expect_equal(measures[["nrun"]], 6)
  expect_snapshot(cat(names(measures)))
  expect_equal(glance(fit)$rss, rss(fit))
  long <- tidy(fit)
  expect_equal(tapply(long$estimate, long$component, sum), rowSums(coef(fit)), ignore_attr = TRUE)
  expect_identical(nrow(tidy(fit, "basis")), 360L)
  more <- augment(fit, data.frame(group = class))
  expect_identical(as.integer(more$.component), as.integer(predict(fit)))
  expect_named(more, c("group", ".component", ".share", colnames(basis(fit))))
  without <- fit
  without$x <- NULL
  expect_false("rss" %in% names(summary(without)))
  expect_equal(rss(without, data = x), rss(fit))
  expect_refusal(rss(without), "missing_data")
  expect_refusal(rss(fit, data = x[-1, ]), "argument")
  expect_refusal(augment(fit, data.frame(a = 1)), "argument")
})

test_that("reductions go into single-cell objects by the names of cells", {
  expect_identical(attr(as_reduction(fit), "basis"), basis(fit))
  expect_refusal(as_reduction(fit, "a"), "argument")
  expect_refusal(as_reduction("a"), "class")
  skip_if_not_installed("SingleCellExperiment")
  cells <- SingleCellExperiment::SingleCellExperiment(list(counts = x[, 30:1]))
  with_reduction <- as_reduction(fit, cells)
  found <- SingleCellExperiment::reducedDim(with_reduction, "nmf")
  expect_equal(found, t(coef(fit))[30:1, ], ignore_attr = "basis")
  expect_identical(add_to(cells, fit), with_reduction)
  other <- cells
  colnames(other)[1] <- "stranger"
  expect_refusal(as_reduction(fit, other), "samples")
})

test_that("reductions go into Seurat objects", {
  skip_if_not_installed("SeuratObject")
  object <- SeuratObject::CreateSeuratObject(as(x[, 30:1], "dgCMatrix"))
  with_reduction <- as_reduction(fit, object, name = "nmf")
  reduction <- with_reduction[["nmf"]]
  expect_equal(unname(SeuratObject::Embeddings(reduction)), unname(t(coef(fit))[30:1, ]))
  expect_equal(unname(SeuratObject::Loadings(reduction)), unname(basis(fit)))
  expect_s4_class(as_reduction(fit, format = "DimReduc"), "DimReduc")
})

# A fresh session that attaches packages in some order and runs a script.
in_session <- function(code) {
  file <- withr::local_tempfile(fileext = ".R")
  writeLines(c(paste0(".libPaths(", paste(deparse(.libPaths()), collapse = ""), ")"), code), file)
  out <- system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", file), stdout = TRUE,
                 stderr = TRUE)
  paste(out, collapse = "\n")
}

test_that("unalloy and NMF live together, whichever is attached last", {
  skip_if_not_installed("NMF")
  skip_on_cran()
  check <- c(
    "set.seed(1)",
    "x <- matrix(rexp(200), 20)",
    "theirs <- NMF::nmf(x, 2, nrun = 2, seed = 1, .options = '-p')",
    "ours <- unalloy::nmf(x, 2, nrun = 2, seed = 1, verbose = FALSE)",
    "stopifnot(",
    "  dim(basis(theirs)) == c(20, 2), dim(basis(ours)) == c(20, 2),",
    "  dim(coef(theirs)) == c(2, 10), dim(coef(ours)) == c(2, 10),",
    "  dim(fitted(theirs)) == dim(fitted(ours)), nbasis(theirs) == nbasis(ours),",
    "  length(predict(theirs)) == 10, length(predict(ours)) == 10,",
    "  dim(consensus(theirs)) == dim(consensus(ours)), is.numeric(cophcor(theirs)),",
    "  is.numeric(cophcor(ours)), is.numeric(dispersion(theirs)), is.numeric(dispersion(ours)),",
    "  length(sparseness(theirs)) == 2, length(sparseness(ours)) == 2,",
    "  is.numeric(rss(theirs, x)), is.numeric(rss(ours)), is.numeric(evar(ours)),",
    "  is.numeric(purity(theirs, gl(2, 5))), is.numeric(purity(ours, gl(2, 5))),",
    "  is.numeric(entropy(theirs, gl(2, 5))), is.numeric(entropy(ours, gl(2, 5))),",
    "  length(featureScore(theirs)) == 20, length(featureScore(ours)) == 20,",
    "  is.list(extractFeatures(theirs)), is.list(extractFeatures(ours)),",
    "  is.numeric(residuals(theirs)), is.numeric(residuals(ours)),",
    "  inherits(silhouette(ours), 'silhouette'), inherits(silhouette(theirs), 'silhouette'),",
    "  inherits(coefmap(ours), 'ggplot'), length(summary(ours)) > 5)",
    "cat('together')"
  )
  attach_both <- function(first, second) {
    in_session(c(paste0("suppressPackageStartupMessages({library(", c(first, second), ")})"),
                 check))
  }
  expect_match(attach_both("NMF", "unalloy"), "together$")
  expect_match(attach_both("unalloy", "NMF"), "together$")
})

test_that("other generics stay usable, and what no package knows is refused", {
  skip_if_not_installed("cluster")
  skip_if_not_installed("BiocGenerics")
  found <- in_session(c(
    "suppressPackageStartupMessages({library(cluster); library(BiocGenerics); library(unalloy)})",
    "peer <- silhouette(c(1, 1, 2, 2), dist(c(1, 2, 8, 9)))",
    "fit <- nmf(matrix(rexp(200), 20), 2, seed = 1, verbose = FALSE)",
    "stopifnot(inherits(peer, 'silhouette'), dim(coef(fit)) == c(2, 10),",
    "          dim(residuals(fit, type = 'response')) == c(20, 10))",
    "tryCatch(nbasis(list(1)), unalloy_error_class = function(e) cat(conditionMessage(e)))"
  ))
  expect_match(found, "`nbasis\\(\\)` does not know this object")
  expect_match(found, "It is an object of class list", fixed = TRUE)
})
