/* layout.c - which steps work on channels-last memory, and how.
 *
 * A tensor N x C x spatial is in channels-last order if its strides say so; its dims stay as they
 * are. Convolutions ask for it, and what lies between them follows, so that a chain is converted at
 * its ends only. Convolution, pooling and batch norm know both orders. An elementwise step, a sum, a
 * pad or a concatenation is turned: it sees all its tensors with the channel axis moved to the end,
 * where the memory is row-major again, and its kernels need not know. */
#include <string.h>

#include "engine/plan.h"

/* Axis that stands at place i of channels-last order. */
static int axis_at(int rank, int i) { return i == 0 ? 0 : i == rank - 1 ? 1 : i + 1; }

static bool has_channels(int rank) { return rank >= 3 && rank <= FANIN_MAX_RANK; }

fanin__tensor fanin__tensor_last(const fanin__node *node, void *data) {
    fanin__tensor t = fanin__tensor_packed(node, data);
    int64_t stride = 1;
    for (int i = t.rank - 1; i >= 0 && has_channels(t.rank); i--) {
        int axis = axis_at(t.rank, i);
        t.strides[axis] = stride;
        stride *= t.dims[axis];
    }
    return t;
}

bool fanin__tensor_is_last(const fanin__tensor *t) {
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        int axis = axis_at(t->rank, i);
        if (t->dims[axis] != 1 && t->strides[axis] != stride) return false;
        stride *= t->dims[axis];
    }
    return has_channels(t->rank);
}

bool fanin__tensor_only_last(const fanin__tensor *t) {
    return fanin__tensor_is_last(t) && !fanin__tensor_is_packed(t);
}

/* Cut or padded from channels-last memory: neighbours are channels. */
static bool leans_last(const fanin__tensor *t) {
    return has_channels(t->rank) && t->dims[1] > 1 && t->strides[1] == 1 &&
           !fanin__tensor_is_packed(t);
}

/* ---- turning ---------------------------------------------------------------------------- */

static void turn(int rank, int64_t *v) {
    int64_t old[FANIN_MAX_RANK];
    memcpy(old, v, sizeof old);
    for (int i = 0; i < rank; i++) v[i] = old[axis_at(rank, i)];
}

void fanin__turn_tensor(fanin__tensor *t) {
    turn(t->rank, t->dims);
    turn(t->rank, t->strides);
}

const fanin__node *fanin__turn_node(fanin__ir *ir, const fanin__node *node) {
    fanin__node *n = fanin__ir_take(ir, sizeof *n);
    if (!n) return NULL;
    *n = *node;
    turn(n->rank, n->dims);
    if (n->op == FANIN__PAD) {
        turn(n->rank, n->attr.pad.before);
        turn(n->rank, n->attr.pad.after);
        turn(n->rank, n->attr.pad.interior);
    }
    for (int i = 0; i < n->rank; i++) {
        int axis = axis_at(n->rank, i);
        if (n->op == FANIN__CONCAT && axis == node->attr.axis) n->attr.axis = i;
        if (n->op == FANIN__REDUCE) {
            n->attr.mask &= ~(1u << i);
            n->attr.mask |= (node->attr.mask >> axis & 1u) << i;
        }
    }
    return n;
}

/* Small images stay in the caches, where a reorder costs little; and the sums of row-major kernels
 * are those of other frameworks to the last bits more often. */
bool fanin__channels_last_pays(const fanin__ir *ir) {
    enum { BYTES = 4 << 20 };
    double bytes = 0;
    for (int i = 0; i < ir->count; i++)
        if (ir->nodes[i].op == FANIN__CONV) bytes += 4.0 * (double)ir->nodes[i].count;
    return ir->dtype == FANIN_F32 && fanin_cpu_level() > FANIN_CPU_REF && bytes >= BYTES;
}

/* ---- who wants what ---------------------------------------------------------------------- */

static bool follows(fanin__op op) {
    return op == FANIN__MAP || op == FANIN__MAPMUL || op == FANIN__BINARY || op == FANIN__SELECT;
}

/* An operand as large as the result goes channels-last too; one that is repeated or cut out is read
 * where it is. */
static fanin__order turned(const fanin__steps *p, const fanin__node *n, const int *in) {
    fanin__order l = {.turned = true, .out = true};
    for (int i = 0; i < n->input_count && follows(n->op); i++) {
        const fanin__tensor *t = &p->slots[in[i]].tensor;
        bool every = n->op == FANIN__MAP || n->op == FANIN__MAPMUL;
        if (!fanin__tensor_is_last(t) && (every || fanin__tensor_is_packed(t)))
            l.operands |= 1u << i;
    }
    return l;
}

static bool any_last(const fanin__steps *p, const fanin__node *n, const int *in) {
    for (int i = 0; i < n->input_count; i++)
        if (fanin__tensor_only_last(&p->slots[in[i]].tensor)) return true;
    return false;
}

static bool all_lean(const fanin__steps *p, const fanin__node *n, const int *in) {
    for (int i = 0; i < n->input_count; i++)
        if (!leans_last(&p->slots[in[i]].tensor)) return false;
    return n->input_count > 0;
}

/* With few channels oneDNN pads them to a vector in either order, and reads whole rows in the other. */
static bool worth_it(int64_t c_in, int64_t c_out) {
    return c_out >= 16 && (c_in >= 16 || c_in <= 4);
}

fanin__order fanin__order_of(const fanin__steps *p, const fanin__node *n, const int *in) {
    const fanin__order plain = {0};
    if (n->count == 0 || n->input_count < 1) return plain;
    const fanin__tensor *x = &p->slots[in[0]].tensor;
    if (!has_channels(x->rank)) return plain;
    bool last = fanin__tensor_only_last(x), images = n->attr.window.rank == x->rank - 2;
    switch (n->op) {
    case FANIN__CONV:
        return worth_it(x->dims[1], n->dims[1]) ? (fanin__order){.operands = 1, .out = true}
                                                : plain;
    case FANIN__CONV_DATA:
        return worth_it(n->dims[1], x->dims[1]) ? (fanin__order){.operands = 1, .out = true}
                                                : plain;
    case FANIN__CONV_WEIGHT:
        return worth_it(x->dims[1], p->slots[in[1]].tensor.dims[1]) ? (fanin__order){.operands = 3}
                                                                    : plain;
    case FANIN__MAXPOOL: return last && images ? (fanin__order){.operands = 1, .out = true} : plain;
    case FANIN__MAXPOOL_SCATTER:
        return last && images ? (fanin__order){.operands = 3, .out = true} : plain;
    case FANIN__NORM_STATS: return last ? (fanin__order){.operands = 1} : plain;
    case FANIN__NORM_APPLY: return last ? (fanin__order){.operands = 1, .out = true} : plain;
    case FANIN__NORM_SUMS: return last ? (fanin__order){.operands = 5} : plain;
    case FANIN__NORM_GRAD: return last ? (fanin__order){.operands = 17, .out = true} : plain;
    case FANIN__MAP:
    case FANIN__MAPMUL:
    case FANIN__BINARY:
    case FANIN__SELECT: return any_last(p, n, in) ? turned(p, n, in) : plain;
    case FANIN__REDUCE: return last ? turned(p, n, in) : plain;
    case FANIN__PAD:
    case FANIN__CONCAT: return all_lean(p, n, in) ? turned(p, n, in) : plain;
    default: return plain;
    }
}
