# What tools/demo.R reads beside counts.  Every refusal names the file, what is there and
# what to do.

fail <- function(...) {
  message("\nCan't run the demo: ", ...)
  quit(status = 1L)
}

some <- function(x, n = 8L) {
  shown <- paste(utils::head(x, n), collapse = ", ")
  if (length(x) > n) paste0(shown, ", ... (", length(x), " in all)") else shown
}

check_file <- function(path, name) {
  if (dir.exists(path)) fail(name, "=", path, " is a folder; give a file.")
  if (!file.exists(path)) {
    folder <- dirname(path)
    there <- if (dir.exists(folder)) paste0(folder, " has: ", some(list.files(folder)), ".")
             else paste0("There is no folder ", folder, " either.")
    fail(name, "=", path, " does not exist.\n", there)
  }
  path
}

read_or_fail <- function(path, ...) {
  tryCatch(read_counts(path, ...),
           unalloy_error = function(e) fail(cli::ansi_strip(conditionMessage(e))))
}

# gzfile() also reads files that are not compressed.
read_delimited <- function(path, header = TRUE) {
  con <- gzfile(path)
  first <- readLines(con, n = 1L, warn = FALSE)
  close(con)
  if (!length(first)) fail(path, " is empty.")
  present <- vapply(c("\t", ",", ";", " "), grepl, NA, x = first, fixed = TRUE)
  separator <- if (any(present)) names(which(present))[1L] else "\t"
  tryCatch(
    utils::read.table(gzfile(path), sep = separator, header = header, check.names = FALSE,
                      quote = "\"", comment.char = "", stringsAsFactors = FALSE,
                      na.strings = c("NA", "")),
    error = function(e) fail(path, " can't be read as a table: ", conditionMessage(e))
  )
}

read_lengths <- function(path) {
  table <- read_delimited(check_file(path, "LENGTHS"))
  if (!"length" %in% names(table)) {
    fail(path, " needs a column `length`; it has: ", some(names(table)), ".")
  }
  table
}

cell_column <- function(cells, name, what) {
  if (!name %in% names(cells$metadata)) {
    fail(what, "=", name, " is not a column of the table of cells.\nIt has: ",
         some(names(cells$metadata), 20L), ".")
  }
  cells$metadata[[name]]
}
