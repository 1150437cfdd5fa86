# The class of learn_decoder().

#' Decoders from measurements to profiles
#'
#' What [learn_decoder()] returns. It is a plain list: `saveRDS()` keeps it, and
#' [recover_profiles()] applies it anywhere.
#'
#' @details
#' A `decoder` is a list:
#' \describe{
#'   \item{`weights`}{Matrices: `slope` (genes × measurements; 0 without ridge) and `spread`
#'     (directions × measurements, whose square sums to the leverage) of ridge; for bells
#'     `coordinates` (coordinates × measurements), `landmarks` (coordinates ×
#'     landmarks), `coefficients` (genes × landmarks) and `certainty` (landmarks ×
#'     landmarks); for networks `coordinates` (inputs × measurements).}
#'   \item{`mean`, `centre`}{Means of the training samples, per gene and per
#'     measurement.}
#'   \item{`genes`}{Data frame, a row per gene: `gene`, `sd` (standard deviation in the
#'     training samples), `error` (root mean squared error of held-out samples, noise
#'     included), `explained` (1 - error²/sd²; below 0 the gene's mean would have
#'     been better) and `error_sd` (s of *Standard errors* in [learn_decoder()]).}
#'   \item{`trials`}{Data frame: what was tried, ridge first. `sharpness` of the bells
#'     (1/width², in units of one over the variance between samples), `penalty`,
#'     `error` (held-out squared error per sample, summed over genes), `chosen`.}
#'   \item{`A`}{The measurements that it is for.}
#'   \item{`samples`, `usual_distance`, `prior`, `spread_weight`}{Number of training
#'     samples; mean leverage of held-out ones; variance of the bells far from all
#'     landmarks; omega of *Standard errors* in [learn_decoder()].}
#'   \item{`settings`}{The arguments.}
#' }
#' Networks have besides:
#' \describe{
#'   \item{`network`}{`architecture` (inputs, `hidden` layers, genes, `dropout`), `scale` (s in
#'     x_hat = x_mean + slope (y - y_mean) + s · mean of networks), and `members`, a list
#'     of weights, layers numbered from the input, per network.}
#'   \item{`convergence`}{Data frame with a row per network and pass: `member`, `epoch`, `train`
#'     and `validation` (mean loss per sample: squared error summed over genes, or 1 - r),
#'     `seconds`.}
#'   \item{`members`}{Data frame with a row per network: `start` and `loss` (on its held-out
#'     samples before the first step and with the weights that are kept), `best_epoch` (0
#'     for the start), `epochs`, `reason` (`"patience"`, `"max_epochs"`, `"interrupted"`),
#'     `skipped` (steps without a finite gradient, which were left out).}
#'   \item{`tuning`}{Data frame of what `tune` asked for: `learning_rate`, `decay`, `loss`,
#'     `start`, `best_epoch`, `epochs`, `chosen`; `NA` for a training that diverged.}
#'   \item{`recovery`}{Modules and scaling, for `input = "recovered"`.}
#'   \item{`training`}{Of an interrupted training: what [continue_training()] needs.}
#' }
#'
#' @param x,object An object of class `decoder`.
#' @param type `"training"`: the loss of training and held-out samples by pass, for networks;
#'   `"genes"`: by standard deviation of a gene, the share of its variance that is explained
#'   in samples that were not seen.
#' @param ... None: other arguments are refused.
#' @return `print()`: the object, invisibly. `plot()`: a ggplot. `tidy()`: a data frame with a
#'   row per gene, as the part `genes`. `glance()`: one row: `method`, `n.measurements`,
#'   `n.genes`, `n.samples`, `snr`, `explained` (of the variance of held-out samples), and for
#'   networks `networks`, `best.epoch` (mean), `epochs` (sum), `seconds`, else `NA`.
#' @section Errors: `unalloy_error_argument` for a picture of what there is not.
#' @name decoder
#' @examples
#' sim <- simulate_bulk(n_genes = 150, n_samples = 100, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' A <- measurement_matrix(25, x, max_correlation = 0.4, seed = 1)
#' decoder <- learn_decoder(x, A, seed = 1)
#' decoder$trials
NULL

# Names of genes, made where there are none.
gene_labels <- function(x) x$genes %||% paste0("gene", seq_len(nrow(x$values)))

new_decoder <- function(found, x, A, settings) {
  genes <- gene_labels(x)
  weights <- c(found[c("slope", "spread")],
               found$bells[c("coordinates", "landmarks", "coefficients", "certainty")],
               found["coordinates"])
  weights <- weights[!vapply(weights, is.null, NA)]
  if (identical(settings$start, "zero")) weights$slope <- 0 * weights$slope
  for (part in intersect(c("slope", "spread", "coordinates"), names(weights))) {
    colnames(weights[[part]]) <- A$measurements
  }
  rownames(weights$slope) <- genes
  if (!is.null(weights$coefficients)) rownames(weights$coefficients) <- genes
  variance <- rowMeans((x$values - rowMeans(x$values))^2)
  structure(
    c(list(
      weights = weights, mean = stats::setNames(found$mean, genes),
      centre = stats::setNames(found$centre, A$measurements),
      genes = data.frame(
        gene = genes, sd = sqrt(variance), error = sqrt(found$gene_error),
        explained = ifelse(variance > 0, 1 - found$gene_error / variance, NA),
        error_sd = sqrt(found$error_variance)
      ),
      trials = if (is.null(found$members)) decoder_trials(found) else
        network_trials(found, settings),
      A = `dimnames<-`(A$weights, list(A$measurements, A$genes)),
      samples = ncol(x$values), usual_distance = found$usual_distance, prior = found$bells$prior,
      spread_weight = found$spread_weight, settings = settings
    ), if (!is.null(found$members)) network_parts(found)),
    class = "decoder"
  )
}

