/* Preparation of inputs: what is learnt from the training rows makes their moments what they should be; eigenvalues
 * against a closed form. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/eigen.h"
#include "faults.h"
#include "fanin/data.h"
#include "testing.h"

/* -1, 2, -1 on three diagonals: 2 - 2 cos(k pi / (n + 1)). */
TEST(eigenvalues_of_the_second_difference) {
    enum { N = 57 };
    double a[N * N] = {0}, values[N];
    for (int i = 0; i < N; i++) {
        a[i * N + i] = 2;
        if (i) a[i * N + i - 1] = a[(i - 1) * N + i] = -1;
    }
    assert_ok(fanin__symmetric_eigen(N, a, values));
    for (int k = 0; k < N; k++)
        assert_near(values[k], 2 - 2 * cos((N - k) * 3.14159265358979323846 / (N + 1)), 1e-13, 0);
}

/* A v = lambda v and V V' = 1 for full matrices, singular ones and ones with equal eigenvalues. */
TEST(eigenvectors) {
    enum { N = 24 };
    for (int kind = 0; kind < 3; kind++) {
        double a[N * N], v[N * N], values[N];
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double r = cos(i * j + 0.3 * (i + j));
                if (kind == 1 && (i % 5 == 2 || j % 5 == 2)) r = 0;
                if (kind == 2) r = i == j ? 1 + (i > 20) : 0;
                a[i * N + j] = v[i * N + j] = r;
            }
        assert_ok(fanin__symmetric_eigen(N, v, values));
        for (int i = 0; i < N; i++) {
            if (i) assert_true(values[i] <= values[i - 1]);
            for (int j = 0; j < N; j++) {
                double product = 0, along = 0;
                for (int k = 0; k < N; k++) {
                    product += a[j * N + k] * v[i * N + k];
                    along += v[i * N + k] * v[j * N + k];
                }
                assert_near(product, values[i] * v[i * N + j], 1e-12, 0);
                assert_near(along, i == j, 1e-12, 0);
            }
        }
    }
}

/* ---- sets ------------------------------------------------------------------------------------------ */

enum { ROWS = 500, COLUMNS = 4 };

/* Correlated columns of several scales, the last one constant. */
static const char *table(void) {
    const char *path = test_tmp("p.csv");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < ROWS; i++) {
        double a = sin(1.3 * i), b = cos(0.7 * i * i), c = sin(0.11 * i * i + 1);
        fprintf(f, "%.9g,%.9g,%.9g,7,%d\n", 5 + a, 100 * (a + 0.5 * b), -3 + 0.1 * (b + c), i % 2);
    }
    fclose(f);
    return path;
}

/* Pixels that are always 0 and fewer directions than pixels: most eigenvalues are 0, some of them to the last bit. */
TEST(eigenvalues_of_few_directions) {
    enum { N = 200, RANK = 20 };
    static double b[N][RANK], a[N * N], values[N];
    uint32_t bits = 1;
    double trace = 0, sum = 0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < RANK && i % 3; k++) {
            bits = bits * 1664525u + 1013904223u;
            b[i][k] = ((double)(bits >> 8) / (1 << 24) - 0.5) * pow(0.3, k);
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < RANK; k++) a[i * N + j] += b[i][k] * b[j][k];
    for (int i = 0; i < N; i++) trace += a[i * N + i];
    assert_ok(fanin__symmetric_eigen(N, a, values));
    for (int i = 0; i < N; i++) {
        sum += values[i];
        if (i >= RANK) assert_near(values[i], 0, 1e-12 * values[0], 0);
    }
    assert_near(sum, trace, 0, 1e-12);
}

static fanin_dataset *open_prepared(const char *preparation) {
    char text[400];
    fanin_dataset *d;
    fanin_err err = {0};
    snprintf(text, sizeof text, "%s:test=0%s", table(), preparation);
    assert_ok_err(fanin_dataset_open(text, 0, &d, &err), err);
    assert_non_null(strstr(fanin_dataset_get_info(d)->preprocessing, "500 training rows"));
    return d;
}

static void moments(const fanin_dataset *d, size_t n, double *mean, double *covariance) {
    static float x[ROWS * COLUMNS];
    static int64_t t[ROWS];
    uint64_t index[ROWS];
    for (int i = 0; i < ROWS; i++) index[i] = (uint64_t)i;
    assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, index, ROWS, x, t, NULL));
    for (size_t c = 0; c < n; c++) {
        mean[c] = 0;
        for (int r = 0; r < ROWS; r++) mean[c] += (double)x[(size_t)r * n + c] / ROWS;
    }
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++) {
            covariance[a * n + b] = 0;
            for (size_t r = 0; r < ROWS; r++)
                covariance[a * n + b] +=
                    ((double)x[r * n + a] - mean[a]) * ((double)x[r * n + b] - mean[b]) / ROWS;
        }
}

