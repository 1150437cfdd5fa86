# Factorisations beside those of NMF, RcppML and scikit-learn, where these are
# installed: prints tables, fails nothing.
# Usage: Rscript bench/nmf.R [golub] [pbmc] [large] [iterations of the large case]
#
# Every rival runs with its own defaults. Its loss is computed from the factors that
# it returns, by the same few lines of R as ours. Then: how long we take to that
# loss (a run of its own that ends there), and our loss after the rival's time.
# Golub and pbmc need the public data sets in UNALLOY_DATA or ../shared/data; see the
# README there for their sources. scikit-learn is asked for from PYTHON, by default
# /usr/bin/python3.
library(unalloy)
library(Matrix)

wanted <- commandArgs(TRUE)
if (!length(wanted)) wanted <- c("golub", "pbmc")
threads <- 2L
root <- Sys.getenv("UNALLOY_DATA", "../shared/data")
python <- Sys.getenv("PYTHON", "/usr/bin/python3")
has_sklearn <- nzchar(Sys.which(python)) &&
  system2(python, c("-c", shQuote("import sklearn, scipy")), stderr = FALSE) == 0
Sys.setenv(OMP_NUM_THREADS = threads, OPENBLAS_NUM_THREADS = threads)

# The evaluator: losses of X = W H on dense or sparse X.
loss_of <- function(x, factors, loss) {
  w <- factors$w
  h <- factors$h
  x <- as(x, "CsparseMatrix")
  rows <- x@i + 1L
  columns <- rep(seq_len(ncol(x)), diff(x@p))
  fitted <- numeric(length(rows))
  for (r in seq_len(ncol(w))) fitted <- fitted + w[rows, r] * h[r, columns]
  if (loss == "kl") {
    sum(x@x * log(x@x / fitted)) - sum(x@x) + sum(colSums(w) * rowSums(h))
  } else {
    # entries that are not stored are zero: their residual is their fit
    0.5 * (sum((x@x - fitted)^2) - sum(fitted^2) + sum(crossprod(w) * tcrossprod(h)))
  }
}

timed <- function(expr) {
  gc(FALSE)
  time <- system.time(value <- expr)
  list(value = value, elapsed = time[["elapsed"]],
       cpu = sum(time[c("user.self", "sys.self", "user.child", "sys.child")]))
}

ours <- function(x, k, method, seed, ...) {
  suppressWarnings(nmf(x, k, method, seed = seed, verbose = FALSE, threads = threads,
                       keep_x = FALSE, ...))
}
factors_of <- function(fit) list(w = fit$basis, h = fit$coef)

rivals <- list(
  "NMF brunet" = list(loss = "kl", dense = TRUE, run = function(x, k, seed) {
    run <- timed(NMF::nmf(as.matrix(x), k, "brunet", seed = seed, .options = "-p"))
    c(run[-1], list(w = NMF::basis(run$value), h = NMF::coef(run$value)))
  }),
  "NMF lee" = list(loss = "frobenius", dense = TRUE, run = function(x, k, seed) {
    run <- timed(NMF::nmf(as.matrix(x), k, "lee", seed = seed, .options = "-p"))
    c(run[-1], list(w = NMF::basis(run$value), h = NMF::coef(run$value)))
  }),
  "RcppML" = list(loss = "frobenius", dense = FALSE, run = function(x, k, seed) {
    x <- as(x, "CsparseMatrix")
    RcppML::setRcppMLthreads(threads)
    run <- timed(RcppML::nmf(x, k, seed = seed, verbose = FALSE))
    c(run[-1], list(w = run$value$w %*% diag(run$value$d, k), h = run$value$h))
  }),
  "scikit-learn cd" = list(loss = "frobenius", dense = FALSE, run = function(x, k, seed) {
    sklearn(x, k, seed, "solver='cd'")
  }),
  "scikit-learn mu" = list(loss = "kl", dense = FALSE, run = function(x, k, seed) {
    sklearn(x, k, seed, "solver='mu', beta_loss='kullback-leibler'")
  })
)
have <- c("NMF brunet" = requireNamespace("NMF", quietly = TRUE),
          "NMF lee" = requireNamespace("NMF", quietly = TRUE),
          "RcppML" = requireNamespace("RcppML", quietly = TRUE),
          "scikit-learn cd" = has_sklearn, "scikit-learn mu" = has_sklearn)

