/* fill.c - weights, inputs and targets of the programs that a check runs: the same for each of them. */
#include "probe/fill.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "data/feed.h"
#include "fanin/random.h"

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
            return fanin_err_set(err, FANIN_FORMAT, "input %s: the array is %s, the graph takes %s",
                                 name, fanin_dtype_name(a->dtype), fanin_dtype_name(b.dtype));
        ((float *)b.data)[i] = (float)v;
    }
    return FANIN_OK;
}

/* Samples alone, into a program without a loss. */
static fanin_status load_samples(const fanin_dataset *d, const uint64_t *index, size_t n,
                                 fanin_program *p, fanin_err *err) {
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    fanin_buffer x = fanin_program_input(p, 0);
    size_t each = info->classes ? 1 : (size_t)info->target_count;
    if (x.count != n * fanin_dataset_sample_size(info) ||
        (x.dtype != FANIN_F32 && x.dtype != FANIN_I64))
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %zu numbers a sample, the network takes %zu", info->name,
                             fanin_dataset_sample_size(info), x.count / n);
    float *numbers = fanin_calloc(x.count + 1, sizeof *numbers);
    void *targets = fanin_calloc(n * each + 1, sizeof(int64_t));
    fanin_status status = numbers && targets ? FANIN_OK : FANIN_NOMEM;
    if (status == FANIN_OK)
        status = fanin_dataset_samples(d, FANIN_TRAIN, index, n, numbers, targets, err);
    else
        fanin_err_set(err, status, "data set %s: no memory", info->name);
    for (size_t i = 0; i < x.count && status == FANIN_OK; i++) {
        if (x.dtype == FANIN_I64)
            ((int64_t *)x.data)[i] = (int64_t)numbers[i];
        else
            ((float *)x.data)[i] = numbers[i];
    }
    fanin_free(numbers);
    fanin_free(targets);
    return status;
}

static fanin_status fill_from_data(const fanin_signal_options *o, fanin_program *p,
                                   fanin_err *err) {
    const fanin_dataset_info *info = fanin_dataset_get_info(o->data);
    size_t batch = (size_t)o->batch;
    bool targets = fanin_program_target(p).data != NULL;
    if (targets) FANIN_TRY(fanin__feed_fits(o->data, p, batch, err));
    uint64_t *index = fanin_calloc(batch, sizeof *index);
    if (!index) return fanin_err_set(err, FANIN_NOMEM, "check: no memory");
    for (size_t i = 0; i < batch; i++) index[i] = info->train_count ? i % info->train_count : i;
    fanin_status status = targets ? fanin__feed_load(o->data, FANIN_TRAIN, index, batch, p, err)
                                  : load_samples(o->data, index, batch, p, err);
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

static fanin_status fill_inputs(const fanin__subject *s, fanin_program *p, fanin_err *err) {
    const fanin_graph *g = s->graph;
    const fanin_signal_options *o = s->options;
    if (o->data) return fill_from_data(o, p, err);
    char name[256];
    for (int i = 0; i < fanin_program_input_count(p); i++) {
        int v = g->inputs[i];
        if (o->inputs && o->inputs[i]) {
            FANIN_TRY(copy_input(o->inputs[i], fanin_program_input(p, i), g->values[v].name, err));
            continue;
        }
        snprintf(name, sizeof name, "check/input/%s", g->values[v].name);
        draw_buffer(s->seed, name, id_limit(g, v), fanin_program_input(p, i));
    }
    return fanin_program_target(p).data ? draw_target(s->loss, s->seed, p, err) : FANIN_OK;
}

fanin_status fanin__fill_program(const fanin__subject *s, fanin_program *p, fanin_err *err) {
    if (s->plan) {
        fanin_plan_reseed(s->plan, s->seed);
        FANIN_TRY(fanin_plan_apply(s->plan, p, err));
    } else {
        FANIN_TRY(fanin_weights_fill(s->graph, NULL, s->options->weights, p, err));
    }
    return fill_inputs(s, p, err);
}
