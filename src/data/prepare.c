#include "data/prepare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/compute.h"
#include "compute/eigen.h"

enum { ROWS_MAX = 10000, NUMBERS_MAX = 4096 };
typedef enum kind { CENTER, NORMALIZE, STANDARDIZE, PCA, ZCA } kind;

static const struct {
    const char *name, *takes;
} rows[] = {{"center", ""},
            {"normalize", ""},
            {"standardize", ""},
            {"pca", "keep=0,eps=0"},
            {"zca", "eps=0.01"}};

/* y = scale (x - mean), or y = matrix (x - mean). */
struct fanin__prepared {
    size_t in, out;
    float *mean, *scale; /* with a matrix, scale is matrix . mean */
    float *matrix;       /* out x in; NULL: by scale */
};

typedef struct settings {
    double keep, eps;
} settings;

void fanin__prepare_destroy(fanin__prepared *p) {
    if (!p) return;
    fanin_free(p->mean);
    fanin_free(p->scale);
    fanin_free(p->matrix);
    fanin_free(p);
}

static int find_kind(const char *text, size_t n) {
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (strlen(rows[i].name) == n && !strncmp(rows[i].name, text, n)) return (int)i;
    return -1;
}

const char *fanin__prepare_find(const char *text) {
    const char *plus = strrchr(text, '+');
    return plus && plus > text && find_kind(plus + 1, strcspn(plus + 1, ":")) >= 0 ? plus + 1
                                                                                   : NULL;
}

/* Rows of `out` are what a sample becomes: samples are columns of the product, whose numbers do not depend on how
 * many there are. */
static void rotate(const fanin__prepared *p, size_t n, const float *raw, float *x, float *scratch) {
    const fanin__gemm_args g = {.m = p->out,
                                .n = n,
                                .k = p->in,
                                .alpha = 1,
                                .a = p->matrix,
                                .a_row = p->in,
                                .a_col = 1,
                                .b = raw,
                                .b_row = 1,
                                .b_col = p->in,
                                .c = scratch,
                                .c_row = n,
                                .n_all = FANIN__PREPARE_BLOCK};
    fanin__kernels_best()->gemm(&g);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < p->out; k++) x[i * p->out + k] = scratch[k * n + i] - p->scale[k];
}

size_t fanin__prepare_scratch(const fanin__prepared *p) {
    return FANIN__PREPARE_BLOCK * (p->in + (p->matrix ? p->out : 0));
}

void fanin__prepare_apply(const fanin__prepared *p, size_t n, float *scratch, float *x) {
    const float *raw = scratch;
    if (p->matrix) {
        rotate(p, n, raw, x, scratch + FANIN__PREPARE_BLOCK * p->in);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < p->in; k++)
            x[i * p->in + k] = (raw[i * p->in + k] - p->mean[k]) * p->scale[k];
}

/* ---- what is learnt ------------------------------------------------------------------------------------ */

/* Row k of the sample that is learnt from: training rows by a fixed shuffle. */
static fanin_status raw_row(const fanin_dataset *d, uint64_t k, float *x, void *target,
                            fanin_err *err) {
    const fanin_stream s = fanin_stream_init(0, "data/prepare");
    uint64_t n = d->info.train_count, at = n ? fanin_stream_shuffle(&s, 0, n, k) : k;
    return fanin_dataset_samples(d, FANIN_TRAIN, &at, 1, x, target, err);
}

/* Rows x in of raw numbers. */
typedef struct sample {
    size_t rows, in;
    float *x;
} sample;

static fanin_status take_sample(const fanin_dataset *d, size_t in, sample *s, fanin_err *err) {
    uint64_t n = d->info.train_count;
    *s = (sample){.rows = n && n < ROWS_MAX ? (size_t)n : ROWS_MAX, .in = in};
    size_t count;
    void *target = fanin_calloc((size_t)d->info.target_count + 1, sizeof(int64_t));
    if (fanin__size_mul(s->rows, in, &count)) s->x = fanin_calloc(count + 1, sizeof *s->x);
    fanin_status status = s->x && target
                              ? FANIN_OK
                              : fanin_err_set(err, FANIN_NOMEM, "data set: no memory to prepare");
    for (size_t r = 0; r < s->rows && status == FANIN_OK; r++)
        status = raw_row(d, r, s->x + r * in, target, err);
    fanin_free(target);
    return status;
}

