# The class of select_markers(), and markers that users bring.

# markers   a data frame with a row per marker
# types     all types that were selected for, also those without markers
# The profiles of the markers (per million) are kept for the plot.
new_markers <- function(markers, types, expression) {
  markers$type <- factor(markers$type, types)
  rownames(markers) <- NULL
  structure(markers, class = c("markers", "data.frame"),
            profiles = expression[markers$gene, , drop = FALSE])
}

check_marker_types <- function(types, known, what = "`types`", .call = caller_env()) {
  if (is.null(types)) return(known)
  unknown <- setdiff(types, known)
  if (length(unknown) || !length(types)) {
    stop_user("types", paste0(what, " must name types of the signatures."),
              x = if (length(unknown)) paste0("Unknown: ", some_of(unknown), "."),
              i = paste0("There are ", some_of(known, 21L), "."), .call = .call)
  }
  unique(as.character(types))
}

# The names of all markers, which must be among `genes`.
checked_markers <- function(markers, genes, what, .call = caller_env()) {
  named <- unlist(marker_list(markers, what, .call = .call), use.names = FALSE)
  if (!length(named)) {
    stop_user("markers", paste0("`", what, "` names no gene."), .call = .call)
  }
  named <- strip_ensembl_version(named)
  genes <- strip_ensembl_version(genes)
  unknown <- unique(named[!named %in% genes])
  if (length(unknown)) stop_unknown_markers(unknown, genes, what, .call)
  named
}

# Genes per type, of any form that markers come in: an object or data frame with
# the columns `gene` and `type`, a list, or bare names.
marker_list <- function(markers, what, .call = caller_env()) {
  if (is.data.frame(markers) && "gene" %in% names(markers)) {
    types <- if (is.null(markers[["type"]])) rep("", nrow(markers)) else markers[["type"]]
    # factor() would sort types that have no order of their own
    if (!is.factor(types)) types <- factor(types, unique(types))
    return(split(as.character(markers[["gene"]]), types))
  }
  if (is.factor(markers)) markers <- as.character(markers)
  if (is.character(markers)) return(list(markers))
  if (is.list(markers) && !is.data.frame(markers) &&
        all(vapply(markers, function(x) is.character(x) || is.factor(x), NA))) {
    return(lapply(markers, as.character))
  }
  stop_user("argument", paste0("`", what, "` must be names of genes."),
            x = paste0("It is ", describe(markers), "."),
            i = "Give what `select_markers()` returned, or a list with the genes of each type.",
            .call = .call)
}

stop_unknown_markers <- function(unknown, genes, what, .call) {
  same <- genes[match(toupper(unknown), toupper(genes), nomatch = 0L)]
  stop_user(
    "markers", paste0("`", what, "` must name genes that exist."),
    x = paste0("Unknown: ", some_of(unknown, 5L), "."),
    i = if (length(same)) {
      paste0("There is ", some_of(same), ": symbols are capitals in human, Title case in mouse.")
    } else {
      paste0("Genes are named like ", some_of(genes), ".")
    }, .call = .call
  )
}

# Weights of all genes, 1 for markers and 0 for others, for
# deconvolve_bulk(gene_weights = ).
as_gene_weights <- function(markers, genes, .call = caller_env()) {
  named <- checked_markers(markers, genes, "gene_weights", .call = .call)
  stats::setNames(as.double(strip_ensembl_version(genes) %in% named), genes)
}

#' @rdname select_markers
#' @export
print.markers <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat(plural(nrow(x), "marker"), " of ", plural(nlevels(x$type), "cell type"), "\n", sep = "")
  if (!nrow(x)) return(invisible(x))
  by_type <- as.list(x)
  shown <- utils::head(by_type, 20L)
  median_ratio <- vapply(split(x$log2_ratio, x$type), function(v) {
    if (length(v)) stats::median(v) else NA_real_
  }, 0)
  print(data.frame(
    type = shorten(names(shown)), markers = lengths(shown),
    log2_ratio = round(median_ratio[names(shown)], 2), best = vapply(shown, best_names, "")
  ), row.names = FALSE, right = FALSE)
  if (length(by_type) > 20L) cat("... and", length(by_type) - 20L, "more types\n")
  invisible(x)
}

best_names <- function(genes, n = 4L) {
  paste0(paste(utils::head(genes, n), collapse = ", "), if (length(genes) > n) ", ...")
}

#' @rdname select_markers
#' @export
as.list.markers <- function(x, ...) {
  refuse_dots(...)
  marker_list(x, "x")
}

#' @rdname select_markers
#' @export
as.data.frame.markers <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  attr(x, "profiles") <- NULL
  class(x) <- "data.frame"
  x
}
