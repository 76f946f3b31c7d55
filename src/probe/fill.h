/* fill.h - what a check runs on. */
#ifndef FANIN_SRC_PROBE_FILL_H
#define FANIN_SRC_PROBE_FILL_H

#include "fanin/probe.h"

typedef struct fanin__subject {
    const fanin_graph *graph;
    fanin_plan
        *plan; /* drawn anew for the seed; NULL: the options' weights, or those of the graph */
    const fanin_signal_options *options;
    const char *loss;
    uint64_t seed; /* of weights, inputs and targets */
} fanin__subject;

/* Fills all that a program of this graph has: programs made for different ends get the same numbers. */
fanin_status fanin__fill_program(const fanin__subject *subject, fanin_program *program,
                                 fanin_err *err);

#endif
