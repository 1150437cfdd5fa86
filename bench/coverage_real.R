# Coverage of the default 95 % intervals on real mixtures of known composition:
# prints tables, fails nothing.
# Usage: Rscript bench/coverage_real.R [choose]
#
# Per set and reference: share of intervals that hold the truth, median and mean
# width, and the root mean squared error in units of the mean standard error; for
# intervals of the shares and for those without the error that the genes of a type
# share ("within").  "choose" also shows which constants of that error each set
# would have had if the others had chosen them, and how it then fares.
#
# A set is a function of the folder of the data that returns a list, or a list of
# such lists:
#   set         name
#   bulk        genes x samples
#   truth       types or groups x samples, shares that sum to 1
#   cells       are these shares of cells (else of mRNA)?
#   groups      the row of `truth` of each type of a reference, by type name; NULL
#               where they are the same.  Types without a row stay out of the sum.
#   references  signatures, named
# Sets whose folder is missing are skipped.  Add one to SETS.
library(unalloy)
library(Matrix)

root <- Sys.getenv("UNALLOY_DATA", "../shared/data")
options(cli.progress_show_after = Inf)

table_of <- function(file) utils::read.delim(gzfile(file), check.names = FALSE)
matrix_of <- function(file) {
  table <- table_of(file)
  out <- as.matrix(table[-1])
  rownames(out) <- table[[1]]
  out
}
shares_of <- function(x) x / rep(colSums(x), each = nrow(x))

# References: counts, types and donors of cells.
cells_of <- function(folder) {
  cells <- table_of(file.path(folder, "cells.tsv"))
  genes <- table_of(file.path(folder, "genes.tsv"))
  counts <- methods::as(Matrix::readMM(gzfile(file.path(folder, "counts.mtx.gz"))),
                        "CsparseMatrix")
  dimnames(counts) <- list(if (is.null(genes$symbol)) genes[[1]] else genes$symbol, cells$cell)
  list(counts = counts, cells = cells)
}
signatures_of <- function(counts, types, donors = NULL) {
  suppressWarnings(suppressMessages(build_signatures(counts, types, donors)))
}
zheng <- function(root) {
  x <- cells_of(file.path(root, "zheng_pbmc_facs"))
  signatures_of(x$counts, x$cells$subpop)
}
kang_cells <- function(root) {
  x <- cells_of(file.path(root, "kang2018_pbmc"))
  known <- !x$cells$celltype %in% c(NA, "") & !is.na(x$cells$donor)
  list(counts = x$counts[, known], cells = x$cells[known, ])
}
kang <- function(root, without = character()) {
  x <- kang_cells(root)
  kept <- x$cells$stim == "ctrl" & !x$cells$donor %in% without
  signatures_of(x$counts[, kept], x$cells$celltype[kept], x$cells$donor[kept])
}
# Of blood, those whose folder is there.
blood <- function(root) {
  there <- dir.exists(file.path(root, c(zheng = "zheng_pbmc_facs", kang = "kang2018_pbmc")))
  lapply(list(zheng = zheng, kang = kang)[there], function(f) f(root))
}
BLOOD <- c("B cell" = "B", "T cell" = "T", "NK cell" = "NK", "CD14+" = "Mono", "CD34+" = "CD34",
           "B Activated" = "B", "B" = "B", "CD14 Mono" = "Mono", "CD16 Mono" = "Mono",
           "CD4 Memory T" = "T", "CD4 Naive T" = "T", "CD8 T" = "T", "T activated" = "T",
           "NK" = "NK", "DC" = "DC", "pDC" = "DC", "Mk" = "Mk", "Eryth" = "Ery")
LYMPHOID <- c("T", "B", "NK", "Mono")

