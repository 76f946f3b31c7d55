/* The stream and its laws against published vectors, mathematics, and themselves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random/random.h"
#include "testing.h"

/* ---- words: published vectors ---------------------------------------------------------- */

TEST(philox_known_answers) {
    /* Random123, kat_vectors: philox4x32 10. */
    static const uint32_t cases[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *c = cases[i];
        uint32_t got[4];
        fanin__philox_block(c + 4, c[0] | (uint64_t)c[1] << 32, c[2], c[3], got);
        assert_memory_equal(got, c + 6, sizeof got);
    }
}

TEST(siphash_published_vectors) {
    /* Aumasson and Bernstein, SipHash-2-4 test vectors: key 00..0f, message 00..(n-1). */
    static const struct {
        size_t n;
        uint64_t hash;
    } cases[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)}, {63, UINT64_C(0x958a324ceb064572)},
    };
    unsigned char message[64];
    for (int i = 0; i < 64; i++) message[i] = (unsigned char)i;
    for (size_t i = 0; i < FANIN_COUNT(cases); i++)
        assert_int_equal(fanin__siphash24(UINT64_C(0x0706050403020100),
                                          UINT64_C(0x0f0e0d0c0b0a0908), message, cases[i].n),
                         cases[i].hash);
}

TEST(shared_vectors_agree) {
    FILE *index = fopen(test_shared("vectors/index.tsv"), "r");
    FILE *data = fopen(test_shared("vectors/counter.bin"), "rb");
    assert_non_null(index);
    assert_non_null(data);
    char line[4096];
    int seen = 0;
    while (fgets(line, sizeof line, index)) {
        long offset;
        uint32_t c[10], got[4];
        if (sscanf(line, "kat/philox4x32-10/%*s %*s %*s %*s %*s %ld", &offset) != 1) continue;
        assert_int_equal(fseek(data, offset, SEEK_SET), 0);
        assert_int_equal(fread(c, 4, 10, data), 10);
        fanin__philox_block(c + 4, c[0] | (uint64_t)c[1] << 32, c[2], c[3], got);
        assert_memory_equal(got, c + 6, sizeof got);
        seen++;
    }
    fclose(index);
    fclose(data);
    assert_int_equal(seen, 3);
}

/* ---- words: ours, frozen (also in docs/stream.md) ---------------------------------------- */

TEST(own_vectors_are_frozen) {
    fanin_stream s = fanin_stream_init(0, "layers.0.weight");
    uint32_t w[6], below[2], far[2];
    fanin_stream_words(&s, 0, 0, 6, w);
    fanin_stream_words(&s, 1, 0, 2, below);
    fanin_stream_words(&s, 0, (UINT64_C(1) << 34) - 1, 2, far);
    const uint32_t want[] = {0xaedf923b, 0xd57f59cf, 0x3ac1d0a8, 0x861ab0b3,
                             0x7b284a61, 0x42f96888, 0xc1aa38c4, 0x9b4760d9,
                             0x7137b1f6, 0xd3b79282, 0xfb23f882, 0x139e0255};
    const uint32_t got[] = {s.key[0], s.key[1], w[0],     w[1],     w[2],   w[3],
                            w[4],     w[5],     below[0], below[1], far[0], far[1]};
    assert_memory_equal(got, want, sizeof want);
}

