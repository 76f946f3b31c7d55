/* Predictions against random networks of width 1000, and the laws of the maps themselves. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/random.h"
#include "fanin/theory.h"
#include "testing.h"

static fanin_activation *parse(const char *text) {
    fanin_activation *act = NULL;
    assert_ok(fanin_activation_parse(text, &act, NULL));
    return act;
}

/* ---- sampled networks ------------------------------------------------------------------ */

/* H0: q and the covariance q c of two inputs at layers 1 ... depth are those of the theory. Statistic: the
 * mean over K independent networks; accepted when |mean - theory| <= z SE + (5/width) q, SE from the
 * K networks, z from a family-wise alpha of 1e-4 over all comparisons of a run. K is fixed in advance
 * so that SE <= 1 % of q, and that is asserted: one relu net of depth 20 alone scatters by 30 %
 * (Var log q ~ 5 L/n). A theory off by 10 % in sigma_w2 must be rejected. */
enum { WIDTH = 1000, DEEPEST = 20 };

typedef struct sample_case {
    const char *name;
    double w2, b2;
    int depth, nets;
    bool quick;
} sample_case;

static const sample_case cases[] = {
    {"tanh", 1.76095464, 0.05, 6, 60, true}, {"relu", 2, 0, 3, 170, true},
    {"gelu", 1.8, 0.1, 3, 140, true},        {"relu", 2, 0, 20, 1200, false},
    {"tanh", 2.5, 0.05, 20, 80, false},      {"selu", 1, 0, 20, 200, false},
    {"elu", 1.4, 0.1, 10, 150, false},       {"hard_tanh", 1.5, 0.05, 20, 100, false},
    {"erf", 1.3, 0.05, 12, 60, false},       {"x*sigmoid(1.702*x)", 2, 0.1, 6, 300, false}};
enum { CASES = sizeof cases / sizeof *cases };

static float weights[WIDTH * WIDTH];

/* x <- W x + b for both inputs; every number of every network has its own address in the stream. */
static void layer(const fanin_stream *s, uint64_t index, const sample_case *k, double x[2][WIDTH]) {
    static double y[2][WIDTH];
    static float bias[WIDTH];
    fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = sqrt(k->w2 / WIDTH)};
    uint64_t first = index * (WIDTH * WIDTH + WIDTH);
    assert_ok(fanin_random_fill(s, 0, &law, first, WIDTH * WIDTH, FANIN_F32, weights));
    law.b = sqrt(k->b2);
    assert_ok(fanin_random_fill(s, 0, &law, first + WIDTH * WIDTH, WIDTH, FANIN_F32, bias));
    for (int o = 0; o < WIDTH; o++) y[0][o] = y[1][o] = (double)bias[o];
    for (int i = 0; i < WIDTH; i++) { /* row i of the transposed matrix: a sum in one order */
        const float *w = weights + (size_t)i * WIDTH;
        double a = x[0][i], b = x[1][i];
        for (int o = 0; o < WIDTH; o++) {
            y[0][o] += (double)w[o] * a;
            y[1][o] += (double)w[o] * b;
        }
    }
    memcpy(x, y, sizeof y);
}

typedef struct tally {
    double sum[DEEPEST + 1][2], square[DEEPEST + 1][2]; /* of q and of q c */
} tally;

static void run_nets(const fanin_activation *act, const sample_case *k, tally *t) {
    static double x[2][WIDTH];
    fanin_stream s = fanin_stream_init(test_seed(), k->name),
                 in = fanin_stream_init(test_seed(), "x");
    fanin_law unit = {.kind = FANIN_LAW_NORMAL, .b = 1};
    memset(t, 0, sizeof *t);
    for (int net = 0; net < k->nets; net++) {
        for (int i = 0; i < 2; i++)
            assert_ok(fanin_random_fill(&in, 0, &unit, (uint64_t)(2 * net + i) * WIDTH, WIDTH,
                                        FANIN_F64, x[i]));
        for (int i = 0; i < WIDTH; i++) x[1][i] = 0.5 * x[0][i] + sqrt(0.75) * x[1][i];
        for (int l = 1; l <= k->depth; l++) {
            double v[2] = {0, 0};
            for (int i = 0; i < 2; i++) fanin_activation_eval(act, 0, x[i], x[i], WIDTH);
            layer(&s, (uint64_t)(net * k->depth + l - 1), k, x);
            for (int i = 0; i < WIDTH; i++) {
                v[0] += 0.5 * (x[0][i] * x[0][i] + x[1][i] * x[1][i]) / WIDTH;
                v[1] += x[0][i] * x[1][i] / WIDTH;
            }
            for (int i = 0; i < 2; i++) {
                t->sum[l][i] += v[i] / k->nets;
                t->square[l][i] += v[i] * v[i] / k->nets;
            }
        }
    }
}

