/* Every tensor of every shared graph is classified; counts and rows are those of torchvision's and
 * GPT-2's architectures. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/format.h"
#include "fanin/scheme.h"
#include "testing.h"

typedef struct loaded {
    fanin_graph *graph;
    fanin_tensors *tensors;
} loaded;

static loaded load(const char *model) {
    loaded l;
    fanin_err err = {0};
    char path[128];
    bool file = strstr(model, ".onnx") != NULL;
    snprintf(path, sizeof path, "models/%s", model);
    if (file)
        assert_ok_err(fanin_graph_load_onnx(test_shared(path), &l.graph, &err), err);
    else
        assert_ok_err(fanin_graph_builtin(model, &l.graph, &err), err);
    assert_ok_err(fanin_tensors_create(l.graph, NULL, &l.tensors, &err), err);
    return l;
}

static void unload(loaded l) {
    fanin_tensors_destroy(l.tensors);
    fanin_graph_destroy(l.graph);
}

/* "conv=53 ...": classes that occur, in the order of the class table. */
static const char *census(const loaded *l, char *buf, size_t size) {
    int counts[32] = {0};
    fanin__text text = {0};
    for (int i = 0; i < l->tensors->count; i++) counts[l->tensors->items[i].tensor.cls]++;
    for (int c = 0; c < 32; c++)
        if (counts[c])
            fanin__text_printf(&text, "%s%s=%d", text.length ? " " : "",
                               fanin_class_name((fanin_class)c), counts[c]);
    snprintf(buf, size, "%s", text.data ? text.data : "");
    fanin__text_fini(&text);
    return buf;
}

static double parameters(const loaded *l) {
    double total = 0;
    for (int i = 0; i < l->tensors->count; i++) {
        const fanin_tensor *t = &l->tensors->items[i].tensor;
        double n = 1;
        for (int k = 0; k < t->rank; k++) n *= (double)t->dims[k];
        if (t->cls != FANIN_CLASS_RUNNING_MEAN && t->cls != FANIN_CLASS_RUNNING_VAR) total += n;
    }
    return total;
}

