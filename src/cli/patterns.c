#include "patterns.h"

#include <stdlib.h>
#include <string.h>

static json_t *node_name(const fanin_graph *g, int node) {
    const fanin_node *n = &g->nodes[node];
    if (n->name[0]) return cli_text(n->name);
    return cli_text(n->output_count > 0 && n->outputs[0] >= 0 ? g->values[n->outputs[0]].name
                                                              : n->op);
}

static json_t *value_name(const fanin_graph *g, int value) {
    return cli_text(value < 0 ? NULL : g->values[value].name);
}

static json_t *positive(int64_t n) { return n > 0 ? json_integer((json_int_t)n) : json_null(); }

static void attention_json(json_t *o, const fanin_pattern *p) {
    const int *from = p->projections;
    json_object_set_new(o, "heads", positive(p->heads));
    json_object_set_new(o, "head_size", positive(p->head_size));
    json_object_set_new(o, "scale", cli_number(p->logit_scale));
    json_object_set_new(o, "causal", json_boolean(p->mask & FANIN_MASK_CAUSAL));
    json_object_set_new(o, "masked", json_boolean(p->mask != 0));
    bool packed = from[1] >= 0 && from[1] == from[2];
    json_object_set_new(o, "packed", cli_text(!packed ? NULL : from[0] == from[1] ? "qkv" : "kv"));
    json_object_set_new(o, "per_head", json_boolean(p->per_head));
    json_t *parts = json_array();
    for (int k = 0; k < 3; k++) json_array_append_new(parts, positive(p->parts[k]));
    json_object_set_new(o, "parts", parts);
}

/* What all findings of a group share, from its first. */
static json_t *group_json(const fanin_graph *g, const fanin_patterns *all,
                          const fanin_pattern_group *group) {
    json_t *o = json_object(), *nodes = json_array(), *axes = json_array();
    const fanin_pattern *p = &all->items[group->members[0]];
    json_object_set_new(o, "kind", cli_text(fanin_pattern_kind_name(p->kind)));
    json_object_set_new(o, "count", json_integer(group->count));
    json_object_set_new(o, "text", cli_text(group->text));
    json_object_set_new(o, "spelled_out", json_boolean(p->spelled));
    if (p->activation) json_object_set_new(o, "activation", cli_text(p->activation));
    for (int i = 0; i < p->axis_count; i++)
        json_array_append_new(axes, json_integer((json_int_t)p->axes[i]));
    if (p->kind >= FANIN_PATTERN_LAYER_NORM && p->kind <= FANIN_PATTERN_L2_NORM)
        json_object_set_new(o, "eps", cli_number(p->eps));
    if (p->axis_count > 0) json_object_set(o, "axes", axes);
    if (p->kind == FANIN_PATTERN_BATCH_NORM)
        json_object_set_new(o, "training", json_boolean(p->training));
    if (p->kind == FANIN_PATTERN_GROUP_NORM) json_object_set_new(o, "groups", positive(p->groups));
    if (p->kind == FANIN_PATTERN_ATTENTION) attention_json(o, p);
    if (p->kind == FANIN_PATTERN_TIED) {
        json_object_set_new(o, "tensor", value_name(g, p->tensor));
        json_object_set_new(o, "copy", value_name(g, p->copy));
        json_object_set_new(o, "lookup", node_name(g, p->lookup));
        json_object_set_new(o, "product", node_name(g, p->product));
    }
    for (int i = 0; i < group->count; i++) {
        const fanin_pattern *m = &all->items[group->members[i]];
        json_t *names = json_array();
        for (int k = 0; k < m->node_count; k++)
            json_array_append_new(names, node_name(g, m->nodes[k]));
        json_array_append_new(nodes, names);
    }
    json_object_set_new(o, "nodes", nodes);
    json_decref(axes);
    return o;
}

json_t *cli_patterns_json(const fanin_graph *graph, const fanin_patterns *patterns) {
    json_t *all = json_array();
    for (int i = 0; i < patterns->group_count; i++)
        json_array_append_new(all, group_json(graph, patterns, &patterns->groups[i]));
    return all;
}

void cli_patterns_print(const fanin_patterns *patterns) {
    size_t size = 1;
    for (int i = 0; i < patterns->group_count; i++) size += strlen(patterns->groups[i].text) + 2;
    char *text = size > 1 ? malloc(size) : NULL;
    if (!text) return;
    text[0] = '\0';
    for (int i = 0; i < patterns->group_count; i++) {
        if (i > 0) strcat(text, ", ");
        strcat(text, patterns->groups[i].text);
    }
    cli_wrapped(text, printf("patterns:"));
    free(text);
}
