/* emit.c - the short ways to make nodes, with the broadcasting and the cheap simplifications (adding
 * 0, transposing twice) that keep lowerings plain. */
#include <string.h>

#include "operator/function.h"
#include "operator/kernels_int.h"

int fanin__emit_const_i64(fanin__ir *ir, int64_t count, const int64_t *values) {
    return fanin__emit_const(ir, FANIN_I64, 1, &count, values);
}

int fanin__emit_scalar(fanin__ir *ir, double value) {
    float narrow = (float)value;
    return ir->dtype == FANIN_F32 ? fanin__emit_const(ir, FANIN_F32, 0, NULL, &narrow)
                                  : fanin__emit_const(ir, FANIN_F64, 0, NULL, &value);
}

int fanin__emit_scalar_i64(fanin__ir *ir, int64_t value) {
    return fanin__emit_const(ir, FANIN_I64, 0, NULL, &value);
}

int fanin__emit_iota(fanin__ir *ir, int64_t count) {
    if (ir->failed) return -1;
    size_t bytes;
    if (count < 0 || count > FANIN__LIST_MAX ||
        !fanin__size_mul((size_t)count, sizeof(int64_t), &bytes))
        return fanin__ir_fail(ir, FANIN_SHAPE, "a range of %lld elements", (long long)count);
    int64_t *values = fanin_malloc(bytes ? bytes : 1);
    if (!values) return fanin__ir_fail(ir, FANIN_NOMEM, "no memory for a range");
    for (int64_t i = 0; i < count; i++) values[i] = i;
    int id = fanin__emit_const_i64(ir, count, values);
    fanin_free(values);
    return id;
}

int fanin__emit_fill_like(fanin__ir *ir, double value, int x) {
    if (ir->failed || x < 0) return -1;
    fanin__node n = ir->nodes[x];
    int s = n.dtype == FANIN_I64 ? fanin__emit_scalar_i64(ir, int_of(value))
                                 : fanin__emit_scalar(ir, value);
    if (n.dtype == FANIN_BOOL) s = fanin__emit_cast(ir, s, FANIN_BOOL);
    return fanin__emit_broadcast(ir, s, n.rank, n.dims);
}

int fanin__emit_uniform(fanin__ir *ir, int rank, const int64_t *dims) {
    return fanin__emit_leaf(ir, FANIN__RANDOM, ir->random_count++, ir->dtype, rank, dims);
}

/* ---- elementwise ------------------------------------------------------------------------ */

int fanin__emit_apply_with(fanin__ir *ir, int function, double p0, double p1, int x) {
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.kind = function;
    attr.p[0] = p0;
    attr.p[1] = p1;
    return fanin__emit(ir, FANIN__MAP, &x, 1, &attr, 0, NULL);
}

int fanin__emit_apply(fanin__ir *ir, int function, int x) {
    return fanin__emit_apply_with(ir, function, 0, 0, x);
}

int fanin__emit_apply_activation(fanin__ir *ir, const fanin_activation *act, int order, int x) {
    if (!act) return -1;
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.kind = FANIN__FN_ACTIVATION;
    attr.order = order;
    attr.act = act;
    return fanin__emit(ir, FANIN__MAP, &x, 1, &attr, 0, NULL);
}

int fanin__emit_mapmul(fanin__ir *ir, int g, const fanin__op_attr *map, int x) {
    return fanin__emit(ir, FANIN__MAPMUL, (int[]){g, x}, 2, map, 0, NULL);
}

/* numpy's common shape of two nodes. */
static bool common_shape(fanin__ir *ir, int a, int b, int *rank, int64_t *dims) {
    const fanin__node *p = &ir->nodes[a], *q = &ir->nodes[b];
    *rank = p->rank > q->rank ? p->rank : q->rank;
    for (int i = 0; i < *rank; i++) {
        int at_p = i - (*rank - p->rank), at_q = i - (*rank - q->rank);
        int64_t m = at_p >= 0 ? p->dims[at_p] : 1, n = at_q >= 0 ? q->dims[at_q] : 1;
        if (m != n && m != 1 && n != 1) {
            char t[160], u[160];
            fanin__ir_fail(ir, FANIN_SHAPE, "%s and %s do not broadcast together",
                           fanin__node_shape_text(p, t), fanin__node_shape_text(q, u));
            return false;
        }
        dims[i] = m == 1 ? n : m;
    }
    return true;
}

