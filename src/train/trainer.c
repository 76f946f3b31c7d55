/* trainer.c - the loop. At the top of step k the trainer is a function of (weights at the start, seed, k): that
 * is where it evaluates, saves, stops and goes on. */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EVAL_BATCH = 250 };

void fanin__weights_copy(const fanin_program *from, fanin_program *to) {
    for (int i = 0; i < fanin_program_weight_count(from); i++) {
        fanin_buffer a = fanin_program_weight(from, i), b = fanin_program_weight(to, i);
        memcpy(b.data, a.data, a.count * fanin_dtype_size(a.dtype));
    }
}

static size_t weight_bytes(const fanin_program *p, int i) {
    fanin_buffer w = fanin_program_weight(p, i);
    return w.count * fanin_dtype_size(w.dtype);
}

static void keep_best(fanin_trainer *t) {
    char *at = t->best;
    for (int i = 0; i < fanin_program_weight_count(t->train); i++) {
        memcpy(at, fanin_program_weight(t->train, i).data, weight_bytes(t->train, i));
        at += weight_bytes(t->train, i);
    }
}

static fanin_status make_best(fanin_trainer *t, fanin_err *err) {
    size_t size = 1;
    for (int i = 0; i < fanin_program_weight_count(t->train); i++)
        size += weight_bytes(t->train, i);
    t->best = fanin_calloc(size, 1);
    return t->best ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "training: no memory");
}

static void exchange(char *a, char *b, size_t n) {
    char some[1024];
    for (size_t at = 0; at < n; at += sizeof some) {
        size_t k = n - at < sizeof some ? n - at : sizeof some;
        memcpy(some, a + at, k);
        memcpy(a + at, b + at, k);
        memcpy(b + at, some, k);
    }
}

bool fanin_trainer_take_best(fanin_trainer *t) {
    if (!t->best || !isfinite(t->state.best)) return false;
    char *at = t->best;
    for (int i = 0; i < fanin_program_weight_count(t->train); i++) {
        exchange(at, fanin_program_weight(t->train, i).data, weight_bytes(t->train, i));
        at += weight_bytes(t->train, i);
    }
    return true;
}

fanin_status fanin__train_grow(void **array, size_t count, size_t *capacity, size_t size,
                               fanin_err *err) {
    if (count < *capacity) return FANIN_OK;
    size_t more = *capacity ? 2 * *capacity : 64;
    void *p = fanin_realloc(*array, more, size);
    if (!p) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    *array = p;
    *capacity = more;
    return FANIN_OK;
}

/* ---- creation ------------------------------------------------------------------------------------ */

const char *fanin__train_loss(const fanin_trainer *t, bool eval, char soft[128]) {
    const char *loss = t->options.loss    ? t->options.loss
                       : t->info->classes ? "cross_entropy"
                                          : "mse";
    if (!(t->augment.mixup > 0) || eval || strncmp(loss, "cross_entropy", 13) != 0) return loss;
    snprintf(soft, 128, "soft_%s", loss); /* targets are blended */
    return soft;
}

fanin_status fanin__train_plan(const fanin_trainer *t, fanin_program_options o,
                               fanin_program **program, fanin_err *err) {
    char soft[128];
    o.loss = fanin__train_loss(t, o.eval, soft);
    o.seed = t->options.seed;
    o.dtype = t->options.dtype;
    if (o.dtype == FANIN_F64)
        return fanin_err_set(err, FANIN_ARG, "training runs in F32 or BF16, not F64");
    FANIN_TRY(fanin_program_create(t->graph, &o, program, err));
    FANIN_TRY(fanin__feed_fits(t->data, *program, (size_t)o.batch, err));
    if (t->augment.mixup > 0 && !o.eval && fanin_program_target(*program).dtype != FANIN_F32)
        return fanin_err_set(err, FANIN_ARG, "augment: mixup blends targets, loss %s wants classes",
                             o.loss);
    return FANIN_OK;
}

