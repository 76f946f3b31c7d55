/* monitor.c - every layer while it learns: the figures of the probe, from a program of its own over a fixed
 * batch of test samples. Weights are copied there before a step, which is also what the step's update is
 * measured against. */
#include <math.h>
#include <string.h>

#include "probe/figures.h"
#include "train/trainer.h"

enum { SAMPLES = 16 }; /* or the batch: a look costs three to four steps of batch 10 */

struct fanin__monitor {
    fanin_program *program;
    fanin__layer *layers;
    int layer_count;
    const char **names;
    int *weights; /* of the layers, in the program; -1: none */
    size_t batch;
    fanin_train_layer *now;
    fanin_layer_signal *last; /* with distributions, of the last look */
    uint64_t now_step;
    uint64_t *steps;
    fanin_train_layer *records;
    size_t count, step_capacity, record_capacity;
};

void fanin__monitor_destroy(fanin__monitor *m) {
    if (!m) return;
    fanin_program_destroy(m->program);
    fanin__layers_free(m->layers, m->layer_count);
    fanin_free(m->names);
    fanin_free(m->weights);
    fanin_free(m->now);
    fanin_free(m->last);
    fanin_free(m->steps);
    fanin_free(m->records);
    fanin_free(m);
}

static fanin_status load_samples(fanin_trainer *t, fanin_program *p, size_t batch, fanin_err *err) {
    uint64_t *index = fanin_calloc(batch, sizeof *index);
    if (!index) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    for (size_t i = 0; i < batch; i++) index[i] = i;
    fanin_status status = fanin__feed_load(t->data, FANIN_TEST, index, batch, p, err);
    fanin_free(index);
    return status;
}

static fanin_status make_layers(fanin_trainer *t, fanin__monitor *m, fanin_err *err) {
    FANIN_TRY(fanin__layers_find(t->graph, &m->layers, &m->layer_count, err));
    size_t n = (size_t)m->layer_count + 1;
    m->names = fanin_calloc(n, sizeof *m->names);
    m->weights = fanin_calloc(n, sizeof *m->weights);
    m->now = fanin_calloc(n, sizeof *m->now);
    if (!m->names || !m->weights || !m->now)
        return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    for (int i = 0; i < m->layer_count; i++) {
        m->names[i] = t->graph->values[m->layers[i].weight].name;
        m->weights[i] = fanin__weight_index(m->program, m->layers[i].weight);
    }
    return FANIN_OK;
}

fanin_status fanin__monitor_create(fanin_trainer *t, fanin_err *err) {
    fanin__monitor *m = t->monitor = fanin_calloc(1, sizeof *m);
    if (!m) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    uint64_t samples = t->options.monitor_samples;
    if (!samples) samples = t->options.batch > SAMPLES ? (uint64_t)t->options.batch : SAMPLES;
    if (t->info->test_count && samples > t->info->test_count) samples = t->info->test_count;
    m->batch = (size_t)samples;
    FANIN_TRY(fanin__train_plan(
        t,
        (fanin_program_options){.batch = (int64_t)samples, .gradients = true, .keep_values = true},
        &m->program, err));
    FANIN_TRY(make_layers(t, m, err));
    return load_samples(t, m->program, m->batch, err);
}

/* ---- norms of weights ----------------------------------------------------------------------------- */

/* Sum of (a - b)^2, b NULL: 0. A look reads all weights four times, which is most of what it costs: blocks are summed
 * in float, and again in double where that is out of its range. */
enum { BLOCK = 512, LANES = 8 };

static double squares_in_double(size_t n, const float *a, const float *b) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (b ? (double)b[i] : 0);
        sum += d * d;
    }
    return sum;
}

static double squares_of_block(const float *a, const float *b) {
    float lanes[LANES] = {0}, sum = 0;
    if (b)
        for (size_t i = 0; i < BLOCK; i += LANES)
            for (size_t k = 0; k < LANES; k++) {
                float d = a[i + k] - b[i + k];
                lanes[k] += d * d;
            }
    else
        for (size_t i = 0; i < BLOCK; i += LANES)
            for (size_t k = 0; k < LANES; k++) lanes[k] += a[i + k] * a[i + k];
    for (size_t k = 0; k < LANES; k++) sum += lanes[k];
    return sum > 1e-25f && sum < 1e30f ? (double)sum : squares_in_double(BLOCK, a, b);
}

static double squares(size_t n, const float *a, const float *b) {
    double sum = 0;
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) sum += squares_of_block(a + i, b ? b + i : NULL);
    return sum + squares_in_double(n - i, a + i, b ? b + i : NULL);
}

