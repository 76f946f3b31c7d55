/* Allocation faults and instruction sets: what activation and theory promise beside their figures. */
#include <stdlib.h>
#include <string.h>

#include "activation/activation.h"
#include "fanin/report.h"
#include "fanin/theory.h"
#include "testing.h"
#include "theory/slopes.h"

static long left, live;

static void *resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (left-- <= 0) return NULL;
    void *q = realloc(p, size ? size : 1);
    if (q && !p) live++;
    return q;
}

static void release(void *ctx, void *p) {
    (void)ctx;
    if (p) live--;
    free(p);
}

static fanin_status formula(void) {
    fanin_activation *act;
    fanin_status status = fanin_activation_parse("x>0 ? x : 0.1*x", &act, NULL);
    if (status == FANIN_OK)
        fanin_activation_destroy(act);
    else
        assert_null(act);
    return status;
}

static fanin_status named(void) {
    fanin_activation *act;
    fanin_status status = fanin_activation_parse("elu:1.7", &act, NULL);
    if (status == FANIN_OK)
        fanin_activation_destroy(act);
    else
        assert_null(act);
    return status;
}

static fanin_activation *tanh_;

static fanin_status table(void) {
    fanin_meanfield_table *t;
    fanin_status status = fanin_meanfield_table_create(tanh_, 0.5, 1, &t, NULL);
    if (status == FANIN_OK)
        fanin_meanfield_table_destroy(t);
    else
        assert_null(t);
    return status;
}

static fanin_status kernel(void) {
    static const double x[12] = {1, 2, 3, -1, 0, 1, 0.5, 0.25, -2, 1, 1, 1};
    double k[16];
    fanin_kernel_settings set = {1.5, 0.1, 2, true, 0, 0};
    return fanin_kernel_matrix(tanh_, &set, x, 4, NULL, 0, 3, k, NULL);
}

static fanin_status flow(void) {
    double k[4] = {2, 1, 1, 2}, y[2] = {1, -1}, out[2];
    const double test[4] = {2, 1, 1, 2};
    return fanin_kernel_flow(k, 2, test, 2, y, 1, 1, 1, 0, NULL, NULL, out, NULL);
}

static fanin_status solve(void) {
    fanin_meanfield_settings set = {.sigma_w2 = 2, .sigma_b2 = 0.1};
    fanin_meanfield m;
    return fanin_meanfield_solve(tanh_, &set, &m, NULL);
}

static fanin_status density(void) {
    double lambda = 0.7, d;
    return fanin_jacobian_density(tanh_, 0.3, 1.2, 2, false, NULL, &lambda, 1, &d, NULL, NULL);
}

static fanin_status picture(void) {
    static const double chi1[4] = {0.5, 1.5, 0.6, 1.4}, xi[4] = {2, 3, 4, 5};
    fanin_phase_picture p = {"x", 0, 1, 0, 1, 2, 2, chi1, xi, NULL, NULL, false, 0, 0, NULL};
    char *svg;
    fanin_status status = fanin_phase_svg(&p, &svg);
    if (status == FANIN_OK)
        fanin_free(svg);
    else
        assert_null(svg);
    return status;
}

/* Fails the n-th request and all after it, n = 0, 1, ...: NOMEM or fine, and nothing is lost. */
TEST(allocation_faults) {
    fanin_status (*const runs[])(void) = {formula, named, table,   kernel,
                                          flow,    solve, density, picture};
    const fanin_allocator faulty = {resize, release, NULL};
    assert_ok(fanin_activation_parse("tanh", &tanh_, NULL));
    fanin_threads_set(1);
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        bool through = false;
        for (long n = 0; n < 400 && !through; n++) {
            fanin_allocator_set(&faulty);
            left = n;
            live = 0;
            fanin_status status = runs[r]();
            fanin_allocator_set(NULL);
            if (status != FANIN_OK && status != FANIN_NOMEM)
                fail_msg("run %zu, request %ld: %s", r, n, fanin_status_name(status));
            if (live != 0) fail_msg("run %zu, request %ld: %ld left alive", r, n, live);
            through = status == FANIN_OK;
        }
        assert_true(through);
    }
    fanin_threads_set(0);
    fanin_activation_destroy(tanh_);
}

