# Large data on disk: time, memory, and the same answer as in memory.
# Usage: Rscript bench/large.R [samples] [cells] [expression samples] [workers]
#
# 1. Deconvolution of `samples` bulk samples x 18,879 genes from an HDF5 file that is made in
#    pieces: samples per CPU second, largest memory, and whether 200 of them have the
#    bits that they have in memory.  With `workers` above 1 the elapsed time of that many
#    (of Slurm where sinfo answers, else of this machine) over that of one.
# 2. Signatures of `cells` cells x 2,000 genes, 3 % of them not zero, from a sparse file.
# 3. Expression per type of `expression samples` samples into a file.
#
# Every part runs in an R session of its own, whose largest memory is that of the part; 0
# leaves a part out.  Files are in a temporary folder, and removed.
arguments <- commandArgs(TRUE)
script <- sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))
GENES <- 18879L
TYPES <- 21L

cpu <- function(code) {
  start <- proc.time()
  force(code)
  spent <- proc.time() - start
  c(cpu = sum(spent[c(1, 2, 4, 5)]), elapsed = spent[[3]])
}
# of this session and its children, in MB
peak <- function() {
  lines <- readLines("/proc/self/status")
  as.numeric(gsub("\\D", "", grep("VmHWM", lines, value = TRUE))) / 1024
}
said <- function(...) cat(..., "\n", sep = "")

bulk_file <- function(folder) file.path(folder, "bulk.h5")

# Samples in pieces: mixtures of profiles, with errors of genes that all share.
make_bulk <- function(folder, n, piece = 500L) {
  set.seed(1)
  profiles <- matrix(stats::rgamma(GENES * TYPES, 0.3), GENES)
  profiles <- profiles / rep(colSums(profiles), each = GENES)
  dimnames(profiles) <- list(paste0("gene", seq_len(GENES)), paste("type", seq_len(TYPES)))
  saveRDS(profiles, file.path(folder, "profiles.rds"))
  errors <- exp(stats::rnorm(GENES, 0, 0.5))
  rhdf5::h5createFile(bulk_file(folder))
  rhdf5::h5createDataset(bulk_file(folder), "counts", c(GENES, n), storage.mode = "integer",
                         chunk = c(GENES, min(n, 16L)), level = 1L)
  for (start in seq(1L, n, by = piece)) {
    columns <- start:min(start + piece - 1L, n)
    shares <- matrix(stats::rgamma(TYPES * length(columns), 0.5), TYPES)
    shares <- shares / rep(colSums(shares), each = TYPES)
    counts <- stats::rpois(GENES * length(columns), 2e7 * errors * (profiles %*% shares))
    rhdf5::h5write(matrix(counts, GENES), bulk_file(folder), "counts", start = c(1L, start),
                   count = c(GENES, length(columns)))
  }
}

open_bulk <- function(folder, n) {
  bulk <- HDF5Array::HDF5Array(bulk_file(folder), "counts")
  dimnames(bulk) <- list(paste0("gene", seq_len(GENES)), paste("sample", seq_len(n)))
  bulk
}

fit_bulk <- function(folder, bulk, ...) {
  unalloy::deconvolve_bulk(readRDS(file.path(folder, "profiles.rds")), bulk, verbose = FALSE,
                           threads = 1, ...)
}

slurm_or_here <- function(workers, folder) {
  if (nzchar(Sys.which("sinfo")) && system2("sinfo", "-h", FALSE, FALSE) == 0L) {
    setwd(folder)
    said("Workers of Slurm")
    return(BiocParallel::BatchtoolsParam(
      workers, "slurm", resources = list(walltime = 36000, memory = 1500, ncpus = 1)
    ))
  }
  said("Workers of this machine")
  BiocParallel::MulticoreParam(workers)
}

