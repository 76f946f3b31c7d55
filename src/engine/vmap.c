/* vmap.c - the rewrite, row by row. */
#include <string.h>

#include "engine/vmap.h"

typedef struct rewrite {
    const fanin__ir *from;
    fanin__ir *to;
    int64_t lanes;
    const char *many;
    const int *node_of;
} rewrite;

int fanin__vmap_widen(fanin__ir *to, int id, int64_t lanes) {
    if (to->failed) return -1;
    fanin__node n = to->nodes[id];
    n.dims[n.rank] = 1;
    id = fanin__emit_reshape(to, id, n.rank + 1, n.dims);
    n.dims[n.rank] = lanes;
    return fanin__emit_broadcast(to, id, n.rank + 1, n.dims);
}

static int unsupported(const rewrite *r, const fanin__node *n, const char *why) {
    return fanin__ir_fail(r->to, FANIN_UNSUPPORTED,
                          "replicas: '%s' %s; only dense networks run as replicas",
                          fanin__primitive_of(n->op)->name, why);
}

/* Views and paddings leave the new axis, which is the last, as it is. */
static void keep_last_axis(fanin__op_attr *attr, fanin__op op, int axis) {
    if (op == FANIN__TRANSPOSE) attr->perm[axis] = axis;
    if (op == FANIN__SLICE) attr->slice.step[axis] = 1;
}

static int leaf(const rewrite *r, const fanin__node *n, bool many) {
    fanin__node wide = *n;
    if (n->op == FANIN__CONST) return fanin__emit_const(r->to, n->dtype, n->rank, n->dims, n->data);
    if (many) wide.dims[wide.rank++] = r->lanes;
    if (n->op == FANIN__RANDOM && r->to->random_count <= n->attr.axis)
        r->to->random_count = n->attr.axis + 1;
    return fanin__emit_leaf(r->to, n->op, n->attr.axis, n->dtype, wide.rank, wide.dims);
}

static int rewritten(const rewrite *r, const fanin__node *n, bool many) {
    fanin__op op = n->op;
    fanin__op_attr attr = n->attr;
    int few[16], *in = few, rank = n->rank;
    int64_t dims[FANIN_MAX_RANK];
    memcpy(dims, n->dims, sizeof dims);
    if (n->input_count > 16 && !(in = fanin__ir_take(r->to, (size_t)n->input_count * sizeof *in)))
        return -1;
    for (int i = 0; i < n->input_count; i++) in[i] = r->node_of[n->inputs[i]];
    if (!many) return fanin__emit(r->to, op, in, n->input_count, &attr, rank, dims);
    bool indexed = op == FANIN__GATHER || op == FANIN__SCATTER;
    int indices = op == FANIN__GATHER ? 1 : 0;
    if (indexed && r->many[n->inputs[indices]])
        return unsupported(r, n, "by indices of each replica");
    if (op == FANIN__MATMUL)
        op = FANIN__MATMUL_LANES;
    else if (op > FANIN__MATMUL)
        return unsupported(r, n, "has no rule for replicas");
    for (int i = 0; i < n->input_count; i++)
        if (!r->many[n->inputs[i]] && !(indexed && i == indices))
            in[i] = fanin__vmap_widen(r->to, in[i], r->lanes);
    keep_last_axis(&attr, op, rank);
    dims[rank++] = r->lanes;
    return fanin__emit(r->to, op, in, n->input_count, &attr, rank, dims);
}

static bool depends(const fanin__node *n, const char *many) {
    for (int i = 0; i < n->input_count; i++)
        if (many[n->inputs[i]]) return true;
    return n->op == FANIN__RANDOM;
}

fanin_status fanin__vmap(const fanin__ir *from, fanin__ir *to, int64_t lanes, const char *wanted,
                         char *many, int *node_of) {
    rewrite r = {from, to, lanes, many, node_of};
    for (int i = 0; i < from->count && !to->failed; i++) {
        const fanin__node *n = &from->nodes[i];
        node_of[i] = -1;
        if (!wanted[i]) continue;
        if (n->input_count > 0 || n->op == FANIN__RANDOM) many[i] = depends(n, many);
        if (many[i] && n->rank == FANIN_MAX_RANK)
            return unsupported(&r, n, "has no axis left") < 0 ? to->err.status : FANIN_OK;
        node_of[i] = n->input_count == 0 ? leaf(&r, n, many[i]) : rewritten(&r, n, many[i]);
    }
    return to->failed ? to->err.status : FANIN_OK;
}
