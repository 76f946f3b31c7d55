/* fill_avx512.c - sixteen blocks a step, eight in the 64-bit lanes of a register.
 *
 * A multiply takes the low halves of the lanes, so only c0 and c2 need to stand there; what is
 * above them is rubbish until the end. A round is two multiplies, two moves of the high half
 * down and two three-way xors, since c1 and c3 are the low halves of the last products. With
 * plane, version and high counter fixed, half of rounds one and two is constant, and the first product
 * is the last one plus a constant. The counter
 * runs 0 4 1 5 2 6 3 7, so that two unpacks put the words in order. */
#include "random/random.h"

#ifdef __AVX512F__
#include <immintrin.h>

#include "random/map64.h"

enum { STEP = 64 };

typedef struct philox {
    __m512i first;               /* multiplier times counter */
    __m512i a1, b1, b2, product; /* the constants of rounds one and two */
    uint64_t key0[10], key1[10];
} philox;

#define INLINE static inline __attribute__((always_inline))

/* `order`: that of the counter in the lanes. */
INLINE philox philox_start(const fanin__run *run, __m512i order) {
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
    __m512i counter = _mm512_add_epi64(_mm512_set1_epi64((long long)(uint32_t)run->block), order);
    p.first = _mm512_mul_epu32(counter, _mm512_set1_epi64(0xD2511F53));
    p.a1 = _mm512_set1_epi64((long long)(run->version ^ p.key1[0]));
    p.b1 = _mm512_set1_epi64((long long)((uint32_t)first ^ p.key0[1]));
    p.b2 = _mm512_set1_epi64((long long)((second >> 32) ^ p.key1[1]));
    p.product = _mm512_set1_epi64((long long)second);
    return p;
}

/* The high half of each lane, in the low half: one on either of the two ports. */
INLINE __m512i down0(__m512i x) { return _mm512_srli_epi64(x, 32); }
INLINE __m512i down5(__m512i x) { return _mm512_shuffle_epi32(x, _MM_PERM_DDBB); }

/* Eight blocks between two rounds. */
typedef struct eight {
    __m512i c0, c2, p0, p1;
} eight;

/* The next eight blocks, after two rounds. */
INLINE eight eight_start(philox *p) {
    const __m512i m1 = _mm512_set1_epi64(0xCD9E8D57);
    eight e;
    __m512i c2 = _mm512_xor_si512(down0(p->first), p->a1);
    e.p1 = _mm512_mul_epu32(c2, m1);
    e.c0 = _mm512_xor_si512(down5(e.p1), p->b1);
    e.c2 = _mm512_xor_si512(p->first, p->b2);
    e.p0 = p->product;
    p->first = _mm512_add_epi64(p->first, _mm512_set1_epi64(8 * INT64_C(0xD2511F53)));
    return e;
}

INLINE void eight_round(const philox *p, eight *e, int i) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    __m512i q0 = _mm512_mul_epu32(e->c0, m0), q1 = _mm512_mul_epu32(e->c2, m1);
    e->c0 =
        _mm512_ternarylogic_epi64(down5(q1), e->p1, _mm512_set1_epi64((long long)p->key0[i]), 0x96);
    e->c2 =
        _mm512_ternarylogic_epi64(down0(q0), e->p0, _mm512_set1_epi64((long long)p->key1[i]), 0x96);
    e->p0 = q0;
    e->p1 = q1;
}

/* The last round, where the halves change places so that the low half of a product, a word of the
 * result, comes to lie beside the other. out[0]: words of blocks 0-3, out[1]: of 4-7. */
