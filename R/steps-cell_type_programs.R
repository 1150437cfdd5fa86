# Programs of cell_type_expression(): genes of a type that vary together.

# Profiles that a type must have for a program of its own, and the cells that a profile
# must be worth: with fewer the first component is noise.
LEAST_PROFILES <- 4L
LEAST_CELLS <- 10

# Arguments that would do nothing are refused.
check_programs_used <- function(method, covariance, programs, .call = caller_env()) {
  if (method == "allocation" && covariance == "programs") {
    stop_user("argument", "An allocation has no programs.", i = "Use `method = \"blup\"`.",
              .call = .call)
  }
  if (!is.null(programs) && covariance == "genes") {
    stop_user("argument", "`programs` is for `covariance = \"programs\"`.", .call = .call)
  }
}

# What the core takes: `loadings` (genes x programs, molecules per molecule of the type
# where the activity is 1) and `of`, the source of each; and `from`, "own", "borrowed" or
# "given", with the donor `profiles` behind it.  NULL where there is none.
cohort_programs <- function(result, programs, .call = caller_env()) {
  if (identical(programs, "none")) return(NULL)
  if (is.null(programs)) return(reference_programs(result, .call))
  given_programs(programs, result, .call)
}

reference_programs <- function(result, .call) {
  held <- result$signatures$donor_counts
  if (is.null(held)) {
    stop_user("no_programs", "Programs need donors of the reference that differ.",
              x = "The signatures were built without `donors`, or from one donor.",
              i = paste("Give `donors =` to `build_signatures()` (donor and condition, where cells",
                        "of several conditions are there), or loadings in `programs`."),
              .call = .call)
  }
  model <- result$model
  types <- colnames(model$sources)[seq_len(model$n_types)]
  # profiles of too few cells are left out
  # (signatures of version 0.1.0 do not know them)
  cells <- held$cells %||% (held$totals / result$signatures$umi[as.character(held$type)])
  kept <- which(cells >= LEAST_CELLS)
  profiles <- table(factor(held$type[kept], types))
  supported <- names(profiles)[profiles >= LEAST_PROFILES]
  kept <- kept[held$type[kept] %in% supported]
  found <- if (length(kept)) {
    counts <- gather_rows(as.matrix(held$counts[, kept, drop = FALSE]),
                          model$matching$signature_of, nrow(model$sources))
    call_rs(rs_start_programs, profiles = counts, totals = as.double(held$totals[kept]),
            of = match(held$type[kept], types), sources = model$sources[, types, drop = FALSE],
            .call = .call)
  }
  if (is.null(found$loadings)) {
    most <- if (length(profiles)) max(profiles) else 0L
    stop_user("no_programs", "The reference shows no program of any type.",
              x = paste0("A type needs ", LEAST_PROFILES, " donors with ", LEAST_CELLS,
                         " cells or more that differ beyond counting; the most that a type has is ",
                         most, "."),
              i = "Use `covariance = \"genes\"`, or give loadings in `programs`.", .call = .call)
  }
  new_programs(found$loadings, types, ifelse(found$own, "own", "borrowed"),
               ifelse(found$own, as.vector(profiles), 0L), rownames(model$sources), types)
}

# Loadings of the user: a matrix genes x types, or a list of matrices or vectors by type.
given_programs <- function(programs, result, .call) {
  model <- result$model
  types <- colnames(model$sources)[seq_len(model$n_types)]
  refuse <- function(x, i = NULL) {
    stop_user("argument", paste("`programs` must be NULL, \"none\", a matrix genes x types, or a",
                                "list of loadings by type."), x = x, i = i, .call = .call)
  }
  if (is.matrix(programs) || methods::is(programs, "Matrix")) {
    programs <- as.matrix(programs)
    programs <- stats::setNames(lapply(seq_len(ncol(programs)), function(j) programs[, j]),
                                colnames(programs))
  }
  if (!is.list(programs) || is.data.frame(programs)) {
    refuse(paste0("It is ", describe(programs), "."))
  }
  if (!length(programs)) return(NULL)
  unknown <- setdiff(names(programs), types)
  if (is.null(names(programs)) || length(unknown) || anyDuplicated(names(programs))) {
    refuse(if (length(unknown)) paste0("Unknown types: ", some_of(unknown), ".")
           else "Every program needs the name of its type, once.",
           paste0("There are ", some_of(types, length(types)), "."))
  }
  genes <- rownames(model$sources)
  parts <- lapply(programs, function(loading) {
    loading <- as.matrix(loading)
    if (!is.numeric(loading) || is.null(rownames(loading)) || any(!is.finite(loading))) {
      refuse("Loadings must be finite numbers with names of genes.")
    }
    place <- match(genes, rownames(loading))
    if (all(is.na(place))) refuse("No gene of a program is in the fit.")
    own <- unname(loading)[place, , drop = FALSE]
    own[is.na(own)] <- 0
    storage.mode(own) <- "double"
    own
  })
  of <- rep(names(parts), vapply(parts, ncol, 0L))
  loadings <- do.call(cbind, unname(parts))
  # programs of nothing are none
  kept <- colSums(loadings^2) > 0
  if (!any(kept)) return(NULL)
  new_programs(loadings[, kept, drop = FALSE], of[kept], rep("given", sum(kept)),
               rep(NA_integer_, sum(kept)), genes, types)
}

