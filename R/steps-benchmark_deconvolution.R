# Datasets of a benchmark: what users give, checked, and what methods get of it.

# reference    counts, genes x cells, genes in rows with names of their own
# cell_types   factor per cell, without NA
# donors       factor per cell, or NULL
# bulk_counts  dense, genes x samples, the same
# truth_mrna   shares, types x samples, over types that the reference has
# gene_lengths named by gene, or NULL
# groups       type of the truth named by type of the reference, or NULL
# source       one line of where it is from
as_datasets <- function(datasets, .call = caller_env()) {
  single <- inherits(datasets, c("simulated_bulk", "benchmark_dataset")) ||
    is.list(datasets) && any(c("reference", "bulk_counts", "truth_mrna") %in% names(datasets))
  if (single) datasets <- list(data = datasets)
  if (!is.list(datasets) || is.data.frame(datasets) || !length(datasets)) {
    stop_user("argument", "`datasets` must be a dataset or a list of them.",
              x = paste0("It is ", describe(datasets), "."), .call = .call)
  }
  names(datasets) <- dataset_names(datasets)
  Map(as_dataset, datasets, names(datasets), MoreArgs = list(.call = .call))
}

dataset_names <- function(datasets) {
  given <- names(datasets) %||% rep("", length(datasets))
  given[given == ""] <- paste("dataset", seq_along(datasets))[given == ""]
  make.unique(given, sep = " ")
}

as_dataset <- function(x, name, .call) {
  if (inherits(x, "simulated_bulk")) x <- simulated_dataset(x)
  lacks <- setdiff(c("reference", "cell_types", "bulk_counts", "truth_mrna"), names(x))
  if (!is.list(x) || length(lacks)) {
    stop_dataset(name, if (is.list(x)) paste0("It has no ", some_of(lacks), ".")
                       else paste0("It is ", describe(x), "."),
                 if (any(c("bulk", "truth") %in% names(x))) {
                   "`bulk` and `truth` are called `bulk_counts` and `truth_mrna` now."
                 } else {
                   "See the section \"Datasets\" of ?benchmark_deconvolution."
                 }, .call)
  }
  cells <- as_cells(x$reference, x$assay, .call = .call)
  types <- cell_labels(x$cell_types, cells, "cell_types", .call = .call)
  donors <- cell_labels(x$donors, cells, "donors", .call = .call)
  kept <- !is.na(types) & (if (is.null(donors)) TRUE else !is.na(donors))
  reference <- named_rows(cells$counts[, kept, drop = FALSE], "reference", .call)
  bulk <- as_bulk(x$bulk_counts, .call = .call)
  check_bulk_values(bulk, .call = .call)
  rownames(bulk$source) <- bulk$genes
  counts <- as.matrix(named_rows(bulk$source, "bulk_counts", .call))
  colnames(counts) <- bulk$samples
  if (!any(rownames(counts) %in% rownames(reference))) {
    stop_no_common_genes(rownames(counts), rownames(reference), .call = .call)
  }
  types <- droplevels(types[kept])
  groups <- check_groups(x$groups, levels(types), name, .call)
  truth <- check_truth(x$truth_mrna, truth_type(levels(types), groups), bulk$samples, name, .call)
  structure(class = "benchmark_dataset", list(
    reference = reference, cell_types = types,
    donors = if (!is.null(donors)) droplevels(donors[kept]),
    bulk_counts = counts[, colnames(truth), drop = FALSE], truth_mrna = truth,
    gene_lengths = dataset_lengths(x$gene_lengths, name, .call), groups = groups,
    source = x$source %||% "truth set"
  ))
}

simulated_dataset <- function(x) {
  list(reference = x$reference, cell_types = x$cells$cell_type, donors = x$cells$donor,
       bulk_counts = x$bulk_counts, truth_mrna = x$truth_mrna,
       gene_lengths = if (x$settings$length_exponent > 0) x$gene_lengths, source = "simulation")
}

stop_dataset <- function(name, problem, mend, .call) {
  stop_user("dataset", paste0("Dataset \"", name, "\" can't be used."), x = problem, i = mend,
            .call = .call)
}

# Genes in rows by name, versions stripped, rows of one gene summed.
named_rows <- function(counts, what, .call) {
  genes <- gene_names(rownames(counts), what, .call = .call)
  if (is.null(genes)) {
    stop_user("gene_names", paste0("`", what, "` needs gene names as row names."), .call = .call)
  }
  if (anyDuplicated(genes)) {
    columns <- colnames(counts)
    counts <- Matrix::fac2sparse(factor(genes, unique(genes))) %*% counts
    dimnames(counts) <- list(unique(genes), columns)
  } else {
    rownames(counts) <- genes
  }
  counts
}

