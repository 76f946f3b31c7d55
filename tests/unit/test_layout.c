/* test_layout.c - chains of convolutions in channels-last memory: the same numbers as row-major
 * kernels and as the double reference. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "engine/program.h"
#include "fanin/format.h"
#include "testing.h"

/* Around 0, repeatable. */
static double number(uint64_t *s) {
    *s = *s * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (double)(*s >> 40) * 0x1p-24 - 0.5;
}

static void fill_buffer(fanin_buffer b, double scale, uint64_t *s) {
    for (size_t k = 0; k < b.count; k++) {
        float v = (float)(scale * number(s));
        if (b.dtype == FANIN_F32)
            ((float *)b.data)[k] = v;
        else
            ((double *)b.data)[k] = (double)v;
    }
}

static fanin_program *program_of(const fanin_graph *g, fanin_program_options o) {
    fanin_program *p;
    fanin_err err = {0};
    uint64_t s = 1;
    assert_ok_err(fanin_program_create(g, &o, &p, &err), err);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        size_t fan = w.rank > 1 ? w.count / (size_t)w.dims[0] : 4;
        fill_buffer(w, 4 / sqrt((double)fan), &s);
    }
    fill_buffer(fanin_program_input(p, 0), 2, &s);
    fanin_buffer t = fanin_program_target(p);
    for (size_t k = 0; k < t.count; k++) ((int64_t *)t.data)[k] = (int64_t)(k % 3);
    return p;
}

static double at(fanin_buffer b, size_t i) {
    return b.dtype == FANIN_F32 ? (double)((float *)b.data)[i] : ((double *)b.data)[i];
}

static void same(const char *what, fanin_buffer a, fanin_buffer b, double tolerance) {
    double difference = 0, norm = 0;
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        difference += (at(a, i) - at(b, i)) * (at(a, i) - at(b, i));
        norm += at(b, i) * at(b, i);
    }
    if (!(sqrt(difference) <= tolerance * sqrt(norm) + 1e-6)) /* a bias in front of a batch norm */
        fail_msg("%s: %g off, the norm is %g", what, sqrt(difference), sqrt(norm));
}

static void same_programs(fanin_program *a, fanin_program *b, double tolerance) {
    assert_ok(fanin_program_run(a, NULL));
    assert_ok(fanin_program_run(b, NULL));
    assert_near(fanin_program_loss(a), fanin_program_loss(b), 0, tolerance);
    same("output", fanin_program_output(a, 0), fanin_program_output(b, 0), tolerance);
    for (int i = 0; i < fanin_program_weight_count(a); i++) {
        const char *name = fanin_program_weight_name(a, i);
        same(name, fanin_program_gradient(a, i), fanin_program_gradient(b, i), tolerance);
        same(name, fanin_program_statistic(a, i), fanin_program_statistic(b, i), tolerance);
    }
    same("input", fanin_program_input_gradient(a, 0), fanin_program_input_gradient(b, 0),
         tolerance);
}

static int turned_steps(const fanin_program *p) {
    int count = 0;
    for (int i = 0; i < p->plan.step_count; i++) count += p->plan.steps[i].turned;
    return count;
}

static int node(fanin_graph_builder *b, const char *op, const char *name, const int *in, int count,
                const fanin_attr *attrs, int attr_count) {
    return fanin_graph_node(b, op, name, in, count, attrs, attr_count, 1);
}

static int weight(fanin_graph_builder *b, const char *name, int rank, const int64_t *dims) {
    return fanin_graph_initializer(b, name, FANIN_F32, rank, dims, NULL);
}

/* Every kind of step that can be turned: convolutions with and without bias, grouped and strided,
 * batch norm, pooling, a repeated operand, concatenation, a cut, a pad, sums over the image. Smooth,
 * so that rounding stays rounding. */
