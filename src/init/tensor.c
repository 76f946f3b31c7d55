/* tensor.c - what a tensor is to its network, and a tensor in torch's layout. */
#include "init/init.h"

const char *fanin_class_name(fanin_class c) {
    switch (c) {
#define CLASS_NAME(id, value, name) \
    case FANIN_CLASS_##id: return name;
        FANIN_CLASS_MAP(CLASS_NAME)
#undef CLASS_NAME
    }
    return "?";
}

bool fanin_class_is_weight(fanin_class c) {
    return (c >= FANIN_CLASS_DENSE && c <= FANIN_CLASS_RECURRENT_HIDDEN) || c == FANIN_CLASS_OUTPUT;
}

/* torch.nn.init counts from the shape: dims 1 and 0, each times the positions of the kernel. */
fanin_tensor fanin_tensor_torch(const char *name, int rank, const int64_t *dims) {
    fanin_tensor t = {.name = name,
                      .rank = rank,
                      .cls = rank <= 1   ? FANIN_CLASS_BIAS
                             : rank == 2 ? FANIN_CLASS_DENSE
                                         : FANIN_CLASS_CONV,
                      .out_axis = rank >= 2 ? 0 : -1,
                      .in_axis = rank >= 2 ? 1 : -1,
                      .groups = 1,
                      .parts = 1,
                      .depth_index = -1};
    double taps = 1;
    for (int i = 0; i < rank && i < FANIN_MAX_RANK; i++) {
        t.dims[i] = dims[i];
        if (i >= 2) taps *= (double)dims[i];
    }
    if (rank < 2) return t;
    t.fan_in = t.torch_fan_in = (double)dims[1] * taps;
    t.fan_out = t.torch_fan_out = (double)dims[0] * taps;
    return t;
}
