/* signal_operand.c - what constants and weights are to the rules: their values, their laws, points of them. */
#include <math.h>
#include <string.h>

#include "operator/signal.h"

double fanin__signal_element(const fanin__tensor *t, int64_t at) {
    switch (t->dtype) {
    case FANIN_F32: return (double)((const float *)t->data)[at];
    case FANIN_F64: return ((const double *)t->data)[at];
    case FANIN_I64: return (double)((const int64_t *)t->data)[at];
    default: return (double)((const unsigned char *)t->data)[at];
    }
}

/* Visits a constant's distinct elements (axes of stride 0 once); false stops. */
static bool each(const fanin__tensor *t, bool (*visit)(void *ctx, double value), void *ctx) {
    int64_t index[FANIN_MAX_RANK] = {0}, at = 0;
    for (;;) {
        if (!visit(ctx, fanin__signal_element(t, at))) return false;
        int axis = t->rank - 1;
        for (; axis >= 0; axis--) {
            if (t->strides[axis] == 0) continue;
            at += t->strides[axis];
            if (++index[axis] < t->dims[axis]) break;
            at -= index[axis] * t->strides[axis];
            index[axis] = 0;
        }
        if (axis < 0) return true;
    }
}

static bool look(void *ctx, double v) {
    fanin__facts *f = ctx;
    if (!f->some) *f = (fanin__facts){v, v, v, true, true, true};
    f->equal = f->equal && (v == f->first);
    f->bits = f->bits && (v == 0 || v == 1);
    f->low = v < f->low ? v : f->low;
    f->high = v > f->high ? v : f->high;
    return true;
}

fanin__facts fanin__signal_facts(const fanin__ir *ir, int node) {
    fanin__tensor t;
    fanin__facts f = {0};
    if (fanin__const_tensor(ir, node, &t) && ir->nodes[node].count > 0) each(&t, look, &f);
    return f;
}

bool fanin__signal_uniform(const fanin__ir *ir, int node, double *value) {
    fanin__facts f = fanin__signal_facts(ir, node);
    *value = f.first;
    return f.some && f.equal;
}

static bool stored(const fanin__signal *s, int node, int depth) {
    const fanin__node *n = fanin__signal_node(s, node);
    if (n->op == FANIN__WEIGHT || n->op == FANIN__CONST) return true;
    if (depth > 16 || n->input_count == 0) return false;
    for (int i = 0; i < n->input_count; i++)
        if (!stored(s, n->inputs[i], depth + 1)) return false;
    return true;
}

/* The other operand of the sum that the node's result goes into, past biases, dropout, norms and moves; -1. */
static int partner_of(const fanin__signal *s, int node) {
    for (int steps = 0; steps < 24; steps++) {
        int first = s->first_reader[node], count = s->first_reader[node + 1] - first;
        if (count != 1) return -1;
        int next = s->readers[first];
        const fanin__node *n = fanin__signal_node(s, next);
        bool passes =
            n->op == FANIN__RESHAPE || n->op == FANIN__TRANSPOSE || n->op == FANIN__CAST ||
            (n->op == FANIN__MAP && n->attr.kind == FANIN__FN_SCALE) || n->op == FANIN__SELECT;
        if (n->op == FANIN__BINARY) {
            int other = n->inputs[0] == node ? n->inputs[1] : n->inputs[0];
            passes = stored(s, other, 0);
            if (!passes)
                return n->attr.kind == FANIN__ADD || n->attr.kind == FANIN__SUB ? other : -1;
        }
        if (!passes) return -1;
        node = next;
    }
    return -1;
}

/* Weighted layers behind a node, back to where its path forks off. */
static int layers_behind(const fanin__signal *s, int node) {
    int count = 0;
    for (int steps = 0; steps < 256 && node >= 0; steps++) {
        const fanin__node *n = fanin__signal_node(s, node);
        int readers = 0;
        for (int r = s->first_reader[node]; r < s->first_reader[node + 1]; r++)
            readers += fanin__signal_node(s, s->readers[r])->op != FANIN__NORM_STATS;
        if (readers > 1 || n->input_count == 0) break;
        bool product = n->op == FANIN__CONV || n->op == FANIN__CONV_DATA || n->op == FANIN__MATMUL;
        if (product && (stored(s, n->inputs[1], 0) || stored(s, n->inputs[0], 0))) count++;
        int next = -1;
        for (int i = n->input_count - 1; i >= 0; i--)
            if (!stored(s, n->inputs[i], 0) &&
                fanin__signal_node(s, n->inputs[i])->op != FANIN__NORM_STATS)
                next = n->inputs[i];
        node = next;
    }
    return count;
}

/* The weight of the layer that a batch norm reads, past its bias; -1. */
static int weight_before(const fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    if (n->op != FANIN__NORM_APPLY) return -1;
    n = fanin__signal_node(s, n->inputs[0]);
    if (n->op == FANIN__BINARY && n->attr.kind == FANIN__ADD && stored(s, n->inputs[1], 0))
        n = fanin__signal_node(s, n->inputs[0]);
    if (n->op != FANIN__CONV && n->op != FANIN__MATMUL && n->op != FANIN__CONV_DATA) return -1;
    return s->values[n->inputs[1]].kind == FANIN__PARAM ? s->values[n->inputs[1]].weight : -1;
}

