/* checkpoint.c - a trainer as one safetensors file, and back.
 *
 *   weight/NAME            the program's weights, running statistics included
 *   optimizer/SLOT/NAME    the optimiser's arrays
 *   best/NAME              with patience: the weights of the lowest loss so far
 *   points                 F64, one row a point: step and the numbers of fanin_train_point
 *   monitor/steps, monitor/layers   F64
 *   __metadata__           "fanin.checkpoint" = version; "state.*", hexadecimal floats; "option.*", what has to
 *                          be the same on resume
 *
 * Data order, dropout masks and random directions are functions of (seed, step): nothing of them is kept. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/format.h"
#include "train/compare.h"
#include "train/optimizer.h"
#include "train/trainer.h"

#define FORMAT_VERSION "1"

/* ---- texts that must agree ------------------------------------------------------------------------ */

/* Key and value pairs in one growing block; `at` are offsets, since the block moves. */
typedef struct pairs {
    fanin__text text;
    size_t at[256];
    int count; /* texts, two a pair */
} pairs;

static void put(pairs *p, const char *prefix, const char *key, const char *format, ...)
    FANIN_PRINTF(4, 5);
static void put(pairs *p, const char *prefix, const char *key, const char *format, ...) {
    if (p->count + 2 > (int)FANIN_COUNT(p->at)) {
        p->text.failed = true;
        return;
    }
    p->at[p->count++] = p->text.length;
    fanin__text_printf(&p->text, "%s%s", prefix, key);
    fanin__text_append(&p->text, "", 1);
    p->at[p->count++] = p->text.length;
    va_list args;
    va_start(args, format);
    fanin__text_vprintf(&p->text, format, args);
    va_end(args);
    fanin__text_append(&p->text, "", 1);
}

static void put_count(pairs *p, const char *prefix, const char *key, uint64_t n) {
    put(p, prefix, key, "%llu", (unsigned long long)n);
}

/* What decides every later step. A field of the options that does is a line here. */
static void put_options(pairs *p, const fanin_trainer *t) {
    static const char prefix[] = "option.";
    const fanin_train_options *o = &t->options;
    put(p, prefix, "model", "%s", t->graph->name ? t->graph->name : "");
    put(p, prefix, "data", "%s", t->info->name);
    put_count(p, prefix, "data_samples", t->info->train_count);
    put(p, prefix, "optimizer", "%s", o->optimizer ? o->optimizer : "sgd");
    put(p, prefix, "loss", "%s", o->loss ? o->loss : "default");
    if (o->dtype == FANIN_BF16) put(p, prefix, "dtype", "bf16");
    put(p, prefix, "augment", "%s", o->augment ? o->augment : "none");
    put(p, prefix, "schedule", "%s", o->schedule ? o->schedule : "constant");
    put_count(p, prefix, "groups", (uint64_t)o->group_count);
    for (int i = 0; i < o->group_count; i++) {
        char key[32];
        snprintf(key, sizeof key, "group_%d", i);
        put(p, prefix, key, "%s", o->groups[i]);
    }
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"clip_value", o->clip_value},
                   {"clip_norm", o->clip_norm},
                   {"clip_agc", o->clip_agc},
                   {"gradient_noise", o->gradient_noise},
                   {"l1", o->l1},
                   {"l2", o->l2},
                   {"decay", o->decay},
                   {"activity_l1", o->activity_l1},
                   {"max_norm", o->max_norm}};
    for (size_t i = 0; i < FANIN_COUNT(numbers); i++)
        put(p, prefix, numbers[i].key, "%.17g", numbers[i].value);
    put_count(p, prefix, "steps", t->steps);
    put_count(p, prefix, "batch", (uint64_t)o->batch);
    put_count(p, prefix, "seed", o->seed);
    put_count(p, prefix, "eval_every", t->eval_every);
    put_count(p, prefix, "eval_samples", t->eval_samples);
    put_count(p, prefix, "validation", o->validation);
    put_count(p, prefix, "patience", o->patience);
    put_count(p, prefix, "monitor_every", o->monitor_every);
    put_count(p, prefix, "monitor_samples", o->monitor_every ? o->monitor_samples : 0);
    put_count(p, prefix, "threads", fanin_threads());
    for (int i = 0; o->record && o->record[i]; i += 2)
        put(p, prefix, o->record[i], "%s", o->record[i + 1] ? o->record[i + 1] : "");
}

