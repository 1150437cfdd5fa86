# Speed of dictionaries and of decoding beside scikit-learn, in one run on the
# same data: prints a table, fails nothing.
# Usage: Rscript bench/sensing.R [samples] [modules] [threads]
#
# Both learn a dictionary from genes x samples; it is judged by what orthogonal
# matching pursuit with 15 modules leaves of the training profiles, by
# scikit-learn's own pursuit for both.  CPU seconds, so that other work on the
# machine counts less.
library(unalloy)

given <- as.integer(commandArgs(TRUE))
n <- c(given[1], 8000)[1 + !(length(given) >= 1)]
size <- c(given[2], 500)[1 + !(length(given) >= 2)]
threads <- c(given[3], 1)[1 + !(length(given) >= 3)]
genes <- 500
m <- 100
k <- 15
python <- Sys.getenv("PYTHON", "/usr/bin/python3")

# Profiles that use 15 of 300 correlated modules, with noise.
set.seed(1)
modules <- matrix(rnorm(genes * 300), genes) + 0.7 * rnorm(genes)
draw <- function(n) {
  w <- matrix(0, 300, n)
  for (i in seq_len(n)) w[sample.int(300, k), i] <- rexp(k)
  x <- modules %*% w
  x + sd(x) * 0.1 * rnorm(length(x))
}
named <- function(x) `dimnames<-`(x, list(paste0("g", seq_len(genes)), NULL))
train <- named(draw(n))
test <- named(draw(2000))
A <- measurement_matrix(m, train, seed = 1)
y <- measure(test, A, verbose = FALSE)

cpu <- function(code) {
  before <- proc.time()
  value <- code
  list(value = value, seconds = sum((proc.time() - before)[c("user.self", "sys.self")]))
}
options(unalloy.threads = threads)
learn <- function(iterations) {
  cpu(suppressWarnings(learn_dictionary(train, size, "ksvd", k, max_iter = iterations, seed = 1,
                                        verbose = FALSE)))
}
quick <- learn(1)
learned <- learn(10)
decoded <- cpu(recover_profiles(y, A, learned$value, standard_errors = FALSE, verbose = FALSE))
with_errors <- cpu(recover_profiles(y, A, learned$value, verbose = FALSE))
half <- cpu(recover_profiles(y[, 1:1000], A, learned$value, standard_errors = FALSE,
                             verbose = FALSE))

folder <- tempfile()
dir.create(folder)
save_matrix <- function(x, name) {
  writeBin(as.vector(x), file.path(folder, name), size = 8)
}
save_matrix(train, "train")
save_matrix(learned$value$modules, "ours")
save_matrix(quick$value$modules, "quick")
save_matrix(as.matrix(A), "weights")
save_matrix(y, "readings")
script <- "
import os, sys, time, warnings
import numpy as np
from sklearn.decomposition import MiniBatchDictionaryLearning, DictionaryLearning
from sklearn.linear_model import orthogonal_mp, orthogonal_mp_gram
warnings.filterwarnings('ignore')
folder, n, size, genes, m, k = sys.argv[1], *map(int, sys.argv[2:7])
load = lambda name, rows: np.fromfile(os.path.join(folder, name)).reshape(-1, rows).T
x, ours, a, y = load('train', genes), load('ours', genes), load('weights', m), load('readings', m)
def left(d):
    g = d.T @ d
    w = orthogonal_mp_gram(g, d.T @ x, n_nonzero_coefs=k)
    return ((x - d @ w) ** 2).sum() / (x ** 2).sum()
def clock(f):
    t = time.process_time(); v = f(); return v, time.process_time() - t
unit = lambda d: d / np.maximum(np.linalg.norm(d, axis=0), 1e-300)
print('ours', 0, left(ours), flush=True)
print('quick', 0, left(load('quick', genes)), flush=True)
alpha = 0.1 * np.sqrt((x ** 2).sum() / x.shape[1])
b = a @ ours
_, t = clock(lambda: orthogonal_mp_gram(b.T @ b, b.T @ y, n_nonzero_coefs=k))
print('decode', t, 0, flush=True)
steps = int(np.ceil(x.shape[1] / 256)) * 2
d, t = clock(lambda: MiniBatchDictionaryLearning(size, alpha=alpha, n_iter=steps, batch_size=256,
    fit_algorithm='cd', random_state=0, n_jobs=1).fit(x.T).components_.T)
print('minibatch', t, left(unit(d)), flush=True)
d, t = clock(lambda: DictionaryLearning(size, alpha=alpha, max_iter=3, fit_algorithm='cd',
    transform_algorithm='omp', random_state=0, n_jobs=1).fit(x.T).components_.T)
print('full', t, left(unit(d)), flush=True)
"
file <- file.path(folder, "peer.py")
writeLines(script, file)
out <- system2(python, c(file, folder, n, size, genes, m, k), stdout = TRUE,
               env = paste0(c("OMP_NUM_THREADS=", "OPENBLAS_NUM_THREADS="), threads))
peer <- utils::read.table(text = out, col.names = c("what", "seconds", "left"), row.names = 1)

cat("\nDictionary of", size, "modules from", genes, "genes x", n, "samples,", threads,
    "thread(s)\n")
table <- data.frame(
  cpu_seconds = c(quick$seconds, learned$seconds, peer["minibatch", "seconds"],
                  peer["full", "seconds"]),
  left = peer[c("quick", "ours", "minibatch", "full"), "left"],
  row.names = c("unalloy K-SVD, 1 iteration", "unalloy K-SVD, 10 iterations",
                "scikit-learn MiniBatchDictionaryLearning, 2 epochs",
                "scikit-learn DictionaryLearning, 3 iterations")
)
table$ratio <- table$cpu_seconds / table$cpu_seconds[1]
print(signif(table, 3))
cat("\nDecoding 2,000 samples from", m, "measurements by orthogonal matching pursuit\n")
print(signif(data.frame(
  cpu_seconds = c(decoded$seconds, with_errors$seconds, peer["decode", "seconds"]),
  ratio = c(decoded$seconds, with_errors$seconds, peer["decode", "seconds"]) / decoded$seconds,
  row.names = c("unalloy", "unalloy with standard errors", "scikit-learn orthogonal_mp_gram")
), 3))
cat("1,000 samples:", signif(half$seconds, 3), "CPU seconds\n")
