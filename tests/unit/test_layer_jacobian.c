/* jacobian_mean_sv of convolutions against the exact singular values of the same map, which --spectrum takes from the
 * engine's own gradients: a network of one layer is its input-output Jacobian. */
#include <math.h>
#include <stdio.h>

#include "base/base.h"
#include "fanin/probe.h"
#include "networks.h"
#include "testing.h"

typedef struct window {
    const char *what, *op;
    int64_t x[5], w[5];
    int rank;
    int64_t stride, dilation, pad, group;
    const char *activation; /* NULL: none */
} window;

static const window windows[] = {
    {"plain", "Conv", {4, 3, 9, 8}, {10, 3, 3, 3}, 4, 1, 1, 0, 1, NULL},
    {"padded", "Conv", {4, 4, 6, 7}, {6, 4, 3, 3}, 4, 1, 1, 1, 1, NULL},
    {"strided", "Conv", {4, 4, 11, 9}, {12, 4, 5, 5}, 4, 2, 1, 2, 1, NULL},
    {"dilated", "Conv", {4, 3, 10, 11}, {7, 3, 3, 3}, 4, 1, 2, 2, 1, NULL},
    {"groups", "Conv", {4, 6, 7, 7}, {9, 2, 3, 3}, 4, 1, 1, 1, 3, NULL},
    {"depthwise", "Conv", {4, 9, 7, 7}, {9, 1, 3, 3}, 4, 1, 1, 1, 9, NULL},
    {"one axis", "Conv", {4, 5, 40}, {8, 5, 4}, 3, 3, 1, 2, 1, NULL},
    {"three axes", "Conv", {4, 2, 5, 4, 6}, {6, 2, 2, 3, 2}, 5, 1, 1, 1, 1, NULL},
    {"transposed", "ConvTranspose", {4, 6, 5, 5}, {6, 4, 3, 3}, 4, 2, 1, 1, 1, NULL},
    {"relu", "Conv", {4, 4, 8, 8}, {8, 4, 3, 3}, 4, 1, 1, 1, 1, "Relu"},
    {"tanh", "Conv", {4, 4, 8, 8}, {8, 4, 3, 3}, 4, 1, 1, 1, 1, "Tanh"},
};

