#!/usr/bin/env bash
# Builds the package in place and installs it into .lib.  NOT_CRAN keeps
# src/rust/target, so that the next build and `cargo test` start from it.
source "$(dirname "$0")/env.sh"
mkdir -p .lib
export NOT_CRAN=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Building the package ..."
if ! R CMD INSTALL --no-multiarch --library=.lib . >"$log" 2>&1; then
  cat "$log"
  exit 1
fi
grep -i "warning" "$log" || true
echo "Installed into .lib"
