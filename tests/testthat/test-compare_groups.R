# A cohort of shares as a plain matrix, its samples, and no errors.
cohort <- with_seed_of(1, {
  n <- 24
  values <- matrix(rnorm(3 * n), 3, dimnames = list(c("B", "NK", "T"), paste0("S", seq_len(n))))
  patients <- rep(paste0("P", 1:12), each = 2)
  samples <- data.frame(
    time = rep(c("after", "before"), 12), patient = patients, arm = rep(c("x", "y", "z"), 8),
    age = rnorm(n), row.names = colnames(values)
  )
  list(values = values + rnorm(12)[rep(1:12, each = 2)], samples = samples)
})

test_that("without errors the tests are those of lm() and of t tests", {
  values <- cohort$values
  samples <- cohort$samples
  found <- compare_groups(values, ~ arm + age, samples)
  for (feature in rownames(values)) {
    fit <- summary(lm(values[feature, ] ~ arm + age, samples))$coefficients
    own <- found$table[found$table$feature == feature, ]
    expect_equal(own$estimate[1:2], unname(fit[2:3, 1]))
    expect_equal(own$std_error[1:2], unname(fit[2:3, 2]))
    expect_equal(own$p_value[1:2], unname(fit[2:3, 4]))
    expect_equal(own$estimate[3], unname(fit[3, 1] - fit[2, 1]))
    f <- anova(lm(values[feature, ] ~ age, samples), lm(values[feature, ] ~ arm + age, samples))
    expect_equal(found$overall$p_value[found$overall$feature == feature], f[2, 6])
  }
  expect_equal(found$table$p_adjusted, p.adjust(found$table$p_value, "BH"))
  slope <- compare_groups(values, ~ age, samples)$table
  expect_equal(slope$p_value[1], unname(summary(lm(values[1, ] ~ samples$age))$coefficients[2, 4]))
  paired <- compare_groups(values, ~ time + (1 | patient), samples)$table
  before <- samples$time == "before"
  for (i in 1:3) {
    t <- t.test(values[i, before], values[i, !before], paired = TRUE)
    expect_equal(paired$estimate[i], unname(t$estimate))
    # the variances come from an optimum that is found to eight digits
    expect_equal(paired$p_value[i], t$p.value, tolerance = 1e-5)
    expect_equal(c(paired$lower[i], paired$upper[i]), as.vector(t$conf.int), tolerance = 1e-5)
  }
})

test_that("groups between patients are compared as means of patients", {
  # four patients in either group, three samples each: the t test of their means
  id <- rep(paste0("P", 1:8), each = 3)
  group <- rep(c("a", "b"), each = 12)
  y <- with_seed_of(4, rnorm(24) + 2 * rnorm(8)[rep(1:8, each = 3)])
  names <- paste0("S", 1:24)
  values <- matrix(y, 1, dimnames = list("gene", names))
  samples <- data.frame(id, group, row.names = names)
  found <- compare_groups(values, ~ group + (1 | id), samples)$table
  means <- tapply(y, id, mean)
  t <- t.test(means[5:8], means[1:4], var.equal = TRUE)
  expect_equal(found$p_value, t$p.value, tolerance = 1e-4)
  expect_equal(found$df, 6, tolerance = 1e-4)
})

test_that("known errors weigh samples, and their size does not matter where they are alike", {
  values <- cohort$values
  alike <- matrix(0.7, 3, 24)
  expect_equal(compare_groups(values, ~ time, cohort$samples, std_error = alike)$table,
               compare_groups(values, ~ time, cohort$samples)$table)
  # samples that tell nothing are as good as absent
  error <- matrix(0.01, 3, 24)
  error[, 1:6] <- 30
  wild <- values
  wild[, 1:6] <- 1
  weighed <- compare_groups(wild, ~ time, cohort$samples, std_error = error)$table
  without <- compare_groups(values[, -(1:6)], ~ time, cohort$samples[-(1:6), ])$table
  # a sample keeps a thousandth of the median weight at most
  expect_equal(weighed$estimate, without$estimate, tolerance = 0.01)
})

