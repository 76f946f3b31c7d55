/* layers.c - a weighted layer is a Conv, ConvTranspose, Gemm or MatMul one of whose operands comes from an
 * initialiser through reshaping operators only; products of two activations (attention) are none. */
#include <stdio.h>
#include <string.h>

#include "probe/layers.h"

static bool one_of(const char *op, const char *const *names) {
    for (; *names; names++)
        if (!strcmp(op, *names)) return true;
    return false;
}

static const char *const weighted_ops[] = {"Conv", "ConvTranspose", "Gemm", "MatMul", NULL};
static const char *const shape_ops[] = {"Transpose", "Reshape", "Identity", "Cast",    "Unsqueeze",
                                        "Squeeze",   "Slice",   "Split",    "Flatten", NULL};
/* What may stand between a layer and its activation. */
static const char *const between_ops[] = {"BatchNormalization",
                                          "LayerNormalization",
                                          "GroupNormalization",
                                          "InstanceNormalization",
                                          "Dropout",
                                          "Identity",
                                          "Reshape",
                                          "Flatten",
                                          "Add",
                                          NULL};

/* ONNX's default parameters are not ours: they are written out. False: not an activation. */
static bool activation_text(const fanin_node *n, char *buf, size_t size) {
    static const struct {
        const char *op, *text, *attr;
        double otherwise;
    } rows[] = {
        {"Relu", "relu", NULL, 0},
        {"Tanh", "tanh", NULL, 0},
        {"Sigmoid", "sigmoid", NULL, 0},
        {"LeakyRelu", "leaky_relu", "alpha", 0.01},
        {"Elu", "elu", "alpha", 1},
        {"Celu", "celu", "alpha", 1},
        {"Selu", "selu", NULL, 0},
        {"Softsign", "softsign", NULL, 0},
        {"Softplus", "softplus", NULL, 0},
        {"HardSwish", "hard_swish", NULL, 0},
        {"Mish", "mish", NULL, 0},
        {"Gelu", "gelu", NULL, 0},
        {"Erf", "erf", NULL, 0},
        {"Sin", "sin", NULL, 0},
        {"PRelu", "prelu", NULL, 0},
        {"HardSigmoid", "hard_sigmoid", "alpha", 0.2},
        {"ThresholdedRelu", "threshold", "alpha", 1},
    };
    if (!strcmp(n->domain, "fanin") && !strcmp(n->op, "Activation")) {
        const char *text = fanin_node_attr_string(n, "name", NULL);
        if (!text) text = fanin_node_attr_string(n, "formula", NULL);
        if (text) snprintf(buf, size, "%s", text);
        return text != NULL;
    }
    for (size_t i = 0; i < FANIN_COUNT(rows); i++) {
        if (strcmp(n->op, rows[i].op) != 0) continue;
        char number[32];
        if (!rows[i].attr)
            snprintf(buf, size, "%s", rows[i].text);
        else
            snprintf(buf, size, "%s:%s", rows[i].text,
                     fanin__number_text(fanin_node_attr_float(n, rows[i].attr, rows[i].otherwise),
                                        number));
        return true;
    }
    return false;
}

/* Who reads a value: the number of readers, and the first. */
typedef struct readers {
    int *count, *first;
} readers;

static fanin_status find_readers(const fanin_graph *g, readers *r) {
    r->count = fanin_calloc((size_t)g->value_count, sizeof *r->count);
    r->first = fanin_calloc((size_t)g->value_count, sizeof *r->first);
    if (!r->count || !r->first) return FANIN_NOMEM;
    for (int n = g->node_count - 1; n >= 0; n--)
        for (int i = 0; i < g->nodes[n].input_count; i++) {
            int v = g->nodes[n].inputs[i];
            if (v < 0) continue;
            r->count[v]++;
            r->first[v] = n;
        }
    return FANIN_OK;
}

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
static int add_bias(const fanin_graph *g, const readers *r, int v) {
    if (r->count[v] != 1) return v;
    const fanin_node *n = &g->nodes[r->first[v]];
    if (strcmp(n->op, "Add") != 0 || n->input_count != 2) return v;
    int other = n->inputs[0] == v ? n->inputs[1] : n->inputs[0];
    return root_weight(g, other) >= 0 ? n->outputs[0] : v;
}

static void find_activation(const fanin_graph *g, const readers *r, fanin__layer *layer) {
    int v = layer->output;
    for (int steps = 0; steps < 8 && r->count[v] >= 1; steps++) {
        int n = r->first[v];
        if (activation_text(&g->nodes[n], layer->act_text, sizeof layer->act_text)) {
            layer->act_node = n;
            layer->act_input = v;
            layer->act_output = g->nodes[n].outputs[0];
            return;
        }
        if (!one_of(g->nodes[n].op, between_ops) || g->nodes[n].output_count < 1) return;
        v = g->nodes[n].outputs[0];
    }
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

static bool make_layer(const fanin_graph *g, const readers *r, int node, fanin__layer *layer) {
    const fanin_node *n = &g->nodes[node];
    if (!one_of(n->op, weighted_ops) || n->domain[0] || n->input_count < 2) return false;
    int operand = 1, weight = root_weight(g, n->inputs[1]);
    if (!is_weight(g, weight) && strcmp(n->op, "MatMul") == 0) {
        operand = 0;
        weight = root_weight(g, n->inputs[0]);
    }
    if (!is_weight(g, weight)) return false;
    *layer = (fanin__layer){.node = node,
                            .weight = weight,
                            .output = n->outputs[0],
                            .act_node = -1,
                            .act_input = -1,
                            .act_output = -1};
    if (!strcmp(n->op, "MatMul")) layer->output = add_bias(g, r, n->outputs[0]);
    layer->rows_are_inputs = stored_in_out(g, n, operand);
    find_activation(g, r, layer);
    return true;
}

fanin_status fanin__layers_find(const fanin_graph *g, fanin__layer **out, int *count,
                                fanin_err *err) {
    readers r = {0};
    *out = NULL;
    *count = 0;
    fanin__layer *layers = fanin_calloc((size_t)g->node_count + 1, sizeof *layers);
    fanin_status status = layers ? find_readers(g, &r) : FANIN_NOMEM;
    for (int n = 0; n < g->node_count && status == FANIN_OK; n++) {
        if (!make_layer(g, &r, n, &layers[*count])) continue;
        fanin__layer *layer = &layers[(*count)++];
        if (!layer->act_text[0]) continue;
        status = fanin_activation_parse(layer->act_text, &layer->act, NULL);
        if (status != FANIN_NOMEM)
            status = FANIN_OK; /* an unknown one is measured without its slope */
    }
    fanin_free(r.count);
    fanin_free(r.first);
    if (status != FANIN_OK) {
        fanin__layers_free(layers, *count);
        *count = 0;
        return fanin_err_set(err, status, "%s: no memory to look for layers", g->name);
    }
    *out = layers;
    return FANIN_OK;
}

void fanin__layers_free(fanin__layer *layers, int count) {
    for (int i = 0; i < count && layers; i++) fanin_activation_destroy(layers[i].act);
    fanin_free(layers);
}
