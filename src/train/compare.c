/* compare.c - the cells of a grid: trained side by side, one thread a run, so that small networks use all
 * processors without oversubscription; with a run store also by several processes, each cell by one of them. */
#include "train/compare.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fanin/runs.h"
#include "train/trainer.h"

typedef struct shared {
    const fanin__grid *grid;
    fanin_comparison *out;
    fanin_runs *store; /* NULL: none */
    const char **keys; /* in the store */
    double *done;      /* share by run */
    atomic_size_t next;
    pthread_mutex_t lock;
    fanin_status status; /* the first failure; INTERRUPTED gives way to others */
    fanin_err err;
} shared;

/* One run in one thread. */
typedef struct one {
    shared *all;
    size_t index;
    int64_t id;
    double alive;
    double clock, cost;  /* of this thread: at the last step or evaluation, and of all steps */
    fanin_status status; /* of writing */
    fanin_err err;
} one;

static void fail(shared *s, fanin_status status, const fanin_err *err) {
    pthread_mutex_lock(&s->lock);
    if (s->status == FANIN_OK || s->status == FANIN_INTERRUPTED) {
        s->status = status;
        s->err = *err;
    }
    pthread_mutex_unlock(&s->lock);
}

static bool failed(shared *s) {
    pthread_mutex_lock(&s->lock);
    bool any = s->status != FANIN_OK;
    pthread_mutex_unlock(&s->lock);
    return any;
}

static void note_progress(shared *s, size_t index, double share) {
    const fanin_progress *p = &s->grid->options->progress;
    pthread_mutex_lock(&s->lock);
    s->done[index] = share;
    double sum = 0;
    for (int i = 0; i < s->out->run_count; i++) sum += s->done[i];
    if (p->report) p->report(p->ctx, "training", sum, s->out->run_count);
    pthread_mutex_unlock(&s->lock);
}

/* ---- a run and its place in the store -------------------------------------------------------------- */

static const char *const metrics[] = {"train_loss", "test_loss",   "test_error",
                                      "valid_loss", "valid_error", "seconds"};
enum { METRICS = 6 };

/* Seconds of the processor: what others do on the machine is no cost of a configuration. */
static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void store_point(one *o, const fanin_train_point *p) {
    const double values[METRICS] = {p->train_loss, p->test_loss,   p->test_error,
                                    p->valid_loss, p->valid_error, p->seconds};
    if (o->status == FANIN_OK)
        o->status =
            fanin_runs_metrics(o->all->store, o->id, p->step, METRICS, metrics, values, &o->err);
}

static void point_done(void *ctx, const fanin_train_point *p) {
    one *o = ctx;
    if (o->all->store) store_point(o, p);
    o->clock = thread_seconds();
}

static void step_done(void *ctx, const fanin_train_now *now) {
    one *o = ctx;
    double clock = thread_seconds();
    o->cost += clock - o->clock;
    o->clock = clock;
    if (now->step % 64 == 0)
        note_progress(o->all, o->index, (double)now->step / (double)now->steps);
    double t = fanin__seconds();
    if (!o->all->store || t - o->alive < 20) return;
    o->alive = t;
    if (o->status == FANIN_OK) o->status = fanin_runs_alive(o->all->store, o->id, &o->err);
}

static fanin_status train_one(one *o, fanin_compare_run *run, fanin_err *err) {
    const fanin__grid *g = o->all->grid;
    int way, lr;
    uint64_t seed;
    fanin__grid_run(g, o->index, &way, &lr, &seed);
    const fanin_graph *graph = g->ways[way].graph;
    const fanin_init_options init = fanin__grid_init(g, o->index);
    fanin_train_options options = fanin__grid_train(g, o->index);
    options.on_step = step_done;
    options.on_step_ctx = o;
    options.on_point = point_done;
    options.on_point_ctx = o;
    fanin_trainer *trainer;
    FANIN_TRY(fanin_trainer_create(graph, g->data, &options, &trainer, err));
    fanin_status status =
        fanin_weights_fill(graph, &init, NULL, fanin_trainer_program(trainer), err);
    if (status == FANIN_OK) status = fanin_trainer_run(trainer, &run->result, err);
    fanin_trainer_destroy(trainer);
    run->result.seconds = o->cost;
    run->complete = status == FANIN_OK;
    return status;
}

