result <- fit_small()
diagnosis <- diagnose(result, seed = 1)
platform <- fit_small(error_model = "platform")

# A cohort whose reference lacks a type, or does not.
cohort <- function(missing_type, seed, n_samples = 12, ...) {
  sim <- simulate_bulk(n_genes = 1000, n_types = 5, n_samples = n_samples, cells_per_type = 20,
                       missing_type = missing_type, platform_sd = 0.5, seed = seed)
  signatures <- suppressWarnings(build_signatures(sim$reference, sim$cells$cell_type))
  deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, verbose = FALSE,
                  protocol = "full_length", ...)
}

twins <- function(noise = 0.03) {
  profiles <- as.matrix(small_signatures)
  set.seed(1)
  cbind(profiles, Twin = profiles[, 2] * exp(rnorm(nrow(profiles), 0, noise)))
}

test_that("condition and inflation are those of the scaled design", {
  a <- result$model$sources * result$model$length_factor
  for (s in c(1, 4)) {
    x <- a / sqrt(fitted(result)[, s])
    x <- x / rep(sqrt(colSums(x^2)), each = nrow(x))
    singular <- svd(x)$d
    expect_equal(diagnosis$samples$condition[s], max(singular) / min(singular), tolerance = 1e-8)
  }
  inflation <- sapply(1:5, function(s) {
    x <- a / sqrt(fitted(result)[, s])
    gram <- crossprod(x)
    (diag(gram) * diag(solve(gram)))[1:4]
  })
  expect_equal(diagnosis$types$inflation, unname(apply(inflation, 1, median)), tolerance = 1e-8)
  expect_equal(diagnosis$types$inflation_max, unname(apply(inflation, 1, max)), tolerance = 1e-8)
})

test_that("correlations and errors are those of vcov()", {
  # of the fit itself: what types share with their genes is not the samples' own
  exposures <- vcov(result, what = "exposures", of = "differences")
  shares <- vcov(result, of = "differences")
  pair <- diagnosis$pairs[1, ]
  both <- result$proportions[pair$type_1, ] > 0 & result$proportions[pair$type_2, ] > 0
  correlation <- sapply(which(both), function(s) {
    stats::cov2cor(exposures[, , s])[pair$type_1, pair$type_2]
  })
  expect_equal(pair$correlation, median(correlation), tolerance = 1e-8)
  expect_identical(pair$both, sum(both))
  errors <- apply(shares, 3, function(v) sqrt(diag(v)))
  errors[result$proportions == 0] <- NA
  expect_equal(diagnosis$types$std_error, unname(apply(errors, 1, median, na.rm = TRUE)),
               tolerance = 1e-8)
})

test_that("dispersion is the mean squared Pearson residual", {
  pearson <- residuals(result, "pearson")
  freedom <- 400 - colSums(result$exposures > 0)
  expect_equal(diagnosis$samples$dispersion, unname(colSums(pearson^2) / freedom),
               tolerance = 1e-8)
  observed <- unalloy:::observed_counts(result)
  above <- colSums(pmax(observed - fitted(result), 0)) / colSums(observed)
  expect_equal(diagnosis$samples$excess, unname(above), tolerance = 1e-10)
  # at the optimum of the Poisson model with an intercept fitted and observed totals agree
  expect_equal(diagnosis$samples$excess, diagnosis$samples$deficit, tolerance = 1e-5)
})

test_that("diagnose() and vcov() speak of one dispersion", {
  # one sample with errors of its own, which discounted genes must not hide
  set.seed(1)
  bulk <- small$bulk_counts
  bulk[, 3] <- bulk[, 3] * exp(rnorm(nrow(bulk)))
  odd <- fit_small(bulk = bulk, error_model = "platform")
  dispersions <- lapply(list(result, odd), function(fit) {
    size <- function(variance) {
      found <- vcov(fit, what = "exposures", of = "differences", variance = variance)
      apply(found, 3, function(v) sum(diag(v)))
    }
    found <- diagnose(fit, programs = 0)$samples$dispersion
    expect_equal(found, unname(size("quasi") / size("poisson")), tolerance = 1e-12)
    found
  })
  expect_true(all(dispersions[[2]] >= 1))
  expect_gt(dispersions[[2]][3], 2)
})

