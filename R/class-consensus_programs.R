#' Genes of programs
#'
#' @param x A `consensus_programs` from [consensus_programs()].
#' @param n Genes per program.
#' @return Data frame: `program`, `place`, `gene`, `score` (standard deviations by which
#'   the gene is higher in a cell that uses the program alone), `tpm` (its level there).
#' @section Errors: `unalloy_error_class` for other objects, `unalloy_error_argument`.
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 200, n_types = 3, n_samples = 1, cells_per_type = 10, seed = 1)
#' programs <- consensus_programs(sim$reference, rank = 3, nrun = 10, n_features = 100, seed = 1)
#' top_genes(programs, n = 5)
top_genes <- function(x, n = 20) {
  check_call()
  if (!inherits(x, "consensus_programs")) {
    stop_user("class", "`top_genes()` takes what `consensus_programs()` returns for one rank.",
              x = paste0("It is ", describe(x), "."))
  }
  n <- min(check_count(n, "n"), nrow(x$scores))
  tables <- lapply(colnames(x$scores), function(program) {
    top <- utils::head(order(-x$scores[, program]), n)
    data.frame(program = program, place = seq_along(top), gene = rownames(x$scores)[top],
               score = unname(x$scores[top, program]), tpm = unname(x$tpm[top, program]))
  })
  out <- do.call(rbind, tables)
  out$program <- factor(out$program, colnames(x$scores))
  out
}

#' Usage of programs in new cells
#'
#' The non-negative least squares optimum for the spectra of the fit, on the same scale
#' as the usages of the fit: TPM of the chosen genes, divided by their standard
#' deviations in the data of the fit.
#'
#' @param object A `consensus_programs` from [consensus_programs()].
#' @param newdata Counts of new cells in any form that [consensus_programs()] takes, with
#'   all genes of the fit (they are needed for the total of a cell), matched by name.
#'   Without them, the usages of the fit.
#' @param assay Name of the assay, for objects with several.
#' @param threads Threads.
#' @param ... None: other arguments are refused.
#' @return Programs × cells; columns sum to 1, or are 0 for cells without counts in the
#'   chosen genes.
#' @section Errors: `unalloy_error_features` for missing genes.
#' @export
predict.consensus_programs <- function(object, newdata = NULL, assay = NULL,
                                       threads = getOption("unalloy.threads", 2L), ...) {
  refuse_dots(...)
  if (is.null(newdata)) return(object$usage)
  x <- nmf_input(newdata, assay, prefer = c("counts", "logcounts", "data"))
  check_factorisable(x)
  genes <- object$features$gene
  x <- align_rows(x, genes, length(genes), "`newdata`")
  totals <- Matrix::colSums(x)
  chosen <- object$features$chosen
  sd <- object$features$sd[chosen]
  scaled <- scale_columns(x[chosen, , drop = FALSE], ifelse(totals > 0, 1e6 / totals, 0))
  usage <- usage_of(unname(object$tpm[chosen, , drop = FALSE]) / sd, scale_rows(scaled, 1 / sd),
                    "frobenius", list(threads = check_threads(threads)), environment())
  dimnames(usage) <- list(rownames(object$usage), colnames(x))
  to_shares(usage)
}

#' @export
print.consensus_programs <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  kept <- sum(x$replicates$kept)
  cat(plural(x$rank, "consensus program"), " of ", plural(ncol(x$usage), "cell"), " in ",
      plural(sum(x$features$chosen), "gene"), " (of ", count_text(nrow(x$features)), ")\n",
      "Spectra: ", kept, " of ", nrow(x$replicates), " kept, from ",
      plural(x$settings$nrun, "run"), "; stability ", format(x$stability, digits = 3),
      ", relative error ", format(x$error, digits = 3), "\n", sep = "")
  if (!all(x$runs$converged)) {
    cat("NOT converged in ", sum(!x$runs$converged), " of ", plural(nrow(x$runs), "run"), "\n",
        sep = "")
  }
  mean <- rowMeans(x$usage)
  top <- split(top_genes(x, 6)$gene, top_genes(x, 6)$program)
  for (program in names(top)) {
    cat("  ", program, " (", format(100 * mean[[program]], digits = 2), " %): ",
        paste(top[[program]], collapse = ", "), "\n", sep = "")
  }
  cat("Parts: ", paste0("$", names(x), collapse = " "), "\n", sep = "")
  invisible(x)
}

#' @export
print.consensus_programs_ranks <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  cat("Consensus programs at ", plural(nrow(x$table), "rank"), "\n", sep = "")
  print(x$table, row.names = FALSE, digits = 3)
  for (rank in names(x$problems)) cat("Rank ", rank, ": ", x$problems[[rank]], "\n", sep = "")
  cat("Fits: $fits[[\"", x$table$rank[1L], "\"]], ...\n", sep = "")
  invisible(x)
}
