#' Pictures of autoencoders
#'
#' @param x An [autoencoder][autoencoder_methods].
#' @param type `"training"`: the mean loss per cell of training and held-out cells and the
#'   divergence, by pass, the best one marked; `"latent"`: cells along two numbers of the
#'   code; `"loadings"`: genes at both ends of each, for a linear decoder.
#' @param codes Numbers of the code to show: two for `"latent"`, by default those that
#'   diverge most from the prior.
#' @param colour For `"latent"`: a value per cell.
#' @param n For `"loadings"`: genes per number and end.
#' @param ... Not used; for agreement with the generic.
#' @return A ggplot.
#' @section Errors: `unalloy_error_argument`.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 100, n_types = 3, n_samples = 2, cells_per_type = 20, seed = 1)
#' counts <- sim$reference[Matrix::rowSums(sim$reference) > 0, ]
#' fit <- autoencode(counts, size = 3, hidden = 8, epochs = 20, seed = 1)
#' plot(fit)
#' plot(fit, "latent", colour = sim$cells$cell_type)
plot.autoencoder <- function(x, type = c("training", "latent", "loadings"), codes = NULL,
                             colour = NULL, n = 8, ...) {
  refuse_dots(...)
  type <- check_choice(type, c("training", "latent", "loadings"), "type")
  if (!is.null(colour) && type != "latent") {
    stop_user("argument", "`colour` is for `type = \"latent\"`.")
  }
  if (type == "loadings") basis(x)
  switch(
    type,
    training = plot_training(x),
    latent = plot_factor_pair(x, codes %||% leading_codes(x), colour),
    loadings = plot_factor_loadings(x, codes, check_count(n, "n"))
  )
}

leading_codes <- function(fit) {
  size <- code_divergence(fit) %||% apply(fit$coef, 1L, stats::var)
  sort(order(size, decreasing = TRUE)[1:2])
}

plot_training <- function(fit, .call = caller_env()) {
  trace <- fit$convergence
  if (!nrow(trace)) {
    stop_user("argument", "No epoch came to its end.", .call = .call)
  }
  curves <- c(train = "Training cells", validation = "Held-out cells", kl = "Divergence, held out")
  if (!length(fit$validation_cells)) curves <- curves["train"]
  if (!fit$architecture$variational) curves <- curves[setdiff(names(curves), "kl")]
  rows <- do.call(rbind, lapply(names(curves), function(name) {
    data.frame(epoch = trace$epoch, value = trace[[name]], curve = curves[[name]],
               panel = if (name == "kl") "Divergence" else "Loss")
  }))
  rows$curve <- factor(rows$curve, curves)
  rows$panel <- factor(rows$panel, c("Loss", "Divergence"))
  base <- ggplot(rows, aes(.data$epoch, .data$value, colour = .data$curve)) +
    geom_line(linewidth = 0.7) +
    facet_wrap(vars(.data$panel), scales = "free_y") +
    scale_types("colour", levels(rows$curve)) +
    labs(title = factor_title(fit), x = "Epoch", y = "Per cell, nats", colour = NULL) +
    theme_unalloy()
  if (is.na(fit$best_epoch)) return(base)
  base + ggplot2::geom_vline(xintercept = fit$best_epoch, linetype = 2, colour = "grey40") +
    labs(caption = paste0("Kept: epoch ", fit$best_epoch, "."))
}

#' @rdname plot.autoencoder
#' @param object The same as `x`.
#' @export
autoplot.autoencoder <- function(object, ...) {
  refuse_dots(..., .to = plot.autoencoder)
  plot(object, ...)
}
