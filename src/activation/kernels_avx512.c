#include "activation/activation.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

typedef __m512 V;
#define LANES         16
#define LOAD(p)       _mm512_loadu_ps(p)
#define STORE(p, v)   _mm512_storeu_ps(p, v)
#define SPLAT(c)      _mm512_set1_ps(c)
#define ADD(a, b)     _mm512_add_ps(a, b)
#define SUB(a, b)     _mm512_sub_ps(a, b)
#define MUL(a, b)     _mm512_mul_ps(a, b)
#define DIV(a, b)     _mm512_div_ps(a, b)
#define FMA(a, b, c)  _mm512_fmadd_ps(a, b, c)
#define FNMA(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define ABS(a)        _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a)
#define NEG(a)        _mm512_xor_ps(_mm512_set1_ps(-0.0f), a)
#define MIN(a, b)     _mm512_min_ps(a, b)
#define MAX(a, b)     _mm512_max_ps(a, b)
#define LT(a, b)      _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define EQ(a, b)      _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ)
#define AND(a, b)     _mm512_kand(a, b)
#define SEL(m, a, b)  _mm512_mask_blend_ps(m, b, a)
#define FLOOR(a)      _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define SIGN_OF(a, b) _mm512_xor_ps(a, _mm512_and_ps(_mm512_set1_ps(-0.0f), b))
#define POW2(n)       pow2(n)

static inline V pow2(V n) {
    __m512i x = _mm512_castps_si512(ADD(n, SPLAT(12582912.0f)));
    x = _mm512_slli_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(127)), 23);
    return _mm512_castsi512_ps(x);
}

#include "activation/kernels.h"

const fanin__act_kernels *fanin__act_kernels_avx512(void) { return &kernels; }
#else
typedef int fanin__no_avx512_here;
#endif
