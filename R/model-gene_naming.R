# How genes are named, told from the names alone.

# Beginnings of Ensembl's identifiers by species.
ENSEMBL_SPECIES <- c(human = "ENS[GT]", mouse = "ENSMUS[GT]", rat = "ENSRNO[GT]",
                     zebrafish = "ENSDAR[GT]", pig = "ENSSSC[GT]", macaque = "ENSMMU[GT]")

# A list: `kind` ("symbol", "ensembl", "transcript", "entrez", "refseq", "probe" or
# "unknown"), `species` (or NA) and `share` of the names that are of this kind.
gene_naming <- function(names) {
  names <- as.character(names)
  shares <- c(
    ensembl = mean(grepl("^ENS[A-Z]*G[0-9]{6,}", names)),
    transcript = mean(grepl("^ENS[A-Z]*T[0-9]{6,}", names)),
    entrez = mean(grepl("^[0-9]{1,9}$", names)),
    refseq = mean(grepl("^[NX][MR]_[0-9]+", names)),
    probe = mean(grepl("^(ILMN_[0-9]+|.+_at|A_[0-9]+_P[0-9]+)$", names))
  )
  kind <- names(which.max(shares))
  if (length(names) && max(shares) > 0.5) {
    species <- if (kind %in% c("ensembl", "transcript")) ensembl_species(names) else NA_character_
    return(list(kind = kind, species = species, share = max(shares)))
  }
  # symbols are told by those that every transcriptome has
  known <- names[!is.na(class_of_symbol(names))]
  if (length(known) < max(2, 0.001 * length(names))) {
    return(list(kind = "unknown", species = NA_character_, share = 0))
  }
  # human symbols are written in capitals, MT-CO1; those of mouse mt-Co1, Rpl3
  capitals <- mean(known == toupper(known))
  species <- if (capitals > 0.9) "human" else if (capitals < 0.1) "mouse" else NA_character_
  list(kind = "symbol", species = species, share = 1 - max(shares))
}

ensembl_species <- function(names) {
  hits <- vapply(paste0("^", ENSEMBL_SPECIES, "[0-9]"), function(x) mean(grepl(x, names)), 0)
  names(hits) <- names(ENSEMBL_SPECIES)
  if (max(hits) > 0.5) names(which.max(hits)) else NA_character_
}

KIND_LABELS <- c(symbol = "symbols", ensembl = "Ensembl identifiers",
                 transcript = "Ensembl transcripts", entrez = "Entrez identifiers",
                 refseq = "RefSeq transcripts", probe = "probes of arrays",
                 unknown = "names of an unknown kind")

# "symbols of mouse", "Ensembl identifiers of human"
naming_text <- function(naming) {
  of <- if (is.na(naming$species)) "" else paste0(" (", naming$species, ")")
  paste0(KIND_LABELS[[naming$kind]], of)
}
