# Two lineages of two types and one type alone: lineages differ in 10 % of their
# genes, siblings in 2 %.
simulate_lineages <- function(seed = 1, n_genes = 1500, n_samples = 12, platform_sd = 0.7) {
  set.seed(seed)
  group <- c(Aa = "A", Ab = "A", Ba = "B", Bb = "B", C = "C")
  base <- stats::rnorm(n_genes, 0, 1.5)
  raised <- function(fraction) {
    (stats::runif(n_genes) < fraction) * abs(stats::rnorm(n_genes, 2, 0.6))
  }
  lineage <- vapply(unique(group), function(g) raised(0.1), base)
  logs <- vapply(group, function(g) base + lineage[, g] + raised(0.02), base)
  profiles <- exp(logs) / rep(colSums(exp(logs)), each = n_genes)
  rownames(profiles) <- paste0("Gene", seq_len(n_genes))
  cell_type <- rep(names(group), each = 60)
  mean <- profiles[, cell_type] * 2000 * stats::rgamma(length(cell_type) * n_genes, 4, 4)
  cells <- matrix(stats::rpois(length(mean), mean), n_genes,
                  dimnames = list(rownames(profiles), NULL))
  shares <- matrix(stats::rgamma(5 * n_samples, 1), 5,
                   dimnames = list(names(group), paste0("S", seq_len(n_samples))))
  truth <- shares / rep(colSums(shares), each = 5)
  mean <- (profiles %*% truth) * exp(stats::rnorm(n_genes, 0, platform_sd)) * 1e6
  bulk <- matrix(stats::rpois(length(mean), mean), n_genes, dimnames = dimnames(mean))
  list(signatures = build_signatures(cells, cell_type), cells = cells, cell_type = cell_type,
       bulk = bulk, truth = truth, group = group)
}
lineages <- simulate_lineages()
fit_tree <- function(sim = lineages, tree = sim$group, ...) {
  deconvolve_hierarchical(sim$signatures, sim$bulk, tree = tree, verbose = FALSE, ...)
}
result <- fit_tree()

test_that("the lineages of a simulation are learned", {
  tree <- type_tree(lineages$signatures)
  partition <- function(x) unname(split(names(x), factor(x, unique(x))))
  learned <- stats::setNames(tree$levels$group, tree$levels$type)
  expect_identical(partition(learned), partition(lineages$group))
  expect_snapshot(tree)
  expect_identical(rownames(fit_tree(tree = NULL)$proportions), names(lineages$group))
})

test_that("types without lineages stay apart, and this is said", {
  expect_warning(tree <- type_tree(small_signatures), class = "unalloy_warning_tree")
  expect_identical(tree$levels$group, tree$levels$type)
})

test_that("what matched is told", {
  expect_message(deconvolve_hierarchical(lineages$signatures, lineages$bulk[, 1:4],
                                         tree = lineages$group, verbose = TRUE),
                 "1,500 genes matched")
  expect_identical(result$coarse$genes$unit, "counts")
})

test_that("the forms of a tree agree", {
  given <- type_tree(lineages$signatures, lineages$group)
  as_list <- split(names(lineages$group), lineages$group)
  as_table <- data.frame(group = lineages$group, type = names(lineages$group))
  expect_identical(type_tree(lineages$signatures, as_list), given)
  expect_identical(type_tree(lineages$signatures, as_table), given)
  expect_identical(type_tree(lineages$signatures, given), given)
  expect_identical(as.data.frame(given)$group, unname(lineages$group))
})

