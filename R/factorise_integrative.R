#' Integrative factorisation of data sets with common features
#'
#' Factorises data sets that were measured on different samples or cells (batches,
#' donors, modalities) but share features. Every component has a part W that all data
#' sets share and a part V that is a data set's own (iNMF):
#' \deqn{\min \sum_i \lVert E_i - (W + V_i) H_i \rVert^2 + \lVert P_i - U_i H_i \rVert^2 +
#'   \lambda (\lVert V_i H_i \rVert^2 + \lVert U_i H_i \rVert^2), \quad
#'   W, V_i, U_i, H_i \ge 0.}
#' The terms in U are there only with features of one data set alone (UINMF). Samples
#' are compared across data sets by their coefficients H.
#'
#' @details
#' The blocks H, V, U and W are solved in turn, each exactly (non-negative least squares
#' on a rank × rank Gram matrix, block principal pivoting), so the objective never
#' rises. Sparse data stay sparse; the samples are met in two products per iteration.
#'
#' As lambda grows the data sets' own parts vanish and the fit becomes [nmf()] of all
#' samples side by side. At 0 nothing ties W and V down: they are only known as a sum.
#'
#' @param datasets A named list of matrices with features in rows and samples or cells in
#'   columns: matrices, `dgCMatrix`, or objects that [nmf()] takes (normalised, not centred).
#'   Shared features are those whose names all data sets have, or all rows when there are no
#'   names.
#' @param rank Number of components.
#' @param lambda lambda: larger values allow less that is particular to a data set.
#' @param unshared For UINMF: a list, named by data set, of features that only this data
#'   set has; `TRUE` takes all of them.
#' @param scale Divide each feature, within its data set, by its root mean square? So do
#'   the authors; it keeps a few highly expressed genes from making all components.
#' @param nrun Random starts; the lowest objective is kept.
#' @param max_iter Iterations at most.
#' @param tolerance Stop when the objective falls by less than this part of itself per
#'   iteration, on average over ten.
#' @param threads Threads; the result does not depend on them.
#' @param seed A whole number; `NULL` takes one from R's random stream.
#' @param verbose Show progress?
#' @return An object of class `integrative_factorisation`, a list:
#'   \item{shared}{W, shared features × components.}
#'   \item{specific}{A list of V per data set.}
#'   \item{unshared}{A list of U per data set, own features × components (`NULL` without).}
#'   \item{coef}{A list of H per data set, components × samples.}
#'   \item{samples}{Data frame, a row per sample: `sample`, `dataset`, `component` (the one
#'     with the largest coefficient, each component scaled to its largest).}
#'   \item{specific_share}{Data sets × components: \eqn{\lVert V_{ir} \rVert^2 / (\lVert
#'     W_r \rVert^2 + \lVert V_{ir} \rVert^2)}, how particular a component is.}
#'   \item{scales}{Root mean squares that features were divided by.}
#'   \item{runs, trace}{How each start ended; the objective of the best one. `kkt` is the
#'     coordinate-wise Newton step that is left, relative to the data.}
#'   \item{lambda, call}{What was asked for.}
#'   Components stand in the order of their part of the fitted total; the columns of W
#'   plus the mean V have length 1.
#' @section Errors: `unalloy_error_features` when too few features are shared, or unshared
#'   ones are not there; those of [nmf()] for values; `unalloy_error_argument`.
#' @section Warnings: `unalloy_warning_not_converged` when the best run was cut short.
#' @references Yang Z, Michailidis G (2016). A non-negative matrix factorization method for
#'   detecting modules in heterogeneous omics multi-modal data. Bioinformatics 32:1.
#'   Welch JD et al. (2019). Single-cell multi-omic integration compares and contrasts
#'   features of brain cell identity. Cell 177:1873. Kriebel AR, Welch JD (2022). UINMF
#'   performs mosaic integration of single-cell multi-omic datasets using nonnegative
#'   matrix factorization. Nature Communications 13:780.
#' @seealso [factorise_joint()] for data sets that share samples instead;
#'   [predict.integrative_factorisation()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 120, n_types = 3, n_samples = 1, cells_per_type = 8, seed = 1)
#' donors <- split(seq_len(ncol(sim$reference)), sim$cells$donor)
#' sets <- lapply(donors[1:2], function(cells) log1p(as.matrix(sim$reference[, cells])))
#' fit <- factorise_integrative(sets, rank = 3, seed = 1)
#' fit
#' table(fit$samples$component, sim$cells$cell_type[unlist(donors[1:2])])
factorise_integrative <- function(datasets, rank, lambda = 5, unshared = NULL, scale = TRUE,
                                  nrun = 1, max_iter = 500, tolerance = 1e-6,
                                  threads = getOption("unalloy.threads", 2L), seed = NULL,
                                  verbose = interactive()) {
  check_call()
  call <- match.call()
  settings <- list(
    rank = check_count(rank, "rank"), lambda = check_number(lambda, "lambda", 0),
    nrun = check_count(nrun, "nrun", max = MOST_REPEATS),
    max_iter = check_count(max_iter, "max_iter"),
    tolerance = check_number(tolerance, "tolerance", 0), threads = check_threads(threads),
    seed = check_seed(seed)
  )
  sets <- integrative_data(datasets, unshared, check_flag(scale, "scale"))
  smallest <- min(nrow(sets[[1L]]$shared), sum(vapply(sets, function(set) ncol(set$shared), 0L)))
  if (settings$rank > smallest) {
    stop_user("argument", "`rank` must not be above the number of shared features or samples.",
              x = paste0("It is ", settings$rank, "; the smaller number is ", smallest, "."))
  }
  fitted <- call_rs(
    rs_factorise_integrative, datasets = lapply(sets, `[`, c("shared", "own")),
    settings = settings,
    progress = progress_bar("Factorising", settings$nrun, check_flag(verbose, "verbose"))
  )
  out <- new_integrative_factorisation(fitted, sets, settings, call)
  best <- out$runs[fitted$best, ]
  if (!best$converged) {
    warn_user("not_converged", "The best run used up its iterations.",
              x = paste0("Its residual of the optimality conditions is ", signif(best$kkt, 2), "."),
              i = "Raise `max_iter`.")
  }
  out
}

