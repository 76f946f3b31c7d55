/* onnx_index.c - gathering, scattering, sorting out: one GATHER or SCATTER along an axis, or along the
 * flattened tensor with the position of each element computed. */
#include <string.h>

#include "operator/onnx.h"

static int add(fanin__ir *ir, int a, int b) { return fanin__emit_binary(ir, FANIN__ADD, a, b); }

/* Counting from the end: negative indices plus the size. *outside gathers (unless NULL) where the result
 * is not one of the axis. */
static int from_start(fanin__ir *ir, int at, int64_t size, int *outside) {
    int zero = fanin__emit_fill_like(ir, 0, at), end = fanin__emit_fill_like(ir, (double)size, at);
    int index =
        fanin__emit_select(ir, fanin__emit_binary(ir, FANIN__LT, at, zero), add(ir, at, end), at);
    if (!outside) return index;
    int wrong = fanin__emit_binary(ir, FANIN__OR, fanin__emit_binary(ir, FANIN__LT, index, zero),
                                   fanin__emit_binary(ir, FANIN__LE, end, index));
    *outside = *outside < 0 ? wrong : fanin__emit_binary(ir, FANIN__OR, *outside, wrong);
    return index;
}

/* Positions whose index was outside its axis become `count`, which gathers nothing. */
static int refuse_outside(fanin__ir *ir, int positions, int outside, int64_t count) {
    int nowhere = fanin__emit_fill_like(ir, (double)count, positions);
    return fanin__emit_select(ir, outside, nowhere, positions);
}

static int flattened(fanin__ir *ir, int x) {
    int64_t count = x < 0 ? 0 : (int64_t)ir->nodes[x].count;
    return fanin__emit_reshape(ir, x, 1, &count);
}

/* 0, 1, ... along one axis of `rank`, size 1 elsewhere. */
static int ruler(fanin__ir *ir, int rank, int axis, int64_t size) {
    int64_t shape[FANIN_MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = i == axis ? size : 1;
    return fanin__emit_reshape(ir, fanin__emit_iota(ir, size), rank, shape);
}

/* Where x[i.., at[i..], i..] lies in the flattened x, for each element of `at`. */
static int element_positions(fanin__ir *ir, int x, int at, int axis) {
    if (x < 0 || at < 0) return -1;
    fanin__node n = ir->nodes[x], k = ir->nodes[at];
    bool fits = n.rank == k.rank && k.dtype == FANIN_I64;
    for (int i = 0; fits && i < n.rank; i++) fits = i == axis || k.dims[i] <= n.dims[i];
    if (!fits) {
        char s[160], t[160];
        return fanin__ir_fail(ir, FANIN_SHAPE, "indices are %s (%s), the tensor %s",
                              fanin__node_shape_text(&k, s), fanin_dtype_name(k.dtype),
                              fanin__node_shape_text(&n, t));
    }
    int outside = -1, along = from_start(ir, at, n.dims[axis], &outside), sum = -1;
    int64_t stride = 1;
    for (int i = n.rank - 1; i >= 0; stride *= n.dims[i], i--) {
        int term = i == axis ? along : ruler(ir, n.rank, i, k.dims[i]);
        term = fanin__emit_binary_scalar(ir, FANIN__MUL, term, (double)stride);
        sum = sum < 0 ? term : add(ir, sum, term);
    }
    return refuse_outside(ir, sum, outside, (int64_t)n.count);
}

static int gather_elements(fanin__ir *ir, int x, int at, int axis) {
    int positions = element_positions(ir, x, at, axis);
    return fanin__emit_gather(ir, flattened(ir, x), positions, 0);
}

void fanin__lower_gather(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0), at = fanin__lower_in(l, 1);
    if (x < 0 || at < 0) return;
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", 0), l->ir->nodes[x].rank);
    if (axis >= 0) fanin__lower_out(l, 0, fanin__emit_gather(l->ir, x, at, axis));
}

void fanin__lower_gather_elements(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0), at = fanin__lower_in(l, 1);
    if (x < 0 || at < 0) return;
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", 0), l->ir->nodes[x].rank);
    if (axis >= 0) fanin__lower_out(l, 0, gather_elements(l->ir, x, at, axis));
}

/* ---- tuples of indices ------------------------------------------------------------------ */

/* The last axis of `at` holds tuples that index axes from `batch` on; the axes before are shared. */
typedef struct tuples {
    int positions; /* of the slices that the tuples name, in x as slices x (the rest) */
    int64_t slices, rest;
    int rank; /* of at without its last axis, followed by the axes of a slice */
    int64_t dims[FANIN_MAX_RANK];
} tuples;

