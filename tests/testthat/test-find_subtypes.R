# Patients of three kinds, told apart by 60 features beside two continuous factors.
draw_patients <- function(n, effect, seed, loads = with_seed_of(9, matrix(rnorm(60 * 5), 60))) {
  with_seed_of(seed, {
    kind <- rep_len(1:3, n)
    x <- loads[, 4:5] %*% matrix(rnorm(2 * n), 2) + effect * loads[, kind] +
      matrix(rnorm(60 * n), 60)
    dimnames(x) <- list(paste0("Gene", 1:60), paste0("P", seed, "_", seq_len(n)))
    list(x = x, kind = kind)
  })
}
first <- draw_patients(60, 1.5, 1)
found <- find_subtypes(first$x, k = 2:4, null = 39, resamples = 20, seed = 1)

test_that("planted subtypes are found, and a cloud has none", {
  expect_identical(found$k, 3L)
  expect_gt(adjusted_rand(found$assignment, first$kind), 0.9)
  expect_identical(found$p_value, 1 / 40)
  cloud <- draw_patients(60, 0, 2)
  none <- find_subtypes(cloud$x, k = 2:4, null = 39, resamples = 20, seed = 1)
  expect_identical(none$k, 1L)
  expect_gt(none$p_value, 0.05)
  expect_identical(nlevels(none$assignment), 1L)
  expect_refusal(consensus(none), "argument")
  expect_refusal(replicate_subtypes(none, first$x), "no_subtypes")
  tree <- find_subtypes(first$x, k = 2:4, method = "hierarchical", null = 19, resamples = 10,
                        seed = 1)
  expect_gt(adjusted_rand(tree$assignment, first$kind), 0.9)
})

test_that("the answer does not depend on threads, order of features or their shift", {
  again <- find_subtypes(first$x[60:1, ] + 5, k = 2:4, null = 39, resamples = 20, seed = 1,
                         threads = 1)
  # the sign of a component is arbitrary, so clouds differ; the groups must not
  expect_identical(again$assignment, found$assignment)
  same <- find_subtypes(first$x, k = 2:4, null = 39, resamples = 20, seed = 1, threads = 1)
  expect_identical(same$stability, found$stability)
})

test_that("clouds of the null have the covariance of the scores, and their skewness", {
  # independent axes of which one is skewed, turned
  turn <- with_seed_of(2, qr.Q(qr(matrix(rnorm(9), 3))))
  axes <- with_seed_of(3, cbind(rexp(2000) - 1, matrix(rnorm(4000), 2000)))
  scores <- prcomp(axes %*% turn %*% diag(3:1))$x
  skewness <- function(x) mean(x^3) / mean(x^2)^1.5
  with_seed_of(4, {
    for (model in NULL_MODELS) {
      cloud <- null_clouds(scores, model, 2)[[2]]
      expect_equal(crossprod(cloud), crossprod(scores), ignore_attr = TRUE)
      expect_equal(colMeans(cloud), rep(0, 3))
    }
    white <- scores / rep(sqrt(colMeans(scores^2)), each = 2000)
    found <- skewed_axes(white)
    expect_equal(crossprod(found$turn), diag(3), tolerance = 1e-10)
    expect_equal(found$skewness, apply(white %*% found$turn, 2, skewness))
    # that of an exponential distribution is 2; its error here .35 (from 1,000 draws)
    expect_gt(abs(found$skewness[1]), 1.2)
    expect_lt(abs(found$skewness[2]), 0.3)
    cloud <- null_clouds(scores, "skewed", 1)[[1]]
    turned <- cloud / rep(sqrt(colMeans(cloud^2)), each = 2000)
    expect_gt(abs(skewed_axes(turned)$skewness[1]), 1.2)
    expect_lt(abs(skewed_axes(white_cloud(2000, 3))$skewness[1]), 0.3)
    # one axis needs no turn
    expect_identical(dim(null_clouds(scores[, 1, drop = FALSE], "skewed", 1)[[1]]), c(2000L, 1L))
  })
})

test_that("a skewed cloud has no subtypes", {
  x <- with_seed_of(2, matrix(rnorm(160), 40) %*% matrix(rexp(320) - 1, 4) +
                      0.2 * matrix(rnorm(3200), 40))
  dimnames(x) <- list(paste0("Gene", 1:40), paste0("S", 1:80))
  find <- function(model) {
    find_subtypes(x, k = 2:4, null = 39, resamples = 20, null_model = model, seed = 1)
  }
  expect_identical(find("skewed")$k, 1L)
  expect_gt(find("gaussian")$k, 1L)
})

test_that("the p value counts the clouds that are as stable", {
  # two numbers, four splits, ten sets; the first is the most stable at one number
  agreement <- with_seed_of(5, array(runif(80, 0, 0.4), c(2, 4, 10)))
  agreement[1, , 1] <- 0.9
  number <- choose_number(agreement, 2:3, 0.1)
  expect_identical(number$p_value, 0.1)
  expect_identical(number$k, 2L)
  expect_equal(number$stability$stability[1], 0.9)
  agreement[1, , 2] <- 1
  expect_identical(choose_number(agreement, 2:3, 0.1)$k, 1L)
})

