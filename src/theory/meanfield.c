/* Fixed points of the variance and correlation maps and what follows from them.
 *
 * The variance map is scanned on a logarithmic grid for all its fixed points. The correlation map
 * is a power series with non-negative coefficients, hence convex on [0, 1]: beside c = 1 there is
 * at most one fixed point there, and only if the slope at 1 exceeds 1 (or dropout pulls C(1)
 * below 1). */
#include <math.h>

#include "theory/theory.h"

#define LN_LOW  -34.0 /* ln of the smallest and largest q looked at */
#define LN_HIGH 27.0
#define LN_STEP 0.5
#define FAR     1e8 /* stands for infinite q where a limit is taken */

typedef struct net {
    const fanin_activation *act;
    double w2, b2;   /* of the variance map, dropout and norms folded in */
    double cross_w2; /* of the correlation map: masks differ, so dropout does not count */
    double residual2, q_start;
    fanin_status status;
    fanin_err *err;
} net;

/* ---- settings -------------------------------------------------------------------------- */

static fanin_status prepare(net *n, const fanin_activation *act,
                            const fanin_meanfield_settings *set, fanin_err *err) {
    double keep = set->keep == 0 ? 1 : set->keep;
    *n = (net){.act = act, .err = err};
    if (!(set->sigma_w2 >= 0) || !(set->sigma_b2 >= 0) || isinf(set->sigma_w2) ||
        isinf(set->sigma_b2))
        return fanin_err_set(err, FANIN_DOMAIN,
                             "sigma_w2 = %g, sigma_b2 = %g: variances are numbers from 0 on",
                             set->sigma_w2, set->sigma_b2);
    if (!(keep > 0 && keep <= 1))
        return fanin_err_set(err, FANIN_DOMAIN, "keep = %g: a probability above 0, at most 1",
                             set->keep);
    if (!isfinite(set->residual) || !(set->q_start >= 0) || isinf(set->q_start))
        return fanin_err_set(err, FANIN_ARG,
                             "branch weight %g, first variance %g: finite, the "
                             "variance from 0 on",
                             set->residual, set->q_start);
    n->w2 = set->sigma_w2 / keep;
    n->cross_w2 = set->sigma_w2;
    n->b2 = set->sigma_b2;
    n->residual2 = set->residual * set->residual;
    n->q_start = set->q_start == 0 ? 1 : set->q_start;
    return FANIN_OK;
}

/* ---- the maps -------------------------------------------------------------------------- */

/* Moments for the maps: closed forms where they are exact at every q, else quadrature. */
static fanin_status moments(const net *n, double q, fanin_expectations *m) {
    fanin_activation_moments closed;
    switch (fanin_activation_id_of(n->act)) {
    case FANIN_ACT_GELU:
    case FANIN_ACT_ERF:
    case FANIN_ACT_SIN:
    case FANIN_ACT_COS:
    case FANIN_ACT_GAUSSIAN:
        FANIN_TRY(fanin_activation_closed_moments(n->act, q, &closed));
        *m = (fanin_expectations){.mean = closed.mean,
                                  .second = closed.second,
                                  .slope_second = closed.slope_second,
                                  .curve_product = closed.curve_product};
        return FANIN_OK;
    default: return fanin_gaussian_moments(n->act, 0, q, m, n->err);
    }
}

static fanin_status variance(const net *n, double q, double *next, fanin_expectations *m) {
    FANIN_TRY(moments(n, q, m));
    double branch = n->w2 * m->second + n->b2;
    *next = n->residual2 > 0 ? q + n->residual2 * branch : branch;
    return FANIN_OK;
}

static double variance_slope(const net *n, const fanin_expectations *m) {
    double slope = n->w2 * (m->slope_second + m->curve_product);
    return n->residual2 > 0 ? 1 + n->residual2 * slope : slope;
}

