# Agreement between the runs of a factorisation, from the labels alone.

# Trees are grown of at most this many samples that differ in their labels:
# distances of 5,000 take 100 MB.
MAX_TREE <- 5000L

# Below this many samples trees are grown of all of them, so that ties fall as
# in stats::hclust() of the whole consensus; above it samples with the same
# labels in all runs are one leaf with their number as weight.
COLLAPSE_FROM <- 1000L

# A consensus matrix of more samples takes more than 3 GB.
MAX_CONSENSUS <- 20000L

check_tree_size <- function(n, .call) {
  if (n > MAX_CONSENSUS) {
    stop_user("too_large", paste0("The consensus matrix of ", plural(n, "sample"),
                                  " does not fit into memory."),
              i = paste0("Give up to ", count_text(MAX_CONSENSUS), " of them as `samples`; ",
                         "`cophcor()` and `dispersion()` need no matrix."), .call = .call)
  }
}

agreement_matrix <- function(labels, names, .call = caller_env()) {
  check_tree_size(nrow(labels), .call)
  out <- diag(nrow(labels))
  if (nrow(labels) > 1L) {
    out <- 1 - as.matrix(label_distances(labels))
  }
  dimnames(out) <- if (!is.null(names)) list(names, names)
  out
}

# The tree of all samples, which the map draws and clusters are cut from.
sample_tree <- function(labels) stats::hclust(label_distances(labels), "average")

# 1 - consensus as a `dist`.
label_distances <- function(labels, .call = caller_env()) {
  storage.mode(labels) <- "integer"
  values <- call_rs(rs_consensus_distances, labels = labels, threads = nmf_threads(), .call = .call)
  structure(values, Size = nrow(labels), Diag = FALSE, Upper = FALSE, method = "agreement",
            class = "dist")
}

dispersion_of <- function(labels, .call = caller_env()) {
  storage.mode(labels) <- "integer"
  sums <- call_rs(rs_consensus_moments, labels = labels, threads = nmf_threads(), .call = .call)
  # mean of 4 (C - 1/2)^2
  1 + 4 * (sums[2L] - sums[1L]) / nrow(labels)^2
}

# The average-linkage tree of the consensus: `tree`, `leaf` of each sample (NA for
# samples that have none), `weight` of each leaf and `distances` between leaves.
consensus_tree <- function(labels) {
  n <- nrow(labels)
  leaf <- seq_len(n)
  if (n > COLLAPSE_FROM) {
    pattern <- do.call(paste, as.data.frame(labels))
    leaf <- match(pattern, unique(pattern))
    if (max(leaf) > MAX_TREE) {
      used <- unique(round(seq(1, n, length.out = MAX_TREE)))
      leaf <- match(seq_len(n), used)
    }
  }
  first <- match(seq_len(max(leaf, na.rm = TRUE)), leaf)
  weight <- tabulate(leaf)
  if (length(first) < 2L) return(list(leaf = leaf, weight = weight, first = first))
  distances <- label_distances(labels[first, , drop = FALSE])
  tree <- stats::hclust(distances, "average", members = weight)
  list(tree = tree, leaf = leaf, weight = weight, first = first, distances = distances)
}

cophenetic_of <- function(labels) {
  grown <- consensus_tree(labels)
  if (is.null(grown$tree)) return(1)
  tree_correlation(grown$distances, grown$tree, grown$weight)
}

# Correlation of distances with those of their tree, over all pairs of items. In
# an average-linkage tree the height of a merge is the mean of the distances
# that it bridges, so heights and sizes are all that the sums over tree
# distances need: with h and d at a merge of p pairs, sum(h d) = sum(h^2) = p h^2.
tree_correlation <- function(distances, tree, weight) {
  size <- numeric(length(tree$height))
  pairs <- numeric(length(tree$height))
  for (at in seq_along(tree$height)) {
    parts <- tree$merge[at, ]
    sizes <- ifelse(parts < 0, weight[abs(parts)], size[abs(parts)])
    size[at] <- sum(sizes)
    pairs[at] <- prod(sizes)
  }
  n <- sum(weight)
  n_pairs <- n * (n - 1) / 2
  total <- sum(pairs * tree$height)
  shape <- sum(pairs * tree$height^2) - total^2 / n_pairs
  spread <- weighted_square(distances, weight) - total^2 / n_pairs
  # all runs agree that all samples are alike, or that none are
  if (spread <= 1e-12 * n_pairs) return(1)
  sqrt(max(shape, 0) / spread)
}

