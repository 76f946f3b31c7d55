/* signal.c - the order of the rules: forward to the outputs, backward to the inputs. */
#include <math.h>
#include <string.h>

#include "operator/signal.h"

typedef struct fanin__signal_block {
    struct fanin__signal_block *next;
    size_t used, size;
    _Alignas(64) unsigned char bytes[];
} fanin__signal_block;

static const fanin__signal_rule rules[FANIN__OP_COUNT] = {
#define RULE(name) \
    { fanin__forward_##name, fanin__backward_##name }
    [FANIN__MAP] = RULE(map),
    [FANIN__BINARY] = RULE(binary),
    [FANIN__SELECT] = RULE(select),
    [FANIN__CAST] = RULE(same),
    [FANIN__COPY] = RULE(same),
    [FANIN__BROADCAST] = RULE(broadcast),
    [FANIN__RESHAPE] = RULE(reshape),
    [FANIN__TRANSPOSE] = RULE(transpose),
    [FANIN__SLICE] = RULE(slice),
    [FANIN__PAD] = RULE(pad),
    [FANIN__CONCAT] = RULE(concat),
    [FANIN__GATHER] = RULE(gather),
    [FANIN__REDUCE] = RULE(reduce),
    [FANIN__TOP] = {fanin__forward_reduce, NULL},
    [FANIN__MATMUL] = RULE(matmul),
    [FANIN__CONV] = RULE(conv),
    [FANIN__CONV_DATA] = RULE(conv_data),
    [FANIN__MAXPOOL] = RULE(maxpool),
    [FANIN__SUMPOOL] = RULE(sumpool),
    [FANIN__SOFTMAX] = RULE(softmax),
    [FANIN__NORM_STATS] = {fanin__forward_norm, NULL},
    [FANIN__NORM_APPLY] = RULE(norm),
#undef RULE
};

void fanin__signal_fail(fanin__signal *s, int node, const char *what) {
    if (s->failed) return;
    s->failed = true;
    s->failed_node = node;
    const char *op = node >= 0 ? fanin__primitive_of(s->ir->nodes[node].op)->name : "value";
    fanin_err_set(&s->err, FANIN_UNSUPPORTED, "no signal rule: %s of %s", what, op);
}

void *fanin__signal_take(fanin__signal *s, size_t size) {
    enum { BLOCK = 1 << 22 };
    size = (size + 63) & ~(size_t)63;
    fanin__signal_block *b = s->blocks;
    if (s->failed) return NULL;
    if (!b || b->size - b->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        b = fanin_malloc_aligned(sizeof *b + room);
        if (!b) {
            s->failed = true;
            fanin_err_set(&s->err, FANIN_NOMEM, "no memory for the signal rules");
            return NULL;
        }
        *b = (fanin__signal_block){.next = s->blocks, .size = room};
        s->blocks = b;
    }
    void *p = b->bytes + b->used;
    b->used += size;
    memset(p, 0, size);
    return p;
}

const fanin__node *fanin__signal_node(const fanin__signal *s, int node) {
    return &s->ir->nodes[node];
}

/* ---- leaves -------------------------------------------------------------------------------------- */

/* Channels of an image are its second axis, of anything else its last. */
static bool feeds_window(const fanin__signal *s, int node) {
    for (int r = s->first_reader[node]; r < s->first_reader[node + 1]; r++) {
        const fanin__node *n = fanin__signal_node(s, s->readers[r]);
        if (n->op == FANIN__CONV || n->op == FANIN__CONV_DATA || n->op == FANIN__MAXPOOL ||
            n->op == FANIN__SUMPOOL || n->op == FANIN__NORM_APPLY)
            return true;
        bool passes = n->op == FANIN__PAD || n->op == FANIN__MAP || n->op == FANIN__BINARY;
        if (passes && feeds_window(s, s->readers[r])) return true;
    }
    return false;
}

static void input(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    fanin__signal_axes(v, n);
    int channel = n->rank > 2 && feeds_window(s, node) ? 1 : n->rank - 1;
    bool ids = n->dtype != s->ir->dtype;
    for (int i = 0; i < n->rank; i++)
        v->factors[i].role = i == 0                 ? FANIN__SAMPLE
                             : i == channel && !ids ? FANIN__CHANNEL
                                                    : FANIN__POSITION;
    v->kind = ids ? FANIN__IDS : FANIN__DATA;
    if (ids) return;
    const fanin__signal_options *o = &s->options;
    double mm = o->mean * o->mean, var = o->second - mm;
    v->m = (fanin__sites){o->mean, o->second, mm + o->correlation * var, mm, mm};
    fanin__signal_collapse(v, &v->m);
    v->x = fanin__signal_gaussian(s, (uint32_t)node, v->m);
    fanin__signal_settle(s, v);
    fanin__signal_fresh(s, v, node);
}

static void uniform(fanin__signal *s, int node) {
    fanin__value_signal *v = &s->values[node];
    fanin__signal_axes(v, fanin__signal_node(s, node));
    v->kind = FANIN__DATA;
    v->x = fanin__signal_gaussian(s, (uint32_t)node, (fanin__sites){0, 1, 0, 0, 0});
    for (int i = 0; v->x && i < FANIN__SITES * s->points; i++)
        v->x[i] = 0.5f * erfcf(-v->x[i] * 0.70710678f);
    if (v->x) v->m = fanin__signal_moments(s, v->x);
    fanin__signal_drawn(s, v, node);
}

static bool leaf(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    fanin__tensor t;
    if (fanin__const_tensor(s->ir, node, &t)) {
        fanin__signal_axes(v, n);
        v->kind = FANIN__KNOWN;
        return true;
    }
    switch (n->op) {
    case FANIN__INPUT: input(s, node); return true;
    case FANIN__RANDOM: uniform(s, node); return true;
    case FANIN__WEIGHT:
        fanin__signal_axes(v, n);
        v->kind = FANIN__PARAM;
        v->weight = n->attr.axis;
        v->factor = 1;
        return true;
    default: return false;
    }
}

/* Integers stay integers whatever is done to them. */
static bool integers(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    if (n->dtype == s->ir->dtype) return false;
    for (int i = 0; i < n->input_count; i++)
        if (s->values[n->inputs[i]].kind == FANIN__DATA) return false;
    fanin__value_signal *v = &s->values[node];
    v->kind = FANIN__IDS;
    fanin__signal_axes(v, n);
    const fanin__value_signal *x = NULL;
    for (int i = 0; i < n->input_count && !x; i++)
        if (s->values[n->inputs[i]].kind == FANIN__IDS &&
            fanin__signal_node(s, n->inputs[i])->rank == n->rank)
            x = &s->values[n->inputs[i]];
    for (int i = 0; i < n->rank; i++)
        v->factors[i].role = x        ? fanin__signal_role(x, i)
                             : i == 0 ? FANIN__SAMPLE
                                      : FANIN__POSITION;
    return true;
}

/* ---- forward ------------------------------------------------------------------------------------- */

static void mark(fanin__signal *s, const int *outputs, int output_count) {
    for (int i = 0; i < s->count; i++) s->last_use[i] = -1;
    for (int i = 0; i < output_count; i++) s->last_use[outputs[i]] = s->count;
    for (int i = s->count - 1; i >= 0; i--) {
        const fanin__node *n = fanin__signal_node(s, i);
        if (s->last_use[i] < 0) continue;
        for (int k = 0; k < n->input_count; k++)
            if (s->last_use[n->inputs[k]] < i) s->last_use[n->inputs[k]] = i;
    }
    for (int i = 0; i < s->count; i++)
        for (int k = 0; s->last_use[i] >= 0 && k < s->ir->nodes[i].input_count; k++)
            s->first_reader[s->ir->nodes[i].inputs[k] + 1]++;
    for (int i = 0; i < s->count; i++) s->first_reader[i + 1] += s->first_reader[i];
    for (int i = s->count - 1; i >= 0; i--)
        for (int k = 0; s->last_use[i] >= 0 && k < s->ir->nodes[i].input_count; k++) {
            int x = s->ir->nodes[i].inputs[k], at = s->first_reader[x];
            while (s->readers[at] >= 0) at++;
            s->readers[at] = i;
        }
}

static bool allocate(fanin__signal *s) {
    size_t n = (size_t)s->count + 2, edges = 0;
    for (int i = 0; i < s->count; i++) edges += (size_t)s->ir->nodes[i].input_count;
    s->values = fanin_calloc(n, sizeof *s->values);
    s->last_use = fanin_calloc(n, sizeof(int));
    s->first_reader = fanin_calloc(n, sizeof(int));
    s->readers = fanin_calloc(edges + 1, sizeof(int));
    s->live = fanin_calloc(n, 1);
    s->quantiles = fanin_calloc((size_t)s->points / 2, sizeof(float));
    if (!s->values || !s->last_use || !s->first_reader || !s->readers || !s->live || !s->quantiles)
        return false;
    for (size_t i = 0; i < edges; i++) s->readers[i] = -1;
    for (int i = 0; i < s->count; i++) s->values[i].row = s->values[i].col = NAN;
    for (int i = 0; i < s->count; i++) s->values[i].weight = s->values[i].draw_count = -1;
    return true;
}

/* Normal quantiles at the middles of equal shares, scaled to second moment 1. */
static void make_quantiles(fanin__signal *s) {
    int half = s->points / 2;
    double sum = 0;
    for (int i = 0; i < half; i++) {
        double p = 0.5 + (i + 0.5) / s->points, z = 0;
        for (int k = 0; k < 60; k++) { /* Newton on erfc, from 0: convex there */
            double f = 0.5 * erfc(z * 0.70710678118654752) - (1 - p);
            double step = f / (0.39894228040143268 * exp(-0.5 * z * z));
            z += step;
            if (fabs(step) < 1e-13) break;
        }
        s->quantiles[i] = (float)z;
        sum += z * z;
    }
    float scale = (float)sqrt(half / sum);
    for (int i = 0; i < half; i++) s->quantiles[i] *= scale;
}

static void run(fanin__signal *s) {
    for (int i = 0; i < s->count && !s->failed; i++) {
        if (s->last_use[i] < 0) continue;
        const fanin__node *n = fanin__signal_node(s, i);
        for (int k = 0; k < n->input_count; k++)
            if (s->last_use[n->inputs[k]] <= i) s->live[n->inputs[k]] = 0;
        if (leaf(s, i) || integers(s, i)) {
            s->live[i] = 1;
            continue;
        }
        if (!rules[n->op].forward) {
            fanin__signal_fail(s, i, "none");
            return;
        }
        rules[n->op].forward(s, i);
        s->live[i] = 1;
        if (s->failed && s->failed_node < 0) s->failed_node = i;
    }
}

fanin_status fanin__signal_create(const fanin__ir *ir, const int *outputs, int output_count,
                                  const fanin__signal_options *options, fanin__signal *s) {
    enum { POINTS = 2048, FEWER = 1024, MANY_NODES = 4000 };
    *s = (fanin__signal){.ir = ir,
                         .options = *options,
                         .count = ir->count,
                         .points = ir->count > MANY_NODES ? FEWER : POINTS,
                         .beside = NAN,
                         .failed_node = -1};
    s->stream = fanin_stream_init(0, "signal");
    if (!allocate(s)) {
        s->failed = true;
        return fanin_err_set(&s->err, FANIN_NOMEM, "no memory for the signal rules");
    }
    make_quantiles(s);
    mark(s, outputs, output_count);
    run(s);
    return s->failed ? s->err.status : FANIN_OK;
}

void fanin__signal_fini(fanin__signal *s) {
    for (fanin__signal_block *b = s->blocks, *next; b; b = next) {
        next = b->next;
        fanin_free_aligned(b);
    }
    fanin_free(s->values);
    fanin_free(s->last_use);
    fanin_free(s->first_reader);
    fanin_free(s->readers);
    fanin_free(s->live);
    fanin_free(s->quantiles);
    *s = (fanin__signal){0};
}

/* ---- backward ------------------------------------------------------------------------------------ */

fanin_status fanin__signal_backward(fanin__signal *s, int node, double gamma) {
    fanin__item first = {.source = fanin__signal_source(s), .gamma = gamma, .scale = 1};
    fanin__signal_give(s, node, &first);
    for (int i = node; i >= 0 && !s->failed; i--)
        if (s->values[i].item_count && s->values[i].kind == FANIN__DATA &&
            rules[s->ir->nodes[i].op].backward)
            rules[s->ir->nodes[i].op].backward(s, i);
    return s->failed ? s->err.status : FANIN_OK;
}

bool fanin__signal_read(const fanin__signal *s, int node, fanin__sites *m) {
    const fanin__value_signal *v = &s->values[node];
    if (node < 0 || v->kind != FANIN__DATA || !v->x) return false;
    double level = fanin__signal_level(v);
    *m = v->m;
    m->mean *= sqrt(level);
    m->q *= level;
    m->a *= level;
    m->b *= level;
    m->c *= level;
    return true;
}

double fanin__signal_gradient(const fanin__signal *s, int node) {
    const fanin__value_signal *v = &s->values[node];
    double sum = 0, gamma, beta;
    for (int i = 0; i < v->item_count; i++) {
        fanin__signal_total(s, &v->items[i], &gamma, &beta);
        for (int f = 0; f < v->factor_count; f++)
            gamma *= fanin__signal_mean_u(v->items[i].u[f], v->factors[f].size);
        sum += gamma;
    }
    return sum;
}