static double gradient_factor(const net *n, const fanin_expectations *m) {
    double chi = n->w2 * m->slope_second;
    return n->residual2 > 0 ? 1 + n->residual2 * chi : chi;
}

static fanin_status correlation(const net *n, double q, double next_q, double c, double *next) {
    double dual;
    if (c > 1) c = 1;
    FANIN_TRY(fanin_gaussian_dual(n->act, 0, q, q, c, &dual, NULL, n->err));
    double branch = n->cross_w2 * dual + n->b2;
    *next = (n->residual2 > 0 ? q * c + n->residual2 * branch : branch) / next_q;
    return FANIN_OK;
}

static fanin_status correlation_slope(const net *n, double q, double next_q, double c,
                                      double *slope) {
    double dual;
    FANIN_TRY(fanin_gaussian_dual(n->act, 1, q, q, c, &dual, NULL, n->err));
    double branch = n->cross_w2 * dual;
    *slope = (n->residual2 > 0 ? 1 + n->residual2 * branch : branch) * (q / next_q);
    return FANIN_OK;
}

/* ---- fixed points of the variance ------------------------------------------------------ */

static double excess(void *ctx, double log_q) {
    net *n = ctx;
    fanin_expectations m;
    double next, q = exp(log_q);
    fanin_status status = variance(n, q, &next, &m);
    if (status != FANIN_OK) {
        n->status = status;
        return 0;
    }
    return next / q - 1;
}

static void add_q(fanin_meanfield *out, double at, double slope) {
    if (out->q_count < FANIN_FIXED_POINTS)
        out->q_points[out->q_count++] = (fanin_fixed_point){at, slope};
}

static fanin_status add_root(net *n, fanin_meanfield *out, double q) {
    fanin_expectations m;
    double next;
    FANIN_TRY(variance(n, q, &next, &m));
    add_q(out, q, variance_slope(n, &m));
    return FANIN_OK;
}

/* Homogeneous of degree 1: q' = k q + b2, exactly. */
static fanin_status linear_variance(net *n, fanin_meanfield *out) {
    fanin_expectations m;
    double next;
    FANIN_TRY(fanin_gaussian_moments(n->act, 0, 1, &m, n->err));
    double k = n->w2 * m.second, b = n->b2;
    (void)next;
    if (n->residual2 > 0) {
        k = 1 + n->residual2 * k;
        b *= n->residual2;
    }
    if (fabs(k - 1) < 1e-12) k = 1;
    if (k == 1 && b == 0) {
        add_q(out, n->q_start, 1);
        out->q = n->q_start;
    } else if (k < 1) {
        add_q(out, b / (1 - k), k);
        out->q = b / (1 - k);
    } else {
        if (b == 0) add_q(out, 0, k);
        out->q = INFINITY;
    }
    return FANIN_OK;
}

static double at_origin(const net *n, double w2) {
    double chi = w2 * fanin__slope_at_origin(n->act);
    return n->residual2 > 0 ? 1 + n->residual2 * chi : chi;
}

static void origin(net *n, fanin_meanfield *out, bool *zero) {
    double d[4];
    fanin__activation_jet(n->act, 0, d);
    *zero = n->w2 * d[0] * d[0] + n->b2 == 0;
    if (*zero) add_q(out, 0, at_origin(n, n->w2));
}