static fanin_status end_in_store(one *o, const fanin_compare_run *run, fanin_status status,
                                 const fanin_err *err) {
    const fanin_train_result *r = &run->result;
    if (o->status != FANIN_OK) return o->status;
    const char *state = r->diverged                   ? "diverged"
                        : status == FANIN_OK          ? "done"
                        : status == FANIN_INTERRUPTED ? "interrupted"
                                                      : "failed";
    const char *message = r->diverged ? r->diverged_layer : status == FANIN_OK ? "" : err->message;
    return o->status =
               fanin_runs_end(o->all->store, o->id, state, message, r->steps, r->seconds, &o->err);
}

static void run_one(shared *s, size_t index, int64_t id) {
    one o = {.all = s, .index = index, .id = id, .alive = fanin__seconds()};
    fanin_err err = {0};
    fanin_compare_run *run = &s->out->runs[index];
    fanin_status status = train_one(&o, run, &err);
    if (s->store) {
        fanin_status stored = end_in_store(&o, run, status, &err);
        if (stored != FANIN_OK && (status == FANIN_OK || status == FANIN_INTERRUPTED)) {
            status = stored;
            err = o.err;
        }
    }
    if (status != FANIN_OK) fail(s, status, &err);
    note_progress(s, index, 1);
}

/* ---- workers --------------------------------------------------------------------------------------- */

static void wait_a_little(void) { nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL); }

/* The next cell of the store that nobody has; false: all are done or failed. Cells before `next` are most
 * likely taken, so the search starts there, and over when it finds nothing. While other processes are at the
 * last ones, they may yet die. */
static bool claim(shared *s, size_t *index, int64_t *id) {
    size_t count = (size_t)s->out->run_count, at, left;
    fanin_err err = {0};
    while (!failed(s) && !fanin_interrupted()) {
        size_t from = atomic_load(&s->next);
        fanin_status status =
            fanin_runs_claim(s->store, s->keys + from, count - from, &at, id, &left, &err);
        if (status != FANIN_OK) {
            fail(s, status, &err);
            return false;
        }
        if (at < count - from) {
            *index = from + at;
            atomic_store(&s->next, from + at);
            return true;
        }
        if (from == 0 && left == 0) return false;
        if (from == 0) wait_a_little();
        atomic_store(&s->next, 0);
    }
    return false;
}

static void work(void *arg, size_t begin, size_t end) {
    shared *s = arg;
    fanin_threads_set(1); /* what a run plans and splits is for its own thread */
    (void)begin,
        (void)end; /* as many calls as there are workers; each takes cells until none is left */
    for (;;) {
        size_t index;
        int64_t id = 0;
        if (failed(s) || fanin_interrupted()) return;
        if (s->store) {
            if (!claim(s, &index, &id)) return;
        } else {
            index = atomic_fetch_add(&s->next, 1);
            if (index >= (size_t)s->out->run_count) return;
        }
        run_one(s, index, id);
    }
}

/* ---- the store ------------------------------------------------------------------------------------- */

static fanin_status plan_store(shared *s, fanin_err *err) {
    const fanin__grid *g = s->grid;
    size_t n = (size_t)s->out->run_count;
    fanin_run_about *about = fanin_calloc(n + 1, sizeof *about);
    s->keys = fanin_calloc(n + 1, sizeof *s->keys);
    fanin_status status = about && s->keys ? FANIN_OK : FANIN_NOMEM;
    for (size_t i = 0; i < n && status == FANIN_OK; i++) {
        int way, lr;
        uint64_t seed;
        fanin__grid_run(g, i, &way, &lr, &seed);
        if (!(s->keys[i] = fanin__grid_key(g, i))) status = FANIN_NOMEM;
        const char *optimizer = g->optimizers[way * g->lr_count + lr];
        about[i] = (fanin_run_about){.kind = "compare",
                                     .key = s->keys[i],
                                     .model = g->ways[way].graph->name,
                                     .data = fanin_dataset_get_info(g->data)->name,
                                     .scheme = g->ways[way].scheme,
                                     .optimizer = optimizer ? optimizer : "sgd",
                                     .seed = seed};
    }
    status = status == FANIN_OK ? fanin_runs_plan(s->store, about, n, err)
                                : fanin_err_set(err, status, "compare: no memory");
    fanin_free(about);
    return status;
}

