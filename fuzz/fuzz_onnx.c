/* fuzz_onnx.c - any bytes as an ONNX model; what is accepted is walked to the last byte and described
 * again for writing. */
#include "format/onnx_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink; /* what is read must be read */

static unsigned sum_of(const void *data, size_t size) {
    const unsigned char *p = data;
    unsigned sum = 0;
    for (size_t i = 0; p && i < size; i++) sum += p[i];
    return sum;
}

static unsigned walk(const fanin_graph *g) {
    unsigned sum = 0;
    for (int i = 0; i < g->value_count; i++) sum += sum_of(g->values[i].data, g->values[i].size);
    for (int i = 0; i < g->node_count; i++) {
        const fanin_node *n = &g->nodes[i];
        for (int k = 0; k < n->input_count; k++)
            if (n->inputs[k] >= 0) sum += (unsigned char)g->values[n->inputs[k]].name[0];
        for (int k = 0; k < n->output_count; k++)
            if (g->values[n->outputs[k]].producer != i) __builtin_trap();
    }
    for (int i = 0; i < g->value_count; i++)
        if (fanin_graph_find(g, g->values[i].name) != i) __builtin_trap();
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fanin_graph *g;
    fanin_err err = {0};
    fanin_status status = fanin__onnx_parse(data, size, "fuzz", NULL, &g, &err);
    if ((status == FANIN_OK) != (g != NULL)) __builtin_trap();
    if (status != FANIN_OK && !err.message[0]) __builtin_trap();
    if (!g) return 0;
    sink += walk(g);
    fanin__text model = {0}, body = {0};
    (void)fanin__onnx_describe(g, &model, &body, &err);
    fanin__text_fini(&model);
    fanin__text_fini(&body);
    fanin_graph_destroy(g);
    return 0;
}
