# Each kind of file that is read, written small, and one of each that is broken.

values <- matrix(c(5, 0, 3, 12, 7, 1, 0, 9, 2, 4, 8, 6), 4,
                 dimnames = list(c("ACTB", "CD3E", "RPL13A", "LYZ"), c("S1", "S2", "S3")))
ids <- c("ENSG00000075624", "ENSG00000198851", "ENSG00000142541", "ENSG00000090382")

folder <- withr::local_tempdir(.local_envir = testthat::teardown_env())
at <- function(...) {
  path <- file.path(folder, "files", ...)
  dir.create(dirname(path), showWarnings = FALSE, recursive = TRUE)
  path
}
put <- function(lines, ...) {
  path <- at(...)
  con <- if (grepl("gz$", path)) gzfile(path, "w") else file(path, "w")
  on.exit(close(con))
  writeLines(lines, con)
  path
}
rows <- function(x, sep = "\t") apply(x, 1L, paste, collapse = sep)
read <- function(...) read_counts(..., verbose = FALSE)
told <- function(...) {
  expect_snapshot(error = TRUE, read(...),
                  transform = function(x) gsub(folder, "", x, fixed = TRUE))
}

test_that("tables are read whatever separates them, and whatever stands before", {
  body <- cbind(rownames(values), values)
  tabs <- put(c("# made today", "gene\tS1\tS2\tS3", rows(body)), "a.tsv.gz")
  expect_identical(read(tabs)$counts, values)
  expect_identical(read(put(c("S1 S2 S3", rows(body, " ")), "b.txt"))$counts, values)
  expect_identical(read(put(c("gene,S1,S2,S3", rows(body, ",")), "c.csv"))$counts, values)
  expect_identical(read(put(c("#gene\tS1\tS2\tS3", rows(body)), "d.tsv"))$counts, values)
  decimal <- sub(".", ",", format(values + 0.5), fixed = TRUE)
  semicolons <- put(c("gene;S1;S2;S3", rows(cbind(rownames(values), decimal), ";")), "e.csv")
  expect_identical(read(semicolons)$counts, values + 0.5)
  geo <- put(c("!Series_title\t\"x\"", "\"ID_REF\"\t\"S1\"\t\"S2\"\t\"S3\"",
               rows(body), "!series_matrix_table_end"), "f.txt")
  expect_identical(read(geo)$counts, values)
  entrez <- put(c("\t1\t2\t3", rows(cbind(c(60, 916, 23521, 4069), values))), "g.tsv")
  expect_identical(dimnames(read(entrez)$counts), list(c("60", "916", "23521", "4069"),
                                                       c("1", "2", "3")))
})

test_that("identifiers, symbols and annotation are told from samples", {
  wide <- cbind(ids, rownames(values), "1", c(900, 1200, 500, 700), "protein, coding", values)
  wide[, 5] <- paste0("\"", wide[, 5], "\"")
  file <- put(c("gene_id,gene_name,chr,length,biotype,S1,S2,S3", rows(wide, ",")), "wide.csv")
  found <- read(file)
  expect_identical(found$counts, values)
  expect_identical(found$genes, data.frame(id = ids, symbol = rownames(values)))
  expect_identical(found$gene_lengths, c(ACTB = 900, CD3E = 1200, RPL13A = 500, LYZ = 700))
  expect_identical(rownames(read(file, genes = "id")$counts), ids)
  expect_identical(rownames(read(file, genes = paste0(ids[2:3], ".7"))$counts), ids)
  expect_snapshot(print(found))
  told(file, genes = "Gene1")
  told(file, gene_column = "symbol")
})

