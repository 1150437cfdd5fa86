truth <- modular_profiles(genes = 30, samples = 60)
recovered <- local({
  withr::local_seed(2)
  truth + rnorm(length(truth), sd = 0.3)
})
found <- evaluate_recovery(truth, recovered, verbose = FALSE)

test_that("scores are R's own correlations", {
  score <- function(name) found$scores$estimate[found$scores$score == name]
  both <- function(by, method) {
    margin <- if (by == "gene") 1:30 else 1:60
    mean(vapply(margin, function(i) {
      if (by == "gene") cor(truth[i, ], recovered[i, ], method = method)
      else cor(truth[, i], recovered[, i], method = method)
    }, 0))
  }
  for (method in c("pearson", "spearman")) {
    expect_equal(score(paste0("overall_", method)),
                 cor(as.vector(truth), as.vector(recovered), method = method))
    expect_equal(score(paste0("gene_", method)), both("gene", method))
    expect_equal(score(paste0("sample_", method)), both("sample", method))
  }
  expect_equal(score("sample_distance"), cor(dist(t(truth)), dist(t(recovered))))
  expect_equal(score("gene_distance"), cor(dist(truth), dist(recovered)))
  expect_equal(score("gene_distance_spearman"),
               cor(dist(truth), dist(recovered), method = "spearman"))
  expect_equal(found$genes$pearson, unname(diag(cor(t(truth), t(recovered)))))
  expect_equal(found$samples$rmse, unname(sqrt(colMeans((truth - recovered)^2))))
})

test_that("intervals hold the estimate, shrink with samples, and widen with the level", {
  expect_true(all(found$scores$lower < found$scores$estimate))
  expect_true(all(found$scores$upper > found$scores$estimate))
  wide <- evaluate_recovery(truth, recovered, level = 0.99, verbose = FALSE)$scores
  expect_true(all(wide$upper - wide$lower > found$scores$upper - found$scores$lower))
})

test_that("intervals of the mean sample correlation cover it", {
  # Means of correlations over 40 samples, of a population whose mean is known
  # from 4,000.
  withr::local_seed(3)
  draw <- function(n) {
    x <- matrix(rnorm(25 * n), 25)
    list(x, x + matrix(rnorm(25 * n, sd = 0.8), 25))
  }
  score <- function(pair, what) {
    scores <- evaluate_recovery(pair[[1]], pair[[2]], verbose = FALSE)$scores
    scores[scores$score == what, ]
  }
  large <- draw(4000)
  for (what in c("sample_pearson", "overall_spearman", "gene_pearson")) {
    target <- score(large, what)$estimate
    inside <- replicate(60, {
      own <- score(draw(60), what)
      own$lower <= target && target <= own$upper
    })
    # 57 of 60 expected; 50 or fewer has a chance below 1 in 1,000
    expect_gt(sum(inside), 50)
  }
})

test_that("a mean profile has the correlation of samples, not of genes", {
  flat <- truth
  flat[] <- rowMeans(truth)
  scores <- evaluate_recovery(truth, flat, verbose = FALSE)$scores
  expect_gt(scores$estimate[scores$score == "sample_pearson"], 0.4)
  expect_identical(scores$estimate[scores$score == "gene_pearson"], 0)
})

test_that("genes and samples are matched by name; strangers are told", {
  turned <- evaluate_recovery(truth, recovered[30:1, 60:1], verbose = FALSE)
  expect_equal(turned$scores, found$scores)
  expect_snapshot(error = TRUE, evaluate_recovery(truth, recovered[-2, ]))
  expect_snapshot(error = TRUE, evaluate_recovery(truth, recovered[, -2]))
  expect_refusal(evaluate_recovery(truth, recovered, groups = 1), "argument")
  one <- evaluate_recovery(truth[, 1, drop = FALSE], recovered, verbose = FALSE)$scores
  expect_true(is.na(one$estimate[one$score == "gene_pearson"]))
  expect_snapshot(print(evaluate_recovery(truth, truth, verbose = FALSE)))
})
