# Programs of types in cell_type_expression(), on blood cells with and without interferon
# (kang2018_pbmc): prints tables, fails nothing.
# Usage: Rscript bench/expression_programs.R [seeds]
#
#   mixed    60 pseudo-bulks of three donors that the reference does not have, 400 cells each;
#            every type has a share of stimulated cells of its own. The correlation over
#            samples of predicted with true log2(CPM + 20), mean over genes that stimulation
#            moves by more than a factor of two in the reference's cells.
#   change   a reference of control cells alone; 15 pseudo-bulks of control and 15 of
#            stimulated cells. The correlation over genes of predicted with true mean change.
library(unalloy)
options(cli.progress_show_after = Inf, unalloy.threads = 1L)
seeds <- seq_len(as.integer(c(commandArgs(TRUE), 3)[1]))
source(file.path(dirname(sub("--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])),
                 "expression_setup.R"))

predictions <- function(fit) {
  get <- function(...) {
    cell_type_expression(fit, units = "cpm", exposure_error = FALSE, verbose = FALSE, ...)
  }
  list(allocation = get(method = "allocation"), blup = get(),
       programs = get(covariance = "programs"))
}

mixed <- function(seed) {
  set.seed(seed)
  held <- sample(sort(unique(cells$donor)), 3)
  counts <- mix(held, matrix(runif(4 * 60), 4))
  at <- !cells$donor %in% held
  fit <- suppressWarnings(deconvolve_bulk(reference(at), apply(counts, c(1, 3), sum),
                                          verbose = FALSE))
  fold <- fold_of(at)
  truth <- truth_of(counts)
  found <- predictions(fit)
  # where the sample has the type by truth and by the fit
  score <- function(x) score_moved(truth, as.array(x), x$prior, fold)
  print(found$programs$programs, row.names = FALSE, digits = 2)
  t(sapply(found, score))
}

change <- function(seed) {
  set.seed(seed)
  condition <- rep(c(FALSE, TRUE), each = 15)
  donors <- sort(unique(cells$donor))
  counts <- mix(donors, matrix(rep(as.numeric(condition), each = 4), 4))
  fit <- suppressWarnings(deconvolve_bulk(reference(!cells$stimulated),
                                          apply(counts, c(1, 3), sum), verbose = FALSE))
  true <- change_of(counts, condition)
  found <- predictions(fit)
  score <- function(x) {
    values <- logs(as.array(x))
    r <- sapply(types, function(type) {
      own <- values[, type, ]
      level <- rowMeans(own) > log2(50 + 20)
      moved <- rowMeans(own[level, condition]) - rowMeans(own[level, !condition])
      cor(moved, true[match(rownames(own)[level], genes), type])
    })
    c(r, mean = mean(r))
  }
  print(found$programs$programs, row.names = FALSE, digits = 2)
  t(sapply(found, score))
}

for (name in c("mixed", "change")) {
  runs <- lapply(seeds, function(seed) {
    cat("\n", name, ", seed ", seed, "\n", sep = "")
    run <- get(name)(seed)
    print(round(run, 3))
    run
  })
  cat("\n", name, ", mean of ", length(seeds), " seeds\n", sep = "")
  print(round(Reduce(`+`, runs) / length(runs), 3))
}
