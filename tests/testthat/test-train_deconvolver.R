# Three types with strong markers, two donors, no difference between platforms.
easy <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 6, n_donors = 2,
                      cells_per_type = 30, platform_sd = 0, length_exponent = 0, seed = 3)
train <- function(..., x = easy$reference, types = easy$cells$cell_type, steps = 150,
                  ensemble = 1, platform_sd = 0.2, hidden = 32, batch_size = 32, cells = 100,
                  threads = 1) {
  train_deconvolver(x, types, ..., steps = steps, ensemble = ensemble, platform_sd = platform_sd,
                    hidden = hidden, batch_size = batch_size, cells = cells, verbose = FALSE,
                    threads = threads)
}
network <- train(ensemble = 2, steps = 400)
column_shares_of <- function(x) x / rep(colSums(x), each = nrow(x))
read <- function(network, bulk = easy$bulk_counts, ...) {
  predict(network, bulk, verbose = FALSE, ...)
}
result <- read(network)

test_that("planted shares are found, and shares are shares", {
  shares <- result$proportions
  expect_identical(dimnames(shares), dimnames(easy$truth_mrna))
  expect_true(all(shares >= 0))
  expect_equal(unname(colSums(shares)), rep(1, 6))
  # shares drawn at random from the simplex err by 0.3
  expect_lt(sqrt(mean((shares - easy$truth_mrna)^2)), 0.06)
  # fresh mixtures are told apart as they were in training
  expect_lt(network$error$rmse, 0.08)
})

test_that("a sample does not depend on its cohort, nor on the order of genes", {
  alone <- read(network, easy$bulk_counts[, 3, drop = FALSE])
  # products of other sizes are rounded otherwise, in single precision
  expect_equal(alone$proportions[, 1], result$proportions[, 3], tolerance = 1e-5)
  expect_identical(read(network, easy$bulk_counts[300:1, ])$proportions, result$proportions)
  # nor on depth, or on genes that the reference does not have
  expect_equal(read(network, 7 * easy$bulk_counts)$proportions, result$proportions,
               tolerance = 1e-5)
  more <- rbind(easy$bulk_counts, other = 1e6)
  expect_identical(read(network, more)$proportions, result$proportions)
})

test_that("types permuted are shares permuted, up to other starts", {
  names <- c("Type A" = "Z", "Type B" = "Y", "Type C" = "X")
  turned <- train(types = unname(names[easy$cells$cell_type]), ensemble = 2, steps = 400)
  expect_identical(turned$types, c("X", "Y", "Z"))
  again <- read(turned)$proportions[unname(names[rownames(result$proportions)]), ]
  # two trainings of networks that err by 0.03
  expect_lt(sqrt(mean((again - result$proportions)^2)), 0.05)
})

test_that("threads and the form of the counts do not change a bit, seeds do", {
  one <- train()
  expect_identical(train(threads = 2)$members, one$members)
  expect_identical(train(threads = 3)$members, one$members)
  expect_identical(train(x = as.matrix(easy$reference))$members, one$members)
  expect_false(identical(train(seed = 2)$members, one$members))
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(network, file)
  expect_identical(read(readRDS(file))$proportions, result$proportions)
})

test_that("objects of cells are read by the names of their columns", {
  skip_if_not_installed("SingleCellExperiment")
  cells <- SingleCellExperiment::SingleCellExperiment(
    list(counts = easy$reference), colData = S4Vectors::DataFrame(easy$cells)
  )
  one <- train()
  expect_identical(train(x = cells, types = "cell_type")$members, one$members)
  # donors and states change which cells meet in a mixture
  with <- train(x = cells, types = "cell_type", donors = "donor", states = "donor")
  expect_false(identical(with$members, one$members))
})

