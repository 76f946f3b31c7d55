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

struct fanin__replicas;

struct fanin_program {
    const fanin_graph *graph;
    fanin_program_options options;
    fanin__loss loss; /* emit NULL: none */
    fanin__ir ir;
    fanin__steps plan;
    fanin__root *roots;
    int root_count, root_capacity;
    fanin__leaf_info *weights, *inputs, inner; /* inner.node -1: none */
    int weight_count, input_count;
    int target, target_classes; /* node, -1: none; number of classes */
    int cotangent;              /* node, -1: none */
    int loss_root, tangent_root;
    int *outputs, *values, *gradients; /* roots by output and by value */
    void *scratch;                     /* of the fast kernels */
    int direction_count;
    uint64_t runs;
    bool ran;
    struct fanin__replicas *replicas; /* NULL: one network (replicas.h) */
};

/* Keeps a node's value after every run; `own`: in memory of its own. The root, or -1. */
int fanin__program_root(fanin_program *program, int node, bool own);
/* A leaf of the shape of `node` that callers fill. No two leaves are equal: those of inputs and the target
 * are numbered by what they are, these from the first free number on. */
int fanin__program_direction(fanin_program *program, int node);
/* Root of the derivative of node `output` along directions in the options' leaves (tangent.c). `statistics`
 * by graph value: -1 for what has a gradient. */
void fanin__program_add_tangent(fanin_program *program, int output, const int *statistics);

/* Finaliser of SplitMix64: a bijection that mixes every bit into every other. */
static inline uint64_t fanin__mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniforms on [0, 1) of 24 bits: element i of stream s in run r is a function of (seed, r, s, i) only. */
static inline uint64_t fanin__uniform_key(uint64_t seed, uint64_t run, int stream) {
    uint64_t key = fanin__mixed(seed + UINT64_C(0x9e3779b97f4a7c15) * (run + 1));
    return fanin__mixed(key ^ fanin__mixed((uint64_t)stream + 1));
}
static inline double fanin__uniform_at(uint64_t key, uint64_t i) {
    return (double)(fanin__mixed(key + UINT64_C(0x9e3779b97f4a7c15) * (i + 1)) >> 40) * 0x1p-24;
}

/* Chooses fast implementations for the steps of a float32 program (fast.c); steps without one keep
 * the reference kernel. *scratch_size: the most that any of them wants. */
fanin_status fanin__fast_choose(fanin__steps *plan, size_t *scratch_size, fanin_err *err);

/* The primitives only, for who looks at them without running: no plan, no memory for values. nodes: by value
 * of the graph its node, -1: none. */
fanin_status fanin__program_lower(const fanin_graph *graph, const fanin_program_options *options,
                                  int *nodes, fanin_program **program, fanin_err *err);

#endif
