# Files of counts on their way in: what all readers share.  A reader returns
#   counts    matrix or dgCMatrix without names of rows
#   genes     data frame with a row per row of counts: `id`, and `symbol` or others
#   metadata  data frame with a row per column of counts, or NULL
#   lengths   base pairs per row, or NULL
#   notes     what was decided on the way, as sentences

new_read <- function(counts, genes, metadata = NULL, lengths = NULL, notes = character()) {
  list(counts = counts, genes = genes, metadata = metadata, lengths = lengths, notes = notes)
}

stop_file <- function(path, problem, ..., .call = caller_env()) {
  stop_user("file", paste0(file_text(path), " ", problem), ..., .call = .call)
}

# The file with the folder it is in, as it is told.
file_text <- function(path) paste0("\"", file.path(basename(dirname(path)), basename(path)), "\"")

# All lines of a text file, compressed or not; a file that ends too early is refused.
file_lines <- function(path, n = -1L, .call = caller_env()) {
  broken <- function(condition) {
    stop_file(path, "can't be read to its end.", x = conditionMessage(condition),
              i = "It may have been cut off on the way: fetch or write it again.", .call = .call)
  }
  con <- gzfile(path, "rt", encoding = "UTF-8")
  on.exit(close(con))
  lines <- tryCatch(readLines(con, n = n, warn = FALSE), error = broken, warning = broken)
  if (length(lines)) lines[1L] <- sub("^\ufeff", "", lines[1L])
  if (n < 0L && tells_more(path, lines)) {
    stop_file(path, "can't be read to its end.", x = "Its compressed text breaks off.",
              i = "It may have been cut off on the way: fetch or write it again.", .call = .call)
  }
  if (!length(lines) || all(!nzchar(lines))) {
    stop_file(path, "is empty.", i = "Fetch or write it again.", .call = .call)
  }
  lines
}

# R reads what there is of a gzip file that was cut off, without a word.  A whole one
# tells its size (modulo 2^32) in its last four bytes; of several parts, as bgzip writes
# them, that of the last.
tells_more <- function(path, lines) {
  size <- file.size(path)
  con <- file(path, "rb")
  on.exit(close(con))
  if (size < 18 || !identical(readBin(con, "raw", 2L), as.raw(c(0x1f, 0x8b)))) return(FALSE)
  seek(con, size - 4)
  told <- sum(as.integer(readBin(con, "raw", 4L)) * 256^(0:3))
  # lines may end with two bytes
  told > sum(nchar(lines, "bytes")) + 2 * length(lines) + 3
}

# Names of genes from the table of them: those of symbols, of identifiers, or
# whichever has more in common with other names.
chosen_gene_names <- function(table, genes, .call = caller_env()) {
  id <- as.character(table$id)
  if (is.null(table$symbol)) return(list(names = id, column = "id"))
  symbol <- as.character(table$symbol)
  symbol <- ifelse(is.na(symbol) | symbol == "", id, symbol)
  candidates <- list(symbol = symbol, id = id)
  column <- genes
  if (length(genes) > 1L) {
    wanted <- strip_ensembl_version(genes)
    hits <- vapply(candidates, function(x) sum(unique(strip_ensembl_version(x)) %in% wanted), 0L)
    if (max(hits) == 0L) {
      stop_user("no_common_genes", "No gene of the file is among `genes`.",
                x = paste0("File: ", some_of(symbol), "; `genes`: ", some_of(genes), "."),
                i = "Translate one side with `convert_genes()`.", .call = .call)
    }
    column <- names(which.max(hits))
  }
  list(names = candidates[[column]], column = column)
}

# Several files of the same genes side by side.
bind_reads <- function(reads, paths, .call = caller_env()) {
  if (length(reads) == 1L) return(reads[[1L]])
  first <- reads[[1L]]
  key <- make.unique(as.character(first$genes$id))
  for (k in seq_along(reads)[-1L]) {
    own <- make.unique(as.character(reads[[k]]$genes$id))
    if (!setequal(key, own)) {
      odd <- c(setdiff(key, own), setdiff(own, key))
      stop_file(paths[k], paste0("has other genes than ", file_text(paths[1L]), "."),
                x = paste0(plural(length(odd), "gene"), " in one of them only: ", some_of(odd),
                           "."),
                i = "Read files of one annotation together, others one by one.", .call = .call)
    }
    place <- match(key, own)
    reads[[k]]$counts <- reads[[k]]$counts[place, , drop = FALSE]
    if (!is.null(reads[[k]]$lengths)) reads[[k]]$lengths <- reads[[k]]$lengths[place]
  }
  lengths <- lapply(reads, `[[`, "lengths")
  first$lengths <- if (!any(vapply(lengths, is.null, NA))) rowMeans(do.call(cbind, lengths))
  tables <- lapply(reads, `[[`, "metadata")
  shared <- Reduce(intersect, lapply(tables, names))
  metadata <- if (length(shared)) do.call(rbind, lapply(tables, `[`, shared))
  first$counts <- do.call(cbind, unique_columns(lapply(reads, `[[`, "counts"), paths))
  if (!is.null(metadata)) rownames(metadata) <- colnames(first$counts)
  first$metadata <- metadata
  first$notes <- unique(unlist(lapply(reads, `[[`, "notes")))
  first
}

# Barcodes that files share get the name of their folder or file.
unique_columns <- function(matrices, paths) {
  if (!anyDuplicated(unlist(lapply(matrices, colnames)))) return(matrices)
  labels <- make.unique(sample_of_file(paths))
  Map(function(x, label) {
    colnames(x) <- paste0(label, "_", colnames(x))
    x
  }, matrices, labels)
}

# The sample that a file is named by: its own name, or where that is one of a
# program the name of its folder.
sample_of_file <- function(paths) {
  programs <- paste0("^(quant(\\.genes)?\\.sf|abundance\\.(tsv|h5)|ReadsPerGene\\.out\\.tab|",
                     "matrix\\.mtx|(filtered|raw)_feature_bc_matrix(\\.h5)?|outs|",
                     "(genes|isoforms)\\.results)$")
  vapply(paths, function(path) {
    name <- sub("\\.(gz|bz2|xz)$", "", basename(path))
    while (grepl(programs, name) && dirname(path) != path) {
      path <- dirname(normalizePath(path))
      name <- basename(path)
    }
    endings <- paste0("(\\.?ReadsPerGene\\.out\\.tab|\\.(genes|isoforms)\\.results|",
                      "\\.(tsv|csv|txt|tab|counts?|sf|gct|h5ad|h5|rds))+$")
    sub(endings, "", name, ignore.case = TRUE)
  }, "", USE.NAMES = FALSE)
}
