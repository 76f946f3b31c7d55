/* monitor.c - every layer while it learns: the figures of the probe, from a program of its own over a fixed
 * batch of test samples. Weights are copied there before a step, which is also what the step's update is
 * measured against. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "probe/figures.h"
#include "train/trainer.h"

enum { SAMPLES = 64 };

struct fanin__monitor {
    fanin_program *program;
    fanin__layer *layers;
    int layer_count;
    const char **names;
    int *weights; /* of the layers, in the program; -1: none */
    size_t batch;
    fanin_train_layer *now;
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
    uint64_t samples = t->options.monitor_samples ? t->options.monitor_samples : SAMPLES;
    if (t->info->test_count && samples > t->info->test_count) samples = t->info->test_count;
    m->batch = (size_t)samples;
    FANIN_TRY(fanin__train_plan(
        t,
        (fanin_program_options){.batch = (int64_t)samples, .gradients = true, .keep_values = true},
        &m->program, err));
    FANIN_TRY(make_layers(t, m, err));
    return load_samples(t, m->program, m->batch, err);
}

/* ---- one look ------------------------------------------------------------------------------------ */

enum { BINS = 1024 };

/* Share of exact zeros, and the 98th percentile of |h| to a bin (a 1024th of the largest). */
static void zeros_and_p98(fanin_buffer h, double *zeros, double *p98) {
    *zeros = *p98 = NAN;
    if (!h.data || h.count == 0 || h.dtype != FANIN_F32) return;
    const float *v = h.data;
    float largest = 0;
    size_t none = 0, bins[BINS] = {0}, seen = 0;
    for (size_t i = 0; i < h.count; i++) {
        none += v[i] == 0;
        largest = fmaxf(largest, fabsf(v[i]));
    }
    *zeros = (double)none / (double)h.count;
    if (!isfinite(largest)) return;
    *p98 = (double)largest;
    if (!(largest > 0)) return;
    for (size_t i = 0; i < h.count; i++) {
        size_t bin = (size_t)(fabsf(v[i]) / largest * BINS);
        bins[bin < BINS ? bin : BINS - 1]++;
    }
    for (size_t b = 0; b < BINS; b++) {
        seen += bins[b];
        if ((double)seen < 0.98 * (double)h.count) continue;
        *p98 = (double)largest * (double)(b + 1) / BINS;
        return;
    }
}

static fanin_status look(fanin_trainer *t, int i, fanin_err *err) {
    fanin__monitor *m = t->monitor;
    const fanin__layer *layer = &m->layers[i];
    fanin_layer_signal s = {0};
    fanin_status status = fanin__measure_layer(t->graph, layer, m->program, m->batch, 0, false, &s);
    if (status != FANIN_OK)
        return fanin_err_set(err, status, "layer %s: cannot be measured", m->names[i]);
    fanin__finish_layer(&s, 1);
    fanin_train_layer *now = &m->now[i];
    *now = (fanin_train_layer){.h_mean = s.h_mean,
                               .h_std = s.h_std,
                               .saturated = s.saturated,
                               .dead = s.dead,
                               .s_rms = sqrt(s.second_moment),
                               .gradient = s.grad_std,
                               .weight = s.weight_std,
                               .weight_gradient = s.weight_grad_std,
                               .update_ratio = NAN};
    int h = layer->act_output >= 0 ? layer->act_output : layer->output;
    zeros_and_p98(fanin_program_value(m->program, h), &now->zeros, &now->h_p98);
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

/* |after - before| / |before|. */
static double update_ratio(fanin_buffer before, fanin_buffer after) {
    const float *a = before.data, *b = after.data;
    double change = 0, size = 0;
    for (size_t i = 0; i < before.count; i++) {
        double d = (double)b[i] - (double)a[i];
        change += d * d;
        size += (double)a[i] * (double)a[i];
    }
    return size > 0 ? sqrt(change / size) : NAN;
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

fanin_status fanin__monitor_end(fanin_trainer *t, bool update, fanin_err *err) {
    fanin__monitor *m = t->monitor;
    for (int i = 0; i < m->layer_count && update; i++)
        if (m->weights[i] >= 0)
            m->now[i].update_ratio = update_ratio(fanin_program_weight(m->program, m->weights[i]),
                                                  fanin_program_weight(t->train, m->weights[i]));
    FANIN_TRY(keep(m, err));
    const fanin_train_monitor told = {m->now_step, m->layer_count, m->names, m->now};
    if (t->options.on_monitor) t->options.on_monitor(t->options.on_monitor_ctx, &told);
    return FANIN_OK;
}

/* ---- records ------------------------------------------------------------------------------------- */

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
    r->monitor_count = m->count;
    r->layer_count = m->layer_count;
    return FANIN_OK;
}
