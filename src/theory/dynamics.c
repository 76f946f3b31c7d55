#include <math.h>

#include "theory/theory.h"

/* ---- deep linear networks -------------------------------------------------------------- */

static fanin_status modes(double layers, double s, double tau, double u0, double uf,
                          fanin_err *err) {
    if (layers >= 3 && layers <= 1e9 && s > 0 && tau > 0 && u0 > 0 && u0 < s && uf > 0 && uf < s &&
        isfinite(s) && isfinite(tau))
        return FANIN_OK;
    return fanin_err_set(err, FANIN_ARG,
                         "a mode of strength %g from %g to %g in %g layers, tau %g: 0 < u < s, at "
                         "least 3 layers, tau > 0",
                         s, u0, uf, layers, tau);
}

/* In y = ln(u/(s - u)) the equation is dt = tau/((layers - 1) s) u^{-p} dy with p = 1 - 2/(layers -
 * 1): smooth, so Gauss-Legendre panels of unit width are exact to the last bits. */
static double rate_integral(double p, double s, double y0, double y1) {
    static const double x[5] = {0.148874338981631211, 0.433395394129247191, 0.679409568299024406,
                                0.865063366688984511, 0.973906528517171720};
    static const double w[5] = {0.295524224714752870, 0.269266719309996355, 0.219086362515982044,
                                0.149451349150580593, 0.066671344308688138};
    int panels = (int)ceil(fabs(y1 - y0)) + 1;
    double sum = 0, h = (y1 - y0) / panels;
    for (int i = 0; i < panels; i++) {
        double centre = y0 + (i + 0.5) * h;
        for (int k = 0; k < 5; k++)
            for (int side = -1; side <= 1; side += 2) {
                double y = centre + side * 0.5 * h * x[k];
                sum += 0.5 * h * w[k] * exp(p * (log1p(exp(-y)) - log(s)));
            }
    }
    return sum;
}

fanin_status fanin_saxe_time(unsigned layers, double s, double tau, double u0, double uf, double *t,
                             fanin_err *err) {
    *t = NAN;
    FANIN_TRY(modes(layers, s, tau, u0, uf, err));
    double m = layers - 1.0, p = 1 - 2 / m;
    double y0 = log(u0 / (s - u0)), y1 = log(uf / (s - uf));
    *t = tau / (m * s) * rate_integral(p, s, y0, y1);
    return FANIN_OK;
}

typedef struct clock_at {
    double p, s, y0, target;
} clock_at;

static double early(void *ctx, double y) {
    clock_at *c = ctx;
    return rate_integral(c->p, c->s, c->y0, y) - c->target;
}

fanin_status fanin_saxe_strength(unsigned layers, double s, double tau, double u0, double t,
                                 double *u, fanin_err *err) {
    *u = NAN;
    FANIN_TRY(modes(layers, s, tau, u0, 0.5 * s, err));
    if (!(t >= 0) || isinf(t)) return fanin_err_set(err, FANIN_ARG, "time %g: from 0 on", t);
    if (layers == 3) { /* Saxe eq. 9 */
        double e = expm1(2 * s * t / tau);
        *u = isinf(e) ? s : s * (e + 1) / (e + s / u0);
        return FANIN_OK;
    }
    double m = layers - 1.0;
    clock_at c = {1 - 2 / m, s, log(u0 / (s - u0)), t * m * s / tau};
    double hi = c.y0 + 1, g0 = -c.target, g1 = early(&c, hi);
    while (g1 < 0 && hi < 40) {
        hi += 1;
        g1 = early(&c, hi);
    }
    double y = g1 < 0 ? hi : fanin__root(early, &c, c.y0, hi, g0, g1);
    *u = s / (1 + exp(-y));
    return FANIN_OK;
}

fanin_status fanin_saxe_time_continuum(double layers, double s, double tau, double u0, double uf,
                                       double *t, fanin_err *err) {
    *t = NAN;
    FANIN_TRY(modes(layers, s, tau, u0, uf, err));
    double logs = log(uf * (s - u0) / (u0 * (s - uf)));
    *t = tau / layers * (logs / (s * s) + 1 / (s * u0) - 1 / (s * uf));
    return FANIN_OK;
}

/* ---- least mean squares, quadratics ---------------------------------------------------- */

static fanin_status eigenvalues(const double *lambda, size_t n, double step, bool positive,
                                double *low, double *high, fanin_err *err) {
    *low = INFINITY;
    *high = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(lambda[i] >= 0) || isinf(lambda[i]) || (positive && lambda[i] == 0))
            return fanin_err_set(err, FANIN_DOMAIN, "eigenvalue %zu is %g: %s", i, lambda[i],
                                 positive ? "above 0 is needed" : "from 0 on is needed");
        *low = fmin(*low, lambda[i]);
        *high = fmax(*high, lambda[i]);
    }
    if (!(*high > 0) || !(step >= 0) || isinf(step))
        return fanin_err_set(err, FANIN_ARG,
                             "step %g with largest eigenvalue %g: the step from 0 "
                             "on, the eigenvalue above 0",
                             step, *high);
    return FANIN_OK;
}

typedef struct load {
    const double *lambda;
    size_t n;
} load;

/* sum mu l/(1 - 2 mu l) - 1: the mean square converges while it is negative. */
static double square_load(void *ctx, double mu) {
    load *l = ctx;
    double sum = -1;
    for (size_t i = 0; i < l->n; i++) sum += mu * l->lambda[i] / (1 - 2 * mu * l->lambda[i]);
    return sum;
}

fanin_status fanin_lms_solve(const double *lambda, size_t n, double mu, fanin_lms *out,
                             fanin_err *err) {
    double low, high, trace = 0, slowest = INFINITY;
    *out = (fanin_lms){0};
    FANIN_TRY(eigenvalues(lambda, n, mu, false, &low, &high, err));
    for (size_t i = 0; i < n; i++) {
        trace += lambda[i];
        if (lambda[i] > 0) slowest = fmin(slowest, lambda[i]);
    }
    load l = {lambda, n};
    double edge = 0.5 / high * (1 - 1e-12);
    out->mu_max_mean = 1 / high;
    out->mu_max_square = fanin__root(square_load, &l, 0, edge, -1, square_load(&l, edge));
    out->misadjustment_small = mu * trace;
    double loaded = mu < edge ? square_load(&l, mu) + 1 : INFINITY;
    out->misadjustment = loaded < 1 ? loaded / (1 - loaded) : INFINITY;
    out->time_constant_slowest = 1 / (2 * mu * slowest);
    out->mse_time_constant_slowest = 1 / (4 * mu * slowest);
    return FANIN_OK;
}

fanin_status fanin_quadratic_solve(const double *lambda, size_t n, double eta, fanin_quadratic *out,
                                   fanin_err *err) {
    double low, high;
    *out = (fanin_quadratic){0};
    FANIN_TRY(eigenvalues(lambda, n, eta, true, &low, &high, err));
    out->eta_optimal = 1 / high;
    out->eta_max = 2 / high;
    out->eta_best = 2 / (low + high);
    out->condition = high / low;
    out->rate = fmax(fabs(1 - eta * low), fabs(1 - eta * high));
    out->steps = out->rate < 1 ? -1 / log(out->rate) : INFINITY;
    if (out->rate == 0) out->steps = 1;
    return FANIN_OK;
}
