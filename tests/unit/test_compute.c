/* Every variant of every kernel against plain loops in double (or libm), and against the portable
 * variant bit for bit where the header promises that. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compute/compute.h"
#include "testing.h"

static uint64_t seed_now;
static uint32_t bits(void) { /* splitmix64 */
    uint64_t z = (seed_now += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}
static float uniform(void) { return (float)(bits() >> 8) / 8388608.0f - 1.0f; } /* [-1, 1) */
static size_t below(size_t n) { return bits() % n; }

static float *random_floats(size_t n) {
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = uniform();
    return p;
}

static const size_t lengths[] = {0,  1,  2,  3,  7,  8,  9,  15,  16,  17,  23,  31,  32,
                                 33, 47, 48, 49, 61, 64, 97, 127, 128, 255, 257, 509, 1021};
static const float odd_values[] = {
    0.0f,     -0.0f,  1.0f,  -1.0f,  INFINITY, -INFINITY, NAN,      1e-40f,    -1e-40f, 3.4e38f,
    -3.4e38f, 1e-20f, 88.7f, -87.5f, -100.f,   0.5f,      16777216, -16777216, 1e30f,   104.0f};

static bool same_bits(const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue;
        if (memcmp(a + i, b + i, sizeof *a) != 0) return false;
    }
    return true;
}

/* Fills n values, every third from odd_values when `odd`. */
static void fill(float *p, size_t n, bool odd) {
    for (size_t i = 0; i < n; i++)
        p[i] = odd && i % 3 == 0 ? odd_values[below(FANIN_COUNT(odd_values))] : 4 * uniform();
}

static float binary_want(int op, float a, float b) {
    switch (op) {
    case FANIN__BINARY_ADD: return a + b;
    case FANIN__BINARY_SUB: return a - b;
    case FANIN__BINARY_MUL: return a * b;
    case FANIN__BINARY_DIV: return a / b;
    case FANIN__BINARY_MIN: return isnan(a) || isnan(b) ? NAN : a < b ? a : b;
    case FANIN__BINARY_MAX: return isnan(a) || isnan(b) ? NAN : a > b ? a : b;
    default: return a > b;
    }
}

static bool equal_or_nan(float a, float b) { return a == b || (isnan(a) && isnan(b)); }

TEST(binary_kernels_are_exact) {
    float a[1100], b[1100], out[1100];
    for (int level = 0; level <= FANIN_CPU_AVX512; level++) {
        const fanin__kernels *k = fanin__kernels_level(level);
        if (!k) continue;
        for (size_t l = 0; l < FANIN_COUNT(lengths); l++)
            for (int op = 0; op < FANIN__BINARY_COUNT; op++)
                for (int form = 0; form < FANIN__FORM_COUNT; form++) {
                    size_t n = lengths[l], shift = l % 5;
                    fill(a, n + 8, true);
                    fill(b, n + 8, true);
                    out[shift + n] = 42;
                    k->binary[op][form](n, a + shift, b + 1, out + shift);
                    assert_true(out[shift + n] == 42);
                    for (size_t i = 0; i < n; i++) {
                        float x = form == FANIN__FORM_SV ? a[shift] : a[shift + i];
                        float y = form == FANIN__FORM_VS ? b[1] : b[1 + i];
                        assert_true(equal_or_nan(out[shift + i], binary_want(op, x, y)));
                    }
                }
    }
}

static double ulps(float got, double want) {
    if (equal_or_nan(got, (float)want)) return 0;
    double unit = ldexp(1, ilogb(want) - 23);
    return fabs((double)got - want) / unit;
}

