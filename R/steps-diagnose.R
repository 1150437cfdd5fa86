# The steps of diagnose(): numbers per sample, residual programs, and tables.

# What the core finds in one pass over the samples.
diagnosis_numbers <- function(result, threads, verbose, .call) {
  model <- result$model
  of_samples <- function(columns) list(exposures = result$exposures[, columns, drop = FALSE])
  parts <- with_problem(result, "Diagnosing", rs_diagnose, list(threads = threads), of_samples,
                        .call, verbose)
  join <- function(name, by = c) do.call(by, lapply(parts, `[[`, name))
  add <- function(name) Reduce(`+`, lapply(parts, `[[`, name))
  vectors <- c("condition", "dispersion", "excess", "deficit", "log_error", "correlation",
               "covariance")
  numbers <- lapply(stats::setNames(nm = vectors), join)
  n_sources <- nrow(result$exposures)
  types <- seq_len(model$n_types)
  for (name in c("correlation", "covariance")) {
    dim(numbers[[name]]) <- c(n_sources, dim(result$exposures))
    numbers[[name]] <- numbers[[name]][types, types, , drop = FALSE]
  }
  # errors that leave out the penalty
  if (is_penalised(result)) numbers$covariance <- NULL
  numbers[c("inflation", "lone_error")] <- lapply(c("inflation", "lone_error"), join, by = cbind)
  numbers[c("influence", "sensitivity")] <- lapply(c("influence", "sensitivity"), add)
  numbers
}

# Samples that residual programs are looked for in, at most: what they need grows
# with the square of their number.
PROGRAM_SAMPLES <- 400

# Fewer samples cannot tell a program from an error of the platform.
FEWEST_SAMPLES <- 4

shared_residuals <- function(result, bulk, values, programs, draws, seed, threads, verbose,
                             .call) {
  n <- bulk$n_samples
  if (n < FEWEST_SAMPLES) programs <- 0
  chosen <- unique(round(seq(1, n, length.out = min(n, PROGRAM_SAMPLES))))
  part <- in_memory(bulk_subset(bulk, chosen), .call)
  model <- result$model
  genes <- which(protocol_weights(strip_ensembl_version(rownames(model$sources))) > 0)
  place <- rows_among(model, genes)
  basis <- composition_basis(result$proportions[, chosen, drop = FALSE])
  found <- call_rs(
    rs_residual_programs, values = part$values, gene_of_row = place,
    signatures = model$sources[genes, , drop = FALSE], lengths = model$length_factor[genes],
    exposures = result$exposures[, chosen, drop = FALSE], floors = platform_floors(values)[chosen],
    basis = basis, n_programs = programs, draws = draws, seed = seed, threads = threads,
    progress = progress_bar("Comparing with chance", draws, verbose), .call = .call
  )
  dimnames(found$genes) <- list(rownames(model$sources)[genes], NULL)
  rownames(found$samples) <- bulk$samples[chosen]
  names(found$offsets) <- rownames(found$genes)
  # mean fitted reads per million
  shares <- normalise_columns(result$exposures[, chosen, drop = FALSE])
  sources <- model$sources * model$length_factor
  found$level <- 1e6 * drop(sources[genes, , drop = FALSE] %*% rowMeans(shares, na.rm = TRUE)) /
    sum(sources %*% rowMeans(shares, na.rm = TRUE))
  found
}

# The constant and the leading directions of the proportions (types x samples) as
# orthonormal columns; no more than half of the samples, so that half remain to
# tell what is left.
composition_basis <- function(shares) {
  n <- ncol(shares)
  centred <- t(shares - rowMeans(shares, na.rm = TRUE))
  centred[is.na(centred)] <- 0 # samples without a type
  parts <- svd(scale(centred, scale = FALSE), nv = 0L)
  kept <- seq_len(min(sum(parts$d > 1e-8), floor((n - 1) / 2)))
  cbind(rep(1 / sqrt(n), n), parts$u[, kept, drop = FALSE])
}

# The defaults, for the words of a diagnosis.
APART <- list(correlation = 0.6, error = 0.25)

