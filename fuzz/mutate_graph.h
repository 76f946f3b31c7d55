/* mutate_graph.h - a graph, changed in its own terms: inputs rewired, operators renamed, attributes, shapes
 * and stored integers set to what hurts. Static functions for fuzz_program.c and test_mutated_graphs.c.
 *
 * A change is four bytes: what, where, which part of it, to what. */
#ifndef FANIN_MUTATE_GRAPH_H
#define FANIN_MUTATE_GRAPH_H

#include <stdlib.h>
#include <string.h>

#include "fanin/engine.h"
#include "graph/graph.h"

enum { CHANGE_BYTES = 4 };

static const int64_t hurtful[] = {
    0,         1,         -1,           2, 3, 7, -2, 16, 1 << 20, INT32_MAX, INT64_MAX,
    INT64_MIN, 1LL << 40, -(1LL << 33), 5, 64};
enum { HURTFUL_COUNT = sizeof hurtful / sizeof *hurtful };

static const fanin_dtype some_types[] = {FANIN_F32, FANIN_F64, FANIN_I64, FANIN_BOOL, FANIN_I32};

/* What changes: copies of the parts that the graph holds. */
typedef struct mutant {
    const fanin_graph *from;
    fanin_value *values;
    fanin_node *nodes;
    int *inputs;       /* of all nodes, end to end */
    fanin_attr *attrs; /* likewise */
    int64_t *ints;     /* of attributes and of stored integers */
    size_t ints_used, ints_room;
} mutant;

static int64_t *mutant_ints(mutant *m, const void *from, size_t count) {
    if (count > m->ints_room - m->ints_used) return NULL;
    int64_t *to = m->ints + m->ints_used;
    memcpy(to, from, count * sizeof *to);
    m->ints_used += count;
    return to;
}

static void mutant_init(mutant *m, const fanin_graph *g) {
    size_t inputs = 1, attrs = 1;
    for (int i = 0; i < g->node_count; i++) {
        inputs += (size_t)g->nodes[i].input_count;
        attrs += (size_t)g->nodes[i].attr_count;
    }
    *m = (mutant){.from = g, .ints_room = 4096};
    m->values = malloc(sizeof *m->values * ((size_t)g->value_count + 1));
    m->nodes = malloc(sizeof *m->nodes * ((size_t)g->node_count + 1));
    m->inputs = malloc(sizeof *m->inputs * inputs);
    m->attrs = malloc(sizeof *m->attrs * attrs);
    m->ints = malloc(sizeof *m->ints * m->ints_room);
    if (!m->values || !m->nodes || !m->inputs || !m->attrs || !m->ints) abort();
    memcpy(m->values, g->values, sizeof *m->values * (size_t)g->value_count);
    int *input = m->inputs;
    fanin_attr *attr = m->attrs;
    for (int i = 0; i < g->node_count; i++) {
        fanin_node *n = &m->nodes[i];
        *n = g->nodes[i];
        if (n->input_count) memcpy(input, n->inputs, sizeof *input * (size_t)n->input_count);
        if (n->attr_count) memcpy(attr, n->attrs, sizeof *attr * (size_t)n->attr_count);
        n->inputs = input;
        n->attrs = attr;
        input += n->input_count;
        attr += n->attr_count;
    }
}

static void mutant_fini(mutant *m) {
    free(m->values);
    free(m->nodes);
    free(m->inputs);
    free(m->attrs);
    free(m->ints);
}

static void change_attr(mutant *m, fanin_attr *a, unsigned part, unsigned to) {
    int64_t n = hurtful[to % HURTFUL_COUNT];
    if (a->type == FANIN_ATTR_INT) a->i = n;
    if (a->type == FANIN_ATTR_FLOAT) a->f = to % 5 ? (double)n : to > 127 ? 1e300 * 1e300 : -0.5;
    if (a->type == FANIN_ATTR_STRING) a->s = to % 2 ? "SAME_UPPER" : "";
    if (a->type == FANIN_ATTR_INTS && a->count) {
        int64_t *ints = mutant_ints(m, a->ints, a->count);
        if (!ints) return;
        ints[part % a->count] = n;
        a->ints = ints;
        if (to > 200) a->count--;
    }
}

/* Stored integers steer shapes: Reshape, Slice, Expand ... */
static void change_stored(mutant *m, unsigned where, unsigned part, unsigned to) {
    int found = -1, skip = (int)where % 16;
    for (int i = 0; i < m->from->value_count && skip >= 0; i++) {
        const fanin_value *v = &m->values[i];
        if (v->dtype == FANIN_I64 && v->data && v->size >= 8 && v->size <= 512) found = i, skip--;
    }
    if (found < 0) return;
    fanin_value *v = &m->values[found];
    int64_t *ints = mutant_ints(m, v->data, v->size / 8);
    if (!ints) return;
    ints[part % (v->size / 8)] = hurtful[to % HURTFUL_COUNT];
    v->data = ints;
}

