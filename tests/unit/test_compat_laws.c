/* Framework streams without ../shared: a few frozen digests, and the laws that hold for every
 * seed: variants agree, pieces make the whole, spent draws count, states travel, faults are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "random/compat.h"

static void expect_sha(const char *what, const void *data, size_t bytes, const char *want) {
    char hex[65];
    golden_sha256(data, bytes, hex);
    if (strcmp(hex, want)) fail_msg("%s: SHA-256 %s, expected %s", what, hex, want);
}

static fanin_torch_rng torch42(fanin_torch_flavour flavour, int version) {
    fanin_torch_rng rng;
    assert_ok(fanin_torch_rng_init(&rng, 42, flavour, version));
    return rng;
}

/* ---- frozen: SHA-256 of what PyTorch 1.13.1 and NumPy 1.24.2 return ---------------------- */

TEST(frozen_torch) {
    float f[1000];
    uint16_t h[17];
    fanin_torch_rng rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_1_13);
    assert_ok(fanin_torch_uniform(&rng, FANIN_F32, 17, 2, 7.5, f));
    expect_sha("uniform_(2, 7.5)", f, 17 * 4,
               "aa97e4ed7d5afced23824429cdd93322691d663cc41ce23e620a6b3f8d9407ff");
    rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_1_13);
    assert_ok(fanin_torch_normal(&rng, FANIN_F32, 17, 0, .02, f));
    expect_sha("normal_(0, .02)", f, 17 * 4,
               "c7f271ac714581028a00e100639429871523b014de5b6972de3882375b1f6438");
    rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_1_13);
    assert_ok(fanin_torch_normal(&rng, FANIN_F32, 33, .1, .37, f));
    expect_sha("normal_(.1, .37)", f, 33 * 4,
               "b254b82a1be352c9fa7377afad61502ad57674405f5161839b0b73f742c200f5");
    rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_1_13);
    assert_ok(fanin_torch_uniform(&rng, FANIN_BF16, 17, -.3, .45, h));
    expect_sha("bf16 uniform_(-.3, .45)", h, 17 * 2,
               "75650fd0aaf4aa335cf8876e1e4cd318e7c897ac7f3729d93cc6b5e75c6f3697");
    rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_2_12);
    assert_ok(fanin_torch_trunc_normal(&rng, FANIN_F32, 1000, 0, .02, -.04, .04, f));
    expect_sha("trunc_normal_(0, .02, -.04, .04)", f, 4000,
               "c5511740a4c3921c44edbcd1a307bb7669ec67eb6f459f9a2bb9de2c7353387d");
    rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_1_13);
    assert_ok(fanin_torch_sparse(&rng, FANIN_F32, (int64_t[]){20, 10}, 2, .3, .01, f));
    expect_sha("sparse_(.3)", f, 800,
               "a0f6fc85d702059f0ef7320c484ca2aa54c83ebe9292c494b00356f75df131a5");
}

/* torch.manual_seed(0); torch.randn(1, 80, 15000): published for the 2.13.0 wheel. */
TEST(frozen_torch_large_normal) {
    enum { N = 80 * 15000 };
    float *x = malloc(N * sizeof *x);
    fanin_torch_rng rng;
    assert_non_null(x);
    assert_ok(fanin_torch_rng_init(&rng, 0, FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT));
    assert_ok(fanin_torch_normal(&rng, FANIN_F32, N, 0, 1, x));
    expect_sha("randn(1, 80, 15000)", x, N * sizeof *x,
               "584a26e6eaad944407a96c5999aaa5cd0a6a359309a841eade68bf805c072322");
    free(x);
}

TEST(frozen_numpy) {
    uint64_t w[64];
    float f[1000];
    double d[1000];
    fanin_numpy_rng rng;
    assert_ok(fanin_numpy_rng_init(&rng, FANIN_NUMPY_PCG64, 42));
    for (int i = 0; i < 64; i++) w[i] = fanin_numpy_next64(&rng);
    expect_sha("PCG64(42)", w, sizeof w,
               "336a5e9a911ed8d6de575a1a2a71834918a0c073d62b3411b71c8f627acceed9");
    assert_ok(fanin_numpy_rng_init(&rng, FANIN_NUMPY_PHILOX, 42));
    for (int i = 0; i < 64; i++) w[i] = fanin_numpy_next64(&rng);
    expect_sha("Philox(42)", w, sizeof w,
               "1fbfa78f2c29e6436e38c52514ded4aa980b58367d9f9afe3d0ae9e7fbcc3b9c");
    assert_ok(fanin_numpy_rng_init(&rng, FANIN_NUMPY_PCG64, 42));
    assert_ok(fanin_numpy_random(&rng, FANIN_F32, 1000, f));
    expect_sha("random(1000, float32)", f, sizeof f,
               "4fd59a28f3e4d6df236c9b87cdd40e4409621f3c9ddbc09da46b3dff3e9f0293");
    assert_ok(fanin_numpy_rng_init(&rng, FANIN_NUMPY_RANDOMSTATE, 42));
    assert_ok(fanin_numpy_random(&rng, FANIN_F64, 1000, d));
    expect_sha("RandomState(42).rand(1000)", d, sizeof d,
               "b3826bcc79486f1bb6f6dc03df34252953a7bb2f334c5906c9ac056b2fc71a1c");
}

