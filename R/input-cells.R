# Single cells in every form that users have them.

# Counts and cell metadata of any single-cell container.
as_cells <- function(x, assay, .call = caller_env()) {
  if (inherits(x, "Seurat")) return(seurat_cells(x, assay, .call = .call))
  if (inherits(x, "count_table")) {
    return(list(counts = x$counts, metadata = x$metadata, identity = NULL))
  }
  if (inherits(x, "SummarizedExperiment")) {
    counts <- bulk_matrix(assay_of(x, assay, "counts", "x", .call), NULL, .call = .call)
    metadata <- as.data.frame(SummarizedExperiment::colData(x))
    return(list(counts = counts, metadata = metadata, identity = NULL))
  }
  if (!is.null(assay)) {
    stop_user("argument", "`assay` is for an experiment or a Seurat object.",
              x = paste0("`x` is ", describe(x), "."), .call = .call)
  }
  if (is.data.frame(x)) x <- as.matrix(x)
  if (is_sparse_matrix(x)) x <- as_csc(x)
  if (methods::is(x, "DelayedMatrix")) x <- opened(x, "x", .call)
  known <- (is.matrix(x) && is.numeric(x)) || methods::is(x, "dgCMatrix") ||
    methods::is(x, "DelayedMatrix")
  if (!known) {
    stop_user("argument", "`x` must hold single-cell counts.",
              x = paste0("It is ", describe(x), "."),
              i = paste("Give a matrix, dgCMatrix, DelayedMatrix, SingleCellExperiment or",
                        "Seurat object."), .call = .call)
  }
  list(counts = x, metadata = NULL, identity = NULL)
}

# Labels as a factor without empty levels, NA where a cell is to be left out; blank
# labels are none.
cell_labels <- function(labels, cells, what, .call = caller_env()) {
  if (is.null(labels)) return(NULL)
  n <- ncol(cells$counts)
  if (length(labels) == 1L && n != 1L && is.character(labels)) {
    if (!labels %in% names(cells$metadata)) {
      has <- if (is.null(cells$metadata)) "`x` has no cell metadata."
             else paste0("It has ", some_of(names(cells$metadata), 8L), ".")
      near <- nearest_name(labels, names(cells$metadata))
      stop_user("cell_types", paste0("There is no metadata column \"", labels, "\" for `", what,
                                     "`."), x = has,
                i = if (length(near)) paste0("Did you mean ", some_of(near), "?"), .call = .call)
    }
    labels <- cells$metadata[[labels]]
  }
  if (length(labels) != n) {
    stop_user("cell_types", paste0("`", what, "` must have an entry per cell."),
              x = paste0("It has ", count_text(length(labels)), "; `x` has ",
                         plural(n, "cell"), " (columns)."), .call = .call)
  }
  labels <- by_cell_name(labels, colnames(cells$counts), what, .call)
  labels <- factor(labels)
  blank <- !nzchar(trimws(levels(labels)))
  if (any(blank)) {
    inform_user(TRUE, paste0(plural(sum(labels %in% levels(labels)[blank]), "cell"),
                             " with an empty entry in `", what, "` left out."))
    levels(labels)[blank] <- NA
  }
  if (!nlevels(labels)) {
    stop_user("cell_types", paste0("`", what, "` is NA for every cell."), .call = .call)
  }
  labels
}

# Labels that are named by cell are matched by name.
by_cell_name <- function(labels, cells, what, .call) {
  named <- names(labels)
  if (is.null(named) || is.null(cells) || identical(named, cells)) return(unname(labels))
  if (setequal(named, cells)) return(unname(labels[match(cells, named)]))
  if (any(named %in% cells)) {
    stop_user("cell_types", paste0("The names of `", what, "` do not fit the cells."),
              x = paste0("Cells without a label: ", some_of(setdiff(cells, named)), "."),
              i = "Name a label for every cell, or give them unnamed in the cells' order.",
              .call = .call)
  }
  unname(labels)
}

# Sums over the cells of each group, genes x groups: of counts, of their
# squares, and of counts times the total of the cell.  Cells without a group are
# left out.
sum_cells <- function(counts, groups, .call = caller_env()) {
  if (methods::is(counts, "DelayedMatrix")) return(sum_delayed(counts, groups, .call))
  check_single_cell_counts(counts, .call)
  inside <- !is.na(groups)
  if (!all(inside)) counts <- counts[, inside, drop = FALSE]
  membership <- Matrix::fac2sparse(groups[inside], drop.unused.levels = FALSE)
  genes <- gene_names(rownames(counts), "x", .call = .call)
  if (is.null(genes)) {
    stop_user("gene_names", "`x` needs gene names as row names.", .call = .call)
  }
  sizes <- Matrix::colSums(counts)
  by_size <- membership
  by_size@x <- by_size@x * rep(sizes, diff(by_size@p))
  sums <- list(count = Matrix::tcrossprod(counts, membership),
               square = Matrix::tcrossprod(counts^2, membership),
               cross = Matrix::tcrossprod(counts, by_size))
  lapply(sums, function(sum) {
    sum <- as.matrix(sum)
    dimnames(sum) <- list(genes, levels(groups))
    if (anyDuplicated(genes)) rowsum(sum, factor(genes, unique(genes)), reorder = FALSE) else sum
  })
}

sum_delayed <- function(counts, groups, .call) {
  total <- NULL
  genes <- rownames(counts)
  for (columns in column_blocks(counts, .call)) {
    if (all(is.na(groups[columns]))) next
    block <- from_disk("x", .call, realised(counts[, columns, drop = FALSE]))
    if (is.matrix(block)) block <- methods::as(block, "dgCMatrix")
    dimnames(block) <- list(genes, NULL)
    sums <- sum_cells(block, groups[columns], .call = .call)
    total <- if (is.null(total)) sums else Map(`+`, total, sums)
  }
  total
}

check_single_cell_counts <- function(counts, .call) {
  if (methods::is(counts, "dgCMatrix")) {
    # R does not look at slots that were set by hand
    call_rs(rs_scan_counts, counts = counts, .call = .call)
    values <- counts@x
  } else {
    values <- counts
  }
  if (!length(values)) return(invisible())
  problem <- if (anyNA(values)) "missing values"
             else if (min(values) < 0) "negative values"
             else if (max(values) == Inf) "infinite values"
             else if (any(values != round(values))) "values that are not whole numbers"
  if (!is.null(problem)) {
    stop_user("not_counts", "Signatures are built from raw counts.",
              x = paste0("`x` has ", problem, "."),
              i = "Give the raw UMI counts, not normalised or integrated values.",
              .call = .call)
  }
  check_scale(max(values), "x", .call)
}