static double root_mean_square(fanin_buffer b) {
    if (!b.data || b.count == 0) return NAN;
    return sqrt(squares(b.count, b.data, NULL) / (double)b.count);
}

/* ---- one look ------------------------------------------------------------------------------------ */

enum { BINS = 1024 };

/* Mean, deviation, share of exact zeros and largest size; lanes let the loop run as vectors, their order of
 * addition is fixed. */
static float measure_h(fanin_buffer h, fanin_train_layer *now) {
    const float *v = h.data;
    double sum[LANES] = {0}, squares[LANES] = {0}, n = (double)h.count, first = 0, second = 0;
    float largest[LANES] = {0};
    size_t none[LANES] = {0}, zeros = 0;
    for (size_t i = 0; i < h.count; i++) {
        size_t k = i % LANES;
        double x = (double)v[i];
        float size = fabsf(v[i]);
        sum[k] += x;
        squares[k] += x * x;
        none[k] += v[i] == 0;
        largest[k] = size > largest[k] ? size : largest[k];
    }
    for (size_t k = 0; k < LANES; k++) {
        first += sum[k] / n;
        second += squares[k] / n;
        zeros += none[k];
        largest[0] = fmaxf(largest[0], largest[k]);
    }
    now->h_mean = first;
    now->h_std = sqrt(fmax(second - first * first, 0));
    now->zeros = (double)zeros / n;
    return largest[0];
}

/* The 98th percentile of |h| to a bin, a 1024th of the largest. */
static double percentile(fanin_buffer h, float largest) {
    const float *v = h.data;
    size_t bins[BINS] = {0}, seen = 0;
    if (!isfinite(largest) || !(largest > 0)) return (double)largest;
    const float scale = BINS / largest;
    for (size_t i = 0; i < h.count; i++) {
        float at = fabsf(v[i]) * scale;
        bins[at < BINS ? (size_t)at : BINS - 1]++;
    }
    for (size_t b = 0; b < BINS; b++) {
        seen += bins[b];
        if ((double)seen >= 0.98 * (double)h.count) return (double)largest * (double)(b + 1) / BINS;
    }
    return (double)largest;
}

/* One layer. What the probe computes besides (likeness, symmetry, histograms) is left out: a look has to cost
 * no more than a few steps. An activation spelled out in several nodes has no h; s is taken for it. */
static fanin_status look(fanin_trainer *t, int i, fanin_err *err) {
    fanin__monitor *m = t->monitor;
    const fanin__layer *layer = &m->layers[i];
    fanin_train_layer *now = &m->now[i];
    fanin_buffer s = fanin_program_value(m->program, layer->output), x = {0};
    fanin_buffer h =
        layer->act_output >= 0 ? fanin_program_value(m->program, layer->act_output) : s;
    *now = (fanin_train_layer){
        .h_mean = NAN, .h_std = NAN, .h_p98 = NAN, .zeros = NAN, .update_ratio = NAN};
    if (layer->act_input >= 0) x = fanin_program_value(m->program, layer->act_input);
    if (x.dtype != FANIN_F32) x.data = NULL;
    if (fanin__measure_slopes(layer, x, false, &now->saturated, &now->dead) != FANIN_OK)
        return fanin_err_set(err, FANIN_NOMEM, "layer %s: no memory to look at it", m->names[i]);
    if (h.data && h.count && h.dtype == FANIN_F32) now->h_p98 = percentile(h, measure_h(h, now));
    now->s_rms = fanin__root_mean_square(s);
    /* the loss is a mean over the batch: a sample's own gradient is so many times larger */
    now->gradient = (double)m->batch * fanin__root_mean_square(
                                           fanin_program_value_gradient(m->program, layer->output));
    now->weight = now->weight_gradient = NAN;
    if (m->weights[i] < 0) return FANIN_OK;
    now->weight = root_mean_square(fanin_program_weight(m->program, m->weights[i]));
    now->weight_gradient = root_mean_square(fanin_program_gradient(m->program, m->weights[i]));
    return FANIN_OK;
}

fanin_status fanin__monitor_begin(fanin_trainer *t, fanin_err *err) {
    fanin__monitor *m = t->monitor;
    m->now_step = t->state.step;
    fanin__weights_copy(t->train, m->program);
    fanin_program_set_run(m->program, m->now_step);
    FANIN_TRY(fanin_program_run(m->program, err));
    for (int i = 0; i < m->layer_count; i++) FANIN_TRY(look(t, i, err));
    return FANIN_OK;
}

