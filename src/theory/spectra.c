/* Singular values of the input-output Jacobian J = D_L W_L ... D_1 W_1 of a wide net.
 *
 * Free probability (Pennington, Schoenholz, Ganguli 2017, 2018): the S-transform of J J' is the
 * product of those of W W' and D^2. With v the point where D^2's moment function M(v) =
 * E d^2/(v - d^2) takes the value z,
 *     w = (1 + z)/z * (sigma_w2 z v r)^L,   r = 1 (Gaussian) or 1/(1 + z) (orthogonal),
 * times sigma^2 (1 + z) r of a linear layer behind them, is the point where J J''s moment function takes it;
 * the density is -Im((1 + z)/w)/pi at w just above the real line. v is followed from far away, where z is
 * small, by Newton in ln w. */
#include <complex.h>
#include <math.h>

#include "theory/theory.h"

typedef double complex cplx;

#define LEVELS 2048

typedef struct law {
    double d2[LEVELS], w[LEVELS]; /* values of D^2 and their probabilities, zeros apart */
    size_t n;
    double zero; /* P(d = 0) */
    double mean, square;
} law;

static void add(law *l, double d2, double w) {
    if (d2 < 1e-300) {
        l->zero += w;
        return;
    }
    l->mean += w * d2;
    l->square += w * d2 * d2;
    if (l->n > 0 && l->d2[l->n - 1] == d2)
        l->w[l->n - 1] += w;
    else if (l->n < LEVELS) {
        l->d2[l->n] = d2;
        l->w[l->n++] = w;
    }
}

/* The law of f'(sqrt(q) z)^2 on the quadrature nodes; exact for straight pieces, whose derivative
 * takes few values. */
static fanin_status slopes(law *l, const fanin_activation *act, double q, fanin_err *err) {
    double breaks[FANIN__BREAKS], s = sqrt(q);
    size_t cuts = fanin__gauss_breaks(act, 0, q, breaks, FANIN__BREAKS);
    size_t n = fanin__gauss_nodes(breaks, cuts, NULL, NULL, 0);
    double *z = fanin_calloc(n, 2 * sizeof *z), *w = z + n;
    *l = (law){.n = 0};
    if (!z) return fanin_err_set(err, FANIN_NOMEM, "spectrum: no memory");
    fanin__gauss_nodes(breaks, cuts, z, w, n);
    for (size_t i = 0; i < n; i++) {
        double d[4];
        fanin__activation_jet(act, s * z[i], d);
        add(l, d[1] * d[1], w[i]);
    }
    fanin_free(z);
    if (isfinite(l->square) && l->mean > 0) return FANIN_OK;
    return fanin_err_set(err, FANIN_DOMAIN, "%.80s has no usable slopes at q = %g",
                         fanin_activation_name(act), q);
}

static fanin_status check(const fanin_activation *act, double q, double sigma_w2, double depth,
                          fanin_err *err) {
    if (!(q > 0) || q > 1e20 || !(sigma_w2 > 0) || sigma_w2 > 1e20 || !(depth >= 1 && depth <= 1e5))
        return fanin_err_set(err, FANIN_ARG,
                             "spectrum: q = %g, sigma_w2 = %g (above 0), depth %g (1 to 1e5)", q,
                             sigma_w2, depth);
    if (!fanin_activation_is_continuous(act))
        return fanin_err_set(err, FANIN_DOMAIN, "%.80s jumps: its Jacobian is infinite",
                             fanin_activation_name(act));
    return FANIN_OK;
}

fanin_status fanin_jacobian_moments(const fanin_activation *act, double q, double sigma_w2,
                                    double depth, bool orthogonal, fanin_jacobian *out,
                                    fanin_err *err) {
    fanin_expectations m;
    *out = (fanin_jacobian){0};
    FANIN_TRY(check(act, q, sigma_w2, depth, err));
    FANIN_TRY(fanin_gaussian_moments(act, 0, q, &m, err));
    double ratio = m.slope_fourth / (m.slope_second * m.slope_second);
    out->chi = sigma_w2 * m.slope_second;
    out->mean = pow(out->chi, depth);
    out->variance = out->mean * out->mean * depth * (ratio - 1 + (orthogonal ? 0 : 1));
    out->second = out->variance + out->mean * out->mean;
    out->slope_spread = ratio - 1;
    return FANIN_OK;
}

