# Writes inst/extdata/protocol_genes.tsv: Ensembl identifiers of the human genes
# in the classes of R/model-protocol.R.
#
#   apt-get install r-bioc-org.hs.eg.db && Rscript tools/protocol_genes.R
#
# Source: Bioconductor org.Hs.eg.db (Entrez Gene symbols mapped to Ensembl genes).
suppressPackageStartupMessages(library(org.Hs.eg.db))

rules <- new.env()
sys.source("R/model-protocol.R", rules)

# Entrez Gene names the mitochondrion's genes without MT-, HGNC and Ensembl with.
mitochondrial_symbol <- function(entrez) {
  entrez <- sub("^COX([123])$", "CO\\1", sub("^CYTB$", "CYB", entrez))
  paste0("MT-", entrez)
}

read_genes <- function() {
  columns <- c("SYMBOL", "ENSEMBL", "CHR")
  table <- suppressWarnings(suppressMessages(AnnotationDbi::select(
    org.Hs.eg.db, AnnotationDbi::keys(org.Hs.eg.db, "ENTREZID"), columns, "ENTREZID"
  )))
  mitochondrial <- table$CHR %in% "MT"
  table$SYMBOL[mitochondrial] <- mitochondrial_symbol(table$SYMBOL[mitochondrial])
  # org.Hs.eg.db has no Ensembl identifier for the two rRNA of the mitochondrion
  rrna <- data.frame(SYMBOL = c("MT-RNR1", "MT-RNR2"),
                     ENSEMBL = c("ENSG00000211459", "ENSG00000210082"))
  table <- rbind(table[c("SYMBOL", "ENSEMBL")], rrna)
  unique(table[!is.na(table$ENSEMBL) & !is.na(table$SYMBOL), ])
}

genes <- read_genes()
genes$class <- rules$class_of_symbol(genes$SYMBOL)
genes <- genes[!is.na(genes$class), ]
genes <- genes[order(match(genes$class, names(rules$PROTOCOL_PATTERNS)), genes$SYMBOL,
                     genes$ENSEMBL, method = "radix"), ]
# some identifiers are mapped to two symbols
genes <- genes[!duplicated(genes$ENSEMBL), ]
header <- paste0("# Written by tools/protocol_genes.R from org.Hs.eg.db ",
                 utils::packageVersion("org.Hs.eg.db"),
                 "; MT-RNR1 and MT-RNR2 from Ensembl")
path <- "inst/extdata/protocol_genes.tsv"
writeLines(header, path)
suppressWarnings(utils::write.table(
  stats::setNames(genes[c("ENSEMBL", "SYMBOL", "class")], c("ensembl", "symbol", "class")),
  path, append = TRUE, sep = "\t", quote = FALSE, row.names = FALSE
))
