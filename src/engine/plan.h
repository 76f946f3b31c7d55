/* plan.h - from a list of primitives to steps over planned memory.
 *
 * What is asked for (roots) decides what is computed. Views become tensors on their operand's
 * memory; a consumer that cannot read them gets a packed copy, made once. A storage is one block of
 * memory with a lifetime in steps; storages whose lifetimes do not meet share bytes, and elementwise
 * steps write over an operand that nobody reads afterwards. Between convolutions images may lie in
 * channels-last order (layout.c). */
#ifndef FANIN_SRC_ENGINE_PLAN_H
#define FANIN_SRC_ENGINE_PLAN_H

#include "operator/ir.h"

typedef struct fanin__storage {
    size_t size;     /* bytes */
    int first, last; /* steps that write and read it; pinned ones live for ever */
    bool pinned;
    bool constant;   /* a constant of the ir: not ours to write */
    int in_place_of; /* storage whose bytes it takes over, -1 */
    size_t offset;
    char *data;
} fanin__storage;

/* A node's value, or a packed copy of it. */
typedef struct fanin__slot {
    int node, storage, packed; /* slot of the packed copy, -1 */
    int last;                  /* slot of the channels-last copy, -1 */
    int step;                  /* that computes it; -1: leaf or view */
    int viewed;                /* slot that a view looks at, -1 */
    fanin__tensor tensor;
} fanin__slot;

typedef struct fanin__step fanin__step;
struct fanin__step {
    const fanin__node *node;
    fanin__kernel kernel;
    int node_id, out_slot, in_count;
    bool rectify;  /* a batch norm that does the relu behind it as well */
    bool descends; /* a gradient's product that goes into its weight: W += -rate * product */
    bool turned;   /* node, operands and result have their channel axis at the end: layout.c */
    bool moves;    /* depends on a direction */
    int *in_slots;
    fanin__tensor *in, out;
    /* A fast implementation, if one was found (fast.c). */
    fanin_status (*fast)(fanin__step *step, void *scratch, fanin_err *err);
    void *fast_state;
    void (*fast_destroy)(void *state);
};

typedef struct fanin__steps {
    fanin__ir *ir;
    fanin__slot *slots;
    int slot_count, slot_capacity;
    int *slot_of; /* by node, -1 if it is not needed */
    fanin__storage *storages;
    int storage_count, storage_capacity;
    fanin__step *steps;
    int step_count, step_capacity;
    char *live;
    char *arena;
    size_t arena_size, leaf_size;
    double rate;        /* of the steps that descend */
    bool channels_last; /* set before creation: chains of convolutions may choose that order */
    /* Likewise, 0: none. Number of the first leaf that is a direction: what other steps make for those that depend on
     * one is kept from run to run. */
    int first_direction;
    fanin_status failed;
} fanin__steps;

/* Something that must be readable after a run. `own`: in packed memory shared with no other root. `as_it_lies`:
 * channels-last order will do.
 * `descend`: a gradient of `weight` that goes straight into it, if it is a product that nothing else
 * reads and the weight was read for the last time; its slot is then -1. */
typedef struct fanin__root {
    int node;
    bool own, as_it_lies;
    int slot; /* filled in */
    bool descend;
    int weight; /* node */
} fanin__root;

/* Operands that a step wants in channels-last order, whether its result is, and whether it is
 * turned. */
typedef struct fanin__order {
    unsigned operands;
    bool out, turned;
} fanin__order;
fanin__order fanin__order_of(const fanin__steps *plan, const fanin__node *node, const int *in);
/* Are there convolutions large enough for it, and kernels on this processor? */
bool fanin__channels_last_pays(const fanin__ir *ir);
fanin__tensor fanin__tensor_last(const fanin__node *node, void *data);
/* `only`: and not row-major at the same time, as with one channel or one position. */
bool fanin__tensor_is_last(const fanin__tensor *t);
bool fanin__tensor_only_last(const fanin__tensor *t);
void fanin__turn_tensor(fanin__tensor *t);
const fanin__node *fanin__turn_node(fanin__ir *ir, const fanin__node *node);

/* NOMEM. fini in every case. The ir must outlive it and not change. */
fanin_status fanin__steps_create(fanin__steps *plan, fanin__ir *ir, fanin__root *roots,
                                 int root_count, fanin_err *err);
void fanin__steps_fini(fanin__steps *plan);

/* Offsets for all storages; returns bytes (memory.c). */
fanin_status fanin__memory_plan(fanin__storage *storages, int count, int steps, size_t *bytes);

#endif
