# One small dataset of each kind; most tests run on methods that take no time.
held <- pseudo_bulk(small$reference, small$cells$cell_type, small$cells$donor, n_samples = 6,
                    cells_per_sample = 60, platform_sd = 0, held_out = "Donor 2", seed = 1)
run <- function(methods, datasets = list(held = held), ...) {
  benchmark_deconvolution(methods, datasets, verbose = FALSE, ...)
}
score <- function(benchmark, metric, method = 1L) {
  scores <- benchmark$scores
  scores$value[scores$metric == metric & scores$method == levels(scores$method)[method]]
}
oracle <- function(dataset) held$truth_mrna

# Another function in the package's place, until the end of the test.
local_function <- function(name, value, frame = parent.frame()) {
  space <- asNamespace("unalloy")
  put <- function(value) {
    unlockBinding(name, space)
    assign(name, value, space)
    lockBinding(name, space)
  }
  old <- get(name, space)
  put(value)
  withr::defer(put(old), frame)
}

test_that("an oracle has no error, and one in any order of types and samples", {
  reversed <- function(dataset) held$truth_mrna[4:1, 6:1]
  scaled <- function(dataset) rbind(7 * held$truth_mrna, other = 3)
  b <- run(list(oracle = oracle, reversed = reversed, scaled = scaled))
  for (method in 1:3) {
    expect_equal(score(b, "rmse", method), 0)
    expect_equal(score(b, "mae", method), 0)
    expect_equal(score(b, "bias", method), 0)
    expect_equal(score(b, "correlation", method), 1)
    expect_equal(score(b, "type_correlation", method), 1)
  }
})

test_that("scores equal those computed by hand", {
  truth <- matrix(c(0.2, 0.8, 0.6, 0.4, 0.5, 0.5), 2,
                  dimnames = list(c("Type A", "Type B"), colnames(held$bulk_counts)[1:3]))
  estimate <- matrix(c(0.3, 0.7, 0.4, 0.6, 0.5, 0.5), 2, dimnames = dimnames(truth))
  data <- c(held[c("reference", "cell_types", "bulk_counts")], list(truth_mrna = truth))
  b <- run(list(given = function(dataset) estimate), list(data = data))
  expect_equal(score(b, "rmse"), sqrt((0.01 + 0.04 + 0) / 3))
  expect_equal(score(b, "mae"), 0.1)
  expect_equal(score(b, "bias"), 0.1 / 3)
  expect_equal(score(b, "correlation"),
               cor(c(0.2, 0.8, 0.6, 0.4, 0.5, 0.5), c(0.3, 0.7, 0.4, 0.6, 0.5, 0.5)))
  expect_equal(score(b, "type_correlation"), cor(c(0.2, 0.6, 0.5), c(0.3, 0.4, 0.5)))
  expect_equal(b$estimates$estimate, as.vector(estimate))
  expect_equal(b$estimates$truth, as.vector(truth))
})

test_that("the trivial baseline is the composition of the reference in every sample", {
  b <- run("mean")
  total <- tapply(Matrix::colSums(held$reference), held$cell_types, sum)
  expect_equal(b$estimates$estimate, rep(as.vector(total / sum(total)), 6))
  expect_equal(score(b, "type_correlation"), 0)
})

test_that("correlation does not count types whose truth is constant", {
  truth <- rbind(c(1, 2, 3), 2)
  expect_equal(BENCHMARK_METRICS$type_correlation(truth, rbind(c(1, 2, 3), c(9, 1, 4))), 1)
  expect_equal(BENCHMARK_METRICS$type_correlation(truth, rbind(c(1, 1, 1), c(9, 1, 4))), 0)
  expect_identical(BENCHMARK_METRICS$type_correlation(truth[, 1, drop = FALSE],
                                                      truth[, 1, drop = FALSE]), NA_real_)
})

