/* law.c - one-sample tests of what was measured against a law with known mean and deviation. */
#include <math.h>

#include "probe/measure.h"

#define SQRT3        1.7320508075688772
#define CUT_AT_2_STD 0.87962566103423978

/* Fourth moment over variance squared. */
double fanin__law_kurtosis(fanin__shape shape) {
    switch (shape) {
    case FANIN__SHAPE_UNIFORM: return 1.8;
    case FANIN__SHAPE_CUT: return 2.365536717129649;
    case FANIN__SHAPE_NORMAL:
    case FANIN__SHAPE_CONSTANT:
    case FANIN__SHAPE_OTHER: break;
    }
    return 3;
}

static double phi(double z) { return erfc(-z * 0.70710678118654752) / 2; }

double fanin__law_cdf(const fanin__law *law, double x) {
    double z = (x - law->mean) / law->std;
    switch (law->shape) {
    case FANIN__SHAPE_UNIFORM: return fmin(1, fmax(0, 0.5 + z / (2 * SQRT3)));
    case FANIN__SHAPE_CUT:
        z = fmin(2, fmax(-2, z * CUT_AT_2_STD));
        return (phi(z) - phi(-2)) / (1 - 2 * phi(-2));
    case FANIN__SHAPE_NORMAL:
    case FANIN__SHAPE_CONSTANT:
    case FANIN__SHAPE_OTHER: break;
    }
    return phi(z);
}

double fanin__two_sided(double z) { return erfc(fabs(z) * 0.70710678118654752); }

/* z of a chi-square value with `freedom` degrees (Wilson and Hilferty 1931). */
static double chi_z(double value, double freedom) {
    double k = 2 / (9 * freedom);
    return (cbrt(value / freedom) - (1 - k)) / sqrt(k);
}

/* Relative step of a type; what its rounding may move a deviation by. */
static double rounding_of(fanin_dtype dtype) {
    switch (dtype) {
    case FANIN_F8_E5M2: return 0x1p-3;
    case FANIN_F8_E4M3: return 0x1p-4;
    case FANIN_BF16: return 0x1p-9;
    case FANIN_F16: return 0x1p-12;
    default: return 0x1p-25;
    }
}

/* Chi-square over classes of whole bins, of about equal probability. Types of 16 bits and less have steps that do not
 * agree with bins: their tensors count as 20 000 elements at most, so that the steps are not seen. */
static double shape_p(const fanin__measure *m, const fanin__law *law, fanin_dtype dtype) {
    double n = (double)m->binned, wanted = fmin(32, floor(n / 8)), chi = 0, left = 0;
    uint64_t seen = 0;
    int classes = 0;
    if (wanted < 4) return 1;
    for (int b = 0; b < FANIN__BINS; b++) {
        bool last = b == FANIN__BINS - 1;
        double right = last ? 1 : fanin__law_cdf(law, m->edge0 + (b + 1) * m->width);
        seen += m->bins[b];
        if (!last && (right - left < 1 / wanted || 1 - right < 0.5 / wanted)) continue;
        double expected = n * (right - left), d = (double)seen - expected;
        if (expected < 1e-9 && seen == 0) continue;
        chi += d * d / fmax(expected, 1e-9);
        classes++;
        left = right;
        seen = 0;
    }
    if (classes < 3) return 0;
    double cap = fanin_dtype_size(dtype) == 1   ? 500
                 : fanin_dtype_size(dtype) == 2 ? 20000
                                                : INFINITY;
    if (n > cap) chi *= cap / n;
    double z = chi_z(chi, classes - 1);
    return z > 0 ? fanin__two_sided(z) / 2 : 1 - fanin__two_sided(z) / 2;
}

/* Largest of n distances: too small for a normal that was cut, too large where something was added. */
static double extreme_p(const fanin__measure *m, const fanin__law *law) {
    double reach = fmax(m->max - law->mean, law->mean - m->min) / law->std;
    double below = exp((double)m->n * log1p(-fanin__two_sided(reach)));
    return fmin(1, 2 * fmin(below, 1 - below));
}

fanin__p_values fanin__law_test(const fanin__measure *m, const fanin__law *law, fanin_dtype dtype) {
    double n = (double)m->n, rounding = rounding_of(dtype);
    fanin__p_values p = {1, 1, 1, 1};
    double off = fmax(0, fabs(m->mean - law->mean) - rounding * rounding * law->std);
    p.mean = fanin__two_sided(off / (law->std / sqrt(n)));
    /* About the declared mean: n degrees of freedom. */
    double shift = m->mean - law->mean;
    double ratio = (m->std * m->std + shift * shift) / (law->std * law->std);
    double slack = 2 * rounding * rounding + (rounding > 0.01 ? rounding / 4 : 0);
    ratio = ratio > 1 ? fmax(1, ratio - slack) : fmin(1, ratio + slack);
    double freedom = 2 * n / (fanin__law_kurtosis(law->shape) - 1);
    p.variance = fanin__two_sided(chi_z(ratio * freedom, freedom));
    if (m->width > 0 && p.variance > 1e-15 && p.mean > 1e-15) p.shape = shape_p(m, law, dtype);
    if (law->shape == FANIN__SHAPE_NORMAL && fanin_dtype_size(dtype) > 1)
        p.extreme = extreme_p(m, law);
    return p;
}
