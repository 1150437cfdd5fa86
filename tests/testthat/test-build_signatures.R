test_that("profiles are sums of counts scaled to one", {
  types <- small$cells$cell_type
  signatures <- build_signatures(small$reference, types)
  dense <- as.matrix(small$reference)
  expected <- sapply(levels(types), function(type) rowSums(dense[, types == type]))
  expect_equal(signatures$profiles, sweep(expected, 2, colSums(expected), "/"))
  expect_equal(unname(signatures$cells), rep(60, 4))
  expect_equal(signatures$umi, colSums(expected) / 60)
})

test_that("dense, sparse, on disk, and experiments agree", {
  types <- small$cells$cell_type
  donors <- small$cells$donor
  expected <- build_signatures(small$reference, types, donors)
  expect_equal(build_signatures(as.matrix(small$reference), types, donors), expected)
  expect_equal(build_signatures(methods::as(small$reference, "TsparseMatrix"), types, donors),
               expected)
  order <- sample(ncol(small$reference))
  expect_equal(build_signatures(small$reference[, order], types[order], donors[order]), expected)
  skip_if_not_installed("SingleCellExperiment")
  sce <- SingleCellExperiment::SingleCellExperiment(
    list(counts = small$reference), colData = data.frame(type = types, donor = donors)
  )
  expect_equal(build_signatures(sce, "type", "donor"), expected)
  skip_if_not_installed("HDF5Array")
  skip_if_not_installed("withr")
  withr::local_options(unalloy.block_size = 8 * 400 * 50)
  on_disk <- methods::as(as.matrix(small$reference), "HDF5Array")
  dimnames(on_disk) <- dimnames(small$reference)
  expect_equal(build_signatures(on_disk, types, donors), expected)
})

test_that("Seurat objects of version 4 are read", {
  skip_if_not_installed("SeuratObject")
  object <- SeuratObject::CreateSeuratObject(
    small$reference, meta.data = data.frame(row.names = small$cells$cell,
                                            type = small$cells$cell_type,
                                            person = small$cells$donor)
  )
  expected <- build_signatures(small$reference, small$cells$cell_type, small$cells$donor)
  expect_equal(build_signatures(object, "type", "person"), expected)
  SeuratObject::Idents(object) <- "type"
  expect_equal(build_signatures(object, donors = "person"), expected)
  expect_refusal(build_signatures(object, "typ"), "cell_types")
  expect_refusal(build_signatures(object, "type", assay = "ADT"), "argument")
})

# A Seurat object with an assay of version 5: unnamed layers, and two logical
# maps of what is in them.  An older SeuratObject lacks the class, whose slots
# are then declared here.
seurat5 <- function(parts) {
  cells <- unique(unlist(lapply(parts, colnames)))
  genes <- unique(unlist(lapply(parts, rownames)))
  map <- function(all, own) {
    matrix(unlist(lapply(parts, function(part) all %in% own(part))), length(all),
           dimnames = list(all, names(parts)))
  }
  if (!methods::isClass("Assay5")) {
    methods::setClass("Assay5", where = globalenv(),
                      representation(layers = "list", cells = "ANY", features = "ANY"))
  }
  maps <- list(cells = map(cells, colnames), features = map(genes, rownames))
  if ("LogMap" %in% getNamespaceExports("SeuratObject")) {
    maps <- lapply(maps, function(map) methods::as(map, "LogMap"))
  }
  assay <- methods::new("Assay5", layers = lapply(parts, unname), cells = maps$cells,
                        features = maps$features)
  metadata <- data.frame(row.names = cells,
                         type = small$cells$cell_type[match(cells, small$cells$cell)])
  object <- SeuratObject::CreateSeuratObject(small$reference, meta.data = metadata)
  SeuratObject::Idents(object) <- "type"
  methods::slot(object, "assays", check = FALSE) <- list(RNA = assay)
  object
}

test_that("Seurat objects of version 5 are read, split layers too", {
  skip_if_not_installed("SeuratObject")
  expected <- build_signatures(small$reference, small$cells$cell_type)
  whole <- seurat5(list(counts = small$reference))
  expect_equal(build_signatures(whole), expected)
  first <- seq_len(100)
  split <- seurat5(list(counts.a = small$reference[, first],
                              counts.b = small$reference[, -first],
                              data.a = small$reference[, first]))
  expect_equal(build_signatures(split, "type"), expected)
  # a layer without a gene counts as zeros of it
  lacking <- seurat5(list(counts.a = small$reference[, first],
                                counts.b = small$reference[-1, -first]))
  zeroed <- small$reference
  zeroed[1, -first] <- 0
  expect_equal(build_signatures(lacking, "type"),
               build_signatures(zeroed, small$cells$cell_type))
  no_counts <- seurat5(list(data = small$reference))
  expect_refusal(build_signatures(no_counts, "type"), "not_counts")
})