INLINE void eight_end(const philox *p, const eight *e, __m512i out[2]) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    __m512i q0 = _mm512_mul_epu32(e->c0, m0), q1 = _mm512_mul_epu32(e->c2, m1);
    __m512i x =
        _mm512_mask_ternarylogic_epi32(_mm512_shuffle_epi32(q1, _MM_PERM_CDAB), 0x5555, e->p1,
                                       _mm512_set1_epi64((long long)p->key0[9]), 0x96);
    __m512i y = _mm512_mask_ternarylogic_epi32(_mm512_rol_epi64(q0, 32), 0x5555, e->p0,
                                               _mm512_set1_epi64((long long)p->key1[9]), 0x96);
    out[0] = _mm512_unpacklo_epi64(x, y);
    out[1] = _mm512_unpackhi_epi64(x, y);
}

/* The same with the words of even and of odd place apart, blocks in the order of the counter. */
INLINE void eight_end_apart(const philox *p, const eight *e, __m512i out[2]) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    __m512i q0 = _mm512_mul_epu32(e->c0, m0), q1 = _mm512_mul_epu32(e->c2, m1);
    __m512i high = _mm512_mask_shuffle_epi32(q0, 0x5555, q1, _MM_PERM_DDBB);
    __m512i low = _mm512_mask_shuffle_epi32(e->p1, 0xaaaa, e->p0, _MM_PERM_CCAA);
    __m512i key = _mm512_set1_epi64((long long)(p->key0[9] | p->key1[9] << 32));
    out[0] = _mm512_ternarylogic_epi32(high, low, key, 0x96);
    out[1] = _mm512_mask_shuffle_epi32(q1, 0xaaaa, q0, _MM_PERM_CCAA);
}

/* Sixteen blocks, by turns: one product alone takes longer than two rounds of work. */
typedef struct sixteen {
    eight a, b;
} sixteen;

INLINE sixteen sixteen_start(philox *p) {
    sixteen s;
    s.a = eight_start(p);
    s.b = eight_start(p);
    return s;
}

INLINE void sixteen_round(const philox *p, sixteen *s, int i) {
    eight_round(p, &s->a, i);
    eight_round(p, &s->b, i);
}

INLINE void sixteen_end(const philox *p, const sixteen *s, __m512i out[4]) {
    eight_end(p, &s->a, out);
    eight_end(p, &s->b, out + 2);
}

INLINE void sixteen_end_apart(const philox *p, const sixteen *s, __m512i out[4]) {
    eight_end_apart(p, &s->a, out);
    eight_end_apart(p, &s->b, out + 2);
}

INLINE void philox_step(philox *p, __m512i out[4]) {
    sixteen s = sixteen_start(p);
    for (int i = 2; i < 9; i++) sixteen_round(p, &s, i);
    sixteen_end(p, &s, out);
}

/* ---- maps of sixteen words; the scalar ones are in map.c and normal.c ------------------------ */

typedef __m512 (*map_fn)(__m512i w, const fanin__plan *plan);

INLINE __m512 scaled(__m512 x, const fanin__plan *plan) {
    return _mm512_fmadd_ps(x, _mm512_set1_ps(plan->scale), _mm512_set1_ps(plan->mean));
}

INLINE __m512 clamped(__m512 x, const fanin__plan *plan) {
    x = _mm512_max_ps(x, _mm512_set1_ps(plan->low));
    return _mm512_min_ps(x, _mm512_set1_ps(plan->high));
}

/* Where row 0 of a table would be if rows were counted from the bits of 0.0f; as an integer, since
 * no pointer may stand outside its object. */
INLINE const void *shifted(const void *table, size_t row) {
    return (const void *)((uintptr_t)table - (0x3f000000u >> 17) * row);
}

