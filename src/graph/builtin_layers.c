/* builtin_layers.c - layers of the built-in networks as ONNX operators (opset 17), with tensors named
 * and laid out as torch's modules hold them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/builtin.h"

enum { OPSET = 17 };

fanin_attr fanin__attr_int(const char *name, int64_t i) {
    return (fanin_attr){.name = name, .type = FANIN_ATTR_INT, .i = i};
}

fanin_attr fanin__attr_ints(const char *name, const int64_t *ints, size_t count) {
    return (fanin_attr){.name = name, .type = FANIN_ATTR_INTS, .ints = ints, .count = count};
}

static fanin_attr attr_float(const char *name, double f) {
    return (fanin_attr){.name = name, .type = FANIN_ATTR_FLOAT, .f = f};
}

/* ---- start and end ----------------------------------------------------------------------------- */

static fanin_status read_norm(const fanin__spec *spec, fanin__norm *norm, fanin_err *err) {
    const char *text = fanin__spec_text(spec, "norm", NULL);
    if (!text) return FANIN_OK;
    if (strcmp(text, "none") == 0) return *norm = FANIN__NORM_NONE, FANIN_OK;
    if (strcmp(text, "batch") == 0) return *norm = FANIN__NORM_BATCH, FANIN_OK;
    if (strcmp(text, "layer") == 0) return *norm = FANIN__NORM_LAYER, FANIN_OK;
    return fanin__spec_error(spec, err, "norm=%.40s is not none, batch or layer", text);
}

static fanin_status read_dropout(const fanin__spec *spec, const char *key, double *dropout,
                                 fanin_err *err) {
    const char *text = fanin__spec_text(spec, key, NULL), *end;
    if (!text) return FANIN_OK;
    *dropout = fanin__parse_double(text, &end);
    if (end == text || *end || !(*dropout >= 0 && *dropout < 1))
        return fanin__spec_error(spec, err, "%s=%.40s is not a probability below 1", key, text);
    return FANIN_OK;
}

static fanin_status read_dropouts(const fanin__spec *spec, fanin__net *net, fanin_err *err) {
    net->alpha = fanin__spec_text(spec, "alpha_dropout", NULL) != NULL;
    if (net->alpha && fanin__spec_text(spec, "dropout", NULL))
        return fanin__spec_error(spec, err, "dropout and alpha_dropout exclude one another");
    return read_dropout(spec, net->alpha ? "alpha_dropout" : "dropout", &net->dropout, err);
}

fanin_status fanin__net_start(const fanin__spec *spec, fanin__net defaults, fanin__net *net,
                              fanin_err *err) {
    *net = defaults;
    net->act = fanin__spec_text(spec, "act", defaults.act);
    FANIN_TRY(read_norm(spec, &net->norm, err));
    FANIN_TRY(read_dropouts(spec, net, err));
    FANIN_TRY(fanin__spec_bool(spec, "bias", &net->bias, err));
    fanin_err why = {0};
    fanin_status status = fanin_activation_parse(net->act, &net->activation, &why);
    if (status == FANIN_NOMEM) return fanin_err_set(err, status, "%s", why.message);
    if (status != FANIN_OK) return fanin__spec_error(spec, err, "%.200s", why.message);
    status = fanin_graph_builder_create(spec->model, OPSET, &net->b);
    if (status == FANIN_OK) return FANIN_OK;
    fanin_activation_destroy(net->activation);
    return fanin_err_set(err, FANIN_NOMEM, "%s: not enough memory", spec->name);
}

void fanin__net_abandon(fanin__net *net) {
    fanin_activation_destroy(net->activation);
    fanin_graph_builder_destroy(net->b);
}

fanin_status fanin__net_finish(fanin__net *net, int value, const char *output, fanin_graph **graph,
                               fanin_err *err) {
    fanin_activation_destroy(net->activation);
    if (value >= 0) fanin_graph_output(net->b, value, output);
    return fanin_graph_builder_finish(net->b, graph, err);
}

/* ---- pieces ------------------------------------------------------------------------------------ */

int fanin__net_node(fanin__net *net, const char *op, const char *name, const int *inputs,
                    int input_count, const fanin_attr *attrs, int attr_count) {
    return fanin_graph_node(net->b, op, name, inputs, input_count, attrs, attr_count, 1);
}

int fanin__net_unary(fanin__net *net, const char *op, int x) {
    return fanin__net_node(net, op, NULL, &x, 1, NULL, 0);
}

int fanin__net_binary(fanin__net *net, const char *op, int a, int b) {
    return fanin__net_node(net, op, NULL, (int[]){a, b}, 2, NULL, 0);
}

static int constant(fanin__net *net, const fanin_value *tensor) {
    fanin_attr attr = {.name = "value", .type = FANIN_ATTR_TENSOR, .tensor = tensor};
    return fanin__net_node(net, "Constant", NULL, NULL, 0, &attr, 1);
}