TEST(own_values_are_frozen) {
    static const struct {
        fanin_law law;
        float want[4];
    } cases[] = {
        {{FANIN_LAW_UNIFORM, 0, 0, -1, 1},
         {0x1.d60e84p-2f, -0x1.e7953cp-1f, 0x1.eca128p-1f, 0x1.0be5ap-1f}},
        {{FANIN_LAW_NORMAL, 0, 1, 0, 0},
         {-0x1.7b198p-1f, 0x1.e9ed66p-5f, -0x1.8495p-5f, -0x1.46d7bcp-1f}},
        {{FANIN_LAW_NORMAL, 0, 0.02, 0, 0},
         {-0x1.e53f5cp-7f, 0x1.398db2p-10f, -0x1.f1628ep-11f, -0x1.a25bd2p-7f}},
        {{FANIN_LAW_TRUNC_NORMAL, 0, 1, -2, 2},
         {-0x1.669fdap-1f, 0x1.d39c58p-5f, -0x1.72e39ap-5f, -0x1.35f3d6p-1f}},
        {{FANIN_LAW_TRUNC_NORMAL, 0, 1, 5, 6},
         {0x1.4330a4p+2f, 0x1.48fdep+2f, 0x1.47f698p+2f, 0x1.43b51ep+2f}},
        {{FANIN_LAW_RADEMACHER, 1, 0, 0, 0}, {-0x1p+0f, 0x1p+0f, -0x1p+0f, -0x1p+0f}},
        {{FANIN_LAW_BERNOULLI, 1, 0.5, 0, 0}, {0x1p+0f, 0x0p+0f, 0x1p+0f, 0x1p+0f}},
    };
    fanin_stream s = fanin_stream_init(0, "layers.0.weight");
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        float got[4];
        assert_ok(fanin_random_fill(&s, 0, &cases[i].law, 0, 4, FANIN_F32, got));
        assert_memory_equal(got, cases[i].want, sizeof got);
    }
}

/* The page's narrow cuts, which were made again from the page alone: mirrored, short, scaled, open. */
TEST(narrow_cuts_are_those_of_the_page) {
    static const struct {
        fanin_law law;
        float want[4];
        double wide[2];
    } cases[] = {
        {{FANIN_LAW_TRUNC_NORMAL, 0, 1, -6, -5},
         {-0x1.5191b8p+2f, -0x1.47d99ap+2f, -0x1.48de68p+2f, -0x1.500d0ap+2f},
         {-5.274518952741765, -5.122656176135895}},
        {{FANIN_LAW_TRUNC_NORMAL, 0, 1, -0.0005, 0.001},
         {-0x1.4691a6p-13f, 0x1.2ba604p-12f, 0x1.d0c824p-13f, -0x1.c33164p-14f},
         {-0.00015572019792047838, 0.0002857670677053047}},
        {{FANIN_LAW_TRUNC_NORMAL, 1, 2, 9, 9.01},
         {0x1.2012a8p+3f, 0x1.202ab6p+3f, 0x1.202734p+3f, 0x1.201546p+3f},
         {9.00227756962127, 9.005213481140704}},
        {{FANIN_LAW_TRUNC_NORMAL, 0, 1, 8, INFINITY},
         {0x1.01068p+3f, 0x1.02e85cp+3f, 0x1.029282p+3f, 0x1.01313ep+3f},
         {8.032043293261673, 8.090864237037714}},
    };
    fanin_stream s = fanin_stream_init(0, "layers.0.weight");
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        float got[4];
        double wide[2];
        assert_ok(fanin_random_fill(&s, 0, &cases[i].law, 0, 4, FANIN_F32, got));
        assert_ok(fanin_random_fill(&s, 0, &cases[i].law, 0, 2, FANIN_F64, wide));
        assert_memory_equal(got, cases[i].want, sizeof got);
        assert_memory_equal(wide, cases[i].wide, sizeof wide);
    }
}

