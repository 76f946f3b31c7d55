/* law.c - one-sample tests of what was measured against a law with known mean and deviation. */
#include "probe/law.h"

#include <math.h>

#define SQRT3        1.7320508075688772
#define CUT_AT_2_STD 0.87962566103423978

static double phi(double z) { return erfc(-z * 0.70710678118654752) / 2; }

/* ---- laws -------------------------------------------------------------------------------- */

/* Simpson's rule over the cut's own density, from the end nearer to the centre on as far as it matters. */
static void cut_moments(fanin__law *law) {
    enum { STEPS = 1000 };
    double alpha = (law->low - law->centre) / law->parent;
    double beta = (law->high - law->centre) / law->parent;
    double near = fmax(alpha, fmin(beta, 0)), reach = 40 / fmax(1, fabs(near));
    double from = fmax(alpha, near - reach), to = fmin(beta, near + reach);
    double s[5] = {0}, h = (to - from) / STEPS;
    for (int i = 0; i <= STEPS; i++) {
        double z = from + i * h, d = z - near;
        double w = (i == 0 || i == STEPS ? 1 : i % 2 ? 4 : 2) * exp(-d * (near + d / 2));
        for (int k = 0; k < 5; k++, w *= d) s[k] += w;
    }
    double a = s[1] / s[0], b = s[2] / s[0], c = s[3] / s[0], e = s[4] / s[0], var = b - a * a;
    law->mean = law->centre + law->parent * (near + a);
    law->std = law->parent * sqrt(var);
    law->kurtosis = (e - 4 * a * c + 6 * a * a * b - 3 * a * a * a * a) / (var * var);
}

fanin__law fanin__law_normal(double mean, double std) {
    return (fanin__law){
        .shape = FANIN__SHAPE_NORMAL, .mean = mean, .std = std, .kurtosis = 3, .effect = 1};
}

fanin__law fanin__law_uniform(double mean, double std) {
    return (fanin__law){
        .shape = FANIN__SHAPE_UNIFORM, .mean = mean, .std = std, .kurtosis = 1.8, .effect = 1};
}

static fanin__law cut(double centre, double parent, double low, double high) {
    fanin__law law = {.shape = FANIN__SHAPE_CUT,
                      .centre = centre,
                      .parent = parent,
                      .low = low,
                      .high = high,
                      .effect = 1};
    cut_moments(&law);
    return law;
}

fanin__law fanin__law_cut_at_2(double mean, double std) {
    double parent = std / CUT_AT_2_STD;
    return cut(mean, parent, mean - 2 * parent, mean + 2 * parent);
}

/* Two coordinates x, y of a point on a sphere: f(x) and f(y) correlate by C_l(0) / C_l(1) (Gegenbauer) for the l-th
 * harmonic f, at most 3 / (N^2 - 1), at l = 4; over the N of a line that inflates a chi-square by 1 + 3 / (N + 1). */
fanin__law fanin__law_sphere(double dim, double radius, int sides) {
    return (fanin__law){.shape = FANIN__SHAPE_SPHERE,
                        .std = radius / sqrt(dim),
                        .dim = dim,
                        .kurtosis = 3 * dim / (dim + 2),
                        .effect = pow(1 + 3 / (dim + 1), sides)};
}

fanin__law fanin__law_of(const fanin_law *law) {
    switch (law->kind) {
    case FANIN_LAW_UNIFORM:
        if (law->high > law->low)
            return fanin__law_uniform(law->low / 2 + law->high / 2,
                                      (law->high - law->low) / (2 * SQRT3));
        break;
    case FANIN_LAW_NORMAL:
        if (law->b > 0) return fanin__law_normal(law->a, law->b);
        break;
    case FANIN_LAW_TRUNC_NORMAL: /* beyond 8 deviations a cut is none */
        if (law->a - law->low > 8 * law->b && law->high - law->a > 8 * law->b)
            return fanin__law_normal(law->a, law->b);
        return cut(law->a, law->b, law->low, law->high);
    default: break;
    }
    return (fanin__law){.shape = FANIN__SHAPE_CONSTANT, .mean = fanin_law_mean(law), .effect = 1};
}

/* Continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8) by Lentz's method. */
static double beta_fraction(double x, double a, double b) {
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
    double f = d;
    for (int m = 1; m < 20000; m++) {
        for (int odd = 0; odd < 2; odd++) {
            double k = odd ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
                           : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
            d = 1 + k * d;
            c = 1 + k / c;
            d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
            c = fabs(c) < 1e-300 ? 1e-300 : c;
            f *= c * d;
        }
        if (fabs(c * d - 1) < 1e-14) break;
    }
    return f;
}

static double incomplete_beta(double x, double a, double b) {
    if (!(x > 0)) return 0;
    if (!(x < 1)) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(x, a, b) / a
                                     : 1 - front * beta_fraction(1 - x, b, a) / b;
}

static double sphere_cdf(const fanin__law *law, double x) {
    double z = x / (law->std * sqrt(law->dim)), sign = z < 0 ? -1 : z > 0 ? 1 : 0;
    if (law->dim < 2) return z < -1 ? 0 : z < 1 ? 0.5 : 1;
    return 0.5 + sign * incomplete_beta(z * z, 0.5, (law->dim - 1) / 2) / 2;
}

