/* signal.c - runs the real graph and measures every weighted layer.
 *
 * A measurement is a sum over seeds: magnitudes are averaged as logarithms (geometric means), shares and
 * means as they are. Everything is read from the program's kept values after one pass. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/random.h"
#include "probe/layers.h"
#include "probe/signal.h"

const char *fanin_verdict_name(fanin_verdict verdict) {
    switch (verdict) {
#define CASE(id, value, name) \
    case FANIN_VERDICT_##id: return name;
        FANIN_VERDICT_MAP(CASE)
#undef CASE
    }
    return "?";
}

/* ---- inputs ------------------------------------------------------------------------------------ */

/* Rows of the embedding that reads an integer input; 2 where none does. */
static uint32_t id_limit(const fanin_graph *g, int input) {
    for (int n = 0; n < g->node_count; n++) {
        const fanin_node *node = &g->nodes[n];
        if (strcmp(node->op, "Gather") != 0 || node->input_count < 2 || node->inputs[1] != input)
            continue;
        const fanin_value *table = &g->values[node->inputs[0]];
        if ((table->flags & FANIN_VALUE_INITIALIZER) && table->rank >= 1)
            return (uint32_t)table->dims[0];
    }
    return 2;
}

static void draw_floats(const fanin_stream *s, fanin_buffer b) {
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .a = 0, .b = 1};
    (void)fanin_random_fill(s, 0, &law, 0, b.count, b.dtype, b.data);
}

static void draw_ids(const fanin_stream *s, uint32_t limit, fanin_buffer b) {
    int64_t *ids = b.data;
    for (size_t i = 0; i < b.count; i++) {
        uint32_t word;
        fanin_stream_words(s, 0, i, 1, &word);
        ids[i] = (int64_t)(((uint64_t)word * limit) >> 32);
    }
}

static void draw_buffer(uint64_t seed, const char *name, uint32_t limit, fanin_buffer b) {
    fanin_stream s = fanin_stream_init(seed, name);
    if (b.dtype == FANIN_I64)
        draw_ids(&s, limit, b);
    else
        draw_floats(&s, b);
}

static fanin_status copy_input(const fanin_array *a, fanin_buffer b, const char *name,
                               fanin_err *err) {
    size_t count, size = fanin_dtype_size(a->dtype);
    if (!fanin__shape_count(a->dims, a->rank, &count) || count != b.count || a->size < count * size)
        return fanin_err_set(err, FANIN_SHAPE,
                             "input %s: the array has %zu numbers, the graph takes %zu", name,
                             count, b.count);
    bool same = a->dtype == b.dtype;
    if (same) {
        memcpy(b.data, a->data, count * size);
        return FANIN_OK;
    }
    for (size_t i = 0; i < count; i++) {
        double v = 0;
        if (a->dtype == FANIN_I32 && b.dtype == FANIN_I64) {
            int32_t id;
            memcpy(&id, (const char *)a->data + 4 * i, 4);
            ((int64_t *)b.data)[i] = id;
            continue;
        }
        if (b.dtype != FANIN_F32 ||
            fanin_convert_to_f64((const char *)a->data + size * i, a->dtype, 1, &v) != FANIN_OK)
            return fanin_err_set(err, FANIN_ARG, "input %s: the array is %s, the graph takes %s",
                                 name, fanin_dtype_name(a->dtype), fanin_dtype_name(b.dtype));
        ((float *)b.data)[i] = (float)v;
    }
    return FANIN_OK;
}

static fanin_status fill_from_data(const fanin_signal_options *o, fanin_program *p,
                                   fanin_err *err) {
    fanin_buffer x = fanin_program_input(p, 0);
    const fanin_dataset_info *info = fanin_dataset_get_info(o->data);
    size_t sample = 1, batch = (size_t)o->batch;
    for (int i = 0; i < info->rank; i++) sample *= (size_t)info->dims[i];
    if (x.count != batch * sample || x.dtype != FANIN_F32)
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %zu numbers a sample, the network takes %zu", info->name,
                             sample, x.count / batch);
    fanin_buffer target = fanin_program_target(p);
    if (target.count != batch * (size_t)info->target_count)
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %lld targets a sample, the loss takes %zu", info->name,
                             (long long)info->target_count, target.count / batch);
    uint64_t *index = fanin_calloc(batch, sizeof *index);
    if (!index) return fanin_err_set(err, FANIN_NOMEM, "check: no memory");
    for (size_t i = 0; i < batch; i++) index[i] = info->train_count ? i % info->train_count : i;
    fanin_status status =
        fanin_dataset_samples(o->data, FANIN_TRAIN, index, batch, x.data, target.data, err);
    fanin_free(index);
    return status;
}

