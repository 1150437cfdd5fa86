# The steps of extract_program(): sharing out what types do not explain, and tests
# of the genes of a program, each half of the genes with what the other half says of
# the samples.

# Brings the programs of a half into the order and scale of the whole.
match_programs <- function(half, loadings) {
  found <- half$fit$loadings
  taken <- integer()
  for (r in seq_len(nrow(loadings))) {
    closeness <- apply(found, 1L, function(own) {
      sum(own * loadings[r, ]) / sqrt(sum(own^2) * sum(loadings[r, ]^2))
    })
    closeness[!is.finite(closeness)] <- -1
    closeness[taken] <- -2
    taken <- c(taken, which.max(closeness))
  }
  found <- found[taken, , drop = FALSE]
  # columns of the half's programs sum to 1 over its own genes only
  for (r in seq_len(nrow(found))) {
    scale <- sum(found[r, ] * loadings[r, ]) / sum(found[r, ]^2)
    if (is.finite(scale)) found[r, ] <- found[r, ] * scale
  }
  half$loadings <- found
  half$profiles <- half$fit$programs[, taken, drop = FALSE]
  half
}

# Each half of the genes, tested with what the other half says of the samples.
program_table <- function(out, cohort, fits, threads) {
  tables <- lapply(rownames(out$loadings), function(program) {
    parts <- lapply(1:2, function(i) {
      test_half(program, out, cohort, fits[[3L - i]], fits[[i]]$rows, threads)
    })
    table <- do.call(rbind, parts)
    table$fdr <- stats::p.adjust(table$p_value, "BH")
    table
  })
  table <- do.call(rbind, tables)
  table <- table[order(match(table$program, rownames(out$loadings)), -table$statistic), ]
  rownames(table) <- NULL
  table
}

test_half <- function(program, out, cohort, other, rows, threads) {
  r <- match(program, rownames(out$loadings))
  data <- data_rows(cohort$data, rows)
  n_sources <- ncol(data$sources)
  exposures <- other$fit$exposures
  composition <- closest_mixture(other$profiles[, r] / other$fit$factors, other$part$data$sources,
                                 cohort$n_types, other$weights)
  # what the other half learns of noise and variances, its programs being sources
  learning <- other$part
  learning$data$sources <- cbind(learning$data$sources, other$profiles / other$fit$factors)
  learning$data$exposures <- rbind(exposures, other$loadings)
  learning$reference <- with_unknown(learning$reference, nrow(other$loadings))
  shared <- learn_shared(learning, threads)
  # the other programs are sources of the test as well
  beside <- other$loadings[-r, , drop = FALSE]
  profile <- out$programs[rows, -r, drop = FALSE] / out$factors[rows]
  data$sources <- cbind(data$sources, profile)
  data$exposures <- rbind(exposures + outer(composition, other$loadings[r, ]), beside)
  dimnames(data$exposures) <- NULL
  reference <- with_unknown(reference_rows(cohort$reference, rows), nrow(beside))
  place <- n_sources + seq_len(nrow(other$loadings))[-r]
  factors <- shared$factors[c(seq_len(n_sources), place)]
  found <- call_rs(
    rs_test_program, data = data, reference = reference, noise = shared$noise, factors = factors,
    loading = other$loadings[r, ], composition = c(composition, rep(0, nrow(beside)))
  )
  gene_tests(found, program, data$lengths * out$factors[rows], rownames(data$counts))
}

with_unknown <- function(reference, n) {
  reference$variance <- cbind(reference$variance, matrix(NA_real_, nrow(reference$variance), n))
  reference$donors <- c(reference$donors, rep(NA_real_, n))
  reference$totals <- c(reference$totals, rep(NA_real_, n))
  reference
}

# Moderated t tests.  Levels are as the reference's platform would see them.
gene_tests <- function(found, program, scale, genes) {
  prior <- found$prior_freedom
  freedom <- found$freedom
  moderated <- (prior * found$prior_scale + freedom * found$scale) / (prior + freedom)
  error <- found$std_error * sqrt(moderated)
  statistic <- ifelse(is.finite(error), found$difference / error, 0)
  df <- prior + freedom
  types <- pmax(found$average / scale, 0)
  level <- pmax((found$average + found$difference) / scale, 0)
  # a level is not known below its own error
  offset <- FOLD_OFFSET + ifelse(is.finite(error), error, 0) / scale
  data.frame(
    gene = genes, program = program, profile = 1e6 * level, types = 1e6 * types,
    log2_fold = log2((level + offset) / (types + offset)),
    std_error = error / scale / (level + offset) / log(2), statistic = statistic, df = df,
    p_value = 2 * stats::pt(-abs(statistic), df)
  )
}

# Added to levels before their ratio is taken, beside their error, as a share of
# all mRNA.
FOLD_OFFSET <- 1e-6

data_rows <- function(data, rows) {
  data$counts <- data$counts[rows, , drop = FALSE]
  data$sources <- data$sources[rows, , drop = FALSE]
  data$lengths <- data$lengths[rows]
  data
}

reference_rows <- function(reference, rows) {
  reference$variance <- reference$variance[rows, , drop = FALSE]
  reference
}

# Noise and variances that genes share.
learn_shared <- function(cohort, threads) {
  call_rs(rs_fit_expression, data = cohort$data, reference = cohort$reference, learn = "shared",
          noise = cohort$noise[1L], least_noise = cohort$noise[2L], means = FALSE,
          threads = threads)
}

# The mixture of types nearest to a profile (in the weighted Poisson likelihood,
# the profile as counts): per source, sums to 1, background 0.
closest_mixture <- function(profile, sources, n_types, weights) {
  settings <- solver_settings("newton", 0, 0, NULL, 1e-8, 1e-4, 10, 0.5, NULL, 1, NULL)
  types <- sources[, seq_len(n_types), drop = FALSE]
  profile[rowSums(types) == 0] <- 0
  if (sum(profile * weights) <= 0) return(rep(0, ncol(sources)))
  model <- list(sources = types, n_types = n_types, weights = weights,
                length_factor = rep(1, length(profile)),
                matching = list(gene_of_row = seq_along(profile) - 1L))
  problem <- core_problem(model, matrix(1e6 * profile))
  found <- call_rs(rs_deconvolve_bulk, problem = problem, settings = settings, first_sample = 0)
  mixture <- drop(found$exposures) / sum(found$exposures)
  c(mixture, rep(0, ncol(sources) - n_types))
}