typedef struct loading {
    fanin_train_result *result;
    size_t capacity;
    bool complete;
    fanin_status status;
} loading;

static bool load_run(void *ctx, int columns, const char *const *names, const fanin_runs_value *v) {
    loading *l = ctx;
    (void)columns, (void)names;
    l->result->diverged = !strcmp(v[0].text, "diverged");
    l->complete = l->result->diverged || !strcmp(v[0].text, "done");
    l->result->steps = (uint64_t)v[1].integer;
    l->result->diverged_at = l->result->diverged ? l->result->steps : 0;
    l->result->seconds = isfinite(v[2].real) ? v[2].real : 0;
    return false;
}

static bool load_point(void *ctx, int columns, const char *const *names,
                       const fanin_runs_value *v) {
    loading *l = ctx;
    (void)columns, (void)names;
    void *points = l->result->points;
    l->status =
        fanin__train_grow(&points, l->result->count, &l->capacity, sizeof *l->result->points, NULL);
    l->result->points = points;
    if (l->status != FANIN_OK) return false;
    l->result->points[l->result->count++] = (fanin_train_point){.step = (uint64_t)v[0].integer,
                                                                .train_loss = v[1].real,
                                                                .test_loss = v[2].real,
                                                                .test_error = v[3].real,
                                                                .valid_loss = v[4].real,
                                                                .valid_error = v[5].real,
                                                                .seconds = v[6].real};
    return true;
}

/* A cell that another process, or an earlier call, has done. */
static fanin_status load_one(fanin_runs *store, const char *key, fanin_compare_run *run,
                             fanin_err *err) {
    static const char about[] = "SELECT status, steps, seconds FROM run WHERE key=?1";
    static const char points[] =
        "SELECT step, max(value) FILTER (WHERE name='train_loss'),"
        " max(value) FILTER (WHERE name='test_loss'), max(value) FILTER (WHERE name='test_error'),"
        " max(value) FILTER (WHERE name='valid_loss'),"
        " max(value) FILTER (WHERE name='valid_error'), max(value) FILTER (WHERE name='seconds')"
        " FROM metric WHERE run=(SELECT id FROM run WHERE key=?1) GROUP BY step ORDER BY step";
    const char *const arguments[] = {key, NULL};
    fanin_train_result_fini(&run->result);
    loading l = {.result = &run->result};
    FANIN_TRY(fanin_runs_query(store, about, arguments, load_run, &l, err));
    FANIN_TRY(fanin_runs_query(store, points, arguments, load_point, &l, err));
    run->complete = l.complete;
    return l.status == FANIN_OK ? FANIN_OK : fanin_err_set(err, l.status, "compare: no memory");
}

static void load_the_rest(shared *s) {
    fanin_err err = {0};
    for (int i = 0; i < s->out->run_count; i++) {
        fanin_compare_run *run = &s->out->runs[i];
        if (run->complete) continue;
        fanin_status status = load_one(s->store, s->keys[i], run, &err);
        if (status != FANIN_OK) {
            fail(s, status, &err);
            return;
        }
    }
}

/* ---- before training ------------------------------------------------------------------------------- */

/* The signal of each way's first seed. */
static void check_range(void *arg, size_t begin, size_t end) {
    shared *s = arg;
    const fanin__grid *g = s->grid;
    fanin_threads_set(1);
    for (size_t w = begin; w < end && !failed(s); w++) {
        size_t first = w * (size_t)g->lr_count * (size_t)g->seeds;
        const fanin_init_options init = fanin__grid_init(g, first);
        fanin_signal_options check = g->options->check;
        fanin_err err = {0};
        check.data = g->data;
        check.loss = g->options->train.loss;
        check.seeds = 1;
        check.progress = (fanin_progress){0};
        fanin_status status =
            fanin_signal_measure(g->ways[w].graph, &init, &check, &s->out->ranks[w].signal, &err);
        if (status != FANIN_OK) fail(s, status, &err);
    }
}