static fanin_graph *every_step(void) {
    fanin_graph_builder *b;
    fanin_graph *g = NULL;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("every", 18, &b));
    int64_t three[4] = {1, 1, 1, 1}, two[1] = {2}, steps[2] = {2, 2}, ends[2] = {16, 16},
            axes[2] = {2, 3};
    int64_t pads[8] = {0, 3, 1, 0, 0, 1, 0, 2};
    fanin_attr same_pads = {.name = "pads", .type = FANIN_ATTR_INTS, .count = 4, .ints = three};
    fanin_attr pool[2] = {
        {.name = "kernel_shape", .type = FANIN_ATTR_INTS, .count = 2, .ints = (int64_t[]){3, 3}},
        same_pads};
    fanin_attr strided[3] = {
        same_pads,
        {.name = "strides", .type = FANIN_ATTR_INTS, .count = 2, .ints = steps},
        {.name = "group", .type = FANIN_ATTR_INT, .i = 2}};
    fanin_attr channels = {.name = "axis", .type = FANIN_ATTR_INT, .i = 1};
    fanin_attr trans = {.name = "transB", .type = FANIN_ATTR_INT, .i = 1};
    int x = fanin_graph_input(b, "x", FANIN_F32, 4, (int64_t[]){-1, 3, 16, 16});
    int y = node(b, "Conv", "a", (int[]){x, weight(b, "a.w", 4, (int64_t[]){16, 3, 3, 3})}, 2,
                 &same_pads, 1);
    int norm[5] = {y};
    for (int i = 1; i < 5; i++)
        norm[i] =
            weight(b, (const char *[]){"", "scale", "shift", "mean", "var"}[i], 1, (int64_t[]){16});
    int r = node(b, "BatchNormalization", "bn", norm, 5, NULL, 0);
    r = node(b, "Tanh", "tanh", &r, 1, NULL, 0);
    y = node(b, "Conv", "b",
             (int[]){r, weight(b, "b.w", 4, (int64_t[]){16, 16, 3, 3}),
                     weight(b, "b.b", 1, (int64_t[]){16})},
             3, &same_pads, 1);
    y = node(b, "Sigmoid", "sigmoid", &y, 1, NULL, 0);
    y = node(b, "Mul", "gate", (int[]){y, weight(b, "gate.w", 3, (int64_t[]){16, 1, 1})}, 2, NULL,
             0);
    int m = node(b, "MaxPool", "pool", &r, 1, pool, 2);
    y = node(b, "Concat", "both", (int[]){y, m}, 2, &channels, 1);
    int s =
        node(b, "Slice", "cut",
             (int[]){y, fanin_graph_initializer(b, "begin", FANIN_I64, 1, two, (int64_t[]){0, 0}),
                     fanin_graph_initializer(b, "end", FANIN_I64, 1, two, ends),
                     fanin_graph_initializer(b, "axes", FANIN_I64, 1, two, axes),
                     fanin_graph_initializer(b, "step", FANIN_I64, 1, two, steps)},
             5, NULL, 0);
    s = node(b, "Pad", "pad",
             (int[]){s, fanin_graph_initializer(b, "pads", FANIN_I64, 1, (int64_t[]){8}, pads)}, 2,
             NULL, 0);
    s = node(b, "Tanh", "tanh2", &s, 1, NULL, 0);
    s = node(b, "GlobalAveragePool", "mean", &s, 1, NULL, 0);
    y = node(b, "Conv", "c", (int[]){y, weight(b, "c.w", 4, (int64_t[]){36, 16, 3, 3})}, 2, strided,
             3);
    y = node(b, "GlobalAveragePool", "mean2", &y, 1, NULL, 0);
    y = node(b, "Add", "sum", (int[]){y, s}, 2, NULL, 0);
    y = node(b, "Flatten", "flat", &y, 1, NULL, 0);
    y = node(b, "Gemm", "fc", (int[]){y, weight(b, "fc.w", 2, (int64_t[]){3, 36})}, 2, &trans, 1);
    fanin_graph_output(b, y, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

TEST(channels_last_equals_the_double_reference) {
    fanin_graph *g = every_step();
    fanin_program_options o = {
        .batch = 130, .loss = "cross_entropy", .gradients = true, .input_gradients = true};
    fanin_program *a = program_of(g, o);
    if (fanin_cpu_level() == FANIN_CPU_REF) {
        fanin_program_destroy(a);
        fanin_graph_destroy(g);
        skip();
    }
    assert_true(turned_steps(a) > 10);
    o.dtype = FANIN_F64;
    fanin_program *b = program_of(g, o);
    same_programs(a, b, 1e-5);
    fanin_program_destroy(a);
    fanin_program_destroy(b);
    fanin_graph_destroy(g);
}

/* Real networks: shortcuts, option A, concatenations. With relu an element that rounding moves over 0
 * changes its gradient, hence the tolerance. */
TEST(channels_last_equals_row_major) {
    static const struct {
        const char *model;
        int64_t batch;
    } cases[] = {{"resnet:8", 15},
                 {"convnet:3x32x32-16x2-32-10", 24},
                 {"vgg:11,norm=batch,classes=10,input=3x32x32", 8}};
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        fanin_graph *g;
        fanin_err err = {0};
        assert_ok_err(fanin_graph_load(cases[i].model, &g, &err), err);
        fanin_program_options o = {.batch = cases[i].batch,
                                   .loss = "cross_entropy",
                                   .gradients = true,
                                   .input_gradients = true};
        fanin_program *a = program_of(g, o);
        o.keep_values = true; /* row-major throughout */
        fanin_program *b = program_of(g, o);
        assert_int_equal(turned_steps(b), 0);
        same_programs(a, b, 2e-3);
        fanin_program_destroy(a);
        fanin_program_destroy(b);
        fanin_graph_destroy(g);
    }
}

