# Markers: the genes most specific to each type.

#' Marker genes of cell types
#'
#' `select_markers()` takes, for each type, the genes that it expresses most and
#' that are most specific to it. `check_markers()` checks a list of your own.
#'
#' @details
#' Specificity is measured on signatures that are normalised over *all* their
#' genes, and the profiles are not scaled again after the selection: scaled to the
#' same sum over markers alone, types with strong markers would look like types
#' with much mRNA. Give all genes here, and genes to leave out as `exclude`; in
#' [deconvolve_bulk()], give markers as weights and not as fewer rows.
#'
#' @param signatures [signatures] or a matrix, as for [gene_specificity()].
#' @param n Markers per type, at most. 20 to 50 serve absolute proportions best.
#' @param min_expression Smallest expression in the type, per million.
#' @param exclude Genes to leave out: names, `NULL` for none, or `"protocol"` for
#'   those of [protocol_genes()], recognised by symbol or human Ensembl
#'   identifier.
#' @param types Types to select for; all by default. Genes are compared with all
#'   types of the signatures, whether selected for or not.
#' @param by `"log_ratio"` puts genes in order of their ratio to the next type,
#'   `"specificity"` of their entropy (see [gene_specificity()]).
#' @param candidates Names of genes to choose from; all by default.
#' @param min_log2_ratio Smallest log2 ratio to the next type.
#' @param pseudocount Added to both sides of the ratio, per million.
#' @param markers What `select_markers()` returned, a data frame with the columns
#'   `gene` and `type`, a list with the genes of each type, or names of genes.
#' @param genes Names of all genes there are.
#' @param x,object An object of class `markers`.
#' @param row.names,optional,... Not used, except that `plot()` and `autoplot()` hand
#'   `...` on to [plot_markers()].
#' @return `select_markers()` gives an object of class `markers`: a data frame with a
#'   row per marker and the columns `type`, `gene`, `rank` (within the type),
#'   `specificity` (entropy), `log2_ratio` (to the next type), `log2_ratio_mean` (to
#'   the mean of the others) and `expression` (in the type, per million). A gene is
#'   a marker of one type only. `as.list()` gives the genes of each type,
#'   `check_markers()` its markers, invisibly.
#' @section Errors and warnings: `unalloy_error_markers` for genes that do not
#'   exist, `unalloy_error_types` for types that do not; `unalloy_warning_few_markers`
#'   names types with fewer than `n` markers. Ensembl identifiers of mouse genes
#'   give `unalloy_error_no_gene_table` with `exclude = "protocol"`.
#' @seealso [plot_markers()], [protocol_genes()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 2, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' markers <- select_markers(signatures, n = 5)
#' markers
#' as.list(markers)
#' plot(markers)
select_markers <- function(signatures, n = 50, min_expression = 10, exclude = "protocol",
                           types = NULL, by = c("log_ratio", "specificity"), candidates = NULL,
                           min_log2_ratio = 0.5, pseudocount = 10) {
  n <- check_count(n, "n")
  min_expression <- check_number(min_expression, "min_expression", min = 0)
  by <- check_choice(by, c("log_ratio", "specificity"), "by")
  min_log2_ratio <- check_number(min_log2_ratio, "min_log2_ratio", min = 0)
  pseudocount <- check_number(pseudocount, "pseudocount", min = 0, above = TRUE)
  expression <- per_million(signatures)
  types <- check_marker_types(types, colnames(expression))
  allowed <- marker_candidates(rownames(expression), candidates, exclude)
  table <- specificity_of(expression, "entropy", pseudocount)
  eligible <- allowed & !is.na(table$type) & table$expression >= min_expression &
    table$log2_ratio >= min_log2_ratio & table$log2_ratio > 0
  markers <- best_per_type(table[eligible, ], types, n, by)
  warn_few_markers(markers, types, n)
  new_markers(markers, types, expression)
}

# markers   a data frame with a row per marker
# types     all types that were selected for, also those without markers
# The profiles of the markers (per million) are kept for the plot.
new_markers <- function(markers, types, expression) {
  markers$type <- factor(markers$type, types)
  rownames(markers) <- NULL
  structure(markers, class = c("markers", "data.frame"),
            profiles = expression[markers$gene, , drop = FALSE])
}