/* Some processors' own rounding to bf16 takes subnormal numbers for 0: it must not be used where there are any. */
TEST(bf16_is_float32_rounded_once_however_small) {
    enum { N = 4099 };
    static const fanin_law small[] = {{FANIN_LAW_NORMAL, 0, 0.02, 0, 0},
                                      {FANIN_LAW_NORMAL, 0, 1e-38, 0, 0},
                                      {FANIN_LAW_NORMAL, 1e-39, 0.5, 0, 0},
                                      {FANIN_LAW_NORMAL, 0, 1e-12, 0, 0},
                                      {FANIN_LAW_UNIFORM, 0, 0, -1e-38, 1e-38},
                                      {FANIN_LAW_UNIFORM, 0, 0, -0.1, 0.1},
                                      {FANIN_LAW_TRUNC_NORMAL, 0, 1, 1e-39, 2},
                                      {FANIN_LAW_TRUNC_NORMAL, 0, 0.02, -0.04, 0.04},
                                      {FANIN_LAW_TRUNC_NORMAL, 0, 1e-37, -1e-37, 1e-37},
                                      {FANIN_LAW_RADEMACHER, 1e-39, 0, 0, 0},
                                      {FANIN_LAW_BERNOULLI, 1e-39, 0.5, 0, 0},
                                      {FANIN_LAW_RADEMACHER, 0.1, 0, 0, 0}};
    static float want[N];
    static uint16_t rounded[N], got[N];
    fanin_stream s = fanin_stream_init(3, "small");
    for (size_t i = 0; i < FANIN_COUNT(small); i++) {
        assert_ok(fanin_random_fill(&s, 0, &small[i], 0, N, FANIN_F32, want));
        assert_ok(fanin_convert_from_f32(want, N, FANIN_BF16, rounded));
        assert_ok(fanin_random_fill(&s, 0, &small[i], 0, N, FANIN_BF16, got));
        assert_memory_equal(got, rounded, sizeof got);
    }
}

TEST(names_and_seeds_matter) {
    fanin_stream a = fanin_stream_init(0, "a"), b = fanin_stream_init(0, "b"),
                 c = fanin_stream_init(1, "a"), d = fanin_stream_init(0, "");
    assert_memory_not_equal(&a, &b, sizeof a);
    assert_memory_not_equal(&a, &c, sizeof a);
    assert_memory_not_equal(&a, &d, sizeof a);
}

/* ---- every variant, every split ---------------------------------------------------------- */

static const fanin_law laws[] = {
    {FANIN_LAW_CONSTANT, 0.25, 0, 0, 0},
    {FANIN_LAW_UNIFORM, 0, 0, -0.1, 0.1},
    {FANIN_LAW_UNIFORM, 0, 0, 0, 1},
    {FANIN_LAW_UNIFORM, 0, 0, 1000, 1000.001}, /* few floats inside: clamped */
    {FANIN_LAW_NORMAL, 0, 1, 0, 0},
    {FANIN_LAW_NORMAL, 3, 0.02, 0, 0},
    {FANIN_LAW_TRUNC_NORMAL, 0, 1, -2, 2},
    {FANIN_LAW_TRUNC_NORMAL, 0.1, 0.02, 0.11, 1e9},
    {FANIN_LAW_TRUNC_NORMAL, 0, 1, -8, 7}, /* wider than any word: clamped */
    {FANIN_LAW_TRUNC_NORMAL, 0, 1, 5, 6},  /* narrow: one solve a value */
    {FANIN_LAW_RADEMACHER, 0.5, 0, 0, 0},
    {FANIN_LAW_BERNOULLI, 2, 0.3, 0, 0},
    {FANIN_LAW_BERNOULLI, 2, 1, 0, 0},
};

enum { WHOLE = 700 };

/* got = [first, first + n) at an odd place, with guards on both sides. */
static void check_slice(const fanin__random_kernels *k, const fanin_stream *s,
                        const fanin__plan *plan, uint64_t base, const float *whole, size_t first,
                        size_t n, size_t shift) {
    static _Alignas(64) float buffer[WHOLE + 40];
    float *got = buffer + 1 + shift;
    memset(buffer, 0x7f, sizeof buffer);
    float guard = buffer[0];
    fanin__fill_f32(k, s, 0, plan, base + first, n, got);
    if (memcmp(got, whole + first, n * sizeof *got) != 0)
        fail_msg("%s differs: first %zu, n %zu, shift %zu, map %d", k->name, first, n, shift,
                 (int)plan->map);
    assert_memory_equal(&got[-1], &guard, 4);
    assert_memory_equal(&got[n], &guard, 4);
}

