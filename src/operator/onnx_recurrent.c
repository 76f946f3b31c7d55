/* onnx_recurrent.c - RNN, GRU and LSTM, unrolled: one product for all inputs, then a step for each position
 * of the sequence. Letters: T steps, B batch, H hidden units, D directions, G gates. Gates are stacked as the
 * standard has them: z r h in GRU, i o f c in LSTM. */
#include <string.h>

#include "operator/activation_node.h"
#include "operator/onnx.h"

enum { RNN, GRU, LSTM, MOST_STEPS = 4096 };

typedef struct recurrent {
    int kind, gates;
    int64_t T, B, I, H;
    bool batch_first;
    double clip; /* 0: none */
    int lengths; /* of the sequences, B; -1: all T */
} recurrent;

typedef struct direction {
    bool reverse;
    const fanin_activation *act[3];
    int w, r, wb, rb, p; /* GH x I, GH x H, GH, GH, 3H; p -1: none */
    int h, c;            /* B x H: the state, and the cells of an LSTM */
} direction;

static int add(fanin__ir *ir, int a, int b) { return fanin__emit_binary(ir, FANIN__ADD, a, b); }
static int mul(fanin__ir *ir, int a, int b) { return fanin__emit_binary(ir, FANIN__MUL, a, b); }
static int sub(fanin__ir *ir, int a, int b) { return fanin__emit_binary(ir, FANIN__SUB, a, b); }

/* Row d of the first axis, which goes. */
static int of_direction(fanin__ir *ir, int x, int d) {
    x = fanin__emit_slice_axis(ir, x, 0, d, 1);
    if (x < 0) return -1;
    fanin__node n = ir->nodes[x]; /* a copy: nodes move */
    return fanin__emit_reshape(ir, x, n.rank - 1, n.dims + 1);
}

static int columns(fanin__ir *ir, int x, int64_t from, int64_t size) {
    return x < 0 ? -1 : fanin__emit_slice_axis(ir, x, ir->nodes[x].rank - 1, from, size);
}

/* x of any rank times w' */
static int times(fanin__ir *ir, int x, int w) {
    return fanin__emit_matmul(ir, x, fanin__emit_swap(ir, w, 0, 1));
}

static int activate(const recurrent *k, fanin__ir *ir, const direction *d, int which, int x) {
    if (k->clip > 0) x = fanin__emit_apply_with(ir, FANIN__FN_CLAMP, -k->clip, k->clip, x);
    return fanin__lower_activation(ir, d->act[which], x);
}

/* ---- one step --------------------------------------------------------------------------- */

static int rnn_step(const recurrent *k, fanin__ir *ir, direction *d, int x) {
    return activate(k, ir, d, 0, add(ir, x, add(ir, times(ir, d->h, d->r), d->rb)));
}

/* reset_after: the reset gate multiplies the product (linear_before_reset, as PyTorch does). */
static int gru_step(const recurrent *k, fanin__ir *ir, direction *d, int x, bool reset_after) {
    int64_t H = k->H;
    int rows = fanin__emit_slice_axis(ir, d->r, 0, 0, 2 * H);
    int both = add(ir, times(ir, d->h, rows), columns(ir, d->rb, 0, 2 * H));
    both = activate(k, ir, d, 0, add(ir, columns(ir, x, 0, 2 * H), both));
    int z = columns(ir, both, 0, H), r = columns(ir, both, H, H);
    int last = fanin__emit_slice_axis(ir, d->r, 0, 2 * H, H), bias = columns(ir, d->rb, 2 * H, H);
    int state = reset_after ? mul(ir, r, add(ir, times(ir, d->h, last), bias))
                            : add(ir, times(ir, mul(ir, r, d->h), last), bias);
    int h = activate(k, ir, d, 1, add(ir, columns(ir, x, 2 * H, H), state));
    return add(ir, h, mul(ir, z, sub(ir, d->h, h))); /* (1 - z) h + z before */
}

static int peephole(fanin__ir *ir, const direction *d, int x, int c, int64_t from, int64_t H) {
    return d->p < 0 ? x : add(ir, x, mul(ir, c, columns(ir, d->p, from, H)));
}

