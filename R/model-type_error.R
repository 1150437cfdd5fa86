# The error that the genes of a type share.
#
# Genes that mark a type err together: cell state, culture, dissociation, capture
# and mRNA content move them all.  In a fit such an error looks exactly like the
# share, so that no residual shows it.  Type j of a cohort has the log error
# xi_j ~ N(0, s_j^2), correlated between types as far as they share their genes:
# with S_ij = s_i s_j R_ij it adds (h h') * S to the covariance of the exposures,
# and J S J', J = diag(p) - p p', to that of shares p.

# The prior size: s^2 = floor^2 + (per_gene_error * tau)^2 + per_cell^2 / cells.
#
# tau is the sd of the log error of single genes that the fit finds.
# per_gene_error^2 = 0.12 is the correlation that it implies between the errors of
# genes of one type: a type is known as if it had eight independent genes, however
# many mark it.  floor is what is left where platforms agree, for mRNA mixed by
# mass differs in mRNA content, too.  On real mixtures of known composition, each
# set left out in turn, the narrowest intervals with a mean coverage of 0.95 have a
# floor of 0.10 to 0.18 and 0.20 to 0.40 per gene error, along a flat front
# (bench/coverage_real.R).
# per_cell: references with 5, 10, 20 and 40 cells of a type move its log share by
# 0.4, 0.2, 0.1 and 0.08 beside the one with all cells, half of which the sandwich
# sees.
# df: degrees of freedom that the prior counts for beside an estimate.  With 4 its
# variance is known to a factor of two.
TYPE_ERROR <- list(floor = 0.12, per_gene_error = 0.35, per_cell = 0.5, df = 4)

# Log error of a published mRNA content of a type: the sd between sources, over
# the root of two, for both the type and the T cells it is relative to differ.
CELL_SIZE_ERROR <- 0.28

# What is assumed of counts that leaves out all errors but theirs: then the
# signatures are taken as they are.
is_counting_only <- function(variance) variance == "poisson"

# A given size of the type-shared error: "auto", one number, or one per type.
check_type_error <- function(type_error, types, .call = caller_env()) {
  if (identical(type_error, "auto")) return(type_error)
  ok <- is.numeric(type_error) && length(type_error) %in% c(1L, length(types)) &&
    all(is.finite(type_error)) && all(type_error >= 0)
  if (!ok) {
    stop_user("type_error", "`type_error` must be \"auto\", or standard deviations of 0 and more.",
              x = if (is.numeric(type_error) && length(type_error) > 1L &&
                        length(type_error) != length(types)) {
                paste0("It has ", length(type_error), " values; there are ",
                       plural(length(types), "type"), ".")
              } else {
                paste0("It is ", describe(type_error), ".")
              },
              i = "0.3 stands for shares that are off by a factor of about 1.3; 0 leaves it out.",
              .call = .call)
  }
  absent <- if (length(type_error) > 1L && !is.null(names(type_error))) {
    setdiff(types, names(type_error))
  }
  if (length(absent)) {
    stop_user("type_error", "`type_error` must have every type.",
              x = paste0("Without: ", some_of(absent), "."), .call = .call)
  }
  if (length(type_error) == 1L) type_error <- rep(unname(type_error), length(types))
  if (!is.null(names(type_error))) type_error <- type_error[types]
  stats::setNames(as.double(type_error), types)
}

# The log error per type of a result, a data frame with a row per type:
#   type, sd        of its log exposure
#   platform        its part that depends on the platform: what the bootstrap over
#                   donors does not draw
#   cell_size       of its mRNA per cell (0 without `cell_fractions`)
#   from            where sd comes from
type_error_table <- function(object) {
  if (!is.null(object$type_error)) return(object$type_error)
  types <- rownames(object$proportions)
  given <- object$settings$type_error %||% "auto"
  size <- object$cell_size_error
  size <- if (is.null(size)) rep(0, length(types)) else sqrt(diag(size))
  if (is.numeric(given)) {
    return(data.frame(type = types, sd = unname(given), platform = unname(given), cell_size = size,
                      from = "given", row.names = NULL))
  }
  tau <- object$gene_error
  cells <- object$signatures$cells
  few <- if (is.null(cells) || anyNA(cells)) 0 else TYPE_ERROR$per_cell^2 / cells
  platform <- (TYPE_ERROR$per_gene_error * tau)^2
  state <- TYPE_ERROR$floor^2
  from <- "prior"
  seen <- list(platforms = unit_effects(object, "platform"), donors = unit_effects(object, "donor"))
  if (!is.null(seen$platforms)) {
    # of the whole: platforms differ by state and platform alike
    whole <- shrunk_variance(seen$platforms, platform + state)
    platform <- whole * platform / (platform + state)
    state <- whole - platform
    from <- paste0("prior and ", seen$platforms$units, " platforms of the reference")
  } else if (!is.null(seen$donors)) {
    state <- shrunk_variance(seen$donors, state)
    from <- paste0("prior and ", seen$donors$units, " donors of the reference")
  }
  data.frame(type = types, sd = unname(sqrt(platform + state + few)),
             platform = sqrt(platform), cell_size = unname(size), from = from, row.names = NULL)
}

