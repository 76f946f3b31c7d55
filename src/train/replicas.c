/* replicas.c - R seeds of one network trained side by side. */
#include "train/replicas.h"

#include <math.h>
#include <string.h>

enum { BATCHES_MAX = 16 << 20 }; /* bytes of batches that are loaded ahead */

/* ---- creation ------------------------------------------------------------------------------------ */

static fanin_status check_options(const fanin_replicas_options *o, fanin_err *err) {
    const fanin_train_options *t = &o->train;
    const char *no = t->patience        ? "patience"
                     : t->monitor_every ? "monitoring"
                     : t->checkpoint    ? "checkpoints"
                                        : NULL;
    if (no) return fanin_err_set(err, FANIN_UNSUPPORTED, "replicas train without %s", no);
    if (o->replicas < 1)
        return fanin_err_set(err, FANIN_ARG, "replicas: %lld of them", (long long)o->replicas);
    return FANIN_OK;
}

static fanin_status plan_programs(struct fanin_replica_trainer *t, const fanin_graph *graph,
                                  fanin_err *err) {
    const fanin_train_options *o = &t->options.train;
    const fanin_trainer *one = t->singles[0];
    char soft[128];
    fanin_program_options p = {
        .batch = one->options.batch,
        .loss = fanin__train_loss(one, false, soft),
        .gradients = true,
        .curvature = one->optimizer->row->curvature,
        .diagonal = one->optimizer->row->diagonal,
        .activity_l1 = o->activity_l1,
        .dtype = o->dtype,
        .seed = o->seed,
        .replicas = t->options.replicas,
        .replica_inputs = !t->options.shared_order,
    };
    FANIN_TRY(fanin_program_create(graph, &p, &t->train, err));
    p.batch = fanin_program_input(one->eval, 0).dims[0];
    p.gradients = p.curvature = p.diagonal = p.replica_inputs = false;
    p.activity_l1 = 0;
    p.eval = true;
    p.loss = fanin__train_loss(one, true, soft);
    return fanin_program_create(graph, &p, &t->eval, err);
}

static fanin_status make_singles(struct fanin_replica_trainer *t, const fanin_graph *graph,
                                 fanin_err *err) {
    size_t count = t->train ? t->train->replicas->arena_count : 1;
    for (size_t i = 0; i < count; i++)
        if (!t->singles[i])
            FANIN_TRY(fanin_trainer_create(graph, t->data, &t->options.train, &t->singles[i], err));
    return FANIN_OK;
}

static fanin_status allocate(struct fanin_replica_trainer *t, fanin_err *err) {
    const fanin_optimizer *o = t->singles[0]->optimizer;
    const struct fanin__replicas *r = t->train->replicas;
    size_t padded = r->blocks * r->lanes, floats;
    t->lanes = r->lanes;
    t->border = fanin__class_border(t->singles[0]);
    t->elementwise = fanin__recipe_elementwise(&t->singles[0]->recipe, o);
    for (int i = 0; i < o->count; i++)
        for (int s = 0; s < FANIN__SLOTS_MAX && o->params[i].slots[s]; s++)
            t->state += o->params[i].count;
    if (fanin__size_mul(padded, t->state, &floats))
        t->states = fanin_calloc(floats + 1, sizeof(float));
    t->loss = fanin_calloc(padded, sizeof *t->loss);
    t->settled = fanin_calloc(padded, sizeof *t->settled);
    return t->states && t->loss && t->settled
               ? FANIN_OK
               : fanin_err_set(err, FANIN_NOMEM, "no memory for the state of %zu replicas",
                               r->count);
}

/* ---- weights ------------------------------------------------------------------------------------- */

typedef struct draw {
    fanin_program *program;
    const fanin_plan *plan;
    uint64_t seed;
    size_t replicas;
    _Atomic int status;
} draw;

static fanin_status draw_replica(const draw *d, size_t r, fanin_err *err) {
    for (int i = 0; i < fanin_program_weight_count(d->program); i++) {
        fanin_buffer w = fanin_program_weight(d->program, i);
        int at = fanin_plan_find(d->plan, fanin_program_weight_name(d->program, i));
        const fanin_plan_row *row = fanin_plan_row_at(d->plan, at);
        if (!row || row->keep) {
            if (fanin_program_weight_present(d->program, i)) continue;
            return fanin_err_set(err, FANIN_ARG, "tensor %s has neither a rule nor values",
                                 fanin_program_weight_name(d->program, i));
        }
        size_t n = w.count / d->replicas;
        FANIN_TRY(fanin_rule_fill(&row->rule, &row->tensor, d->seed + r, 0, n, FANIN_F32,
                                  (float *)w.data + r * n, err));
    }
    return FANIN_OK;
}

