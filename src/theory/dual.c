/* Dual activations: expectations over two correlated Gaussians. */
#include <math.h>

#include "theory/theory.h"

#define TERMS 256

/* ---- closed forms ---------------------------------------------------------------------- */

static double angle(double q1, double q2, double k) {
    double c = k / sqrt(q1 * q2);
    return acos(c > 1 ? 1 : c < -1 ? -1 : c);
}

static double area(double q1, double q2, double k) { return sqrt(fmax(0, q1 * q2 - k * k)); }

/* a x below 0, b x above. */
static double two_slopes(double a, double b, int order, double q1, double q2, double k) {
    double t = (b - a) * (b - a) / (2 * FANIN__PI), m = 0.5 * (a * a + b * b);
    double slopes = m - t * angle(q1, q2, k);
    return order ? slopes : t * area(q1, q2, k) + k * slopes;
}

static double erf_dual(int order, double q1, double q2, double k) {
    double d = (1 + 2 * q1) * (1 + 2 * q2);
    if (order) return 4 / FANIN__PI / sqrt(d - 4 * k * k);
    return 2 / FANIN__PI * asin(2 * k / sqrt(d));
}

static double wave_dual(bool sine, double w, int order, double q1, double q2, double k) {
    double w2 = w * w, near = exp(-0.5 * w2 * (q1 + q2 - 2 * k));
    double gap = -0.5 * expm1(-2 * w2 * k) * near; /* (near - far)/2 */
    double sum = 0.5 * near * (1 + exp(-2 * w2 * k));
    bool odd = sine != (order == 1);
    return (order ? w2 : 1) * (odd ? gap : sum);
}

static double bell_dual(int order, double q1, double q2, double k) {
    double d = (1 + 2 * q1) * (1 + 2 * q2) - 4 * k * k;
    return order ? 4 * k / (d * sqrt(d)) : 1 / sqrt(d);
}

static double sign_dual(double offset, double jump, int order, double q1, double q2, double k) {
    if (order) return jump * jump / (2 * FANIN__PI * area(q1, q2, k));
    return offset + jump * jump / (2 * FANIN__PI) * (0.5 * FANIN__PI - angle(q1, q2, k));
}

static double square_dual(double q1, double q2, double k) {
    double t = angle(q1, q2, k), c = cos(t);
    double j2 = 3 * sin(t) * c + (FANIN__PI - t) * (1 + 2 * c * c);
    return q1 * q2 * j2 / (2 * FANIN__PI);
}

/* x Phi(x), by Stein's identity from E Phi(u1) Phi(u2) = 1/4 + t/(2 pi). */
static double gelu_dual(int order, double q1, double q2, double k) {
    double p = (1 + q1) * (1 + q2), v = (p - k * k), r = sqrt(v), t = atan2(k, r);
    if (order == 0) return 0.25 * k + ((k * k + q1 * q2 * v) / (p * r) + k * t) / (2 * FANIN__PI);
    return 0.25 + (t + k / r * (1 / v + (1 - q1 * q2) / p + 1)) / (2 * FANIN__PI);
}

bool fanin__dual_closed(const fanin_activation *act, int order, double q1, double q2, double k,
                        double *out) {
    const double *p = fanin_activation_params(act);
    switch (fanin_activation_id_of(act)) {
    case FANIN_ACT_IDENTITY: *out = order ? 1 : k; return true;
    case FANIN_ACT_RELU: *out = two_slopes(0, 1, order, q1, q2, k); return true;
    case FANIN_ACT_LEAKY_RELU:
    case FANIN_ACT_PRELU: *out = two_slopes(p[0], 1, order, q1, q2, k); return true;
    case FANIN_ACT_RRELU: *out = two_slopes(0.5 * (p[0] + p[1]), 1, order, q1, q2, k); return true;
    case FANIN_ACT_ABS: *out = two_slopes(-1, 1, order, q1, q2, k); return true;
    case FANIN_ACT_ERF: *out = erf_dual(order, q1, q2, k); return true;
    case FANIN_ACT_GELU: *out = gelu_dual(order, q1, q2, k); return true;
    case FANIN_ACT_SIN: *out = wave_dual(true, p[0], order, q1, q2, k); return true;
    case FANIN_ACT_COS: *out = wave_dual(false, p[0], order, q1, q2, k); return true;
    case FANIN_ACT_GAUSSIAN: *out = bell_dual(order, q1, q2, k); return true;
    case FANIN_ACT_STEP: *out = sign_dual(0.25, 1, order, q1, q2, k); return true;
    case FANIN_ACT_SIGN: *out = sign_dual(0, 2, order, q1, q2, k); return true;
    case FANIN_ACT_SQUARED_RELU:
        *out = order ? 4 * two_slopes(0, 1, 0, q1, q2, k) : square_dual(q1, q2, k);
        return true;
    default: return false;
    }
}

