#' Deconvolve bulk expression into cell types
#'
#' Finds how much of each sample's mRNA comes from each cell type, by the
#' maximum likelihood of a weighted Poisson model, and certifies how far the
#' answer is from the optimum.
#'
#' # Model
#'
#' Counts \eqn{k_g} of one sample are Poisson with mean
#' \deqn{\mu_g = \sum_j a_{gj} e_j, \quad a_{gj} = \ell_g S_{gj}, \quad
#'   \ell_g = (L_g / \mathrm{insert\_size})^\beta, \quad e_j \ge 0,}
#' where S are the signatures (columns scaled to sum 1 over all their genes), L
#' gene lengths and e exposures, in molecules. Weights \eqn{w_g} enter as a
#' power likelihood; the objective
#' \eqn{F(e) = \sum_g w_g (\mu_g - k_g \log \mu_g)} is convex. The intercept is
#' one more source, uniform over genes, for what no signature explains.
#'
#' All methods minimise the same F and find the same optimum:
#' `"newton"` (default) is sequential quadratic programming with the exact
#' Hessian and bounds, and takes about ten passes over the data; `"em"` is
#' expectation-maximisation with squared extrapolation (Varadhan and Roland,
#' 2008); `"gd"` is gradient descent on log exposures with Adam's steps (Kingma
#' and Ba, 2015).
#'
#' # Certificate
#'
#' With \eqn{c_j = \sum_g w_g a_{gj}}, \eqn{W = \sum_g w_g k_g} and
#' \eqn{u_j = c_j^{-1} \sum_g a_{gj} w_g k_g / \mu_g}, every point with
#' \eqn{\sum_j c_j e_j = W} satisfies
#' \eqn{F(e) - F^* \le W \log \max_j u_j}. This bound is what every method stops
#' on, and what `convergence$gap` states, in log-likelihood units. A fit that
#' stops before is reported by a warning and in `convergence`.
#'
#' # Platform error
#'
#' Reference and bulk usually come from different platforms, which disagree gene
#' by gene by factors of two and more, and by ten for some classes of genes. The
#' platform error model says so,
#' \deqn{k_g \sim \mathrm{Poisson}(\mu_g e^{b_g}), \quad b_g \sim N(0, s_g^2), \quad
#'   s_g^2 = \tau^2 D_g + v_g.}
#' \eqn{\tau^2} is estimated from the cohort. \eqn{D_g = 1 + (r_g / 50)^4}
#' discounts all but the most specific genes, \eqn{r_g} being the rank of a gene
#' among those of its type: errors of genes that mark one type go together, so
#' that thousands of them know no more than some dozens. \eqn{v_g} is what the
#' counts of the reference leave unknown. Signatures are first shrunk towards
#' their mean over types as far as noise explains their differences. In units of
#' a floor \eqn{\phi} (10 reads per million, at least one count), the errors are
#' profiled out,
#' \deqn{F(e) = \sum_g w_g \min_b \{ m_g e^b - y_g (\log m_g + b) + b^2 / (2 s_g^2) \},
#'   \quad y = k / \phi, \; m = \mu / \phi.}
#' As \eqn{s^2 \to 0} this is the Poisson fit, for large \eqn{s^2} least squares
#' of log counts. F is not convex in e: `converged` means a stationary point, and
#' `convergence$gap` the decrease that the quadratic model still promises there.
#'
#' # Penalties
#'
#' `l1_lambda` adds \eqn{\lambda_1 \sum e_j} over types, in units of
#' \eqn{W / \sum e} of the unpenalised optimum; `l2_lambda` adds
#' \eqn{\lambda_2 \sum e_j^2}, in units of \eqn{W / (\sum e)^2}. A value so means
#' the same at any depth. As \eqn{\sum_j c_j e_j = W} at the optimum, an L1
#' penalty mostly moves mRNA from all types to the intercept and makes few types
#' vanish; Poisson deconvolution is sparse without it.
#'
#' @param signatures A [signatures] object, or a matrix of mean linear
#'   expression, genes × types, which is scaled to columns that sum to 1.
#' @param bulk_counts Genes × samples: a matrix (double or integer), data frame
#'   (a first column of text is taken for gene names), sparse matrix,
#'   `SummarizedExperiment` or `DelayedMatrix` (read in blocks of
#'   `getOption("unalloy.block_size")` bytes, 1e8 by default).
#'   Counts are what the model is meant for; linear values in other units (TPM,
#'   CPM, arrays) are accepted, and only their spread is then not Poisson.
#' @param gene_lengths Transcript lengths in base pairs: a named vector, an
#'   unnamed one in the order of the signatures' rows, or a data frame with
#'   columns `symbol` (or other gene names) and `length`, and perhaps `weight`.
#'   `NULL` models counts as independent of length.
#' @param gene_weights Weights in \[0, 1\], in the same forms (column
#'   `weight`), or markers (from [select_markers()], or a list of genes per type),
#'   which weigh 1 and all others 0. Genes with weight 0 do not take part in the fit. `"auto"` leaves
#'   out genes that depend on the protocol (see [protocol_genes()]). `NULL` takes
#'   the column `weight` of `gene_lengths` if there is one; else it is `"auto"`
#'   for the platform error model and 1 for the Poisson model.
#' @param method How the optimum of the Poisson model is sought; see *Model*.
#' @param error_model `"poisson"` trusts the signatures gene by gene;
#'   `"platform"` gives every gene an error of its own, see *Platform error*.
#'   `"auto"` is `"platform"`, unless something is asked for that only the
#'   Poisson model has: weights, `"em"` or `"gd"`, an `intercept` (`TRUE` or
#'   `FALSE`), a `background`, or a penalty.
#' @param protocol What reads are proportional to: `"full_length"` to transcript
#'   length (\eqn{\beta = 1}), `"umi"` to molecules (\eqn{\beta = 0}, for UMI and
#'   3' or 5' libraries); `"auto"` takes the best of \eqn{\beta} = 0, 1/4, 1/2, 3/4, 1
#'   on up to 16 samples spread over the cohort, and reports the deviance of
#'   each in `length_profile`.
#' @param length_exponent \eqn{\beta}, in place of what `protocol` says.
#' @param insert_size Length in base pairs at which a molecule gives one read.
#'   It scales exposures and leaves proportions as they are.
#' @param intercept Add the uniform background? `NULL` adds it to the Poisson
#'   model; the platform error model has none.
#' @param background Further background profiles, genes × backgrounds with names
#'   (ambient RNA, genomic DNA, a contaminant): sources that are fitted but no
#'   cell types.
#' @param cell_size mRNA content per cell of each type, for `cell_fractions`:
#'   a vector named by type (any unit), `"literature"` for measured values by
#'   type name (see [match_cell_size()]), `"reference"` for the mean UMI per cell
#'   of the signatures, or `"none"`. Mean UMI depends on the protocol and on how
#'   cells were sorted; look at the values before you trust them.
#' @param l1_lambda,l2_lambda Penalties; see *Penalties*. Higher values move
#'   more to the intercept (L1) or pull types towards each other (L2).
#' @param max_iter Passes over the data per sample at most. Default 200 for
#'   `"newton"`, 10,000 for the others.
#' @param ll_tolerance Certified distance to the optimum at which a fit stops,
#'   per unit of W. `"newton"` goes on to 1e-6 log-likelihood units where
#'   rounding allows. For the platform error model: the promised decrease of the
#'   objective, in its own units. Collinear types need less for stable digits under `"em"`
#'   and `"gd"`.
#' @param sparsity_tolerance For `"em"` and `"gd"`, which never reach zero: a
#'   type whose share of the reads is below this and which the certificate does
#'   not want is set to zero. Raising it drops types earlier.
#' @param poll_interval For `"em"` and `"gd"`: passes between two looks at the
#'   certificate, and between two rows of `trace`.
#' @param learning_rate For `"gd"`: size of the first steps of a log exposure.
#'   Default 0.5, at which steps near the optimum equal those of EM; less is
#'   slower.
#' @param init_log_exp For `"gd"`: log exposure that all sources start from;
#'   `NULL` starts from the data.
#' @param assay For a `SummarizedExperiment`: the assay to read; `"counts"` by
#'   default, else the first.
#' @param keep_counts Keep the counts in the result (no copy is made), so that
#'   residuals, intervals and plots need nothing else?
#' @param threads Threads to use. The answer does not depend on it, to the bit.
#' @param seed `NULL` starts every sample from equal exposures; a whole number
#'   scatters the start log-normally. The optimum is the same.
#' @param verbose Report what matched, and show progress after two seconds?
#' @return An object of class [deconvolution].
#' @section Errors and warnings:
#'   Errors have the class `unalloy_error` and one of its own:
#'   `unalloy_error_missing_counts`, `_infinite_counts`, `_negative_counts`,
#'   `_log_scale`, `_empty_sample`, `_empty_type`, `_no_samples`, `_not_numeric`,
#'   `_gene_names`, `_sample_names`, `_type_names`, `_no_common_genes`,
#'   `_lengths`, `_weights`, `_too_few_genes`, `_signature_values`, `_argument`.
#'   Warnings: `unalloy_warning_identifiability`, `_not_converged`,
#'   `_gene_lengths`, `_few_genes`, `_unused_argument`.
#' @references
#' Shepp LA, Vardi Y (1982). Maximum likelihood reconstruction for emission
#' tomography. *IEEE Transactions on Medical Imaging* 1:113.
#'
#' Varadhan R, Roland C (2008). Simple and globally convergent methods for
#' accelerating the convergence of any EM algorithm. *Scandinavian Journal of
#' Statistics* 35:335.
#' @seealso [build_signatures()], [plot_deconvolution()], [confint.deconvolution()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 3, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' result
#' result$proportions
#' result$convergence
deconvolve_bulk <- function(signatures, bulk_counts, gene_lengths = NULL, gene_weights = NULL,
                            method = c("newton", "em", "gd"),
                            error_model = c("auto", "poisson", "platform"),
                            protocol = c("auto", "full_length", "umi"), length_exponent = NULL,
                            insert_size = 500, intercept = NULL, background = NULL,
                            cell_size = "none", l1_lambda = 0, l2_lambda = 0, max_iter = NULL,
                            ll_tolerance = 1e-8, sparsity_tolerance = 1e-4, poll_interval = 10,
                            learning_rate = 0.5, init_log_exp = NULL, assay = NULL,
                            keep_counts = TRUE, threads = getOption("unalloy.threads", 2L),
                            seed = NULL, verbose = TRUE) {
  here <- environment()
  method <- check_choice(method, METHODS, "method")
  given <- setdiff(names(match.call())[-1L], "")
  warn_unused(given, method, .call = here)
  settings <- solver_settings(
    method, l1_lambda, l2_lambda, max_iter, ll_tolerance, sparsity_tolerance, poll_interval,
    learning_rate, init_log_exp, threads, seed, .call = here
  )
  verbose <- check_flag(verbose, "verbose")
  keep_counts <- check_flag(keep_counts, "keep_counts")
  signatures <- as_signatures(signatures)
  if (is_marker_list(gene_weights)) {
    gene_weights <- as_gene_weights(gene_weights, rownames(signatures$profiles), .call = here)
  }
  bulk <- as_bulk(bulk_counts, assay)
  bulk_values <- check_bulk_values(bulk)
  platform <- uses_platform_error(
    error_model, poisson_only = c(
      `gene_weights` = !is.null(gene_weights) && !identical(gene_weights, "auto"),
      `gene_lengths$weight` = is.data.frame(gene_lengths) && "weight" %in% names(gene_lengths),
      `method` = method != "newton", `intercept` = !is.null(intercept),
      `background` = !is.null(background), `l1_lambda` = settings$l1_lambda > 0,
      `l2_lambda` = settings$l2_lambda > 0
    ), .call = here
  )
  intercept <- if (is.null(intercept)) !platform else check_flag(intercept, "intercept")
  if (is.null(gene_weights) && platform) gene_weights <- "auto"
  model <- build_model(signatures, bulk, gene_lengths, gene_weights, background, intercept,
                       check_number(insert_size, "insert_size", 0, above = TRUE), .call = here)
  model <- choose_lengths(model, bulk, settings, protocol, length_exponent, verbose, .call = here)
  check_identifiable(model, .call = here)
  sizes <- cell_sizes(cell_size, signatures, .call = here)
  if (platform) model <- add_platform_error(model, signatures, bulk_values)
  report_matching(model, bulk_values$unit, verbose)

  run <- if (platform) run_platform_fit else run_fit
  fit <- run(model, bulk, settings, verbose, .call = here)
  result <- new_deconvolution(fit, model, bulk, settings, sizes, keep_counts,
                              unit = bulk_values$unit, call = match.call())
  warn_not_converged(result, .call = here)
  result
}

