# The error model between platforms: what the core needs beside the Poisson
# model.  Reference and bulk differ gene by gene; the reference itself is known
# up to its own counts.

# Ranks within a type at which the discount sets in, and its power.  Platform
# errors of genes that mark the same type go together, so that thousands of
# them know no more than some dozens: beyond the rank n0 a gene's error
# variance grows as 1 + (rank / n0)^4.  In simulations with errors of sd 0 to 1
# the accuracy is flat between 75 and 150 and falls below; errors that go
# together within a type favour the lower end.
DISCOUNT_RANK <- 75
DISCOUNT_POWER <- 4
# Multiple of n0 beyond which genes are left out: all of them together carry
# less than 0.5 % of the information.
DISCOUNT_END <- 4
# Expression, as a share of all mRNA, that log ratios are measured against.
RATIO_FLOOR <- 1e-5
# Counts, per million, below which a gene says nothing reliable about its level.
FLOOR_CPM <- 10

# Adds to a model: calibrated `sources`, their `variance`, and a `discount` per
# gene; weights of genes beyond the last rank become 0.
add_platform_error <- function(model, signatures) {
  reference <- reference_counts(model, signatures)
  kept <- model$weights > 0
  calibrated <- calibrate(model$sources, reference, kept)
  model$variance <- source_variance(calibrated, reference)
  model <- discount_ranks(model, specific_rank(calibrated, kept))
  model$sources <- calibrated
  model
}

# What the counts of the reference leave unknown of its profiles.
source_variance <- function(profiles, reference) {
  if (is.null(reference)) return(0 * profiles)
  (reference$counts + 1) / rep(reference$totals^2, each = nrow(profiles)) +
    rep(reference$dispersion, each = nrow(profiles)) * profiles^2
}

# The discount of each gene; genes beyond the last rank lose their weight.
discount_ranks <- function(model, rank) {
  model$discount <- 1 + (rank / DISCOUNT_RANK)^DISCOUNT_POWER
  model$weights[rank > DISCOUNT_END * DISCOUNT_RANK] <- 0
  model
}

# Level per sample below which a gene says nothing reliable; never below one
# count where values are counts.
platform_floors <- function(bulk_values) {
  floors <- bulk_values$totals * FLOOR_CPM / 1e6
  if (bulk_values$unit == "counts") pmax(floors, 1) else floors
}

# Counts behind the profiles (genes of the model x types), totals and the
# overdispersion of the sum of cells; NULL when the signatures do not know.
reference_counts <- function(model, signatures) {
  totals <- signatures$umi * signatures$cells
  if (anyNA(totals)) return(NULL)
  dispersion <- signatures$dispersion
  list(counts = model$sources * rep(totals, each = nrow(model$sources)), totals = totals,
       dispersion = dispersion)
}

# Shrinks the differences between types to what the reference's own noise leaves
# of them (empirical Bayes, gene by gene).  Without it noise looks like
# specificity, in the type with the fewest counts above all.
calibrate <- function(profiles, reference, kept, size = size_factors(reference, kept)) {
  if (is.null(reference) || ncol(profiles) < 2L) return(pmax(profiles, 1e-10))
  n_types <- ncol(profiles)
  totals <- reference$totals * size
  each_type <- function(x) matrix(x, nrow(profiles), n_types, byrow = TRUE)
  scaled <- profiles / each_type(size)
  # Precision of each profile if the type had the common mean.
  precision <- function(mean) {
    expected <- pmax(mean, 1e-12) * each_type(totals)
    each_type(totals^2) / (expected + each_type(reference$dispersion) * expected^2)
  }
  mean <- rowMeans(scaled)
  for (pass in 1:4) {
    weight <- precision(mean)
    mean <- rowSums(weight * scaled) / rowSums(weight)
  }
  weight <- precision(mean)
  difference <- scaled - mean
  total <- rowSums(weight)
  # Variance between types beyond noise (DerSimonian and Laird).
  between <- (rowSums(weight * difference^2) - (n_types - 1)) / (total - rowSums(weight^2) / total)
  between <- pmax(between, 0)
  share <- between / (between + 1 / weight)
  pmax(each_type(size) * (mean + share * difference), 1e-10)
}

# How much of its transcriptome a type leaves for the typical gene: the median
# ratio to the geometric mean of the types, over genes that all of them express.
size_factors <- function(reference, kept) {
  counts <- reference$counts
  seen <- kept & apply(counts, 1L, min) >= 3
  if (sum(seen) < 50) {
    abundance <- ifelse(kept, rowSums(counts), 0)
    seen <- abundance >= sort(abundance, decreasing = TRUE)[min(200, length(abundance))]
  }
  logs <- log((counts[seen, , drop = FALSE] + 0.5) / rep(reference$totals, each = sum(seen)))
  size <- apply(logs - rowMeans(logs), 2L, stats::median)
  exp(size - mean(size))
}

# 0-based rank of each kept gene among those whose highest type is the same, by
# the log ratio of that type to the others; 0 with one type.
specific_rank <- function(profiles, kept) {
  if (ncol(profiles) < 2L) return(rep(0, nrow(profiles)))
  logs <- log(profiles + RATIO_FLOOR)
  top <- max.col(logs, ties.method = "first")
  highest <- logs[cbind(seq_along(top), top)]
  ratio <- highest - (rowSums(logs) - highest) / (ncol(logs) - 1)
  ratio[!kept] <- -Inf
  rank <- numeric(length(top))
  for (type in unique(top)) {
    own <- which(top == type)
    rank[own[order(-ratio[own])]] <- seq_along(own) - 1
  }
  rank
}
