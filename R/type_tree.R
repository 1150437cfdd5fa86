# Trees of cell types: given, or learned from the signatures.

# Specific genes per type that distances between types are measured on.
TREE_GENES <- 100
# Correlation of two types above which they go into one group; the default of type_tree().
# At 0.3 NK and T cells of a 10x reference were joined, to the harm of both.
TREE_CORRELATION <- 0.5

#' Trees of cell types
#'
#' `type_tree()` puts types into groups, given by the user or learned from the
#' signatures; [deconvolve_hierarchical()] fits the groups first.
#' `merge_signatures()` makes one signature of each group.
#'
#' # How a tree is learned
#' Types that share most of what sets them apart from the others are hard to
#' tell apart: moving mRNA from one to the other changes few genes. So each
#' profile is taken to the log scale (with 10 per million added), on the 100 most
#' specific genes of every type outside [protocol_genes()], and the mean over
#' types is subtracted from each gene. What is left says how a type differs from
#' the typical type, and the correlation of two types how much of that they
#' share: about \eqn{-1/(T-1)} for unrelated ones among T types, and near 1 for
#' subtypes of one lineage. Types are joined by average linkage on 1 -
#' correlation, and the tree is cut where the correlation of two branches falls
#' below `correlation`. Profiles of signatures that know their counts are first
#' shrunk as far as noise explains their differences, else types with few cells
#' look unlike everything.
#'
#' # Merged signatures
#' Counts are added: the profile of a group is the mean of its types, weighted by
#' their UMI. Of a plain matrix no counts are known, and the mean has equal
#' weights. `cells` add up and `umi` is the mean per cell; `donors` is the largest
#' number of any type. `variance` and `dispersion` are those of a sum of
#' independent types.
#'
#' @param signatures A [signatures] object, or a matrix as [deconvolve_bulk()]
#'   takes it.
#' @param groups The groups: a vector of groups named by type; a list of types
#'   named by group; or a data frame with a column `type` (else the first), whose
#'   other columns are groups from fine to coarse. For `type_tree()`, `NULL`
#'   learns them, and groups must have every type. For `merge_signatures()` a
#'   `type_tree` is taken too (its finest groups), and types without a group stay
#'   as they are.
#' @param correlation Types whose profiles correlate more than this are joined;
#'   see above.
#' @param x A `type_tree`.
#' @param row.names,optional,... Not used.
#' @return `type_tree()`: an object of class `type_tree`, a list with `levels` (a
#'   data frame with the column `type` and a column per level of groups, from fine
#'   to coarse), `learned`, and for learned trees `correlation` (types × types) and
#'   `hclust`. `as.data.frame()` gives `levels`. `merge_signatures()`:
#'   [signatures].
#' @section Errors and warnings: `unalloy_error_tree` for groups that name
#'   unknown types, leave types out, name one twice, or are not nested.
#'   `unalloy_warning_tree` when a learned tree has no group of two.
#' @seealso [deconvolve_hierarchical()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' tree <- type_tree(signatures, list(One = c("Type A", "Type B"), Two = c("Type C", "Type D")))
#' tree
#' merge_signatures(signatures, tree)
type_tree <- function(signatures, groups = NULL, correlation = 0.5) {
  signatures <- as_signatures(signatures)
  correlation <- check_number(correlation, "correlation", -1, 1)
  types <- colnames(signatures$profiles)
  if (!is.null(groups)) return(given_tree(groups, types))
  learn_tree(signatures, correlation)
}

new_type_tree <- function(levels, ...) {
  rownames(levels) <- NULL
  structure(list(levels = levels, ...), class = "type_tree")
}

given_tree <- function(groups, types, .call = caller_env()) {
  if (inherits(groups, "type_tree")) groups <- groups$levels
  levels <- group_table(groups, .call = .call)
  check_known_types(levels, types, .call)
  left_out <- setdiff(types, levels$type)
  if (length(left_out)) {
    stop_user("tree", "Every type of the signatures needs a group.",
              x = paste0("Without: ", some_of(left_out), "."),
              i = "Give it a group of its own, or leave it out of the signatures.", .call = .call)
  }
  levels <- levels[match(types, levels$type), , drop = FALSE]
  check_nested(levels, .call)
  if (length(unique(levels[[ncol(levels)]])) < 2L) {
    stop_user("tree", "A tree needs at least two groups.",
              x = paste0("All types are in ", some_of(unique(levels[[ncol(levels)]])), "."),
              i = "`deconvolve_bulk()` tells types apart without groups.", .call = .call)
  }
  new_type_tree(levels, learned = FALSE)
}

