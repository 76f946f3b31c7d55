/* arrays.c - a data set from two .npy files: inputs and targets, one row a sample. Both splits are the
 * same rows: whoever hands over arrays has split them. */
#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "fanin/format.h"

typedef struct arrays {
    fanin_weights *x, *t;
    float *inputs;
    void *targets;
    size_t sample;
} arrays;

static void arrays_close(void *p) {
    arrays *s = p;
    fanin_weights_close(s->x);
    fanin_weights_close(s->t);
    fanin_free(s->inputs);
    fanin_free(s->targets);
    fanin_free(s);
}

static fanin_status array_sample(const fanin_dataset *d, fanin_split split, uint64_t index,
                                 float *x, void *target) {
    (void)split;
    const arrays *s = d->state;
    memcpy(x, s->inputs + index * s->sample, s->sample * sizeof(float));
    size_t step = d->info.classes ? sizeof(int64_t) : (size_t)d->info.target_count * sizeof(float);
    memcpy(target, (const unsigned char *)s->targets + index * step, step);
    return FANIN_OK;
}

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

static fanin_status to_classes(const char *path, const fanin_array *a, size_t count, arrays *s,
                               int *classes, fanin_err *err) {
    int64_t *labels = fanin_calloc(count, sizeof *labels), most = 0;
    if (!labels) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    s->targets = labels;
    for (size_t i = 0; i < count; i++) {
        labels[i] = integer_at(a, i);
        if (labels[i] < 0 || labels[i] >= 1000000)
            return fanin_err_set(err, FANIN_FORMAT,
                                 "%s: row %zu has class %lld, expected 0 to 999999", path, i,
                                 (long long)labels[i]);
        if (labels[i] > most) most = labels[i];
    }
    *classes = (int)most + 1;
    return FANIN_OK;
}

static fanin_status open_one(const char *path, fanin_weights **file, const fanin_array **array,
                             size_t *count, fanin_err *err) {
    FANIN_TRY(fanin_weights_open(path, file, err));
    if (fanin_weights_count(*file) != 1)
        return fanin_err_set(err, FANIN_FORMAT, "%s: expected one array", path);
    *array = fanin_weights_at(*file, 0);
    if ((*array)->rank < 1 || (*array)->dims[0] < 1 ||
        !fanin__shape_count((*array)->dims, (*array)->rank, count) || *count == 0)
        return fanin_err_set(err, FANIN_SHAPE, "%s: expected at least one row", path);
    return FANIN_OK;
}

fanin_status fanin__data_arrays(const char *inputs, const char *targets, fanin_dataset *d,
                                fanin_err *err) {
    arrays *s = fanin_calloc(1, sizeof *s);
    if (!s) return FANIN_NOMEM;
    d->state = s;
    d->close = arrays_close;
    d->sample = array_sample;
    d->info.about = "arrays";
    const fanin_array *x = NULL, *t = NULL;
    size_t x_count, t_count;
    FANIN_TRY(open_one(inputs, &s->x, &x, &x_count, err));
    FANIN_TRY(open_one(targets, &s->t, &t, &t_count, err));
    if (x->dims[0] != t->dims[0])
        return fanin_err_set(err, FANIN_SHAPE, "%s has %lld rows, %s has %lld", inputs,
                             (long long)x->dims[0], targets, (long long)t->dims[0]);
    d->info.rank = x->rank - 1;
    memcpy(d->info.dims, x->dims + 1, sizeof d->info.dims - sizeof d->info.dims[0]);
    s->sample = x_count / (size_t)x->dims[0];
    d->info.target_count = (int64_t)(t_count / (size_t)t->dims[0]);
    d->info.train_count = d->info.test_count = (uint64_t)x->dims[0];
    FANIN_TRY(to_floats(inputs, x, x_count, &s->inputs, err));
    if (!fanin_dtype_is_float(t->dtype) && t->rank == 1)
        return to_classes(targets, t, t_count, s, &d->info.classes, err);
    float *values = NULL;
    fanin_status status = to_floats(targets, t, t_count, &values, err);
    s->targets = values;
    return status;
}
