/* onnx.c - the table of ONNX operators, and what their lowerings share. */
#include <stdio.h>
#include <string.h>

#include "operator/onnx.h"

#define ROW(name, function, argument) \
    { name, fanin__lower_##function, argument, "" }
#define FN(name, id)  ROW(name, function, FANIN__FN_##id)
#define ACT(name, id) ROW(name, parametric, FANIN_ACT_##id)

static const fanin__onnx_row table[] = {
    /* functions of one tensor */
    FN("Abs", ABS),
    FN("Neg", NEG),
    FN("Sign", SIGN),
    FN("Sqrt", SQRT),
    FN("Reciprocal", RECIPROCAL),
    FN("Exp", EXP),
    FN("Log", LOG),
    FN("Erf", ERF),
    FN("Tanh", TANH),
    FN("Sigmoid", SIGMOID),
    FN("Relu", RELU),
    FN("Sin", SIN),
    FN("Cos", COS),
    FN("Tan", TAN),
    FN("Asin", ASIN),
    FN("Acos", ACOS),
    FN("Atan", ATAN),
    FN("Sinh", SINH),
    FN("Cosh", COSH),
    FN("Asinh", ASINH),
    FN("Acosh", ACOSH),
    FN("Atanh", ATANH),
    FN("Floor", FLOOR),
    FN("Ceil", CEIL),
    FN("Round", ROUND),
    FN("Not", NOT),
    FN("IsNaN", IS_NAN),
    ROW("IsInf", is_inf, 0),
    /* activations */
    ACT("LeakyRelu", LEAKY_RELU),
    ACT("Elu", ELU),
    ACT("Celu", CELU),
    ACT("Selu", SELU),
    ACT("HardSigmoid", HARD_SIGMOID),
    ACT("HardSwish", HARD_SWISH),
    ACT("Softplus", SOFTPLUS),
    ACT("Softsign", SOFTSIGN),
    ACT("ThresholdedRelu", THRESHOLD),
    ACT("Mish", MISH),
    ACT("Gelu", GELU),
    ACT("Swish", SILU),
    ROW("PRelu", prelu, 0),
    ROW("Shrink", shrink, 0),
    ROW("Clip", clip, 0),
    ROW("Softmax", softmax, 0),
    ROW("LogSoftmax", softmax, 1),
    ROW("Hardmax", softmax, 2),
    {"Activation", fanin__lower_custom, 0, "fanin"},
    {"AlphaDropout", fanin__lower_alpha_dropout, 0, "fanin"},
    /* elementwise, two or more tensors */
    ROW("Add", binary, FANIN__ADD),
    ROW("Sub", binary, FANIN__SUB),
    ROW("Mul", binary, FANIN__MUL),
    ROW("Div", binary, FANIN__DIV),
    ROW("Pow", pow, 0),
    ROW("Mod", mod, 0),
    ROW("Equal", binary, FANIN__EQ),
    ROW("Less", binary, FANIN__LT),
    ROW("LessOrEqual", binary, FANIN__LE),
    ROW("Greater", compare_swapped, FANIN__LT),
    ROW("GreaterOrEqual", compare_swapped, FANIN__LE),
    ROW("And", binary, FANIN__AND),
    ROW("Or", binary, FANIN__OR),
    ROW("Xor", binary, FANIN__XOR),
    ROW("Min", variadic, FANIN__MIN),
    ROW("Max", variadic, FANIN__MAX),
    ROW("Sum", variadic, FANIN__ADD),
    ROW("Mean", variadic, FANIN__DIV),
    ROW("Where", where, 0),
    ROW("If", if, 0),
    ROW("Cast", cast, 0),
    ROW("CastLike", cast, 1),
    ROW("Identity", identity, 0),
    ROW("Dropout", dropout, 0),
    /* contractions */
    ROW("Gemm", gemm, 0),
    ROW("MatMul", matmul, 0),
    ROW("Einsum", einsum, 0),
    ROW("Conv", conv, 0),
    ROW("ConvTranspose", conv_transpose, 0),
    /* windows */
    ROW("MaxPool", pool, 0),
    ROW("AveragePool", pool, 1),
    ROW("LpPool", pool, 2),
    ROW("GlobalAveragePool", global_pool, 0),
    ROW("GlobalMaxPool", global_pool, 1),
    ROW("GlobalLpPool", global_pool, 2),
    /* normalisation */
    ROW("BatchNormalization", batch_norm, 0),
    ROW("LayerNormalization", layer_norm, 0),
    ROW("GroupNormalization", group_norm, 0),
    ROW("InstanceNormalization", group_norm, 1),
    ROW("LRN", lrn, 0),
    ROW("LpNormalization", lp_norm, 0),
    ROW("MeanVarianceNormalization", mean_variance, 0),
    /* recurrent layers */
    ROW("RNN", recurrent, 0),
    ROW("GRU", recurrent, 1),
    ROW("LSTM", recurrent, 2),
    /* reductions */
    ROW("ReduceSum", reduce, 0),
    ROW("ReduceMean", reduce, 1),
    ROW("ReduceMax", reduce, 2),
    ROW("ReduceMin", reduce, 3),
    ROW("ReduceProd", reduce, 4),
    ROW("ReduceL1", reduce, 5),
    ROW("ReduceL2", reduce, 6),
    ROW("ReduceSumSquare", reduce, 7),
    ROW("ReduceLogSum", reduce, 8),
    ROW("ReduceLogSumExp", reduce, 9),
    ROW("ArgMax", argmax, 0),
    ROW("ArgMin", argmax, 1),
    ROW("TopK", topk, 0),
    ROW("CumSum", cumsum, 0),
    /* shapes */
    ROW("Constant", constant, 0),
    ROW("ConstantOfShape", constant_of_shape, 0),
    ROW("Shape", shape, 0),
    ROW("Size", shape, 1),
    ROW("Reshape", reshape, 0),
    ROW("Flatten", flatten, 0),
    ROW("Transpose", transpose, 0),
    ROW("Squeeze", squeeze, 0),
    ROW("Unsqueeze", unsqueeze, 0),
    ROW("Concat", concat, 0),
    ROW("Split", split, 0),
    ROW("Slice", slice, 0),
    ROW("Gather", gather, 0),
    ROW("GatherElements", gather_elements, 0),
    ROW("GatherND", gather_nd, 0),
    ROW("ScatterElements", scatter_elements, 0),
    ROW("Scatter", scatter_elements, 0),
    ROW("ScatterND", scatter_nd, 0),
    ROW("OneHot", one_hot, 0),
    ROW("Pad", pad, 0),
    ROW("Expand", expand, 0),
    ROW("Tile", tile, 0),
    ROW("Range", range, 0),
    ROW("EyeLike", eye_like, 0),
    ROW("Trilu", trilu, 0),
    ROW("DepthToSpace", depth_to_space, 0),
    ROW("SpaceToDepth", depth_to_space, 1),
    ROW("Resize", resize, 0),
    ROW("Upsample", resize, 1),
};

int fanin__onnx_count(void) { return (int)FANIN_COUNT(table); }
const fanin__onnx_row *fanin__onnx_at(int i) { return &table[i]; }

static const fanin__onnx_row *find(const char *domain, const char *name) {
    if (!strcmp(domain, "ai.onnx")) domain = "";
    for (size_t i = 0; i < FANIN_COUNT(table); i++)
        if (!strcmp(table[i].name, name) && !strcmp(table[i].domain, domain)) return &table[i];
    return NULL;
}

bool fanin__lower_is_if(const fanin_node *n) {
    return !n->domain[0] && !strcmp(n->op, "If") && n->input_count > 1;
}

static bool is_lowered(const fanin__lowering *l, const fanin_node *n) {
    for (int i = 0; i < n->output_count; i++)
        if (n->outputs[i] >= 0 && l->ids[n->outputs[i]] >= 0) return true;
    return false;
}

/* Of a nested If only the condition: it asks for the rest itself. */
static void want_inputs(const fanin__lowering *l, const fanin_node *n, char *wanted) {
    int count = fanin__lower_is_if(n) ? 1 : n->input_count;
    for (int i = 0; i < count; i++) {
        int producer = n->inputs[i] < 0 ? -1 : l->graph->values[n->inputs[i]].producer;
        if (producer >= 0) wanted[producer] = 1;
    }
}

int fanin__lower_value(fanin__lowering *l, int value) {
    const fanin_graph *g = l->graph;
    int last = g->values[value].producer;
    if (l->ir->failed || last < 0 || l->ids[value] >= 0) return l->ids[value];
    enum { DEEPEST = 64 };
    if (l->depth >= DEEPEST)
        return fanin__ir_fail(l->ir, FANIN_LIMIT, "branches that want more than %d others",
                              DEEPEST);
    const fanin_node *asking = l->node;
    char where[sizeof l->ir->where], *wanted = fanin_calloc((size_t)last + 1, 1);
    if (!wanted) return fanin__ir_fail(l->ir, FANIN_NOMEM, "no memory for a branch");
    memcpy(where, l->ir->where, sizeof where);
    wanted[last] = 1;
    for (int i = last; i >= 0; i--) {
        if (wanted[i]) wanted[i] = !is_lowered(l, &g->nodes[i]);
        if (wanted[i]) want_inputs(l, &g->nodes[i], wanted);
    }
    l->depth++;
    for (int i = 0; i <= last && !l->ir->failed; i++)
        if (wanted[i]) fanin__lower_node(l, i);
    l->depth--;
    fanin_free(wanted);
    l->node = asking;
    memcpy(l->ir->where, where, sizeof where);
    return l->ids[value];
}

void fanin__lower_node(fanin__lowering *l, int node) {
    const fanin_node *n = l->node = &l->graph->nodes[node];
    fanin__ir *ir = l->ir;
    if (n->name[0])
        snprintf(ir->where, sizeof ir->where, "node '%.100s' (%.40s)", n->name, n->op);
    else
        snprintf(ir->where, sizeof ir->where, "node %d (%.40s)", node, n->op);
    const fanin__onnx_row *row = find(n->domain, n->op);
    if (row) {
        row->lower(l, row->arg);
    } else {
        fanin__ir_fail(ir, FANIN_UNSUPPORTED, "operator %s%s%s of opset %d is not implemented",
                       n->domain, n->domain[0] ? "." : "", n->op, l->graph->opset);
    }
    ir->where[0] = 0;
}

/* ---- payloads --------------------------------------------------------------------------- */

static int64_t integer_at(const fanin_value *v, size_t i) {
    const unsigned char *p = (const unsigned char *)v->data + i * fanin_dtype_size(v->dtype);
#define READ(id, type) \
    case FANIN_##id: { \
        type x; \
        memcpy(&x, p, sizeof x); \
        return (int64_t)x; \
    }
    switch (v->dtype) {
        READ(I8, int8_t)
        READ(I16, int16_t)
        READ(I32, int32_t)
        READ(I64, int64_t)
        READ(U8, uint8_t)
        READ(U16, uint16_t)
        READ(U32, uint32_t)
        READ(U64, uint64_t)
    default: return *p;
    }
#undef READ
}

