# From cells with labels to mixtures that a network learns from, and its training.

SHARE_LOSSES <- c("l1", "mse", "cross_entropy")

# Moments of a training at which it is validated, and mixtures for that.
MOST_EPOCHS <- 50
VALIDATION_MIXTURES <- 512L
# Mixtures from which intervals know how far shares are off.
ERROR_MIXTURES <- 1024L

deconvolver_settings <- function(truth, cells, concentration, platform_sd, depth, steps,
                                 batch_size, learning_rate, ensemble, seed,
                                 .call = caller_env()) {
  steps <- check_count(steps, "steps", max = 1e9, .call = .call)
  epochs <- min(MOST_EPOCHS, steps)
  list(
    truth = check_choice(truth, c("mrna", "cells"), "truth", .call = .call),
    n_cells = check_count(cells, "cells", max = 1e6, .call = .call),
    concentration = check_number(concentration, "concentration", 0, 1e6, above = TRUE,
                                 .call = .call),
    platform_sd = check_number(platform_sd, "platform_sd", 0, 10, .call = .call),
    depth = if (!is.null(depth)) check_number(depth, "depth", 0, 1e12, above = TRUE,
                                              .call = .call),
    epochs = epochs, steps_per_epoch = ceiling(steps / epochs),
    batch_size = check_count(batch_size, "batch_size", min = 2, max = 1e5, .call = .call),
    learning_rate = check_number(learning_rate, "learning_rate", 0, above = TRUE, .call = .call),
    ensemble = check_count(ensemble, "ensemble", max = 1000, .call = .call),
    seed = check_seed(seed, .call = .call)
  )
}

# What reads expression, and its sizes.
expression_branch <- function(expression, programs, width, channels, .call = caller_env()) {
  expression <- check_choice(expression, c("none", "programs", "unet"), "expression",
                             .call = .call)
  programs <- check_count(programs, "programs", max = 500, .call = .call)
  width <- check_count(width, "width", max = 1e5, .call = .call)
  ok <- is.numeric(channels) && length(channels) && !anyNA(channels) && all(channels >= 1) &&
    all(channels <= 1e4) && all(channels == round(channels)) && length(channels) <= 16
  if (!ok) {
    stop_user("argument", "`channels` must be one to 16 whole numbers from 1 to 10,000.",
              x = paste0("It is ", describe(channels), "."), .call = .call)
  }
  part <- 2^(length(channels) - 1)
  if (width %% part || width < 2 * part) {
    stop_user("argument", paste0("`width` must be a multiple of ", part, ", and ", 2 * part,
                                 " or more, with ", plural(length(channels), "level"), "."),
              x = paste0("It is ", count_text(width), "."),
              i = "Every level of `channels` but the first halves it.", .call = .call)
  }
  switch(expression, none = list(expression = "none"),
         programs = list(expression = "programs", programs = programs),
         unet = list(expression = "unet", width = width, channels = as.integer(channels)))
}

# Counts in memory, genes in rows by name, with the labels of the cells that have all.
labelled_cells <- function(x, cell_types, donors, states, assay, .call = caller_env()) {
  cells <- as_cells(x, assay, .call = .call)
  types <- cell_labels(cell_types %||% cells$identity, cells, "cell_types", .call = .call)
  if (is.null(types)) {
    stop_user("cell_types", "`cell_types` is missing.",
              i = "Give the type of each cell, or the name of a metadata column.", .call = .call)
  }
  donors <- cell_labels(donors, cells, "donors", .call = .call)
  states <- cell_labels(states, cells, "states", .call = .call)
  counts <- cells$counts
  if (methods::is(counts, "DelayedMatrix")) counts <- from_disk("x", .call, realised(counts))
  rownames(counts) <- rownames(counts) %||% rownames(cells$counts)
  check_single_cell_counts(counts, .call)
  counts <- named_rows(counts, "x", .call)
  if (!methods::is(counts, "dgCMatrix")) counts <- as_csc(methods::as(counts, "CsparseMatrix"))
  known <- !is.na(types) & (if (is.null(donors)) TRUE else !is.na(donors)) &
    (if (is.null(states)) TRUE else !is.na(states))
  full <- Matrix::colSums(counts) > 0
  if (any(known & !full)) {
    inform_user(TRUE, paste0(plural(sum(known & !full), "cell"), " without counts left out."))
  }
  list(counts = counts[, known & full, drop = FALSE], types = droplevels(types[known & full]),
       donors = if (!is.null(donors)) droplevels(donors[known & full]),
       states = if (!is.null(states)) droplevels(states[known & full]))
}

