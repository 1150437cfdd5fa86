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
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return `type_tree()`: an object of class `type_tree`, a list with `levels` (a
#'   data frame with the column `type` and a column per level of groups, from fine
#'   to coarse), `learned`, and for learned trees `correlation` (types × types) and
#'   `hclust`. `as.data.frame()` gives `levels`. `merge_signatures()`:
#'   [signatures].
#' @section Errors and warnings: `unalloy_error_tree` for groups that name
#'   unknown types, leave types out, name one twice, or are not nested.
#'   `unalloy_warning_tree` when a learned tree has no group of two.
#' @seealso [deconvolve_hierarchical()]
#' @order 1
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' tree <- type_tree(signatures, list(One = c("Type A", "Type B"), Two = c("Type C", "Type D")))
#' tree
#' merge_signatures(signatures, tree)
type_tree <- function(signatures, groups = NULL, correlation = 0.5) {
  check_call()
  signatures <- as_signatures(signatures)
  correlation <- check_number(correlation, "correlation", -1, 1)
  types <- colnames(signatures$profiles)
  if (!is.null(groups)) return(given_tree(groups, types))
  learn_tree(signatures, correlation)
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
#' @order 2
#' @export
merge_signatures <- function(signatures, groups) {
  check_call()
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
