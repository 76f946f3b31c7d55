#!/usr/bin/env python3
"""Writes expect.txt: Gaussian expectations by means other than the library's.

One-dimensional ones by mpmath at 30 digits, split at kinks. Two-dimensional ones (smooth activations)
by the trapezoidal rule in both variables, which converges geometrically for analytic integrands:
step and reach are chosen so that halving the step changes nothing above 1e-14.

    python3 tests/vectors/make_expect.py > tests/vectors/expect.txt
"""
import math
import random

from mpmath import mp, mpf, quad, erfc, exp, sqrt, pi, tanh, log1p, sin, cos, expm1

mp.dps = 30
ROWS = {  # name: (f, f', kinks), mpmath
    "tanh": (tanh, lambda x: 1 / mp.cosh(x) ** 2, []),
    "sigmoid": (lambda x: 1 / (1 + exp(-x)), lambda x: 1 / (2 + exp(x) + exp(-x)), []),
    "softplus": (lambda x: log1p(exp(x)), lambda x: 1 / (1 + exp(-x)), []),
    "gelu": (lambda x: x * erfc(-x / sqrt(2)) / 2,
             lambda x: erfc(-x / sqrt(2)) / 2 + x * exp(-x * x / 2) / sqrt(2 * pi), []),
    "silu": (lambda x: x / (1 + exp(-x)),
             lambda x: 1 / (1 + exp(-x)) + x / (2 + exp(x) + exp(-x)), []),
    "mish": (lambda x: x * tanh(log1p(exp(x))), None, []),
    "erf": (mp.erf, lambda x: 2 / sqrt(pi) * exp(-x * x), []),
    "sin": (sin, cos, []),
    "gaussian": (lambda x: exp(-x * x), lambda x: -2 * x * exp(-x * x), []),
    "lecun_tanh": (lambda x: mpf("1.7159") * tanh(2 * x / 3),
                   lambda x: mpf("1.7159") * 2 / 3 / mp.cosh(2 * x / 3) ** 2, []),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2, [0]),
    "elu": (lambda x: x if x > 0 else expm1(x), lambda x: 1 if x > 0 else exp(x), [0]),
    "hard_tanh": (lambda x: max(-1, min(1, x)), lambda x: 1 if abs(x) < 1 else 0, [-1, 1]),
    "hard_swish": (lambda x: 0 if x < -3 else x if x > 3 else x * (x + 3) / 6,
                   lambda x: 0 if x < -3 else 1 if x > 3 else (2 * x + 3) / 6, [-3, 3]),
}
DOUBLE = {  # smooth ones once more in double
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "softplus": lambda x: math.log1p(math.exp(x)) if x < 30 else x + math.exp(-x),
    "gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "erf": math.erf,
    "sin": math.sin,
    "gaussian": lambda x: math.exp(-x * x),
}


def one(g, q, kinks):
    s = sqrt(q)
    cuts = sorted({mpf(v) for v in (-13, -8, -5, -3, -2, -1, 0, 1, 2, 3, 5, 8, 13)}
                  | {k / s for k in kinks if abs(k / s) < 13})
    return quad(lambda z: g(s * z) * exp(-z * z / 2) / sqrt(2 * pi), cuts)


def two(f, q, c, h):
    n = int(9 / h)
    s, r = math.sqrt(q), math.sqrt(1 - c * c)
    nodes = [i * h for i in range(-n, n + 1)]
    w = [math.exp(-z * z / 2) * h / math.sqrt(2 * math.pi) for z in nodes]
    total = []
    for x, wx in zip(nodes, w):
        inner = math.fsum(wy * f(s * (c * x + r * y)) for y, wy in zip(nodes, w))
        total.append(wx * f(s * x) * inner)
    return math.fsum(total)


def main():
    random.seed(20250101)
    print("# Gaussian expectations, u ~ N(0, q), correlation c.")
    print("# python3 tests/vectors/make_expect.py, mpmath", __import__("mpmath").__version__)
    print("# moment NAME q E_f^2 E_f'^2 (30 digits worked, 20 shown; tolerance 1e-12)")
    print("# dual NAME q c E_f(u1)f(u2) (trapezoidal rule in double; tolerance 1e-12)")
    names = sorted(ROWS)
    for _ in range(110):
        name = random.choice(names)
        q = mpf("%.3g" % math.exp(random.uniform(math.log(0.005), math.log(20))))
        f, d, kinks = ROWS[name]
        second = one(lambda x: f(x) ** 2, q, kinks)
        slope = mp.nstr(one(lambda x: d(x) ** 2, q, kinks), 20) if d else "-"
        print("moment", name, mp.nstr(q, 6), mp.nstr(second, 20), slope)
    for _ in range(110):
        name = random.choice(sorted(DOUBLE))
        q = float("%.3g" % math.exp(random.uniform(math.log(0.01), math.log(2))))
        c = float("%.3g" % random.uniform(-0.95, 0.98))
        a, b = two(DOUBLE[name], q, c, 0.16), two(DOUBLE[name], q, c, 0.12)
        assert abs(a - b) < 2e-14 * (1 + abs(b)), (name, q, c, a, b)
        print("dual", name, q, c, repr(b))


main()
