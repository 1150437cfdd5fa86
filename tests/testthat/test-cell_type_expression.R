result <- fit_small()
quiet <- function(..., verbose = FALSE) cell_type_expression(..., verbose = verbose)

# A cohort with every type known: in half the samples a tenth of the genes of the
# first type are up `fold`, the others as they were.
plant <- function(fold) {
  sim <- simulate_bulk(n_genes = 600, n_types = 4, n_samples = 1, n_donors = 4,
                       cells_per_type = 30, donor_sd = 0.1, platform_sd = 0.4, seed = 11)
  n <- 20L
  withr::with_seed(11, {
    shares <- matrix(rgamma(4 * n, 2), 4)
    shares <- shares / rep(colSums(shares), each = 4)
    target <- sample(600, 60)
    level <- array(sim$profiles, c(600, 4, n)) * exp(0.1 * rnorm(600 * 4 * n))
    level[target, 1, 1:(n / 2)] <- fold * level[target, 1, 1:(n / 2)]
    reads <- level * rep(shares, each = 600) * sim$gene_lengths * exp(sim$platform)
    bulk <- apply(reads, c(1, 3), sum)
    bulk <- matrix(rpois(length(bulk), 2e6 * bulk / rep(colSums(bulk), each = 600)), 600,
                   dimnames = list(names(sim$gene_lengths), paste0("S", 1:n)))
  })
  signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  fit <- suppressWarnings(deconvolve_bulk(signatures, bulk, sim$gene_lengths, verbose = FALSE,
                                          protocol = "full_length"))
  list(fit = fit, level = level, target = target, signatures = signatures, bulk = bulk,
       lengths = sim$gene_lengths)
}
planted <- plant(4)
row_cor <- function(x, y) diag(cor(t(x), t(y)))

test_that("an allocation gives the counts back, background included", {
  sources <- rownames(result$exposures)
  expect_true("Intercept" %in% sources)
  allocated <- quiet(result, type = sources, method = "allocation")
  total <- apply(as.array(allocated), c(1, 3), sum)
  expect_equal(total, small$bulk_counts, tolerance = 1e-14, ignore_attr = TRUE)
  # the reads of a source are what it explains
  found <- colSums(quiet(result, "Type B", method = "allocation")$expression)
  share <- fitted(result)
  share <- small$bulk_counts * outer(
    result$model$sources[, "Type B"] * result$model$length_factor, result$exposures["Type B", ]
  ) / share
  expect_equal(found, colSums(share), tolerance = 1e-12)
  platform <- fit_small(error_model = "platform")
  allocated <- as.array(quiet(platform, method = "allocation"))
  expect_equal(apply(allocated, c(1, 3), sum), small$bulk_counts, tolerance = 1e-14,
               ignore_attr = TRUE)
})

test_that("the prediction is that of the mixed model, computed the long way", {
  found <- quiet(result, exposure_error = FALSE)
  model <- found$model
  values <- as.array(found)
  reliability <- as.array(found, "reliability")
  exposures <- result$exposures * rep(model$sizes, each = nrow(result$exposures))
  for (g in c(7, 100, 333)) {
    scale <- result$model$length_factor[g] * exp(model$log_factor[g])
    profile <- scale * result$model$sources[g, ]
    between <- scale^2 * model$between[g, ]
    mean_error <- scale^2 * (model$counting[g, ] + model$between[g, ] / model$donors)
    design <- t(exposures)
    noise <- model$noise * drop(design %*% profile)
    total <- noise + drop(design^2 %*% between)
    # x and k are jointly normal
    prior <- model$tau2 * tcrossprod(profile) + diag(mean_error)
    marginal <- design %*% prior %*% t(design) + diag(total)
    gap <- small$bulk_counts[g, ] - drop(design %*% profile) * (1 - model$log_factor[g])
    x <- profile * (1 - model$log_factor[g]) + drop(prior %*% t(design) %*% solve(marginal, gap))
    residual <- small$bulk_counts[g, ] - drop(design %*% x)
    for (type in 1:4) {
      v <- design[, type]^2 * between[type]
      expected <- design[, type] * x[type] + v / total * residual
      expect_equal(values[g, type, ], pmax(expected, 0), tolerance = 1e-6, ignore_attr = TRUE)
      # the variance of a predictor of d: cov(d, k) marginal^-1 cov(k, d)
      own <- diag(design[, type] * between[type])
      explained <- diag(own %*% solve(marginal, own)) / between[type]
      expect_equal(reliability[g, type, ], explained, tolerance = 1e-6, ignore_attr = TRUE)
    }
  }
})

test_that("variances are those of the joint law, exposures included", {
  known <- quiet(result, "Type A", exposure_error = FALSE)$variance
  both <- quiet(result, "Type A")$variance
  expect_true(all(both >= known))
  expect_gt(mean(both > known * 1.01), 0.5)
  x <- quiet(result, "Type A")
  expect_equal(x$std_error^2, x$variance, tolerance = 1e-12)
})

