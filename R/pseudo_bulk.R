# Bulk samples mixed from the cells of donors that are held out.

#' @rdname benchmark_deconvolution
#' @param x Single-cell counts, as for [build_signatures()].
#' @param cell_types,donors Type and donor of each cell, or names of metadata
#'   columns. Without donors, or with one, half of the cells of each type are held
#'   out.
#' @param n_samples,cells_per_sample Bulk samples, and cells in each. The cells of a
#'   sample come from one held-out donor (the donors take turns), and are drawn with
#'   replacement.
#' @param proportions Shares of cells, types × samples, or `NULL` to draw them from a
#'   Dirichlet distribution. Types that a donor lacks are left out of its samples.
#' @param concentration Parameter of that distribution, one number or one per
#'   type: 1 is uniform on the simplex, more is closer to equal shares.
#' @param platform_sd Standard deviation of a log factor per gene by which the bulk
#'   differs from the cells, as in [simulate_bulk()]. 0 makes the bulk the exact sum
#'   of its cells: an easy test that says little about real bulk. Between a droplet
#'   reference and full-length bulk 0.5 to 1 is realistic.
#' @param type_sd Standard deviation of a further such factor per gene and type.
#' @param protocol_shift Log factor of all [protocol_genes()]. -1.5 is about what
#'   lies between a droplet reference and full-length bulk.
#' @param held_out Names of the donors whose cells make the bulk, or `NULL` to draw a
#'   third of the donors.
#' @param min_cells Types of which a held-out donor has fewer cells are left out of
#'   its samples: a handful of cells, drawn over and over, is not a type.
#' @param mix_donors Mix the cells of all held-out donors in every sample? For data
#'   with few cells per donor.
#' @param expression Keep what the cells of each type express in each sample, as
#'   `truth_expression`? It has genes × types × samples entries.
#' @param groups,assay As under *Datasets*, and for [build_signatures()].
#' @export
pseudo_bulk <- function(x, cell_types = NULL, donors = NULL, n_samples = 20,
                        cells_per_sample = 500, proportions = NULL, concentration = 1,
                        platform_sd = 0.5, type_sd = 0, protocol_shift = 0, held_out = NULL,
                        min_cells = 10, mix_donors = FALSE, groups = NULL, assay = NULL,
                        seed = NULL, expression = FALSE) {
  check_call()
  here <- environment()
  cells <- as_cells(x, assay)
  types <- cell_labels(cell_types %||% cells$identity, cells, "cell_types")
  if (is.null(types)) stop_user("cell_types", "`cell_types` is missing.")
  donors <- cell_labels(donors, cells, "donors")
  n_samples <- check_count(n_samples, "n_samples")
  cells_per_sample <- check_count(cells_per_sample, "cells_per_sample")
  min_cells <- check_count(min_cells, "min_cells")
  mix_donors <- check_flag(mix_donors, "mix_donors")
  expression <- check_flag(expression, "expression")
  platform_sd <- check_number(platform_sd, "platform_sd", 0)
  type_sd <- check_number(type_sd, "type_sd", 0)
  protocol_shift <- check_number(protocol_shift, "protocol_shift")
  counts <- named_rows(cells$counts, "x", here)
  check_single_cell_counts(counts, here)
  check_matrix_size(list(genes = nrow(counts), n_samples = n_samples), here)
  if (!is.null(seed)) seed <- check_seed(seed)
  with_seed(seed, {
    parts <- split_cells(types, donors, held_out, here)
    shares <- pseudo_shares(proportions, levels(types), n_samples, concentration, here)
    several <- !is.null(donors) && nlevels(droplevels(donors)) > 1L
    advice <- paste0(if (several) "Hold out more donors, or lower" else "Lower", " `min_cells`",
                     if (several && !mix_donors) ", or set `mix_donors = TRUE`", ".")
    pools <- cell_pools(parts$bulk, types, if (!mix_donors) donors, min_cells, advice, here)
    drawn <- draw_cells(pools, length(types), shares, cells_per_sample)
    mixed <- mix_cells(counts, types, drawn, platform_sd, type_sd, protocol_shift, expression)
  })
  check_groups(groups, levels(types), "x", here)
  new_pseudo_bulk(counts, types, donors, parts, mixed, groups, platform_sd)
}

