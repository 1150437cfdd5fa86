#' Random composite measurements
#'
#' `measurement_matrix()` draws the weights with which genes are added up in each
#' composite measurement; `measure()` ([measure()]) says what these would read.
#' Rows have unit norm and are drawn one after another, each anew until its
#' Pearson correlation with all rows before it is within a bound (Cleary et al.
#' 2017): measurements that resemble one another tell the same twice.
#'
#' `"gaussian"` weights are independent normal numbers. No laboratory can make
#' them as they stand, half of them being negative; they are what theory speaks
#' of. `"sparse"` rows are pools: equal weights on a few genes, with genes in
#' about as many pools as one another, so that none is left unmeasured when
#' there is room. They can be made as mixtures of probes.
#'
#' @param m Number of measurements.
#' @param genes Names of the genes, or anything with genes in rows.
#' @param type `"gaussian"` or `"sparse"`.
#' @param max_correlation Largest absolute correlation between two rows. Random
#'   rows over n genes correlate by about 1/sqrt(n), pools more: with few genes
#'   and many measurements a low bound cannot be met.
#' @param genes_per_pool For `"sparse"`: genes per measurement. By default as many
#'   as put each gene in about three pools, but from 2 to half of the genes.
#' @param seed A whole number; the same seed gives the same matrix on every
#'   machine. `NULL` takes one from R's random stream.
#' @param threads Threads for the coherence.
#' @param x An object of class `measurement_matrix`.
#' @param row.names,optional,... For agreement with the generics; row names and other
#'   arguments are refused.
#' @return An object of class `measurement_matrix`, a list:
#'   \item{weights}{Measurements × genes, with names; a `dgCMatrix` for pools.}
#'   \item{coherence}{`rows`: largest absolute correlation between two rows.
#'     `genes`, `genes_rms`: largest and root-mean-square absolute cosine between
#'     the columns of two genes. A gene whose column resembles another's can be
#'     told from it by the dictionary only.}
#'   \item{type, max_correlation, genes_per_pool, seed}{The settings.}
#'
#'   `as.matrix()` gives the weights as a matrix, `as.data.frame()` the pooling
#'   table: a row per `measurement` and `gene` with its `weight`, weights of 0 left
#'   out. The first measurements of a matrix are those that a smaller `m` gives.
#' @section Errors: `unalloy_error_argument` for settings out of range;
#'   `unalloy_error_coherence` when rows cannot be so unlike, with the row that
#'   could not be drawn; `unalloy_error_gene_names` for genes without or with double
#'   names.
#' @references Cleary, Cong, Cheung, Lander and Regev (2017). Efficient generation
#'   of transcriptomic profiles by random composite measurements. *Cell* 171:1424.
#' @seealso [measure()], [recover_profiles()], [write_pools()]
#' @export
#' @examples
#' measurement_matrix(20, paste0("Gene", 1:200), seed = 1)
#' pools <- measurement_matrix(20, paste0("Gene", 1:200), "sparse", seed = 1)
#' pools
#' head(as.data.frame(pools))
measurement_matrix <- function(m, genes, type = c("gaussian", "sparse"), max_correlation = 0.2,
                               genes_per_pool = NULL, seed = NULL,
                               threads = getOption("unalloy.threads", 2L)) {
  check_call()
  m <- check_count(m, "m")
  type <- check_choice(type, c("gaussian", "sparse"), "type")
  max_correlation <- check_number(max_correlation, "max_correlation", 0, 1)
  genes <- measured_genes(genes)
  n <- length(genes)
  check_matrix_size(list(m = m, genes = n))
  if (type == "gaussian" && !is.null(genes_per_pool)) {
    stop_user("argument", "`genes_per_pool` is for `type = \"sparse\"`.",
              x = "Gaussian measurements have a weight for every gene.")
  }
  if (type == "sparse") {
    genes_per_pool <- check_count(genes_per_pool %||% max(2, min(ceiling(3 * n / m), n %/% 2)),
                                  "genes_per_pool")
    if (genes_per_pool >= n) {
      stop_user("argument", "`genes_per_pool` must be less than the number of genes.",
                x = paste0("It is ", genes_per_pool, "; there are ", plural(n, "gene"), "."))
    }
  }
  threads <- check_threads(threads)
  seed <- check_seed(seed)
  drawn <- call_rs(rs_measurement_matrix, measurements = m, genes = n,
                   genes_per_pool = genes_per_pool, max_correlation = max_correlation,
                   seed = seed, progress = progress_bar("Drawing", m, TRUE))
  if (is.null(drawn$weights)) stop_crowded(drawn, max_correlation, n, type)
  coherence <- call_rs(rs_coherence, weights = drawn$weights, threads = threads)
  weights <- t(drawn$weights)
  if (type == "sparse") weights <- as_csc(Matrix::Matrix(weights, sparse = TRUE))
  dimnames(weights) <- list(numbered("M", m), genes)
  structure(list(weights = weights, coherence = coherence, type = type,
                 max_correlation = max_correlation, genes_per_pool = genes_per_pool, seed = seed),
            class = "measurement_matrix")
}

