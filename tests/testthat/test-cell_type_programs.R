quiet <- function(..., verbose = FALSE) cell_type_expression(..., verbose = verbose)

# Two of four types have a program of genes of its own: in the donors of the reference, and
# with activities of their own in every sample. As many genes rise as fall.
planted <- local({
  sim <- simulate_bulk(n_genes = 400, n_types = 4, n_samples = 1, cells_per_type = 480,
                       n_donors = 6, donor_sd = 0.05, platform_sd = 0.1, overdispersion = 0.1,
                       seed = 3)
  n <- 20L
  active <- c("Type A", "Type B")
  moved <- (1:400) %% 8 == 0
  change <- rep(c(0.6, -0.6), each = 16, length.out = 400)
  relative <- cbind("Type A" = change * ((1:400) %% 16 == 8),
                    "Type B" = change * ((1:400) %% 16 == 0))
  withr::with_seed(3, {
    donors <- unique(sim$cells$donor)
    of_donors <- matrix(runif(2 * length(donors), -1.5, 1.5), 2,
                        dimnames = list(active, donors))
    activity <- matrix(runif(2 * n, -1.5, 1.5), 2, dimnames = list(active, paste0("S", 1:n)))
    # cells of a donor with more or fewer molecules of these genes
    change <- matrix(0, 400, nrow(sim$cells))
    for (type in active) {
      own <- sim$cells$cell_type == type
      change[, own] <- relative[, type] %o% of_donors[type, sim$cells$donor[own]]
    }
    cells <- matrix(rpois(length(sim$reference), as.matrix(sim$reference) * (1 + change)), 400,
                    dimnames = dimnames(sim$reference))
    shares <- matrix(rgamma(4 * n, 3), 4)
    shares <- shares / rep(colSums(shares), each = 4)
    level <- array(sim$profiles, c(400, 4, n),
                   list(rownames(sim$profiles), colnames(sim$profiles), paste0("S", 1:n)))
    for (type in active) {
      level[, type, ] <- level[, type, ] * (1 + relative[, type] %o% activity[type, ])
    }
    reads <- apply(level * rep(shares, each = 400) * sim$gene_lengths, c(1, 3), sum)
    bulk <- matrix(rpois(length(reads), 3e6 * reads / rep(colSums(reads), each = 400)), 400,
                   dimnames = dimnames(reads))
  })
  # the others have three donors: too few
  kept <- sim$cells$cell_type %in% active | sim$cells$donor %in% donors[1:3]
  signatures <- build_signatures(cells[, kept], sim$cells$cell_type[kept], sim$cells$donor[kept])
  fit <- suppressWarnings(deconvolve_bulk(signatures, bulk, sim$gene_lengths, verbose = FALSE,
                                          protocol = "full_length"))
  list(fit = fit, level = level, activity = activity, moved = moved, relative = relative,
       bulk = bulk, signatures = signatures, lengths = sim$gene_lengths, profiles = sim$profiles)
})
together <- quiet(planted$fit, covariance = "programs", units = "cpm")

test_that("planted programs are found, and the types without profiles borrow", {
  table <- together$programs
  expect_identical(table$type, paste("Type", LETTERS[1:4]))
  expect_identical(table$from, c("own", "own", "borrowed", "borrowed"))
  expect_identical(table$profiles, c(6L, 6L, 0L, 0L))
  # genes by the precision of their counts
  for (type in c("Type A", "Type B")) {
    root <- sqrt(planted$profiles[, type])
    found <- together$loadings[, type] / root
    true <- planted$relative[, type] * root
    expect_gt(abs(sum(found * true)) / sqrt(sum(found^2) * sum(true^2)), 0.9)
    expect_gt(abs(cor(together$activities[type, ], planted$activity[type, ])), 0.9)
  }
  # what does not vary shrinks
  expect_gt(min(table$size[1:2]), 2 * max(table$size[3:4]))
  expect_identical(dim(together$activity_error), dim(together$activities))
  expect_true(all(together$activity_error > 0))
})

test_that("samples are told better than gene by gene, and other types are left alone", {
  alone <- quiet(planted$fit, units = "cpm")
  genes <- names(planted$lengths)[planted$moved]
  error <- function(x, types) {
    deviation <- function(values) {
      values <- values[genes, types, ]
      mean <- as.vector(apply(values, 1:2, mean))
      (values - mean) / mean
    }
    sqrt(mean((deviation(as.array(x)) - deviation(planted$level))^2))
  }
  expect_lt(error(together, c("Type A", "Type B")), 0.95 * error(alone, c("Type A", "Type B")))
  # programs of the types that have some, without borrowing
  own <- quiet(planted$fit, covariance = "programs", units = "cpm",
               programs = together$loadings[, c("Type A", "Type B")])
  expect_lt(error(own, c("Type A", "Type B")), 0.95 * error(alone, c("Type A", "Type B")))
  expect_lt(error(own, c("Type C", "Type D")), error(alone, c("Type C", "Type D")))
  expect_gt(mean(expression_reliability(together)[genes, 1:2]),
            mean(expression_reliability(alone)[genes, 1:2]))
})

