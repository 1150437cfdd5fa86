# Genes that protocols differ in: their classes and patterns.

PSEUDO <- "(P\\d+|-PS\\d*)?$"

# Patterns are matched from the first letter and without regard to case, so that
# one set serves human and mouse symbols; no symbol of one species collides with
# a class of the other.  Each stands for a whole nomenclature: HGNC, MGI, what
# both were before 2019 (HIST1H2AC), and RefSeq's names on the mitochondrion.
PROTOCOL_PATTERNS <- list(
  # MTRNR2L1-13 and MT*P* are copies in the nucleus that collect mitochondrial
  # reads.  Not: MTOR, MTHFR, MT1X, MTRF1.
  mitochondrial = c(
    "^MT-", "^MTRNR[12]", "^MT(ND\\d+L?|CO[123]|ATP[68]|CYB)P\\d+$",
    "^(ND[1-6]|ND4L|COX[123]|ATP[68]|CYTB)$"
  ),
  # Paralogues and read-through genes are in, because they share reads with the
  # gene itself (RPL22L1, RPS27L, RPL17-C18orf32).  RPL3L (muscle) and RPL10L
  # (testis) are out: genes of one tissue; so is RPL7L1, which is not in the
  # ribosome.  Not: RPS6KA1, RPS19BP1, RPL34-DT.
  ribosomal = c(
    paste0("^RP[LS](?!3L|10L|7L1)\\d+[AXY]?\\d?(L\\d?)?(RT)?(P\\d+|-PS\\d*)?",
           "(-(?!AS\\d|DT$|IT\\d|OT\\d|PS)\\w+)?$"),
    paste0("^RPLP[012]", PSEUDO), paste0("^RPSA2?", PSEUDO),
    paste0("^(FAU|UBA52|RACK1|GNB2L1)", PSEUDO)
  ),
  # Not: HBEGF, HBP1, HBS1L.
  haemoglobin = c(
    "^HB(A[12]|B|D|E1|G[12]|M|Q1[AB]?|Z)$", "^HB[ABZ]P1$",
    "^HB[AB]-(A[123]|B(\\d|S|T|H\\d)|X|Y|AR|PS\\d)$"
  ),
  nuclear = "^(MALAT1|TALAM1|NEAT1|XIST|TSIX|KCNQ1OT1|MEG3|MEG8|RIAN|MIAT|AIRN|SNHG14)$",
  # Factors only.  Not: their kinases (EIF2AK1, EEF2K), methyltransferases
  # (EEF1AKMT1) and binding proteins (EIF4EBP1), nor EEF1A2 (neurons, muscle).
  translation = paste0(
    "^", c("EEF1(A1|B2?|D|G)", "EEF2", "EIF1(A|AX|AY|B)?", "EIF2(S\\d[BLXY]?|B\\d)",
           "EIF3(S\\d+|[A-M])[L\\d]?", "EIF4(A[123]|B|E[23]?|E1B|G[123]|H)",
           "EIF5(A2?|AL1|B)?", "EIF6", "TPT1", "NACA", "BTF3", "PABPC1"), PSEUDO
  ),
  # The clusters.  Not the variants with a poly-A tail: H1-0, H2AZ1, H2AX, H2AJ,
  # H3-3A, H3-3B.
  histone = c(
    "^HIST[1-4]H(1|2A|2B|3|4)", "^H1-[1-6]$", "^H1F[1-6]$", "^H2[AB]C\\d+L?P?$", "^H2BFS$",
    "^H[34]C\\d+P?$", "^H3-4$"
  ),
  # Not the host genes, which have a tail and can be markers (MIR155HG, SNHG1).
  small_rna = c(
    "^RNV?U\\d", "^U\\d{1,2}(ATAC)?$", "^RN7S[LK\\d]", "^(7SK|METAZOA_SRP)$", "^RNY\\d",
    "^Y_RNA$", "^SNOR[AD]\\d", "^SNOU\\d", "^SCARNA\\d*$", "^VTRNA", "^VAULTRC5$",
    "^RNA(5|18|28|45)(-8)?S", "^(5|5_8|18|28|45)S_RRNA$", "^RN(18|28|45|4\\.5)S", "^N-R5S?\\d",
    "^(RMRP|RPPH1|BCYRN1|TERC)$", "^MIR(?!.*HG)(\\d|LET7)", "^SNAR-",
    "^TR[A-Z]{1,4}-[ACGTN]{3}\\d+-\\d+$"
  ),
  # Not the constant segments, which mark B and T cells (IGHM, IGHD, TRAC).
  clonal = c(
    "^IG[HKL][VDJ]\\d", "^IG[HKL]V[IV(]", "^TR[ABDG][VJ]\\d", "^TR[BD]D\\d", "^TRGJP[12]?$",
    "^TRGV[AB]$", "^TRBV[ABC]$", "^TCR[ABDG]-[VDJ]"
  )
)