/* All fixed points with ln q on the grid. Moments may cease to exist far out: the scan stops. */
static fanin_status scan(net *n, fanin_meanfield *out, bool zero) {
    double before = LN_LOW, g0 = excess(n, before), reached = LN_HIGH;
    if (n->status != FANIN_OK) return n->status;
    for (double x = LN_LOW + LN_STEP; x <= LN_HIGH; x += LN_STEP) {
        fanin_err *err = n->err, quiet = {0};
        n->err = &quiet;
        double g1 = excess(n, x);
        n->err = err;
        if (n->status != FANIN_OK) {
            reached = before;
            if (exp(x) > 4 * n->q_start) break;
            return excess(n, x), n->status;
        }
        /* Near q = 0 the map may be its own slope to the last bit: no crossing of noise. */
        bool noise = zero && fabs(g0) < 1e-13 && fabs(g1) < 1e-13;
        if ((g0 > 0) != (g1 > 0) && !noise)
            FANIN_TRY(add_root(n, out, exp(fanin__root(excess, n, before, x, g0, g1))));
        before = x;
        g0 = g1;
    }
    n->status = FANIN_OK;
    if (reached < LN_HIGH && g0 > 0)
        return fanin_err_set(n->err, FANIN_DOMAIN,
                             "%.80s: its mean square is infinite above q = %.3g, and no fixed "
                             "point lies below",
                             fanin_activation_name(n->act), exp(reached));
    return FANIN_OK;
}

/* Which of them the layers reach from q_start: the map is followed in the direction it moves. */
static fanin_status reach(net *n, fanin_meanfield *out) {
    if (n->q_start < 1e-12 && out->q_count && out->q_points[0].at == 0) return FANIN_OK;
    double up = excess(n, log(n->q_start));
    if (n->status != FANIN_OK) return n->status;
    out->q = up > 0 ? INFINITY : 0;
    if (fabs(up) < 1e-14) {
        out->q = n->q_start;
        return FANIN_OK;
    }
    for (int i = 0; i < out->q_count; i++) {
        double at = out->q_points[i].at;
        if (up > 0 && at >= n->q_start && isinf(out->q)) out->q = at;
        if (up < 0 && at <= n->q_start) out->q = at;
    }
    return FANIN_OK;
}

/* ---- fixed points of the correlation --------------------------------------------------- */

typedef struct chord {
    net *n;
    double q, next_q;
} chord;

static double fall(void *ctx, double c) {
    chord *k = ctx;
    double next = 0;
    fanin_status status = correlation(k->n, k->q, k->next_q, c, &next);
    if (status != FANIN_OK) k->n->status = status;
    return next - c;
}

static fanin_status inner_root(chord *k, double slope_at_1, bool at_1, double *c) {
    *c = 1;
    double g0 = fall(k, 0);
    FANIN_TRY(k->n->status);
    if (fabs(g0) < 1e-15) {
        *c = 0;
        return FANIN_OK;
    }
    double hi = 1, g1 = fall(k, 1);
    if (at_1) { /* C(1) = 1: step below 1 to where C(c) < c */
        double gap = fmin(0.5, 0.25 * (slope_at_1 - 1));
        for (int i = 0; i < 60 && k->n->status == FANIN_OK; i++, gap *= 0.25) {
            hi = 1 - gap;
            g1 = fall(k, hi);
            if (g1 < 0 || gap < 1e-13) break;
        }
    }
    FANIN_TRY(k->n->status);
    if (!(g1 < 0)) return FANIN_OK;
    *c = fanin__root(fall, k, 0, hi, g0, g1);
    return k->n->status;
}

static fanin_status solve_c(net *n, double q, double next_q, fanin_meanfield *out) {
    chord k = {n, q, next_q};
    double top = 1, slope = 0, c = 1;
    FANIN_TRY(correlation(n, q, next_q, 1, &top));
    bool at_1 = fabs(top - 1) < 1e-12;
    /* A jump of f makes the slope at 1 infinite. */
    if (!fanin_activation_is_continuous(n->act))
        slope = INFINITY;
    else
        FANIN_TRY(correlation_slope(n, q, next_q, 1, &slope));
    if (!at_1 || slope > 1 + 1e-12) FANIN_TRY(inner_root(&k, slope, at_1, &c));
    out->c = c;
    if (c < 1) {
        double inner;
        FANIN_TRY(correlation_slope(n, q, next_q, c, &inner));
        out->c_points[out->c_count++] = (fanin_fixed_point){c, inner};
        out->chi_c = inner;
    } else {
        out->chi_c = slope;
    }
    if (at_1) out->c_points[out->c_count++] = (fanin_fixed_point){1, slope};
    return FANIN_OK;
}

