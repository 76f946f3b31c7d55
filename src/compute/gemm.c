/* gemm.c - the table's product over threads, and products with the replica innermost. */
#include "compute/compute.h"

/* A second thread pays from about 2 Mflop on: 20 us of one core against the pool's start. */
static const double thread_flops = 4e6;

typedef struct job {
    const fanin__kernels *kernels;
    fanin__gemm_args g;
} job;

static void columns(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    fanin__gemm_args g = j->g;
    g.n = end - begin;
    if (g.n_all == 0) g.n_all = j->g.n;
    g.b += begin * g.b_col;
    g.c += begin;
    j->kernels->gemm(&g);
}

static void rows(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    fanin__gemm_args g = j->g;
    g.m = end - begin;
    g.a += begin * g.a_row;
    g.c += begin * g.c_row;
    j->kernels->gemm(&g);
}

void fanin__gemm(const fanin__gemm_args *g) {
    job j = {fanin__kernels_best(), *g};
    double flops = 2.0 * (double)g->m * (double)g->n * (double)g->k;
    if (flops < thread_flops)
        j.kernels->gemm(g);
    else if (g->b_col == 1 && g->m >= 4 * g->k && g->m >= 112)
        fanin_parallel_for(g->m, 28, rows, &j); /* C is what is large: whole rows of it */
    else
        fanin_parallel_for(g->n, 32, columns, &j);
}

/* ---- lanes ----------------------------------------------------------------------------- */

enum { LANES = 64 };

typedef struct lanes_job {
    fanin__gemm_args g;
    size_t lanes;
} lanes_job;

static void lanes_element(const lanes_job *j, size_t m, size_t n, size_t from, size_t count) {
    const fanin__gemm_args *g = &j->g;
    float acc[LANES] = {0};
    for (size_t k = 0; k < g->k; k++) {
        const float *a = g->a + (m * g->a_row + k * g->a_col) * j->lanes + from;
        const float *b = g->b + (k * g->b_row + n * g->b_col) * j->lanes + from;
        for (size_t i = 0; i < count; i++) acc[i] += a[i] * b[i];
    }
    float *c = g->c + (m * g->c_row + n) * j->lanes + from;
    if (g->beta == 0)
        for (size_t i = 0; i < count; i++) c[i] = g->alpha * acc[i];
    else
        for (size_t i = 0; i < count; i++) c[i] = g->alpha * acc[i] + g->beta * c[i];
}

static void lanes_range(void *arg, size_t begin, size_t end) {
    const lanes_job *j = arg;
    for (size_t from = begin; from < end; from += LANES) {
        size_t count = end - from < LANES ? end - from : LANES;
        for (size_t m = 0; m < j->g.m; m++)
            for (size_t n = 0; n < j->g.n; n++) lanes_element(j, m, n, from, count);
    }
}

void fanin__gemm_lanes(const fanin__gemm_args *g, size_t lanes) {
    lanes_job j = {*g, lanes};
    double flops = 2.0 * (double)g->m * (double)g->n * (double)g->k * (double)lanes;
    if (flops < thread_flops / 8)
        lanes_range(&j, 0, lanes);
    else
        fanin_parallel_for(lanes, LANES, lanes_range, &j);
}
