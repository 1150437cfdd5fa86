# What a diagnosis says in words: one finding per topic, as a data frame.

# Limits of the words; the tables have the numbers.
# Standard errors are then more than three times what they would be if the other
# types were known.
HIGH_INFLATION <- 10
# Belsley, Kuh and Welsch: moderate to strong dependence.
HIGH_CONDITION <- 30
identifiability_finding <- function(x) {
  topic <- "Telling types apart"
  if (nrow(x$types) < 2L) return(finding(topic, "fine", "There is one type."))
  confused <- x$pairs[!x$pairs$told_apart, ]
  inflated <- x$types[x$types$inflation > HIGH_INFLATION, ]
  if (nrow(confused)) {
    worst <- confused[1L, ]
    text <- paste0("\"", worst$type_1, "\" and \"", worst$type_2, "\" can hardly be told apart: ",
                   "the errors of their estimates correlate at ",
                   number_text(worst$design_correlation, 3),
                   ", so what one has too much the other has too little",
                   if (nrow(confused) > 1L) paste0(" (and so for ",
                                                   plural(nrow(confused) - 1, "more pair"), ")"),
                   ".")
    return(finding(topic, "worry", text, paste(
      "Their sum is better known than either: `merge_types(result)` reports types together",
      "where they cannot be told apart."
    )))
  }
  if (nrow(inflated)) {
    worst <- inflated[which.max(inflated$inflation), ]
    return(finding(topic, "note", paste0(
      "\"", worst$type, "\" looks like a mixture of other types: its standard error is ",
      if (is.finite(worst$inflation)) paste0(number_text(sqrt(worst$inflation)), " times ")
      else "very much above ", "what it would be if those were known."
    ), "Look at its interval (`confint(result)`) before you interpret its share."))
  }
  condition <- stats::median(x$samples$condition)
  finding(topic, if (condition > HIGH_CONDITION) "note" else "fine", paste0(
    "Every type has a profile of its own (condition number ", number_text(condition),
    "; standard errors at most ", number_text(sqrt(max(x$types$inflation))), " times what ",
    "they would be with the other types known)."
  ))
}

dispersion_finding <- function(x) {
  topic <- "Errors of genes"
  dispersion <- stats::median(x$samples$dispersion)
  factor <- stats::median(x$samples$typical_factor, na.rm = TRUE)
  model <- if (x$error_model == "poisson") {
    paste0("errors are ", number_text(sqrt(dispersion)), " times what counting explains ",
           "(dispersion ", number_text(dispersion), ")")
  } else {
    paste0("the model allows for a factor of ", number_text(exp(sqrt(x$tau2))), " and more ",
           "(dispersion ", number_text(dispersion), ")")
  }
  if (is.na(factor)) {
    return(finding(topic, "note", paste0("Few genes have 20 reads or more; ", model, "."),
                   "Deeper sequencing would tell more than any setting."))
  }
  level <- if (factor < GOOD_FACTOR) "fine" else if (factor < BAD_FACTOR) "note" else "worry"
  text <- paste0("Counts differ from the fit by a factor of ", number_text(factor),
                 " in a typical gene; ", model, ".")
  advice <- c(
    fine = NA,
    note = paste("Usual between platforms. `confint()` allows for errors of single genes, and",
                 "for those that the genes of a type share; not for a type or state that the",
                 "reference lacks."),
    worry = paste("Do gene names, units and lengths of reference and bulk mean the same? Is the",
                  "reference of this tissue?")
  )[[level]]
  finding(topic, level, text, advice)
}

# Samples whose errors are far above those of the others: by the dispersion or,
# with the platform model, where that stops at 1, by the typical log error.
odd_samples_finding <- function(x) {
  if (nrow(x$samples) < 4L) return(NULL)
  poisson <- x$error_model == "poisson"
  squares <- if (poisson) x$samples$dispersion else log(x$samples$typical_factor)^2
  level <- log(pmax(squares, .Machine$double.xmin))
  above <- level - stats::median(level, na.rm = TRUE)
  odd <- which(above > pmax(3 * stats::mad(level, na.rm = TRUE), log(2)))
  odd <- setdiff(odd, beyond_reference(x$samples))
  if (!length(odd)) return(NULL)
  odd <- odd[order(-above[odd])]
  finding("Odd samples", "worry", paste0(
    some_of(x$samples$sample[odd]), if (length(odd) == 1L) " fits" else " fit",
    " much worse than the others: up to ", number_text(exp(max(above[odd]))), " times their ",
    if (poisson) "dispersion." else "squared log error."
  ), "Look at their quality, and leave them out if it is poor.")
}