static void draw_range(void *arg, size_t begin, size_t end) {
    draw *d = arg;
    for (size_t r = begin; r < end; r++) {
        fanin_status status = draw_replica(d, r, NULL);
        if (status != FANIN_OK) atomic_store(&d->status, (int)status);
    }
}

/* A framework's stream is serial: a plan, and a single program, for each seed. */
static fanin_status draw_serially(struct fanin_replica_trainer *t, const fanin_graph *graph,
                                  fanin_err *err) {
    fanin_program *one = t->singles[0]->train;
    size_t replicas = (size_t)t->options.replicas;
    for (size_t r = 0; r < replicas; r++) {
        fanin_init_options init = *t->options.init;
        init.seed += r;
        FANIN_TRY(fanin_weights_fill(graph, &init, NULL, one, err));
        for (int i = 0; i < fanin_program_weight_count(one); i++) {
            fanin_buffer from = fanin_program_weight(one, i),
                         to = fanin_program_weight(t->train, i);
            memcpy((float *)to.data + r * from.count, from.data, from.count * sizeof(float));
        }
    }
    return FANIN_OK;
}

static fanin_status draw_weights(struct fanin_replica_trainer *t, const fanin_graph *graph,
                                 fanin_err *err) {
    const fanin_init_options *init = t->options.init;
    if (!init) return FANIN_OK;
    fanin_plan *plan;
    FANIN_TRY(fanin_plan_create(graph, init, &plan, err));
    bool ours = !strcmp(fanin_plan_stream(plan), "fanin");
    draw d = {t->train, plan, init->seed, (size_t)t->options.replicas, FANIN_OK};
    fanin_status status = ours ? draw_replica(&d, 0, err) : draw_serially(t, graph, err);
    if (ours && status == FANIN_OK) { /* the others cannot fail in another way */
        fanin_parallel_for(d.replicas, 64, draw_range, &d);
        status = (fanin_status)atomic_load(&d.status);
        if (status != FANIN_OK)
            fanin_err_set(err, status, "drawing the weights of replicas failed");
    }
    fanin_plan_destroy(plan);
    return status;
}

static fanin_status create(struct fanin_replica_trainer *t, const fanin_graph *graph,
                           fanin_err *err) {
    FANIN_TRY(check_options(&t->options, err));
    t->singles = fanin_calloc(fanin_threads(), sizeof(fanin_trainer *));
    if (!t->singles) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    FANIN_TRY(make_singles(t, graph, err));
    FANIN_TRY(plan_programs(t, graph, err));
    FANIN_TRY(make_singles(t, graph, err));
    FANIN_TRY(allocate(t, err));
    return draw_weights(t, graph, err);
}

fanin_status fanin_replica_trainer_create(const fanin_graph *graph, const fanin_dataset *data,
                                          const fanin_replicas_options *options,
                                          fanin_replica_trainer **out, fanin_err *err) {
    *out = NULL;
    struct fanin_replica_trainer *t = fanin_calloc(1, sizeof *t);
    if (!t) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    t->data = data;
    t->options = *options;
    fanin_status status = create(t, graph, err);
    if (status != FANIN_OK) {
        fanin_replica_trainer_destroy(t);
        return status;
    }
    *out = t;
    return FANIN_OK;
}

void fanin_replica_trainer_destroy(fanin_replica_trainer *t) {
    if (!t) return;
    size_t arenas = t->train ? t->train->replicas->arena_count : 1;
    for (size_t i = 0; t->singles && i < arenas; i++) fanin_trainer_destroy(t->singles[i]);
    fanin_program_destroy(t->train);
    fanin_program_destroy(t->eval);
    fanin_free(t->singles);
    fanin_free(t->states);
    fanin_free(t->loss);
    fanin_free(t->settled);
    fanin_free(t->batches);
    fanin_free(t);
}

fanin_program *fanin_replica_trainer_program(fanin_replica_trainer *t) { return t->train; }

