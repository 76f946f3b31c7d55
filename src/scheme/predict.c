/* predict.c - what the signal rules say of a network and its weights. */
#include "scheme/predict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static fanin_status no_memory(fanin_err *err) {
    return fanin_err_set(err, FANIN_NOMEM, "no memory for a prediction");
}

/* ---- laws of weights ----------------------------------------------------------------------------- */

const fanin_tensor_info *fanin__analysis_tensor(const fanin__analysis *a, int weight) {
    int t = weight >= 0 ? a->tensor_of[a->program->weights[weight].value] : -1;
    return t >= 0 ? &a->tensors->items[t] : NULL;
}

static fanin__weight_law law_of(void *ctx, const fanin__weight_use *use) {
    fanin__analysis *a = ctx;
    int value = a->program->weights[use->weight].value, t = a->tensor_of[value];
    if (t < 0) return (fanin__weight_law){0, 0, 0};
    const fanin_tensor_info *info = &a->tensors->items[t];
    fanin__law_of *law = &a->laws[t];
    if (use->layer) {
        char why[sizeof law->why];
        double target = fanin__auto_target(a, info, use, why, sizeof why);
        bool first = isnan(law->target) && use->unit > 0;
        law->state = law->state || !(use->unit > 0);
        law->uses++;
        if (first) {
            law->target = target;
            law->unit = law->state && law->late > 0 ? law->late : use->unit;
            law->stream = use->stream;
            law->common = use->common;
            law->node = use->node;
            law->input = use->input;
            memcpy(law->why, why, sizeof why);
        }
    }
    if (!law->fixed) fanin__auto_choose(a, info, law, use);
    return (fanin__weight_law){law->mean, law->var, law->centered};
}

fanin_status fanin__analysis_create(const fanin_graph *g, const fanin_tensors *tensors,
                                    const char *loss, fanin__analysis *a, fanin_err *err) {
    *a = (fanin__analysis){.graph = g, .tensors = tensors, .classes = NAN};
    FANIN_TRY(fanin__loss_parse(loss ? loss : fanin_graph_default_loss(g), &a->loss, err));
    a->tensor_of = fanin_calloc((size_t)g->value_count + 1, sizeof *a->tensor_of);
    a->laws = fanin_calloc((size_t)tensors->count + 1, sizeof *a->laws);
    if (!a->tensor_of || !a->laws) {
        fanin__analysis_fini(a);
        return no_memory(err);
    }
    for (int i = 0; i < g->value_count; i++) a->tensor_of[i] = -1;
    for (int i = 0; i < tensors->count; i++) {
        a->tensor_of[tensors->items[i].value] = i;
        a->laws[i].unit = a->laws[i].stream = a->laws[i].target = NAN;
    }
    return FANIN_OK;
}

void fanin__analysis_fini(fanin__analysis *a) {
    fanin_free(a->tensor_of);
    fanin_free(a->laws);
    a->tensor_of = NULL;
    a->laws = NULL;
}

/* ---- the run --------------------------------------------------------------------------------------- */

const char *fanin_graph_default_loss(const fanin_graph *g) {
    int rank = g->output_count ? g->values[g->outputs[0]].rank : 0;
    return rank == 2 || rank == 3 || rank < 0 ? "cross_entropy" : "mse";
}

/* Sizes that the graph leaves open, other than the batch: images of 224, sequences of 128. */
static void open_sizes(const fanin_graph *g, int64_t batch, int64_t dims[8][FANIN_MAX_RANK],
                       fanin_program_options *o) {
    for (int i = 0; i < g->input_count && i < 8; i++) {
        const fanin_value *v = &g->values[g->inputs[i]];
        bool open = false;
        for (int k = 0; k < v->rank; k++) {
            dims[i][k] = v->dims[k];
            if (v->dims[k] >= 0) continue;
            open = open || k > 0;
            dims[i][k] = k == 0 ? batch : v->rank >= 4 ? 224 : 128;
        }
        if (open) o->input_dims[i] = dims[i];
    }
}

