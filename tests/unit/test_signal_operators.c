/* Signal rules of operators that meet in real networks: small graphs, geometric means over nets beside the
 * predictions. H0: log10 of measured over predicted is 0 at every layer. Width 64 and 8 nets: second moments and
 * gradients scatter by about sqrt(5 depth / 64 / 8) / 2.3, 0.07 decades at the deepest layer here; the faults that
 * these tests are for are 0.17 decades and more. */
#include <math.h>
#include <stdio.h>

#include "fanin/graph.h"
#include "fanin/probe.h"
#include "networks.h"
#include "testing.h"

enum { WIDTH = 64, SIDE = 12, CLASSES = 10, NETS = 8, BATCH = 8 };

static const double allowed = 0.15;

static int node(fanin_graph_builder *b, const char *op, const int *in, int count,
                const fanin_attr *attrs, int attr_count) {
    return fanin_graph_node(b, op, NULL, in, count, attrs, attr_count, 1);
}

static int one(fanin_graph_builder *b, const char *op, int x) {
    return node(b, op, &x, 1, NULL, 0);
}

static int two(fanin_graph_builder *b, const char *op, int x, int y) {
    return node(b, op, (int[]){x, y}, 2, NULL, 0);
}

static int weight(fanin_graph_builder *b, const char *name, int rank, const int64_t *dims) {
    return fanin_graph_initializer(b, name, FANIN_F32, rank, dims, NULL);
}

/* A k x k convolution that keeps the size. */
static int conv(fanin_graph_builder *b, int x, int layer, int64_t in, int64_t out, int64_t k) {
    const int64_t dims[4] = {out, in, k, k}, pads[4] = {k / 2, k / 2, k / 2, k / 2};
    const fanin_attr attr = {
        .name = "pads", .type = FANIN_ATTR_INTS, .ints = (int64_t *)pads, .count = 4};
    char name[32];
    snprintf(name, sizeof name, "conv%d.weight", layer);
    return node(b, "Conv", (int[]){x, weight(b, name, 4, dims)}, 2, &attr, 1);
}

static int norm(fanin_graph_builder *b, const char *op, int x, int layer) {
    static const char *const names[] = {"scale", "shift", "mean", "var"};
    const int64_t dims = WIDTH;
    int in[5] = {x}, count = op[0] == 'B' ? 4 : 2;
    char name[32];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "norm%d.%s", layer, names[i]);
        in[1 + i] = weight(b, name, 1, &dims);
    }
    const fanin_attr train = {.name = "training_mode", .type = FANIN_ATTR_INT, .i = 1};
    return node(b, op, in, count + 1, &train, op[0] == 'B');
}

