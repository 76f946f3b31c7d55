/* program.h - what a program is made of. */
#ifndef FANIN_SRC_ENGINE_PROGRAM_H
#define FANIN_SRC_ENGINE_PROGRAM_H

#include "engine/plan.h"
#include "fanin/engine.h"
#include "operator/gradient.h"
#include "operator/onnx.h"

/* A weight or an input: its leaf, and the roots of what belongs to it. */
typedef struct fanin__leaf_info {
    int value, node, gradient, statistic; /* roots from the third on; -1: none */
    int direction, curvature;             /* node, root */
    bool present;
} fanin__leaf_info;

struct fanin_program {
    const fanin_graph *graph;
    fanin_program_options options;
    const fanin__loss *loss;
    fanin__ir ir;
    fanin__steps plan;
    fanin__root *roots;
    int root_count, root_capacity;
    fanin__leaf_info *weights, *inputs;
    int weight_count, input_count;
    int target, target_classes; /* node, -1: none; number of classes */
    int loss_root;
    int *outputs, *values, *gradients; /* roots by output and by value */
    void *scratch;                     /* of the fast kernels */
    uint64_t runs;
};

/* Chooses fast implementations for the steps of a float32 program (fast.c); steps without one keep
 * the reference kernel. *scratch_size: the most that any of them wants. */
fanin_status fanin__fast_choose(fanin__steps *plan, size_t *scratch_size, fanin_err *err);

/* All steps once (run.c). */
fanin_status fanin__steps_run(fanin_program *program, fanin_err *err);

#endif
