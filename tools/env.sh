# shellcheck shell=bash
# What every script here starts with; sourced.
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export PATH="$PATH:$HOME/.cargo/bin"
export R_LIBS="$root/.lib${R_LIBS:+:$R_LIBS}"
# A bare system has the locale "C", where R can't show names beyond ASCII.
case $(locale charmap 2>/dev/null) in
UTF-8) ;;
*) export LC_ALL=C.UTF-8 ;;
esac
