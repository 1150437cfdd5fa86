# Values of cell_type_expression(): found when they are asked for, a group of samples at a
# time, and held in memory or written to disk.

# A block of the tensor: one or more of the fields as arrays genes x types x
# samples.
expression_block <- function(x, fields, types = x$types, samples = x$samples,
                             .call = caller_env()) {
  names <- list(x$genes, types, samples)
  out <- lapply(stats::setNames(nm = fields), function(field) {
    array(0, lengths(names), names)
  })
  over_expression(x, fields, types, samples, function(found, at) {
    for (field in fields) out[[field]][, , at] <<- found[[field]]
  }, .call = .call)
  out
}

# Calls `take(found, at)` for groups of the samples asked for: their fields, and their
# places among these.
over_expression <- function(x, fields, types, samples, take, .call = caller_env()) {
  if (x$method == "network") {
    return(take(predicted_values(x, fields, types, samples, .call), seq_along(samples)))
  }
  if (x$method == "allocation" && "reliability" %in% fields) {
    stop_user("no_reliability", "An allocation has no reliability.",
              x = "It predicts no deviation of a sample from the mean of its type.",
              i = "Use `method = \"blup\"`.", .call = .call)
  }
  # the groups of the whole cohort, so that a sample has the same bits in any company
  all <- colnames(x$cohort$exposures)
  asked <- match(samples, all)
  group <- (asked - 1L) %/% CORE_BLOCK
  # as many groups at a time as are read at a time
  size <- max(1, floor(disk_block(.call) / (8 * x$cohort$bulk$n_rows * CORE_BLOCK)))
  for (read in split(seq_along(asked), group %/% size)) {
    columns <- seq(min(group[read]) * CORE_BLOCK + 1L,
                   min(max(group[read] + 1L) * CORE_BLOCK, length(all)))
    values <- block_values(x$cohort$bulk, columns, .call)
    for (at in split(read, group[read])) {
      own <- seq(group[at[1L]] * CORE_BLOCK + 1L,
                 min((group[at[1L]] + 1L) * CORE_BLOCK, length(all)))
      counts <- in_genes(values[, own - columns[1L] + 1L, drop = FALSE], x$cohort$place,
                         x$cohort$n_genes)
      take(expression_of(x, fields, types, counts, own, asked[at], .call), at)
    }
  }
}

# A network says how much, and not how sure.
predicted_values <- function(x, fields, types, samples, .call) {
  if (!identical(fields, "expression")) {
    field <- setdiff(fields, "expression")[1L]
    stop_user("no_reliability", paste0("A network's prediction has no ",
                                       sub("std_error", "standard error", field), "."),
              i = "`cell_type_expression()` of a fit by `deconvolve_bulk()` has.", .call = .call)
  }
  list(expression = x$data$values[, types, samples, drop = FALSE])
}

# Fields of the samples `asked` (positions in the cohort) among `columns`, whose counts are
# given.
expression_of <- function(x, fields, types, counts, columns, asked, .call) {
  sources <- match(types, colnames(x$sources))
  samples <- colnames(x$cohort$exposures)[asked]
  data <- list(counts = counts, sources = x$sources, lengths = x$lengths,
               exposures = x$cohort$exposures[, columns, drop = FALSE])
  places <- match(asked, columns)
  found <- if (x$method == "allocation") {
    call_rs(rs_allocate, data = data, sources = sources, samples = places, .call = .call)
  } else {
    fit <- x$model
    fit$sizes <- fit$sizes[columns]
    # a bar of its own for every block would flicker
    covariance <- if (!is.null(x$covariance)) x$covariance[, , asked, drop = FALSE]
    call_rs(rs_predict_expression, data = data, fit = fit, sources = sources,
            samples = places, covariance = covariance,
            programs = asked_programs(x$programs, asked), threads = x$threads,
            value = "expression" %in% fields, reliability = "reliability" %in% fields,
            variance = any(c("variance", "std_error") %in% fields), .call = .call)
  }
  scale <- if (x$units == "cpm") copies_per_million(x, sources, asked)
  out <- list()
  for (field in fields) {
    values <- switch(field, expression = found$value, reliability = found$reliability,
                     found$variance)
    if (field == "std_error") values <- sqrt(values)
    if (!is.null(scale) && field != "reliability") {
      values <- values * if (field == "variance") scale^2 else scale
    }
    if (x$units == "cpm" && field != "reliability") {
      values <- with_prior(values, prior_places(x, types, samples),
                           type_level(x, found, sources, field))
    }
    out[[field]] <- values
  }
  out
}

