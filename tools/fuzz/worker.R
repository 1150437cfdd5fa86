# One process of the fuzzer: calls FIRST, FIRST + 1, ... until the time is up.  Every call
# follows from its number alone.  What it is about to do goes to LOG before it is done, so
# that the parent knows what ended the process.
#   Rscript tools/fuzz/worker.R LOG FIRST SECONDS PROBLEM
arguments <- commandArgs(trailingOnly = TRUE)
log <- arguments[1L]
first <- as.integer(arguments[2L])
until <- proc.time()[["elapsed"]] + as.numeric(arguments[3L])
suppressPackageStartupMessages(library(unalloy))
for (file in c("calls.R", "hostile.R", "judge.R")) source(file.path("tools", "fuzz", file))
options(unalloy.threads = 2L, unalloy.progress = FALSE, warn = 1, nwarnings = 50)
grDevices::pdf(NULL)
scratch <- tempfile()
dir.create(scratch)
problem <- suppressMessages(suppressWarnings(fuzz_problem(as.integer(arguments[4L]))))
calls <- fuzz_calls()
METHODS <- unlist(GENERICS)
setwd(scratch)

say <- function(...) cat(..., "\n", sep = "\t", file = log, append = TRUE)

# A call of the catalogue with none, one or two of its arguments changed.
changed_call <- function(number) {
  set.seed(number)
  call <- pick(calls)
  f <- eval(call[[1L]], as.list(problem), parent.frame())
  known <- formals(args(f))
  given <- if (is.primitive(f)) call else tryCatch(match.call(f, call), error = function(e) call)
  changes <- character()
  for (i in seq_len(sample(0:2, 1L, prob = c(0.1, 0.6, 0.3)))) {
    open <- setdiff(union(names(known), setdiff(names(given), "")), c("...", "", "file", "path"))
    # a method is found by its object
    if (as.character(call[[1L]]) %in% METHODS) open <- setdiff(open, names(known)[1L])
    if (!length(open)) open <- ""
    # what was given is changed as often as what was not
    name <- if (stats::runif(1L) < 0.5) pick(open) else
      pick(c(intersect(names(given), open), open[1L]))
    if (!nzchar(name)) next
    old <- tryCatch(eval(given[[name]], as.list(problem), globalenv()), error = function(e) NULL)
    choice <- offered(known[[name]], asNamespace("unalloy"))
    draw <- stats::runif(1L)
    value <- if (!is.null(choice) && draw < 0.6) choice
             else if (!is.null(old) && draw < 0.7) mutated(old) else pick(HOSTILE)
    given[name] <- list(if (is.language(value)) call("quote", value) else value)
    if (inherits(value, "formula")) given[name] <- list(value)
    changes <- c(changes, paste0(name, " = ", substr(paste(deparse(value, nlines = 3L),
                                                           collapse = ""), 1L, 80L)))
  }
  list(call = given, text = paste0(paste(substr(deparse(call), 1L, 80L), collapse = ""), " | ",
                                   paste(changes, collapse = " | ")))
}

number <- first
while (proc.time()[["elapsed"]] < until) {
  made <- changed_call(number)
  text <- gsub("[[:cntrl:]]", " ", made$text)
  say("begin", number, text)
  started <- sum(proc.time()[1:2])
  set.seed(number)
  found <- judge(made$call, list2env(problem, parent = globalenv()), seconds = 5)
  spent <- sum(proc.time()[1:2]) - started
  if (found$outcome != "late" && spent > 10) found <- list(outcome = "slow", what = spent)
  if (found$outcome == "late" && spent > 8) found <- list(outcome = "deaf", what = spent)
  say("end", number, found$outcome, gsub("[[:cntrl:]]", " ", found$what))
  number <- number + 1L
}
