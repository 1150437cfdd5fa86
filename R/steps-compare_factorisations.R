# What compare_factorisations() computes.

# Genes x components and components x cells of a factorisation of any kind.
factorisation_parts <- function(fit, name, .call = caller_env()) {
  if (inherits(fit, c("nmf_fit", "latent_factors"))) {
    kind <- if (inherits(fit, "nmf_fit")) "non-negative" else "signed"
    return(list(basis = fit$basis, coef = fit$coef, kind = kind))
  }
  if (inherits(fit, "prcomp")) {
    if (is.null(fit$x)) {
      stop_user("argument", "A `prcomp()` result must keep its scores.",
                x = paste0("\"", name, "\" has none."), i = "Take `retx = TRUE`.", .call = .call)
    }
    return(list(basis = fit$rotation, coef = t(fit$x), kind = "signed"))
  }
  stop_user("argument", "Factorisations must come from `nmf()`, `latent_factors()` or `prcomp()`.",
            x = paste0("\"", name, "\" is ", describe(fit), "."), .call = .call)
}

# Loadings that compare across kinds: signed ones as they are; of non-negative ones the
# logarithm per 10,000 against its mean over components.
comparable_loadings <- function(basis, kind) {
  if (kind == "signed") return(basis)
  centred_logs(basis)
}

centred_logs <- function(profiles) {
  values <- log1p(sweep(profiles, 2L, 1e4 / pmax(colSums(profiles), .Machine$double.xmin), "*"))
  if (ncol(values) > 1L) values - rowMeans(values) else values
}

# Correlations of columns, 0 for constant ones.
column_correlations <- function(a, b) {
  out <- suppressWarnings(stats::cor(a, b))
  out[is.na(out)] <- 0
  out
}

# One to one, with the largest sum of absolute correlations: a row per row of
# `correlation` that has a partner.
matched_pairs <- function(correlation) {
  n <- max(dim(correlation))
  square <- matrix(0, n, n)
  square[seq_len(nrow(correlation)), seq_len(ncol(correlation))] <- abs(correlation)
  pairs <- call_rs(rs_best_assignment, similarity = square)[seq_len(nrow(correlation))]
  kept <- which(pairs <= ncol(correlation))
  data.frame(row = kept, column = pairs[kept], correlation = correlation[cbind(kept, pairs[kept])])
}

# Rows of `a` and `b` that have the same name.
shared_rows <- function(a, b, what, .call = caller_env()) {
  if (is.null(rownames(a)) || is.null(rownames(b))) {
    stop_user("features", paste0("Genes must have names to be compared with ", what, "."),
              .call = .call)
  }
  shared <- intersect(rownames(a), rownames(b))
  if (length(shared) < 3L) {
    stop_user("features", paste0("There are too few genes in common with ", what, "."),
              x = paste0("There are ", length(shared), "."), .call = .call)
  }
  shared
}

compare_cells <- function(parts, .call = caller_env()) {
  first <- parts[[1L]]
  rows <- lapply(names(parts)[-1L], function(name) {
    other <- parts[[name]]
    a <- first$coef
    b <- other$coef
    if (!is.null(colnames(a)) && !is.null(colnames(b))) {
      b <- b[, match(colnames(a), colnames(b)), drop = FALSE]
    }
    if (ncol(a) != ncol(b) || anyNA(b)) {
      stop_user("samples", "Factorisations must be of the same cells.",
                x = paste0("\"", name, "\" has others than \"", names(parts)[1L], "\"."),
                .call = .call)
    }
    correlation <- column_correlations(t(a), t(b))
    pairs <- matched_pairs(correlation)
    genes <- loading_correlations(first, other)
    list(
      matches = data.frame(
        factorisation = name, component = rownames(a)[pairs$row],
        partner = rownames(b)[pairs$column], cells = pairs$correlation,
        genes = if (is.null(genes)) NA_real_ else genes[cbind(pairs$row, pairs$column)]
      ),
      all = data.frame(
        factorisation = name, component = rownames(a)[row(correlation)],
        partner = rownames(b)[col(correlation)], correlation = as.vector(correlation)
      )
    )
  })
  list(matches = do.call(rbind, lapply(rows, `[[`, "matches")),
       correlations = do.call(rbind, lapply(rows, `[[`, "all")))
}

loading_correlations <- function(a, b) {
  shared <- intersect(rownames(a$basis), rownames(b$basis))
  if (length(shared) < 3L) return(NULL)
  column_correlations(comparable_loadings(a$basis[shared, , drop = FALSE], a$kind),
                      comparable_loadings(b$basis[shared, , drop = FALSE], b$kind))
}

