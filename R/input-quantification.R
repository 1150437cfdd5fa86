# Transcripts quantified by Salmon or kallisto, summed to genes by tximport; RSEM's and
# Salmon's tables of genes as they are.

quantifier_files <- function(path) {
  names <- c("quant.sf", "abundance.h5", "abundance.tsv")
  names <- as.vector(rbind(names, paste0(names, ".gz")))
  if (!dir.exists(path)) return(path)
  own <- file.path(path, names)
  own <- own[file.exists(own)]
  if (length(own)) return(own[1L])
  unlist(lapply(list.dirs(path, recursive = FALSE), function(folder) {
    found <- file.path(folder, names)
    found[file.exists(found)][seq_len(any(file.exists(found)))]
  }))
}

read_quantification <- function(paths, type, tx2gene, .call = caller_env()) {
  program <- c(salmon = "Salmon", kallisto = "kallisto")[[type]]
  need_package("tximport", paste("to read the output of", program), .call = .call)
  if (any(grepl("\\.h5$", paths))) need_package("rhdf5", "to read abundance.h5", .call = .call)
  map <- transcript_map(paths[1L], type, tx2gene, .call)
  names(paths) <- make.unique(sample_of_file(paths))
  broken <- function(e) {
    stop_user("file", paste0("The output of ", program, " can't be summed to genes."),
              x = conditionMessage(e),
              i = paste("`tx2gene` must have the transcripts of the index, then their genes;",
                        "all samples must be of one index."), .call = .call)
  }
  found <- suppressMessages(tryCatch(
    tximport::tximport(paths, type = type, tx2gene = map$table, ignoreAfterBar = map$bar,
                       ignoreTxVersion = map$version, dropInfReps = TRUE),
    error = broken
  ))
  genes <- data.frame(id = rownames(found$counts))
  if (!is.null(map$symbols)) genes$symbol <- unname(map$symbols[genes$id])
  counts <- found$counts
  rownames(counts) <- NULL
  storage.mode(counts) <- "double"
  new_read(counts, genes, lengths = unname(rowMeans(found$length)),
           notes = paste0("Lengths are effective lengths, means of the samples; transcripts ",
                          map$source, "."))
}

# Which gene a transcript is of: what the user gives, else what GENCODE's names say
# (ENST...|ENSG...|...|...|transcript name|symbol|...).
transcript_map <- function(path, type, tx2gene, .call) {
  transcripts <- transcript_names(path, .call)
  if (!is.null(tx2gene)) {
    if (!is.data.frame(tx2gene) || ncol(tx2gene) < 2L) {
      stop_user("argument", "`tx2gene` must be a data frame of transcripts and their genes.",
                x = paste0("It is ", describe(tx2gene), "."), .call = .call)
    }
    table <- data.frame(tx = as.character(tx2gene[[1L]]), gene = as.character(tx2gene[[2L]]))
    bar <- any(grepl("|", transcripts, fixed = TRUE)) && !any(grepl("|", table$tx, fixed = TRUE))
    plain <- if (bar) sub("\\|.*", "", transcripts) else transcripts
    version <- !any(plain %in% table$tx)
    known <- sub("\\.[0-9]+$", "", plain) %in% sub("\\.[0-9]+$", "", table$tx)
    if (!any(known)) {
      stop_user("no_common_genes", "No transcript of the file is in `tx2gene`.",
                x = paste0("File: ", some_of(plain), "; `tx2gene`: ", some_of(table$tx), "."),
                i = "Make it from the annotation that the index was made from.", .call = .call)
    }
    return(list(table = table, bar = bar, version = version, source = "summed by `tx2gene`"))
  }
  fields <- strsplit(transcripts, "|", fixed = TRUE)
  if (all(lengths(fields) >= 6L)) {
    pick <- function(k) vapply(fields, `[[`, "", k)
    symbols <- pick(6L)
    names(symbols) <- pick(2L)
    return(list(table = data.frame(tx = transcripts, gene = pick(2L)), bar = FALSE,
                version = FALSE, symbols = symbols[!duplicated(names(symbols))],
                source = "summed by the genes in their names"))
  }
  stop_file(path, "has transcripts, whose genes are not known.",
            x = paste0("Such as ", some_of(transcripts), "."),
            i = paste("Give `tx2gene`, a data frame of transcripts and their genes, from the",
                      "annotation that the index was made from."), .call = .call)
}

transcript_names <- function(path, .call) {
  if (grepl("\\.h5$", path)) return(h5_values(open_hdf5(path, .call = .call), "aux/ids"))
  lines <- file_lines(path, .call = .call)
  expected <- c("Name\tLength", "target_id\tlength")
  if (!any(startsWith(lines[1L], expected))) {
    stop_file(path, "is no output of Salmon or kallisto.",
              x = paste0("Its header is \"", substr(lines[1L], 1L, 60L), "\"."),
              i = "Expected \"Name Length ...\" or \"target_id length ...\".", .call = .call)
  }
  odd <- which(lengths(strsplit(lines, "\t", fixed = TRUE)) != 5L)
  if (length(odd)) {
    stop_file(path, "has lines of different lengths.",
              x = paste0("The first is line ", odd[1L], "."),
              i = "It may have been cut off: quantify or fetch it again.", .call = .call)
  }
  sub("\t.*", "", lines[-1L])
}

# Tables of one sample with a row per gene: RSEM's genes.results, Salmon's
# quant.genes.sf.
read_gene_quantification <- function(path, counts, length, .call = caller_env()) {
  table <- read_text_table(path, .call = .call)
  place <- match(c(counts, length), table$header)
  if (anyNA(place)) {
    stop_file(path, paste0("has no column \"", c(counts, length)[is.na(place)][1L], "\"."),
              x = paste0("It has ", some_of(table$header, 8L), "."),
              i = "Give the file as the program wrote it.", .call = .call)
  }
  values <- lapply(place, function(k) {
    column <- column_numbers(table$cells[, k], FALSE)
    if (length(column$bad)) stop_no_number(path, table, k, column$bad[1L], .call)
    column$values
  })
  new_read(matrix(values[[1L]], ncol = 1L, dimnames = list(NULL, sample_of_file(path))),
           data.frame(id = table$cells[, 1L]), lengths = values[[2L]])
}
