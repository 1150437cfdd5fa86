# Lints the R code; called by tools/test.sh with the package installed.
folders <- Filter(dir.exists, c("R", "tests", "tools", "bench"))
lints <- lapply(folders, function(folder) {
  lintr::lint_dir(folder, relative_path = FALSE, parse_settings = TRUE)
})
lints <- do.call(c, lapply(lints, unclass))
# Outside R/ objects come from files that lintr does not read (helpers, sources).
lints <- Filter(function(lint) {
  lint$linter != "object_usage_linter" || grepl("/R/[^/]*$", lint$filename)
}, lints)
where <- paste0(normalizePath("."), "/")
for (lint in lints) {
  cat(sub(where, "", lint$filename, fixed = TRUE), ":", lint$line_number, ": ", lint$message,
      " [", lint$linter, "]\n", sep = "")
}
quit(status = if (length(lints)) 1L else 0L)
