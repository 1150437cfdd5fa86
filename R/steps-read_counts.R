# The steps of read_counts(): what a file is, and whether what came out of it can be
# counts of genes.

FORMATS <- c(
  table = "a table", feature_counts = "featureCounts", gct = "a GCT file",
  rsem = "RSEM", salmon_genes = "Salmon (genes)", salmon = "Salmon", kallisto = "kallisto",
  folder = "a folder with a sparse matrix", mtx = "a sparse matrix", tenx = "Cell Ranger (HDF5)",
  anndata = "AnnData", rds = "an R object"
)

check_path <- function(path, .call) {
  if (file.exists(path)) return(invisible())
  folder <- dirname(path)
  near <- if (dir.exists(folder)) nearest_name(basename(path), list.files(folder))
  there <- list.files(folder)
  stop_user("file", paste0("There is no file or folder \"", path, "\"."),
            x = if (!dir.exists(folder)) paste0("Nor is there a folder \"", folder, "\".")
                else if (!length(there)) "The folder is empty."
                else paste0("The folder has ", some_of(there, 6L), "."),
            i = if (length(near)) paste0("Did you mean \"", near, "\"?"), .call = .call)
}

# Files that hold something else, by their names, and what to do.
REFUSED_FILES <- c(
  "\\.xlsx?$" = "Save the sheet as text, separated by tabs: spreadsheets also change gene names.",
  "\\.(bam|sam|cram|fastq|fq)$" = "These are reads: count them, with Salmon or featureCounts.",
  "\\.(rda|rdata)$" = "Say `load()`, then use the object itself, or save it with `saveRDS()`.",
  "\\.loom$" = "Write it as .h5ad (`scanpy.read_loom()`, then `.write()`).",
  "\\.(zip|tar|tgz|tar\\.gz|7z|rar)$" = "Unpack the archive, and give the file or folder in it."
)

# A name of FORMATS.
file_kind <- function(path, .call) {
  if (dir.exists(path)) return(folder_kind(path, .call))
  plain <- tolower(sub("\\.(gz|bz2|xz)$", "", path))
  for (pattern in names(REFUSED_FILES)) {
    if (grepl(pattern, tolower(path)) || grepl(pattern, plain)) {
      stop_file(path, "is of a kind that is not read.", i = REFUSED_FILES[[pattern]],
                .call = .call)
    }
  }
  start <- readBin(path, "raw", 8L)
  if (!length(start)) stop_file(path, "is empty.", i = "Fetch or write it again.", .call = .call)
  if (identical(start[1:4], as.raw(c(0x89, 0x48, 0x44, 0x46)))) return(hdf5_kind(path, .call))
  if (grepl("\\.(h5|hdf5|h5ad)$", plain)) {
    stop_file(path, "is no HDF5 file.",
              i = if (identical(start[1:2], as.raw(c(0x1f, 0x8b)))) "Unpack it with gunzip first."
                  else "It may have been cut off: fetch or write it again.", .call = .call)
  }
  if (grepl("\\.rds$", plain)) return("rds")
  if (identical(start[1:2], charToRaw("PK"))) {
    stop_file(path, "is of a kind that is not read.",
              i = "It is a zip archive or a spreadsheet: unpack it, or save it as text.",
              .call = .call)
  }
  if (any(identical(start[1:2], as.raw(c(0xff, 0xfe))), identical(start[1:2],
                                                                as.raw(c(0xfe, 0xff))))) {
    stop_file(path, "is text in UTF-16.", i = "Save it as UTF-8 text.", .call = .call)
  }
  text_kind(file_lines(path, 5L, .call = .call))
}

text_kind <- function(lines) {
  first <- strsplit(lines[1L], "[\t ,]+")[[1L]]
  content <- lines[!startsWith(lines, "#")]
  header <- strsplit(content[1L], "\t", fixed = TRUE)[[1L]]
  has <- function(columns, among = first) all(columns %in% among)
  salmon <- if (any(grepl("^ENS[A-Z]*G[0-9]", lines))) "salmon_genes" else "salmon"
  feature_counts <- c("Geneid", "Chr", "Start", "End", "Strand", "Length")
  if (grepl("^#1\\.[23]\\s*,*$", trimws(lines[1L]))) "gct"
  else if (startsWith(lines[1L], "%%MatrixMarket")) "mtx"
  else if (identical(header[1:6], feature_counts)) "feature_counts"
  else if (has(c("gene_id", "expected_count", "effective_length"), header)) "rsem"
  else if (has(c("Name", "EffectiveLength", "NumReads"))) salmon
  else if (has(c("target_id", "eff_length", "est_counts"))) "kallisto"
  else "table"
}