TEST(unary_kernels) {
    float a[1100], out[1100];
    for (int level = 0; level <= FANIN_CPU_AVX512; level++) {
        const fanin__kernels *k = fanin__kernels_level(level);
        if (!k) continue;
        for (size_t l = 0; l < FANIN_COUNT(lengths); l++) {
            size_t n = lengths[l];
            fill(a, n, true);
            k->unary[FANIN__UNARY_NEG](n, a, out);
            for (size_t i = 0; i < n; i++) assert_true(equal_or_nan(out[i], -a[i]));
            k->unary[FANIN__UNARY_ABS](n, a, out);
            for (size_t i = 0; i < n; i++) assert_true(equal_or_nan(out[i], fabsf(a[i])));
            k->unary[FANIN__UNARY_SQRT](n, a, out);
            for (size_t i = 0; i < n; i++) assert_true(equal_or_nan(out[i], sqrtf(a[i])));
            k->unary[FANIN__UNARY_RECIPROCAL](n, a, out);
            for (size_t i = 0; i < n; i++) assert_true(equal_or_nan(out[i], 1 / a[i]));
            k->unary[FANIN__UNARY_SQUARE](n, a, out);
            for (size_t i = 0; i < n; i++) assert_true(equal_or_nan(out[i], a[i] * a[i]));
            k->unary[FANIN__UNARY_SIGN](n, a, out);
            for (size_t i = 0; i < n; i++)
                assert_true(
                    equal_or_nan(out[i], isnan(a[i]) ? NAN : (float)((a[i] > 0) - (a[i] < 0))));
            k->unary[FANIN__UNARY_BF16](n, a, out);
            for (size_t i = 0; i < n; i++) { /* as a file's bfloat16 is rounded */
                uint16_t half;
                double back;
                assert_ok(fanin_convert_from_f32(&a[i], 1, FANIN_BF16, &half));
                assert_ok(fanin_convert_to_f64(&half, FANIN_BF16, 1, &back));
                assert_true(equal_or_nan(out[i], (float)back));
            }
        }
    }
}

TEST(exp_and_log_within_two_ulp) {
    double worst_exp = 0, worst_log = 0;
    const fanin__kernels *ref = fanin__kernels_level(FANIN_CPU_REF);
    float x[1024], e[1024], l[1024], e2[1024];
    for (int round = 0; round < 400; round++) {
        for (size_t i = 0; i < 1024; i++) x[i] = uniform() * (round % 2 ? 1.0f : 87.0f);
        ref->unary[FANIN__UNARY_EXP](1024, x, e);
        for (size_t i = 0; i < 1024; i++)
            worst_exp = fmax(worst_exp, ulps(e[i], exp((double)x[i])));
        ref->unary[FANIN__UNARY_LOG](1024, e, l);
        for (size_t i = 0; i < 1024; i++)
            worst_log = fmax(worst_log, ulps(l[i], log((double)e[i])));
        const fanin__kernels *best = fanin__kernels_best();
        best->unary[FANIN__UNARY_EXP](1024, x, e2);
        assert_true(same_bits(e, e2, 1024));
        best->unary[FANIN__UNARY_LOG](1024, e, e2);
        assert_true(same_bits(l, e2, 1024));
    }
    if (worst_exp > 2 || worst_log > 2)
        fail_msg("exp %.2f ulp, log %.2f ulp", worst_exp, worst_log);
    float in[] = {-INFINITY, INFINITY, NAN, -104.5f, 89.0f, 0.0f, 88.72f};
    ref->unary[FANIN__UNARY_EXP](7, in, e);
    assert_true(e[0] == 0 && e[1] == INFINITY && isnan(e[2]) && e[3] == 0 && e[4] == INFINITY);
    assert_true(e[5] == 1 && isfinite(e[6]));
    float il[] = {0, -1, INFINITY, NAN, 1, 1e-40f, -0.0f, -INFINITY};
    ref->unary[FANIN__UNARY_LOG](8, il, l);
    assert_true(l[0] == -INFINITY && isnan(l[1]) && l[2] == INFINITY && isnan(l[3]) && l[4] == 0);
    assert_true(ulps(l[5], log((double)1e-40f)) <= 2 && l[6] == -INFINITY && isnan(l[7]));
}

/* Layers that promise the same bits on every instruction set. */
static void run_all(const fanin__kernels *k, size_t n, const float *a, const float *b, float *out,
                    double *sums) {
    memcpy(out, b, n * sizeof *out);
    k->axpby(n, 1.5f, a, 0.25f, out);
    k->axpby(n, -0.1f, a, 1, out + n);
    k->moments(n, a, 0.1, sums);
    sums[2] = k->dot(n, a, b);
    sums[3] = k->exp_sum(n, a, 0.5f, out + 2 * n);
    sums[4] = (double)k->max(n, a);
    for (size_t i = 0; i < n; i++) sums[5 + i] = (double)b[i];
    k->add_to_double(n, a, sums + 5);
    k->add_product_to_double(n, a, b, sums + 5);
    for (int u = 0; u < FANIN__UNARY_COUNT; u++) k->unary[u](n, a, out + (3 + (size_t)u) * n);
}