influence_finding <- function(x) {
  topic <- "Single genes"
  if (x$penalised) {
    return(finding(topic, "note", "Not looked at: the fit has a penalty.",
                   "Fit without penalties to see which genes move an estimate."))
  }
  genes <- leading_genes(x, 1L)
  # of types that others replace, more than genes is in doubt
  own <- x$types$type[x$types$inflation <= HIGH_INFLATION]
  genes <- genes[is.finite(genes$std_errors) & genes$type %in% own, ]
  if (!nrow(genes)) return(finding(topic, "fine", "No gene moves an estimate."))
  worst <- genes[which.max(abs(genes$std_errors)), ]
  size <- paste0("Without \"", worst$gene, "\" the share of \"", worst$type, "\" would be ",
                 number_text(abs(worst$influence)),
                 if (worst$influence > 0) " lower" else " higher", " on average (",
                 number_text(abs(worst$std_errors)), " standard errors)")
  if (abs(worst$std_errors) < 1) {
    return(finding(topic, "fine", paste0("No estimate hangs on one gene. ", size, ".")))
  }
  finding(topic, "note", paste0("An estimate hangs on a single gene. ", size, "."), paste(
    "Is the gene measured alike on both platforms? If not, give it the weight 0.",
    "`as.data.frame(diagnosis, \"influence\")` has the leading genes of each type."
  ))
}

unexplained_finding <- function(x) {
  topic <- "Unexplained"
  excess <- stats::median(x$samples$excess)
  intercept <- stats::median(x$samples$intercept)
  text <- paste0(percent_text(excess), " of the reads are above what the types explain in their ",
                 "genes")
  if (!is.na(intercept)) {
    text <- paste0(text, "; the uniform background has ", percent_text(intercept), " of the mRNA")
  }
  size <- max(excess, 4 * intercept, na.rm = TRUE)
  level <- if (size < 0.2) "fine" else if (size < 0.5) "note" else "worry"
  advice <- c(
    fine = NA, note = "Usual between platforms, if no type is missing (see below).",
    worry = "The reference describes these samples badly: another tissue, unit or gene naming?"
  )[[level]]
  finding(topic, level, paste0(text, "."), advice)
}

program_finding <- function(x) {
  if (is.null(x$programs) || !nrow(x$programs)) return(NULL)
  topic <- "Shared residuals"
  beyond <- x$programs[x$programs$beyond_chance, ]
  constant <- paste0(percent_text(x$variance[["constant"]]), " of the residual variance is a ",
                     "constant error of each gene")
  if (!nrow(beyond)) {
    return(finding(topic, "fine", paste0(constant, "; nothing else is shared by samples beyond ",
                                         "chance.")))
  }
  genes <- leading_program_genes(x, 3L)
  finding(topic, "note", paste0(
    constant, ", and ", percent_text(x$variance[["programs"]]), " is in ",
    plural(nrow(beyond), "program"), " that samples share beyond chance. ",
    "The strongest genes of the first: ", some_of(genes$gene[genes$program == 1L]), "."
  ), paste("Batch, sample quality, cell states, or a missing type: see",
           "`plot(diagnosis, \"residuals\")`."))
}

missing_finding <- function(x) {
  topic <- "Missing type"
  missing <- x$missing_type
  if (identical(missing$reason, "skipped")) {
    return(finding(topic, "note", "Not looked for (`programs = 0`)."))
  }
  if (!isTRUE(missing$suspected)) {
    above <- erring_genes(x, 5L)
    above <- above$gene[above$log2_error > 1]
    throughout <- if (length(above)) {
      paste0(" Genes far above the fit in all samples, where a type with the same share in all ",
             "would show: ", some_of(above, 5L), ".")
    }
    few <- is.na(missing$suspected)
    text <- if (few) {
      paste0("Not told: samples that differ are needed, ", FEWEST_SAMPLES, " at least.")
    } else {
      "No sign of a type that the reference lacks, among types whose share differs between samples."
    }
    return(finding(topic, if (few) "note" else "fine", paste0(text, throughout)))
  }
  finding(topic, "worry", paste0(
    "A cell type or state seems to be missing from the reference: genes rise together in some ",
    "samples (most in ", some_of(missing$samples), ") and no type explains them. Its strongest ",
    "genes: ", some_of(missing$genes, 8L), "."
  ), paste("Look the genes up, and add the type to the reference. Until then the shares of types",
           "that resemble it are too large in these samples."))
}

#' @rdname diagnosis
#' @export
print.diagnosis <- function(x, width = getOption("width"), ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Diagnosis of ", plural(nrow(x$samples), "sample"), " and ",
      plural(nrow(x$types), "cell type"), " (", plural(x$n_genes, "gene"), ", ",
      if (x$error_model == "poisson") "Poisson model" else "platform error model", ")\n", sep = "")
  worries <- sum(x$findings$level == "worry")
  notes <- sum(x$findings$level == "note")
  cat(if (worries) paste(plural(worries, "point"), "to worry about")
      else "Nothing to worry about", if (notes) paste0(", ", plural(notes, "point"), " to know"),
      ".\n", sep = "")
  marks <- c(worry = "(!) ", note = "(i) ", fine = " ok ")
  for (level in names(marks)) {
    for (at in which(x$findings$level == level)) {
      found <- x$findings[at, ]
      cat("\n", marks[[level]], found$topic, "\n", sep = "")
      cat_wrapped(found$text, "    ", width)
      if (!is.na(found$advice)) cat_wrapped(found$advice, "    ", width, "    > ")
    }
  }
  cat("\n")
  cat_wrapped(paste0("Look closer: plot(), or as.data.frame() of ",
                     paste0("\"", DIAGNOSIS_TABLES[-1L], "\"", collapse = ", ")), "", width)
  invisible(x)
}

cat_wrapped <- function(text, indent, width, first = indent) {
  cat(strwrap(text, width = max(20, width), initial = first, prefix = indent), sep = "\n")
}
