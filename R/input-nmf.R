# Matrices to factorise in every form that users have them, behind one face: a
# double matrix or a dgCMatrix, features x samples, named if it was.  `prefer` are
# names of assays or layers, the one to take first in front.

nmf_input <- function(x, assay = NULL, prefer = c("logcounts", "data", "counts"),
                      .call = caller_env()) {
  x <- nmf_matrix(x, assay, prefer, .call)
  if (!nrow(x) || !ncol(x)) {
    stop_user("empty_matrix", "`x` must have features and samples.",
              x = paste0("It is ", nrow(x), " x ", ncol(x), "."), .call = .call)
  }
  if (is.matrix(x) && !is.double(x)) storage.mode(x) <- "double"
  x
}

nmf_matrix <- function(x, assay, prefer, .call) {
  if (inherits(x, "count_table")) x <- x$counts
  if (inherits(x, "SummarizedExperiment")) {
    return(nmf_matrix(assay_of(x, assay, prefer, "x", .call), NULL, prefer, .call))
  }
  if (inherits(x, "Seurat")) return(nmf_seurat(x, assay, prefer, .call))
  if (inherits(x, "ExpressionSet")) {
    need_package("Biobase", "to read an ExpressionSet")
    x <- Biobase::exprs(x)
  }
  if (!is.null(assay)) {
    stop_user("argument", "`assay` is for objects with several matrices.",
              x = paste0("`x` is ", describe(x), "."), .call = .call)
  }
  if (is.data.frame(x)) x <- frame_values(x, "x", "names of features", .call)
  if (is.matrix(x)) {
    if (!is.numeric(x) && !is.logical(x)) {
      stop_user("not_numeric", "`x` must be numeric.", x = paste0("It is ", describe(x), "."),
                .call = .call)
    }
    return(x)
  }
  if (is_sparse_matrix(x)) return(as_csc(x))
  if (methods::is(x, "DelayedMatrix")) return(read_whole(x, "x", .call))
  stop_user("argument", "`x` must be a features x samples matrix.",
            x = paste0("It is ", describe(x), "."),
            i = paste("Give a matrix, data frame, sparse matrix, DelayedMatrix,",
                      "SummarizedExperiment, SingleCellExperiment, ExpressionSet or Seurat",
                      "object."), .call = .call)
}

# Names by which columns or rows are found in several matrices must be their own.
check_own_names <- function(names, what, nouns, .call = caller_env()) {
  twice <- unique(names[duplicated(names)])
  if (length(twice)) {
    stop_user(paste0(nouns, "_names"), paste0("The ", nouns, "s of ", what,
                                              " must have names of their own."),
              x = paste0("Used more than once: ", some_of(twice), "."),
              i = "Try `make.unique()`, or sum them.", .call = .call)
  }
  invisible(names)
}

# A Seurat object's counts, or its normalised data where they are and are asked
# for first.
nmf_seurat <- function(x, assay, prefer, .call) {
  assays <- methods::slot(x, "assays")
  name <- assay %||% methods::slot(x, "active.assay")
  if (!is.character(name) || length(name) != 1L) {
    stop_user("argument", "`assay` must be the name of an assay.",
              x = paste0("It is ", describe(name), "."), .call = .call)
  }
  if (!name %in% names(assays)) {
    stop_user("argument", paste0("The Seurat object has no assay \"", name, "\"."),
              x = paste0("It has ", some_of(names(assays), 8L), "."), .call = .call)
  }
  if (which(prefer == "data") < which(prefer == "counts")) {
    normalised <- seurat_layer(assays[[name]], "data")
    if (!is.null(normalised) && ncol(normalised)) {
      return(nmf_matrix(normalised, NULL, prefer, .call))
    }
  }
  seurat_counts(assays[[name]], name, .call)
}

