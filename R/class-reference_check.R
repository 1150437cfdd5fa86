# What is to be said of a reference and a bulk before they are fitted: findings as in a
# diagnosis, each with the line that mends it.

new_reference_check <- function(findings, facts) {
  order <- order(match(findings$level, c("worry", "note", "fine")))
  findings <- findings[order, ]
  rownames(findings) <- NULL
  structure(c(list(findings = findings), facts), class = "reference_check")
}

checked <- function(topic, level, text, advice = NA_character_, code = NA_character_) {
  cbind(finding(topic, level, text, advice), code = code)
}

# Labels that name no type: what is left when cells are sorted out.
NO_TYPE <- paste0("^(|na|none|nan|null|un(known|assigned|classified|defined|identified)|other|",
                  "ambiguous|doublets?|multiplets?|low.?quality|debris|empty|ambient|to.?remove|",
                  "mixed?|cells?)$")

label_check <- function(signatures) {
  topic <- "Labels"
  types <- colnames(signatures$profiles)
  odd <- types[grepl(NO_TYPE, trimws(types), ignore.case = TRUE)]
  if (length(odd)) {
    return(checked(
      topic, "worry", paste0(some_of(odd), if (length(odd) == 1L) " is" else " are",
                             " no cell type: such cells are a mixture of others."),
      "Leave them out.", paste0("signatures <- signatures[, !colnames(signatures) %in% c(",
                                paste0("\"", odd, "\"", collapse = ", "), ")]")
    ))
  }
  if (all(grepl("^([Cc]luster[ _.-]?)?[0-9]+$", types))) {
    return(checked(topic, "note", "Types have the numbers of clusters.",
                   "Name them: shares of cells need names, and so do readers."))
  }
  checked(topic, "fine", paste0(plural(length(types), "type"), " with names."))
}

# What build_signatures() warns at, and what makes a profile of 2,000 UMI per cell know
# a gene of 100 per million to some 30 %.
FEW_CELLS <- c(worry = 10, note = 50)

# Which columns hold what is the user's to say.
WITH_DONORS <- paste("signatures <- build_signatures(cells, \"celltype\", donors = \"donor\")",
                     "  # the names of your columns")

cell_check <- function(signatures) {
  topic <- "Cells per type"
  cells <- signatures$cells
  if (all(is.na(cells))) {
    return(checked(topic, "note", "The signatures do not say from how many cells they are.",
                   "Intervals then leave out the error of the signatures.",
                   WITH_DONORS))
  }
  few <- names(cells)[cells < FEW_CELLS[["note"]]]
  if (length(few)) {
    few <- few[order(cells[few])]
    level <- if (min(cells) < FEW_CELLS[["worry"]]) "worry" else "note"
    return(checked(topic, level, paste0(
      plural(length(few), "type"), if (length(few) == 1L) " has" else " have", " less than ",
      FEW_CELLS[["note"]], " cells: ", paste0("\"", utils::head(few, 4L), "\" ",
                                              cells[utils::head(few, 4L)], collapse = ", "),
      if (length(few) > 4L) ", ...", "."
    ), "Merge each with its nearest relative, or take more cells.",
    "signatures <- merge_signatures(signatures, list(New = c(\"one\", \"other\")))"))
  }
  if (all(is.na(signatures$donors)) || max(signatures$donors, na.rm = TRUE) < 2L) {
    return(checked(topic, "note", paste0("At least ", count_text(min(cells)),
                                         " cells per type, but donors are not told apart."),
                   "Donors differ more than cells do: with them intervals are honest.",
                   WITH_DONORS))
  }
  checked(topic, "fine", paste0("At least ", count_text(min(cells)), " cells per type, of up to ",
                                plural(max(signatures$donors, na.rm = TRUE), "donor"), "."))
}

# Fewer matched genes than this leave little to tell types by.
LEAST_MATCHED <- 0.5

name_check <- function(reference, bulk, matched, reference_naming, bulk_naming) {
  topic <- "Names of genes"
  n <- min(length(unique(reference)), length(unique(bulk)))
  share <- matched / n
  species <- c(reference_naming$species, bulk_naming$species)
  if (!anyNA(species) && species[1L] != species[2L]) {
    return(checked(
      topic, "worry", paste0("The reference has ", naming_text(reference_naming), ", the bulk ",
                             naming_text(bulk_naming), ": ", plural(matched, "gene"), " match",
                             if (matched) ", by chance", "."),
      "Bring one side to the other's species by a table of orthologues.",
      "signatures <- convert_genes(signatures, table = orthologues)"
    ))
  }
  kinds <- c(reference_naming$kind, bulk_naming$kind)
  if (kinds[1L] != kinds[2L] && share < LEAST_MATCHED && !"unknown" %in% kinds) {
    code <- if (kinds[1L] %in% c("symbol", "ensembl", "entrez")) {
      paste0("bulk <- convert_genes(bulk, to = \"", kinds[1L], "\")")
    } else {
      "bulk <- convert_genes(bulk, table = names_from_and_to)"
    }
    return(checked(topic, "worry", paste0(
      "The reference has ", naming_text(reference_naming), ", the bulk ", naming_text(bulk_naming),
      ": ", plural(matched, "gene"), " match."
    ), "Convert one side.", code))
  }
  text <- paste0(count_text(matched), " of ", plural(n, "gene"), " match (",
                 percent_text(share), "); the bulk has ", naming_text(bulk_naming), ".")
  if (share >= LEAST_MATCHED) return(checked(topic, "fine", text))
  checked(topic, if (matched < 100L) "worry" else "note", text,
          "Symbols of another year match under those of today.",
          "bulk <- convert_genes(bulk); signatures <- convert_genes(signatures)")
}

