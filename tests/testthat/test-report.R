groups <- data.frame(sample = colnames(small$bulk_counts), arm = c("a", "b", "a", "b", "a"))
fitted_small <- fit_small(samples = groups)

test_that("a report is one page that needs nothing else", {
  skip_if_not_installed("rmarkdown")
  skip_if_not(rmarkdown::pandoc_available("2.0"))
  file <- withr::local_tempfile(fileext = ".html")
  expect_identical(report(fitted_small, file, formula = ~ arm, title = "My study"), file)
  page <- paste(readLines(file, warn = FALSE), collapse = "\n")
  expect_match(page, "My study", fixed = TRUE)
  # nothing is fetched
  expect_no_match(page, "(src|href)=\"https?://")
  for (type in rownames(fitted_small$proportions)) expect_match(page, type, fixed = TRUE)
  for (head in c("What was fitted", "The reference", "How sure", "What to make", "Groups",
                 "Methods")) {
    expect_match(page, head, fixed = TRUE)
  }
  expect_match(page, "data:image/png", fixed = TRUE)
  # pictures say what they show, and have the groups of the formula
  expect_match(page, "grouped by arm", fixed = TRUE)
  expect_match(page, "Above: arm", fixed = TRUE)
  # a number of the page is the number of the result
  expect_match(page, as.character(round(fitted_small$proportions[1, 1], 4)), fixed = TRUE)
  expect_refusal(report(fitted_small, file), "file")
})

test_that("the methods say what was done", {
  text <- unalloy:::methods_text(fitted_small)
  expect_match(text, as.character(packageVersion("unalloy")), fixed = TRUE)
  expect_match(text, "5 bulk samples were")
  expect_match(text, "240 cells of up to 3 donors", fixed = TRUE)
  expect_match(text, "certified optimum")
  platform <- unalloy:::methods_text(fit_small(error_model = "platform"))
  expect_match(platform, "platforms of reference and bulk")
  expect_match(unalloy:::methods_text(fit_small(l2_lambda = 2)), "l2 2")
  expect_match(unalloy:::methods_text(fitted_small, ~ arm), "~arm", fixed = TRUE)
})

test_that("what cannot be reported is refused before anything is written", {
  told <- function(...) expect_snapshot(error = TRUE, ...)
  told({
    report(1, "a.html")
    report(fitted_small, "a.pdf")
    report(fitted_small, "no-such-folder/a.html")
    report(fitted_small, "a.html", formula = "arm")
  })
  expect_refusal(report(fit_small(keep_counts = FALSE), tempfile(fileext = ".html")), "no_counts")
})