/* Printed by JAX's tests and documentation, TensorFlow's docstrings and others' tests. */
TEST(frozen_published) {
    uint32_t bits[3];
    assert_ok(fanin_jax_bits(FANIN_JAX_ORIGINAL, fanin_jax_key_from(1701, false), 32, 3, bits));
    assert_int_equal(bits[0], 56197195u);
    assert_int_equal(bits[1], 4200222568u);
    assert_int_equal(bits[2], 961309823u);
    float u;
    assert_ok(fanin_jax_uniform(FANIN_JAX_PARTITIONABLE, fanin_jax_key_from(0, false), FANIN_F32, 1,
                                0, 1, &u));
    assert_near((double)u, 0.947667, 1e-6, 0);
    int32_t split[6];
    assert_ok(fanin_tf_bits((fanin_tf_seed){{1, 2}}, 6, (uint32_t *)split));
    assert_int_equal(split[0], 1105988140);
    assert_int_equal(split[5], -246211131);
    fanin_mt19937 mt;
    fanin_mt19937_seed(&mt, 137);
    assert_int_equal(fanin_mt19937_next(&mt), 4053805790u);
    assert_int_equal(fanin_mt19937_next(&mt), 2173880614u);
}

/* ---- variants ---------------------------------------------------------------------------- */

static void same_streams(const fanin__compat_kernels *a, const fanin__compat_kernels *b) {
    static uint32_t word[2][FANIN_MT19937_WORDS], state[2][FANIN_MT19937_WORDS];
    static float out[2][1024 + 8];
    static const int bits[] = {8, 11, 24};
    fanin_mt19937 mt;
    fanin_mt19937_seed(&mt, 7);
    for (int k = 0; k < 2; k++) memcpy(state[k], mt.state, sizeof mt.state);
    for (int block = 0; block < 3; block++) {
        a->mt_block(state[0], word[0]);
        b->mt_block(state[1], word[1]);
        assert_memory_equal(state[0], state[1], sizeof state[0]);
        assert_memory_equal(word[0], word[1], sizeof word[0]);
    }
    static const size_t lengths[] = {53, 97, 131, 499, 601};
    for (size_t i = 0; i < 50 + FANIN_COUNT(lengths); i++) {
        size_t n = i < 50 ? i : lengths[i - 50], skew = i % 5;
        for (int c = 0; c < 6; c++) {
            memset(out, 0xa5, sizeof out);
            a->uniform(word[0] + skew, n, bits[c / 2], c & 1, -.3f, .75f, .45f, out[0] + skew);
            b->uniform(word[0] + skew, n, bits[c / 2], c & 1, -.3f, .75f, .45f, out[1] + skew);
            assert_memory_equal(out[0], out[1], sizeof out[0]);
        }
        memset(out, 0xa5, sizeof out);
        uint32_t *w0 = (uint32_t *)(void *)out[0], *w1 = (uint32_t *)(void *)out[1];
        a->threefry(word[0], word[0] + skew, word[0] + 9, n / 2, w0, w0 + 400);
        b->threefry(word[0], word[0] + skew, word[0] + 9, n / 2, w1, w1 + 400);
        assert_memory_equal(out[0], out[1], sizeof out[0]);
        memset(out, 0xa5, sizeof out);
        a->normal(word[0] + skew, n / 16, .1f, .37f, out[0] + skew);
        b->normal(word[0] + skew, n / 16, .1f, .37f, out[1] + skew);
        assert_memory_equal(out[0], out[1], sizeof out[0]);
    }
}

static void same_quantile(const fanin__compat_kernels *a, const fanin__compat_kernels *b) {
    static float x[2][4099];
    for (size_t n = 0; n <= 4099; n = n < 40 ? n + 1 : 2 * n + 19) {
        for (int k = 0; k < 2; k++)
            for (size_t i = 0; i < n; i++)
                x[k][i] = (float)i / (float)(n > 1 ? n - 1 : 1) * 2 - 1; /* both ends included */
        a->quantile(x[0], n);
        b->quantile(x[1], n);
        assert_memory_equal(x[0], x[1], sizeof x[0]);
    }
}

