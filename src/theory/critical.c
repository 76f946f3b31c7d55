/* The edge of chaos: chi_1(q) = sigma_w2 E f'^2(q) = 1 at the fixed point q = sigma_w2 V + sigma_b2.
 * Both are linear in the sigmas, so q parametrises the line: sigma_w2 = 1/E f'^2,
 * sigma_b2 = q - V/E f'^2. */
#include <math.h>

#include "theory/theory.h"

typedef struct line {
    const fanin_activation *act;
    double target;
    bool by_weight;
    fanin_status status;
    fanin_err *err;
} line;

#define Q_LOW  -27.6 /* ln 1e-12 */
#define Q_HIGH 23.03 /* ln 1e10 */
#define Q_STEP 0.35

static fanin_status at(const fanin_activation *act, double q, fanin_expectations *m,
                       fanin_err *err) {
    FANIN_TRY(fanin_gaussian_moments(act, 0, q, m, err));
    if (isinf(m->slope_second))
        return fanin_err_set(err, FANIN_DOMAIN,
                             "%.80s jumps: gradients have no finite mean square and there is no "
                             "critical line",
                             fanin_activation_name(act));
    return FANIN_OK;
}

/* Misfit along the line as a function of ln q. */
static double misfit(void *ctx, double log_q) {
    line *l = ctx;
    fanin_expectations m;
    double q = exp(log_q);
    fanin_status status = at(l->act, q, &m, l->err);
    if (status != FANIN_OK) {
        l->status = status;
        return 0;
    }
    if (l->by_weight) return 1 / m.slope_second - l->target;
    return q - m.second / m.slope_second - l->target;
}

static fanin_status homogeneous(const fanin_activation *act, const line *l, double *sigma_w2,
                                double *sigma_b2, double *q, fanin_err *err) {
    fanin_expectations m;
    FANIN_TRY(at(act, 1, &m, err));
    double w2 = 1 / m.slope_second;
    bool there = l->by_weight ? fabs(l->target - w2) <= 1e-12 * w2 : l->target == 0;
    if (!there)
        return fanin_err_set(err, FANIN_DOMAIN,
                             "%.80s is critical at the one point sigma_w2 = %.12g, sigma_b2 = 0; "
                             "%s = %g is not on it",
                             fanin_activation_name(act), w2, l->by_weight ? "sigma_w2" : "sigma_b2",
                             l->target);
    *sigma_w2 = w2;
    *sigma_b2 = 0;
    *q = 1; /* every q is a fixed point */
    return FANIN_OK;
}

/* Accepts the root at ln q unless a better one is held. */
static fanin_status take(line *l, double log_q, double *sigma_w2, double *sigma_b2, double *q,
                         bool *stable, bool *found) {
    fanin_expectations m;
    double here = exp(log_q);
    FANIN_TRY(at(l->act, here, &m, l->err));
    double w2 = 1 / m.slope_second, b2 = here - w2 * m.second;
    bool good = w2 * (m.slope_second + m.curve_product) <= 1;
    if (b2 < -1e-10 * here || (*found && (*stable || !good))) return FANIN_OK;
    *sigma_w2 = l->by_weight ? l->target : w2;
    *sigma_b2 = l->by_weight ? fmax(0, b2) : l->target;
    *q = here;
    *stable = good;
    *found = true;
    return FANIN_OK;
}

