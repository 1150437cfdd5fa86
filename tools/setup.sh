#!/usr/bin/env bash
# Installs what is missing: tools/setup.sh build|test|site.
# With Debian's apt as root or with a sudo that asks no password; otherwise says
# what to install and fails.  Does nothing when nothing is missing.
source "$(dirname "$0")/env.sh"
purpose=${1:-test}

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

is_deb() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Debian packages of the list that are not there, one per line.
missing() {
  local installed=""
  if command -v R >/dev/null; then
    installed=$(Rscript --vanilla -e 'cat(rownames(installed.packages()), sep = "\n")')
  fi
  while read -r package found_by needed_to; do
    case $package in '#'* | '') continue ;; esac
    case $needed_to:$purpose in build:* | test:test | test:site | site:site) ;; *) continue ;; esac
    case $found_by in
      command:*) command -v "${found_by#command:}" >/dev/null && continue ;;
      R:*) grep -qx "${found_by#R:}" <<<"$installed" && continue ;;
      # Only Debian can tell; elsewhere it is taken as present.
      package:*) { ! command -v dpkg-query >/dev/null || is_deb "$package"; } && continue ;;
    esac
    echo "$package"
  done <tools/debian-packages.txt
}

rust_advice="Install it from https://www.rust-lang.org/tools/install (Debian 12's own is too old)."
command -v cargo >/dev/null || fail "Rust (cargo, rustc) was not found." "$rust_advice"
if [ "$purpose" = test ]; then
  for part in fmt clippy; do
    cargo "$part" --version >/dev/null 2>&1 ||
      fail "\`cargo $part\` was not found." "Install it: rustup component add rustfmt clippy"
  done
fi

wanted=$(missing | tr '\n' ' ')
[ -n "$wanted" ] || exit 0
line="apt-get install --yes --no-install-recommends $wanted"
if ! command -v apt-get >/dev/null; then
  fail "These are missing (names of Debian packages; r-cran-x and r-bioc-x are R packages):" \
    "  $wanted"
fi
if [ "$(id -u)" = 0 ]; then
  as_root="env"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root="sudo -n env"
else
  fail "Some Debian packages are missing. Install them and run again:" \
    "  sudo apt-get update && sudo $line"
fi
echo "Installing from Debian: $wanted"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A source of packages that does not answer is no reason to stop: the install tells.
$as_root apt-get -q update >"$log" 2>&1 || true
if ! $as_root DEBIAN_FRONTEND=noninteractive \
  apt-get -q -o DPkg::Lock::Timeout=300 ${line#apt-get } >>"$log" 2>&1 </dev/null; then
  tail -n 40 "$log" >&2
  fail "apt-get could not install the packages."
fi
wanted=$(missing | tr '\n' ' ')
[ -z "$wanted" ] || fail "Still missing after the install (does another R come first on the PATH?):" \
  "  $wanted"
