result <- fit_small()

test_that("shares sum to one and fit together", {
  expect_equal(unname(colSums(result$proportions)), rep(1, 5))
  expect_equal(unname(colSums(result$proportions_with_intercept)), rep(1, 5))
  expect_equal(result$intercept_fraction, result$proportions_with_intercept["Intercept", ])
  expect_true(all(result$exposures >= 0))
})

test_that("fitted counts are the model's means", {
  a <- result$model$sources * result$model$length_factor
  expect_equal(fitted(result), a %*% result$exposures, tolerance = 1e-12)
  expect_identical(result$pred_counts, fitted(result))
  expect_identical(result[["pred_counts"]], fitted(result))
  expect_identical(fitted(result, 2), fitted(result)[, 2, drop = FALSE])
  # at the optimum the fitted total equals the observed one
  expect_equal(colSums(fitted(result)), colSums(small$bulk_counts), tolerance = 1e-10)
})

test_that("residuals agree with their definitions and with the deviance", {
  mean <- fitted(result)
  expect_equal(residuals(result), small$bulk_counts - mean)
  expect_equal(residuals(result, "pearson"), (small$bulk_counts - mean) / sqrt(mean))
  expect_equal(unname(colSums(residuals(result, "deviance")^2)), result$convergence$deviance,
               tolerance = 1e-10)
  expect_identical(residuals(result, samples = "Sample2"),
                   residuals(result)[, "Sample2", drop = FALSE])
})

test_that("metrics agree with their definitions", {
  observed <- small$bulk_counts
  mean <- fitted(result)
  metrics <- result$metrics
  expect_equal(metrics$global_correlation, cor(c(observed), c(mean)))
  expect_equal(metrics$gene_correlation, diag(cor(observed, mean)))
  expect_equal(unname(metrics$rmse), unname(sqrt(colMeans((observed - mean)^2))))
  expect_equal(metrics$r_squared,
               1 - sum((observed - mean)^2) / sum((observed - mean(observed))^2))
  expect_equal(metrics$mape, 100 * mean(abs(observed - mean) / (observed + 1)))
  across <- vapply(seq_len(400), function(g) {
    suppressWarnings(cor(observed[g, ], mean[g, ]))
  }, 0)
  expect_equal(metrics$mean_sample_correlation, mean(across, na.rm = TRUE))
  null <- result$model$length_factor
  null <- outer(null / sum(null), colSums(observed))
  terms <- function(mu) 2 * sum(ifelse(observed > 0, observed * log(observed / mu), 0))
  expect_equal(sum(result$convergence$null_deviance), terms(null), tolerance = 1e-10)
  expect_equal(metrics$pseudo_r2, 1 - sum(result$convergence$deviance) / terms(null))
})

test_that("metrics exist for one sample", {
  one <- fit_small(bulk = small$bulk_counts[, 1, drop = FALSE])
  expect_equal(one$metrics$gene_correlation, result$metrics$gene_correlation[1])
  expect_true(is.finite(one$metrics$global_correlation))
})

test_that("a subset of samples is the same result for these samples", {
  part <- result[c("Sample4", "Sample1")]
  expect_identical(part$proportions, result$proportions[, c(4, 1)])
  expect_identical(part$convergence$sample, c("Sample4", "Sample1"))
  expect_identical(fitted(part), fitted(result)[, c(4, 1)])
  expect_equal(confint(part), confint(result, samples = c(4, 1)))
  expect_refusal(result["nobody"], "argument")
  expect_refusal(result[9], "argument")
})

test_that("prediction repeats the fit on new samples", {
  expect_equal(predict(result, small$bulk_counts[400:1, 2:3]), result$proportions[, 2:3],
               tolerance = 1e-9)
  expect_equal(predict(result, small$bulk_counts[, 1], type = "counts"),
               `colnames<-`(fitted(result)[, 1, drop = FALSE], "Sample 1"), tolerance = 1e-8)
  expect_identical(predict(result), result$proportions)
  expect_refusal(predict(result, small$bulk_counts[-1, ]), "gene_names")
})

test_that("new counts are found in the model by one rule, for every verb", {
  # rows that the signatures do not have, and another order
  other <- matrix(7L, 10, 5, dimnames = list(paste0("other", 1:10), NULL))
  counts <- rbind(other, small$bulk_counts[400:1, ])
  mixed <- fit_small(bulk = counts)
  bare <- unname(counts)
  colnames(bare) <- colnames(counts)
  expect_equal(mixed$proportions, result$proportions, tolerance = 1e-6)
  # by name in any order, else by the rows of the counts of the fit
  for (given in list(bare, counts, counts[c(3:410, 1:2), ])) {
    expect_equal(predict(mixed, given), mixed$proportions, tolerance = 1e-6)
    own <- unalloy:::with_counts(fit_small(bulk = counts, keep_counts = FALSE), given)
    expect_identical(unalloy:::observed_counts(own), unalloy:::observed_counts(mixed))
  }
  # not by the rows of the matched genes, which are others
  expect_refusal(predict(mixed, bare[-(1:10), ]), "gene_names")
  expect_snapshot(error = TRUE, {
    predict(mixed, bare[-(1:10), ])
    predict(mixed, counts[-c(11, 400), ])
    diagnose(mixed, counts[-c(11, 400), ])
    plot_fit(mixed, bare[-1, ])
    plot_fit(mixed, counts[, -2])
  })
  # predictions need the genes that carry weight; residuals are taken of all
  weights <- stats::setNames(rep(c(0, 1), c(5, 395)), rownames(small$bulk_counts))
  weighted <- fit_small(gene_weights = weights)
  expect_equal(predict(weighted, small$bulk_counts[-(1:5), ]), weighted$proportions,
               tolerance = 1e-6)
  expect_refusal(diagnose(weighted, small$bulk_counts[-(1:5), ]), "gene_names")
})

