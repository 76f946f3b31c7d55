/* Replicas against single programs: every kind of layer, loss and option, in both precisions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "engine/replicas.h"
#include "fanin/engine.h"
#include "faults.h"
#include "networks.h"
#include "testing.h"

static double get(fanin_buffer b, size_t i) {
    return b.dtype == FANIN_F32 ? (double)((const float *)b.data)[i] : ((const double *)b.data)[i];
}

static void put(fanin_buffer b, size_t i, double v) {
    if (b.dtype == FANIN_F32)
        ((float *)b.data)[i] = (float)v;
    else
        ((double *)b.data)[i] = v;
}

/* Addressed numbers on [-1, 1). */
static double number(uint64_t of, uint64_t i) {
    return 2 * fanin__uniform_at(fanin__mixed(of + 1), i) - 1;
}

/* Buffer number `what` of replica `seed`, from element `at` on. Running variances stay positive. */
static void fill(fanin_buffer b, const char *name, uint64_t what, uint64_t seed, size_t at,
                 size_t n) {
    bool positive = name && strstr(name, "running_var");
    for (size_t i = 0; i < n; i++) {
        double v = number(1000 * seed + what, i);
        if (b.dtype == FANIN_I64)
            ((int64_t *)b.data)[at + i] = v > 0;
        else
            put(b, at + i, positive ? v + 1.5 : v);
    }
}

static void fill_single(fanin_program *p, uint64_t seed, uint64_t input_seed) {
    int weights = fanin_program_weight_count(p);
    for (int i = 0; i < weights; i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        fill(w, fanin_program_weight_name(p, i), (uint64_t)i, seed, 0, w.count);
    }
    fanin_buffer x = fanin_program_input(p, 0), t = fanin_program_target(p);
    fill(x, NULL, 900, input_seed, 0, x.count);
    if (t.data) fill(t, NULL, 901, input_seed, 0, t.count);
}

static void fill_replicas(fanin_program *p, size_t replicas, bool own_inputs) {
    for (size_t r = 0; r < replicas; r++) {
        for (int i = 0; i < fanin_program_weight_count(p); i++) {
            fanin_buffer w = fanin_program_weight(p, i);
            assert_int_equal(w.dims[0], replicas);
            size_t n = w.count / replicas;
            fill(w, fanin_program_weight_name(p, i), (uint64_t)i, r, r * n, n);
        }
        if (!own_inputs && r > 0) continue;
        size_t copies = own_inputs ? replicas : 1;
        fanin_buffer x = fanin_program_input(p, 0), t = fanin_program_target(p);
        fill(x, NULL, 900, r, r * (x.count / copies), x.count / copies);
        if (t.data) fill(t, NULL, 901, r, r * (t.count / copies), t.count / copies);
    }
}

static void compare(fanin_buffer many, fanin_buffer one, size_t r, double tol) {
    assert_int_equal(many.data != NULL, one.data != NULL);
    double scale = 0;
    for (size_t i = 0; i < one.count; i++) scale = fmax(scale, fabs(get(one, i)));
    for (size_t i = 0; i < one.count; i++)
        assert_near(get(many, r * one.count + i), get(one, i), tol * (1 + scale), 0);
}

/* Everything that a program of replicas shows equals what single ones show. */
static void check(const char *model, fanin_program_options o, size_t replicas, double tol) {
    fanin_graph *g = builtin(model);
    fanin_program_options many_options = o;
    many_options.replicas = (int64_t)replicas;
    fanin_program *many = program_of(g, many_options);
    fill_replicas(many, replicas, o.replica_inputs);
    assert_ok(fanin_program_run(many, NULL));
    double mean = 0;
    for (size_t r = 0; r < replicas; r++) {
        fanin_program_options one_options = o;
        one_options.seed = o.seed + r;
        one_options.replica_inputs = false;
        fanin_program *one = program_of(g, one_options);
        fill_single(one, r, o.replica_inputs ? r : 0);
        assert_ok(fanin_program_run(one, NULL));
        mean += fanin_program_loss(one) / (double)replicas;
        compare(fanin_program_losses(many), fanin_program_losses(one), r, tol);
        compare(fanin_program_output(many, 0), fanin_program_output(one, 0), r, tol);
        compare(fanin_program_input_gradient(many, 0), fanin_program_input_gradient(one, 0), r,
                tol);
        for (int i = 0; i < fanin_program_weight_count(one); i++) {
            compare(fanin_program_gradient(many, i), fanin_program_gradient(one, i), r, tol);
            compare(fanin_program_statistic(many, i), fanin_program_statistic(one, i), r, tol);
        }
        fanin_program_destroy(one);
    }
    assert_near(fanin_program_loss(many), mean, tol, 1e-5);
    fanin_program_destroy(many);
    fanin_graph_destroy(g);
}

static const char *const models[] = {
    "mlp:2-2-1",
    "mlp:5-7x2-3,act=sigmoid",
    "mlp:5-7x2-3,act=gelu,bias=0",
    "mlp:4-6-3,act=silu,norm=batch",
    "mlp:4-6-3,act=leaky_relu:0.2,norm=layer",
    "mlp:3-8-2,act=tanh,dropout=0.4",
};

