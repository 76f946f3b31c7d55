/* onnx_window.c - convolution, transposed convolution, pooling. */
#include <math.h>
#include <string.h>

#include "operator/onnx.h"

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static bool three(fanin__lowering *l, const char *attr, int rank, int64_t *values) {
    int64_t given[2 * FANIN__WINDOW_MAX];
    int count = fanin__lower_ints(l, attr, -1, given, 2 * FANIN__WINDOW_MAX);
    if (count == rank) memcpy(values, given, (size_t)rank * sizeof *values);
    if (count < 0 || count == rank) return !l->ir->failed;
    fanin__ir_fail(l->ir, FANIN_SHAPE, "attribute %s has %d entries, not %d", attr, count, rank);
    return false;
}

/* SAME pads so that there are ceil(size / stride) outputs. */
static void same_pads(fanin__op_window *w, int axis, int64_t size, bool lower) {
    int64_t reach = w->dilation[axis] * (w->kernel[axis] - 1) + 1;
    int64_t total = (ceil_div(size, w->stride[axis]) - 1) * w->stride[axis] + reach - size;
    if (total < 0) total = 0;
    w->before[axis] = lower ? total - total / 2 : total / 2;
    w->after[axis] = total - w->before[axis];
}

/* Products of two such numbers fit. */
static bool bounded(fanin__lowering *l, const char *what, int64_t n) {
    if (n >= -INT32_MAX && n <= INT32_MAX) return true;
    fanin__ir_fail(l->ir, FANIN_SHAPE, "%s: %lld is 2^31 or more", what, (long long)n);
    return false;
}

/* kernel_shape (or the weight's), strides, dilations, pads, auto_pad over the last `rank` axes. */
static bool read_window(fanin__lowering *l, int x, int rank, const int64_t *kernel,
                        fanin__op_window *w) {
    memset(w, 0, sizeof *w);
    if (rank < 1 || rank > FANIN__WINDOW_MAX) {
        fanin__ir_fail(l->ir, FANIN_UNSUPPORTED, "%d spatial axes, one to three are implemented",
                       rank);
        return false;
    }
    w->rank = rank;
    w->groups = fanin__lower_int(l, "group", 1);
    if (w->groups < 1 || w->groups > INT32_MAX) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "%lld groups", (long long)w->groups);
        return false;
    }
    for (int i = 0; i < rank; i++) {
        w->kernel[i] = kernel ? kernel[i] : 0;
        w->stride[i] = w->dilation[i] = 1;
    }
    if (!three(l, "kernel_shape", rank, w->kernel) || !three(l, "strides", rank, w->stride) ||
        !three(l, "dilations", rank, w->dilation))
        return false;
    int64_t pads[2 * FANIN__WINDOW_MAX] = {0};
    int count = fanin__lower_ints(l, "pads", -1, pads, 2 * FANIN__WINDOW_MAX);
    if (count >= 0 && count != 2 * rank) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "pads has %d entries, not %d", count, 2 * rank);
        return false;
    }
    for (int i = 0; i < rank; i++) {
        const int64_t sizes[] = {w->kernel[i], w->stride[i], w->dilation[i]};
        for (int k = 0; k < 3; k++)
            if (sizes[k] < 1 || sizes[k] > INT32_MAX) {
                fanin__ir_fail(l->ir, FANIN_SHAPE,
                               "kernel, stride and dilation have to be positive and below 2^31, "
                               "one is %lld",
                               (long long)sizes[k]);
                return false;
            }
        w->before[i] = pads[i];
        w->after[i] = pads[rank + i];
        if (!bounded(l, "pads", pads[i]) || !bounded(l, "pads", pads[rank + i])) return false;
    }
    const fanin__node *n = &l->ir->nodes[x];
    for (int i = 0; i < n->rank; i++)
        if (!bounded(l, "an image's axis", n->dims[i])) return false;
    const char *same = fanin__lower_string(l, "auto_pad", "NOTSET");
    if (!strncmp(same, "SAME", 4) && n->rank >= rank)
        for (int i = 0; i < rank; i++)
            same_pads(w, i, n->dims[n->rank - rank + i], !strcmp(same, "SAME_LOWER"));
    return true;
}

