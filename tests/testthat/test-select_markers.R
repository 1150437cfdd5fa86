# Three types; g1-g3 are exclusive, flat is flat, ab is shared by two.
toy <- function() {
  x <- cbind(A = c(100, 0, 0, 50, 80, 770), B = c(0, 90, 0, 50, 80, 780),
             C = c(0, 0, 60, 50, 0, 890))
  rownames(x) <- c("g1", "g2", "g3", "flat", "ab", "rest")
  x
}

test_that("specificity is 1 for exclusive genes and 0 for flat ones", {
  for (method in c("entropy", "log_ratio")) {
    s <- gene_specificity(toy(), method)
    expect_equal(s[c("g1", "g2", "g3"), "type"], c("A", "B", "C"))
    expect_equal(s[c("g1", "g2", "g3"), "specificity"], c(1, 1, 1))
    expect_equal(s["flat", "specificity"], 0)
    expect_true(all(s$specificity >= 0 & s$specificity <= 1))
  }
  # a gene that two types share equally
  expect_equal(gene_specificity(toy())["ab", "specificity"], 1 - 1 / log2(3))
  expect_equal(gene_specificity(toy(), "log_ratio")["ab", "specificity"], 0)
})

test_that("ratios are those of their definition", {
  x <- 1e6 * sweep(toy(), 2, colSums(toy()), "/")
  s <- gene_specificity(toy(), pseudocount = 5)
  expect_equal(s["g1", "log2_ratio"], log2((x["g1", "A"] + 5) / 5))
  expect_equal(s["rest", "log2_ratio"], log2((x["rest", "C"] + 5) / (x["rest", "B"] + 5)))
  expect_equal(s["rest", "log2_ratio_mean"],
               log2((x["rest", "C"] + 5) / (mean(x["rest", c("A", "B")]) + 5)))
  expect_equal(s$expression, unname(apply(x, 1, max)))
})

test_that("specificity does not change with the scale of columns or the order of rows", {
  x <- as.matrix(small_signatures)
  s <- gene_specificity(x)
  expect_equal(gene_specificity(sweep(x, 2, c(1, 10, 0.1, 3), "*")), s)
  expect_equal(gene_specificity(small_signatures), s)
  shuffled <- sample(nrow(x))
  expect_equal(gene_specificity(x[shuffled, ])[rownames(x), ], s)
})

test_that("genes without expression are specific to nothing", {
  s <- gene_specificity(rbind(toy(), none = 0))
  expect_equal(s["none", "type"], NA_character_)
  expect_equal(unlist(s["none", -1]),
               c(specificity = 0, log2_ratio = 0, log2_ratio_mean = 0, expression = 0))
  expect_false("none" %in% select_markers(rbind(toy(), none = 0), 1, 0)$gene)
})

test_that("rows of one gene are summed", {
  halves <- rbind(toy() / 2, toy() / 2)
  expect_equal(gene_specificity(halves), gene_specificity(toy()))
})

test_that("planted markers are found", {
  sim <- simulate_bulk(n_genes = 2000, n_types = 5, n_samples = 1, cells_per_type = 200,
                       type_sd = 0.1, seed = 11)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type)
  truth <- gene_specificity(sim$profiles, "log_ratio")
  # a planted marker has log fold 2 = log2 ratio 2.9; others vary by 0.1
  planted <- truth$log2_ratio > 2
  markers <- select_markers(signatures, n = 20)
  expect_gt(sum(planted), 200)
  expect_true(all(truth[markers$gene, "log2_ratio"] > 1.5))
  expect_equal(as.character(markers$type), truth[markers$gene, "type"])
})

