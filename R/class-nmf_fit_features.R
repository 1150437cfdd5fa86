# Which features make a component.
# nolint start: object_name_linter. Methods, and names that others chose.

#' Features that characterise components
#'
#' `top_features()` lists the features that say most of each component: of a metagene, a
#' factor, a program, or the signature of a type. `featureScore()` and
#' `extractFeatures()` find features that belong to one component more than to others, as
#' package NMF does it.
#'
#' @details
#' Method `"kim"` (Kim and Park 2007) scores a feature by 1 + sum p log_2 p / log_2 k,
#' where p are the shares of components in its row of W: 1 when it has weight in
#' one component, 0 when it has the same in all, or none. Features are selected
#' whose score is above the median score plus 3 median absolute deviations and whose largest
#' weight is above the median of W. Method `"max"` (Carmona-Saez et al. 2006)
#' sorts features by weight in a component and takes those before the
#' first that has as much weight in another.
#'
#' Scores compare weights between components, so they depend on the scale of the
#' columns of W; [nmf()] documents the one it uses.
#'
#' @param fit What [nmf()], [latent_factors()], [consensus_programs()] or
#'   [build_signatures()] returns.
#' @param object An [nmf_fit], or a matrix features × components.
#' @param n Features per component.
#' @param by Sort by `"specificity"`, the weight times the score of method `"kim"` (of
#'   programs, by their own scores), or by `"weight"` in the component (the largest entries
#'   of W), where features come first that are high everywhere. Loadings of factors count by
#'   their size.
#' @param method `"kim"` or `"max"`; for `extractFeatures()` also a number: that many
#'   features with the largest weight, or below 1 all whose share of the row is
#'   at least that.
#' @param format A `"list"` with a vector of row numbers per component, named by
#'   feature (`NA` for a component without); `"combine"`, all row numbers;
#'   `"subset"`, the rows of W.
#' @param nodups For `"combine"`: leave out repeats?
#' @param ... None: other arguments are refused.
#' @return `top_features()`: data frame with `component`, `place`, `feature`,
#'   `weight` (of signatures and programs per million), `score` and `share` (of the component
#'   in the feature's row). `featureScore()`:
#'   a number per feature, for method `"max"` the largest weight.
#' @section Errors: `unalloy_error_argument`.
#' @references Kim H, Park H (2007) Bioinformatics 23:1495. Carmona-Saez P et
#'   al. (2006) BMC Bioinformatics 7:78.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 12, seed = 1)
#' fit <- nmf(sim$bulk_counts, rank = 3, seed = 1)
#' top_features(fit, n = 3)
#' lengths(extractFeatures(fit))
top_features <- function(fit, n = 10, by = c("specificity", "weight"), ...) {
  check_call("fit")
  UseMethod("top_features")
}

#' @rdname top_features
#' @export
top_features.default <- function(fit, ...) {
  refuse_dots(...)
  stop_user("class", "`top_features()` takes a factorisation, programs or signatures.",
            x = paste0("It is ", describe(fit), "."))
}

#' @rdname top_features
#' @export
top_features.nmf_fit <- function(fit, n = 10, by = c("specificity", "weight"), ...) {
  refuse_dots(...)
  check_factors(fit, "fit")
  feature_table(fit$basis, n, by)
}

#' @rdname top_features
#' @export
top_features.latent_factors <- top_features.nmf_fit

#' @rdname top_features
#' @export
top_features.consensus_programs <- function(fit, n = 10, by = c("specificity", "weight"), ...) {
  refuse_dots(...)
  feature_table(fit$tpm, n, by, fit$scores)
}

#' @rdname top_features
#' @export
top_features.signatures <- function(fit, n = 10, by = c("specificity", "weight"), ...) {
  refuse_dots(...)
  feature_table(fit$profiles * 1e6, n, by)
}