/* ---- all of it ------------------------------------------------------------------------------------- */

static fanin_status prepare(fanin_comparison *c, const fanin_graph *graph,
                            const fanin_dataset *data, const fanin_compare_options *options,
                            shared *s, fanin_err *err) {
    fanin__grid *g = c->grid = fanin_calloc(1, sizeof *g);
    if (!g) return fanin_err_set(err, FANIN_NOMEM, "compare: no memory");
    FANIN_TRY(fanin__grid_create(g, graph, data, options, err));
    size_t runs = fanin__grid_runs(g);
    c->runs = fanin_calloc(runs + 1, sizeof *c->runs);
    c->ranks = fanin_calloc((size_t)g->way_count + 1, sizeof *c->ranks);
    s->done = fanin_calloc(runs + 1, sizeof *s->done);
    if (!c->runs || !c->ranks || !s->done)
        return fanin_err_set(err, FANIN_NOMEM, "compare: no memory");
    c->model = options->model ? options->model : graph->name;
    c->data = fanin_dataset_get_info(data)->name;
    c->run_count = (int)runs;
    c->rank_count = g->way_count;
    c->steps = options->train.steps;
    c->validation = g->validation;
    c->init = options->init;
    for (size_t i = 0; i < runs; i++) {
        int way, lr;
        fanin__grid_run(g, i, &way, &lr, &c->runs[i].seed);
        c->runs[i].scheme = g->ways[way].scheme;
    }
    s->grid = g;
    s->out = c;
    s->store = options->store;
    return s->store ? plan_store(s, err) : FANIN_OK;
}

static void run_all(shared *s) {
    fanin_err err = {0};
    unsigned threads = fanin_threads();
    fanin_parallel_for((size_t)s->grid->way_count, 1, check_range, s);
    fanin_threads_set(threads);
    if (!failed(s)) fanin_parallel_for(threads, 1, work, s);
    fanin_threads_set(threads);
    if (fanin_interrupted() && !failed(s))
        fail(s, fanin_err_set(&err, FANIN_INTERRUPTED, "stopped"), &err);
    if (s->store && (s->status == FANIN_OK || s->status == FANIN_INTERRUPTED)) load_the_rest(s);
    if (s->status != FANIN_OK && s->status != FANIN_INTERRUPTED) return;
    s->out->interrupted = s->status == FANIN_INTERRUPTED;
    fanin_status status = fanin__rank_all(s->grid, s->out, &err);
    if (status != FANIN_OK) fail(s, status, &err);
}

fanin_status fanin_compare(const fanin_graph *graph, const fanin_dataset *data,
                           const fanin_compare_options *options, fanin_comparison **out,
                           fanin_err *err) {
    *out = NULL;
    shared s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    fanin_comparison *c = fanin_calloc(1, sizeof *c);
    if (!c) return fanin_err_set(err, FANIN_NOMEM, "compare: no memory");
    unsigned threads = fanin_threads();
    fanin_threads_set(1); /* what a run plans and splits is for its own thread; keys say so */
    s.status = prepare(c, graph, data, options, &s, &s.err);
    fanin_threads_set(threads);
    if (s.status == FANIN_OK) run_all(&s);
    for (int i = 0; s.keys && i < c->run_count; i++) fanin_free((void *)(uintptr_t)s.keys[i]);
    fanin_free(s.keys);
    fanin_free(s.done);
    if (err) *err = s.err;
    if (s.status != FANIN_OK && s.status != FANIN_INTERRUPTED) {
        fanin_comparison_destroy(c);
        return s.status;
    }
    *out = c;
    return s.status;
}

void fanin_comparison_destroy(fanin_comparison *c) {
    if (!c) return;
    for (int i = 0; i < c->run_count && c->runs; i++) fanin_train_result_fini(&c->runs[i].result);
    for (int i = 0; i < c->rank_count && c->ranks; i++) fanin_signal_destroy(c->ranks[i].signal);
    fanin_free(c->runs);
    fanin_free(c->ranks);
    if (c->grid) fanin__grid_fini(c->grid);
    fanin_free(c->grid);
    fanin_free(c);
}
