library(ggplot2)

# A fit of simulated samples.
fit_of <- function(n_types = 5, n_samples = 8, keep_counts = TRUE, weights = NULL, ...) {
  sim <- simulate_bulk(n_genes = 400, n_types = n_types, n_samples = n_samples, seed = 1)
  signatures <- build_signatures(sim$reference, sim$cells$cell_type)
  deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, weights,
                  error_model = "poisson", keep_counts = keep_counts, verbose = FALSE, ...)
}
result <- fit_of()

# What a panel draws, with sample names instead of places.
drawn_samples <- function(plot) {
  levels(plot$data$sample)[as.integer(layer_data(plot)$x)]
}

test_that("bars hold the proportions and sum to one", {
  plot <- plot_proportions(result)
  bars <- layer_data(plot)
  heights <- tapply(bars$ymax - bars$ymin, bars$x, sum)
  expect_equal(as.vector(heights), rep(1, 8))
  drawn <- tapply(bars$ymax - bars$ymin, list(bars$fill, drawn_samples(plot)), sum)
  expect_equal(drawn[type_palette(rownames(result$proportions)), colnames(result$proportions)],
               result$proportions, ignore_attr = TRUE)
})

test_that("samples stand in an order that the cluster tree allows", {
  order <- levels(plot_proportions(result)$data$sample)
  shares <- result$proportions
  expect_setequal(order, colnames(shares))
  tree <- stats::hclust(stats::dist(t(shares)))
  # every cluster of the tree is a run of neighbours
  for (k in 1:8) {
    clusters <- stats::cutree(tree, k)[order]
    expect_length(rle(unname(clusters))$lengths, k)
  }
  expect_identical(levels(plot_proportions(result, order = "none")$data$sample),
                   colnames(shares))
  # the same samples in another order end in the same place
  expect_identical(levels(plot_proportions(result[8:1])$data$sample), order)
})

test_that("groups keep their samples together, whatever order they are named in", {
  samples <- colnames(result$proportions)
  group <- stats::setNames(factor(rep(c("b", "a"), 4), c("b", "a")), samples)
  plot <- plot_proportions(result, group = rev(group))
  expect_identical(levels(plot$data$group), c("b", "a"))
  expect_identical(as.character(group[levels(plot$data$sample)]), rep(c("b", "a"), each = 4))
  panels <- layer_data(plot)
  expect_equal(as.vector(table(panels$PANEL)), c(20L, 20L))
  some <- group
  some[2] <- NA
  expect_setequal(levels(plot_intercept(result, group = some)$data$group), c("b", "a", "(none)"))
  expect_error(plot_proportions(result, group = 1:3), class = "unalloy_error_argument")
  expect_error(plot_proportions(result, group = group[-3]), samples[3],
               class = "unalloy_error_argument")
})

test_that("the intercept is grey and takes no colour from the types", {
  bars <- layer_data(plot_proportions(result, what = "proportions_with_intercept"))
  grey <- bars[bars$fill == type_palette("Intercept"), ]
  expect_equal(sort(grey$ymax - grey$ymin), sort(unname(result$intercept_fraction)))
  expect_identical(type_palette(c("x", "Intercept", "y"))[c("x", "y")],
                   type_palette(c("x", "y")))
})

test_that("forty types have forty colours, and more are announced", {
  expect_length(unique(type_palette(40)), 40)
  expect_false(type_palette("Intercept") %in% type_palette(40))
  expect_message(type_palette(41), "40 colours for 41 types", class = "unalloy_message")
  expect_error(type_palette(NULL), class = "unalloy_error_argument")
  shares <- layer_data(plot_proportions(fit_of(n_types = 40, n_samples = 2), top = 40))
  expect_length(unique(shares$fill), 40)
})

test_that("long names lose their middle unless that makes two alike", {
  long <- paste0("a very long beginning of a name ", c("x", "y"))
  short <- unalloy:::shorten(c(long, "z"))
  expect_true(all(nchar(short) <= 30))
  expect_identical(substr(short, nchar(short), nchar(short)), c("x", "y", "z"))
  alike <- paste0("the same beginning ", 1:2, " and the same end of a name")
  expect_identical(unalloy:::shorten(alike), alike)
})

