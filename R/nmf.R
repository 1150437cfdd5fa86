#' Non-negative matrix factorisation
#'
#' Writes a non-negative matrix, features × samples, as a product of few
#' non-negative metagenes (columns of W, the basis) and their use in each sample
#' (columns of H, the coefficients).
#'
#' # Model
#'
#' \deqn{X \approx W H, \quad W \ge 0, \; H \ge 0,}
#' with one of two losses, \eqn{\mu = W H}:
#' \deqn{\mathrm{Frobenius:}\ \tfrac12 \sum_{ij} (x_{ij} - \mu_{ij})^2, \qquad
#'   \mathrm{KL:}\ \sum_{ij} x_{ij} \log(x_{ij} / \mu_{ij}) - x_{ij} + \mu_{ij}.}
#' The generalised Kullback-Leibler divergence is, up to a constant, the negative
#' log-likelihood of Poisson counts: take it for raw counts, and the Frobenius loss
#' for logarithms and other values whose errors do not grow with them.
#' Both problems have many local minima. Several runs (`nrun`) from random starts
#' find better ones, and tell by [consensus()] how stable the answer is.
#'
#' # Methods
#'
#' \tabular{lll}{
#'   `method` \tab loss \tab algorithm \cr
#'   `"hals"`, `"Frobenius"` \tab Frobenius \tab coordinate descent on Gram matrices,
#'     several sweeps per product with X (Gillis and Glineur, 2012) \cr
#'   `"anls"` \tab Frobenius \tab exact least squares by block principal pivoting
#'     (Kim and Park, 2011) \cr
#'   `"pg"` \tab Frobenius \tab projected gradient (compare Lin, 2007) \cr
#'   `"lee"` \tab Frobenius \tab multiplicative (Lee and Seung, 2001) \cr
#'   `"offset"` \tab Frobenius \tab X ~ WH + b1' with a constant per feature
#'     (Badea, 2008), by coordinate descent \cr
#'   `"snmf/r"`, `"snmf/l"` \tab Frobenius \tab sparse coefficients, or sparse basis
#'     (Kim and Park, 2007) \cr
#'   `"ls-nmf"` \tab Frobenius \tab with `weights` (Wang et al., 2006), by coordinate
#'     descent \cr
#'   `"kl"`, `"KL"` \tab KL \tab a Newton step per feature and sample, with a line search
#'     that cannot raise the objective (compare Hsieh and Dhillon, 2011) \cr
#'   `"brunet"` \tab KL \tab multiplicative (Brunet et al., 2004) \cr
#'   `"nsNMF"` \tab KL \tab X ~ WSH with \eqn{S = (1 - \theta) I + \theta 11^T / k} and
#'     columns of W that sum to 1 (Pascual-Montano et al., 2006), multiplicative \cr
#' }
#'
#' Names that the package NMF has are kept. `"hals"` is the default, and `"kl"` is
#' what to take for counts: both reach a better objective than the multiplicative
#' methods in a small part of their time. All but the multiplicative methods
#' extrapolate their steps (Ang and Gillis, 2019) and take a step back whenever the
#' objective would rise. Methods of one loss share its minima (`"hals"`, `"anls"`,
#' `"pg"`, `"lee"`; `"kl"`, `"brunet"`) and differ in how close they get, and from one
#' start may reach different ones. Multiplicative updates never leave an entry that is
#' zero, so that they may end where there is no minimum. `"snmf/r"`, `"snmf/l"`,
#' `"nsNMF"`, `"offset"` and `"ls-nmf"` minimise functions of their own.
#'
#' # Stopping
#'
#' A run ends when the objective falls by less than `tolerance` of itself per
#' iteration, on average over ten iterations (reason `"tolerance"`); the
#' multiplicative methods, unless a `tolerance` is given, when no sample has changed
#' its cluster for 400 iterations (`"connectivity"`, Brunet's rule), and all of them
#' after `max_iter` iterations (`"iterations"`, with a warning). `runs$kkt` says how
#' far from a stationary point a run ended: the length of one more coordinate-wise
#' Newton step in the metric of the loss, relative to the data,
#' \eqn{\sqrt{\sum h \delta^2 / \sum x^2}} (KL: \eqn{/ \sum x}), which does not
#' depend on the scale of X or of the components. With weights under the Frobenius
#' loss it is the norm of the projected gradient relative to that of the right-hand
#' sides.
#'
#' # Penalties and bounds
#'
#' Added to the loss, for the basis and for the coefficients (C, with columns
#' \eqn{c_j}):
#' \deqn{\lambda_1 \sum c + \tfrac{\lambda_2}{2} \sum c^2
#'   + \tfrac{\alpha}{2} \sum_j \sum_{k \ne l} c_{kj} c_{lj}
#'   + \tfrac{\gamma}{2} \sum_{i<j} a_{ij} \| c_i - c_j \|^2}
#' with `l1`, `l2`, `angle` and `smoothness` (over a graph with adjacency a). They
#' are in units of the objective. A component can be made larger in W and smaller
#' in H at will, so a penalty on one factor alone has no minimum; give the other
#' one a penalty, too, or an upper bound, or know all of the basis.
#'
#' # Order and scale
#'
#' Components come in decreasing order of \eqn{\sum_i W_{ik} \sum_j H_{kj}}, their part
#' of the fitted total. Columns of W have equal sums, and W and H the same mean:
#' the coefficients of a sample then compare as parts of its fitted total, and the
#' component with the largest one, its cluster, does not depend on the scale that a
#' run happened to end with. Components keep their scale where
#' it means something: with penalties, upper bounds, known columns, or
#' `"nsNMF"`. A component that dies out is started again from the sample that is
#' explained worst, three times at most; `runs$exhausted` counts those that
#' stayed empty. Features and samples that are zero throughout stay in the result
#' with zeros.
#'
#' @param x Features × samples, non-negative: a matrix, data frame (a first column of
#'   text names the features), sparse matrix (never made dense),
#'   `SummarizedExperiment`, `SingleCellExperiment`, `ExpressionSet` or Seurat
#'   object.
#' @param rank Number of components; several numbers give what
#'   [estimate_rank()] does.
#' @param method One of the names above. Several give a fit each, as [nmf_fits]; what they do
#'   not all take is then refused by those that do not.
#' @param nrun Runs from different random starts, of which the best is kept. More
#'   runs find a better minimum and make [consensus()] finer. For several ranks 30.
#' @param seed A whole number; the same seed gives the same result to the bit
#'   whatever the number of threads. `NULL` takes one from R's random stream. As
#'   in the package NMF, the name of an `init`, or a start as a list of
#'   matrices `basis` and `coef` (such as another fit).
#' @param ... For several ranks: further arguments of [estimate_rank()]. Otherwise
#'   only `maxIter` and `weight`, names that the package NMF has for `max_iter` and
#'   `weights`.
#' @param init `"random"` (uniform numbers), or the non-negative double singular value
#'   decomposition (Boutsidis and Gallopoulos, 2008): `"nndsvd"`, `"nndsvda"` (zeros
#'   become the mean of X) or `"nndsvdar"` (zeros become small random numbers). One
#'   run suffices for these.
#' @param weights Weights of the entries under `"hals"`, `"kl"`, `"brunet"` and
#'   `"ls-nmf"`: a matrix like `x` (dense or sparse; 0 leaves an entry out), or a list
#'   of vectors `features` and `samples` whose products are the weights.
#' @param na `"missing"` leaves missing entries of `x` out of the fit, as a weight of
#'   0 does; `"refuse"` stops.
#' @param theta For `"nsNMF"`: smoothing in \[0, 1\], default 0.5. Higher values make
#'   factors sparser; 0 is KL.
#' @param eta,beta For `"snmf/r"` and `"snmf/l"`: ½ eta|.|² of the factor that is not
#'   sparse, default the largest entry of `x`, and ½ beta sum |.|_1² over the samples (`"snmf/r"`)
#'   or features (`"snmf/l"`) of the one that is, default 0.01. Higher `beta` makes it
#'   sparser.
#' @param l1,l2,angle Penalties: one number for both factors, or two, for basis and
#'   coefficients. `l1` makes entries zero, `l2` shrinks them, `angle` keeps components
#'   from sharing features or samples.
#' @param feature_graph,sample_graph Symmetric non-negative adjacency matrices (sparse
#'   or dense) among features or samples: neighbours get similar rows of W, or columns
#'   of H (Cai et al., 2011).
#' @param smoothness Weight \eqn{\gamma} of the graphs: one number or two, for features
#'   and samples.
#' @param upper Largest value of an entry of W and of H: one number or two. It does not
#'   bind a known basis or an offset's coefficients.
#' @param known_basis Features × known components: the first columns of W, which
#'   stay as they are.
#' @param max_iter Iterations at most, each one update of W and one of H. Methods
#'   that extrapolate (all but the multiplicative ones) end with one update more,
#'   without extrapolation.
#' @param tolerance Relative decrease of the objective per iteration at which a run
#'   ends; `NULL` is 1e-6, or Brunet's rule for the multiplicative methods. Lower
#'   values take longer and come closer to the minimum.
#' @param keep_all Keep the factors of all runs in `fits`?
#' @param keep_x Keep `x` (no copy is made), which measures and pictures need?
#' @param assay For a `SummarizedExperiment`, `SingleCellExperiment` or Seurat object:
#'   the assay to read. By default `"logcounts"` (Seurat: the layer `data` of the
#'   active assay), or else `"counts"`; the other way round for KL losses.
#' @param .options Options of the package NMF, as a string: `v` (verbose), `p` with a
#'   number (threads), `k` (keep all runs), `t` (the trace, which is always kept); a
#'   `-` before a letter means no.
#' @param verbose Show progress?
#' @param threads Threads to use. The answer does not depend on it, to the bit.
#' @return An object of class `nmf_fit`, a list:
#'   \item{basis, coef}{W (features × rank) and H (rank × samples).}
#'   \item{rank, method, loss}{What was fitted; `loss` is `"frobenius"` or `"kl"`.}
#'   \item{objective}{Loss and penalties of the best run.}
#'   \item{theta, offset}{Of `"nsNMF"`, and the constant per feature of `"offset"`.}
#'   \item{runs}{Data frame of the runs: `run`, `objective`, `kkt`, `iterations`,
#'     `converged`, `reason`, `exhausted`, `cpu` (seconds that the run took).}
#'   \item{trace}{Data frame of the best run: `iteration`, `objective`, which does not
#'     rise but by rounding.}
#'   \item{membership}{Samples × runs: the component with the largest coefficient.
#'     All that is kept of the other runs, so that memory grows with samples × runs.}
#'   \item{fits}{With `keep_all`: a list of `basis` and `coef` per run.}
#'   \item{x, weights, missing}{The matrix, the weights, and the number of missing
#'     entries, if any.}
#'   \item{seed, settings, call}{How it was fitted.}
#' @section Errors: `unalloy_error_negative_values`, `unalloy_error_missing_values`,
#'   `unalloy_error_infinite_values`, `unalloy_error_empty_matrix`,
#'   `unalloy_error_not_numeric` and `unalloy_error_too_large` (on disk, with more entries
#'   than R counts to) for matrices without a factorisation,
#'   `unalloy_error_argument` for settings out of range or that do not go together.
#'   Warnings: `unalloy_warning_not_converged`, `unalloy_warning_one_sided_penalty`,
#'   `unalloy_warning_same_start`.
#' @references
#' Ang, Gillis (2019) Neural Computation 31:417. Badea (2008) Pac. Symp. Biocomput.
#' 13:279. Boutsidis, Gallopoulos (2008) Pattern Recognition 41:1350. Brunet et al.
#' (2004) PNAS 101:4164. Cai et al. (2011) IEEE Trans. PAMI 33:1548. Gillis, Glineur
#' (2012) Neural Computation 24:1085. Hsieh, Dhillon (2011) KDD, 1064. Kim, Park
#' (2007) Bioinformatics 23:1495; (2011) SIAM J. Sci. Comput. 33:3261. Lee, Seung
#' (2001) NIPS 13:556. Lin (2007) Neural Computation 19:2756. Pascual-Montano et al.
#' (2006) IEEE Trans. PAMI 28:403. Wang et al. (2006) BMC Bioinformatics 7:175.
#' @seealso [estimate_rank()], [basis()], [coef()], [consensus()], [summary()]
#' @export
#' @examples
#' sim <- simulate_bulk(n_genes = 300, n_types = 3, n_samples = 20, seed = 1)
#' fit <- nmf(sim$bulk_counts, rank = 3, method = "kl", nrun = 5, seed = 1)
#' fit$runs
#' dim(fit$basis)
#' # missing entries are left out of the fit
#' holes <- log1p(sim$bulk_counts)
#' holes[cbind(1:20, 1:20)] <- NA
#' nmf(holes, rank = 3, na = "missing", seed = 1)$objective
nmf <- function(x, rank, method = "hals", nrun = if (length(rank) > 1L) 30L else 1L,
                seed = NULL, ..., init = "random", weights = NULL,
                na = c("refuse", "missing"), theta = NULL, eta = NULL, beta = NULL,
                l1 = 0, l2 = 0, angle = 0, feature_graph = NULL, sample_graph = NULL,
                smoothness = 1, upper = Inf, known_basis = NULL, max_iter = 2000L,
                tolerance = NULL, keep_all = FALSE, keep_x = TRUE, assay = NULL,
                .options = NULL, verbose = TRUE, threads = getOption("unalloy.threads", 2L)) {
  check_call()
  call <- match.call()
  if (is.numeric(rank) && length(rank) > 1L) {
    call[[1L]] <- quote(unalloy::estimate_rank)
    names(call)[names(call) == "rank"] <- "ranks"
    call$nrun <- nrun
    return(eval(call, parent.frame()))
  }
  if (length(method) > 1L) return(fit_each_method(x, method, seed, call, parent.frame()))
  # what the package NMF calls otherwise
  refuse_dots(..., .known = c("maxIter", "weight"))
  other <- list(...)
  max_iter <- other$maxIter %||% max_iter
  weights <- weights %||% other$weight
  method <- nmf_method(method)
  samples <- cell_data(x)
  x <- nmf_input(x, assay, method$prefer)
  rank <- check_rank(rank, dim(x))
  options <- nmf_options(.options, list(verbose = verbose, keep_all = keep_all,
                                        threads = threads))
  start <- nmf_start(seed, init, nrun, rank, dim(x), method)
  scan <- check_nmf_values(x, check_choice(na, c("refuse", "missing"), "na"), method)
  weights <- nmf_weights(weights, x, method)
  model <- nmf_model(method, theta, eta, beta, max(scan$max))
  constraints <- nmf_constraints(
    list(l1 = l1, l2 = l2, angle = angle, smoothness = smoothness, upper = upper),
    list(feature_graph = feature_graph, sample_graph = sample_graph), known_basis, x, rank,
    method, weighted = !is.null(weights$rust) || scan$n_missing > 0
  )
  settings <- list(
    rank = rank, nrun = start$nrun, init = start$init, max_iter = check_count(max_iter, "max_iter"),
    tolerance = if (!is.null(tolerance)) check_number(tolerance, "tolerance", min = 0),
    keep_all = check_flag(options$keep_all, "keep_all"), threads = check_threads(options$threads)
  )
  engine <- c(
    settings[c("rank", "nrun", "init", "max_iter", "threads")],
    list(algorithm = method$algorithm, keep_all = settings$keep_all,
         tolerance = settings$tolerance %||% 1e-6, seed = start$seed,
         unchanged = if (method$multiplicative && is.null(tolerance)) 400,
         start_basis = start$basis, start_coef = start$coef),
    model$engine, constraints
  )
  fitted <- call_rs(rs_nmf, x = x, weights = weights$rust, .given = engine,
                    progress = progress_bar("Factorising", settings$nrun, options$verbose))
  settings <- c(settings, constraints[c("l1", "l2", "angle", "upper")], model$settings)
  fit <- new_nmf_fit(fitted, x, method, settings, colnames(known_basis))
  fit$x <- if (check_flag(keep_x, "keep_x")) x
  fit$sample_data <- samples
  fit$weights <- weights$given
  fit$missing <- if (scan$n_missing > 0) scan$n_missing
  fit$theta <- model$settings$theta
  fit$seed <- start$seed
  fit$call <- call
  warn_runs_not_converged(fit, fitted$best, settings$max_iter)
  fit
}

