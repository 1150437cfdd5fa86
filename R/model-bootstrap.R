# The bootstrap over donors of the reference and over genes.

# Exposures of the types under resampled references and genes, types x samples x
# replicates.
#
# Units get random weights rather than multiplicities (the Bayesian bootstrap,
# Rubin 1981), so no type is ever without cells.  Weights of genes are Dirichlet
# with parameter 1; for those of donors see donor_weights().  Every replicate starts
# from the fit; tau^2 and the discounts of the platform error stay.
bootstrap_exposures <- function(object, over, replicates, seed, threads, .call) {
  bulk <- with_values(kept_counts(object, .call = .call), .call = .call)
  # every replicate is a short run of its own
  bulk$plan <- NULL
  seed <- check_seed(seed, .call = .call)
  resample <- bootstrap_model(object, over, .call)
  types <- seq_len(object$model$n_types)
  only_active <- is_eliminated(object$settings)
  draw <- function(unit, numbers) {
    if (unit %in% over) {
      call_rs(numbers, seed = seed, n = resample$units[[unit]], replicates = replicates,
              .call = .call)
    }
  }
  donors <- draw("donors", rs_donor_uniforms)
  genes <- draw("genes", rs_gene_weights)
  show <- progress_bar("Bootstrap", replicates, TRUE)
  out <- array(0, c(length(types), ncol(object$exposures), replicates))
  for (replicate in seq_len(replicates)) {
    model <- resample$model(donors[, replicate], genes[, replicate])
    parts <- run_blocks(rs_refit, model, bulk, list(only_active = only_active, threads = threads),
                        function(columns) list(starts = object$exposures[, columns, drop = FALSE]),
                        NULL, FALSE, .call)
    parts <- lapply(parts, `[[`, "answer")
    out[, , replicate] <- do.call(cbind, parts)[types, ]
    show(replicate)
  }
  out
}

# Weights of donors within their types, from a uniform number per donor: `type` and
# `donor` are numbers of each pair that has cells.
#
# In a type with D donors they are proportional to quantiles of gamma variables, which
# makes them Dirichlet with parameter (D - 2) / D: the variance of a weighted mean is
# then the unbiased s^2 / D.  All types take the quantiles at the same numbers, so that
# a donor who counts much does so in every type, and what types of one donor have in
# common stays, whichever donors have which types.
donor_weights <- function(uniform, type, donor) {
  drawn <- uniform[donor]
  n <- tabulate(type)[type]
  weights <- stats::qgamma(drawn, pmax(n - 2, 0) / n)
  # of two donors, in the limit of small parameters, one has all weight
  largest <- drawn == stats::ave(drawn, type, FUN = max)
  weights[n <= 2] <- largest[n <= 2]
  weights / stats::ave(weights, type, FUN = sum)
}

# The model of a result over the genes that carry weight, as a function of the
# uniform numbers of donors and of the weights of genes.
bootstrap_model <- function(object, over, .call) {
  model <- object$model
  used <- which(takes_part(model))
  matching <- list(gene_of_row = rows_among(model, used))
  base <- list(sources = model$sources[used, , drop = FALSE], n_types = model$n_types,
               length_factor = model$length_factor[used], weights = model$weights[used],
               matching = matching, variance = model$variance[used, , drop = FALSE],
               discount = model$discount[used], tau2 = model$tau2)
  base <- base[!vapply(base, is.null, NA)]
  redraw <- if ("donors" %in% over) redrawn_reference(object, used, .call)
  build <- function(donor_uniform, gene_weights) {
    out <- base
    if (!is.null(donor_uniform)) {
      drawn <- redraw$draw(donor_uniform)
      out$sources[, seq_len(base$n_types)] <- drawn$profiles
      if (!is.null(drawn$variance)) out$variance <- drawn$variance
    }
    if (!is.null(gene_weights)) {
      drawn <- out$weights * gene_weights
      out$weights <- drawn / max(drawn)
    }
    out
  }
  list(model = build, units = list(donors = redraw$n_donors, genes = length(used)))
}

# Profiles, and what noise leaves unknown of them, under random weights of the donors.
redrawn_reference <- function(object, used, .call) {
  signatures <- object$signatures
  donor_counts <- signatures$donor_counts
  if (is.null(donor_counts)) {
    stop_user("donors", "The bootstrap over donors needs the donors of the reference.",
              x = "The signatures were built from cells without donors, or of one donor.",
              i = "Give `donors` to `build_signatures()`, or use `over = \"genes\"`.",
              .call = .call)
  }
  model <- object$model
  place <- match(model$matching$signature_of, used)
  kept <- which(!is.na(place))
  gather <- Matrix::sparseMatrix(i = place[kept], j = kept, x = 1,
                                 dims = c(length(used), length(place)))
  counts <- gather %*% donor_counts$counts
  type <- as.integer(donor_counts$type)
  donor <- as.integer(factor(donor_counts$donor))
  n_types <- model$n_types
  # A platform model has shrunk profiles, with the size factors of all genes.
  size <- if (!is.null(model$variance)) {
    all_genes <- gather_rows(signatures$profiles, model$matching$signature_of, nrow(model$sources))
    size_factors(reference_counts(list(sources = all_genes), signatures), model$weights > 0)
  }
  n_donors <- tabulate(type)[type]
  draw <- function(uniform) {
    # with mean 1 in each type: together the donors are as many as they are
    weights <- n_donors * donor_weights(uniform, type, donor)
    totals <- drop(rowsum(weights * donor_counts$totals, type))
    spread <- Matrix::sparseMatrix(i = seq_along(type), j = type, x = weights / totals[type],
                                   dims = c(length(type), n_types))
    profiles <- as.matrix(counts %*% spread)
    if (is.null(size)) return(list(profiles = profiles))
    redrawn <- list(counts = profiles * rep(totals, each = nrow(profiles)), totals = totals,
                    dispersion = signatures$dispersion)
    profiles <- calibrate(profiles, redrawn, size = size)
    list(profiles = profiles, variance = source_variance(profiles, redrawn))
  }
  list(draw = draw, n_donors = max(donor))
}
