#' @keywords internal
#' @useDynLib unalloy, .registration = TRUE
#' @importFrom generics augment glance tidy
#' @importFrom ggplot2 .data
#' @importFrom Matrix sparseMatrix
#' @importFrom methods as is slot slotNames
#' @importFrom rlang %||% abort caller_env inform warn
#' @importFrom stats coef confint fitted logLik nobs predict residuals simulate
#'   vcov weights
"_PACKAGE"

#' @export
generics::augment

#' @export
generics::glance

#' @export
generics::tidy
