# `make test` and `make demo` install what they need; see INSTALL.
# FIRST is the number of the first call or problem.
FIRST ?= 1

export BULK CELLS LABELS DONORS LENGTHS

MINUTES ?= 10

.PHONY: help install test demo check bench fuzz site document clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

install:  ## Build the package and install it into .lib
	@tools/setup.sh build
	@tools/install.sh

test:  ## Install what is missing, then run every check
	@tools/setup.sh test
	@tools/test.sh

demo:  ## Deconvolve an example, or BULK= CELLS= LABELS= [DONORS=] [LENGTHS=]; writes demo/
	@tools/setup.sh build
	@tools/install.sh
	@tools/run.sh tools/demo.R

check:  ## Build the source package and run R CMD check on it
	@tools/setup.sh test
	@tools/check.sh

bench:  ## Run the benchmarks on a build as it is published
	@tools/setup.sh build
	@PROFILE=release tools/install.sh
	@for file in bench/*.R; do echo "== $$file"; tools/run.sh "$$file" || exit 1; done

site:  ## Build the site into docs/ (pkgdown, no network)
	@tools/setup.sh site
	@tools/install.sh
	@tools/run.sh tools/site.R

fuzz:  ## Random calls and problems for MINUTES=10, half in R and half in the core
	@tools/setup.sh test
	@tools/install.sh
	@tools/run.sh tools/fuzz/fuzz.R $$(( $(MINUTES) * 30 )) $(FIRST)
	@cd src/rust && UNALLOY_FUZZ_SECONDS=$$(( $(MINUTES) * 5 )) UNALLOY_FUZZ_FIRST=$(FIRST) \
	  cargo test --profile fuzz -p unalloy-core --test fuzz -- --ignored --nocapture --test-threads=1

document:  ## Write the R wrappers of the Rust functions, NAMESPACE, man/ and inst/AUTHORS
	@tools/setup.sh test
	@tools/install.sh
	@tools/run.sh tools/document.R
	@tools/vendor.sh authors

clean:  ## Remove everything that was built
	rm -rf .lib .check demo docs src/Makevars src/*.o src/*.so src/vendor src/.cargo \
	  src/rust/target src/rust/vendor src/rust/vendor.tar.xz
