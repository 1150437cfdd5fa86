# Genes that bend with three factors of a sample, or follow them in a line.
planted <- function(samples, bent, seed, genes = 40) {
  loadings <- withr::with_seed(99, matrix(rnorm(genes * 3), genes))
  withr::local_seed(seed)
  line <- loadings %*% matrix(rnorm(3 * samples), 3)
  x <- 2 + (if (bent) pmax(line, -0.3) else line) + matrix(rnorm(genes * samples, sd = 0.05), genes)
  `dimnames<-`(x, list(paste0("g", seq_len(genes)), paste0("s", seq_len(samples))))
}
x <- planted(200, TRUE, 1)
new <- `colnames<-`(planted(300, TRUE, 2), paste0("n", 1:300))
A <- measurement_matrix(8, x, max_correlation = 0.7, seed = 1)
y <- measure(new, A, verbose = FALSE)
learn <- function(x, ..., method = "network", hidden = 40, ensemble = 2, epochs = 30,
                  learning_rate = 5e-3, seed = 1, threads = 1) {
  learn_decoder(x, A, method, ..., hidden = hidden, ensemble = ensemble, epochs = epochs,
                learning_rate = learning_rate, seed = seed, threads = threads, verbose = FALSE)
}
decode <- function(y, decoder, ...) recover_profiles(y, A, decoder, ..., verbose = FALSE)
ridge_of <- function(x, ...) learn_decoder(x, A, "ridge", ..., verbose = FALSE, threads = 1)
left <- function(found, truth = new) mean((found$profiles - truth)^2)
similar <- function(found, truth) mean(diag(cor(found$profiles, truth)))
bent <- learn(x)

test_that("a network bends where ridge can't, and is no worse where it can", {
  found <- decode(y, bent)
  expect_identical(found$method, "network")
  expect_lt(left(found), 0.7 * left(decode(y, ridge_of(x))))
  straight <- planted(200, FALSE, 1)
  truth <- planted(300, FALSE, 2)
  for (snr in c(Inf, 5)) {
    read <- measure(truth, A, snr = snr, seed = 3, verbose = FALSE)
    own <- similar(decode(read, learn(straight, snr = snr)), truth)
    expect_gt(own, similar(decode(read, ridge_of(straight, snr = snr)), truth) - 0.002)
  }
})

test_that("what is kept is the best pass, and never worse than ridge on held-out samples", {
  for (k in seq_len(nrow(bent$members))) {
    member <- bent$members[k, ]
    trace <- bent$convergence[bent$convergence$member == k, ]
    expect_identical(member$loss, min(trace$validation, member$start))
    expect_identical(which.min(c(member$start, trace$validation)) - 1,
                     as.double(member$best_epoch))
    expect_lt(member$loss, member$start)
  }
  # the error of held-out samples by the formula: it is that of the members
  expect_equal(bent$trials$error, colMeans(bent$members[c("start", "loss")]), tolerance = 1e-6,
               ignore_attr = TRUE)
  expect_equal(sum(bent$genes$error^2), bent$trials$error[2], tolerance = 1e-6)
  # steps that are too short to move a digit: the answer is ridge's, to the bit
  still <- learn(x, learning_rate = 1e-30, epochs = 1)
  expect_identical(decode(y, still)$profiles, decode(y, ridge_of(x))$profiles)
})

test_that("intervals cover, with and without noise, from ridge and from nothing", {
  for (snr in c(Inf, 5)) {
    read <- measure(new, A, snr = snr, seed = 3, verbose = FALSE)
    for (start in c("ridge", "zero")) {
      found <- decode(read, learn(x, snr = snr, start = start))
      covered <- abs(found$profiles - new) <= qnorm(0.975) * found$standard_errors
      expect_gt(mean(covered), 0.90)
      expect_lt(mean(covered), 0.97)
    }
  }
})

test_that("a decoder for noise is better on noisy measurements", {
  read <- measure(new, A, snr = 3, seed = 3, verbose = FALSE)
  exact <- suppressWarnings(decode(read, bent))
  expect_lt(left(decode(read, learn(x, snr = 3))), left(exact))
})

test_that("the correlation is what is trained where it is asked for", {
  other <- learn(x, loss = "correlation")
  expect_true(all(other$members$loss < other$members$start & other$members$start < 1))
  # mean of 1 - r over the held-out samples, of the answer of one network
  expect_gt(similar(decode(y, other), new), similar(decode(y, ridge_of(x)), new))
})

test_that("networks on recovered profiles learn from samples that modules have not seen", {
  positive <- x - min(x)
  modules <- learn_dictionary(positive, 15, "smaf", sparsity = 4, held_out = 0, seed = 1,
                              verbose = FALSE, threads = 1)
  both <- learn(positive, input = "recovered", dictionary = modules, start = "zero", snr = 10)
  read <- measure(new - min(x), A, snr = 10, seed = 3, verbose = FALSE)
  recovered <- recover_profiles(read, A, modules, sparsity = 4, verbose = FALSE)
  found <- decode(read, both)
  expect_lt(left(found, new - min(x)), left(recovered, new - min(x)))
  covered <- abs(found$profiles - new + min(x)) <= qnorm(0.975) * found$standard_errors
  expect_gt(mean(covered), 0.90)
  expect_lt(mean(covered), 0.97)
  expect_refusal(learn(x, input = "recovered"), "argument")
  expect_refusal(learn(x, dictionary = modules), "argument")
  expect_refusal(learn(positive[40:1, ], input = "recovered", dictionary = modules), "argument")
})

