/* compat_kernels.h - the body of the kernels, included once per instruction set.
 *
 * Loops are written so that a compiler can turn them into vectors: no branches, no calls but fmaf
 * and sqrtf, both correctly rounded, so vector width cannot change a bit. Where the target has
 * no fused multiply-add, fmaf is the C library's, slow and exact.
 */
#ifndef FANIN_RANDOM_COMPAT_KERNELS_H
#define FANIN_RANDOM_COMPAT_KERNELS_H

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

#endif
