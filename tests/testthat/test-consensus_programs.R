# Counts of cells that mix three programs: two identities and an activity that runs
# through both.
planted_counts <- function(cells = 60, genes = 90, seed = 3) {
  withr::local_seed(seed)
  level <- matrix(rgamma(genes * 3, 0.5), genes)
  mark <- split(seq_len(45), rep(1:3, each = 15))
  for (k in 1:3) level[mark[[k]], k] <- level[mark[[k]], k] + 5
  level <- t(t(level) / colSums(level))
  type <- rep(1:2, length.out = cells)
  activity <- ifelse(seq_len(cells) %% 3 == 0, 0.5, 0)
  usage <- rbind((type == 1) * (1 - activity), (type == 2) * (1 - activity), activity)
  size <- rlnorm(cells, log(1500), 0.3)
  counts <- matrix(rpois(genes * cells, t(t(level %*% usage) * size)), genes)
  dimnames(counts) <- list(paste0("g", seq_len(genes)), paste0("c", seq_len(cells)))
  list(counts = counts, usage = usage, level = level)
}
cells <- planted_counts()
sparse_cells <- as(as(cells$counts, "dMatrix"), "CsparseMatrix")
find_programs <- function(..., x = sparse_cells, rank = 3, nrun = 12, seed = 1) {
  consensus_programs(x, rank, nrun = nrun, seed = seed, verbose = FALSE, ...)
}
programs <- find_programs()

test_that("planted programs, their usages and their genes are found", {
  match <- apply(cor(t(programs$usage), t(cells$usage)), 2, which.max)
  expect_setequal(match, 1:3)
  agreement <- diag(cor(t(programs$usage[match, ]), t(cells$usage)))
  expect_gt(min(agreement), 0.95)
  expect_equal(unname(colSums(programs$usage)), rep(1, 60))
  genes <- split(top_genes(programs, 10)$gene, top_genes(programs, 10)$program)
  own <- list(paste0("g", 1:15), paste0("g", 16:30), paste0("g", 31:45))
  for (k in 1:3) expect_gte(sum(genes[[match[k]]] %in% own[[k]]), 9)
  # TPM of a program, up to its noise
  expect_gt(cor(programs$tpm[, match[1]], cells$level[, 1]), 0.98)
})

test_that("batches of runs share no start with calls of other seeds", {
  # the smallest batches: the second begins at run 9
  objectives <- function(seed) {
    settings <- list(loss = "frobenius", nrun = 16, seed = seed, max_iter = 20, tolerance = 1e-5,
                     threads = 1)
    made <- unalloy:::replicate_spectra(cells$counts, 3, settings, function(runs) NULL,
                                        batch_bytes = 1)
    made$runs$objective
  }
  one <- objectives(1)
  expect_identical(anyDuplicated(one), 0L)
  expect_length(intersect(one, objectives(9)), 0)
})

test_that("genes are ranked by the stated ratio", {
  tpm <- t(t(cells$counts) / colSums(cells$counts)) * 1e6
  mu <- rowMeans(tpm)
  v <- rowMeans((tpm - mu)^2)
  expect_equal(programs$features$mean, unname(mu))
  expect_equal(programs$features$sd, unname(sqrt(v)))
  fano <- v / mu
  top <- order(-mu)[1:20]
  a <- min(sqrt(v[top]) / mu[top])
  inner <- function(x) x > quantile(x, 0.1) & x < quantile(x, 0.9)
  b2 <- median(fano[inner(mu) & inner(fano)])
  expect_equal(programs$features$ratio, unname(fano / (a^2 * mu + b2)))
  few <- find_programs(n_features = 20, nrun = 4)
  ranked <- programs$features$gene[order(-programs$features$ratio)]
  expect_setequal(few$features$gene[few$features$chosen], ranked[1:20])
  own <- find_programs(features = c("g1", "g20", "g40", "g7", "g60"), nrun = 4)
  expect_identical(rownames(own$spectra), c("g1", "g7", "g20", "g40", "g60"))
})