fanin_status fanin_trainer_configuration(const fanin_trainer *t, const char ***out,
                                         fanin_err *err) {
    pairs p = {.count = 0};
    *out = NULL;
    put_options(&p, t);
    size_t prefix = strlen("option."), table = ((size_t)p.count + 1) * sizeof(char *);
    char *block = p.text.failed ? NULL : fanin_malloc(table + p.text.length + 1);
    if (block) {
        const char **list = (const char **)(void *)block;
        char *texts = memcpy(block + table, p.text.data, p.text.length);
        for (int i = 0; i < p.count; i++) list[i] = texts + p.at[i] + (i % 2 ? 0 : prefix);
        list[p.count] = NULL;
        *out = list;
    }
    fanin__text_fini(&p.text);
    return block ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "training: no memory");
}

fanin_status fanin__train_describe(const fanin_graph *graph, const fanin_dataset *data,
                                   const fanin_train_options *options, fanin__text *out,
                                   fanin_err *err) {
    pairs p = {.count = 0};
    fanin_trainer t = {
        .graph = graph, .data = data, .info = fanin_dataset_get_info(data), .options = *options};
    if (t.options.batch == 0) t.options.batch = 10;
    FANIN_TRY(fanin__train_count(&t, err));
    put_options(&p, &t);
    for (int i = 0; i < p.count && !p.text.failed; i += 2)
        fanin__text_printf(out, "%s=%s\n", p.text.data + p.at[i], p.text.data + p.at[i + 1]);
    bool whole = !p.text.failed && !out->failed;
    fanin__text_fini(&p.text);
    return whole ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "training: no memory");
}

static void put_state(pairs *p, const fanin_trainer *t) {
    static const char prefix[] = "state.";
    const fanin__train_state *s = &t->state;
    put_count(p, prefix, "step", s->step);
    put(p, prefix, "loss", "%a", s->loss);
    put_count(p, prefix, "since", s->since);
    put(p, prefix, "best", "%a", s->best);
    put_count(p, prefix, "best_step", s->best_step);
    put_count(p, prefix, "stale", s->stale);
    put(p, prefix, "seconds", "%a", s->seconds);
    put_count(p, prefix, "optimizer_steps", fanin__optimizer_steps(t->optimizer));
}

/* ---- what is inside ------------------------------------------------------------------------------- */

enum { POINT_NUMBERS = 7, LAYER_NUMBERS = sizeof(fanin_train_layer) / sizeof(double) };

/* Arrays of a checkpoint in the making; names and the numbers of points are its own. */
typedef struct bag {
    fanin_array *arrays;
    char **names;
    int count;
    double *points, *steps;
} bag;

static void bag_fini(bag *b) {
    for (int i = 0; i < b->count && b->names; i++) fanin_free(b->names[i]);
    fanin_free(b->names);
    fanin_free(b->arrays);
    fanin_free(b->points);
    fanin_free(b->steps);
}

static bool bag_add(bag *b, const char *kind, const char *name, fanin_array a) {
    fanin__text t = {0};
    fanin__text_printf(&t, "%s%s", kind, name);
    if (t.failed) return false;
    a.name = b->names[b->count] = t.data;
    b->arrays[b->count++] = a;
    return true;
}

static fanin_array numbers(const double *data, size_t rows, size_t columns) {
    return (fanin_array){.dtype = FANIN_F64,
                         .rank = 2,
                         .dims = {(int64_t)rows, (int64_t)columns},
                         .data = data,
                         .size = rows * columns * sizeof(double)};
}

