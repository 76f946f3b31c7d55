/* probe/measure.h - what an audit knows of one tensor: moments, histogram, precision, repeats. */
#ifndef FANIN_SRC_PROBE_MEASURE_H
#define FANIN_SRC_PROBE_MEASURE_H

#include "base/base.h"
#include "fanin/audit.h"

enum { FANIN__BINS = 2048 };

typedef struct fanin__measure {
    uint64_t n, not_finite, zeros; /* n: the finite ones */
    uint64_t coarse;               /* f32 values that bf16 holds (low half of the bits 0) */
    double mean, std, kurtosis, min, max;
    /* Counts of finite values over mean - 6 std .. mean + 6 std; the first and last take the rest. */
    double edge0, width;
    uint64_t bins[FANIN__BINS], binned;
    uint64_t distinct;                        /* bit patterns seen; of 16-bit types only */
    uint64_t repeat_from, repeat_to, repeats; /* windows seen twice at one distance; 0: none */
} fanin__measure;

/* NOMEM. */
fanin_status fanin__measure_make(const fanin_array *array, uint64_t count, fanin__measure *m);
/* Repeated runs of signs, for tensors of + and - one value, whose elements say nothing else: into m's repeats. NOMEM. */
fanin_status fanin__measure_signs(const fanin_array *array, uint64_t count, fanin__measure *m);

#endif