/* The window of a convolution's weight, which is all of it that kernel_shape may say. */
static bool read_kernel(fanin__lowering *l, int x, const fanin__node *weight, fanin__op_window *w) {
    if (!read_window(l, x, weight->rank - 2, weight->dims + 2, w)) return false;
    for (int i = 0; i < w->rank; i++)
        if (w->kernel[i] != weight->dims[2 + i]) {
            char s[160];
            fanin__ir_fail(l->ir, FANIN_SHAPE, "kernel_shape has %lld on axis %d, the weight is %s",
                           (long long)w->kernel[i], i, fanin__node_shape_text(weight, s));
            return false;
        }
    return true;
}

static int add_channel_bias(fanin__lowering *l, int y, int input) {
    if (y < 0 || !fanin__lower_has(l, input)) return y;
    int b = fanin__lower_in(l, input);
    if (b < 0) return -1;
    int64_t dims[FANIN_MAX_RANK];
    int rank = l->ir->nodes[y].rank;
    for (int i = 0; i < rank; i++) dims[i] = 1;
    dims[1] = (int64_t)l->ir->nodes[b].count;
    if (dims[1] != l->ir->nodes[y].dims[1])
        return fanin__ir_fail(l->ir, FANIN_SHAPE, "the bias has %lld elements, expected %lld",
                              (long long)dims[1], (long long)l->ir->nodes[y].dims[1]);
    return fanin__emit_binary(l->ir, FANIN__ADD, y, fanin__emit_reshape(l->ir, b, rank, dims));
}

void fanin__lower_conv(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0), w = fanin__lower_in(l, 1);
    if (x < 0 || w < 0) return;
    fanin__op_window window;
    fanin__node k = l->ir->nodes[w];
    if (!read_kernel(l, x, &k, &window)) return;
    int y = fanin__emit_conv(l->ir, FANIN__CONV, x, w, &window, 0, NULL);
    fanin__lower_out(l, 0, add_channel_bias(l, y, 2));
}

/* The adjoint of the convolution that maps the result's shape to x's. */
void fanin__lower_conv_transpose(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0), w = fanin__lower_in(l, 1);
    if (x < 0 || w < 0) return;
    fanin__op_window v;
    fanin__node n = l->ir->nodes[x], k = l->ir->nodes[w];
    if (!read_kernel(l, x, &k, &v)) return;
    int64_t extra[FANIN__WINDOW_MAX] = {0}, given[FANIN__WINDOW_MAX], dims[FANIN_MAX_RANK];
    int sized = fanin__lower_ints(l, "output_shape", -1, given, FANIN__WINDOW_MAX);
    if (!three(l, "output_padding", v.rank, extra)) return;
    for (int i = 0; i < v.rank; i++)
        if (extra[i] < 0) {
            fanin__ir_fail(l->ir, FANIN_SHAPE, "output_padding of %lld, expected 0 or more",
                           (long long)extra[i]);
            return;
        }
    if (n.rank != k.rank || (sized >= 0 && sized != v.rank)) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "image of rank %d, kernel of rank %d", n.rank, k.rank);
        return;
    }
    bool same = !strncmp(fanin__lower_string(l, "auto_pad", "NOTSET"), "SAME", 4);
    bool upper = !strcmp(fanin__lower_string(l, "auto_pad", ""), "SAME_UPPER");
    int64_t beyond[FANIN_MAX_RANK] = {0}, none[FANIN_MAX_RANK] = {0};
    if (!bounded(l, "a kernel's axis", k.dims[1])) return;
    dims[0] = n.dims[0];
    dims[1] = k.dims[1] * v.groups;
    for (int i = 0; i < v.rank; i++) {
        if (!bounded(l, "output_padding", extra[i]) ||
            (sized >= 0 && !bounded(l, "output_shape", given[i])))
            return;
        int64_t full =
            v.stride[i] * (n.dims[2 + i] - 1) + extra[i] + v.dilation[i] * (v.kernel[i] - 1) + 1;
        if (sized >= 0 || same) {
            dims[2 + i] = sized >= 0 ? given[i] : n.dims[2 + i] * v.stride[i];
            int64_t total = full - dims[2 + i];
            if (total < 0) total = 0;
            v.before[i] = upper ? total / 2 : total - total / 2;
            v.after[i] = total - v.before[i];
        } else {
            dims[2 + i] = full - v.before[i] - v.after[i];
        }
        /* A stride or more that no kernel reaches: zeros, put there afterwards. */
        int64_t reached = full - extra[i] - v.before[i];
        if (dims[2 + i] + v.after[i] - reached >= v.stride[i]) {
            beyond[2 + i] = dims[2 + i] > reached ? dims[2 + i] - reached : 0;
            dims[2 + i] -= beyond[2 + i];
            v.after[i] = reached - dims[2 + i];
        }
    }
    int y = fanin__emit_conv(l->ir, FANIN__CONV_DATA, x, w, &v, n.rank, dims);
    y = fanin__emit_pad(l->ir, y, none, beyond, NULL, 0);
    fanin__lower_out(l, 0, add_channel_bias(l, y, 2));
}

