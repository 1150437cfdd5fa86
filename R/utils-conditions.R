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

# Runs other verbs for a verb: what they refuse, it refuses.
on_behalf <- function(.call, code) {
  tryCatch(code, unalloy_error = function(condition) {
    condition$call <- if (is.environment(.call)) rlang::frame_call(.call) else .call
    condition$trace <- NULL
    rlang::cnd_signal(condition)
  })
}

# Turns a failure handed over by Rust into a classed error at the user's call,
# or into an interrupt; every other value passes through.
#
# `.samples` are the names of the samples that Rust is given.
call_rs <- function(binding, ..., .given = list(), .samples = NULL, .call = caller_env()) {
  value <- binding(c(list(...), .given))
  # where there was no memory even for the failure
  if (is.null(value)) value <- list(failure = "memory", message = "There is none left.")
  if (!is.list(value) || !identical(names(value)[1L], "failure")) return(value)
  if (value$failure == "empty_sample") {
    stop_user("empty_sample", "Every sample needs counts in the genes of the fit.",
              x = paste0("Only zeros in them: ", some_of(.samples[value$sample]), "."),
              i = "Leave the sample out, or use more genes.", .call = .call)
  }
  if (value$failure == "interrupted") {
    rlang::interrupt()
    stop_user("interrupted", "The computation was interrupted.", .call = .call)
  }
  problem <- switch(
    value$failure,
    internal = "The numerical core failed; this is a bug in unalloy.",
    malformed_matrix = "The slots of a sparse matrix contradict each other.",
    memory = "There is not enough memory.",
    stopped = "R stopped the computation.",
    diverged = "The training has diverged.",
    scale = "The numbers outgrew what a computer holds.",
    "The numerical core refused its input."
  )
  mend <- switch(value$failure,
                 malformed_matrix = "`validObject()` says more; make it anew.",
                 scale = "Penalise both factors, or divide `x` by its largest value.",
                 diverged = "Try a tenth of that `learning_rate`.")
  stop_user(value$failure, problem, x = value$message, i = mend, .call = .call)
}