static void same_reflect(const fanin__compat_kernels *a, const fanin__compat_kernels *b) {
    enum { NB = FANIN__QR_PANEL, ROWS = 45, LDA = 70 };
    static double v[(ROWS + 3) * NB], t[NB * NB], m[2][ROWS * LDA];
    fanin_torch_rng rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT);
    assert_ok(fanin_torch_uniform(&rng, FANIN_F64, ROWS * NB, -1, 1, v));
    assert_ok(fanin_torch_uniform(&rng, FANIN_F64, NB * NB, -1, 1, t));
    for (size_t width = 0; width <= FANIN__QR_TILE; width += 7) {
        assert_ok(fanin_torch_uniform(&rng, FANIN_F64, ROWS * LDA, -1, 1, m[0]));
        memcpy(m[1], m[0], sizeof m[0]);
        a->reflect(v, t, ROWS, NB, m[0] + width % 3, LDA, width);
        b->reflect(v, t, ROWS, NB, m[1] + width % 3, LDA, width);
        assert_memory_equal(m[0], m[1], sizeof m[0]);
    }
}

static void same_kernels(const fanin__compat_kernels *a, const fanin__compat_kernels *b) {
    same_streams(a, b);
    same_quantile(a, b);
    same_reflect(a, b);
}

TEST(variants_agree) {
    const fanin__compat_kernels *ref = fanin__compat_kernels_ref();
    if (fanin_cpu_level() >= FANIN_CPU_AVX2 && fanin__compat_kernels_avx2())
        same_kernels(ref, fanin__compat_kernels_avx2());
    if (fanin_cpu_level() >= FANIN_CPU_AVX512 && fanin__compat_kernels_avx512())
        same_kernels(ref, fanin__compat_kernels_avx512());
}

/* The extremes of a word: u = 1 and the smallest u, angles 0 and next to a full turn. */
TEST(normal_kernel_at_the_ends) {
    const fanin__compat_kernels *k = fanin__compat_kernels_get();
    uint32_t word[16] = {0};
    float z[16];
    k->normal(word, 1, 0, 1, z);
    for (int j = 0; j < 16; j++) assert_true(z[j] == 0);
    for (int j = 0; j < 8; j++) word[j] = 0xffffff;
    k->normal(word, 1, 0, 1, z);
    assert_near((double)z[0], sqrt(-2 * log(0x1p-24)), 0, 3e-7);
    for (int j = 8; j < 16; j++) word[j] = 0xffffff;
    k->normal(word, 1, 0, 1, z);
    assert_near((double)z[0], sqrt(-2 * log(0x1p-24)), 0, 3e-7);
    assert_near((double)z[8], -sqrt(-2 * log(0x1p-24)) * 6.283185307 * 0x1p-24, 2e-6, 0);
}

/* Against libm's log1p under the same polynomials: the float after the logarithm is the rounded
 * one in all but a few of a million cases, and then it is its neighbour. */
TEST(quantile_kernel_agrees_with_libm) {
    static const float near[9] = {2.81022636e-08f,  3.43273939e-07f, -3.5233877e-06f,
                                  -4.39150654e-06f, 0.00021858087f,  -0.00125372503f,
                                  -0.00417768164f,  0.246640727f,    1.50140941f};
    static const float far[9] = {-0.000200214257f, 0.000100950558f, 0.00134934322f,
                                 -0.00367342844f,  0.00573950773f,  -0.0076224613f,
                                 0.00943887047f,   1.00167406f,     2.83297682f};
    const fanin__compat_kernels *k = fanin__compat_kernels_get();
    int differ = 0, count = 0;
    for (uint32_t bits = 0x00800000u; bits < 0x3f800000u; bits += 997, count++) {
        float u, z, p;
        memcpy(&u, &bits, sizeof u);
        z = u;
        k->quantile(&z, 1);
        float w = -(float)log1p((double)(-u * u));
        const float *c = w < 5 ? near : far;
        w = w < 5 ? w - 2.5f : sqrtf(w) - 3;
        p = c[0];
        for (int i = 1; i < 9; i++) p = c[i] + p * w;
        float want = 1.41421356237309504880f * (p * u);
        differ += z != want;
        assert_near((double)z, (double)want, 0, 2.4e-7);
    }
    print_message("%d of %d quantiles differ from libm's\n", differ, count);
    assert_true(differ <= count / 100000 + 2);
}

/* The number of values on which fused and separate scaling differ: 28 % for these bounds, none
 * where the width is a power of two. */
TEST(flavours_differ_where_they_should) {
    enum { N = 1 << 16 };
    static float a[N], b[N];
    for (int c = 0; c < 2; c++) {
        double low = c ? -.5 : -.3, high = c ? .5 : .45;
        fanin_torch_rng x = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT);
        fanin_torch_rng y = torch42(FANIN_TORCH_BASELINE, FANIN_TORCH_DEFAULT);
        assert_ok(fanin_torch_uniform(&x, FANIN_F32, N, low, high, a));
        assert_ok(fanin_torch_uniform(&y, FANIN_F32, N, low, high, b));
        int differ = 0;
        for (int i = 0; i < N; i++) {
            differ += a[i] != b[i];
            assert_near((double)a[i], (double)b[i], 3.0e-8, 0);
        }
        assert_near(differ / (double)N, c ? 0 : .28, c ? 0 : .01, 0);
    }
}