# Groups in any form as a data frame: `type`, then groups from fine to coarse.
group_table <- function(groups, .call = caller_env()) {
  form <- "Give a vector of groups named by type, a list of types named by group, or a data frame."
  if (is.data.frame(groups)) {
    at <- if ("type" %in% names(groups)) match("type", names(groups)) else 1L
    if (ncol(groups) < 2L) {
      stop_user("tree", "A table of groups needs a column of types and one of groups.",
                x = paste0("It has ", some_of(names(groups)), "."), .call = .call)
    }
    levels <- cbind(groups[at], groups[-at])
    names(levels)[1L] <- "type"
  } else if (is.list(groups) && !is.null(names(groups))) {
    levels <- data.frame(type = as.character(unlist(groups)),
                         group = rep(names(groups), lengths(groups)))
  } else if (is.atomic(groups) && !is.null(names(groups))) {
    levels <- data.frame(type = names(groups), group = unname(groups))
  } else {
    stop_user("tree", "`groups` must say which type belongs to which group.",
              x = paste0("It is ", describe(groups), "."), i = form, .call = .call)
  }
  levels[] <- lapply(levels, as.character)
  nameless <- vapply(levels, function(x) anyNA(x) || any(x == ""), NA)
  if (any(nameless)) {
    rows <- which(rowSums(is.na(levels) | levels == "") > 0)
    stop_user("tree", "Every type and group needs a name.",
              x = paste0("Incomplete: ", some_of(levels$type[rows]), "."), .call = .call)
  }
  twice <- unique(levels$type[duplicated(levels$type)])
  if (length(twice)) {
    stop_user("tree", "A type can be in one group only.",
              x = paste0("In more than one: ", some_of(twice), "."), .call = .call)
  }
  levels
}

check_known_types <- function(levels, types, .call) {
  unknown <- setdiff(levels$type, types)
  if (length(unknown)) {
    stop_user("tree", "The tree has types that the signatures don't have.",
              x = paste0("Unknown: ", some_of(unknown), "."),
              i = paste0("Types are ", some_of(types, 6L), "."), .call = .call)
  }
}

# A fine group has one coarse group, and a name that stands for nothing else.
check_nested <- function(levels, .call) {
  for (level in seq_len(ncol(levels))[-1L]) {
    coarse <- levels[[level]]
    for (below in seq_len(level - 1L)) {
      parents <- tapply(coarse, levels[[below]], function(x) length(unique(x)))
      split <- names(parents)[parents > 1L]
      if (length(split)) {
        stop_user("tree", "Groups must be nested.",
                  x = paste0("In more than one group of \"", names(levels)[level], "\": ",
                             some_of(split), "."), .call = .call)
      }
      same <- match(coarse, levels[[below]])
      clash <- !is.na(same) & coarse[same] != coarse
      # fits are named by group
      if (below > 1L) clash <- clash | !is.na(same) & coarse != levels[[below]]
      if (any(clash)) {
        stop_user("tree", "A group can't have the name of another group or its types.",
                  x = paste0("Used twice: ", some_of(unique(coarse[clash])), "."), .call = .call)
      }
    }
  }
}

learn_tree <- function(signatures, cutoff, .call = caller_env()) {
  types <- colnames(signatures$profiles)
  if (length(types) < 3L) {
    stop_user("tree", "Groups can be learned from three types or more.",
              x = paste0("Types are ", some_of(types), "."), .call = .call)
  }
  correlation <- lineage_correlation(signatures)
  joined <- stats::hclust(stats::as.dist(1 - correlation), "average")
  member <- stats::cutree(joined, h = 1 - cutoff)
  names <- vapply(split(types, member), group_label, "")
  levels <- data.frame(type = types, group = unname(make.unique(names)[member]))
  if (!anyDuplicated(levels$group) || length(unique(levels$group)) < 2L) {
    warn_user("tree", "No groups were found in the signatures.",
              x = paste0("Correlations of lineages are between ",
                         paste(format(range(correlation[upper.tri(correlation)]), digits = 2),
                               collapse = " and "), "."),
              i = "Give the groups, or another `correlation`.", .call = .call)
    levels$group <- types
  }
  new_type_tree(levels, learned = TRUE, correlation = correlation, hclust = joined)
}

