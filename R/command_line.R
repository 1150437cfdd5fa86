#' The command line
#'
#' What the script `unalloy` runs: the verbs of the package on files, for a shell, a
#' pipeline or another language. The script is in the package:
#'
#'     ln -s "$(Rscript -e 'cat(system.file("bin", "unalloy", package = "unalloy"))')" ~/bin/
#'     unalloy deconvolve --bulk counts.tsv.gz --cells folder --labels celltype --out results
#'
#' `deconvolve` writes `proportions.tsv` (samples × types, shares of mRNA),
#' `cell_fractions.tsv` where sizes of cells are known, `intervals.tsv`, `convergence.tsv`,
#' `check.txt`, `diagnosis.txt`, `result.rds` for R, and with `--report` a page. `check`
#' prints [check_reference()]. `nmf` writes `basis.tsv` and `coefficients.tsv`. `convert`
#' writes a table under other names of genes. `unalloy COMMAND --help` tells the options.
#'
#' @param arguments Words of the command line, the command first.
#' @return The exit status, invisibly: 0, or 1 when something was refused; the reason is on
#'   the standard error.
#' @seealso [read_counts()] for the files, [deconvolve_bulk()], [nmf()], [convert_genes()],
#'   [report()]
#' @export
#' @examples
#' command_line("--help")
command_line <- function(arguments) {
  check_call()
  if (!is.character(arguments)) {
    stop_user("argument", "`arguments` must be words.", x = paste0("It is ", describe(arguments),
                                                                   "."))
  }
  status <- tryCatch({
    run_command(arguments)
    0L
  }, error = function(e) {
    text <- if (inherits(e, "rlang_error")) rlang::cnd_message(e) else conditionMessage(e)
    message("unalloy: ", cli::ansi_strip(text))
    1L
  })
  invisible(status)
}

run_command <- function(arguments) {
  if (!length(arguments) || arguments[1L] %in% c("--help", "-h", "help")) {
    writeLines(command_usage())
    return(invisible())
  }
  if (arguments[1L] == "--version") {
    cat("unalloy", as.character(utils::packageVersion("unalloy")), "\n")
    return(invisible())
  }
  command <- arguments[1L]
  if (!command %in% names(COMMANDS)) {
    near <- nearest_name(command, names(COMMANDS))
    stop_user("argument", paste0("There is no command \"", command, "\"."),
              i = if (length(near)) paste0("Did you mean \"", near, "\"?")
                  else paste0("Commands: ", some_of(names(COMMANDS), 9L), "."))
  }
  if (any(arguments %in% c("--help", "-h"))) {
    writeLines(command_usage(command))
    return(invisible())
  }
  options <- parse_options(arguments[-1L], command)
  switch(command, deconvolve = command_deconvolve(options), check = command_check(options),
         nmf = command_nmf(options), convert = command_convert(options))
}

# Signatures from a table, or from cells and their labels.
command_signatures <- function(options, genes, verbose) {
  if (!is.null(options$signatures)) {
    if (!is.null(options$cells)) {
      stop_user("argument", "\"--signatures\" and \"--cells\" exclude each other.")
    }
    return(as_signatures(as.matrix(read_counts(options$signatures, verbose = FALSE))))
  }
  if (is.null(options$cells) || is.null(options$labels)) {
    stop_user("argument", "Signatures or cells are needed.",
              i = "Give --cells and --labels, or --signatures.")
  }
  cells <- read_counts(options$cells, genes = genes, metadata = options$metadata,
                       verbose = verbose)
  build_signatures(cells, options$labels, donors = options$donors)
}

command_deconvolve <- function(options) {
  verbose <- !isTRUE(options$quiet)
  model <- check_choice(options[["error-model"]] %||% "auto", c("auto", "poisson", "platform"),
                        "--error-model")
  folder <- output_folder(options)
  path <- function(name) file.path(folder, name)
  bulk <- read_counts(options$bulk, metadata = options$samples, verbose = verbose)
  signatures <- command_signatures(options, rownames(bulk$counts), verbose)
  lengths <- if (is.null(options$lengths)) bulk$gene_lengths
             else read_cell_table(options$lengths, environment())
  threads <- option_number(options, "threads") %||% getOption("unalloy.threads", 2L)
  result <- deconvolve_bulk(signatures, bulk, lengths, error_model = model, threads = threads,
                            verbose = verbose)
  write_table(row_names_first(t(result$proportions), "sample"), path("proportions.tsv"))
  if (!is.null(result$cell_fractions)) {
    write_table(row_names_first(t(result$cell_fractions), "sample"), path("cell_fractions.tsv"))
  }
  write_table(as.data.frame(confint(result)), path("intervals.tsv"))
  write_table(result$convergence, path("convergence.tsv"))
  said <- function(x) utils::capture.output(print(x))
  write_text(said(check_reference(signatures, bulk)), path("check.txt"))
  write_text(said(diagnose(result, seed = 1, threads = threads, verbose = FALSE)),
             path("diagnosis.txt"))
  saveRDS(result, path("result.rds"))
  if (isTRUE(options$report)) {
    formula <- if (!is.null(options$groups)) stats::reformulate(paste0("`", options$groups, "`"))
    report(result, path("report.html"), formula = formula, overwrite = TRUE)
  }
  if (verbose) cat(paste0("Written: ", path(list.files(folder)), "\n"), sep = "")
}

command_check <- function(options) {
  bulk <- read_counts(options$bulk, verbose = !isTRUE(options$quiet))
  print(check_reference(command_signatures(options, rownames(bulk$counts),
                                           !isTRUE(options$quiet)), bulk))
}

command_nmf <- function(options) {
  rank <- option_number(options, "rank")
  runs <- option_number(options, "runs") %||% 1
  folder <- output_folder(options)
  counts <- read_counts(options$counts, verbose = !isTRUE(options$quiet))
  fit <- nmf(counts$counts, rank, method = options$method %||% "kl", nrun = runs,
             seed = option_number(options, "seed"))
  label <- paste0("M", seq_len(rank))
  write_table(row_names_first(`colnames<-`(basis(fit), label), "gene"),
              file.path(folder, "basis.tsv"))
  write_table(row_names_first(`rownames<-`(coef(fit), label), "metagene"),
              file.path(folder, "coefficients.tsv"))
  saveRDS(fit, file.path(folder, "fit.rds"))
}

command_convert <- function(options) {
  if (file.exists(options$out) && !isTRUE(options$overwrite)) {
    stop_user("file", paste0("\"", options$out, "\" is there already."),
              i = "Name another file, or say --overwrite.")
  }
  counts <- read_counts(options$counts, verbose = !isTRUE(options$quiet))
  table <- if (!is.null(options$table)) read_cell_table(options$table, environment())
  new <- convert_genes(counts, to = options$to %||% "symbol",
                       species = options$species %||% "auto", table = table,
                       verbose = !isTRUE(options$quiet))
  write_table(row_names_first(new$counts, "gene"), options$out)
}
