/* normal.c - the inverse normal CDF of one word, in float32, by a segment table.
 *
 * A position v stands for the probability (v + 1/2) / 2^32. Its lower half is mirrored onto the
 * upper: m = v or ~v, whichever is below 2^31, counts cells of the tail. The exponent and six
 * fraction bits of float(m) + 1/2 name the segment, whose row holds a centre C, c0 = z at that
 * cell border and c1 = dz / dcell. With t = m - C, x = c1 (t + 1/2) and z'' = z z'^2,
 *
 *     z = c0 + (c1 t + (c1 / 2 + x^2 (c0 / 2 + x (1 + 2 c0^2) / 6))).
 *
 * |x| is below 0.006 outside the middle segment, so that all roundings but the last together stay
 * below 0.01 at the size of z; in the middle segment c0 is 0, t is exact, and the last fma is the
 * one rounding that counts. */
#include <math.h>
#include <string.h>

#include "random/random.h"

static uint32_t float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

float fanin__normal_f32(uint32_t position) {
    uint32_t mirror = 0u - (position >> 31);
    uint32_t m = position ^ mirror;
    uint32_t i = (float_bits((float)(int32_t)m + 0.5f) >> 17) - (0x3f000000u >> 17);
    float c0 = fanin__normal_pairs[i].c0, c1 = fanin__normal_pairs[i].c1;
    float t = (float)(int32_t)(m - (uint32_t)fanin__normal_centre[i]), s = 0.5f * c1;
    float x = fmaf(t, c1, s), h = 0.5f * c0;
    float k = fmaf(c0 * h, 0x1.555556p-1f, 0x1.555556p-3f); /* 2/3 and 1/6 */
    float g = fmaf(x, k, h);
    float z = c0 + fmaf(t, c1, fmaf(x * x, g, s));
    return mirror ? z : -z;
}
