/* activation_node.c - one row an ONNX operator that is an activation. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "operator/activation_node.h"

typedef struct parameter {
    const char *attr;
    double onnx, ours; /* what a missing attribute means, and what a missing parameter means */
} parameter;

static const struct {
    const char *op, *name;
    parameter p[2];
} rows[] = {
    {"Relu", "relu", {{0}}},
    {"Tanh", "tanh", {{0}}},
    {"Sigmoid", "sigmoid", {{0}}},
    {"Softsign", "softsign", {{0}}},
    {"Softplus", "softplus", {{0}}},
    {"Selu", "selu", {{0}}},
    {"LeakyRelu", "leaky_relu", {{"alpha", 0.01, 0.01}}},
    {"Elu", "elu", {{"alpha", 1, 1}}},
    {"Celu", "celu", {{"alpha", 1, 1}}},
    {"HardSwish", "hard_swish", {{0}}},
    {"HardSigmoid", "hard_sigmoid", {{"alpha", 0.2, 1 / 6.0}, {"beta", 0.5, 0.5}}},
    {"ThresholdedRelu", "threshold", {{"alpha", 1, 0}}},
    {"Swish", "silu", {{"alpha", 1, 1}}},
    {"Mish", "mish", {{0}}},
    {"PRelu", "prelu", {{0}}},
    {"Erf", "erf", {{0}}},
    {"Sin", "sin", {{0}}},
    {"Cos", "cos", {{0}}},
};

/* Attributes are stored as floats: the shortest decimal that is the same float, else all digits. */
static const char *float_text(double v, char buf[32]) {
    for (double scale = 1; scale <= 1e9 && (double)(float)v == v; scale *= 10) {
        double decimal = round(v * scale) / scale;
        if ((float)decimal == (float)v) return fanin__number_text(decimal, buf);
    }
    return fanin__number_text(v, buf);
}

static const char *with_parameters(const fanin_node *n, const char *name, const parameter *p,
                                   char *buf, size_t size) {
    double value[2] = {0, 0};
    bool usual = true;
    for (int i = 0; i < 2 && p[i].attr; i++) {
        value[i] = fanin_node_attr_float(n, p[i].attr, p[i].onnx);
        if ((float)value[i] != (float)p[i].ours) usual = false;
    }
    if (usual) return name;
    char first[32], second[32];
    snprintf(buf, size, "%s:%s%s%s", name, float_text(value[0], first), p[1].attr ? "," : "",
             p[1].attr ? float_text(value[1], second) : "");
    return buf;
}

const char *fanin__node_activation(const fanin_node *n, char *buf, size_t size) {
    if (!strcmp(n->domain, "fanin") && !strcmp(n->op, "Activation"))
        return fanin_node_attr_string(n, "name", fanin_node_attr_string(n, "formula", NULL));
    if (n->domain[0] && strcmp(n->domain, "ai.onnx") != 0) return NULL;
    if (!strcmp(n->op, "Gelu"))
        return strcmp(fanin_node_attr_string(n, "approximate", "none"), "tanh") ? "gelu"
                                                                                : "gelu_tanh";
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (!strcmp(n->op, rows[i].op))
            return with_parameters(n, rows[i].name, rows[i].p, buf, size);
    return NULL;
}
