/* Tables and grids against the direct solver; the picture. */
#include <math.h>
#include <string.h>

#include "fanin/report.h"
#include "fanin/theory.h"
#include "testing.h"

static fanin_activation *parse(const char *text) {
    fanin_activation *act = NULL;
    assert_ok(fanin_activation_parse(text, &act, NULL));
    return act;
}

TEST(tables_follow_the_solver) {
    static const char *const names[] = {"tanh",  "erf", "x*sigmoid(1.702*x)", "relu", "hard_tanh",
                                        "relu6", "elu"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        fanin_activation *act = parse(names[k]);
        fanin_meanfield_table *table;
        fanin_err err = {0};
        assert_ok_err(fanin_meanfield_table_create(act, 1e-8, 1e4, &table, &err), err);
        for (double w2 = 0.5; w2 < 4; w2 += 0.7)
            for (double b2 = 0.02; b2 < 1; b2 *= 3) {
                fanin_meanfield_settings set = {.sigma_w2 = w2, .sigma_b2 = b2};
                fanin_meanfield want, got;
                assert_ok(fanin_meanfield_solve(act, &set, &want, NULL));
                assert_ok(fanin_meanfield_table_solve(table, w2, b2, 0, &got, NULL));
                if (isinf(want.q)) {
                    assert_true(isinf(got.q) && got.c == 1);
                    continue;
                }
                assert_near(got.q, want.q, 0, 1e-7);
                assert_near(got.chi1, want.chi1, 0, 1e-7);
                double near = k < 4 ? 1e-7 : k < 6 ? 1e-6 : 5e-5; /* bends; jumps of f'' */
                assert_near(got.c, want.c, near, 0);
                assert_near(got.chi_c, want.chi_c, near, 0);
                assert_int_equal(got.phase, want.phase);
            }
        fanin_meanfield_table_destroy(table);
        fanin_activation_destroy(act);
    }
}

TEST(grid_rows_do_not_depend_on_threads) {
    enum { C = 24, R = 17 };
    static double a[4][C * R], b[4][C * R];
    fanin_activation *act = parse("tanh");
    fanin_phase_grid g = {0.1, 4, 0, 1, C, R};
    fanin_threads_set(1);
    assert_ok(fanin_phase_grid_solve(act, &g, a[0], a[1], a[2], a[3], NULL));
    fanin_threads_set(3);
    assert_ok(fanin_phase_grid_solve(act, &g, b[0], b[1], b[2], b[3], NULL));
    fanin_threads_set(0);
    assert_memory_equal(a, b, sizeof a);
    g.columns = 1;
    assert_int_equal(fanin_phase_grid_solve(act, &g, a[0], a[1], NULL, NULL, NULL), FANIN_ARG);
    fanin_activation_destroy(act);
}

/* The edge of tanh is its critical line; gelu's jumps from 0.9 to 1.2 at w2 E f^2(1) + b2 = 1, where inputs of
 * variance 1 begin to grow, and grid points agree with the solver whatever their neighbours did. */
TEST(edges_are_told_exactly) {
    enum { C = 30, R = 12 };
    static double chi1[C * R], xi[C * R], across[C * R], up[C * R];
    static const char *const names[] = {"tanh", "gelu"};
    for (int k = 0; k < 2; k++) {
        fanin_activation *act = parse(names[k]);
        fanin_phase_grid g = {0.5, 4, 0.0, 0.1, C, R};
        int found = 0;
        assert_ok(fanin_phase_grid_solve(act, &g, chi1, xi, NULL, NULL, NULL));
        assert_ok(fanin_phase_edges_solve(act, &g, chi1, across, up, NULL));
        for (size_t r = 1; r < R; r++)
            for (size_t c = 0; c < C; c++) {
                double b2 = 0.1 * (double)r / (R - 1), dw = 3.5 / (C - 1), edge;
                fanin_meanfield_settings set = {.sigma_w2 = 0.5 + dw * (double)c, .sigma_b2 = b2};
                fanin_meanfield m;
                assert_ok(fanin_meanfield_solve(act, &set, &m, NULL));
                assert_near(chi1[r * C + c], m.chi1, 1e-6, 0);
                if (isnan(across[r * C + c])) continue;
                if (k == 0)
                    assert_ok(fanin_critical_sigma_w2(act, b2, &edge, NULL, NULL));
                else
                    edge = (1 - b2) / 0.425221482570299;
                assert_near(0.5 + dw * ((double)c + across[r * C + c]), edge, 1e-4, 0);
                found++;
            }
        assert_int_equal(found, R - 1);
        fanin_activation_destroy(act);
    }
}

TEST(the_picture_is_whole) {
    enum { C = 40, R = 30 };
    static double chi1[C * R], xi[C * R], across[C * R], up[C * R];
    fanin_activation *act = parse("tanh");
    fanin_phase_grid g = {0.1, 4, 0, 0.5, C, R};
    assert_ok(fanin_phase_grid_solve(act, &g, chi1, xi, NULL, NULL, NULL));
    assert_ok(fanin_phase_edges_solve(act, &g, chi1, across, up, NULL));
    fanin_phase_picture p = {"x<1 ? a & b", 0.1, 4,    0,   0.5,  C,     R, chi1, xi,
                             across,        up,  true, 1.5, 0.05, "here"};
    char *svg, *again;
    assert_int_equal(fanin_phase_svg(&p, &svg), FANIN_OK);
    assert_int_equal(fanin_phase_svg(&p, &again), FANIN_OK);
    assert_string_equal(svg, again);
    assert_non_null(strstr(svg, "x&lt;1 ? a &amp; b"));
    assert_non_null(strstr(svg, "class=\"edge\""));
    assert_non_null(strstr(svg, "ordered"));
    assert_non_null(strstr(svg, "prefers-color-scheme:dark"));
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf"));
    assert_non_null(strstr(svg, "</svg>"));
    fanin_free(svg);
    fanin_free(again);
    fanin_activation_destroy(act);
}
