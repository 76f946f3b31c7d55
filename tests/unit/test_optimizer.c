/* Optimisers, schedules and what stands around a step, against torch 1.13 and against the formulas of the papers
 * in float64 (numpy); old learning rules against their theorems. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "testing.h"
#include "train/recipe.h"

/* A linear layer of two units whose gradients are put in by hand. */
enum { NUMBERS = 6, STEPS = 3 };
static const float begin[NUMBERS] = {0.5f, -1, 2, 0.25f, 0.125f, -0.5f};
static const float gradients[STEPS][NUMBERS] = {{0.5f, 0.25f, -1, 2, 1, -0.5f},
                                                {-0.25f, 1, 0.5f, -0.5f, 0.25f, 0.25f},
                                                {1.5f, -0.75f, 0.25f, 0.125f, -1, 0.75f}};

typedef struct bench {
    fanin_graph *graph;
    fanin_program *program;
    fanin_optimizer *optimizer;
} bench;

static bench open_bench(const char *model, const char *optimizer, const char *loss, int64_t batch) {
    bench b;
    fanin_err err = {0};
    fanin_program_options o = {.batch = batch, .loss = loss, .gradients = true};
    assert_ok_err(fanin_graph_load(model, &b.graph, &err), err);
    bool reads; /* gradients: they are written by the tests */
    assert_ok_err(fanin__optimizer_needs(optimizer, &o, &reads, &err), err);
    assert_ok_err(fanin_program_create(b.graph, &o, &b.program, &err), err);
    assert_ok_err(fanin_optimizer_create(optimizer, b.program, &b.optimizer, &err), err);
    return b;
}

static void close_bench(bench *b) {
    fanin_optimizer_destroy(b->optimizer);
    fanin_program_destroy(b->program);
    fanin_graph_destroy(b->graph);
}

static float *weight(const bench *b, int i) { return fanin_program_weight(b->program, i).data; }

static void set_weights(const bench *b, const float *values) {
    memcpy(weight(b, 0), values, 4 * sizeof(float));
    memcpy(weight(b, 1), values + 4, 2 * sizeof(float));
}

static void set_gradients(const bench *b, int step) {
    memcpy(fanin_program_gradient(b->program, 0).data, gradients[step], 4 * sizeof(float));
    memcpy(fanin_program_gradient(b->program, 1).data, gradients[step] + 4, 2 * sizeof(float));
}

static void compare_weights(const bench *b, const double *want, const char *what) {
    for (int i = 0; i < NUMBERS; i++) {
        double got = (double)(i < 4 ? weight(b, 0)[i] : weight(b, 1)[i - 4]);
        if (!(fabs(got - want[i]) <= 4e-7 * (1 + fabs(want[i]))))
            fail_msg("%s: number %d is %.9g, expected %.9g", what, i, got, want[i]);
    }
}

/* Chen et al. algorithm 2, You et al. 2017 and 2020, three steps in float64. */
TEST(as_the_papers_write_them) {
    static const struct {
        const char *text;
        double want[NUMBERS];
    } cases[] = {
        {"lion:lr=0.01,beta1=0.8,beta2=0.7,weight_decay=0.1",
         {0.46853149, -1.02697301, 2.00397601, 0.21928074, 0.0946553649, -0.48853149}},
        {"lars:lr=0.1,mu=0.9,trust=0.5,weight_decay=0.01",
         {0.371241559, -1.15239459, 2.02201443, 0.0596201487, -0.0937957501, -0.48436235}},
        {"lamb:lr=0.1,beta1=0.8,beta2=0.9,weight_decay=0.1",
         {0.0928622576, -1.30624222, 2.0338333, -0.0969473593, 0.0520643566, -0.493171222}},
    };
    for (size_t k = 0; k < FANIN_COUNT(cases); k++) {
        bench b = open_bench("mlp:2-2", cases[k].text, "mse", 1);
        set_weights(&b, begin);
        for (int s = 0; s < STEPS; s++) {
            set_gradients(&b, s);
            fanin_optimizer_step(b.optimizer);
        }
        compare_weights(&b, cases[k].want, cases[k].text);
        close_bench(&b);
    }
}

