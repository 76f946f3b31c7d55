/* gemm_avx2.c - small products on 256-bit registers: tiles of 6 x 16 (12 of 16 registers). */
#include <string.h>

#include "compute/variants.h"

#if defined(__AVX2__)
#include <immintrin.h>

enum { WIDTH = 8, ROWS = 6, INNER_ROWS = 2, INNER_MOST = 16 };
#define VEC                    __m256
#define MASK                   __m256i
#define ZERO()                 _mm256_setzero_ps()
#define SET1(x)                _mm256_set1_ps(x)
#define LOAD(p)                _mm256_loadu_ps(p)
#define LOAD_MASK(p, mask)     _mm256_maskload_ps(p, mask)
#define STORE(p, v)            _mm256_storeu_ps(p, v)
#define STORE_MASK(p, mask, v) _mm256_maskstore_ps(p, mask, v)
#define FMA(a, b, c)           _mm256_fmadd_ps(a, b, c)
#define MUL(a, b)              _mm256_mul_ps(a, b)
#define ADD(a, b)              _mm256_add_ps(a, b)
#define ROW_CASES(X)           X(1) X(2) X(3) X(4) X(5) X(6)
#define INNER_CASES(X)         X(1) X(2)

static inline __m256i first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#define MASK_FIRST(n) first(n)

/* The four sums over all lanes, side by side. */
static inline __m128 sum4(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    __m256 v = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}
#define SUM4(a, b, c, d) sum4(a, b, c, d)

#include "compute/gemm_body.h"

void fanin__gemm_avx2(const fanin__gemm_args *g) { run(g); }
#endif