check_groups <- function(groups, types, name, .call) {
  if (is.null(groups)) return(NULL)
  if (!is.atomic(groups) || is.null(names(groups))) {
    stop_dataset(name, "`groups` must be a vector named by type of the reference.",
                 "Write `groups = c(\"CD4 T\" = \"T\", \"CD8 T\" = \"T\")`.", .call)
  }
  unknown <- setdiff(names(groups), types)
  if (length(unknown)) {
    stop_dataset(name, paste0("`groups` names types that are not in the reference: ",
                              some_of(unknown), "."),
                 paste0("There are ", some_of(types, 21L), "."), .call)
  }
  stats::setNames(as.character(groups), names(groups))
}

# Shares over the types that reference and truth have in common.
check_truth <- function(truth, types, samples, name, .call) {
  if (is.data.frame(truth)) truth <- as.matrix(truth)
  ok <- is.matrix(truth) && is.numeric(truth) && !is.null(rownames(truth)) &&
    !is.null(colnames(truth))
  if (!ok) {
    stop_dataset(name, "`truth_mrna` must be a numeric matrix types x samples with names.", NULL,
                 .call)
  }
  turned <- any(rownames(truth) %in% samples)
  hint <- if (turned) "Types go in rows, samples in columns: try `t(truth_mrna)`."
  shared <- intersect(samples, colnames(truth))
  if (!length(shared)) {
    stop_dataset(name, paste0("`truth_mrna` has none of the samples of `bulk_counts`: ",
                              some_of(samples), "."),
                 hint, .call)
  }
  common <- intersect(rownames(truth), types)
  if (length(common) < 2L) {
    stop_dataset(name, paste0("Truth and reference must have two types in common. Truth: ",
                              some_of(rownames(truth)), "; reference: ", some_of(types), "."),
                 hint %||% "Give `groups` where the types of the reference are finer.", .call)
  }
  truth <- truth[common, shared, drop = FALSE]
  bad <- shared[colSums(!is.finite(truth) | truth < 0) > 0 | !(colSums(truth) > 0) %in% TRUE]
  if (length(bad)) {
    stop_dataset(name, paste0("`truth_mrna` must be finite, not negative, and not all 0; look at ",
                              some_of(bad), "."), NULL, .call)
  }
  shares_of_columns(truth)
}

dataset_lengths <- function(lengths, name, .call) {
  if (is.null(lengths)) return(NULL)
  if (is.data.frame(lengths) && all(c("symbol", "length") %in% names(lengths))) {
    lengths <- stats::setNames(lengths$length, lengths$symbol)
  }
  if (!is.numeric(lengths) || is.null(names(lengths))) {
    stop_dataset(name, "`gene_lengths` must be a vector named by gene.", NULL, .call)
  }
  names(lengths) <- strip_ensembl_version(names(lengths))
  lengths[!is.na(lengths) & lengths > 0 & !duplicated(names(lengths))]
}

# What our own methods see: everything but the truth.
method_input <- function(dataset, clean) {
  dataset$truth_mrna <- dataset$truth_cells <- dataset$truth_expression <- NULL
  dataset$clean <- clean
  dataset
}

# What other methods see: the genes in common, cleaned, and no lengths.
peer_input <- function(dataset, clean) {
  out <- method_input(dataset, clean)
  genes <- intersect(rownames(out$bulk_counts), rownames(out$reference))
  if (!is.null(out$gene_lengths)) genes <- intersect(genes, names(out$gene_lengths))
  if (clean) genes <- setdiff(genes, protocol_genes_of(genes))
  out$bulk_counts <- out$bulk_counts[genes, , drop = FALSE]
  if (!is.null(out$gene_lengths)) {
    depth <- colSums(out$bulk_counts)
    out$bulk_counts <- normalise_columns(out$bulk_counts / out$gene_lengths[genes]) *
      rep(depth, each = length(genes))
  }
  out$reference <- out$reference[genes, , drop = FALSE]
  out$gene_lengths <- NULL
  out
}

# Columns that sum to 1, or stay 0 where there is nothing.
shares_of_columns <- function(x) {
  total <- colSums(x)
  x / rep(ifelse(total > 0, total, 1), each = nrow(x))
}

# The type of the truth that a type of the reference belongs to.
truth_type <- function(types, groups) {
  if (is.null(groups)) return(types)
  ifelse(types %in% names(groups), unname(groups[types]), types)
}
