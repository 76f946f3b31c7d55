/* Reading ONNX: every shared model, and files made to break a reader. The counts were taken with the
 * onnx package for Python. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/format.h"
#include "testing.h"

/* ---- the shared models ------------------------------------------------------------------------- */

static const struct {
    const char *file;
    int nodes, constants, initializers, present;
    const char *notes; /* a part; NULL: none */
} models[] = {
    {"models/graphs/alexnet.onnx", 26, 4, 16, 6, NULL},
    {"models/graphs/densenet121.onnx", 437, 3, 606, 477, NULL},
    {"models/graphs/gpt2_small.onnx", 1441, 391, 149, 74, NULL},
    {"models/graphs/gpt_tiny_weights.onnx", 497, 135, 53, 53, NULL},
    {"models/graphs/lenet5_weights.onnx", 12, 0, 10, 10, NULL},
    {"models/graphs/mlp8_tanh_weights.onnx", 17, 0, 18, 18, NULL},
    {"models/graphs/mobilenet_v2.onnx", 225, 72, 262, 209, NULL},
    {"models/graphs/resnet18.onnx", 69, 0, 102, 81, NULL},
    {"models/graphs/resnet18_eval_fused.onnx", 65, 0, 26, 5, "batch norms are folded into 20"},
    {"models/graphs/resnet50.onnx", 175, 0, 267, 169, NULL},
    {"models/graphs/squeezenet1_1.onnx", 68, 2, 52, 26, NULL},
    {"models/graphs/vgg11_bn.onnx", 42, 4, 54, 41, NULL},
    {"models/graphs/vit_b_16.onnx", 1772, 537, 152, 77, NULL},
    {"models/golden/gpt_tiny/model.onnx", 261, 71, 29, 29, NULL},
    {"models/golden/lenet5/model.onnx", 12, 0, 10, 10, NULL},
    {"models/golden/mlp5_tanh/model.onnx", 12, 0, 12, 12, NULL},
    {"models/golden/resnet8/model.onnx", 28, 0, 39, 39, NULL},
};

TEST(every_shared_model_is_read) {
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        fanin_graph *g;
        fanin_err err = {0};
        assert_ok_err(fanin_graph_load_onnx(test_shared(models[i].file), &g, &err), err);
        int initializers = 0, present = 0, constants = 0;
        for (int k = 0; k < g->value_count; k++) {
            const fanin_value *v = &g->values[k];
            initializers += (v->flags & FANIN_VALUE_INITIALIZER) != 0;
            present += (v->flags & FANIN_VALUE_INITIALIZER) && v->data;
            constants += (v->flags & FANIN_VALUE_CONSTANT) != 0;
            assert_int_equal(fanin_graph_find(g, v->name), k);
            if (v->flags & FANIN_VALUE_CONSTANT) assert_non_null(v->data);
        }
        assert_int_equal(g->node_count + constants, models[i].nodes);
        assert_int_equal(constants, models[i].constants);
        assert_int_equal(initializers, models[i].initializers);
        assert_int_equal(present, models[i].present);
        assert_int_equal(g->opset, 15);
        assert_string_equal(g->producer, "pytorch");
        assert_int_equal(g->input_count, 1);
        assert_string_equal(g->values[g->inputs[0]].name, "input");
        if (models[i].notes)
            assert_non_null(strstr(g->notes, models[i].notes));
        else
            assert_string_equal(g->notes, "");
        fanin_graph_destroy(g);
    }
}

TEST(types_and_payloads_are_the_files) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_load_onnx(test_shared("models/golden/lenet5/model.onnx"), &g, &err),
                  err);
    const fanin_value *w = &g->values[fanin_graph_find(g, "c1.weight")];
    assert_int_equal(w->dtype, FANIN_F32);
    assert_int_equal(w->rank, 4);
    assert_int_equal(w->size, 4 * (size_t)(w->dims[0] * w->dims[1] * w->dims[2] * w->dims[3]));
    const fanin_value *x = &g->values[g->inputs[0]];
    assert_int_equal(x->rank, 4);
    assert_int_equal(x->dims[3], 28);
    const fanin_node *conv = &g->nodes[0];
    assert_string_equal(conv->op, "Conv");
    const fanin_attr *kernel = fanin_node_attr(conv, "kernel_shape");
    assert_int_equal(kernel->count, 2);
    assert_int_equal(kernel->ints[1], 5);
    fanin_graph_destroy(g);
}