/* ---- density --------------------------------------------------------------------------- */

typedef struct solver {
    const law *l;
    double depth, log_w2;
    bool orthogonal;
    double output_log_w2,
        output_powers; /* the layer behind: its factor is sigma^2 (1 + z)^powers */
} solver;

static cplx moment(const law *l, cplx v, cplx *slope) {
    cplx m = 0, d = 0;
    for (size_t i = 0; i < l->n; i++) {
        cplx g = 1 / (v - l->d2[i]), t = l->w[i] * l->d2[i] * g;
        m += t;
        d -= t * g;
    }
    *slope = d;
    return m;
}

static cplx wrap(cplx x) {
    double turns = round(cimag(x) / (2 * FANIN__PI));
    return x - I * (2 * FANIN__PI * turns);
}

/* ln w(v) - target, up to whole turns, and its derivative. */
static cplx misfit(const solver *s, cplx v, cplx target, cplx *slope, cplx *z) {
    cplx dz, m = moment(s->l, v, &dz), one = 1 + m;
    *z = m;
    cplx turn = clog(m) + clog(v) + s->log_w2, f, d;
    d = dz / m + 1 / v;
    if (s->orthogonal) {
        turn -= clog(one);
        d -= dz / one;
    }
    f = (1 + s->output_powers) * clog(one) - clog(m) + s->depth * turn + s->output_log_w2;
    *slope = (1 + s->output_powers) * dz / one - dz / m + s->depth * d;
    return wrap(f - target);
}

static bool polish(const solver *s, cplx *v, cplx target, cplx *z) {
    for (int i = 0; i < 50; i++) {
        cplx slope, f = misfit(s, *v, target, &slope, z), step = -f / slope;
        double size = cabs(step), most = 0.3 * cabs(*v);
        if (!isfinite(size)) return false;
        if (size > most) step *= most / size;
        *v += step;
        if (size < 1e-13 * cabs(*v)) {
            misfit(s, *v, target, &slope, z);
            return true;
        }
    }
    return false;
}

/* Follows ln w from `from` to `to` with steps that halve when Newton fails or jumps. */
static bool follow(const solver *s, cplx *v, cplx from, cplx to, cplx *z) {
    double at = 0, step = 0.05;
    while (at < 1) {
        if (at + step > 1) step = 1 - at;
        cplx trial = *v, target = from + (to - from) * (at + step);
        bool good = polish(s, &trial, target, z) && cabs(trial - *v) < 0.3 * cabs(*v) &&
                    cimag(trial) > -1e-9 * cabs(trial);
        if (good) {
            at += step;
            *v = trial;
            step *= 1.5;
        } else {
            step *= 0.5;
            if (step < 1e-6) return false;
        }
    }
    return true;
}