# In the order of the numbers that Rust knows them by.
METHODS <- c("newton", "em", "gd")

is_marker_list <- function(x) {
  inherits(x, "markers") || is.list(x) && !is.data.frame(x) || is.character(x) && length(x) > 1L
}

# Whether errors of the platform are modelled: by default, unless something is
# asked for that belongs to the plain Poisson model.
uses_platform_error <- function(error_model, poisson_only, .call) {
  error_model <- check_choice(error_model, c("auto", "poisson", "platform"), "error_model",
                              .call = .call)
  asked <- names(which(poisson_only))
  if (error_model == "platform" && any(asked %in% PLATFORM_LACKS)) {
    stop_user("argument", "The platform error model has neither penalties nor backgrounds.",
              x = paste0("Asked for: ", some_of(intersect(asked, PLATFORM_LACKS)), "."),
              i = "Use `error_model = \"poisson\"` with them, and `method = \"newton\"` without.",
              .call = .call)
  }
  error_model == "platform" || error_model == "auto" && !length(asked)
}
PLATFORM_LACKS <- c("method", "intercept", "background", "l1_lambda", "l2_lambda")

# Settings as Rust takes them; NaN stands for "not given".
solver_settings <- function(method, l1_lambda, l2_lambda, max_iter, ll_tolerance,
                            sparsity_tolerance, poll_interval, learning_rate, init_log_exp,
                            threads, seed, .call) {
  list(
    method = match(method, METHODS),
    l1_lambda = check_number(l1_lambda, "l1_lambda", 0, .call = .call),
    l2_lambda = check_number(l2_lambda, "l2_lambda", 0, .call = .call),
    max_iter = check_count(max_iter %||% if (method == "newton") 200 else 10000, "max_iter",
                           .call = .call),
    ll_tolerance = check_number(ll_tolerance, "ll_tolerance", 0, above = TRUE, .call = .call),
    sparsity_tolerance = check_number(sparsity_tolerance, "sparsity_tolerance", 0, 0.5,
                                      .call = .call),
    poll_interval = if (method == "newton") 1 else
      check_count(poll_interval, "poll_interval", .call = .call),
    learning_rate = check_number(learning_rate, "learning_rate", 0, above = TRUE, .call = .call),
    init_log_exp = if (is.null(init_log_exp)) NaN else
      check_number(init_log_exp, "init_log_exp", -700, 700, .call = .call),
    threads = check_threads(threads, .call = .call),
    seed = if (is.null(seed)) NaN else check_seed(seed, .call = .call)
  )
}