test_that("pseudo-bulk is the sum of cells of held-out donors, and truth their share of UMI", {
  counts <- as.matrix(small$reference)
  expect_equal(unname(held$bulk_counts), unname(as.matrix(counts %*% held$drawn)))
  expect_identical(rownames(held$bulk_counts), rownames(counts))
  used <- Matrix::rowSums(held$drawn) > 0
  expect_identical(unique(as.character(small$cells$donor[used])), "Donor 2")
  expect_identical(unname(colSums(as.matrix(held$drawn))), rep(60, 6))
  by_type <- rowsum(as.matrix(held$drawn * colSums(counts)), small$cells$cell_type)
  expect_equal(held$truth_mrna, t(t(by_type) / colSums(by_type)))
  expect_equal(unname(held$truth_cells),
               unname(rowsum(as.matrix(held$drawn), small$cells$cell_type) / 60))
})

test_that("no cell of a held-out donor is in the reference", {
  expect_setequal(levels(held$donors), c("Donor 1", "Donor 3"))
  expect_false(any(colnames(held$reference) %in% small$cells$cell[small$cells$donor == "Donor 2"]))
  expect_equal(ncol(held$reference), sum(small$cells$donor != "Donor 2"))
  # fewer samples than held-out donors: their cells are in neither part
  two <- pseudo_bulk(small$reference, small$cells$cell_type, small$cells$donor, n_samples = 1,
                     cells_per_sample = 10, held_out = c("Donor 1", "Donor 2"), seed = 1)
  expect_identical(levels(two$donors), "Donor 3")
  by_chance <- pseudo_bulk(small$reference, small$cells$cell_type, small$cells$donor,
                           n_samples = 2, cells_per_sample = 10, seed = 3)
  expect_length(levels(by_chance$donors), 2)
})

test_that("without donors the cells of each type are split", {
  split <- pseudo_bulk(small$reference, small$cells$cell_type, n_samples = 3,
                       cells_per_sample = 500, seed = 1)
  used <- colnames(small$reference)[Matrix::rowSums(split$drawn) > 0]
  expect_length(intersect(used, colnames(split$reference)), 0)
  expect_equal(as.vector(table(split$cell_types)), as.vector(table(small$cells$cell_type)) / 2)
  expect_null(split$donors)
})

test_that("types that a donor lacks are not in its samples, and unknown ones in none", {
  types <- as.character(small$cells$cell_type)
  donors <- as.character(small$cells$donor)
  # Type A is not in the held-out donor, Type B in no other
  kept <- !(types == "Type A" & donors == "Donor 2") & !(types == "Type B" & donors != "Donor 2")
  expect_warning(
    made <- pseudo_bulk(small$reference[, kept], types[kept], donors[kept], n_samples = 4,
                        cells_per_sample = 50, held_out = "Donor 2", seed = 1),
    "\"Type A\", \"Type B\"", class = "unalloy_warning_few_cells"
  )
  expect_identical(rownames(made$truth_mrna), c("Type A", "Type C", "Type D"))
  expect_true(all(made$truth_mrna["Type A", ] == 0))
  expect_equal(unname(colSums(made$truth_mrna)), rep(1, 4))
})

test_that("types with few cells in a donor are not mixed, unless donors are", {
  # ten cells of Type A in each of two held-out donors
  few <- small$cells$cell_type == "Type A" & duplicated(small$cells[2:3]) &
    ave(seq_along(small$cells$cell), small$cells$cell_type, small$cells$donor,
        FUN = seq_along) > 10
  make <- function(...) {
    pseudo_bulk(small$reference[, !few], small$cells$cell_type[!few], small$cells$donor[!few],
                n_samples = 2, held_out = c("Donor 1", "Donor 2"), seed = 1, ...)
  }
  expect_true(all(make(min_cells = 10)$truth_mrna["Type A", ] > 0))
  expect_warning(alone <- make(min_cells = 11), "\"Type A\"", class = "unalloy_warning_few_cells")
  expect_true(all(alone$truth_mrna["Type A", ] == 0))
  mixed <- make(min_cells = 11, mix_donors = TRUE)
  expect_true(all(mixed$truth_mrna["Type A", ] > 0))
  used <- Matrix::rowSums(mixed$drawn) > 0
  expect_setequal(as.character(mixed$cells$donor[used]), c("Donor 1", "Donor 2"))
  # advice that can still be taken
  advice <- function(...) {
    problem <- tryCatch(make(min_cells = 50, ...), unalloy_error_argument = identity)
    c(mix = grepl("mix_donors", conditionMessage(problem)),
      more = grepl("Hold out more donors", conditionMessage(problem)))
  }
  expect_identical(advice(), c(mix = TRUE, more = TRUE))
  expect_identical(advice(mix_donors = TRUE), c(mix = FALSE, more = TRUE))
  expect_error(pseudo_bulk(small$reference, small$cells$cell_type, min_cells = 500),
               "Lower `min_cells`\\.", class = "unalloy_error_argument")
})