static bool add_weights(bag *b, const fanin_trainer *t) {
    const char *best = t->best;
    for (int i = 0; i < fanin_program_weight_count(t->train); i++) {
        fanin_buffer w = fanin_program_weight(t->train, i);
        const char *name = fanin_program_weight_name(t->train, i);
        fanin_array a = {.dtype = w.dtype,
                         .rank = w.rank,
                         .data = w.data,
                         .size = w.count * fanin_dtype_size(w.dtype)};
        memcpy(a.dims, w.dims, sizeof a.dims);
        if (!bag_add(b, "weight/", name, a)) return false;
        if (!best) continue;
        a.data = best;
        best += a.size;
        if (!bag_add(b, "best/", name, a)) return false;
    }
    for (int i = 0; i < fanin__optimizer_state_count(t->optimizer); i++) {
        fanin__optimizer_state s = fanin__optimizer_state_at(t->optimizer, i);
        char kind[64];
        snprintf(kind, sizeof kind, "optimizer/%s/", s.slot);
        const fanin_array a = {.dtype = FANIN_F32,
                               .rank = 1,
                               .dims = {(int64_t)s.count},
                               .data = s.data,
                               .size = s.count * sizeof(float)};
        if (!bag_add(b, kind, s.weight, a)) return false;
    }
    return true;
}

static void put_point(double *row, const fanin_train_point *p) {
    const double values[POINT_NUMBERS] = {(double)p->step, p->train_loss, p->test_loss,
                                          p->test_error,   p->valid_loss, p->valid_error,
                                          p->seconds};
    memcpy(row, values, sizeof values);
}

static fanin_train_point get_point(const double *row) {
    return (fanin_train_point){.step = (uint64_t)row[0],
                               .train_loss = row[1],
                               .test_loss = row[2],
                               .test_error = row[3],
                               .valid_loss = row[4],
                               .valid_error = row[5],
                               .seconds = row[6]};
}

static bool add_history(bag *b, const fanin_trainer *t) {
    b->points = fanin_calloc(t->point_count * POINT_NUMBERS + 1, sizeof *b->points);
    if (!b->points) return false;
    for (size_t i = 0; i < t->point_count; i++)
        put_point(b->points + i * POINT_NUMBERS, &t->points[i]);
    if (!bag_add(b, "points", "", numbers(b->points, t->point_count, POINT_NUMBERS))) return false;
    if (!t->monitor) return true;
    int layers;
    const uint64_t *steps;
    const fanin_train_layer *records;
    size_t n = fanin__monitor_count(t->monitor, &layers, &steps, &records);
    b->steps = fanin_calloc(n + 1, sizeof *b->steps);
    if (!b->steps) return false;
    for (size_t i = 0; i < n; i++) b->steps[i] = (double)steps[i];
    static const double none;
    return bag_add(b, "monitor/steps", "", numbers(b->steps, n, 1)) &&
           bag_add(b, "monitor/layers", "",
                   numbers(n ? &records->h_mean : &none, n * (size_t)layers, LAYER_NUMBERS));
}

static fanin_status write_bag(const bag *b, const pairs *p, const char *path, fanin_err *err) {
    const char *metadata[FANIN_COUNT(p->at) + 1] = {NULL};
    for (int i = 0; i < p->count; i++) metadata[i] = p->text.data + p->at[i];
    const fanin_writer_options o = {.metadata = metadata};
    return fanin_weights_save(path, b->arrays, b->count, &o, err);
}

fanin_status fanin_trainer_save(fanin_trainer *t, const char *path, fanin_err *err) {
    pairs p = {.count = 0};
    put(&p, "", "fanin.checkpoint", FORMAT_VERSION);
    put(&p, "", "fanin.version", "%s", fanin_version());
    put_state(&p, t);
    put_options(&p, t);
    size_t most = 2 * (size_t)fanin_program_weight_count(t->train) +
                  (size_t)fanin__optimizer_state_count(t->optimizer) + 4;
    bag b = {.arrays = fanin_calloc(most, sizeof *b.arrays),
             .names = fanin_calloc(most, sizeof *b.names)};
    bool whole = !p.text.failed && b.arrays && b.names && add_weights(&b, t) && add_history(&b, t);
    fanin_status status = whole ? write_bag(&b, &p, path, err)
                                : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    bag_fini(&b);
    fanin__text_fini(&p.text);
    return status;
}

static fanin_status path_in(const char *dir, const char *name, char **path, fanin_err *err) {
    fanin__text t = {0};
    fanin__text_printf(&t, "%s/%s", dir, name);
    *path = t.failed ? NULL : t.data;
    return *path ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", dir);
}