compare_signatures <- function(parts, signatures, .call = caller_env()) {
  profiles <- if (inherits(signatures, "signatures")) signatures$profiles else signatures
  if (!is.matrix(profiles) || !is.numeric(profiles) || is.null(colnames(profiles)) ||
      anyNA(profiles) || any(profiles < 0)) {
    stop_user("argument", paste("`signatures` must come from `build_signatures()`, or be a genes x",
                                "types matrix with names."),
              x = paste0("It is ", describe(signatures), "."), .call = .call)
  }
  do.call(rbind, lapply(names(parts), function(name) {
    part <- parts[[name]]
    shared <- shared_rows(part$basis, profiles, "`signatures`", .call = .call)
    correlation <- column_correlations(
      comparable_loadings(part$basis[shared, , drop = FALSE], part$kind),
      centred_logs(profiles[shared, , drop = FALSE])
    )
    pairs <- matched_pairs(correlation)
    matched <- matrix(FALSE, nrow(correlation), ncol(correlation))
    matched[cbind(pairs$row, pairs$column)] <- TRUE
    data.frame(factorisation = name, component = colnames(part$basis)[row(correlation)],
               type = colnames(profiles)[col(correlation)], correlation = as.vector(correlation),
               matched = as.vector(matched))
  }))
}

compare_gene_sets <- function(parts, gene_sets, .call = caller_env()) {
  if (!is.list(gene_sets) || is.null(names(gene_sets)) ||
        !all(vapply(gene_sets, is.character, NA))) {
    stop_user("argument", "`gene_sets` must be a named list of genes.",
              x = paste0("It is ", describe(gene_sets), "."), .call = .call)
  }
  out <- do.call(rbind, lapply(names(parts), function(name) {
    part <- parts[[name]]
    genes <- rownames(part$basis)
    inside <- vapply(gene_sets, function(set) genes %in% set, logical(length(genes)))
    sizes <- colSums(inside)
    usable <- sizes >= 3L & sizes < length(genes)
    if (!any(usable)) {
      stop_user("features", "No gene set has three genes of the factorisations.",
                x = paste0("The largest has ", max(sizes), " in \"", name, "\"."), .call = .call)
    }
    inside <- inside[, usable, drop = FALSE]
    ranks <- apply(comparable_loadings(part$basis, part$kind), 2L, rank)
    rank_tests(ranks, inside, name, colnames(part$basis))
  }))
  out$q <- stats::p.adjust(out$p, "BH")
  out
}

# Wilcoxon's test of every set (columns of `inside`) against every component.
rank_tests <- function(ranks, inside, name, components) {
  n <- nrow(ranks)
  size <- colSums(inside)
  sums <- crossprod(inside + 0, ranks)
  ties <- apply(ranks, 2L, function(column) sum(table(column)^3 - table(column)))
  auc <- (sums - size * (size + 1) / 2) / (size * (n - size))
  variance <- outer(size * (n - size) / 12, n + 1 - ties / (n * (n - 1)))
  z <- (auc - 0.5) * size * (n - size) / sqrt(variance)
  data.frame(factorisation = name, component = components[col(auc)],
             set = colnames(inside)[row(auc)], size = size[row(auc)], auc = as.vector(auc),
             p = as.vector(2 * stats::pnorm(-abs(z))), row.names = NULL)
}

# Share of each component's variance over cells that lies between classes.
compare_classes <- function(parts, class, .call = caller_env()) {
  n <- ncol(parts[[1L]]$coef)
  if (!is.atomic(class) || length(class) != n) {
    stop_user("argument", "`class` must have a value per cell.",
              x = paste0("It is ", describe(class), "; there are ", plural(n, "cell"), "."),
              .call = .call)
  }
  known <- !is.na(class)
  groups <- factor(class[known])
  do.call(rbind, lapply(names(parts), function(name) {
    values <- t(parts[[name]]$coef[, known, drop = FALSE])
    values <- sweep(values, 2L, colMeans(values))
    means <- rowsum(values, groups) / as.vector(table(groups))
    total <- colSums(values^2)
    between <- colSums(means^2 * as.vector(table(groups)))
    data.frame(factorisation = name, component = colnames(values),
               explained = unname(ifelse(total > 0, between / total, 0)),
               class = levels(groups)[max.col(t(abs(means)), ties.method = "first")])
  }))
}
