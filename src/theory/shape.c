/* Shaping an activation by an affine map inside and outside so that a deep plain net's kernel stays
 * well behaved. For each in_shift the condition on the slope (or curvature) fixes in_scale; what is
 * left is one equation in in_shift, scanned and solved. */
#include <math.h>

#include "theory/theory.h"

typedef struct shaping {
    const fanin_activation *act;
    bool tat;
    double target; /* C'(1) for DKS, C''(1) for TAT */
    double sign;   /* of out_shift + mean, TAT only */
    double shift;
    fanin_shape shape;
    double v[FANIN__COMPONENTS]; /* E f, f^2, f'^2, f f' z, f' z, f''^2 at scale x + shift */
    bool failed;
} shaping;

typedef struct point {
    const fanin_activation *act;
    double scale, shift;
} point;

static void parts(void *ctx, double z, double v[FANIN__COMPONENTS]) {
    point *p = ctx;
    double d[4];
    fanin__activation_jet(p->act, p->scale * z + p->shift, d);
    v[0] = d[0];
    v[1] = d[0] * d[0];
    v[2] = d[1] * d[1];
    v[3] = d[0] * d[1] * z;
    v[4] = d[1] * z;
    v[5] = d[2] * d[2];
}

static bool measure(shaping *s, double scale) {
    point p = {s->act, scale, s->shift};
    double breaks[FANIN__BREAKS];
    fanin__integral r;
    size_t n = fanin__gauss_breaks(s->act, s->shift, scale * scale, breaks, FANIN__BREAKS);
    if (fanin__gauss_integrate(parts, &p, 6, breaks, n, &r) != FANIN_OK) return false;
    for (int c = 0; c < 6; c++) s->v[c] = r.value[c];
    return true;
}

/* Misfit of the condition that fixes in_scale, as a function of its logarithm. */
static double scale_misfit(void *ctx, double log_scale) {
    shaping *s = ctx;
    double scale = exp(log_scale);
    if (!measure(s, scale)) {
        s->failed = true;
        return 0;
    }
    const double *v = s->v;
    if (s->tat) return scale * scale * v[5] / v[2] - s->target;
    return scale * scale * v[2] / (v[1] - v[0] * v[0]) - s->target;
}

/* Q'(1) - 1 at the given in_shift; NaN where in_scale cannot be found. */
static double shift_misfit(void *ctx, double shift) {
    shaping *s = ctx;
    s->shift = shift;
    s->failed = false;
    double lo = log(1e-4), g0 = scale_misfit(s, lo), hi = lo, g1 = g0;
    for (; hi < log(30.0) && !s->failed; lo = hi, g0 = g1) {
        hi = lo + 0.5;
        g1 = scale_misfit(s, hi);
        if (g0 < 0 && g1 >= 0) break;
    }
    if (s->failed || !(g0 < 0 && g1 >= 0)) return NAN;
    double scale = exp(fanin__root(scale_misfit, s, lo, hi, g0, g1));
    if (s->failed || !measure(s, scale)) return NAN;
    const double *v = s->v;
    double variance = v[1] - v[0] * v[0], gain2, out_shift;
    if (s->tat) {
        gain2 = 1 / (scale * scale * v[2]);
        double spare = 1 / gain2 - variance;
        if (!(spare >= 0)) return NAN;
        out_shift = -v[0] + s->sign * sqrt(spare);
    } else {
        gain2 = 1 / variance;
        out_shift = -v[0];
    }
    s->shape = (fanin_shape){scale, shift, sqrt(gain2), out_shift};
    return gain2 * scale * (v[3] + out_shift * v[4]) - 1;
}

