# HDF5: Cell Ranger's .h5 and AnnData's .h5ad.  Both store cells as columns of a
# compressed sparse matrix genes x cells (AnnData as rows of its transpose).

open_hdf5 <- function(path, .call = caller_env()) {
  need_package("rhdf5", paste("to read", file_text(path)), .call = .call)
  content <- tryCatch(rhdf5::h5ls(path, all = FALSE), error = function(e) {
    stop_file(path, "can't be read as HDF5.", x = strsplit(conditionMessage(e), "\n")[[1L]][1L],
              i = "It may have been cut off: fetch or write it again.", .call = .call)
  })
  list(path = path, parts = gsub("^//?", "", paste(content$group, content$name, sep = "/")),
       kind = content$otype)
}

has_part <- function(file, part) part %in% file$parts

h5_values <- function(file, part) {
  x <- rhdf5::h5read(file$path, part, bit64conversion = "double")
  # character vectors come as arrays
  if (length(dim(x)) == 1L) as.vector(x) else x
}

h5_attributes <- function(file, part) rhdf5::h5readAttributes(file$path, part)

# counts from the three vectors of a compressed sparse matrix
compressed_matrix <- function(file, part, rows, columns, .call) {
  data <- as.double(h5_values(file, paste0(part, "/data")))
  indices <- h5_values(file, paste0(part, "/indices"))
  starts <- h5_values(file, paste0(part, "/indptr"))
  fits <- length(data) == length(indices) && length(starts) == columns + 1 &&
    starts[length(starts)] == length(data) && (!length(indices) || max(indices) < rows)
  if (!fits) {
    stop_file(file$path, paste0("has a matrix that contradicts itself (\"", part, "\")."),
              x = paste0("It should be ", count_text(rows), " x ", count_text(columns), " with ",
                         plural(length(data), "value"), "."),
              i = "Write the file again.", .call = .call)
  }
  if (length(data) > .Machine$integer.max) {
    stop_file(file$path, "has more values than a sparse matrix of R can hold.",
              x = paste0("They are ", count_text(length(data)), "."),
              i = "Take a part of the cells, or open it with HDF5Array::TENxMatrix().",
              .call = .call)
  }
  Matrix::sparseMatrix(i = as.integer(indices), p = as.integer(starts), x = data, index1 = FALSE,
                       dims = c(rows, columns))
}

read_tenx_hdf5 <- function(path, .call = caller_env()) {
  file <- open_hdf5(path, .call = .call)
  groups <- sub("/barcodes$", "", grep("^[^/]+/barcodes$", file$parts, value = TRUE))
  if (length(groups) != 1L) {
    stop_file(path, "is no file of Cell Ranger with one matrix.",
              x = paste0("It has ", some_of(file$parts[!grepl("/", file$parts)], 6L), "."),
              i = "Give filtered_feature_bc_matrix.h5, or a .h5ad by that name.", .call = .call)
  }
  part <- function(name) paste0(groups, "/", name)
  barcodes <- as.character(h5_values(file, part("barcodes")))
  new <- has_part(file, part("features"))
  genes <- data.frame(id = as.character(h5_values(file, part(if (new) "features/id" else "genes"))))
  genes$symbol <- as.character(h5_values(file, part(if (new) "features/name" else "gene_names")))
  if (new) genes$type <- as.character(h5_values(file, part("features/feature_type")))
  counts <- compressed_matrix(file, groups, nrow(genes), length(barcodes), .call)
  colnames(counts) <- barcodes
  kept <- expression_rows(genes)
  notes <- if (!all(kept)) {
    paste0("Left out: ", plural(sum(!kept), "feature"), " of type ",
           some_of(unique(genes$type[!kept])), ".")
  }
  new_read(counts[kept, , drop = FALSE], genes[kept, c("id", "symbol")],
           notes = as.character(notes))
}

# Tables of AnnData, obs and var: one compound, or a group with a vector per column and
# categories as codes.
anndata_table <- function(file, part) {
  if (file$kind[match(part, file$parts)] == "H5I_DATASET") {
    table <- as.data.frame(h5_values(file, part))
    names <- as.character(table[[1L]])
    return(list(names = names, table = table[-1L]))
  }
  given <- h5_attributes(file, part)
  index <- given[["_index"]] %||% "_index"
  columns <- grep(paste0("^", part, "/[^/]+$"), file$parts, value = TRUE)
  columns <- setdiff(sub("^.*/", "", columns), "__categories")
  values <- lapply(stats::setNames(nm = columns), function(name) anndata_column(file, part, name))
  names <- as.character(values[[index]] %||% values[["index"]])
  fits <- vapply(values, function(x) is.atomic(x) && length(x) == length(names), NA)
  list(names = names, table = as.data.frame(values[fits & names(values) != index],
                                            optional = TRUE))
}

