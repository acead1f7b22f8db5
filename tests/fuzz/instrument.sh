#!/usr/bin/env bash
# Compiles our own crates so that libFuzzer sees which of their edges an input takes and what it is compared with. What
# comes from elsewhere is compiled as it is: its edges would be most of all, and each input would pay for them.
set -euo pipefail

rustc=("$@")
# Build scripts and macros run on the host, for which cargo names no target.
if [[ " $* " == *" --target "* ]]; then
  rustc+=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares)
fi
exec "${rustc[@]}"
