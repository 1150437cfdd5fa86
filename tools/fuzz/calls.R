# Small valid problems, and one valid call of every exported function and of every
# generic on every class.  A call's arguments name parts of the problem.

# What calls may use, made from a seed: cohorts of other sizes for other seeds.
fuzz_problem <- function(seed) {
  set.seed(seed)
  at <- function(values) values[[sample.int(length(values), 1L)]]
  p <- list(n_genes = at(c(60, 90, 140)), n_types = at(3:5), n_samples = at(8:11))
  sim <- simulate_bulk(p$n_genes, p$n_types, p$n_samples, n_donors = 3, cells_per_type = 12,
                       seed = seed)
  p$sim <- sim
  p$x <- sim$bulk_counts
  p$cells <- sim$reference
  p$labels <- sim$cells$cell_type
  p$donors <- sim$cells$donor
  p$lengths <- sim$gene_lengths
  p$sig <- build_signatures(p$cells, p$labels, p$donors)
  types <- colnames(p$sig$profiles)
  p$groups <- list(One = types[1:2], Two = types[-(1:2)])
  p$tree <- type_tree(p$sig, p$groups)
  p$markers <- select_markers(p$sig, n = 5)
  p$fit <- deconvolve_bulk(p$sig, p$x, p$lengths, protocol = "full_length", verbose = FALSE,
                           samples = data.frame(arm = rep_len(c("a", "b"), p$n_samples),
                                                row.names = colnames(p$x)))
  p$plain <- deconvolve_bulk(p$sig, p$x, p$lengths, protocol = "full_length", seed = 1,
                             error_model = "poisson", verbose = FALSE)
  p$diagnosis <- diagnose(p$fit, draws = 3, verbose = FALSE, seed = 1)
  p$merged <- merge_types(p$fit, groups = p$groups)
  p$check <- check_reference(p$sig, p$x)
  p$hier <- deconvolve_hierarchical(p$sig, p$x, p$lengths, tree = p$tree, verbose = FALSE,
                                    protocol = "full_length")
  p$expression <- cell_type_expression(p$fit, verbose = FALSE)
  p$program <- extract_program(p$fit, verbose = FALSE, seed = 1)
  p$arm <- rep_len(c("a", "b"), p$n_samples)
  p$truth <- sim$truth_mrna
  p$compared <- compare_groups(p$fit, ~ arm, data.frame(arm = p$arm, row.names = colnames(p$x)))
  p$time <- stats::rexp(p$n_samples) + 0.1
  p$event <- rep_len(c(1, 0, 1), p$n_samples)
  p$sparse <- methods::as(methods::as(p$x, "CsparseMatrix"), "generalMatrix")
  p$nmf <- nmf(p$x, 2, nrun = 3, seed = 1, verbose = FALSE)
  p$kl <- nmf(p$x, 2, "kl", seed = 1, verbose = FALSE)
  p$ranks <- estimate_rank(p$x, 2:3, nrun = 2, seed = 1, verbose = FALSE)
  p$joint <- factorise_joint(list(a = p$x, b = p$x[1:20, ]), 2, nrun = 2, seed = 1)
  p$integrative <- factorise_integrative(list(a = p$x, b = p$x[, -1]), 2, seed = 1)
  depth <- matrix(stats::rpois(30 * 12, 20), 30, dimnames = list(paste0("v", 1:30), letters[1:12]))
  p$alt <- matrix(stats::rbinom(360, depth, rep(c(0, 0.6), 180)), 30, dimnames = dimnames(depth))
  p$ref <- depth - p$alt
  p$variants <- factorise_variants(p$ref, p$alt, 2, nrun = 2, bootstrap = 3, seed = 1)
  p$programs <- consensus_programs(p$x, 2, nrun = 10, seed = 1, verbose = FALSE)
  p$factors <- latent_factors(p$x, 2, verbose = FALSE)
  p$counts_fit <- latent_factors(p$x, 1, "poisson", max_iter = 30, verbose = FALSE)
  p$network <- train_deconvolver(p$cells, p$labels, p$donors, steps = 10, ensemble = 2,
                                 hidden = 8, verbose = FALSE)
  p$read <- predict(p$network, p$x, verbose = FALSE)
  p$profiles <- log1p(p$x) + stats::runif(length(p$x)) / 10
  p$A <- measurement_matrix(8, rownames(p$x), max_correlation = 0.9, seed = 1)
  p$dictionary <- learn_dictionary(p$profiles, 3, "smaf", sparsity = 2, seed = 1, verbose = FALSE)
  p$y <- measure(p$profiles, p$A, snr = 20, seed = 1, verbose = FALSE)
  p$decoder <- learn_decoder(p$profiles, p$A, "ridge", seed = 1, verbose = FALSE)
  p$recovered <- recover_profiles(p$y, p$A, p$dictionary, verbose = FALSE)
  p$recoveries <- evaluate_recovery(p$profiles, p$recovered, verbose = FALSE)
  p$pool <- measurement_matrix(5, rownames(p$x), "sparse", max_correlation = 1, genes_per_pool = 6,
                               seed = 1)
  p$subtypes <- find_subtypes(p$profiles, k = 2, resamples = 10, null = 19, seed = 1)
  p$sets <- list(first = rownames(p$x)[1:12], second = rownames(p$x)[10:30])
  p$file <- tempfile(fileext = ".tsv")
  utils::write.table(data.frame(gene = rownames(p$x), p$x), p$file, sep = "\t", quote = FALSE,
                     row.names = FALSE)
  p$gmt <- tempfile(fileext = ".gmt")
  writeLines(c("a\tu\tG1\tG2", "b\tu\tG3"), p$gmt)
  p$aliases <- data.frame(from = rownames(p$x), to = paste0("H", seq_len(nrow(p$x))))
  p$out <- tempfile()
  p$html <- tempfile(fileext = ".html")
  p$frame <- data.frame(arm = p$arm, row.names = colnames(p$x))
  p$benchmark <- benchmark_deconvolution("unalloy", list(small = sim), seed = 1, verbose = FALSE)
  p$readings <- benchmark_recovery(p$profiles, 4, "ridge", splits = 2, seed = 1, verbose = FALSE,
                                   max_correlation = 1)
  p
}