static fanin_status solve(shaping *s, fanin_shape *out, fanin_err *err) {
    double before = -6, g0 = shift_misfit(s, before);
    for (double x = before + 0.125; x <= 6; x += 0.125) {
        if (fanin_interrupted()) return fanin_err_set(err, FANIN_INTERRUPTED, "interrupted");
        double g1 = shift_misfit(s, x);
        if (!isnan(g0) && !isnan(g1) && (g0 > 0) != (g1 > 0)) {
            double root = fanin__root(shift_misfit, s, before, x, g0, g1);
            double rest = shift_misfit(s, root);
            if (fabs(rest) < 1e-9) {
                *out = s->shape;
                return FANIN_OK;
            }
        }
        before = x;
        g0 = g1;
    }
    return fanin_err_set(err, FANIN_NOCONV,
                         "%.80s: no input shift in -6 ... 6 satisfies the shaping conditions",
                         fanin_activation_name(s->act));
}

static fanin_status check(const fanin_activation *act, double depth, fanin_err *err) {
    double kinks[1];
    if (!(depth >= 1) || depth > 1e6)
        return fanin_err_set(err, FANIN_ARG, "depth %g: from 1 to a million", depth);
    if (fanin_activation_kinks(act, kinks, 1) > 0)
        return fanin_err_set(err, FANIN_DOMAIN,
                             "%.80s has kinks: shaping by scales and shifts is for smooth "
                             "activations (leaky relu has its own rule)",
                             fanin_activation_name(act));
    return FANIN_OK;
}

fanin_status fanin_shape_dks(const fanin_activation *act, double depth, double zeta,
                             fanin_shape *out, fanin_err *err) {
    *out = (fanin_shape){NAN, NAN, NAN, NAN};
    FANIN_TRY(check(act, depth, err));
    if (!(zeta > 1) || zeta > 1e6) return fanin_err_set(err, FANIN_ARG, "zeta = %g: above 1", zeta);
    shaping s = {.act = act, .target = pow(zeta, 1 / depth)};
    return solve(&s, out, err);
}

fanin_status fanin_shape_tat(const fanin_activation *act, double depth, double tau,
                             fanin_shape *out, fanin_err *err) {
    *out = (fanin_shape){NAN, NAN, NAN, NAN};
    FANIN_TRY(check(act, depth, err));
    if (!(tau > 0) || tau > 1e6) return fanin_err_set(err, FANIN_ARG, "tau = %g: above 0", tau);
    fanin_status status = FANIN_NOCONV;
    for (int sign = -1; sign <= 1 && status == FANIN_NOCONV; sign += 2) {
        shaping s = {.act = act, .tat = true, .target = tau / depth, .sign = sign};
        status = solve(&s, out, err);
    }
    return status;
}

/* ---- leaky relu ------------------------------------------------------------------------ */

typedef struct leaky {
    unsigned depth;
    double eta;
} leaky;

static double leaky_misfit(void *ctx, double a) {
    leaky *l = ctx;
    double c = 0;
    for (unsigned i = 0; i < l->depth; i++) {
        double k = sqrt(fmax(0, 1 - c * c)) + (FANIN__PI - acos(fmin(1, c))) * c;
        c = ((1 - a) * (1 - a) * k / FANIN__PI + 2 * a * c) / (1 + a * a);
    }
    return c - l->eta;
}

fanin_status fanin_shape_tat_leaky(unsigned depth, double eta, double *slope, fanin_err *err) {
    leaky l = {depth, eta};
    *slope = NAN;
    if (depth < 1 || depth > 1000000 || !(eta > 0 && eta < 1))
        return fanin_err_set(err, FANIN_ARG, "depth %u (1 to a million), eta %g (0 to 1)", depth,
                             eta);
    double g0 = leaky_misfit(&l, 0), g1 = leaky_misfit(&l, 1);
    if (!(g0 > 0))
        return fanin_err_set(err, FANIN_DOMAIN,
                             "%u layers of relu map correlation 0 to %.5f, below eta = %g already",
                             depth, g0 + eta, eta);
    *slope = fanin__root(leaky_misfit, &l, 0, 1, g0, g1);
    return FANIN_OK;
}
