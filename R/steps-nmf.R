# Arguments of nmf(): what each method is, and what goes together.

# `takes` are the extras that a method can do.
nmf_method <- function(method, .call = caller_env()) {
  penalties <- c("l1", "l2", "angle")
  all <- c(penalties, "upper", "graph", "known_basis", "weights")
  known <- list(
    hals = list("hals", "frobenius", all), Frobenius = list("hals", "frobenius", all),
    anls = list("anls", "frobenius", penalties), pg = list("gradient", "frobenius", penalties),
    lee = list("lee", "frobenius"), offset = list("offset", "frobenius", setdiff(all, "weights")),
    `snmf/r` = list("anls", "frobenius"), `snmf/l` = list("anls", "frobenius"),
    `ls-nmf` = list("hals", "frobenius", all),
    kl = list("kl", "kl", all), KL = list("kl", "kl", all),
    brunet = list("brunet", "kl", "weights"), nsNMF = list("nonsmooth", "kl")
  )
  method <- check_choice(method, names(known), "method", .call = .call)
  found <- known[[method]]
  names(found) <- c("algorithm", "loss", "takes")[seq_along(found)]
  found$name <- method
  found$multiplicative <- found$algorithm %in% c("brunet", "lee", "nonsmooth")
  found$prefer <- if (found$loss == "kl") c("counts", "logcounts", "data") else
    c("logcounts", "data", "counts")
  found
}

