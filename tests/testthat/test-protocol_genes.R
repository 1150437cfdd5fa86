classes_of <- function(genes, species = "human", id = "symbol") {
  found <- protocol_genes(species, id, genes = genes)
  found$class[match(genes, found$gene)]
}

test_that("human symbols of each class are found", {
  members <- list(
    mitochondrial = c("MT-ND1", "MT-CO1", "MT-CYB", "MT-RNR2", "MT-TL1", "MTRNR2L12", "MTND1P23",
                      "MTATP6P1", "MTCO1P12", "ND4L", "COX1", "CYTB"),
    ribosomal = c("RPL3", "RPL7A", "RPL13A", "RPL36AL", "RPL41", "RPL22L1", "RPL26L1", "RPL39L",
                  "RPLP0", "RPLP2", "RPS2", "RPS3A", "RPS4X", "RPS4Y1", "RPS27A", "RPS27L",
                  "RPSA", "RPSAP58", "RPL23AP32", "RPL17-C18orf32", "RPS10-NUDT3", "FAU", "UBA52",
                  "RACK1", "GNB2L1"),
    haemoglobin = c("HBA1", "HBA2", "HBB", "HBD", "HBE1", "HBG1", "HBG2", "HBM", "HBQ1", "HBZ"),
    nuclear = c("MALAT1", "NEAT1", "XIST", "MEG3", "KCNQ1OT1"),
    translation = c("EEF1A1", "EEF1B2", "EEF1D", "EEF1G", "EEF2", "EIF1", "EIF1AX", "EIF2S3",
                    "EIF3A", "EIF3CL", "EIF4A2", "EIF4E2", "EIF4G2", "EIF5A", "TPT1", "NACA",
                    "BTF3", "PABPC1", "EEF1A1P5"),
    histone = c("H1-2", "H1-5", "H2AC6", "H2BC12", "H2BC12L", "H3C2", "H4C3", "H4C16", "HIST1H1E",
                "HIST1H2AC", "HIST1H2BK", "HIST2H2AA3", "HIST1H3D", "HIST1H4C", "HIST4H4"),
    small_rna = c("RNU6-1", "RNU4ATAC", "RNVU1-7", "SNORA73B", "SNORD3A", "SCARNA2", "RN7SK",
                  "RN7SL1", "7SK", "Y_RNA", "RNY1", "RMRP", "RPPH1", "MIR155", "MIRLET7A1",
                  "RNA5SP149", "RNA18SN5", "RNA5-8SN2", "VTRNA1-1", "TRA-AGC1-1"),
    clonal = c("IGHV3-23", "IGHV3OR16-9", "IGHVII-30-1", "IGLVI-70", "IGKV1D-39", "IGLV2-14",
               "IGHD3-10", "IGHJ4", "IGKJ2", "TRAV12-2", "TRBV20-1", "TRAJ33", "TRBD1", "TRGV9",
               "TRDV2", "TRGJP1")
  )
  for (class in names(members)) {
    expect_equal(classes_of(members[[!!class]]), rep(!!class, length(members[[!!class]])))
  }
  expect_named(PROTOCOL_PATTERNS, names(members))
})

test_that("human symbols that only look alike are not", {
  others <- c(
    "MTOR", "MTHFD1", "MT1X", "MT2A", "MTRF1", "MTRR", "MTCH1", "MTA1", "MTND", "COX17", "COX4I1",
    "ATP6V0C", "NDUFA1",
    "RPS6KA1", "RPS6KB2", "RPS6KC1", "RPS6KL1", "RPS19BP1", "RPL34-DT", "RPL30-AS1", "RPL7L1",
    "RPL3L", "RPL10L", "RPN1", "RPA1", "RPUSD1", "RPLX", "MRPL12", "MRPS6", "FAUST", "UBB", "UBC",
    "HBEGF", "HBP1", "HBS1L", "HBB-LCR", "MB", "HEBP1",
    "SNHG1", "GAS5", "NORAD", "XISTX",
    "EEF1AKMT1", "EEF1A2", "EEF1E1", "EEF2K", "EEF2KMT", "EEFSEC", "EIF2AK2", "EIF4EBP1",
    "EIF4ENIF1", "EIF1AD", "EIF2A", "PABPC1L", "PABPN1", "NACAD", "BTF3L4", "BTF3-DT",
    "H1-0", "H1-10", "H2AX", "H2AZ1", "H2AJ", "H3-3A", "H3-3B", "H1F0", "H1FX", "H2AFZ", "H3F3B",
    "H19", "HIST", "HINT1",
    "SNORC", "MIR155HG", "MIR22HG", "MIR4435-2HG", "MIRLET7BHG", "RNASE1", "RNASEH2A", "RNF7",
    "U2AF1", "UBL5", "TERF1", "VTN",
    "IGHM", "IGHD", "IGHG1", "IGHA1", "IGKC", "IGLC2", "IGLL1", "IGHMBP2", "TRAC", "TRBC2",
    "TRDC", "TRGC1", "TRADD", "TRAF3", "TRDN", "TRAPPC2", "TRA2B", "JCHAIN", "VPREB1",
    "CD3E", "MS4A1", "LYZ", "GAPDH", "ACTB", "B2M"
  )
  expect_equal(others[!is.na(classes_of(others))], character())
})

