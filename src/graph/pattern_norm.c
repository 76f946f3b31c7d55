/* pattern_norm.c - norms that are operators, and group norms, which exporters write as an instance norm between two
 * Reshapes with scale and shift behind them. */
#include <math.h>
#include <string.h>

#include "graph/pattern.h"

static int input(const fanin_node *n, int k) { return n->input_count > k ? n->inputs[k] : -1; }

static fanin_pattern *add(fanin__finder *f, fanin_pattern_kind kind, int at, const char *eps,
                          double usual) {
    const fanin_node *n = &f->graph->nodes[at];
    fanin_pattern *p = fanin__pattern_add(f, kind, &at, 1);
    if (!p) return NULL;
    p->input = input(n, 0);
    p->output = n->output_count > 0 ? n->outputs[0] : -1;
    p->eps = fanin_node_attr_float(n, eps, usual);
    p->scale = input(n, 1);
    p->shift = input(n, 2);
    return p;
}

/* From opset 14 an attribute says so; before, the statistics that come out. */
static bool trains(const fanin_node *n) {
    if (fanin_node_attr_int(n, "training_mode", 0)) return true;
    for (int k = 1; k < n->output_count; k++)
        if (n->outputs[k] >= 0 && !fanin_node_attr(n, "training_mode")) return true;
    return false;
}

static void add_operator(fanin__finder *f, int at) {
    const fanin_node *n = &f->graph->nodes[at];
    fanin_pattern *p = NULL;
    if (fanin__is(n, "BatchNormalization")) {
        p = add(f, FANIN_PATTERN_BATCH_NORM, at, "epsilon", 1e-5);
        if (p) p->training = trains(n);
    } else if (fanin__is(n, "LayerNormalization")) {
        p = add(f, FANIN_PATTERN_LAYER_NORM, at, "epsilon", 1e-5);
        if (p) p->axis_count = 1;
        if (p) p->axes[0] = fanin_node_attr_int(n, "axis", -1);
    } else if (fanin__is(n, "InstanceNormalization")) {
        p = add(f, FANIN_PATTERN_INSTANCE_NORM, at, "epsilon", 1e-5);
    } else if (fanin__is(n, "GroupNormalization")) {
        p = add(f, FANIN_PATTERN_GROUP_NORM, at, "epsilon", 1e-5);
        if (p) p->groups = fanin_node_attr_int(n, "num_groups", 0);
    } else if (fanin__is(n, "RMSNormalization|SimplifiedLayerNormalization")) {
        p = add(f, FANIN_PATTERN_RMS_NORM, at, "epsilon", 1e-5);
    } else if (fanin__is(n, "LpNormalization") && fanin_node_attr_int(n, "p", 2) == 2) {
        p = add(f, FANIN_PATTERN_L2_NORM, at, "epsilon", 0);
        if (p) p->axis_count = 1;
        if (p) p->axes[0] = fanin_node_attr_int(n, "axis", -1);
        if (p) p->eps = NAN;
    }
}

/* ---- group norm ------------------------------------------------------------------------------------ */

/* The one node that reads `value`, its shape aside; -1: none, or several, or an output of the graph. */
static int sole_reader(const fanin__finder *f, int value) {
    int found = -1;
    if (value < 0 || f->w.shown[value]) return -1;
    for (int i = f->w.first[value]; i < fanin__readers_end(&f->w, value); i++) {
        int at = f->w.readers[i].node;
        if (fanin__is(&f->graph->nodes[at], "Shape|Size")) continue;
        if (found >= 0 && found != at) return -1;
        found = at;
    }
    return found;
}

/* All elements equal `number`, or the file does not hold them. */
static bool all_are(const fanin_graph *g, int value, double number) {
    const fanin_value *v = fanin__constant(g, value);
    if (value < 0 || !v) return value < 0;
    size_t size = fanin_dtype_size(v->dtype);
    if (size == 0 || v->size / size > 4096) return false;
    for (size_t i = 0; i < v->size / size; i++) {
        double x;
        if (fanin_convert_to_f64((const char *)v->data + i * size, v->dtype, 1, &x) != FANIN_OK ||
            x != number)
            return false;
    }
    return true;
}

/* x * scale or x + shift with something that the caller does not feed; its value. -1: neither. */
static int affine(const fanin__finder *f, int at, int x, const char *op) {
    const fanin_node *n = at < 0 ? NULL : &f->graph->nodes[at];
    if (!n || !fanin__is(n, op) || n->input_count != 2 || f->found_by[at] >= 0) return -1;
    int other = n->inputs[0] == x ? n->inputs[1] : n->inputs[0];
    return other >= 0 && !f->w.live[other] ? other : -1;
}

static void regroup(fanin__finder *f, int index) {
    const fanin_graph *g = f->graph;
    fanin_pattern p = f->items[index];
    int before = p.input < 0 ? -1 : g->values[p.input].producer, count;
    int after = sole_reader(f, p.output);
    if (before < 0 || !fanin__is(&g->nodes[before], "Reshape") || after < 0) return;
    if (!fanin__is(&g->nodes[after], "Reshape")) return;
    int64_t groups = fanin__pattern_element(f, input(&g->nodes[before], 1), 1, &count);
    bool whole = p.scale < 0 && p.shift < 0;
    if (!p.spelled) whole = all_are(g, p.scale, 1) && all_are(g, p.shift, 0);
    if (count < 3 || groups < 1 || !whole) return;
    int nodes[FANIN__CONE_NODES + 4], n = 0;
    for (int i = 0; i < p.node_count && n < FANIN__CONE_NODES; i++) nodes[n++] = p.nodes[i];
    nodes[n++] = before;
    nodes[n++] = after;
    int y = g->nodes[after].outputs[0], next = sole_reader(f, y);
    int scale = affine(f, next, y, "Mul"), shift = -1;
    if (scale >= 0) {
        nodes[n++] = next;
        y = g->nodes[next].outputs[0];
        next = sole_reader(f, y);
        shift = affine(f, next, y, "Add");
        if (shift >= 0) {
            nodes[n++] = next;
            y = g->nodes[next].outputs[0];
        }
    }
    fanin_pattern *whole_norm = fanin__pattern_add(f, FANIN_PATTERN_GROUP_NORM, nodes, n);
    if (!whole_norm) return;
    const int *kept = whole_norm->nodes;
    for (int i = 0; i < n; i++) f->found_by[kept[i]] = index;
    f->items[index] = *whole_norm; /* in the place of its core */
    f->count--;
    fanin_pattern *q = &f->items[index];
    q->spelled = true;
    q->eps = p.eps;
    q->groups = groups;
    q->input = input(&g->nodes[before], 0);
    q->output = y;
    q->scale = scale;
    q->shift = shift;
}

void fanin__find_norms(fanin__finder *f) {
    for (int i = 0; i < f->graph->node_count && !f->no_memory; i++)
        if (f->found_by[i] < 0) add_operator(f, i);
    for (int i = 0; i < f->count && !f->no_memory; i++) {
        fanin_pattern_kind k = f->items[i].kind;
        if (k == FANIN_PATTERN_INSTANCE_NORM ||
            (k == FANIN_PATTERN_LAYER_NORM && f->items[i].spelled))
            regroup(f, i);
    }
}
