/* loop.c - merging axes, counting through the rest. */
#include <string.h>

#include "operator/loop.h"

static bool mergeable(const fanin__loop *l, int outer, const fanin__tensor *const *t, int axis) {
    for (int i = 0; i < l->tensors; i++)
        if (l->strides[i][outer] != t[i]->strides[axis] * t[i]->dims[axis]) return false;
    return true;
}

bool fanin__loop_begin(fanin__loop *l, int tensors, const fanin__tensor *const *t) {
    l->tensors = tensors;
    l->rank = 0;
    for (int axis = 0; axis < t[0]->rank; axis++) {
        int64_t size = t[0]->dims[axis];
        if (size == 0) return false;
        if (size == 1) continue;
        bool merge = l->rank > 0 && mergeable(l, l->rank - 1, t, axis);
        int to = merge ? l->rank - 1 : l->rank++;
        l->dims[to] = merge ? l->dims[to] * size : size;
        for (int i = 0; i < tensors; i++) l->strides[i][to] = t[i]->strides[axis];
    }
    l->size = 1;
    for (int i = 0; i < tensors; i++) l->step[i] = 1;
    if (l->rank > 0) {
        l->rank--;
        l->size = l->dims[l->rank];
        for (int i = 0; i < tensors; i++) l->step[i] = l->strides[i][l->rank];
    }
    memset(l->index, 0, sizeof l->index);
    memset(l->at, 0, sizeof l->at);
    return true;
}

bool fanin__loop_next(fanin__loop *l) {
    for (int axis = l->rank - 1; axis >= 0; axis--) {
        for (int i = 0; i < l->tensors; i++) l->at[i] += l->strides[i][axis];
        if (++l->index[axis] < l->dims[axis]) return true;
        for (int i = 0; i < l->tensors; i++) l->at[i] -= l->strides[i][axis] * l->dims[axis];
        l->index[axis] = 0;
    }
    return false;
}

void fanin__frame_make(fanin__frame *f, const fanin__op_window *w, const int64_t *in,
                       const int64_t *out) {
    for (int i = 0; i < 3; i++) {
        int from = i - (3 - w->rank);
        f->in[i] = from < 0 ? 1 : in[from];
        f->out[i] = from < 0 ? 1 : out[from];
        f->kernel[i] = from < 0 ? 1 : w->kernel[from];
        f->stride[i] = from < 0 ? 1 : w->stride[from];
        f->dilation[i] = from < 0 ? 1 : w->dilation[from];
        f->before[i] = from < 0 ? 0 : w->before[from];
    }
}

void fanin__frame_range(const fanin__frame *f, int axis, int64_t k, int64_t *begin, int64_t *end) {
    int64_t offset = k * f->dilation[axis] - f->before[axis], stride = f->stride[axis];
    *begin = offset < 0 ? (-offset + stride - 1) / stride : 0;
    int64_t last = f->in[axis] - 1 - offset;
    *end = last < 0 ? 0 : last / stride + 1;
    if (*end > f->out[axis]) *end = f->out[axis];
    if (*begin > *end) *begin = *end;
}
