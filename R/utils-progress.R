# What long computations show.

# A bar is drawn where it can be redrawn in place: in logs and knitted pages every
# step would be a line.  The option `unalloy.progress` says otherwise.
shows_progress <- function(.call = caller_env()) {
  option <- getOption("unalloy.progress")
  if (is.null(option)) cli::is_dynamic_tty() else
    check_flag(option, "options(unalloy.progress)", .call = .call)
}

# A function for Rust to call with the number of units done: a progress bar
# that shows itself only when the work takes more than two seconds.
progress_bar <- function(title, total, verbose, .envir = caller_env()) {
  if (!verbose || !shows_progress(.envir)) return(function(done) invisible())
  # an interrupt while the session's first bar is made would leave cli half set up
  bar <- suspendInterrupts(cli::cli_progress_bar(title, total = total, clear = TRUE,
                                                 .envir = .envir))
  function(done) {
    cli::cli_progress_update(set = done, id = bar, .envir = .envir)
    invisible()
  }
}
