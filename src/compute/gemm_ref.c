/* gemm_ref.c - the small product for any processor: 32 columns at a time, each element one chain
 * of multiply and add in k order. */
#include <string.h>

#include "compute/variants.h"

enum { PANEL = 32, DEPTH = 128 };

static void row(const fanin__gemm_args *g, size_t m, size_t k0, size_t depth, const float *panel,
                size_t n, size_t cols) {
    float acc[PANEL] = {0};
    const float *a = g->a + m * g->a_row + k0 * g->a_col;
    for (size_t k = 0; k < depth; k++) {
        float x = a[k * g->a_col];
        for (size_t j = 0; j < PANEL; j++) acc[j] += x * panel[k * PANEL + j];
    }
    float *c = g->c + m * g->c_row + n;
    float beta = k0 == 0 ? g->beta : 1;
    for (size_t j = 0; j < cols; j++)
        c[j] = beta == 0 ? g->alpha * acc[j] : g->alpha * acc[j] + beta * c[j];
}

static void block(const fanin__gemm_args *g, size_t k0, size_t depth) {
    float panel[DEPTH * PANEL];
    for (size_t n = 0; n < g->n; n += PANEL) {
        size_t cols = g->n - n < PANEL ? g->n - n : PANEL;
        memset(panel, 0, sizeof panel);
        for (size_t k = 0; k < depth; k++)
            for (size_t j = 0; j < cols; j++)
                panel[k * PANEL + j] = g->b[(k0 + k) * g->b_row + (n + j) * g->b_col];
        for (size_t m = 0; m < g->m; m++) row(g, m, k0, depth, panel, n, cols);
    }
}

void fanin__gemm_ref(const fanin__gemm_args *g) {
    if (g->k == 0)
        for (size_t m = 0; m < g->m; m++)
            for (size_t n = 0; n < g->n; n++) {
                float *c = &g->c[m * g->c_row + n];
                *c = g->beta == 0 ? 0 : g->beta * *c;
            }
    for (size_t k = 0; k < g->k; k += DEPTH) block(g, k, g->k - k < DEPTH ? g->k - k : DEPTH);
}