/* How many of the comparisons fail for a theory with sigma_w2 off by the factor `wrong`. */
static int compare(const fanin_activation *act, const sample_case *k, const tally *t, double z,
                   double wrong, double *worst_error) {
    double q[DEEPEST + 1], c[DEEPEST + 1];
    fanin_meanfield_settings set = {.sigma_w2 = k->w2 * wrong, .sigma_b2 = k->b2};
    assert_ok(fanin_meanfield_trajectory(act, &set, 1, 0.5, (size_t)k->depth, q, c, NULL));
    int failures = 0;
    *worst_error = 0;
    for (int l = 1; l <= k->depth; l++)
        for (int i = 0; i < 2; i++) {
            double want = i ? q[l] * c[l] : q[l], mean = t->sum[l][i];
            double error = sqrt(fmax(0, t->square[l][i] - mean * mean) / (k->nets - 1));
            *worst_error = fmax(*worst_error, error / q[l]);
            if (fabs(mean - want) <= z * error + 5.0 / WIDTH * q[l]) continue;
            failures++;
            if (wrong == 1)
                print_message("%s layer %d %s: %.5g, theory %.5g, SE %.2g\n", k->name, l,
                              i ? "q c" : "q", mean, want, error);
        }
    return failures;
}

/* Two-sided normal quantile of alpha. */
static double quantile(double alpha) {
    double low = 0, high = 10;
    for (int i = 0; i < 60; i++) {
        double mid = 0.5 * (low + high);
        *(erfc(mid / sqrt(2)) > alpha ? &low : &high) = mid;
    }
    return high;
}

TEST(networks_of_width_1000_agree) {
    bool all = test_scale() >= 10; /* --scale 10: every case, two minutes */
    int comparisons = 0, wrong = 0, wide = 0;
    for (int i = 0; i < CASES; i++)
        if (all || cases[i].quick) comparisons += 2 * cases[i].depth;
    double z = quantile(1e-4 / comparisons);
    for (int i = 0; i < CASES; i++) {
        const sample_case *k = &cases[i];
        static tally t;
        double error, planted;
        if (!all && !k->quick) continue;
        if (test_scale() < 1 && i > 0) continue; /* sanitizers: the first */
        fanin_activation *act = parse(k->name);
        run_nets(act, k, &t);
        wrong += compare(act, k, &t, z, 1, &error);
        print_message("%s, depth %d: K = %d, SE %.2f %%, z = %.2f\n", k->name, k->depth, k->nets,
                      100 * error, z);
        wide += error > 0.01;
        assert_true(compare(act, k, &t, z, 1.1, &planted) > 0);
        fanin_activation_destroy(act);
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(wide, 0);
}

/* ---- laws of the maps ------------------------------------------------------------------ */

/* C(c) = E f(u1) f(u2)/E f^2 has a power series with non-negative coefficients: on [0, 1] it rises and is
 * convex, |C(-c)| <= C(c), and C(1) = 1. Its derivative is q E f' f'/E f^2. */
TEST(correlation_maps_rise_and_bend_upwards) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        for (double q = 0.1; q < 9; q *= 4) {
            double second, up[21], down;
            assert_ok(fanin_gaussian_power(act, 0, 2, 0, q, &second, NULL, NULL));
            for (int k = 0; k <= 20; k++) {
                assert_ok(fanin_gaussian_dual(act, 0, q, q, k / 20.0, &up[k], NULL, NULL));
                assert_ok(fanin_gaussian_dual(act, 0, q, q, -k / 20.0, &down, NULL, NULL));
                assert_true(fabs(down) <= up[k] + 1e-13 * second);
                if (k > 0) assert_true(up[k] >= up[k - 1] - 1e-13 * second);
                if (k > 1) assert_true(up[k] - 2 * up[k - 1] + up[k - 2] >= -3e-13 * second);
            }
            assert_near(up[20], second, 0, 2e-12);
        }
        fanin_activation_destroy(act);
    }
}

