# Chosen greedily for the largest smallest distance in CIELAB from one another,
# from white, black and the grey of the intercept, under normal vision and
# simulated protanopia, deuteranopia and tritanopia (Machado 2009), starting
# from Okabe and Ito's seven.
# More colours than anyone can tell apart.
MOST_TYPES <- 1e5
TYPE_COLOURS <- c(
  "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#7D08F8",
  "#662905", "#552C57", "#3D1CA2", "#A0F180", "#856DFA", "#E5114F", "#90CA8A", "#6B0077",
  "#296B3B", "#BFA04D", "#5E2C37", "#7A5D73", "#9D430D", "#8D91FC", "#C708AC", "#2CCEDE",
  "#BAD850", "#6040DC", "#823D7F", "#A8202C", "#AFD6B2", "#E85B73", "#AD66D2", "#AC84C5",
  "#79F699", "#FBC1FF", "#936496", "#7C3BBF", "#58930C", "#9FC86F", "#721A21", "#F57E99"
)
INTERCEPT_COLOUR <- "#B3B3B3"

#' Colours for cell types
#'
#' Up to 40 colours that stay apart for readers with any form of colour
#' blindness, as far as 40 colours can. The first seven are Okabe and Ito's.
#'
#' @param types Names of types, or their number. `"Intercept"` is grey and takes
#'   no colour from the others. The colour depends on the place of a name alone,
#'   so all plots of one result agree.
#' @return Colours, named if `types` are names.
#' @section Messages: `unalloy_message` above 40 types, when colours repeat.
#' @export
#' @examples
#' type_palette(5)
#' type_palette(c("B cell", "T cell", "Intercept"))
type_palette <- function(types) {
  check_call()
  if (is.numeric(types)) types <- rep("", check_count(types, "types", max = MOST_TYPES))
  if (!is.character(types)) {
    stop_user("argument", "`types` must be names or a number.",
              x = paste0("It is ", describe(types), "."))
  }
  coloured <- types != "Intercept"
  n <- sum(coloured)
  if (n > length(TYPE_COLOURS)) {
    inform_user(TRUE, paste0("There are ", length(TYPE_COLOURS), " colours for ",
                             plural(n, "type"), ": some repeat."))
  }
  colours <- rep(INTERCEPT_COLOUR, length(types))
  colours[coloured] <- rep_len(TYPE_COLOURS, n)
  if (all(types == "")) colours else stats::setNames(colours, types)
}

#' Theme of the package's plots
#'
#' @param base_size Size of text in points.
#' @return A ggplot2 theme.
#' @export
#' @examples
#' ggplot2::ggplot(mtcars, ggplot2::aes(wt, mpg)) + ggplot2::geom_point() + theme_unalloy()
theme_unalloy <- function(base_size = 11) {
  base_size <- check_number(base_size, "base_size", 0, 1000, above = TRUE)
  theme_minimal(base_size = base_size) + theme(
    panel.grid.minor = element_blank(),
    panel.grid.major = element_line(colour = "grey92", linewidth = 0.3),
    plot.background = element_rect(fill = "white", colour = NA),
    plot.title = element_text(face = "bold", size = rel(1.1)),
    plot.title.position = "plot",
    plot.subtitle = element_text(colour = "grey30"),
    plot.caption = element_text(colour = "grey40", hjust = 0, size = rel(0.75)),
    plot.caption.position = "plot",
    strip.text = element_text(face = "bold", size = rel(0.8)),
    legend.key.size = unit(0.9, "lines"), legend.text = element_text(size = rel(0.8)),
    legend.title = element_text(size = rel(0.9))
  )
}

# The scale and legend of types, in as many columns as they need.
scale_types <- function(aesthetic, types, palette = type_palette(types)) {
  guide <- guide_legend(ncol = ceiling(length(types) / 21))
  scale_discrete_manual(aesthetic, values = palette, breaks = types, name = "Cell type",
                        labels = shorten, guide = guide)
}

# Labels of an axis of shares.
percent <- function(x) percent_text(x, 3L)

# Words on lines of their own where names are long.
wrap_names <- function(names, width) {
  lines <- strwrap(as.character(names), width, simplify = FALSE)
  vapply(lines, function(line) paste(shorten_all(line, width), collapse = "\n"), "")
}

# Letters that fit beside each other: `n` names in each panel of a page.
name_width <- function(panels, n = 1L) max(84L %/% (ggplot2::wrap_dims(panels)[2L] * n), 7L)

# Labels above panels, as many as these, of which none is cut off.
strip_labels <- function(panels) {
  function(labels) lapply(labels, wrap_names, width = name_width(panels))
}

strip_size <- function(panels) if (panels > 20L) 0.75 else if (panels > 9L) 0.85 else 1
