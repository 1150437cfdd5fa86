# Classed conditions in one form: the problem, the fact with the culprit's
# name, the mend.  Every class starts with "unalloy_".

# `details` are bullets named "x" (what is wrong) or "i" (how to mend it).
stop_user <- function(kind, problem, ..., .call = caller_env()) {
  abort(c(problem, ...), class = c(paste0("unalloy_error_", kind), "unalloy_error"), call = .call)
}

warn_user <- function(kind, problem, ..., .call = caller_env()) {
  warn(c(problem, ...), class = c(paste0("unalloy_warning_", kind), "unalloy_warning"),
       call = .call)
}

inform_user <- function(verbose, ...) {
  if (verbose) inform(c(...), class = "unalloy_message")
}

# Turns a failure handed over by Rust into a classed error at the user's call,
# or into an interrupt; every other value passes through.
#
# `samples` are the names of the samples that Rust was given.
call_rs <- function(value, samples = NULL, .call = caller_env()) {
  if (!inherits(value, "unalloy_failure")) return(value)
  if (value$kind == "empty_sample") {
    stop_user("empty_sample", "Every sample needs counts in the genes of the fit.",
              x = paste0("Only zeros in them: ", some_of(samples[value$sample]), "."),
              i = "Leave the sample out, or use more genes.", .call = .call)
  }
  if (value$kind == "interrupted") {
    rlang::interrupt()
    stop_user("interrupted", "The computation was interrupted.", .call = .call)
  }
  problem <- if (value$kind == "internal") {
    "The numerical core failed; this is a bug in unalloy."
  } else {
    "The numerical core refused its input."
  }
  stop_user(value$kind, problem, x = value$message, .call = .call)
}

# For Rust to call where there is nothing to show.
no_progress <- function(done) invisible()

# A function for Rust to call with the number of units done: a progress bar
# that shows itself only when the work takes more than two seconds.
progress_bar <- function(title, total, verbose, .envir = caller_env()) {
  if (!verbose) return(no_progress)
  bar <- cli::cli_progress_bar(title, total = total, clear = TRUE, .envir = .envir)
  function(done) {
    cli::cli_progress_update(set = done, id = bar, .envir = .envir)
    invisible()
  }
}