anndata_column <- function(file, part, name) {
  path <- paste0(part, "/", name)
  if (has_part(file, paste0(path, "/codes"))) {
    return(decoded(h5_values(file, paste0(path, "/codes")),
                   h5_values(file, paste0(path, "/categories"))))
  }
  if (has_part(file, paste0(path, "/values"))) {
    values <- h5_values(file, paste0(path, "/values"))
    values[as.logical(h5_values(file, paste0(path, "/mask")))] <- NA
    return(values)
  }
  categories <- paste0(part, "/__categories/", name)
  values <- h5_values(file, path)
  if (has_part(file, categories)) decoded(values, h5_values(file, categories)) else values
}

# -1 stands for none.
decoded <- function(codes, categories) {
  codes <- as.integer(codes)
  codes[codes < 0L] <- NA
  factor(as.character(categories)[codes + 1L], as.character(categories))
}

# A matrix of AnnData as genes x cells.
anndata_matrix <- function(file, part, n_genes, n_cells, .call) {
  if (file$kind[match(part, file$parts)] == "H5I_DATASET") {
    # R reads what Python wrote by rows as its transpose: genes x cells
    return(as_csc(Matrix::Matrix(h5_values(file, part), sparse = TRUE)))
  }
  given <- h5_attributes(file, part)
  form <- given[["encoding-type"]] %||% paste0(given[["h5sparse_format"]], "_matrix")
  if (form == "csr_matrix") return(compressed_matrix(file, part, n_genes, n_cells, .call))
  as_csc(Matrix::t(compressed_matrix(file, part, n_cells, n_genes, .call)))
}

anndata_symbols <- function(var) {
  place <- match(TRUE, grepl(SYMBOL_COLUMN, tolower(names(var$table))))
  if (!is.na(place)) return(data.frame(id = var$names, symbol = as.character(var$table[[place]])))
  ids <- match(c("gene_ids", "gene_id", "ensembl_id", "ensembl"), names(var$table))
  ids <- ids[!is.na(ids)]
  if (!length(ids)) return(data.frame(id = var$names))
  data.frame(id = as.character(var$table[[ids[1L]]]), symbol = var$names)
}

read_anndata <- function(path, layer = NULL, .call = caller_env()) {
  file <- open_hdf5(path, .call = .call)
  if (!all(c("obs", "var") %in% file$parts)) {
    stop_file(path, "is no AnnData file.",
              x = paste0("It has ", some_of(file$parts[!grepl("/", file$parts)], 6L), "."),
              i = "It needs \"X\", \"obs\" and \"var\".", .call = .call)
  }
  there <- c(grep("^layers/[^/]+$", file$parts, value = TRUE),
             intersect(c("raw/X", "X"), file$parts))
  # raw counts are where Scanpy's users put them
  candidates <- intersect(c("layers/counts", "layers/raw_counts", "layers/raw", "raw/X", "X"),
                          there)
  if (!is.null(layer)) {
    candidates <- intersect(c(paste0("layers/", layer), layer), there)
    if (!length(candidates)) {
      stop_file(path, paste0("has no layer \"", layer, "\"."),
                x = paste0("It has ", some_of(sub("^layers/", "", there), 8L), "."),
                i = "Name one of them as `layer`.", .call = .call)
    }
  }
  chosen <- if (!is.null(layer)) candidates[1L] else Find(function(part) is_whole(file, part),
                                                          candidates)
  if (is.null(chosen)) {
    stop_user("not_counts", paste0(file_text(path), " holds no raw counts."),
              x = paste0("Values of ", some_of(there, 6L), " are not whole numbers."),
              i = paste0("Write the file with counts, or read other values with `layer = \"",
                         sub("^layers/", "", there[length(there)]), "\"`."), .call = .call)
  }
  cells <- anndata_table(file, "obs")
  var <- anndata_table(file, if (chosen == "raw/X") "raw/var" else "var")
  counts <- anndata_matrix(file, chosen, length(var$names), length(cells$names), .call)
  if (!identical(dim(counts), c(length(var$names), length(cells$names)))) {
    stop_file(path, "contradicts itself.",
              x = paste0("\"", chosen, "\" is ", nrow(counts), " genes x ", ncol(counts),
                         " cells, \"var\" and \"obs\" have ", length(var$names), " and ",
                         length(cells$names), "."),
              i = "Write the file again.", .call = .call)
  }
  colnames(counts) <- cells$names
  metadata <- cells$table
  if (length(metadata)) rownames(metadata) <- make.unique(cells$names)
  new_read(counts, anndata_symbols(var), if (length(metadata)) metadata,
           notes = paste0("Counts are from \"", chosen, "\"."))
}

# Whether a matrix holds whole numbers, by all of its values.
is_whole <- function(file, part) {
  dense <- file$kind[match(part, file$parts)] == "H5I_DATASET"
  values <- h5_values(file, if (dense) part else paste0(part, "/data"))
  !anyNA(values) && all(values >= 0 & values == round(values))
}
