/* Training: it learns, repeats itself, names what diverges, stops when asked; schemes are ranked. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/train.h"
#include "faults.h"
#include "networks.h"
#include "testing.h"

static fanin_dataset *open_data(const char *text) {
    fanin_dataset *d;
    fanin_err err = {0};
    assert_ok_err(fanin_dataset_open(text, 0, &d, &err), err);
    return d;
}

static fanin_trainer *make(const fanin_graph *g, const fanin_dataset *d,
                           const fanin_train_options *o, const char *scheme) {
    fanin_trainer *t;
    fanin_err err = {0};
    const fanin_init_options init = {.scheme = scheme, .seed = o->seed};
    assert_ok_err(fanin_trainer_create(g, d, o, &t, &err), err);
    assert_ok_err(fanin_weights_fill(g, &init, NULL, fanin_trainer_program(t), &err), err);
    return t;
}

static fanin_train_result train(const char *model, const char *data, const fanin_train_options *o,
                                const char *scheme) {
    fanin_graph *g = load(model);
    fanin_dataset *d = open_data(data);
    fanin_trainer *t = make(g, d, o, scheme);
    fanin_train_result r;
    fanin_err err = {0};
    assert_ok_err(fanin_trainer_run(t, &r, &err), err);
    fanin_trainer_destroy(t);
    fanin_dataset_close(d);
    fanin_graph_destroy(g);
    return r;
}

/* Exclusive or of two bits is solved by every optimiser that learns more than one layer. */
TEST(every_optimizer_solves_xor) {
    const char *const texts[] = {
        "sgd:lr=0.5",     "momentum:lr=0.1",  "nesterov:lr=0.1",
        "adam:lr=0.02",   "adamw:lr=0.02",    "rmsprop:lr=0.01",
        "adagrad:lr=0.1", "lion:lr=0.01",     "lars:lr=1,trust=0.01,weight_decay=0.001",
        "lamb:lr=0.02",   "levenberg:lr=0.1", "hutchinson:lr=0.1"};
    enum { ONE_LAYER = 3 }; /* perceptron, lms, alpha_lms */
    assert_int_equal(FANIN_COUNT(texts) + ONE_LAYER, fanin_optimizer_count());
    for (size_t i = 0; i < FANIN_COUNT(texts); i++) {
        const fanin_train_options o = {.optimizer = texts[i], .steps = 600, .batch = 4};
        fanin_train_result r = train("mlp:2-16x1-2,act=tanh", "xor:bits=2", &o, "xavier");
        assert_int_equal(r.steps, 600);
        assert_false(r.diverged);
        const fanin_train_point *last = &r.points[r.count - 1];
        assert_int_equal(r.points[0].step, 0);
        assert_int_equal(last->step, 600);
        assert_true(isnan(r.points[0].train_loss));
        if (!(last->test_loss < 0.3 * r.points[0].test_loss) || last->test_error > 0.05)
            fail_msg("%s: loss %g to %g, error %g", texts[i], r.points[0].test_loss,
                     last->test_loss, last->test_error);
        fanin_train_result_fini(&r);
    }
}

static void assert_same_points(const fanin_train_result *a, const fanin_train_result *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_memory_equal(&a->points[i].test_loss, &b->points[i].test_loss, sizeof(double));
        assert_memory_equal(&a->points[i].train_loss, &b->points[i].train_loss, sizeof(double));
    }
}

TEST(same_seed_same_bits) {
    fanin_train_options o = {.optimizer = "adam", .steps = 60, .batch = 8, .seed = 3};
    fanin_train_result a = train("mlp:1024-20x2-9", "shapeset", &o, "he"),
                       b = train("mlp:1024-20x2-9", "shapeset", &o, "he");
    assert_same_points(&a, &b);
    fanin_train_result_fini(&b);
    o.seed = 4;
    b = train("mlp:1024-20x2-9", "shapeset", &o, "he");
    assert_true(a.points[a.count - 1].test_loss != b.points[b.count - 1].test_loss);
    fanin_train_result_fini(&a);
    fanin_train_result_fini(&b);
}