# Refuses what has no non-negative factorisation.  Returns what was seen, with
# the number of missing entries.
check_nmf_values <- function(x, na, method, .call = caller_env()) {
  entries <- if (is.matrix(x)) x else x@x
  values <- x
  missing <- sum(is.na(entries))
  if (missing && na == "missing") {
    check_takes(method, "weights", "na = \"missing\"", .call = .call)
    entries[is.na(entries)] <- 0
    if (is.matrix(x)) values <- entries else values@x <- entries
  }
  scan <- call_rs(rs_scan_counts, counts = values, .call = .call)
  where <- function(at) {
    name <- function(names, i) if (is.null(names)) i else paste0("\"", names[i], "\"")
    paste0("The first is at feature ", name(rownames(x), at[1L]), ", sample ",
           name(colnames(x), at[2L]), ".")
  }
  if (length(scan$negative)) {
    stop_user("negative_values", "`x` has negative values.", x = where(scan$negative),
              i = paste("Factorise values before they are centred or scaled; a factorisation of",
                        "signed data (semi-NMF) is another model and is not offered."),
              .call = .call)
  }
  if (length(scan$infinite)) {
    stop_user("infinite_values", "`x` has infinite values.", x = where(scan$infinite),
              i = "Replace them, or leave the feature or sample out.", .call = .call)
  }
  if (length(scan$missing)) {
    stop_user("missing_values", "`x` has missing values.", x = where(scan$missing),
              i = "Say `na = \"missing\"` to leave missing entries out of the fit.",
              .call = .call)
  }
  if (!any(scan$totals > 0)) {
    stop_user("empty_matrix", "`x` has only zeros: there is nothing to factorise.",
              .call = .call)
  }
  check_scale(max(scan$max), "x", .call)
  list(max = scan$max, n_missing = missing)
}

# For the verbs that factorise complete data: refuses what has no non-negative
# factorisation, and says whether all values are whole numbers.
check_factorisable <- function(x, .call = caller_env()) {
  entries <- if (is.matrix(x)) x else x@x
  if (anyNA(entries)) {
    stop_user("missing_values", "The data have missing values.",
              x = paste0("There are ", count_text(sum(is.na(entries))), "."),
              i = "Leave their features or samples out, or see `nmf(na = \"missing\")`.",
              .call = .call)
  }
  check_nmf_values(x, "refuse", NULL, .call = .call)
  invisible(all(entries == round(entries)))
}

# Stops when an extra is asked for that the method has not.
check_takes <- function(method, extra, what = extra, .call = caller_env()) {
  if (extra %in% method$takes) return(invisible())
  stop_user("argument", paste0("`", what, "` is not available for method \"", method$name, "\"."),
            i = "Methods \"hals\" (Frobenius loss) and \"kl\" have it.", .call = .call)
}

# The rows of new data in the order of the features of a fit: by name where both
# have names, else as they are.
align_rows <- function(x, features, n_features, what, .call = caller_env()) {
  if (is.null(features) || is.null(rownames(x))) {
    if (nrow(x) == n_features) return(x)
    stop_user("features", paste0(what, " must have the features of the fit in its rows."),
              x = paste0("It has ", plural(nrow(x), "row"), "; the fit has ",
                         plural(n_features, "feature"), "."), .call = .call)
  }
  place <- match(features, rownames(x))
  if (anyNA(place)) {
    stop_user("features", paste0(what, " must have every feature of the fit."),
              x = paste0(plural(sum(is.na(place)), "feature"), " not in it: ",
                         some_of(features[is.na(place)]), "."), .call = .call)
  }
  if (identical(place, seq_len(nrow(x)))) x else x[place, , drop = FALSE]
}

# Data to be put on a basis, with its rows in their order; `prefer` are the assays to read.
non_negative_values <- function(x, basis, prefer, what, assay = NULL, .call = caller_env()) {
  if (is.numeric(x) && is.null(dim(x))) x <- matrix(x, dimnames = list(names(x), NULL))
  x <- nmf_input(x, assay, prefer, .call = .call)
  x <- align_rows(x, rownames(basis), nrow(basis), what, .call)
  values <- if (is.matrix(x)) x else x@x
  ok <- is.numeric(values) && !anyNA(values) && all(is.finite(values)) && all(values >= 0)
  if (!ok) {
    stop_user("argument", paste0(what, " must hold non-negative, finite numbers."), .call = .call)
  }
  if (is.matrix(x)) storage.mode(x) <- "double"
  x
}
