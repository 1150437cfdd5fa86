#' Read counts from files
#'
#' Reads bulk samples or single cells as programs write them. What a file is, is told by
#' its content; the genes go to rows, samples or cells to columns.
#'
#' | what | for instance |
#' |---|---|
#' | table with tabs, commas, semicolons or spaces | `counts.tsv.gz`, GEO's series matrix |
#' | featureCounts | `counts.txt` |
#' | STAR, HTSeq | `ReadsPerGene.out.tab` |
#' | RSEM | `sample.genes.results` |
#' | Salmon, kallisto (package tximport) | `quant.sf`, `abundance.h5`, folders with these |
#' | GCT 1.2 and 1.3 | `expression.gct.gz` |
#' | folder with a sparse matrix | `matrix.mtx.gz`, `features.tsv.gz`, `barcodes.tsv.gz` |
#' | Cell Ranger's HDF5 (package rhdf5) | `filtered_feature_bc_matrix.h5` |
#' | AnnData (package rhdf5) | `cells.h5ad` |
#' | R | `.rds` with a matrix, data frame, SummarizedExperiment, Seurat object or DGEList |
#'
#' Lines before the header that begin with `#` or `!` are passed over. In a table the
#' genes are the column of text that is named like genes, else the first; a column of
#' symbols beside one of identifiers is kept. Columns such as `chr`, `length` or
#' `description` are no samples. A table of cells beside a sparse matrix
#' (`cells.tsv`, `metadata.csv`), and `obs` of AnnData, become `metadata`.
#'
#' Of AnnData the first of `layers/counts`, `layers/raw_counts`, `layers/raw`, `raw/X` and
#' `X` that holds whole numbers is read.
#'
#' @param path A file or folder; several of one kind, with the same genes, are put side by
#'   side.
#' @param genes Names for the rows where a file has both: `"symbol"` or `"id"`. Or the names
#'   of other data, `rownames(bulk)` for instance: the one that has more of them is taken.
#' @param samples_in `"rows"` for a table that has samples in rows and genes in columns.
#' @param gene_column Name of a table's column with the genes, where it is not found.
#' @param layer For AnnData: the layer to read (`"X"`, `"raw/X"`, or the name of one).
#' @param tx2gene For Salmon and kallisto: a data frame of transcripts and their genes. Not
#'   needed with an index made from GENCODE's file, whose names hold both.
#' @param metadata A data frame with a row per sample or cell, or the file of one (with a
#'   header), as labels of cells often come: matched by whichever column, or row names, has
#'   the names of samples or cells. It takes the place of what the file itself holds.
#' @param verbose Report what was read?
#' @return An object of class `count_table`, which [build_signatures()] and
#'   [deconvolve_bulk()] take as it is; a list:
#'   \item{counts}{Genes × samples (matrix), or genes × cells (`dgCMatrix`).}
#'   \item{genes}{A data frame with a row per row of `counts`: `id`, and `symbol` where
#'     there is one.}
#'   \item{metadata}{A data frame with a row per column of `counts`, or `NULL`.}
#'   \item{gene_lengths}{Base pairs, named by gene, from featureCounts, RSEM, Salmon or
#'     kallisto; else `NULL`. For `gene_lengths` of [deconvolve_bulk()].}
#'   \item{format, paths, notes, named_by}{What was read, and what was decided.}
#' @section Errors and warnings: `unalloy_error_file` for a file that is not there, is cut
#'   off, contradicts itself or is of another kind; `unalloy_error_not_counts`,
#'   `unalloy_error_package`, `unalloy_error_no_common_genes`,
#'   `unalloy_error_argument`. `unalloy_warning_gene_names` for genes that a spreadsheet
#'   turned into dates.
#' @references Soneson C, Love MI, Robinson MD (2015). Differential analyses for RNA-seq:
#'   transcript-level estimates improve gene-level inferences. *F1000Research* 4:1521.
#' @seealso [convert_genes()] for genes under other names, [build_signatures()],
#'   [deconvolve_bulk()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 4, seed = 1)
#' file <- tempfile(fileext = ".tsv.gz")
#' table <- data.frame(gene = rownames(sim$bulk_counts), sim$bulk_counts)
#' write.table(table, gzfile(file), sep = "\t", quote = FALSE, row.names = FALSE)
#' bulk <- read_counts(file)
#' bulk
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, bulk, sim$gene_lengths, verbose = FALSE)
read_counts <- function(path, genes = c("symbol", "id"), samples_in = c("columns", "rows"),
                        gene_column = NULL, layer = NULL, tx2gene = NULL, metadata = NULL,
                        verbose = TRUE) {
  check_call()
  here <- environment()
  samples_in <- check_choice(samples_in, c("columns", "rows"), "samples_in")
  verbose <- check_flag(verbose, "verbose")
  if (identical(genes, c("symbol", "id"))) genes <- "symbol"
  if (!is.character(genes) || !length(genes) ||
        (length(genes) == 1L && !genes %in% c("symbol", "id"))) {
    stop_user("argument", "`genes` must be \"symbol\", \"id\", or names of genes.",
              x = paste0("It is ", describe(genes), "."))
  }
  if (!is.character(path) || !length(path) || anyNA(path)) {
    stop_user("argument", "`path` must name files or folders.",
              x = paste0("It is ", describe(path), "."))
  }
  for (one in path) check_path(one, .call = here)
  kinds <- vapply(path, file_kind, "", .call = here, USE.NAMES = FALSE)
  if (length(unique(kinds)) > 1L) {
    stop_user("file", "Files that are read together must be of one kind.",
              x = paste0(file_text(path[1L]), " is ", FORMATS[[kinds[1L]]], ", ",
                         file_text(path[which(kinds != kinds[1L])[1L]]), " is ",
                         FORMATS[[kinds[kinds != kinds[1L]][1L]]], "."),
              i = "Read them one by one.")
  }
  found <- read_kind(kinds[1L], path, gene_column, layer, tx2gene, here)
  found <- oriented(found, path[1L], samples_in, here)
  check_read(found, path[1L], here)
  if (!is.null(metadata)) found <- with_metadata(found, metadata, here)
  chosen <- chosen_gene_names(found$genes, genes)
  warn_dates(chosen$names, .call = here)
  out <- new_count_table(found, chosen$names, chosen$column, FORMATS[[kinds[1L]]], path)
  inform_user(verbose, paste0("Read ", plural(nrow(out$counts), "gene"), " x ",
                              count_text(ncol(out$counts)), " from ", out$format, "."),
              stats::setNames(out$notes, rep("i", length(out$notes))))
  out
}
