# Latent factors on real single cells, beside peers where these are installed: prints
# tables, fails nothing.
# Usage: Rscript bench/latent.R [kang] [zheng] [zinb] [large] [peers] [logs]
#
# kang and zheng: 2,000 genes, a tenth of the cells held out. Genes are those of the largest
# standardised variance (Stuart et al. 2019: of counts, over what a gene of the same mean has);
# with "logs", those of the largest variance of log1p(counts per 1,000). Held-out molecules: the
# counts of held-out cells are thinned 80:20, factors found from the 80 %, and scored is the mean
# log-probability per molecule of the 20 % under the predicted shares. ARI: k-means with as many
# groups as labels, 20 starts; kNN: share of the 15 nearest that have the same label; mixing: share
# of the other condition among 30 neighbours over what is expected. They need the public data sets
# in UNALLOY_DATA or ../shared/data. Peers from Python are asked for from PYTHON. Times are CPU
# seconds on one thread.
source(file.path(dirname(sub("--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])),
                 "latent_setup.R"))
sets <- c("kang", "zheng", "zinb", "large")
if (!any(sets %in% wanted)) wanted <- c(wanted, sets[1:3])
python <- Sys.getenv("PYTHON", "python3")

# The mean profile, components of logarithms mapped back, and metagenes, for comparison.
baselines <- function(train, parts) {
  profile <- rowSums(train) / sum(train)
  out <- c("mean profile" = score(matrix(profile, nrow(train), ncol(parts$test)), parts$test))
  logs <- function(x) log1p(sweep(as.matrix(x), 2, mean(colSums(train)) / colSums(x), "*"))
  pca <- latent_factors(logs(train), 10, verbose = FALSE)
  back <- pmax(expm1(predict(pca, logs(parts$train), type = "response")), 0.01 * profile)
  out <- c(out, "components of logarithms" = score(sweep(back, 2, colSums(back), "/"), parts$test))
  metagenes <- nmf(train, 10, method = "kl", seed = 1, verbose = FALSE)
  back <- basis(metagenes) %*% predict(metagenes, newdata = parts$train) + 1e-8
  list(scores = c(out, "KL metagenes" = score(sweep(back, 2, colSums(back), "/"), parts$test)),
       pca = pca)
}

data_set <- function(folder, labels, condition = NULL) {
  found <- data_parts(folder, labels, condition)
  train <- found$train
  parts <- found$thinned
  label <- found$label
  known <- found$group
  base <- baselines(train, parts)
  print(round(base$scores, 4))
  print(round(c("components of logarithms:" = NA,
                clusters(t(coef(base$pca)), label, known)), 3))
  rows <- function(name, run, ...) {
    shares <- predict(run$value, parts$train, type = "proportion", ...)
    found <- clusters(t(coef(run$value)), label, known)
    data.frame(model = name, penalty = run$value$penalty, held_out = score(shares, parts$test),
               t(round(found, 3)), cpu = run$cpu, rounds = nrow(run$value$trace) - 1L,
               objective = utils::tail(run$value$trace$objective, 1))
  }
  fit <- function(...) {
    timed(suppressWarnings(latent_factors(train, 10, verbose = FALSE, threads = 1, ...)))
  }
  chosen <- fit(model = "poisson")
  print(chosen$value$choice, digits = 6)
  penalty <- chosen$value$penalty
  out <- list(rows("poisson, chosen", chosen),
              rows("poisson", fit(model = "poisson", penalty = penalty)),
              rows("poisson, 25 rounds", fit(model = "poisson", penalty = penalty, max_iter = 25)),
              rows("poisson, penalty 5", fit(model = "poisson", penalty = 5)),
              rows("negative binomial", fit(model = "negative_binomial", penalty = penalty)))
  if (!is.null(known)) {
    out <- c(out, list(rows("poisson, batch", fit(model = "poisson", penalty = penalty,
                                                  batch = known), batch = found$test_group)))
  }
  print(do.call(rbind, out), digits = 5)
  if ("peers" %in% wanted) peers(train, label, known)
}

# scikit-learn's and glmpca's answers on the same cells, each with its own defaults.
peers <- function(train, label, group) {
  folder <- tempfile()
  dir.create(folder)
  put <- function(value, name) writeBin(value, file.path(folder, name))
  put(train@p, "p")
  put(train@i, "i")
  put(train@x, "x")
  code <- c(
    "import numpy as np, scipy.sparse as sp, time, sys",
    paste0("at = lambda name: '", folder, "/' + name"),
    paste0("x = sp.csc_matrix((np.fromfile(at('x')), np.fromfile(at('i'), dtype=np.int32), ",
           "np.fromfile(at('p'), dtype=np.int32)), shape=(", nrow(train), ", ", ncol(train), "))"),
    "dense = np.asarray(x.todense()); total = dense.sum(0)",
    "logs = np.log1p(dense / total * total.mean())",
    "def run(name, f):",
    "    try:",
    "        c = time.process_time(); scores = np.asarray(f(), dtype=float)",
    "        c = time.process_time() - c",
    "        np.ascontiguousarray(scores).tofile(at(name))",
    "        open(at(name + '.cpu'), 'w').write(str(c))",
    "    except Exception as e: print(name, 'failed:', repr(e)[:200])",
    "def pca():",
    "    from sklearn.decomposition import PCA",
    "    return PCA(10, random_state=1).fit_transform(logs.T)",
    "def fa():",
    "    from sklearn.decomposition import FactorAnalysis",
    "    return FactorAnalysis(10, random_state=1).fit_transform(logs.T)",
    "def glmpca():",
    "    from glmpca.glmpca import glmpca",
    "    np.random.seed(1)",
    "    return glmpca(dense, 10, fam='poi', penalty=5)['factors']",
    "for name, f in [('PCA', pca), ('FactorAnalysis', fa), ('glmpca', glmpca)]: run(name, f)"
  )
  script <- file.path(folder, "run.py")
  writeLines(code, script)
  Sys.setenv(OMP_NUM_THREADS = 1, OPENBLAS_NUM_THREADS = 1)
  system2(python, script)
  for (name in c("PCA", "FactorAnalysis", "glmpca")) {
    if (!file.exists(file.path(folder, name))) next
    scores <- matrix(readBin(file.path(folder, name), "double", 10 * ncol(train)), ncol(train),
                     byrow = TRUE)
    cpu <- as.numeric(readLines(file.path(folder, paste0(name, ".cpu")), warn = FALSE))
    print(data.frame(peer = name, t(round(clusters(scores, label, group), 3)), cpu = cpu))
  }
}

if ("kang" %in% wanted) data_set("kang2018_pbmc", "celltype", "stim")
if ("zheng" %in% wanted) data_set("zheng_pbmc_facs", "subpop")

# Zero-inflated counts drawn from the model: two factors, theta = 2, a third of zeros made.
zero_inflated <- function(genes, cells, rank, seed) {
  set.seed(seed)
  w <- matrix(stats::rnorm(cells * rank), cells)
  mean <- exp(outer(stats::rnorm(genes, 1.5), rep(1, cells)) +
                0.6 * tcrossprod(matrix(stats::rnorm(genes * rank), genes), w) / sqrt(rank))
  odds <- -1 + 0.5 * tcrossprod(matrix(stats::rnorm(genes * rank), genes), w) / sqrt(rank)
  x <- matrix(stats::rnbinom(genes * cells, size = 2, mu = mean), genes)
  x[stats::runif(length(x)) < stats::plogis(odds)] <- 0
  x[rowSums(x) > 0, colSums(x) > 0]
}

if ("zinb" %in% wanted) {
  for (size in list(c(99, 61, 2), c(1000, 1000, 10))) {
    x <- zero_inflated(size[1], size[2], size[3], 1)
    run <- timed(suppressWarnings(latent_factors(x, size[3], "zinb", dispersion = "common",
                                                 verbose = FALSE, threads = 1)))
    cat("zinb", nrow(x), "genes x", ncol(x), "cells, K =", size[3], ": penalised log-likelihood",
        -utils::tail(run$value$trace$objective, 1), "log-likelihood", run$value$log_likelihood,
        "rounds", nrow(run$value$trace) - 1, "converged", run$value$converged,
        "CPU s", run$cpu, "\n")
  }
}

if ("large" %in% wanted) {
  for (n in c(25000, 50000, 100000)) {
    x <- many_cells(n)
    gc(FALSE)
    before <- peak()
    run <- timed(suppressWarnings(latent_factors(x, 20, "poisson", penalty = 5, verbose = FALSE,
                                                 max_iter = 30, threads = 2)))
    cat(n, "cells,", length(x@x), "entries (", round(100 * length(x@x) / prod(dim(x)), 1), "%):",
        round(run$elapsed), "s,", round(run$cpu), "CPU s,", nrow(run$value$trace) - 1,
        "rounds, peak",
        round(peak(), 2), "GB of which", round(before, 2), "before\n")
  }
}
