/* compare.c - the same network under several schemes: checked, trained, ranked. Runs are independent;
 * each has one thread, so small networks use all processors without oversubscription. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/train.h"

typedef struct shared {
    const fanin_graph *graph;
    const fanin_dataset *data;
    const fanin_compare_options *options;
    fanin_comparison *out;
    double *done; /* steps by run */
    pthread_mutex_t lock;
    fanin_status status; /* the first failure; INTERRUPTED gives way to others */
    fanin_err err;
} shared;

typedef struct one {
    shared *all;
    size_t index;
} one;

static void note_progress(void *ctx, const char *what, double done, double total) {
    (void)what;
    one *o = ctx;
    const fanin_progress *p = &o->all->options->progress;
    pthread_mutex_lock(&o->all->lock);
    o->all->done[o->index] = done / total;
    double sum = 0;
    for (int i = 0; i < o->all->out->run_count; i++) sum += o->all->done[i];
    if (p->report) p->report(p->ctx, "training", sum, o->all->out->run_count);
    pthread_mutex_unlock(&o->all->lock);
}

static void fail(shared *s, fanin_status status, const fanin_err *err) {
    pthread_mutex_lock(&s->lock);
    if (s->status == FANIN_OK || s->status == FANIN_INTERRUPTED) {
        s->status = status;
        s->err = *err;
    }
    pthread_mutex_unlock(&s->lock);
}

static fanin_status train_one(one *o, const fanin_init_options *init, fanin_compare_run *run,
                              fanin_err *err) {
    shared *s = o->all;
    fanin_train_options options = s->options->train;
    options.seed = run->seed;
    options.progress = (fanin_progress){note_progress, o};
    fanin_trainer *trainer;
    FANIN_TRY(fanin_trainer_create(s->graph, s->data, &options, &trainer, err));
    fanin_status status =
        fanin_weights_fill(s->graph, init, NULL, fanin_trainer_program(trainer), err);
    if (status == FANIN_OK) status = fanin_trainer_run(trainer, &run->result, err);
    fanin_trainer_destroy(trainer);
    note_progress(o, "", 1, 1);
    return status;
}

static void run_range(void *arg, size_t begin, size_t end) {
    shared *s = arg;
    fanin_threads_set(1); /* what a run plans and splits is for its own thread */
    for (size_t i = begin; i < end; i++) {
        fanin_compare_run *run = &s->out->runs[i];
        fanin_init_options init = s->options->init;
        fanin_signal_options check = s->options->check;
        fanin_err err = {0};
        init.scheme = run->scheme;
        init.seed = run->seed;
        check.data = s->data;
        check.seeds = 1;
        check.progress = (fanin_progress){0};
        one o = {s, i};
        fanin_status status =
            fanin_interrupted() ? fanin_err_set(&err, FANIN_INTERRUPTED, "stopped") : FANIN_OK;
        if (status == FANIN_OK)
            status = fanin_signal_measure(s->graph, &init, &check, &run->signal, &err);
        if (status == FANIN_OK) status = train_one(&o, &init, run, &err);
        if (status != FANIN_OK) fail(s, status, &err);
    }
}

/* ---- ranking ------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) return isnan(x) - isnan(y); /* what is no number comes last */
    return (x > y) - (x < y);
}

