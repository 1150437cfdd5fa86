# Generics for factorisations, with the names that users of the package NMF know.
# They dispatch on unalloy's own objects and on plain matrices and factors; every
# other object goes on to the function of that name in another package.

#' Generics for matrix factorisations
#'
#' Functions with the names of the package NMF. Each works on a factorisation
#' made by [nmf()] (see [nmf_fit] and the pages linked there). For objects that
#' it does not know it calls the function of the same name in the next package
#' on the search path, or in NMF or cluster if one of them is loaded: packages
#' that share names with unalloy keep working whichever is attached last. When
#' NMF is attached later, its generics know the results of unalloy.
#'
#' @param object,x A factorisation, or what the other package's function takes.
#' @param y Known classes, one per sample.
#' @param ... Passed on to methods.
#' @return As described at the methods.
#' @section Errors: `unalloy_error_class` for an object that neither unalloy nor
#'   another loaded package knows.
#' @importFrom methods setOldClass
#' @name nmf_generics
#' @keywords internal
NULL

#' @rdname nmf_generics
#' @export
basis <- function(object, ...) {
  check_call("object")
  UseMethod("basis")
}

#' @rdname nmf_generics
#' @export
nbasis <- function(x, ...) {
  check_call("x")
  UseMethod("nbasis")
}

#' @rdname nmf_generics
#' @export
consensus <- function(object, ...) {
  check_call("object")
  UseMethod("consensus")
}

#' @rdname nmf_generics
#' @export
compare <- function(object, ...) {
  check_call("object")
  UseMethod("compare")
}

#' @rdname nmf_generics
#' @export
connectivity <- function(object, ...) {
  check_call("object")
  UseMethod("connectivity")
}

#' @rdname nmf_generics
#' @export
cophcor <- function(object, ...) {
  check_call("object")
  UseMethod("cophcor")
}

#' @rdname nmf_generics
#' @export
dispersion <- function(object, ...) {
  check_call("object")
  UseMethod("dispersion")
}

#' @rdname nmf_generics
#' @export
silhouette <- function(x, ...) {
  check_call("x")
  UseMethod("silhouette")
}

#' @rdname nmf_generics
#' @export
sparseness <- function(x, ...) {
  check_call("x")
  UseMethod("sparseness")
}

#' @rdname nmf_generics
#' @export
rss <- function(object, ...) {
  check_call("object")
  UseMethod("rss")
}

#' @rdname nmf_generics
#' @export
evar <- function(object, ...) {
  check_call("object")
  UseMethod("evar")
}

#' @rdname nmf_generics
#' @export
featureScore <- function(object, ...) { # nolint: object_name_linter.
  check_call("object")
  UseMethod("featureScore")
}

#' @rdname nmf_generics
#' @export
extractFeatures <- function(object, ...) { # nolint: object_name_linter.
  check_call("object")
  UseMethod("extractFeatures")
}

#' @rdname nmf_generics
#' @export
purity <- function(x, y, ...) {
  check_call("x")
  UseMethod("purity")
}

#' @rdname nmf_generics
#' @export
entropy <- function(x, y, ...) {
  check_call("x")
  UseMethod("entropy")
}

#' @rdname nmf_generics
#' @export
basismap <- function(object, ...) {
  check_call("object")
  UseMethod("basismap")
}

#' @rdname nmf_generics
#' @export
coefmap <- function(object, ...) {
  check_call("object")
  UseMethod("coefmap")
}

#' @rdname nmf_generics
#' @export
consensusmap <- function(object, ...) {
  check_call("object")
  UseMethod("consensusmap")
}

