# Methods that benchmark_deconvolution() can run.  Each is a list of
#   run      function(dataset): types x samples
#   package  that it needs, or NULL
#   input    "ours" for all genes and lengths, "theirs" for cleaned, matched genes
# `run` sees a benchmark_dataset without its truth.

#' @rdname benchmark_deconvolution
#' @export
benchmark_methods <- function() {
  package <- vapply(BENCHMARK_METHODS, function(method) method$package %||% "", "")
  installed <- vapply(package, function(p) p == "" || is_there(p), NA)
  data.frame(
    method = names(BENCHMARK_METHODS), package = unname(package), installed = unname(installed),
    about = vapply(BENCHMARK_METHODS, `[[`, "", "about"), row.names = NULL
  )
}

# Names and functions become methods, under names of their own.
as_methods <- function(methods, .call = caller_env()) {
  if (is.function(methods)) methods <- list(custom = methods)
  known <- names(BENCHMARK_METHODS)
  if (!is.list(methods)) {
    methods <- as.list(check_names(methods, known, "methods", .call = .call))
  }
  is_name <- vapply(methods, rlang::is_string, NA)
  bad <- which(!is_name & !vapply(methods, is.function, NA))
  if (length(bad) || !length(methods)) {
    stop_user("argument", "`methods` must be names of methods, or a list of names and functions.",
              x = if (length(bad)) paste0("Number ", bad[1L], " is ", describe(methods[[bad[1L]]]),
                                          "."), .call = .call)
  }
  if (any(is_name)) check_names(unlist(methods[is_name]), known, "methods", .call = .call)
  labels <- names(methods) %||% rep("", length(methods))
  labels[is_name & labels == ""] <- unlist(methods[is_name & labels == ""])
  twice <- unique(labels[duplicated(labels)])
  if (any(labels == "") || length(twice)) {
    stop_user("argument", "Every function among `methods` needs a name of its own.",
              x = if (any(labels == "")) "Some have none."
                  else paste0("Used twice: ", some_of(twice), "."), .call = .call)
  }
  stats::setNames(lapply(methods, function(method) {
    if (is.function(method)) list(run = method, input = "theirs") else BENCHMARK_METHODS[[method]]
  }), labels)
}

is_there <- function(package) rlang::is_installed(package)

# Without those whose package is not there.
installed_methods <- function(methods, verbose, .call = caller_env()) {
  there <- vapply(methods, function(m) is.null(m$package) || is_there(m$package), NA)
  if (!all(there)) {
    packages <- vapply(methods[!there], `[[`, "", "package")
    absent <- paste0("\"", names(packages), "\" (package ", packages, ")", collapse = ", ")
    if (!any(there)) {
      stop_user("argument", "None of the `methods` is installed.", x = paste0(absent, "."),
                .call = .call)
    }
    inform_user(verbose, paste0("Skipped, because not installed: ", absent, "."))
  }
  methods[there]
}

# ---- our own ----

own_fit <- function(dataset, ...) {
  deconvolve_bulk(dataset$signatures, dataset$bulk_counts, dataset$gene_lengths, verbose = FALSE,
                  ...)$proportions
}

run_poisson <- function(dataset) {
  own_fit(dataset, error_model = "poisson", gene_weights = if (dataset$clean) "auto" else "none")
}

run_markers <- function(dataset) {
  genes <- rownames(dataset$signatures)
  markers <- marker_genes(dataset, genes)
  own_fit(dataset, gene_weights = stats::setNames(as.numeric(genes %in% markers), genes),
          error_model = "poisson", intercept = FALSE)
}

# The most specific genes of each type, among `candidates`.
marker_genes <- function(dataset, candidates, n = 50) {
  candidates <- intersect(candidates, rownames(dataset$signatures))
  exclude <- if (dataset$clean) protocol_genes_of(candidates)
  if (!length(exclude)) exclude <- NULL
  select_markers(dataset$signatures, n = n, exclude = exclude, candidates = candidates)$gene
}

# Shares of mRNA in the reference: what is known without the bulk.
run_mean <- function(dataset) {
  total <- dataset$signatures$cells * dataset$signatures$umi
  matrix(total / sum(total), length(total), ncol(dataset$bulk_counts),
         dimnames = list(names(total), colnames(dataset$bulk_counts)))
}