static fanin_status name_place(const fanin__analysis *a, const int *nodes, const fanin__signal *s,
                               fanin_err *err) {
    const fanin_graph *g = a->graph;
    const char *op = "", *name = "";
    for (int i = 0; i < g->node_count && s->failed_node >= 0; i++)
        for (int k = 0; k < g->nodes[i].output_count; k++) {
            int v = g->nodes[i].outputs[k];
            if (v < 0 || nodes[v] < s->failed_node || op[0]) continue;
            op = g->nodes[i].op;
            name = g->nodes[i].name && g->nodes[i].name[0] ? g->nodes[i].name : g->values[v].name;
        }
    return fanin_err_set(err, s->err.status, "%.120s: %s '%.120s': %.240s", g->name, op, name,
                         s->err.message);
}

static void read_values(const fanin__analysis *a, const int *nodes, const fanin__signal *s,
                        double batch, fanin_prediction *out) {
    for (int i = 0; i < a->graph->value_count; i++) {
        fanin_value_prediction *p = &out->values[i];
        fanin__sites m;
        if (nodes[i] < 0 || !fanin__signal_read(s, nodes[i], &m)) continue;
        double elements = (double)s->ir->nodes[nodes[i]].count / batch;
        p->mean = m.mean;
        p->second_moment = m.q;
        p->correlation = m.q > 0 ? m.a / m.q : NAN;
        p->grad_norm = sqrt(fanin__signal_gradient(s, nodes[i]) * elements);
    }
    for (int i = 0; i < a->tensors->count; i++)
        out->targets[a->tensors->items[i].value] = a->laws[i].target;
}

static fanin_status one_run(fanin__analysis *a, const fanin_predict_options *o, fanin_program *p,
                            const int *nodes, fanin_prediction *out, fanin_err *err) {
    const fanin_graph *g = a->graph;
    fanin__signal s;
    fanin__signal_options so = {.law = law_of, .ctx = a, .mean = 0, .second = 1};
    if (o->input_second > 0) {
        so.mean = o->input_mean;
        so.second = o->input_second;
        so.correlation = o->input_correlation;
    }
    if (g->output_count < 1) return fanin_err_set(err, FANIN_ARG, "%s has no output", g->name);
    int output = nodes[g->outputs[0]];
    const fanin__node *n = &p->ir.nodes[output];
    if (a->loss.kind == FANIN__LOSS_CROSS_ENTROPY && n->rank > 0)
        a->classes = (double)n->dims[n->rank - 1];
    int *outputs = fanin_calloc((size_t)g->output_count, sizeof *outputs);
    if (!outputs) return no_memory(err);
    for (int i = 0; i < g->output_count; i++) outputs[i] = nodes[g->outputs[i]];
    fanin_status status = fanin__signal_create(&p->ir, outputs, g->output_count, &so, &s);
    fanin__sites m;
    if (status == FANIN_OK && (out || a->balance) && fanin__signal_read(&s, output, &m)) {
        double batch = n->rank > 0 && n->dims[0] > 0 ? (double)n->dims[0] : 1;
        status = fanin__signal_backward(&s, output, fanin__signal_loss(&s, output, &a->loss));
        if (status == FANIN_OK && out) read_values(a, nodes, &s, batch, out);
        if (status == FANIN_OK && a->balance && !a->again) status = fanin__balance_read(a, &s, err);
    }
    if (s.failed) status = name_place(a, nodes, &s, err);
    fanin__signal_fini(&s);
    fanin_free(outputs);
    return status;
}

/* A state grows over its first steps: its weight is chosen for the last. */
static void settle_states(fanin__analysis *a) {
    for (int i = 0; i < a->tensors->count; i++) {
        fanin__law_of *law = &a->laws[i];
        if (law->fixed || !law->state || !(law->now > 0)) continue;
        if (fabs(law->late / law->now - 1) > 0.05) a->again = true;
        law->late = law->now;
    }
}

