/* shape.c - what a primitive's result looks like, and which operands it refuses. */
#include <string.h>

#include "operator/function.h"
#include "operator/primitive.h"

static const fanin__node *operand(const fanin__ir *ir, const fanin__node *node, int i) {
    return &ir->nodes[node->inputs[i]];
}

static void take_shape(fanin__node *node, const fanin__node *from) {
    node->rank = from->rank;
    memcpy(node->dims, from->dims, sizeof node->dims);
}

static bool same_shape(const fanin__node *a, const fanin__node *b) {
    return a->rank == b->rank &&
           (a->rank == 0 || !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]));
}

static bool refuse_pair(fanin__ir *ir, const char *what, const fanin__node *a,
                        const fanin__node *b) {
    char s[160], t[160];
    fanin__ir_fail(ir, FANIN_SHAPE, "%s: %s does not fit %s", what, fanin__node_shape_text(a, s),
                   fanin__node_shape_text(b, t));
    return false;
}

static bool refuse_types(fanin__ir *ir, const char *what, const fanin__node *a,
                         const fanin__node *b) {
    fanin__ir_fail(ir, FANIN_SHAPE, "%s: element types %s and %s differ", what,
                   fanin_dtype_name(a->dtype), fanin_dtype_name(b->dtype));
    return false;
}

bool fanin__shape_leaf(fanin__ir *ir, fanin__node *node) {
    (void)ir;
    (void)node;
    return true;
}

/* Integers and truth values have few functions. */
static bool has_function(fanin_dtype dtype, int kind) {
    if (dtype == FANIN_BOOL) return kind == FANIN__FN_NOT;
    if (dtype != FANIN_I64) return kind != FANIN__FN_NOT;
    return kind == FANIN__FN_NEG || kind == FANIN__FN_ABS || kind == FANIN__FN_SIGN ||
           kind == FANIN__FN_SQUARE || kind == FANIN__FN_RELU;
}

bool fanin__shape_map(fanin__ir *ir, fanin__node *node) {
    take_shape(node, operand(ir, node, 0));
    node->dtype = operand(ir, node, 0)->dtype;
    if (!has_function(node->dtype, node->attr.kind)) {
        const fanin__node *x = operand(ir, node, 0);
        fanin__ir_fail(ir, FANIN_UNSUPPORTED, "%s of %s numbers",
                       fanin__function_name(node->attr.kind), fanin_dtype_name(x->dtype));
        return false;
    }
    if (node->attr.kind == FANIN__FN_IS_NAN || node->attr.kind == FANIN__FN_IS_INF)
        node->dtype = FANIN_BOOL;
    if (node->attr.order < 0 || node->attr.order > 3) {
        fanin__ir_fail(ir, FANIN_UNSUPPORTED, "an activation differentiated %d times (3 at most)",
                       node->attr.order);
        return false;
    }
    return true;
}

bool fanin__shape_mapmul(fanin__ir *ir, fanin__node *node) {
    if (!same_shape(operand(ir, node, 0), operand(ir, node, 1)))
        return refuse_pair(ir, "map times", operand(ir, node, 0), operand(ir, node, 1));
    return fanin__shape_map(ir, node);
}

bool fanin__shape_binary(fanin__ir *ir, fanin__node *node) {
    const fanin__node *a = operand(ir, node, 0), *b = operand(ir, node, 1);
    if (!same_shape(a, b)) return refuse_pair(ir, "elementwise", a, b);
    if (a->dtype != b->dtype) return refuse_types(ir, "elementwise", a, b);
    take_shape(node, a);
    node->dtype = node->attr.kind >= FANIN__COMPARE ? FANIN_BOOL : a->dtype;
    return true;
}

bool fanin__shape_select(fanin__ir *ir, fanin__node *node) {
    const fanin__node *c = operand(ir, node, 0), *a = operand(ir, node, 1),
                      *b = operand(ir, node, 2);
    if (!same_shape(a, b)) return refuse_pair(ir, "select", a, b);
    if (!same_shape(a, c)) return refuse_pair(ir, "select", c, a);
    if (a->dtype != b->dtype) return refuse_types(ir, "select", a, b);
    if (c->dtype != FANIN_BOOL) return refuse_types(ir, "select", c, a);
    take_shape(node, a);
    node->dtype = a->dtype;
    return true;
}