#' @export
basis.default <- function(object, ...) pass_on("basis", object, ...)
#' @export
nbasis.default <- function(x, ...) pass_on("nbasis", x, ...)
#' @export
consensus.default <- function(object, ...) pass_on("consensus", object, ...)
#' @export
compare.default <- function(object, ...) pass_on("compare", object, ...)
#' @export
connectivity.default <- function(object, ...) pass_on("connectivity", object, ...)
#' @export
cophcor.default <- function(object, ...) pass_on("cophcor", object, ...)
#' @export
dispersion.default <- function(object, ...) pass_on("dispersion", object, ...)
#' @export
silhouette.default <- function(x, ...) pass_on("silhouette", x, ...)
#' @export
sparseness.default <- function(x, ...) pass_on("sparseness", x, ...)
#' @export
rss.default <- function(object, ...) pass_on("rss", object, ...)
#' @export
evar.default <- function(object, ...) pass_on("evar", object, ...)
#' @export
featureScore.default <- function(object, ...) pass_on("featureScore", object, ...)
#' @export
extractFeatures.default <- function(object, ...) pass_on("extractFeatures", object, ...)
#' @export
basismap.default <- function(object, ...) pass_on("basismap", object, ...)
#' @export
coefmap.default <- function(object, ...) pass_on("coefmap", object, ...)
#' @export
consensusmap.default <- function(object, ...) pass_on("consensusmap", object, ...)
#' @export
purity.default <- function(x, y, ...) {
  if (missing(y)) pass_on("purity", x, ...) else pass_on("purity", x, y, ...)
}
#' @export
entropy.default <- function(x, y, ...) {
  if (missing(y)) pass_on("entropy", x, ...) else pass_on("entropy", x, y, ...)
}

# Names of the generics that package NMF has as S4 generics.
NMF_GENERICS <- c("basis", "nbasis", "compare", "consensus", "connectivity", "cophcor",
                  "dispersion", "sparseness", "rss", "evar", "featureScore", "extractFeatures",
                  "purity", "entropy", "basismap", "coefmap", "consensusmap")

# Generics that are being passed on: a function elsewhere whose default is ours
# would otherwise call us for ever.
passing <- new.env(parent = emptyenv())

# Calls another package's function `name` on an object that is not ours.
pass_on <- function(name, object, ..., .call = caller_env()) {
  other <- if (!isTRUE(passing[[name]])) other_function(name)
  if (is.null(other)) {
    stop_user("class", paste0("`", name, "()` does not know this object."),
              x = paste0("It is ", describe(object), "."),
              i = "It takes what `nmf()` returns.", .call = .call)
  }
  passing[[name]] <- TRUE
  on.exit(passing[[name]] <- FALSE)
  # S3 generics look for methods where they are called: not among ours
  call_other <- function(object, ...) other(object, ...)
  environment(call_other) <- list2env(list(other = other), parent = globalenv())
  call_other(object, ...)
}

# The first function of that name in the attached packages, then in the loaded
# ones that are known to have it; not ours.
other_function <- function(name) {
  ours <- get(name, envir = topenv(), mode = "function")
  attached <- grep("^package:", search(), value = TRUE)
  loaded <- intersect(c("NMF", "cluster"), loadedNamespaces())
  for (place in c(lapply(attached, as.environment), lapply(loaded, asNamespace))) {
    found <- get0(name, envir = place, mode = "function", inherits = FALSE)
    if (!is.null(found) && !identical(found, ours)) return(found)
  }
  NULL
}

# Lets the S4 generics of package NMF find our S3 class, now or when NMF is
# loaded. Methods live in an environment of their own: the namespace is locked
# by then. The generics of stats need nothing: NMF's defaults call them.
bridge_to_nmf <- function() {
  if ("NMF" %in% loadedNamespaces()) teach_nmf()
  setHook(packageEvent("NMF", "onLoad"), function(...) teach_nmf())
}

teach_nmf <- function() {
  nmf_package <- asNamespace("NMF")
  place <- new.env(parent = nmf_package)
  assign(".packageName", "unalloy", envir = place)
  for (name in NMF_GENERICS) {
    theirs <- get0(name, envir = nmf_package, mode = "function")
    if (!methods::is(theirs, "genericFunction")) next
    arguments <- lapply(setdiff(names(formals(theirs)), "..."), as.name)
    ours <- get(name, envir = topenv(), mode = "function")
    body <- as.call(c(list(ours), arguments[1L], as.name("...")))
    if (length(arguments) == 2L) {
      body <- substitute(if (missing(y)) ours(x, ...) else ours(x, y, ...), list(ours = ours))
    }
    for (class in if (name == "compare") "nmf_fits" else c("nmf_fit", "rank_estimate")) {
      # It says that NMF does not know the class, and then it does.
      suppressMessages(
        methods::setMethod(name, class, as.function(c(formals(theirs), body)), where = place)
      )
    }
  }
}

.onLoad <- function(libname, pkgname) { # nolint: object_name_linter.
  register_for_results()
  bridge_to_nmf()
}

setOldClass("nmf_fit")
setOldClass("nmf_fits")
setOldClass("rank_estimate")
