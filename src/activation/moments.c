/* Closed-form moments of f(u), u ~ N(0, q). Piecewise polynomials share one routine over partial
 * moments of the normal law; the rest has a formula each, by Stein's identity E u h(u) = q E h'(u)
 * and by completing the square under e^{-u^2}. */
#include <math.h>

#include "activation/activation.h"

#define PI        3.14159265358979323846264338327950288
#define SQRT_2    1.41421356237309504880168872420969808
#define INV_SQ2PI 0.398942280401432677939946059934381868

/* ---- pieces ---------------------------------------------------------------------------- */

static int two(fanin__piece *out, double at, double b0, double b1, double a0, double a1) {
    out[0] = (fanin__piece){at, {b0, b1, 0}};
    out[1] = (fanin__piece){INFINITY, {a0, a1, 0}};
    return 2;
}

static int clamp(fanin__piece *out, double a, double b, double lo, double hi) {
    if (!(a > 0)) { /* falling or flat: mirrored, or one constant */
        if (a == 0) {
            out[0] = (fanin__piece){INFINITY, {b < lo ? lo : b > hi ? hi : b, 0, 0}};
            return 1;
        }
        double swap = lo;
        lo = hi;
        hi = swap;
    }
    out[0] = (fanin__piece){(lo - b) / a, {lo, 0, 0}};
    out[1] = (fanin__piece){(hi - b) / a, {b, a, 0}};
    out[2] = (fanin__piece){INFINITY, {hi, 0, 0}};
    return 3;
}

int fanin__pieces_identity(const double *p, fanin__piece *out) {
    (void)p;
    out[0] = (fanin__piece){INFINITY, {0, 1, 0}};
    return 1;
}

int fanin__pieces_hard_sigmoid(const double *p, fanin__piece *out) {
    return clamp(out, p[0], p[1], 0, 1);
}

int fanin__pieces_hard_tanh(const double *p, fanin__piece *out) {
    return clamp(out, 1, 0, p[0], p[1]);
}

int fanin__pieces_relu6(const double *p, fanin__piece *out) {
    (void)p;
    return clamp(out, 1, 0, 0, 6);
}

int fanin__pieces_relu(const double *p, fanin__piece *out) {
    (void)p;
    return two(out, 0, 0, 0, 0, 1);
}

int fanin__pieces_leaky_relu(const double *p, fanin__piece *out) {
    return two(out, 0, 0, p[0], 0, 1);
}

int fanin__pieces_rrelu(const double *p, fanin__piece *out) {
    return two(out, 0, 0, 0.5 * (p[0] + p[1]), 0, 1);
}

int fanin__pieces_hard_swish(const double *p, fanin__piece *out) {
    (void)p;
    out[0] = (fanin__piece){-3, {0, 0, 0}};
    out[1] = (fanin__piece){3, {0, 0.5, 1.0 / 6}};
    out[2] = (fanin__piece){INFINITY, {0, 1, 0}};
    return 3;
}

int fanin__pieces_squared_relu(const double *p, fanin__piece *out) {
    two(out, 0, 0, 0, 0, 0);
    (void)p;
    out[1].c[2] = 1;
    return 2;
}

int fanin__pieces_step(const double *p, fanin__piece *out) {
    (void)p;
    return two(out, 0, 0, 0, 1, 0);
}

int fanin__pieces_sign(const double *p, fanin__piece *out) {
    (void)p;
    return two(out, 0, -1, 0, 1, 0);
}

int fanin__pieces_abs(const double *p, fanin__piece *out) {
    (void)p;
    return two(out, 0, 0, -1, 0, 1);
}

int fanin__pieces_threshold(const double *p, fanin__piece *out) {
    return two(out, p[0], p[1], 0, 0, 1);
}

/* ---- moments of pieces ----------------------------------------------------------------- */

static double density(double z) { return isinf(z) ? 0 : INV_SQ2PI * exp(-0.5 * z * z); }

/* P(a < z < b), from the side where nothing cancels. */
static double mass(double a, double b) {
    if (a > 0) return 0.5 * (erfc(a / SQRT_2) - erfc(b / SQRT_2));
    if (b < 0) return 0.5 * (erfc(-b / SQRT_2) - erfc(-a / SQRT_2));
    return 0.5 * (erf(b / SQRT_2) - erf(a / SQRT_2));
}

/* m[k] = E[z^k; a < z < b], k = 0..4 */
static void partial(double a, double b, double m[5]) {
    double fa = density(a), fb = density(b), pa = isinf(a) ? 0 : a, pb = isinf(b) ? 0 : b;
    double ta = fa, tb = fb;
    m[0] = mass(a, b);
    m[1] = fa - fb;
    for (int k = 2; k <= 4; k++) {
        ta *= pa;
        tb *= pb;
        m[k] = (k - 1) * m[k - 2] + ta - tb;
    }
}

static double value(const fanin__piece *p, double x) {
    return p->c[0] + x * (p->c[1] + x * p->c[2]);
}

