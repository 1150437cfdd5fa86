# The design of a comparison: what a formula says of a table of samples.

# A list: term, adjust (labels), block (a column name or NULL), fixed (a formula).
parse_comparison <- function(formula, columns, .call) {
  if (!inherits(formula, "formula") || length(formula) != 2L) {
    stop_user("argument", "`formula` must be one-sided, with what to compare in front.",
              x = paste0("It is ", if (inherits(formula, "formula")) deparse1(formula)
                         else describe(formula), "."),
              i = "Write `~ group`, or `~ group + age + (1 | patient)`.", .call = .call)
  }
  parsed <- stats::terms(formula)
  labels <- attr(parsed, "term.labels")
  random <- grepl("|", labels, fixed = TRUE)
  fixed <- labels[!random]
  block <- random_intercept(labels[random], .call)
  if (!length(fixed) || attr(parsed, "intercept") == 0L || length(attr(parsed, "offset"))) {
    stop_user("argument", "`formula` must name what to compare, with an intercept and no offset.",
              x = paste0("It is ", deparse1(formula), "."), .call = .call)
  }
  for (name in c(all.vars(stats::reformulate(fixed)), block)) {
    if (name %in% columns) next
    near <- nearest_name(name, columns)
    stop_user("argument", paste0("The sample data have no column \"", name, "\"."),
              x = if (length(columns)) paste0("There are ", some_of(columns, 8L), ".")
                  else "There are no sample data.",
              i = if (length(near)) paste0("Did you mean `", near, "`?")
                  else "Give them in `samples`, or set `sample_data(x)`.", .call = .call)
  }
  term <- fixed[1L]
  with_term <- setdiff(fixed, term)
  uses <- vapply(with_term, function(label) {
    term %in% strsplit(label, ":", fixed = TRUE)[[1L]]
  }, NA)
  if (grepl(":", term, fixed = TRUE) || any(uses)) {
    stop_user("argument", "What is compared can't be part of an interaction.",
              x = paste0("It is ", some_of(c(term, with_term[uses])[1L + any(uses)]), "."),
              i = "Make a column of the combinations with `interaction()`, and compare its levels.",
              .call = .call)
  }
  list(term = term, adjust = with_term, block = block, fixed = stats::reformulate(fixed))
}

random_intercept <- function(label, .call) {
  if (!length(label)) return(NULL)
  found <- regmatches(label, regexec("^1 \\| ([[:alnum:]._]+|`[^`]+`)$", label))
  if (length(label) > 1L || length(found[[1L]]) != 2L) {
    stop_user("argument", "There can be one random intercept, `(1 | patient)`.",
              x = paste0("Given: ", paste0("(", label, ")", collapse = ", "), "."), .call = .call)
  }
  gsub("`", "", found[[1L]][2L], fixed = TRUE)
}

# Design of the samples that have every value: rows kept, X, contrasts L of the term with
# their names, block, and the term's values.
comparison_design <- function(parsed, table, .call) {
  used <- c(all.vars(parsed$fixed), parsed$block)
  table <- table[used]
  labels <- vapply(table, function(x) is.character(x) || is.logical(x), NA)
  table[labels] <- lapply(table[labels], factor)
  table <- table[stats::complete.cases(table), , drop = FALSE]
  if (!nrow(table)) {
    stop_user("too_few_samples", "No sample has a value of everything in the formula.",
              x = paste0("Columns: ", some_of(used, 8L), "."), .call = .call)
  }
  table[] <- lapply(table, function(x) if (is.factor(x)) droplevels(x) else x)
  frame <- stats::model.frame(parsed$fixed, table)
  kept <- match(rownames(frame), rownames(table))
  table <- table[kept, , drop = FALSE]
  frame[] <- lapply(frame, function(x) if (is.logical(x)) factor(x) else x)
  for (name in names(frame)) {
    if (is.factor(frame[[name]]) && nlevels(frame[[name]]) < 2L) {
      stop_user("one_group", paste0("`", name, "` has one level only."),
                x = paste0("All ", plural(nrow(frame), "sample"), " with complete data are \"",
                           levels(frame[[name]]), "\"."), .call = .call)
    }
  }
  factors <- names(frame)[vapply(frame, is.factor, NA)]
  contrasts <- stats::setNames(rep(list("contr.treatment"), length(factors)), factors)
  X <- stats::model.matrix(parsed$fixed, frame,  # nolint: object_name_linter.
                           if (length(factors)) contrasts)
  compared <- frame[[parsed$term]]
  if (is.matrix(compared)) {
    stop_user("argument", "What is compared must be one column.",
              x = paste0("`", parsed$term, "` has ", ncol(compared), "."), .call = .call)
  }
  if (!is.factor(compared) && stats::var(compared) == 0) {
    stop_user("one_group", paste0("`", parsed$term, "` is the same in all samples."),
              x = paste0("It is ", compared[1L], "."), .call = .call)
  }
  columns <- which(attr(X, "assign") == 1L)
  block <- if (!is.null(parsed$block)) factor(table[[parsed$block]])
  check_estimable(X, columns, block, parsed, .call)
  block <- usable_block(block, parsed, .call)
  list(samples = rownames(table), X = X, compared = compared,
       contrasts = term_contrasts(X, columns, compared, parsed$term), block = block,
       block_codes = if (!is.null(block)) as.integer(block))
}

