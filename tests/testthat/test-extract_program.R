# A type that the reference lacks is a program of the cohort.
tumour <- simulate_bulk(n_genes = 400, n_types = 4, n_samples = 12, missing_type = 4,
                        platform_sd = 0.4, seed = 2)
tumour_fit <- function(bulk = tumour$bulk_counts, ...) {
  signatures <- build_signatures(tumour$reference, tumour$cells$cell_type, tumour$cells$donor)
  suppressWarnings(deconvolve_bulk(signatures, bulk, tumour$gene_lengths, verbose = FALSE,
                                   protocol = "full_length", ...))
}
extract <- function(..., seed = 1) extract_program(..., seed = seed, verbose = FALSE)
result <- tumour_fit()
program <- extract(result)
truth <- tumour$truth_mrna["Type D", ]

test_that("the planted program, its loadings and its genes are found", {
  expect_gt(cor(program$shares[1, ], truth), 0.98)
  # profiles as the bulk's platform sees them
  planted <- tumour$profiles[, 4] * exp(tumour$platform)
  kept <- rownames(program$programs)
  # the part that all samples share may be taken for a platform error
  expect_gt(cor(log(program$programs[, 1] + 1e-5), log(planted[kept] + 1e-5)), 0.8)
  expect_gt(program$novelty[[1]], 0.35)
  expect_equal(unname(colSums(program$programs)), 1, tolerance = 1e-12)
  # genes that the type has and the others lack
  others <- tumour$profiles[, 1:3] %*% program$mixture[, 1]
  fold <- drop(log2(tumour$profiles[, 4] / others))
  found <- program$genes$log2_fold[match(names(fold), program$genes$gene)]
  expect_gt(cor(found, fold, use = "complete.obs"), 0.75)
  up <- as.data.frame(program, fdr = 0.05)
  up <- up$gene[up$statistic > 0]
  expect_gt(length(up), 20)
  expect_gt(mean(fold[up] > 0), 0.9)
  expect_gt(mean(program$consistency$agreement), 0.8)
})

test_that("the objective falls in every iteration, and below that without a program", {
  expect_true(all(diff(program$trace) <= 0))
  expect_lt(program$convergence$objective, program$convergence$null_objective)
  expect_identical(program$convergence$reason, "converged")
  expect_length(program$convergence$starts[[1]], 4)
})

test_that("the optimum is stationary in exposures and loadings", {
  # with sources and factors given, the exposures are a deconvolution of their own
  genes <- rownames(program$programs)
  sources <- cbind(result$model$sources[genes, ] * program$factors, program$programs)
  mean <- tumour$gene_lengths[genes] / 500 * (sources %*% rbind(program$exposures,
                                                                program$loadings))
  counts <- tumour$bulk_counts[genes, ]
  # total counts of every sample are met up to the weights of genes
  expect_equal(colSums(mean) / colSums(counts), rep(1, 12), tolerance = 0.02, ignore_attr = TRUE)
})

test_that("a gene that is off in all samples is no program", {
  off <- tumour$bulk_counts
  genes <- c(5, 50, 150, 250, 350)
  off[genes, ] <- 6L * off[genes, ]
  other <- extract(tumour_fit(off))
  expect_gt(cor(other$shares[1, ], truth), 0.97)
  names <- intersect(rownames(off)[genes], rownames(other$programs))
  expect_gt(median(other$factors[names] / program$factors[names]), 3)
  before <- program$genes[match(names, program$genes$gene), ]
  after <- other$genes[match(names, other$genes$gene), ]
  # 6-fold would be 2.6
  expect_lt(median(abs(after$log2_fold - before$log2_fold)), 0.7)
})

test_that("p-values are not too small where there is no program", {
  p <- unlist(lapply(1:4, function(seed) {
    sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = if (seed %% 2) 6 else 14,
                         donor_sd = 0.15, platform_sd = 0.4, seed = 100 + seed)
    signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
    fit <- suppressWarnings(deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths,
                                            protocol = "full_length", verbose = FALSE))
    found <- suppressWarnings(extract(fit))
    # nothing but errors of signatures
    expect_lt(found$novelty[[1]], 0.3)
    expect_lt(sum(found$genes$fdr <= 0.05), 10)
    found$genes$p_value
  }))
  # 2000 tests that are nearly independent: 0.05 with a standard error of 0.005
  expect_lt(mean(p < 0.05), 0.07)
  expect_lt(mean(p < 0.01), 0.02)
})

test_that("the seed alone decides, and threads do not", {
  expect_identical(extract(result, threads = 1, test = FALSE)$loadings, program$loadings)
  withr::with_seed(1, {
    before <- .Random.seed
    extract(result, test = FALSE)
    expect_identical(.Random.seed, before)
  })
})

test_that("two programs, chosen genes and values per million work", {
  two <- extract(result, n_programs = 2, n_starts = 2)
  expect_identical(dim(two$loadings), c(2L, 12L))
  expect_identical(sort(unique(two$genes$program)), c("Program 1", "Program 2"))
  expect_lt(two$convergence$objective, program$convergence$objective)
  expect_true(all(colSums(two$shares) <= 1))
  chosen <- rownames(tumour$bulk_counts)[1:200]
  few <- extract(result, genes = chosen, test = FALSE)
  expect_true(all(rownames(few$programs) %in% chosen))
  expect_gt(cor(few$shares[1, ], truth), 0.9)
  scaled <- 1e6 * sweep(tumour$bulk_counts, 2, colSums(tumour$bulk_counts), "/")
  expect_gt(cor(extract(tumour_fit(scaled), test = FALSE)$shares[1, ], truth), 0.97)
  poisson <- extract(tumour_fit(error_model = "poisson"), test = FALSE)
  expect_gt(cor(poisson$shares[1, ], truth), 0.95)
})

test_that("methods agree with the parts", {
  table <- as.data.frame(program)
  expect_identical(table, program$genes)
  expect_true(all(diff(table$statistic) <= 0))
  expect_equal(table$fdr, p.adjust(table$p_value, "BH"))
  tidied <- tidy(program)
  expect_identical(tidied$estimate, table$log2_fold)
  overview <- summary(program)
  expect_equal(overview$share, stats::median(program$shares[1, ]))
  expect_identical(overview$genes_up, sum(table$fdr <= 0.05 & table$statistic > 0) + 0)
  expect_output(print(program), "1 expression program beside 3 cell types")
  untested <- program
  untested$genes <- NULL
  expect_identical(summary(untested)$genes_up, NA_real_)
  expect_output(print(untested), "unlike any mixture")
  for (type in c("genes", "volcano", "loadings", "consistency")) {
    expect_s3_class(plot_program(program, type), "ggplot")
  }
  drawn <- plot_program(program, "genes", n = 7)$data
  expect_identical(as.character(drawn$gene), table$gene[1:7])
})

test_that("what can't be is refused in the user's words", {
  expect_refusal(extract_program(tumour$bulk_counts), "argument")
  expect_refusal(extract(tumour_fit(keep_counts = FALSE)), "no_counts")
  expect_snapshot(error = TRUE, {
    extract(result[1:5])
    extract(result, genes = "nobody")
    extract(result, min_count = 1e9)
    as.data.frame(extract(result, test = FALSE))
    plot_program(program, program = 2)
  })
})

test_that("one type is enough", {
  sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 12, missing_type = 2:3, seed = 5)
  signatures <- suppressWarnings(build_signatures(sim$reference, sim$cells$cell_type))
  alone <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
  program <- extract_program(alone, seed = 1, verbose = FALSE)
  expect_identical(dim(program$mixture), c(1L, 1L))
})