test_that("mouse symbols are told by the same classes", {
  members <- c(
    "mt-Nd1" = "mitochondrial", "mt-Rnr2" = "mitochondrial", "Rpl13a" = "ribosomal",
    "Rps3a1" = "ribosomal", "Rpl9-ps6" = "ribosomal", "Rps27rt" = "ribosomal",
    "Rpsa-ps10" = "ribosomal", "Rplp1" = "ribosomal", "Rack1" = "ribosomal",
    "Hba-a1" = "haemoglobin", "Hbb-bs" = "haemoglobin", "Hbb-bh1" = "haemoglobin",
    "Hbq1b" = "haemoglobin", "Malat1" = "nuclear", "Rian" = "nuclear", "Eef1a1" = "translation",
    "Eif3j1" = "translation", "Eif2s3y" = "translation", "Hist1h1c" = "histone",
    "H1f2" = "histone", "H2ac4" = "histone", "H4c1" = "histone", "Snord118" = "small_rna",
    "Rn7sk" = "small_rna", "Rn7s2" = "small_rna", "Rny1" = "small_rna", "Mir142" = "small_rna",
    "Mirlet7a-1" = "small_rna", "Ighv1-80" = "clonal", "Igkv3-4" = "clonal", "Trav7-2" = "clonal"
  )
  expect_equal(classes_of(names(members), "mouse"), unname(members))
  others <- c("Mtor", "Mt1", "Rps6ka1", "Rpl3l", "Hbegf", "Hbp1", "Hbs1l", "Eif2ak2", "Eef2k",
              "H1f0", "H2az1", "H3f3a", "H3f3b", "Mir155hg", "Mir142hg", "Snhg1", "Ighm", "Ighd",
              "Igkc", "Trac", "Trbc1", "Traf3", "Tradd", "Cd3e", "Mrpl12")
  expect_equal(others[!is.na(classes_of(others, "mouse"))], character())
})

test_that("what is listed by default belongs to the class it is listed in", {
  for (species in c("human", "mouse")) {
    listed <- protocol_genes(species)
    expect_equal(classes_of(listed$gene, species), listed$class)
    expect_false(anyDuplicated(listed$gene) > 0)
    expect_false(anyNA(listed$reason))
  }
})

test_that("Ensembl identifiers give the classes of their symbols", {
  table <- protocol_gene_table()
  expect_equal(class_of_symbol(table$symbol), table$class)
  expect_match(table$ensembl, "^ENSG\\d{11}$")
  expect_setequal(protocol_genes(id = "ensembl")$gene, table$ensembl)
  # MT-ND1, RPL13A, HBB, MALAT1, EEF1A1; CD3E, MTOR
  ids <- c("ENSG00000198888", "ENSG00000142541.18", "ENSG00000244734", "ENSG00000251562",
           "ENSG00000156508", "ENSG00000198851", "ENSG00000198793")
  expect_equal(classes_of(ids, id = "ensembl"),
               c("mitochondrial", "ribosomal", "haemoglobin", "nuclear", "translation", NA, NA))
  # all 13 mRNAs and both rRNAs of the mitochondrion
  expect_equal(sum(grepl("^MT-(ND|CO|CYB|ATP|RNR)", table$symbol)), 15)
})

test_that("classes can be chosen, and only the user's genes are returned", {
  genes <- c("CD3E", "HBB", "RPL3", "MT-CO1", "RPL3")
  expect_equal(protocol_genes(genes = genes, classes = "ribosomal")$gene, c("RPL3", "RPL3"))
  expect_equal(protocol_genes(genes = genes, classes = c("haemoglobin", "mitochondrial"))$gene,
               c("HBB", "MT-CO1"))
  expect_equal(nrow(protocol_genes(genes = "CD3E")), 0)
  expect_named(protocol_genes(genes = character()), c("gene", "class", "reason"))
})

test_that("the nomenclature of a mixed list is read gene by gene", {
  genes <- c("ENSG00000198888.2", "MT-CO1", "CD3E", "ENSG00000198851")
  expect_equal(find_protocol_genes(genes), genes[1:2])
  expect_equal(find_protocol_genes(character()), character())
})

test_that("refusals name the culprit", {
  expect_refusal(protocol_genes("mouse", "ensembl"), "no_gene_table")
  expect_refusal(find_protocol_genes(c("ENSMUSG00000064341", "ENSMUSG00000064345")),
                 "no_gene_table")
  expect_snapshot(error = TRUE, {
    protocol_genes("mouse", "ensembl")
    protocol_genes("rat")
    protocol_genes(classes = c("ribosomal", "ribo"))
    protocol_genes(genes = 1:3)
  })
})