test_that("a table that is broken is refused with its line", {
  body <- rows(cbind(rownames(values), values))
  told(put(c("gene\tS1\tS2\tS3", body[1:3], "LYZ\t3"), "cut.tsv"))
  told(put(c("gene\tS1\tS2\tS3", body[1:3], "LYZ\t3\tn.d.\t4"), "words.tsv"))
  told(put(c("gene\tS1\tS1\tS3", body), "twice.tsv"))
  told(put(body, "headless.tsv"))
  told(put(c("gene", rownames(values)), "one.tsv"))
  told(put("<!DOCTYPE html><html>", "page.tsv"))
  told(put(c("sample\tMT-CO1\tRPL13A\tRPS6", "S1\t1\t2\t3", "S2\t4\t5\t6"), "turned.tsv"))
  told(put(c("gene;S1;S2", "ACTB;1,234;2", "LYZ;4,123;5"), "commas.csv"))
  told(at("nothing", "here.tsv"))
  expect_refusal(read(put(character(), "empty.tsv")), "file")
  expect_refusal(read(put("x", "sheet.xlsx")), "file")
  expect_refusal(read(put("x", "reads.bam")), "file")
  turned <- at("turned.tsv")
  expect_identical(read(turned, samples_in = "rows")$counts,
                   matrix(as.double(1:6), 3, dimnames = list(c("MT-CO1", "RPL13A", "RPS6"),
                                                             c("S1", "S2"))))
  expect_warning(read(put(c("gene\tS1", "1-Mar\t3", "LYZ\t2"), "dates.tsv")),
                 class = "unalloy_warning_gene_names")
})

test_that("files that were cut off on the way are refused", {
  whole <- put(c("gene\tS1", paste0("G", 1:2000, "\t", 1:2000)), "whole.tsv.gz")
  bytes <- readBin(whole, "raw", file.size(whole))
  cut <- at("half.tsv.gz")
  writeBin(bytes[seq_len(length(bytes) %/% 2)], cut)
  expect_refusal(read(cut), "file")
})

test_that("featureCounts has lengths and names of BAM files", {
  body <- cbind(ids, "1;1", "3;9", "5;11", "+;+", c(900, 1200, 500, 700), values)
  header <- paste(c("Geneid", "Chr", "Start", "End", "Strand", "Length",
                    paste0("/data/", colnames(values), "Aligned.sortedByCoord.out.bam")),
                  collapse = "\t")
  found <- read(put(c("# Program:featureCounts v2.0.3", header, rows(body)), "fc.txt"))
  expect_identical(unname(found$counts), unname(values))
  expect_identical(colnames(found$counts), colnames(values))
  expect_identical(unname(found$gene_lengths), c(900, 1200, 500, 700))
  told(put(c("Status\tS1.bam", "Assigned\t5", "Unassigned_Unmapped\t3"), "fc.txt.summary"))
})

test_that("STAR, HTSeq and RSEM give a sample per file", {
  star <- function(k, strand) {
    counts <- cbind(values[, k], 0, 0)
    counts[, strand] <- values[, k]
    put(c("N_unmapped\t100\t120\t130", "N_noFeature\t1\t2\t3", rows(cbind(ids, counts))),
        paste0("S", k, "ReadsPerGene.out.tab"))
  }
  found <- read(c(star(1, 3), star(2, 3)))
  expect_identical(found$counts, `rownames<-`(values[, 1:2], ids))
  expect_match(found$notes, "second strand")
  htseq <- put(c(rows(cbind(ids, values[, 1])), "__no_feature\t7"), "S1.counts.txt")
  expect_identical(read(htseq)$counts[, "S1"], stats::setNames(values[, 1], ids))
  told(put(c(rows(cbind(ids, values[, 1])), "__no_feature\tx"), "S9.counts.txt"))
  rsem <- put(c("gene_id\ttranscript_id(s)\tlength\teffective_length\texpected_count\tTPM\tFPKM",
                rows(cbind(ids, "t", 900, 800, values[, 2], 1, 1))), "S2.genes.results")
  found <- read(rsem)
  expect_identical(found$counts, `rownames<-`(values[, 2, drop = FALSE], ids))
  expect_identical(unname(found$gene_lengths), rep(800, 4))
  told(put(c("gene_id\tlength\teffective_length\texpected_count",
             rows(cbind(ids, 900, 800, "-"))), "S3.genes.results"))
  told(c(at("S1.counts.txt"), rsem))
  fewer <- put(rows(cbind(ids[-1], values[-1, 1])), "S4.counts.txt")
  told(c(at("S1.counts.txt"), fewer))
})