bool fanin__shape_cast(fanin__ir *ir, fanin__node *node) {
    take_shape(node, operand(ir, node, 0));
    node->dtype = (fanin_dtype)node->attr.kind;
    return true;
}

/* ---- views: dims are given -------------------------------------------------------------- */

bool fanin__shape_broadcast(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    node->dtype = x->dtype;
    if (x->rank != node->rank) return refuse_pair(ir, "broadcast", x, node);
    for (int i = 0; i < x->rank; i++)
        if (x->dims[i] != node->dims[i] && x->dims[i] != 1)
            return refuse_pair(ir, "broadcast", x, node);
    return true;
}

bool fanin__shape_reshape(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    node->dtype = x->dtype;
    size_t count;
    if (!fanin__shape_count(node->dims, node->rank, &count) || count != x->count)
        return refuse_pair(ir, "reshape", x, node);
    return true;
}

bool fanin__shape_transpose(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    node->dtype = x->dtype;
    node->rank = x->rank;
    unsigned seen = 0;
    for (int i = 0; i < x->rank; i++) {
        int64_t from = node->attr.perm[i];
        if (from < 0 || from >= x->rank || (seen >> from & 1)) {
            fanin__ir_fail(ir, FANIN_SHAPE, "transpose: axis %lld of %d twice or out of range",
                           (long long)from, x->rank);
            return false;
        }
        seen |= 1u << from;
        node->dims[i] = x->dims[from];
    }
    return true;
}

bool fanin__shape_slice(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    node->dtype = x->dtype;
    for (int i = 0; i < x->rank; i++) {
        int64_t size = node->dims[i], first = node->attr.slice.start[i];
        if (size == 0) continue;
        int64_t last = first + (size - 1) * node->attr.slice.step[i];
        if (size < 0 || first < 0 || first >= x->dims[i] || last < 0 || last >= x->dims[i]) {
            fanin__ir_fail(ir, FANIN_SHAPE,
                           "slice: elements %lld to %lld of axis %d, which has %lld",
                           (long long)first, (long long)last, i, (long long)x->dims[i]);
            return false;
        }
    }
    return true;
}

/* ---- movement --------------------------------------------------------------------------- */

bool fanin__shape_copy(fanin__ir *ir, fanin__node *node) {
    take_shape(node, operand(ir, node, 0));
    node->dtype = operand(ir, node, 0)->dtype;
    return true;
}

bool fanin__shape_pad(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    node->dtype = x->dtype;
    node->rank = x->rank;
    for (int i = 0; i < x->rank; i++) {
        int64_t before = node->attr.pad.before[i], after = node->attr.pad.after[i];
        int64_t interior = node->attr.pad.interior[i];
        int64_t limit = INT64_MAX / 8;
        if (before < 0 || after < 0 || interior < 0 || before > limit || after > limit ||
            interior > limit / (x->dims[i] + 1)) {
            fanin__ir_fail(ir, FANIN_SHAPE, "pad: %lld before, %lld between, %lld after",
                           (long long)before, (long long)interior, (long long)after);
            return false;
        }
        node->dims[i] =
            x->dims[i] + before + after + (x->dims[i] > 0 ? (x->dims[i] - 1) * interior : 0);
    }
    return true;
}