static int lstm_step(const recurrent *k, fanin__ir *ir, direction *d, int x, bool coupled,
                     int *cell) {
    int64_t H = k->H;
    int all = add(ir, x, add(ir, times(ir, d->h, d->r), d->rb));
    int i = activate(k, ir, d, 0, peephole(ir, d, columns(ir, all, 0, H), d->c, 0, H));
    int f = coupled ? sub(ir, fanin__emit_scalar(ir, 1), i)
                    : activate(k, ir, d, 0,
                               peephole(ir, d, columns(ir, all, 2 * H, H), d->c, 2 * H, H));
    int g = activate(k, ir, d, 1, columns(ir, all, 3 * H, H));
    *cell = add(ir, mul(ir, f, d->c), mul(ir, i, g));
    int o = activate(k, ir, d, 0, peephole(ir, d, columns(ir, all, H, H), *cell, H, H));
    return mul(ir, o, fanin__lower_activation(ir, d->act[2], *cell));
}

/* ---- a direction ------------------------------------------------------------------------ */

/* Sequences that are over keep their state and give zeros. */
static int going_on(const recurrent *k, fanin__ir *ir, int64_t t) {
    int64_t column[2] = {k->B, 1};
    int now = fanin__emit_fill_like(ir, (double)t, k->lengths);
    return fanin__emit_reshape(ir, fanin__emit_binary(ir, FANIN__LT, now, k->lengths), 2, column);
}

/* Outputs of each step into y[0 .. T-1], B x H; final states stay in d. */
static void run_direction(fanin__lowering *l, const recurrent *k, direction *d, int x, int *y) {
    fanin__ir *ir = l->ir;
    bool after = fanin__lower_int(l, "linear_before_reset", 0) != 0;
    bool coupled = fanin__lower_int(l, "input_forget", 0) != 0;
    int64_t wide = k->gates * k->H;
    int flat = fanin__emit_reshape(ir, x, 2, (int64_t[]){k->T * k->B, k->I});
    int inputs = add(ir, times(ir, flat, d->w), d->wb);
    inputs = fanin__emit_reshape(ir, inputs, 3, (int64_t[]){k->T, k->B, wide});
    for (int64_t step = 0; step < k->T && !ir->failed; step++) {
        int64_t t = d->reverse ? k->T - 1 - step : step;
        int now = fanin__emit_slice_axis(ir, inputs, 0, t, 1), cell = -1;
        now = fanin__emit_reshape(ir, now, 2, (int64_t[]){k->B, wide});
        int h = k->kind == RNN   ? rnn_step(k, ir, d, now)
                : k->kind == GRU ? gru_step(k, ir, d, now, after)
                                 : lstm_step(k, ir, d, now, coupled, &cell);
        y[t] = h;
        if (k->lengths >= 0) {
            int on = going_on(k, ir, t);
            y[t] = fanin__emit_select(ir, on, h, fanin__emit_fill_like(ir, 0, h));
            h = fanin__emit_select(ir, on, h, d->h);
            if (cell >= 0) cell = fanin__emit_select(ir, on, cell, d->c);
        }
        d->h = h;
        d->c = cell;
    }
}

/* ---- reading the node ------------------------------------------------------------------- */

static bool has_shape(fanin__lowering *l, int input, int id, int rank, const int64_t *dims) {
    if (id < 0) return !l->ir->failed;
    const fanin__node *n = &l->ir->nodes[id];
    bool fits = n->rank == rank;
    for (int i = 0; fits && i < rank; i++) fits = n->dims[i] == dims[i];
    if (fits) return true;
    char s[160], t[160];
    fanin__ir_fail(l->ir, FANIN_SHAPE, "input %d is %s, expected %s", input,
                   fanin__node_shape_text(n, s), fanin__shape_text(dims, rank, t, sizeof t));
    return false;
}

static int optional(fanin__lowering *l, int i) {
    return fanin__lower_has(l, i) ? fanin__lower_in(l, i) : -1;
}

