/* vjp.c - vector-Jacobian products: each emits primitives, so each can be differentiated again.
 *
 * Contractions, views and windows are linear in each operand: their VJPs are each other's. Nodes are
 * copied before anything is emitted, since emitting may move the array they live in. */
#include <string.h>

#include "operator/function.h"
#include "operator/primitive.h"

#define SWEEP \
    fanin__ir *ir = sweep->ir; \
    const fanin__node n = ir->nodes[id]; \
    (void)n

static bool wants(const fanin__sweep *s, int id, int i) { return fanin__sweep_wants(s, id, i); }

static void add(fanin__sweep *s, int id, int i, int g) { fanin__sweep_add(s, id, i, g); }

static int mul(fanin__ir *ir, int a, int b) { return fanin__emit_binary(ir, FANIN__MUL, a, b); }

/* ---- elementwise ------------------------------------------------------------------------ */

void fanin__vjp_map(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    add(sweep, id, 0, fanin__function_vjp(ir, &n.attr, n.inputs[0], id, g));
}

void fanin__vjp_mapmul(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    if (wants(sweep, id, 0)) add(sweep, id, 0, fanin__emit_mapmul(ir, g, &n.attr, n.inputs[1]));
    if (wants(sweep, id, 1))
        add(sweep, id, 1,
            fanin__function_vjp(ir, &n.attr, n.inputs[1], -1, mul(ir, g, n.inputs[0])));
}

/* Where an extremum is reached by both operands, each gets half. */
static int share(fanin__ir *ir, int mine, int other, int loses, int g) {
    int tie = fanin__emit_binary(ir, FANIN__EQ, mine, other);
    int half = fanin__emit_apply_with(ir, FANIN__FN_SCALE, 0.5, 0, g);
    return fanin__emit_select(ir, tie, half,
                              fanin__emit_select(ir, loses, fanin__emit_fill_like(ir, 0, g), g));
}

static int power_slope(fanin__ir *ir, int a, int b, int g) {
    int less = fanin__emit_binary(ir, FANIN__SUB, b, fanin__emit_fill_like(ir, 1, b));
    return mul(ir, mul(ir, g, b), fanin__emit_binary(ir, FANIN__POW, a, less));
}

void fanin__vjp_binary(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int a = n.inputs[0], b = n.inputs[1], to_a = -1, to_b = -1;
    bool want_a = wants(sweep, id, 0), want_b = wants(sweep, id, 1);
    switch (n.attr.kind) {
    case FANIN__ADD: to_a = to_b = g; break;
    case FANIN__SUB:
        to_a = g;
        if (want_b) to_b = fanin__emit_apply(ir, FANIN__FN_NEG, g);
        break;
    case FANIN__MUL:
        if (want_a) to_a = mul(ir, g, b);
        if (want_b) to_b = mul(ir, g, a);
        break;
    case FANIN__DIV: {
        int q = fanin__emit_binary(ir, FANIN__DIV, g, b);
        to_a = q;
        if (want_b) to_b = fanin__emit_apply(ir, FANIN__FN_NEG, mul(ir, q, id));
        break;
    }
    case FANIN__POW:
        if (want_a) to_a = power_slope(ir, a, b, g);
        if (want_b) to_b = mul(ir, mul(ir, g, id), fanin__emit_apply(ir, FANIN__FN_LOG, a));
        break;
    case FANIN__MIN:
        if (want_a) to_a = share(ir, a, b, fanin__emit_binary(ir, FANIN__LT, b, a), g);
        if (want_b) to_b = share(ir, b, a, fanin__emit_binary(ir, FANIN__LT, a, b), g);
        break;
    case FANIN__MAX:
        if (want_a) to_a = share(ir, a, b, fanin__emit_binary(ir, FANIN__LT, a, b), g);
        if (want_b) to_b = share(ir, b, a, fanin__emit_binary(ir, FANIN__LT, b, a), g);
        break;
    case FANIN__MOD:
    case FANIN__FMOD: {
        to_a = g; /* a - b floor(a / b), or trunc: (a - mod) / b is that whole number */
        int whole =
            fanin__emit_binary(ir, FANIN__DIV, fanin__emit_binary(ir, FANIN__SUB, a, id), b);
        if (want_b)
            to_b = fanin__emit_apply(ir, FANIN__FN_NEG,
                                     mul(ir, g, fanin__emit_apply(ir, FANIN__FN_ROUND, whole)));
        break;
    }
    default: return;
    }
    add(sweep, id, 0, to_a);
    add(sweep, id, 1, to_b);
}