static fanin_status search(line *l, double *sigma_w2, double *sigma_b2, double *q) {
    bool found = false, stable = false;
    double before = Q_LOW, g0 = misfit(l, before);
    for (double x = Q_LOW + Q_STEP; x < Q_HIGH && l->status == FANIN_OK && !stable; x += Q_STEP) {
        double g1 = misfit(l, x);
        if ((g0 > 0) != (g1 > 0) && l->status == FANIN_OK) {
            double root = fanin__root(misfit, l, before, x, g0, g1);
            FANIN_TRY(take(l, root, sigma_w2, sigma_b2, q, &stable, &found));
        }
        before = x;
        g0 = g1;
    }
    /* An activation that grows like x^2 has no moments far out: what was found before stands. */
    if (l->status != FANIN_OK && !found) return l->status;
    if (!found)
        return fanin_err_set(l->err, FANIN_DOMAIN,
                             "%.80s has no critical point at %s = %g with q* in 1e-12 ... 1e10",
                             fanin_activation_name(l->act), l->by_weight ? "sigma_w2" : "sigma_b2",
                             l->target);
    return FANIN_OK;
}

static fanin_status solve(line *l, double *sigma_w2, double *sigma_b2, double *q) {
    double d[4];
    if (!(l->target >= 0) || isinf(l->target))
        return fanin_err_set(l->err, FANIN_DOMAIN, "%s = %g: a variance is a number from 0 on",
                             l->by_weight ? "sigma_w2" : "sigma_b2", l->target);
    if (fanin_activation_degree(l->act) == 1)
        return homogeneous(l->act, l, sigma_w2, sigma_b2, q, l->err);
    fanin__activation_jet(l->act, 0, d);
    double w0 = 1 / fanin__slope_at_origin(l->act);
    /* A formula may be homogeneous too: then q - V/E f'^2 vanishes at every q. */
    fanin_expectations m1, m2;
    FANIN_TRY(at(l->act, 1, &m1, l->err));
    if (fanin_gaussian_moments(l->act, 0, 16, &m2, NULL) == FANIN_OK &&
        fabs(m1.slope_second - m2.slope_second) < 1e-12 * m1.slope_second &&
        fabs(16 * m1.second - m2.second) < 1e-12 * m2.second)
        return homogeneous(l->act, l, sigma_w2, sigma_b2, q, l->err);
    bool origin = d[0] == 0 && isfinite(w0); /* the line starts at q = 0 */
    if (origin && (l->by_weight ? fabs(l->target - w0) < 1e-14 * w0 : l->target == 0)) {
        *sigma_w2 = w0;
        *sigma_b2 = 0;
        *q = 0;
        return FANIN_OK;
    }
    return search(l, sigma_w2, sigma_b2, q);
}

fanin_status fanin_critical_sigma_w2(const fanin_activation *act, double sigma_b2, double *sigma_w2,
                                     double *q, fanin_err *err) {
    line l = {act, sigma_b2, false, FANIN_OK, err};
    double b2, at_q;
    *sigma_w2 = NAN;
    return solve(&l, sigma_w2, &b2, q ? q : &at_q);
}

fanin_status fanin_critical_sigma_b2(const fanin_activation *act, double sigma_w2, double *sigma_b2,
                                     double *q, fanin_err *err) {
    line l = {act, sigma_w2, true, FANIN_OK, err};
    double w2, at_q;
    *sigma_b2 = NAN;
    return solve(&l, &w2, sigma_b2, q ? q : &at_q);
}

fanin_status fanin_critical_at_q(const fanin_activation *act, double q, double *sigma_w2,
                                 double *sigma_b2, fanin_err *err) {
    fanin_expectations m;
    *sigma_w2 = *sigma_b2 = NAN;
    if (!(q > 0) || q > 1e20)
        return fanin_err_set(err, FANIN_ARG, "q* = %g must be above 0 and finite", q);
    FANIN_TRY(at(act, q, &m, err));
    double w2 = 1 / m.slope_second, b2 = q - w2 * m.second;
    if (!(b2 >= -1e-13 * q) || !isfinite(w2))
        return fanin_err_set(err, FANIN_DOMAIN,
                             "%.80s cannot be critical at q* = %g: that needs sigma_b2 = %g < 0",
                             fanin_activation_name(act), q, b2);
    *sigma_w2 = w2;
    *sigma_b2 = fmax(0, b2);
    return FANIN_OK;
}
