/* onnx_reduce.c - reductions over axes. */
#include <float.h>

#include "operator/onnx.h"

/* Axes are an attribute, or input 1 in newer opsets; none means all, unless told to reduce none: then what
 * else the operator does to each element is done. */
static unsigned read_axes(fanin__lowering *l, int rank) {
    int64_t axes[FANIN_MAX_RANK];
    int count = fanin__lower_ints(l, "axes", 1, axes, FANIN_MAX_RANK);
    if (count <= 0 && fanin__lower_int(l, "noop_with_empty_axes", 0)) return 0;
    return fanin__lower_axes(l, "axes", 1, rank);
}

static int function(fanin__ir *ir, fanin__function f, int x) {
    return fanin__emit_apply(ir, (int)f, x);
}

void fanin__lower_reduce(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0), y = -1;
    if (x < 0) return;
    unsigned mask = read_axes(l, ir->nodes[x].rank);
    bool keep = fanin__lower_int(l, "keepdims", 1) != 0;
    switch (arg) {
    case 0: y = fanin__emit_reduce(ir, FANIN__SUM, x, mask, keep); break;
    case 1: y = fanin__emit_mean(ir, x, mask, keep); break;
    case 2: y = fanin__emit_reduce(ir, FANIN__REDUCE_MAX, x, mask, keep); break;
    case 3: y = fanin__emit_reduce(ir, FANIN__REDUCE_MIN, x, mask, keep); break;
    case 4: y = fanin__emit_reduce(ir, FANIN__PROD, x, mask, keep); break;
    case 5:
        y = fanin__emit_reduce(ir, FANIN__SUM, function(ir, FANIN__FN_ABS, x), mask, keep);
        break;
    case 6:
        y = fanin__emit_reduce(ir, FANIN__SUM, function(ir, FANIN__FN_SQUARE, x), mask, keep);
        y = function(ir, FANIN__FN_SQRT, y);
        break;
    case 7:
        y = fanin__emit_reduce(ir, FANIN__SUM, function(ir, FANIN__FN_SQUARE, x), mask, keep);
        break;
    case 8:
        y = function(ir, FANIN__FN_LOG, fanin__emit_reduce(ir, FANIN__SUM, x, mask, keep));
        break;
    default: {
        /* a finite maximum: where all are -infinity, so is the result */
        double limit = ir->dtype == FANIN_F64 ? DBL_MAX : (double)FLT_MAX;
        int top = fanin__emit_apply_with(ir, FANIN__FN_CLAMP, -limit, limit,
                                         fanin__emit_max_detached(ir, x, mask));
        int e = function(ir, FANIN__FN_EXP, fanin__emit_binary(ir, FANIN__SUB, x, top));
        y = function(ir, FANIN__FN_LOG, fanin__emit_reduce(ir, FANIN__SUM, e, mask, true));
        y = fanin__emit_reduce(ir, FANIN__SUM, fanin__emit_binary(ir, FANIN__ADD, y, top), mask,
                               keep); /* sums single elements: drops the axes */
        break;
    }
    }
    fanin__lower_out(l, 0, y);
}

static int reversed(fanin__ir *ir, int x, int axis) {
    if (x < 0) return -1;
    fanin__node n = ir->nodes[x];
    int64_t start[FANIN_MAX_RANK] = {0}, step[FANIN_MAX_RANK];
    for (int i = 0; i < FANIN_MAX_RANK; i++) step[i] = 1;
    start[axis] = n.dims[axis] - 1;
    step[axis] = -1;
    return fanin__emit_slice(ir, x, start, step, n.dims);
}

void fanin__lower_argmax(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", 0), ir->nodes[x].rank);
    if (axis < 0) return;
    if (arg) x = function(ir, FANIN__FN_NEG, x);
    bool last = fanin__lower_int(l, "select_last_index", 0) != 0;
    int y = fanin__emit_top(ir, last ? reversed(ir, x, axis) : x, axis, 1);
    if (last && y >= 0) {
        int top = fanin__emit_scalar_i64(ir, ir->nodes[x].dims[axis] - 1);
        y = fanin__emit_binary(ir, FANIN__SUB, top, y);
    }
    if (!fanin__lower_int(l, "keepdims", 1)) {
        int64_t dims[FANIN_MAX_RANK];
        int rank = 0;
        for (int i = 0; y >= 0 && i < ir->nodes[y].rank; i++)
            if (i != axis) dims[rank++] = ir->nodes[y].dims[i];
        y = fanin__emit_reshape(ir, y, rank, dims);
    }
    fanin__lower_out(l, 0, y);
}
