/* Checkpoints: a run that was stopped anywhere and resumed is, bit for bit, the run that was not. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "fanin/train.h"
#include "faults.h"
#include "testing.h"

typedef struct setup {
    fanin_graph *graph;
    fanin_dataset *data;
    fanin_train_options options;
    uint64_t stop_at; /* interrupt after so many steps; 0: never */
} setup;

static setup make(const char *model, const char *data, fanin_train_options o) {
    setup s = {.options = o};
    fanin_err err = {0};
    assert_ok_err(fanin_graph_load(model, &s.graph, &err), err);
    assert_ok_err(fanin_dataset_open(data, 0, &s.data, &err), err);
    return s;
}

static void unmake(setup *s) {
    fanin_dataset_close(s->data);
    fanin_graph_destroy(s->graph);
}

static void stop_there(void *ctx, const fanin_train_now *now) {
    const setup *s = ctx;
    if (s->stop_at && now->step == s->stop_at) fanin_interrupt(true);
}

static fanin_trainer *trainer(setup *s) {
    fanin_trainer *t;
    fanin_err err = {0};
    s->options.on_step = stop_there;
    s->options.on_step_ctx = s;
    assert_ok_err(fanin_trainer_create(s->graph, s->data, &s->options, &t, &err), err);
    return t;
}

static void fill(setup *s, fanin_trainer *t) {
    fanin_err err = {0};
    const fanin_init_options init = {.scheme = "he", .seed = s->options.seed};
    assert_ok_err(fanin_weights_fill(s->graph, &init, NULL, fanin_trainer_program(t), &err), err);
}

static void assert_same_weights(fanin_trainer *a, fanin_trainer *b, const char *what) {
    fanin_program *p = fanin_trainer_program(a), *q = fanin_trainer_program(b);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer x = fanin_program_weight(p, i), y = fanin_program_weight(q, i);
        if (memcmp(x.data, y.data, x.count * sizeof(float)) != 0)
            fail_msg("%s: %s differs", what, fanin_program_weight_name(p, i));
    }
}

static void assert_same_result(const fanin_train_result *a, const fanin_train_result *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        fanin_train_point x = a->points[i], y = b->points[i];
        x.seconds = y.seconds = 0;
        assert_memory_equal(&x, &y, sizeof x);
    }
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->stopped, b->stopped);
    assert_int_equal(a->best_step, b->best_step);
    assert_int_equal(a->monitor_count, b->monitor_count);
    if (a->monitor_count) {
        assert_memory_equal(a->monitor_steps, b->monitor_steps,
                            a->monitor_count * sizeof *a->monitor_steps);
        assert_memory_equal(a->monitors, b->monitors,
                            a->monitor_count * (size_t)a->layer_count * sizeof *a->monitors);
    }
}

/* Runs to the end in one go, and in two with a checkpoint after `stop` steps in another process's shoes:
 * a fresh trainer whose weights were never filled. */
static void assert_resumes(setup *s, uint64_t stop, const char *what) {
    fanin_err err = {0};
    fanin_train_result whole, part;
    fanin_trainer *a = trainer(s);
    s->stop_at = 0;
    fill(s, a);
    assert_ok_err(fanin_trainer_run(a, &whole, &err), err);
    fanin_trainer *b = trainer(s);
    s->stop_at = stop;
    fill(s, b);
    s->options.checkpoint = NULL;
    fanin_status status = fanin_trainer_run(b, &part, &err);
    fanin_interrupt(false);
    if (status != FANIN_INTERRUPTED) /* patience ran out before */
        assert_int_equal(status, FANIN_OK);
    fanin_train_result_fini(&part);
    assert_ok_err(fanin_trainer_save(b, test_tmp("last.safetensors"), &err), err);
    fanin_trainer_destroy(b);
    b = trainer(s);
    s->stop_at = 0;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("."));
    assert_ok_err(fanin_trainer_resume(b, dir, &err), err);
    assert_ok_err(fanin_trainer_run(b, &part, &err), err);
    assert_same_weights(a, b, what);
    assert_same_result(&whole, &part);
    fanin_train_result_fini(&whole);
    fanin_train_result_fini(&part);
    fanin_trainer_destroy(a);
    fanin_trainer_destroy(b);
}