/* Evaluating more or less often is no part of training. */
TEST(evaluations_do_not_disturb) {
    const fanin_train_options often = {.steps = 40, .batch = 4, .eval_every = 1},
                              seldom = {.steps = 40, .batch = 4, .eval_every = 40};
    fanin_train_result a = train("mlp:2-8x1-2", "xor:bits=2", &often, "he"),
                       b = train("mlp:2-8x1-2", "xor:bits=2", &seldom, "he");
    assert_int_equal(a.count, 41);
    assert_int_equal(b.count, 2);
    assert_true(a.points[40].test_loss == b.points[1].test_loss);
    double mean = 0;
    for (int i = 1; i <= 40; i++) mean += a.points[i].train_loss / 40;
    assert_near(b.points[1].train_loss, mean, 0, 1e-12);
    fanin_train_result_fini(&a);
    fanin_train_result_fini(&b);
}

/* ---- descent inside the run --------------------------------------------------------------------------- */

static int descending(fanin_trainer *t) {
    const fanin_program *p = fanin_trainer_program(t);
    int count = 0;
    for (int i = 0; i < fanin_program_weight_count(p); i++) count += fanin_program_descends(p, i);
    return count;
}

/* Also where the run ended in numbers that are none: b's weights are a's, and finite. */
static void assert_close_weights(fanin_trainer *a, fanin_trainer *b, const char *what) {
    const fanin_program *p = fanin_trainer_program(a), *q = fanin_trainer_program(b);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer u = fanin_program_weight(p, i), v = fanin_program_weight(q, i);
        double apart = 0, size = 0;
        for (size_t k = 0; k < u.count; k++) {
            double x = (double)((const float *)u.data)[k], y = (double)((const float *)v.data)[k];
            apart += (x - y) * (x - y);
            size += x * x;
        }
        if (!(apart <= 1e-8 * size) || !isfinite(size))
            fail_msg("%s, %s: apart by %g of %g", what, fanin_program_weight_name(p, i),
                     sqrt(apart), sqrt(size));
    }
}

static void assert_close_looks(const fanin_train_result *a, const fanin_train_result *b) {
    assert_int_equal(a->monitor_count, b->monitor_count);
    for (size_t i = 0; i < a->monitor_count * (size_t)a->layer_count; i++) {
        const fanin_train_layer *x = &a->monitors[i], *y = &b->monitors[i];
        assert_true(x->weight_gradient > 0 && x->gradient > 0);
        assert_near(y->weight_gradient, x->weight_gradient, 1e-7, 1e-3);
        assert_near(y->gradient, x->gradient, 1e-7, 1e-3);
        if (isnan(x->update_ratio)) continue; /* the end: no step follows */
        assert_true(x->update_ratio > 0);
        assert_near(y->update_ratio, x->update_ratio, 1e-7, 1e-3);
    }
}

/* Plain sgd is done by the products; momentum without momentum and a group that changes nothing are not. */
TEST(descent_is_the_separate_update) {
    const char *const same[] = {"*=lr:1"};
    const struct {
        const char *model, *plain, *apart;
        int products;
        bool group, diverges;
    } cases[] = {
        {"mlp:1024-30x2-9,act=tanh", "sgd:lr=0.1", "momentum:lr=0.1,mu=0", 3, false, false},
        {"mlp:1024-30x2-9,norm=batch", "sgd:lr=0.1", "sgd:lr=0.1", 3, true, false},
        {"mlp:1024-30x2-9", "sgd:lr=1e6", "sgd:lr=1e6", 3, true, true}};
    for (size_t c = 0; c < FANIN_COUNT(cases); c++) {
        fanin_graph *g = load(cases[c].model);
        fanin_dataset *d = open_data("shapeset");
        fanin_train_options o = {.optimizer = cases[c].plain,
                                 .schedule = "cosine:warmup=3",
                                 .steps = 40,
                                 .batch = 12,
                                 .eval_samples = 100,
                                 .monitor_every = cases[c].diverges ? 0 : 8};
        fanin_trainer *t[2] = {make(g, d, &o, "he"), NULL};
        o.optimizer = cases[c].apart;
        o.groups = same;
        o.group_count = cases[c].group;
        t[1] = make(g, d, &o, "he");
        assert_int_equal(descending(t[0]), cases[c].products);
        assert_int_equal(descending(t[1]), 0);
        fanin_train_result r[2];
        fanin_err err = {0};
        for (int i = 0; i < 2; i++) assert_ok_err(fanin_trainer_run(t[i], &r[i], &err), err);
        assert_close_weights(t[1], t[0], cases[c].model);
        assert_int_equal(r[0].count, r[1].count);
        assert_true(r[0].diverged == cases[c].diverges && r[1].diverged == cases[c].diverges);
        assert_int_equal(r[0].diverged_at, r[1].diverged_at);
        assert_string_equal(r[0].diverged_layer, r[1].diverged_layer);
        if (!cases[c].diverges) assert_close_looks(&r[1], &r[0]);
        for (int i = 0; i < 2; i++) {
            fanin_train_result_fini(&r[i]);
            fanin_trainer_destroy(t[i]);
        }
        fanin_dataset_close(d);
        fanin_graph_destroy(g);
    }
}