# Trained anew for every dataset, which takes a minute or two.
run_network <- function(dataset, ...) {
  bulk <- dataset$bulk_counts
  lengths <- dataset$gene_lengths
  if (!is.null(lengths)) {
    bulk <- bulk[rownames(bulk) %in% names(lengths), , drop = FALSE]
    depth <- colSums(bulk)
    bulk <- normalise_columns(bulk / lengths[rownames(bulk)]) * rep(depth, each = nrow(bulk))
  }
  network <- train_deconvolver(
    dataset$reference, dataset$cell_types, dataset$donors, candidates = rownames(bulk),
    exclude = if (dataset$clean) "protocol", seed = NULL, verbose = FALSE, ...
  )
  predict(network, bulk, cell_size = "none", verbose = FALSE)$proportions
}

# ---- least squares and support vectors ----

# Profiles as shares of the whole transcriptome: scaled to the genes at hand, types
# that express more of them would look too small.
matched_profiles <- function(dataset, genes = rownames(dataset$bulk_counts)) {
  dataset$signatures$profiles[genes, , drop = FALSE] * 1e6
}

run_nnls <- function(dataset) {
  profiles <- matched_profiles(dataset)
  estimate <- apply(normalise_columns(dataset$bulk_counts) * 1e6, 2L, nnls_fit, a = profiles)
  dimnames(estimate) <- list(colnames(profiles), colnames(dataset$bulk_counts))
  estimate
}

# min |a x - b| with x >= 0, by the active set method of Lawson and Hanson (1974).
nnls_fit <- function(a, b) {
  x <- numeric(ncol(a))
  free <- logical(ncol(a))
  solve_free <- function(free) {
    out <- numeric(ncol(a))
    out[free] <- qr.coef(qr(a[, free, drop = FALSE]), b)
    # a column that depends on others can't be told from them: it stays 0
    out[is.na(out)] <- 0
    out
  }
  tolerance <- 1e-10 * max(abs(crossprod(a, b)), 1e-300)
  for (pass in seq_len(10L * ncol(a))) {
    gradient <- drop(crossprod(a, b - a %*% x))
    if (all(free) || max(gradient[!free]) <= tolerance) break
    free[which(!free)[which.max(gradient[!free])]] <- TRUE
    target <- solve_free(free)
    while (any(target[free] <= 0)) {
      # as far towards the target as no free value turns negative
      blocking <- free & target <= 0
      x <- x + min(x[blocking] / (x[blocking] - target[blocking])) * (target - x)
      free <- free & x > tolerance / max(colSums(a^2))
      x[!free] <- 0
      if (!any(free)) break
      target <- solve_free(free)
    }
    x <- target * free
  }
  x
}

# CIBERSORT (Newman et al., 2015): linear nu-SVR of standardised values; the nu of
# the smallest residual; negative coefficients become 0.
run_nu_svr <- function(dataset) {
  profiles <- matched_profiles(dataset)
  profiles <- profiles[marker_genes(dataset, rownames(profiles)), , drop = FALSE]
  bulk <- dataset$bulk_counts[rownames(profiles), , drop = FALSE]
  standard <- (profiles - mean(profiles)) / stats::sd(profiles)
  estimate <- apply(bulk, 2L, function(values) {
    values <- (values - mean(values)) / stats::sd(values)
    fits <- lapply(c(0.25, 0.5, 0.75), function(nu) svr_shares(standard, values, nu))
    rmse <- vapply(fits, function(x) sqrt(mean((standard %*% x - values)^2)), 0)
    fits[[which.min(rmse)]]
  })
  dimnames(estimate) <- list(colnames(profiles), colnames(bulk))
  estimate
}

svr_shares <- function(x, y, nu) {
  fit <- e1071::svm(x, y, type = "nu-regression", kernel = "linear", nu = nu, scale = FALSE)
  coefficients <- pmax(drop(crossprod(fit$coefs, fit$SV)), 0)
  coefficients / max(sum(coefficients), 1e-300)
}

# ---- packages of others ----

