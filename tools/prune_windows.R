# windows-sys alone is almost half of the bundle. Each of its folders is compiled
# only with the feature of its name (Win32_Storage_FileSystem is
# Win32/Storage/FileSystem): drops the others. Called by tools/vendor.sh.
# Usage: Rscript prune_windows.R <output of cargo metadata> <folder of crates>
args <- commandArgs(trailingOnly = TRUE)
nodes <- jsonlite::fromJSON(args[1L], simplifyVector = FALSE)$resolve$nodes
for (node in nodes) {
  crate <- regmatches(node$id, regexec("#windows-sys@([0-9.]+)", node$id))[[1L]]
  if (!length(crate)) next
  root <- file.path(args[2L], paste0("windows-sys-", crate[2L]), "src", "Windows")
  if (!dir.exists(root)) stop("no folder ", root, call. = FALSE)
  folders <- list.dirs(root, full.names = FALSE)
  folders <- folders[nzchar(folders)]
  unused <- !gsub("/", "_", folders, fixed = TRUE) %in% unlist(node$features)
  unlink(file.path(root, folders[unused]), recursive = TRUE)
}
