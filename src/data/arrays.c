/* arrays.c - inputs and targets as arrays, one row a sample: two .npy or IDX files, or one .npz. */
#include <math.h>
#include <string.h>

#include "data/idx.h"
#include "data/store.h"
#include "fanin/format.h"
#include "format/weights.h"

static int64_t integer_at(const fanin_array *a, size_t i) {
    size_t size = fanin_dtype_size(a->dtype);
    unsigned char bytes[8] = {0};
    memcpy(bytes, (const unsigned char *)a->data + i * size, size);
    int64_t v = 0;
    memcpy(&v, bytes, 8); /* little-endian; sign below */
    if (a->dtype == FANIN_I8) return (int8_t)v;
    if (a->dtype == FANIN_I16) return (int16_t)v;
    if (a->dtype == FANIN_I32) return (int32_t)v;
    return v;
}

static fanin_status to_floats(const char *path, const fanin_array *a, size_t count, float **out,
                              fanin_err *err) {
    float *values = fanin_calloc(count, sizeof *values);
    if (!values) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    *out = values;
    size_t size = fanin_dtype_size(a->dtype);
    for (size_t i = 0; i < count; i++) {
        double v;
        if (fanin_dtype_is_float(a->dtype)) {
            if (fanin_convert_to_f64((const unsigned char *)a->data + i * size, a->dtype, 1, &v) !=
                FANIN_OK)
                return FANIN_INTERNAL;
        } else {
            v = (double)integer_at(a, i);
        }
        if (!isfinite(v))
            return fanin_err_set(err, FANIN_FORMAT, "%s: element %zu is not a finite number", path,
                                 i);
        values[i] = (float)v;
    }
    return FANIN_OK;
}

static fanin_status count_rows(const char *path, const fanin_array *a, size_t *count,
                               fanin_err *err) {
    if (a->rank < 1 || a->dims[0] < 1 || !fanin__shape_count(a->dims, a->rank, count) ||
        *count == 0)
        return fanin_err_set(err, FANIN_SHAPE, "%s: expected at least one row", path);
    return FANIN_OK;
}

/* One split from its two arrays. */
static fanin_status read_pair(const char *x_path, const fanin_array *x, const char *t_path,
                              const fanin_array *t, fanin_split split, fanin_dataset *d,
                              fanin_err *err) {
    fanin__store *s = d->state;
    fanin__rows *rows = &s->split[split];
    size_t x_count, t_count;
    FANIN_TRY(count_rows(x_path, x, &x_count, err));
    FANIN_TRY(count_rows(t_path, t, &t_count, err));
    if (x->dims[0] != t->dims[0])
        return fanin_err_set(err, FANIN_SHAPE, "%s has %lld rows, %s has %lld", x_path,
                             (long long)x->dims[0], t_path, (long long)t->dims[0]);
    size_t targets = t_count / (size_t)t->dims[0];
    bool same = d->info.rank == x->rank - 1 && s->targets == targets &&
                !memcmp(d->info.dims, x->dims + 1, (size_t)(x->rank - 1) * sizeof x->dims[0]);
    if (split == FANIN_TEST && !same)
        return fanin_err_set(err, FANIN_SHAPE, "%s: rows of another shape than those to train on",
                             x_path);
    d->info.rank = x->rank - 1;
    memcpy(d->info.dims, x->dims + 1, sizeof d->info.dims - sizeof d->info.dims[0]);
    s->targets = targets;
    rows->count = (uint64_t)x->dims[0];
    FANIN_TRY(to_floats(x_path, x, x_count, &rows->x, err));
    bool classes = !fanin_dtype_is_float(t->dtype) && t->rank == 1;
    if (!classes) return to_floats(t_path, t, t_count, &rows->real, err);
    rows->labels = fanin_calloc(t_count, sizeof *rows->labels);
    if (!rows->labels) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", t_path);
    for (size_t i = 0; i < t_count; i++) rows->labels[i] = integer_at(t, i);
    return FANIN_OK;
}

/* ---- files ------------------------------------------------------------------------------------------ */

/* A file's bytes, unpacked, and the bag that they were read into. */
typedef struct source {
    unsigned char *bytes;
    size_t size;
    fanin_weights *bag; /* NULL: IDX */
    fanin_array idx;
} source;

static void source_fini(source *s) {
    fanin_weights_close(s->bag);
    fanin_free(s->bytes);
}

