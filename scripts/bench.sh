#!/bin/sh
# bench.sh [BUILD]: runs every benchmark of the build folder in turn. OpenBLAS keeps its own choice
# of kernels and block sizes, whatever the caller's environment says.
set -eu
build=${1:-build}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
found=0
for program in "$build"/bench/bench_*; do
    [ -x "$program" ] && [ -f "$program" ] || continue
    found=1
    echo "== $(basename "$program")" >&2
    "$program"
done
[ "$found" = 1 ] || { echo "no benchmarks in $build/bench: cmake --build $build --target benches" >&2; exit 1; }
