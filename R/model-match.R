# Counts in the genes of a model: the fit's own, or others in their place.

# The model for other counts: its genes are found among their rows, by name where
# they have names, else by the place they had in the counts of the fit.  `needed`
# says which genes must be there, `what` how the user calls the counts.
match_to_model <- function(model, bulk, needed, what, .call = caller_env()) {
  genes <- rownames(model$sources)
  if (is.null(bulk$genes)) {
    n_rows <- length(model$matching$gene_of_row)
    if (bulk$n_rows != n_rows) {
      stop_user("gene_names", paste0("`", what, "` needs gene names as row names."),
                x = paste0("Without names it must have the ", plural(n_rows, "row"),
                           " of the counts of the fit; it has ", count_text(bulk$n_rows), "."),
                .call = .call)
    }
    return(model)
  }
  model$matching$gene_of_row <- match(bulk$genes, genes, nomatch = 0L) - 1L
  absent <- setdiff(which(needed), model$matching$gene_of_row + 1L)
  if (length(absent)) {
    stop_user("gene_names", paste0("`", what, "` must have every gene that the fit uses."),
              x = paste0("Without: ", some_of(genes[absent]), "."), .call = .call)
  }
  model
}

# Other samples without their background, as those of the fit were: list(bulk, values).
cleaned_alike <- function(object, bulk, what, .call) {
  setting <- object$settings$array_background %||% "none"
  if (length(setting) > 1L && !identical(bulk$samples, object$convergence$sample)) {
    stop_user("background", paste0("The fit took a background of its own from every sample: ",
                                   "that of `", what, "` is not known."),
              i = paste0("Take it from `", what, "`, and fit with `array_background = \"none\"`."),
              .call = .call)
  }
  without_background(bulk, object$signatures$profiles, setting, FALSE, .call)
}

# The result with these counts in place of its own.
with_counts <- function(result, observed_counts, .call = caller_env()) {
  check_result(result, .call = .call, likelihood = !is.null(observed_counts))
  if (is.null(observed_counts)) return(result)
  bulk <- cleaned_alike(result, as_bulk(observed_counts, .call = .call), "observed_counts",
                        .call)$bulk
  # residuals are taken of all genes, of those without weight too
  needed <- rep(TRUE, nrow(result$model$sources))
  result$model <- match_to_model(result$model, bulk, needed, "observed_counts", .call = .call)
  samples <- result$convergence$sample
  absent <- setdiff(samples, bulk$samples)
  if (length(absent)) {
    stop_user("argument", "`observed_counts` must have every sample of the result.",
              x = paste0("Without: ", some_of(absent), "."), .call = .call)
  }
  result$counts <- bulk_subset(bulk, match(samples, bulk$samples))
  result
}

# Counts over the matched genes.
observed_counts <- function(object, samples = NULL, .call = caller_env()) {
  bulk <- kept_counts(object, .call = .call)
  kept <- match(object$convergence$sample, bulk$samples)
  if (!is.null(samples)) kept <- kept[sample_index(samples, object$convergence$sample)]
  genes <- rownames(object$model$sources)
  observed <- in_genes(block_values(bulk, kept, .call), object$model$matching$gene_of_row + 1L,
                       length(genes))
  dimnames(observed) <- list(genes, bulk$samples[kept])
  observed
}

# Rows of counts summed into genes, a dense matrix of doubles.
in_genes <- function(values, place, n_genes) {
  rows <- which(place > 0L)
  gather_rows(as.matrix(values[rows, , drop = FALSE]), place[rows], n_genes)
}
