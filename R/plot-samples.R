# Panels with samples along the x axis.

#' @rdname plot_deconvolution
#' @export
plot_proportions <- function(result, group = NULL, order = c("cluster", "none"),
                             what = NULL, top = MOST_BARS, colours = NULL) {
  check_call()
  check_result(result, likelihood = FALSE)
  what <- share_asked_for(what, result, choices = names(SHARE_LABELS))
  top <- check_count(top, "top")
  palette <- type_palette(rownames(result$exposures %||% result$proportions))
  known <- check_colours(colours, names(palette))
  palette[names(known)] <- known
  share_bars(coef(result, what), group_of_samples(group, result), order, what, palette, top = top)
}

# Nobody tells more colours apart in one bar.
MOST_BARS <- 20L
OTHER_COLOUR <- "#D9D9D9"

check_colours <- function(colours, known, .call = caller_env()) {
  unknown <- setdiff(names(colours), known)
  if (length(unknown) || length(colours) != length(names(colours))) {
    stop_user("argument", "`colours` must be named by type.",
              x = if (length(unknown)) paste0("Unknown: ", some_of(unknown), "."),
              i = paste0("There are ", some_of(known, 21L), "."), .call = .call)
  }
  colours
}

# The rows with the largest mean, and the sum of the others as a last row.
largest_shares <- function(shares, top) {
  if (nrow(shares) <= top) return(shares)
  largest <- utils::head(order(-rowMeans(shares, na.rm = TRUE)), top)
  kept <- seq_len(nrow(shares)) %in% largest
  other <- matrix(colSums(shares[!kept, , drop = FALSE]), 1L,
                  dimnames = list(plural(sum(!kept), "other type"), NULL))
  rbind(shares[kept, , drop = FALSE], other)
}

# Shares (types x samples) as stacked bars, in colours named by type.
share_bars <- function(shares, group, order, what, palette = type_palette(rownames(shares)),
                       title = "Cell types per sample", top = MOST_BARS, .call = caller_env()) {
  force(palette)
  shares <- largest_shares(shares, top)
  palette <- palette[rownames(shares)]
  other <- !rownames(shares) %in% names(palette)
  palette[other] <- OTHER_COLOUR
  names(palette) <- rownames(shares)
  table <- place_samples(long_shares(shares), shares, group, order, .call = .call)
  # a sample without any type keeps its place, and has no bar
  table$share[is.na(table$share)] <- 0
  ggplot(table, aes(.data$sample, .data$share, fill = .data$type)) +
    geom_col(width = if (ncol(shares) > MAX_COLUMN_NAMES) 1 else 0.92) +
    scale_types("fill", names(palette), palette) +
    scale_y_continuous(expand = expansion(), labels = percent) +
    labs(title = title, y = SHARE_LABELS[[what]]) +
    sample_axis(ncol(shares), group) + theme(panel.grid.major.x = element_blank())
}

#' @rdname plot_deconvolution
#' @export
plot_correlation <- function(result, group = NULL) {
  check_call()
  check_result(result)
  group <- group_of_samples(group, result)
  values <- result$metrics$gene_correlation
  table <- data.frame(sample = names(values), correlation = unname(values))
  defined <- is.finite(table$correlation)
  middle <- if (any(defined)) mean(table$correlation[defined]) else 0
  # undefined values are drawn at the mean, as crosses
  table$shown <- ifelse(defined, table$correlation, middle)
  table$value <- factor(ifelse(defined, "defined", "undefined"), c("defined", "undefined"))
  table <- place_samples(table, -table$shown, group)
  ggplot(table, aes(.data$sample, .data$shown)) +
    geom_hline(yintercept = middle, linetype = "dashed", colour = "grey50") +
    geom_segment(aes(xend = .data$sample, yend = middle), colour = "grey75") +
    geom_point(aes(shape = .data$value), colour = TYPE_COLOURS[1L], size = 2) +
    scale_shape_manual(values = c(defined = 16, undefined = 4), guide = "none") +
    scale_y_continuous(limits = function(range) c(min(range[1L], range[2L] - 0.02), range[2L])) +
    labs(title = "Fit per sample", y = "Correlation across genes",
         caption = paste0(
           "Pearson correlation of observed and fitted counts. Dashed: mean, ",
           format(round(middle, 3)), ".",
           if (!all(defined)) "\nCrosses: not defined, drawn at the mean."
         )) +
    sample_axis(nrow(table), group)
}

