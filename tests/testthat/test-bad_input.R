# Each bad input gets an error of its class that names the culprit and the mend.

counts <- small$bulk_counts

refused <- function(...) fit_small(...)

test_that("counts that are no counts are refused by gene and sample", {
  bad <- counts
  bad[3, 2] <- NA
  expect_snapshot(error = TRUE, refused(bulk = bad))
  bad[3, 2] <- -1
  expect_snapshot(error = TRUE, refused(bulk = bad))
  bad[3, 2] <- Inf
  expect_snapshot(error = TRUE, refused(bulk = bad))
  integer <- counts
  storage.mode(integer) <- "integer"
  integer[7, 1] <- NA
  expect_refusal(refused(bulk = integer), "missing_counts")
  expect_snapshot(error = TRUE, refused(bulk = log1p(counts)))
  bad <- counts
  bad[, c(1, 4)] <- 0
  expect_snapshot(error = TRUE, refused(bulk = bad))
  expect_snapshot(error = TRUE, refused(bulk = counts[, 0]))
  expect_snapshot(error = TRUE, refused(bulk = matrix("a", 2, 2)))
  expect_snapshot(error = TRUE, refused(bulk = data.frame(a = 1:3, b = letters[1:3])))
  expect_refusal(refused(bulk = counts[0, ]), "no_genes")
  expect_refusal(refused(bulk = list(1)), "argument")
})

test_that("logarithms are undone on request", {
  expected <- fit_small(bulk = counts + 0.5)$proportions
  expect_equal(fit_small(bulk = log1p(counts + 0.5), bulk_scale = "log1p")$proportions, expected,
               tolerance = 1e-9)
  expect_equal(fit_small(bulk = log2(counts + 1.5), bulk_scale = "log2")$proportions, expected,
               tolerance = 1e-9)
  sparse <- Matrix::Matrix(counts, sparse = TRUE)
  sparse@x <- log1p(sparse@x)
  expect_equal(fit_small(bulk = sparse, bulk_scale = "log1p")$proportions,
               fit_small()$proportions, tolerance = 1e-9)
  expect_refusal(fit_small(bulk_scale = "log10"), "argument")
})

test_that("values in other units are accepted", {
  expect_equal(fit_small(bulk = sweep(counts, 2, colSums(counts), "/") * 1e6)$proportions,
               fit_small()$proportions, tolerance = 1e-8)
  expect_equal(fit_small(bulk = sweep(counts, 2, colSums(counts), "/"))$proportions,
               fit_small()$proportions, tolerance = 1e-8)
})

test_that("names that are absent, double or foreign are told", {
  bad <- counts
  rownames(bad)[c(2, 9)] <- c(NA, "")
  expect_snapshot(error = TRUE, refused(bulk = bad))
  bad <- counts
  colnames(bad)[2] <- colnames(bad)[1]
  expect_snapshot(error = TRUE, refused(bulk = bad))
  foreign <- counts
  rownames(foreign) <- sprintf("ENSG%011d", seq_len(nrow(foreign)))
  expect_snapshot(error = TRUE, refused(bulk = foreign))
  rownames(foreign) <- toupper(rownames(counts))
  expect_snapshot(error = TRUE, refused(bulk = foreign))
  rownames(foreign) <- NULL
  expect_identical(fit_small(bulk = foreign, lengths = unname(small$gene_lengths))$exposures,
                   fit_small()$exposures)
  expect_snapshot(error = TRUE, refused(bulk = foreign[1:10, ]))
  twice <- small_signatures$profiles
  colnames(twice)[2] <- colnames(twice)[1]
  expect_snapshot(error = TRUE, refused(signatures = twice))
  colnames(twice)[2] <- "Intercept"
  expect_refusal(refused(signatures = twice), "type_names")
})

test_that("few matching genes are warned about", {
  few <- counts
  rownames(few)[-(1:30)] <- paste0("x", seq_len(370))
  expect_warning(refused(bulk = few, lengths = NULL, protocol = "umi"),
                 class = "unalloy_warning_few_genes")
})

test_that("signatures that can't be fitted are told by type", {
  profiles <- small_signatures$profiles
  profiles[, 3] <- 0
  expect_snapshot(error = TRUE, refused(signatures = profiles))
  profiles[1, 2] <- -0.5
  expect_snapshot(error = TRUE, refused(signatures = profiles))
  expect_refusal(refused(signatures = "a"), "argument")
  expect_refusal(refused(signatures = profiles[, 0]), "argument")
  silent <- small_signatures$profiles
  silent[11:400, 4] <- 0
  weights <- setNames(rep(0:1, c(10, 390)), rownames(silent))
  expect_snapshot(error = TRUE, refused(signatures = silent, gene_weights = weights))
})

test_that("identical types are named", {
  twins <- small_signatures$profiles
  twins[, 4] <- twins[, 2]
  expect_snapshot(result <- fit_small(signatures = twins))
  # nothing in the data sets their ratio; they keep the one that they start with
  expect_equal(result$exposures[2, ], result$exposures[4, ], tolerance = 1e-3)
})

test_that("more sources than genes are refused", {
  expect_snapshot(error = TRUE, refused(bulk = counts[1:3, ]))
  expect_refusal(refused(bulk = counts[1, , drop = FALSE]), "too_few_genes")
})

test_that("lengths and weights are checked", {
  expect_snapshot(error = TRUE, refused(lengths = 1:7))
  expect_snapshot(error = TRUE, refused(lengths = -small$gene_lengths))
  expect_snapshot(error = TRUE, refused(gene_weights = 2 * small$gene_lengths))
  expect_snapshot(error = TRUE, refused(lengths = data.frame(symbol = "a", size = 1)))
  expect_snapshot(error = TRUE, refused(lengths = c(a = 1)))
  expect_snapshot(error = TRUE, refused(lengths = NULL))
  expect_snapshot(invisible(fit_small(lengths = 20 * small$gene_lengths)))
  expect_refusal(refused(lengths = letters), "argument")
  flipped <- counts[400:1, ]
  expect_refusal(refused(bulk = flipped, lengths = unname(small$gene_lengths)), "lengths")
})

test_that("arguments out of range are named", {
  expect_snapshot(error = TRUE, refused(method = "adam"))
  expect_snapshot(error = TRUE, refused(max_iter = 0))
  expect_snapshot(error = TRUE, refused(ll_tolerance = "a"))
  expect_snapshot(error = TRUE, refused(threads = 1.5))
  expect_refusal(refused(l1_lambda = -1), "argument")
  expect_refusal(refused(intercept = NA), "argument")
  expect_refusal(refused(protocol = "10x"), "argument")
  expect_refusal(refused(assay = "counts"), "argument")
  expect_refusal(refused(seed = 1:2), "argument")
  expect_snapshot(invisible(fit_small(learning_rate = 0.1)))
})

test_that("cell sizes are checked by type", {
  expect_snapshot(error = TRUE, refused(cell_size = c("Type A" = 1)))
  expect_refusal(refused(cell_size = 1:4), "cell_size")
  expect_refusal(refused(signatures = small$profiles, cell_size = "reference"), "cell_size")
  expect_refusal(refused(cell_size = setNames(c(1, 1, 0, 1), colnames(small$profiles))),
                 "cell_size")
})

test_that("background columns are checked", {
  expect_refusal(refused(background = matrix(1, 400, 1)), "argument")
  ambient <- matrix(1, 400, 1, dimnames = list(paste0("x", 1:400), "Ambient"))
  expect_refusal(refused(background = ambient), "no_common_genes")
})
