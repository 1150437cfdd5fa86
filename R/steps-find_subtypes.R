# The steps of find_subtypes() and replicate_subtypes().

# Samples without a value in some feature can't be sorted.
complete_samples <- function(measured) {
  bad <- unlist(lapply(measured$blocks, function(block) {
    if (!nrow(block$values)) return(NULL)
    colnames(block$values)[colSums(is.na(block$values)) > 0]
  }))
  setdiff(measured$samples, bad)
}

feature_names <- function(block) {
  names <- rownames(block$values)
  if (is.na(block$type)) names else paste0(block$type, ": ", names)
}

# The features of the largest variance, as many of each block, centred; blocks have the
# same total variance.  A list: values (features x samples), scale (per feature).
subtype_features <- function(measured, samples, n_features, .call) {
  filled <- Filter(function(block) nrow(block$values) > 0L, measured$blocks)
  each <- ceiling(n_features / length(filled))
  parts <- lapply(filled, function(block) {
    values <- block$values[, samples, drop = FALSE]
    values <- values - rowMeans(values)
    square <- rowSums(values^2)
    varies <- which(square > 1e-20 * max(square, .Machine$double.xmin))
    kept <- sort(varies[utils::head(order(-square[varies]), each)])
    scale <- if (length(filled) > 1L) sqrt(sum(square[kept]) / length(samples)) else 1
    list(values = values[kept, , drop = FALSE] / scale, names = feature_names(block)[kept],
         scale = rep(scale, length(kept)))
  })
  values <- do.call(rbind, lapply(parts, `[[`, "values"))
  if (!nrow(values)) {
    stop_user("argument", "No feature of `x` varies between samples.", .call = .call)
  }
  rownames(values) <- unlist(lapply(parts, `[[`, "names"))
  list(values = values, scale = unlist(lapply(parts, `[[`, "scale")))
}

# Principal components of centred values: samples x dimensions, and loadings.
principal_scores <- function(values, dimensions) {
  found <- svd(t(values), nu = dimensions, nv = dimensions)
  kept <- which(found$d[seq_len(dimensions)] > 1e-8 * found$d[1L])
  scores <- found$u[, kept, drop = FALSE] * rep(found$d[kept], each = ncol(values))
  rownames(scores) <- colnames(values)
  list(scores = scores, loadings = found$v[, kept, drop = FALSE])
}

# Agreement of halves: clusters x splits x sets.
halves_agree <- function(sets, k, method, splits, seed, threads, .call) {
  if (method == "kmeans") {
    found <- call_rs(rs_split_stability, x = do.call(cbind, sets), dimensions = ncol(sets[[1L]]),
                     clusters = as.double(k), splits = splits, starts = KMEANS_STARTS, seed = seed,
                     threads = threads, .call = .call)
    return(found$agreement)
  }
  found <- lapply(sets, function(scores) replicate(splits, tree_agreement(scores, k)))
  array(unlist(found), c(length(k), splits, length(sets)))
}

KMEANS_STARTS <- 4

# Ward's trees of two halves, cut at every k.
tree_agreement <- function(scores, k) {
  n <- nrow(scores)
  one <- sample.int(n, n %/% 2L)
  halves <- lapply(list(one, setdiff(seq_len(n), one)), function(half) {
    part <- scores[half, , drop = FALSE]
    cut <- as.matrix(stats::cutree(stats::hclust(stats::dist(part), "ward.D2"), k))
    apply(cut, 2L, function(cluster) nearest_centre(scores, centres_of(part, cluster)))
  })
  vapply(seq_along(k), function(i) adjusted_rand(halves[[1L]][, i], halves[[2L]][, i]), 0)
}

centres_of <- function(scores, cluster) {
  rowsum(scores, cluster) / as.vector(table(cluster))
}

nearest_centre <- function(scores, centres) {
  distance <- rep(rowSums(centres^2), each = nrow(scores)) - 2 * tcrossprod(scores, centres)
  max.col(-distance, ties.method = "first")
}

adjusted_rand <- function(a, b) {
  both <- table(a, b)
  pairs <- function(x) sum(x * (x - 1) / 2)
  of_a <- pairs(rowSums(both))
  of_b <- pairs(colSums(both))
  expected <- of_a * of_b / pairs(length(a))
  most <- (of_a + of_b) / 2
  if (most <= expected) 1 else (pairs(both) - expected) / (most - expected)
}

