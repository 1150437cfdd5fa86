# Time and memory of deconvolve_bulk() beside EM and non-negative least squares
# written plainly in R, on the same data in one run.  Prints tables, fails
# nothing.  Usage: Rscript bench/deconvolve_bulk.R [samples of the large cohort]
#
# The data are drawn by the simulator at the size of the published example:
# 18,879 genes x 21 types x 81 samples, 2e7 reads.  Weights are those of the
# published table where it is at hand (UNALLOY_DATA or ../shared/data), else
# drawn with a like share of zeros.
library(unalloy)

large <- as.integer(c(commandArgs(TRUE), 10000)[1])
data_folder <- Sys.getenv("UNALLOY_DATA", "../shared/data")

cpu <- function(expr) {
  before <- proc.time()
  force(expr)
  used <- proc.time() - before
  c(cpu = sum(used[c("user.self", "sys.self")]), elapsed = used[["elapsed"]])
}

# Peak resident memory, in MB, above what the session held before.
peak <- function(expr) {
  status <- function(field) {
    line <- grep(field, readLines("/proc/self/status"), value = TRUE)
    as.numeric(gsub("[^0-9]", "", line)) / 1024
  }
  if (!file.exists("/proc/self/clear_refs")) return(NA)
  gc()
  writeLines("5", "/proc/self/clear_refs")
  before <- status("VmRSS")
  force(expr)
  status("VmHWM") - before
}

published_weights <- function(n) {
  file <- file.path(data_folder, "corces_gse74246", "gene_lengths.tsv.gz")
  set.seed(1)
  if (file.exists(file)) return(sample(read.delim(gzfile(file))$weight, n))
  ifelse(runif(n) < 0.3, 0, runif(n))
}

message("Simulating 18,879 genes x 21 types x 81 samples ...")
sim <- simulate_bulk(n_genes = 18879, n_types = 21, n_samples = 81, n_donors = 1,
                     cells_per_type = 1, depth = 2e7, type_sd = 0.5, seed = 1)
bulk <- sim$bulk_counts
storage.mode(bulk) <- "integer"
signatures <- sim$profiles
weights <- setNames(published_weights(nrow(bulk)), rownames(bulk))

fit <- function(method, threads = 1L, counts = bulk, ...) {
  deconvolve_bulk(signatures, counts, sim$gene_lengths, weights, method = method,
                  protocol = "full_length", threads = threads, verbose = FALSE, ...)
}

# The published EM as its description has it, in matrix form: the same model
# and start, a fixed number of steps (none of them certifies anything).
plain_em <- function(steps) {
  used <- weights > 0
  a <- cbind(signatures, 1 / nrow(signatures))[used, ] * sim$gene_lengths[used] / 500
  y <- weights[used] * bulk[used, ]
  cost <- colSums(weights[used] * a)
  e <- matrix(rep(colSums(y) / sum(cost), each = ncol(a)), ncol(a))
  for (step in seq_len(steps)) e <- e * crossprod(a, y / (a %*% e)) / cost
  e
}

plain_nnls <- function() {
  a <- cbind(signatures, 1 / nrow(signatures)) * sim$gene_lengths / 500
  apply(bulk, 2, function(k) nnls::nnls(a, k)$x)
}

rows <- list()
add <- function(name, times, note) {
  rows[[length(rows) + 1L]] <<- data.frame(
    what = name, cpu = round(times[["cpu"]], 2), elapsed = round(times[["elapsed"]], 2),
    note = note
  )
}
best_of <- function(n, run) {
  times <- replicate(n, run(), simplify = FALSE)
  times[[which.min(vapply(times, `[[`, 0, "cpu"))]]
}
result <- NULL
certified <- function(result) {
  gap <- max(result$convergence$gap)
  paste0(if (all(result$convergence$converged)) "certified" else "NOT certified", ", gap ",
         format(gap, digits = 2), ", iterations up to ", max(result$convergence$iterations))
}
for (method in c("newton", "em", "gd")) {
  for (threads in 1:2) {
    times <- best_of(if (method == "newton") 5 else 1,
                     function() cpu(result <<- fit(method, threads)))
    add(paste0("deconvolve_bulk, ", method, ", threads = ", threads), times, certified(result))
  }
  if (method == "newton") reference <- result$proportions
  add_error <- max(abs(result$proportions - reference))
  rows[[length(rows)]]$note <- paste0(rows[[length(rows)]]$note, ", differs from newton by ",
                                      format(add_error, digits = 1))
}
em <- NULL
steps <- 300
times <- cpu(em <- plain_em(steps))
shares <- sweep(em[1:21, ], 2, colSums(em[1:21, ]), "/")
add(paste0("EM in R, ", steps, " steps"), times,
    paste0("not certified, differs from newton by ",
           format(max(abs(shares - reference)), digits = 1)))
if (requireNamespace("nnls", quietly = TRUE)) {
  times <- cpu(found <- plain_nnls())
  shares <- sweep(found[1:21, ], 2, colSums(found[1:21, ]), "/")
  truth_error <- function(p) sqrt(mean((p - sim$truth_mrna)^2))
  add("nnls (Lawson-Hanson), per sample", times,
      paste0("another model; RMSE to truth ", format(truth_error(shares), digits = 2),
             ", newton's ", format(truth_error(reference), digits = 2)))
}
table <- do.call(rbind, rows)
table$ratio <- round(table$cpu / table$cpu[1], 1)
cat("\n18,879 genes x 21 types x 81 samples, whole R call, CPU seconds\n\n")
print(table[c("what", "cpu", "elapsed", "ratio", "note")], row.names = FALSE, right = FALSE)

# The default, with its error per gene, beside the plain fit of the same data.
cells <- simulate_bulk(n_genes = 18879, n_types = 21, n_samples = 81, n_donors = 2,
                       cells_per_type = 20, depth = 2e7, type_sd = 0.5, platform_sd = 0.5, seed = 1)
built <- build_signatures(cells$reference, cells$cells$cell_type)
counts <- cells$bulk_counts
storage.mode(counts) <- "integer"
call_with <- function(...) {
  best_of(5, function() {
    cpu(deconvolve_bulk(built, counts, cells$gene_lengths, threads = 1L,
                        protocol = "full_length", verbose = FALSE, ...))
  })
}
plain <- call_with(error_model = "poisson")[["cpu"]]
default <- call_with()[["cpu"]]
cat(sprintf("\nThe default call: %.2f CPU seconds; plain newton %.2f; ratio %.1f\n", default, plain,
            default / plain))

inputs <- as.numeric(object.size(bulk) + object.size(signatures) + object.size(weights) +
                       object.size(sim$gene_lengths)) / 2^20
used <- peak(fit("newton", 2L))
cat(sprintf("\nPeak memory of the call beyond its inputs: %.0f MB; inputs %.0f MB (integers)\n",
            used, inputs))

cat("\nMany samples (the 81 repeated), newton, 2 threads\n\n")
sizes <- unique(c(round(large * c(0.1, 0.2, 0.5, 1))))
scaling <- do.call(rbind, lapply(sizes, function(n) {
  counts <- bulk[, rep_len(seq_len(81), n)]
  colnames(counts) <- paste0("S", seq_len(n))
  times <- NULL
  memory <- peak(times <- cpu(fit("newton", 2L, counts)))
  data.frame(samples = n, cpu = round(times[["cpu"]], 1), elapsed = round(times[["elapsed"]], 1),
             cpu_per_1000 = round(1000 * times[["cpu"]] / n, 2),
             memory_MB = round(memory), inputs_MB = round(as.numeric(object.size(counts)) / 2^20))
}))
print(scaling, row.names = FALSE)
