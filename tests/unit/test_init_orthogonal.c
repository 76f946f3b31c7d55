/* Orthogonal matrices: orthonormal, Haar, the same bits on every instruction set and number of threads;
 * the fixed-order product that they stand on. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/fma_gemm.h"
#include "fanin/init.h"
#include "init/fixed.h"
#include "init/haar_lay.h"
#include "testing.h"

/* ---- the product ------------------------------------------------------------------------- */

static float noise(size_t i) { return (float)((double)(i * 2654435761u % 100003) / 50001.5 - 1); }

/* Every tile that runs here against one chain an element. */
TEST(tiles_are_one_chain_an_element) {
    enum { K = 67, ROW = 48 };
    static _Alignas(64) float a[K * 12], b[K * 32], c[12 * ROW], want[12 * ROW];
    fanin__fma_tile tile[3] = {fanin__fma_tile_ref};
    int count = 1;
#if defined(__x86_64__)
    if (fanin_cpu_level() >= FANIN_CPU_AVX2) tile[count++] = fanin__fma_tile_avx2;
    if (fanin_cpu_level() >= FANIN_CPU_AVX512) tile[count++] = fanin__fma_tile_avx512;
#endif
    for (size_t i = 0; i < K * 12; i++) a[i] = noise(i);
    for (size_t i = 0; i < K * 32; i++) b[i] = noise(i + 7777);
    for (int t = 0; t < count; t++)
        for (size_t k = 0; k <= K; k += k < 4 ? 1 : 21)
            for (int mode = FANIN__FMA_SET; mode <= (int)FANIN__FMA_SUB; mode++) {
                for (size_t i = 0; i < 12 * ROW; i++) c[i] = want[i] = noise(i + 99);
                for (size_t i = 0; i < 12; i++)
                    for (size_t j = 0; j < 32; j++) {
                        float *w = &want[i * ROW + j];
                        if (mode == FANIN__FMA_SET) *w = 0;
                        for (size_t q = 0; q < k; q++)
                            *w = fmaf(mode == FANIN__FMA_SUB ? -a[q * 12 + i] : a[q * 12 + i],
                                      b[q * 32 + j], *w);
                    }
                tile[t](k, a, b, c, ROW, (fanin__fma_mode)mode);
                assert_memory_equal(c, want, sizeof c);
            }
}

TEST(products_of_any_shape_are_chains) {
    static const size_t shapes[][3] = {{1, 1, 1},     {12, 32, 256}, {13, 33, 257}, {5, 70, 3},
                                       {100, 9, 600}, {7, 7, 0},     {25, 64, 512}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int across = 0; across <= 1; across++)
            for (int mode = FANIN__FMA_SET; mode <= (int)FANIN__FMA_SUB; mode++) {
                size_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
                float *a = malloc((m * k + 1) * 4), *b = malloc((k * n + 1) * 4);
                float *c = malloc(m * n * 4), *want = malloc(m * n * 4);
                for (size_t i = 0; i < m * k; i++) a[i] = noise(i);
                for (size_t i = 0; i < k * n; i++) b[i] = noise(i + 3);
                for (size_t i = 0; i < m * n; i++) c[i] = want[i] = noise(i + 5);
                fanin__fma_gemm_args g = {.m = m,
                                          .n = n,
                                          .k = k,
                                          .a = a,
                                          .b = b,
                                          .c = c,
                                          .a_row = across ? 1 : k,
                                          .a_col = across ? m : 1,
                                          .b_row = across ? 1 : n,
                                          .b_col = across ? k : 1,
                                          .c_row = across ? 1 : n,
                                          .c_col = across ? m : 1,
                                          .mode = (fanin__fma_mode)mode};
                for (size_t i = 0; i < m; i++)
                    for (size_t j = 0; j < n; j++) {
                        float *w = &want[i * g.c_row + j * g.c_col];
                        if (mode == FANIN__FMA_SET) *w = 0;
                        for (size_t q = 0; q < k; q++) {
                            float x = a[i * g.a_row + q * g.a_col];
                            *w = fmaf(mode == FANIN__FMA_SUB ? -x : x, b[q * g.b_row + j * g.b_col],
                                      *w);
                        }
                    }
                assert_ok(fanin__fma_gemm_f32(&g));
                assert_memory_equal(c, want, m * n * 4);
                free(a);
                free(b);
                free(c);
                free(want);
            }
}

