# Results that are written to disk as they are found: datasets of an HDF5 file.

# The path of a file that can be written to.
check_sink <- function(sink, what = "sink", .call = caller_env()) {
  need_package("HDF5Array", paste0("for `", what, "`"), .call = .call)
  if (!is.character(sink) || length(sink) != 1L || is.na(sink) || !nzchar(sink)) {
    stop_user("argument", paste0("`", what, "` must be NULL or the path of an HDF5 file."),
              x = paste0("It is ", describe(sink), "."), .call = .call)
  }
  path <- file.path(normalizePath(dirname(sink), mustWork = FALSE), basename(sink))
  refuse <- function(x) {
    stop_user("unwritable", paste0("`", what, "` can't be written to."), x = x, .call = .call)
  }
  if (dir.exists(path)) refuse(paste0("\"", path, "\" is a folder."))
  if (!dir.exists(dirname(path))) refuse(paste0("There is no folder \"", dirname(path), "\"."))
  if (file.access(if (file.exists(path)) path else dirname(path), 2L) != 0L) {
    refuse(paste0("\"", path, "\" is protected."))
  }
  path
}

# A dataset of doubles that is filled block by block: `fill(write)` is given a function
# `write(values, start)`, where `start` is the place of the first value.  `names` are those
# of all dimensions.  Returns the dataset as a DelayedArray.
write_array <- function(path, name, names, chunk, fill, .call = caller_env()) {
  dim <- lengths(names)
  failed <- function(condition) {
    if (inherits(condition, "unalloy_error")) return()
    stop_user("unwritable", paste0("The file of `sink` can't be written."),
              x = paste0("\"", path, "\": ", strsplit(conditionMessage(condition), "\n")[[1L]][1L]),
              i = "Is there room, and is it an HDF5 file?", .call = .call)
  }
  if (file.exists(path) && !isTRUE(rhdf5::H5Fis_hdf5(path))) failed(simpleError("no HDF5 file"))
  if (file.exists(path) && name %in% rhdf5::h5ls(path, FALSE)$name) {
    stop_user("unwritable", paste0("The file of `sink` has \"", name, "\" already."),
              x = paste0("It is \"", path, "\"."), i = "Delete it, or name another file.",
              .call = .call)
  }
  write <- function(values, start) {
    withCallingHandlers(rhdf5::h5write(values, path, name, start = start, count = dim(values)),
                        error = failed)
  }
  withCallingHandlers({
    if (!file.exists(path)) rhdf5::h5createFile(path)
    rhdf5::h5createDataset(path, name, dim, storage.mode = "double", chunk = pmin(dim, chunk),
                           level = 1L)
    write_names(path, name, names)
  }, error = failed)
  fill(write)
  out <- HDF5Array::HDF5Array(path, name)
  dimnames(out) <- names
  out
}

# For those who open the file later: "expression_names/1" and so on, a dataset per dimension.
write_names <- function(path, name, names) {
  group <- paste0(name, "_names")
  rhdf5::h5createGroup(path, group)
  for (i in seq_along(names)) {
    rhdf5::h5write(as.character(names[[i]]), path, paste0(group, "/", i))
  }
}

# Shape of a part of a dataset that is read and written as one: the values of a few
# samples.
SINK_GENES <- 4096L
SINK_SAMPLES <- 16L
