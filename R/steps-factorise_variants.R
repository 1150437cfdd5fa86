# Genotype calls from allele counts: what factorise_variants() works on.

# Reads of both alleles, aligned, as double matrices or dgCMatrix.
check_alleles <- function(ref, alt, .call = caller_env()) {
  as_reads <- function(x, what) {
    if (is.data.frame(x)) x <- as.matrix(x)
    if (methods::is(x, "Matrix")) x <- as_csc(x)
    if (!(is.matrix(x) && is.numeric(x)) && !methods::is(x, "dgCMatrix")) {
      stop_user("argument", paste0("`", what, "` must be a variants x cells matrix of reads."),
                x = paste0("It is ", describe(x), "."), .call = .call)
    }
    if (is.matrix(x)) storage.mode(x) <- "double"
    check_reads(x, what, .call)
    x
  }
  ref <- as_reads(ref, "ref")
  alt <- as_reads(alt, "alt")
  if (!identical(dim(ref), dim(alt))) {
    size <- function(x) paste(dim(x), collapse = " x ")
    stop_user("alleles", "`ref` and `alt` must have the same variants and cells.",
              x = paste0("`ref` is ", size(ref), ", `alt` is ", size(alt), "."), .call = .call)
  }
  for (side in 1:2) {
    names <- dimnames(ref)[[side]]
    others <- dimnames(alt)[[side]]
    if (is.null(names) || is.null(others) || identical(names, others)) next
    strangers <- setdiff(others, names)
    if (length(strangers) || anyDuplicated(names)) {
      stop_user("alleles", "`ref` and `alt` must have the same variants and cells.",
                x = paste0(c("Variants", "Cells")[side], " of `alt` that `ref` has not, or twice: ",
                           some_of(c(strangers, names[duplicated(names)])), "."), .call = .call)
    }
    alt <- if (side == 1) alt[names, , drop = FALSE] else alt[, names, drop = FALSE]
  }
  list(ref = ref, alt = alt)
}

check_reads <- function(x, what, .call) {
  scan <- call_rs(rs_scan_counts, counts = rust_values(x), .call = .call)
  bad <- c(missing = scan$missing[2L], negative = scan$negative[2L], infinite = scan$infinite[2L])
  bad <- bad[!is.na(bad)]
  if (length(bad) || !scan$integer) {
    where <- if (length(bad)) {
      paste0("Column ", colnames(x)[bad[1L]] %||% bad[1L], " has a ", names(bad)[1L], " value.")
    } else {
      "Some values are fractions."
    }
    stop_user("not_counts", paste0("`", what, "` must hold numbers of reads."), x = where,
              i = "Give whole numbers of reads, not allele frequencies.", .call = .call)
  }
}

# Calls and weights (dgCMatrix of one pattern) after the filters.
variant_calls <- function(alleles, weights, exclude, filters, .call = caller_env()) {
  given <- if (is.character(weights)) NULL else check_call_weights(weights, alleles$ref, .call)
  kind <- if (is.null(given)) {
    check_choice(weights, c("constant", "coverage", "binary"), "weights", .call = .call)
  } else {
    "binary"
  }
  call_all <- function(alleles) {
    call_rs(rs_call_genotypes, reference = alleles$ref, alternative = alleles$alt,
            min_coverage = filters$min_coverage, min_allele = filters$min_allele_reads,
            weights = kind, .call = .call)
  }
  shape <- dim(alleles$ref)
  keep <- list(!excluded_variants(exclude, alleles$ref, .call), rep(TRUE, shape[2L]))
  called <- call_all(alleles)
  count <- tabulate(called$i + 1L, shape[1L])
  mean <- unname(rowsum_at(called$calls, called$i, shape[1L])) / pmax(count, 1)
  edge <- filters$min_allele_frequency
  keep[[1L]] <- keep[[1L]] & count >= filters$min_variant_coverage * shape[2L] & count > 0 &
    mean >= edge & mean <= 1 - edge
  column <- rep(seq_len(shape[2L]), diff(called$p))
  covered <- tabulate(column[keep[[1L]][called$i + 1L]], shape[2L])
  keep[[2L]] <- covered >= filters$min_cell_coverage * sum(keep[[1L]])
  if (!any(keep[[1L]]) || !any(covered[keep[[2L]]] > 0)) {
    stop_user("no_calls", "No calls are left.",
              x = paste0(count_text(length(called$i)), " calls before filters; ",
                         plural(sum(keep[[1L]]), "variant"), " and ",
                         plural(sum(keep[[2L]]), "cell"), " pass them."),
              i = "Lower `min_coverage` or the other filters.", .call = .call)
  }
  labels <- Map(function(names, n) names %||% as.character(seq_len(n)), row_column_names(alleles),
                shape)
  if (!all(unlist(keep))) {
    alleles <- lapply(alleles, function(x) x[keep[[1L]], keep[[2L]], drop = FALSE])
    called <- call_all(alleles)
  }
  kept <- Map(`[`, labels, keep)
  as_calls <- function(x) {
    # calls of 0 stay stored: they are not missing
    Matrix::sparseMatrix(i = called$i, p = called$p, x = x, dims = lengths(kept),
                         dimnames = kept, index1 = FALSE)
  }
  values <- called$weights
  if (!is.null(given)) {
    given <- given[keep[[1L]], keep[[2L]], drop = FALSE]
    values <- given[cbind(called$i + 1L, rep(seq_len(ncol(given)), diff(called$p)))]
  }
  list(calls = as_calls(called$calls), weights = as_calls(values),
       left_out = list(variants = labels[[1L]][!keep[[1L]]], cells = labels[[2L]][!keep[[2L]]]))
}

row_column_names <- function(alleles) {
  Map(function(a, b) a %||% b, dimnames(alleles$ref) %||% list(NULL, NULL),
      dimnames(alleles$alt) %||% list(NULL, NULL))
}

# Sums of x over 0-based places.
rowsum_at <- function(x, at, n) {
  out <- numeric(n)
  sums <- rowsum(x, at)
  out[as.integer(rownames(sums)) + 1L] <- sums
  out
}

check_call_weights <- function(weights, ref, .call) {
  if (methods::is(weights, "Matrix")) weights <- as_csc(weights)
  ok <- (is.matrix(weights) && is.numeric(weights)) || methods::is(weights, "dgCMatrix")
  if (!ok || !identical(dim(weights), dim(ref))) {
    stop_user("argument", "`weights` must be a kind of weights or a variants x cells matrix.",
              x = paste0("It is ", describe(weights), "; `ref` is ",
                         paste(dim(ref), collapse = " x "), "."), .call = .call)
  }
  values <- if (is.matrix(weights)) weights else weights@x
  if (!all(is.finite(values)) || any(values < 0)) {
    stop_user("argument", "`weights` must be finite and not negative.",
              x = paste0("The smallest is ", min(values), "."), .call = .call)
  }
  weights
}

excluded_variants <- function(exclude, ref, .call) {
  n <- nrow(ref)
  if (is.null(exclude)) return(rep(FALSE, n))
  if (is.logical(exclude) && length(exclude) == n && !anyNA(exclude)) return(exclude)
  at <- if (is.character(exclude)) match(exclude, rownames(ref)) else if (is.numeric(exclude)) {
    ifelse(exclude %in% seq_len(n), exclude, NA)
  }
  if (is.null(at) || anyNA(at)) {
    stop_user("argument", "`exclude` must name variants.",
              x = if (is.null(at)) paste0("It is ", describe(exclude), ".") else
                paste0("Unknown: ", some_of(exclude[is.na(at)]), "."), .call = .call)
  }
  seq_len(n) %in% at
}