test_that("the restricted likelihood of variances beyond errors is at its maximum", {
  error <- with_seed_of(2, rexp(24))
  y <- cohort$values[1, ] * 2
  X <- cbind(1, rep(0:1, 12))
  d <- relative_variances(y, X, error, NULL)
  # d is proportional to tau2 + error
  tau2 <- unname(coef(lm(d ~ error))[1] / coef(lm(d ~ error))[2])
  dense <- function(tau2) {
    V <- diag(tau2 + error)
    inner <- t(X) %*% solve(V, X)
    P <- solve(V) - solve(V, X) %*% solve(inner, t(X) %*% solve(V))
    c(-determinant(V)$modulus - determinant(inner)$modulus - y %*% P %*% y) / 2
  }
  best <- optimise(dense, c(0, 20), maximum = TRUE, tol = 1e-10)$maximum
  expect_equal(tau2, best, tolerance = 1e-4)
})

test_that("shares carry their errors, and the shared one into the interval only", {
  group <- rep(c("a", "b"), length.out = 5)
  samples <- data.frame(group = group, row.names = colnames(small$bulk_counts))
  with <- fit_small(samples = samples, type_error = 0.4)
  without <- fit_small(samples = samples, type_error = 0)
  one <- compare_groups(with, ~ group, what = "proportions")$table
  two <- compare_groups(without, ~ group, what = "proportions")$table
  expect_equal(one$p_value, two$p_value)
  expect_true(all(one$upper - one$lower > two$upper - two$lower))
  # with two samples on either side alike in weight, the shared part is that of contrast()
  plain <- compare_groups(with, ~ group, errors = FALSE, what = "proportions")$table
  direct <- contrast(with, which(group == "b"), which(group == "a"), what = "proportions")
  expect_equal(plain$estimate, direct$difference)
  expect_identical(plain$type, direct$type)
  no_counts <- fit_small(samples = samples, keep_counts = FALSE)
  expect_refusal(compare_groups(no_counts, ~ group), "no_counts")
  expect_s3_class(compare_groups(no_counts, ~ group, errors = FALSE), "group_comparison")
})

test_that("log odds of shares at zero stand at half their limit", {
  block <- block_on_logit(measured_block(matrix(c(0, 0.2), 1), error = matrix(c(0.01, 0), 1)))
  expect_equal(block$values[1, ], qlogis(c(qnorm(0.95) * 0.1 / 2, 0.2)))
})

test_that("genes of a type are moderated, and a planted difference leads", {
  skip_if_not_installed("limma")
  sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 16, platform_sd = 0, seed = 3)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  group <- rep(c("a", "b"), 8)
  # the largest type's genes, up fourfold in b
  top <- names(sort(sim$profiles[, 1] * (sim$profiles[, 1] > 3 * sim$profiles[, 2]),
                    decreasing = TRUE))[1:5]
  bulk <- sim$bulk_counts
  bulk[top, group == "b"] <- bulk[top, group == "b"] * 4L
  samples <- data.frame(group, row.names = colnames(bulk))
  result <- deconvolve_bulk(signatures, bulk, sim$gene_lengths, samples = samples,
                            verbose = FALSE)
  found <- cell_type_expression(result, verbose = FALSE)
  expect_identical(sample_data(found[, , 3:4]), samples[3:4, , drop = FALSE])
  compared <- compare_groups(found, ~ group, types = colnames(sim$profiles)[1])
  first <- compared$table[order(compared$table$p_value), ]
  expect_true(all(top %in% first$gene[1:8]))
  expect_true(all(first$estimate[match(top, first$gene)] > 0))
  expect_true(all(first$reliability >= 0.2))
  # weights that are all alike leave limma's own answer
  values <- log2(bulk + 10)
  moderated <- compare_groups(values, ~ group, samples, moderate = TRUE)$table
  fit <- limma::eBayes(limma::lmFit(values, model.matrix(~ group)), trend = TRUE)
  expect_equal(moderated$p_value, unname(fit$p.value[, 2]))
})

test_that("one correlation within patients is shared as limma does", {
  skip_if_not_installed("limma")
  values <- with_seed_of(5, matrix(rnorm(60 * 24), 60) + matrix(rnorm(60 * 12), 60)[, rep(1:12,
                                                                               each = 2)])
  dimnames(values) <- list(paste0("G", 1:60), rownames(cohort$samples))
  found <- compare_groups(values, ~ time + (1 | patient), cohort$samples, moderate = TRUE)$table
  design <- model.matrix(~ time, cohort$samples)
  shared <- limma::duplicateCorrelation(values, design, block = cohort$samples$patient)
  fit <- limma::lmFit(values, design, block = cohort$samples$patient,
                      correlation = shared$consensus)
  fit <- limma::eBayes(fit, trend = TRUE)
  expect_equal(found$estimate, unname(fit$coefficients[, 2]))
  # its correlations come from another optimiser, which ends early
  expect_equal(log(found$p_value), log(unname(fit$p.value[, 2])), tolerance = 0.03)
})