static void change_value(fanin_value *v, unsigned what, unsigned part, unsigned to) {
    if (v->producer >= 0) return; /* what a node makes gets its type from the node */
    if (what == 0 && v->rank > 0) v->dims[part % (unsigned)v->rank] = hurtful[to % HURTFUL_COUNT];
    if (what == 1 && v->rank > 0) v->rank--;
    if (what == 2 && v->rank >= 0 && v->rank < FANIN_MAX_RANK) v->dims[v->rank++] = 1 + to % 3;
    if (what == 3) v->dtype = some_types[to % (sizeof some_types / sizeof *some_types)];
    if (!v->data) return; /* no payload that has to fit */
    v->data = NULL;
    v->size = 0;
}

static void mutant_change(mutant *m, const uint8_t *change) {
    const fanin_graph *g = m->from;
    unsigned where = change[1], part = change[2], to = change[3];
    if (!g->node_count || !g->value_count) return;
    /* Wide graphs are reached all over: `part` says which stretch. */
    unsigned at = (where + 256 * part) % (unsigned)g->node_count;
    fanin_node *n = &m->nodes[at];
    int *inputs = m->inputs + (n->inputs - m->inputs); /* as written to, not only read */
    fanin_attr *attrs = m->attrs + (n->attrs - m->attrs);
    switch (change[0] % 12) {
    case 0: /* reads another value; a later one makes a cycle */
        if (n->input_count)
            inputs[part % (unsigned)n->input_count] = (int)((at + to) % (unsigned)g->value_count);
        break;
    case 1: /* reads what its neighbour reads */
        if (n->input_count && at + 1 < (unsigned)g->node_count && m->nodes[at + 1].input_count)
            inputs[part % (unsigned)n->input_count] = m->nodes[at + 1].inputs[0];
        break;
    case 2:
        if (n->input_count) inputs[part % (unsigned)n->input_count] = -1;
        break;
    case 3: n->op = fanin_operator_at((int)(to % (unsigned)fanin_operator_count())).name; break;
    case 4: /* takes the operator of another node of this graph, its attributes stay */
        n->op = m->nodes[to % (unsigned)g->node_count].op;
        break;
    case 5:
    case 6:
        if (n->attr_count) change_attr(m, &attrs[part % (unsigned)n->attr_count], part, to);
        break;
    case 7:
        if (n->attr_count) n->attr_count--;
        break;
    case 8: change_stored(m, where, part, to); break;
    case 9:
    case 10:
        change_value(&m->values[(where + 256 * (to / 64)) % (unsigned)g->value_count],
                     change[0] % 4, part, to);
        break;
    case 11:
        if (n->input_count > 1) n->input_count--;
        break;
    }
}

/* The changed graph through the builder, which checks it. It borrows stored values: the first graph and
 * the mutant must outlive it. */
static fanin_status mutant_build(const mutant *m, fanin_graph **graph, fanin_err *err) {
    const fanin_graph *g = m->from;
    fanin_graph_builder *b;
    *graph = NULL;
    fanin_status status = fanin_graph_builder_create("mutant", g->opset, &b);
    if (status != FANIN_OK) return fanin_err_set(err, status, "no memory for a builder");
    for (int i = 0; i < g->value_count; i++) /* keeps the indices, and lets nodes read ahead */
        if (fanin__graph_reference(b, m->values[i].name) < 0) break;
    for (int i = 0; i < g->value_count && fanin__graph_status(b) == FANIN_OK; i++) {
        const fanin_value *v = &m->values[i];
        if (v->producer >= 0) continue;
        if (v->flags & FANIN_VALUE_INPUT)
            fanin__graph_define_input(b, i);
        else
            fanin__graph_define_stored(b, i,
                                       v->data && v->flags & FANIN_VALUE_CONSTANT
                                           ? FANIN_VALUE_CONSTANT
                                           : FANIN_VALUE_INITIALIZER,
                                       v->data, v->size);
        fanin__graph_set_type(b, i, v->dtype, v->rank, v->dims, v->dim_names);
    }
    for (int i = 0; i < g->node_count && fanin__graph_status(b) == FANIN_OK; i++) {
        const fanin_node *n = &m->nodes[i];
        fanin__graph_define_node(b, n->op, n->domain, n->name, n->inputs, n->input_count,
                                 g->nodes[i].outputs, n->output_count, n->attrs, n->attr_count);
    }
    for (int i = 0; i < g->output_count && fanin__graph_status(b) == FANIN_OK; i++)
        fanin_graph_output(b, g->outputs[i], NULL);
    return fanin_graph_builder_finish(b, graph, err);
}

#endif
