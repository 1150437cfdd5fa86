# Two builds of the package beside each other: CPU seconds and peak memory of one job
# per verb and method, in turns, so that both meet the same machine.  Prints a table,
# fails nothing.  Usage: Rscript bench/versions.R OLD_LIBRARY NEW_LIBRARY [rounds] [jobs]
#
# Both libraries must be built as published (`make bench` does; `make test` does not).
# Every job runs in a session of its own on one thread, twice per round, and counts by
# its least CPU time; peak memory is what the first call adds to the session's.
# `jobs`, a regular expression, picks some.

inputs <- function(part) {
  suppressPackageStartupMessages(library(Matrix))
  simulated <- function(...) unalloy::simulate_bulk(seed = 1, ...)
  switch(part,
    deconvolution = {
      sim <- simulated(n_genes = 18879, n_types = 21, n_samples = 81, n_donors = 1,
                       cells_per_type = 1, depth = 2e7, type_sd = 0.5)
      storage.mode(sim$bulk_counts) <- "integer"
      sim
    },
    reference = {
      sim <- simulated(n_genes = 6000, n_types = 12, n_samples = 40, n_donors = 4)
      sim$signatures <- unalloy::build_signatures(sim$reference, sim$cells$cell_type,
                                                  sim$cells$donor)
      sim
    },
    nmf = {
      set.seed(1)
      dense <- matrix(rgamma(5000 * 4, 0.5), 5000) %*% matrix(rgamma(4 * 60, 0.5), 4)
      dense[] <- rpois(length(dense), dense * 30)
      mean <- matrix(rgamma(3000 * 10, 0.1), 3000) %*% matrix(rgamma(10 * 2000, 0.3), 10)
      list(dense = dense, sparse = as(matrix(rpois(length(mean), mean), 3000), "CsparseMatrix"))
    },
    sensing = {
      set.seed(1)
      modules <- matrix(rexp(500 * 300)^2, 500)
      w <- matrix(0, 300, 3000)
      for (i in 1:3000) w[sample.int(300, 15), i] <- rexp(15)
      x <- modules %*% w
      x <- pmax(x + sd(x) * 0.1 * rnorm(length(x)), 0)
      dimnames(x) <- list(paste0("g", 1:500), NULL)
      list(x = x[, 1:2000], test = x[, 2001:3000])
    }
  )
}

# name: part of the inputs, what is made before the clock starts, the job.
jobs <- local({
  mixed <- function(d, ...) {
    unalloy::deconvolve_bulk(d$profiles, d$bulk_counts, d$gene_lengths, error_model = "poisson",
                             protocol = "full_length", verbose = FALSE, ...)
  }
  fit <- function(d, model) {
    unalloy::deconvolve_bulk(d$signatures, d$bulk_counts, d$gene_lengths, error_model = model,
                             protocol = "full_length", verbose = FALSE)
  }
  nmf <- function(x, k, method, ...) {
    unalloy::nmf(x, k, method, seed = 1, verbose = FALSE, keep_x = FALSE, ...)
  }
  job <- function(part, run, before = identity) list(part = part, before = before, run = run)
  sensed <- function(d) {
    d$modules <- unalloy::learn_dictionary(d$x, 300, "ksvd", 15, max_iter = 2, seed = 1,
                                           verbose = FALSE)
    d$A <- unalloy::measurement_matrix(100, d$x, seed = 1)
    d$y <- unalloy::measure(d$test, d$A, verbose = FALSE)
    d
  }
  recovered <- function(d, ...) {
    verb <- intersect(c("recover_profiles", "recover"), getNamespaceExports("unalloy"))[1]
    getExportedValue("unalloy", verb)(d$y, d$A, d$modules, verbose = FALSE, ...)
  }
  list(
    "deconvolve newton" = job("deconvolution", mixed),
    "deconvolve em" = job("deconvolution", function(d) mixed(d, method = "em")),
    "deconvolve gd" = job("deconvolution", function(d) mixed(d, method = "gd")),
    "deconvolve platform" = job("reference", function(d) fit(d, "platform")),
    "confint, poisson" = job("reference", confint, function(d) fit(d, "poisson")),
    "confint, platform" = job("reference", confint, function(d) fit(d, "platform")),
    "test_presence" = job("reference", function(f) unalloy::test_presence(f),
                          function(d) fit(d, "platform")),
    "diagnose" = job("reference", function(f) unalloy::diagnose(f, seed = 1, verbose = FALSE),
                     function(d) fit(d, "poisson")),
    "cell_type_expression" = job("reference", function(f) {
      as.array(unalloy::cell_type_expression(f, verbose = FALSE))
    }, function(d) fit(d, "poisson")),
    "nmf frobenius" = job("nmf", function(d) nmf(d$dense, 4, "hals", nrun = 5)),
    "nmf kl" = job("nmf", function(d) nmf(d$dense, 4, "kl")),
    "nmf brunet" = job("nmf", function(d) nmf(d$dense, 4, "brunet", max_iter = 300)),
    "nmf frobenius, sparse" = job("nmf", function(d) nmf(d$sparse, 10, "hals", max_iter = 100)),
    "nmf kl, sparse" = job("nmf", function(d) nmf(d$sparse, 10, "kl", max_iter = 30)),
    "learn_dictionary ksvd" = job("sensing", function(d) {
      unalloy::learn_dictionary(d$x, 300, "ksvd", 15, max_iter = 4, seed = 1, verbose = FALSE)
    }),
    "learn_dictionary smaf" = job("sensing", function(d) {
      unalloy::learn_dictionary(d$x, 300, "smaf", 15, max_iter = 4, seed = 1, verbose = FALSE)
    }),
    "recover omp" = job("sensing", recovered, sensed),
    "recover lasso" = job("sensing", function(d) recovered(d, method = "lasso"), sensed)
  )
})

