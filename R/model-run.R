# Runs of the core: fits, inference and tests, in blocks of samples.

METHODS <- c("newton", "em", "gd")

# Stages of a hierarchical fit have no such setting, and `$` would take
# `sparsity_tolerance` for it.
is_eliminated <- function(settings) identical(settings[["sparsity"]], "lrt")

# The fit that belongs to a model.
run_any_fit <- function(model, bulk, settings, verbose, .call) {
  run <- if (is.null(model$variance)) run_fit else run_platform_fit
  run(model, bulk, settings, verbose, .call = .call)
}

# The fit with what is done to it: types left out that the data do not ask for, and the
# default intercept where it would take all.
#
# With `totals` of the samples.  Where values turn out to be of another unit than was
# presumed, list(misjudged), the bulk as it is.
run_whole_fit <- function(model, bulk, settings, verbose, .call) {
  fit <- run_any_fit(model, bulk, settings, verbose, .call)
  if (is.null(bulk$totals)) {
    judged <- with_values(bulk, judge_values(bulk, fit$scans, .call), .call)
    if (judged$unit != bulk$unit) return(list(misjudged = judged))
    bulk <- judged
  }
  # single samples in groups of their own: too little for workers
  bulk$plan <- NULL
  if (is_eliminated(settings)) {
    fit <- eliminate_types(fit, model, bulk, settings, .call)
  } else if (isTRUE(settings$free_intercept)) {
    fit <- without_idle_intercept(fit, model, bulk, settings, .call)
  }
  fit$totals <- bulk$totals
  fit
}

# Runs the core over the samples, in blocks when they are on disk.
run_fit <- function(model, bulk, settings, verbose, .call) {
  parts <- fit_blocks(rs_deconvolve_bulk, model, bulk, settings, verbose, .call)
  fit <- merge_fits(lapply(parts, `[[`, "answer"))
  fit$scans <- lapply(parts, `[[`, "scan")
  fit
}

fit_blocks <- function(binding, model, bulk, settings, verbose, .call) {
  run_blocks(binding, model, bulk, list(settings = settings),
             function(columns) list(first_sample = columns[1L] - 1), "Deconvolving", verbose,
             .call)
}

# Calls a binding for blocks of samples: `given` is what it takes beside the problem, and
# `more(columns)` what it takes of these samples.  Per block list(answer, scan), the scan
# of the values NULL where they were looked at before.
run_blocks <- function(binding, model, bulk, given, more, title, verbose, .call) {
  shared <- list(binding = binding, model = model, given = given, unit = bulk$unit,
                 genes = bulk$genes, samples = bulk$samples)
  own <- function(columns) list(totals = bulk$totals[columns], given = more(columns))
  over_samples(bulk, run_block, shared, own, title, verbose, .call)
}

run_block <- function(block, shared) {
  scan <- if (is.null(block$totals)) scan_block(block, shared)
  totals <- block$totals %||% scan$totals
  floors <- if (!is.null(shared$model$variance)) {
    # samples without any counts are told once all are known
    platform_floors(list(totals = ifelse(totals > 0, totals, 1), unit = shared$unit))
  }
  answer <- call_rs(shared$binding, problem = core_problem(shared$model, block$values, floors),
                    progress = block$progress, .given = c(shared$given, block$given),
                    .samples = shared$samples[block$columns], .call = block$.call)
  list(answer = answer, scan = scan)
}

# What every binding that fits, tests or infers takes: the model and the counts
# of a block of samples, with their floors where the model is of the platform error.
core_problem <- function(model, values, floors = NULL) {
  problem <- list(
    values = values, gene_of_row = model$matching$gene_of_row, sources = model$sources,
    lengths = model$length_factor, weights = model$weights, n_types = model$n_types
  )
  if (is.null(model$variance)) return(problem)
  c(problem, list(variance = model$variance, discount = model$discount, floors = floors,
                  tau2 = model$tau2))
}

# What a fit has per sample beside exposures, moments and trace.
PER_SAMPLE <- c("iterations", "gap", "reason", "loglik", "deviance", "null_deviance",
                "squared_error", "relative_error")

# The fits of blocks of samples, or of groups of them, as one.
merge_fits <- function(parts) {
  join <- function(name, by = c) do.call(by, lapply(parts, `[[`, name))
  sizes <- vapply(parts, function(part) length(part$gap), 0L)
  offsets <- cumsum(c(0L, sizes))[seq_along(parts)]
  fit <- parts[[1L]]
  fit[PER_SAMPLE] <- lapply(PER_SAMPLE, join)
  fit$exposures <- join("exposures", cbind)
  fit$sample_moments <- join("sample_moments", rbind)
  fit$gene_moments <- whole_moments(lapply(parts, `[[`, "gene_moments"))
  traces <- Map(function(part, offset) {
    part$trace$sample <- part$trace$sample + offset
    part$trace
  }, parts, offsets)
  fit$trace <- do.call(Map, c(list(c), traces))
  fit
}