/* ---- helpers of the rules ---------------------------------------------------------------- */

TEST(fixed_logarithm_and_root) {
    for (double x = 1e-300; x < 1e300; x *= 1.37e3)
        assert_near(fanin__fixed_log(x), log(x), 0, 4e-16);
    for (double x = 0.5; x < 2; x += 0.000713)
        assert_near(fanin__fixed_log(x), log(x), 1e-16, 4e-16);
    assert_true(fanin__fixed_log(1) == 0);
    assert_near(fanin__fixed_root(256, 8), 2, 0, 3e-16);
    assert_near(fanin__fixed_root(1000, 784), pow(1000, 1.0 / 784), 0, 1e-15);
    assert_true(fanin__fixed_root(1, 5) == 1 && fanin__fixed_root(7, 1) == 7);
}

/* ---- matrices ---------------------------------------------------------------------------- */

/* Largest |Q'Q - I| or |QQ' - I| of the shorter side, in double. */
static double defect(const float *q, size_t rows, size_t cols) {
    size_t n = rows < cols ? rows : cols, length = rows < cols ? cols : rows;
    size_t line = rows < cols ? cols : 1, step = rows < cols ? 1 : cols;
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t k = 0; k < length; k++)
                sum += (double)q[i * line + k * step] * (double)q[j * line + k * step];
            worst = fmax(worst, fabs(sum - (i == j)));
        }
    return worst;
}

static double defect_f64(const double *q, size_t rows, size_t cols) {
    size_t n = rows < cols ? rows : cols, length = rows < cols ? cols : rows;
    size_t line = rows < cols ? cols : 1, step = rows < cols ? 1 : cols;
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t k = 0; k < length; k++)
                sum += q[i * line + k * step] * q[j * line + k * step];
            worst = fmax(worst, fabs(sum - (i == j)));
        }
    return worst;
}

static void *poisoned_resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    unsigned char *q = realloc(p, size);
    if (q && !p) memset(q, 0xFF, size); /* NaN in every type */
    return q;
}

