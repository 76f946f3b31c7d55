/* prefetch.h - the next batch is made while a step computes. */
#ifndef FANIN_SRC_TRAIN_PREFETCH_H
#define FANIN_SRC_TRAIN_PREFETCH_H

#include "fanin/engine.h"

/* Makes the batch of a step into x and target, on another thread. Must not touch what the loop changes. */
typedef fanin_status fanin__batch_make(const void *ctx, uint64_t step, fanin_buffer x,
                                       fanin_buffer target, fanin_err *err);

typedef struct fanin__prefetch fanin__prefetch;

/* A thread with buffers shaped like the two given. NOMEM. */
fanin_status fanin__prefetch_create(fanin__batch_make *make, const void *ctx, fanin_buffer x,
                                    fanin_buffer target, fanin__prefetch **prefetch,
                                    fanin_err *err);
void fanin__prefetch_destroy(fanin__prefetch *p);
/* The batch of `step` into x and target, and the next one begun. One that was not begun is made here. */
fanin_status fanin__prefetch_take(fanin__prefetch *p, uint64_t step, fanin_buffer x,
                                  fanin_buffer target, fanin_err *err);

#endif