test_that("a variance that the reference does not show is learnt, and the shift found", {
  type <- "Type A"
  of <- list(
    allocation = quiet(planted$fit, type, method = "allocation", units = "cpm"),
    reference = quiet(planted$fit, type, variance = "reference", units = "cpm"),
    cohort = quiet(planted$fit, type, units = "cpm")
  )
  truth <- planted$level[planted$target, 1, ]
  r <- vapply(of, function(x) mean(row_cor(x$expression[planted$target, ], truth)), 0)
  expect_gt(r[["cohort"]], r[["allocation"]] + 0.03)
  expect_gt(r[["cohort"]], r[["reference"]] + 0.03)
  variation <- of$cohort$model$between[, type] / of$reference$model$between[, type]
  expect_gt(median(variation[planted$target]), 2 * median(variation[-planted$target]))
  expect_gt(of$cohort$model$factors[[type]], max(of$cohort$model$factors[-1]))
})

test_that("reliability is the squared correlation that is found", {
  # donors differ as those of the reference do; a shift would move exposures too,
  # which reliability takes as known
  alike <- plant(1)
  found <- quiet(alike$fit, units = "cpm")
  relative <- function(x) {
    mean <- as.vector(apply(x, 1:2, mean, na.rm = TRUE))
    (x - mean) / mean
  }
  # samples in which the fit finds the type, genes that it finds expressed
  values <- as.array(found)
  level <- as.vector(apply(values, 1:2, mean, na.rm = TRUE))
  seen <- is.finite(values) & level > 1
  predicted <- relative(values)[seen]
  true <- relative(alike$level)[seen]
  stated <- as.array(found, "reliability")[seen]
  # lognormal donors, variances from four of them: within a factor of 1.5
  for (bin in list(c(0.05, 0.2), c(0.2, 0.5), c(0.5, 0.8), c(0.8, 1))) {
    inside <- stated >= bin[1] & stated < bin[2]
    ratio <- cor(predicted[inside], true[inside])^2 / mean(stated[inside])
    expect_gt(ratio, 0.66)
    expect_lt(ratio, 1.5)
  }
  # genes that say nothing are called so
  nothing <- stated < 0.05
  expect_lt(cor(predicted[nothing], true[nothing])^2, 0.05)
})

test_that("a factor of a gene in all samples is no deviation of a type", {
  off <- planted$bulk
  off[1:50, ] <- 5L * off[1:50, ]
  fit <- suppressWarnings(deconvolve_bulk(planted$signatures, off, planted$lengths,
                                          verbose = FALSE, protocol = "full_length"))
  found <- quiet(fit, units = "cpm")
  expect_gt(median(found$model$log_factor[1:50]) - median(found$model$log_factor[-(1:50)]),
            log(5) - 0.6)
  deviation <- function(x, genes) {
    values <- as.array(x)[genes, , ]
    found <- apply(values, 1:2, sd, na.rm = TRUE) / apply(values, 1:2, mean, na.rm = TRUE)
    median(found)
  }
  genes <- setdiff(1:50, planted$target)
  expect_lt(deviation(found, genes), 1.5 * deviation(quiet(planted$fit, units = "cpm"), genes))
})

test_that("blocks agree with the whole, threads to the bit", {
  whole <- quiet(planted$fit)
  part <- whole[c(3, 500, 77), c("Type C", "Type A"), c(20, 2)]
  expect_identical(dim(part), c(3L, 2L, 2L))
  for (what in c("expression", "variance", "reliability")) {
    expect_identical(as.array(part, what),
                     as.array(whole, what)[c(3, 500, 77), c("Type C", "Type A"), c(20, 2)])
  }
  expect_identical(quiet(planted$fit, threads = 1)$expression, whole$expression)
  one <- quiet(planted$fit, "Type B", sample = "S3")
  expect_identical(one$expression[, 1], whole$expression[, "Type B", "S3"])
  expect_identical(dim(one$expression), c(600L, 1L))
  table <- as.data.frame(part)
  expect_identical(nrow(table), 12L)
  at <- table[table$gene == table$gene[2] & table$type == "Type A" & table$sample == "S2", ]
  expect_identical(at$expression, part$expression[2, "Type A", "S2"])
  by_gene <- expression_reliability(whole)
  expect_identical(dim(by_gene), c(600L, 4L))
  expect_true(all(by_gene >= 0 & by_gene <= 1))
})

test_that("one sample, one donor and a plain matrix of profiles are possible", {
  one <- result["Sample1"]
  expect_message(found <- cell_type_expression(one), "at least 4")
  expect_identical(dim(found), c(400L, 4L, 1L))
  expect_true(all(found$expression >= 0) && all(is.finite(found$variance)))
  # what one sample shows may be the error between platforms
  expect_lt(mean(expression_reliability(found)),
            mean(expression_reliability(quiet(result, variance = "reference"))))
  single <- suppressWarnings(build_signatures(small$reference, small$cells$cell_type,
                                              rep("donor", nrow(small$cells))))
  expect_message(cell_type_expression(fit_small(signatures = single)), "variation of 0.4")
  plain <- fit_small(signatures = small$profiles)
  expect_message(found <- cell_type_expression(plain, variance = "reference"), "does not tell")
  squared <- found$model$between[, 1] / small$profiles[, 1]^2
  expect_equal(stats::median(squared), 0.16, tolerance = 0.01)
})