group_label <- function(types) {
  if (length(types) > 3L) types <- c(types[1:2], paste(length(types) - 2L, "more"))
  paste(types, collapse = " + ")
}

# Correlation of types in what sets them apart from the mean of all types.
lineage_correlation <- function(signatures) {
  profiles <- signatures$profiles
  genes <- rownames(profiles)
  kept <- if (is.null(genes)) rep(TRUE, nrow(profiles))
          else protocol_weights(strip_ensembl_version(genes)) > 0
  reference <- reference_counts(list(sources = profiles), signatures)
  profiles <- calibrate(profiles, reference, kept)
  used <- kept & specific_rank(profiles, kept) < TREE_GENES
  logs <- log(profiles[used, , drop = FALSE] + RATIO_FLOOR)
  correlation <- suppressWarnings(stats::cor(logs - rowMeans(logs)))
  correlation[is.na(correlation)] <- 0
  dimnames(correlation) <- list(colnames(profiles), colnames(profiles))
  correlation
}

#' @rdname type_tree
#' @export
merge_signatures <- function(signatures, groups) {
  signatures <- as_signatures(signatures)
  types <- colnames(signatures$profiles)
  if (inherits(groups, "type_tree")) groups <- groups$levels
  levels <- group_table(groups)
  check_known_types(levels, types, rlang::current_env())
  group <- levels[[2L]][match(types, levels$type)]
  alone <- is.na(group)
  clash <- intersect(types[alone], group)
  if (length(clash)) {
    stop_user("tree", "A group can't have the name of a type outside it.",
              x = paste0("Used twice: ", some_of(clash), "."))
  }
  group[alone] <- types[alone]
  merge_types_into(signatures, factor(group, unique(group)))
}

# `group` is a factor along the types.
merge_types_into <- function(signatures, group) {
  totals <- signatures$umi * signatures$cells
  sized <- !anyNA(totals)
  # share of each type within its group
  weight <- if (sized) totals else rep(1, length(group))
  weight <- as.double(weight / rowsum(weight, group)[as.character(group), 1L])
  member <- weight * (outer(group, levels(group), `==`) + 0)
  colnames(member) <- levels(group)
  merged_sum <- function(x) drop(rowsum(unname(x), group))[levels(group)]
  cells <- merged_sum(signatures$cells)
  new_signatures(
    signatures$profiles %*% member,
    variance = if (!is.null(signatures$variance)) merge_variance(signatures$variance, member),
    cells = cells, umi = if (sized) merged_sum(totals) / cells else NA_real_,
    donors = as.integer(tapply(signatures$donors, group, max)),
    dispersion = drop(signatures$dispersion %*% member^2)
  )
}

# Variance of sums of independent types.  Types without a variance (one donor)
# are taken to have that of the others of their group.
merge_variance <- function(variance, member) {
  known <- !is.na(variance)
  filled <- ifelse(known, variance, 0)
  merged <- (filled %*% member^2) / ((known %*% member^2) / rep(colSums(member^2),
                                                                each = nrow(variance)))
  merged[is.nan(merged)] <- NA_real_
  merged
}

#' @rdname type_tree
#' @export
as.data.frame.type_tree <- function(x, row.names = NULL, optional = FALSE, ...) x$levels

#' @rdname type_tree
#' @export
print.type_tree <- function(x, ...) {
  n_groups <- length(unique(x$levels[[ncol(x$levels)]]))
  cat("Tree of ", plural(nrow(x$levels), "cell type"), " in ", plural(n_groups, "group"),
      if (isTRUE(x$learned)) " (learned from the signatures)", "\n", sep = "")
  cat_branch(x$levels, ncol(x$levels), "")
  invisible(x)
}

# A group and what is below it; a group of one type is written once.
cat_branch <- function(levels, level, indent) {
  for (name in unique(levels[[level]])) {
    own <- levels[levels[[level]] == name, , drop = FALSE]
    if (nrow(own) == 1L && own$type != name) name <- paste0(name, ": ", own$type)
    cat(indent, name, "\n", sep = "")
    if (level > 1L && nrow(own) > 1L) cat_branch(own, level - 1L, paste0(indent, "  "))
  }
}