TEST(variants_agree_bit_for_bit) {
    const fanin__kernels *ref = fanin__kernels_level(FANIN_CPU_REF);
    size_t most = 1021 * (4 + FANIN__UNARY_COUNT);
    float *out = calloc(most, sizeof *out), *want = calloc(most, sizeof *want);
    double sums[1100] = {0}, want_sums[1100] = {0};
    for (int level = 1; level <= FANIN_CPU_AVX512; level++) {
        const fanin__kernels *k = fanin__kernels_level(level);
        if (!k) continue;
        for (size_t l = 0; l < FANIN_COUNT(lengths); l++) {
            size_t n = lengths[l];
            float *a = random_floats(n + 3), *b = random_floats(n + 3);
            memset(out, 0, most * sizeof *out);
            memset(want, 0, most * sizeof *want);
            run_all(ref, n, a + l % 3, b + l % 2, want, want_sums);
            run_all(k, n, a + l % 3, b + l % 2, out, sums);
            assert_true(same_bits(out, want, most));
            assert_memory_equal(sums, want_sums, (5 + n) * sizeof *sums);
            free(a);
            free(b);
        }
    }
    free(out);
    free(want);
}

TEST(sums_are_double_and_ignore_threads) {
    size_t n = 300001;
    float *x = random_floats(n), *y = random_floats(n);
    long double sum = 0, dot = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] += 3;
        sum += (long double)x[i];
        dot += (long double)x[i] * (long double)y[i];
    }
    double got[4][2];
    for (unsigned t = 1; t <= 4; t++) {
        fanin_threads_set(t);
        got[t - 1][0] = fanin__sum(n, x);
        got[t - 1][1] = fanin__dot(n, x, y);
        assert_memory_equal(got[0], got[t - 1], sizeof got[0]);
    }
    fanin_threads_set(0);
    assert_near(got[0][0], (double)sum, 0, 1e-13);
    assert_near(got[0][1], (double)dot, 1e-9, 1e-13);
    const fanin__kernels *k = fanin__kernels_best();
    assert_true(fanin__sum(0, NULL) == 0 && k->max(0, NULL) == -INFINITY);
    x[77777] = NAN;
    assert_true(isnan(k->max(n, x)));
    free(x);
    free(y);
}

/* ---- broadcasting, channels -------------------------------------------------------------- */

TEST(broadcast_follows_strides) {
    for (int round = 0; round < 300; round++) {
        int rank = (int)below(5);
        int64_t dims[5], as[5], bs[5];
        size_t count = 1;
        for (int i = 0; i < rank; i++) {
            dims[i] = round % 17 == 0 && i == 1 ? 0 : 1 + (int64_t)below(6);
            count *= (size_t)dims[i];
        }
        int64_t na = 1, nb = 1;
        bool swap = below(4) == 0; /* a transposed operand now and then */
        for (int i = rank - 1; i >= 0; i--) {
            as[i] = below(3) == 0 ? 0 : na;
            bs[i] = below(3) == 0 ? 0 : nb;
            na *= as[i] ? dims[i] : 1;
            nb *= bs[i] ? dims[i] : 1;
        }
        if (swap && rank >= 2 && as[0] && as[1]) {
            as[1] = 1;
            as[0] = dims[1];
            for (int i = 2; i < rank; i++) as[i] = 0;
        }
        float *a = random_floats((size_t)(na + 64)), *b = random_floats((size_t)(nb + 64));
        float *out = random_floats(count);
        fanin__binary(FANIN__BINARY_SUB, rank, dims, a, as, b, bs, out);
        for (size_t i = 0; i < count; i++) {
            int64_t ia = 0, ib = 0, rest = (int64_t)i;
            for (int d = rank - 1; d >= 0; d--) {
                ia += rest % dims[d] * as[d];
                ib += rest % dims[d] * bs[d];
                rest /= dims[d];
            }
            assert_true(out[i] == a[ia] - b[ib]);
        }
        free(a);
        free(b);
        free(out);
    }
}

