library(ggplot2)
result <- fit_small()
group <- c("b", "a", "b", "a", "b")

test_that("a forest holds the intervals", {
  plot <- plot_forest(result)
  table <- confint(result)
  drawn <- layer_data(plot, 1)
  expect_equal(sort(drawn$xmin), sort(table$lower))
  expect_equal(sort(drawn$xmax), sort(table$upper))
  expect_identical(length(unique(drawn$PANEL)), 5L) # up to six samples: by sample
  expect_identical(length(unique(layer_data(plot_forest(result, by = "type"))$PANEL)), 4L)
  one <- plot_forest(result, samples = 2, types = c("Type A", "Type C"), level = 0.5)
  narrow <- confint(result, c("Type A", "Type C"), 0.5, 2)
  expect_equal(sort(layer_data(one, 1)$xmin), sort(narrow$lower))
})

test_that("samples of a group stand together, with their mean", {
  plot <- plot_forest(result, group = group, by = "type")
  rows <- levels(plot$data$row)
  expect_identical(group[match(rows, colnames(result$proportions))], sort(group))
  means <- layer_data(plot, 1)
  truth <- c(rowMeans(result$proportions[, group == "a"]),
             rowMeans(result$proportions[, group == "b"]))
  expect_equal(sort(means$x), sort(unname(truth)))
})

test_that("many samples are sorted by rank, and groups stay together", {
  sim <- simulate_bulk(n_genes = 300, n_types = 4, n_samples = 70, cells_per_type = 5, seed = 3)
  many <- deconvolve_bulk(sim$profiles, sim$bulk_counts, verbose = FALSE,
                          error_model = "poisson")
  plot <- plot_forest(many, group = rep(c("a", "b"), 35))
  expect_identical(length(unique(layer_data(plot, 2)$PANEL)), 4L)
  own <- plot$data[plot$data$type == "Type B", ]
  own <- own[order(own$row), ]
  expect_identical(rle(as.character(own$group))$values, c("b", "a"))
  expect_false(is.unsorted(own$estimate[own$group == "a"]))
  expect_match(plot$labels$caption, "70 samples, sorted")
})

test_that("views of the uncertainty panel are these functions", {
  expect_equal(layer_data(plot_deconvolution(result, type = "uncertainty", view = "forest")),
               layer_data(plot_forest(result)))
  expect_equal(layer_data(plot_uncertainty(result, view = "ridge")),
               layer_data(plot_ridge(result)))
  expect_refusal(plot_uncertainty(result, view = "pie"), "argument")
  expect_refusal(plot_forest(result, by = "gene"), "argument")
  expect_refusal(plot_forest(result, group = 1:2), "argument")
  expect_refusal(plot_forest(result, types = "nobody"), "argument")
  expect_refusal(plot_forest(fit_small(keep_counts = FALSE)), "no_counts")
  expect_refusal(plot_forest(list()), "argument")
})

test_that("groups are columns of the sample data, in every panel", {
  known <- result
  names <- known$convergence$sample
  sample_data(known) <- data.frame(arm = rep_len(c("a", "b"), length(names)), row.names = names)
  arm <- sample_data(known)$arm
  for (draw in list(plot_forest, plot_ridge, plot_proportions, plot_correlation)) {
    expect_equal(layer_data(draw(known, group = "arm")), layer_data(draw(known, group = arm)))
  }
  expect_refusal(plot_forest(known, group = "arms"), "argument")
})

test_that("labels above panels are wrapped to their width, and cut only within a word", {
  label <- strip_labels(40)
  expect_identical(label(list(c("Endothelial memory", "NK")))[[1L]],
                   c("Endothelial\nmemory", "NK"))
  expect_identical(label(list("HematopoieticProgenitor"))[[1L]], "Hematopoi...")
  expect_identical(strip_labels(4)(list("CD4+ T cell, naive"))[[1L]], "CD4+ T cell, naive")
})
