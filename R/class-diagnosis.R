#' Diagnoses of a deconvolution
#'
#' What [diagnose()] returns.
#'
#' @details
#' A `diagnosis` is a list:
#' \describe{
#'   \item{`findings`}{What to make of it: `topic`, `level` (`"fine"`, `"note"` or
#'     `"worry"`), `text` and `advice`.}
#'   \item{`types`}{Per type: mean `share`, number of samples that have it
#'     (`present`), `inflation` (median over samples) and the largest,
#'     `std_error` (median, robust) of its share beside other samples, `full_error` of
#'     the share itself, with the error that the genes of a type share (see
#'     [type_error()]), and `cells` of the reference.}
#'   \item{`samples`}{Per sample: `condition` number, `worst_type` (the most
#'     inflated), `dispersion`, `typical_factor`, `intercept` (`NA` without one),
#'     `deviance_explained` (of the uniform background's deviance), `excess` and
#'     `deficit` (reads above and below the fitted means, as shares of all).}
#'   \item{`pairs`}{Per pair of types: `design_correlation` (median over samples),
#'     `correlation` (of the robust covariance), `both` (samples with both),
#'     `split_error`, `told_apart`.}
#'   \item{`influence`, `sensitivity`}{Genes × types. `NULL` for penalised fits.}
#'   \item{`programs`}{Per residual program: `share` of the residual variance that
#'     is left, `chance` (the largest share of the random copies),
#'     `beyond_chance`, `one_sided`, `active` (part of the samples beyond a fifth
#'     of its range).}
#'   \item{`variance`}{Parts of the residual variance: constant per gene, following
#'     the composition, programs beyond chance, the rest.}
#'   \item{`program_genes`}{Genes × programs: log2 change from the lowest sample to
#'     the highest.}
#'   \item{`program_samples`}{Samples × programs: 0 in the lowest, 1 in the
#'     highest.}
#'   \item{`gene_errors`}{Log2 of the constant error of each gene, by gene.}
#'   \item{`states`}{Per state of cells (`"early"` response to stress, `"inflammatory"`,
#'     `"interferon"`): measured `genes`, the median `log2_error` of samples beside the
#'     fit, `p_value` and `differs`; `NULL` without symbols as gene names.}
#'   \item{`type_error`}{What [type_error()] gives.}
#'   \item{`missing_type`}{`suspected` (`NA` when it could not be told), `program`,
#'     its `genes`, and the `samples` where it is strongest.}
#' }
#'
#' @param x A `diagnosis`.
#' @param what The table: `"findings"`, `"types"`, `"samples"`, `"pairs"`,
#'   `"influence"` (the genes that drive and contradict each type most),
#'   `"programs"` (the leading genes of each program) or `"genes"` (those furthest
#'   above and below the fit in all samples).
#' @param n Genes per type and role, per program, or per side.
#' @param width Characters per line.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @section Errors: `unalloy_error_no_programs` for tables of residuals that were not
#'   looked at, `unalloy_error_penalised` for the influence of penalised fits.
#' @return `as.data.frame()`: a data frame. `tidy()`: the types; `glance()`: one row.
#' @name diagnosis
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 8, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' diagnosis <- diagnose(result, seed = 1)
#' as.data.frame(diagnosis, "samples")
#' glance(diagnosis)
NULL

new_diagnosis <- function(result, numbers, shared) {
  out <- list(
    types = type_table(result, numbers), samples = sample_table(result, numbers),
    pairs = pair_table(result, numbers)
  )
  if (!is_penalised(result)) {
    out[c("influence", "sensitivity")] <- influence_tables(result, numbers)
  }
  out <- c(out, program_tables(shared),
           list(error_model = result$error_model, tau2 = result$model$tau2,
                states = if (!is.null(shared)) state_errors(shared$offsets / log(2), shared$level),
                type_error = if (!is_penalised(result)) type_error_table(result),
                n_genes = result$metrics$n_genes_used, penalised = is_penalised(result)))
  out$findings <- findings_of(out)
  structure(out, class = "diagnosis")
}

findings_of <- function(x) {
  do.call(rbind, c(
    list(identifiability_finding(x), dispersion_finding(x), odd_samples_finding(x)),
    list(beyond_reference_finding(x), type_error_finding(x), few_cells_finding(x)),
    list(influence_finding(x), unexplained_finding(x), program_finding(x), missing_finding(x)),
    list(state_finding(x))
  ))
}

# Rounding leaves exact twins an inflation near 1 / eps.
LARGEST_INFLATION <- 1e10

