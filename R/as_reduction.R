#' Put a factorisation into a single-cell object
#'
#' Adds the coefficients as a reduced dimension to a `SingleCellExperiment` or a
#' Seurat object, where neighbours, UMAP and clusters can be computed from them, or makes the
#' reduced dimension alone.
#'
#' @param fit An [nmf_fit], or the result of [latent_factors()] or [autoencode()].
#' @param object The object whose cells were factorised; its cells are matched by name.
#'   `NULL` gives the reduction itself.
#' @param name Name of the reduction. Seurat writes such names in lower case.
#' @param format Without `object`: `"reducedDim"`, a cells × components matrix with the
#'   basis as attribute `basis`, as package scater makes it; or `"DimReduc"`, of
#'   package SeuratObject.
#' @param assay For Seurat: the assay that was factorised; the active one by default.
#' @param ... None: other arguments are refused.
#' @return The object with the reduction, or the reduction.
#' @section Errors: `unalloy_error_samples` when cells of the object are not in the fit,
#'   `unalloy_error_argument`.
#' @seealso [add_to()], which takes the object first and every kind of result.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 2, cells_per_type = 10, seed = 1)
#' fit <- nmf(sim$reference, rank = 3, method = "kl", seed = 1)
#' # the reduction alone; as_reduction(fit, object) puts it into an object
#' str(as_reduction(fit))
as_reduction <- function(fit, object = NULL, name = "nmf", ...) {
  check_call("fit")
  UseMethod("as_reduction")
}

#' @export
as_reduction.default <- function(fit, object = NULL, name = "nmf", ...) {
  refuse_dots(...)
  stop_user("class", paste("`as_reduction()` takes what `nmf()`, `latent_factors()` or",
                           "`autoencode()` returns."),
            x = paste0("It is ", describe(fit), "."))
}

#' @rdname as_reduction
#' @export
as_reduction.nmf_fit <- function(fit, object = NULL, name = "nmf",
                                 format = c("reducedDim", "DimReduc"), assay = NULL, ...) {
  refuse_dots(...)
  check_factors(fit, "fit")
  reduction_of(fit, object, name, format, assay)
}

#' @rdname as_reduction
#' @export
as_reduction.latent_factors <- function(fit, object = NULL, name = "factors",
                                        format = c("reducedDim", "DimReduc"), assay = NULL, ...) {
  refuse_dots(...)
  reduction_of(fit, object, name, format, assay)
}

#' @rdname as_reduction
#' @export
as_reduction.autoencoder <- function(fit, object = NULL, name = "latent",
                                     format = c("reducedDim", "DimReduc"), assay = NULL, ...) {
  refuse_dots(...)
  reduction_of(fit, object, name, format, assay)
}

reduction_of <- function(fit, object, name, format, assay, .call = caller_env()) {
  if (!is.character(name) || length(name) != 1L || is.na(name) || !nzchar(name)) {
    stop_user("argument", "`name` must be one text.", x = paste0("It is ", describe(name), "."),
              .call = .call)
  }
  format <- check_choice(format, c("reducedDim", "DimReduc"), "format", .call = .call)
  if (is.null(object)) {
    if (format == "reducedDim") return(embedding_of(fit, colnames(fit$coef), .call = .call))
    return(dim_reduc(fit, colnames(fit$coef), name, assay %||% "RNA", .call = .call))
  }
  if (inherits(object, "Seurat")) {
    need_package("SeuratObject", "to change a Seurat object")
    assay <- assay %||% methods::slot(object, "active.assay")
    if (name %in% names(methods::slot(object, "assays"))) {
      stop_user("argument", "`name` must not be that of an assay of the object.",
                x = paste0("It is \"", name, "\"."), i = "Take \"nmf\", as by default.",
                .call = .call)
    }
    cells <- rownames(methods::slot(object, "meta.data"))
    object[[name]] <- dim_reduc(fit, cells, name, assay, .call = .call)
    return(object)
  }
  if (inherits(object, "SingleCellExperiment")) {
    need_package("SingleCellExperiment", "to change a SingleCellExperiment")
    values <- embedding_of(fit, colnames(object), ncol(object), .call = .call)
    SingleCellExperiment::reducedDim(object, name) <- values
    return(object)
  }
  stop_user("argument", "`object` must be a SingleCellExperiment or a Seurat object.",
            x = paste0("It is ", describe(object), "."), .call = .call)
}

# Cells x components, in the order of `cells`.
embedding_of <- function(fit, cells, n = length(cells), .call = caller_env()) {
  values <- t(fit$coef)
  if (!is.null(cells) && !is.null(rownames(values))) {
    at <- match(cells, rownames(values))
    if (anyNA(at)) {
      stop_user("samples", "Every cell of the object must be in the fit.",
                x = paste0(plural(sum(is.na(at)), "cell"), " not in it: ",
                           some_of(cells[is.na(at)]), "."), .call = .call)
    }
    values <- values[at, , drop = FALSE]
  } else if (!is.null(cells) || n > 0L) {
    if (nrow(values) != n) {
      stop_user("samples", "The object must have the cells of the fit.",
                x = paste0("It has ", plural(n, "cell"), "; the fit has ", nrow(values), "."),
                .call = .call)
    }
  }
  attr(values, "basis") <- fit$basis
  values
}

dim_reduc <- function(fit, cells, name, assay, .call = caller_env()) {
  need_package("SeuratObject", "to make a DimReduc")
  values <- embedding_of(fit, cells, .call = .call)
  attr(values, "basis") <- NULL
  # keys of Seurat are letters and digits, then an underscore
  key <- paste0(gsub("[^A-Za-z0-9]", "", name), "_")
  if (!grepl("^[A-Za-z]", key)) {
    stop_user("argument", "`name` must begin with a letter: Seurat makes a key of it.",
              x = paste0("It is \"", name, "\"."), .call = .call)
  }
  names <- paste0(key, seq_len(fit$rank))
  # a decoder that is not linear has no loadings
  loadings <- fit$basis %||% matrix(0, 0L, fit$rank)
  colnames(values) <- colnames(loadings) <- names
  SeuratObject::CreateDimReducObject(embeddings = values, loadings = loadings, key = key,
                                     assay = assay)
}
