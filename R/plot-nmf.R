# Pictures of a factorisation.
# nolint start: object_name_linter. Methods, and names that others chose.

# Trees of more rows or columns than this are not grown for a picture.
MAX_DRAWN_TREE <- 2000L

#' Pictures of a factorisation
#'
#' Heatmaps of the basis, the coefficients and the consensus, with trees and
#' annotation tracks. Each is one ggplot.
#'
#' @details
#' `basismap()` shows the rows of W and `coefmap()` the columns of H, by default
#' as shares that sum to 1. A track marks the largest component. `consensusmap()`
#' shows how often two samples are in the same cluster over the runs, in the order
#' of the average-linkage tree, with the clusters that [predict.nmf_fit()] cuts
#' from it. Names are left out above 150 columns or 80 rows, trees above 2,000.
#'
#' @param object An [nmf_fit]; for `consensusmap()` also the result of
#'   [estimate_rank()], which gives a picture per rank.
#' @param main Title.
#' @param scale `"share"`: of components in the row of W, or in the fitted total of
#'   the sample; `"none"`: W or H as they are.
#' @param order Order of features or samples: `"cluster"` by average-linkage clustering of
#'   what is shown; `"component"` by largest component and its share; `"none"`
#'   as in the data.
#' @param annotation Known facts of the features (`basismap()`) or samples: a data frame or
#'   list with a column each, whose names name the tracks, or a vector ("annotation").
#'   Up to five tracks of up to 24 levels have a legend.
#' @param colours List of colours by annotation, each a vector with a colour per
#'   level (in their order, or named).
#' @param features Features to show, by name or number, such as
#'   `extractFeatures(fit, format = "combine")`; all by default.
#' @param track Show the track of components (or clusters)?
#' @param ... What package NMF calls `annRow`, `annCol`, `annColors` and `subsetRow` is
#'   taken for `annotation`, `colours` and `features`; `Rowv` and `Colv` for `order`: `NA` for
#'   `"none"`, `TRUE` for `"cluster"`, `"basis"` for `"component"`. Others are refused.
#' @return A ggplot.
#' @section Errors: `unalloy_error_argument`.
#' @seealso [plot.nmf_fit()], [plot.rank_estimate()]
#' @importFrom ggplot2 geom_point geom_raster
#' @name basismap.nmf_fit
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 20, seed = 1)
#' fit <- nmf(sim$bulk_counts, rank = 3, nrun = 5, seed = 1)
#' coefmap(fit, main = "Samples", annotation = list(batch = rep(c("a", "b"), 10)))
#' basismap(fit, features = extractFeatures(fit, format = "combine"))
#' consensusmap(fit)
NULL

#' @rdname basismap.nmf_fit
#' @export
basismap.nmf_fit <- function(object, main = "Basis: features in components",
                             scale = c("share", "none"),
                             order = c("cluster", "component", "none"), annotation = NULL,
                             colours = list(), features = NULL, track = TRUE, ...) {
  refuse_dots(..., .known = c("annRow", "annColors", "Rowv", "subsetRow"))
  check_factors(object, "object")
  given <- nmf_map_arguments(list(annotation = annotation, colours = colours, order = order,
                                  features = features), list(...))
  scale <- check_choice(scale, c("share", "none"), "scale")
  order <- check_choice(given$order, c("cluster", "component", "none"), "order")
  at <- feature_places(given$features, object)
  notes <- check_annotation(given$annotation, nrow(object$basis), "feature")
  basis <- object$basis[at, , drop = FALSE]
  shown <- if (scale == "share") basis / pmax(rowSums(basis), .Machine$double.xmin) else basis
  placed <- place_items(t(shown), order)
  labels <- largest_component(t(basis))
  tracks <- c(if (check_flag(track, "track")) list(component = named_components(labels, object)),
              lapply(notes, function(values) values[at]))
  draw_heatmap(shown[placed$order, , drop = FALSE], if (scale == "share") "Share" else "Weight",
               row_tree = placed$tree, colours = given$colours,
               row_tracks = lapply(tracks, function(values) values[placed$order]),
               title = main, noun = c("feature", "component"))
}

