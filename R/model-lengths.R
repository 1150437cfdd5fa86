# How reads follow gene length.

# Sets `length_exponent` and `length_factor` of the model.
choose_lengths <- function(model, bulk, settings, protocol, length_exponent, verbose, .call) {
  protocol <- check_choice(protocol, c("auto", "full_length", "umi"), "protocol", .call = .call)
  asked <- if (!is.null(length_exponent)) {
    check_number(length_exponent, "length_exponent", 0, 2, .call = .call)
  } else {
    c(full_length = 1, umi = 0)[protocol]
  }
  if (is.null(model$lengths)) {
    if (!is.na(asked) && asked > 0) {
      stop_user("lengths", "Reads can't follow gene lengths that are not given.",
                i = "Give `gene_lengths`, or `protocol = \"umi\"`.", .call = .call)
    }
    inform_user(verbose && is.na(asked), paste(
      "No `gene_lengths`: reads are taken as independent of length, as in UMI and 3' libraries."
    ))
    return(with_exponent(model, 0))
  }
  if (!is.na(asked)) return(with_exponent(model, unname(asked)))
  profile <- profile_exponent(model, bulk, settings, .call)
  best <- profile$length_exponent[which.min(profile$deviance)]
  meaning <- if (best == 1) "as in full-length libraries"
             else if (best == 0) "as in UMI or 3' libraries"
             else "between UMI and full-length: are these the lengths of transcripts?"
  inform_user(verbose, paste0("Length exponent ", best, " describes the counts best (", meaning,
                              ")."))
  model$length_profile <- profile
  with_exponent(model, best)
}

with_exponent <- function(model, exponent) {
  model$length_exponent <- exponent
  model$length_factor <- if (exponent == 0) rep(1, length(model$weights))
                         else (model$lengths / model$insert_size)^exponent
  model
}

# Deviance over a few samples for each exponent.  Differences between exponents
# are thousands of units, so that the fits need few digits.
profile_exponent <- function(model, bulk, settings, .call) {
  part <- in_memory(bulk_subset(bulk, spread_samples(bulk$n_samples)), .call)
  settings[c("method", "poll_interval", "ll_tolerance", "l1_lambda", "l2_lambda")] <-
    list("newton", 1, 1e-6, 0, 0)
  settings$max_iter <- max(settings$max_iter, 50)
  exponents <- c(0, 0.25, 0.5, 0.75, 1)
  deviance <- vapply(exponents, function(exponent) {
    sum(run_fit(with_exponent(model, exponent), part, settings, FALSE, .call = .call)$deviance)
  }, 0)
  data.frame(length_exponent = exponents, deviance = deviance)
}