# Which cells may go into bulk samples, and which are the reference.
split_cells <- function(types, donors, held_out, .call) {
  known <- !is.na(types) & (if (is.null(donors)) TRUE else !is.na(donors))
  if (is.null(donors) || nlevels(droplevels(donors[known])) < 2L) {
    if (!is.null(held_out)) {
      stop_user("argument", "`held_out` needs two donors or more.", .call = .call)
    }
    # a type's only cell belongs to the reference
    halves <- lapply(split(which(known), types[known]), function(own) {
      own[sample.int(length(own), length(own) %/% 2L)]
    })
    bulk <- seq_along(types) %in% unlist(halves)
    return(list(bulk = bulk, reference = known & !bulk))
  }
  held_out <- held_out_donors(held_out, levels(droplevels(donors[known])), .call)
  reference <- known & !donors %in% held_out
  # a type that only held-out donors have can't be known: it is in neither
  bulk <- known & donors %in% held_out & types %in% types[reference]
  if (!any(bulk)) {
    stop_user("argument", "The held-out donors have no type in common with the others.",
              x = paste0("Held out: ", some_of(held_out), "."), .call = .call)
  }
  list(bulk = bulk, reference = reference)
}

held_out_donors <- function(held_out, all, .call) {
  if (is.null(held_out)) return(sample(all, max(1L, length(all) %/% 3L)))
  unknown <- setdiff(held_out, all)
  if (length(unknown) || !length(held_out) || setequal(held_out, all)) {
    stop_user("argument", "`held_out` must name some, not all, of the donors.",
              x = if (length(unknown)) paste0("Unknown: ", some_of(unknown), "."),
              i = paste0("There are ", some_of(all, 21L), "."), .call = .call)
  }
  held_out
}

pseudo_shares <- function(proportions, types, n_samples, concentration, .call) {
  if (!is.null(proportions)) {
    shares <- simulated_shares(proportions, .call = .call)
    absent <- setdiff(rownames(shares), types)
    if (is.null(rownames(shares)) || length(absent)) {
      stop_user("argument", "`proportions` must have types as row names.",
                x = if (length(absent)) paste0("Not in the data: ", some_of(absent), "."),
                .call = .call)
    }
    full <- matrix(0, length(types), ncol(shares), dimnames = list(types, colnames(shares)))
    full[rownames(shares), ] <- shares
    return(full)
  }
  ok <- is.numeric(concentration) && length(concentration) %in% c(1L, length(types)) &&
    all(concentration > 0) && all(is.finite(concentration))
  if (!ok) {
    stop_user("argument", "`concentration` must be positive: one number, or one per type.",
              x = paste0("It is ", describe(concentration), "."), .call = .call)
  }
  if (!is.null(names(concentration))) concentration <- concentration[types]
  gamma <- matrix(stats::rgamma(length(types) * n_samples, concentration), length(types),
                  dimnames = list(types, NULL))
  shares_of_columns(gamma)
}

# What bulk samples are drawn from: per donor (or of all), the cells of each type,
# none where they are too few to stand for the type.
cell_pools <- function(allowed, types, donors, min_cells, advice, .call) {
  inside <- which(allowed)
  by <- if (is.null(donors)) rep("all", length(inside)) else droplevels(donors[inside])
  pools <- lapply(split(inside, by), function(cells) {
    own <- split(cells, types[cells])
    own[lengths(own) < min_cells] <- list(integer())
    own
  })
  number <- vapply(pools, lengths, integer(nlevels(types)))
  number <- matrix(number, nlevels(types), dimnames = list(levels(types), names(pools)))
  never <- levels(types)[rowSums(number) == 0]
  if (length(never) == nlevels(types)) {
    stop_user("argument", paste("No type has", min_cells, "held-out cells."),
              i = advice, .call = .call)
  }
  if (length(never)) {
    warn_user("few_cells", "Some types are not in any bulk sample.",
              x = paste0("Fewer than ", min_cells, " held-out cells: ", some_of(never, 6L), "."),
              i = advice, .call = .call)
  }
  pools[colSums(number) > 0]
}

# How often each cell is in each sample (cells x samples, sparse).
draw_cells <- function(pools, n_cells, shares, cells_per_sample) {
  columns <- lapply(seq_len(ncol(shares)), function(j) {
    # pools in turn
    own <- pools[[(j - 1L) %% length(pools) + 1L]][rownames(shares)]
    available <- shares[, j] * (lengths(own) > 0)
    # asked for none of the types that there are: equal shares of these
    if (!sum(available)) available <- as.numeric(lengths(own) > 0)
    n <- stats::rmultinom(1L, cells_per_sample, available)[, 1L]
    unlist(Map(function(cells, n) cells[sample.int(max(length(cells), 1L), n, replace = TRUE)],
               own, n), use.names = FALSE)
  })
  Matrix::sparseMatrix(
    i = unlist(columns), j = rep(seq_along(columns), lengths(columns)), x = 1,
    dims = c(n_cells, ncol(shares)),
    dimnames = list(NULL, colnames(shares) %||% paste0("Sample", seq_along(columns)))
  )
}