test_that("no program is the prediction gene by gene", {
  alone <- quiet(planted$fit)
  nothing <- matrix(0, 400, 4, dimnames = dimnames(planted$profiles))
  for (programs in list("none", list(), nothing)) {
    found <- quiet(planted$fit, covariance = "programs", programs = programs)
    expect_null(found$programs)
    expect_null(found$activities)
    for (what in c("expression", "variance", "reliability")) {
      expect_identical(as.array(found, what), as.array(alone, what))
    }
  }
  # a program that moves next to nothing
  small <- quiet(planted$fit, covariance = "programs", programs = 1e-9 * planted$profiles)
  for (what in c("expression", "variance", "reliability")) {
    expect_equal(as.array(small, what), as.array(alone, what), tolerance = 1e-10)
  }
})

test_that("types add up to the counts, noise apart", {
  found <- quiet(planted$fit, covariance = "programs", exposure_error = FALSE)
  values <- as.array(found)
  model <- found$model
  exposures <- planted$fit$exposures * rep(model$sizes, each = nrow(planted$fit$exposures))
  sources <- planted$fit$model$sources
  # of the genes none of whose values was cut off at 0
  whole <- which(apply(values > 0, 1, all))
  expect_gt(length(whole), 300)
  explained <- apply(values, c(1, 3), sum)
  left <- t(planted$bulk)[, whole] - t(explained)[, whole]
  noise <- model$noise * t(exp(model$log_factor) * planted$fit$model$length_factor *
                             sources %*% exposures)[, whole]
  # what is left over is noise: a share of its variance that is below 1
  expect_lt(mean(left^2) / mean(noise), 1)
  expect_gt(cor(as.vector(explained[whole, ]), as.vector(planted$bulk[whole, ])), 0.999)
})

test_that("loadings can be given, several for a type", {
  loading <- planted$relative[, "Type A"] * planted$profiles[, "Type A"]
  names(loading) <- rownames(planted$profiles)
  one <- quiet(planted$fit, covariance = "programs", programs = list("Type A" = loading))
  expect_identical(one$programs$from, "given")
  expect_gt(cor(one$activities["Type A", ], planted$activity["Type A", ]), 0.9)
  two <- cbind(loading, rev(loading))
  rownames(two) <- names(loading)
  both <- quiet(planted$fit, covariance = "programs", programs = list("Type A" = two))
  expect_identical(both$programs$program, c("Type A 1", "Type A 2"))
  # the second is of no genes that vary
  expect_lt(both$programs$size[2], 0.1 * both$programs$size[1])
  # a list of one column each and a matrix say the same
  matrix <- matrix(loading, 400, dimnames = list(names(loading), "Type A"))
  same <- quiet(planted$fit, covariance = "programs", programs = matrix)
  expect_identical(same$activities, one$activities)
})

test_that("parts agree with the whole, threads to the bit, and other verbs take it", {
  part <- together[c(3, 300, 77), c("Type C", "Type A"), c(20, 2)]
  for (what in c("expression", "variance", "reliability")) {
    expect_identical(as.array(part, what),
                     as.array(together, what)[c(3, 300, 77), c("Type C", "Type A"), c(20, 2)])
  }
  expect_identical(part$programs$type, c("Type A", "Type C"))
  expect_identical(part$activities, together$activities[c("Type A", "Type C"), c(20, 2)])
  again <- quiet(planted$fit, covariance = "programs", units = "cpm", threads = 1)
  expect_identical(again$activities, together$activities)
  expect_identical(again$expression, together$expression)
  scores <- evaluate_expression(1e6 * planted$level, together)$scores
  own <- quiet(planted$fit, units = "cpm")
  alone <- evaluate_expression(1e6 * planted$level, own)$scores
  over <- scores$over == "samples" & scores$type %in% c("Type A", "Type B")
  expect_true(all(scores$pearson[over] > alone$pearson[over]))
  skip_if_not_installed("limma")
  samples <- data.frame(group = planted$activity["Type A", ] > 0,
                        row.names = colnames(planted$activity))
  table <- compare_groups(together, ~ group, samples, types = "Type A")$table
  moved <- names(planted$lengths)[planted$relative[, "Type A"] != 0]
  expect_gt(mean(moved %in% table$gene), 0.5)
  expect_lt(stats::median(table$p_value[table$gene %in% moved]),
            stats::median(table$p_value[!table$gene %in% moved]))
})

test_that("what can't be is refused in the user's words", {
  without <- fit_small(signatures = suppressWarnings(
    build_signatures(small$reference, small$cells$cell_type)
  ))
  expect_refusal(quiet(without, covariance = "programs"), "no_programs")
  expect_refusal(quiet(fit_small(), covariance = "programs"), "no_programs")
  expect_snapshot(error = TRUE, {
    quiet(without, covariance = "programs")
    quiet(fit_small(), covariance = "programs")
    quiet(planted$fit, programs = "none")
    quiet(planted$fit, method = "allocation", covariance = "programs")
    quiet(planted$fit, covariance = "programs", programs = 3)
    quiet(planted$fit, covariance = "programs", programs = list(nobody = c(a = 1)))
    quiet(planted$fit, covariance = "programs", programs = list("Type A" = c(a = 1)))
    quiet(planted$fit, covariance = "programs", programs = list("Type A" = 1:3))
  })
  given <- quiet(without, covariance = "programs", programs = 0.1 * small$profiles)
  expect_identical(unique(given$programs$from), "given")
  expect_output(print(together), "Programs of the type's donors")
})
