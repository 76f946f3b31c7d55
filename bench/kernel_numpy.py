#!/usr/bin/env python3
"""The tangent kernel of 2000 MNIST-sized inputs, relu, depth 10: libfanin against straightforward NumPy.

Both in one process, turn about, same inputs, same number of threads; medians of wall times.
The matrices are compared first. Peak memory is the rise of the resident set over one call, output
included (n x n values).

    ninja -C build fanin-shared && python3 bench/kernel_numpy.py [build] [rounds]
"""
import ctypes
import json
import os
import subprocess
import sys
import time

N, D, DEPTH, W2 = 2000, 784, 10, 2.0


class Settings(ctypes.Structure):
    _fields_ = [("sigma_w2", ctypes.c_double), ("sigma_b2", ctypes.c_double), ("depth", ctypes.c_uint),
                ("ntk", ctypes.c_bool), ("width", ctypes.c_double), ("inputs", ctypes.c_size_t)]


def numpy_kernel(np, x):
    """K and T layer by layer as one would write them down."""
    k = x @ x.T * x.dtype.type(W2 / D)
    t = k.copy()
    pi = x.dtype.type(np.pi)
    for _ in range(DEPTH):
        s = np.sqrt(np.diag(k))
        r = np.outer(s, s)
        c = np.clip(k / r, -1, 1)
        rest = pi - np.arccos(c)
        k = x.dtype.type(W2) * r * (np.sqrt(1 - c * c) + c * rest) / (2 * pi)
        t = k + x.dtype.type(W2) * t * rest / (2 * pi)
    return t


def library(build, threads):
    lib = ctypes.CDLL(os.path.join(build, "libfanin.so"))
    lib.fanin_threads_set(ctypes.c_uint(threads))
    act = ctypes.c_void_p()
    assert lib.fanin_activation_parse(b"relu", ctypes.byref(act), None) == 0
    settings = Settings(W2, 0, DEPTH, True, 0, 0)

    def kernel(np, x):
        call = lib.fanin_kernel_matrix_f32 if x.dtype == np.float32 else lib.fanin_kernel_matrix
        out = np.empty((N, N), x.dtype)
        at = lambda a: ctypes.c_void_p(a.ctypes.data)
        size = ctypes.c_size_t
        assert call(act, ctypes.byref(settings), at(x), size(N), None, size(0), size(D), at(out), None) == 0
        return out

    return kernel


def resident_mb(key):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key)) / 1024


def child(build, rounds, threads, dtype):
    import numpy as np
    rng = np.random.default_rng(1)
    x = np.clip(rng.normal(0.13, 0.31, (N, D)), 0, 1).astype(dtype)
    ours = library(build, threads)
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # the peak starts from here
    before = resident_mb("VmRSS")
    mine = ours(np, x)
    peak = resident_mb("VmHWM") - before
    other = numpy_kernel(np, x)
    gap = float(np.max(np.abs(mine.astype(np.float64) - other)) / np.max(np.abs(other)))
    times = {"fanin": [], "numpy": []}
    for _ in range(rounds):
        for name, f in (("fanin", ours), ("numpy", numpy_kernel)):
            start = time.perf_counter()
            f(np, x)
            times[name].append(time.perf_counter() - start)
    median = {k: sorted(v)[len(v) // 2] for k, v in times.items()}
    print(json.dumps({"dtype": dtype, "threads": threads, "fanin_s": round(median["fanin"], 4),
                      "numpy_s": round(median["numpy"], 4),
                      "ratio": round(median["numpy"] / median["fanin"], 2),
                      "peak_mb": round(peak, 1), "output_mb": round(mine.nbytes / 2**20, 1),
                      "largest_relative_gap": gap}))


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if len(sys.argv) > 3:
        return child(build, rounds, int(sys.argv[3]), sys.argv[4])
    with open("/proc/cpuinfo") as f:  # OpenBLAS 0.3.21 takes processors that it does not know for 2004's
        flags = f.read().split()
    core = "SkylakeX" if "avx512dq" in flags else "Haswell" if "avx2" in flags else ""
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        for dtype in ("float32", "float64"):
            env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")}
            env["OPENBLAS_NUM_THREADS"] = str(threads)
            if core:
                env["OPENBLAS_CORETYPE"] = core
            subprocess.run([sys.executable, __file__, build, str(rounds), str(threads), dtype], env=env, check=True)


main()
