/* compute/fma_gemm.h - the fixed-order product: every element is one chain of correctly rounded
 *
 *     c = fma(a[i][k], b[k][j], c),   k = 0, 1, 2, ...
 *
 * and nothing else, so blocking, threads and instruction sets cannot change a bit. (fanin__gemm in
 * compute.h is the engine's product: faster on odd shapes, its sums cut and folded.) */
#ifndef FANIN_SRC_COMPUTE_FMA_GEMM_H
#define FANIN_SRC_COMPUTE_FMA_GEMM_H

#include "base/base.h"

/* One tile of C is 12 x 32 (24 accumulators of 16 floats fill the AVX-512 registers). `a` is packed
 * [k][12], `b` [k][32], c row-major with c_row floats a row. Packed rows and columns beyond the edge
 * are zeros; the tile is always computed whole. */
enum { FANIN__FMA_ROWS = 12, FANIN__FMA_COLS = 32 };

typedef enum fanin__fma_mode {
    FANIN__FMA_SET, /* the chain starts at 0 */
    FANIN__FMA_ADD, /* at c */
    FANIN__FMA_SUB  /* at c, with -a */
} fanin__fma_mode;

typedef void (*fanin__fma_tile)(size_t k, const float *a, const float *b, float *c, size_t c_row,
                                fanin__fma_mode mode);

/* b and c aligned to 64 bytes, c_row a multiple of 16. */
void fanin__fma_tile_ref(size_t k, const float *a, const float *b, float *c, size_t c_row,
                         fanin__fma_mode mode);
void fanin__fma_tile_avx2(size_t k, const float *a, const float *b, float *c, size_t c_row,
                          fanin__fma_mode mode);
void fanin__fma_tile_avx512(size_t k, const float *a, const float *b, float *c, size_t c_row,
                            fanin__fma_mode mode);
/* The widest that runs here (fanin_cpu_level). */
fanin__fma_tile fanin__fma_tile_select(void);

/* C = A B (SET), C + A B (ADD), C - A B (SUB); C is m x n, A m x k, B k x n, element (i, j) of X at
 * x[i * x_row + j * x_col]. C overlaps neither. Runs on fanin_parallel_for. NOMEM. */
typedef struct fanin__fma_gemm_args {
    size_t m, n, k;
    const float *a, *b;
    size_t a_row, a_col, b_row, b_col;
    float *c;
    size_t c_row, c_col;
    fanin__fma_mode mode;
} fanin__fma_gemm_args;

fanin_status fanin__fma_gemm_f32(const fanin__fma_gemm_args *g);

#endif
