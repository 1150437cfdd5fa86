# Nothing that users give by mistake is answered in silence, or refused by an error that
# is not the package's own.

y <- small$bulk_counts[1:60, ]
factorise <- function(...) nmf(..., seed = 1, verbose = FALSE)

test_that("every verb says which argument is missing", {
  verbs <- setdiff(getNamespaceExports("unalloy"),
                   c("tidy", "glance", "augment", "autoplot", "compare_factorisations"))
  for (name in verbs) {
    verb <- getExportedValue("unalloy", name)
    none <- function(default) identical(default, rlang::missing_arg())
    needed <- vapply(formals(args(verb)), none, NA)
    if (!any(needed & names(needed) != "...")) next
    caught <- tryCatch(verb(), error = identity)
    expect_s3_class(caught, "unalloy_error_argument")
    expect_match(conditionMessage(caught), "must be given", fixed = TRUE, info = name)
  }
  expect_snapshot(error = TRUE, {
    nmf(y)
    estimate_rank()
    merge_signatures(small_signatures)
    basis()
  })
})

test_that("`verbose` is TRUE or FALSE, and options are what they should be", {
  expect_snapshot(error = TRUE, {
    nmf(y, 2, verbose = NA)
    deconvolve_bulk(small_signatures, small$bulk_counts, verbose = "yes")
  })
  withr::with_options(list(unalloy.progress = NA), {
    expect_refusal(nmf(y, 2, seed = 1), "argument")
  })
  skip_if_not_installed("DelayedArray")
  for (size in list(NA, "a", -1, NULL)) {
    withr::local_options(unalloy.block_size = size)
    fit <- quote(fit_small(bulk = DelayedArray::DelayedArray(small$bulk_counts)))
    if (is.null(size)) expect_s3_class(eval(fit), "deconvolution")
    else expect_refusal(eval(fit), "argument")
  }
})

test_that("names that stand for several samples or features are refused", {
  twice <- y
  colnames(twice)[2] <- colnames(twice)[1]
  features <- y
  rownames(features)[2] <- rownames(features)[1]
  expect_snapshot(error = TRUE, {
    factorise_joint(list(a = twice, b = y), 2)
    factorise_integrative(list(a = y, b = features), 2)
    factorise_integrative(list(a = twice, b = y), 2)
  })
})

test_that("values that cannot be computed with are refused, and no others", {
  expect_snapshot(error = TRUE, {
    factorise(y * 1e150, 2)
    factorise(y * 1e-310, 2, "brunet")
    factorise(y, 2, weights = matrix(1e300, nrow(y), ncol(y)))
    factorise(y, 2, l1 = Inf)
    factorise(y, 2, smoothness = c(1, Inf), sample_graph = diag(5))
    fit_small(bulk = small$bulk_counts * 1e150)
    latent_factors(y * 1e150, 2, verbose = FALSE)
    latent_factors(round(y * 1e150), 2, "poisson", verbose = FALSE)
    learn_dictionary(y * 1e150, 2, "svd", verbose = FALSE)
    build_signatures(round(small$reference * 1e150), small$cells$cell_type)
  })
  # a power of two changes nothing but the size, to the bit
  for (method in c("hals", "kl", "brunet", "lee", "anls", "pg", "nsNMF")) {
    plain <- suppressWarnings(factorise(y, 2, method, max_iter = 30))
    for (size in 2^c(-180, 180)) {
      scaled <- suppressWarnings(factorise(y * size, 2, method, max_iter = 30))
      expect_equal(fitted(scaled) / size, fitted(plain), tolerance = 1e-7, label = method)
    }
  }
})

test_that("signatures from infinite counts, or changed by hand, are refused", {
  infinite <- as.matrix(small$reference)
  infinite[3, 5] <- Inf
  expect_snapshot(error = TRUE, build_signatures(infinite, small$cells$cell_type))
  changed <- function(part, value) {
    signatures <- small_signatures
    signatures[[part]] <- value
    signatures
  }
  profiles <- small_signatures$profiles
  edited <- list(
    changed("profiles", replace(profiles, 1, NA)), changed("profiles", replace(profiles, 1, -1)),
    changed("profiles", profiles[1:10, ]), changed("profiles", "a"), changed("umi", c(1, 2)),
    changed("variance", -small_signatures$variance),
    structure(list(profiles = profiles), class = "signatures"),
    structure(list(), class = "signatures")
  )
  for (signatures in edited) {
    expect_refusal(fit_small(signatures = signatures), "signature_values")
    expect_refusal(select_markers(signatures), "signature_values")
  }
  expect_s3_class(fit_small(signatures = small_signatures[1:300, 1:3]), "deconvolution")
})

test_that("results that were changed by hand are not answered for", {
  result <- fit_small()
  for (value in c(NA, Inf, -5)) {
    edited <- result
    edited$exposures[1, 1] <- value
    for (ask in list(confint, vcov, diagnose, test_presence, fitted, residuals, type_error)) {
      expect_refusal(ask(edited), "edited_result")
    }
  }
  edited$exposures <- NULL
  expect_snapshot(error = TRUE, confint(edited))
  expect_refusal(diagnose(structure(list(), class = "deconvolution")), "edited_result")
})

