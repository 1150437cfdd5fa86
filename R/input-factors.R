# Matrices and covariates for latent factors, in every form that users have them.

# A double matrix or a dgCMatrix, features x samples.
factor_input <- function(x, assay, counts, .call = caller_env()) {
  prefer <- if (counts) c("counts", "logcounts", "data") else c("logcounts", "data", "counts")
  x <- nmf_input(x, assay, prefer, .call = .call)
  if (methods::is(x, "dgCMatrix")) Matrix::drop0(x) else x
}

# The features to fit: as many as are asked for, of the largest variance of log1p of
# the counts scaled to the mean total.
variable_features <- function(x, n, counts, .call = caller_env()) {
  if (is.null(n)) return(x)
  n <- check_count(n, "n_features", .call = .call)
  if (n >= nrow(x)) return(x)
  values <- x
  if (counts) {
    totals <- Matrix::colSums(x)
    scale <- mean(totals) / pmax(totals, 1)
    if (is.matrix(x)) values <- log1p(sweep(x, 2L, scale, "*")) else
      values@x <- log1p(x@x * rep(scale, diff(x@p)))
  }
  known <- if (is.matrix(x) && anyNA(x)) rowSums(!is.na(x)) else ncol(x)
  means <- Matrix::rowSums(values, na.rm = TRUE) / known
  variance <- Matrix::rowSums(values^2, na.rm = TRUE) / known - means^2
  x[sort(order(-variance)[seq_len(n)]), , drop = FALSE]
}

# Data frame of what an object says of its cells; NULL for a plain matrix.
cell_data <- function(x) {
  if (inherits(x, "Seurat")) return(methods::slot(x, "meta.data"))
  if (inherits(x, "count_table")) return(x$metadata)
  if (inherits(x, "SummarizedExperiment")) {
    need_package("SummarizedExperiment", "to read column data")
    return(as.data.frame(SummarizedExperiment::colData(x), optional = TRUE))
  }
  NULL
}

# A vector per cell: as given, or a column of the cell data by name.
cell_column <- function(value, data, n, what, .call = caller_env()) {
  if (is.character(value) && length(value) == 1L && n != 1L) {
    if (!value %in% names(data)) {
      stop_user("argument", paste0("`", what, "` must be a value per cell, or name a column of ",
                                   "the cell data."),
                x = if (is.null(data)) paste0("`x` is a matrix: there is no \"", value, "\".")
                    else paste0("There is no column \"", value, "\"; there are ",
                                some_of(names(data)), "."), .call = .call)
    }
    value <- data[[value]]
  }
  if (!is.atomic(value) || length(value) != n) {
    stop_user("argument", paste0("`", what, "` must have a value per cell."),
              x = paste0("It is ", describe(value), "; there are ", plural(n, "cell"), "."),
              .call = .call)
  }
  if (anyNA(value)) {
    stop_user("missing_values", paste0("`", what, "` has missing values."),
              x = paste0("There are ", count_text(sum(is.na(value))), "."),
              i = "Leave these cells out.", .call = .call)
  }
  value
}

# A numeric matrix of covariates, a row per item, from a matrix, data frame, formula or
# names of columns of `data`. `like` is what an earlier call returned, whose columns and
# levels new data must have.
covariate_matrix <- function(given, data, n, what, like = NULL, .call = caller_env()) {
  noun <- if (what == "gene_covariates") "gene" else "cell"
  if (is.null(given)) return(matrix(0, n, 0L))
  if (inherits(given, "formula")) {
    if (length(given) != 2L || is.null(data)) {
      stop_user("argument", paste0("`", what, "` can be a one-sided formula where `x` has cell ",
                                   "data."),
                x = if (is.null(data)) "`x` is a matrix." else "The formula has a left side.",
                .call = .call)
    }
    unknown <- setdiff(all.vars(given), names(data))
    if (length(unknown)) {
      stop_user("argument", paste0("`", what, "` must use columns of the cell data."),
                x = paste0("Not there: ", some_of(unknown), "."), .call = .call)
    }
    given <- stats::model.frame(given, data, na.action = stats::na.pass)
  } else if (is.character(given) && !is.null(data) && all(given %in% names(data))) {
    given <- as.data.frame(data)[given]
  } else if (is.numeric(given) && is.null(dim(given))) {
    given <- matrix(given, dimnames = list(NULL, what))
  }
  if (!is.data.frame(given) && !(is.matrix(given) && is.numeric(given))) {
    stop_user("argument", paste0("`", what, "` must be a numeric matrix, a data frame",
                                 if (noun == "cell") ", a formula or names of columns", "."),
              x = paste0("It is ", describe(given), "."), .call = .call)
  }
  if (nrow(given) != n) {
    stop_user("argument", paste0("`", what, "` must have a row per ", noun, "."),
              x = paste0("It has ", plural(nrow(given), "row"), "; there are ", plural(n, noun),
                         "."), .call = .call)
  }
  if (anyNA(given)) {
    stop_user("missing_values", paste0("`", what, "` has missing values."),
              x = paste0("There are ", count_text(sum(is.na(given))), "."), .call = .call)
  }
  if (is.data.frame(given)) given <- expanded_covariates(given, attr(like, "groups"), what, .call)
  groups <- attr(given, "groups")
  names <- colnames(given) %||% paste0(what, seq_len(ncol(given)))
  out <- matrix(as.double(given), n, dimnames = list(NULL, names))
  if (!all(is.finite(out))) {
    stop_user("infinite_values", paste0("`", what, "` has infinite values."), .call = .call)
  }
  attr(out, "groups") <- groups
  out
}

