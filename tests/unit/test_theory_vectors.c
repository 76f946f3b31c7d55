/* tests/vectors/expect.txt: moments at 30 digits, duals by another rule. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/theory.h"
#include "testing.h"

static void moment(const char *line) {
    char name[40], slope[40];
    double q, second;
    assert_int_equal(sscanf(line, "moment %39s %lf %lf %39s", name, &q, &second, slope), 4);
    fanin_activation *act = NULL;
    fanin_expectations m;
    assert_ok(fanin_activation_parse(name, &act, NULL));
    assert_ok(fanin_gaussian_moments(act, 0, q, &m, NULL));
    assert_near(m.second, second, 0, 1e-12);
    if (strcmp(slope, "-") != 0) assert_near(m.slope_second, strtod(slope, NULL), 0, 1e-12);
    assert_true(m.error < 1e-11);
    fanin_activation_destroy(act);
}

static void dual(const char *line) {
    char name[40];
    double q, c, want, got, error;
    assert_int_equal(sscanf(line, "dual %39s %lf %lf %lf", name, &q, &c, &want), 4);
    fanin_activation *act = NULL;
    assert_ok(fanin_activation_parse(name, &act, NULL));
    assert_ok(fanin_gaussian_dual(act, 0, q, q, c, &got, &error, NULL));
    assert_near(got, want, 1e-13, 1e-12);
    assert_true(error <= 1e-11 * (fabs(want) + q));
    fanin_activation_destroy(act);
}

TEST(vectors_hold) {
    FILE *f = fopen(FANIN_SOURCE_DIR "/tests/vectors/expect.txt", "r");
    char line[400];
    int moments = 0, duals = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        if (strncmp(line, "moment ", 7) == 0)
            moment(line), moments++;
        else if (strncmp(line, "dual ", 5) == 0)
            dual(line), duals++;
        else
            fail_msg("unknown line: %s", line);
    }
    fclose(f);
    assert_true(moments >= 100 && duals >= 100);
}

/* Two hundred and more random (activation, q, c) in 128-bit ball arithmetic, of every kind of kink, half
 * of them at correlations near 1. */
TEST(duals_at_20_digits) {
    FILE *f = fopen(FANIN_SOURCE_DIR "/tests/vectors/duals.txt", "r");
    char line[400], name[40];
    int points = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        double q, c, want[2], got, error;
        if (line[0] == '#') continue;
        assert_int_equal(sscanf(line, "%39s %lf %lf %lf %lf", name, &q, &c, want, want + 1), 5);
        fanin_activation *act = NULL;
        assert_ok(fanin_activation_parse(name, &act, NULL));
        for (int order = 0; order < 2; order++) {
            assert_ok(fanin_gaussian_dual(act, order, q, q, c, &got, &error, NULL));
            if (fabs(got - want[order]) > 1e-12 * fabs(want[order]))
                fail_msg("%s order %d q %g c %g: %.17g, not %.17g", name, order, q, c, got,
                         want[order]);
            assert_true(error <= 1e-11 * (fabs(got) + q));
        }
        fanin_activation_destroy(act);
        points++;
    }
    fclose(f);
    assert_true(points >= 200);
}

/* ---- the theory against sampled networks ------------------------------------------------ */

