# The steps of consensus_programs().  A matrix is a double matrix or a dgCMatrix,
# genes x cells.

# Chosen genes and what is computed of the counts once for all ranks.
program_data <- function(x, features, settings, .call = caller_env()) {
  if (is.null(rownames(x))) rownames(x) <- paste0("gene", seq_len(nrow(x)))
  if (is.null(colnames(x))) colnames(x) <- paste0("cell", seq_len(ncol(x)))
  totals <- Matrix::colSums(x)
  tpm <- scale_columns(x, ifelse(totals > 0, 1e6 / totals, 0))
  moments <- row_moments(tpm)
  table <- data.frame(gene = rownames(x), mean = moments$mean, sd = moments$sd,
                      ratio = overdispersion(moments$mean, moments$sd^2))
  # counts are divided by their own deviations: those of TPM do not tell that there is one
  sd <- row_moments(x)$sd
  chosen <- chosen_features(table, table$sd > 0 & sd > 0, features, settings$n_features, .call)
  table$chosen <- seq_len(nrow(x)) %in% chosen
  raw <- x[chosen, , drop = FALSE]
  list(scaled = scale_rows(raw, 1 / sd[chosen]), tpm = tpm, chosen = chosen, features = table,
       empty = colnames(x)[Matrix::colSums(raw) == 0])
}

# Fano factor over what is expected at this mean; NA for genes without counts.
overdispersion <- function(mean, variance) {
  present <- which(mean > 0)
  fano <- variance[present] / mean[present]
  mu <- mean[present]
  top <- utils::head(order(-mu), 20L)
  a <- min(sqrt(variance[present][top]) / mu[top])
  inner <- function(v) {
    edges <- stats::quantile(v, c(0.1, 0.9), names = FALSE)
    v > edges[1L] & v < edges[2L]
  }
  middle <- inner(mu) & inner(fano)
  b2 <- stats::median(if (any(middle)) fano[middle] else fano)
  ratio <- rep(NA_real_, length(mean))
  ratio[present] <- fano / (a^2 * mu + b2)
  ratio
}

# Rows of the genes to factorise; a gene without variation has no scale.
chosen_features <- function(table, varies, features, n, .call) {
  if (is.null(features)) {
    ranked <- order(-table$ratio)
    chosen <- utils::head(ranked[varies[ranked] & !is.na(table$ratio[ranked])], n)
  } else {
    chosen <- match(unique(features), table$gene)
    if (anyNA(chosen)) {
      stop_user("features", "`features` must be genes of `x`.",
                x = paste0("Not in `x`: ", some_of(unique(features)[is.na(chosen)]), "."),
                .call = .call)
    }
    chosen <- chosen[varies[chosen]]
  }
  if (length(chosen) < 2L) {
    stop_user("features", "Programs need at least two genes that vary.",
              x = paste0("Left: ", plural(length(chosen), "gene"), "."), .call = .call)
  }
  sort(chosen)
}

# Usages and spectra over all genes, from the median spectra.
refit_programs <- function(data, medians, settings, .call) {
  counts_usage <- usage_of(medians, data$scaled, settings$loss, settings, .call)
  squares <- sum_of_squares(data$scaled)
  refitted <- call_rs(rs_program_spectra, x = data$tpm, usage = to_shares(counts_usage),
                      mean = data$features$mean, sd = data$features$sd,
                      threads = settings$threads, .call = .call)
  sd <- data$features$sd[data$chosen]
  chosen_tpm <- scale_rows(data$tpm[data$chosen, , drop = FALSE], 1 / sd)
  final <- usage_of(refitted$levels[data$chosen, , drop = FALSE] / sd, chosen_tpm, "frobenius",
                    settings, .call)
  list(usage = to_shares(final), tpm = refitted$levels, scores = refitted$scores,
       error = residual_of(data$scaled, medians, counts_usage, squares) / squares)
}
