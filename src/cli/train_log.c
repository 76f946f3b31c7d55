#include "train_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A store or event file that cannot be written ends the run: it saves itself and stops. */
static void note_failure(train_log *log, fanin_status status, const fanin_err *err) {
    if (status == FANIN_OK || log->status != FANIN_OK) return;
    log->status = status;
    log->err = *err;
    fanin_interrupt(true);
}

int train_log_open(train_log *log, cli *c, const char *path, const char *dir,
                   const fanin_run_about *about, uint64_t from) {
    fanin_err err = {0};
    log->c = c;
    fanin_status status = FANIN_OK;
    if (path) status = fanin_runs_open(path, FANIN_RUNS_WRITE, &log->runs, &err);
    if (path && status == FANIN_OK)
        status = fanin_runs_begin(log->runs, about, from, &log->run, &err);
    if (dir && status == FANIN_OK)
        status = fanin_events_create(dir, (double)time(NULL), &log->events, &err);
    log->alive = now();
    return status == FANIN_OK ? 0 : cli_fail(c, status, &err);
}

/* ---- points ---------------------------------------------------------------------------------------- */

typedef struct named {
    const char *name, *tag; /* in the store, in TensorBoard */
    double value;
} named;

enum { POINT_VALUES = 6 };

static void point_values(const fanin_train_point *p, named out[POINT_VALUES]) {
    const named all[POINT_VALUES] = {
        {"train_loss", "loss/train", p->train_loss},    {"test_loss", "loss/test", p->test_loss},
        {"test_error", "error/test", p->test_error},    {"valid_loss", "loss/valid", p->valid_loss},
        {"valid_error", "error/valid", p->valid_error}, {"seconds", NULL, p->seconds},
    };
    memcpy(out, all, sizeof all);
}

static void print_point(const train_log *log, const fanin_train_point *p) {
    if (log->c->json || log->c->quiet || log->drawn) return;
    cli_progress_end(log->c);
    double error = isnan(p->valid_loss) ? p->test_error : p->valid_error;
    printf("%9llu  ", (unsigned long long)p->step);
    if (isnan(p->train_loss)) /* no step since the last evaluation */
        printf("%9s  ", "");
    else
        printf("%9.4f  ", p->train_loss);
    printf("%9.4f  ", p->test_loss);
    if (!isnan(p->valid_loss)) printf("%9.4f  ", p->valid_loss);
    if (isnan(error))
        printf("%7s", "");
    else
        printf("%6.2f%%", 100 * error);
    printf("  %7.1f s\n", p->seconds);
    fflush(stdout);
}

static void on_point(void *ctx, const fanin_train_point *p) {
    train_log *log = ctx;
    named all[POINT_VALUES];
    const char *names[POINT_VALUES];
    double values[POINT_VALUES];
    int count = 0;
    fanin_err err = {0};
    point_values(p, all);
    print_point(log, p);
    for (int i = 0; i < POINT_VALUES; i++) {
        if (isnan(all[i].value)) continue;
        names[count] = all[i].name;
        values[count++] = all[i].value;
        if (log->events && all[i].tag)
            fanin_events_scalar(log->events, all[i].tag, (int64_t)p->step, all[i].value);
    }
    if (log->runs)
        note_failure(log,
                     fanin_runs_metrics(log->runs, log->run, p->step, count, names, values, &err),
                     &err);
    if (log->events) note_failure(log, fanin_events_flush(log->events, &err), &err);
    double *losses = realloc(log->losses, (log->loss_count + 1) * sizeof *losses);
    if (!losses) return; /* the view has a shorter curve */
    losses[log->loss_count++] = p->test_loss;
    log->losses = losses;
}

static void on_step(void *ctx, const fanin_train_now *p) {
    train_log *log = ctx;
    double t = now();
    if (log->runs && t - log->alive > 20) {
        fanin_err err = {0};
        log->alive = t;
        note_failure(log, fanin_runs_alive(log->runs, log->run, &err), &err);
    }
    if (log->drawn) return;
    char line[160];
    int minutes = (int)(p->left / 60);
    snprintf(line, sizeof line, "step %llu of %llu  loss %.4f  %s samples/s  %d:%02d left",
             (unsigned long long)p->step, (unsigned long long)p->steps, p->loss, cli_human(p->rate),
             minutes, (int)(p->left - 60 * minutes));
    cli_progress_line(log->c, line, false);
}

/* ---- layers ---------------------------------------------------------------------------------------- */

static void layer_events(train_log *log, const fanin_train_monitor *m) {
    static const char *const kinds[] = {"activation_mean",
                                        "activation_std",
                                        "activation_p98",
                                        "zeros",
                                        "saturated",
                                        "dead",
                                        "preactivation_rms",
                                        "gradient",
                                        "weight",
                                        "weight_gradient",
                                        "update_ratio"};
    char tag[192];
    for (int i = 0; i < m->layer_count; i++) {
        double values[FANIN_RUNS_FIGURES];
        memcpy(values, &m->layers[i], sizeof values);
        for (int k = 0; k < FANIN_RUNS_FIGURES; k++) {
            if (isnan(values[k])) continue;
            snprintf(tag, sizeof tag, "%s/%.150s", kinds[k], m->names[i]);
            fanin_events_scalar(log->events, tag, (int64_t)m->step, values[k]);
        }
    }
}

static void on_monitor(void *ctx, const fanin_train_monitor *m) {
    train_log *log = ctx;
    fanin_err err = {0};
    _Static_assert(sizeof(fanin_train_layer) == FANIN_RUNS_FIGURES * sizeof(double),
                   "the columns of table layer are the fields of fanin_train_layer");
    if (log->runs && log->status == FANIN_OK)
        note_failure(log,
                     fanin_runs_layers(log->runs, log->run, m->step, m->layer_count, m->names,
                                       &m->layers->h_mean, &err),
                     &err);
    if (log->events) layer_events(log, m);
    if (log->watch) watch_draw(log, m);
}

void train_log_connect(train_log *log, fanin_train_options *o) {
    o->on_point = on_point;
    o->on_step = on_step;
    o->on_monitor = on_monitor;
    o->on_point_ctx = o->on_step_ctx = o->on_monitor_ctx = log;
}

int train_log_finish(train_log *log, fanin_status status, const fanin_err *err,
                     const fanin_train_result *r) {
    const char *state = r->diverged                   ? "diverged"
                        : log->status != FANIN_OK     ? "failed"
                        : status == FANIN_OK          ? "done"
                        : status == FANIN_INTERRUPTED ? "interrupted"
                                                      : "failed";
    char message[256] = "";
    if (r->diverged)
        snprintf(message, sizeof message, "%s", r->diverged_layer);
    else if (status != FANIN_OK)
        snprintf(message, sizeof message, "%.250s", err->message);
    fanin_err write_err = {0};
    if (log->runs && log->status == FANIN_OK)
        note_failure(
            log,
            fanin_runs_end(log->runs, log->run, state, message, r->steps, r->seconds, &write_err),
            &write_err);
    if (log->events && log->status == FANIN_OK)
        note_failure(log, fanin_events_flush(log->events, &write_err), &write_err);
    return log->status == FANIN_OK ? 0 : cli_fail(log->c, log->status, &log->err);
}

void train_log_close(train_log *log) {
    fanin_runs_close(log->runs);
    fanin_events_destroy(log->events);
    free(log->losses);
}