int fanin__net_ints(fanin__net *net, const int64_t *values, int count) {
    return constant(net, &(fanin_value){.name = "",
                                        .dtype = FANIN_I64,
                                        .rank = 1,
                                        .dims = {count},
                                        .data = values,
                                        .size = (size_t)count * sizeof *values});
}

int fanin__net_index(fanin__net *net, int64_t value) {
    return constant(
        net, &(fanin_value){.name = "", .dtype = FANIN_I64, .data = &value, .size = sizeof value});
}

int fanin__net_float(fanin__net *net, float value) {
    return constant(
        net, &(fanin_value){.name = "", .dtype = FANIN_F32, .data = &value, .size = sizeof value});
}

int fanin__net_weight(fanin__net *net, const char *layer, const char *field, int rank,
                      const int64_t *dims) {
    char name[160];
    snprintf(name, sizeof name, "%s%s%s", layer, *field ? "." : "", field);
    return fanin_graph_initializer(net->b, name, FANIN_F32, rank, dims, NULL);
}

int fanin__net_linear(fanin__net *net, const char *layer, int x, int64_t in, int64_t out,
                      bool bias) {
    int inputs[3] = {x, fanin__net_weight(net, layer, "weight", 2, (int64_t[]){out, in}), -1};
    if (bias) inputs[2] = fanin__net_weight(net, layer, "bias", 1, &out);
    fanin_attr attr = fanin__attr_int("transB", 1);
    return fanin__net_node(net, "Gemm", layer, inputs, bias ? 3 : 2, &attr, 1);
}

static int add_bias(fanin__net *net, const char *layer, int x, int bias) {
    char name[160];
    snprintf(name, sizeof name, "%.150s/Add", layer);
    return fanin__net_node(net, "Add", name, (int[]){x, bias}, 2, NULL, 0);
}

int fanin__net_project(fanin__net *net, const char *layer, int x, int64_t in, int64_t out,
                       bool bias, int weight) {
    if (weight < 0) weight = fanin__net_weight(net, layer, "weight", 2, (int64_t[]){out, in});
    int b = bias ? fanin__net_weight(net, layer, "bias", 1, &out) : -1;
    fanin_attr perm = fanin__attr_ints("perm", (int64_t[]){1, 0}, 2);
    int turned = fanin__net_node(net, "Transpose", NULL, &weight, 1, &perm, 1);
    int y = fanin__net_node(net, "MatMul", layer, (int[]){x, turned}, 2, NULL, 0);
    return bias ? add_bias(net, layer, y, b) : y;
}

int fanin__net_conv(fanin__net *net, const char *layer, int x, fanin__conv c, bool bias) {
    int64_t dims[] = {c.out, c.in / c.groups, c.kernel, c.kernel};
    int inputs[3] = {x, fanin__net_weight(net, layer, "weight", 4, dims), -1};
    if (bias) inputs[2] = fanin__net_weight(net, layer, "bias", 1, &c.out);
    fanin_attr attrs[] = {
        fanin__attr_ints("dilations", (int64_t[]){1, 1}, 2),
        fanin__attr_int("group", c.groups),
        fanin__attr_ints("kernel_shape", (int64_t[]){c.kernel, c.kernel}, 2),
        fanin__attr_ints("pads", (int64_t[]){c.pad, c.pad, c.pad, c.pad}, 4),
        fanin__attr_ints("strides", (int64_t[]){c.stride, c.stride}, 2),
    };
    return fanin__net_node(net, "Conv", layer, inputs, bias ? 3 : 2, attrs, 5);
}

int fanin__net_pool(fanin__net *net, const char *op, int x, int64_t kernel, int64_t stride,
                    int64_t pad) {
    fanin_attr attrs[] = {
        fanin__attr_ints("kernel_shape", (int64_t[]){kernel, kernel}, 2),
        fanin__attr_ints("pads", (int64_t[]){pad, pad, pad, pad}, 4),
        fanin__attr_ints("strides", (int64_t[]){stride, stride}, 2),
    };
    return fanin__net_node(net, op, NULL, &x, 1, attrs, 3);
}

int fanin__net_flatten(fanin__net *net, int x) {
    fanin_attr axis = fanin__attr_int("axis", 1);
    return fanin__net_node(net, "Flatten", NULL, &x, 1, &axis, 1);
}

int fanin__net_dropout(fanin__net *net, int x) {
    if (net->dropout == 0) return x;
    if (net->alpha) {
        fanin_attr attr = attr_float("ratio", net->dropout);
        return fanin__net_node(net, "fanin:AlphaDropout", NULL, &x, 1, &attr, 1);
    }
    static const unsigned char on = 1;
    int ratio = fanin__net_float(net, (float)net->dropout);
    int training = constant(
        net, &(fanin_value){.name = "", .dtype = FANIN_BOOL, .data = &on, .size = sizeof on});
    return fanin__net_node(net, "Dropout", NULL, (int[]){x, ratio, training}, 3, NULL, 0);
}

