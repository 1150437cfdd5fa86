# Numbers that say how good, how sparse and how stable a factorisation is.
# nolint start: object_name_linter. Methods, and names that others chose.

#' Measures of a factorisation
#'
#' The measures that package NMF prints, with its definitions and names.
#'
#' @details
#' * `rss()`: sum (X - WH)² over the observed entries, which are neither missing nor of
#'   weight 0; `evar()`: 1 - rss / sum X² over the same entries.
#' * `sparseness()` (Hoyer 2004): (sqrt(n) - |x|_1/|x|_2) / (sqrt(n) - 1), 0 for a constant and 1
#'   for a single non-zero entry; of a fit, the mean over metagenes (columns of W)
#'   and over samples (columns of H). `NA` for a vector of zeros, which means leave
#'   out.
#' * `purity()`: the share of samples that belong to the most frequent class of
#'   their cluster. `entropy()`: of classes within clusters, sum over clusters and
#'   classes -n log_2(n / cluster size) / (N log_2 classes); 0 when every cluster has
#'   one class (Kim and Park 2007).
#' * `silhouette()`: for samples (or features), distance is 1 - Pearson
#'   correlation of the contributions of components (or rows of W) and clusters are the
#'   largest components; for the consensus, distance is 1 - C and clusters are those of
#'   [predict.nmf_fit()]. Mean distances to clusters are inner products with
#'   cluster sums, so no matrix of distances is made: half a million features
#'   take seconds. A sample without correlation (constant coefficients) is at
#'   distance 1 from all.
#'
#' @param object,x An [nmf_fit]; for `sparseness()` also a vector or matrix
#'   (by column); for `purity()` and `entropy()` also a factor of clusters or a table
#'   clusters × classes.
#' @param data The data, when the fit was told not to keep them.
#' @param class,y Known classes, one per sample.
#' @param what Silhouettes of `"samples"`, `"features"` or `"consensus"`.
#' @param digits Significant digits to print.
#' @param ... None: other arguments are refused.
#' @return `summary()`: named numbers, of which `[["rss"]]` takes one:
#'   `rank`, `sparseness.basis`, `sparseness.coef`, with `class` also
#'   `purity` and `entropy`, `rss` and `evar` when the data are there, mean widths
#'   `silhouette.coef` and `silhouette.basis`, `residuals` (the objective),
#'   `niter`, `cpu` (of the best run, seconds), and with several runs `cpu.all`,
#'   `nrun`, `cophenetic`, `dispersion`, `silhouette.consensus`. `silhouette()`: a
#'   matrix as in package cluster, with columns `cluster`, `neighbor`,
#'   `sil_width`, or `NA` when there is one cluster. The others: numbers.
#' @section Errors: `unalloy_error_argument`, `unalloy_error_missing_data`.
#' @references Hoyer PO (2004) JMLR 5:1457. Kim H, Park H (2007) Bioinformatics
#'   23:1495. Rousseeuw PJ (1987) J Comput Appl Math 20:53.
#' @seealso [cophcor()] and [dispersion()] in [consensus.nmf_fit()]
#' @name summary.nmf_fit
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 12, seed = 1)
#' fit <- nmf(sim$bulk_counts, rank = 3, nrun = 5, seed = 1)
#' summary(fit)
#' majority <- rownames(sim$truth_mrna)[max.col(t(sim$truth_mrna))]
#' purity(fit, majority)
NULL

#' @rdname summary.nmf_fit
#' @export
summary.nmf_fit <- function(object, class = NULL, data = NULL, ...) {
  refuse_dots(...)
  check_factors(object, "object")
  best <- best_run(object)
  runs <- object$runs
  data <- data %||% object$x
  widths <- function(what) mean(silhouette_widths(object, what)$width)
  sparse <- sparseness(object)
  n_runs <- ncol(object$membership)
  values <- c(
    rank = object$rank, sparseness.basis = sparse[["basis"]], sparseness.coef = sparse[["coef"]],
    if (!is.null(class)) c(purity = purity(object, class), entropy = entropy(object, class)),
    if (!is.null(data)) {
      sums <- residual_sums(object, data)
      c(rss = sums[[1L]], evar = 1 - sums[[1L]] / sums[[2L]])
    },
    silhouette.coef = widths("samples"), silhouette.basis = widths("features"),
    residuals = object$objective, niter = runs$iterations[best], cpu = runs$cpu[best],
    if (n_runs > 1L) {
      c(cpu.all = sum(runs$cpu), nrun = n_runs, cophenetic = cophcor(object),
        dispersion = dispersion(object), silhouette.consensus = widths("consensus"))
    }
  )
  structure(values, class = "summary.nmf_fit")
}