static void check_kernels(const fanin__random_kernels *k, const fanin_law *law, uint64_t base) {
    fanin_stream s = fanin_stream_init(7, "variants");
    fanin__plan plan;
    float whole[WHOLE];
    assert_ok(fanin__plan_make(law, &plan));
    fanin__fill_f32(fanin__random_ref(), &s, 0, &plan, base, WHOLE, whole);
    for (size_t n = 0; n <= 3 * 64 + 1; n++)
        check_slice(k, &s, &plan, base, whole, n % 7, n, n % 17);
    static const size_t primes[] = {199, 257, 331, 401, 499, 601, 691};
    for (size_t i = 0; i < FANIN_COUNT(primes); i++)
        for (size_t first = 0; first < 9; first++)
            check_slice(k, &s, &plan, base, whole, first, primes[i], 3 * first);
    for (size_t cut = 0; cut <= 200; cut++) { /* every split of 200 */
        check_slice(k, &s, &plan, base, whole, 0, cut, 1);
        check_slice(k, &s, &plan, base, whole, cut, 200 - cut, 2);
    }
}

TEST(variants_agree_at_every_length_and_split) {
    int variants = 0;
    for (int level = FANIN_CPU_REF; level <= FANIN_CPU_AVX512; level++) {
        const fanin__random_kernels *k = fanin__random_at(level);
        if (!k) continue;
        variants++;
        for (size_t i = 0; i < FANIN_COUNT(laws); i++) check_kernels(k, &laws[i], 0);
    }
    print_message("%d variants\n", variants);
}

/* Counter halves: the low one wraps at element 2^34. */
TEST(variants_agree_across_the_counter_wrap) {
    for (int level = FANIN_CPU_REF; level <= FANIN_CPU_AVX512; level++) {
        const fanin__random_kernels *k = fanin__random_at(level);
        if (!k) continue;
        check_kernels(k, &laws[4], (UINT64_C(1) << 34) - 310);
        check_kernels(k, &laws[1], (UINT64_C(1) << 63) - 4);
        fanin_stream s = {{1, 2}, 5};
        uint32_t want[400], got[400];
        for (uint32_t plane = 0; plane < 4; plane++) {
            fanin__words(fanin__random_ref(), &s, plane * 0x40000001u, 3, 400, want);
            fanin__words(k, &s, plane * 0x40000001u, 3, 400, got);
            assert_memory_equal(want, got, sizeof want);
        }
    }
}

/* Large outputs leave by streaming stores. */
TEST(large_fills_agree) {
    enum { N = (1 << 19) + 77 };
    float *want = malloc(N * 4), *got = aligned_alloc(64, (N * 4 + 4095) / 64 * 64);
    assert_true(want && got);
    fanin_stream s = fanin_stream_init(3, "large");
    for (size_t i = 0; i < FANIN_COUNT(laws); i++) {
        fanin__plan plan;
        assert_ok(fanin__plan_make(&laws[i], &plan));
        if (plan.map == FANIN__MAP_TAIL) continue;
        fanin__fill_f32(fanin__random_ref(), &s, 0, &plan, 0, N / 8, want);
        for (int level = FANIN_CPU_AVX2; level <= FANIN_CPU_AVX512; level++) {
            const fanin__random_kernels *k = fanin__random_at(level);
            if (!k) continue;
            fanin__fill_f32(k, &s, 0, &plan, 0, N, got);
            assert_memory_equal(want, got, N / 8 * 4);
        }
    }
    free(want);
    free(got);
}