static fanin_status source_open(const char *path, source *s, fanin_err *err) {
    *s = (source){0};
    FANIN_TRY(fanin__data_read(path, FANIN__DATA_LIMIT, &s->bytes, &s->size, err));
    bool packed = s->size >= 2 && (!memcmp(s->bytes, "PK", 2) || !memcmp(s->bytes, "\x93N", 2));
    if (!packed) return fanin__idx_parse(s->bytes, s->size, path, &s->idx, err);
    s->bag = fanin__weights_create(fanin__format_budget(s->size));
    if (!s->bag) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    bool zip = s->size >= 2 && !memcmp(s->bytes, "PK", 2);
    return zip ? fanin__npz_parse(s->bag, s->bytes, s->size, path, err)
               : fanin__npy_parse(s->bag, s->bytes, s->size, path, err);
}

static fanin_status only_array(const char *path, const source *s, const fanin_array **a,
                               fanin_err *err) {
    *a = s->bag ? fanin_weights_at(s->bag, 0) : &s->idx;
    if (s->bag && fanin_weights_count(s->bag) != 1)
        return fanin_err_set(err, FANIN_FORMAT, "%s: expected one array", path);
    return FANIN_OK;
}

/* Bytes of images are shares of 255, as MNIST is read everywhere. */
static void scale_bytes(const fanin_array *x, fanin_dataset *d) {
    fanin__store *s = d->state;
    if (x->dtype != FANIN_U8 || x->rank < 3) return;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < s->split[k].count * s->sample && s->split[k].x; i++)
            s->split[k].x[i] /= 255.0f;
}

fanin_status fanin__data_arrays(const char *inputs, const char *targets, double test,
                                fanin_dataset *d, fanin_err *err) {
    fanin__store *s;
    source x, t = {0};
    const fanin_array *a = NULL, *b = NULL;
    FANIN_TRY(fanin__store_create(d, &s, err));
    fanin_status status = source_open(inputs, &x, err);
    if (status == FANIN_OK) status = source_open(targets, &t, err);
    if (status == FANIN_OK) status = only_array(inputs, &x, &a, err);
    if (status == FANIN_OK) status = only_array(targets, &t, &b, err);
    if (status == FANIN_OK) status = read_pair(inputs, a, targets, b, FANIN_TRAIN, d, err);
    if (status == FANIN_OK) status = fanin__store_finish(d, targets, test, err);
    if (status == FANIN_OK && !x.bag) scale_bytes(a, d);
    source_fini(&x);
    source_fini(&t);
    return status;
}

static const fanin_array *find(const fanin_weights *bag, const char *const *names) {
    const fanin_array *a = NULL;
    for (; *names && !a; names++) a = fanin_weights_find(bag, *names);
    return a;
}

fanin_status fanin__data_npz(const char *path, double test, fanin_dataset *d, fanin_err *err) {
    static const char *const x_names[] = {"x_train", "x", "X", "inputs", "data", NULL},
                             *const t_names[] = {"y_train", "y", "t", "targets", "labels", NULL},
                             *const x_tests[] = {"x_test", NULL},
                             *const t_tests[] = {"y_test", NULL};
    fanin__store *s;
    source file;
    FANIN_TRY(fanin__store_create(d, &s, err));
    fanin_status status = source_open(path, &file, err);
    if (status == FANIN_OK && !file.bag)
        status = fanin_err_set(err, FANIN_FORMAT, "%s: no npz archive", path);
    if (status == FANIN_OK) {
        const fanin_array *x = find(file.bag, x_names), *t = find(file.bag, t_names),
                          *more = find(file.bag, x_tests), *answers = find(file.bag, t_tests);
        if (!x || !t || !more != !answers)
            status = fanin_err_set(err, FANIN_FORMAT,
                                   "%s: expected arrays x and y, or x_train, y_train, x_test and "
                                   "y_test",
                                   path);
        if (status == FANIN_OK) status = read_pair(path, x, path, t, FANIN_TRAIN, d, err);
        if (status == FANIN_OK && more)
            status = read_pair(path, more, path, answers, FANIN_TEST, d, err);
        if (status == FANIN_OK) status = fanin__store_finish(d, path, test, err);
    }
    source_fini(&file);
    return status;
}

fanin_status fanin__data_idx(const char *path, double test, fanin_dataset *d, fanin_err *err) {
    const char *at = strstr(path, "images");
    if (!at)
        return fanin_err_set(err, FANIN_ARG,
                             "%s: give two files, images.idx,labels.idx, or one with images in its "
                             "name beside one with labels",
                             path);
    fanin__text t = {0};
    const char *rank = strstr(at, "idx3");
    fanin__text_append(&t, path, (size_t)(at - path));
    fanin__text_puts(&t, "labels");
    at += strlen("images");
    if (rank) {
        fanin__text_append(&t, at, (size_t)(rank - at));
        fanin__text_puts(&t, "idx1");
        at = rank + 4;
    }
    fanin__text_puts(&t, at);
    fanin_status status = t.failed ? fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path)
                                   : fanin__data_arrays(path, t.data, test, d, err);
    fanin__text_fini(&t);
    return status;
}
