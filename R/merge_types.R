#' Report types together where they cannot be told apart
#'
#' Sums the shares of types whose errors go together, with the variance that the
#' sum has, and reports every branch of a tree at the deepest level that the data
#' can tell apart.
#'
#' # Why sums
#' Two types with similar signatures have negatively correlated errors: what one
#' gets too much the other gets too little. Their sum has the variance
#' \eqn{v_1 + v_2 + 2 c_{12}}, which may be a tenth of either. So a fit need not be
#' repeated with fewer types: the leaves are fitted, which costs the sum nothing,
#' and only the report is coarser. Variances come from
#' [vcov()][vcov.deconvolution], sums of types through their covariance.
#'
#' # What cannot be told apart
#' For two types or sums with exposures \eqn{e_1, e_2}, whose errors have the
#' variances \eqn{v_1, v_2} and the correlation r, both must hold:
#' * r is at most `-max_correlation`. At the default of 0.6 the error of
#'   their sum is half that of their difference or less,
#'   \eqn{(1 + r)/(1 - r) \le 1/4} for equal variances: joining pays.
#' * The standard error of the split \eqn{e_1 / (e_1 + e_2)} is above
#'   `max_error`. At the default of 0.25 an interval of two standard errors to
#'   both sides is as wide as the whole range from 0 to 1: nothing is known of it.
#'
#' Errors are those of the expected information with all types of the model in it,
#' those at zero too, times the dispersion: where a type takes all the reads of its
#' twin, the split is a guess although the twin at zero has no standard error.
#'
#' # Where a tree is cut
#' From the leaves up, a node is reported as what is reported of its children,
#' unless two of these (or, of three and more, one and the sum of the others)
#' cannot be told apart: then as their sum, for a sum of some of its children is no
#' node of the tree. Pairs in different coarsest groups stay apart; `unresolved` and
#' `print()` name them. Without a tree, the two types or sums that can be told apart
#' least are joined, until all can.
#'
#' @param result A [deconvolution].
#' @param tree A data frame with a column `type` (else the first) and columns of
#'   groups from fine to coarse, or anything else that [type_tree()] takes as
#'   `groups` or returns; types that it leaves out stand alone. `NULL` learns what
#'   to join from the errors themselves.
#' @param groups In place of `tree`: groups that are reported as they are, whatever
#'   the data say, in the same forms.
#' @param max_correlation,max_error Limits of the rule above. Lower values join
#'   more types.
#' @param per `"cohort"` reports the same nodes in all samples, by the medians of
#'   correlation and split error over samples; `"sample"` decides sample by sample.
#' @param what `"proportions"` (shares of mRNA) or `"cell_fractions"`; by default
#'   cells where their sizes are known.
#' @param of Errors of the shares themselves, or for comparing samples; see
#'   [confint()][confint.deconvolution].
#' @param among Types that shares are taken of: they sum to 1 over these, as where
#'   truth is known for some types only. `NULL`: all.
#' @param level Coverage of the intervals.
#' @param variance Assumption on the counts; see [vcov()][vcov.deconvolution].
#' @param threads Threads to use.
#' @param x,object A `merged_types`.
#' @param digits Digits that are printed.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @inheritParams plot_deconvolution
#' @return An object of class `merged_types`, a list:
#'   \item{`table`}{A row per node and sample: `sample`, `node`, `estimate`,
#'     `std_error` (`NA` at zero), `lower`, `upper`, `n_types`, and `types`, the
#'     types that it is made of, separated by " + ".}
#'   \item{`proportions`}{Nodes × samples; `NA` in samples that do not report the
#'     node.}
#'   \item{`nodes`}{A list of types named by node.}
#'   \item{`joined`}{The pair behind each sum: `node`, `first`, `second`,
#'     `correlation`, `split_error` (of `first` in both), and `sample` where
#'     samples differ.}
#'   \item{`unresolved`}{The same of pairs that are reported apart all the same.}
#'   \item{`per`, `what`, `level`}{As given.}
#'   `as.data.frame()` gives `table`.
#' @section Errors: `unalloy_error_tree` for trees and groups that name unknown
#'   types, name one twice or are not nested; `unalloy_error_no_counts`,
#'   `unalloy_error_penalised` as [confint()][confint.deconvolution];
#'   `unalloy_error_argument`.
#' @seealso [diagnose()], [type_tree()], [merge_signatures()]
#' @order 1
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 6, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' tree <- data.frame(type = paste("Type", LETTERS[1:4]), lineage = c("I", "I", "II", "II"))
#' merge_types(result, tree)
#' merged <- merge_types(result, groups = tree)
#' head(as.data.frame(merged))
#' plot(merged)
merge_types <- function(result, tree = NULL, groups = NULL, max_correlation = 0.6,
                        max_error = 0.25, per = c("cohort", "sample"),
                        what = NULL, of = c("shares", "differences"), among = NULL,
                        level = 0.95,
                        variance = c("robust", "quasi", "poisson"),
                        threads = getOption("unalloy.threads", 2L)) {
  check_call()
  if (inherits(result, "hierarchical_deconvolution")) {
    stop_user("argument", "`result` already has groups: `result$group_proportions`.",
              i = "`merge_types(result$coarse)` joins groups that cannot be told apart.")
  }
  check_result(result)
  if (!is.null(tree) && !is.null(groups)) {
    stop_user("argument", "Give `tree` or `groups`, not both.",
              i = "`groups` are reported as they are; a `tree` is cut where the data say.")
  }
  max_correlation <- check_number(max_correlation, "max_correlation", 0, 1)
  max_error <- check_number(max_error, "max_error", 0)
  per <- check_choice(per, c("cohort", "sample"), "per")
  what <- share_asked_for(what, result, choices = SHARES[1:2])
  of <- check_choice(of, OF_WHAT, "of")
  check_types(among, rownames(result$proportions))
  level <- check_number(level, "level", 0, 0.999999, above = TRUE)
  variance <- check_choice(variance, VARIANCES, "variance")
  threads <- check_threads(threads)
  types <- rownames(result$proportions)
  levels <- if (!is.null(tree)) merge_levels(tree, types, FALSE)
            else if (!is.null(groups)) merge_levels(groups, types, TRUE)
  need_unpenalised(result, rlang::current_env())
  leaves <- leaf_estimates(result, what, of, among, level, variance, threads)
  if (!is.null(among)) {
    types <- intersect(types, among)
    levels <- levels[levels$type %in% among, , drop = FALSE]
  }
  cut <- if (is.null(groups)) {
    rule <- list(correlation = max_correlation, error = max_error)
    cut_samples(result, types, levels, rule, per, threads)
  } else {
    list(list(nodes = as_given(levels), samples = seq_len(ncol(leaves$estimate))))
  }
  new_merged(leaves, cut, per, what, level)
}

