/* follow.c - what stands behind and before a layer: activations, attention, the network's output. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "operator/activation_node.h"
#include "scheme/classify.h"

#define WEIGHTED "Conv|ConvTranspose|Gemm|MatMul|Einsum"
#define NORMS \
    "BatchNormalization|InstanceNormalization|LayerNormalization|GroupNormalization|" \
    "LpNormalization"

enum { QUEUE = 128 };

/* ---- a walk over values, each met once --------------------------------------------------------- */

typedef struct queue {
    fanin__wiring *w;
    int values[QUEUE], head, tail;
} queue;

static void start(queue *q, fanin__wiring *w) {
    *q = (queue){.w = w};
    w->walk++;
}

static void push(queue *q, int value) {
    if (value < 0 || q->tail == QUEUE || q->w->mark[value] == q->w->walk) return;
    q->w->mark[value] = q->w->walk;
    q->values[q->tail++] = value;
}

static void push_outputs(queue *q, const fanin_node *n) {
    for (int k = 0; k < n->output_count; k++) push(q, n->outputs[k]);
}

/* ---- activations ------------------------------------------------------------------------------- */

/* Activations that are one node. */
static const char *named_activation(const fanin_graph *g, const fanin_node *n, char *buf,
                                    size_t size) {
    if (fanin__is(n, "Clip") && n->input_count > 2 &&
        fanin__constant_number(g, n->inputs[1]) == 0 &&
        fanin__constant_number(g, n->inputs[2]) == 6)
        return "relu6";
    return fanin__node_activation(n, buf, size);
}

static bool passes_activation(const fanin__wiring *w, const fanin_node *n, int slot) {
    if (fanin__is(n, FANIN__MOVES
                  "|" NORMS
                  "|Add|MaxPool|AveragePool|GlobalAveragePool|GlobalMaxPool|Concat|Pad|LRN"))
        return slot == 0 || fanin__is(n, "Add|Concat");
    if (!fanin__is(n, "Mul|Div|Sub") || n->input_count != 2) return false;
    int other = n->inputs[1 - slot]; /* an elementary norm's scale */
    return other >= 0 && !w->live[other];
}

const char *fanin__follow_activation(fanin__wiring *w, const fanin__recognised *r,
                                     const fanin_node *node, char *buf, size_t size, int *argument,
                                     int *result) {
    queue q;
    *argument = *result = -1;
    start(&q, w);
    push(&q, node->output_count > 0 ? node->outputs[0] : -1);
    for (; q.head < q.tail; q.head++) {
        int x = q.values[q.head];
        const char *found = NULL;
        for (int i = w->first[x]; i < fanin__readers_end(w, x); i++) {
            int at = w->readers[i].node;
            const fanin_node *n = &w->graph->nodes[at];
            const fanin_pattern *p = fanin__recognised_at(r, at);
            bool begins = p && p->spelled && p->input == x;
            if (begins && p->kind == FANIN_PATTERN_ACTIVATION) {
                found = p->activation; /* of several that read x a whole function says most */
                *result = p->output;
                break;
            }
            if (!found && w->readers[i].slot == 0) {
                found = named_activation(w->graph, n, buf, size);
                if (found) *result = n->output_count > 0 ? n->outputs[0] : -1;
            }
            if (begins && fanin__is_norm(p))
                push(&q, p->output);
            else if (passes_activation(w, n, w->readers[i].slot))
                push(&q, n->outputs[0]);
        }
        if (!found) continue;
        *argument = x;
        return found;
    }
    return NULL;
}

/* ---- attention --------------------------------------------------------------------------------- */

static bool before_softmax(fanin__wiring *w, int value) {
    /* A walk inside a walk: few steps, each value has one reader here. */
    for (int step = 0; step < 16 && value >= 0; step++) {
        int next = -1;
        for (int i = w->first[value]; i < fanin__readers_end(w, value); i++) {
            const fanin_node *n = &w->graph->nodes[w->readers[i].node];
            if (fanin__is(n, "Softmax|LogSoftmax")) return true;
            if (next < 0 && fanin__is(n, FANIN__MOVES "|Mul|Div|Add|Sub|Where|Clip|Tanh|Expand") &&
                n->output_count > 0)
                next = n->outputs[0];
        }
        value = next;
    }
    return false;
}

