twins <- local({
  profiles <- as.matrix(small_signatures)
  set.seed(1)
  cbind(profiles, Twin = profiles[, 2] * exp(rnorm(nrow(profiles), 0, 0.03)))
})
result <- suppressWarnings(fit_small(signatures = twins))
plain <- fit_small()
tree <- data.frame(type = c(paste("Type", LETTERS[1:4]), "Twin"),
                   fine = c("one", "two", "three", "three", "two"),
                   coarse = c("left", "left", "right", "right", "left"))

test_that("types that can be told apart stay apart", {
  merged <- merge_types(plain)
  expect_identical(merged$proportions, plain$proportions)
  expect_null(merged$joined)
  expect_null(merged$unresolved)
  # a leaf keeps the row it has in confint()
  table <- confint(plain)
  expect_equal(merged$table[c("estimate", "std_error", "lower", "upper")],
               table[c("estimate", "std_error", "lower", "upper")])
})

test_that("twins are reported as their sum, with the error of a sum", {
  merged <- merge_types(result)
  expect_identical(merged$nodes[["Type B + Twin"]], c("Type B", "Twin"))
  expect_length(merged$nodes, 4)
  own <- c("Type B", "Twin")
  sums <- colSums(result$proportions[own, ])
  rows <- merged$table[merged$table$node == "Type B + Twin", ]
  expect_equal(rows$estimate, unname(sums))
  covariance <- vcov(result)
  errors <- sqrt(apply(covariance[own, own, ], 3, sum))
  expect_equal(rows$std_error, unname(errors))
  expect_equal(unname(colSums(merged$proportions)), rep(1, 5))
  expect_true(all(rows$lower <= rows$estimate & rows$estimate <= rows$upper))
  # near what the fit without the twin says, well within a standard error
  expect_equal(rows$estimate, unname(plain$proportions["Type B", ]), tolerance = 0.05)
  expect_lt(merged$joined$correlation, -0.9)
})

test_that("a tree is cut at the deepest level that is identified", {
  merged <- merge_types(result, tree)
  expect_named(merged$nodes, c("Type A", "two", "Type C", "Type D"))
  expect_identical(merged$joined$node, "two")
  # without the fine level the whole branch goes together
  expect_named(merge_types(result, tree[c(1, 3)])$nodes, c("left", "Type C", "Type D"))
  # a tree that keeps the twins apart leaves them, and says so
  wrong <- data.frame(type = tree$type, group = c("x", "x", "y", "y", "y"))
  apart <- merge_types(result, wrong)
  expect_length(apart$nodes, 5)
  expect_setequal(unlist(apart$unresolved[1, c("first", "second")]), c("Type B", "Twin"))
  # types that the tree leaves out stand alone
  partial <- merge_types(result, list(two = c("Type B", "Twin")))
  expect_named(partial$nodes, c("Type A", "two", "Type C", "Type D"))
})

test_that("trees come in every form that type_tree() takes", {
  groups <- stats::setNames(tree$coarse, tree$type)
  expected <- merge_types(result, tree[c(1, 3)])
  expect_equal(merge_types(result, groups), expected)
  expect_equal(merge_types(result, split(tree$type, tree$coarse)), expected)
  expect_equal(merge_types(result, type_tree(twins, tree[c(1, 3)])), expected)
})

test_that("given groups are reported as they are", {
  merged <- merge_types(plain, groups = tree[1:4, c(1, 3)])
  expect_named(merged$nodes, c("left", "right"))
  expect_equal(merged$proportions["left", ], colSums(plain$proportions[1:2, ]))
  # the errors of shares that sum to one are the same
  sides <- split(merged$table$std_error, merged$table$node)
  expect_equal(sides$left, sides$right)
  expect_null(merged$joined)
})

test_that("limits decide what is joined", {
  expect_length(merge_types(result, max_error = 100)$nodes, 5)
  expect_length(merge_types(result, max_correlation = 1)$nodes, 5)
  # any split with an error, of errors with any negative correlation
  loose <- merge_types(result, max_correlation = 0, max_error = 0)
  expect_lt(length(loose$nodes), 4)
})

