# Tables of counts as text: any separator, comments before the header, gene names in
# one column or two, annotation beside them.

# Columns that programs write beside the counts.
ANNOTATION <- paste0("^(chr(om(osome)?)?|start|end|strand|(gene_?|transcript_?)?length|width|",
                     "gene_?(bio)?type|biotype|description|entrez.*|gc.*|feature_?type|",
                     "transcript_id(\\(s\\))?|effective_?length)$")
SYMBOL_COLUMN <- paste0("^(.*symbol.*|gene_?names?|external_gene_name|hgnc.*|gene_short_name|",
                        "feature_name)$")
ID_COLUMN <- paste0("^(|x|\\.*[0-9]*|v1|id|.*gene.*|.*ensembl.*|.*entrez.*|id_ref|name|target_id|",
                    "feature.*)$")

# Text of a table as a character matrix with its header.
read_text_table <- function(path, .call = caller_env()) {
  lines <- file_lines(path, .call = .call)
  if (grepl("^\\s*<(!doctype|html)", lines[1L], ignore.case = TRUE)) {
    stop_file(path, "is a web page.", x = paste0("It begins: ", substr(lines[1L], 1L, 40L)),
              i = "Fetch the file itself, not the page that offers it.", .call = .call)
  }
  if (any(!validUTF8(lines[seq_len(min(50L, length(lines)))]))) {
    stop_file(path, "is not text in UTF-8.",
              i = "Save it as UTF-8 text, separated by tabs or commas.", .call = .call)
  }
  numbers <- which(nzchar(trimws(lines)))
  # what stands before the header, and the marks of GEO's series matrices
  numbers <- numbers[!startsWith(lines[numbers], "!")]
  comments <- cumprod(startsWith(lines[numbers], "#")) == 1
  header_mark <- sum(comments)
  if (header_mark && header_mark < length(numbers)) {
    pair <- lines[numbers[header_mark + 0:1]]
    separator <- table_separator(pair[2L])
    fields <- lengths(strsplit(pair, separator, fixed = TRUE))
    # "#gene  S1  S2" is a header
    if (fields[1L] > 1L && fields[1L] == fields[2L]) {
      comments[header_mark] <- FALSE
      lines[numbers[header_mark]] <- sub("^#\\s*", "", pair[1L])
    }
  }
  numbers <- numbers[!comments]
  if (length(numbers) < 2L) {
    stop_file(path, "has no table.", x = paste0("It has ", plural(length(numbers), "line"),
                                                " beside comments."),
              i = "It needs a header and a line per gene.", .call = .call)
  }
  split_table(path, lines[numbers], numbers, .call)
}

table_separator <- function(line) {
  present <- vapply(c("\t", ";", ",", " "), grepl, NA, x = line, fixed = TRUE)
  if (any(present)) names(which(present))[1L] else "\t"
}

split_table <- function(path, lines, numbers, .call) {
  separator <- table_separator(lines[1L])
  given <- if (separator == " ") "" else separator
  con <- textConnection(lines)
  fields <- utils::count.fields(con, sep = given, quote = "\"", comment.char = "")
  close(con)
  wide <- fields[length(fields) %/% 2L + 1L]
  odd <- which(is.na(fields) | fields != wide)
  # a header may leave out the name of the first column
  odd <- setdiff(odd, if (identical(fields[1L], wide - 1L)) 1L)
  if (length(odd)) {
    stop_file(path, "has lines of different lengths.",
              x = paste0("Line ", numbers[odd[1L]], " has ", plural(fields[odd[1L]], "field"),
                         ", most have ", wide, "."),
              i = "It may have been cut off, or separators stand within names: write it again.",
              .call = .call)
  }
  if (wide < 2L) {
    stop_file(path, "has one column.", x = paste0("Its first line: \"",
                                                  substr(lines[1L], 1L, 40L), "\"."),
              i = "It needs gene names, then a column per sample, with tabs or commas between.",
              .call = .call)
  }
  cells <- scan(text = lines, what = "", sep = given, quote = "\"", quiet = TRUE,
                comment.char = "", na.strings = character(), strip.white = TRUE)
  if (fields[1L] < wide) cells <- c("", cells)
  cells <- matrix(cells, ncol = wide, byrow = TRUE)
  # without a header the first line has numbers after its first field
  named <- grepl(HEADER_OF_GENES, tolower(cells[1L, 1L])) && !anyDuplicated(cells[1L, -1L])
  if (all(is_number(cells[1L, -1L])) && !named) {
    list(cells = cells, header = NULL, numbers = numbers, separator = separator)
  } else {
    list(cells = cells[-1L, , drop = FALSE], header = cells[1L, ], numbers = numbers[-1L],
         separator = separator)
  }
}