static const char net[] = "mlp:2-12x2-2,act=tanh,norm=batch,dropout=0.3";

TEST(every_optimizer_resumes_bit_for_bit) {
    for (int i = 0; i < fanin_optimizer_count(); i++) {
        const char *name = fanin_optimizer_at(i).name;
        bool one_layer = strstr("perceptron lms alpha_lms", name) != NULL;
        bool no_norm = !strcmp(name, "levenberg");
        setup s = make(
            one_layer ? "mlp:2-2"
            : no_norm ? "mlp:2-12x2-2,act=tanh,dropout=0.3"
                      : net,
            "spirals",
            (fanin_train_options){
                .optimizer = name, .steps = 24, .batch = 6, .eval_every = 5, .eval_samples = 40});
        const uint64_t stops[] = {1, 5, 12, 23};
        for (size_t k = 0; k < FANIN_COUNT(stops); k++) assert_resumes(&s, stops[k], name);
        unmake(&s);
    }
}

/* All that stands around a step: schedule, noise, penalties, limits. */
TEST(the_recipe_resumes_bit_for_bit) {
    static const char *const groups[] = {"bias=lr:0.5,decay:0"};
    setup s = make(net, "spirals",
                   (fanin_train_options){.optimizer = "adam",
                                         .steps = 24,
                                         .batch = 6,
                                         .eval_every = 5,
                                         .eval_samples = 40,
                                         .schedule = "cosine:warmup=5",
                                         .groups = groups,
                                         .group_count = 1,
                                         .clip_norm = 1,
                                         .gradient_noise = 0.01,
                                         .l1 = 1e-3,
                                         .decay = 0.01,
                                         .activity_l1 = 1e-3,
                                         .max_norm = 2});
    for (uint64_t stop = 1; stop < 24; stop += 4) assert_resumes(&s, stop, "recipe");
    unmake(&s);
}

/* Held-out samples, monitors, and patience that runs out after the resume. */
TEST(early_stopping_resumes_bit_for_bit) {
    setup s = make(net, "spirals",
                   (fanin_train_options){.optimizer = "sgd:lr=0",
                                         .steps = 100,
                                         .batch = 6,
                                         .eval_every = 4,
                                         .eval_samples = 40,
                                         .validation = 30,
                                         .patience = 6,
                                         .monitor_every = 7,
                                         .monitor_samples = 20});
    for (uint64_t stop = 1; stop < 40; stop += 5) assert_resumes(&s, stop, "patience");
    fanin_trainer *t = trainer(&s);
    fanin_train_result r;
    fanin_err err = {0};
    fill(&s, t);
    assert_ok_err(fanin_trainer_run(t, &r, &err), err);
    assert_true(r.stopped && r.steps < 100);
    assert_int_equal(r.points[r.count - 1].step, r.steps);
    assert_true(isfinite(r.points[0].valid_loss));
    fanin_train_result_fini(&r);
    fanin_trainer_destroy(t);
    unmake(&s);
}

/* Interrupted before its first step, in the first evaluation, a run is saved as well. */
TEST(an_interrupt_in_an_evaluation_is_saved) {
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("early"));
    setup s = make("mlp:2-8x1-2", "spirals",
                   (fanin_train_options){.steps = 9, .batch = 6, .checkpoint = dir});
    fanin_trainer *t = trainer(&s);
    fanin_train_result r;
    fanin_err err = {0};
    fill(&s, t);
    fanin_interrupt(true);
    assert_int_equal(fanin_trainer_run(t, &r, &err), FANIN_INTERRUPTED);
    fanin_interrupt(false);
    fanin_train_result_fini(&r);
    fanin_trainer *u = trainer(&s);
    assert_ok_err(fanin_trainer_resume(u, dir, &err), err);
    assert_same_weights(t, u, "interrupted");
    fanin_trainer_destroy(t);
    fanin_trainer_destroy(u);
    unmake(&s);
}