static void plain_release(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static float *haar(size_t rows, size_t cols, uint64_t seed, uint64_t address) {
    fanin_stream stream = fanin_stream_init(seed, "q");
    float *q = malloc(rows * cols * sizeof *q);
    assert_ok(fanin__haar_fill(&stream, address, rows, cols, 1, q));
    return q;
}

TEST(the_shorter_side_is_orthonormal) {
    static const size_t shapes[][2] = {{1, 1},      {1, 7},    {7, 1},    {2, 2},     {32, 32},
                                       {33, 33},    {32, 90},  {90, 33},  {97, 97},   {96, 200},
                                       {200, 96},   {193, 97}, {97, 193}, {300, 300}, {12, 500},
                                       {130, 1000}, {400, 33}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        float *q = haar(shapes[s][0], shapes[s][1], s, 0);
        double d = defect(q, shapes[s][0], shapes[s][1]);
        if (d > 1e-6) print_error("%zu x %zu: %g\n", shapes[s][0], shapes[s][1], d);
        assert_true(d <= 1e-6);
        q[0] += 3e-3f; /* planted */
        assert_true(defect(q, shapes[s][0], shapes[s][1]) > 1e-6);
        free(q);
    }
}

/* float64: orthogonal to rounding, near the float matrix, the same on any thread count, nothing read before it is
 * written. */
TEST(float64_is_orthonormal_to_rounding) {
    static const size_t shapes[][2] = {{1, 1},    {1, 7},    {2, 2},     {33, 33},  {90, 33},
                                       {97, 193}, {200, 96}, {300, 300}, {16, 500}, {400, 17}};
    static const fanin_allocator poisoned = {poisoned_resize, plain_release, NULL};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t rows = shapes[s][0], cols = shapes[s][1], count = rows * cols;
        fanin_stream stream = fanin_stream_init(s, "q");
        float *q = haar(rows, cols, s, 0);
        double *wide = malloc(count * sizeof *wide), *again = malloc(count * sizeof *again);
        assert_ok(fanin__haar_fill_f64(&stream, 0, rows, cols, 1, wide));
        assert_true(defect_f64(wide, rows, cols) <= 1e-14);
        for (size_t i = 0; i < count; i++) assert_near(wide[i], (double)q[i], 1e-6, 0);
        fanin_threads_set(3);
        fanin_allocator_set(&poisoned);
        assert_ok(fanin__haar_fill_f64(&stream, 0, rows, cols, 1, again));
        fanin_allocator_set(NULL);
        fanin_threads_set(0);
        assert_memory_equal(again, wide, count * sizeof *wide);
        assert_ok(fanin__haar_fill_f64(&stream, 0, rows, cols, 2.5, again));
        for (size_t i = 0; i < count; i++) assert_true(again[i] == wide[i] * 2.5);
        wide[0] += 1e-12; /* planted */
        assert_true(defect_f64(wide, rows, cols) > 1e-14);
        free(again);
        free(wide);
        free(q);
    }
}

/* Every variant that runs here lays out and sums the same bits, on blocks of any size. */
TEST(variants_lay_out_the_same_bits) {
    enum { B = FANIN__HAAR_BLOCK, BAND = FANIN__HAAR_BAND, ROWS = 211, WIDE = 130 };
    const fanin__haar_lay *lay[] = {fanin__haar_lay_ref(), fanin__haar_lay_avx2(),
                                    fanin__haar_lay_avx512()};
    static float x[ROWS * WIDE], to[3][3][(ROWS + 12) * B];
    static double a[ROWS * BAND], sums[3][2][B], gram[3][BAND * BAND];
    fanin_stream stream = fanin_stream_init(2, "x");
    const fanin_law normal = {.kind = FANIN_LAW_NORMAL, .b = 1};
    assert_ok(fanin_random_fill(&stream, 0, &normal, 0, ROWS * WIDE, FANIN_F32, x));
    assert_ok(fanin_random_fill(&stream, 0, &normal, 0, ROWS * BAND, FANIN_F64, a));
    for (size_t columns = B; columns > 0; columns -= columns > 90 ? 1 : 30)
        for (int v = 0; v < 3; v++) {
            if (!lay[v] || fanin_cpu_level() < v) continue;
            double scale[B] = {0};
            memset(to[v], 0, sizeof to[v]);
            memset(sums[v], 0, sizeof sums[v]);
            memset(gram[v], 0, sizeof gram[v]);
            lay[v]->squares(x, WIDE, ROWS, columns, sums[v][0]);
            for (size_t j = 0; j < columns; j++) scale[j] = 1 / sqrt(sums[v][0][j]);
            lay[v]->rows(x, WIDE, ROWS, columns, scale, sums[v][1],
                         (fanin__haar_layouts){to[v][0], to[v][1], to[v][2]});
            lay[v]->gram(ROWS, a, a, gram[v]);
            assert_memory_equal(to[v], to[0], sizeof to[0]);
            assert_memory_equal(sums[v], sums[0], sizeof sums[0]);
            assert_memory_equal(gram[v], gram[0], sizeof gram[0]);
            assert_true(gram[v][BAND + 1] > 0 && sums[v][1][0] > 0);
        }
}

