# Lists the authors and licences of the bundled crates; called by tools/vendor.sh.
# Usage: Rscript authors.R <output of cargo metadata> <file to write>
args <- commandArgs(trailingOnly = TRUE)
crates <- jsonlite::fromJSON(args[1L], simplifyVector = FALSE)$packages
# Those without a source are our own.
crates <- Filter(function(crate) !is.null(crate$source), crates)
entry <- function(crate) {
  people <- trimws(sub("<.*", "", unlist(crate$authors)))
  people <- unique(people[nzchar(people)])
  if (!length(people)) people <- paste("the", crate$name, "developers")
  paste0(crate$name, " ", crate$version, " (", crate$license, "): ",
         paste(people, collapse = ", "))
}
entries <- vapply(crates, entry, "")
head <- c(
  "Authors and licences of the Rust crates that are bundled with this package as",
  "src/rust/vendor.tar.xz. A crate's licence text is in its folder there; where its",
  "developers published none, the licence is the one that its Cargo.toml and this list",
  "name, whose text the Software Package Data Exchange has (https://spdx.org/licenses).", ""
)
con <- file(args[2L], "wb", encoding = "UTF-8")
writeLines(enc2utf8(c(head, sort(entries, method = "radix"))), con, useBytes = TRUE)
close(con)