#' @rdname basismap.nmf_fit
#' @export
coefmap.nmf_fit <- function(object, main = "Coefficients: components in samples",
                            scale = c("share", "none"),
                            order = c("cluster", "component", "none"), annotation = NULL,
                            colours = list(), track = TRUE, ...) {
  refuse_dots(..., .known = c("annCol", "annColors", "Colv"))
  check_factors(object, "object")
  given <- nmf_map_arguments(list(annotation = annotation, colours = colours, order = order),
                             list(...))
  scale <- check_choice(scale, c("share", "none"), "scale")
  order <- check_choice(given$order, c("cluster", "component", "none"), "order")
  coef <- if (scale == "share") contributions(object) else object$coef
  notes <- check_annotation(given$annotation, ncol(coef), "sample")
  shown <- coef
  if (scale == "share") {
    shown <- sweep(coef, 2L, pmax(colSums(coef), .Machine$double.xmin), "/")
  }
  placed <- place_items(shown, order)
  tracks <- c(if (check_flag(track, "track")) {
    list(component = named_components(predict(object), object))
  }, notes)
  draw_heatmap(shown[, placed$order, drop = FALSE],
               if (scale == "share") "Share" else "Coefficient",
               column_tree = placed$tree, colours = given$colours,
               column_tracks = lapply(tracks, function(values) values[placed$order]),
               title = main, noun = c("component", "sample"))
}

#' @rdname basismap.nmf_fit
#' @export
consensusmap.nmf_fit <- function(object, main = NULL, annotation = NULL, colours = list(),
                                 track = TRUE, ...) {
  refuse_dots(..., .known = c("annCol", "annColors"))
  given <- nmf_map_arguments(list(annotation = annotation, colours = colours), list(...))
  n <- nrow(object$membership)
  if (n > MAX_TREE) {
    stop_user("too_large", paste0("A picture of ", plural(n, "sample"), " shows nothing."),
              x = paste0("The consensus map takes up to ", count_text(MAX_TREE), "."),
              i = "Look at `cophcor()`, `dispersion()` and `silhouette(fit, \"consensus\")`.")
  }
  notes <- check_annotation(given$annotation, n, "sample")
  agreement <- consensus(object)
  tree <- NULL
  order <- seq_len(n)
  if (n > 2L) {
    tree <- sample_tree(object$membership)
    order <- leaf_order(tree, rowMeans(agreement))
    tree$order <- order
  }
  clusters <- factor(paste("cluster", consensus_clusters(object)),
                     paste("cluster", seq_len(object$rank)))
  tracks <- c(if (check_flag(track, "track")) {
    list(consensus = clusters,
         component = named_components(predict(object), object))
  }, notes)
  colours <- given$colours
  if (track) {
    colours <- utils::modifyList(list(
      consensus = stats::setNames(consensus_colours(object$rank), levels(clusters))
    ), colours)
  }
  # the names below are those at the side
  rownames(agreement) <- NULL
  n_runs <- ncol(object$membership)
  draw_heatmap(agreement[order, order, drop = FALSE], "Share of runs\ntogether",
               column_tree = tree, limits = c(0, 1), colours = colours,
               column_tracks = lapply(tracks, function(values) values[order]),
               title = main %||% paste0("Consensus of ", plural(n_runs, "run"), ", rank ",
                                        object$rank),
               caption = paste0("Cophenetic correlation ", format(round(cophcor(object), 4)),
                                ", dispersion ", format(round(dispersion(object), 4)), "."),
               noun = c("sample", "sample")) + labs(y = NULL)
}

# Greys, dark to light: clusters are numbered by their place in the picture.
consensus_colours <- function(n) {
  shades(c(40, 40, 40), c(215, 215, 215), seq(0, 1, length.out = n))
}

