/* NNGP and NTK: published values, matrix against entries, threads, regression. */
#include <math.h>
#include <stdlib.h>

#include "fanin/theory.h"
#include "testing.h"

#define SHOWN(got, want, digits) assert_near((got), (want), 0.5000001 * pow(10, -(digits)), 0)

static fanin_activation *parse(const char *text) {
    fanin_activation *act = NULL;
    assert_ok(fanin_activation_parse(text, &act, NULL));
    return act;
}

static double noise(uint64_t *s) {
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *s = *s * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*s >> 40) * 0x1p-24 - 0.5;
    }
    return sum * sqrt(3);
}

TEST(relu_tangent_kernel_by_depth) {
    static const double from_0[] = {.159155, .228570, .265097, .286078};
    fanin_activation *act = parse("relu");
    fanin_kernel_settings set = {.sigma_w2 = 2, .ntk = true};
    double v;
    for (unsigned l = 1; l <= 4; l++) {
        set.depth = l;
        assert_ok(fanin_kernel_entry(act, &set, 1, 1, 0, &v, NULL));
        SHOWN(v / (l + 1), from_0[l - 1], 6);
    }
    set.depth = 10;
    assert_ok(fanin_kernel_entry(act, &set, 1, 1, 0, &v, NULL));
    SHOWN(v / 11, .316307, 6);
    assert_ok(fanin_kernel_entry(act, &set, 1, 1, 0.5, &v, NULL));
    SHOWN(v / 11, .373487, 6);
    set.depth = 1;
    assert_ok(fanin_kernel_entry(act, &set, 1, 1, 0.5, &v, NULL));
    SHOWN(v / 2, .471166, 6);
    fanin_activation_destroy(act);
}

enum { N = 9, M = 5, D = 7 };

static void rows(double *x, size_t n, uint64_t seed) {
    for (size_t i = 0; i < n * D; i++) x[i] = noise(&seed) * (1 + 0.3 * (double)(i / D));
}

TEST(matrices_agree_with_entries) {
    static const struct {
        const char *name;
        double tolerance;
    } cases[] = {{"relu", 1e-12},
                 {"leaky_relu:0.2", 1e-12},
                 {"erf", 1e-12},
                 {"sin", 1e-12},
                 {"gaussian", 1e-12},
                 {"tanh", 1e-8},
                 {"gelu", 1e-8},
                 {"hard_tanh", 1e-12},
                 {"hard_swish", 1e-12},
                 {"min(1, max(x, -1))", 1e-12},
                 {"x*sigmoid(1.702*x)", 1e-12},
                 {"identity", 1e-12},
                 {"elu", 1e-11},
                 {"selu", 1e-10},
                 {"softplus", 1e-12}};
    double x[N * D], y[M * D], out[N * M], self[N * N];
    rows(x, N, 3);
    rows(y, M, 5);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        fanin_activation *act = parse(cases[k].name);
        fanin_err err = {0};
        for (int ntk = 0; ntk < 2; ntk++) {
            fanin_kernel_settings set = {1.6, 0.1, 2, ntk, 0, 0};
            assert_ok_err(fanin_kernel_matrix(act, &set, x, N, y, M, D, out, &err), err);
            assert_ok_err(fanin_kernel_matrix(act, &set, x, N, NULL, 0, D, self, &err), err);
            for (size_t i = 0; i < N; i += 2)
                for (size_t j = 0; j < M; j += 2) {
                    double k11 = 0, k22 = 0, k12 = 0, want;
                    for (size_t d = 0; d < D; d++) {
                        k11 += x[i * D + d] * x[i * D + d];
                        k22 += y[j * D + d] * y[j * D + d];
                        k12 += x[i * D + d] * y[j * D + d];
                    }
                    assert_ok_err(fanin_kernel_entry(act, &set, 1.6 * k11 / D + 0.1,
                                                     1.6 * k22 / D + 0.1, 1.6 * k12 / D + 0.1,
                                                     &want, &err),
                                  err);
                    assert_near(out[i * M + j], want, cases[k].tolerance, cases[k].tolerance);
                }
            for (size_t i = 0; i < N; i++)
                for (size_t j = 0; j < N; j++) assert_true(self[i * N + j] == self[j * N + i]);
        }
        fanin_activation_destroy(act);
    }
}