/* ---- blocks -------------------------------------------------------------------------------------- */

/* Steps begin .. end - 1 of all blocks. */
typedef struct stretch {
    struct fanin_replica_trainer *trainer;
    uint64_t begin, end;
    _Atomic int status;
} stretch;

static void note_errors(const fanin__block *b, uint64_t step) {
    const struct fanin_replica_trainer *t = b->trainer;
    fanin_buffer shape = fanin_program_output(t->train, 0);
    fanin__lanes_array y = fanin__lanes_get(t->train, b->arena, FANIN__LANES_OUTPUT, 0),
                       target = fanin__lanes_get(t->train, b->arena, FANIN__LANES_TARGET, 0);
    size_t classes = (size_t)shape.dims[shape.rank - 1];
    unsigned char wrong[FANIN__LANES_MAX] = {0};
    const fanin__lanes_target answers = {target.data, fanin_program_target(t->train).dtype,
                                         target.many, t->border};
    fanin__lanes_wrong(t->lanes, y.count / classes, classes, y.data, &answers, wrong);
    for (size_t l = 0; l < t->lanes; l++)
        b->settled[l] = wrong[l] ? (double)step + 1 : b->settled[l];
}

static fanin_status block_steps(const fanin__block *b, const stretch *s) {
    struct fanin_replica_trainer *t = s->trainer;
    fanin__lanes_array loss = fanin__lanes_get(t->train, b->arena, FANIN__LANES_LOSS, 0);
    size_t bytes = t->input_bytes + t->target_bytes;
    bool classes = b->single->info->classes != 0;
    for (uint64_t step = s->begin; step < s->end; step++) {
        const char *batch = t->batches ? t->batches + (step - s->begin) * bytes : NULL;
        FANIN_TRY(fanin__block_load(b, step, batch, NULL));
        fanin__block_prepare(b, step);
        FANIN_TRY(fanin__lanes_run(t->train, b->arena, b->first, step, NULL));
        for (size_t l = 0; l < t->lanes; l++) b->loss[l] += (double)((float *)loss.data)[l];
        if (classes) note_errors(b, step);
        fanin__block_update(b, step);
    }
    return FANIN_OK;
}

/* Weights of a block between what callers see and the arena. */
static void move_weights(const fanin__block *b, bool back) {
    const struct fanin_replica_trainer *t = b->trainer;
    for (int i = 0; i < fanin_program_weight_count(t->train); i++) {
        fanin__lanes_array w = fanin__lanes_get(t->train, b->arena, FANIN__LANES_WEIGHT, i);
        float *seen = (float *)fanin_program_weight(t->train, i).data + b->first * w.count;
        if (back)
            fanin__lanes_scatter(t->lanes, b->present, w.count, sizeof(float), w.data, seen);
        else
            fanin__lanes_gather(t->lanes, b->present, w.count, sizeof(float), seen, w.data);
    }
}

static void run_blocks(void *arg, size_t begin, size_t end) {
    stretch *s = arg;
    struct fanin_replica_trainer *t = s->trainer;
    const struct fanin__replicas *r = t->train->replicas;
    fanin__lanes *arena = fanin__lanes_claim(t->train);
    fanin_status status = FANIN_OK;
    for (size_t k = begin; k < end && status == FANIN_OK; k++) {
        size_t first = k * r->lanes, left = r->count - first;
        const fanin__block b = {.trainer = t,
                                .arena = arena,
                                .single = t->singles[arena - r->arenas],
                                .first = first,
                                .present = left < r->lanes ? left : r->lanes,
                                .state = t->states + first * t->state,
                                .loss = t->loss + first,
                                .settled = t->settled + first};
        move_weights(&b, false);
        status = block_steps(&b, s);
        move_weights(&b, true);
    }
    fanin__lanes_release(arena);
    if (status != FANIN_OK) atomic_store(&s->status, (int)status);
}

/* The batches of a shared order are loaded once for all blocks. */
static fanin_status load_batches(struct fanin_replica_trainer *t, uint64_t begin, uint64_t end,
                                 fanin_err *err) {
    if (!t->options.shared_order) return FANIN_OK;
    fanin_trainer *one = t->singles[0];
    fanin_buffer x = fanin_program_input(one->train, 0), y = fanin_program_target(one->train);
    for (uint64_t step = begin; step < end; step++) {
        char *to = t->batches + (step - begin) * (t->input_bytes + t->target_bytes);
        FANIN_TRY(fanin__batch_load(one, step, err));
        memcpy(to, x.data, t->input_bytes);
        memcpy(to + t->input_bytes, y.data, t->target_bytes);
    }
    return FANIN_OK;
}