# Arguments that only some methods read are not ignored in silence.
warn_unused <- function(given, method, .call) {
  only <- list(learning_rate = "gd", init_log_exp = "gd",
               poll_interval = c("em", "gd"), sparsity_tolerance = c("em", "gd"))
  unused <- Filter(function(name) !method %in% only[[name]], intersect(given, names(only)))
  for (name in unused) {
    warn_user("unused_argument",
              paste0("`", name, "` has no effect with `method = \"", method, "\"`."),
              i = paste0("It is for ", paste0("\"", only[[name]], "\"", collapse = " and "), "."),
              .call = .call)
  }
}

# What the core needs, over the matched genes:
#   sources     genes x sources: profiles, background, intercept
#   lengths     base pairs, or NULL; scaled lengths are `length_factor`
#   weights     in [0, 1]
#   n_types     the first so many sources are types
#   matching    see match_genes()
build_model <- function(signatures, bulk, gene_lengths, gene_weights, background, intercept,
                        insert_size, .call) {
  profiles <- signatures$profiles
  signature_genes <- gene_names(rownames(profiles), "signatures", .call = .call)
  matching <- match_genes(bulk$genes, signature_genes, bulk$n_rows, nrow(profiles), .call = .call)
  values_for <- function(values, column, what) {
    if (is.null(values)) return(NULL)
    gene_values(values, column, what, matching, bulk$genes, signature_genes, .call = .call)
  }
  from_lengths <- is.null(gene_weights) && is.data.frame(gene_lengths) &&
    "weight" %in% names(gene_lengths)
  if (from_lengths) {
    gene_weights <- gene_lengths
  } else if (identical(gene_weights, "auto")) {
    gene_weights <- protocol_weights(matching$genes)
  }
  lengths <- values_for(gene_lengths, "length", "gene_lengths")
  weights <- values_for(gene_weights, "weight", "gene_weights")
  check_lengths_and_weights(lengths, weights, matching$genes, .call)

  known <- rep(TRUE, length(matching$genes))
  if (!is.null(lengths)) known <- known & !is.na(lengths)
  if (!is.null(weights)) known <- known & !is.na(weights)
  matching <- drop_genes(matching, known)
  if (!length(matching$genes)) {
    stop_user("no_common_genes", "No gene has counts, a signature, a length and a weight.",
              .call = .call)
  }
  n_genes <- length(matching$genes)
  sources <- gather_rows(profiles, matching$signature_of, n_genes)
  extra <- background_sources(background, matching, nrow(profiles), intercept, .call)
  model <- list(
    sources = cbind(sources, extra), n_types = ncol(profiles), lengths = lengths[known],
    weights = if (is.null(weights)) rep(1, n_genes) else weights[known],
    insert_size = insert_size, matching = matching
  )
  dimnames(model$sources) <- list(matching$genes, c(colnames(profiles), colnames(extra)))
  check_enough_genes(model, .call)
  model
}