# A table of groups with every type of the result: types without a group are
# their own.
merge_levels <- function(tree, types, finest, .call = caller_env()) {
  if (inherits(tree, "type_tree")) tree <- tree$levels
  levels <- group_table(tree, .call = .call)
  check_known_types(levels, types, .call)
  check_nested(levels, .call)
  if (finest) levels <- levels[1:2]
  alone <- setdiff(types, levels$type)
  clash <- intersect(alone, unlist(levels[-1L]))
  if (length(clash)) {
    stop_user("tree", "A group can't have the name of a type outside it.",
              x = paste0("Used twice: ", some_of(clash), "."), .call = .call)
  }
  more <- as.data.frame(rep(list(alone), ncol(levels)), col.names = names(levels))
  levels <- rbind(levels, more)
  levels <- levels[match(types, levels$type), , drop = FALSE]
  rownames(levels) <- NULL
  levels
}

# Estimates and intervals of the types (types x samples), and their covariance
# (types x types x samples).
leaf_estimates <- function(result, what, of, among, level, variance, threads,
                           .call = caller_env()) {
  inferred <- infer_samples(result, what, variance, level, threads, .call, of)
  inferred$seen <- seen_at(result, inferred, variance, level, threads, .call)
  if (!is.null(among)) inferred <- among_types(inferred, among)
  c(inferred[c("estimate", "covariance")], intervals_from(inferred, level, what))
}

as_given <- function(levels) {
  group <- as_groups(levels[[2L]])
  split(levels$type, group)
}