/* N x C x positions from its channels-last memory. */
static void to_rows(fanin_buffer b, float *out) {
    size_t channels = (size_t)b.dims[1], points = b.count / channels / (size_t)b.dims[0];
    fanin__transpose((size_t)b.dims[0], points, channels, b.data, out);
}

static double squares(fanin_buffer b) {
    double sum = 0;
    for (size_t i = 0; i < b.count; i++) sum += at(b, i) * at(b, i);
    return sum;
}

/* A program that keeps every fifth value beside one that keeps all. */
TEST(values_of_a_list_are_kept_as_they_lie) {
    fanin_graph *g = every_step();
    int keep[64], count = 0, turned = 0, gradients = 0;
    for (int i = 0; i < g->value_count && count < 64; i++)
        if (g->values[i].producer >= 0 && i % 5 != 1) keep[count++] = i;
    fanin_program_options o = {.batch = 130, .loss = "cross_entropy", .gradients = true};
    o.keep = keep;
    o.keep_count = count;
    fanin_program *a = program_of(g, o);
    o.keep_values = true;
    fanin_program *b = program_of(g, o);
    assert_ok(fanin_program_run(a, NULL));
    assert_ok(fanin_program_run(b, NULL));
    assert_true(count > 5 && count < g->value_count);
    for (int i = 0, k = 0; i < g->value_count; i++) {
        fanin_buffer x = fanin_program_value(a, i), y = fanin_program_value(b, i),
                     dx = fanin_program_value_gradient(a, i),
                     dy = fanin_program_value_gradient(b, i);
        if (k == count || keep[k] != i) {
            assert_null(x.data);
            continue;
        }
        k++;
        assert_non_null(x.data);
        assert_int_equal(x.data != NULL && dx.data != NULL, dy.data != NULL);
        assert_near(dx.data ? squares(dx) : 0, dx.data ? squares(dy) : 0, 1e-9, 2e-5);
        gradients += dx.data != NULL;
        if (fanin_program_value_channels_last(a, i)) {
            float *rows = fanin_malloc(x.count * sizeof *rows);
            assert_non_null(rows);
            to_rows(x, rows);
            x.data = rows;
            turned++;
        }
        same(g->values[i].name, x, y, 1e-5);
        if (fanin_program_value_channels_last(a, i)) fanin_free(x.data);
        assert_false(fanin_program_value_channels_last(b, i));
    }
    assert_true(gradients > 3);
    assert_int_equal(turned > 3, fanin_cpu_level() > FANIN_CPU_REF);
    fanin_program_destroy(a);
    fanin_program_destroy(b);
    fanin_graph_destroy(g);
}

