#' Pictures of latent factors
#'
#' @param x A [latent_factors][latent_factors_methods] fit.
#' @param type `"factors"`: cells along two of them; `"loadings"`: the genes at both
#'   ends of each; `"size"`: standard deviation over all entries of what each factor
#'   adds; `"trace"`: the objective by iteration; `"choice"`: scores of the ranks and
#'   penalties that were tried.
#' @param factors Factors to show, by number: two for `"factors"`.
#' @param colour For `"factors"`: a value per cell.
#' @param n For `"loadings"`: genes per factor and end.
#' @param ... Not used; for agreement with the generic.
#' @return A ggplot.
#' @section Errors: `unalloy_error_argument`.
#' @importFrom ggplot2 geom_errorbar
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 12, seed = 1)
#' fit <- latent_factors(log1p(sim$bulk_counts), rank = 3)
#' plot(fit)
#' plot(fit, "loadings", n = 4)
plot.latent_factors <- function(x, type = c("factors", "loadings", "size", "trace", "choice"),
                                factors = NULL, colour = NULL, n = 8, ...) {
  refuse_dots(...)
  type <- check_choice(type, c("factors", "loadings", "size", "trace", "choice"), "type")
  if (!is.null(colour) && type != "factors") {
    stop_user("argument", "`colour` is for `type = \"factors\"`.")
  }
  switch(
    type,
    factors = plot_factor_pair(x, factors %||% 1:2, colour),
    loadings = plot_factor_loadings(x, factors, check_count(n, "n")),
    size = plot_factor_sizes(x),
    trace = plot_factor_trace(x),
    choice = plot_factor_choice(x)
  )
}

factor_numbers <- function(factors, fit, .call = caller_env()) {
  if (!is.numeric(factors) || anyNA(factors) || !all(factors %in% seq_len(fit$rank))) {
    stop_user("argument", "`factors` must be numbers of factors in the fit.",
              x = paste0("It is ", describe(factors), "; there are ", fit$rank, "."),
              .call = .call)
  }
  factors
}

factor_title <- function(fit) paste0("Model \"", fit$model, "\", rank ", fit$rank)

plot_factor_pair <- function(fit, factors, colour, .call = caller_env()) {
  factors <- factor_numbers(factors, fit, .call = .call)
  if (length(factors) != 2L) {
    stop_user("argument", "`factors` must be two numbers.",
              x = paste0("There are ", length(factors), "."), .call = .call)
  }
  cells <- data.frame(first = fit$coef[factors[1L], ], second = fit$coef[factors[2L], ])
  size <- if (nrow(cells) > 1000L) 0.5 else 1.5
  base <- ggplot(cells, aes(.data$first, .data$second))
  if (is.null(colour)) {
    base <- base + geom_point(size = size, colour = TYPE_COLOURS[1L])
  } else {
    if (length(colour) != nrow(cells)) {
      stop_user("argument", "`colour` must have a value per cell.",
                x = paste0("It has ", length(colour), "; there are ", plural(nrow(cells), "cell"),
                           "."), .call = .call)
    }
    cells$colour <- if (is.numeric(colour)) colour else factor(colour)
    base <- ggplot(cells, aes(.data$first, .data$second, colour = .data$colour)) +
      geom_point(size = size)
    base <- if (is.numeric(colour)) {
      base + ggplot2::scale_colour_gradient(low = "grey85", high = TYPE_COLOURS[1L], name = NULL)
    } else {
      base + scale_types("colour", levels(cells$colour)) + labs(colour = NULL)
    }
  }
  base + labs(title = factor_title(fit), x = rownames(fit$coef)[factors[1L]],
              y = rownames(fit$coef)[factors[2L]]) + theme_unalloy()
}