test_that("the fit panel counts every weighted gene and states the R2 of what it draws", {
  skip_if_not_installed("hexbin")
  weighted <- fit_of(weights = rep(c(1, 0, 0.5, 1), 100))
  used <- weighted$model$weights > 0
  observed <- log1p(weighted$counts$source[rownames(weighted$model$sources), ][used, ])
  fitted <- log1p(weighted$pred_counts[used, ])
  plot <- plot_fit(weighted)
  expect_equal(sum(plot$data$points), length(observed))
  label <- layer_data(plot, 3)$label
  r_squared <- stats::cor(as.vector(observed), as.vector(fitted))^2
  expect_identical(label, paste0("R\u00b2 = ", format(round(r_squared, 3))))
  # hexagons stand where the points are
  weights <- plot$data$points / sum(plot$data$points)
  expect_equal(sum(weights * plot$data$x), mean(fitted), tolerance = 1e-3)
  expect_equal(sum(weights * plot$data$y), mean(observed), tolerance = 1e-3)
})

test_that("points fall into the hexagon whose centre is nearest", {
  withr::local_seed(1)
  x <- stats::runif(500, -3, 3)
  y <- stats::runif(500, -3, 3)
  hexes <- unalloy:::hex_bins(x, y, 0.7, 0.7)
  expect_equal(sum(hexes$points), 500)
  nearest <- vapply(seq_along(x), function(i) {
    which.min((hexes$x - x[i])^2 + (hexes$y - y[i])^2)
  }, 0L)
  expect_identical(tabulate(nearest, nrow(hexes)), hexes$points)
  expect_lt(max(sqrt((hexes$x[nearest] - x)^2 + (hexes$y[nearest] - y)^2)), 0.7 / sqrt(3) + 1e-9)
})

test_that("residuals are Pearson residuals of all points, with their median", {
  skip_if_not_installed("hexbin")
  plot <- plot_residuals(result)
  residuals <- unalloy:::soft_log10(residuals(result, "pearson"))
  expect_equal(sum(plot$data$points), length(residuals))
  expect_equal(range(plot$data$y), range(residuals), tolerance = 0.05)
  line <- layer_data(plot, 3)
  middle <- which.min(abs(line$x - stats::median(log10(fitted(result)))))
  near <- abs(log10(fitted(result)) - line$x[middle]) < plot$data$width[1]
  expect_lt(abs(line$y[middle] - stats::median(residuals[near])), 3 * plot$data$height[1])
})

test_that("genes with a fitted count of zero are announced", {
  skip_if_not_installed("hexbin")
  signatures <- cbind(a = c(1, 2, 3, 0), b = c(3, 1, 1, 0))
  bulk <- cbind(s1 = c(50, 40, 60, 7), s2 = c(90, 30, 40, 0))
  rownames(signatures) <- rownames(bulk) <- paste0("gene", 1:4)
  empty <- suppressWarnings(deconvolve_bulk(signatures, bulk, intercept = FALSE, verbose = FALSE))
  expect_match(plot_residuals(empty)$labels$caption, "Not drawn: 2 with a fitted count of 0")
})

test_that("correlations show where they are negative or not defined", {
  odd <- result
  odd$metrics$gene_correlation[1:3] <- c(-0.5, NA, NaN)
  plot <- plot_correlation(odd)
  points <- layer_data(plot, 3)
  expect_equal(nrow(points), 8)
  expect_true(-0.5 %in% points$y)
  expect_equal(sum(points$shape == 4), 2)
  mean_line <- layer_data(plot, 1)$yintercept
  expect_equal(unique(mean_line), mean(odd$metrics$gene_correlation, na.rm = TRUE))
  expect_match(plot$labels$caption, "not defined")
})

test_that("intercepts are drawn from the lowest to the highest", {
  plot <- plot_intercept(result)
  points <- layer_data(plot, 2)
  expect_equal(points$y[order(points$x)], sort(unname(result$intercept_fraction)))
  expect_error(plot_intercept(fit_of(intercept = FALSE)), class = "unalloy_error_no_intercept")
})