test_that("refits are the optima that the help states", {
  tpm <- t(t(cells$counts) / colSums(cells$counts)) * 1e6
  # the score is an ordinary regression of standardised TPM on usages; the usages it was
  # made with differ from the final ones by the last refit
  z <- (tpm - rowMeans(tpm)) / sqrt(rowMeans((tpm - rowMeans(tpm))^2))
  again <- t(qr.solve(t(programs$usage), t(z)))
  expect_gt(cor(as.vector(again), as.vector(programs$scores)), 0.98)
  expect_true(all(programs$tpm >= 0) && all(programs$spectra >= 0))
  expect_equal(unname(colSums(programs$spectra)), rep(1, 3))
  # new cells: the same optimum for the same cells
  expect_equal(predict(programs, sparse_cells[, 1:7]), programs$usage[, 1:7])
  expect_identical(predict(programs), programs$usage)
  expect_equal(predict(programs, cells$counts[90:1, 1:7]), programs$usage[, 1:7])
  # error: by the dense formula
  x <- cells$counts / sqrt(rowMeans((cells$counts - rowMeans(cells$counts))^2))
  h <- apply(x, 2, function(column) {
    w <- programs$spectra
    stats::optim(rep(1, 3), function(h) sum((column - w %*% h)^2), method = "L-BFGS-B",
                 gr = function(h) -2 * as.vector(crossprod(w, column - w %*% h)), lower = 0,
                 control = list(factr = 1e3))$par
  })
  expect_equal(programs$error, sum((x - programs$spectra %*% h)^2) / sum(x^2), tolerance = 1e-5)
})

test_that("density, silhouettes and similarity are those of the spectra", {
  cosine <- programs$similarity
  expect_equal(diag(cosine), rep(1, 36))
  distance <- sqrt(pmax(2 - 2 * cosine, 0))
  nearest <- floor(0.3 * 12)
  density <- apply(distance, 1, function(d) mean(sort(d)[1 + seq_len(nearest)]))
  # cosines near 1 lose half of their digits in a distance
  expect_equal(programs$replicates$density, density, tolerance = 1e-6)
  expect_true(all(programs$replicates$kept))
  skip_if_not_installed("cluster")
  # called by name: the tests see this package's own default method
  widths <- utils::getFromNamespace("silhouette.default", "cluster")
  width <- widths(as.integer(programs$replicates$program), as.dist(distance))
  expect_equal(programs$replicates$silhouette, unname(width[, "sil_width"]), tolerance = 1e-6)
  expect_equal(programs$stability, mean(width[, "sil_width"]), tolerance = 1e-6)
})

test_that("outlying spectra are dropped, and too strict a threshold is refused", {
  loose <- find_programs(rank = 6, density_threshold = 2)
  threshold <- unname(quantile(loose$replicates$density, 0.8))
  strict <- find_programs(rank = 6, density_threshold = threshold)
  expect_identical(strict$replicates$kept, strict$replicates$density <= threshold)
  expect_true(all(is.na(strict$replicates$program) == !strict$replicates$kept))
  expect_snapshot(error = TRUE, find_programs(rank = 6, density_threshold = 1e-9),
                  transform = function(lines) gsub("[0-9.]+(e-[0-9]+)?\\.$", "<number>.", lines))
})

test_that("sparse = dense, one thread = two, and R's stream is left alone", {
  same <- c("usage", "spectra", "tpm", "scores", "replicates")
  withr::local_seed(1)
  before <- .Random.seed
  expect_identical(find_programs(threads = 1)[same], programs[same])
  expect_identical(.Random.seed, before)
  dense <- find_programs(x = cells$counts)
  expect_equal(dense$usage, programs$usage, tolerance = 1e-6)
  expect_equal(dense$tpm, programs$tpm, tolerance = 1e-6)
})