TEST(big_broadcasts_and_maps_ignore_threads) {
    size_t rows = 513, cols = 401, n = rows * cols;
    float *x = random_floats(n), *b = random_floats(rows), *out[2];
    const int64_t dims[] = {513, 401}, xs[] = {401, 1}, bs[] = {0, 1};
    for (unsigned t = 0; t < 2; t++) {
        fanin_threads_set(t ? 3 : 1);
        out[t] = malloc(3 * n * sizeof **out);
        fanin__binary(FANIN__BINARY_ADD, 2, dims, x, xs, b, bs, out[t]);
        fanin__affine_channels(1, rows, cols, x, b, b, out[t] + n);
        fanin__transpose(1, rows, cols, x, out[t] + 2 * n);
    }
    fanin_threads_set(0);
    assert_memory_equal(out[0], out[1], 3 * n * sizeof **out);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            float v = x[r * cols + c];
            assert_true(out[0][r * cols + c] == v + b[c]);
            assert_true(out[0][n + r * cols + c] == v * b[r] + b[r]);
            assert_true(out[0][2 * n + c * rows + r] == v);
        }
    for (int t = 0; t < 2; t++) free(out[t]);
    free(x);
    free(b);
}

TEST(transposes_of_all_shapes) {
    for (int level = 0; level <= FANIN_CPU_AVX512; level++) {
        const fanin__kernels *k = fanin__kernels_level(level);
        if (!k) continue;
        for (size_t rows = 0; rows < 36; rows += 5)
            for (size_t cols = 0; cols < 52; cols += 3) {
                float *x = random_floats(rows * cols), *y = random_floats(rows * cols);
                k->transpose(rows, cols, x, cols, y, rows);
                for (size_t i = 0; i < rows * cols; i++)
                    assert_true(y[i % cols * rows + i / cols] == x[i]);
                free(x);
                free(y);
            }
    }
}

TEST(channel_reductions) {
    const size_t shapes[][3] = {{4, 3, 10},    {1, 5, 1},     {7, 33, 1},
                                {300, 270, 1}, {2, 40, 1000}, {3, 1, 0}};
    for (size_t s = 0; s < FANIN_COUNT(shapes); s++) {
        size_t n = shapes[s][0], c = shapes[s][1], hw = shapes[s][2];
        float *x = random_floats(n * c * hw), *sum = random_floats(c), *mean = random_floats(c),
              *var = random_floats(c), *added = malloc(c * sizeof *added);
        for (size_t i = 0; i < c; i++) added[i] = 1;
        fanin__sum_channels(n, c, hw, x, false, sum);
        fanin__sum_channels(n, c, hw, x, true, added);
        fanin__moments_channels(n, c, hw, x, mean, var);
        for (size_t i = 0; i < c; i++) {
            double t = 0, v = 0;
            for (size_t j = 0; j < n * hw; j++) t += (double)x[(j / hw * c + i) * hw + j % hw];
            assert_near(sum[i], t, 1e-6, 1e-6);
            assert_near(added[i], t + 1, 1e-6, 1e-6);
            if (n * hw == 0) continue;
            t /= (double)(n * hw);
            for (size_t j = 0; j < n * hw; j++) {
                double d = (double)x[(j / hw * c + i) * hw + j % hw] - t;
                v += d * d;
            }
            assert_near(mean[i], t, 1e-7, 1e-6);
            assert_near(var[i], v / (double)(n * hw), 1e-8, 1e-6);
        }
        free(x), free(sum), free(mean), free(var), free(added);
    }
}

/* ---- rows ------------------------------------------------------------------------------ */

static void softmax_case(size_t rows, size_t cols) {
    float *x = random_floats(rows * cols), *dy = random_floats(rows * cols);
    float *y = random_floats(rows * cols), *dx = random_floats(rows * cols);
    for (size_t i = 0; i < rows * cols; i++) x[i] = x[i] * 20 + (i / cols % 2 ? 1000.f : 0.f);
    fanin__softmax(rows, cols, x, y);
    fanin__softmax_backward(rows, cols, y, dy, dx);
    for (size_t r = 0; r < rows; r++) {
        double most = -INFINITY, sum = 0, dot = 0;
        const float *row = x + r * cols, *d = dy + r * cols;
        for (size_t c = 0; c < cols; c++) most = fmax(most, (double)row[c]);
        for (size_t c = 0; c < cols; c++) sum += exp((double)row[c] - most);
        for (size_t c = 0; c < cols; c++) dot += exp((double)row[c] - most) / sum * (double)d[c];
        for (size_t c = 0; c < cols; c++) {
            size_t i = r * cols + c;
            double p = exp((double)row[c] - most) / sum;
            assert_near(y[i], p, 1e-30, 4e-6); /* x - max itself is rounded */
            assert_near(dx[i], ((double)d[c] - dot) * p, 1e-7, 1e-5);
        }
    }
    free(x), free(dy), free(y), free(dx);
}

