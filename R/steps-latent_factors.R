# From arguments of latent_factors() to what the core is given, and back.

FACTOR_MODELS <- c("ppca", "poisson", "negative_binomial", "zinb")

# Penalties that are tried, in units of the noise's largest singular value.
PENALTY_GRID <- 0.0125 * 2^(0:5)
# Cells that a penalty or rank is chosen on, and the ranks tried where none is given.
CHOICE_CELLS <- 3000L
RANK_GRID <- c(1L, 2L, 3L, 5L, 8L, 12L, 20L, 30L)

# Refuses what is not a matrix of counts.
check_factor_counts <- function(x, .call = caller_env()) {
  entries <- if (is.matrix(x)) x else x@x
  where <- function(bad) {
    at <- which(bad)[1L]
    if (is.matrix(x)) {
      place <- arrayInd(at, dim(x))
    } else {
      place <- c(x@i[at] + 1L, findInterval(at - 1L, x@p))
    }
    paste0("The first is at gene ", name_or_number(rownames(x), place[1L]), ", cell ",
           name_or_number(colnames(x), place[2L]), ".")
  }
  refuse <- function(bad, kind, problem, mend) {
    if (any(bad)) stop_user(kind, problem, x = where(bad), i = mend, .call = .call)
  }
  refuse(is.na(entries), "missing_values", "Counts must not be missing.",
         "Missing values are for `model = \"ppca\"`.")
  refuse(!is.finite(entries), "infinite_values", "Counts must be finite.",
         "Leave the gene or cell out.")
  refuse(entries < 0, "negative_values", "Counts must not be negative.",
         "Give raw counts, or take `model = \"ppca\"` for centred values.")
  check_scale(max(0, entries), "x", .call)
  refuse(entries != round(entries), "not_counts", "Counts must be whole numbers.",
         "Give raw counts; for logarithms and other values there is `model = \"ppca\"`.")
}

name_or_number <- function(names, at) {
  if (is.null(names)) at else paste0("\"", names[at], "\"")
}

check_no_empty <- function(x, .call = caller_env()) {
  empty <- function(totals, names, noun, kind, mend) {
    none <- which(totals == 0)
    if (!length(none)) return(invisible())
    labels <- if (is.null(names)) none else names[none]
    stop_user(kind, paste0("Every ", noun, " needs counts."),
              x = paste0(plural(length(none), noun), " without: ", some_of(labels), "."),
              i = mend, .call = .call)
  }
  empty(Matrix::colSums(x), colnames(x), "cell", "empty_cells",
        "Leave them out: `x[, colSums(x) > 0]`.")
  empty(Matrix::rowSums(x), rownames(x), "gene", "constant_genes",
        "Leave them out: `x[rowSums(x) > 0, ]`, or take `n_features`.")
}

# Values for probabilistic principal components; returns how many are missing.
check_factor_values <- function(x, na, fitting = TRUE, .call = caller_env()) {
  entries <- if (is.matrix(x)) x else x@x
  if (any(is.infinite(entries))) {
    stop_user("infinite_values", "`x` has infinite values.",
              i = "Leave the gene or cell out.", .call = .call)
  }
  if (!all(is.na(entries))) {
    check_scale(max(abs(range(entries, na.rm = TRUE))), "x", .call = .call)
  }
  missing <- sum(is.na(entries))
  if (missing && na == "refuse") {
    stop_user("missing_values", "`x` has missing values.",
              x = paste0("There are ", count_text(missing), "."),
              i = "Say `na = \"missing\"` to fit the others.", .call = .call)
  }
  if (missing) {
    dense <- as.matrix(x)
    few <- which(rowSums(!is.na(dense)) < 2L)
    none <- which(colSums(!is.na(dense)) == 0L)
    if (fitting && length(few)) {
      stop_user("constant_genes", "Every gene needs two values or more.",
                x = paste0("Fewer in ", some_of(rownames(x)[few] %||% few), "."), .call = .call)
    }
    if (length(none)) {
      stop_user("empty_cells", "Every cell needs values.",
                x = paste0("None in ", some_of(colnames(x)[none] %||% none), "."), .call = .call)
    }
  }
  missing
}