# Sum of the squared distances over pairs of items.
weighted_square <- function(distances, weight) {
  if (all(weight == 1)) return(sum(distances^2))
  n <- length(weight)
  ends <- cumsum(seq(n - 1L, 1L))
  sum(vapply(seq_len(n - 1L), function(j) {
    column <- seq.int(ends[j] - (n - 1L - j), ends[j])
    weight[j] * sum(weight[-seq_len(j)] * distances[column]^2)
  }, 0))
}

# Clusters of the consensus tree, numbered in the order of its leaves.
consensus_clusters <- function(fit) {
  labels <- fit$membership
  n <- nrow(labels)
  grown <- if (n > MAX_TREE) consensus_tree(labels)
  if (n > 1L && n <= MAX_TREE) {
    tree <- sample_tree(labels)
    leaves <- stats::cutree(tree, min(fit$rank, nrow(unique(labels))))
    clusters <- match(leaves, unique(leaves[tree$order]))
  } else if (is.null(grown$tree)) {
    clusters <- rep(1L, n)
  } else {
    n_clusters <- min(fit$rank, length(grown$first))
    leaves <- stats::cutree(grown$tree, n_clusters)
    leaves <- match(leaves, unique(leaves[tree_order(grown)]))
    clusters <- leaves[grown$leaf]
    absent <- which(is.na(clusters))
    if (length(absent)) clusters[absent] <- nearest_cluster(labels, clusters, absent)
  }
  stats::setNames(factor(clusters, seq_len(max(fit$rank, clusters))), colnames(fit$coef))
}

# Leaves from left to right, turned so that those with more agreement are to the
# right.
tree_order <- function(grown) {
  agreement <- 1 - as.matrix(grown$distances)
  leaf_order(grown$tree, drop(agreement %*% grown$weight) / sum(grown$weight))
}

# Order of the leaves in which the branch with the smaller sum (or mean) of
# `values` is on the left, as stats::reorder() has it, without its recursion.
leaf_order <- function(tree, values, average = FALSE) {
  n_merges <- nrow(tree$merge)
  orders <- vector("list", n_merges)
  sums <- numeric(n_merges)
  for (at in seq_len(n_merges)) {
    parts <- tree$merge[at, ]
    members <- lapply(parts, function(part) if (part < 0) -part else orders[[part]])
    totals <- ifelse(parts < 0, values[abs(parts)], sums[abs(parts)])
    counts <- lengths(members)
    orders[[at]] <- unlist(members[order(if (average) totals / counts else totals)])
    sums[at] <- sum(totals)
    orders[parts[parts > 0]] <- list(NULL)
  }
  orders[[n_merges]]
}

# The cluster with the highest mean agreement, for samples outside the tree.
nearest_cluster <- function(labels, clusters, absent) {
  apart <- cluster_distances(labels, clusters, max(clusters, na.rm = TRUE))
  max.col(-apart[absent, , drop = FALSE], ties.method = "first")
}

# Mean distance 1 - C of each sample to the samples of each cluster, itself
# included: in a run it is the share of the cluster that has another label.
cluster_distances <- function(labels, clusters, n_clusters) {
  known <- !is.na(clusters)
  size <- tabulate(clusters[known], n_clusters)
  n_labels <- max(labels)
  agreeing <- matrix(0, nrow(labels), n_clusters)
  for (run in seq_len(ncol(labels))) {
    at <- labels[, run]
    counts <- tabulate((clusters[known] - 1L) * n_labels + at[known], n_labels * n_clusters)
    agreeing <- agreeing + matrix(counts, n_labels)[at, , drop = FALSE]
  }
  1 - sweep(agreeing / ncol(labels), 2L, size, "/")
}
