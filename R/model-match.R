# Counts in the genes of a model.

# The result with these counts in place of its own.
with_counts <- function(result, observed_counts, .call = caller_env()) {
  check_result(result, .call = .call)
  if (is.null(observed_counts)) return(result)
  bulk <- as_bulk(observed_counts, .call = .call)
  samples <- result$convergence$sample
  genes <- rownames(result$model$sources)
  place <- result$model$matching$gene_of_row
  if (!is.null(bulk$genes)) place <- match(bulk$genes, genes, nomatch = 0L) - 1L
  if (length(place) != bulk$n_rows || !all(seq_along(genes) %in% (place + 1L)) ||
        !all(samples %in% bulk$samples)) {
    stop_user("argument", "`observed_counts` are not the counts of this result.",
              i = "Give the `bulk_counts` that were deconvolved.", .call = .call)
  }
  result$model$matching$gene_of_row <- place
  result$counts <- bulk_subset(bulk, match(samples, bulk$samples))
  result
}

# Counts over the matched genes.
observed_counts <- function(object, samples = NULL, .call = caller_env()) {
  bulk <- kept_counts(object, .call = .call)
  place <- object$model$matching$gene_of_row + 1L
  kept <- match(object$convergence$sample, bulk$samples)
  if (!is.null(samples)) kept <- kept[sample_index(samples, object$convergence$sample)]
  rows <- which(place > 0L)
  part <- as.matrix(bulk$source[rows, kept, drop = FALSE])
  genes <- rownames(object$model$sources)
  observed <- gather_rows(part, place[rows], length(genes))
  dimnames(observed) <- list(genes, bulk$samples[kept])
  observed
}
