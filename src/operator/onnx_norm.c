/* onnx_norm.c - batch, layer, group and local response normalisation, softmax. */
#include <string.h>

#include "operator/onnx.h"

static int mul(fanin__ir *ir, int a, int b) { return fanin__emit_binary(ir, FANIN__MUL, a, b); }
static int add(fanin__ir *ir, int a, int b) { return fanin__emit_binary(ir, FANIN__ADD, a, b); }

/* A vector over the channels as a tensor that broadcasts over N x C x ... of `rank` axes. */
static int by_channel(fanin__ir *ir, int v, int rank) {
    if (v < 0) return -1;
    int64_t dims[FANIN_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = 1;
    dims[rank > 1 ? 1 : 0] = (int64_t)ir->nodes[v].count;
    return fanin__emit_reshape(ir, v, rank, dims);
}

/* 1 / sqrt(v + eps) */
static int inverse_root(fanin__ir *ir, int v, double eps) {
    int shifted = fanin__emit_apply_with(ir, FANIN__FN_SCALE, 1, eps, v);
    return fanin__emit_apply(ir, FANIN__FN_RECIPROCAL,
                             fanin__emit_apply(ir, FANIN__FN_SQRT, shifted));
}

typedef struct normalised {
    int value, mean, var, scale; /* scale: 1 / sqrt(var + eps) */
} normalised;

static normalised normalise(fanin__ir *ir, int x, unsigned mask, double eps) {
    normalised r;
    r.mean = fanin__emit_mean(ir, x, mask, true);
    int centred = fanin__emit_binary(ir, FANIN__SUB, x, r.mean);
    r.var = fanin__emit_mean(ir, fanin__emit_apply(ir, FANIN__FN_SQUARE, centred), mask, true);
    r.scale = inverse_root(ir, r.var, eps);
    r.value = mul(ir, centred, r.scale);
    return r;
}

/* ---- batch norm ------------------------------------------------------------------------- */

static int row_of(fanin__ir *ir, int pair, int64_t row, int64_t channels) {
    return fanin__emit_reshape(ir, fanin__emit_slice_axis(ir, pair, 0, row, 1), 1, &channels);
}

/* running * momentum + batch * (1 - momentum); ONNX takes the population's variance. */
static void running(fanin__lowering *l, int input, int output, int batch, double momentum) {
    fanin__ir *ir = l->ir;
    int old = fanin__lower_in(l, input);
    int next = add(ir, fanin__emit_apply_with(ir, FANIN__FN_SCALE, momentum, 0, old),
                   fanin__emit_apply_with(ir, FANIN__FN_SCALE, 1 - momentum, 0, batch));
    fanin__lower_out(l, output, next);
    l->statistics[l->node->inputs[input]] = next;
}

static int batch_fused(fanin__lowering *l, int x, double eps, int *mean, int *var) {
    fanin__ir *ir = l->ir;
    int64_t channels = ir->nodes[x].dims[1];
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.p[0] = eps;
    int stats = fanin__emit(ir, FANIN__NORM_STATS, &x, 1, &attr, 0, NULL);
    *mean = row_of(ir, stats, 0, channels);
    *var = row_of(ir, stats, 2, channels);
    int scale = fanin__lower_in(l, 1);
    int four[4] = {x, stats, scale, fanin__lower_in(l, 2)};
    return fanin__emit(ir, FANIN__NORM_APPLY, four, 4, &attr, 0, NULL);
}

static int batch_lowered(fanin__lowering *l, int x, double eps, int *mean, int *var) {
    fanin__ir *ir = l->ir;
    int rank = ir->nodes[x].rank;
    int64_t channels = ir->nodes[x].dims[1];
    normalised n = normalise(ir, x, ((1u << rank) - 1) & ~2u, eps);
    *mean = fanin__emit_reshape(ir, n.mean, 1, &channels);
    *var = fanin__emit_reshape(ir, n.var, 1, &channels);
    int y = mul(ir, n.value, by_channel(ir, fanin__lower_in(l, 1), rank));
    return add(ir, y, by_channel(ir, fanin__lower_in(l, 2), rank));
}

static int batch_eval(fanin__lowering *l, int x, double eps) {
    fanin__ir *ir = l->ir;
    int rank = ir->nodes[x].rank;
    int factor = mul(ir, fanin__lower_in(l, 1), inverse_root(ir, fanin__lower_in(l, 4), eps));
    int shift = fanin__emit_binary(ir, FANIN__SUB, fanin__lower_in(l, 2),
                                   mul(ir, fanin__lower_in(l, 3), factor));
    return add(ir, mul(ir, x, by_channel(ir, factor, rank)), by_channel(ir, shift, rank));
}

/* Whether a program trains decides between batch and running statistics; exporters set
 * training_mode (opset 14) or five outputs (before) by how they were called. */
void fanin__lower_batch_norm(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    double eps = fanin__lower_float(l, "epsilon", 1e-5);
    fanin__node n = ir->nodes[x];
    for (int i = 1; i < 5; i++) {
        int v = fanin__lower_in(l, i);
        if (v < 0) return;
        if (n.rank >= 2 && (int64_t)ir->nodes[v].count == n.dims[1]) continue;
        char s[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "input %d has %zu elements, the image is %s", i,
                       ir->nodes[v].count, fanin__node_shape_text(&n, s));
        return;
    }
    if (!l->training) {
        fanin__lower_out(l, 0, batch_eval(l, x, eps));
        return;
    }
    int mean, var;
    int y = ir->fuse ? batch_fused(l, x, eps, &mean, &var) : batch_lowered(l, x, eps, &mean, &var);
    fanin__lower_out(l, 0, y);
    double momentum = fanin__lower_float(l, "momentum", 0.9);
    running(l, 3, 1, mean, momentum);
    running(l, 4, 2, var, momentum);
    fanin__lower_out(l, 3, mean);
    fanin__lower_out(l, 4, var);
}

/* ---- the others ------------------------------------------------------------------------- */

void fanin__lower_layer_norm(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    int rank = ir->nodes[x].rank,
        axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", -1), rank);
    if (axis < 0) return;
    unsigned mask = ((1u << rank) - 1) & ~((1u << axis) - 1);
    normalised n = normalise(ir, x, mask, fanin__lower_float(l, "epsilon", 1e-5));
    int y = mul(ir, n.value, fanin__lower_in(l, 1));
    if (fanin__lower_has(l, 2)) y = add(ir, y, fanin__lower_in(l, 2));
    fanin__lower_out(l, 0, y);
    fanin__lower_out(l, 1, n.mean);
    fanin__lower_out(l, 2, n.scale);
}

/* x as N x G x (the rest), normalised, and back. arg 1: instance norm, a group a channel. Scale and
 * bias have an entry a channel; opset 18 of GroupNormalization had one a group. */
void fanin__lower_group_norm(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0), scale = fanin__lower_in(l, 1), bias = fanin__lower_in(l, 2);
    if (x < 0 || scale < 0 || bias < 0) return;
    fanin__node n = ir->nodes[x];
    int64_t channels = n.rank >= 2 ? n.dims[1] : 0, rest = 1;
    int64_t groups = arg ? channels : fanin__lower_int(l, "num_groups", 0);
    if (groups < 1 || channels % groups) {
        fanin__ir_fail(ir, FANIN_SHAPE, "%lld channels in %lld groups", (long long)channels,
                       (long long)groups);
        return;
    }
    for (int i = 2; i < n.rank; i++) rest *= n.dims[i];
    int64_t grouped[4] = {n.dims[0], groups, channels / groups, rest};
    int y = fanin__emit_reshape(ir, x, 4, grouped);
    y = normalise(ir, y, 12u, fanin__lower_float(l, "epsilon", 1e-5)).value;
    int64_t by_group[4] = {1, groups, 1, 1}, by_each[4] = {1, groups, channels / groups, 1};
    bool per_group = (int64_t)ir->nodes[scale].count == groups && groups != channels;
    const int64_t *shape = per_group ? by_group : by_each;
    y = mul(ir, y, fanin__emit_reshape(ir, scale, 4, shape));
    y = add(ir, y, fanin__emit_reshape(ir, bias, 4, shape));
    fanin__lower_out(l, 0, fanin__emit_reshape(ir, y, n.rank, n.dims));
}