int fanin__emit_binary(fanin__ir *ir, fanin__binary_kind kind, int a, int b) {
    if (ir->failed || a < 0 || b < 0) return -1;
    int rank;
    int64_t dims[FANIN_MAX_RANK];
    if (!common_shape(ir, a, b, &rank, dims)) return -1;
    int pair[2] = {fanin__emit_broadcast(ir, a, rank, dims),
                   fanin__emit_broadcast(ir, b, rank, dims)};
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.kind = (int)kind;
    return fanin__emit(ir, FANIN__BINARY, pair, 2, &attr, 0, NULL);
}

int fanin__emit_binary_scalar(fanin__ir *ir, fanin__binary_kind kind, int a, double b) {
    if (ir->failed || a < 0) return -1;
    bool integer = ir->nodes[a].dtype == FANIN_I64;
    return fanin__emit_binary(
        ir, kind, a, integer ? fanin__emit_scalar_i64(ir, int_of(b)) : fanin__emit_scalar(ir, b));
}

int fanin__emit_select(fanin__ir *ir, int c, int a, int b) {
    if (ir->failed || c < 0 || a < 0 || b < 0) return -1;
    int rank;
    int64_t dims[FANIN_MAX_RANK];
    if (!common_shape(ir, a, b, &rank, dims)) return -1;
    a = fanin__emit_broadcast(ir, a, rank, dims);
    if (a < 0 || !common_shape(ir, c, a, &rank, dims)) return -1;
    int three[3] = {fanin__emit_broadcast(ir, c, rank, dims),
                    fanin__emit_broadcast(ir, a, rank, dims),
                    fanin__emit_broadcast(ir, b, rank, dims)};
    return fanin__emit(ir, FANIN__SELECT, three, 3, NULL, 0, NULL);
}

int fanin__emit_cast(fanin__ir *ir, int x, fanin_dtype dtype) {
    if (ir->failed || x < 0) return -1;
    if (ir->nodes[x].dtype == dtype) return x;
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.kind = (int)dtype;
    return fanin__emit(ir, FANIN__CAST, &x, 1, &attr, 0, NULL);
}

/* ---- views ------------------------------------------------------------------------------ */

static bool same_dims(const fanin__node *n, int rank, const int64_t *dims) {
    return n->rank == rank && (!rank || !memcmp(n->dims, dims, (size_t)rank * sizeof dims[0]));
}

int fanin__emit_reshape(fanin__ir *ir, int x, int rank, const int64_t *dims) {
    if (ir->failed || x < 0) return -1;
    if (same_dims(&ir->nodes[x], rank, dims)) return x;
    if (ir->nodes[x].op == FANIN__RESHAPE)
        return fanin__emit_reshape(ir, ir->nodes[x].inputs[0], rank, dims);
    return fanin__emit(ir, FANIN__RESHAPE, &x, 1, NULL, rank, dims);
}

int fanin__emit_broadcast(fanin__ir *ir, int x, int rank, const int64_t *dims) {
    if (ir->failed || x < 0) return -1;
    const fanin__node *n = &ir->nodes[x];
    if (same_dims(n, rank, dims)) return x;
    int64_t
        wanted[FANIN_MAX_RANK]; /* dims may belong to a node, and nodes move when one is added */
    for (int i = 0; i < rank; i++) wanted[i] = dims[i];
    dims = wanted;
    int extra = rank - n->rank;
    int64_t padded[FANIN_MAX_RANK];
    for (int i = 0; i < rank && extra >= 0; i++) padded[i] = i < extra ? 1 : n->dims[i - extra];
    if (extra > 0) x = fanin__emit_reshape(ir, x, rank, padded);
    if (x < 0 || same_dims(&ir->nodes[x], rank, dims)) return x;
    if (ir->nodes[x].op == FANIN__BROADCAST) x = ir->nodes[x].inputs[0];
    return fanin__emit(ir, FANIN__BROADCAST, &x, 1, NULL, rank, dims);
}

/* A transposed product is the product of the transposed: keeps results packed. */
static int transposed_matmul(fanin__ir *ir, int x, const int64_t *perm) {
    const fanin__node *n = &ir->nodes[x];
    if (n->op != FANIN__MATMUL || perm[n->rank - 1] != n->rank - 2) return -1;
    for (int i = 0; i < n->rank - 2; i++)
        if (perm[i] != i) return -1;
    int a = n->inputs[0], b = n->inputs[1];
    return fanin__emit_matmul(ir, fanin__emit_transpose(ir, b, perm),
                              fanin__emit_transpose(ir, a, perm));
}

