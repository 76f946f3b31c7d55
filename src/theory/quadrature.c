/* Adaptive Gauss-Kronrod integration against the normal density.
 *
 * Cut points make every panel smooth, so 21 nodes a panel usually reach the last bits at once;
 * panels that do not are halved. The line is walked outwards from [-9, 9] until a panel adds
 * nothing, so growing integrands are followed and divergent ones noticed. */
#include <math.h>
#include <stdlib.h>

#include "theory/theory.h"

#define CORE      9
#define REACH     37 /* the density leaves the range of doubles at 38.6 */
#define MAX_DEPTH 44
#define MAX_PANEL 6000

/* QUADPACK's 10-21 pair; odd places are the Gauss nodes. */
static const double node[11] = {0.995657163025808080735527280689003,
                                0.973906528517171720077964012084452,
                                0.930157491355708226001207180059508,
                                0.865063366688984510732096688423493,
                                0.780817726586416897063717578345042,
                                0.679409568299024406234327365114874,
                                0.562757134668604683339000099272694,
                                0.433395394129247190799265943165784,
                                0.294392862701460198131126603103866,
                                0.148874338981631210884826001129720,
                                0};
static const double weight[11] = {
    0.011694638867371874278064396062192, 0.032558162307964727478818972459390,
    0.054755896574351996031381300244580, 0.075039674810919952767043140916190,
    0.093125454583697605535065465083366, 0.109387158802297641899210590325805,
    0.123491976262065851077958109585166, 0.134709217311473325928054001771707,
    0.142775938577060080797094273138717, 0.147739104901338491374841515972068,
    0.149445554002916905664936468389821};
static const double gauss[5] = {
    0.066671344308688137593568809893332, 0.149451349150580593145863396957658,
    0.219086362515982043995534934228163, 0.269266719309996355091226921569469,
    0.295524224714752870173815619188769};

typedef struct panel {
    double value[FANIN__COMPONENTS], error[FANIN__COMPONENTS], mass[FANIN__COMPONENTS];
} panel;

typedef struct job {
    fanin__integrand g;
    void *ctx;
    int m, panels;
    double scale[FANIN__COMPONENTS]; /* integral of |g| phi so far */
    double bad_at;
    bool nan, infinite;
    fanin__integral *out;
} job;

static bool sample(job *j, double z, double *v) {
    j->g(j->ctx, z, v);
    double density = FANIN__INV_SQ2PI * exp(-0.5 * z * z);
    for (int c = 0; c < j->m; c++) {
        if (isnan(v[c])) j->nan = true;
        if (isinf(v[c])) j->infinite = true;
        v[c] *= density;
    }
    if (j->nan || j->infinite) j->bad_at = z;
    return !(j->nan || j->infinite);
}

static bool measure(job *j, double a, double b, panel *p) {
    double v[21][FANIN__COMPONENTS], centre = 0.5 * (a + b), half = 0.5 * (b - a);
    j->panels++;
    for (int i = 0; i < 10; i++)
        if (!sample(j, centre - half * node[i], v[i]) ||
            !sample(j, centre + half * node[i], v[20 - i]))
            return false;
    if (!sample(j, centre, v[10])) return false;
    for (int c = 0; c < j->m; c++) {
        double k = 0, g = 0, mass = 0, mean, spread = 0;
        for (int i = 0; i < 10; i++) {
            k += weight[i] * (v[i][c] + v[20 - i][c]);
            mass += weight[i] * (fabs(v[i][c]) + fabs(v[20 - i][c]));
            if (i % 2) g += gauss[i / 2] * (v[i][c] + v[20 - i][c]);
        }
        k += weight[10] * v[10][c];
        mass += weight[10] * fabs(v[10][c]);
        mean = 0.5 * k;
        for (int i = 0; i < 10; i++)
            spread += weight[i] * (fabs(v[i][c] - mean) + fabs(v[20 - i][c] - mean));
        spread += weight[10] * fabs(v[10][c] - mean);
        double e = fabs(k - g);
        /* |K - G| is the error of the worse rule; QUADPACK's estimate for the better one. */
        if (spread > 0 && e > 0) e = spread * fmin(1, pow(200 * e / spread, 1.5));
        p->value[c] = k * half;
        p->mass[c] = mass * half;
        p->error[c] = e * half;
    }
    return true;
}

