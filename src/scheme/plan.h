/* plan.h - the plan inside. */
#ifndef FANIN_SCHEME_PLAN_H
#define FANIN_SCHEME_PLAN_H

#include "scheme/scheme.h"

struct fanin_plan {
    const fanin_graph *graph;
    fanin_tensors *tensors;
    fanin__scheme scheme;
    fanin_plan_row *rows; /* as tensors->items */
    int count;
    char **texts; /* rule_text and reason of every row: 2 * count */
    uint64_t seed;
    char *stream;
    fanin__text notes;
    char hash[17];
};

#endif
