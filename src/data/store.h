/* store.h - a data set that lies in memory: rows of inputs with labels or real targets, however they were read. */
#ifndef FANIN_SRC_DATA_STORE_H
#define FANIN_SRC_DATA_STORE_H

#include "data/dataset.h"

typedef struct fanin__rows {
    uint64_t count;
    float *x;             /* count x sample, or */
    unsigned char *bytes; /* the same, 0 to 255 for 0 to 1 */
    int64_t *labels;      /* count x targets, or */
    float *real;
} fanin__rows;

typedef struct fanin__store {
    fanin__rows
        split[2]; /* by fanin_split; without rows of a test split, both are cut from the first */
    size_t sample, targets;
} fanin__store;

/* An empty store as the set's state; the set owns it from here. NOMEM. */
fanin_status fanin__store_create(fanin_dataset *d, fanin__store **store, fanin_err *err);
/* The store is filled: counts, classes and targets of info are set from it (info.rank and dims before). With
 * `test` above 0 that share of the first split, rounded, becomes the test split: rows by a fixed shuffle,
 * whatever the seed. FORMAT: a label below 0, or a class between 0 and the greatest without a row; SHAPE;
 * ARG. `what` begins messages. */
fanin_status fanin__store_finish(fanin_dataset *d, const char *what, double test, fanin_err *err);

#endif
