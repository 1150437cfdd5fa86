test_that("the three methods find one optimum", {
  newton <- fit_small()
  expect_true(all(newton$convergence$converged))
  expect_lte(max(newton$convergence$gap), 1e-6)
  for (method in c("em", "gd")) {
    other <- fit_small(method = method, ll_tolerance = 1e-11)
    expect_true(all(other$convergence$converged))
    # 1e-11 of 1e6 reads leaves 1e-5 log-likelihood units: digits beyond 1e-4
    # of a share are not determined
    expect_equal(other$proportions, newton$proportions, tolerance = 1e-4)
  }
})

test_that("the optimum equals that of an independent optimiser", {
  result <- fit_small(signatures = small$profiles)
  a <- result$model$sources * result$model$length_factor
  k <- small$bulk_counts[, 2]
  objective <- function(log_e) {
    mu <- drop(a %*% exp(log_e))
    sum(mu - k * log(mu))
  }
  gradient <- function(log_e) {
    mu <- drop(a %*% exp(log_e))
    exp(log_e) * drop(crossprod(a, 1 - k / mu))
  }
  best <- stats::optim(rep(log(sum(k) / sum(a)), ncol(a)), objective, gradient, method = "BFGS",
                       control = list(maxit = 5000, reltol = 1e-15))
  # BFGS stops within 0.01 of the minimum, and never below it
  expect_equal(-result$convergence$loglik[2], best$value, tolerance = 1e-8)
  expect_gte(best$value, -result$convergence$loglik[2] - 1e-6)
  expect_equal(unname(result$exposures[, 2]), exp(best$par), tolerance = 1e-3)
})

test_that("Poisson regression with an identity link finds the same interior optimum", {
  result <- fit_small(signatures = small$profiles, intercept = FALSE)
  a <- small$profiles * result$model$length_factor
  k <- small$bulk_counts[, 1]
  start <- result$exposures[, 1]
  fit <- suppressWarnings(
    stats::glm(k ~ a - 1, family = stats::poisson(link = "identity"), start = start * 1.1)
  )
  expect_equal(unname(stats::coef(fit)), unname(result$exposures[, 1]), tolerance = 1e-6)
  expect_equal(stats::deviance(fit), result$convergence$deviance[1], tolerance = 1e-8)
  expect_equal(as.numeric(logLik(result[1])), as.numeric(logLik(fit)), tolerance = 1e-10)
  expect_equal(unname(sqrt(diag(vcov(result[1], what = "exposures", variance = "poisson")))),
               unname(sqrt(diag(vcov(fit)))), tolerance = 0.05)
})

test_that("planted mixtures are recovered", {
  sim <- simulate_bulk(n_genes = 3000, n_types = 5, n_samples = 8, donor_sd = 0, platform_sd = 0,
                       overdispersion = 0, depth = 5e6, seed = 3)
  result <- deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths,
                            protocol = "full_length", verbose = FALSE)
  # Nothing but Poisson noise: 5e6 reads fix a share to about 1e-3
  expect_lt(max(abs(result$proportions - sim$truth_mrna)), 0.005)
  expect_lt(max(result$intercept_fraction), 0.005)
})

test_that("the answer does not depend on threads, order of genes, or depth", {
  one <- fit_small(threads = 1L)
  two <- fit_small(threads = 2L)
  expect_identical(one$exposures, two$exposures)
  expect_identical(one$metrics, two$metrics)
  order <- sample(nrow(small$bulk_counts))
  shuffled <- fit_small(bulk = small$bulk_counts[order, ])
  expect_equal(shuffled$proportions, one$proportions, tolerance = 1e-9)
  deeper <- fit_small(bulk = small$bulk_counts * 8)
  expect_equal(deeper$proportions, one$proportions, tolerance = 1e-9)
  expect_equal(deeper$exposures, 8 * one$exposures, tolerance = 1e-9)
})

