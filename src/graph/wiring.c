/* wiring.c - who reads a value, and what a value depends on. */
#include <math.h>
#include <string.h>

#include "graph/wiring.h"

static fanin_status no_memory(const fanin_graph *graph, fanin_err *err) {
    return fanin_err_set(err, FANIN_NOMEM, "%.200s: no memory to see who reads %d values",
                         graph->name, graph->value_count);
}

/* Counting sort of all (value, node, slot). */
static bool list_readers(fanin__wiring *w) {
    const fanin_graph *g = w->graph;
    size_t total = 0;
    for (int i = 0; i < g->node_count; i++) total += (size_t)g->nodes[i].input_count;
    w->first = fanin_calloc((size_t)g->value_count + 2, sizeof *w->first);
    w->readers = fanin_calloc(total + 1, sizeof *w->readers);
    if (!w->first || !w->readers) return false;
    int *next = w->first + 1; /* becomes `first` while it is filled */
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] >= 0) next[g->nodes[i].inputs[k] + 1]++;
    for (int v = 0; v < g->value_count; v++) next[v + 1] += next[v];
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] >= 0) {
                struct fanin__reader *r = &w->readers[next[g->nodes[i].inputs[k]]++];
                *r = (struct fanin__reader){i, k};
            }
    return true;
}

static void find_live(fanin__wiring *w) {
    const fanin_graph *g = w->graph;
    for (int i = 0; i < g->input_count; i++) w->live[g->inputs[i]] = true;
    for (int i = 0; i < g->node_count; i++) {
        const fanin_node *n = &g->nodes[i];
        bool live = false;
        if (fanin__is(n, "Shape|Size")) continue;
        for (int k = 0; k < n->input_count; k++)
            if (n->inputs[k] >= 0 && w->live[n->inputs[k]]) live = true;
        if (fanin__is(n, "RandomNormalLike|RandomUniformLike")) live = true;
        for (int k = 0; k < n->output_count; k++)
            if (n->outputs[k] >= 0) w->live[n->outputs[k]] = live;
    }
}

fanin_status fanin__wiring_create(const fanin_graph *graph, fanin__wiring *w, fanin_err *err) {
    *w = (fanin__wiring){.graph = graph};
    size_t values = (size_t)graph->value_count + 1;
    w->live = fanin_calloc(values, sizeof *w->live);
    w->shown = fanin_calloc(values, sizeof *w->shown);
    w->mark = fanin_calloc(values, sizeof *w->mark);
    if (!w->live || !w->shown || !w->mark || !list_readers(w)) {
        fanin__wiring_fini(w);
        return no_memory(graph, err);
    }
    for (int i = 0; i < graph->output_count; i++) w->shown[graph->outputs[i]] = true;
    find_live(w);
    return FANIN_OK;
}

void fanin__wiring_fini(fanin__wiring *w) {
    fanin_free(w->first);
    fanin_free(w->readers);
    fanin_free(w->live);
    fanin_free(w->shown);
    fanin_free(w->mark);
    *w = (fanin__wiring){0};
}

int fanin__readers_end(const fanin__wiring *w, int value) {
    int begin = w->first[value], end = w->first[value + 1];
    return end - begin < 1024 ? end : begin + 1024;
}

bool fanin__is(const fanin_node *node, const char *ops) {
    size_t n = strlen(node->op);
    for (const char *s = ops; n && (s = strstr(s, node->op)); s += n)
        if ((s == ops || s[-1] == '|') && (s[n] == '|' || !s[n])) return true;
    return false;
}

const fanin_node *fanin__maker(const fanin__wiring *w, int value, const char *behind) {
    const fanin_graph *g = w->graph;
    for (int step = 0; step < 64 && value >= 0 && g->values[value].producer >= 0; step++) {
        const fanin_node *n = &g->nodes[g->values[value].producer];
        if (!fanin__is(n, behind) || n->input_count < 1) return n;
        value = n->inputs[0];
    }
    return NULL;
}

const fanin_value *fanin__constant(const fanin_graph *graph, int value) {
    if (value < 0) return NULL;
    const fanin_value *v = &graph->values[value];
    if (v->data) return v;
    if (v->producer < 0) return NULL;
    const fanin_node *n = &graph->nodes[v->producer];
    if (fanin__is(n, "Identity|Cast") && n->input_count == 1 && n->inputs[0] >= 0) {
        v = &graph->values[n->inputs[0]];
        if (v->data) return v;
        if (v->producer < 0) return NULL;
        n = &graph->nodes[v->producer];
    }
    if (!fanin__is(n, "Constant")) return NULL;
    const fanin_attr *a = fanin_node_attr(n, "value");
    return a && a->type == FANIN_ATTR_TENSOR && a->tensor && a->tensor->data ? a->tensor : NULL;
}

static size_t elements(const fanin_value *v) {
    size_t count;
    if (v->rank < 0 || !fanin__shape_count(v->dims, v->rank, &count)) return 0;
    size_t size = fanin_dtype_size(v->dtype);
    return size && v->size / size >= count ? count : 0;
}

int fanin__constant_ints(const fanin_graph *graph, int value, int64_t *out, int max) {
    const fanin_value *v = fanin__constant(graph, value);
    if (!v || (v->dtype != FANIN_I64 && v->dtype != FANIN_I32)) return -1;
    size_t count = elements(v);
    if (count > (size_t)max || (count == 0 && v->size)) return -1;
    for (size_t i = 0; i < count; i++) {
        if (v->dtype == FANIN_I64) {
            memcpy(&out[i], (const char *)v->data + 8 * i, 8);
        } else {
            int32_t word;
            memcpy(&word, (const char *)v->data + 4 * i, 4);
            out[i] = word;
        }
    }
    return (int)count;
}

int fanin__node_ints(const fanin_graph *graph, const fanin_node *n, const char *name, int slot,
                     int64_t *out, int max) {
    const fanin_attr *a = fanin_node_attr(n, name);
    if (!a)
        return n->input_count > slot ? fanin__constant_ints(graph, n->inputs[slot], out, max) : -1;
    if (a->type != FANIN_ATTR_INTS || a->count > (size_t)max) return -1;
    for (size_t i = 0; i < a->count; i++) out[i] = a->ints[i];
    return (int)a->count;
}

double fanin__constant_number(const fanin_graph *graph, int value) {
    const fanin_value *v = fanin__constant(graph, value);
    double number;
    int64_t whole;
    if (!v || elements(v) != 1) return NAN;
    if (fanin__constant_ints(graph, value, &whole, 1) == 1) return (double)whole;
    if (fanin_convert_to_f64(v->data, v->dtype, 1, &number) != FANIN_OK) return NAN;
    return number;
}