hdf5_kind <- function(path, .call) {
  file <- open_hdf5(path, .call = .call)
  if (all(c("obs", "var") %in% file$parts)) "anndata"
  else if (has_part(file, "aux/ids") && has_part(file, "est_counts")) "kallisto"
  else "tenx"
}

folder_kind <- function(path, .call) {
  files <- list.files(path)
  if (any(grepl("(matrix|counts)\\.mtx(\\.gz)?$", files))) return("folder")
  quantified <- basename(as.character(quantifier_files(path)))
  if (length(quantified)) return(if (any(grepl("^quant", quantified))) "salmon" else "kallisto")
  inside <- list.files(path, "(matrix|counts)\\.mtx(\\.gz)?$", recursive = TRUE)
  stop_file(path, "has no counts that are known.",
            x = if (length(files)) paste0("It has ", some_of(files, 6L), ".") else "It is empty.",
            i = if (length(inside)) paste0("There is one deeper: \"",
                                           file.path(basename(path), dirname(inside[1L])), "\".")
                else "Give a folder with matrix.mtx, quant.sf or abundance.h5, or name a file.",
            .call = .call)
}

read_kind <- function(kind, path, gene_column, layer, tx2gene, .call) {
  if (kind %in% c("salmon", "kallisto")) {
    files <- unlist(lapply(path, quantifier_files))
    return(read_quantification(files, kind, tx2gene, .call = .call))
  }
  only <- c(gene_column = "table", layer = "anndata", tx2gene = "transcripts")
  given <- c(gene_column = !is.null(gene_column), layer = !is.null(layer),
             tx2gene = !is.null(tx2gene))
  stray <- names(only)[given & only != kind]
  if (length(stray)) {
    stop_user("argument", paste0("`", stray[1L], "` does not apply to ", FORMATS[[kind]], "."),
              i = "Leave it out.", .call = .call)
  }
  read_one <- switch(
    kind,
    table = function(x) read_table_counts(x, gene_column, .call = .call),
    feature_counts = function(x) read_feature_counts(x, .call = .call),
    gct = function(x) read_gct(x, .call = .call),
    rsem = function(x) read_gene_quantification(x, "expected_count", "effective_length", .call),
    salmon_genes = function(x) read_gene_quantification(x, "NumReads", "EffectiveLength", .call),
    folder = function(x) read_mtx_folder(x, .call = .call),
    mtx = function(x) read_mtx(x, .call = .call),
    tenx = function(x) read_tenx_hdf5(x, .call = .call),
    anndata = function(x) read_anndata(x, layer, .call = .call),
    rds = function(x) read_object(x, .call = .call)
  )
  bind_reads(lapply(path, read_one), path, .call = .call)
}

# Objects of R, with their column data.
read_object <- function(path, .call) {
  object <- tryCatch(readRDS(path), error = function(e) {
    stop_file(path, "can't be read as an R object.", x = conditionMessage(e),
              i = "Write it with `saveRDS()`.", .call = .call)
  })
  if (inherits(object, "DGEList")) {
    lengths <- object$genes$Length %||% object$genes$length
    return(new_read(unname_rows(object$counts), data.frame(id = rownames(object$counts)),
                    object$samples, lengths))
  }
  if (is.data.frame(object)) object <- from_data_frame(object, .call = .call)
  held <- tryCatch(as_cells(object, NULL, .call = .call), unalloy_error_argument = function(e) {
    stop_file(path, "holds no counts.", x = paste0("It is ", describe(object), "."),
              i = "Save a matrix, data frame, SummarizedExperiment, Seurat object or DGEList.",
              .call = .call)
  })
  counts <- held$counts
  if (methods::is(counts, "DelayedMatrix")) {
    counts <- as_csc(methods::as(counts, "dgCMatrix"))
  }
  if (is.null(rownames(counts))) {
    stop_file(path, "has counts without names of genes.", x = paste0("It is ", describe(object),
                                                                     "."),
              i = "Give the matrix gene names as row names, and save it again.", .call = .call)
  }
  new_read(unname_rows(counts), data.frame(id = rownames(counts)), held$metadata)
}

unname_rows <- function(x) {
  rownames(x) <- NULL
  x
}