/* torch: clip_grad_norm_, clip_grad_value_, parameter groups, AdamW's decay. */
TEST(recipes_as_torch) {
    static const char *const group[] = {"*.bias=lr:0.5,decay:0"}, *const by_class[] = {
                                                                      "bias norm_scale=lr:0.5",
                                                                      "re:\\.bias$=decay:0"};
    const struct {
        const char *optimizer;
        fanin_train_options o;
        double want[NUMBERS];
    } cases[] = {
        {"sgd:lr=0.1",
         {.clip_norm = 0.7},
         {0.450051618, -1.03583864, 1.99208932, 0.218146169, 0.117374834, -0.524687541}},
        {"sgd:lr=0.1", {.clip_value = 0.4}, {0.445, -1.025, 1.975, 0.2375, 0.1, -0.525}},
        {"momentum:lr=0.1,weight_decay=0.1",
         {.groups = group, .group_count = 1},
         {0.2358345, -1.1251815, 2.036468, -0.21632525, 0.01575, -0.4935}},
        {"momentum:lr=0.1,weight_decay=0.1",
         {.groups = by_class, .group_count = 2},
         {0.2358345, -1.1251815, 2.036468, -0.21632525, 0.01575, -0.4935}},
        {"sgd:lr=0.1", {.l2 = 0.1}, {0.3108945, -1.0188015, 1.964108, 0.08355475, 0.1, -0.55}},
        {"adam:lr=0.1",
         {.decay = 0.1},
         {0.29372208, -1.1735331, 2.07111425, 0.0579940135, -0.0596173743, -0.412305277}},
        /* by hand: w - 0.1 (g + 0.25 sign w) three times, no weight changes its sign */
        {"sgd:lr=0.1", {.l1 = 0.25}, {0.25, -0.975, 1.95, 0.0125, 0.1, -0.55}},
    };
    for (size_t k = 0; k < FANIN_COUNT(cases); k++) {
        bench b = open_bench("mlp:2-2", cases[k].optimizer, "mse", 1);
        fanin__recipe r;
        fanin_err err = {0};
        assert_ok_err(fanin__recipe_init(&r, &cases[k].o, STEPS, b.optimizer, &err), err);
        set_weights(&b, begin);
        for (int s = 0; s < STEPS; s++) {
            set_gradients(&b, s);
            fanin__recipe_step(&r, b.optimizer, (uint64_t)s);
        }
        compare_weights(&b, cases[k].want, cases[k].optimizer);
        close_bench(&b);
    }
}

