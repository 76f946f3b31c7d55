/* gemm_avx512.c - small products on 512-bit registers: tiles of 14 x 32 (28 of 32 registers). */
#include <string.h>

#include "compute/variants.h"

#if defined(__AVX512F__)
#include <immintrin.h>

enum { WIDTH = 16, ROWS = 14, INNER_ROWS = 6, INNER_MOST = 24 };
#define VEC                    __m512
#define MASK                   __mmask16
#define ZERO()                 _mm512_setzero_ps()
#define SET1(x)                _mm512_set1_ps(x)
#define LOAD(p)                _mm512_loadu_ps(p)
#define LOAD_MASK(p, mask)     _mm512_maskz_loadu_ps(mask, p)
#define STORE(p, v)            _mm512_storeu_ps(p, v)
#define STORE_MASK(p, mask, v) _mm512_mask_storeu_ps(p, mask, v)
#define FMA(a, b, c)           _mm512_fmadd_ps(a, b, c)
#define MUL(a, b)              _mm512_mul_ps(a, b)
#define ADD(a, b)              _mm512_add_ps(a, b)
#define MASK_FIRST(n)          ((__mmask16)((1u << (n)) - 1u))
#define ROW_CASES(X)           X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define INNER_CASES(X)         X(1) X(2) X(3) X(4) X(5) X(6)

/* The four sums over all lanes, side by side. */
static inline __m128 sum4(__m512 a, __m512 b, __m512 c, __m512 d) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512 v = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}
#define SUM4(a, b, c, d) sum4(a, b, c, d)

#include "compute/gemm_body.h"

void fanin__gemm_avx512(const fanin__gemm_args *g) { run(g); }
#endif
