# Expression of cell types on disk.

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