# A fit by each method, from the same seed; a method that fails leaves the others be.
fit_each_method <- function(x, methods, seed, call, envir, .call = caller_env()) {
  methods <- unlist(methods)
  for (name in methods) nmf_method(name, .call = .call)
  if (anyDuplicated(methods)) {
    stop_user("argument", "Every method can be asked for once.",
              x = paste0("Twice: ", some_of(unique(methods[duplicated(methods)])), "."),
              .call = .call)
  }
  call[[1L]] <- quote(unalloy::nmf)
  call$x <- quote(x)
  place <- list2env(list(x = x), parent = envir)
  if (is.null(seed)) call$seed <- check_seed(NULL)
  errors <- list()
  fits <- lapply(stats::setNames(nm = methods), function(name) {
    call$method <- name
    tryCatch(eval(call, place), unalloy_error = function(e) {
      errors[[name]] <<- e
      NULL
    })
  })
  if (length(errors) == length(methods)) on_behalf(.call, rlang::cnd_signal(errors[[1L]]))
  told <- vapply(errors, function(e) cli::ansi_strip(rlang::cnd_header(e)), "")
  if (length(told)) {
    warn_user("method_failed", paste0("There is no fit by ", some_of(names(told)), "."),
              x = told[[1L]], .call = .call)
  }
  new_nmf_fits(Filter(Negate(is.null), fits), told)
}

