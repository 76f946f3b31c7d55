/* pattern_cone.c - functions that are spelled out: a group of elementwise nodes and reductions that hangs on one
 * value is grown backwards from its last node and evaluated, so that neither the order of the factors nor the
 * way a square is written matters. */
#include <math.h>
#include <string.h>

#include "fanin/activation.h"
#include "graph/pattern.h"
#include "operator/activation_node.h"

/* ---- operators that a cone may hold ----------------------------------------------------------------- */

#define ARITHMETIC  "Add|Sub|Mul|Div|Pow|Min|Max|Sum"
#define COMPARISONS "Greater|Less|GreaterOrEqual|LessOrEqual|Equal"
#define UNARY       "Neg|Abs|Sqrt|Exp|Log|Reciprocal|Sign|Not"
#define PASSED      "Identity|Cast"
#define REDUCTIONS \
    "ReduceMean|ReduceSum|ReduceMax|ReduceMin|ReduceSumSquare|ReduceL2|ReduceL1|ReduceLogSumExp"
#define MOVED "Unsqueeze|Squeeze|Reshape|Expand"

static bool is_activation(const fanin_node *n) {
    char text[96];
    return !fanin__is(n, "PRelu") && fanin__node_activation(n, text, sizeof text) != NULL;
}

static bool may_hold(const fanin_node *n) {
    if (n->output_count < 1 || n->input_count < 1) return false;
    if (n->domain[0] && strcmp(n->domain, "ai.onnx") != 0) return is_activation(n);
    return fanin__is(n, ARITHMETIC "|" COMPARISONS "|" UNARY "|" PASSED "|" REDUCTIONS "|" MOVED
                                   "|Where|Clip") ||
           is_activation(n);
}

/* Operands that carry numbers, not shapes or axes. */
static int operands(const fanin_node *n) {
    return fanin__is(n, REDUCTIONS "|" MOVED "|" PASSED) ? 1 : n->input_count;
}

/* ---- growing --------------------------------------------------------------------------------------- */

typedef struct growth {
    const fanin__finder *f;
    fanin__cone c;
    int leaves[8], leaf_count; /* live values that the cone reads */
} growth;

static bool holds(const int *list, int count, int item) {
    for (int i = 0; i < count; i++)
        if (list[i] == item) return true;
    return false;
}

static bool half(fanin_dtype t) { return t == FANIN_F16 || t == FANIN_BF16; }

static bool note_axes(growth *g, const fanin_node *n) {
    int64_t axes[FANIN_MAX_RANK];
    int count = fanin__node_ints(g->f->graph, n, "axes", 1, axes, FANIN_MAX_RANK);
    if (count < 1) return false;
    if (g->c.reduces &&
        (count != g->c.axis_count || memcmp(axes, g->c.axes, (size_t)count * sizeof *axes) != 0))
        return false;
    g->c.reduces = true;
    g->c.axis_count = count;
    memcpy(g->c.axes, axes, (size_t)count * sizeof *axes);
    return true;
}

static bool add_operand(growth *g, int value) {
    const fanin__finder *f = g->f;
    if (value < 0) return true;
    if (f->w.live[value]) {
        if (holds(g->leaves, g->leaf_count, value)) return true;
        if (g->leaf_count == (int)FANIN_COUNT(g->leaves)) return false;
        g->leaves[g->leaf_count++] = value;
        return true;
    }
    if (holds(g->c.numbers, g->c.number_count, value) ||
        holds(g->c.params, g->c.param_count, value))
        return true;
    if (!isnan(fanin__pattern_number(f, value, 7, &g->c.sized))) {
        const fanin_value *v = fanin__constant(f->graph, value);
        if (v && half(v->dtype)) g->c.coarse = true;
        if (g->c.number_count == FANIN__CONE_CONSTANTS) return false;
        g->c.numbers[g->c.number_count++] = value;
        return true;
    }
    if (g->c.param_count == FANIN__CONE_PARAMS) return false;
    g->c.params[g->c.param_count++] = value;
    return true;
}

static bool add_node(growth *g, int at) {
    const fanin_node *n = &g->f->graph->nodes[at];
    if (g->c.node_count == FANIN__CONE_NODES) return false;
    g->c.nodes[g->c.node_count++] = at;
    if (fanin__is(n, REDUCTIONS) && !note_axes(g, n)) return false;
    if (fanin__is(n, "Exp|Log|Clip|Min|Max|Where|Abs") || is_activation(n)) g->c.bends = true;
    for (int k = 0; k < operands(n); k++)
        if (!add_operand(g, n->inputs[k])) return false;
    return true;
}

/* The leaf that is made last: whatever of the cone reads it is in the cone by now. */
static int latest(const growth *g) {
    int best = 0;
    for (int i = 1; i < g->leaf_count; i++)
        if (g->f->graph->values[g->leaves[i]].producer >
            g->f->graph->values[g->leaves[best]].producer)
            best = i;
    return best;
}

