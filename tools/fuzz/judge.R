# What a call came to: "value", "refused", or a finding with what was wrong.

broken_invariant <- function(value) {
  finite <- function(x) is.numeric(x) && all(is.finite(x))
  shares <- function(x) finite(x) && all(x >= 0) && all(abs(colSums(x) - 1) < 1e-6)
  positive <- function(x) finite(x) && all(x >= 0)
  checks <- switch(
    class(value)[1L],
    deconvolution = c(shares = shares(value$proportions), exposures = positive(value$exposures)),
    nmf_fit = c(basis = positive(value$basis), coef = positive(value$coef),
                objective = finite(value$objective) && finite(value$runs$objective)),
    signatures = c(profiles = positive(value$profiles)),
    simulated_bulk = c(counts = positive(value$bulk_counts), truth = shares(value$truth_mrna)),
    latent_factors = c(basis = finite(basis(value)), coef = finite(coef(value))),
    joint_factorisation = c(basis = all(vapply(value$basis, positive, NA)),
                            coef = positive(value$coef)),
    integrative_factorisation = c(shared = positive(value$shared),
                                  coef = all(vapply(value$coef, positive, NA))),
    variant_factorisation = c(basis = finite(basis(value)), coef = finite(coef(value))),
    consensus_programs = c(spectra = finite(value$spectra)),
    recovery = c(profiles = finite(as.matrix(value))),
    dictionary = c(modules = finite(value$modules)),
    measurement_matrix = c(weights = finite(as.matrix(value))),
    numeric = , matrix = , array = c(numbers = !is.numeric(value) || !any(is.nan(value))),
    data.frame = c(numbers = !any(vapply(value, function(x) is.numeric(x) && any(is.nan(x)), NA)),
                   p_values = all(vapply(value[grep("^p_|p.value", names(value))], function(p) {
                     all(is.na(p) | (p >= 0 & p <= 1))
                   }, NA))),
    TRUE
  )
  names(checks)[!checks %in% TRUE]
}

# Errors must be of the package and name the call that the user made.
judge_error <- function(condition, call) {
  text <- conditionMessage(condition)
  first <- strsplit(text, "\n")[[1L]][1L]
  if (grepl("reached (elapsed|CPU) time limit", text)) return(list(outcome = "late"))
  if (!inherits(condition, "unalloy_error")) {
    from <- conditionCall(condition)
    from <- if (is.call(from)) substr(paste(deparse(from[[1L]]), collapse = ""), 1L, 40L) else ""
    return(list(outcome = "unclassed", what = paste0(from, ": ", first)))
  }
  kind <- sub("unalloy_error_", "", class(condition)[1L])
  if (kind == "internal") return(list(outcome = "internal", what = text))
  from <- conditionCall(condition)
  from <- if (is.call(from)) paste(deparse(from[[1L]]), collapse = "") else "no call"
  asked <- sub("^unalloy::", "", paste(deparse(call[[1L]]), collapse = ""))
  own <- sub("^`(.*)`$", "\\1", from)
  near <- own == asked || startsWith(own, paste0(asked, ".")) || grepl("function", own) ||
    asked %in% c("plot", "autoplot", "print", "[", "[[") || own == "standardGeneric"
  if (!near) return(list(outcome = "call", what = paste0("from ", from, "(): ", first)))
  if (!nzchar(text)) return(list(outcome = "silent", what = kind))
  list(outcome = "refused")
}

# Runs one call and judges it.
judge <- function(call, environment, seconds) {
  warned <- NULL
  value <- tryCatch({
    setTimeLimit(elapsed = seconds, transient = TRUE)
    on.exit(setTimeLimit())
    value <- withCallingHandlers(
      suppressMessages({
        utils::capture.output({
          value <- eval(call, environment)
          # a picture takes longer than what it shows
          if (!inherits(value, c("ggplot", "unalloy_plots")) || stats::runif(1L) < 0.3) print(value)
        })
        value
      }),
      warning = function(w) {
        if (!inherits(w, "unalloy_warning") && is.null(warned)) {
          warned <<- strsplit(conditionMessage(w), "\n")[[1L]][1L]
        }
        invokeRestart("muffleWarning")
      }
    )
    setTimeLimit()
    list(value = value)
  }, error = identity, interrupt = identity)
  setTimeLimit()
  if (inherits(value, "interrupt")) return(list(outcome = "late"))
  if (inherits(value, "error")) return(judge_error(value, call))
  bad <- tryCatch(broken_invariant(value$value), error = conditionMessage)
  if (length(bad)) {
    what <- paste(class(value$value)[1L], "without", paste(bad, collapse = ", "))
    return(list(outcome = "invariant", what = what))
  }
  if (!is.null(warned)) return(list(outcome = "warning", what = warned))
  list(outcome = "value")
}