static bool read_tuples(fanin__ir *ir, int x, int at, int batch, tuples *t) {
    fanin__node n = ir->nodes[x], k = ir->nodes[at];
    int64_t length = k.rank > 0 ? k.dims[k.rank - 1] : 0;
    bool fits = k.dtype == FANIN_I64 && k.rank > batch && batch >= 0 && length >= 1 &&
                length <= n.rank - batch;
    for (int i = 0; fits && i < batch; i++) fits = n.dims[i] == k.dims[i];
    int used = batch + (int)length;
    if (!fits || k.rank - 1 + n.rank - used > FANIN_MAX_RANK) {
        char s[160], u[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "tuples of indices are %s (%s), the tensor %s",
                       fanin__node_shape_text(&k, s), fanin_dtype_name(k.dtype),
                       fanin__node_shape_text(&n, u));
        return false;
    }
    t->rank = 0;
    t->slices = t->rest = 1;
    for (int i = 0; i < k.rank - 1; i++) t->dims[t->rank++] = k.dims[i];
    for (int i = used; i < n.rank; i++) t->rest *= t->dims[t->rank++] = n.dims[i];
    int outside = -1;
    t->positions = -1;
    for (int i = used - 1; i >= 0; t->slices *= n.dims[i], i--) {
        int term;
        if (i < batch) {
            term = ruler(ir, k.rank - 1, i, n.dims[i]);
        } else {
            term = fanin__emit_slice_axis(ir, at, k.rank - 1, i - batch, 1);
            term = fanin__emit_reshape(ir, term, k.rank - 1, k.dims);
            term = from_start(ir, term, n.dims[i], &outside);
        }
        term = fanin__emit_binary_scalar(ir, FANIN__MUL, term, (double)t->slices);
        t->positions = t->positions < 0 ? term : add(ir, t->positions, term);
    }
    t->positions = refuse_outside(ir, t->positions, outside, t->slices);
    return !ir->failed;
}

void fanin__lower_gather_nd(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0), at = fanin__lower_in(l, 1);
    tuples t;
    if (x < 0 || at < 0 || !read_tuples(ir, x, at, (int)fanin__lower_int(l, "batch_dims", 0), &t))
        return;
    int y = fanin__emit_reshape(ir, x, 2, (int64_t[]){t.slices, t.rest});
    y = fanin__emit_gather(ir, y, t.positions, 0);
    fanin__lower_out(l, 0, fanin__emit_reshape(ir, y, t.rank, t.dims));
}

/* ---- scattering ------------------------------------------------------------------------- */

/* zeros with `updates` added at positions along axis 0 of `like`. */
static int scattered(fanin__ir *ir, int positions, int updates, int like) {
    if (positions < 0 || updates < 0 || like < 0) return -1;
    fanin__node n = ir->nodes[like];
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    return fanin__emit(ir, FANIN__SCATTER, (int[]){positions, updates}, 2, &attr, n.rank, n.dims);
}

/* x with updates put or added at positions along axis 0. The standard leaves open what happens where two
 * updates are put in one place. */
static int put(fanin__lowering *l, int x, int positions, int updates) {
    fanin__ir *ir = l->ir;
    const char *how = fanin__lower_string(l, "reduction", "none");
    int sum = scattered(ir, positions, updates, x);
    if (!strcmp(how, "add")) return add(ir, x, sum);
    if (strcmp(how, "none") != 0) {
        fanin__lower_fail(l, "only reductions 'none' and 'add' of a scatter are implemented");
        return -1;
    }
    int ones =
        updates < 0 ? -1 : fanin__emit_cast(ir, fanin__emit_fill_like(ir, 1, updates), FANIN_I64);
    int hit = scattered(ir, positions, ones, x);
    return fanin__emit_select(ir, fanin__emit_cast(ir, hit, FANIN_BOOL), sum, x);
}

void fanin__lower_scatter_elements(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0), at = fanin__lower_in(l, 1), updates = fanin__lower_in(l, 2);
    if (x < 0 || at < 0 || updates < 0) return;
    fanin__node n = ir->nodes[x], u = ir->nodes[updates], k = ir->nodes[at];
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", 0), n.rank);
    if (axis < 0) return;
    if (u.count != k.count || u.rank != k.rank) {
        char s[160], t[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "updates are %s, their indices %s",
                       fanin__node_shape_text(&u, s), fanin__node_shape_text(&k, t));
        return;
    }
    int positions = flattened(ir, element_positions(ir, x, at, axis));
    int y = put(l, flattened(ir, x), positions, flattened(ir, updates));
    fanin__lower_out(l, 0, fanin__emit_reshape(ir, y, n.rank, n.dims));
}