static void float_payload(const fanin__ir *ir, const fanin_value *v, size_t count, void *out) {
    double *wide = out; /* room for doubles, whatever the ir's type */
    fanin_convert_to_f64(v->data, v->dtype, count, wide);
    if (ir->dtype == FANIN_F32)
        for (size_t i = 0; i < count; i++) {
            float narrow = (float)wide[i];
            memcpy((float *)out + i, &narrow, sizeof narrow);
        }
}

int fanin__lower_payload(fanin__ir *ir, const fanin_value *v) {
    if (ir->failed) return -1;
    size_t count, bytes;
    if (v->rank < 0 || !fanin__shape_count(v->dims, v->rank, &count) ||
        !fanin__size_mul(count, sizeof(double), &bytes))
        return fanin__ir_fail(ir, FANIN_SHAPE, "the shape of constant '%s' is not known", v->name);
    if (!v->data || v->size != count * fanin_dtype_size(v->dtype))
        return fanin__ir_fail(
            ir, FANIN_FORMAT, "constant '%s' holds %zu bytes, its shape wants %zu",
            v->name ? v->name : "", v->data ? v->size : 0, count * fanin_dtype_size(v->dtype));
    void *data = fanin_malloc(bytes ? bytes : 1);
    if (!data) return fanin__ir_fail(ir, FANIN_NOMEM, "no memory for constant '%s'", v->name);
    fanin_dtype dtype = FANIN_I64;
    if (fanin_dtype_is_float(v->dtype)) {
        dtype = ir->dtype;
        float_payload(ir, v, count, data);
    } else if (v->dtype == FANIN_BOOL) {
        dtype = FANIN_BOOL;
        for (size_t i = 0; i < count; i++)
            ((unsigned char *)data)[i] = ((const unsigned char *)v->data)[i] != 0;
    } else {
        for (size_t i = 0; i < count; i++) ((int64_t *)data)[i] = integer_at(v, i);
    }
    int id = fanin__emit_const(ir, dtype, v->rank, v->dims, data);
    fanin_free(data);
    return id;
}