test_that("n, types, min_expression, candidates and exclude are honoured", {
  markers <- select_markers(small_signatures, n = 7)
  expect_equal(as.vector(table(markers$type)), rep(7, 4))
  expect_equal(markers$rank, rep(1:7, 4))
  expect_false(anyDuplicated(markers$gene) > 0)
  best <- select_markers(small_signatures, n = 3)
  expect_equal(as.data.frame(best), as.data.frame(markers)[markers$rank <= 3, ],
               ignore_attr = "row.names")
  types <- colnames(small_signatures)[c(3, 1)]
  chosen <- select_markers(small_signatures, n = 7, types = types)
  expect_equal(levels(chosen$type), types)
  expect_equal(as.list(chosen), as.list(markers)[types])
  high <- suppressWarnings(select_markers(small_signatures, n = 50, min_expression = 2000))
  expect_gt(min(high$expression), 2000)
  some <- markers$gene[c(1, 9, 17, 25)]
  only <- select_markers(small_signatures, n = 1, candidates = some)
  expect_setequal(only$gene, some)
  without <- select_markers(small_signatures, n = 7, exclude = some)
  expect_length(intersect(without$gene, some), 0)
  expect_setequal(intersect(without$gene, markers$gene), setdiff(markers$gene, some))
})

test_that("markers are in order of what they are selected by", {
  by_ratio <- select_markers(small_signatures, n = 10)
  expect_true(all(tapply(by_ratio$log2_ratio, by_ratio$type, function(x) all(diff(x) <= 0))))
  by_entropy <- select_markers(small_signatures, n = 10, by = "specificity")
  expect_true(all(tapply(by_entropy$specificity, by_entropy$type, function(x) all(diff(x) <= 0))))
  expect_equal(by_ratio$specificity,
               gene_specificity(small_signatures)[by_ratio$gene, "specificity"])
})

test_that("genes of the protocol are left out by default", {
  x <- toy()
  rownames(x)[1:3] <- c("RPL3", "MT-CO1", "CD14")
  expect_equal(suppressWarnings(select_markers(x, 2))$gene, "CD14")
  expect_setequal(suppressWarnings(select_markers(x, 2, exclude = NULL))$gene,
                  c("RPL3", "MT-CO1", "CD14"))
  rownames(x)[1:3] <- c("ENSG00000198888.2", "ENSG00000142541.18", "ENSG00000170458.14")
  expect_equal(suppressWarnings(select_markers(x, 2))$gene, "ENSG00000170458")
})

test_that("selection never scales the profiles again", {
  markers <- select_markers(small_signatures, n = 5)
  specificity <- gene_specificity(small_signatures)
  expect_equal(markers$expression, specificity[markers$gene, "expression"])
  # types with strong markers keep their larger share of mRNA in them
  kept <- attr(markers, "profiles")
  expect_equal(kept, 1e6 * as.matrix(small_signatures)[markers$gene, ])
  # nor do signatures of fewer genes change what the rest are compared by
  part <- small_signatures[markers$gene, ]
  expect_equal(gene_specificity(part), specificity[markers$gene, ])
})

test_that("types without enough markers are named", {
  expect_warning(select_markers(toy(), 2), class = "unalloy_warning_few_markers")
  same <- cbind(toy(), D = toy()[, "C"])
  few <- suppressWarnings(select_markers(same, 1))
  expect_s3_class(few, "markers")
  expect_equal(lengths(as.list(few)), c(A = 1L, B = 1L, C = 0L, D = 0L))
  expect_snapshot({
    few <- select_markers(same, 1)
    print(few)
  })
  nothing <- suppressWarnings(select_markers(same[, c("C", "D")], 1))
  expect_equal(nrow(nothing), 0)
  expect_output(print(nothing), "0 markers of 2 cell types")
  expect_refusal(plot_markers(nothing), "markers")
})

test_that("weights are 1 for markers and 0 for others", {
  markers <- select_markers(small_signatures, n = 5)
  genes <- rownames(small_signatures)
  weights <- as_gene_weights(markers, genes)
  expect_equal(weights, setNames(as.double(genes %in% markers$gene), genes))
  expect_equal(as_gene_weights(as.list(markers), genes), weights)
  expect_equal(as_gene_weights(as.data.frame(markers), genes), weights)
  expect_equal(as_gene_weights(markers$gene, genes), weights)
  fit <- fit_small(gene_weights = weights)
  expect_true(all(fit$convergence$converged))
})