TEST(schedules_as_torch) {
    static const struct {
        const char *text;
        double want[10];
    } cases[] = {
        {"cosine:final=0.1",
         {1, 0.977975432332819, 0.914057647468726, 0.814503363531613, 0.689057647468726, 0.55,
          0.410942352531274, 0.285496636468387, 0.185942352531274, 0.122024567667181}},
        {"step:every=3,factor=0.5", {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125}},
        {"step:every=0.3,factor=0.5", {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125}},
        {"onecycle",
         {0.04, 0.52, 1, 0.950484632013474, 0.811745653949763, 0.611262021936289, 0.388741978063711,
          0.188258346050237, 0.0495193679865263, 4e-06}},
        {"linear:final=0.2", {1, 0.92, 0.84, 0.76, 0.68, 0.6, 0.52, 0.44, 0.36, 0.28}},
        {"cosine:warmup=4",
         {0.25, 0.5, 0.75, 1, 1, 0.933012701892219, 0.75, 0.5, 0.25, 0.0669872981077806}},
        {"constant:warmup=0.2", {0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"constant", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
    };
    for (size_t k = 0; k < FANIN_COUNT(cases); k++)
        for (uint64_t t = 0; t < 10; t++) {
            double factor;
            fanin_err err = {0};
            assert_ok_err(fanin_schedule_factor(cases[k].text, t, 10, &factor, &err), err);
            if (!(fabs(factor - cases[k].want[t]) < 1e-14))
                fail_msg("%s at %d: %.15g, torch has %.15g", cases[k].text, (int)t, factor,
                         cases[k].want[t]);
        }
}

static void refuse(const fanin_train_options *o, fanin_status status, const char *says) {
    bench b = open_bench("mlp:2-2", "sgd", "mse", 1);
    fanin__recipe r;
    fanin_err err = {0};
    assert_int_equal(fanin__recipe_init(&r, o, 10, b.optimizer, &err), status);
    if (!strstr(err.message, says)) fail_msg("'%s' does not say '%s'", err.message, says);
    close_bench(&b);
}

TEST(recipes_that_are_refused) {
    const char *groups[1];
    fanin_train_options o = {.groups = groups, .group_count = 1};
    groups[0] = "*.kernel=lr:0.1";
    refuse(&o, FANIN_NOTFOUND, "no weight that is trained matches");
    groups[0] = "*.bias=lr:x";
    refuse(&o, FANIN_ARG, "'*.bias=lr:x'");
    groups[0] = "*.bias=rate:1";
    refuse(&o, FANIN_ARG, "expected PATTERN=lr:X,decay:Y");
    groups[0] = "re:(=lr:1";
    refuse(&o, FANIN_ARG, "no regular expression");
    groups[0] = "bias";
    refuse(&o, FANIN_ARG, "'bias'");
    refuse(&(fanin_train_options){.schedule = "cosin"}, FANIN_NOTFOUND, "schedule 'cosin'");
    refuse(&(fanin_train_options){.schedule = "linear:every=2"}, FANIN_ARG, "every=2");
    refuse(&(fanin_train_options){.schedule = "step:factor=2"}, FANIN_ARG, "factor=2");
    refuse(&(fanin_train_options){.l1 = -1}, FANIN_ARG, "l1: -1");
    refuse(&(fanin_train_options){.clip_norm = NAN}, FANIN_ARG, "clip-norm");
}

/* ---- units ------------------------------------------------------------------------------------------- */

static double length(const float *x, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)x[i] * (double)x[i];
    return sqrt(s);
}

/* |g_u| <= lambda max(|w_u|, 0.001): a no-op below, exact above, and not on the output layer. */
TEST(adaptive_clipping) {
    bench b = open_bench("mlp:3-2x1-2", "sgd", "mse", 1);
    const float w[6] = {3, 0, 4, 0, 0, 0}, g[6] = {0.3f, 0.2f, -0.1f, 1, 2, 2};
    float *at = fanin_program_gradient(b.program, 0).data,
          *out = fanin_program_gradient(b.program, 2).data;
    memcpy(weight(&b, 0), w, sizeof w);
    memcpy(at, g, sizeof g);
    out[0] = 100;
    fanin__clip_agc(b.optimizer, 0.1); /* |w| = 5, |g| = 0.374: below 0.5; then |w| = 0 */
    assert_memory_equal(at, g, 3 * sizeof *at);
    assert_near(length(at + 3, 3), 0.1 * 1e-3, 0, 1e-6);
    assert_near((double)at[4] / (double)at[3], 2, 0, 1e-6);
    assert_true(out[0] == 100);
    fanin__clip_agc(b.optimizer, 0.01);
    assert_near(length(at, 3), 0.05, 0, 1e-6);
    close_bench(&b);
}

TEST(norms_have_a_limit) {
    bench b = open_bench("mlp:3-2x1-2", "sgd", "mse", 1);
    const float w[6] = {3, 0, 4, 0.5f, 1, 0};
    memcpy(weight(&b, 0), w, sizeof w);
    weight(&b, 1)[0] = 70;
    fanin__limit_norms(b.optimizer, 2);
    assert_near(length(weight(&b, 0), 3), 2, 0, 1e-6);
    assert_memory_equal(weight(&b, 0) + 3, w + 3, 3 * sizeof *w);
    assert_true(weight(&b, 1)[0] == 70); /* a bias is no weight */
    close_bench(&b);
}

/* Variance eta / (1 + t)^0.55, a new draw each step, the same for the same step. n = 40 000 numbers: the variance's
 * relative deviation is sqrt(2/n) = 0.7 %, 5 sigma 3.5 %. */
TEST(noise_has_its_variance) {
    enum { N = 200 * 200 };
    bench b = open_bench("mlp:200-200,bias=0", "sgd", "mse", 1);
    float *g = fanin_program_gradient(b.program, 0).data;
    const fanin_stream s = fanin_stream_init(7, "train/noise");
    float first = 0;
    for (int k = 0; k < 3; k++) {
        uint64_t step = k == 2 ? 0 : (uint64_t)k * 99;
        memset(g, 0, N * sizeof *g);
        fanin__add_noise(b.optimizer, &s, step, 0.3);
        assert_near(length(g, N) * length(g, N) / N, 0.3 / pow(1 + (double)step, 0.55), 0, 0.035);
        if (k == 0) first = g[N - 1];
        assert_true((g[N - 1] == first) == (step == 0));
    }
    close_bench(&b);
}

/* ---- curvature ---------------------------------------------------------------------------------------- */

/* One weight: both diagonals are H itself, 2 mean x^2 for the squared error, so the step is exact. */
static void one_weight(const char *optimizer) {
    bench b = open_bench("mlp:1-1,bias=0", optimizer, "mse", 2);
    fanin_err err = {0};
    double w = 0.75, h = 0;
    memcpy(fanin_program_input(b.program, 0).data, (float[]){1, 3}, 2 * sizeof(float));
    memcpy(fanin_program_target(b.program).data, (float[]){2, 1}, 2 * sizeof(float));
    weight(&b, 0)[0] = (float)w;
    for (int t = 1; t <= 4; t++) {
        fanin__optimizer_prepare(b.optimizer);
        assert_ok_err(fanin_program_run(b.program, &err), err);
        fanin_optimizer_step(b.optimizer);
        double g = (w - 2) + 3 * (3 * w - 1), diagonal = 1 + 9;
        h = 0.875 * h + 0.125 * diagonal;
        w -= 0.5 * g / (h / (1 - pow(0.875, t)) + 0.25);
        assert_near((double)weight(&b, 0)[0], w, 1e-6, 0);
    }
    close_bench(&b);
}

TEST(levenberg_of_one_weight) {
    one_weight("levenberg:lr=0.5,damping=0.25,leak=0.125");
    one_weight("hutchinson:lr=0.5,damping=0.25,leak=0.125");
}

/* LeCun et al. 1998, equations of section 7.4, written out for dense layers: widths, tanh between them, biases; a
 * sample at a time. h of the weights of the mean loss. */
enum { DEPTH = 3, WIDEST = 5 };
static const size_t widths[DEPTH + 1] = {3, 5, 4, 2};

static void forward(const float *const *w, const double *in, double x[][WIDEST]) {
    for (size_t i = 0; i < widths[0]; i++) x[0][i] = in[i];
    for (size_t l = 0; l < DEPTH; l++)
        for (size_t i = 0; i < widths[l + 1]; i++) {
            double a = (double)w[2 * l + 1][i];
            for (size_t j = 0; j < widths[l]; j++)
                a += (double)w[2 * l][i * widths[l] + j] * x[l][j];
            x[l + 1][i] = l + 1 < DEPTH ? tanh(a) : a;
        }
}

static void recursion(const float *const *w, const double *in, bool classes, double share,
                      double **h) {
    double x[DEPTH + 1][WIDEST], out[WIDEST], next[WIDEST], sum = 0;
    forward(w, in, x);
    for (size_t i = 0; i < widths[DEPTH]; i++) sum += exp(x[DEPTH][i]);
    for (size_t i = 0; i < widths[DEPTH]; i++) {
        double p = exp(x[DEPTH][i]) / sum;
        out[i] = classes ? share * p * (1 - p) : share * 2 / (double)widths[DEPTH];
    }
    for (size_t l = DEPTH; l-- > 0;) {
        for (size_t j = 0; j < widths[l]; j++) next[j] = 0;
        for (size_t i = 0; i < widths[l + 1]; i++) {
            h[2 * l + 1][i] += out[i];
            for (size_t j = 0; j < widths[l]; j++) {
                double v = (double)w[2 * l][i * widths[l] + j];
                h[2 * l][i * widths[l] + j] += out[i] * x[l][j] * x[l][j];
                next[j] += v * v * out[i];
            }
        }
        for (size_t j = 0; j < widths[l]; j++) {
            double slope = 1 - x[l][j] * x[l][j];
            out[j] = next[j] * slope * slope;
        }
    }
}

static void agree_with_recursion(const char *loss, bool classes) {
    enum { BATCH = 4 };
    bench b = open_bench("mlp:3-5-4-2,act=tanh", "levenberg", loss, BATCH);
    const float *w[2 * DEPTH];
    double values[2 * DEPTH][WIDEST * WIDEST] = {{0}}, *h[2 * DEPTH];
    fanin_err err = {0};
    assert_int_equal(fanin_program_weight_count(b.program), 2 * DEPTH);
    for (int i = 0; i < 2 * DEPTH; i++) {
        float *to = weight(&b, i);
        for (size_t k = 0; k < fanin_program_weight(b.program, i).count; k++)
            to[k] = (float)((k * 7 + (size_t)i * 3) % 11) / 8 - 0.6f;
        w[i] = to;
        h[i] = values[i];
    }
    float *x = fanin_program_input(b.program, 0).data;
    memset(fanin_program_target(b.program).data, 0, BATCH * 8);
    for (int k = 0; k < BATCH * 3; k++) x[k] = (float)((k * 5) % 7) / 4 - 0.7f;
    for (int s = 0; s < BATCH; s++) {
        const double in[3] = {(double)x[3 * s], (double)x[3 * s + 1], (double)x[3 * s + 2]};
        recursion(w, in, classes, 1.0 / BATCH, h);
    }
    assert_ok_err(fanin_program_run(b.program, &err), err);
    for (int i = 0; i < 2 * DEPTH; i++) {
        fanin_buffer got = fanin_program_curvature(b.program, i);
        for (size_t k = 0; k < got.count; k++)
            assert_near((double)((float *)got.data)[k], values[i][k], 1e-7, 2e-5);
    }
    close_bench(&b);
}

TEST(second_derivatives_by_lecun) {
    agree_with_recursion("mse", false);
    agree_with_recursion("cross_entropy", true);
    agree_with_recursion("cross_entropy:label_smoothing=0.1", true);
}

/* Convolutions, pooling and tanh: the recursion through torch 1.13's own conv2d_weight, conv2d_input and max_unpool2d
 * with squared operands, in double, on the weights and inputs below. The sum over each tensor, and its element 7. */
TEST(second_derivatives_of_a_convolutional_network) {
    static const struct {
        const char *name;
        double sum, element;
    } want[] = {
        {"conv1.weight", 0.55818316, 0.00352660592},   {"conv1.bias", 0.0638129413, 0.010398786},
        {"conv2.weight", 0.386231529, 1.98601734e-05}, {"conv2.bias", 0.130053186, 0.00794883625},
        {"fc1.weight", 0.249559436, 5.32034969e-06},   {"fc1.bias", 0.0968616083, 0.000778796609},
        {"fc2.weight", 0.137860331, 2.10320215e-05},   {"fc2.bias", 0.239696157, 0.00285012804},
        {"fc3.weight", 2.55178848, 0.00844418374},     {"fc3.bias", 0.897487501, 0.0842777969},
    };
    bench b = open_bench("lenet5,act=tanh", "levenberg", "cross_entropy", 2);
    fanin_err err = {0};
    float *x = fanin_program_input(b.program, 0).data;
    for (size_t k = 0; k < 2 * 784; k++) x[k] = (float)(k * 7919 % 103) / 50 - 1;
    memset(fanin_program_target(b.program).data, 0, 2 * sizeof(int64_t));
    for (size_t i = 0; i < FANIN_COUNT(want); i++) {
        assert_string_equal(fanin_program_weight_name(b.program, (int)i), want[i].name);
        float *w = weight(&b, (int)i);
        for (size_t k = 0; k < fanin_program_weight(b.program, (int)i).count; k++)
            w[k] = (float)((k * 7919 + i * 3) % 101) / 500 - 0.1f;
    }
    assert_ok_err(fanin_program_run(b.program, &err), err);
    for (size_t i = 0; i < FANIN_COUNT(want); i++) {
        fanin_buffer h = fanin_program_curvature(b.program, (int)i);
        const float *values = h.data;
        double sum = 0;
        for (size_t k = 0; k < h.count; k++) sum += (double)values[k];
        assert_near(sum, want[i].sum, 0, 2e-5);
        assert_near((double)values[7 % h.count], want[i].element, 0, 1e-4);
    }
    close_bench(&b);
}

/* Norms, attention and gates mix elements: the recursion does not go through them, and says so. */
TEST(where_the_recursion_does_not_go) {
    static const char *const nets[] = {"mlp:4-4x2-2,norm=batch", "mlp:4-4x2-2,norm=layer",
                                       "gpt2:layers=1,width=8,heads=2,vocab=9,context=4,tokens=4"};
    for (size_t i = 0; i < FANIN_COUNT(nets) + 1; i++) {
        bool loss = i == FANIN_COUNT(nets);
        fanin_graph *g;
        fanin_program *p;
        fanin_err err = {0};
        const fanin_program_options o = {
            .batch = 4, .loss = loss ? "l1" : "cross_entropy", .gradients = true, .diagonal = true};
        assert_ok_err(fanin_graph_load(loss ? "mlp:4-2" : nets[i], &g, &err), err);
        fanin_status status = fanin_program_create(g, &o, &p, &err);
        if (status != FANIN_UNSUPPORTED || !strstr(err.message, "second derivatives"))
            fail_msg("%s: %s %s", loss ? "l1" : nets[i], fanin_status_name(status), err.message);
        fanin_graph_destroy(g);
    }
}

/* ---- rules of one layer -------------------------------------------------------------------------------- */

static void put_samples(const bench *b, size_t inputs, size_t n, const float *x, const float *t) {
    memcpy(fanin_program_input(b->program, 0).data, x, n * inputs * sizeof *x);
    memcpy(fanin_program_target(b->program).data, t, n * sizeof *t);
}

/* Novikoff: from 0, with |x| <= R and a separating unit vector of margin gamma, at most (R / gamma)^2 mistakes, and
 * the rate changes no decision. Points beside x0 + x1 = 0 at a distance of 0.25 and more. */
TEST(perceptron_is_bounded) {
    enum { N = 40 };
    float x[2 * N], t[N];
    double radius = 0;
    for (int i = 0; i < N; i++) {
        double along = 2 * sin(1.7 * i), across = (i % 2 ? 1 : -1) * (0.25 + fabs(cos(2.3 * i)));
        x[2 * i] = (float)((across + along) / sqrt(2));
        x[2 * i + 1] = (float)((across - along) / sqrt(2));
        t[i] = i % 2 ? 1 : -1;
        radius = fmax(radius, along * along + across * across);
    }
    for (int k = 0; k < 2; k++) {
        bench b = open_bench("mlp:2-1,bias=0", k ? "perceptron:lr=0.125" : "perceptron", "mse", 1);
        int mistakes = 0, clean = 0;
        for (int i = 0; clean < N && i < 100 * N; i++) {
            float before[2];
            memcpy(before, weight(&b, 0), sizeof before);
            put_samples(&b, 2, 1, x + 2 * (i % N), t + i % N);
            fanin_optimizer_step(b.optimizer);
            bool same = !memcmp(before, weight(&b, 0), sizeof before);
            clean = same ? clean + 1 : 0;
            mistakes += !same;
        }
        assert_int_equal(clean, N);
        if (mistakes > radius / (0.25 * 0.25)) fail_msg("%d mistakes", mistakes);
        static int first;
        if (k) assert_int_equal(mistakes, first);
        first = mistakes;
        close_bench(&b);
    }
}

TEST(perceptron_of_classes) {
    bench b = open_bench("mlp:2-3,bias=0", "perceptron", "cross_entropy", 1);
    memcpy(fanin_program_input(b.program, 0).data, (float[]){2, -1}, 2 * sizeof(float));
    ((int64_t *)fanin_program_target(b.program).data)[0] = 2;
    fanin_optimizer_step(b.optimizer); /* all answers 0: class 0 won */
    assert_memory_equal(weight(&b, 0), ((float[]){-2, 1, 0, 0, 2, -1}), 6 * sizeof(float));
    fanin_optimizer_step(b.optimizer); /* right: nothing */
    assert_memory_equal(weight(&b, 0), ((float[]){-2, 1, 0, 0, 2, -1}), 6 * sizeof(float));
    close_bench(&b);
}

/* One step of LMS adds 2 lr e (x, 1); alpha-LMS corrects exactly the share lr of the error. */
TEST(delta_rules) {
    const float x[3] = {1, -2, 0.5f}, t[1] = {3}, w[3] = {0.5f, 0.25f, -1};
    for (int k = 0; k < 2; k++) {
        bench b = open_bench("mlp:3-1", k ? "alpha_lms:lr=0.25" : "lms:lr=0.125", "mse", 1);
        memcpy(weight(&b, 0), w, sizeof w);
        weight(&b, 1)[0] = 0.25f;
        put_samples(&b, 3, 1, x, t);
        double y = 0.25 + 0.5 - 0.5 - 0.5, e = 3 - y, squares = 1 + 4 + 0.25 + 1;
        fanin_optimizer_step(b.optimizer);
        double after = (double)weight(&b, 1)[0];
        for (int i = 0; i < 3; i++) after += (double)weight(&b, 0)[i] * (double)x[i];
        assert_near(3 - after, k ? 0.75 * e : e * (1 - 2 * 0.125 * squares), 1e-6, 0);
        close_bench(&b);
    }
}

/* On-line: four samples in one batch are four batches of one. */
TEST(rules_take_samples_in_turn) {
    const char *const rules[] = {"perceptron", "lms", "alpha_lms"};
    const float x[8] = {1, 2, -1, 0.5f, 0.25f, -2, 3, 1}, t[4] = {1, -1, 1, -1};
    for (size_t k = 0; k < FANIN_COUNT(rules); k++) {
        bench all = open_bench("mlp:2-1", rules[k], "mse", 4),
              one = open_bench("mlp:2-1", rules[k], "mse", 1);
        put_samples(&all, 2, 4, x, t);
        fanin_optimizer_step(all.optimizer);
        for (int i = 0; i < 4; i++) {
            put_samples(&one, 2, 1, x + 2 * i, t + i);
            fanin_optimizer_step(one.optimizer);
        }
        assert_memory_equal(weight(&all, 0), weight(&one, 0), 2 * sizeof(float));
        assert_memory_equal(weight(&all, 1), weight(&one, 1), sizeof(float));
        assert_true(weight(&all, 0)[0] != 0);
        close_bench(&all);
        close_bench(&one);
    }
}

/* Widrow: white unit Gaussian inputs, rate mu (here 2 lr = 2 mu): the misadjustment is mu tr / (1 - mu (tr + 2)) with
 * tr = 10, for mu = 0.01: 0.114. A million samples in batches; its deviation is below 2 %, 10 % are allowed. */
TEST(lms_misadjustment) {
    enum { INPUTS = 10, BATCH = 1000, BATCHES = 200 };
    bench b = open_bench("mlp:10-1,bias=0", "lms:lr=0.01", "mse", BATCH);
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
    const fanin_stream xs = fanin_stream_init(1, "x"), ns = fanin_stream_init(1, "noise");
    static float x[BATCH * INPUTS], noise[BATCH], t[BATCH];
    double excess = 0;
    for (int k = 0; k < BATCHES; k++) {
        assert_ok(fanin_random_fill(&xs, 0, &law, (uint64_t)k * BATCH * INPUTS, BATCH * INPUTS,
                                    FANIN_F32, x));
        assert_ok(fanin_random_fill(&ns, 0, &law, (uint64_t)k * BATCH, BATCH, FANIN_F32, noise));
        for (int i = 0; i < BATCH; i++) { /* the true weights are all 1 */
            t[i] = 0.1f * noise[i];
            for (int j = 0; j < INPUTS; j++) t[i] += x[i * INPUTS + j];
        }
        put_samples(&b, INPUTS, BATCH, x, t);
        fanin_optimizer_step(b.optimizer);
        double off = 0; /* E of the squared error beyond the noise is |w - w*|^2 */
        for (int j = 0; j < INPUTS; j++) off += pow((double)weight(&b, 0)[j] - 1, 2);
        if (k > 0) excess += off / (BATCHES - 1);
    }
    double want = 0.01 * 10 / (1 - 0.01 * 12);
    assert_near(excess / 0.01, want, 0,
                0.25); /* 199 nearly independent looks at |w - w*|^2 of 10 terms:
                                                   sqrt(2/1990) = 3 %, five of them, and the formula's own 10 % */
    close_bench(&b);
}

TEST(rules_learn_one_layer_only) {
    fanin_graph *g;
    fanin_program *p;
    fanin_optimizer *o;
    fanin_err err = {0};
    const char *const models[] = {"mlp:2-3x1-2", "mlp:2-3-2,act=identity"};
    for (int k = 0; k < 2; k++) {
        assert_ok_err(fanin_graph_load(models[k], &g, &err), err);
        const fanin_program_options with = {.loss = "mse", .gradients = true};
        assert_ok_err(fanin_program_create(g, &with, &p, &err), err);
        assert_int_equal(fanin_optimizer_create("lms", p, &o, &err), FANIN_UNSUPPORTED);
        assert_non_null(strstr(err.message, "one linear layer"));
        assert_null(o);
        fanin_program_destroy(p);
        fanin_graph_destroy(g);
    }
}

TEST(a_program_in_double_is_refused) {
    fanin_graph *g;
    fanin_program *p;
    fanin_optimizer *o;
    fanin_err err = {0};
    const fanin_program_options with = {.loss = "mse", .gradients = true, .dtype = FANIN_F64};
    assert_ok_err(fanin_graph_load("mlp:2-3-2", &g, &err), err);
    assert_ok_err(fanin_program_create(g, &with, &p, &err), err);
    assert_int_equal(fanin_optimizer_create("adam", p, &o, &err), FANIN_ARG);
    assert_string_equal(
        err.message, "optimizer adam: weight 'fc1.weight' of the program is F64, updates are F32");
    assert_null(o);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

/* ---- state -------------------------------------------------------------------------------------------- */

/* Arrays and steps carried over to a fresh optimiser: the next steps are the same bits. */
TEST(state_is_all_there_is) {
    for (int k = 0; k < fanin_optimizer_count(); k++) {
        fanin_optimizer_info info = fanin_optimizer_at(k);
        char text[64];
        snprintf(text, sizeof text, "%s%s", info.name,
                 strcmp(info.name, "rmsprop") ? "" : ":mu=0.5");
        bench a = open_bench("mlp:2-2", text, "mse", 1), b = open_bench("mlp:2-2", text, "mse", 1);
        set_weights(&a, begin);
        for (int s = 0; s < 2 * STEPS; s++) {
            if (s == STEPS) {
                set_weights(&b, (float[]){0, 0, 0, 0, 0, 0});
                memcpy(weight(&b, 0), weight(&a, 0), 4 * sizeof(float));
                memcpy(weight(&b, 1), weight(&a, 1), 2 * sizeof(float));
                for (int i = 0; i < fanin__optimizer_state_count(a.optimizer); i++) {
                    fanin__optimizer_state from = fanin__optimizer_state_at(a.optimizer, i),
                                           to = fanin__optimizer_state_at(b.optimizer, i);
                    assert_string_equal(from.slot, to.slot);
                    memcpy(to.data, from.data, from.count * sizeof *from.data);
                }
                fanin__optimizer_set_steps(b.optimizer, fanin__optimizer_steps(a.optimizer));
            }
            for (int i = 0; i < (s < STEPS ? 1 : 2); i++) {
                bench *x = i ? &b : &a;
                fanin__optimizer_prepare(x->optimizer);
                set_gradients(x, s % STEPS);
                if (fanin_program_curvature(x->program, 0).data)
                    memcpy(fanin_program_curvature(x->program, 0).data, gradients[s % STEPS],
                           4 * sizeof(float));
                fanin_optimizer_step(x->optimizer);
            }
        }
        assert_memory_equal(weight(&a, 0), weight(&b, 0), 4 * sizeof(float));
        assert_memory_equal(weight(&a, 1), weight(&b, 1), 2 * sizeof(float));
        close_bench(&a);
        close_bench(&b);
    }
}