/* last and best are kept; best is the one with the lowest loss. */
TEST(last_and_best_are_kept) {
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("kept"));
    setup s = make("mlp:2-8x1-2", "spirals",
                   (fanin_train_options){.optimizer = "sgd:lr=0.5",
                                         .steps = 60,
                                         .batch = 6,
                                         .eval_every = 6,
                                         .checkpoint = dir,
                                         .checkpoint_every = 10});
    fanin_trainer *t = trainer(&s);
    fanin_train_result r;
    fanin_err err = {0};
    fill(&s, t);
    assert_ok_err(fanin_trainer_run(t, &r, &err), err);
    double best = INFINITY;
    for (size_t i = 0; i < r.count; i++) best = fmin(best, r.points[i].test_loss);
    assert_true(r.best_loss == best);
    char path[4200];
    for (int k = 0; k < 2; k++) {
        fanin_weights *w;
        const char *value, *key, *want = k ? "state.best_step" : "state.step";
        snprintf(path, sizeof path, "%s/%s.safetensors", dir, k ? "best" : "last");
        assert_ok_err(fanin_weights_open(path, &w, &err), err);
        assert_non_null(fanin_weights_find(w, "weight/fc1.weight"));
        bool found = false;
        for (int i = 0; (key = fanin_weights_metadata(w, i, &value)); i++)
            if (!strcmp(key, want)) {
                found = true;
                assert_int_equal(strtoull(value, NULL, 10), k ? r.best_step : 60);
            }
        assert_true(found);
        fanin_weights_close(w);
    }
    fanin_train_result_fini(&r);
    fanin_trainer_destroy(t);
    unmake(&s);
}

/* Weights of the evaluation with the lowest loss, as they were then. */
typedef struct seen {
    fanin_trainer *trainer;
    double best;
    float weights[2 * 8 + 8 + 8 * 2 + 2];
} seen;

static void copy_weights(fanin_trainer *t, float *to) {
    fanin_program *p = fanin_trainer_program(t);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        memcpy(to, w.data, w.count * sizeof(float));
        to += w.count;
    }
}

static void look_for_best(void *ctx, const fanin_train_point *p) {
    seen *s = ctx;
    if (!(p->test_loss < s->best)) return;
    s->best = p->test_loss;
    copy_weights(s->trainer, s->weights);
}

TEST(patience_keeps_the_best_weights) {
    seen all = {.best = INFINITY};
    setup s = make("mlp:2-8x1-2", "spirals",
                   (fanin_train_options){.optimizer = "sgd:lr=3",
                                         .steps = 90,
                                         .batch = 6,
                                         .eval_every = 3,
                                         .eval_samples = 50,
                                         .patience = 20,
                                         .on_point = look_for_best,
                                         .on_point_ctx = &all});
    float last[FANIN_COUNT(all.weights)], best[FANIN_COUNT(all.weights)];
    fanin_train_result r;
    fanin_err err = {0};
    fanin_trainer *t = all.trainer = trainer(&s);
    fill(&s, t);
    assert_ok_err(fanin_trainer_run(t, &r, &err), err);
    assert_true(r.best_step < r.steps); /* or nothing is tested */
    assert_ok_err(fanin_trainer_save(t, test_tmp("last.safetensors"), &err), err);
    copy_weights(t, last);
    assert_true(fanin_trainer_take_best(t));
    copy_weights(t, best);
    assert_memory_equal(best, all.weights, sizeof best);
    assert_memory_not_equal(best, last, sizeof best);
    assert_true(fanin_trainer_take_best(t)); /* and back */
    copy_weights(t, best);
    assert_memory_equal(best, last, sizeof best);
    memcpy(best, all.weights, sizeof best);
    fanin_trainer_destroy(t);
    t = all.trainer = trainer(&s); /* from the checkpoint too */
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("."));
    assert_ok_err(fanin_trainer_resume(t, dir, &err), err);
    assert_true(fanin_trainer_take_best(t));
    copy_weights(t, last);
    assert_memory_equal(best, last, sizeof best);
    fanin_trainer_destroy(t);
    s.options.patience = 0;
    t = trainer(&s);
    assert_false(fanin_trainer_take_best(t));
    fanin_trainer_destroy(t);
    fanin_train_result_fini(&r);
    unmake(&s);
}

