# Readers of the tables that people have; used by tools/demo.R.  Every refusal
# names the file, what is there and what to do.

fail <- function(...) {
  message("\nCan't run the demo: ", ...)
  quit(status = 1L)
}

some <- function(x, n = 8L) {
  shown <- paste(utils::head(x, n), collapse = ", ")
  if (length(x) > n) paste0(shown, ", ... (", length(x), " in all)") else shown
}

check_file <- function(path, name) {
  if (dir.exists(path)) fail(name, "=", path, " is a folder; give a file.")
  if (!file.exists(path)) {
    folder <- dirname(path)
    there <- if (dir.exists(folder)) paste0(folder, " has: ", some(list.files(folder)), ".")
             else paste0("There is no folder ", folder, " either.")
    fail(name, "=", path, " does not exist.\n", there)
  }
  path
}

# gzfile() also reads files that are not compressed.
read_delimited <- function(path, header = TRUE) {
  con <- gzfile(path)
  first <- readLines(con, n = 1L, warn = FALSE)
  close(con)
  if (!length(first)) fail(path, " is empty.")
  present <- vapply(c("\t", ",", ";", " "), grepl, NA, x = first, fixed = TRUE)
  separator <- if (any(present)) names(which(present))[1L] else "\t"
  tryCatch(
    utils::read.table(gzfile(path), sep = separator, header = header, check.names = FALSE,
                      quote = "\"", comment.char = "", stringsAsFactors = FALSE,
                      na.strings = c("NA", "")),
    error = function(e) fail(path, " can't be read as a table: ", conditionMessage(e))
  )
}

read_bulk <- function(path) {
  table <- read_delimited(check_file(path, "BULK"))
  # A header with one name less than there are columns makes row names.
  named <- is.character(attr(table, "row.names"))
  genes <- if (named) rownames(table) else as.character(table[[1L]])
  values <- if (named) table else table[-1L]
  if (!ncol(values)) fail(path, " has one column; it needs gene names, then a column per sample.")
  text <- names(values)[!vapply(values, is.numeric, NA)]
  if (length(text)) {
    fail(path, " has columns that are not numbers: ", some(text), ".\n",
         "Keep gene names in the first column and counts in all others.")
  }
  matrix <- as.matrix(values)
  rownames(matrix) <- genes
  matrix
}

read_lengths <- function(path) {
  table <- read_delimited(check_file(path, "LENGTHS"))
  if (!"length" %in% names(table)) {
    fail(path, " needs a column `length`; it has: ", some(names(table)), ".")
  }
  table
}

find_in <- function(folder, names, what) {
  candidates <- as.vector(outer(names, c("", ".gz"), paste0))
  found <- candidates[file.exists(file.path(folder, candidates))]
  if (!length(found)) {
    fail("CELLS=", folder, " has no ", what, ".\nExpected one of: ",
         paste(candidates, collapse = ", "), ".\nThere are: ", some(list.files(folder)), ".")
  }
  file.path(folder, found[1L])
}

# A list of `counts` (genes x cells) and `metadata` (a row per cell).
read_cells <- function(folder, bulk_genes) {
  if (!dir.exists(folder)) {
    fail("CELLS=", folder, " is not a folder.\nGive the folder that holds matrix.mtx, ",
         "genes.tsv (or features.tsv) and cells.tsv.")
  }
  matrix_file <- find_in(folder, c("matrix.mtx", "counts.mtx"), "matrix of counts")
  gene_file <- find_in(folder, c("genes.tsv", "features.tsv"), "table of genes")
  cell_file <- find_in(folder, c("cells.tsv", "metadata.tsv", "metadata.csv"),
                       "table of cells with a header and the labels")
  counts <- methods::as(Matrix::readMM(gzfile(matrix_file)), "CsparseMatrix")
  genes <- read_genes(gene_file, nrow(counts))
  metadata <- read_delimited(cell_file)
  barcodes <- file.path(folder, c("barcodes.tsv", "barcodes.tsv.gz"))
  barcodes <- barcodes[file.exists(barcodes)]
  if (length(barcodes)) {
    metadata <- match_cells(metadata, read_delimited(barcodes[1L], FALSE)[[1L]], cell_file)
  }
  if (nrow(metadata) != ncol(counts)) {
    fail(cell_file, " must have a row per cell: it has ", nrow(metadata), ", ", matrix_file,
         " has ", ncol(counts), " columns.")
  }
  # Symbols or identifiers, whichever the bulk has; versions of identifiers don't count.
  plain <- function(x) sub("^(ENS[A-Z]*[0-9]+)\\.[0-9]+$", "\\1", x)
  hits <- vapply(genes, function(names) sum(plain(names) %in% plain(bulk_genes)), 0L)
  if (max(hits) == 0L) {
    fail("No gene of ", gene_file, " is in BULK.\nThere: ", some(genes[[ncol(genes)]], 4L),
         "; in BULK: ", some(bulk_genes, 4L), ".")
  }
  rownames(counts) <- genes[[which.max(hits)]]
  list(counts = counts, metadata = metadata, file = cell_file)
}

# With a header ("symbol", "ensembl", ...) or, as 10x Genomics write it, without:
# then there is a row per gene.
read_genes <- function(path, n_genes) {
  genes <- read_delimited(path, header = FALSE)
  if (nrow(genes) == n_genes + 1L) genes <- genes[-1L, , drop = FALSE]
  if (nrow(genes) != n_genes) {
    fail(path, " must have a row per gene: it has ", nrow(genes), ", the matrix has ", n_genes,
         " rows.")
  }
  genes <- genes[seq_len(min(2L, ncol(genes)))]
  genes[] <- lapply(genes, as.character)
  genes
}

# The rows of a cell table in the order of the barcodes.
match_cells <- function(metadata, barcodes, path) {
  rows <- lapply(c(list(rownames(metadata)), metadata), function(column) match(barcodes, column))
  complete <- vapply(rows, function(row) !anyNA(row), NA)
  if (!any(complete)) {
    fail(path, " has no column with all of the barcodes, such as ", some(barcodes, 3L), ".")
  }
  metadata[rows[[which(complete)[1L]]], , drop = FALSE]
}

cell_column <- function(cells, name, what) {
  if (!name %in% names(cells$metadata)) {
    fail(what, "=", name, " is not a column of ", cells$file, ".\nIt has: ",
         some(names(cells$metadata), 20L), ".")
  }
  cells$metadata[[name]]
}