static fanin_status keep(fanin__monitor *m, fanin_err *err) {
    size_t n = (size_t)m->layer_count;
    void *steps = m->steps, *records = m->records;
    fanin_status status =
        fanin__train_grow(&steps, m->count, &m->step_capacity, sizeof *m->steps, err);
    m->steps = steps;
    FANIN_TRY(status);
    status = fanin__train_grow(&records, m->count, &m->record_capacity,
                               (n + 1) * sizeof *m->records, err);
    m->records = records;
    FANIN_TRY(status);
    m->steps[m->count] = m->now_step;
    memcpy(m->records + m->count * n, m->now, n * sizeof *m->now);
    m->count++;
    return FANIN_OK;
}

/* |after - before| / |before|; the root mean square of before is known. */
static double update_ratio(fanin_buffer before, fanin_buffer after, double size) {
    double change = sqrt(squares(before.count, after.data, before.data) / (double)before.count);
    return size > 0 ? change / size : NAN;
}

fanin_status fanin__monitor_end(fanin_trainer *t, bool update, fanin_err *err) {
    fanin__monitor *m = t->monitor;
    for (int i = 0; i < m->layer_count && update; i++)
        if (m->weights[i] >= 0)
            m->now[i].update_ratio =
                update_ratio(fanin_program_weight(m->program, m->weights[i]),
                             fanin_program_weight(t->train, m->weights[i]), m->now[i].weight);
    FANIN_TRY(keep(m, err));
    const fanin_train_monitor told = {m->now_step, m->layer_count, m->names, m->now};
    if (t->options.on_monitor) t->options.on_monitor(t->options.on_monitor_ctx, &told);
    return FANIN_OK;
}

/* At the end of a run a look may cost more: the probe's figures with their distributions. */
fanin_status fanin__monitor_last(fanin_trainer *t, fanin_err *err) {
    fanin__monitor *m = t->monitor;
    fanin_free(m->last);
    m->last = fanin_calloc((size_t)m->layer_count + 1, sizeof *m->last);
    if (!m->last) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    for (int i = 0; i < m->layer_count; i++) {
        fanin_layer_signal *l = &m->last[i];
        l->name = m->names[i];
        l->op = t->graph->nodes[m->layers[i].node].op;
        fanin_status status =
            fanin__measure_layer(t->graph, &m->layers[i], m->program, m->batch, 0, true, l);
        if (status != FANIN_OK)
            return fanin_err_set(err, status, "layer %s: cannot be measured", m->names[i]);
        fanin__finish_layer(l, 1);
    }
    return FANIN_OK;
}

/* ---- records ------------------------------------------------------------------------------------- */

bool fanin__monitor_has(const fanin__monitor *m, uint64_t step) {
    return m->count && m->steps[m->count - 1] == step;
}

size_t fanin__monitor_count(const fanin__monitor *m, int *layers, const uint64_t **steps,
                            const fanin_train_layer **records) {
    *layers = m->layer_count;
    *steps = m->steps;
    *records = m->records;
    return m->count;
}

fanin_status fanin__monitor_restore(fanin__monitor *m, size_t count, const uint64_t *steps,
                                    const fanin_train_layer *records, fanin_err *err) {
    m->count = 0;
    for (size_t i = 0; i < count; i++) {
        m->now_step = steps[i];
        memcpy(m->now, records + i * (size_t)m->layer_count,
               (size_t)m->layer_count * sizeof *m->now);
        FANIN_TRY(keep(m, err));
    }
    return FANIN_OK;
}

fanin_status fanin__monitor_result(const fanin__monitor *m, fanin_train_result *r, fanin_err *err) {
    size_t n = (size_t)m->layer_count;
    r->layer_names = fanin_calloc(n + 1, sizeof *r->layer_names);
    r->monitor_steps = fanin_calloc(m->count + 1, sizeof *r->monitor_steps);
    r->monitors = fanin_calloc(m->count * n + 1, sizeof *r->monitors);
    if (!r->layer_names || !r->monitor_steps || !r->monitors)
        return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    memcpy(r->layer_names, m->names, n * sizeof *r->layer_names);
    if (m->count) {
        memcpy(r->monitor_steps, m->steps, m->count * sizeof *r->monitor_steps);
        memcpy(r->monitors, m->records, m->count * n * sizeof *r->monitors);
    }
    if (m->last) {
        r->last_look = fanin_calloc(n + 1, sizeof *r->last_look);
        if (!r->last_look) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
        memcpy(r->last_look, m->last, n * sizeof *r->last_look);
    }
    r->monitor_count = m->count;
    r->layer_count = m->layer_count;
    return FANIN_OK;
}