TEST(softmax) {
    const size_t cols[] = {1, 2, 10, 16, 17, 127, 128, 129, 1000};
    for (size_t i = 0; i < FANIN_COUNT(cols); i++) softmax_case(1 + i * 3, cols[i]);
    softmax_case(100, 300); /* over the threads */
    float row[2] = {-INFINITY, -INFINITY}, y[2];
    fanin__softmax(1, 2, row, y);
    assert_true(isnan(y[0]));
    float part[2] = {-INFINITY, 3};
    fanin__softmax(1, 2, part, y);
    assert_true(y[0] == 0 && y[1] == 1);
    fanin__softmax(0, 5, NULL, NULL);
}

/* ---- products -------------------------------------------------------------------------- */

typedef struct product {
    fanin__gemm_args g;
    float *a, *b, *c, *before;
    size_t c_size;
} product;

static product make_product(size_t m, size_t n, size_t k, bool ta, bool tb, float alpha,
                            float beta) {
    size_t pad = below(3), ar = (ta ? m : k) + pad, br = (tb ? k : n) + pad, cr = n + pad;
    product p = {.a = random_floats(ar * (ta ? k : m) + 8),
                 .b = random_floats(br * (tb ? n : k) + 8),
                 .c_size = cr * m + 8};
    p.c = random_floats(p.c_size);
    p.before = malloc(p.c_size * sizeof *p.c);
    if (beta == 0)
        for (size_t i = 0; i < p.c_size; i++) p.c[i] = NAN;
    memcpy(p.before, p.c, p.c_size * sizeof *p.c);
    p.g = (fanin__gemm_args){m,           n,           k,           alpha,   beta,
                             p.a + 1,     ta ? 1 : ar, ta ? ar : 1, p.b + 3, tb ? 1 : br,
                             tb ? br : 1, p.c + 2,     cr,          0};
    return p;
}

static void free_product(product *p) { free(p->a), free(p->b), free(p->c), free(p->before); }

static void check_product(const product *p) {
    const fanin__gemm_args *g = &p->g;
    const float *before = p->before + 2;
    for (size_t m = 0; m < g->m; m++)
        for (size_t n = 0; n < g->n; n++) {
            double s = 0;
            for (size_t k = 0; k < g->k; k++)
                s += (double)g->a[m * g->a_row + k * g->a_col] *
                     (double)g->b[k * g->b_row + n * g->b_col];
            s *= (double)g->alpha;
            if (g->beta != 0) s += (double)g->beta * (double)before[m * g->c_row + n];
            double tol = 2e-6 * (1 + 0.5 * sqrt((double)g->k));
            double got = (double)g->c[m * g->c_row + n];
            if (!(fabs(got - s) <= tol))
                fail_msg("%zux%zux%zu at %zu,%zu: %.9g, want %.9g", g->m, g->n, g->k, m, n, got, s);
        }
    /* Between the rows and around C nothing moved. */
    for (size_t i = 0; i < p->c_size; i++) {
        bool inside =
            i >= 2 && g->c_row > 0 && (i - 2) / g->c_row < g->m && (i - 2) % g->c_row < g->n;
        if (!inside) assert_true(same_bits(p->c + i, p->before + i, 1));
    }
}

TEST(gemm_matches_plain_loops) {
    const float scales[][2] = {{1, 0}, {1, 1}, {-0.5f, 1}, {2, 0.25f}, {0, 0}};
    for (int level = 0; level <= FANIN_CPU_AVX512; level++) {
        const fanin__kernels *k = fanin__kernels_level(level);
        if (!k) continue;
        for (int round = 0; round < 600; round++) {
            size_t m = below(round % 3 ? 20 : 70), n = below(round % 2 ? 40 : 90);
            size_t kk = below(round % 5 ? 40 : 300);
            const float *s = scales[below(5)];
            product p = make_product(m, n, kk, round & 1, round & 2, s[0], s[1]);
            k->gemm(&p.g);
            check_product(&p);
            free_product(&p);
        }
    }
}