static fanin_status count_samples(fanin_trainer *t, fanin_err *err) {
    const fanin_train_options *o = &t->options;
    uint64_t n = t->info->train_count;
    if (n && o->validation >= n)
        return fanin_err_set(err, FANIN_ARG, "data set %s: %llu of %llu samples held out",
                             t->info->name, (unsigned long long)o->validation,
                             (unsigned long long)n);
    t->train_count = n ? n - o->validation : 0;
    if (n && t->train_count < (uint64_t)o->batch)
        return fanin_err_set(
            err, FANIN_SHAPE, "data set %s: %llu samples to train on, fewer than a batch of %lld",
            t->info->name, (unsigned long long)t->train_count, (long long)o->batch);
    uint64_t all = t->info->test_count ? t->info->test_count : 1000;
    t->eval_samples =
        o->eval_samples && (o->eval_samples < all || !t->info->test_count) ? o->eval_samples : all;
    return FANIN_OK;
}

fanin_status fanin__train_count(fanin_trainer *t, fanin_err *err) {
    const fanin_train_options *o = &t->options;
    t->steps = o->steps;
    if (!t->steps && !(o->epochs > 0))
        return fanin_err_set(err, FANIN_ARG, "training needs a number of steps or epochs");
    if (!t->steps && !t->info->train_count)
        return fanin_err_set(err, FANIN_ARG, "data set %s never ends: give steps, not epochs",
                             t->info->name);
    FANIN_TRY(count_samples(t, err));
    if (!t->steps)
        t->steps = (uint64_t)(o->epochs * (double)(t->train_count / (uint64_t)o->batch) + 0.5);
    t->eval_every = o->eval_every ? o->eval_every : t->steps / 50 ? t->steps / 50 : 1;
    return FANIN_OK;
}

static fanin_status plan_all(fanin_trainer *t, fanin_err *err) {
    const fanin_train_options *o = &t->options;
    FANIN_TRY(fanin__train_count(t, err));
    FANIN_TRY(fanin__augment_parse(o->augment, o->seed, t->info, &t->augment, err));
    uint64_t eval_batch = t->eval_samples < EVAL_BATCH ? t->eval_samples : EVAL_BATCH;
    if (o->validation && o->validation < eval_batch) eval_batch = o->validation;
    const char *optimizer = o->optimizer ? o->optimizer : "sgd";
    fanin_program_options train = {
        .batch = o->batch, .gradients = true, .activity_l1 = o->activity_l1};
    bool gradients;
    FANIN_TRY(fanin__optimizer_needs(optimizer, &train, &gradients, err));
    train.descend = !gradients && !fanin__recipe_needs_gradients(o);
    FANIN_TRY(fanin__train_plan(t, train, &t->train, err));
    FANIN_TRY(fanin__train_plan(
        t, (fanin_program_options){.batch = (int64_t)eval_batch, .eval = true}, &t->eval, err));
    FANIN_TRY(fanin_optimizer_create(optimizer, t->train, &t->optimizer, err));
    fanin__optimizer_seed(t->optimizer, o->seed);
    FANIN_TRY(fanin__recipe_init(&t->recipe, o, t->steps, t->optimizer, err));
    if (o->monitor_every) FANIN_TRY(fanin__monitor_create(t, err));
    if (o->patience) FANIN_TRY(make_best(t, err));
    uint64_t most = (uint64_t)o->batch > eval_batch ? (uint64_t)o->batch : eval_batch;
    t->index = fanin_calloc((size_t)most, sizeof *t->index);
    return t->index ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "training: no memory");
}

fanin_status fanin_trainer_create(const fanin_graph *graph, const fanin_dataset *data,
                                  const fanin_train_options *options, fanin_trainer **out,
                                  fanin_err *err) {
    *out = NULL;
    fanin_trainer *t = fanin_calloc(1, sizeof *t);
    if (!t) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    t->graph = graph;
    t->data = data;
    t->info = fanin_dataset_get_info(data);
    t->options = *options;
    if (t->options.batch == 0) t->options.batch = 10;
    t->order = fanin_stream_init(options->seed, "train/order");
    t->held_out = fanin_stream_init(0, "train/held_out");
    t->state.best = INFINITY;
    fanin_status status = plan_all(t, err);
    if (status != FANIN_OK) {
        fanin_trainer_destroy(t);
        return status;
    }
    *out = t;
    return FANIN_OK;
}

