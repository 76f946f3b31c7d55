/* rewrite.c - x erf(x) ... in five to nine nodes becomes the activation's kernel: one pass over memory forward and
 * one backward, and a single value kept between them. */
#include <string.h>

#include "engine/rewrite.h"

/* Numbers that training may change are no numbers: they have gradients. */
static bool only_constants(const fanin_graph *g, const fanin_pattern *p) {
    for (int i = 0; i < p->node_count; i++) {
        const fanin_node *n = &g->nodes[p->nodes[i]];
        for (int k = 0; k < n->input_count; k++) {
            int v = n->inputs[k];
            bool inner = false;
            for (int m = 0; v >= 0 && m < i; m++)
                inner = inner || g->values[v].producer == p->nodes[m];
            if (v >= 0 && v != p->input && !inner && !(g->values[v].flags & FANIN_VALUE_CONSTANT))
                return false;
        }
    }
    return true;
}

/* Is one of the values made inside the pattern? The rewritten one has none of them. */
static bool hides(const fanin_graph *g, const fanin_pattern *p, const int *values, int count) {
    for (int i = 0; i < count; i++)
        for (int k = 0; k < p->node_count; k++)
            if (values[i] != p->output && g->values[values[i]].producer == p->nodes[k]) return true;
    return false;
}

fanin_status fanin__rewrites_find(const fanin_graph *g, bool wanted, const int *kept, int count,
                                  fanin__rewrites *r, fanin_err *err) {
    *r = (fanin__rewrites){0};
    if (!wanted) return FANIN_OK;
    FANIN_TRY(fanin_patterns_create(g, &r->patterns, err));
    r->ends_at = fanin_calloc((size_t)g->node_count + 1, sizeof *r->ends_at);
    if (!r->ends_at) {
        fanin__rewrites_fini(r);
        return fanin_err_set(err, FANIN_NOMEM, "no memory for a program");
    }
    for (int i = 0; i < g->node_count; i++) r->ends_at[i] = -1;
    for (int i = 0; i < r->patterns->count; i++) {
        const fanin_pattern *p = &r->patterns->items[i];
        if (p->kind != FANIN_PATTERN_ACTIVATION || !only_constants(g, p) ||
            hides(g, p, kept, count))
            continue;
        for (int k = 0; k < p->node_count; k++) r->ends_at[p->nodes[k]] = -2;
        r->ends_at[p->nodes[p->node_count - 1]] = i;
    }
    return FANIN_OK;
}

void fanin__rewrites_fini(fanin__rewrites *r) {
    fanin_patterns_destroy(r->patterns);
    fanin_free(r->ends_at);
    *r = (fanin__rewrites){0};
}

void fanin__rewrites_lower(const fanin__rewrites *r, fanin__lowering *l, int node) {
    int at = r->ends_at ? r->ends_at[node] : -1;
    if (at == -2) return;
    if (at < 0) {
        fanin__lower_node(l, node);
        return;
    }
    const fanin_pattern *p = &r->patterns->items[at];
    l->node = &l->graph->nodes[node];
    const fanin_activation *act = fanin__ir_activation(l->ir, p->activation);
    if (act) l->ids[p->output] = fanin__lower_activation(l->ir, act, l->ids[p->input]);
}
