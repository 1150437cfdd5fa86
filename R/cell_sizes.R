# mRNA per cell of a type, from the literature.

# What each source gives; figures of one source are relative to each other only.
# Checked against the repositories GfellerLab/EPIC (its help on mRNA_cell_default,
# and quotations of the data), icbi-lab/quanTIseq (its file TIL10_mRNA_scaling) and
# metamaden/cellScaleFactors, whose table compiles all four.
# EPIC's values for macrophages and T-cell subsets are copies of those for monocytes
# and T cells, so that they are left out; see CELL_SIZE_PARENT.
CELL_SIZE_FIGURES <- list(
  EPIC = c("B cell" = 0.4016, "T cell" = 0.3952, "NK cell" = 0.4396, "Monocyte" = 1.4196,
           "Neutrophil" = 0.13),
  quanTIseq = c("B cell" = 65.66148, "CD4 T cell" = 63.872, "CD8 T cell" = 70.25659,
                "Regulatory T cell" = 72.5511, "NK cell" = 117.71584, "Monocyte" = 130.65455,
                # M1 138.1152 and M2 119.35447
                "Macrophage" = mean(c(138.1152, 119.35447)),
                "Dendritic cell" = 140.76091, "Neutrophil" = 27.73634),
  ABIS = c("B cell" = 20837.57, "CD4 T cell" = 14262.065, "CD8 T cell" = 10660.952,
           "NK cell" = 21456.906, "Monocyte" = 22824.323, "Dendritic cell" = 57322.184,
           "Neutrophil" = 9546.743, "Plasma cell" = 325800.989),
  Sosina = c("Neuron" = 198, "Glia" = 180)
)

CELL_SIZE_SOURCES <- data.frame(
  source = c("EPIC", "quanTIseq", "ABIS", "Sosina"),
  tissue = c("blood", "blood", "blood", "brain"),
  measured = c("mRNA content of sorted cells", "expression of a housekeeping gene",
               "mRNA abundance of sorted cells", "nuclear RNA in osmFISH"),
  reference = c(
    "Racle et al. (2017), eLife 6, e26476",
    "Finotello et al. (2019), Genome Medicine 11, 34",
    "Monaco et al. (2019), Cell Reports 26, 1627-1640, as compiled by Dietrich et al. (2022)",
    "Sosina et al. (2021), F1000Research, as compiled by Maden et al. (2023)"
  )
)

# Whose figure stands in where a source has none of its own.
CELL_SIZE_PARENT <- c("CD4 T cell" = "T cell", "CD8 T cell" = "T cell",
                      "Regulatory T cell" = "CD4 T cell", "Macrophage" = "Monocyte")

