# What crosses from R to Rust is refused by name, and sizes that settings choose are
# refused before anything is allocated.

call_rs <- unalloy:::call_rs

test_that("names that stand for nothing are refused everywhere", {
  fit <- fit_small()
  problem <- unalloy:::core_problem(fit$model, small$bulk_counts)
  settings <- fit$settings
  settings$method <- "nwton"
  expect_snapshot(error = TRUE, {
    call_rs(unalloy:::rs_infer, problem = problem, exposures = fit$exposures,
            variance = "rubost", fall = 1, threads = 1)
    call_rs(unalloy:::rs_deconvolve_bulk, problem = problem, settings = settings)
    call_rs(unalloy:::rs_nmf_coefficients, basis = diag(2), offset = numeric(), data = diag(2),
            loss = "kullback", threads = 1)
    call_rs(unalloy:::rs_call_genotypes, reference = diag(2), alternative = diag(2),
            min_coverage = 1, min_allele = 1, weights = "covrage")
  })
  chosen <- list(
    rs_fit_expression = c("learn", "everything"), rs_learn_dictionary = c("method", "pca"),
    rs_recover = c("method", "ols"), rs_cross_validate = c("loss", "huber"),
    rs_nmf = c("algorithm", "als"), rs_factorise_variants = c("noise", "gaussian")
  )
  data <- list(counts = diag(2), sources = diag(2), lengths = c(1, 1), exposures = diag(2))
  reference <- list(variance = diag(2), donors = c(1, 1), totals = c(1, 1), assumed = 1)
  sparse <- methods::as(diag(2), "CsparseMatrix")
  sparse <- methods::as(sparse, "generalMatrix")
  for (binding in names(chosen)) {
    choice <- stats::setNames(list(chosen[[binding]][2L]), chosen[[binding]][1L])
    expect_error(
      call_rs(getNamespace("unalloy")[[binding]], data = data, reference = reference,
              profiles = diag(2), x = diag(2), ranks = 1L, calls = sparse, weights = c(1, 1),
              missing = FALSE,
              settings = c(choice, list(rank = 1, nrun = 1, bootstrap = 0, level = 0.9,
                                        max_iter = 1, tolerance = 0, threads = 1)),
              .given = choice[!names(choice) %in% "weights"]),
      paste0("`", names(choice), "` must be one of .*, not \"", choice[[1L]], "\""),
      class = "unalloy_error_argument"
    )
  }
})

test_that("numbers that are no counts, seeds or flags are refused by name", {
  draw <- function(seed = 1, n = 3, replicates = 2) {
    call_rs(unalloy:::rs_gene_weights, seed = seed, n = n, replicates = replicates)
  }
  expect_equal(colMeans(draw()), c(1, 1))
  expect_identical(draw(n = 3L), draw(n = 3))
  expect_snapshot(error = TRUE, {
    draw(n = -1)
    draw(n = 2.5)
    draw(n = NaN)
    draw(n = NA_integer_)
    draw(replicates = 2^54)
    draw(seed = -1)
    draw(seed = 2^64)
  })
  # seeds are told apart as far as doubles can
  expect_false(identical(draw(seed = 2^63), draw(seed = 2^63 + 2048)))
  fit <- fit_small()
  problem <- unalloy:::core_problem(fit$model, small$bulk_counts)
  expect_snapshot(error = TRUE, {
    call_rs(unalloy:::rs_refit, problem = problem, starts = fit$exposures, only_active = NA,
            threads = 1)
    call_rs(unalloy:::rs_refit, problem = problem, starts = "a", only_active = TRUE, threads = 1)
    call_rs(unalloy:::rs_refit, problem = problem, only_active = TRUE, threads = 1)
  })
})

test_that("seeds end at 2^64", {
  expect_refusal(nmf(small$bulk_counts, 2, seed = 2^64), "argument")
  expect_snapshot(error = TRUE, simulate_bulk(seed = 2^64))
})