new_integrative_factorisation <- function(fitted, sets, settings, call) {
  components <- paste0("component", seq_len(settings$rank))
  parts <- fitted$parts
  mean_specific <- Reduce(`+`, lapply(parts, `[[`, "specific")) / length(parts)
  length <- sqrt(rowSums((fitted$shared + mean_specific)^2))
  length[length == 0] <- 1
  use <- Reduce(`+`, lapply(parts, function(part) rowSums(part$coef)))
  total <- rowSums(fitted$shared + mean_specific) * use
  order <- order(-total)
  by_feature <- function(x, features) {
    out <- t(x[order, , drop = FALSE] / length[order])
    dimnames(out) <- list(features, components)
    out
  }
  shared <- by_feature(fitted$shared, rownames(sets[[1L]]$shared))
  specific <- Map(function(part, set) by_feature(part$specific, rownames(set$shared)), parts, sets)
  unshared <- Map(function(part, set) {
    if (!is.null(set$own)) by_feature(part$own, rownames(set$own))
  }, parts, sets)
  coef <- Map(function(part, set) {
    out <- part$coef[order, , drop = FALSE] * length[order]
    dimnames(out) <- list(components, colnames(set$shared))
    out
  }, parts, sets)
  names(specific) <- names(unshared) <- names(coef) <- names(sets)
  share <- t(vapply(specific, function(v) {
    colSums(v^2) / pmax(colSums(v^2) + colSums(shared^2), .Machine$double.xmin)
  }, numeric(settings$rank)))
  dim(share) <- c(length(sets), settings$rank)
  dimnames(share) <- list(names(sets), components)
  structure(list(
    shared = shared, specific = specific, unshared = unshared, coef = coef,
    samples = integrative_samples(coef), specific_share = share,
    scales = lapply(sets, `[[`, "scales"),
    runs = data.frame(run = seq_along(fitted$objective), objective = fitted$objective,
                      kkt = fitted$kkt, iterations = as.integer(fitted$iterations),
                      converged = fitted$converged),
    trace = fitted$trace, lambda = settings$lambda, settings = settings, call = call
  ), class = "integrative_factorisation")
}

