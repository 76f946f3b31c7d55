/* compat_kernels.h - the body of the kernels, included once per instruction set.
 *
 * Loops are written so that a compiler can turn them into vectors: no branches, no calls but fmaf
 * and sqrtf, both correctly rounded, so vector width cannot change a bit. Where the target has
 * no fused multiply-add, fmaf is the C library's, slow and exact.
 */
#ifndef FANIN_RANDOM_COMPAT_KERNELS_H
#define FANIN_RANDOM_COMPAT_KERNELS_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "random/compat.h"

enum { MT_N = FANIN_MT19937_WORDS, MT_M = 397 };

static inline uint32_t mt_twist(uint32_t high, uint32_t low) {
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return (y >> 1) ^ ((0u - (y & 1u)) & 0x9908b0dfu);
}

static void mt_block(uint32_t *restrict m, uint32_t *restrict word) {
    for (int k = 0; k < MT_N - MT_M; k++) m[k] = m[k + MT_M] ^ mt_twist(m[k], m[k + 1]);
    for (int k = MT_N - MT_M; k < MT_N - 1; k++)
        m[k] = m[k - (MT_N - MT_M)] ^ mt_twist(m[k], m[k + 1]);
    m[MT_N - 1] = m[MT_M - 1] ^ mt_twist(m[MT_N - 1], m[0]);
    for (int k = 0; k < MT_N; k++) {
        uint32_t y = m[k];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680u;
        y ^= (y << 15) & 0xefc60000u;
        word[k] = y ^ (y >> 18);
    }
}

static inline float bits_to_float(uint32_t b) {
    float f;
    memcpy(&f, &b, sizeof f);
    return f;
}

static inline uint32_t float_to_bits(float f) {
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}

static void uniform(const uint32_t *restrict word, size_t n, int bits, bool fused, float low,
                    float width, float top, float *restrict out) {
    uint32_t mask = (1u << bits) - 1u;
    float scale = bits_to_float((127u - (uint32_t)bits) << 23);
    if (fused)
        for (size_t i = 0; i < n; i++) {
            float v = fmaf((float)(int32_t)(word[i] & mask) * scale, width, low);
            out[i] = v == top ? low : v;
        }
    else
        for (size_t i = 0; i < n; i++) {
            float v = (float)(int32_t)(word[i] & mask) * scale * width + low;
            out[i] = v == top ? low : v;
        }
}

/* A mask instead of a branch: selections stay arithmetic and loops stay vectors. */
static inline uint32_t all_ones(bool yes) { return 0u - (uint32_t)yes; }

/* Natural logarithm of u in (0, 1], Cephes coefficients, fused where PyTorch's compiler fused. */
static inline float poly_log(float u) {
    uint32_t b = float_to_bits(u);
    float e = (float)((int32_t)(b >> 23) - 127) + 1.0f;
    uint32_t mantissa = (b & 0x007fffffu) | 0x3f000000u; /* m in [0.5, 1) */
    uint32_t low = all_ones(mantissa < 0x3f3504f3u);     /* m < sqrt(1/2), compared as integers */
    float m = bits_to_float(mantissa);
    e -= bits_to_float(low & 0x3f800000u);
    m = (m - 1.0f) + bits_to_float(low & mantissa);
    float z = m * m, y = 7.0376836292e-2f;
    y = fmaf(y, m, -1.1514610310e-1f);
    y = fmaf(y, m, 1.1676998740e-1f);
    y = fmaf(y, m, -1.2420140846e-1f);
    y = fmaf(y, m, 1.4249322787e-1f);
    y = fmaf(y, m, -1.6668057665e-1f);
    y = fmaf(y, m, 2.0000714765e-1f);
    y = fmaf(y, m, -2.4999993993e-1f);
    y = fmaf(y, m, 3.3333331174e-1f);
    y = y * m;
    y = fmaf(y, z, e * -2.12194440e-4f);
    y = fmaf(z, -0.5f, y);
    return fmaf(e, 0.693359375f, m + y);
}

