# What is measured in samples, from whatever result it comes: the face that verbs on
# groups, subtypes and survival have.  A `measured` is a list:
#   blocks   one per cell type (one alone for all else), each a list:
#              type         its name, or NA
#              values       features x samples; NA where a type is not in a sample
#              error        variances of their errors that no two samples share, or NULL
#              reliability  features x samples, or NULL
#              shared       what errors that all samples share move (see
#                           within_cohort()), or NULL: `moves`, errors x features x samples,
#                           and `log_covariance`
#              gene_reliability  one number per feature, see expression_reliability()
#              left_out     features below the reliability asked for
#   noun     what a feature is: "type", "gene", "component", "factor" or "feature"
#   unit     of the values, for axes
#   samples, sample_data

MEASURED <- c("deconvolution", "cell_type_expression", "nmf_fit", "latent_factors")

new_measured <- function(blocks, noun, unit, samples, sample_data) {
  structure(list(blocks = blocks, noun = noun, unit = unit, samples = samples,
                 sample_data = sample_data), class = "measured")
}

measured_block <- function(values, type = NA_character_, error = NULL, reliability = NULL,
                           gene_reliability = NULL, left_out = 0L) {
  list(type = type, values = values, error = error, reliability = reliability,
       gene_reliability = gene_reliability, left_out = left_out)
}

# Names of the samples of a result.
samples_of <- function(x, .call = caller_env()) {
  if (inherits(x, "deconvolution")) {
    check_intact(x, "x", .call, likelihood = FALSE)
    return(x$convergence$sample)
  }
  if (inherits(x, "cell_type_expression")) return(unclass(x)$samples)
  if (inherits(x, "subtypes")) return(names(x$assignment))
  if (inherits(x, c("nmf_fit", "latent_factors"))) {
    return(sample_names(colnames(x$coef), ncol(x$coef), .call = .call))
  }
  stop_user("argument", "`x` must be a result that has samples.",
            x = paste0("It is ", describe(x), "."),
            i = "A deconvolution, expression per type, factorisation, factors or subtypes.",
            .call = .call)
}

# `how`: what, scale, errors, variance, types, min_reliability, offset, threads.
measured_values <- function(x, how, .call = caller_env()) {
  if (inherits(x, "measured")) return(x)
  if (inherits(x, "deconvolution")) return(measured_shares(x, how, .call))
  if (inherits(x, "cell_type_expression")) return(measured_expression(x, how, .call))
  if (inherits(x, "nmf_fit")) return(measured_components(x, how, .call))
  for (idle in c("what", "scale")) {
    if (!is.null(how[[idle]])) {
      stop_user("argument", paste0("`", idle, "` is for shares of cell types and components."),
                x = paste0("`x` is ", describe(x), "."), .call = .call)
    }
  }
  if (inherits(x, "latent_factors")) {
    values <- x$coef
    colnames(values) <- samples_of(x, .call)
    return(new_measured(list(measured_block(values)), "factor", "Factor", colnames(values),
                        x$sample_data))
  }
  measured_matrix(x, .call)
}

measured_shares <- function(x, how, .call) {
  check_intact(x, "x", .call, likelihood = FALSE)
  what <- share_asked_for(how$what, x, .call = .call, choices = SHARES[1:2])
  scale <- check_choice(how$scale %||% "share", SHARE_SCALES, "scale", .call = .call)
  values <- x[[what]]
  found <- !is.na(colSums(values))
  block <- measured_block(values)
  # errors that a network knows of are those that all samples share
  if (how$errors && !is_predicted(x)) {
    need_unpenalised(x, .call)
    within <- within_cohort(x[which(found)], what, how$variance, how$threads, .call)
    block$error <- 0 * values
    block$error[, found] <- apply(within$covariance, 3L, function(v) pmax(diag(v), 0))
    moves <- array(0, c(dim(within$moves)[1:2], ncol(values)))
    moves[, , found] <- within$moves
    block$shared <- list(moves = aperm(moves, c(2L, 1L, 3L)),
                         log_covariance = within$log_covariance)
  }
  unit <- SHARE_LABELS[[what]]
  if (scale == "logit") {
    block <- block_on_logit(block)
    unit <- paste0(unit, ", log odds")
  }
  new_measured(list(block), "type", unit, colnames(values), x$sample_data)
}