/* The table of every instruction set that runs here; the plain one first. */
static int slopes_sets(const fanin__slopes_kernels *out[3]) {
    int n = 0;
    out[n++] = fanin__slopes_ref();
#if defined(__x86_64__)
    if (fanin_cpu_level() >= FANIN_CPU_AVX2) out[n++] = fanin__slopes_avx2();
    if (fanin_cpu_level() >= FANIN_CPU_AVX512) out[n++] = fanin__slopes_avx512();
#endif
    return n;
}

TEST(slopes_have_the_same_bits_on_every_set) {
    enum { N = 1003 };
    static double roots[N], k[3][N], t[3][N];
    static float roots32[N], inverses[N], k32[3][N], t32[3][N];
    const fanin__slopes_kernels *sets[3];
    const fanin__slopes s = {0.1273, 0.52, 1.9, 0.07, 1.9, 0.07};
    int count = slopes_sets(sets);
    for (int v = 0; v < count; v++) {
        for (int j = 0; j < N; j++) {
            roots[j] = j % 97 ? 0.3 + 0.01 * (j % 89) : 0;
            k[v][j] = roots[j] * 1.1 * (-1.02 + 2.04 * j / N);
            t[v][j] = 0.3 * j;
            roots32[j] = (float)roots[j];
            inverses[j] = roots[j] > 0 ? (float)(1 / roots[j]) : 0;
            k32[v][j] = (float)k[v][j];
            t32[v][j] = (float)t[v][j];
        }
        sets[v]->layer(&s, N, 1.1, roots, k[v], t[v]);
        sets[v]->layer32(&s, N, 1.1, roots32, inverses, k32[v], t32[v]);
        assert_memory_equal(k[0], k[v], sizeof k[0]);
        assert_memory_equal(t[0], t[v], sizeof t[0]);
        assert_memory_equal(k32[0], k32[v], sizeof k32[0]);
        assert_memory_equal(t32[0], t32[v], sizeof t32[0]);
    }
    for (int j = 0; j < N; j++) {
        double r = 1.1 * roots[j], c = r > 0 ? fmax(-1, fmin(1, -1.02 + 2.04 * j / N)) : 0;
        double slope = s.mean - s.tilt * acos(c), ff = r * (s.tilt * sqrt(1 - c * c) + c * slope);
        assert_near(k[0][j], s.w2 * ff + s.b2, 1e-13, 0);
        assert_near((double)k32[0][j], s.w2 * ff + s.b2, 1e-6, 0);
        /* the angle loses half the digits where it is small */
        double near = fmax(3e-7, 3e-7 / sqrt(fmax(1e-7, 1 - c * c)));
        assert_near((double)t32[0][j], s.gain * ff + s.bias + s.w2 * 0.3 * j * slope,
                    2e-6 + 0.3 * j * s.w2 * near, 0);
    }
}

TEST(inner_products_have_the_same_bits_on_every_set) {
    static double x[8][37];
    const fanin__slopes_kernels *sets[3];
    int count = slopes_sets(sets);
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 37; k++) x[i][k] = sin(1.7 * i + 0.37 * k * k);
    const double *a[4] = {x[0], x[1], x[2], x[3]}, *b[4] = {x[4], x[5], x[6], x[7]};
    for (size_t d = 0; d <= 37; d++) {
        double out[3][4][4];
        for (int v = 0; v < count; v++) {
            sets[v]->dots(a, b, d, out[v]);
            assert_memory_equal(out[0], out[v], sizeof out[0]);
        }
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) {
                double sum = 0;
                for (size_t k = 0; k < d; k++) sum += a[i][k] * b[j][k];
                assert_near(out[0][i][j], sum, 1e-14, 1e-14);
            }
    }
}