/* ---- nested quadrature ----------------------------------------------------------------- */

typedef struct pair {
    const fanin_activation *act;
    int order;
    double s1, s2, c, r; /* u1 = s1 z, u2 = s2 (c z + r z') */
    double mean;
    double breaks[FANIN__BREAKS];
    fanin_status status;
} pair;

static double value(const pair *p, double u) {
    double d[4];
    fanin__activation_jet(p->act, u, d);
    return d[p->order];
}

static void inner(void *ctx, double z, double v[FANIN__COMPONENTS]) {
    pair *p = ctx;
    v[0] = value(p, p->mean + p->s2 * p->r * z);
}

static void outer(void *ctx, double z, double v[FANIN__COMPONENTS]) {
    pair *p = ctx;
    fanin__integral in;
    double sd = p->s2 * p->r, f = value(p, p->s1 * z);
    v[0] = 0;
    if (f == 0) return;
    p->mean = p->s2 * p->c * z;
    size_t n = fanin__gauss_breaks(p->act, p->mean, sd * sd, p->breaks, FANIN__BREAKS);
    fanin_status status = fanin__gauss_integrate(inner, p, 1, p->breaks, n, &in);
    if (status != FANIN_OK) p->status = status;
    v[0] = f * in.value[0];
}

static void same(void *ctx, double z, double v[FANIN__COMPONENTS]) {
    pair *p = ctx;
    v[0] = value(p, p->s1 * z) * value(p, p->s2 * p->c * z);
}

/* Where the inner expectation turns: around kinks of f seen through c, within the inner width. */
static size_t turns(const pair *p, double *breaks, size_t count) {
    double kinks[64];
    size_t n = fanin_activation_kinks(p->act, kinks, 64);
    if (fabs(p->c) < 0.05) return count;
    for (size_t i = 0; i < n && i < 64; i++) {
        double at = kinks[i] / (p->s2 * p->c), width = fabs(p->r / p->c);
        static const double steps[] = {-9, -3, -1, 0, 1, 3, 9};
        for (size_t k = 0; k < FANIN_COUNT(steps) && count < FANIN__BREAKS; k++)
            breaks[count++] = at + steps[k] * width;
    }
    return count;
}

static fanin_status check(const fanin_activation *act, int order, double q1, double q2, double c,
                          fanin_err *err) {
    if ((order != 0 && order != 1) || !(q1 > 0) || !(q2 > 0) || q1 > 1e30 || q2 > 1e30 ||
        !(fabs(c) <= 1))
        return fanin_err_set(err, FANIN_ARG,
                             "dual of %.60s: order %d (0, 1), variances %g, %g (above 0), "
                             "correlation %g (-1 to 1)",
                             fanin_activation_name(act), order, q1, q2, c);
    return FANIN_OK;
}