test_that("batches of runs do not depend on threads", {
  # as many bytes as make several batches of few runs
  namespace <- asNamespace("unalloy")
  bytes <- get("BATCH_BYTES", namespace)
  set_bytes <- function(value) {
    get("unlockBinding", baseenv())("BATCH_BYTES", namespace)
    assign("BATCH_BYTES", value, namespace)
    lockBinding("BATCH_BYTES", namespace)
  }
  set_bytes(1)
  withr::defer(set_bytes(bytes))
  same <- c("usage", "spectra", "replicates")
  one <- find_programs(nrun = 20, threads = 1)
  expect_identical(find_programs(nrun = 20, threads = 12)[same], one[same])
  expect_identical(one$runs$run, 1:20)
  expect_identical(anyDuplicated(one$runs$objective), 0L)
  told <- testthat::capture_warnings(hasty <- find_programs(nrun = 20, max_iter = 2))
  expect_length(told, 1L)
  expect_match(told, "20 of 20 runs")
  expect_false(any(hasty$runs$converged))
  expect_warning(find_programs(rank = 2:3, nrun = 3, max_iter = 2), "6 of 6 runs",
                 class = "unalloy_warning_not_converged")
})

test_that("genes whose counts do not vary are not divided by their deviation", {
  flat <- rbind(sparse_cells, flat = 2)
  found <- find_programs(x = flat, nrun = 4, n_features = 91)
  table <- found$features
  expect_gt(table$sd[table$gene == "flat"], 0)
  expect_false(table$chosen[table$gene == "flat"])
  expect_false(anyNA(found$usage) || anyNA(found$spectra))
})

test_that("Kullback-Leibler runs find the same programs", {
  kl <- find_programs(loss = "kl", nrun = 6)
  agreement <- cor(t(kl$usage), t(programs$usage))
  expect_gt(min(apply(agreement, 1, max)), 0.95)
})

test_that("several ranks give a comparison, and a failure at one is not the end", {
  scan <- find_programs(rank = c(3, 2, 4), nrun = 6)
  expect_identical(scan$table$rank, c(2, 3, 4))
  expect_true(all(diff(scan$table$error) < 0))
  expect_identical(names(scan$fits), c("2", "3", "4"))
  expect_gt(scan$table$stability[2], scan$table$stability[3])
  broken <- find_programs(rank = 3:4, nrun = 6, density_threshold = 1e-5)
  expect_identical(is.na(broken$table$error), vapply(broken$fits, is.null, NA, USE.NAMES = FALSE))
  expect_s3_class(plot(scan), "ggplot")
})

test_that("single-cell containers are read", {
  skip_if_not_installed("SingleCellExperiment")
  sce <- SingleCellExperiment::SingleCellExperiment(
    assays = list(logcounts = log1p(sparse_cells), counts = sparse_cells)
  )
  expect_identical(find_programs(x = sce)$usage, programs$usage)
})

test_that("bad input is refused in the user's words", {
  expect_snapshot(error = TRUE, find_programs(x = -sparse_cells))
  expect_snapshot(error = TRUE, find_programs(rank = 1000))
  expect_snapshot(error = TRUE, find_programs(features = c("g1", "TP53", "MYC")))
  expect_snapshot(error = TRUE, find_programs(features = "g1"))
  expect_snapshot(error = TRUE, find_programs(nrun = 1))
  expect_refusal(find_programs(rank = 0), "argument")
  expect_refusal(find_programs(rank = "three"), "argument")
  expect_refusal(find_programs(x = 0 * sparse_cells), "empty_matrix")
  expect_warning(find_programs(x = log1p(sparse_cells), nrun = 2),
                 class = "unalloy_warning_not_counts")
  silent <- sparse_cells
  silent[, 4] <- 0
  expect_warning(out <- find_programs(x = silent, nrun = 3),
                 class = "unalloy_warning_empty_cells")
  expect_true(all(out$usage[, 4] == 0) && !anyNA(out$usage))
  expect_refusal(predict(programs, sparse_cells[-1, ]), "features")
  expect_refusal(top_genes(1), "class")
})

test_that("prints and plots", {
  expect_snapshot(print(find_programs(nrun = 4)))
  for (type in c("density", "similarity", "usage", "genes")) {
    expect_no_error(ggplot2::ggplot_build(plot(programs, type)))
  }
  expect_no_error(ggplot2::ggplot_build(plot(programs, "usage", group = rep(1:2, 30))))
  expect_refusal(plot(programs, "usage", group = 1:3), "argument")
})