SETS <- list(
  hoek_gse64655 = function(root) {
    folder <- file.path(root, "hoek_gse64655")
    list(set = "hoek", bulk = matrix_of(file.path(folder, "bulk.tsv.gz")),
         truth = shares_of(t(matrix_of(file.path(folder, "truth.tsv")))[LYMPHOID, ]),
         cells = TRUE, groups = BLOOD[BLOOD %in% LYMPHOID], references = blood(root))
  },
  monaco_gse107011 = function(root) {
    folder <- file.path(root, "monaco_gse107011")
    truth <- t(matrix_of(file.path(folder, "truth_percent.tsv")))
    truth <- truth[c("T.Cells", "B.Cells", "NK", "Monocytes"), ]
    rownames(truth) <- LYMPHOID
    list(set = "monaco", bulk = matrix_of(file.path(folder, "bulk.tsv.gz")),
         truth = shares_of(truth), cells = TRUE, groups = BLOOD[BLOOD %in% LYMPHOID],
         references = blood(root))
  },
  # Sorted cells: shares of cells are those of mRNA.
  corces_gse74246 = function(root) {
    folder <- file.path(root, "corces_gse74246")
    samples <- table_of(file.path(folder, "samples.tsv"))
    own <- c(Mono = "Mono", Bcell = "B", NKcell = "NK", CD4Tcell = "T", CD8Tcell = "T",
             HSC = "CD34", MPP = "CD34", CMP = "CD34", LMPP = "CD34", MEP = "CD34", GMP = "CD34")
    samples <- samples[samples$group == "normal" & samples$label %in% names(own), ]
    counts <- matrix_of(file.path(folder, "counts.tsv.gz"))
    lapply(names(blood(root)), function(reference) {
      groups <- c(LYMPHOID, if (reference == "zheng") "CD34")
      part <- samples[own[samples$label] %in% groups, ]
      truth <- outer(groups, own[part$label], "==") * 1
      dimnames(truth) <- list(groups, part$sample)
      list(set = "corces", bulk = counts[, part$sample], truth = truth, cells = FALSE,
           groups = BLOOD[BLOOD %in% groups], references = blood(root)[reference])
    })
  },
  gse19830_liver_brain_lung = function(root) {
    folder <- file.path(root, "gse19830_liver_brain_lung")
    expression <- matrix_of(file.path(folder, "expr_linear.tsv.gz"))
    truth <- t(matrix_of(file.path(folder, "truth.tsv")))
    pure <- apply(truth, 2, max) == 1
    profiles <- sapply(rownames(truth), function(type) {
      rowMeans(expression[, colnames(truth)[truth[type, ] == 1]])
    })
    list(set = "rat", bulk = expression[, colnames(truth)[!pure]], truth = truth[, !pure],
         cells = FALSE, groups = NULL, references = list(pure = profiles))
  },
  # Wells of one mix and amount pooled; pure wells are references.
  rnamix_lung_lines = function(root) {
    folder <- file.path(root, "rnamix_lung_lines")
    lines <- c("HCC827", "H1975", "H2228")
    platforms <- lapply(c(celseq2 = "celseq2", sortseq = "sortseq"), function(platform) {
      wells <- matrix_of(file.path(folder, paste0("wells_", platform, ".tsv.gz")))
      truth <- table_of(file.path(folder, paste0("truth_", platform, ".tsv")))
      wells <- wells[, truth$well]
      pure <- apply(truth[lines], 1, max) > 0.99
      pool <- paste(truth$mix, truth$amount_pg, "pg")
      used <- !pure & truth$amount_pg >= 7.5
      bulk <- t(rowsum(t(wells[, used]), pool[used]))
      shares <- t(truth[match(colnames(bulk), pool), lines])
      colnames(shares) <- colnames(bulk)
      list(bulk = bulk, truth = shares_of(shares),
           pure = signatures_of(wells[, pure], lines[max.col(truth[pure, lines])]))
    })
    cells <- matrix_of(file.path(folder, "cells_celseq2.tsv.gz"))
    types <- table_of(file.path(folder, "cells_celseq2_types.tsv"))
    references <- list(cells = signatures_of(cells[, types$cell], types$type),
                       "pure celseq2" = platforms$celseq2$pure,
                       "pure sortseq" = platforms$sortseq$pure)
    lapply(names(platforms), function(platform) {
      list(set = "rnamix", name = paste("rnamix", platform), bulk = platforms[[platform]]$bulk,
           truth = platforms[[platform]]$truth, cells = FALSE, groups = NULL,
           references = references)
    })
  },
  # The labelled cells of each donor as one bulk; the other half of the donors,
  # unstimulated, as reference.
  kang2018_pbmc = function(root) {
    x <- kang_cells(root)
    donors <- sort(unique(x$cells$donor))
    halves <- list("half 1" = donors[c(TRUE, FALSE)], "half 2" = donors[c(FALSE, TRUE)])
    parts <- expand.grid(half = names(halves), stim = c("ctrl", "stim"), stringsAsFactors = FALSE)
    lapply(seq_len(nrow(parts)), function(i) {
      held <- halves[[parts$half[i]]]
      reference <- kang(root, held)
      kept <- which(x$cells$donor %in% held & x$cells$stim == parts$stim[i] &
                      x$cells$celltype %in% colnames(reference))
      by <- split(kept, x$cells$donor[kept])
      groups <- BLOOD[names(BLOOD) %in% colnames(reference)]
      truth <- sapply(by, function(own) {
        type <- factor(BLOOD[x$cells$celltype[own]], unique(groups))
        tapply(Matrix::colSums(x$counts[, own]), type, sum, default = 0)
      })
      list(set = "kang", name = paste("kang", parts$stim[i]),
           bulk = sapply(by, function(own) Matrix::rowSums(x$counts[, own])),
           truth = shares_of(truth), cells = FALSE, groups = groups,
           references = stats::setNames(list(reference), parts$half[i]))
    })
  }
)

# Sums of types over groups, as shares of the types that have one.
grouped <- function(fit, pair, of = "shares") {
  types <- rownames(fit$proportions)
  groups <- if (is.null(pair$groups)) stats::setNames(types, types) else pair$groups
  groups <- groups[names(groups) %in% types]
  merged <- merge_types(fit, groups = data.frame(type = names(groups), group = unname(groups)),
                        among = names(groups), of = of,
                        what = if (pair$cells) "cell_fractions" else "proportions")
  as.data.frame(merged)
}