/* ---- summary --------------------------------------------------------------------------- */

static double depth_scale(double chi) {
    chi = fabs(chi);
    if (fabs(chi - 1) < 1e-12) return INFINITY;
    return -1 / log(chi);
}

void fanin__meanfield_finish(fanin_meanfield *out, double curve_second, double w2) {
    out->xi_q = out->chi_q < 1 ? depth_scale(out->chi_q) : INFINITY;
    out->xi_c = out->chi_c < 1 ? depth_scale(out->chi_c) : INFINITY;
    out->xi_gradient = depth_scale(out->chi1);
    double chi2 = w2 * curve_second;
    out->curvature =
        out->chi1 > 1 ? 3 * chi2 / (out->chi1 * out->chi1) / (1 - 1 / out->chi1) : INFINITY;
    if (fabs(out->chi1 - 1) < 1e-9)
        out->phase = FANIN_PHASE_CRITICAL;
    else
        out->phase = out->chi1 < 1 ? FANIN_PHASE_ORDERED : FANIN_PHASE_CHAOTIC;
}

/* Skip connections around normalised branches, s' = s + a (W f(norm s) + b): q grows by the same amount
 * each layer, so a branch counts for 1/l of layer l. Correlations go to the branch's own fixed point
 * and gradients grow as powers of depth, not exponentially (De, Smith 2020; Xiong et al. 2020). */
static void skip_norm(fanin_meanfield *out) {
    out->q = INFINITY;
    out->q_count = 0;
    for (int i = 0; i < out->c_count; i++) out->c_points[i].slope = 1;
    out->chi1 = out->chi_q = out->chi_c = 1;
    fanin__meanfield_finish(out, NAN, 1);
}

/* Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, large batches: standardised units have
 * q = 1 and correlation 0, and squared gradients grow by E f'^2 / Var f (relu: pi/(pi - 1)). With
 * dropout the mask is one more part of what is standardised: E f^2/keep in place of E f^2. */
static fanin_status batch_norm(net *n, fanin_meanfield *out) {
    fanin_expectations m;
    FANIN_TRY(fanin_gaussian_moments(n->act, 0, 1, &m, n->err));
    double spread = n->w2 * m.second - n->cross_w2 * m.mean * m.mean;
    if (n->w2 == 0) /* the scale of the weights does not matter, but they have one */
        return fanin_err_set(n->err, FANIN_DOMAIN, "batch norm of a zero signal (sigma_w2 = 0)");
    if (!(spread > 1e-14 * n->w2 * m.second))
        return fanin_err_set(n->err, FANIN_DOMAIN, "batch norm of a constant activation");
    out->q = 1;
    out->c = 0;
    out->chi1 = n->w2 * m.slope_second / spread;
    out->chi_q = 0;
    out->chi_c = n->cross_w2 * m.slope_mean * m.slope_mean / spread;
    add_q(out, 1, 0);
    out->c_points[out->c_count++] = (fanin_fixed_point){0, out->chi_c};
    fanin__meanfield_finish(out, m.curve_second, n->w2 / spread);
    if (n->residual2 > 0) skip_norm(out);
    return FANIN_OK;
}

static fanin_status find_q(net *n, fanin_meanfield *out) {
    bool zero;
    if (fanin_activation_degree(n->act) == 1) return linear_variance(n, out);
    origin(n, out, &zero);
    FANIN_TRY(scan(n, out, zero));
    return reach(n, out);
}

/* Slopes a, b of f far below and far above 0; false unless f grows like a straight line. */
bool fanin__far_slopes(const fanin_activation *act, double *a, double *b) {
    double lo[4], hi[4], lo2[4], hi2[4];
    fanin__activation_jet(act, -1e9, lo);
    fanin__activation_jet(act, 1e9, hi);
    fanin__activation_jet(act, -1e12, lo2);
    fanin__activation_jet(act, 1e12, hi2);
    *a = lo2[0] / -1e12;
    *b = hi2[0] / 1e12;
    return fabs(*a) + fabs(*b) > 1e-6 && fabs(*a - lo[0] / -1e9) < 1e-6 &&
           fabs(*b - hi[0] / 1e9) < 1e-6;
}