test_that("what is missing has its mean, which is said, and too much is refused", {
  absent <- network$genes[1]
  some <- easy$bulk_counts[rownames(easy$bulk_counts) != absent, ]
  expect_message(predict(network, some, cell_size = "none"), absent)
  found <- read(network, some)
  expect_identical(found$genes$missing, absent)
  expect_lt(max(abs(found$proportions - result$proportions)), 0.1)
  # the same as with the mean in its place, up to the total
  few <- easy$bulk_counts[!rownames(easy$bulk_counts) %in% network$genes[1:10], ]
  expect_snapshot(predict(network, few), error = TRUE)
  chosen <- train(candidates = rownames(few))
  expect_false(any(network$genes[1:10] %in% chosen$genes))
  expect_silent(read(chosen, few))
})

test_that("shares of mRNA and of cells are what the network was trained for", {
  # cells of the first type have five times the molecules
  big <- easy$cells$cell_type == "Type A"
  counts <- easy$reference
  counts[, big] <- counts[, big] * 5
  size <- tapply(Matrix::colSums(counts), easy$cells$cell_type, mean)
  of_cells <- train(x = counts, truth = "cells", steps = 400)
  found <- read(of_cells)
  expect_equal(found$proportions, column_shares_of(found$cell_fractions * as.vector(size)))
  expect_equal(unname(colSums(found$cell_fractions)), rep(1, 6))
  # both kinds of truth read the same mRNA from the same bulk
  mixed <- counts %*% Matrix::sparse.model.matrix(~ 0 + easy$cells$cell_type)
  mixed <- as.matrix(mixed)
  dimnames(mixed) <- list(rownames(counts), c("Type A", "Type B", "Type C"))
  bulk <- mixed %*% matrix(1 / 3, 3, 2)
  colnames(bulk) <- c("a", "b")
  # equal numbers of cells, and 5 : 1 : 1 of about equal mRNA
  expect_equal(unname(read(of_cells, bulk)$cell_fractions[, 1]), rep(1 / 3, 3), tolerance = 0.15)
  expect_error(read(of_cells, bulk, cell_size = "literature"), class = "unalloy_error_cell_size")
  sized <- read(network, cell_size = c("Type A" = 2, "Type B" = 1, "Type C" = 1))
  expect_equal(sized$cell_fractions, column_shares_of(sized$proportions / c(2, 1, 1)))
})

test_that("intervals cover mixtures of the training, and follow the delta method", {
  # new mixtures of the reference's cells, beside a platform like the training's
  drawn <- pseudo_bulk(easy$reference, easy$cells$cell_type, n_samples = 60,
                       cells_per_sample = 100, platform_sd = 0.2, type_sd = 0.08, seed = 1)
  mine <- train(x = drawn$reference, types = drawn$cell_types, ensemble = 2, steps = 400)
  found <- read(mine, drawn$bulk_counts)
  intervals <- confint(found, level = 0.9)
  truth <- as.vector(drawn$truth_mrna)
  covered <- mean(intervals$lower <= truth & truth <= intervals$upper)
  # of 180 that depend on each other, and on one platform of 60
  expect_gt(covered, 0.75)
  expect_identical(intervals$estimate, as.vector(found$proportions))
  expect_true(all(intervals$lower <= intervals$estimate & intervals$estimate <= intervals$upper))
  expect_equal(unname(diag(vcov(found, samples = 2))), intervals$std_error[4:6]^2)
  sized <- read(mine, drawn$bulk_counts, cell_size = c("Type A" = 2, "Type B" = 1, "Type C" = 1))
  moved <- function(p) column_shares_of(matrix(p / c(2, 1, 1)))[, 1]
  p <- sized$proportions[, 1]
  slope <- sapply(1:3, function(k) {
    step <- replace(numeric(3), k, 1e-6)
    (moved(p + step) - moved(p - step)) / 2e-6
  })
  expect_equal(unname(vcov(sized, samples = 1)),
               unname(slope %*% vcov(sized, 1, "proportions") %*% t(slope)), tolerance = 1e-6)
  # more networks that differ make intervals longer
  one <- mine
  one$members <- one$members[1]
  expect_true(all(vcov(read(one, drawn$bulk_counts), 1)[cbind(1:3, 1:3)] <=
                    vcov(found, 1)[cbind(1:3, 1:3)] + 1e-3))
})

