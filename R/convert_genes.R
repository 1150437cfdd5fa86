#' Convert names of genes
#'
#' Brings the rows of counts or signatures under other names: Ensembl identifiers to
#' symbols and back, symbols of before and aliases to those of today, Entrez identifiers,
#' and, with a table of orthologues, mouse to human. What the names are is told from the
#' names, what became of them is reported, and nothing is guessed: a name that stands for
#' several genes is left out.
#'
#' Names are looked up in the Bioconductor packages AnnotationDbi and org.Hs.eg.db (human)
#' or org.Mm.eg.db (mouse), or in a `table`, for instance one that BioMart exports.
#' Versions of Ensembl identifiers do not matter. A symbol that is one of today is
#' never taken for an alias of another gene, and an alias of several genes for none.
#' Rows that come under one name are summed.
#'
#' Orthologues are not in these packages. BioMart's table of human and mouse genes, or
#' MGI's `HOM_MouseHumanSequence.rpt`, gives them as two columns; genes with several
#' orthologues are left out. `table = "case"` takes a mouse symbol for the human one that
#' differs in capitals only (Trp53 does not, Cd3e does): most pairs of one-to-one
#' orthologues are named so, but not all, and the message says how many were not checked.
#'
#' @param x Names of genes, or what has genes as rows: a matrix, data frame, sparse matrix,
#'   [signatures], or what [read_counts()] gives.
#' @param to `"symbol"`, `"ensembl"` or `"entrez"`. Not used with a `table`.
#' @param from What the names are; `"auto"` tells it from them.
#' @param species `"human"` or `"mouse"`; `"auto"` tells it from the names, and takes human
#'   where they do not tell.
#' @param table A data frame of names from and to: of its columns that which has most of the
#'   genes is taken for the names there are, the first other for the names to give. Or
#'   `"case"`, see Details.
#' @param unknown `"drop"` leaves out genes without a new name, `"keep"` keeps their old one.
#' @param verbose Report what became of the names?
#' @return What was given, with new names. Names of genes come back in their order, `NA`
#'   where there is none (or the old name, with `unknown = "keep"`).
#' @section Errors: `unalloy_error_gene_names` when the names are of no kind that can be
#'   looked up; `unalloy_error_no_common_genes` when none is found;
#'   `unalloy_error_package`; `unalloy_error_argument`.
#' @seealso [read_counts()], whose `genes` chooses between names that a file has
#' @export
#' @examples
#' table <- data.frame(mouse = c("Trp53", "Cd3e", "Lyz2"), human = c("TP53", "CD3E", "LYZ"))
#' convert_genes(c("Cd3e", "Trp53", "Xyz"), table = table)
#' counts <- matrix(1:6, 3, dimnames = list(c("Lyz2", "Cd3e", "Xyz"), c("A", "B")))
#' convert_genes(counts, table = table)
#' if (requireNamespace("org.Hs.eg.db", quietly = TRUE)) {
#'   convert_genes(c("ENSG00000141510.17", "ENSG00000198851"))
#'   convert_genes(c("MARCH1", "TP53"))   # symbols of before
#' }
convert_genes <- function(x, to = c("symbol", "ensembl", "entrez"),
                          from = c("auto", "symbol", "ensembl", "entrez", "refseq", "transcript"),
                          species = c("auto", "human", "mouse"), table = NULL,
                          unknown = c("drop", "keep"), verbose = TRUE) {
  check_call()
  here <- environment()
  to <- check_choice(to, c("symbol", "ensembl", "entrez"), "to")
  from <- check_choice(from, c("auto", names(GENE_COLUMNS)), "from")
  species <- check_choice(species, c("auto", "human", "mouse"), "species")
  unknown <- check_choice(unknown, c("drop", "keep"), "unknown")
  verbose <- check_flag(verbose, "verbose")
  x <- if (is.data.frame(x)) from_data_frame(x, .call = here) else x
  names <- if (is.character(x)) x else rownames(if (inherits(x, "count_table")) x$counts else x)
  if (!length(names)) {
    stop_user("argument", "`x` must be names of genes, or have them as row names.",
              x = paste0("It is ", describe(x), "."))
  }
  plain <- strip_ensembl_version(names)
  naming <- gene_naming(plain)
  if (from == "auto") from <- naming$kind
  map <- if (identical(table, "case")) {
    list(table = data.frame(from = unique(plain), to = toupper(unique(plain))), aliases = 0L)
  } else if (!is.null(table)) {
    user_map(plain, table, .call = here)
  } else {
    # names alone that are few tell no kind: symbols, then
    if (from == "unknown" && length(plain) < 200L) from <- "symbol"
    if (!from %in% names(GENE_COLUMNS)) stop_unknown_names(plain, from, .call = here)
    if (species == "auto") species <- naming$species
    if (is.na(species)) species <- "human"
    if (!species %in% names(GENE_PACKAGES)) stop_unknown_names(plain, species, .call = here)
    annotation_map(plain, from, to, species, .call = here)
  }
  each <- one_name_each(plain, map$table, if (is.null(table)) to else "symbol")
  if (all(is.na(each$names))) {
    stop_user("no_common_genes", "No gene has a new name.",
              x = paste0("They are ", naming_text(naming), ": ", some_of(plain), "."),
              i = "Say `from` and `species`, or give a `table`.")
  }
  report_conversion(plain, each, map, table, from, to, species, unknown, verbose)
  new <- if (unknown == "keep") ifelse(is.na(each$names), plain, each$names) else each$names
  renamed(x, new)
}

