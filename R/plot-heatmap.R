# Heatmaps with trees and annotation tracks, drawn in one ggplot: cells, tracks
# and trees share the coordinates of the cells.

# Sizes of a track, a tree and the gap between, as shares of the matrix.
TRACK_SIZE <- 0.04
TREE_SIZE <- 0.14
POINTS_SIZE <- 0.12
GAP <- 0.012
# Aesthetics of points, in the order in which tracks take them for their legends.
TRACK_AESTHETICS <- c("colour", "alpha", "size", "shape", "stroke")
MAX_ROW_NAMES <- 80L
MAX_COLUMN_NAMES <- 50L
# A track of more levels, such as names, is drawn without a legend.
MAX_LEGEND <- 24L

# `values` in the order to be drawn, the first row at the top. A tree is an
# hclust whose order is that of the rows or columns. Tracks are lists of vectors
# in the order to be drawn; `column_points`, a list of one vector of shares, are
# drawn as points above the columns.
draw_heatmap <- function(values, name, row_tree = NULL, column_tree = NULL, row_tracks = list(),
                         column_tracks = list(), column_points = NULL, colours = list(),
                         limits = c(0, NA),
                         title = NULL, caption = NULL, noun = c("row", "column")) {
  m <- nrow(values)
  n <- ncol(values)
  cells <- data.frame(x = rep(seq_len(n), each = m), y = rep(rev(seq_len(m)), n),
                      value = as.vector(values))
  tracks <- colour_tracks(c(column_tracks, row_tracks), colours)
  above <- seq_along(column_tracks)
  top <- place_tracks(tracks[above], m, n)
  left <- place_tracks(tracks[setdiff(seq_along(tracks), above)], n, m)
  left$rects[c("x", "y")] <- list(1 - left$rects$y + n, m + 1 - left$rects$x)
  left$at <- n + 1 - left$at
  points <- place_points(column_points, top$edge, m)
  top$edge <- points$edge
  segments <- rbind(
    tree_segments(column_tree, top$edge, m * TREE_SIZE, function(along, up) list(along, up)),
    tree_segments(row_tree, left$edge, n * TREE_SIZE,
                  function(along, up) list(n + 1 - up, m + 1 - along))
  )
  rects <- rbind(
    if (nrow(top$rects)) cbind(top$rects, width = 1, height = m * TRACK_SIZE),
    if (nrow(left$rects)) cbind(left$rects, width = n * TRACK_SIZE, height = 1)
  )
  ggplot(cells, aes(.data$x, .data$y)) +
    geom_raster(aes(fill = .data$value)) +
    scale_fill_viridis_c(name = name, limits = limits) +
    (if (!is.null(rects)) {
      geom_tile(aes(width = .data$width, height = .data$height), rects, fill = rects$colour,
                colour = rects$colour, linewidth = 0.1)
    }) +
    (if (!is.null(segments)) {
      geom_segment(aes(xend = .data$xend, yend = .data$yend), segments, linewidth = 0.3,
                   colour = "grey30")
    }) +
    points$layers +
    track_legends(tracks) +
    theme_unalloy() +
    heatmap_axis("x", colnames(values), seq_len(n), left$at, names(row_tracks), noun[2L]) +
    heatmap_axis("y", rownames(values), rev(seq_len(m)), c(top$at, points$at),
                 c(names(column_tracks), points$labels), noun[1L]) +
    labs(title = title, caption = caption) +
    theme(panel.grid.major = element_blank(), legend.box = "vertical",
          legend.spacing.y = unit(0.4, "lines"), axis.title.y.right = element_text(angle = 270))
}

# Colours of the levels of each track. Tracks take colours in turn, so that two
# tracks share none while there are enough.
colour_tracks <- function(tracks, colours, .call = caller_env()) {
  taken <- 0L
  known <- setdiff(names(colours), names(tracks))
  if (length(known)) {
    stop_user("argument", "`colours` must be named by annotation.",
              x = paste0("There is no annotation ", some_of(known), "; there are ",
                         some_of(names(tracks), 6L), "."), .call = .call)
  }
  Map(function(values, name) {
    if (is.numeric(values) && length(unique(values)) > 6L) {
      return(number_track(values))
    }
    values <- if (is.factor(values)) droplevels(values) else factor(values)
    of_level <- colours[[name]]
    if (is.null(of_level)) {
      of_level <- TYPE_COLOURS[(taken + seq_along(levels(values)) - 1L) %% length(TYPE_COLOURS) +
                                 1L]
      taken <<- taken + nlevels(values)
    } else {
      if (!is.null(names(of_level))) of_level <- of_level[levels(values)]
      if (anyNA(of_level) || length(of_level) < nlevels(values)) {
        stop_user("argument", paste0("`colours` of \"", name, "\" must have a colour per level."),
                  x = paste0("Levels: ", some_of(levels(values), 6L), "."), .call = .call)
      }
    }
    of_level <- unname(of_level)[seq_len(nlevels(values))]
    drawn <- of_level[as.integer(values)]
    list(colour = ifelse(is.na(drawn), "grey85", drawn), levels = levels(values),
         colours = of_level)
  }, tracks, names(tracks))
}

# Numbers from light to dark, with a legend of about five of them.
number_track <- function(values) {
  span <- range(values, na.rm = TRUE)
  shade <- function(v) shades(c(242, 240, 247), c(63, 0, 125), (v - span[1L]) / diff(span))
  ticks <- pretty(values, 4L)
  ticks <- ticks[ticks >= span[1L] & ticks <= span[2L]]
  list(colour = ifelse(is.na(values), "grey85", shade(values)), levels = format(ticks, trim = TRUE),
       colours = shade(ticks))
}

