/* wiring.h - who reads a value, and what a value depends on. */
#ifndef FANIN_GRAPH_WIRING_H
#define FANIN_GRAPH_WIRING_H

#include "base/base.h"
#include "fanin/graph.h"

typedef struct fanin__wiring {
    const fanin_graph *graph;
    int *first; /* readers of value v: readers[first[v]] .. readers[first[v + 1] - 1] */
    struct fanin__reader {
        int node, slot;
    } * readers;
    bool *live;  /* value depends on what the caller feeds (more than on its shape) */
    bool *shown; /* value is an output of the graph */
    int *mark;   /* scratch of walks, by value: the number of the walk that was here */
    int walk;
} fanin__wiring;

fanin_status fanin__wiring_create(const fanin_graph *graph, fanin__wiring *w, fanin_err *err);
void fanin__wiring_fini(fanin__wiring *w);
/* The constant that `value` is, with data: stored, or made by a Constant node; NULL otherwise. */
const fanin_value *fanin__constant(const fanin_graph *graph, int value);
/* Whole numbers of a constant; returns how many (at most max), -1 if it is not known. */
int fanin__constant_ints(const fanin_graph *graph, int value, int64_t *out, int max);
/* The same of a list that is attribute `name` in older opsets and operand `slot` in newer ones. */
int fanin__node_ints(const fanin_graph *graph, const fanin_node *node, const char *name, int slot,
                     int64_t *out, int max);
/* The one number of a scalar constant; NaN if it is not known. */
double fanin__constant_number(const fanin_graph *graph, int value);
/* End of the readers of `value` that a walk looks at: the first 1024, so that a value read by a million
 * nodes does not make every walk long. */
int fanin__readers_end(const fanin__wiring *w, int value);
bool fanin__is(const fanin_node *node, const char *ops); /* node's operator is in "Conv|Gemm" */
/* The node that makes `value`, looking behind operators that only move it; NULL if none. */
const fanin_node *fanin__maker(const fanin__wiring *w, int value, const char *behind);

#define FANIN__MOVES \
    "Identity|Cast|Reshape|Transpose|Squeeze|Unsqueeze|Flatten|Dropout|AlphaDropout"

#endif
