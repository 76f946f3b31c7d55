/* figures.c - the figures of one layer, read from the kept values of a program after one pass. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "fanin/random.h"
#include "probe/figures.h"
#include "probe/second.h"

/* ---- sums ------------------------------------------------------------------------------------- */

typedef struct moments {
    double sum, squares, largest;
    size_t count;
} moments;

/* Lanes let the loop run as vectors. */
static float largest_of(size_t n, const float *v) {
    enum { LANES = 16 };
    float most[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            float size = fabsf(v[i + k]);
            most[k] = size > most[k] ? size : most[k];
        }
    for (; i < n; i++) most[0] = fmaxf(most[0], fabsf(v[i]));
    for (size_t k = 1; k < LANES; k++) most[0] = fmaxf(most[0], most[k]);
    return most[0];
}

/* Leaves in order, each read twice while it is in the cache. */
static moments measure(size_t count, const float *v) {
    const fanin__kernels *k = fanin__kernels_best();
    moments m = {.count = count};
    for (size_t i = 0; i < count; i += FANIN__SUM_BLOCK) {
        size_t n = count - i < FANIN__SUM_BLOCK ? count - i : FANIN__SUM_BLOCK;
        double sums[2];
        k->moments(n, v + i, 0, sums);
        m.sum += sums[0];
        m.squares += sums[1];
        m.largest = fmax(m.largest, (double)largest_of(n, v + i));
    }
    return m;
}

static moments measure_buffer(fanin_buffer b) { return measure(b.data ? b.count : 0, b.data); }

double fanin__root_mean_square(fanin_buffer b) {
    if (!b.data || b.count == 0) return NAN;
    return sqrt(fanin__dot(b.count, b.data, b.data) / (double)b.count);
}

static void add_moments(moments *m, moments part) {
    m->sum += part.sum;
    m->squares += part.squares;
    m->largest = fmax(m->largest, part.largest);
    m->count += part.count;
}

/* Moments of all, sample by sample, and the mean over pairs of samples of the cosine between their rows:
 * (|sum of unit rows|^2 - B) / (B (B - 1)), while each row is in the cache. */
static fanin_status measure_samples(fanin_buffer s, size_t batch, moments *m, double *cosine) {
    *m = (moments){0};
    *cosine = NAN;
    size_t n = batch ? s.count / batch : 0, used = 0;
    if (batch < 2 || n == 0 || s.count != n * batch) {
        *m = measure_buffer(s);
        return FANIN_OK;
    }
    float *sum = fanin_calloc(n, sizeof *sum);
    if (!sum) return FANIN_NOMEM;
    for (size_t b = 0; b < batch; b++) {
        const float *v = (const float *)s.data + b * n;
        moments row = measure(n, v);
        add_moments(m, row);
        if (!(row.squares > 1e-75)) continue; /* none, or denormal: of no direction */
        used++;
        fanin__kernels_best()->axpby(n, (float)(1 / sqrt(row.squares)), v, 1, sum);
    }
    double total = fanin__dot(n, sum, sum);
    if (used > 1) *cosine = (total - (double)used) / ((double)used * (double)(used - 1));
    fanin_free(sum);
    return FANIN_OK;
}

/* ---- slopes of the activation -------------------------------------------------------------------- */

enum { CHUNK = 512 };

/* Where value and slope are both 0 a unit is off, not saturated: the negative half of relu6. */
static size_t count_saturated(const fanin_activation *act, const float *x, const float *slope,
                              float limit, size_t n) {
    float value[CHUNK];
    size_t small = 0, zero = 0;
    for (size_t i = 0; i < n; i++) {
        small += fabsf(slope[i]) < limit;
        zero += slope[i] == 0;
    }
    if (zero == 0) return small;
    fanin_activation_eval_f32(act, 0, x, value, n);
    for (size_t i = 0; i < n; i++) small -= slope[i] == 0 && value[i] == 0;
    return small;
}

static bool all_set(const unsigned char *v, size_t n) { return memchr(v, 0, n) == NULL; }

/* A row's slopes: how many are saturated (where asked for), and which units, or whether the one unit, live. */
static size_t look_at_row(const fanin__layer *layer, const float *x, size_t n, bool one_unit,
                          unsigned char *alive) {
    float slope[CHUNK];
    const float limit = (float)(0.05 * layer->act_slope.largest);
    size_t saturated = 0;
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t count = n - at < CHUNK ? n - at : CHUNK;
        fanin_activation_eval_f32(layer->act, 1, x + at, slope, count);
        if (layer->act_slope.bounded)
            saturated += count_saturated(layer->act, x + at, slope, limit, count);
        unsigned some = 0;
        for (size_t i = 0; i < count && one_unit; i++) some |= slope[i] != 0;
        for (size_t i = 0; i < count && !one_unit; i++) alive[at + i] |= slope[i] != 0;
        if (some) alive[0] = 1;
    }
    return saturated;
}