test_that("Salmon and kallisto are summed to genes", {
  skip_if_not_installed("tximport")
  transcripts <- paste0("ENST0000000000", 1:5)
  genes <- ids[c(1, 1, 2, 3, 4)]
  reads <- c(2, 3, 0, 3, 12)
  put(c("Name\tLength\tEffectiveLength\tTPM\tNumReads",
        rows(cbind(transcripts, 500, 400, reads, reads))), "salmon", "P1", "quant.sf")
  put(c("Name\tLength\tEffectiveLength\tTPM\tNumReads",
        rows(cbind(transcripts, 500, 400, reads, 2 * reads))), "salmon", "P2", "quant.sf")
  found <- read(at("salmon"), tx2gene = data.frame(transcripts, genes))
  expect_identical(found$counts[ids, ],
                   matrix(c(5, 0, 3, 12, 10, 0, 6, 24), 4,
                          dimnames = list(ids, c("P1", "P2"))))
  expect_equal(unname(found$gene_lengths), rep(400, 4))
  told(at("salmon"))
  told(at("salmon"), tx2gene = data.frame(a = "tx1", b = "g"))
  named <- paste0(transcripts, "|", genes, "|-|-|t|", rownames(values)[c(1, 1, 2, 3, 4)], "|9|x|")
  kallisto <- put(c("target_id\tlength\teff_length\test_counts\ttpm",
                    rows(cbind(named, 500, 400, reads, reads))), "kallisto", "P3",
                  "abundance.tsv")
  found <- read(dirname(kallisto))
  expect_identical(found$counts[rownames(values), "P3"], values[, 1])
  told(put(c("target_id\tlength\teff_length\test_counts\ttpm", "ENST1\t5\t4"), "kallisto", "P4",
           "abundance.tsv"))
  broken <- put("Name\tLength\tTPM", "P5", "quant.sf")
  told(dirname(broken))
})

test_that("GCT has symbols and metadata", {
  body <- cbind(ids, rownames(values), values)
  old <- put(c("#1.2", "4\t3", "Name\tDescription\tS1\tS2\tS3", rows(body)), "old.gct")
  expect_identical(read(old)$counts, values)
  new <- put(c("#1.3", "4\t3\t1\t2", "id\tsymbol\tS1\tS2\tS3", "group\tna\ta\tb\ta",
               "age\tna\t30\t40\t50", rows(body)), "new.gct")
  found <- read(new)
  expect_identical(found$counts, values)
  expect_identical(found$metadata, data.frame(group = c("a", "b", "a"), age = c(30L, 40L, 50L),
                                              row.names = colnames(values)))
  told(put(c("#1.2", "5\t3", "Name\tDescription\tS1\tS2\tS3", rows(body)), "cut.gct"))
  told(put(c("#1.2", "genes", "Name\tDescription\tS1"), "size.gct"))
})

sparse <- Matrix::Matrix(values, sparse = TRUE)
barcodes <- c("AAAC-1", "AAAG-1", "AAAT-1")

write_folder <- function(name, features, prefix = "", matrix = sparse, cells = barcodes) {
  path <- at(name, paste0(prefix, "matrix.mtx"))
  Matrix::writeMM(matrix, path)
  put(features, name, paste0(prefix, "features.tsv.gz"))
  put(cells, name, paste0(prefix, "barcodes.tsv.gz"))
  dirname(path)
}
features <- paste(ids, rownames(values), "Gene Expression", sep = "\t")

test_that("folders with a sparse matrix are read", {
  expected <- methods::as(`colnames<-`(values, barcodes), "dgCMatrix")
  path <- write_folder("tenx", features)
  expect_identical(read(path)$counts, expected)
  expect_identical(rownames(read(path, genes = "id")$counts), ids)
  expect_identical(read(file.path(path, "matrix.mtx"))$counts, expected)
  expect_identical(read(write_folder("geo", features, "GSM1_"))$counts, expected)
  expect_identical(read(write_folder("turned", features, matrix = Matrix::t(sparse)))$counts,
                   expected)
  antibody <- sub("Gene Expression", "Antibody Capture", features[4])
  found <- read(write_folder("adt", c(features[1:3], antibody)))
  expect_identical(found$counts, expected[1:3, ])
  both <- read(c(path, at("geo")))
  expect_identical(colnames(both$counts), c(paste0("tenx_", barcodes), paste0("geo_", barcodes)))
  put(c("barcode\tcelltype", paste(rev(barcodes), c("T", "B", "T"), sep = "\t")), "tenx",
      "cells.tsv")
  expect_identical(read(path)$metadata$celltype, c("T", "B", "T"))
  expect_identical(rownames(read(path)$metadata), barcodes)
})