/* What reads gradients finds them. */
TEST(recipes_that_read_gradients_keep_them) {
    static const char *const same[] = {"*=lr:1"};
    const fanin_train_options recipes[] = {{.optimizer = "sgd:weight_decay=0.1"},
                                           {.optimizer = "adam"},
                                           {.l1 = 1e-4},
                                           {.l2 = 1e-4},
                                           {.decay = 1e-4},
                                           {.max_norm = 1},
                                           {.clip_value = 1},
                                           {.clip_norm = 1},
                                           {.clip_agc = 0.1},
                                           {.gradient_noise = 1e-6},
                                           {.groups = same, .group_count = 1}};
    fanin_graph *g = load("mlp:2-4x1-2");
    fanin_dataset *d = open_data("xor:bits=2");
    for (size_t i = 0; i < FANIN_COUNT(recipes); i++) {
        fanin_train_options o = recipes[i];
        o.steps = 3;
        o.batch = 4;
        fanin_trainer *t = make(g, d, &o, "he");
        if (descending(t)) fail_msg("recipe %zu descends", i);
        fanin_train_result r;
        fanin_err err = {0};
        assert_ok_err(fanin_trainer_run(t, &r, &err), err);
        assert_int_equal(r.steps, 3);
        fanin_train_result_fini(&r);
        fanin_trainer_destroy(t);
    }
    fanin_dataset_close(d);
    fanin_graph_destroy(g);
}

/* ---- what is refused ------------------------------------------------------------------------------- */

static fanin_status refuse(const char *model, const char *data, const fanin_train_options *o,
                           const char *says) {
    fanin_graph *g = load(model);
    fanin_dataset *d = open_data(data);
    fanin_trainer *t;
    fanin_err err = {0};
    fanin_status status = fanin_trainer_create(g, d, o, &t, &err);
    if (t) fail_msg("%s on %s: not refused (%s)", model, data, says);
    if (!strstr(err.message, says)) fail_msg("'%s' does not say '%s'", err.message, says);
    fanin_dataset_close(d);
    fanin_graph_destroy(g);
    return status;
}