test_that("every form of counts gives the same answer", {
  counts <- small$bulk_counts
  expected <- fit_small()$exposures
  integer <- counts
  storage.mode(integer) <- "integer"
  expect_identical(fit_small(bulk = integer)$exposures, expected)
  expect_identical(fit_small(bulk = Matrix::Matrix(counts, sparse = TRUE))$exposures, expected)
  expect_identical(fit_small(bulk = methods::as(Matrix::Matrix(counts, sparse = TRUE),
                                                "TsparseMatrix"))$exposures, expected)
  expect_identical(fit_small(bulk = as.data.frame(counts))$exposures, expected)
  with_names <- data.frame(symbol = rownames(counts), counts, check.names = FALSE)
  rownames(with_names) <- NULL
  expect_identical(fit_small(bulk = with_names)$exposures, expected)
})

test_that("a SummarizedExperiment and counts on disk give the same answer", {
  skip_if_not_installed("SummarizedExperiment")
  skip_if_not_installed("HDF5Array")
  expected <- fit_small()$exposures
  se <- SummarizedExperiment::SummarizedExperiment(
    list(other = small$bulk_counts * 0, counts = small$bulk_counts)
  )
  expect_identical(fit_small(bulk = se)$exposures, expected)
  expect_refusal(fit_small(bulk = se, assay = "tpm"), "argument")
  expect_refusal(fit_small(bulk = se, assay = "other"), "empty_sample")
  on_disk <- methods::as(small$bulk_counts, "HDF5Array")
  result <- fit_small(bulk = on_disk)
  expect_identical(result$exposures, expected)
  expect_equal(confint(result), confint(fit_small()))
})

test_that("blocks of samples on disk join into one answer", {
  skip_if_not_installed("DelayedArray")
  sim <- simulate_bulk(n_genes = 150, n_types = 3, n_samples = 40, cells_per_type = 5, seed = 8)
  whole <- deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
  skip_if_not_installed("withr")
  withr::local_options(unalloy.block_size = 8 * 150 * 16)
  parts <- deconvolve_bulk(sim$profiles, DelayedArray::DelayedArray(sim$bulk_counts),
                           sim$gene_lengths, verbose = FALSE)
  expect_identical(parts$exposures, whole$exposures)
  expect_identical(parts$convergence, whole$convergence)
  expect_identical(parts$trace, whole$trace)
  expect_equal(parts$metrics, whole$metrics, tolerance = 1e-12)
  expect_equal(parts$length_profile, whole$length_profile)
})

test_that("genes are matched by name", {
  expected <- fit_small()$exposures
  counts <- small$bulk_counts
  genes <- rownames(counts)
  extra <- rbind(matrix(7, 3, ncol(counts), dimnames = list(paste0("other", 1:3), NULL)), counts)
  expect_equal(fit_small(bulk = extra)$exposures, expected, tolerance = 1e-12)

  halves <- rbind(floor(counts / 3), counts - floor(counts / 3))
  summed <- fit_small(bulk = halves)
  expect_equal(summed$exposures, expected, tolerance = 1e-12)
  expect_identical(summed$genes$bulk_summed, length(genes))

  ensembl <- sprintf("ENSG%011d", seq_along(genes))
  versioned <- counts
  rownames(versioned) <- paste0(ensembl, ".", seq_along(genes) %% 9 + 1)
  profiles <- as.matrix(small_signatures)
  rownames(profiles) <- ensembl
  lengths <- setNames(small$gene_lengths, ensembl)
  expect_equal(fit_small(bulk = versioned, signatures = profiles, lengths = lengths)$exposures,
               expected, tolerance = 1e-12)
})

test_that("lengths and weights come as vectors or tables, by name or by position", {
  weights <- setNames(seq(0, 1, length.out = 400), rownames(small$bulk_counts))
  expected <- fit_small(gene_weights = weights)$exposures
  expect_identical(fit_small(lengths = unname(small$gene_lengths),
                             gene_weights = unname(weights))$exposures, expected)
  shuffled <- sample(400)
  expect_identical(fit_small(lengths = small$gene_lengths[shuffled],
                             gene_weights = rev(weights))$exposures, expected)
  table <- data.frame(ens = paste0("E", 1:400), symbol = names(weights),
                      length = small$gene_lengths, weight = weights)[shuffled, ]
  expect_identical(fit_small(lengths = table)$exposures, expected)
  expect_identical(fit_small(gene_weights = table)$exposures, expected)
  part <- fit_small(lengths = small$gene_lengths[-(1:10)])
  expect_length(part$genes$dropped, 10)
  expect_identical(part$genes$matched, 390L)
})