# Standard deviations to divide genes by; 1 where they are not to be scaled.
gene_scale <- function(x, scale, .call = caller_env()) {
  if (!check_flag(scale, "scale", .call = .call)) return(rep(1, nrow(x)))
  known <- if (n_missing(x)) Matrix::rowSums(!is.na(x)) else rep(ncol(x), nrow(x))
  means <- Matrix::rowSums(x, na.rm = TRUE) / known
  variance <- if (is.matrix(x)) {
    rowSums((x - means)^2, na.rm = TRUE) / known
  } else {
    Matrix::rowSums(x^2) / known - means^2
  }
  # rounding leaves a rest of the size of the squares
  constant <- which(variance <= 1e-12 * pmax(means^2, .Machine$double.xmin))
  if (length(constant)) {
    stop_user("constant_genes", "Constant genes cannot be scaled.",
              x = paste0("Constant: ", some_of(rownames(x)[constant] %||% constant), "."),
              i = "Leave them out, or say `scale = FALSE`.", .call = .call)
  }
  sqrt(variance)
}

# X and V, and what is needed to make X for new cells.
factor_design <- function(batch, covariates, gene_covariates, cell_intercept, data, dim,
                          .call = caller_env()) {
  n <- dim[2L]
  intercept <- matrix(1, n, 1L, dimnames = list(NULL, "(Intercept)"))
  contrasts <- NULL
  batches <- NULL
  if (!is.null(batch)) {
    batches <- check_batch(cell_column(batch, data, n, "batch", .call = .call), .call = .call)
    contrasts <- batch_contrasts(batches$values, batches$levels)
  }
  added <- covariate_matrix(covariates, data, n, "covariates", .call = .call)
  of_cells <- cbind(intercept, contrasts$columns, added)
  check_full_rank(of_cells, "the cells' covariates", .call = .call)
  of_genes <- covariate_matrix(gene_covariates, NULL, dim[1L], "gene_covariates", .call = .call)
  if (cell_intercept) of_genes <- cbind(`(Intercept)` = rep(1, dim[1L]), of_genes)
  check_full_rank(of_genes, "`gene_covariates`", .call = .call)
  list(of_cells = of_cells, of_genes = of_genes,
       batch = if (!is.null(batches)) list(levels = batches$levels, basis = contrasts$basis),
       covariates = structure(as.character(colnames(added)), groups = attr(added, "groups")),
       gene_covariates = setdiff(colnames(of_genes), "(Intercept)"))
}

# X for new cells, columns as in the fit.
new_design <- function(fit, batch, covariates, data, n, .call = caller_env()) {
  out <- matrix(1, n, 1L, dimnames = list(NULL, "(Intercept)"))
  known <- fit$design$batch
  need <- function(given, has, what) {
    if (is.null(given) == has) {
      stop_user("covariates", if (has) paste0("New cells need `", what, "`.")
                else paste0("The fit has no `", what, "`."), .call = .call)
    }
  }
  need(batch, !is.null(known), "batch")
  if (!is.null(batch)) {
    batch <- as.character(cell_column(batch, data, n, "batch", .call = .call))
    unknown <- setdiff(batch, known$levels)
    if (length(unknown)) {
      stop_user("covariates", "`batch` has batches that the fit does not know.",
                x = paste0("Unknown: ", some_of(unknown), "; known are ",
                           some_of(known$levels), "."), .call = .call)
    }
    out <- cbind(out, known$basis[match(batch, known$levels), , drop = FALSE])
  }
  names <- fit$design$covariates
  need(covariates, length(names) > 0L, "covariates")
  if (!is.null(covariates)) {
    added <- covariate_matrix(covariates, data, n, "covariates", names, .call = .call)
    if (!identical(colnames(added), as.character(names))) {
      stop_user("covariates", "`covariates` must have the columns of the fit.",
                x = paste0("It has ", some_of(colnames(added)), "; the fit has ",
                           some_of(names), "."), .call = .call)
    }
    out <- cbind(out, added)
  }
  rownames(out) <- NULL
  out
}

# ln of the cells' totals, or what is given.
factor_offset <- function(offset, x, default, .call = caller_env()) {
  if (is.null(offset)) offset <- default
  if (identical(offset, "total")) return(log(Matrix::colSums(x)))
  if (identical(offset, "none")) return(rep(0, ncol(x)))
  if (!is.numeric(offset) || length(offset) != ncol(x) || !all(is.finite(offset))) {
    stop_user("argument", "`offset` must be \"total\", \"none\", or a finite number per cell.",
              x = paste0("It is ", describe(offset), "."), .call = .call)
  }
  as.double(offset)
}

