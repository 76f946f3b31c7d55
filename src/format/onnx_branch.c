/* onnx_branch.c - If: the nodes of both branches become nodes of the graph, and the If a node that reads its
 * condition, then what the first branch gives, then what the second gives. Exporters write such nodes where
 * they do not know a shape; the engine computes only the branch that a known condition takes. */
#include <string.h>

#include "format/onnx.h"

/* Of a branch: names are compared pair by pair. */
enum { MOST_NAMES = 256, MOST_BYTES = 256 << 10 };

/* The graph in attribute `name`; false if there is none. */
static bool find_branch(fanin__wire node, const char *name, fanin__wire *graph) {
    fanin__wire_field f, g;
    while (fanin__wire_next(&node, &f, NULL)) {
        if (f.id != NODE_ATTRIBUTE) continue;
        bool named = false, found = false;
        fanin__wire inner;
        for (fanin__wire w = fanin__wire_inside(&f); fanin__wire_next(&w, &g, NULL);) {
            if (g.id == ATTR_NAME) named = g.size == strlen(name) && !memcmp(g.data, name, g.size);
            if (g.id == ATTR_G) {
                inner = fanin__wire_inside(&g);
                found = true;
            }
        }
        if (!named || !found) continue;
        *graph = inner;
        return true;
    }
    return false;
}

/* Calls back for every name that a node of the branch gives; false as soon as that says so. */
static bool each_name(fanin__wire graph, bool (*take)(void *, const fanin__wire_field *),
                      void *context) {
    fanin__wire_field node, f;
    while (fanin__wire_next(&graph, &node, NULL)) {
        if (node.id != GRAPH_NODE) continue;
        for (fanin__wire w = fanin__wire_inside(&node); fanin__wire_next(&w, &f, NULL);)
            if (f.id == NODE_OUTPUT && f.size > 0 && !take(context, &f)) return false;
    }
    return true;
}

static bool differs(void *context, const fanin__wire_field *name) {
    const fanin__wire_field *other = context;
    return other->size != name->size || memcmp(other->data, name->data, name->size) != 0;
}

typedef struct survey {
    onnx_reader *r;
    fanin__wire other;
    bool against_other;
    int count;
} survey;

/* Is a name free, in the graph and in the other branch? */
static bool is_free(void *context, const fanin__wire_field *name) {
    survey *s = context;
    fanin__wire_field copy = *name;
    if (++s->count > MOST_NAMES) return false;
    int value = fanin__graph_find_value(s->r->b, fanin__onnx_text(s->r, name));
    if (value >= 0 && fanin__graph_is_defined(s->r->b, value)) return false;
    return !s->against_other || each_name(s->other, differs, &copy);
}

/* Only nodes and as many outputs as the If has: names must not clash, and a branch's own initialisers would
 * have no place in a file that is written again. */
static bool is_plain(fanin__wire graph, int outputs) {
    fanin__wire_field f;
    int found = 0;
    if (graph.end - graph.at > MOST_BYTES) return false;
    while (fanin__wire_next(&graph, &f, NULL)) {
        if (f.id == GRAPH_INITIALIZER || f.id == GRAPH_SPARSE || f.id == GRAPH_INPUT) return false;
        found += f.id == GRAPH_OUTPUT;
    }
    return found == outputs;
}

bool fanin__onnx_find_branches(onnx_reader *r, fanin__wire node, int outputs,
                               fanin__wire branches[2]) {
    if (!find_branch(node, "then_branch", &branches[0]) ||
        !find_branch(node, "else_branch", &branches[1]) || !is_plain(branches[0], outputs) ||
        !is_plain(branches[1], outputs))
        return false;
    survey first = {.r = r, .other = branches[1], .against_other = true}, second = {.r = r};
    return each_name(branches[0], is_free, &first) && each_name(branches[1], is_free, &second);
}

int fanin__onnx_read_branch(onnx_reader *r, fanin__wire graph, int *outputs) {
    fanin__wire_field f, g;
    int count = 0;
    for (fanin__wire w = graph; fanin__wire_next(&w, &f, NULL);)
        if (f.id == GRAPH_NODE) fanin__onnx_node(r, &f);
    for (fanin__wire w = graph; fanin__wire_next(&w, &f, NULL);) {
        if (f.id != GRAPH_OUTPUT) continue;
        fanin__wire_field name = {.data = (const unsigned char *)""};
        for (fanin__wire i = fanin__wire_inside(&f); fanin__wire_next(&i, &g, NULL);)
            if (g.id == INFO_NAME) name = g;
        outputs[count++] = fanin__graph_reference_n(r->b, name.data, name.size);
    }
    return count;
}