# Every difference of two levels, or the slope.
term_contrasts <- function(X, columns, compared, term) {  # nolint: object_name_linter.
  if (!is.factor(compared)) {
    L <- matrix(0, 1L, ncol(X))
    L[1L, columns] <- 1
    return(list(L = L, names = term, first = NA, second = NA, overall = L))
  }
  levels <- levels(compared)
  effects <- rbind(0, diag(length(columns)))
  pairs <- utils::combn(length(levels), 2L)
  L <- matrix(0, ncol(pairs), ncol(X))
  L[, columns] <- effects[pairs[2L, ], ] - effects[pairs[1L, ], ]
  overall <- matrix(0, length(columns), ncol(X))
  overall[, columns] <- diag(length(columns))
  list(L = L, names = paste(levels[pairs[2L, ]], "-", levels[pairs[1L, ]]),
       first = levels[pairs[2L, ]], second = levels[pairs[1L, ]], overall = overall)
}

check_estimable <- function(X, columns, block, parsed, .call) {  # nolint: object_name_linter.
  found <- qr(X)
  if (found$rank < ncol(X)) {
    surplus <- attr(X, "assign")[found$pivot[-seq_len(found$rank)]]
    labels <- c(parsed$term, parsed$adjust)
    stop_user("confounded", paste0("`", labels[min(surplus[surplus > 0])],
                                   "` can't be told apart from the rest of the formula."),
              x = paste0("Its columns follow from those of ",
                         paste0("`", setdiff(labels, labels[min(surplus[surplus > 0])]), "`",
                                collapse = ", "), "."),
              i = "Each group needs samples of every level that it is adjusted for.",
              .call = .call)
  }
  if (nrow(X) - ncol(X) < 1L) {
    stop_user("too_few_samples", "There are too few samples for the formula.",
              x = paste0(plural(nrow(X), "sample"), " with complete data, ",
                         plural(ncol(X), "coefficient"), "."), .call = .call)
  }
  if (is.null(block)) return(invisible())
  means <- rowsum(X, block) / as.vector(table(block))
  within <- X - means[as.integer(block), , drop = FALSE]
  # the term says nothing within patients: patients are then its samples
  between <- all(abs(within[, columns]) < 1e-8)
  if (between && nlevels(block) <= qr(means)$rank) {
    stop_user("confounded", paste0("`", parsed$term, "` is confounded with `", parsed$block, "`."),
              x = paste0("It is the same in all samples of one `", parsed$block, "`, of which ",
                         "there are ", nlevels(block), " for ", plural(ncol(X), "coefficient"),
                         "."),
              i = paste0("Some group needs more than one `", parsed$block, "`, or leave the ",
                         "random intercept out."), .call = .call)
  }
}

# A random intercept needs repeats.
usable_block <- function(block, parsed, .call) {
  if (is.null(block) || (nlevels(block) > 1L && any(table(block) > 1L))) return(block)
  warn_user("unused_argument", paste0("`(1 | ", parsed$block, ")` has no effect."),
            x = if (nlevels(block) > 1L) paste0("Every ", parsed$block, " has one sample.")
                else paste0("All samples are of one ", parsed$block, "."), .call = .call)
  NULL
}