test_that("weights of 0 leave genes out, and a constant weight changes nothing", {
  keep <- seq_len(400) %% 3 != 0
  weights <- setNames(as.numeric(keep), rownames(small$bulk_counts))
  dropped <- fit_small(gene_weights = weights, intercept = FALSE)
  # Signatures are normalised over all their genes before any are left out
  subset <- fit_small(signatures = small_signatures[keep, ], bulk = small$bulk_counts[keep, ],
                      intercept = FALSE)
  expect_equal(dropped$exposures, subset$exposures, tolerance = 1e-9)
  expect_identical(dropped$metrics$n_genes_used, 267)
  expect_identical(dropped$metrics$n_genes_excluded, 133)
  half <- fit_small(gene_weights = setNames(rep(0.5, 400), rownames(small$bulk_counts)))
  expect_equal(half$exposures, fit_small()$exposures, tolerance = 1e-9)
})

test_that("a background column takes what belongs to it and is no cell type", {
  ambient <- matrix(rev(small$profiles[, 1]), dimnames = list(rownames(small$profiles), "Ambient"))
  counts <- small$bulk_counts + round(1e5 * ambient[, 1])
  result <- fit_small(signatures = small$profiles, bulk = counts, background = ambient,
                      lengths = NULL, protocol = "umi")
  expect_identical(rownames(result$exposures), c(colnames(small$profiles), "Ambient", "Intercept"))
  expect_identical(rownames(result$proportions), colnames(small$profiles))
  expect_equal(unname(colSums(result$proportions)), rep(1, 5))
  without <- fit_small(signatures = small$profiles, lengths = NULL, protocol = "umi")
  expect_equal(unname(result$exposures["Ambient", ]), rep(1e5, 5), tolerance = 0.2)
})

test_that("the protocol is found from the counts", {
  umi <- simulate_bulk(n_genes = 400, n_types = 3, n_samples = 3, length_exponent = 0, seed = 2)
  full <- simulate_bulk(n_genes = 400, n_types = 3, n_samples = 3, length_exponent = 1, seed = 2)
  exponent <- function(sim) {
    result <- deconvolve_bulk(sim$profiles, sim$bulk_counts, sim$gene_lengths, verbose = FALSE)
    expect_identical(nrow(result$length_profile), 5L)
    result$model$length_exponent
  }
  expect_identical(exponent(umi), 0)
  expect_identical(exponent(full), 1)
  # which leaves nothing to find
  expect_warning(known <- fit_small(length_exponent = 0.3),
                 class = "unalloy_warning_unused_argument")
  expect_identical(known$model$length_exponent, 0.3)
})

test_that("a seed scatters the start and not the answer", {
  a <- fit_small(method = "em", seed = 1, ll_tolerance = 1e-12)
  b <- fit_small(method = "em", seed = 1, ll_tolerance = 1e-12)
  c <- fit_small(method = "em", seed = 2, ll_tolerance = 1e-12)
  expect_identical(a$exposures, b$exposures)
  expect_false(identical(a$trace, c$trace))
  expect_equal(a$proportions, c$proportions, tolerance = 1e-5)
})

test_that("R's random stream is left alone", {
  set.seed(1)
  before <- .Random.seed
  fit_small()
  expect_identical(.Random.seed, before)
})