static fanin_status fill_inputs(const fanin_graph *g, const fanin_signal_options *o, uint64_t seed,
                                fanin_program *p, fanin_err *err) {
    if (o->data) return fill_from_data(o, p, err);
    char name[256];
    for (int i = 0; i < fanin_program_input_count(p); i++) {
        int v = g->inputs[i];
        if (o->inputs && o->inputs[i]) {
            FANIN_TRY(copy_input(o->inputs[i], fanin_program_input(p, i), g->values[v].name, err));
            continue;
        }
        snprintf(name, sizeof name, "check/input/%s", g->values[v].name);
        draw_buffer(seed, name, id_limit(g, v), fanin_program_input(p, i));
    }
    fanin_buffer y = fanin_program_output(p, 0);
    uint32_t classes = y.rank > 0 ? (uint32_t)y.dims[y.rank - 1] : 1;
    draw_buffer(seed, "check/target", classes, fanin_program_target(p));
    return FANIN_OK;
}

static fanin_status fill_weights(const fanin_graph *g, const fanin_init_options *init,
                                 const fanin_weights *weights, uint64_t seed, fanin_program *p,
                                 fanin_err *err) {
    if (!init) return fanin_weights_fill(g, NULL, weights, p, err);
    fanin_init_options seeded = *init;
    seeded.seed = seed;
    return fanin_weights_fill(g, &seeded, NULL, p, err);
}

/* ---- measuring one layer ----------------------------------------------------------------------- */

typedef struct moments {
    double sum, squares, largest;
    size_t count;
} moments;

static moments measure(fanin_buffer b) {
    moments m = {0};
    const float *v = b.data;
    for (size_t i = 0; v && i < b.count; i++) {
        double x = (double)v[i];
        m.sum += x;
        m.squares += x * x;
        if (!(fabs(x) <= m.largest)) m.largest = fabs(x);
    }
    m.count = v ? b.count : 0;
    return m;
}

static double root_mean_square(fanin_buffer b) {
    moments m = measure(b);
    return m.count ? sqrt(m.squares / (double)m.count) : NAN;
}

/* Mean over pairs of samples of the cosine between their rows: (|sum of unit rows|^2 - B) / (B (B - 1)). */
static fanin_status correlation(fanin_buffer s, size_t batch, double *out) {
    *out = NAN;
    size_t n = batch ? s.count / batch : 0;
    if (batch < 2 || n == 0) return FANIN_OK;
    double *sum = fanin_calloc(n, sizeof *sum);
    if (!sum) return FANIN_NOMEM;
    const float *v = s.data;
    size_t used = 0;
    for (size_t b = 0; b < batch; b++) {
        double norm = 0;
        for (size_t i = 0; i < n; i++) norm += (double)v[b * n + i] * (double)v[b * n + i];
        if (!(norm > 0)) continue;
        used++;
        norm = 1 / sqrt(norm);
        for (size_t i = 0; i < n; i++) sum[i] += (double)v[b * n + i] * norm;
    }
    double total = 0;
    for (size_t i = 0; i < n; i++) total += sum[i] * sum[i];
    if (used > 1) *out = (total - (double)used) / ((double)used * (double)(used - 1));
    fanin_free(sum);
    return FANIN_OK;
}

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

/* Shares of saturated activations and of dead units. A unit is a channel (axis 1) of a convolution's
 * output, the last axis otherwise. */
static fanin_status slopes(const fanin__layer *layer, fanin_buffer x, double *saturated,
                           double *dead) {
    *saturated = *dead = NAN;
    if (!layer->act || !x.data || x.count == 0 || x.rank < 2) return FANIN_OK;
    double largest;
    bool flat, bounded;
    slope_facts(layer->act, &largest, &flat, &bounded);
    size_t inner = 1, units = (size_t)x.dims[x.rank - 1];
    if (x.rank > 3) {
        units = (size_t)x.dims[1];
        for (int i = 2; i < x.rank; i++) inner *= (size_t)x.dims[i];
    }
    unsigned char *alive = fanin_calloc(units, 1);
    if (!alive) return FANIN_NOMEM;
    enum { CHUNK = 512 };
    float slope[CHUNK];
    const float *v = x.data;
    size_t small = 0;
    for (size_t at = 0; at < x.count; at += CHUNK) {
        size_t n = x.count - at < CHUNK ? x.count - at : CHUNK;
        fanin_activation_eval_f32(layer->act, 1, v + at, slope, n);
        for (size_t i = 0; i < n; i++) {
            small += (double)fabsf(slope[i]) < 0.05 * largest;
            if (slope[i] != 0) alive[(at + i) / inner % units] = 1;
        }
    }
    size_t off = 0;
    for (size_t u = 0; u < units; u++) off += !alive[u];
    if (bounded) *saturated = (double)small / (double)x.count;
    if (flat) *dead = (double)off / (double)units;
    fanin_free(alive);
    return FANIN_OK;
}