TEST(gemm_ignores_threads_and_columns) {
    const size_t sizes[][3] = {{10, 700, 900}, {130, 200, 170}, {600, 500, 10}};
    for (size_t s = 0; s < FANIN_COUNT(sizes); s++)
        for (int t = 0; t < 4; t++) {
            product p = make_product(sizes[s][0], sizes[s][1], sizes[s][2], t & 1, t & 2, -0.3f, 1);
            fanin_threads_set(1);
            fanin__gemm(&p.g);
            check_product(&p);
            float *one = malloc(p.c_size * sizeof *one);
            memcpy(one, p.c, p.c_size * sizeof *one);
            for (unsigned threads = 1; threads <= 3; threads++) {
                fanin_threads_set(threads);
                memcpy(p.c, p.before, p.c_size * sizeof *one);
                fanin__gemm(&p.g);
                assert_memory_equal(one, p.c, p.c_size * sizeof *one);
            }
            fanin_threads_set(0);
            memcpy(p.c, p.before, p.c_size * sizeof *one);
            for (size_t n = 0; n < p.g.n; n += 37) { /* column by column block */
                fanin__gemm_args g = p.g;
                g.n_all = p.g.n;
                g.n = p.g.n - n < 37 ? p.g.n - n : 37;
                g.b += n * g.b_col;
                g.c += n;
                fanin__gemm(&g);
            }
            assert_memory_equal(one, p.c, p.c_size * sizeof *one);
            free(one);
            free_product(&p);
        }
}

TEST(gemm_spreads_nan_only_where_it_belongs) {
    const fanin__kernels *k = fanin__kernels_best();
    product p = make_product(10, 40, 50, false, false, 1, 0);
    p.a[1 + 3 * p.g.a_row + 7] = NAN;
    k->gemm(&p.g);
    for (size_t m = 0; m < 10; m++)
        for (size_t n = 0; n < 40; n++) assert_true(isnan(p.g.c[m * p.g.c_row + n]) == (m == 3));
    free_product(&p);
}

static void check_lanes(unsigned shared) {
    const size_t lanes = 131, m = 3, n = 2, k = 4;
    size_t al = shared & FANIN__SHARED_A ? 1 : lanes, bl = shared & FANIN__SHARED_B ? 1 : lanes;
    float *a = random_floats(m * k * al), *b = random_floats(n * k * bl);
    float *c = random_floats(m * n * lanes), *before = malloc(m * n * lanes * sizeof *c);
    memcpy(before, c, m * n * lanes * sizeof *c);
    fanin__gemm_args g = {m, n, k, 0.5f, 1, a, k, 1, b, 1, k, c, n, 0}; /* B transposed */
    fanin__kernels_best()->gemm_lanes(&g, lanes, shared, 0, lanes);
    for (int level = 0; level <= FANIN_CPU_AVX512;
         level++) { /* any variant, any split: same bits */
        const fanin__kernels *v = fanin__kernels_level(level);
        float *again = malloc(m * n * lanes * sizeof *again);
        memcpy(again, before, m * n * lanes * sizeof *again);
        g.c = again;
        if (v) v->gemm_lanes(&g, lanes, shared, 0, 37), v->gemm_lanes(&g, lanes, shared, 37, lanes);
        if (v) assert_memory_equal(again, c, m * n * lanes * sizeof *again);
        free(again);
    }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < lanes; l++) {
                double s = 0;
                for (size_t q = 0; q < k; q++)
                    s +=
                        (double)a[(i * k + q) * al + l % al] * (double)b[(j * k + q) * bl + l % bl];
                assert_near(c[(i * n + j) * lanes + l],
                            0.5 * s + (double)before[(i * n + j) * lanes + l], 1e-6, 1e-6);
            }
    free(a), free(b), free(c), free(before);
}

TEST(gemm_lanes_is_one_product_a_lane) {
    for (unsigned shared = 0; shared < 4; shared++) check_lanes(shared);
}

/* ---- optimisers -------------------------------------------------------------------------- */