bool fanin__shape_concat(fanin__ir *ir, fanin__node *node) {
    if (node->input_count == 0) {
        fanin__ir_fail(ir, FANIN_SHAPE, "concat of nothing");
        return false;
    }
    const fanin__node *first = operand(ir, node, 0);
    int axis = node->attr.axis;
    if (axis < 0 || axis >= first->rank) {
        fanin__ir_fail(ir, FANIN_SHAPE, "concat along axis %d of %d", axis, first->rank);
        return false;
    }
    take_shape(node, first);
    node->dtype = first->dtype;
    int64_t total = 0;
    for (int i = 0; i < node->input_count; i++) {
        const fanin__node *x = operand(ir, node, i);
        node->dims[axis] = x->rank > axis ? x->dims[axis] : 0;
        if (!same_shape(x, node)) return refuse_pair(ir, "concat", x, first);
        if (x->dtype != first->dtype) return refuse_types(ir, "concat", x, first);
        total += x->dims[axis];
    }
    node->dims[axis] = total;
    return true;
}

bool fanin__shape_gather(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0), *at = operand(ir, node, 1);
    int axis = node->attr.axis;
    if (at->dtype != FANIN_I64) {
        fanin__ir_fail(ir, FANIN_SHAPE, "gather: indices are %s, expected whole numbers",
                       fanin_dtype_name(at->dtype));
        return false;
    }
    if (axis < 0 || axis >= x->rank || x->rank - 1 + at->rank > FANIN_MAX_RANK)
        return refuse_pair(ir, "gather", at, x);
    if (x->dims[axis] == 0 && at->count > 0) return refuse_pair(ir, "gather", at, x);
    node->dtype = x->dtype;
    node->rank = 0;
    for (int i = 0; i < axis; i++) node->dims[node->rank++] = x->dims[i];
    for (int i = 0; i < at->rank; i++) node->dims[node->rank++] = at->dims[i];
    for (int i = axis + 1; i < x->rank; i++) node->dims[node->rank++] = x->dims[i];
    return true;
}

bool fanin__shape_scatter(fanin__ir *ir, fanin__node *node) {
    const fanin__node *at = operand(ir, node, 0), *updates = operand(ir, node, 1);
    if (at->dtype != FANIN_I64 || updates->rank != node->rank - 1 + at->rank)
        return refuse_pair(ir, "scatter", updates, at);
    node->dtype = updates->dtype;
    return true;
}

/* ---- reductions ------------------------------------------------------------------------- */

bool fanin__shape_reduce(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    take_shape(node, x);
    node->dtype = x->dtype;
    for (int i = 0; i < x->rank; i++)
        if (node->attr.mask >> i & 1) node->dims[i] = 1;
    return true;
}

bool fanin__shape_top(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    int axis = node->attr.axis, count = node->attr.order;
    if (axis < 0 || axis >= x->rank || count < 1 || x->dims[axis] < count) {
        char s[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "the %d largest along axis %d of %s", count, axis,
                       fanin__node_shape_text(x, s));
        return false;
    }
    take_shape(node, x);
    node->dtype = FANIN_I64;
    node->dims[axis] = count;
    return true;
}

/* ---- contractions ----------------------------------------------------------------------- */

bool fanin__shape_matmul(fanin__ir *ir, fanin__node *node) {
    const fanin__node *a = operand(ir, node, 0), *b = operand(ir, node, 1);
    if (a->rank < 2 || a->rank != b->rank || a->dims[a->rank - 1] != b->dims[b->rank - 2])
        return refuse_pair(ir, "matmul", b, a);
    for (int i = 0; i < a->rank - 2; i++)
        if (a->dims[i] != b->dims[i]) return refuse_pair(ir, "matmul", b, a);
    if (a->dtype != b->dtype) return refuse_types(ir, "matmul", a, b);
    take_shape(node, a);
    node->dtype = a->dtype;
    node->dims[a->rank - 1] = b->dims[b->rank - 1];
    return true;
}

bool fanin__shape_matmul_lanes(fanin__ir *ir, fanin__node *node) {
    const fanin__node *a = operand(ir, node, 0), *b = operand(ir, node, 1);
    int r = a->rank;
    bool fits = r >= 3 && r == b->rank && a->dims[r - 2] == b->dims[r - 3];
    for (int i = 0; i < r && fits; i++) fits = i == r - 3 || i == r - 2 || a->dims[i] == b->dims[i];
    if (!fits) return refuse_pair(ir, "matmul of lanes", b, a);
    if (a->dtype != b->dtype) return refuse_types(ir, "matmul of lanes", a, b);
    take_shape(node, a);
    node->dtype = a->dtype;
    node->dims[r - 2] = b->dims[r - 2];
    return true;
}