/* Inputs nearly alike, where a Hermite series alone keeps three digits. */
TEST(kinks_are_exact_near_the_diagonal) {
    static const struct {
        const char *name;
        double tolerance[2]; /* NNGP, NTK */
    } cases[] = {{"hard_tanh", {1e-12, 1e-10}},  {"relu6", {1e-12, 1e-10}},
                 {"hard_swish", {1e-11, 1e-11}}, {"elu", {1e-9, 1e-9}},
                 {"selu", {1e-8, 1e-6}},         {"softsign", {1e-5, 1e-3}}};
    double x[N * D], out[N * N];
    rows(x, N, 3);
    uint64_t seed = 77;
    for (int i = 1; i < N; i++)
        for (int d = 0; d < D; d++) x[i * D + d] = x[d] + 0.05 * i * noise(&seed);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        fanin_activation *act = parse(cases[k].name);
        for (int ntk = 0; ntk < 2; ntk++) {
            fanin_kernel_settings set = {1.6, 0.1, 2, ntk, 0, 0};
            assert_ok(fanin_kernel_matrix(act, &set, x, N, NULL, 0, D, out, NULL));
            for (int i = 0; i < N; i++)
                for (int j = i; j < N; j += 2) {
                    double k11 = 0, k22 = 0, k12 = 0, want;
                    for (int d = 0; d < D; d++) {
                        k11 += x[i * D + d] * x[i * D + d];
                        k22 += x[j * D + d] * x[j * D + d];
                        k12 += x[i * D + d] * x[j * D + d];
                    }
                    assert_ok(fanin_kernel_entry(act, &set, 1.6 * k11 / D + 0.1,
                                                 1.6 * k22 / D + 0.1, 1.6 * k12 / D + 0.1, &want,
                                                 NULL));
                    assert_near(out[i * N + j], want, 0, cases[k].tolerance[ntk]);
                }
        }
        fanin_activation_destroy(act);
    }
}

TEST(float_matrices_follow_double_ones) {
    enum { BIG = 300 };
    static double x[BIG * D], out[BIG * BIG];
    static float xf[BIG * D], outf[BIG * BIG], again[BIG * BIG];
    uint64_t seed = 9;
    for (size_t i = 0; i < BIG * D; i++) x[i] = (double)(xf[i] = (float)noise(&seed));
    static const char *const names[] = {"relu", "tanh"};
    for (int k = 0; k < 2; k++) {
        fanin_activation *act = parse(names[k]);
        fanin_kernel_settings set = {2, 0.05, 3, true, 0, 0};
        assert_ok(fanin_kernel_matrix(act, &set, x, BIG, NULL, 0, D, out, NULL));
        fanin_threads_set(1);
        assert_ok(fanin_kernel_matrix_f32(act, &set, xf, BIG, NULL, 0, D, outf, NULL));
        fanin_threads_set(3);
        assert_ok(fanin_kernel_matrix_f32(act, &set, xf, BIG, NULL, 0, D, again, NULL));
        fanin_threads_set(0);
        assert_memory_equal(outf, again, sizeof outf);
        for (size_t i = 0; i < BIG * BIG; i++) assert_near((double)outf[i], out[i], 2e-5, 2e-5);
        fanin_activation_destroy(act);
    }
}

