# The class of deconvolve_hierarchical().

# Multiplies shares along the tree.
new_hierarchical <- function(coarse, within, tree, sizes, call) {
  levels <- tree$levels
  groups <- coarse$proportions
  inner <- matrix(1, nrow(levels), ncol(groups), dimnames = list(levels$type, colnames(groups)))
  for (level in rev(seq_len(ncol(levels))[-1L])) {
    for (name in intersect(unique(levels[[level]]), names(within))) {
      inside <- levels[[level]] == name
      branch <- levels[[level - 1L]][inside]
      if (length(unique(branch)) < 2L) next
      shares <- filled_shares(within[[name]], unique(branch))
      inner[inside, ] <- inner[inside, ] * shares[branch, , drop = FALSE]
    }
  }
  totals <- groups[levels[[ncol(levels)]], , drop = FALSE]
  leaves <- inner * as.vector(totals)
  inner[as.vector(totals) == 0] <- NaN
  out <- list(
    proportions = leaves, group_proportions = groups, within_proportions = inner,
    cell_fractions = if (!is.null(sizes)) normalise_columns(leaves / sizes),
    coarse = coarse, within = within,
    convergence = joint_convergence(c(list(groups = coarse), within)), tree = tree, call = call
  )
  structure(out[!vapply(out, is.null, NA)], class = "hierarchical_deconvolution")
}

coarsest <- function(tree) as_groups(tree$levels[[ncol(tree$levels)]])

# Where a fit finds none of a group's branches, the group's share (of the fit
# above) is divided as in the mean of the cohort.
filled_shares <- function(fit, branches) {
  shares <- shares_within(fit, branches)
  open <- colSums(fit$proportions[branches, , drop = FALSE]) <= 0
  mean <- mean_within(fit, branches)
  shares[, open] <- mean[rownames(shares)]
  shares
}

# Shares among some of the types of a fit; NaN where all of them are at zero.
shares_within <- function(fit, types) normalise_columns(fit$proportions[types, , drop = FALSE])

mean_within <- function(fit, branches) {
  mean <- rowMeans(shares_within(fit, branches), na.rm = TRUE)
  if (anyNA(mean)) mean[] <- 1 / length(mean)
  mean
}

joint_convergence <- function(fits) {
  do.call(rbind, unname(Map(function(fit, name) cbind(fit = name, fit$convergence),
                            fits, names(fits))))
}

HIERARCHY_SHARES <- c("proportions", "cell_fractions", "within")

#' @rdname deconvolve_hierarchical
#' @export
coef.hierarchical_deconvolution <- function(object, level = c("types", "groups"),
                                            what = c("proportions", "cell_fractions", "within"),
                                            ...) {
  refuse_dots(...)
  level <- check_choice(level, c("types", "groups"), "level")
  what <- check_choice(what, HIERARCHY_SHARES, "what")
  if (what == "cell_fractions") need_cell_fractions(object)
  shares <- if (what == "within") object$within_proportions else object[[what]]
  if (level == "types") return(shares)
  if (what == "within") {
    stop_user("argument", "Shares within groups are shares of types.",
              i = "Use `level = \"types\"`.")
  }
  if (what == "proportions") return(object$group_proportions)
  rowsum(shares, coarsest(object$tree))
}

#' @rdname deconvolve_hierarchical
#' @export
as.data.frame.hierarchical_deconvolution <- function(x, row.names = NULL, optional = FALSE,
                                                     level = c("types", "groups"),
                                                     what = c("proportions", "cell_fractions",
                                                              "within"), ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  what <- check_choice(what, HIERARCHY_SHARES, "what")
  shares <- coef(x, level, what)
  out <- long_shares(shares, if (what == "cell_fractions") "fraction" else "proportion")
  groups <- coarsest(x$tree)
  if (identical(rownames(shares), x$tree$levels$type)) {
    out <- cbind(out[c("sample", "type")], group = rep(groups, ncol(shares)), out[3L])
  }
  out
}

#' @rdname deconvolve_hierarchical
#' @export
dim.hierarchical_deconvolution <- function(x) dim(x$proportions)

#' @rdname deconvolve_hierarchical
#' @export
`[.hierarchical_deconvolution` <- function(x, i) {
  samples <- colnames(x$proportions)
  kept <- samples[sample_index(i, samples)]
  out <- unclass(x)
  shares <- intersect(names(out), c("proportions", "group_proportions", "within_proportions",
                                    "cell_fractions"))
  out[shares] <- lapply(out[shares], function(part) part[, kept, drop = FALSE])
  out$coarse <- out$coarse[kept]
  out$within <- lapply(out$within, function(fit) fit[kept])
  out$convergence <- joint_convergence(c(list(groups = out$coarse), out$within))
  structure(out, class = class(x))
}

#' @rdname deconvolve_hierarchical
#' @export
print.hierarchical_deconvolution <- function(x, digits = 3, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  size <- dim(x$proportions)
  cat(MODEL_NAMES[[x$coarse$error_model]], "\n", sep = "")
  line <- paste0("Hierarchical: ", plural(size[2L], "sample"), ", ",
                 plural(nrow(x$group_proportions), "group"), " of ",
                 plural(size[1L], "cell type"), "; ", fit_text(x$coarse))
  cat(strwrap(line, getOption("width"), exdent = 2), sep = "\n")
  open <- x$convergence[!x$convergence$converged, ]
  n_fits <- length(unique(x$convergence$fit))
  cat(if (nrow(open)) paste0("NOT converged: ", some_of(unique(open$fit)))
      else paste0("Converged: all of ", plural(n_fits, "fit")), "\n", sep = "")
  what <- if (is.null(x$cell_fractions)) "proportions" else "cell_fractions"
  cat(if (what == "proportions") "\nShares of mRNA (not of cells):\n"
      else "\nShares of cells (shares of mRNA are in $proportions):\n")
  table <- indented_shares(coef(x, "groups", what), coef(x, "types", what), coarsest(x$tree))
  shown <- seq_len(min(6L, size[2L]))
  print(round(table[utils::head(seq_len(nrow(table)), 25L), shown, drop = FALSE], digits))
  hidden <- c(if (nrow(table) > 25L) plural(nrow(table) - 25L, "more row"),
              if (size[2L] > 6L) plural(size[2L] - 6L, "more sample"))
  if (length(hidden)) cat("... and", paste(hidden, collapse = ", "), "\n")
  invisible(x)
}

# Groups, each followed by its types; a group of one type is one row.
indented_shares <- function(groups, types, group) {
  rows <- lapply(levels(group), function(name) {
    own <- types[group == name, , drop = FALSE]
    total <- groups[name, , drop = FALSE]
    if (nrow(own) == 1L) return(total)
    rownames(own) <- paste0("  ", rownames(own))
    rbind(total, own)
  })
  table <- do.call(rbind, rows)
  rownames(table) <- format(rownames(table))
  table
}
