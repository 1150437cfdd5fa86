level <- function(seed) {
  withr::with_seed(seed, {
    mean <- matrix(rexp(50 * 3, 0.01), 50)
    x <- array(mean, c(50, 3, 12)) * exp(array(rnorm(50 * 3 * 12, sd = 0.5), c(50, 3, 12)))
  })
  dimnames(x) <- list(paste0("g", 1:50), c("A", "B", "C"), paste0("s", 1:12))
  x
}
truth <- level(1)
truth[, "B", 3:4] <- NA
of <- function(found, over, type) {
  found$scores[found$scores$over == over & found$scores$type == type, ]
}

test_that("the truth itself is right, and the mean of a type knows no differences", {
  exact <- evaluate_expression(truth, truth)
  expect_equal(exact$scores$ccc, rep(1, 6))
  expect_equal(exact$scores$rmse, rep(0, 6))
  mean_only <- truth
  mean_only[] <- apply(truth, 1:2, mean, na.rm = TRUE)
  found <- evaluate_expression(truth, mean_only)
  expect_equal(of(found, "samples", "A")$pearson, 0)
  expect_equal(of(found, "samples", "A")$ccc, 0)
  expect_gt(of(found, "genes", "A")$pearson, 0.8)
})

test_that("scores are what their definitions give", {
  estimate <- truth * exp(0.3 * log(level(2) / 100))
  found <- evaluate_expression(truth, estimate)
  a <- log1p(truth[, "B", -(3:4)])
  b <- log1p(estimate[, "B", -(3:4)])
  of_gene <- function(f) vapply(1:50, function(g) f(a[g, ], b[g, ]), 0)
  ccc <- function(x, y) {
    s <- cov(cbind(x, y)) * (length(x) - 1) / length(x)
    2 * s[1, 2] / (s[1, 1] + s[2, 2] + (mean(x) - mean(y))^2)
  }
  own <- found$genes[found$genes$type == "B", ]
  expect_equal(own$pearson, of_gene(cor))
  expect_equal(own$spearman, of_gene(function(x, y) cor(x, y, method = "spearman")))
  expect_equal(own$ccc, of_gene(ccc))
  expect_equal(of(found, "samples", "B")$ccc, mean(of_gene(ccc)))
  expect_equal(of(found, "genes", "B")$pearson, mean(diag(cor(a, b))))
  expect_equal(of(found, "genes", "B")$rmse, sqrt(mean((a - b)^2)))
  expect_equal(of(found, "genes", "B")$n, 10)
  # scale and level cost concordance, not correlation
  off <- evaluate_expression(truth, 3 * truth)
  expect_gt(of(off, "samples", "A")$pearson, 0.999)
  expect_lt(of(off, "samples", "A")$ccc, 0.7)
})

test_that("names decide, and what is missing is counted", {
  found <- evaluate_expression(truth, truth[50:1, 3:1, 12:1])
  expect_equal(found$scores$ccc, rep(1, 6))
  holes <- truth[1:40, , ]
  holes[, "A", 1:3] <- NA
  found <- evaluate_expression(truth, holes)
  expect_equal(of(found, "samples", "A")$missing, 0.25)
  expect_equal(of(found, "samples", "B")$missing, 0)
  expect_equal(found$left_out, c(genes = 10, types = 0, samples = 0))
  one <- evaluate_expression(truth[, "A", ], truth[, "A", ], genes = c("g1", "g2", "other"))
  expect_equal(one$scores$n[1], 2)
  expect_snapshot(print(found))
  expect_snapshot(error = TRUE, {
    evaluate_expression(unname(truth), truth)
    evaluate_expression(truth, -truth)
    evaluate_expression(truth, truth, genes = "other")
    evaluate_expression(truth, truth, genes = 1)
  })
})

test_that("the picture shows the genes that differ, true beside predicted", {
  values <- level(1)
  case <- rep(c("case", "control"), each = 6)
  values[7:9, "C", case == "case"] <- 50 * values[7:9, "C", case == "case"]
  found <- evaluate_expression(values, 2 * values)
  drawn <- plot(found, n_genes = 3, group = case)
  expect_s3_class(ggplot2::ggplot_build(drawn), "ggplot_built")
  # genes that differ between groups within a type, not those that differ between types
  columns <- data.frame(type = rep(c("A", "B", "C"), 12), group = rep(case, each = 3))
  truth <- matrix(log1p(values), 50)
  expect_setequal(unalloy:::telling_genes(truth, columns, 3), 7:9)
  means <- apply(log1p(values), 1:2, mean)
  widest <- order(apply(means, 1, var), decreasing = TRUE)[1:3]
  columns$group <- ""
  expect_setequal(unalloy:::telling_genes(truth, columns, 3), widest)
  # both panels are centred on the truth
  halves <- split(drawn$data, drawn$data$panel)
  expect_equal(mean(halves$Truth$value), 0, tolerance = 0.1)
  expect_gt(mean(halves$Prediction$value), 0.3)
  # unknown samples are left out
  holes <- plot(evaluate_expression(truth = values, replace(values, 1:50, NA)))
  expect_identical(nrow(holes$data), 2L * 50L * 35L)
  expect_refusal(plot(found, group = "one"), "argument")
})

test_that("pseudo-bulk keeps what its cells express", {
  sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 2, cells_per_type = 40, seed = 1)
  mixed <- pseudo_bulk(sim$reference, sim$cells$cell_type, sim$cells$donor, n_samples = 6,
                       cells_per_sample = 150, platform_sd = 0, expression = TRUE, seed = 1)
  level <- mixed$truth_expression
  expect_equal(dim(level), c(200, 3, 6))
  drawn <- mixed$drawn[sim$cells$cell_type == "Type B", 2]
  own <- as.vector(sim$reference[, sim$cells$cell_type == "Type B"] %*% drawn)
  expect_equal(unname(level[, "Type B", 2]), own / sum(own) * 1e6)
  # the bulk is the types' expression in their shares
  total <- colSums(mixed$bulk_counts)
  again <- vapply(1:6, function(s) level[, , s] %*% mixed$truth_mrna[, s] * total[s] / 1e6,
                  numeric(200))
  expect_equal(again, mixed$bulk_counts, ignore_attr = TRUE)
  shares <- matrix(c(1, 0, 0, 0.5, 0.5, 0), 3, dimnames = list(rownames(mixed$truth_mrna), NULL))
  absent <- pseudo_bulk(sim$reference, sim$cells$cell_type, sim$cells$donor, n_samples = 2,
                        proportions = shares,
                        expression = TRUE, seed = 1)
  expect_true(all(is.na(absent$truth_expression[, "Type C", ])))
  # methods do not see it
  seen <- NULL
  benchmark_deconvolution(list(own = function(dataset) {
    seen <<- names(dataset)
    dataset$signatures$profiles[1:3, 1:2]
  }), mixed, verbose = FALSE)
  expect_false(any(grepl("truth", seen)))
})