unit_check <- function(values, error) {
  topic <- "Counts of the bulk"
  if (!is.null(error)) {
    mend <- unname(error$body[names(error$body) == "i"])
    log <- inherits(error, "unalloy_error_log_scale")
    return(checked(topic, "worry", paste(c(cli::ansi_strip(error$message),
                                           unname(error$body[names(error$body) == "x"])),
                                         collapse = " "),
                   if (length(mend)) mend[1L] else NA_character_,
                   if (log) "deconvolve_bulk(signatures, bulk, bulk_scale = \"log1p\")"
                   else NA_character_))
  }
  if (values$unit == "counts") {
    reads <- stats::median(values$totals)
    if (reads < 1e5) {
      return(checked(topic, "note", paste0("Whole numbers, ", count_text(round(reads)),
                                           " reads in the median sample: few."),
                     "Shares of rare types will have wide intervals."))
    }
    return(checked(topic, "fine", paste0("Whole numbers, ", count_text(round(reads)),
                                         " reads in the median sample.")))
  }
  checked(topic, "note", paste0("Values are ", if (values$unit == "linear") "linear, but no counts"
                                else "scaled to a million", "."),
          "They are accepted; counts as they came from the mapper say more about noise.")
}

# Programs of genes that cells take on outside of the body or under treatment, with
# their source.  By symbols; mouse has the same in other case.
STATES <- list(
  `an interferon response` = c( # Schneider WM et al. (2014) Annu Rev Immunol 32:513
    "ISG15", "ISG20", "IFI6", "IFI44", "IFI44L", "IFIT1", "IFIT2", "IFIT3", "MX1", "MX2", "OAS1",
    "OAS2", "OAS3", "OASL", "RSAD2", "IFITM3", "LY6E", "CXCL10", "USP18", "HERC5"
  ),
  `stress of dissociation` = c( # van den Brink SC et al. (2017) Nat Methods 14:935
    "FOS", "FOSB", "JUN", "JUNB", "JUND", "EGR1", "IER2", "IER3", "ATF3", "DUSP1", "ZFP36",
    "HSPA1A", "HSPA1B", "HSPA8", "HSPB1", "HSP90AA1", "DNAJA1", "DNAJB1", "HSPE1", "NFKBIA"
  ),
  `cell division, as in culture` = c( # Tirosh I et al. (2016) Science 352:189
    "MKI67", "TOP2A", "CDK1", "BIRC5", "CCNB1", "CCNB2", "UBE2C", "TYMS", "RRM2", "NUSAP1",
    "CENPF", "TPX2", "AURKA", "AURKB", "PCNA", "MCM2", "MCM5", "KIF11", "BUB1", "CDC20"
  )
)

# A program counts when its genes differ by this factor, beyond three standard errors of
# a median of as many genes.
STATE_FACTOR <- 3

state_check <- function(reference, bulk) {
  topic <- "State of the cells"
  genes <- toupper(rownames(reference))
  # per million over matched genes, of all types alike and of the typical sample
  a <- 1e6 * rowMeans(normalise_columns(reference), na.rm = TRUE)
  b <- 1e6 * row_medians(normalise_columns(bulk))
  ratio <- log((a + 5) / (b + 5))
  seen <- is.finite(ratio) & (a >= 5 | b >= 5)
  if (sum(seen) < 100L) return(checked(topic, "note", "Too few genes match to tell."))
  centre <- stats::median(ratio[seen])
  spread <- stats::mad(ratio[seen])
  found <- lapply(STATES, function(set) {
    own <- seen & genes %in% set
    if (sum(own) < 5L) return(NULL)
    shift <- stats::median(ratio[own]) - centre
    beyond <- abs(shift) > log(STATE_FACTOR) && abs(shift) > 3 * 1.25 * spread / sqrt(sum(own))
    if (beyond) shift
  })
  if (!any(vapply(STATES, function(set) sum(seen & genes %in% set) >= 5L, NA))) {
    ensembl <- mean(grepl("^ENS", genes)) > 0.5
    code <- "check_reference(convert_genes(signatures), convert_genes(bulk))"
    return(checked(topic, "note", "Not looked at: it needs symbols.",
                   code = if (ensembl) code else NA_character_))
  }
  found <- found[!vapply(found, is.null, NA)]
  if (!length(found)) {
    return(checked(topic, "fine", paste0("Genes of ", paste(names(STATES), collapse = ", of "),
                                         " are alike on both sides.")))
  }
  texts <- vapply(names(found), function(name) {
    paste0("genes of ", name, " are ", number_text(exp(abs(found[[name]]))), " times ",
           if (found[[name]] > 0) "higher" else "lower", " in the reference than in the bulk")
  }, "")
  text <- paste0(paste(texts, collapse = "; "), ".")
  substr(text, 1L, 1L) <- "G"
  checked(topic, "note", text, paste(
    "Stimulated, stressed or cultured cells pull shares towards types that are alike in that",
    "state. Build signatures from cells in the state of the bulk."
  ), paste("signatures <- build_signatures(cells[, cells$condition == \"control\"], \"celltype\")",
        "  # the names of your columns"))
}

