#!/usr/bin/env bash
# Runs every check, each to its end, and closes with "N passed, N failed".
# Single tests are counted where a step has them; other steps count as one.
source "$(dirname "$0")/env.sh"
export CARGO_TERM_COLOR=never
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# step TITLE COMMAND...: a step may write "passed failed" to $count; its line of the
# summary goes to $results.
step() {
  local title=$1 started=$SECONDS good=1 bad=0 verdict=ok
  count=$(mktemp -p "$scratch")
  shift
  printf '\n== %s\n' "$title"
  if ! "$@" </dev/null 2>&1; then
    good=0 bad=1 verdict=FAILED
  fi
  if [ -s "$count" ]; then
    read -r good failures <"$count"
    # A step that fails without a failing test did not run to its end.
    if [ "$failures" -gt 0 ] || [ "$verdict" = ok ]; then bad=$failures; fi
  fi
  printf '%-34s %-7s %5d passed %4d failed %5d s\n' \
    "$title" "$verdict" "$good" "$bad" $((SECONDS - started)) >>"$results"
}

in_rust() { (cd src/rust && "$@"); }

core_tests() {
  local status=0
  in_rust cargo test --profile development -p unalloy-core >"$scratch/log" 2>&1 || status=$?
  cat "$scratch/log"
  awk '/^test result:/ { good += $4; bad += $6 } END { print good + 0, bad + 0 }' \
    "$scratch/log" >"$count"
  return $status
}

# Writes the generated files anew and compares; works on uncommitted files too.
generated_files() {
  local before=$scratch/before
  local files="DESCRIPTION NAMESPACE R/extendr-wrappers.R man inst/AUTHORS"
  mkdir "$before"
  cp -R --parents $files "$before"
  Rscript tools/document.R && tools/vendor.sh authors || return 1
  local file status=0
  for file in $files; do
    diff -r "$before/$file" "$file" || status=1
  done
  if [ "$status" != 0 ]; then echo "Generated files differ: run \`make document\`."; fi
  return $status
}

r_tests() {
  if ! ls tests/testthat/test-*.R >/dev/null; then return 1; fi
  # Else testthat leaves out what it holds to be too slow or delicate for CRAN.
  NOT_CRAN=true Rscript tools/testthat.R "$count"
}

# Those that build with cargo, one after the other.
results=$scratch/first
step "cargo fmt" in_rust cargo fmt --all --check
step "cargo clippy" in_rust cargo clippy --profile development --workspace --all-targets -- -D warnings
step "cargo test" core_tests
step "install" tools/install.sh
step "generated files" generated_files
step "call graph" Rscript tools/call_graph.R

# Each of these uses one processor most of the time: two go side by side.
{
  results=$scratch/third
  step "R CMD check" tools/check.sh
} >"$scratch/check.log" 2>&1 &
results=$scratch/second
step "lintr" Rscript tools/lint.R
step "testthat" r_tests
wait
cat "$scratch/check.log"

printf '\n'
cat "$scratch/first" "$scratch/second" "$scratch/third" | tee "$scratch/all"
awk '{ for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) good += $(i-1); if ($i ~ /^failed/) bad += $(i-1) } }
     END { printf "\n%d passed, %d failed\n", good, bad; exit bad > 0 }' "$scratch/all"