# The protocol-dependent among `genes`, whose nomenclature is read from the names.
find_protocol_genes <- function(genes, classes = NULL, .call = caller_env()) {
  classes <- check_classes(classes, .call = .call)
  if (sum(grepl("^ENSMUSG", genes)) > 0.5 * length(genes)) stop_no_gene_table(.call = .call)
  class <- class_of_symbol(genes)
  ensembl <- grepl("^ENSG\\d", genes)
  if (any(ensembl)) class[ensembl] <- class_of_ensembl(genes[ensembl])
  genes[class %in% classes]
}

# Nothing is known of mouse Ensembl identifiers: then nothing is left out.
protocol_genes_of <- function(genes) {
  tryCatch(find_protocol_genes(genes), unalloy_error_no_gene_table = function(e) character())
}

# Weights by default: 0 for genes whose abundance depends on the protocol.
protocol_weights <- function(genes) {
  weights <- stats::setNames(rep(1, length(genes)), genes)
  dropped <- protocol_genes_of(genes)
  if (length(dropped) < length(genes)) weights[dropped] <- 0
  weights
}

# What weights genes have that are not given: a list of `table` (values to be looked
# up) and `protocol` (leave out genes that depend on the protocol?).
#
# A column of the table of lengths is combined with the platform model; under the
# Poisson model, as published, it stands alone.
default_weights <- function(gene_weights, gene_lengths, platform, verbose) {
  if (identical(gene_weights, "none")) return(list(table = NULL, protocol = FALSE))
  if (identical(gene_weights, "auto")) return(list(table = NULL, protocol = TRUE))
  if (!is.null(gene_weights)) return(list(table = gene_weights, protocol = FALSE))
  from_lengths <- is.data.frame(gene_lengths) && "weight" %in% names(gene_lengths)
  if (!from_lengths) return(list(table = NULL, protocol = TRUE))
  inform_user(verbose, paste0(
    "Genes are weighted by the column `weight` of `gene_lengths`",
    if (platform) ", and those that depend on the protocol are left out", "."
  ), i = "`gene_weights = \"auto\"` leaves the column out.")
  list(table = gene_lengths, protocol = platform)
}

check_classes <- function(classes, .call = caller_env()) {
  known <- names(PROTOCOL_PATTERNS)
  if (is.null(classes)) return(known)
  unknown <- setdiff(classes, known)
  if (length(unknown) || !is.character(classes)) {
    stop_user("argument", "`classes` must name classes of genes.",
              x = if (is.character(classes)) paste0("Unknown: ", some_of(unknown), ".")
                  else paste0("It is ", describe(classes), "."),
              i = paste0("There are ", some_of(known, length(known)), "."), .call = .call)
  }
  unique(classes)
}

stop_no_gene_table <- function(.call = caller_env()) {
  stop_user("no_gene_table", "There is no table of Ensembl identifiers for mouse genes.",
            i = paste("Translate the identifiers to symbols, as in the features file of the",
                      "single-cell data, or exclude genes by a list of your own."), .call = .call)
}

# The class of each symbol, NA where there is none; the first that matches.
class_of_symbol <- function(symbols) {
  class <- rep(NA_character_, length(symbols))
  for (name in rev(names(PROTOCOL_PATTERNS))) {
    pattern <- paste0("(?:", PROTOCOL_PATTERNS[[name]], ")", collapse = "|")
    class[grepl(pattern, symbols, ignore.case = TRUE, perl = TRUE)] <- name
  }
  class
}

class_of_ensembl <- function(ids) {
  table <- protocol_gene_table()
  table$class[match(strip_ensembl_version(ids), table$ensembl)]
}

# Written by tools/protocol_genes.R.
protocol_gene_table <- function() {
  path <- system.file("extdata", "protocol_genes.tsv", package = "unalloy", mustWork = TRUE)
  utils::read.delim(path, comment.char = "#", quote = "", colClasses = "character")
}
