genes <- paste0("g", 1:150)

test_that("rows have unit norm and bounded correlation, whichever kind", {
  for (type in c("gaussian", "sparse")) {
    A <- measurement_matrix(30, genes, type, max_correlation = 0.25, seed = 1)
    weights <- as.matrix(A)
    expect_identical(dim(A), c(30L, 150L))
    expect_equal(unname(rowSums(weights^2)), rep(1, 30))
    between <- abs(cor(t(weights)))[upper.tri(diag(30))]
    expect_lte(max(between), 0.25)
    expect_equal(A$coherence$rows, max(between))
    unit <- sweep(weights, 2, sqrt(colSums(weights^2)), "/")
    cosines <- abs(crossprod(unit))[upper.tri(diag(150))]
    expect_equal(A$coherence$genes, max(cosines))
    expect_equal(A$coherence$genes_rms, sqrt(mean(cosines^2)))
  }
})

test_that("fewer measurements are the first ones of more", {
  many <- measurement_matrix(25, genes, seed = 4)
  few <- measurement_matrix(10, genes, seed = 4)
  expect_identical(unname(few$weights), unname(many$weights[1:10, ]))
  expect_false(identical(few$weights, measurement_matrix(10, genes, seed = 5)$weights))
  set.seed(3)
  drawn <- measurement_matrix(5, genes)
  set.seed(3)
  expect_identical(drawn, measurement_matrix(5, genes))
})

test_that("pools have equal weights, and the table lists them all", {
  A <- measurement_matrix(12, genes, "sparse", 0.5, genes_per_pool = 25, seed = 1)
  expect_s4_class(A$weights, "dgCMatrix")
  expect_equal(unname(Matrix::rowSums(A$weights > 0)), rep(25, 12))
  # 12 pools of 25 are 2 uses of each of 150 genes
  expect_true(all(Matrix::colSums(A$weights > 0) %in% 1:3))
  table <- as.data.frame(A)
  expect_identical(nrow(table), 300L)
  expect_equal(unique(table$weight), 1 / 5)
  back <- tapply(table$weight, table[c("measurement", "gene")], sum, default = 0)
  expect_equal(unclass(back)[rownames(A$weights), genes], as.matrix(A), ignore_attr = TRUE)
  file <- withr::local_tempfile(fileext = ".csv")
  write_pools(A, file)
  expect_equal(utils::read.csv(file), table)
  expect_refusal(write_pools(as.matrix(A), file), "argument")
})

test_that("settings that can't be met are told", {
  expect_snapshot(error = TRUE, measurement_matrix(200, genes[1:8], seed = 1))
  expect_snapshot(error = TRUE, measurement_matrix(5, genes, genes_per_pool = 3))
  expect_snapshot(error = TRUE, measurement_matrix(5, c("a", "b", "a")))
  expect_refusal(measurement_matrix(0, genes), "argument")
  expect_refusal(measurement_matrix(5, 1:10), "argument")
  expect_refusal(measurement_matrix(5, genes, "sparse", genes_per_pool = 150), "argument")
  expect_refusal(measurement_matrix(5, genes, max_correlation = 2), "argument")
  expect_snapshot(print(measurement_matrix(20, genes, "sparse", 0.5, seed = 1)))
})

test_that("measurements are weighted sums, and genes are matched by name", {
  x <- modular_profiles()
  A <- measurement_matrix(20, x, max_correlation = 0.5, seed = 1)
  y <- measure(x, A, verbose = FALSE)
  expect_equal(y, as.matrix(A) %*% x)
  expect_equal(measure(x[80:1, ], A, verbose = FALSE), y)
  expect_equal(measure(rbind(x, other = 9), A, verbose = FALSE), y)
  expect_equal(measure(x, as.matrix(A), verbose = FALSE), y)
  sparse <- Matrix::Matrix(x * (x > 0.5), sparse = TRUE)
  expect_equal(measure(sparse, A, verbose = FALSE), measure(as.matrix(sparse), A, verbose = FALSE))
  skip_if_not_installed("SummarizedExperiment")
  experiment <- SummarizedExperiment::SummarizedExperiment(list(raw = 2 * x, log = x))
  expect_equal(measure(experiment, A, assay = "log", verbose = FALSE), y)
  expect_equal(measure(experiment, A, verbose = FALSE), 2 * y)
  expect_refusal(measure(experiment, A, assay = "tpm"), "argument")
})

test_that("noise is that of the profiles, with the ratio asked for", {
  x <- modular_profiles(samples = 400)
  identity <- diag(80)
  dimnames(identity) <- list(NULL, rownames(x))
  noise <- measure(x, identity, snr = 2, seed = 1, verbose = FALSE) - x
  expect_equal(sqrt(sum(x^2) / sum(noise^2)), 2)
  # 32,000 draws: kurtosis 3 within 0.14 (five standard errors)
  expect_equal(mean(noise^4) / mean(noise^2)^2, 3, tolerance = 0.14 / 3)
  expect_identical(measure(x, identity, 2, seed = 1, threads = 1, verbose = FALSE),
                   measure(x, identity, 2, seed = 1, threads = 3, verbose = FALSE))
})

test_that("genes of A that x lacks, and values that are none, are told", {
  x <- modular_profiles()
  A <- measurement_matrix(5, x, max_correlation = 0.9, seed = 1)
  expect_snapshot(error = TRUE, measure(x[-(3:7), ], A))
  expect_snapshot(error = TRUE, measure(`rownames<-`(x, paste0("ENSG", 1:80)), A))
  x[4, 9] <- NA
  expect_snapshot(error = TRUE, measure(x, A))
  sparse <- Matrix::Matrix(x * (x > 0.5 | is.na(x)), sparse = TRUE)
  expect_error(measure(sparse, A), "\"g4\", sample \"s9\"",
               class = "unalloy_error_missing_values")
  x[4, 9] <- Inf
  expect_refusal(measure(x, A), "infinite_values")
  expect_refusal(measure(unname(modular_profiles())[-1, ], A), "gene_names")
  expect_refusal(measure("a", A), "argument")
  expect_refusal(measure(modular_profiles(), "a"), "argument")
  expect_refusal(measure(modular_profiles(), A, snr = 0), "argument")
})
