/* signal.c - runs the real graph and measures every weighted layer.
 *
 * A measurement is a sum over seeds: magnitudes are averaged as logarithms (geometric means), shares and
 * means as they are. Everything is read from the program's kept values after one pass. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fanin/random.h"
#include "data/feed.h"
#include "probe/figures.h"
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

static int64_t drawn_id(const fanin_stream *s, uint32_t limit, size_t i) {
    uint32_t word;
    fanin_stream_words(s, 0, i, 1, &word);
    return (int64_t)(((uint64_t)word * limit) >> 32);
}

static void draw_ids(const fanin_stream *s, uint32_t limit, fanin_buffer b) {
    int64_t *ids = b.data;
    for (size_t i = 0; i < b.count; i++) ids[i] = drawn_id(s, limit, i);
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
    const fanin_dataset_info *info = fanin_dataset_get_info(o->data);
    size_t batch = (size_t)o->batch;
    FANIN_TRY(fanin__feed_fits(o->data, p, batch, err));
    uint64_t *index = fanin_calloc(batch, sizeof *index);
    if (!index) return fanin_err_set(err, FANIN_NOMEM, "check: no memory");
    for (size_t i = 0; i < batch; i++) index[i] = info->train_count ? i % info->train_count : i;
    fanin_status status = fanin__feed_load(o->data, FANIN_TRAIN, index, batch, p, err);
    fanin_free(index);
    return status;
}

/* Targets as the loss wants them: classes, shares of 0 or 1, rows with one 1, or N(0, 1). */
static fanin_status draw_target(const char *loss, uint64_t seed, fanin_program *p, fanin_err *err) {
    fanin_loss_info info;
    FANIN_TRY(fanin_loss_find(loss, &info, err));
    fanin_buffer target = fanin_program_target(p), y = fanin_program_output(p, 0);
    uint32_t columns = y.rank > 0 ? (uint32_t)y.dims[y.rank - 1] : 1;
    if (info.target == FANIN_TARGET_CLASS || info.target == FANIN_TARGET_REAL) {
        draw_buffer(seed, "check/target", (uint32_t)fanin_program_classes(p), target);
        return FANIN_OK;
    }
    fanin_stream s = fanin_stream_init(seed, "check/target");
    float *t = target.data;
    bool rows = info.target == FANIN_TARGET_DISTRIBUTION;
    size_t step = rows ? columns : 1;
    memset(t, 0, target.count * sizeof *t);
    for (size_t i = 0; i < target.count / step; i++) {
        int64_t id = drawn_id(&s, rows ? columns : 2, i);
        t[rows ? i * step + (size_t)id : i] = rows ? 1 : (float)id;
    }
    return FANIN_OK;
}

static fanin_status fill_inputs(const fanin_graph *g, const fanin_signal_options *o,
                                const char *loss, uint64_t seed, fanin_program *p, fanin_err *err) {
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
    return draw_target(loss, seed, p, err);
}

static fanin_status fill_weights(const fanin_graph *g, const fanin_init_options *init,
                                 const fanin_weights *weights, uint64_t seed, fanin_program *p,
                                 fanin_err *err) {
    if (!init) return fanin_weights_fill(g, NULL, weights, p, err);
    fanin_init_options seeded = *init;
    seeded.seed = seed;
    return fanin_weights_fill(g, &seeded, NULL, p, err);
}

/* ---- one pass ---------------------------------------------------------------------------------- */

typedef struct pass {
    const fanin_graph *graph;
    const fanin__layer *layers;
    const fanin_program *program;
    size_t batch;
    double lr;
    bool first_seed;
    fanin_signal *signal;
    fanin_status *status; /* by layer */
} pass;

static void measure_range(void *arg, size_t begin, size_t end) {
    const pass *s = arg;
    for (size_t i = begin; i < end; i++)
        s->status[i] = fanin__measure_layer(s->graph, &s->layers[i], s->program, s->batch, s->lr,
                                            s->first_seed, &s->signal->layers[i]);
}

static fanin_status measure_all(pass *s, fanin_err *err) {
    size_t n = (size_t)s->signal->layer_count;
    s->status = fanin_calloc(n + 1, sizeof *s->status);
    if (!s->status) return fanin_err_set(err, FANIN_NOMEM, "check: no memory");
    fanin_parallel_for(n, 1, measure_range, s);
    fanin_status status = FANIN_OK;
    for (size_t i = 0; i < n && status == FANIN_OK; i++) {
        status = s->status[i];
        if (status == FANIN_INTERNAL)
            fanin_err_set(err, status, "layer %s: its output was not kept",
                          s->signal->layers[i].name);
        else if (status != FANIN_OK)
            fanin_err_set(err, status, "layer %s: no memory to measure it",
                          s->signal->layers[i].name);
    }
    fanin_free(s->status);
    return status;
}