/* x / (bias + alpha / size * sum of squares of `size` neighbouring channels)^beta */
void fanin__lower_lrn(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = ir->nodes[x];
    int64_t size = fanin__lower_int(l, "size", 1), rest = 1;
    if (n.rank < 2 || size < 1) {
        fanin__ir_fail(ir, FANIN_SHAPE, "size %lld over a tensor of rank %d", (long long)size,
                       n.rank);
        return;
    }
    for (int i = 2; i < n.rank; i++) rest *= n.dims[i];
    fanin__op_window w;
    memset(&w, 0, sizeof w);
    w.rank = 2; /* over channels, and one position at a time */
    w.groups = 1;
    w.kernel[0] = size;
    w.kernel[1] = w.stride[0] = w.stride[1] = w.dilation[0] = w.dilation[1] = 1;
    w.before[0] = (size - 1) / 2;
    w.after[0] = size - 1 - w.before[0];
    int squares = fanin__emit_apply(ir, FANIN__FN_SQUARE, x);
    squares = fanin__emit_reshape(ir, squares, 3, (int64_t[]){n.dims[0], n.dims[1], rest});
    int sum = fanin__emit_pool(ir, FANIN__SUMPOOL, squares, -1, &w, 0, NULL);
    sum = fanin__emit_reshape(ir, sum, n.rank, n.dims);
    int base = fanin__emit_apply_with(ir, FANIN__FN_SCALE,
                                      fanin__lower_float(l, "alpha", 1e-4) / (double)size,
                                      fanin__lower_float(l, "bias", 1), sum);
    int factor =
        fanin__emit_apply_with(ir, FANIN__FN_POWER, -fanin__lower_float(l, "beta", 0.75), 0, base);
    fanin__lower_out(l, 0, mul(ir, x, factor));
}