# One job in this session; prints CPU seconds and MB.
run_job <- function(name, file) {
  options(unalloy.threads = 1L, warn = -1)
  quietly <- function(code) suppressWarnings(suppressMessages(code))
  status <- function(field) {
    line <- grep(field, readLines("/proc/self/status"), value = TRUE)
    as.numeric(gsub("[^0-9]", "", line)) / 1024
  }
  loadNamespace("unalloy")
  job <- jobs[[name]]
  ready <- quietly(job$before(readRDS(file)))
  gc()
  measurable <- file.exists("/proc/self/clear_refs")
  if (measurable) writeLines("5", "/proc/self/clear_refs")
  before <- if (measurable) status("VmRSS") else NA
  once <- function() {
    start <- proc.time()
    quietly(job$run(ready))
    sum((proc.time() - start)[c("user.self", "sys.self")])
  }
  first <- once()
  peak <- if (measurable) status("VmHWM") - before else NA
  cat("RESULT", min(first, once()), peak, "\n")
}

# The same file, called by itself with a job.
given <- commandArgs(TRUE)
if (length(given) && given[1] == "--job") {
  run_job(given[2], given[3])
  quit()
}
if (length(given) < 2) {
  cat("Usage: Rscript bench/versions.R OLD_LIBRARY NEW_LIBRARY [rounds] [jobs]\n")
  quit()
}
libraries <- normalizePath(given[1:2])
rounds <- as.integer(c(given[-(1:2)], 3)[1])
chosen <- grep(c(given[-(1:3)], "")[1], names(jobs), value = TRUE)
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))

files <- local({
  .libPaths(c(libraries[1], .libPaths()))
  parts <- unique(vapply(jobs[chosen], `[[`, "", "part"))
  vapply(parts, function(part) {
    file <- tempfile(fileext = ".rds")
    saveRDS(suppressMessages(inputs(part)), file, compress = FALSE)
    file
  }, "")
})
measure <- function(name, library) {
  out <- system2("Rscript", c(script, "--job", shQuote(name), files[[jobs[[name]]$part]]),
                 stdout = TRUE, stderr = FALSE,
                 env = paste0("R_LIBS=", paste(c(library, .libPaths()), collapse = ":")))
  result <- grep("^RESULT", out, value = TRUE)
  if (!length(result)) return(c(NA_real_, NA_real_))
  as.numeric(strsplit(trimws(result), " +")[[1]][-1])
}
rows <- lapply(chosen, function(name) {
  seen <- replicate(rounds, vapply(libraries, function(one) measure(name, one), c(0, 0)))
  least <- apply(seen, c(1, 2), min)
  data.frame(job = name, cpu_old = least[1, 1], cpu_new = least[1, 2],
             ratio = least[1, 2] / least[1, 1], mb_old = least[2, 1], mb_new = least[2, 2])
})
table <- do.call(rbind, rows)
numbers <- c("cpu_old", "cpu_new", "ratio")
table[numbers] <- round(table[numbers], 3)
table[c("mb_old", "mb_new")] <- round(table[c("mb_old", "mb_new")])
print(table, row.names = FALSE)