/* Infinite q: only the two slopes count, correlations go to 1 (not exponentially: slope 1). */
static bool at_infinity(net *n, fanin_meanfield *out) {
    double a, b;
    if (!isinf(out->q) || n->cross_w2 < n->w2 || !fanin__far_slopes(n->act, &a, &b)) return false;
    double chi = n->w2 * 0.5 * (a * a + b * b);
    out->chi1 = out->chi_q = n->residual2 > 0 ? 1 + n->residual2 * chi : chi;
    out->c = out->chi_c = 1;
    out->c_points[out->c_count++] = (fanin_fixed_point){1, 1};
    fanin__meanfield_finish(out, INFINITY, n->w2);
    return true;
}

/* q = 0: every correlation is kept, all shrink together. */
static fanin_status at_zero(net *n, fanin_meanfield *out) {
    fanin_expectations m;
    out->chi1 = out->chi_q = at_origin(n, n->w2);
    out->chi_c = at_origin(n, n->cross_w2);
    out->c = 1;
    out->c_points[out->c_count++] = (fanin_fixed_point){1, out->chi_c};
    FANIN_TRY(fanin_gaussian_moments(n->act, 0, 1e-14, &m, n->err));
    fanin__meanfield_finish(out, m.curve_second, n->w2);
    return FANIN_OK;
}

/* Everything at the fixed point q; at its ends (0, infinity) the limit. */
static fanin_status at_fixed_point(net *n, fanin_meanfield *out) {
    double next, q = isinf(out->q) ? FAR : out->q;
    fanin_expectations m, full;
    if (at_infinity(n, out)) return FANIN_OK;
    if (out->q == 0 && fanin_activation_degree(n->act) != 1) return at_zero(n, out);
    if (fanin_activation_degree(n->act) == 1 && (isinf(out->q) || out->q == 0)) q = 1;
    FANIN_TRY(variance(n, q, &next, &m));
    out->chi1 = gradient_factor(n, &m);
    out->chi_q = variance_slope(n, &m);
    if (isinf(m.slope_second)) { /* f jumps: the slope of the variance map from f^2 itself */
        fanin_expectations up;
        double next_up;
        FANIN_TRY(variance(n, q * 1.0001, &next_up, &up));
        out->chi_q = (next_up - next) / (q * 0.0001);
    }
    net limit = *n;
    if (isinf(out->q)) { /* what matters is the direction in which both grow */
        double grow = n->w2 * m.second + n->b2;
        if (fanin_activation_degree(n->act) == 1) {
            limit.b2 = 0;
            grow = n->w2 * m.second;
        }
        limit.residual2 = 0;
        FANIN_TRY(solve_c(&limit, q, grow, out));
        if (n->residual2 > 0) FANIN_TRY(correlation_slope(n, q, next, out->c, &out->chi_c));
    } else {
        FANIN_TRY(solve_c(n, q, next, out));
    }
    FANIN_TRY(fanin_gaussian_moments(n->act, 0, q, &full, n->err));
    fanin__meanfield_finish(out, full.curve_second, n->w2);
    return FANIN_OK;
}

/* Layer norm: q is 1 whatever the sigmas; only their ratio stays. */
static fanin_status layer_norm(net *n, fanin_meanfield *out) {
    bool skip = n->residual2 > 0;
    fanin_expectations m;
    FANIN_TRY(fanin_gaussian_moments(n->act, 0, 1, &m, n->err));
    double scale = n->w2 * m.second + n->b2;
    if (!(scale > 0))
        return fanin_err_set(n->err, FANIN_DOMAIN, "layer norm of a zero signal (sigma_w2 = 0)");
    n->w2 /= scale;
    n->b2 /= scale;
    n->cross_w2 /= scale;
    n->residual2 = 0;
    out->q = 1;
    FANIN_TRY(at_fixed_point(n, out));
    add_q(out, 1, 0);
    out->chi_q = 0; /* the norm restores q at once */
    out->xi_q = 0;
    if (skip) skip_norm(out);
    return FANIN_OK;
}