test_that("merged signatures are those of the merged cells", {
  merged <- merge_signatures(lineages$signatures, lineages$group)
  whole <- build_signatures(lineages$cells, lineages$group[lineages$cell_type])
  expect_equal(merged$profiles, whole$profiles)
  expect_equal(unclass(merged)[c("cells", "umi")], unclass(whole)[c("cells", "umi")])
  # what types differ in is between cells of a group, and no error of its sum
  expect_true(all(merged$dispersion <= max(lineages$signatures$dispersion)))
  plain <- merge_signatures(as.matrix(lineages$signatures), list(A = c("Aa", "Ab")))
  expect_equal(plain$profiles[, "A"], rowMeans(lineages$signatures$profiles[, c("Aa", "Ab")]))
  expect_identical(colnames(plain$profiles), c("A", "Ba", "Bb", "C"))
  one_each <- stats::setNames(nm = names(lineages$group))
  expect_equal(merge_signatures(lineages$signatures, one_each), lineages$signatures)
})

test_that("variances between donors are merged as those of a sum", {
  types <- colnames(small_signatures)
  merged <- merge_signatures(small_signatures, list(AB = types[1:2]))
  n <- (small_signatures$umi * small_signatures$cells)[1:2]
  expect_equal(merged$variance[, "AB"],
               drop(small_signatures$variance[, 1:2] %*% (n / sum(n))^2))
  expect_equal(merged$variance[, types[3:4]], small_signatures$variance[, 3:4])
  expect_identical(merged$donors[["AB"]], 3L)
})

test_that("leaves sum to their groups, which are those of the coarse fit", {
  expect_equal(rowsum(result$proportions, lineages$group), result$group_proportions)
  expect_identical(result$group_proportions, result$coarse$proportions)
  expect_equal(unname(colSums(result$proportions)), rep(1, 12))
  expect_equal(unname(result$proportions["C", ]), unname(result$group_proportions["C", ]))
  expect_identical(names(result$within), c("A", "B"))
  within <- rowsum(result$within_proportions, lineages$group)
  expect_equal(as.vector(within), rep(1, 36))
})

test_that("over simulations, types are found no worse than by the flat fit", {
  # One simulation says little: either fit wins about half of them.
  rmse <- vapply(1:6, function(seed) {
    sim <- simulate_lineages(seed)
    flat <- deconvolve_bulk(sim$signatures, sim$bulk, verbose = FALSE)
    error <- function(shares) sqrt(mean((shares - sim$truth)^2))
    c(flat = error(flat$proportions), tree = error(fit_tree(sim)$proportions))
  }, c(flat = 0, tree = 0))
  expect_lt(mean(rmse["tree", ]), 1.1 * mean(rmse["flat", ]))
  expect_lt(max(rmse["tree", ]), 0.05)
})

test_that("a tree without siblings is the flat fit", {
  alone <- fit_tree(tree = stats::setNames(nm = names(lineages$group)))
  flat <- deconvolve_bulk(lineages$signatures, lineages$bulk, verbose = FALSE)
  expect_equal(alone$proportions, flat$proportions)
  expect_length(alone$within, 0)
})

test_that("the order of samples and the number of threads do not matter", {
  reversed <- lineages
  reversed$bulk <- lineages$bulk[, 12:1]
  backwards <- fit_tree(reversed)
  expect_equal(backwards$proportions[, 12:1], result$proportions, tolerance = 1e-6)
  expect_identical(fit_tree(threads = 1L)$proportions, result$proportions)
})

test_that("trees may have more levels", {
  levels <- data.frame(type = names(lineages$group), fine = lineages$group,
                       coarse = c("AB", "AB", "AB", "AB", "C"))
  deep <- fit_tree(tree = levels)
  expect_identical(names(deep$within), c("AB", "A", "B"))
  expect_equal(unname(colSums(deep$proportions)), rep(1, 12))
  expect_lt(sqrt(mean((deep$proportions - lineages$truth)^2)), 0.06)
  expect_snapshot(deep$tree)
})

test_that("a Poisson model and matrices of profiles are taken", {
  poisson <- suppressWarnings(fit_tree(error_model = "poisson"))
  expect_identical(poisson$coarse$error_model, "poisson")
  expect_equal(unname(colSums(poisson$proportions)), rep(1, 12))
  plain <- deconvolve_hierarchical(as.matrix(lineages$signatures), lineages$bulk,
                                   tree = lineages$group,
                                   verbose = FALSE)
  expect_gt(stats::cor(c(plain$proportions), c(lineages$truth)), 0.95)
})

