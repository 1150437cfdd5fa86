#!/usr/bin/env bash
# Runs an R script with the package in .lib: tools/run.sh SCRIPT [ARGUMENT...]
source "$(dirname "$0")/env.sh"
exec Rscript "$@"
