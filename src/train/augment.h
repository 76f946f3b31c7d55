/* augment.h - training samples changed a little, each time in another way: padded and cropped, mirrored, mixed.
 *
 * What happens to sample i of epoch e is a function of (seed, e, i): the same on any machine, with any number of
 * threads, after any interruption. */
#ifndef FANIN_SRC_TRAIN_AUGMENT_H
#define FANIN_SRC_TRAIN_AUGMENT_H

#include "fanin/data.h"
#include "fanin/engine.h"
#include "fanin/random.h"

typedef struct fanin__augment {
    double pad, flip, mixup; /* pixels, 0 or 1, alpha; all 0: nothing */
    fanin_stream stream;
} fanin__augment;

/* "pad=4,flip=1,mixup=0.2"; NULL or "": nothing. ARG; SHAPE: pad or flip of samples that are no images. */
fanin_status fanin__augment_parse(const char *text, uint64_t seed, const fanin_dataset_info *info,
                                  fanin__augment *a, fanin_err *err);
/* Changes n samples in place; index[i] is the address of sample i. mixup takes the next sample of the batch as the
 * partner, x = l x + (1 - l) x', t likewise, l from Beta(alpha, alpha): targets must be real. NOMEM. */
fanin_status fanin__augment_apply(const fanin__augment *a, const fanin_dataset_info *info,
                                  uint64_t epoch, const uint64_t *index, size_t n, float *x,
                                  fanin_buffer target, fanin_err *err);

#endif