# Moments of genes over all samples, from those of the parts of a cohort: nodes of a
# binary tree over its blocks of samples, of which neighbours are merged as the core
# does it; the sums, and their bits, do not depend on how the cohort was cut.
whole_moments <- function(parts) {
  if (is.matrix(parts[[1L]])) return(Reduce(merge_moments, parts))
  level <- unlist(lapply(parts, `[[`, "level"))
  index <- unlist(lapply(parts, `[[`, "index"))
  nodes <- unlist(lapply(parts, function(part) {
    rows <- seq_len(nrow(part$moments) / length(part$level))
    lapply(seq_along(part$level) - 1L, function(k) {
      part$moments[k * length(rows) + rows, , drop = FALSE]
    })
  }), recursive = FALSE)
  joined <- list()
  for (k in seq_along(nodes)) {
    node <- list(level = level[k], index = index[k], moments = nodes[[k]])
    while (length(joined) && node$index %% 2L == 1L &&
             joined[[length(joined)]]$level == node$level) {
      left <- joined[[length(joined)]]
      joined[[length(joined)]] <- NULL
      node <- list(level = node$level + 1L, index = node$index %/% 2L,
                   moments = merge_moments(left$moments, node$moments))
    }
    joined <- c(joined, list(node))
  }
  Reduce(merge_moments, lapply(joined, `[[`, "moments"))
}

# Moments of two sets of pairs together, row by row (Chan, Golub and LeVeque).
merge_moments <- function(a, b) {
  n <- a[, 1L] + b[, 1L]
  shared <- ifelse(n > 0, a[, 1L] * b[, 1L] / n, 0)
  per <- pmax(n, 1)
  dx <- b[, 2L] - a[, 2L]
  dy <- b[, 3L] - a[, 3L]
  # rounded as the core rounds them
  cbind(n, a[, 2L] + dx * b[, 1L] / per, a[, 3L] + dy * b[, 1L] / per,
        a[, 4L] + (b[, 4L] + dx * dx * shared), a[, 5L] + (b[, 5L] + dy * dy * shared),
        a[, 6L] + (b[, 6L] + dx * dy * shared))
}

# Runs the core with the platform error.  Unless the model has a tau^2, it comes
# from a fit of up to 16 samples spread over the cohort: so it is the same for
# all blocks read from disk, and for samples that are added later.
run_platform_fit <- function(model, bulk, settings, verbose, .call) {
  if (is.null(model$tau2)) {
    few <- in_memory(bulk_subset(bulk, spread_samples(bulk$n_samples)), .call)
    found <- fit_blocks(rs_fit_platform, model, few, settings, FALSE, .call)
    model$tau2 <- found[[1L]]$answer$tau2
  }
  parts <- fit_blocks(rs_fit_platform, model, bulk, settings, verbose, .call)
  fit <- merge_fits(lapply(parts, function(part) part$answer$fit))
  fit$scans <- lapply(parts, `[[`, "scan")
  fit$tau2 <- model$tau2
  fit
}

# The counts that were kept with a result.
kept_counts <- function(object, .call = caller_env()) {
  if (is.null(object$counts)) {
    stop_user("no_counts", "The result does not hold the counts.",
              i = "Run `deconvolve_bulk()` with `keep_counts = TRUE`.", .call = .call)
  }
  object$counts
}

# Calls a function of Rust for the samples of a result, in blocks when they are on
# disk; `more(columns)` is what it takes beside the problem.
with_problem <- function(object, title, binding, given, more, .call, verbose = TRUE) {
  bulk <- kept_counts(object, .call = .call)
  bulk <- with_values(bulk, .call = .call)
  parts <- run_blocks(binding, object$model, bulk, given, more, title, verbose, .call)
  lapply(parts, `[[`, "answer")
}

# Covariance (sources x sources x samples), limits and scales (sources x
# samples) of the exposures.
infer_exposures <- function(object, variance, fall, threads, .call) {
  given <- list(variance = variance, fall = fall, threads = threads)
  parts <- with_problem(object, "Intervals", rs_infer, given, function(columns) {
    list(exposures = object$exposures[, columns, drop = FALSE])
  }, .call)
  join <- function(name) do.call(cbind, lapply(parts, `[[`, name))
  size <- dim(object$exposures)
  list(covariance = array(unlist(lapply(parts, `[[`, "covariance")), c(size[1L], size)),
       limits = join("limits"), scales = join("scales"))
}

# Statistics in units of their scales times `inflation` (sources x samples), types x
# samples.  Where the quadratic model at the fit says that a statistic is beyond
# `clear`, its value is taken.
presence_statistics <- function(object, scales, inflation, variance, clear, threads, .call) {
  given <- list(null_scale = variance == "robust", only_active = is_eliminated(object$settings),
                clear = clear, threads = threads)
  do.call(cbind, with_problem(object, "Tests", rs_test_presence, given, function(columns) {
    list(exposures = object$exposures[, columns, drop = FALSE],
         scales = scales[, columns, drop = FALSE],
         inflation = inflation[, columns, drop = FALSE])
  }, .call))
}

