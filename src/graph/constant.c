/* constant.c - a Constant node is not a node: its output is a stored value, wherever the graph comes from. */
#include <string.h>

#include "graph/graph.h"

bool fanin__graph_is_constant(const fanin_node *n) {
    return !strcmp(n->op, "Constant") && !n->domain[0];
}

/* Lists of floats are stored as ONNX says: in float32. */
static const float *floats(fanin_graph_builder *b, const fanin_attr *a, size_t count) {
    float *out = fanin__arena_array(fanin__graph_arena(b), count, sizeof *out);
    if (!out) fanin__graph_fail_memory(b);
    for (size_t i = 0; out && i < count; i++)
        out[i] = (float)(a->type == FANIN_ATTR_FLOATS ? a->floats[i] : a->f);
    return out;
}

void fanin__graph_define_constant(fanin_graph_builder *b, const fanin_node *n) {
    if (n->output_count != 1) {
        fanin__graph_fail(b, FANIN_FORMAT, "Constant node '%s' makes %d values, expected 1",
                          n->name, n->output_count);
        return;
    }
    int value = n->outputs[0];
    const void *data = NULL;
    size_t size = 0;
    for (int k = 0; k < n->attr_count; k++) {
        const fanin_attr *a = &n->attrs[k];
        int64_t dims[1] = {(int64_t)a->count};
        bool list = a->type == FANIN_ATTR_INTS || a->type == FANIN_ATTR_FLOATS;
        size_t count = list ? a->count : 1;
        if (a->type == FANIN_ATTR_TENSOR) {
            const fanin_value *t = a->tensor;
            fanin__graph_set_type(b, value, t->dtype, t->dtype ? t->rank : -1, t->dims, NULL);
            data = t->data;
            size = t->size;
        } else if (a->type == FANIN_ATTR_INT || a->type == FANIN_ATTR_INTS) {
            fanin__graph_set_type(b, value, FANIN_I64, list, dims, NULL);
            data = list ? a->ints : &a->i;
            size = count * sizeof(int64_t);
        } else if (a->type == FANIN_ATTR_FLOAT || a->type == FANIN_ATTR_FLOATS) {
            fanin__graph_set_type(b, value, FANIN_F32, list, dims, NULL);
            data = floats(b, a, count);
            size = count * sizeof(float);
        }
    }
    fanin__graph_define_stored(b, value, FANIN_VALUE_CONSTANT, data, size);
}