# Samples are rows there, so it gets the transpose; times are those of the fit alone.
sklearn <- function(x, k, seed, settings) {
  folder <- tempfile()
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  put <- function(value, name) writeBin(value, file.path(folder, name))
  dense <- is.matrix(x)
  if (dense) {
    put(as.double(x), "x")
  } else {
    put(x@p, "p")
    put(x@i, "i")
    put(x@x, "x")
  }
  code <- c(
    "import numpy as np, scipy.sparse as sp, time, sys",
    "from sklearn.decomposition import NMF",
    paste0("at = lambda name: '", folder, "/' + name"),
    if (dense) paste0("x = np.fromfile(at('x')).reshape(", ncol(x), ", ", nrow(x), ")")
    else paste0("x = sp.csr_matrix((np.fromfile(at('x')), np.fromfile(at('i'), dtype=np.int32), ",
                "np.fromfile(at('p'), dtype=np.int32)), shape=(", ncol(x), ", ", nrow(x), "))"),
    paste0("model = NMF(", k, ", random_state=", seed, ", ", settings, ")"),
    "import warnings; warnings.simplefilter('ignore')",
    "t = time.perf_counter(); c = time.process_time()",
    "h = model.fit_transform(x)",
    "t = time.perf_counter() - t; c = time.process_time() - c",
    "h.tofile(at('h')); model.components_.tofile(at('w')); np.array([t, c]).tofile(at('t'))"
  )
  script <- file.path(folder, "run.py")
  writeLines(code, script)
  stopifnot(system2(python, script) == 0)
  get <- function(name, n) readBin(file.path(folder, name), "double", n)
  time <- get("t", 2)
  list(elapsed = time[1], cpu = time[2], w = matrix(get("w", nrow(x) * k), nrow(x)),
       h = matrix(get("h", ncol(x) * k), k))
}

compare <- function(x, k, names, label, seed = 1, max_iter = 2000) {
  names <- names[have[names]]
  rows <- lapply(names, function(name) {
    rival <- rivals[[name]]
    method <- if (rival$loss == "kl") "kl" else "hals"
    theirs <- rival$run(x, k, seed)
    target <- loss_of(x, theirs, rival$loss)
    full <- timed(ours(x, k, method, seed, max_iter = max_iter))
    trace <- full$value$trace
    reached <- trace$iteration[trace$objective <= target]
    until <- if (length(reached)) timed(ours(x, k, method, seed, max_iter = min(reached)))
    last <- max(trace$iteration)
    same <- max(1, min(last, floor(theirs$elapsed / full$elapsed * last)))
    then <- loss_of(x, factors_of(ours(x, k, method, seed, max_iter = same)), rival$loss)
    at_target <- if (length(reached)) loss_of(x, factors_of(until$value), rival$loss)
    data.frame(data = label, k = k, rival = name, their_loss = target, their_s = theirs$elapsed,
               their_cpu = theirs$cpu,
               our_s_to_it = if (length(reached)) until$elapsed else NA,
               our_cpu_to_it = if (length(reached)) until$cpu else NA,
               faster = if (length(reached)) theirs$elapsed / until$elapsed else NA,
               faster_cpu = if (length(reached)) theirs$cpu / until$cpu else NA,
               held = if (length(reached)) at_target <= target * (1 + 1e-12) else NA,
               our_loss_then = then,
               our_final = loss_of(x, factors_of(full$value), rival$loss),
               our_s = full$elapsed, our_cpu = full$cpu, iterations = last)
  })
  table <- do.call(rbind, rows)
  show <- table
  for (column in c("their_loss", "our_loss_then", "our_final")) {
    show[[column]] <- format(table[[column]], digits = 8)
  }
  for (column in names(show)[vapply(show, is.numeric, NA)]) {
    show[[column]] <- signif(show[[column]], 3)
  }
  print(show, row.names = FALSE)
  invisible(table)
}

options(width = 250)
if ("golub" %in% wanted) {
  table <- utils::read.delim(gzfile(file.path(root, "golub_leukemia", "expr.tsv.gz")))
  golub <- as.matrix(table[-1])
  compare(golub, 3, names(rivals), "Golub")
}
if ("pbmc" %in% wanted) {
  pbmc <- as(as(readMM(gzfile(file.path(root, "zheng_pbmc_facs", "counts.mtx.gz"))),
                "CsparseMatrix"), "dMatrix")
  for (k in c(10, 30)) compare(pbmc, k, setdiff(names(rivals), c("NMF brunet", "NMF lee")), "PBMC")
}
if ("large" %in% wanted) {
  # 20 programs with log-normal genes; each cell mixes three of them, 500 counts on
  # average: 20,000 x 50,000 with 2 % of the entries above zero.
  set.seed(1)
  n_genes <- 20000
  n_cells <- 50000
  programs <- matrix(exp(2 * rnorm(n_genes * 20)), n_genes)
  programs <- sweep(programs, 2, colSums(programs), "/")
  steps <- apply(programs, 2, cumsum)
  blocks <- lapply(seq_len(50), function(block) {
    cells <- n_cells / 50
    counts <- lapply(seq_len(cells), function(cell) {
      own <- sample.int(20, 3)
      n <- rpois(3, 500 / 3 * exp(0.5 * rnorm(1)))
      unlist(Map(function(program, n) findInterval(runif(n), steps[, program]) + 1L, own, n))
    })
    # repeated draws of a gene are summed
    sparseMatrix(i = pmin(unlist(counts), n_genes), j = rep(seq_len(cells), lengths(counts)), x = 1,
                 dims = c(n_genes, cells))
  })
  large <- do.call(cbind, blocks)
  cat("large:", dim(large), "with", length(large@x), "entries\n")
  compare(large, 20, c("RcppML", "scikit-learn cd"), "large")
}