/* Nobody outside reads it; its shape may be asked for. */
static bool is_inner(const growth *g, int value) {
    const fanin__wiring *w = &g->f->w;
    if (w->shown[value] || w->first[value + 1] - w->first[value] > 64) return false;
    for (int i = w->first[value]; i < w->first[value + 1]; i++)
        if (!holds(g->c.nodes, g->c.node_count, w->readers[i].node) &&
            !fanin__is(&g->f->graph->nodes[w->readers[i].node], "Shape|Size"))
            return false;
    return true;
}

/* Takes the maker of leaf `at` in; false: it stays outside. */
static bool swallow(growth *g, int at) {
    int value = g->leaves[at], producer = g->f->graph->values[value].producer;
    if (producer < 0 || !may_hold(&g->f->graph->nodes[producer]) || !is_inner(g, value))
        return false;
    g->leaves[at] = g->leaves[--g->leaf_count];
    return add_node(g, producer);
}

/* ---- evaluation ------------------------------------------------------------------------------------- */

/* A value of the cone along one row. `flat`: the same all along it; `lost`: its axis is gone, too. */
typedef struct slot {
    int value;
    bool flat, lost;
    double *v;
} slot;

typedef struct evaluation {
    const fanin__finder *f;
    const fanin__cone *c;
    slot slots[FANIN__CONE_NODES + FANIN__CONE_PARAMS + FANIN__CONE_CONSTANTS + 1];
    int count, n;
    double *next; /* unused rows */
    bool no_memory;
} evaluation;

static slot *take(evaluation *e, int value) {
    slot *s = &e->slots[e->count++];
    *s = (slot){.value = value, .v = e->next};
    e->next += e->n;
    return s;
}

static const slot *find(const evaluation *e, int value) {
    for (int i = 0; i < e->count; i++)
        if (e->slots[i].value == value) return &e->slots[i];
    return NULL;
}

static double arithmetic(const fanin_node *n, double a, double b) {
    switch (n->op[0]) {
    case 'A': return a + b;
    case 'D': return a / b;
    case 'P': return pow(a, b);
    case 'G': return strlen(n->op) > 7 ? a >= b : a > b;
    case 'L': return strlen(n->op) > 4 ? a <= b : a < b;
    case 'E': return a == b;
    case 'S': return n->op[2] == 'b' ? a - b : a + b; /* Sub, Sum */
    default:
        if (n->op[1] == 'u') return a * b;
        return n->op[1] == 'i' ? fmin(a, b) : fmax(a, b);
    }
}

static double unary(const fanin_node *n, double x) {
    if (fanin__is(n, "Neg")) return -x;
    if (fanin__is(n, "Abs")) return fabs(x);
    if (fanin__is(n, "Sqrt")) return sqrt(x);
    if (fanin__is(n, "Exp")) return exp(x);
    if (fanin__is(n, "Log")) return log(x);
    if (fanin__is(n, "Reciprocal")) return 1 / x;
    if (fanin__is(n, "Sign")) return (x > 0) - (x < 0);
    if (fanin__is(n, "Not")) return x == 0;
    return x;
}

static void reduce(const fanin_node *n, const slot *x, int count, slot *out) {
    double sum = 0, squares = 0, top = -INFINITY, low = INFINITY, size = 0, result;
    for (int i = 0; i < count; i++) {
        sum += x->v[i];
        squares += x->v[i] * x->v[i];
        size += fabs(x->v[i]);
        top = fmax(top, x->v[i]);
        low = fmin(low, x->v[i]);
    }
    if (fanin__is(n, "ReduceMean"))
        result = sum / count;
    else if (fanin__is(n, "ReduceSum"))
        result = sum;
    else if (fanin__is(n, "ReduceMax"))
        result = top;
    else if (fanin__is(n, "ReduceMin"))
        result = low;
    else if (fanin__is(n, "ReduceL1"))
        result = size;
    else if (fanin__is(n, "ReduceLogSumExp")) {
        double powers = 0;
        for (int i = 0; i < count; i++) powers += exp(x->v[i] - top);
        result = top + log(powers);
    } else
        result = fanin__is(n, "ReduceL2") ? sqrt(squares) : squares;
    for (int i = 0; i < count; i++) out->v[i] = result;
    out->flat = true;
    out->lost = fanin_node_attr_int(n, "keepdims", 1) == 0;
}