plot_factor_loadings <- function(fit, factors, n) {
  factors <- factor_numbers(factors %||% seq_len(min(fit$rank, 6L)), fit)
  genes <- rownames(fit$basis) %||% as.character(seq_len(nrow(fit$basis)))
  rows <- do.call(rbind, lapply(factors, function(k) {
    order <- order(fit$basis[, k])
    at <- unique(c(utils::head(order, n), utils::tail(order, n)))
    data.frame(gene = genes[at], factor = colnames(fit$basis)[k], value = fit$basis[at, k],
               place = paste(colnames(fit$basis)[k], formatC(seq_along(at), width = 6, flag = "0")))
  }))
  rows$factor <- factor(rows$factor, colnames(fit$basis)[factors])
  labels <- stats::setNames(rows$gene, rows$place)
  ggplot(rows, aes(.data$value, .data$place, fill = .data$value > 0)) +
    geom_col(width = 0.7) +
    facet_wrap(vars(.data$factor), scales = "free") +
    scale_y_discrete(labels = labels) +
    scale_fill_manual(values = c("TRUE" = TYPE_COLOURS[1L], "FALSE" = TYPE_COLOURS[2L]),
                               guide = "none") +
    labs(title = "Loadings", x = NULL, y = NULL) + theme_unalloy()
}

plot_factor_sizes <- function(fit) {
  rows <- data.frame(factor = seq_len(fit$rank), size = sqrt(factor_squares(fit)))
  ggplot(rows, aes(.data$factor, .data$size)) +
    geom_col(fill = TYPE_COLOURS[1L], width = 0.7) +
    scale_x_continuous(breaks = function(range) unique(round(pretty(range)))) +
    labs(title = factor_title(fit), x = "Factor",
         y = if (fit$model == "ppca") "Standard deviation" else "Standard deviation, log scale") +
    theme_unalloy()
}

plot_factor_trace <- function(fit) {
  trace <- fit$trace
  last <- trace$objective[nrow(trace)]
  trace$left <- pmax(abs(trace$objective - last) / abs(last), 1e-12)
  ggplot(trace[-nrow(trace), ], aes(.data$iteration, .data$left)) +
    geom_line(colour = TYPE_COLOURS[1L], linewidth = 0.7) +
    scale_y_continuous(trans = "log10") +
    labs(title = factor_title(fit), x = "Iteration", y = "Distance to the last value, relative",
         caption = paste0(if (fit$converged) "Converged" else "Not converged", " at ",
                          format(last, digits = 8), ".")) +
    theme_unalloy()
}

plot_factor_choice <- function(fit, .call = caller_env()) {
  if (is.null(fit$choice)) {
    stop_user("argument", "Nothing was chosen: rank and penalty were given.", .call = .call)
  }
  rows <- fit$choice
  by_penalty <- length(unique(rows$penalty)) > 1L
  rows$panel <- if (by_penalty) ifelse(rows$rank == max(rows$rank), "Penalty", "Rank") else "Rank"
  panels <- list(if (by_penalty) {
    part <- rows[rows$rank == max(rows$rank), ]
    cbind(part, at = part$penalty, what = paste0("Penalty, at rank ", max(rows$rank)))
  }, if (length(unique(rows$rank)) > 1L) {
    part <- if (by_penalty) {
      best <- rows$penalty[rows$chosen]
      rows[rows$penalty == best, ]
    } else {
      rows
    }
    cbind(part, at = part$rank, what = "Rank")
  })
  both <- do.call(rbind, panels)
  ggplot(both, aes(.data$at, .data$score)) +
    geom_line(colour = "grey60") +
    geom_errorbar(aes(ymin = .data$score - .data$error, ymax = .data$score + .data$error),
                  colour = "grey60", width = 0) +
    geom_point(aes(colour = .data$chosen), size = 2) +
    scale_colour_manual(values = c("TRUE" = TYPE_COLOURS[4L], "FALSE" = "grey40"),
                                 guide = "none") +
    scale_x_continuous(trans = "log10") +
    facet_wrap(vars(.data$what), scales = "free_x") +
    labs(title = factor_title(fit), x = NULL,
         y = if (fit$model == "ppca") "- squared error of held-out entries"
             else "Log-probability of a held-out molecule") +
    theme_unalloy()
}

#' @rdname plot.latent_factors
#' @param object The same as `x`.
#' @export
autoplot.latent_factors <- function(object, ...) {
  refuse_dots(..., .to = plot.latent_factors)
  plot(object, ...)
}
