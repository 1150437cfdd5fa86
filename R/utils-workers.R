# Work in parts: by the workers of BiocParallel, with finished parts kept in files.

# How often parts that were lost with their job are submitted.
MOST_SUBMISSIONS <- 3L

# Where parts are worked on, list(workers, folder); NULL stands for here and in memory.
work_plan <- function(BPPARAM, resume = NULL, .call = caller_env()) {
  if (!is.null(BPPARAM)) {
    need_package("BiocParallel", "for `BPPARAM`", .call = .call)
    if (!methods::is(BPPARAM, "BiocParallelParam")) {
      stop_user("argument", "`BPPARAM` must be NULL or a parameter of BiocParallel.",
                x = paste0("It is ", describe(BPPARAM), "."),
                i = "As `BiocParallel::MulticoreParam(2)`.", .call = .call)
    }
  }
  if (!is.null(resume)) resume <- check_folder(resume, "resume", .call = .call)
  if (is.null(BPPARAM) && is.null(resume)) return(NULL)
  list(workers = BPPARAM, folder = resume)
}

# A folder that can be written to; made if it is not there.
check_folder <- function(path, what, .call = caller_env()) {
  if (!is.character(path) || length(path) != 1L || is.na(path) || !nzchar(path)) {
    stop_user("argument", paste0("`", what, "` must be NULL or the path of a folder."),
              x = paste0("It is ", describe(path), "."), .call = .call)
  }
  if (!dir.exists(path)) dir.create(path, showWarnings = FALSE, recursive = TRUE)
  if (!dir.exists(path) || file.access(path, 2L) != 0L) {
    stop_user("unwritable", paste0("`", what, "` can't be written to."),
              x = paste0("It is \"", path, "\"."), .call = .call)
  }
  normalizePath(path)
}

n_workers <- function(plan) {
  if (is.null(plan$workers)) 1L else max(1L, BiocParallel::bpnworkers(plan$workers))
}

# Calls `work(part, shared)` for each part, where the plan says; the list of answers.  With
# a folder, an answer is written there when it is found, under a name made from `stamp`
# (whatever else it depends on) and the part, and is not looked for again.
run_parts <- function(parts, work, shared, plan, stamp, .call = caller_env()) {
  on_cluster <- methods::is(plan$workers, "BatchtoolsParam")
  folder <- plan$folder
  if (is.null(folder) && on_cluster) {
    # where workers on other machines see it, as they see batchtools' own files
    folder <- tempfile("unalloy-parts-", getwd())
    dir.create(folder)
    on.exit(unlink(folder, recursive = TRUE))
  }
  if (!is.null(folder)) {
    stamp <- rlang::hash(list(stamp, getNamespaceVersion("unalloy")))
    names <- vapply(parts, function(part) rlang::hash(list(part, stamp)), "")
    files <- file.path(folder, paste0("part-", names, ".rds"))
    parts <- Map(function(part, file) c(part, list(file = file)), parts, files)
  }
  answers <- vector("list", length(parts))
  for (attempt in seq_len(if (on_cluster) MOST_SUBMISSIONS else 1L)) {
    left <- which(vapply(seq_along(parts), function(i) {
      is.null(answers[[i]]) && !(length(parts[[i]]$file) && file.exists(parts[[i]]$file))
    }, NA))
    if (!length(left)) break
    if (attempt > 1L) {
      warn_user("lost_parts", "Some parts of the work were lost with their jobs.",
                x = paste0(length(left), " of ", length(parts), " parts are submitted again."),
                .call = .call)
    }
    sent <- send_parts(parts[left], work, shared, plan$workers)
    answers[left] <- sent$answers
    failed <- Find(function(answer) inherits(answer, "part_failure"), sent$answers)
    if (!is.null(failed)) on_behalf(.call, rlang::cnd_signal(failed$condition))
  }
  if (!is.null(folder)) {
    done <- which(vapply(answers, function(x) is.null(x) || isTRUE(x), NA) & file.exists(files))
    answers[done] <- lapply(files[done], read_part, .call = .call)
  }
  lost <- vapply(answers, is.null, NA)
  if (any(lost)) {
    stop_user("workers", paste0(sum(lost), " of ", plural(length(parts), "part"),
                                " of the work were lost with their workers."),
              x = if (!is.null(sent$error)) conditionMessage(sent$error),
              i = if (is.null(plan$folder)) {
                "With `resume = \"a folder\"` finished parts are kept for the next call."
              } else {
                "The same call again finds the finished parts."
              }, .call = .call)
  }
  answers
}

# list(answers, error): NULL stands for an answer that did not come.
send_parts <- function(parts, work, shared, workers) {
  if (is.null(workers)) {
    # what is lost with the session is what was not written
    return(list(answers = lapply(parts, run_part, work = work, shared = shared)))
  }
  # R's stream of random numbers is the user's
  global <- globalenv()
  seed <- global$.Random.seed
  on.exit(if (!is.null(seed)) assign(".Random.seed", seed, global))
  error <- NULL
  found <- tryCatch(
    BiocParallel::bptry(BiocParallel::bplapply(parts, run_part, work = work, shared = shared,
                                               BPPARAM = workers)),
    error = function(condition) {
      error <<- condition
      NULL
    }
  )
  answers <- vector("list", length(parts))
  if (length(found) == length(parts)) {
    came <- !vapply(found, function(x) inherits(x, "error") || is.null(x), NA)
    answers[came] <- unname(found[came])
    if (is.null(error)) error <- Find(function(x) inherits(x, "error"), found)
  }
  list(answers = answers, error = error)
}

# What a worker does: an answer, TRUE for one that is in its file, or what was refused.
run_part <- function(part, work, shared) {
  answer <- tryCatch(work(part, shared), unalloy_error = function(condition) {
    condition$trace <- NULL
    condition$call <- NULL
    structure(list(condition = condition), class = "part_failure")
  })
  if (is.null(part$file) || inherits(answer, "part_failure")) return(answer)
  # a file under its name is whole
  begun <- tempfile("writing-", dirname(part$file))
  on.exit(unlink(begun))
  saveRDS(answer, begun, compress = FALSE)
  if (!file.rename(begun, part$file)) stop("can't rename ", begun)
  TRUE
}

read_part <- function(file, .call) {
  tryCatch(readRDS(file), error = function(condition) {
    stop_user("unreadable", "A finished part of the work can't be read.",
              x = paste0("It is \"", file, "\"."), i = "Delete it; it is then made again.",
              .call = .call)
  })
}