/* Rows are the positions of one unit, or the units at one position. Once units are known to live there is nothing
 * more to see but saturation. */
fanin_status fanin__measure_slopes(const fanin__layer *layer, fanin_buffer x, bool channels_last,
                                   double *saturated, double *dead) {
    *saturated = *dead = NAN;
    if (!layer->act || !x.data || x.count == 0 || x.rank < 2) return FANIN_OK;
    bool flat = layer->act_slope.flat, bounded = layer->act_slope.bounded;
    if (!flat && !bounded) return FANIN_OK;
    bool one_unit = (x.rank > 3) != channels_last;
    size_t units = (size_t)x.dims[x.rank > 3 ? 1 : x.rank - 1], row = units, small = 0, off = 0;
    if (one_unit) row = x.count / (units * (size_t)x.dims[0]);
    unsigned char *alive = fanin_calloc(units, 1);
    if (!alive) return FANIN_NOMEM;
    for (size_t r = 0; r < x.count / row; r++) {
        unsigned char *mine = one_unit ? alive + r % units : alive;
        if (!bounded && all_set(mine, one_unit ? 1 : units)) continue;
        small += look_at_row(layer, (const float *)x.data + r * row, row, one_unit, mine);
    }
    for (size_t u = 0; u < units; u++) off += !alive[u];
    if (bounded) *saturated = (double)small / (double)x.count;
    if (flat) *dead = (double)off / (double)units;
    fanin_free(alive);
    return FANIN_OK;
}

/* ---- histograms ---------------------------------------------------------------------------------- */

enum { COUNTED = 1 << 15, RUN = 16, BINS = FANIN_HISTOGRAM_BINS };

/* Several counts, since a value often falls where the one before it did. */
static void count_bins(size_t n, const float *v, double factor, uint32_t seen[4][BINS]) {
    int32_t bin[RUN];
    for (size_t i = 0; i < n; i += RUN) {
        size_t count = n - i < RUN ? n - i : RUN;
        for (size_t k = 0; k < count; k++) {
            double at = (double)v[i + k] * factor + BINS / 2.0;
            at = at > 0 ? at : 0; /* NaN: 0 */
            bin[k] = (int32_t)(at < BINS - 1 ? at : BINS - 1);
        }
        for (size_t k = 0; k < count; k++) seen[k % 4][bin[k]]++;
    }
}

/* Where run r of `each` values begins: anywhere in them, but always there. */
static size_t run_at(size_t r, size_t each) {
    uint64_t mixed = (uint64_t)r * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return r * each + (size_t)mixed % (each - RUN + 1);
}

void fanin__histogram(fanin_buffer b, double range, double scale, double *bins) {
    uint32_t seen[4][BINS] = {{0}};
    const float *v = b.data;
    const double factor = scale / range / 2 * BINS;
    const size_t runs = COUNTED / RUN, each = b.count / runs;
    if (!v || b.count == 0) return;
    if (b.count <= COUNTED) count_bins(b.count, v, factor, seen);
    for (size_t r = 0; r < runs && b.count > COUNTED; r++) {
        if (r + 16 < runs) __builtin_prefetch(v + run_at(r + 16, each));
        count_bins(RUN, v + run_at(r, each), factor, seen);
    }
    double all = (double)(b.count < COUNTED ? b.count : COUNTED);
    for (int i = 0; i < BINS; i++)
        bins[i] = (double)(seen[0][i] + seen[1][i] + seen[2][i] + seen[3][i]) / all;
}

/* ---- one layer ----------------------------------------------------------------------------------- */

static void add_log(double *sum, double value) { *sum += log(value); }

/* Sums of log10 squared; finish_layer makes the deviation of them. */
static void add_square(double *sum, double value) { *sum += log10(value) * log10(value); }

int fanin__weight_index(const fanin_program *p, int value) {
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        if (fanin_program_weight_value(p, i) == value) return i;
    return -1;
}

static fanin_status measure_activation(const fanin__layer *layer, const fanin_program *p,
                                       fanin_buffer s, bool first_seed, fanin_layer_signal *out) {
    fanin_buffer x = {0}, h = s;
    float *spelled = NULL;
    double saturated, dead;
    if (layer->act_input >= 0) x = fanin_program_value(p, layer->act_input);
    if (x.data && x.dtype == FANIN_F32 && layer->act_output >= 0) {
        h = fanin_program_value(p, layer->act_output);
    } else if (x.data && x.dtype == FANIN_F32 && layer->act) { /* several nodes: computed here */
        spelled = fanin_calloc(x.count + 1, sizeof *spelled);
        if (!spelled) return FANIN_NOMEM;
        fanin_activation_eval_f32(layer->act, 0, x.data, spelled, x.count);
        h = x;
        h.data = spelled;
    }
    fanin_status status = fanin__measure_slopes(
        layer, x, fanin_program_value_channels_last(p, layer->act_input), &saturated, &dead);
    out->saturated += saturated;
    out->dead += dead;
    moments m = measure_buffer(h);
    double mean = m.count ? m.sum / (double)m.count : NAN;
    double std = m.count ? sqrt(fmax(m.squares / (double)m.count - mean * mean, 0)) : NAN;
    out->h_mean += mean;
    out->h_std += std;
    if (first_seed) {
        out->h_range =
            m.largest > 0 && isfinite(m.largest) ? fmin(m.largest, 4 * (fabs(mean) + std)) : 1;
        if (!(out->h_range > 0)) out->h_range = 1;
        fanin__histogram(h, out->h_range, 1, out->h_bins);
    }
    fanin_free(spelled);
    return status;
}