test_that("cell fractions divide by the mRNA of a cell", {
  sizes <- c(Aa = 1, Ab = 2, Ba = 1, Bb = 1, C = 4)
  sized <- fit_tree(cell_size = sizes)
  expected <- result$proportions / sizes
  expect_equal(sized$cell_fractions, expected / rep(colSums(expected), each = 5))
  expect_equal(unname(colSums(coef(sized, "groups", "cell_fractions"))), rep(1, 12))
  expect_refusal(coef(result, what = "cell_fractions"), "cell_size")
})

test_that("a group at zero leaves its types at zero", {
  pure <- lineages
  profile <- as.matrix(lineages$signatures)[, "C"]
  pure$bulk <- cbind(lineages$bulk, Pure = round(1e6 * profile))
  fit <- fit_tree(pure)
  zero <- fit$group_proportions[, "Pure"] == 0
  expect_true(any(zero))
  gone <- lineages$group %in% names(which(zero))
  expect_identical(unname(fit$proportions[gone, "Pure"]), rep(0, sum(gone)))
  expect_true(all(is.nan(fit$within_proportions[gone, "Pure"])))
  expect_false(anyNA(fit$proportions))
})

test_that("methods agree with the components", {
  table <- as.data.frame(result)
  expect_named(table, c("sample", "type", "group", "proportion"))
  expect_identical(table$proportion, as.vector(result$proportions))
  expect_identical(as.character(table$group[1:5]), unname(lineages$group))
  expect_identical(nrow(as.data.frame(result, level = "groups")), 36L)
  part <- result[c("S3", "S1")]
  expect_identical(part$proportions, result$proportions[, c("S3", "S1")])
  expect_identical(dim(part), c(5L, 2L))
  expect_identical(part$within$A$convergence$sample, c("S3", "S1"))
  expect_true(all(result$convergence$converged))
  expect_snapshot(part, transform = function(lines) sub("of sd [0-9.]+", "of sd <sd>", lines))
})

test_that("bars of types and groups are drawn", {
  bars <- ggplot2::autoplot(result)
  expect_equal(bars$data$share, as.vector(result$proportions))
  groups <- ggplot2::autoplot(result, level = "groups", group = rep(1:2, 6))
  expect_setequal(levels(groups$data$type), c("A", "B", "C"))
})

test_that("bad trees are refused by name", {
  signatures <- lineages$signatures
  group <- lineages$group
  expect_snapshot(error = TRUE, {
    type_tree(signatures, c(group, Zz = "A"))
    type_tree(signatures, group[-2])
    type_tree(signatures, c(group, Aa = "B"))
    type_tree(signatures, list("Aa", "Ab"))
    type_tree(signatures, rep("all", 5))
    type_tree(signatures, stats::setNames(rep("all", 5), names(group)))
    type_tree(signatures, replace(group, "Ab", NA))
    type_tree(signatures, c(group[1:4], C = "Aa"))
    type_tree(signatures, data.frame(type = names(group), fine = group,
                                     coarse = c("X", "Y", "Y", "Y", "Z")))
    type_tree(signatures[, 1:2])
    merge_signatures(signatures, list(C = c("Aa", "Ab")))
    deconvolve_hierarchical(signatures, lineages$bulk, tree = group[-5], verbose = FALSE)
  })
})

test_that("a group may have the name of one of its types", {
  named <- stats::setNames(c("Aa", "Aa", "B", "B", "C"), names(lineages$group))
  fit <- fit_tree(tree = named)
  expect_equal(fit$proportions, result$proportions)
  levels <- data.frame(type = names(named), fine = c("A", "A", "B", "B", "C"),
                       coarse = c("A", "A", "A", "A", "C"))
  expect_refusal(type_tree(lineages$signatures, levels), "tree")
})
