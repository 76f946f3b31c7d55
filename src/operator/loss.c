/* loss.c - softmax and the losses. */
#include <string.h>

#include "operator/onnx.h"

/* x minus its row maximum, which changes no result here and keeps exponentials finite. */
static int shifted(fanin__ir *ir, int x, unsigned last) {
    return fanin__emit_binary(ir, FANIN__SUB, x, fanin__emit_max_detached(ir, x, last));
}

int fanin__emit_softmax(fanin__ir *ir, int x) {
    if (ir->failed || x < 0) return -1;
    int rank = ir->nodes[x].rank;
    if (rank == 0) return fanin__emit_fill_like(ir, 1, x);
    if (ir->nodes[x].dims[rank - 1] == 0) return x;
    if (ir->fuse) return fanin__emit(ir, FANIN__SOFTMAX, &x, 1, NULL, 0, NULL);
    unsigned last = 1u << (rank - 1);
    int e = fanin__emit_apply(ir, FANIN__FN_EXP, shifted(ir, x, last));
    return fanin__emit_binary(ir, FANIN__DIV, e, fanin__emit_reduce(ir, FANIN__SUM, e, last, true));
}

int fanin__emit_log_softmax(fanin__ir *ir, int x) {
    if (ir->failed || x < 0) return -1;
    int rank = ir->nodes[x].rank;
    if (rank == 0) return fanin__emit_fill_like(ir, 0, x);
    if (ir->nodes[x].dims[rank - 1] == 0) return x;
    unsigned last = 1u << (rank - 1);
    int z = shifted(ir, x, last);
    int sum =
        fanin__emit_reduce(ir, FANIN__SUM, fanin__emit_apply(ir, FANIN__FN_EXP, z), last, true);
    return fanin__emit_binary(ir, FANIN__SUB, z, fanin__emit_apply(ir, FANIN__FN_LOG, sum));
}

/* One logit z is class 1 against class 0, of logit 0: -log sigmoid(+-z) = log(1 + e^z) - target z. */
static int binary_entropy(fanin__ir *ir, int x, int target, int64_t rows) {
    const fanin_activation *softplus = fanin__ir_activation(ir, "softplus");
    x = fanin__emit_reshape(ir, x, 1, &rows);
    target = fanin__emit_cast(ir, fanin__emit_reshape(ir, target, 1, &rows), ir->dtype);
    int each = fanin__emit_binary(ir, FANIN__SUB, fanin__emit_apply_activation(ir, softplus, 0, x),
                                  fanin__emit_binary(ir, FANIN__MUL, target, x));
    return fanin__emit_mean(ir, each, 1, false);
}

/* Mean over all positions of -log softmax(x)[target]. A target that is no class picks nothing in the
 * lowered form; the program refuses it before running. */
static int cross_entropy(fanin__ir *ir, int x, int target) {
    if (ir->failed || x < 0 || target < 0) return -1;
    fanin__node n = ir->nodes[x];
    int64_t classes = n.dims[n.rank - 1], rows = 1;
    for (int i = 0; i + 1 < n.rank; i++) rows *= n.dims[i];
    if (classes == 1) return binary_entropy(ir, x, target, rows);
    x = fanin__emit_reshape(ir, x, 2, (int64_t[]){rows, classes});
    if (ir->fuse) {
        target = fanin__emit_reshape(ir, target, 1, &rows);
        int both = fanin__emit(ir, FANIN__XENT, (int[]){x, target}, 2, NULL, 0, NULL);
        return fanin__emit_mean(ir, fanin__emit_slice_axis(ir, both, 1, 0, 1), 3, false);
    }
    int column = fanin__emit_reshape(ir, target, 2, (int64_t[]){rows, 1});
    int hit = fanin__emit_binary(ir, FANIN__EQ, fanin__emit_iota(ir, classes), column);
    int logs = fanin__emit_log_softmax(ir, x);
    int picked = fanin__emit_select(ir, hit, logs, fanin__emit_fill_like(ir, 0, logs));
    int each = fanin__emit_reduce(ir, FANIN__SUM, picked, 2, true);
    return fanin__emit_mean(ir, fanin__emit_apply(ir, FANIN__FN_NEG, each), 3, false);
}

/* Mean over all elements of (x - target)^2. */
static int mse(fanin__ir *ir, int x, int target) {
    if (ir->failed || x < 0) return -1;
    int d = fanin__emit_binary(ir, FANIN__SUB, x, target);
    unsigned all = (1u << ir->nodes[x].rank) - 1;
    return fanin__emit_mean(ir, fanin__emit_apply(ir, FANIN__FN_SQUARE, d), all, false);
}

static const fanin__loss losses[] = {
    {"cross_entropy", true, cross_entropy},
    {"mse", false, mse},
};

int fanin__loss_count(void) { return (int)FANIN_COUNT(losses); }
const fanin__loss *fanin__loss_at(int i) { return &losses[i]; }

const fanin__loss *fanin__loss_find(const char *name) {
    for (size_t i = 0; i < FANIN_COUNT(losses); i++)
        if (!strcmp(losses[i].name, name)) return &losses[i];
    return NULL;
}