test_that("influence is what refits without the gene say", {
  top <- as.data.frame(diagnosis, "influence", n = 1)
  for (i in c(1, 4)) {
    weights <- stats::setNames(rep(1, 400), rownames(small$bulk_counts))
    weights[top$gene[i]] <- 0
    without <- fit_small(gene_weights = weights)$proportions[as.character(top$type[i]), ]
    with <- result$proportions[as.character(top$type[i]), ]
    # one step of Newton's method for genes of high influence: right to a fifth
    expect_equal(top$influence[i], mean((with - without)[with > 0]), tolerance = 0.2)
  }
  expect_true(all((top$role == "drives") == (top$influence > 0)))
  expect_true(all(top$weight >= 0 & top$weight <= 1))
})

test_that("the platform model is diagnosed by its own objective", {
  found <- diagnose(platform, seed = 1)
  expect_identical(found$error_model, "platform")
  expect_true(all(is.na(found$samples$intercept)))
  expect_identical(dim(found$influence), c(400L, 4L))
  covariance <- vcov(platform, of = "differences")
  errors <- apply(covariance, 3, function(v) sqrt(diag(v)))
  errors[platform$proportions == 0] <- NA
  expect_equal(found$types$std_error, unname(apply(errors, 1, median, na.rm = TRUE)),
               tolerance = 1e-8)
})

test_that("genes that the fit leaves out have no influence, and residuals all the same", {
  sim <- simulate_bulk(n_genes = 900, n_types = 2, n_samples = 5, cells_per_type = 10, seed = 1)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type)
  fit <- deconvolve_bulk(signatures, sim$bulk_counts, verbose = FALSE)
  out <- fit$model$weights == 0
  expect_true(any(out))
  found <- diagnose(fit, seed = 1)
  expect_true(all(found$influence[out, ] == 0))
  expect_identical(rownames(found$program_genes), rownames(fit$model$sources))
})

test_that("twins are named", {
  expect_warning(fit <- fit_small(signatures = twins()), class = "unalloy_warning_identifiability")
  found <- diagnose(fit, programs = 0)
  expect_setequal(unlist(found$pairs[1, 1:2]), c("Type B", "Twin"))
  expect_lt(found$pairs$design_correlation[1], -0.99)
  expect_true(all(found$types$inflation[c(2, 5)] > 100))
  expect_true(all(found$types$inflation[c(1, 3, 4)] < 10))
  expect_match(found$findings$text[1], "\"Type B\" and \"Twin\" can hardly be told apart")
  # as merge_types() has it
  expect_identical(found$pairs$told_apart, seq_len(10) > 1)
  joined <- merge_types(fit)$joined
  expect_equal(joined$correlation, found$pairs$design_correlation[1])
  expect_equal(joined$split_error, found$pairs$split_error[1])
  # exact twins: no error, and no infinite nonsense elsewhere
  expect_warning(fit <- fit_small(signatures = twins(0)),
                 class = "unalloy_warning_identifiability")
  exact <- diagnose(fit, programs = 0)
  expect_identical(exact$types$inflation[c(2, 5)], c(Inf, Inf))
  expect_true(all(is.finite(exact$types$inflation[c(1, 3, 4)])))
  expect_output(print(exact), "can hardly be told apart")
})

test_that("a type that the reference lacks is suspected, by its own genes", {
  with <- lapply(1:3, function(seed) {
    diagnose(cohort(NULL, seed, error_model = "platform"), seed = seed)
  })
  expect_false(any(vapply(with, function(d) d$missing_type$suspected, NA)))
  for (model in c("platform", "poisson")) {
    found <- diagnose(cohort(2, 1, error_model = model), seed = 1)
    expect_true(found$missing_type$suspected)
    sim <- simulate_bulk(n_genes = 1000, n_types = 5, n_samples = 12, cells_per_type = 20,
                         missing_type = 2, platform_sd = 0.5, seed = 1)
    others <- rowMeans(sim$profiles[, -2])
    fold <- sim$profiles[, 2] / others
    genes <- found$missing_type$genes
    # all among the genes that the missing type expresses most, beside the others
    expect_true(all(fold[genes] > quantile(fold, 0.9)))
    # and in the samples that have most of it; log ratios bend, ranks do not
    activity <- found$program_samples[, found$missing_type$program]
    expect_gt(stats::cor(activity, sim$truth_mrna[2, names(activity)], method = "spearman"), 0.8)
  }
})