test_that("the arguments of the solvers do what they say", {
  rough <- suppressWarnings(fit_small(method = "em", max_iter = 30L, poll_interval = 5L))
  expect_identical(max(rough$convergence$iterations), 30L)
  expect_setequal(unique(rough$trace$iteration), seq(5, 30, by = 5))
  tight <- fit_small(method = "gd", ll_tolerance = 1e-12)
  loose <- fit_small(method = "gd", ll_tolerance = 1e-4)
  expect_lt(max(tight$convergence$gap), max(loose$convergence$gap))
  expect_lt(max(loose$convergence$iterations), max(tight$convergence$iterations))
  slow <- suppressWarnings(fit_small(method = "gd", learning_rate = 0.05, max_iter = 400))
  expect_gt(max(slow$convergence$gap), max(fit_small(method = "gd")$convergence$gap))
  far <- fit_small(method = "gd", init_log_exp = -10)
  expect_equal(far$proportions, tight$proportions, tolerance = 1e-3)
  expect_equal(fit_small(insert_size = 250)$exposures * 2, fit_small()$exposures,
               tolerance = 1e-9)
})

test_that("penalties move mRNA to the intercept and types towards each other", {
  free <- fit_small()
  l1 <- fit_small(l1_lambda = 1)
  expect_true(all(l1$intercept_fraction > free$intercept_fraction))
  l2 <- fit_small(l2_lambda = 10)
  expect_true(all(apply(l2$proportions, 2, var) < apply(free$proportions, 2, var)))
})

test_that("a fit that is cut short warns and says so", {
  expect_warning(result <- fit_small(method = "em", max_iter = 2),
                 class = "unalloy_warning_not_converged")
  expect_false(any(result$convergence$converged))
  expect_identical(unique(result$convergence$reason), "max_iter")
  expect_snapshot(invisible(fit_small(method = "em", max_iter = 2)))
})

test_that("one sample, one type, one gene per type work", {
  expect_equal(fit_small(bulk = small$bulk_counts[, 3, drop = FALSE])$proportions[, 1],
               fit_small()$proportions[, 3], tolerance = 1e-9)
  vector <- small$bulk_counts[, 1]
  expect_identical(colnames(fit_small(bulk = vector)$proportions), "Sample 1")
  one <- fit_small(signatures = small_signatures[, 1])
  expect_equal(unname(one$proportions), matrix(1, 1, 5))
  tiny <- deconvolve_bulk(diag(2), matrix(c(30, 70), 2), intercept = FALSE, verbose = FALSE)
  expect_equal(unname(tiny$proportions[, 1]), c(0.3, 0.7))
})

test_that("cell sizes turn shares of mRNA into shares of cells", {
  sizes <- setNames(c(1, 2, 4, 8), colnames(small_signatures$profiles))
  result <- fit_small(cell_size = rev(sizes))
  expected <- result$proportions / sizes
  expect_equal(result$cell_fractions, expected / rep(colSums(expected), each = 4))
  expect_null(fit_small(cell_size = "none")$cell_fractions)
  from_reference <- fit_small(cell_size = "reference")
  expect_equal(from_reference$cell_fractions,
               fit_small(cell_size = small_signatures$umi)$cell_fractions)
})

test_that("Ctrl-C ends a long fit at once and the session lives on", {
  skip_on_cran()
  skip_on_os("windows")
  skip_if(ignores_interrupts(), "the parent ignores SIGINT")
  sim <- simulate_bulk(n_genes = 4000, n_types = 30, n_samples = 64, cells_per_type = 1,
                       marker_fraction = 0, type_sd = 0.05, seed = 1)
  system(paste0("(sleep 1; kill -INT ", Sys.getpid(), ") &"))
  outcome <- tryCatch(
    deconvolve_bulk(sim$profiles, sim$bulk_counts, method = "em", max_iter = 2e4,
                    ll_tolerance = 1e-300, verbose = FALSE),
    interrupt = function(condition) "interrupted"
  )
  expect_identical(outcome, "interrupted")
  expect_s3_class(fit_small(), "deconvolution")
})

