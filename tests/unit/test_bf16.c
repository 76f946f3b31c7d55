/* Programs whose products take operands in bfloat16, against the same products in double.
 *
 * Law: fl(x) is the nearest bfloat16, |fl(x) - x| <= 2^-8 |x|; a result is the sum of fl(x) fl(w), added up in
 * float32. So (1) it equals the double program's on operands rounded beforehand, up to float32's rounding,
 * and (2) it is off the exact sum by at most (2^-7 + 2^-16) sum |x w|, and, roundings being as good as independent,
 * by a few times 2^-8 sqrt(sum (x w)^2), which grows as sqrt(k). */
#include <math.h>
#include <string.h>

#include "engine/program.h"
#include "fanin/compute.h"
#include "operator/function.h"
#include "testing.h"

static double number(uint64_t *s) { /* on (-2, 2), sum of two: few are exact in bfloat16 */
    *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*s >> 40) * 0x1p-23 - 1 + (double)(*s >> 20 & 0xfffff) * 0x1p-20 - 0.5;
}

static float nearest(double v) {
    float x = (float)v;
    uint16_t half;
    double back;
    assert_ok(fanin_convert_from_f32(&x, 1, FANIN_BF16, &half));
    assert_ok(fanin_convert_to_f64(&half, FANIN_BF16, 1, &back));
    return (float)back;
}

enum { K = 300, ROWS = 8, OUT = 24 };

/* A dense layer without bias, or a convolution: output 0 is one product of input and weight. */
static fanin_graph *product(bool conv) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("product", 18, &b));
    int x = conv ? fanin_graph_input(b, "x", FANIN_F32, 4, (int64_t[]){-1, 16, 9, 9})
                 : fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){-1, K});
    int w = conv ? fanin_graph_initializer(b, "w", FANIN_F32, 4, (int64_t[]){OUT, 16, 3, 3}, NULL)
                 : fanin_graph_initializer(b, "w", FANIN_F32, 2, (int64_t[]){OUT, K}, NULL);
    fanin_attr trans = {.name = "transB", .type = FANIN_ATTR_INT, .i = 1};
    int in[2] = {x, w};
    int y = conv ? fanin_graph_node(b, "Conv", "y", in, 2, NULL, 0, 1)
                 : fanin_graph_node(b, "Gemm", "y", in, 2, &trans, 1, 1);
    fanin_graph_output(b, y, "out");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

/* Numbers of a stream into a buffer, rounded to bfloat16 if asked. */
static void fill(fanin_buffer b, uint64_t stream, bool rounded) {
    for (size_t i = 0; i < b.count; i++) {
        float v = (float)number(&stream);
        if (rounded) v = nearest((double)v);
        if (b.dtype == FANIN_F64)
            ((double *)b.data)[i] = (double)v;
        else
            ((float *)b.data)[i] = v;
    }
}

static fanin_program *run(fanin_graph *g, fanin_dtype dtype, bool reference, bool rounded) {
    fanin_program_options o = {.batch = ROWS,
                               .dtype = dtype,
                               .reference = reference,
                               .gradients = true,
                               .input_gradients = true,
                               .cotangent = true};
    fanin_program *p;
    fanin_err err = {0};
    assert_ok_err(fanin_program_create(g, &o, &p, &err), err);
    fill(fanin_program_input(p, 0), 1, rounded);
    fill(fanin_program_weight(p, 0), 2, rounded);
    fill(fanin_program_cotangent(p), 3, rounded);
    assert_ok_err(fanin_program_run(p, &err), err);
    return p;
}

static void near(fanin_buffer got, fanin_buffer want, double tolerance, const char *what) {
    assert_int_equal(got.count, want.count);
    double worst = 0, scale = 0;
    for (size_t i = 0; i < got.count; i++) {
        double w = ((const double *)want.data)[i];
        worst = fmax(worst, fabs((double)((const float *)got.data)[i] - w));
        scale = fmax(scale, fabs(w));
    }
    if (!(worst <= tolerance * scale)) fail_msg("%s: %g off, of %g", what, worst, scale);
}

static void follows_the_law(bool conv, bool reference) {
    fanin_graph *g = product(conv);
    fanin_program *p = run(g, FANIN_BF16, reference, false), *d = run(g, FANIN_F64, true, true);
    assert_int_equal(fanin_program_weight(p, 0).dtype, FANIN_F32);
    near(fanin_program_output(p, 0), fanin_program_output(d, 0), 1e-6, "result");
    near(fanin_program_gradient(p, 0), fanin_program_gradient(d, 0), 1e-6, "weight gradient");
    near(fanin_program_input_gradient(p, 0), fanin_program_input_gradient(d, 0), 1e-6,
         "input gradient");
    fanin_program_destroy(p);
    fanin_program_destroy(d);
    fanin_graph_destroy(g);
}