TEST(all_graphs_are_classified) {
    static const struct {
        const char *model;
        double parameters;
        int layers, residuals, blocks;
        const char *classes;
    } known[] = {
        {"graphs/alexnet.onnx", 61100840, 8, 0, 8, "dense=2 conv=5 bias=8 output=1"},
        {"graphs/densenet121.onnx", 7978856, 121, 0, 121,
         "conv=120 bias=1 norm_scale=121 norm_shift=121 running_mean=121 running_var=121 output=1"},
        /* lm_head is a tensor of its own in this export: 124 439 808 less 896 positions, twice wte. */
        {"graphs/gpt2_small.onnx", 124439808 - 896 * 768 + 50257 * 768, 49, 24, 12,
         "dense=24 embedding=1 position=1 attention_qkv=12 attention_out=12 bias=48 norm_scale=25 "
         "norm_shift=25 output=1"},
        {"graphs/gpt_tiny_weights.onnx", 210432, 17, 8, 4,
         "dense=8 embedding=1 position=1 attention_qkv=4 attention_out=4 bias=16 norm_scale=9 "
         "norm_shift=9 output=1"},
        {"graphs/lenet5_weights.onnx", 61706, 5, 0, 5, "dense=2 conv=2 bias=5 output=1"},
        {"graphs/mlp8_tanh_weights.onnx", 80010, 9, 0, 9, "dense=8 bias=9 output=1"},
        {"graphs/mobilenet_v2.onnx", 3504872, 53, 10, 10,
         "conv=35 conv_depthwise=17 bias=1 norm_scale=52 norm_shift=52 running_mean=52 "
         "running_var=52 output=1"},
        {"graphs/resnet18.onnx", 11689512, 21, 8, 8,
         "conv=20 bias=1 norm_scale=20 norm_shift=20 running_mean=20 running_var=20 output=1"},
        /* 9600 norm parameters gone, 4800 folded biases merged into four of them: 960. */
        {"graphs/resnet18_eval_fused.onnx", 11689512 - 9600 + 960, 21, 8, 8,
         "conv=20 bias=5 output=1"},
        {"graphs/resnet50.onnx", 25557032, 54, 16, 16,
         "conv=53 bias=1 norm_scale=53 norm_shift=53 running_mean=53 running_var=53 output=1"},
        {"graphs/squeezenet1_1.onnx", 1235496, 26, 0, 26, "conv=25 bias=26 output=1"},
        {"graphs/vgg11_bn.onnx", 132868840, 11, 0, 11,
         "dense=2 conv=8 bias=11 norm_scale=8 norm_shift=8 running_mean=8 running_var=8 output=1"},
        {"graphs/vit_b_16.onnx", 86567656, 50, 24, 12,
         "dense=24 conv=1 position=1 class_token=1 attention_qkv=12 attention_out=12 bias=50 "
         "norm_scale=25 norm_shift=25 output=1"},
        {"golden/gpt_tiny/model.onnx", 30656, 9, 4, 2,
         "dense=4 embedding=1 position=1 attention_qkv=2 attention_out=2 bias=8 norm_scale=5 "
         "norm_shift=5 output=1"},
        {"golden/resnet8/model.onnx", 77850, 10, 3, 3,
         "conv=9 bias=1 norm_scale=7 norm_shift=7 running_mean=7 running_var=7 output=1"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char classes[256];
        loaded l = load(known[i].model);
        if (strcmp(census(&l, classes, sizeof classes), known[i].classes) != 0)
            fail_msg("%s: %s, expected %s", known[i].model, classes, known[i].classes);
        assert_near(parameters(&l), known[i].parameters, 0, 0);
        assert_int_equal(l.tensors->layers, known[i].layers);
        assert_int_equal(l.tensors->residuals, known[i].residuals);
        assert_int_equal(l.tensors->blocks, known[i].blocks);
        unload(l);
    }
}

typedef struct expected {
    const char *model, *name, *cls, *op;
    double fan_in, fan_out, torch_fan_in, torch_fan_out;
    int groups, parts, out_axis, in_axis, depth;
    const char *act;
} expected;

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void check_row(const loaded *l, const expected *e) {
    const fanin_tensor_info *info = NULL;
    for (int i = 0; i < l->tensors->count; i++)
        if (strcmp(l->tensors->items[i].tensor.name, e->name) == 0) info = &l->tensors->items[i];
    if (!info) fail_msg("%s: no tensor '%s'", e->model, e->name);
    const fanin_tensor *t = &info->tensor;
    bool fans = same(t->fan_in, e->fan_in) && same(t->fan_out, e->fan_out) &&
                same(t->torch_fan_in, e->torch_fan_in) && same(t->torch_fan_out, e->torch_fan_out);
    bool text = strcmp(fanin_class_name(t->cls), e->cls) == 0 && strcmp(info->op, e->op) == 0;
    bool act = t->nonlinearity ? e->act && strcmp(t->nonlinearity, e->act) == 0 : !e->act;
    bool axes = t->groups == e->groups && t->parts == e->parts && t->out_axis == e->out_axis &&
                t->in_axis == e->in_axis && t->depth_index == e->depth;
    if (!fans || !text || !act || !axes)
        fail_msg("%s %s: %s of %s, fans %g %g torch %g %g, groups %d parts %d axes %d %d depth %d, "
                 "then %s",
                 e->model, e->name, fanin_class_name(t->cls), info->op, t->fan_in, t->fan_out,
                 t->torch_fan_in, t->torch_fan_out, (int)t->groups, t->parts, t->out_axis,
                 t->in_axis, t->depth_index, t->nonlinearity ? t->nonlinearity : "nothing");
}

TEST(rows_are_what_the_architecture_says) {
    static const expected rows[] = {
        {"graphs/resnet50.onnx", "conv1.weight", "conv", "Conv", 147, 3136, 147, 3136, 1, 1, 0, 1,
         0, "relu"},
        {"graphs/resnet50.onnx", "layer1.0.conv3.weight", "conv", "Conv", 64, 256, 64, 256, 1, 1, 0,
         1, 3, "relu"},
        {"graphs/resnet50.onnx", "bn1.weight", "norm_scale", "BatchNormalization", NAN, NAN, NAN,
         NAN, 1, 1, -1, -1, -1, NULL},
        {"graphs/resnet50.onnx", "fc.weight", "output", "Gemm", 2048, 1000, 2048, 1000, 1, 1, 0, 1,
         53, NULL},
        {"graphs/resnet50.onnx", "fc.bias", "bias", "Gemm", 2048, 1000, 2048, 1000, 1, 1, -1, -1,
         53, NULL},
        {"graphs/mobilenet_v2.onnx", "features.1.conv.0.0.weight", "conv_depthwise", "Conv", 9, 9,
         9, 288, 32, 1, 0, 1, 1, "relu6"},
        {"graphs/gpt2_small.onnx", "wte.weight", "embedding", "Gather", 768, 50257, 768, 50257, 1,
         1, 0, 1, -1, NULL},
        {"graphs/gpt2_small.onnx", "wpe.weight", "position", "Gather", 768, 128, 768, 128, 1, 1, 0,
         1, -1, NULL},
        {"graphs/gpt2_small.onnx", "h.0.attn.c_attn.weight", "attention_qkv", "MatMul", 768, 768,
         768, 2304, 1, 3, 0, 1, 0, NULL},
        {"graphs/gpt2_small.onnx", "h.0.attn.c_proj.weight", "attention_out", "MatMul", 768, 768,
         768, 768, 1, 1, 0, 1, 1, NULL},
        {"graphs/gpt2_small.onnx", "h.11.mlp.0.weight", "dense", "MatMul", 768, 3072, 768, 3072, 1,
         1, 0, 1, 46, "gelu"},
        {"graphs/gpt2_small.onnx", "h.11.mlp.2.bias", "bias", "Add", 3072, 768, 3072, 768, 1, 1, -1,
         -1, 47, NULL},
        {"graphs/gpt2_small.onnx", "h.3.ln_1.weight", "norm_scale", "Mul", NAN, NAN, NAN, NAN, 1, 1,
         -1, -1, -1, NULL},
        {"graphs/gpt2_small.onnx", "h.3.ln_1.bias", "norm_shift", "Add", NAN, NAN, NAN, NAN, 1, 1,
         -1, -1, -1, NULL},
        {"graphs/gpt2_small.onnx", "lm_head.weight", "output", "MatMul", 768, 50257, 768, 50257, 1,
         1, 0, 1, 48, NULL},
        {"graphs/vit_b_16.onnx", "class_token", "class_token", "Concat", 768, 1, 768, 1, 1, 1, 1, 2,
         -1, NULL},
        {"graphs/vit_b_16.onnx", "encoder.pos_embedding", "position", "Add", 768, 197, 768, 197, 1,
         1, 1, 2, -1, NULL},
        {"graphs/vit_b_16.onnx", "conv_proj.weight", "conv", "Conv", 768, 196608, 768, 196608, 1, 1,
         0, 1, 0, NULL},
        {"graphs/vit_b_16.onnx", "encoder.layers.encoder_layer_5.self_attention.in_proj_weight",
         "attention_qkv", "MatMul", 768, 768, 768, 2304, 1, 3, 0, 1, 21, NULL},
        {"graphs/vit_b_16.onnx", "encoder.layers.encoder_layer_5.self_attention.out_proj.weight",
         "attention_out", "Gemm", 768, 768, 768, 768, 1, 1, 0, 1, 22, NULL},
        {"graphs/resnet18_eval_fused.onnx", "onnx::Conv_194", "bias", "Conv", 147, 3136, 147, 3136,
         1, 1, -1, -1, 0, NULL},
        {"graphs/squeezenet1_1.onnx", "classifier.1.weight", "output", "Conv", 512, 1000, 512, 1000,
         1, 1, 0, 1, 25, "relu"},
        {"gpt2:layers=2,width=64,heads=4,vocab=65,context=32", "wte.weight", "embedding", "Gather",
         64, 65, 64, 65, 1, 1, 0, 1, -1, NULL},
        {"mlp:10-5x2-3,act=silu:1.5,norm=layer", "fc2.weight", "dense", "Gemm", 5, 5, 5, 5, 1, 1, 0,
         1, 1, "silu:1.5"},
        {"mlp:10-5-3,act=prelu", "fc1_slope.weight", "prelu_slope", "PRelu", NAN, NAN, NAN, NAN, 1,
         1, -1, -1, -1, NULL},
        {"mlp:10-5-3,act=leaky_relu:0.2", "fc1.weight", "dense", "Gemm", 10, 5, 10, 5, 1, 1, 0, 1,
         0, "leaky_relu:0.2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        loaded l = load(rows[i].model);
        check_row(&l, &rows[i]);
        unload(l);
    }
}

/* ---- operators that no shared graph has -------------------------------------------------------- */

typedef struct maker {
    fanin_graph_builder *b;
    int x;
} maker;

static maker start(int rank, const int64_t *dims) {
    maker m;
    assert_ok(fanin_graph_builder_create("made", 17, &m.b));
    m.x = fanin_graph_input(m.b, "x", FANIN_F32, rank, dims);
    return m;
}

static int weight(maker *m, const char *name, int rank, const int64_t *dims) {
    return fanin_graph_initializer(m->b, name, FANIN_F32, rank, dims, NULL);
}

static int node(maker *m, const char *op, const int *in, int n, const fanin_attr *attrs, int count,
                int outputs) {
    return fanin_graph_node(m->b, op, NULL, in, n, attrs, count, outputs);
}

static loaded finish(maker *m, int y) {
    loaded l;
    fanin_err err = {0};
    fanin_graph_output(m->b, y, "y");
    assert_ok_err(fanin_graph_builder_finish(m->b, &l.graph, &err), err);
    assert_ok_err(fanin_tensors_create(l.graph, NULL, &l.tensors, &err), err);
    return l;
}

static fanin_attr attr(const char *name, int64_t i) {
    return (fanin_attr){.name = name, .type = FANIN_ATTR_INT, .i = i};
}

static fanin_attr attrs(const char *name, const int64_t *ints, size_t n) {
    return (fanin_attr){.name = name, .type = FANIN_ATTR_INTS, .ints = ints, .count = n};
}

#define DIMS(...) ((int64_t[]){__VA_ARGS__})
#define IDS(...)  ((int[]){__VA_ARGS__})

/* The contract's example: a 3x3 stride-2 transposed convolution sees C_in * 9/4. */
TEST(transposed_convolution_counts_what_outputs_see) {
    maker m = start(4, DIMS(-1, 16, 8, 8));
    int w = weight(&m, "up.weight", 4, DIMS(16, 6, 3, 3)), b = weight(&m, "up.bias", 1, DIMS(12));
    fanin_attr a[] = {attr("group", 2), attrs("strides", DIMS(2, 2), 2)};
    int y = node(&m, "ConvTranspose", IDS(m.x, w, b), 3, a, 2, 1);
    y = node(&m, "Relu", IDS(y), 1, NULL, 0, 1);
    int w2 = weight(&m, "last", 4, DIMS(1, 12, 1, 1));
    y = node(&m, "Conv", IDS(y, w2), 2, NULL, 0, 1);
    loaded l = finish(&m, y);
    check_row(&l, &(expected){"made", "up.weight", "conv_transpose", "ConvTranspose", 8 * 9 / 4.0,
                              54, 54, 144, 2, 1, 1, 0, 0, "relu"});
    check_row(&l, &(expected){"made", "up.bias", "bias", "ConvTranspose", 18, 54, 54, 144, 1, 1, -1,
                              -1, 0, NULL});
    check_row(&l, &(expected){"made", "last", "output", "Conv", 12, 1, 12, 1, 1, 1, 0, 1, 1, NULL});
    unload(l);
}

/* Gemm both ways round, MatMul both sides, weights behind Unsqueeze, Identity and Reshape. */
TEST(matrices_are_seen_through_views) {
    maker m = start(2, DIMS(-1, 10));
    int w = weight(&m, "a", 2, DIMS(10, 7)); /* in x out */
    int y = node(&m, "Gemm", IDS(m.x, w), 2, NULL, 0, 1);
    y = node(&m, "Tanh", IDS(y), 1, NULL, 0, 1);
    w = weight(&m, "b", 2, DIMS(7, 5));
    int copy = node(&m, "Identity", IDS(w), 1, NULL, 0, 1);
    y = node(&m, "MatMul", IDS(y, copy), 2, NULL, 0, 1);
    fanin_attr perm = attrs("perm", DIMS(1, 0), 2);
    y = node(&m, "Transpose", IDS(y), 1, &perm, 1, 1); /* 5 x N */
    w = weight(&m, "c", 2, DIMS(4, 5));                /* left: out x in */
    y = node(&m, "MatMul", IDS(w, y), 2, NULL, 0, 1);
    y = node(&m, "Transpose", IDS(y), 1, &perm, 1, 1); /* N x 4 */
    w = weight(&m, "d", 3, DIMS(4, 3, 2));             /* in x (heads, width) */
    int64_t flat[] = {4, -1};
    int shape = fanin_graph_initializer(m.b, "shape", FANIN_I64, 1, DIMS(2), flat);
    int matrix = node(&m, "Reshape", IDS(w, shape), 2, NULL, 0, 1);
    y = node(&m, "MatMul", IDS(y, matrix), 2, NULL, 0, 1);
    w = weight(&m, "e", 2, DIMS(6, 9));
    fanin_attr equation = {.name = "equation", .type = FANIN_ATTR_STRING, .s = "ni,io->no"};
    y = node(&m, "Einsum", IDS(y, w), 2, &equation, 1, 1);
    loaded l = finish(&m, y);
    check_row(&l, &(expected){"made", "a", "dense", "Gemm", 10, 7, 10, 7, 1, 1, 1, 0, 0, "tanh"});
    check_row(&l, &(expected){"made", "b", "dense", "MatMul", 7, 5, 7, 5, 1, 1, 1, 0, 1, NULL});
    check_row(&l, &(expected){"made", "c", "dense", "MatMul", 5, 4, 5, 4, 1, 1, 0, 1, 2, NULL});
    check_row(&l, &(expected){"made", "d", "dense", "MatMul", 4, 6, 8, 6, 1, 1, 1, 0, 3, NULL});
    check_row(&l, &(expected){"made", "e", "output", "Einsum", 6, 9, 6, 9, 1, 1, 1, 0, 4, NULL});
    check_row(&l, &(expected){"made", "shape", "constant", "", NAN, NAN, NAN, NAN, 1, 1, -1, -1, -1,
                              NULL});
    unload(l);
}

/* As torch exports an LSTM: gates sliced and joined in another order, biases joined. */
TEST(recurrent_weights_go_through_slices) {
    maker m = start(3, DIMS(5, -1, 6));
    int64_t zero[] = {0}, half[] = {8}, all[] = {16};
    int c0 = fanin_graph_initializer(m.b, "c0", FANIN_I64, 1, DIMS(1), zero);
    int c8 = fanin_graph_initializer(m.b, "c8", FANIN_I64, 1, DIMS(1), half);
    int c16 = fanin_graph_initializer(m.b, "c16", FANIN_I64, 1, DIMS(1), all);
    static const struct {
        const char *name;
        int rank;
        int64_t dims[2];
    } parts[] = {{"lstm.weight_ih_l0", 2, {16, 6}},
                 {"lstm.weight_hh_l0", 2, {16, 4}},
                 {"lstm.bias_ih_l0", 1, {16, 0}},
                 {"lstm.bias_hh_l0", 1, {16, 0}}};
    int joined[4];
    fanin_attr axis0 = attr("axis", 0);
    for (int i = 0; i < 4; i++) {
        int w = weight(&m, parts[i].name, parts[i].rank, parts[i].dims);
        int low = node(&m, "Slice", IDS(w, c0, c8, c0), 4, NULL, 0, 1);
        int high = node(&m, "Slice", IDS(w, c8, c16, c0), 4, NULL, 0, 1);
        joined[i] = node(&m, "Concat", IDS(high, low), 2, &axis0, 1, 1);
    }
    int bias = node(&m, "Concat", IDS(joined[2], joined[3]), 2, &axis0, 1, 1);
    int w = node(&m, "Unsqueeze", IDS(joined[0], c0), 2, NULL, 0, 1);
    int r = node(&m, "Unsqueeze", IDS(joined[1], c0), 2, NULL, 0, 1);
    bias = node(&m, "Unsqueeze", IDS(bias, c0), 2, NULL, 0, 1);
    fanin_attr hidden = attr("hidden_size", 4);
    int y = node(&m, "LSTM", IDS(m.x, w, r, bias), 4, &hidden, 1, 3);
    loaded l = finish(&m, y);
    check_row(&l, &(expected){"made", "lstm.weight_ih_l0", "recurrent_input", "LSTM", 6, 4, 6, 16,
                              1, 4, 0, 1, 0, NULL});
    check_row(&l, &(expected){"made", "lstm.weight_hh_l0", "recurrent_hidden", "LSTM", 4, 4, 4, 16,
                              1, 4, 0, 1, 0, NULL});
    check_row(&l, &(expected){"made", "lstm.bias_hh_l0", "recurrent_bias", "LSTM", 4, 4, 4, 16, 1,
                              4, -1, -1, 0, NULL});
    unload(l);
}

/* Keras opens the forget gate, once: ONNX's own bias holds input and recurrent halves in its order i o f c, torch's two
 * hold i f g o each. */
TEST(keras_opens_the_forget_gate) {
    maker m = start(3, DIMS(5, -1, 6));
    int w = weight(&m, "W", 3, DIMS(1, 16, 6)), r = weight(&m, "R", 3, DIMS(1, 16, 4));
    int b = weight(&m, "B", 2, DIMS(1, 32));
    fanin_attr hidden = attr("hidden_size", 4);
    loaded l = finish(&m, node(&m, "LSTM", IDS(m.x, w, r, b), 4, &hidden, 1, 3));
    fanin_init_options o = {.scheme = "keras"};
    fanin_plan *plan;
    fanin_err err = {0};
    float bias[32];
    assert_ok_err(fanin_plan_create(l.graph, &o, &plan, &err), err);
    assert_ok_err(fanin_plan_fill(plan, fanin_plan_find(plan, "B"), 0, 32, FANIN_F32, bias, &err),
                  err);
    for (int i = 0; i < 32; i++) assert_true(bias[i] == (i / 4 == 2 ? 1 : 0));
    fanin_plan_destroy(plan);
    unload(l);

    fanin_graph *g;
    assert_ok_err(fanin_graph_load("tensor:l.weight_ih_l0=16x6,l.weight_hh_l0=16x4,"
                                   "l.bias_ih_l0=16,l.bias_hh_l0=16,g.weight_hh_l0=12x4,"
                                   "g.bias_ih_l0=12",
                                   &g, &err),
                  err);
    assert_ok_err(fanin_plan_create(g, &o, &plan, &err), err);
    static const char *const names[] = {"l.bias_ih_l0", "l.bias_hh_l0", "g.bias_ih_l0"};
    for (int k = 0; k < 3; k++) {
        size_t n = k < 2 ? 16 : 12;
        int row = fanin_plan_find(plan, names[k]);
        assert_ok_err(fanin_plan_fill(plan, row, 0, n, FANIN_F32, bias, &err), err);
        for (size_t i = 0; i < n; i++) assert_true(bias[i] == (k == 0 && i / 4 == 1 ? 1 : 0));
    }
    fanin_plan_destroy(plan);
    fanin_graph_destroy(g);
}

static int project(maker *m, const char *name, int x, int64_t in, int64_t out) {
    int w = weight(m, name, 2, DIMS(in, out));
    return node(m, "MatMul", IDS(x, w), 2, NULL, 0, 1);
}

/* Separate projections with a rotary embedding, a mask and a gated feed-forward layer. */
TEST(attention_projections_are_told_apart) {
    maker m = start(3, DIMS(-1, 4, 8));
    int q = project(&m, "q", m.x, 8, 8), k = project(&m, "k", m.x, 8, 8);
    int v = project(&m, "v", m.x, 8, 8);
    int cosines = fanin_graph_initializer(m.b, "cos", FANIN_F32, 2, DIMS(4, 8), NULL);
    int turned = node(&m, "Neg", IDS(q), 1, NULL, 0, 1);
    q = node(&m, "Mul", IDS(q, cosines), 2, NULL, 0, 1);
    turned = node(&m, "Mul", IDS(turned, cosines), 2, NULL, 0, 1);
    q = node(&m, "Add", IDS(q, turned), 2, NULL, 0, 1);
    fanin_attr perm = attrs("perm", DIMS(0, 2, 1), 3);
    k = node(&m, "Transpose", IDS(k), 1, &perm, 1, 1);
    int s = node(&m, "MatMul", IDS(q, k), 2, NULL, 0, 1);
    float values[16] = {0};
    int mask = fanin_graph_initializer(m.b, "mask", FANIN_F32, 2, DIMS(4, 4), values);
    s = node(&m, "Add", IDS(s, mask), 2, NULL, 0, 1);
    s = node(&m, "Softmax", IDS(s), 1, NULL, 0, 1);
    int y = node(&m, "MatMul", IDS(s, v), 2, NULL, 0, 1);
    y = project(&m, "o", y, 8, 8);
    int h = node(&m, "Add", IDS(m.x, y), 2, NULL, 0, 1);
    int gate = project(&m, "gate", h, 8, 16), up = project(&m, "up", h, 8, 16);
    int soft = node(&m, "Sigmoid", IDS(gate), 1, NULL, 0, 1);
    gate = node(&m, "Mul", IDS(gate, soft), 2, NULL, 0, 1);
    y = project(&m, "down", node(&m, "Mul", IDS(gate, up), 2, NULL, 0, 1), 16, 8);
    h = node(&m, "Add", IDS(h, y), 2, NULL, 0, 1);
    loaded l = finish(&m, project(&m, "head", h, 8, 3));
    static const char *const classes[][3] = {
        {"q", "attention_q", NULL},   {"k", "attention_k", NULL}, {"v", "attention_v", NULL},
        {"o", "attention_out", NULL}, {"gate", "dense", "silu"},  {"up", "dense", NULL},
        {"down", "dense", NULL},      {"head", "output", NULL},   {"mask", "constant", NULL},
    };
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        int value = fanin_graph_find(l.graph, classes[i][0]);
        const fanin_tensor_info *info = NULL;
        for (int j = 0; j < l.tensors->count; j++)
            if (l.tensors->items[j].value == value) info = &l.tensors->items[j];
        assert_non_null(info);
        if (strcmp(fanin_class_name(info->tensor.cls), classes[i][1]) != 0)
            fail_msg("%s is %s", classes[i][0], fanin_class_name(info->tensor.cls));
        if (classes[i][2]) assert_string_equal(info->tensor.nonlinearity, classes[i][2]);
        bool closes = strcmp(classes[i][0], "o") == 0 || strcmp(classes[i][0], "down") == 0;
        assert_int_equal(info->closes, closes);
    }
    assert_int_equal(l.tensors->blocks, 1);
    unload(l);
}

/* A hostile shape: many shared scalars, deep chains of views. */
TEST(long_chains_end) {
    maker m = start(2, DIMS(-1, 4));
    int w = weight(&m, "w", 2, DIMS(4, 4)), y = m.x;
    for (int i = 0; i < 3000; i++) w = node(&m, "Identity", IDS(w), 1, NULL, 0, 1);
    for (int i = 0; i < 300; i++) y = node(&m, "MatMul", IDS(y, w), 2, NULL, 0, 1);
    loaded l = finish(&m, y);
    assert_int_equal(l.tensors->items[0].uses, 300);
    assert_int_equal(l.tensors->items[0].tensor.cls, FANIN_CLASS_DENSE);
    unload(l);
}

TEST(templates_need_a_layout_and_known_names) {
    fanin_graph *g;
    fanin_tensors *t;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_builtin("tensor:w=64x3x7x7,b=64", &g, &err), err);
    assert_ok_err(fanin_tensors_create(g, NULL, &t, &err), err);
    loaded l = {g, t};
    check_row(&l,
              &(expected){"tensor", "w", "conv", "", 147, 3136, 147, 3136, 1, 1, 0, 1, -1, NULL});
    check_row(&l,
              &(expected){"tensor", "b", "bias", "", 147, 3136, 147, 3136, 1, 1, -1, -1, -1, NULL});
    fanin_tensors_destroy(t);
    assert_ok_err(fanin_tensors_create(g, "jax", &t, &err), err);
    l.tensors = t;
    check_row(&l, &(expected){"tensor", "w", "conv", "", 64 * 3 * 7, 64 * 3 * 7, 64 * 3 * 7,
                              64 * 3 * 7, 1, 1, 3, 2, -1, NULL});
    unload(l);
    maker m;
    assert_ok(fanin_graph_builder_create("made", 17, &m.b));
    weight(&m, "h.0.attn.q_proj.weight", 2, DIMS(8, 8));
    weight(&m, "mystery", 2, DIMS(8, 8));
    assert_ok_err(fanin_graph_builder_finish(m.b, &g, &err), err);
    g->producer = "";
    assert_int_equal(fanin_tensors_create(g, NULL, &t, &err), FANIN_ARG);
    assert_non_null(strstr(err.message, "--layout"));
    assert_int_equal(fanin_tensors_create(g, "torch", &t, &err), FANIN_UNSUPPORTED);
    assert_non_null(strstr(err.message, "mystery"));
    assert_int_equal(fanin_tensors_create(g, "fortran", &t, &err), FANIN_ARG);
    fanin_graph_destroy(g);
}