static void histogram(fanin_buffer b, double range, double scale, double *bins) {
    const float *v = b.data;
    for (size_t i = 0; v && i < b.count; i++) {
        double at = ((double)v[i] * scale / range + 1) / 2 * FANIN_HISTOGRAM_BINS;
        int bin = at < 0 ? 0 : at >= FANIN_HISTOGRAM_BINS ? FANIN_HISTOGRAM_BINS - 1 : (int)at;
        bins[bin] += 1.0 / (double)b.count;
    }
}

/* ---- symmetry ---------------------------------------------------------------------------------- */

static uint64_t hash_unit(const float *w, size_t start, size_t step, size_t inner,
                          size_t outer_step, size_t outer) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++) {
            uint32_t bits;
            float x = w[start + o * outer_step + i * step] + 0.0f; /* -0 is 0 */
            memcpy(&bits, &x, 4);
            h = (h ^ bits) * 0x100000001b3u;
        }
    return h;
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Share of units whose weights equal those of another unit. */
static fanin_status shared_units(const float *w, const fanin_value *value, bool in_out,
                                 double *share) {
    size_t units = (size_t)value->dims[in_out ? 1 : 0], count = 1, inner = 1;
    for (int i = 0; i < value->rank; i++) count *= (size_t)value->dims[i];
    for (int i = 2; i < value->rank; i++) inner *= (size_t)value->dims[i];
    *share = 0;
    if (units < 2 || count == 0) return FANIN_OK;
    uint64_t *hashes = fanin_calloc(units, sizeof *hashes);
    if (!hashes) return FANIN_NOMEM;
    size_t per_unit = count / units;
    for (size_t u = 0; u < units; u++)
        hashes[u] = in_out
                        ? hash_unit(w, u * inner, 1, inner, units * inner, (size_t)value->dims[0])
                        : hash_unit(w, u * per_unit, 1, per_unit, 0, 1);
    qsort(hashes, units, sizeof *hashes, compare_hashes);
    size_t same = 0;
    for (size_t u = 0; u < units; u++)
        same +=
            (u > 0 && hashes[u] == hashes[u - 1]) || (u + 1 < units && hashes[u] == hashes[u + 1]);
    fanin_free(hashes);
    *share = (double)same / (double)units;
    return FANIN_OK;
}

/* Equal weights are a symmetry only if the gradients do not break it: a zero output layer has them
 * different. Gradients may differ by rounding, so their rows are compared by sums. */
static fanin_status find_symmetry(const fanin_graph *g, const fanin__layer *layer, fanin_buffer w,
                                  fanin_buffer grad, bool *symmetric) {
    const fanin_value *value = &g->values[layer->weight];
    double share;
    *symmetric = false;
    FANIN_TRY(shared_units(w.data, value, layer->rows_are_inputs, &share));
    if (share < 0.5 || !grad.data) return FANIN_OK;
    float *rounded = fanin_calloc(grad.count, sizeof *rounded);
    if (!rounded) return FANIN_NOMEM;
    double size = root_mean_square(grad);
    const float *v = grad.data;
    for (size_t i = 0; i < grad.count; i++)
        rounded[i] = size > 0 ? (float)(round((double)v[i] / size * 1e3) / 1e3) : 0;
    fanin_status status = shared_units(rounded, value, layer->rows_are_inputs, &share);
    *symmetric = status == FANIN_OK && share >= 0.5;
    fanin_free(rounded);
    return status;
}

/* ---- one pass ---------------------------------------------------------------------------------- */

static void add_log(double *sum, double value) { *sum += log(value); }

static int weight_index(const fanin_program *p, int value) {
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        if (fanin_program_weight_value(p, i) == value) return i;
    return -1;
}