# Wraps a call so that types, donors, cells and samples have names that any
# package can take, and so that shares are of mRNA over all genes.
# `gives` says what the package returns shares of: "cells", the "mRNA" of the
# genes at hand, or that of "all" genes.
peer <- function(package, gives, about, run, also = NULL) {
  force(run)
  list(
    package = package, input = "theirs", about = about,
    run = function(dataset) {
      if (!is.null(also)) need_package(also, paste("to call", package))
      plain <- plain_names(dataset)
      estimate <- as.matrix(run(plain$dataset))
      missing <- setdiff(names(plain$types), rownames(estimate))
      if (length(missing) == length(plain$types)) {
        stop(package, " returned no known type, but ", some_of(rownames(estimate)), ".")
      }
      estimate <- estimate[rownames(estimate) %in% names(plain$types), , drop = FALSE]
      dimnames(estimate) <- list(unname(plain$types[rownames(estimate)]),
                                 unname(plain$samples[colnames(estimate)]))
      estimate * content_of(dataset, gives)[rownames(estimate)]
    }
  )
}

# A function of a package that is in no common repository, and so not in Suggests.
from <- function(package, name) getExportedValue(package, name)

plain_names <- function(dataset) {
  code <- function(names, stem) stats::setNames(names, paste0(stem, seq_along(names)))
  types <- code(levels(dataset$cell_types), "type")
  samples <- code(colnames(dataset$bulk_counts), "sample")
  levels(dataset$cell_types) <- names(types)
  donors <- dataset$donors %||% factor(rep("one", ncol(dataset$reference)))
  dataset$donors <- factor(paste0("donor", as.integer(donors)))
  colnames(dataset$bulk_counts) <- names(samples)
  colnames(dataset$reference) <- paste0("cell", seq_len(ncol(dataset$reference)))
  signatures <- dataset$signatures
  for (field in c("cells", "umi", "donors", "dispersion")) {
    names(signatures[[field]]) <- names(types)
  }
  colnames(signatures$profiles) <- names(types)
  dataset$signatures <- signatures
  list(dataset = dataset, types = types, samples = samples)
}

# By what the shares that a package gives are multiplied, per type.
content_of <- function(dataset, gives) {
  kept <- colSums(dataset$signatures$profiles[rownames(dataset$bulk_counts), , drop = FALSE])
  switch(gives, cells = dataset$signatures$umi, mRNA = 1 / kept, all = 0 * kept + 1)
}

dense_reference <- function(dataset) as.matrix(dataset$reference)

expression_set <- function(counts, ...) {
  rows <- data.frame(..., row.names = colnames(counts))
  Biobase::ExpressionSet(counts, phenoData = Biobase::AnnotatedDataFrame(rows))
}
bulk_set <- function(dataset) {
  expression_set(dataset$bulk_counts, sample = colnames(dataset$bulk_counts))
}
cell_set <- function(dataset) {
  expression_set(dense_reference(dataset), type = as.character(dataset$cell_types),
                 donor = as.character(dataset$donors))
}

# Samples x genes on the log2 scale, as dtangle and hspe take them.
log_rows <- function(per_million) t(log2(per_million + 1))
log_input <- function(dataset) {
  list(bulk = log_rows(normalise_columns(dataset$bulk_counts) * 1e6),
       references = log_rows(matched_profiles(dataset)))
}

run_music <- function(d) {
  cells <- SingleCellExperiment::SingleCellExperiment(
    list(counts = dense_reference(d)),
    colData = S4Vectors::DataFrame(type = as.character(d$cell_types),
                                   donor = as.character(d$donors))
  )
  # it calls counts() by its bare name
  found <- with_attached("SingleCellExperiment", from("MuSiC", "music_prop")(
    bulk.mtx = d$bulk_counts, sc.sce = cells, clusters = "type", samples = "donor",
    verbose = FALSE
  ))
  t(found$Est.prop.weighted)
}

# Runs code while a package is on the search path.
with_attached <- function(package, code) {
  entry <- paste0("package:", package)
  if (!entry %in% search()) {
    suppressPackageStartupMessages(attachNamespace(package))
    on.exit(detach(entry, character.only = TRUE))
  }
  code
}

run_instaprism <- function(d) {
  types <- as.character(d$cell_types)
  reference <- from("InstaPrism", "refPrepare")(dense_reference(d), types, types)
  fit <- from("InstaPrism", "InstaPrism")(bulk_Expr = d$bulk_counts, refPhi_cs = reference)
  methods::slot(methods::slot(fit, "Post.ini.ct"), "theta")
}

run_bayesprism <- function(d) {
  types <- as.character(d$cell_types)
  prism <- from("BayesPrism", "new.prism")(
    reference = t(dense_reference(d)), mixture = t(d$bulk_counts), input.type = "count.matrix",
    cell.type.labels = types, cell.state.labels = types, key = NULL, outlier.cut = 0.01,
    outlier.fraction = 0.1
  )
  fit <- from("BayesPrism", "run.prism")(prism = prism, n.cores = 1)
  t(from("BayesPrism", "get.fraction")(bp = fit, which.theta = "final", state.or.type = "type"))
}