/* Sine and cosine of t in [0, 2 pi). */
static inline void poly_sincos(float t, float *s, float *c) {
    int32_t j = ((int32_t)(t * 1.27323954473516f) + 1) & ~1;
    float q = (float)j;
    float r = fmaf(q, -0.78515625f, t);
    r = fmaf(q, -2.4187564849853515625e-4f, r);
    r = fmaf(q, -3.77489497744594108e-8f, r);
    float z = r * r;
    float pc =
        fmaf(fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f), z, 4.166664568298827e-2f) * z;
    pc = fmaf(pc, z, -(z * 0.5f)) + 1.0f;
    float ps = fmaf(fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f), z, -1.6666654611e-1f) * z;
    ps = fmaf(ps, r, r);
    uint32_t swap = all_ones((j & 2) != 0), bits_c = float_to_bits(pc), bits_s = float_to_bits(ps);
    uint32_t sign_s = ((uint32_t)j & 4u) << 29, sign_c = (~(uint32_t)(j - 2) & 4u) << 29;
    *s = bits_to_float(((bits_c & swap) | (bits_s & ~swap)) ^ sign_s);
    *c = bits_to_float(((bits_s & swap) | (bits_c & ~swap)) ^ sign_c);
}

static void normal(const uint32_t *restrict word, size_t chunks, float mean, float std,
                   float *restrict out) {
    for (size_t k = 0; k < chunks; k++, word += 16, out += 16)
        for (int j = 0; j < 8; j++) {
            float u1 = 1.0f - (float)(int32_t)(word[j] & 0xffffffu) * 0x1p-24f;
            float u2 = (float)(int32_t)(word[j + 8] & 0xffffffu) * 0x1p-24f;
            float radius = sqrtf(-2.0f * poly_log(u1)), s, c;
            poly_sincos(6.283185307179586f * u2, &s, &c);
            out[j] = fmaf(radius * c, std, mean);
            out[j + 8] = fmaf(radius * s, std, mean);
        }
}

static inline uint32_t rotate_left(uint32_t v, int by) { return v << by | v >> (32 - by); }

static inline void threefry_four(uint32_t *x0, uint32_t *x1, int r0, int r1, int r2, int r3) {
    *x0 += *x1, *x1 = rotate_left(*x1, r0) ^ *x0;
    *x0 += *x1, *x1 = rotate_left(*x1, r1) ^ *x0;
    *x0 += *x1, *x1 = rotate_left(*x1, r2) ^ *x0;
    *x0 += *x1, *x1 = rotate_left(*x1, r3) ^ *x0;
}

static void threefry(const uint32_t *restrict key, const uint32_t *restrict c0,
                     const uint32_t *restrict c1, size_t n, uint32_t *restrict out0,
                     uint32_t *restrict out1) {
    uint32_t k0 = key[0], k1 = key[1], k2 = k0 ^ k1 ^ 0x1bd11bdau;
    for (size_t i = 0; i < n; i++) {
        uint32_t x0 = c0[i] + k0, x1 = c1[i] + k1;
        threefry_four(&x0, &x1, 13, 15, 26, 6);
        x0 += k1, x1 += k2 + 1;
        threefry_four(&x0, &x1, 17, 29, 16, 24);
        x0 += k2, x1 += k0 + 2;
        threefry_four(&x0, &x1, 13, 15, 26, 6);
        x0 += k0, x1 += k1 + 3;
        threefry_four(&x0, &x1, 17, 29, 16, 24);
        x0 += k1, x1 += k2 + 4;
        threefry_four(&x0, &x1, 13, 15, 26, 6);
        out0[i] = x0 + k2;
        out1[i] = x1 + k0 + 5;
    }
}

/* log(1 + t) for t in (-1, 0], good to 1e-13: odd series of the inverse hyperbolic tangent after
 * scaling 1 + t into [sqrt(1/2), sqrt(2)); near 0 from t itself, where 1 + t has lost its end. */
