/* pattern_number.c - single numbers that exporters compute: sqrt of a head size, n / (n - 1), targets of Reshape. */
#include <math.h>
#include <string.h>

#include "graph/pattern.h"

enum { DEPTH = 24 };

typedef struct context {
    const fanin__finder *f;
    double row;
    int64_t *axis;
} context;

static double number(const context *c, int value, int depth);

/* Size of axis `at` of `value`. */
static double size_of(const context *c, int value, int64_t at) {
    const fanin_value *v = &c->f->graph->values[value];
    int64_t i = at < 0 && v->rank >= 0 ? at + v->rank : at;
    if (v->rank >= 0 && (i < 0 || i >= v->rank)) return NAN;
    if (v->rank >= 0 && v->dims[i] >= 0) return (double)v->dims[i];
    if (!(c->row > 0)) return NAN;
    if (c->axis && *c->axis != INT64_MIN && *c->axis != at) return NAN;
    if (c->axis) *c->axis = at;
    return c->row;
}

/* An element of a list: of a shape, a constant, a Concat. */
static double element(const context *c, int value, int64_t at, int depth) {
    const fanin_graph *g = c->f->graph;
    int64_t whole[FANIN_MAX_RANK];
    int count = fanin__constant_ints(g, value, whole, FANIN_MAX_RANK);
    if (count >= 0) {
        if (at < 0) at += count;
        return at >= 0 && at < count ? (double)whole[at] : NAN;
    }
    if (depth == 0 || value < 0 || g->values[value].producer < 0) return NAN;
    const fanin_node *n = &g->nodes[g->values[value].producer];
    if (n->input_count < 1 || n->inputs[0] < 0) return NAN;
    if (fanin__is(n, "Shape")) return size_of(c, n->inputs[0], at);
    if (fanin__is(n, "Cast|Identity")) return element(c, n->inputs[0], at, depth - 1);
    if (!fanin__is(n, "Concat")) return NAN;
    int64_t i = at < 0 ? at + n->input_count : at; /* of parts of one element each */
    if (i < 0 || i >= n->input_count) return NAN;
    for (int k = 0; k < n->input_count; k++)
        if (fanin__constant_ints(g, n->inputs[k], whole, FANIN_MAX_RANK) > 1) return NAN;
    return number(c, n->inputs[i], depth - 1);
}

static double binary(const fanin_node *n, double a, double b) {
    if (fanin__is(n, "Add")) return a + b;
    if (fanin__is(n, "Sub")) return a - b;
    if (fanin__is(n, "Mul")) return a * b;
    if (fanin__is(n, "Div")) return a / b;
    if (fanin__is(n, "Pow")) return pow(a, b);
    return NAN;
}

static double number(const context *c, int value, int depth) {
    const fanin_graph *g = c->f->graph;
    double known = fanin__constant_number(g, value);
    if (!isnan(known) || depth == 0 || value < 0 || c->f->w.live[value]) return known;
    if (g->values[value].producer < 0) return NAN;
    const fanin_node *n = &g->nodes[g->values[value].producer];
    if (n->input_count < 1 || n->inputs[0] < 0) return NAN;
    int first = n->inputs[0], second = n->input_count > 1 ? n->inputs[1] : -1;
    if (fanin__is(n, "Cast|Identity|Unsqueeze|Squeeze|Reshape|ReduceProd|Floor"))
        return number(c, first, depth - 1);
    if (fanin__is(n, "Sqrt")) return sqrt(number(c, first, depth - 1));
    if (fanin__is(n, "Reciprocal")) return 1 / number(c, first, depth - 1);
    if (fanin__is(n, "Neg")) return -number(c, first, depth - 1);
    int64_t at;
    if (fanin__is(n, "Gather") && fanin__constant_ints(g, second, &at, 1) == 1)
        return element(c, first, at, depth - 1);
    if (fanin__is(n, "Slice") && fanin__constant_ints(g, second, &at, 1) == 1) {
        int64_t end;
        bool one = n->input_count > 2 && fanin__constant_ints(g, n->inputs[2], &end, 1) == 1 &&
                   ((at < end && at == end - 1) || (at == -1 && end == INT64_MAX));
        return one ? element(c, first, at, depth - 1) : NAN;
    }
    if (n->input_count == 2 && fanin__is(n, "Add|Sub|Mul|Div|Pow"))
        return binary(n, number(c, first, depth - 1), number(c, second, depth - 1));
    return NAN;
}

double fanin__pattern_number(const fanin__finder *f, int value, double row, int64_t *axis) {
    context c = {f, row, axis};
    return number(&c, value, DEPTH);
}

int64_t fanin__pattern_element(const fanin__finder *f, int value, int i, int *count) {
    const fanin_graph *g = f->graph;
    context c = {f, 0, NULL};
    int64_t whole[FANIN_MAX_RANK];
    int length = fanin__constant_ints(g, value, whole, FANIN_MAX_RANK);
    if (length < 0 && value >= 0 && g->values[value].producer >= 0) {
        const fanin_node *n = &g->nodes[g->values[value].producer];
        if (fanin__is(n, "Concat")) length = n->input_count;
        for (int k = 0; length >= 0 && k < n->input_count; k++)
            if (fanin__constant_ints(g, n->inputs[k], whole, FANIN_MAX_RANK) > 1) length = -1;
    }
    if (count) *count = length;
    double x = element(&c, value, i, DEPTH);
    return x >= 0 && x < 1e15 ? (int64_t)x : -1;
}
