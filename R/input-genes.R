# Matching of genes by name between bulk counts, signatures, lengths and
# weights.

# ENSG00000141510.17 -> ENSG00000141510; other names stay as they are.
strip_ensembl_version <- function(genes) {
  versioned <- grepl("^ENS[A-Z]*[GT][0-9]+\\.[0-9]+", genes)
  genes[versioned] <- sub("\\.[0-9]+(_PAR_Y)?$", "", genes[versioned])
  genes
}

# The names as they are matched; rows without a name are refused.
gene_names <- function(names, what, .call = caller_env()) {
  if (is.null(names)) return(NULL)
  nameless <- which(is.na(names) | names == "")
  if (length(nameless)) {
    stop_user(
      "gene_names", paste0("Every row of `", what, "` needs a gene name."),
      x = paste0(plural(length(nameless), "row"), " without a name: ",
                 paste(utils::head(nameless, 5L), collapse = ", "),
                 if (length(nameless) > 5L) ", ...", "."),
      i = "Name these rows, or leave them out.", .call = .call
    )
  }
  strip_ensembl_version(names)
}

# Which rows of bulk and signatures stand for which gene.  Returns
#   genes         matched genes, in the order of the bulk's rows
#   gene_of_row   per row of the bulk, its 0-based place among `genes`, or -1
#   signature_of  per row of the signatures, its place among `genes`, or NA
#   report        what matched and what did not
match_genes <- function(bulk_genes, signature_genes, n_bulk, n_signatures,
                        bulk_samples = NULL, .call = caller_env()) {
  if (is.null(bulk_genes) || is.null(signature_genes)) {
    if (n_bulk != n_signatures) {
      unnamed <- if (is.null(bulk_genes)) "bulk_counts" else "signatures"
      stop_user(
        "gene_names", "Genes without names can only be matched by position.",
        x = paste0("`", unnamed, "` has no row names; `signatures` has ",
                   plural(n_signatures, "row"), ", `bulk_counts` ", count_text(n_bulk), "."),
        i = paste0("Give `", unnamed, "` gene names as row names."), .call = .call
      )
    }
    genes <- bulk_genes %||% signature_genes %||% paste0("gene", seq_len(n_bulk))
    genes <- make.unique(genes)
    by <- "position"
    gene_of_row <- seq_len(n_bulk) - 1L
    signature_of <- seq_len(n_bulk)
  } else {
    by <- "name"
    genes <- unique(bulk_genes[bulk_genes %in% signature_genes])
    if (!length(genes)) {
      stop_no_common_genes(bulk_genes, signature_genes, bulk_samples, .call = .call)
    }
    gene_of_row <- match(bulk_genes, genes, nomatch = 0L) - 1L
    signature_of <- match(signature_genes, genes)
  }
  list(
    genes = genes, gene_of_row = gene_of_row, signature_of = signature_of,
    report = list(
      by = by, matched = length(genes), bulk = n_bulk, signatures = n_signatures,
      bulk_summed = sum(duplicated(gene_of_row[gene_of_row >= 0L])),
      signatures_summed = sum(duplicated(signature_of[!is.na(signature_of)])),
      only_in_bulk = utils::head(setdiff(bulk_genes, signature_genes), 5L),
      only_in_signatures = utils::head(setdiff(signature_genes, bulk_genes), 5L),
      dropped = character()
    )
  )
}

stop_no_common_genes <- function(bulk_genes, signature_genes, bulk_samples, .call) {
  ensembl <- function(genes) mean(grepl("^ENS[A-Z]*[GT][0-9]+$", genes)) > 0.5
  mend <- if (any(bulk_samples %in% signature_genes)) {
    "The samples of `bulk_counts` are named like genes: try `t(bulk_counts)`."
  } else if (ensembl(bulk_genes) != ensembl(signature_genes)) {
    "One side has Ensembl identifiers, the other symbols: translate one of them."
  } else if (any(toupper(bulk_genes) %in% toupper(signature_genes))) {
    paste("The names match when case is ignored: are these two species (human TP53, mouse Trp53)?",
          "Translate one side to the other's orthologues, or change its case.")
  } else {
    "Check that row names hold gene names, in the same nomenclature on both sides."
  }
  stop_user(
    "no_common_genes", "`signatures` and `bulk_counts` have no gene in common.",
    x = paste0("Bulk: ", some_of(bulk_genes), "; signatures: ", some_of(signature_genes), "."),
    i = mend, .call = .call
  )
}