static bool activate(evaluation *e, const fanin_node *n, const slot *x, slot *out) {
    char text[96];
    fanin_activation *act;
    const char *name = fanin__node_activation(n, text, sizeof text);
    fanin_status status = name ? fanin_activation_parse(name, &act, NULL) : FANIN_NOTFOUND;
    if (status == FANIN_NOMEM) e->no_memory = true;
    if (status != FANIN_OK) return false;
    fanin_activation_eval(act, 0, x->v, out->v, (size_t)e->n);
    fanin_activation_destroy(act);
    return true;
}

/* Operands that broadcast against each other: what has lost its axis must not meet what has it, unless that
 * axis was the first, which broadcasting gives back. */
static bool broadcasts(const evaluation *e, const slot *const *in, int count) {
    bool lost = false, whole = false;
    for (int k = 0; k < count; k++) {
        lost = lost || (in[k] && in[k]->lost);
        whole = whole || (in[k] && !in[k]->flat);
    }
    for (int i = 0; lost && whole && i < e->c->axis_count; i++)
        if (e->c->axes[i] != i) return false;
    return true;
}

static bool clip(const fanin_node *n, const slot *const *in, int count, int size, slot *out) {
    double low = fanin_node_attr_float(n, "min", -INFINITY);
    double high = fanin_node_attr_float(n, "max", INFINITY);
    for (int i = 0; i < size; i++) {
        double a = count > 1 && in[1] ? in[1]->v[i] : low;
        double b = count > 2 && in[2] ? in[2]->v[i] : high;
        out->v[i] = fmin(fmax(in[0]->v[i], a), b);
    }
    return true;
}

static bool step(evaluation *e, const fanin_node *n) {
    const slot *in[4] = {0};
    int count = operands(n);
    if (count > 4) return false;
    bool flat = true, lost = false;
    for (int k = 0; k < count; k++) {
        in[k] = n->inputs[k] < 0 ? NULL : find(e, n->inputs[k]);
        if (!in[k] && n->inputs[k] >= 0) return false;
        if (in[k] && !in[k]->flat) flat = false;
        if (in[k] && in[k]->lost) lost = true;
    }
    if (!in[0] || !broadcasts(e, in, count)) return false;
    slot *out = take(e, n->outputs[0]);
    out->flat = flat;
    out->lost = lost && flat;
    if (fanin__is(n, REDUCTIONS)) {
        if (in[0]->flat) return false;
        reduce(n, in[0], e->n, out);
        return true;
    }
    if (fanin__is(n, MOVED)) { /* of what has no extent they only give axes back */
        if (!in[0]->flat) return false;
        if (!fanin__is(n, "Squeeze")) out->lost = false;
        memcpy(out->v, in[0]->v, (size_t)e->n * sizeof *out->v);
        return true;
    }
    if (fanin__is(n, "Clip")) return clip(n, in, count, e->n, out);
    if (fanin__is(n, "Where")) {
        for (int i = 0; i < e->n && count == 3 && in[1] && in[2]; i++)
            out->v[i] = in[0]->v[i] != 0 ? in[1]->v[i] : in[2]->v[i];
        return count == 3 && in[1] && in[2];
    }
    if (fanin__is(n, ARITHMETIC "|" COMPARISONS)) {
        if (count < 2) return false;
        for (int i = 0; i < e->n; i++) {
            double a = in[0]->v[i];
            for (int k = 1; k < count; k++) a = arithmetic(n, a, in[k]->v[i]);
            out->v[i] = a;
        }
        return true;
    }
    if (!fanin__is(n, UNARY "|" PASSED)) return activate(e, n, in[0], out);
    for (int i = 0; i < e->n; i++) out->v[i] = unary(n, in[0]->v[i]);
    return true;
}

static bool run(evaluation *e, const double *x, const double *const *p, double *y) {
    const fanin__cone *c = e->c;
    size_t bytes = (size_t)e->n * sizeof(double);
    memcpy(take(e, c->x)->v, x, bytes);
    for (int i = 0; i < c->param_count; i++) memcpy(take(e, c->params[i])->v, p[i], bytes);
    for (int i = 0; i < c->number_count; i++) {
        int64_t axis = INT64_MIN;
        double number = fanin__pattern_number(e->f, c->numbers[i], e->n, &axis);
        slot *s = take(e, c->numbers[i]);
        for (int k = 0; k < e->n; k++) s->v[k] = number;
        s->flat = true;
    }
    int done = -1; /* nodes of the graph are sorted: ascending is an order of evaluation */
    for (int i = 0; i < c->node_count; i++) {
        int next = INT32_MAX;
        for (int k = 0; k < c->node_count; k++)
            if (c->nodes[k] > done && c->nodes[k] < next) next = c->nodes[k];
        done = next;
        if (!step(e, &e->f->graph->nodes[done])) return false;
    }
    const slot *last = &e->slots[e->count - 1];
    memcpy(y, last->v, bytes);
    return !last->flat;
}

