# The class of learn_decoder().

#' Decoders from measurements to profiles
#'
#' What [learn_decoder()] returns. It is a plain list: `saveRDS()` keeps it, and
#' [recover_profiles()] applies it anywhere.
#'
#' @details
#' A `decoder` is a list:
#' \describe{
#'   \item{`weights`}{Matrices: `slope` (genes × measurements) and `spread` (directions
#'     × measurements, whose square sums to the leverage) of ridge; for bells
#'     `coordinates` (coordinates × measurements), `landmarks` (coordinates ×
#'     landmarks), `coefficients` (genes × landmarks) and `certainty` (landmarks ×
#'     landmarks).}
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
#'
#' @param x An object of class `decoder`.
#' @param ... None: other arguments are refused.
#' @return `print()`: the object, invisibly.
#' @name decoder
#' @examples
#' sim <- simulate_bulk(n_genes = 150, n_samples = 100, seed = 1)
#' x <- log1p(sim$bulk_counts)
#' A <- measurement_matrix(25, x, max_correlation = 0.4, seed = 1)
#' decoder <- learn_decoder(x, A, seed = 1)
#' decoder$trials
NULL

DECODER_METHODS <- c("kernel", "ridge")

new_decoder <- function(found, x, A, settings) {
  genes <- x$genes %||% paste0("gene", seq_len(nrow(x$values)))
  weights <- c(found[c("slope", "spread")],
               found$bells[c("coordinates", "landmarks", "coefficients", "certainty")])
  for (part in intersect(c("slope", "spread", "coordinates"), names(weights))) {
    colnames(weights[[part]]) <- A$measurements
  }
  rownames(weights$slope) <- genes
  if (!is.null(weights$coefficients)) rownames(weights$coefficients) <- genes
  variance <- rowMeans((x$values - rowMeans(x$values))^2)
  trials <- data.frame(
    method = ifelse(is.nan(found$sharpness), "ridge", "kernel"),
    sharpness = ifelse(is.nan(found$sharpness), NA, found$sharpness),
    penalty = found$penalty, error = found$error
  )
  # without bells ridge is what remains, whatever was tried
  trials$chosen <- seq_len(nrow(trials)) == if (is.null(found$bells)) 1L
                                            else which.min(trials$error)
  structure(
    list(
      weights = weights, mean = stats::setNames(found$mean, genes),
      centre = stats::setNames(found$centre, A$measurements),
      genes = data.frame(
        gene = genes, sd = sqrt(variance), error = sqrt(found$gene_error),
        explained = ifelse(variance > 0, 1 - found$gene_error / variance, NA),
        error_sd = sqrt(found$error_variance)
      ),
      trials = trials,
      A = `dimnames<-`(A$weights, list(A$measurements, A$genes)),
      samples = ncol(x$values), usual_distance = found$usual_distance, prior = found$bells$prior,
      spread_weight = found$bells$spread_weight %||% 1,
      settings = settings
    ),
    class = "decoder"
  )
}

#' @rdname decoder
#' @export
print.decoder <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  landmarks <- ncol(x$weights$landmarks)
  cat("Decoder of ", plural(length(x$centre), "measurement"), " to ",
      plural(length(x$mean), "gene"), ": ",
      if (is.null(landmarks)) "ridge" else paste0("ridge and ", plural(landmarks, "bell")), "\n",
      "Learned from ", plural(x$samples, "sample"), ", ",
      if (is.finite(x$settings$snr)) paste("signal to noise", x$settings$snr) else "no noise",
      "\n", sep = "")
  share <- 1 - sum(x$genes$error^2) / sum(x$genes$sd^2)
  cat("Explains ", format(100 * max(share, 0), digits = 3),
      " % of the variance of samples that were not seen", sep = "")
  if (x$settings$method == "kernel") {
    error <- x$trials$error
    cat(if (is.null(landmarks)) "; bells are no better than ridge alone"
        else paste0("; ridge alone leaves ",
                    format(100 * (error[1L] / error[x$trials$chosen] - 1), digits = 2), " % more"))
  }
  cat("\n")
  invisible(x)
}