test_that("programs depend on the seed alone", {
  fit <- cohort(2, 3)
  one <- diagnose(fit, seed = 5, threads = 1)
  expect_identical(diagnose(fit, seed = 5, threads = 2), one)
  expect_false(identical(diagnose(fit, seed = 6)$programs$chance, one$programs$chance))
  set.seed(1)
  state <- .Random.seed
  diagnose(fit, seed = 5)
  expect_identical(.Random.seed, state)
  set.seed(1)
  drawn <- diagnose(fit)
  set.seed(1)
  expect_identical(diagnose(fit), drawn)
  expect_equal(sum(one$variance), 1)
  expect_true(all(diff(one$programs$share) <= 0))
})

test_that("one odd sample is named and is no missing type", {
  fit <- local({
    sim <- simulate_bulk(n_genes = 800, n_types = 4, n_samples = 10, cells_per_type = 20, seed = 2)
    set.seed(1)
    sim$bulk_counts[, 7] <- sim$bulk_counts[, 7] * exp(rnorm(800))
    deconvolve_bulk(build_signatures(sim$reference, sim$cells$cell_type), sim$bulk_counts,
                    sim$gene_lengths, protocol = "full_length", verbose = FALSE)
  })
  found <- diagnose(fit, seed = 1)
  odd <- found$findings[found$findings$topic == "Odd samples", ]
  expect_identical(odd$level, "worry")
  expect_match(odd$text, "Sample07")
  expect_false(found$missing_type$suspected)
})

test_that("one sample, one type, and a sample without types are diagnosed", {
  one <- diagnose(result[2], seed = 1)
  expect_identical(one$missing_type$suspected, NA)
  expect_null(one$programs)
  expect_identical(nrow(one$samples), 1L)
  expect_equal(one$samples, diagnosis$samples[2, ], ignore_attr = TRUE)
  expect_output(print(one), "4 at least")
  # what the genes do is told of one sample too: log ratios with 10 per million added
  floor <- max(1, 1e-5 * sum(small$bulk_counts[, 2]))
  ratio <- log2((unalloy:::observed_counts(result, 2) + floor) / (fitted(result, 2) + floor))[, 1]
  kept <- names(one$gene_errors)
  expect_equal(one$gene_errors, (ratio - median(ratio))[kept], tolerance = 1e-8)
  expect_identical(as.data.frame(one, "genes", n = 1)$gene,
                   names(sort(-one$gene_errors))[c(1, length(kept))])
  single <- diagnose(fit_small(signatures = small_signatures[, 1]), seed = 1)
  expect_identical(nrow(single$pairs), 0L)
  expect_output(print(single), "There is one type")
  expect_identical(nrow(glance(single)), 1L)
  expect_s3_class(plot_identifiability(single), "ggplot")
  # the background takes all
  foreign <- small$bulk_counts
  foreign[, 3] <- 0
  profiles <- rbind(as.matrix(small_signatures), extra = 0)
  bulk <- rbind(foreign, extra = 0)
  bulk["extra", 3] <- 1000
  expect_warning(
    none <- deconvolve_bulk(profiles, bulk, error_model = "poisson", verbose = FALSE),
    class = "unalloy_warning_no_types"
  )
  found <- diagnose(none, seed = 1)
  expect_true(all(is.finite(found$types$share)))
  expect_output(print(found), "Diagnosis of 5 samples")
})

test_that("penalised fits have no errors and no influence, and say so", {
  found <- diagnose(fit_small(l2_lambda = 0.1), seed = 1)
  expect_null(found$influence)
  expect_true(all(is.na(found$types$std_error)))
  expect_match(found$findings$text[found$findings$topic == "Single genes"], "penalty")
  expect_refusal(as.data.frame(found, "influence"), "penalised")
  expect_false("influence" %in% names(autoplot(found, "all")))
})