#' @rdname summary.nmf_fit
#' @export
print.summary.nmf_fit <- function(x, digits = 6, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  shown <- vapply(unclass(x), format, "", digits = digits)
  cat(paste0(format(names(x)), "  ", format(shown, justify = "right"), "\n"), sep = "")
  invisible(x)
}

#' @rdname summary.nmf_fit
#' @export
rss.nmf_fit <- function(object, data = NULL, ...) {
  refuse_dots(...)
  residual_sums(object, data_of(object, data))[[1L]]
}

#' @rdname summary.nmf_fit
#' @export
evar.nmf_fit <- function(object, data = NULL, ...) {
  refuse_dots(...)
  sums <- residual_sums(object, data_of(object, data))
  1 - sums[[1L]] / sums[[2L]]
}

# Squared residual and square of the data, over observed entries. Sparse data are
# not expanded: the square is opened, unless what is left would be rounding.
residual_sums <- function(fit, x) {
  unseen <- unseen_entries(fit$weights, x)
  if (methods::is(x, "dgCMatrix") && is.null(fit$offset) && !anyNA(x@x) && is.null(unseen)) {
    total <- sum(x@x^2)
    basis <- smoothed_basis(fit)
    cross <- sum(basis * as.matrix(Matrix::tcrossprod(x, fit$coef)))
    square <- sum(crossprod(basis) * tcrossprod(fit$coef))
    residual <- total - 2 * cross + square
    if (residual > 1e-6 * total) return(c(residual, total))
  }
  # blocks of at most 80 MB
  width <- max(1, floor(1e7 / nrow(x)))
  blocks <- split(seq_len(ncol(x)), (seq_len(ncol(x)) - 1) %/% width)
  parts <- vapply(blocks, function(block) {
    observed <- as.matrix(x[, block, drop = FALSE])
    if (!is.null(unseen)) observed[unseen(block)] <- NA
    c(sum((observed - fitted(fit, block))^2, na.rm = TRUE), sum(observed^2, na.rm = TRUE))
  }, c(0, 0))
  rowSums(parts)
}

# Which entries of some samples have weight 0, as a function; `NULL` when none has.
unseen_entries <- function(weights, x) {
  if (is.null(weights)) return(NULL)
  if (is.list(weights)) {
    none <- list(features = (weights$features %||% rep(1, nrow(x))) == 0,
                 samples = (weights$samples %||% rep(1, ncol(x))) == 0)
    if (!any(unlist(none))) return(NULL)
    return(function(block) outer(none$features, none$samples[block], "|"))
  }
  if (is.matrix(weights) && all(weights > 0)) return(NULL)
  function(block) as.matrix(weights[, block, drop = FALSE]) == 0
}

#' @rdname summary.nmf_fit
#' @export
sparseness.nmf_fit <- function(x, ...) {
  refuse_dots(...)
  check_factors(x, "x")
  c(basis = sparseness(x$basis), coef = sparseness(x$coef))
}

#' @rdname summary.nmf_fit
#' @export
sparseness.matrix <- function(x, ...) {
  refuse_dots(...)
  mean(column_sparseness(x), na.rm = TRUE)
}

#' @rdname summary.nmf_fit
#' @export
sparseness.numeric <- function(x, ...) {
  refuse_dots(...)
  unname(column_sparseness(matrix(x)))
}

column_sparseness <- function(x) {
  root <- sqrt(nrow(x))
  norm <- sqrt(colSums(x^2))
  ifelse(norm > 0, (root - colSums(abs(x)) / norm) / (root - 1), NA_real_)
}

#' @rdname summary.nmf_fit
#' @export
purity.nmf_fit <- function(x, y, ...) {
  refuse_dots(...)
  check_factors(x, "x")
  purity(clusters_by_class(predict(x), y))
}

#' @rdname summary.nmf_fit
#' @export
purity.factor <- function(x, y, ...) {
  refuse_dots(...)
  purity(clusters_by_class(x, y))
}

#' @rdname summary.nmf_fit
#' @export
purity.table <- function(x, y, ...) {
  refuse_dots(...)
  refuse_classes(y)
  sum(apply(x, 1L, max)) / sum(x)
}

