# Genes by which the state of cells shows, whatever their type.

# Symbols of genes that respond in most types of cells.  `early`: immediate early and
# heat shock genes, which rise within minutes of dissociation and sorting (van den Brink
# et al. 2017, Nature Methods 14:935).  `inflammatory`: targets of NF-kappa B, which rise
# in culture and on adherence (the hallmarks of TNF signalling and of inflammation;
# Liberzon et al. 2015, Cell Systems 1:417).  `interferon`: the hallmark of interferon
# alpha (the same).
STATE_GENES <- list(
  early = c("FOS", "FOSB", "JUN", "JUNB", "JUND", "EGR1", "EGR2", "EGR3", "ATF3", "IER2", "IER3",
            "IER5", "DUSP1", "DUSP2", "ZFP36", "NR4A1", "NR4A2", "BTG2", "KLF6", "KLF4",
            "PPP1R15A", "MCL1", "SOCS3", "RGS1", "RGS2", "HSPA1A", "HSPA1B", "DNAJB1", "HSPH1"),
  inflammatory = c("CCL2", "CCL3", "CCL4", "CCL7", "CCL8", "CCL20", "CXCL1", "CXCL2", "CXCL3",
                   "CXCL5", "CXCL8", "IL8", "IL1A", "IL1B", "IL6", "TNF", "TNFAIP3", "TNFAIP6",
                   "PTGS2", "IL1RN", "SPP1", "SOD2", "CCL3L1", "CCL4L2", "PLAUR", "NFKBIA", "ICAM1",
                   "SERPINB2"),
  interferon = c("ISG15", "ISG20", "IFI6", "IFI27", "IFI35", "IFI44", "IFI44L", "IFIT1", "IFIT2",
                 "IFIT3", "IFIT5", "IFITM3", "MX1", "MX2", "OAS1", "OAS2", "OAS3", "OASL", "RSAD2",
                 "XAF1", "HERC5", "LY6E", "IRF7", "STAT1", "EPSTI1", "CXCL10", "CXCL11", "USP18",
                 "BST2", "DDX58", "RIGI", "IFIH1", "SAMD9", "SAMD9L", "CMPK2", "PLSCR1", "TNFSF10")
)
STATE_NAMES <- c(early = "the early response to stress and dissociation",
                 inflammatory = "the inflammatory response, as in culture",
                 interferon = "the response to interferon")

# Genes of a state that must be measured, and the median log2 error (a factor of two) and
# p value from which on a state is said to differ between reference and bulk.
STATE_FEWEST <- 8L
STATE_ERROR <- 1
STATE_LEVEL <- 0.01

# How far the genes of each state stand above (positive) or below the fit in all samples,
# NULL without symbols: a data frame of `state`, `genes` (measured), `log2_error` (their
# median), `p_value` (of the rank test against all other genes) and `differs`.
#
# `errors` are log2 errors by gene and `level` the fitted reads per million; genes are
# measured where fit or counts reach the level from which a gene tells anything.
state_errors <- function(errors, level) {
  observed <- (level + FLOOR_CPM) * 2^errors - FLOOR_CPM
  errors <- errors[pmax(level, observed) >= FLOOR_CPM]
  symbols <- toupper(names(errors))
  rows <- lapply(names(STATE_GENES), function(state) {
    own <- symbols %in% STATE_GENES[[state]]
    if (sum(own) < STATE_FEWEST || all(own)) return(NULL)
    p <- stats::wilcox.test(errors[own], errors[!own], exact = FALSE)$p.value
    data.frame(state = state, genes = sum(own), log2_error = stats::median(errors[own]),
               p_value = p)
  })
  out <- do.call(rbind, rows)
  if (is.null(out)) return(NULL)
  out$differs <- abs(out$log2_error) >= STATE_ERROR & out$p_value <= STATE_LEVEL
  out
}
