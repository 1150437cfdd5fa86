# How long every long computation goes on after Ctrl-C, in CPU seconds: N random moments of
# each.  A process of its own runs the call again and again; this one sends the signal at a
# random time, reads the process's CPU time from /proc as it does, and the process says
# what its CPU time was when it had control back.  Linux only.
#   tools/run.sh tools/interrupts.R [N] [NAME ...]
arguments <- commandArgs(trailingOnly = TRUE)
rounds <- if (length(arguments)) as.integer(arguments[1L]) else 20L
chosen <- arguments[-1L]

# Calls that take seconds; data are made once per process.
CALLS <- alist(
  deconvolve_platform = deconvolve_bulk(sig, bulk, lengths, verbose = FALSE),
  deconvolve_em = deconvolve_bulk(sig, bulk, lengths, method = "em", error_model = "poisson",
                                  ll_tolerance = 1e-300, max_iter = 1e5, verbose = FALSE),
  confint = confint(fit), bootstrap = confint(poisson, method = "bootstrap", replicates = 400),
  test_presence = test_presence(fit), diagnose = diagnose(fit, draws = 100, verbose = FALSE),
  cell_type_expression = cell_type_expression(fit, verbose = FALSE),
  extract_program = extract_program(fit, n_programs = 3, verbose = FALSE),
  merge_types = merge_types(fit, per = "sample"), compare_groups = compare_groups(fit, ~ arm),
  learn_type_error = learn_type_error(fit, sim$truth_mrna),
  nmf_hals = nmf(wide, 20, nrun = 50, verbose = FALSE),
  nmf_kl = nmf(wide, 20, "kl", nrun = 50, verbose = FALSE),
  nmf_brunet = nmf(wide, 20, "brunet", nrun = 50, verbose = FALSE),
  nmf_weighted = nmf(wide, 10, weights = wide + 1, nrun = 50, verbose = FALSE),
  nmf_nndsvd = nmf(big, 30, init = "nndsvd", max_iter = 1e4, tolerance = 0, verbose = FALSE),
  estimate_rank = estimate_rank(wide, 2:8, nrun = 20, verbose = FALSE),
  consensus_programs = consensus_programs(wide, 10, nrun = 300, max_iter = 20),
  cophcor = cophcor(consensus),
  factorise_joint = factorise_joint(list(a = wide, b = wide), 10, nrun = 50),
  factorise_integrative = factorise_integrative(list(a = wide, b = wide), 10, nrun = 50),
  factorise_variants = factorise_variants(ref, alt, 4, nrun = 200, bootstrap = 500),
  latent_ppca = latent_factors(log1p(big), 20, algorithm = "em", tolerance = 0, verbose = FALSE),
  latent_closed = latent_factors(log1p(big), 20, verbose = FALSE),
  latent_poisson = latent_factors(wide, 5, "poisson", tolerance = 0, verbose = FALSE),
  latent_nb = latent_factors(wide, 5, "negative_binomial", tolerance = 0, verbose = FALSE),
  latent_zinb = latent_factors(wide, 5, "zinb", tolerance = 0, verbose = FALSE),
  learn_dictionary = learn_dictionary(profiles, 60, "smaf", verbose = FALSE),
  learn_decoder = learn_decoder(profiles, A, verbose = FALSE),
  recover_profiles = recover_profiles(y, A, dictionary, "lasso", verbose = FALSE),
  evaluate_recovery = evaluate_recovery(many, many + 0.1, verbose = FALSE),
  measurement_matrix = measurement_matrix(150, rownames(profiles), max_correlation = 0.07),
  find_subtypes = find_subtypes(profiles, k = 2:6, resamples = 200, null = 500),
  simulate_bulk = simulate_bulk(20000, 10, 100, cells_per_type = 300),
  build_signatures = build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
)

