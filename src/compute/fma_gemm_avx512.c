/* fma_gemm_avx512.c - the tile in 24 accumulators of 16 floats, two columns of b and 12 broadcasts. */
#include "compute/fma_gemm.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif

enum { ROWS = FANIN__FMA_ROWS, COLS = FANIN__FMA_COLS };

/* subtract is a constant in each of the two copies. */
static inline __attribute__((always_inline)) void
chain(const bool subtract, size_t k, const float *a, const float *b, __m512 acc[ROWS][2]) {
    for (; k > 0; k--, a += ROWS, b += COLS) {
        const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
        UNROLL for (int i = 0; i < ROWS; i++) {
            const __m512 v = _mm512_set1_ps(a[i]);
            acc[i][0] =
                subtract ? _mm512_fnmadd_ps(v, b0, acc[i][0]) : _mm512_fmadd_ps(v, b0, acc[i][0]);
            acc[i][1] =
                subtract ? _mm512_fnmadd_ps(v, b1, acc[i][1]) : _mm512_fmadd_ps(v, b1, acc[i][1]);
        }
    }
}

void fanin__fma_tile_avx512(size_t k, const float *a, const float *b, float *c, size_t c_row,
                            fanin__fma_mode mode) {
    __m512 acc[ROWS][2];
    if (mode == FANIN__FMA_SET) {
        UNROLL for (int i = 0; i < ROWS; i++) acc[i][0] = acc[i][1] = _mm512_setzero_ps();
    } else {
        UNROLL for (int i = 0; i < ROWS; i++) {
            acc[i][0] = _mm512_load_ps(c + (size_t)i * c_row);
            acc[i][1] = _mm512_load_ps(c + (size_t)i * c_row + 16);
        }
    }
    if (mode == FANIN__FMA_SUB)
        chain(true, k, a, b, acc);
    else
        chain(false, k, a, b, acc);
    UNROLL for (int i = 0; i < ROWS; i++) {
        _mm512_store_ps(c + (size_t)i * c_row, acc[i][0]);
        _mm512_store_ps(c + (size_t)i * c_row + 16, acc[i][1]);
    }
}
#else
typedef int fanin__fma_gemm_avx512_is_empty;
#endif
