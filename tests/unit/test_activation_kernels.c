/* Float kernels: against double at 4 ulp, and the same bits from every instruction set. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "activation/activation.h"
#include "testing.h"

static uint32_t next(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 32);
}

/* Arguments of every size: half uniform over bit patterns, half over the range that matters. */
static void arguments(float *x, size_t n, uint64_t seed) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = next(&seed);
        if (i % 2)
            memcpy(&x[i], &bits, 4);
        else
            x[i] = ((float)bits * 0x1p-32f - 0.5f) * (i % 4 ? 8.0f : 180.0f);
    }
    static const float hard[] = {0.0f,   -0.0f,   INFINITY, -INFINITY, 1e-45f, -1e-45f,    3e38f,
                                 -3e38f, 1.0f,    -1.0f,    6.0f,      3.0f,   -3.0f,      88.7f,
                                 -88.7f, -104.0f, 1e-20f,   13.0f,     -13.5f, 0.99999994f};
    memcpy(x, hard, sizeof hard);
}

static double ulp(double y) {
    double a = fabs(y);
    return a < 0x1p-126 ? 0x1p-149 : 0x1p-23 * exp2(floor(log2(a)));
}

/* Scale of the terms that a derivative is a sum of: there the error is measured where they
 * cancel. x f''-like terms of silu, gelu and mish do not exceed 1.2 near their zeros. */
static bool cancels(int id, int order) {
    if (order == 0) return false;
    switch (id) {
    case FANIN_ACT_GELU:
    case FANIN_ACT_GELU_TANH:
    case FANIN_ACT_SILU:
    case FANIN_ACT_MISH:
    case FANIN_ACT_HARD_SWISH: return true;
    default: return order == 2 && (id == FANIN_ACT_GAUSSIAN || id == FANIN_ACT_ERF);
    }
}

static const double params[][2] = {{0, 0}, {0.3, 0.7}, {1.7, 2.3}};

static double worst(int id, const double *p, int order, const float *x, size_t n, float *at) {
    static float y[40000];
    fanin__act_eval_f32(id, p, order, x, y, n);
    double rounded[2] = {(double)(float)p[0], (double)(float)p[1]}, worst_ulp = 0;
    for (size_t i = 0; i < n; i++) {
        double want, in = (double)x[i], got = (double)y[i];
        fanin__act_eval_f64(id, rounded, order, &in, &want, 1);
        if (isnan(want) && isnan(got)) continue;
        double scale = cancels(id, order) ? fmax(fabs(want), 0.5) : fabs(want);
        double e;
        if (isinf(got) || isinf(want) || fabs(want) > 0x1.fffffep127)
            e = (isinf(got) && fabs(want) >= 0x1.fffffp127) || got == want ? 0 : 1e30;
        else
            e = fabs(got - want) / ulp(scale);
        if (fabs(got - want) < 1e-42) e = 0; /* products of denormals */
        if (isnan(got) != isnan(want)) e = 1e30;
        if (e > worst_ulp) {
            worst_ulp = e;
            *at = x[i];
        }
    }
    return worst_ulp;
}

TEST(kernels_are_within_4_ulp_of_double) {
    static float x[40000];
    arguments(x, 40000, 11 + test_seed());
    for (size_t r = 0; r < fanin_activation_count(); r++) {
        const fanin_activation_row *row = fanin_activation_row_at(r);
        for (int order = 0; order <= 2; order++) {
            for (int set = 0; set < (row->parameters ? 3 : 1); set++) {
                const double *p = set ? params[set] : row->defaults;
                float at = 0;
                double e = worst(row->id, p, order, x, 40000, &at);
                if (!(e <= (order < 2 ? 4 : 8)))
                    fail_msg("%s:%g,%g order %d: %.3g ulp at %.9g", row->name, p[0], p[1], order, e,
                             (double)at);
            }
        }
    }
}

TEST(every_level_gives_the_same_bits) {
    enum { N = 20000 };
    static float x[N], y[N], z[N];
    arguments(x, N, 5 + test_seed());
    const fanin__act_kernels *ref = fanin__act_kernels_ref();
    for (int level = 1; level <= fanin_cpu_level(); level++) {
        const fanin__act_kernels *fast = fanin__act_kernels_at(level);
        for (int id = 1; id < FANIN__ACT_ROWS; id++) {
            for (int order = 0; order < 3; order++) {
                if (!ref->f[id][order]) {
                    assert_null(fast->f[id][order]);
                    continue;
                }
                const float p[2] = {0.7f, 1.9f};
                memset(y, 0xaa, sizeof y);
                memset(z, 0xaa, sizeof z);
                ref->f[id][order](p, x, y, N);
                fast->f[id][order](p, x, z, N);
                for (size_t i = 0; i < N; i++)
                    if (memcmp(&y[i], &z[i], 4) != 0 && !(isnan(y[i]) && isnan(z[i])))
                        fail_msg("level %d row %d order %d at %.9g: %.9g, ref %.9g", level, id,
                                 order, (double)x[i], (double)z[i], (double)y[i]);
            }
        }
    }
}

TEST(any_split_and_in_place_give_the_same_bits) {
    enum { N = 131 };
    float x[N], whole[N], parts[N + 1];
    arguments(x, N, 77);
    for (size_t r = 0; r < fanin_activation_count(); r++) {
        const fanin_activation_row *row = fanin_activation_row_at(r);
        for (int order = 0; order <= 2; order++) {
            fanin__act_eval_f32(row->id, row->defaults, order, x, whole, N);
            for (size_t step = 1; step < 50; step += 6) {
                memcpy(parts, x, sizeof x);
                parts[N] = 7.25f;
                for (size_t i = 0; i < N; i += step) {
                    size_t m = N - i < step ? N - i : step;
                    fanin__act_eval_f32(row->id, row->defaults, order, parts + i, parts + i, m);
                }
                assert_memory_equal(parts, whole, sizeof whole);
                assert_true(parts[N] == 7.25f);
            }
        }
    }
}