test_that("platform effects multiply genes, and only those of the protocol shift", {
  noisy <- pseudo_bulk(small$reference, small$cells$cell_type, small$cells$donor, n_samples = 6,
                       cells_per_sample = 60, platform_sd = 1, held_out = "Donor 2", seed = 1)
  exact <- as.matrix(small$reference %*% noisy$drawn)
  expect_equal(unname(noisy$bulk_counts), unname(round(exact * exp(noisy$platform))))
  expect_lt(abs(sd(noisy$platform) - 1), 0.15)
  counts <- small$reference
  rownames(counts)[1:3] <- c("RPL10", "MT-CO1", "RPS3")
  shifted <- pseudo_bulk(counts, small$cells$cell_type, small$cells$donor, n_samples = 2,
                         cells_per_sample = 60, platform_sd = 0, protocol_shift = -1.5, seed = 1)
  expect_equal(unname(shifted$platform[1:3]), rep(-1.5, 3))
  expect_true(all(shifted$platform[-(1:3)] == 0))
})

test_that("proportions are those asked for, and the seed decides the draw", {
  asked <- cbind(one = c("Type A" = 0.25, "Type C" = 0.75))
  made <- pseudo_bulk(small$reference, small$cells$cell_type, small$cells$donor,
                      proportions = asked, cells_per_sample = 4000, seed = 1)
  expect_equal(made$truth_cells[, "one"], c("Type A" = 0.25, "Type B" = 0, "Type C" = 0.75,
                                            "Type D" = 0), tolerance = 0.05)
  set.seed(5)
  before <- runif(1)
  set.seed(5)
  again <- pseudo_bulk(small$reference, small$cells$cell_type, small$cells$donor, n_samples = 6,
                       cells_per_sample = 60, platform_sd = 0, held_out = "Donor 2", seed = 1)
  expect_identical(runif(1), before)
  expect_identical(again$bulk_counts, held$bulk_counts)
})

test_that("a method that fails is reported, and the others go on", {
  failing <- list(
    stops = function(dataset) stop("out of luck"),
    vector = function(dataset) 1:3,
    turned = function(dataset) t(held$truth_mrna),
    strange = function(dataset) {
      matrix(1, 1, 6, dimnames = list("no type", colnames(held$truth_mrna)))
    },
    missing = function(dataset) replace(held$truth_mrna, 1, NA),
    warns = function(dataset) {
      warning("careful")
      message("not shown")
      cat("not shown either")
      held$truth_mrna
    }
  )
  expect_silent(b <- run(failing))
  reasons <- stats::setNames(b$runs$failure, b$runs$method)
  expect_match(reasons[["stops"]], "out of luck")
  expect_match(reasons[["vector"]], "numeric matrix")
  expect_match(reasons[["turned"]], "transposed")
  expect_match(reasons[["strange"]], "no type of the truth, but \"no type\"", fixed = TRUE)
  expect_match(reasons[["missing"]], "missing values for \"Sample1\"", fixed = TRUE)
  expect_identical(reasons[["warns"]], NA_character_)
  expect_identical(b$runs$warnings[b$runs$method == "warns"], "careful")
  expect_identical(is.na(b$scores$value), rep(1:6 < 6, each = 7))
  expect_true(all(is.na(b$estimates$estimate[b$estimates$method != "warns"])))
  expect_output(print(b), "stops on held: out of luck")
  expect_equal(summary(b)$methods$failed, c(0, 1, 1, 1, 1, 1))
})

