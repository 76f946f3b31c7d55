/* kernels_int.h - integer arithmetic that is defined for every operand: sums wrap, x / 0 = 0,
 * what no integer holds becomes the nearest, and not-a-number 0. */
#ifndef FANIN_SRC_OPERATOR_KERNELS_INT_H
#define FANIN_SRC_OPERATOR_KERNELS_INT_H

#include <stdint.h>

static inline int64_t int_of(double v) {
    if (!(v > -9.2e18)) return v != v ? 0 : INT64_MIN;
    return v < 9.2e18 ? (int64_t)v : INT64_MAX;
}
static inline int64_t int_div(int64_t a, int64_t b) {
    return b == 0 ? 0 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}
static inline int64_t int_rem(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }
static inline int64_t int_mod(int64_t a, int64_t b) {
    int64_t r = int_rem(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
static inline int64_t int_pow(int64_t a, int64_t b) {
    uint64_t r = 1, base = (uint64_t)a;
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    for (uint64_t e = (uint64_t)b; e; e >>= 1, base *= base)
        if (e & 1) r *= base;
    return (int64_t)r;
}

#endif