/* The bound at full size, on a sample of columns against all others; the last ones are the worst.
 * 4096 with --scale 2 and above. */
TEST(large_matrices_are_orthonormal) {
    size_t n = test_scale() > 1 ? 4096 : 1100;
    float *q = haar(n, n, 0, 0);
    double *sum = malloc(n * sizeof *sum), worst = 0;
    for (size_t i = n - 1; i<n; i -= i> n - 30 ? 1 : n / 20) {
        memset(sum, 0, n * sizeof *sum);
        for (size_t k = 0; k < n; k++)
            for (size_t j = 0; j < n; j++) sum[j] += (double)q[k * n + i] * (double)q[k * n + j];
        sum[i] -= 1;
        for (size_t j = 0; j < n; j++) worst = fmax(worst, fabs(sum[j]));
    }
    if (worst > 8e-7) print_error("n = %zu: %g\n", n, worst);
    assert_true(worst <= 8e-7);
    free(sum);
    free(q);
}

/* Wide is the transpose of tall, both through the products and through the small path. */
TEST(wide_is_tall_transposed) {
    static const size_t shapes[][2] = {{150, 100}, {40, 9}, {500, 40}};
    for (size_t s = 0; s < 3; s++) {
        size_t m = shapes[s][0], n = shapes[s][1];
        float *tall = haar(m, n, 1, 0), *wide = haar(n, m, 1, 0);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) assert_true(tall[i * n + j] == wide[j * m + i]);
        free(tall);
        free(wide);
    }
}

/* Memory that holds NaN when it is given: nothing is read before it is written. */
TEST(nothing_comes_from_memory) {
    static const fanin_allocator poisoned = {poisoned_resize, plain_release, NULL};
    static const size_t shapes[][2] = {{700, 900}, {224, 224}, {130, 1000}, {97, 97}, {20, 30}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t rows = shapes[s][0], cols = shapes[s][1];
        float *clean = haar(rows, cols, 1, 0);
        fanin_allocator_set(&poisoned);
        float *q = haar(rows, cols, 1, 0);
        fanin_allocator_set(NULL);
        assert_memory_equal(q, clean, rows * cols * sizeof *q);
        for (size_t i = 0; i < rows * cols; i++) assert_true(isfinite(q[i]));
        free(q);
        free(clean);
    }
}

/* Against the definition in double: Q = H_0 ... H_{n-1} D from the same normals. */
TEST(blocks_equal_reflectors_one_by_one) {
    enum { M = 230, N = 205 };
    fanin_stream stream = fanin_stream_init(9, "q");
    fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
    static float x[M * N];
    static double q[M][N];
    assert_ok(fanin_random_fill(&stream, FANIN__HAAR_PLANE, &law, 1000, M * N, FANIN_F32, x));
    for (size_t j = N; j-- > 0;) {
        double norm = 0, v[M] = {0}, squares = 0;
        for (size_t i = j; i < M; i++) norm += (double)x[i * N + j] * x[i * N + j];
        norm = sqrt(norm);
        for (size_t i = j; i < M; i++) v[i] = (double)x[i * N + j];
        v[j] += v[j] < 0 ? -norm : norm;
        for (size_t i = j; i < M; i++) squares += v[i] * v[i];
        q[j][j] = x[j * N + j] < 0 ? 1 : -1;
        for (size_t c = j; c < N; c++) {
            double w = 0;
            for (size_t i = j; i < M; i++) w += v[i] * q[i][c];
            for (size_t i = j; i < M; i++) q[i][c] -= 2 * w / squares * v[i];
        }
    }
    float *got = haar(M, N, 9, 1000);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) assert_near((double)got[i * N + j], q[i][j], 4e-6, 0);
    /* The QR convention: Q of a Gaussian with positive R has q_00 of the sign of x_00. */
    assert_true((q[0][0] > 0) == (x[0] > 0));
    free(got);
}