#' @rdname plot_deconvolution
#' @export
plot_intercept <- function(result, group = NULL) {
  check_call()
  check_result(result)
  if (!"Intercept" %in% rownames(result$exposures)) {
    stop_user("no_intercept", "The model has no intercept.",
              i = "Run `deconvolve_bulk()` with `intercept = TRUE`.")
  }
  group <- group_of_samples(group, result)
  values <- result$intercept_fraction
  table <- data.frame(sample = result$convergence$sample, share = unname(values))
  table <- place_samples(table, values, group)
  ggplot(table, aes(.data$sample, .data$share)) +
    geom_segment(aes(xend = .data$sample, yend = 0), colour = "grey75") +
    geom_point(colour = TYPE_COLOURS[4L], size = 2) +
    scale_y_continuous(limits = c(0, NA), expand = expansion(c(0, 0.05)), labels = percent) +
    labs(title = "What no signature explains", y = "Intercept, share of mRNA") +
    sample_axis(nrow(table), group)
}

# Puts the samples of a long table in order, within their groups.  `by` holds the
# value to sort samples by (one per sample) or the shares to cluster them by
# (types x samples).
place_samples <- function(table, by, group, order = "cluster", .call = caller_env()) {
  order <- check_choice(order, c("cluster", "none"), "order", .call = .call)
  samples <- unique(as.character(table$sample))
  group <- check_group(group, samples, .call = .call)
  sorted <- unlist(lapply(split(seq_along(samples), group), function(members) {
    if (order == "none") return(members)
    if (!is.matrix(by)) return(members[base::order(by[members])])
    members[cluster_order(by[, members, drop = FALSE])]
  }))
  table$group <- group[match(table$sample, samples)]
  table$sample <- factor(table$sample, samples[sorted])
  table
}

# Groups may be a column of the sample data, by name; then a vector named by sample.
group_of_samples <- function(group, result, .call = caller_env()) {
  samples <- result$convergence$sample
  if (!is.character(group) || length(group) != 1L || length(samples) == 1L) return(group)
  stats::setNames(sample_column(group, result$sample_data, samples, "group", .call = .call),
                  samples)
}

check_group <- function(group, samples, .call = caller_env()) {
  if (is.null(group)) return(factor(rep("", length(samples))))
  if (!is.atomic(group)) {
    stop_user("argument", "`group` must be a vector.", x = paste0("It is ", describe(group), "."),
              .call = .call)
  }
  if (!is.null(names(group))) {
    absent <- setdiff(samples, names(group))
    if (length(absent)) {
      stop_user("argument", "`group` must name every sample.",
                x = paste0("Without a group: ", some_of(absent), "."), .call = .call)
    }
    group <- group[samples]
  }
  if (length(group) != length(samples)) {
    stop_user("argument", "`group` must have a value per sample.",
              x = paste0("It has ", length(group), "; there are ",
                         plural(length(samples), "sample"), "."), .call = .call)
  }
  group <- factor(group)
  if (anyNA(group)) group <- factor(ifelse(is.na(group), "(none)", as.character(group)),
                                    c(levels(group), "(none)"))
  group
}

# Order of the columns by hierarchical clustering.  Of the 2^(n - 1) orders that
# a tree allows, the one in which the largest row falls from left to right.
# Samples without a type (NA) count as zeros.
cluster_order <- function(shares) {
  n <- ncol(shares)
  shares[is.na(shares)] <- 0
  largest <- shares[which.max(rowSums(shares)), ]
  if (n < 3L) return(order(-largest))
  # distances of more columns would take gigabytes
  if (n > 5000L) return(order(max.col(t(shares), "first"), -apply(shares, 2L, max)))
  tree <- stats::hclust(stats::dist(t(shares)))
  stats::order.dendrogram(stats::reorder(stats::as.dendrogram(tree), -largest, agglo.FUN = mean))
}

# Names below the x axis that stay readable, and facets for groups.
sample_axis <- function(n, group) {
  named <- n <= MAX_COLUMN_NAMES
  n_groups <- length(unique(group))
  facets <- if (!is.null(group)) {
    facet_grid(cols = vars(.data$group), scales = "free", space = "free")
  }
  size <- rel(max(0.7, min(1, 35 / n)))
  text <- element_text(angle = 90, hjust = 1, vjust = 0.5, size = size)
  list(
    theme_unalloy(), facets, scale_x_discrete(labels = shorten),
    labs(x = if (!named) paste0(plural(n, "sample"), ", names not shown")),
    theme(axis.text.x = if (named) text else element_blank(),
          strip.text.x = if (n_groups > 4) element_text(angle = 90, hjust = 0, vjust = 0.5),
          strip.clip = "off", panel.spacing = unit(0.3, "lines"))
  )
}