fanin_status fanin__checkpoint_save(fanin_trainer *t, const char *name, fanin_err *err) {
    char *path;
    FANIN_TRY(fanin_directory_create(t->options.checkpoint, err));
    FANIN_TRY(path_in(t->options.checkpoint, name, &path, err));
    fanin_status status = fanin_trainer_save(t, path, err);
    fanin_free(path);
    return status;
}

/* ---- back ----------------------------------------------------------------------------------------- */

static const char *find_text(const fanin_weights *file, const char *key) {
    const char *name, *value;
    for (int i = 0; (name = fanin_weights_metadata(file, i, &value)); i++)
        if (!strcmp(name, key)) return value;
    return NULL;
}

static fanin_status get_number(const fanin_weights *file, const char *path, const char *key,
                               double *value, fanin_err *err) {
    const char *text = find_text(file, key);
    char *end = NULL;
    if (text) *value = strtod(text, &end);
    if (!text || end == text || *end)
        return fanin_err_set(err, FANIN_FORMAT, "%s: %s is '%s', expected a number", path, key,
                             text ? text : "absent");
    return FANIN_OK;
}

static fanin_status get_count(const fanin_weights *file, const char *path, const char *key,
                              uint64_t *value, fanin_err *err) {
    const char *text = find_text(file, key), *end = NULL;
    if (!text || !fanin__parse_u64(text, &end, value) || *end)
        return fanin_err_set(err, FANIN_FORMAT, "%s: %s is '%s', expected a whole number", path,
                             key, text ? text : "absent");
    return FANIN_OK;
}

/* A run may be made longer where no step depends on how many there will be. Evaluations then stay as far apart
 * as they were unless said. */
static fanin_status allow_longer(fanin_trainer *t, const fanin_weights *file, const char *path,
                                 fanin_err *err) {
    uint64_t steps = 0, every = 0;
    FANIN_TRY(get_count(file, path, "option.steps", &steps, err));
    FANIN_TRY(get_count(file, path, "option.eval_every", &every, err));
    if (steps == t->steps || every == 0) return FANIN_OK;
    if (!fanin__schedule_by_steps(&t->recipe.schedule))
        return fanin_err_set(err, FANIN_ARG,
                             "%s: steps was '%llu', now it is '%llu', and schedule %s depends on "
                             "it; a run with constant, step:every=N or warmup=N, N steps, can be "
                             "made longer",
                             path, (unsigned long long)steps, (unsigned long long)t->steps,
                             t->options.schedule);
    if (!t->options.eval_every) t->eval_every = every;
    return FANIN_OK;
}

/* What may differ: how far a run goes. */
static bool may_change(const fanin_trainer *t, const char *key, const char *then) {
    return !strcmp(key, "option.steps") ||
           (!strcmp(key, "option.patience") && t->options.patience && strcmp(then, "0") != 0);
}

static fanin_status check_options(fanin_trainer *t, const fanin_weights *file, const char *path,
                                  fanin_err *err) {
    pairs p = {.count = 0};
    FANIN_TRY(allow_longer(t, file, path, err));
    put_options(&p, t);
    fanin_status status =
        p.text.failed ? fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path) : FANIN_OK;
    for (int i = 0; i < p.count && status == FANIN_OK; i += 2) {
        const char *key = p.text.data + p.at[i], *now = p.text.data + p.at[i + 1],
                   *then = find_text(file, key);
        if (then && may_change(t, key, then)) continue;
        if (!then || strcmp(now, then) != 0)
            status = fanin_err_set(err, FANIN_ARG,
                                   "%s: %s was '%.120s', now it is '%.120s'; a run goes on as it "
                                   "was begun",
                                   path, key + strlen("option."), then ? then : "not set",
                                   now[0] ? now : "not set");
    }
    const char *key, *then;
    for (int i = 0; status == FANIN_OK && (key = fanin_weights_metadata(file, i, &then)); i++) {
        bool here = strncmp(key, "option.", 7) != 0;
        for (int k = 0; k < p.count && !here; k += 2) here = !strcmp(p.text.data + p.at[k], key);
        if (!here)
            status = fanin_err_set(err, FANIN_ARG,
                                   "%s: %s was '%.120s', now it is not set; a run goes on as it "
                                   "was begun",
                                   path, key + strlen("option."), then);
    }
    fanin__text_fini(&p.text);
    return status;
}

