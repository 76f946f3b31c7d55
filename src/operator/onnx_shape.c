/* onnx_shape.c - constants, shapes, rearranging, padding. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operator/onnx.h"
#include "operator/kernels_int.h"

static void set(fanin__lowering *l, int id) { fanin__lower_out(l, 0, id); }

/* ---- constants -------------------------------------------------------------------------- */

void fanin__lower_constant(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    const fanin_attr *a;
    if ((a = fanin_node_attr(l->node, "value")) && a->tensor) {
        set(l, fanin__lower_payload(ir, a->tensor));
    } else if ((a = fanin_node_attr(l->node, "value_float"))) {
        set(l, fanin__emit_scalar(ir, a->f));
    } else if ((a = fanin_node_attr(l->node, "value_int"))) {
        set(l, fanin__emit_scalar_i64(ir, a->i));
    } else if ((a = fanin_node_attr(l->node, "value_ints"))) {
        set(l, fanin__emit_const_i64(ir, (int64_t)a->count, a->ints));
    } else if ((a = fanin_node_attr(l->node, "value_floats"))) {
        int64_t count = (int64_t)a->count;
        fanin_value v = {.name = "value_floats", .dtype = FANIN_F64, .rank = 1};
        v.dims[0] = count;
        v.data = a->floats;
        v.size = a->count * sizeof(double);
        set(l, fanin__lower_payload(ir, &v));
    } else {
        fanin__lower_fail(l, "a constant of this kind is not implemented");
    }
}

/* Every dim known and not negative, from constant input `i`. */
static bool read_shape(fanin__lowering *l, int i, int *rank, int64_t *dims) {
    *rank = fanin__lower_ints(l, NULL, i, dims, FANIN_MAX_RANK);
    if (*rank >= 0) return true;
    if (!l->ir->failed) fanin__ir_fail(l->ir, FANIN_FORMAT, "input %d (a shape) is missing", i);
    return false;
}

/* Materialised, since masks are computed from it at once. */
void fanin__lower_constant_of_shape(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int rank;
    int64_t dims[FANIN_MAX_RANK];
    if (!read_shape(l, 0, &rank, dims)) return;
    const fanin_attr *a = fanin_node_attr(l->node, "value");
    int value = a && a->tensor ? fanin__lower_payload(ir, a->tensor) : fanin__emit_scalar(ir, 0);
    int wide = fanin__emit_broadcast(ir, fanin__emit_reshape(ir, value, 0, NULL), rank, dims);
    set(l, wide < 0 || ir->nodes[wide].count > 1 << 22
               ? wide
               : fanin__emit(ir, FANIN__COPY, &wide, 1, NULL, 0, NULL));
}

void fanin__lower_shape(fanin__lowering *l, int arg) {
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = l->ir->nodes[x];
    if (arg == 1) {
        set(l, fanin__emit_scalar_i64(l->ir, (int64_t)n.count));
        return;
    }
    int64_t start = fanin__lower_int(l, "start", 0), end = fanin__lower_int(l, "end", n.rank);
    start = start < 0 ? start + n.rank : start;
    end = end < 0 ? end + n.rank : end;
    start = start < 0 ? 0 : start > n.rank ? n.rank : start;
    end = end < start ? start : end > n.rank ? n.rank : end;
    set(l, fanin__emit_const_i64(l->ir, end - start, n.dims + start));
}

void fanin__lower_range(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int from = fanin__lower_in(l, 0), step = fanin__lower_in(l, 2);
    if (from < 0 || step < 0) return;
    fanin_dtype type = ir->nodes[from].dtype;
    double a = fanin__lower_number(l, NULL, 0, 0), b = fanin__lower_number(l, NULL, 1, 0);
    double s = fanin__lower_number(l, NULL, 2, 1), count = ceil((b - a) / s);
    if (ir->failed) return;
    if (!(fabs(count) <= FANIN__LIST_MAX) || s == 0) {
        fanin__ir_fail(ir, FANIN_SHAPE, "a range from %g to %g by %g", a, b, s);
        return;
    }
    int i = fanin__emit_cast(ir, fanin__emit_iota(ir, count > 0 ? (int64_t)count : 0), type);
    i = fanin__emit_binary(ir, FANIN__MUL, i, fanin__emit_reshape(ir, step, 0, NULL));
    set(l, fanin__emit_binary(ir, FANIN__ADD, i, fanin__emit_reshape(ir, from, 0, NULL)));
}

