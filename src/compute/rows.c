/* rows.c - softmax, cross entropy and layer norm: each row alone, rows over the threads.
 * Statistics of a row are sums in double of the kernel table. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"

enum { THREAD_MIN = 16384, STRIP = 128 };

typedef struct job {
    const fanin__kernels *kernels;
    size_t cols;
    const float *x, *y, *dy, *gamma, *beta, *mean, *rstd;
    const int64_t *target;
    float scale, eps;
    float *out, *loss, *mean_out, *rstd_out;
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

/* out = scale * x + shift */
static void affine(const fanin__kernels *k, size_t n, const float *x, float scale, float shift,
                   float *out) {
    k->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](n, x, &scale, out);
    k->binary[FANIN__BINARY_ADD][FANIN__FORM_VS](n, out, &shift, out);
}

/* ---- softmax --------------------------------------------------------------------------- */

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

/* log sum exp(x - most); a strip of exponentials is thrown away. */
static double log_sum(const job *j, const float *x, float most) {
    float strip[STRIP];
    double sum = 0;
    for (size_t c = 0; c < j->cols; c += STRIP)
        sum += j->kernels->exp_sum(j->cols - c < STRIP ? j->cols - c : STRIP, x + c, most, strip);
    return log(sum);
}

static void log_softmax_rows(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    for (size_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->cols;
        float most = j->kernels->max(j->cols, x), minus = -most;
        float *y = j->out + r * j->cols, shift = (float)-log_sum(j, x, most);
        /* Two steps: most may be large, and most + log sum would lose the small part. */
        j->kernels->binary[FANIN__BINARY_ADD][FANIN__FORM_VS](j->cols, x, &minus, y);
        j->kernels->binary[FANIN__BINARY_ADD][FANIN__FORM_VS](j->cols, y, &shift, y);
    }
}

void fanin__log_softmax(size_t rows, size_t cols, const float *x, float *y) {
    job j = {.x = x, .out = y};
    over_rows(rows, cols, log_softmax_rows, &j);
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

static void log_softmax_back_rows(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    for (size_t r = begin; r < end; r++) {
        const float *y = j->y + r * j->cols, *dy = j->dy + r * j->cols;
        float *dx = j->out + r * j->cols, strip[STRIP];
        double sums[2];
        j->kernels->moments(j->cols, dy, 0, sums);
        float minus = (float)-sums[0];
        for (size_t c = 0; c < j->cols; c += STRIP) {
            size_t n = j->cols - c < STRIP ? j->cols - c : STRIP;
            j->kernels->unary[FANIN__UNARY_EXP](n, y + c, strip);
            j->kernels->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](n, strip, &minus, strip);
            j->kernels->binary[FANIN__BINARY_ADD][FANIN__FORM_VV](n, dy + c, strip, dx + c);
        }
    }
}

void fanin__log_softmax_backward(size_t rows, size_t cols, const float *y, const float *dy,
                                 float *dx) {
    job j = {.y = y, .dy = dy, .out = dx};
    over_rows(rows, cols, log_softmax_back_rows, &j);
}

/* ---- softmax with cross entropy -------------------------------------------------------- */

static void cross_entropy_row(const job *j, size_t r) {
    const float *x = j->x + r * j->cols;
    float *dx = j->out ? j->out + r * j->cols : NULL;
    int64_t t = j->target[r];
    if (t < 0 || (uint64_t)t >= j->cols) {
        if (j->loss) j->loss[r] = 0;
        if (dx) memset(dx, 0, j->cols * sizeof *dx);
        return;
    }
    float most = j->kernels->max(j->cols, x), at = x[t];
    double sum;
    if (dx) {
        sum = j->kernels->exp_sum(j->cols, x, most, dx);
        float gain = (float)((double)j->scale / sum);
        j->kernels->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](j->cols, dx, &gain, dx);
        dx[t] -= j->scale;
        sum = log(sum);
    } else
        sum = log_sum(j, x, most);
    if (j->loss) j->loss[r] = (float)(sum - ((double)at - (double)most));
}

static void cross_entropy_rows(void *arg, size_t begin, size_t end) {
    for (size_t r = begin; r < end; r++) cross_entropy_row(arg, r);
}

void fanin__cross_entropy(size_t rows, size_t cols, const float *x, const int64_t *target,
                          float scale, float *loss, float *dx) {
    job j = {.x = x, .target = target, .scale = scale, .loss = loss, .out = dx};
    over_rows(rows, cols, cross_entropy_rows, &j);
}

/* ---- layer norm ------------------------------------------------------------------------ */