# Calls that are no more than a generic and its object.
GENERICS <- list(
  fit = c("print", "summary", "coef", "confint", "fitted", "residuals", "predict", "vcov",
          "logLik", "nobs", "tidy", "glance", "augment", "as.data.frame", "as.matrix", "t",
          "dim", "dimnames", "plot", "autoplot"),
  diagnosis = c("print", "tidy", "glance", "as.data.frame", "plot"),
  merged = c("print", "as.data.frame", "plot", "dim"),
  check = c("print", "as.data.frame"),
  hier = c("print", "coef", "as.data.frame", "plot", "dim"),
  expression = c("print", "as.array", "as.data.frame", "dim", "dimnames"),
  program = c("print", "summary", "tidy", "as.data.frame", "plot"),
  compared = c("print", "summary", "tidy", "as.data.frame", "plot"),
  sig = c("print", "summary", "as.data.frame", "as.matrix", "dim", "tidy"),
  tree = c("print", "as.data.frame"),
  markers = c("print", "as.list", "as.data.frame", "plot"),
  nmf = c("print", "summary", "coef", "fitted", "residuals", "predict", "basis", "consensus",
          "connectivity", "cophcor", "dispersion", "evar", "rss", "sparseness", "silhouette",
          "nbasis", "extractFeatures", "featureScore", "tidy", "glance", "augment", "plot",
          "coefmap", "basismap", "consensusmap", "dim", "dimnames"),
  ranks = c("print", "summary", "tidy", "glance", "as.data.frame", "plot", "consensusmap"),
  joint = c("print", "coef", "basis", "fitted", "predict"),
  integrative = c("print", "coef", "predict"),
  variants = c("print", "coef", "basis", "fitted", "as.data.frame", "plot"),
  programs = c("print", "predict", "plot"),
  factors = c("print", "summary", "coef", "basis", "fitted", "predict", "logLik", "tidy",
              "glance", "augment", "plot", "simulate", "dim", "nbasis"),
  A = c("print", "as.matrix", "as.data.frame", "dim"),
  dictionary = c("print", "plot"), decoder = c("print", "plot", "tidy", "glance"),
  recovered = c("print", "confint", "as.matrix"),
  recoveries = c("print", "as.data.frame"),
  subtypes = c("print", "predict", "plot", "consensus"),
  benchmark = c("print", "summary", "as.data.frame", "plot"),
  readings = c("print", "summary", "as.data.frame", "plot")
)

