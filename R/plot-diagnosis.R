#' Plots of a diagnosis
#'
#' `plot()`, `ggplot2::autoplot()` and `plot_diagnosis()` draw one panel of a [diagnosis],
#' or all of them; each panel is also a function of its own.
#'
#' @details
#' \describe{
#'   \item{`plot_identifiability()`}{For each pair of types, what the design implies
#'     for the correlation of the errors of their exposures; on the diagonal, how
#'     many times larger the standard error of a type is than with the other types
#'     known.}
#'   \item{`plot_dispersion()`}{Per sample, the mean squared residual in units of
#'     the model's variance, on a log scale. Dashed: 1, where the model tells the
#'     whole error.}
#'   \item{`plot_influence()`}{The genes that raise and lower the share of each type
#'     most.}
#'   \item{`plot_residual_programs()`}{Where in the cohort each residual program is
#'     active, and its strongest genes. Programs within chance are drawn pale.}
#'   \item{`plot_unexplained()`}{Per sample, reads above and below the fitted means,
#'     and the intercept where there is one.}
#' }
#'
#' @param diagnosis,x,object A [diagnosis].
#' @param type The panel, or `"all"`.
#' @param group Groups of samples: a vector in the order of the samples, or named by
#'   sample.
#' @param types Types to draw; all by default.
#' @param n Genes per type and role (by default 5, and fewer for more than six
#'   types), or per program.
#' @param ... Arguments of the panel's own function; for `type = "all"` those that a
#'   panel takes.
#' @return A ggplot; for `type = "all"` a list of them, of class `unalloy_plots`.
#' @section Errors: `unalloy_error_argument` for arguments that do not fit;
#'   `unalloy_error_no_programs` when residual programs were not looked for or could
#'   not be; `unalloy_error_penalised` for the influence of penalised fits. With
#'   `type = "all"` panels that can't be drawn are left out.
#' @importFrom ggplot2 geom_ribbon geom_text geom_vline scale_colour_manual
#' @importFrom ggplot2 scale_fill_gradient2 scale_fill_manual scale_y_log10
#' @name plot_diagnosis
#' @examples
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 8, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type)
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths)
#' diagnosis <- diagnose(result, seed = 1)
#' plot_identifiability(diagnosis)
#' plot_influence(diagnosis, n = 3)
#' plot(diagnosis, "dispersion")
NULL

# Each is drawn by the function of that name.
DIAGNOSIS_PANELS <- c(
  identifiability = "plot_identifiability", dispersion = "plot_dispersion",
  influence = "plot_influence", residuals = "plot_residual_programs",
  unexplained = "plot_unexplained"
)

#' @rdname plot_diagnosis
#' @method autoplot diagnosis
#' @export
autoplot.diagnosis <- function(object, type = c("identifiability", "dispersion", "influence",
                                                "residuals", "unexplained", "all"), ...) {
  type <- check_choice(type, c(names(DIAGNOSIS_PANELS), "all"), "type")
  chosen <- if (type == "all") names(DIAGNOSIS_PANELS) else type
  refuse_dots(..., .known = diagnosis_arguments(chosen))
  given <- list(...)
  draw <- function(panel) {
    taken <- given[names(given) %in% diagnosis_arguments(panel)]
    do.call(DIAGNOSIS_PANELS[[panel]], c(list(object), taken), envir = environment())
  }
  if (type != "all") return(draw(type))
  can <- c(TRUE, TRUE, !is.null(object$influence),
           !is.null(object$programs) && nrow(object$programs) > 0L, TRUE)
  structure(sapply(chosen[can], draw, simplify = FALSE), class = "unalloy_plots")
}

#' @rdname plot_diagnosis
#' @export
plot_diagnosis <- function(diagnosis, type = c("identifiability", "dispersion", "influence",
                                               "residuals", "unexplained", "all"), ...) {
  check_call()
  check_diagnosis(diagnosis)
  autoplot.diagnosis(diagnosis, type, ...)
}

#' @rdname plot_diagnosis
#' @export
plot.diagnosis <- function(x, type = c("identifiability", "dispersion", "influence",
                                       "residuals", "unexplained", "all"), ...) {
  refuse_dots(..., .known = diagnosis_arguments(names(DIAGNOSIS_PANELS)))
  invisible(print(autoplot.diagnosis(x, type, ...)))
}

diagnosis_arguments <- function(panels) unlist(lapply(DIAGNOSIS_PANELS[panels], arguments_of))

check_diagnosis <- function(diagnosis, .call = caller_env()) {
  if (!inherits(diagnosis, "diagnosis")) {
    stop_user("argument", "`diagnosis` must be a result of `diagnose()`.",
              x = paste0("It is ", describe(diagnosis), "."), .call = .call)
  }
}

