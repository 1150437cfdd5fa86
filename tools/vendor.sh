#!/usr/bin/env bash
# Bundles the Rust crates, so that the source package builds offline:
#   tools/vendor.sh           writes src/rust/vendor.tar.xz and inst/AUTHORS
#   tools/vendor.sh authors   writes inst/AUTHORS only
# The bundle follows from src/rust/Cargo.lock and is not kept in git.
source "$(dirname "$0")/env.sh"
cd src/rust
what=${1:-all}

metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
cargo metadata --locked --format-version 1 >"$metadata"
Rscript --vanilla ../../tools/authors.R "$metadata" ../../inst/AUTHORS
[ "$what" = all ] || exit 0

# Still that of the lock file and of the scripts?
if [ -e vendor.tar.xz ] &&
  [ -z "$(find Cargo.lock ../../tools/vendor.sh ../../tools/prune_windows.R -newer vendor.tar.xz)" ]; then
  exit 0
fi
rm -rf vendor
cargo vendor --quiet --locked --versioned-dirs vendor >/dev/null

# What no build reads: Bioconductor allows 5 MB for the package in all.  Licences
# stay, and so does README.md, which some crates include in their documentation.
find vendor -mindepth 2 -maxdepth 2 -type d \
  \( -name tests -o -name test -o -name benches -o -name bench -o -name examples \
  -o -name docs -o -name doc -o -name .github -o -name ci -o -name assets -o -name images \
  -o -name img -o -name test_data -o -name testdata -o -name fuzz \) -exec rm -rf {} +
find vendor -type f \
  \( -iname '*.png' -o -iname '*.svg' -o -iname '*.jpg' -o -iname '*.gif' -o -iname '*.pdf' \
  -o -name '*.npy' -o -name '*.npz' -o -name '*.orig' -o -name '*.lock' -o -name '*.bib' \
  -o -name '*.o' -o -name '*.a' -o -name '*.wasm' -o -iname 'changelog*' \
  -o -name .cargo_vcs_info.json \) -delete
Rscript --vanilla ../../tools/prune_windows.R "$metadata" vendor
# Cargo compares every file with this list; the checksum of the crate stays.
find vendor -name .cargo-checksum.json -print0 |
  xargs -0 sed -i 's/"files":{[^}]*}/"files":{}/'

# The same lock file gives the same bytes.
LC_ALL=C tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - vendor |
  xz -9e >vendor.tmp
mv vendor.tmp vendor.tar.xz
rm -rf vendor
echo "src/rust/vendor.tar.xz: $(wc -c <vendor.tar.xz) bytes"