#' Trace of the objective
#'
#' The objective of the best run by iteration, above its last value, on a
#' logarithmic scale; and the final objectives of all runs above the best.
#'
#' @param x,object An [nmf_fit].
#' @param ... None: other arguments are refused.
#' @return A ggplot.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 12, seed = 1)
#' plot(nmf(sim$bulk_counts, rank = 3, nrun = 5, seed = 1))
plot.nmf_fit <- function(x, ...) {
  refuse_dots(...)
  trace <- x$trace[is.finite(x$trace$objective), ]
  last <- min(trace$objective)
  panels <- c("Best run, by iteration", "Runs, sorted")
  excess <- function(objective) pmax(objective - last, 0) / max(abs(last), .Machine$double.xmin)
  lines <- data.frame(x = trace$iteration, excess = excess(trace$objective),
                      panel = factor(panels[1L], panels), converged = TRUE)
  runs <- x$runs[order(x$runs$objective), ]
  points <- data.frame(x = seq_len(nrow(runs)), excess = excess(runs$objective),
                       panel = factor(panels[2L], panels), converged = runs$converged)
  floor <- 1e-10
  both <- rbind(lines[lines$excess > 0, ], if (nrow(points) > 1L) points)
  both$excess <- pmax(both$excess, floor)
  ggplot(both, aes(.data$x, .data$excess)) +
    geom_line(data = both[both$panel == panels[1L], ], colour = TYPE_COLOURS[1L],
              linewidth = 0.7) +
    geom_point(aes(shape = .data$converged), both[both$panel == panels[2L], ],
               colour = TYPE_COLOURS[4L], size = 2) +
    scale_shape_manual(values = c("TRUE" = 16, "FALSE" = 1), name = "Converged",
                       guide = if (all(both$converged)) "none" else "legend") +
    facet_wrap(vars(.data$panel), scales = "free_x") +
    scale_y_continuous(trans = "log10") +
    scale_x_continuous(breaks = function(range) unique(round(pretty(range)))) +
    labs(title = paste0("Rank ", x$rank, ", method \"", x$method, "\""), x = NULL,
         y = "Objective above the best, relative",
         caption = paste0(loss_text(x$loss), "; best ", format(x$objective, digits = 7),
                          ". Values below 1e-10 are drawn there.")) +
    theme_unalloy()
}

#' @rdname plot.nmf_fit
#' @export
autoplot.nmf_fit <- function(object, ...) {
  refuse_dots(..., .to = plot.nmf_fit)
  plot(object, ...)
}

# What callers of package NMF's maps may have given under its names.
nmf_map_arguments <- function(given, others, .call = caller_env()) {
  known <- c(annRow = "annotation", annCol = "annotation", annColors = "colours",
             subsetRow = "features", Rowv = "order", Colv = "order")
  for (name in names(others)) {
    value <- others[[name]]
    if (known[[name]] == "order") value <- nmf_order(value, name, .call)
    given[[known[[name]]]] <- value
  }
  given
}

# The order that `Rowv` or `Colv` of package NMF asks for.
nmf_order <- function(value, name, .call) {
  if (identical(value, NA) || identical(value, FALSE)) return("none")
  if (identical(value, TRUE)) return("cluster")
  if (identical(value, "basis")) return("component")
  stop_user("argument", paste0("`", name, "` must be TRUE, NA or \"basis\"."),
            x = paste0("It is ", describe(value), "."),
            i = "`order = \"cluster\"`, `\"none\"` and `\"component\"` say the same.",
            .call = .call)
}

feature_places <- function(features, fit, .call = caller_env()) {
  if (is.null(features)) return(seq_len(nrow(fit$basis)))
  at <- if (is.character(features)) match(features, rownames(fit$basis)) else features
  if (!is.numeric(at) || !length(at) || anyNA(at) || !all(at %in% seq_len(nrow(fit$basis)))) {
    unknown <- if (is.character(features)) some_of(features[is.na(at)]) else describe(features)
    stop_user("argument", "`features` must be names or numbers of features in the fit.",
              x = paste0("Given: ", unknown, "."), .call = .call)
  }
  unname(at)
}

# A named list of vectors with a value per item.
check_annotation <- function(annotation, n, noun, .call = caller_env()) {
  if (is.null(annotation)) return(list())
  if (is.atomic(annotation)) annotation <- list(annotation = annotation)
  annotation <- as.list(annotation)
  named <- names(annotation) %||% character(length(annotation))
  names(annotation) <- ifelse(nzchar(named), named, paste("annotation", seq_along(annotation)))
  wrong <- names(annotation)[lengths(annotation) != n]
  if (length(wrong)) {
    stop_user("argument", paste0("`annotation` must have a value per ", noun, "."),
              x = paste0(some_of(wrong[1L]), " has ", length(annotation[[wrong[1L]]]),
                         "; there are ", plural(n, noun), "."), .call = .call)
  }
  annotation
}

# The order of the columns of `values`, and the tree that gives it.
place_items <- function(values, order) {
  n <- ncol(values)
  if (order == "none") return(list(order = seq_len(n)))
  component <- max.col(t(values), ties.method = "first")
  by_component <- base::order(component, -values[cbind(component, seq_len(n))])
  if (order == "component" || n < 3L || n > MAX_DRAWN_TREE) return(list(order = by_component))
  tree <- stats::hclust(stats::dist(t(values)), "average")
  # branches are turned so that components come in their order
  place <- numeric(n)
  place[by_component] <- seq_len(n)
  tree$order <- leaf_order(tree, place, average = TRUE)
  list(order = tree$order, tree = tree)
}
# nolint end