TEST(column_kernels_agree_on_every_set) {
    enum { ROWS = 130, COLS = 37 };
    static float x[ROWS * COLS], g[ROWS * COLS], v[4][COLS], out[2][ROWS * COLS];
    uint64_t s = 3;
    for (int i = 0; i < ROWS * COLS; i++) {
        x[i] = (float)(100 + number(&s));
        g[i] = (float)number(&s);
    }
    for (int i = 0; i < 4 * COLS; i++) v[i / COLS][i % COLS] = (float)(1 + number(&s));
    double first[4][COLS];
    for (int level = 0; level <= FANIN_CPU_AVX512; level++) {
        const fanin__kernels *k = fanin__kernels_level(level);
        if (!k) continue;
        double sums[4][COLS] = {{0}};
        k->column_moments(ROWS, COLS, x, x, sums[0], sums[1]);
        k->column_products(ROWS, COLS, x, g, x, sums[2], sums[3]);
        float *o = out[level > 0];
        k->column_affine(ROWS, COLS, x, x, v[1], v[2], true, o);
        k->column_blend(ROWS, COLS, g, v[0], o, v[1], v[2], v[3], o);
        if (level == 0) memcpy(first, sums, sizeof sums);
        assert_memory_equal(first, sums, sizeof sums);
        assert_memory_equal(out[0], o, sizeof out[0]);
    }
    for (int c = 0; c < COLS; c++) {
        double sum = 0, square = 0;
        for (int r = 0; r < ROWS; r++) {
            double d = (double)x[r * COLS + c] - (double)x[c];
            sum += d;
            square += d * d;
        }
        assert_near(first[0][c], sum, 1e-9, 1e-7);
        assert_near(first[1][c], square, 1e-9, 1e-7);
    }
    float y = (x[5] - x[5]) * v[1][5] + v[2][5];
    y = y < 0 ? 0 : y;
    assert_true(out[0][5] == g[5] * v[0][5] + ((y - v[1][5]) * v[2][5] + v[3][5]));
}

/* The mean is far from 0 and the leaves are many: digits must stay, whatever the threads. */
TEST(column_moments_keep_their_digits) {
    enum { ROWS = 20000, COLS = 20 };
    static float x[ROWS * COLS];
    static double work[1 << 14];
    assert_true(fanin__column_work(ROWS, COLS) <= FANIN_COUNT(work));
    uint64_t s = 9;
    for (int i = 0; i < ROWS * COLS; i++) x[i] = (float)(1000 + number(&s));
    float mean[2][COLS], var[2][COLS];
    for (unsigned t = 0; t < 2; t++) {
        fanin_threads_set(t ? 3 : 1);
        fanin__column_moments(ROWS, COLS, x, work, mean[t], var[t]);
    }
    fanin_threads_set(0);
    assert_memory_equal(mean[0], mean[1], sizeof mean[0]);
    assert_memory_equal(var[0], var[1], sizeof var[0]);
    for (int c = 0; c < COLS; c++) {
        double sum = 0, square = 0;
        for (int r = 0; r < ROWS; r++) sum += (double)x[r * COLS + c] / ROWS;
        for (int r = 0; r < ROWS; r++)
            square += ((double)x[r * COLS + c] - sum) * ((double)x[r * COLS + c] - sum) / ROWS;
        assert_near(mean[0][c], sum, 0, 1e-7);
        assert_near(var[0][c], square, 0, 1e-6);
    }
}