/* ---- shapes ----------------------------------------------------------------------------- */

void fanin__lower_reshape(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0), rank, open = -1;
    int64_t dims[FANIN_MAX_RANK], known = 1;
    const fanin_attr *a = fanin_node_attr(l->node, "shape"); /* opset 4 and older */
    if (x < 0) return;
    if (a)
        rank = fanin__lower_ints(l, "shape", -1, dims, FANIN_MAX_RANK);
    else if (!read_shape(l, 1, &rank, dims))
        return;
    fanin__node n = l->ir->nodes[x];
    for (int i = 0; i < rank; i++) {
        if (dims[i] == 0 && !fanin__lower_int(l, "allowzero", 0) && i < n.rank) dims[i] = n.dims[i];
        if (dims[i] == -1 && open < 0)
            open = i;
        else if (dims[i] < 0 || (dims[i] > 0 && known > INT64_MAX / dims[i]))
            open = FANIN_MAX_RANK;
        else
            known *= dims[i];
    }
    if (open >= 0 && open < FANIN_MAX_RANK)
        dims[open] = known > 0 && (int64_t)n.count % known == 0 ? (int64_t)n.count / known : -1;
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0) {
            char s[160], t[160];
            fanin__ir_fail(l->ir, FANIN_SHAPE, "%s does not become %s",
                           fanin__node_shape_text(&n, s),
                           fanin__shape_text(dims, rank, t, sizeof t));
            return;
        }
    set(l, fanin__emit_reshape(l->ir, x, rank, dims));
}

void fanin__lower_flatten(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = l->ir->nodes[x];
    int64_t axis = fanin__lower_int(l, "axis", 1), dims[2] = {1, 1};
    if (axis < 0) axis += n.rank;
    if (axis < 0 || axis > n.rank) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "axis %lld of a tensor of rank %d", (long long)axis,
                       n.rank);
        return;
    }
    for (int i = 0; i < n.rank; i++) dims[i >= axis] *= n.dims[i];
    set(l, fanin__emit_reshape(l->ir, x, 2, dims));
}

void fanin__lower_transpose(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    int rank = l->ir->nodes[x].rank;
    int64_t perm[FANIN_MAX_RANK];
    int count = fanin__lower_ints(l, "perm", -1, perm, FANIN_MAX_RANK);
    if (count < 0)
        for (int i = 0; i < rank; i++) perm[i] = rank - 1 - i;
    if (count >= 0 && count != rank)
        fanin__ir_fail(l->ir, FANIN_SHAPE, "perm has %d entries, the tensor %d axes", count, rank);
    unsigned seen = 0;
    for (int i = 0; i < rank && !l->ir->failed; i++) {
        if (perm[i] < 0 || perm[i] >= rank || (seen >> perm[i] & 1))
            fanin__ir_fail(l->ir, FANIN_SHAPE, "perm names axis %lld twice or out of range",
                           (long long)perm[i]);
        else
            seen |= 1u << perm[i];
    }
    if (!l->ir->failed) set(l, fanin__emit_transpose(l->ir, x, perm));
}