# What the design of equal shares implies for the errors of two types' exposures, when
# genes err by factors: errors of a gene are its mean plus 10 per million.
collinearity_check <- function(reference) {
  topic <- "Telling types apart"
  if (ncol(reference) < 2L) return(checked(topic, "fine", "There is one type."))
  profiles <- 1e6 * normalise_columns(reference)
  design <- profiles / (rowMeans(profiles) + 10)
  errors <- tryCatch(solve(crossprod(design)), error = function(e) NULL)
  if (is.null(errors)) {
    return(checked(topic, "worry", "Two types have the same profile, or sums of types have.",
                   "Merge them.",
                   "signatures <- merge_signatures(signatures, list(New = c(\"one\", \"other\")))"))
  }
  correlation <- stats::cov2cor(errors)
  diag(correlation) <- 0
  at <- arrayInd(which.min(correlation), dim(correlation))
  pair <- colnames(profiles)[at]
  n <- sum(correlation[upper.tri(correlation)] < -APART$correlation)
  text <- paste0("\"", pair[1L], "\" and \"", pair[2L], "\" are the most alike: their errors will ",
                 "correlate at about ", number_text(min(correlation)))
  if (n == 0L) return(checked(topic, "fine", paste0(text, ".")))
  checked(topic, "note", paste0(
    text, if (n > 1L) {
      paste0(" (", plural(n - 1L, "more pair"), " beyond ", -APART$correlation, ")")
    }, "."
  ), "Their sum will be known better than either.",
  paste0("merge_types(result)   # or merge_signatures(signatures, list(Both = c(\"", pair[1L],
         "\", \"", pair[2L], "\")))"))
}

# Samples that resemble no type: by the rank correlation with the nearest one.
sample_check <- function(reference, bulk) {
  topic <- "Samples"
  if (nrow(reference) < 20L) return(NULL)
  ranks <- function(x) apply(as.matrix(x), 2L, rank)
  nearest <- apply(stats::cor(ranks(reference), ranks(bulk)), 2L, max)
  names(nearest) <- colnames(bulk)
  limit <- max(0.3, stats::median(nearest) - max(0.15, 3 * stats::mad(nearest)))
  odd <- which(is.na(nearest) | nearest < limit)
  if (!length(odd)) {
    return(checked(topic, "fine", paste0(
      "Every sample resembles some type (rank correlation ", number_text(min(nearest)),
      if (length(nearest) > 1L) paste(" to", number_text(max(nearest))), ")."
    )))
  }
  odd <- odd[order(nearest[odd])]
  checked(topic, if (length(odd) > length(nearest) / 2) "worry" else "note", paste0(
    some_of(names(nearest)[odd]), if (length(odd) == 1L) " resembles" else " resemble",
    " no type of the reference (rank correlation ", number_text(nearest[odd[1L]]), ")."
  ), if (length(odd) > length(nearest) / 2) "Is the reference of this tissue?"
  else "Look at their quality, or for a tissue that the reference lacks.",
  paste0("bulk <- bulk[, !colnames(bulk) %in% c(",
         paste0("\"", utils::head(names(nearest)[odd], 3L), "\"", collapse = ", "),
         if (length(odd) > 3L) ", ...", ")]"))
}

#' @rdname check_reference
#' @param x A `reference_check`.
#' @param ... Not used; other arguments are refused.
#' @export
print.reference_check <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Check of a reference with ", plural(x$n_types, "type"), " for ",
      plural(x$n_samples, "sample"), "\n", sep = "")
  marks <- c(fine = "[ ok ]", note = "[note]", worry = "[ !! ]")
  for (k in seq_len(nrow(x$findings))) {
    row <- x$findings[k, ]
    said <- paste0(marks[[row$level]], " ", row$topic, ". ", row$text,
                   if (!is.na(row$advice)) paste0(" ", row$advice))
    writeLines(strwrap(said, getOption("width"), exdent = 7L))
    if (!is.na(row$code)) cat("       ", row$code, "\n", sep = "")
  }
  invisible(x)
}

#' @rdname check_reference
#' @param row.names,optional For agreement with the generic; row names are refused.
#' @export
as.data.frame.reference_check <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  x$findings
}