new_programs <- function(loadings, of, from, profiles, genes, types) {
  several <- of %in% of[duplicated(of)]
  names <- ifelse(several, paste(of, stats::ave(seq_along(of), of, FUN = seq_along)), of)
  dimnames(loadings) <- list(genes, names)
  list(loadings = loadings, of = match(of, types), type = of, from = from,
       profiles = as.integer(profiles))
}

# Sizes of programs learnt from the samples of `data`, and activities in all of `cohort`.
fit_programs <- function(programs, data, model, cohort, learn, threads, .call = caller_env()) {
  run <- function(data, model, sizes, learn) {
    programs$sizes <- sizes
    call_rs(rs_fit_programs, data = data, fit = model, programs = programs, learn = learn,
            threads = threads, progress = NULL, .call = .call)
  }
  n <- ncol(programs$loadings)
  learning <- model
  learning$sizes <- model$sizes[colnames(data$exposures)]
  sizes <- run(data, learning, rep(1, n), learn)$sizes
  parts <- over_cohort(cohort, function(block, columns) {
    model$sizes <- model$sizes[columns]
    run(c(block, data[c("sources", "lengths")]), model, sizes, FALSE)
  }, .call = .call)
  names <- colnames(programs$loadings)
  samples <- colnames(cohort$exposures)
  programs$sizes <- stats::setNames(sizes, names)
  programs$activities <- matrix(unlist(lapply(parts, `[[`, "activities")), n,
                                dimnames = list(names, samples))
  programs$covariance <- array(unlist(lapply(parts, `[[`, "covariance")),
                               c(n, n, length(samples)))
  programs
}

# What the core needs of the programs in some samples.
asked_programs <- function(programs, columns) {
  if (is.null(programs)) return(NULL)
  list(loadings = programs$loadings, of = programs$of, sizes = programs$sizes,
       activities = programs$activities[, columns, drop = FALSE],
       covariance = programs$covariance[, , columns, drop = FALSE])
}

# A row per program of the types shown.
type_program_table <- function(x) {
  programs <- x$programs
  if (is.null(programs)) return(NULL)
  shown <- programs$type %in% x$types
  data.frame(program = colnames(programs$loadings), type = programs$type, from = programs$from,
             profiles = programs$profiles, size = unname(programs$sizes),
             row.names = NULL)[shown, , drop = FALSE]
}

# Loadings, activities or their standard errors, of the types and samples shown.
program_field <- function(x, what) {
  programs <- x$programs
  if (is.null(programs)) return(NULL)
  shown <- programs$type %in% x$types
  if (what == "loadings") return(programs$loadings[, shown, drop = FALSE])
  values <- programs$activities
  if (what == "activity_error") {
    n <- seq_len(dim(programs$covariance)[1L])
    variance <- apply(programs$covariance, 3L, function(v) v[cbind(n, n)])
    values[] <- sqrt(variance)
  }
  values[shown, x$samples, drop = FALSE]
}

# A line per origin: the types with the sizes of their programs.
type_program_text <- function(table) {
  if (!NROW(table)) return(NULL)
  of <- function(from, text) {
    own <- table[table$from == from, ]
    if (!nrow(own)) return(NULL)
    shown <- utils::head(own, 6L)
    paste0(text, paste(shown$program, sprintf("%.2f", shown$size),
                       collapse = ", "), if (nrow(own) > 6L) ", ...", "\n")
  }
  paste0(of("own", "Programs of the type's donors, variance over the reference's: "),
         of("borrowed", "Programs borrowed from these: "),
         of("given", "Programs given, variance of the activities: "))
}
