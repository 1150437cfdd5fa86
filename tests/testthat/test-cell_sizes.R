row_is <- function(names, row) expect_equal(size_row(!!names), rep(!!row, length(!!names)))

test_that("usual names are matched", {
  row_is(c("CD14+", "CD14 Mono", "CD16 Mono", "Monocytes", "FCGR3A+ Monocytes", "Mono",
           "non-classical monocytes"), "Monocyte")
  row_is(c("B", "B cell", "B cells", "Bcells", "B_cell", "B.cells", "Naive B", "B Activated",
           "CD19+ B", "CD19+", "Memory B-cells"), "B cell")
  row_is(c("NK", "NK cells", "NKcells", "CD56+ NK", "NK_CD56bright", "Natural killer"), "NK cell")
  row_is(c("T", "T cell", "T cells", "T activated", "CD3+", "gdT", "MAIT", "NKT", "NK T cells"),
         "T cell")
  row_is(c("CD4 T", "CD4+ T-cells", "T.cells.CD4", "CD4 Naive T", "CD4+/CD45RO+ Memory", "Th17",
           "CD4_Tcells", "CD4+CD8- T"), "CD4 T cell")
  row_is(c("CD8 T", "CD8 TEM", "CD8+ Cytotoxic T", "CD4-CD8+ T", "CTL"), "CD8 T cell")
  row_is(c("Treg", "Tregs", "CD4+/CD25 T Reg", "Regulatory T cells"), "Regulatory T cell")
  row_is(c("DC", "pDC", "cDC2", "Dendritic cells", "Plasmacytoid dendritic cells",
           "Monocyte-derived DC"), "Dendritic cell")
  row_is(c("Neutrophils", "Neutrophil"), "Neutrophil")
  row_is(c("Plasma cells", "Plasmablasts"), "Plasma cell")
  row_is(c("Macrophages", "M1 macrophage"), "Macrophage")
  row_is(c("Astrocytes", "Microglia", "Oligodendrocytes"), "Glia")
  row_is("Excitatory neurons", "Neuron")
})

test_that("names of other cells, of mixtures and of nothing are not", {
  row_is(c("CD34+", "HSC", "Mk", "Eryth", "Platelet", "Mast cells", "Basophils", "Fibroblast",
           "Hepatocyte", "beta", "Type 1", "Type B", "Cluster T", "T/NK", "B cell/T cell",
           "Monocyte/Macrophage", "Tumor", "B cell lymphoma", "Doublets", "CD16+", "Myeloid",
           "CD34+ B progenitor", "", "Lymphocytes"), NA_character_)
})

test_that("sizes are published figures over that of T cells", {
  expect_equal(match_cell_size(c("B", "CD14+", "NK"), "EPIC"),
               c("B" = 0.4016, "CD14+" = 1.4196, "NK" = 0.4396) / 0.3952)
  expect_equal(match_cell_size("Treg", "quanTIseq"),
               c(Treg = 72.5511 / mean(c(63.872, 70.25659, 72.5511))))
  ratios <- vapply(c("EPIC", "quanTIseq", "ABIS"), match_cell_size, 0, types = "Monocytes")
  expect_equal(unname(match_cell_size("Monocytes")), exp(mean(log(ratios))))
  # where a source has no figure, that of the type above stands in
  expect_equal(unname(match_cell_size("Macrophage", "EPIC")),
               unname(match_cell_size("Monocyte", "EPIC")))
  expect_equal(unname(match_cell_size("T cell")), 1)
  expect_equal(match_cell_size(factor("B cell")), match_cell_size("B cell"))
})

test_that("the table has a source for every figure", {
  table <- literature_cell_sizes()
  expect_named(table, c("type", "size", "relative", "source", "tissue", "measured", "reference"))
  expect_false(anyNA(table))
  expect_true(all(table$size > 0))
  expect_false(anyDuplicated(table[c("type", "source")]) > 0)
  expect_setequal(names(SIZE_WORDS), setdiff(unique(table$type), grep("(CD.|tory) T", table$type,
                                                                      value = TRUE)))
})

test_that("types that are not matched are named", {
  expect_refusal(match_cell_size(c("B", "CD34+")), "cell_size")
  expect_refusal(match_cell_size("Plasma cell", "EPIC"), "cell_size")
  expect_snapshot(error = TRUE, {
    match_cell_size(c("B", "CD34+", "T", "Mk"))
    match_cell_size("DC", "EPIC")
    match_cell_size(c("Neuron", "Microglia", "T cell"))
    match_cell_size(1:3)
    match_cell_size("B", "epic")
  })
})

test_that("sizes are added by default where types are known by name", {
  named <- small_signatures$profiles
  colnames(named) <- c("B cells", "CD14 Mono", "CD34+", "T cell")
  expect_snapshot(sizes <- auto_sizes(colnames(named), TRUE))
  expect_identical(unname(sizes[["CD34+"]]),
                   exp(mean(log(match_cell_size(c("B", "CD14 Mono", "T"))))))
  result <- fit_small(signatures = named)
  expect_equal(result$cell_fractions,
               normalise_columns(result$proportions / sizes))
  expect_null(fit_small(signatures = named, cell_size = "none")$cell_fractions)
  # unknown types, and brain beside blood
  expect_null(auto_sizes(c("Type A", "Type B"), TRUE))
  expect_null(auto_sizes(c("B cell", "Neuron", "Glia"), TRUE))
})

test_that("a reference whose mRNA per cell contradicts the table is warned about", {
  blood <- small_signatures
  colnames(blood$profiles) <- c("B cell", "T cell", "NK cell", "Monocyte")
  for (field in c("cells", "umi", "donors", "dispersion")) {
    names(blood[[field]]) <- colnames(blood$profiles)
  }
  blood[c("variance", "donor_counts")] <- list(NULL)
  sizes <- match_cell_size(colnames(blood$profiles))
  fit <- function(umi, cell_size = "auto") {
    blood$umi <- umi
    fit_small(signatures = blood, cell_size = cell_size)
  }
  agreed <- 1500 * sizes
  expect_no_warning(fit(agreed))
  # sources differ by a third and more
  expect_no_warning(fit(agreed * c(1, 1, 1.3, 0.7)))
  low <- agreed * c(1, 1, 1, 0.3)
  expect_snapshot(invisible(fit(low)))
  expect_warning(fit(low, "literature"), class = "unalloy_warning_cell_size")
  # sizes that are given are not the table's
  expect_no_warning(fit(low, "reference"))
  expect_no_warning(fit(low, sizes))
})
