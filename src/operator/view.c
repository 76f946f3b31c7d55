/* view.c - tensors as pointer, dims and strides. */
#include <string.h>

#include "operator/ir.h"

fanin__tensor fanin__tensor_packed(const fanin__node *node, void *data) {
    fanin__tensor t = {.data = data, .dtype = node->dtype, .rank = node->rank};
    memcpy(t.dims, node->dims, sizeof t.dims);
    int64_t stride = 1;
    for (int i = t.rank - 1; i >= 0; i--) {
        t.strides[i] = stride;
        stride *= t.dims[i];
    }
    return t;
}

bool fanin__tensor_is_packed(const fanin__tensor *t) {
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dims[i] != 1 && t->strides[i] != stride) return false;
        stride *= t->dims[i];
    }
    return true;
}

/* Strides for the new dims over the same memory: groups of axes with equal products must each be
 * packed among themselves. */
static bool reshape_strides(const fanin__tensor *in, fanin__tensor *out) {
    int i = 0, o = 0;
    while (o < out->rank) {
        if (out->dims[o] == 1) {
            out->strides[o++] = 0;
            continue;
        }
        while (i < in->rank && in->dims[i] == 1) i++;
        int first_i = i, first_o = o;
        int64_t product_i = in->dims[i++], product_o = out->dims[o++];
        while (product_i != product_o) {
            if (product_i < product_o) {
                product_i *= in->dims[i++];
            } else {
                product_o *= out->dims[o++];
            }
        }
        int64_t stride = 0;
        for (int a = i - 1, last = -1; a >= first_i; a--) {
            if (in->dims[a] == 1) continue;
            if (last < 0) {
                stride = in->strides[a];
            } else if (in->strides[a] != in->strides[last] * in->dims[last]) {
                return false;
            }
            last = a;
        }
        for (int a = o - 1; a >= first_o; a--) {
            out->strides[a] = stride;
            stride *= out->dims[a];
        }
    }
    return true;
}

/* NULL stays NULL: planning asks for strides before there is memory. */
static char *advance(void *data, int64_t elements, fanin_dtype dtype) {
    if (!data) return NULL;
    return (char *)data + elements * (int64_t)fanin_dtype_size(dtype);
}

bool fanin__view_of(const fanin__node *node, const fanin__tensor *in, fanin__tensor *out) {
    *out = fanin__tensor_packed(node, in->data);
    if (node->count == 0) return true;
    switch (node->op) {
    case FANIN__BROADCAST:
        for (int i = 0; i < out->rank; i++)
            out->strides[i] = in->dims[i] == out->dims[i] ? in->strides[i] : 0;
        return true;
    case FANIN__TRANSPOSE:
        for (int i = 0; i < out->rank; i++) out->strides[i] = in->strides[node->attr.perm[i]];
        return true;
    case FANIN__SLICE:
        for (int i = 0; i < out->rank; i++) {
            out->data = advance(out->data, node->attr.slice.start[i] * in->strides[i], in->dtype);
            out->strides[i] = in->strides[i] * node->attr.slice.step[i];
        }
        return true;
    default: return reshape_strides(in, out);
    }
}
