/* normal.c - the inverse normal CDF of one word, in float32, by a segment table.
 *
 * A position v stands for the probability (v + 1/2) / 2^32. Its lower half is mirrored onto the
 * upper: m = v or ~v, whichever is below 2^31, counts cells of the tail. The exponent and six
 * fraction bits of float(m) + 1/2 name the segment, whose row holds a centre C, c0 = z at that
 * cell border and c1 = dz / dcell; t = m - C + 1/2 is exact. With x = c1 t, z'' = z z'^2 gives
 *
 *     z = c0 + (c1 t + x^2 (c0 / 2 + x (1 + 2 c0^2) / 6)),
 *
 * and since |x| < 2^-6.6 max(|z|, ...) all roundings but the last are below 0.02 units in the
 * last place. In the middle segment c0 is 0 and the sum is one rounding. */
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
    float t = (float)(int32_t)(m - (uint32_t)fanin__normal_centre[i]) + 0.5f;
    float x = t * c1, h = 0.5f * c0;
    float k = fmaf(c0 * h, 0x1.555556p-1f, 0x1.555556p-3f); /* 2/3 and 1/6 */
    float g = fmaf(x, k, h);
    float z = c0 + fmaf(t, c1, (x * x) * g);
    return mirror ? z : -z;
}
