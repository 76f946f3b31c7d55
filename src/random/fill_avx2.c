/* fill_avx2.c - eight blocks a step, four in the 64-bit lanes of a register; otherwise as
 * fill_avx512.c, which explains. */
#include "random/random.h"

#ifdef __AVX2__
#include <immintrin.h>

#include "random/map64.h"

enum { STEP = 32 };

typedef struct philox {
    __m256i first, a1, b1, b2, product;
    uint64_t key0[10], key1[10];
} philox;

#define INLINE static inline __attribute__((always_inline))

/* `order`: that of the counter in the lanes. */
INLINE philox philox_start(const fanin__run *run, __m256i order) {
    philox p;
    uint32_t k0 = run->key[0], k1 = run->key[1], high = (uint32_t)(run->block >> 32);
    for (int i = 0; i < 10; i++) {
        p.key0[i] = k0;
        p.key1[i] = k1;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    uint64_t first = UINT64_C(0xCD9E8D57) * run->plane;
    uint64_t c0 = (uint32_t)((first >> 32) ^ high ^ p.key0[0]);
    uint64_t second = UINT64_C(0xD2511F53) * c0;
    __m256i counter = _mm256_add_epi64(_mm256_set1_epi64x((long long)(uint32_t)run->block), order);
    p.first = _mm256_mul_epu32(counter, _mm256_set1_epi64x(0xD2511F53));
    p.a1 = _mm256_set1_epi64x((long long)(run->version ^ p.key1[0]));
    p.b1 = _mm256_set1_epi64x((long long)((uint32_t)first ^ p.key0[1]));
    p.b2 = _mm256_set1_epi64x((long long)((second >> 32) ^ p.key1[1]));
    p.product = _mm256_set1_epi64x((long long)second);
    return p;
}

INLINE __m256i down0(__m256i x) { return _mm256_srli_epi64(x, 32); }
INLINE __m256i down5(__m256i x) { return _mm256_shuffle_epi32(x, 0xf5); }

INLINE __m256i xor3(__m256i a, __m256i b, __m256i c) {
    return _mm256_xor_si256(a, _mm256_xor_si256(b, c));
}

/* Words of the next four blocks: out[0] those of blocks 0 and 1, out[1] of 2 and 3. */
INLINE void philox_four(philox *p, __m256i out[2]) {
    const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
    __m256i p0 = p->first;
    __m256i c2 = _mm256_xor_si256(down0(p0), p->a1);
    __m256i p1 = _mm256_mul_epu32(c2, m1);
    __m256i c0 = _mm256_xor_si256(down5(p1), p->b1);
    c2 = _mm256_xor_si256(p0, p->b2);
    p0 = p->product;
    for (int i = 2; i < 10; i++) {
        __m256i q0 = _mm256_mul_epu32(c0, m0), q1 = _mm256_mul_epu32(c2, m1);
        c0 = xor3(down5(q1), p1, _mm256_set1_epi64x((long long)p->key0[i]));
        c2 = xor3(down0(q0), p0, _mm256_set1_epi64x((long long)p->key1[i]));
        p0 = q0;
        p1 = q1;
    }
    __m256i x = _mm256_blend_epi32(c0, _mm256_shuffle_epi32(p1, 0xa0), 0xaa);
    __m256i y = _mm256_blend_epi32(c2, _mm256_slli_epi64(p0, 32), 0xaa);
    out[0] = _mm256_unpacklo_epi64(x, y);
    out[1] = _mm256_unpackhi_epi64(x, y);
    p->first = _mm256_add_epi64(p->first, _mm256_set1_epi64x(4 * INT64_C(0xD2511F53)));
}

INLINE void philox_step(philox *p, __m256i out[4]) {
    philox_four(p, out);
    philox_four(p, out + 2);
}

/* ---- maps of eight words --------------------------------------------------------------------- */

typedef __m256 (*map_fn)(__m256i w, const fanin__plan *plan);

INLINE __m256 scaled(__m256 x, const fanin__plan *plan) {
    return _mm256_fmadd_ps(x, _mm256_set1_ps(plan->scale), _mm256_set1_ps(plan->mean));
}

INLINE __m256 clamped(__m256 x, const fanin__plan *plan) {
    x = _mm256_max_ps(x, _mm256_set1_ps(plan->low));
    return _mm256_min_ps(x, _mm256_set1_ps(plan->high));
}

/* Minus where the top bit of v is clear. */
INLINE __m256 with_sign(__m256 x, __m256i v) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return _mm256_xor_ps(x, _mm256_andnot_ps(_mm256_castsi256_ps(v), sign));
}