TEST(standardized_and_normalized) {
    double mean[COLUMNS], c[COLUMNS * COLUMNS];
    fanin_dataset *d = open_prepared("+standardize");
    moments(d, COLUMNS, mean, c);
    for (int i = 0; i < COLUMNS; i++) {
        assert_near(mean[i], 0, 1e-6, 0);
        assert_near(c[i * COLUMNS + i], i < 3, 1e-5, 0);
    }
    fanin_dataset_close(d);
    d = open_prepared("+normalize"); /* one mean and deviation of all numbers */
    moments(d, COLUMNS, mean, c);
    double all = 0, square = 0;
    for (int i = 0; i < COLUMNS; i++) {
        all += mean[i] / COLUMNS;
        square += (c[i * COLUMNS + i] + mean[i] * mean[i]) / COLUMNS;
    }
    assert_near(all, 0, 1e-6, 0);
    assert_near(square, 1, 1e-5, 0);
    fanin_dataset_close(d);
    d = open_prepared("+center");
    moments(d, COLUMNS, mean, c);
    for (int i = 0; i < COLUMNS; i++) assert_near(mean[i], 0, 1e-5, 0);
    assert_true(c[COLUMNS + 1] > 1000);
    fanin_dataset_close(d);
}

TEST(decorrelated) {
    double mean[COLUMNS], c[COLUMNS * COLUMNS];
    fanin_dataset *d = open_prepared("+pca"); /* the constant column is no axis */
    assert_int_equal(fanin_dataset_get_info(d)->dims[0], 3);
    moments(d, 3, mean, c);
    for (int i = 0; i < 9; i++) assert_near(c[i], i % 4 == 0, 2e-4, 0);
    fanin_dataset_close(d);
    d = open_prepared("+pca:keep=2");
    assert_int_equal(fanin_dataset_get_info(d)->dims[0], 2);
    fanin_dataset_close(d);
    d = open_prepared("+zca:eps=1e-9");
    moments(d, COLUMNS, mean, c);
    for (int a = 0; a < COLUMNS; a++)
        for (int b = 0; b < COLUMNS; b++) {
            double want = a == b && a < 3;
            assert_near(c[a * COLUMNS + b], want, 0.02,
                        0); /* eps takes a little of the least axis */
        }
    fanin_dataset_close(d);
}

/* A sample is the same bits alone and among others. */
TEST(samples_do_not_depend_on_their_batch) {
    fanin_dataset *d = open_prepared("+zca");
    static float all[ROWS * COLUMNS];
    int64_t t[ROWS];
    uint64_t index[ROWS];
    for (uint64_t i = 0; i < ROWS; i++) index[i] = (i * 7) % ROWS;
    assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, index, ROWS, all, t, NULL));
    for (size_t i = 0; i < ROWS; i++) {
        float one[COLUMNS];
        assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, index + i, 1, one, t, NULL));
        assert_memory_equal(one, all + i * COLUMNS, sizeof one);
    }
    fanin_dataset_close(d);
}

TEST(bad_preparations_are_told) {
    static const struct {
        const char *text, *says;
        fanin_status status;
    } bad[] = {{"xor+pca:keep=0", "keep=0", FANIN_ARG},
               {"xor+zca:keep=1", "'keep=1' is no option", FANIN_ARG},
               {"xor+whiten", "xor+whiten", FANIN_NOTFOUND},
               {"blobs:std=0,classes=2,in=1+normalise", "normalise", FANIN_ARG}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fanin_dataset *d;
        fanin_err err = {0};
        assert_int_equal(fanin_dataset_open(bad[i].text, 0, &d, &err), bad[i].status);
        if (!strstr(err.message, bad[i].says))
            fail_msg("'%s' lacks '%s'", err.message, bad[i].says);
    }
}

static fanin_status open_once(void *arg) {
    fanin_dataset *d;
    fanin_err err = {0};
    fanin_status status = fanin_dataset_open(arg, 0, &d, &err);
    float x[2];
    int64_t t;
    uint64_t at = 1;
    if (status == FANIN_OK) status = fanin_dataset_samples(d, FANIN_TRAIN, &at, 1, x, &t, &err);
    fanin_dataset_close(d);
    return status;
}

TEST(memory_refused_at_every_request) { assert_true(fault_sweep("zca", open_once, "xor+zca") > 8); }
