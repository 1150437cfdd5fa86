metagenes <- nmf(cells$x, 3, method = "kl", seed = 1, verbose = FALSE)
components <- factors_of(log1p(cells$x), 2)

test_that("components are matched with their own images", {
  turned <- components
  turned$coef <- -turned$coef[2:1, ]
  turned$basis <- -turned$basis[, 2:1]
  found <- compare_factorisations(one = components, two = turned)$matches
  expect_identical(found$partner, c("factor1", "factor2")[1:2])
  expect_equal(found$cells, c(-1, -1))
  expect_equal(found$genes, c(-1, -1))
})

test_that("principal components of prcomp() are the factors' directions", {
  peer <- prcomp(t(log1p(cells$x)), rank. = 2)
  found <- compare_factorisations(components, prcomp = peer)$matches
  expect_equal(abs(found$cells), c(1, 1), tolerance = 1e-8)
  expect_equal(abs(found$genes), c(1, 1), tolerance = 1e-8)
})

test_that("metagenes find the profiles, gene sets and classes that made them", {
  profiles <- sapply(1:3, function(group) rowMeans(cells$x[, cells$group == group]))
  colnames(profiles) <- c("A", "B", "C")
  found <- compare_factorisations(NMF = metagenes, signatures = profiles, class = cells$group)
  matched <- found$signatures[found$signatures$matched, ]
  expect_setequal(matched$type, c("A", "B", "C"))
  expect_gt(min(matched$correlation), 0.7)
  # the classes explain what they made: analysis of variance agrees
  peer <- summary(lm(coef(metagenes)[1, ] ~ factor(cells$group)))$r.squared
  expect_equal(found$classes$explained[1], peer, tolerance = 1e-10)
})

test_that("gene sets are tested by Wilcoxon's ranks", {
  set <- list(top = names(sort(-basis(components)[, 1]))[1:8],
              some = rownames(cells$x)[c(1, 9, 17, 33)])
  found <- compare_factorisations(components, gene_sets = set)$gene_sets
  own <- found[found$component == "factor1", ]
  expect_equal(own$auc[own$set == "top"], 1)
  values <- basis(components)[, 2]
  inside <- names(values) %in% set$some
  peer <- wilcox.test(values[inside], values[!inside], exact = FALSE, correct = FALSE)
  expect_equal(found$p[found$component == "factor2" & found$set == "some"], peer$p.value)
})

test_that("comparisons print, draw, and refuse what has nothing in common", {
  compared <- compare_factorisations(NMF = metagenes, PCA = components,
                                     signatures = cells$x[, 1:3])
  expect_snapshot(print(compared))
  for (view in c("cells", "signatures")) {
    expect_s3_class(ggplot2::ggplot_build(plot(compared, view)), "ggplot_built")
  }
  strange <- matrix(1:6, 3, dimnames = list(letters[1:3], c("a", "b")))
  expect_snapshot(error = TRUE, {
    compare_factorisations()
    compare_factorisations(metagenes)
    compare_factorisations(metagenes, lm(1 ~ 1))
    compare_factorisations(metagenes, factors_of(log1p(cells$x[, -1]), 2))
    compare_factorisations(metagenes, signatures = strange)
    compare_factorisations(metagenes, gene_sets = "gene1")
    compare_factorisations(metagenes, class = 1:3)
  })
})