check_lengths_and_weights <- function(lengths, weights, genes, .call) {
  bad <- which(!is.na(lengths) & (lengths <= 0 | !is.finite(lengths)))
  if (length(bad)) {
    stop_user("lengths", "`gene_lengths` must be positive.",
              x = paste0("Gene \"", genes[bad[1L]], "\" has ", lengths[bad[1L]], "."),
              .call = .call)
  }
  bad <- which(!is.na(weights) & (weights < 0 | weights > 1))
  if (length(bad)) {
    stop_user("weights", "`gene_weights` must lie between 0 and 1.",
              x = paste0("Gene \"", genes[bad[1L]], "\" has ", weights[bad[1L]], "."),
              i = "Divide weights by their largest value.", .call = .call)
  }
  if (!is.null(lengths) && stats::median(lengths, na.rm = TRUE) > 8000) {
    warn_user(
      "gene_lengths", "`gene_lengths` look like genomic spans, not transcript lengths.",
      x = paste0("Their median is ", count_text(round(stats::median(lengths, na.rm = TRUE))),
                 " bp; transcripts have 2,000 to 4,000."),
      i = "Use the summed length of a gene's exons, or its effective length from a quantifier.",
      .call = .call
    )
  }
}

# Leaves out matched genes without a length or a weight, and says so.
drop_genes <- function(matching, known) {
  if (all(known)) return(matching)
  place <- cumsum(known)
  place[!known] <- NA
  rows <- place[ifelse(matching$gene_of_row < 0L, NA, matching$gene_of_row + 1L)]
  matching$gene_of_row <- ifelse(is.na(rows), -1L, as.integer(rows) - 1L)
  matching$signature_of <- place[matching$signature_of]
  matching$report$dropped <- matching$genes[!known]
  matching$genes <- matching$genes[known]
  matching$report$matched <- length(matching$genes)
  matching
}

