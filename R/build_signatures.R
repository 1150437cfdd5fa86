#' Signatures from single-cell counts
#'
#' Sums the raw counts of the cells of each type into a mean profile. Sparse
#' counts stay sparse; counts on disk are read once, in blocks of cells, and sparse where
#' they are (`HDF5Array::TENxMatrix()` and `H5ADMatrix()` open large `.h5` and `.h5ad` files).
#'
#' The profile of a type is the sum of the counts of its cells, scaled to sum
#' to 1 over all genes: the maximum-likelihood estimate of its share of mRNA per
#' gene under Poisson sampling. With donors, the variance of the profile
#' *between* donors is what their profiles vary beyond sampling (the moment
#' estimator of DerSimonian and Laird, 1986, with UMI totals as weights),
#' \deqn{\sigma^2_{g} = \frac{\sum_d n_d (p_{dg} - p_g)^2 - (D - 1)\,p_g}{N - \sum_d n_d^2 / N},}
#' floored at 0, where donor d has \eqn{n_d} UMI in cells of the type, N in all.
#'
#' @param x Raw counts with genes in rows and cells in columns: a matrix, a
#'   sparse matrix (`dgCMatrix`), a `DelayedMatrix`, a `SingleCellExperiment`
#'   (or `SummarizedExperiment`), or a `Seurat` object (assays of version 4 and
#'   5, split layers included). A list of these with names is one reference on
#'   several platforms, over the genes that all have; `cell_types` and `donors` are
#'   then lists with the same names, or names of columns.
#' @param cell_types The type of each cell: a vector with an entry per cell, or
#'   the name of a column of the object's cell metadata. For `Seurat` objects
#'   the default is the active identity. Cells with `NA` are left out.
#' @param donors The donor of each cell, in the same form, or `NULL`.
#' @param assay Name of the assay; by default `"counts"` of an experiment and
#'   the active assay of a `Seurat` object.
#' @param platforms The platform, laboratory or study of each cell, in the same form, or
#'   `NULL`. Where types were measured on two or more, [type_error()] is estimated from
#'   how far they differ.
#' @param exclude Labels of `cell_types` to leave out, as `c("doublet", "Unassigned")`.
#'   The genes' totals are then those of the other cells.
#' @param min_cells Types with fewer cells are left out, with a warning: the
#'   noise of a handful of cells looks like a signature of its own, and takes a
#'   share of every sample. Types with fewer than 10 cells are warned about. 1
#'   keeps every type.
#' @return An object of class [signatures]: a list with `profiles` (genes ×
#'   types), `variance` (the same shape, or `NULL` without donors), `cells`,
#'   `umi` (mean UMI per cell) and `donors` per type, and with several donors
#'   `donor_counts`, which the bootstrap over donors draws from (with several
#'   platforms `platform_counts`).
#' @section Errors:
#'   `unalloy_error_not_counts` for values that are negative, missing or not
#'   whole numbers; `unalloy_error_cell_types` when labels do not fit the cells;
#'   `unalloy_error_platforms` where platforms have no type in common, or a list no names;
#'   `unalloy_error_no_common_genes`;
#'   `unalloy_error_argument` for objects and columns that are not known.
#' @seealso [deconvolve_bulk()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 2, seed = 1)
#' build_signatures(sim$reference, sim$cells$cell_type, donors = sim$cells$donor)
build_signatures <- function(x, cell_types = NULL, donors = NULL, assay = NULL, min_cells = 5,
                             platforms = NULL, exclude = NULL) {
  check_call()
  if (is_reference_list(x)) {
    if (!is.null(platforms)) {
      stop_user("argument", "`platforms` are the names of the list `x`.",
                i = "Leave `platforms` out.")
    }
    joined <- joined_references(x, cell_types, donors, assay)
    return(build_signatures(joined$counts, joined$cell_types, joined$donors, NULL, min_cells,
                            joined$platforms, exclude))
  }
  cells <- as_cells(x, assay)
  if (is.null(cell_types) && !is.null(cells$identity)) {
    inform_user(TRUE, paste0("Types are the active identity of the object: ",
                             some_of(levels(factor(cells$identity)), 5L), "."))
  }
  types <- cell_labels(cell_types %||% cells$identity, cells, "cell_types")
  if (is.null(types)) {
    stop_user("cell_types", "`cell_types` is missing.",
              i = "Give the type of each cell, or the name of a metadata column.")
  }
  types <- without_types(types, exclude)
  donors <- cell_labels(donors, cells, "donors")
  platforms <- cell_labels(platforms, cells, "platforms")
  min_cells <- check_count(min_cells, "min_cells")
  if (!is.null(donors)) types <- without_nameless(types, donors)
  types <- without_few(types, min_cells)
  check_type_names(levels(types), .call = rlang::current_env())
  kept <- table(types)
  groups <- cell_groups(types, donors, platforms)
  sums <- sum_cells(cells$counts, groups)
  type_of <- attr(groups, "types")
  by_type <- lapply(sums, rowsum_columns, type_of)
  empty <- colnames(by_type$count)[colSums(by_type$count) <= 0]
  if (length(empty)) {
    stop_user("empty_type", "Every type needs counts.",
              x = paste0("No counts in the cells of ", some_of(empty), "."))
  }
  held <- held_counts(sums$count, groups)
  of_donors <- held$donor
  variance <- if (!is.null(donors)) {
    donor_variance(of_donors$counts, of_donors$type, by_type$count)
  }
  n_donors <- if (is.null(donors)) NA_integer_ else as.integer(table(of_donors$type))
  n_cells <- as.double(kept)
  new_signatures(normalise_columns(by_type$count), variance, n_cells,
                 colSums(by_type$count) / n_cells, n_donors,
                 sum_dispersion(by_type, n_cells, variance, n_donors),
                 if (nlevels(of_donors$donor) > 1L) sparse_counts(of_donors),
                 sparse_counts(held$platform))
}

