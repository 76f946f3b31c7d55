#include <math.h>

#include "theory/theory.h"

typedef struct line {
    const fanin_activation *act;
    double mean, s;
    int order, power;
} line;

static fanin_status range(const fanin_activation *act, double mean, double q, fanin_err *err) {
    if (q >= 0 && q <= 1e30 && fabs(mean) <= 1e30) return FANIN_OK;
    return fanin_err_set(err, FANIN_ARG, "%.80s: variance %g at mean %g is outside 0 ... 1e30",
                         fanin_activation_name(act), q, mean);
}

/* ---- moments --------------------------------------------------------------------------- */

enum { MEAN, SECOND, FOURTH, SLOPE, SLOPE2, SLOPE4, PRODUCT, CURVE2 };

static void pack(const double d[4], double v[FANIN__COMPONENTS]) {
    v[MEAN] = d[0];
    v[SECOND] = d[0] * d[0];
    v[FOURTH] = v[SECOND] * v[SECOND];
    v[SLOPE] = d[1];
    v[SLOPE2] = d[1] * d[1];
    v[SLOPE4] = v[SLOPE2] * v[SLOPE2];
    v[PRODUCT] = d[0] * d[2];
    v[CURVE2] = d[2] * d[2];
}

static void all(void *ctx, double z, double v[FANIN__COMPONENTS]) {
    line *l = ctx;
    double d[4];
    fanin__activation_jet(l->act, l->mean + l->s * z, d);
    pack(d, v);
}

static void unpack(const double *v, fanin_expectations *out) {
    out->mean = v[MEAN];
    out->second = v[SECOND];
    out->fourth = v[FOURTH];
    out->slope_mean = v[SLOPE];
    out->slope_second = v[SLOPE2];
    out->slope_fourth = v[SLOPE4];
    out->curve_product = v[PRODUCT];
    out->curve_second = v[CURVE2];
}

/* What the delta functions at kinks add. */
static void add_kinks(const fanin_activation *act, double mean, double q, fanin_expectations *out) {
    double kinks[64], left[4], right[4], s = sqrt(q);
    size_t n = fanin_activation_kinks(act, kinks, 64);
    bool jumps = !fanin_activation_is_continuous(act);
    for (size_t i = 0; i < n && i < 64; i++) {
        double z = (kinks[i] - mean) / s, density = FANIN__INV_SQ2PI * exp(-0.5 * z * z) / s;
        fanin__kink_sides(act, kinks[i], left, right);
        double jump = right[0] - left[0], rise = right[1] - left[1];
        if (jumps && fabs(jump) > 1e-9 * (1 + fabs(left[0]) + fabs(right[0]))) {
            out->slope_mean += jump * density;
            out->slope_second = out->slope_fourth = out->curve_second = INFINITY;
            out->curve_product = NAN;
        } else if (fabs(rise) > 1e-9 * (fabs(left[1]) + fabs(right[1]))) {
            out->curve_product += 0.5 * (left[0] + right[0]) * rise * density;
            out->curve_second = INFINITY;
        }
    }
}

fanin_status fanin_gaussian_moments(const fanin_activation *act, double mean, double q,
                                    fanin_expectations *out, fanin_err *err) {
    *out = (fanin_expectations){0};
    FANIN_TRY(range(act, mean, q, err));
    if (q == 0) {
        double d[4], v[FANIN__COMPONENTS];
        fanin__activation_jet(act, mean, d);
        pack(d, v);
        unpack(v, out);
        return FANIN_OK;
    }
    line l = {act, mean, sqrt(q), 0, 0};
    double breaks[FANIN__BREAKS];
    fanin__integral r;
    size_t n = fanin__gauss_breaks(act, mean, q, breaks, FANIN__BREAKS);
    fanin_status status = fanin__gauss_integrate(all, &l, FANIN__COMPONENTS, breaks, n, &r);
    if (status != FANIN_OK) return fanin__gauss_fail(err, status, act, q, r.bad_at);
    unpack(r.value, out);
    const int positive[] = {SECOND, FOURTH, SLOPE2, SLOPE4};
    for (size_t i = 0; i < FANIN_COUNT(positive); i++)
        if (r.value[positive[i]] > 0)
            out->error = fmax(out->error, r.error[positive[i]] / r.value[positive[i]]);
    add_kinks(act, mean, q, out);
    return FANIN_OK;
}

/* ---- one power ------------------------------------------------------------------------- */

static void one(void *ctx, double z, double v[FANIN__COMPONENTS]) {
    line *l = ctx;
    double d[4];
    fanin__activation_jet(l->act, l->mean + l->s * z, d);
    v[0] = 1;
    for (int k = 0; k < l->power; k++) v[0] *= d[l->order];
}

fanin_status fanin_gaussian_power(const fanin_activation *act, int order, int power, double mean,
                                  double q, double *value, double *error, fanin_err *err) {
    *value = NAN;
    if (error) *error = 0;
    FANIN_TRY(range(act, mean, q, err));
    if (order < 0 || order > 2 || power < 1 || power > 16)
        return fanin_err_set(err, FANIN_ARG, "order %d (0 to 2), power %d (1 to 16)", order, power);
    line l = {act, mean, sqrt(q), order, power};
    if (q == 0) {
        double v[FANIN__COMPONENTS];
        one(&l, 0, v);
        *value = v[0];
        return FANIN_OK;
    }
    double breaks[FANIN__BREAKS];
    fanin__integral r;
    size_t n = fanin__gauss_breaks(act, mean, q, breaks, FANIN__BREAKS);
    fanin_status status = fanin__gauss_integrate(one, &l, 1, breaks, n, &r);
    if (status != FANIN_OK) return fanin__gauss_fail(err, status, act, q, r.bad_at);
    *value = r.value[0];
    if (error) *error = r.error[0];
    return FANIN_OK;
}