SHARE_SCALES <- c("share", "logit")

# Shares of 0 stand at half of what their error allows, and the other way round at 1;
# without errors at half of the smallest that was seen.
block_on_logit <- function(block) {
  values <- block$values
  inside <- values > 0 & values < 1
  inside[is.na(inside)] <- FALSE
  least <- if (any(inside)) min(values[inside], 1 - values[inside]) / 2 else 1e-3
  gap <- if (is.null(block$error)) 0 * values + least else
    pmax(sqrt(block$error) * stats::qnorm(0.95) / 2, 1e-6)
  moved <- pmin(pmax(values, pmin(gap, 0.5)), 1 - pmin(gap, 0.5))
  values <- ifelse(inside, values, moved)
  slope <- 1 / (values * (1 - values))
  block$values <- stats::qlogis(values)
  if (!is.null(block$error)) block$error <- block$error * slope^2
  if (!is.null(block$shared)) {
    block$shared$moves <- block$shared$moves * rep(slope, each = dim(block$shared$moves)[1L])
  }
  block
}

# log2 of copies per million, as predicted: deviations are shrunk by their reliability.
measured_expression <- function(x, how, .call) {
  parts <- unclass(x)
  parts$units <- "cpm"
  if (!is.null(how$what) || !is.null(how$scale)) {
    stop_user("argument", "`what` and `scale` are for shares; expression is compared as log2 CPM.",
              .call = .call)
  }
  types <- how$types %||% parts$types
  check_types(types, parts$types, .call = .call)
  blup <- parts$method == "blup"
  blocks <- lapply(types, function(type) {
    found <- expression_block(parts, c("expression", if (blup) "reliability"), type)
    flat <- function(values) {
      matrix(values, length(parts$genes), dimnames = list(parts$genes, parts$samples))
    }
    values <- log2(flat(found$expression) + how$offset)
    if (!blup) return(measured_block(values, type))
    reliability <- flat(found$reliability)
    of_genes <- expression_reliability(x[, type, ])[, 1L]
    kept <- which(of_genes >= how$min_reliability)
    measured_block(values[kept, , drop = FALSE], type,
                   reliability = reliability[kept, , drop = FALSE],
                   gene_reliability = of_genes[kept],
                   left_out = length(parts$genes) - length(kept))
  })
  if (!any(vapply(blocks, function(block) nrow(block$values), 0L))) {
    stop_user("no_reliability", "No gene is reliable enough in any type.",
              x = paste0("`min_reliability` is ", how$min_reliability, "."),
              i = "See `plot_expression_reliability()`; more samples make genes more reliable.",
              .call = .call)
  }
  new_measured(blocks, "gene", paste0("log2(CPM + ", format(how$offset), ")"), parts$samples,
               parts$sample_data)
}

measured_components <- function(x, how, .call) {
  what <- check_choice(how$what %||% "share", c("share", "coef"), "what", .call = .call)
  values <- x$coef
  colnames(values) <- samples_of(x, .call)
  unit <- "Coefficient"
  if (what == "share") {
    values <- normalise_columns(values * colSums(x$basis))
    unit <- "Share of the fitted total"
  }
  scale <- check_choice(how$scale %||% "share", SHARE_SCALES, "scale", .call = .call)
  block <- measured_block(values)
  if (scale == "logit") {
    if (what == "coef") {
      stop_user("argument", "Coefficients have no log odds.", i = "Use `what = \"share\"`.",
                .call = .call)
    }
    block <- block_on_logit(block)
    unit <- paste0(unit, ", log odds")
  }
  new_measured(list(block), "component", unit, colnames(values), x$sample_data)
}

# Values as they are: a matrix, data frame or SummarizedExperiment, features x samples.
measured_matrix <- function(x, .call) {
  sample_data <- cell_data(x)
  values <- as.matrix(nmf_input(x, .call = .call))
  if (any(is.infinite(values))) {
    stop_user("argument", "`x` must have finite values.", .call = .call)
  }
  colnames(values) <- sample_names(colnames(values), ncol(values), .call = .call)
  if (is.null(rownames(values))) rownames(values) <- paste("Feature", seq_len(nrow(values)))
  if (!is.null(sample_data)) rownames(sample_data) <- colnames(values)
  new_measured(list(measured_block(values)), "feature", "Value", colnames(values), sample_data)
}
