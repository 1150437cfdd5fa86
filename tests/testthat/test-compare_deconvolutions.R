sim <- simulate_bulk(n_genes = 400, n_types = 4, n_samples = 6, seed = 1)
signatures <- build_signatures(sim$reference, sim$cells$cell_type)
a <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
b <- deconvolve_bulk(signatures, sim$bulk_counts, verbose = FALSE)

test_that("points and numbers are those of the two results", {
  plot <- compare_deconvolutions(a, b)
  points <- ggplot2::layer_data(plot, 2)
  expect_equal(points$x, as.vector(a$proportions))
  expect_equal(points$y, as.vector(b$proportions))
  expect_identical(points$colour, rep(unname(type_palette(rownames(a$proportions))), 6))
  agreement <- attr(plot, "agreement")
  expect_equal(agreement$correlation, stats::cor(points$x, points$y))
  expect_equal(agreement$rmse, sqrt(mean((points$x - points$y)^2)))
  expect_match(plot$labels$subtitle, format(round(agreement$correlation, 3)), fixed = TRUE)
  expect_null(plot$labels$caption)
  itself <- attr(compare_deconvolutions(a, a), "agreement")
  expect_equal(itself[c("correlation", "rmse")], list(correlation = 1, rmse = 0))
})

test_that("samples and types are matched by name, and what does not match is counted", {
  truth <- sim$truth_mrna
  whole <- attr(compare_deconvolutions(a, truth), "agreement")
  expect_equal(attr(compare_deconvolutions(a, truth[4:1, 6:1]), "agreement"), whole)
  part <- compare_deconvolutions(a, rbind(truth[2:3, -1], other = 0), c("estimate", "truth"))
  expect_equal(part$data$a, as.vector(a$proportions[2:3, -1]))
  expect_equal(part$data$b, as.vector(truth[2:3, -1]))
  expect_match(part$labels$caption, "3 types, 1 sample.")
  expect_identical(part$labels$y, "Share of mRNA, truth")
})

test_that("constant shares have no correlation but are drawn", {
  plot <- compare_deconvolutions(a, 0 * a$proportions + 0.25)
  expect_identical(attr(plot, "agreement")$correlation, NA_real_)
  expect_equal(nrow(ggplot2::layer_data(plot, 2)), 24)
})

test_that("what can't be compared is refused with the reason", {
  argument <- "unalloy_error_argument"
  expect_error(compare_deconvolutions(a, t(sim$truth_mrna)), "try `t\\(b\\)`", class = argument)
  others <- sim$truth_mrna
  colnames(others) <- letters[1:6]
  expect_error(compare_deconvolutions(a, others), "No sample is in both", class = argument)
  expect_error(compare_deconvolutions(a, unname(others)), "`b`", class = argument)
  expect_error(compare_deconvolutions("a", b), "`a`", class = argument)
  expect_error(compare_deconvolutions(a, b, names = "one"), "`names`", class = argument)
  expect_error(compare_deconvolutions(a, b, what = "cell_fractions"),
               class = "unalloy_error_cell_size")
})
