/* rows.c - softmax: each row alone, rows over the threads. A row's sums are those of the kernel table, in double. */
#include "compute/compute.h"

enum { THREAD_MIN = 16384 };

typedef struct job {
    const fanin__kernels *kernels;
    size_t cols;
    const float *x, *y, *dy;
    float *out;
} job;

static void over_rows(size_t rows, size_t cols, fanin_range_fn body, job *j) {
    j->kernels = fanin__kernels_best();
    j->cols = cols;
    if (rows == 0 || cols == 0) return;
    if (rows * cols < THREAD_MIN)
        body(j, 0, rows);
    else
        fanin_parallel_for(rows, THREAD_MIN / 4 / cols + 1, body, j);
}

static void softmax_rows(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    for (size_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->cols;
        float *y = j->out + r * j->cols;
        double sum = j->kernels->exp_sum(j->cols, x, j->kernels->max(j->cols, x), y);
        float inverse = (float)(1 / sum);
        j->kernels->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](j->cols, y, &inverse, y);
    }
}

void fanin__softmax(size_t rows, size_t cols, const float *x, float *y) {
    job j = {.x = x, .out = y};
    over_rows(rows, cols, softmax_rows, &j);
}

static void softmax_back_rows(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    for (size_t r = begin; r < end; r++) {
        const float *y = j->y + r * j->cols, *dy = j->dy + r * j->cols;
        float *dx = j->out + r * j->cols;
        float minus = (float)-j->kernels->dot(j->cols, y, dy);
        j->kernels->binary[FANIN__BINARY_ADD][FANIN__FORM_VS](j->cols, dy, &minus, dx);
        j->kernels->binary[FANIN__BINARY_MUL][FANIN__FORM_VV](j->cols, dx, y, dx);
    }
}

void fanin__softmax_backward(size_t rows, size_t cols, const float *y, const float *dy, float *dx) {
    job j = {.y = y, .dy = dy, .out = dx};
    over_rows(rows, cols, softmax_back_rows, &j);
}