/* Where row 0 of a table would be if rows were counted from the bits of 0.0f. */
INLINE const void *shifted(const void *table, size_t row) {
    return (const void *)((uintptr_t)table - (0x3f000000u >> 17) * row);
}

INLINE __m256 normal(__m256i v) {
    const __m256 half = _mm256_set1_ps(0.5f);
    __m256i m = _mm256_xor_si256(v, _mm256_srai_epi32(v, 31));
    __m256 f = _mm256_add_ps(_mm256_cvtepi32_ps(m), half);
    __m256i i = _mm256_srli_epi32(_mm256_castps_si256(f), 17);
    __m256i centre = _mm256_i32gather_epi32(shifted(fanin__normal_centre, 4), i, 4);
    /* Rows of elements 0 1 4 5 and 2 3 6 7, so that one shuffle each puts c0 and c1 in order. */
    __m256i pairs = _mm256_permute4x64_epi64(i, 0xd8);
    const void *rows = shifted(fanin__normal_pairs, 8);
    __m256 low =
        _mm256_castsi256_ps(_mm256_i32gather_epi64(rows, _mm256_castsi256_si128(pairs), 8));
    __m256 high =
        _mm256_castsi256_ps(_mm256_i32gather_epi64(rows, _mm256_extracti128_si256(pairs, 1), 8));
    __m256 c0 = _mm256_shuffle_ps(low, high, 0x88), c1 = _mm256_shuffle_ps(low, high, 0xdd);
    __m256 t = _mm256_cvtepi32_ps(_mm256_sub_epi32(m, centre)), s = _mm256_mul_ps(half, c1);
    __m256 x = _mm256_fmadd_ps(t, c1, s), h = _mm256_mul_ps(half, c0);
    __m256 k = _mm256_fmadd_ps(_mm256_mul_ps(c0, h), _mm256_set1_ps(0x1.555556p-1f),
                               _mm256_set1_ps(0x1.555556p-3f));
    __m256 g = _mm256_fmadd_ps(x, k, h);
    __m256 y = _mm256_fmadd_ps(t, c1, _mm256_fmadd_ps(_mm256_mul_ps(x, x), g, s));
    return with_sign(_mm256_add_ps(c0, y), v);
}

INLINE __m256 map_affine(__m256i w, const fanin__plan *plan) {
    return scaled(_mm256_cvtepi32_ps(w), plan);
}

INLINE __m256 map_affine_clamp(__m256i w, const fanin__plan *plan) {
    return clamped(scaled(_mm256_cvtepi32_ps(w), plan), plan);
}

INLINE __m256 map_normal(__m256i w, const fanin__plan *plan) { return scaled(normal(w), plan); }

INLINE __m256 map_normal_clamp(__m256i w, const fanin__plan *plan) {
    return clamped(scaled(normal(w), plan), plan);
}

INLINE __m256 map_trunc(__m256i w, const fanin__plan *plan) {
    const __m256i width = _mm256_set1_epi64x(plan->width),
                  offset = _mm256_set1_epi64x((long long)plan->offset);
    __m256i even = _mm256_add_epi64(_mm256_mul_epu32(w, width), offset);
    __m256i odd = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(w, 32), width), offset);
    __m256i v = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    return clamped(scaled(normal(v), plan), plan);
}

INLINE __m256 map_sign(__m256i w, const fanin__plan *plan) {
    return with_sign(_mm256_set1_ps(plan->mean), w);
}

INLINE __m256 map_choice(__m256i w, const fanin__plan *plan) {
    __m256i threshold = _mm256_set1_epi32((int)plan->threshold);
    __m256i chosen = _mm256_cmpeq_epi32(_mm256_min_epu32(w, threshold), w);
    return _mm256_and_ps(_mm256_castsi256_ps(chosen), _mm256_set1_ps(plan->mean));
}