void fanin__lower_scatter_nd(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0), at = fanin__lower_in(l, 1), updates = fanin__lower_in(l, 2);
    tuples t;
    if (x < 0 || at < 0 || updates < 0 || !read_tuples(ir, x, at, 0, &t)) return;
    fanin__node n = ir->nodes[x], u = ir->nodes[updates];
    if (u.rank != t.rank || memcmp(u.dims, t.dims, (size_t)t.rank * sizeof t.dims[0]) != 0) {
        char s[160], w[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "updates are %s, expected %s",
                       fanin__node_shape_text(&u, s),
                       fanin__shape_text(t.dims, t.rank, w, sizeof w));
        return;
    }
    int positions = flattened(ir, t.positions);
    int64_t many = positions < 0 ? 0 : (int64_t)ir->nodes[positions].count;
    updates = fanin__emit_reshape(ir, updates, 2, (int64_t[]){many, t.rest});
    int y = fanin__emit_reshape(ir, x, 2, (int64_t[]){t.slices, t.rest});
    fanin__lower_out(l, 0, fanin__emit_reshape(ir, put(l, y, positions, updates), n.rank, n.dims));
}

/* ---- classes and order ------------------------------------------------------------------ */

void fanin__lower_one_hot(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int at = fanin__emit_cast(ir, fanin__lower_in(l, 0), FANIN_I64), pair = fanin__lower_in(l, 2);
    double depth = fanin__lower_number(l, NULL, 1, 0);
    if (at < 0 || pair < 0 || ir->failed) return;
    fanin__node n = ir->nodes[at];
    int rank = n.rank + 1, axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", -1), rank);
    if (axis < 0) return;
    if (rank > FANIN_MAX_RANK || !(depth >= 1 && depth <= FANIN__LIST_MAX) ||
        ir->nodes[pair].count != 2) {
        fanin__ir_fail(ir, FANIN_SHAPE, "%g classes, %zu values (expected off and on)", depth,
                       ir->nodes[pair].count);
        return;
    }
    int64_t dims[FANIN_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? 1 : n.dims[i - (i > axis)];
    at = fanin__emit_reshape(ir, from_start(ir, at, (int64_t)depth, NULL), rank, dims);
    int hit = fanin__emit_binary(ir, FANIN__EQ, at, ruler(ir, rank, axis, (int64_t)depth));
    pair = flattened(ir, pair);
    int off = fanin__emit_reshape(ir, fanin__emit_slice_axis(ir, pair, 0, 0, 1), 0, NULL);
    int on = fanin__emit_reshape(ir, fanin__emit_slice_axis(ir, pair, 0, 1, 1), 0, NULL);
    fanin__lower_out(l, 0, fanin__emit_select(ir, hit, on, off));
}

/* Values are gathered by the indices, so that the gradient goes where they came from. */
void fanin__lower_topk(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    double k = fanin__lower_number(l, "k", 1, 0);
    if (x < 0 || ir->failed) return;
    fanin__node n = ir->nodes[x];
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", -1), n.rank);
    if (axis < 0) return;
    if (!(k >= 0 && k <= (double)n.dims[axis])) {
        fanin__ir_fail(ir, FANIN_SHAPE, "the first %g of axis %d, which has %lld elements", k, axis,
                       (long long)n.dims[axis]);
        return;
    }
    bool largest = fanin__lower_int(l, "largest", 1) != 0;
    int at = k < 1 ? fanin__emit_cast(ir, fanin__emit_slice_axis(ir, x, axis, 0, 0), FANIN_I64)
                   : fanin__emit_top(ir, largest ? x : fanin__emit_apply(ir, FANIN__FN_NEG, x),
                                     axis, (int64_t)k);
    fanin__lower_out(l, 0, gather_elements(ir, x, at, axis));
    fanin__lower_out(l, 1, at);
}

/* Every element `by` places on, zeros behind them. */
static int shifted(fanin__ir *ir, int x, int axis, int64_t by, bool reverse) {
    if (x < 0) return -1;
    int64_t zero[FANIN_MAX_RANK] = {0}, gap[FANIN_MAX_RANK] = {0};
    int64_t kept = ir->nodes[x].dims[axis] - by;
    gap[axis] = by;
    x = fanin__emit_slice_axis(ir, x, axis, reverse ? by : 0, kept);
    return fanin__emit_pad(ir, x, reverse ? zero : gap, reverse ? gap : zero, NULL, 0);
}

/* Each pass adds what lies twice as far back: log2(n) sums, whatever the type. */
void fanin__lower_cumsum(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    double named = fanin__lower_number(l, NULL, 1, 0);
    if (x < 0 || ir->failed) return;
    int axis = fanin__lower_axis(l, (int64_t)named, ir->nodes[x].rank);
    if (axis < 0) return;
    bool reverse = fanin__lower_int(l, "reverse", 0) != 0;
    int64_t size = ir->nodes[x].dims[axis];
    if (size > 0 && fanin__lower_int(l, "exclusive", 0)) x = shifted(ir, x, axis, 1, reverse);
    for (int64_t by = 1; by < size; by *= 2) x = add(ir, x, shifted(ir, x, axis, by, reverse));
    fanin__lower_out(l, 0, x);
}