/* ---- pooling ---------------------------------------------------------------------------- */

/* ceil_mode as a longer end pad; a window that would start in that pad is dropped. */
static void grow_for_ceil(fanin__op_window *w, const fanin__node *x) {
    for (int i = 0; i < w->rank; i++) {
        int64_t size = x->dims[x->rank - w->rank + i];
        int64_t reach = w->dilation[i] * (w->kernel[i] - 1) + 1;
        int64_t room = size + w->before[i] + w->after[i] - reach;
        if (room < 0) continue;
        int64_t outputs = ceil_div(room, w->stride[i]) + 1;
        if ((outputs - 1) * w->stride[i] >= size + w->before[i]) outputs--;
        int64_t need = (outputs - 1) * w->stride[i] + reach - size - w->before[i];
        if (need > w->after[i]) w->after[i] = need;
    }
}

/* How many elements each window averages over, as a tensor that broadcasts over the result. */
static int window_counts(fanin__ir *ir, const fanin__node *x, const fanin__op_window *explicit_pads,
                         const fanin__op_window *grown, bool include_pad) {
    fanin__op_window w = *grown;
    int64_t dims[FANIN_MAX_RANK], count = 1;
    for (int i = 0; i < x->rank; i++) dims[i] = 1;
    for (int i = 0; i < w.rank; i++) {
        int axis = x->rank - w.rank + i;
        dims[axis] = x->dims[axis];
        if (include_pad) {
            dims[axis] += explicit_pads->before[i] + explicit_pads->after[i];
            w.before[i] = 0;
            w.after[i] = grown->after[i] - explicit_pads->after[i];
        }
        if (count > 0 && dims[axis] > FANIN__LIST_MAX / count)
            return fanin__ir_fail(ir, FANIN_LIMIT, "a padded average over too large an image");
        count *= dims[axis];
    }
    double *ones = fanin_calloc((size_t)count, sizeof *ones);
    if (!ones) return fanin__ir_fail(ir, FANIN_NOMEM, "no memory for pooling counts");
    for (int64_t i = 0; i < count; i++) {
        if (ir->dtype == FANIN_F64)
            ones[i] = 1;
        else
            ((float *)ones)[i] = 1;
    }
    int id = fanin__emit_const(ir, ir->dtype, x->rank, dims, ones);
    fanin_free(ones);
    return fanin__emit_pool(ir, FANIN__SUMPOOL, id, -1, &w, 0, NULL);
}

static bool padded(const fanin__op_window *w) {
    for (int i = 0; i < w->rank; i++)
        if (w->before[i] || w->after[i]) return true;
    return false;
}

static int average(fanin__lowering *l, int x, const fanin__op_window *w,
                   const fanin__op_window *grown) {
    fanin__ir *ir = l->ir;
    fanin__node n = ir->nodes[x];
    int sum = fanin__emit_pool(ir, FANIN__SUMPOOL, x, -1, grown, 0, NULL);
    if (sum < 0) return -1;
    if (!padded(grown)) {
        double count = 1;
        for (int i = 0; i < w->rank; i++) count *= (double)w->kernel[i];
        return fanin__emit_apply_with(ir, FANIN__FN_SCALE, 1 / count, 0, sum);
    }
    bool include = fanin__lower_int(l, "count_include_pad", 0) != 0;
    return fanin__emit_binary(ir, FANIN__DIV, sum, window_counts(ir, &n, w, grown, include));
}

/* |x|^p, and its inverse for sums of them: squares and roots where that is what they are. */
static int power(fanin__ir *ir, int x, double p) {
    if (p == 2) return fanin__emit_apply(ir, FANIN__FN_SQUARE, x);
    x = fanin__emit_apply(ir, FANIN__FN_ABS, x);
    return p == 1 ? x : fanin__emit_apply_with(ir, FANIN__FN_POWER, p, 0, x);
}