#' mRNA per cell in the literature
#'
#' Published relative amounts of mRNA per cell, with their sources, and the
#' matching of names of types to them. A deconvolution estimates shares of mRNA;
#' dividing them by the mRNA per cell gives shares of cells.
#'
#' @details
#' Sources differ by up to a factor of three for the same type, so that shares of
#' cells are no better than these figures. `"consensus"` is the geometric mean over
#' sources of what each gives relative to T cells. Where a source has no figure for
#' a subset, that of the type above it stands in (T cells for CD4 and CD8 T cells,
#' CD4 T cells for regulatory ones, monocytes for macrophages, as in EPIC).
#' Figures for brain (neurons, glia) have no common scale with those for blood.
#'
#' Names are matched by the words in them, without regard to case: "CD14 Mono",
#' "Monocytes" and "CD14+" are monocytes, "CD4+/CD45RO+ Memory" are CD4 T cells,
#' "pDC" and "cDC1" dendritic cells. A name that says two types ("T/NK", "doublet")
#' or none of those in the table ("CD34+", "Platelet") is not matched.
#'
#' @param types Names of cell types.
#' @param source Whose figures.
#' @return `literature_cell_sizes()` gives a data frame with the columns `type`,
#'   `size` (as published), `relative` (to T cells of the same source; to glia for
#'   brain), `source`, `tissue`, `measured` and `reference`.
#'   `match_cell_size()` gives relative sizes named by `types`.
#' @section Errors: `unalloy_error_cell_size` names the types that are not
#'   matched.
#' @references
#' Racle J et al. (2017). Simultaneous enumeration of cancer and immune cell types
#' from bulk tumor gene expression data. *eLife* 6, e26476.
#' \doi{10.7554/eLife.26476}
#'
#' Finotello F et al. (2019). Molecular and pharmacological modulators of the tumor
#' immune contexture revealed by deconvolution of RNA-seq data. *Genome Medicine*
#' 11, 34. \doi{10.1186/s13073-019-0638-6}
#'
#' Monaco G et al. (2019). RNA-Seq signatures normalized by mRNA abundance allow
#' absolute deconvolution of human immune cell types. *Cell Reports* 26, 1627-1640.
#' \doi{10.1016/j.celrep.2019.01.041}
#'
#' Sosina OA et al. (2021). Strategies for cellular deconvolution in human brain RNA
#' sequencing data. *F1000Research*. \doi{10.12688/f1000research.50858.1}
#'
#' Dietrich A et al. (2022). SimBu: bias-aware simulation of bulk RNA-seq data with
#' variable cell-type composition. *Bioinformatics* 38, ii141-ii147.
#' \doi{10.1093/bioinformatics/btac499}
#'
#' Maden SK et al. (2023). Challenges and opportunities to computationally
#' deconvolve heterogeneous tissue with varying cell sizes using single cell
#' RNA-sequencing datasets. \doi{10.48550/arXiv.2305.06501}
#' @export
#' @examples
#' literature_cell_sizes()
#' match_cell_size(c("B", "CD14+", "NK cells", "CD4 Naive T"))
#' # types that are not in the table need a figure of your own
#' c(match_cell_size(c("B", "T", "CD14+")), "CD34+" = 2)
literature_cell_sizes <- function() {
  parts <- lapply(names(CELL_SIZE_FIGURES), function(source) {
    sizes <- CELL_SIZE_FIGURES[[source]]
    data.frame(type = names(sizes), size = unname(sizes),
               relative = unname(sizes) / anchor_size(sizes), source = source)
  })
  table <- do.call(rbind, parts)
  cbind(table, CELL_SIZE_SOURCES[match(table$source, CELL_SIZE_SOURCES$source),
                                 c("tissue", "measured", "reference")], row.names = NULL)
}

# T cells, or the mean of their subsets; glia in brain.
anchor_size <- function(sizes) {
  if ("Glia" %in% names(sizes)) return(sizes[["Glia"]])
  if ("T cell" %in% names(sizes)) return(sizes[["T cell"]])
  mean(sizes[grepl("T cell$", names(sizes))])
}

#' @rdname literature_cell_sizes
#' @export
match_cell_size <- function(types, source = c("consensus", "EPIC", "quanTIseq", "ABIS",
                                              "Sosina")) {
  check_call()
  if (!is.character(types) && !is.factor(types)) {
    stop_user("argument", "`types` must be names of cell types.",
              x = paste0("It is ", describe(types), "."))
  }
  source <- check_choice(source, c("consensus", names(CELL_SIZE_FIGURES)), "source")
  match_sizes(as.character(types), source)
}

match_sizes <- function(types, source = "consensus", .call = caller_env()) {
  rows <- size_row(types)
  sizes <- relative_sizes(source)[rows]
  if (anyNA(sizes)) stop_no_cell_size(types[is.na(sizes)], source, .call)
  brain <- rows %in% names(CELL_SIZE_FIGURES$Sosina)
  if (any(brain) && !all(brain)) {
    stop_user("cell_size", "Cells of brain and of blood were never measured on one scale.",
              x = paste0("Brain: ", some_of(types[brain]), "; blood: ", some_of(types[!brain]),
                         "."),
              i = "Give `cell_size` as a vector named by type.", .call = .call)
  }
  stats::setNames(as.double(sizes), types)
}