static uint64_t random_state;
static double uniform(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(random_state >> 11) + 0.5) * 0x1p-53;
}
static double gaussian(void) {
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

enum { WIDTH = 250, DEPTH = 6, NETS = 40 };

/* Two inputs through K random nets: |mean q - theory| <= z standard errors + 5/width relative.
 * H0 per comparison: theory holds. 2 activations x 6 layers x 2 statistics = 24 comparisons at a
 * family-wise alpha of 1e-4: z = 4.9. A 5 % error in sigma_w2 moves q by more than 5 % a layer and
 * is found (the check below plants one). */
static int disagreements(const char *name, double w2, double b2, double wrong) {
    static double x[2][WIDTH], y[2][WIDTH];
    double q[DEPTH + 1], c[DEPTH + 1], sum[2][DEPTH + 1] = {{0}}, square[2][DEPTH + 1] = {{0}};
    fanin_activation *act = NULL;
    assert_ok(fanin_activation_parse(name, &act, NULL));
    fanin_meanfield_settings set = {.sigma_w2 = w2 * wrong, .sigma_b2 = b2};
    assert_ok(fanin_meanfield_trajectory(act, &set, 1, 0.5, DEPTH, q, c, NULL));
    random_state = 12345 + test_seed();
    for (int net = 0; net < NETS; net++) {
        for (int i = 0; i < WIDTH; i++) { /* pre-activations of variance 1, correlation 1/2 */
            double a = gaussian(), b = gaussian();
            x[0][i] = a;
            x[1][i] = 0.5 * a + sqrt(0.75) * b;
        }
        for (int l = 1; l <= DEPTH; l++) {
            for (int k = 0; k < 2; k++) fanin_activation_eval(act, 0, x[k], x[k], WIDTH);
            for (int o = 0; o < WIDTH; o++) {
                double bias = sqrt(b2) * gaussian();
                y[0][o] = y[1][o] = bias;
                for (int i = 0; i < WIDTH; i++) {
                    double w = sqrt(w2 / WIDTH) * gaussian();
                    y[0][o] += w * x[0][i];
                    y[1][o] += w * x[1][i];
                }
            }
            memcpy(x, y, sizeof x);
            double v = 0, r = 0;
            for (int i = 0; i < WIDTH; i++) {
                v += x[0][i] * x[0][i] / WIDTH;
                r += x[0][i] * x[1][i] / WIDTH;
            }
            sum[0][l] += v / NETS;
            square[0][l] += v * v / NETS;
            sum[1][l] += r / NETS;
            square[1][l] += r * r / NETS;
        }
    }
    int wrongs = 0;
    for (int l = 1; l <= DEPTH; l++)
        for (int k = 0; k < 2; k++) {
            double want = k ? q[l] * c[l] : q[l];
            double error = sqrt(fmax(0, square[k][l] - sum[k][l] * sum[k][l]) / NETS);
            double room = 4.9 * error + 5.0 / WIDTH * q[l];
            if (fabs(sum[k][l] - want) > room) wrongs++;
        }
    fanin_activation_destroy(act);
    return wrongs;
}

TEST(sampled_networks_agree) {
    assert_int_equal(disagreements("tanh", 2, 0.1, 1), 0);
    assert_int_equal(disagreements("gelu", 1.8, 0.05, 1), 0);
    assert_true(disagreements("tanh", 2, 0.1, 1.3) > 0); /* a planted fault is seen */
}

/* ---- formulas from a stranger ------------------------------------------------------------ */

/* Random strings of tokens: a parse either fails with a sentence or gives a function whose name
 * parses back to the same values. */
TEST(random_formulas_do_no_harm) {
    static const char *const tokens[] = {
        "x",  "1", "(",    ")",    "+",        "-",     "*",    "/",     "^",
        "?",  ":", "max(", "min(", ",",        "tanh(", "exp(", "log(",  "2.5",
        "pi", "e", "<",    ">=",   "&&",       "||",    "@",    "relu(", "abs(",
        "x)", " ", "==",   "!=",   "sigmoid(", "1e3",   ".",    "\xff"};
    random_state = 7 + test_seed();
    int good = 0;
    for (int k = 0; k < 30000; k++) {
        char text[256] = "";
        int n = 1 + (int)(uniform() * 9);
        for (int i = 0; i < n; i++)
            strcat(text, tokens[(size_t)(uniform() * (sizeof tokens / sizeof *tokens))]);
        fanin_activation *act = NULL, *again = NULL;
        fanin_err err = {0};
        if (fanin_activation_parse(text, &act, &err) != FANIN_OK) {
            assert_null(act);
            assert_true(strlen(err.message) > 0);
            continue;
        }
        if (++good > 300) { /* each success scans for kinks: enough */
            fanin_activation_destroy(act);
            if (good > 600) break;
            continue;
        }
        assert_ok(fanin_activation_parse(fanin_activation_name(act), &again, NULL));
        for (double x = -2; x <= 2; x += 0.5) {
            double a, b;
            fanin_activation_eval(act, 1, &x, &a, 1);
            fanin_activation_eval(again, 1, &x, &b, 1);
            assert_true(a == b || (isnan(a) && isnan(b)));
        }
        fanin_activation_destroy(act);
        fanin_activation_destroy(again);
    }
    assert_true(good > 50);
}