test_that("samples may be cut one by one", {
  merged <- merge_types(result, tree, per = "sample")
  expect_equal(unname(colSums(merged$proportions, na.rm = TRUE)), rep(1, 5))
  # within a sample every type is reported once
  once <- tapply(merged$table$types, merged$table$sample, function(types) {
    sort(unlist(strsplit(types, " + ", fixed = TRUE)))
  })
  for (types in once) expect_identical(types, sort(tree$type))
  expect_true(all(merged$joined$sample %in% colnames(result$proportions)))
  cohort <- merge_types(result[3], tree)
  alone <- as.data.frame(merged)
  alone <- alone[alone$sample == colnames(result$proportions)[3], ]
  expect_equal(as.character(alone$node), names(cohort$nodes))
})

test_that("sums of types at zero keep a limit and no error", {
  bulk <- small$bulk_counts
  profiles <- as.matrix(small_signatures)
  lone <- profiles[, 1] * small$gene_lengths / 500
  # fewer counts than noise would leave in the genes of two other types
  lone[max.col(profiles) %in% 2:3] <- 0
  bulk[, 2] <- round(1e5 * lone / sum(lone))
  fit <- fit_small(bulk = bulk)
  absent <- rownames(fit$proportions)[fit$proportions[, 2] == 0]
  expect_gt(length(absent), 1)
  groups <- stats::setNames(rep("absent", length(absent)), absent)
  row <- merge_types(fit, groups = groups)$table
  row <- row[row$node == "absent" & row$sample == "Sample2", ]
  expect_identical(row$estimate, 0)
  expect_identical(row$std_error, NA_real_)
  limits <- confint(fit, parm = absent, samples = 2)$upper
  expect_equal(row$upper, sum(limits))
})

test_that("shares of cells, one sample and the platform model work", {
  sizes <- c(`Type A` = 1, `Type B` = 2, `Type C` = 1, `Type D` = 3, Twin = 2)
  cells <- suppressWarnings(fit_small(signatures = twins, cell_size = sizes))
  merged <- merge_types(cells, what = "cell_fractions")
  expect_equal(merged$proportions["Type B + Twin", ],
               colSums(cells$cell_fractions[c("Type B", "Twin"), ]))
  expect_length(merge_types(result[1])$nodes, 4)
  platform <- suppressWarnings(fit_small(signatures = twins, error_model = "platform"))
  expect_length(merge_types(platform)$nodes, 4)
  expect_length(merge_types(fit_small(signatures = small_signatures[, 1]))$nodes, 1)
})

test_that("a sample without types is NA", {
  profiles <- rbind(as.matrix(small_signatures), extra = 0)
  bulk <- rbind(small$bulk_counts, extra = 0)
  bulk[, 3] <- 0
  bulk["extra", 3] <- 1000
  none <- suppressWarnings(deconvolve_bulk(profiles, bulk, error_model = "poisson",
                                           verbose = FALSE))
  merged <- merge_types(none, groups = list(AB = c("Type A", "Type B")))
  expect_true(all(is.na(merged$proportions[, 3])))
  expect_false(anyNA(merged$proportions[, -3]))
  expect_output(print(merge_types(none)), "4 cell types of 5 samples reported as 4 nodes")
})

test_that("bad input is refused", {
  expect_snapshot(error = TRUE, merge_types(list()))
  expect_snapshot(error = TRUE, merge_types(result, tree, groups = tree))
  expect_snapshot(error = TRUE, merge_types(result, list(One = c("Type A", "Nobody"))))
  expect_snapshot(error = TRUE, merge_types(result, list(Twin = c("Type A", "Type B"))))
  expect_refusal(merge_types(result, list(a = "Type A", b = "Type A")), "tree")
  expect_refusal(merge_types(result, max_correlation = 2), "argument")
  expect_refusal(merge_types(result, max_error = -1), "argument")
  expect_refusal(merge_types(result, level = 1), "argument")
  expect_refusal(merge_types(fit_small(keep_counts = FALSE)), "no_counts")
  expect_refusal(merge_types(fit_small(l1_lambda = 0.1)), "penalised")
  expect_refusal(merge_types(result, what = "cell_fractions"), "cell_size")
})

test_that("the result prints, and draws bars that sum to one", {
  expect_snapshot(print(merge_types(result, tree)))
  bars <- ggplot2::layer_data(autoplot(merge_types(result, tree)))
  heights <- tapply(bars$ymax - bars$ymin, bars$x, sum)
  expect_equal(as.vector(heights), rep(1, 5))
  expect_identical(dim(merge_types(result, tree)), c(4L, 5L))
})
