/* normal.c - the inverse normal CDF of one word, in float32 and float64, by segment tables.
 *
 * A position v stands for the probability (v + 1/2) / 2^32. Its lower half is mirrored onto the
 * upper: m = v or ~v, whichever is below 2^31, counts cells of the tail. The exponent and six
 * fraction bits of float(m) + 1/2 name the segment, whose row holds a centre C, c0 = z at that
 * cell border and c1 = dz / dcell; t = m - C + 1/2 is exact. With x = c1 t, z'' = z z'^2 gives
 *
 *     z = c0 + (c1 t + x^2 (c0 / 2 + x (1 + 2 c0^2) / 6)),
 *
 * and since |x| < 2^-6.6 max(|z|, ...) all roundings but the last are below 0.02 units in the
 * last place. In the middle segment c0 is 0 and the sum is one rounding. The float64 version has
 * four fraction bits a segment and eleven terms. */
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

/* sum over n = 2 ... 11 of x^n P_n(c0) / n!; the odd and even rows are polynomials in c0^2. */
static double series(double c0, double x) {
    double s = c0 * c0, sum = 0;
    for (int n = 11; n >= 2; n--) {
        const double *row = fanin__normal_taylor[n];
        double p = 0;
        for (int j = (n - 1) / 2; j >= 0; j--) p = fma(p, s, row[j]);
        sum = fma(sum, x, n & 1 ? p : p * c0);
    }
    return x * x * sum;
}

double fanin__normal_f64(uint64_t position) {
    uint64_t mirror = 0u - (position >> 63);
    uint64_t m = position ^ mirror, bits;
    double f = (double)(int64_t)m + 0.5;
    memcpy(&bits, &f, sizeof bits);
    const fanin__normal_row64 *row =
        &fanin__normal_rows64[(bits >> 48) - (UINT64_C(0x3fe0000000000000) >> 48)];
    double t = (double)(int64_t)(m - row->centre) + 0.5;
    double x = t * row->c1;
    double z = row->c0 + fma(t, row->c1, series(row->c0, x));
    return mirror ? z : -z;
}
