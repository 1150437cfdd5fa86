#' Read gene sets from a GMT file
#'
#' The format of MSigDB and Enrichr: a set per line, its name, a description and its
#' genes, divided by tabs. No gene sets come with the package.
#'
#' @param file Path of the file, plain or compressed by gzip, or a connection.
#' @return A list of genes, named by set, with the descriptions as attribute `"description"`.
#' @section Errors: `unalloy_error_gmt` for a line without genes, and sets of the same
#'   name.
#' @seealso [test_pathways()]
#' @export
#' @examples
#' file <- tempfile(fileext = ".gmt")
#' writeLines("INTERFERON\tresponse to interferon\tISG15\tIFI6\tMX1", file)
#' read_gmt(file)
read_gmt <- function(file) {
  check_call()
  if (!inherits(file, "connection")) {
    if (!is.character(file) || length(file) != 1L || !file.exists(file)) {
      stop_user("gmt", "There is no such file.", x = paste0("It is ", describe(file), "."))
    }
    file <- gzfile(file)
    on.exit(close(file))
  }
  lines <- readLines(file, warn = FALSE)
  lines <- sub("\r$", "", lines)
  at <- which(nzchar(trimws(lines)))
  fields <- strsplit(lines[at], "\t", fixed = TRUE)
  short <- which(lengths(fields) < 3L)
  if (!length(fields) || length(short)) {
    stop_user("gmt", "Every line must have a name, a description and genes, divided by tabs.",
              x = if (length(short)) paste0("Line ", at[short[1L]], " has ",
                                            plural(length(fields[[short[1L]]]), "field"), ".")
                  else "The file is empty.")
  }
  names <- vapply(fields, `[[`, "", 1L)
  if (anyDuplicated(names)) {
    stop_user("gmt", "Sets must have names of their own.",
              x = paste0("Used more than once: ", some_of(unique(names[duplicated(names)])), "."))
  }
  # some files have a weight after each gene, as in "MX1,1.0"
  genes <- lapply(fields, function(field) {
    out <- unique(sub(",[0-9.]+$", "", trimws(field[-(1:2)])))
    out[nzchar(out)]
  })
  structure(stats::setNames(genes, names), description = stats::setNames(
    vapply(fields, `[[`, "", 2L), names
  ))
}