test_that("a prediction goes through the verbs that need shares, and no others", {
  sample_data(result) <- data.frame(sample = colnames(easy$bulk_counts), arm = rep(c("a", "b"), 3))
  expect_snapshot({
    network
    result
    summary(result)
  }, transform = function(lines) gsub("0\\.[0-9]+|Sample .*", "#", lines))
  expect_identical(as.matrix(result), result$proportions)
  expect_identical(result[2:3]$proportions, result$proportions[, 2:3])
  expect_identical(dim(result[, 1]), c(3L, 1L))
  expect_equal(nrow(tidy(result, conf.int = TRUE)), 18L)
  expect_identical(glance(result)$members, 2L)
  compared <- compare_groups(result, ~ arm)
  plain <- compare_groups(result$proportions, ~ arm, sample_data(result))
  expect_equal(as.data.frame(compared)$estimate, as.data.frame(plain)$estimate)
  expect_s3_class(compare_deconvolutions(result, easy$truth_mrna), "ggplot")
  for (type in c("proportions", "heatmap", "uncertainty")) {
    expect_s3_class(plot_deconvolution(result, type), "ggplot")
  }
  expect_s3_class(plot_ridge(result), "ggplot")
  expect_named(plot_deconvolution(result, "all"), c("proportions", "heatmap", "uncertainty"))
  expect_s3_class(plot(network), "ggplot")
  added <- add_to(data.frame(sample = colnames(easy$bulk_counts)), result)
  expect_equal(added[["Type A"]], unname(result$proportions["Type A", ]))
  for (verb in list(diagnose, test_presence, residuals, fitted, logLik, nobs, augment,
                    extract_program, plot_fit, plot_correlation,
                    plot_residuals, merge_types, predict, type_error,
                    function(x) report(x, withr::local_tempfile(fileext = ".html")),
                    function(x) contrast(x, 1, 2), function(x) coef(x),
                    function(x) cbind(x, x), function(x) x$pred_counts)) {
    expect_refusal(verb(result), "no_likelihood")
  }
  result$proportions[1, 1] <- NA
  expect_refusal(plot_proportions(result), "edited_result")
})

# Two states in every type: eight genes of each type are six times as high in the second.
stirred <- local({
  counts <- as.matrix(easy$reference)
  state <- rep(c("rest", "moved"), length.out = ncol(counts))
  types <- easy$cells$cell_type
  # genes that are well measured
  high <- order(-rowMeans(counts))[1:24]
  moved <- list("Type A" = high[1:8], "Type B" = high[9:16], "Type C" = high[17:24])
  for (type in names(moved)) {
    at <- types == type & state == "moved"
    counts[moved[[type]], at] <- 6 * counts[moved[[type]], at]
  }
  list(counts = counts, state = state, types = types,
       moved = lapply(moved, function(at) rownames(counts)[at]))
})

# Bulk of half resting and half moved samples, in one type at a time; expression per type.
stirred_bulk <- with_seed_of(2, {
  which_type <- rep(c("Type A", "Type B", "Type C"), 8)
  share <- runif(24)
  truth <- array(0, c(300, 3, 24), list(rownames(stirred$counts), names(stirred$moved),
                                        paste0("S", 1:24)))
  bulk <- vapply(1:24, function(s) {
    for (type in names(stirred$moved)) {
      from <- function(state) which(stirred$types == type & stirred$state == state)
      p <- if (type == which_type[s]) share[s] else 0.5
      cells <- c(sample(from("moved"), round(40 * p), TRUE),
                 sample(from("rest"), round(40 * (1 - p)), TRUE))
      truth[, type, s] <<- rowSums(stirred$counts[, cells])
    }
    rowSums(truth[, , s])
  }, numeric(300))
  colnames(bulk) <- paste0("S", 1:24)
  truth <- apply(truth, 2:3, function(x) 1e6 * x / sum(x))
  list(bulk = bulk, truth = truth, which = which_type)
})

