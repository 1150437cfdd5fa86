# Bulk counts in every form that users have them, behind one face: a list with
#   values   what Rust borrows (a double or integer matrix, or a dgCMatrix), or
#            NULL when the counts are on disk
#   source   the matrix itself
#   genes, samples, n_rows, n_samples
#   totals, unit   of the values, once they are known (see check_bulk_values())
#   plan           who works on blocks of samples (see work_plan()); NULL for here

# Samples that the core evaluates together; blocks are multiples of it.
CORE_BLOCK <- 16L

as_bulk <- function(x, assay = NULL, scale = "linear", .call = caller_env()) {
  x <- linear_values(bulk_matrix(x, assay, .call = .call), scale)
  if (ncol(x) == 0L) {
    stop_user("no_samples", "`bulk_counts` has no samples.",
              x = paste0("It is ", nrow(x), " x 0."),
              i = "Genes go in rows, samples in columns.", .call = .call)
  }
  if (nrow(x) == 0L) {
    stop_user("no_genes", "`bulk_counts` has no genes.", .call = .call)
  }
  samples <- sample_names(colnames(x), ncol(x), .call = .call)
  list(source = x, values = rust_values(x), n_rows = nrow(x), n_samples = ncol(x),
       genes = gene_names(rownames(x), "bulk_counts", .call = .call), samples = samples)
}

# Undoes log(x + 1) or log2(x + 1).
linear_values <- function(x, scale) {
  undo <- switch(scale, linear = return(x), log1p = expm1, log2 = function(x) expm1(x * log(2)))
  if (methods::is(x, "dgCMatrix")) {
    x@x <- undo(x@x)
    x
  } else {
    undo(x)
  }
}

# A matrix-like object with genes in rows.
bulk_matrix <- function(x, assay, .call) {
  if (inherits(x, "count_table")) x <- x$counts
  if (inherits(x, "SummarizedExperiment")) {
    return(bulk_matrix(assay_of(x, assay, "counts", "bulk_counts", .call), NULL, .call = .call))
  }
  if (!is.null(assay)) {
    stop_user("argument", "`assay` is for a SummarizedExperiment.",
              x = paste0("`bulk_counts` is ", describe(x), "."), .call = .call)
  }
  if (is.data.frame(x)) return(from_data_frame(x, .call = .call))
  if (is.matrix(x)) {
    if (!is.numeric(x)) {
      stop_user("not_numeric", "`bulk_counts` must be numeric.",
                x = paste0("It is ", describe(x), "."), .call = .call)
    }
    return(x)
  }
  if (is_sparse_matrix(x)) return(as_csc(x))
  if (methods::is(x, "DelayedMatrix")) return(opened(x, "bulk_counts", .call))
  if (is.numeric(x) && is.null(dim(x))) {
    return(matrix(x, ncol = 1L, dimnames = list(names(x), NULL)))
  }
  stop_user("argument", "`bulk_counts` must be a genes x samples matrix.",
            x = paste0("It is ", describe(x), "."),
            i = paste("Give a matrix, data frame, sparse matrix, SummarizedExperiment or",
                      "DelayedMatrix."), .call = .call)
}

# A first column of numbers that is named like an identifier is taken for the
# gene names too.
from_data_frame <- function(x, .call) {
  like_names <- grepl("^(x|id|.*gene.*|.*entrez.*|.*symbol.*|.*ensembl.*)$", names(x)[1L],
                      ignore.case = TRUE)
  identifier <- .row_names_info(x) <= 0L && like_names && !anyDuplicated(x[[1L]])
  frame_values(x, "bulk_counts", "gene names", .call, identifier)
}

sample_names <- function(names, n, .call) {
  if (is.null(names)) return(paste("Sample", seq_len(n)))
  twice <- unique(names[duplicated(names)])
  if (length(twice) || anyNA(names) || any(names == "")) {
    stop_user("sample_names", "Samples must have names of their own.",
              x = if (length(twice)) paste0("Used more than once: ", some_of(twice), ".")
                  else "Some samples have no name.",
              i = "Try `colnames(bulk_counts) <- make.unique(colnames(bulk_counts))`.",
              .call = .call)
  }
  names
}