/* The graph with what it keeps as constants: a mask is known element by element. The values are the caller's. */
static fanin_graph with_constants(const fanin__analysis *a, fanin_value *values) {
    fanin_graph g = *a->graph;
    memcpy(values, g.values, (size_t)g.value_count * sizeof *values);
    for (int i = 0; i < a->tensors->count; i++) {
        const fanin_tensor_info *info = &a->tensors->items[i];
        fanin_value *v = &values[info->value];
        if (info->tensor.cls != FANIN_CLASS_CONSTANT || !v->data) continue;
        v->flags = (v->flags & ~(unsigned)FANIN_VALUE_INITIALIZER) | FANIN_VALUE_CONSTANT;
    }
    g.values = values;
    return g;
}

fanin_status fanin__analysis_run(fanin__analysis *a, const fanin_predict_options *o,
                                 fanin_prediction *out, fanin_err *err) {
    enum { BATCH = 32, RUNS = 4 };
    const fanin_graph *g = a->graph;
    int64_t dims[8][FANIN_MAX_RANK], batch = o->batch > 0 ? o->batch : BATCH;
    fanin_program_options po = {.batch = batch};
    open_sizes(g, batch, dims, &po);
    size_t count = (size_t)g->value_count + 1;
    int *nodes = fanin_calloc(count, sizeof *nodes);
    fanin_value *values = fanin_calloc(count, sizeof *values);
    if (!nodes || !values) {
        fanin_free(values);
        fanin_free(nodes);
        return no_memory(err);
    }
    fanin_program *p = NULL;
    const fanin_graph known = with_constants(a, values);
    fanin_status status = fanin__program_lower(&known, &po, nodes, &p, err);
    a->program = p;
    for (int run = 0; run < RUNS && status == FANIN_OK; run++) {
        a->again = false;
        for (int i = 0; i < a->tensors->count; i++) {
            a->laws[i].uses = 0;
            a->laws[i].target = NAN; /* what a tied table changes changes everything behind it */
            if (a->tensors->items[i].tensor.cls != FANIN_CLASS_EMBEDDING) a->laws[i].chosen = false;
        }
        status = one_run(a, o, p, nodes, out, err);
        settle_states(a);
        if (!a->again) break;
    }
    fanin_program_destroy(p);
    fanin_free(values);
    fanin_free(nodes);
    return status;
}

/* ---- public ----------------------------------------------------------------------------------------- */

/* Adds elements from `at` on to the sums of the rows that they stand in. */
static void add_rows(double *rows, uint64_t stride, uint64_t units, size_t at, const double *x,
                     size_t n) {
    uint64_t row = at / stride % units, left = stride - at % stride;
    for (size_t i = 0; i < n; i++) {
        rows[row] += x[i];
        if (--left) continue;
        left = stride;
        row = row + 1 == units ? 0 : row + 1;
    }
}

/* 1 - variance of the rows' means over what independent weights of this variance would have. */
static double centered_of(const double *rows, uint64_t units, double length, double mean,
                          double var) {
    double squares = 0;
    for (uint64_t r = 0; r < units; r++) {
        double off = rows[r] / length - mean;
        squares += off * off;
    }
    double share = squares / (double)units * length / var;
    return length > 1 && var > 0 ? 1 - share : 0;
}

static fanin_status moments_of(const fanin_array *w, const fanin_tensor *t, fanin__law_of *law,
                               fanin_err *err) {
    enum { CHUNK = 1024 };
    double wide[CHUNK], sum = 0, squares = 0, *rows = NULL;
    size_t count, size = fanin_dtype_size(w->dtype);
    uint64_t stride = 1, units = 1;
    law->mean = law->var = NAN;
    if (!fanin__shape_count(w->dims, w->rank, &count) || !count) return FANIN_OK;
    if (fanin_class_is_weight(t->cls) && w->rank >= 2 && t->out_axis >= 0 &&
        t->out_axis < w->rank) {
        units = (uint64_t)w->dims[t->out_axis];
        for (int i = t->out_axis + 1; i < w->rank; i++) stride *= (uint64_t)w->dims[i];
        if (!(rows = fanin_calloc(units, sizeof *rows))) return no_memory(err);
    }
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t n = count - at < CHUNK ? count - at : CHUNK;
        if (fanin_convert_to_f64((const char *)w->data + at * size, w->dtype, n, wide) !=
            FANIN_OK) {
            fanin_free(rows);
            return FANIN_OK;
        }
        for (size_t i = 0; i < n; i++) {
            sum += wide[i];
            squares += wide[i] * wide[i];
        }
        if (rows) add_rows(rows, stride, units, at, wide, n);
    }
    law->mean = sum / (double)count;
    law->var = fmax(squares / (double)count - law->mean * law->mean, 0);
    if (rows)
        law->centered =
            centered_of(rows, units, (double)count / (double)units, law->mean, law->var);
    fanin_free(rows);
    return FANIN_OK;
}