score <- function(table, truth) {
  table <- table[table$node %in% rownames(truth), ]
  t <- truth[cbind(as.character(table$node), as.character(table$sample))]
  width <- table$upper - table$lower
  # shares of exactly 0 and 1 are met up to rounding
  data.frame(cover = mean(table$lower - 1e-9 <= t & t <= table$upper + 1e-9),
             width = stats::median(width), mean_width = mean(width),
             error = sqrt(mean((table$estimate - t)^2)) / mean(table$std_error, na.rm = TRUE))
}

read_sets <- function() {
  found <- lapply(names(SETS), function(folder) {
    if (!dir.exists(file.path(root, folder))) return(NULL)
    set <- SETS[[folder]](root)
    if (is.null(set$bulk)) set else list(set)
  })
  sets <- do.call(c, found)
  do.call(c, lapply(sets, function(set) {
    lapply(names(set$references), function(reference) {
      set$pair <- paste(if (is.null(set$name)) set$set else set$name, reference, sep = " / ")
      set$signatures <- set$references[[reference]]
      set$references <- NULL
      set
    })
  }))
}

fit_pair <- function(pair) {
  suppressWarnings(deconvolve_bulk(pair$signatures, pair$bulk, verbose = FALSE))
}

# The prior's constants: the narrowest intervals on the grid whose coverage, as the mean over
# sets, is 0.95 or more.
choose <- function(pairs, fits, sizes) {
  grid <- expand.grid(floor = seq(0.06, 0.18, 0.02), per_gene_error = seq(0.2, 0.5, 0.05))
  set <- vapply(pairs, `[[`, "", "set")
  scores <- lapply(seq_len(nrow(grid)), function(i) {
    do.call(rbind, Map(function(pair, fit, sizes) {
      prior <- grid$floor[i]^2 + (grid$per_gene_error[i] * fit$gene_error)^2
      fit$settings$type_error <- sqrt(prior + 0.25 / sizes)
      score(grouped(fit, pair), pair$truth)[c("cover", "width", "mean_width")]
    }, pairs, fits, sizes))
  })
  by_set <- function(name, sets) {
    vapply(scores, function(x) mean(tapply(x[[name]], set, mean)[sets]), 0)
  }
  best <- function(sets) {
    enough <- which(by_set("cover", sets) >= 0.95)
    if (!length(enough)) return(which.max(by_set("cover", sets)))
    enough[which.min(by_set("width", sets)[enough])]
  }
  rows <- lapply(unique(set), function(out) {
    i <- best(setdiff(set, out))
    cbind(left_out = vapply(pairs[set == out], `[[`, "", "pair"), grid[i, ],
          scores[[i]][set == out, ], row.names = NULL)
  })
  list(left_out = do.call(rbind, rows), all = grid[best(unique(set)), ])
}

if (!interactive() && sys.nframe() == 0L) {
  pairs <- read_sets()
  if (!length(pairs)) stop("The data sets are not at hand: set UNALLOY_DATA.")
  fits <- lapply(pairs, fit_pair)
  rows <- Map(function(pair, fit) {
    within <- score(grouped(fit, pair, "differences"), pair$truth)
    cbind(pair = pair$pair, n = length(pair$truth), within = within[c("cover", "width", "error")],
          score(grouped(fit, pair), pair$truth), sd = mean(type_error(fit)$sd))
  }, pairs, fits)
  table <- do.call(rbind, rows)
  numbers <- vapply(table, is.numeric, NA)
  table[numbers] <- round(table[numbers], 2)
  cat("\ncover, width (median), mean_width; error: root mean squared error in standard errors;\n",
      "sd: mean log error that the genes of a type share; within: without it\n\n", sep = "")
  print(table, row.names = FALSE, right = FALSE)
  cat("\nMean over pairs:", paste(names(table)[numbers],
                                   format(round(colMeans(table[numbers]), 3)),
                                    collapse = ", "), "\n")
  if ("choose" %in% commandArgs(TRUE)) {
    cells <- lapply(fits, function(fit) {
      n <- fit$signatures$cells
      if (anyNA(n)) rep(Inf, length(n)) else n
    })
    chosen <- choose(pairs, fits, cells)
    cat("\nConstants chosen without a set, and how it then fares (prior alone):\n\n")
    print(cbind(chosen$left_out[1:3], round(chosen$left_out[4:6], 2)), row.names = FALSE,
          right = FALSE)
    cat("\nMean coverage of left-out pairs", round(mean(chosen$left_out$cover), 3), "least",
        round(min(chosen$left_out$cover), 3), "mean width",
        round(mean(chosen$left_out$mean_width), 3), "median", round(mean(chosen$left_out$width), 3),
        "\nChosen by all sets:", paste(names(chosen$all), chosen$all), "\n")
  }
}
