# Autoencoders of real single cells, beside latent factors of the same cells: prints tables,
# fails nothing.
# Usage: Rscript bench/networks.R [kang] [zheng] [large] [seeds] [logs]
#
# Cells, genes, thinning and scores are those of bench/latent.R. ELBO: the mean over held-out
# cells, of the weights of the best of 40 epochs. Held-out molecules: codes from 80 % of the
# molecules of held-out cells, scored by the mean log-probability per molecule of the rest.
# "seeds" trains with five seeds, where otherwise one is. They need the public data sets in
# UNALLOY_DATA or ../shared/data. Times are CPU seconds on one thread.
source(file.path(dirname(sub("--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])),
                 "latent_setup.R"))
wanted <- commandArgs(TRUE)
sets <- c("kang", "zheng", "large")
if (!any(sets %in% wanted)) wanted <- c(wanted, sets[1:2])
seeds <- if ("seeds" %in% wanted) 1:5 else 1

network_rows <- function(folder, labels, condition = NULL) {
  parts <- data_parts(folder, labels, condition)
  train <- parts$train
  row <- function(model, run, elbo = NA, ...) {
    fit <- run$value
    shares <- if (inherits(fit, "autoencoder")) {
      predict(fit, parts$thinned$train, what = "proportion", ...)
    } else {
      predict(fit, parts$thinned$train, type = "proportion", ...)
    }
    epochs <- if (inherits(fit, "autoencoder")) nrow(fit$convergence) else NA
    found <- clusters(t(coef(fit)), parts$label, parts$group)
    data.frame(model = model, elbo = elbo, held_out = score(shares, parts$thinned$test),
               t(round(found, 3)), cpu = run$cpu, epochs = epochs, per_epoch = run$cpu / epochs)
  }
  network <- function(name, seed, ..., batch = NULL, test_batch = NULL) {
    run <- timed(autoencode(train, 10, ..., batch = batch, seed = seed, verbose = FALSE,
                            threads = 1))
    bound <- mean(elbo(run$value, parts$test, batch = test_batch))
    row(paste0(name, if (length(seeds) > 1) paste0(", seed ", seed)), run, bound,
        batch = test_batch)
  }
  factors <- function(...) {
    timed(suppressWarnings(latent_factors(train, 10, "poisson", verbose = FALSE, threads = 1,
                                          ...)))
  }
  out <- list(row("factors", factors()))
  for (seed in seeds) {
    out <- c(out, list(
      network("NB, 40 epochs", seed, epochs = 40),
      network("NB, as default", seed),
      network("ZINB, 40 epochs", seed, epochs = 40, likelihood = "zinb"),
      network("Poisson, 40 epochs", seed, epochs = 40, likelihood = "poisson"),
      network("NB, linear, 40 epochs", seed, epochs = 40, decoder = "linear")
    ))
  }
  if (!is.null(condition)) {
    out <- c(out, list(row("factors, batch", factors(batch = parts$group),
                           batch = parts$test_group)))
    for (seed in seeds) {
      batched <- function(name, ...) {
        network(name, seed, ..., batch = parts$group, test_batch = parts$test_group)
      }
      out <- c(out, list(batched("NB, batch, 40 epochs", epochs = 40),
                         batched("NB, batch, as default")))
    }
  }
  print(do.call(rbind, out), digits = 4)
}

if ("kang" %in% wanted) network_rows("kang2018_pbmc", "celltype", "stim")
if ("zheng" %in% wanted) network_rows("zheng_pbmc_facs", "subpop")

if ("large" %in% wanted) {
  for (n in c(25000, 100000)) {
    x <- many_cells(n)
    before <- peak()
    run <- timed(autoencode(x, 10, epochs = 3, verbose = FALSE, threads = 2))
    cat(n, "cells,", length(x@x), "entries:", round(mean(run$value$convergence$seconds), 2),
        "s per epoch on two threads, peak", round(peak(), 2), "GB of which", round(before, 2),
        "before\n")
  }
}