int fanin__emit_transpose(fanin__ir *ir, int x, const int64_t *perm) {
    if (ir->failed || x < 0) return -1;
    int rank = ir->nodes[x].rank;
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    for (int i = 0; i < rank; i++) attr.perm[i] = perm[i];
    if (ir->nodes[x].op == FANIN__TRANSPOSE) {
        for (int i = 0; i < rank; i++) {
            if (perm[i] < 0 || perm[i] >= rank) break;
            attr.perm[i] = ir->nodes[x].attr.perm[perm[i]];
        }
        x = ir->nodes[x].inputs[0];
    }
    bool identity = true;
    for (int i = 0; i < rank; i++) identity = identity && attr.perm[i] == i;
    if (identity) return x;
    int product = transposed_matmul(ir, x, attr.perm);
    if (product >= 0 || ir->failed) return product;
    return fanin__emit(ir, FANIN__TRANSPOSE, &x, 1, &attr, 0, NULL);
}

int fanin__emit_swap(fanin__ir *ir, int x, int axis_a, int axis_b) {
    if (ir->failed || x < 0) return -1;
    int64_t perm[FANIN_MAX_RANK];
    for (int i = 0; i < ir->nodes[x].rank; i++)
        perm[i] = i == axis_a ? axis_b : i == axis_b ? axis_a : i;
    return fanin__emit_transpose(ir, x, perm);
}

int fanin__emit_slice(fanin__ir *ir, int x, const int64_t *start, const int64_t *step,
                      const int64_t *dims) {
    if (ir->failed || x < 0) return -1;
    const fanin__node *n = &ir->nodes[x];
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    bool whole = true;
    for (int i = 0; i < n->rank; i++) {
        attr.slice.start[i] = start[i];
        attr.slice.step[i] = step[i];
        whole = whole && start[i] == 0 && step[i] == 1 && dims[i] == n->dims[i];
    }
    if (whole) return x;
    return fanin__emit(ir, FANIN__SLICE, &x, 1, &attr, n->rank, dims);
}

int fanin__emit_slice_axis(fanin__ir *ir, int x, int axis, int64_t begin, int64_t size) {
    if (ir->failed || x < 0) return -1;
    int64_t start[FANIN_MAX_RANK] = {0}, step[FANIN_MAX_RANK], dims[FANIN_MAX_RANK];
    for (int i = 0; i < FANIN_MAX_RANK; i++) step[i] = 1;
    memcpy(dims, ir->nodes[x].dims, sizeof dims);
    start[axis] = begin;
    dims[axis] = size;
    return fanin__emit_slice(ir, x, start, step, dims);
}

/* ---- movement --------------------------------------------------------------------------- */

int fanin__emit_pad(fanin__ir *ir, int x, const int64_t *before, const int64_t *after,
                    const int64_t *interior, double value) {
    if (ir->failed || x < 0) return -1;
    int rank = ir->nodes[x].rank;
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.p[0] = value;
    bool nothing = true;
    for (int i = 0; i < rank; i++) {
        attr.pad.before[i] = before[i];
        attr.pad.after[i] = after[i];
        attr.pad.interior[i] = interior ? interior[i] : 0;
        nothing = nothing && !before[i] && !after[i] && !attr.pad.interior[i];
    }
    if (nothing) return x;
    return fanin__emit(ir, FANIN__PAD, &x, 1, &attr, 0, NULL);
}

int fanin__emit_concat(fanin__ir *ir, const int *inputs, int count, int axis) {
    if (ir->failed) return -1;
    if (count == 1) return inputs[0];
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.axis = axis;
    return fanin__emit(ir, FANIN__CONCAT, inputs, count, &attr, 0, NULL);
}

int fanin__emit_gather(fanin__ir *ir, int x, int indices, int axis) {
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.axis = axis;
    return fanin__emit(ir, FANIN__GATHER, (int[]){x, indices}, 2, &attr, 0, NULL);
}

/* ---- reductions ------------------------------------------------------------------------- */

static int drop_axes(fanin__ir *ir, int x, unsigned mask) {
    if (ir->failed || x < 0) return -1;
    int rank = 0;
    int64_t dims[FANIN_MAX_RANK];
    for (int i = 0; i < ir->nodes[x].rank; i++)
        if (!(mask >> i & 1)) dims[rank++] = ir->nodes[x].dims[i];
    return fanin__emit_reshape(ir, x, rank, dims);
}

