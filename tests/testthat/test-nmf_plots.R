fit <- planted_fit

built <- function(plot) ggplot2::ggplot_build(plot)
cells_of <- function(plot) built(plot)$data[[1]]

test_that("maps show the shares, in the order of the tree", {
  map <- coefmap(fit)
  expect_s3_class(map, "ggplot")
  values <- map$data
  share <- coef(fit) * colSums(basis(fit))
  share <- sweep(share, 2, colSums(share), "/")
  tree <- hclust(dist(t(share)), "average")
  expect_equal(tapply(values$value, values$x, sum), rep(1, 30), ignore_attr = TRUE)
  # the order of the columns is one that the tree allows: merged leaves are adjacent
  order <- match(seq_len(30), apply(matrix(values$value, 3), 2, function(column) {
    which.min(colSums((share - column)^2))
  }))
  for (at in which(rowSums(tree$merge < 0) == 2)) {
    expect_equal(abs(diff(order[-tree$merge[at, ]])), 1)
  }
  rows <- basismap(fit)$data
  expect_equal(tapply(rows$value, rows$y, sum), rep(1, 120), ignore_attr = TRUE)
  plain <- coefmap(fit, scale = "none", order = "none")$data
  expect_equal(matrix(plain$value, 3), coef(fit), ignore_attr = TRUE)
})

test_that("the consensus map is symmetric and has its tree and tracks", {
  map <- consensusmap(fit, annotation = data.frame(group = planted$group, batch = gl(2, 15)))
  values <- matrix(map$data$value, 30)
  expect_equal(values, t(values))
  expect_equal(sort(values), sort(as.vector(consensus(fit))))
  layers <- lapply(map$layers, function(layer) class(layer$geom)[1])
  expect_true(all(c("GeomRaster", "GeomTile", "GeomSegment") %in% layers))
  expect_length(map$layers[[3]]$data$x, 29 * 3)
  expect_identical(sum(unlist(layers) == "GeomPoint"), 4L)
  expect_no_warning(built(map))
})

test_that("names are left out when there are too many, and identifiers have no legend", {
  wide <- fit
  at <- rep(1:30, 10)
  wide$coef <- fit$coef[, at]
  wide$membership <- fit$membership[at, ]
  colnames(wide$coef) <- paste0("s", 1:300)
  map <- coefmap(wide, annotation = list(id = colnames(wide$coef)))
  expect_match(map$labels$x, "300 samples")
  expect_identical(sum(vapply(map$layers, function(layer) inherits(layer$geom, "GeomPoint"), NA)),
                   1L)
  expect_match(basismap(fit)$labels$y, "120 features")
  numbers <- coefmap(fit, annotation = list(age = seq(20, 70, length.out = 30)))
  expect_no_warning(built(numbers))
})

test_that("package NMF's names of arguments are taken, others refused", {
  ours <- coefmap(fit, annotation = list(g = planted$group), colours = list(g = c("red", "blue",
                                                                                  "green")))
  theirs <- coefmap(fit, annCol = list(g = planted$group), annColors = list(g = c("red", "blue",
                                                                                  "green")))
  expect_equal(cells_of(ours), cells_of(theirs))
  expect_identical(ggplot2::layer_data(coefmap(fit, Colv = NA)),
                   ggplot2::layer_data(coefmap(fit, order = "none")))
  expect_identical(ggplot2::layer_data(basismap(fit, Rowv = "basis", subsetRow = 1:5)),
                   ggplot2::layer_data(basismap(fit, order = "component", features = 1:5)))
  expect_refusal(coefmap(fit, Colv = "euclidean"), "argument")
  expect_refusal(coefmap(fit, Rowv = NA), "argument")
  expect_refusal(coefmap(fit, annotation = 1:3), "argument")
  expect_refusal(coefmap(fit, colours = list(none = "red")), "argument")
  expect_refusal(coefmap(fit, annotation = planted$group, colours = list(annotation = "red")),
                 "argument")
  expect_refusal(basismap(fit, features = "none"), "argument")
})

test_that("every picture draws, for one component and one sample, too", {
  one <- nmf(planted$x[, 1:2], 1, seed = 1, verbose = FALSE)
  for (draw in list(basismap, coefmap, consensusmap, plot)) {
    expect_no_error(ggplot2::ggplotGrob(draw(one)))
    expect_no_error(ggplot2::ggplotGrob(draw(fit)))
  }
  bare <- nmf(unname(planted$x), 2, seed = 1, verbose = FALSE)
  expect_no_error(ggplot2::ggplotGrob(basismap(bare, order = "component")))
})

test_that("the plot of a rank estimate marks what is suggested", {
  estimate <- estimate_rank(planted$x, 2:4, nrun = 3, method = "kl", seed = 1, verbose = FALSE)
  picture <- plot(estimate)
  expect_no_warning(built(picture))
  lines <- picture$layers[[1]]$data
  expect_identical(lines$rank[lines$rule == "held-out error"],
                   estimate$suggestion$rank[estimate$suggestion$primary])
  shown <- plot(estimate, what = c("cophenetic", "silhouette"))
  expect_identical(nlevels(shown$data$panel), 2L)
  expect_refusal(plot(estimate, what = "other"), "argument")
  maps <- consensusmap(estimate)
  expect_named(maps, c("2", "3", "4"))
})

test_that("what plot() draws, autoplot() hands over, and neither takes what there is not", {
  fit <- nmf(planted$x, 3, nrun = 2, seed = 1, verbose = FALSE)
  expect_equal(ggplot2::autoplot(fit)$data, plot(fit)$data)
  expect_refusal(plot(fit, type = "nonsense"), "argument")
  expect_refusal(ggplot2::autoplot(fit, type = "nonsense"), "argument")
  estimate <- estimate_rank(planted$x, 2:3, nrun = 2, folds = 0, blocks = 0, seed = 1,
                            verbose = FALSE)
  picture <- ggplot2::autoplot(estimate, what = "dispersion")
  expect_equal(picture$data, plot(estimate, what = "dispersion")$data)
  expect_refusal(ggplot2::autoplot(estimate, what = "nonsense"), "argument")
  # every class has both
  registered <- getNamespaceInfo("unalloy", "S3methods")[, 1:2]
  of <- function(generic) sort(registered[registered[, 1] == generic, 2])
  expect_identical(setdiff(of("plot"), of("autoplot")), character())
})