test_that("methods do not see the truth, and see cleaned genes of both sides", {
  counts <- small$reference
  rownames(counts)[1:2] <- c("RPL10", "MT-CO1")
  data <- pseudo_bulk(counts, small$cells$cell_type, small$cells$donor, n_samples = 2, seed = 1)
  data$bulk_counts <- data$bulk_counts[c(1:50, 1, 60:400), ]
  data$gene_lengths <- small$gene_lengths[3:399]
  seen <- list()
  spy <- function(dataset) {
    seen[[length(seen) + 1L]] <<- dataset
    data$truth_mrna
  }
  run(list(spy = spy), list(data = data))
  run(list(spy = spy), list(data = data), clean = FALSE)
  expect_false(any(c("truth_mrna", "truth_cells") %in% names(seen[[1L]])))
  expected <- rownames(counts)[c(3:50, 60:399)]
  for (i in 1:2) {
    expect_identical(rownames(seen[[i]]$bulk_counts), expected)
    expect_identical(rownames(seen[[i]]$reference), expected)
  }
  # reads are divided by length, depth is kept
  ratio <- seen[[1L]]$bulk_counts[, 1] / data$bulk_counts[expected, 1] *
    small$gene_lengths[expected]
  expect_lt(diff(range(ratio, na.rm = TRUE)), 1e-8 * mean(ratio, na.rm = TRUE))
  expect_equal(colSums(seen[[1L]]$bulk_counts), colSums(data$bulk_counts[expected, ]))
  data$gene_lengths <- NULL
  run(list(spy = spy), list(data = data), clean = FALSE)
  run(list(spy = spy), list(data = data))
  expect_identical(setdiff(rownames(seen[[3L]]$bulk_counts), rownames(seen[[4L]]$bulk_counts)),
                   c("RPL10", "MT-CO1"))
})

test_that("types of the reference are summed to the types of a coarser truth", {
  groups <- c("Type A" = "AB", "Type B" = "AB")
  coarse <- rowsum(held$truth_mrna, c("AB", "AB", "Type C", "Type D"))
  data <- c(held[c("reference", "cell_types", "donors", "bulk_counts")],
            list(truth_mrna = coarse, groups = groups))
  b <- run(list(oracle = oracle, "unalloy", "mean"), list(coarse = data))
  expect_equal(score(b, "rmse", 1L), 0)
  expect_identical(unique(b$estimates$type), c("AB", "Type C", "Type D"))
  fine <- run("unalloy")$estimates
  fine <- matrix(fine$estimate, 4)
  own <- matrix(b$estimates$estimate[b$estimates$method == "unalloy"], 3)
  expect_equal(own, rbind(fine[1, ] + fine[2, ], fine[3:4, ]))
  made <- pseudo_bulk(small$reference, small$cells$cell_type, small$cells$donor, n_samples = 6,
                      cells_per_sample = 60, platform_sd = 0, held_out = "Donor 2",
                      groups = groups, seed = 1)
  expect_equal(made$truth_mrna, coarse)
})

test_that("truth and estimates are compared over the types that both have", {
  lacking <- held
  lacking$truth_mrna <- rbind(2 * held$truth_mrna[1:3, ], absent = 1)
  b <- run(list(oracle = oracle), list(lacking = lacking))
  expect_equal(score(b, "rmse"), 0)
  expect_equal(matrix(b$estimates$truth, 3), unname(t(t(held$truth_mrna[1:3, ]) /
                                                       colSums(held$truth_mrna[1:3, ]))))
})

test_that("built-in methods find easy mixtures, and the estimates are those of their calls", {
  b <- run(c("unalloy", "poisson", "markers", "nnls", "mean"), list(easy = small, held = held))
  table <- score_table(b, "rmse")
  expect_true(all(table[1:4, ] < 0.06))
  expect_true(all(table["mean", ] > 2 * table["unalloy", ]))
  direct <- deconvolve_bulk(small_signatures, small$bulk_counts, small$gene_lengths,
                            verbose = FALSE)
  own <- b$estimates[b$estimates$method == "unalloy" & b$estimates$dataset == "easy", ]
  expect_equal(own$estimate, as.vector(direct$proportions))
  expect_equal(own$truth, as.vector(small$truth_mrna))
})