/* Mean over positions, then the output layer. */
static fanin_graph *finish(fanin_graph_builder *b, int x) {
    const int64_t dims[2] = {WIDTH, CLASSES};
    fanin_graph *g;
    fanin_err err = {0};
    x = one(b, "Flatten", one(b, "GlobalAveragePool", x));
    x = two(b, "MatMul", x, weight(b, "output.weight", 2, dims));
    fanin_graph_output(b, x, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

static int start(const char *name, fanin_graph_builder **b) {
    const int64_t dims[4] = {-1, 3, SIDE, SIDE};
    assert_ok(fanin_graph_builder_create(name, 17, b));
    return fanin_graph_input(*b, "x", FANIN_F32, 4, dims);
}

static void as_predicted_of(fanin_graph *g, const char *what, const char *scheme, int64_t batch,
                            double most) {
    const fanin_init_options init = {.scheme = scheme, .seed = 11};
    const fanin_signal_options o = {.batch = batch, .seeds = NETS};
    fanin_signal *s;
    fanin_err err = {0};
    int missed = 0;
    assert_ok_err(fanin_signal_measure(g, &init, &o, &s, &err), err);
    if (s->unpredicted[0]) fail_msg("%s: %s", what, s->unpredicted);
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        double second = 0.5 * log10(l->second_moment / l->predicted_second_moment);
        double gradient = log10(l->grad_norm / l->predicted_grad_norm);
        if (fabs(second) <= most && fabs(gradient) <= most) continue;
        printf("%s, %s: %.2f decades off in signal, %.2f in gradient\n", what, l->name, second,
               gradient);
        missed++;
    }
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
    if (missed) fail_msg("%s: %d layers are not as predicted", what, missed);
}

static void as_predicted(fanin_graph *g, const char *what) {
    as_predicted_of(g, what, "auto", BATCH, allowed);
}

/* A mean over positions of what a batch norm centred: all but nothing, of which a gate's share must be exact. */
TEST(gates_before_a_norm_and_a_mean) {
    fanin_graph_builder *b;
    int image = start("gates", &b), x = conv(b, image, 0, 3, WIDTH, 3);
    for (int i = 1; i < 4; i++) {
        int h = one(b, "Relu",
                    norm(b, "BatchNormalization", conv(b, x, 3 * i, WIDTH, WIDTH, 3), 2 * i));
        int gate = conv(b, one(b, "GlobalAveragePool", h), 3 * i + 1, WIDTH, WIDTH, 1);
        h = two(b, "Mul", h, one(b, "Sigmoid", gate));
        h = norm(b, "BatchNormalization", conv(b, h, 3 * i + 2, WIDTH, WIDTH, 3), 2 * i + 1);
        x = two(b, "Add", x, h);
    }
    as_predicted(finish(b, x), "gates");
}

/* x sigmoid(x), spelled out: both ways of the gradient are one. */
TEST(a_function_spelled_out_behind_padding) {
    fanin_graph_builder *b;
    int x = start("silu", &b);
    for (int i = 0; i < 6; i++) {
        x = norm(b, "BatchNormalization", conv(b, x, i, i ? WIDTH : 3, WIDTH, 3), i);
        x = two(b, "Mul", x, one(b, "Sigmoid", x));
    }
    as_predicted(finish(b, x), "silu");
}

/* Eight numbers a channel: the mean of 1/variance is 7/5 of one over the mean, 0.22 decades over the three norms. */
TEST(norms_over_a_small_batch) {
    fanin_graph_builder *b;
    const int64_t dims[4] = {-1, WIDTH, 1, 1};
    assert_ok(fanin_graph_builder_create("small batch", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 4, dims);
    for (int i = 0; i < 3; i++)
        x = one(b, "Relu", norm(b, "BatchNormalization", conv(b, x, i, WIDTH, WIDTH, 1), i));
    as_predicted_of(finish(b, x), "small batch", "auto", 8, allowed);
}

TEST(norms_of_each_sample) {
    fanin_graph_builder *b;
    int x = start("instance norm", &b);
    for (int i = 0; i < 6; i++) {
        x = norm(b, "InstanceNormalization", conv(b, x, i, i ? WIDTH : 3, WIDTH, 3), i);
        x = one(b, "Relu", x);
    }
    as_predicted(finish(b, x), "instance norm");
}

/* Average pools that count their padding, as exporters write them: zeros first, then the pool. */
TEST(pools_that_count_their_padding) {
    const int64_t pads[8] = {0, 0, 1, 1, 0, 0, 1, 1}, kernel[2] = {3, 3};
    const int64_t rank = 8;
    const fanin_attr window = {
        .name = "kernel_shape", .type = FANIN_ATTR_INTS, .ints = (int64_t *)kernel, .count = 2};
    fanin_graph_builder *b;
    int x = start("pools", &b);
    const fanin_attr half[2] = {
        window,
        {.name = "strides", .type = FANIN_ATTR_INTS, .ints = (int64_t *)kernel, .count = 2}};
    x = one(b, "Relu", conv(b, x, 0, 3, WIDTH, 3));
    x = node(b, "MaxPool", &x, 1, half, 2); /* 4 x 4: a quarter of the windows is padding */
    for (int i = 1; i < 4; i++) {
        int zeros = fanin_graph_initializer(b,
                                            i == 1   ? "pads1"
                                            : i == 2 ? "pads2"
                                                     : "pads3",
                                            FANIN_I64, 1, &rank, pads);
        x = node(b, "AveragePool", (int[]){two(b, "Pad", x, zeros)}, 1, &window, 1);
        x = one(b, "Relu", conv(b, x, i, WIDTH, WIDTH, 1));
    }
    as_predicted(finish(b, x), "pools");
}

/* Eight units that see a mean over the image, alike for all samples: some of these nets have more than 55 % of them off. */
TEST(gates_of_few_units_are_healthy) {
    fanin_graph_builder *b;
    int image = start("bottlenecks", &b), x = conv(b, image, 0, 3, WIDTH, 3);
    for (int i = 1; i < 4; i++) {
        int h = conv(b, x, 4 * i, WIDTH, WIDTH, 3);
        h = one(b, "Relu", norm(b, "BatchNormalization", h, 2 * i));
        int gate = conv(b, one(b, "GlobalAveragePool", h), 4 * i + 1, WIDTH, 8, 1);
        gate = conv(b, one(b, "Relu", gate), 4 * i + 2, 8, WIDTH, 1);
        h = conv(b, two(b, "Mul", h, one(b, "Sigmoid", gate)), 4 * i + 3, WIDTH, WIDTH, 3);
        x = two(b, "Add", x, norm(b, "BatchNormalization", h, 2 * i + 1));
    }
    fanin_graph *g = finish(b, x);
    bool some = false;
    for (uint64_t seed = 0; seed < 6; seed++) {
        const fanin_init_options init = {.scheme = "auto", .seed = seed};
        const fanin_signal_options o = {.batch = BATCH};
        fanin_signal *s;
        fanin_err err = {0};
        assert_ok_err(fanin_signal_measure(g, &init, &o, &s, &err), err);
        for (int i = 0; i < s->layer_count; i++) some = some || s->layers[i].dead > 0.55;
        if (s->verdict != FANIN_VERDICT_HEALTHY) fail_msg("seed %d: %s", (int)seed, s->advice);
        fanin_signal_destroy(s);
    }
    assert_true(some);
    fanin_graph_destroy(g);
}

/* Behind zero padding windows find less at the edges, neighbours share more than positions far apart, and windows that
 * overlap share positions: taken as alike, the last layers' signal is 0.13 decades less than predicted. */
TEST(maxima_behind_padding) {
    const int64_t kernel[2] = {3, 3}, pads[4] = {1, 1, 1, 1}, strides[2] = {2, 2};
    const fanin_attr window[3] = {
        {.name = "kernel_shape", .type = FANIN_ATTR_INTS, .ints = (int64_t *)kernel, .count = 2},
        {.name = "pads", .type = FANIN_ATTR_INTS, .ints = (int64_t *)pads, .count = 4},
        {.name = "strides", .type = FANIN_ATTR_INTS, .ints = (int64_t *)strides, .count = 2}};
    fanin_graph_builder *b;
    int x = start("maxima", &b);
    for (int i = 0; i < 3; i++) {
        x = one(b, "Relu", conv(b, x, i, i ? WIDTH : 3, WIDTH, 5));
        x = node(b, "MaxPool", &x, 1, window, 3);
    }
    as_predicted_of(finish(b, x), "maxima", "auto", BATCH, 0.08);
}

/* Of a mean over the image: what positions far apart have in common falls from layer to layer. */
TEST(a_mean_over_an_image_that_was_padded) {
    fanin_graph_builder *b;
    int x = start("padded", &b);
    for (int i = 0; i < 6; i++) x = one(b, "Relu", conv(b, x, i, i ? WIDTH : 3, WIDTH, 5));
    as_predicted_of(finish(b, x), "padded", "he", BATCH, 0.1);
}

/* Neighbours behind a transposed convolution of stride 2 are made with other taps: nothing in common, which a norm that
 * follows must know. */
TEST(neighbours_behind_a_transposed_convolution) {
    const int64_t two_by_two[2] = {2, 2}, ones[4] = {1, 1, 1, 1}, dims[4] = {WIDTH, WIDTH, 4, 4};
    const int64_t seed[4] = {-1, WIDTH, 1, 1};
    const fanin_attr attrs[2] = {
        {.name = "strides", .type = FANIN_ATTR_INTS, .ints = (int64_t *)two_by_two, .count = 2},
        {.name = "pads", .type = FANIN_ATTR_INTS, .ints = (int64_t *)ones, .count = 4}};
    fanin_graph_builder *b;
    assert_ok(fanin_graph_builder_create("transposed", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 4, seed);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "up%d.weight", i);
        int in[2] = {x, weight(b, name, 4, dims)};
        x = node(b, "ConvTranspose", in, 2, attrs, 2);
        x = one(b, "Relu", norm(b, "BatchNormalization", x, i));
    }
    as_predicted_of(finish(b, x), "transposed", "auto", 4, 0.1);
}

/* ---- recurrent networks ---------------------------------------------------------------------------------- */

enum { STEPS = 10, FEATURES = 24 };

static int sequence(const char *name, fanin_graph_builder **b) {
    const int64_t dims[3] = {-1, STEPS, FEATURES}, turn[3] = {1, 0, 2};
    const fanin_attr perm = {
        .name = "perm", .type = FANIN_ATTR_INTS, .ints = (int64_t *)turn, .count = 3};
    assert_ok(fanin_graph_builder_create(name, 17, b));
    int x = fanin_graph_input(*b, "x", FANIN_F32, 3, dims);
    return node(*b, "Transpose", &x, 1, &perm, 1);
}

/* Element `at` of the first axis, which goes. */
static int element(fanin_graph_builder *b, int x, int64_t at) {
    char name[32];
    snprintf(name, sizeof name, "index%d.%d", x, (int)at);
    return two(b, "Gather", x, fanin_graph_initializer(b, name, FANIN_I64, 0, NULL, &at));
}

static int lstm(fanin_graph_builder *b, int x, int layer, int64_t in) {
    const int64_t w[3] = {1, 4 * WIDTH, in}, r[3] = {1, 4 * WIDTH, WIDTH}, one_axis = 1, axis = 1;
    const fanin_attr hidden = {.name = "hidden_size", .type = FANIN_ATTR_INT, .i = WIDTH};
    char name[3][32];
    snprintf(name[0], sizeof name[0], "lstm%d.w", layer);
    snprintf(name[1], sizeof name[1], "lstm%d.r", layer);
    snprintf(name[2], sizeof name[2], "lstm%d.axes", layer);
    int in_out[3] = {x, weight(b, name[0], 3, w), weight(b, name[1], 3, r)};
    int y = node(b, "LSTM", in_out, 3, &hidden, 1);
    return two(b, "Squeeze", y,
               fanin_graph_initializer(b, name[2], FANIN_I64, 1, &one_axis, &axis));
}

static fanin_graph *classify(fanin_graph_builder *b, int x) {
    const int64_t dims[2] = {WIDTH, CLASSES};
    fanin_graph *g;
    fanin_err err = {0};
    fanin_graph_output(b, two(b, "MatMul", x, weight(b, "output.weight", 2, dims)), "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

/* Inputs of different steps are different ones: taken as one, the cells of the second layer add up what is 0.13 decades too
 * large. */
TEST(an_lstm_hears_something_new_at_each_step) {
    fanin_graph_builder *b;
    int x = sequence("lstm", &b);
    x = lstm(b, x, 0, FEATURES);
    as_predicted_of(classify(b, element(b, x, STEPS - 1)), "lstm", "lecun", BATCH, 0.1);
    x = sequence("two lstms", &b);
    x = lstm(b, lstm(b, x, 0, FEATURES), 1, WIDTH);
    as_predicted_of(classify(b, element(b, x, STEPS - 1)), "two lstms", "lecun", BATCH, 0.1);
}

/* h = tanh(W x + U h), step by step with the same W and U: with targets of 1 for both the gradient keeps its size, and
 * W x + U h is no residual sum. */
TEST(a_recurrent_cell_keeps_its_gradient) {
    const int64_t wide[2] = {FEATURES, WIDTH}, square[2] = {WIDTH, WIDTH}, start[2] = {1, WIDTH};
    const int64_t rank = 2;
    fanin_graph_builder *b;
    fanin_err err = {0};
    fanin_signal *s;
    int x = sequence("cell", &b), w = weight(b, "w", 2, wide), u = weight(b, "u", 2, square);
    int h =
        one(b, "ConstantOfShape", fanin_graph_initializer(b, "start", FANIN_I64, 1, &rank, start));
    for (int t = 0; t < STEPS; t++)
        h = one(b, "Tanh",
                two(b, "Add", two(b, "MatMul", element(b, x, t), w), two(b, "MatMul", h, u)));
    fanin_graph *g = classify(b, h);
    const fanin_init_options init = {.scheme = "auto", .seed = 11};
    const fanin_signal_options o = {.batch = BATCH, .seeds = NETS};
    assert_ok_err(fanin_signal_measure(g, &init, &o, &s, &err), err);
    assert_int_equal(s->unpredicted[0], 0);
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        if (!(l->predicted_second_moment > 0)) continue; /* zeros times U */
        double ratio = l->second_moment / l->predicted_second_moment;
        if (!(ratio > 0.7 && ratio < 1.4)) fail_msg("%s: %g of the prediction", l->name, ratio);
        ratio = l->second_moment / l->target_second_moment;
        if (!(ratio > 0.5 && ratio < 2)) fail_msg("%s: %g of the target", l->name, ratio);
    }
    assert_true(fabs(s->backward_slope) < 0.08); /* with U as a residual branch 0.2 */
    assert_int_equal(s->verdict, FANIN_VERDICT_HEALTHY);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* ---- masks --------------------------------------------------------------------------------------------- */

/* Second moment predicted of an attention's output; `far` is added to the logits of later steps. */
static double attended(float far) {
    enum { LENGTH = 16 };
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_plan *plan;
    fanin_prediction *p;
    fanin_err err = {0};
    const int64_t square[2] = {WIDTH, WIDTH}, steps[2] = {LENGTH, LENGTH},
                  in[3] = {-1, LENGTH, WIDTH};
    float mask[LENGTH * LENGTH] = {0};
    for (int i = 0; i < LENGTH; i++)
        for (int k = i + 1; k < LENGTH; k++) mask[i * LENGTH + k] = far;
    assert_ok(fanin_graph_builder_create("masked", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 3, in);
    int q = two(b, "MatMul", x, weight(b, "q.weight", 2, square));
    int k = two(b, "MatMul", x, weight(b, "k.weight", 2, square));
    int v = two(b, "MatMul", x, weight(b, "v.weight", 2, square));
    const fanin_attr perm = {
        .name = "perm", .type = FANIN_ATTR_INTS, .ints = (int64_t[]){0, 2, 1}, .count = 3};
    int scores = two(b, "MatMul", q, node(b, "Transpose", &k, 1, &perm, 1));
    const float root = 0.125f;
    scores = two(b, "Mul", scores, fanin_graph_initializer(b, "root", FANIN_F32, 0, NULL, &root));
    scores = two(b, "Add", scores, fanin_graph_initializer(b, "mask", FANIN_F32, 2, steps, mask));
    int y = two(b, "MatMul", one(b, "Softmax", scores), v);
    y = two(b, "MatMul", y, weight(b, "output.weight", 2, square));
    fanin_graph_output(b, y, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    const fanin_init_options init = {.scheme = "lecun"};
    assert_ok_err(fanin_plan_create(g, &init, &plan, &err), err);
    const fanin_predict_options o = {.plan = plan};
    assert_ok_err(fanin_predict(g, &o, &p, &err), err);
    double second = p->values[g->outputs[0]].second_moment;
    fanin_prediction_destroy(p);
    fanin_plan_destroy(plan);
    fanin_graph_destroy(g);
    return second;
}

/* -100 as windowed attention has it hides as well as -1e9; without a mask rows are longer and means smaller. */
TEST(low_numbers_mask) {
    double hidden = attended(-1e9f), low = attended(-100), open = attended(0);
    assert_true(low == hidden);
    assert_true(open < 0.8 * hidden);
}
