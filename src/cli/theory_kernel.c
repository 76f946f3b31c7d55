#include "theory_kernel.h"

#include <fanin/compute.h>
#include <fanin/data.h>
#include <fanin/format.h>
#include <math.h>
#include <string.h>

#include "cli.h"

/* A split in memory: inputs as they are, targets as numbers (classes: 1 - 1/k and -1/k). */
typedef struct split {
    size_t n, width, outputs;
    float *x;
    double *y;
    void *raw; /* targets as the data set gives them */
} split;

static size_t width_of(const fanin_dataset_info *info) {
    size_t width = 1;
    for (int i = 0; i < info->rank; i++) width *= (size_t)info->dims[i];
    return width;
}

static void split_free(split *s) {
    fanin_free(s->x);
    fanin_free(s->y);
    fanin_free(s->raw);
}

static void encode(const fanin_dataset_info *info, split *s) {
    for (size_t i = 0; i < s->n; i++)
        for (size_t o = 0; o < s->outputs; o++) {
            double *y = &s->y[i * s->outputs + o];
            if (info->classes)
                *y = (((int64_t *)s->raw)[i] == (int64_t)o) - 1.0 / info->classes;
            else
                *y = (double)((float *)s->raw)[i * s->outputs + o];
        }
}

static fanin_status split_read(const fanin_dataset *d, fanin_split which, size_t most, split *s,
                               fanin_err *err) {
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    uint64_t count = which == FANIN_TRAIN ? info->train_count : info->test_count;
    s->n = count && count < most ? (size_t)count : most;
    s->width = width_of(info);
    s->outputs = info->classes ? (size_t)info->classes : (size_t)info->target_count;
    s->x = fanin_malloc(s->n * s->width * sizeof *s->x);
    s->y = fanin_malloc(s->n * s->outputs * sizeof *s->y);
    s->raw = fanin_malloc(s->n * (size_t)info->target_count * sizeof(int64_t));
    uint64_t *index = fanin_malloc(s->n * sizeof *index);
    fanin_status status = FANIN_NOMEM;
    if (s->x && s->y && s->raw && index) {
        for (size_t i = 0; i < s->n; i++) index[i] = i;
        status = fanin_dataset_samples(d, which, index, s->n, s->x, s->raw, err);
        if (status == FANIN_OK) encode(info, s);
    } else {
        fanin_err_set(err, status, "kernel of %zu samples: no memory", s->n);
    }
    fanin_free(index);
    return status;
}

static fanin_status save(const char *path, const float *v, size_t rows, size_t columns,
                         fanin_err *err) {
    fanin_array a = {.name = "",
                     .dtype = FANIN_F32,
                     .rank = 2,
                     .dims = {(int64_t)rows, (int64_t)columns},
                     .data = (void *)(uintptr_t)v,
                     .size = rows * columns * sizeof *v};
    return fanin_npy_save(path, &a, err);
}

static size_t largest(const double *v, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return best;
}

static void score(const char *name, const split *s, const double *f, bool classes, json_t *o) {
    double square = 0;
    size_t right = 0;
    char key[40];
    for (size_t i = 0; i < s->n; i++) {
        const double *got = f + i * s->outputs, *want = s->y + i * s->outputs;
        for (size_t k = 0; k < s->outputs; k++) square += (got[k] - want[k]) * (got[k] - want[k]);
        right += largest(got, s->outputs) == largest(want, s->outputs);
    }
    snprintf(key, sizeof key, "%s_mse", name);
    json_object_set_new(o, key, cli_number(square / (double)(s->n * s->outputs)));
    snprintf(key, sizeof key, "%s_accuracy", name);
    json_object_set_new(o, key, cli_number(classes ? (double)right / (double)s->n : NAN));
}

/* Both kernels in double, the decomposition, and f on both splits. */
static fanin_status predict(const theory_kernel *k, const split *train, const split *test,
                            bool classes, const float *matrix, json_t *o, fanin_err *err) {
    size_t n = train->n, m = test->n, c = train->outputs, rows = n + m;
    double *a = fanin_malloc(n * n * sizeof *a), *b = fanin_malloc(rows * n * sizeof *b);
    double *f = fanin_malloc(rows * c * sizeof *f);
    float *cross = fanin_malloc((m * n > m * c ? m * n : m * c) * sizeof *cross);
    fanin_status status = FANIN_NOMEM;
    if (a && b && f && cross)
        status = fanin_kernel_matrix_f32(k->act, &k->set, test->x, m, train->x, n, train->width,
                                         cross, err);
    else
        fanin_err_set(err, status, "regression on %zu samples: no memory", n);
    if (status == FANIN_OK) {
        for (size_t i = 0; i < n * n; i++) b[i] = a[i] = (double)matrix[i];
        for (size_t i = 0; i < m * n; i++) b[n * n + i] = (double)cross[i];
        /* Eigenvalues below the rounding of the float matrix are noise. */
        status = fanin_kernel_flow(a, n, b, rows, train->y, c, 1, k->time, 1e-7, fanin_lapack_eigen,
                                   NULL, f, err);
    }
    if (status == FANIN_OK) {
        score("train", train, f, classes, o);
        score("test", test, f + n * c, classes, o);
        for (size_t i = 0; i < m * c; i++) cross[i] = (float)f[n * c + i];
        status = save(k->predict, cross, m, c, err);
    }
    fanin_free(a);
    fanin_free(b);
    fanin_free(f);
    fanin_free(cross);
    return status;
}

static fanin_status with_data(const theory_kernel *k, const fanin_dataset *d, json_t *o,
                              fanin_err *err) {
    split train = {0}, test = {0};
    float *matrix = NULL;
    bool classes = fanin_dataset_get_info(d)->classes > 0;
    fanin_status status = split_read(d, FANIN_TRAIN, k->samples, &train, err);
    if (status == FANIN_OK && k->predict)
        status = split_read(d, FANIN_TEST, k->samples, &test, err);
    if (status == FANIN_OK && !(matrix = fanin_malloc(train.n * train.n * sizeof *matrix)))
        status = fanin_err_set(err, FANIN_NOMEM, "kernel of %zu samples: no memory", train.n);
    if (status == FANIN_OK)
        status = fanin_kernel_matrix_f32(k->act, &k->set, train.x, train.n, NULL, 0, train.width,
                                         matrix, err);
    if (status == FANIN_OK) status = save(k->matrix, matrix, train.n, train.n, err);
    json_object_set_new(o, "samples", json_integer((json_int_t)train.n));
    json_object_set_new(o, "path", cli_text(k->matrix));
    if (status == FANIN_OK && k->predict) {
        status = predict(k, &train, &test, classes, matrix, o, err);
        json_object_set_new(o, "test_samples", json_integer((json_int_t)test.n));
        json_object_set_new(o, "time", cli_number(k->time));
        json_object_set_new(o, "predictions", cli_text(k->predict));
    }
    fanin_free(matrix);
    split_free(&train);
    split_free(&test);
    return status;
}

fanin_status theory_kernel_run(const theory_kernel *k, json_t **report, fanin_err *err) {
    fanin_dataset *d = NULL;
    *report = NULL;
    fanin_status status = fanin_dataset_open(k->data, 0, &d, err);
    if (status != FANIN_OK) return status;
    json_t *o = json_object();
    json_object_set_new(o, "kind", cli_text(k->set.ntk ? "ntk" : "nngp"));
    json_object_set_new(o, "depth", json_integer(k->set.depth));
    status = with_data(k, d, o, err);
    fanin_dataset_close(d);
    if (status == FANIN_OK)
        *report = o;
    else
        json_decref(o);
    return status;
}
