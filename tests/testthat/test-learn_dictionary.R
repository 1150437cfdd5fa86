x <- modular_profiles()

learn <- function(method, ..., size = 20, sparsity = 5, held_out = 0) {
  seed <- if (!method %in% c("svd", "svd_k")) 1
  suppressWarnings(learn_dictionary(x, size, method, sparsity = sparsity, held_out = held_out,
                                    seed = seed, verbose = FALSE, ...))
}

test_that("every method gives unit modules, all in use, and says what they leave", {
  for (method in c("smaf", "snmf", "svd", "svd_k", "ksvd")) {
    found <- learn(method)
    expect_s3_class(found, "dictionary")
    expect_equal(unname(colSums(found$modules^2)), rep(1, ncol(found$modules)))
    expect_identical(rownames(found$modules), rownames(x))
    expect_lte(max(diff(found$activities@p)), 5)
    if (method != "svd") expect_true(all(Matrix::rowSums(found$activities != 0) > 0))
    left <- x - found$modules %*% as.matrix(found$activities)
    expect_equal(found$residual, sum(left^2) / sum(x^2))
    # an activity takes a degree of freedom from the genes of its sample
    free <- (length(x) - length(found$activities@x)) / nrow(x)
    expect_equal(found$residual_sd, sqrt(rowSums(left^2) / free))
    if (method %in% c("smaf", "snmf")) expect_true(all(found$modules >= 0))
    # modules stay the same; samples that they have not seen are further from them
    unseen <- learn(method, held_out = 0.2)
    expect_identical(unseen$modules, found$modules)
    if (method == "ksvd") expect_gt(mean(unseen$residual_sd^2), mean(found$residual_sd^2))
  }
})

test_that("the lack of fit is that of samples that modules have not seen", {
  many <- modular_profiles(samples = 400)
  train <- many[, 1:150]
  # far more modules than the 10 that there are: they fit what they see
  learned <- function(...) {
    learn_dictionary(train, 60, "ksvd", sparsity = 5, seed = 1, verbose = FALSE, ...)
  }
  size <- function(sd) sqrt(mean(sd^2))
  seen <- learned(held_out = 0)
  found <- learned()
  expect_identical(found$modules, seen$modules)
  # what the modules leave of 250 other samples, an activity being a degree of freedom
  whole <- `dimnames<-`(diag(80), list(NULL, rownames(many)))
  coded <- recover_profiles(unname(many[, 151:400]), whole, found, sparsity = 5,
                            standard_errors = FALSE, verbose = FALSE)
  unseen <- size((many[, 151:400] - coded$profiles) / sqrt(1 - 5 / 80))
  expect_lt(size(seen$residual_sd), 0.8 * unseen)
  # learned from a fifth less, and measured on 60 samples
  expect_equal(size(found$residual_sd), unseen, tolerance = 0.1)
  expect_identical(learned(threads = 1)$residual_sd, found$residual_sd)
  # as many folds as give 50 samples, or all
  folds <- function(...) unlist(unalloy:::held_out_samples(...), use.names = FALSE)
  expect_identical(folds(0.2, 400), c(80, 1))
  expect_identical(folds(0.2, 60), c(12, 5))
  expect_identical(folds(0.5, 7), c(4, 1))
  expect_identical(folds(0.2, 2), c(1, 2))
  expect_identical(folds(0, 400), c(0, 0))
  expect_refusal(learned(held_out = 0.6), "argument")
})

test_that("the SVD is R's, and its short form its beginning", {
  found <- learn("svd")
  vectors <- svd(x)$u[, 1:20]
  # signs are free
  expect_equal(abs(unname(found$modules)), abs(vectors), tolerance = 1e-8)
  expect_equal(found$objective, sum(svd(x)$d[-(1:20)]^2) / sum(x^2))
  expect_identical(ncol(learn("svd_k")$modules), 5L)
  expect_identical(learn("svd_k")$modules, found$modules[, 1:5], ignore_attr = TRUE)
  # no more vectors than the rank
  expect_identical(ncol(learn("svd", size = 85)$modules), 80L)
})