test_that("sample data travel from where they are to where they are asked for", {
  samples <- data.frame(id = rev(colnames(small$bulk_counts)), dose = 5:1)
  result <- fit_small(samples = samples)
  expect_identical(sample_data(result)$dose, 1:5)
  expect_identical(sample_data(result[2:3])$dose, 2:3)
  sample_data(result) <- NULL
  expect_null(sample_data(result))
  fit <- nmf(small$bulk_counts, 2, verbose = FALSE, seed = 1)
  sample_data(fit) <- samples
  expect_equal(compare_groups(fit, ~ dose)$table$component, c("metagene1", "metagene2"))
  expect_s3_class(fit, "nmf_fit")
  skip_if_not_installed("SummarizedExperiment")
  se <- SummarizedExperiment::SummarizedExperiment(
    list(counts = small$bulk_counts),
    colData = S4Vectors::DataFrame(dose = 5:1, row.names = colnames(small$bulk_counts))
  )
  expect_identical(sample_data(fit_small(bulk = se))$dose, 5:1)
  found <- cell_type_expression(fit_small(bulk = se), verbose = FALSE)
  expect_identical(as_summarized_experiment(found)$dose, 5:1)
  expect_identical(sample_data(nmf(se, 2, verbose = FALSE, seed = 1))$dose, 5:1)
})

test_that("bad input is named", {
  samples <- cohort$samples
  values <- cohort$values
  samples$all <- "one"
  samples$copy <- samples$arm
  samples$two <- rep(c("P1", "P2"), each = 12)
  expect_snapshot(error = TRUE, {
    compare_groups(values, ~ all, samples)
    compare_groups(values, ~ arm + copy, samples)
    compare_groups(values, ~ two + (1 | two), samples)
    compare_groups(values, ~ tme, samples)
    compare_groups(values, ~ time, samples[-3, ])
    compare_groups(values, ~ time, data.frame(id = c(rownames(samples), "S3"), time = "a"))
    compare_groups(values, ~ time, data.frame(time = samples$time))
    compare_groups(values, ~ time)
    compare_groups(values, ~ 1, samples)
    compare_groups(values, y ~ time, samples)
    compare_groups(values, ~ time * arm, samples)
    compare_groups(values, ~ time + (age | patient), samples)
    compare_groups(values[, 1:3], ~ arm, samples)
    compare_groups(values, ~ time, samples, std_error = values)
    compare_groups(values, ~ time, samples, scale = "logit")
    compare_groups("shares", ~ time, samples)
    sample_data(values)
  })
  expect_warning(compare_groups(values[, 1:12 * 2], ~ arm + (1 | patient), samples),
                 class = "unalloy_warning_unused_argument")
})

test_that("it prints, and its table is tidy", {
  found <- compare_groups(cohort$values, ~ arm + age + (1 | patient), cohort$samples)
  expect_snapshot({
    found
    summary(found)
  })
  expect_identical(tidy(found), found$table)
  expect_identical(as.data.frame(found), found$table)
})

test_that("pictures show every point, and a bracket per pair that differs", {
  values <- cohort$values
  values["B", cohort$samples$arm == "z"] <- values["B", cohort$samples$arm == "z"] + 9
  found <- compare_groups(values, ~ arm, cohort$samples)
  drawn <- ggplot2::ggplot_build(plot(found))
  rows <- vapply(drawn$data, nrow, 0L)
  expect_true(72L %in% rows)
  significant <- sum(found$table$p_adjusted < 0.05)
  expect_gte(significant, 2L)
  labels <- Filter(function(data) "label" %in% names(data), drawn$data)[[1L]]
  expect_identical(nrow(labels), significant)
  slope <- plot(compare_groups(values, ~ age, cohort$samples), features = "T")
  expect_identical(nlevels(slope$data$panel), 1L)
  expect_error(plot(found, features = "none"), class = "unalloy_error_argument")
  paired <- ggplot2::ggplot_build(plot(compare_groups(values, ~ time + (1 | patient),
                                                      cohort$samples)))
  expect_identical(length(unique(paired$data[[1L]]$group)), 12L)
})
