# Fails on errors and warnings of R CMD check, and on notes without a heading of
# the same name in tools/check-notes.md.  Called by tools/check.sh.
args <- commandArgs(trailingOnly = TRUE)
log <- args[1L]
if (!any(grepl("^Status: ", readLines(log)))) stop("R CMD check did not finish", call. = FALSE)
found <- as.data.frame(tools::check_packages_in_dir_details(logs = log, drop_ok = TRUE))
found <- found[!found$Status %in% c("OK", "NONE"), , drop = FALSE]
notes <- readLines(args[2L])
explained <- sub("^## ", "", grep("^## ", notes, value = TRUE))
bad <- found$Status != "NOTE" | !found$Check %in% explained
for (row in seq_len(nrow(found))) {
  verdict <- if (found$Status[row] != "NOTE") "" else if (bad[row]) " (not explained)"
             else " (explained)"
  cat(found$Status[row], ": ", found$Check[row], verdict, "\n", sep = "")
}
stale <- setdiff(explained, found$Check)
if (length(stale)) cat("Explained but not seen here:", paste(stale, collapse = ", "), "\n")
quit(status = if (any(bad)) 1L else 0L)