decoder_trials <- function(found) {
  trials <- data.frame(
    method = ifelse(is.nan(found$sharpness), "ridge", "kernel"),
    sharpness = ifelse(is.nan(found$sharpness), NA, found$sharpness),
    penalty = found$penalty, error = found$error
  )
  # without bells ridge is what remains, whatever was tried
  trials$chosen <- seq_len(nrow(trials)) == if (is.null(found$bells)) 1L
                                            else which.min(trials$error)
  trials
}

network_trials <- function(found, settings) {
  # on the same held-out samples, where networks start at ridge
  same <- settings$start == "ridge" && settings$loss == "mse"
  ridge <- if (same) mean(vapply(found$members, `[[`, 0, "start")) else found$ridge_error
  data.frame(method = c("ridge", "network"), sharpness = NA_real_,
             penalty = c(found$penalty, NA), error = c(ridge, found$error),
             chosen = c(FALSE, TRUE))
}

network_parts <- function(found) {
  members <- found$members
  kept <- function(name) vapply(members, function(member) member[[name]], members[[1L]][[name]])
  of <- function(member) c(member$start, member$trace$misfit)[member$best + 1]
  epochs <- vapply(members, function(member) length(member$trace$misfit), 0L)
  curves <- do.call(rbind, lapply(seq_along(members), function(k) {
    trace <- members[[k]]$trace
    data.frame(member = rep(k, epochs[k]), epoch = seq_len(epochs[k]), train = trace$train_misfit,
               validation = trace$misfit, seconds = trace$seconds)
  }))
  # what a training that goes on needs of members that came to their end
  parts <- c("trace", "weights", "start", "best", "reason", "skipped")
  plain <- lapply(members, function(member) member[parts])
  list(
    network = list(
      architecture = found$architecture, scale = found$scale,
      members = lapply(members, function(member) stats::setNames(member$weights, found$names))
    ),
    convergence = curves,
    members = data.frame(
      member = seq_along(members), start = kept("start"), loss = vapply(members, of, 0),
      best_epoch = kept("best"), epochs = epochs, reason = kept("reason"),
      skipped = kept("skipped")
    ),
    training = if (!is.null(found$unfinished)) {
      list(unfinished = found$unfinished, finished = plain[-length(plain)])
    }
  )
}

#' @rdname decoder
#' @export
print.decoder <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Decoder of ", plural(length(x$centre), "measurement"), " to ",
      plural(length(x$mean), "gene"), ": ", decoder_name(x), "\n",
      "Learned from ", plural(x$samples, "sample"), ", ",
      if (is.finite(x$settings$snr)) paste("signal to noise", x$settings$snr) else "no noise",
      "\n", sep = "")
  if (!is.null(x$members)) {
    cat("Best epoch ", paste(x$members$best_epoch, collapse = ", "), " of ",
        paste(x$members$epochs, collapse = ", "),
        if (!is.null(x$training)) ", interrupted" else "",
        if (all(x$members$best_epoch == 0)) "; networks were never better than their start",
        "\n", sep = "")
  }
  cat("Explains ", format(100 * max(explained_share(x), 0), digits = 3),
      " % of the variance of samples that were not seen", sep = "")
  if (x$settings$method != "ridge") {
    error <- x$trials$error
    cat(if (sum(x$trials$chosen & x$trials$method == "ridge")) {
      "; bells are no better than ridge alone"
    } else {
      more <- 100 * (error[1L] / error[x$trials$chosen] - 1)
      # where no pass was better they are alike, up to single precision
      if (abs(more) > 0.001) {
        paste0("; ridge alone leaves ", format(abs(more), digits = 2),
               if (more >= 0) " % more" else " % less")
      }
    })
  }
  cat("\n")
  invisible(x)
}

# Of the variance of samples that were not seen.
explained_share <- function(decoder) {
  1 - sum(decoder$genes$error^2) / sum(decoder$genes$sd^2)
}

decoder_name <- function(x) {
  if (is.null(x$members)) {
    landmarks <- ncol(x$weights$landmarks)
    return(if (is.null(landmarks)) "ridge" else paste0("ridge and ", plural(landmarks, "bell")))
  }
  sizes <- unlist(x$network$architecture[c("inputs", "hidden", "genes")])
  paste0(if (x$settings$start == "ridge") "ridge and ", plural(nrow(x$members), "network"), " (",
         paste(count_text(sizes), collapse = "-"),
         if (x$settings$input == "recovered") ", of recovered profiles", ")")
}

#' @rdname decoder
#' @export
tidy.decoder <- function(x, ...) {
  refuse_dots(...)
  x$genes
}

#' @rdname decoder
#' @export
glance.decoder <- function(x, ...) {
  refuse_dots(...)
  members <- x$members
  of <- function(value) if (is.null(members)) NA_real_ else value
  data.frame(method = x$settings$method, n.measurements = length(x$centre),
             n.genes = length(x$mean), n.samples = x$samples, snr = x$settings$snr,
             explained = explained_share(x), networks = of(nrow(members)),
             best.epoch = of(mean(members$best_epoch)), epochs = of(sum(members$epochs)),
             seconds = of(sum(x$convergence$seconds)))
}