TEST(threads_change_nothing) {
    enum { N = 300007 };
    uint16_t *want = malloc(N * 8), *got = malloc(N * 8);
    fanin_stream s = fanin_stream_init(3, "threads");
    static const fanin_dtype dtypes[] = {FANIN_F32, FANIN_BF16, FANIN_F64, FANIN_F8_E4M3};
    for (size_t i = 0; i < FANIN_COUNT(dtypes); i++)
        for (unsigned threads = 1; threads <= 3; threads++) {
            fanin_threads_set(threads);
            size_t bytes = N * fanin_dtype_size(dtypes[i]);
            assert_ok(fanin_random_fill(&s, 2, &laws[6], 5, N, dtypes[i], want));
            assert_ok(fanin_random_fill_parallel(&s, 2, &laws[6], 5, N, dtypes[i], got));
            assert_memory_equal(want, got, bytes);
        }
    fanin_threads_set(0);
    free(want);
    free(got);
}

/* ---- dtypes ------------------------------------------------------------------------------ */

TEST(narrow_types_are_float32_rounded_once) {
    enum { N = 5003 };
    static float f[N];
    static uint16_t want[N], got[N];
    static const fanin_dtype dtypes[] = {FANIN_BF16, FANIN_F16, FANIN_F8_E4M3, FANIN_F8_E5M2};
    /* 1e-6 reaches float16's subnormals, 1e-39 float32's. */
    static const double stds[] = {1, 0.02, 1e-6, 1e-39, 3e4};
    fanin_stream s = fanin_stream_init(11, "narrow");
    for (size_t d = 0; d < FANIN_COUNT(dtypes); d++)
        for (size_t k = 0; k < FANIN_COUNT(stds); k++) {
            fanin_law law = {FANIN_LAW_NORMAL, 0, stds[k], 0, 0};
            size_t first = 3 * k;
            assert_ok(fanin_random_fill(&s, 0, &law, first, N, FANIN_F32, f));
            assert_ok(fanin_convert_from_f32(f, N, dtypes[d], want));
            assert_ok(fanin_random_fill(&s, 0, &law, first, N, dtypes[d], got));
            assert_memory_equal(want, got, N * fanin_dtype_size(dtypes[d]));
            for (int level = FANIN_CPU_REF; level <= FANIN_CPU_AVX512; level++) {
                const fanin__random_kernels *t = fanin__random_at(level);
                if (!t || d > 1) continue;
                memset(got, 0, sizeof got);
                (d == 0 ? t->to_bf16 : t->to_f16)(f, N, got);
                assert_memory_equal(want, got, N * 2);
            }
        }
}

/* bf16 is made in the kernels: every law, length and start. */
TEST(bf16_kernels_agree_with_rounding) {
    static float f[WHOLE];
    static _Alignas(64) uint16_t want[WHOLE], got[WHOLE + 64];
    fanin_stream s = fanin_stream_init(11, "bf16");
    for (int level = FANIN_CPU_REF; level <= FANIN_CPU_AVX512; level++) {
        const fanin__random_kernels *k = fanin__random_at(level);
        if (!k) continue;
        for (size_t i = 0; i < FANIN_COUNT(laws); i++) {
            fanin__plan plan;
            assert_ok(fanin__plan_make(&laws[i], &plan));
            for (size_t n = 0; n < WHOLE; n += n < 200 ? 1 : 83) {
                uint64_t first = (UINT64_C(1) << 34) - 320 + n % 9; /* over the counter's wrap */
                uint16_t *out = got + n % 33;
                fanin__fill_f32(fanin__random_ref(), &s, 0, &plan, first, n, f);
                assert_ok(fanin_convert_from_f32(f, n, FANIN_BF16, want));
                memset(got, 0x7f, sizeof got);
                fanin__fill_dtype(k, &s, 0, &plan, first, n, FANIN_BF16, out);
                assert_memory_equal(want, out, n * 2);
                assert_int_equal(out[n], 0x7f7f);
            }
        }
    }
}

