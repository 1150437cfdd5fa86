folder <- withr::local_tempdir(.local_envir = testthat::teardown_env())
at <- function(...) file.path(folder, ...)
dir.create(at("cells"))
Matrix::writeMM(small$reference, at("cells", "matrix.mtx"))
writeLines(rownames(small$reference), at("cells", "genes.tsv"))
write_tsv <- function(x, path) {
  utils::write.table(x, path, sep = "\t", quote = FALSE, row.names = FALSE)
  path
}
write_tsv(small$cells, at("cells", "cells.tsv"))
bulk <- write_tsv(data.frame(gene = rownames(small$bulk_counts), small$bulk_counts), at("bulk.tsv"))
lengths <- write_tsv(data.frame(gene = names(small$gene_lengths), length = small$gene_lengths),
                     at("lengths.tsv"))
run <- function(...) {
  said <- NULL
  withCallingHandlers(
    output <- utils::capture.output(status <- command_line(c(...))),
    message = function(m) {
      said <<- c(said, conditionMessage(m))
      rlang::cnd_muffle(m)
    }
  )
  list(status = status, output = output, said = paste(said, collapse = ""))
}

test_that("deconvolve writes what the functions give", {
  ran <- run("deconvolve", "--bulk", bulk, "--cells", at("cells"), "--labels", "cell_type",
             "--donors=donor", "--lengths", lengths, "--error-model", "poisson", "--out",
             at("out"), "--quiet")
  expect_identical(ran$status, 0L)
  written <- utils::read.delim(at("out", "proportions.tsv"), check.names = FALSE, row.names = 1)
  signatures <- build_signatures(small$reference, small$cells$cell_type,
                                 donors = small$cells$donor)
  expected <- deconvolve_bulk(signatures, small$bulk_counts, small$gene_lengths,
                              error_model = "poisson", verbose = FALSE)
  expect_equal(t(as.matrix(written)), expected$proportions, tolerance = 1e-9)
  expect_true(all(c("intervals.tsv", "convergence.tsv", "check.txt", "diagnosis.txt",
                    "result.rds") %in% list.files(at("out"))))
  expect_identical(readRDS(at("out", "result.rds"))$proportions, expected$proportions)
  again <- run("deconvolve", "--bulk", bulk, "--cells", at("cells"), "--labels", "cell_type",
               "--out", at("out"))
  expect_identical(again$status, 1L)
  expect_match(again$said, "overwrite")
})

test_that("check, nmf and convert do as their functions", {
  checked <- run("check", "--bulk", bulk, "--cells", at("cells"), "--labels", "cell_type",
                 "--quiet")
  expect_match(checked$output, "400 of 400 genes match", all = FALSE)
  ran <- run("nmf", "--counts", bulk, "--rank", "2", "--seed", "1", "--out", at("nmf"), "--quiet")
  expect_identical(ran$status, 0L)
  basis <- utils::read.delim(at("nmf", "basis.tsv"), row.names = 1)
  fit <- nmf(small$bulk_counts, 2, method = "kl", seed = 1)
  expect_equal(unname(as.matrix(basis)), unname(basis(fit)), tolerance = 1e-9)
  table <- write_tsv(data.frame(from = rownames(small$bulk_counts),
                                to = paste0("x", rownames(small$bulk_counts))), at("table.tsv"))
  ran <- run("convert", "--counts", bulk, "--table", table, "--out", at("new.tsv.gz"), "--quiet")
  expect_identical(ran$status, 0L)
  expect_identical(unname(read_counts(at("new.tsv.gz"), verbose = FALSE)$counts),
                   unname(small$bulk_counts + 0))
})

test_that("what is wrong is told with status 1", {
  told <- function(...) {
    ran <- run(...)
    expect_identical(ran$status, 1L)
    cat(ran$said)
  }
  expect_snapshot({
    told("deconvolute")
    told("deconvolve", "--bulk")
    told("deconvolve", "--bulks", "x")
    told("deconvolve", "x")
    told("deconvolve", "--bulk", "x")
    told("nmf", "--counts", bulk, "--rank", "two", "--out", "x")
    told("deconvolve", "--bulk", "x", "--bulk", "y")
    writeLines(run("--help")$output)
    writeLines(run("check", "--help")$output)
  })
})