# Rows of `profiles` gathered by target gene, rows of one gene summed.
gather_rows <- function(profiles, target, n_genes) {
  kept <- which(!is.na(target))
  if (anyDuplicated(target[kept])) {
    summed <- rowsum(profiles[kept, , drop = FALSE], target[kept])
    out <- summed[match(seq_len(n_genes), as.integer(rownames(summed))), , drop = FALSE]
  } else {
    out <- profiles[kept[order(target[kept])], , drop = FALSE]
  }
  storage.mode(out) <- "double"
  out
}

# Columns that stand for no cell type.  The intercept is uniform over all genes
# of the signatures.
background_sources <- function(background, matching, n_signature_genes, intercept, .call) {
  n_genes <- length(matching$genes)
  columns <- NULL
  if (!is.null(background)) {
    background <- as.matrix(background)
    if (!is.numeric(background) || is.null(colnames(background))) {
      stop_user("argument", "`background` must be a numeric matrix with column names.",
                x = paste0("It is ", describe(background), "."), .call = .call)
    }
    check_type_names(colnames(background), .call)
    check_profiles(background, "background", "column", .call)
    genes <- gene_names(rownames(background), "background", .call = .call)
    place <- if (is.null(genes)) matching$signature_of else match(genes, matching$genes)
    if (length(place) != nrow(background) || all(is.na(place))) {
      stop_user("no_common_genes", "`background` must have the genes of the signatures as rows.",
                .call = .call)
    }
    rows <- match(seq_len(n_genes), place)
    columns <- normalise_columns(background)[rows, , drop = FALSE]
    columns[is.na(columns)] <- 0
  }
  if (intercept) columns <- cbind(columns, Intercept = rep(1 / n_signature_genes, n_genes))
  columns
}