/* Arm builds fuse as avx2 does, and call the C library as baseline does. */
TEST(arm_lies_between) {
    enum { N = 1000 };
    static const fanin_torch_flavour other[] = {FANIN_TORCH_AVX2, FANIN_TORCH_BASELINE};
    static float a[N], b[N];
    for (int c = 0; c < 2; c++) {
        fanin_torch_rng x = torch42(FANIN_TORCH_ARM, FANIN_TORCH_2_0);
        fanin_torch_rng y = torch42(other[c], FANIN_TORCH_2_0);
        if (c == 0) {
            assert_ok(fanin_torch_uniform(&x, FANIN_F32, N, -.3, .45, a));
            assert_ok(fanin_torch_uniform(&y, FANIN_F32, N, -.3, .45, b));
        } else { /* with mean 0 and std 1 there is nothing to fuse */
            assert_ok(fanin_torch_normal(&x, FANIN_F32, N, 0, 1, a));
            assert_ok(fanin_torch_normal(&y, FANIN_F32, N, 0, 1, b));
        }
        assert_memory_equal(a, b, sizeof a);
    }
}

/* ---- pieces, spent draws, state ---------------------------------------------------------- */

static const fanin_dtype dtypes[] = {FANIN_F32, FANIN_F64, FANIN_BF16, FANIN_F16};
static const int versions[] = {FANIN_TORCH_1_13, FANIN_TORCH_2_1, FANIN_TORCH_2_12,
                               FANIN_TORCH_2_13};

static bool same_state(const fanin_torch_rng *a, const fanin_torch_rng *b) {
    unsigned char x[FANIN_TORCH_STATE_SIZE], y[FANIN_TORCH_STATE_SIZE];
    fanin_torch_state_export(a, x);
    fanin_torch_state_export(b, y);
    return memcmp(x, y, sizeof x) == 0;
}

TEST(pieces_make_the_whole) {
    unsigned char whole[8 * 1003], pieces[8 * 1003];
    for (size_t d = 0; d < 4; d++)
        for (size_t v = 0; v < 4; v++) {
            size_t size = fanin_dtype_size(dtypes[d]);
            fanin_torch_rng a = torch42(FANIN_TORCH_AVX2, versions[v]), b = a;
            assert_ok(fanin_torch_normal(&a, dtypes[d], 1003, .1, .37, whole));
            for (size_t i = 0; i < 1003;) { /* 16, 32, 48, ... and what is left */
                size_t n = i / 16 * 8 + 16;
                n = n / 16 * 16;
                if (1003 - i < n + 16) n = 1003 - i;
                assert_ok(fanin_torch_normal(&b, dtypes[d], n, .1, .37, pieces + i * size));
                i += n;
            }
            assert_memory_equal(whole, pieces, 1003 * size);
            assert_ok(fanin_torch_uniform(&a, dtypes[d], 1003, -.3, .45, whole));
            for (size_t i = 0; i < 1003; i += 59)
                assert_ok(fanin_torch_uniform(&b, dtypes[d], 1003 - i < 59 ? 1003 - i : 59, -.3,
                                              .45, pieces + i * size));
            assert_memory_equal(whole, pieces, 1003 * size);
            assert_true(same_state(&a, &b));
        }
}

TEST(spent_draws_count) {
    static const size_t lengths[] = {0, 1, 7, 15, 16, 17, 31, 32, 33, 1000};
    unsigned char out[8 * 1000];
    for (size_t d = 0; d < 4; d++)
        for (size_t v = 0; v < 4; v++)
            for (size_t i = 0; i < FANIN_COUNT(lengths); i++) {
                fanin_torch_rng a = torch42(FANIN_TORCH_AVX2, versions[v]), b = a;
                for (int k = 0; k < 2; k++) {
                    fanin_torch_rng *rng = k ? &b : &a;
                    void *to = k ? NULL : out;
                    assert_ok(fanin_torch_normal(rng, dtypes[d], lengths[i], 0, 1, to));
                    assert_ok(fanin_torch_uniform(rng, dtypes[d], lengths[i], 0, 1, to));
                    assert_ok(fanin_torch_normal_serial(rng, dtypes[d], lengths[i], 0, 1, to));
                    if (dtypes[d] == FANIN_F32)
                        assert_ok(
                            fanin_torch_trunc_normal(rng, dtypes[d], lengths[i], 0, 1, -2, 2, to));
                }
                assert_true(same_state(&a, &b));
            }
}

TEST(states_travel) {
    float x[40], y[40];
    unsigned char blob[FANIN_TORCH_STATE_SIZE];
    for (size_t n = 0; n < 1400; n += 13) {
        fanin_torch_rng a = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT), b;
        assert_ok(fanin_torch_uniform(&a, FANIN_F32, n, 0, 1, NULL));
        if (n % 3 == 1) assert_ok(fanin_torch_normal(&a, FANIN_F32, 3, 0, 1, x));
        fanin_torch_state_export(&a, blob);
        assert_ok(fanin_torch_rng_init(&b, 1, FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT));
        assert_ok(fanin_torch_state_import(&b, blob, NULL));
        assert_true(same_state(&a, &b));
        for (int k = 0; k < 3; k++) {
            size_t length = k == 1 ? 33 : 5;
            assert_ok(fanin_torch_normal(&a, FANIN_F32, length, 0, 1, x));
            assert_ok(fanin_torch_normal(&b, FANIN_F32, length, 0, 1, y));
            assert_memory_equal(x, y, length * sizeof *x);
        }
    }
}

