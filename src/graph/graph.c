/* graph.c - the finished graph: look-up by name, attributes, destruction. */
#include <string.h>

#include "graph/graph.h"

/* FNV-1a, 64 bits; names of values are short. */
static uint64_t hash_name(const char *s, size_t n) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * UINT64_C(0x100000001b3);
    return h ^ (h >> 29);
}

int fanin__graph_lookup(const fanin__graph_owner *owner, const fanin_value *values,
                        const char *name, size_t n) {
    if (owner->slot_count == 0) return -1;
    size_t mask = owner->slot_count - 1;
    for (size_t at = (size_t)hash_name(name, n) & mask; owner->slots[at]; at = (at + 1) & mask) {
        int value = owner->slots[at] - 1;
        if (!strncmp(values[value].name, name, n) && !values[value].name[n]) return value;
    }
    return -1;
}

static void place(fanin__graph_owner *owner, const fanin_value *values, int value) {
    size_t mask = owner->slot_count - 1;
    const char *name = values[value].name;
    size_t at = (size_t)hash_name(name, strlen(name)) & mask;
    while (owner->slots[at]) at = (at + 1) & mask;
    owner->slots[at] = value + 1;
}

bool fanin__graph_index(fanin__graph_owner *owner, const fanin_value *values, int value_count,
                        int value) {
    /* A value is renamed at most once and leaves a dead slot, so there are never more than
     * 2 * value_count entries and a probe always ends at an empty slot. */
    if ((size_t)value_count * 2 + 8 > owner->slot_count) {
        size_t count = owner->slot_count ? owner->slot_count : 32;
        while (count < (size_t)value_count * 2 + 8) count *= 2;
        int *slots = fanin_calloc(count, sizeof *slots);
        if (!slots) return false;
        fanin_free(owner->slots);
        owner->slots = slots;
        owner->slot_count = count;
        for (int i = 0; i < value_count; i++)
            if (i != value) place(owner, values, i);
    }
    place(owner, values, value);
    return true;
}

void fanin__graph_owner_destroy(fanin__graph_owner *owner) {
    if (!owner) return;
    for (size_t i = 0; i < owner->map_count; i++) fanin__map_close(&owner->maps[i]);
    fanin_free(owner->maps);
    fanin_free(owner->slots);
    fanin__arena_fini(&owner->arena);
    fanin_free(owner);
}

void fanin_graph_destroy(fanin_graph *graph) {
    if (!graph) return;
    fanin__graph_owner_destroy(graph->owner);
    fanin_free(graph->values);
    fanin_free(graph->nodes);
    fanin_free(graph);
}

int fanin_graph_find(const fanin_graph *graph, const char *name) {
    return fanin__graph_lookup(graph->owner, graph->values, name, strlen(name));
}

const fanin_attr *fanin_node_attr(const fanin_node *node, const char *name) {
    for (int i = 0; i < node->attr_count; i++)
        if (!strcmp(node->attrs[i].name, name)) return &node->attrs[i];
    return NULL;
}

int64_t fanin_node_attr_int(const fanin_node *node, const char *name, int64_t otherwise) {
    const fanin_attr *a = fanin_node_attr(node, name);
    return a && a->type == FANIN_ATTR_INT ? a->i : otherwise;
}

double fanin_node_attr_float(const fanin_node *node, const char *name, double otherwise) {
    const fanin_attr *a = fanin_node_attr(node, name);
    return a && a->type == FANIN_ATTR_FLOAT ? a->f : otherwise;
}

const char *fanin_node_attr_string(const fanin_node *node, const char *name,
                                   const char *otherwise) {
    const fanin_attr *a = fanin_node_attr(node, name);
    return a && a->type == FANIN_ATTR_STRING ? a->s : otherwise;
}