TEST(slope_of_the_correlation_map_for_every_row) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        if (!fanin_activation_is_continuous(act)) {
            fanin_activation_destroy(act);
            continue;
        }
        for (double c = -0.7; c < 0.95; c += 0.4) {
            double v[4], slope, h = 1e-3, q = 1.3;
            for (int k = 0; k < 4; k++)
                assert_ok(fanin_gaussian_dual(act, 0, q, q, c + h * (k < 2 ? k - 2 : k - 1), &v[k],
                                              NULL, NULL));
            assert_ok(fanin_gaussian_dual(act, 1, q, q, c, &slope, NULL, NULL));
            double by_difference = (v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * h);
            assert_near(q * slope, by_difference, 1e-9, 1e-9);
        }
        fanin_activation_destroy(act);
    }
}

/* V(q) = E f^2: its limits at 0 and far out, where f is told by its two ends. */
TEST(variance_maps_have_their_limits) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        double at[2] = {-1e8, 1e8}, y[2], zero = 0, f0, slope0, v;
        fanin_activation_eval(act, 0, &zero, &f0, 1);
        fanin_activation_eval(act, 1, &zero, &slope0, 1);
        fanin_activation_eval(act, 0, at, y, 2);
        double kinks[8];
        size_t n = fanin_activation_kinks(act, kinks, 8);
        bool smooth = n == 0 || (n == 2 && kinks[0] * kinks[1] < 0) ||
                      fanin_activation_id_of(act) == FANIN_ACT_SOFTSIGN;
        if (smooth) { /* no kink at 0: V = f(0)^2 + (f'^2 + f f'') q + ... */
            assert_ok(fanin_gaussian_power(act, 0, 2, 0, 1e-6, &v, NULL, NULL));
            if (f0 == 0) assert_near(v / 1e-6, slope0 * slope0, 1e-9, 5e-3);
            assert_near(v, f0 * f0, 1e-5, 0);
        }
        int id = fanin_activation_id_of(act);
        bool wave = id == FANIN_ACT_SIN || id == FANIN_ACT_COS,
             square = id == FANIN_ACT_SQUARED_RELU;
        double q = wave ? 400 : 1e12, ends = 0.5 * (y[0] * y[0] + y[1] * y[1]),
               linear = ends / 1e16;
        assert_ok(fanin_gaussian_power(act, 0, 2, 0, q, &v, NULL, NULL));
        if (wave) {
            assert_near(v, 0.5, 1e-9, 0);
        } else if (square) {
            assert_near(v, 1.5 * q * q, 0, 1e-12);
        } else if (linear > 1e-6) {
            assert_near(v / q, linear, 0, 1e-5);
        } else {
            assert_near(v, ends, 1e-5, 3e-5);
        }
        fanin_activation_destroy(act);
    }
}

/* For |f| that rises away from 0, V rises; for bounded f it stays below the square of the bound. */
TEST(variance_maps_rise) {
    static const char *const names[] = {"tanh",     "relu",       "hard_tanh", "erf",
                                        "softsign", "elu",        "selu",      "leaky_relu",
                                        "abs",      "lecun_tanh", "relu6"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fanin_activation *act = parse(names[i]);
        double before = 0, v;
        for (double q = 1e-8; q < 1e8; q *= 3) {
            assert_ok(fanin_gaussian_power(act, 0, 2, 0, q, &v, NULL, NULL));
            assert_true(v > before * (1 - 1e-13));
            before = v;
        }
        fanin_activation_destroy(act);
    }
}