/* ---- norms ------------------------------------------------------------------------------------- */

/* Three outputs in training mode: y and the new running statistics. */
int fanin__net_batch_norm(fanin__net *net, const char *layer, int x, int64_t channels) {
    int inputs[5] = {x};
    static const char *const fields[] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < 4; i++)
        inputs[i + 1] = fanin__net_weight(net, layer, fields[i], 1, &channels);
    fanin_attr attrs[] = {attr_float("epsilon", 1e-5), attr_float("momentum", 0.9),
                          fanin__attr_int("training_mode", 1)};
    return fanin_graph_node(net->b, "BatchNormalization", layer, inputs, 5, attrs, 3, 3);
}

int fanin__net_layer_norm(fanin__net *net, const char *layer, int x, int rank,
                          const int64_t *dims) {
    int inputs[] = {x, fanin__net_weight(net, layer, "weight", rank, dims),
                    fanin__net_weight(net, layer, "bias", rank, dims)};
    fanin_attr attrs[] = {fanin__attr_int("axis", -rank), attr_float("epsilon", 1e-5)};
    return fanin__net_node(net, "LayerNormalization", layer, inputs, 3, attrs, 2);
}

int fanin__net_normalize(fanin__net *net, const char *layer, int x, int rank, const int64_t *dims) {
    if (net->norm == FANIN__NORM_BATCH) return fanin__net_batch_norm(net, layer, x, dims[0]);
    if (net->norm == FANIN__NORM_LAYER) return fanin__net_layer_norm(net, layer, x, rank, dims);
    return x;
}

/* ---- activations ------------------------------------------------------------------------------- */

/* Activations that ONNX has an operator for at opset 17; the others become fanin:Activation. */
static const struct {
    int id;
    const char *op;
    const char *attrs[2]; /* names of the parameters; NULL: only the default can be said */
} onnx_activations[] = {
    {FANIN_ACT_RELU, "Relu", {0}},
    {FANIN_ACT_TANH, "Tanh", {0}},
    {FANIN_ACT_SIGMOID, "Sigmoid", {0}},
    {FANIN_ACT_HARD_SIGMOID, "HardSigmoid", {"alpha", "beta"}},
    {FANIN_ACT_SOFTSIGN, "Softsign", {0}},
    {FANIN_ACT_SOFTPLUS, "Softplus", {0}},
    {FANIN_ACT_LEAKY_RELU, "LeakyRelu", {"alpha"}},
    {FANIN_ACT_ELU, "Elu", {"alpha"}},
    {FANIN_ACT_CELU, "Celu", {"alpha"}},
    {FANIN_ACT_SELU, "Selu", {0}},
    {FANIN_ACT_HARD_SWISH, "HardSwish", {0}},
    {FANIN_ACT_ERF, "Erf", {0}},
    {FANIN_ACT_SIN, "Sin", {0}},
    {FANIN_ACT_COS, "Cos", {0}},
    {FANIN_ACT_SIGN, "Sign", {0}},
    {FANIN_ACT_ABS, "Abs", {0}},
};

static int other_activation(fanin__net *net, int x) {
    bool named = fanin_activation_row_of(net->activation) != NULL;
    fanin_attr attr = {.name = named ? "name" : "formula",
                       .type = FANIN_ATTR_STRING,
                       .s = fanin_activation_name(net->activation)};
    return fanin__net_node(net, "fanin:Activation", NULL, &x, 1, &attr, 1);
}

static int learnt_slope(fanin__net *net, const char *layer, int x) {
    char name[128];
    snprintf(name, sizeof name, "%s_slope", layer);
    int64_t one = 1;
    return fanin__net_binary(net, "PRelu", x, fanin__net_weight(net, name, "weight", 1, &one));
}

/* Fills the attributes; -1 when the operator cannot say these parameters. */
static int activation_attrs(const fanin__net *net, const char *const names[2],
                            fanin_attr attrs[2]) {
    const fanin_activation_row *row = fanin_activation_row_of(net->activation);
    const double *values = fanin_activation_params(net->activation);
    int n = 0;
    for (int k = 0; k < row->parameters; k++) {
        if (names[k])
            attrs[n++] = attr_float(names[k], values[k]);
        else if (values[k] != row->defaults[k])
            return -1;
    }
    return n;
}

