/* replicas.h - a program of many networks: who computes which of them, and in what memory.
 *
 * The R replicas are cut into blocks of `lanes`. A block is computed by one thread in an arena of its
 * own, sized to stay in that core's cache, where the replica is the innermost axis (vmap.h). Callers see
 * arrays with the replica outermost; they are transposed into and out of the arena around each run. Who
 * takes many steps (train/replicas.c) works on the arena and transposes at the two ends only. */
#ifndef FANIN_SRC_ENGINE_REPLICAS_H
#define FANIN_SRC_ENGINE_REPLICAS_H

#include <stdatomic.h>

#include "engine/program.h"

enum { FANIN__LANES_MIN = 16, FANIN__LANES_MAX = 512 };

/* One thread's arena and the steps over it. */
typedef struct fanin__lanes {
    fanin__steps plan;
    fanin__root *roots;
    atomic_flag busy;
} fanin__lanes;

struct fanin__replicas {
    size_t count, lanes, blocks; /* the last block may be filled in part */
    fanin__ir ir;
    char *many;     /* by node of the program's ir: has an axis of replicas */
    int *node_of;   /* by the same: node of ours */
    int *root_node; /* by root of the program: node of ours */
    char *root_many;
    char *visible;  /* one block; in it, what callers see: */
    void **leaves;  /* by node of the program's ir, NULL for what is no leaf */
    void **results; /* by root */
    fanin__lanes *arenas;
    size_t arena_count;
};

/* From a program whose ir and roots are complete. NOMEM, UNSUPPORTED as fanin__vmap. */
fanin_status fanin__replicas_create(fanin_program *program, fanin_err *err);
void fanin__replicas_destroy(struct fanin__replicas *replicas);
/* One pass of all replicas over what callers see. */
fanin_status fanin__replicas_run(fanin_program *program, fanin_err *err);
fanin_buffer fanin__replicas_leaf(const fanin_program *program, int node);
fanin_buffer fanin__replicas_result(const fanin_program *program, int root);

/* ---- a block at a time ---- */

/* An arena that nobody uses; waits for one while there is none. */
fanin__lanes *fanin__lanes_claim(const fanin_program *program);
void fanin__lanes_release(fanin__lanes *lanes);
/* All steps. `first`: replica in lane 0; `run`: number of the pass (masks of dropout). */
fanin_status fanin__lanes_run(const fanin_program *program, fanin__lanes *lanes, uint64_t first,
                              uint64_t run, fanin_err *err);

/* `count` elements a replica, the lane innermost; of a shared leaf just these elements. */
typedef struct fanin__lanes_array {
    void *data; /* NULL: there is none */
    size_t count;
    bool many;
} fanin__lanes_array;
typedef enum fanin__lanes_what {
    FANIN__LANES_WEIGHT, /* number i, as the public accessors count */
    FANIN__LANES_GRADIENT,
    FANIN__LANES_STATISTIC,
    FANIN__LANES_DIRECTION,
    FANIN__LANES_CURVATURE,
    FANIN__LANES_INPUT,
    FANIN__LANES_OUTPUT,
    FANIN__LANES_TARGET, /* the one */
    FANIN__LANES_LOSS
} fanin__lanes_what;
fanin__lanes_array fanin__lanes_get(const fanin_program *program, const fanin__lanes *lanes,
                                    fanin__lanes_what what, int i);

/* count rows of `lanes` elements of `size` bytes, and `present` rows of count: to[i][l] = from[l][i] and back.
 * Lanes behind the present ones become 0. */
void fanin__lanes_gather(size_t lanes, size_t present, size_t count, size_t size, const void *from,
                         void *to);
void fanin__lanes_scatter(size_t lanes, size_t present, size_t count, size_t size, const void *from,
                          void *to);

/* Fast kernels for the steps of such a plan (fast_lanes.c). */
void fanin__fast_choose_lanes(fanin__steps *plan);

#endif