/* The formulas of the documentation of torch.optim, one weight in double. */
static void update_double(int kind, const fanin__update_args *a, double g, double *w, double *s) {
    double t = (double)a->step, lr = a->lr;
    if (kind == FANIN__UPDATE_ADAMW)
        *w *= 1 - lr * a->weight_decay;
    else
        g += a->weight_decay * *w;
    switch (kind) {
    case FANIN__UPDATE_SGD:
        if (a->momentum != 0) {
            s[0] = a->step == 1 ? g : a->momentum * s[0] + (1 - a->dampening) * g;
            g = a->nesterov ? g + a->momentum * s[0] : s[0];
        }
        *w -= lr * g;
        break;
    case FANIN__UPDATE_ADAM:
    case FANIN__UPDATE_ADAMW:
        s[0] = a->beta1 * s[0] + (1 - a->beta1) * g;
        s[1] = a->beta2 * s[1] + (1 - a->beta2) * g * g;
        *w -= lr * (s[0] / (1 - pow(a->beta1, t))) / (sqrt(s[1] / (1 - pow(a->beta2, t))) + a->eps);
        break;
    case FANIN__UPDATE_RMSPROP:
        s[0] = a->alpha * s[0] + (1 - a->alpha) * g * g;
        s[2] = a->alpha * s[2] + (1 - a->alpha) * g;
        g /= sqrt(a->centered ? s[0] - s[2] * s[2] : s[0]) + a->eps;
        if (a->momentum > 0) g = s[1] = a->momentum * s[1] + g;
        *w -= lr * g;
        break;
    default: s[0] += g * g; *w -= lr / (1 + (t - 1) * a->lr_decay) * g / (sqrt(s[0]) + a->eps);
    }
}

static void check_update(int kind, fanin__update_args args, size_t n) {
    float *w = random_floats(n), *g = random_floats(n), *s = calloc(3 * n + 1, sizeof *s);
    float *w2 = malloc((n + 1) * sizeof *w2), *s2 = calloc(3 * n + 1, sizeof *s2);
    double *wd = malloc((n + 1) * sizeof *wd), *sd = calloc(3 * n + 1, sizeof *sd);
    memcpy(w2, w, n * sizeof *w);
    for (size_t i = 0; i < n; i++) wd[i] = (double)w[i];
    for (args.step = 1; args.step <= 5; args.step++) {
        for (size_t i = 0; i < n; i++) g[i] = uniform();
        fanin_threads_set(args.step % 2 ? 1 : 3);
        fanin__update((fanin__update_kind)kind, &args, n, g, w, s, s + n, s + 2 * n);
        for (size_t i = 0; i < n; i++) { /* one at a time: any split gives the same bits */
            fanin__update((fanin__update_kind)kind, &args, 1, g + i, w2 + i, s2 + i, s2 + n + i,
                          s2 + 2 * n + i);
            update_double(kind, &args, (double)g[i], wd + i, sd + 3 * i);
        }
    }
    fanin_threads_set(0);
    assert_memory_equal(w, w2, n * sizeof *w);
    for (size_t i = 0; i < n; i++) assert_near(w[i], wd[i], 2e-5, 2e-5);
    free(w), free(g), free(s), free(w2), free(s2), free(wd), free(sd);
}

TEST(updates_follow_the_formulas) {
    const fanin__update_args base = {.lr = 0.01,
                                     .weight_decay = 0.1,
                                     .beta1 = 0.9,
                                     .beta2 = 0.999,
                                     .alpha = 0.99,
                                     .eps = 1e-8,
                                     .lr_decay = 0.05};
    for (int kind = 0; kind < FANIN__UPDATE_COUNT; kind++)
        for (int flavour = 0; flavour < 8; flavour++) {
            fanin__update_args a = base;
            a.momentum = flavour & 1 ? 0.9 : 0;
            a.nesterov = a.centered = flavour & 2;
            a.dampening = a.nesterov ? 0 : flavour & 4 ? 0.3 : 0;
            a.weight_decay = flavour & 4 ? 0.1 : 0;
            check_update(kind, a, 1 + below(60));
            check_update(kind, a, flavour == 3 ? 40000 : 257);
        }
    fanin__update(FANIN__UPDATE_SGD, &base, 0, NULL, NULL, NULL, NULL, NULL);
}

TEST(slots_are_described) {
    assert_true(fanin_compute_slot_count() > 20);
    for (int i = 0; i < fanin_compute_slot_count(); i++) {
        fanin_compute_slot_info s = fanin_compute_slot(i);
        assert_true(s.name[0] && s.variant[0] && s.reason);
        assert_string_equal(s.variant, fanin__kernels_best()->name);
    }
    assert_string_equal(fanin_compute_slot(-1).name, "");
}
