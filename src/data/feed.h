/* feed.h - samples of a data set into a program: what check, train and the monitors share. */
#ifndef FANIN_SRC_DATA_FEED_H
#define FANIN_SRC_DATA_FEED_H

#include "fanin/data.h"
#include "fanin/engine.h"

/* Does a batch of the set fit input 0 and the target? Class labels fit a loss of classes, and one of real
 * targets too: as the number of the class where there is one target a sample, as a row of zeros with a
 * 1 where there are at least as many targets as classes. SHAPE, ARG. */
fanin_status fanin__feed_fits(const fanin_dataset *d, const fanin_program *p, size_t batch,
                              fanin_err *err);
/* n samples, which fit, into the program, or into buffers like its own. Integer inputs take the whole part. Errors of
 * fanin_dataset_samples; NOMEM. */
fanin_status fanin__feed_load(const fanin_dataset *d, fanin_split split, const uint64_t *index,
                              size_t n, fanin_program *p, fanin_err *err);
fanin_status fanin__feed_into(const fanin_dataset *d, fanin_split split, const uint64_t *index,
                              size_t n, fanin_buffer x, fanin_buffer target, fanin_err *err);

#endif
