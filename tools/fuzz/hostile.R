# What users give by mistake or malice: values that are wrong for nearly everything, and
# right ones with one thing wrong.

HOSTILE <- list(
  NULL, NA, NaN, Inf, -Inf, 0, -1, 1, 2, 0.5, 1e-310, 1e300, 1e9, 2^31, 2^53, 2^64, -2^31, 3.7,
  NA_integer_, NA_character_, "", "a", "\r", "caf\u00e9", strrep("x", 1e4), TRUE, FALSE,
  c(1, NA), c(1, Inf), 1:3, -(1:3), c(2, 2), numeric(), character(), logical(), integer(),
  c("a", "b"), c("a", "a"), c(a = 1, a = 2), c(TRUE, NA), list(), list(1), list(a = 1, 2),
  list(NULL), factor(c("u", "v")), factor(character()), as.Date("2020-01-01"), 1i, raw(2),
  quote(x), quote(f(x)), y ~ x, ~1, ~nothing, sum, new.env(), matrix(0, 0, 0), matrix(0, 3, 0),
  matrix(0, 0, 3), matrix(1, 1, 1), matrix(NA_real_, 2, 2), matrix("a", 2, 2),
  matrix(1:4, 2, dimnames = list(c("a", "a"), c("b", "b"))), array(1, c(2, 2, 2)), data.frame(),
  data.frame(a = 1:2, b = c("x", "y")), Matrix::Matrix(0, 2, 2), Matrix::Diagonal(3),
  table(c(1, 1, 2)), structure(list(), class = "deconvolution"),
  structure(list(profiles = 1), class = "signatures"), structure(list(), class = "nmf_fit"),
  structure(1, class = "nonsense"), .Machine$integer.max, -0.0, 1e150, 1e-150
)

# Numbers where a number stood, so that settings are met near their limits too.
NUMBERS <- c(0, 1, 2, 3, 5, 0.01, 0.5, 0.9, 0.999, 10, 100, 1e4)

pick <- function(values) values[[sample.int(length(values), 1L)]]

# A valid value with one thing wrong; any wrong value where that cannot be made of it.
mutated <- function(x) tryCatch(spoilt(x), error = function(e) pick(HOSTILE))

spoilt <- function(x) {
  if (is.function(x) || is.environment(x) || is.null(x) || is.language(x)) return(pick(HOSTILE))
  if (isS4(x)) return(mutated_sparse(x))
  if (is.list(x) && !is.data.frame(x)) return(mutated_list(x))
  if (is.data.frame(x)) {
    return(pick(list(x[0, , drop = FALSE], x[, 0, drop = FALSE], x[1, , drop = FALSE],
                     stats::setNames(x, rep("a", length(x))), rbind(x, x))))
  }
  if (!is.null(dim(x)) && length(dim(x)) == 2L) return(mutated_matrix(x))
  mutated_vector(x)
}

mutated_vector <- function(x) {
  if (!length(x)) return(pick(HOSTILE))
  if (length(x) == 1L && is.numeric(x)) return(pick(NUMBERS))
  if (length(x) == 1L && is.logical(x)) return(!x)
  at <- sample.int(length(x), 1L)
  pick(list(rev(x), x[-at], x[rep(at, length(x))], replace(x, at, NA), unname(x), rep(x, 2L),
            stats::setNames(x, rep_len("a", length(x))), as.list(x), factor(x),
            if (is.numeric(x)) replace(x, at, pick(c(Inf, -1, 0, 1e300, 1e-310, NaN))),
            if (is.numeric(x)) x * 1e150, if (is.numeric(x)) x * 0))
}