void fanin_trainer_destroy(fanin_trainer *t) {
    if (!t) return;
    fanin__monitor_destroy(t->monitor);
    fanin_optimizer_destroy(t->optimizer);
    fanin_program_destroy(t->train);
    fanin_program_destroy(t->eval);
    fanin_free(t->index);
    fanin_free(t->best);
    fanin_free(t->points);
    fanin_free(t);
}

fanin_program *fanin_trainer_program(fanin_trainer *t) { return t->train; }
uint64_t fanin_trainer_steps(const fanin_trainer *t) { return t->steps; }
uint64_t fanin_trainer_step(const fanin_trainer *t) { return t->state.step; }

/* ---- the loop ------------------------------------------------------------------------------------ */

/* What one session of _run knows besides the trainer. */
typedef struct session {
    double start;   /* clock, less the seconds of earlier sessions */
    double begun;   /* clock */
    uint64_t first; /* step */
    double data_seconds, monitor_seconds;
    bool diverged;
} session;

static bool evaluated(const fanin_trainer *t) {
    return t->point_count && t->points[t->point_count - 1].step == t->state.step;
}

static bool out_of_patience(const fanin_trainer *t) {
    return t->options.patience && t->state.stale >= t->options.patience;
}

/* One evaluation at the top of a step; the best one is kept in a file of its own. */
static fanin_status add_point(fanin_trainer *t, const session *s, fanin_err *err) {
    fanin__train_state *now = &t->state;
    fanin_train_point point = {.step = now->step,
                               .train_loss = now->since ? now->loss / (double)now->since : NAN,
                               .seconds = fanin__seconds() - s->start};
    FANIN_TRY(fanin__evaluate(t, &point, err));
    void *points = t->points;
    fanin_status status =
        fanin__train_grow(&points, t->point_count, &t->point_capacity, sizeof point, err);
    t->points = points;
    FANIN_TRY(status);
    t->points[t->point_count++] = point;
    now->loss = 0;
    now->since = 0;
    double judged = t->options.validation ? point.valid_loss : point.test_loss;
    bool better = judged < now->best;
    if (better) {
        now->best = judged;
        now->best_step = now->step;
        now->stale = 0;
        if (t->best) keep_best(t);
    } else {
        now->stale++;
    }
    if (t->options.on_point) t->options.on_point(t->options.on_point_ctx, &point);
    return better && t->options.checkpoint ? fanin__checkpoint_save(t, "best.safetensors", err)
                                           : FANIN_OK;
}

static fanin_status look(fanin_trainer *t, session *s, bool ends, fanin_err *err) {
    double start = fanin__seconds();
    FANIN_TRY(fanin__monitor_begin(t, err));
    if (ends) FANIN_TRY(fanin__monitor_last(t, err));
    if (ends) FANIN_TRY(fanin__monitor_end(t, false, err));
    s->monitor_seconds += fanin__seconds() - start;
    return FANIN_OK;
}

/* Everything that is due before step state.step. */
static fanin_status before_step(fanin_trainer *t, session *s, fanin_err *err) {
    const fanin_train_options *o = &t->options;
    uint64_t step = t->state.step;
    bool last = step == t->steps, point = (step % t->eval_every == 0 || last) && !evaluated(t);
    if (point) FANIN_TRY(add_point(t, s, err));
    bool save = o->checkpoint_every ? step % o->checkpoint_every == 0 : point;
    bool ends = last || out_of_patience(t);
    if (o->checkpoint && ((save && step > s->first) || ends))
        FANIN_TRY(fanin__checkpoint_save(t, "last.safetensors", err));
    if (!last && fanin_interrupted()) /* _run saves */
        return fanin_err_set(err, FANIN_INTERRUPTED, "stopped at step %llu of %llu",
                             (unsigned long long)step, (unsigned long long)t->steps);
    bool due = o->monitor_every && (step % o->monitor_every == 0 || ends) &&
               !fanin__monitor_has(t->monitor, step);
    return due ? look(t, s, ends, err) : FANIN_OK;
}