static fanin_status measure_weight(const fanin_graph *g, const fanin__layer *layer,
                                   const fanin_program *p, double lr, fanin_layer_signal *out) {
    int at = fanin__weight_index(p, layer->weight);
    if (at < 0) return FANIN_OK;
    fanin_buffer w = fanin_program_weight(p, at), dw = fanin_program_gradient(p, at);
    double size = fanin__root_mean_square(w), gradient = fanin__root_mean_square(dw);
    add_log(&out->weight_std, size);
    add_log(&out->weight_grad_std, gradient);
    add_log(&out->update_ratio, lr > 0 && size > 0 ? lr * gradient / size : NAN);
    bool symmetric;
    FANIN_TRY(fanin__find_symmetry(g, layer, w, dw, &symmetric));
    out->symmetric = out->symmetric || symmetric;
    return FANIN_OK;
}

fanin_status fanin__measure_layer(const fanin_graph *g, const fanin__layer *layer,
                                  const fanin_program *p, size_t batch, double lr, bool first_seed,
                                  fanin_layer_signal *out) {
    fanin_buffer s = fanin_program_value(p, layer->output),
                 ds = fanin_program_value_gradient(p, layer->output);
    if (!s.data || s.dtype != FANIN_F32) return FANIN_INTERNAL;
    double n = (double)batch, cosine;
    moments m, d = measure_buffer(ds);
    FANIN_TRY(measure_samples(s, batch, &m, &cosine));
    double mean = m.sum / (double)m.count, second = m.squares / (double)m.count;
    if (first_seed) {
        out->rank = s.rank;
        memcpy(out->dims, s.dims, sizeof out->dims);
    }
    out->mean += mean;
    add_log(&out->second_moment, second);
    add_square(&out->second_moment_spread, second);
    add_log(&out->std, sqrt(fmax(second - mean * mean, 0)));
    out->abs_max = fmax(out->abs_max, m.largest);
    double d_rms = ds.data ? n * sqrt(d.squares / (double)d.count) : NAN;
    add_log(&out->grad_norm, ds.data ? sqrt(n * d.squares) : NAN);
    add_square(&out->grad_norm_spread, ds.data ? sqrt(n * d.squares) : NAN);
    add_log(&out->grad_std, d_rms);
    out->sample_correlation += cosine;
    FANIN_TRY(measure_activation(layer, p, s, first_seed, out));
    double singular, error;
    FANIN_TRY(fanin__layer_jacobian(g, layer, p, batch, &singular, &error));
    out->jacobian_mean_sv += singular;
    out->jacobian_sv_error += error * error;
    if (first_seed) {
        out->grad_range = d_rms > 0 && isfinite(d_rms) ? 4 * d_rms : 1;
        fanin__histogram(ds, out->grad_range, n, out->grad_bins);
    }
    return measure_weight(g, layer, p, lr, out);
}

/* From sums over n seeds of ln and of log10 squared. */
static double spread(double log_sum, double square_sum, double n) {
    double mean = log_sum / n / log(10);
    return n > 1 ? sqrt(fmax(square_sum / n - mean * mean, 0) * n / (n - 1)) : NAN;
}

void fanin__finish_layer(fanin_layer_signal *l, int seeds) {
    double n = seeds;
    l->second_moment_spread = spread(l->second_moment, l->second_moment_spread, n);
    l->grad_norm_spread = spread(l->grad_norm, l->grad_norm_spread, n);
    l->jacobian_sv_error = sqrt(l->jacobian_sv_error) / n;
    double *logs[] = {&l->second_moment, &l->std,        &l->grad_norm,
                      &l->grad_std,      &l->weight_std, &l->weight_grad_std,
                      &l->update_ratio};
    double *plain[] = {&l->mean,  &l->sample_correlation, &l->saturated, &l->dead, &l->h_mean,
                       &l->h_std, &l->jacobian_mean_sv};
    for (size_t i = 0; i < FANIN_COUNT(logs); i++) *logs[i] = exp(*logs[i] / n);
    for (size_t i = 0; i < FANIN_COUNT(plain); i++) *plain[i] /= n;
}