static fanin__weight_law ask(fanin__signal *s, const fanin__value_signal *p,
                             fanin__weight_use *use) {
    use->weight = p->weight;
    use->unit *= p->factor * p->factor;
    use->stream = s->beside;
    use->before = weight_before(s, use->node);
    int partner = use->layer || use->before >= 0 ? partner_of(s, use->node) : -1;
    if (partner >= 0) {
        const fanin__value_signal *v = &s->values[partner];
        bool known = v->kind == FANIN__DATA && v->x;
        use->stream = known ? v->m.q * fanin__signal_level(v) : 1;
        use->shortcut = layers_behind(s, partner) > layers_behind(s, use->node);
    }
    fanin__weight_law law = s->options.law(s->options.ctx, use);
    law.mean *= p->factor;
    law.var *= p->factor * p->factor;
    return law;
}

fanin__weight_law fanin__signal_law(fanin__signal *s, int node, const fanin__value_signal *p) {
    fanin__weight_use use = {.node = node, .unit = 1, .input = -1};
    return p->weight < 0 ? (fanin__weight_law){p->m.mean, p->var, 0} : ask(s, p, &use);
}

fanin__weight_law fanin__signal_layer_law(fanin__signal *s, int node, const fanin__value_signal *p,
                                          int input, double unit, double common) {
    fanin__weight_use use = {
        .node = node, .layer = true, .unit = unit, .input = input, .common = common};
    return p->weight < 0 ? (fanin__weight_law){p->m.mean, p->var, 0} : ask(s, p, &use);
}

/* A constant's entries where the points are: the channel by the point, position and sample by the site. */
static float *sample_constant(fanin__signal *s, int node, const fanin__value_signal *v) {
    fanin__tensor t;
    float *x = fanin__signal_array(s, FANIN__SITES);
    if (!x || !fanin__const_tensor(s->ir, node, &t)) return NULL;
    int n = s->points;
    for (int i = 0; i < n; i++) {
        int64_t at[FANIN__SITES] = {0};
        for (int axis = 0; axis < t.rank; axis++) {
            if (t.strides[axis] == 0) continue;
            unsigned role = fanin__signal_role(v, axis);
            uint32_t w[FANIN__SITES];
            fanin_stream_words(&s->stream, (uint32_t)node * 8 + 4,
                               ((uint64_t)i * FANIN_MAX_RANK + (uint64_t)axis) * 4, 4, w);
            for (int site = 0; site < FANIN__SITES; site++) {
                bool place = role & FANIN__POSITION, sample = role & FANIN__SAMPLE;
                int pick = (place ? site & 1 : 0) | (sample ? site & 2 : 0);
                at[site] +=
                    (int64_t)(((uint64_t)w[pick] * (uint64_t)t.dims[axis]) >> 32) * t.strides[axis];
            }
        }
        for (int site = 0; site < FANIN__SITES; site++)
            x[site * n + i] = (float)fanin__signal_element(&t, at[site]);
    }
    return x;
}

float *fanin__signal_operand(fanin__signal *s, int node, int operand,
                             const fanin__value_signal *partner) {
    int id = fanin__signal_node(s, node)->inputs[operand], rank = fanin__signal_node(s, id)->rank;
    fanin__value_signal *v = &s->values[id];
    if (partner && partner != v) fanin__signal_unify(v, partner, rank);
    if (v->x) return v->x;
    if (v->kind == FANIN__KNOWN) {
        double value;
        v->x = fanin__signal_uniform(s->ir, id, &value) ? fanin__signal_constant(s, value)
                                                        : sample_constant(s, id, v);
    } else if (v->kind == FANIN__PARAM) {
        s->beside = partner && partner->kind == FANIN__DATA
                        ? partner->m.q * fanin__signal_level(partner)
                        : NAN;
        fanin__weight_law law = fanin__signal_law(s, node, v);
        s->beside = NAN;
        double mm = law.mean * law.mean;
        fanin__sites m = {law.mean, mm + law.var, mm, mm, mm};
        fanin__signal_collapse(v, &m);
        v->x = law.var > 0 && fanin__signal_varies(v, FANIN__CHANNEL | FANIN__POSITION)
                   ? fanin__signal_gaussian(s, (uint32_t)id, m)
                   : fanin__signal_constant(s, law.mean);
    } else { /* integers of the caller as numbers: bits */
        v->x = fanin__signal_gaussian(s, (uint32_t)id, (fanin__sites){0, 1, 0, 0, 0});
        for (int i = 0; v->x && i < FANIN__SITES * s->points; i++) v->x[i] = v->x[i] > 0;
    }
    if (v->x) v->m = fanin__signal_moments(s, v->x);
    fanin__signal_drawn(s, v, id);
    if (!(v->m.q > v->m.mean * v->m.mean * (1 + 1e-9))) v->draw_count = 0;
    v->normal = v->kind == FANIN__PARAM && v->draw_count > 0;
    v->base = v->normal ? id + 1 : 0;
    return v->x;
}