# From reads to copies per million of the type's own mRNA; NA without any.
copies_per_million <- function(x, sources, columns) {
  molecules <- x$cohort$exposures[sources, columns, drop = FALSE]
  if (!is.null(x$model)) {
    molecules <- molecules * rep(x$model$sizes[columns], each = length(sources))
  }
  molecules[molecules == 0] <- NA
  as.vector(outer(1 / x$lengths, as.vector(1e6 / molecules)))
}

# Where copies per million are not of the sample: it has none of the type.
prior_places <- function(x, types = x$types, samples = x$samples) {
  if (x$method == "network") {
    return(matrix(FALSE, length(types), length(samples), dimnames = list(types, samples)))
  }
  sources <- match(types, colnames(x$sources))
  columns <- match(samples, colnames(x$cohort$exposures))
  matrix(x$units == "cpm" & x$cohort$exposures[sources, columns] == 0, length(types),
         dimnames = list(types, samples))
}

# Copies per million of a type in a sample that does not tell, genes x types: the mean
# of the cohort and the deviation of one sample from it, or the signature, whose
# deviation an allocation does not know.
type_level <- function(x, found, sources, field) {
  per_million <- 1e6 / x$lengths
  if (is.null(found$level)) {
    signature <- x$sources[, sources, drop = FALSE] * 1e6
    return(if (field == "expression") signature else NA * signature)
  }
  switch(field, expression = found$level * per_million,
         variance = found$level_variance * per_million^2,
         std_error = sqrt(found$level_variance) * per_million)
}

with_prior <- function(values, prior, level) {
  for (at in which(prior)) {
    place <- arrayInd(at, dim(prior))
    values[, place[1L], place[2L]] <- level[, place[1L]]
  }
  values
}

# Writes a field of all types and samples shown, a group of samples at a time; the dataset
# as a DelayedArray, genes x types x samples.
write_expression <- function(x, field, path, plan = NULL, .call = caller_env()) {
  names <- list(x$genes, x$types, x$samples)
  chunk <- c(SINK_GENES, 1L, SINK_SAMPLES)
  write_array(path, field, names, chunk, function(write) {
    if (is.null(plan)) {
      return(over_expression(x, field, x$types, x$samples, function(found, at) {
        for (run in split(at, cumsum(c(1L, diff(at) != 1L)))) {
          write(found[[field]][, , match(run, at), drop = FALSE], c(1L, 1L, run[1L]))
        }
      }, .call = .call))
    }
    # as many groups at a time as workers have begun with
    groups <- split(seq_along(x$samples), (seq_along(x$samples) - 1L) %/% CORE_BLOCK)
    waves <- split(groups, (seq_along(groups) - 1L) %/% (2L * n_workers(plan)))
    shared <- list(x = x, field = field)
    for (wave in waves) {
      parts <- lapply(unname(wave), function(at) list(samples = x$samples[at]))
      found <- run_parts(parts, expression_part, shared, plan, "expression", .call)
      for (k in seq_along(wave)) write(found[[k]], c(1L, 1L, wave[[k]][1L]))
    }
  }, .call = .call)
}

expression_part <- function(part, shared) {
  expression_block(shared$x, shared$field, samples = part$samples, .call = NULL)[[1L]]
}

# What `sink` of cell_type_expression() has of the genes, types and samples shown.
written_expression <- function(x) {
  all <- dimnames(x$written$array)
  places <- list(match(x$genes, all[[1L]]), match(x$types, all[[2L]]), match(x$samples, all[[3L]]))
  out <- x$written$array[places[[1L]], places[[2L]], places[[3L]], drop = FALSE]
  if (length(x$types) > 1L) return(out)
  DelayedArray::aperm(out, c(1L, 3L))
}
