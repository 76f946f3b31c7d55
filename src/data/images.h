/* images.h - sets of images whose bytes stay in memory as the files have them: MNIST's and CIFAR's. */
#ifndef FANIN_SRC_DATA_IMAGES_H
#define FANIN_SRC_DATA_IMAGES_H

#include "data/dataset.h"

enum { FANIN__IMAGE_PARTS = 8 }; /* files of a split */

typedef struct fanin__images {
    unsigned char *blobs[2 * FANIN__IMAGE_PARTS]; /* owned */
    /* by split and part */
    const unsigned char *pixels[2][FANIN__IMAGE_PARTS], *labels[2][FANIN__IMAGE_PARTS];
    uint64_t counts[2][FANIN__IMAGE_PARTS];
    size_t pixel_step, label_step, size; /* bytes between samples, bytes of one image */
    int blob_count, parts[2];
} fanin__images;

/* An empty set of 10 classes as the data set's state, which it owns; NULL: no memory. */
fanin__images *fanin__images_create(fanin_dataset *d, int64_t channels, int64_t side);
/* Unpacks a file into a blob. */
fanin_status fanin__images_read(fanin__images *s, const char *path, size_t limit,
                                unsigned char **bytes, size_t *size, fanin_err *err);
/* FORMAT: a label beyond the classes. */
fanin_status fanin__images_check(const char *name, const unsigned char *labels, uint64_t count,
                                 size_t step, int classes, fanin_err *err);
/* Counts of the data set's info from those of the parts. */
void fanin__images_count(fanin_dataset *d);

#endif
