# From signatures, matched genes, lengths and weights to what the core fits.

# What the core needs, over the matched genes:
#   sources     genes x sources: profiles, background, intercept
#   lengths     base pairs, or NULL; scaled lengths are `length_factor`
#   weights     in [0, 1]
#   n_types     the first so many sources are types
#   matching    see match_genes()
#   reference   what is known of how the profiles were measured
# `gene_weights` are as default_weights() gives them.
build_model <- function(signatures, bulk, gene_lengths, gene_weights, background, intercept,
                        insert_size, .call) {
  profiles <- signatures$profiles
  signature_genes <- gene_names(rownames(profiles), "signatures", .call = .call)
  matching <- match_genes(bulk$genes, signature_genes, bulk$n_rows, nrow(profiles),
                          bulk$samples, .call = .call)
  values_for <- function(values, column, what) {
    if (is.null(values)) return(NULL)
    gene_values(values, column, what, matching, bulk$genes, signature_genes, .call = .call)
  }
  lengths <- values_for(gene_lengths, "length", "gene_lengths")
  weights <- values_for(gene_weights$table, "weight", "gene_weights")
  if (gene_weights$protocol) {
    kept <- unname(protocol_weights(matching$genes))
    weights <- if (is.null(weights)) kept else weights * kept
  }
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
  extra <- background_sources(background, matching, colnames(profiles), nrow(profiles),
                              intercept, .call)
  model <- list(
    sources = cbind(sources, extra), n_types = ncol(profiles), lengths = lengths[known],
    weights = if (is.null(weights)) rep(1, n_genes) else weights[known],
    insert_size = insert_size, matching = matching,
    reference = reference_facts(signatures, matching)
  )
  dimnames(model$sources) <- list(matching$genes, c(colnames(profiles), colnames(extra)))
  check_enough_genes(model, .call)
  model
}

# Per type of the signatures, over the matched genes: the variance between
# donors (NULL when there were none), donors, and UMI in all cells.
reference_facts <- function(signatures, matching) {
  list(
    variance = if (!is.null(signatures$variance)) {
      gather_rows(signatures$variance, matching$signature_of, length(matching$genes))
    },
    donors = signatures$donors, totals = signatures$umi * signatures$cells
  )
}

# Median length in base pairs above which lengths are taken for spans on the genome.
# Half of the human protein-coding genes span 24,000 or more (Casanova et al. 2019),
# their transcripts have medians of 2,000 to 4,000; 8,000 is midway on the log scale.
LONGEST_MEDIAN <- 8000

check_lengths_and_weights <- function(lengths, weights, genes, .call) {
  bad <- which(!is.na(lengths) & (lengths <= 0 | !is.finite(lengths)))
  if (length(bad)) {
    stop_user("lengths", "`gene_lengths` must be positive and finite.",
              x = paste0("Gene \"", genes[bad[1L]], "\" has ", lengths[bad[1L]], "."),
              .call = .call)
  }
  bad <- which(!is.na(weights) & (weights < 0 | weights > 1))
  if (length(bad)) {
    stop_user("weights", "`gene_weights` must lie between 0 and 1.",
              x = paste0("Gene \"", genes[bad[1L]], "\" has ", weights[bad[1L]], "."),
              i = if (weights[bad[1L]] > 1) "Divide weights by their largest value.",
              .call = .call)
  }
  if (!is.null(lengths) && stats::median(lengths, na.rm = TRUE) > LONGEST_MEDIAN) {
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

# Columns that stand for no cell type.  The intercept is uniform over all genes
# of the signatures.
background_sources <- function(background, matching, types, n_signature_genes, intercept,
                               .call) {
  n_genes <- length(matching$genes)
  columns <- NULL
  if (!is.null(background)) {
    background <- as.matrix(background)
    if (!is.numeric(background) || is.null(colnames(background))) {
      stop_user("argument", "`background` must be a numeric matrix with column names.",
                x = paste0("It is ", describe(background), "."), .call = .call)
    }
    check_type_names(c(types, colnames(background)), .call)
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
              i = "Use more genes or fewer types.", .call = .call)
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

# Per row of the counts, its 0-based place among some of the model's genes, or -1.
rows_among <- function(model, genes) {
  match(model$matching$gene_of_row + 1L, genes, nomatch = 0L) - 1L
}
