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

/* ---- writing ----------------------------------------------------------------------------------- */

static bool same_attr(const fanin_attr *a, const fanin_attr *b) {
    if (strcmp(a->name, b->name) != 0 || a->type != b->type || a->count != b->count) return false;
    switch (a->type) {
    case FANIN_ATTR_INT: return a->i == b->i;
    case FANIN_ATTR_FLOAT: return a->f == b->f;
    case FANIN_ATTR_STRING: return !strcmp(a->s, b->s);
    case FANIN_ATTR_INTS: return !memcmp(a->ints, b->ints, a->count * sizeof *a->ints);
    case FANIN_ATTR_FLOATS: return !memcmp(a->floats, b->floats, a->count * sizeof *a->floats);
    case FANIN_ATTR_TENSOR:
        return a->tensor->dtype == b->tensor->dtype && a->tensor->size == b->tensor->size &&
               !memcmp(a->tensor->data, b->tensor->data, a->tensor->size);
    case FANIN_ATTR_STRINGS:
        for (size_t i = 0; i < a->count; i++)
            if (strcmp(a->strings[i], b->strings[i]) != 0) return false;
        return true;
    }
    return false;
}

static void assert_same_ports(const fanin_graph *a, const fanin_graph *b, int n, const int *pa,
                              const int *pb) {
    for (int i = 0; i < n; i++) {
        assert_int_equal(pa[i] < 0, pb[i] < 0);
        if (pa[i] >= 0) assert_string_equal(a->values[pa[i]].name, b->values[pb[i]].name);
    }
}

/* Nodes in order, and stored values by name, to the byte. */
static void assert_same_graph(const fanin_graph *a, const fanin_graph *b) {
    assert_int_equal(a->node_count, b->node_count);
    assert_int_equal(a->opset, b->opset);
    for (int i = 0; i < a->node_count; i++) {
        const fanin_node *m = &a->nodes[i], *n = &b->nodes[i];
        assert_string_equal(m->op, n->op);
        assert_string_equal(m->name, n->name);
        assert_string_equal(m->domain, n->domain);
        assert_int_equal(m->input_count, n->input_count);
        assert_int_equal(m->output_count, n->output_count);
        assert_int_equal(m->attr_count, n->attr_count);
        assert_same_ports(a, b, m->input_count, m->inputs, n->inputs);
        assert_same_ports(a, b, m->output_count, m->outputs, n->outputs);
        for (int k = 0; k < m->attr_count; k++) assert_true(same_attr(&m->attrs[k], &n->attrs[k]));
    }
    assert_int_equal(a->input_count, b->input_count);
    assert_int_equal(a->output_count, b->output_count);
    assert_same_ports(a, b, a->input_count, a->inputs, b->inputs);
    assert_same_ports(a, b, a->output_count, a->outputs, b->outputs);
    for (int i = 0; i < a->value_count; i++) {
        const fanin_value *v = &a->values[i];
        if (!(v->flags & (FANIN_VALUE_INITIALIZER | FANIN_VALUE_CONSTANT))) continue;
        int k = fanin_graph_find(b, v->name);
        assert_true(k >= 0);
        const fanin_value *u = &b->values[k];
        assert_int_equal(u->flags, v->flags);
        assert_int_equal(u->dtype, v->dtype);
        assert_int_equal(u->rank, v->rank);
        assert_int_equal(u->size, v->size);
        assert_memory_equal(u->dims, v->dims, sizeof(int64_t) * (size_t)v->rank);
        if (v->size) assert_memory_equal(u->data, v->data, v->size);
    }
}

TEST(graphs_from_files_are_written_whole) {
    static const char *const files[] = {"models/golden/gpt_tiny/model.onnx",
                                        "models/golden/resnet8/model.onnx"};
    for (int i = 0; i < 4; i++) {
        const char *path = test_tmp(i < 2 ? "again.onnx" : "outside.onnx");
        fanin_graph *g, *h;
        fanin_err err = {0};
        assert_ok_err(fanin_graph_load_onnx(test_shared(files[i % 2]), &g, &err), err);
        assert_ok_err(fanin__onnx_save(g, NULL, 0, path, i < 2 ? INT32_MAX : 1000, &err), err);
        assert_ok_err(fanin_graph_load_onnx(path, &h, &err), err);
        assert_same_graph(g, h);
        assert_string_equal(h->producer, "pytorch");
        fanin_graph_destroy(g);
        fanin_graph_destroy(h);
    }
}