parts <- list(
  make = function(folder, n) make_bulk(folder, n),
  fit = function(folder, n) {
    bulk <- open_bulk(folder, n)
    time <- cpu(fit <- fit_bulk(folder, bulk))
    saveRDS(fit$exposures, file.path(folder, "exposures.rds"))
    saveRDS(time, file.path(folder, "time.rds"))
    said(n, " samples: ", round(n / time[["cpu"]]), " per CPU second, ", round(time[["elapsed"]]),
         " s elapsed, largest memory ", round(peak()), " MB")
  },
  # a part of the samples is a cohort of its own: the same 200 on disk and in memory
  same = function(folder, n) {
    some <- open_bulk(folder, n)[, unique(round(seq(1, n, length.out = 200)))]
    options(unalloy.block_size = 1e7)
    said("Same bits on disk and in memory: ",
         identical(fit_bulk(folder, some)$exposures, fit_bulk(folder, as.matrix(some))$exposures))
  },
  workers = function(folder, n, workers) {
    param <- slurm_or_here(workers, folder)
    time <- cpu(fit <- fit_bulk(folder, open_bulk(folder, n), BPPARAM = param))
    said("Same bits by workers: ",
         identical(fit$exposures, readRDS(file.path(folder, "exposures.rds"))))
    said(workers, " workers take ",
         round(time[["elapsed"]] / readRDS(file.path(folder, "time.rds"))[["elapsed"]], 2),
         " of the time of one process")
  },
  cells = function(folder, n) {
    set.seed(2)
    file <- file.path(folder, "cells.h5")
    per_cell <- 60L
    rhdf5::h5createFile(file)
    rhdf5::h5createGroup(file, "matrix")
    size <- per_cell * n
    for (name in c("data", "indices")) {
      rhdf5::h5createDataset(file, paste0("matrix/", name), size, storage.mode = "integer",
                             chunk = 1e5, level = 1L)
    }
    for (start in seq(1L, n, by = 10000L)) {
      own <- min(10000L, n - start + 1L)
      rows <- replicate(own, sort(sample.int(2000L, per_cell)) - 1L)
      at <- list(start = (start - 1) * per_cell + 1, count = own * per_cell)
      rhdf5::h5write(as.vector(rows), file, "matrix/indices", start = at$start, count = at$count)
      rhdf5::h5write(1L + stats::rpois(length(rows), 1), file, "matrix/data", start = at$start,
                     count = at$count)
    }
    rhdf5::h5write(as.integer(seq(0, size, by = per_cell)), file, "matrix/indptr")
    rhdf5::h5write(c(2000L, as.integer(n)), file, "matrix/shape")
    rhdf5::h5write(paste0("cell", seq_len(n)), file, "matrix/barcodes")
    for (name in c("genes", "gene_names")) {
      rhdf5::h5write(paste0("gene", 1:2000), file, paste0("matrix/", name))
    }
  },
  signatures = function(folder, n) {
    cells <- HDF5Array::TENxMatrix(file.path(folder, "cells.h5"), "matrix")
    set.seed(3)
    types <- sample(paste("type", 1:20), n, TRUE)
    donors <- sample(paste("donor", 1:10), n, TRUE)
    time <- cpu(unalloy::build_signatures(cells, types, donors))
    said(n, " cells: ", round(n / time[["cpu"]]), " per CPU second, largest memory ",
         round(peak()), " MB")
  },
  expression = function(folder, n) {
    fit <- fit_bulk(folder, open_bulk(folder, n))
    first <- peak()
    time <- cpu(unalloy::cell_type_expression(fit, verbose = FALSE, threads = 1,
                                              sink = file.path(folder, "expression.h5")))
    said("Expression of ", TYPES, " types in ", n, " samples: ", round(time[["cpu"]]),
         " CPU s, largest memory ", round(peak()), " MB (", round(first), " by the fit), file ",
         round(file.size(file.path(folder, "expression.h5")) / 1e6), " MB")
  }
)

if (length(arguments) && arguments[1] %in% names(parts)) {
  # a part, in its own session
  suppressPackageStartupMessages({
    library(HDF5Array)
    library(unalloy)
  })
  rest <- lapply(arguments[-(1:2)], as.integer)
  do.call(parts[[arguments[1]]], c(list(arguments[2]), rest))
} else {
  sizes <- c(2000L, 100000L, 200L, 1L)
  sizes[seq_along(arguments)] <- as.integer(arguments)
  folder <- tempfile("large-")
  dir.create(folder)
  run <- function(...) {
    system2(file.path(R.home("bin"), "Rscript"), c(script, ...), stderr = FALSE)
  }
  if (sizes[1] > 0) {
    run("make", folder, sizes[1])
    run("fit", folder, sizes[1])
    run("same", folder, sizes[1])
    if (sizes[4] > 1) run("workers", folder, sizes[1], sizes[4])
    unlink(file.path(folder, "bulk.h5"))
  }
  if (sizes[2] > 0) {
    run("cells", folder, sizes[2])
    run("signatures", folder, sizes[2])
    unlink(file.path(folder, "cells.h5"))
  }
  if (sizes[3] > 0) {
    run("make", folder, sizes[3])
    run("expression", folder, sizes[3])
  }
  unlink(folder, recursive = TRUE)
}
