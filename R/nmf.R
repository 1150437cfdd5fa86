#' Non-negative matrix factorisation
#'
#' @param x Features × samples.
#' @param rank Number of components.
#' @param method The algorithm.
#' @param nrun Number of runs from different starts; the best is kept.
#' @param seed A whole number.
#' @param ... Not used.
#' @param init How runs start.
#' @param l1,l2,angle Penalties.
#' @param max_iter Iterations at most.
#' @param tolerance Relative decrease per iteration.
#' @param keep_all Keep the factors of all runs?
#' @param keep_x Keep x?
#' @param assay For objects with several matrices.
#' @param verbose Show progress?
#' @param threads Threads.
#' @export
nmf <- function(x, rank, method = "hals", nrun = if (length(rank) > 1L) 30L else 1L,
                seed = NULL, ..., init = "random", l1 = 0, l2 = 0, angle = 0,
                max_iter = 2000L, tolerance = 1e-6, keep_all = FALSE, keep_x = TRUE,
                assay = NULL, verbose = TRUE, threads = getOption("unalloy.threads", 2L)) {
  call <- match.call()
  algorithm <- nmf_method(method)
  if (length(rank) > 1L) {
    return(estimate_rank(x, ranks = rank, nrun = nrun, method = method, seed = seed, ...))
  }
  input <- nmf_input(x, assay, algorithm$prefer)
  check_nmf_values(input)
  x <- input$matrix
  settings <- list(
    rank = check_rank(rank, dim(x)), nrun = check_count(nrun, "nrun"), seed = check_seed(seed),
    init = check_choice(init, c("random", "nndsvd", "nndsvda", "nndsvdar"), "init"),
    l1 = check_both(l1, "l1"), l2 = check_both(l2, "l2"), angle = check_both(angle, "angle"),
    max_iter = check_count(max_iter, "max_iter"),
    tolerance = check_number(tolerance, "tolerance", min = 0),
    keep_all = check_flag(keep_all, "keep_all"), threads = check_threads(threads)
  )
  engine <- c(settings, list(
    algorithm = algorithm$algorithm, l1_squared = c(0, 0), upper = c(Inf, Inf),
    unchanged = if (algorithm$multiplicative) 400 else 0
  ))
  engine$keep_all <- as.double(settings$keep_all)
  fitted <- call_rs(rs_nmf(input$values, nrow(x), ncol(x), engine,
                           progress_bar("Factorising", settings$nrun, verbose)))
  new_nmf_fit(fitted, x, algorithm, settings, keep_x, call)
}

# What each name stands for.
nmf_method <- function(method, .call = caller_env()) {
  known <- list(
    hals = list(algorithm = "hals", loss = "frobenius"),
    Frobenius = list(algorithm = "hals", loss = "frobenius"),
    anls = list(algorithm = "anls", loss = "frobenius"),
    kl = list(algorithm = "kl", loss = "kl"),
    KL = list(algorithm = "kl", loss = "kl"),
    brunet = list(algorithm = "brunet", loss = "kl")
  )
  method <- check_choice(method, names(known), "method", .call = .call)
  found <- known[[method]]
  found$name <- method
  found$multiplicative <- found$algorithm %in% c("brunet")
  found$prefer <- if (found$loss == "kl") c("counts", "logcounts", "data") else
    c("logcounts", "data", "counts")
  found
}

check_rank <- function(rank, dim, .call = caller_env()) {
  rank <- check_count(rank, "rank", .call = .call)
  if (rank > min(dim)) {
    stop_user("argument", "`rank` must not be above the number of features or samples.",
              x = paste0("It is ", rank, "; `x` is ", dim[1L], " x ", dim[2L], "."),
              .call = .call)
  }
  rank
}

# One number for both factors, or one for the basis and one for the coefficients.
check_both <- function(x, what, .call = caller_env()) {
  if (!length(x) %in% 1:2) {
    stop_user("argument", paste0("`", what, "` must be one number, or two: for basis and coef."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  vapply(rep_len(x, 2L), check_number, 0, what = what, min = 0, .call = .call, USE.NAMES = FALSE)
}

new_nmf_fit <- function(fitted, x, algorithm, settings, keep_x, call) {
  components <- paste0("metagene", seq_len(settings$rank))
  named <- function(factors) {
    dimnames(factors$basis) <- list(rownames(x), components)
    dimnames(factors$coef) <- list(components, colnames(x))
    factors
  }
  factors <- named(fitted$factors)
  membership <- fitted$membership
  dimnames(membership) <- list(colnames(x), NULL)
  out <- list(
    basis = factors$basis, coef = factors$coef, rank = settings$rank, method = algorithm$name,
    loss = algorithm$loss, objective = fitted$objective,
    runs = data.frame(run = seq_along(fitted$objectives), objective = fitted$objectives,
                      kkt = fitted$kkt, iterations = as.integer(fitted$iterations),
                      converged = fitted$reasons != "iterations", reason = fitted$reasons,
                      exhausted = as.integer(fitted$exhausted), cpu = fitted$seconds),
    trace = data.frame(iteration = fitted$iteration, objective = fitted$trace),
    membership = membership, fits = if (settings$keep_all) lapply(fitted$fits, named),
    x = if (keep_x) x, seed = settings$seed, settings = settings, call = call
  )
  structure(out[!vapply(out, is.null, NA)], class = "nmf_fit")
}
