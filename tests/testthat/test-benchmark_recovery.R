x <- modular_profiles(samples = 100)

run <- function(..., measurements = c(8, 16, 32), methods = c("svd", "svd_k"), splits = 3) {
  benchmark_recovery(x, measurements, methods, splits, size = 25, sparsity = 5,
                     max_correlation = 0.6, seed = 1, verbose = FALSE, ...)
}
benchmark <- run()

test_that("a run is what its parts give by hand", {
  plan <- benchmark$plan
  chosen <- unalloy:::with_seed(plan$seeds[2], sample.int(100, 80))
  train <- x[, chosen]
  low <- apply(train, 1, min)
  span <- apply(train, 1, max) - low
  test <- (x[, -chosen] - low) / span
  A <- measurement_matrix(32, rownames(x), max_correlation = 0.6, seed = plan$seeds[2])
  modules <- learn_dictionary((train - low) / span, 25, "svd", 5, verbose = FALSE)
  y <- measure(test, A, verbose = FALSE)[1:16, ]
  found <- recover_profiles(y, A$weights[1:16, ], modules, sparsity = 5, verbose = FALSE)
  by_hand <- evaluate_recovery(test, found, verbose = FALSE)$scores
  of_run <- subset(as.data.frame(benchmark), split == 2 & method == "svd" & measurements == 16)
  expect_equal(of_run$value, by_hand$estimate[match(of_run$score, by_hand$score)])
})

test_that("the splits of the next seed are others", {
  scores <- function(seed) {
    found <- benchmark_recovery(x, 16, "svd_k", 3, size = 25, sparsity = 5, max_correlation = 0.6,
                                seed = seed, verbose = FALSE)
    subset(as.data.frame(found), score == "sample_pearson")$value
  }
  expect_length(intersect(scores(1), scores(2)), 0)
})

test_that("more measurements tell more, and few singular vectors more than many", {
  table <- summary(benchmark)
  table <- table[table$score == "sample_pearson", ]
  by_method <- split(table$mean, table$method)
  expect_true(all(diff(by_method$svd) > 0))
  expect_gt(by_method$svd_k[1], by_method$svd[1])
  expect_equal(table$splits, rep(3, 6))
  own <- subset(benchmark$scores, method == "svd" & measurements == 8 & score == "gene_pearson")
  expect_equal(subset(summary(benchmark), method == "svd" & measurements == 8 &
                        score == "gene_pearson")$se, sd(own$value) / sqrt(3))
})

test_that("the same seed gives the same scores; R's own stream is left alone", {
  set.seed(1)
  before <- .Random.seed
  expect_identical(run(threads = 1)$scores, benchmark$scores)
  expect_identical(.Random.seed, before)
})

test_that("a function is a method, and a failure does not stop the others", {
  seen <- NULL
  methods <- list("svd_k", mean = function(train, A, y) {
    seen <<- c(dim(train), dim(A), dim(y))
    matrix(rowMeans(train), nrow(train), ncol(y))
  }, broken = function(train, A, y) stop("no such network"))
  own <- run(methods = methods, measurements = 10, splits = 2)
  expect_identical(seen, c(80L, 80L, 10L, 80L, 10L, 20L))
  expect_identical(levels(own$scores$method), c("svd_k", "mean", "broken"))
  expect_identical(own$runs$failure[own$runs$method == "broken"], rep("no such network", 2))
  gene <- subset(own$scores, score == "gene_pearson" & method == "mean")
  expect_identical(gene$value, c(0, 0))
  expect_output(print(own), "Failed: \"broken\" in split 1: no such network")
})

test_that("networks are scored beside ridge, on measurements and on what modules recover", {
  small <- list(hidden = 16, epochs = 4, ensemble = 1)
  found <- run(methods = c("ridge", "network", "smaf+network"), splits = 2, measurements = 16,
               settings = list(network = small, "smaf+network" = c(small, start = "zero")))
  expect_identical(found$runs$failure, rep(NA_character_, 6))
  scores <- subset(as.data.frame(found), score == "overall_pearson")
  expect_true(all(scores$value > 0))
  # the plain network has but four passes; the other starts at ridge
  means <- tapply(scores$value, as.character(scores$method), mean)
  expect_gt(means[["network"]], means[["ridge"]] - 0.002)
})

test_that("noise, pools, small training sets and other decoders are possible", {
  noisy <- summary(run(snr = 1))
  expect_lt(noisy$mean[1], summary(benchmark)$mean[1])
  pools <- run(type = "sparse", genes_per_pool = 15, decoder = "nn_omp", methods = "smaf",
               splits = 1)
  expect_true(all(is.na(summary(pools)$se)))
  tiny <- benchmark_recovery(x, 16, "svd_k", 2, train = 0.1, size = 8, sparsity = 5,
                             max_correlation = 0.6, seed = 1, verbose = FALSE)
  expect_identical(tiny$plan$n_train, 10)
})

test_that("a gene that varies in the test samples only is left out of its split", {
  once <- x
  once[5, ] <- 0
  held_in <- unalloy:::with_seed(unalloy:::derived_seeds(1, 1), sample.int(100, 80))
  once[5, setdiff(1:100, held_in)[1]] <- 1
  left <- benchmark_recovery(once, 16, "svd_k", 1, size = 25, sparsity = 5, max_correlation = 0.6,
                             seed = 1, verbose = FALSE)
  expect_identical(left$runs$genes, 79L)
})

test_that("arguments that can't be are told", {
  expect_snapshot(error = TRUE, run(measurements = c(3, 20)))
  expect_snapshot(error = TRUE, run(methods = "pca"))
  expect_snapshot(error = TRUE, run(train = 0.995))
  expect_snapshot(error = TRUE, plot(benchmark, "r2"))
  expect_refusal(run(methods = list(function(train, A, y) 1)), "argument")
  expect_refusal(run(settings = list(ksvd = list(max_iter = 2))), "argument")
  expect_refusal(run(measurements = "many"), "argument")
})

test_that("results print and draw themselves", {
  expect_snapshot(print(benchmark, "sample_pearson", digits = 1))
  drawn <- plot(benchmark)
  expect_identical(nrow(drawn$data), 12L)
  expect_identical(levels(drawn$data$panel), unname(unalloy:::SCORE_NAMES[c("sample_pearson",
                                                                           "sample_distance")]))
})