is_number <- function(x) !is.na(suppressWarnings(as.numeric(x)))

# Samples may be named by numbers where the first column's name says that this is a header.
HEADER_OF_GENES <- paste0("^(|x|id|genes?|gene[ _.]?(ids?|names?|symbols?)|symbols?|names?|",
                          "ensembl.*|id_ref|entrez.*|hgnc.*|features?|feature_?id|target_id)$")

MISSING_TEXT <- c("", "NA", "NaN", "N/A", "na", "nan", "null")

# One column as numbers: NULL where it is text.
column_numbers <- function(x, decimal_comma) {
  if (decimal_comma) x <- sub(",", ".", x, fixed = TRUE)
  values <- suppressWarnings(as.numeric(x))
  bad <- is.na(values) & !x %in% MISSING_TEXT
  list(values = values, bad = which(bad), text = mean(bad) > 0.5)
}

# Whether commas are decimal; those that stand before three digits each may as well
# divide thousands.
has_decimal_comma <- function(path, cells, separator, .call) {
  if (separator == "," || !any(with <- grepl("^-?[0-9]*(,[0-9]+)+$", cells))) return(FALSE)
  commas <- cells[with]
  if (all(grepl("^-?[0-9]{1,3}(,[0-9]{3})+$", commas))) {
    stop_file(path, "has numbers whose commas can be read in two ways.",
              x = paste0("Such as ", some_of(unique(commas)), "."),
              i = "Write it without commas that divide thousands, and with decimal points.",
              .call = .call)
  }
  TRUE
}

# Which columns are genes, which annotation, which counts.
read_table_counts <- function(path, gene_column = NULL, .call = caller_env()) {
  table <- read_text_table(path, .call = .call)
  if (is.null(table$header)) return(read_headless(path, table, .call))
  header <- table$header
  plain <- tolower(trimws(header))
  if ("status" %in% plain[1L] && any(grepl("^Unassigned_", table$cells[, 1L]))) {
    stop_file(path, "is the summary that featureCounts writes.",
              i = "Give the table itself: the name without \".summary\".", .call = .call)
  }
  comma <- has_decimal_comma(path, table$cells, table$separator, .call)
  columns <- lapply(seq_along(header), function(k) column_numbers(table$cells[, k], comma))
  text <- vapply(columns, `[[`, NA, "text")
  genes <- gene_columns(path, plain, header, table$cells, text, gene_column, .call)
  annotation <- grepl(ANNOTATION, plain)
  values <- !text & !annotation & !seq_along(header) %in% genes
  if (!any(values)) {
    stop_file(path, "has no column of numbers beside its genes.",
              x = paste0("Its columns: ", some_of(header, 6L), "."),
              i = "It needs a column per sample.", .call = .call)
  }
  for (k in which(values)) {
    if (length(columns[[k]]$bad)) stop_no_number(path, table, k, columns[[k]]$bad[1L], .call)
  }
  counts <- vapply(columns[values], `[[`, numeric(nrow(table$cells)), "values")
  counts <- matrix(counts, nrow(table$cells), dimnames = list(NULL, header[values]))
  ids <- as.data.frame(lapply(genes, function(k) table$cells[, k]))
  length_column <- which(plain %in% c("effective_length", "length", "gene_length", "genelength"))
  lengths <- if (length(length_column)) columns[[length_column[1L]]]$values
  besides <- setdiff(which(text | annotation), c(genes, length_column))
  notes <- if (length(besides)) {
    paste0("Not counts, left out: ", some_of(header[besides], 6L), ".")
  }
  new_read(counts, ids, lengths = lengths, notes = as.character(notes))
}