TEST(what_does_not_fit_is_refused) {
    const fanin_train_options o = {.steps = 1, .batch = 4};
    const char *model = "mlp:2-4x1-2", *xor = "xor:bits=2";
    assert_int_equal(refuse("mlp:3-4x1-2", xor, &o, "2 numbers a sample, the network takes 3"),
                     FANIN_SHAPE);
    assert_int_equal(refuse("mlp:1024-4x1-5", "shapeset", &o, "9 classes, the network has 5"),
                     FANIN_SHAPE);
    assert_int_equal(refuse(model, xor, &(fanin_train_options){.batch = 3}, "steps or epochs"),
                     FANIN_ARG);
    assert_int_equal(
        refuse("mlp:1024-4x1-9", "shapeset", &(fanin_train_options){.epochs = 1}, "never ends"),
        FANIN_ARG);
    const struct {
        const char *text, *says;
        fanin_status status;
    } bad[] = {
        {"sdg", "sdg", FANIN_NOTFOUND},
        {"", "unknown", FANIN_NOTFOUND},
        {"sgd:lr", "lr", FANIN_ARG},
        {"sgd:lr=", "lr=", FANIN_ARG},
        {"sgd:lr=x", "lr=x", FANIN_ARG},
        {"sgd:lr=-1", "lr=-1", FANIN_ARG},
        {"sgd:lr=nan", "lr=nan", FANIN_ARG},
        {"sgd:lr=0.1,", "''", FANIN_ARG},
        {"sgd:lr=0.1;mu=0.9", "lr=0.1;mu=0.9", FANIN_ARG},
        {"sgd:mu=0.9", "mu=0.9", FANIN_ARG},
        {"adam:beta1=1.5", "beta1=1.5", FANIN_ARG},
        {"nesterov:dampening=0.1", "dampening", FANIN_ARG},
    };
    for (size_t i = 0; i < FANIN_COUNT(bad); i++) {
        const fanin_train_options with = {.steps = 1, .batch = 4, .optimizer = bad[i].text};
        assert_int_equal(refuse(model, xor, &with, bad[i].says), bad[i].status);
    }
}

/* Nine samples in a file: a batch of ten does not exist, one of four drops the last sample. */
TEST(batches_of_a_small_set) {
    enum { N = 9 };
    char text[512];
    FILE *f = fopen(test_tmp("set.csv"), "w");
    assert_non_null(f);
    fclose(f);
    static const char header[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 2), }";
    char path[2][256];
    for (int k = 0; k < 2; k++) {
        snprintf(path[k], sizeof path[k], "%s", test_tmp(k ? "t.npy" : "x.npy"));
        f = fopen(path[k], "wb");
        assert_non_null(f);
        unsigned char head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0};
        char padded[118];
        memset(padded, ' ', sizeof padded);
        memcpy(padded, header, sizeof header - 1);
        padded[117] = '\n';
        fwrite(head, 1, sizeof head, f);
        fwrite(padded, 1, sizeof padded, f);
        for (int i = 0; i < 2 * N; i++) {
            float v = (float)sin(i + 0.3 * k);
            fwrite(&v, sizeof v, 1, f);
        }
        fclose(f);
    }
    snprintf(text, sizeof text, "%s,%s", path[0], path[1]);
    fanin_dataset *d = open_data(text);
    uint64_t have = fanin_dataset_get_info(d)->train_count;
    fanin_dataset_close(d);
    assert_true(have > 4 && have <= N);
    const fanin_train_options ten = {.steps = 1, .batch = 10};
    assert_int_equal(refuse("mlp:2-4x1-2", text, &ten, "fewer than a batch of 10"), FANIN_SHAPE);
    const fanin_train_options four = {.epochs = 3, .batch = 4};
    fanin_train_result r = train("mlp:2-4x1-2", text, &four, "he");
    assert_int_equal(r.steps, 3 * (have / 4));
    assert_true(isnan(r.points[0].test_error)); /* real targets */
    fanin_train_result_fini(&r);
}

/* ---- divergence, interruption ---------------------------------------------------------------------- */

TEST(divergence_names_a_layer) {
    const fanin_train_options o = {.optimizer = "sgd:lr=1e6", .steps = 200, .eval_samples = 50};
    fanin_train_result r = train("mlp:1024-30x3-9", "shapeset", &o, "he");
    assert_true(r.diverged);
    assert_true(r.diverged_at < 200 && r.diverged_at == r.steps);
    assert_true(strncmp(r.diverged_layer, "fc", 2) == 0);
    assert_true(r.count >= 1);
    fanin_train_result_fini(&r);
}

static void interrupt_at_third(void *ctx, const fanin_train_point *point) {
    int *seen = ctx;
    assert_true(isfinite(point->test_loss));
    if (++*seen == 3) fanin_interrupt(true);
}