# Genes to rows.  A table whose columns are named like genes, and whose rows are not, has
# samples in rows.
oriented <- function(found, path, samples_in, .call) {
  ids <- as.character(found$genes$id)
  if (samples_in == "rows") {
    names <- colnames(found$counts)
    counts <- t(found$counts)
    colnames(counts) <- ids
    return(new_read(unname_rows(counts), data.frame(id = names), notes = found$notes))
  }
  if (like_genes(colnames(found$counts)) && !like_genes(ids)) {
    stop_file(path, "has genes in its columns.",
              x = paste0("Columns: ", some_of(colnames(found$counts)), "; rows: ", some_of(ids),
                         "."),
              i = "Read it with `samples_in = \"rows\"`.", .call = .call)
  }
  found
}

# Names that only genes have: identifiers of Ensembl, or several of the symbols of
# protocol genes, which every transcriptome holds.
like_genes <- function(names) {
  if (length(names) < 3L) return(FALSE)
  mean(grepl("^ENS[A-Z]*[GT][0-9]{6,}", names)) > 0.5 ||
    sum(!is.na(class_of_symbol(names))) >= max(3, 0.002 * length(names))
}

check_read <- function(found, path, .call) {
  counts <- found$counts
  if (!nrow(counts) || !ncol(counts)) {
    stop_file(path, "has no counts.", x = paste0("It is ", nrow(counts), " genes x ",
                                                 ncol(counts), " columns."),
              i = "Fetch or write it again.", .call = .call)
  }
  names <- colnames(counts)
  if (anyDuplicated(names) || any(is.na(names) | names == "")) {
    twice <- unique(names[duplicated(names)])
    stop_file(path, "has columns without names of their own.",
              x = if (length(twice)) paste0("More than once: ", some_of(twice), ".")
                  else "Some have no name.",
              i = "Name every sample or cell once.", .call = .call)
  }
  nameless <- which(is.na(found$genes$id) | found$genes$id == "")
  if (length(nameless)) {
    stop_file(path, "has rows without a gene name.",
              x = paste0("Row ", nameless[1L], if (length(nameless) > 1L) {
                paste0(" and ", length(nameless) - 1L, " more")
              }, "."),
              i = "Name these rows, or leave them out.", .call = .call)
  }
}

# The rows of a table, given or in a file, that belong to the columns of the counts.
with_metadata <- function(found, metadata, .call) {
  if (is.character(metadata) && length(metadata) == 1L) {
    check_path(metadata, .call = .call)
    metadata <- read_cell_table(metadata, .call)
  }
  if (!is.data.frame(metadata)) {
    stop_user("argument", "`metadata` must be a data frame or the file of a table.",
              x = paste0("It is ", describe(metadata), "."), .call = .call)
  }
  names <- colnames(found$counts)
  rows <- lapply(c(list(rownames(metadata)), metadata), function(x) match(names, as.character(x)))
  hits <- vapply(rows, function(row) sum(!is.na(row)), 0L)
  if (max(hits) == 0L) {
    stop_user("argument", "`metadata` has no column with the names of samples or cells.",
              x = paste0("Names are ", some_of(names), "; columns are ",
                         some_of(names(metadata), 6L), "."),
              i = "Put the names into one of its columns.", .call = .call)
  }
  found$metadata <- metadata[rows[[which.max(hits)]], , drop = FALSE]
  rownames(found$metadata) <- names
  without <- length(names) - max(hits)
  if (without) {
    found$notes <- c(found$notes, paste0(plural(without, "column"), if (without == 1L) " has"
                                         else " have", " no row in `metadata`: NA there."))
  }
  found
}

# Spreadsheets make dates of MARCH1, SEPT2 and DEC1.
warn_dates <- function(names, .call) {
  months <- "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
  dates <- grepl(paste0("^([0-9]{1,2}-", months, "|", months, "-[0-9]{1,2}|",
                        "[0-9]{4}-[0-9]{2}-[0-9]{2}( .*)?|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4})$"),
                 names, ignore.case = TRUE)
  if (!any(dates)) return(invisible())
  warn_user("gene_names", paste0(plural(sum(dates), "gene"), " are named by dates."),
            x = paste0(some_of(names[dates]), ": a spreadsheet made them of MARCH1, SEPT2 and ",
                       "others."),
            i = "Take the file from before the spreadsheet; these genes match nothing.",
            .call = .call)
}
