/* plan.h - the plan inside. */
#ifndef FANIN_SCHEME_PLAN_H
#define FANIN_SCHEME_PLAN_H

#include <pthread.h>

#include "fanin/compat.h"
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
    bool compat;          /* a framework's stream: serial, drawn whole at the first fill */
    pthread_mutex_t lock; /* guards `drawn` */
    void **drawn;         /* by row, in the row's dtype; NULL: not yet */
};

/* ---- auto.c ---- */
/* Gives row `row` its rule; target: of its layer's second moment, NaN. */
typedef fanin_status fanin__auto_row(void *ctx, int row, const char *rule, const char *reason,
                                     double target);
/* Decides the open rows of a plan whose other rows are decided. UNSUPPORTED names the operator that has no
 * signal rule. */
fanin_status fanin__auto_plan(fanin_plan *plan, const bool *open, fanin__auto_row *set, void *ctx,
                              fanin_err *err);

/* ---- compat.c ---- */
fanin_status fanin__plan_fill_compat(const fanin_plan *plan, int i, uint64_t first, size_t n,
                                     fanin_dtype dtype, void *out, fanin_err *err);
void fanin__plan_forget(fanin_plan *plan);

/* ---- torch_model.c ---- */
/* What the built-in's class in torchvision does behind its modules' constructors; NULL: nothing. */
const fanin_torch_recipe *fanin__torch_recipe_of(const fanin_graph *graph);
/* The same as lines of a scheme. */
fanin_status fanin__torch_recipe_lines(const fanin_torch_recipe *recipe, fanin__scheme *scheme,
                                       fanin_err *err);

#endif