INLINE void fill(const fanin__run *run, const fanin__plan *plan, size_t n, float *out, map_fn map) {
    philox p = philox_start(run, _mm256_setr_epi64x(0, 2, 1, 3));
    const fanin__plan local = *plan;
    if (run->streaming) {
        for (size_t i = 0; i < n; i += STEP) {
            __m256i w[4];
            philox_step(&p, w);
            for (int j = 0; j < 4; j++) _mm256_stream_ps(out + i + 8 * j, map(w[j], &local));
        }
        _mm_sfence();
        return;
    }
    for (size_t i = 0; i < n; i += STEP) {
        __m256i w[4];
        philox_step(&p, w);
        for (int j = 0; j < 4; j++) _mm256_storeu_ps(out + i + 8 * j, map(w[j], &local));
    }
}

#define FILL(id, word, name) \
    static void fill_##word(const fanin__run *run, const fanin__plan *plan, size_t n, \
                            float *out) { \
        fill(run, plan, n, out, map_##word); \
    }
FANIN__DRAWN_LIST(FILL)
#undef FILL

static void words(const fanin__run *run, size_t n, uint32_t *out) {
    philox p = philox_start(run, _mm256_setr_epi64x(0, 2, 1, 3));
    for (size_t i = 0; i < n; i += STEP) {
        __m256i w[4];
        philox_step(&p, w);
        for (int j = 0; j < 4; j++) _mm256_storeu_si256((__m256i *)(out + i + 8 * j), w[j]);
    }
}

/* ---- narrow types --------------------------------------------------------------------------- */

INLINE __m256i bf16_bits(__m256 x) {
    __m256i u = _mm256_castps_si256(x);
    __m256i even = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    u = _mm256_add_epi32(_mm256_add_epi32(u, even), _mm256_set1_epi32(0x7fff));
    return _mm256_srli_epi32(u, 16);
}

/* With the counter in order, the two registers of a half step hold the even and the odd blocks, which
 * is how packing, lane by lane, wants them. */
INLINE void fill_bf16(const fanin__run *run, const fanin__plan *plan, size_t n, uint16_t *out,
                      map_fn map) {
    philox p = philox_start(run, _mm256_setr_epi64x(0, 1, 2, 3));
    const fanin__plan local = *plan;
    for (size_t i = 0; i < n; i += STEP) {
        __m256i w[4];
        philox_step(&p, w);
        for (int j = 0; j < 2; j++) {
            __m256i both = _mm256_packus_epi32(bf16_bits(map(w[2 * j], &local)),
                                               bf16_bits(map(w[2 * j + 1], &local)));
            if (run->streaming)
                _mm256_stream_si256((__m256i *)(out + i + 16 * j), both);
            else
                _mm256_storeu_si256((__m256i *)(out + i + 16 * j), both);
        }
    }
    if (run->streaming) _mm_sfence();
}

#define FILL(id, word, name) \
    static void bf16_##word(const fanin__run *run, const fanin__plan *plan, size_t n, \
                            uint16_t *out) { \
        fill_bf16(run, plan, n, out, map_##word); \
    }
FANIN__DRAWN_LIST(FILL)
#undef FILL

static void to_bf16(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i both = _mm256_packus_epi32(bf16_bits(_mm256_loadu_ps(in + i)),
                                           bf16_bits(_mm256_loadu_ps(in + i + 8)));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_permute4x64_epi64(both, 0xd8));
    }
    fanin_convert_from_f32(in + i, n - i, FANIN_BF16, out + i);
}

static void to_f16(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(out + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    fanin_convert_from_f32(in + i, n - i, FANIN_F16, out + i);
}

const fanin__random_kernels *fanin__random_avx2(void) {
#define FILL_SLOT(id, word, name) [FANIN__MAP_##id] = fill_##word,
#define BF16_SLOT(id, word, name) [FANIN__MAP_##id] = bf16_##word,
    static const fanin__random_kernels table = {
        .name = "avx2",
        .step = STEP,
        .words = words,
        .fill = {FANIN__DRAWN_LIST(FILL_SLOT)},
        .fill_bf16 = {FANIN__DRAWN_LIST(BF16_SLOT)},
        .fill_f64 = fill_f64,
        .to_bf16 = to_bf16,
        .to_f16 = to_f16,
    };
    return &table;
}

#else

const fanin__random_kernels *fanin__random_avx2(void) { return NULL; }

#endif