VERBS <- alist(
  simulate_bulk(n_genes = 40, n_types = 3, n_samples = 3, cells_per_type = 5, seed = 1),
  pseudo_bulk(cells, labels, donors, n_samples = 3, cells_per_sample = 20, min_cells = 2, seed = 1),
  build_signatures(cells, labels, donors), build_signatures(sim$reference, labels),
  deconvolve_bulk(sig, x, lengths, verbose = FALSE),
  deconvolve_bulk(sig, sparse, lengths, error_model = "poisson", verbose = FALSE),
  deconvolve_bulk(sig$profiles, x, lengths, method = "em", max_iter = 20, verbose = FALSE),
  deconvolve_hierarchical(sig, x, lengths, tree = tree, verbose = FALSE),
  diagnose(fit, draws = 3, verbose = FALSE), diagnose(plain, x, draws = 3, verbose = FALSE),
  confint(fit, level = 0.9), confint(plain, method = "bootstrap", over = "genes", replicates = 10),
  predict(fit, x), vcov(plain), contrast(fit, 1, 2), contrast(plain, "Sample1", "Sample2"),
  test_presence(fit), test_presence(plain), merge_types(fit, groups = groups), merge_types(plain),
  merge_signatures(sig, groups), type_tree(sig, groups), type_error(fit),
  learn_type_error(fit, truth), check_reference(sig, x), report(fit, html, overwrite = TRUE),
  select_markers(sig, n = 5), gene_specificity(sig), check_markers(markers, rownames(x)),
  top_features(sig, 3), top_genes(programs, 3), match_cell_size(c("B cell", "T cell")),
  literature_cell_sizes(), protocol_genes(), protocol_genes("mouse"),
  correct_platform(x, x), cell_type_expression(fit, verbose = FALSE),
  cell_type_expression(plain, method = "allocation", verbose = FALSE),
  expression_reliability(expression), as_summarized_experiment(expression),
  evaluate_expression(expression, expression), extract_program(fit, seed = 1, verbose = FALSE),
  compare_deconvolutions(fit, plain), compare_groups(fit, ~ arm, frame),
  compare_groups(fit, ~ arm), compare_groups(nmf, ~ arm, frame),
  compare_survival(arm, time, event), test_prognosis(fit, time, event),
  test_prognosis(nmf, time, event), test_enrichment(arm, rev(arm), draws = 100),
  test_pathways(stats::setNames(seq_len(nrow(x)), rownames(x)), sets, sizes = c(2, 100)),
  find_subtypes(profiles, k = 2, resamples = 10, null = 19, seed = 1),
  find_subtypes(fit, k = 2, resamples = 10, null = 19), predict(subtypes, profiles),
  replicate_subtypes(subtypes, profiles),
  add_to(frame, fit), add_to(frame, nmf), as_reduction(nmf), as_reduction(factors),
  sample_data(fit), `sample_data<-`(fit, value = frame), fit[, 1:2], sig[1:20, 1:2], fit[["call"]],
  nmf(x, 2, verbose = FALSE), nmf(sparse, 2, "kl", max_iter = 50, verbose = FALSE),
  nmf(x, 2, "brunet", nrun = 2, max_iter = 50, verbose = FALSE),
  nmf(x, 2, "lee", max_iter = 50, verbose = FALSE), nmf(x, 2, "anls", l1 = 1, verbose = FALSE),
  nmf(x, 2, "offset", verbose = FALSE), nmf(x, 2, "nsNMF", max_iter = 50, verbose = FALSE),
  nmf(x, 2, "snmf/r", verbose = FALSE), nmf(x, 2, "pg", max_iter = 50, verbose = FALSE),
  nmf(x, 2, weights = x + 1, max_iter = 50, verbose = FALSE),
  nmf(x, 2, init = "nndsvda", verbose = FALSE), nmf(x, 2, known_basis = cbind(a = x[, 1])),
  nmf(x, 2, sample_graph = matrix(1, ncol(x), ncol(x)), l2 = 1),
  estimate_rank(x, 2:3, nrun = 2, verbose = FALSE),
  factorise_joint(list(a = x, b = x[1:20, ]), 2, nrun = 2),
  factorise_integrative(list(a = x, b = x[, -1]), 2),
  predict(joint, list(b = x[1:20, ])), predict(nmf, x), predict(integrative, x),
  factorise_variants(ref, alt, 2, nrun = 2, bootstrap = 3),
  consensus_programs(x, 2, nrun = 10), consensus_programs(x, 2:3, nrun = 8),
  compare_factorisations(nmf, kl), compare_factorisations(a = nmf, b = kl, signatures = sig),
  latent_factors(x, 2, verbose = FALSE), latent_factors(x, NULL, n_features = 30),
  latent_factors(x, 1, "poisson", max_iter = 20), latent_factors(profiles, 2, algorithm = "em"),
  latent_factors(x, 1, "negative_binomial", max_iter = 10),
  latent_factors(x, 1, "zinb", max_iter = 5), predict(factors, x), predict(counts_fit, x),
  latent_factors(x, 1, "poisson", batch = arm, max_iter = 20), simulate(counts_fit, seed = 1),
  purity(nmf, arm), entropy(nmf, arm), purity(factor(arm), arm), entropy(table(arm, arm)),
  measurement_matrix(6, rownames(x), max_correlation = 0.9), measure(profiles, A),
  measurement_matrix(5, rownames(x), "sparse", max_correlation = 1, genes_per_pool = 5),
  write_pools(pool, out), learn_dictionary(profiles, 3, "svd", verbose = FALSE),
  learn_dictionary(profiles, 3, "smaf", sparsity = 2, max_iter = 5, verbose = FALSE),
  learn_dictionary(profiles, 3, "ksvd", sparsity = 2, max_iter = 5, verbose = FALSE),
  learn_dictionary(profiles, 3, "snmf", max_iter = 5, verbose = FALSE),
  train_deconvolver(cells, labels, steps = 5, ensemble = 1, hidden = 8, verbose = FALSE),
  predict(network, x, verbose = FALSE), compare_groups(read, ~ arm, frame), plot(read, "heatmap"),
  learn_decoder(profiles, A), learn_decoder(profiles, A, "ridge"),
  learn_decoder(profiles, A, "network", hidden = 6, epochs = 3, verbose = FALSE),
  recover_profiles(y, A, dictionary), recover_profiles(y, A, dictionary, "lasso"),
  recover_profiles(y, A, dictionary, "nn_omp"), recover_profiles(y, A, decoder),
  evaluate_recovery(profiles, recovered), plan_measurements(profiles, method = "ridge", splits = 3,
                                                            measurements = c(4, 6)),
  benchmark_recovery(profiles, 4, "ridge", splits = 2, max_correlation = 1, verbose = FALSE),
  benchmark_deconvolution("unalloy", list(small = sim), verbose = FALSE), benchmark_methods(),
  read_counts(file, verbose = FALSE), read_gmt(gmt), convert_genes(x, table = aliases),
  type_palette(4), type_palette(c("a", "b")), theme_unalloy(),
  plot_correlation(fit), plot_deconvolution(fit), plot_dispersion(diagnosis),
  plot_expression_reliability(expression), plot_fit(plain), plot_forest(fit), plot_heatmap(fit),
  plot_identifiability(diagnosis), plot_influence(diagnosis), plot_intercept(plain),
  plot_markers(markers, sig), plot_program(program), plot_program(program, "loadings", group = arm),
  plot_proportions(fit), plot_residual_programs(diagnosis), plot_residuals(plain),
  plot_ridge(plain), plot_uncertainty(fit), plot_unexplained(diagnosis), plot(fit, "heatmap"),
  command_line(c("nmf", file, "--rank", "2", "--out", out)), command_line("--help")
)

fuzz_calls <- function() {
  generic <- lapply(names(GENERICS), function(object) {
    lapply(GENERICS[[object]], function(generic) call(generic, as.name(object)))
  })
  c(VERBS, unlist(generic, recursive = FALSE))
}
