/* tangent.c - J t as the VJP of the VJP: u'J is linear in u, so the derivative of <u'J, t> in u is J t,
 * whatever u is. No rule is written twice. */
#include "engine/program.h"

int fanin__program_direction(fanin_program *p, int node) {
    if (p->ir.failed) return -1;
    fanin__node n = p->ir.nodes[node];
    return fanin__emit_leaf(&p->ir, FANIN__INPUT, p->input_count + 1 + p->direction_count++,
                            n.dtype, n.rank, n.dims);
}

/* <adjoint, direction>, added to the sum. */
static int add_product(fanin_program *p, int sum, int adjoint, int direction) {
    fanin__ir *ir = &p->ir;
    if (adjoint < 0 || ir->failed) return sum;
    int both = fanin__emit_binary(ir, FANIN__MUL, adjoint, direction);
    both = fanin__emit_reduce(ir, FANIN__SUM, both, (1u << ir->nodes[direction].rank) - 1, false);
    return fanin__emit_binary(ir, FANIN__ADD, sum, both);
}

static int collect(fanin_program *p, const int *statistics, fanin__leaf_info **leaves) {
    int count = 0;
    for (int i = 0; i < p->weight_count && p->options.weight_tangent; i++)
        if (statistics[p->weights[i].value] == -1) leaves[count++] = &p->weights[i];
    if (p->options.input_tangent && p->inner.node >= 0) {
        leaves[count++] = &p->inner;
        return count;
    }
    for (int i = 0; i < p->input_count && p->options.input_tangent; i++)
        if (p->ir.nodes[p->inputs[i].node].dtype == p->ir.dtype) leaves[count++] = &p->inputs[i];
    return count;
}

void fanin__program_add_tangent(fanin_program *p, int output, const int *statistics) {
    fanin__ir *ir = &p->ir;
    size_t most = (size_t)(p->weight_count + p->input_count) + 2;
    fanin__leaf_info **leaves = fanin_calloc(most, sizeof *leaves);
    int *wrt = fanin_calloc(most, sizeof *wrt);
    if (!leaves || !wrt) {
        fanin__ir_fail(ir, FANIN_NOMEM, "no memory for the tangent");
        fanin_free(leaves);
        fanin_free(wrt);
        return;
    }
    int count = collect(p, statistics, leaves), product = fanin__emit_scalar(ir, 0);
    int u = fanin__program_direction(p, output);
    fanin__sweep first = {0}, second = {0};
    for (int i = 0; i < count; i++) wrt[i] = leaves[i]->node;
    fanin__gradient(&first, ir, output, u, wrt, count);
    for (int i = 0; i < count && !ir->failed; i++) {
        if (leaves[i]->direction < 0)
            leaves[i]->direction = fanin__program_direction(p, leaves[i]->node);
        product = add_product(p, product, first.adjoints[leaves[i]->node], leaves[i]->direction);
    }
    if (!ir->failed) fanin__gradient(&second, ir, product, fanin__emit_scalar(ir, 1), &u, 1);
    if (!ir->failed) {
        int tangent = second.adjoints[u];
        if (tangent < 0) tangent = fanin__emit_fill_like(ir, 0, output);
        p->tangent_root = fanin__program_root(p, tangent, true);
    }
    fanin__sweep_fini(&first);
    fanin__sweep_fini(&second);
    fanin_free(leaves);
    fanin_free(wrt);
}