void fanin__lower_squeeze(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = l->ir->nodes[x];
    int64_t axes[FANIN_MAX_RANK], dims[FANIN_MAX_RANK];
    bool given = fanin__lower_ints(l, "axes", 1, axes, FANIN_MAX_RANK) >= 0;
    unsigned mask = given ? fanin__lower_axes(l, "axes", 1, n.rank) : 0;
    int rank = 0;
    for (int i = 0; i < n.rank; i++) {
        bool drop = given ? (mask >> i & 1) != 0 : n.dims[i] == 1;
        if (!drop) dims[rank++] = n.dims[i];
        if (drop && n.dims[i] != 1) {
            fanin__ir_fail(l->ir, FANIN_SHAPE, "axis %d has %lld elements, not 1", i,
                           (long long)n.dims[i]);
            return;
        }
    }
    set(l, fanin__emit_reshape(l->ir, x, rank, dims));
}

void fanin__lower_unsqueeze(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = l->ir->nodes[x];
    int64_t axes[FANIN_MAX_RANK], dims[FANIN_MAX_RANK];
    int count = fanin__lower_ints(l, "axes", 1, axes, FANIN_MAX_RANK);
    int rank = n.rank + count, from = 0;
    if (count < 0 || rank > FANIN_MAX_RANK) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "%d axes for a tensor of rank %d", count, n.rank);
        return;
    }
    unsigned mask = count ? fanin__lower_axes(l, "axes", 1, rank) : 0;
    for (int i = 0; i < rank; i++) {
        if (!(mask >> i & 1) && from >= n.rank) {
            fanin__ir_fail(l->ir, FANIN_SHAPE, "an axis is named twice");
            return;
        }
        dims[i] = mask >> i & 1 ? 1 : n.dims[from++];
    }
    set(l, fanin__emit_reshape(l->ir, x, rank, dims));
}

/* ---- joining and cutting ---------------------------------------------------------------- */

void fanin__lower_concat(fanin__lowering *l, int arg) {
    (void)arg;
    int count = l->node->input_count, first = fanin__lower_in(l, 0);
    int *inputs = fanin_calloc((size_t)count + 1, sizeof(int));
    if (!inputs) {
        fanin__ir_fail(l->ir, FANIN_NOMEM, "no memory for %d operands", count);
        return;
    }
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", 1), fanin__lower_rank(l, first));
    for (int i = 0; i < count; i++) inputs[i] = fanin__lower_in(l, i);
    if (!l->ir->failed) set(l, fanin__emit_concat(l->ir, inputs, count, axis));
    fanin_free(inputs);
}

void fanin__lower_split(fanin__lowering *l, int arg) {
    (void)arg;
    enum { MOST = 1024 };
    int x = fanin__lower_in(l, 0), parts = l->node->output_count;
    if (x < 0) return;
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", 0), l->ir->nodes[x].rank);
    if (axis < 0) return;
    int64_t sizes[MOST], size = l->ir->nodes[x].dims[axis], begin = 0;
    int count = fanin__lower_ints(l, "split", 1, sizes, MOST);
    if (l->ir->failed) return;
    if (count < 0) { /* equal parts, the last one smaller */
        int64_t each = parts ? (size + parts - 1) / parts : 0;
        for (count = 0; count < parts && count < MOST; count++)
            sizes[count] = count + 1 < parts ? each : size - each * (parts - 1);
    }
    for (int i = 0; i < count; begin += sizes[i], i++) {
        if (sizes[i] < 0 || count != parts || sizes[i] > size - begin) {
            fanin__ir_fail(l->ir, FANIN_SHAPE, "%d parts of axis %d, which has %lld", count, axis,
                           (long long)size);
            return;
        }
        fanin__lower_out(l, i, fanin__emit_slice_axis(l->ir, x, axis, begin, sizes[i]));
    }
    if (begin != size)
        fanin__ir_fail(l->ir, FANIN_SHAPE,
                       "the parts have %lld elements of axis %d, which has %lld", (long long)begin,
                       axis, (long long)size);
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) {
    return v < low ? low : v > high ? high : v;
}