test_that("the heatmap's tiles hold the shares, the intercept is points above them", {
  # the shares, as named by the axes
  drawn <- function(plot, shares) {
    axis <- function(which) {
      scale <- ggplot2::layer_scales(plot)[[which]]
      stats::setNames(scale$get_labels(), scale$get_breaks())
    }
    at <- cbind(axis("y")[as.character(plot$data$y)], axis("x")[as.character(plot$data$x)])
    expect_identical(plot$data$value, unname(shares[at]))
  }
  plot <- plot_heatmap(result, what = "proportions")
  drawn(plot, result$proportions)
  whole <- plot_heatmap(result, what = "proportions_with_intercept")
  drawn(whole, result$proportions_with_intercept)
  # the row of the intercept is the highest
  expect_identical(whole$data$y[1], nrow(result$proportions_with_intercept))
  points <- Filter(function(layer) inherits(layer$geom, "GeomPoint"), plot$layers)[[1]]$data
  intercept <- result$intercept_fraction[ggplot2::layer_scales(plot)$x$get_labels()]
  # in proportion to the largest
  height <- points$y - points$from
  expect_equal(height / max(height), unname(intercept / max(intercept)))
  tracks <- plot_heatmap(result, group = list(sex = rep(c("f", "m"), 4), batch = gl(4, 2)))
  expect_true(all(c("sex", "batch") %in% ggplot2::layer_scales(tracks)$y$get_labels()))
  expect_error(plot_heatmap(result, group = list(sex = "f")), class = "unalloy_error_argument")
})

test_that("bars beyond `top` are one, colours can be given, axes are in percent", {
  plot <- plot_proportions(result, what = "proportions", top = 2)
  largest <- names(sort(-rowMeans(result$proportions)))[1:2]
  expect_setequal(levels(factor(plot$data$type)), c(largest, "3 other types"))
  sums <- tapply(plot$data$share, plot$data$sample, sum)
  expect_equal(as.vector(sums), rep(1, 8))
  given <- plot_proportions(result, colours = c("Type B" = "#123456"))
  expect_true("#123456" %in% layer_data(given)$fill)
  expect_match(ggplot2::layer_scales(plot)$y$get_labels()[2], "^[0-9.]+ %$")
  expect_error(plot_proportions(result, colours = c("Type Z" = "red")), "Type Z",
               class = "unalloy_error_argument")
})

test_that("intervals are those of confint(), and zeros are open triangles at their limit", {
  absent <- result
  expect_true(any(result$proportions == 0) || any(fit_of(n_types = 8)$proportions == 0))
  if (!any(result$proportions == 0)) absent <- fit_of(n_types = 8)
  intervals <- confint(absent, level = 0.9)
  plot <- plot_uncertainty(absent, level = 0.9)
  lines <- layer_data(plot, 1)
  points <- layer_data(plot, 2)
  expect_equal(sort(lines$xmax), sort(intervals$upper))
  expect_equal(sort(lines$xmin), sort(intervals$lower))
  zero <- intervals$estimate == 0
  expect_equal(sort(points$x[points$shape == 25]), sort(intervals$upper[zero]))
  expect_equal(sort(points$x[points$shape == 16]), sort(intervals$estimate[!zero]))
  expect_match(plot$labels$caption, "90 % upper limit")
})

test_that("intervals can be asked for by sample and type", {
  plot <- plot_uncertainty(result, samples = 2:3, types = c("Type A", "Type C"))
  expect_setequal(as.character(plot$data$sample), colnames(result$proportions)[2:3])
  expect_setequal(as.character(plot$data$type), c("Type A", "Type C"))
  # colours are those of the whole result
  expect_setequal(layer_data(plot, 2)$colour, type_palette(5)[c(1, 3)])
  expect_error(plot_uncertainty(result, types = "Type Z"), "\"Type E\"",
               class = "unalloy_error_argument")
  expect_error(plot_uncertainty(result, samples = "none"), class = "unalloy_error_argument")
})

test_that("every panel builds in silence for one sample, one type, and many samples", {
  skip_if_not_installed("hexbin")
  cases <- list(one_sample = fit_of(n_samples = 1), one_type = fit_of(n_types = 1, n_samples = 2),
                two = fit_of(n_types = 2, n_samples = 2), many = fit_of(n_samples = 200))
  pdf <- withr::local_tempfile(fileext = ".pdf")
  withr::with_pdf(pdf, for (case in cases) {
    for (plot in expect_silent(unclass(plot_deconvolution(case, type = "all")))) {
      expect_silent(print(plot))
    }
  })
  many <- plot_proportions(cases$many)
  expect_s3_class(many$theme$axis.text.x, "element_blank")
  expect_match(many$labels$x, "200 samples, names not shown")
})