/* Means and variances by column, sums in double. */
static void column_moments(const sample *s, double *mean, double *variance) {
    double n = (double)s->rows;
    memset(mean, 0, s->in * sizeof *mean);
    memset(variance, 0, s->in * sizeof *variance);
    for (size_t r = 0; r < s->rows; r++)
        for (size_t i = 0; i < s->in; i++) mean[i] += (double)s->x[r * s->in + i] / n;
    for (size_t r = 0; r < s->rows; r++)
        for (size_t i = 0; i < s->in; i++) {
            double off = (double)s->x[r * s->in + i] - mean[i];
            variance[i] += off * off / n;
        }
}

/* One mean and variance for each run of `step` columns. */
static void pool(size_t in, size_t step, double *mean, double *variance) {
    for (size_t at = 0; at < in; at += step) {
        double m = 0, v = 0;
        for (size_t i = at; i < at + step; i++) m += mean[i] / (double)step;
        for (size_t i = at; i < at + step; i++)
            v += (variance[i] + (mean[i] - m) * (mean[i] - m)) / (double)step;
        for (size_t i = at; i < at + step; i++) {
            mean[i] = m;
            variance[i] = v;
        }
    }
}

/* Lower half of the covariance, a block of rows at a time; mirrored. */
static void covariance(const sample *s, const double *mean, double *c) {
    size_t n = s->in;
    memset(c, 0, n * n * sizeof *c);
    for (size_t r = 0; r < s->rows; r++) {
        const float *x = s->x + r * n;
        for (size_t i = 0; i < n; i++) {
            double off = ((double)x[i] - mean[i]) / (double)s->rows;
            for (size_t k = 0; k <= i; k++) c[i * n + k] += off * ((double)x[k] - mean[k]);
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) c[k * n + i] = c[i * n + k];
}

/* Rows of `axes` are eigenvectors; p->matrix becomes D^-1/2 E' (pca) or E D^-1/2 E' (zca). */
static void fill_matrix(fanin__prepared *p, kind k, const double *axes, const double *values,
                        double eps, const double *mean) {
    size_t n = p->in;
    double all = 0;
    for (size_t i = 0; i < n; i++) all += fmax(values[i], 0) / (double)n;
    for (size_t r = 0; r < p->out; r++) {
        double shift = 0;
        for (size_t c = 0; c < n; c++) {
            double v = 0;
            if (k == PCA) {
                v = axes[r * n + c] / sqrt(fmax(values[r], 0) + eps * all);
            } else {
                for (size_t j = 0; j < n; j++)
                    v += axes[j * n + r] * axes[j * n + c] / sqrt(fmax(values[j], 0) + eps * all);
            }
            p->matrix[r * n + c] = (float)v;
            shift += (double)p->matrix[r * n + c] * mean[c];
        }
        p->scale[r] = (float)shift;
    }
}

static fanin_status decorrelate(fanin__prepared *p, kind k, const settings *o, const sample *s,
                                const double *mean, fanin_err *err) {
    size_t n = s->in;
    double *c = fanin_calloc(n * n + n, sizeof *c), *values = c + n * n;
    if (!c) return fanin_err_set(err, FANIN_NOMEM, "data set: no memory to decorrelate");
    covariance(s, mean, c);
    fanin_status status = fanin__symmetric_eigen(n, c, values);
    if (status != FANIN_OK) fanin_err_set(err, status, "data set: its covariance has no axes");
    if (status == FANIN_OK) {
        size_t kept = 0; /* axes along which something varies */
        while (kept < n && values[kept] > 1e-12 * values[0] && values[0] > 0) kept++;
        if (k == PCA && o->eps > 0) kept = n;
        p->out = k == ZCA ? n : o->keep > 0 && o->keep < (double)kept ? (size_t)o->keep : kept;
        p->matrix = fanin_calloc(p->out * n + 1, sizeof *p->matrix);
        if (!p->matrix) status = fanin_err_set(err, FANIN_NOMEM, "data set: no memory to prepare");
        if (status == FANIN_OK && p->out == 0)
            status = fanin_err_set(err, FANIN_FORMAT, "data set: all training rows are the same");
    }
    if (status == FANIN_OK) fill_matrix(p, k, c, values, o->eps, mean);
    fanin_free(c);
    return status;
}

static fanin_status learn(fanin_dataset *d, fanin__prepared *p, kind k, const settings *o,
                          const sample *s, fanin_err *err) {
    double *mean = fanin_calloc(2 * s->in + 1, sizeof *mean), *variance = mean + s->in;
    p->mean = fanin_calloc(s->in + 1, sizeof *p->mean);
    p->scale = fanin_calloc(s->in + 1, sizeof *p->scale);
    fanin_status status = FANIN_OK;
    if (!mean || !p->mean || !p->scale) {
        fanin_free(mean);
        return fanin_err_set(err, FANIN_NOMEM, "data set: no memory to prepare");
    }
    column_moments(s, mean, variance);
    size_t channel = d->info.rank == 3 ? s->in / (size_t)d->info.dims[0] : s->in;
    if (k == NORMALIZE) pool(s->in, channel, mean, variance);
    for (size_t i = 0; i < s->in; i++) {
        bool one = k == CENTER || !(variance[i] > 0);
        p->mean[i] = (float)mean[i];
        p->scale[i] = one ? 1 : (float)(1 / sqrt(variance[i]));
    }
    if (k == NORMALIZE)
        snprintf(d->preprocessing, sizeof d->preprocessing,
                 "normalize, mean %.5g, std %.5g of %zu "
                 "training rows",
                 mean[0], sqrt(variance[0]), s->rows);
    if (k >= PCA) status = decorrelate(p, k, o, s, mean, err);
    fanin_free(mean);
    return status;
}

fanin_status fanin__prepare(fanin_dataset *d, const char *text, fanin_err *err) {
    static const fanin__option options[] = {
        {"keep", 1, NUMBERS_MAX, offsetof(settings, keep), true},
        FANIN__OPTION(settings, eps, 0, 1e6),
    };
    size_t n = strcspn(text, ":"), in = 1;
    int k = find_kind(text, n);
    settings o = {.keep = 0, .eps = k == ZCA ? 0.01 : 0};
    char what[48];
    const char *given;
    FANIN_TRY(fanin__options_of(text, n, &given, err));
    snprintf(what, sizeof what, "preparation %s", rows[k].name);
    FANIN_TRY(
        fanin__options_parse(what, rows[k].takes, given, options, FANIN_COUNT(options), &o, err));
    for (int i = 0; i < d->info.rank; i++) in *= (size_t)d->info.dims[i];
    if (k >= PCA && in > NUMBERS_MAX)
        return fanin_err_set(err, FANIN_LIMIT, "%s: %zu numbers a sample, expected at most %d",
                             what, in, NUMBERS_MAX);
    fanin__prepared *p = fanin_calloc(1, sizeof *p);
    if (!p) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", what);
    p->in = p->out = in;
    sample s;
    fanin_status status = take_sample(d, in, &s, err);
    snprintf(d->preprocessing, sizeof d->preprocessing, "%.60s, learnt from %zu training rows",
             text, s.rows);
    if (status == FANIN_OK) status = learn(d, p, (kind)k, &o, &s, err);
    fanin_free(s.x);
    if (status != FANIN_OK) {
        fanin__prepare_destroy(p);
        return status;
    }
    d->prepared = p;
    d->raw_size = in;
    if (k == PCA) {
        d->info.rank = 1;
        d->info.dims[0] = (int64_t)p->out;
    }
    return FANIN_OK;
}
