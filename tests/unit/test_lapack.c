/* LAPACK's decomposition beside the built-in one, and from inside a parallel region. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/compute.h"
#include "fanin/theory.h"
#include "testing.h"

static void want_lapack(void) {
    if (!fanin_lapack_info()[0]) test_skip("OpenBLAS is not installed");
}

static double noise(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (double)(*s >> 11) * 0x1p-53 - 0.5;
}

static double *symmetric(size_t n, uint64_t seed) {
    double *a = malloc(n * n * sizeof *a);
    assert_non_null(a);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) a[i * n + j] = a[j * n + i] = noise(&seed);
    return a;
}

/* |A v - w v| and |v_i v_j - delta| to rounding, w ascending. */
static void check(size_t n, const double *a, const double *v, const double *w) {
    for (size_t k = 0; k < n; k++) {
        if (k > 0) assert_true(w[k] >= w[k - 1]);
        for (size_t i = 0; i < n; i++) {
            double sum = 0, dot = 0;
            for (size_t j = 0; j < n; j++) {
                sum += a[i * n + j] * v[k * n + j];
                dot += v[i * n + j] * v[k * n + j];
            }
            assert_near(sum, w[k] * v[k * n + i], 1e-13 * (double)n, 0);
            assert_near(dot, i == k, 1e-13 * (double)n, 0);
        }
    }
}

TEST(eigenvectors_are_rows) {
    want_lapack();
    static const size_t sizes[] = {1, 2, 3, 31, 120};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        double *a = symmetric(n, 5 + s), *v = malloc(n * n * sizeof *v), w[120];
        assert_non_null(v);
        memcpy(v, a, n * n * sizeof *v);
        fanin_err err = {0};
        assert_ok_err(fanin_lapack_eigen(NULL, n, v, w, &err), err);
        check(n, a, v, w);
        free(a);
        free(v);
    }
}

TEST(regions_call_it_at_once) {
    want_lapack();
    enum { N = 60, TEAM = 4 };
    static double v[TEAM][N * N], w[TEAM][N];
    double *a = symmetric(N, 9);
    int bad = 0;
#pragma omp parallel for num_threads(TEAM) reduction(+ : bad)
    for (int i = 0; i < TEAM; i++) {
        memcpy(v[i], a, sizeof v[i]);
        bad += fanin_lapack_eigen(NULL, N, v[i], w[i], NULL) != FANIN_OK;
    }
    assert_int_equal(bad, 0);
    for (int i = 0; i < TEAM; i++) check(N, a, v[i], w[i]);
    free(a);
}

TEST(flow_is_that_of_the_built_in_one) {
    want_lapack();
    enum { N = 40, M = 7, D = 12, C = 3 };
    static double x[N * D], z[M * D], y[N * C], t[2][N * N], test[M * N], out[2][M * C];
    uint64_t seed = 3;
    for (int i = 0; i < N * D; i++) x[i] = noise(&seed) * 4;
    for (int i = 0; i < M * D; i++) z[i] = noise(&seed) * 4;
    for (int i = 0; i < N * C; i++) y[i] = noise(&seed);
    fanin_activation *act;
    assert_ok(fanin_activation_parse("relu", &act, NULL));
    fanin_kernel_settings set = {.sigma_w2 = 2, .sigma_b2 = 0.1, .depth = 3, .ntk = true};
    assert_ok(fanin_kernel_matrix(act, &set, x, N, NULL, 0, D, t[0], NULL));
    assert_ok(fanin_kernel_matrix(act, &set, z, M, x, N, D, test, NULL));
    memcpy(t[1], t[0], sizeof t[0]);
    fanin_err err = {0};
    assert_ok(fanin_kernel_flow(t[0], N, test, M, y, C, 0.1, 5, 0, NULL, NULL, out[0], NULL));
    assert_ok_err(fanin_kernel_flow(t[1], N, test, M, y, C, 0.1, 5, 0, fanin_lapack_eigen, NULL,
                                    out[1], &err),
                  err);
    for (int i = 0; i < M * C; i++) assert_near(out[1][i], out[0][i], 1e-11, 0);
    fanin_activation_destroy(act);
}

TEST(nonsense_is_refused) {
    want_lapack();
    double a[4] = {1, NAN, NAN, 1}, w[2];
    fanin_err err = {0};
    assert_int_equal(fanin_lapack_eigen(NULL, 2, a, w, &err), FANIN_NUMERIC);
    assert_int_equal(fanin_lapack_eigen(NULL, 100000, a, w, &err), FANIN_LIMIT);
}