void fanin__vjp_select(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int zero = fanin__emit_fill_like(ir, 0, g), c = n.inputs[0];
    if (wants(sweep, id, 1)) add(sweep, id, 1, fanin__emit_select(ir, c, g, zero));
    if (wants(sweep, id, 2)) add(sweep, id, 2, fanin__emit_select(ir, c, zero, g));
}

void fanin__vjp_cast(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    add(sweep, id, 0, fanin__emit_cast(ir, g, ir->nodes[n.inputs[0]].dtype));
}

/* ---- views ------------------------------------------------------------------------------ */

void fanin__vjp_broadcast(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    const fanin__node *x = &ir->nodes[n.inputs[0]];
    unsigned mask = 0;
    for (int i = 0; i < n.rank; i++)
        if (x->dims[i] != n.dims[i]) mask |= 1u << i;
    add(sweep, id, 0, fanin__emit_reduce(ir, FANIN__SUM, g, mask, true));
}

void fanin__vjp_reshape(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    fanin__node x = ir->nodes[n.inputs[0]];
    add(sweep, id, 0, fanin__emit_reshape(ir, g, x.rank, x.dims));
}

void fanin__vjp_transpose(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int64_t inverse[FANIN_MAX_RANK];
    for (int i = 0; i < n.rank; i++) inverse[n.attr.perm[i]] = i;
    add(sweep, id, 0, fanin__emit_transpose(ir, g, inverse));
}

/* Puts back what was cut out: gaps of step - 1, zeros around; reversed axes are turned first. */
void fanin__vjp_slice(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    fanin__node x = ir->nodes[n.inputs[0]];
    int64_t turn[FANIN_MAX_RANK], step[FANIN_MAX_RANK], before[FANIN_MAX_RANK];
    int64_t after[FANIN_MAX_RANK], interior[FANIN_MAX_RANK];
    for (int i = 0; i < n.rank; i++) {
        int64_t size = n.dims[i], s = n.attr.slice.step[i], first = n.attr.slice.start[i];
        turn[i] = 0;
        step[i] = 1;
        if (s < 0 && size > 0) {
            turn[i] = size - 1;
            step[i] = -1;
            first += (size - 1) * s;
            s = -s;
        }
        if (size <= 1) s = 1;
        before[i] = size ? first : 0;
        interior[i] = s - 1;
        after[i] = x.dims[i] - before[i] - (size > 0 ? (size - 1) * s + 1 : 0);
    }
    g = fanin__emit_slice(ir, g, turn, step, n.dims);
    add(sweep, id, 0, fanin__emit_pad(ir, g, before, after, interior, 0));
}

/* ---- movement --------------------------------------------------------------------------- */

void fanin__vjp_copy(fanin__sweep *sweep, int id, int g) { add(sweep, id, 0, g); }

void fanin__vjp_pad(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    fanin__node x = ir->nodes[n.inputs[0]];
    int64_t step[FANIN_MAX_RANK];
    for (int i = 0; i < n.rank; i++) step[i] = n.attr.pad.interior[i] + 1;
    add(sweep, id, 0, fanin__emit_slice(ir, g, n.attr.pad.before, step, x.dims));
}

void fanin__vjp_concat(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int64_t begin = 0;
    for (int i = 0; i < n.input_count; i++) {
        int64_t size = ir->nodes[n.inputs[i]].dims[n.attr.axis];
        if (wants(sweep, id, i))
            add(sweep, id, i, fanin__emit_slice_axis(ir, g, n.attr.axis, begin, size));
        begin += size;
    }
}

