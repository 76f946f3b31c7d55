/* plan.h - what a plan is made of; shared by the dnnl_*.c files only.
 *
 * One oneDNN primitive with its arguments. An argument is a buffer of the caller in a plain layout
 * and, where the primitive wants another one, a place in the scratch block and a reorder. */
#ifndef FANIN_SRC_COMPUTE_PLAN_H
#define FANIN_SRC_COMPUTE_PLAN_H

#include <dnnl.h>

#include "compute/compute.h"
#include "fanin/activation.h"

enum { PLAN_ARGS = 4 };

typedef struct plan_arg {
    int id;   /* DNNL_ARG_* */
    int slot; /* in the caller's buffers */
    bool output;
    dnnl_memory_t user;
    dnnl_memory_t inner;                /* NULL: the caller's own layout is used */
    dnnl_primitive_desc_t reorder_desc; /* NULL: no reorder */
    dnnl_primitive_t reorder;           /* made at the first run */
    size_t offset;                      /* of inner in the scratch block */
} plan_arg;

/* oneDNN primitives run through these; our own matmul has none and sets `own`. */
struct fanin__plan {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive; /* made at the first run: generating code is what takes long */
    dnnl_memory_t scratchpad;
    size_t scratchpad_offset;
    plan_arg args[PLAN_ARGS];
    int count, slots;
    size_t scratch, workspace;
    unsigned threads;
    char variant[128];

    bool is_matmul;
    fanin_status (*own)(fanin__plan *plan, float alpha, void *const *buffers);
    fanin__matmul_desc matmul; /* normalised */
    fanin_activation *activation;
    int scaled_slot; /* operand that is multiplied by alpha into the scratch block; -1: none */
    size_t scaled_count, scaled_offset;
};

/* A plan with engine and stream, nothing else. */
fanin_status fanin__plan_new(fanin__plan **plan, fanin_err *err);
/* Creates the descriptor of a primitive; UNSUPPORTED if oneDNN declines. */
fanin_status fanin__plan_describe(fanin__plan *plan, const_dnnl_op_desc_t op,
                                  const_dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint,
                                  const char *what, dnnl_primitive_desc_t *pd, fanin_err *err);
/* Settles on pd and reserves its scratchpad. */
fanin_status fanin__plan_finish(fanin__plan *plan, const_dnnl_primitive_desc_t pd, fanin_err *err);
/* Binds buffer `slot` in layout `user` to argument `id`, which pd wants as `want` (NULL: as it
 * is). */
fanin_status fanin__plan_bind(fanin__plan *plan, int slot, int id, bool output,
                              const dnnl_memory_desc_t *user, const dnnl_memory_desc_t *want,
                              fanin_err *err);
/* Reserves bytes of the scratch block, aligned to 64. */
size_t fanin__plan_reserve(fanin__plan *plan, size_t bytes);
fanin_status fanin__plan_execute(fanin__plan *plan, void *const *buffers, void *scratch,
                                 fanin_err *err);
fanin_status fanin__dnnl_status(dnnl_status_t status, const char *what, fanin_err *err);

/* OpenMP's thread count for oneDNN calls of this thread; returns the one before. */
int fanin__threads_enter(unsigned threads);
void fanin__threads_leave(int before);

/* Row-major description with explicit strides. */
fanin_status fanin__memory_desc(dnnl_memory_desc_t *md, int rank, const int64_t *dims,
                                const int64_t *strides, fanin_err *err);
/* n x c x spatial.. in a layout. */
fanin_status fanin__image_desc(dnnl_memory_desc_t *md, fanin__layout layout, int64_t n, int64_t c,
                               int spatial, const int64_t *dims, fanin_err *err);
/* The same of another element type. */
dnnl_memory_desc_t fanin__typed_desc(const dnnl_memory_desc_t *md, dnnl_data_type_t type);
/* The same with the layout left to oneDNN. */
dnnl_memory_desc_t fanin__any_desc(const dnnl_memory_desc_t *md);

#endif
