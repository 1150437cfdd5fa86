library(ggplot2)
share_density <- unalloy:::share_density
share_below <- unalloy:::share_below
result <- fit_small()

# Mean of a ridge's density over its grid.
integral <- function(x, y) sum(diff(x) * (utils::head(y, -1) + utils::tail(y, -1)) / 2)

test_that("densities hold one and the intervals their level", {
  x <- seq(0, 1, length.out = 20001)
  cases <- list(c(0.4, 0.02), c(0.02, 0.05), c(0.97, 0.004), c(1e-3, 2e-4))
  for (case in cases) {
    density <- share_density(x, case[1], case[2], NA, 0.95)
    expect_equal(integral(x, density), 1, tolerance = 1e-3)
    below <- share_below(c(0, 0.41, 1), case[1], case[2], NA, 0.95)
    expect_equal(below[c(1, 3)], c(0, 1))
    expect_equal(below[2], integral(x[x <= 0.41], density[x <= 0.41]), tolerance = 2e-3)
  }
  table <- confint(result)
  row <- table[which.max(table$estimate), ]
  density <- share_density(x, row$estimate, row$std_error, row$upper, 0.95)
  inside <- x >= row$lower & x <= row$upper
  expect_equal(integral(x[inside], density[inside]), 0.95, tolerance = 2e-3)
  # at zero the upper limit is the quantile of the half curve
  half <- share_density(x, 0, NA, 0.03, 0.9)
  total <- integral(x, half)
  expect_equal(integral(x[x <= 0.03], half[x <= 0.03]) / total, 0.9, tolerance = 2e-3)
})

test_that("a ridge per type and sample peaks near its estimate", {
  plot <- plot_ridge(result)
  curves <- plot$data
  for (sample in levels(curves$sample)[1:2]) {
    for (type in levels(curves$type)) {
      own <- curves[curves$sample == sample & curves$type == type, ]
      peak <- own$x[which.max(own$height)]
      # the mode of a logit-normal curve lies towards the end
      expect_lt(abs(peak - result$proportions[type, sample]), 0.02)
      expect_equal(max(own$height), 1)
    }
  }
  expect_identical(length(unique(layer_data(plot)$PANEL)), 5L)
  expect_identical(length(unique(layer_data(plot_ridge(result, by = "type"))$PANEL)), 4L)
})

test_that("large cohorts are drawn as the mean of their curves, by group", {
  sim <- simulate_bulk(n_genes = 300, n_types = 4, n_samples = 70, cells_per_type = 5, seed = 3)
  many <- deconvolve_bulk(sim$profiles, sim$bulk_counts, verbose = FALSE,
                          error_model = "poisson")
  plot <- plot_ridge(many)
  expect_identical(nlevels(plot$data$ridge), 4L)
  # the area below a point is the mean probability of all samples
  own <- plot$data[plot$data$type == "Type A", ]
  table <- confint(many, "Type A")
  for (at in c(0.1, 0.3)) {
    below <- mapply(share_below, at, table$estimate, table$std_error, table$upper, 0.95)
    expect_equal(sum(own$height[own$x < at]^2) / sum(own$height^2), mean(below),
                 tolerance = 0.02)
  }
  grouped <- plot_ridge(many, group = rep(c("a", "b"), 35))
  expect_identical(nlevels(grouped$data$ridge), 8L)
  # one type has rows enough for 20 names
  named <- plot_ridge(many, samples = 1:20, types = "Type A")
  expect_identical(nlevels(named$data$ridge), 20L)
})

test_that("bad input is refused", {
  expect_refusal(plot_ridge(list()), "argument")
  expect_refusal(plot_ridge(result, samples = "nobody"), "argument")
  expect_refusal(plot_ridge(fit_small(l2_lambda = 1)), "penalised")
})