void fanin__moments_of_pieces(const fanin__piece *pieces, int count, double q,
                              fanin_activation_moments *out) {
    double s = sqrt(q), a = -INFINITY, m[5];
    *out = (fanin_activation_moments){0, 0, 0, 0};
    for (int i = 0; i < count; i++) {
        const fanin__piece *f = &pieces[i];
        double b = f->end / s;
        partial(a, b, m);
        double c0 = f->c[0], c1 = f->c[1] * s, c2 = f->c[2] * q; /* in z */
        out->mean += c0 * m[0] + c1 * m[1] + c2 * m[2];
        out->second += c0 * c0 * m[0] + 2 * c0 * c1 * m[1] + (c1 * c1 + 2 * c0 * c2) * m[2] +
                       2 * c1 * c2 * m[3] + c2 * c2 * m[4];
        out->slope_second += (c1 * c1 * m[0] + 4 * c1 * c2 * m[1] + 4 * c2 * c2 * m[2]) / q;
        out->curve_product += 2 * c2 * (c0 * m[0] + c1 * m[1] + c2 * m[2]) / q;
        if (i + 1 < count) { /* f'' has a delta function where f' jumps */
            double k = f->end, left = value(f, k), right = value(f + 1, k);
            double rise = f[1].c[1] - f->c[1] + 2 * k * (f[1].c[2] - f->c[2]);
            if (fabs(left - right) > 1e-15 * (fabs(left) + fabs(right))) {
                out->slope_second = INFINITY;
                out->curve_product = NAN;
            }
            out->curve_product += left * rise * density(b) / s;
        }
        a = b;
    }
}

/* ---- the others ------------------------------------------------------------------------ */

/* E[e^{k u}; u < 0]; false when e^{k^2 q/2} would overflow. */
static bool half_exp(double k, double q, double *out) {
    double t = k * sqrt(q);
    if (fabs(t) > 36) return false;
    *out = 0.5 * exp(0.5 * t * t) * erfc(t / SQRT_2);
    return true;
}

static bool exponential(double s, double a, double c, double q, fanin_activation_moments *m) {
    double t1, t2;
    if (!(c > 0) || !half_exp(1 / c, q, &t1) || !half_exp(2 / c, q, &t2)) return false;
    m->mean = s * (sqrt(q) * INV_SQ2PI + a * (t1 - 0.5));
    m->second = s * s * (0.5 * q + a * a * (t2 - 2 * t1 + 0.5));
    m->slope_second = s * s * (0.5 + a * a / (c * c) * t2);
    m->curve_product = s * s * a * a / (c * c) * (t2 - t1);
    return true;
}

bool fanin__moments_elu(const double *p, double q, fanin_activation_moments *m) {
    return exponential(1, p[0], 1, q, m);
}

bool fanin__moments_celu(const double *p, double q, fanin_activation_moments *m) {
    return exponential(1, p[0], p[0], q, m);
}

bool fanin__moments_selu(const double *p, double q, fanin_activation_moments *m) {
    (void)p;
    return exponential(FANIN__SELU_LAMBDA, FANIN__SELU_ALPHA, 1, q, m);
}

bool fanin__moments_gelu(const double *p, double q, fanin_activation_moments *m) {
    (void)p;
    double r = sqrt(1 + 2 * q);
    double phi2 = 1 / (2 * PI * r);            /* E phi^2 */
    double u2phi2 = phi2 * q / (1 + 2 * q);    /* E u^2 phi^2 */
    double x = q * phi2 / (1 + q);             /* E u Phi phi */
    double y = q * (2 * x + u2phi2) / (1 + q); /* E u^3 Phi phi */
    double cdf2 = 0.25 + asin(q / (1 + q)) / (2 * PI);
    m->mean = q / sqrt(2 * PI * (1 + q));
    m->second = q * (0.25 + (q / ((1 + q) * r) + 0.5 * atan(q / r)) / PI);
    m->slope_second = cdf2 + 2 * x + u2phi2;
    m->curve_product = 2 * x - y;
    return true;
}

bool fanin__moments_erf(const double *p, double q, fanin_activation_moments *m) {
    (void)p;
    m->mean = 0;
    m->second = 2 / PI * asin(2 * q / (1 + 2 * q));
    m->slope_second = 4 / PI / sqrt(1 + 4 * q);
    m->curve_product = -8 / PI * q / ((1 + 2 * q) * sqrt(1 + 4 * q));
    return true;
}

bool fanin__moments_sin(const double *p, double q, fanin_activation_moments *m) {
    double w2 = p[0] * p[0], v = w2 * q;
    m->mean = 0;
    m->second = -0.5 * expm1(-2 * v);
    m->slope_second = 0.5 * w2 * (1 + exp(-2 * v));
    m->curve_product = -w2 * m->second;
    return true;
}

bool fanin__moments_cos(const double *p, double q, fanin_activation_moments *m) {
    double w2 = p[0] * p[0], v = w2 * q;
    m->mean = exp(-0.5 * v);
    m->second = 0.5 * (1 + exp(-2 * v));
    m->slope_second = -0.5 * w2 * expm1(-2 * v);
    m->curve_product = -w2 * m->second;
    return true;
}

bool fanin__moments_gaussian(const double *p, double q, fanin_activation_moments *m) {
    (void)p;
    double r = sqrt(1 + 4 * q);
    m->mean = 1 / sqrt(1 + 2 * q);
    m->second = 1 / r;
    m->slope_second = 4 * q / (r * r * r);
    m->curve_product = m->slope_second - 2 / r;
    return true;
}
