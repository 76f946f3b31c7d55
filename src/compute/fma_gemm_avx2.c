/* fma_gemm_avx2.c - the tile in four quarters of 6 x 16: 12 accumulators of 8 floats each. */
#include "compute/fma_gemm.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 6")
#endif

enum { ROWS = 6 };

static inline __attribute__((always_inline)) void
chain(const bool subtract, size_t k, const float *a, const float *b, __m256 acc[ROWS][2]) {
    for (; k > 0; k--, a += FANIN__FMA_ROWS, b += FANIN__FMA_COLS) {
        const __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
        UNROLL for (int i = 0; i < ROWS; i++) {
            const __m256 v = _mm256_set1_ps(a[i]);
            acc[i][0] =
                subtract ? _mm256_fnmadd_ps(v, b0, acc[i][0]) : _mm256_fmadd_ps(v, b0, acc[i][0]);
            acc[i][1] =
                subtract ? _mm256_fnmadd_ps(v, b1, acc[i][1]) : _mm256_fmadd_ps(v, b1, acc[i][1]);
        }
    }
}

static void quarter(size_t k, const float *a, const float *b, float *c, size_t c_row,
                    fanin__fma_mode mode) {
    __m256 acc[ROWS][2];
    if (mode == FANIN__FMA_SET) {
        UNROLL for (int i = 0; i < ROWS; i++) acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    } else {
        UNROLL for (int i = 0; i < ROWS; i++) {
            acc[i][0] = _mm256_load_ps(c + (size_t)i * c_row);
            acc[i][1] = _mm256_load_ps(c + (size_t)i * c_row + 8);
        }
    }
    if (mode == FANIN__FMA_SUB)
        chain(true, k, a, b, acc);
    else
        chain(false, k, a, b, acc);
    UNROLL for (int i = 0; i < ROWS; i++) {
        _mm256_store_ps(c + (size_t)i * c_row, acc[i][0]);
        _mm256_store_ps(c + (size_t)i * c_row + 8, acc[i][1]);
    }
}

void fanin__fma_tile_avx2(size_t k, const float *a, const float *b, float *c, size_t c_row,
                          fanin__fma_mode mode) {
    quarter(k, a, b, c, c_row, mode);
    quarter(k, a, b + 16, c + 16, c_row, mode);
    quarter(k, a + ROWS, b, c + ROWS * c_row, c_row, mode);
    quarter(k, a + ROWS, b + 16, c + ROWS * c_row + 16, c_row, mode);
}
#else
typedef int fanin__fma_gemm_avx2_is_empty;
#endif