static double median(double *v, int n) {
    if (n == 0) return NAN;
    qsort(v, (size_t)n, sizeof *v, compare_doubles);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static const fanin_train_point *last_point(const fanin_train_result *r) {
    return r->count && !r->diverged ? &r->points[r->count - 1] : NULL;
}

static double steps_to(const fanin_train_result *r, double target) {
    for (size_t i = 0; i < r->count; i++)
        if (r->points[i].test_loss <= target) return (double)r->points[i].step;
    return NAN;
}

static void rank_scheme(const fanin_comparison *c, const fanin_compare_run *runs, int n,
                        double *scratch, fanin_compare_rank *rank) {
    double *loss = scratch, *error = scratch + n, *steps = scratch + 2 * n,
           *seconds = scratch + 3 * n;
    int kept = 0, reached = 0;
    rank->scheme = runs[0].scheme;
    rank->runs = n;
    for (int i = 0; i < n; i++) {
        const fanin_train_point *p = last_point(&runs[i].result);
        seconds[i] = runs[i].result.seconds;
        if (!p) continue;
        loss[kept] = p->test_loss;
        error[kept++] = p->test_error;
        double s = steps_to(&runs[i].result, c->target_loss);
        if (isfinite(s)) steps[reached++] = s;
        rank->trained += p->test_loss < 0.97 * runs[i].result.points[0].test_loss;
    }
    bool by_error = kept > 0 && !isnan(error[0]);
    rank->steps_to_target = reached * 2 > n ? median(steps, reached) : NAN;
    rank->seconds = median(seconds, n);
    rank->loss = median(loss, kept);
    rank->error = median(error, kept);
    const double *spread = by_error ? error : loss;
    rank->low = kept ? spread[0] : NAN; /* sorted by median() */
    rank->high = kept ? spread[kept - 1] : NAN;
    if (runs[0].signal) {
        rank->verdict = runs[0].signal->verdict;
        rank->forward_slope = runs[0].signal->forward_slope;
        rank->backward_slope = runs[0].signal->backward_slope;
    }
}

static int compare_ranks(const void *a, const void *b) {
    const fanin_compare_rank *x = a, *y = b;
    int by_error = compare_doubles(&x->error, &y->error);
    return by_error ? by_error : compare_doubles(&x->loss, &y->loss);
}

static fanin_status rank_all(fanin_comparison *c, int schemes, int seeds) {
    double *scratch = fanin_calloc((size_t)seeds * 4, sizeof *scratch), best = INFINITY;
    if (!scratch) return FANIN_NOMEM;
    for (int i = 0; i < c->run_count; i++) {
        const fanin_train_point *p = last_point(&c->runs[i].result);
        if (p && p->test_loss < best) best = p->test_loss;
    }
    c->target_loss = 1.05 * best;
    for (int i = 0; i < schemes; i++)
        rank_scheme(c, c->runs + (size_t)i * (size_t)seeds, seeds, scratch, &c->ranks[i]);
    fanin_free(scratch);
    c->rank_count = schemes;
    qsort(c->ranks, (size_t)schemes, sizeof *c->ranks, compare_ranks);
    return FANIN_OK;
}

fanin_status fanin_compare(const fanin_graph *graph, const fanin_dataset *data,
                           const fanin_compare_options *options, fanin_comparison **out,
                           fanin_err *err) {
    *out = NULL;
    int seeds = options->seeds ? options->seeds : 1, schemes = options->scheme_count;
    size_t runs = (size_t)schemes * (size_t)seeds;
    fanin_comparison *c = fanin_calloc(1, sizeof *c);
    if (c) {
        c->runs = fanin_calloc(runs + 1, sizeof *c->runs);
        c->ranks = fanin_calloc((size_t)schemes + 1, sizeof *c->ranks);
    }
    double *done = fanin_calloc(runs + 1, sizeof *done);
    if (!c || !c->runs || !c->ranks || !done) {
        fanin_comparison_destroy(c);
        fanin_free(done);
        return fanin_err_set(err, FANIN_NOMEM, "compare: no memory");
    }
    c->model = graph->name;
    c->data = fanin_dataset_get_info(data)->name;
    c->run_count = (int)runs;
    c->steps = options->train.steps;
    for (size_t i = 0; i < runs; i++) {
        c->runs[i].scheme = options->schemes[i / (size_t)seeds];
        c->runs[i].seed = options->init.seed + i % (size_t)seeds;
    }
    shared s = {graph, data, options, c, done, PTHREAD_MUTEX_INITIALIZER, FANIN_OK, {0}};
    unsigned threads = fanin_threads();
    fanin_parallel_for(runs, 1, run_range, &s);
    fanin_threads_set(threads);
    fanin_free(done);
    if (s.status == FANIN_OK || s.status == FANIN_INTERRUPTED) {
        c->interrupted = s.status == FANIN_INTERRUPTED;
        fanin_status status = rank_all(c, schemes, seeds);
        if (status != FANIN_OK) s.status = fanin_err_set(&s.err, status, "compare: no memory");
    }
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
    for (int i = 0; i < c->run_count && c->runs; i++) {
        fanin_signal_destroy(c->runs[i].signal);
        fanin_train_result_fini(&c->runs[i].result);
    }
    fanin_free(c->runs);
    fanin_free(c->ranks);
    fanin_free(c);
}
