/* idx.h - the IDX format of MNIST: big-endian arrays of any rank. */
#ifndef FANIN_SRC_DATA_IDX_H
#define FANIN_SRC_DATA_IDX_H

#include "data/dataset.h"
#include "fanin/format.h"

/* Reads header and body: *array points into bytes, whose numbers are turned to this machine's order in place. Types
 * u8, i8, i16, i32, f32, f64. FORMAT: magic, rank above FANIN_MAX_RANK, a size that is not the header's. */
fanin_status fanin__idx_parse(unsigned char *bytes, size_t size, const char *what,
                              fanin_array *array, fanin_err *err);

#endif