void fanin__vjp_gather(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    fanin__node x = ir->nodes[n.inputs[0]];
    if (!wants(sweep, id, 0)) return;
    add(sweep, id, 0,
        fanin__emit(ir, FANIN__SCATTER, (int[]){n.inputs[1], g}, 2, &n.attr, x.rank, x.dims));
}

void fanin__vjp_scatter(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    if (wants(sweep, id, 1)) add(sweep, id, 1, fanin__emit_gather(ir, g, n.inputs[0], n.attr.axis));
}

/* ---- reductions ------------------------------------------------------------------------- */

void fanin__vjp_reduce(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int x = n.inputs[0];
    fanin__node of = ir->nodes[x];
    int wide = fanin__emit_broadcast(ir, g, of.rank, of.dims);
    if (n.attr.order) return; /* detached */
    if (n.attr.kind == FANIN__SUM) {
        add(sweep, id, 0, wide);
        return;
    }
    if (n.attr.kind == FANIN__PROD) { /* the product of the others, for elements that are not 0 */
        add(sweep, id, 0, fanin__emit_binary(ir, FANIN__DIV, mul(ir, g, id), x));
        return;
    }
    /* equal extrema share */
    int hit = fanin__emit_cast(ir, fanin__emit_binary(ir, FANIN__EQ, x, id), of.dtype);
    int hits = fanin__emit_reduce(ir, FANIN__SUM, hit, n.attr.mask, true);
    add(sweep, id, 0, mul(ir, hit, fanin__emit_binary(ir, FANIN__DIV, g, hits)));
}

/* ---- contractions ----------------------------------------------------------------------- */

void fanin__vjp_matmul(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int a = n.inputs[0], b = n.inputs[1], last = n.rank - 1;
    if (wants(sweep, id, 0))
        add(sweep, id, 0, fanin__emit_matmul(ir, g, fanin__emit_swap(ir, b, last - 1, last)));
    if (wants(sweep, id, 1))
        add(sweep, id, 1, fanin__emit_matmul(ir, fanin__emit_swap(ir, a, last - 1, last), g));
}

static int conv_like(fanin__ir *ir, fanin__op op, int a, int b, const fanin__node *n, int shape) {
    fanin__node like = ir->nodes[shape];
    return fanin__emit_conv(ir, op, a, b, &n->attr.window, like.rank, like.dims);
}

void fanin__vjp_conv(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int x = n.inputs[0], w = n.inputs[1];
    if (wants(sweep, id, 0)) add(sweep, id, 0, conv_like(ir, FANIN__CONV_DATA, g, w, &n, x));
    if (wants(sweep, id, 1)) add(sweep, id, 1, conv_like(ir, FANIN__CONV_WEIGHT, x, g, &n, w));
}

void fanin__vjp_conv_data(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int y = n.inputs[0], w = n.inputs[1];
    if (wants(sweep, id, 0)) add(sweep, id, 0, conv_like(ir, FANIN__CONV, g, w, &n, y));
    if (wants(sweep, id, 1)) add(sweep, id, 1, conv_like(ir, FANIN__CONV_WEIGHT, g, y, &n, w));
}

void fanin__vjp_conv_weight(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int x = n.inputs[0], y = n.inputs[1];
    if (wants(sweep, id, 0)) add(sweep, id, 0, conv_like(ir, FANIN__CONV_DATA, y, g, &n, x));
    if (wants(sweep, id, 1)) add(sweep, id, 1, conv_like(ir, FANIN__CONV, x, g, &n, y));
}

/* ---- windows ---------------------------------------------------------------------------- */

static int pool(fanin__ir *ir, fanin__op op, int a, int b, const fanin__node *n) {
    return fanin__emit_pool(ir, op, a, b, &n->attr.window, 0, NULL);
}

void fanin__vjp_maxpool(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    add(sweep, id, 0, pool(ir, FANIN__MAXPOOL_SCATTER, n.inputs[0], g, &n));
}

