/* primitive.c - the table of primitives: one row each. */
#include "operator/primitive.h"

#define FLOATS(name) fanin__ref_##name##_f32, fanin__ref_##name##_f64, NULL, NULL
#define ALL(name) \
    fanin__ref_##name##_f32, fanin__ref_##name##_f64, fanin__ref_##name##_i64, \
        fanin__ref_##name##_bool
#define NONE NULL, NULL, NULL, NULL
#define ANY  (~0u)

/* name, operands, strided mask, typed by operand, view, shape rule, VJP, kernels */
#define ROW(op, text, inputs, strided, typed, view, rule, vjp, ...) \
    [FANIN__##op] = {text, inputs, strided, typed, view, fanin__shape_##rule, vjp, __VA_ARGS__}
#define VJP(name) fanin__vjp_##name

static const fanin__primitive table[FANIN__OP_COUNT] = {
    ROW(INPUT, "input", 0, 0, -1, false, leaf, NULL, NONE),
    ROW(WEIGHT, "weight", 0, 0, -1, false, leaf, NULL, NONE),
    ROW(CONST, "constant", 0, 0, -1, false, leaf, NULL, NONE),
    ROW(RANDOM, "random", 0, 0, -1, false, leaf, NULL, NONE),
    ROW(MAP, "map", 1, ANY, 0, false, map, VJP(map), ALL(map)),
    ROW(MAPMUL, "map times", 2, ANY, 0, false, mapmul, VJP(mapmul), FLOATS(mapmul)),
    ROW(BINARY, "binary", 2, ANY, 0, false, binary, VJP(binary), ALL(binary)),
    ROW(SELECT, "select", 3, ANY, 1, false, select, VJP(select), ALL(select)),
    ROW(CAST, "cast", 1, ANY, 0, false, cast, VJP(cast), fanin__ref_cast_any, fanin__ref_cast_any,
        fanin__ref_cast_any, fanin__ref_cast_any),
    ROW(BROADCAST, "broadcast", 1, ANY, 0, true, broadcast, VJP(broadcast), ALL(copy)),
    ROW(RESHAPE, "reshape", 1, ANY, 0, true, reshape, VJP(reshape), ALL(copy)),
    ROW(TRANSPOSE, "transpose", 1, ANY, 0, true, transpose, VJP(transpose), ALL(copy)),
    ROW(SLICE, "slice", 1, ANY, 0, true, slice, VJP(slice), ALL(copy)),
    ROW(COPY, "copy", 1, ANY, 0, false, copy, VJP(copy), ALL(copy)),
    ROW(PAD, "pad", 1, ANY, 0, false, pad, VJP(pad), ALL(pad)),
    ROW(CONCAT, "concat", -1, ANY, 0, false, concat, VJP(concat), ALL(concat)),
    ROW(GATHER, "gather", 2, 0, 0, false, gather, VJP(gather), ALL(gather)),
    ROW(SCATTER, "scatter", 2, 0, 1, false, scatter, VJP(scatter), ALL(scatter)),
    ROW(REDUCE, "reduce", 1, ANY, 0, false, reduce, VJP(reduce), ALL(reduce)),
    ROW(TOP, "top", 1, ANY, 0, false, top, NULL, ALL(top)),
    ROW(MATMUL, "matmul", 2, ANY, 0, false, matmul, VJP(matmul), FLOATS(matmul)),
    ROW(CONV, "conv", 2, 0, 0, false, conv, VJP(conv), FLOATS(conv)),
    ROW(CONV_DATA, "conv data", 2, 0, 0, false, conv_data, VJP(conv_data), FLOATS(conv_data)),
    ROW(CONV_WEIGHT, "conv weight", 2, 0, 0, false, conv_weight, VJP(conv_weight),
        FLOATS(conv_weight)),
    ROW(MAXPOOL, "max pool", 1, 0, 0, false, pool, VJP(maxpool), FLOATS(maxpool)),
    ROW(MAXPOOL_SCATTER, "max pool scatter", 2, 0, 0, false, pool_scatter, VJP(maxpool_scatter),
        FLOATS(maxpool_scatter)),
    ROW(MAXPOOL_GATHER, "max pool gather", 2, 0, 0, false, pool_gather, VJP(maxpool_gather),
        FLOATS(maxpool_gather)),
    ROW(SUMPOOL, "sum pool", 1, 0, 0, false, pool, VJP(sumpool), FLOATS(sumpool)),
    ROW(SUMPOOL_ADJOINT, "sum pool adjoint", 1, 0, 0, false, pool_adjoint, VJP(sumpool_adjoint),
        FLOATS(sumpool_adjoint)),
    ROW(SOFTMAX, "softmax", 1, 0, 0, false, copy, VJP(softmax), FLOATS(softmax)),
    ROW(SOFTMAX_GRAD, "softmax gradient", 2, 0, 0, false, softmax_grad, VJP(softmax_grad),
        FLOATS(softmax_grad)),
    ROW(XENT, "cross entropy", 2, 0, 0, false, xent, VJP(xent), FLOATS(xent)),
    ROW(XENT_GRAD, "cross entropy gradient", 4, 0, 0, false, xent_grad, VJP(once),
        FLOATS(xent_grad)),
    ROW(NORM_STATS, "norm statistics", 1, 0, 0, false, norm_stats, VJP(once), FLOATS(norm_stats)),
    ROW(NORM_APPLY, "norm", 4, 0, 0, false, norm_apply, VJP(norm_apply), FLOATS(norm_apply)),
    ROW(NORM_SUMS, "norm sums", 3, 0, 0, false, norm_sums, VJP(once), FLOATS(norm_sums)),
    ROW(NORM_GRAD, "norm gradient", 5, 0, 0, false, norm_grad, VJP(once), FLOATS(norm_grad)),
    ROW(MATMUL_LANES, "matmul of lanes", 2, ANY, 0, false, matmul_lanes, VJP(once),
        FLOATS(matmul_lanes)),
};

const fanin__primitive *fanin__primitive_of(fanin__op op) { return &table[op]; }

fanin__kernel fanin__kernel_of(const fanin__ir *ir, const fanin__node *node) {
    const fanin__primitive *row = &table[node->op];
    fanin_dtype dtype = row->typed_by < 0 || node->input_count <= row->typed_by
                            ? node->dtype
                            : ir->nodes[node->inputs[row->typed_by]].dtype;
    switch (dtype) {
    case FANIN_F32: return row->f32;
    case FANIN_F64: return row->f64;
    case FANIN_I64: return row->i64;
    case FANIN_BOOL: return row->boolean;
    default: return NULL;
    }
}