static void accept(job *j, const panel *p) {
    for (int c = 0; c < j->m; c++) {
        j->out->value[c] += p->value[c];
        j->out->error[c] += p->error[c] + 1e-16 * p->mass[c];
    }
}

static bool fine(const job *j, const panel *p) {
    for (int c = 0; c < j->m; c++)
        if (p->error[c] > 1e-16 * j->scale[c] && p->error[c] > 3e-16 * p->mass[c]) return false;
    return true;
}

static bool refine(job *j, double a, double b, const panel *p, int depth) {
    if (fine(j, p) || depth >= MAX_DEPTH || j->panels >= MAX_PANEL) {
        accept(j, p);
        return true;
    }
    double mid = 0.5 * (a + b);
    panel left, right;
    if (!measure(j, a, mid, &left) || !measure(j, mid, b, &right)) return false;
    return refine(j, a, mid, &left, depth + 1) && refine(j, mid, b, &right, depth + 1);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Cuts of [lo, hi]: its ends, every second whole number, breaks; at most FANIN__BREAKS + 80. */
static size_t cuts(double lo, double hi, const double *breaks, size_t n, double *out) {
    size_t count = 0;
    for (double z = lo; z < hi - 0.5; z += 2) out[count++] = z;
    out[count++] = hi;
    for (size_t i = 0; i < n; i++)
        if (breaks[i] > lo && breaks[i] < hi) out[count++] = breaks[i];
    qsort(out, count, sizeof *out, ascending);
    return count;
}

/* One stretch; its own share of the absolute integrals goes to share[]. */
static bool stretch(job *j, double lo, double hi, const double *breaks, size_t n, double *share) {
    double at[FANIN__BREAKS + 80];
    panel panels[FANIN__BREAKS + 80];
    size_t count = cuts(lo, hi, breaks, n < FANIN__BREAKS ? n : FANIN__BREAKS, at);
    for (int c = 0; c < j->m; c++) share[c] = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        if (!(at[i + 1] - at[i] > 1e-15)) continue;
        if (!measure(j, at[i], at[i + 1], &panels[i])) return false;
        for (int c = 0; c < j->m; c++) share[c] += panels[i].mass[c];
    }
    for (int c = 0; c < j->m; c++) j->scale[c] += share[c];
    for (size_t i = 0; i + 1 < count; i++)
        if (at[i + 1] - at[i] > 1e-15 && !refine(j, at[i], at[i + 1], &panels[i], 0)) return false;
    return true;
}

static bool counts(const job *j, const double *share) {
    for (int c = 0; c < j->m; c++)
        if (share[c] > 1e-18 * j->scale[c]) return true;
    return false;
}

/* Walks outwards; 1: done, 0: a sample was not finite, -1: the tail never fell. */
static int walk(job *j, const double *breaks, size_t n) {
    double share[FANIN__COMPONENTS];
    if (!stretch(j, -CORE, CORE, breaks, n, share)) return 0;
    for (int side = -1; side <= 1; side += 2) {
        bool going = true;
        for (int z = CORE; z < REACH && going; z++) {
            double lo = side > 0 ? z : -z - 1;
            if (!stretch(j, lo, lo + 1, breaks, n, share)) return 0;
            going = counts(j, share);
        }
        if (going) {
            j->bad_at = side * REACH;
            return -1;
        }
    }
    return 1;
}

fanin_status fanin__gauss_integrate(fanin__integrand g, void *ctx, int components,
                                    const double *breaks, size_t break_count,
                                    fanin__integral *out) {
    job j = {.g = g, .ctx = ctx, .m = components, .out = out};
    *out = (fanin__integral){.bad_at = 0};
    int done = walk(&j, breaks, break_count);
    out->bad_at = j.bad_at;
    if (j.nan) return FANIN_NUMERIC;
    if (done < 1) return FANIN_DOMAIN;
    for (int c = 0; c < components; c++)
        if (!(out->error[c] <= 1e-7 * j.scale[c])) return FANIN_NOCONV;
    return FANIN_OK;
}

