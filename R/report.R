#' Write a report of a deconvolution
#'
#' One page to read, keep and send: what was fitted and why, the check of the reference,
#' shares with their intervals, pictures, what [diagnose()] says, a comparison of groups,
#' and a paragraph for the methods section with versions, settings and references. The page
#' is one file, holds its pictures, and needs no network.
#'
#' @param result A [deconvolution], with its counts (`keep_counts = TRUE`).
#' @param file The page to write, ending in `.html`.
#' @param formula Groups to compare, as in [compare_groups()]: `~ group`, or
#'   `~ group + (1 | patient)`, of columns of [sample_data()]. `NULL` compares none.
#' @param title Of the page.
#' @param seed For the draws of [diagnose()]; the same seed writes the same page.
#' @param overwrite Replace a file that is there?
#' @return The path of the page, invisibly.
#' @section Errors: `unalloy_error_package` without rmarkdown or pandoc,
#'   `unalloy_error_no_counts`, `unalloy_error_file` when the file exists or its folder does
#'   not, `unalloy_error_argument`, and what [compare_groups()] refuses.
#' @seealso [diagnose()], [check_reference()], [compare_groups()]
#' @export
#' @examples
#' \dontrun{
#' sim <- simulate_bulk(n_genes = 500, n_types = 4, n_samples = 12, seed = 1)
#' signatures <- build_signatures(sim$reference, sim$cells$cell_type, sim$cells$donor)
#' samples <- data.frame(sample = colnames(sim$bulk_counts), arm = rep(c("a", "b"), 6))
#' result <- deconvolve_bulk(signatures, sim$bulk_counts, sim$gene_lengths, samples = samples)
#' report(result, "study.html", formula = ~ arm)
#' }
report <- function(result, file, formula = NULL, title = "Deconvolution", seed = 1,
                   overwrite = FALSE) {
  check_call()
  here <- environment()
  check_result(result)
  overwrite <- check_flag(overwrite, "overwrite")
  seed <- check_seed(seed)
  ok <- is.character(file) && length(file) == 1L && !is.na(file) && grepl("\\.html?$", file)
  if (!ok) {
    stop_user("argument", "`file` must be the name of a page, ending in \".html\".",
              x = paste0("It is ", describe(file), "."))
  }
  if (!is.null(formula) && !inherits(formula, "formula")) {
    stop_user("argument", "`formula` must be a formula, such as `~ group`.",
              x = paste0("It is ", describe(formula), "."))
  }
  if (!dir.exists(dirname(file))) {
    stop_file(file, "has no folder to be in.", x = paste0("There is no \"", dirname(file), "\"."),
              i = "Make it with `dir.create()`.")
  }
  if (file.exists(file) && !overwrite) {
    stop_file(file, "is there already.", i = "Say `overwrite = TRUE`, or take another name.")
  }
  need_package("rmarkdown", "to write a report")
  need_package("knitr", "to write a report")
  if (!rmarkdown::pandoc_available("2.0")) {
    stop_user("package", "The program pandoc is needed to write a report.",
              x = "It is not installed.", i = "RStudio brings it; on Debian `apt install pandoc`.")
  }
  # what fails is told before anything is written
  kept_counts(result, .call = here)
  parts <- list(result = result, title = title, formula = formula,
                diagnosis = diagnose(result, seed = seed, verbose = FALSE),
                groups = if (!is.null(formula)) compare_groups(result, formula),
                tracks = formula_tracks(formula, result$sample_data))
  if (!is.null(result$signatures)) {
    parts$check <- check_reference(result$signatures, result$counts$source)
  }
  work <- tempfile("report")
  dir.create(work)
  on.exit(unlink(work, recursive = TRUE))
  page <- file.path(work, "report.Rmd")
  file.copy(system.file("report", "deconvolution.Rmd", package = "unalloy", mustWork = TRUE), page)
  envir <- new.env(parent = asNamespace("unalloy"))
  assign("parts", parts, envir = envir)
  made <- rmarkdown::render(page, output_file = "report.html", envir = envir, quiet = TRUE)
  if (!file.copy(made, file, overwrite = TRUE) || file.size(file) < file.size(made)) {
    stop_file(file, "could not be written to its end.", i = "Is there room on the disk?")
  }
  invisible(file)
}
