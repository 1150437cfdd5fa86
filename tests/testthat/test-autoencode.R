# Cells of the tests of latent factors; 90 cells, 60 genes, two factors.
code_of <- function(x, size = 3, ..., epochs = 15, hidden = 12, threads = 1) {
  autoencode(x, size, ..., epochs = epochs, hidden = hidden, verbose = FALSE, threads = threads)
}
batch <- rep(c("a", "b", "c"), 30)
coded <- code_of(cells$x)
with_batch <- code_of(cells$x, batch = batch, likelihood = "zinb", dispersion = "gene-batch",
                      encode_batch = TRUE)

test_that("a code holds the factors that were planted", {
  fit <- code_of(cells$x, 2, epochs = 150, learning_rate = 0.01, likelihood = "poisson")
  expect_gt(same_space(scale(t(coef(fit)), scale = FALSE),
                       scale(cells$scores, scale = FALSE)), 0.9)
  # nearer to the cells than the mean profile is
  mean_rate <- outer(rowMeans(cells$x), colSums(cells$x) / mean(colSums(cells$x)))
  loss <- function(rate) -sum(dpois(cells$x, rate, log = TRUE))
  expect_lt(loss(fitted(fit)), loss(mean_rate))
})

test_that("losses without the variational part are those of R's distributions", {
  for (likelihood in c("poisson", "nb", "zinb")) {
    fit <- code_of(cells$x, likelihood = likelihood, variational = FALSE)
    rate <- fitted(fit)
    size <- fit$dispersion
    density <- switch(likelihood, poisson = dpois(cells$x, rate, log = TRUE),
                      nb = dnbinom(cells$x, size = size, mu = rate, log = TRUE))
    if (likelihood == "zinb") {
      found <- unalloy:::ask_autoencoder(fit, rs_autoencoder_rates, codes = unname(coef(fit)),
                                         batch = integer(), log_size = fit$log_size)
      zero <- found$structural
      density <- log(zero * (cells$x == 0) +
                       (1 - zero) * dnbinom(cells$x, size = size, mu = found$mean))
      expect_equal(unname(rate), found$mean * (1 - zero))
    }
    # single precision: sums of 5,400 terms that are right to 1e-6
    expect_equal(as.numeric(logLik(fit)), sum(density), tolerance = 1e-5)
    expect_equal(sum(elbo(fit)), sum(density), tolerance = 1e-5)
    held <- fit$validation_cells
    expect_equal(-mean(colSums(density[, held])), min(fit$convergence$validation),
                 tolerance = 1e-5)
    expect_true(all(fit$latent_sd == 0))
  }
  values <- log1p(cells$x)
  fit <- code_of(values, likelihood = "gaussian", variational = FALSE)
  density <- dnorm(values, fitted(fit), sqrt(fit$variance), log = TRUE)
  expect_equal(as.numeric(logLik(fit)), sum(density), tolerance = 1e-5)
})

test_that("a linear Gaussian autoencoder comes near to probabilistic components", {
  # twelve genes, two factors: the bound of the linear model is its likelihood at the optimum
  sim <- withr::with_seed(3, {
    loadings <- matrix(rnorm(24), 12)
    loadings %*% matrix(rnorm(800), 2) + matrix(rnorm(12 * 400, sd = 0.6), 12)
  })
  values <- (sim - rowMeans(sim)) / sqrt(rowMeans((sim - rowMeans(sim))^2))
  exact <- latent_factors(values, 2, verbose = FALSE, threads = 1)
  fit <- code_of(values, 2, likelihood = "gaussian", decoder = "linear", hidden = integer(),
                 dispersion = "common", validation = 0, epochs = 200, batch_size = 50,
                 learning_rate = 0.02, dropout = 0)
  evidence <- as.numeric(logLik(exact)) / 400
  found <- as.numeric(logLik(fit)) / 400
  expect_lt(found, evidence + 1e-3)
  expect_gt(found, evidence - 1e-2)
  expect_gt(same_space(basis(fit), basis(exact)), 0.999)
  expect_gt(as.numeric(logLik(fit)), sum(elbo(fit)) - 1)
})

