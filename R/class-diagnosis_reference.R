# What a diagnosis says of the reference and of samples beyond it.

# Log error of a share from which the cells of a type are few.
FEW_CELLS_ERROR <- 0.1

# Part of the reads above the fit that errors of genes do not reach.  Log-normal errors of
# sd s about a fit to the median leave pnorm(s) - exp(-s^2 / 2) / 2 of the reads above it:
# 0.9 is s = 2, beyond the 0.2 to 1.8 that are seen between platforms.
MOSTLY_ABOVE <- 0.9

# Samples that the reference does not describe: the fit is worse than a uniform one, and
# nearly all reads are above it, or both the reads above it and the typical error of a
# gene are far beyond those of the other samples.
beyond_reference <- function(samples) {
  far <- function(x, least) {
    above <- x - stats::median(x, na.rm = TRUE)
    above > pmax(3 * stats::mad(x, na.rm = TRUE), least) & nrow(samples) >= 4L
  }
  odds <- stats::qlogis(pmin(samples$excess, 1 - 1e-9))
  out <- samples$deviance_explained < 0 &
    (samples$excess >= MOSTLY_ABOVE |
       far(odds, log(2)) & far(log(samples$typical_factor), log(GOOD_FACTOR)))
  which(out)
}

beyond_reference_finding <- function(x) {
  found <- beyond_reference(x$samples)
  if (!length(found)) return(NULL)
  found <- found[order(-x$samples$excess[found])]
  own <- x$samples[found, ]
  finding("Samples beyond the reference", "worry", paste0(
    some_of(own$sample, 8L), if (nrow(own) == 1L) " is" else " are",
    " not described by the types of the reference: ",
    paste(unique(percent_text(range(own$excess))), collapse = " to "),
    " of the reads are above the fit, which is worse than a uniform one, and a typical gene ",
    "differs by a factor of ",
    paste(unique(number_text(range(own$typical_factor))), collapse = " to "), "."
  ), paste("Are these of a type that the reference lacks? Their shares are those of whatever",
           "resembles it, and no interval holds that: leave the samples out, or add the type."))
}

few_cells_finding <- function(x) {
  few <- which(TYPE_ERROR$per_cell / sqrt(x$types$cells) > FEW_CELLS_ERROR)
  if (!length(few)) return(NULL)
  few <- few[order(x$types$cells[few])]
  listed <- paste0("\"", x$types$type[few], "\" (", x$types$cells[few], ")")
  error <- TYPE_ERROR$per_cell / sqrt(min(x$types$cells[few]))
  finding("Types with few cells", "note", paste0(
    "The reference has few cells of ", paste(utils::head(listed, 8L), collapse = ", "),
    ": that alone is a log error of up to ", number_text(error), " of a share."
  ), "It is part of their intervals. Merge these types with related ones, or find more cells.")
}

type_error_finding <- function(x) {
  if (is.null(x$type_error)) return(NULL)
  table <- x$type_error
  topic <- "Errors of whole types"
  if (max(table$sd) == 0) {
    return(finding(topic, "note", paste(
      "Intervals leave out the error that the genes of a type share (`type_error = 0`). On real",
      "mixtures of known composition such 95 % intervals covered half of the truth."
    )))
  }
  range <- unique(number_text(range(table$sd)))
  finding(topic, "note", paste0(
    "The genes of a type err together, which no residual shows: intervals of shares hold a log ",
    "error of sd ", paste(range, collapse = " to "), " for it (", table$from[1L],
    "). Differences between samples are known better (`contrast()`)."
  ), if (startsWith(table$from[1L], "prior")) {
    "Samples of known composition tell its size: `learn_type_error()`."
  } else {
    NA_character_
  })
}

state_finding <- function(x) {
  if (is.null(x$states)) return(NULL)
  found <- x$states[x$states$differs, ]
  if (!nrow(found)) return(NULL)
  said <- vapply(seq_len(nrow(found)), function(i) {
    own <- found[i, ]
    paste0(STATE_NAMES[[own$state]], " is ", number_text(2^abs(own$log2_error)),
           " times as strong in the ", if (own$log2_error < 0) "reference" else "samples",
           " (", own$genes, " genes)")
  }, "")
  finding("State of the cells", "note", paste0(
    "Reference and samples are in different states: ", paste(said, collapse = "; "), "."
  ), paste("Cultured, stimulated or dissociated cells have other genes and other amounts of mRNA:",
           "trust `cell_fractions` less, and do not read these genes as a type that is missing."))
}