# The options of the package NMF, "vp2k-t", over what the arguments say.
nmf_options <- function(options, given, .call = caller_env()) {
  if (is.null(options)) return(given)
  if (!is.character(options) || length(options) != 1L ||
      !grepl("^([+-]?([vtkVTK]|[pP][0-9]*))*$", options)) {
    stop_user("argument", "`.options` must be a string of v, t, k and p with a number.",
              x = paste0("It is ", describe(options), "."),
              i = "For example \"vp4\": verbose, on 4 threads.", .call = .call)
  }
  for (part in regmatches(options, gregexpr("[+-]?[vtkpVTKP][0-9]*", options))[[1L]]) {
    on <- !startsWith(part, "-")
    number <- as.numeric(gsub("[^0-9]", "", part))
    switch(tolower(gsub("[^a-zA-Z]", "", part)),
           v = given$verbose <- on,
           k = given$keep_all <- on,
           p = given$threads <- if (!on) 1L else if (is.na(number)) given$threads else number)
  }
  given
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
  bound <- what == "upper"
  ok <- is.numeric(x) && length(x) %in% 1:2 && !anyNA(x) && all(x >= 0) &&
    (bound || all(is.finite(x)))
  if (!ok) {
    stop_user("argument", paste0("`", what, "` must be one ", if (!bound) "finite ",
                                 "number of at least 0, or two: for basis and coefficients."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  as.double(rep_len(x, 2L))
}

NMF_STARTS <- c("random", "nndsvd", "nndsvda", "nndsvdar")

warn_same_start <- function(.call = caller_env()) {
  warn_user("same_start", "All runs would start at the same point: only one is made.",
            i = "Several runs need random starts.", .call = .call)
}

# How runs start: a seed, a number of runs, the name of a start or the start.
nmf_start <- function(seed, init, nrun, rank, dim, method, .call = caller_env()) {
  start <- list(nrun = check_count(nrun, "nrun", max = MOST_REPEATS, .call = .call))
  if (is.character(seed)) {
    init <- check_choice(seed, NMF_STARTS, "seed", .call = .call)
    seed <- NULL
  }
  start$init <- check_choice(init, NMF_STARTS, "init", .call = .call)
  if (is.list(seed)) {
    start$basis <- check_start(seed$basis, "basis", c(dim[1L], rank), .call)
    start$coef <- check_start(seed$coef, "coef", c(rank, dim[2L]), .call)
    start$init <- "random"
    seed <- NULL
  }
  if (start$init == "nndsvd" && method$multiplicative) {
    stop_user("argument", "`init` \"nndsvd\" has zeros, which multiplicative updates never leave.",
              i = "Use \"nndsvda\" or \"nndsvdar\".", .call = .call)
  }
  if (start$nrun > 1 && (start$init != "random" || !is.null(start$basis))) {
    warn_same_start(.call)
    start$nrun <- 1
  }
  start$seed <- check_seed(seed, .call = .call)
  start
}

check_start <- function(x, what, dim, .call) {
  ok <- is.matrix(x) && is.numeric(x) && identical(dim(x), as.integer(dim)) && !anyNA(x) &&
    all(x >= 0 & is.finite(x))
  if (!ok) {
    stop_user("argument", paste0("The start's `", what, "` must be a non-negative ", dim[1L], " x ",
                                 dim[2L], " matrix."),
              x = paste0("It is ", describe(x), "."), .call = .call)
  }
  storage.mode(x) <- "double"
  x
}

# Weights in the forms that Rust borrows, and as they were given.
nmf_weights <- function(weights, x, method, .call = caller_env()) {
  if (is.null(weights)) {
    if (method$name == "ls-nmf") {
      stop_user("argument", "Method \"ls-nmf\" needs `weights`.",
                i = "Without weights it is method \"hals\".", .call = .call)
    }
    return(list(given = NULL, rust = NULL))
  }
  check_takes(method, "weights", .call = .call)
  if (is.list(weights) && !is.data.frame(weights)) return(outer_weights(weights, x, .call))
  if (is_sparse_matrix(weights)) weights <- as_csc(weights)
  if (is.data.frame(weights)) weights <- as.matrix(weights)
  sparse <- methods::is(weights, "dgCMatrix")
  if (!sparse && !is.matrix(weights)) {
    stop_weights(paste0("It is ", describe(weights), "."), .call)
  }
  if (!identical(dim(weights), dim(x))) {
    stop_weights(paste0("It is ", nrow(weights), " x ", ncol(weights), "; `x` is ", nrow(x), " x ",
                        ncol(x), "."), .call)
  }
  check_weights(if (sparse) weights@x else weights, .call)
  if (!sparse) storage.mode(weights) <- "double"
  list(given = weights, rust = weights)
}

# Weights that are products of one per feature and one per sample.
outer_weights <- function(weights, x, .call) {
  parts <- list(features = weights$features %||% rep(1, nrow(x)),
                samples = weights$samples %||% rep(1, ncol(x)))
  if (length(parts$features) != nrow(x) || length(parts$samples) != ncol(x)) {
    stop_weights(paste0("It needs ", nrow(x), " and ", ncol(x), " numbers, and has ",
                        length(parts$features), " and ", length(parts$samples), "."), .call)
  }
  lapply(parts, check_weights, .call = .call)
  list(given = weights, rust = lapply(parts, as.double))
}

check_weights <- function(weights, .call) {
  if (!is.numeric(weights) || !all(is.finite(weights)) || any(weights < 0)) {
    stop_weights("Some are negative or not finite.", .call)
  }
  if (!any(weights > 0)) stop_weights("All are 0.", .call)
  # they multiply squares of squares
  check_scale(max(weights), "weights", .call, sqrt(SCALES))
}

stop_weights <- function(fact, .call) {
  stop_user("argument", paste("`weights` must be finite and non-negative: a matrix like `x`,",
                              "or a list of vectors `features` and `samples`."),
            x = fact, .call = .call)
}

# What belongs to one method only.
nmf_model <- function(method, theta, eta, beta, largest, .call = caller_env()) {
  sparse <- method$name %in% c("snmf/r", "snmf/l")
  own <- list(theta = method$name == "nsNMF", eta = sparse, beta = sparse)
  given <- list(theta = theta, eta = eta, beta = beta)
  for (what in names(own)) {
    if (!is.null(given[[what]]) && !own[[what]]) {
      stop_user("argument", paste0("`", what, "` is for other methods than \"", method$name, "\"."),
                i = if (what == "theta") "It belongs to \"nsNMF\"."
                    else "It belongs to \"snmf/r\" and \"snmf/l\".", .call = .call)
    }
  }
  if (own$theta) {
    theta <- check_number(theta %||% 0.5, "theta", 0, 1, .call = .call)
    return(list(settings = list(theta = theta), engine = list(theta = theta, l1_squared = c(0, 0))))
  }
  if (!sparse) return(list(settings = list(), engine = list(l1_squared = c(0, 0))))
  # the package NMF says -1 for the largest entry
  if (is.null(eta) || identical(as.double(eta), -1)) eta <- largest
  eta <- check_number(eta, "eta", min = 0, .call = .call)
  beta <- check_number(beta %||% 0.01, "beta", min = 0, .call = .call)
  right <- method$name == "snmf/r"
  list(settings = list(eta = eta, beta = beta),
       engine = list(l1_squared = if (right) c(0, beta) else c(beta, 0),
                     l2 = if (right) c(eta, 0) else c(0, eta)))
}

# Penalties, bounds, graphs and known columns, as the engine takes them.
nmf_constraints <- function(numbers, graphs, known, x, rank, method, weighted,
                            .call = caller_env()) {
  out <- Map(check_both, numbers, names(numbers), MoreArgs = list(.call = .call))
  for (what in c("l1", "l2", "angle")) {
    if (any(out[[what]] > 0)) check_takes(method, what, .call = .call)
  }
  if (any(is.finite(out$upper))) check_takes(method, "upper", .call = .call)
  sizes <- dim(x)
  for (at in 1:2) {
    graph <- graphs[[at]]
    if (is.null(graph)) next
    check_takes(method, "graph", names(graphs)[at], .call = .call)
    if (weighted && method$loss == "frobenius") {
      stop_user("argument", paste0("`", names(graphs)[at], "` does not go with weights or missing ",
                                   "values under the Frobenius loss."),
                i = "Method \"kl\" has both.", .call = .call)
    }
    out[[names(graphs)[at]]] <- check_graph(graph, names(graphs)[at], sizes[at], .call)
  }
  out$known <- check_known(known, x, rank, method, .call)
  # a basis that is known altogether leaves nothing to shift between the factors
  if (length(out$known) < nrow(x) * rank) warn_one_sided(out, .call)
  # a sparse method brings its own ridge
  if (method$name %in% c("snmf/r", "snmf/l")) out$l2 <- NULL
  out
}

check_graph <- function(graph, what, size, .call) {
  if (is.matrix(graph) && is.numeric(graph)) graph <- methods::as(graph, "CsparseMatrix")
  ok <- methods::is(graph, "Matrix") && identical(dim(graph), c(size, size))
  if (ok) {
    graph <- as_csc(graph)
    dimnames(graph) <- list(NULL, NULL)
    ok <- all(is.finite(graph@x)) && all(graph@x >= 0) && Matrix::isSymmetric(graph)
  }
  if (!ok) {
    stop_user("argument", paste0("`", what, "` must be a symmetric non-negative ", size, " x ",
                                 size, " matrix."),
              x = paste0("It is ", paste(dim(graph), collapse = " x "), "."), .call = .call)
  }
  graph
}

check_known <- function(known, x, rank, method, .call) {
  if (is.null(known)) return(numeric())
  check_takes(method, "known_basis", .call = .call)
  known <- as.matrix(known)
  if (!is.null(rownames(known)) && !is.null(rownames(x))) {
    absent <- setdiff(rownames(x), rownames(known))
    if (length(absent)) {
      stop_user("argument", "`known_basis` must have a row for each feature of `x`.",
                x = paste0("It lacks ", some_of(absent), "."), .call = .call)
    }
    known <- known[rownames(x), , drop = FALSE]
  }
  ok <- is.numeric(known) && nrow(known) == nrow(x) && ncol(known) <= rank && !anyNA(known) &&
    all(known >= 0 & is.finite(known))
  if (!ok) {
    stop_user("argument", paste0("`known_basis` must be a non-negative matrix with ",
                                 plural(nrow(x), "row"), " and at most ", plural(rank, "column"),
                                 "."),
              x = paste0("It is ", describe(known), "."), .call = .call)
  }
  as.double(known)
}

warn_one_sided <- function(constraints, .call) {
  graph <- c(!is.null(constraints$feature_graph), !is.null(constraints$sample_graph))
  held <- constraints$l1 > 0 | constraints$l2 > 0 | graph & constraints$smoothness > 0
  pushed <- held | constraints$angle > 0
  # bounded or known factors cannot grow to make up for the other
  held <- held | is.finite(constraints$upper)
  if (any(pushed) && !all(held)) {
    free <- c("basis", "coefficients")[!held]
    warn_user("one_sided_penalty", "A penalty on one factor alone has no minimum.",
              x = paste0("Nothing keeps the ", paste(free, collapse = " and "),
                         " from growing while the other factor shrinks."),
              i = "Give both factors a penalty `l1` or `l2`, or an upper bound.", .call = .call)
  }
}
