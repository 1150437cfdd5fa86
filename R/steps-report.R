# What a report says of its methods, from the result itself.

# A paragraph for the methods section, with versions and settings.
methods_text <- function(result, formula = NULL) {
  version <- function(package) as.character(utils::packageVersion(package))
  n <- size_of(result)
  signatures <- result$signatures
  cells <- if (!is.null(signatures)) signatures$cells
  reference <- if (is.null(cells) || all(is.na(cells))) {
    paste0("Signatures of ", plural(n[1L], "cell type"), " were given as mean expression.")
  } else {
    donors <- suppressWarnings(max(signatures$donors, na.rm = TRUE))
    paste0("Signatures of ", plural(n[1L], "cell type"), " were summed from single-cell counts of ",
           plural(sum(cells), "cell"), if (is.finite(donors)) {
             paste0(" of up to ", plural(donors, "donor"), " per type")
           }, ".")
  }
  model <- if (result$error_model == "platform") {
    paste0("counts were taken as Poisson with an error of its own for every gene between the ",
           "platforms of reference and bulk (standard deviation ",
           number_text(sqrt(result$model$tau2)), " of the natural logarithm, estimated from the ",
           "samples)")
  } else {
    paste0("counts were taken as Poisson",
           if ("Intercept" %in% rownames(result$exposures)) " with a uniform background")
  }
  exponent <- result$model$length_exponent %||% result$model$exponent
  lengths <- if (!is.null(exponent) && is.finite(exponent)) {
    if (exponent == 0) "Expected counts did not depend on gene length."
    else paste0("Expected counts were proportional to gene length to the power ",
                number_text(exponent), ".")
  }
  penalties <- c(l1 = result$settings$l1_lambda, l2 = result$settings$l2_lambda)
  penalties <- penalties[penalties > 0]
  done <- sum(result$convergence$converged)
  c(paste(c(
    paste0(plural(n[2L], "bulk sample"), if (n[2L] == 1) " was" else " were", " deconvolved with ",
           "unalloy ", version("unalloy"), " in R ", getRversion(), "."),
    reference,
    paste0("Over ", plural(result$metrics$n_genes_used, "gene"), ", ", model, "."),
    lengths,
    if (length(penalties)) {
      paste0("Exposures were penalised (", paste(names(penalties), number_text(penalties),
                                                 collapse = ", "), ").")
    },
    paste0(count_text(done), " of ", plural(n[2L], "fit"), " reached ",
           if (result$error_model == "platform") "a stationary point" else "the certified optimum",
           "."),
    if (!is.null(result$cell_fractions)) {
      paste0("Shares of cells are shares of mRNA divided by the mRNA content of a cell of each ",
             "type, ",
             switch(result$cell_size_source$source %||% "given",
                    literature = "from published measurements (`literature_cell_sizes()`)",
                    reference = "the mean UMI of the reference's own cells", "as given"), ".")
    } else {
      "Shares are shares of mRNA, not of cells."
    },
    if (!is_penalised(result)) {
      paste("Intervals are of level 95 %, from the robust (sandwich) covariance and the error",
            "that the genes of a type share.")
    },
    if (!is.null(formula)) {
      paste0("Groups were compared by linear models of the shares (",
             paste(deparse(formula), collapse = " "), ") that carry their standard errors, with ",
             "p values adjusted by the method of Benjamini and Hochberg.")
    }
  ), collapse = " "))
}

# What to cite, with what it stands for.
report_references <- function(result, formula = NULL) {
  cite <- c(
    paste0("The package: ", paste(format(utils::citation("unalloy"), style = "text"),
                                  collapse = " ")),
    if (result$error_model == "poisson") {
      paste("The Poisson model: Shepp LA, Vardi Y (1982). Maximum likelihood reconstruction for",
            "emission tomography. IEEE Transactions on Medical Imaging 1:113.")
    },
    paste("Robust standard errors: White H (1982). Maximum likelihood estimation of misspecified",
          "models. Econometrica 50:1."),
    if (!is.null(formula)) {
      paste("Adjusted p values: Benjamini Y, Hochberg Y (1995). Controlling the false discovery",
            "rate. Journal of the Royal Statistical Society B 57:289.")
    },
    paste("Diagnosis: Belsley DA, Kuh E, Welsch RE (1980). Regression Diagnostics. Wiley;",
          "Hong D, Sheng Y, Dobriban E (2020). Selecting the number of components in PCA via",
          "random signflips. arXiv:2012.02985.")
  )
  gsub("\\s+", " ", cite)
}

# The largest shares of each sample with their intervals, for a page.
report_table <- function(result, n_types = 3L) {
  table <- confint(result)
  parts <- lapply(split(table, table$sample), function(own) {
    own <- own[order(-own$estimate), ]
    own <- utils::head(own, n_types)
    paste0(own$type, " ", percent_text(own$estimate), " (", percent_text(own$lower), " to ",
           percent_text(own$upper), ")")
  })
  out <- as.data.frame(do.call(rbind, parts))
  names(out) <- c("largest", "second", "third")[seq_along(out)]
  cbind(sample = names(parts), out)
}

# Columns of the samples that the pictures show: those that the formula names.
formula_tracks <- function(formula, samples) {
  if (!is.null(formula)) intersect(all.vars(formula), names(samples))
}
