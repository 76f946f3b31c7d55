/* pattern.h - the recognisers behind fanin_patterns_create and what they share. */
#ifndef FANIN_GRAPH_PATTERN_H
#define FANIN_GRAPH_PATTERN_H

#include "graph/arena.h"
#include "graph/wiring.h"

typedef struct fanin__finder {
    const fanin_graph *graph;
    fanin__wiring w;
    int *found_by; /* by node: index of the finding that covers it, -1 */
    fanin_pattern *items;
    int count, capacity;
    fanin__arena *arena; /* texts and lists of the result */
    long looks; /* evaluations left: a long chain of a hostile file must not make the search long */
    bool no_memory;
} fanin__finder;

/* A finding of `kind` with nothing known yet, valid until the next one; NULL: no memory. `nodes` is copied. */
fanin_pattern *fanin__pattern_add(fanin__finder *f, fanin_pattern_kind kind, const int *nodes,
                                  int node_count);
/* The finding that covers node `node`; NULL: none. */
const fanin_pattern *fanin__pattern_at(const fanin__finder *f, int node);

/* pattern_cone.c: activations, norms and softmaxes spelled out in elementwise nodes and reductions. */
void fanin__find_functions(fanin__finder *f);
/* pattern_number.c: the number that `value` is: a constant, or arithmetic on constants and known sizes; NaN.
 * `row`, if above 0, is what the size of an axis that is not known is taken for; that axis, as the file counts
 * it, goes to *axis (INT64_MIN: none met yet; two different ones give NaN). axis may be NULL. */
double fanin__pattern_number(const fanin__finder *f, int value, double row, int64_t *axis);
/* Element i (negative: from the end) of a list of whole numbers that may be put together by Concat; -1: not known.
 * *count (may be NULL): how long the list is, -1: not known. */
int64_t fanin__pattern_element(const fanin__finder *f, int value, int i, int *count);
/* pattern_norm.c: norms that are operators, batch norms' form, group norms around instance norms. After the
 * above. */
void fanin__find_norms(fanin__finder *f);
/* pattern_attention.c. After the norms, which it looks through. */
void fanin__find_attention(fanin__finder *f);
/* pattern_export.c: tied tables, folded norms, quantised and fused operators. */
void fanin__find_exports(fanin__finder *f);
/* pattern_text.c: what a finding is called, without its count: "layer norm|layer norms|spelled out, eps 1e-5",
 * singular, plural and what stands in parentheses. */
void fanin__pattern_words(const fanin_graph *g, const fanin_pattern *p, fanin__text *out);

/* ---- values of functions ------------------------------------------------------------------------- */

enum { FANIN__CONE_NODES = 40, FANIN__CONE_PARAMS = 2, FANIN__CONE_CONSTANTS = 24 };

/* Nodes that make `top` from the single live value x, constants and at most two stored tensors. */
typedef struct fanin__cone {
    int nodes[FANIN__CONE_NODES], node_count;
    int x;                                            /* -1: not grown */
    int params[FANIN__CONE_PARAMS], param_count;      /* values */
    int numbers[FANIN__CONE_CONSTANTS], number_count; /* values that are single numbers */
    int64_t sized;  /* the axis whose size they know; INT64_MIN: none */
    int axis_count; /* -1: reductions along different axes */
    int64_t axes[FANIN_MAX_RANK];
    bool reduces, bends; /* has reductions; has a function that is no polynomial */
    bool coarse;         /* a constant in half precision */
} fanin__cone;

/* y of the last node where x is the row x[n] and params are p[0..][n]; false: an operator or shape without a rule. */
bool fanin__cone_eval(const fanin__finder *f, const fanin__cone *c, int n, const double *x,
                      const double *const *p, double *y, bool *no_memory);

/* What the function is. NULL: none of the activations that are looked for. */
const char *fanin__match_activation(const fanin__finder *f, const fanin__cone *c, bool *no_memory);
typedef struct fanin__row_match {
    fanin_pattern_kind kind; /* LAYER_NORM, RMS_NORM, L2_NORM or SOFTMAX */
    double eps;
    int scale, shift; /* index of params, -1 */
} fanin__row_match;
bool fanin__match_row(const fanin__finder *f, const fanin__cone *c, fanin__row_match *m,
                      bool *no_memory);

#endif