void fanin__lower_slice(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = l->ir->nodes[x];
    int64_t starts[FANIN_MAX_RANK], ends[FANIN_MAX_RANK], axes[FANIN_MAX_RANK];
    int64_t steps[FANIN_MAX_RANK], start[FANIN_MAX_RANK] = {0}, step[FANIN_MAX_RANK];
    int64_t dims[FANIN_MAX_RANK];
    int count = fanin__lower_ints(l, "starts", 1, starts, FANIN_MAX_RANK);
    int other = fanin__lower_ints(l, "ends", 2, ends, FANIN_MAX_RANK);
    int named = fanin__lower_ints(l, "axes", 3, axes, FANIN_MAX_RANK);
    int stepped = fanin__lower_ints(l, NULL, 4, steps, FANIN_MAX_RANK);
    if (l->ir->failed) return;
    if (count < 0 || other != count || (named >= 0 && named != count) ||
        (stepped >= 0 && stepped != count)) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "%d starts, %d ends, %d axes, %d steps", count, other,
                       named, stepped);
        return;
    }
    for (int i = 0; i < n.rank; i++) {
        step[i] = 1;
        dims[i] = n.dims[i];
    }
    for (int i = 0; i < count; i++) {
        int axis = fanin__lower_axis(l, named >= 0 ? axes[i] : i, n.rank);
        int64_t s = stepped >= 0 ? steps[i] : 1;
        if (axis < 0) return;
        if (s == 0 || s < -INT32_MAX || s > INT32_MAX) s = s < 0 ? -INT32_MAX : INT32_MAX;
        if (stepped >= 0 && steps[i] == 0) {
            fanin__ir_fail(l->ir, FANIN_SHAPE, "a step of 0");
            return;
        }
        int64_t size = n.dims[axis], low = s > 0 ? 0 : -1, high = s > 0 ? size : size - 1;
        int64_t a = starts[i] < 0 ? starts[i] + size : starts[i];
        int64_t b = ends[i] < 0 ? (ends[i] < -size ? -1 : ends[i] + size) : ends[i];
        a = clamp(a, s > 0 ? 0 : 0, s > 0 ? size : size - 1);
        b = clamp(b, low, high);
        int64_t room = s > 0 ? b - a : a - b, stride = s > 0 ? s : -s;
        start[axis] = a;
        step[axis] = s;
        dims[axis] = room > 0 ? (room + stride - 1) / stride : 0;
        if (dims[axis] == 0) {
            start[axis] = 0;
            step[axis] = 1;
        }
    }
    set(l, fanin__emit_slice(l->ir, x, start, step, dims));
}

/* ---- padding and repeating --------------------------------------------------------------- */

/* Negative entries of a Pad cut; reflect, edge and wrap gather. */
static int pad_by_index(fanin__ir *ir, int x, int axis, int64_t before, int64_t after, char mode) {
    if (x < 0 || (before == 0 && after == 0)) return x;
    int64_t size = ir->nodes[x].dims[axis], total = size + before + after;
    if (size < 1 || total < 0 || total > FANIN__LIST_MAX)
        return fanin__ir_fail(ir, FANIN_SHAPE, "axis %d: %lld elements padded to %lld", axis,
                              (long long)size, (long long)total);
    int64_t *at = fanin_malloc((size_t)(total ? total : 1) * sizeof *at);
    if (!at) return fanin__ir_fail(ir, FANIN_NOMEM, "no memory for %lld indices", (long long)total);
    for (int64_t i = 0; i < total; i++) {
        int64_t k = i - before, period = mode == 'w' ? size : 2 * (size - 1);
        if (mode == 'e' || period == 0) {
            k = clamp(k, 0, size - 1);
        } else {
            k = ((k % period) + period) % period;
            if (k >= size) k = period - k;
        }
        at[i] = k;
    }
    int indices = fanin__emit_const_i64(ir, total, at);
    fanin_free(at);
    return fanin__emit_gather(ir, x, indices, axis);
}

