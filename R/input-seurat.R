# Raw counts of Seurat objects, read from their slots: these are the same in
# every version of SeuratObject that can hold the object, so that no function
# of one version is needed to read an object of another.

seurat_cells <- function(x, assay, .call = caller_env()) {
  assays <- methods::slot(x, "assays")
  assay <- assay %||% raw_assay(assays, methods::slot(x, "active.assay"))
  if (!is.character(assay) || length(assay) != 1L) {
    stop_user("argument", "`assay` must be the name of an assay.",
              x = paste0("It is ", describe(assay), "."), .call = .call)
  }
  if (!assay %in% names(assays)) {
    stop_user("argument", paste0("The Seurat object has no assay \"", assay, "\"."),
              x = paste0("It has ", some_of(names(assays), 8L), "."), .call = .call)
  }
  counts <- seurat_counts(assays[[assay]], assay, .call)
  metadata <- methods::slot(x, "meta.data")
  identity <- methods::slot(x, "active.ident")
  order <- match(colnames(counts), rownames(metadata))
  list(counts = counts, metadata = metadata[order, , drop = FALSE],
       identity = unname(identity[match(colnames(counts), names(identity))]))
}

# The counts of SCTransform are corrected for depth: where it is active, those that it was
# made from are raw.
raw_assay <- function(assays, active) {
  if (!inherits(assays[[active]], "SCTAssay") || !"RNA" %in% names(assays)) return(active)
  inform_user(TRUE, "Counts of assay \"RNA\" are read.",
              i = paste0("Those of the active assay \"", active, "\" are corrected; name it as ",
                         "`assay` if they are meant."))
  "RNA"
}

seurat_counts <- function(assay, name, .call) {
  counts <- if ("layers" %in% methods::slotNames(assay)) {
    layered_counts(assay, name, .call)
  } else {
    methods::slot(assay, "counts")
  }
  if (!ncol(counts) || !nrow(counts)) {
    stop_user("not_counts", paste0("Assay \"", name, "\" holds no raw counts."),
              i = "Signatures are built from raw counts, not from normalised data.",
              .call = .call)
  }
  if (methods::is(counts, "Matrix")) as_csc(counts) else as.matrix(counts)
}

# Version 5: layers without names of their own; which features and cells a layer
# has is told by two logical matrices (features and cells x layers).  A split
# assay has one layer per part, "counts.1", "counts.2", ...
layered_counts <- function(assay, name, .call) {
  layers <- methods::slot(assay, "layers")
  parts <- grep("^counts($|\\.)", names(layers), value = TRUE)
  if (!length(parts)) {
    stop_user("not_counts", paste0("Assay \"", name, "\" has no layer of counts."),
              x = paste0("It has ", some_of(names(layers), 8L), "."), .call = .call)
  }
  joined_layers(assay, parts, .call)
}

# Layers on disk (BPCells) know fewer of the names of sparse classes.
layer_matrix <- function(layer, name, .call) {
  for (class in c("CsparseMatrix", "dgCMatrix", "matrix")) {
    found <- tryCatch(methods::as(layer, class), error = function(condition) NULL)
    if (!is.null(found)) return(methods::as(found, "CsparseMatrix"))
  }
  stop_user("argument", paste0("Layer \"", name, "\" could not be read."),
            x = paste0("It is ", describe(layer), "."),
            i = "Bring it into memory first: `as(layer, \"dgCMatrix\")`.", .call = .call)
}

joined_layers <- function(assay, parts, .call = caller_env()) {
  layers <- methods::slot(assay, "layers")
  members <- function(slot, part) {
    map <- as.matrix(methods::slot(assay, slot))
    rownames(map)[map[, part]]
  }
  blocks <- lapply(parts, function(part) {
    block <- layer_matrix(layers[[part]], part, .call)
    dimnames(block) <- list(members("features", part), members("cells", part))
    block
  })
  genes <- unique(unlist(lapply(blocks, rownames)))
  do.call(cbind, lapply(blocks, widen, genes = genes))
}

# The block with all `genes` as rows, absent ones zero.
widen <- function(block, genes) {
  if (identical(rownames(block), genes)) return(block)
  place <- match(rownames(block), genes)
  Matrix::sparseMatrix(
    i = place[block@i + 1L], p = block@p, x = block@x,
    dims = c(length(genes), ncol(block)), dimnames = list(genes, colnames(block))
  )
}

# A layer of an assay of any version, parts side by side; NULL if there is none.
seurat_layer <- function(assay, layer) {
  if (!"layers" %in% methods::slotNames(assay)) {
    values <- if (layer %in% methods::slotNames(assay)) methods::slot(assay, layer)
    return(if (length(values)) values)
  }
  parts <- grep(paste0("^", layer, "($|\\.)"), names(methods::slot(assay, "layers")), value = TRUE)
  if (length(parts)) joined_layers(assay, parts)
}
