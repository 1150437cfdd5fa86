# For the verbs that factorise complete data: refuses what has no non-negative
# factorisation, and says whether all values are whole numbers.
check_factorisable <- function(input, .call = caller_env()) {
  entries <- if (is.matrix(input$matrix)) input$matrix else input$matrix@x
  if (anyNA(entries)) {
    stop_user("missing_values", "The data have missing values.",
              x = paste0("There are ", count_text(sum(is.na(entries))), "."),
              i = "Leave their features or samples out, or see `nmf(na = \"missing\")`.",
              .call = .call)
  }
  check_nmf_values(input, "refuse", NULL, .call = .call)
  invisible(all(entries == round(entries)))
}