static bool check_window(fanin__ir *ir, const fanin__op_window *w, int image_rank, int extra) {
    bool fine = w->rank >= 1 && w->rank <= FANIN__WINDOW_MAX && image_rank >= w->rank + extra;
    for (int i = 0; fine && i < w->rank; i++) {
        int64_t limit = INT32_MAX;
        fine = w->kernel[i] >= 1 && w->stride[i] >= 1 && w->dilation[i] >= 1 && w->before[i] >= 0 &&
               w->after[i] >= 0 && w->kernel[i] <= limit && w->stride[i] <= limit &&
               w->dilation[i] <= limit && w->before[i] <= limit && w->after[i] <= limit;
    }
    if (!fine)
        fanin__ir_fail(ir, FANIN_SHAPE,
                       "a window of %d axes (1 to 3, positive sizes, pads not negative) over a "
                       "tensor of rank %d",
                       w->rank, image_rank);
    return fine;
}

/* y = conv(x, w) fits? */
static bool conv_fits(fanin__ir *ir, const fanin__op_window *v, const fanin__node *x,
                      const fanin__node *w, const fanin__node *y) {
    if (!check_window(ir, v, x->rank, 2)) return false;
    int rank = v->rank + 2;
    if (x->rank != rank || w->rank != rank || v->groups < 1 || x->dims[1] % v->groups != 0 ||
        x->dims[1] / v->groups != w->dims[1] || w->dims[0] % v->groups != 0) {
        char s[160], t[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "convolution: kernel is %s in %lld groups, the image %s",
                       fanin__node_shape_text(w, s), (long long)v->groups,
                       fanin__node_shape_text(x, t));
        return false;
    }
    for (int i = 0; i < v->rank; i++) {
        if (w->dims[2 + i] != v->kernel[i] || x->dims[2 + i] > INT32_MAX)
            return refuse_pair(ir, "convolution", w, x);
        if (fanin__op_window_outputs(v, i, x->dims[2 + i]) < 1 && x->dims[2 + i] >= 0) {
            char s[160];
            fanin__ir_fail(ir, FANIN_SHAPE, "convolution: the kernel does not fit into %s",
                           fanin__node_shape_text(x, s));
            return false;
        }
        if (y && y->dims[2 + i] != fanin__op_window_outputs(v, i, x->dims[2 + i]))
            return refuse_pair(ir, "convolution", y, x);
    }
    if (y && (y->rank != rank || y->dims[0] != x->dims[0] || y->dims[1] != w->dims[0]))
        return refuse_pair(ir, "convolution", y, x);
    return true;
}

bool fanin__shape_conv(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0), *w = operand(ir, node, 1);
    const fanin__op_window *v = &node->attr.window;
    if (!conv_fits(ir, v, x, w, NULL)) return false;
    node->dtype = x->dtype;
    node->rank = x->rank;
    node->dims[0] = x->dims[0];
    node->dims[1] = w->dims[0];
    for (int i = 0; i < v->rank; i++)
        node->dims[2 + i] = fanin__op_window_outputs(v, i, x->dims[2 + i]);
    return true;
}

bool fanin__shape_conv_data(fanin__ir *ir, fanin__node *node) {
    node->dtype = operand(ir, node, 0)->dtype;
    return conv_fits(ir, &node->attr.window, node, operand(ir, node, 1), operand(ir, node, 0));
}

bool fanin__shape_conv_weight(fanin__ir *ir, fanin__node *node) {
    node->dtype = operand(ir, node, 0)->dtype;
    return conv_fits(ir, &node->attr.window, operand(ir, node, 0), node, operand(ir, node, 1));
}

/* ---- windows ---------------------------------------------------------------------------- */