TEST(state_layout) {
    unsigned char blob[FANIN_TORCH_STATE_SIZE];
    fanin_torch_rng rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT), other = rng;
    fanin_torch_state_export(&rng, blob);
    assert_int_equal(blob[0], 42);
    assert_int_equal(blob[8], 1);  /* left */
    assert_int_equal(blob[12], 1); /* seeded */
    assert_int_equal(blob[16], 0); /* next */
    assert_int_equal(blob[24], 42);
    assert_ok(fanin_torch_uniform(&rng, FANIN_F32, 10, 0, 1, NULL));
    fanin_torch_state_export(&rng, blob);
    assert_int_equal(blob[8] | blob[9] << 8, 625 - 10);
    assert_int_equal(blob[16], 10);
    fanin_err err = {0};
    blob[16] = 11;
    assert_int_equal(fanin_torch_state_import(&other, blob, &err), FANIN_FORMAT);
    blob[16] = 10;
    blob[28] = 1;
    assert_int_equal(fanin_torch_state_import(&other, blob, &err), FANIN_FORMAT);
    blob[28] = 0;
    blob[12] = 0;
    assert_int_equal(fanin_torch_state_import(&other, blob, &err), FANIN_FORMAT);
}

/* ---- orthogonal -------------------------------------------------------------------------- */

static double orthogonality_error(const double *q, size_t rows, size_t cols) {
    bool wide = rows < cols;
    size_t n = wide ? rows : cols, m = wide ? cols : rows;
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double s = 0;
            for (size_t k = 0; k < m; k++)
                s += wide ? q[i * cols + k] * q[j * cols + k] : q[k * cols + i] * q[k * cols + j];
            worst = fmax(worst, fabs(s - (i == j)));
        }
    return worst;
}

TEST(orthogonal_is_orthogonal) {
    static double q[200 * 64];
    fanin_torch_rng rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT);
    assert_ok(fanin_torch_orthogonal(&rng, FANIN_F64, (int64_t[]){200, 64}, 2, 1, q));
    assert_true(orthogonality_error(q, 200, 64) < 1e-14);
    assert_ok(fanin_torch_orthogonal(&rng, FANIN_F64, (int64_t[]){64, 20, 10}, 3, 1, q));
    assert_true(orthogonality_error(q, 64, 200) < 1e-14);
    static float z[64 * 200];
    static const int64_t dims[2][2] = {{200, 64}, {64, 200}};
    for (int c = 0; c < 2; c++) {
        assert_ok(fanin_jax_orthogonal(FANIN_JAX_PARTITIONABLE, fanin_jax_key_from(3, false),
                                       dims[c], 2, 1, z));
        for (size_t i = 0; i < FANIN_COUNT(z); i++) q[i] = (double)z[i];
        assert_true(orthogonality_error(q, (size_t)dims[c][0], (size_t)dims[c][1]) < 1e-6);
    }
}

TEST(orthogonal_does_not_depend_on_threads) {
    enum { ROWS = 150, COLS = 131 };
    static double q[2][ROWS * COLS];
    for (unsigned k = 0; k < 2; k++) {
        fanin_torch_rng rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT);
        fanin_threads_set(k ? 3 : 1);
        assert_ok(fanin_torch_orthogonal(&rng, FANIN_F64, (int64_t[]){ROWS, COLS}, 2, 1, q[k]));
    }
    fanin_threads_set(0);
    assert_true(orthogonality_error(q[0], ROWS, COLS) < 1e-14);
    assert_memory_equal(q[0], q[1], sizeof q[0]);
}

/* A column of zeros has R_kk = 0, whose sign zeroes the column of Q, as torch.sign does. */
TEST(orthogonal_of_a_deficient_matrix) {
    double a[3 * 2] = {3, 0, 0, 0, 4, 0};
    assert_ok(fanin__qr_signed(a, 3, 2));
    assert_near(a[0], 0.6, 1e-15, 0);
    assert_near(a[4], 0.8, 1e-15, 0);
    assert_true(a[1] == 0 && a[3] == 0 && a[5] == 0);
}

/* ---- one interface ----------------------------------------------------------------------- */

