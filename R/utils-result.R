# What verbs ask of a deconvolution that they are given.

# `likelihood` says whether the verb needs the likelihood that was fitted.
check_result <- function(result, what = "result", .call = caller_env(), likelihood = TRUE) {
  if (missing(result)) stop_user("argument", paste0("`", what, "` must be given."), .call = .call)
  if (!inherits(result, "deconvolution")) {
    stop_user("argument", paste0("`", what, "` must be a result of `deconvolve_bulk()`."),
              x = paste0("It is ", describe(result), "."), .call = .call)
  }
  check_intact(result, what, .call = .call, likelihood = likelihood)
}

# Predicted by a network?
is_predicted <- function(result) inherits(result, "network_deconvolution")

stop_no_likelihood <- function(what, mend = NULL, .call = caller_env()) {
  stop_user("no_likelihood", paste0("`", what, "` must be a fit by `deconvolve_bulk()`."),
            x = paste("It was predicted by a network, which has no likelihood: nothing says how",
                      "well it fits the counts."), i = mend, .call = .call)
}

# Numbers that were changed by hand, or parts that were taken out, would be answered for
# by nothing: exposures must be those of the model's sources, and shares be shares.
check_intact <- function(result, what = "result", .call = caller_env(), likelihood = TRUE) {
  if (is_predicted(result)) {
    if (likelihood) {
      stop_no_likelihood(what, "Fit the same bulk with `deconvolve_bulk()`.", .call)
    }
    return(check_predicted(result, what, .call))
  }
  size <- c(ncol(result$model$sources), length(result$convergence$sample))
  holds <- function(x, n, empty) {
    is.matrix(x) && is.numeric(x) && identical(dim(x), as.integer(c(n, size[2L]))) &&
      all(is.finite(x) & x >= 0 | rep(empty, each = n))
  }
  n_types <- result$model$n_types
  whole <- length(size) == 2L && length(n_types) == 1L
  parts <- c(exposures = whole && holds(result$exposures, size[1L], FALSE), proportions = FALSE)
  if (parts[["exposures"]]) {
    # a sample in which no type was found has no shares
    empty <- colSums(result$exposures[seq_len(n_types), , drop = FALSE]) == 0
    shares <- intersect(c("proportions", "cell_fractions"), names(result))
    parts[shares] <- vapply(unclass(result)[shares], holds, NA, n_types, empty)
  }
  if (all(parts)) return(invisible())
  stop_user("edited_result", paste0("`", what, "` is not as `deconvolve_bulk()` returned it."),
            x = paste0("Changed, or not there: ", some_of(names(parts)[!parts]), "."),
            i = "Compute with a result as it is; change what comes of it.", .call = .call)
}

# The same of the two factors of a factorisation.
check_factors <- function(fit, what = "fit", .call = caller_env()) {
  holds <- function(x, side, n) {
    is.matrix(x) && is.numeric(x) && dim(x)[side] == n && all(is.finite(x))
  }
  rank <- fit$rank
  parts <- c(rank = is.numeric(rank) && length(rank) == 1L)
  if (parts[["rank"]]) {
    parts <- c(basis = holds(fit$basis, 2L, rank), coef = holds(fit$coef, 1L, rank))
  }
  if (all(parts)) return(invisible())
  stop_user("edited_result", paste0("`", what, "` is not as `nmf()` returned it."),
            x = paste0("Changed, or not there: ", some_of(names(parts)[!parts]), "."),
            i = "Compute with a fit as it is; change what comes of it.", .call = .call)
}

# Names or numbers, or NULL for all.
check_named <- function(x, what, noun, .call = caller_env()) {
  if (is.null(x) || is.character(x) || is.numeric(x) || is.factor(x)) return(invisible())
  stop_user("argument", paste0("`", what, "` must name ", noun, "."),
            x = paste0("It is ", describe(x), "."), .call = .call)
}

check_predicted <- function(result, what, .call) {
  size <- c(result$model$n_types, length(result$convergence$sample))
  shares <- result[[result$predicts]]
  whole <- is.matrix(shares) && is.numeric(shares) && identical(dim(shares), as.integer(size)) &&
    all(is.finite(shares) & shares >= 0)
  if (whole) return(invisible())
  stop_user("edited_result", paste0("`", what, "` is not as `predict()` returned it."),
            x = paste0("Changed, or not there: \"", result$predicts, "\"."),
            i = "Compute with a result as it is; change what comes of it.", .call = .call)
}