static bool pool_dims(fanin__ir *ir, const fanin__op_window *v, const fanin__node *x,
                      int64_t dims[FANIN_MAX_RANK]) {
    if (!check_window(ir, v, x->rank, 0)) return false;
    memcpy(dims, x->dims, FANIN_MAX_RANK * sizeof dims[0]);
    for (int i = 0; i < v->rank; i++) {
        int axis = x->rank - v->rank + i;
        dims[axis] = x->dims[axis] > INT32_MAX ? 0 : fanin__op_window_outputs(v, i, x->dims[axis]);
        if (dims[axis] < 1) {
            char s[160];
            fanin__ir_fail(ir, FANIN_SHAPE, "pooling: a window of %lld does not fit into %s",
                           (long long)v->kernel[i], fanin__node_shape_text(x, s));
            return false;
        }
    }
    return true;
}

bool fanin__shape_pool(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    node->dtype = x->dtype;
    node->rank = x->rank;
    return pool_dims(ir, &node->attr.window, x, node->dims);
}

static bool pool_result_is(fanin__ir *ir, const fanin__op_window *v, const fanin__node *x,
                           const fanin__node *y) {
    fanin__node want = *x;
    if (!pool_dims(ir, v, x, want.dims)) return false;
    return same_shape(&want, y) || refuse_pair(ir, "pooling", y, x);
}

bool fanin__shape_pool_adjoint(fanin__ir *ir, fanin__node *node) {
    node->dtype = operand(ir, node, 0)->dtype;
    return pool_result_is(ir, &node->attr.window, node, operand(ir, node, 0));
}

bool fanin__shape_pool_scatter(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0);
    take_shape(node, x);
    node->dtype = x->dtype;
    return pool_result_is(ir, &node->attr.window, x, operand(ir, node, 1));
}

bool fanin__shape_pool_gather(fanin__ir *ir, fanin__node *node) {
    if (!same_shape(operand(ir, node, 0), operand(ir, node, 1)))
        return refuse_pair(ir, "pooling", operand(ir, node, 1), operand(ir, node, 0));
    return fanin__shape_pool(ir, node);
}

/* ---- fused rows: made by lowerings that know the shapes --------------------------------- */

bool fanin__shape_softmax_grad(fanin__ir *ir, fanin__node *node) {
    if (!same_shape(operand(ir, node, 0), operand(ir, node, 1)))
        return refuse_pair(ir, "softmax", operand(ir, node, 0), operand(ir, node, 1));
    return fanin__shape_copy(ir, node);
}

bool fanin__shape_xent(fanin__ir *ir, fanin__node *node) {
    const fanin__node *x = operand(ir, node, 0), *t = operand(ir, node, 1);
    if (x->rank != 2 || t->rank != 1 || t->dims[0] != x->dims[0] || t->dtype != FANIN_I64)
        return refuse_pair(ir, "cross entropy", t, x);
    node->dtype = x->dtype;
    node->rank = 2;
    node->dims[0] = x->dims[0];
    node->dims[1] = 2;
    return true;
}

bool fanin__shape_xent_grad(fanin__ir *ir, fanin__node *node) {
    return fanin__shape_copy(ir, node);
}

static bool of_channels(fanin__ir *ir, fanin__node *node, int64_t rows) {
    const fanin__node *x = operand(ir, node, 0);
    if (x->rank < 2) return refuse_pair(ir, "batch norm", x, x);
    node->dtype = x->dtype;
    node->rank = 2;
    node->dims[0] = rows;
    node->dims[1] = x->dims[1];
    return true;
}

bool fanin__shape_norm_stats(fanin__ir *ir, fanin__node *node) { return of_channels(ir, node, 3); }
bool fanin__shape_norm_sums(fanin__ir *ir, fanin__node *node) { return of_channels(ir, node, 2); }
bool fanin__shape_norm_apply(fanin__ir *ir, fanin__node *node) {
    return fanin__shape_copy(ir, node);
}
bool fanin__shape_norm_grad(fanin__ir *ir, fanin__node *node) {
    return fanin__shape_copy(ir, node);
}