test_that("sparse, integer and blocks of samples on disk give the same", {
  sparse <- fit_small(bulk = Matrix::Matrix(small$bulk_counts, sparse = TRUE))
  expect_equal(diagnose(sparse, seed = 1), diagnosis, tolerance = 1e-10)
  whole <- small$bulk_counts
  storage.mode(whole) <- "integer"
  expect_equal(diagnose(fit_small(bulk = whole), seed = 1), diagnosis, tolerance = 1e-10)
  skip_if_not_installed("DelayedArray")
  withr::local_options(unalloy.block_size = 1)
  sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 20, cells_per_type = 10, seed = 2)
  fit <- function(bulk) {
    deconvolve_bulk(sim$profiles, bulk, sim$gene_lengths, protocol = "full_length",
                    error_model = "poisson", verbose = FALSE)
  }
  expect_equal(diagnose(fit(DelayedArray::DelayedArray(sim$bulk_counts)), seed = 1),
               diagnose(fit(sim$bulk_counts), seed = 1), tolerance = 1e-8)
})

test_that("bad input is refused", {
  expect_snapshot(error = TRUE, diagnose(list()))
  expect_snapshot(error = TRUE, diagnose(fit_small(keep_counts = FALSE)))
  expect_equal(diagnose(fit_small(keep_counts = FALSE), small$bulk_counts, seed = 1), diagnosis)
  tree <- list(One = c("Type A", "Type B"), Two = c("Type C", "Type D"))
  hierarchical <- deconvolve_hierarchical(small_signatures, small$bulk_counts, tree = tree,
                                          verbose = FALSE)
  expect_snapshot(error = TRUE, diagnose(hierarchical))
  expect_snapshot(error = TRUE, diagnose(result, programs = -1))
  expect_refusal(diagnose(result, draws = 0), "argument")
  expect_refusal(diagnose(result, threads = 0), "argument")
  expect_refusal(as.data.frame(diagnosis, "nothing"), "argument")
  expect_snapshot(error = TRUE, as.data.frame(diagnose(result, programs = 0), "programs"))
  expect_snapshot(error = TRUE, plot_residual_programs(diagnose(result[1:2], seed = 1)))
  expect_refusal(plot_dispersion(result), "argument")
  expect_refusal(plot_influence(diagnosis, types = "nobody"), "argument")
  expect_refusal(autoplot(diagnosis, "influence", bins = 3), "argument")
})

test_that("a diagnosis says what it found in words", {
  expect_snapshot(print(diagnose(cohort(2, 1, error_model = "poisson"), seed = 1), width = 80))
})

test_that("tables have the rows they promise", {
  expect_identical(nrow(as.data.frame(diagnosis, "pairs")), 6L)
  expect_identical(as.data.frame(diagnosis, what = "types"), tidy(diagnosis))
  top <- as.data.frame(diagnosis, "influence", n = 2)
  expect_true(all(table(top$type, top$role) <= 2))
  programs <- as.data.frame(diagnosis, "programs", n = 3)
  expect_identical(nrow(programs), 3L * nrow(diagnosis$programs))
})

test_that("every panel draws what the tables hold", {
  drawn <- autoplot(diagnosis, "all")
  expect_s3_class(drawn, "unalloy_plots")
  expect_named(drawn, c("identifiability", "dispersion", "influence", "residuals", "unexplained"))
  for (plot in drawn) expect_silent(ggplot2::ggplot_build(plot))
  tiles <- ggplot2::layer_data(drawn$identifiability)
  expect_identical(nrow(tiles), 6L)
  points <- ggplot2::layer_data(drawn$dispersion, 3)
  expect_equal(sort(10^points$y), sort(diagnosis$samples$dispersion))
  bars <- ggplot2::layer_data(drawn$influence)
  moved <- as.data.frame(diagnosis, "influence")$influence
  expect_equal(sort(bars$xmin + bars$xmax), sort(100 * moved))
  grouped <- plot_residual_programs(diagnosis, group = c("a", "b", "a", "b", "a"))
  expect_identical(levels(grouped$data$group), c("a", "b"))
  expect_s3_class(plot_unexplained(diagnosis, group = c("a", "b", "a", "b", "a")), "ggplot")
})

