/* gradient.c - the sweep: from the output back to what it depends on, asking each row for its VJP. */
#include <string.h>

#include "operator/gradient.h"

bool fanin__sweep_wants(const fanin__sweep *sweep, int id, int i) {
    return sweep->needed[sweep->ir->nodes[id].inputs[i]];
}

void fanin__sweep_add(fanin__sweep *sweep, int id, int i, int g) {
    int input = sweep->ir->nodes[id].inputs[i];
    if (g < 0 || !sweep->needed[input]) return;
    int *adjoint = &sweep->adjoints[input];
    *adjoint = *adjoint < 0 ? g : fanin__emit_binary(sweep->ir, FANIN__ADD, *adjoint, g);
}

static bool is_float(const fanin__node *n) {
    return n->dtype == FANIN_F32 || n->dtype == FANIN_F64;
}

static void mark_needed(fanin__sweep *s, const int *wrt, int wrt_count) {
    for (int i = 0; i < wrt_count; i++)
        if (wrt[i] >= 0 && wrt[i] < s->count) s->needed[wrt[i]] = 1;
    for (int i = 0; i < s->count; i++) {
        const fanin__node *n = &s->ir->nodes[i];
        if (!is_float(n)) continue;
        for (int j = 0; j < n->input_count && !s->needed[i]; j++)
            s->needed[i] = s->needed[n->inputs[j]];
    }
}

fanin_status fanin__sweep_run(fanin__sweep *s, fanin__ir *ir, int output, int seed, const int *wrt,
                              int wrt_count, fanin__sweep_rule *through, void *ctx) {
    *s = (fanin__sweep){.ir = ir, .count = ir->count};
    if (ir->failed || output < 0 || seed < 0) return ir->err.status;
    s->adjoints = fanin_calloc((size_t)s->count, sizeof(int));
    s->needed = fanin_calloc((size_t)s->count, 1);
    if (!s->adjoints || !s->needed) {
        fanin__ir_fail(ir, FANIN_NOMEM, "no memory for the gradient");
        return FANIN_NOMEM;
    }
    for (int i = 0; i < s->count; i++) s->adjoints[i] = -1;
    mark_needed(s, wrt, wrt_count);
    if (s->needed[output]) s->adjoints[output] = seed;
    for (int i = output; i >= 0 && !ir->failed; i--)
        if (s->needed[i] && s->adjoints[i] >= 0) through(s, i, s->adjoints[i], ctx);
    return ir->failed ? ir->err.status : FANIN_OK;
}

static void by_vjp(fanin__sweep *s, int id, int g, void *ctx) {
    void (*vjp)(fanin__sweep *, int, int) = fanin__primitive_of(s->ir->nodes[id].op)->vjp;
    (void)ctx;
    if (vjp) vjp(s, id, g);
}

fanin_status fanin__gradient(fanin__sweep *s, fanin__ir *ir, int output, int seed, const int *wrt,
                             int wrt_count) {
    return fanin__sweep_run(s, ir, output, seed, wrt, wrt_count, by_vjp, NULL);
}

void fanin__sweep_fini(fanin__sweep *s) {
    fanin_free(s->adjoints);
    fanin_free(s->needed);
    s->adjoints = NULL;
    s->needed = NULL;
}
