# The bootstrap over donors of the reference and over genes.

# Exposures of the types under resampled references and genes, types x samples x
# replicates.
#
# Units get random weights rather than multiplicities (the Bayesian bootstrap,
# Rubin 1981), so no type is ever without cells.  For D donors the weights are
# Dirichlet with parameter (D - 2) / D, under which the variance of a weighted
# mean is the unbiased s^2 / D also for few donors; genes have parameter 1.
# Every replicate starts from the fit; tau^2 and the discounts of the platform
# error stay.
bootstrap_exposures <- function(object, over, replicates, seed, threads, .call) {
  bulk <- kept_counts(object, .call = .call)
  seed <- check_seed(seed, .call = .call)
  resample <- bootstrap_model(object, bulk, over, .call)
  types <- seq_len(object$model$n_types)
  only_active <- is_eliminated(object$settings)
  draw <- function(unit) {
    if (!unit %in% over) return(NULL)
    n <- resample$units[[unit]]
    shape <- if (unit == "donors") (n - 2) / n else 1
    offset <- if (unit == "donors") 0 else 1
    call_rs(rs_bootstrap_weights(seed + offset, n, replicates, shape), .call = .call)
  }
  weights <- list(donors = draw("donors"), genes = draw("genes"))
  show <- progress_bar("Bootstrap", replicates, TRUE)
  out <- array(0, c(length(types), ncol(object$exposures), replicates))
  for (replicate in seq_len(replicates)) {
    model <- resample$model(weights$donors[, replicate], weights$genes[, replicate])
    parts <- over_samples(bulk, function(values, n_samples, columns) {
      call_rs(rs_refit(core_problem(model, bulk, values, columns),
                       object$exposures[, columns, drop = FALSE], only_active, threads,
                       no_progress), .call = .call)
    })
    out[, , replicate] <- do.call(cbind, parts)[types, ]
    show(replicate)
  }
  out
}

# The model of a result over the genes that carry weight, as a function of
# weights of donors and of genes.
bootstrap_model <- function(object, bulk, over, .call) {
  model <- object$model
  used <- which(takes_part(model))
  rows <- match(model$matching$gene_of_row + 1L, used)
  matching <- list(gene_of_row = ifelse(is.na(rows), -1L, rows - 1L))
  base <- list(sources = model$sources[used, , drop = FALSE], n_types = model$n_types,
               length_factor = model$length_factor[used], weights = model$weights[used],
               matching = matching, variance = model$variance[used, , drop = FALSE],
               discount = model$discount[used], tau2 = model$tau2)
  base <- base[!vapply(base, is.null, NA)]
  if (!is.null(base$tau2)) {
    base$floors <- platform_floors(check_bulk_values(bulk, .call = .call))
  }
  redraw <- if ("donors" %in% over) redrawn_reference(object, used, .call)
  build <- function(donor_weights, gene_weights) {
    out <- base
    if (!is.null(donor_weights)) {
      drawn <- redraw$draw(donor_weights)
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

# Profiles, and what noise leaves unknown of them, under weights of the donors.
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
  draw <- function(weights) {
    weights <- weights[donor]
    # A type whose donors all have (next to) no weight keeps equal weights.
    lost <- rowsum(weights, type)[type, 1L] < 1e-6
    weights[lost] <- 1
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