#' @rdname plot_diagnosis
#' @export
plot_identifiability <- function(diagnosis) {
  check_call()
  check_diagnosis(diagnosis)
  types <- diagnosis$types$type
  pairs <- diagnosis$pairs
  # below the diagonal, first type on top
  table <- data.frame(
    x = factor(pairs$type_1, types), y = factor(pairs$type_2, rev(types)),
    correlation = pairs$design_correlation
  )
  inflation <- sqrt(diagnosis$types$inflation)
  diagonal <- data.frame(x = factor(types, types), y = factor(types, rev(types)),
                         label = ifelse(is.finite(inflation), format_short(inflation), "\u221e"))
  n <- length(types)
  ggplot(table, aes(.data$x, .data$y)) +
    geom_tile(aes(fill = .data$correlation), colour = "white", linewidth = 0.3) +
    geom_text(aes(label = .data$label), diagonal, size = max(1.8, min(3.4, 60 / n))) +
    scale_fill_gradient2(low = TYPE_COLOURS[4L], mid = "grey97", high = TYPE_COLOURS[1L],
                         limits = c(-1, 1), name = "Correlation\nof errors") +
    scale_x_discrete(limits = types, labels = shorten) +
    scale_y_discrete(limits = rev(types), labels = shorten) +
    labs(title = "Which types can be told apart", x = NULL, y = NULL, caption = paste0(
      "Near -1: what one type gets too much the other gets too little.\nDiagonal: standard ",
      "error as a multiple of that with the other types known."
    )) +
    theme_unalloy() +
    theme(panel.grid.major = element_blank(),
          axis.text.x = element_text(angle = 90, hjust = 1, vjust = 0.5),
          axis.text = element_text(size = rel(if (n > 25) 0.7 else 0.9)))
}

format_short <- function(x) {
  ifelse(x < 10, format(round(x, 1), nsmall = 1, trim = TRUE),
         format(signif(x, 2), scientific = FALSE, trim = TRUE))
}

#' @rdname plot_diagnosis
#' @export
plot_dispersion <- function(diagnosis, group = NULL) {
  check_call()
  check_diagnosis(diagnosis)
  table <- diagnosis$samples[c("sample", "dispersion")]
  table <- place_samples(table, table$dispersion, group)
  middle <- stats::median(table$dispersion)
  ggplot(table, aes(.data$sample, .data$dispersion)) +
    geom_hline(yintercept = 1, linetype = "dashed", colour = "grey50") +
    geom_segment(aes(xend = .data$sample, yend = middle), colour = "grey75") +
    geom_point(colour = TYPE_COLOURS[1L], size = 2) +
    scale_y_log10() +
    labs(title = "Residuals in units of the model's variance", y = "Dispersion", caption = paste0(
      "Dashed: 1, where the model tells the whole error. Median: ", number_text(middle),
      ", a factor of ", number_text(stats::median(diagnosis$samples$typical_factor, na.rm = TRUE)),
      " in a typical gene."
    )) +
    sample_axis(nrow(table), group)
}

#' @rdname plot_diagnosis
#' @export
plot_influence <- function(diagnosis, types = NULL, n = NULL) {
  check_call()
  check_diagnosis(diagnosis)
  known <- diagnosis$types$type
  check_types(types, known)
  n_types <- if (is.null(types)) length(known) else length(types)
  n <- if (is.null(n)) (if (n_types <= 6) 5 else if (n_types <= 12) 3 else 2)
       else check_count(n, "n")
  table <- leading_genes(diagnosis, n)
  if (!is.null(types)) table <- table[table$type %in% types, ]
  table <- droplevels(table)
  # a gene may stand in several panels: rows are pairs of type and gene
  table <- table[order(table$type, table$influence), ]
  table$row <- factor(seq_len(nrow(table)))
  table$role <- factor(table$role, c("drives", "contradicts"))
  size <- if (n_types > 12) 0.65 else if (n_types > 6) 0.75 else 0.9
  ggplot(table, aes(100 * .data$influence, .data$row, fill = .data$role)) +
    geom_col(width = 0.75) +
    geom_vline(xintercept = 0, colour = "grey40", linewidth = 0.3) +
    facet_wrap(vars(.data$type), scales = "free", labeller = strip_labels(n_types)) +
    scale_fill_manual(values = c(drives = TYPE_COLOURS[1L], contradicts = TYPE_COLOURS[4L]),
                      name = NULL, drop = FALSE) +
    scale_x_continuous(n.breaks = if (n_types > 6) 2 else 4, labels = function(at) signif(at, 2)) +
    scale_y_discrete(labels = function(at) shorten_all(table$gene[as.integer(at)], 16L)) +
    labs(title = "Genes that move a type", y = NULL,
         x = "Share with the gene, less the share without it (percentage points)",
         caption = "Mean over the samples that have the type, to first order.") +
    theme_unalloy() +
    theme(legend.position = "top", panel.grid.major.y = element_blank(),
          axis.text = element_text(size = rel(size)), panel.spacing.x = unit(0.8, "lines"),
          strip.text = element_text(size = rel(strip_size(n_types))))
}

