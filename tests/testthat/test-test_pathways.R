skip_if_not_installed("limma")

test_that("GMT files are read, whatever their line ends", {
  file <- withr::local_tempfile(fileext = ".gmt.gz")
  con <- gzfile(file, "w")
  writeLines(c("ONE\tfirst\tA\tB\tB", "", "TWO\tna\tC,1.0\tD\r"), con)
  close(con)
  sets <- read_gmt(file)
  expect_equal(sets, list(ONE = c("A", "B"), TWO = c("C", "D")), ignore_attr = "description")
  expect_identical(attr(sets, "description"), c(ONE = "first", TWO = "na"))
  plain <- withr::local_tempfile()
  expect_snapshot(error = TRUE, {
    writeLines(c("ONE\tfirst\tA", "TWO\tx"), plain)
    read_gmt(plain)
    writeLines(c("ONE\tfirst\tA", "ONE\tx\tB"), plain)
    read_gmt(plain)
  }, transform = function(lines) gsub(plain, "FILE", lines, fixed = TRUE))
  expect_refusal(read_gmt("nowhere.gmt"), "gmt")
})

statistics <- with_seed_of(1, stats::setNames(rnorm(200), paste0("G", 1:200)))
sets <- list(first = paste0("G", 1:20), last = paste0("G", 181:200), tiny = paste0("G", 1:3))

test_that("over-representation is the hypergeometric tail, ranks are Wilcoxon's", {
  chosen <- names(statistics)[c(1:8, 50:60)]
  found <- test_pathways(statistics, sets, significant = chosen, correlation = 0)
  expect_setequal(found$set, c("first", "last"))
  row <- found[found$set == "first", ]
  expect_equal(row$p_over, phyper(7, 20, 180, 19, lower.tail = FALSE))
  fisher <- fisher.test(names(statistics) %in% chosen, names(statistics) %in% sets$first,
                        alternative = "greater")
  expect_equal(row$p_over, fisher$p.value)
  expect_equal(row$ratio, 8 / (20 * 19 / 200))
  wilcoxon <- wilcox.test(statistics[1:20], statistics[-(1:20)], exact = FALSE)$p.value
  # limma takes the t distribution with infinite degrees of freedom, and corrects for continuity
  expect_equal(row$p_rank, wilcoxon, tolerance = 1e-6)
  wide <- test_pathways(statistics, sets, correlation = 0.2)
  expect_gt(wide$p_rank[wide$set == "first"], row$p_rank)
})

test_that("correlation of the genes of a set is that of what the design leaves", {
  shared <- with_seed_of(2, rnorm(30))
  values <- with_seed_of(3, matrix(rnorm(100 * 30), 100, dimnames = list(paste0("G", 1:100),
                                                                         paste0("S", 1:30))))
  values[1:15, ] <- values[1:15, ] + rep(shared, each = 15)
  samples <- data.frame(group = rep(c("a", "b", "c"), 10), row.names = colnames(values))
  compared <- compare_groups(values, ~ group, samples)
  found <- test_pathways(compared, list(first = paste0("G", 1:15)), comparison = "b - a")
  rest <- residuals(lm(t(values[1:15, ]) ~ group, samples))
  rho <- cor(rest)
  expect_equal(found$correlation, mean(rho[upper.tri(rho)]), tolerance = 0.05)
  expect_identical(found$comparison, "b - a")
  expect_identical(nrow(test_pathways(compared, list(first = paste0("G", 1:15)))), 3L)
})

test_that("bad input is named, and the table is printed", {
  expect_snapshot(error = TRUE, {
    test_pathways(statistics, list(a = c("MX1", "ISG15")))
    test_pathways(statistics, sets["tiny"])
    test_pathways(statistics, unname(sets))
    test_pathways(unname(statistics), sets)
    test_pathways(statistics, sets, sizes = 5)
    test_pathways(small, sets)
  })
  expect_snapshot(test_pathways(statistics, sets, significant = c("G1", "G2")))
})