/* ---- helpers of the rows ---------------------------------------------------------------- */

bool fanin__lower_has(const fanin__lowering *l, int i) {
    return i < l->node->input_count && l->node->inputs[i] >= 0;
}

int fanin__lower_in(fanin__lowering *l, int i) {
    if (l->ir->failed) return -1;
    if (!fanin__lower_has(l, i))
        return fanin__ir_fail(l->ir, FANIN_FORMAT, "input %d is missing", i);
    int id = l->ids[l->node->inputs[i]];
    return id >= 0 ? id
                   : fanin__ir_fail(l->ir, FANIN_FORMAT, "input '%s' has no value",
                                    l->graph->values[l->node->inputs[i]].name);
}

bool fanin__lower_wants_out(const fanin__lowering *l, int i) {
    return i < l->node->output_count && l->node->outputs[i] >= 0;
}

void fanin__lower_out(fanin__lowering *l, int i, int id) {
    if (fanin__lower_wants_out(l, i)) l->ids[l->node->outputs[i]] = id;
}

int fanin__lower_rank(const fanin__lowering *l, int id) {
    return id < 0 ? 0 : l->ir->nodes[id].rank;
}

int fanin__lower_axis(fanin__lowering *l, int64_t axis, int rank) {
    int64_t from_start = axis < 0 ? axis + rank : axis;
    if (from_start >= 0 && from_start < rank) return (int)from_start;
    return fanin__ir_fail(l->ir, FANIN_SHAPE, "axis %lld of a tensor of rank %d", (long long)axis,
                          rank);
}

