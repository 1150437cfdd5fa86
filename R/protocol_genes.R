# Genes whose abundance says more about the protocol than about the cell type.

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
  check_call()
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