# The variance of an error of which the units of a reference give an estimate and
# the prior another: their mean by degrees of freedom.  A bulk differs from the
# mean of D units by 1 + 1/D times the variance between units.
shrunk_variance <- function(seen, prior) {
  estimate <- seen$variance * (1 + 1 / seen$units)
  (TYPE_ERROR$df * prior + seen$df * estimate) / (TYPE_ERROR$df + seen$df)
}

# Sd of the log error of single genes.  The platform error model estimates it; of a
# Poisson fit it is that of the genes with 20 reads and more in up to 16 samples,
# less what counting explains.
gene_error <- function(model, exposures, bulk, .call = caller_env()) {
  if (!is.null(model$tau2)) return(sqrt(model$tau2))
  chosen <- spread_samples(bulk$n_samples)
  part <- in_memory(bulk_subset(bulk, chosen), .call)
  place <- model$matching$gene_of_row + 1L
  rows <- which(place > 0L)
  # other counts than the fit's own may lack genes without weight
  genes <- sort(unique(place[rows]))
  counts <- gather_rows(as.matrix(part$source[rows, , drop = FALSE]), match(place[rows], genes),
                        length(genes))
  means <- call_rs(rs_fitted, signatures = model$sources, lengths = model$length_factor,
                   exposures = exposures[, chosen, drop = FALSE], .call = .call)
  means <- means[genes, , drop = FALSE]
  measured <- which(means >= 20 & counts > 0 & model$weights[genes] > 0)
  if (!length(measured)) return(0)
  logs <- log(counts[measured] / means[measured])
  sqrt(max(0, (1.4826 * stats::median(abs(logs)))^2 - stats::median(1 / means[measured])))
}

# What a gene says of the level of its type, genes x samples: the precision of its
# log ratio.
log_precision <- function(model, means) {
  if (is.null(model$discount)) return(model$weights * means)
  # in units of the floor a count has the variance 1 / m on the log scale
  floors <- rep(FLOOR_CPM / 1e6 * colSums(means), each = nrow(means))
  model$weights / (max(model$tau2, 1e-4) * model$discount + floors / pmax(means, 1e-12))
}

# The type that each gene marks: the one in which it is highest, NA without weight.
marked_type <- function(model) {
  types <- seq_len(model$n_types)
  top <- max.col(log(model$sources[, types, drop = FALSE] + RATIO_FLOOR), ties.method = "first")
  top[model$weights <= 0] <- NA
  top
}

# The exposure of each type whose reads in the genes that mark it equal what the
# other types give there, types x samples.  Where these genes are e^xi too high in
# all cells, a type without any exposure seems to have xi times as much.
marker_background <- function(model, exposures) {
  # fitted counts of few samples at a time, of as many wherever a cohort is cut
  starts <- seq(1L, ncol(exposures), by = CORE_BLOCK)
  parts <- lapply(starts, function(start) {
    columns <- start:min(start + CORE_BLOCK - 1L, ncol(exposures))
    background_of(model, exposures[, columns, drop = FALSE])
  })
  do.call(cbind, parts)
}

background_of <- function(model, exposures) {
  types <- seq_len(model$n_types)
  sources <- model$sources * model$length_factor
  means <- sources %*% exposures
  weight <- log_precision(model, means) / pmax(means, 1e-300)^2
  weight[means <= 0] <- 0
  top <- marked_type(model)
  own <- sources[, types, drop = FALSE] * outer(top, types, function(a, b) !is.na(a) & a == b)
  found <- crossprod(own, weight * means) / crossprod(own^2, weight) -
    exposures[types, , drop = FALSE]
  found[!is.finite(found)] <- 0
  pmax(found, 0)
}

# Correlation of the shared errors of types, types x types: that of their log
# profiles about the mean over types, in the genes and weights of the fit, and 0
# where it is negative.  1 for types with the same profile, so that the error of a
# sum does not depend on how finely it is divided; 0 for types with genes of their
# own.
type_correlation <- function(model) {
  types <- seq_len(model$n_types)
  if (length(types) < 3L) return(diag(length(types)))
  logs <- log(model$sources[, types, drop = FALSE] + RATIO_FLOOR)
  logs <- (logs - rowMeans(logs)) * sqrt(model$weights / (model$discount %||% 1))
  length <- sqrt(colSums(logs^2))
  length[length == 0] <- Inf
  correlation <- pmax(crossprod(logs / rep(length, each = nrow(logs))), 0)
  # the nearest that is a correlation, for cutting at 0 may leave that set
  parts <- eigen(correlation, symmetric = TRUE)
  root <- parts$vectors * rep(sqrt(pmax(parts$values, 0)), each = length(types))
  root <- root / pmax(sqrt(rowSums(root^2)), 1e-12)
  correlation <- tcrossprod(root)
  diag(correlation) <- 1
  correlation
}

