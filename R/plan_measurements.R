#' How many measurements does a study need?
#'
#' Recovers held-out samples of data like those to come from growing numbers of
#' measurements, and reads from the curve where a target is reached.
#'
#' The curve is the mean of a score over splits ([benchmark_recovery()]), on the
#' scale of Fisher's z and made to rise (isotonic regression): more measurements
#' can't tell less, and a dip is noise. Between the numbers tried it is linear in
#' the logarithm of their number. Its band is Student's t over splits; the interval
#' for the number of measurements is where the band crosses the target. Splits share
#' samples, so the band tells how the answer hangs on the split and understates how
#' far other data would differ: a new study should take the upper end at least.
#'
#' The answer is as good as the likeness of `x` to the study: same tissue, same
#' platform, same noise. It is about the score asked for, so ask for one that
#' matters: `"sample_pearson"` of 0.9 is reached early, for genes differ from one
#' another in all samples alike; `"gene_pearson"` asks for differences between
#' samples.
#'
#' @param x Whole profiles of samples like those of the study; see
#'   [benchmark_recovery()].
#' @param target Value of the score to reach, above 0 and below 1.
#' @param score Name of a score, see [evaluate_recovery()].
#' @param method A method of [learn_decoder()] or [learn_dictionary()].
#' @param measurements Numbers to try. `NULL` takes eight from `sparsity` to the number
#'   of genes or 500, in equal ratios.
#' @param splits Number of splits, at least 3.
#' @param level Of the interval.
#' @param ... Further arguments of [benchmark_recovery()], such as `snr`, `type`,
#'   `train`, `size` and `seed`.
#' @param sparsity Modules per sample.
#' @return An object of class `measurement_plan`, a list:
#'   \item{measurements}{The number at which the mean reaches the target, `NA` if it
#'     does not.}
#'   \item{lower, upper}{Its interval; `NA` where the band does not reach the target
#'     among the numbers tried.}
#'   \item{curve}{Data frame: `measurements`, `mean`, `lower`, `upper`.}
#'   \item{benchmark}{The [recovery_benchmark].}
#'   \item{target, score, method, level}{The arguments.}
#' @section Errors: `unalloy_error_argument`; those of [benchmark_recovery()].
#' @seealso `vignette("how-many-measurements", "unalloy")`
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 120, n_samples = 80, seed = 1)
#' plan <- plan_measurements(
#'   log1p(sim$bulk_counts), target = 0.98, method = "svd_k", measurements = c(5, 10, 20, 40),
#'   splits = 3, size = 20, sparsity = 5, max_correlation = 0.5, seed = 1, verbose = FALSE
#' )
#' plan
#' plot(plan)
plan_measurements <- function(x, target = 0.9, score = "sample_pearson", method = "smaf",
                              measurements = NULL, splits = 5, level = 0.95, sparsity = 15, ...) {
  check_call()
  refuse_dots(..., .known = setdiff(arguments_of(benchmark_recovery), "methods"))
  target <- check_number(target, "target", 0, 1, above = TRUE)
  if (target == 1) {
    stop_user("argument", "`target` must be below 1.", x = "Noise keeps any score below it.")
  }
  score <- check_choice(score, utils::head(names(SCORE_NAMES), -1L), "score")
  method <- check_choice(method, RECOVERY_METHODS, "method")
  splits <- check_count(splits, "splits", 3, MOST_REPEATS)
  level <- check_number(level, "level", 0, 1)
  sparsity <- check_count(sparsity, "sparsity")
  if (is.null(measurements)) {
    most <- max(min(nrow(x), 500), sparsity)
    measurements <- unique(round(exp(seq(log(sparsity), log(most), length.out = 8))))
  }
  benchmark <- on_behalf(environment(), {
    benchmark_recovery(x, measurements, method, splits, sparsity = sparsity, ...)
  })
  failure <- stats::na.omit(benchmark$runs$failure)
  if (length(failure)) {
    stop_user("benchmark", "The recovery failed, so there is no curve.", x = failure[1L])
  }
  curve <- recovery_curve(benchmark$scores[benchmark$scores$score == score, ], level)
  structure(
    list(measurements = crossing(curve$measurements, curve$mean, target),
         lower = crossing(curve$measurements, curve$upper, target),
         upper = crossing(curve$measurements, curve$lower, target),
         curve = curve, benchmark = benchmark, target = target, score = score, method = method,
         level = level),
    class = "measurement_plan"
  )
}