# Colours at `at`, from 0 to 1, between two red-green-blue triples.
shades <- function(from, to, at) {
  channel <- function(part) round(from[part] + (to[part] - from[part]) * ifelse(is.na(at), 0, at))
  sprintf("#%02X%02X%02X", channel(1L), channel(2L), channel(3L))
}

# Tracks beyond the edge of a matrix that has `size` cells across them and
# `length` along them: their cells, the places of their names, and the new edge.
place_tracks <- function(tracks, size, length) {
  at <- size + 0.5 + size * GAP + (seq_along(tracks) - 0.5) * size * (TRACK_SIZE + GAP / 2)
  rects <- data.frame(x = rep(seq_len(length), length(tracks)), y = rep(at, each = length),
                      colour = as.character(unlist(lapply(tracks, `[[`, "colour"))))
  list(rects = rects, at = at,
       edge = size + 0.5 + size * GAP + length(tracks) * size * (TRACK_SIZE + GAP / 2))
}

# Points between 0 and the largest value on a strip above `edge`, and its new edge.
place_points <- function(points, edge, size) {
  if (is.null(points)) return(list(edge = edge))
  values <- points[[1L]]
  highest <- max(values, 1e-300, na.rm = TRUE)
  from <- edge + size * GAP
  height <- size * POINTS_SIZE
  table <- data.frame(x = seq_along(values), y = from + values / highest * height, from = from)
  list(
    edge = from + height * 1.1, at = c(from, from + height),
    labels = c("0 %", paste(names(points), percent(signif(highest, 2)))),
    layers = list(
      geom_segment(aes(xend = .data$x, y = .data$from, yend = .data$y), table, colour = "grey75",
                   linewidth = 0.3),
      geom_point(aes(y = .data$y), table, size = max(0.4, min(1.6, 60 / nrow(table))),
                 colour = "grey25")
    )
  )
}

# The lines of a tree of the given height above `edge`; `turn` makes x and y of
# the place along the leaves and the height.
tree_segments <- function(tree, edge, height, turn) {
  if (is.null(tree)) return(NULL)
  leaf_at <- order(tree$order)
  n_merges <- nrow(tree$merge)
  highest <- max(tree$height)
  up <- edge + (if (highest > 0) tree$height / highest else tree$height) * height
  centre <- numeric(n_merges)
  parts <- lapply(seq_len(n_merges), function(at) {
    members <- tree$merge[at, ]
    along <- ifelse(members < 0, leaf_at[abs(members)], centre[abs(members)])
    below <- ifelse(members < 0, edge, up[abs(members)])
    centre[at] <<- mean(along)
    data.frame(a0 = c(along, along[1L]), a1 = c(along, along[2L]), u0 = c(below, up[at]),
               u1 = rep(up[at], 3L))
  })
  lines <- do.call(rbind, parts)
  from <- turn(lines$a0, lines$u0)
  to <- turn(lines$a1, lines$u1)
  data.frame(x = from[[1L]], y = from[[2L]], xend = to[[1L]], yend = to[[2L]])
}

# A plot has one scale of fill, which the cells take. Tracks are drawn in given
# colours; their legends come from points that are nowhere, one aesthetic each.
track_legends <- function(tracks) {
  explained <- which(vapply(tracks, function(track) length(track$levels) <= MAX_LEGEND, NA))
  shown <- utils::head(explained, length(TRACK_AESTHETICS))
  lapply(shown, function(at) {
    track <- tracks[[at]]
    aesthetic <- TRACK_AESTHETICS[match(at, shown)]
    points <- data.frame(x = NA_real_, y = NA_real_, level = factor(track$levels, track$levels))
    same <- list(colour = track$colours, alpha = 1, size = 4, shape = 15, stroke = 0.5)
    guide <- guide_legend(override.aes = same[c(aesthetic, setdiff(names(same), aesthetic))],
                          order = at + 1L, ncol = ceiling(length(track$levels) / 12))
    plain <- switch(aesthetic, colour = track$colours, alpha = 1, size = 4, shape = 15,
                    stroke = 0.5)
    list(
      geom_point(do.call(aes, stats::setNames(list(quote(.data$level)), aesthetic)), points,
                 na.rm = TRUE),
      scale_discrete_manual(aesthetic, values = rep_len(plain, length(track$levels)),
                            name = names(tracks)[at], labels = shorten, guide = guide)
    )
  })
}

# Names of rows or columns, and of the tracks beside them, on one axis.
heatmap_axis <- function(axis, names, at, track_at, track_names, noun) {
  n <- length(at)
  limit <- if (axis == "x") MAX_COLUMN_NAMES else MAX_ROW_NAMES
  named <- !is.null(names) && n <= limit
  breaks <- c(if (named) at, track_at)
  labels <- c(if (named) shorten(names), track_names)
  title <- if (!named && n > limit) paste0(plural(n, noun), ", names not shown")
  size <- rel(max(0.4, min(0.9, (if (axis == "x") 45 else 40) / n)))
  expand <- expansion(0.005)
  if (!named) size <- rel(0.8)
  if (axis == "x") {
    turned <- max(0L, nchar(labels)) * n > 60L || length(track_names) > 0L
    text <- if (turned) element_text(angle = 90, hjust = 1, vjust = 0.5, size = size) else
      element_text(size = size)
    return(list(scale_x_continuous(breaks = breaks, labels = labels, expand = expand),
                labs(x = title), theme(axis.text.x = text)))
  }
  list(scale_y_continuous(breaks = breaks, labels = labels, position = "right", expand = expand),
       labs(y = title), theme(axis.text.y.right = element_text(size = size, hjust = 0)))
}
