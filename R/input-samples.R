# What is known of samples: a data frame with a row per sample, matched by name.

# The table of a result's samples, in their order: from the argument, else from
# the object that the values came in; NULL without either.
given_sample_data <- function(samples, x, names, .call = caller_env()) {
  if (is.null(samples)) {
    found <- cell_data(x)
    if (is.null(found) || !ncol(found)) return(NULL)
    rownames(found) <- names
    return(found)
  }
  match_samples(samples, names, .call = .call)
}

# Rows of a data frame in the order of the samples.  Its row names, or the first
# column that has all of them, name the samples.
match_samples <- function(samples, names, what = "samples", .call = caller_env()) {
  if (methods::is(samples, "DataFrame")) samples <- as.data.frame(samples, optional = TRUE)
  if (!is.data.frame(samples)) {
    stop_user("samples", paste0("`", what, "` must be a data frame with a row per sample."),
              x = paste0("It is ", describe(samples), "."), .call = .call)
  }
  samples <- as.data.frame(samples)
  named <- c(list(`row names` = rownames(samples)), Filter(is_label, as.list(samples)))
  absent <- lapply(named, function(given) setdiff(names, given))
  best <- which.min(lengths(absent))
  if (length(absent[[best]])) {
    if (.row_names_info(samples) <= 0L && length(absent[[best]]) == length(names)) {
      stop_unnamed_samples(samples, what, .call)
    }
    stop_user("samples", paste0("`", what, "` must have a row for every sample."),
              x = paste0("Not in the ", if (best > 1L) "column \"", names(named)[best],
                         if (best > 1L) "\"", ": ", some_of(absent[[best]]), "."),
              i = "Row names, or a column, must be the names of the samples.", .call = .call)
  }
  place <- match(names, named[[best]])
  twice <- intersect(unique(named[[best]][duplicated(named[[best]])]), names)
  if (length(twice)) {
    stop_user("samples", paste0("`", what, "` must have one row for every sample."),
              x = paste0("More than one: ", some_of(twice), "."), .call = .call)
  }
  out <- samples[place, , drop = FALSE]
  rownames(out) <- names
  out
}

is_label <- function(column) is.character(column) || is.factor(column)

stop_unnamed_samples <- function(samples, what, .call) {
  stop_user("samples", paste0("The rows of `", what, "` must be named by sample."),
            x = paste0("It has ", plural(nrow(samples), "row"), " without names."),
            i = paste("Set its row names, or a column, to the names of the samples; they are found",
                      "in any order."),
            .call = .call)
}

# A value per sample: as given, or a column of the table by name.
sample_column <- function(value, table, names, what, .call = caller_env()) {
  n <- length(names)
  if (is.character(value) && length(value) == 1L && n != 1L) {
    if (!value %in% names(table)) {
      stop_user("argument", paste0("`", what, "` must be a value per sample, or name a column of ",
                                   "the sample data."),
                x = if (is.null(table)) paste0("There are no sample data to find \"", value,
                                               "\" in.")
                    else paste0("There is no column \"", value, "\"; there are ",
                                some_of(names(table), 6L), "."),
                i = if (is.null(table)) "Give a data frame in `samples`.", .call = .call)
    }
    return(table[[value]])
  }
  if (!is.null(names(value)) && all(names %in% names(value))) value <- value[names]
  if (!is.atomic(value) || length(value) != n) {
    stop_user("argument", paste0("`", what, "` must have a value per sample."),
              x = paste0("It is ", describe(value), "; there are ", plural(n, "sample"), "."),
              .call = .call)
  }
  unname(value)
}
