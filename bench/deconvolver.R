# train_deconvolver() beside deconvolve_bulk(): prints tables, fails nothing.
# Usage: Rscript bench/deconvolver.R [parts] [steps]
#
#   shares      root mean squared error of shares of cells on hoek_gse64655 (T, B, NK and
#               monocytes, scaled to sum 1) by two references, share of its own type in sorted
#               cells (corces_gse74246), and pseudo-bulks of three donors that are not in the
#               reference, on a platform of their own (sd 0.5; shares of mRNA)
#   expression  correlation over samples of predicted with true expression per type in mixtures
#               of resting and stimulated cells, see expression_programs.R
#
# `parts` are separated by commas; `steps` in place of the default's.
library(unalloy)
options(cli.progress_show_after = Inf, unalloy.threads = 1L)
given <- commandArgs(TRUE)
parts <- strsplit(c(given, "shares,expression")[1], ",")[[1]]
steps <- if (length(given) > 1) as.integer(given[2])
here <- dirname(sub("--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1]))
root <- Sys.getenv("UNALLOY_DATA", "../shared/data")
if (!dir.exists(root)) stop("The data sets are not at hand: set UNALLOY_DATA.")
path <- function(...) file.path(root, ...)
seconds <- function(code) sum(system.time(code)[c(1, 2)])

train <- function(...) {
  more <- if (is.null(steps)) list() else list(steps = steps)
  time <- seconds(network <- suppressWarnings(
    do.call(train_deconvolver, c(list(..., verbose = FALSE), more))
  ))
  cat("  trained in", round(time), "CPU s; error in mixtures",
      round(network$error$rmse, 3), "\n")
  network
}

shares <- function() {
  table_of <- function(file) utils::read.delim(gzfile(file), check.names = FALSE)
  matrix_of <- function(file) {
    table <- table_of(file)
    out <- as.matrix(table[-1])
    rownames(out) <- table[[1]]
    out
  }
  reference <- function(folder, type, kept) {
    counts <- methods::as(Matrix::readMM(gzfile(path(folder, "counts.mtx.gz"))), "CsparseMatrix")
    cells <- table_of(path(folder, "cells.tsv"))
    rownames(counts) <- table_of(path(folder, "genes.tsv"))$symbol
    own <- kept(cells)
    list(counts = counts[, own], types = cells[[type]][own], donors = cells$donor[own])
  }
  Z <- reference("zheng_pbmc_facs", "subpop", function(cells) rep(TRUE, nrow(cells)))
  Z$donors <- NULL
  K <- reference("kang2018_pbmc", "celltype", function(cells) {
    few <- names(which(table(cells$celltype[cells$stim == "ctrl"]) < 5))
    cells$stim == "ctrl" & !cells$celltype %in% c(NA, "") & !cells$celltype %in% few
  })
  broad <- c("B cell" = "B", "T cell" = "T", "NK cell" = "NK", "CD14+" = "Mono", "CD34+" = "CD34",
             "B Activated" = "B", "B" = "B", "CD14 Mono" = "Mono", "CD16 Mono" = "Mono",
             "CD4 Memory T" = "T", "CD4 Naive T" = "T", "CD8 T" = "T", "T activated" = "T",
             "NK" = "NK", "DC" = "DC", "pDC" = "DC", "Mk" = "Mk", "Eryth" = "Ery")
  hoek <- list(bulk = matrix_of(path("hoek_gse64655", "bulk.tsv.gz")),
               truth = matrix_of(path("hoek_gse64655", "truth.tsv")))
  pbmc <- c("T", "B", "NK", "Mono")
  score_hoek <- function(p) {
    p <- rowsum(p, broad[rownames(p)])[pbmc, ]
    p <- t(p) / colSums(p)
    truth <- hoek$truth[rownames(p), pbmc]
    sqrt(mean((p - truth / rowSums(truth))^2))
  }
  corces <- list(bulk = matrix_of(path("corces_gse74246", "counts.tsv.gz")),
                 samples = table_of(path("corces_gse74246", "samples.tsv")))
  own <- c(Mono = "Mono", Bcell = "B", NKcell = "NK", CD4Tcell = "T", CD8Tcell = "T",
           HSC = "CD34", MPP = "CD34", CMP = "CD34", LMPP = "CD34", MEP = "CD34", GMP = "CD34")
  pure <- corces$samples$group == "normal" & corces$samples$label %in% names(own)
  score_corces <- function(p) {
    p <- rowsum(p, broad[rownames(p)])
    mean(p[cbind(own[corces$samples$label[pure]], corces$samples$sample[pure])])
  }
  genes <- intersect(rownames(hoek$bulk), rownames(corces$bulk))
  signatures_of <- function(x) suppressWarnings(build_signatures(x$counts, x$types, x$donors))
  ours <- function(s, b) suppressWarnings(deconvolve_bulk(s, b, verbose = FALSE))
  net <- function(n, b) suppressWarnings(predict(n, b, verbose = FALSE))
  sz <- signatures_of(Z)
  nz <- train(Z$counts, Z$types, candidates = genes)
  nk <- train(K$counts, K$types, K$donors, candidates = genes)
  mixed <- suppressWarnings(pseudo_bulk(K$counts, K$types, K$donors, platform_sd = 0.5,
                                        n_samples = 60, seed = 1))
  held <- function(p) {
    truth <- mixed$truth_mrna
    p <- p[match(rownames(truth), rownames(p)), ]
    p[is.na(p)] <- 0
    sqrt(mean((p / rep(colSums(p), each = nrow(p)) - truth)^2))
  }
  sm <- suppressWarnings(build_signatures(mixed$reference, mixed$cell_types, mixed$donors))
  nm <- train(mixed$reference, mixed$cell_types, mixed$donors)
  poisson <- function(s, b) {
    suppressWarnings(deconvolve_bulk(s, b, error_model = "poisson", verbose = FALSE))
  }
  row <- function(z, k, m, f) {
    c(hoek_Z = score_hoek(f(z, hoek$bulk)$cell_fractions),
      hoek_K = score_hoek(f(k, hoek$bulk)$cell_fractions),
      corces = score_corces(f(z, corces$bulk[, pure])$proportions),
      pseudo_bulk = held(f(m, mixed$bulk_counts)$proportions))
  }
  print(round(rbind(default = row(sz, signatures_of(K), sm, ours),
                    poisson = row(sz, signatures_of(K), sm, poisson),
                    network = row(nz, nk, nm, net)), 3))
  covered <- function(x, truth) {
    found <- confint(x, what = "proportions")
    mean(found$lower <= truth & truth <= found$upper)
  }
  result <- net(nm, mixed$bulk_counts)
  truth <- mixed$truth_mrna[rownames(result$proportions), ]
  cat("\n95 % intervals of the network cover", round(covered(result, as.vector(truth)), 3),
      "of the shares of the pseudo-bulks\n")
}

expression <- function() {
  source(file.path(here, "expression_setup.R"), local = FALSE)
  set.seed(1)
  donors_held <- sample(sort(unique(cells$donor)), 3)
  counts <- mix(donors_held, matrix(runif(4 * 60), 4))
  bulk <- apply(counts, c(1, 3), sum)
  at <- !cells$donor %in% donors_held
  fit <- suppressWarnings(deconvolve_bulk(reference(at), bulk, verbose = FALSE))
  fold <- fold_of(at)
  truth <- truth_of(counts)
  found <- list(
    blup = cell_type_expression(fit, units = "cpm", exposure_error = FALSE, verbose = FALSE),
    "blup, programs" = cell_type_expression(fit, units = "cpm", covariance = "programs",
                                            exposure_error = FALSE, verbose = FALSE)
  )
  # the bulk is of the reference's platform
  for (branch in c("programs", "unet")) {
    network <- train(cells$counts[, at], cells$type[at], cells$donor[at],
                     states = ifelse(cells$stimulated[at], "stimulated", "resting"),
                     expression = branch, platform_sd = 0, cells = 400, ensemble = 1,
                     min_cells = 1)
    found[[paste0("network, ", branch)]] <- cell_type_expression(
      suppressWarnings(predict(network, bulk, verbose = FALSE))
    )
  }
  kept <- dimnames(found[["network, unet"]])[[1]]
  score <- function(x) {
    values <- as.array(x)
    score_moved(truth, values[intersect(kept, rownames(values)), , ], x$prior, fold)
  }
  print(round(t(sapply(found, score)), 3))
}

for (part in parts) {
  cat("\n", part, "\n", sep = "")
  get(part)()
}
