#' Compare two deconvolutions
#'
#' Draws the shares of one result against those of another, or against a known
#' truth. Samples and types are matched by name.
#'
#' @param a,b Results of [deconvolve_bulk()], or matrices types × samples.
#' @param names Two labels, for the axes.
#' @param what Which shares to take from the results: `"proportions"` (of mRNA),
#'   `"cell_fractions"` or `"proportions_with_intercept"`. By default those that they print: of
#'   cells where both know the mRNA content of a cell, else of mRNA. A matrix is taken for
#'   the same.
#' @return A ggplot. Its data frame `$data` holds the pairs (`sample`, `type`,
#'   `a`, `b`), and its attribute `"agreement"` a list: Pearson `correlation`,
#'   `rmse`, Lin's concordance correlation `ccc`, `l1` (the summed absolute difference
#'   of a sample, mean over samples), `n_samples`, `n_types`.
#' @section Errors: `unalloy_error_argument` when no sample or no type is in both.
#' @seealso [plot_deconvolution()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 8, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' without <- deconvolve_bulk(signatures, sim$bulk_counts, verbose = FALSE)
#' drawn <- compare_deconvolutions(result, without, c("with lengths", "without"))
#' drawn
#' attr(drawn, "agreement")$rmse
compare_deconvolutions <- function(a, b, names = c("a", "b"),
                                   what = NULL) {
  check_call()
  what <- what_to_compare(what, Filter(function(x) inherits(x, "deconvolution"), list(a, b)))
  if (!is.character(names) || length(names) != 2L || anyNA(names)) {
    stop_user("argument", "`names` must be two labels.", x = paste0("It is ", describe(names), "."))
  }
  a <- shares_to_compare(a, "a", what)
  b <- shares_to_compare(b, "b", what)
  types <- common_names(rownames(a), rownames(b), "type", dimnames(b))
  samples <- common_names(colnames(a), colnames(b), "sample", dimnames(b))
  pairs <- long_shares(a[types, samples, drop = FALSE])
  names(pairs)[3L] <- "a"
  pairs$b <- as.vector(b[types, samples, drop = FALSE])
  # samples in which no type was found
  pairs <- pairs[!is.na(pairs$a) & !is.na(pairs$b), ]
  agreement <- list(
    correlation = suppressWarnings(stats::cor(pairs$a, pairs$b)), # NA for constant shares
    rmse = sqrt(mean((pairs$a - pairs$b)^2)),
    ccc = concordance(matrix(pairs$a, 1L), matrix(pairs$b, 1L)),
    l1 = sum(abs(pairs$a - pairs$b)) / length(unique(pairs$sample)),
    n_samples = length(samples), n_types = length(types)
  )
  structure(draw_comparison(pairs, agreement, names, SHARE_LABELS[[what]],
                            left_out(dimnames(a), dimnames(b))), agreement = agreement)
}

draw_comparison <- function(pairs, agreement, names, share, left_out) {
  limits <- range(0, pairs$a, pairs$b, na.rm = TRUE)
  ggplot(pairs, aes(.data$a, .data$b, colour = .data$type, text = .data$sample)) +
    geom_abline(linetype = "dashed", colour = "grey50") +
    geom_point(size = if (nrow(pairs) > 500) 1.2 else 2, alpha = 0.8) +
    scale_types("colour", levels(pairs$type)) +
    coord_fixed(xlim = limits, ylim = limits) +
    labs(title = "Agreement",
         x = paste0(share, ", ", names[1L]), y = paste0(share, ", ", names[2L]),
         subtitle = paste0("r = ", format(round(agreement$correlation, 3)), ", RMSE = ",
                           format(signif(agreement$rmse, 2)), " (",
                           plural(agreement$n_samples, "sample"), ", ",
                           plural(agreement$n_types, "type"), ")"),
         caption = left_out) +
    theme_unalloy()
}

what_to_compare <- function(what, results, .call = caller_env()) {
  choices <- c("proportions", "cell_fractions", "proportions_with_intercept")
  if (!is.null(what)) return(check_choice(what, choices, "what", .call = .call))
  mains <- vapply(results, main_share, "")
  if (length(mains) && all(mains == "cell_fractions")) "cell_fractions" else "proportions"
}

# Types x samples, with names.
shares_to_compare <- function(x, argument, what, .call = caller_env()) {
  if (inherits(x, "deconvolution")) {
    if (what == "cell_fractions") need_cell_fractions(x, .call = .call)
    return(x[[what]])
  }
  if (is.data.frame(x)) x <- as.matrix(x)
  if (!is.matrix(x) || !is.numeric(x) || is.null(rownames(x)) || is.null(colnames(x))) {
    stop_user("argument", paste0("`", argument, "` must be a result of `deconvolve_bulk()`, or a ",
                                 "numeric matrix types x samples with names."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  x
}

common_names <- function(in_a, in_b, noun, of_b, .call = caller_env()) {
  common <- intersect(in_a, in_b)
  if (!length(common)) {
    turned <- any(in_a %in% unlist(of_b))
    stop_user("argument", paste0("No ", noun, " is in both `a` and `b`."),
              x = paste0("`a`: ", some_of(in_a), "; `b`: ", some_of(in_b), "."),
              i = if (turned) "Types go in rows, samples in columns: try `t(b)`.", .call = .call)
  }
  common
}

# Says what is in one of the two only; NULL if nothing is.
left_out <- function(a, b) {
  only <- Map(function(x, y) length(setdiff(union(x, y), intersect(x, y))), a, b)
  if (!sum(unlist(only))) return(NULL)
  paste0("In one of the two only, and not drawn: ", plural(only[[1L]], "type"), ", ",
         plural(only[[2L]], "sample"), ".")
}