# Exposures of the types, and the covariance of their errors when all of them are
# free: the inverse of the expected information times the dispersion, with a
# column per sample.
design_errors <- function(result, numbers) {
  types <- seq_len(size_of(result)[1L])
  dispersion <- numbers$dispersion
  covariance <- vapply(seq_along(dispersion), function(s) {
    error <- numbers$lone_error[types, s] * sqrt(numbers$inflation[types, s])
    as.vector(dispersion[s] * numbers$correlation[, , s] * outer(error, error))
  }, numeric(length(types)^2))
  list(exposures = result$exposures[types, , drop = FALSE],
       covariance = matrix(covariance, length(types)^2))
}

# Whether two sums of types can be told apart: the correlation of their errors and
# the error of their split, medians over samples.
told_apart <- function(first, second, errors, samples, rule) {
  n <- nrow(errors$exposures)
  block <- function(rows, columns) {
    at <- rep((columns - 1L) * n, each = length(rows)) + rows
    colSums(errors$covariance[at, samples, drop = FALSE])
  }
  own <- function(types) colSums(errors$exposures[types, samples, drop = FALSE])
  v1 <- block(first, first)
  v2 <- block(second, second)
  both <- block(first, second)
  total <- own(c(first, second))
  p <- ifelse(total > 0, own(first) / total, 0.5)
  error <- sqrt(pmax(0, (1 - p)^2 * v1 + p^2 * v2 - 2 * p * (1 - p) * both)) / total
  correlation <- stats::median((both / sqrt(v1 * v2))[v1 > 0 & v2 > 0])
  # the split of nothing is not known
  error <- stats::median(ifelse(total > 0, error, Inf))
  list(correlation = correlation, split_error = error,
       apart = is.na(correlation) || correlation > -rule$correlation || error <= rule$error)
}

DIAGNOSIS_TABLES <- c("findings", "types", "samples", "pairs", "influence", "programs", "genes")

# The genes that raise and lower the share of each type most.
leading_genes <- function(x, n, .call = caller_env()) {
  if (is.null(x$influence)) {
    stop_user("penalised", "Influence is for fits without penalties.",
              i = "Use `l1_lambda = 0` and `l2_lambda = 0`.", .call = .call)
  }
  parts <- lapply(seq_len(ncol(x$influence)), function(t) {
    moved <- x$influence[, t]
    weight <- abs(x$sensitivity[, t])
    first <- utils::head(order(-moved), n)
    last <- utils::head(order(moved), n)
    chosen <- c(first[moved[first] > 0], last[moved[last] < 0])
    data.frame(
      type = rep(colnames(x$influence)[t], length(chosen)), gene = rownames(x$influence)[chosen],
      role = ifelse(moved[chosen] > 0, "drives", "contradicts"), influence = moved[chosen],
      std_errors = moved[chosen] / x$types$std_error[t],
      weight = weight[chosen] / max(sum(weight), .Machine$double.xmin)
    )
  })
  out <- do.call(rbind, parts)
  out$type <- factor(out$type, colnames(x$influence))
  rownames(out) <- NULL
  out
}

leading_program_genes <- function(x, n, .call = caller_env()) {
  need_programs(x, .call)
  parts <- lapply(x$programs$program, function(k) {
    change <- x$program_genes[, k]
    chosen <- utils::head(order(-abs(change)), n)
    data.frame(program = rep(k, length(chosen)), gene = names(change)[chosen],
               log2_change = unname(change[chosen]))
  })
  do.call(rbind, parts)
}

erring_genes <- function(x, n, .call = caller_env()) {
  if (is.null(x$gene_errors)) need_programs(x, .call)
  sorted <- sort(x$gene_errors, decreasing = TRUE)
  chosen <- c(utils::head(sorted[sorted > 0], n), utils::tail(sorted[sorted < 0], n))
  data.frame(gene = names(chosen), log2_error = unname(chosen))
}

need_programs <- function(x, .call = caller_env()) {
  if (is.null(x$programs) || !nrow(x$programs)) {
    few <- identical(x$missing_type$reason, "few_samples")
    stop_user("no_programs", "The diagnosis has no residual programs.",
              x = if (few) paste0("They need ", FEWEST_SAMPLES, " samples or more."),
              i = if (!few) "Run `diagnose()` with `programs = 3`.", .call = .call)
  }
}

# What a diagnosis says of a topic.
finding <- function(topic, level, text, advice = NA_character_) {
  data.frame(topic = topic, level = level, text = text, advice = advice)
}

# Errors of genes that a fit averages out, and half an order of magnitude.
GOOD_FACTOR <- 1.5
BAD_FACTOR <- sqrt(10)
