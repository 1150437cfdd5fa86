quiet <- function(...) convert_genes(..., verbose = FALSE)

table <- data.frame(mouse = c("Trp53", "Cd3e", "Lyz1", "Lyz2", "Twin", "Twin"),
                    human = c("TP53", "CD3E", "LYZ", "LYZ", "A", "B"))
counts <- matrix(1:10, 5, dimnames = list(c("Lyz2", "Cd3e", "Lyz1", "Twin", "Xyz"), c("s", "t")))

test_that("a table brings rows under new names, and sums those of one name", {
  expected <- rbind(LYZ = counts["Lyz2", ] + counts["Lyz1", ], CD3E = counts["Cd3e", ])
  expect_identical(quiet(counts, table = table), expected)
  # whichever column has the names
  expect_identical(quiet(counts, table = table[2:1]), expected)
  sparse <- methods::as(Matrix::Matrix(counts + 0, sparse = TRUE), "generalMatrix")
  expect_equal(as.matrix(quiet(sparse, table = table)), expected + 0)
  expect_identical(quiet(data.frame(gene = rownames(counts), counts), table = table), expected)
  kept <- quiet(counts, table = table, unknown = "keep")
  expect_identical(rownames(kept), c("LYZ", "CD3E", "Twin", "Xyz"))
  expect_identical(colSums(kept), colSums(counts))
  expect_identical(quiet(rownames(counts), table = table), c("LYZ", "CD3E", "LYZ", NA, NA))
})

test_that("what became of the names is told", {
  expect_snapshot(invisible(convert_genes(counts, table = table)))
  expect_snapshot(invisible(convert_genes(c("Cd3e", "Rpl3"), table = "case")))
  expect_snapshot(error = TRUE, {
    quiet(counts, table = data.frame(a = "Q", b = "R"))
    quiet(counts, table = 3)
    quiet(1:3)
    quiet(sprintf("ILMN_%06d", 1:300))
    quiet(sprintf("ENSDARG%011d", 1:300))
  })
})

test_that("signatures keep their sums, and counts their lengths", {
  own <- small_signatures
  genes <- rownames(own)
  merged <- data.frame(from = genes, to = c("A", "A", genes[-(1:2)]))
  renamed <- quiet(own, table = merged)
  expect_equal(colSums(renamed$profiles), colSums(own$profiles))
  expect_equal(renamed$profiles["A", ], colSums(own$profiles[1:2, ]))
  expect_identical(rownames(renamed$donor_counts$counts), rownames(renamed$profiles))
  same <- data.frame(from = genes, to = paste0("x", genes))
  bulk <- small$bulk_counts
  rownames(bulk) <- paste0("x", genes)
  lengths <- stats::setNames(small$gene_lengths, paste0("x", genes))
  expect_equal(fit_small(bulk = bulk, signatures = quiet(own, table = same),
                         lengths = lengths)$proportions, fit_small()$proportions)
})

test_that("human names are looked up, aliases only where they are no symbol", {
  skip_if_not_installed("org.Hs.eg.db")
  ids <- c("ENSG00000141510.17", "ENSG00000198851", "ENSG00000000000")
  expect_identical(quiet(ids), c("TP53", "CD3E", NA))
  expect_identical(quiet(c("TP53", "CD3E"), to = "ensembl"), c("ENSG00000141510",
                                                              "ENSG00000198851"))
  expect_identical(quiet(c("7157", "916"), from = "entrez"), c("TP53", "CD3E"))
  # MARCH1 became MARCHF1; SEPT2 is an alias of two genes
  expect_identical(quiet(c("MARCH1", "SEPT2", "TP53")), c("MARCHF1", NA, "TP53"))
  # there and back
  symbols <- c("ACTB", "LYZ", "MS4A1", "NKG7", "CD79A")
  expect_identical(quiet(quiet(symbols, to = "ensembl")), symbols)
  expect_snapshot(invisible(convert_genes(c("MARCH1", "SEPT2", "TP53"))))
})

test_that("the kind and species of names are told from them", {
  naming <- unalloy:::gene_naming
  expect_identical(naming(sprintf("ENSG%011d", 1:9))[1:2], list(kind = "ensembl",
                                                                species = "human"))
  expect_identical(naming(sprintf("ENSMUSG%011d.1", 1:9))$species, "mouse")
  expect_identical(naming(c("RPL3", "RPS6", "MT-CO1", "ACTB"))[1:2],
                   list(kind = "symbol", species = "human"))
  expect_identical(naming(c("Rpl3", "Rps6", "mt-Co1", "Actb"))[1:2],
                   list(kind = "symbol", species = "mouse"))
  expect_identical(naming(as.character(1:20))$kind, "entrez")
  expect_identical(naming(rownames(small$bulk_counts))$kind, "unknown")
})

test_that("where all names are found there is nothing more to say", {
  skip_if_not_installed("org.Hs.eg.db")
  found <- suppressMessages(convert_genes(c("ENSG00000141510.17", "ENSG00000198851")))
  expect_identical(unname(found), c("TP53", "CD3E"))
})
