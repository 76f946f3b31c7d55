/* layers.h - which nodes of a graph are its weighted layers, and what surrounds each. */
#ifndef FANIN_SRC_PROBE_LAYERS_H
#define FANIN_SRC_PROBE_LAYERS_H

#include "base/base.h"
#include "fanin/activation.h"
#include "fanin/graph.h"

/* Values by index in the graph, -1: none. */
typedef struct fanin__layer {
    int node;
    int weight; /* the initialiser */
    int output; /* s: bias included */
    int act_input,
        act_output;       /* of the activation that follows, past norms and residual adds; no output
                                  where it is spelled out in several nodes */
    int norm_output;      /* of the batch norm that reads `output` */
    bool rows_are_inputs; /* stored (in, out): units are columns */
    char act_text[96];    /* "": none */
    fanin_activation *act; /* NULL: none, or not known */
    struct {
        double largest;     /* on [-8, 8] */
        bool flat, bounded; /* has parts of slope 0; goes level on both sides */
    } act_slope;
} fanin__layer;

fanin_status fanin__layers_find(const fanin_graph *graph, fanin__layer **layers, int *count,
                                fanin_err *err);
/* Values that figures are read from (some twice), for fanin_program_options.keep; the caller frees. NULL: no memory. */
int *fanin__layers_values(const fanin__layer *layers, int count, int *values);
void fanin__layers_free(fanin__layer *layers, int count);

#endif
