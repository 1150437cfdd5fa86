#!/usr/bin/env bash
# Checks the package with the R, the rustc and the packages of Debian testing, as CRAN would:
# R CMD check --as-cran with tests, vignettes and manual, without a network.
# Usage: tools/check_testing.sh FOLDER [SUITE]
#
# FOLDER becomes the root of that system, some 5 GB, and is used again when it is there.
# Needs root and debootstrap, and `tools/check.sh` before it, whose source package it takes.
source "$(dirname "$0")/env.sh"
system=${1:?"a folder for the system"}
suite=${2:-testing}
shopt -s nullglob
packages=("$root"/.check/unalloy_*.tar.gz)
[ ${#packages[@]} = 1 ] || { echo "Make the source package first: tools/check.sh" >&2; exit 1; }

[ -x "$system/usr/bin/apt-get" ] || debootstrap --variant=minbase "$suite" "$system"
inside() { chroot "$system" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
for place in proc dev; do
  mountpoint -q "$system/$place" || mount --rbind "/$place" "$system/$place"
  # what is taken away below must not go where it came from
  mount --make-rslave "$system/$place"
done
trap 'umount -R "$system/proc" "$system/dev" || true' EXIT

# A package that testing happens to lack is one that the check does without.
inside apt-get -q update
wanted=$(awk '!/^#/ { print $1 } END { print "r-cran-seurat" }' tools/debian-packages.txt)
known=$(inside apt-cache --names-only search . | awk '{ print $1 }')
there=$(grep -Fxf <(echo "$wanted") <<<"$known")
comm -13 <(sort <<<"$there") <(sort <<<"$wanted") | sed 's/^/Not in this suite: /'
inside DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends \
  $there r-base-dev r-recommended cargo rustc texlive-latex-base \
  texlive-fonts-recommended texlive-latex-extra texinfo tidy </dev/null

# unshare: no network but what is on the machine itself
rm -rf "$system/check"
mkdir -p "$system/check/home"
cp "${packages[0]}" "$system/check/"
inside HOME=/check/home NOT_CRAN=true _R_CHECK_FORCE_SUGGESTS_=false CARGO_NET_OFFLINE=true \
  _R_CHECK_CRAN_INCOMING_REMOTE_=false \
  unshare --net sh -c 'cd /check && R --version | head -1 && rustc --version &&
    R CMD check --as-cran unalloy_*.tar.gz'