# The group of each cell: its type, and donor and platform where these are given, with
# the parts of each level as attributes.
cell_groups <- function(types, donors, platforms, .call = caller_env()) {
  parts <- list(types = types, donors = donors, platforms = platforms)
  parts <- parts[!vapply(parts, is.null, NA)]
  groups <- if (length(parts) == 1L) types else interaction(parts, drop = TRUE, sep = "\r")
  first <- match(levels(groups), groups)
  for (part in names(parts)) attr(groups, part) <- droplevels(factor(parts[[part]])[first])
  attr(groups, "types") <- factor(types[first], levels(types))
  if (!is.null(platforms)) check_platforms(groups, .call)
  groups
}

# A platform of its own types tells nothing of how platforms differ.
check_platforms <- function(groups, .call) {
  platforms <- attr(groups, "platforms")
  by_type <- tapply(platforms, attr(groups, "types"), function(own) length(unique(own)))
  if (nlevels(platforms) < 2L || !any(by_type > 1L, na.rm = TRUE)) {
    types <- as.character(attr(groups, "types"))
    own <- tapply(types, platforms, function(types) some_of(unique(types)))
    stop_user("platforms", "Platforms must have types in common.",
              x = paste0(names(own), ": ", own, collapse = "; "),
              i = "Give the same type the same name on every platform.", .call = .call)
  }
}

# Counts of each type and donor (of one platform), and of each type and platform,
# from those of the groups; NULL where they are not known.
held_counts <- function(counts, groups) {
  type <- attr(groups, "types")
  donor <- attr(groups, "donors")
  platform <- attr(groups, "platforms")
  held <- list()
  if (!is.null(donor)) {
    # a donor's cells on two platforms are two donors' here
    unit <- if (is.null(platform)) donor else droplevels(interaction(platform, donor, sep = " "))
    held$donor <- list(counts = counts, totals = colSums(counts), type = type, donor = unit,
                       cells = tabulate(groups, nlevels(groups)))
  }
  if (!is.null(platform)) {
    pairs <- interaction(type, platform, drop = TRUE, sep = "\r")
    first <- match(levels(pairs), pairs)
    sums <- rowsum_columns(counts, pairs)
    held$platform <- list(counts = sums, totals = colSums(sums), type = type[first],
                          platform = platform[first])
  }
  held
}

sparse_counts <- function(held) {
  if (is.null(held)) return(NULL)
  held$counts <- methods::as(held$counts, "CsparseMatrix")
  held
}

# A list of references, which is no single object of cells.
is_reference_list <- function(x) {
  is.list(x) && !inherits(x, c("data.frame", "Seurat", "count_table")) && !isS4(x) && length(x) > 0L
}

# Several references as one, over the genes that all have, each a platform.
joined_references <- function(x, cell_types, donors, assay, .call = caller_env()) {
  if (is.null(names(x)) || any(names(x) == "") || anyDuplicated(names(x))) {
    stop_user("platforms", "A list of references must have names of its own.",
              i = "`build_signatures(list(first = ..., second = ...), ...)`", .call = .call)
  }
  of_part <- function(labels, i) {
    if (is.list(labels)) labels[[names(x)[i]]] else labels
  }
  parts <- lapply(seq_along(x), function(i) {
    cells <- as_cells(x[[i]], assay, .call = .call)
    types <- cell_labels(of_part(cell_types, i) %||% cells$identity, cells, "cell_types", .call)
    if (is.null(types)) {
      stop_user("cell_types", paste0("`cell_types` is missing for \"", names(x)[i], "\"."),
                i = "Give a list of labels with the names of the references.", .call = .call)
    }
    donor <- cell_labels(of_part(donors, i), cells, "donors", .call)
    genes <- gene_names(rownames(cells$counts), "x", .call = .call)
    kept <- !duplicated(genes)
    counts <- methods::as(cells$counts[kept, , drop = FALSE], "CsparseMatrix")
    rownames(counts) <- genes[kept]
    list(counts = counts, types = as.character(types), donor = as.character(donor))
  })
  genes <- Reduce(intersect, lapply(parts, function(part) rownames(part$counts)))
  if (!length(genes)) {
    stop_user("no_common_genes", "The references have no gene in common.",
              x = paste0("The first has ", some_of(rownames(parts[[1L]]$counts)), "."),
              .call = .call)
  }
  n <- vapply(parts, function(part) ncol(part$counts), 0L)
  known <- all(vapply(parts, function(part) length(part$donor) > 0L, NA))
  list(
    counts = do.call(cbind, lapply(parts, function(part) {
      counts <- part$counts[genes, , drop = FALSE]
      colnames(counts) <- NULL
      counts
    })),
    cell_types = unlist(lapply(parts, `[[`, "types")),
    donors = if (known) unlist(lapply(parts, `[[`, "donor")),
    platforms = rep(names(x), n)
  )
}

