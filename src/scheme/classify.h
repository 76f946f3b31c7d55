/* classify.h - how initialisers are followed to the operators that use them. */
#ifndef FANIN_SCHEME_CLASSIFY_H
#define FANIN_SCHEME_CLASSIFY_H

#include "base/base.h"
#include "fanin/scheme.h"
#include "graph/wiring.h"
#include "scheme/recognise.h"

/* ---- trace.c: from an initialiser to its uses --------------------------------------------------- */

/* A tensor seen through views: which stored axis each axis is. */
typedef struct fanin__seen {
    int value, rank;              /* rank -1: lost */
    int64_t dims[FANIN_MAX_RANK]; /* -1: not known */
    int axis[FANIN_MAX_RANK];     /* stored axis, -1: none */
    bool part;                    /* a slice of it */
} fanin__seen;

typedef struct fanin__use {
    int node, slot;
    fanin__seen seen;
} fanin__use;

enum { FANIN__MAX_USES = 64 };

/* Operators with live results (or outputs of the graph) that `value` reaches; at most
 * FANIN__MAX_USES are listed, *total counts them all. Returns the number listed. */
int fanin__trace(fanin__wiring *w, int value, fanin__use *uses, int *total);

/* ---- classify_use.c: what one use makes of an initialiser --------------------------------------- */

typedef enum fanin__strength { /* larger says more */
                               FANIN__NOTHING,
                               FANIN__KEPT,
                               FANIN__VECTOR,
                               FANIN__PLACED,
                               FANIN__NORMAL,
                               FANIN__MATRIX,
                               FANIN__TABLE
} fanin__strength;

typedef struct fanin__verdict {
    fanin__strength strength;
    fanin_class cls;
    int node;  /* the operator that uses it; of the caller */
    int layer; /* of a bias: the node whose weight gives the fans; -1 */
    int out_axis, in_axis;
    int64_t groups;
    int parts;
    double fan_in, fan_out;
} fanin__verdict;

#define FANIN__WEIGHTED "Conv|ConvTranspose|Gemm|MatMul|Einsum"

fanin__verdict fanin__judge_use(const fanin__wiring *w, const fanin__recognised *seen,
                                const fanin__use *use, const fanin_value *v);
/* Product of the axes behind the first two: a kernel's positions. */
double fanin__taps(const fanin_value *v);

/* ---- follow.c: what comes behind and before a layer ---------------------------------------------- */

/* The activation behind node's first output, as text into buf (96 bytes suffice) or static; NULL: none.
 * *argument is the value that it is applied to, *result what it makes. Looks through norms. */
const char *fanin__follow_activation(fanin__wiring *w, const fanin__recognised *r,
                                     const fanin_node *node, char *buf, size_t size, int *argument,
                                     int *result);
enum { FANIN__IS_Q = 1, FANIN__IS_K = 2, FANIN__IS_V = 4 };
/* Which inputs of attention the node's output becomes: a set of the above. */
int fanin__follow_attention(fanin__wiring *w, const fanin_node *node);
/* Whether value `x` comes out of attention with nothing but moves in between. */
bool fanin__from_attention(const fanin__wiring *w, int x);
/* Marks, in `made` (by node), the layers whose output is an output of the graph but for moves,
 * pools and activations. */
void fanin__mark_outputs(const fanin__wiring *w, bool *made);

/* ---- template.c ----------------------------------------------------------------------------------- */

fanin_status fanin__classify_template(const fanin_graph *graph, const char *layout,
                                      fanin_tensor_info *items, int count, fanin_err *err);

#endif