# Genes that carry weight and that some source expresses; without an intercept
# the others have no mean to be compared with.
takes_part <- function(model) model$weights > 0 & rowSums(model$sources) > 0

check_enough_genes <- function(model, .call) {
  used <- sum(takes_part(model))
  n_sources <- ncol(model$sources)
  if (used < n_sources) {
    stop_user("too_few_genes", "There must be at least as many genes as sources.",
              x = paste0(plural(used, "gene"), " with weight and expression; ", n_sources,
                         " sources: ", some_of(colnames(model$sources), 5L), "."),
              i = "Use more genes, fewer types, or `intercept = FALSE`.", .call = .call)
  }
  silent <- colSums(model$sources * model$weights) <= 0
  if (any(silent)) {
    stop_user("empty_type", "Every type must be expressed in the genes of the fit.",
              x = paste0("Not expressed in any matched gene with weight: ",
                         some_of(colnames(model$sources)[silent]), "."),
              i = "Leave the type out, or use more genes.", .call = .call)
  }
  report <- model$matching$report
  smaller <- min(report$bulk, report$signatures)
  if (report$matched < 0.1 * smaller) {
    warn_user("few_genes", "Few genes match.",
              x = paste0(count_text(report$matched), " of ", count_text(smaller),
                         ". Only in the bulk: ", some_of(report$only_in_bulk),
                         "; only in the signatures: ", some_of(report$only_in_signatures), "."),
              .call = .call)
  }
}

# Sets `length_exponent` and `length_factor` of the model.
choose_lengths <- function(model, bulk, settings, protocol, length_exponent, verbose, .call) {
  protocol <- check_choice(protocol, c("auto", "full_length", "umi"), "protocol", .call = .call)
  asked <- if (!is.null(length_exponent)) {
    check_number(length_exponent, "length_exponent", 0, 2, .call = .call)
  } else {
    c(full_length = 1, umi = 0)[protocol]
  }
  if (is.null(model$lengths)) {
    if (!is.na(asked) && asked > 0) {
      stop_user("lengths", "Reads can't follow gene lengths that are not given.",
                i = "Give `gene_lengths`, or `protocol = \"umi\"`.", .call = .call)
    }
    inform_user(verbose && is.na(asked), paste(
      "No `gene_lengths`: reads are taken as independent of length, as in UMI and 3' libraries."
    ))
    return(with_exponent(model, 0))
  }
  if (!is.na(asked)) return(with_exponent(model, unname(asked)))
  profile <- profile_exponent(model, bulk, settings, .call)
  best <- profile$length_exponent[which.min(profile$deviance)]
  inform_user(verbose, paste0("Length exponent ", best, " describes the counts best (",
                              if (best >= 0.5) "as in full-length libraries"
                              else "as in UMI or 3' libraries", ")."))
  model$length_profile <- profile
  with_exponent(model, best)
}

