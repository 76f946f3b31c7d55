/* pattern_export.c - what an exporter or a converter made of the network: tied tables, norms folded into
 * convolutions, integers, operators of a run time. */
#include <string.h>

#include "graph/pattern.h"

/* ---- tied tables --------------------------------------------------------------------------------- */

/* The product that has `value` as its matrix, directly or turned; -1: none. */
static int product_of(const fanin__finder *f, int value, int depth) {
    for (int i = f->w.first[value]; i < fanin__readers_end(&f->w, value); i++) {
        int at = f->w.readers[i].node;
        const fanin_node *n = &f->graph->nodes[at];
        if (n->output_count < 1 || n->outputs[0] < 0) continue;
        bool live = f->w.live[n->outputs[0]];
        if (fanin__is(n, "MatMul|Gemm") && live && f->w.readers[i].slot < 2) return at;
        if (depth > 0 && !live && fanin__is(n, "Transpose|Identity|Cast")) {
            int found = product_of(f, n->outputs[0], depth - 1);
            if (found >= 0) return found;
        }
    }
    return -1;
}

/* The Gather that looks rows up with what the caller feeds; -1: none. */
static int lookup_of(const fanin__finder *f, int value) {
    for (int i = f->w.first[value]; i < fanin__readers_end(&f->w, value); i++) {
        int at = f->w.readers[i].node;
        const fanin_node *n = &f->graph->nodes[at];
        if (fanin__is(n, "Gather") && f->w.readers[i].slot == 0 && n->input_count == 2 &&
            n->inputs[1] >= 0 && f->w.live[n->inputs[1]] && fanin_node_attr_int(n, "axis", 0) == 0)
            return at;
    }
    return -1;
}

static bool is_table(const fanin_value *v) {
    return (v->flags & FANIN_VALUE_INITIALIZER) && v->rank == 2 && fanin_dtype_is_float(v->dtype) &&
           v->dims[0] > 1 && v->dims[1] > 1;
}

/* Same values at some hundred positions, turned or not; a table of one number proves nothing. */
static bool same_values(const fanin_value *a, const fanin_value *b, bool turned) {
    size_t size = fanin_dtype_size(a->dtype), rows = (size_t)a->dims[0], cols = (size_t)a->dims[1];
    if (!a->data || !b->data || a->dtype != b->dtype || size == 0) return false;
    if (a->size / size / rows < cols || b->size / size / rows < cols) return false;
    const char *x = a->data, *y = b->data;
    bool varied = false;
    for (size_t i = 0; i < 512; i++) {
        size_t r = i * 7919 % rows, c = (i * 104729 + i / rows) % cols;
        const char *p = x + (r * cols + c) * size;
        if (memcmp(p, y + (turned ? c * rows + r : r * cols + c) * size, size) != 0) return false;
        varied = varied || memcmp(p, x, size) != 0;
    }
    return varied;
}

static bool is_copy(const fanin_value *table, const fanin_value *other) {
    if (!is_table(other)) return false;
    bool same = other->dims[0] == table->dims[0] && other->dims[1] == table->dims[1];
    bool turned = other->dims[0] == table->dims[1] && other->dims[1] == table->dims[0];
    return (same && same_values(table, other, false)) ||
           (turned && same_values(table, other, true));
}

/* A constant that a fold has turned is a tensor of its own, with the table's values. */
static int find_copy(const fanin__finder *f, int table, int *product) {
    const fanin_graph *g = f->graph;
    for (int v = 0; v < g->value_count; v++) {
        if (v == table || !is_copy(&g->values[table], &g->values[v])) continue;
        *product = product_of(f, v, 3);
        if (*product >= 0) return v;
    }
    return -1;
}

static void find_tied(fanin__finder *f) {
    const fanin_graph *g = f->graph;
    int tables = 0;
    for (int v = 0; v < g->value_count && tables < 64 && !f->no_memory; v++) {
        if (!is_table(&g->values[v])) continue;
        int lookup = lookup_of(f, v), copy = -1, product = -1;
        if (lookup < 0) continue;
        tables++;
        product = product_of(f, v, 3);
        if (product < 0) copy = find_copy(f, v, &product);
        if (product < 0) continue;
        fanin_pattern *p = fanin__pattern_add(f, FANIN_PATTERN_TIED, NULL, 0);
        if (!p) return;
        p->tensor = v;
        p->lookup = lookup;
        p->product = product;
        p->copy = copy;
    }
}

/* ---- converted operators -------------------------------------------------------------------------- */

static bool is_quantised(const fanin_node *n) {
    return fanin__is(
        n, "QuantizeLinear|DequantizeLinear|DynamicQuantizeLinear|QLinearConv|QLinearMatMul|"
           "ConvInteger|MatMulInteger|QGemm|QLinearAdd|QLinearMul|QLinearSigmoid|"
           "QLinearGlobalAveragePool|QLinearConcat|QAttention|QEmbedLayerNormalization|"
           "DynamicQuantizeMatMul|MatMulIntegerToFloat|MatMulNBits");
}

static bool is_fused(const fanin_node *n) {
    return !strcmp(n->domain, "com.microsoft") || !strcmp(n->domain, "com.microsoft.nchwc") ||
           fanin__is(n, "FusedConv|FusedGemm|FusedMatMul");
}

/* Names that say what an exporter did with a convolution's weight. */
static bool is_folded(const fanin_graph *g, const fanin_node *n) {
    if (!fanin__is(n, "Conv") || n->input_count < 3 || n->inputs[1] < 0 || n->inputs[2] < 0)
        return false;
    const char *name = g->values[n->inputs[1]].name;
    return !strncmp(name, "onnx::Conv", 10) || strstr(name, "fused_bn");
}

static bool any_norm(const fanin__finder *f) {
    for (int i = 0; i < f->count; i++)
        if (f->items[i].kind == FANIN_PATTERN_BATCH_NORM) return true;
    return false;
}

void fanin__find_exports(fanin__finder *f) {
    const fanin_graph *g = f->graph;
    bool folded = !any_norm(f);
    for (int i = 0; i < g->node_count && folded; i++)
        if (fanin__is(&g->nodes[i], "Conv") && g->nodes[i].input_count < 3) folded = false;
    for (int i = 0; i < g->node_count && !f->no_memory; i++) {
        const fanin_node *n = &g->nodes[i];
        if (is_quantised(n))
            fanin__pattern_add(f, FANIN_PATTERN_QUANTISED, &i, 1);
        else if (is_fused(n) && f->found_by[i] < 0)
            fanin__pattern_add(f, FANIN_PATTERN_FUSED, &i, 1);
        else if (folded && is_folded(g, n))
            fanin__pattern_add(f, FANIN_PATTERN_FOLDED_NORM, &i, 1);
    }
    if (!f->no_memory) find_tied(f);
}