test_that("failures of the core are classed and keep their text", {
  failed <- function(given) list(failure = "shape", message = "5% of %s rows, 100%n")
  expect_error(call_rs(failed), "5% of %s rows, 100%n", fixed = TRUE,
               class = "unalloy_error_shape")
  problem <- list(values = matrix(1), gene_of_row = 0L, sources = matrix(-1), lengths = 1,
                  weights = 1, n_types = 1)
  expect_error(call_rs(rs_deconvolve_bulk, problem = problem, settings = list()),
               class = "unalloy_error_argument")
})

test_that("a sample without counts in the genes of the fit is named", {
  sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 40, cells_per_type = 1, seed = 3)
  bulk <- rbind(sim$bulk_counts, other = 5)
  bulk[-201, 37] <- 0
  fit <- function(bulk, ...) {
    deconvolve_bulk(sim$profiles, bulk, verbose = FALSE, ...)
  }
  for (model in c("poisson", "platform")) {
    expect_error(fit(bulk, error_model = model), "Sample37", class = "unalloy_error_empty_sample")
  }
  skip_if_not_installed("DelayedArray")
  skip_if_not_installed("withr")
  withr::local_options(unalloy.block_size = 8 * 201 * 16)
  expect_error(fit(DelayedArray::DelayedArray(bulk), error_model = "poisson"), "Sample37",
               class = "unalloy_error_empty_sample")
})

test_that("samples that only the background explains have NA and a warning", {
  profiles <- cbind(a = c(1, 1, 0, 0, 0, 0, 0, 0), b = c(0, 0, 1, 1, 0, 0, 0, 0))
  rownames(profiles) <- letters[1:8]
  bulk <- cbind(typed = c(9, 9, 1, 1, 0, 0, 0, 0), flat = c(0, 0, 0, 0, 5, 5, 5, 5))
  rownames(bulk) <- letters[1:8]
  expect_warning(result <- deconvolve_bulk(profiles, bulk, intercept = TRUE, verbose = FALSE),
                 "flat", class = "unalloy_warning_no_types")
  expect_identical(is.na(result$proportions["a", ]), c(typed = FALSE, flat = TRUE))
  expect_identical(result$intercept_fraction[["flat"]], 1)
  expect_true(anyNA(confint(result)$estimate))
  expect_output(print(result), "NA")
})

test_that("a penalty that leaves no type is named, not the genes", {
  expect_snapshot(strict <- fit_small(l1_lambda = 100))
  expect_true(all(is.na(strict$proportions)))
  expect_identical(unname(strict$intercept_fraction), rep(1, 5))
})

test_that("a start from the null model reaches the same optimum", {
  expect_equal(fit_small(method = "gd", init_log_exp = -10, ll_tolerance = 1e-12)$proportions,
               fit_small()$proportions, tolerance = 1e-5)
  expect_false(identical(fit_small(method = "gd", init_log_exp = -10)$trace,
                         fit_small(method = "gd")$trace))
  expect_refusal(fit_small(method = "gd", init_log_exp = 400), "argument")
})

test_that("data frames may have numeric gene identifiers", {
  counts <- small$bulk_counts
  rownames(counts) <- seq_len(400)
  profiles <- small$profiles
  rownames(profiles) <- seq_len(400)
  table <- data.frame(entrez_id = seq_len(400), counts, check.names = FALSE)[400:1, ]
  rownames(table) <- NULL
  lengths <- setNames(small$gene_lengths, seq_len(400))
  expect_equal(fit_small(signatures = profiles, bulk = table, lengths = lengths)$proportions,
               fit_small(signatures = small$profiles)$proportions, tolerance = 1e-9)
})

test_that("names of other packages are taken, and said", {
  fit <- function(...) {
    deconvolve_bulk(small_signatures, small$bulk_counts[, 1:2], error_model = "poisson",
                    length_exponent = 0, method = "em", verbose = FALSE, ...)
  }
  expect_snapshot(other <- fit(max_iterations = 500, tolerance = 1e-6, backend = "wgpu"))
  own <- fit(max_iter = 500, ll_tolerance = 1e-6)
  expect_identical(other$exposures, own$exposures)
  expect_identical(other$settings, own$settings)
  expect_snapshot(error = TRUE, fit(tolerances = 1e-6))
})