TEST(streams_open_from_text) {
    static const struct {
        const char *spec, *text;
    } good[] = {
        {"torch", "torch:flavour=avx2,version=2.13"},
        {"torch:version=1.13.1,flavour=BASELINE", "torch:flavour=baseline,version=1.13"},
        {"numpy", "numpy:bits=pcg64"},
        {"numpy:bits=randomstate", "numpy:bits=randomstate"},
        {"jax:mode=original", "jax:mode=original"},
        {"jax", "jax:mode=partitionable"},
    };
    static const char *const bad[] = {"fanin",
                                      "jax:",
                                      "torchx",
                                      "torch:flavour",
                                      "torch:a=b",
                                      "torch:version=2",
                                      "torch:version=1.12",
                                      "jax:mode=no",
                                      "numpy:bits=,",
                                      "torch:,flavour=avx2"};
    fanin_compat_stream s, again;
    fanin_err err = {0};
    char text[64], twice[64];
    for (size_t i = 0; i < FANIN_COUNT(good); i++) {
        assert_true(fanin_compat_known(good[i].spec));
        assert_ok_err(fanin_compat_open(&s, good[i].spec, 5, &err), err);
        assert_string_equal(fanin_compat_text(&s, text, sizeof text), good[i].text);
        assert_ok_err(fanin_compat_open(&again, text, 5, &err), err);
        assert_string_equal(fanin_compat_text(&again, twice, sizeof twice), text);
    }
    for (size_t i = 0; i < FANIN_COUNT(bad); i++) {
        err.message[0] = 0;
        assert_true(fanin_compat_open(&s, bad[i], 5, &err) != FANIN_OK);
        assert_true(err.message[0] != 0);
    }
    assert_false(fanin_compat_known("fanin"));
    assert_int_equal(fanin_compat_open(&s, "numpy:bits=randomstate", UINT64_C(1) << 32, &err),
                     FANIN_ARG);
    assert_non_null(fanin_compat_table(2));
    assert_null(fanin_compat_table(3));
}

TEST(jax_tensors_have_their_own_key) {
    fanin_compat_stream s;
    fanin_jax_key keys[4];
    float got[10], want[10];
    assert_ok(fanin_compat_open(&s, "jax", 9, NULL));
    assert_ok(fanin_jax_split(FANIN_JAX_PARTITIONABLE, fanin_jax_key_from(9, false), 4, keys));
    for (size_t t = 4; t-- > 0;) { /* in any order */
        fanin_compat_begin(&s, t);
        assert_ok(fanin_compat_normal(&s, FANIN_F32, 10, 0, 1, got));
        assert_ok(fanin_jax_normal(FANIN_JAX_PARTITIONABLE, keys[t], 10, want));
        assert_memory_equal(got, want, sizeof got);
        assert_ok(fanin_compat_normal(&s, FANIN_F32, 10, 0, 1, want));
        assert_memory_not_equal(got, want, sizeof got);
    }
}

TEST(numpy_tensors_follow_each_other) {
    fanin_compat_stream s;
    fanin_numpy_rng rng;
    double want[300];
    float got[300];
    uint16_t half[300], narrow[300];
    assert_ok(fanin_compat_open(&s, "numpy", 3, NULL));
    assert_ok(fanin_numpy_rng_init(&rng, FANIN_NUMPY_PCG64, 3));
    assert_ok(fanin_compat_normal(&s, FANIN_F32, 300, 1, 2, got));
    assert_ok(fanin_numpy_normal(&rng, FANIN_F64, 300, 1, 2, want));
    for (int i = 0; i < 300; i++) assert_true(got[i] == (float)want[i]);
    fanin_compat_begin(&s, 1);
    assert_ok(fanin_compat_uniform(&s, FANIN_BF16, 300, -1, 1, half));
    assert_ok(fanin_numpy_uniform(&rng, FANIN_F32, 300, -1, 1, got));
    assert_ok(fanin_convert_from_f32(got, 300, FANIN_BF16, narrow));
    assert_memory_equal(half, narrow, sizeof half);
    assert_ok(fanin_compat_trunc_normal(&s, FANIN_F64, 300, 0, 1, -.5, 1, want));
    for (int i = 0; i < 300; i++) assert_true(want[i] >= -.5 && want[i] <= 1);
}

TEST(streams_spend_draws_too) {
    static const char *const specs[] = {"torch", "numpy", "numpy:bits=mt19937", "jax"};
    static const int64_t dims[] = {9, 7};
    float x[63], y[63];
    for (size_t i = 0; i < FANIN_COUNT(specs); i++) {
        fanin_compat_stream s[2];
        for (int k = 0; k < 2; k++) {
            void *out = k ? x : NULL;
            assert_ok(fanin_compat_open(&s[k], specs[i], 11, NULL));
            assert_ok(fanin_compat_uniform(&s[k], FANIN_F32, 63, 0, 1, out));
            assert_ok(fanin_compat_normal(&s[k], FANIN_F32, 63, 0, 1, out));
            assert_ok(fanin_compat_trunc_normal(&s[k], FANIN_F32, 63, 0, 1, -2, 2, out));
            assert_ok(fanin_compat_orthogonal(&s[k], FANIN_F32, dims, 2, 1, out));
        }
        assert_ok(fanin_compat_normal(&s[0], FANIN_F32, 63, 0, 1, x));
        assert_ok(fanin_compat_normal(&s[1], FANIN_F32, 63, 0, 1, y));
        assert_memory_equal(x, y, sizeof x);
    }
}