/* Streaming stores start at a megabyte. */
TEST(large_bf16_fills_agree) {
    enum { N = (1 << 19) + 67 };
    uint16_t *want = malloc(N * 2), *got = aligned_alloc(64, (N * 2 + 4095) / 64 * 64);
    float *f = malloc(N * 4);
    assert_true(want && got && f);
    fanin_stream s = fanin_stream_init(3, "large");
    assert_ok(fanin_random_fill(&s, 0, &laws[4], 0, N, FANIN_F32, f));
    assert_ok(fanin_convert_from_f32(f, N, FANIN_BF16, want));
    assert_ok(fanin_random_fill(&s, 0, &laws[4], 0, N, FANIN_BF16, got));
    assert_memory_equal(want, got, N * 2);
    free(want);
    free(got);
    free(f);
}

TEST(float64_is_the_same_from_every_variant) {
    enum { N = 2000 };
    static uint32_t high[N], low[N];
    static double want[N], got[N];
    fanin_stream s = fanin_stream_init(11, "double");
    fanin_stream_words(&s, 0, 0, N, high);
    fanin_stream_words(&s, 1, 0, N, low);
    for (size_t i = 0; i < FANIN_COUNT(laws); i++)
        for (int level = FANIN_CPU_REF; level <= FANIN_CPU_AVX512; level++) {
            const fanin__random_kernels *k = fanin__random_at(level);
            fanin__plan plan;
            if (!k) continue;
            assert_ok(fanin__plan_make(&laws[i], &plan));
            k->fill_f64(&plan, high, low, N, got);
            if (level == FANIN_CPU_REF) {
                memcpy(want, got, sizeof want);
                assert_ok(fanin_random_fill(&s, 0, &laws[i], 0, N, FANIN_F64, got));
            }
            assert_memory_equal(want, got, sizeof want);
        }
}

TEST(float64_refines_float32_for_every_law) {
    enum { N = 4000 };
    static float f[N];
    static double d[N];
    fanin_stream s = fanin_stream_init(12, "refine");
    for (size_t i = 0; i < FANIN_COUNT(laws); i++) {
        double low, high;
        fanin_law_support(&laws[i], &low, &high);
        double size = isfinite(low) && isfinite(high) ? fmax(fabs(low), fabs(high))
                                                      : fabs(laws[i].a) + 6.4 * laws[i].b;
        assert_ok(fanin_random_fill(&s, 0, &laws[i], 0, N, FANIN_F32, f));
        assert_ok(fanin_random_fill(&s, 0, &laws[i], 0, N, FANIN_F64, d));
        for (int j = 0; j < N; j++) assert_near((double)f[j], d[j], 0x1p-22 * fmax(size, 8), 0);
    }
}

/* ---- arguments --------------------------------------------------------------------------- */

TEST(wrong_arguments_are_refused) {
    static const fanin_law wrong[] = {
        {FANIN_LAW_CONSTANT, NAN, 0, 0, 0},    {FANIN_LAW_CONSTANT, 1e300, 0, 0, 0},
        {FANIN_LAW_UNIFORM, 0, 0, 1, 0},       {FANIN_LAW_UNIFORM, 0, 0, 0, INFINITY},
        {FANIN_LAW_UNIFORM, 0, 0, NAN, 1},     {FANIN_LAW_NORMAL, 0, -1, 0, 0},
        {FANIN_LAW_NORMAL, INFINITY, 1, 0, 0}, {FANIN_LAW_NORMAL, 0, NAN, 0, 0},
        {FANIN_LAW_TRUNC_NORMAL, 0, 1, 2, 2},  {FANIN_LAW_TRUNC_NORMAL, 0, 1, 2, NAN},
        {FANIN_LAW_TRUNC_NORMAL, 0, 0, -1, 1}, {FANIN_LAW_TRUNC_NORMAL, 0, 1, INFINITY, INFINITY},
        {FANIN_LAW_BERNOULLI, 1, 1.5, 0, 0},   {FANIN_LAW_BERNOULLI, 1, NAN, 0, 0},
        {(fanin_law_kind)77, 0, 0, 0, 0},
    };
    fanin_stream s = fanin_stream_init(0, "x");
    float out[4];
    for (size_t i = 0; i < FANIN_COUNT(wrong); i++) {
        double low, high;
        assert_int_equal(fanin_random_fill(&s, 0, &wrong[i], 0, 4, FANIN_F32, out), FANIN_ARG);
        assert_true(isnan(fanin_law_mean(&wrong[i])));
        assert_true(isnan(fanin_law_variance(&wrong[i])));
        fanin_law_support(&wrong[i], &low, &high);
        assert_true(isnan(low) && isnan(high));
    }
    assert_int_equal(fanin_random_fill(&s, 0, &laws[0], 0, 4, FANIN_I32, out), FANIN_ARG);
    assert_int_equal(fanin_random_fill_parallel(&s, 0, &laws[0], 0, 4, FANIN_BOOL, out), FANIN_ARG);
}

