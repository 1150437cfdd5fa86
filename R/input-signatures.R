# Signatures in every form that users have them.

# profiles    genes x types, columns sum to 1 over all genes
# variance    genes x types, between-donor variance of the profile, or NULL
# cells, umi  cells and mean UMI per type (NA when not built from cells)
# donors      donors per type (NA when not given)
# dispersion  relative variance of a type's summed counts beyond Poisson, of the
#             typical gene
# totals      per type, the sum of the column that was given; NULL when built from cells
# platform_counts  with two platforms or more, as donor_counts with `platform`; else NULL
# donor_counts  with two donors or more: list(counts, totals, type, donor, cells), the
#             summed counts of the cells of each type and donor (dgCMatrix with a
#             column for each), their sums over all genes, and the number of cells; else
#             NULL
new_signatures <- function(profiles, variance = NULL, cells = NA_real_, umi = NA_real_,
                           donors = NA_integer_, dispersion = NA_real_, donor_counts = NULL,
                           platform_counts = NULL, totals = NULL) {
  types <- colnames(profiles)
  per_type <- function(x) stats::setNames(rep_len(x, length(types)), types)
  structure(
    list(profiles = profiles, variance = variance, cells = per_type(cells),
         umi = per_type(umi), donors = per_type(donors), dispersion = per_type(dispersion),
         donor_counts = donor_counts, platform_counts = platform_counts, totals = totals),
    class = "signatures"
  )
}

# A plain genes x types matrix becomes signatures; `signatures` pass.
as_signatures <- function(x, .call = caller_env()) {
  if (inherits(x, "signatures")) return(check_signatures(x, .call))
  if (is.data.frame(x)) x <- as.matrix(x)
  if (is_sparse_matrix(x)) x <- as.matrix(x)
  if (!is.matrix(x) || !is.numeric(x)) {
    stop_user("argument", "`signatures` must be a genes x types matrix or a `signatures` object.",
              x = paste0("It is ", describe(x), "."),
              i = "`build_signatures()` makes one from single-cell counts.", .call = .call)
  }
  if (ncol(x) == 0L || nrow(x) == 0L) {
    stop_user("argument", "`signatures` must have genes and types.",
              x = paste0("It is ", nrow(x), " x ", ncol(x), "."), .call = .call)
  }
  if (is.null(colnames(x))) colnames(x) <- paste("Type", seq_len(ncol(x)))
  check_type_names(colnames(x), .call = .call)
  check_profiles(x, "signatures", "type", .call = .call)
  storage.mode(x) <- "double"
  new_signatures(normalise_columns(x), totals = colSums(x))
}

# Signatures that were made or changed by hand, beyond what makes and cuts them here.
check_signatures <- function(x, .call) {
  edited <- function(part) {
    stop_user("signature_values", "`signatures` is not as `build_signatures()` returned it.",
              x = paste0("Changed, or not there: \"", part, "\"."),
              i = "Give a genes x types matrix, or cut signatures with `[`.", .call = .call)
  }
  profiles <- x$profiles
  if (!is.matrix(profiles) || !is.numeric(profiles) || !length(profiles)) edited("profiles")
  if (is.null(colnames(profiles))) edited("profiles")
  check_type_names(colnames(profiles), .call = .call)
  check_values(profiles, "signatures", "type", .call)
  if (!is.null(x$variance)) {
    if (!is.numeric(x$variance) || !identical(dim(x$variance), dim(profiles))) edited("variance")
    # missing where a type has one donor
    if (any(x$variance < 0 | x$variance == Inf, na.rm = TRUE)) edited("variance")
  }
  for (part in c("cells", "umi", "donors", "dispersion")) {
    values <- x[[part]]
    if (!is.numeric(values) || length(values) != ncol(profiles)) edited(part)
    if (any(!is.na(values) & (values < 0 | !is.finite(values)))) edited(part)
  }
  for (part in c("donor_counts", "platform_counts")) {
    counts <- x[[part]]$counts
    if (!is.null(counts) && nrow(counts) != nrow(profiles)) edited(part)
  }
  x
}

check_type_names <- function(types, .call) {
  twice <- unique(types[duplicated(types)])
  if (length(twice) || anyNA(types) || any(types == "")) {
    stop_user("type_names", "Types must have names of their own.",
              x = if (length(twice)) paste0("Used more than once: ", some_of(twice), ".")
                  else "Some types have no name.", .call = .call)
  }
  if ("Intercept" %in% types) {
    stop_user("type_names", "A type can't be called \"Intercept\".",
              i = "That name stands for the uniform background in the result.", .call = .call)
  }
}

# Profiles must be finite and non-negative, and none all zero.
check_profiles <- function(x, what, noun, .call) {
  check_values(x, what, noun, .call)
  empty <- colnames(x)[colSums(x) <= 0]
  if (length(empty)) {
    stop_user("empty_type", paste0("Every ", noun, " of `", what, "` must express some gene."),
              x = paste0("All zero: ", some_of(empty), "."),
              i = paste0("Leave the ", noun, " out."), .call = .call)
  }
}

check_values <- function(x, what, noun, .call) {
  bad <- which(!is.finite(x) | x < 0, arr.ind = TRUE)
  if (nrow(bad)) {
    value <- x[bad[1L, 1L], bad[1L, 2L]]
    gene <- rownames(x)[bad[1L, 1L]] %||% bad[1L, 1L]
    stop_user("signature_values", paste0("`", what, "` must be finite and not negative."),
              x = paste0("Gene \"", gene, "\" is ", value, " in ", noun, " \"",
                         colnames(x)[bad[1L, 2L]], "\"."),
              i = "Give mean linear expression, not logarithms or scaled values.",
              .call = .call)
  }
  check_scale(max(x), what, .call)
}

# Expression per million of named genes, rows of one gene summed.
per_million <- function(signatures, .call = caller_env()) {
  shares <- as_signatures(signatures, .call = .call)$profiles
  genes <- gene_names(rownames(shares), "signatures", .call = .call)
  if (is.null(genes)) {
    stop_user("gene_names", "`signatures` needs gene names as row names.", .call = .call)
  }
  if (ncol(shares) < 2L) {
    stop_user("argument", "Specificity needs at least two types.",
              x = paste0("`signatures` has only ", some_of(colnames(shares)), "."),
              .call = .call)
  }
  rownames(shares) <- genes
  if (anyDuplicated(genes)) shares <- rowsum(shares, factor(genes, unique(genes)), reorder = FALSE)
  1e6 * shares
}
