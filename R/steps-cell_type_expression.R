# The data and the prior of cell_type_expression() and extract_program().

# Coefficient of variation between people where the reference does not tell.
ASSUMED_VARIATION <- 0.4

# What the core borrows.
cohort_data <- function(result, .call = caller_env()) {
  counts <- observed_counts(result, .call = .call)
  storage.mode(counts) <- "double"
  model <- result$model
  factor <- model$length_factor
  list(counts = counts, sources = model$sources, lengths = as.double(factor),
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