test_that("folders that contradict themselves are refused", {
  told(write_folder("fewer", features[1:3]))
  told(write_folder("cells", features, cells = barcodes[1:2]))
  path <- write_folder("none", features)
  unlink(file.path(path, "features.tsv.gz"))
  told(path)
  put("%%NotMatrix", "text", "matrix.mtx")
  put(features, "text", "features.tsv")
  put(barcodes, "text", "barcodes.tsv")
  told(at("text"))
  put("x", "other", "readme.txt")
  told(at("other"))
  expect_refusal(read(dirname(at("deeper", "x"))), "file")
})

h5_file <- function(name, parts) {
  path <- at(name)
  unlink(path)
  rhdf5::h5createFile(path)
  groups <- unique(unlist(lapply(names(parts), function(part) {
    steps <- strsplit(part, "/")[[1L]]
    vapply(seq_along(steps)[-1L], function(k) paste(utils::head(steps, k - 1L), collapse = "/"), "")
  })))
  for (group in groups) rhdf5::h5createGroup(path, group)
  for (part in names(parts)) rhdf5::h5write(parts[[part]], path, part)
  path
}
h5_attribute <- function(path, part, name, value) {
  file <- rhdf5::H5Fopen(path)
  on.exit(rhdf5::H5Fclose(file))
  object <- rhdf5::H5Oopen(file, part)
  rhdf5::h5writeAttribute(value, object, name)
  rhdf5::H5Oclose(object)
}
csc <- methods::as(sparse, "CsparseMatrix")

test_that("HDF5 of Cell Ranger is read", {
  skip_if_not_installed("rhdf5")
  parts <- list(`matrix/data` = csc@x, `matrix/indices` = csc@i, `matrix/indptr` = csc@p,
                `matrix/shape` = dim(csc), `matrix/barcodes` = barcodes,
                `matrix/features/id` = ids, `matrix/features/name` = rownames(values),
                `matrix/features/feature_type` = rep("Gene Expression", 4))
  expected <- methods::as(`colnames<-`(values, barcodes), "dgCMatrix")
  expect_identical(read(h5_file("new.h5", parts))$counts, expected)
  old <- stats::setNames(parts[c(1:3, 5:7)], c("GRCh38/data", "GRCh38/indices", "GRCh38/indptr",
                                               "GRCh38/barcodes", "GRCh38/genes",
                                               "GRCh38/gene_names"))
  expect_identical(read(h5_file("old.h5", old))$counts, expected)
  broken <- parts
  broken[["matrix/indptr"]] <- csc@p[-1]
  path <- h5_file("broken.h5", broken)
  told(path)
  told(put("not HDF5", "text.h5"))
})

write_anndata <- function(name, x, ...) {
  path <- h5_file(name, list(
    `X/data` = x, `X/indices` = csc@i, `X/indptr` = csc@p, `obs/_index` = barcodes,
    `obs/celltype/codes` = c(0L, 1L, -1L), `obs/celltype/categories` = c("B cell", "T cell"),
    `obs/n` = c(3L, 1L, 2L), `var/_index` = ids, `var/feature_name` = rownames(values), ...
  ))
  for (part in intersect(c("X", "layers/counts"), c("X", sub("/data", "", names(list(...)))))) {
    h5_attribute(path, part, "encoding-type", "csr_matrix")
  }
  path
}

test_that("AnnData is read, with the counts that it holds", {
  skip_if_not_installed("rhdf5")
  expected <- methods::as(`colnames<-`(values, barcodes), "dgCMatrix")
  found <- read(write_anndata("a.h5ad", csc@x))
  expect_identical(found$counts, expected)
  expect_identical(found$metadata$celltype, factor(c("B cell", "T cell", NA)))
  expect_identical(found$metadata$n, c(3L, 1L, 2L))
  normalised <- write_anndata("b.h5ad", log1p(csc@x), `layers/counts/data` = csc@x,
                              `layers/counts/indices` = csc@i, `layers/counts/indptr` = csc@p)
  found <- read(normalised)
  expect_identical(found$counts, expected)
  expect_match(found$notes, "layers/counts")
  expect_equal(read(normalised, layer = "X")$counts@x, log1p(csc@x))
  told(normalised, layer = "raw")
  told(write_anndata("c.h5ad", log1p(csc@x)))
  # dense, as Python writes it: R sees genes x cells
  dense <- h5_file("d.h5ad", list(X = unname(values), `obs/_index` = barcodes,
                                  `var/_index` = ids))
  expect_identical(read(dense)$counts, `rownames<-`(expected, ids))
})

