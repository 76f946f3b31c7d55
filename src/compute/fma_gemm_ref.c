/* fma_gemm_ref.c - the tile in plain C: what the others must equal bit for bit. */
#include <math.h>

#include "compute/fma_gemm.h"

void fanin__fma_tile_ref(size_t k, const float *a, const float *b, float *c, size_t c_row,
                         fanin__fma_mode mode) {
    float acc[FANIN__FMA_ROWS][FANIN__FMA_COLS];
    const float sign = mode == FANIN__FMA_SUB ? -1.0f : 1.0f;
    for (size_t i = 0; i < FANIN__FMA_ROWS; i++)
        for (size_t j = 0; j < FANIN__FMA_COLS; j++)
            acc[i][j] = mode == FANIN__FMA_SET ? 0.0f : c[i * c_row + j];
    for (; k > 0; k--, a += FANIN__FMA_ROWS, b += FANIN__FMA_COLS)
        for (size_t i = 0; i < FANIN__FMA_ROWS; i++)
            for (size_t j = 0; j < FANIN__FMA_COLS; j++)
                acc[i][j] = fmaf(sign * a[i], b[j], acc[i][j]);
    for (size_t i = 0; i < FANIN__FMA_ROWS; i++)
        for (size_t j = 0; j < FANIN__FMA_COLS; j++) c[i * c_row + j] = acc[i][j];
}