int fanin__net_activate(fanin__net *net, const char *layer, int x) {
    int id = fanin_activation_id_of(net->activation);
    if (id == FANIN_ACT_IDENTITY) return x;
    if (id == FANIN_ACT_PRELU) return learnt_slope(net, layer, x);
    for (size_t i = 0; i < FANIN_COUNT(onnx_activations); i++) {
        if (onnx_activations[i].id != id) continue;
        fanin_attr attrs[2];
        int n = activation_attrs(net, onnx_activations[i].attrs, attrs);
        if (n >= 0) return fanin__net_node(net, onnx_activations[i].op, NULL, &x, 1, attrs, n);
    }
    return other_activation(net, x);
}

/* ---- attention --------------------------------------------------------------------------------- */

/* [N, T, width] -> [N, heads, T, width / heads], the last two swapped for the keys. */
static int split_heads(fanin__net *net, int x, const fanin__attention *a, bool swapped) {
    int shape = fanin__net_ints(net, (int64_t[]){0, a->tokens, a->heads, a->width / a->heads}, 4);
    int y = fanin__net_binary(net, "Reshape", x, shape);
    const int64_t straight[] = {0, 2, 1, 3}, turned[] = {0, 2, 3, 1};
    fanin_attr perm = fanin__attr_ints("perm", swapped ? turned : straight, 4);
    return fanin__net_node(net, "Transpose", NULL, &y, 1, &perm, 1);
}

/* Scores above the diagonal become -inf. */
static int mask(fanin__net *net, int scores, int64_t tokens) {
    int shape = fanin__net_ints(net, (int64_t[]){tokens, tokens}, 2);
    const float one = 1;
    fanin_value value = {
        .name = "", .dtype = FANIN_F32, .rank = 1, .dims = {1}, .data = &one, .size = sizeof one};
    fanin_attr fill = {.name = "value", .type = FANIN_ATTR_TENSOR, .tensor = &value};
    int ones = fanin__net_node(net, "ConstantOfShape", NULL, &shape, 1, &fill, 1);
    fanin_attr upper = fanin__attr_int("upper", 0);
    int lower = fanin__net_node(net, "Trilu", NULL, &ones, 1, &upper, 1);
    int hidden = fanin__net_binary(net, "Equal", lower, fanin__net_float(net, 0));
    int minus_infinity = fanin__net_float(net, -INFINITY);
    return fanin__net_node(net, "Where", NULL, (int[]){hidden, minus_infinity, scores}, 3, NULL, 0);
}

static int packed_projection(fanin__net *net, int x, const fanin__attention *a) {
    int64_t packed = 3 * a->width;
    int weight = fanin_graph_initializer(net->b, a->in_weight, FANIN_F32, 2,
                                         (int64_t[]){packed, a->width}, NULL);
    fanin_attr perm = fanin__attr_ints("perm", (int64_t[]){1, 0}, 2);
    int turned = fanin__net_node(net, "Transpose", NULL, &weight, 1, &perm, 1);
    char layer[160]; /* "h.0.attn.c_attn" of "h.0.attn.c_attn.weight" */
    snprintf(layer, sizeof layer, "%.*s", (int)(strlen(a->in_weight) - strlen("_weight")),
             a->in_weight);
    int qkv = fanin__net_node(net, "MatMul", layer, (int[]){x, turned}, 2, NULL, 0);
    if (!net->bias) return qkv;
    int bias = fanin_graph_initializer(net->b, a->in_bias, FANIN_F32, 1, &packed, NULL);
    return add_bias(net, layer, qkv, bias);
}

int fanin__net_attention(fanin__net *net, int x, const fanin__attention *a) {
    int inputs[] = {packed_projection(net, x, a),
                    fanin__net_ints(net, (int64_t[]){a->width, a->width, a->width}, 3)};
    fanin_attr axis = fanin__attr_int("axis", 2);
    int q = fanin_graph_node(net->b, "Split", NULL, inputs, 2, &axis, 1, 3);
    if (q < 0) return -1;
    int scores = fanin__net_binary(net, "MatMul", split_heads(net, q, a, false),
                                   split_heads(net, q + 1, a, true));
    float root = (float)sqrt((double)(a->width / a->heads));
    scores = fanin__net_binary(net, "Div", scores, fanin__net_float(net, root));
    if (a->causal) scores = mask(net, scores, a->tokens);
    axis = fanin__attr_int("axis", -1);
    int weights = fanin__net_node(net, "Softmax", NULL, &scores, 1, &axis, 1);
    weights = fanin__net_dropout(net, weights);
    int y = fanin__net_binary(net, "MatMul", weights, split_heads(net, q + 2, a, false));
    fanin_attr perm = fanin__attr_ints("perm", (int64_t[]){0, 2, 1, 3}, 4);
    y = fanin__net_node(net, "Transpose", NULL, &y, 1, &perm, 1);
    int shape = fanin__net_ints(net, (int64_t[]){0, a->tokens, a->width}, 3);
    y = fanin__net_binary(net, "Reshape", y, shape);
    return fanin__net_project(net, a->out, y, a->width, a->width, net->bias, -1);
}
