/* onnx_dense.c - Gemm and MatMul: products of matrices. */
#include <string.h>

#include "operator/onnx.h"

static int scaled(fanin__ir *ir, double factor, int x) {
    return factor == 1 ? x : fanin__emit_apply_with(ir, FANIN__FN_SCALE, factor, 0, x);
}

/* alpha A' B' + beta C */
void fanin__lower_gemm(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int a = fanin__lower_in(l, 0), b = fanin__lower_in(l, 1);
    if (a < 0 || b < 0) return;
    if (ir->nodes[a].rank != 2 || ir->nodes[b].rank != 2) {
        char s[160], t[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "operands are %s and %s, not two matrices",
                       fanin__node_shape_text(&ir->nodes[a], s),
                       fanin__node_shape_text(&ir->nodes[b], t));
        return;
    }
    if (fanin__lower_int(l, "transA", 0)) a = fanin__emit_swap(ir, a, 0, 1);
    if (fanin__lower_int(l, "transB", 0)) b = fanin__emit_swap(ir, b, 0, 1);
    int y = scaled(ir, fanin__lower_float(l, "alpha", 1), fanin__emit_matmul(ir, a, b));
    if (y >= 0 && fanin__lower_has(l, 2)) {
        int c = scaled(ir, fanin__lower_float(l, "beta", 1), fanin__lower_in(l, 2));
        if (c >= 0) c = fanin__emit_broadcast(ir, c, 2, ir->nodes[y].dims);
        y = fanin__emit_binary(ir, FANIN__ADD, y, c);
    }
    fanin__lower_out(l, 0, y);
}

/* Leading axes of `dims` (all but the last two) followed by the last two of x. */
static int with_batch(fanin__ir *ir, int x, int rank, const int64_t *batch) {
    if (x < 0) return -1;
    int64_t dims[FANIN_MAX_RANK];
    memcpy(dims, batch, sizeof dims);
    const fanin__node *n = &ir->nodes[x];
    dims[rank - 2] = n->dims[n->rank - 2];
    dims[rank - 1] = n->dims[n->rank - 1];
    return fanin__emit_broadcast(ir, x, rank, dims);
}

/* numpy's matmul of two tensors of rank two or more. One matrix shared by a whole batch makes the
 * batch rows of one product. */
static int batched(fanin__ir *ir, int a, int b) {
    if (a < 0 || b < 0) return -1;
    fanin__node p = ir->nodes[a], q = ir->nodes[b];
    if (q.rank == 2 && p.rank > 2) {
        int64_t rows = 1, dims[FANIN_MAX_RANK];
        for (int i = 0; i + 1 < p.rank; i++) rows *= p.dims[i];
        a = fanin__emit_reshape(ir, a, 2, (int64_t[]){rows, p.dims[p.rank - 1]});
        memcpy(dims, p.dims, sizeof dims);
        dims[p.rank - 1] = q.dims[1];
        return fanin__emit_reshape(ir, fanin__emit_matmul(ir, a, b), p.rank, dims);
    }
    int rank = p.rank > q.rank ? p.rank : q.rank;
    int64_t batch[FANIN_MAX_RANK] = {0};
    for (int i = 0; i < rank - 2; i++) {
        int at_p = i - (rank - p.rank), at_q = i - (rank - q.rank);
        int64_t m = at_p >= 0 ? p.dims[at_p] : 1, n = at_q >= 0 ? q.dims[at_q] : 1;
        batch[i] = m == 1 ? n : m;
    }
    a = with_batch(ir, a, rank, batch);
    return fanin__emit_matmul(ir, a, with_batch(ir, b, rank, batch));
}

void fanin__lower_matmul(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int a = fanin__lower_in(l, 0), b = fanin__lower_in(l, 1);
    if (a < 0 || b < 0) return;
    fanin__node p = ir->nodes[a], q = ir->nodes[b];
    if (p.rank == 0 || q.rank == 0) {
        fanin__ir_fail(ir, FANIN_SHAPE, "an operand is a scalar");
        return;
    }
    if (p.rank == 1) a = fanin__emit_reshape(ir, a, 2, (int64_t[]){1, p.dims[0]});
    if (q.rank == 1) b = fanin__emit_reshape(ir, b, 2, (int64_t[]){q.dims[0], 1});
    int y = batched(ir, a, b);
    if (y >= 0 && (p.rank == 1 || q.rank == 1)) {
        fanin__node n = ir->nodes[y];
        int64_t dims[FANIN_MAX_RANK];
        int rank = 0;
        for (int i = 0; i < n.rank; i++) {
            bool added = (i == n.rank - 2 && p.rank == 1) || (i == n.rank - 1 && q.rank == 1);
            if (!added) dims[rank++] = n.dims[i];
        }
        y = fanin__emit_reshape(ir, y, rank, dims);
    }
    fanin__lower_out(l, 0, y);
}
