#' @rdname survival_comparison
#' @importFrom ggplot2 coord_cartesian geom_step
#' @export
plot.survival_comparison <- function(x, times = NULL, interval = TRUE, ...) {
  refuse_dots(...)
  interval <- check_flag(interval, "interval")
  last <- max(x$data$time)
  if (is.null(times)) {
    times <- pretty(c(0, last), 6)
    times <- times[times <= last]
  } else if (!is.numeric(times) || !length(times) || anyNA(times) || any(times < 0)) {
    stop_user("argument", "`times` must be numbers of 0 and more.",
              x = paste0("It is ", describe(times), "."))
  }
  groups <- levels(x$curves$group)
  colours <- stats::setNames(unname(type_palette(length(groups))), groups)
  row <- 0.075
  risk <- expand.grid(group = factor(groups, groups), time = times)
  risk$at_risk <- vapply(seq_len(nrow(risk)), function(i) {
    sum(x$data$time[x$data$group == risk$group[i]] >= risk$time[i])
  }, 0)
  risk$height <- -0.12 - row * as.integer(risk$group)
  names <- data.frame(group = factor(groups, groups),
                      height = -0.12 - row * seq_along(groups))
  # room for the names of groups, left of time 0
  left <- max(0.16, 0.05 + 0.0125 * max(nchar(shorten(groups, 16L))))
  censored <- censoring_marks(x)
  ggplot(x$curves, aes(.data$time, .data$survival, colour = .data$group)) +
    (if (interval) geom_ribbon(aes(ymin = .data$lower, ymax = .data$upper, fill = .data$group),
                               stepped(x$curves), colour = NA, alpha = 0.13)) +
    geom_step(linewidth = 0.6) +
    geom_point(data = censored, shape = 3, size = 0.9, stroke = 0.35) +
    geom_text(aes(.data$time, .data$height, label = .data$at_risk, colour = .data$group), risk,
              size = 2.9, show.legend = FALSE) +
    geom_text(aes(-0.035 * last, .data$height, label = shorten(as.character(.data$group), 16L),
                  colour = .data$group), names, size = 2.9, hjust = 1, show.legend = FALSE) +
    annotate("text", x = -0.035 * last, y = -0.12, label = "At risk", size = 2.9, hjust = 1,
             colour = "grey30") +
    scale_discrete_manual(c("colour", "fill"), values = colours, name = NULL) +
    scale_x_continuous(breaks = times, minor_breaks = NULL, expand = expansion(c(0.02, 0.03))) +
    scale_y_continuous(breaks = seq(0, 1, 0.25), minor_breaks = NULL,
                       labels = function(y) paste0(100 * y, " %")) +
    coord_cartesian(xlim = c(-left * last, last),
                    ylim = c(-0.12 - row * (length(groups) + 0.3), 1), expand = FALSE) +
    theme_unalloy() + theme(legend.position = "top") +
    labs(title = "Survival", x = "Time", y = NULL,
         subtitle = paste0("Log-rank p", p_text(x$logrank[["p_value"]]), ", ",
                           plural(nrow(x$data), "sample"), ", ",
                           plural(sum(x$data$event), "event")),
         caption = paste0("Kaplan-Meier", if (interval) {
           paste0(", with intervals of ", format(100 * x$level), " %")
         }, ". Crosses: end of observation."))
}

#' @rdname survival_comparison
#' @export
autoplot.survival_comparison <- function(object, ...) {
  refuse_dots(..., .to = plot.survival_comparison)
  plot(object, ...)
}

# Intervals as steps: each value holds until the next time.
stepped <- function(curves) {
  parts <- lapply(split(curves, curves$group), function(part) {
    n <- nrow(part)
    part$lower[is.na(part$lower)] <- 0
    part$upper[is.na(part$upper)] <- part$survival[is.na(part$upper)]
    out <- part[rep(seq_len(n), each = 2L)[-1L], ]
    out <- out[seq_len(2L * n - 1L), ]
    out$time <- part$time[rep(seq_len(n), each = 2L)[-1L]]
    kept <- rep(seq_len(n), each = 2L)[-2L * n]
    out$lower <- part$lower[kept]
    out$upper <- part$upper[kept]
    out
  })
  do.call(rbind, parts)
}

# Where observations end, on their curves.
censoring_marks <- function(x) {
  ended <- x$data[x$data$event == 0L, c("time", "group")]
  parts <- split(x$curves, x$curves$group)
  ended$survival <- vapply(seq_len(nrow(ended)), function(i) {
    curve <- parts[[as.character(ended$group[i])]]
    curve$survival[max(which(curve$time <= ended$time[i]))]
  }, 0)
  ended
}