/* How many of alpha and beta an activation takes from the node's lists. */
static int parameters(const char *name) {
    static const char *const one[] = {"LeakyRelu", "Elu", "Celu", "ThresholdedRelu"};
    for (size_t i = 0; i < FANIN_COUNT(one); i++)
        if (!strcmp(name, one[i])) return 1;
    return strcmp(name, "HardSigmoid") ? 0 : 2;
}

/* An activation's name means what the operator of that name means. */
static const fanin_activation *read_activation(fanin__lowering *l, const char *name, size_t *alphas,
                                               size_t *betas) {
    fanin_attr attrs[2] = {{.name = "alpha", .type = FANIN_ATTR_FLOAT},
                           {.name = "beta", .type = FANIN_ATTR_FLOAT}};
    const fanin_attr *a = fanin_node_attr(l->node, "activation_alpha");
    const fanin_attr *b = fanin_node_attr(l->node, "activation_beta");
    fanin_node like = {.name = "", .op = name, .domain = "", .attrs = attrs};
    if (parameters(name) > 0 && a && *alphas < a->count) {
        attrs[like.attr_count++].f = a->floats[(*alphas)++];
        if (parameters(name) > 1 && b && *betas < b->count)
            attrs[like.attr_count++].f = b->floats[(*betas)++];
    }
    char text[96];
    const char *ours = fanin__node_activation(&like, text, sizeof text);
    if (ours) return fanin__ir_activation(l->ir, ours);
    fanin__ir_fail(l->ir, FANIN_UNSUPPORTED, "activation '%.40s' (opset %d)", name,
                   l->graph->opset);
    return NULL;
}

static bool read_activations(fanin__lowering *l, const recurrent *k, int D, direction *d) {
    static const char *const usual[3][3] = {
        {"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
    const fanin_attr *a = fanin_node_attr(l->node, "activations");
    size_t alphas = 0, betas = 0, each = (size_t)k->kind + 1;
    if (a && a->count != each * (size_t)D) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "%zu activations, expected %zu", a->count,
                       each * (size_t)D);
        return false;
    }
    for (int i = 0; i < D; i++)
        for (size_t j = 0; j < each; j++) {
            const char *name = a ? a->strings[(size_t)i * each + j] : usual[k->kind][j];
            if (!(d[i].act[j] = read_activation(l, name, &alphas, &betas))) return false;
        }
    return true;
}

/* Shapes first: what follows trusts them. */
static bool read_sizes(fanin__lowering *l, int kind, int D, recurrent *k) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0), w = fanin__lower_in(l, 1), r = fanin__lower_in(l, 2);
    if (x < 0 || w < 0 || r < 0) return false;
    fanin__node n = ir->nodes[x], of_r = ir->nodes[r];
    if (n.rank != 3 || of_r.rank != 3) {
        char s[160], t[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "sequences are %s and R is %s, expected three axes",
                       fanin__node_shape_text(&n, s), fanin__node_shape_text(&of_r, t));
        return false;
    }
    k->kind = kind;
    k->gates = kind == RNN ? 1 : kind == GRU ? 3 : 4;
    k->batch_first = fanin__lower_int(l, "layout", 0) != 0;
    k->T = n.dims[k->batch_first ? 1 : 0];
    k->B = n.dims[k->batch_first ? 0 : 1];
    k->I = n.dims[2];
    k->H = of_r.dims[2];
    k->clip = fanin__lower_float(l, "clip", 0);
    k->lengths = optional(l, 4);
    int64_t wide = k->gates * k->H;
    if (k->T > MOST_STEPS) {
        fanin__ir_fail(ir, FANIN_LIMIT, "a sequence of %lld steps, %d at most are unrolled",
                       (long long)k->T, MOST_STEPS);
        return false;
    }
    return has_shape(l, 1, w, 3, (int64_t[]){D, wide, k->I}) &&
           has_shape(l, 2, r, 3, (int64_t[]){D, wide, k->H}) &&
           has_shape(l, 3, optional(l, 3), 2, (int64_t[]){D, 2 * wide}) &&
           has_shape(l, 4, k->lengths, 1, (int64_t[]){k->B}) &&
           has_shape(l, 7, optional(l, 7), 2, (int64_t[]){D, 3 * k->H});
}