stop_no_number <- function(path, table, k, row, .call) {
  stop_file(path, "has counts that are no numbers.",
            x = paste0("\"", table$cells[row, k], "\" in column \"", table$header[k], "\", line ",
                       table$numbers[row], "."),
            i = "Write numbers, or NA and leave the gene out.", .call = .call)
}

# Places of the identifiers and, where there are both, of the symbols.
gene_columns <- function(path, plain, header, cells, text, gene_column, .call) {
  if (!is.null(gene_column)) {
    place <- match(gene_column, header)
    if (is.na(place)) {
      stop_file(path, paste0("has no column \"", gene_column, "\"."),
                x = paste0("It has ", some_of(header, 8L), "."), .call = .call)
    }
    return(c(id = place))
  }
  symbol <- which(text & grepl(SYMBOL_COLUMN, plain))
  # identifiers may be numbers (Entrez), in the first column only
  candidates <- text | (seq_along(plain) == 1L & grepl(ID_COLUMN, plain) &
                          !anyDuplicated(cells[, 1L]))
  id <- setdiff(which(candidates & !grepl(ANNOTATION, plain)), symbol)
  named <- id[grepl(ID_COLUMN, plain[id])]
  id <- c(named, id)
  # a description repeats itself, identifiers do not
  distinct <- vapply(id, function(k) length(unique(cells[, k])), 0L)
  id <- id[distinct > 0.5 * nrow(cells) | nrow(cells) < 3L]
  if (!length(id) && !length(symbol)) {
    stop_file(path, "has no column of gene names.",
              x = paste0("Its columns: ", some_of(header, 6L), "."),
              i = "Put the names in the first column, or name theirs as `gene_column`.",
              .call = .call)
  }
  if (!length(id)) return(c(id = symbol[1L]))
  c(id = id[1L], if (length(symbol)) c(symbol = symbol[1L]))
}

# HTSeq and STAR write no header: genes, then one column, or three for the strands.
read_headless <- function(path, table, .call) {
  cells <- table$cells
  wide <- ncol(cells)
  star <- wide == 4L && any(cells[, 1L] %in% c("N_unmapped", "N_noFeature"))
  if (wide > 2L && !star) {
    stop_file(path, "has no header with the names of samples.",
              x = paste0("Its first line has numbers: ", some_of(cells[1L, ], 4L), "."),
              i = "Add a line with a name per column.", .call = .call)
  }
  columns <- lapply(seq_len(wide)[-1L], function(k) column_numbers(cells[, k], FALSE))
  for (k in seq_along(columns)) {
    if (length(columns[[k]]$bad)) {
      table$header <- paste("column", seq_len(wide))
      stop_no_number(path, table, k + 1L, columns[[k]]$bad[1L], .call)
    }
  }
  genes <- !grepl("^(__|N_(unmapped|multimapping|noFeature|ambiguous)$)", cells[, 1L])
  values <- vapply(columns, `[[`, numeric(nrow(cells)), "values")
  values <- matrix(values, nrow(cells))[genes, , drop = FALSE]
  notes <- character()
  chosen <- 1L
  if (star) {
    sums <- colSums(values)
    ratio <- sums[2L] / max(sums[3L], 1)
    # a stranded library has one strand at least five times as often
    chosen <- if (ratio > 5) 2L else if (ratio < 0.2) 3L else 1L
    notes <- paste0("Of STAR's columns, taken: ",
                    c("unstranded", "first strand", "second strand")[chosen], ".")
  }
  counts <- matrix(values[, chosen], ncol = 1L, dimnames = list(NULL, sample_of_file(path)))
  new_read(counts, data.frame(id = cells[genes, 1L]), notes = notes)
}