void fanin__lower_pad(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = ir->nodes[x];
    int64_t pads[2 * FANIN_MAX_RANK], axes[FANIN_MAX_RANK], before[FANIN_MAX_RANK] = {0};
    int64_t after[FANIN_MAX_RANK] = {0};
    int count = fanin__lower_ints(l, "pads", 1, pads, 2 * FANIN_MAX_RANK);
    int named = fanin__lower_ints(l, NULL, 3, axes, FANIN_MAX_RANK);
    int padded = named >= 0 ? named : n.rank;
    if (ir->failed) return;
    if (count != 2 * padded) {
        fanin__ir_fail(ir, FANIN_SHAPE, "%d pads for %d axes", count, padded);
        return;
    }
    for (int i = 0; i < padded; i++) {
        int axis = named >= 0 ? fanin__lower_axis(l, axes[i], n.rank) : i;
        if (axis < 0) return;
        before[axis] = pads[i];
        after[axis] = pads[padded + i];
        if (llabs(before[axis]) > INT32_MAX || llabs(after[axis]) > INT32_MAX) {
            fanin__ir_fail(ir, FANIN_SHAPE, "a pad of %lld", (long long)before[axis]);
            return;
        }
    }
    const char *mode = fanin__lower_string(l, "mode", "constant");
    if (strcmp(mode, "constant") != 0) {
        if (strcmp(mode, "edge") && strcmp(mode, "reflect") && strcmp(mode, "wrap")) {
            fanin__ir_fail(ir, FANIN_FORMAT,
                           "mode '%.40s', expected constant, edge, reflect or wrap", mode);
            return;
        }
        for (int i = 0; i < n.rank; i++) x = pad_by_index(ir, x, i, before[i], after[i], mode[0]);
        set(l, x);
        return;
    }
    for (int i = 0; i < n.rank; i++) {
        int64_t from = before[i] < 0 ? -before[i] : 0, to = after[i] < 0 ? -after[i] : 0;
        if (from + to > n.dims[i]) {
            fanin__ir_fail(ir, FANIN_SHAPE, "axis %d loses %lld of %lld elements", i,
                           (long long)(from + to), (long long)n.dims[i]);
            return;
        }
        x = fanin__emit_slice_axis(ir, x, i, from, n.dims[i] - from - to);
        if (before[i] < 0) before[i] = 0;
        if (after[i] < 0) after[i] = 0;
    }
    set(l, fanin__emit_pad(ir, x, before, after, NULL, fanin__lower_number(l, "value", 2, 0)));
}

void fanin__lower_expand(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0), rank;
    int64_t dims[FANIN_MAX_RANK];
    if (x < 0 || !read_shape(l, 1, &rank, dims)) return;
    fanin__node n = l->ir->nodes[x];
    int wide = rank > n.rank ? rank : n.rank; /* either side may have the 1 */
    int64_t to[FANIN_MAX_RANK];
    for (int i = 0; i < wide; i++) {
        int64_t a = i >= wide - n.rank ? n.dims[i - (wide - n.rank)] : 1;
        int64_t b = i >= wide - rank ? dims[i - (wide - rank)] : 1;
        to[i] = b == 1 ? a : b;
    }
    set(l, fanin__emit_broadcast(l->ir, x, wide, to));
}

/* A leading axis of repeats in front of each axis, then merged with it. */
void fanin__lower_tile(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0), rank;
    int64_t repeats[FANIN_MAX_RANK];
    if (x < 0 || !read_shape(l, 1, &rank, repeats)) return;
    fanin__node n = l->ir->nodes[x];
    if (rank != n.rank) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "%d repeats for a tensor of rank %d", rank, n.rank);
        return;
    }
    for (int i = 0; i < rank; i++) {
        if (repeats[i] == 1) continue;
        int64_t left = 1, right = 1;
        fanin__node now = l->ir->nodes[x];
        for (int j = 0; j < i; j++) left *= now.dims[j];
        for (int j = i; j < rank; j++) right *= now.dims[j];
        int y = fanin__emit_reshape(l->ir, x, 3, (int64_t[]){left, 1, right});
        y = fanin__emit_broadcast(l->ir, y, 3, (int64_t[]){left, repeats[i], right});
        now.dims[i] *= repeats[i];
        x = fanin__emit_reshape(l->ir, y, rank, now.dims);
        if (x < 0) return;
    }
    set(l, x);
}