void fanin__lower_lp_norm(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", -1), ir->nodes[x].rank);
    if (axis < 0) return;
    bool one = fanin__lower_int(l, "p", 2) == 1;
    int e = fanin__emit_apply(ir, one ? FANIN__FN_ABS : FANIN__FN_SQUARE, x);
    int norm = fanin__emit_reduce(ir, FANIN__SUM, e, 1u << axis, true);
    if (!one) norm = fanin__emit_apply(ir, FANIN__FN_SQRT, norm);
    fanin__lower_out(l, 0, fanin__emit_binary(ir, FANIN__DIV, x, norm));
}

/* (x - mean) / (standard deviation + 1e-9) over the axes; as the standard's own body has it. */
void fanin__lower_mean_variance(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    int rank = ir->nodes[x].rank;
    bool given = fanin_node_attr(l->node, "axes") != NULL;
    unsigned mask = given ? fanin__lower_axes(l, "axes", -1, rank) : ((1u << rank) - 1) & ~2u;
    int centred = fanin__emit_binary(ir, FANIN__SUB, x, fanin__emit_mean(ir, x, mask, true));
    int var = fanin__emit_mean(ir, fanin__emit_apply(ir, FANIN__FN_SQUARE, centred), mask, true);
    int deviation = fanin__emit_apply_with(ir, FANIN__FN_SCALE, 1, 1e-9,
                                           fanin__emit_apply(ir, FANIN__FN_SQRT, var));
    fanin__lower_out(l, 0, fanin__emit_binary(ir, FANIN__DIV, centred, deviation));
}

/* 1 at the first maximum of the last axis, 0 elsewhere. */
static int hardmax(fanin__ir *ir, int x) {
    if (x < 0) return -1;
    fanin__node n = ir->nodes[x];
    int at = fanin__emit_top(ir, x, n.rank - 1, 1);
    int hit = fanin__emit_binary(ir, FANIN__EQ, at, fanin__emit_iota(ir, n.dims[n.rank - 1]));
    return fanin__emit_cast(ir, hit, n.dtype);
}

/* arg 1: logarithm, 2: hard. Before opset 13 everything from `axis` (default 1) on is one axis. */
void fanin__lower_softmax(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = ir->nodes[x];
    bool flat = l->graph->opset < 13;
    int axis = fanin__lower_axis(l, fanin__lower_int(l, "axis", flat ? 1 : -1), n.rank);
    if (axis < 0) return;
    int y = x;
    if (flat) {
        int64_t rows = 1, columns = 1;
        for (int i = 0; i < n.rank; i++) *(i < axis ? &rows : &columns) *= n.dims[i];
        y = fanin__emit_reshape(ir, y, 2, (int64_t[]){rows, columns});
    } else {
        y = fanin__emit_swap(ir, y, axis, n.rank - 1);
    }
    y = arg == 2   ? hardmax(ir, y)
        : arg == 1 ? fanin__emit_log_softmax(ir, y)
                   : fanin__emit_softmax(ir, y);
    y = flat ? fanin__emit_reshape(ir, y, n.rank, n.dims)
             : fanin__emit_swap(ir, y, axis, n.rank - 1);
    fanin__lower_out(l, 0, y);
}