# Sizes of blood cells by name where at least half of the types are known; types
# that are not get the geometric mean of the others, which is said.  NULL where
# the table says too little.
auto_sizes <- function(types, verbose) {
  rows <- size_row(types)
  rows[rows %in% names(CELL_SIZE_FIGURES$Sosina)] <- NA
  sizes <- relative_sizes("consensus")[rows]
  known <- !is.na(sizes)
  if (sum(known) < 2L || mean(known) < 0.5) return(NULL)
  sizes[!known] <- exp(mean(log(sizes[known])))
  inform_user(verbose, paste(
    "`cell_fractions` are shares of cells, with mRNA per cell from the literature",
    "(`cell_size = \"none\"` leaves them out)."
  ), i = if (!all(known)) paste0("Not in the literature, taken as average: ",
                                 some_of(types[!known], 6L), "."))
  stats::setNames(as.double(sizes), types)
}

# mRNA per cell of each type (`sizes`) and the covariance of its log error
# (`error`), or NULL.
cell_sizes <- function(cell_size, signatures, verbose, .call) {
  types <- colnames(signatures$profiles)
  if (identical(cell_size, "none")) return(NULL)
  if (identical(cell_size, "auto") || identical(cell_size, "literature")) {
    sizes <- if (cell_size == "auto") auto_sizes(types, verbose)
             else match_sizes(types, .call = .call)
    if (is.null(sizes)) return(NULL)
    error <- literature_size_error(types)
    doubt <- contradicted_sizes(sizes, error, signatures)
    if (!is.null(doubt)) {
      warn_user("cell_size", paste("The mRNA of cells of the reference contradicts the literature,",
                                   "which `cell_fractions` rest on."),
                x = doubt, i = paste("Sorted, cultured or filtered cells lose mRNA that cells of",
                                     "the bulk may have. Compare with `cell_size = \"reference\"`;",
                                     "shares of mRNA (`proportions`) do not depend on either."),
                .call = .call)
    }
    return(list(sizes = sizes, error = error, source = "literature", doubt = doubt))
  }
  own <- identical(cell_size, "reference")
  if (own) {
    cell_size <- signatures$umi
    if (anyNA(cell_size)) {
      stop_user("cell_size", "The signatures do not say how much mRNA a cell has.",
                i = paste("`build_signatures()` keeps the mean UMI per cell; a plain matrix has",
                          "none. Give `cell_size` as a named vector."), .call = .call)
    }
  }
  if (!is.numeric(cell_size) || is.null(names(cell_size))) {
    stop_user("cell_size", paste("`cell_size` must be \"auto\", \"none\", \"reference\",",
                                 "\"literature\" or a vector named by type."),
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
  # given figures are taken as they are; UMI per cell are one more source
  error <- diag(if (own) CELL_SIZE_ERROR^2 else 0, length(types))
  list(sizes = stats::setNames(as.double(sizes), types), error = error,
       source = if (own) "reference" else "given")
}

# Errors, in standard deviations, beyond which figures contradict each other.
CONTRADICTED <- 2

# Names types whose mRNA per cell in the reference is far from the literature.
#
# Both are relative: UMI per cell and figures are compared about the median of their
# log ratios.  The figures err by `error`, the UMI per cell as one source does.
contradicted_sizes <- function(sizes, error, signatures) {
  known <- !is.na(size_row(names(sizes))) & is.finite(signatures$umi) & signatures$umi > 0
  if (sum(known) < 3L) return(NULL)
  ratio <- log(signatures$umi[known] / sizes[known])
  ratio <- ratio - stats::median(ratio)
  far <- which(abs(ratio) > CONTRADICTED * sqrt(diag(error)[known] + CELL_SIZE_ERROR^2))
  if (!length(far)) return(NULL)
  far <- far[order(-abs(ratio[far]))]
  listed <- paste0("\"", names(sizes)[known][far], "\" ", number_text(exp(ratio[far])))
  paste0("Beside the other types, a cell has this many times the UMI that the literature lets ",
         "expect: ", paste(utils::head(listed, 5L), collapse = ", "), ".")
}

# Covariance of the log error of literature sizes, types x types: that of a mean
# over sources.  Types that share a figure share its error; types without one have
# the spread of sizes between types.
literature_size_error <- function(types) {
  rows <- size_row(types)
  table <- relative_sizes("consensus")
  blood <- setdiff(names(table), names(CELL_SIZE_FIGURES$Sosina))
  # subsets of T cells and macrophages have the figures of their parents
  root <- ifelse(rows %in% names(CELL_SIZE_PARENT), size_root(rows), rows)
  n <- vapply(root, function(row) {
    sum(vapply(CELL_SIZE_FIGURES, function(sizes) {
      row %in% names(sizes) || row %in% CELL_SIZE_PARENT[names(sizes)]
    }, NA))
  }, 0)
  sd <- ifelse(is.na(root), stats::mad(log(table[blood])), CELL_SIZE_ERROR / sqrt(pmax(n, 1)))
  key <- ifelse(is.na(root), paste("unknown", seq_along(types)), root)
  outer(key, key, "==") * outer(sd, sd)
}

size_root <- function(rows) {
  repeat {
    parent <- CELL_SIZE_PARENT[rows]
    if (all(is.na(parent))) return(rows)
    rows <- unname(ifelse(is.na(parent), rows, parent))
  }
}

stop_no_cell_size <- function(types, source, .call) {
  stop_user(
    "cell_size", "The literature table does not have every type.",
    x = paste0(if (source != "consensus") paste0("Not in ", source, ": ") else "Not in it: ",
               some_of(types, 10L), "."),
    i = "`literature_cell_sizes()` shows what it has.",
    i = paste0("Give `cell_size` as a vector named by type: `c(match_cell_size(<the others>), \"",
               types[1L], "\" = <mRNA relative to a T cell>)`."), .call = .call
  )
}

# Size of each row of the table relative to T cells (glia in brain).
relative_sizes <- function(source) {
  types <- unique(c(unlist(lapply(CELL_SIZE_FIGURES, names)), names(CELL_SIZE_PARENT), "T cell"))
  wanted <- if (source == "consensus") names(CELL_SIZE_FIGURES) else source
  by_source <- vapply(CELL_SIZE_FIGURES[wanted], function(sizes) {
    relative <- sizes / anchor_size(sizes)
    if (!"Glia" %in% names(relative)) relative["T cell"] <- 1
    for (child in names(CELL_SIZE_PARENT)) {
      parent <- CELL_SIZE_PARENT[[child]]
      if (!child %in% names(relative) && parent %in% names(relative)) {
        relative[child] <- relative[[parent]]
      }
    }
    unname(relative[types])
  }, numeric(length(types)))
  by_source <- matrix(by_source, length(types), dimnames = list(types, wanted))
  mean_log <- rowMeans(log(by_source), na.rm = TRUE)
  ifelse(is.nan(mean_log), NA_real_, exp(mean_log))
}

# Words that say which row of the table a type belongs to.  Names are lower case,
# with one space for every run of other characters.
SIZE_WORDS <- c(
  "Plasma cell" = "\\bplasma(blast| ?cells?)?s?\\b",
  "Dendritic cell" = "dendritic|\\b[acmptv]?(mo)?dcs?\\d?\\b|\\bmo dc\\b",
  "Macrophage" = "macrophage|\\bmac(s|ro)?\\b|\\bmph?i?\\b|kupffer",
  "Monocyte" = "monocyt|\\bmono(s|cytes?)?\\b",
  "Neutrophil" = "neutro|\\bpmns?\\b",
  "NK cell" = "\\bnks?(cells?)?\\b|natural killer|\\bcd56",
  "B cell" = "\\bb( ?cells?| ?lymphocytes?)?\\b|\\bb(mem|naive)",
  "T cell" = paste0("\\b(i?nk ?|gd|mai|dn|dp|c?d?[48])?t( ?cells?| ?lymphocytes?)?\\b|\\bmait",
                    "|thymocyte|\\bt ?(regs?|fh|h\\d*|h\\d+ ?\\d+|em(ra)?|cm|rm|n)\\b",
                    "|\\bt ?helper|\\bctls?\\b|cytotoxic|regulatory t|gamma delta"),
  "Neuron" = "neuron|neuronal",
  "Glia" = "\\bglia|microglia|astrocyt|oligodendro|\\bopcs?\\b|\\boligos?\\b|\\bastros?\\b"
)

# What a surface marker says when no word does.
SIZE_MARKERS <- c("Monocyte" = "\\bcd14\\b", "B cell" = "\\bcd(19|20)\\b",
                  "T cell" = "\\bcd(3|4|8)[abde]?\\b")

# Cells that are none of these, whatever else their names say.
NO_SIZE <- paste0("doublet|multiplet|unknown|unassigned|other|malignant|tumou?r|cancer|leuk|",
                  "lymphoma|progenitor|precursor|stem|\\bhspcs?\\b|\\bcd34\\b|\\bnon ?[bt]\\b|",
                  "\\b(type|cluster|group|sample|donor|patient|hepatitis) [bt]\\b")

# The row of the table for each name, NA when there is none or more than one.
size_row <- function(types) {
  vapply(as.character(types), function(type) {
    name <- plain_name(type)
    if (grepl(NO_SIZE, name, perl = TRUE)) return(NA_character_)
    rows <- words_in(name, SIZE_WORDS)
    # names of cells whose words contain those of others
    if ("Dendritic cell" %in% rows) rows <- setdiff(rows, c("Plasma cell", "Monocyte"))
    if (natural_killer_t(type)) rows <- setdiff(rows, "NK cell")
    if (!length(rows)) rows <- words_in(name, SIZE_MARKERS)
    if (length(rows) != 1L) return(NA_character_)
    if (rows == "T cell") t_cell_row(name) else rows
  }, "", USE.NAMES = FALSE)
}

words_in <- function(name, words) {
  names(words)[vapply(words, grepl, NA, x = name, perl = TRUE)]
}

# CD4-CD8+ -> cd8
plain_name <- function(type) {
  name <- gsub("cd\\d+[a-z]*(-| ?neg(ative)?)(?=[\\s/,_]|$|cd)", " ", tolower(type), perl = TRUE)
  name <- gsub("([a-z])\\.(?=[a-z])", "\\1 ", name, perl = TRUE)
  trimws(gsub("[^a-z0-9]+", " ", name))
}

# "NKT" is a T cell, "T/NK" is a mixture.
natural_killer_t <- function(type) {
  grepl("\\bi?nk[- _.]?t\\b|\\bi?nkt", type, ignore.case = TRUE, perl = TRUE)
}

t_cell_row <- function(name) {
  has <- function(pattern) grepl(pattern, name, perl = TRUE)
  cd4 <- has("cd4\\b|\\b4t\\b|\\bt ?h(\\d|\\b)|helper|\\bt ?fh\\b")
  cd8 <- has("cd8[ab]?\\b|\\b8t\\b")
  if (has("\\bt ?regs?\\b|regulatory")) return(if (cd8) "CD8 T cell" else "Regulatory T cell")
  if (cd4 && cd8) return("T cell")
  if (cd4) return("CD4 T cell")
  if (cd8 || has("cytotoxic|\\bctls?\\b")) return("CD8 T cell")
  "T cell"
}
