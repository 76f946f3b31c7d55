/* trainer.c - the loop: batches by address, steps, evaluations, divergence. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/random.h"
#include "fanin/train.h"
#include "train/optimizer.h"

struct fanin_trainer {
    const fanin_dataset *data;
    const fanin_dataset_info *info;
    fanin_train_options options;
    uint64_t steps, eval_every, eval_samples;
    fanin_program *train, *eval;
    fanin_optimizer *optimizer;
    uint64_t *index; /* of a batch */
    fanin_stream order;
};

enum { EVAL_BATCH = 250 };

static size_t sample_size(const fanin_dataset_info *info) {
    size_t n = 1;
    for (int i = 0; i < info->rank; i++) n *= (size_t)info->dims[i];
    return n;
}

static const char *optimizer_text(const fanin_trainer *t) {
    return t->options.optimizer ? t->options.optimizer : "sgd";
}

static fanin_status plan_program(const fanin_graph *graph, const fanin_trainer *t, int64_t batch,
                                 bool eval, fanin_program **program, fanin_err *err) {
    bool curvature = false;
    if (!eval) FANIN_TRY(fanin__optimizer_needs_curvature(optimizer_text(t), &curvature, err));
    const fanin_program_options o = {
        .batch = batch,
        .loss = t->options.loss    ? t->options.loss
                : t->info->classes ? "cross_entropy"
                                   : "mse",
        .gradients = !eval,
        .curvature = curvature,
        .eval = eval,
        .seed = t->options.seed,
    };
    FANIN_TRY(fanin_program_create(graph, &o, program, err));
    fanin_buffer x = fanin_program_input(*program, 0), target = fanin_program_target(*program);
    size_t want = (size_t)batch * sample_size(t->info);
    if (x.count != want)
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %zu numbers a sample, the network takes %zu",
                             t->info->name, sample_size(t->info), x.count / (size_t)batch);
    size_t targets = (size_t)batch * (size_t)t->info->target_count;
    fanin_buffer y = fanin_program_output(*program, 0);
    if (target.count != targets)
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %zu targets a batch, the network's loss takes %zu",
                             t->info->name, targets, target.count);
    if (t->info->classes && y.rank > 0 && y.dims[y.rank - 1] < t->info->classes)
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %d classes, the network has %lld outputs", t->info->name,
                             t->info->classes, (long long)y.dims[y.rank - 1]);
    return FANIN_OK;
}

static fanin_status count_steps(fanin_trainer *t, fanin_err *err) {
    const fanin_train_options *o = &t->options;
    t->steps = o->steps;
    if (!t->steps) {
        if (!(o->epochs > 0))
            return fanin_err_set(err, FANIN_ARG, "training needs a number of steps or epochs");
        if (!t->info->train_count)
            return fanin_err_set(err, FANIN_ARG, "data set %s never ends: give steps, not epochs",
                                 t->info->name);
        t->steps =
            (uint64_t)(o->epochs * (double)(t->info->train_count / (uint64_t)o->batch) + 0.5);
    }
    if (t->info->train_count && t->info->train_count < (uint64_t)o->batch)
        return fanin_err_set(err, FANIN_ARG,
                             "data set %s: %llu samples, fewer than a batch of %lld", t->info->name,
                             (unsigned long long)t->info->train_count, (long long)o->batch);
    t->eval_every = o->eval_every ? o->eval_every : t->steps / 50 ? t->steps / 50 : 1;
    uint64_t all = t->info->test_count ? t->info->test_count : 1000;
    t->eval_samples =
        o->eval_samples && (o->eval_samples < all || !t->info->test_count) ? o->eval_samples : all;
    return FANIN_OK;
}

fanin_status fanin_trainer_create(const fanin_graph *graph, const fanin_dataset *data,
                                  const fanin_train_options *options, fanin_trainer **out,
                                  fanin_err *err) {
    *out = NULL;
    fanin_trainer *t = fanin_calloc(1, sizeof *t);
    if (!t) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    t->data = data;
    t->info = fanin_dataset_get_info(data);
    t->options = *options;
    if (t->options.batch == 0) t->options.batch = 10;
    t->order = fanin_stream_init(options->seed, "train/order");
    fanin_status status = count_steps(t, err);
    int64_t eval_batch = t->eval_samples < EVAL_BATCH ? (int64_t)t->eval_samples : EVAL_BATCH;
    if (status == FANIN_OK)
        status = plan_program(graph, t, t->options.batch, false, &t->train, err);
    if (status == FANIN_OK) status = plan_program(graph, t, eval_batch, true, &t->eval, err);
    if (status == FANIN_OK)
        status = fanin_optimizer_create(optimizer_text(t), t->train, &t->optimizer, err);
    if (status == FANIN_OK) fanin__optimizer_seed(t->optimizer, options->seed);
    if (status == FANIN_OK) {
        size_t most = (size_t)(t->options.batch > eval_batch ? t->options.batch : eval_batch);
        t->index = fanin_calloc(most, sizeof *t->index);
        if (!t->index) status = fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    }
    if (status != FANIN_OK) {
        fanin_trainer_destroy(t);
        return status;
    }
    *out = t;
    return FANIN_OK;
}

void fanin_trainer_destroy(fanin_trainer *t) {
    if (!t) return;
    fanin_optimizer_destroy(t->optimizer);
    fanin_program_destroy(t->train);
    fanin_program_destroy(t->eval);
    fanin_free(t->index);
    fanin_free(t);
}

fanin_program *fanin_trainer_program(fanin_trainer *t) { return t->train; }

/* Batch of one step: a generator's next samples, or the next of the epoch's shuffle, whose plane is 2 e. A last
 * partial batch is left out. */