stop_unknown_names <- function(genes, what, .call) {
  kind <- if (what %in% names(KIND_LABELS)) KIND_LABELS[[what]] else paste("of", what)
  stop_user("gene_names", "These names of genes can't be looked up.",
            x = paste0(some_of(genes), " are ", kind, "."),
            i = "Give a `table` of names from and to, or say `from`.", .call = .call)
}

report_conversion <- function(plain, each, map, table, from, to, species, unknown, verbose) {
  without <- unique(plain[is.na(each$names)])
  several <- intersect(each$several, plain)
  onto <- each$names[!is.na(each$names) & !duplicated(plain)]
  way <- if (identical(table, "case")) "by capitals"
         else if (!is.null(table)) paste0("by `table`, \"", map$columns[1L], "\" to \"",
                                          map$columns[2L], "\"")
         else paste0("from ", KIND_LABELS[[from]], " to ", KIND_LABELS[[to]], " of ", species)
  done <- length(unique(plain)) - length(without)
  details <- c(
    if (identical(table, "case")) {
      "No orthologue was checked: names that differ in more than capitals match nothing."
    },
    if (map$aliases) {
      paste0(plural(map$aliases, "name"), " among them ", if (map$aliases == 1L) "was" else "were",
             " of before, or an alias.")
    },
    if (length(several)) {
      paste0(plural(length(several), "name"), " of several genes: ", some_of(several),
             if (to == "ensembl" && is.null(table)) "; the first identifier was taken."
             else "; left out.")
    },
    if (anyDuplicated(onto)) {
      paste0(plural(sum(duplicated(onto)), "gene"), " came under the name of another; rows of one ",
             "name are summed.")
    },
    if (length(without)) {
      paste0("Without a new name: ", plural(length(without), "gene"), " (", some_of(without), "), ",
             if (unknown == "drop") "left out." else "kept as they were.")
    }
  )
  inform_user(verbose, paste0("Names of ", count_text(done), " of ",
                              plural(length(unique(plain)), "gene"), " converted ", way, "."),
              if (length(details)) stats::setNames(details, rep("i", length(details))))
}

# The object under new names: rows without one left out, of one name summed.
renamed <- function(x, new) {
  if (is.character(x)) return(new)
  if (inherits(x, "count_table")) {
    kept <- which(!is.na(new))
    first <- kept[!duplicated(new[kept])]
    old <- rownames(x$counts)
    x$counts <- renamed(x$counts, new)
    x$genes <- data.frame(x$genes[first, , drop = FALSE], name = new[first])
    if (!is.null(x$gene_lengths)) {
      x$gene_lengths <- stats::setNames(x$gene_lengths[old[first]], new[first])
    }
    return(x)
  }
  if (inherits(x, "signatures")) return(renamed_signatures(x, new))
  kept <- !is.na(new)
  rows <- x[kept, , drop = FALSE]
  rownames(rows) <- new[kept]
  if (!anyDuplicated(new[kept])) return(rows)
  if (methods::is(rows, "Matrix")) {
    sums <- Matrix::fac2sparse(factor(new[kept], unique(new[kept]))) %*% rows
    return(as_csc(sums))
  }
  rowsum(rows, factor(new[kept], unique(new[kept])), reorder = FALSE)
}

# Variances of rows that are summed add up as if independent.
renamed_signatures <- function(x, new) {
  x$profiles <- renamed(x$profiles, new)
  if (!is.null(x$variance)) x$variance <- renamed(x$variance, new)
  for (held in c("donor_counts", "platform_counts")) {
    if (!is.null(x[[held]])) x[[held]]$counts <- renamed(x[[held]]$counts, new)
  }
  x
}
