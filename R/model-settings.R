# What is asked of the solvers, and which error model serves it.

# Markers, a list of genes per type, or bare names of genes.
is_marker_list <- function(x) {
  inherits(x, "markers") || is.list(x) && !is.data.frame(x) || is.character(x) && length(x) > 1L
}

# The error model that arguments ask for, and why: list(platform, reason).
# `poisson_only` says which of the arguments were given that only the Poisson model
# has.
chosen_model <- function(error_model, poisson_only, verbose, .call) {
  error_model <- check_choice(error_model, c("auto", "poisson", "platform"), "error_model",
                              .call = .call)
  asked <- names(which(poisson_only))
  if (error_model == "platform" && length(asked)) {
    stop_user("argument", paste("The platform error model is fitted by Newton's method alone,",
                                "without penalties and backgrounds."),
              x = paste0("Asked for: ", some_of(asked), "."),
              i = "Use `error_model = \"poisson\"` with them, and `method = \"newton\"` without.",
              .call = .call)
  }
  if (error_model != "auto") {
    return(list(platform = error_model == "platform", reason = "as asked for"))
  }
  if (!length(asked)) return(list(platform = TRUE, reason = "the default"))
  reason <- paste0("for `", asked[1L], "`, which only it has")
  inform_user(verbose, paste0("The Poisson model is taken ", reason, "."),
              i = paste("It trusts the reference gene by gene. Say `error_model = \"poisson\"` to",
                        "want it."))
  list(platform = FALSE, reason = reason)
}

# Arguments under names of other packages, under ours.
other_names <- function(given) {
  for (name in names(given)) {
    ours <- OTHER_NAMES[[name]]
    inform_user(TRUE, if (nzchar(ours)) paste0("`", name, "` is taken for `", ours, "`.")
                      else paste0("`", name, "` has no effect: every fit runs on the processor."))
  }
  stats::setNames(given, OTHER_NAMES[names(given)])
}

OTHER_NAMES <- c(max_iterations = "max_iter", tolerance = "ll_tolerance", backend = "")

# A penalty beyond every likelihood; squares of what is larger overflow.
MOST_PENALTY <- 1e12

# Settings as Rust takes them; NULL stands for "not given".
solver_settings <- function(method, l1_lambda, l2_lambda, max_iter, ll_tolerance,
                            sparsity_tolerance, poll_interval, learning_rate, init_log_exp,
                            threads, seed, .call) {
  list(
    method = method,
    l1_lambda = check_number(l1_lambda, "l1_lambda", 0, MOST_PENALTY, .call = .call),
    l2_lambda = check_number(l2_lambda, "l2_lambda", 0, MOST_PENALTY, .call = .call),
    max_iter = check_count(max_iter %||% if (method == "newton") 200 else 10000, "max_iter",
                           .call = .call),
    ll_tolerance = check_number(ll_tolerance, "ll_tolerance", 0, above = TRUE, .call = .call),
    sparsity_tolerance = check_number(sparsity_tolerance, "sparsity_tolerance", 0, 0.5,
                                      .call = .call),
    poll_interval = if (method == "newton") 1 else
      check_count(poll_interval, "poll_interval", .call = .call),
    learning_rate = check_number(learning_rate, "learning_rate", 0, above = TRUE, .call = .call),
    init_log_exp = if (!is.null(init_log_exp))
      check_number(init_log_exp, "init_log_exp", -50, 50, .call = .call),
    threads = check_threads(threads, .call = .call),
    seed = if (!is.null(seed)) check_seed(seed, .call = .call)
  )
}

# Arguments that only some methods read are not ignored in silence.
warn_unused <- function(given, method, .call) {
  only <- list(learning_rate = "gd", init_log_exp = "gd",
               poll_interval = c("em", "gd"), sparsity_tolerance = c("em", "gd"))
  unused <- Filter(function(name) !method %in% only[[name]], intersect(given, names(only)))
  for (name in unused) {
    warn_user("unused_argument",
              paste0("`", name, "` has no effect with `method = \"", method, "\"`."),
              i = paste0("It is for ", paste0("\"", only[[name]], "\"", collapse = " and "), "."),
              .call = .call)
  }
}

sparsity_settings <- function(sparsity, level, given, settings, .call) {
  sparsity <- check_choice(sparsity, c("none", "lrt"), "sparsity", .call = .call)
  level <- check_number(level, "sparsity_level", 0, 0.5, above = TRUE, .call = .call)
  if (sparsity == "none" && "sparsity_level" %in% given) {
    warn_user("unused_argument", "`sparsity_level` has no effect without `sparsity = \"lrt\"`.",
              .call = .call)
  }
  if (sparsity == "lrt" && (settings$l1_lambda > 0 || settings$l2_lambda > 0)) {
    stop_user("penalised", "Likelihood ratios are for fits without penalties.",
              i = "Use `sparsity = \"lrt\"` or a penalty, not both.", .call = .call)
  }
  list(sparsity = sparsity, sparsity_level = level)
}
