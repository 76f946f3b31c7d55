/* diagonal.c - the diagonal of the Gauss-Newton matrix by LeCun's recursion (LeCun et al. 1998, section 7.4): second
 * derivatives go back as gradients do, through the squares of what multiplies a gradient.
 *
 *     y = W x      h(x_j) = sum_i w_ij^2 h(y_i)      h(w_ij) = sum over samples of h(y_i) x_j^2
 *     y = f(x)     h(x) = f'(x)^2 h(y)
 *
 * Off-diagonal elements are left out on the way, f'' too. What only moves numbers moves their second derivatives;
 * norms, softmax inside a network, attention and gates, whose elements depend on one another, are refused. */
#include "operator/function.h"
#include "operator/gradient.h"

typedef struct walk {
    fanin__sweep *s;
    const char *varies; /* does the node depend on an input of the network? */
} walk;

static int square(fanin__ir *ir, int x) { return fanin__emit_apply(ir, FANIN__FN_SQUARE, x); }

static void refuse(const fanin__sweep *s, int id) {
    fanin__ir_fail(s->ir, FANIN_UNSUPPORTED,
                   "second derivatives do not go back through '%s' here by LeCun's recursion; "
                   "optimizer hutchinson estimates them",
                   fanin__primitive_of(s->ir->nodes[id].op)->name);
}

/* A product of two things that depend on weights: of a layer's weights and its input, or not. */
static bool is_layer(const walk *w, const fanin__node *n) {
    int a = n->inputs[0], b = n->inputs[1];
    return !(w->s->needed[a] && w->s->needed[b]) || w->varies[a] != w->varies[b];
}

static void through_binary(walk *w, int id, int h) {
    fanin__sweep *s = w->s;
    const fanin__node n = s->ir->nodes[id];
    int a = n.inputs[0], b = n.inputs[1];
    switch (n.attr.kind) {
    case FANIN__ADD:
    case FANIN__SUB:
        fanin__sweep_add(s, id, 0, h);
        fanin__sweep_add(s, id, 1, h);
        return;
    case FANIN__MUL:
        if (!is_layer(w, &n)) break;
        if (s->needed[a])
            fanin__sweep_add(s, id, 0, fanin__emit_binary(s->ir, FANIN__MUL, h, square(s->ir, b)));
        if (s->needed[b])
            fanin__sweep_add(s, id, 1, fanin__emit_binary(s->ir, FANIN__MUL, h, square(s->ir, a)));
        return;
    case FANIN__DIV:
        if (s->needed[b]) break;
        fanin__sweep_add(s, id, 0, fanin__emit_binary(s->ir, FANIN__DIV, h, square(s->ir, b)));
        return;
    case FANIN__MIN:
    case FANIN__MAX: fanin__primitive_of(n.op)->vjp(s, id, h); return;
    default: break;
    }
    refuse(s, id);
}

static void through_product(walk *w, int id, int h) {
    fanin__sweep *s = w->s;
    fanin__ir *ir = s->ir;
    const fanin__node n = ir->nodes[id];
    int last = n.rank - 1;
    if (!is_layer(w, &n)) {
        refuse(s, id);
        return;
    }
    for (int i = 0; i < 2; i++) {
        int to = -1, other = n.inputs[1 - i];
        if (!s->needed[n.inputs[i]]) continue;
        const fanin__node like = ir->nodes[n.inputs[i]];
        other = square(ir, other);
        if (n.op == FANIN__MATMUL)
            to = i == 0 ? fanin__emit_matmul(ir, h, fanin__emit_swap(ir, other, last - 1, last))
                        : fanin__emit_matmul(ir, fanin__emit_swap(ir, other, last - 1, last), h);
        else if (n.op == FANIN__CONV)
            to = i == 0 ? fanin__emit_conv(ir, FANIN__CONV_DATA, h, other, &n.attr.window,
                                           like.rank, like.dims)
                        : fanin__emit_conv(ir, FANIN__CONV_WEIGHT, other, h, &n.attr.window,
                                           like.rank, like.dims);
        else /* CONV_DATA, a transposed convolution: y, w */
            to = i == 0 ? fanin__emit_conv(ir, FANIN__CONV, h, other, &n.attr.window, like.rank,
                                           like.dims)
                        : fanin__emit_conv(ir, FANIN__CONV_WEIGHT, h, other, &n.attr.window,
                                           like.rank, like.dims);
        fanin__sweep_add(s, id, i, to);
    }
}

static void through(fanin__sweep *s, int id, int h, void *ctx) {
    walk w = {s, ctx};
    const fanin__node n = s->ir->nodes[id];
    int to;
    switch (n.op) {
    case FANIN__MAP: /* the factor twice */
        to = fanin__function_vjp(s->ir, &n.attr, n.inputs[0], id, h);
        to = fanin__function_vjp(s->ir, &n.attr, n.inputs[0], id, to);
        fanin__sweep_add(s, id, 0, to);
        return;
    case FANIN__BINARY: through_binary(&w, id, h); return;
    case FANIN__MATMUL:
    case FANIN__CONV:
    case FANIN__CONV_DATA: through_product(&w, id, h); return;
    case FANIN__REDUCE:
        if (n.attr.kind == FANIN__PROD) break;
        fanin__primitive_of(n.op)->vjp(s, id, h);
        return;
    case FANIN__SELECT:
    case FANIN__CAST:
    case FANIN__BROADCAST:
    case FANIN__RESHAPE:
    case FANIN__TRANSPOSE:
    case FANIN__SLICE:
    case FANIN__COPY:
    case FANIN__PAD:
    case FANIN__CONCAT:
    case FANIN__GATHER:
    case FANIN__MAXPOOL:
    case FANIN__SUMPOOL: fanin__primitive_of(n.op)->vjp(s, id, h); return;
    case FANIN__INPUT:
    case FANIN__WEIGHT: return;
    default: break;
    }
    refuse(s, id);
}

fanin_status fanin__diagonal(fanin__sweep *s, fanin__ir *ir, int output, int seed, const int *wrt,
                             int wrt_count) {
    size_t count = (size_t)ir->count;
    char *varies = fanin_calloc(count + 1, 1);
    *s = (fanin__sweep){.ir = ir};
    if (!varies) {
        fanin__ir_fail(ir, FANIN_NOMEM, "no memory for second derivatives");
        return FANIN_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const fanin__node *n = &ir->nodes[i];
        varies[i] = n->op == FANIN__INPUT;
        for (int k = 0; k < n->input_count; k++) varies[i] |= varies[n->inputs[k]];
    }
    fanin_status status = fanin__sweep_run(s, ir, output, seed, wrt, wrt_count, through, varies);
    fanin_free(varies);
    return status;
}
