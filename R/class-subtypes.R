#' Subtypes, and new samples in them
#'
#' What [find_subtypes()] returns, and its methods.
#'
#' @details
#' `subtypes` are a list:
#' \describe{
#'   \item{`k`}{Number of subtypes; 1 where there are none.}
#'   \item{`assignment`}{A factor named by sample: `"subtype 1"` (the largest), ...}
#'   \item{`p_value`}{Of the null that samples are one cloud.}
#'   \item{`competing`}{Other numbers within one standard error of the stability of `k`.}
#'   \item{`stability`}{Data frame, a row per number tried: `k`, `stability`, `std_error`,
#'     `null_mean`, `null_sd`, `z`, `candidate`.}
#'   \item{`centroids`}{Features × subtypes: means of the centred values.}
#'   \item{`silhouette`}{Width per sample, in the principal components.}
#'   \item{`consensus`}{Samples × samples: how often they were sorted together by the
#'     centres of random halves (up to 3,000 samples); with `ambiguous`, the share of
#'     pairs with a consensus from 0.1 to 0.9.}
#'   \item{`scores`, `loadings`}{Principal components.}
#'   \item{`sample_data`, `left_out`, `scale`, `how`, `settings`}{Of the samples; samples
#'     without all values; and how values were made.}
#' }
#' @param x,object `subtypes`.
#' @param newdata A second cohort, in the form that the first had. Its features are found by
#'   name (one in five may be missing) and centred by their own means, so that
#'   platforms need not agree; so it must be a cohort of like patients.
#' @param type For `predict()`: `"class"`, a factor named by sample, or `"scores"`, a data
#'   frame. For `plot()`: `"samples"` (first two principal components), `"stability"`, or
#'   `"consensus"`.
#' @param min_margin Samples whose margin is below it get `NA`.
#' @param ... None: other arguments are refused.
#' @return `predict()`: the subtype whose centroid has the highest correlation with the
#'   sample. As `"scores"`: `sample`, `subtype`, `margin` (between the highest
#'   correlation and the next), and the correlation with each subtype. `plot()`: a ggplot.
#' @section Errors: `unalloy_error_features` for a second cohort with other features,
#'   `unalloy_error_too_few_samples` for fewer than five samples.
#' @seealso [find_subtypes()], [replicate_subtypes()]
#' @name subtypes
#' @examples
#' set.seed(1)
#' group <- rep(1:2, each = 30)
#' x <- matrix(rnorm(40 * 60), 40) + outer(rnorm(40), group)
#' dimnames(x) <- list(paste0("Gene", 1:40), paste0("Patient", 1:60))
#' found <- find_subtypes(x[, c(1:20, 31:50)], k = 2:4, null = 40, seed = 1)
#' table(predict(found, x[, c(21:30, 51:60)]), group[c(21:30, 51:60)])
NULL

new_subtypes <- function(cluster, number, chosen, reduced, consensus, table, settings) {
  names <- paste("subtype", seq_len(number$k))
  samples <- colnames(chosen$values)
  centroids <- vapply(seq_len(number$k), function(i) {
    rowMeans(chosen$values[, cluster == i, drop = FALSE])
  }, numeric(nrow(chosen$values)))
  dimnames(centroids) <- list(rownames(chosen$values), names)
  pairs <- if (!is.null(consensus)) consensus[upper.tri(consensus)]
  structure(list(
    k = number$k, assignment = stats::setNames(factor(names[cluster], names), samples),
    p_value = number$p_value, competing = number$competing, stability = number$stability,
    centroids = centroids,
    silhouette = stats::setNames(silhouette_of(reduced$scores, cluster), samples),
    consensus = consensus,
    ambiguous = if (!is.null(pairs)) mean(pairs > 0.1 & pairs < 0.9),
    scores = reduced$scores, loadings = reduced$loadings, scale = chosen$scale,
    sample_data = table[samples, , drop = FALSE], left_out = settings$left_out,
    how = settings$how, settings = settings[setdiff(names(settings), c("how", "left_out"))]
  ), class = "subtypes")
}