test_that("objects of R are read", {
  save <- function(x, name) {
    saveRDS(x, at(name))
    at(name)
  }
  expect_identical(read(save(values, "m.rds"))$counts, values)
  expect_identical(read(save(data.frame(gene = rownames(values), values), "f.rds"))$counts, values)
  told(save(list(1), "l.rds"))
  told(save(unname(values), "n.rds"))
  told(put("text", "t.rds"))
  skip_if_not_installed("SummarizedExperiment")
  se <- SummarizedExperiment::SummarizedExperiment(
    list(counts = values), colData = S4Vectors::DataFrame(group = c("a", "b", "a"))
  )
  found <- read(save(se, "se.rds"))
  expect_identical(found$counts, values)
  expect_identical(found$metadata$group, c("a", "b", "a"))
})

test_that("what was read goes into signatures and deconvolution as it is", {
  path <- at("study")
  dir.create(path)
  Matrix::writeMM(small$reference, file.path(path, "matrix.mtx"))
  put(rownames(small$reference), "study", "genes.tsv")
  put(c("cell\tcelltype", rows(cbind(small$cells$cell, as.character(small$cells$cell_type)))),
      "study", "cells.tsv")
  bulk <- put(c(paste(c("gene", colnames(small$bulk_counts)), collapse = "\t"),
                rows(cbind(rownames(small$bulk_counts), small$bulk_counts))), "study.tsv")
  expected <- build_signatures(small$reference, small$cells$cell_type)
  signatures <- build_signatures(read(path), "celltype")
  expect_equal(as.matrix(signatures), as.matrix(expected))
  expect_identical(fit_small(bulk = read(bulk))$proportions, fit_small()$proportions)
})

test_that("a table of samples or cells is matched by name", {
  table <- data.frame(sample = c("S3", "S1", "S2"), group = c("c", "a", "b"))
  expect_identical(read(at("a.tsv.gz"), metadata = table)$metadata$group, c("a", "b", "c"))
  file <- put(c("id,group", "S2,b", "S1,a"), "samples.csv")
  found <- read(at("a.tsv.gz"), metadata = file)
  expect_identical(found$metadata$group, c("a", "b", NA))
  expect_match(found$notes, "1 column has no row", all = FALSE)
  told(at("a.tsv.gz"), metadata = data.frame(sample = c("A", "B"), group = 1))
})

test_that("arguments that do not apply are refused", {
  told(at("a.tsv.gz"), layer = "X")
  told(1)
  told(at("a.tsv.gz"), samples_in = "row")
})

test_that("what a table says of samples travels with the result", {
  body <- rows(cbind(rownames(small$bulk_counts), small$bulk_counts))
  file <- put(c(paste(c("gene", colnames(small$bulk_counts)), collapse = "\t"), body), "bulk.tsv")
  groups <- data.frame(sample = colnames(small$bulk_counts), group = c("a", "b", "a", "b", "a"))
  result <- fit_small(bulk = read(file, metadata = groups))
  expect_identical(sample_data(result)$group, groups$group)
})

test_that("a table of counts is taken apart as a matrix is, with all that stands beside", {
  path <- put(c("gene\tS1\tS2\tS3", rows(cbind(rownames(values), values))), "parts.tsv")
  whole <- read(path)
  part <- whole[c("LYZ", "ACTB"), -1]
  expect_s3_class(part, "count_table")
  expect_identical(part$counts, values[c("LYZ", "ACTB"), -1])
  expect_identical(part$genes$id, c("LYZ", "ACTB"))
  expect_identical(whole[, "S2"]$counts, values[, "S2", drop = FALSE])
  expect_identical(whole[values[, 1] > 4, ]$counts, values[values[, 1] > 4, ])
  expect_refusal(whole["none", ], "argument")
  expect_refusal(whole[, 4], "argument")
  expect_refusal(whole["ACTB"], "argument")
})
