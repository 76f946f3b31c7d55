/* onnx_rank.c - how many axes each value has: ONNX wants that said of outputs, and built graphs do not know.
 * Operators that are not here leave the rank open. */
#include <string.h>

#include "format/onnx_write.h"

typedef enum rule { SAME, BROADCAST, PRODUCT, TWO, ONE, LISTED, GATHERED } rule;

static const struct {
    const char *op;
    rule rule;
} rows[] = {
    {"Add", BROADCAST},
    {"Sub", BROADCAST},
    {"Mul", BROADCAST},
    {"Div", BROADCAST},
    {"Pow", BROADCAST},
    {"Min", BROADCAST},
    {"Max", BROADCAST},
    {"Where", BROADCAST},
    {"Equal", BROADCAST},
    {"Less", BROADCAST},
    {"Greater", BROADCAST},
    {"MatMul", PRODUCT},
    {"Gemm", TWO},
    {"Flatten", TWO},
    {"Shape", ONE},
    {"Reshape", LISTED},
    {"ConstantOfShape", LISTED},
    {"Gather", GATHERED},
    {"Conv", SAME},
    {"MaxPool", SAME},
    {"AveragePool", SAME},
    {"ConvTranspose", SAME},
    {"Concat", SAME},
    {"Split", SAME},
    {"Slice", SAME},
    {"Transpose", SAME},
    {"Pad", SAME},
    {"Identity", SAME},
    {"Cast", SAME},
    {"Dropout", SAME},
    {"Softmax", SAME},
    {"LogSoftmax", SAME},
    {"Trilu", SAME},
    {"PRelu", SAME},
    {"BatchNormalization", SAME},
    {"LayerNormalization", SAME},
    {"GlobalAveragePool", SAME},
    {"InstanceNormalization", SAME},
    {"GlobalMaxPool", SAME},
    {"LRN", SAME},
    {"Abs", SAME},
    {"Celu", SAME},
    {"Clip", SAME},
    {"Cos", SAME},
    {"Elu", SAME},
    {"Erf", SAME},
    {"Exp", SAME},
    {"Log", SAME},
    {"Neg", SAME},
    {"Relu", SAME},
    {"Selu", SAME},
    {"Sign", SAME},
    {"Sin", SAME},
    {"Sqrt", SAME},
    {"Tanh", SAME},
    {"HardSigmoid", SAME},
    {"HardSwish", SAME},
    {"LeakyRelu", SAME},
    {"Sigmoid", SAME},
    {"Softplus", SAME},
    {"Softsign", SAME},
    {"Mish", SAME},
    {"ThresholdedRelu", SAME},
    {"Gelu", SAME},
    {"Activation", SAME}, /* fanin's own domain */
    {"AlphaDropout", SAME},
};

/* -1: open. */
static int rank_of(const fanin_graph *g, const fanin_node *n, const int *ranks) {
    int r[3] = {-1, -1, -1}, most = -1, known = 0;
    for (int i = 0; i < n->input_count && i < 3; i++)
        if (n->inputs[i] >= 0) r[i] = ranks[n->inputs[i]];
    for (int i = 0; i < n->input_count && i < 3; i++) {
        known += r[i] >= 0;
        if (r[i] > most) most = r[i];
    }
    for (size_t i = 0; i < FANIN_COUNT(rows); i++) {
        if (strcmp(rows[i].op, n->op) != 0) continue;
        const fanin_value *list;
        switch (rows[i].rule) {
        case SAME: return r[0];
        case BROADCAST: return known == n->input_count ? most : -1;
        case PRODUCT: return r[0] >= 2 && r[1] >= 2 ? most : -1;
        case TWO: return 2;
        case ONE: return 1;
        case GATHERED: return r[0] >= 1 && r[1] >= 0 ? r[0] + r[1] - 1 : -1;
        case LISTED: /* as many axes as the shape, the last input, has entries */
            list = n->input_count ? &g->values[n->inputs[n->input_count - 1]] : NULL;
            return list && list->rank == 1 && list->dims[0] >= 0 ? (int)list->dims[0] : -1;
        }
    }
    return -1;
}

void fanin__onnx_ranks(const fanin_graph *g, int *ranks) {
    for (int i = 0; i < g->value_count; i++) ranks[i] = g->values[i].rank;
    for (int i = 0; i < g->node_count; i++) {
        const fanin_node *n = &g->nodes[i];
        int rank = n->domain[0] && strcmp(n->domain, "fanin") != 0 ? -1 : rank_of(g, n, ranks);
        for (int k = 0; k < n->output_count; k++)
            if (ranks[n->outputs[k]] < 0)
                ranks[n->outputs[k]] = k == 0 || !strcmp(n->op, "Split") ? rank : -1;
    }
}