/* A zero output layer (Fixup, muP) sends no gradient back: every layer below looks symmetric if its weights
 * are equal, zero say. Whether they stay so shows after the output layer's first step. */
static fanin_status judge_symmetry_again(pass *s, fanin_program *p, fanin_err *err) {
    int n = s->signal->layer_count, some = 0;
    for (int i = 0; i < n; i++) some += s->signal->layers[i].symmetric;
    int last = n > 0 ? fanin__weight_index(p, s->layers[n - 1].weight) : -1;
    if (!some || last < 0) return FANIN_OK;
    fanin_buffer w = fanin_program_weight(p, last), g = fanin_program_gradient(p, last);
    double size = fanin__root_mean_square(g);
    if (fanin__root_mean_square(w) != 0 || !g.data || !(size > 0)) return FANIN_OK;
    for (size_t i = 0; i < w.count; i++)
        ((float *)w.data)[i] = (float)(-0.1 / size * (double)((const float *)g.data)[i]);
    FANIN_TRY(fanin_program_run(p, err));
    for (int i = 0; i < n; i++) {
        fanin_layer_signal *l = &s->signal->layers[i];
        int at = fanin__weight_index(p, s->layers[i].weight);
        if (!l->symmetric || at < 0) continue;
        if (fanin__find_symmetry(s->graph, &s->layers[i], fanin_program_weight(p, at),
                                 fanin_program_gradient(p, at), &l->symmetric) != FANIN_OK)
            return fanin_err_set(err, FANIN_NOMEM, "check: no memory");
    }
    return FANIN_OK;
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
    fanin_buffer x = fanin_program_input(p, 0);
    double variance = 0;
    pass now = {.graph = g,
                .layers = layers,
                .program = p,
                .batch = x.rank > 0 ? (size_t)x.dims[0] : 1,
                .lr = o->lr,
                .signal = s};
    for (int k = 0; k < o->seeds && status == FANIN_OK; k++) {
        if (fanin_interrupted())
            status = fanin_err_set(err, FANIN_INTERRUPTED, "stopped at seed %d of %d", k, o->seeds);
        if (status == FANIN_OK)
            status = fill_weights(g, init, o->weights, seed + (uint64_t)k, p, err);
        if (status == FANIN_OK) status = fill_inputs(g, o, loss, seed + (uint64_t)k, p, err);
        if (status == FANIN_OK) status = fanin_program_run(p, err);
        if (status != FANIN_OK) break;
        double expected, spread;
        now.first_seed = k == 0;
        fanin__expect_loss(p, loss, &expected, &spread);
        s->loss += fanin_program_loss(p) / o->seeds;
        s->expected_loss += expected / o->seeds;
        variance += spread;
        status = measure_all(&now, err);
        if (status == FANIN_OK) status = judge_symmetry_again(&now, p, err);
        if (o->progress.report) o->progress.report(o->progress.ctx, "check", k + 1, o->seeds);
    }
    s->loss_error = sqrt(variance) / o->seeds;
    s->memory = fanin_program_memory(p);
    fanin_program_destroy(p);
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
            s->layers[i].predicted_second_moment = s->layers[i].predicted_correlation = NAN;
            s->layers[i].predicted_grad_norm = s->layers[i].target_second_moment = NAN;
            if (layers[i].act_text[0] &&
                !(s->layers[i].activation = fanin__strdup(layers[i].act_text)))
                status = FANIN_NOMEM;
        }
    }
    if (status == FANIN_OK)
        status = run_seeds(g, init, &o, layers, s, err);
    else
        fanin_err_set(err, status, "check: no memory");
    fanin__layers_free(layers, count);
    if (status != FANIN_OK) {
        fanin_signal_destroy(s);
        return status;
    }
    for (int i = 0; i < count; i++) fanin__finish_layer(&s->layers[i], o.seeds);
    fanin__signal_judge(s, &o.thresholds, o.data && !init);
    s->seconds = fanin__seconds() - start;
    *out = s;
    return FANIN_OK;
}

void fanin_signal_destroy(fanin_signal *s) {
    if (!s) return;
    for (int i = 0; i < s->layer_count && s->layers; i++)
        fanin_free((void *)(uintptr_t)s->layers[i].activation);
    fanin_free(s->layers);
    fanin_free(s);
}