static void layer_norm_rows(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    const fanin__kernels *k = j->kernels;
    for (size_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->cols;
        float *y = j->out + r * j->cols;
        double sums[2];
        k->moments(j->cols, x, 0, sums);
        double mean = sums[0] / (double)j->cols;
        k->moments(j->cols, x, mean, sums);
        double rstd = 1 / sqrt(sums[1] / (double)j->cols + (double)j->eps);
        float minus = (float)-mean, gain = (float)rstd;
        k->binary[FANIN__BINARY_ADD][FANIN__FORM_VS](j->cols, x, &minus, y);
        k->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](j->cols, y, &gain, y);
        if (j->gamma) k->binary[FANIN__BINARY_MUL][FANIN__FORM_VV](j->cols, y, j->gamma, y);
        if (j->beta) k->binary[FANIN__BINARY_ADD][FANIN__FORM_VV](j->cols, y, j->beta, y);
        if (j->mean_out) j->mean_out[r] = (float)mean;
        if (j->rstd_out) j->rstd_out[r] = gain;
    }
}

void fanin__layer_norm(size_t rows, size_t cols, const float *x, const float *gamma,
                       const float *beta, float eps, float *y, float *mean, float *rstd) {
    job j = {.x = x,
             .gamma = gamma,
             .beta = beta,
             .eps = eps,
             .out = y,
             .mean_out = mean,
             .rstd_out = rstd};
    over_rows(rows, cols, layer_norm_rows, &j);
}

/* With h = (x - mean) rstd and g = dy gamma: dx = rstd (g - mean(g) - h mean(g h)), which is
 * rstd g - a x + (a mean - rstd mean(g)), a = rstd^2 mean(g h). */
static void layer_norm_dx_rows(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    const fanin__kernels *k = j->kernels;
    for (size_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->cols, *dy = j->dy + r * j->cols;
        double sum_g = 0, sum_gh = 0;
        float g[STRIP], h[STRIP];
        for (int pass = 0; pass < 2; pass++) {
            float mean_g = (float)(sum_g / (double)j->cols);
            float mean_gh = (float)(sum_gh / (double)j->cols);
            for (size_t c = 0; c < j->cols; c += STRIP) {
                size_t n = j->cols - c < STRIP ? j->cols - c : STRIP;
                affine(k, n, x + c, 1, -j->mean[r], h);
                k->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](n, h, &j->rstd[r], h);
                if (j->gamma)
                    k->binary[FANIN__BINARY_MUL][FANIN__FORM_VV](n, dy + c, j->gamma + c, g);
                else
                    memcpy(g, dy + c, n * sizeof *g);
                if (pass == 0) {
                    double sums[2];
                    k->moments(n, g, 0, sums);
                    sum_g += sums[0];
                    sum_gh += k->dot(n, g, h);
                    continue;
                }
                for (size_t i = 0; i < n; i++)
                    j->out[r * j->cols + c + i] = j->rstd[r] * ((g[i] - mean_g) - h[i] * mean_gh);
            }
        }
    }
}

/* Columns begin..end: sum over rows of dy h and of dy, rows in order. */
static void layer_norm_columns(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    const fanin__kernels *k = j->kernels;
    size_t rows = (size_t)j->target[0];
    for (size_t c = begin; c < end; c += STRIP) {
        size_t n = end - c < STRIP ? end - c : STRIP;
        double dgamma[STRIP] = {0}, dbeta[STRIP] = {0};
        for (size_t r = 0; r < rows; r++) {
            float h[STRIP];
            affine(k, n, j->x + r * j->cols + c, 1, -j->mean[r], h);
            k->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](n, h, &j->rstd[r], h);
            k->add_product_to_double(n, h, j->dy + r * j->cols + c, dgamma);
            k->add_to_double(n, j->dy + r * j->cols + c, dbeta);
        }
        for (size_t i = 0; i < n; i++) {
            if (j->mean_out) j->mean_out[c + i] = (float)dgamma[i];
            if (j->rstd_out) j->rstd_out[c + i] = (float)dbeta[i];
        }
    }
}

void fanin__layer_norm_backward(size_t rows, size_t cols, const float *x, const float *dy,
                                const float *gamma, const float *mean, const float *rstd, float *dx,
                                float *dgamma, float *dbeta) {
    int64_t count = (int64_t)rows;
    job j = {.kernels = fanin__kernels_best(),
             .cols = cols,
             .x = x,
             .dy = dy,
             .gamma = gamma,
             .mean = mean,
             .rstd = rstd,
             .target = &count,
             .out = dx,
             .mean_out = dgamma,
             .rstd_out = dbeta};
    /* Parameters first: dx may be dy. */
    if (dgamma || dbeta) {
        if (rows * cols < THREAD_MIN)
            layer_norm_columns(&j, 0, cols);
        else
            fanin_parallel_for(cols, 64, layer_norm_columns, &j);
    }
    if (dx) over_rows(rows, cols, layer_norm_dx_rows, &j);
}
