/* Programs: what they compute is tested by test_golden and test_operators; here their surface. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/engine.h"
#include "fanin/format.h"
#include "fanin/random.h"
#include "networks.h"
#include "testing.h"

/* x of `batch` x 3 x 6 x 6: convolution, batch norm, relu, max pooling, dense. */
static fanin_graph *small_net(void) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("small", 15, &b));
    int64_t three[1] = {3}, four[1] = {4};
    int x = fanin_graph_input(b, "x", FANIN_F32, 4, (int64_t[]){-1, 3, 6, 6});
    int k = fanin_graph_initializer(b, "k", FANIN_F32, 4, (int64_t[]){4, 3, 3, 3}, NULL);
    int scale = fanin_graph_initializer(b, "scale", FANIN_F32, 1, four, NULL);
    int shift = fanin_graph_initializer(b, "shift", FANIN_F32, 1, four, NULL);
    int mean = fanin_graph_initializer(b, "mean", FANIN_F32, 1, four, (float[]){1, 2, 3, 4});
    int var = fanin_graph_initializer(b, "var", FANIN_F32, 1, four, (float[]){1, 1, 4, 4});
    int w = fanin_graph_initializer(b, "w", FANIN_F32, 2, (int64_t[]){3, 16}, NULL);
    int bias = fanin_graph_initializer(b, "b", FANIN_F32, 1, three, NULL);
    fanin_attr pool[2] = {
        {.name = "kernel_shape", .type = FANIN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}},
        {.name = "strides", .type = FANIN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}}};
    fanin_attr trans = {.name = "transB", .type = FANIN_ATTR_INT, .i = 1};
    fanin_attr half = {.name = "momentum", .type = FANIN_ATTR_FLOAT, .f = 0.5};
    int y = fanin_graph_node(b, "Conv", "conv", (int[]){x, k}, 2, NULL, 0, 1);
    y = fanin_graph_node(b, "BatchNormalization", "bn", (int[]){y, scale, shift, mean, var}, 5,
                         &half, 1, 1);
    y = fanin_graph_node(b, "Relu", "relu", &y, 1, NULL, 0, 1);
    y = fanin_graph_node(b, "MaxPool", "pool", &y, 1, pool, 2, 1);
    y = fanin_graph_node(b, "Flatten", "flat", &y, 1, NULL, 0, 1);
    y = fanin_graph_node(b, "Gemm", "fc", (int[]){y, w, bias}, 3, &trans, 1, 1);
    fanin_graph_output(b, y, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

static void fill(fanin_program *p) {
    uint64_t s = 1;
    for (int i = 0; i < fanin_program_weight_count(p) + 1; i++) {
        bool input = i == fanin_program_weight_count(p);
        if (!input && fanin_program_weight_present(p, i)) continue;
        fanin_buffer b = input ? fanin_program_input(p, 0) : fanin_program_weight(p, i);
        for (size_t k = 0; k < b.count; k++) {
            s = s * UINT64_C(6364136223846793005) + 1442695040888963407u;
            ((float *)b.data)[k] = (float)(s >> 40) * 0x1p-24f - 0.5f;
        }
    }
    fanin_buffer t = fanin_program_target(p);
    for (size_t k = 0; k < t.count; k++) ((int64_t *)t.data)[k] = (int64_t)(k % 3);
}

static int weight_called(const fanin_program *p, const char *name) {
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        if (!strcmp(fanin_program_weight_name(p, i), name)) return i;
    fail_msg("no weight '%s'", name);
    return -1;
}

TEST(runs_repeat_and_the_surface_is_there) {
    fanin_graph *g = small_net();
    fanin_program *p = program_of(
        g, (fanin_program_options){.batch = 5, .loss = "cross_entropy", .gradients = true});
    fill(p);
    assert_int_equal(fanin_program_weight_count(p), 7);
    assert_string_equal(fanin_program_weight_name(p, 0), "k");
    assert_null(fanin_program_weight_name(p, 7));
    assert_true(fanin_program_weight_present(p, weight_called(p, "mean")));
    assert_false(fanin_program_weight_present(p, 0));
    assert_null(fanin_program_gradient(p, weight_called(p, "var")).data);
    assert_null(fanin_program_input_gradient(p, 0).data);
    assert_null(fanin_program_value(p, 0).data);
    assert_ok(fanin_program_run(p, NULL));
    fanin_buffer g0 = fanin_program_gradient(p, 0);
    assert_int_equal(g0.count, 4 * 27);
    float first[4 * 27];
    memcpy(first, g0.data, sizeof first);
    double loss = fanin_program_loss(p);
    assert_true(loss > 0 && loss < 10);
    assert_ok(fanin_program_run(p, NULL));
    assert_memory_equal(first, g0.data, sizeof first);
    assert_true(fanin_program_loss(p) == loss);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

/* Fused and lowered batch norm, fast and plain kernels: the same numbers. */
TEST(fast_equals_reference) {
    fanin_graph *g = small_net();
    fanin_program_options o = {
        .batch = 5, .loss = "cross_entropy", .gradients = true, .input_gradients = true};
    fanin_program *a = program_of(g, o);
    o.reference = true;
    o.keep_values = true;
    fanin_program *b = program_of(g, o);
    fill(a);
    fill(b);
    assert_ok(fanin_program_run(a, NULL));
    assert_ok(fanin_program_run(b, NULL));
    assert_near(fanin_program_loss(a), fanin_program_loss(b), 0, 1e-6);
    for (int i = 0; i < fanin_program_weight_count(a); i++) {
        fanin_buffer u = fanin_program_gradient(a, i), v = fanin_program_gradient(b, i);
        for (size_t k = 0; k < u.count; k++)
            assert_near(((float *)u.data)[k], ((float *)v.data)[k], 2e-6, 1e-4);
    }
    fanin_buffer u = fanin_program_input_gradient(a, 0), v = fanin_program_input_gradient(b, 0);
    for (size_t k = 0; k < u.count; k++)
        assert_near(((float *)u.data)[k], ((float *)v.data)[k], 2e-6, 1e-4);
    /* every value is there, and the output's gradient sums to 0 over the classes */
    for (int i = 0; i < g->value_count; i++)
        if (g->values[i].producer >= 0) assert_non_null(fanin_program_value(b, i).data);
    fanin_buffer dy = fanin_program_value_gradient(b, g->outputs[0]);
    assert_int_equal(dy.count, 15);
    for (int r = 0; r < 5; r++) {
        const float *row = (const float *)dy.data + 3 * r;
        assert_near(row[0] + row[1] + row[2], 0, 1e-7, 0);
    }
    fanin_program_destroy(a);
    fanin_program_destroy(b);
    fanin_graph_destroy(g);
}

/* new = old * momentum + batch * (1 - momentum), from values of the graph; evaluation uses the old. */
TEST(running_statistics) {
    fanin_graph *g = small_net();
    fanin_program_options o = {.batch = 4, .keep_values = true};
    fanin_program *p = program_of(g, o);
    fill(p);
    assert_ok(fanin_program_run(p, NULL));
    int conv = g->nodes[0].outputs[0], norm = g->nodes[1].outputs[0];
    fanin_buffer x = fanin_program_value(p, conv);
    double sum = 0, squares = 0;
    for (int n = 0; n < 4; n++)
        for (int i = 0; i < 16; i++) {
            double v = ((float *)x.data)[(n * 4 + 2) * 16 + i];
            sum += v / 64;
            squares += v * v / 64;
        }
    int mean = weight_called(p, "mean"), var = weight_called(p, "var");
    assert_near(((float *)fanin_program_statistic(p, mean).data)[2], 1.5 + sum / 2, 1e-6, 1e-5);
    assert_near(((float *)fanin_program_statistic(p, var).data)[2], 2 + (squares - sum * sum) / 2,
                1e-6, 1e-5);
    assert_null(fanin_program_statistic(p, 0).data);
    fanin_program_destroy(p);
    o.eval = true;
    p = program_of(g, o);
    fill(p);
    assert_ok(fanin_program_run(p, NULL));
    double in = ((float *)fanin_program_value(p, conv).data)[2 * 16];
    double scale = ((float *)fanin_program_weight(p, weight_called(p, "scale")).data)[2];
    double shift = ((float *)fanin_program_weight(p, weight_called(p, "shift")).data)[2];
    assert_near(((float *)fanin_program_value(p, norm).data)[2 * 16],
                (in - 3) / sqrt(4 + 1e-5) * scale + shift, 1e-6, 1e-5);
    assert_null(fanin_program_statistic(p, mean).data);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

static void refused(const fanin_graph *g, fanin_program_options o, fanin_status status,
                    const char *word) {
    fanin_program *p = NULL;
    fanin_err err = {0};
    assert_int_equal(fanin_program_create(g, &o, &p, &err), status);
    assert_null(p);
    if (!strstr(err.message, word)) fail_msg("'%s' lacks '%s'", err.message, word);
}

TEST(mistakes_are_named) {
    fanin_graph *g = builtin("mlp:4-3-2");
    refused(g, (fanin_program_options){.loss = "hinges"}, FANIN_ARG, "hinges");
    refused(g, (fanin_program_options){.gradients = true}, FANIN_ARG, "loss");
    refused(g, (fanin_program_options){.dtype = FANIN_F16}, FANIN_ARG, "BF16");
    fanin_program *p = program_of(g, (fanin_program_options){.batch = 2, .loss = "cross_entropy"});
    fanin_err err = {0};
    ((int64_t *)fanin_program_target(p).data)[1] = 2;
    assert_int_equal(fanin_program_run(p, &err), FANIN_ARG);
    assert_non_null(strstr(err.message, "class 2"));
    fanin_program_destroy(p);
    fanin_graph_destroy(g);

    fanin_graph_builder *b;
    assert_ok(fanin_graph_builder_create("odd", 15, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){2, 3});
    int y = fanin_graph_node(b, "NonMaxSuppression", "picker", &x, 1, NULL, 0, 1);
    fanin_graph_output(b, y, "y");
    assert_ok(fanin_graph_builder_finish(b, &g, NULL));
    refused(g, (fanin_program_options){0}, FANIN_UNSUPPORTED, "picker");
    refused(g, (fanin_program_options){0}, FANIN_UNSUPPORTED, "NonMaxSuppression of opset 15");
    fanin_graph_destroy(g);

    assert_ok(fanin_graph_builder_create("odd", 15, &b));
    x = fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){2, 3});
    int w = fanin_graph_initializer(b, "w", FANIN_F32, 2, (int64_t[]){4, 5}, NULL);
    fanin_graph_output(b, fanin_graph_node(b, "MatMul", "m", (int[]){x, w}, 2, NULL, 0, 1), "y");
    assert_ok(fanin_graph_builder_finish(b, &g, NULL));
    refused(g, (fanin_program_options){0}, FANIN_SHAPE, "4x5");
    fanin_graph_destroy(g);
}

TEST(memory_is_reused) {
    fanin_graph *g = builtin("mlp:64-64x20-4");
    fanin_program_options o = {.batch = 256};
    fanin_program *p = program_of(g, o);
    size_t weights = 0;
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        weights += fanin_program_weight(p, i).count * sizeof(float);
    size_t layer = 256 * 64 * sizeof(float);
    assert_true(fanin_program_memory(p) < weights + 5 * layer); /* not twenty of them */
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

TEST(dropout_is_reproducible) {
    fanin_graph_builder *b;
    fanin_graph *g;
    assert_ok(fanin_graph_builder_create("drop", 15, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 1, (int64_t[]){10000});
    float ratio = 0.25f;
    int r = fanin_graph_initializer(b, "r", FANIN_F32, 0, NULL, &ratio);
    fanin_graph_output(b, fanin_graph_node(b, "Dropout", "d", (int[]){x, r}, 2, NULL, 0, 1), "y");
    assert_ok(fanin_graph_builder_finish(b, &g, NULL));
    fanin_program *p = program_of(g, (fanin_program_options){.seed = 5});
    fanin_program *q = program_of(g, (fanin_program_options){.seed = 5});
    fanin_buffer in = fanin_program_input(p, 0), out = fanin_program_output(p, 0);
    for (size_t i = 0; i < in.count; i++) ((float *)in.data)[i] = 3;
    memcpy(fanin_program_input(q, 0).data, in.data, in.count * sizeof(float));
    assert_ok(fanin_program_run(p, NULL));
    assert_ok(fanin_program_run(q, NULL));
    assert_memory_equal(out.data, fanin_program_output(q, 0).data, out.count * sizeof(float));
    int dropped = 0;
    for (size_t i = 0; i < out.count; i++) {
        float v = ((float *)out.data)[i];
        dropped += v == 0;
        assert_true(v == 0 || fabsf(v - 4) < 1e-6f);
    }
    /* binomial, n = 10000, p = 1/4: six deviations of 43.3, alpha 2e-9 (a fixed seed) */
    assert_near(dropped, 2500, 260, 0);
    assert_ok(fanin_program_run(p, NULL));
    assert_memory_not_equal(out.data, fanin_program_output(q, 0).data, out.count * sizeof(float));
    fanin_program_destroy(p);
    fanin_program_destroy(q);
    fanin_graph_destroy(g);
}

/* Klambauer et al. 2017, section 3, with their constants in double: alpha' = -lambda alpha. Normal inputs keep mean
 * 0 and variance 1; evaluation changes nothing. torch's kernel has the same a and b. */
TEST(alpha_dropout_is_the_published_map) {
    fanin_graph_builder *b;
    fanin_graph *g;
    assert_ok(fanin_graph_builder_create("alpha", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 1, (int64_t[]){200000});
    const fanin_attr ratio = {.name = "ratio", .type = FANIN_ATTR_FLOAT, .f = 0.2};
    fanin_graph_output(b, fanin_graph_node(b, "fanin:AlphaDropout", "d", &x, 1, &ratio, 1, 1), "y");
    assert_ok(fanin_graph_builder_finish(b, &g, NULL));
    fanin_program *p = program_of(g, (fanin_program_options){.seed = 5});
    fanin_program *e = program_of(g, (fanin_program_options){.eval = true});
    fanin_buffer in = fanin_program_input(p, 0), out = fanin_program_output(p, 0);
    fanin_stream s = fanin_stream_init(1, "normal");
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .a = 0, .b = 1};
    assert_ok(fanin_random_fill(&s, 0, &law, 0, in.count, FANIN_F32, in.data));
    memcpy(fanin_program_input(e, 0).data, in.data, in.count * sizeof(float));
    assert_ok(fanin_program_run(p, NULL));
    assert_ok(fanin_program_run(e, NULL));
    assert_memory_equal(fanin_program_output(e, 0).data, in.data, in.count * sizeof(float));
    const double q = 0.8, low = -1.0507009873554805 * 1.6732632423543772;
    const double a = 1 / sqrt(q + low * low * q * (1 - q)), shift = -a * (1 - q) * low;
    double sum = 0, squares = 0;
    int dropped = 0;
    for (size_t i = 0; i < out.count; i++) {
        double from = (double)((float *)in.data)[i], y = (double)((float *)out.data)[i];
        bool drop = fabs(y - (a * low + shift)) < 1e-6;
        assert_true(drop || fabs(y - (a * from + shift)) < 1e-6);
        dropped += drop;
        sum += y;
        squares += y * y;
    }
    /* six deviations: of the mean 1/sqrt(n), of the variance at most 2 sqrt(2/n), of the count sqrt(n q (1-q)) */
    double n = (double)out.count, mean = sum / n;
    assert_near(dropped, 0.2 * n, 6 * sqrt(n * q * (1 - q)), 0);
    assert_near(mean, 0, 6 / sqrt(n), 0);
    assert_near(squares / n - mean * mean, 1, 12 * sqrt(2 / n), 0);
    fanin_program_destroy(p);
    fanin_program_destroy(e);
    fanin_graph_destroy(g);
}

/* H v against the difference of gradients along v, in double, and the float program against it. */
TEST(hessian_vector_products) {
    static const char *const nets[] = {"mlp:5-4x2-3,act=tanh", "mlp:5-4-3,act=gelu", "lenet5"};
    for (size_t at = 0; at < FANIN_COUNT(nets); at++) {
        fanin_graph *g = builtin(nets[at]);
        fanin_program_options o = {.batch = 2,
                                   .loss = "cross_entropy",
                                   .gradients = true,
                                   .curvature = true,
                                   .dtype = FANIN_F64};
        fanin_program *p = program_of(g, o);
        o.dtype = FANIN_F32;
        fanin_program *f = program_of(g, o);
        fill(f);
        memcpy(fanin_program_target(p).data, fanin_program_target(f).data, 2 * sizeof(int64_t));
        fanin_buffer a = fanin_program_input(p, 0), b = fanin_program_input(f, 0);
        for (size_t k = 0; k < a.count; k++) ((double *)a.data)[k] = ((float *)b.data)[k];
        for (int i = 0; i < fanin_program_weight_count(p); i++) {
            a = fanin_program_weight(p, i);
            b = fanin_program_weight(f, i);
            fanin_buffer u = fanin_program_direction(p, i), v = fanin_program_direction(f, i);
            for (size_t k = 0; k < a.count; k++) {
                float down = ((float *)b.data)[k] *= 0.3f;
                ((double *)a.data)[k] = down;
                ((float *)v.data)[k] = (float)((k * 7 + 3) % 11) / 11 - 0.5f;
                ((double *)u.data)[k] = ((float *)v.data)[k];
            }
        }
        double quotient = 0, product = 0, in_float = 0, h = 1e-5;
        for (int side = -1; side <= 1; side++) {
            for (int i = 0; i < fanin_program_weight_count(p); i++) {
                double *w = fanin_program_weight(p, i).data;
                const float *w0 = fanin_program_weight(f, i).data;
                const double *u = fanin_program_direction(p, i).data;
                for (size_t k = 0; k < fanin_program_weight(p, i).count; k++)
                    w[k] = w0[k] + side * h * u[k];
            }
            assert_ok(fanin_program_run(p, NULL));
            for (int i = 0; i < fanin_program_weight_count(p); i++) {
                fanin_buffer u = fanin_program_direction(p, i);
                const double *dw = fanin_program_gradient(p, i).data;
                const double *hv = fanin_program_curvature(p, i).data;
                for (size_t k = 0; k < u.count; k++) {
                    double c = cos((double)k); /* another direction to look along */
                    quotient += side * c * dw[k] / (2 * h);
                    if (side == 0) product += c * hv[k];
                }
            }
        }
        assert_ok(fanin_program_run(f, NULL));
        for (int i = 0; i < fanin_program_weight_count(f); i++) {
            fanin_buffer hv = fanin_program_curvature(f, i);
            for (size_t k = 0; k < hv.count; k++)
                in_float += cos((double)k) * ((float *)hv.data)[k];
        }
        assert_near(product, quotient, 1e-7, 1e-6);
        assert_near(in_float, product, 1e-4, 1e-4);
        fanin_program_destroy(p);
        fanin_program_destroy(f);
        fanin_graph_destroy(g);
    }
}

/* ---- no memory -------------------------------------------------------------------------- */

typedef struct faulty {
    long countdown, live;
} faulty;

static void *faulty_resize(void *ctx, void *p, size_t size) {
    faulty *f = ctx;
    if (--f->countdown == 0) return NULL;
    if (!p) f->live++;
    void *q = realloc(p, size);
    if (!q && !p) f->live--;
    return q;
}

static void faulty_release(void *ctx, void *p) {
    if (p) ((faulty *)ctx)->live--;
    free(p);
}

TEST(every_allocation_may_fail) {
    fanin_graph *g = small_net();
    fanin_program_options o = {
        .batch = 2, .loss = "cross_entropy", .gradients = true, .keep_values = true};
    for (int reference = 0; reference < 2; reference++) {
        o.reference = reference != 0;
        fanin_program *warm = program_of(g, o); /* what libraries keep for good is made now */
        fanin_program_destroy(warm);
        bool done = false;
        for (long n = 1; !done; n++) {
            faulty f = {n, 0};
            fanin_allocator a = {faulty_resize, faulty_release, &f};
            fanin_allocator_set(&a);
            fanin_program *p = NULL;
            fanin_err err = {0};
            fanin_status status = fanin_program_create(g, &o, &p, &err);
            if (status == FANIN_OK) {
                done = f.countdown > 0;
                fanin_program_destroy(p);
            } else {
                assert_null(p);
                if (status != FANIN_NOMEM) fail_msg("allocation %ld: %s", n, err.message);
            }
            fanin_allocator_set(NULL);
            if (f.live != 0) fail_msg("allocation %ld: %ld blocks are lost", n, f.live);
        }
    }
    fanin_graph_destroy(g);
}

/* Steps inside the products that make the gradients: the weights go where a separate update takes
 * them, in our product, in oneDNN's, and where a matrix is read again later. */
TEST(descent_inside_the_run_equals_the_update_after_it) {
    static const struct {
        const char *model;
        int64_t batch;
        int apart; /* weights that are left to the caller */
    } cases[] = {
        {"mlp:20-30-5,act=tanh", 7, 2}, {"mlp:300-300x2-7,act=tanh", 100, 3}, {"lenet5", 6, 7}};
    for (size_t c = 0; c < FANIN_COUNT(cases); c++) {
        fanin_graph *g;
        fanin_err err = {0};
        assert_ok_err(fanin_graph_load(cases[c].model, &g, &err), err);
        fanin_program_options o = {
            .batch = cases[c].batch, .loss = "cross_entropy", .gradients = true};
        fanin_program *a = program_of(g, o);
        o.descend = true;
        fanin_program *b = program_of(g, o);
        fill(a);
        fill(b);
        fanin_program_set_rate(b, 0.05);
        int apart = 0;
        for (int step = 0; step < 3; step++) {
            assert_ok(fanin_program_run(a, NULL));
            assert_ok(fanin_program_run(b, NULL));
            assert_near(fanin_program_loss(a), fanin_program_loss(b), 0, 1e-6);
            for (int i = 0; i < fanin_program_weight_count(a); i++) {
                fanin_buffer w[2] = {fanin_program_weight(a, i), fanin_program_weight(b, i)};
                fanin_buffer d[2] = {fanin_program_gradient(a, i), fanin_program_gradient(b, i)};
                assert_true((d[1].data == NULL) == fanin_program_descends(b, i));
                assert_false(fanin_program_descends(a, i));
                apart += step == 0 && d[1].data;
                for (int p = 0; p < 2; p++)
                    for (size_t k = 0; d[p].data && k < w[p].count; k++)
                        ((float *)w[p].data)[k] -= 0.05f * ((float *)d[p].data)[k];
                for (size_t k = 0; k < w[0].count; k++)
                    assert_near(((float *)w[0].data)[k], ((float *)w[1].data)[k], 1e-7, 2e-6);
            }
        }
        assert_int_equal(apart, cases[c].apart);
        fanin_program_destroy(a);
        fanin_program_destroy(b);
        fanin_graph_destroy(g);
    }
}
