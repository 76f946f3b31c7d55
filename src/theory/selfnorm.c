#include <math.h>

#include "theory/theory.h"

/* E[e^{k u}; u < 0], u ~ N(m, v) */
static double half_exp(double k, double m, double v) {
    return 0.5 * exp(k * m + 0.5 * k * k * v) * erfc((m + k * v) / sqrt(2 * v));
}

/* With A = E[u; u > 0], C = E[u^2; u > 0], B = E[e^u - 1; u < 0], D = E[(e^u - 1)^2; u < 0]:
 *     lambda (A + alpha B) = mean,  lambda^2 (C + alpha^2 D) = variance + mean^2.
 * Eliminating lambda leaves a quadratic in alpha; A + alpha B must have the sign of the mean. */
fanin_status fanin_selu_solve(double mean, double variance, double *alpha, double *lambda,
                              fanin_err *err) {
    *alpha = *lambda = NAN;
    if (!(variance > 1e-3 && variance < 300) || !(fabs(mean) < 10))
        return fanin_err_set(err, FANIN_ARG,
                             "fixed point (%g, %g): mean in -10 ... 10, variance in 0.001 ... 300",
                             mean, variance);
    double m = mean, v = variance, s = sqrt(v), total = v + m * m;
    double phi = FANIN__INV_SQ2PI * exp(-0.5 * m * m / v), up = 0.5 * erfc(-m / sqrt(2 * v));
    double t0 = 0.5 * erfc(m / sqrt(2 * v)), t1 = half_exp(1, m, v), t2 = half_exp(2, m, v);
    double a = m * up + s * phi, c = total * up + m * s * phi, b = t1 - t0, d = t2 - 2 * t1 + t0;
    double qa = total * b * b - m * m * d, qb = total * a * b, qc = total * a * a - m * m * c;
    double disc = m == 0 ? 0 : qb * qb - qa * qc;
    if (disc >= 0 && qa != 0) {
        for (int sign = -1; sign <= 1; sign += 2) {
            double x = (-qb + sign * sqrt(disc)) / qa;
            double l = sqrt(total / (c + x * x * d));
            if (!(x > 0) || !(fabs(l * (a + x * b) - m) <= 1e-10 * (1 + fabs(m)))) continue;
            *alpha = x;
            *lambda = l;
            return FANIN_OK;
        }
    }
    return fanin_err_set(err, FANIN_DOMAIN,
                         "no scaled ELU with alpha > 0 keeps mean %g and variance %g", mean,
                         variance);
}

typedef struct walk {
    const fanin_activation *act;
    double mean, s;
} walk;

/* d E g(u)/d mean = E g', d E g/d variance = E g' z/(2 s): one derivative of f is enough. */
static void parts(void *ctx, double z, double v[FANIN__COMPONENTS]) {
    walk *w = ctx;
    double d[4];
    fanin__activation_jet(w->act, w->mean + w->s * z, d);
    v[0] = d[0];
    v[1] = d[0] * d[0];
    v[2] = d[1];
    v[3] = 2 * d[0] * d[1];
    v[4] = d[1] * z / (2 * w->s);
    v[5] = d[0] * d[1] * z / w->s;
}

static double largest_singular(double j[2][2]) {
    double p = j[0][0] * j[0][0] + j[0][1] * j[0][1] + j[1][0] * j[1][0] + j[1][1] * j[1][1];
    double det = j[0][0] * j[1][1] - j[0][1] * j[1][0];
    return sqrt(0.5 * (p + sqrt(fmax(0, p * p - 4 * det * det))));
}

fanin_status fanin_selfnorm_map(const fanin_activation *act, double mean, double variance,
                                double omega, double tau, fanin_selfnorm *out, fanin_err *err) {
    double q = variance * tau, centre = mean * omega, breaks[FANIN__BREAKS];
    *out = (fanin_selfnorm){0};
    if (!(q > 0) || q > 1e30 || !isfinite(centre) || !(tau > 0))
        return fanin_err_set(err, FANIN_ARG, "variance %g, tau %g: both above 0", variance, tau);
    if (!fanin_activation_is_continuous(act))
        return fanin_err_set(err, FANIN_DOMAIN, "%.80s jumps: the map has no slope",
                             fanin_activation_name(act));
    walk w = {act, centre, sqrt(q)};
    fanin__integral r;
    size_t n = fanin__gauss_breaks(act, centre, q, breaks, FANIN__BREAKS);
    fanin_status status = fanin__gauss_integrate(parts, &w, 6, breaks, n, &r);
    if (status != FANIN_OK) return fanin__gauss_fail(err, status, act, q, r.bad_at);
    const double *v = r.value;
    out->mean = v[0];
    out->variance = v[1] - v[0] * v[0];
    out->jacobian[0][0] = omega * v[2];
    out->jacobian[0][1] = tau * v[4];
    out->jacobian[1][0] = omega * (v[3] - 2 * v[0] * v[2]);
    out->jacobian[1][1] = tau * (v[5] - 2 * v[0] * v[4]);
    out->norm = largest_singular(out->jacobian);
    return FANIN_OK;
}

fanin_status fanin_alpha_dropout(double keep, double *a, double *b, fanin_err *err) {
    *a = *b = NAN;
    if (!(keep > 0 && keep <= 1))
        return fanin_err_set(err, FANIN_ARG, "keep = %g: above 0, at most 1", keep);
    double low = -FANIN__SELU_LAMBDA * FANIN__SELU_ALPHA;
    *a = 1 / sqrt(keep + low * low * keep * (1 - keep));
    *b = -*a * (1 - keep) * low;
    return FANIN_OK;
}
