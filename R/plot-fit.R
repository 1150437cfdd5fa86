# Panels of all genes and samples, as hexagons.

#' @rdname plot_deconvolution
#' @export
plot_fit <- function(result, observed_counts = NULL, bins = 100) {
  check_call()
  drawn <- count_hexes(result, observed_counts, bins, square = TRUE, function(observed, mean) {
    list(x = log1p(mean), y = log1p(observed))
  })
  hexes <- drawn$hexes
  r_squared <- correlation_of(drawn$moments)^2
  ticks <- scale_log1p(c(hexes$x, hexes$y))
  hex_plot(hexes) +
    geom_abline(linetype = "dashed", colour = "grey40") +
    annotate("text", x = 0, y = max(hexes$x, hexes$y), hjust = 0, vjust = 1, size = 3.8,
             label = paste0("R\u00b2 = ", format(round(r_squared, 3)))) +
    scale_x_continuous(breaks = ticks$at, labels = ticks$labels) +
    scale_y_continuous(breaks = ticks$at, labels = ticks$labels) +
    coord_fixed(xlim = range(0, hexes$x, hexes$y), ylim = range(0, hexes$x, hexes$y)) +
    labs(title = "Observed and fitted counts", x = "Fitted count (log1p)",
         y = "Observed count (log1p)",
         caption = paste0("R\u00b2: squared Pearson correlation of log1p values,\nall ",
                          count_text(sum(hexes$points)), " points. Dashed: identity."))
}

#' @rdname plot_deconvolution
#' @export
plot_residuals <- function(result, observed_counts = NULL, bins = 100) {
  check_call()
  drawn <- count_hexes(result, observed_counts, bins, square = FALSE, function(observed, mean) {
    seen <- mean > 0
    list(x = log10(mean[seen]), y = soft_log10((observed[seen] - mean[seen]) / sqrt(mean[seen])))
  })
  hexes <- drawn$hexes
  decades <- 10^seq_len(max(1, ceiling(max(abs(hexes$y)))))
  at <- c(-decades, 0, decades)
  tens <- seq(floor(min(hexes$x)), ceiling(max(hexes$x)))
  hex_plot(hexes) +
    geom_hline(yintercept = 0, linetype = "dashed", colour = "grey40") +
    geom_line(aes(.data$x, .data$y), running_median(hexes), colour = TYPE_COLOURS[4L],
              linewidth = 0.9) +
    scale_x_continuous(breaks = tens, labels = power_labels(10^tens)) +
    scale_y_continuous(breaks = soft_log10(at), labels = power_labels(at)) +
    labs(title = "Pearson residuals", x = "Fitted count", y = "(observed - fitted) / sqrt(fitted)",
         caption = paste0("Line: running median. Residuals are linear near 0, logarithmic beyond.",
                          if (drawn$left_out) paste0("\nNot drawn: ", count_text(drawn$left_out),
                                                     " with a fitted count of 0.")))
}

hex_plot <- function(hexes) {
  need_package("hexbin", "to draw hexagons")
  ggplot(hexes, aes(.data$x, .data$y)) +
    # geom_hex() would warn of the sizes, which its geom does read
    layer("hex", "identity", position = "identity", check.aes = FALSE,
          mapping = aes(fill = .data$points, width = .data$width, height = .data$height)) +
    scale_fill_viridis_c(trans = "log10", name = "Genes in\nsamples") +
    theme_unalloy()
}

# Log10 far from 0, linear near it, odd.
soft_log10 <- function(x) asinh(x / 2) / log(10)

power_labels <- function(x) {
  vapply(x, function(v) {
    if (abs(v) >= 1e5) format(v, scientific = TRUE) else count_text(v)
  }, "")
}

# Counts of 0, 1, 10, ... on the log1p scale.
scale_log1p <- function(values) {
  counts <- c(0, 10^seq(0, max(1, floor(log10(expm1(max(values)))))))
  list(at = log1p(counts), labels = power_labels(counts))
}

# Counts points per hexagon, over genes that carry weight, in blocks of samples.
# `points_of(observed, fitted)` gives x and y.
count_hexes <- function(result, observed_counts, bins, square, points_of, .call = caller_env()) {
  result <- with_counts(result, observed_counts, .call = .call)
  bins <- check_count(bins, "bins", 2, MOST_REPEATS, .call = .call)
  used <- result$model$weights > 0
  n_samples <- nrow(result$convergence)
  block_size <- max(1, floor(2e6 / length(used)))
  blocks <- split(seq_len(n_samples), (seq_len(n_samples) - 1) %/% block_size)
  width <- height <- NULL
  parts <- lapply(blocks, function(block) {
    points <- points_of(observed_counts(result, block, .call = .call)[used, ],
                        fitted(result, block)[used, ])
    if (is.null(width)) {
      span <- function(x) max(diff(range(x)), 1e-6)
      width <<- (if (square) span(c(points$x, points$y)) else span(points$x)) / bins
      height <<- if (square) width else span(points$y) / bins
    }
    list(hexes = hex_bins(points$x, points$y, width, height),
         moments = moments_of(points$x, points$y))
  })
  hexes <- do.call(rbind, lapply(parts, `[[`, "hexes"))
  hexes <- stats::aggregate(points ~ x + y, hexes, sum)
  hexes[c("width", "height")] <- list(width, height)
  moments <- pool_moments(do.call(rbind, lapply(parts, `[[`, "moments")))
  list(hexes = hexes, moments = moments, left_out = sum(used) * n_samples - sum(hexes$points))
}

# As correlation_of() takes them.
moments_of <- function(x, y) {
  dx <- x - mean(x)
  dy <- y - mean(y)
  cbind(length(x), mean(x), mean(y), sum(dx^2), sum(dy^2), sum(dx * dy))
}

# Centres of hexagons and the number of points in each.  Hexagons form two
# rectangular lattices, the second shifted by half a step; a point belongs to
# the nearer of its two centres.
hex_bins <- function(x, y, width, height) {
  u <- x / width
  v <- y / (height * sqrt(3))
  straight <- (u - round(u))^2 + 3 * (v - round(v))^2 <
    (u - floor(u) - 0.5)^2 + 3 * (v - floor(v) - 0.5)^2
  # twice the place in the lattice: whole numbers
  i <- ifelse(straight, 2 * round(u), 2 * floor(u) + 1)
  j <- ifelse(straight, 2 * round(v), 2 * floor(v) + 1)
  n_i <- max(i) - min(i) + 1
  points <- tabulate((j - min(j)) * n_i + i - min(i) + 1)
  cell <- which(points > 0L)
  data.frame(x = ((cell - 1) %% n_i + min(i)) / 2 * width,
             y = ((cell - 1) %/% n_i + min(j)) / 2 * height * sqrt(3), points = points[cell])
}

# Median of y along x, in steps of two hexagons, where there are enough points.
running_median <- function(hexes, enough = 30L) {
  step <- 2 * hexes$width[1L]
  columns <- split(hexes, round(hexes$x / step))
  columns <- Filter(function(column) sum(column$points) >= enough, columns)
  do.call(rbind, lapply(columns, function(column) {
    column <- column[order(column$y), ]
    half <- which(cumsum(column$points) >= sum(column$points) / 2)[1L]
    data.frame(x = round(column$x[1L] / step) * step, y = column$y[half])
  }))
}
