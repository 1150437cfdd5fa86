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
quit(status = if (length(lints)) 1L else 0L)
