# The steps of convert_genes(): a table of names from here to there, and its use.

GENE_PACKAGES <- c(human = "org.Hs.eg.db", mouse = "org.Mm.eg.db")
GENE_COLUMNS <- c(symbol = "SYMBOL", ensembl = "ENSEMBL", entrez = "ENTREZID", refseq = "REFSEQ",
                  transcript = "ENSEMBLTRANS")

# Names between kinds within a species, from Bioconductor's annotation: data frame of
# `from` and `to`.
annotation_map <- function(names, from, to, species, .call) {
  package <- GENE_PACKAGES[[species]]
  need_package("AnnotationDbi", "to look up names of genes", .call = .call)
  need_package(package, paste("to look up names of genes of", species), .call = .call)
  database <- getExportedValue(package, package)
  look_up <- function(names, column) {
    known <- intersect(names, AnnotationDbi::keys(database, column))
    if (!length(known)) return(data.frame(from = character(), to = character()))
    table <- suppressMessages(
      AnnotationDbi::select(database, known, GENE_COLUMNS[[to]], column)
    )
    # where both are one column, the name stands for itself
    out <- data.frame(from = table[[1L]], to = table[[ncol(table)]])
    unique(out[!is.na(out$to), ])
  }
  names <- unique(names)
  direct <- look_up(names, GENE_COLUMNS[[from]])
  if (from != "symbol") return(list(table = direct, aliases = 0L))
  # symbols of today first; what is none may be an alias or a symbol of before
  rest <- setdiff(names, AnnotationDbi::keys(database, "SYMBOL"))
  alias <- look_up(rest, "ALIAS")
  # an alias of several genes names none of them
  alias <- alias[!alias$from %in% ambiguous_names(alias), ]
  list(table = rbind(direct, alias), aliases = length(unique(alias$from)))
}

ambiguous_names <- function(table) unique(table$from[duplicated(table$from)])

# A table that the user gives: which of its columns has the names, which is meant.
user_map <- function(names, table, .call) {
  if (!is.data.frame(table) || ncol(table) < 2L) {
    stop_user("argument", "`table` must be a data frame with names of genes from and to.",
              x = paste0("It is ", describe(table), "."),
              i = "Give two columns: names as they are, names as they shall be.", .call = .call)
  }
  columns <- lapply(table, function(x) strip_ensembl_version(as.character(x)))
  hits <- vapply(columns, function(x) sum(unique(names) %in% x), 0L)
  if (max(hits) == 0L) {
    stop_user("no_common_genes", "No gene is in `table`.",
              x = paste0("Genes: ", some_of(names), "; first column: ",
                         some_of(unique(columns[[1L]])), "."), .call = .call)
  }
  from <- which.max(hits)
  to <- setdiff(seq_along(columns), from)[1L]
  out <- unique(data.frame(from = columns[[from]], to = columns[[to]]))
  keep <- !is.na(out$from) & out$from != "" & !is.na(out$to) & out$to != ""
  list(table = out[keep, ], aliases = 0L,
       columns = names(table)[c(from, to)])
}

# One name per gene: with several, the first in the order of the alphabet for names of
# one kind (Ensembl's several identifiers of a gene), none across genes.
one_name_each <- function(names, table, to) {
  several <- ambiguous_names(table)
  table <- table[order(table$from, table$to), ]
  kept <- if (to %in% c("ensembl", "transcript", "refseq")) !duplicated(table$from)
          else !table$from %in% several
  list(names = table$to[kept][match(names, table$from[kept])], several = several)
}