# Cuts the tree for the cohort, or for every sample: a list of cuts, each with its
# `samples`, `nodes` (types named by node), `joined` and `unresolved`.
cut_samples <- function(result, types, levels, rule, per, threads, .call = caller_env()) {
  numbers <- diagnosis_numbers(result, threads, TRUE, .call = .call)
  errors <- errors_among(design_errors(result, numbers), match(types, rownames(result$proportions)))
  cut <- function(samples) {
    apart <- function(first, second) told_apart(first, second, errors, samples, rule)
    found <- if (is.null(levels)) cut_greedily(types, apart) else cut_tree(levels, apart)
    c(found, list(samples = samples))
  }
  n <- ncol(errors$exposures)
  if (per == "cohort") list(cut(seq_len(n))) else lapply(seq_len(n), cut)
}

# From the leaves up; see the documentation.
cut_tree <- function(levels, apart) {
  types <- levels$type
  # what is reported so far: the places of its types, named
  units <- stats::setNames(as.list(seq_along(types)), types)
  joined <- list()
  for (level in seq_len(ncol(levels))[-1L]) {
    for (name in unique(levels[[level]])) {
      inside <- which(levels[[level]] == name)
      own <- units[vapply(units, function(unit) unit[1L] %in% inside, NA)]
      if (length(own) < 2L) next
      worst <- worst_pair(own, apart, rest = TRUE)
      if (is.null(worst)) next
      joined[[length(joined) + 1L]] <- cbind(node = name, worst)
      units <- c(units[!names(units) %in% names(own)],
                 stats::setNames(list(sort(unlist(own, use.names = FALSE))), name))
    }
  }
  finish_cut(units, types, joined, apart)
}

# The errors of some of the types.
errors_among <- function(errors, kept) {
  n <- nrow(errors$exposures)
  list(exposures = errors$exposures[kept, , drop = FALSE],
       covariance = errors$covariance[as.vector(outer(kept, (kept - 1L) * n, "+")), , drop = FALSE])
}

# The two that can be told apart least are joined, until all can.
cut_greedily <- function(types, apart) {
  units <- stats::setNames(as.list(seq_along(types)), types)
  joined <- list()
  repeat {
    worst <- worst_pair(units, apart, rest = FALSE)
    if (is.null(worst)) return(finish_cut(units, types, joined, apart))
    pair <- c(worst$first, worst$second)
    merged <- sort(unlist(units[pair], use.names = FALSE))
    name <- group_label(types[merged])
    while (name %in% names(units)) name <- paste0(name, "'")
    joined[[length(joined) + 1L]] <- cbind(node = name, worst)
    units <- c(units[!names(units) %in% pair], stats::setNames(list(merged), name))
  }
}

# The pair with the lowest correlation among those that cannot be told apart, or
# NULL.  With `rest`, one against the sum of the others too.
worst_pair <- function(units, apart, rest) {
  n <- length(units)
  pairs <- if (n > 1L) utils::combn(n, 2L, simplify = FALSE)
  tests <- lapply(pairs, function(pair) {
    list(first = names(units)[pair[1L]], second = names(units)[pair[2L]],
         told = apart(units[[pair[1L]]], units[[pair[2L]]]))
  })
  if (rest && n > 2L) {
    tests <- c(tests, lapply(seq_len(n), function(i) {
      list(first = names(units)[i], second = "the others",
           told = apart(units[[i]], unlist(units[-i], use.names = FALSE)))
    }))
  }
  tests <- Filter(function(test) !test$told$apart, tests)
  if (!length(tests)) return(NULL)
  worst <- tests[[which.min(vapply(tests, function(test) test$told$correlation, 0))]]
  data.frame(first = worst$first, second = worst$second, correlation = worst$told$correlation,
             split_error = worst$told$split_error)
}

finish_cut <- function(units, types, joined, apart) {
  units <- units[order(vapply(units, min, 0L))]
  open <- list()
  left <- units
  repeat {
    worst <- worst_pair(left, apart, rest = FALSE)
    if (is.null(worst)) break
    open[[length(open) + 1L]] <- worst
    left <- left[names(left) != worst$first]
  }
  joined <- do.call(rbind, joined)
  list(nodes = lapply(units, function(unit) types[unit]),
       # a sum that went into a larger one is not reported
       joined = joined[joined$node %in% names(units), ], unresolved = do.call(rbind, open))
}