/* The upper or lower triangle of the last two axes, from diagonal k on. */
void fanin__lower_trilu(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = ir->nodes[x];
    if (n.rank < 2) {
        fanin__ir_fail(ir, FANIN_SHAPE, "a tensor of rank %d has no triangle", n.rank);
        return;
    }
    int64_t rows = n.dims[n.rank - 2], columns = n.dims[n.rank - 1];
    int diagonal = fanin__emit_scalar_i64(ir, int_of(fanin__lower_number(l, NULL, 1, 0)));
    int i = fanin__emit_reshape(ir, fanin__emit_iota(ir, rows), 2, (int64_t[]){rows, 1});
    i = fanin__emit_binary(ir, FANIN__ADD, i, diagonal);
    int j = fanin__emit_iota(ir, columns);
    int keep = fanin__lower_int(l, "upper", 1) ? fanin__emit_binary(ir, FANIN__LE, i, j)
                                               : fanin__emit_binary(ir, FANIN__LE, j, i);
    set(l, fanin__emit_select(ir, keep, x, fanin__emit_fill_like(ir, 0, x)));
}

void fanin__lower_eye_like(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = ir->nodes[x];
    if (n.rank != 2) {
        fanin__ir_fail(ir, FANIN_SHAPE, "a tensor of rank %d, expected a matrix", n.rank);
        return;
    }
    int i = fanin__emit_iota(ir, n.dims[0]), k = (int)fanin__lower_int(l, "k", 0);
    i = fanin__emit_binary_scalar(ir, FANIN__ADD, i, k);
    i = fanin__emit_reshape(ir, i, 2, (int64_t[]){n.dims[0], 1});
    int hit = fanin__emit_binary(ir, FANIN__EQ, i, fanin__emit_iota(ir, n.dims[1]));
    fanin_dtype type = n.dtype;
    if (fanin_node_attr(l->node, "dtype") &&
        !fanin__lower_type(l, fanin__lower_int(l, "dtype", 1), &type))
        return;
    set(l, fanin__emit_cast(ir, hit, type));
}

/* arg 1: space to depth. */
void fanin__lower_depth_to_space(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = ir->nodes[x];
    int64_t b = fanin__lower_int(l, "blocksize", 1);
    bool fine = n.rank == 4 && b >= 1 && b < 65536;
    if (fine && arg) fine = n.dims[2] % b == 0 && n.dims[3] % b == 0;
    if (fine && !arg) fine = n.dims[1] % (b * b) == 0;
    if (!fine) {
        char s[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "blocks of %lld in %s", (long long)b,
                       fanin__node_shape_text(&n, s));
        return;
    }
    int64_t N = n.dims[0], C = n.dims[1], H = n.dims[2], W = n.dims[3];
    if (arg) {
        x = fanin__emit_reshape(ir, x, 6, (int64_t[]){N, C, H / b, b, W / b, b});
        x = fanin__emit_transpose(ir, x, (int64_t[]){0, 3, 5, 1, 2, 4});
        set(l, fanin__emit_reshape(ir, x, 4, (int64_t[]){N, C * b * b, H / b, W / b}));
        return;
    }
    int64_t c = C / (b * b);
    if (!strcmp(fanin__lower_string(l, "mode", "DCR"), "CRD")) {
        x = fanin__emit_reshape(ir, x, 6, (int64_t[]){N, c, b, b, H, W});
        x = fanin__emit_transpose(ir, x, (int64_t[]){0, 1, 4, 2, 5, 3});
    } else {
        x = fanin__emit_reshape(ir, x, 6, (int64_t[]){N, b, b, c, H, W});
        x = fanin__emit_transpose(ir, x, (int64_t[]){0, 3, 4, 1, 5, 2});
    }
    set(l, fanin__emit_reshape(ir, x, 4, (int64_t[]){N, c, H * b, W * b}));
}
