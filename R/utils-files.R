# Files that are written.

# Writes lines to a file, to the end: a disk that is full says so when the file is closed,
# in a warning.
write_text <- function(lines, file, .call = caller_env()) {
  failed <- function(fact) {
    stop_user("unwritable", "The file could not be written.", x = fact,
              i = "Is the folder there, and is there room on the disk?", .call = .call)
  }
  if (!is.character(file) || length(file) != 1L || is.na(file) || !nzchar(file)) {
    stop_user("argument", "`file` must be the name of a file.",
              x = paste0("It is ", describe(file), "."), .call = .call)
  }
  said <- tryCatch({
    open <- if (grepl("[.]gz$", file)) gzfile else base::file
    connection <- suppressWarnings(open(file, "wt", encoding = "UTF-8"))
    on.exit(suppressWarnings(close(connection)))
    writeLines(enc2utf8(lines), connection, useBytes = TRUE)
    close(connection)
    on.exit()
    NULL
  }, error = conditionMessage, warning = conditionMessage)
  if (is.character(said)) failed(said)
  plain <- utils::file_test("-f", file) && !grepl("[.]gz$", file)
  if (plain && file.size(file) < sum(nchar(lines, "bytes"))) {
    failed("It was cut short.")
  }
  invisible(file)
}