mutated_matrix <- function(x) {
  n <- dim(x)
  if (!length(x)) return(pick(HOSTILE))
  at <- sample.int(length(x), 1L)
  # with names to spoil
  if (is.null(rownames(x))) rownames(x) <- paste0("r", seq_len(n[1L]))
  if (is.null(colnames(x))) colnames(x) <- paste0("c", seq_len(n[2L]))
  twice <- function(names) replace(names, length(names), names[1L])
  named <- function(rows, columns) structure(x, dimnames = list(rows, columns))
  values <- list(
    t(x), x[0L, , drop = FALSE], x[, 0L, drop = FALSE], x[1L, , drop = FALSE],
    x[, 1L, drop = FALSE], x[, 1L], x[rev(seq_len(n[1L])), ], unname(x), x[, c(1L, 1L)],
    x[-1L, , drop = FALSE], named(twice(rownames(x)), colnames(x)),
    named(rownames(x), twice(colnames(x))), named(NULL, colnames(x)), named(rownames(x), NULL),
    as.data.frame(x), named(replace(rownames(x), 1L, NA), colnames(x)),
    named(replace(rownames(x), 1L, ""), colnames(x)), replace(x, at, NA)
  )
  if (is.numeric(x)) {
    row <- (seq_along(x) - 1L) %% n[1L] == 0L
    column <- seq_along(x) <= n[1L]
    values <- c(values, list(
      replace(x, at, Inf), replace(x, at, -1), replace(x, at, 1e300), replace(x, at, 1e-310),
      replace(x, at, NaN), x * 0, x * 1e150, x * 1e-150, x * 1e300, x * 1e-310, x * 1e-320,
      replace(x, row, 0), replace(x, column, 0), x + 0.5, -x, x * 0 + 1, round(x * 1e9),
      replace(x, column, 1), x[, c(seq_len(n[2L]), seq_len(n[2L]))],
      structure(x, storage.mode = "double"), Matrix::Matrix(x, sparse = TRUE),
      methods::as(methods::as(x, "TsparseMatrix"), "generalMatrix")
    ))
    if (all(is.finite(x)) && all(abs(x) < 2^31)) {
      values <- c(values, list(structure(as.integer(x), dim = n, dimnames = dimnames(x))))
    }
  }
  pick(values)
}

mutated_sparse <- function(x) {
  if (!methods::is(x, "dgCMatrix") || !length(x@x)) return(pick(HOSTILE))
  at <- sample.int(length(x@x), 1L)
  with_slot <- function(name, value) {
    methods::slot(x, name, check = FALSE) <- value
    x
  }
  with_value <- function(value) with_slot("x", replace(x@x, at, value))
  pick(list(
    t(x), x[0L, ], x[, 0L], x[, 1L, drop = FALSE], unname(x), as.matrix(x),
    with_value(NA), with_value(-1), with_value(Inf), with_value(1e300), with_slot("x", 0 * x@x),
    with_slot("i", replace(x@i, at, 10000L)), with_slot("p", replace(x@p, 2L, 10000L)),
    with_slot("x", x@x[-1L]), with_slot("Dim", rev(x@Dim)), with_slot("x", x@x * 1e-310),
    with_slot("x", x@x * 1e150)
  ))
}

# An edited list.  Of a result of the package an estimate is changed, as a user would who
# mends it by hand.
mutated_list <- function(x) {
  kind <- oldClass(x)
  if (!length(x)) return(pick(HOSTILE))
  x <- unclass(x)
  if (is.null(kind)) {
    at <- sample.int(length(x), 1L)
    x[at] <- list(pick(list(NULL, mutated(x[[at]]), mutated(x[[at]]), pick(HOSTILE))))
    if (stats::runif(1L) < 0.1) x <- x[-at]
    return(x)
  }
  open <- c("exposures", "proportions", "profiles", "variance", "basis", "coef")
  open <- intersect(open, names(x))
  if (!length(open)) return(structure(x, class = kind))
  part <- pick(open)
  values <- x[[part]]
  if (is.numeric(values) && length(values)) {
    values[sample.int(length(values), 1L)] <- pick(c(NA, NaN, Inf, -1, 1e300))
    x[[part]] <- values
  }
  structure(x, class = kind)
}

# One of the choices that a default offers.
offered <- function(default, environment) {
  if (!is.call(default) || !identical(default[[1L]], quote(c))) return(NULL)
  choices <- tryCatch(eval(default, environment), error = function(e) NULL)
  if (is.character(choices)) pick(choices)
}