static fanin_status measure_layer(const fanin_graph *g, const fanin__layer *layer,
                                  const fanin_program *p, const fanin_signal_options *o,
                                  bool first_seed, fanin_layer_signal *out, fanin_err *err) {
    fanin_buffer s = fanin_program_value(p, layer->output),
                 ds = fanin_program_value_gradient(p, layer->output);
    if (!s.data || s.dtype != FANIN_F32)
        return fanin_err_set(err, FANIN_INTERNAL, "layer %s: its output was not kept", out->name);
    double batch = (double)o->batch;
    moments m = measure(s), dm = measure(ds);
    double mean = m.sum / (double)m.count, second = m.squares / (double)m.count, cosine, saturated,
           dead;
    if (first_seed) {
        out->rank = s.rank;
        memcpy(out->dims, s.dims, sizeof out->dims);
    }
    out->mean += mean;
    add_log(&out->second_moment, second);
    add_log(&out->std, sqrt(fmax(second - mean * mean, 0)));
    out->abs_max = fmax(out->abs_max, m.largest);
    add_log(&out->grad_norm, ds.data ? sqrt(batch * dm.squares) : NAN);
    add_log(&out->grad_std, ds.data ? batch * sqrt(dm.squares / (double)dm.count) : NAN);
    if (correlation(s, (size_t)o->batch, &cosine) != FANIN_OK) return FANIN_NOMEM;
    out->sample_correlation += cosine;
    fanin_buffer x = {0}, h = s;
    if (layer->act_input >= 0) {
        x = fanin_program_value(p, layer->act_input);
        h = fanin_program_value(p, layer->act_output);
    }
    if (slopes(layer, x, &saturated, &dead) != FANIN_OK) return FANIN_NOMEM;
    out->saturated += saturated;
    out->dead += dead;
    moments hm = measure(h);
    double h_mean = hm.count ? hm.sum / (double)hm.count : NAN;
    double h_std = hm.count ? sqrt(fmax(hm.squares / (double)hm.count - h_mean * h_mean, 0)) : NAN;
    out->h_mean += h_mean;
    out->h_std += h_std;
    double d_rms = ds.data ? batch * sqrt(dm.squares / (double)dm.count) : 0;
    if (first_seed) {
        out->h_range = hm.largest > 0 && isfinite(hm.largest)
                           ? fmin(hm.largest, 4 * (fabs(h_mean) + h_std))
                           : 1;
        out->grad_range = d_rms > 0 && isfinite(d_rms) ? 4 * d_rms : 1;
        histogram(h, out->h_range, 1, out->h_bins);
        histogram(ds, out->grad_range, batch, out->grad_bins);
    }
    int wi = weight_index(p, layer->weight);
    if (wi < 0) return FANIN_OK;
    fanin_buffer w = fanin_program_weight(p, wi), dw = fanin_program_gradient(p, wi);
    double w_rms = root_mean_square(w), dw_rms = root_mean_square(dw);
    add_log(&out->weight_std, w_rms);
    add_log(&out->weight_grad_std, dw_rms);
    add_log(&out->update_ratio, o->lr > 0 && w_rms > 0 ? o->lr * dw_rms / w_rms : NAN);
    bool symmetric;
    if (find_symmetry(g, layer, w, dw, &symmetric) != FANIN_OK) return FANIN_NOMEM;
    out->symmetric = out->symmetric || symmetric;
    return FANIN_OK;
}

static void finish_layer(fanin_layer_signal *l, int seeds) {
    double n = seeds;
    double *logs[] = {&l->second_moment, &l->std,        &l->grad_norm,
                      &l->grad_std,      &l->weight_std, &l->weight_grad_std,
                      &l->update_ratio};
    double *plain[] = {&l->mean, &l->sample_correlation, &l->saturated, &l->dead, &l->h_mean,
                       &l->h_std};
    for (size_t i = 0; i < FANIN_COUNT(logs); i++) *logs[i] = exp(*logs[i] / n);
    for (size_t i = 0; i < FANIN_COUNT(plain); i++) *plain[i] /= n;
}

/* Mean loss over uniform classes, or N(0,1) targets, given the outputs. */
static double expected_loss(const fanin_program *p, const char *loss) {
    fanin_buffer y = fanin_program_output(p, 0);
    const float *v = y.data;
    if (y.count == 0 || y.rank == 0) return NAN;
    if (strcmp(loss, "cross_entropy") != 0) {
        moments m = measure(y);
        return m.squares / (double)m.count + 1;
    }
    size_t classes = (size_t)y.dims[y.rank - 1], rows = y.count / classes;
    double total = 0;
    for (size_t r = 0; r < rows; r++) {
        double top = -INFINITY, sum = 0, mean = 0;
        for (size_t c = 0; c < classes; c++) top = fmax(top, (double)v[r * classes + c]);
        for (size_t c = 0; c < classes; c++) {
            sum += exp((double)v[r * classes + c] - top);
            mean += (double)v[r * classes + c] / (double)classes;
        }
        total += top + log(sum) - mean;
    }
    return total / (double)rows;
}