TEST(interruption_keeps_what_was_seen) {
    fanin_graph *g = load("mlp:2-8x1-2");
    fanin_dataset *d = open_data("xor:bits=2");
    int seen = 0;
    const fanin_train_options o = {.steps = 1000,
                                   .batch = 4,
                                   .eval_every = 10,
                                   .eval_samples = 50,
                                   .on_point = interrupt_at_third,
                                   .on_point_ctx = &seen};
    fanin_trainer *t = make(g, d, &o, "he");
    fanin_train_result r;
    fanin_err err = {0};
    assert_int_equal(fanin_trainer_run(t, &r, &err), FANIN_INTERRUPTED);
    fanin_interrupt(false);
    assert_int_equal(r.count, 3);
    assert_int_equal(r.steps, 20);
    assert_non_null(strstr(err.message, "20 of 1000"));
    fanin_train_result_fini(&r);
    assert_ok_err(fanin_trainer_run(t, &r, &err), err); /* the trainer is still good */
    assert_int_equal(r.steps, 1000);
    fanin_train_result_fini(&r);
    fanin_trainer_destroy(t);
    fanin_dataset_close(d);
    fanin_graph_destroy(g);
}

/* Batch norm's running statistics move with training and are what evaluation uses. */
TEST(running_statistics_follow) {
    fanin_graph *g = load("mlp:2-8x1-2,norm=batch");
    fanin_dataset *d = open_data("spirals");
    const fanin_train_options o = {
        .optimizer = "sgd:lr=0", .steps = 200, .batch = 64, .eval_every = 200};
    fanin_trainer *t = make(g, d, &o, "he");
    fanin_program *p = fanin_trainer_program(t);
    int mean = -1, var = -1;
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        if (strstr(fanin_program_weight_name(p, i), "running_mean")) mean = i;
        if (strstr(fanin_program_weight_name(p, i), "running_var")) var = i;
    }
    assert_true(mean >= 0 && var >= 0);
    assert_true(((const float *)fanin_program_weight(p, mean).data)[0] == 0);
    assert_true(((const float *)fanin_program_weight(p, var).data)[0] == 1);
    fanin_train_result r;
    fanin_err err = {0};
    assert_ok_err(fanin_trainer_run(t, &r, &err), err);
    /* lr 0: only the statistics changed. They have reached those of the batches, so that evaluation now gives
       what training gives. */
    bool moved = false;
    const float *v = fanin_program_weight(p, var).data;
    for (int i = 0; i < 8; i++) moved = moved || fabsf(v[i] - 1) > 0.05f;
    assert_true(moved);
    double train_loss = r.points[1].train_loss;
    assert_near(r.points[1].test_loss, train_loss, 0.1, 0.1);
    assert_true(fabs(r.points[1].test_loss - r.points[0].test_loss) > 1e-4);
    fanin_train_result_fini(&r);
    fanin_trainer_destroy(t);
    fanin_dataset_close(d);
    fanin_graph_destroy(g);
}

/* ---- comparison -------------------------------------------------------------------------------------- */

static const char tiny[] = "mlp:2-16x1-2,act=tanh";

static fanin_comparison *compare(const char *model, const char *const *schemes, int count,
                                 int seeds, uint64_t steps, const char *optimizer,
                                 fanin_status want) {
    fanin_graph *g = load(model);
    fanin_dataset *d = open_data("xor:bits=2");
    const fanin_compare_options o = {.schemes = schemes,
                                     .scheme_count = count,
                                     .seeds = seeds,
                                     .train = {.optimizer = optimizer, .steps = steps, .batch = 4},
                                     .check = {.batch = 4}};
    fanin_comparison *c;
    fanin_err err = {0};
    fanin_status status = fanin_compare(g, d, &o, &c, &err);
    if (status != want) fail_msg("%s: %s", fanin_status_name(status), err.message);
    fanin_dataset_close(d);
    fanin_graph_destroy(g);
    return c;
}