# What the shared error is made of: the covariance of log exposures (types x
# types), and what it moves (types x samples).
#
# `size` is the column of the table that says how large.
shared_error <- function(object, size = "sd") {
  sd <- type_error_table(object)[[size]]
  model <- object$model
  exposures <- object$exposures
  background <- marker_background(model, exposures)
  list(log_covariance = type_correlation(model) * outer(sd, sd), background = background,
       moves = pmax(exposures[seq_len(model$n_types), , drop = FALSE], background), sd = sd)
}

# The covariance of exposures and the limits at zero with the shared error added.
# `limits` are `z` standard errors above zero.
add_shared_error <- function(inferred, object, what, z, size = "sd") {
  shared <- shared_error(object, size)
  types <- seq_len(object$model$n_types)
  for (s in seq_len(ncol(object$exposures))) {
    moves <- shared$moves[, s]
    inferred$covariance[types, types, s] <- inferred$covariance[types, types, s] +
      outer(moves, moves) * shared$log_covariance
  }
  inferred$limits[types, ] <- sqrt(inferred$limits[types, ]^2 +
                                     (z * shared$sd * shared$background)^2)
  if (what == "cell_fractions" && !is.null(object$cell_size_error)) {
    for (s in seq_len(ncol(object$exposures))) {
      own <- object$exposures[types, s]
      inferred$covariance[types, types, s] <- inferred$covariance[types, types, s] +
        outer(own, own) * object$cell_size_error
    }
  }
  inferred
}

# By how much the shared error of marker genes raises the variance of a type that is
# absent, types x samples; 1 where a type is at zero, whose test needs none.
presence_inflation <- function(inferred, object) {
  shared <- shared_error(object)
  types <- seq_len(object$model$n_types)
  own <- vapply(seq_len(ncol(object$exposures)), function(s) {
    diag(inferred$covariance[, , s])[types]
  }, numeric(length(types)))
  ratio <- 1 + (shared$sd * shared$background)^2 / matrix(own, length(types))
  ratio[!is.finite(ratio)] <- 1
  ratio
}

# The variance between the donors (or platforms) of a reference of what the genes
# of a type say together of its level, NULL where fewer than two units have a type.
#
# For unit d and type j, eta_dj is the mean over the genes that mark j of the
# ratio of the unit's profile to the pooled one, less 1, weighted as the fit weighs
# genes; v_dj its variance if genes erred independently (a sandwich over genes).
# The excess of the variance of eta between units is the moment estimate of
# DerSimonian and Laird, pooled over types.
unit_effects <- function(object, unit) {
  held <- object$signatures[[paste0(unit, "_counts")]]
  model <- object$model
  if (is.null(held) || is.null(model$matching$signature_of)) return(NULL)
  top <- marked_type(model)
  place <- model$matching$signature_of
  kept <- which(!is.na(place))
  gather <- Matrix::sparseMatrix(i = place[kept], j = kept, x = 1,
                                 dims = c(nrow(model$sources), length(place)))
  counts <- gather %*% held$counts
  of_type <- match(as.character(held$type), colnames(model$sources))
  parts <- lapply(seq_len(model$n_types), function(j) {
    genes <- which(top == j)
    columns <- which(of_type == j & held$totals > 0)
    if (length(genes) < 10L || length(columns) < 2L) return(NULL)
    own <- as.matrix(counts[genes, columns, drop = FALSE])
    discount <- if (is.null(model$discount)) rep(1, length(genes)) else model$discount[genes]
    type_effects(own, held$totals[columns], model$weights[genes] / discount)
  })
  parts <- do.call(rbind, parts)
  if (is.null(parts)) return(NULL)
  variance <- max(0, sum(parts$excess) / sum(parts$scale))
  list(variance = variance, df = sum(parts$df), units = nlevels(droplevels(factor(held[[unit]]))))
}

# Of one type: counts are genes x units.
type_effects <- function(counts, totals, weight) {
  profile <- rowSums(counts) / sum(totals)
  expressed <- profile > 0
  counts <- counts[expressed, , drop = FALSE]
  profile <- profile[expressed]
  weight <- weight[expressed]
  expected <- outer(profile, totals)
  # log ratios of single genes differ by 0.3 and more between donors
  weight <- weight / (0.3^2 + 1 / expected)
  ratio <- counts / expected - 1
  effect <- colSums(weight * ratio) / colSums(weight)
  noise <- colSums(weight^2 * (ratio - rep(effect, each = nrow(ratio)))^2) / colSums(weight)^2
  precision <- 1 / noise
  centre <- sum(precision * effect) / sum(precision)
  scale <- sum(precision) - sum(precision^2) / sum(precision)
  # units that tell less than the prior does count for less
  told <- TYPE_ERROR$floor^2 / (TYPE_ERROR$floor^2 + noise)
  data.frame(excess = sum(precision * (effect - centre)^2) - (length(totals) - 1), scale = scale,
             df = sum(told) * (1 - 1 / length(totals)))
}