bool fanin__cone_eval(const fanin__finder *f, const fanin__cone *c, int n, const double *x,
                      const double *const *p, double *y, bool *no_memory) {
    evaluation e = {.f = f, .c = c, .n = n};
    double *rows = fanin_calloc(FANIN_COUNT(e.slots) * (size_t)n, sizeof *rows);
    *no_memory = *no_memory || !rows;
    if (!rows) return false;
    e.next = rows;
    bool good = run(&e, x, p, y);
    *no_memory = *no_memory || e.no_memory;
    fanin_free(rows);
    return good;
}

/* ---- the search -------------------------------------------------------------------------------------- */

typedef struct match {
    fanin__cone c;
    fanin__row_match row; /* kind 0: none */
    const char *activation;
} match;

static bool look(fanin__finder *f, const growth *g, match *m) {
    fanin__cone c = g->c;
    c.x = g->leaves[0];
    if (c.node_count < 2 || f->looks-- <= 0) return false;
    if (c.reduces) {
        fanin__row_match row = {0};
        if (m->activation || !fanin__match_row(f, &c, &row, &f->no_memory)) return false;
        bool centres =
            m->row.kind == FANIN_PATTERN_RMS_NORM && row.kind == FANIN_PATTERN_LAYER_NORM;
        if (m->row.kind && m->row.kind != row.kind && !centres) return false;
        m->row = row;
        m->c = c;
        return true;
    }
    if (!c.bends || c.param_count > 0 || m->row.kind) return false;
    const char *name = fanin__match_activation(f, &c, &f->no_memory);
    if (!name || (m->activation && strcmp(m->activation, name) != 0)) return false;
    m->activation = name;
    m->c = c;
    return true;
}

/* The widest cone of `top` that is a known function. */
static bool grow(fanin__finder *f, int top, match *m) {
    growth g = {.f = f, .c = {.x = -1, .sized = INT64_MIN}};
    *m = (match){0};
    if (!add_node(&g, top)) return false;
    while (g.leaf_count > 0 && !f->no_memory) {
        bool found = m->row.kind || m->activation;
        if (g.leaf_count == 1 && !look(f, &g, m) && found) break;
        if (!swallow(&g, latest(&g))) break;
    }
    return m->row.kind || m->activation;
}

/* Which statistics: those of a channel over the batch, of an image over its positions, of a sample. */
static fanin_pattern_kind kind_of(const fanin_graph *g, const match *m) {
    const fanin__cone *c = &m->c;
    bool batch = false, channel = false, last = false;
    int rank = g->values[c->x].rank;
    for (int i = 0; i < c->axis_count; i++) {
        int64_t a = c->axes[i] < 0 && rank >= 0 ? c->axes[i] + rank : c->axes[i];
        batch = batch || a == 0;
        channel = channel || a == 1;
        last = last || a == -1 || (rank >= 0 && a == rank - 1);
    }
    if (m->row.kind != FANIN_PATTERN_LAYER_NORM) return m->row.kind;
    if (batch && !channel && !(c->axis_count == 1 && last)) return FANIN_PATTERN_BATCH_NORM;
    if (!batch && !channel && c->axis_count > 1 && c->axes[0] == 2)
        return FANIN_PATTERN_INSTANCE_NORM;
    return FANIN_PATTERN_LAYER_NORM;
}

static void add_match(fanin__finder *f, int top, const match *m) {
    fanin_pattern_kind kind = m->activation ? FANIN_PATTERN_ACTIVATION : kind_of(f->graph, m);
    fanin_pattern *p = fanin__pattern_add(f, kind, m->c.nodes, m->c.node_count);
    if (!p) return;
    p->spelled = true;
    p->input = m->c.x;
    p->output = f->graph->nodes[top].outputs[0];
    p->activation = m->activation;
    p->training = kind == FANIN_PATTERN_BATCH_NORM;
    if (m->activation) return;
    p->eps = m->row.eps;
    p->axis_count = m->c.axis_count;
    memcpy(p->axes, m->c.axes, (size_t)m->c.axis_count * sizeof *p->axes);
    if (m->row.scale >= 0) p->scale = m->c.params[m->row.scale];
    if (m->row.shift >= 0) p->shift = m->c.params[m->row.shift];
}

/* From the last node to the first, so that the node that ends a function is met before those inside it. */
void fanin__find_functions(fanin__finder *f) {
    for (int i = f->graph->node_count - 1; i >= 0 && !f->no_memory; i--) {
        const fanin_node *n = &f->graph->nodes[i];
        match m;
        if (f->found_by[i] >= 0 || n->output_count < 1 || n->outputs[0] < 0) continue;
        if (!f->w.live[n->outputs[0]] || !may_hold(n) || fanin__is(n, MOVED "|" PASSED)) continue;
        if (grow(f, i, &m)) add_match(f, i, &m);
    }
}
