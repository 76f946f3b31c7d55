/* view.c - the matrices that a stored tensor stands for: rows along the output axis, columns over inputs
 * and kernel positions, whatever order the axes are stored in; packed parts and groups are blocks.
 *
 * A grouped convolution keeps all outputs and in/groups inputs, so its groups are cut from the output
 * axis; a transposed one keeps all inputs and out/groups outputs: cut from the input axis. */
#include "init/init.h"

static bool axes_fit(const fanin_tensor *t) {
    return t->rank >= 2 && t->out_axis >= 0 && t->out_axis < t->rank && t->in_axis >= 0 &&
           t->in_axis < t->rank && t->out_axis != t->in_axis;
}

fanin_status fanin__view_make(fanin__recipe *plan, int64_t groups, fanin_err *err) {
    const fanin_tensor *t = plan->tensor;
    char shape[128];
    fanin__shape_text(t->dims, t->rank, shape, sizeof shape);
    if (!axes_fit(t))
        return fanin_err_set(
            err, FANIN_SHAPE, "%s: %s needs an output and an input axis; this is %s of class %s",
            fanin__tensor_name(t), plan->row->name, shape, fanin_class_name(t->cls));
    if (groups <= 0) groups = t->groups > 0 ? t->groups : 1;
    int64_t parts = t->parts > 0 ? t->parts : 1;
    bool transposed = t->cls == FANIN_CLASS_CONV_TRANSPOSE;
    int64_t out = t->dims[t->out_axis], in = t->dims[t->in_axis];
    if (parts > out || (out > 0 && groups > (transposed ? in : out / parts)) ||
        out % (parts * (transposed ? 1 : groups)) || in % (transposed ? groups : 1))
        return fanin_err_set(err, FANIN_SHAPE,
                             "%s: %s is not a whole number of %lld parts of %lld groups",
                             fanin__tensor_name(t), shape, (long long)parts, (long long)groups);
    fanin__view *v = &plan->view;
    *v = (fanin__view){.cut_out = (uint64_t)(transposed ? parts : parts * groups),
                       .cut_in = (uint64_t)(transposed ? groups : 1),
                       .taps = 1};
    v->blocks = v->cut_out * v->cut_in;
    v->out = (uint64_t)out / v->cut_out;
    v->in = (uint64_t)in / v->cut_in;
    uint64_t stride = 1;
    for (int axis = t->rank - 1; axis >= 0; axis--) {
        uint64_t dim = (uint64_t)t->dims[axis];
        if (axis == t->out_axis) {
            v->out_stride = stride;
        } else if (axis == t->in_axis) {
            v->in_stride = stride;
        } else { /* innermost kernel axis first */
            v->kernel_dims[v->kernel_rank] = dim;
            v->kernel_strides[v->kernel_rank++] = stride;
            v->taps *= dim;
        }
        stride *= dim;
    }
    return FANIN_OK;
}

fanin__place fanin__view_place(const fanin__view *v, uint64_t index) {
    fanin__place p = {0};
    uint64_t out = index / v->out_stride % (v->out * v->cut_out);
    uint64_t in = index / v->in_stride % (v->in * v->cut_in);
    p.block = out / v->out * v->cut_in + in / v->in;
    p.out = out % v->out;
    p.in = in % v->in;
    uint64_t scale = 1;
    for (int i = 0; i < v->kernel_rank; i++) {
        p.kernel[i] = index / v->kernel_strides[i] % v->kernel_dims[i];
        p.tap += p.kernel[i] * scale;
        scale *= v->kernel_dims[i];
    }
    return p;
}

uint64_t fanin__view_index(const fanin__view *v, uint64_t block, uint64_t out, uint64_t column) {
    uint64_t in = column / v->taps, tap = column % v->taps;
    uint64_t index = (block / v->cut_in * v->out + out) * v->out_stride +
                     (block % v->cut_in * v->in + in) * v->in_stride;
    for (int i = 0; i < v->kernel_rank; i++) {
        index += tap % v->kernel_dims[i] * v->kernel_strides[i];
        tap /= v->kernel_dims[i];
    }
    return index;
}
