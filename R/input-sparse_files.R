# Folders with a sparse matrix: what Cell Ranger, STARsolo, kb-python and others write,
# and what GEO makes of it (one prefix before all names).

read_mtx_folder <- function(path, .call = caller_env()) {
  files <- list.files(path)
  found <- grep("(^|.*[._-])(matrix|counts)\\.mtx(\\.gz)?$", files, value = TRUE)
  if (length(found) != 1L) {
    stop_file(path, if (length(found)) "has several matrices." else "has no sparse matrix.",
              x = if (length(found)) paste0("There are ", some_of(found), ".")
                  else paste0("There are: ", some_of(files, 6L), "."),
              i = if (length(found)) "Give one of these files."
                  else "Expected matrix.mtx or matrix.mtx.gz.", .call = .call)
  }
  read_mtx(file.path(path, found), .call = .call)
}

# A file of coordinates with the tables of genes and cells beside it.
read_mtx <- function(path, .call = caller_env()) {
  folder <- dirname(path)
  prefix <- sub("(matrix|counts)\\.mtx(\\.gz)?$", "", basename(path))
  if (prefix == basename(path)) prefix <- sub("mtx(\\.gz)?$", "", prefix)
  beside <- function(names, what) {
    candidates <- as.vector(outer(paste0(prefix, names), c("", ".gz"), paste0))
    found <- candidates[file.exists(file.path(folder, candidates))]
    if (length(found)) return(file.path(folder, found[1L]))
    if (is.null(what)) return(NULL)
    stop_file(path, paste0("has no table of ", what, " beside it."),
              x = paste0("The folder has ", some_of(list.files(folder), 8L), "."),
              i = paste0("Expected \"", candidates[1L], "\" or \"", candidates[2L], "\"."),
              .call = .call)
  }
  counts <- read_coordinates(path, .call)
  gene_file <- beside(c("features.tsv", "genes.tsv"), "genes")
  barcode_file <- beside("barcodes.tsv", NULL)
  cell_file <- beside(c("cells.tsv", "metadata.tsv", "metadata.csv", "cells.csv"), NULL)
  if (is.null(barcode_file) && is.null(cell_file)) barcode_file <- beside("barcodes.tsv", "cells")
  barcodes <- if (!is.null(barcode_file)) sub("\t.*", "", file_lines(barcode_file, .call = .call))
  cells <- if (!is.null(cell_file)) read_cell_table(cell_file, .call)
  genes <- read_gene_lines(gene_file, .call)
  n_cells <- length(barcodes) %||% 0L
  if (is.null(barcodes)) n_cells <- nrow(cells)
  notes <- character()
  # some programs write cells x genes
  if (n_cells != ncol(counts) && n_cells == nrow(counts) &&
        nrow(genes) %in% (ncol(counts) + 0:1)) {
    counts <- methods::as(Matrix::t(counts), "CsparseMatrix")
    notes <- "The matrix was cells x genes and has been turned."
  }
  # a header, as a row more
  if (nrow(genes) == nrow(counts) + 1L) genes <- genes[-1L, , drop = FALSE]
  if (nrow(genes) != nrow(counts)) {
    stop_file(gene_file, "does not fit its matrix.",
              x = paste0("It has ", plural(nrow(genes), "gene"), ", the matrix has ",
                         plural(nrow(counts), "row"), "."),
              i = "Both must come from one run.", .call = .call)
  }
  if (n_cells != ncol(counts)) {
    stop_file(barcode_file %||% cell_file, "does not fit its matrix.",
              x = paste0("It has ", plural(n_cells, "cell"), ", the matrix has ",
                         plural(ncol(counts), "column"), "."),
              i = "Both must come from one run.", .call = .call)
  }
  if (!is.null(cells) && !is.null(barcodes)) {
    cells <- rows_of_cells(cells, barcodes, cell_file, .call)
  }
  # cells are named by the first column of their table that can be a name
  names <- Filter(function(x) is.character(x) && !anyDuplicated(x), cells)
  colnames(counts) <- barcodes %||% (if (length(names)) names[[1L]]) %||%
    paste0("Cell", seq_len(ncol(counts)))
  kept <- expression_rows(genes)
  if (!all(kept)) {
    notes <- c(notes, paste0("Left out: ", plural(sum(!kept), "feature"), " of type ",
                             some_of(unique(genes$type[!kept])), "."))
  }
  if (!is.null(cells)) rownames(cells) <- colnames(counts)
  new_read(counts[kept, , drop = FALSE], genes[kept, setdiff(names(genes), "type"), drop = FALSE],
           cells, notes = notes)
}

# Antibodies and guides are counted beside genes.
expression_rows <- function(genes) {
  is_gene <- genes$type %in% "Gene Expression"
  if (any(is_gene)) is_gene else rep(TRUE, nrow(genes))
}

read_coordinates <- function(path, .call) {
  head <- file_lines(path, 1L, .call = .call)
  if (!startsWith(head, "%%MatrixMarket")) {
    stop_file(path, "is no matrix in Matrix Market format.",
              x = paste0("It begins: \"", substr(head, 1L, 40L), "\"."),
              i = "Its first line must be \"%%MatrixMarket matrix coordinate ...\".", .call = .call)
  }
  broken <- function(condition) {
    stop_file(path, "can't be read as a sparse matrix.", x = conditionMessage(condition),
              i = "It may have been cut off: fetch or write it again.", .call = .call)
  }
  con <- gzfile(path)
  matrix <- tryCatch(Matrix::readMM(con), error = broken, warning = broken)
  as_csc(matrix)
}

# Identifier, symbol and type, without or with a header.
read_gene_lines <- function(path, .call) {
  lines <- file_lines(path, .call = .call)
  separator <- if (any(grepl("\t", lines, fixed = TRUE))) "\t" else ","
  fields <- strsplit(gsub("\"", "", lines, fixed = TRUE), separator, fixed = TRUE)
  pick <- function(k) vapply(fields, function(x) if (length(x) >= k) x[k] else "", "")
  out <- data.frame(id = pick(1L))
  second <- pick(2L)
  if (!all(second == "")) out$symbol <- second
  third <- pick(3L)
  if (any(third == "Gene Expression")) out$type <- third
  # with the symbol first
  if (!is.null(out$symbol) && mean(grepl("^ENS[A-Z]*G[0-9]", out$symbol)) > 0.5 &&
        mean(grepl("^ENS[A-Z]*G[0-9]", out$id)) < 0.5) {
    out[c("id", "symbol")] <- out[c("symbol", "id")]
  }
  out
}

read_cell_table <- function(path, .call) {
  table <- read_text_table(path, .call = .call)
  out <- as.data.frame(table$cells)
  names(out) <- make.unique(table$header %||% paste0("V", seq_along(out)))
  blank <- !nzchar(names(out))
  names(out)[blank] <- "cell"
  utils::type.convert(out, as.is = TRUE, na.strings = c("NA", ""))
}

# The rows of a table of cells in the order of the barcodes.
rows_of_cells <- function(cells, barcodes, path, .call) {
  rows <- lapply(cells, function(column) match(barcodes, column))
  complete <- vapply(rows, function(row) !anyNA(row), NA)
  if (any(complete)) return(cells[rows[[which(complete)[1L]]], , drop = FALSE])
  stop_file(path, "has no column with all of the barcodes.",
            x = paste0("Barcodes are ", some_of(barcodes), "."),
            i = "Name the cells in one of its columns as the barcodes do.", .call = .call)
}