prepare <- function(name) {
  p <- new.env()
  set.seed(1)
  has <- function(...) any(startsWith(name, c(...)))
  if (has("deconv", "conf", "boot", "test", "diag", "cell", "extract", "merge", "compare",
          "learn_type", "build")) {
    p$sim <- simulate_bulk(3000, 8, 60, seed = 1)
    p$lengths <- p$sim$gene_lengths
    p$bulk <- p$sim$bulk_counts
    p$sig <- build_signatures(p$sim$reference, p$sim$cells$cell_type, p$sim$cells$donor)
    p$arm <- data.frame(arm = rep(1:2, 30), row.names = colnames(p$bulk))
    p$fit <- deconvolve_bulk(p$sig, p$bulk, p$lengths, verbose = FALSE, samples = p$arm)
    p$poisson <- deconvolve_bulk(p$sig, p$bulk, p$lengths, error_model = "poisson",
                                 verbose = FALSE)
  }
  p$wide <- matrix(stats::rpois(4e5, 3), 2000,
                   dimnames = list(paste0("g", 1:2000), paste0("s", 1:200)))
  p$big <- matrix(stats::rpois(4e6, 3), 4000)
  p$consensus <- stats::cor(matrix(stats::rnorm(60000), 30))^2
  depth <- matrix(stats::rpois(1e5, 20), 200)
  p$alt <- matrix(stats::rbinom(1e5, depth, 0.3), 200)
  p$ref <- depth - p$alt
  if (has("learn_d", "recover", "measure", "find")) {
    modules <- matrix(stats::rexp(3000 * 40), 3000)
    p$profiles <- log1p(modules %*% matrix(stats::rexp(40 * 400), 40)) +
      stats::runif(1.2e6) / 5
    dimnames(p$profiles) <- list(paste0("g", 1:3000), paste0("s", 1:400))
    p$A <- measurement_matrix(150, rownames(p$profiles), max_correlation = 0.5, seed = 1)
    p$y <- measure(p$profiles, p$A, verbose = FALSE)
    p$dictionary <- learn_dictionary(p$profiles, 60, "svd", verbose = FALSE)
  }
  if (has("evaluate")) {
    p$many <- matrix(stats::rnorm(2e7), 10000, dimnames = list(paste0("g", 1:10000), NULL))
  }
  p
}

# The process that is interrupted: says READY, then its CPU time after every signal.
if (length(chosen) == 2L && chosen[1L] == "--child") {
  suppressPackageStartupMessages(library(unalloy))
  name <- chosen[2L]
  problem <- suppressMessages(suppressWarnings(prepare(name)))
  for (round in 0:rounds) {
    tryCatch({
      cat("ready\n")
      repeat suppressMessages(suppressWarnings(eval(CALLS[[name]], problem)))
    }, interrupt = function(condition) {
      cat("back", sum(proc.time()[1:2]), "\n")
    }, error = function(condition) {
      cat("error", conditionMessage(condition), "\n")
      quit("no")
    })
  }
  quit("no")
}

cpu_of <- function(pid) {
  fields <- scan(file.path("/proc", pid, "stat"), "", quiet = TRUE)
  sum(as.numeric(fields[14:15])) / 100
}

measure_one <- function(name) {
  out <- tempfile()
  file.create(out)
  script <- sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))
  # SIGINT is not ignored in a session of its own
  pid <- system(sprintf("%s %s %d --child %s > %s 2>&1 & echo $!",
                        shQuote(file.path(R.home("bin"), "Rscript")), shQuote(script),
                        rounds, name, out), intern = TRUE)
  said <- function(word) grep(paste0("^", word), readLines(out, warn = FALSE), value = TRUE)
  wait_for <- function(word, n, most = 120) {
    until <- proc.time()[[3L]] + most
    while (length(said(word)) < n && dir.exists(file.path("/proc", pid))) {
      if (proc.time()[[3L]] > until) return(FALSE)
      Sys.sleep(0.02)
    }
    length(said(word)) >= n
  }
  after <- numeric()
  for (round in seq_len(rounds)) {
    if (!wait_for("ready", round)) break
    Sys.sleep(stats::runif(1L, 0, 2.5))
    before <- cpu_of(pid)
    tools::pskill(pid, 2L)
    if (!wait_for("back", round, 60)) break
    after <- c(after, as.numeric(sub("back ", "", said("back")[round])) - before)
  }
  tools::pskill(pid, 9L)
  if (length(said("error"))) cat(name, said("error"), "\n")
  after
}

set.seed(1)
names <- if (length(chosen)) chosen else names(CALLS)
cat("| call | moments | median CPU s | largest CPU s |\n|---|---|---|---|\n")
worst <- 0
for (name in names) {
  after <- measure_one(name)
  worst <- max(worst, after, -Inf)
  cat(sprintf("| %s | %d | %.2f | %.2f |\n", name, length(after), stats::median(after),
              max(after, -Inf)))
}
cat(sprintf("\nLargest: %.2f CPU s\n", worst))