static fanin_status get_state(const fanin_weights *file, const char *path, fanin__train_state *s,
                              uint64_t *optimizer_steps, fanin_err *err) {
    FANIN_TRY(get_count(file, path, "state.step", &s->step, err));
    FANIN_TRY(get_number(file, path, "state.loss", &s->loss, err));
    FANIN_TRY(get_count(file, path, "state.since", &s->since, err));
    FANIN_TRY(get_number(file, path, "state.best", &s->best, err));
    FANIN_TRY(get_count(file, path, "state.best_step", &s->best_step, err));
    FANIN_TRY(get_count(file, path, "state.stale", &s->stale, err));
    FANIN_TRY(get_number(file, path, "state.seconds", &s->seconds, err));
    return get_count(file, path, "state.optimizer_steps", optimizer_steps, err);
}

/* An array of the file that must be there with so many bytes. */
static fanin_status find_array(const fanin_weights *file, const char *path, const char *kind,
                               const char *name, size_t size, const fanin_array **array,
                               fanin_err *err) {
    char full[1024];
    snprintf(full, sizeof full, "%s%s", kind, name);
    const fanin_array *a = fanin_weights_find(file, full);
    if (!a || (size != SIZE_MAX && a->size != size))
        return fanin_err_set(err, FANIN_FORMAT, "%s: %s has %zu bytes, expected %zu", path, full,
                             a ? a->size : 0, size);
    *array = a;
    return FANIN_OK;
}

static fanin_status get_weights(fanin_trainer *t, const fanin_weights *file, const char *path,
                                fanin_err *err) {
    const fanin_array *a = NULL;
    char *best = t->best;
    for (int i = 0; i < fanin_program_weight_count(t->train); i++) {
        fanin_buffer w = fanin_program_weight(t->train, i);
        const char *name = fanin_program_weight_name(t->train, i);
        size_t size = w.count * fanin_dtype_size(w.dtype);
        FANIN_TRY(find_array(file, path, "weight/", name, size, &a, err));
        memcpy(w.data, a->data, size);
        if (!best) continue;
        FANIN_TRY(find_array(file, path, "best/", name, size, &a, err));
        memcpy(best, a->data, size);
        best += size;
    }
    for (int i = 0; i < fanin__optimizer_state_count(t->optimizer); i++) {
        fanin__optimizer_state s = fanin__optimizer_state_at(t->optimizer, i);
        char kind[64];
        snprintf(kind, sizeof kind, "optimizer/%s/", s.slot);
        FANIN_TRY(find_array(file, path, kind, s.weight, s.count * sizeof(float), &a, err));
        memcpy(s.data, a->data, a->size);
    }
    return FANIN_OK;
}

/* Payloads of the file may be misaligned: a copy (fanin_free). */
static fanin_status copy_numbers(const fanin_weights *file, const char *path, const char *name,
                                 size_t columns, double **out, size_t *rows, fanin_err *err) {
    const fanin_array *a = NULL;
    FANIN_TRY(find_array(file, path, name, "", SIZE_MAX, &a, err));
    if (a->dtype != FANIN_F64 || a->rank != 2 || a->dims[1] != (int64_t)columns)
        return fanin_err_set(err, FANIN_FORMAT, "%s: %s is not F64 with %zu columns", path, name,
                             columns);
    double *copy = fanin_malloc(a->size + 1);
    if (!copy) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    memcpy(copy, a->data, a->size);
    *out = copy;
    *rows = (size_t)a->dims[0];
    return FANIN_OK;
}