# Those of the types that signatures were built of.
cells_of_types <- function(read, types, .call = caller_env()) {
  if (length(types) < 2L) {
    stop_user("cell_types", "A network needs two types or more to tell apart.",
              x = paste0("There is ", some_of(types), "."), .call = .call)
  }
  kept <- read$types %in% types
  list(counts = read$counts[, kept, drop = FALSE], types = factor(read$types[kept], types),
       donors = if (!is.null(read$donors)) droplevels(read$donors[kept]),
       states = if (!is.null(read$states)) droplevels(read$states[kept]))
}

# The genes that totals are taken over.
mixture_genes <- function(genes, candidates, exclude, .call = caller_env()) {
  if (!is.null(exclude) && !is.character(exclude)) {
    stop_user("argument", "`exclude` must be names of genes, \"protocol\" or NULL.",
              x = paste0("It is ", describe(exclude), "."), .call = .call)
  }
  if (!is.null(candidates) && !is.character(candidates)) {
    stop_user("argument", "`candidates` must be names of genes.",
              x = paste0("It is ", describe(candidates), "."), .call = .call)
  }
  left_out <- if (identical(exclude, "protocol")) protocol_genes_of(genes) else
    strip_ensembl_version(as.character(exclude))
  kept <- setdiff(genes, left_out)
  if (!is.null(candidates)) {
    candidates <- strip_ensembl_version(candidates)
    if (!any(candidates %in% kept)) {
      stop_user("no_common_genes", "No candidate is among the genes of the reference.",
                x = paste0("`candidates`: ", some_of(candidates), "; reference: ",
                           some_of(kept), "."), .call = .call)
    }
    kept <- intersect(kept, candidates)
  }
  kept
}

# What the core mixes: `given`, and what the network must remember of it.
mixture_cells <- function(read, universe, chosen, settings) {
  total <- unname(Matrix::colSums(read$counts))
  counts <- read$counts[universe, , drop = FALSE]
  codes <- function(labels) if (is.null(labels)) integer() else as.integer(labels)
  given <- c(list(
    x = counts, place = match(universe, chosen, nomatch = 0L) - 1L,
    weight = if (settings$truth == "mrna") mean(total) / total else rep(1, length(total)),
    total = total, types = codes(read$types), donors = codes(read$donors),
    states = codes(read$states), mixture_seed = settings$seed
  ), settings[c("n_cells", "concentration", "platform_sd", "depth")])
  list(given = given, n_cells = length(total),
       universe = list(genes = universe, share = unname(Matrix::rowSums(counts)) / sum(counts)))
}

# Of the loss of shares, beside that of expression.
SHARE_WEIGHT <- 100

# Networks from other starts, on other mixtures, until all are trained or it is enough.
train_members <- function(given, architecture, settings, verbose, threads,
                          .call = caller_env()) {
  given <- c(given, list(architecture = architecture, threads = threads))
  moments <- call_rs(rs_mixture_moments, .given = given, .call = .call)
  given <- c(given, moments)
  seeds <- derived_seeds(settings$seed, settings$ensemble)
  weight <- if (architecture$expression == "none") 1 else SHARE_WEIGHT
  show <- progress_bar("Training", settings$ensemble * settings$epochs, verbose)
  members <- list()
  for (k in seq_len(settings$ensemble)) {
    before <- (k - 1) * settings$epochs
    member <- call_rs(
      rs_train_deconvolver, .given = given, seed = seeds[k], epochs = settings$epochs,
      steps_per_epoch = settings$steps_per_epoch, batch_size = settings$batch_size,
      learning_rate = settings$learning_rate, n_validation = VALIDATION_MIXTURES,
      share_weight = weight, progress = function(done) show(before + done), .call = .call
    )
    ended <- member$reason
    for (loss in c("train_shares", "shares")) {
      member$trace[[loss]] <- member$trace[[loss]] / weight
    }
    # a network that was interrupted is better than none, and worse than those that were not
    if (ended == "interrupted" && k > 1L) break
    members[[k]] <- member
    if (ended == "interrupted") break
  }
  list(members = members, moments = moments, reason = ended,
       error = mixture_errors(members, given, .call))
}