TEST(replicas_equal_single_programs) {
    for (size_t m = 0; m < FANIN_COUNT(models); m++)
        for (int loss = 0; loss < 2; loss++)
            for (int own = 0; own < 2; own++)
                check(models[m],
                      (fanin_program_options){.batch = 5,
                                              .loss = loss ? "mse" : "cross_entropy",
                                              .gradients = true,
                                              .input_gradients = true,
                                              .replica_inputs = own,
                                              .seed = 17},
                      19, 2e-6);
}

TEST(replicas_in_double_and_by_plain_kernels) {
    for (size_t m = 0; m < FANIN_COUNT(models); m++) {
        fanin_program_options o = {
            .batch = 4, .loss = "cross_entropy", .gradients = true, .dtype = FANIN_F64};
        check(models[m], o, 5, 1e-12);
        o.dtype = FANIN_F32;
        o.reference = true;
        check(models[m], o, 5, 2e-6);
        o.eval = true;
        check(models[m], o, 5, 2e-6);
    }
}

/* The same replica among others, on any number of threads: the same bits. */
TEST(a_replica_does_not_see_the_others) {
    fanin_graph *g = builtin("mlp:4-6-3,act=gelu,norm=batch,dropout=0.2");
    fanin_program_options o = {.batch = 5, .loss = "cross_entropy", .gradients = true};
    unsigned threads = fanin_threads();
    float want[24] = {0};
    const size_t counts[] = {1, 7, 40, 700};
    for (size_t c = 0; c < FANIN_COUNT(counts); c++)
        for (unsigned t = 1; t <= 3; t++) {
            fanin_threads_set(t);
            o.replicas = (int64_t)counts[c];
            fanin_program *p = program_of(g, o);
            fill_replicas(p, counts[c], false);
            assert_ok(fanin_program_run(p, NULL));
            fanin_buffer w = fanin_program_gradient(p, 0);
            assert_int_equal(w.count, 24 * counts[c]);
            if (c == 0 && t == 1) memcpy(want, w.data, sizeof want);
            assert_memory_equal(want, w.data, sizeof want);
            assert_true(want[0] != 0 || want[5] != 0);
            fanin_program_destroy(p);
        }
    fanin_threads_set(threads);
    fanin_graph_destroy(g);
}

/* Many lanes for small networks, a vector of them for wide ones. */
TEST(blocks_fit_the_cache) {
    fanin_program_options o = {.batch = 4, .loss = "mse", .gradients = true, .replicas = 5000};
    fanin_graph *small = builtin("mlp:2-2-1"), *wide = builtin("mlp:64-128-8");
    fanin_program *p = program_of(small, o), *q = program_of(wide, o);
    assert_true(p->replicas->lanes >= 64);
    assert_int_equal(q->replicas->lanes, 16);
    assert_true(p->replicas->arenas[0].plan.arena_size <= 128 << 10);
    assert_true(fanin_program_memory(p) < 5000 * 100);
    fanin_program_destroy(p);
    fanin_program_destroy(q);
    fanin_graph_destroy(small);
    fanin_graph_destroy(wide);
}

/* softplus(z) - t z, by hand. */
TEST(one_logit_is_sigmoid_cross_entropy) {
    fanin_graph *g = builtin("mlp:1-1");
    fanin_program *p = program_of(
        g, (fanin_program_options){.batch = 3, .loss = "cross_entropy", .gradients = true});
    double x[3] = {-1.5, 0.25, 2}, want = 0, slope = 0;
    for (int i = 0; i < 3; i++) {
        put(fanin_program_input(p, 0), (size_t)i, x[i]);
        int64_t t = i != 1;
        ((int64_t *)fanin_program_target(p).data)[i] = t;
        double z = 0.75 * x[i], s = 1 / (1 + exp(-z));
        want -= log(t ? s : 1 - s) / 3;
        slope += (s - (double)t) * x[i] / 3;
    }
    put(fanin_program_weight(p, 0), 0, 0.75);
    assert_ok(fanin_program_run(p, NULL));
    assert_near(fanin_program_loss(p), want, 0, 1e-6);
    assert_near(get(fanin_program_gradient(p, 0), 0), slope, 1e-7, 1e-6);
    ((int64_t *)fanin_program_target(p).data)[0] = 2;
    assert_int_equal(fanin_program_run(p, NULL), FANIN_ARG);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

TEST(what_has_no_rule_is_named) {
    fanin_graph *g = builtin("lenet5");
    fanin_err err = {0};
    fanin_program *p;
    fanin_program_options o = {.batch = 2, .replicas = 3};
    assert_int_equal(fanin_program_create(g, &o, &p, &err), FANIN_UNSUPPORTED);
    assert_non_null(strstr(err.message, "'conv'"));
    assert_null(p);
    o.replicas = -1;
    assert_int_equal(fanin_program_create(g, &o, &p, &err), FANIN_ARG);
    fanin_graph_destroy(g);
}

static fanin_status create_and_run(void *graph) {
    fanin_program_options o = {
        .batch = 3, .loss = "cross_entropy", .gradients = true, .replicas = 40};
    fanin_program *p;
    fanin_err err = {0};
    fanin_status status = fanin_program_create(graph, &o, &p, &err);
    if (status == FANIN_OK) status = fanin_program_run(p, &err);
    fanin_program_destroy(p);
    return status;
}

TEST(any_allocation_may_fail) {
    fanin_graph *g = builtin("mlp:3-4-2,act=tanh,norm=batch,dropout=0.1");
    assert_ok(create_and_run(g)); /* what lasts is made now */
    fault_sweep("replicas", create_and_run, g);
    fanin_graph_destroy(g);
}
