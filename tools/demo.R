# Deconvolves a simulated example, or the user's files; called by `make demo`.
#   BULK      counts as `read_counts()` reads them: a table, featureCounts, Salmon, ...
#   CELLS     single-cell counts with a table of cells: a folder, .h5ad, .rds
#   LABELS    column of the cell table with the cell types
#   DONORS    column with the donors (optional)
#   LENGTHS   table with gene names, `length` and perhaps `weight` (optional)
suppressPackageStartupMessages(library(unalloy))
source("tools/read_tables.R")

`%||%` <- rlang::`%||%`
option <- function(name) {
  value <- Sys.getenv(name)
  if (nzchar(value)) value
}
section <- function(title) cat("\n", title, "\n", strrep("-", nchar(title)), "\n", sep = "")
seconds <- function(expr) system.time(expr)[["elapsed"]]

simulated_example <- function() {
  sim <- simulate_bulk(n_genes = 5000, n_types = 8, n_samples = 24, seed = 1)
  print(sim)
  list(bulk = sim$bulk_counts, cells = sim$reference, types = sim$cells$cell_type,
       donors = sim$cells$donor, lengths = sim$gene_lengths, truth = sim$truth_mrna)
}

user_files <- function() {
  if (is.null(option("BULK")) || is.null(option("CELLS")) || is.null(option("LABELS"))) {
    fail("BULK, CELLS and LABELS belong together; missing: ",
         some(Filter(function(name) is.null(option(name)), c("BULK", "CELLS", "LABELS"))), ".\n",
         "Usage: make demo BULK=counts.tsv.gz CELLS=folder LABELS=column ",
         "[DONORS=column] [LENGTHS=table.tsv.gz]")
  }
  bulk <- read_or_fail(option("BULK"))
  cells <- read_or_fail(option("CELLS"), genes = rownames(bulk$counts))
  lengths <- if (!is.null(option("LENGTHS"))) read_lengths(option("LENGTHS"))
  donors <- if (!is.null(option("DONORS"))) cell_column(cells, option("DONORS"), "DONORS")
  print(bulk)
  print(cells)
  list(bulk = bulk$counts, cells = cells$counts, donors = donors,
       lengths = lengths %||% bulk$gene_lengths,
       types = cell_column(cells, option("LABELS"), "LABELS"))
}

# Estimates and truth side by side, as far as a screen shows them.
print_proportions <- function(shares, truth) {
  shown <- colnames(shares)[seq_len(min(8L, ncol(shares)))]
  print(round(shares[, shown, drop = FALSE], 3))
  if (ncol(shares) > length(shown)) {
    cat("... and", ncol(shares) - length(shown), "more samples in demo/proportions.tsv\n")
  }
  if (is.null(truth)) return(invisible())
  section("Truth")
  print(round(truth[rownames(shares), shown, drop = FALSE], 3))
  absent <- setdiff(rownames(truth), rownames(shares))
  if (length(absent)) cat("In the mixtures but not in the reference:", some(absent), "\n")
  true <- truth[rownames(shares), ]
  cat(sprintf("\nOver all samples and types: RMSE %.4f, correlation %.4f\n",
              sqrt(mean((shares - true)^2)), stats::cor(as.vector(shares), as.vector(true))))
}

write_results <- function(result, truth) {
  table <- confint(result)
  if (!is.null(truth)) {
    table$truth <- truth[cbind(as.character(table$type), as.character(table$sample))]
  }
  utils::write.table(table, "demo/proportions.tsv", sep = "\t", quote = FALSE, row.names = FALSE)
}

# In inches; names of samples must stay readable, names of types too.
write_plots <- function(result, poisson) {
  n_samples <- ncol(result$proportions)
  n_types <- nrow(result$proportions)
  across <- min(40, max(8, 3 + 0.17 * n_samples))
  # "uncertainty" has a panel per type, three or four in a row.
  panels <- ceiling(n_types / 3) * (0.7 + 0.13 * min(n_samples, 40))
  sizes <- list(
    proportions = c(across, 5), heatmap = c(across, max(5, 2 + 0.25 * n_types)),
    correlation = c(across, 5), intercept = c(across, 5), fit = c(7, 6), residuals = c(7, 6),
    uncertainty = c(min(across, 14), max(5, 1 + panels))
  )
  for (type in names(sizes)) {
    # only the Poisson model has an intercept
    drawn <- if (type == "intercept") poisson else result
    name <- if (type == "intercept") "intercept_poisson" else type
    ggplot2::ggsave(paste0("demo/", name, ".png"), plot_deconvolution(drawn, type = type),
                    width = sizes[[type]][1L], height = sizes[[type]][2L], dpi = 120,
                    bg = "white", limitsize = FALSE)
  }
}

options(width = 100)
section("Input")
given <- Sys.getenv(c("BULK", "CELLS", "LABELS", "DONORS", "LENGTHS"))
input <- if (any(nzchar(given))) user_files() else simulated_example()

time_signatures <- seconds(signatures <- build_signatures(input$cells, input$types, input$donors))
time_fit <- seconds(result <- deconvolve_bulk(signatures, input$bulk, input$lengths))

section("Proportions (shares of mRNA)")
print_proportions(result$proportions, input$truth)

print_convergence <- function(result) {
  columns <- c("sample", "iterations", "gap", "converged", "reason")
  print(utils::head(result$convergence[columns], 6L), digits = 2, row.names = FALSE)
  cat("Largest gap of ", ncol(result$proportions), " samples: ",
      format(max(result$convergence$gap), digits = 2), "; converged: ",
      sum(result$convergence$converged), "\n", sep = "")
}
section("Convergence: decrease of the objective that is still promised")
print_convergence(result)

time_poisson <- seconds(
  poisson <- deconvolve_bulk(signatures, input$bulk, input$lengths, error_model = "poisson",
                             verbose = FALSE)
)
section("Certificate of the Poisson model: log-likelihood units from its optimum, at most")
print_convergence(poisson)
if (!is.null(input$truth)) {
  true <- input$truth[rownames(poisson$proportions), ]
  cat(sprintf("Its RMSE: %.4f\n", sqrt(mean((poisson$proportions - true)^2))))
}

section("Time")
cat(sprintf("%-28s %6.2f s\n", c("build_signatures", "deconvolve_bulk", "the same, Poisson model"),
            c(time_signatures, time_fit, time_poisson)), sep = "")

dir.create("demo", showWarnings = FALSE)
write_results(result, input$truth)
write_plots(result, poisson)
section("Written")
cat(paste0("demo/", list.files("demo"), "\n"), sep = "")
