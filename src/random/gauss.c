/* gauss.c - exponential and normal tail in double from correctly rounded operations only, so that
 * prepared laws have the same bits everywhere. Called a few times a fill (and a few times a value
 * for narrow cuts far out), not in the kernels. */
#include <math.h>
#include <string.h>

#include "random/random.h"

static const double INV_SQRT_2PI = 0x1.9884533d43651p-2; /* 0.39894228040143268 */

/* 2^n x for -1100 <= n <= 0. */
static double scale_down(double x, int n) {
    if (n < -1000) {
        x *= 0x1p-1000;
        n += 1000;
    }
    uint64_t bits = (uint64_t)(1023 + n) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return x * power;
}

double fanin__exp_negative(double x) {
    if (!(x > -745)) return 0;
    int n = (int)(x * 0x1.71547652b82fep+0 - 0.5);       /* nearest to x / ln 2 */
    double r = fma(-(double)n, 0x1.62e42fefa39efp-1, x); /* ln 2 in two pieces */
    r = fma(-(double)n, 0x1.abc9e3b39803fp-56, r);
    double sum = 1.0 / 6227020800.0; /* 1/13!: |r| < 0.35, the rest is below 2^-57 */
    static const double factorial[] = {479001600, 39916800, 3628800, 362880, 40320, 5040, 720,
                                       120,       24,       6,       2,      1,     1};
    for (size_t k = 0; k < FANIN_COUNT(factorial); k++) sum = fma(sum, r, 1 / factorial[k]);
    return scale_down(sum, n);
}

static double density(double z) { return INV_SQRT_2PI * fanin__exp_negative(-0.5 * z * z); }

/* Phi(z) - 1/2 = phi(z) (z + z^3/3 + z^5/15 + ...), all terms of one sign; 0 <= z < 2.5. */
static double central(double z) {
    double term = z, sum = z;
    for (int k = 1; term > 0x1p-60 * sum; k++) {
        term *= z * z / (2 * k + 1);
        sum += term;
    }
    return density(z) * sum;
}

double fanin__mills(double z) {
    if (z < 2.5) return (0.5 - central(z)) / density(z);
    /* Laplace's continued fraction z + 1/(z + 2/(z + ...)); 80 levels give 2^-90 at 2.5. */
    double f = z;
    for (int k = z < 8 ? 80 : 20; k > 0; k--) f = z + k / f;
    return 1 / f;
}

double fanin__normal_tail(double z) {
    if (z < 0) return 1 - fanin__normal_tail(-z);
    if (z < 2.5) return 0.5 - central(z);
    return z > 40 ? 0 : density(z) * fanin__mills(z);
}