test_that("samples are asked for by name or number", {
  expect_snapshot(error = TRUE, {
    confint(fit_small(), samples = list(1))
    fit_small()[, list(1)]
  })
})

test_that("assays that are not there are told", {
  skip_if_not_installed("SummarizedExperiment")
  experiment <- SummarizedExperiment::SummarizedExperiment(list(counts = small$bulk_counts))
  empty <- SummarizedExperiment::SummarizedExperiment()
  expect_snapshot(error = TRUE, {
    fit_small(bulk = experiment, assay = 7)
    fit_small(bulk = experiment, assay = NA)
    fit_small(bulk = experiment, assay = "cpm")
    fit_small(bulk = empty)
    factorise(empty, 2)
  })
  expect_identical(fit_small(bulk = experiment, assay = 1)$exposures, fit_small()$exposures)
})

test_that("files on disk that are gone or cut short are told", {
  skip_if_not_installed("HDF5Array")
  file <- withr::local_tempfile(fileext = ".h5")
  copy <- withr::local_tempfile(fileext = ".h5")
  HDF5Array::writeHDF5Array(small$bulk_counts, file, "counts", with.dimnames = TRUE)
  file.copy(file, copy)
  on_disk <- HDF5Array::HDF5Array(copy, "counts")
  expect_identical(fit_small(bulk = on_disk)$exposures, fit_small()$exposures)
  kept <- readBin(copy, "raw", file.size(copy))
  writeBin(kept[seq_len(length(kept) %/% 2)], copy)
  expect_refusal(fit_small(bulk = on_disk), "unreadable")
  unlink(copy)
  expect_refusal(fit_small(bulk = on_disk), "unreadable")
  expect_refusal(factorise(on_disk, 2), "unreadable")
  expect_refusal(build_signatures(on_disk, rep("a", 5)), "unreadable")
})

test_that("what is written is written to its end", {
  pools <- measurement_matrix(4, rownames(y), max_correlation = 1, seed = 1)
  file <- withr::local_tempfile()
  write_pools(pools, file)
  expect_equal(utils::read.csv(file)$weight, as.data.frame(pools)$weight)
  expect_refusal(write_pools(pools, file.path(tempfile(), "no folder")), "unwritable")
  skip_if_not(file.exists("/dev/full"))
  expect_refusal(write_pools(pools, "/dev/full"), "unwritable")
})

test_that("classes that are all missing, and several lengths of a gene, are told", {
  fit <- factorise(y, 2)
  expect_refusal(purity(fit, rep(NA, 5)), "argument")
  expect_refusal(entropy(fit, rep(NA, 5)), "argument")
  lengths <- c(small$gene_lengths, small$gene_lengths[1])
  expect_no_warning(same <- fit_small(lengths = lengths))
  lengths[401] <- 2 * lengths[401]
  expect_warning(first <- fit_small(lengths = lengths), class = "unalloy_warning_several_values")
  expect_identical(first$exposures, same$exposures)
})

test_that("seeds beyond R's integers and doubles' are told apart", {
  draw <- function(seed) simulate_bulk(50, 3, 3, cells_per_type = 5, seed = seed)$bulk_counts
  expect_false(identical(draw(2^53), draw(2^53 + 2)))
  expect_false(identical(draw(2^31 - 1), draw(0)))
  expect_no_warning(draw(2^60))
})

test_that("a factorisation that was edited by hand is not computed with", {
  fit <- factorise(y, 2)
  for (edit in list(list(basis = fit$basis[, 1, drop = FALSE]), list(coef = NULL),
                    list(coef = replace(fit$coef, 1, NA)), list(rank = 3))) {
    edited <- utils::modifyList(unclass(fit), edit)
    class(edited) <- "nmf_fit"
    for (ask in list(as_reduction, fitted, predict, coefmap, tidy, top_features, sparseness)) {
      expect_refusal(ask(edited), "edited_result")
    }
  }
})

test_that("what names types and genes is names or numbers", {
  fit <- fit_small()
  for (other in list(sum, y ~ x, quote(x), list("Type A"))) {
    expect_refusal(confint(fit, parm = other), "argument")
    expect_refusal(test_presence(fit, types = other), "argument")
  }
  fit$cell_fractions <- replace(fit$proportions, 1, NA)
  expect_refusal(plot_heatmap(fit), "edited_result")
})

test_that("penalties beyond sense, and samples that share a name, are refused", {
  expect_refusal(fit_small(l2_lambda = 1e300), "argument")
  skip_if_not_installed("survival")
  arm <- stats::setNames(rep(c("a", "b"), 4), c("s", "s", letters[1:6]))
  expect_refusal(compare_survival(arm, 1:8, rep(1, 8)), "sample_names")
})