static inline double log1p_negative(double t) {
    double y = 1.0 + t;
    uint64_t b;
    memcpy(&b, &y, sizeof b);
    uint64_t shifted = b - UINT64_C(0x3fe6a09e667f3bcd); /* sqrt(1/2): exponent steps begin here */
    uint64_t near = 0u - (uint64_t)(y >= 0.70710678118654757);
    int32_t k = (int32_t)(shifted >> 52) - (int32_t)((shifted >> 63) << 12);
    uint64_t mantissa = b - ((uint64_t)(int64_t)k << 52), top, t_bits, minus;
    double m, s, z, less;
    memcpy(&m, &mantissa, sizeof m);
    less = m - 1.0;
    memcpy(&minus, &less, sizeof minus);
    memcpy(&t_bits, &t, sizeof t_bits);
    top = (t_bits & near) | (minus & ~near);
    memcpy(&less, &top, sizeof less);
    s = less / (2.0 + less);
    z = s * s;
    double p = 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    return (double)k * 0.6931471805599453 + 2.0 * (s + s * z * p);
}

/* Giles, "Approximating the erfinv function" (2010), single precision: what XLA evaluates. It is
 * 5.8e-6 off at worst, so a better inverse would not be a better match. x = +-1 gives infinity. */
static void quantile(float *restrict x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float u = x[i], w = -(float)log1p_negative((double)(-u * u));
        uint32_t far = all_ones(w >= 5.0f), edge = all_ones(u * u >= 1.0f);
        float a = w - 2.5f, b = sqrtf(w) - 3.0f, p = 2.81022636e-08f, q = -0.000200214257f;
        p = 3.43273939e-07f + p * a, q = 0.000100950558f + q * b;
        p = -3.5233877e-06f + p * a, q = 0.00134934322f + q * b;
        p = -4.39150654e-06f + p * a, q = -0.00367342844f + q * b;
        p = 0.00021858087f + p * a, q = 0.00573950773f + q * b;
        p = -0.00125372503f + p * a, q = -0.0076224613f + q * b;
        p = -0.00417768164f + p * a, q = 0.00943887047f + q * b;
        p = 0.246640727f + p * a, q = 1.00167406f + q * b;
        p = 1.50140941f + p * a, q = 2.83297682f + q * b;
        float z = bits_to_float((float_to_bits(q) & far) | (float_to_bits(p) & ~far)) * u;
        uint32_t infinite = 0x7f800000u | (float_to_bits(u) & 0x80000000u);
        x[i] =
            1.41421356237309504880f * bits_to_float((infinite & edge) | (float_to_bits(z) & ~edge));
    }
}

/* A tile of columns of A (rows x width, stride lda) less V T' V' A: V is rows x nb, T nb x nb. */
static void reflect(const double *restrict v, const double *restrict t, size_t rows, size_t nb,
                    double *restrict a, size_t lda, size_t width) {
    enum { NB = FANIN__QR_PANEL, TILE = FANIN__QR_TILE };
    static_assert(NB % 4 == 0, "panels are padded to four");
    double w[NB][TILE], tw[NB][TILE];
    memset(w, 0, sizeof w);
    for (size_t i = 0; i < rows; i += 4) { /* V is padded with rows of zeros, A is not */
        size_t last = rows - 1;
        const double *a0 = a + i * lda, *a1 = a + (i + 1 < rows ? i + 1 : last) * lda;
        const double *a2 = a + (i + 2 < rows ? i + 2 : last) * lda;
        const double *a3 = a + (i + 3 < rows ? i + 3 : last) * lda;
        for (size_t p = 0; p < nb; p++) {
            const double *f = v + i * NB + p;
            for (size_t j = 0; j < width; j++)
                w[p][j] += ((f[0] * a0[j] + f[NB] * a1[j]) + f[2 * NB] * a2[j]) + f[3 * NB] * a3[j];
        }
    }
    memset(tw, 0, sizeof tw);
    for (size_t p = 0; p < nb; p++)
        for (size_t q = 0; q < nb; q++)
            for (size_t j = 0; j < width; j++) tw[p][j] += t[p * NB + q] * w[q][j];
    for (size_t i = 0; i < rows; i++)
        for (size_t p = 0; p < NB; p += 4) {
            const double *f = v + i * NB + p;
            for (size_t j = 0; j < width; j++)
                a[i * lda + j] -= ((f[0] * tw[p][j] + f[1] * tw[p + 1][j]) + f[2] * tw[p + 2][j]) +
                                  f[3] * tw[p + 3][j];
        }
}

#endif
