# The commands of the command line: what each takes, does and writes.

COMMANDS <- list(
  deconvolve = list(
    does = "which cell types are in bulk samples",
    needs = c("bulk", "out"),
    options = c(
      bulk = "counts of the samples, any file that read_counts() reads",
      cells = "single cells, any file or folder that read_counts() reads",
      labels = "column of the cell table that names types",
      donors = "column of the cell table that names donors",
      metadata = "table of the cells, where the cells' file has none",
      signatures = "table of genes x types, in place of cells",
      lengths = "table of genes and their lengths",
      samples = "table of the samples",
      groups = "column of the samples to compare in the report",
      `error-model` = "auto, platform or poisson",
      out = "folder to write",
      report = "write a page, report.html, too",
      overwrite = "write into a folder that has files",
      threads = "processors to use", quiet = "say nothing"
    ), flags = c("report", "overwrite", "quiet")
  ),
  check = list(
    does = "what a reference and a bulk will do to each other",
    needs = "bulk",
    options = c(
      bulk = "counts of the samples", cells = "single cells",
      labels = "column of the cell table that names types",
      donors = "column of the cell table that names donors",
      metadata = "table of the cells, where the cells' file has none",
      signatures = "table of genes x types, in place of cells", quiet = "say nothing else"
    ), flags = "quiet"
  ),
  nmf = list(
    does = "metagenes without a reference",
    needs = c("counts", "rank", "out"),
    options = c(
      counts = "any file that read_counts() reads", rank = "number of metagenes",
      method = "kl, brunet, lee, ... as in nmf()", runs = "number of random starts",
      seed = "a whole number", out = "folder to write",
      overwrite = "write into a folder that has files", quiet = "say nothing"
    ), flags = c("overwrite", "quiet")
  ),
  convert = list(
    does = "genes under other names",
    needs = c("counts", "out"),
    options = c(
      counts = "any file that read_counts() reads", to = "symbol, ensembl or entrez",
      species = "auto, human or mouse", table = "table of names from and to",
      out = "table to write, .tsv or .tsv.gz", overwrite = "replace the file",
      quiet = "say nothing"
    ), flags = c("overwrite", "quiet")
  )
)

command_usage <- function(command = NULL) {
  if (is.null(command)) {
    lines <- vapply(names(COMMANDS), function(name) {
      sprintf("  unalloy %-11s %s", name, COMMANDS[[name]]$does)
    }, "")
    return(c("Usage: unalloy COMMAND --option value ...", "", lines, "",
             "unalloy COMMAND --help tells the options."))
  }
  about <- COMMANDS[[command]]
  marks <- ifelse(names(about$options) %in% about$needs, " (needed)", "")
  c(paste0("unalloy ", command, ": ", about$does), "",
    sprintf("  --%-12s %s%s", names(about$options), about$options, marks))
}

# Options of a command as a list; what is unknown, missing or twice is refused.
parse_options <- function(arguments, command, .call = caller_env()) {
  about <- COMMANDS[[command]]
  known <- names(about$options)
  out <- list()
  k <- 1L
  while (k <= length(arguments)) {
    given <- arguments[k]
    if (!startsWith(given, "--")) {
      stop_user("argument", paste0("\"", given, "\" is no option."),
                i = "Options begin with two dashes: `--bulk counts.tsv`.", .call = .call)
    }
    name <- sub("=.*", "", substring(given, 3L))
    if (!name %in% known) {
      near <- nearest_name(name, known)
      stop_user("argument", paste0("There is no option \"--", name, "\"."),
                i = if (length(near)) paste0("Did you mean \"--", near, "\"?")
                    else paste0("Options: ", paste0("--", known, collapse = ", "), "."),
                .call = .call)
    }
    if (name %in% names(out)) {
      stop_user("argument", paste0("Option \"--", name, "\" is given twice."), .call = .call)
    }
    if (name %in% about$flags) {
      value <- TRUE
    } else if (grepl("=", given, fixed = TRUE)) {
      value <- sub("^[^=]*=", "", given)
    } else {
      k <- k + 1L
      value <- arguments[k]
    }
    if (is.na(value) || identical(value, "") ||
          (is.character(value) && !grepl("=", given, fixed = TRUE) && startsWith(value, "--"))) {
      stop_user("argument", paste0("Option \"--", name, "\" has no value."),
                i = paste0("It is: ", about$options[[name]], "."), .call = .call)
    }
    out[[name]] <- value
    k <- k + 1L
  }
  absent <- setdiff(about$needs, names(out))
  if (length(absent)) {
    stop_user("argument", paste0("Option \"--", absent[1L], "\" is needed."),
              i = paste0("It is: ", about$options[[absent[1L]]], "."), .call = .call)
  }
  out
}

option_number <- function(options, name, .call = caller_env()) {
  if (is.null(options[[name]])) return(NULL)
  value <- suppressWarnings(as.numeric(options[[name]]))
  if (is.na(value)) {
    stop_user("argument", paste0("Option \"--", name, "\" must be a number."),
              x = paste0("It is \"", options[[name]], "\"."), .call = .call)
  }
  value
}

# A folder for results: new, empty, or to be overwritten.
output_folder <- function(options, .call = caller_env()) {
  if (dir.exists(options$out) && length(list.files(options$out)) && !isTRUE(options$overwrite)) {
    stop_user("file", paste0("The folder \"", options$out, "\" has files."),
              x = paste0("Such as ", some_of(list.files(options$out)), "."),
              i = "Name another, or say --overwrite.", .call = .call)
  }
  dir.create(options$out, showWarnings = FALSE, recursive = TRUE)
  if (!dir.exists(options$out)) {
    stop_user("file", paste0("The folder \"", options$out, "\" can't be made."), .call = .call)
  }
  options$out
}

write_table <- function(x, path) {
  write_text(utils::capture.output(
    utils::write.table(x, sep = "\t", quote = FALSE, row.names = FALSE, na = "NA")
  ), path)
}

row_names_first <- function(x, what) {
  out <- data.frame(rownames(x), as.matrix(x), check.names = FALSE)
  names(out)[1L] <- what
  out
}
