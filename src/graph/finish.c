/* finish.c - from builder to graph: every value that is read is defined, nodes in an order in which each
 * follows what it reads. */
#include <string.h>

#include "graph/builder.h"

/* A value that nothing defines is an error where a node or an output reads it. */
static void check_defined(fanin_graph_builder *b) {
    for (int i = 0; i < b->node_count; i++) {
        const fanin_node *n = &b->nodes[i];
        for (int k = 0; k < n->input_count; k++)
            if (n->inputs[k] >= 0 && !fanin__graph_is_defined(b, n->inputs[k]))
                fanin__graph_fail(b, FANIN_FORMAT,
                                  "node %d '%s' (%s) reads '%s', which nothing defines", i, n->name,
                                  n->op, b->values[n->inputs[k]].name);
    }
    for (int i = 0; i < b->output_count; i++)
        if (!fanin__graph_is_defined(b, b->outputs[i]))
            fanin__graph_fail(b, FANIN_FORMAT, "nothing defines the output '%s'",
                              b->values[b->outputs[i]].name);
}

/* Depth first from each node in the order given: what is in order stays in order. `state` counts the
 * inputs looked at, plus one; 0: not begun, -1: emitted. */
typedef struct sorter {
    int *state, *stack, *order;
    int depth, emitted;
} sorter;

static void visit(fanin_graph_builder *b, sorter *s, int root) {
    s->stack[s->depth++] = root;
    s->state[root] = 1;
    while (s->depth > 0) {
        int at = s->stack[s->depth - 1];
        const fanin_node *n = &b->nodes[at];
        int k = s->state[at] - 1, next = -1;
        while (k < n->input_count && next < 0) {
            int value = n->inputs[k++];
            int producer = value < 0 ? -1 : b->values[value].producer;
            if (producer >= 0 && s->state[producer] != -1) next = producer;
        }
        s->state[at] = k + 1;
        if (next < 0) {
            s->order[s->emitted++] = at;
            s->state[at] = -1;
            s->depth--;
        } else if (s->state[next] > 0) {
            fanin__graph_fail(b, FANIN_FORMAT, "nodes '%s' (%s) and '%s' (%s) lie on a cycle",
                              n->name, n->op, b->nodes[next].name, b->nodes[next].op);
            return;
        } else {
            s->state[next] = 1;
            s->stack[s->depth++] = next;
        }
    }
}

/* Puts the nodes into `order`, and tells the values. */
static bool reorder(fanin_graph_builder *b, const int *order) {
    bool same = true;
    for (int i = 0; i < b->node_count; i++) same = same && order[i] == i;
    if (same) return true;
    fanin_node *sorted = fanin_malloc((size_t)b->node_count * sizeof *sorted);
    if (!sorted) return false;
    for (int i = 0; i < b->node_count; i++) {
        sorted[i] = b->nodes[order[i]];
        for (int k = 0; k < sorted[i].output_count; k++)
            b->values[sorted[i].outputs[k]].producer = i;
    }
    fanin_free(b->nodes);
    b->nodes = sorted;
    return true;
}

static void sort_nodes(fanin_graph_builder *b) {
    size_t n = (size_t)b->node_count;
    int *scratch = fanin_calloc(3 * n + 1, sizeof *scratch);
    if (scratch) {
        sorter s = {.state = scratch, .stack = scratch + n, .order = scratch + 2 * n};
        for (int i = 0; i < b->node_count && fanin__graph_status(b) == FANIN_OK; i++)
            if (s.state[i] == 0) visit(b, &s, i);
    }
    if (!scratch || (fanin__graph_status(b) == FANIN_OK && !reorder(b, scratch + 2 * n)))
        fanin__graph_fail(b, FANIN_NOMEM, "no memory to sort %d nodes", b->node_count);
    fanin_free(scratch);
}

/* Moves everything into *g; what fails leaves the builder whole. */
static void move(fanin_graph_builder *b, fanin_graph *g) {
    fanin__arena *arena = &b->owner->arena;
    const char *notes = fanin__arena_strdup(arena, b->notes.data ? b->notes.data : "");
    int *inputs = fanin__arena_copy(arena, b->inputs, (size_t)b->input_count * sizeof *inputs);
    int *outputs = fanin__arena_copy(arena, b->outputs, (size_t)b->output_count * sizeof *outputs);
    if (!notes || !inputs || !outputs) {
        fanin__graph_fail(b, FANIN_NOMEM, "no memory to finish the graph");
        return;
    }
    *g = (fanin_graph){
        .name = b->name,
        .producer = b->producer,
        .opset = b->opset,
        .value_count = b->value_count,
        .node_count = b->node_count,
        .input_count = b->input_count,
        .output_count = b->output_count,
        .values = b->values,
        .nodes = b->nodes,
        .inputs = inputs,
        .outputs = outputs,
        .notes = notes,
        .owner = b->owner,
    };
    b->values = NULL;
    b->nodes = NULL;
    b->owner = NULL;
}

fanin_status fanin_graph_builder_finish(fanin_graph_builder *b, fanin_graph **graph,
                                        fanin_err *err) {
    *graph = NULL;
    if (fanin__graph_status(b) == FANIN_OK) check_defined(b);
    if (fanin__graph_status(b) == FANIN_OK) sort_nodes(b);
    fanin_graph *g = fanin_malloc(sizeof *g);
    if (!g) fanin__graph_fail(b, FANIN_NOMEM, "no memory to finish the graph");
    if (fanin__graph_status(b) == FANIN_OK) move(b, g);
    fanin_status status = fanin__graph_status(b);
    if (status == FANIN_OK) {
        *graph = g;
    } else {
        fanin_free(g);
        if (err) *err = b->err;
    }
    fanin_graph_builder_destroy(b);
    return status;
}