# Values of gene_lengths or gene_weights for the matched genes; NA where there
# is none.  `values` is a named vector, a data frame with a column `column` and
# one of gene names, or an unnamed vector in the order of the signatures' rows.
gene_values <- function(values, column, what, matched, bulk_genes, signature_genes,
                        .call = caller_env()) {
  if (is.data.frame(values)) {
    values <- named_column(values, column, what, matched$genes, .call = .call)
  }
  if (is.logical(values)) values <- 1 * values
  if (!is.numeric(values)) {
    stop_user("argument", paste0("`", what, "` must be numeric."),
              x = paste0("It is ", describe(values), "."),
              i = paste0("Give a named vector, or a data frame with the columns \"symbol\" and \"",
                         column, "\"."), .call = .call)
  }
  if (is.null(names(values))) {
    return(values_by_position(values, what, matched, bulk_genes, signature_genes, .call = .call))
  }
  genes <- gene_names(names(values), what, .call = .call)
  warn_several_values(values, genes, what, matched$genes, .call)
  found <- as.double(values[match(matched$genes, genes)])
  if (all(is.na(found))) {
    stop_user("no_common_genes", paste0("`", what, "` has no gene in common with the counts."),
              x = paste0("`", what, "`: ", some_of(genes), "; counts: ",
                         some_of(matched$genes), "."), .call = .call)
  }
  found
}

# A gene that is there twice should have the same value.
warn_several_values <- function(values, genes, what, wanted, .call) {
  twice <- genes %in% genes[duplicated(genes)] & genes %in% wanted
  ranges <- lapply(split(as.double(values[twice]), genes[twice]), function(x) {
    length(unique(x)) > 1L
  })
  torn <- names(ranges)[unlist(ranges)]
  if (!length(torn)) return(invisible())
  warn_user("several_values", paste0("Genes have several values in `", what,
                                     "`: the first is taken."),
            x = paste0(plural(length(torn), "gene"), ": ", some_of(torn), "."),
            i = "For lengths, give those of the exon model that was counted with.", .call = .call)
}

named_column <- function(table, column, what, genes, .call) {
  if (!column %in% names(table)) {
    stop_user("argument", paste0("`", what, "` must have a column \"", column, "\"."),
              x = paste0("It has ", some_of(names(table), 6L), "."), .call = .call)
  }
  candidates <- c(Filter(function(x) is.character(x) || is.factor(x), as.list(table)),
                  list(rownames = rownames(table)))
  candidates <- lapply(candidates, function(x) strip_ensembl_version(as.character(x)))
  hits <- vapply(candidates, function(x) sum(genes %in% x), 0L)
  if (max(hits) == 0L && nrow(table) == length(genes)) return(table[[column]])
  best <- candidates[[which.max(hits)]]
  keep <- !is.na(best) & best != ""
  stats::setNames(table[[column]][keep], best[keep])
}

values_by_position <- function(values, what, matched, bulk_genes, signature_genes, .call) {
  n_signatures <- length(matched$signature_of)
  n_bulk <- length(matched$gene_of_row)
  fits_signatures <- length(values) == n_signatures
  fits_bulk <- length(values) == n_bulk
  if (!fits_signatures && !fits_bulk) {
    stop_user(
      "lengths", paste0("Unnamed `", what, "` must have an entry per gene."),
      x = paste0("It has ", count_text(length(values)), "; `signatures` has ",
                 plural(n_signatures, "row"), ", `bulk_counts` ", count_text(n_bulk), "."),
      i = paste0("Name `", what, "` by gene, or give a data frame with a column of symbols."),
      .call = .call
    )
  }
  if (fits_signatures && fits_bulk && !identical(bulk_genes, signature_genes) &&
        !is.null(bulk_genes) && !is.null(signature_genes)) {
    stop_user(
      "lengths", paste0("It is not clear which genes the unnamed `", what, "` belongs to."),
      x = "`signatures` and `bulk_counts` have as many rows, but not the same genes in order.",
      i = paste0("Name `", what, "` by gene."), .call = .call
    )
  }
  place <- if (fits_signatures) matched$signature_of else matched$gene_of_row + 1L
  as.double(values[match(seq_along(matched$genes), place)])
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