test_that("least squares equal those of nnls, and satisfy the conditions of an optimum", {
  withr::local_seed(1)
  for (i in 1:20) {
    a <- matrix(rexp(60 * 6), 60)
    b <- a %*% pmax(rnorm(6), 0) + rnorm(60)
    x <- nnls_fit(a, b)
    gradient <- drop(crossprod(a, b - a %*% x))
    expect_true(all(x >= 0))
    expect_lt(max(abs(gradient[x > 0]), 0), 1e-8 * max(abs(crossprod(a, b))))
    expect_lte(max(gradient[x == 0], -Inf), 1e-8 * max(abs(crossprod(a, b))))
    if (rlang::is_installed("nnls")) expect_equal(x, nnls::nnls(a, b)$x)
  }
  expect_equal(nnls_fit(cbind(1:3, 1:3), 1:3), c(1, 0))
  expect_equal(nnls_fit(cbind(1:3, 3:1), -(1:3)), c(0, 0))
})

test_that("nu-SVR finds easy mixtures", {
  skip_if_not_installed("e1071")
  expect_lt(score(run("nu-svr", list(easy = small)), "rmse"), 0.08)
})

test_that("adapters hand over what packages take, and name what comes back", {
  # Fakes that return shares of 1, 2, 3, 4 in the documented shape: they test our
  # side of the call, not the packages.
  shares <- function(types, samples) {
    matrix(as.numeric(sub("\\D+", "", types)), length(types), length(samples),
           dimnames = list(types, samples))
  }
  across <- function(types, samples) t(shares(types, samples))
  expression <- function(set) getExportedValue("Biobase", "exprs")(set)
  scdc <- function(bulk.eset, sc.eset, ct.varname, sample, ct.sub) {
    stopifnot(setequal(ct.sub, sc.eset[[ct.varname]]), !anyNA(sc.eset[[sample]]))
    list(prop.est.mvw = across(ct.sub, colnames(expression(bulk.eset))))
  }
  by_rows <- function(Y, references) {
    stopifnot(identical(colnames(Y), colnames(references)))
    list(estimates = across(rownames(references), rownames(Y)))
  }
  theta <- methods::setClass("FakeTheta", slots = c(theta = "matrix"), where = environment())
  fit <- methods::setClass("FakeFit", slots = c(Post.ini.ct = "FakeTheta"),
                           where = environment())
  # nolint start: object_name_linter.
  fakes <- list(
    music_prop = function(bulk.mtx, sc.sce, clusters, samples, verbose) {
      # as the package does, by its bare name
      stopifnot(ncol(eval(quote(counts(x)), list(x = sc.sce), globalenv())) == ncol(sc.sce))
      types <- unique(SummarizedExperiment::colData(sc.sce)[[clusters]])
      list(Est.prop.weighted = across(types, colnames(bulk.mtx)))
    },
    refPrepare = function(sc_Expr, cell.type.labels, cell.state.labels) unique(cell.type.labels),
    InstaPrism = function(bulk_Expr, refPhi_cs) {
      fit(Post.ini.ct = theta(theta = shares(refPhi_cs, colnames(bulk_Expr))))
    },
    new.prism = function(reference, mixture, cell.type.labels, ...) {
      stopifnot(nrow(reference) == length(cell.type.labels), ncol(reference) == ncol(mixture))
      across(unique(cell.type.labels), rownames(mixture))
    },
    run.prism = function(prism, n.cores) prism,
    get.fraction = function(bp, which.theta, state.or.type) bp,
    ReferenceBasedDecomposition = function(bulk.eset, sc.eset, cell.types, ...) {
      list(bulk.props = shares(unique(sc.eset[[cell.types]]), colnames(expression(bulk.eset))))
    },
    EPIC = function(bulk, reference) {
      stopifnot(all(reference$sigGenes %in% rownames(bulk)))
      list(mRNAProportions = cbind(across(colnames(reference$refProfiles), colnames(bulk)),
                                   otherCells = 0))
    },
    buildSignatureMatrixMAST = function(scdata, id, path) {
      stopifnot(dir.exists(path), ncol(scdata) == length(id))
      across(unique(id), rownames(scdata)[1:5])
    },
    trimData = function(Signature, bulkdata) list(sig = Signature, bulk = bulkdata),
    solveDampenedWLS = function(S, B) {
      stopifnot(!is.null(names(B)))
      S[1L, ]
    },
    SCDC_prop = scdc, dtangle = by_rows, hspe = by_rows,
    DeconRNASeq = function(datasets, signatures, ...) {
      stopifnot(identical(rownames(datasets), rownames(signatures)))
      out <- across(colnames(signatures), colnames(datasets))
      list(out.all = matrix(out, nrow(out), dimnames = list(NULL, colnames(out))))
    }
  )
  # nolint end
  local_function("from", function(package, name) fakes[[name]])
  named <- held
  rownames(named$reference)[1:40] <- rownames(named$bulk_counts)[1:40] <- paste0("RPS", 1:40, "A")
  input <- peer_input(with_signatures(as_dataset(named, "held", NULL)), TRUE)
  kept <- colSums(input$signatures$profiles[41:400, ])
  expect_true(all(kept < 1))
  expected <- list(mRNA = 1 / kept, cells = input$signatures$umi, all = 1)
  gives <- c(instaprism = "mRNA", bayesprism = "mRNA", epic = "mRNA", dwls = "cells",
             dtangle = "all", hspe = "all", deconrnaseq = "all")
  if (rlang::is_installed("Biobase")) gives <- c(gives, bisque = "all", scdc = "cells")
  if (rlang::is_installed("SingleCellExperiment")) gives <- c(gives, music = "cells")
  attached <- search()
  for (method in names(gives)) {
    estimate <- suppressWarnings(BENCHMARK_METHODS[[method]]$run(input),
                                 classes = "unalloy_warning_few_markers")
    estimate <- estimate[rownames(held$truth_mrna), ]
    expect_equal(estimate, matrix((1:4) * expected[[gives[[method]]]], 4, 6,
                                  dimnames = dimnames(held$truth_mrna)), info = method)
  }
  expect_identical(search(), attached)
})

