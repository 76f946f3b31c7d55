/* gemm.c - the table's product over threads. */
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
