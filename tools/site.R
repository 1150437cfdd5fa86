# The site into docs/, without a network, from the package in .lib: `make site`.
options(pkgdown.internet = FALSE)
pkgdown::build_site(".", preview = FALSE, install = FALSE, new_process = FALSE, devel = FALSE)