test_that("packages that are not there are skipped with a message", {
  local_function("is_there", function(package) FALSE)
  expect_message(b <- benchmark_deconvolution(c("mean", "music"), held), "\"music\"",
                 class = "unalloy_message")
  expect_identical(levels(b$runs$method), "mean")
  expect_error(run("music"), "installed", class = "unalloy_error_argument")
  expect_false(any(benchmark_methods()$installed[benchmark_methods()$package != ""]))
})

test_that("every run starts from the seed, and R's own stream is left alone", {
  random <- function(dataset) held$truth_mrna + stats::runif(24)
  b <- run(list(first = random, second = random), seed = 4)
  expect_equal(score(b, "rmse", 1), score(b, "rmse", 2))
  expect_gt(score(b, "rmse", 1), 0)
  set.seed(1)
  expected <- runif(1)
  set.seed(1)
  run(list(first = random), seed = 4)
  expect_identical(runif(1), expected)
})

test_that("ranks go by the metric, ties share, and failures come last", {
  scores <- rbind(a = c(x = 0.1, y = NA), b = c(0.1, 0.3), c = c(0.3, 0.2))
  expect_equal(unname(score_ranks(scores, "rmse")), cbind(c(1, 1, 3), c(3, 2, 1)))
  expect_equal(unname(score_ranks(scores, "correlation")), cbind(c(2, 2, 1), c(3, 1, 2)))
})

test_that("the best of each dataset is marked, and tables hold every run", {
  b <- run(list("mean", oracle = oracle), list(one = held, two = held))
  out <- capture.output(print(b))
  expect_match(out[4], "oracle .*0\\.000\\* .*0\\.000\\*")
  expect_false(grepl("*", out[5], fixed = TRUE))
  expect_equal(nrow(as.data.frame(b)), 2 * 2 * 6 * 4)
  expect_equal(nrow(as.data.frame(b, what = "scores")), 2 * 2 * 7)
  expect_equal(nrow(as.data.frame(b, what = "runs")), 4)
  s <- summary(b)
  expect_identical(s$methods$method, c("oracle", "mean"))
  expect_equal(s$methods$best_in, c(2, 0))
  own <- b$estimates[b$estimates$method == "mean" & b$estimates$dataset == "one", ]
  bias <- tapply(own$estimate - own$truth, own$type, mean)
  shown <- s$types[s$types$method == "mean" & s$types$dataset == "one", ]
  expect_equal(shown$bias, as.vector(bias[shown$type]))
  expect_output(print(s), "Largest errors of \"oracle\"")
  expect_output(print(held), "held-out donor")
})