/* A small model by each recipe against the calls that its constructor makes. */
typedef struct tiny_model {
    float conv[8 * 3 * 3 * 3], bias[8], scale[8], shift[8], fc[5 * 8], fc_bias[5];
} tiny_model;

static const int64_t conv_dims[] = {8, 3, 3, 3}, eight[] = {8}, fc_dims[] = {5, 8}, five[] = {5};

static void tiny_construct(fanin_torch_rng *rng, tiny_model *m) {
    double bound = 1 / sqrt(27.0), fc_bound = 1 / sqrt(8.0);
    assert_ok(fanin_torch_kaiming_uniform(rng, FANIN_F32, conv_dims, 4, sqrt(5), false,
                                          "leaky_relu", m->conv));
    assert_ok(fanin_torch_uniform(rng, FANIN_F32, 8, -bound, bound, m->bias));
    for (int i = 0; i < 8; i++) m->scale[i] = 1, m->shift[i] = 0;
    assert_ok(fanin_torch_kaiming_uniform(rng, FANIN_F32, fc_dims, 2, sqrt(5), false, "leaky_relu",
                                          m->fc));
    assert_ok(fanin_torch_uniform(rng, FANIN_F32, 5, -fc_bound, fc_bound, m->fc_bias));
}

static void tiny_again(fanin_torch_rng *rng, const char *recipe, tiny_model *m) {
    if (strcmp(recipe, "default") == 0) return;
    bool vgg = strcmp(recipe, "vgg") == 0 || strcmp(recipe, "mobilenet") == 0;
    assert_ok(fanin_torch_kaiming_normal(rng, FANIN_F32, conv_dims, 4, 0,
                                         strcmp(recipe, "densenet") != 0, "relu", m->conv));
    if (vgg) memset(m->bias, 0, sizeof m->bias);
    if (vgg) assert_ok(fanin_torch_normal(rng, FANIN_F32, 40, 0, .01, m->fc));
    if (vgg || strcmp(recipe, "densenet") == 0) memset(m->fc_bias, 0, sizeof m->fc_bias);
}

TEST(models_by_recipe) {
    for (size_t i = 0; fanin_torch_recipe_table(i); i++) {
        const fanin_torch_recipe *recipe = fanin_torch_recipe_table(i);
        tiny_model got, want;
        memset(&got, 0xa5, sizeof got);
        const fanin_torch_parameter conv[] = {{"weight", FANIN_F32, conv_dims, 4, got.conv},
                                              {"bias", FANIN_F32, eight, 1, got.bias}};
        const fanin_torch_parameter norm[] = {{"weight", FANIN_F32, eight, 1, got.scale},
                                              {"bias", FANIN_F32, eight, 1, got.shift}};
        const fanin_torch_parameter fc[] = {{"weight", FANIN_F32, fc_dims, 2, got.fc},
                                            {"bias", FANIN_F32, five, 1, got.fc_bias}};
        const fanin_torch_submodule modules[] = {
            {FANIN_TORCH_CONV, conv, 2}, {FANIN_TORCH_NORM, norm, 2}, {FANIN_TORCH_LINEAR, fc, 2}};
        fanin_torch_rng a = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT), b = a;
        assert_ptr_equal(fanin_torch_recipe_find(recipe->name), recipe);
        assert_ok(fanin_torch_model_init(&a, recipe, modules, 3, NULL));
        tiny_construct(&b, &want);
        tiny_again(&b, recipe->name, &want);
        assert_memory_equal(&got, &want, sizeof got);
        assert_true(same_state(&a, &b));
    }
    assert_null(fanin_torch_recipe_find("alexnet"));
}

/* The example at the head of the header. */
TEST(header_example) {
    fanin_torch_rng rng;
    static float w[64 * 32];
    assert_ok(fanin_torch_rng_init(&rng, 42, FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT));
    assert_ok(fanin_torch_kaiming_uniform(&rng, FANIN_F32, (int64_t[]){64, 32}, 2, sqrt(5), false,
                                          "leaky_relu", w));
    expect_sha("kaiming_uniform_(64, 32)", w, sizeof w,
               "1c4a1b8e55922e7fc0aa6fac20f829061727834d7461dab7b9928ab28d7078db");
}

/* ---- faults ------------------------------------------------------------------------------ */