/* A run of 20 steps made 50 steps long is the run that was 50 steps long. */
static void assert_longer(const char *schedule) {
    setup s = make(net, "spirals",
                   (fanin_train_options){.optimizer = "adam:lr=0.01",
                                         .schedule = schedule,
                                         .batch = 6,
                                         .eval_samples = 40,
                                         .monitor_every = 7,
                                         .monitor_samples = 20});
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("."));
    fanin_trainer *t[2];
    fanin_train_result r[2], part;
    fanin_err err = {0};
    s.options.steps = 20;
    t[0] = trainer(&s);
    fill(&s, t[0]);
    assert_ok_err(fanin_trainer_run(t[0], &part, &err), err);
    assert_ok_err(fanin_trainer_save(t[0], test_tmp("last.safetensors"), &err), err);
    fanin_trainer_destroy(t[0]);
    fanin_train_result_fini(&part);
    s.options.steps = 50;
    for (int k = 0; k < 2; k++) {
        t[k] = trainer(&s);
        if (k) fill(&s, t[k]);
        if (!k) assert_ok_err(fanin_trainer_resume(t[k], dir, &err), err);
        assert_ok_err(fanin_trainer_run(t[k], &r[k], &err), err);
    }
    assert_same_weights(t[0], t[1], schedule);
    for (int k = 0; k < 2; k++) {
        fanin_trainer_destroy(t[k]);
        fanin_train_result_fini(&r[k]);
    }
    unmake(&s);
}

TEST(a_run_made_longer_is_a_longer_run) {
    assert_longer("constant");
    assert_longer("constant:warmup=9");
    assert_longer("step:every=8,factor=0.5,warmup=3");
}

/* ---- what is refused -------------------------------------------------------------------------------- */

static void refuse(const char *model, const char *data, fanin_train_options o, fanin_status want,
                   const char *says) {
    setup s = make(model, data, o);
    fanin_trainer *t = trainer(&s);
    fanin_err err = {0};
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("."));
    fanin_status status = fanin_trainer_resume(t, dir, &err);
    if (status != want) fail_msg("%s: %s %s", says, fanin_status_name(status), err.message);
    if (!strstr(err.message, says)) fail_msg("'%s' does not say '%s'", err.message, says);
    fanin_trainer_destroy(t);
    unmake(&s);
}

static void save_some(void) {
    static const char *const record[] = {"scheme", "he", NULL};
    setup s = make("mlp:2-8x1-2", "spirals",
                   (fanin_train_options){.steps = 20, .batch = 4, .record = record});
    fanin_trainer *t = trainer(&s);
    fanin_err err = {0};
    fill(&s, t);
    assert_ok_err(fanin_trainer_save(t, test_tmp("last.safetensors"), &err), err);
    char *value;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("."));
    assert_ok_err(fanin_checkpoint_recorded(dir, "scheme", &value, &err), err);
    assert_string_equal(value, "he");
    fanin_free(value);
    assert_ok_err(fanin_checkpoint_recorded(dir, "colour", &value, &err), err);
    assert_null(value);
    fanin_trainer_destroy(t);
    unmake(&s);
}

