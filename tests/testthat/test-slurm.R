# A cohort on Slurm: the same bits as in one process, and killed jobs are made up for.
# Runs where `sinfo` answers (SLURM_CONF may say whom it asks).

skip_on_cran()
skip_if_not_installed("BiocParallel")
skip_if_not_installed("batchtools")
skip_if_not_installed("HDF5Array")
skip_if_not_installed("withr")
skip_if(!nzchar(Sys.which("sinfo")), "there is no Slurm here")
skip_if(system2("sinfo", "-h", stdout = FALSE, stderr = FALSE) != 0L, "no Slurm answers")

slurm <- function(folder) {
  suppressMessages(BiocParallel::BatchtoolsParam(
    workers = 2, cluster = "slurm",
    registryargs = BiocParallel::batchtoolsRegistryargs(file.dir = tempfile("registry-", folder),
                                                        work.dir = folder),
    resources = list(walltime = 600, memory = 1000, ncpus = 1)
  ))
}

test_that("a cohort on Slurm has the bits of one process", {
  folder <- withr::local_tempdir()
  withr::local_dir(folder)
  sim <- simulate_bulk(n_genes = 150, n_types = 3, n_samples = 70, cells_per_type = 20, seed = 8)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type)
  fit <- function(...) {
    deconvolve_bulk(signatures, methods::as(sim$bulk_counts, "HDF5Array"), verbose = FALSE, ...)
  }
  parts <- c("exposures", "convergence", "metrics", "gene_error")
  expected <- fit()
  found <- withr::with_options(list(unalloy.block_size = 8 * 150 * 16),
                               fit(BPPARAM = slurm(folder), threads = 1))
  expect_identical(unclass(found)[parts], unclass(expected)[parts])
  # nothing of it is left
  expect_length(list.files(folder, "unalloy-parts"), 0L)
})

test_that("parts of a killed job are submitted again, finished ones are kept", {
  folder <- withr::local_tempdir()
  withr::local_dir(folder)
  runs <- file.path(folder, "runs")
  dir.create(runs)
  work <- function(part, shared) {
    file.create(tempfile(paste0("run-", part$number, "-"), shared$runs))
    last <- part$number == 4
    if (last && length(list.files(shared$runs, "run-4-")) == 1L) tools::pskill(Sys.getpid(), 9L)
    part$number^2
  }
  environment(work) <- globalenv()
  expect_warning(
    found <- unalloy:::run_parts(lapply(1:4, function(k) list(number = k)), work,
                                 list(runs = runs), list(workers = slurm(folder)), "squares"),
    "1 of 4 parts are submitted again", class = "unalloy_warning_lost_parts"
  )
  expect_identical(found, as.list(c(1, 4, 9, 16)))
  # that of the killed job twice, the others once
  expect_identical(as.vector(table(sub("-[^-]*$", "", list.files(runs)))), c(1L, 1L, 1L, 2L))
})
