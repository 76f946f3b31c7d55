/* columns.c - batch norm's passes over images whose channels are innermost: rows x channels.
 *
 * Sums run over rows in a number of leaves that depends on the number of rows only, in double;
 * leaves are added in order: same bits for any number of threads. */
#include <string.h>

#include "compute/compute.h"

enum { LEAVES = 32, LEAF_MIN = 64, GRAIN = 16384 };

typedef struct job {
    const fanin__kernels *kernels;
    size_t rows, cols, leaf;
    const float *x, *g, *mean, *factor, *slope, *shift;
    bool relu;
    double *work;
    float *out;
} job;

static size_t leaf_rows(size_t rows) {
    size_t leaf = (rows + LEAVES - 1) / LEAVES;
    return leaf < LEAF_MIN ? LEAF_MIN : leaf;
}

size_t fanin__column_work(size_t rows, size_t cols) {
    size_t leaf = leaf_rows(rows), leaves = rows / leaf + (rows % leaf != 0);
    return 2 * cols * (leaves ? leaves : 1);
}

static void leaves_range(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    for (size_t i = begin; i < end; i++) {
        size_t from = i * j->leaf, count = j->rows - from < j->leaf ? j->rows - from : j->leaf;
        double *sums = j->work + 2 * j->cols * i;
        memset(sums, 0, 2 * j->cols * sizeof *sums);
        const float *x = j->x + from * j->cols;
        if (j->g)
            j->kernels->column_products(count, j->cols, x, j->g + from * j->cols, j->shift, sums,
                                        sums + j->cols);
        else
            j->kernels->column_moments(count, j->cols, x, j->shift, sums, sums + j->cols);
    }
}

/* The sums of both kinds end up in the first leaf. */
static void sum_leaves(job *j) {
    j->kernels = fanin__kernels_best();
    j->leaf = leaf_rows(j->rows);
    size_t leaves = j->rows / j->leaf + (j->rows % j->leaf != 0), n = 2 * j->cols;
    if (leaves == 0) memset(j->work, 0, n * sizeof *j->work);
    if (j->rows * j->cols < GRAIN)
        leaves_range(j, 0, leaves);
    else
        fanin_parallel_for(leaves, 1, leaves_range, j);
    for (size_t i = 1; i < leaves; i++)
        for (size_t c = 0; c < n; c++) j->work[c] += j->work[i * n + c];
}

void fanin__column_moments(size_t rows, size_t cols, const float *x, double *work, float *mean,
                           float *var) {
    job j = {.rows = rows, .cols = cols, .x = x, .shift = x, .work = work};
    sum_leaves(&j);
    for (size_t c = 0; c < cols; c++) {
        double d = work[c] / (double)rows, square = work[cols + c] / (double)rows;
        double v = square - d * d;
        mean[c] = (float)((double)x[c] + d);
        var[c] = (float)(v < 0 ? 0 : v);
    }
}

void fanin__column_products(size_t rows, size_t cols, const float *x, const float *g,
                            const float *shift, double *work, double **sum, double **product) {
    job j = {.rows = rows, .cols = cols, .x = x, .g = g, .shift = shift, .work = work};
    sum_leaves(&j);
    *sum = work;
    *product = work + cols;
}

static void affine_range(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    size_t at = begin * j->cols;
    j->kernels->column_affine(end - begin, j->cols, j->x + at, j->mean, j->factor, j->shift,
                              j->relu, j->out + at);
}

void fanin__column_affine(size_t rows, size_t cols, const float *x, const float *mean,
                          const float *factor, const float *shift, bool relu, float *out) {
    job j = {.kernels = fanin__kernels_best(),
             .cols = cols,
             .x = x,
             .mean = mean,
             .factor = factor,
             .shift = shift,
             .relu = relu,
             .out = out};
    if (cols) fanin_parallel_for(rows, GRAIN / cols + 1, affine_range, &j);
}

static void blend_range(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    size_t at = begin * j->cols;
    j->kernels->column_blend(end - begin, j->cols, j->g + at, j->factor, j->x + at, j->mean,
                             j->slope, j->shift, j->out + at);
}

void fanin__column_blend(size_t rows, size_t cols, const float *g, const float *factor,
                         const float *x, const float *mean, const float *slope, const float *shift,
                         float *out) {
    job j = {.kernels = fanin__kernels_best(),
             .cols = cols,
             .x = x,
             .g = g,
             .mean = mean,
             .factor = factor,
             .slope = slope,
             .shift = shift,
             .out = out};
    if (cols) fanin_parallel_for(rows, GRAIN / cols + 1, blend_range, &j);
}
