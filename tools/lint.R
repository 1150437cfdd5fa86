# Lints the R code; called by tools/test.sh with the package installed.
folders <- Filter(dir.exists, c("R", "tests", "tools", "bench"))
linters <- eval(parse(text = read.dcf(".lintr")[1L, "linters"]), asNamespace("lintr"))
lints <- lapply(folders, function(folder) {
  # Outside R/ objects come from files that lintr does not read (helpers, sources).
  if (folder != "R") linters$object_usage_linter <- NULL
  lintr::lint_dir(folder, linters = linters, relative_path = FALSE, parse_settings = TRUE)
})
lints <- do.call(c, lapply(lints, unclass))
where <- paste0(normalizePath("."), "/")
for (lint in lints) {
  cat(sub(where, "", lint$filename, fixed = TRUE), ":", lint$line_number, ": ", lint$message,
      " [", lint$linter, "]\n", sep = "")
}
# The manual as a PDF has the letters of Latin-1 only.
beyond <- unlist(lapply(list.files("man", "[.]Rd$", full.names = TRUE), function(file) {
  lines <- readLines(file, encoding = "UTF-8")
  at <- which(is.na(iconv(lines, "UTF-8", "latin1")))
  if (length(at)) paste0(file, ":", at, ": letters that LaTeX does not have")
}))
if (length(beyond)) writeLines(beyond)
quit(status = if (length(lints) || length(beyond)) 1L else 0L)