# `scores`, features x components, where there is a score per component.
feature_table <- function(basis, n, by, scores = NULL, .call = caller_env()) {
  n <- min(check_count(n, "n", .call = .call), nrow(basis))
  by <- check_choice(by, c("specificity", "weight"), "by", .call = .call)
  score <- if (is.null(scores)) matrix(feature_score(basis, "kim"), nrow(basis), ncol(basis))
           else scores
  key <- if (by == "weight") abs(basis) else if (is.null(scores)) abs(basis) * score else scores
  total <- rowSums(abs(basis))
  features <- rownames(basis) %||% seq_len(nrow(basis))
  tables <- lapply(seq_len(ncol(basis)), function(k) {
    top <- utils::head(order(-key[, k]), n)
    data.frame(component = colnames(basis)[k], place = seq_along(top), feature = features[top],
               weight = basis[top, k], score = score[top, k],
               share = ifelse(total[top] > 0, abs(basis[top, k]) / total[top], 0))
  })
  out <- do.call(rbind, tables)
  out$component <- factor(out$component, colnames(basis))
  rownames(out) <- NULL
  out
}

#' @rdname top_features
#' @export
featureScore.nmf_fit <- function(object, method = c("kim", "max"), ...) {
  refuse_dots(...)
  check_factors(object, "object")
  feature_score(object$basis, check_choice(method, c("kim", "max"), "method"))
}

#' @rdname top_features
#' @export
featureScore.matrix <- function(object, method = c("kim", "max"), ...) {
  refuse_dots(...)
  feature_score(object, check_choice(method, c("kim", "max"), "method"))
}

#' @rdname top_features
#' @export
extractFeatures.nmf_fit <- function(object, method = c("kim", "max"),
                                    format = c("list", "combine", "subset"), nodups = TRUE, ...) {
  refuse_dots(...)
  check_factors(object, "object")
  extract_features(object$basis, method, format, nodups)
}

#' @rdname top_features
#' @export
extractFeatures.matrix <- function(object, method = c("kim", "max"),
                                   format = c("list", "combine", "subset"), nodups = TRUE, ...) {
  refuse_dots(...)
  extract_features(object, method, format, nodups)
}

feature_score <- function(basis, method) {
  if (method == "max") return(apply(abs(basis), 1L, max))
  if (ncol(basis) < 2L) return(stats::setNames(numeric(nrow(basis)), rownames(basis)))
  total <- rowSums(abs(basis))
  share <- abs(basis) / ifelse(total > 0, total, 1)
  # 0 log 0 = 0
  information <- rowSums(share * ifelse(share > 0, log2(share), 0))
  ifelse(total > 0, 1 + information / log2(ncol(basis)), 0)
}

extract_features <- function(basis, method, format, nodups, .call = caller_env()) {
  format <- check_choice(format, c("list", "combine", "subset"), "format", .call = .call)
  nodups <- check_flag(nodups, "nodups", .call = .call)
  picked <- if (is.numeric(method)) {
    largest_features(basis, check_number(method, "method", min = 0, above = TRUE, .call = .call))
  } else {
    method <- check_choice(method, c("kim", "max"), "method", .call = .call)
    if (method == "kim") specific_features(basis) else leading_features(basis)
  }
  if (format == "list") {
    named <- lapply(picked, function(rows) {
      if (!length(rows)) return(NA_integer_)
      stats::setNames(rows, rownames(basis)[rows])
    })
    return(stats::setNames(named, colnames(basis)))
  }
  rows <- unlist(picked)
  if (format == "subset") return(basis[unique(rows), , drop = FALSE])
  if (nodups) rows <- unique(rows)
  stats::setNames(rows, rownames(basis)[rows])
}

# So many by weight, or all with so large a share of their row.
largest_features <- function(basis, limit) {
  lapply(seq_len(ncol(basis)), function(k) {
    if (limit >= 1) return(utils::head(order(-basis[, k]), round(limit)))
    unname(which(basis[, k] >= limit * rowSums(basis) & basis[, k] > 0))
  })
}

specific_features <- function(basis) {
  score <- feature_score(basis, "kim")
  largest <- apply(abs(basis), 1L, max)
  chosen <- score > stats::median(score) + 3 * stats::mad(score) &
    largest > stats::median(abs(basis))
  component <- max.col(abs(basis), ties.method = "first")
  lapply(seq_len(ncol(basis)), function(k) {
    rows <- unname(which(chosen & component == k))
    rows[order(-score[rows])]
  })
}

leading_features <- function(basis) {
  lapply(seq_len(ncol(basis)), function(k) {
    rows <- order(-basis[, k])
    if (ncol(basis) == 1L) return(rows)
    rival <- apply(basis[rows, -k, drop = FALSE], 1L, max)
    rows[cumall(unname(rival < basis[rows, k]))]
  })
}

cumall <- function(x) cumsum(!x) == 0L
# nolint end