check_subtypes <- function(x, .call = caller_env()) {
  if (!inherits(x, "subtypes")) {
    stop_user("argument", "`subtypes` must be a result of `find_subtypes()`.",
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
}

#' @rdname subtypes
#' @export
predict.subtypes <- function(object, newdata = NULL, type = c("class", "scores"),
                             min_margin = 0, ...) {
  refuse_dots(...)
  here <- environment()
  type <- check_choice(type, c("class", "scores"), "type")
  min_margin <- check_number(min_margin, "min_margin", 0, 2)
  if (is.null(newdata)) {
    if (type == "class" && min_margin == 0) return(object$assignment)
    values <- tcrossprod(object$loadings, object$scores)
    colnames(values) <- names(object$assignment)
    return(sorted_samples(values, object$centroids, type, min_margin))
  }
  found <- aligned_to(object, newdata, here)
  sorted_samples(found$values, object$centroids[found$features, , drop = FALSE], type, min_margin)
}

sorted_samples <- function(values, centroids, type, min_margin) {
  names <- colnames(centroids)
  if (length(names) == 1L) {
    class <- rep(1L, ncol(values))
    correlation <- matrix(NA_real_, ncol(values), 1L)
    margin <- rep(NA_real_, ncol(values))
  } else {
    correlation <- centroid_correlation(values, centroids)
    class <- max.col(correlation, ties.method = "first")
    sorted <- t(apply(correlation, 1L, sort, decreasing = TRUE))
    margin <- sorted[, 1L] - sorted[, 2L]
    class[margin < min_margin] <- NA
  }
  subtype <- factor(names[class], names)
  if (type == "class") return(stats::setNames(subtype, colnames(values)))
  out <- data.frame(sample = colnames(values), subtype = subtype, margin = margin)
  cbind(out, stats::setNames(as.data.frame(unname(correlation)), names))
}

#' @rdname subtypes
#' @export
print.subtypes <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Subtypes of ", plural(length(x$assignment), "sample"), " by ",
      plural(nrow(x$centroids), switch(x$settings$noun, type = "share", x$settings$noun)), ", ",
      plural(ncol(x$scores), "principal component"), "\n", sep = "")
  if (length(x$left_out)) {
    cat(plural(length(x$left_out), "sample"), " left out: not all values\n", sep = "")
  }
  if (x$k == 1L) {
    cloud <- if (x$settings$null_model == "gaussian") "a single Gaussian cloud"
             else "a single cloud"
    cat("No subtypes: partitions are no more stable than those of ", cloud, " (p ",
        format(x$p_value, digits = 2), ").\n", sep = "")
  } else {
    cat(x$k, " subtypes (p ", format(x$p_value, digits = 2), " against none): ",
        paste(table(x$assignment), collapse = ", "), " samples\n", sep = "")
    if (length(x$competing)) {
      cat("Also within one standard error: ", paste(x$competing, collapse = ", "), "\n", sep = "")
    }
    cat("Mean silhouette ", format(mean(x$silhouette), digits = 2), sep = "")
    if (!is.null(x$ambiguous)) cat(", ambiguous pairs ", percent_text(x$ambiguous), sep = "")
    cat("\n")
  }
  cat("\n")
  print(format_columns(x$stability), row.names = FALSE)
  invisible(x)
}

#' @rdname subtypes
#' @export
consensus.subtypes <- function(object, ...) {
  refuse_dots(...)
  if (is.null(object$consensus)) {
    stop_user("argument", "There is no consensus matrix.",
              x = if (object$k == 1L) "There are no subtypes."
                  else paste0("There are ", plural(length(object$assignment), "sample"), "."))
  }
  object$consensus
}

# New samples in the features of a fit: centred by their own means, scaled as the blocks were.
aligned_to <- function(subtypes, newdata, .call) {
  measured <- measured_values(newdata, subtypes$how, .call = .call)
  samples <- complete_samples(measured)
  if (length(samples) < LEAST_COHORT) {
    stop_user("too_few_samples", paste0("New samples are compared with their own mean: give ",
                                        LEAST_COHORT, " at least."),
              x = paste0("There ", if (length(samples) == 1L) "is " else "are ",
                         length(samples), "."), .call = .call)
  }
  values <- do.call(rbind, lapply(measured$blocks, function(block) {
    out <- block$values[, samples, drop = FALSE]
    rownames(out) <- feature_names(block)
    out
  }))
  features <- rownames(subtypes$centroids)
  place <- match(features, rownames(values))
  absent <- features[is.na(place)]
  if (length(absent) > MOST_ABSENT * length(features)) {
    stop_user("features", "`newdata` must have the features of the subtypes.",
              x = paste0(count_text(length(absent)), " of ", plural(length(features), "feature"),
                         " are not in it: ", some_of(absent), "."),
              i = paste0("One in ", 1 / MOST_ABSENT, " may be missing."), .call = .call)
  }
  kept <- which(!is.na(place))
  values <- values[place[kept], , drop = FALSE]
  values <- (values - rowMeans(values)) / subtypes$scale[kept]
  list(values = values, features = kept, sample_data = measured$sample_data)
}

LEAST_COHORT <- 5L
MOST_ABSENT <- 0.2