test_that("sparse matrices whose slots contradict each other are of one class", {
  good <- methods::as(small$bulk_counts[1:50, ], "CsparseMatrix")
  broken <- list(
    start = function(x) {
      x@p[2L] <- 10000L
      x
    },
    falling = function(x) {
      x@p[3L] <- 1L
      x
    },
    row = function(x) {
      x@i[1L] <- 99L
      x
    },
    order = function(x) {
      x@i[1:2] <- x@i[2:1]
      x
    },
    values = function(x) {
      x@x <- x@x[-1L]
      x
    },
    columns = function(x) {
      x@Dim <- c(50L, 4L)
      x
    }
  )
  for (name in names(broken)) {
    bad <- broken[[name]](good)
    expect_error(call_rs(unalloy:::rs_scan_counts, counts = bad), label = name,
                 class = "unalloy_error_malformed_matrix")
  }
  expect_snapshot(error = TRUE, {
    nmf(broken$row(good), 2, verbose = FALSE)
    fit_small(bulk = broken$order(good))
  })
})

test_that("sizes are refused before anything is allocated", {
  expect_snapshot(error = TRUE, {
    simulate_bulk(n_samples = 1e12)
    simulate_bulk(n_types = 1e9)
    simulate_bulk(n_samples = 2e6)
    type_palette(2147483647)
    estimate_rank(small$bulk_counts, 2, blocks = 1e9)
    nmf(small$bulk_counts, 2, nrun = 1e9)
    nmf(small$bulk_counts, 2, max_iter = 1e12)
    measurement_matrix(1e9, paste0("g", 1:10))
    confint(fit_small(), method = "bootstrap", over = "genes", replicates = 1e9)
  })
  # a core that is asked directly
  expect_refusal(call_rs(unalloy:::rs_gene_weights, seed = 1, n = 2^40, replicates = 2^40),
                 "memory")
})

test_that("no sample uses more modules than there are", {
  x <- small$bulk_counts[1:40, ]
  most <- learn_dictionary(x, 3, "svd", sparsity = 3)
  expect_identical(learn_dictionary(x, 3, "svd", sparsity = 1e9)$activities, most$activities)
})

test_that("threads end where more gain nothing", {
  expect_message(fit <- fit_small(threads = 1e6), class = "unalloy_message")
  expect_identical(fit$exposures, fit_small(threads = 2)$exposures)
  expect_no_message(fit_small(threads = 3))
})

test_that("a time limit is an error, and R goes on", {
  skip_on_cran()
  big <- matrix(stats::rexp(4e5), 1000)
  on.exit(setTimeLimit())
  outcome <- tryCatch({
    setTimeLimit(elapsed = 0.5, transient = TRUE)
    nmf(big, 20, nrun = 1000, method = "brunet", tolerance = 0, max_iter = 1e5, verbose = FALSE)
  }, error = identity, interrupt = function(condition) "interrupted")
  setTimeLimit()
  expect_s3_class(outcome, "unalloy_error_stopped")
  expect_match(conditionMessage(outcome), "elapsed time limit")
})

test_that("R's own lack of memory is an error of the package, and nothing is lost", {
  skip_on_cran()
  skip_on_os(c("windows", "mac", "solaris"))
  skip_if(Sys.which("sh") == "")
  script <- tempfile(fileext = ".R")
  on.exit(unlink(script))
  # 3,000 x 100,000 doubles are 2.4 GB; the address space ends below
  writeLines(c(
    "suppressPackageStartupMessages(library(unalloy))",
    "ask <- function(n) unalloy:::call_rs(unalloy:::rs_fitted, signatures = matrix(1, 3000, 1),",
    "                                     lengths = rep(1, 3000), exposures = matrix(1, 1, n))",
    "for (i in 1:3) cat(class(tryCatch(ask(1e5), error = identity))[1L], \"\\n\")",
    "cat(sum(ask(10)), \"\\n\")"
  ), script)
  r <- file.path(R.home("bin"), "Rscript")
  paths <- paste(.libPaths(), collapse = .Platform$path.sep)
  command <- paste0("ulimit -v 2500000; R_LIBS=", shQuote(paths), " ", shQuote(r), " ",
                    shQuote(script), " 2>&1")
  said <- system2("sh", c("-c", shQuote(command)), stdout = TRUE)
  expect_identical(trimws(said), c(rep("unalloy_error_memory", 3L), "30000"))
})
