/* map64.h - two words to one float64, for every law; compiled once a set of instructions, since
 * fma is a call into the C library where the target has none. The inverse normal CDF is that of
 * normal.c with four fraction bits a segment and eleven terms. */
#ifndef FANIN_RANDOM_MAP64_H
#define FANIN_RANDOM_MAP64_H

#include <math.h>
#include <string.h>

#include "random/random.h"

/* P_n(c0) / n! by Horner's rule in s = c0^2; `n` is a constant, so that the loop is unrolled. */
static inline __attribute__((always_inline)) double normal_term(int n, double c0, double s) {
    const double *row = fanin__normal_taylor[n];
    double p = row[(n - 1) / 2];
    for (int j = (n - 1) / 2 - 1; j >= 0; j--) p = fma(p, s, row[j]);
    return n & 1 ? p : p * c0;
}

/* x^2 times the sum over n = 2 ... 11 of x^(n-2) P_n(c0) / n!. */
static inline double normal_series(double c0, double x) {
    double s = c0 * c0, sum = normal_term(11, c0, s);
    sum = fma(sum, x, normal_term(10, c0, s));
    sum = fma(sum, x, normal_term(9, c0, s));
    sum = fma(sum, x, normal_term(8, c0, s));
    sum = fma(sum, x, normal_term(7, c0, s));
    sum = fma(sum, x, normal_term(6, c0, s));
    sum = fma(sum, x, normal_term(5, c0, s));
    sum = fma(sum, x, normal_term(4, c0, s));
    sum = fma(sum, x, normal_term(3, c0, s));
    sum = fma(sum, x, normal_term(2, c0, s));
    return x * x * sum;
}

static inline double normal_value(uint64_t position) {
    uint64_t mirror = 0u - (position >> 63);
    uint64_t m = position ^ mirror, bits;
    double f = (double)(int64_t)m + 0.5;
    memcpy(&bits, &f, sizeof bits);
    const fanin__normal_row64 *row =
        &fanin__normal_rows64[(bits >> 48) - (UINT64_C(0x3fe0000000000000) >> 48)];
    double t = (double)(int64_t)(m - row->centre) + 0.5;
    double x = t * row->c1;
    double z = row->c0 + fma(t, row->c1, normal_series(row->c0, x));
    return mirror ? z : -z;
}

static inline double clamp64(double x, const fanin__plan *plan) {
    x = x > plan->low64 ? x : plan->low64;
    return x < plan->high64 ? x : plan->high64;
}

static inline double scaled64(double x, const fanin__plan *plan) {
    return fma(x, plan->scale64, plan->mean64);
}

/* High half of a b. */
static inline uint64_t high_product(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    uint64_t low = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (low >> 32);
}

/* w holds the element's word above the word of the next plane. */
static inline double map_f64(const fanin__plan *plan, uint64_t w) {
    switch (plan->map) {
    case FANIN__MAP_AFFINE:
    case FANIN__MAP_AFFINE_CLAMP: return clamp64(scaled64((double)(int64_t)w, plan), plan);
    case FANIN__MAP_NORMAL: return scaled64(normal_value(w), plan);
    case FANIN__MAP_NORMAL_CLAMP: return clamp64(scaled64(normal_value(w), plan), plan);
    case FANIN__MAP_TRUNC:
        w = plan->offset64 + high_product(w, plan->width64);
        return clamp64(scaled64(normal_value(w), plan), plan);
    case FANIN__MAP_TAIL: return fanin__tail_value(plan, ((double)(w >> 12) + 0.5) * 0x1p-52);
    case FANIN__MAP_SIGN: return w >> 63 ? plan->mean64 : -plan->mean64;
    case FANIN__MAP_CHOICE: return (uint32_t)(w >> 32) <= plan->threshold ? plan->mean64 : 0;
    default: return plan->mean64;
    }
}

static void fill_f64(const fanin__plan *plan, const uint32_t *high, const uint32_t *low, size_t n,
                     double *out) {
    for (size_t i = 0; i < n; i++) out[i] = map_f64(plan, (uint64_t)high[i] << 32 | low[i]);
}

#endif