fanin_status fanin_meanfield_solve(const fanin_activation *act, const fanin_meanfield_settings *set,
                                   fanin_meanfield *out, fanin_err *err) {
    net n;
    *out = (fanin_meanfield){0};
    FANIN_TRY(prepare(&n, act, set, err));
    if (set->norm == FANIN_NORM_BATCH) return batch_norm(&n, out);
    if (set->norm == FANIN_NORM_LAYER) return layer_norm(&n, out);
    FANIN_TRY(find_q(&n, out));
    return at_fixed_point(&n, out);
}

/* ---- layer by layer -------------------------------------------------------------------- */

/* The branch behind a norm: variances at q = 1; batch norm also takes the mean away, with it the bias
 * and what all inputs share. */
static fanin_status norm_step(net *n, fanin_norm norm, double q, double c, double *q1, double *c1) {
    fanin_expectations m;
    double dual, own, cross;
    FANIN_TRY(fanin_gaussian_moments(n->act, 0, 1, &m, n->err));
    FANIN_TRY(fanin_gaussian_dual(n->act, 0, 1, 1, c, &dual, NULL, n->err));
    double shared = norm == FANIN_NORM_BATCH ? -n->cross_w2 * m.mean * m.mean : n->b2;
    own = n->w2 * m.second + shared;
    cross = n->cross_w2 * dual + shared;
    if (n->residual2 > 0) {
        own = q + n->residual2 * own;
        cross = q * c + n->residual2 * cross;
    }
    if (q1) *q1 = n->residual2 > 0 ? own : 1;
    if (c1) *c1 = own > 0 ? cross / own : NAN;
    return FANIN_OK;
}

static fanin_status step(net *n, fanin_norm norm, double q, double c, double *q1, double *c1) {
    fanin_expectations m;
    double next;
    if (!(q > 0) || q > 1e30 || !(fabs(c) <= 1))
        return fanin_err_set(n->err, FANIN_ARG, "q = %g (above 0), c = %g (-1 to 1)", q, c);
    if (norm != FANIN_NORM_NONE) return norm_step(n, norm, q, c, q1, c1);
    FANIN_TRY(variance(n, q, &next, &m));
    if (c1) {
        if (next > 0)
            FANIN_TRY(correlation(n, q, next, c, c1));
        else
            *c1 = NAN;
    }
    if (q1) *q1 = next;
    return FANIN_OK;
}

fanin_status fanin_meanfield_step(const fanin_activation *act, const fanin_meanfield_settings *set,
                                  double q, double c, double *q1, double *c1, fanin_err *err) {
    net n;
    FANIN_TRY(prepare(&n, act, set, err));
    return step(&n, set->norm, q, c, q1, c1);
}

fanin_status fanin_meanfield_trajectory(const fanin_activation *act,
                                        const fanin_meanfield_settings *set, double q0, double c0,
                                        size_t layers, double *q, double *c, fanin_err *err) {
    net n;
    FANIN_TRY(prepare(&n, act, set, err));
    q[0] = q0;
    if (c) c[0] = c0;
    for (size_t l = 0; l < layers; l++) {
        if (fanin_interrupted()) return fanin_err_set(err, FANIN_INTERRUPTED, "interrupted");
        FANIN_TRY(step(&n, set->norm, q[l], c ? c[l] : 0, &q[l + 1], c ? &c[l + 1] : NULL));
        if (c) c[l + 1] = fmax(-1, fmin(1, c[l + 1]));
    }
    return FANIN_OK;
}