run_bisque <- function(d) {
  from("BisqueRNA", "ReferenceBasedDecomposition")(
    bulk_set(d), cell_set(d), markers = NULL, cell.types = "type", subject.names = "donor",
    use.overlap = FALSE, verbose = FALSE
  )$bulk.props
}

run_epic <- function(d) {
  reference <- list(refProfiles = matched_profiles(d),
                    sigGenes = marker_genes(d, rownames(d$bulk_counts)))
  # its further row is for cells without a profile
  t(from("EPIC", "EPIC")(bulk = d$bulk_counts, reference = reference)$mRNAProportions)
}

run_dwls <- function(d) {
  folder <- tempfile("dwls")
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  signature <- from("DWLS", "buildSignatureMatrixMAST")(
    dense_reference(d), as.character(d$cell_types), folder
  )
  vapply(colnames(d$bulk_counts), function(sample) {
    trimmed <- from("DWLS", "trimData")(signature, d$bulk_counts[, sample])
    from("DWLS", "solveDampenedWLS")(trimmed$sig, trimmed$bulk)
  }, numeric(ncol(signature)))
}

run_scdc <- function(d) {
  prop <- from("SCDC", if (nlevels(d$donors) > 1L) "SCDC_prop" else "SCDC_prop_ONE")
  t(prop(bulk_set(d), cell_set(d), ct.varname = "type", sample = "donor",
         ct.sub = levels(d$cell_types))$prop.est.mvw)
}

run_dtangle <- function(d) {
  input <- log_input(d)
  t(from("dtangle", "dtangle")(input$bulk, references = input$references)$estimates)
}

run_hspe <- function(d) {
  input <- log_input(d)
  t(from("hspe", "hspe")(input$bulk, references = input$references)$estimates)
}

run_deconrnaseq <- function(d) {
  fit <- from("DeconRNASeq", "DeconRNASeq")(
    as.data.frame(normalise_columns(d$bulk_counts) * 1e6), as.data.frame(matched_profiles(d)),
    checksig = FALSE, use.scale = TRUE, fig = FALSE
  )
  estimate <- t(fit$out.all)
  colnames(estimate) <- colnames(d$bulk_counts)
  estimate
}

BENCHMARK_METHODS <- list(
  unalloy = list(run = own_fit, input = "ours", about = "deconvolve_bulk() as it comes"),
  poisson = list(run = run_poisson, input = "ours", about = "Poisson model of deconvolve_bulk()"),
  markers = list(run = run_markers, input = "ours",
                 about = "Poisson model on 50 markers per type"),
  nnls = list(run = run_nnls, input = "theirs", about = "non-negative least squares, all genes"),
  "nu-svr" = list(run = run_nu_svr, input = "theirs", package = "e1071",
                  about = "CIBERSORT's algorithm on 50 markers per type"),
  mean = list(run = run_mean, input = "ours", about = "composition of the reference"),
  network = list(run = run_network, input = "ours",
                 about = "networks of train_deconvolver(), minutes per dataset"),
  music = peer("MuSiC", "cells", "weighted least squares, many donors", run_music,
               also = c("SingleCellExperiment", "S4Vectors")),
  instaprism = peer("InstaPrism", "mRNA", "BayesPrism by fixed points", run_instaprism),
  bayesprism = peer("BayesPrism", "mRNA", "Gibbs sampling, reference updated", run_bayesprism),
  bisque = peer("BisqueRNA", "all", "bulk transformed to the reference's scale", run_bisque,
                also = "Biobase"),
  epic = peer("EPIC", "mRNA", "constrained least squares on 50 markers per type", run_epic),
  dwls = peer("DWLS", "cells", "dampened weighted least squares", run_dwls),
  scdc = peer("SCDC", "cells", "weighted least squares on one or many donors", run_scdc,
              also = "Biobase"),
  dtangle = peer("dtangle", "all", "markers on the log scale", run_dtangle),
  hspe = peer("hspe", "all", "mixed scales", run_hspe),
  deconrnaseq = peer("DeconRNASeq", "all", "quadratic programming of scaled values",
                     run_deconrnaseq)
)