# Bulk counts and truth: the sum of the cells of each type, times what the
# platform makes of it.  Truth is what went in, before the platform.
mix_cells <- function(counts, types, drawn, platform_sd, type_sd, protocol_shift, expression) {
  genes <- rownames(counts)
  platform <- stats::rnorm(length(genes), 0, platform_sd)
  shifted <- genes %in% if (protocol_shift != 0) protocol_genes_of(genes)
  platform[shifted] <- platform[shifted] + protocol_shift
  bulk <- 0
  level <- if (expression) {
    array(NA_real_, c(length(genes), nlevels(types), ncol(drawn)),
          list(genes, levels(types), colnames(drawn)))
  }
  mrna <- number <- matrix(0, nlevels(types), ncol(drawn),
                           dimnames = list(levels(types), colnames(drawn)))
  for (type in levels(types)) {
    own <- which(types == type & Matrix::rowSums(drawn) > 0)
    part <- as.matrix(counts[, own, drop = FALSE] %*% drawn[own, , drop = FALSE])
    mrna[type, ] <- colSums(part)
    if (expression) level[, type, ] <- copies_of_columns(part)
    number[type, ] <- Matrix::colSums(drawn[own, , drop = FALSE])
    bulk <- bulk + part * exp(platform + stats::rnorm(length(genes), 0, type_sd))
  }
  dimnames(bulk) <- list(genes, colnames(drawn))
  list(bulk = round(bulk), mrna = shares_of_columns(mrna), cells = shares_of_columns(number),
       expression = level, platform = stats::setNames(platform, genes), drawn = drawn)
}

# Copies per million, NA where there are none.
copies_of_columns <- function(counts) {
  total <- colSums(counts)
  total[total == 0] <- NA
  counts / rep(1e-6 * total, each = nrow(counts))
}

new_pseudo_bulk <- function(counts, types, donors, parts, mixed, groups, platform_sd) {
  kept <- which(parts$reference)
  present <- levels(droplevels(types[kept]))
  truth <- function(shares) {
    shares <- shares[present, , drop = FALSE]
    if (is.null(groups)) return(shares)
    rowsum(shares, truth_type(present, groups), reorder = FALSE)
  }
  cells <- data.frame(cell = colnames(counts) %||% seq_along(types), cell_type = types,
                      donor = if (is.null(donors)) NA else donors,
                      part = ifelse(parts$bulk, "bulk", ifelse(parts$reference, "reference", NA)))
  whole <- is.null(donors) || any(donors[parts$bulk] %in% donors[kept])
  from <- if (whole) "held-out cells" else
    plural(length(unique(donors[parts$bulk])), "held-out donor")
  structure(list(
    reference = counts[, kept, drop = FALSE], cell_types = droplevels(types[kept]),
    donors = if (!is.null(donors)) droplevels(donors[kept]), bulk_counts = mixed$bulk,
    truth_mrna = truth(mixed$mrna), truth_cells = truth(mixed$cells),
    groups = if (!is.null(groups)) groups[names(groups) %in% present], cells = cells,
    truth_expression = mixed$expression[, present, , drop = FALSE],
    drawn = mixed$drawn, platform = mixed$platform,
    source = paste0("pseudo-bulk of ", from, ", platform_sd ", format(platform_sd))
  ), class = "benchmark_dataset")
}

#' @export
print.benchmark_dataset <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Benchmark dataset (", x$source, "): ", plural(ncol(x$bulk_counts), "bulk sample"), ", ",
      plural(nrow(x$truth_mrna), "cell type"), "\n",
      "Reference: ", plural(ncol(x$reference), "cell"),
      if (!is.null(x$donors)) paste0(" of ", plural(nlevels(x$donors), "donor")),
      ", ", plural(nrow(x$reference), "gene"), "\n", sep = "")
  cat("Truth, mean share over samples:\n")
  print(round(rowMeans(x$truth_mrna), 3))
  invisible(x)
}