INLINE __m512 normal(__m512i v) {
    const __m512 half = _mm512_set1_ps(0.5f);
    __m512i m = _mm512_xor_si512(v, _mm512_srai_epi32(v, 31));
    __m512 f = _mm512_add_ps(_mm512_cvtepi32_ps(m), half);
    __m512i i = _mm512_srli_epi32(_mm512_castps_si512(f), 17);
    /* The register gathered into is zeroed, or it waits for what stood there before; a mask that
     * the compiler knew to be full would let it leave that out. */
    const __m512i zero = _mm512_setzero_si512();
    __mmask16 all = 0xffff;
    __asm__("" : "+Yk"(all));
    const void *centres = shifted(fanin__normal_centre, 4),
               *pairs = shifted(fanin__normal_pairs, 8);
    __m512i centre = _mm512_mask_i32gather_epi32(zero, all, i, centres, 4);
    __m512 low = _mm512_castsi512_ps(
        _mm512_mask_i32gather_epi64(zero, (__mmask8)all, _mm512_castsi512_si256(i), pairs, 8));
    __m512 high = _mm512_castsi512_ps(_mm512_mask_i32gather_epi64(
        zero, (__mmask8)all, _mm512_extracti64x4_epi64(i, 1), pairs, 8));
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd =
        _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    __m512 c0 = _mm512_permutex2var_ps(low, even, high);
    __m512 c1 = _mm512_permutex2var_ps(low, odd, high);
    __m512 t = _mm512_cvtepi32_ps(_mm512_sub_epi32(m, centre)), s = _mm512_mul_ps(half, c1);
    __m512 x = _mm512_fmadd_ps(t, c1, s), h = _mm512_mul_ps(half, c0);
    __m512 k = _mm512_fmadd_ps(_mm512_mul_ps(c0, h), _mm512_set1_ps(0x1.555556p-1f),
                               _mm512_set1_ps(0x1.555556p-3f));
    __m512 g = _mm512_fmadd_ps(x, k, h);
    __m512 y = _mm512_fmadd_ps(t, c1, _mm512_fmadd_ps(_mm512_mul_ps(x, x), g, s));
    /* minus where the top bit of v is clear: z ^ (~v & sign) */
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(
        _mm512_castps_si512(_mm512_add_ps(c0, y)), v, _mm512_set1_epi32((int)0x80000000u), 0xd2));
}

INLINE __m512 map_affine(__m512i w, const fanin__plan *plan) {
    return scaled(_mm512_cvtepi32_ps(w), plan);
}

INLINE __m512 map_affine_clamp(__m512i w, const fanin__plan *plan) {
    return clamped(scaled(_mm512_cvtepi32_ps(w), plan), plan);
}

INLINE __m512 map_normal(__m512i w, const fanin__plan *plan) { return scaled(normal(w), plan); }

INLINE __m512 map_normal_clamp(__m512i w, const fanin__plan *plan) {
    return clamped(scaled(normal(w), plan), plan);
}

INLINE __m512 map_trunc(__m512i w, const fanin__plan *plan) {
    const __m512i width = _mm512_set1_epi64(plan->width),
                  offset = _mm512_set1_epi64((long long)plan->offset);
    __m512i even = _mm512_add_epi64(_mm512_mul_epu32(w, width), offset);
    __m512i odd = _mm512_add_epi64(_mm512_mul_epu32(_mm512_srli_epi64(w, 32), width), offset);
    __m512i v = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
    return clamped(scaled(normal(v), plan), plan);
}

INLINE __m512 map_sign(__m512i w, const fanin__plan *plan) {
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_castps_si512(_mm512_set1_ps(plan->mean)), w,
                                  _mm512_set1_epi32((int)0x80000000u), 0xd2));
}

INLINE __m512 map_choice(__m512i w, const fanin__plan *plan) {
    __mmask16 chosen = _mm512_cmple_epu32_mask(w, _mm512_set1_epi32((int)plan->threshold));
    return _mm512_maskz_mov_ps(chosen, _mm512_set1_ps(plan->mean));
}

INLINE void put(float *out, __m512 x, bool streaming) {
    if (streaming)
        _mm512_stream_ps(out, x);
    else
        _mm512_storeu_ps(out, x);
}

/* The maps of one step stand between the rounds of the next: those wait for the table's rows,
 * these for the multiplier. */
