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

static uint64_t random_state;
static double uniform(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(random_state >> 11) + 0.5) * 0x1p-53;
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