test_that("expression per type follows the states that cells were given", {
  for (branch in c("programs", "unet")) {
    told <- train(x = stirred$counts, types = stirred$types, states = stirred$state,
                  expression = branch, programs = 2, width = 32, channels = c(4, 8), steps = 400,
                  platform_sd = 0, exclude = NULL, learning_rate = 3e-3)
    expect_snapshot(told, transform = function(lines) gsub("0\\.[0-9]+", "#", lines))
    # the loss on held-out mixtures falls
    trace <- tidy(told)$expression
    expect_lt(tail(trace, 1), 0.7 * trace[1])
    found <- read(told, stirred_bulk$bulk)
    expect_lt(sqrt(mean((found$proportions - 1 / 3)^2)), 0.15)
    expression <- cell_type_expression(found)
    expect_s3_class(expression, "cell_type_expression")
    for (type in names(stirred$moved)) {
      genes <- intersect(stirred$moved[[type]], dimnames(expression)[[1]])
      own <- stirred_bulk$which == type
      r <- cor(colMeans(log2(stirred_bulk$truth[genes, type, own])),
               colMeans(log2(expression$expression[genes, type, own] + 1)))
      # eight samples whose moved share goes from 0 to 1
      expect_gt(r, 0.7)
    }
    # what other verbs ask of it
    expect_identical(dim(expression[genes, "Type A", 1:2]), c(length(genes), 1L, 2L))
    expect_identical(as.array(expression)[, , 2:3], as.array(cell_type_expression(found[2:3])))
    expect_named(as.data.frame(expression[1:2, , 1]), c("gene", "type", "sample", "expression",
                                                        "prior"))
    scores <- evaluate_expression(stirred_bulk$truth, expression)
    expect_gt(min(scores$scores$pearson[scores$scores$over == "genes"]), 0.9)
    expect_refusal(expression$reliability, "no_reliability")
    expect_refusal(expression$std_error, "no_reliability")
    expect_refusal(expression_reliability(expression), "no_reliability")
    expect_refusal(cell_type_expression(found, units = "counts"), "argument")
    expect_refusal(cell_type_expression(found, method = "blup"), "argument")
    expect_s3_class(plot(told), "ggplot")
  }
  expect_refusal(cell_type_expression(result), "no_expression")
  expect_refusal(train(expression = "unet", width = 30), "argument")
  expect_refusal(train(expression = "unet", channels = 0), "argument")
})

test_that("it is a method of the benchmark", {
  dataset <- unalloy:::method_input(
    unalloy:::with_signatures(unalloy:::as_datasets(easy)[[1]]), TRUE
  )
  shares <- with_seed_of(1, unalloy:::run_network(dataset, steps = 300, ensemble = 1, hidden = 32,
                                                  batch_size = 32, platform_sd = 0.2))
  expect_lt(sqrt(mean((shares - easy$truth_mrna)^2)), 0.08)
  expect_true("network" %in% benchmark_methods()$method)
})

test_that("what can't be trained is refused by name", {
  expect_refusal(train(types = rep("one", ncol(easy$reference))), "cell_types")
  expect_refusal(train(types = easy$cells$cell_type[-1]), "cell_types")
  expect_refusal(train_deconvolver(easy$reference, verbose = FALSE), "cell_types")
  expect_refusal(train(x = log1p(easy$reference)), "not_counts")
  expect_refusal(train(candidates = "nothing"), "no_common_genes")
  expect_refusal(train(exclude = 1), "argument")
  expect_refusal(train(truth = "both"), "argument")
  expect_refusal(train(platform_sd = -1), "argument")
  expect_refusal(train(depth = 0), "argument")
  expect_refusal(train(hidden = 0), "argument")
  expect_refusal(train(dropout = 1), "argument")
  expect_refusal(train(learning_rate = 1e30), "diverged")
  expect_refusal(read(network, unname(easy$bulk_counts)), "gene_names")
  expect_refusal(read(network, -easy$bulk_counts), "negative_counts")
  expect_refusal(read(network, log1p(easy$bulk_counts / 7)), "log_scale")
  expect_refusal(read(network, 0 * easy$bulk_counts), "empty_sample")
  expect_refusal(predict(network), "argument")
  expect_refusal(predict(network, easy$bulk_counts, scale = 1), "argument")
})
