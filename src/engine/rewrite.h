/* rewrite.h - groups of nodes that a program computes as one: activations that are spelled out. */
#ifndef FANIN_ENGINE_REWRITE_H
#define FANIN_ENGINE_REWRITE_H

#include "operator/onnx.h"

typedef struct fanin__rewrites {
    fanin_patterns *patterns;
    int *ends_at; /* by node: the finding that it ends, -1: none; -2: inside one, left out */
} fanin__rewrites;

/* Nothing is rewritten where `wanted` is false, nor what makes one of the `kept` values on its way. NOMEM. */
fanin_status fanin__rewrites_find(const fanin_graph *graph, bool wanted, const int *kept, int count,
                                  fanin__rewrites *r, fanin_err *err);
void fanin__rewrites_fini(fanin__rewrites *r);
/* Lowers node `node`, or the group that it ends, or nothing inside one. */
void fanin__rewrites_lower(const fanin__rewrites *r, fanin__lowering *l, int node);

#endif
