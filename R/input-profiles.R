# Expression profiles, genes x samples, on any scale: what the verbs of
# compressed sensing read.

# A list with
#   values   a double matrix or, where `sparse` allows it, a dgCMatrix
#   genes    names, or NULL
#   samples  names
# Missing, infinite and, with `nonnegative`, negative values are refused by gene
# and sample.
profile_matrix <- function(x, what, assay = NULL, sparse = FALSE, nonnegative = NULL,
                           .call = caller_env()) {
  x <- profile_values(x, what, assay, .call = .call)
  if (!nrow(x)) stop_user("no_genes", paste0("`", what, "` has no genes."), .call = .call)
  if (!ncol(x)) stop_user("no_samples", paste0("`", what, "` has no samples."),
                          i = "Genes go in rows, samples in columns.", .call = .call)
  genes <- single_genes(rownames(x), what, .call = .call)
  samples <- profile_samples(colnames(x), ncol(x), what, .call = .call)
  x <- if (!is.matrix(x) && sparse) as_csc(x) else as.matrix(x)
  if (is.matrix(x)) storage.mode(x) <- "double"
  refuse_values(x, what, genes, samples, nonnegative, .call = .call)
  if (is.matrix(x)) dimnames(x) <- NULL
  list(values = x, genes = genes, samples = samples)
}

profile_values <- function(x, what, assay, .call) {
  if (inherits(x, "SummarizedExperiment")) {
    values <- assay_of(x, assay, NULL, what, .call)
    return(profile_values(values, what, NULL, .call = .call))
  }
  if (!is.null(assay)) {
    stop_user("argument", "`assay` is for a SummarizedExperiment.",
              x = paste0("`", what, "` is ", describe(x), "."), .call = .call)
  }
  if (is.data.frame(x) && all(vapply(x, is.numeric, NA))) x <- as.matrix(x)
  if (is.matrix(x) && is.numeric(x)) return(x)
  if (is_sparse_matrix(x)) return(as_csc(x))
  if (methods::is(x, "DelayedMatrix")) return(from_disk(what, .call, realised(x)))
  if (is.numeric(x) && is.null(dim(x))) {
    return(matrix(x, ncol = 1L, dimnames = list(names(x), NULL)))
  }
  stop_user("argument", paste0("`", what, "` must be a numeric genes x samples matrix."),
            x = paste0("It is ", describe(x), "."),
            i = "Give a matrix, sparse matrix, data frame of numbers or SummarizedExperiment.",
            .call = .call)
}

profile_samples <- function(names, n, what, .call) {
  if (is.null(names)) return(paste("Sample", seq_len(n)))
  twice <- unique(names[duplicated(names)])
  if (length(twice)) {
    stop_user("sample_names", paste0("Samples of `", what, "` must have names of their own."),
              x = paste0("Used more than once: ", some_of(twice), "."),
              i = "Try `make.unique()`.", .call = .call)
  }
  names
}

refuse_values <- function(x, what, genes, samples, nonnegative, .call) {
  entries <- if (is.matrix(x)) x else x@x
  refuse <- function(bad, kind, problem, mend) {
    if (!any(bad)) return()
    at <- which(bad)[1L]
    row <- if (is.matrix(x)) (at - 1L) %% nrow(x) + 1L else x@i[at] + 1L
    column <- if (is.matrix(x)) (at - 1L) %/% nrow(x) + 1L else findInterval(at - 1L, x@p)
    gene <- if (is.null(genes)) paste("row", row) else paste0("gene \"", genes[row], "\"")
    stop_user(kind, problem, x = paste0("It is ", entries[at], " for ", gene, ", sample \"",
                                        samples[column], "\"",
                                        if (sum(bad) > 1L) paste0(", and ",
                                                                  count_text(sum(bad) - 1L),
                                                                  " more"), "."),
              i = mend, .call = .call)
  }
  refuse(is.na(entries), "missing_values", paste0("`", what, "` must not have missing values."),
         "Leave these genes or samples out, or impute them.")
  refuse(is.infinite(entries), "infinite_values", paste0("`", what, "` must be finite."), NULL)
  if (length(entries)) check_scale(max(abs(range(entries))), what, .call)
  if (!is.null(nonnegative)) {
    refuse(entries < 0, "negative_values", paste0("Method \"", nonnegative,
                                                  "\" needs values of `", what,
                                                  "` that are not negative."),
           "Use expression that is not centred, or another method.")
  }
}

# Where `wanted` genes are among `genes`; all must be there.  Without names on
# either side they are matched by position.
place_of_genes <- function(wanted, genes, n_wanted, n_genes, wanted_in, genes_in,
                           .call = caller_env()) {
  if (is.null(wanted) || is.null(genes)) {
    if (n_wanted != n_genes) {
      unnamed <- if (is.null(wanted)) wanted_in else genes_in
      stop_user("gene_names", "Genes without names can only be matched by position.",
                x = paste0("`", unnamed, "` has no gene names; `", wanted_in, "` has ",
                           plural(n_wanted, "gene"), ", `", genes_in, "` ",
                           count_text(n_genes), "."), .call = .call)
    }
    return(seq_len(n_wanted))
  }
  place <- match(wanted, genes)
  if (anyNA(place)) {
    absent <- wanted[is.na(place)]
    kind <- if (length(absent) == length(wanted)) "no_common_genes" else "absent_genes"
    stop_user(kind, paste0("Every gene of `", wanted_in, "` must be in `", genes_in, "`."),
              x = paste0(count_text(length(absent)), " of ", count_text(length(wanted)),
                         " are not: ", some_of(absent), "."),
              i = if (kind == "no_common_genes") paste0("`", genes_in, "` has ", some_of(genes),
                                                        ": is it the same nomenclature?"),
              .call = .call)
  }
  place
}

measured_genes <- function(genes, .call = caller_env()) {
  if (!is.character(genes) || !is.null(dim(genes))) {
    names <- rownames(genes)
    if (is.null(names)) {
      stop_user("argument", "`genes` must be names, or have genes as row names.",
                x = paste0("It is ", describe(genes), "."), .call = .call)
    }
    genes <- names
  }
  genes <- single_genes(genes, "genes", .call = .call)
  if (length(genes) < 2L) {
    stop_user("argument", "`genes` must have at least two genes.",
              x = paste0("It has ", plural(length(genes), "gene"), "."), .call = .call)
  }
  genes
}

# The names as they are matched; each may be there once.
single_genes <- function(names, what, .call = caller_env()) {
  genes <- gene_names(names, what, .call = .call)
  twice <- unique(genes[duplicated(genes)])
  if (length(twice)) {
    stop_user("gene_names", paste0("Genes of `", what, "` must have names of their own."),
              x = paste0("Used more than once: ", some_of(twice), "."),
              i = "Sum or leave out such rows.", .call = .call)
  }
  genes
}
