#' @rdname plot_deconvolution
#' @export
plot_uncertainty <- function(result, level = 0.95, samples = NULL, types = NULL,
                             what = NULL, view = c("forest", "ridge"), group = NULL,
                             by = c("auto", "type", "sample")) {
  check_call()
  check_result(result, likelihood = FALSE)
  view <- check_choice(view, c("forest", "ridge"), "view")
  draw <- if (view == "forest") plot_forest else plot_ridge
  on_behalf(environment(), draw(result, samples, types, group, by, level, what))
}