# Findings of a topic, as text.
said <- function(diagnosis, topic) {
  diagnosis$findings$text[diagnosis$findings$topic == topic]
}

test_that("samples of a type that the reference lacks are named", {
  sim <- simulate_bulk(n_genes = 1000, n_types = 4, n_samples = 8, platform_sd = 0.3, seed = 5)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type)
  counts <- sim$bulk_counts
  found <- function(counts) {
    fit <- deconvolve_bulk(signatures, counts, sim$gene_lengths, protocol = "full_length",
                           verbose = FALSE)
    diagnose(fit, seed = 1, draws = 2, verbose = FALSE)
  }
  expect_identical(said(found(counts), "Samples beyond the reference"), character())
  # another cell altogether: genes of its own, of which most are hardly in the reference
  rare <- order(rowSums(signatures$profiles))[1:100]
  set.seed(1)
  for (s in c(3, 7)) {
    counts[, s] <- stats::rpois(1000, 0.5)
    counts[rare, s] <- stats::rpois(100, 1e4 * stats::rexp(100))
  }
  text <- said(found(counts), "Samples beyond the reference")
  expect_match(text, "Sample3")
  expect_match(text, "Sample7")
  expect_no_match(text, "Sample[124568]")
})

test_that("stimulated references, and types with few cells, are told", {
  sim <- simulate_bulk(n_genes = 1000, n_types = 4, n_samples = 6, platform_sd = 0.2,
                       cells_per_type = 40, seed = 6)
  interferon <- STATE_GENES$interferon[1:20]
  reference <- sim$reference
  counts <- sim$bulk_counts
  measured <- order(-rowSums(sim$profiles))[seq(10, 390, 20)]
  rownames(reference)[measured] <- rownames(counts)[measured] <- interferon
  names(sim$gene_lengths) <- rownames(counts)
  found <- function(reference, counts, cells = TRUE) {
    signatures <- suppressWarnings(build_signatures(reference[, cells], sim$cells$cell_type[cells]))
    fit <- deconvolve_bulk(signatures, counts, sim$gene_lengths, protocol = "full_length",
                           verbose = FALSE)
    diagnose(fit, seed = 1, draws = 2, verbose = FALSE)
  }
  expect_identical(said(found(reference, counts), "State of the cells"), character())
  stimulated <- reference
  stimulated[measured, ] <- 4 * stimulated[measured, ]
  expect_match(said(found(stimulated, counts), "State of the cells"),
               "the response to interferon is [345].* in the reference \\(20 genes\\)")
  answered <- counts
  answered[measured, ] <- 4 * answered[measured, ]
  expect_match(said(found(reference, answered), "State of the cells"), "in the samples")
  expect_identical(said(found(reference, counts), "Types with few cells"), character())
  few <- !(sim$cells$cell_type == "Type B" & cumsum(sim$cells$cell_type == "Type B") > 8)
  expect_match(said(found(reference, counts, few), "Types with few cells"), "\"Type B\" \\(8\\)")
})

test_that("a diagnosis tells both errors of a share, and never that intervals hold all", {
  fit <- fit_small(error_model = "platform")
  found <- diagnose(fit, programs = 0, verbose = FALSE)
  full <- sapply(1:5, function(s) sqrt(diag(vcov(fit, samples = s))))
  expect_equal(found$types$full_error, unname(apply(full, 1, median)))
  expect_equal(found$types$std_error, unname(apply(
    sapply(1:5, function(s) sqrt(diag(vcov(fit, samples = s, of = "differences")))), 1, median
  )))
  expect_match(said(found, "Errors of whole types"), "which no residual shows")
  none <- diagnose(fit_small(type_error = 0), programs = 0, verbose = FALSE)
  expect_match(said(none, "Errors of whole types"), "leave out")
  expect_false(any(grepl("take it into account", c(found$findings$advice, none$findings$advice))))
})