/* From the plan's row, else from values. */
static fanin_status fix_law(fanin__analysis *a, int t, const fanin_predict_options *o,
                            fanin_err *err) {
    const fanin_tensor_info *info = &a->tensors->items[t];
    const fanin_value *v = &a->graph->values[info->value];
    fanin__law_of *law = &a->laws[t];
    const fanin_plan_row *row = NULL;
    if (o->plan) row = fanin_plan_row_at(o->plan, fanin_plan_find(o->plan, info->tensor.name));
    law->fixed = true;
    if (row && !row->keep) {
        law->mean = row->moments.mean;
        law->var = row->moments.std * row->moments.std;
        law->centered = row->moments.centered;
        return FANIN_OK;
    }
    const fanin_array *w = o->weights ? fanin_weights_find(o->weights, info->tensor.name) : NULL;
    fanin_array own = {.dtype = v->dtype, .rank = v->rank, .data = v->data, .size = v->size};
    memcpy(own.dims, v->dims, sizeof own.dims);
    if (!w && v->data) w = &own;
    if (w && fanin_dtype_is_float(w->dtype)) FANIN_TRY(moments_of(w, &info->tensor, law, err));
    if (isnan(law->mean) || isnan(law->var))
        return fanin_err_set(err, FANIN_UNSUPPORTED, "%.200s: no law of its values is known",
                             info->tensor.name);
    return FANIN_OK;
}

fanin_status fanin_predict(const fanin_graph *graph, const fanin_predict_options *options,
                           fanin_prediction **out, fanin_err *err) {
    static const fanin_predict_options none;
    const fanin_predict_options *o = options ? options : &none;
    *out = NULL;
    double start = fanin__seconds();
    fanin_tensors *tensors = NULL;
    fanin__analysis a = {0};
    FANIN_TRY(fanin_tensors_create(graph, NULL, &tensors, err));
    fanin_status status = fanin__analysis_create(graph, tensors, o->loss, &a, err);
    for (int t = 0; t < tensors->count && status == FANIN_OK; t++)
        if (fanin_dtype_is_float(tensors->items[t].dtype)) status = fix_law(&a, t, o, err);
    fanin_prediction *p = fanin_calloc(1, sizeof *p);
    size_t count = (size_t)graph->value_count + 1;
    if (p) {
        p->values = fanin_calloc(count, sizeof *p->values);
        p->targets = fanin_calloc(count, sizeof *p->targets);
    }
    if (status == FANIN_OK && (!p || !p->values || !p->targets)) status = no_memory(err);
    if (status == FANIN_OK) {
        p->value_count = graph->value_count;
        for (size_t i = 0; i < count; i++) {
            p->values[i] = (fanin_value_prediction){NAN, NAN, NAN, NAN};
            p->targets[i] = NAN;
        }
        status = fanin__analysis_run(&a, o, p, err);
    }
    fanin__analysis_fini(&a);
    fanin_tensors_destroy(tensors);
    if (status != FANIN_OK) {
        fanin_prediction_destroy(p);
        return status;
    }
    p->seconds = fanin__seconds() - start;
    *out = p;
    return FANIN_OK;
}

void fanin_prediction_destroy(fanin_prediction *p) {
    if (!p) return;
    fanin_free(p->values);
    fanin_free(p->targets);
    fanin_free(p);
}