static fanin_status get_points(fanin_trainer *t, const fanin_weights *file, const char *path,
                               fanin_err *err) {
    double *values;
    size_t rows;
    FANIN_TRY(copy_numbers(file, path, "points", POINT_NUMBERS, &values, &rows, err));
    fanin_train_point *points = fanin_calloc(rows + 1, sizeof *points);
    for (size_t i = 0; points && i < rows; i++) points[i] = get_point(values + i * POINT_NUMBERS);
    fanin_free(values);
    if (!points) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    fanin_free(t->points);
    t->points = points;
    t->point_count = rows;
    t->point_capacity = rows + 1;
    return FANIN_OK;
}

static fanin_status get_monitors(fanin_trainer *t, const fanin_weights *file, const char *path,
                                 fanin_err *err) {
    if (!t->monitor) return FANIN_OK;
    double *steps = NULL, *layers = NULL;
    size_t count, rows = 0;
    int each;
    const uint64_t *old;
    const fanin_train_layer *records;
    fanin__monitor_count(t->monitor, &each, &old, &records);
    FANIN_TRY(copy_numbers(file, path, "monitor/steps", 1, &steps, &count, err));
    fanin_status status =
        copy_numbers(file, path, "monitor/layers", LAYER_NUMBERS, &layers, &rows, err);
    if (status == FANIN_OK && rows != count * (size_t)each)
        status = fanin_err_set(err, FANIN_FORMAT, "%s: %zu rows of layers, expected %zu", path,
                               rows, count * (size_t)each);
    uint64_t *whole = status == FANIN_OK ? fanin_calloc(count + 1, sizeof *whole) : NULL;
    if (status == FANIN_OK && !whole)
        status = fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    for (size_t i = 0; whole && i < count; i++) whole[i] = (uint64_t)steps[i];
    if (status == FANIN_OK)
        status = fanin__monitor_restore(t->monitor, count, whole,
                                        (const fanin_train_layer *)(const void *)layers, err);
    fanin_free(whole);
    fanin_free(steps);
    fanin_free(layers);
    return status;
}

static fanin_status load(fanin_trainer *t, const fanin_weights *file, const char *path,
                         fanin_err *err) {
    const char *version = find_text(file, "fanin.checkpoint");
    if (!version)
        return fanin_err_set(err, FANIN_FORMAT, "%s: holds no checkpoint of fanin train", path);
    if (strcmp(version, FORMAT_VERSION) != 0)
        return fanin_err_set(err, FANIN_UNSUPPORTED,
                             "%s: a checkpoint of version %s, this fanin reads version %s", path,
                             version, FORMAT_VERSION);
    FANIN_TRY(check_options(t, file, path, err));
    fanin__train_state state;
    uint64_t optimizer_steps = 0;
    FANIN_TRY(get_state(file, path, &state, &optimizer_steps, err));
    if (state.step > t->steps)
        return fanin_err_set(err, FANIN_ARG, "%s: stands at step %llu, beyond the %llu asked for",
                             path, (unsigned long long)state.step, (unsigned long long)t->steps);
    FANIN_TRY(get_weights(t, file, path, err));
    FANIN_TRY(get_points(t, file, path, err));
    FANIN_TRY(get_monitors(t, file, path, err));
    fanin__optimizer_set_steps(t->optimizer, optimizer_steps);
    t->state = state;
    return FANIN_OK;
}

fanin_status fanin_trainer_resume(fanin_trainer *t, const char *dir, fanin_err *err) {
    char *path;
    fanin_weights *file;
    FANIN_TRY(path_in(dir, "last.safetensors", &path, err));
    fanin_status status = fanin_weights_open(path, &file, err);
    if (status == FANIN_OK) {
        status = load(t, file, path, err);
        fanin_weights_close(file);
    }
    fanin_free(path);
    return status;
}

fanin_status fanin_checkpoint_recorded(const char *dir, const char *key, char **value,
                                       fanin_err *err) {
    char *path;
    fanin_weights *file;
    *value = NULL;
    FANIN_TRY(path_in(dir, "last.safetensors", &path, err));
    fanin_status status = fanin_weights_open(path, &file, err);
    if (status == FANIN_OK) {
        char full[128];
        snprintf(full, sizeof full, "option.%s", key);
        const char *text = find_text(file, full);
        if (text && !(*value = fanin__strdup(text)))
            status = fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
        fanin_weights_close(file);
    }
    fanin_free(path);
    return status;
}