# Numbers as they are, groups by treatment contrasts.
expanded_covariates <- function(frame, known, what, .call) {
  levels <- list()
  columns <- lapply(names(frame), function(name) {
    value <- frame[[name]]
    if (is.numeric(value)) return(matrix(value, dimnames = list(NULL, name)))
    groups <- known[[name]] %||% levels(factor(value))
    unknown <- setdiff(as.character(value), groups)
    if (length(unknown)) {
      stop_user("covariates", paste0("`", what, "` has groups that the fit does not know."),
                x = paste0("In \"", name, "\": ", some_of(unknown), "; known are ",
                           some_of(groups), "."), .call = .call)
    }
    levels[[name]] <<- groups
    indicators <- outer(as.character(value), groups[-1L], "==") + 0
    colnames(indicators) <- paste0(name, groups[-1L], recycle0 = TRUE)
    indicators
  })
  out <- do.call(cbind, columns)
  attr(out, "groups") <- levels
  out
}

# Batches as contrasts that treat all levels alike: orthonormal, and orthogonal to the
# intercept, so that a penalty shrinks every level's effect towards their mean.
batch_contrasts <- function(batch, levels) {
  basis <- stats::contr.helmert(length(levels))
  basis <- sweep(basis, 2L, sqrt(colSums(basis^2)), "/")
  dimnames(basis) <- list(levels, paste0("batch", seq_len(ncol(basis))))
  out <- basis[match(batch, levels), , drop = FALSE]
  rownames(out) <- NULL
  list(columns = out, basis = basis)
}

check_batch <- function(batch, .call = caller_env()) {
  batch <- as.character(batch)
  levels <- sort(unique(batch))
  if (length(levels) < 2L) {
    stop_user("one_batch", "`batch` must have two batches or more.",
              x = paste0("All cells are of \"", levels, "\"."),
              i = "Leave `batch` out.", .call = .call)
  }
  list(values = batch, levels = levels)
}

# Refuses columns that say the same, the intercept's among them.
check_full_rank <- function(design, what, .call = caller_env()) {
  if (ncol(design) && qr(design)$rank < ncol(design)) {
    stop_user("confounded", paste0("The columns of ", what, " must be linearly independent."),
              x = paste0("There are ", ncol(design), ": ", some_of(colnames(design), 6L), "."),
              i = "Leave out covariates that others, or the intercept, already say.",
              .call = .call)
  }
}

# Missing entries; those that a sparse matrix does not store are 0.
n_missing <- function(x) sum(is.na(if (is.matrix(x)) x else x@x))

# Places of the fit's genes among the rows of `x`; NA for those that are not there.
matched_genes <- function(genes, n_genes, x, .call) {
  if (is.null(genes) || is.null(rownames(x))) {
    if (nrow(x) == n_genes) return(seq_len(n_genes))
    stop_user("features", "`newdata` must have the genes of the fit in its rows.",
              x = paste0("It has ", plural(nrow(x), "row"), "; the fit has ",
                         plural(n_genes, "gene"), "."), .call = .call)
  }
  at <- match(genes, rownames(x))
  if (mean(is.na(at)) > 0.05) {
    stop_user("features", "`newdata` must have the genes of the fit.",
              x = paste0(count_text(sum(is.na(at))), " of ", plural(length(at), "gene"),
                         " are not in it: ", some_of(genes[is.na(at)]), "."),
              i = "One in twenty may be missing.", .call = .call)
  }
  at
}