# Mean and band by number of measurements, rising.
recovery_curve <- function(scores, level) {
  z <- lapply(split(scores$value, scores$measurements), function(r) atanh(pmin(r, 1 - 1e-12)))
  n <- lengths(z)
  centre <- vapply(z, mean, 0)
  half <- stats::qt((1 + level) / 2, n - 1) * vapply(z, stats::sd, 0) / sqrt(n)
  rising <- function(y) tanh(stats::isoreg(y)$yf)
  data.frame(measurements = as.double(names(z)), mean = rising(centre),
             lower = rising(centre - half), upper = rising(centre + half))
}

# Where a rising curve reaches the target, linear in the logarithm of x; the
# first x if it starts above, NA if it ends below.
crossing <- function(x, y, target) {
  at <- which(y >= target)[1L]
  if (is.na(at) || at == 1L) return(x[at])
  share <- (target - y[at - 1L]) / (y[at] - y[at - 1L])
  exp(log(x[at - 1L]) + share * (log(x[at]) - log(x[at - 1L])))
}

#' @rdname plan_measurements
#' @export
print.measurement_plan <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  tried <- range(x$curve$measurements)
  shown <- function(value) {
    if (is.na(value)) return(paste("more than", count_text(tried[2L])))
    if (value <= tried[1L]) return(paste("at most", count_text(tried[1L])))
    count_text(ceiling(value))
  }
  cat("Measurements for a ", sub(", mean$", "", SCORE_NAMES[[x$score]]), " of ", x$target, " by ",
      METHOD_NAMES[[x$method]], ": ", shown(x$measurements), "\n", 100 * x$level,
      " % interval: ", shown(x$lower), " to ", shown(x$upper), "; take the upper end\n",
      "From ", plural(x$benchmark$plan$splits, "split"), " with ",
      plural(x$benchmark$plan$n_train, "training sample"), ", ",
      if (is.finite(x$benchmark$plan$snr)) paste("signal to noise", x$benchmark$plan$snr)
      else "no noise", "\n", sep = "")
  if (is.na(x$measurements)) {
    cat("The target was not reached: the best mean is ", format(max(x$curve$mean), digits = 3),
        ". What the method can't say, more measurements don't tell.\n", sep = "")
  }
  invisible(x)
}

#' @rdname plan_measurements
#' @export
plot.measurement_plan <- function(x, ...) {
  refuse_dots(...)
  marks <- stats::na.omit(data.frame(at = c(x$lower, x$measurements, x$upper),
                                     width = c(0.4, 0.8, 0.4)))
  ggplot(x$curve, aes(.data$measurements, .data$mean)) +
    geom_hline(yintercept = x$target, linetype = "dashed", colour = "grey40") +
    geom_segment(aes(x = .data$at, xend = .data$at, y = -Inf, yend = x$target), marks,
                 colour = TYPE_COLOURS[4L], linewidth = marks$width, inherit.aes = FALSE) +
    geom_line(colour = TYPE_COLOURS[1L], linewidth = 0.7) +
    geom_linerange(aes(ymin = .data$lower, ymax = .data$upper), colour = TYPE_COLOURS[1L]) +
    geom_point(colour = TYPE_COLOURS[1L], size = 1.8) +
    scale_x_continuous(trans = "log10", breaks = x$curve$measurements, labels = count_text) +
    labs(title = "How many measurements?",
         subtitle = paste0(METHOD_NAMES[[x$method]], ", target ", x$target),
         x = "Measurements", y = SCORE_NAMES[[x$score]],
         caption = paste0("Bars: ", 100 * x$level, " % intervals over ",
                          plural(x$benchmark$plan$splits, "split"),
                          if (!is.na(x$measurements)) {
                            ". Orange: where curve and band reach the target."
                          })) +
    theme_unalloy()
}

#' @rdname plan_measurements
#' @param object An object of class `measurement_plan`.
#' @export
autoplot.measurement_plan <- function(object, ...) {
  refuse_dots(..., .to = plot.measurement_plan)
  plot(object, ...)
}