test_that("the best rates of a grid are taken, and all are told", {
  tuned <- learn(x, tune = list(learning_rate = c(1e-4, 5e-3), decay = c(0, 1e-2)), epochs = 5,
                 ensemble = 1)
  table <- tuned$tuning
  expect_identical(dim(table), c(4L, 7L))
  expect_identical(which(table$chosen), which.min(table$loss))
  expect_identical(tuned$settings$learning_rate, table$learning_rate[table$chosen])
  # a rate that is far too short is not the best
  expect_identical(tuned$settings$learning_rate, 5e-3)
  one <- learn(x, learning_rate = 1e-4, decay = 0, epochs = 5, ensemble = 1, validation = 0.2,
               batch_size = tuned$settings$batch_size)
  expect_identical(one$members$loss, table$loss[1])
  bad <- learn(x, tune = list(learning_rate = c(1e30, 5e-3)), epochs = 5, ensemble = 1)
  expect_identical(is.na(bad$tuning$loss), c(TRUE, FALSE))
})

test_that("the same seed gives the same bits with any number of threads, and files keep them", {
  run <- function(threads, seed = 1) {
    out <- learn(x, snr = 4, epochs = 3, threads = threads, seed = seed)
    decode(y, out, threads = threads)[c("profiles", "standard_errors")]
  }
  expect_identical(run(2), run(1))
  expect_identical(run(3), run(1))
  expect_false(identical(run(1, seed = 2), run(1)))
  file <- withr::local_tempfile()
  saveRDS(bent, file)
  expect_identical(decode(y, readRDS(file)), decode(y, bent))
  # measurements and genes by name
  expect_equal(recover_profiles(y[8:1, ], as.matrix(A)[8:1, 40:1], bent, verbose = FALSE)$profiles,
               decode(y, bent)$profiles)
})

test_that("an interrupted training goes on to the same bits", {
  # long enough for Ctrl-C to be heard, which is asked for 20 times a second
  whole <- learn(x, snr = 30, epochs = 120, patience = 120, hidden = 200, learning_rate = 1e-3)
  given <- unalloy:::decoder_given(unalloy:::profile_matrix(x, "x", NULL),
                                   unalloy:::weights_of(A))
  given$snr <- 30
  # Ctrl-C once the second network has begun
  stopped <- unalloy:::call_rs(
    unalloy:::rs_train_decoder, threads = 1, .given = c(given, whole$settings),
    progress = function(done) if (done >= 121) rlang::interrupt()
  )
  skip_if(is.null(stopped$unfinished), "it was faster than the poll of interrupts")
  part <- unalloy:::new_decoder(stopped, unalloy:::profile_matrix(x, "x", NULL),
                                unalloy:::weights_of(A), whole$settings)
  expect_identical(utils::tail(part$members$reason, 1), "interrupted")
  expect_true(all(is.finite(decode(y, part)$profiles)))
  rest <- continue_training(part, x, verbose = FALSE, threads = 1)
  expect_identical(rest$network, whole$network)
  expect_identical(decode(y, rest), decode(y, whole))
  expect_refusal(continue_training(part), "missing_data")
  expect_refusal(continue_training(part, x[, 200:2]), "argument")
  expect_refusal(continue_training(whole, x), "argument")
})

test_that("summaries and pictures have what the fit has", {
  expect_identical(tidy(bent), bent$genes)
  one <- glance(bent)
  expect_identical(one$networks, 2L)
  expect_equal(one$explained, 1 - sum(bent$genes$error^2) / sum(bent$genes$sd^2))
  expect_identical(glance(ridge_of(x))$networks, NA_real_)
  expect_identical(nrow(plot(bent)$data), 2L * nrow(bent$convergence))
  expect_identical(nrow(plot(bent, "genes")$data), 40L)
  expect_identical(nrow(autoplot(ridge_of(x))$data), 40L)
  expect_refusal(plot(ridge_of(x), "training"), "argument")
})

test_that("input that does not fit is told", {
  expect_snapshot(error = TRUE, {
    learn(x[, 1:9])
    learn(x, start = "mean")
    learn(x, loss = "l1")
    learn(x, hidden = 0.5)
    learn(x, dropout = 1)
    learn(x, ensemble = 0)
    learn(x, validation = 0)
    learn(x, learning_rate = 1e30)
    learn(x, tune = list(rate = 1))
    learn(x, tune = list(learning_rate = 0))
    learn(x, landmarks = 5)
    learn_decoder(x, A, "kernel", start = "ridge")
    decode(y, bent, sparsity = 3)
  })
})

test_that("networks print themselves", {
  withr::local_options(unalloy.threads = 1)
  fixed <- bent
  fixed$members[c("best_epoch", "epochs")] <- list(c(20, 25), c(30L, 30L))
  fixed$genes$error <- fixed$genes$sd / 2
  fixed$trials$error <- c(3, 2)
  expect_snapshot(print(fixed))
})