fanin_status fanin_gaussian_dual_quadrature(const fanin_activation *act, int order, double q1,
                                            double q2, double c, double *out, double *error,
                                            fanin_err *err) {
    *out = NAN;
    FANIN_TRY(check(act, order, q1, q2, c, err));
    if (order == 1 && !fanin_activation_is_continuous(act))
        return fanin_err_set(err, FANIN_DOMAIN, "%.80s jumps: its derivative is no function",
                             fanin_activation_name(act));
    pair p = {.act = act, .order = order, .s1 = sqrt(q1), .s2 = sqrt(q2), .c = c};
    p.r = sqrt((1 - c) * (1 + c));
    double breaks[FANIN__BREAKS];
    fanin__integral r;
    size_t n = fanin__gauss_breaks(act, 0, q1, breaks, FANIN__BREAKS / 2);
    if (p.r > 0)
        n = turns(&p, breaks, n);
    else
        n += fanin__gauss_breaks(act, 0, q2, breaks + n, FANIN__BREAKS / 2);
    if (c < 0 && p.r == 0)
        for (size_t i = 0, m = n; i < m && n < FANIN__BREAKS; i++) breaks[n++] = -breaks[i];
    fanin_status status = fanin__gauss_integrate(p.r > 0 ? outer : same, &p, 1, breaks, n, &r);
    if (status == FANIN_OK) status = p.status;
    if (status != FANIN_OK) return fanin__gauss_fail(err, status, act, fmax(q1, q2), r.bad_at);
    *out = r.value[0];
    if (error) *error = r.error[0];
    return FANIN_OK;
}

/* ---- the chooser ----------------------------------------------------------------------- */

/* Coefficients of one of the two, and what they leave of the second moment. */
typedef struct half {
    double a[TERMS], r[TERMS], second, rest;
} half;

static fanin_status half_make(half *h, const fanin_activation *act, int order, double q,
                              const fanin__kinks *kinks, fanin_err *err) {
    double sum = 0;
    FANIN_TRY(fanin__hermite(act, order, q, TERMS, h->a, &h->second, err));
    for (size_t k = TERMS; k-- > 0;) sum += h->a[k] * h->a[k];
    if (kinks->n) {
        fanin__kinks_coefficients(kinks, q, TERMS, h->r);
        sum += fanin__kinks_tail(kinks, q, q, 1, h->r, h->r, TERMS);
    }
    h->rest = fmax(1e-15 * h->second, fabs(h->second - sum));
    return FANIN_OK;
}

/* The Hermite series, completed by the known tail of kinks; good when what is still missing, at most
 * |c|^n sqrt(rest1 rest2), is small enough. */
static fanin_status series(const fanin_activation *act, int order, double q1, double q2, double c,
                           double *out, double *error, bool *good, fanin_err *err) {
    fanin__kinks kinks;
    half one, two;
    double sum = 0;
    fanin__kinks_find(act, order, fmax(q1, q2), TERMS, &kinks);
    FANIN_TRY(half_make(&one, act, order, q1, &kinks, err));
    FANIN_TRY(half_make(&two, act, order, q2, &kinks, err));
    for (size_t k = TERMS; k-- > 0;) sum = sum * c + one.a[k] * two.a[k];
    double scale = sqrt(one.second * two.second), fade = pow(fabs(c), TERMS);
    double bound = fade * sqrt(one.rest * two.rest);
    if (kinks.n && fade > 1e-18) sum += fanin__kinks_tail(&kinks, q1, q2, c, one.r, two.r, TERMS);
    *out = sum;
    *error = bound + 1e-15 * scale;
    *good = bound <= 1e-14 * scale;
    return FANIN_OK;
}

fanin_status fanin_gaussian_dual(const fanin_activation *act, int order, double q1, double q2,
                                 double c, double *out, double *error, fanin_err *err) {
    double e = 0;
    bool good;
    *out = NAN;
    FANIN_TRY(check(act, order, q1, q2, c, err));
    if (error) *error = 0;
    if (fanin__dual_closed(act, order, q1, q2, c * sqrt(q1 * q2), out)) {
        if (error) *error = 4e-16 * fabs(*out);
        if (isinf(*out))
            return fanin_err_set(err, FANIN_DOMAIN,
                                 "%.80s jumps: its derivative's dual at correlation %g is infinite",
                                 fanin_activation_name(act), c);
        return FANIN_OK;
    }
    if (fabs(c) < 1 && (order == 0 || fanin_activation_is_continuous(act))) {
        FANIN_TRY(series(act, order, q1, q2, c, out, &e, &good, err));
        if (error) *error = e;
        if (good) return FANIN_OK;
    }
    return fanin_gaussian_dual_quadrature(act, order, q1, q2, c, out, error, err);
}
