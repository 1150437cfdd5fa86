#!/usr/bin/env bash
# Builds the source package, as it would be published, in .check and runs
# R CMD check on it.  A note must be explained in tools/check-notes.md.
source "$(dirname "$0")/env.sh"
tools/vendor.sh

# Only the project's own files: tracked ones and new ones that git does not ignore.
rm -rf .check
mkdir -p .check/unalloy
git ls-files --cached --others --exclude-standard |
  while read -r file; do if [ -e "$file" ]; then echo "$file"; fi; done |
  tar -cf - -T - | tar -xf - -C .check/unalloy
cp src/rust/vendor.tar.xz .check/unalloy/src/rust/
cd .check

# Vignettes need the package: this build may use the target folder there is.
vignettes=--no-build-vignettes
if command -v pandoc >/dev/null; then vignettes=""; fi
NOT_CRAN=1 CARGO_TARGET_DIR="$root/src/rust/target" R CMD build $vignettes unalloy

# The check may not: it compiles the bundled crates, without a network and with
# an empty home, in which no cargo folder may appear.
RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
R_LIBS=$(Rscript --vanilla -e 'cat(.libPaths(), sep = ":")')
HOME="$root/.check/home"
unset CARGO_HOME
mkdir "$HOME"
export HOME R_LIBS RUSTUP_HOME CARGO_NET_OFFLINE=true
export _R_CHECK_FORCE_SUGGESTS_=false
# testthat is a step of its own in `make test`.
status=0
R CMD check --no-manual --no-tests ${vignettes:+--ignore-vignettes} unalloy_*.tar.gz || status=$?
if [ -e "$HOME/.cargo" ]; then
  echo "The build from the source package wrote into the cargo home."
  status=1
fi
Rscript --vanilla "$root/tools/check.R" unalloy.Rcheck/00check.log "$root/tools/check-notes.md" ||
  status=1
exit $status
