# Genes whose abundance says more about the protocol than about the cell type.

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

PROTOCOL_REASONS <- c(
  mitochondrial = paste("transcripts of the mitochondrion: their share follows lysis, cell damage",
                        "and how the short poly-A tails are captured"),
  ribosomal = paste("short, very abundant mRNAs of ribosomal proteins: 3' and full-length",
                    "libraries see them differently, and reads fall on many pseudogenes"),
  haemoglobin = "from lysed red cells, or depleted on purpose; ambient in droplets",
  nuclear = "RNA retained in the nucleus: its share follows lysis and the share of nuclei",
  translation = paste("translation factors, whose mRNAs are abundant and regulated together with",
                      "those of ribosomal proteins (TOP mRNAs)"),
  histone = "mRNAs of replication-dependent histones have no poly-A tail: seen in total RNA only",
  small_rna = "no poly-A tail, or too short for the library: seen in total RNA only",
  clonal = paste("variable segments of immunoglobulins and T-cell receptors: which of them is",
                 "expressed differs between clones and donors, not between types")
)

# What `protocol_genes("mouse")` lists: genes named by MGI as their human
# orthologues, written in mouse case, and those with names of their own.
mouse_core <- function() {
  list(
    mitochondrial = paste0("mt-", c("Nd1", "Nd2", "Nd3", "Nd4", "Nd4l", "Nd5", "Nd6", "Co1", "Co2",
                                    "Co3", "Atp6", "Atp8", "Cytb", "Rnr1", "Rnr2")),
    ribosomal = c(
      paste0("Rpl", c(3:9, "7a", 10, "10a", 11:13, "13a", 14, 15, 17, 18, "18a", 19, 21, 22,
                      "22l1", 23, "23a", 24, 26:27, "27a", 28:32, 34, 35, "35a", 36, "36a", "36al",
                      37, "37a", 38, 39, "39l", 41, "p0", "p1", "p2")),
      paste0("Rps", c(2:3, "3a1", "4x", 5:15, "15a", 16:21, 23:27, "27a", "27l", 28:29, "a")),
      "Fau", "Uba52", "Rack1"
    ),
    haemoglobin = c("Hba-a1", "Hba-a2", "Hba-x", "Hbb-bs", "Hbb-bt", "Hbb-b1", "Hbb-b2", "Hbb-y",
                    "Hbb-bh1", "Hbb-bh2", "Hbq1a", "Hbq1b"),
    nuclear = c("Malat1", "Neat1", "Xist", "Tsix", "Kcnq1ot1", "Meg3", "Rian", "Miat", "Airn",
                "Snhg14"),
    translation = c(
      "Eef1a1", "Eef1b2", "Eef1d", "Eef1g", "Eef2", "Eif1", "Eif1a", "Eif1ax", "Eif1b", "Eif2s1",
      "Eif2s2", "Eif2s3x", "Eif2s3y", paste0("Eif2b", 1:5), paste0("Eif3", letters[1:9]), "Eif3j1",
      "Eif3j2", "Eif3k", "Eif3l", "Eif3m", "Eif4a1", "Eif4a2", "Eif4a3", "Eif4b", "Eif4e",
      "Eif4e2", "Eif4e3", "Eif4g1", "Eif4g2", "Eif4g3", "Eif4h", "Eif5", "Eif5a", "Eif5a2",
      "Eif5b", "Eif6", "Tpt1", "Naca", "Btf3", "Pabpc1"
    ),
    histone = paste0("H1f", 1:6),
    small_rna = c("Rn7sk", "Rmrp", "Rpph1", "Rny1", "Rny3", "Vaultrc5", "Terc")
  )
}