int64_t fanin__lower_int(const fanin__lowering *l, const char *attr, int64_t otherwise) {
    return fanin_node_attr_int(l->node, attr, otherwise);
}

double fanin__lower_float(const fanin__lowering *l, const char *attr, double otherwise) {
    return fanin_node_attr_float(l->node, attr, otherwise);
}

const char *fanin__lower_string(const fanin__lowering *l, const char *attr, const char *otherwise) {
    return fanin_node_attr_string(l->node, attr, otherwise);
}

int fanin__lower_fail(fanin__lowering *l, const char *what) {
    return fanin__ir_fail(l->ir, FANIN_UNSUPPORTED, "%s (opset %d)", what, l->graph->opset);
}

int fanin__lower_ints(fanin__lowering *l, const char *attr, int i, int64_t *values, int max) {
    const fanin_attr *a = attr ? fanin_node_attr(l->node, attr) : NULL;
    if (a && a->type == FANIN_ATTR_INTS) {
        if (a->count > (size_t)max)
            return fanin__ir_fail(l->ir, FANIN_SHAPE, "attribute %s has %zu entries, %d at most",
                                  attr, a->count, max);
        if (a->count) memcpy(values, a->ints, a->count * sizeof *values);
        return (int)a->count;
    }
    if (i < 0 || !fanin__lower_has(l, i)) return -1;
    int count, id = fanin__lower_in(l, i);
    if (id < 0) return -1;
    if (!fanin__const_i64_values(l->ir, id, values, max, &count))
        return fanin__ir_fail(l->ir, FANIN_UNSUPPORTED,
                              "input %d has to be a constant of at most %d numbers", i, max);
    return count;
}

bool fanin__lower_known(fanin__lowering *l, int i, double *value) {
    int id = fanin__lower_has(l, i) ? fanin__lower_in(l, i) : -1;
    if (id < 0) return false;
    if (fanin__const_value(l->ir, id, value)) return true;
    const fanin_value *v = &l->graph->values[l->node->inputs[i]];
    return v->data && fanin_dtype_is_float(v->dtype) && v->size == fanin_dtype_size(v->dtype) &&
           fanin_convert_to_f64(v->data, v->dtype, 1, value) == FANIN_OK;
}

double fanin__lower_number(fanin__lowering *l, const char *attr, int i, double otherwise) {
    const fanin_attr *a = attr ? fanin_node_attr(l->node, attr) : NULL;
    double value;
    if (a) return a->type == FANIN_ATTR_INT ? (double)a->i : a->f;
    if (i < 0 || !fanin__lower_has(l, i)) return otherwise;
    if (fanin__lower_known(l, i, &value)) return value;
    fanin__ir_fail(l->ir, FANIN_UNSUPPORTED, "input %d has to be one constant number", i);
    return otherwise;
}

unsigned fanin__lower_axes(fanin__lowering *l, const char *attr, int i, int rank) {
    int64_t axes[FANIN_MAX_RANK];
    int count = fanin__lower_ints(l, attr, i, axes, FANIN_MAX_RANK);
    unsigned mask = 0;
    for (int k = 0; k < count; k++) {
        int axis = fanin__lower_axis(l, axes[k], rank);
        if (axis < 0) return 0;
        mask |= 1u << axis;
    }
    return count > 0 ? mask : (1u << rank) - 1;
}