# Names of BAM files, as featureCounts writes them, without what they share.
bam_names <- function(names) {
  plain <- sub("\\.?(Aligned)?(\\.sortedByCoord)?(\\.out)?\\.(bam|sam|cram)$", "", basename(names),
               ignore.case = TRUE)
  plain <- sub("[._-]+$", "", plain)
  if (anyDuplicated(plain) || any(plain == "")) names else plain
}

read_feature_counts <- function(path, .call = caller_env()) {
  found <- read_table_counts(path, .call = .call)
  colnames(found$counts) <- bam_names(colnames(found$counts))
  found$notes <- character()
  found
}

# GCT 1.2 and 1.3: size on the second line, then the table; in 1.3 with metadata of
# columns below the header and of rows beside the names.
read_gct <- function(path, .call = caller_env()) {
  lines <- file_lines(path, .call = .call)
  size <- suppressWarnings(as.numeric(strsplit(lines[2L], "[\t ,]+")[[1L]]))
  size <- size[!is.na(size)]
  if (length(size) < 2L) {
    stop_file(path, "has no size on its second line.",
              x = paste0("It is \"", substr(lines[2L], 1L, 40L), "\"."),
              i = "A GCT file tells its numbers of rows and columns there.", .call = .call)
  }
  size <- c(size, 0, 0)[1:4]
  body <- lines[-(1:2)]
  body <- body[nzchar(body)]
  besides <- size[3:4] # of rows and of columns
  if (trimws(lines[1L]) == "#1.2") besides <- c(1, 0)
  fields <- strsplit(paste0(body, "\tend"), "\t", fixed = TRUE)
  wide <- 2 + besides[1L] + size[2L]
  rows <- length(body) - 1 - besides[2L]
  if (rows != size[1L] || any(lengths(fields) != wide)) {
    odd <- which(lengths(fields) != wide)
    stop_file(path, "is not of the size that it tells.",
              x = paste0("Told: ", count_text(size[1L]), " rows x ", count_text(size[2L]),
                         " columns; there are ", count_text(rows), " rows",
                         if (length(odd)) paste0(", and line ", odd[1L] + 2L, " has ",
                                                 lengths(fields)[odd[1L]] - 1L, " fields"), "."),
              i = "It may have been cut off: fetch or write it again.", .call = .call)
  }
  cells <- do.call(rbind, fields)[, seq_len(wide - 1L), drop = FALSE]
  header <- cells[1L, ]
  above <- seq_len(besides[2L]) + 1L
  first <- seq_len(besides[1L] + 1L)
  body_cells <- cells[-c(1L, above), , drop = FALSE]
  values <- suppressWarnings(as.numeric(body_cells[, -first]))
  bad <- which(is.na(values) & !body_cells[, -first] %in% MISSING_TEXT)
  if (length(bad)) {
    n <- nrow(body_cells)
    stop_file(path, "has counts that are no numbers.",
              x = paste0("\"", body_cells[, -first][bad[1L]], "\" in column \"",
                         header[-first][(bad[1L] - 1L) %/% n + 1L], "\", gene \"",
                         body_cells[(bad[1L] - 1L) %% n + 1L, 1L], "\"."),
              i = "Write numbers, or NA and leave the gene out.", .call = .call)
  }
  counts <- matrix(values, nrow(body_cells), dimnames = list(NULL, header[-first]))
  genes <- data.frame(id = body_cells[, 1L])
  # what GTEx calls a description is the symbol
  if (besides[1L] >= 1) {
    beside <- body_cells[, 2L]
    if (mean(grepl("^[A-Za-z0-9._-]{1,20}$", beside)) > 0.9 && !all(beside == genes$id) &&
          !all(tolower(beside) %in% c("na", MISSING_TEXT))) {
      genes$symbol <- beside
    }
  }
  metadata <- if (length(above)) {
    table <- as.data.frame(t(cells[above, -first, drop = FALSE]), row.names = header[-first])
    names(table) <- cells[above, 1L]
    utils::type.convert(table, as.is = TRUE)
  }
  new_read(counts, genes, metadata)
}