test_that("between-donor variance is what donors vary beyond sampling", {
  draw <- function(donor_sd) {
    sim <- simulate_bulk(n_genes = 300, n_types = 2, n_samples = 1, n_donors = 40,
                         cells_per_type = 30, donor_sd = donor_sd, overdispersion = 0, seed = 6)
    build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
  }
  relative_sd <- function(signatures) {
    high <- signatures$profiles > 1e-3
    sqrt(mean(signatures$variance[high] / signatures$profiles[high]^2))
  }
  # a log-normal factor with sd 0.3 has a coefficient of variation of 0.307;
  # 40 donors estimate it to about 11 %
  expect_equal(relative_sd(draw(0.3)), 0.307, tolerance = 0.15)
  expect_lt(relative_sd(draw(0)), 0.06)
})

test_that("labels of NA leave cells out, and few cells are warned about", {
  types <- as.character(small$cells$cell_type)
  types[types == "Type B"] <- NA
  expect_identical(colnames(build_signatures(small$reference, types)$profiles),
                   c("Type A", "Type C", "Type D"))
  keep <- which(types == "Type A")[-(1:3)]
  types[keep] <- NA
  expect_snapshot(left <- build_signatures(small$reference, types))
  expect_identical(colnames(left), c("Type C", "Type D"))
  expect_snapshot(kept <- build_signatures(small$reference, types, min_cells = 1))
  expect_identical(colnames(kept), c("Type A", "Type C", "Type D"))
})

test_that("cells without a donor count nowhere", {
  donors <- small$cells$donor
  donors[small$cells$donor == "Donor 2"] <- NA
  expect_message(part <- build_signatures(small$reference, small$cells$cell_type, donors),
                 "80 cells without a donor")
  rest <- small$cells$donor != "Donor 2"
  expect_equal(part, build_signatures(small$reference[, rest], small$cells$cell_type[rest],
                                      droplevels(small$cells$donor[rest])))
})

test_that("labels named by cell are matched by name", {
  named <- setNames(small$cells$cell_type, small$cells$cell)
  shuffled <- sample(named)
  expect_equal(build_signatures(small$reference, shuffled),
               build_signatures(small$reference, unname(named)))
  names(shuffled)[1] <- "nobody"
  expect_snapshot(error = TRUE, build_signatures(small$reference, shuffled),
                  transform = function(lines) gsub('"Cell[0-9]+"', '"<cell>"', lines))
})

test_that("what is no count or no label is told", {
  types <- small$cells$cell_type
  expect_snapshot(error = TRUE, build_signatures(log1p(small$reference), types))
  expect_snapshot(error = TRUE, build_signatures(small$reference, types[-1]))
  expect_snapshot(error = TRUE, build_signatures(small$reference))
  expect_snapshot(error = TRUE, build_signatures(small$reference, "cell_type"))
  expect_refusal(build_signatures(small$reference, rep(NA, 240)), "cell_types")
  expect_refusal(build_signatures(small$reference * -1, types), "not_counts")
  expect_refusal(build_signatures(unname(small$reference), types), "gene_names")
  expect_refusal(build_signatures("a", types), "argument")
  empty <- small$reference
  empty[, types == "Type C"] <- 0
  expect_snapshot(error = TRUE, build_signatures(empty, types))
})

test_that("signatures print, subset and convert", {
  expect_snapshot(print(small_signatures))
  expect_identical(dim(small_signatures[1:10, c("Type A", "Type D")]), c(10L, 2L))
  expect_identical(as.matrix(small_signatures), small_signatures$profiles)
  table <- as.data.frame(small_signatures)
  expect_identical(table$donors, rep(3L, 4))
})

test_that("labels that are no types are left out", {
  types <- as.character(small$cells$cell_type)
  types[types == "Type B"] <- "doublet"
  found <- build_signatures(small$reference, types, small$cells$donor, exclude = "doublet")
  kept <- types != "doublet"
  same <- build_signatures(small$reference[, kept], types[kept], small$cells$donor[kept])
  expect_identical(found, same)
  expect_snapshot(error = TRUE, {
    build_signatures(small$reference, types, exclude = "Doublets")
    build_signatures(small$reference, types, exclude = unique(types))
  })
})