integrative_samples <- function(coef) {
  top <- do.call(pmax, lapply(coef, function(h) apply(h, 1, max)))
  tables <- Map(function(h, name) {
    main <- max.col(t(h / ifelse(top > 0, top, 1)), ties.method = "first")
    main[colSums(h) == 0] <- NA
    data.frame(sample = colnames(h) %||% as.character(seq_len(ncol(h))), dataset = name,
               component = factor(rownames(h)[main], rownames(h)))
  }, coef, names(coef))
  out <- do.call(rbind, unname(tables))
  out$dataset <- factor(out$dataset, names(coef))
  out
}

# Per data set: shared and own rows, scaled, and their scales.
integrative_data <- function(datasets, unshared, scale, .call = caller_env()) {
  if (!is.list(datasets) || is.data.frame(datasets) || !length(datasets)) {
    stop_user("argument", "`datasets` must be a list of matrices.",
              x = paste0("It is ", describe(datasets), "."), .call = .call)
  }
  names(datasets) <- names(datasets) %||% paste0("dataset", seq_along(datasets))
  if (anyDuplicated(names(datasets)) || any(names(datasets) == "")) {
    stop_user("argument", "Every data set needs a name of its own.",
              x = paste0("The names are ", some_of(names(datasets), 6L), "."), .call = .call)
  }
  matrices <- lapply(datasets, function(x) {
    x <- nmf_input(x, .call = .call)
    check_factorisable(x, .call = .call)
    x
  })
  features <- lapply(matrices, rownames)
  named <- all(lengths(features) > 0L)
  for (name in names(matrices)) {
    what <- paste0("data set \"", name, "\"")
    check_own_names(features[[name]], what, "feature", .call)
    check_own_names(colnames(matrices[[name]]), what, "sample", .call)
  }
  rows <- vapply(matrices, nrow, 0L)
  if (!named && length(unique(rows)) > 1L) {
    stop_user("features", "Data sets without feature names must have the same rows.",
              x = paste0(names(rows), ": ", rows, collapse = "; "), .call = .call)
  }
  common <- if (named) Reduce(intersect, features) else seq_len(rows[[1L]])
  if (length(common) < 2L) {
    stop_user("features", "The data sets must share features.",
              x = paste0(names(matrices), ": ", vapply(features, some_of, ""), collapse = "; "),
              .call = .call)
  }
  own <- unshared_features(unshared, features, common, .call)
  Map(function(x, own) {
    scaled <- function(part) {
      size <- sqrt(Matrix::rowMeans(part^2))
      size[size == 0 | !scale] <- 1
      list(x = scale_rows(part, 1 / size), size = size)
    }
    shared <- scaled(x[common, , drop = FALSE])
    alone <- if (length(own)) scaled(x[own, , drop = FALSE])
    list(shared = shared$x, own = alone$x, scales = list(shared = shared$size, own = alone$size))
  }, matrices, own)
}

unshared_features <- function(unshared, features, common, .call) {
  none <- lapply(features, function(names) character())
  if (is.null(unshared) || identical(unshared, FALSE)) return(none)
  if (identical(unshared, TRUE)) return(lapply(features, setdiff, common))
  ok <- is.list(unshared) && !is.null(names(unshared)) && all(names(unshared) %in% names(features))
  if (!ok) {
    stop_user("argument", "`unshared` must be TRUE or a list named by data set.",
              x = paste0("It is ", describe(unshared), "; the data sets are ",
                         some_of(names(features), 6L), "."), .call = .call)
  }
  for (name in names(unshared)) {
    wrong <- unshared[[name]][!unshared[[name]] %in% setdiff(features[[name]], common)]
    if (length(wrong)) {
      stop_user("features", "Unshared features must be in their data set and not in all others.",
                x = paste0("\"", name, "\": ", some_of(wrong), "."), .call = .call)
    }
    none[[name]] <- unique(unshared[[name]])
  }
  none
}