test_that("silhouettes are those of cluster, and the index that of the definition", {
  skip_if_not_installed("cluster")
  cluster <- as.integer(found$assignment)
  expect_equal(unname(found$silhouette),
               unname(cluster::silhouette(cluster, dist(found$scores))[, "sil_width"]))
  expect_equal(adjusted_rand(c(1, 1, 1, 2, 2, 2), c(1, 1, 2, 2, 3, 3)), (2 - 1.2) / (4.5 - 1.2))
})

test_that("a second cohort is sorted by centroids, on any platform's scale", {
  second <- draw_patients(45, 1.5, 5)
  class <- predict(found, second$x)
  expect_gt(adjusted_rand(class, second$kind), 0.9)
  expect_identical(predict(found, (second$x + rnorm(60))[60:1, ]), class)
  scores <- predict(found, second$x, "scores", min_margin = 0.3)
  expect_identical(is.na(scores$subtype), scores$margin < 0.3)
  expect_equal(scores[["subtype 1"]],
               unname(cor(second$x - rowMeans(second$x), found$centroids)[, 1]))
  expect_identical(predict(found), found$assignment)
})

test_that("subtypes replicate in a second cohort, and not in a cloud", {
  yes <- replicate_subtypes(found, draw_patients(45, 1.5, 5)$x, null = 39, seed = 1)
  expect_identical(yes$p_value, 1 / 40)
  expect_true(all(yes$subtypes$concordance > 0.7))
  expect_identical(diag(matched_table(factor(c(1, 1, 2, 2, 3)), c(2, 2, 3, 3, 1))), c(2L, 2L, 1L))
  no <- replicate_subtypes(found, draw_patients(45, 0, 6)$x, null = 39, seed = 1)
  expect_gt(no$p_value, 0.05)
  expect_snapshot(yes)
})

test_that("survival is tested in the direction of the first cohort", {
  skip_if_not_installed("survival")
  second <- draw_patients(60, 1.5, 7)
  time_of <- function(kind, seed) with_seed_of(seed, rexp(60, c(0.2, 0.5, 1.5)[kind]))
  known <- compare_survival(found, time_of(first$kind, 1), rep(1, 60))
  samples <- data.frame(time = time_of(second$kind, 2), event = 1,
                        row.names = colnames(second$x))
  yes <- replicate_subtypes(found, second$x, known, "time", "event", samples, null = 19, seed = 1)
  expect_true(yes$survival$trend$same_direction)
  expect_lt(yes$survival$trend$p_value, 0.01)
  samples$time <- 1 / samples$time
  no <- replicate_subtypes(found, second$x, known, "time", "event", samples, null = 19, seed = 1)
  expect_gt(no$survival$trend$p_value, 0.99)
})

test_that("shares and expression of types have subtypes, too", {
  result <- fit_small()
  # five samples only
  expect_refusal(find_subtypes(result), "too_few_samples")
  block <- measured_values(result, list(what = "proportions", scale = "logit", errors = FALSE))
  expect_identical(block$unit, "Share of mRNA, log odds")
  two <- new_measured(list(measured_block(first$x, "B"), measured_block(10 * first$x[60:1, ], "T")),
                      "gene", "log2", colnames(first$x), NULL)
  both <- find_subtypes(two, k = 3, null = 19, resamples = 10, seed = 1)
  expect_true(all(c("B: Gene1", "T: Gene1") %in% rownames(both$centroids)))
  # blocks have the same total variance
  square <- rowSums((both$loadings %*% t(both$scores))^2)
  expect_equal(sum(square[1:60]), sum(square[61:120]), tolerance = 1e-6)
})

test_that("bad input is named", {
  expect_snapshot(error = TRUE, {
    find_subtypes(first$x[, 1:10])
    find_subtypes(first$x, k = 1)
    find_subtypes(first$x * 0, k = 2)
    find_subtypes(first$x, types = "B")
    predict(found, first$x[1:20, ])
    predict(found, first$x[, 1:2])
    replicate_subtypes(found, first$x, time = 1:60)
    replicate_subtypes(first$x, first$x)
  })
})

test_that("it prints and is drawn", {
  expect_snapshot(found)
  expect_identical(nrow(plot(found)$data), 60L)
  expect_identical(nrow(plot(found, "stability")$data), 3L)
  expect_s3_class(plot(found, "consensus"), "ggplot")
})

test_that("enrichment is Fisher's, cell by cell", {
  class <- with_seed_of(8, ifelse(first$kind == 1, sample(c("poor", "good"), 60, TRUE),
                                  sample(c("fair", "good"), 60, TRUE)))
  tested <- test_enrichment(found, class)
  counts <- table(found$assignment, class)
  expect_equal(tested$p_value, fisher.test(counts)$p.value)
  row <- tested$table[tested$table$group == "subtype 2" & tested$table$class == "good", ]
  direct <- fisher.test(found$assignment == "subtype 2", class == "good")
  expect_equal(row$p_value, direct$p.value)
  expect_equal(c(row$odds_ratio, row$lower, row$upper),
               unname(c(direct$estimate, direct$conf.int)))
  expect_equal(row$n, counts["subtype 2", "good"])
  samples <- data.frame(class, row.names = names(found$assignment))
  expect_equal(test_enrichment(found, "class", samples)$table, tested$table)
  expect_snapshot(tested)
  expect_refusal(test_enrichment(found, rep("a", 60)), "one_group")
})