# Labels that are no cell types, as "doublet" or "Unassigned".
without_types <- function(types, exclude, .call = caller_env()) {
  unknown <- setdiff(exclude, levels(types))
  if (length(unknown)) {
    near <- nearest_name(unknown[1L], levels(types))
    stop_user("argument", "`exclude` must name cell types.",
              x = paste0("Unknown: ", some_of(unknown), "."),
              i = if (length(near)) paste0("Did you mean \"", near, "\"?")
                  else paste0("There are ", some_of(levels(types)), "."), .call = .call)
  }
  types <- droplevels(replace(types, types %in% exclude, NA))
  if (!nlevels(types)) {
    stop_user("cell_types", "`exclude` leaves no cell type.", .call = .call)
  }
  types
}

# Cells without a donor belong to no type either.
without_nameless <- function(types, donors) {
  nameless <- !is.na(types) & is.na(donors)
  if (any(nameless)) {
    inform_user(TRUE, paste0(plural(sum(nameless), "cell"), " without a donor left out."))
    types[nameless] <- NA
  }
  droplevels(types)
}

# Leaves out types with fewer than `min_cells` cells, unless no type has more.
without_few <- function(types, min_cells, .call = caller_env()) {
  cells <- table(types)
  listed <- function(names) paste(paste0("\"", names, "\": ", cells[names]), collapse = ", ")
  few <- names(cells)[cells < min_cells]
  if (length(few) && length(few) < length(cells)) {
    warn_user("few_cells", "Types with too few cells are left out.", x = paste0(listed(few), "."),
              i = "Merge them with a related type, or keep them with `min_cells = 1`.",
              .call = .call)
    types[types %in% few] <- NA
    types <- droplevels(types)
  } else {
    few <- character()
  }
  noisy <- setdiff(names(cells)[cells < 10], few)
  if (length(noisy)) {
    warn_user("few_cells", "Some types have few cells: their signatures are noisy.",
              x = paste0(listed(noisy), "."),
              i = "Merge them with a related type, or leave them out.", .call = .call)
  }
  types
}

rowsum_columns <- function(sums, groups) {
  t(rowsum(t(sums), groups, reorder = TRUE))
}

# Relative variance of the summed counts of each type beyond Poisson, as the
# median over well-measured genes: between cells, plus between donors where
# there are at least three.
sum_dispersion <- function(by_type, n_cells, variance, n_donors) {
  dispersion <- vapply(seq_along(n_cells), function(j) {
    count <- by_type$count[, j]
    profile <- count / sum(count)
    # sum over cells of (count - profile * total of the cell)^2
    spread <- by_type$square[, j] - 2 * profile * by_type$cross[, j] +
      profile^2 * sum(by_type$cross[, j])
    spread <- spread * n_cells[j] / max(n_cells[j] - 1, 1)
    measured <- count >= 30
    if (sum(measured) < 20) return(NA_real_)
    excess <- stats::median(pmax(spread - count, 0)[measured] / count[measured]^2)
    if (is.null(variance) || n_donors[j] < 3L) return(excess)
    between <- variance[measured, j] / profile[measured]^2 / n_donors[j]
    excess + stats::median(between, na.rm = TRUE)
  }, 0)
  dispersion[is.na(dispersion)] <- if (all(is.na(dispersion))) 0 else mean(dispersion, na.rm = TRUE)
  dispersion
}

# Between-donor variance of each type's profile (see build_signatures()).
donor_variance <- function(sums, type_of, by_type) {
  variance <- vapply(levels(type_of), function(type) {
    own <- sums[, type_of == type, drop = FALSE]
    n <- colSums(own)
    own <- own[, n > 0, drop = FALSE]
    n <- n[n > 0]
    if (length(n) < 2L) return(rep(NA_real_, nrow(sums)))
    pooled <- by_type[, type] / sum(n)
    spread <- (own / rep(n, each = nrow(own)) - pooled)^2 %*% n
    pmax(0, (drop(spread) - (length(n) - 1) * pooled) / (sum(n) - sum(n^2) / sum(n)))
  }, numeric(nrow(sums)))
  matrix(variance, nrow(sums), dimnames = dimnames(by_type))
}