test_that("a type that is absent has no counts and no profile", {
  absent <- result
  exposures <- absent$exposures
  exposures["Type A", "Sample2"] <- 0
  exposures[, "Sample3"] <- 0
  absent <- unclass(absent)
  absent$exposures <- exposures
  absent <- structure(absent, class = "deconvolution")
  found <- quiet(absent, exposure_error = FALSE)
  expect_true(all(found$expression[, "Type A", "Sample2"] == 0))
  expect_true(all(found$reliability[, "Type A", "Sample2"] == 0))
  expect_true(all(found$expression[, , "Sample3"] == 0))
  expect_true(all(is.finite(found$expression)))
  found <- quiet(absent, exposure_error = FALSE, units = "cpm")
  profile <- found$expression
  # what can't be known is what a sample would have that hardly has the type
  expect_true(all(is.finite(profile)))
  prior <- found$prior
  expect_identical(which(prior), which(exposures[1:4, ] == 0))
  expect_false(any(quiet(absent, exposure_error = FALSE)$prior))
  trace <- unclass(found)
  trace$cohort$exposures["Type A", "Sample2"] <- 1e-7 * max(exposures["Type A", ])
  trace <- structure(trace, class = "cell_type_expression")
  expect_false(trace$prior["Type A", "Sample2"])
  for (what in c("expression", "std_error")) {
    near <- as.array(trace, what)[, "Type A", "Sample2"]
    expect_equal(as.array(found, what)[, "Type A", "Sample2"], near, tolerance = 1e-5)
  }
  expect_true(all(as.array(found, "reliability")[, , "Sample3"] == 0))
  # all samples without the type have the same
  expect_identical(profile[, "Type A", "Sample2"], profile[, "Type A", "Sample3"])
  table <- as.data.frame(found)
  expect_identical(sum(table$prior), sum(prior) * 400L)
  expect_output(print(found), "mean of the type: 5 of 20")
  expect_message(cell_type_expression(absent, exposure_error = FALSE, units = "cpm"), "5 pairs")
  allocated <- quiet(absent, method = "allocation", units = "cpm")
  expect_equal(allocated$expression[, "Type A", "Sample2"], 1e6 * absent$model$sources[, "Type A"])
  expect_true(all(is.na(allocated$std_error[, "Type A", "Sample2"])))
  allocated <- quiet(absent, method = "allocation")$expression
  counted <- small$bulk_counts[, "Sample3"] > 0
  # counts that no active source can have made are not allocated
  expect_true(all(is.nan(allocated[counted, , "Sample3"])))
})

test_that("values per million and penalised fits work", {
  per_million <- 1e6 * sweep(small$bulk_counts, 2, colSums(small$bulk_counts), "/")
  fit <- fit_small(bulk = per_million)
  expect_identical(fit$genes$unit, "per million")
  found <- quiet(fit)
  expect_equal(mean(expression_reliability(found)), mean(expression_reliability(quiet(result))),
               tolerance = 0.1)
  expect_message(cell_type_expression(fit_small(l2_lambda = 0.1)), "penalised")
})

test_that("a SummarizedExperiment has an assay per type", {
  skip_if_not_installed("SummarizedExperiment")
  found <- quiet(result)
  se <- as_summarized_experiment(found)
  expect_identical(SummarizedExperiment::assayNames(se), paste("Type", LETTERS[1:4]))
  expect_identical(SummarizedExperiment::assay(se, "Type C"), found[, "Type C", ]$expression)
  expect_equal(se[["Type B"]], unname(result$proportions["Type B", ]))
  rows <- SummarizedExperiment::rowData(se)
  expect_equal(rows[["reliability Type A"]], unname(expression_reliability(found)[, "Type A"]))
})

test_that("what can't be is refused in the user's words", {
  expect_refusal(cell_type_expression(fit_small(keep_counts = FALSE)), "no_counts")
  expect_refusal(cell_type_expression(small$bulk_counts), "argument")
  expect_snapshot(error = TRUE, {
    cell_type_expression(result, "nobody")
    cell_type_expression(result, sample = "nobody")
    quiet(result, method = "allocation")$reliability
    quiet(result)[, "nobody", ]
    expression_reliability(1)
  })
  expect_snapshot(print(quiet(result, method = "allocation")))
})

test_that("the plot shows every type", {
  plot <- plot_expression_reliability(quiet(planted$fit))
  expect_s3_class(plot, "ggplot")
  shares <- tapply(plot$data$share, plot$data$type, sum)
  expect_equal(as.vector(shares), rep(1, 4))
  expect_refusal(plot_expression_reliability(quiet(result), min_cpm = 1e9), "argument")
})
