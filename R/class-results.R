# What results that are lists of parts have in common, where a class has no method of its own.

PARTED <- c(
  "benchmark_dataset", "consensus_programs", "decoder", "deconvolution_benchmark", "diagnosis",
  "dictionary", "enrichment", "expression_evaluation", "expression_program",
  "factorisation_comparison", "group_comparison", "hierarchical_deconvolution",
  "integrative_factorisation", "joint_factorisation", "latent_factors", "measurement_matrix",
  "measurement_plan", "merged_types", "nmf_fit", "prognosis", "rank_estimate", "recovery",
  "recovery_benchmark", "recovery_evaluation", "reference_check", "signatures", "simulated_bulk",
  "subtype_replication", "subtypes", "survival_comparison", "type_tree", "variant_factorisation"
)

# A part by its whole name.  `$` of a plain list takes the beginning of a name for it, and gives
# NULL for every other; of a name that is nearly one of them this says so.  Others may be parts
# that this result happens not to have.
part_of <- function(x, name) {
  parts <- unclass(x)
  if (!name %in% names(parts)) {
    near <- if (nchar(name) > 3L) nearest_name(name, names(parts), 1)
    if (length(near)) {
      warn_user("component", paste0("There is no component `", name, "`."),
                i = paste0("Did you mean `", near, "`?"), .call = caller_env())
    }
  }
  parts[[name]]
}

# Tables that results are about.
RESULT_TABLES <- list(
  latent_factors = function(x) tidy(x),
  measurement_plan = function(x) x$curve,
  nmf_fit = function(x) tidy(x),
  subtype_replication = function(x) x$overall,
  subtypes = function(x) data.frame(sample = names(x$assignment), subtype = unname(x$assignment))
)

table_of_result <- function(x, row.names = NULL, optional = FALSE, ...) { # nolint
  refuse_dots(..., .besides = "stringsAsFactors")
  refuse_row_names(row.names)
  RESULT_TABLES[[intersect(class(x), names(RESULT_TABLES))[1L]]](x)
}

tidy_of_result <- function(x, ...) {
  refuse_dots(...)
  as.data.frame(x)
}

# A result prints as its own summary.
summary_of_result <- function(object, ...) {
  refuse_dots(...)
  object
}

# Run once, when the package is loaded: methods of a class's own were registered before.
register_for_results <- function() {
  has <- function(generic, class, package) {
    !is.null(utils::getS3method(generic, class, TRUE, asNamespace(package)))
  }
  add <- function(generic, class, method, package = "base") {
    if (has(generic, class, package)) return(invisible())
    registerS3method(generic, class, method, asNamespace(package))
  }
  for (class in names(RESULT_TABLES)) add("as.data.frame", class, table_of_result)
  for (class in PARTED) {
    add("$", class, part_of)
    add("summary", class, summary_of_result)
    if (has("as.data.frame", class, "base")) add("tidy", class, tidy_of_result, "generics")
  }
}