with_exponent <- function(model, exponent) {
  model$length_exponent <- exponent
  model$length_factor <- if (exponent == 0) rep(1, length(model$weights))
                         else (model$lengths / model$insert_size)^exponent
  model
}

# Deviance over a few samples for each exponent.  Differences between exponents
# are thousands of units, so that the fits need few digits.
profile_exponent <- function(model, bulk, settings, .call) {
  part <- bulk_subset(bulk, spread_samples(bulk$n_samples))
  settings[c("method", "poll_interval", "ll_tolerance", "l1_lambda", "l2_lambda")] <-
    list(1, 1, 1e-6, 0, 0)
  settings$max_iter <- max(settings$max_iter, 50)
  exponents <- c(0, 0.25, 0.5, 0.75, 1)
  deviance <- vapply(exponents, function(exponent) {
    sum(run_fit(with_exponent(model, exponent), part, settings, FALSE, .call = .call)$deviance)
  }, 0)
  data.frame(length_exponent = exponents, deviance = deviance)
}

# Up to 16 samples spread evenly over the cohort: enough for what all share.
spread_samples <- function(n_samples) {
  unique(round(seq(1, n_samples, length.out = min(16, n_samples))))
}

bulk_subset <- function(bulk, columns) {
  if (identical(as.integer(columns), seq_len(bulk$n_samples))) return(bulk)
  source <- bulk$source[, columns, drop = FALSE]
  if (methods::is(source, "DelayedMatrix")) source <- as.matrix(source)
  bulk$source <- source
  bulk$values <- rust_values(source)
  bulk$samples <- bulk$samples[columns]
  bulk$n_samples <- length(columns)
  bulk
}

# Signatures that the data cannot tell apart.
check_identifiable <- function(model, .call) {
  types <- model$sources[, seq_len(model$n_types), drop = FALSE]
  if (ncol(types) < 2L) return(invisible())
  centre <- rowSums(types)
  scale <- ifelse(centre > 0, sqrt(model$weights * model$length_factor / centre), 0)
  products <- crossprod(types * scale)
  cosine <- stats::cov2cor(products)
  cosine[upper.tri(cosine, diag = TRUE)] <- 0
  worst <- which(cosine > 0.9999, arr.ind = TRUE)
  if (nrow(worst)) {
    pairs <- paste0("\"", colnames(types)[worst[, 2L]], "\" and \"",
                    colnames(types)[worst[, 1L]], "\"")
    shown <- utils::head(pairs, 3L)
    warn_user("identifiability", "Some types have the same signature up to noise.",
              x = paste0(paste(shown, collapse = "; "),
                         if (length(pairs) > 3L) paste0("; and ", length(pairs) - 3L, " more"),
                         "."),
              i = "Only the sum of their proportions is meaningful: merge them.", .call = .call)
  }
}

