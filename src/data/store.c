/* store.c - rows in memory as a data set. */
#include "data/store.h"

#include <math.h>
#include <string.h>

enum { CLASSES_MAX = 1000000 };

static void rows_fini(fanin__rows *r) {
    fanin_free(r->x);
    fanin_free(r->bytes);
    fanin_free(r->labels);
    fanin_free(r->real);
}

static void store_close(void *p) {
    fanin__store *s = p;
    rows_fini(&s->split[0]);
    rows_fini(&s->split[1]);
    fanin_free(s);
}

static fanin_status store_sample(const fanin_dataset *d, fanin_split split, uint64_t index,
                                 float *x, void *target) {
    const fanin__store *s = d->state;
    const fanin__rows *r = &s->split[split];
    if (r->x)
        memcpy(x, r->x + index * s->sample, s->sample * sizeof *x);
    else
        for (size_t i = 0; i < s->sample; i++)
            x[i] = (float)r->bytes[index * s->sample + i] / 255.0f;
    if (r->labels)
        memcpy(target, r->labels + index * s->targets, s->targets * sizeof *r->labels);
    else
        memcpy(target, r->real + index * s->targets, s->targets * sizeof *r->real);
    return FANIN_OK;
}

fanin_status fanin__store_create(fanin_dataset *d, fanin__store **store, fanin_err *err) {
    fanin__store *s = fanin_calloc(1, sizeof *s);
    if (!s) return fanin_err_set(err, FANIN_NOMEM, "data set: no memory");
    s->targets = 1;
    d->state = s;
    d->close = store_close;
    d->sample = store_sample;
    *store = s;
    return FANIN_OK;
}

static fanin_status count_classes(const fanin__store *s, const char *what, int *classes,
                                  fanin_err *err) {
    int64_t most = 0;
    for (int k = 0; k < 2; k++)
        for (uint64_t i = 0; i < s->split[k].count * s->targets; i++) {
            int64_t label = s->split[k].labels[i];
            if (label < 0 || label >= CLASSES_MAX)
                return fanin_err_set(
                    err, FANIN_FORMAT, "%s: row %llu has class %lld, expected 0 to %d", what,
                    (unsigned long long)(i / s->targets), (long long)label, CLASSES_MAX - 1);
            if (label > most) most = label;
        }
    char *seen = fanin_calloc((size_t)most + 1, 1);
    if (!seen) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", what);
    for (uint64_t i = 0; i < s->split[0].count * s->targets; i++) seen[s->split[0].labels[i]] = 1;
    fanin_status status = FANIN_OK;
    for (int64_t c = 0; c <= most && status == FANIN_OK; c++)
        if (!seen[c])
            status = fanin_err_set(err, FANIN_FORMAT,
                                   "%s: class %lld of 0 to %lld has no row to train on", what,
                                   (long long)c, (long long)most);
    if (status == FANIN_OK && most == 0)
        status = fanin_err_set(err, FANIN_FORMAT, "%s: all rows have class 0, expected two classes",
                               what);
    fanin_free(seen);
    *classes = (int)most + 1;
    return status;
}

fanin_status fanin__store_finish(fanin_dataset *d, const char *what, double test, fanin_err *err) {
    fanin__store *s = d->state;
    uint64_t n = s->split[FANIN_TRAIN].count;
    s->sample = 1;
    for (int i = 0; i < d->info.rank; i++) s->sample *= (size_t)d->info.dims[i];
    if (n == 0 || s->sample == 0)
        return fanin_err_set(err, FANIN_FORMAT, "%s: expected at least one row of numbers", what);
    d->info.target_count = (int64_t)s->targets;
    d->info.classes = 0;
    if (s->split[FANIN_TRAIN].labels) FANIN_TRY(count_classes(s, what, &d->info.classes, err));
    d->info.train_count = n;
    d->info.test_count = s->split[FANIN_TEST].count;
    if (d->info.test_count) return FANIN_OK;
    return fanin__data_cut(d, n, what, test, err);
}
