/* reduce.c - sums and moments over arrays, rows, columns and channels, in double.
 *
 * A reduction is cut into leaves of fixed size whatever the number of threads; leaves are added in
 * order. Leaves of one long sum are kept in a buffer on the stack, a run of them at a time, so
 * nothing is allocated. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"

enum { LEAVES = 512, THREAD_MIN = 65536, COLUMNS = 256, ROW_LEAF = 256 };

/* ---- one long array -------------------------------------------------------------------- */

typedef struct leaves_job {
    const fanin__kernels *kernels;
    size_t n;
    const float *a, *b; /* b: dot */
    double sums[LEAVES];
} leaves_job;

static void leaves_range(void *arg, size_t begin, size_t end) {
    leaves_job *j = arg;
    for (size_t i = begin; i < end; i++) {
        size_t from = i * FANIN__SUM_BLOCK;
        size_t count = j->n - from < FANIN__SUM_BLOCK ? j->n - from : FANIN__SUM_BLOCK;
        double sums[2];
        if (j->b)
            sums[0] = j->kernels->dot(count, j->a + from, j->b + from);
        else
            j->kernels->moments(count, j->a + from, 0, sums);
        j->sums[i] = sums[0];
    }
}

static double reduce(size_t n, const float *a, const float *b) {
    leaves_job j;
    double total = 0;
    j.kernels = fanin__kernels_best();
    for (size_t from = 0; from < n; from += (size_t)LEAVES * FANIN__SUM_BLOCK) {
        j.n = n - from < (size_t)LEAVES * FANIN__SUM_BLOCK ? n - from
                                                           : (size_t)LEAVES * FANIN__SUM_BLOCK;
        j.a = a + from;
        j.b = b ? b + from : NULL;
        size_t count = (j.n + FANIN__SUM_BLOCK - 1) / FANIN__SUM_BLOCK;
        if (j.n < THREAD_MIN)
            leaves_range(&j, 0, count);
        else
            fanin_parallel_for(count, 1, leaves_range, &j);
        for (size_t i = 0; i < count; i++) total += j.sums[i];
    }
    return total;
}

double fanin__sum(size_t n, const float *x) { return reduce(n, x, NULL); }

double fanin__dot(size_t n, const float *a, const float *b) { return reduce(n, a, b); }

/* ---- over rows: a strip of columns at a time, rows in leaves of ROW_LEAF --------------------- */

typedef struct rows_job {
    const fanin__kernels *kernels;
    size_t rows, cols;
    const float *x;
    bool accumulate;
    float *out;
} rows_job;

static void strip_sum(const rows_job *j, size_t c, size_t width, double *total) {
    double leaf[COLUMNS];
    memset(total, 0, width * sizeof *total);
    for (size_t r0 = 0; r0 < j->rows; r0 += ROW_LEAF) {
        size_t r1 = j->rows - r0 < ROW_LEAF ? j->rows : r0 + ROW_LEAF;
        memset(leaf, 0, width * sizeof *leaf);
        for (size_t r = r0; r < r1; r++)
            j->kernels->add_to_double(width, j->x + r * j->cols + c, leaf);
        for (size_t i = 0; i < width; i++) total[i] += leaf[i];
    }
}

static void rows_range(void *arg, size_t begin, size_t end) {
    const rows_job *j = arg;
    double total[COLUMNS];
    for (size_t c = begin; c < end; c += COLUMNS) {
        size_t width = end - c < COLUMNS ? end - c : COLUMNS;
        strip_sum(j, c, width, total);
        for (size_t i = 0; i < width; i++)
            j->out[c + i] = (float)(j->accumulate ? (double)j->out[c + i] + total[i] : total[i]);
    }
}

void fanin__sum_rows(size_t rows, size_t cols, const float *x, bool accumulate, float *out) {
    rows_job j = {fanin__kernels_best(), rows, cols, x, accumulate, out};
    if (rows * cols < THREAD_MIN)
        rows_range(&j, 0, cols);
    else
        fanin_parallel_for(cols, 32, rows_range, &j);
}

/* ---- over contiguous runs -------------------------------------------------------------- */

typedef struct runs_job {
    const fanin__kernels *kernels;
    size_t n, channels, spatial;
    const float *x;
    bool accumulate;
    float *out, *mean, *var;
} runs_job;

static double channel_pass(const runs_job *j, size_t c, double shift, int which) {
    double total = 0;
    for (size_t i = 0; i < j->n; i++) {
        double sums[2];
        j->kernels->moments(j->spatial, j->x + (i * j->channels + c) * j->spatial, shift, sums);
        total += sums[which];
    }
    return total;
}

static void channel_sums(void *arg, size_t begin, size_t end) {
    const runs_job *j = arg;
    for (size_t c = begin; c < end; c++) {
        double total = channel_pass(j, c, 0, 0);
        j->out[c] = (float)(j->accumulate ? (double)j->out[c] + total : total);
    }
}

void fanin__sum_channels(size_t n, size_t channels, size_t spatial, const float *x, bool accumulate,
                         float *out) {
    runs_job j = {.kernels = fanin__kernels_best(),
                  .n = n,
                  .channels = channels,
                  .spatial = spatial,
                  .x = x,
                  .accumulate = accumulate,
                  .out = out};
    if (spatial == 1 && n > 1)
        fanin__sum_rows(n, channels, x, accumulate, out);
    else if (n * channels * spatial < THREAD_MIN)
        channel_sums(&j, 0, channels);
    else
        fanin_parallel_for(channels, 1, channel_sums, &j);
}

void fanin__sum_columns(size_t rows, size_t cols, const float *x, bool accumulate, float *out) {
    fanin__sum_channels(1, rows, cols, x, accumulate, out);
}

static void channel_moments(void *arg, size_t begin, size_t end) {
    const runs_job *j = arg;
    double count = (double)(j->n * j->spatial);
    for (size_t c = begin; c < end; c++) {
        double mean = channel_pass(j, c, 0, 0) / count;
        j->mean[c] = (float)mean;
        if (j->var) j->var[c] = (float)(channel_pass(j, c, mean, 1) / count);
    }
}

void fanin__moments_channels(size_t n, size_t channels, size_t spatial, const float *x, float *mean,
                             float *var) {
    runs_job j = {.kernels = fanin__kernels_best(),
                  .n = n,
                  .channels = channels,
                  .spatial = spatial,
                  .x = x,
                  .mean = mean,
                  .var = var};
    if (n * channels * spatial < THREAD_MIN)
        channel_moments(&j, 0, channels);
    else
        fanin_parallel_for(channels, 1, channel_moments, &j);
}
