/* recognise.c - what the patterns of a graph say about its tensors. */
#include "scheme/recognise.h"

fanin_status fanin__recognise(const fanin_graph *graph, fanin__recognised *r, fanin_err *err) {
    *r = (fanin__recognised){0};
    FANIN_TRY(fanin_patterns_create(graph, &r->patterns, err));
    r->by_node = fanin_calloc((size_t)graph->node_count + 1, sizeof *r->by_node);
    if (!r->by_node) {
        fanin__recognised_fini(r);
        return fanin_err_set(err, FANIN_NOMEM, "%.200s: no memory for its patterns", graph->name);
    }
    for (int i = 0; i < graph->node_count; i++) r->by_node[i] = -1;
    for (int i = 0; i < r->patterns->count; i++)
        for (int k = 0; k < r->patterns->items[i].node_count; k++)
            r->by_node[r->patterns->items[i].nodes[k]] = i;
    return FANIN_OK;
}

void fanin__recognised_fini(fanin__recognised *r) {
    fanin_patterns_destroy(r->patterns);
    fanin_free(r->by_node);
    *r = (fanin__recognised){0};
}

const fanin_pattern *fanin__recognised_at(const fanin__recognised *r, int node) {
    int at = node < 0 ? -1 : r->by_node[node];
    return at < 0 ? NULL : &r->patterns->items[at];
}

bool fanin__is_norm(const fanin_pattern *p) {
    return p && p->kind >= FANIN_PATTERN_LAYER_NORM && p->kind <= FANIN_PATTERN_L2_NORM;
}

const fanin_pattern *fanin__recognised_projection(const fanin__recognised *r, int node) {
    for (int i = 0; i < r->patterns->count; i++) {
        const fanin_pattern *p = &r->patterns->items[i];
        if (p->kind != FANIN_PATTERN_ATTENTION) continue;
        for (int k = 0; k < 3; k++)
            if (p->projections[k] == node) return p;
    }
    return NULL;
}

/* The tied table that `value` is, or is the copy of; NULL: none. */
static const fanin_pattern *tie_of(const fanin__recognised *r, int value) {
    for (int i = 0; i < r->patterns->count; i++) {
        const fanin_pattern *p = &r->patterns->items[i];
        if (p->kind == FANIN_PATTERN_TIED && (p->tensor == value || p->copy == value)) return p;
    }
    return NULL;
}

/* ---- in words ---------------------------------------------------------------------------------------- */

static const char *node_name(const fanin_graph *g, int node) {
    const fanin_node *n = &g->nodes[node];
    if (n->name[0]) return n->name;
    return n->output_count > 0 && n->outputs[0] >= 0 ? g->values[n->outputs[0]].name : n->op;
}

static void tie_role(const fanin_graph *g, const fanin_pattern *p, int value, fanin__text *out) {
    if (p->copy == value)
        fanin__text_printf(out, "held the values of %s when it was exported: tied there",
                           g->values[p->tensor].name);
    else if (p->copy >= 0)
        fanin__text_printf(out, "%s, which %s multiplies with, held the same values: tied there",
                           g->values[p->copy].name, node_name(g, p->product));
    else
        fanin__text_printf(out, "tied: looked up by %s, multiplied with by %s",
                           node_name(g, p->lookup), node_name(g, p->product));
}

static void packed_role(const fanin_pattern *p, int node, fanin__text *out) {
    static const char *const letters[] = {"q", "k", "v"};
    bool any = false, same = true;
    for (int k = 0; k < 3; k++) {
        if (p->projections[k] != node) continue;
        fanin__text_printf(out, "%s%s", any ? "|" : "", letters[k]);
        any = true;
        for (int i = 0; i < 3; i++)
            same = same && (p->projections[i] != node || p->parts[i] == p->parts[k]);
    }
    if (p->per_head) fanin__text_puts(out, " of each head");
    for (int k = 0, first = 1; k < 3 && !same && !p->per_head; k++)
        if (p->projections[k] == node) {
            fanin__text_printf(out, "%s%lld", first ? " " : "|", (long long)p->parts[k]);
            first = 0;
        }
}

void fanin__role_of(const fanin__recognised *r, const fanin_graph *graph,
                    const fanin_tensor_info *info, fanin__text *out) {
    const fanin_pattern *tie = tie_of(r, info->value);
    const fanin_pattern *p = fanin__recognised_at(r, info->node);
    fanin_class c = info->tensor.cls;
    fanin__text_puts(out, "");
    if (tie) {
        tie_role(graph, tie, info->value, out);
    } else if (p && p->spelled && fanin__is_norm(p) &&
               (c == FANIN_CLASS_NORM_SCALE || c == FANIN_CLASS_NORM_SHIFT)) {
        fanin__text_puts(out, "of a ");
        for (const char *s = fanin_pattern_kind_name(p->kind); *s; s++)
            fanin__text_append(out, *s == '_' ? " " : s, 1);
        fanin__text_puts(out, " that is spelled out");
    } else if (c == FANIN_CLASS_ATTENTION_QKV) {
        const fanin_pattern *attention = fanin__recognised_projection(r, info->node);
        int members = 0;
        for (int k = 0; attention && k < 3; k++) members += attention->projections[k] == info->node;
        bool all = members > 1 && (info->tensor.parts == 1 || info->tensor.parts == members);
        if (all) packed_role(attention, info->node, out); /* not slices for several nodes */
    }
}