check_types <- function(types, known, .call = caller_env()) {
  check_named(types, "types", "types of the result", .call)
  unknown <- setdiff(types, known)
  if (length(unknown)) {
    stop_user("argument", "`types` must name types of the result.",
              x = paste0("Unknown: ", some_of(unknown), "."),
              i = paste0("There are ", some_of(known, length(known)), "."), .call = .call)
  }
}

sample_index <- function(i, samples, .call = caller_env()) {
  if (is.factor(i)) i <- as.character(i)
  if (!is.character(i) && !is.numeric(i) && !is.logical(i)) {
    stop_user("argument", "Samples are asked for by name or number.",
              x = paste0("Given: ", describe(i), "."), .call = .call)
  }
  whole <- !is.numeric(i) || all(i == round(i), na.rm = TRUE)
  kept <- if (is.character(i)) match(i, samples) else seq_along(samples)[i]
  if (anyNA(kept) || !length(kept) || !whole) {
    stop_user("argument", "There is no such sample.",
              x = paste0("Asked for ", if (length(i)) some_of(i) else "none", "; there are ",
                         some_of(samples), "."),
              .call = .call)
  }
  if (anyDuplicated(kept)) {
    stop_user("argument", "A sample can be asked for once.",
              x = paste0("Twice: ", some_of(unique(samples[kept[duplicated(kept)]])), "."),
              .call = .call)
  }
  kept
}

# Types and samples.
size_of <- function(x) c(x$model$n_types, nrow(x$convergence))

need_cell_fractions <- function(object, .call = caller_env()) {
  if (is.null(object$cell_fractions)) {
    stop_user("cell_size", "Shares of cells need the mRNA content of a cell.",
              i = "Give `cell_size` to `deconvolve_bulk()`.", .call = .call)
  }
}

need_share <- function(object, what, .call = caller_env()) {
  if (what == "cell_fractions") need_cell_fractions(object, .call = .call)
  if (is_predicted(object) && !what %in% SHARES[1:2]) {
    stop_no_likelihood("object", paste0("There are `\"proportions\"`, and `\"cell_fractions\"` ",
                                        "where the mRNA of a cell is known."), .call)
  }
  if (what == "column_shares" && is.null(object$column_shares)) {
    stop_user("argument", "Signatures that were built from cells have no columns as given.",
              i = "`what = \"column_shares\"` is for signatures that were given as a matrix.",
              .call = .call)
  }
}

is_penalised <- function(result) {
  result$settings$l1_lambda > 0 || result$settings$l2_lambda > 0
}

need_unpenalised <- function(object, .call) {
  if (is_penalised(object)) {
    stop_user("penalised", "Intervals and tests are for fits without penalties.",
              i = "Use `l1_lambda = 0` and `l2_lambda = 0`.", .call = .call)
  }
}

# Cell fractions are what cytometry counts: they come first where sizes are known.
main_share <- function(result) {
  if (is.null(result$cell_fractions)) "proportions" else "cell_fractions"
}

SHARES <- c("proportions", "cell_fractions", "column_shares", "exposures")

# The kind of share that `what` names; that which comes first where it is NULL.
share_asked_for <- function(what, result, .call = caller_env(), choices = SHARES) {
  if (is.null(what)) return(main_share(result))
  if (!identical(what, choices)) what <- check_choice(what, choices, "what", .call = .call)
  need_share(result, what[1L], .call = .call)
  what[1L]
}

SHARE_LABELS <- c(proportions = "Share of mRNA", cell_fractions = "Share of cells",
                  column_shares = "Share in units of the columns given",
                  proportions_with_intercept = "Share of mRNA, intercept included")

# Types x samples as a long table, the shares in a column of that name.
long_shares <- function(shares, column = "share") {
  out <- data.frame(
    sample = factor(rep(colnames(shares), each = nrow(shares)), colnames(shares)),
    type = factor(rep(rownames(shares), ncol(shares)), rownames(shares))
  )
  out[[column]] <- as.vector(shares)
  out
}