static fanin_status train_stretch(struct fanin_replica_trainer *t, uint64_t begin, uint64_t end,
                                  fanin_err *err) {
    stretch s = {.trainer = t, .begin = begin, .end = end};
    atomic_init(&s.status, FANIN_OK);
    FANIN_TRY(load_batches(t, begin, end, err));
    fanin_parallel_for(t->train->replicas->blocks, 1, run_blocks, &s);
    fanin_status status = (fanin_status)atomic_load(&s.status);
    return status == FANIN_OK
               ? status
               : fanin_err_set(err, status,
                               "replicas: a batch could not be read, or a step failed");
}

/* ---- points -------------------------------------------------------------------------------------- */

static void add_errors(const struct fanin_replica_trainer *t, float *error, uint64_t batches) {
    fanin_buffer y = fanin_program_output(t->eval, 0), target = fanin_program_target(t->eval);
    size_t classes = (size_t)y.dims[y.rank - 1],
           rows = y.count / classes / (size_t)t->options.replicas;
    size_t each = target.count / rows * fanin_dtype_size(target.dtype);
    const float *logits = y.data;
    for (int64_t r = 0; r < t->options.replicas; r++)
        for (size_t k = 0; k < rows; k++, logits += classes) {
            unsigned char wrong = 0;
            const fanin__lanes_target answer = {(const char *)target.data + k * each, target.dtype,
                                                false, t->border};
            fanin__lanes_wrong(1, 1, classes, logits, &answer, &wrong);
            error[r] += (float)(wrong / (double)(batches * rows));
        }
}

/* Whole evaluation batches, as one network's trainer takes them, of the test split or of what is held out. */
static fanin_status evaluate(struct fanin_replica_trainer *t, bool held_out, float *loss,
                             float *error, fanin_err *err) {
    fanin_trainer *one = t->singles[0];
    fanin_buffer x = fanin_program_input(t->eval, 0);
    uint64_t batch = x.count / fanin_dataset_sample_size(one->info),
             batches = (held_out ? one->options.validation : one->eval_samples) / batch;
    size_t replicas = (size_t)t->options.replicas;
    if (batches == 0) batches = 1;
    for (size_t r = 0; r < replicas; r++) {
        loss[r] = 0;
        error[r] = one->info->classes ? 0 : NAN;
    }
    for (uint64_t b = 0; b < batches; b++) {
        for (uint64_t i = 0; i < batch; i++) {
            uint64_t at = b * batch + i;
            one->index[i] = held_out ? fanin__held_out(one, at) : at;
        }
        FANIN_TRY(fanin__feed_load(t->data, held_out ? FANIN_TRAIN : FANIN_TEST, one->index, batch,
                                   t->eval, err));
        FANIN_TRY(fanin_program_run(t->eval, err));
        const float *each = fanin_program_losses(t->eval).data;
        for (size_t r = 0; r < replicas; r++) loss[r] += each[r] / (float)batches;
        if (one->info->classes) add_errors(t, error, batches);
    }
    return FANIN_OK;
}

static fanin_status add_point(struct fanin_replica_trainer *t, fanin_replicas_result *r,
                              uint64_t step, fanin_err *err) {
    size_t replicas = (size_t)t->options.replicas, at = r->point_count * replicas;
    uint64_t since = r->point_count ? step - r->steps[r->point_count - 1] : 0;
    fanin__weights_copy(t->train, t->eval);
    FANIN_TRY(evaluate(t, false, r->loss + at, r->error + at, err));
    if (r->valid_loss) FANIN_TRY(evaluate(t, true, r->valid_loss + at, r->valid_error + at, err));
    for (size_t k = 0; k < replicas; k++) {
        r->train_loss[at + k] = since ? (float)(t->loss[k] / (double)since) : NAN;
        t->loss[k] = 0;
    }
    r->steps[r->point_count++] = step;
    return FANIN_OK;
}

/* ---- the run ------------------------------------------------------------------------------------- */

