/* init/haar.h - orthogonal matrices, exactly uniform (Haar), the same bits everywhere. */
#ifndef FANIN_SRC_INIT_HAAR_H
#define FANIN_SRC_INIT_HAAR_H

#include "base/base.h"
#include "fanin/random.h"

/* out: rows x cols, row-major, gain times a matrix whose shorter side is orthonormal. The normals are
 * plane 2 of the stream at address .. address + rows * cols - 1. NOMEM, or the stream's status. */
fanin_status fanin__haar_fill(const fanin_stream *stream, uint64_t address, size_t rows,
                              size_t cols, double gain, float *out);

/* The orthogonal matrix nearest to that one, to rounding errors of double precision. `rows` x `cols` was checked to fit
 * into memory as doubles. */
fanin_status fanin__haar_fill_f64(const fanin_stream *stream, uint64_t address, size_t rows,
                                  size_t cols, double gain, double *out);

/* The same value of `min(rows, cols)` up to which one thread works in double precision. */
enum { FANIN__HAAR_SMALL = 32, FANIN__HAAR_PLANE = 2 };

#endif