new_nmf_fit <- function(fitted, x, method, settings, known) {
  components <- paste0("metagene", seq_len(settings$rank))
  components[seq_along(known)] <- known
  named <- function(factors) {
    dimnames(factors$basis) <- list(rownames(x), components)
    dimnames(factors$coef) <- list(components, colnames(x))
    factors
  }
  factors <- named(fitted$factors)
  membership <- fitted$membership
  dimnames(membership) <- list(colnames(x), NULL)
  out <- list(
    basis = factors$basis, coef = factors$coef, rank = settings$rank, method = method$name,
    loss = method$loss, objective = fitted$objective,
    runs = data.frame(run = seq_along(fitted$objectives), objective = fitted$objectives,
                      kkt = fitted$kkt, iterations = as.integer(fitted$iterations),
                      converged = fitted$reasons != "iterations", reason = fitted$reasons,
                      exhausted = as.integer(fitted$exhausted), cpu = fitted$seconds),
    trace = data.frame(iteration = fitted$iteration, objective = fitted$trace),
    membership = membership, settings = settings
  )
  if (length(fitted$offset)) out$offset <- stats::setNames(fitted$offset, rownames(x))
  if (settings$keep_all) out$fits <- lapply(fitted$fits, named)
  structure(out, class = "nmf_fit")
}

warn_runs_not_converged <- function(fit, best, max_iter, .call = caller_env()) {
  if (fit$runs$converged[best]) return(invisible())
  warn_user("not_converged", "The best run ended before it met its stopping rule.",
            x = paste0("It made ", count_text(max_iter), " iterations."),
            i = "Raise `max_iter` or `tolerance`; `runs$kkt` says how far it came.",
            .call = .call)
}