test_that("K-SVD fits better than the singular vectors, and does not rise", {
  found <- learn("ksvd", max_iter = 15, tolerance = 0)
  expect_lt(found$residual, learn("svd_k")$residual)
  expect_true(all(diff(found$objective) <= 1e-10))
  expect_lte(found$residual, min(found$objective) * (1 + 1e-10))
  more <- learn("ksvd", max_iter = 15, tolerance = 0, starts = 4)
  expect_lte(min(more$objective), min(found$objective))
})

test_that("SMAF meets its error bound, by least absolute values", {
  found <- learn("smaf", error_bound = 0.3, module_lower = 0, max_iter = 1)
  # One iteration starts from uniform activities; its modules are not known
  # outside, but the share of zeros and the bound's report are.
  expect_identical(found$smaf$error_bound, 0.3)
  expect_gt(mean(found$modules == 0), 0.3)
  halved <- learn("smaf", error_bound = 0.5, module_lower = 60, max_iter = 4)
  expect_equal(halved$smaf$error_bound, 0.5 / 2^3)
  kept <- learn("smaf", error_bound = 0.5, module_lower = 0, max_iter = 4)
  expect_identical(kept$smaf$error_bound, 0.5)
  # fewer modules per sample while the bound is met
  expect_gt(learn("smaf", min_sparsity = 4, sparsity = 8, error_bound = 0.001)$smaf$sparsity,
            learn("smaf", min_sparsity = 1, sparsity = 8, error_bound = 0.9,
                  module_lower = 0)$smaf$sparsity)
})

test_that("a larger penalty makes sparse NMF worse at fitting", {
  expect_gt(learn("snmf", penalty = 1)$objective[1], 0)
  fine <- learn("snmf", penalty = 0.001, max_iter = 300, tolerance = 1e-6)
  coarse <- learn("snmf", penalty = 1, max_iter = 300, tolerance = 1e-6)
  expect_gt(min(coarse$objective), min(fine$objective))
})

test_that("the same seed gives the same modules, on any number of threads", {
  for (method in c("smaf", "snmf", "ksvd")) {
    one <- learn(method, threads = 1, max_iter = 3)
    expect_identical(learn(method, threads = 3, max_iter = 3)$modules, one$modules)
  }
  set.seed(8)
  a <- learn_dictionary(x, 10, "ksvd", 3, verbose = FALSE)
  set.seed(8)
  expect_identical(learn_dictionary(x, 10, "ksvd", 3, verbose = FALSE)$modules, a$modules)
})

test_that("the order of genes is that of the answer", {
  turned <- learn_dictionary(x[80:1, ], 20, "smaf", 5, seed = 1, verbose = FALSE)
  expect_equal(turned$modules[80:1, ], learn("smaf")$modules, tolerance = 1e-8)
})

test_that("input that can't be learned from is told by name", {
  expect_snapshot(error = TRUE, learn_dictionary(x, 91))
  bad <- x
  bad[c(3, 8), ] <- 0.2
  expect_snapshot(error = TRUE, learn_dictionary(bad, 10))
  bad <- x
  bad[7, 2] <- -0.5
  expect_snapshot(error = TRUE, learn_dictionary(bad, 10, "smaf"))
  expect_s3_class(learn_dictionary(bad, 10, "svd", verbose = FALSE), "dictionary")
  bad[7, 2] <- NA
  expect_snapshot(error = TRUE, learn_dictionary(bad, 10, "svd"))
  expect_snapshot(error = TRUE, learn_dictionary(x, 10, "svd", penalty = 1))
  expect_snapshot(error = TRUE, learn_dictionary(x, 10, "pca"))
  expect_refusal(learn_dictionary(rbind(x, g3 = 1:90), 10), "gene_names")
  expect_refusal(learn_dictionary(x, 10, sparsity = 0), "argument")
  expect_refusal(learn_dictionary(x, 10, error_bound = 1), "argument")
  expect_warning(learn_dictionary(x, 10, "ksvd", 3, max_iter = 2, tolerance = 0, seed = 1,
                                  verbose = FALSE), class = "unalloy_warning_not_converged")
})

test_that("dictionaries print and draw themselves", {
  expect_snapshot(print(learn("svd_k")))
  drawn <- plot(learn("smaf"))
  expect_s3_class(drawn, "ggplot")
  expect_identical(nrow(drawn$data), 20L)
  # effective genes of a module are between 1 and all
  expect_true(all(drawn$data$genes >= 1 & drawn$data$genes <= 80))
})
