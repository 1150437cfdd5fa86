# Shared fixtures: one small simulation, and the real data where they are.

small <- simulate_bulk(n_genes = 400, n_types = 4, n_samples = 5, n_donors = 3,
                       cells_per_type = 20, seed = 42)
small_signatures <- suppressWarnings(
  build_signatures(small$reference, small$cells$cell_type, donors = small$cells$donor)
)

# Quiet, Poisson, with lengths known: what most tests want.
fit_small <- function(..., bulk = small$bulk_counts, signatures = small_signatures,
                      lengths = small$gene_lengths, protocol = "full_length",
                      error_model = "poisson") {
  deconvolve_bulk(signatures, bulk, lengths, protocol = protocol, error_model = error_model,
                  verbose = FALSE, ...)
}

real_data <- function(folder) {
  # The data lie beside the project; R CMD check runs elsewhere and skips.
  roots <- c(Sys.getenv("UNALLOY_DATA"), "../../../shared/data")
  path <- file.path(roots[nzchar(roots)], folder)
  path <- path[dir.exists(path)]
  if (!length(path)) testthat::skip(paste("the data set", folder, "is not at hand"))
  path[1L]
}

read_matrix <- function(file) {
  table <- utils::read.delim(gzfile(file), check.names = FALSE)
  matrix <- as.matrix(table[-1L])
  rownames(matrix) <- table[[1L]]
  matrix
}

# Does this process not hear Ctrl-C, as its parent did not?  Linux tells.
ignores_interrupts <- function() {
  status <- tryCatch(readLines("/proc/self/status"), error = function(e) "SigIgn: 0",
                     warning = function(w) "SigIgn: 0")
  mask <- sub(".*[[:space:]]", "", grep("^SigIgn", status, value = TRUE))
  # the second bit from the right is SIGINT
  strtoi(substring(mask, nchar(mask)), 16L) %/% 2L %% 2L == 1L
}

# Messages without what differs between installations.
expect_refusal <- function(expr, kind) {
  testthat::expect_error(expr, class = paste0("unalloy_error_", kind))
}

# The value of code under a seed of R's own stream, which is left as it was.
with_seed_of <- function(seed, code) withr::with_seed(seed, code)
