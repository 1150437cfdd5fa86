# The additive background of arrays: what unspecific binding adds to every probe.

# The quantile of the values of a sample that holds its background.  Far more than one
# gene in fifty is silent in a tissue, and the single lowest value would be noise.
BACKGROUND_QUANTILE <- 0.02
# Part of a sample's median below which a value is near zero.
NEAR_ZERO <- 0.01
# Part of that quantile which the reference must leave unexplained: samples of the
# platform that the reference was measured on differ in theirs by a third or less.
UNEXPLAINED <- 0.5

check_array_background <- function(x, .call = caller_env()) {
  if (identical(x, "auto") || identical(x, "none") || identical(x, "quantile")) return(x)
  if (!is.numeric(x) || !length(x) || !all(is.finite(x)) || any(x < 0)) {
    stop_user("background", paste("`array_background` must be \"auto\", \"none\", \"quantile\" or",
                                  "numbers of 0 and more."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  as.double(x)
}

# The bulk without its background: list(bulk, unit, setting), the setting being that which
# does the same to other samples.  The bulk has its unit and its totals, but for counts on
# disk (see with_presumed_values()).
without_background <- function(bulk, profiles, setting, verbose, .call = caller_env()) {
  bulk <- with_presumed_values(bulk, .call = .call)
  kept <- function() list(bulk = bulk, unit = bulk$unit, setting = "none")
  if (identical(setting, "none")) return(kept())
  auto <- identical(setting, "auto")
  # counts have no background, whatever their lowest value
  if (auto && bulk$unit == "counts") return(kept())
  low <- low_values(bulk)
  level <- if (is.numeric(setting)) given_background(setting, low, bulk, .call)
           else own_background(low, bulk, profiles)
  if (auto) {
    if (!is_array_like(level, low, bulk$unit)) return(kept())
    shown <- unique(format(signif(range(level), 3), trim = TRUE))
    inform_user(verbose, paste0(
      "No value is near zero, as on arrays: a background of ", paste(shown, collapse = " to "),
      " per sample is taken away (its ", 100 * BACKGROUND_QUANTILE, " % quantile",
      if (reference_low(profiles) > 0) ", less what the reference has", ")."
    ), i = "`array_background = \"none\"` leaves it.")
    setting <- "quantile"
  }
  if (!any(level > 0)) return(kept())
  bulk$source <- less_background(bulk$source, level)
  bulk$values <- rust_values(bulk$source)
  bulk$unit <- if (bulk$unit == "counts") "linear" else bulk$unit
  totals <- over_samples(bulk, function(block, shared) colSums(block$values), .call = .call)
  bulk$totals <- unlist(totals)
  list(bulk = bulk, unit = bulk$unit, setting = setting)
}

# Whether the level is a background: no value near zero, the larger part not in the
# reference, and above what a table holds from which genes of low expression were
# left out.
is_array_like <- function(level, low, unit) {
  if (unit == "per million" && any(level < FLOOR_CPM)) return(FALSE)
  all(low$low > NEAR_ZERO * low$median) && all(level > UNEXPLAINED * low$low)
}

# On disk, what is to be taken away is noted, and done as blocks are read.
less_background <- function(source, level) {
  if (methods::is(source, "DelayedMatrix")) {
    return(DelayedArray::pmax2(t(t(source) - level), 0))
  }
  source <- as.matrix(source)
  pmax(source - rep(level, each = nrow(source)), 0)
}

given_background <- function(setting, low, bulk, .call) {
  if (!length(setting) %in% c(1L, bulk$n_samples)) {
    stop_user("background", "`array_background` must be one number, or one per sample.",
              x = paste0("It has ", length(setting), "; there are ",
                         plural(bulk$n_samples, "sample"), "."), .call = .call)
  }
  level <- rep_len(setting, bulk$n_samples)
  above <- which(level >= low$median)
  if (length(above)) {
    stop_user("background", "`array_background` must be below most values of a sample.",
              x = paste0("It is ", format(level[above[1L]]), " in \"", bulk$samples[above[1L]],
                         "\", whose median is ", format(signif(low$median[above[1L]], 3)), "."),
              .call = .call)
  }
  level
}

# The background that the reference does not have.  A background in both cancels, since
# shares sum to 1: with c molecules of the reference's mixture, whose quantile is r, and
# n genes, a sample has the quantile c r + b and the total c + n b.
own_background <- function(low, bulk, profiles) {
  r <- reference_low(profiles)
  pmax((low$low - low$total * r) / (1 - bulk$n_rows * r), 0)
}

# The background of the reference, as a share of all: all of its types have it, so that it
# is no more than the lowest quantile.
reference_low <- function(profiles) {
  min(apply(normalise_columns(profiles), 2L, stats::quantile, BACKGROUND_QUANTILE, names = FALSE))
}

# The background quantile, the median and the total of each sample.
low_values <- function(bulk) {
  found <- over_samples(bulk, function(block, shared) {
    values <- as.matrix(block$values)
    rbind(apply(values, 2L, stats::quantile, c(BACKGROUND_QUANTILE, 0.5), names = FALSE),
          colSums(values))
  })
  found <- do.call(cbind, found)
  list(low = found[1L, ], median = found[2L, ], total = found[3L, ])
}