test_that("the likelihood is that of Poisson counts", {
  by_hand <- sum(stats::dpois(small$bulk_counts, fitted(result), log = TRUE))
  expect_equal(as.numeric(logLik(result)), by_hand, tolerance = 1e-10)
  expect_identical(nobs(result), 2000)
  expect_identical(attr(logLik(result), "df"), sum(result$exposures > 0))
})

test_that("tables hold what the matrices hold", {
  table <- as.data.frame(result)
  expect_identical(nrow(table), 20L)
  row <- table[table$sample == "Sample3" & table$type == "Type B", ]
  expect_identical(row$proportion, result$proportions["Type B", "Sample3"])
  expect_identical(tidy(result)$estimate, table$proportion)
  expect_named(tidy(result, conf.int = TRUE),
               c("sample", "type", "estimate", "std.error", "conf.low", "conf.high"))
  expect_identical(glance(result)$n.genes, 400)
  long <- augment(result, samples = 2)
  expect_equal(long$.resid, unname(residuals(result, "pearson")[, 2]))
})

test_that("results without counts say what needs them", {
  bare <- fit_small(keep_counts = FALSE)
  expect_identical(fitted(bare), fitted(result))
  expect_refusal(residuals(bare), "no_counts")
  expect_refusal(confint(bare), "no_counts")
  expect_snapshot(error = TRUE, logLik(bare))
})

test_that("proportions go into the column data of an experiment", {
  skip_if_not_installed("SummarizedExperiment")
  se <- SummarizedExperiment::SummarizedExperiment(list(counts = small$bulk_counts))
  added <- SummarizedExperiment::colData(add_to(se[, 3:1], result, prefix = "p_"))
  expect_identical(added[["p_Type C"]], unname(result$proportions["Type C", 3:1]))
  expect_refusal(add_to(1, result), "argument")
  expect_refusal(add_to(se, 1), "argument")
  expect_refusal(add_to(se, result, "cell_fractions"), "cell_size")
})

test_that("results print the same every time", {
  expect_snapshot({
    print(fit_small())
    print(fit_small(cell_size = "reference")["Sample2"])
    summary(fit_small())
  }, transform = function(lines) gsub("[0-9.]+e-[0-9]+", "<gap>", lines))
})

test_that("shares go into data frames and Seurat objects", {
  samples <- data.frame(sample = rev(colnames(small$bulk_counts)), batch = 1)
  added <- add_to(samples, result, prefix = "p_")
  expect_identical(added[["p_Type A"]], unname(rev(result$proportions["Type A", ])))
  expect_identical(add_to(data.frame(row.names = c("Sample2", "none")), result)[["Type B"]],
                   c(result$proportions[["Type B", "Sample2"]], NA))
  expect_snapshot(error = TRUE, {
    add_to(data.frame(a = 1), result)
    add_to(samples, result, name = "shares")
    add_to(1, result)
  })
  skip_if_not_installed("SeuratObject")
  object <- SeuratObject::CreateSeuratObject(as(small$bulk_counts, "dgCMatrix"))
  object <- add_to(object, result)
  expect_identical(object[["Type A"]][[1]], unname(result$proportions["Type A", ]))
})

test_that("shares of molecules and of columns as given are told apart", {
  given <- c(2, 1, 5)
  profiles <- small$profiles[, 1:3] %*% diag(given)
  colnames(profiles) <- c("A", "B", "C")
  mixed <- matrix(c(0.2, 0.5, 0.3, 0.6, 0.3, 0.1), 3)
  bulk <- 1e6 * profiles %*% mixed
  fit <- deconvolve_bulk(profiles, bulk, error_model = "poisson", gene_weights = "none",
                         intercept = FALSE, verbose = FALSE)
  # the bulk is made of columns, without noise
  expect_equal(unname(fit$column_shares), mixed, tolerance = 1e-6)
  expect_equal(unname(fit$proportions), normalise_columns(mixed * given), tolerance = 1e-6)
  expect_identical(coef(fit, "column_shares"), fit$column_shares)
  expect_identical(as.data.frame(fit, what = "column_shares")$proportion,
                   as.vector(fit$column_shares))
  expect_identical(fit[2]$column_shares, fit$column_shares[, 2, drop = FALSE])
  table <- confint(fit, what = "column_shares")
  expect_identical(table$estimate, as.vector(fit$column_shares))
  expect_true(all(table$lower <= table$estimate & table$estimate <= table$upper))
  # by the delta method from shares of molecules: q ~ p / totals
  p <- fit$proportions[, 1]
  q <- fit$column_shares[, 1]
  jacobian <- (diag(3) - q) %*% diag(1 / given) / sum(p / given)
  expect_equal(unname(vcov(fit, samples = 1, what = "column_shares")),
               unname(jacobian %*% vcov(fit, samples = 1) %*% t(jacobian)), tolerance = 1e-8)
  expect_message(deconvolve_bulk(profiles, bulk), "shares of molecules")
  expect_refusal(coef(fit_small(), "column_shares"), "argument")
  expect_refusal(confint(fit_small(), what = "column_shares"), "argument")
})

test_that("tables per million from which genes were left out are known for what they are", {
  per_million <- normalise_columns(small$bulk_counts) * 1e6
  for (total in c(0.8, 1, 1.04)) {
    expect_identical(fit_small(bulk = per_million * total)$genes$unit, "per million")
  }
  expect_identical(fit_small(bulk = per_million * 0.5)$genes$unit, "linear")
})
