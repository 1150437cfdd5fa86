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
# Of two definitions in different files the later one silently wins.
defined <- unlist(lapply(list.files("R", "[.]R$", full.names = TRUE), function(file) {
  lines <- as.list(parse(file, keep.source = FALSE))
  names <- lapply(lines, function(line) {
    if (is.call(line) && identical(line[[1L]], quote(`<-`)) && is.name(line[[2L]])) {
      as.character(line[[2L]])
    }
  })
  unlist(names)
}))
twice <- unique(defined[duplicated(defined)])
if (length(twice)) cat("Defined more than once in R/:", paste(twice, collapse = ", "), "\n")
quit(status = if (length(lints) || length(twice)) 1L else 0L)