test_that("plots show the numbers of the benchmark", {
  b <- run(list("mean", oracle = oracle, bad = function(dataset) stop("no")))
  points <- ggplot2::layer_data(plot(b), 2)
  drawn <- b$estimates[b$estimates$method != "bad", ]
  expect_equal(sort(points$x), sort(drawn$truth))
  expect_equal(sort(points$y), sort(drawn$estimate))
  ranges <- ggplot2::layer_data(plot(b, "error", methods = "mean"), 2)
  own <- drawn[drawn$method == "mean", ]
  error <- split(own$estimate - own$truth, own$type)
  expect_equal(sort(ranges$xmin), sort(unname(vapply(error, quantile, 0, 0.1))))
  ranks <- plot(b, "rank")
  expect_identical(levels(ranks$data$method), c("bad", "mean", "oracle"))
  expect_identical(ranks$data$label[ranks$data$method == "bad"], "failed")
  expect_identical(ranks$labels$subtitle, "By RMSE")
  expect_identical(nlevels(plot(b, methods = "oracle")$data$method), 1L)
  expect_error(plot(run(list(bad = function(dataset) stop("no")))), "every method failed",
               class = "unalloy_error_argument")
})

test_that("bad input is named", {
  argument <- "unalloy_error_argument"
  expect_error(run("cibersort"), "\"nu-svr\"", class = argument)
  expect_error(run("mean", metrics = "r2"), "\"type_correlation\"", class = argument)
  expect_error(run(list(oracle)), "name of its own", class = argument)
  expect_error(run(list("mean", mean = oracle)), "\"mean\"", class = argument)
  expect_error(run(list(a = 1)), "Number 1 is 1", class = argument)
  expect_error(benchmark_deconvolution("mean"), "`datasets` must be given", class = argument)
  expect_error(run("mean", 3), "It is 3", class = argument)
  expect_error(plot(run("mean"), "rank", metric = "r2"), "\"rmse\"", class = argument)
  expect_error(plot(run("mean"), methods = "nnls"), "\"nnls\"", class = argument)
  dataset <- "unalloy_error_dataset"
  expect_error(run("mean", list(a = held["bulk_counts"])), "\"a\".*\"reference\"", class = dataset)
  old <- stats::setNames(held[c("reference", "cell_types", "bulk_counts", "truth_mrna")],
                         c("reference", "cell_types", "bulk", "truth"))
  expect_error(run("mean", list(a = old)), "are called `bulk_counts` and `truth_mrna`",
               class = dataset)
  without <- function(...) utils::modifyList(unclass(held), list(...))
  expect_error(run("mean", list(a = without(truth_mrna = t(held$truth_mrna)))), "t\\(truth_mrna\\)",
               class = dataset)
  expect_error(run("mean", list(a = without(truth_mrna = held$truth_mrna * NA))), "\"Sample1\"",
               class = dataset)
  others <- held$truth_mrna
  rownames(others) <- letters[1:4]
  expect_error(run("mean", list(a = without(truth_mrna = others))), "Give `groups`",
               class = dataset)
  expect_error(run("mean", list(a = without(groups = c(x = "y")))), "\"x\"", class = dataset)
  expect_error(run("mean", list(a = without(gene_lengths = 1:3))), "named by gene",
               class = dataset)
  expect_error(run("mean", list(a = without(bulk_counts = log1p(held$bulk_counts)))),
               class = "unalloy_error_log_scale")
  make <- function(...) {
    pseudo_bulk(small$reference, small$cells$cell_type, small$cells$donor, ...)
  }
  expect_error(make(held_out = "Donor 9"), "\"Donor 9\"", class = argument)
  expect_error(make(held_out = paste("Donor", 1:3)), "some, not all", class = argument)
  expect_error(pseudo_bulk(small$reference, small$cells$cell_type, held_out = "a"),
               "two donors", class = argument)
  expect_error(make(concentration = -1), "`concentration`", class = argument)
  expect_error(make(proportions = cbind(c(x = 1))), "\"x\"", class = argument)
  expect_error(pseudo_bulk(small$reference), class = "unalloy_error_cell_types")
})

test_that("messages read well", {
  expect_snapshot(error = TRUE, run("cibersort"))
  expect_snapshot(error = TRUE, run("mean", list(own = held["bulk_counts"])))
  expect_snapshot(error = TRUE, pseudo_bulk(small$reference, small$cells$cell_type,
                                            small$cells$donor, held_out = "Donor 9"))
})
