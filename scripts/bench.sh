#!/bin/sh
# bench.sh [BUILD]: runs every benchmark of the build folder in turn, those that compare with PyTorch
# or NumPy where a Python has them. One that fails is named at the end, and the others run all the same.
# OpenBLAS keeps its own choice of kernels and block sizes, whatever the caller's environment says.
set -u
build=${1:-build}
scripts=$(dirname "$0")/../bench
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
found=0
failed=

run() {
    name=$1
    shift
    found=1
    echo "== $name" >&2
    "$@" || failed="$failed $name"
}

# run_python MODULE SCRIPT ARGUMENTS: with the first Python that can import the module.
run_python() {
    module=$1
    script=$2
    shift 2
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $module" >/dev/null 2>&1 || continue
        run "$script" "$python" "$scripts/$script" "$@"
        return
    done
    echo "== $script: skipped, neither python3 nor /usr/bin/python3 can import $module" >&2
}

for program in "$build"/bench/bench_*; do
    [ -x "$program" ] && [ -f "$program" ] || continue
    case $program in
    */bench_engine) run_python torch bench_engine.py --build "$build" ;; # its other half
    *) run "$(basename "$program")" "$program" ;;
    esac
done
[ "$found" = 1 ] || { echo "no benchmarks in $build/bench: cmake --build $build --target benches" >&2; exit 1; }
run_python numpy kernel_numpy.py "$build"
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
