# Runs testthat on the installed package and writes "passed failed" test counts
# to the file named on the command line; called by tools/test.sh.
count_file <- commandArgs(trailingOnly = TRUE)[1L]
library(testthat)
library(unalloy)
reporter <- ListReporter$new()
reporters <- MultiReporter$new(list(CheckReporter$new(), reporter))
# Relative paths are those of the test files.
outcome <- tryCatch(
  test_dir("tests/testthat", package = "unalloy", load_package = "installed",
           reporter = reporters, stop_on_failure = FALSE),
  error = function(e) {
    message("testthat stopped: ", conditionMessage(e))
    quit(status = 1L)
  }
)
tests <- as.data.frame(reporter$get_results())
bad <- tests$failed > 0 | tests$error
skipped <- tests$skipped & !bad
cat(sum(!bad & !skipped), sum(bad), "\n", file = count_file)
cat(nrow(tests), " tests, ", sum(tests$passed), " expectations passed; tests failed: ",
    sum(bad), ", skipped: ", sum(skipped), ", with warnings: ", sum(tests$warning > 0), "\n",
    sep = "")
quit(status = if (any(bad)) 1L else 0L)
