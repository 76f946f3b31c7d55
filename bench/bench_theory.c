/* The figures that theory promises, on one core: a fixed point from tables (10 us), a 400 x 400 phase
 * diagram (2 s), a tangent kernel of 2000 MNIST-sized inputs at depth 10 (3 s). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "fanin/theory.h"

static fanin_activation *parse(const char *text) {
    fanin_activation *act;
    if (fanin_activation_parse(text, &act, NULL) != FANIN_OK) exit(1);
    return act;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, double *t, int n, const char *comma) {
    qsort(t, (size_t)n, sizeof *t, by_size);
    printf("{\"name\":\"%s\",\"seconds\":%.6g,\"spread\":%.3g}%s\n", name, t[n / 2],
           t[n - 1] - t[0], comma);
}

static void points(const fanin_activation *act) {
    enum { N = 2000 };
    double t[5], start = fanin__seconds();
    fanin_meanfield_table *table;
    if (fanin_meanfield_table_create(act, 1e-8, 1e5, &table, NULL) != FANIN_OK) exit(1);
    t[0] = fanin__seconds() - start;
    report("tables of tanh", t, 1, ",");
    for (int r = 0; r < 5; r++) {
        start = fanin__seconds();
        for (int i = 0; i < N; i++) {
            fanin_meanfield m;
            fanin_meanfield_table_solve(table, 1.1 + 3.0 * i / N, 0.05, 0, &m, NULL);
        }
        t[r] = (fanin__seconds() - start) / N;
    }
    report("fixed point and depth scales, no guess", t, 5, ",");
    fanin_meanfield_table_destroy(table);
}

static void diagram(const fanin_activation *act) {
    enum { SIDE = 400 };
    static double chi1[SIDE * SIDE], xi[SIDE * SIDE];
    fanin_phase_grid g = {0.02, 4, 0, 0.5, SIDE, SIDE};
    double t[3];
    for (int r = 0; r < 3; r++) {
        double start = fanin__seconds();
        if (fanin_phase_grid_solve(act, &g, chi1, xi, NULL, NULL, NULL) != FANIN_OK) exit(1);
        t[r] = fanin__seconds() - start;
    }
    report("phase diagram 400 x 400", t, 3, ",");
}

static void kernel(const fanin_activation *act) {
    enum { N = 2000, D = 784 };
    float *x = malloc(sizeof(float) * N * D), *k = malloc(sizeof(float) * N * N);
    if (!x || !k) exit(1);
    uint64_t s = 1;
    for (size_t i = 0; i < (size_t)N * D; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(s >> 40) * 0x1p-24f;
    }
    fanin_kernel_settings set = {2, 0, 10, true, 0, 0};
    double t[3], one;
    for (int r = 0; r < 3; r++) {
        double start = fanin__seconds();
        if (fanin_kernel_matrix_f32(act, &set, x, N, NULL, 0, D, k, NULL) != FANIN_OK) exit(1);
        t[r] = fanin__seconds() - start;
    }
    /* The check: one entry by the slow path. */
    double q1 = 0, q2 = 0, c = 0;
    for (int d = 0; d < D; d++) {
        q1 += (double)x[d] * (double)x[d] * 2 / D;
        q2 += (double)x[D + d] * (double)x[D + d] * 2 / D;
        c += (double)x[d] * (double)x[D + d] * 2 / D;
    }
    fanin_kernel_entry(act, &set, q1, q2, c, &one, NULL);
    if (!(fabs((double)k[1] - one) < 1e-4 * one)) {
        fprintf(stderr, "kernel entry %g, expected %g\n", (double)k[1], one);
        exit(1);
    }
    report("tangent kernel 2000 x 784, depth 10", t, 3, "");
    free(x);
    free(k);
}

int main(void) {
    fanin_activation *tanh_ = parse("tanh"), *relu = parse("relu");
    fanin_threads_set(1);
    printf("{\"bench\":\"theory\",\"threads\":1,\"rows\":[\n");
    points(tanh_);
    diagram(tanh_);
    kernel(relu);
    printf("]}\n");
    fanin_activation_destroy(tanh_);
    fanin_activation_destroy(relu);
    return 0;
}