# Leaves out, sample by sample, the types that are not significant, and fits the
# others anew: samples that keep the same types together, so that every fit has
# the certificate of its own model.
eliminate_types <- function(fit, model, bulk, settings, .call) {
  if (is.null(model$tau2)) model$tau2 <- fit$tau2
  types <- seq_len(model$n_types)
  object <- list(exposures = fit$exposures, model = model, counts = bulk)
  scales <- infer_exposures(object, "robust", 1, settings$threads, .call)$scales
  threshold <- stats::qchisq(1 - 2 * settings$sparsity_level, 1)
  given <- list(threshold = threshold, threads = settings$threads)
  kept <- do.call(cbind, with_problem(object, "Elimination", rs_eliminate, given,
                                      function(columns) {
    list(exposures = fit$exposures[, columns, drop = FALSE],
         scales = scales[, columns, drop = FALSE],
         inflation = 1 + 0 * scales[, columns, drop = FALSE])
  }, .call))
  groups <- split(seq_len(bulk$n_samples), apply(kept, 2L, paste, collapse = " "))
  fits <- lapply(groups, function(columns) {
    sources <- c(types[kept[, columns[1L]]], setdiff(seq_len(ncol(model$sources)), types))
    part <- model
    part$sources <- model$sources[, sources, drop = FALSE]
    part$n_types <- sum(kept[, columns[1L]])
    if (!is.null(model$variance)) {
      part$variance <- model$variance[, sources, drop = FALSE]
    }
    found <- run_any_fit(part, bulk_subset(bulk, columns), settings, FALSE, .call)
    exposures <- matrix(0, ncol(model$sources), length(columns))
    exposures[sources, ] <- found$exposures
    found$exposures <- exposures
    found
  })
  out <- reorder_fit(merge_fits(fits), order(unlist(groups)))
  out$tau2 <- fit$tau2
  out
}

# Samples of which the default intercept took everything: there it describes nothing, and
# they are fitted without it.
without_idle_intercept <- function(fit, model, bulk, settings, .call) {
  types <- seq_len(model$n_types)
  idle <- which(colSums(fit$exposures[types, , drop = FALSE]) <= 0)
  has_intercept <- "Intercept" %in% colnames(model$sources)
  if (!has_intercept || !length(idle) || is_penalised(list(settings = settings))) return(fit)
  # without reads in the genes of the types there is no other fit
  of_types <- model$weights > 0 & rowSums(model$sources[, types, drop = FALSE]) > 0
  rows <- which(rows_among(model, which(of_types)) >= 0L)
  told <- over_samples(bulk_subset(bulk, idle), function(block, rows) {
    colSums(as.matrix(block$values[rows, , drop = FALSE]))
  }, rows, .call = .call)
  idle <- idle[unlist(told) > 0]
  if (!length(idle)) return(fit)
  part <- model
  part$sources <- model$sources[, colnames(model$sources) != "Intercept", drop = FALSE]
  found <- run_any_fit(part, bulk_subset(bulk, idle), settings, FALSE, .call)
  warn_user("no_types", "The uniform background would explain all reads of some samples.",
            x = paste0("Fitted without it: ", some_of(bulk$samples[idle]), "."),
            i = paste("The reference may be of another platform: `error_model = \"platform\"`",
                      "allows for that. `diagnose()` says where the two differ."), .call = .call)
  exposures <- matrix(0, nrow(fit$exposures), length(idle))
  exposures[match(colnames(part$sources), colnames(model$sources)), ] <- found$exposures
  found$exposures <- exposures
  replace_samples(fit, found, idle)
}

# A fit in which some samples are those of another fit.
replace_samples <- function(fit, found, columns) {
  for (name in PER_SAMPLE) fit[[name]][columns] <- found[[name]]
  fit$exposures[, columns] <- found$exposures
  fit$sample_moments[columns, ] <- found$sample_moments
  kept <- !fit$trace$sample %in% columns
  found$trace$sample <- columns[found$trace$sample]
  fit$trace <- Map(function(old, new) c(old[kept], new), fit$trace, found$trace)
  rows <- order(fit$trace$sample)
  fit$trace <- lapply(fit$trace, `[`, rows)
  fit
}

# A fit with its samples in another order.
reorder_fit <- function(fit, order) {
  fit[PER_SAMPLE] <- lapply(fit[PER_SAMPLE], `[`, order)
  fit$exposures <- fit$exposures[, order, drop = FALSE]
  fit$sample_moments <- fit$sample_moments[order, , drop = FALSE]
  fit$trace$sample <- match(fit$trace$sample, order)
  rows <- order(fit$trace$sample)
  fit$trace <- lapply(fit$trace, `[`, rows)
  fit
}