#' Genes that depend on the protocol
#'
#' Classes of genes whose abundance follows how a library was made (capture of
#' poly-A tails, lysis, retention in the nucleus, transcript length) or which
#' clone was sampled, rather than the cell type. Where the reference and the bulk
#' come from different protocols, these genes pull every method to wrong
#' proportions; [select_markers()] leaves them out.
#'
#' \describe{
#'   \item{`mitochondrial`}{Encoded by the mitochondrion, and their copies in the
#'     nucleus. Not MTOR and others with such names.}
#'   \item{`ribosomal`}{Proteins of the cytosolic ribosome with their paralogues,
#'     read-through genes and pseudogenes; RACK1, FAU, UBA52. Not RPS6 kinases,
#'     not RPL3L and RPL10L (genes of one tissue) and RPL7L1 (not in the ribosome),
#'     not mitochondrial ribosomal proteins (MRPL, MRPS), whose mRNAs are of
#'     ordinary length and abundance.}
#'   \item{`haemoglobin`}{Globins of red cells. Not HBEGF, HBP1, HBS1L.}
#'   \item{`nuclear`}{lncRNA that stay in the nucleus: MALAT1, NEAT1, XIST, ...}
#'   \item{`translation`}{Elongation and initiation factors, TPT1, NACA, BTF3 and
#'     PABPC1. Not their kinases, methyltransferases and binding proteins, nor
#'     EEF1A2 (neurons and muscle).}
#'   \item{`histone`}{Replication-dependent histones, under new and old names. Not
#'     variants with a poly-A tail (H1-0, H2AX, H2AZ1, H3-3A).}
#'   \item{`small_rna`}{snRNA, snoRNA, rRNA, tRNA, miRNA, 7SK, 7SL and Y RNA. Not
#'     their host genes (SNHG1, MIR155HG).}
#'   \item{`clonal`}{V, D and J segments of immunoglobulins and T-cell receptors. Not
#'     constant segments (IGHM, TRAC).}
#' }
#'
#' Symbols are recognised by name; Ensembl identifiers by a table of human genes
#' made from the Bioconductor package org.Hs.eg.db 3.16.0 (Entrez Gene and
#' Ensembl of 2022), so that genes without an Entrez record are not in it.
#'
#' @param species `"human"` or `"mouse"`.
#' @param id How genes are named: `"symbol"` or `"ensembl"` (human only; a
#'   version, as in `ENSG00000198888.2`, does not matter).
#' @param genes Names of genes, for instance the row names of a matrix: those
#'   that belong to a class are returned. By default the known genes are listed,
#'   for mouse only those of certain names.
#' @param classes Names of classes; all by default.
#' @return A data frame with a row per gene: `gene`, `class` and `reason`.
#' @section Errors: `unalloy_error_argument` for unknown classes,
#'   `unalloy_error_no_gene_table` for Ensembl identifiers of mouse genes.
#' @export
#' @examples
#' protocol_genes(genes = c("MT-CO1", "MTOR", "RPL13A", "RPS6KA1", "HBB", "HBEGF", "CD3E"))
#' protocol_genes("mouse", genes = c("mt-Co1", "Rpl13a", "Malat1", "Cd3e"))
#' table(protocol_genes(id = "ensembl")$class)
protocol_genes <- function(species = c("human", "mouse"), id = c("symbol", "ensembl"),
                           genes = NULL, classes = NULL) {
  species <- check_choice(species, c("human", "mouse"), "species")
  id <- check_choice(id, c("symbol", "ensembl"), "id")
  classes <- check_classes(classes)
  if (!is.null(genes) && !is.character(genes)) {
    stop_user("argument", "`genes` must be names of genes.",
              x = paste0("It is ", describe(genes), "."))
  }
  if (species == "mouse" && id == "ensembl") stop_no_gene_table()
  found <- if (is.null(genes)) {
    known_protocol_genes(species, id)
  } else {
    data.frame(gene = genes, class = if (id == "symbol") class_of_symbol(genes)
                                     else class_of_ensembl(genes))
  }
  found <- found[found$class %in% classes, ]
  found <- found[order(match(found$class, classes)), ]
  data.frame(gene = found$gene, class = found$class,
             reason = unname(PROTOCOL_REASONS[found$class]))
}

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

known_protocol_genes <- function(species, id) {
  if (species == "human") {
    table <- protocol_gene_table()
    known <- data.frame(gene = if (id == "symbol") table$symbol else table$ensembl,
                        class = table$class)
    return(known[!duplicated(known$gene), ])
  }
  core <- mouse_core()
  data.frame(gene = unlist(core, use.names = FALSE), class = rep(names(core), lengths(core)))
}

# Written by tools/protocol_genes.R.
protocol_gene_table <- function() {
  path <- system.file("extdata", "protocol_genes.tsv", package = "unalloy", mustWork = TRUE)
  utils::read.delim(path, comment.char = "#", quote = "", colClasses = "character")
}
