/* layers.c - a weighted layer is a Conv, ConvTranspose, Gemm or MatMul one of whose operands comes from an
 * initialiser through reshaping operators only; products of two activations (attention) are none. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe/layers.h"
#include "scheme/classify.h"

static bool one_of(const char *op, const char *const *names) {
    for (; *names; names++)
        if (!strcmp(op, *names)) return true;
    return false;
}

static const char *const weighted_ops[] = {"Conv", "ConvTranspose", "Gemm", "MatMul", NULL};
static const char *const shape_ops[] = {"Transpose", "Reshape", "Identity", "Cast",    "Unsqueeze",
                                        "Squeeze",   "Slice",   "Split",    "Flatten", NULL};
/* The initialiser behind a value, or -1. */
static int root_weight(const fanin_graph *g, int v) {
    for (int steps = 0; v >= 0 && steps < 32; steps++) {
        const fanin_value *value = &g->values[v];
        if (value->flags & FANIN_VALUE_INITIALIZER) return v;
        if (value->producer < 0 || !one_of(g->nodes[value->producer].op, shape_ops)) return -1;
        v = g->nodes[value->producer].inputs[0];
    }
    return -1;
}

static bool is_weight(const fanin_graph *g, int v) {
    return v >= 0 && fanin_dtype_is_float(g->values[v].dtype) && g->values[v].rank >= 2;
}

/* MatMul followed by an Add of a stored vector: the sum is the layer's output. */
static int add_bias(const fanin__wiring *w, int v) {
    const fanin_graph *g = w->graph;
    if (w->first[v + 1] - w->first[v] != 1) return v;
    const fanin_node *n = &g->nodes[w->readers[w->first[v]].node];
    if (strcmp(n->op, "Add") != 0 || n->input_count != 2) return v;
    int other = n->inputs[0] == v ? n->inputs[1] : n->inputs[0];
    return root_weight(g, other) >= 0 ? n->outputs[0] : v;
}

static void find_activation(fanin__wiring *w, const fanin__recognised *r, fanin__layer *layer) {
    const char *text =
        fanin__follow_activation(w, r, &w->graph->nodes[layer->node], layer->act_text,
                                 sizeof layer->act_text, &layer->act_input, &layer->act_output);
    if (text && text != layer->act_text)
        snprintf(layer->act_text, sizeof layer->act_text, "%s", text);
    if (!text) layer->act_text[0] = '\0';
}

/* Units are rows of a stored (out, in, ...) tensor and columns of a stored (in, out) one. */
static bool stored_in_out(const fanin_graph *g, const fanin_node *n, int operand) {
    if (!strcmp(n->op, "ConvTranspose")) return true;
    if (!strcmp(n->op, "Conv")) return false;
    bool in_out = operand == 1;
    if (!strcmp(n->op, "Gemm") && fanin_node_attr_int(n, operand == 1 ? "transB" : "transA", 0))
        in_out = !in_out;
    int v = n->inputs[operand];
    while (g->values[v].producer >= 0) { /* each transposition on the way swaps the two */
        const fanin_node *p = &g->nodes[g->values[v].producer];
        if (!strcmp(p->op, "Transpose")) in_out = !in_out;
        v = p->inputs[0];
    }
    return in_out;
}

/* The result of the first batch norm that reads a value, or -1. */
static int batch_norm_of(const fanin__wiring *w, int v) {
    for (int i = w->first[v]; i < fanin__readers_end(w, v); i++) {
        const fanin_node *n = &w->graph->nodes[w->readers[i].node];
        if (!strcmp(n->op, "BatchNormalization") && w->readers[i].slot == 0) return n->outputs[0];
    }
    return -1;
}

static void find_slopes(fanin__layer *layer) {
    double x[161], d[161], far[2] = {-60, 60}, far_slope[2], largest = 0;
    for (int i = 0; i <= 160; i++) x[i] = (i - 80) * 0.1 + 1e-9;
    fanin_activation_eval(layer->act, 1, x, d, 161);
    fanin_activation_eval(layer->act, 1, far, far_slope, 2);
    for (int i = 0; i <= 160; i++) {
        largest = fmax(largest, fabs(d[i]));
        layer->act_slope.flat = layer->act_slope.flat || d[i] == 0;
    }
    layer->act_slope.largest = largest;
    layer->act_slope.bounded =
        fabs(far_slope[0]) < 0.05 * largest && fabs(far_slope[1]) < 0.05 * largest;
}

static bool make_layer(fanin__wiring *w, const fanin__recognised *r, int node,
                       fanin__layer *layer) {
    const fanin_graph *g = w->graph;
    const fanin_node *n = &g->nodes[node];
    if (!one_of(n->op, weighted_ops) || n->domain[0] || n->input_count < 2) return false;
    int operand = 1, weight = root_weight(g, n->inputs[1]);
    if (!is_weight(g, weight) && strcmp(n->op, "MatMul") == 0) {
        operand = 0;
        weight = root_weight(g, n->inputs[0]);
    }
    if (!is_weight(g, weight)) return false;
    *layer = (fanin__layer){
        .node = node, .weight = weight, .output = n->outputs[0], .act_input = -1, .act_output = -1};
    if (!strcmp(n->op, "MatMul")) layer->output = add_bias(w, n->outputs[0]);
    layer->norm_output = batch_norm_of(w, layer->output);
    layer->rows_are_inputs = stored_in_out(g, n, operand);
    find_activation(w, r, layer);
    return true;
}

fanin_status fanin__layers_find(const fanin_graph *g, fanin__layer **out, int *count,
                                fanin_err *err) {
    fanin__wiring w;
    fanin__recognised r;
    *out = NULL;
    *count = 0;
    FANIN_TRY(fanin__recognise(g, &r, err));
    fanin_status wired = fanin__wiring_create(g, &w, err);
    if (wired != FANIN_OK) {
        fanin__recognised_fini(&r);
        return wired;
    }
    fanin__layer *layers = fanin_calloc((size_t)g->node_count + 1, sizeof *layers);
    fanin_status status = layers ? FANIN_OK : FANIN_NOMEM;
    for (int n = 0; n < g->node_count && status == FANIN_OK; n++) {
        if (!make_layer(&w, &r, n, &layers[*count])) continue;
        fanin__layer *layer = &layers[(*count)++];
        if (!layer->act_text[0]) continue;
        status = fanin_activation_parse(layer->act_text, &layer->act, NULL);
        if (status != FANIN_NOMEM)
            status = FANIN_OK; /* an unknown one is measured without its slope */
        if (layer->act) find_slopes(layer);
    }
    fanin__wiring_fini(&w);
    fanin__recognised_fini(&r);
    if (status != FANIN_OK) {
        fanin__layers_free(layers, *count);
        *count = 0;
        return fanin_err_set(err, status, "%s: no memory to look for layers", g->name);
    }
    *out = layers;
    return FANIN_OK;
}

int *fanin__layers_values(const fanin__layer *layers, int n, int *count) {
    int *values = fanin_calloc(4 * (size_t)n + 1, sizeof *values);
    *count = 0;
    for (int i = 0; i < n && values; i++) {
        const fanin__layer *l = &layers[i];
        const int of[] = {l->output, l->act_input, l->act_output, l->norm_output};
        for (size_t k = 0; k < FANIN_COUNT(of); k++)
            if (of[k] >= 0) values[(*count)++] = of[k];
    }
    return values;
}

void fanin__layers_free(fanin__layer *layers, int count) {
    for (int i = 0; i < count && layers; i++) fanin_activation_destroy(layers[i].act);
    fanin_free(layers);
}