TEST(dense_takes_rounded_operands) { follows_the_law(false, false); }
TEST(dense_reference_takes_rounded_operands) { follows_the_law(false, true); }
TEST(convolution_takes_rounded_operands) { follows_the_law(true, false); }
TEST(convolution_reference_takes_rounded_operands) { follows_the_law(true, true); }

TEST(error_grows_as_the_root_of_k) {
    fanin_graph *g = product(false);
    fanin_program *p = run(g, FANIN_BF16, false, false);
    const float *x = fanin_program_input(p, 0).data, *w = fanin_program_weight(p, 0).data;
    const float *y = fanin_program_output(p, 0).data;
    double furthest = 0;
    for (int r = 0; r < ROWS; r++)
        for (int o = 0; o < OUT; o++) {
            double sum = 0, sizes = 0, squares = 0;
            for (int k = 0; k < K; k++) {
                double v = (double)x[r * K + k] * (double)w[o * K + k];
                sum += v;
                sizes += fabs(v);
                squares += v * v;
            }
            double off = fabs((double)y[r * OUT + o] - sum);
            assert_true(off <= (0x1p-7 + 0x1p-16) * sizes);
            furthest = fmax(furthest, off / (0x1p-8 * sqrt(squares)));
        }
    if (!(furthest < 4 && furthest > 0.5)) fail_msg("%g times 2^-8 sqrt(sum (x w)^2)", furthest);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

/* Three dense layers: three weights, three inputs of layers, three gradients of their outputs. */
TEST(each_value_is_rounded_once) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_builtin("mlp:40-50x2-10,act=tanh", &g, &err), err);
    fanin_program_options o = {
        .batch = 16, .dtype = FANIN_BF16, .loss = "cross_entropy", .gradients = true};
    fanin_program *p;
    assert_ok_err(fanin_program_create(g, &o, &p, &err), err);
    int rounded = 0;
    for (int i = 0; i < p->plan.step_count; i++) {
        const fanin__node *n = p->plan.steps[i].node;
        rounded += n->op == FANIN__MAP && n->attr.kind == FANIN__FN_BF16;
    }
    assert_int_equal(rounded, 9);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

/* The same bits from run to run, also with channels-last images; near the float32 loss. */
TEST(same_bits_from_run_to_run) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_builtin("resnet:8", &g, &err), err);
    double loss[3];
    for (int i = 0; i < 3; i++) {
        fanin_program_options o = {.batch = 16,
                                   .dtype = i < 2 ? FANIN_BF16 : FANIN_F32,
                                   .loss = "cross_entropy",
                                   .gradients = true};
        fanin_program *p;
        assert_ok_err(fanin_program_create(g, &o, &p, &err), err);
        for (int w = 0; w < fanin_program_weight_count(p); w++) {
            fill(fanin_program_weight(p, w), (uint64_t)w, false);
            fanin_buffer b = fanin_program_weight(p, w);
            for (size_t k = 0; k < b.count; k++)
                ((float *)b.data)[k] = b.rank == 1 ? 1 : 0.1f * ((float *)b.data)[k];
        }
        fill(fanin_program_input(p, 0), 7, false);
        fanin_buffer t = fanin_program_target(p);
        for (size_t k = 0; k < t.count; k++) ((int64_t *)t.data)[k] = (int64_t)k % 10;
        assert_ok_err(fanin_program_run(p, &err), err);
        loss[i] = fanin_program_loss(p);
        assert_ok_err(fanin_program_run(p, &err), err);
        assert_true(fanin_program_loss(p) == loss[i]);
        fanin_program_destroy(p);
    }
    assert_true(loss[0] == loss[1] && loss[0] != loss[2]);
    assert_near(loss[0], loss[2], 0, 0.02);
    fanin_graph_destroy(g);
}

TEST(replicas_round_too) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_builtin("mlp:8-6x1-3", &g, &err), err);
    double loss[2];
    for (int i = 0; i < 2; i++) {
        fanin_program_options o = {
            .batch = 4, .dtype = FANIN_BF16, .loss = "cross_entropy", .replicas = i ? 20 : 0};
        fanin_program *p;
        assert_ok_err(fanin_program_create(g, &o, &p, &err), err);
        for (int w = 0; w < fanin_program_weight_count(p); w++) {
            fanin_buffer b = fanin_program_weight(p, w);
            size_t each = i ? b.count / 20 : b.count;
            for (size_t r = 0; r < b.count; r += each) {
                uint64_t s = (uint64_t)w;
                for (size_t k = 0; k < each; k++) ((float *)b.data)[r + k] = (float)number(&s);
            }
        }
        fill(fanin_program_input(p, 0), 7, false);
        fanin_buffer t = fanin_program_target(p);
        for (size_t k = 0; k < t.count; k++) ((int64_t *)t.data)[k] = (int64_t)k % 3;
        assert_ok_err(fanin_program_run(p, &err), err);
        loss[i] = fanin_program_loss(p);
        fanin_program_destroy(p);
    }
    assert_near(loss[1], loss[0], 0, 1e-5);
    fanin_graph_destroy(g);
}