TEST(the_best_scheme_stands_first) {
    static const char *const schemes[] = {"zeros", "xavier", "normal:std=1e-6"};
    fanin_comparison *c = compare(tiny, schemes, 3, 2, 400, "sgd:lr=0.5", FANIN_OK);
    assert_int_equal(c->run_count, 6);
    assert_int_equal(c->rank_count, 3);
    assert_false(c->interrupted);
    assert_string_equal(c->ranks[0].scheme, "xavier");
    assert_int_equal(c->ranks[0].trained, 2);
    assert_int_equal(c->ranks[0].verdict, FANIN_VERDICT_HEALTHY);
    assert_false(c->ranks[0].steps_to_target > 400); /* NaN: the other seed is better by far */
    assert_true(c->ranks[0].low <= c->ranks[0].error && c->ranks[0].error <= c->ranks[0].high);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c->ranks[i].runs, 2);
        if (i) assert_true(c->ranks[i].error >= c->ranks[i - 1].error);
        if (strcmp(c->ranks[i].scheme, "zeros") != 0) continue;
        assert_int_equal(c->ranks[i].trained, 0);
        assert_int_equal(c->ranks[i].verdict, FANIN_VERDICT_SYMMETRIC);
        assert_true(isnan(c->ranks[i].steps_to_target));
    }
    /* runs of one seed see the same samples: the same first evaluation but for the weights */
    assert_int_equal(c->runs[0].seed, c->runs[2].seed);
    fanin_comparison_destroy(c);
}

/* The same scheme twice gives the same numbers: the order of the data is the seed's, not the run's. */
TEST(runs_are_paired) {
    static const char *const schemes[] = {"xavier", "xavier_uniform"};
    fanin_comparison *c = compare(tiny, schemes, 2, 2, 50, "adam", FANIN_OK);
    assert_same_points(&c->runs[0].result, &c->runs[2].result);
    assert_same_points(&c->runs[1].result, &c->runs[3].result);
    assert_true(c->runs[0].result.points[1].test_loss != c->runs[1].result.points[1].test_loss);
    fanin_comparison_destroy(c);
}

TEST(what_diverges_stands_last) {
    static const char *const schemes[] = {"normal:std=1e16", "xavier"};
    fanin_comparison *c = compare("mlp:2-16x3-2", schemes, 2, 1, 30, "sgd:lr=0.1", FANIN_OK);
    assert_string_equal(c->ranks[0].scheme, "xavier");
    assert_true(isnan(c->ranks[1].loss) && isnan(c->ranks[1].error));
    assert_int_equal(c->ranks[1].trained, 0);
    fanin_comparison_destroy(c);
}

TEST(an_interrupted_comparison_is_still_one) {
    static const char *const schemes[] = {"he", "xavier"};
    fanin_interrupt(true);
    fanin_comparison *c = compare(tiny, schemes, 2, 1, 30, "sgd:lr=0.1", FANIN_INTERRUPTED);
    fanin_interrupt(false);
    assert_non_null(c);
    assert_true(c->interrupted);
    assert_int_equal(c->rank_count, 2);
    assert_true(isnan(c->ranks[0].loss));
    fanin_comparison_destroy(c);
}

TEST(an_unknown_scheme_fails_the_comparison) {
    static const char *const schemes[] = {"he", "hee"};
    assert_null(compare(tiny, schemes, 2, 1, 30, "sgd:lr=0.1", FANIN_NOTFOUND));
}

/* ---- memory ------------------------------------------------------------------------------------------- */

static fanin_status once(void *arg) {
    fanin_graph *g = ((void **)arg)[0];
    fanin_dataset *d = ((void **)arg)[1];
    static const char *const schemes[] = {"he"};
    const fanin_compare_options o = {.schemes = schemes,
                                     .scheme_count = 1,
                                     .train = {.steps = 2, .batch = 2, .eval_samples = 4},
                                     .check = {.batch = 2}};
    fanin_comparison *c;
    fanin_err err = {0};
    fanin_status status = fanin_compare(g, d, &o, &c, &err);
    fanin_comparison_destroy(c);
    return status;
}

TEST(memory_refused_at_every_request) {
    void *arg[2] = {load("mlp:2-3x1-2"), open_data("xor:bits=2")};
    fanin_threads_set(1);
    assert_true(fault_sweep("compare", once, arg) > 50);
    fanin_threads_set(0);
    fanin_dataset_close(arg[1]);
    fanin_graph_destroy(arg[0]);
}