size_t fanin__gauss_breaks(const fanin_activation *act, double mean, double q, double *breaks,
                           size_t max) {
    double s = sqrt(q), kinks[64];
    size_t n = fanin_activation_kinks(act, kinks, 64), count = 0;
    if (!(s > 0)) return 0;
    for (size_t i = 0; i < n && i < 64 && count < max; i++) {
        breaks[count++] = (kinks[i] - mean) / s;
        /* What happens at distance 1 from a kink is narrow in z when s is large. */
        for (double r = 1; r < s && count + 2 <= max && kinks[i] != 0; r *= 8) {
            breaks[count++] = (kinks[i] - r - mean) / s;
            breaks[count++] = (kinks[i] + r - mean) / s;
        }
    }
    for (double r = 0.5; r < s && count + 2 <= max; r *= 2) {
        breaks[count++] = (-r - mean) / s;
        breaks[count++] = (r - mean) / s;
    }
    if (s > 0.5 && count < max) breaks[count++] = -mean / s;
    return count;
}

size_t fanin__gauss_nodes(const double *breaks, size_t break_count, double *z, double *w,
                          size_t max) {
    double at[FANIN__BREAKS + 80];
    size_t n = break_count < FANIN__BREAKS ? break_count : FANIN__BREAKS, count = 0;
    size_t ends = cuts(-13, 13, breaks, n, at);
    for (size_t i = 0; i + 1 < ends; i++) {
        double centre = 0.5 * (at[i] + at[i + 1]), half = 0.5 * (at[i + 1] - at[i]);
        if (!(half > 1e-15)) continue;
        for (int k = 0; k < 21; k++, count++) {
            if (!z || count >= max) continue;
            int m = k < 11 ? k : 20 - k;
            z[count] = centre + (k < 10 ? -half : half) * node[m];
            w[count] = half * weight[m] * FANIN__INV_SQ2PI * exp(-0.5 * z[count] * z[count]);
        }
    }
    return count;
}

fanin_status fanin__gauss_fail(fanin_err *err, fanin_status status, const fanin_activation *act,
                               double q, double at) {
    const char *name = fanin_activation_name(act);
    double u = at * sqrt(q);
    switch (status) {
    case FANIN_OK: return FANIN_OK;
    case FANIN_NUMERIC:
        return fanin_err_set(err, status, "%.80s is not a number at x = %g", name, u);
    case FANIN_DOMAIN:
        return fanin_err_set(err, status,
                             "%.80s grows too fast: its mean square under N(0, %g) is infinite "
                             "(still growing at x = %g)",
                             name, q, u);
    default:
        return fanin_err_set(err, status,
                             "%.80s: the Gaussian integral at variance %g did not settle", name, q);
    }
}

/* Brent's method with bisection kept in hand. */
double fanin__root(fanin__scalar_fn g, void *ctx, double a, double b, double ga, double gb) {
    double c = a, gc = ga, d = b - a, e = d;
    for (int i = 0; i < 200; i++) {
        if ((gb > 0) == (gc > 0)) {
            c = a;
            gc = ga;
            d = e = b - a;
        }
        if (fabs(gc) < fabs(gb)) {
            a = b;
            b = c;
            c = a;
            ga = gb;
            gb = gc;
            gc = ga;
        }
        double tol = 2.3e-16 * fabs(b), m = 0.5 * (c - b);
        if (fabs(m) <= tol || gb == 0) return b;
        if (fabs(e) >= tol && fabs(ga) > fabs(gb)) {
            double s = gb / ga, p, q;
            if (a == c) {
                p = 2 * m * s;
                q = 1 - s;
            } else {
                double r = gb / gc, t = ga / gc;
                p = s * (2 * m * t * (t - r) - (b - a) * (r - 1));
                q = (t - 1) * (r - 1) * (s - 1);
            }
            if (p > 0)
                q = -q;
            else
                p = -p;
            if (2 * p < fmin(3 * m * q - fabs(tol * q), fabs(e * q))) {
                e = d;
                d = p / q;
            } else {
                d = e = m;
            }
        } else {
            d = e = m;
        }
        a = b;
        ga = gb;
        b += fabs(d) > tol ? d : (m > 0 ? tol : -tol);
        gb = g(ctx, b);
    }
    return b;
}