test_that("own markers are checked", {
  genes <- c("CD3E", "MS4A1", "LYZ")
  own <- list(T = "CD3E", B = factor("MS4A1"))
  expect_identical(check_markers(own, genes), own)
  expect_refusal(check_markers(list(T = "CD3"), genes), "markers")
  expect_refusal(check_markers(character(), genes), "markers")
  expect_refusal(check_markers(1:3, genes), "argument")
  expect_refusal(select_markers(toy(), candidates = "g9"), "markers")
  expect_snapshot(error = TRUE, {
    check_markers(list(T = c("CD3E", "TRAC"), B = "CD19"), genes)
    check_markers(c("Cd3e", "Lyz"), genes)
    check_markers(list(T = 1), genes)
    check_markers(list(), genes)
  })
})

test_that("bad arguments are refused by name", {
  expect_snapshot(error = TRUE, {
    gene_specificity(toy()[, 1, drop = FALSE])
    gene_specificity(unname(toy()))
    gene_specificity(-toy())
    gene_specificity(toy(), pseudocount = 0)
    select_markers(toy(), n = 0)
    select_markers(toy(), types = c("A", "NK"))
    select_markers(toy(), by = "entropy")
    select_markers(toy(), exclude = 1)
    select_markers(toy(), candidates = c("g1", "G2", "CD3"))
    plot_markers(list(A = "g1"))
    plot_markers(c("g1", "g2"), toy())
    plot_markers(list(A = "g7"), toy())
    plot_markers(list(Z = "g1"), toy())
  })
  expect_refusal(select_markers(toy(), types = "NK"), "types")
})

test_that("printing shows each type and its best markers", {
  expect_snapshot(print(suppressWarnings(select_markers(toy(), 2))))
})

test_that("there is a dot per marker and type, at the marker's own ratios", {
  markers <- select_markers(small_signatures, n = 6)
  drawn <- plot_markers(markers, n = 4)
  tiles <- ggplot2::layer_data(drawn)
  expect_equal(nrow(tiles), 4 * 4 * 4)
  expect_equal(length(unique(tiles$PANEL)), 4)
  table <- drawn$data
  own <- as.character(table$type) == as.character(table$group)
  expect_equal(table$relative[own], rep(0, 16))
  first <- table[table$row == paste0(markers$type[1], "\r", markers$gene[1]), ]
  profile <- log2(1e6 * as.matrix(small_signatures)[markers$gene[1], ] + 10)
  expect_equal(first$relative, pmax(unname(profile - max(profile)), -6))
  # the best ratio to the next type is what select_markers() says
  expect_equal(-sort(first$relative, decreasing = TRUE)[2], min(6, markers$log2_ratio[1]))
})

test_that("dots of lists, subsets and many genes", {
  markers <- select_markers(small_signatures, n = 20)
  expect_equal(plot_markers(as.list(markers), small_signatures)$data, plot_markers(markers)$data)
  expect_equal(plot_markers(as.data.frame(markers), small_signatures)$data,
               plot_markers(markers)$data)
  expect_refusal(plot_markers(as.data.frame(markers)), "argument")
  part <- markers[markers$rank < 3, ]
  expect_equal(nrow(plot_markers(part)$data), 2 * 4 * 4)
  expect_equal(plot_markers(part, small_signatures)$data, plot_markers(part)$data)
  expect_equal(nrow(plot_markers(markers)$data), 10 * 4 * 4)
  many <- plot_markers(markers, n = 20)
  expect_s3_class(ggplot2::ggplotGrob(many), "gtable")
  labels <- ggplot2::ggplot_build(many)$layout$panel_params[[1]]$y$get_labels()
  expect_setequal(labels, markers$gene[markers$type == "Type A"])
  expect_equal(many$data$expression[1],
               1e6 * as.matrix(small_signatures)[[markers$gene[1], "Type A"]])
  # a gene in two groups is drawn in both
  twice <- plot_markers(list("Type A" = "Gene001", "Type B" = "Gene001"), small_signatures)
  expect_equal(nrow(twice$data), 8)
  expect_equal(ggplot2::autoplot(markers)$data, plot_markers(markers)$data)
})