static void tell_step(const fanin_trainer *t, const session *s, double loss) {
    const fanin_train_options *o = &t->options;
    uint64_t step = t->state.step;
    if (o->progress.report && step % 64 == 0)
        o->progress.report(o->progress.ctx, "train", (double)step, (double)t->steps);
    if (!o->on_step) return;
    double seconds = fanin__seconds() - s->begun, done = (double)(step - s->first);
    const fanin_train_now now = {.step = step,
                                 .steps = t->steps,
                                 .loss = loss,
                                 .seconds = seconds,
                                 .rate = done * (double)o->batch / seconds,
                                 .left = (double)(t->steps - step) * seconds / done};
    o->on_step(o->on_step_ctx, &now);
}

static fanin_status one_step(fanin_trainer *t, session *s, fanin_err *err) {
    uint64_t step = t->state.step;
    double start = fanin__seconds();
    FANIN_TRY(fanin__batch_load(t, step, err));
    s->data_seconds += fanin__seconds() - start;
    fanin__optimizer_prepare(t->optimizer);
    fanin_program_set_run(t->train, step);
    fanin_program_set_rate(t->train, fanin__recipe_rate(&t->recipe, step)); /* where it descends */
    FANIN_TRY(fanin_program_run(t->train, err));
    double loss = fanin_program_loss(t->train);
    if (!isfinite(loss)) {
        s->diverged = true;
        return FANIN_OK;
    }
    fanin__recipe_step(&t->recipe, t->optimizer, step);
    t->state.loss += loss;
    t->state.since++;
    t->state.step = step + 1;
    if (t->options.monitor_every && step % t->options.monitor_every == 0) {
        start = fanin__seconds();
        FANIN_TRY(fanin__monitor_end(t, true, err));
        s->monitor_seconds += fanin__seconds() - start;
    }
    tell_step(t, s, loss);
    return FANIN_OK;
}

/* Points and monitors so far go to the result; the trainer keeps its own to go on. */
static fanin_status fill_result(fanin_trainer *t, fanin_train_result *r, fanin_err *err) {
    r->steps = t->state.step;
    r->best_step = t->state.best_step;
    r->best_loss = isfinite(t->state.best) ? t->state.best : NAN;
    r->stopped = out_of_patience(t) && t->state.step < t->steps;
    r->points = fanin_calloc(t->point_count + 1, sizeof *r->points);
    if (!r->points) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    if (t->point_count) memcpy(r->points, t->points, t->point_count * sizeof *r->points);
    r->count = t->point_count;
    return t->monitor ? fanin__monitor_result(t->monitor, r, err) : FANIN_OK;
}

fanin_status fanin_trainer_run(fanin_trainer *t, fanin_train_result *r, fanin_err *err) {
    *r = (fanin_train_result){0};
    session s = {.begun = fanin__seconds(), .first = t->state.step};
    s.start = s.begun - t->state.seconds;
    fanin_status status = fanin__batch_prefetch(t, err);
    while (status == FANIN_OK && !s.diverged) {
        t->state.seconds = fanin__seconds() - s.start;
        status = before_step(t, &s, err);
        if (status != FANIN_OK || t->state.step == t->steps || out_of_patience(t)) break;
        status = one_step(t, &s, err);
    }
    fanin__prefetch_destroy(t->prefetch);
    t->prefetch = NULL;
    if (s.diverged) {
        r->diverged = true;
        r->diverged_at = t->state.step;
        status = fanin__divergence_find(t, r->diverged_layer, sizeof r->diverged_layer, err);
    }
    t->state.seconds = r->seconds = fanin__seconds() - s.start;
    if (status == FANIN_INTERRUPTED && t->options.checkpoint) { /* in an evaluation too */
        fanin_err full = {0};
        fanin_status saved = fanin__checkpoint_save(t, "last.safetensors", &full);
        if (saved != FANIN_OK) {
            status = saved;
            if (err) *err = full;
        }
    }
    r->data_seconds = s.data_seconds;
    r->monitor_seconds = s.monitor_seconds;
    r->session_seconds = fanin__seconds() - s.begun;
    fanin_err ignored;
    fanin_status filled = fill_result(t, r, status == FANIN_OK ? err : &ignored);
    return status == FANIN_OK ? filled : status;
}

void fanin_train_result_fini(fanin_train_result *r) {
    fanin_free(r->points);
    fanin_free(r->layer_names);
    fanin_free(r->monitor_steps);
    fanin_free(r->monitors);
    fanin_free(r->last_look);
    *r = (fanin_train_result){0};
}