static const char *loss_of(const fanin_graph *g, const fanin_signal_options *o) {
    if (o->loss) return o->loss;
    if (o->data) return fanin_dataset_get_info(o->data)->classes ? "cross_entropy" : "mse";
    int rank = g->output_count ? g->values[g->outputs[0]].rank : 0;
    return rank == 2 || rank == 3 || rank < 0 ? "cross_entropy" : "mse";
}

static fanin_status run_seeds(const fanin_graph *g, const fanin_init_options *init,
                              const fanin_signal_options *o, const fanin__layer *layers,
                              fanin_signal *s, fanin_err *err) {
    const char *loss = loss_of(g, o);
    const fanin_program_options po = {
        .batch = o->batch, .loss = loss, .gradients = true, .keep_values = true};
    fanin_program *p;
    FANIN_TRY(fanin_program_create(g, &po, &p, err));
    fanin_status status = FANIN_OK;
    uint64_t seed = init ? init->seed : 0;
    for (int k = 0; k < o->seeds && status == FANIN_OK; k++) {
        if (fanin_interrupted())
            status = fanin_err_set(err, FANIN_INTERRUPTED, "stopped at seed %d of %d", k, o->seeds);
        if (status == FANIN_OK)
            status = fill_weights(g, init, o->weights, seed + (uint64_t)k, p, err);
        if (status == FANIN_OK) status = fill_inputs(g, o, seed + (uint64_t)k, p, err);
        if (status == FANIN_OK) status = fanin_program_run(p, err);
        for (int i = 0; i < s->layer_count && status == FANIN_OK; i++)
            status = measure_layer(g, &layers[i], p, o, k == 0, &s->layers[i], err);
        s->loss += fanin_program_loss(p) / o->seeds;
        s->expected_loss += expected_loss(p, loss) / o->seeds;
        if (o->progress.report) o->progress.report(o->progress.ctx, "check", k + 1, o->seeds);
    }
    s->memory = fanin_program_memory(p);
    fanin_program_destroy(p);
    if (status == FANIN_NOMEM) fanin_err_set(err, status, "check: no memory");
    return status;
}

fanin_status fanin_signal_measure(const fanin_graph *g, const fanin_init_options *init,
                                  const fanin_signal_options *options, fanin_signal **out,
                                  fanin_err *err) {
    *out = NULL;
    fanin_signal_options o = *options;
    if (o.batch == 0) o.batch = 32;
    if (o.seeds == 0) o.seeds = 1;
    if (o.thresholds.slope == 0) o.thresholds = fanin_thresholds_default();
    double start = fanin__seconds();
    fanin__layer *layers;
    int count;
    FANIN_TRY(fanin__layers_find(g, &layers, &count, err));
    fanin_signal *s = fanin_calloc(1, sizeof *s);
    fanin_status status = s ? FANIN_OK : FANIN_NOMEM;
    if (s && !(s->layers = fanin_calloc((size_t)count + 1, sizeof *s->layers)))
        status = FANIN_NOMEM;
    if (status == FANIN_OK) {
        s->layer_count = count;
        for (int i = 0; i < count; i++) {
            s->layers[i].name = g->values[layers[i].weight].name;
            s->layers[i].op = g->nodes[layers[i].node].op;
            s->layers[i].activation =
                layers[i].act_node >= 0 ? g->nodes[layers[i].act_node].op : NULL;
        }
        status = run_seeds(g, init, &o, layers, s, err);
    } else {
        fanin_err_set(err, status, "check: no memory");
    }
    fanin__layers_free(layers, count);
    if (status != FANIN_OK) {
        fanin_signal_destroy(s);
        return status;
    }
    for (int i = 0; i < count; i++) finish_layer(&s->layers[i], o.seeds);
    fanin__signal_judge(s, &o.thresholds);
    s->seconds = fanin__seconds() - start;
    *out = s;
    return FANIN_OK;
}

void fanin_signal_destroy(fanin_signal *s) {
    if (!s) return;
    fanin_free(s->layers);
    fanin_free(s);
}