type_table <- function(result, numbers) {
  n_types <- size_of(result)[1L]
  shares <- result$proportions
  inflation <- numbers$inflation[seq_len(n_types), , drop = FALSE]
  inflation[inflation > LARGEST_INFLATION] <- Inf
  data.frame(
    type = rownames(shares), share = rowMeans(shares, na.rm = TRUE),
    present = rowSums(shares > 0, na.rm = TRUE),
    inflation = row_medians(inflation), inflation_max = apply(inflation, 1L, max),
    std_error = row_medians(share_errors(result, numbers$covariance)),
    full_error = row_medians(share_errors(result, with_shared(numbers$covariance, result))),
    cells = unname(result$signatures$cells %||% NA_real_), row.names = NULL
  )
}

# The covariance of exposures with the error that the genes of a type share.
with_shared <- function(covariance, result) {
  if (is.null(covariance)) return(NULL)
  shared <- shared_error(result)
  for (s in seq_len(dim(covariance)[3L])) {
    covariance[, , s] <- covariance[, , s] +
      outer(shared$moves[, s], shared$moves[, s]) * shared$log_covariance
  }
  covariance
}

row_medians <- function(x) apply(x, 1L, stats::median, na.rm = TRUE)

# Standard errors of shares by the delta method, NA at zero: types x samples.
share_errors <- function(result, covariance) {
  shares <- result$proportions
  if (is.null(covariance)) return(shares + NA)
  total <- colSums(result$exposures[seq_len(nrow(shares)), , drop = FALSE])
  errors <- vapply(seq_len(ncol(shares)), function(s) {
    slope <- (diag(nrow(shares)) - shares[, s]) / total[s]
    sqrt(pmax(0, rowSums((slope %*% covariance[, , s]) * slope)))
  }, numeric(nrow(shares)))
  dim(errors) <- dim(shares)
  errors[is.na(shares) | shares == 0] <- NA
  errors
}

sample_table <- function(result, numbers) {
  types <- rownames(result$proportions)
  inflation <- numbers$inflation[seq_along(types), , drop = FALSE]
  table <- result$convergence
  has_intercept <- "Intercept" %in% rownames(result$exposures)
  data.frame(
    sample = table$sample, condition = numbers$condition,
    worst_type = types[apply(inflation, 2L, which.max)],
    dispersion = numbers$dispersion, typical_factor = exp(numbers$log_error),
    intercept = if (has_intercept) unname(result$intercept_fraction) else NA_real_,
    deviance_explained = 1 - table$deviance / table$null_deviance,
    excess = numbers$excess, deficit = numbers$deficit
  )
}

pair_table <- function(result, numbers) {
  types <- rownames(result$proportions)
  pairs <- which(upper.tri(diag(length(types))), arr.ind = TRUE)
  present <- result$proportions > 0 & !is.na(result$proportions)
  errors <- design_errors(result, numbers)
  values <- apply(pairs, 1L, function(pair) {
    i <- pair[1L]
    j <- pair[2L]
    both <- present[i, ] & present[j, ]
    robust <- NA_real_
    if (!is.null(numbers$covariance) && any(both)) {
      own <- numbers$covariance[c(i, j), c(i, j), both, drop = FALSE]
      # rounding may leave exact twins a variance below 0
      scale <- sqrt(pmax(0, own[1L, 1L, ] * own[2L, 2L, ]))
      known <- scale > 0
      if (any(known)) robust <- stats::median(own[1L, 2L, known] / scale[known])
    }
    told <- told_apart(i, j, errors, seq_along(both), APART)
    c(stats::median(numbers$correlation[i, j, ]), robust, sum(both), told$split_error, told$apart)
  })
  values <- matrix(values, nrow = 5L)
  out <- data.frame(type_1 = types[pairs[, 1L]], type_2 = types[pairs[, 2L]],
                    design_correlation = values[1L, ], correlation = values[2L, ],
                    both = as.integer(values[3L, ]), split_error = values[4L, ],
                    told_apart = values[5L, ] == 1)
  out <- out[order(out$design_correlation), ]
  rownames(out) <- NULL
  out
}

# Means over the samples that have the type.
influence_tables <- function(result, numbers) {
  present <- pmax(1, rowSums(result$proportions > 0, na.rm = TRUE))
  lapply(numbers[c("influence", "sensitivity")], function(sums) {
    dimnames(sums) <- list(rownames(result$model$sources), rownames(result$proportions))
    sums / rep(present, each = nrow(sums))
  })
}