# How dispersions are found, as the core is told.
factor_dispersion <- function(dispersion, n_genes, model, .call = caller_env()) {
  if (is.numeric(dispersion)) {
    if (!length(dispersion) %in% c(1L, n_genes) || anyNA(dispersion) || any(dispersion <= 0) ||
        !all(is.finite(dispersion))) {
      stop_user("argument", "`dispersion` must be one positive number, or one per gene.",
                x = paste0("It is ", describe(dispersion), "."), .call = .call)
    }
    return(list(dispersion = "fixed", theta = rep_len(as.double(dispersion), n_genes)))
  }
  kind <- check_choice(dispersion, c("trend", "gene", "common"), "dispersion", .call = .call)
  list(dispersion = if (model == "poisson") "common" else kind, theta = numeric())
}

# The cells that a choice is made on: all, or `CHOICE_CELLS` by the seed.
choice_cells <- function(n, seed) {
  if (n <= CHOICE_CELLS) return(seq_len(n))
  draws <- call_rs(rs_draw_factors, means = matrix(0, 1L, n), noise = "normal", spread = 1,
                   seed = seed, first = 0)
  sort(order(draws)[seq_len(CHOICE_CELLS)])
}

# Penalty and rank by held-out molecules: a data frame with a row per candidate.
choose_counts <- function(x, ranks, penalties, given, verbose, .call = caller_env()) {
  at <- choice_cells(ncol(x), given$seed)
  x <- x[, at, drop = FALSE]
  # a subset of cells may lack genes that all cells have: they would have no finite fit
  kept <- Matrix::rowSums(x) > 0
  given$offset <- given$offset[at]
  given$of_cells <- given$of_cells[at, , drop = FALSE]
  given$of_genes <- given$of_genes[kept, , drop = FALSE]
  if (length(given$theta)) given$theta <- given$theta[kept]
  given$rank <- max(ranks)
  found <- call_rs(
    rs_choose_factors, x = x[kept, , drop = FALSE], ranks = as.integer(ranks),
    penalties = as.double(penalties), .given = given,
    progress = progress_bar("Choosing", length(ranks) + length(penalties) - 1L, verbose),
    .call = .call
  )
  table <- data.frame(found)
  best <- which.max(table$score)
  # of ranks that do as well, the smallest
  good <- table$score >= table$score[best] - table$error & table$penalty == table$penalty[best]
  table$chosen <- seq_len(nrow(table)) == which(good)[which.min(table$rank[good])]
  table
}

fit_counts <- function(x, settings, given, verbose, .call = caller_env()) {
  choice <- NULL
  noise <- call_rs(rs_noise_level, x = x, .call = .call)
  ranks <- settings$rank %||% RANK_GRID[RANK_GRID <= min(dim(x)) / 2]
  penalty <- settings$penalty
  if (is.null(penalty) && given$model == "zinb") penalty <- sqrt(nrow(x) / ncol(x))
  if (length(ranks) != 1L || (is.null(penalty) && ranks > 0)) {
    grid <- if (is.null(penalty)) PENALTY_GRID else penalty / noise
    choice <- choose_counts(x, ranks, grid, c(given, list(penalty = 0)), verbose, .call)
    ranks <- choice$rank[choice$chosen]
    penalty <- choice$penalty[choice$chosen] * noise
    choice$penalty <- choice$penalty * noise
  }
  given$rank <- ranks
  given$penalty <- penalty %||% 0
  fitted <- call_rs(rs_fit_factors, x = x, .given = given,
                    progress = progress_bar("Fitting", given$max_iter, verbose), .call = .call)
  c(fitted, list(rank = ranks, penalty = given$penalty, choice = choice))
}