static int root(fanin__ir *ir, int x, double p) {
    if (p == 1) return x;
    return p == 2 ? fanin__emit_apply(ir, FANIN__FN_SQRT, x)
                  : fanin__emit_apply_with(ir, FANIN__FN_POWER, 1 / p, 0, x);
}

/* Where in the whole tensor each maximum is: the positions in an image, as numbers, taken from where the
 * image has its maximum. storage_order 1: counted down the columns. */
static int maximum_positions(fanin__lowering *l, int x, const fanin__op_window *w) {
    fanin__ir *ir = l->ir;
    fanin__node n = ir->nodes[x];
    bool columns = fanin__lower_int(l, "storage_order", 0) != 0;
    int64_t image = 1, dims[FANIN_MAX_RANK], planes = 1;
    int place = -1;
    for (int i = 0; i < w->rank; i++) {
        int axis = columns ? 2 + i : n.rank - 1 - i;
        for (int k = 0; k < n.rank; k++) dims[k] = k == axis ? n.dims[k] : 1;
        int along = fanin__emit_reshape(ir, fanin__emit_iota(ir, n.dims[axis]), n.rank, dims);
        along = fanin__emit_binary_scalar(ir, FANIN__MUL, along, (double)image);
        place = place < 0 ? along : fanin__emit_binary(ir, FANIN__ADD, place, along);
        image *= n.dims[axis];
    }
    if (image > FANIN__LIST_MAX) /* floats count no further */
        return fanin__ir_fail(ir, FANIN_LIMIT, "positions in an image of more than %d elements",
                              FANIN__LIST_MAX);
    place = fanin__emit_broadcast(ir, fanin__emit_cast(ir, place, n.dtype), n.rank, n.dims);
    int at = fanin__emit_pool(ir, FANIN__MAXPOOL_GATHER, x, place, w, 0, NULL);
    for (int k = 0; k < n.rank; k++) dims[k] = k < 2 ? n.dims[k] : 1;
    planes = n.dims[0] * n.dims[1];
    int from = fanin__emit_reshape(ir, fanin__emit_iota(ir, planes), n.rank, dims);
    from = fanin__emit_binary_scalar(ir, FANIN__MUL, from, (double)image);
    return fanin__emit_binary(ir, FANIN__ADD, fanin__emit_cast(ir, at, FANIN_I64), from);
}

/* arg: 0 maximum, 1 average, 2 the p-norm. */
void fanin__lower_pool(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__op_window w;
    if (!read_window(l, x, ir->nodes[x].rank - 2, NULL, &w)) return;
    fanin__op_window grown = w;
    for (int i = 0; i < w.rank; i++) {
        int64_t reach = w.dilation[i] * (w.kernel[i] - 1) + 1;
        int64_t pad = w.before[i] > w.after[i] ? w.before[i] : w.after[i];
        if (pad < reach) continue;
        fanin__ir_fail(ir, FANIN_SHAPE, "a pad of %lld, expected less than the window's %lld",
                       (long long)pad, (long long)reach);
        return;
    }
    if (fanin__lower_int(l, "ceil_mode", 0)) grow_for_ceil(&grown, &ir->nodes[x]);
    if (arg == 0) {
        fanin__lower_out(l, 0, fanin__emit_pool(ir, FANIN__MAXPOOL, x, -1, &grown, 0, NULL));
        if (!ir->failed && fanin__lower_wants_out(l, 1))
            fanin__lower_out(l, 1, maximum_positions(l, x, &grown));
    } else if (arg == 1) {
        fanin__lower_out(l, 0, average(l, x, &w, &grown));
    } else {
        double p = (double)fanin__lower_int(l, "p", 2);
        int y = fanin__emit_pool(ir, FANIN__SUMPOOL, power(ir, x, p), -1, &grown, 0, NULL);
        fanin__lower_out(l, 0, root(ir, y, p));
    }
}

/* arg: 0 average, 1 maximum, 2 the p-norm. */
void fanin__lower_global_pool(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    unsigned spatial = ((1u << ir->nodes[x].rank) - 1) & ~3u;
    double p = (double)fanin__lower_int(l, "p", 2);
    int y = arg == 0 ? fanin__emit_mean(ir, x, spatial, true)
            : arg == 1
                ? fanin__emit_reduce(ir, FANIN__REDUCE_MAX, x, spatial, true)
                : root(ir, fanin__emit_reduce(ir, FANIN__SUM, power(ir, x, p), spatial, true), p);
    fanin__lower_out(l, 0, y);
}