best_per_type <- function(table, types, n, by) {
  value <- if (by == "log_ratio") table$log2_ratio else table$specificity
  # equal values in order of expression, so that the order of rows does not matter
  table <- table[order(-value, -table$expression, rownames(table), method = "radix"), ]
  parts <- lapply(types, function(type) {
    best <- utils::head(table[table$type == type, ], n)
    data.frame(type = best$type, gene = rownames(best), rank = seq_len(nrow(best)),
               best[c("specificity", "log2_ratio", "log2_ratio_mean", "expression")])
  })
  do.call(rbind, parts)
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

# Which genes may become markers.
marker_candidates <- function(genes, candidates, exclude, .call = caller_env()) {
  allowed <- rep(TRUE, length(genes))
  if (!is.null(candidates)) {
    allowed <- genes %in% checked_markers(candidates, genes, "candidates", .call = .call)
  }
  if (is.null(exclude)) return(allowed)
  if (!is.character(exclude)) {
    stop_user("argument", "`exclude` must be names of genes, \"protocol\" or NULL.",
              x = paste0("It is ", describe(exclude), "."), .call = .call)
  }
  if (identical(exclude, "protocol")) exclude <- find_protocol_genes(genes, .call = .call)
  allowed & !genes %in% strip_ensembl_version(exclude)
}

warn_few_markers <- function(markers, types, n, .call = caller_env()) {
  found <- table(factor(markers$type, types))
  few <- found[found < n]
  if (!length(few)) return(invisible())
  # the emptiest first
  few <- few[order(few)]
  shown <- utils::head(paste0("\"", names(few), "\": ", few), 6L)
  if (length(few) > 6L) shown <- c(shown, paste(length(few) - 6L, "more types"))
  warn_user("few_markers", paste0("Some types have fewer than ", plural(n, "marker"), "."),
            x = paste0(paste(shown, collapse = ", "), "."),
            i = paste("Merge them with the type they resemble, or lower `min_log2_ratio` or",
                      "`min_expression`."), .call = .call)
}

#' @rdname select_markers
#' @export
check_markers <- function(markers, genes) {
  checked_markers(markers, genes, "markers")
  invisible(markers)
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
as.list.markers <- function(x, ...) marker_list(x, "x")

#' @rdname select_markers
#' @export
as.data.frame.markers <- function(x, row.names = NULL, optional = FALSE, ...) {
  attr(x, "profiles") <- NULL
  class(x) <- "data.frame"
  x
}

#' Heatmap of marker genes
#'
#' Expression of each marker in each type, relative to the type that expresses it
#' most. A clear marker is one bright tile in a dark row.
#'
#' @param markers What [select_markers()] returned, a data frame with the columns
#'   `gene` and `type`, or a list with the genes of each type.
#' @param signatures The signatures; needed unless `markers` is an object of
#'   [select_markers()].
#' @param n Markers shown per type, the best.
#' @param pseudocount Added to expression before the logarithm, per million.
#' @param range Ratios below `-range` (log2) have the darkest colour.
#' @return A ggplot: genes (rows, grouped by the type they mark) by types.
#' @section Errors: as [select_markers()].
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 2, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' plot_markers(select_markers(signatures, n = 8))
#' plot_markers(list("Type A" = c("Gene001", "Gene002")), signatures)
plot_markers <- function(markers, signatures = NULL, n = 10, pseudocount = 10, range = 6) {
  n <- check_count(n, "n")
  pseudocount <- check_number(pseudocount, "pseudocount", min = 0, above = TRUE)
  range <- check_number(range, "range", min = 0, above = TRUE)
  expression <- marker_profiles(markers, signatures)
  genes <- lapply(marker_list(markers, "markers"), utils::head, n)
  if (!sum(lengths(genes))) stop_user("markers", "There are no markers to draw.")
  table <- marker_tiles(genes, expression, pseudocount, range)
  many <- nlevels(table$row) > 60
  ggplot(table, aes(.data$type, .data$row, fill = .data$relative)) +
    # a height of 1 leaves white seams between rows on some devices
    geom_tile(height = 1.02) +
    facet_grid(rows = vars(.data$group), scales = "free_y", space = "free_y", switch = "y",
               labeller = function(labels) lapply(labels, function(x) shorten(as.character(x)))) +
    scale_fill_viridis_c(name = "log2 ratio to the gene's highest type", limits = c(-range, 0),
                         n.breaks = 4) +
    scale_x_discrete(expand = expansion(), labels = shorten) +
    marker_names(table, genes, many) +
    labs(title = "Markers of cell types", x = NULL, y = NULL) + theme_unalloy() +
    theme(panel.grid.major = element_blank(), legend.position = "top",
          axis.text.x = element_text(angle = 90, hjust = 1, vjust = 0.5),
          axis.text.y.right = element_text(size = rel(if (many) 0.55 else 0.8), hjust = 0),
          panel.spacing.y = unit(if (many) 0.12 else 0.25, "lines"),
          strip.text.y.left = element_text(angle = 0, hjust = 1), strip.clip = "off")
}

# The y axis: a name per row, or where rows are too many for that the names of
# each group as a text beside it.
marker_names <- function(table, genes, many) {
  rows <- levels(table$row)
  if (!many) {
    names <- stats::setNames(sub("^.*\r", "", rows), rows)
    return(scale_y_discrete(labels = names, expand = expansion(), position = "right"))
  }
  filled <- genes[lengths(genes) > 0L]
  middle <- vapply(names(filled), function(type) {
    paste0(type, "\r", filled[[type]][ceiling(length(filled[[type]]) / 2)])
  }, "")
  text <- vapply(filled, function(group) {
    paste(strwrap(best_names(group, 12L), 48L), collapse = "\n")
  }, "")
  scale_y_discrete(breaks = unname(middle), labels = stats::setNames(text, middle),
                   expand = expansion(), position = "right")
}

marker_profiles <- function(markers, signatures, .call = caller_env()) {
  kept <- attr(markers, "profiles")
  if (is.null(signatures) && inherits(markers, "markers") &&
        all(markers$gene %in% rownames(kept))) {
    return(kept)
  }
  if (is.null(signatures)) {
    stop_user("argument", "`signatures` are needed to draw these markers.",
              i = "Give the signatures that the markers were selected from.", .call = .call)
  }
  types <- names(marker_list(markers, "markers", .call = .call))
  if (is.null(types)) {
    stop_user("argument", "`markers` must be a list with the genes of each type.",
              x = paste0("It is ", describe(markers), "."), .call = .call)
  }
  expression <- per_million(signatures, .call = .call)
  checked_markers(markers, rownames(expression), "markers", .call = .call)
  check_marker_types(types, colnames(expression), "The names of `markers`", .call = .call)
  expression
}

# A row per tile.  The same gene may stand in several groups of a user's list, so
# that rows are named by group and gene.
marker_tiles <- function(genes, expression, pseudocount, range) {
  group <- rep(names(genes), lengths(genes))
  gene <- unlist(genes, use.names = FALSE)
  row <- paste0(group, "\r", gene)
  types <- c(intersect(names(genes), colnames(expression)),
             setdiff(colnames(expression), names(genes)))
  values <- log2(expression[strip_ensembl_version(gene), types, drop = FALSE] + pseudocount)
  relative <- pmax(values - apply(values, 1L, max), -range)
  data.frame(
    type = factor(rep(types, each = length(row)), types),
    row = factor(rep(row, length(types)), rev(unique(row))),
    group = factor(rep(group, length(types)), names(genes)),
    relative = as.vector(relative)
  )
}

#' @rdname select_markers
#' @export
plot.markers <- function(x, ...) {
  drawn <- plot_markers(x, ...)
  print(drawn)
  invisible(drawn)
}

#' @rdname select_markers
#' @method autoplot markers
#' @export
autoplot.markers <- function(object, ...) plot_markers(object, ...)