static bool after_softmax(const fanin__wiring *w, int value) {
    const fanin_graph *g = w->graph;
    for (int step = 0; step < 16 && value >= 0 && g->values[value].producer >= 0; step++) {
        const fanin_node *n = &g->nodes[g->values[value].producer];
        if (fanin__is(n, "Softmax|LogSoftmax")) return true;
        if (!fanin__is(n, FANIN__MOVES "|Where|Mul|Expand") || n->input_count < 1) return false;
        int first = n->inputs[0], last = n->inputs[n->input_count - 1];
        if (fanin__is(n, "Where")) first = last;
        value = first >= 0 && w->live[first] ? first : last;
    }
    return false;
}

static int role(fanin__wiring *w, const fanin_node *n, int slot) {
    if (fanin__is(n, "Attention|MultiHeadAttention|GroupQueryAttention"))
        return slot == 0 ? FANIN__IS_Q : slot == 1 ? FANIN__IS_K : slot == 2 ? FANIN__IS_V : 0;
    if (!fanin__is(n, "MatMul|Einsum") || n->input_count != 2) return 0;
    int other = n->inputs[1 - slot];
    if (other < 0 || !w->live[other]) return 0;
    if (after_softmax(w, other)) return FANIN__IS_V;
    if (n->output_count > 0 && before_softmax(w, n->outputs[0]))
        return slot == 0 ? FANIN__IS_Q : FANIN__IS_K;
    return 0;
}

/* Moves, biases, scales, rotary positions: arithmetic whose other side is constant or comes from the
 * same projection. A residual addition is neither. */
static bool passes_attention(const fanin__wiring *w, const fanin_node *n, int slot) {
    if (fanin__is(n, FANIN__MOVES "|Slice|Split|Gather|Neg|Concat|Expand|Pad")) return true;
    if (fanin__is(n, NORMS)) return slot == 0;
    if (!fanin__is(n, "Add|Sub|Mul|Div") || n->input_count != 2) return false;
    int other = n->inputs[1 - slot];
    return other >= 0 && (!w->live[other] || w->mark[other] == w->walk);
}

int fanin__follow_attention(fanin__wiring *w, const fanin_node *node) {
    queue q;
    int found = 0;
    start(&q, w);
    push(&q, node->output_count > 0 ? node->outputs[0] : -1);
    for (; q.head < q.tail; q.head++) {
        int x = q.values[q.head];
        for (int i = w->first[x]; i < fanin__readers_end(w, x); i++) {
            const fanin_node *n = &w->graph->nodes[w->readers[i].node];
            if (!w->live[x]) continue;
            int r = role(w, n, w->readers[i].slot);
            found |= r;
            if (!r && passes_attention(w, n, w->readers[i].slot)) push_outputs(&q, n);
        }
    }
    return found;
}

bool fanin__from_attention(const fanin__wiring *w, int x) {
    const fanin_node *n = fanin__maker(w, x, FANIN__MOVES "|Slice|Concat");
    if (!n) return false;
    if (fanin__is(n, "Attention|MultiHeadAttention|GroupQueryAttention")) return true;
    if (!fanin__is(n, "MatMul|Einsum") || n->input_count != 2) return false;
    return (n->inputs[0] >= 0 && after_softmax(w, n->inputs[0])) ||
           (n->inputs[1] >= 0 && after_softmax(w, n->inputs[1]));
}

/* ---- the output -------------------------------------------------------------------------------- */

static bool passes_output(const fanin__wiring *w, const fanin_node *n) {
    if (fanin__is(n, FANIN__MOVES
                  "|Relu|Sigmoid|Tanh|Softmax|LogSoftmax|LeakyRelu|Elu|Softplus|Clip|Activation|"
                  "GlobalAveragePool|AveragePool|GlobalMaxPool|ReduceMean|Slice|Gather|Resize"))
        return true;
    if (!fanin__is(n, "Add|Mul|Div|Sub") || n->input_count != 2) return false;
    int a = n->inputs[0], b = n->inputs[1];
    return a >= 0 && b >= 0 && w->live[a] != w->live[b];
}

void fanin__mark_outputs(const fanin__wiring *w, bool *made) {
    const fanin_graph *g = w->graph;
    for (int i = 0; i < g->output_count; i++) {
        int value = g->outputs[i];
        for (int step = 0; step < 32 && value >= 0 && g->values[value].producer >= 0; step++) {
            int at = g->values[value].producer;
            const fanin_node *n = &g->nodes[at];
            if (fanin__is(n, WEIGHTED)) {
                made[at] = true;
                break;
            }
            if (!passes_output(w, n) || n->input_count < 1) break;
            bool second = n->input_count > 1 && n->inputs[0] >= 0 && !w->live[n->inputs[0]];
            value = n->inputs[second ? 1 : 0];
        }
    }
}