stop_crowded <- function(drawn, max_correlation, n_genes, type, .call = caller_env()) {
  stop_user(
    "coherence", "The measurements can't be so unlike one another.",
    x = paste0("Of 2,000 draws of measurement ", drawn$row, ", the best correlates by ",
               format(drawn$correlation, digits = 2), " with an earlier one; `max_correlation` is ",
               max_correlation, "."),
    i = paste0("Over ", plural(n_genes, "gene"), ", ask for fewer measurements",
               if (type == "sparse") ", fewer genes per pool", " or a higher bound."),
    .call = .call
  )
}

#' @rdname measurement_matrix
#' @export
print.measurement_matrix <- function(x, ...) {
  refuse_dots(..., .besides = PRINT_ARGUMENTS)
  size <- dim(x$weights)
  cat(plural(size[1L], "measurement"), " of ", plural(size[2L], "gene"), ", ", x$type, sep = "")
  if (x$type == "sparse") {
    pools <- range(Matrix::colSums(x$weights > 0))
    cat(": ", plural(x$genes_per_pool, "gene"), " per pool, each gene in ",
        if (pools[1L] == pools[2L]) pools[1L] else paste(pools, collapse = " to "), " pools",
        sep = "")
  }
  shown <- lapply(x$coherence, format, digits = 2)
  cat("\nCorrelation between measurements: at most ", shown$rows, " (bound ", x$max_correlation,
      ")\nCoherence between genes: at most ", shown$genes, ", root mean square ",
      shown$genes_rms, "\n", sep = "")
  invisible(x)
}

#' @rdname measurement_matrix
#' @export
as.matrix.measurement_matrix <- function(x, ...) {
  refuse_dots(...)
  as.matrix(x$weights)
}

#' @rdname measurement_matrix
#' @export
dim.measurement_matrix <- function(x) dim(x$weights)

#' @rdname measurement_matrix
#' @export
as.data.frame.measurement_matrix <- function(x, row.names = NULL, optional = FALSE, ...) {
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  by_row <- as_csc(Matrix::t(methods::as(x$weights, "CsparseMatrix")))
  data.frame(
    measurement = rep(rownames(x$weights), diff(by_row@p)),
    gene = colnames(x$weights)[by_row@i + 1L], weight = by_row@x
  )
}

#' Write a pooling table
#'
#' A file for the bench: a row per measurement and gene, with the weight of the
#' gene in the measurement.
#'
#' @param A A result of [measurement_matrix()].
#' @param file Name of the file, comma-separated.
#' @return The table, invisibly.
#' @section Errors: `unalloy_error_argument` if `A` is something else,
#'   `unalloy_error_unwritable` where the file cannot be written to its end.
#' @export
#' @examples
#' pools <- measurement_matrix(10, paste0("Gene", 1:60), "sparse", max_correlation = 0.5, seed = 1)
#' file <- tempfile(fileext = ".csv")
#' write_pools(pools, file)
#' head(read.csv(file))
write_pools <- function(A, file) {
  check_call()
  if (!inherits(A, "measurement_matrix")) {
    stop_user("argument", "`A` must be a result of `measurement_matrix()`.",
              x = paste0("It is ", describe(A), "."))
  }
  table <- as.data.frame(A)
  write_text(utils::capture.output(utils::write.csv(table, row.names = FALSE)), file)
  invisible(table)
}
