# Checks of single arguments.  Each returns the value in the form that the
# package uses, or stops and names the argument.

# What every verb asks first: that all it needs was given, and that `verbose` is a flag.
# Reads the arguments of the function that calls it; `needed` are those without which
# it has nothing to do.
check_call <- function(needed = NULL, frame = caller_env()) {
  known <- formals(sys.function(sys.parent()))
  if (is.null(needed)) {
    without_default <- vapply(known, function(default) identical(default, rlang::missing_arg()), NA)
    needed <- setdiff(names(known)[without_default], "...")
  }
  missed <- vapply(needed, function(name) eval(call("missing", as.name(name)), frame), NA)
  if (any(missed)) {
    names <- paste0("`", needed[missed], "`")
    stop_user("argument", paste0(paste(names, collapse = " and "), " must be given."),
              i = paste0("Arguments: ", some_of(setdiff(names(known), "..."), 9L), "."),
              .call = frame)
  }
  if ("verbose" %in% names(known)) check_flag(frame$verbose, "verbose", .call = frame)
  invisible()
}

check_number <- function(x, what, min = -Inf, max = Inf, above = FALSE, .call = caller_env()) {
  range_text <- if (above) {
    paste0("above ", min, if (is.finite(max)) paste(" and at most", max))
  } else if (is.finite(max)) {
    paste("between", min, "and", max)
  } else {
    paste("of at least", min)
  }
  ok <- is.numeric(x) && length(x) == 1L && !is.na(x) && x >= min && x <= max &&
    (!above || x > min) && is.finite(x)
  if (!ok) {
    stop_user("argument", paste0("`", what, "` must be one number ", range_text, "."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  as.double(x)
}

# Counts end where R's integers do; runs, draws, replicates and parts earlier, as
# each of them takes time and memory.
MOST_COUNT <- .Machine$integer.max
MOST_REPEATS <- 1e6

check_count <- function(x, what, min = 1, max = MOST_COUNT, .call = caller_env()) {
  x <- check_number(x, what, min = min, .call = .call)
  if (x != round(x)) {
    stop_user("argument", paste0("`", what, "` must be a whole number."),
              x = paste0("It is ", x, "."), .call = .call)
  }
  if (x > max) {
    stop_user("argument", paste0("`", what, "` must be at most ", count_text(max), "."),
              x = paste0("It is ", count_text(x), "."), .call = .call)
  }
  x
}

# The sizes of a matrix to be made, named by their arguments: R counts the entries
# of a sparse matrix with integers.
check_matrix_size <- function(sizes, .call = caller_env()) {
  if (prod(unlist(sizes)) <= MOST_COUNT) return(invisible())
  stop_user("argument", paste0(paste0("`", names(sizes), "`", collapse = " x "),
                               " must be at most ", count_text(MOST_COUNT), "."),
            x = paste0("It is ", paste(vapply(sizes, count_text, ""), collapse = " x "), "."),
            i = "So many numbers a matrix may have.", .call = .call)
}

check_flag <- function(x, what, .call = caller_env()) {
  if (!is.logical(x) || length(x) != 1L || is.na(x)) {
    stop_user("argument", paste0("`", what, "` must be TRUE or FALSE."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  x
}

check_choice <- function(x, choices, what, .call = caller_env()) {
  if (identical(x, choices)) return(choices[1L])
  if (!is.character(x) || length(x) != 1L || !x %in% choices) {
    stop_user("argument", paste0("`", what, "` must be one of ", some_of(choices, length(choices)),
                                 "."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  x
}

# For functions that have `...` because their generic does: refuses what is in it,
# which would otherwise be lost.  `.to` is the function that it is handed on to,
# `.known` are further names, and `.besides` those that R hands over unasked.
refuse_dots <- function(..., .to = NULL, .known = NULL, .besides = NULL, .call = caller_env()) {
  if (!...length()) return(invisible())
  given <- ...names() %||% rep("", ...length())
  # what has no name finds its place in `.to`
  if (!is.null(.to)) given <- given[nzchar(given)]
  frame <- sys.parent()
  known <- c(arguments_of(sys.function(frame)), arguments_of(.to), .known)
  unknown <- setdiff(given, c(known, .besides))
  if (length(unknown)) stop_unknown_argument(unknown[1L], unique(known), .call)
}

# The second argument of as.data.frame(), where a table may have been named.
refuse_row_names <- function(row.names, .call = caller_env()) { # nolint: object_name_linter.
  if (is.null(row.names)) return(invisible())
  stop_user("argument", "The rows of this data frame have no names.",
            x = paste0("`row.names` is ", describe(row.names), "."),
            i = "Name the argument that was meant, if it was another.", .call = .call)
}

# Arguments that print.default() gives on to every element of a list.
PRINT_ARGUMENTS <- setdiff(names(formals(print.default)), c("x", "..."))

# Names of what a function takes beside its first argument.
arguments_of <- function(f) if (!is.null(f)) setdiff(names(formals(f))[-1L], "...")

stop_unknown_argument <- function(name, known, .call) {
  if (!nzchar(name)) {
    stop_user("argument", "There is an argument too many.", x = "It has no name.", .call = .call)
  }
  near <- nearest_name(name, known)
  stop_user("argument", paste0("There is no argument `", name, "`."),
            i = if (length(near)) paste0("Did you mean `", near, "`?")
                else if (length(known)) paste0("Arguments: ", some_of(known, 9L), "."),
            .call = .call)
}

# The name that was meant: one that differs in a third of its letters at most (or in
# `most`), or goes on after what was written.
nearest_name <- function(name, known, most = max(1, nchar(name) %/% 3)) {
  plain <- function(x) tolower(gsub("[._]", "", x))
  apart <- drop(utils::adist(plain(name), plain(known)))
  begins <- startsWith(plain(known), plain(name))
  near <- begins | apart <= most
  known[near][which.min(apart[near])]
}

# More threads than there are processors only cost time.
check_threads <- function(threads, .call = caller_env()) {
  threads <- check_count(threads, "threads", .call = .call)
  most <- call_rs(rs_most_threads, .call = .call)
  if (threads <= most) return(threads)
  inform_user(TRUE, paste0("`threads` is ", count_text(threads), "; ", most, " are used."),
              i = "More than that gain nothing on this machine.")
  most
}

# A seed drawn from R's stream when none is given.
check_seed <- function(seed, .call = caller_env()) {
  if (is.null(seed)) return(as.double(sample.int(.Machine$integer.max, 1L)))
  seed <- check_count(seed, "seed", min = 0, max = Inf, .call = .call)
  if (seed >= 2^64) {
    stop_user("argument", "`seed` must be below 2^64.", x = paste0("It is ", seed, "."),
              .call = .call)
  }
  seed
}

# Seeds of n parts of a computation that have random numbers of their own: seed + 1,
# seed + 2, ... would be those of a call with the next seed.
derived_seeds <- function(seed, n) call_rs(rs_derived_seeds, seed = seed, n = n)

# What a value is, in a few words: for error messages.
describe <- function(x) {
  if (is.null(x)) return("NULL")
  if (is.atomic(x) && length(x) == 1L) {
    return(if (is.character(x)) paste0("\"", x, "\"") else as.character(x))
  }
  if (is.matrix(x)) return(paste0("a ", nrow(x), " x ", ncol(x), " ", typeof(x), " matrix"))
  if (is.atomic(x)) return(paste0("a ", typeof(x), " vector of length ", length(x)))
  paste("an object of class", paste(class(x), collapse = "/"))
}

with_seed <- function(seed, code) {
  if (is.null(seed)) return(code)
  old <- globalenv()[[".Random.seed"]]
  on.exit(if (is.null(old)) rm(".Random.seed", envir = globalenv())
          else assign(".Random.seed", old, envir = globalenv()))
  # whatever kind the user has set, and within the range of set.seed()
  set.seed(small_seed(seed), kind = "default", normal.kind = "default",
           sample.kind = "default")
  code
}

# A seed for set.seed(), which takes integers.  Beyond them it is drawn from the core's
# stream of that seed: the remainder of a division would lose the low bits of large ones.
small_seed <- function(seed) {
  if (seed <= .Machine$integer.max) seed else
    call_rs(rs_derived_seeds, seed = seed, n = 1) %% .Machine$integer.max
}

check_names <- function(x, known, what, .call = caller_env()) {
  unknown <- if (is.character(x)) setdiff(x, known)
  if (!is.character(x) || !length(x) || length(unknown)) {
    stop_user("argument", paste0("`", what, "` must name ", what, " that exist."),
              x = if (length(unknown)) paste0("Unknown: ", some_of(unknown), ".")
                  else paste0("It is ", describe(x), "."),
              i = paste0("There are ", some_of(known, length(known)), "."), .call = .call)
  }
  unique(x)
}

nmf_threads <- function(.call = caller_env()) {
  check_threads(getOption("unalloy.threads", 2L), .call = .call)
}

BIOCONDUCTOR <- c("AnnotationDbi", "Biobase", "BiocParallel", "DelayedArray", "HDF5Array",
                  "limma", "org.Hs.eg.db", "org.Mm.eg.db", "rhdf5", "SingleCellExperiment",
                  "SummarizedExperiment", "tximport")

# A suggested package, where a verb needs it.
need_package <- function(package, purpose, .call = caller_env()) {
  if (requireNamespace(package, quietly = TRUE)) return(invisible())
  from <- if (package %in% BIOCONDUCTOR) "BiocManager::install" else "install.packages"
  stop_user("package", paste0("Package ", package, " is needed ", purpose, "."),
            x = "It is not installed.",
            i = paste0("Install it: `", from, "(\"", package, "\")`."), .call = .call)
}