/* Every kind of attribute and of stored value. */
static fanin_graph *build_all_kinds(void) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    const float w[6] = {1, 2, 3, 4, 5, 6};
    const int64_t two[2] = {-1, 7};
    const double halves[2] = {0.5, -2};
    const char *const texts[2] = {"Tanh", "Relu"};
    fanin_value t = {.dtype = FANIN_I64, .rank = 1, .dims = {2}, .data = two, .size = 16};
    fanin_attr attrs[] = {
        {.name = "i", .type = FANIN_ATTR_INT, .i = INT64_MIN},
        {.name = "f", .type = FANIN_ATTR_FLOAT, .f = 0.25},
        {.name = "s", .type = FANIN_ATTR_STRING, .s = "text"},
        {.name = "ints", .type = FANIN_ATTR_INTS, .ints = two, .count = 2},
        {.name = "floats", .type = FANIN_ATTR_FLOATS, .floats = halves, .count = 2},
        {.name = "t", .type = FANIN_ATTR_TENSOR, .tensor = &t},
        {.name = "strings", .type = FANIN_ATTR_STRINGS, .strings = texts, .count = 2},
        {.name = "empty", .type = FANIN_ATTR_INTS, .ints = two, .count = 0},
    };
    fanin_attr value = {.name = "value", .type = FANIN_ATTR_TENSOR, .tensor = &t};
    assert_ok(fanin_graph_builder_create("all kinds", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){-1, 3});
    int k = fanin_graph_initializer(b, "w", FANIN_F32, 2, (int64_t[]){2, 3}, w);
    int none = fanin_graph_initializer(b, "none", FANIN_F16, 2, (int64_t[]){0, 3}, w);
    int s = fanin_graph_initializer(b, "s", FANIN_F64, 0, NULL, (const double[]){3});
    int c = fanin_graph_node(b, "Constant", NULL, NULL, 0, &value, 1, 1);
    int y = fanin_graph_node(b, "Strange", "n", (int[]){x, -1, k, none, s, c}, 6, attrs, 8, 2);
    fanin_graph_output(b, y, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

TEST(built_graphs_are_written_whole) {
    fanin_graph *g = build_all_kinds(), *h;
    fanin_err err = {0};
    const char *path = test_tmp("built.onnx");
    assert_ok_err(fanin_graph_save_onnx(g, NULL, 0, path, &err), err);
    assert_ok_err(fanin_graph_load_onnx(path, &h, &err), err);
    assert_same_graph(g, h);
    assert_string_equal(h->producer, "fanin");
    fanin_graph_destroy(h);
    /* Values given from outside, of the right shape only. */
    const float other[6] = {9, 8, 7, 6, 5, 4};
    fanin_array a = {
        .name = "w", .dtype = FANIN_F32, .rank = 2, .dims = {2, 3}, .data = other, .size = 24};
    assert_ok_err(fanin_graph_save_onnx(g, &a, 1, path, &err), err);
    assert_ok_err(fanin_graph_load_onnx(path, &h, &err), err);
    assert_memory_equal(h->values[fanin_graph_find(h, "w")].data, other, 24);
    fanin_graph_destroy(h);
    a.dims[0] = 3;
    assert_int_equal(fanin_graph_save_onnx(g, &a, 1, path, &err), FANIN_SHAPE);
    assert_non_null(strstr(err.message, "'w' is 3x3 of F32, the model wants 2x3 of F32"));
    a.name = "nothing";
    assert_int_equal(fanin_graph_save_onnx(g, &a, 1, path, &err), FANIN_ARG);
    fanin_graph_destroy(g);
}

TEST(a_model_without_values_is_not_written) {
    fanin_graph *g;
    fanin_err err = {0};
    const char *path = test_tmp("absent.onnx");
    assert_ok_err(fanin_graph_load_onnx(test_shared("models/graphs/resnet18.onnx"), &g, &err), err);
    assert_int_equal(fanin_graph_save_onnx(g, NULL, 0, path, &err), FANIN_ARG);
    assert_non_null(strstr(err.message, "has no values"));
    assert_int_equal(access(path, F_OK), -1);
    fanin_graph_destroy(g);
}
