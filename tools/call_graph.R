# Holds the order of the files in R/: the function call graph, taken to files,
# has no circle, and a file uses only files of its own kind or of kinds before it.
# Prints what breaks either, and the number of circles.
#
# A file's kind is what stands before the first dash of its name; files without
# a dash hold verbs.  An S3 method that is dispatched to is no use of its file:
# `print(x)` knows the generic, not the class.  A method called by its full name
# is one, as is a constant.
#
# The core likewise: its modules stand in the order of lib.rs, and a module uses
# only those above it.
KINDS <- c("utils", "input", "model", "steps", "class", "plot", "verb")

files <- setdiff(list.files("R", "[.]R$"), c("extendr-wrappers.R", "unalloy-package.R"))
kind <- ifelse(grepl("-", files), sub("-.*", "", files), "verb")
rank <- stats::setNames(match(kind, KINDS), files)
strange <- is.na(rank)
broken <- sprintf("%s: there is no kind \"%s\"", files[strange], kind[strange])

file_of <- character()
body_of <- list()
for (file in files) {
  for (line in as.list(parse(file.path("R", file), keep.source = FALSE))) {
    if (is.call(line) && identical(line[[1L]], quote(`<-`)) && is.name(line[[2L]])) {
      name <- as.character(line[[2L]])
      # of two definitions the later one silently wins
      if (name %in% names(file_of)) {
        broken <- c(broken, sprintf("%s defines %s, as %s does", file, name, file_of[[name]]))
      }
      file_of[[name]] <- file
      body_of[[name]] <- line[[3L]]
    }
  }
}

# One row per use of a name in another file.
uses <- do.call(rbind, lapply(names(body_of), function(name) {
  wrapped <- eval(call("function", NULL, body_of[[name]]))
  used <- intersect(codetools::findGlobals(wrapped), names(file_of))
  data.frame(by = rep(name, length(used)), name = used, from = rep(file_of[[name]], length(used)),
             to = unname(file_of[used]))
}))
uses <- uses[uses$from != uses$to, ]
against <- uses[which(rank[uses$from] < rank[uses$to]), ]
broken <- c(broken, sprintf("%s: %s() uses %s of %s, which stands after it", against$from,
                            against$by, against$name, against$to))

# Files that reach each other make a circle.
reach <- matrix(FALSE, length(files), length(files), dimnames = list(files, files))
reach[cbind(uses$from, uses$to)] <- TRUE
for (file in files) reach <- reach | outer(reach[, file], reach[file, ], "&")
tied <- reach & t(reach)
circles <- unique(lapply(files[diag(tied)], function(file) files[tied[file, ]]))
for (circle in circles) {
  inside <- uses[uses$from %in% circle & uses$to %in% circle, ]
  broken <- c(broken, paste("Circle:", paste(circle, collapse = ", ")),
              sprintf("  %s: %s() uses %s of %s", inside$from, inside$by, inside$name, inside$to))
}
cat(length(files), "files,", nrow(against), "uses against the order,", length(circles),
    "circles\n")

core <- "src/rust/core/src"
modules <- sub("pub mod (.*);", "\\1", grep("^pub mod ", readLines(file.path(core, "lib.rs")),
                                            value = TRUE))
sources <- list.files(core, "[.]rs$", recursive = TRUE)
own <- match(sub("[/.].*", "", sources), modules)
arrows <- do.call(rbind, lapply(which(!is.na(own)), function(at) {
  text <- sub("//.*", "", readLines(file.path(core, sources[at])))
  used <- unlist(regmatches(text, gregexpr("(?<=crate::)[a-z_]+", text, perl = TRUE)))
  used <- setdiff(match(unique(used), modules), c(own[at], NA))
  data.frame(file = rep(sources[at], length(used)), from = rep(own[at], length(used)), to = used)
}))
up <- arrows[arrows$to > arrows$from, ]
broken <- c(broken, sprintf("%s uses crate::%s, which stands after %s", up$file,
                            modules[up$to], modules[up$from]))
cat(length(modules), "modules of the core,", nrow(unique(arrows[-1L])), "arrows,", nrow(up),
    "against the order\n")
if (length(broken)) writeLines(broken)
quit(status = if (length(broken)) 1L else 0L)