TEST(standard_parameterisation_counts_weights) {
    /* One hidden layer of width n: T = n E ff + 1 + sigma_w2 (x.x' + 1) E f'f'. */
    double x[D] = {1, -1, 0.5, 2, 0, 0.25, -0.75}, out, norm = 0;
    for (int d = 0; d < D; d++) norm += x[d] * x[d];
    fanin_activation *act = parse("relu");
    fanin_kernel_settings set = {2, 0.1, 1, true, 64, D};
    assert_ok(fanin_kernel_matrix(act, &set, x, 1, NULL, 0, D, &out, NULL));
    double q = 2 * norm / D + 0.1;
    assert_near(out, 64 * q / 2 + 1 + 2 * (norm + 1) * 0.5, 1e-10, 0);
    double pair[2 * D], both[4], entry;
    for (int d = 0; d < D; d++) {
        pair[d] = x[d];
        pair[D + d] = x[(d + 2) % D] - 0.3 * x[d];
    }
    for (unsigned depth = 0; depth < 4; depth++) { /* an entry is an element of the matrix */
        double k[3] = {0};
        set.depth = depth;
        assert_ok(fanin_kernel_matrix(act, &set, pair, 2, NULL, 0, D, both, NULL));
        for (int d = 0; d < D; d++) {
            k[0] += 2 * pair[d] * pair[d] / D;
            k[1] += 2 * pair[d] * pair[D + d] / D;
            k[2] += 2 * pair[D + d] * pair[D + d] / D;
        }
        assert_ok(fanin_kernel_entry(act, &set, k[0] + 0.1, k[2] + 0.1, k[1] + 0.1, &entry, NULL));
        assert_near(entry, both[1], 0, 1e-12);
    }
    set.inputs = 0;
    assert_int_equal(fanin_kernel_entry(act, &set, 1, 1, 0.5, &entry, NULL), FANIN_ARG);
    fanin_activation_destroy(act);
}

TEST(flow_starts_at_zero_and_ends_at_regression) {
    double x[N * D], y[N], train[N * N], copy[N * N], out[N];
    rows(x, N, 21);
    uint64_t seed = 4;
    for (int i = 0; i < N; i++) y[i] = noise(&seed);
    fanin_activation *act = parse("erf");
    fanin_kernel_settings set = {2, 0.1, 2, true, 0, 0};
    static const double times[] = {0, 0.7, INFINITY};
    for (int k = 0; k < 3; k++) {
        assert_ok(fanin_kernel_matrix(act, &set, x, N, NULL, 0, D, train, NULL));
        for (int i = 0; i < N * N; i++) copy[i] = train[i];
        assert_ok(
            fanin_kernel_flow(train, N, copy, N, y, 1, 0.5, times[k], 0, NULL, NULL, out, NULL));
        if (k == 1) { /* df/dt = eta T (y - f) by small steps */
            double f[N] = {0};
            const int steps = 200000;
            for (int s = 0; s < steps; s++) {
                double g[N] = {0};
                for (int i = 0; i < N; i++)
                    for (int j = 0; j < N; j++) g[i] += copy[i * N + j] * (y[j] - f[j]);
                for (int i = 0; i < N; i++) f[i] += 0.5 * times[k] / steps * g[i];
            }
            for (int i = 0; i < N; i++) assert_near(out[i], f[i], 1e-4, 0);
        } else {
            for (int i = 0; i < N; i++) assert_near(out[i], k ? y[i] : 0, 1e-8, 0);
        }
    }
    fanin_activation_destroy(act);
}

TEST(kernels_refuse_nonsense) {
    double x[D] = {1}, out;
    fanin_activation *sign = parse("sign"), *relu = parse("relu");
    fanin_kernel_settings set = {2, 0, 1, true, 0, 0};
    fanin_err err = {0};
    assert_int_equal(fanin_kernel_matrix(sign, &set, x, 1, NULL, 0, D, &out, &err), FANIN_DOMAIN);
    set.sigma_w2 = -1;
    assert_int_equal(fanin_kernel_matrix(relu, &set, x, 1, NULL, 0, D, &out, &err), FANIN_DOMAIN);
    set.sigma_w2 = 4, set.depth = 1000;
    assert_int_equal(fanin_kernel_matrix(relu, &set, x, 1, NULL, 0, D, &out, &err), FANIN_DOMAIN);
    fanin_activation_destroy(sign);
    fanin_activation_destroy(relu);
}