fanin_status fanin_jacobian_density(const fanin_activation *act, double q, double sigma_w2,
                                    double depth, bool orthogonal,
                                    const fanin_jacobian_output *output, const double *lambda,
                                    size_t n, double *density, double atoms[2], fanin_err *err) {
    FANIN_TRY(check(act, q, sigma_w2, depth, err));
    double last = output ? output->sigma_w2 : 1;
    if (!(last > 0) || last > 1e20)
        return fanin_err_set(err, FANIN_ARG, "spectrum: output layer's sigma_w2 = %g (above 0)",
                             last);
    law *l = fanin_calloc(1, sizeof *l);
    if (!l) return fanin_err_set(err, FANIN_NOMEM, "spectrum: no memory");
    fanin_status status = slopes(l, act, q, err);
    bool spread = output && !output->orthogonal;
    solver s = {l, depth, log(sigma_w2), orthogonal, log(last), spread};
    double mean = pow(sigma_w2 * l->mean, depth) * last;
    size_t lost = 0;
    bool begun = false;
    cplx from = 0, high_v = 0;
    if (atoms) { /* units that every layer keeps at full slope, L(1 - p) < 1 of them lost */
        double top = 0, share = 0;
        for (size_t i = 0; i < l->n; i++) {
            if (l->d2[i] > top) share = 0;
            if (l->d2[i] >= top) share += l->w[i];
            top = fmax(top, l->d2[i]);
        }
        atoms[0] = l->zero;
        atoms[1] = orthogonal && !spread ? fmax(0, 1 - depth * (1 - share)) : 0;
        if (atoms[1] < 1e-9) atoms[1] = 0;
    }
    for (size_t i = 0; i < n && status == FANIN_OK; i++) {
        density[i] = NAN;
        if (!(lambda[i] > 0)) {
            status = fanin_err_set(err, FANIN_ARG, "lambda[%zu] = %g: above 0", i, lambda[i]);
            break;
        }
        /* In from far out, where z = mean/w and v = E d^2/z (or on from the last point), staying
         * well above the real line; then down to it. */
        cplx above = log(lambda[i]) + 1.5 * I, to = log(lambda[i]) + 1e-9 * I, z;
        if (!begun) {
            from = log(fmax(lambda[i], mean)) + 2 * log(10 + depth) + log(100.0) + 1.5 * I;
            z = mean / cexp(from);
            high_v = l->mean / z;
        }
        begun = follow(&s, &high_v, from, above, &z);
        cplx v = high_v;
        from = above;
        if (!begun || !follow(&s, &v, above, to, &z)) {
            lost++;
            density[i] = 0;
            continue;
        }
        double value = -cimag((1 + z) / lambda[i]) / FANIN__PI;
        density[i] = value > 1e-7 ? value : 0;
    }
    if (status == FANIN_OK && lost == n && n > 0)
        status = fanin_err_set(err, FANIN_NOCONV,
                               "%.80s: the spectrum at q = %g, depth %g could "
                               "not be followed at any of %zu points",
                               fanin_activation_name(act), q, depth, n);
    fanin_free(l);
    return status;
}

/* ---- Marchenko-Pastur ------------------------------------------------------------------ */

fanin_status fanin_marchenko_pastur(double aspect, double variance, double lambda, double *density,
                                    double *low, double *high, double *atom, fanin_err *err) {
    if (!(aspect > 0) || !(variance > 0) || isinf(aspect) || isinf(variance))
        return fanin_err_set(err, FANIN_ARG, "aspect %g, variance %g: both above 0", aspect,
                             variance);
    double r = sqrt(aspect), a = variance * (1 - r) * (1 - r), b = variance * (1 + r) * (1 + r);
    if (low) *low = a;
    if (high) *high = b;
    if (atom) *atom = aspect > 1 ? 1 - 1 / aspect : 0;
    if (density)
        *density = lambda > a && lambda < b ? sqrt((b - lambda) * (lambda - a)) /
                                                  (2 * FANIN__PI * variance * aspect * lambda)
                                            : 0;
    return FANIN_OK;
}

/* E sqrt(lambda): lambda = centre + half cos t turns both square-root edges smooth. For aspect 1
 * sqrt(lambda) = 2 sqrt(v) cos(t/2) and the integral is 8/(3 pi) sqrt(v). */
fanin_status fanin_mean_singular_value(double aspect, double variance, double *mean,
                                       fanin_err *err) {
    double a, b, sum = 0;
    const int nodes = 4000;
    *mean = NAN;
    FANIN_TRY(fanin_marchenko_pastur(aspect, variance, 0, NULL, &a, &b, NULL, err));
    if (aspect == 1) {
        *mean = 8 / (3 * FANIN__PI) * sqrt(variance);
        return FANIN_OK;
    }
    double centre = 0.5 * (a + b), half = 0.5 * (b - a);
    for (int i = 0; i < nodes; i++) { /* periodic and smooth: the midpoint rule is spectral */
        double t = FANIN__PI * (i + 0.5) / nodes, x = centre + half * cos(t);
        sum += half * half * sin(t) * sin(t) / sqrt(x);
    }
    *mean = sum * FANIN__PI / nodes / (2 * FANIN__PI * variance * aspect);
    return FANIN_OK;
}