test_that("without variation a linear autoencoder spans the principal components", {
  values <- withr::with_seed(4, {
    matrix(rnorm(20), 10) %*% matrix(rnorm(600), 2) * c(2, 1) + rnorm(3000, sd = 0.3)
  })
  values <- (values - rowMeans(values)) / sqrt(rowMeans((values - rowMeans(values))^2))
  fit <- code_of(values, 2, likelihood = "gaussian", decoder = "linear", hidden = integer(),
                 variational = FALSE, dispersion = "common", validation = 0, epochs = 1500,
                 batch_size = 300, learning_rate = 0.02, dropout = 0)
  spectrum <- eigen(tcrossprod(values) / 300)
  # the angle is the square root of what 1 lacks: 1e-3
  expect_gt(same_space(basis(fit), spectrum$vectors[, 1:2]), 1 - 1e-6)
  left <- sum((values - fitted(fit))^2) / 300
  expect_equal(left, sum(spectrum$values[-(1:2)]), tolerance = 1e-3)
})

test_that("importance weights bring the bound nearer to the likelihood", {
  one <- as.numeric(logLik(coded, 1))
  many <- as.numeric(logLik(coded, 50))
  expect_gt(many, one)
  expect_gt(many, sum(elbo(coded)) - 1)
})

test_that("threads and the form of the counts do not change a bit, seeds do", {
  expect_identical(coef(code_of(cells$x, threads = 3)), coef(coded))
  expect_identical(coef(code_of(Matrix::Matrix(cells$x, sparse = TRUE))), coef(coded))
  whole <- cells$x
  storage.mode(whole) <- "integer"
  expect_identical(coef(code_of(whole)), coef(coded))
  expect_false(identical(coef(code_of(cells$x, seed = 2)), coef(coded)))
})

test_that("the weights of the best pass are returned", {
  trace <- coded$convergence
  after <- trace$epoch >= coded$settings$warm_up
  expect_identical(coded$best_epoch, as.numeric(trace$epoch[after][which.min(
    trace$validation[after])]))
  # the bound of the held-out cells is the least validation loss
  expect_equal(-mean(elbo(coded)[coded$validation_cells]), min(trace$validation[after]),
               tolerance = 1e-5)
  without <- code_of(cells$x, validation = 0, epochs = 3)
  expect_true(is.na(without$best_epoch))
  expect_identical(nrow(without$convergence), 3L)
})

test_that("new cells are predicted as the old ones, whatever file the fit was kept in", {
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(coded, file)
  again <- readRDS(file)
  expect_identical(predict(again, cells$x[, 5:1]), coef(coded)[, 5:1])
  mixed <- rbind(other = 1, cells$x[rev(seq_len(nrow(cells$x))), ])
  expect_identical(predict(again, mixed), coef(coded))
  expect_equal(predict(coded, cells$x, what = "rate"), fitted(coded), tolerance = 1e-6)
  expect_equal(unname(colSums(fitted(coded, type = "proportion"))), rep(1, 90))
  expect_message(few <- predict(coded, cells$x[-1, ]), "1 gene of the fit not in")
  expect_gt(cor(as.vector(few), as.vector(coef(coded))), 0.95)
})

test_that("rates can be shown at a batch", {
  rates <- fitted(with_batch, at = "b")
  own <- fitted(with_batch)
  expect_equal(rates[, batch == "b"], own[, batch == "b"])
  expect_false(isTRUE(all.equal(rates[, batch == "a"], own[, batch == "a"])))
  expect_equal(predict(with_batch, cells$x, what = "rate", batch = batch, at = "b"), rates,
               tolerance = 1e-6)
  expect_equal(predict(with_batch, what = "rate", at = "b"), rates)
  expect_identical(colnames(with_batch$dispersion), c("a", "b", "c"))
})