INLINE void fill_steps(const fanin__run *run, const fanin__plan *plan, size_t n, float *out,
                       map_fn map, bool streaming) {
    philox p = philox_start(run, _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
    const fanin__plan local = *plan;
    __m512i w[4];
    philox_step(&p, w);
    for (size_t i = STEP; i < n; i += STEP, out += STEP) {
        sixteen s = sixteen_start(&p);
        put(out, map(w[0], &local), streaming);
        sixteen_round(&p, &s, 2);
        sixteen_round(&p, &s, 3);
        put(out + 16, map(w[1], &local), streaming);
        sixteen_round(&p, &s, 4);
        sixteen_round(&p, &s, 5);
        put(out + 32, map(w[2], &local), streaming);
        sixteen_round(&p, &s, 6);
        sixteen_round(&p, &s, 7);
        put(out + 48, map(w[3], &local), streaming);
        sixteen_round(&p, &s, 8);
        sixteen_end(&p, &s, w);
    }
    for (int j = 0; j < 4; j++) put(out + 16 * j, map(w[j], &local), streaming);
}

INLINE void fill(const fanin__run *run, const fanin__plan *plan, size_t n, float *out, map_fn map) {
    if (n == 0) return;
    if (run->streaming) {
        fill_steps(run, plan, n, out, map, true);
        _mm_sfence();
    } else {
        fill_steps(run, plan, n, out, map, false);
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
    philox p = philox_start(run, _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
    for (size_t i = 0; i < n; i += STEP) {
        __m512i w[4];
        philox_step(&p, w);
        for (int j = 0; j < 4; j++) _mm512_storeu_si512(out + i + 16 * j, w[j]);
    }
}

/* ---- narrow types --------------------------------------------------------------------------- */

/* Nearest even on the bits: half a place less one, and one more where the place is odd; a carry
 * moves to the next binade. Laws give no NaN. */
INLINE __m512i bf16_rounded(__m512 x) {
    __m512i u = _mm512_castps_si512(x);
    __mmask16 odd = _mm512_test_epi32_mask(u, _mm512_set1_epi32(0x10000));
    u = _mm512_add_epi32(u, _mm512_set1_epi32(0x7fff));
    return _mm512_mask_add_epi32(u, odd, u, _mm512_set1_epi32(1));
}

INLINE __m512i bf16_bits(__m512 x) { return _mm512_srli_epi32(bf16_rounded(x), 16); }

/* Sixteen values in the low halves of their lanes, sixteen in the high ones. */
INLINE __m512i bf16_both(__m512 low, __m512 high) {
    return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(bf16_rounded(low), 16),
                                   bf16_rounded(high));
}

INLINE void put_bf16(uint16_t *out, __m512i x, bool streaming) {
    if (streaming)
        _mm512_stream_si512((void *)out, x);
    else
        _mm512_storeu_si512(out, x);
}

/* How a kernel packs two registers of values: with the counter as bf16_both wants the words, or as the processor. */
typedef struct packing {
    __m512i order; /* of the counter in the lanes */
    void (*end)(const philox *p, const sixteen *s, __m512i out[4]);
    __m512i (*both)(__m512 low, __m512 high);
} packing;

INLINE void bf16_steps(const fanin__run *run, const fanin__plan *plan, size_t n, uint16_t *out,
                       map_fn map, packing pack, bool streaming) {
    philox p = philox_start(run, pack.order);
    const fanin__plan local = *plan;
    __m512i w[4];
    sixteen s = sixteen_start(&p);
    for (int i = 2; i < 9; i++) sixteen_round(&p, &s, i);
    pack.end(&p, &s, w);
    for (size_t i = STEP; i < n; i += STEP, out += STEP) {
        s = sixteen_start(&p);
        __m512 a = map(w[0], &local);
        sixteen_round(&p, &s, 2);
        sixteen_round(&p, &s, 3);
        put_bf16(out, pack.both(a, map(w[1], &local)), streaming);
        sixteen_round(&p, &s, 4);
        sixteen_round(&p, &s, 5);
        __m512 b = map(w[2], &local);
        sixteen_round(&p, &s, 6);
        sixteen_round(&p, &s, 7);
        put_bf16(out + 32, pack.both(b, map(w[3], &local)), streaming);
        sixteen_round(&p, &s, 8);
        pack.end(&p, &s, w);
    }
    for (int j = 0; j < 2; j++)
        put_bf16(out + 32 * j, pack.both(map(w[2 * j], &local), map(w[2 * j + 1], &local)),
                 streaming);
}

INLINE void fill_bf16(const fanin__run *run, const fanin__plan *plan, size_t n, uint16_t *out,
                      map_fn map, packing pack) {
    if (run->streaming) {
        bf16_steps(run, plan, n, out, map, pack, true);
        _mm_sfence();
    } else {
        bf16_steps(run, plan, n, out, map, pack, false);
    }
}

INLINE packing own_packing(void) {
    return (packing){_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), sixteen_end_apart, bf16_both};
}

/* Where the processor rounds to bf16 itself (AVX512_BF16, nearest even): but it takes subnormal numbers for 0, so only
 * for laws without them. An fma's result is a multiple of the product's last place and the mean's: 2^-79 of the scale's
 * leading bit (|z| >= 2^-33, 24 bits each) and 2^-23 of the mean's. */
#define NATIVE static inline __attribute__((always_inline, target("avx512bf16")))

static bool tame(float x) { return x == 0 || x >= 0x1p-90f || x <= -0x1p-90f; }

static bool native_serves(const fanin__plan *plan) {
    bool one_value = plan->map == FANIN__MAP_SIGN || plan->map == FANIN__MAP_CHOICE;
    bool clamps = plan->map == FANIN__MAP_AFFINE_CLAMP || plan->map == FANIN__MAP_NORMAL_CLAMP ||
                  plan->map == FANIN__MAP_TRUNC;
    return tame(plan->mean) && (one_value || plan->scale >= 0x1p-40f) &&
           (!clamps || (tame(plan->low) && tame(plan->high))) &&
           __builtin_cpu_supports("avx512bf16");
}

NATIVE __m512i native_both(__m512 low, __m512 high) {
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

NATIVE packing native_packing(void) {
    return (packing){_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), sixteen_end, native_both};
}

#define FILL(id, word, name) \
    __attribute__((target("avx512bf16"))) static void native_##word( \
        const fanin__run *run, const fanin__plan *plan, size_t n, uint16_t *out) { \
        fill_bf16(run, plan, n, out, map_##word, native_packing()); \
    } \
    static void bf16_##word(const fanin__run *run, const fanin__plan *plan, size_t n, \
                            uint16_t *out) { \
        if (n == 0) return; \
        if (native_serves(plan)) \
            native_##word(run, plan, n, out); \
        else \
            fill_bf16(run, plan, n, out, map_##word, own_packing()); \
    }
FANIN__DRAWN_LIST(FILL)
#undef FILL

static void to_bf16(const float *in, size_t n, uint16_t *out) {
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7); /* packing goes by lanes */
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512i both = _mm512_packus_epi32(bf16_bits(_mm512_loadu_ps(in + i)),
                                           bf16_bits(_mm512_loadu_ps(in + i + 16)));
        _mm512_storeu_si512(out + i, _mm512_permutexvar_epi64(order, both));
    }
    fanin_convert_from_f32(in + i, n - i, FANIN_BF16, out + i);
}

static void to_f16(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(out + i),
                            _mm512_cvtps_ph(_mm512_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    fanin_convert_from_f32(in + i, n - i, FANIN_F16, out + i);
}

const fanin__random_kernels *fanin__random_avx512(void) {
#define FILL_SLOT(id, word, name) [FANIN__MAP_##id] = fill_##word,
#define BF16_SLOT(id, word, name) [FANIN__MAP_##id] = bf16_##word,
    static const fanin__random_kernels table = {
        .name = "avx512",
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

const fanin__random_kernels *fanin__random_avx512(void) { return NULL; }

#endif