# How far shares are off in mixtures that no network has seen: per type, the variance of the
# error at some shares, and the correlation of errors between types.
mixture_errors <- function(members, given, .call) {
  found <- call_rs(rs_validation_mixtures, .given = given, n_mixtures = ERROR_MIXTURES,
                   .call = .call)
  shares <- Reduce(`+`, lapply(members, function(member) {
    call_rs(rs_predict_deconvolver, .given = given, bulk = found$bulk,
            weights = unname(member$weights), .call = .call)$shares
  })) / length(members)
  error <- shares - found$shares
  knots <- lapply(seq_len(nrow(shares)), function(k) {
    # as many mixtures about each knot
    group <- cut(rank(shares[k, ], ties.method = "first"), ERROR_KNOTS, labels = FALSE)
    data.frame(share = as.vector(tapply(shares[k, ], group, mean)),
               variance = as.vector(tapply(error[k, ]^2, group, mean)))
  })
  list(knots = knots, correlation = suppressWarnings(stats::cor(t(error))),
       rmse = sqrt(mean(error^2)))
}

ERROR_KNOTS <- 12L

# Bulk samples as the network reads them: copies per million of its genes.
network_input <- function(network, newdata, assay, scale, verbose, .call = caller_env()) {
  bulk <- as_bulk(newdata, assay, scale, .call = .call)
  unit <- check_bulk_values(bulk, .call = .call)$unit
  if (is.null(bulk$genes)) {
    stop_user("gene_names", "`newdata` needs gene names as row names.", .call = .call)
  }
  values <- if (is.null(bulk$values)) from_disk("newdata", .call, realised(bulk$source)) else
    bulk$source
  rownames(values) <- bulk$genes
  values <- named_rows(values, "newdata", .call)
  universe <- network$universe
  seen <- universe$genes %in% rownames(values)
  if (!any(seen)) {
    stop_no_common_genes(rownames(values), universe$genes, bulk$samples, .call = .call)
  }
  at <- network_genes(network, rownames(values), .call)
  total <- Matrix::colSums(values[universe$genes[seen], , drop = FALSE])
  empty <- bulk$samples[total <= 0]
  if (length(empty)) {
    stop_user("empty_sample", "Every sample needs counts in the genes of the network.",
              x = paste0("Only zeros in them: ", some_of(empty), "."),
              i = "Leave these samples out.", .call = .call)
  }
  # a total over fewer genes is smaller by what they are in the reference
  total <- total / sum(universe$share[seen])
  level <- matrix(exp(network$scaling$centre) - 10, length(at), bulk$n_samples)
  there <- !is.na(at)
  level[there, ] <- as.matrix(values[at[there], , drop = FALSE]) *
    rep(1e6 / total, each = sum(there))
  report_missing(network$genes[!there], verbose)
  list(bulk = level, samples = bulk$samples, unit = unit,
       genes = list(matched = sum(there), missing = network$genes[!there]))
}

# The rows of the network's genes, of which one in twenty may be missing.
network_genes <- function(network, rows, .call) {
  at <- match(network$genes, rows)
  absent <- network$genes[is.na(at)]
  if (mean(is.na(at)) > 0.05) {
    stop_user("features", "`newdata` must have the genes that the network reads.",
              x = paste0(count_text(length(absent)), " of ", plural(length(at), "gene"),
                         " are not in it: ", some_of(absent), "."),
              i = paste("One in twenty may be missing. Train with",
                        "`candidates = rownames(newdata)` to choose among those that are there."),
              .call = .call)
  }
  at
}

report_missing <- function(absent, verbose) {
  if (!length(absent)) return(invisible())
  inform_user(verbose, paste0(plural(length(absent), "gene"), " of the network not in `newdata`: ",
                              some_of(absent), "."),
              i = "They have their mean over the training's mixtures.")
}

# Shares by each network, types x samples x networks; log2(CPM + 20) of the types, genes x
# types x samples, the mean over networks.
ask_members <- function(network, bulk, threads, .call = caller_env()) {
  size <- c(length(network$types), ncol(bulk))
  shares <- array(0, c(size, length(network$members)))
  levels <- 0
  for (k in seq_along(network$members)) {
    found <- call_rs(rs_predict_deconvolver, architecture = network$architecture, bulk = bulk,
                     weights = unname(network$members[[k]]), .given = network$scaling,
                     threads = threads, .call = .call)
    shares[, , k] <- found$shares
    if (!is.null(found$levels)) levels <- levels + found$levels / length(network$members)
  }
  list(shares = shares,
       levels = if (is.matrix(levels)) array(levels, c(length(network$genes), size)))
}