test_that("a batch is taken out of the code", {
  many <- planted_cells(n_cells = 300)
  batch <- rep(c("a", "b", "c"), 100)
  shift <- withr::with_seed(4, matrix(rnorm(3 * nrow(many$x)), ncol = 3))
  counts <- withr::with_seed(5, matrix(rpois(
    length(many$x), (many$x + 0.5) * exp(shift[, match(batch, c("a", "b", "c"))])
  ), nrow(many$x)))
  between <- function(fit) {
    means <- rowsum(t(coef(fit)), batch) / 100
    sum(100 * sweep(means, 2, rowMeans(coef(fit)))^2) / sum((coef(fit) - rowMeans(coef(fit)))^2)
  }
  run <- function(...) {
    code_of(counts, 2, ..., likelihood = "poisson", epochs = 300, learning_rate = 0.01)
  }
  # nearly all variance is between batches where they are not told
  expect_gt(between(run()), 0.8)
  expect_lt(between(run(batch = batch)), 0.5)
})

test_that("data are drawn about the rates", {
  drawn <- simulate(coded, nsim = 2, seed = 1)
  expect_identical(names(drawn), c("sim_1", "sim_2"))
  expect_false(identical(drawn[[1]], drawn[[2]]))
  expect_identical(simulate(coded, nsim = 2, seed = 1), drawn)
  # 5,400 counts of mean 5 and dispersion of about 1: within five standard errors
  spread <- sqrt(mean(fitted(coded) + fitted(coded)^2 / coded$dispersion) / length(cells$x))
  expect_lt(abs(mean(drawn[[1]]) - mean(fitted(coded))), 5 * spread + 0.05 * mean(cells$x))
  prior <- simulate(with_batch, seed = 1, from = "prior")[[1]]
  expect_identical(dim(prior), dim(cells$x))
  expect_true(all(prior >= 0 & prior == round(prior)))
})

test_that("an interrupted training returns what it has, and goes on to the same bits", {
  skip_on_cran()
  skip_on_os("windows")
  settings <- coded$settings
  settings$epochs <- 4000
  settings$patience <- 4000
  given <- unalloy:::fitted_cells(coded)
  # an interrupt is raised by the first report after 30 epochs
  shown <- function(done) {
    if (done >= 30) tools::pskill(Sys.getpid(), tools::SIGINT)
    invisible()
  }
  train <- function(progress, training = NULL, epochs = 4000) {
    settings$epochs <- epochs
    unalloy:::call_rs(rs_train_autoencoder, training = training, progress = progress,
                      .given = c(given, settings,
                                 unalloy:::network_given(coded$architecture, NULL, 1)))
  }
  part <- train(shown)
  expect_identical(part$reason, "interrupted")
  epochs <- length(part$trace$misfit)
  expect_gte(epochs, 30)
  expect_lt(epochs, 4000)
  fit <- unalloy:::new_autoencoder(part, given, coded$architecture, NULL, NULL, settings)
  expect_snapshot(unalloy:::warn_interrupted(structure(
    list(reason = "interrupted", best_epoch = 12, convergence = data.frame(epoch = 1:30))
  )))
  fit$x <- cells$x
  fit$settings$epochs <- 4000
  expect_s3_class(fit, "autoencoder")
  expect_error(continue_training(coded), class = "unalloy_error_argument")
  # the rest of a training whose schedule is the same
  fit$settings$patience <- 1
  rest <- continue_training(fit, verbose = FALSE, threads = 2)
  settings$patience <- 1
  expect_identical(rest$reason, "patience")
  expect_identical(rest$convergence$validation[seq_len(epochs)], part$trace$misfit +
                     part$trace$prior)
})

