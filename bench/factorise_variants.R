# Clones from allele counts: agreement with reference clones, residuals and time,
# beside the published fit.  Prints a table, fails nothing.
# Usage: Rscript bench/factorise_variants.R
#
# Needs cclone_vaf in UNALLOY_DATA or ../shared/data; see the README there.
library(unalloy)

root <- file.path(Sys.getenv("UNALLOY_DATA", "../shared/data"), "cclone_vaf")
if (!dir.exists(root)) stop("The data set is not at hand: set UNALLOY_DATA.")

load_patient <- function(patient) {
  path <- function(file) file.path(root, patient, file)
  reads <- function(file) methods::as(Matrix::readMM(gzfile(path(file))), "CsparseMatrix")
  table <- function(file) as.matrix(utils::read.delim(gzfile(path(file)), header = FALSE))
  cells <- utils::read.delim(path("cells.tsv"))
  list(
    ref = reads("ref.mtx.gz"), alt = reads("alt.mtx.gz"), cells = cells,
    calls = table("M.tsv.gz"), weights = table("weights.tsv.gz"),
    published = list(basis = as.matrix(utils::read.delim(path("authors_V.tsv"), row.names = 1)),
                     coef = t(as.matrix(cells[grep("^authors_C", names(cells))])))
  )
}

# Area under the ROC curve of the clone that tells the labels best.
auc <- function(scores, label) {
  known <- !is.na(label)
  one <- function(score) {
    rank <- rank(score[known])
    positive <- label[known]
    n <- as.double(sum(positive))
    (sum(rank[positive]) - n * (n + 1) / 2) / n / sum(!positive)
  }
  max(apply(scores, 1, one))
}

squared_residual <- function(data, basis, coef) {
  sum(data$weights^2 * (data$calls - basis %*% coef)^2) / sum(data$weights^2 * data$calls^2)
}

row_of <- function(patient, fit, data, label, basis, coef, scores, time = c(NA, NA, NA)) {
  data.frame(patient = patient, fit = fit, auc = round(auc(scores, label), 3),
             residual = round(squared_residual(data, basis, coef), 4),
             cpu = round(time[[1]], 2), elapsed = round(time[[3]], 2))
}

rows <- lapply(c("A1", "A4"), function(patient) {
  data <- load_patient(patient)
  cells <- data$cells
  # A1: healthy by targeted sequencing.  A4 has cell types only: T cells are healthy,
  # immature cells mostly are not.
  label <- if (patient == "A1") {
    cells$refclone_Healthy > 0.5
  } else {
    ifelse(cells$celltype == "T cells", TRUE, ifelse(cells$celltype == "Immature", FALSE, NA))
  }
  rank <- ncol(data$published$basis)
  # A4's published calls take an allele as seen from two reads on
  seen <- if (patient == "A1") 1 else 2
  fit_with <- function(...) {
    time <- system.time(fit <- factorise_variants(
      data$ref, data$alt, rank, min_allele_reads = seen, seed = 1, verbose = FALSE, ...
    ))
    list(fit = fit, time = time)
  }
  both <- list("noise per variant (default)" = fit_with(),
               "noise per variant, no intervals" = fit_with(bootstrap = 0),
               "common noise (CCLONE's objective)" = fit_with(noise = "common", bootstrap = 0))
  fit <- both[[1]]$fit
  cat(patient, ": largest difference of calls and weights from the published ones ",
      max(abs(as.matrix(fit$calls) - data$calls)), ", ",
      max(abs(as.matrix(fit$weights) - data$weights)), "\n", sep = "")
  if (patient == "A1") {
    clone <- fit$cells$clone
    healthy <- names(which.max(tapply(label, clone, mean, na.rm = TRUE)))
    right <- (clone == healthy) == label
    bin <- cut(fit$cells$certainty, c(0, 0.6, 0.8, 0.9, 0.95, 1), include.lowest = TRUE)
    cat("A1: cells and part of them assigned rightly, by certainty\n")
    print(rbind(cells = table(bin[!is.na(right)]),
                right = round(tapply(right, bin, mean, na.rm = TRUE), 3)))
  }
  published <- data$published
  ours <- Map(function(name, one) {
    row_of(patient, name, data, label, one$fit$basis, one$fit$coef, one$fit$shares, one$time)
  }, names(both), both)
  do.call(rbind, c(ours, list(row_of(patient, "published factors", data, label, published$basis,
                                     published$coef, published$coef))))
})
table <- do.call(rbind, rows)
rownames(table) <- NULL
print(table, right = FALSE)
