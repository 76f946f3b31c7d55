#include "activation/activation.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

typedef __m256 V;
#define LANES         8
#define LOAD(p)       _mm256_loadu_ps(p)
#define STORE(p, v)   _mm256_storeu_ps(p, v)
#define SPLAT(c)      _mm256_set1_ps(c)
#define ADD(a, b)     _mm256_add_ps(a, b)
#define SUB(a, b)     _mm256_sub_ps(a, b)
#define MUL(a, b)     _mm256_mul_ps(a, b)
#define DIV(a, b)     _mm256_div_ps(a, b)
#define FMA(a, b, c)  _mm256_fmadd_ps(a, b, c)
#define FNMA(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define ABS(a)        _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define NEG(a)        _mm256_xor_ps(_mm256_set1_ps(-0.0f), a)
#define MIN(a, b)     _mm256_min_ps(a, b)
#define MAX(a, b)     _mm256_max_ps(a, b)
#define LT(a, b)      _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define EQ(a, b)      _mm256_cmp_ps(a, b, _CMP_EQ_OQ)
#define AND(a, b)     _mm256_and_ps(a, b)
#define SEL(m, a, b)  _mm256_blendv_ps(b, a, m)
#define FLOOR(a)      _mm256_floor_ps(a)
#define SIGN_OF(a, b) _mm256_xor_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0f), b))
#define POW2(n)       pow2(n)

static inline V pow2(V n) {
    __m256i x = _mm256_castps_si256(ADD(n, SPLAT(12582912.0f)));
    x = _mm256_slli_epi32(_mm256_add_epi32(x, _mm256_set1_epi32(127)), 23);
    return _mm256_castsi256_ps(x);
}

#include "activation/kernels.h"

const fanin__act_kernels *fanin__act_kernels_avx2(void) { return &kernels; }
#else
typedef int fanin__no_avx2_here;
#endif