test_that("plot_deconvolution() draws the panel that is asked for", {
  skip_if_not_installed("hexbin")
  built <- function(plot) lapply(seq_along(plot$layers), function(i) layer_data(plot, i))
  expect_identical(built(plot_deconvolution(result)), built(plot_proportions(result)))
  expect_identical(built(autoplot(result, type = "heatmap", order = "none")),
                   built(plot_heatmap(result, order = "none")))
  all <- plot_deconvolution(result, type = "all", order = "none", bins = 20)
  expect_named(all, setdiff(eval(formals(plot_deconvolution)$type), "all"))
  for (name in names(all)) {
    given <- list(order = "none", bins = 20)
    taken <- given[names(given) %in% names(formals(paste0("plot_", name)))]
    alone <- do.call(plot_deconvolution, c(list(result, type = name), taken))
    expect_identical(built(all[[name]]), built(alone), info = name)
  }
  expect_error(plot_deconvolution(result, type = "pie"), "\"heatmap\"",
               class = "unalloy_error_argument")
  expect_error(plot_deconvolution(result, hue = 1), "\"group\"",
               class = "unalloy_error_argument")
  expect_error(plot_deconvolution(result, "fit", NULL, 1), class = "unalloy_error_argument")
  expect_error(plot_deconvolution(list()), class = "unalloy_error_argument")
})

test_that("all panels go on one page, and what is left out is named", {
  skip_if_not_installed("hexbin")
  bare <- fit_of(keep_counts = FALSE, intercept = FALSE)
  warnings <- capture_warnings(some <- plot_deconvolution(bare, type = "all"))
  left_out <- c("fit", "residuals", "intercept", "uncertainty")
  for (name in left_out) {
    expect_match(warnings, paste0("The panel \"", name, "\" is left out"), all = FALSE)
  }
  expect_length(warnings, length(left_out))
  expect_named(some, c("proportions", "correlation", "heatmap"))
  expect_warning(expect_warning(
    plot_deconvolution(fit_of(intercept = FALSE, l2_lambda = 1), type = "all"),
    "no intercept", class = "unalloy_warning_panel"
  ), "without penalties", class = "unalloy_warning_panel")
  file <- withr::local_tempfile(fileext = ".pdf")
  ggsave(file, some, width = 8, height = 6)
  expect_gt(file.size(file), 1000)
})

test_that("counts can be given to a result without them", {
  skip_if_not_installed("hexbin")
  bare <- fit_of(keep_counts = FALSE)
  counts <- simulate_bulk(n_genes = 400, n_types = 5, n_samples = 8, seed = 1)$bulk_counts
  expect_error(plot_fit(bare), class = "unalloy_error_no_counts")
  shuffled <- counts[sample(nrow(counts)), 8:1]
  for (type in c("fit", "residuals", "uncertainty")) {
    expect_equal(plot_deconvolution(bare, type, shuffled)$data,
                 plot_deconvolution(result, type = type)$data)
  }
  expect_equal(plot_fit(bare, counts)$data, plot_fit(result)$data)
  expect_error(plot_fit(bare, counts[-1, ]), class = "unalloy_error_gene_names")
  expect_error(plot_fit(bare, counts[, -1]), class = "unalloy_error_argument")
})

test_that("plots become interactive", {
  skip_if_not_installed("plotly")
  skip_if_not_installed("hexbin")
  for (type in c("proportions", "heatmap", "correlation", "fit")) {
    page <- plotly::plotly_build(plotly::ggplotly(plot_deconvolution(result, type = type)))
    expect_gt(length(page$x$data), 1)
  }
})

test_that("samples without a type are drawn as such", {
  profiles <- cbind(a = c(1, 1, 0, 0, 0, 0, 0, 0), b = c(0, 0, 1, 1, 0, 0, 0, 0))
  bulk <- cbind(typed = c(9, 9, 1, 1, 0, 0, 0, 0), flat = c(0, 0, 0, 0, 5, 5, 5, 5),
                other = c(1, 2, 5, 4, 1, 0, 0, 0))
  rownames(profiles) <- rownames(bulk) <- letters[1:8]
  result <- suppressWarnings(deconvolve_bulk(profiles, bulk, intercept = TRUE, verbose = FALSE))
  bars <- layer_data(plot_proportions(result))
  expect_equal(sum(bars$ymax - bars$ymin), 2)
  expect_s3_class(plot_heatmap(result), "ggplot")
  expect_identical(nlevels(plot_uncertainty(result)$data$sample), 2L)
  expect_identical(attr(compare_deconvolutions(result, result), "agreement")$rmse, 0)
})