TEST(arguments_are_checked) {
    fanin_torch_rng rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT), before = rng;
    fanin_err err = {0};
    float x[64];
    const int64_t square[] = {4, 4}, negative[] = {4, -4}, flat[] = {4};
    assert_int_equal(fanin_torch_rng_init(&rng, 0, (fanin_torch_flavour)9, 213), FANIN_ARG);
    assert_int_equal(fanin_torch_rng_init(&rng, 0, FANIN_TORCH_AVX2, 112), FANIN_ARG);
    rng = before;
    assert_int_equal(fanin_torch_uniform(&rng, FANIN_I32, 4, 0, 1, x), FANIN_UNSUPPORTED);
    assert_int_equal(fanin_torch_uniform(&rng, FANIN_F32, 4, 1, 0, x), FANIN_ARG);
    assert_int_equal(fanin_torch_uniform(&rng, FANIN_F32, 4, NAN, 0, x), FANIN_ARG);
    assert_int_equal(fanin_torch_normal(&rng, FANIN_F32, 4, 0, -1, x), FANIN_ARG);
    assert_int_equal(fanin_torch_trunc_normal(&rng, FANIN_F32, 4, 0, 1, 2, 2, x), FANIN_ARG);
    assert_int_equal(fanin_torch_xavier_normal(&rng, FANIN_F32, flat, 1, 1, x), FANIN_SHAPE);
    assert_int_equal(fanin_torch_xavier_normal(&rng, FANIN_F32, negative, 2, 1, x), FANIN_SHAPE);
    assert_int_equal(fanin_torch_kaiming_normal(&rng, FANIN_F32, square, 2, 0, false, "gelu", x),
                     FANIN_NOTFOUND);
    assert_int_equal(fanin_torch_dirac(FANIN_F32, (int64_t[]){4, 4, 1}, 3, 3, x), FANIN_ARG);
    fanin_torch_parameter p[] = {{"weight", FANIN_F32, square, 2, x},
                                 {"gain", FANIN_F32, square, 2, x}};
    assert_true(same_state(&rng, &before)); /* nothing above has drawn */
    assert_int_equal(fanin_torch_module_init(&rng, FANIN_TORCH_LINEAR, p, 2, &err), FANIN_NOTFOUND);
    assert_non_null(strstr(err.message, "gain"));
    assert_int_equal(fanin_torch_module_init(&rng, FANIN_TORCH_LINEAR, p, 0, &err), FANIN_NOTFOUND);
    assert_int_equal(fanin_torch_module_init(&rng, FANIN_TORCH_ATTENTION, p, 1, &err),
                     FANIN_NOTFOUND);
    assert_int_equal(fanin_torch_module_init(&rng, (fanin_torch_module)99, p, 1, &err), FANIN_ARG);
    assert_string_equal(fanin_torch_module_name(FANIN_TORCH_LSTM), "LSTM");
    /* A proposal that would not come back: PyTorch hangs, fanin says so. */
    assert_int_equal(fanin_torch_trunc_normal(&rng, FANIN_F32, 4, 0, 1, 30, 1e30, x), FANIN_NOCONV);
}

/* Refuses the n-th request from now, and counts what is alive. */
typedef struct refusing {
    int until, alive;
} refusing;

static void *refuse_resize(void *ctx, void *p, size_t size) {
    refusing *r = ctx;
    if (r->until-- == 0) return NULL;
    r->alive += p == NULL;
    return realloc(p, size ? size : 1);
}

static void refuse_release(void *ctx, void *p) {
    ((refusing *)ctx)->alive -= p != NULL;
    free(p);
}

static fanin_status allocating_calls(int which) {
    static float x[64];
    fanin_torch_rng rng = torch42(FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT);
    fanin_compat_stream s;
    uint16_t h[64];
    const int64_t dims[] = {8, 8};
    const fanin_torch_parameter p[] = {{"weight", FANIN_F32, dims, 2, x}};
    switch (which) {
    case 0: return fanin_torch_trunc_normal(&rng, FANIN_F32, 64, 0, 1, -2, 2, x);
    case 1: return fanin_torch_trunc_normal(&rng, FANIN_F32, 64, 0, 1, 2.5, 3.5, x);
    case 2: return fanin_torch_orthogonal(&rng, FANIN_F32, dims, 2, 1, x);
    case 3: return fanin_torch_sparse(&rng, FANIN_F32, dims, 2, .5, 1, x);
    case 4: return fanin_torch_module_init(&rng, FANIN_TORCH_LINEAR, p, 1, NULL);
    case 5:
        return fanin_jax_orthogonal(FANIN_JAX_ORIGINAL, fanin_jax_key_from(1, false), dims, 2, 1,
                                    x);
    default:
        fanin_compat_open(&s, "jax", 1, NULL);
        return fanin_compat_normal(&s, FANIN_BF16, 64, 0, 1, h);
    }
}

TEST(memory_faults_are_survived) {
    for (int which = 0; which < 7; which++) {
        fanin_status status = FANIN_NOMEM;
        for (int n = 0; n < 30 && status == FANIN_NOMEM; n++) {
            refusing r = {.until = n};
            fanin_allocator_set(&(fanin_allocator){refuse_resize, refuse_release, &r});
            status = allocating_calls(which);
            fanin_allocator_set(NULL);
            assert_int_equal(r.alive, 0);
            assert_true(n > 0 || status == FANIN_NOMEM);
        }
        assert_int_equal(status, FANIN_OK);
    }
}
