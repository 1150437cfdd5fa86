level <- function(check, topic) check$findings$level[check$findings$topic == topic]
bulk <- small$bulk_counts
genes <- rownames(bulk)

# Real names, so that kinds, species and states can be told.
symbols <- c(unlist(unalloy:::STATES, use.names = FALSE), "RPL3", "RPS6", "MT-CO1", "RPL13A")
renamed <- function(x, names = symbols) {
  rownames(x)[seq_along(names)] <- names
  x
}
with_genes <- function(signatures, names = symbols) {
  signatures$profiles <- renamed(signatures$profiles, names)
  signatures$variance <- signatures$donor_counts <- NULL
  signatures
}

test_that("a good reference has no worry", {
  check <- check_reference(small_signatures, bulk)
  expect_false("worry" %in% check$findings$level)
  expect_identical(level(check, "Names of genes"), "fine")
  expect_identical(level(check, "Samples"), "fine")
  expect_snapshot(check)
  expect_identical(as.data.frame(check), check$findings)
})

test_that("species, kinds of names and orientation are told with their mend", {
  mouse <- paste0(substr(symbols, 1, 1), tolower(substring(symbols, 2)))
  mouse[mouse == "Mt-co1"] <- "mt-Co1"
  check <- check_reference(with_genes(small_signatures), renamed(bulk, mouse))
  expect_identical(level(check, "Names of genes"), "worry")
  expect_match(check$findings$code[check$findings$topic == "Names of genes"], "orthologues")
  expect_match(check$findings$text[1], "mouse", all = FALSE)
  ensembl <- bulk
  rownames(ensembl) <- sprintf("ENSG%011d", seq_len(nrow(bulk)))
  check <- check_reference(with_genes(small_signatures), ensembl)
  expect_match(check$findings$code, "convert_genes(bulk, to = \"symbol\")", fixed = TRUE,
               all = FALSE)
  check <- check_reference(small_signatures, t(bulk))
  expect_identical(check$findings$code[1], "bulk <- t(bulk)")
})

test_that("units that a fit refuses are findings, not errors", {
  check <- check_reference(small_signatures, log1p(bulk))
  expect_match(check$findings$code, "log1p", all = FALSE)
  bad <- bulk
  bad[3, 2] <- NA
  expect_identical(level(check_reference(small_signatures, bad), "Counts of the bulk"), "worry")
  million <- sweep(bulk, 2, colSums(bulk), "/") * 1e6
  expect_identical(level(check_reference(small_signatures, million), "Counts of the bulk"), "note")
})

test_that("labels that are no types and types of few cells are told", {
  odd <- small_signatures
  for (part in c("cells", "umi", "donors", "dispersion")) names(odd[[part]])[2] <- "Doublet"
  colnames(odd$profiles)[2] <- "Doublet"
  odd$variance <- odd$donor_counts <- NULL
  odd$cells[3] <- 4
  check <- check_reference(odd, bulk)
  expect_identical(level(check, "Labels"), "worry")
  expect_identical(level(check, "Cells per type"), "worry")
  # the line of code does what it says
  mended <- eval(parse(text = check$findings$code[check$findings$topic == "Labels"]),
                 list(signatures = odd))
  expect_false("Doublet" %in% colnames(mended))
})

test_that("cells in another state are told, and only then", {
  shifted <- with_genes(small_signatures)
  expect_identical(level(check_reference(shifted, renamed(bulk)), "State of the cells"), "fine")
  own <- rownames(shifted$profiles) %in% unalloy:::STATES[[1]]
  shifted$profiles[own, ] <- 30 * shifted$profiles[own, ]
  check <- check_reference(shifted, renamed(bulk))
  expect_identical(level(check, "State of the cells"), "note")
  expect_match(check$findings$text, "interferon response are [0-9]+ times higher", all = FALSE)
})

test_that("types that are alike and samples that nothing explains are told", {
  alike <- cbind(as.matrix(small_signatures), Twin = as.matrix(small_signatures)[, 1] * 1.001 +
                   1e-6 * as.matrix(small_signatures)[, 2])
  expect_true(level(check_reference(alike, bulk), "Telling types apart") %in% c("note", "worry"))
  odd <- bulk
  odd[, 2] <- rev(sort(odd[, 2]))[rank(-rowSums(bulk), ties.method = "first")][rev(order(genes))]
  set.seed(1)
  odd[, 2] <- sample(odd[, 2])
  check <- check_reference(small_signatures, odd)
  expect_match(check$findings$text, "\"Sample2\" resembles no type", all = FALSE)
})

test_that("what is neither signatures nor counts is refused", {
  expect_snapshot(error = TRUE, {
    check_reference("a", bulk)
    check_reference(small_signatures, unname(bulk))
    check_reference(small_signatures, list(1))
  })
})
