# Methods that were registered from this namespace, as a data frame.
own_methods <- function() {
  registered <- getNamespaceInfo(asNamespace("unalloy"), "S3methods")
  found <- data.frame(generic = registered[, 1L], class = registered[, 2L],
                      name = registered[, 3L])
  found$body <- lapply(found$name, get, envir = asNamespace("unalloy"))
  # c() and cbind() take any number of results there
  found <- found[!found$generic %in% c("c", "cbind"), ]
  found[vapply(found$body, function(method) "..." %in% names(formals(method)), NA), ]
}

calls_of <- function(method) all.names(body(method))

test_that("every method with `...` refuses what it does not hand on", {
  methods <- own_methods()
  # what the package does not know goes on to the generic of another package
  elsewhere <- vapply(methods$body, function(method) "pass_on" %in% calls_of(method), NA)
  expect_setequal(methods$class[elsewhere], "default")
  refuses <- vapply(methods$body, function(method) "refuse_dots" %in% calls_of(method), NA)
  expect_identical(methods$name[!refuses & !elsewhere], character())
  expect_gt(sum(refuses), 139)
})

test_that("a misspelt argument is named, whatever the method", {
  methods <- own_methods()
  first <- vapply(methods$body, function(method) {
    is.call(body(method)[[2L]]) && identical(body(method)[[2L]][[1L]], quote(refuse_dots))
  }, NA)
  expect_gt(sum(first), 130)
  for (i in which(first)) {
    # refused before the object is looked at
    caught <- tryCatch(methods$body[[i]](NULL, nonsense = 1), error = identity)
    expect_s3_class(caught, "unalloy_error_argument")
    expect_match(conditionMessage(caught), "There is no argument `nonsense`", fixed = TRUE,
                 info = methods$name[i])
  }
})

test_that("the near name is offered, from the user's call", {
  result <- fit_small()
  expect_snapshot(error = TRUE, {
    predict(result, new_data = small$bulk_counts)
    coef(result, type = "exposures")
    fitted(result, 1, 2)
    confint(result, levels = 0.9)
    plot(result, nonsense = 1)
    plot_deconvolution(result, type = "fit", bin = 5)
    plot_deconvolution(result, type = "fit", what = "proportions")
    tidy(result, samples = 1)
    tidy(result, conf.int = TRUE, sampels = 1)
  })
  expect_identical(nrow(tidy(result, conf.int = TRUE, samples = 1)), nrow(result$proportions))
})

test_that("what R hands over unasked is no mistake", {
  groups <- list(One = c("Type A", "Type B"), Two = c("Type C", "Type D"))
  tree <- type_tree(small_signatures, groups)
  expect_identical(data.frame(tree), as.data.frame(tree))
  expect_output(print(list(tree), digits = 3), "Tree of")
  expect_error(print(tree, nonsense = 3), class = "unalloy_error_argument")
})