# One clustering of all samples: labels in the order of their size.
partition_of <- function(scores, k, method) {
  if (k == 1L) return(rep(1L, nrow(scores)))
  cluster <- if (method == "kmeans") {
    stats::kmeans(scores, k, nstart = 50L, iter.max = 100L)$cluster
  } else {
    stats::cutree(stats::hclust(stats::dist(scores), "ward.D2"), k)
  }
  # the largest first, of the same size that of the first sample
  match(cluster, order(-tabulate(cluster, k), match(seq_len(k), cluster)))
}

# How often two samples are sorted together by the centres of random halves.
consensus_of <- function(scores, k, method, splits) {
  if (k == 1L) return(NULL)
  n <- nrow(scores)
  out <- matrix(0, n, n, dimnames = list(rownames(scores), rownames(scores)))
  for (split in seq_len(splits)) {
    half <- sample.int(n, n %/% 2L)
    part <- scores[half, , drop = FALSE]
    cluster <- nearest_centre(scores, centres_of(part, partition_of(part, k, method)))
    out <- out + outer(cluster, cluster, "==")
  }
  out / splits
}

# Width of silhouettes (Rousseeuw, 1987).
silhouette_of <- function(scores, cluster) {
  distance <- as.matrix(stats::dist(scores))
  size <- tabulate(cluster)
  if (length(size) < 2L) return(rep(NA_real_, nrow(scores)))
  sums <- t(rowsum(distance, cluster))
  own <- cbind(seq_along(cluster), cluster)
  within <- sums[own] / pmax(size[cluster] - 1, 1)
  means <- sums / rep(size, each = nrow(sums))
  means[own] <- Inf
  other <- do.call(pmin, as.data.frame(means))
  ifelse(size[cluster] == 1L, 0, (other - within) / pmax(other, within))
}

# Number of subtypes: the null decides whether there are any, stability how many.
# `agreement` is clusters x splits x sets, the first set that which was seen.
choose_number <- function(agreement, k, level) {
  means <- apply(agreement, c(1L, 3L), mean)
  dim(means) <- dim(agreement)[c(1L, 3L)]
  null <- means[, -1L, drop = FALSE]
  of_null <- list(mean = rowMeans(null), sd = apply(null, 1L, stats::sd))
  z <- (means[, 1L] - of_null$mean) / (of_null$sd + LEAST_SPREAD)
  # all sets alike, so that under the null every rank is as probable
  among <- (means - rowMeans(means)) / (apply(means, 1L, stats::sd) + LEAST_SPREAD)
  highest <- apply(among, 2L, max)
  p_value <- mean(highest >= highest[1L])
  error <- apply(agreement[, , 1L, drop = FALSE], 1L, stats::sd) / sqrt(dim(agreement)[2L])
  candidates <- if (p_value <= level) which(z > LEAST_Z) else integer()
  if (p_value <= level && !length(candidates)) candidates <- which.max(z)
  best <- candidates[which.max(means[candidates, 1L])]
  table <- data.frame(k = k, stability = means[, 1L], std_error = error,
                      null_mean = of_null$mean, null_sd = of_null$sd, z = z,
                      candidate = seq_along(k) %in% candidates)
  near <- if (length(best)) {
    candidates[means[candidates, 1L] >= means[best, 1L] - error[best]]
  }
  list(k = if (length(best)) k[best] else 1L, p_value = p_value, stability = table,
       competing = setdiff(k[near], k[best]))
}

# So stable above the null a number of subtypes must be; and what is added to the spread
# of stabilities, lest a number whose null never varies wins by nothing.
LEAST_Z <- 2.5
LEAST_SPREAD <- 0.02

# Correlation of each sample with each centroid, samples x subtypes.
centroid_correlation <- function(values, centroids) {
  found <- suppressWarnings(stats::cor(values, centroids))
  found[is.na(found)] <- 0
  found
}

# The share of samples of each class whose nearest neighbour is of that class (Kapp and
# Tibshirani, 2007), and over all samples.
in_group <- function(scores, class, k) {
  distance <- as.matrix(stats::dist(scores))
  diag(distance) <- Inf
  neighbour <- class[max.col(-distance, ties.method = "first")]
  same <- neighbour == class
  c(vapply(seq_len(k), function(i) mean(same[class == i]), 0), mean(same))
}

# The share of the variance that lies between classes.
between_share <- function(scores, class) {
  scores <- scores - rep(colMeans(scores), each = nrow(scores))
  sum(as.vector(table(class)) * rowSums(centres_of(scores, class)^2)) / sum(scores^2)
}