# The samples of each block, a list of positions: all of what is in memory, else as many
# as `unalloy.block_size` holds, in multiples of those that the core evaluates together.  So
# no answer depends on the size, to the bit.
sample_blocks <- function(bulk, .call = caller_env()) {
  n <- bulk$n_samples
  if (!is.null(bulk$values) && is.null(bulk$plan)) return(list(seq_len(n)))
  size <- max(1, floor(disk_block(.call) / (8 * bulk$n_rows * CORE_BLOCK)))
  # every worker has some
  size <- min(size, ceiling(n / n_workers(bulk$plan) / CORE_BLOCK))
  # powers of two, so that the sums of a block are one node of their tree
  size <- 2^floor(log2(size)) * CORE_BLOCK
  lapply(seq(1, n, by = size), function(start) start:min(start + size - 1, n))
}

# Calls `work(block, shared)` for blocks of samples and returns the list of answers.  A
# block has `values`, `columns`, what `own(columns)` gives, a function `progress` to be
# called with the number of samples done, and `.call`.
#
# Where the bulk has a `plan` (see work_plan()), workers do it: `work` must then be a
# function of the package, and `shared` hold what else it needs.
over_samples <- function(bulk, work, shared = list(), own = function(columns) NULL,
                         title = NULL, verbose = FALSE, .call = caller_env()) {
  blocks <- sample_blocks(bulk, .call)
  if (is.null(bulk$plan)) {
    show <- if (is.null(title)) identity else progress_bar(title, bulk$n_samples, verbose)
    return(lapply(blocks, function(columns) {
      block <- list(values = block_values(bulk, columns, .call), columns = columns,
                    progress = function(done) show(columns[1L] - 1 + done), .call = .call)
      work(c(block, own(columns)), shared)
    }))
  }
  in_memory <- !is.null(bulk$values)
  parts <- lapply(blocks, function(columns) {
    part <- c(list(columns = columns), own(columns))
    if (in_memory) part$values <- block_values(bulk, columns, .call)
    part
  })
  sent <- list(work = work, shared = shared, bulk = if (!in_memory) bulk["source"])
  stamp <- list(title, what_decides(shared), bulk$samples, bulk$genes,
                if (!in_memory) source_stamp(bulk$source))
  run_parts(parts, work_on_part, sent, bulk$plan, stamp, .call)
}

work_on_part <- function(part, sent) {
  if (is.null(part$values)) part$values <- block_values(sent$bulk, part$columns, NULL)
  sent$work(part, sent$shared)
}

# Of what workers are sent, what their answers depend on.
what_decides <- function(shared) {
  shared <- Filter(Negate(is.function), shared)
  shared$given$threads <- NULL
  shared$given$settings$threads <- NULL
  shared
}

# What tells one matrix on disk from another: its operations, paths, and the times at
# which the files were written.
source_stamp <- function(source) {
  seeds <- DelayedArray::seedApply(source, function(seed) {
    if (!methods::.hasSlot(seed, "filepath")) return(rlang::hash(seed))
    path <- methods::slot(seed, "filepath")
    list(path, file.mtime(path), file.size(path))
  })
  list(rlang::hash(source), seeds)
}

# The values of some samples as Rust borrows them.
block_values <- function(bulk, columns, .call) {
  if (!is.null(bulk$values)) {
    if (identical(as.integer(columns), seq_len(bulk$n_samples))) return(bulk$values)
    return(bulk$values[, columns, drop = FALSE])
  }
  rust_values(from_disk("bulk_counts", .call, realised(bulk$source[, columns, drop = FALSE])))
}

# Totals of the samples and the unit of the values, list(totals, unit); refuses what no
# count matrix may hold.
check_bulk_values <- function(bulk, .call = caller_env()) {
  if (!is.null(bulk$totals)) return(list(totals = bulk$totals, unit = bulk$unit))
  # in memory it is sooner done than sent
  if (!is.null(bulk$values)) bulk$plan <- NULL
  judge_values(bulk, over_samples(bulk, scan_block, bulk[c("genes", "samples")], .call = .call),
               .call)
}

# The bulk with its totals and unit.
with_values <- function(bulk, values = check_bulk_values(bulk, .call), .call = caller_env()) {
  bulk[c("totals", "unit")] <- values[c("totals", "unit")]
  bulk
}

