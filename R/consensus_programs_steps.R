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

# Coefficients of so many bytes are held at a time, and those of so many runs at least.
# Which runs make a batch, and with that their random numbers, must not depend on threads.
BATCH_BYTES <- 2e8
BATCH_RUNS <- 8

# Spectra of all runs side by side, and how the runs ended.  Only the spectra are
# kept, and few runs are made at a time, so that their coefficients fit in memory.
replicate_spectra <- function(x, rank, settings, progress) {
  size <- 8 * rank * ncol(x)
  batch <- max(BATCH_RUNS, floor(BATCH_BYTES / size))
  first <- seq(1, settings$nrun, by = batch)
  parts <- lapply(first, function(run) {
    n <- min(batch, settings$nrun - run + 1)
    fit <- withCallingHandlers(
      nmf(x, rank, method = if (settings$loss == "kl") "KL" else "Frobenius", nrun = n,
          seed = settings$seed + run - 1, max_iter = settings$max_iter,
          tolerance = settings$tolerance, keep_all = TRUE, keep_x = FALSE, verbose = FALSE,
          threads = settings$threads),
      # told of once, for all runs
      unalloy_warning_not_converged = function(w) rlang::cnd_muffle(w)
    )
    progress(run + n - 1)
    runs <- fit$runs
    runs$run <- runs$run + as.integer(run - 1)
    list(spectra = do.call(cbind, lapply(fit$fits, `[[`, "basis")), runs = runs)
  })
  list(spectra = unname(do.call(cbind, lapply(parts, `[[`, "spectra"))),
       runs = do.call(rbind, lapply(parts, `[[`, "runs")))
}

# Usages and spectra over all genes, from the median spectra.
refit_programs <- function(data, medians, settings, .call) {
  counts_usage <- usage_of(medians, data$scaled, settings$loss, settings, .call)
  squares <- sum_of_squares(data$scaled)
  refitted <- call_rs(rs_program_spectra(
    rust_values(data$tpm), ncol(data$tpm), to_shares(counts_usage),
    data$features$mean, data$features$sd, as.integer(settings$threads), no_progress
  ), .call = .call)
  sd <- data$features$sd[data$chosen]
  chosen_tpm <- scale_rows(data$tpm[data$chosen, , drop = FALSE], 1 / sd)
  final <- usage_of(refitted$levels[data$chosen, , drop = FALSE] / sd, chosen_tpm, "frobenius",
                    settings, .call)
  list(usage = to_shares(final), tpm = refitted$levels, scores = refitted$scores,
       error = residual_of(data$scaled, medians, counts_usage, squares) / squares)
}

# The best usages for given spectra.
usage_of <- function(spectra, x, loss, settings, .call) {
  fixed_coefficients(spectra, NULL, x, loss, settings$threads, .call)
}

to_shares <- function(usage) {
  total <- colSums(usage)
  usage / rep(ifelse(total > 0, total, 1), each = nrow(usage))
}

# ||X - W H||^2 = ||X||^2 - 2 <W, X H'> + <W'W, H H'>, without a dense X.
residual_of <- function(x, basis, coef, squares) {
  product <- as.matrix(x %*% t(coef))
  max(squares - 2 * sum(basis * product) + sum(crossprod(basis) * tcrossprod(coef)), 0)
}

sum_of_squares <- function(x) if (is.matrix(x)) sum(x^2) else sum(x@x^2)

scale_columns <- function(x, by) {
  if (is.matrix(x)) return(x * rep(by, each = nrow(x)))
  x@x <- x@x * rep(by, diff(x@p))
  x
}

scale_rows <- function(x, by) {
  if (is.matrix(x)) return(x * by)
  x@x <- x@x * by[x@i + 1L]
  x
}

# Mean and standard deviation (divisor n) of each row.
row_moments <- function(x) {
  n <- ncol(x)
  mean <- Matrix::rowMeans(x)
  variance <- if (is.matrix(x)) {
    rowMeans((x - mean)^2)
  } else {
    # stored entries about the mean, the others are the mean away from it
    centred <- x
    centred@x <- (x@x - mean[x@i + 1L])^2
    (Matrix::rowSums(centred) + (n - tabulate(x@i + 1L, nrow(x))) * mean^2) / n
  }
  list(mean = unname(mean), sd = unname(sqrt(variance)))
}