static fanin_graph *build(const window *w) {
    const int64_t strides[3] = {w->stride, w->stride, w->stride};
    const int64_t dilations[3] = {w->dilation, w->dilation, w->dilation};
    const int64_t pads[6] = {w->pad, w->pad, w->pad, w->pad, w->pad, w->pad};
    const size_t axes = (size_t)w->rank - 2;
    const fanin_attr attrs[] = {
        {.name = "strides", .type = FANIN_ATTR_INTS, .count = axes, .ints = strides},
        {.name = "dilations", .type = FANIN_ATTR_INTS, .count = axes, .ints = dilations},
        {.name = "pads", .type = FANIN_ATTR_INTS, .count = 2 * axes, .ints = pads},
        {.name = "group", .type = FANIN_ATTR_INT, .i = w->group}};
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("window", 15, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, w->rank, w->x);
    int in[] = {x, fanin_graph_initializer(b, "w", FANIN_F32, w->rank, w->w, NULL)};
    int y = fanin_graph_node(b, w->op, "conv", in, 2, attrs, 4, 1);
    if (w->activation) y = fanin_graph_node(b, w->activation, "act", &y, 1, NULL, 0, 1);
    fanin_graph_output(b, y, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

/* h = relu(concat(x, W1 x)): the activation is not of W1's units only, and W1 alone is what there is. */
static fanin_graph *build_joined(void) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    const fanin_attr axis = {.name = "axis", .type = FANIN_ATTR_INT, .i = 1};
    assert_ok(fanin_graph_builder_create("joined", 15, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){4, 5});
    int w1 = fanin_graph_initializer(b, "w1", FANIN_F32, 2, (int64_t[]){5, 3}, NULL);
    int w2 = fanin_graph_initializer(b, "w2", FANIN_F32, 2, (int64_t[]){8, 2}, NULL);
    int y = fanin_graph_node(b, "MatMul", "first", (int[]){x, w1}, 2, NULL, 0, 1);
    int both = fanin_graph_node(b, "Concat", "both", (int[]){x, y}, 2, &axis, 1, 1);
    int h = fanin_graph_node(b, "Relu", "act", &both, 1, NULL, 0, 1);
    fanin_graph_output(b, fanin_graph_node(b, "MatMul", "last", (int[]){h, w2}, 2, NULL, 0, 1),
                       "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

static fanin_signal *measure(const fanin_graph *g, const char *scheme, fanin_signal_options o) {
    fanin_signal *s;
    fanin_err err = {0};
    const fanin_init_options init = {.scheme = scheme, .seed = 3};
    assert_ok_err(fanin_signal_measure(g, &init, &o, &s, &err), err);
    return s;
}

TEST(convolutions_against_their_dense_matrices) {
    for (size_t k = 0; k < FANIN_COUNT(windows); k++) {
        window many = windows[k];
        many.x[0] = 256; /* of more samples there are more starts */
        fanin_graph *g = build(&windows[k]), *h = build(&many);
        fanin_signal *dense =
            measure(g, "lecun_normal", (fanin_signal_options){.batch = 4, .spectrum = true});
        fanin_signal *s = measure(h, "lecun_normal", (fanin_signal_options){.batch = 256});
        const fanin_layer_signal *l = &s->layers[0];
        double off = fabs(l->jacobian_mean_sv - dense->jacobian.mean);
        printf("%s: %.4f +- %.4f, exact %.4f\n", windows[k].what, l->jacobian_mean_sv,
               l->jacobian_sv_error, dense->jacobian.mean);
        assert_true(dense->jacobian.exact);
        assert_true(l->jacobian_sv_error < 0.02 * l->jacobian_mean_sv);
        assert_true(off < 5 * l->jacobian_sv_error + 0.006 * dense->jacobian.mean);
        assert_near(l->jacobian_mean_sv, dense->jacobian.mean, 0, 0.04);
        fanin_signal_destroy(dense);
        fanin_signal_destroy(s);
        fanin_graph_destroy(g);
        fanin_graph_destroy(h);
    }
}

/* A batch norm undoes the scale of the weights before it: the layer's Jacobian must not see it. */
TEST(the_scale_of_a_batch_norm_belongs_to_the_layer) {
    static const char *const nets[] = {"mlp:20-30x2-5,act=tanh,norm=batch",
                                       "convnet:3x8x8-6x2-4,norm=batch"};
    for (size_t k = 0; k < FANIN_COUNT(nets); k++) {
        fanin_graph *g = load(nets[k]);
        const fanin_signal_options o = {.batch = 32};
        fanin_signal *one = measure(g, "he_normal", o),
                     *ten = measure(g, "he_normal:gain=14.142", o);
        for (int i = 0; i + 1 < one->layer_count; i++)
            assert_near(ten->layers[i].jacobian_mean_sv, one->layers[i].jacobian_mean_sv, 0, 1e-3);
        int last = one->layer_count - 1; /* behind which there is none */
        assert_near(ten->layers[last].jacobian_mean_sv, 10 * one->layers[last].jacobian_mean_sv, 0,
                    1e-3);
        fanin_signal_destroy(one);
        fanin_signal_destroy(ten);
        fanin_graph_destroy(g);
    }
}

TEST(units_that_are_joined_before_their_activation) {
    fanin_graph *g = build_joined();
    fanin_signal *s = measure(g, "orthogonal:gain=1.5", (fanin_signal_options){.batch = 4});
    assert_int_equal(s->layer_count, 2);
    assert_near(s->layers[0].jacobian_mean_sv, 1.5, 1e-5, 0);
    assert_near(s->layers[1].jacobian_mean_sv, 1.5, 1e-5, 0);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}