test_that("codes go into single-cell objects and tables", {
  expect_identical(dim(as_reduction(coded)), c(90L, 3L))
  table <- add_to(data.frame(cell = colnames(cells$x)), coded)
  expect_equal(table$latent1, unname(coef(coded)[1, ]))
  expect_identical(nrow(tidy(coded)), 270L)
  expect_identical(glance(coded)$size, 3)
  expect_named(augment(coded), c("cell", "latent1", "latent2", "latent3"))
  linear <- code_of(cells$x, decoder = "linear", batch = batch, epochs = 3)
  expect_identical(dim(basis(linear)), c(60L, 3L))
  expect_identical(dim(linear$batch_effects), c(60L, 3L))
  expect_named(summary(linear), c("latent", "kl", "used", "top", "bottom"))
  skip_if_not_installed("SeuratObject")
  object <- suppressWarnings(
    SeuratObject::CreateSeuratObject(Matrix::Matrix(cells$x, sparse = TRUE))
  )
  object$lab <- batch
  object <- suppressWarnings(add_to(object, coded))
  expect_identical(dim(object[["latent"]]), c(90L, 3L))
  by_name <- code_of(object, batch = "lab", epochs = 2)
  by_value <- code_of(cells$x, batch = batch, epochs = 2)
  expect_identical(coef(by_name), coef(by_value))
})

test_that("prints and pictures", {
  expect_snapshot(print(with_batch), transform = function(lines) {
    gsub("-?[0-9]+[.][0-9]+|best [0-9]+|Unused: [0-9]+", "<n>", lines)
  })
  for (type in c("training", "latent")) expect_s3_class(plot(coded, type), "ggplot")
  linear <- code_of(cells$x, decoder = "linear", epochs = 2)
  expect_s3_class(plot(linear, "loadings"), "ggplot")
  expect_s3_class(plot(code_of(cells$x, validation = 0, epochs = 2)), "ggplot")
})

test_that("bad input is refused by class, with the culprit's name", {
  x <- cells$x
  bad <- function(at, value) replace(x, at, value)
  expect_snapshot(error = TRUE, {
    code_of(bad(5, -1))
    code_of(bad(5, 0.5))
    code_of(bad(5, NA))
    code_of(log1p(x))
    code_of(bad(seq_len(nrow(x)), 0))
    code_of(rbind(x, none = 0))
    code_of(x, batch = rep("a", ncol(x)))
    code_of(x, batch = 1:3)
    code_of(x, encode_batch = TRUE)
    code_of(x, hidden = 0)
    code_of(x, dropout = 1)
    code_of(x, size_factor = 0)
    code_of(x, likelihood = "zip")
    code_of(log1p(x), likelihood = "gaussian", size_factor = rep(1, ncol(x)))
    code_of(x[, 1:2], validation = 0.5)
    predict(coded, x[1:20, ])
    predict(coded, replace(x, seq_len(nrow(x)), 0))
    predict(coded, x, batch = batch)
    predict(with_batch, x)
    predict(with_batch, x[, 1:2], batch = c("a", "z"))
    fitted(with_batch, at = "z")
    fitted(coded, at = "a")
    basis(coded)
    plot(coded, "loadings")
    predict(coded, new_data = x)
  })
  expect_refusal(code_of(bad(5, -1)), "negative_values")
  expect_refusal(code_of(bad(5, 0.5)), "not_counts")
  expect_refusal(code_of(bad(5, NA)), "missing_values")
  expect_refusal(code_of(bad(seq_len(nrow(x)), 0)), "empty_cells")
  expect_refusal(code_of(x, batch = rep("a", ncol(x))), "one_batch")
  expect_refusal(predict(with_batch, x[, 1:2], batch = c("a", "z")), "covariates")
  expect_refusal(predict(coded, x[1:20, ]), "features")
  expect_error(code_of(x, penalty = 1), "unused argument")
})

test_that("a training that diverges says so, and what to try", {
  expect_snapshot(error = TRUE, code_of(cells$x, learning_rate = 1e39))
  expect_refusal(code_of(cells$x, learning_rate = 1e39), "diverged")
})
