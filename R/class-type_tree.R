# The class of type_tree(), and groups in every form that users have them.

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

group_label <- function(types) {
  if (length(types) > 3L) types <- c(types[1:2], paste(length(types) - 2L, "more"))
  paste(types, collapse = " + ")
}

as_groups <- function(labels) factor(labels, unique(labels))

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

#' @rdname type_tree
#' @export
as.data.frame.type_tree <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$levels
}

#' @rdname type_tree
#' @export
print.type_tree <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
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
