# The data and the prior of cell_type_expression() and extract_program().

# Coefficient of variation between people where the reference does not tell.
ASSUMED_VARIATION <- 0.4

# Samples that variances and means are learnt from, at most: the variance of a gene in a type
# is then known to 6 % (the root of 2/500), and what all samples of a cohort need fits in
# memory whatever their number.
LEARNING_SAMPLES <- 500L

learning_samples <- function(n) {
  unique(round(seq(1, n, length.out = min(n, LEARNING_SAMPLES))))
}

# What the core borrows, of some samples (positions) or all.
cohort_data <- function(result, samples = NULL, .call = caller_env()) {
  counts <- observed_counts(result, samples, .call = .call)
  storage.mode(counts) <- "double"
  model <- result$model
  factor <- model$length_factor
  exposures <- result$exposures
  if (!is.null(samples)) exposures <- exposures[, samples, drop = FALSE]
  list(counts = counts, sources = model$sources, lengths = as.double(factor),
       exposures = exposures)
}

# The sizes of all samples of a cohort that was learnt from some of them, in blocks.
all_sizes <- function(cohort, data, noise, size_level, reference, .call = caller_env()) {
  parts <- over_cohort(cohort, function(block, columns) {
    own <- c(block, data[c("sources", "lengths")])
    call_rs(rs_sample_sizes, data = own, reference = reference, noise = noise,
            size_level = size_level, .call = .call)
  })
  unlist(parts)
}

# Calls `f(block, columns)` for every group of samples that the core works on together, the
# same groups wherever the cohort is cut: `block` has `counts` and `exposures`.  Reads as
# many samples from disk at a time as fit a block.
over_cohort <- function(cohort, f, .call = caller_env()) {
  parts <- over_samples(cohort$bulk, function(block, shared) {
    at <- seq_along(block$columns)
    lapply(split(at, (at - 1L) %/% CORE_BLOCK), function(own) {
      columns <- block$columns[own]
      counts <- in_genes(block$values[, own, drop = FALSE], cohort$place, cohort$n_genes)
      f(list(counts = counts, exposures = cohort$exposures[, columns, drop = FALSE]), columns)
    })
  }, .call = .call)
  unlist(unname(parts), recursive = FALSE)
}

# The counts of a result with what is needed to read blocks of them: `place` is the gene of
# each row or 0.
cohort_of <- function(result, .call = caller_env()) {
  bulk <- kept_counts(result, .call = .call)
  bulk$plan <- NULL
  list(bulk = bulk_subset(bulk, match(result$convergence$sample, bulk$samples)),
       place = result$model$matching$gene_of_row + 1L, n_genes = nrow(result$model$sources),
       exposures = result$exposures)
}

# What the reference tells of variances; backgrounds and plain matrices have none.
cohort_reference <- function(result, verbose) {
  sources <- result$model$sources
  known <- result$model$reference
  n_types <- result$model$n_types
  extra <- rep(NA_real_, ncol(sources) - n_types)
  variance <- matrix(NA_real_, nrow(sources), ncol(sources))
  if (!is.null(known$variance)) variance[, seq_len(n_types)] <- known$variance
  donors <- known$donors
  assumed <- is.null(known$variance) | is.na(donors) | donors < 2
  if (any(assumed)) {
    inform_user(verbose, paste0(
      "The reference does not tell how ", if (all(assumed)) "types" else
        some_of(rownames(result$exposures)[seq_len(n_types)][assumed]),
      " vary between people: a coefficient of variation of ", ASSUMED_VARIATION, " is assumed."
    ), i = "Give `donors` (two or more) to `build_signatures()`.")
  }
  list(variance = variance, donors = as.double(c(donors, extra)),
       totals = as.double(c(known$totals, extra)), assumed = ASSUMED_VARIATION^2)
}

# Variance over mean of a count: where to start, and the least it can be.  Where
# values are not counts, the smallest is taken for one count at first.
count_noise <- function(result, counts) {
  if (result$genes$unit == "counts") return(c(1, 1))
  smallest <- apply(counts, 2L, function(x) if (any(x > 0)) min(x[x > 0]) else NA)
  one <- stats::median(smallest, na.rm = TRUE)
  c(one, one * LEAST_NOISE)
}

LEAST_NOISE <- 1e-3