/* Hash of the bits, so that other machines can be held against this one. */
static uint64_t hash(const void *data, size_t size) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return h;
}

TEST(threads_change_no_bit) {
    uint64_t first = 0;
    for (unsigned threads = 1; threads <= 5; threads += 2) {
        fanin_threads_set(threads);
        float *q = haar(310, 260, 3, 0);
        uint64_t h = hash(q, 310 * 260 * sizeof *q);
        if (threads == 1) first = h;
        assert_true(h == first);
        free(q);
    }
    fanin_threads_set(0);
}

/* ---- Haar -------------------------------------------------------------------------------- */

/* Uniform on O(n): the trace of a 3 x 3 has E tr = 0, E tr^2 = 1, E tr^4 = 3 (exact for n >= 2), and half of the
 * matrices are reflections. 40000 matrices; z at alpha 1e-6 each. Var tr^4 is about 96. A QR without
 * sign correction has E tr far from 0; a fixed last sign makes every determinant equal. */
TEST(small_matrices_are_haar) {
    enum { N = 40000 };
    double tr = 0, tr2 = 0, tr4 = 0, corner = 0, reflections = 0;
    fanin_stream stream = fanin_stream_init(test_seed(), "haar");
    for (uint64_t i = 0; i < N; i++) {
        float q[9];
        assert_ok(fanin__haar_fill(&stream, i * 9, 3, 3, 1, q));
        double t = (double)q[0] + (double)q[4] + (double)q[8];
        double det = (double)q[0] * ((double)q[4] * q[8] - (double)q[5] * q[7]) -
                     (double)q[1] * ((double)q[3] * q[8] - (double)q[5] * q[6]) +
                     (double)q[2] * ((double)q[3] * q[7] - (double)q[4] * q[6]);
        tr += t;
        tr2 += t * t;
        tr4 += t * t * t * t;
        corner += (double)q[8] * q[8] * q[8] * q[8]; /* E q^4 = 3 / (n (n + 2)) = 1/5 */
        reflections += det < 0;
    }
    double root = sqrt(N);
    assert_near(tr / root, 0, 4.89, 0);
    assert_near((tr2 - N) / root, 0, 4.89 * sqrt(2), 0);
    assert_near((tr4 - 3.0 * N) / root, 0, 4.89 * sqrt(96), 0);
    assert_near((corner - 0.2 * N) / root, 0, 4.89 * sqrt(1.0 / 9 - 0.04), 0); /* E q^8 = 1/9 */
    assert_near((reflections - 0.5 * N) / root, 0, 4.89 * 0.5, 0);
}

/* The same for a matrix made of blocks: traces of 100 x 100 powers, E tr Q^k Q^-k... of Q alone: tr is N(0, 1),
 * tr Q^2 is N(1, 2) (Diaconis, Shahshahani 1994). 300 matrices. */
TEST(large_matrices_are_haar) {
    enum { N = 300, SIZE = 100 };
    double tr = 0, tr_2 = 0, square = 0;
    for (uint64_t s = 0; s < N; s++) {
        float *q = haar(SIZE, SIZE, s, 0);
        double t = 0, t2 = 0;
        for (size_t i = 0; i < SIZE; i++) {
            t += (double)q[i * SIZE + i];
            for (size_t j = 0; j < SIZE; j++) t2 += (double)q[i * SIZE + j] * q[j * SIZE + i];
        }
        tr += t;
        tr_2 += t * t;
        square += t2;
        free(q);
    }
    double root = sqrt(N);
    assert_near(tr / root, 0, 4.89, 0);
    assert_near((tr_2 - N) / root, 0, 4.89 * sqrt(2), 0);
    assert_near((square - N) / root, 0, 4.89 * sqrt(2), 0);
}

/* ---- the rule on tensors ----------------------------------------------------------------- */