# Genes whose scores decide how one-sided a program is: of a type's markers the
# twenty strongest.
STRONG_GENES <- 20
# Three quarters of the weight then rise; bench/diagnose.R has the rates at which
# errors of platforms and missing types reach it.
ONE_SIDED <- 0.5

program_tables <- function(shared) {
  untold <- function(reason) list(suspected = NA, reason = reason)
  if (is.null(shared)) return(list(missing_type = untold("skipped")))
  gene_errors <- shared$offsets / log(2)
  if (!length(shared$shares)) {
    return(list(gene_errors = gene_errors, missing_type = untold("few_samples")))
  }
  chance <- apply(shared$null_shares, 1L, max)
  # a program counts if all stronger ones do
  beyond <- cumprod(shared$shares > chance & shared$shares > 0) == 1
  sides <- apply(shared$genes, 2L, function(s) if (sum(s^3) < 0) -1 else 1)
  genes <- shared$genes * rep(sides, each = nrow(shared$genes))
  samples <- shared$samples * rep(sides, each = nrow(shared$samples))
  low <- apply(samples, 2L, min)
  span <- apply(samples, 2L, max) - low
  activity <- (samples - rep(low, each = nrow(samples))) / rep(span, each = nrow(samples))
  parts <- c(shared$squares[1:2], shared$squares[3L] * sum(shared$shares[beyond]))
  parts <- c(parts, shared$squares[3L] - parts[3L]) / sum(shared$squares)
  programs <- data.frame(
    program = seq_along(shared$shares), share = shared$shares, chance = chance,
    beyond_chance = beyond, one_sided = apply(genes, 2L, one_sidedness),
    active = colMeans(activity > 0.2)
  )
  change <- genes * rep(span, each = nrow(genes)) / log(2)
  colnames(change) <- colnames(activity) <- programs$program
  list(
    programs = programs,
    variance = c(constant = parts[1L], composition = parts[2L], programs = parts[3L],
                 rest = parts[4L]),
    program_genes = change, program_samples = activity, gene_errors = gene_errors,
    missing_type = missing_type_of(programs, change, activity)
  )
}

# 0 when the strong scores are as often negative as positive, 1 when all are
# positive; no gene counts more than the 20th.
one_sidedness <- function(scores) {
  cap <- sort(abs(scores), decreasing = TRUE)[min(STRONG_GENES, length(scores))]
  cut <- pmin(abs(scores), cap)^3
  if (sum(cut) == 0) 0 else sum(sign(scores) * cut) / sum(cut)
}

missing_type_of <- function(programs, change, activity) {
  found <- which(programs$beyond_chance & programs$one_sided >= ONE_SIDED)
  if (!length(found)) return(list(suspected = FALSE))
  at <- found[which.max(programs$one_sided[found])]
  strongest <- order(-activity[, at])
  list(suspected = TRUE, program = at,
       genes = rownames(change)[utils::head(order(-change[, at]), STRONG_GENES)],
       samples = rownames(activity)[utils::head(strongest, 5L)])
}

#' @rdname diagnosis
#' @export
as.data.frame.diagnosis <- function(x, row.names = NULL, optional = FALSE,
                                    what = c("findings", "types", "samples", "pairs",
                                             "influence", "programs", "genes"), n = 5, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  # the table may be named where as.data.frame() has its row names
  if (is.character(row.names) && length(row.names) == 1L && missing(what)) what <- row.names
  else refuse_row_names(row.names)
  what <- check_choice(what, DIAGNOSIS_TABLES, "what")
  n <- check_count(n, "n")
  switch(what, influence = leading_genes(x, n), programs = leading_program_genes(x, n),
         genes = erring_genes(x, n), x[[what]])
}

#' @rdname diagnosis
#' @export
tidy.diagnosis <- function(x, ...) {
  refuse_dots(...)
  x$types
}

#' @rdname diagnosis
#' @export
glance.diagnosis <- function(x, ...) {
  refuse_dots(...)
  worst <- x$pairs[1L, ]
  data.frame(
    n.samples = nrow(x$samples), n.types = nrow(x$types),
    condition = stats::median(x$samples$condition), max.inflation = max(x$types$inflation),
    worst.pair = if (nrow(x$pairs)) paste(worst$type_1, worst$type_2, sep = " / ") else NA,
    worst.correlation = worst$design_correlation,
    dispersion = stats::median(x$samples$dispersion),
    typical.factor = stats::median(x$samples$typical_factor),
    intercept = stats::median(x$samples$intercept), excess = stats::median(x$samples$excess),
    missing.type = x$missing_type$suspected
  )
}