TEST(a_changed_option_is_named) {
    static const char *const he[] = {"scheme", "he", NULL}, *const other[] = {"scheme", "lecun",
                                                                              NULL};
    const fanin_train_options same = {.steps = 20, .batch = 4, .record = he};
    fanin_train_options o = same;
    save_some();
    o.batch = 5;
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "batch was '4', now it is '5'");
    o = same;
    o.optimizer = "adam";
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "optimizer was 'sgd', now it is 'adam'");
    o = same;
    o.seed = 7;
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "seed was '0', now it is '7'");
    o = same;
    o.record = other;
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "scheme was 'he', now it is 'lecun'");
    o = same;
    o.clip_norm = 1;
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "clip_norm was '0', now it is '1'");
    o = same;
    o.steps = 10; /* it stands at 0: shorter is fine as well */
    o.schedule = "cosine";
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "steps was '20', now it is '10', and schedule");
    o.schedule = "step:every=0.5";
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "depends on it");
    o.schedule = "constant:warmup=0.5";
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "depends on it");
    o = same;
    o.record = NULL;
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_ARG, "scheme was 'he', now it is not set");
    refuse("mlp:2-9x1-2", "spirals", same, FANIN_ARG, "model was 'mlp:2-8x1-2'");
    refuse("mlp:2-8x1-2", "xor", same, FANIN_ARG, "data was 'spirals', now it is 'xor'");
    unsigned threads = fanin_threads();
    fanin_threads_set(threads + 1);
    refuse("mlp:2-8x1-2", "spirals", same, FANIN_ARG, "threads was");
    fanin_threads_set(0);
}

TEST(a_broken_checkpoint_is_refused) {
    const fanin_train_options o = {.steps = 20, .batch = 4};
    fanin_err err = {0};
    const float one[3] = {0};
    const fanin_array array = {
        .name = "x", .dtype = FANIN_F32, .rank = 1, .dims = {3}, .data = one, .size = 12};
    unlink(test_tmp("last.safetensors"));
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_NOTFOUND, "last.safetensors");
    assert_ok_err(fanin_weights_save(test_tmp("last.safetensors"), &array, 1, NULL, &err), err);
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_FORMAT, "holds no checkpoint");
    const char *const newer[] = {"fanin.checkpoint", "2", NULL};
    const fanin_writer_options wo = {.metadata = newer};
    assert_ok_err(fanin_weights_save(test_tmp("last.safetensors"), &array, 1, &wo, &err), err);
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_UNSUPPORTED, "version 2");
    save_some();
    assert_int_equal(truncate(test_tmp("last.safetensors"), 4000), 0);
    refuse("mlp:2-8x1-2", "spirals", o, FANIN_FORMAT, "last.safetensors");
}

/* ---- the world --------------------------------------------------------------------------------------- */

