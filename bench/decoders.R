# Decoders on TCGA microRNA: mean sample Pearson of 1,500 test samples by training
# samples, noise and number of measurements, coverage of 95 % intervals, and
# seconds: prints tables, fails nothing.
# Usage: Rscript bench/decoders.R [draws] [training samples] [noise: none|half] [methods]
#
# Methods are names of learn_decoder(), and "smaf+network" and "zero" (the plain network), with
# commas between; ridge, kernel and network by default.
#
# Noise "half" is half of what differs between samples: signal to noise 2 with the
# mean taken out, which is less than `snr = 2` of measure(), whose signal holds the
# mean.  Needs the public data sets in UNALLOY_DATA or ../shared/data.
library(unalloy)

given <- commandArgs(TRUE)
draws <- as.integer(c(given[1], 3)[1 + !(length(given) >= 1)])
root <- Sys.getenv("UNALLOY_DATA", "../shared/data")
if (!dir.exists(root)) stop("The data sets are not at hand: set UNALLOY_DATA.")

table <- utils::read.delim(gzfile(file.path(root, "tcga_mirna", "read_counts.tsv.gz")),
                           check.names = FALSE)
counts <- as.matrix(table[-1])
rownames(counts) <- table[[1]]
kept <- utils::head(order(-rowSums(counts > 0)), 500)
profiles <- log1p(t(t(counts[kept, ]) / colSums(counts)) * 1e6)

setups <- data.frame(
  samples = c(8704, 8704, 8704, 8704, 8704, 1000, 1000, 272, 272),
  noise = c("none", "none", "none", "none", "half", "none", "none", "half", "half"),
  measurements = c(20, 50, 100, 200, 50, 20, 100, 20, 50)
)
if (length(given) >= 2) setups <- setups[setups$samples == as.integer(given[2]), ]
if (length(given) >= 3) setups <- setups[setups$noise == given[3], ]
methods <- c("ridge", "kernel", "network")
if (length(given) >= 4) methods <- strsplit(given[4], ",")[[1]]

# Training and test samples, each gene scaled to [0, 1] by the former.
split_at <- function(seed, samples) {
  set.seed(seed)
  order <- sample(ncol(profiles))
  train <- profiles[, order[1500 + seq_len(samples)]]
  low <- apply(train, 1, min)
  span <- apply(train, 1, max) - low
  varies <- span > 0
  scaled <- function(x) ((x - low) / span)[varies, ]
  list(train = scaled(train), test = scaled(profiles[, order[1:1500]]))
}

pearson <- function(x, y) {
  x <- x - rep(colMeans(x), each = nrow(x))
  y <- y - rep(colMeans(y), each = nrow(y))
  mean(colSums(x * y) / sqrt(colSums(x^2) * colSums(y^2)))
}

run <- function(setup, seed) {
  parts <- split_at(seed, setup$samples)
  A <- measurement_matrix(setup$measurements, parts$train, seed = seed)
  deviation <- parts$train - rowMeans(parts$train)
  snr <- if (setup$noise == "none") Inf else 2 * sqrt(sum(parts$train^2) / sum(deviation^2))
  y <- measure(parts$test, A, snr, seed = seed, verbose = FALSE)
  found <- lapply(stats::setNames(methods, methods), function(method) {
    before <- proc.time()
    decoder <- learn(method, parts$train, A, snr, seed)
    used <- proc.time() - before
    recovered <- recover_profiles(y, A, decoder, verbose = FALSE, threads = 1)
    within <- abs(recovered$profiles - parts$test) <= stats::qnorm(0.975) *
      recovered$standard_errors
    c(pearson = pearson(parts$test, recovered$profiles),
      error = 1e4 * mean((recovered$profiles - parts$test)^2), coverage = mean(within),
      cpu = sum(used[c("user.self", "sys.self")]), epochs = sum(decoder$members$epochs))
  })
  do.call(rbind, found)
}

learn <- function(method, train, A, snr, seed) {
  own <- function(name, ...) {
    learn_decoder(train, A, name, snr = snr, verbose = FALSE, threads = 1, ...)
  }
  switch(
    method,
    ridge = own("ridge"),
    zero = own("network", start = "zero", seed = seed),
    "smaf+network" = {
      modules <- learn_dictionary(train, min(500, ncol(train) %/% 2), "smaf", held_out = 0,
                                  seed = seed, threads = 1, verbose = FALSE)
      own("network", input = "recovered", dictionary = modules, seed = seed)
    },
    own(method, seed = seed)
  )
}

for (at in seq_len(nrow(setups))) {
  runs <- lapply(seq_len(draws), function(seed) run(setups[at, ], seed))
  cat("\n", setups$samples[at], " training samples, noise ", setups$noise[at], ", ",
      setups$measurements[at], " measurements, mean of ", draws, "\n", sep = "")
  print(round(Reduce(`+`, runs) / draws, 4))
  for (method in setdiff(methods, "ridge")) {
    if (!"ridge" %in% methods) next
    gain <- vapply(runs, function(r) r[method, "pearson"] - r["ridge", "pearson"], 0)
    cat(method, "over ridge, by draw:", sprintf("%+.4f", gain), "\n")
  }
}