# mRNA per cell of each type, or NULL.
cell_sizes <- function(cell_size, signatures, .call) {
  types <- colnames(signatures$profiles)
  if (identical(cell_size, "none")) return(NULL)
  if (identical(cell_size, "literature")) return(match_sizes(types, .call = .call))
  if (identical(cell_size, "reference")) {
    cell_size <- signatures$umi
    if (anyNA(cell_size)) {
      stop_user("cell_size", "The signatures do not say how much mRNA a cell has.",
                i = paste("`build_signatures()` keeps the mean UMI per cell; a plain matrix has",
                          "none. Give `cell_size` as a named vector."), .call = .call)
    }
  }
  if (!is.numeric(cell_size) || is.null(names(cell_size))) {
    stop_user("cell_size", paste("`cell_size` must be \"none\", \"reference\", \"literature\"",
                                 "or a vector named by type."),
              x = paste0("It is ", describe(cell_size), "."), .call = .call)
  }
  absent <- setdiff(types, names(cell_size))
  if (length(absent)) {
    stop_user("cell_size", "`cell_size` must have every type.",
              x = paste0("Without: ", some_of(absent), "."), .call = .call)
  }
  sizes <- cell_size[types]
  bad <- types[!is.finite(sizes) | sizes <= 0]
  if (length(bad)) {
    stop_user("cell_size", "`cell_size` must be positive.",
              x = paste0("Not so: ", some_of(bad), "."), .call = .call)
  }
  stats::setNames(as.double(sizes), types)
}

report_matching <- function(model, unit, verbose) {
  report <- model$matching$report
  text <- paste0(plural(report$matched, "gene"), " matched by ", report$by, " (bulk ",
                 count_text(report$bulk), ", signatures ", count_text(report$signatures), ")")
  if (length(report$dropped)) {
    text <- paste0(text, "; ", count_text(length(report$dropped)),
                   " more without length or weight")
  }
  summed <- report$bulk_summed + report$signatures_summed
  if (summed) text <- paste0(text, "; ", plural(summed, "duplicate row"), " summed")
  used <- sum(takes_part(model))
  if (used < report$matched) text <- paste0(text, "; ", count_text(used), " take part in the fit")
  unit_text <- c("per million" = "Values are per million: proportions hold, intervals need counts.",
                 linear = "Values are not whole numbers: taken as linear expression.")
  inform_user(verbose, paste0(text, "."), i = if (unit != "counts") unit_text[[unit]])
}

# Runs the core over the samples, in blocks when they are on disk.
run_fit <- function(model, bulk, settings, verbose, .call) {
  done_before <- 0
  show <- progress_bar("Deconvolving", bulk$n_samples, verbose)
  parts <- over_samples(bulk, function(values, n_samples, columns) {
    part <- call_rs(rs_deconvolve_bulk(
      values, bulk$n_rows, n_samples, model$matching$gene_of_row, model$sources,
      model$length_factor, model$weights, model$n_types, settings,
      function(done) show(done_before + done)
    ), .call = .call)
    done_before <<- done_before + n_samples
    part
  })
  merge_fits(parts)
}

merge_fits <- function(parts) {
  if (length(parts) == 1L) return(parts[[1L]])
  join <- function(name, by = c) do.call(by, lapply(parts, `[[`, name))
  sizes <- vapply(parts, function(part) length(part$gap), 0L)
  offsets <- cumsum(c(0L, sizes))[seq_along(parts)]
  fit <- parts[[1L]]
  vectors <- c("iterations", "gap", "reason", "loglik", "deviance", "null_deviance",
               "squared_error", "relative_error")
  fit[vectors] <- lapply(vectors, join)
  fit$exposures <- join("exposures", cbind)
  fit$sample_moments <- join("sample_moments", rbind)
  fit$gene_moments <- Reduce(merge_moments, lapply(parts, `[[`, "gene_moments"))
  traces <- Map(function(part, offset) {
    part$trace$sample <- part$trace$sample + offset
    part$trace
  }, parts, offsets)
  fit$trace <- do.call(Map, c(list(c), traces))
  fit
}

warn_not_converged <- function(result, .call) {
  open <- result$convergence[!result$convergence$converged, ]
  if (!nrow(open)) return(invisible())
  warn_user(
    "not_converged", paste0(plural(nrow(open), "sample"), " did not converge."),
    x = paste0("Not certified: ", some_of(open$sample), "; largest gap ",
               format(max(open$gap), digits = 2), " log-likelihood units."),
    i = if (any(open$reason == "max_iter")) "Raise `max_iter`, or use `method = \"newton\"`."
        else "Rounding stopped the fit: a larger `ll_tolerance` can be met.",
    i = "The result holds the best point so far; see `$convergence`.", .call = .call
  )
}