#' @rdname plot_diagnosis
#' @export
plot_residual_programs <- function(diagnosis, group = NULL, n = 5) {
  check_call()
  check_diagnosis(diagnosis)
  n <- check_count(n, "n")
  need_programs(diagnosis)
  programs <- diagnosis$programs
  activity <- diagnosis$program_samples
  labels <- vapply(programs$program, function(k) program_label(diagnosis, k, n), "")
  table <- data.frame(
    sample = rep(rownames(activity), ncol(activity)),
    program = factor(rep(labels, each = nrow(activity)), labels),
    activity = as.vector(activity), beyond = rep(programs$beyond_chance, each = nrow(activity))
  )
  samples <- diagnosis$samples$sample
  groups <- check_group(group, samples)[match(rownames(activity), samples)]
  sorted <- rownames(activity)[order(groups, activity[, 1L])]
  table$sample <- factor(table$sample, sorted)
  table$group <- rep(groups, ncol(activity))
  ggplot(table, aes(.data$sample, .data$activity, fill = .data$group, alpha = .data$beyond)) +
    geom_col(width = 0.9) +
    scale_discrete_manual("fill", values = unname(type_palette(nlevels(groups))), name = NULL,
                          guide = if (is.null(group)) "none" else guide_legend()) +
    scale_discrete_manual("alpha", values = c(`TRUE` = 1, `FALSE` = 0.35), guide = "none") +
    facet_wrap(vars(.data$program), ncol = 1L) +
    scale_y_continuous(breaks = c(0, 0.5, 1), expand = expansion(c(0, 0.05))) +
    labs(title = "Programs that the residuals of samples share",
         y = "Activity (0 lowest, 1 highest sample)",
         caption = paste0("Of the residual variance: ", variance_text(diagnosis$variance),
                          ".\nPale: within chance.")) +
    sample_axis(nrow(activity), NULL) +
    theme(strip.text = element_text(hjust = 0, size = rel(0.75), face = "plain"),
          panel.grid.major.x = element_blank(), strip.clip = "on")
}

variance_text <- function(variance) {
  words <- c(constant = "constant per gene", composition = "with the composition",
             programs = "in programs beyond chance", rest = "not shared")
  paste(paste(vapply(variance, percent_text, ""), words[names(variance)]), collapse = ", ")
}

program_label <- function(diagnosis, k, n) {
  program <- diagnosis$programs[k, ]
  change <- diagnosis$program_genes[, k]
  rising <- utils::head(names(sort(change[change > 0], decreasing = TRUE)), n)
  falling <- utils::head(names(sort(change[change < 0])), n)
  list_of <- function(genes) paste(shorten_all(genes, 16L), collapse = ", ")
  paste0("Program ", k, ": ", percent_text(program$share), " of what is left (chance: ",
         percent_text(program$chance), "), one-sided ", format(round(program$one_sided, 2)),
         "\nup: ", list_of(rising), "\ndown: ", list_of(falling))
}

#' @rdname plot_diagnosis
#' @export
plot_unexplained <- function(diagnosis, group = NULL) {
  check_call()
  check_diagnosis(diagnosis)
  samples <- diagnosis$samples
  kinds <- c(excess = "Reads above the fit", deficit = "Reads below the fit",
             intercept = "Intercept, share of mRNA")
  if (anyNA(samples$intercept)) kinds <- kinds[1:2]
  table <- data.frame(
    sample = rep(samples$sample, length(kinds)),
    kind = factor(rep(kinds, each = nrow(samples)), kinds),
    share = unlist(samples[names(kinds)], use.names = FALSE)
  )
  table <- place_samples(table, samples$excess, group)
  ggplot(table, aes(.data$sample, .data$share, colour = .data$kind, shape = .data$kind)) +
    geom_point(size = if (nrow(samples) > 60) 1.3 else 2) +
    scale_colour_manual(values = TYPE_COLOURS[c(4L, 1L, 3L)], name = NULL) +
    scale_shape_manual(values = c(17, 16, 15), name = NULL) +
    scale_y_continuous(limits = c(0, NA), expand = expansion(c(0, 0.05))) +
    labs(title = "What the types do not explain", y = "Share", caption = paste(
      "Reads above and below their fitted means, as shares of all reads in the genes of the fit."
    )) +
    sample_axis(nrow(samples), group) + theme(legend.position = "top")
}