# The same without reading everything: counts on disk are taken for counts by a few
# samples, and are looked at when they are read to be fitted.  They have no totals then.
with_presumed_values <- function(bulk, .call = caller_env()) {
  if (!is.null(bulk$totals)) return(bulk)
  if (!is.null(bulk$values)) return(with_values(bulk, .call = .call))
  few <- in_memory(bulk_subset(bulk, spread_samples(bulk$n_samples)), .call)
  if (check_bulk_values(few, .call)$unit != "counts") return(with_values(bulk, .call = .call))
  bulk$unit <- "counts"
  bulk
}

# What the core sees of the values of a block; `shared` has the names of genes and samples.
scan_block <- function(block, shared) {
  scan <- call_rs(rs_scan_counts, counts = block$values, .call = block$.call)
  for (kind in c("missing", "infinite", "negative")) {
    if (length(scan[[kind]])) {
      stop_bad_count(kind, scan[[kind]], shared, block$columns, block$.call)
    }
  }
  scan[c("totals", "max", "integer")]
}

judge_values <- function(bulk, scans, .call) {
  totals <- unlist(lapply(scans, `[[`, "totals"))
  empty <- which(totals <= 0)
  if (length(empty)) {
    stop_user("empty_sample", "Every sample needs counts.",
              x = paste0("Only zeros: ", some_of(bulk$samples[empty]), "."),
              i = "Leave these samples out.", .call = .call)
  }
  largest <- max(vapply(scans, `[[`, 0, "max"))
  check_scale(largest, "bulk_counts", .call)
  integer <- all(vapply(scans, `[[`, NA, "integer"))
  unit <- bulk_unit(totals, largest, integer)
  if (unit == "log") {
    stop_user(
      "log_scale", "`bulk_counts` look like logarithms; the model needs linear values.",
      x = paste0("They are not whole numbers, and the largest is ",
                 format(largest, digits = 3), "."),
      i = paste("Say `bulk_scale = \"log1p\"` for log(x + 1), or `\"log2\"` for log2(x + 1):",
                "the logarithm is then undone."),
      i = "If they are linear, multiply them by a constant: proportions do not change.",
      .call = .call
    )
  }
  list(totals = totals, unit = unit)
}

stop_bad_count <- function(kind, at, bulk, columns, .call) {
  row <- at[1L]
  gene <- if (is.null(bulk$genes)) paste("row", row) else paste0("gene \"", bulk$genes[row], "\"")
  where <- paste0(gene, ", sample \"", bulk$samples[columns[at[2L]]], "\"")
  mends <- c(missing = "Replace missing values, or leave the gene or sample out.",
             infinite = "Replace infinite values, or leave the gene or sample out.",
             negative = paste("Counts are never negative: give values before centring, scaling",
                              "or batch correction."))
  stop_user(paste0(kind, "_counts"), paste0("`bulk_counts` has ", kind, " values."),
            x = paste0("The first is ", where, "."), i = mends[[kind]], .call = .call)
}

# What the values are, from their totals, maximum and roundness.  Logarithms of
# counts, CPM or TPM stay below 30 (2^30 reads), while linear values of as many
# genes have totals far above it; shares have totals of at most 1.
bulk_unit <- function(totals, largest, integer) {
  if (integer) return("counts")
  # with genes left out they sum to less
  if (all(totals > 0.75e6 & totals < 1.05e6)) return("per million")
  if (largest < 30 && stats::median(totals) > 1.5) return("log")
  "linear"
}

# What is on disk stays there.
bulk_subset <- function(bulk, columns) {
  if (identical(as.integer(columns), seq_len(bulk$n_samples))) return(bulk)
  bulk$source <- bulk$source[, columns, drop = FALSE]
  bulk$values <- rust_values(bulk$source)
  bulk$samples <- bulk$samples[columns]
  bulk$n_samples <- length(columns)
  bulk$totals <- bulk$totals[columns]
  bulk
}

# The bulk in memory, sparse if it is.
in_memory <- function(bulk, .call = caller_env()) {
  bulk$plan <- NULL
  if (!is.null(bulk$values)) return(bulk)
  bulk$source <- from_disk("bulk_counts", .call, realised(bulk$source))
  bulk$values <- rust_values(bulk$source)
  bulk
}

# Up to 16 samples spread evenly over the cohort: enough for what all share.
spread_samples <- function(n_samples) {
  unique(round(seq(1, n_samples, length.out = min(16, n_samples))))
}