/* Whichever tail is the short one, so that nothing cancels far out. */
static double cut_cdf(const fanin__law *law, double x) {
    double z = (fmin(law->high, fmax(law->low, x)) - law->centre) / law->parent;
    double a = (law->low - law->centre) / law->parent, b = (law->high - law->centre) / law->parent;
    return a > 0 ? (phi(-a) - phi(-z)) / (phi(-a) - phi(-b))
                 : (phi(z) - phi(a)) / (phi(b) - phi(a));
}

double fanin__law_cdf(const fanin__law *law, double x) {
    double z = (x - law->mean) / law->std;
    switch (law->shape) {
    case FANIN__SHAPE_UNIFORM: return fmin(1, fmax(0, 0.5 + z / (2 * SQRT3)));
    case FANIN__SHAPE_CUT: return cut_cdf(law, x);
    case FANIN__SHAPE_SPHERE: return sphere_cdf(law, x);
    case FANIN__SHAPE_CONSTANT: return x >= law->mean;
    case FANIN__SHAPE_NORMAL: break;
    }
    return phi(z);
}

/* ---- tests ------------------------------------------------------------------------------- */

double fanin__two_sided(double z) { return erfc(fabs(z) * 0.70710678118654752); }

double fanin__poisson_above(double k, double lambda) {
    if (!(k > 0)) return 1;
    if (k > lambda + 50 * sqrt(lambda) + 50) return 0;
    double term = exp(k * log(lambda) - lambda - lgamma(k + 1)), sum = 0;
    if (!(lambda > 0)) return 0;
    for (double i = k; term > 1e-18 * sum; term *= lambda / ++i) sum += term;
    return fmin(1, sum);
}

/* Wilson and Hilferty 1931. */
double fanin__chi_z(double value, double freedom) {
    double k = 2 / (9 * freedom);
    return (cbrt(value / freedom) - (1 - k)) / sqrt(k);
}

static double chi_above(double value, double freedom) {
    double z = fanin__chi_z(value, freedom);
    return z > 0 ? fanin__two_sided(z) / 2 : 1 - fanin__two_sided(z) / 2;
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

double fanin__slack(fanin_dtype dtype) {
    size_t size = fanin_dtype_size(dtype);
    return size == 1 ? 0.13 : size == 2 ? 0.005 : 1e-6;
}

double fanin__underflow(fanin_dtype dtype) {
    switch (dtype) {
    case FANIN_F8_E5M2: return 0x1p-17;
    case FANIN_F8_E4M3: return 0x1p-10;
    case FANIN_F16: return 0x1p-25;
    default: return 0x1p-134;
    }
}

/* Types of 16 bits and less have steps that do not agree with bins: their tensors count as 20 000 elements at most, so
 * that the steps are not seen; the steps grow with the distance of the law from 0, and what is seen with their square. */
static double capped(double chi, double n, double away, fanin_dtype dtype) {
    double cap = fanin_dtype_size(dtype) == 1   ? 500
                 : fanin_dtype_size(dtype) == 2 ? 20000
                                                : INFINITY;
    cap /= (1 + away) * (1 + away);
    return n > cap ? chi * cap / n : chi;
}

/* Chi-square over classes of whole bins, of about equal probability. */
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
    return chi_above(capped(chi, n, fabs(law->mean) / law->std, dtype) / law->effect, classes - 1);
}

/* Classes of whole bins that hold at least 1/32 of both together. */
double fanin__two_sample(const fanin__measure *m, const uint64_t other[FANIN__BINS], double effect,
                         fanin_dtype dtype) {
    double n1 = (double)m->binned, n2 = 0, a = 0, b = 0, chi = 0;
    int classes = 0;
    for (int i = 0; i < FANIN__BINS; i++) n2 += (double)other[i];
    double total = n1 + n2, least = fmax(total / 32, 16), left = total;
    if (n1 < 32 || n2 < 32) return 1;
    for (int i = 0; i < FANIN__BINS; i++) {
        a += (double)m->bins[i];
        b += (double)other[i];
        if (i < FANIN__BINS - 1 && (a + b < least || left - a - b < least)) continue;
        double d = a * sqrt(n2 / n1) - b * sqrt(n1 / n2);
        chi += a + b > 0 ? d * d / (a + b) : 0;
        classes++;
        left -= a + b;
        a = b = 0;
    }
    return classes < 2
               ? 1
               : chi_above(capped(chi, fmin(n1, n2), fabs(m->mean) / m->std, dtype) / effect,
                           classes - 1);
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
    /* About the declared mean: n degrees of freedom. On a sphere it is exact, and not for here. */
    double shift = m->mean - law->mean;
    double ratio = (m->std * m->std + shift * shift) / (law->std * law->std);
    double slack = 2 * rounding * rounding + (rounding > 0.01 ? rounding / 4 : 0);
    ratio = ratio > 1 ? fmax(1, ratio - slack) : fmin(1, ratio + slack);
    double freedom = 2 * n / (law->kurtosis - 1);
    if (law->shape != FANIN__SHAPE_SPHERE)
        p.variance = fanin__two_sided(fanin__chi_z(ratio * freedom, freedom));
    if (m->width > 0 && p.variance > 1e-15 && p.mean > 1e-15) p.shape = shape_p(m, law, dtype);
    if (law->shape == FANIN__SHAPE_NORMAL && fanin_dtype_size(dtype) > 1)
        p.extreme = extreme_p(m, law);
    return p;
}

double fanin__least_p(fanin__p_values p) {
    return fmin(1, 4 * fmin(fmin(p.mean, p.variance), fmin(p.shape, p.extreme)));
}
