# The class of merge_types(): sums of types with their errors.

new_merged <- function(leaves, cuts, per, what, level) {
  samples <- colnames(leaves$estimate)
  parts <- lapply(cuts, function(cut) node_table(leaves, cut$nodes, cut$samples, level))
  table <- do.call(rbind, parts)
  table <- table[order(table$sample), ]
  rownames(table) <- NULL
  nodes <- do.call(c, lapply(cuts, `[[`, "nodes"))
  nodes <- nodes[!duplicated(names(nodes))]
  table$node <- factor(table$node, names(nodes))
  shares <- matrix(NA_real_, length(nodes), length(samples),
                   dimnames = list(names(nodes), samples))
  shares[cbind(as.integer(table$node), as.integer(table$sample))] <- table$estimate
  structure(list(
    table = table, proportions = shares, nodes = nodes,
    joined = pairs_of(cuts, "joined", samples, per),
    unresolved = pairs_of(cuts, "unresolved", samples, per), per = per, what = what, level = level
  ), class = "merged_types")
}

# Pairs of every cut, with the sample where cuts differ.
pairs_of <- function(cuts, which, samples, per) {
  parts <- lapply(cuts, function(cut) {
    pairs <- cut[[which]]
    if (is.null(pairs) || !nrow(pairs)) return(NULL)
    if (per == "sample") cbind(sample = samples[cut$samples], pairs) else pairs
  })
  out <- do.call(rbind, parts)
  rownames(out) <- NULL
  out
}

# Sums of types with their errors and intervals.
node_table <- function(leaves, nodes, samples, level) {
  parts <- Map(function(types, node) {
    own <- match(types, rownames(leaves$estimate))
    estimate <- colSums(leaves$estimate[own, samples, drop = FALSE])
    if (length(own) == 1L) {
      std_error <- leaves$std_error[own, samples]
      ends <- list(lower = leaves$lower[own, samples], upper = leaves$upper[own, samples])
    } else {
      variance <- vapply(samples, function(s) sum(leaves$covariance[own, own, s]), 0)
      std_error <- sqrt(pmax(0, variance))
      ends <- share_interval(estimate, std_error, level)
      # each could be as large as its own limit
      zero <- which(estimate == 0)
      ends$upper[zero] <- pmin(1, colSums(leaves$upper[own, samples[zero], drop = FALSE]))
      std_error[zero] <- NA
    }
    data.frame(
      sample = factor(colnames(leaves$estimate)[samples], colnames(leaves$estimate)),
      node = node, estimate = unname(estimate), std_error = unname(std_error),
      lower = unname(ends$lower), upper = unname(ends$upper), n_types = length(own),
      types = paste(types, collapse = " + ")
    )
  }, nodes, names(nodes))
  do.call(rbind, unname(parts))
}

#' @rdname merge_types
#' @export
as.data.frame.merged_types <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$table
}

#' @rdname merge_types
#' @export
dim.merged_types <- function(x) dim(x$proportions)

#' @rdname merge_types
#' @export
print.merged_types <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  n_types <- length(unique(unlist(x$nodes)))
  cat(plural(n_types, "cell type"), " of ", plural(ncol(x$proportions), "sample"),
      " reported as ", plural(length(x$nodes), "node"),
      if (x$per == "sample") ", sample by sample", "\n", sep = "")
  cat("\n", SHARE_LABELS[[x$what]], ":\n", sep = "")
  rows <- seq_len(min(25L, nrow(x$proportions)))
  columns <- seq_len(min(6L, ncol(x$proportions)))
  print(round(x$proportions[rows, columns, drop = FALSE], digits))
  hidden <- c(if (nrow(x$proportions) > 25L) plural(nrow(x$proportions) - 25L, "more node"),
              if (ncol(x$proportions) > 6L) plural(ncol(x$proportions) - 6L, "more sample"))
  if (length(hidden)) cat("... and", paste(hidden, collapse = ", "), "\n")
  sums <- x$nodes[lengths(x$nodes) > 1L]
  if (length(sums)) {
    cat("\nReported together:\n")
    for (node in names(sums)) {
      # a name learned from the data says it already
      made_of <- if (node != group_label(sums[[node]]) || length(sums[[node]]) > 3L) {
        paste0(" = ", paste(sums[[node]], collapse = " + "))
      }
      cat("  ", node, made_of, joined_text(x$joined, node), "\n", sep = "")
    }
  }
  if (!is.null(x$unresolved)) {
    pairs <- unique(paste0("\"", x$unresolved$first, "\" and \"", x$unresolved$second, "\""))
    cat("\nIn different branches, and hard to tell apart: ",
        paste(utils::head(pairs, 3L), collapse = "; "),
        if (length(pairs) > 3L) paste0("; and ", length(pairs) - 3L, " more"), "\n", sep = "")
  }
  invisible(x)
}

joined_text <- function(joined, node) {
  own <- joined[joined$node == node, ]
  if (is.null(own) || !nrow(own)) return(NULL)
  text <- paste0("errors of ", own$first[1L], " and ", own$second[1L], " correlate at ",
                 number_text(own$correlation[1L], 3))
  if (!is.null(own$sample)) text <- paste0(text, " in ", own$sample[1L])
  paste0(" (", text, if (nrow(own) > 1L) paste0("; ", plural(nrow(own) - 1L, "more sample")), ")")
}