/* Rows o, columns (input, tap) of block b gathered by hand for each layout. */
static void block_is_orthonormal(const fanin_tensor *t, const char *text, size_t blocks,
                                 double gain, float *(*gather)(const float *, size_t), size_t rows,
                                 size_t cols) {
    fanin_rule rule;
    fanin_err err = {0};
    size_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= (size_t)t->dims[i];
    float *x = malloc(count * sizeof *x);
    assert_ok_err(fanin_rule_parse(text, &rule, &err), err);
    assert_ok_err(fanin_rule_fill(&rule, t, 2, 0, count, FANIN_F32, x, &err), err);
    for (size_t b = 0; b < blocks; b++) {
        float *q = gather(x, b);
        for (size_t i = 0; i < rows * cols; i++) q[i] = (float)((double)q[i] / gain);
        assert_true(defect(q, rows, cols) <= 1e-6);
        free(q);
    }
    free(x);
}

static float *whole_50x75(const float *x, size_t b) {
    (void)b;
    float *q = malloc(50 * 75 * sizeof *q);
    memcpy(q, x, 50 * 75 * sizeof *q);
    return q;
}

static float *part_of_3(const float *x, size_t b) {
    float *q = malloc(40 * 64 * sizeof *q);
    memcpy(q, x + b * 40 * 64, 40 * 64 * sizeof *q);
    return q;
}

static float *matmul_70x30(const float *x, size_t b) { /* stored 30 in x 70 out */
    (void)b;
    float *q = malloc(70 * 30 * sizeof *q);
    for (size_t o = 0; o < 70; o++)
        for (size_t i = 0; i < 30; i++) q[o * 30 + i] = x[i * 70 + o];
    return q;
}

static float *transposed_group(const float *x,
                               size_t b) { /* 12 in, 5 out a group, 2 x 2, 3 groups */
    float *q = malloc(5 * 16 * sizeof *q);
    for (size_t o = 0; o < 5; o++)
        for (size_t i = 0; i < 4; i++)
            for (size_t k = 0; k < 4; k++) q[o * 16 + i * 4 + k] = x[((b * 4 + i) * 5 + o) * 4 + k];
    return q;
}

TEST(layouts_parts_and_groups) {
    fanin_tensor conv = fanin_tensor_torch("conv", 4, (int64_t[]){50, 3, 5, 5});
    block_is_orthonormal(&conv, "orthogonal:gain=1.5", 1, 1.5, whole_50x75, 50, 75);
    fanin_tensor qkv = fanin_tensor_torch("qkv", 2, (int64_t[]){120, 64});
    qkv.parts = 3;
    block_is_orthonormal(&qkv, "orthogonal:nonlinearity=tanh", 3, 5.0 / 3, part_of_3, 40, 64);
    fanin_tensor heads = fanin_tensor_torch("q", 2, (int64_t[]){120, 64});
    block_is_orthonormal(&heads, "orthogonal:groups=3", 3, 1, part_of_3, 40, 64);
    fanin_tensor matmul = fanin_tensor_torch("matmul", 2, (int64_t[]){30, 70});
    matmul.out_axis = 1;
    matmul.in_axis = 0;
    block_is_orthonormal(&matmul, "orthogonal", 1, 1, matmul_70x30, 70, 30);
    fanin_tensor up = fanin_tensor_torch("up", 4, (int64_t[]){12, 5, 2, 2});
    up.cls = FANIN_CLASS_CONV_TRANSPOSE;
    up.out_axis = 1;
    up.in_axis = 0;
    up.groups = 3;
    block_is_orthonormal(&up, "orthogonal", 3, 1, transposed_group, 5, 16);
}

