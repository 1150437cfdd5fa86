# Words and numbers for messages, prints and axes.

# The first few of many names, quoted: "A", "B", "C" and 5 more.
some_of <- function(names, n = 3L) {
  quoted <- paste0("\"", utils::head(names, n), "\"", recycle0 = TRUE)
  rest <- length(names) - length(quoted)
  text <- paste(quoted, collapse = ", ")
  if (rest > 0L) paste0(text, " and ", count_text(rest), " more") else text
}

# 18,879
count_text <- function(n) format(n, big.mark = ",", scientific = FALSE, trim = TRUE)

# 18,879 genes, 1 gene
plural <- function(n, noun) paste0(count_text(n), " ", noun, if (n != 1) "s")

# M01, M02, ...
numbered <- function(letter, n) paste0(letter, formatC(seq_len(n), width = nchar(n), flag = "0"))

# Long names with their middle left out, unless that makes two of them alike.
shorten <- function(names, width = 30L) {
  half <- (width - 3L) %/% 2L
  ends <- paste0(substr(names, 1L, half), "...", substring(names, nchar(names) - half + 1L))
  short <- ifelse(nchar(names) > width, ends, names)
  if (anyDuplicated(short)) names else short
}

# As shorten(), where two may become alike.
shorten_all <- function(names, width) {
  ifelse(nchar(names) > width, paste0(substr(names, 1L, width - 3L), "..."), names)
}

number_text <- function(x, digits = 2) format(signif(x, digits), scientific = FALSE, trim = TRUE)

percent_text <- function(x, digits = 2) paste0(number_text(100 * x, digits), " %")
