/* loop.h - walking over strided tensors: axes that belong together are merged first, so that most
 * loops become one or two deep. */
#ifndef FANIN_SRC_OPERATOR_LOOP_H
#define FANIN_SRC_OPERATOR_LOOP_H

#include "operator/ir.h"

enum { FANIN__LOOP_TENSORS = 4 };

/* Up to four tensors of equal shape. The last axis is the inner loop: `size` elements with strides
 * `step`; the others are walked by fanin__loop_next. */
typedef struct fanin__loop {
    int tensors, rank; /* outer axes */
    int64_t size, step[FANIN__LOOP_TENSORS];
    int64_t dims[FANIN_MAX_RANK], strides[FANIN__LOOP_TENSORS][FANIN_MAX_RANK];
    int64_t index[FANIN_MAX_RANK], at[FANIN__LOOP_TENSORS]; /* elements from each tensor's start */
} fanin__loop;

/* False if there is nothing to walk over. */
bool fanin__loop_begin(fanin__loop *loop, int tensors, const fanin__tensor *const *t);
/* Moves to the next row; false after the last. */
bool fanin__loop_next(fanin__loop *loop);

/* A convolution or pooling with three spatial axes, missing ones of size 1. */
typedef struct fanin__frame {
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], before[3];
} fanin__frame;
void fanin__frame_make(fanin__frame *frame, const fanin__op_window *window, const int64_t *in,
                       const int64_t *out);
/* Outputs [*begin, *end) along `axis` for which tap k reads inside the image. */
void fanin__frame_range(const fanin__frame *f, int axis, int64_t k, int64_t *begin, int64_t *end);

#endif