static int reduce_kept(fanin__ir *ir, fanin__reduce_kind kind, int x, unsigned mask, int order) {
    if (ir->failed || x < 0) return -1;
    unsigned useful = 0;
    for (int i = 0; i < ir->nodes[x].rank; i++)
        if ((mask >> i & 1) && ir->nodes[x].dims[i] != 1) useful |= 1u << i;
    if (!useful) return x;
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.kind = (int)kind;
    attr.mask = useful;
    attr.order = order;
    return fanin__emit(ir, FANIN__REDUCE, &x, 1, &attr, 0, NULL);
}

int fanin__emit_reduce(fanin__ir *ir, fanin__reduce_kind kind, int x, unsigned mask, bool keep) {
    int y = reduce_kept(ir, kind, x, mask, 0);
    return keep ? y : drop_axes(ir, y, mask);
}

int fanin__emit_max_detached(fanin__ir *ir, int x, unsigned mask) {
    return reduce_kept(ir, FANIN__REDUCE_MAX, x, mask, 1);
}

int fanin__emit_mean(fanin__ir *ir, int x, unsigned mask, bool keep) {
    if (ir->failed || x < 0) return -1;
    double count = 1;
    for (int i = 0; i < ir->nodes[x].rank; i++)
        if (mask >> i & 1) count *= (double)ir->nodes[x].dims[i];
    int sum = fanin__emit_reduce(ir, FANIN__SUM, x, mask, keep);
    if (count == 1) return sum;
    return ir->nodes[x].dtype == FANIN_I64
               ? fanin__emit_binary_scalar(ir, FANIN__DIV, sum, count)
               : fanin__emit_apply_with(ir, FANIN__FN_SCALE, 1 / count, 0, sum);
}

int fanin__emit_top(fanin__ir *ir, int x, int axis, int64_t count) {
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.axis = axis;
    attr.order = count < INT32_MAX ? (int)count : INT32_MAX;
    return fanin__emit(ir, FANIN__TOP, &x, 1, &attr, 0, NULL);
}

/* ---- contractions ----------------------------------------------------------------------- */

/* The operand as a product with bfloat16 operands takes it. The value that a view looks at is rounded, not
 * the view: it is then one node for all products that read it, forward and backward. */
static int operand(fanin__ir *ir, int x) {
    if (!ir->bf16 || ir->failed || x < 0 || ir->nodes[x].dtype != FANIN_F32) return x;
    fanin__node n = ir->nodes[x];
    if (n.op == FANIN__MAP && n.attr.kind == FANIN__FN_BF16) return x;
    if (!fanin__primitive_of(n.op)->view) return fanin__emit_apply(ir, FANIN__FN_BF16, x);
    int base = operand(ir, n.inputs[0]);
    return base == n.inputs[0] ? x : fanin__emit(ir, n.op, &base, 1, &n.attr, n.rank, n.dims);
}

int fanin__emit_matmul(fanin__ir *ir, int a, int b) {
    if (a < 0 || b < 0) return -1;
    a = operand(ir, a);
    b = operand(ir, b);
    return fanin__emit(ir, FANIN__MATMUL, (int[]){a, b}, 2, NULL, 0, NULL);
}

static int windowed(fanin__ir *ir, fanin__op op, int a, int b, const fanin__op_window *window,
                    int rank, const int64_t *dims) {
    if (ir->failed || a < 0) return -1;
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.window = *window;
    int n = fanin__primitive_of(op)->inputs;
    if (n == 2 && b < 0) return -1;
    return fanin__emit(ir, op, (int[]){a, b}, n, &attr, rank, dims);
}

int fanin__emit_conv(fanin__ir *ir, fanin__op op, int a, int b, const fanin__op_window *window,
                     int rank, const int64_t *dims) {
    return windowed(ir, op, operand(ir, a), operand(ir, b), window, rank, dims);
}

int fanin__emit_pool(fanin__ir *ir, fanin__op op, int a, int b, const fanin__op_window *window,
                     int rank, const int64_t *dims) {
    return windowed(ir, op, a, b, window, rank, dims);
}

int64_t fanin__op_window_outputs(const fanin__op_window *w, int axis, int64_t size) {
    int64_t reach = w->dilation[axis] * (w->kernel[axis] - 1) + 1;
    int64_t room = size + w->before[axis] + w->after[axis] - reach;
    return room < 0 ? 0 : room / w->stride[axis] + 1;
}