static fanin_status reserve(struct fanin_replica_trainer *t, fanin_replicas_result *r,
                            uint64_t stretch_steps, fanin_err *err) {
    const fanin_trainer *one = t->singles[0];
    size_t points = (size_t)((one->steps + one->eval_every - 1) / one->eval_every) + 1, count;
    size_t replicas = (size_t)t->options.replicas;
    r->replicas = t->options.replicas;
    if (!fanin__size_mul(points, replicas, &count))
        return fanin_err_set(err, FANIN_LIMIT, "%zu points of %zu replicas", points, replicas);
    r->steps = fanin_calloc(points, sizeof *r->steps);
    r->loss = fanin_calloc(count, sizeof *r->loss);
    r->error = fanin_calloc(count, sizeof *r->error);
    r->train_loss = fanin_calloc(count, sizeof *r->train_loss);
    r->settled = fanin_calloc(replicas, sizeof *r->settled);
    bool valid = t->options.train.validation > 0;
    if (valid) r->valid_loss = fanin_calloc(count, sizeof *r->valid_loss);
    if (valid) r->valid_error = fanin_calloc(count, sizeof *r->valid_error);
    size_t bytes = t->input_bytes + t->target_bytes;
    if (t->options.shared_order && !t->batches)
        t->batches = fanin_calloc((size_t)stretch_steps, bytes);
    if (!r->steps || !r->loss || !r->error || !r->train_loss || !r->settled ||
        (valid && (!r->valid_loss || !r->valid_error)) || (t->options.shared_order && !t->batches))
        return fanin_err_set(err, FANIN_NOMEM, "no memory for the results of %zu replicas",
                             replicas);
    return FANIN_OK;
}

static uint64_t steps_ahead(const struct fanin_replica_trainer *t) {
    uint64_t most = BATCHES_MAX / (t->input_bytes + t->target_bytes + 1) + 1;
    return most < t->singles[0]->eval_every ? most : t->singles[0]->eval_every;
}

static fanin_status all_steps(struct fanin_replica_trainer *t, fanin_replicas_result *r,
                              uint64_t ahead, fanin_err *err) {
    const fanin_trainer *one = t->singles[0];
    const fanin_progress *progress = &t->options.train.progress;
    for (uint64_t step = 0;;) {
        bool point = step % one->eval_every == 0 || step == one->steps;
        if (point) FANIN_TRY(add_point(t, r, step, err));
        if (step == one->steps) return FANIN_OK;
        if (fanin_interrupted())
            return fanin_err_set(err, FANIN_INTERRUPTED, "stopped at step %llu of %llu",
                                 (unsigned long long)step, (unsigned long long)one->steps);
        uint64_t end = (step / one->eval_every + 1) * one->eval_every;
        if (end > one->steps) end = one->steps;
        if (end > step + ahead) end = step + ahead;
        FANIN_TRY(train_stretch(t, step, end, err));
        r->done = step = end;
        if (progress->report)
            progress->report(progress->ctx, "train", (double)step, (double)one->steps);
    }
}

fanin_status fanin_replica_trainer_run(fanin_replica_trainer *t, fanin_replicas_result *r,
                                       fanin_err *err) {
    *r = (fanin_replicas_result){0};
    double start = fanin__seconds();
    fanin_buffer y = fanin_program_target(t->singles[0]->train);
    t->input_bytes = fanin_program_input(t->singles[0]->train, 0).count * sizeof(float);
    t->target_bytes = y.count * fanin_dtype_size(y.dtype);
    uint64_t ahead = steps_ahead(t);
    FANIN_TRY(reserve(t, r, ahead, err));
    fanin_status status = all_steps(t, r, ahead, err);
    for (int64_t k = 0; k < r->replicas; k++)
        r->settled[k] =
            t->singles[0]->info->classes && t->settled[k] < (double)r->done ? t->settled[k] : NAN;
    r->seconds = fanin__seconds() - start;
    return status;
}

void fanin_replicas_result_fini(fanin_replicas_result *r) {
    fanin_free(r->steps);
    fanin_free(r->loss);
    fanin_free(r->error);
    fanin_free(r->valid_loss);
    fanin_free(r->valid_error);
    fanin_free(r->train_loss);
    fanin_free(r->settled);
    *r = (fanin_replicas_result){0};
}
