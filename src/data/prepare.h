/* prepare.h - preprocessing that is learnt from the training rows: normalised, standardised, decorrelated inputs.
 *
 *     center       x - mean of each number
 *     normalize    (x - mean) / std, one pair for each channel of images (rank 3), one for everything else
 *     standardize  (x - mean) / std of each number; 1 for one that never changes
 *     pca[:keep=K,eps=0]     rotated onto the principal axes, each with variance 1 (LeCun et al. 1998, section 4.3)
 *     zca[:eps=0.01]         the same, rotated back: decorrelated and closest to the input (Bell & Sejnowski 1997)
 *
 * eps is added to the variances, in units of their mean. Means and variances are those of at most 10 000 training
 * rows, places of a fixed shuffle. */
#ifndef FANIN_SRC_DATA_PREPARE_H
#define FANIN_SRC_DATA_PREPARE_H

#include "data/dataset.h"

/* Where a preparation begins in "mnist+zca:eps=0.1" (behind the '+'); NULL: there is none. */
const char *fanin__prepare_find(const char *text);
/* Learns it and changes the set's info. ARG, LIMIT above 4096 numbers a sample for pca and zca, NOMEM,
 * NOCONV, and those of the set's samples. */
fanin_status fanin__prepare(fanin_dataset *d, const char *text, fanin_err *err);
enum { FANIN__PREPARE_BLOCK = 64 }; /* most samples at once */
/* Floats of scratch: first raw samples, then what they turn into on the way. */
size_t fanin__prepare_scratch(const fanin__prepared *p);
/* n raw samples, which begin the scratch, into prepared ones. A sample's numbers do not depend on the others. */
void fanin__prepare_apply(const fanin__prepared *p, size_t n, float *scratch, float *x);
void fanin__prepare_destroy(fanin__prepared *p);

#endif