# Maximum likelihood of probabilistic principal components.
fit_ppca <- function(x, settings, design, given, verbose, .call = caller_env()) {
  limit <- min(nrow(x) - ncol(design$of_genes), ncol(x) - ncol(design$of_cells))
  ranks <- settings$rank %||% RANK_GRID[RANK_GRID < limit / 2]
  if (max(ranks) >= limit) {
    stop_user("rank", "`rank` must be below the rank of the data.",
              x = paste0("It is ", max(ranks), "; ", plural(nrow(x), "gene"), " and ",
                         plural(ncol(x), "cell"), " less covariates have at most ", limit, "."),
              .call = .call)
  }
  choice <- NULL
  if (length(ranks) != 1L) {
    choice <- choose_ppca(x, ranks, settings, design, given, verbose, .call)
    ranks <- choice$rank[choice$chosen]
  }
  fitted <- if (settings$algorithm == "em" || settings$missing > 0) {
    ppca_by_em(x, ranks, settings, design, given, verbose, .call)
  } else {
    ppca_closed(x, ranks, settings$scale, design, given, .call)
  }
  if (!is.finite(fitted$log_likelihood) || fitted$variance <= 1e-14 * fitted$total) {
    stop_user("rank", "`rank` must be below the rank of the data.",
              x = paste0("At rank ", ranks, " no variance is left to the noise."), .call = .call)
  }
  c(fitted, list(rank = ranks, choice = choice))
}

ppca_closed <- function(x, rank, scale, design, given, .call) {
  found <- call_rs(rs_ppca, x = x, scale = scale, of_cells = design$of_cells,
                   of_genes = design$of_genes, rank = rank, seed = given$seed, .call = .call)
  c(found, list(trace = found$log_likelihood, converged = TRUE))
}

# From the closed form of the values with missing ones at their gene's mean; where none
# is missing, from random loadings.
ppca_by_em <- function(x, rank, settings, design, given, verbose, .call) {
  dense <- as.matrix(x) / settings$scale
  known <- dense
  holes <- is.na(dense)
  if (any(holes)) known[holes] <- rowMeans(dense, na.rm = TRUE)[row(dense)[holes]]
  start <- ppca_closed(known, rank, rep(1, nrow(x)), design, given, .call)
  if (!any(holes)) {
    start$loadings <- call_rs(
      rs_draw_factors, means = matrix(0, nrow(x), rank), noise = "normal",
      spread = rep(sqrt(start$total / nrow(x)), nrow(x)), seed = given$seed, first = 0
    )
    start$variance <- start$total / nrow(x)
  }
  found <- call_rs(
    rs_ppca_em, x = dense, of_cells = design$of_cells, of_genes = design$of_genes,
    loadings = start$loadings, coefficients = start$of_cells, variance = start$variance,
    max_iter = given$max_iter, tolerance = given$tolerance, threads = given$threads,
    progress = progress_bar("EM", given$max_iter, verbose), .call = .call
  )
  found$log_likelihood <- found$trace[length(found$trace)]
  found$total <- start$total
  if (ncol(design$of_genes)) {
    # from the orthonormal basis to the covariates as given
    turn <- solve(crossprod(design$of_genes), crossprod(design$of_genes, found$basis))
    found$of_genes <- found$of_genes %*% t(turn)
  }
  found
}

# Rank by held-out entries: the mean squared error of what their cells' other entries predict.
choose_ppca <- function(x, ranks, settings, design, given, verbose, .call, fraction = 0.1,
                        folds = 2L) {
  at <- choice_cells(ncol(x), given$seed)
  dense <- as.matrix(x[, at, drop = FALSE])
  design$of_cells <- design$of_cells[at, , drop = FALSE]
  given$max_iter <- 50
  given$tolerance <- 1e-6
  scores <- lapply(seq_len(folds), function(fold) {
    held <- call_rs(rs_held_out_entries, rows = nrow(dense), columns = ncol(dense),
                    seed = given$seed, fraction = fraction, fold = fold - 1)
    held <- held[!is.na(dense[held])]
    train <- dense
    train[held] <- NA
    vapply(ranks, function(rank) {
      fit <- ppca_by_em(train, rank, settings, design, given, FALSE, .call)
      means <- tcrossprod(fit$loadings, fit$scores) + tcrossprod(fit$of_cells, design$of_cells) +
        tcrossprod(design$of_genes, fit$of_genes)
      errors <- (dense[held] / settings$scale[row(dense)[held]] - means[held])^2
      c(mean(errors), stats::sd(errors) / sqrt(length(errors)))
    }, c(0, 0))
  })
  mean_of <- Reduce(`+`, scores) / folds
  table <- data.frame(rank = ranks, score = -mean_of[1L, ], error = mean_of[2L, ] / sqrt(folds))
  table$chosen <- seq_along(ranks) == which.max(table$score)
  table
}