#' @rdname summary.nmf_fit
#' @export
entropy.nmf_fit <- function(x, y, ...) {
  refuse_dots(...)
  check_factors(x, "x")
  entropy(clusters_by_class(predict(x), y))
}

#' @rdname summary.nmf_fit
#' @export
entropy.factor <- function(x, y, ...) {
  refuse_dots(...)
  entropy(clusters_by_class(x, y))
}

#' @rdname summary.nmf_fit
#' @export
entropy.table <- function(x, y, ...) {
  refuse_dots(...)
  refuse_classes(y)
  if (ncol(x) < 2L) return(0)
  share <- x / rowSums(x)
  -sum(x * ifelse(x > 0, log2(share), 0)) / (sum(x) * log2(ncol(x)))
}

# A table has them already.
refuse_classes <- function(y, .call = caller_env()) {
  if (missing(y)) return(invisible())
  stop_user("argument", "A table of clusters by class takes no `y`.",
            i = "Give the clusters themselves, or the table alone.", .call = .call)
}

clusters_by_class <- function(clusters, class, .call = caller_env()) {
  if (missing(class)) {
    stop_user("argument", "The known classes must be given as `y`.", .call = .call)
  }
  if (!is.atomic(class) || length(class) != length(clusters)) {
    stop_user("argument", "The known classes must be a vector with a value per sample.",
              x = paste0("They are ", describe(class), "; there are ",
                         plural(length(clusters), "sample"), "."), .call = .call)
  }
  if (all(is.na(class))) {
    stop_user("argument", "The known classes are missing for every sample.", .call = .call)
  }
  table(clusters, factor(class))
}

#' @rdname summary.nmf_fit
#' @export
#' @rawNamespace S3method(cluster::silhouette, nmf_fit)
silhouette.nmf_fit <- function(x, what = c("samples", "features", "consensus"), ...) {
  refuse_dots(...)
  check_factors(x, "x")
  what <- check_choice(what, c("samples", "features", "consensus"), "what")
  found <- silhouette_widths(x, what)
  if (length(found$width) == 1L && is.na(found$width)) return(NA)
  out <- cbind(cluster = found$cluster, neighbor = found$neighbour, sil_width = found$width)
  rownames(out) <- found$names
  structure(out, Ordered = FALSE, call = sys.call(), class = "silhouette")
}

# Cluster, nearest other cluster and width of each item.
silhouette_widths <- function(fit, what) {
  if (what == "consensus") {
    labels <- consensus_clusters(fit)
    clusters <- as.integer(labels)
    apart <- cluster_distances(fit$membership, clusters, max(clusters))
  } else {
    values <- if (what == "samples") t(contributions(fit)) else fit$basis
    labels <- largest_component(t(values))
    clusters <- as.integer(labels)
    # the inner product of standardised rows is their correlation
    values <- values - rowMeans(values)
    norm <- sqrt(rowSums(values^2))
    values <- values / ifelse(norm > 0, norm, Inf)
    sums <- rowsum(values, factor(clusters, seq_len(fit$rank)), reorder = TRUE)
    sums <- sums[match(seq_len(fit$rank), rownames(sums)), , drop = FALSE]
    apart <- 1 - sweep(tcrossprod(values, sums), 2L, tabulate(clusters, fit$rank), "/")
    # an item's distance to itself is 0, whatever the correlation says
    own <- cbind(seq_along(clusters), clusters)
    apart[own] <- apart[own] - (1 - rowSums(values^2)) / tabulate(clusters, fit$rank)[clusters]
  }
  c(widths_from(apart, clusters), list(names = names(labels)))
}

# Silhouettes from the mean distances of items to clusters, themselves included.
widths_from <- function(apart, clusters) {
  size <- tabulate(clusters, ncol(apart))
  if (sum(size > 0) < 2L) return(list(width = NA_real_))
  own <- cbind(seq_along(clusters), clusters)
  within <- apart[own] * size[clusters] / pmax(size[clusters] - 1, 1)
  apart[own] <- NA
  apart[, size == 0] <- NA
  apart[is.na(apart)] <- Inf
  neighbour <- max.col(-apart, ties.method = "first")
  between <- apart[cbind(seq_along(clusters), neighbour)]
  width <- (between - within) / pmax(between, within)
  # clusters of one item, and items that are at distance 0 from both
  width[size[clusters] == 1L | !is.finite(width)] <- 0
  list(cluster = clusters, neighbour = neighbour, width = width)
}
# nolint end