TEST(slots_are_listed) {
    int n = fanin_random_slot_count();
    assert_true(n >= FANIN__MAP_COUNT);
    for (int i = -1; i <= n; i++) {
        fanin_random_slot_info info = fanin_random_slot(i);
        assert_int_equal(i >= 0 && i < n, info.name[0] != 0);
        if (i >= 0 && i < n) assert_string_equal(info.variant, fanin__random_best()->name);
    }
}

/* ---- order ------------------------------------------------------------------------------- */

static void check_is_permutation(const uint64_t *p, size_t n) {
    unsigned char *seen = calloc(n + 1, 1);
    for (size_t i = 0; i < n; i++) {
        assert_true(p[i] < n);
        assert_int_equal(seen[p[i]]++, 0);
    }
    free(seen);
}

TEST(permutations_hold_each_index_once) {
    static const size_t sizes[] = {0, 1, 2, 3, 10, 255, 256, 257, 1000, 4097};
    static uint64_t p[4097];
    fanin_stream s = fanin_stream_init(0, "order");
    for (size_t i = 0; i < FANIN_COUNT(sizes); i++) {
        assert_ok(fanin_stream_permutation(&s, 4, sizes[i], p));
        check_is_permutation(p, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) p[j] = fanin_stream_shuffle(&s, 4, sizes[i], j);
        check_is_permutation(p, sizes[i]);
    }
    const uint64_t want[] = {0, 8, 4, 1, 6, 7, 2, 5, 9, 3};
    assert_ok(fanin_stream_permutation(&s, 4, 10, p));
    assert_memory_equal(p, want, sizeof want);
    const uint64_t shuffled[] = {184, 421, 8, 583};
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(fanin_stream_shuffle(&s, 4, 1000, i), shuffled[i]);
}

/* All 24 orders of 4 equally often: chi square with 23 degrees of freedom over 24 000 draws,
 * limit 75.0 for alpha = 2e-7; an order half as likely again gives 240. And where element 0 of 1000
 * goes under the addressed shuffle: 50 bins, 49 degrees of freedom, limit 115 for alpha = 3e-7. */
TEST(orders_are_equally_likely) {
    int count[256] = {0}, bin[50] = {0};
    for (uint64_t seed = 0; seed < 24000; seed++) {
        uint64_t p[4];
        fanin_stream s = fanin_stream_init(seed, "orders");
        assert_ok(fanin_stream_permutation(&s, 0, 4, p));
        count[p[0] * 64 + p[1] * 16 + p[2] * 4 + p[3]]++;
        bin[fanin_stream_shuffle(&s, 2, 1000, 0) / 20]++;
    }
    double chi = 0, spread = 0;
    int seen = 0;
    for (int i = 0; i < 256; i++)
        if (count[i]) {
            seen++;
            chi += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000;
        }
    for (int i = 0; i < 50; i++) spread += (bin[i] - 480.0) * (bin[i] - 480.0) / 480;
    assert_int_equal(seen, 24);
    assert_true(chi < 75.0);
    assert_true(spread < 115);
}
