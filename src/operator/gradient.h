/* gradient.h - reverse mode: a sweep over an ir that appends the gradient's own nodes. */
#ifndef FANIN_SRC_OPERATOR_GRADIENT_H
#define FANIN_SRC_OPERATOR_GRADIENT_H

#include "operator/ir.h"

struct fanin__sweep {
    fanin__ir *ir;
    int count;     /* nodes when the sweep began */
    int *adjoints; /* d (sum of seeds . outputs) / d node, -1: none yet */
    char *needed;  /* does the node depend on something differentiated? */
};

/* Adjoints of all nodes that depend on `wrt` (count of them), given `seed` (same shape) at node
 * `output`. fini in every case; adjoints are -1 where nothing arrives. */
fanin_status fanin__gradient(fanin__sweep *sweep, fanin__ir *ir, int output, int seed,
                             const int *wrt, int wrt_count);
/* The same sweep with another rule: `through` adds what goes back from node id, where h arrives, to its operands. */
typedef void fanin__sweep_rule(fanin__sweep *sweep, int id, int h, void *ctx);
fanin_status fanin__sweep_run(fanin__sweep *sweep, fanin__ir *ir, int output, int seed,
                              const int *wrt, int wrt_count, fanin__sweep_rule *through, void *ctx);
/* Adjoints are diagonals of the Gauss-Newton matrix by LeCun's recursion (diagonal.c), given at `output` the second
 * derivatives of a loss in its elements. UNSUPPORTED: through what the recursion does not go. */
fanin_status fanin__diagonal(fanin__sweep *sweep, fanin__ir *ir, int output, int seed,
                             const int *wrt, int wrt_count);
void fanin__sweep_fini(fanin__sweep *sweep);

/* For VJPs: does operand `i` of node `id` want a gradient? */
bool fanin__sweep_wants(const fanin__sweep *sweep, int id, int i);
/* Adds g to the adjoint of operand i of node id. */
void fanin__sweep_add(fanin__sweep *sweep, int id, int i, int g);

#endif