#' Coefficients of new samples in an integrative factorisation
#'
#' @param object An `integrative_factorisation` from [factorise_integrative()].
#' @param newdata Features × new samples; features are matched by name where there are
#'   names. Without them, the coefficients of the fit, of all data sets or of one.
#' @param dataset Name of the data set that the samples belong to: its own part V (and U)
#'   then takes part, with the penalty of the fit. `NULL`, for samples of another origin,
#'   uses the shared part alone, with features scaled by their root mean square in the new
#'   samples if the fit was scaled.
#' @param ... None: other arguments are refused.
#' @return Components × samples: the exact optimum of the objective over H.
#' @section Errors: `unalloy_error_features` for missing features,
#'   `unalloy_error_argument` for an unknown data set.
#' @export
predict.integrative_factorisation <- function(object, newdata = NULL, dataset = NULL, ...) {
  refuse_dots(...)
  if (!is.null(dataset)) dataset <- check_choice(dataset, names(object$coef), "dataset")
  if (is.null(newdata)) return(if (is.null(dataset)) coef(object) else object$coef[[dataset]])
  x <- nmf_input(newdata)
  check_factorisable(x)
  here <- environment()
  align <- function(basis) align_rows(x, rownames(basis), nrow(basis), "`newdata`", here)
  shared <- align(object$shared)
  if (is.null(dataset)) {
    size <- sqrt(Matrix::rowMeans(shared^2))
    size[size == 0 | all(unlist(object$scales) == 1)] <- 1
    basis <- object$shared
    stacked <- scale_rows(shared, 1 / size)
  } else {
    specific <- object$specific[[dataset]]
    own <- object$unshared[[dataset]]
    scales <- object$scales[[dataset]]
    penalty <- sqrt(object$lambda)
    # the penalty is a row of zeros that is fitted by V (and U)
    basis <- rbind(object$shared + specific, own, penalty * specific, penalty * own)
    rows <- list(scale_rows(shared, 1 / scales$shared))
    if (!is.null(own)) {
      rows <- c(rows, list(scale_rows(align(own), 1 / scales$own)))
    }
    empty <- Matrix::sparseMatrix(i = integer(), j = integer(), x = numeric(),
                                  dims = c(nrow(basis) - sum(vapply(rows, nrow, 0L)), ncol(x)))
    stacked <- stack_rows(c(rows, list(empty)))
  }
  out <- usage_of(unname(basis), stacked, "frobenius",
                  list(threads = getOption("unalloy.threads", 2L)), here)
  dimnames(out) <- list(colnames(object$shared), colnames(x))
  out
}

#' @export
coef.integrative_factorisation <- function(object, ...) {
  refuse_dots(...)
  do.call(cbind, unname(object$coef))
}

#' @export
print.integrative_factorisation <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Integrative factorisation of ", plural(length(x$coef), "data set"), ", rank ",
      ncol(x$shared), ", lambda ", format(x$lambda), "\n", sep = "")
  for (name in names(x$coef)) {
    own <- x$unshared[[name]]
    cat("  ", name, ": ", plural(ncol(x$coef[[name]]), "sample"), ", ",
        plural(nrow(x$shared), "shared feature"),
        if (!is.null(own)) paste0(" and ", count_text(nrow(own)), " of its own"),
        "; its own part of the components ", format(mean(x$specific_share[name, ]), digits = 2),
        "\n", sep = "")
  }
  best <- x$runs[which.min(x$runs$objective), ]
  cat("Objective ", format(best$objective, digits = 6), " after ",
      plural(best$iterations, "iteration"), ", KKT residual ", format(best$kkt, digits = 2), "\n",
      "Parts: ", paste0("$", names(x), collapse = " "), "\n", sep = "")
  invisible(x)
}