/* A file that may not grow: what stood there still stands, and nothing else does. */
TEST(a_full_disk_leaves_the_old_checkpoint) {
    setup s = make("mlp:1024-100x1-9", "shapeset", (fanin_train_options){.steps = 20, .batch = 4});
    fanin_trainer *t = trainer(&s);
    fanin_err err = {0};
    struct stat before, after;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("."));
    fill(&s, t);
    assert_ok_err(fanin_trainer_save(t, test_tmp("last.safetensors"), &err), err);
    assert_int_equal(stat(test_tmp("last.safetensors"), &before), 0);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fanin_status status = fanin_trainer_save(t, test_tmp("last.safetensors"), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, FANIN_IO);
    assert_int_equal(stat(test_tmp("last.safetensors"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_ok_err(fanin_trainer_resume(t, dir, &err), err);
    fanin_trainer_destroy(t);
    unmake(&s);
}

static fanin_status save_and_resume(void *arg) {
    setup *s = arg;
    fanin_err err = {0};
    fanin_trainer *t = NULL;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("."));
    fanin_train_result r = {0};
    fanin_status status = fanin_trainer_create(s->graph, s->data, &s->options, &t, &err);
    if (status == FANIN_OK) status = fanin_trainer_run(t, &r, &err);
    fanin_train_result_fini(&r);
    if (status == FANIN_OK) status = fanin_trainer_save(t, test_tmp("last.safetensors"), &err);
    if (status == FANIN_OK) status = fanin_trainer_resume(t, dir, &err);
    fanin_trainer_destroy(t);
    return status;
}

TEST(memory_refused_at_every_request) {
    setup s = make("mlp:2-3x1-2", "spirals",
                   (fanin_train_options){.optimizer = "adam",
                                         .steps = 3,
                                         .batch = 2,
                                         .eval_samples = 4,
                                         .monitor_every = 2,
                                         .monitor_samples = 4,
                                         .validation = 4});
    fanin_threads_set(1);
    assert_true(fault_sweep("checkpoint", save_and_resume, &s) > 50);
    fanin_threads_set(0);
    unmake(&s);
}

/* ---- monitors ---------------------------------------------------------------------------------------- */

/* At initialisation half the units of a rectifier are exactly zero; the update ratio is that of the step. */
TEST(monitors_see_what_is_there) {
    setup s = make("mlp:2-400x2-2,act=relu", "spirals",
                   (fanin_train_options){.optimizer = "sgd:lr=0.1",
                                         .steps = 10,
                                         .batch = 8,
                                         .monitor_every = 5,
                                         .monitor_samples = 64});
    fanin_trainer *t = trainer(&s);
    fanin_train_result r;
    fanin_err err = {0};
    fill(&s, t);
    assert_ok_err(fanin_trainer_run(t, &r, &err), err);
    assert_int_equal(r.monitor_count, 3);
    assert_int_equal(r.monitor_steps[2], 10);
    assert_int_equal(r.layer_count, 3);
    assert_string_equal(r.layer_names[0], "fc1.weight");
    assert_near(r.monitors[0].zeros, 0.5, 0.06, 0);
    assert_near(r.monitors[1].zeros, 0.5, 0.06, 0);
    assert_true(isnan(r.monitors[0].saturated) && r.monitors[0].dead < 0.5);
    assert_near(r.monitors[0].weight, 1.0, 0.1, 0); /* He, fan-in 2 */
    assert_near(r.monitors[1].weight, sqrt(2.0 / 400), 0, 0.02);
    assert_true(r.monitors[1].update_ratio > 0 && r.monitors[1].update_ratio < 1);
    assert_true(isnan(r.monitors[2 * 3].update_ratio)); /* no step follows */
    assert_non_null(r.last_look);
    double shares = 0;
    for (int b = 0; b < FANIN_HISTOGRAM_BINS; b++) shares += r.last_look[1].h_bins[b];
    assert_near(shares, 1, 1e-9, 0);
    assert_near(r.last_look[1].h_std, r.monitors[2 * 3 + 1].h_std, 0, 1e-9);
    assert_near(r.last_look[1].grad_std, r.monitors[2 * 3 + 1].gradient, 0, 1e-9);
    assert_near(r.last_look[1].weight_std, r.monitors[2 * 3 + 1].weight, 0, 1e-6);
    fanin_train_result_fini(&r);
    fanin_trainer_destroy(t);
    unmake(&s);
}

/* tanh far out: saturated, and 98 % of |h| below nearly 1; the monitor does not disturb training. */
TEST(monitors_do_not_disturb) {
    fanin_train_options o = {.optimizer = "adam", .steps = 20, .batch = 8, .eval_every = 5};
    fanin_train_result r[2];
    for (int k = 0; k < 2; k++) {
        o.monitor_every = k ? 3 : 0;
        setup s = make("mlp:2-50x2-2,act=tanh,dropout=0.2", "spirals", o);
        fanin_trainer *t = trainer(&s);
        fanin_err err = {0};
        const fanin_init_options init = {.scheme = "normal:std=40"};
        assert_ok_err(fanin_weights_fill(s.graph, &init, NULL, fanin_trainer_program(t), &err),
                      err);
        assert_ok_err(fanin_trainer_run(t, &r[k], &err), err);
        fanin_trainer_destroy(t);
        unmake(&s);
    }
    assert_int_equal(r[0].count, r[1].count);
    for (size_t i = 0; i < r[0].count; i++)
        assert_true(r[0].points[i].test_loss == r[1].points[i].test_loss);
    assert_true(r[1].monitors[1].saturated > 0.9);
    assert_true(r[1].monitors[1].h_p98 > 0.99 && r[1].monitors[1].h_p98 <= 1);
    fanin_train_result_fini(&r[0]);
    fanin_train_result_fini(&r[1]);
}
