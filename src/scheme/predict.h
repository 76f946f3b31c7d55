/* predict.h - the signal rules applied to a graph and the laws of its weights. */
#ifndef FANIN_SCHEME_PREDICT_H
#define FANIN_SCHEME_PREDICT_H

#include "engine/program.h"
#include "fanin/scheme.h"
#include "operator/onnx.h"
#include "operator/signal.h"

/* A tensor's law: given (`fixed`), or chosen where the signal first meets it. */
typedef struct fanin__law_of {
    bool fixed, chosen;
    bool state; /* a use of it saw zeros: what a recurrent network starts from */
    /* Unit of a state's weight at its last use, and at that of the run before; 0. */
    double now, late;
    double mean, var, centered;
    double unit, stream, target, common; /* of a weighted layer; NaN: none. See fanin__weight_use */
    /* Squared gradient that reaches what feeds the layer, over that of its output times target, had its rows their
     * means; NaN: not of it alone. */
    double flow;
    int node, input; /* of a weighted layer where it is first used */
    int uses;
    char why[96];
} fanin__law_of;

typedef struct fanin__analysis {
    const fanin_graph *graph;
    const fanin_tensors *tensors;
    fanin__loss loss;
    int *tensor_of;      /* by value of the graph, -1: none */
    fanin__law_of *laws; /* by tensor */
    const fanin_program *program;
    double classes; /* of the output; NaN without cross entropy */
    bool again;     /* a weight was chosen anew behind its first use */
    bool balance;   /* each run tells balance.c of its gradients */
    double slope;   /* decades a layer of the gradient's norm */
    double drop;    /* decades from the last layer to the first */
} fanin__analysis;

/* Second moment that a weighted layer's output should have, and its name for people. */
double fanin__auto_target(const fanin__analysis *a, const fanin_tensor_info *info,
                          const fanin__weight_use *use, char *why, size_t size);
/* Chooses the law of what is not fixed. */
void fanin__auto_choose(fanin__analysis *a, const fanin_tensor_info *info, fanin__law_of *law,
                        const fanin__weight_use *use);
/* Runs the rules until gradients keep up: sets `centered` of the laws that are not fixed. Errors of
 * fanin__analysis_run. */
fanin_status fanin__auto_balance(fanin__analysis *a, fanin_err *err);
/* After a run forward and backward: a->slope, and `flow` of the laws. NOMEM. */
fanin_status fanin__balance_read(fanin__analysis *a, const fanin__signal *s, fanin_err *err);
/* The tensor that weight number `weight` of the program is; NULL for -1. */
const fanin_tensor_info *fanin__analysis_tensor(const fanin__analysis *a, int weight);

fanin_status fanin__analysis_create(const fanin_graph *graph, const fanin_tensors *tensors,
                                    const char *loss, fanin__analysis *a, fanin_err *err);
void fanin__analysis_fini(fanin__analysis *a);
/* Runs the rules; `out` may be NULL. */
fanin_status fanin__analysis_run(fanin__analysis *a, const fanin_predict_options *options,
                                 fanin_prediction *out, fanin_err *err);

#endif