/* The storage order does not change the matrix. */
TEST(layout_does_not_change_the_matrix) {
    fanin_tensor a = fanin_tensor_torch("w", 2, (int64_t[]){70, 30}),
                 b = fanin_tensor_torch("w", 2, (int64_t[]){30, 70});
    b.out_axis = 1;
    b.in_axis = 0;
    fanin_rule rule;
    static float x[2100], y[2100];
    assert_ok(fanin_rule_parse("orthogonal", &rule, NULL));
    assert_ok(fanin_rule_fill(&rule, &a, 0, 0, 2100, FANIN_F32, x, NULL));
    assert_ok(fanin_rule_fill(&rule, &b, 0, 0, 2100, FANIN_F32, y, NULL));
    for (size_t o = 0; o < 70; o++)
        for (size_t i = 0; i < 30; i++) assert_true(x[o * 30 + i] == y[i * 70 + o]);
}

/* Xiao 2018: with circular padding the delta-orthogonal convolution keeps the norm of any input. */
TEST(delta_orthogonal_keeps_norms) {
    enum { OUT = 24, IN = 16, K = 3, LENGTH = 10 };
    fanin_tensor t = fanin_tensor_torch("w", 3, (int64_t[]){OUT, IN, K});
    fanin_rule rule;
    float w[OUT * IN * K];
    assert_ok(fanin_rule_parse("delta_orthogonal", &rule, NULL));
    assert_ok(fanin_rule_fill(&rule, &t, 0, 0, OUT * IN * K, FANIN_F32, w, NULL));
    double x[IN][LENGTH], before = 0, after = 0;
    for (size_t i = 0; i < IN; i++)
        for (size_t p = 0; p < LENGTH; p++) {
            x[i][p] = (double)noise(i * LENGTH + p);
            before += x[i][p] * x[i][p];
        }
    for (size_t o = 0; o < OUT; o++)
        for (size_t p = 0; p < LENGTH; p++) {
            double y = 0;
            for (size_t i = 0; i < IN; i++)
                for (size_t k = 0; k < K; k++)
                    y += (double)w[(o * IN + i) * K + k] * x[i][(p + k + LENGTH - 1) % LENGTH];
            after += y * y;
        }
    assert_near(after, before, 0, 1e-6);
}

/* ---- no memory --------------------------------------------------------------------------- */

static struct { long left, live; } faults;

static void *counting_resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (__atomic_fetch_sub(&faults.left, 1, __ATOMIC_RELAXED) <= 0) return NULL;
    void *q = realloc(p, size);
    if (q && !p) __atomic_fetch_add(&faults.live, 1, __ATOMIC_RELAXED);
    return q;
}

static void counting_release(void *ctx, void *p) {
    (void)ctx;
    if (p) __atomic_fetch_sub(&faults.live, 1, __ATOMIC_RELAXED);
    free(p);
}

TEST(every_allocation_may_fail) {
    static const char *const rules[] = {"orthogonal", "orthogonal:groups=10", "sparse", "unit_norm",
                                        "nguyen_widrow"};
    static double x[100 * 110];
    static const fanin_allocator counting = {counting_resize, counting_release, NULL};
    for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
        for (int way = 0; way < 4; way++) {
            int transposed = way % 2;
            fanin_dtype dtype = way < 2 ? FANIN_BF16 : FANIN_F64;
            fanin_tensor t = fanin_tensor_torch("w", 2, (int64_t[]){100, 110});
            t.out_axis = transposed;
            t.in_axis = !transposed;
            fanin_rule rule;
            assert_ok(fanin_rule_parse(rules[r], &rule, NULL));
            fanin_status status = FANIN_NOMEM;
            for (long n = 0; status == FANIN_NOMEM; n++) {
                fanin_err err = {0};
                assert_true(n < 100);
                faults.left = n;
                faults.live = 0;
                fanin_allocator_set(&counting);
                status = fanin_rule_fill(&rule, &t, 0, 7, 9000, dtype, x, &err);
                fanin_allocator_set(NULL);
                assert_int_equal(faults.live, 0);
                assert_int_equal(err.status, status);
                assert_true(n > 0 || status == FANIN_NOMEM);
            }
            assert_ok(status);
        }
}