/* An initial state of all directions as D x B x H; zeros where there is none. */
static int read_state(fanin__lowering *l, const recurrent *k, int input, int D) {
    fanin__ir *ir = l->ir;
    int64_t shape[3] = {D, k->B, k->H}, turned[3] = {k->B, D, k->H};
    int state = optional(l, input);
    if (state < 0) return fanin__emit_broadcast(ir, fanin__emit_scalar(ir, 0), 3, shape);
    if (!has_shape(l, input, state, 3, k->batch_first ? turned : shape)) return -1;
    return k->batch_first ? fanin__emit_swap(ir, state, 0, 1) : state;
}

static void read_direction(fanin__lowering *l, const recurrent *k, int i, int h, int c,
                           direction *d) {
    fanin__ir *ir = l->ir;
    int64_t wide = k->gates * k->H;
    int bias = optional(l, 3), peepholes = optional(l, 7);
    d->w = of_direction(ir, fanin__lower_in(l, 1), i);
    d->r = of_direction(ir, fanin__lower_in(l, 2), i);
    int none = fanin__emit_broadcast(ir, fanin__emit_scalar(ir, 0), 1, &wide);
    bias = bias < 0 ? -1 : of_direction(ir, bias, i);
    d->wb = bias < 0 ? none : columns(ir, bias, 0, wide);
    d->rb = bias < 0 ? none : columns(ir, bias, wide, wide);
    d->p = peepholes < 0 ? -1 : of_direction(ir, peepholes, i);
    d->h = of_direction(ir, h, i);
    d->c = of_direction(ir, c, i);
}

/* `count` tensors along a new axis. */
static int stacked(fanin__ir *ir, int *x, int count, int axis) {
    for (int i = 0; i < count; i++) {
        if (x[i] < 0) return -1;
        fanin__node n = ir->nodes[x[i]];
        int64_t dims[FANIN_MAX_RANK];
        for (int a = 0; a <= n.rank; a++) dims[a] = a == axis ? 1 : n.dims[a - (a > axis)];
        x[i] = fanin__emit_reshape(ir, x[i], n.rank + 1, dims);
    }
    return fanin__emit_concat(ir, x, count, axis);
}

void fanin__lower_recurrent(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    const char *way = fanin__lower_string(l, "direction", "forward");
    int D = !strcmp(way, "bidirectional") ? 2 : 1, sides[2], last[2], cells[2];
    recurrent k;
    direction d[2] = {0};
    if (!read_sizes(l, arg, D, &k) || !read_activations(l, &k, D, d)) return;
    int x = fanin__lower_in(l, 0), h = read_state(l, &k, 5, D), c = read_state(l, &k, 6, D);
    if (k.batch_first) x = fanin__emit_swap(ir, x, 0, 1);
    int *y = fanin_calloc((size_t)k.T + 1, sizeof *y);
    if (!y) fanin__ir_fail(ir, FANIN_NOMEM, "no memory for %lld steps", (long long)k.T);
    for (int i = 0; i < D && !ir->failed; i++) {
        d[i].reverse = i == 1 || !strcmp(way, "reverse");
        read_direction(l, &k, i, h, c, &d[i]);
        run_direction(l, &k, &d[i], x, y);
        if (k.T == 0) /* nothing was said */
            sides[i] =
                fanin__emit_broadcast(ir, fanin__emit_scalar(ir, 0), 3, (int64_t[]){0, k.B, k.H});
        else
            sides[i] = stacked(ir, y, (int)k.T, 0);
        last[i] = d[i].h;
        cells[i] = d[i].c;
    }
    fanin_free(y);
    if (ir->failed) return;
    int at = k.batch_first ? 1 : 0;     /* of the directions, in states */
    int all = stacked(ir, sides, D, 1); /* T x D x B x H, or B x T x D x H */
    if (k.batch_first) all = fanin__emit_transpose(ir, all, (int64_t[]){2, 0, 1, 3});
    fanin__lower_out(l, 0, all);
    if (fanin__lower_wants_out(l, 1)) fanin__lower_out(l, 1, stacked(ir, last, D, at));
    if (arg == LSTM && fanin__lower_wants_out(l, 2))
        fanin__lower_out(l, 2, stacked(ir, cells, D, at));
}
