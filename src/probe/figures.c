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

enum { LANES = 16 };

/* Lanes let the loop run as vectors; their order of addition is fixed. */
static moments measure(fanin_buffer b) {
    double sum[LANES] = {0}, squares[LANES] = {0};
    float largest[LANES] = {0};
    const float *v = b.data;
    size_t i = 0;
    moments m = {0};
    if (!v) return m;
    for (; i + LANES <= b.count; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            double x = (double)v[i + k];
            float size = fabsf(v[i + k]);
            sum[k] += x;
            squares[k] += x * x;
            largest[k] = size > largest[k] ? size : largest[k];
        }
    for (size_t k = 0; i < b.count; i++, k++) {
        double x = (double)v[i];
        sum[k] += x;
        squares[k] += x * x;
        largest[k] = fmaxf(largest[k], fabsf(v[i]));
    }
    for (size_t k = 0; k < LANES; k++) {
        m.sum += sum[k];
        m.squares += squares[k];
        m.largest = fmax(m.largest, (double)largest[k]);
    }
    m.count = b.count;
    return m;
}

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
        *m = measure(s);
        return FANIN_OK;
    }
    double *sum = fanin_calloc(n, sizeof *sum), total = 0;
    if (!sum) return FANIN_NOMEM;
    for (size_t b = 0; b < batch; b++) {
        const float *v = (const float *)s.data + b * n;
        moments row = measure((fanin_buffer){.data = (void *)(uintptr_t)v, .count = n});
        add_moments(m, row);
        if (!(row.squares > 0)) continue;
        used++;
        double scale = 1 / sqrt(row.squares);
        for (size_t i = 0; i < n; i++) sum[i] += (double)v[i] * scale;
    }
    for (size_t i = 0; i < n; i++) total += sum[i] * sum[i];
    if (used > 1) *cosine = (total - (double)used) / ((double)used * (double)(used - 1));
    fanin_free(sum);
    return FANIN_OK;
}

/* ---- slopes of the activation -------------------------------------------------------------------- */

/* Largest slope of an activation, looked for on [-8, 8]; and whether it has parts of slope 0. */
static void slope_facts(const fanin_activation *act, double *largest, bool *flat, bool *bounded) {
    double x[161], d[161], far[2] = {-60, 60}, far_slope[2];
    for (int i = 0; i <= 160; i++) x[i] = (i - 80) * 0.1 + 1e-9;
    fanin_activation_eval(act, 1, x, d, 161);
    fanin_activation_eval(act, 1, far, far_slope, 2);
    *largest = 0;
    *flat = false;
    for (int i = 0; i <= 160; i++) {
        *largest = fmax(*largest, fabs(d[i]));
        if (d[i] == 0) *flat = true;
    }
    *bounded = fabs(far_slope[0]) < 0.05 * *largest && fabs(far_slope[1]) < 0.05 * *largest;
}

enum { CHUNK = 512 };

/* Where value and slope are both 0 a unit is off, not saturated: the negative half of relu6. */
static size_t count_saturated(const fanin_activation *act, const float *x, const float *slope,
                              float limit, size_t n) {
    float value[CHUNK];
    size_t count = 0;
    fanin_activation_eval_f32(act, 0, x, value, n);
    for (size_t i = 0; i < n; i++)
        count += fabsf(slope[i]) < limit && (slope[i] != 0 || value[i] != 0);
    return count;
}

/* Rows are the positions of one channel, or the units of one sample. */
fanin_status fanin__measure_slopes(const fanin__layer *layer, fanin_buffer x, double *saturated,
                                   double *dead) {
    *saturated = *dead = NAN;
    if (!layer->act || !x.data || x.count == 0 || x.rank < 2) return FANIN_OK;
    double largest;
    bool flat, bounded;
    slope_facts(layer->act, &largest, &flat, &bounded);
    if (!flat && !bounded) return FANIN_OK;
    bool channels = x.rank > 3;
    size_t units = (size_t)x.dims[channels ? 1 : x.rank - 1], row = units;
    if (channels) row = x.count / (units * (size_t)x.dims[0]);
    unsigned char *alive = fanin_calloc(units, 1);
    if (!alive) return FANIN_NOMEM;
    float slope[CHUNK];
    const float *v = x.data;
    const float limit = (float)(0.05 * largest);
    size_t small = 0;
    for (size_t r = 0; r < x.count / row; r++)
        for (size_t at = 0; at < row; at += CHUNK) {
            size_t n = row - at < CHUNK ? row - at : CHUNK;
            fanin_activation_eval_f32(layer->act, 1, v + r * row + at, slope, n);
            unsigned some = 0;
            if (bounded) small += count_saturated(layer->act, v + r * row + at, slope, limit, n);
            for (size_t i = 0; i < n && channels; i++) some |= slope[i] != 0;
            if (channels && some) alive[r % units] = 1;
            for (size_t i = 0; i < n && !channels; i++) alive[at + i] |= slope[i] != 0;
        }
    size_t off = 0;
    for (size_t u = 0; u < units; u++) off += !alive[u];
    if (bounded) *saturated = (double)small / (double)x.count;
    if (flat) *dead = (double)off / (double)units;
    fanin_free(alive);
    return FANIN_OK;
}

static void histogram(fanin_buffer b, double range, double scale, double *bins) {
    uint64_t seen[FANIN_HISTOGRAM_BINS] = {0};
    const float *v = b.data;
    const double factor = scale / range / 2 * FANIN_HISTOGRAM_BINS;
    if (!v) return;
    for (size_t i = 0; i < b.count; i++) {
        double at = (double)v[i] * factor + FANIN_HISTOGRAM_BINS / 2.0;
        int bin = !(at > 0) ? 0 : at >= FANIN_HISTOGRAM_BINS ? FANIN_HISTOGRAM_BINS - 1 : (int)at;
        seen[bin]++;
    }
    for (int i = 0; i < FANIN_HISTOGRAM_BINS; i++) bins[i] = (double)seen[i] / (double)b.count;
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
    fanin_status status = fanin__measure_slopes(layer, x, &saturated, &dead);
    out->saturated += saturated;
    out->dead += dead;
    moments m = measure(h);
    double mean = m.count ? m.sum / (double)m.count : NAN;
    double std = m.count ? sqrt(fmax(m.squares / (double)m.count - mean * mean, 0)) : NAN;
    out->h_mean += mean;
    out->h_std += std;
    if (first_seed) {
        out->h_range =
            m.largest > 0 && isfinite(m.largest) ? fmin(m.largest, 4 * (fabs(mean) + std)) : 1;
        if (!(out->h_range > 0)) out->h_range = 1;
        histogram(h, out->h_range, 1, out->h_bins);
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
    moments m, d = measure(ds);
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
        histogram(ds, out->grad_range, n, out->grad_bins);
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
