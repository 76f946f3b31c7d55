/* recognise.h - the graph's patterns, found from their nodes: what a tensor means to a norm or an attention that
 * is spelled out. */
#ifndef FANIN_SCHEME_RECOGNISE_H
#define FANIN_SCHEME_RECOGNISE_H

#include "base/base.h"
#include "fanin/scheme.h"

typedef struct fanin__recognised {
    fanin_patterns *patterns;
    int *by_node; /* index of the finding that covers it, -1 */
} fanin__recognised;

fanin_status fanin__recognise(const fanin_graph *graph, fanin__recognised *r, fanin_err *err);
void fanin__recognised_fini(fanin__recognised *r);
/* The finding that covers node `node`, NULL: none. */
const fanin_pattern *fanin__recognised_at(const fanin__recognised *r, int node);
/* Layer norm to L2 norm. */
bool fanin__is_norm(const fanin_pattern *p);
/* The attention that node `node` makes q, k or v for, NULL: none. */
const fanin_pattern *fanin__recognised_projection(const fanin__recognised *r, int node);
/* What the plan says about a tensor beside its class; nothing where no pattern takes part. */
void fanin__role_of(const fanin__recognised *r, const fanin_graph *graph,
                    const fanin_tensor_info *info, fanin__text *out);

#endif
