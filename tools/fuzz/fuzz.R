# Random calls of every exported function, right ones and wrong ones.  Every call must
# give a value in order, or a classed error from the user's call; nothing may crash, hang,
# or say "a bug in unalloy".
#   tools/run.sh tools/fuzz/fuzz.R SECONDS [FIRST] [PROBLEM]
# prints what was found, each with the number that makes it again, and fails on any.
arguments <- as.numeric(commandArgs(trailingOnly = TRUE))
seconds <- arguments[1L]
first <- if (is.na(arguments[2L])) 1 else arguments[2L]
problem <- if (is.na(arguments[3L])) 1 else arguments[3L]
HANG <- 60

# The worker's log as a data frame; the last call may have no end.
read_log <- function(log) {
  fields <- strsplit(readLines(log, warn = FALSE, encoding = "UTF-8"), "\t", fixed = TRUE)
  of <- function(kind) Filter(function(line) line[1L] == kind, fields)
  begun <- of("begin")
  ended <- of("end")
  out <- data.frame(number = vapply(begun, `[`, "", 2L), call = vapply(begun, `[`, "", 3L))
  at <- match(out$number, vapply(ended, `[`, "", 2L))
  out$outcome <- vapply(ended, `[`, "", 3L)[at]
  out$what <- vapply(ended, `[`, "", 4L)[at]
  out
}

# Runs a worker to its end, or until it says nothing for too long.
run_worker <- function(first, seconds, problem) {
  log <- tempfile()
  file.create(log)
  output <- tempfile()
  command <- sprintf("ulimit -v 8000000; %s tools/fuzz/worker.R %s %d %f %d > %s 2>&1; echo $?",
                     shQuote(file.path(R.home("bin"), "Rscript")), log, as.integer(first), seconds,
                     as.integer(problem), output)
  # timeout kills a worker that hears nothing
  status <- system2("timeout", c("-s", "KILL", ceiling(seconds + HANG), "sh", "-c",
                                 shQuote(command)), stdout = TRUE)
  calls <- read_log(log)
  lost <- is.na(calls$outcome)
  calls$outcome[lost] <- if (length(status)) "crash" else "hang"
  calls$what[lost] <- paste(utils::tail(readLines(output, warn = FALSE), 3L), collapse = " ")
  if (!nrow(calls)) stop("the worker did not begin: ", paste(readLines(output), collapse = "\n"))
  calls
}

deadline <- proc.time()[["elapsed"]] + seconds
done <- NULL
while ((left <- deadline - proc.time()[["elapsed"]]) > 0) {
  done <- rbind(done, run_worker(first, left, problem))
  first <- max(as.numeric(done$number)) + 1
}

good <- c("value", "refused", "late")
print(table(done$outcome))
found <- done[!done$outcome %in% good, ]
# one of each kind: the same message from the same function
kinds <- paste(found$outcome, sub("[(|].*", "", found$call), gsub("[0-9]+", "#", found$what))
for (at in which(!duplicated(kinds))) {
  cat(sprintf("\n%s (%d times), call %s of problem %d\n  %s\n  %s\n", found$outcome[at],
              sum(kinds == kinds[at]), found$number[at], as.integer(problem), found$call[at],
              found$what[at]))
}
cat("\n", nrow(done), " calls, ", nrow(found), " findings\n", sep = "")
quit(status = if (nrow(found)) 1L else 0L)