static fanin_status load_batch(fanin_trainer *t, uint64_t step, fanin_err *err) {
    uint64_t batch = (uint64_t)t->options.batch, n = t->info->train_count;
    uint64_t per_epoch = n / batch;
    for (uint64_t i = 0; i < batch; i++)
        t->index[i] = n ? fanin_stream_shuffle(&t->order, (uint32_t)(2 * (step / per_epoch)), n,
                                               step % per_epoch * batch + i)
                        : step * batch + i;
    return fanin_dataset_samples(t->data, FANIN_TRAIN, t->index, batch,
                                 fanin_program_input(t->train, 0).data,
                                 fanin_program_target(t->train).data, err);
}

static uint64_t count_errors(const fanin_trainer *t) {
    fanin_buffer y = fanin_program_output(t->eval, 0), target = fanin_program_target(t->eval);
    const float *logits = y.data;
    const int64_t *labels = target.data;
    size_t classes = (size_t)y.dims[y.rank - 1], rows = y.count / classes;
    uint64_t errors = 0;
    for (size_t r = 0; r < rows; r++) {
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            if (logits[r * classes + c] > logits[r * classes + best]) best = c;
        errors += (int64_t)best != labels[r];
    }
    return errors;
}

/* Whole evaluation batches only: at least one, at most what was asked for. */
static fanin_status evaluate(fanin_trainer *t, fanin_train_point *point, fanin_err *err) {
    for (int i = 0; i < fanin_program_weight_count(t->train); i++) {
        fanin_buffer from = fanin_program_weight(t->train, i),
                     to = fanin_program_weight(t->eval, i);
        memcpy(to.data, from.data, from.count * fanin_dtype_size(from.dtype));
    }
    fanin_buffer x = fanin_program_input(t->eval, 0), target = fanin_program_target(t->eval);
    uint64_t batch = x.count / sample_size(t->info), batches = t->eval_samples / batch, errors = 0;
    double loss = 0;
    for (uint64_t b = 0; b < batches; b++) {
        for (uint64_t i = 0; i < batch; i++) t->index[i] = b * batch + i;
        FANIN_TRY(
            fanin_dataset_samples(t->data, FANIN_TEST, t->index, batch, x.data, target.data, err));
        FANIN_TRY(fanin_program_run(t->eval, err));
        loss += fanin_program_loss(t->eval);
        if (t->info->classes) errors += count_errors(t);
    }
    point->test_loss = loss / (double)batches;
    point->test_error = t->info->classes ? (double)errors / (double)(batches * batch) : NAN;
    return FANIN_OK;
}

static fanin_status add_point(fanin_trainer *t, fanin_train_result *r, size_t *capacity,
                              fanin_train_point point, fanin_err *err) {
    FANIN_TRY(evaluate(t, &point, err));
    if (r->count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 64;
        fanin_train_point *points = fanin_realloc(r->points, *capacity, sizeof *points);
        if (!points) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
        r->points = points;
    }
    r->points[r->count++] = point;
    if (t->options.on_point) t->options.on_point(t->options.on_point_ctx, &point);
    return FANIN_OK;
}

static bool has_non_number(fanin_buffer b) {
    const float *v = b.data;
    for (size_t i = 0; v && i < b.count; i++)
        if (!isfinite(v[i])) return true;
    return false;
}

/* The loss became infinite or NaN: name the first weight that shows it, by value or by gradient. */
static void note_divergence(fanin_trainer *t, uint64_t step, fanin_train_result *r) {
    r->diverged = true;
    r->diverged_at = step;
    for (int i = 0; i < fanin_program_weight_count(t->train); i++) {
        if (!has_non_number(fanin_program_weight(t->train, i)) &&
            !has_non_number(fanin_program_gradient(t->train, i)))
            continue;
        snprintf(r->diverged_layer, sizeof r->diverged_layer, "%s",
                 fanin_program_weight_name(t->train, i));
        return;
    }
}

fanin_status fanin_trainer_run(fanin_trainer *t, fanin_train_result *r, fanin_err *err) {
    *r = (fanin_train_result){0};
    size_t capacity = 0;
    double start = fanin__seconds(), loss = 0;
    uint64_t since = 0;
    fanin_status status = FANIN_OK;
    for (uint64_t step = 0; status == FANIN_OK && !r->diverged; step++) {
        if (step % t->eval_every == 0 || step == t->steps) {
            fanin_train_point point = {.step = step,
                                       .train_loss = since ? loss / (double)since : NAN,
                                       .seconds = fanin__seconds() - start};
            status = add_point(t, r, &capacity, point, err);
            loss = 0;
            since = 0;
            if (status != FANIN_OK || step == t->steps) break;
        }
        if (fanin_interrupted())
            status = fanin_err_set(err, FANIN_INTERRUPTED, "stopped at step %llu of %llu",
                                   (unsigned long long)step, (unsigned long long)t->steps);
        if (status == FANIN_OK) status = load_batch(t, step, err);
        fanin__optimizer_prepare(t->optimizer);
        if (status == FANIN_OK) status = fanin_program_run(t->train, err);
        if (status != FANIN_OK) break;
        double now = fanin_program_loss(t->train);
        if (!isfinite(now)) {
            note_divergence(t, step, r);
            break;
        }
        loss += now;
        since++;
        fanin_optimizer_step(t->optimizer);
        r->steps = step + 1;
        if (t->options.progress.report && step % 64 == 0)
            t->options.progress.report(t->options.progress.ctx, "train", (double)step,
                                       (double)t->steps);
    }
    r->seconds = fanin__seconds() - start;
    return status;
}

void fanin_train_result_fini(fanin_train_result *r) {
    fanin_free(r->points);
    *r = (fanin_train_result){0};
}