void fanin__vjp_maxpool_scatter(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    if (wants(sweep, id, 1)) add(sweep, id, 1, pool(ir, FANIN__MAXPOOL_GATHER, n.inputs[0], g, &n));
}

void fanin__vjp_maxpool_gather(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    if (wants(sweep, id, 1))
        add(sweep, id, 1, pool(ir, FANIN__MAXPOOL_SCATTER, n.inputs[0], g, &n));
}

void fanin__vjp_sumpool(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    fanin__node x = ir->nodes[n.inputs[0]];
    add(sweep, id, 0,
        fanin__emit_pool(ir, FANIN__SUMPOOL_ADJOINT, g, -1, &n.attr.window, x.rank, x.dims));
}

void fanin__vjp_sumpool_adjoint(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    add(sweep, id, 0, pool(ir, FANIN__SUMPOOL, g, -1, &n));
}

/* ---- fused rows ------------------------------------------------------------------------- */

void fanin__vjp_softmax(fanin__sweep *sweep, int id, int g) {
    add(sweep, id, 0,
        fanin__emit(sweep->ir, FANIN__SOFTMAX_GRAD, (int[]){id, g}, 2, NULL, 0, NULL));
}

/* d/dy and d/dv of y (v - sum v y) */
void fanin__vjp_softmax_grad(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int y = n.inputs[0], v = n.inputs[1];
    unsigned last = 1u << (n.rank - 1);
    if (wants(sweep, id, 1))
        add(sweep, id, 1, fanin__emit(ir, FANIN__SOFTMAX_GRAD, (int[]){y, g}, 2, NULL, 0, NULL));
    if (!wants(sweep, id, 0)) return;
    int vy = fanin__emit_reduce(ir, FANIN__SUM, mul(ir, v, y), last, true);
    int gy = fanin__emit_reduce(ir, FANIN__SUM, mul(ir, g, y), last, true);
    add(sweep, id, 0,
        fanin__emit_binary(ir, FANIN__SUB, mul(ir, g, fanin__emit_binary(ir, FANIN__SUB, v, vy)),
                           mul(ir, v, gy)));
}

void fanin__vjp_xent(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int64_t rows = n.dims[0];
    int column = fanin__emit_reshape(ir, fanin__emit_slice_axis(ir, g, 1, 0, 1), 1, &rows);
    int four[4] = {n.inputs[0], id, n.inputs[1], column};
    add(sweep, id, 0, fanin__emit(ir, FANIN__XENT_GRAD, four, 4, NULL, 0, NULL));
}

static int row_of_pair(fanin__ir *ir, int pair, int64_t row) {
    if (pair < 0) return -1;
    int64_t channels = ir->nodes[pair].dims[1];
    return fanin__emit_reshape(ir, fanin__emit_slice_axis(ir, pair, 0, row, 1), 1, &channels);
}

/* The statistics are functions of x too; their share is inside NORM_GRAD. */
void fanin__vjp_norm_apply(fanin__sweep *sweep, int id, int g) {
    SWEEP;
    int x = n.inputs[0], stats = n.inputs[1], scale = n.inputs[2];
    int sums = fanin__emit(ir, FANIN__NORM_SUMS, (int[]){x, stats, g}, 3, NULL, 0, NULL);
    if (wants(sweep, id, 3)) add(sweep, id, 3, row_of_pair(ir, sums, 0));
    if (wants(sweep, id, 2)) add(sweep, id, 2, row_of_pair(ir, sums, 1));
    if (wants(sweep, id, 0))
        add(sweep, id, 0,
            fanin__emit(ir, FANIN__NORM_GRAD, (int[]){x, stats, scale, sums, g}, 5, NULL, 0, NULL));
}

void fanin__vjp_once(fanin__sweep *sweep, int id, int g) {
    (void)g;
    fanin__ir_fail(sweep->ir, FANIN_UNSUPPORTED,
                   "a second derivative through '%s' (ask for the reference kernels)",
                   fanin__primitive_of(sweep->ir->nodes[id].op)->name);
}
